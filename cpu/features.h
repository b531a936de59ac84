/* What a processor model offers: one bit a row of features.def. */
#ifndef CPU_FEATURES_H
#define CPU_FEATURES_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum feature {
#define FEATURE(id, ...) FEAT_##id,
#include "cpu/features.def"
#undef FEATURE
    FEATURE_COUNT
};

struct feature_set {
    uint64_t words[(FEATURE_COUNT + 63) / 64];
};

static inline bool feature_has(const struct feature_set *set, enum feature feature)
{
    return set->words[feature / 64] >> (feature % 64) & 1;
}

static inline void feature_add(struct feature_set *set, enum feature feature)
{
    set->words[feature / 64] |= UINT64_C(1) << (feature % 64);
}

static inline bool feature_any(const struct feature_set *set)
{
    uint64_t any = 0;
    for (unsigned i = 0; i < sizeof set->words / sizeof set->words[0]; i++)
        any |= set->words[i];
    return any;
}

/* What the host's processor has, and its system has enabled. */
struct feature_set features_of_host(void);

static inline void feature_remove(struct feature_set *set, enum feature feature)
{
    set->words[feature / 64] &= ~(UINT64_C(1) << (feature % 64));
}

/* "avx2", or another name that -cpu takes for it; FEATURE_COUNT: there is none of that name. */
enum feature feature_by_name(const char *name);
/* "" of a feature that -cpu cannot name. */
const char *feature_name(enum feature feature);

/* Does the host have the instructions that the handlers of this feature execute themselves? */
bool feature_host_supports(enum feature feature);

/* A processor model of -cpu. */
struct cpu_model {
    const char *name, *vendor, *brand, *help;
    uint32_t signature;                   /* CPUID.1:EAX; also EDX at reset */
    uint32_t max_leaf, max_extended_leaf; /* 0: CPUID does not exist (486 without) */
    uint8_t physical_bits, linear_bits;
    struct feature_set features; /* of the model, cut down to what ring3 has on this host */
};

/* Parses "max", "qemu64,-avx,+sse4_2" …: fills *model, or -EINVAL with a line that lists the
 * models. */
int cpu_model_parse(const char *text, struct cpu_model *model, struct error *error);
/* One row a model, for "-cpu help". */
void cpu_model_list(FILE *out);

#endif
