#include "conform/state_case.h"

#include <stdlib.h>
#include <string.h>

enum { BYTES_A_LINE = 32 };

static uint64_t word(const struct state *state, unsigned field)
{
    return state->value[field].word[0];
}

unsigned state_case_code_size(const struct state_case *c)
{
    uint64_t rights = word(&c->initial, SF_CS_RIGHTS);

    if (word(&c->initial, SF_EFER) & EFER_LMA && rights & SEG_L)
        return CODE_64;
    return rights & SEG_DB ? CODE_32 : CODE_16;
}

uint64_t state_case_code_at(const struct state_case *c)
{
    uint64_t rip = word(&c->initial, SF_RIP);
    return state_case_code_size(c) == CODE_64 ? rip
                                              : (uint32_t)(word(&c->initial, SF_CS_BASE) + rip);
}

struct feature_set state_case_lacks(const struct state_case *c, const struct cpu_model *model)
{
    struct feature_set lacks = preset_needs(c->preset);

    for (unsigned i = 0; i < ARRAY_LENGTH(lacks.words); i++)
        lacks.words[i] = (lacks.words[i] | c->needs.words[i]) & ~model->features.words[i];
    return lacks;
}

void state_case_free(struct state_case *c)
{
    free(c->initial_memory.bytes);
    free(c->final_memory.bytes);
    c->initial_memory = c->final_memory = (struct case_memory){0};
}

/* --- writing */

static void write_fields(FILE *to, const char *keyword, const struct state *state,
                         const struct state_fields *set)
{
    if (!state_fields_any(set))
        return;
    fputs(keyword, to);
    for (unsigned field = 0; field < STATE_FIELDS; field++) {
        if (!state_fields_has(set, field))
            continue;
        fprintf(to, " %s=", state_field_name(field));
        state_value_write(to, &state->value[field]);
    }
    fputc('\n', to);
}

static void write_needs(FILE *to, const struct feature_set *needs)
{
    if (!feature_any(needs))
        return;
    fputs("needs", to);
    for (enum feature feature = 0; feature < FEATURE_COUNT; feature++)
        if (feature_has(needs, feature))
            fprintf(to, " %s", feature_name(feature));
    fputc('\n', to);
}

static void write_ignored(FILE *to, const struct state *ignored)
{
    static const union state_value none;
    const char *before = "ignore";

    for (unsigned field = 0; field < STATE_FIELDS; field++) {
        union state_value all = none;
        if (!memcmp(&ignored->value[field], &none, sizeof none))
            continue;
        fprintf(to, "%s %s", before, state_field_name(field));
        before = "";
        memset(all.bytes, 0xff, state_field_bytes(field));
        if (memcmp(&ignored->value[field], &all, sizeof all)) {
            fputc('=', to);
            state_value_write(to, &ignored->value[field]);
        }
    }
    if (!*before)
        fputc('\n', to);
}

static void write_memory(FILE *to, const char *keyword, const struct case_memory *memory)
{
    unsigned in_line = 0;

    for (uint32_t i = 0; i < memory->count; i++) {
        const struct case_byte *byte = &memory->bytes[i];
        if (in_line && (in_line == BYTES_A_LINE || byte->address != byte[-1].address + 1)) {
            fputc('\n', to);
            in_line = 0;
        }
        if (!in_line)
            fprintf(to, "%s %x ", keyword, byte->address);
        fprintf(to, "%02x", byte->value);
        in_line++;
    }
    if (in_line)
        fputc('\n', to);
}

void case_exception_write(FILE *to, const struct case_exception *exception)
{
    if (!exception->expected)
        return;
    fprintf(to, "exception %u", exception->vector);
    if (exception->has_error)
        fprintf(to, " error=%x", exception->error);
    if (exception->has_address)
        fprintf(to, " address=%llx", (unsigned long long)exception->address);
    if (exception->has_dr6)
        fprintf(to, " dr6=%llx", (unsigned long long)exception->dr6);
}

void state_case_write(FILE *to, const struct state_case *c)
{
    fprintf(to, "case %s\n", c->name);
    if (*c->see)
        fprintf(to, "see %s\n", c->see);
    fprintf(to, "mode %s%s\n", preset_name(c->preset),
            c->cpl && c->preset != PRESET_V86 ? " cpl 3" : "");
    write_needs(to, &c->needs);
    write_fields(to, "init", &c->initial, &c->given);
    fputs("code ", to);
    for (unsigned i = 0; i < c->code_length; i++)
        fprintf(to, "%02x", c->code[i]);
    fputc('\n', to);
    write_memory(to, "memory", &c->initial_memory);
    if (c->steps != 1)
        fprintf(to, "steps %u\n", c->steps);
    if (c->delivers)
        fputs("deliver\n", to);
    if (c->exception.expected) {
        case_exception_write(to, &c->exception);
        fputc('\n', to);
    }
    write_fields(to, "expect", &c->final, &c->expected);
    write_memory(to, "expect-memory", &c->final_memory);
    write_ignored(to, &c->ignored);
    fputs("end\n", to);
}
