/* Writes cases of ring3's own format (conform/FORMAT.md) whose outcome is that of the host's
 * processor:
 *
 *     record_vectors | gzip -n9 > tests/vectors/host.r3v.gz
 *
 * For each row that 64-bit user-mode code can run, one case of its register form and one of its
 * memory form in 64-bit code, at CPL 3, reduced to what the outcome depends on.  The interpreter
 * has no part in it.
 */
#include "conform/host_encode.h"
#include "conform/host_generate.h"
#include "conform/host_process.h"
#include "conform/host_save.h"
#include "conform/r3v.h"
#include "cpu/cpu.h"

#include <stdlib.h>
#include <string.h>

enum { TRIES = 4000, TRIES_TO_TELL = 2000, CHUNK = 16, CHUNKS = HOST_DATA_BYTES / CHUNK };

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

struct recorder {
    struct host_process process;
    struct host_generator generator;
};

struct image {
    struct host_state state; /* but fx.st[n] is the physical register n */
    uint8_t data[HOST_DATA_BYTES];
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

static _Noreturn void die(const char *text)
{
    fprintf(stderr, "record_vectors: %s\n", text);
    exit(EXIT_FAILURE);
}

/* --- running */

/* fx.st[] of the physical registers, or back. */
static void turn_stack(struct host_fx *fx, bool back)
{
    unsigned top = fx->status >> 11 & 7;
    struct host_fx from = *fx;

    for (unsigned i = 0; i < 8; i++)
        fx->st[i] = from.st[(back ? i - top : i + top) & 7];
}

/* False: it raised an exception. */
static bool run(struct recorder *recorder, const struct host_case *c, const struct image *before,
                struct image *after)
{
    struct host_batch *batch = &recorder->process.batches[HOST_SINGLE];
    const struct host_result *result = &batch->results[0];
    struct error error;

    batch->cases[0] = *c;
    batch->cases[0].state = before->state;
    turn_stack(&batch->cases[0].state.fx, false);
    memcpy(batch->cases[0].data, before->data, HOST_DATA_BYTES);
    host_process_submit(&recorder->process, HOST_SINGLE, 1);
    if (host_process_wait(&recorder->process, &error))
        die(error.text);
    after->state = result->state;
    turn_stack(&after->state.fx, true);
    memcpy(after->data, result->data, HOST_DATA_BYTES);
    return !result->killed && result->outcome.vector < 0;
}

/* Exceptions are masked and none is pending; MXCSR and the control word keep their rounding. */
static void calm(struct host_state *state)
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
    struct host_state *state = &image->state;

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
           !memcmp(expected.data, less_after->data, HOST_DATA_BYTES);
}

static void reduce(struct recorder *recorder, const struct host_case *c, struct image *before,
                   struct image *after)
{
    static struct image less, less_after;

    for (enum item item = 0; item < ITEMS; item++) {
        less = *before;
        leave_out(&less, item);
        if (run(recorder, c, &less, &less_after) &&
            same_effect(before, after, &less, &less_after, item)) {
            *before = less;
            *after = less_after;
        }
    }
}

/* --- writing */

static void write_case(const struct recorder *recorder, const struct host_case *from,
                       const struct image *before, const struct image *after)
{
    struct host_case c = *from;
    struct host_result result = {.outcome = {.vector = -1}, .state = after->state};
    const struct host_event event = {&c, &result, &result};
    struct state_case to;

    c.state = before->state;
    turn_stack(&c.state.fx, false);
    turn_stack(&result.state.fx, false);
    memcpy(c.data, before->data, sizeof c.data);
    memcpy(result.data, after->data, sizeof result.data);
    if (!host_save(&event, &recorder->generator.features, &to))
        die("no memory left for a case");
    state_case_write(stdout, &to);
    putchar('\n');
    state_case_free(&to);
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
           memcmp(before->data, after->data, HOST_DATA_BYTES);
}

/* Does it stay in the sandbox, and do all processors agree about it? */
static bool is_usable(const struct host_case *c)
{
    return !(host_case_row(c)->size == SZ_F64 && host_has_prefix(c, 0x66)) &&
           host_case_fetched(c) >= c->insn.length &&
           (!c->memory ||
            (c->address >= HOST_DATA && c->address <= HOST_DATA + HOST_DATA_BYTES - 512));
}

/* One case of the form; false: the row has none that runs through. */
static bool record(struct recorder *recorder, unsigned kind, bool memory)
{
    static struct host_case c;
    static struct image before, after;
    const struct host_generator *generator = &recorder->generator;

    for (uint64_t tries = 0; tries < TRIES; tries++) {
        if (!host_generate(generator, kind + tries * generator->kind_count, &c) ||
            c.insn.memory != memory || !is_usable(&c))
            continue;
        before.state = c.state;
        turn_stack(&before.state.fx, true);
        memcpy(before.data, c.data, HOST_DATA_BYTES);
        calm(&before.state);
        if (!run(recorder, &c, &before, &after) ||
            (tries < TRIES_TO_TELL && !is_telling(&before, &after)))
            continue;
        reduce(recorder, &c, &before, &after);
        write_case(recorder, &c, &before, &after);
        return true;
    }
    return false;
}

int main(void)
{
    static struct recorder recorder;
    const struct feature_set host = features_of_host();
    struct error error;

    if (host_process_start(&recorder.process, &error) ||
        host_generator_init(&recorder.generator, 1, NULL, 1u << CODE_64, &host, &error))
        die(error.text);
    puts(R3V_HEAD);
    for (unsigned kind = 0; kind < recorder.generator.kind_count; kind++) {
        const struct opcode_row *row = &opcode_rows[recorder.generator.kinds[kind].row];
        if (is_left_out(row))
            continue;
        const bool in_registers = record(&recorder, kind, false);
        if (!record(&recorder, kind, true) && !in_registers)
            fprintf(stderr, "%s: no case runs through\n", row->id);
    }
    host_generator_free(&recorder.generator);
    host_process_stop(&recorder.process);
    return EXIT_SUCCESS;
}
