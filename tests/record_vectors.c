/* Writes cases of ring3's own format (conform/FORMAT.md) whose outcome is that of the host's
 * processor:
 *
 *     record_vectors | gzip -n9 > tests/vectors/host.r3v.gz
 *
 * For each row that 64-bit user-mode code can run, one case of its register form and one of its
 * memory form in 64-bit code, at CPL 3, reduced to what the outcome depends on.  The interpreter
 * has no part in it.
 */
#include "conform/r3v.h"
#include "cpu/decode.h"
#include "cpu/exec.h"
#include "cpu/system.h"
#include "tests/exec_cases.h"

#include <stdlib.h>
#include <string.h>

enum { TRIES = 4000, TRIES_TO_TELL = 2000, CHUNK = 16, CHUNKS = SANDBOX_BYTES / CHUNK };

/* What a case can be without, each with the value that it then has. */
enum item {
    ITEM_STACK_POINTER = RSP, /* the general registers by their numbers */
    ITEM_FLAGS = 16,
    ITEM_CONTROL,
    ITEM_STATUS,
    ITEM_MXCSR,
    ITEM_TAG,
    ITEM_ST = ITEM_TAG + 8,
    ITEM_XMM = ITEM_ST + 8,
    ITEM_UPPER = ITEM_XMM + 16,
    ITEM_DATA = ITEM_UPPER + 16,
    ITEMS = ITEM_DATA + CHUNKS,
};

struct image {
    struct cpu_state state; /* but fx.st[n] is the physical register n */
    uint8_t data[SANDBOX_BYTES];
};

/* Rows whose outcome is each processor's own: x87.r3v, state.r3v and approximate.r3v have them by
 * hand. */
static const struct {
    const char *mnemonic, *reason;
} left_out[] = {
    {"rcpps", "an approximation"},
    {"rcpss", "an approximation"},
    {"rsqrtps", "an approximation"},
    {"rsqrtss", "an approximation"},
    {"vrcpps", "an approximation"},
    {"vrcpss", "an approximation"},
    {"vrsqrtps", "an approximation"},
    {"vrsqrtss", "an approximation"},
    {"f2xm1", "the last bit"},
    {"fyl2x", "the last bit"},
    {"fyl2xp1", "the last bit"},
    {"fptan", "the last bit"},
    {"fpatan", "the last bit"},
    {"fsin", "the last bit"},
    {"fcos", "the last bit"},
    {"fsincos", "the last bit"},
    {"fnstenv", "what it says of the last instruction"},
    {"fnsave", "what it says of the last instruction"},
    {"fldenv", "what it says of the last instruction"},
    {"frstor", "what it says of the last instruction"},
    {"fxsave", "what it says of the last instruction"},
    {"fxrstor", "what it says of the last instruction"},
    {"ud0", "no case runs through"},
    {"ud1", "no case runs through"},
    {"ud2", "no case runs through"},
};

static bool is_left_out(const struct opcode_row *row)
{
    for (unsigned i = 0; i < ARRAY_LENGTH(left_out); i++)
        if (!strcmp(left_out[i].mnemonic, row->mnemonic))
            return true;
    return false;
}

/* --- running */

/* fx.st[] of the physical registers, or back. */
static void turn_stack(struct fx_image *fx, bool back)
{
    unsigned top = fx->status >> 11 & 7;
    struct fx_image from = *fx;

    for (unsigned i = 0; i < 8; i++)
        fx->st[i] = from.st[(back ? i - top : i + top) & 7];
}

/* False: it raised an exception. */
static bool run(const struct exec_case *c, const struct image *before, struct image *after)
{
    struct cpu_outcome outcome;

    *after = *before;
    memcpy(host_cpu_data(), before->data, SANDBOX_BYTES);
    turn_stack(&after->state.fx, false);
    host_cpu_run(c->bytes, true, &after->state, &outcome);
    turn_stack(&after->state.fx, true);
    memcpy(after->data, host_cpu_data(), SANDBOX_BYTES);
    return outcome.vector < 0;
}

/* Exceptions are masked and none is pending; MXCSR and the control word keep their rounding. */
static void calm(struct cpu_state *state)
{
    state->fx.control |= 0x3f;
    state->fx.status &= 0x3800;
    state->fx.mxcsr = (state->fx.mxcsr & 0x6000) | 0x1f80;
}

/* --- reducing */

struct part {
    void *at;
    unsigned bytes;
};

static struct part part_of(struct image *image, enum item item)
{
    struct cpu_state *state = &image->state;

    if (item >= ITEM_DATA)
        return (struct part){image->data + (item - ITEM_DATA) * CHUNK, CHUNK};
    if (item >= ITEM_UPPER)
        return (struct part){state->upper[item - ITEM_UPPER], 16};
    if (item >= ITEM_XMM)
        return (struct part){state->fx.xmm[item - ITEM_XMM], 16};
    if (item >= ITEM_ST)
        return (struct part){&state->fx.st[item - ITEM_ST], 10};
    if (item >= ITEM_TAG)
        return (struct part){&state->fx.valid, 1};
    if (item == ITEM_MXCSR)
        return (struct part){&state->fx.mxcsr, 4};
    if (item >= ITEM_CONTROL)
        return (struct part){item == ITEM_CONTROL ? &state->fx.control : &state->fx.status, 2};
    if (item == ITEM_FLAGS)
        return (struct part){&state->eflags, 4};
    return (struct part){&state->regs[item], 8};
}

static void leave_out(struct image *image, enum item item)
{
    struct part part = part_of(image, item);

    if (item >= ITEM_TAG && item < ITEM_ST)
        image->state.fx.valid &= (uint8_t) ~(1u << (item - ITEM_TAG));
    else
        memset(part.at, 0, part.bytes);
    if (item == ITEM_FLAGS)
        image->state.eflags = 0x202;
    if (item == ITEM_CONTROL)
        image->state.fx.control = 0x37f;
    if (item == ITEM_MXCSR)
        image->state.fx.mxcsr = 0x1f80;
    if (item == ITEM_STACK_POINTER)
        image->state.regs[RSP] = PRESET_STACK;
}

static bool changes_by_bits(enum item item)
{
    return item == ITEM_STATUS || item == ITEM_MXCSR || (item >= ITEM_TAG && item < ITEM_ST);
}

/* Without the item the instruction did to all others what it did before, and to this one too, or
 * left it alone both times. */
static bool same_effect(struct image *before, struct image *after, struct image *less,
                        struct image *less_after, enum item item)
{
    struct image expected = *after;
    struct part was = part_of(before, item), became = part_of(after, item);
    struct part less_was = part_of(less, item), place = part_of(&expected, item);

    for (unsigned i = 0; changes_by_bits(item) && i < place.bytes; i++)
        ((uint8_t *)place.at)[i] ^= ((uint8_t *)was.at)[i] ^ ((uint8_t *)less_was.at)[i];
    if (!changes_by_bits(item) && !memcmp(was.at, became.at, was.bytes))
        memcpy(place.at, less_was.at, place.bytes);
    return !memcmp(expected.state.regs, less_after->state.regs, sizeof expected.state.regs) &&
           expected.state.rip == less_after->state.rip &&
           expected.state.eflags == less_after->state.eflags &&
           !memcmp(&expected.state.fx, &less_after->state.fx, 6) &&
           expected.state.fx.mxcsr == less_after->state.fx.mxcsr &&
           !memcmp(expected.state.fx.st, less_after->state.fx.st,
                   sizeof expected.state.fx.st + sizeof expected.state.fx.xmm) &&
           !memcmp(expected.state.upper, less_after->state.upper, sizeof expected.state.upper) &&
           !memcmp(expected.data, less_after->data, SANDBOX_BYTES);
}

static void reduce(const struct exec_case *c, struct image *before, struct image *after)
{
    static struct image less, less_after;

    for (enum item item = 0; item < ITEMS; item++) {
        less = *before;
        leave_out(&less, item);
        if (run(c, &less, &less_after) && same_effect(before, after, &less, &less_after, item)) {
            *before = less;
            *after = less_after;
        }
    }
}

/* --- writing */

static void put_bytes(struct state *state, unsigned field, const void *low, unsigned bytes,
                      const void *high)
{
    state->value[field] = (union state_value){{0}};
    memcpy(state->value[field].bytes, low, bytes);
    if (high)
        memcpy(state->value[field].bytes + 16, high, 16);
}

static void put_state(struct state *to, const struct cpu_state *from)
{
    const struct fx_image *fx = &from->fx;

    for (unsigned i = 0; i < 16; i++) {
        state_put(to, SF_RAX + i, from->regs[i]);
        put_bytes(to, SF_V0 + i, fx->xmm[i], 16, from->upper[i]);
    }
    state_put(to, SF_RIP, from->rip);
    state_put(to, SF_RFLAGS, (from->eflags & (F_ARITH | F_DF)) | 2);
    for (unsigned i = 0; i < 8; i++)
        put_bytes(to, SF_FPR0 + i, &fx->st[i], 10, NULL);
    state_put(to, SF_FCW, fx->control);
    state_put(to, SF_FSW, fx->status);
    state_put(to, SF_FTW, fx->valid);
    state_put(to, SF_MXCSR, fx->mxcsr);
}

static void note_difference(const struct state *from, const struct state *to,
                            struct state_fields *fields)
{
    for (unsigned field = 0; field < STATE_FIELDS; field++)
        if (memcmp(&from->value[field], &to->value[field], sizeof from->value[field]))
            state_fields_add(fields, field);
}

static void add_byte(struct case_memory *memory, unsigned offset, uint8_t value)
{
    memory->bytes[memory->count++] =
        (struct case_byte){.address = SANDBOX_DATA + offset, .value = value};
}

/* Bytes that are not 0 before, and those that change. */
static void put_memory(struct state_case *to, const struct image *before, const struct image *after)
{
    static struct case_byte initial[SANDBOX_BYTES], final[SANDBOX_BYTES];

    to->initial_memory.bytes = initial;
    to->final_memory.bytes = final;
    for (unsigned i = 0; i < SANDBOX_BYTES; i++) {
        if (before->data[i])
            add_byte(&to->initial_memory, i, before->data[i]);
        if (before->data[i] != after->data[i])
            add_byte(&to->final_memory, i, after->data[i]);
    }
}

/* Features without which the bytes are another instruction, or none. */
static struct feature_set needs_of(const struct exec_case *c, const struct feature_set *host)
{
    const uint32_t mode = CODE_64 | MODE_PROTECTED | MODE_OSFXSR | MODE_AVX;
    struct feature_set needs = {{0}};

    if (opcode_rows[c->insn.row].attributes & A_AVX) /* for XCR0 */
        feature_add(&needs, FEAT_AVX);
    for (enum feature feature = 0; feature < FEATURE_COUNT; feature++) {
        struct feature_set less = *host;
        struct insn insn;
        feature_remove(&less, feature);
        if (*feature_name(feature) &&
            (decode(c->bytes, INSN_LENGTH_MAX, mode, &less, &insn) != DECODE_OK ||
             insn.row != c->insn.row || insn.exec == exec_undefined))
            feature_add(&needs, feature);
    }
    return needs;
}

static void put_ignored(struct state_case *to, const struct exec_case *c)
{
    static const uint8_t pointers[] = {SF_FOP, SF_FCS, SF_FIP, SF_FDS, SF_FDP};

    state_put(&to->ignored, SF_RFLAGS, exec_case_undefined_flags(c));
    if (!(opcode_rows[c->insn.row].attributes & (A_X87 | A_MMX)))
        return;
    state_put(&to->ignored, SF_FSW, exec_case_undefined_codes(c));
    for (unsigned i = 0; i < ARRAY_LENGTH(pointers); i++)
        memset(to->ignored.value[pointers[i]].bytes, 0xff, state_field_bytes(pointers[i]));
}

static void write_case(const struct exec_case *c, const struct image *before,
                       const struct image *after, const struct feature_set *host)
{
    const struct opcode_row *row = &opcode_rows[c->insn.row];
    struct state_case to = {.preset = PRESET_LONG, .cpl = 3, .steps = 1};
    struct state preset;

    snprintf(to.name, sizeof to.name, "%s %s", row->id,
             c->insn.memory ? "in memory" : "in registers");
    snprintf(to.see, sizeof to.see, "SDM %s", row->section);
    to.needs = needs_of(c, host);
    memcpy(to.code, c->bytes, c->insn.length);
    to.code_length = c->insn.length;
    preset_state(PRESET_LONG, 3, &preset);
    to.initial = preset;
    if (row->attributes & A_AVX) {
        to.initial.value[SF_CR4].word[0] |= CR4_OSXSAVE;
        state_put(&to.initial, SF_XCR0, XCR0_X87 | XCR0_SSE | XCR0_AVX);
    }
    put_state(&to.initial, &before->state);
    note_difference(&preset, &to.initial, &to.given);
    to.final = to.initial;
    put_state(&to.final, &after->state);
    note_difference(&to.initial, &to.final, &to.expected);
    put_memory(&to, before, after);
    put_ignored(&to, c);
    state_case_write(stdout, &to);
    putchar('\n');
}

/* --- choosing */

/* Something came of it, and no invalid operation. */

static bool is_telling(const struct image *before, const struct image *after)
{
    if (after->state.fx.mxcsr & 1 || after->state.fx.status & 1)
        return false;
    return memcmp(before->state.regs, after->state.regs, sizeof before->state.regs) ||
           before->state.eflags != after->state.eflags ||
           memcmp(&before->state.fx, &after->state.fx, 5) ||
           memcmp(before->state.fx.st, after->state.fx.st,
                  sizeof before->state.fx.st + sizeof before->state.fx.xmm) ||
           memcmp(before->state.upper, after->state.upper, sizeof before->state.upper) ||
           memcmp(before->data, after->data, SANDBOX_BYTES);
}

static bool is_in_sandbox(const struct exec_case *c)
{
    return !c->memory ||
           (c->address >= SANDBOX_DATA && c->address <= SANDBOX_DATA + SANDBOX_BYTES - 512);
}

/* One case of the form; false: the row has none that runs through. */
static bool record(unsigned row, bool memory, const struct feature_set *host)
{
    static struct exec_case c;
    static struct image before, after;
    struct random random = {UINT64_C(0x9e3779b97f4a7c15) * (row + 1) ^ memory};

    for (unsigned tries = 0; tries < TRIES; tries++) {
        if (!exec_case_make(&c, row, true, host, &random) || c.insn.memory != memory ||
            !is_in_sandbox(&c))
            continue;
        before.state = c.state;
        before.state.rip = SANDBOX_ENTRY;
        turn_stack(&before.state.fx, true);
        memcpy(before.data, c.data, SANDBOX_BYTES);
        calm(&before.state);
        if (!run(&c, &before, &after) || (tries < TRIES_TO_TELL && !is_telling(&before, &after)))
            continue;
        reduce(&c, &before, &after);
        write_case(&c, &before, &after, host);
        return true;
    }
    return false;
}

int main(void)
{
    const struct feature_set host = host_features();

    host_cpu_open();
    puts(R3V_HEAD);
    for (unsigned row = 0; row < OPCODE_COUNT; row++) {
        if (!(opcode_rows[row].modes & X_64) || !exec_case_is_possible(&opcode_rows[row], &host) ||
            is_left_out(&opcode_rows[row]))
            continue;
        bool in_registers = record(row, false, &host), in_memory = record(row, true, &host);
        if (!in_registers && !in_memory)
            fprintf(stderr, "%s: no case runs through\n", opcode_rows[row].id);
    }
    return 0;
}
