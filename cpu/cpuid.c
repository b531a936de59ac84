/* CPUID: what the model offers, leaf by leaf.
 * Sources: SDM 2A CPUID; AMD APM vol. 3 app. E (leaves 8000_0005h..8000_0008h). */
#include "cpu/msr.h"
#include "cpu/system.h"

enum cpuid_register { NONE, EAX, EBX, ECX, EDX };

static const struct feature_place {
    uint32_t leaf;
    uint8_t subleaf, reg, bit;
} places[FEATURE_COUNT] = {
#define FEATURE(id, leaf_, subleaf_, register_, bit_, name)                                        \
    [FEAT_##id] = {.leaf = leaf_, .subleaf = subleaf_, .reg = register_, .bit = bit_},
#include "cpu/features.def"
#undef FEATURE
};

#define CPUID_EDX_APIC    (1u << 9)
#define CPUID_ECX_OSXSAVE (1u << 27)
/* The bits of 1:EDX that AMD's 8000_0001h:EDX repeats. */
#define AMD_REPEATED    0x0183f3ffu
#define HYPERVISOR_LEAF 0x40000000u
#define EXTENDED_LEAF   0x80000000u

/* The register's bits that the model's features set. */
static uint32_t feature_bits(const struct cpu *cpu, uint32_t leaf, uint32_t subleaf,
                             enum cpuid_register reg)
{
    uint32_t bits = 0;
    for (unsigned f = 0; f < FEATURE_COUNT; f++)
        if (places[f].reg == reg && places[f].leaf == leaf && places[f].subleaf == subleaf &&
            cpu_has(cpu, f))
            bits |= 1u << places[f].bit;
    return bits;
}

/* Twelve characters in the order of leaf 0. */
static void put_text(uint32_t to[3], const char *text)
{
    char padded[13] = "            ";
    memcpy(padded, text, strnlen(text, 12));
    for (unsigned i = 0; i < 3; i++)
        to[i] = load_le32(padded + 4 * i);
}

static struct cpuid_result leaf_vendor(const struct cpu *cpu, uint32_t max_leaf)
{
    uint32_t text[3];
    put_text(text, cpu->model->vendor);
    return (struct cpuid_result){.eax = max_leaf, .ebx = text[0], .edx = text[1], .ecx = text[2]};
}

static struct cpuid_result leaf_features(const struct cpu *cpu)
{
    enum { CLFLUSH_QUADWORDS = 8 };
    struct cpuid_result r = {
        .eax = cpu->model->signature,
        .ebx = cpu->index << 24 | (cpu_has(cpu, FEAT_CLFSH) ? CLFLUSH_QUADWORDS << 8 : 0),
        .ecx = feature_bits(cpu, 1, 0, ECX),
        .edx = feature_bits(cpu, 1, 0, EDX),
    };
    if (cpu->mmu.registers.cr4 & CR4_OSXSAVE)
        r.ecx |= CPUID_ECX_OSXSAVE;
    if (!(cpu->msr.apic_base & BIT(11)))
        r.edx &= ~CPUID_EDX_APIC;
    return r;
}

/* Deterministic cache parameters: 32 KiB of each L1, 2 MiB of L2, all of 64-byte lines, 8 ways. */
static struct cpuid_result leaf_caches(uint32_t subleaf)
{
    static const struct {
        uint8_t type, level;
        uint16_t sets;
    } caches[] = {{1, 1, 64}, {2, 1, 64}, {3, 2, 4096}};
    enum { LINE_BYTES = 64, WAYS = 8 };
    if (subleaf >= ARRAY_LENGTH(caches))
        return (struct cpuid_result){0};
    return (struct cpuid_result){
        .eax = caches[subleaf].type | caches[subleaf].level << 5 | 1u << 8,
        .ebx = (LINE_BYTES - 1) | (WAYS - 1) << 22,
        .ecx = caches[subleaf].sets - 1u,
    };
}

/* One thread a core, one core a package: the levels differ only in their numbers. */
static struct cpuid_result leaf_topology(const struct cpu *cpu, uint32_t subleaf)
{
    enum { LEVEL_THREAD = 1, LEVEL_CORE = 2 };
    struct cpuid_result r = {.ecx = subleaf & 0xff, .edx = cpu->index};
    if (subleaf == 0)
        r.ecx |= LEVEL_THREAD << 8;
    else if (subleaf == 1)
        r.ecx |= LEVEL_CORE << 8;
    r.ebx = subleaf <= 1 ? 1 : 0;
    return r;
}

static struct cpuid_result leaf_xsave(const struct cpu *cpu, uint32_t subleaf)
{
    enum { COMPONENT_AVX = 2, WITHOUT_AVX = XSAVE_AVX, WITH_AVX = XSAVE_AVX + XSAVE_AVX_BYTES };
    const bool avx = cpu_has(cpu, FEAT_AVX);
    const uint32_t enabled = cpu->xcr0 & XCR0_AVX ? WITH_AVX : WITHOUT_AVX;
    if (subleaf == 0)
        return (struct cpuid_result){.eax = XCR0_X87 | XCR0_SSE | (avx ? XCR0_AVX : 0),
                                     .ebx = enabled,
                                     .ecx = avx ? WITH_AVX : WITHOUT_AVX};
    if (subleaf == 1)
        return (struct cpuid_result){.eax = feature_bits(cpu, 13, 1, EAX),
                                     .ebx = cpu_has(cpu, FEAT_XSAVEC) ? enabled : 0};
    if (subleaf == COMPONENT_AVX && avx)
        return (struct cpuid_result){.eax = XSAVE_AVX_BYTES, .ebx = XSAVE_AVX};
    return (struct cpuid_result){0};
}

static struct cpuid_result basic_leaf(const struct cpu *cpu, uint32_t leaf, uint32_t subleaf)
{
    enum { ARAT = 1 << 2 };
    switch (leaf) {
    case 0:
        return leaf_vendor(cpu, cpu->model->max_leaf);
    case 1:
        return leaf_features(cpu);
    case 2: /* L1: 32 KiB + 32 KiB, L2: 2 MiB; AMD tells it in 8000_0005h */
        return cpu_is_amd(cpu) ? (struct cpuid_result){0}
                               : (struct cpuid_result){.eax = 0x00000001, .edx = 0x002c307d};
    case 4:
        return cpu_is_amd(cpu) ? (struct cpuid_result){0} : leaf_caches(subleaf);
    case 5:
        return cpu_has(cpu, FEAT_MONITOR) ? (struct cpuid_result){.eax = 64, .ebx = 64}
                                          : (struct cpuid_result){0};
    case 6: /* the APIC's timer runs on while the processor sleeps */
        return (struct cpuid_result){.eax = cpu_has(cpu, FEAT_APIC) ? ARAT : 0};
    case 7:
        return subleaf ? (struct cpuid_result){0}
                       : (struct cpuid_result){.ebx = feature_bits(cpu, 7, 0, EBX),
                                               .ecx = feature_bits(cpu, 7, 0, ECX),
                                               .edx = feature_bits(cpu, 7, 0, EDX)};
    case 0xb:
        return cpu_has(cpu, FEAT_X2APIC) ? leaf_topology(cpu, subleaf) : (struct cpuid_result){0};
    case 0xd:
        return cpu_has(cpu, FEAT_XSAVE) ? leaf_xsave(cpu, subleaf) : (struct cpuid_result){0};
    default:
        return (struct cpuid_result){0};
    }
}

/* A hypervisor is there, of a name that no guest takes for KVM, Hyper-V or VMware. */
static struct cpuid_result hypervisor_leaf(const struct cpu *cpu, uint32_t leaf)
{
    uint32_t text[3];
    if (leaf != HYPERVISOR_LEAF || !cpu_has(cpu, FEAT_HYPERVISOR))
        return (struct cpuid_result){0};
    put_text(text, "ring3 ring3");
    return (struct cpuid_result){HYPERVISOR_LEAF, text[0], text[1], text[2]};
}

static struct cpuid_result leaf_brand(const struct cpu *cpu, unsigned part)
{
    char text[48] = {0};
    memcpy(text, cpu->model->brand, strnlen(cpu->model->brand, sizeof text - 1));
    const char *at = text + part * 16;
    return (struct cpuid_result){load_le32(at), load_le32(at + 4), load_le32(at + 8),
                                 load_le32(at + 12)};
}

static struct cpuid_result leaf_extended_features(const struct cpu *cpu)
{
    struct cpuid_result r = {
        .ecx = feature_bits(cpu, EXTENDED_LEAF + 1, 0, ECX),
        .edx = feature_bits(cpu, EXTENDED_LEAF + 1, 0, EDX),
    };
    if (cpu_is_amd(cpu)) {
        r.eax = cpu->model->signature;
        r.edx |= leaf_features(cpu).edx & AMD_REPEATED;
    } else if (!cpu_is_64(cpu)) {
        r.edx &= ~(1u << 11); /* SDM: SYSCALL shows in 64-bit mode only */
    }
    return r;
}

static struct cpuid_result extended_leaf(const struct cpu *cpu, uint32_t leaf)
{
    const struct cpu_model *model = cpu->model;
    switch (leaf - EXTENDED_LEAF) {
    case 0: {
        struct cpuid_result r = leaf_vendor(cpu, model->max_extended_leaf);
        return cpu_is_amd(cpu) ? r : (struct cpuid_result){.eax = r.eax};
    }
    case 1:
        return leaf_extended_features(cpu);
    case 2:
    case 3:
    case 4:
        return leaf_brand(cpu, leaf - EXTENDED_LEAF - 2);
    case 5: /* L1 TLBs of 64 entries, L1 caches of 32 KiB, 8 ways, 64-byte lines */
        return cpu_is_amd(cpu)
                   ? (struct cpuid_result){0xff40ff40, 0xff40ff40, 0x20080140, 0x20080140}
                   : (struct cpuid_result){0};
    case 6: /* L2: 2 MiB, 8 ways, 64-byte lines */
        return (struct cpuid_result){.ecx = 0x08006140};
    case 7:
        return (struct cpuid_result){.edx = feature_bits(cpu, leaf, 0, EDX)};
    case 8:
        return (struct cpuid_result){.eax = model->physical_bits | model->linear_bits << 8};
    default:
        return (struct cpuid_result){0};
    }
}

struct cpuid_result cpuid_query(const struct cpu *cpu, uint32_t leaf, uint32_t subleaf)
{
    const struct cpu_model *model = cpu->model;
    if (leaf >= EXTENDED_LEAF && leaf <= model->max_extended_leaf)
        return extended_leaf(cpu, leaf);
    if (leaf >= HYPERVISOR_LEAF && leaf < HYPERVISOR_LEAF + 0x10000000)
        return hypervisor_leaf(cpu, leaf);
    if (leaf <= model->max_leaf)
        return basic_leaf(cpu, leaf, subleaf);
    /* SDM: past the end, Intel's processors show the highest basic leaf; AMD's show zeroes. */
    return cpu_is_amd(cpu) ? (struct cpuid_result){0} : basic_leaf(cpu, model->max_leaf, subleaf);
}
