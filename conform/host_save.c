/* A generated case as a regression vector. */
#include "conform/host_save.h"

#include "conform/host_encode.h"
#include "conform/host_engine.h"
#include "cpu/cpu.h"
#include "cpu/decode.h"
#include "cpu/exec.h"

#include <stdlib.h>
#include <string.h>

enum { ENTRY_BYTES = 8, FLAGS = F_ARITH | F_DF };

/* --- the state */

static void put_floating(struct state *to, const struct host_fx *fx)
{
    const unsigned top = fx->status >> 11 & 7;

    state_put(to, SF_FCW, fx->control);
    state_put(to, SF_FSW, fx->status);
    state_put(to, SF_FTW, fx->valid);
    state_put(to, SF_MXCSR, fx->mxcsr);
    for (unsigned i = 0; i < 8; i++)
        to->value[SF_FPR0 + ((top + i) & 7)] =
            (union state_value){.word = {fx->st[i].mantissa, fx->st[i].exponent}};
}

static void put_state(struct state *to, const struct host_state *from)
{
    for (unsigned i = 0; i < 16; i++) {
        state_put(to, SF_RAX + i, from->regs[i]);
        memcpy(to->value[SF_V0 + i].bytes, from->fx.xmm[i], 16);
        memcpy(to->value[SF_V0 + i].bytes + 16, from->upper[i], 16);
    }
    state_put(to, SF_RIP, from->rip);
    const uint64_t flags = to->value[SF_RFLAGS].word[0];
    state_put(to, SF_RFLAGS, (flags & ~(uint64_t)FLAGS) | (from->eflags & FLAGS));
    put_floating(to, &from->fx);
}

/* The fields in which they are not the same. */
static void note_changes(const struct state *a, const struct state *b, struct state_fields *set)
{
    for (unsigned field = 0; field < STATE_FIELDS; field++)
        if (memcmp(&a->value[field], &b->value[field], sizeof a->value[field]))
            state_fields_add(set, field);
}

/* What freedoms cover, and what the host was not asked for. */
static void put_ignored(const struct host_event *event, struct state_case *c)
{
    struct state *ignored = &c->ignored;
    static const uint8_t unknown[] = {SF_FOP, SF_FCS, SF_FIP, SF_FDS, SF_FDP};
    struct host_mismatch all, rest;

    memset(&all, 0xff, sizeof all);
    rest = all;
    host_freedoms_take(event, &rest);
    c->exception.has_error &= rest.bits[ASPECT_DETAIL] & 1;
    state_put(ignored, SF_RFLAGS, ~rest.bits[ASPECT_FLAGS] & FLAGS);
    state_put(ignored, SF_FSW, (uint16_t)~rest.bits[ASPECT_X87_STATUS]);
    state_put(ignored, SF_MXCSR, (uint32_t)~rest.bits[ASPECT_MXCSR]);
    if (!rest.bits[ASPECT_RIP])
        state_put(ignored, SF_RIP, UINT64_MAX);
    for (unsigned i = 0; i < 16; i++)
        if (!(rest.bits[ASPECT_REGISTERS] >> i & 1))
            state_put(ignored, SF_RAX + i, UINT64_MAX);
    if (!(host_case_row(event->c)->attributes & (A_X87 | A_MMX)))
        return;
    for (unsigned i = 0; i < ARRAY_LENGTH(unknown); i++)
        memset(ignored->value[unknown[i]].bytes, 0xff, state_field_bytes(unknown[i]));
}

/* --- memory */

static bool add_byte(struct case_memory *memory, uint32_t address, uint8_t value)
{
    if (memory->count == memory->room) {
        const uint32_t room = memory->room ? 2 * memory->room : 64;
        struct case_byte *bytes = realloc(memory->bytes, room * sizeof *bytes);
        if (!bytes)
            return false;
        memory->bytes = bytes;
        memory->room = room;
    }
    memory->bytes[memory->count++] = (struct case_byte){.address = address, .value = value};
    return true;
}

/* A page that is not there, or only to be read. */
static bool add_page(struct case_memory *memory, const struct host_outcome *outcome)
{
    bool added = true;

    if (outcome->vector != VECTOR_PF || outcome->address >= HOST_LOW_END)
        return true;
    const uint64_t entry = host_engine_table_entry(outcome->address);
    for (unsigned i = 0; i < ENTRY_BYTES; i++)
        added &= add_byte(memory, host_engine_table_entry_at(outcome->address) + i,
                          (uint8_t)(entry >> 8 * i));
    return added;
}

static bool put_memory(const struct host_event *event, struct state_case *c)
{
    bool added = add_page(&c->initial_memory, &event->host->outcome) &&
                 add_page(&c->initial_memory, &event->ring3->outcome);

    for (unsigned i = 0; i < HOST_DATA_BYTES; i++) {
        const uint8_t before = event->c->data[i], after = event->host->data[i];
        if (before)
            added &= add_byte(&c->initial_memory, HOST_DATA + i, before);
        if (before != after)
            added &= add_byte(&c->final_memory, HOST_DATA + i, after);
    }
    return added;
}

/* --- all of it */

/* Is anything in the upper halves, or may it come there? */
static bool uses_avx(const struct host_case *c)
{
    static const uint8_t nothing[sizeof c->state.upper];

    return host_case_row(c)->attributes & A_AVX ||
           memcmp(c->state.upper, nothing, sizeof nothing) != 0;
}

/* Features without which the bytes are another instruction, or none. */
static struct feature_set needs_of(const struct host_case *c, const struct feature_set *features)
{
    struct feature_set needs = {{0}};

    if (uses_avx(c)) /* for XCR0 */
        feature_add(&needs, FEAT_AVX);
    for (enum feature feature = 0; feature < FEATURE_COUNT; feature++) {
        struct feature_set less = *features;
        struct host_case without = *c;
        feature_remove(&less, feature);
        if (*feature_name(feature) &&
            (!host_decode(&without, c->insn.row, &less) || without.insn.exec != c->insn.exec))
            feature_add(&needs, feature);
    }
    return needs;
}

unsigned host_code_bits(const struct host_case *c)
{
    return 16u << c->code_size;
}

static struct case_exception exception_of(const struct host_outcome *outcome)
{
    return (struct case_exception){.expected = outcome->vector >= 0,
                                   .vector = (uint8_t)outcome->vector,
                                   .has_error =
                                       outcome->vector >= VECTOR_DF && outcome->vector <= VECTOR_PF,
                                   .error = outcome->error,
                                   .has_address = outcome->vector == VECTOR_PF,
                                   .address = outcome->address};
}

bool host_save(const struct host_event *event, const struct feature_set *features,
               struct state_case *to)
{
    const struct host_case *c = event->c;
    const struct opcode_row *row = host_case_row(c);
    struct state preset;

    *to = (struct state_case){.preset = host_engine_preset(c->code_size),
                              .cpl = 3,
                              .steps = 1,
                              .code_length = c->insn.length,
                              .needs = needs_of(c, features),
                              .exception = exception_of(&event->host->outcome)};
    snprintf(to->name, sizeof to->name, "%s %s in %u-bit code", row->id,
             c->insn.memory ? "in memory" : "in registers", host_code_bits(c));
    snprintf(to->see, sizeof to->see, "SDM %s", row->section);
    memcpy(to->code, c->bytes, c->insn.length);
    preset_state(to->preset, 3, &preset);
    host_engine_state(c->code_size, &to->needs, &to->initial);
    put_state(&to->initial, &c->state);
    state_put(&to->initial, SF_RFLAGS, c->state.eflags);
    note_changes(&preset, &to->initial, &to->given);
    to->final = to->initial;
    put_state(&to->final, &event->host->state);
    note_changes(&to->initial, &to->final, &to->expected);
    put_ignored(event, to);
    return put_memory(event, to);
}
