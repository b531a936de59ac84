/* A processor's whole state as numbered fields: what cases of ring3's own format begin with and
 * expect. */
#ifndef CONFORM_STATE_H
#define CONFORM_STATE_H

#include "cpu/cpu.h"

enum state_field {
#define FIELD(id, ...) SF_##id,
#include "conform/state_fields.def"
#undef FIELD
    STATE_FIELDS
};

enum { STATE_VALUE_BYTES = 32 };

/* Little-endian; the bytes beyond the field's are 0. */
union state_value {
    uint8_t bytes[STATE_VALUE_BYTES];
    uint64_t word[STATE_VALUE_BYTES / 8];
};

struct state {
    union state_value value[STATE_FIELDS];
};

/* A set of fields. */
struct state_fields {
    uint64_t words[(STATE_FIELDS + 63) / 64];
};

static inline bool state_fields_has(const struct state_fields *set, unsigned field)
{
    return set->words[field / 64] >> (field % 64) & 1;
}
static inline void state_fields_add(struct state_fields *set, unsigned field)
{
    set->words[field / 64] |= UINT64_C(1) << (field % 64);
}
static inline bool state_fields_any(const struct state_fields *set)
{
    uint64_t any = 0;
    for (unsigned i = 0; i < ARRAY_LENGTH(set->words); i++)
        any |= set->words[i];
    return any;
}

const char *state_field_name(unsigned field);
unsigned state_field_bytes(unsigned field);
/* STATE_FIELDS: there is none of that name. */
unsigned state_field_by_name(const char *name);

static inline void state_put(struct state *state, enum state_field field, uint64_t value)
{
    state->value[field] = (union state_value){.word = {value}};
}

/* In hexadecimal, without leading zeros. */
void state_value_write(FILE *to, const union state_value *value);

/* What in it no processor can be in, as "cpl: more than 3"; NULL: nothing. */
const char *state_nonsense(const struct state *state, const struct cpu_model *model);
/* Gives `cpu`, which is reset before, this state, which is no nonsense.  False: with PAE paging,
 * CR3 leads to page directory pointers that no processor would load. */
must_check bool state_load(struct cpu *cpu, const struct state *state);
void state_read(const struct cpu *cpu, struct state *state);

#endif
