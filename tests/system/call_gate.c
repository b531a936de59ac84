/* Topic: call gates.
 *
 * The gate leads to the end of the snippet that calls through it. */
#include "model.h"

SNIPPET(32, jump_32, "ljmp *(%ebx)");
SNIPPET(64, jump_64, "ljmp *(%ebx)");
SNIPPET(32, call_32, "lcall *(%ebx)");
SNIPPET(64, call_64, "lcall *(%ebx)");

enum { GATE = SEL_SCRATCH, TARGET = SEL_SCRATCH + 0x20, STACK = SEL_SCRATCH + 0x30 };
enum { POINTER = FREE_BASE, PARAMETERS = 3 };

struct transfer {
    const struct snippet *snippet;
    bool is_call;
};

static const struct transfer transfers_32[] = {{&jump_32, false}, {&call_32, true}};
static const struct transfer transfers_64[] = {{&jump_64, false}, {&call_64, true}};

/* Code segments are based so that a 16-bit offset reaches the snippets. */
static struct snippet based(const struct transfer *transfer)
{
    struct snippet snippet = *transfer->snippet;

    snippet.bits = in_long_mode() ? 64 : 16;
    return snippet;
}

static uint32_t target_offset(const struct transfer *transfer)
{
    return (uint32_t)transfer->snippet->end - (in_long_mode() ? 0 : LOW_BASE);
}

static void set_gate(const struct transfer *transfer, struct kind k, unsigned selector,
                     unsigned parameters)
{
    uint64_t value = gate(target_offset(transfer), selector, access_byte(k));

    gdt_set(GATE, value | (uint64_t)parameters << 32);
    gdt_set(GATE + 8, 0);
}

static void set_target(struct kind k, unsigned flags)
{
    gdt_set(TARGET,
            descriptor(in_long_mode() ? 0 : LOW_BASE, 0xfffff, access_byte(k), PAGES | flags));
}

static struct state prepare(const struct transfer *transfer, unsigned cpl, unsigned selector)
{
    struct state start = start_at(transfer->snippet, cpl);

    start.gpr[RBX] = POINTER;
    *dword_at(POINTER) = 0xdeadbeef; /* the offset in the pointer does not count */
    *word_at(POINTER + 4) = selector;
    return start;
}

static struct state go(const struct transfer *transfer, unsigned cpl, unsigned selector,
                       struct verdict verdict, unsigned target)
{
    struct snippet snippet = based(transfer);
    struct state start = prepare(transfer, cpl, selector);
    struct state end = attempt(&start);

    case_compare(&snippet, &start, &end, verdict, "%s, gate %016llx %04x, target %016llx, CPL %u",
                 transfer->is_call ? "CALL" : "JMP", gdt_get(GATE), selector, gdt_get(target), cpl);
    return end;
}

/* --- the gate's own rights */

static struct verdict gate_verdict(struct kind k, unsigned rpl, unsigned cpl)
{
    if (k.dpl < cpl || k.dpl < rpl)
        return fault(VECTOR_GP, GATE);
    return k.present ? ENDS : fault(VECTOR_NP, GATE);
}

static void gate_rights(const struct transfer *transfers, unsigned kind, const char *place)
{
    static const struct kind target = {KIND_CODE | 4, 0, true}; /* conforming: any CPL may */

    case_begin_in("3A 5.8.4",
                  kind == KIND_CALL_GATE16 ? "a 16-bit gate's DPL, RPL, CPL and P"
                                           : "a gate's DPL, RPL, CPL and P",
                  place);
    for (unsigned i = 0; i < 0x100; i++) {
        struct kind k = {kind, i & 3, i >> 2 & 1};
        unsigned rpl = i >> 3 & 3, cpl = i >> 5 & 3;
        const struct transfer *transfer = &transfers[i >> 7];
        set_gate(transfer, k, TARGET, 0);
        set_target(target, in_long_mode() ? SIZE_64 : SIZE_32);
        struct state end = go(transfer, cpl, GATE | rpl, gate_verdict(k, rpl, cpl), TARGET);
        if (ends(gate_verdict(k, rpl, cpl)))
            case_check(end.cs == (TARGET | cpl), "CS %04llx", end.cs);
    }
    case_end();
}

/* --- the code segment behind it */

/* What the new stack holds (SDM 3A figure 5-13, 5.8.5.1). */
static void check_inner_stack(const struct transfer *transfer, const struct state *end,
                              unsigned cpl, unsigned inner, unsigned kind)
{
    bool is_long = in_long_mode();
    unsigned unit = is_long ? 8 : kind == KIND_CALL_GATE16 ? 2 : 4;
    unsigned parameters = is_long ? 0 : PARAMETERS;
    uint64_t stack = is_long ? inner : SEL_DATA32(inner);
    uint32_t top = RING_TOP(inner) - unit * (4 + parameters);
    uint32_t mask = unit == 2 ? 0xffff : 0xffffffff, at = top;

    case_check(end->ss == stack && end->gpr[RSP] == top, "CPL %u to %u: SS:RSP %04llx:%llx", cpl,
               inner, end->ss, end->gpr[RSP]);
    uint32_t words[4 + PARAMETERS] = {(uint32_t)transfer->snippet->end,
                                      start_at(transfer->snippet, cpl).cs};
    for (unsigned i = 0; i < parameters; i++)
        words[2 + i] =
            unit == 2 ? *word_at(STACK_TOP(cpl) + 2 * i) : *dword_at(STACK_TOP(cpl) + 4 * i);
    words[2 + parameters] = STACK_TOP(cpl);
    words[3 + parameters] = start_at(transfer->snippet, cpl).ss;
    for (unsigned i = 0; i < 4 + parameters; i++, at += unit) {
        uint32_t got = *dword_at(at) & (i == 1 || i == 3 + parameters ? 0xffff : mask);
        case_check(got == (words[i] & mask), "CPL %u to %u: word %u is %08x for %08x", cpl, inner,
                   i, got, words[i]);
    }
}

static void one_target(const struct transfer *transfer, unsigned gate_kind, struct kind k,
                       unsigned flags, unsigned rpl, unsigned cpl)
{
    struct verdict verdict = model_gate_code(TARGET | rpl, k, flags, cpl, transfer->is_call);
    bool is_inner = transfer->is_call && !is_conforming(k.kind) && k.dpl < cpl;

    set_gate(transfer, (struct kind){gate_kind, 3, true}, TARGET | rpl, PARAMETERS);
    set_target(k, flags);
    struct state end = go(transfer, cpl, GATE | 3, verdict, TARGET);
    if (!ends(verdict))
        return;
    case_check(end.cs == (TARGET | (is_inner ? k.dpl : cpl)), "CPL %u: CS %04llx", cpl, end.cs);
    if (is_inner)
        check_inner_stack(transfer, &end, cpl, k.dpl, gate_kind);
}

static void all_targets(const struct transfer *transfer, unsigned gate_kind, const char *name,
                        const char *place)
{
    unsigned sizes = in_long_mode() ? 4 : 1;

    case_begin_in("3A 5.8.4", name, place);
    for (unsigned cpl = 0; cpl <= 3; cpl++)
        for (uint32_t i = 0; i < 16; i += 4)
            *dword_at(STACK_TOP(cpl) + i) = 0x11223300 + 0x1010101 * i + cpl;
    for (unsigned i = 0; i < KINDS * 0x80 * sizes; i++) {
        struct kind k = {i & 31, i >> 5 & 3, i >> 7 & 1};
        unsigned flags = in_long_mode() ? (i >> 12) * SIZE_64 : SIZE_32;
        one_target(transfer, gate_kind, k, flags, i >> 8 & 3, i >> 10 & 3);
    }
    case_end();
}

static void no_target(const struct transfer *transfer, unsigned gate_kind, const char *place)
{
    const struct kind k = {gate_kind, 3, true};

    case_begin_in("3A 5.8.4",
                  transfer->is_call ? "CALL through a gate to no descriptor"
                                    : "JMP through a gate to no descriptor",
                  place);
    for (unsigned rpl = 0; rpl <= 3; rpl++) {
        set_gate(transfer, k, rpl, 0);
        go(transfer, 3, GATE | 3, fault(VECTOR_GP, 0), TARGET);
        set_gate(transfer, k, (GDT_LIMIT + 1) | rpl, 0);
        go(transfer, 3, GATE | 3, fault(VECTOR_GP, GDT_LIMIT + 1), TARGET);
        set_gate(transfer, k, (LDT_LIMIT + 1) | 4 | rpl, 0);
        go(transfer, 3, GATE | 3, fault(VECTOR_GP, (LDT_LIMIT + 1) | 4), TARGET);
    }
    case_end();
}

/* --- the stacks in a 32-bit TSS */

static struct state call_to(unsigned cpl, struct verdict verdict)
{
    set_gate(&transfers_32[1], (struct kind){KIND_CALL_GATE32, 3, true}, TARGET, PARAMETERS);
    set_target((struct kind){KIND_CODE | 2, cpl, true}, SIZE_32);
    return go(&transfers_32[1], 3, GATE | 3, verdict, STACK);
}

static void set_stack(unsigned cpl, unsigned selector)
{
    *word_at(TSS_32 + TSS_SS0 + 8 * cpl) = selector;
}

static void inner_stack_rights(void)
{
    case_begin("3A 5.8.5", "the inner stack's type, DPL, RPL and P: #TS or #SS");
    for (unsigned i = 0; i < KINDS * 0x20 * 3; i++) {
        struct kind k = {i & 31, i >> 5 & 3, i >> 7 & 1};
        unsigned rpl = i >> 8 & 3, cpl = i >> 10;
        gdt_set(STACK, descriptor(0, is_expand_down(k.kind) ? 0 : 0xfffff, access_byte(k),
                                  PAGES | SIZE_32));
        /* The handlers of CPL 0 need their stack, so only CPL 1 and 2 get bad ones. */
        struct verdict verdict = model_stack(STACK | rpl, k, cpl, VECTOR_TS);
        set_stack(cpl, cpl == 0 && !ends(verdict) ? SEL_DATA32(0) : STACK | rpl);
        call_to(cpl, cpl == 0 ? ENDS : verdict);
    }
    case_end();
}

static void inner_stack_selectors(void)
{
    case_begin("3A 5.8.5", "the inner stack's selector is null or beyond the tables: #TS");
    for (unsigned cpl = 1; cpl <= 2; cpl++) {
        for (unsigned rpl = 0; rpl <= 3; rpl++) {
            set_stack(cpl, rpl);
            call_to(cpl, fault(VECTOR_TS, 0));
            set_stack(cpl, (GDT_LIMIT + 1) | rpl);
            call_to(cpl, fault(VECTOR_TS, GDT_LIMIT + 1));
            set_stack(cpl, (LDT_LIMIT + 1) | 4 | rpl);
            call_to(cpl, fault(VECTOR_TS, (LDT_LIMIT + 1) | 4));
        }
    }
    case_end();
}

/* Seven double words have to fit (SDM 2A CALL: #SS with the new stack's selector). */
static void inner_stack_room(void)
{
    enum { BYTES = 4 * (4 + PARAMETERS) };

    case_begin("2A CALL", "the inner stack has no room: #SS with its selector");
    for (unsigned cpl = 1; cpl <= 2; cpl++) {
        set_stack(cpl, STACK | cpl);
        for (unsigned room = 0; room <= BYTES + 4; room++) {
            gdt_set(STACK, descriptor(RING_BASE, 0x7ff, 0x97 | cpl << 5, SIZE_32));
            *dword_at(TSS_32 + TSS_SP0 + 8 * cpl) = 0x800 + room;
            call_to(cpl, room < BYTES ? fault(VECTOR_SS, STACK) : ENDS);
        }
    }
    case_end();
}

/* SS and ESP of CPL 1 are the TSS's bytes 0Ch to 11h, those of CPL 2 14h to 19h. */
static void task_state_limit(void)
{
    case_begin("2A CALL", "the TSS is too short for the inner stack: #TS with the TSS's selector");
    for (unsigned cpl = 1; cpl <= 2; cpl++) {
        for (unsigned limit = 0x0b; limit <= 0x1f; limit++) {
            gdt_set(SEL_TSS32, descriptor(TSS_32, limit, TSS_FREE, 0));
            __asm__ volatile("ltr %w0" : : "r"(SEL_TSS32) : "memory");
            call_to(cpl, limit < 4u + 8 * cpl + 5 ? fault(VECTOR_TS, SEL_TSS32) : ENDS);
        }
    }
    case_end();
}

/* --- long mode */

static void long_gate_high_half(const struct transfer *transfers, const char *place)
{
    const struct kind k = {KIND_CALL_GATE32, 3, true};

    case_begin_in("2A CALL", "the type in a 16-byte gate's upper half must be 0", place);
    for (unsigned type = 0; type < 32; type++) {
        set_gate(&transfers[1], k, SEL_CODE64(3), 0);
        gdt_set(GATE + 8, (uint64_t)type << 40);
        go(&transfers[1], 3, GATE | 3, type ? fault(VECTOR_GP, GATE) : ENDS, GATE + 8);
    }
    case_end();
    case_begin_in("2A CALL", "a gate's upper half must lie within the GDT", place);
    set_gate(&transfers[1], k, SEL_CODE64(3), 0);
    for (unsigned limit = GATE + 6; limit <= GATE + 16; limit++) {
        load_gdtr(GDT, limit);
        go(&transfers[1], 3, GATE | 3, limit < GATE + 15 ? fault(VECTOR_GP, GATE) : ENDS, GATE);
    }
    case_end();
}

static void long_gate_offset(const struct transfer *transfers, const char *place)
{
    static const uint32_t upper[] = {0,       0x7fff,     0x8000,     0xffff,
                                     0x10000, 0xffff7fff, 0xffff8000, 0xffffffff};
    const struct kind k = {KIND_CALL_GATE32, 3, true};

    case_begin_in("3A 3.3.7.1", "a call gate's target must be canonical", place);
    for (unsigned i = 0; i < 2 * COUNT(upper); i++) {
        const struct transfer *transfer = &transfers[i & 1];
        bool is_canonical = upper[i / 2] < 0x8000 || upper[i / 2] >= 0xffff8000;
        struct state start = prepare(transfer, 3, GATE | 3);
        set_gate(transfer, k, SEL_CODE64(3), 0);
        gdt_set(GATE + 8, upper[i / 2]);
        struct state end = attempt(&start);
        if (is_canonical && upper[i / 2])
            case_check(end.vector == VECTOR_PF &&
                           end.ip == ((uint64_t)upper[i / 2] << 32 | target_offset(transfer)),
                       "upper half %08x: vector %llu at %llx", upper[i / 2], end.vector, end.ip);
        else
            case_compare(transfer->snippet, &start, &end, is_canonical ? ENDS : fault(VECTOR_GP, 0),
                         "upper half %08x", upper[i / 2]);
    }
    case_end();
}

static void long_stack(const struct transfer *transfers, const char *place)
{
    const struct kind k = {KIND_CALL_GATE32, 3, true};

    case_begin_in("3A 6.14.4", "an inner stack that is not canonical: #SS(0)", place);
    for (unsigned cpl = 0; cpl <= 2; cpl++) {
        set_gate(&transfers[1], k, SEL_CODE64(cpl), 0);
        *dword_at(TSS_64 + TSS_SP0 + 8 * cpl + 4) = 0x8000;
        go(&transfers[1], 3, GATE | 3, fault(VECTOR_SS, 0), GATE);
    }
    case_end();
}

static void protected_mode(void)
{
    static const char *const place = "protected mode";

    gate_rights(transfers_32, KIND_CALL_GATE32, place);
    gate_rights(transfers_32, KIND_CALL_GATE16, place);
    all_targets(&transfers_32[0], KIND_CALL_GATE32, "JMP to every code segment", place);
    all_targets(&transfers_32[1], KIND_CALL_GATE32, "CALL to every code segment", place);
    all_targets(&transfers_32[0], KIND_CALL_GATE16, "JMP by a 16-bit gate to every code segment",
                place);
    all_targets(&transfers_32[1], KIND_CALL_GATE16, "CALL by a 16-bit gate to every code segment",
                place);
    no_target(&transfers_32[0], KIND_CALL_GATE32, place);
    no_target(&transfers_32[1], KIND_CALL_GATE32, place);
    inner_stack_rights();
    inner_stack_selectors();
    inner_stack_room();
    task_state_limit();
}

static void long_mode_from(const struct transfer *transfers, const char *place)
{
    gate_rights(transfers, KIND_CALL_GATE32, place);
    all_targets(&transfers[0], KIND_CALL_GATE32, "JMP to every code segment", place);
    all_targets(&transfers[1], KIND_CALL_GATE32, "CALL to every code segment", place);
    no_target(&transfers[0], KIND_CALL_GATE32, place);
    no_target(&transfers[1], KIND_CALL_GATE32, place);
    long_gate_high_half(transfers, place);
    long_gate_offset(transfers, place);
    long_stack(transfers, place);
}

static void long_mode(void)
{
    long_mode_from(transfers_32, "compatibility mode");
    long_mode_from(transfers_64, "64-bit mode");
}

const struct topic topic = {"call-gate", protected_mode, long_mode};
