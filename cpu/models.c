/* Processor models of -cpu, and which features this build and this host can stand for.
 *
 * INV-1: a model that cpu_model_parse() returns offers nothing that does not work: an instruction
 *        set only if the opcode table has rows for it, and only if the host has it where handlers
 *        lean on the host's own instruction.
 */
#include "cpu/features.h"
#include "cpu/insn.h"

#include <errno.h>
#include <stdlib.h>
#include <strings.h>

struct base_model {
    const char *name, *vendor, *brand, *help;
    uint32_t signature, max_leaf, max_extended_leaf;
    uint8_t physical_bits;
    const uint8_t *features; /* ends with FEAT_BASE; NULL: everything that works */
};

#define FEATURES_486 FEAT_ISA486, FEAT_FPU, FEAT_VME
#define FEATURES_PENTIUM                                                                           \
    FEATURES_486, FEAT_DE, FEAT_PSE, FEAT_TSC, FEAT_MSR, FEAT_MCE, FEAT_CX8, FEAT_APIC, FEAT_MMX
#define FEATURES_QEMU32                                                                            \
    FEATURES_PENTIUM, FEAT_NOPL, FEAT_PAE, FEAT_SEP, FEAT_MTRR, FEAT_PGE, FEAT_MCA, FEAT_CMOV,     \
        FEAT_PAT, FEAT_PSE36, FEAT_CLFSH, FEAT_FXSR, FEAT_SSE, FEAT_SSE2, FEAT_SSE3,               \
        FEAT_HYPERVISOR
#define FEATURES_QEMU64                                                                            \
    FEATURES_QEMU32, FEAT_CX16, FEAT_LM, FEAT_SYSCALL, FEAT_NX, FEAT_LAHF_LM, FEAT_INVTSC

#define FEATURES_V3                                                                                \
    FEATURES_QEMU64, FEAT_SSSE3, FEAT_SSE41, FEAT_SSE42, FEAT_POPCNT, FEAT_XSAVE, FEAT_AVX,        \
        FEAT_AVX2, FEAT_BMI1, FEAT_BMI2, FEAT_F16C, FEAT_FMA, FEAT_ABM, FEAT_MOVBE

static const uint8_t features_486[] = {FEATURES_486, FEAT_BASE};
static const uint8_t features_pentium[] = {FEATURES_PENTIUM, FEAT_BASE};
static const uint8_t features_qemu32[] = {FEATURES_QEMU32, FEAT_BASE};
static const uint8_t features_qemu64[] = {FEATURES_QEMU64, FEAT_BASE};
static const uint8_t features_v3[] = {FEATURES_V3, FEAT_BASE};

static const struct base_model base_models[] = {
    {"486", "GenuineIntel", "", "Intel 486 DX4", 0x480, 1, 0, 32, features_486},
    {"pentium", "GenuineIntel", "", "Intel Pentium MMX", 0x543, 1, 0, 32, features_pentium},
    {"qemu32", "GenuineIntel", "ring3 virtual 32-bit processor", "32-bit, up to SSE3", 0x663, 4,
     0x80000004, 36, features_qemu32},
    {"qemu64", "AuthenticAMD", "ring3 virtual 64-bit processor", "64-bit, up to SSE3", 0x60fb1, 7,
     0x80000008, 40, features_qemu64},
    {"x86-64-v3", "AuthenticAMD", "ring3 virtual x86-64-v3 processor",
     "64-bit, up to AVX2 and BMI2", 0x60fb1, 0xd, 0x80000008, 40, features_v3},
    {"max", "AuthenticAMD", "ring3 virtual processor", "everything that ring3 has", 0x60fb1, 0xd,
     0x80000008, 40, NULL},
};

static const char *const feature_names[FEATURE_COUNT] = {
#define FEATURE(id, leaf, subleaf, register, bit, name) [FEAT_##id] = name,
#include "cpu/features.def"
#undef FEATURE
};

/* Other names that people type: QEMU's. */
static const struct {
    const char *name;
    enum feature feature;
} aliases[] = {
    {"sse3", FEAT_SSE3},     {"clfsh", FEAT_CLFSH},
    {"pclmul", FEAT_PCLMUL}, {"tsc_deadline", FEAT_TSC_DEADLINE},
    {"sse4", FEAT_SSE42},    {"sha", FEAT_SHA},
    {"lzcnt", FEAT_ABM},     {"i64", FEAT_LM},
};

/* What QEMU's command lines name and ring3 does not have: may be taken away, not asked for. */
static const char *const absent[] = {
    "xop",       "fma4",       "sse4a", "svm",     "vmx",         "hle",        "rtm",
    "3dnow",     "pdcm",       "ss",    "ht",      "acpi",        "tm",         "pbe",
    "kvm",       "kvmclock",   "check", "enforce", "vaes",        "vpclmulqdq", "gfni",
    "avx512f",   "3dnowext",   "pku",   "la57",    "ibrs",        "stibp",      "ssbd",
    "spec_ctrl", "tsc_adjust", "arat",  "mmxext",  "misalignsse", "kvm_pv_eoi",
};

/* What makes no sense without another: asking for the first brings the second, taking the second
 * away takes the first. */
static const struct {
    uint8_t feature, needs;
} dependencies[] = {
    {FEAT_AVX2, FEAT_AVX},       {FEAT_FMA, FEAT_AVX},       {FEAT_F16C, FEAT_AVX},
    {FEAT_XSAVEOPT, FEAT_XSAVE}, {FEAT_XSAVEC, FEAT_XSAVE},  {FEAT_XGETBV1, FEAT_XSAVE},
    {FEAT_AVX, FEAT_XSAVE},      {FEAT_XSAVES, FEAT_XSAVEC},
};

/* --- what works */

/* Features that are not (only) instructions: paging, flags, registers. */
static const uint8_t architectural[] = {
    FEAT_FPU,    FEAT_VME,          FEAT_DE,   FEAT_PSE,     FEAT_PAE,        FEAT_MCE,
    FEAT_APIC,   FEAT_MTRR,         FEAT_PGE,  FEAT_MCA,     FEAT_PAT,        FEAT_PSE36,
    FEAT_X2APIC, FEAT_SMEP,         FEAT_UMIP, FEAT_NX,      FEAT_PDPE1GB,    FEAT_LM,
    FEAT_PCID,   FEAT_TSC_DEADLINE, FEAT_ERMS, FEAT_XGETBV1, FEAT_HYPERVISOR, FEAT_INVTSC,
    FEAT_ISA486, FEAT_CX16, /* CMPXCHG8B with REX.W */
};

static struct feature_set features_that_work(void)
{
    struct feature_set set = {0};
    for (unsigned i = 0; i < ARRAY_LENGTH(architectural); i++)
        feature_add(&set, architectural[i]);
    for (unsigned row = 0; row < OPCODE_COUNT; row++)
        feature_add(&set, opcode_rows[row].feature);
    for (unsigned f = 0; f < FEATURE_COUNT; f++)
        if (!feature_host_supports(f))
            feature_remove(&set, f);
    return set;
}

bool feature_host_supports(enum feature feature)
{
    switch (feature) {
    /* clang-format off */
    case FEAT_SSE3: case FEAT_SSSE3: case FEAT_SSE41: case FEAT_SSE42: case FEAT_PCLMUL:
    case FEAT_AES: case FEAT_SHA: case FEAT_AVX: case FEAT_AVX2: case FEAT_FMA: case FEAT_F16C: {
        /* clang-format on */
        const struct feature_set host = features_of_host();
        return feature_has(&host, feature);
    }
    default:
        return true;
    }
}

/* --- parsing */

/* Names compare without case, and with '-' and '.' as '_'. */
static bool same_name(const char *name, const char *text, size_t length)
{
    if (strlen(name) != length || length == 0)
        return false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i] == '-' || text[i] == '.' ? '_' : text[i];
        if (strncasecmp(&name[i], &c, 1))
            return false;
    }
    return true;
}

static enum feature feature_find(const char *text, size_t length)
{
    for (unsigned f = 0; f < FEATURE_COUNT; f++)
        if (same_name(feature_names[f], text, length))
            return f;
    for (unsigned i = 0; i < ARRAY_LENGTH(aliases); i++)
        if (same_name(aliases[i].name, text, length))
            return aliases[i].feature;
    return FEATURE_COUNT;
}

enum feature feature_by_name(const char *name)
{
    return feature_find(name, strlen(name));
}

const char *feature_name(enum feature feature)
{
    return feature_names[feature];
}

static bool is_absent(const char *text, size_t length)
{
    for (unsigned i = 0; i < ARRAY_LENGTH(absent); i++)
        if (same_name(absent[i], text, length))
            return true;
    return false;
}

/* With what depends on it, or what it depends on. */
static void change_feature(struct feature_set *set, enum feature feature, bool add)
{
    add ? feature_add(set, feature) : feature_remove(set, feature);
    for (unsigned i = 0; i < ARRAY_LENGTH(dependencies); i++) {
        if (add && dependencies[i].feature == feature)
            change_feature(set, dependencies[i].needs, true);
        else if (!add && dependencies[i].needs == feature)
            change_feature(set, dependencies[i].feature, false);
    }
}

/* One of "+name", "-name", "name", "name=on", "name=off". */
static int apply_feature(const char *text, size_t length, const struct feature_set *works,
                         struct cpu_model *model, struct error *error)
{
    bool add = true;
    const char *name = text;
    size_t name_length = length;
    if (length && (*text == '+' || *text == '-')) {
        add = *text == '+';
        name++, name_length--;
    } else if (length > 4 && !strncmp(text + length - 4, "=off", 4)) {
        add = false;
        name_length -= 4;
    } else if (length > 3 && !strncmp(text + length - 3, "=on", 3)) {
        name_length -= 3;
    }
    enum feature feature = feature_find(name, name_length);
    if (feature == FEATURE_COUNT && !is_absent(name, name_length))
        return error_set(error, EINVAL,
                         "-cpu %s: unknown feature '%.*s'; see -cpu help for the names",
                         model->name, (int)name_length, name);
    if (feature == FEATURE_COUNT || (add && !feature_has(works, feature)))
        return !add ? 0
                    : error_set(error, EINVAL,
                                "-cpu %s: ring3 cannot offer '%.*s' on this host; leave it out",
                                model->name, (int)name_length, name);
    change_feature(&model->features, feature, add);
    return 0;
}

/* Leaves that an added feature needs to be seen. */
static void extend_leaves(struct cpu_model *model)
{
    static const struct {
        enum feature feature;
        uint32_t leaf;
    } needs[] = {
#define FEATURE(id, leaf, subleaf, register, bit, name) {FEAT_##id, leaf},
#include "cpu/features.def"
#undef FEATURE
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(needs); i++) {
        uint32_t leaf = needs[i].leaf;
        uint32_t *max = leaf >> 31 ? &model->max_extended_leaf : &model->max_leaf;
        if (feature_has(&model->features, needs[i].feature) && leaf > *max)
            *max = leaf;
    }
    if (feature_has(&model->features, FEAT_LM) && model->max_extended_leaf < 0x80000008)
        model->max_extended_leaf = 0x80000008;
    if (feature_has(&model->features, FEAT_X2APIC) && model->max_leaf < 0xb)
        model->max_leaf = 0xb;
}

static void model_from_base(const struct base_model *base, const struct feature_set *works,
                            struct cpu_model *model)
{
    *model = (struct cpu_model){
        .name = base->name,
        .vendor = base->vendor,
        .brand = base->brand,
        .help = base->help,
        .signature = base->signature,
        .max_leaf = base->max_leaf,
        .max_extended_leaf = base->max_extended_leaf,
        .physical_bits = base->physical_bits,
    };
    if (!base->features) {
        model->features = *works;
        /* LIMIT: MWAIT does not sleep: offered unasked, it would keep an idle guest busy. */
        feature_remove(&model->features, FEAT_MONITOR);
    }
    for (const uint8_t *f = base->features; f && *f != FEAT_BASE; f++)
        if (feature_has(works, *f))
            feature_add(&model->features, *f);
    feature_add(&model->features, FEAT_BASE);
}

int cpu_model_parse(const char *text, struct cpu_model *model, struct error *error)
{
    const struct feature_set works = features_that_work();
    const struct base_model *base = NULL;
    size_t length = strcspn(text, ",");
    for (unsigned i = 0; i < ARRAY_LENGTH(base_models); i++)
        if (strlen(base_models[i].name) == length && !strncmp(base_models[i].name, text, length))
            base = &base_models[i];
    if (!base)
        return error_set(error, EINVAL,
                         "-cpu: unknown model '%.*s'; use 486, pentium, qemu32, qemu64, "
                         "x86-64-v3 or max",
                         (int)length, text);
    model_from_base(base, &works, model);

    for (const char *at = text + length; *at; at += length) {
        at++;
        length = strcspn(at, ",");
        int result = apply_feature(at, length, &works, model, error);
        if (result < 0)
            return result;
    }
    extend_leaves(model);
    model->linear_bits = feature_has(&model->features, FEAT_LM) ? 48 : 32;
    return 0;
}

void cpu_model_list(FILE *out)
{
    const struct feature_set works = features_that_work();
    fprintf(out, "Processor models:\n");
    for (unsigned i = 0; i < ARRAY_LENGTH(base_models); i++)
        fprintf(out, "  %-10s %s\n", base_models[i].name, base_models[i].help);
    fprintf(out, "Features (add with ,+NAME, take away with ,-NAME):\n ");
    unsigned column = 1;
    for (unsigned f = 0; f < FEATURE_COUNT; f++) {
        unsigned width = (unsigned)strlen(feature_names[f]) + 1;
        if (width == 1 || !feature_has(&works, f))
            continue;
        if (column + width > 78) {
            fprintf(out, "\n ");
            column = 1;
        }
        fprintf(out, " %s", feature_names[f]);
        column += width;
    }
    fprintf(out, "\n");
}
