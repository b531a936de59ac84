/* What the host's own processor offers, by the places in features.def.  SDM 2A CPUID, 1 §14.3. */
#include "cpu/features.h"

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>

enum register_number { EAX, EBX, ECX, EDX, NONE };

static bool has_bit(uint32_t leaf, uint32_t subleaf, enum register_number reg, unsigned bit)
{
    unsigned values[4] = {0};
    if (reg == NONE) /* a matter of generations */
        return true;
    if (!__get_cpuid_count(leaf, subleaf, &values[EAX], &values[EBX], &values[ECX], &values[EDX]))
        return false;
    return values[reg] >> bit & 1;
}

/* Does the system save YMM registers? */
static bool system_has_avx(void)
{
    enum { OSXSAVE = 27, SSE_AND_AVX = 6 };
    uint32_t low, high;
    if (!has_bit(1, 0, ECX, OSXSAVE))
        return false;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & SSE_AND_AVX) == SSE_AND_AVX;
}

struct feature_set features_of_host(void)
{
    static const enum feature of_avx[] = {FEAT_AVX, FEAT_AVX2, FEAT_FMA, FEAT_F16C};
    struct feature_set host = {0};
#define FEATURE(id, leaf, subleaf, reg, bit, name)                                                 \
    if (has_bit(leaf, subleaf, reg, bit))                                                          \
        feature_add(&host, FEAT_##id);
#include "cpu/features.def"
#undef FEATURE
    for (unsigned i = 0; i < ARRAY_LENGTH(of_avx) && !system_has_avx(); i++)
        feature_remove(&host, of_avx[i]);
    return host;
}
#else
struct feature_set features_of_host(void)
{
    return (struct feature_set){0};
}
#endif
