/* Topic: model-specific registers: which exist, which values they take, for whom; FS and GS bases.
 */
#include "system.h"

/* RAX:RDX is written to MSR RCX and read back. */
SNIPPET(64, write_64, "wrmsr; rdmsr");
SNIPPET(64, read_64, "rdmsr");
SNIPPET(32, write_32, "wrmsr; rdmsr");
SNIPPET(32, read_32, "rdmsr");
SNIPPET(16, read_16, "rdmsr");
SNIPPET(16, write_16, "wrmsr");

#define NOT_CANONICAL UINT64_C(0x0000800000000000)
#define EFER_LME      (1u << 8)
#define EFER_NXE      (1u << 11)

static bool is_canonical(uint64_t address)
{
    return address >> 47 == 0 || address >> 47 == 0x1ffff;
}

static void try_write(uint32_t index, uint64_t value, bool legal)
{
    struct state start = start_at(&write_64, 0);

    start.gpr[RCX] = index;
    start.gpr[RAX] = (uint32_t)value;
    start.gpr[RDX] = value >> 32;
    struct state end = case_attempt(&write_64, &start, legal ? ENDS : fault(VECTOR_GP, 0),
                                    "MSR %x, %llx", index, value);
    if (legal)
        case_check((end.gpr[RDX] << 32 | end.gpr[RAX]) == value,
                   "MSR %x, %llx reads as %08llx%08llx", index, value, end.gpr[RDX], end.gpr[RAX]);
}

/* --- addresses */

static const uint32_t addresses[] = {
    MSR_FS_BASE, MSR_GS_BASE,      MSR_KERNEL_GS_BASE, MSR_LSTAR,
    MSR_CSTAR,   MSR_SYSENTER_ESP, MSR_SYSENTER_EIP,
};

static void canonical_addresses(void)
{
    case_begin("2D WRMSR", "an MSR that holds an address takes canonical ones only");
    for (unsigned i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        uint64_t before = rdmsr(addresses[i]);
        for (unsigned n = 0; n < 64; n++) {
            uint64_t bit = UINT64_C(1) << n, values[] = {bit, bit - 1, ~bit, -bit};
            for (unsigned k = 0; k < 4; k++)
                try_write(addresses[i], values[k], is_canonical(values[k]));
        }
        wrmsr(addresses[i], before);
    }
    case_end();
}

SNIPPET(64, wrfsbase, "wrfsbase %rax; rdfsbase %rcx");
SNIPPET(64, wrgsbase, "wrgsbase %rax; rdgsbase %rcx");
SNIPPET(64, wrfsbase_32, "wrfsbase %eax; rdfsbase %rcx");

static void base_instructions(void)
{
    enum { CR4_FSGSBASE = 1 << 16 };
    static const struct snippet *const snippets[] = {&wrfsbase, &wrgsbase};

    if (!(cpuid(7, 0, CPUID_EBX) & 1))
        return;
    case_begin("2D WRFSBASE", "WRFSBASE and WRGSBASE take canonical addresses, at any CPL");
    write_cr4(read_cr4() | CR4_FSGSBASE);
    for (unsigned n = 0; n < 2 * 4 * 64; n++) {
        const struct snippet *snippet = snippets[n & 1];
        unsigned cpl = n >> 1 & 3;
        struct state start = start_at(snippet, cpl);
        uint64_t value = -(UINT64_C(1) << (n >> 3));
        for (unsigned inverted = 0; inverted < 2; inverted++, value = ~value) {
            start.gpr[RAX] = value;
            bool legal = is_canonical(value);
            struct state end = case_attempt(snippet, &start, legal ? ENDS : fault(VECTOR_GP, 0),
                                            "CPL %u, %llx", cpl, value);
            if (legal)
                case_check(end.gpr[RCX] == value, "%llx reads as %llx", value, end.gpr[RCX]);
        }
    }
    struct state start = start_at(&wrfsbase_32, 0);
    start.gpr[RAX] = NOT_CANONICAL | 0x12345678;
    struct state end = case_attempt(&wrfsbase_32, &start, ENDS, "32 bits");
    case_check(end.gpr[RCX] == 0x12345678, "32 bits: %llx", end.gpr[RCX]);
    write_cr4(read_cr4() & ~(uint32_t)CR4_FSGSBASE);
    for (unsigned i = 0; i < 2; i++) {
        start = start_at(snippets[i], 0);
        case_attempt(snippets[i], &start, fault(VECTOR_UD, 0), "without CR4.FSGSBASE");
    }
    case_end();
}

SNIPPET(64, swapgs, "swapgs");

static void swapgs_privilege(void)
{
    case_begin("2B SWAPGS", "SWAPGS is of CPL 0 and exchanges the base with IA32_KERNEL_GS_BASE");
    wrmsr(MSR_KERNEL_GS_BASE, UINT64_C(0xffff800012345678));
    struct state start = start_at(&swapgs, 0);
    start.gs_base = 0x4321;
    case_attempt(&swapgs, &start, ENDS, "CPL 0");
    case_check(rdmsr(MSR_KERNEL_GS_BASE) == 0x4321 &&
                   rdmsr(MSR_GS_BASE) == UINT64_C(0xffff800012345678),
               "GS base %llx, kernel's %llx", rdmsr(MSR_GS_BASE), rdmsr(MSR_KERNEL_GS_BASE));
    wrmsr(MSR_GS_BASE, 0);
    for (unsigned cpl = 1; cpl <= 3; cpl++) {
        start = start_at(&swapgs, cpl);
        case_attempt(&swapgs, &start, fault(VECTOR_GP, 0), "CPL %u", cpl);
    }
    case_end();
}

/* --- reserved bits */

static void efer(void)
{
    bool has_nx = cpuid(0x80000001, 0, CPUID_EDX) >> 20 & 1;

    case_begin("4 2.1", "IA32_EFER: reserved bits, and LME while paging is on");
    for (unsigned bit = 0; bit < 64; bit++) {
        uint64_t change = UINT64_C(1) << bit;
        /* AMD's may have SVME, LMSLE, FFXSR and TCE. */
        if (bit == 10 || (bit >= 12 && bit <= 15 && vendor_is_amd()))
            continue;
        try_write(MSR_EFER, rdmsr(MSR_EFER) ^ change,
                  change == EFER_SCE || (change == EFER_NXE && has_nx));
        wrmsr(MSR_EFER, 0x500);
    }
    case_end();
}

/* A field of 8 bits, each a memory type: of PAT or of a fixed-range MTRR. */
static bool is_memory_type(unsigned type, bool pat)
{
    return type == 0 || type == 1 || (type >= 4 && type <= 6) || (pat && type == 7);
}

static void memory_types(uint32_t index, const char *sdm, const char *name, bool pat)
{
    case_begin(sdm, name);
    uint64_t before = rdmsr(index);
    for (unsigned field = 0; field < 8; field++)
        for (unsigned type = 0; type < 256; type++)
            try_write(index, (uint64_t)type << 8 * field, is_memory_type(type, pat));
    wrmsr(index, before);
    case_end();
}

enum {
    MSR_MTRR_PHYS_BASE0 = 0x200,
    MSR_MTRR_PHYS_MASK0 = 0x201,
    MSR_MTRR_FIX64K = 0x250,
    MSR_PAT = 0x277,
    MSR_MTRR_DEF_TYPE = 0x2ff,
    MSR_XSS = 0xda0,
};

static void mtrrs(void)
{
    unsigned width = cpuid(0x80000008, 0, CPUID_EAX) & 0xff;

    case_begin("3A 12.11.2", "MTRRs: types and reserved bits");
    uint64_t before = rdmsr(MSR_MTRR_DEF_TYPE);
    for (unsigned n = 0; n < 256; n++)
        try_write(MSR_MTRR_DEF_TYPE, n | 0xc00, is_memory_type(n, false));
    for (unsigned bit = 8; bit < 64; bit++)
        try_write(MSR_MTRR_DEF_TYPE, UINT64_C(1) << bit | 6, bit == 10 || bit == 11);
    wrmsr(MSR_MTRR_DEF_TYPE, before);
    for (unsigned bit = 0; bit < 64; bit++) {
        uint64_t value = UINT64_C(1) << bit;
        bool in_address = bit >= 12 && bit < width;
        if (bit >= 8)
            try_write(MSR_MTRR_PHYS_BASE0, value, in_address);
        try_write(MSR_MTRR_PHYS_MASK0, value, in_address || bit == 11);
    }
    wrmsr(MSR_MTRR_PHYS_BASE0, 0);
    wrmsr(MSR_MTRR_PHYS_MASK0, 0);
    case_end();
}

static void no_supervisor_states(void)
{
    if (!(cpuid(0xd, 1, CPUID_EAX) & 8))
        return;
    uint64_t offered = (uint64_t)cpuid(0xd, 1, CPUID_EDX) << 32 | cpuid(0xd, 1, CPUID_ECX);
    case_begin("1 13.3", "IA32_XSS takes what CPUID offers");
    for (unsigned bit = 0; bit < 64; bit++)
        try_write(MSR_XSS, UINT64_C(1) << bit, offered >> bit & 1);
    try_write(MSR_XSS, 0, true);
    case_end();
}

/* --- those that do not exist, and privilege */

static const uint32_t nonexistent[] = {
    0x2,        0x3,        0x801,      0x80e,      0x8ff,      0x40000000,     0x12345678,
    0x7fffffff, 0x80000000, 0xbfffffff, 0xc0000085, 0xc0000104, 0xc0010000 - 1, 0xffffffff,
};

static void existence(void)
{
    case_begin("2D WRMSR", "an MSR that does not exist is refused");
    for (unsigned i = 0; i < sizeof nonexistent / sizeof nonexistent[0]; i++) {
        struct state start = start_at(&read_64, 0);
        start.gpr[RCX] = nonexistent[i];
        case_attempt(&read_64, &start, fault(VECTOR_GP, 0), "RDMSR %x", nonexistent[i]);
        try_write(nonexistent[i], 0, false);
    }
    case_end();
    case_begin("2B RDMSR", "the upper half of RCX does not count");
    struct state start = start_at(&read_64, 0);
    start.gpr[RCX] = UINT64_C(0xdeadbeef00000000) | MSR_EFER;
    start.gpr[RAX] = start.gpr[RDX] = ~UINT64_C(0);
    struct state end = case_attempt(&read_64, &start, ENDS, "RDMSR");
    case_check(end.gpr[RAX] == 0x500 && end.gpr[RDX] == 0, "%llx %llx", end.gpr[RAX], end.gpr[RDX]);
    case_end();
}

static void privilege(const struct snippet *reading, const struct snippet *writing,
                      const char *place)
{
    case_begin_in("2D WRMSR", "RDMSR and WRMSR are of CPL 0", place);
    for (unsigned cpl = 0; cpl <= 3; cpl++) {
        struct verdict expected = cpl ? fault(VECTOR_GP, 0) : ENDS;
        struct state start = start_at(reading, cpl);
        start.gpr[RCX] = MSR_SYSENTER_CS;
        case_attempt(reading, &start, expected, "RDMSR, CPL %u", cpl);
        start = start_at(writing, cpl);
        start.gpr[RCX] = MSR_SYSENTER_CS;
        case_attempt(writing, &start, expected, "WRMSR, CPL %u", cpl);
    }
    case_end();
}

static void virtual_8086(void)
{
    case_begin("3A 21.2.2", "RDMSR and WRMSR fault in virtual-8086 mode, not in real mode");
    static const struct snippet *const snippets[] = {&read_16, &write_16};
    for (unsigned i = 0; i < 2; i++) {
        struct state start = start_v86(snippets[i]);
        start.flags |= 3 << 12;
        start.gpr[RCX] = MSR_SYSENTER_CS;
        case_attempt(snippets[i], &start, fault(VECTOR_GP, 0), "V86, IOPL 3");
        start.flags = FLAG_FIXED;
        struct state end = attempt_real(&start);
        case_compare(snippets[i], &start, &end, ENDS, "real mode");
    }
    case_end();
}

static void efer_before_paging(void)
{
    case_begin("3A 10.8.5", "IA32_EFER.LME can be changed while paging is off");
    for (unsigned n = 0; n < 2; n++) {
        struct state start = start_at(&write_32, 0);
        start.gpr[RCX] = MSR_EFER;
        start.gpr[RAX] = n ? 0 : EFER_LME;
        struct state end = case_attempt(&write_32, &start, ENDS, "LME %u", !n);
        case_check(end.gpr[RAX] == start.gpr[RAX], "EFER %llx", end.gpr[RAX]);
    }
    case_end();
}

static void protected_mode(void)
{
    privilege(&read_32, &write_32, "protected mode");
    virtual_8086();
    if (has_long_mode())
        efer_before_paging();
}

static void long_mode(void)
{
    privilege(&read_64, &write_64, "64-bit mode");
    privilege(&read_32, &write_32, "compatibility mode");
    canonical_addresses();
    base_instructions();
    swapgs_privilege();
    efer();
    memory_types(MSR_PAT, "3A 12.12.2", "IA32_PAT: memory types", true);
    memory_types(MSR_MTRR_FIX64K, "3A 12.11.2.2", "fixed-range MTRRs: memory types", false);
    mtrrs();
    no_supervisor_states();
    existence();
}

const struct topic topic = {"model-register", protected_mode, long_mode};
