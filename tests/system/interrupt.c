/* Topic: interrupt and trap gates, for INT n, INT3, INTO and for an exception.
 *
 * A gate leads to the end of the snippet that goes through it, which is not where the snippet would
 * go on.  Sources: SDM 2A INT n, 3A §6.12.1, §6.13, §6.14. */
#include "model.h"

SNIPPETS(int_n, "int $0x81\n ud2");
SNIPPETS(int3, "int3\n ud2");
SNIPPET(16, into_16, "into\n ud2");
SNIPPET(32, into_32, "into\n ud2");
SNIPPETS(no_fpu, "fnop\n ud2");

enum { VECTOR_N = 0x81, TARGET = SEL_SCRATCH, STACK = SEL_SCRATCH + 8 };
enum { CR0_TS = 8, IF = 0x200, OF = 0x800, NT = 0x4000, IOPL_3 = 0x3000, IN_IDT = 2, EXT = 1 };

struct source {
    const char *name;
    const struct snippet *snippet;
    unsigned vector;
    bool is_software; /* the gate's DPL counts, and EXT is 0 */
};

#define SOURCES(size)                                                                              \
    {"INT n", &int_n_##size, VECTOR_N, true}, {"INT3", &int3_##size, VECTOR_BP, true},             \
    {                                                                                              \
        "#NM", &no_fpu_##size, VECTOR_NM, false                                                    \
    }
static const struct source sources_32[] = {SOURCES(32), {"INTO", &into_32, VECTOR_OF, true}};
static const struct source sources_16[] = {SOURCES(16), {"INTO", &into_16, VECTOR_OF, true}};
static const struct source sources_64[] = {SOURCES(64)};

static unsigned ext(const struct source *source)
{
    return source->is_software ? 0 : EXT;
}

static unsigned idt_error(const struct source *source)
{
    return source->vector * 8 | IN_IDT | ext(source);
}

/* The verdict of a model that knows nothing of EXT. */
static struct verdict with_ext(const struct source *source, struct verdict verdict)
{
    if (!ends(verdict))
        verdict.error |= ext(source);
    return verdict;
}

/* All code segments are based at 0 but for 16-bit gates, whose offsets reach LOW_BASE's. */
static void set_gate(const struct source *source, struct kind k, unsigned selector, unsigned ist)
{
    uint32_t base = k.kind & 8 || in_long_mode() ? 0 : LOW_BASE;
    uint64_t value = gate((uint32_t)source->snippet->end - base, selector, access_byte(k));

    if (in_long_mode())
        idt_set_long(source->vector, value | (uint64_t)ist << 32, 0);
    else
        idt_set(source->vector, value);
}

static void set_target(struct kind gate, struct kind k, unsigned flags)
{
    uint32_t base = gate.kind & 8 || in_long_mode() ? 0 : LOW_BASE;

    gdt_set(TARGET, descriptor(base, 0xfffff, access_byte(k), PAGES | flags));
}

static struct snippet based(const struct source *source, unsigned gate_kind)
{
    struct snippet snippet = *source->snippet;

    snippet.bits = gate_kind & 8 || in_long_mode() ? 32 : 16;
    return snippet;
}

static struct state prepare(const struct source *source, unsigned cpl)
{
    struct state start = start_at(source->snippet, cpl);

    start.flags |= OF;
    write_cr0(read_cr0() | CR0_TS);
    return start;
}

static struct state go(const struct source *source, const struct state *start, unsigned gate_kind,
                       unsigned cpl, struct verdict verdict)
{
    struct snippet snippet = based(source, gate_kind);
    struct state end = attempt(start);

    case_compare(&snippet, start, &end, verdict, "%s, gate %016llx, target %016llx, CPL %u",
                 source->name, idt_get(source->vector), gdt_get(TARGET), cpl);
    return end;
}

/* --- the gate */

static bool is_gate(unsigned kind)
{
    const unsigned gates = 1 << KIND_INTERRUPT_GATE32 | 1 << KIND_TRAP_GATE32;
    const unsigned small = 1 << KIND_INTERRUPT_GATE16 | 1 << KIND_TRAP_GATE16;

    return (in_long_mode() ? gates : gates | small) >> kind & 1;
}

static void gate_rights(const struct source *source, const char *place)
{
    static const struct kind code = {KIND_CODE | 4, 0, true}; /* conforming: any CPL may */

    case_begin_in("3A 6.12.1.1", source->name, place);
    for (unsigned i = 0; i < KINDS * 0x20; i++) {
        struct kind k = {i & 31, i >> 5 & 3, i >> 7 & 1};
        unsigned cpl = i >> 8 & 3;
        struct verdict verdict = ENDS;
        if (k.kind == KIND_TASK_GATE && !in_long_mode())
            continue;
        if (!is_gate(k.kind) || (source->is_software && k.dpl < cpl))
            verdict = fault(VECTOR_GP, idt_error(source));
        else if (!k.present)
            verdict = fault(VECTOR_NP, idt_error(source));
        set_gate(source, k, TARGET, 0);
        set_target(k, code, in_long_mode() ? SIZE_64 : SIZE_32);
        struct state start = prepare(source, cpl);
        go(source, &start, k.kind, cpl, verdict);
    }
    case_end();
}

static void table_limit(const struct source *source, const char *place)
{
    unsigned bytes = in_long_mode() ? 16 : 8, first = VECTOR_N * bytes;

    case_begin_in("3A 6.10", "a vector beyond the IDT's limit", place);
    set_gate(source, (struct kind){KIND_INTERRUPT_GATE32, 3, true}, TARGET, 0);
    set_target((struct kind){KIND_INTERRUPT_GATE32, 3, true}, (struct kind){KIND_CODE | 4, 0, true},
               in_long_mode() ? SIZE_64 : SIZE_32);
    for (unsigned limit = first - 1; limit < first + bytes + 2; limit++) {
        struct state start = prepare(source, 3);
        load_idtr(IDT, limit);
        struct verdict verdict =
            limit >= first + bytes - 1 ? ENDS : fault(VECTOR_GP, idt_error(source));
        go(source, &start, KIND_INTERRUPT_GATE32, 3, verdict);
    }
    case_end();
}

/* --- the code segment behind it */

static struct verdict code_verdict(unsigned selector, struct kind k, unsigned flags, unsigned cpl)
{
    if (!is_code(k.kind) || k.dpl > cpl)
        return fault(VECTOR_GP, error_of(selector));
    if (in_long_mode() && (flags & (SIZE_64 | SIZE_32)) != SIZE_64)
        return fault(VECTOR_GP, error_of(selector));
    return k.present ? ENDS : fault(VECTOR_NP, error_of(selector));
}

static uint64_t pushed(uint32_t top, unsigned unit, unsigned index)
{
    uint32_t at = top + unit * index;

    return unit == 2 ? *word_at(at) : unit == 4 ? *dword_at(at) : *qword_at(at);
}

/* The stack, and on it EIP, CS, EFLAGS, and ESP and SS if it is another (SDM 3A figure 6-4, 6-8).
 */
static void check_frame(const struct source *source, const struct state *start,
                        const struct state *end, unsigned gate_kind, unsigned inner)
{
    unsigned cpl = start->cs & 3;
    bool is_long = in_long_mode(), changes = inner != cpl, is_16_bit = !(gate_kind & 8);
    unsigned unit = is_long ? 8 : is_16_bit ? 2 : 4, words = changes || is_long ? 5 : 3;
    uint64_t mask = is_16_bit ? 0xffff : ~UINT64_C(0);
    uint32_t base = start->ss == SEL_DATA16(cpl) && !changes && !is_long ? DATA_BASE : 0;
    uint64_t old = changes ? RING_TOP(inner) : start->gpr[RSP], top = old - unit * words;
    uint64_t ss = !changes ? start->ss : is_long ? inner : SEL_DATA32(inner);
    uint64_t ip =
        start->ip +
        (source->is_software ? (uint32_t)(source->snippet->end - source->snippet->start) - 2 : 0);
    uint64_t flags = pushed(base + top, unit, 2) & ~(uint64_t)FLAG_RF;

    case_check(end->ss == ss && end->gpr[RSP] == top, "%s, CPL %u to %u: SS:RSP %04llx:%llx",
               source->name, cpl, inner, end->ss, end->gpr[RSP]);
    case_check(pushed(base + top, unit, 0) == (ip & mask) &&
                   (pushed(base + top, unit, 1) & 0xffff) == start->cs &&
                   flags == (start->flags & mask),
               "%s, CPL %u to %u: pushed IP %llx, CS %llx, flags %llx", source->name, cpl, inner,
               pushed(base + top, unit, 0), pushed(base + top, unit, 1), flags);
    if (words == 5)
        case_check(pushed(base + top, unit, 3) == (start->gpr[RSP] & mask) &&
                       (pushed(base + top, unit, 4) & 0xffff) == start->ss,
                   "%s, CPL %u to %u: pushed SP %llx, SS %llx", source->name, cpl, inner,
                   pushed(base + top, unit, 3), pushed(base + top, unit, 4));
}

static void one_target(const struct source *source, unsigned gate_kind, struct kind k,
                       unsigned flags, unsigned rpl, unsigned cpl)
{
    const struct kind gate = {gate_kind, 3, true};
    struct verdict verdict = with_ext(source, code_verdict(TARGET | rpl, k, flags, cpl));
    unsigned inner = is_conforming(k.kind) ? cpl : k.dpl;

    set_gate(source, gate, TARGET | rpl, 0);
    set_target(gate, k, flags);
    struct state start = prepare(source, cpl);
    struct state end = go(source, &start, gate_kind, cpl, verdict);
    if (!ends(verdict))
        return;
    case_check(end.cs == (TARGET | inner), "%s, CPL %u: CS %04llx", source->name, cpl, end.cs);
    check_frame(source, &start, &end, gate_kind, inner);
}

static void all_targets(const struct source *source, unsigned gate_kind, const char *name,
                        const char *place)
{
    unsigned sizes = in_long_mode() ? 4 : 1;

    case_begin_in("3A 6.12.1.1", name, place);
    for (unsigned i = 0; i < KINDS * 0x80 * sizes; i++) {
        struct kind k = {i & 31, i >> 5 & 3, i >> 7 & 1};
        unsigned flags = in_long_mode() ? (i >> 12) * SIZE_64 : SIZE_32;
        one_target(source, gate_kind, k, flags, i >> 8 & 3, i >> 10 & 3);
    }
    case_end();
}

static void no_target(const struct source *sources, unsigned count, const char *place)
{
    const struct kind k = {KIND_INTERRUPT_GATE32, 3, true};

    case_begin_in("2A INT n", "a gate to no descriptor", place);
    for (unsigned i = 0; i < count * 16; i++) {
        const struct source *source = &sources[i / 16];
        unsigned cpl = i & 3, rpl = i >> 2 & 3;
        struct state start = prepare(source, cpl);
        set_gate(source, k, rpl, 0);
        go(source, &start, k.kind, cpl, with_ext(source, fault(VECTOR_GP, 0)));
        set_gate(source, k, (GDT_LIMIT + 1) | rpl, 0);
        go(source, &start, k.kind, cpl, with_ext(source, fault(VECTOR_GP, GDT_LIMIT + 1)));
        set_gate(source, k, (LDT_LIMIT + 1) | 4 | rpl, 0);
        go(source, &start, k.kind, cpl, with_ext(source, fault(VECTOR_GP, (LDT_LIMIT + 1) | 4)));
    }
    case_end();
}

/* --- flags in the handler */

static void handler_flags(const struct source *source, const char *place)
{
    static const unsigned kinds[] = {KIND_INTERRUPT_GATE16, KIND_TRAP_GATE16, KIND_INTERRUPT_GATE32,
                                     KIND_TRAP_GATE32};

    case_begin_in("3A 6.12.1.3", "an interrupt gate clears IF, every gate TF, NT, RF and VM",
                  place);
    for (unsigned i = 0; i < COUNT(kinds) * 8; i++) {
        struct kind k = {kinds[i / 8], 3, true};
        unsigned cpl = i & 3;
        if (!is_gate(k.kind))
            continue;
        set_gate(source, k, TARGET, 0);
        set_target(k, (struct kind){KIND_CODE, i & 4 ? cpl : 0, true},
                   in_long_mode() ? SIZE_64 : SIZE_32);
        struct state start = prepare(source, cpl);
        start.flags |= 0x2448d5 | IF | IOPL_3; /* with ID, AC, NT, DF and the arithmetic ones */
        uint64_t expected = start.flags & ~(uint64_t)(k.kind & 1 ? NT : NT | IF);
        struct state end = go(source, &start, k.kind, cpl, ENDS);
        case_check((end.flags & ~(uint64_t)FLAG_RF) == expected, "kind %u, CPL %u: flags %llx",
                   k.kind, cpl, end.flags);
    }
    case_end();
}

/* --- the inner stack in a 32-bit TSS */

static void inner_stack(const struct source *source, const char *name)
{
    const struct kind gate = {KIND_INTERRUPT_GATE32, 3, true};

    case_begin_in("3A 6.12.1", name, "protected mode");
    for (unsigned i = 0; i < KINDS * 0x20 * 2; i++) {
        struct kind k = {i & 31, i >> 5 & 3, i >> 7 & 1};
        unsigned rpl = i >> 8 & 3, inner = 1 + (i >> 10);
        gdt_set(STACK, descriptor(0, is_expand_down(k.kind) ? 0 : 0xfffff, access_byte(k),
                                  PAGES | SIZE_32));
        *word_at(TSS_32 + TSS_SS0 + 8 * inner) = STACK | rpl;
        set_gate(source, gate, TARGET, 0);
        set_target(gate, (struct kind){KIND_CODE, inner, true}, SIZE_32);
        struct state start = prepare(source, 3);
        go(source, &start, gate.kind, 3,
           with_ext(source, model_stack(STACK | rpl, k, inner, VECTOR_TS)));
    }
    case_end();
}

static void inner_stack_selectors(const struct source *source, const char *name)
{
    static const unsigned selectors[] = {0, 1, 2, 3, GDT_LIMIT + 1, (LDT_LIMIT + 1) | 4};
    const struct kind gate = {KIND_INTERRUPT_GATE32, 3, true};

    case_begin_in("3A 6.12.1", name, "protected mode");
    set_gate(source, gate, TARGET, 0);
    for (unsigned i = 0; i < COUNT(selectors) * 2; i++) {
        unsigned inner = 1 + (i & 1), selector = selectors[i / 2];
        set_target(gate, (struct kind){KIND_CODE, inner, true}, SIZE_32);
        *word_at(TSS_32 + TSS_SS0 + 8 * inner) = selector;
        struct state start = prepare(source, 3);
        go(source, &start, gate.kind, 3, with_ext(source, fault(VECTOR_TS, error_of(selector))));
    }
    case_end();
}

/* Five words have to fit; an exception with an error code needs six. */
static void inner_stack_room(const struct source *source, const char *name)
{
    const struct kind gate = {KIND_INTERRUPT_GATE32, 3, true};

    case_begin_in("2A INT n", name, "protected mode");
    set_gate(source, gate, TARGET, 0);
    for (unsigned i = 0; i < 2 * 25; i++) {
        unsigned inner = 1 + i / 25, room = i % 25;
        set_target(gate, (struct kind){KIND_CODE, inner, true}, SIZE_32);
        gdt_set(STACK, descriptor(RING_BASE, 0x7ff, 0x97 | inner << 5, SIZE_32));
        *word_at(TSS_32 + TSS_SS0 + 8 * inner) = STACK | inner;
        *dword_at(TSS_32 + TSS_SP0 + 8 * inner) = 0x800 + room;
        struct state start = prepare(source, 3);
        go(source, &start, gate.kind, 3,
           room < 20 ? with_ext(source, fault(VECTOR_SS, STACK)) : ENDS);
    }
    case_end();
}

/* --- virtual-8086 mode */

static void check_v86_frame(const struct state *start, const struct state *end)
{
    const uint64_t expected[] = {start->ip + 2, start->cs, start->flags, start->gpr[RSP], start->ss,
                                 start->es,     start->ds, start->fs,    start->gs};
    uint32_t top = RING_TOP(0) - 4 * COUNT(expected);

    case_check(end->gpr[RSP] == top && end->ss == SEL_DATA32(0), "SS:ESP %04llx:%llx", end->ss,
               end->gpr[RSP]);
    for (unsigned i = 0; i < COUNT(expected); i++)
        case_check(*dword_at(top + 4 * i) == expected[i], "word %u is %08x for %08llx", i,
                   *dword_at(top + 4 * i), expected[i]);
    case_check(!end->ds && !end->es && !end->fs && !end->gs, "DS %llx ES %llx FS %llx GS %llx",
               end->ds, end->es, end->fs, end->gs);
}

static void from_v86(void)
{
    case_begin("3A 21.3.1.1", "INT n from virtual-8086 mode goes to CPL 0 alone");
    for (unsigned i = 0; i < KINDS * 0x20; i++) {
        const struct kind gate = {KIND_INTERRUPT_GATE32, 3, true};
        struct kind k = {i & 31, i >> 5 & 3, i >> 7 & 1};
        unsigned rpl = i >> 8 & 3;
        struct verdict verdict = code_verdict(TARGET | rpl, k, SIZE_32, 3);
        if (ends(verdict) && (is_conforming(k.kind) || k.dpl != 0))
            verdict = fault(VECTOR_GP, TARGET);
        if (k.dpl != 0 && !k.present)
            continue; /* the manual does not say which comes first */
        set_gate(&sources_16[0], gate, TARGET | rpl, 0);
        set_target(gate, k, SIZE_32);
        struct state start = start_v86(&int_n_16);
        start.flags |= IOPL_3;
        start.ds = 0x2111, start.es = 0x2222, start.fs = 0x2333, start.gs = 0x2444;
        struct state end = go(&sources_16[0], &start, gate.kind, 3, verdict);
        if (ends(verdict))
            check_v86_frame(&start, &end);
    }
    case_end();

    case_begin("3A 21.2.7", "INT n needs IOPL 3 in virtual-8086 mode");
    for (unsigned iopl = 0; iopl <= 3; iopl++) {
        set_gate(&sources_16[0], (struct kind){KIND_INTERRUPT_GATE32, 3, true}, SEL_CODE32(0), 0);
        struct state start = start_v86(&int_n_16);
        start.flags |= iopl << 12;
        go(&sources_16[0], &start, KIND_INTERRUPT_GATE32, 3,
           iopl == 3 ? ENDS : fault(VECTOR_GP, 0));
    }
    case_end();
}

/* --- long mode's stacks */

static void interrupt_stacks(const struct source *source, const char *place)
{
    const struct kind gate = {KIND_INTERRUPT_GATE32, 3, true};

    case_begin_in("3A 6.14.5", "the interrupt stacks 1 to 7, and the alignment of every frame",
                  place);
    for (unsigned i = 0; i < 8 * 16 * 16; i++) {
        unsigned ist = i & 7, cpl = i >> 3 & 3, inner = i >> 5 & 3, offset = i >> 7;
        if (inner > cpl)
            continue;
        uint32_t top = FREE_BASE + 0x1000 * ist + 0x800 + offset;
        if (ist > 1)
            *qword_at(TSS_64 + TSS_IST1 + 8 * (ist - 1)) = top;
        if (inner < 3)
            *qword_at(TSS_64 + TSS_SP0 + 8 * inner) = RING_TOP(inner) + offset;
        set_gate(source, gate, TARGET, ist);
        set_target(gate, (struct kind){KIND_CODE, inner, true}, SIZE_64);
        struct state start = prepare(source, cpl);
        start.gpr[RSP] += offset;
        uint32_t stack = ist == 1      ? IST_TOP
                         : ist         ? top
                         : inner < cpl ? RING_TOP(inner) + offset
                                       : start.gpr[RSP];
        struct state end = go(source, &start, gate.kind, cpl, ENDS);
        if (ist != 1) /* that of the UD2 as well */
            case_check(
                end.gpr[RSP] == (stack & ~15) - 40 && end.ss == (inner < cpl ? inner : start.ss),
                "IST %u, CPL %u to %u: SS:RSP %llx:%llx", ist, cpl, inner, end.ss, end.gpr[RSP]);
    }
    case_end();
}

static void noncanonical_stacks(const struct source *sources, unsigned count, const char *place)
{
    const struct kind gate = {KIND_INTERRUPT_GATE32, 3, true};

    case_begin_in("3A 6.14.4", "a stack that is not canonical: #SS(EXT)", place);
    for (unsigned i = 0; i < count * 2 * 3; i++) {
        const struct source *source = &sources[i / 6];
        unsigned ist = i & 1 ? 2 : 0, inner = i / 2 % 3;
        *qword_at(TSS_64 + TSS_IST1 + 8) = 0x0000800000000000 + 0x100;
        *qword_at(TSS_64 + TSS_SP0 + 8 * inner) = 0xffff7fffffffff00;
        set_gate(source, gate, TARGET, ist);
        set_target(gate, (struct kind){KIND_CODE, inner, true}, SIZE_64);
        struct state start = prepare(source, 3);
        go(source, &start, gate.kind, 3, fault(VECTOR_SS, ext(source)));
    }
    case_end();
}

static void noncanonical_target(const struct source *sources, unsigned count, const char *place)
{
    const struct kind gate = {KIND_INTERRUPT_GATE32, 3, true};

    case_begin_in("2A INT n", "a gate to an address that is not canonical: #GP(EXT)", place);
    for (unsigned i = 0; i < count * 4; i++) {
        static const uint32_t upper[] = {0x8000, 0xffff7fff, 0x10000, 0x80000000};
        const struct source *source = &sources[i / 4];
        set_gate(source, gate, SEL_CODE64(0), 0);
        idt_set_long(source->vector, idt_get(source->vector), upper[i % 4]);
        struct state start = prepare(source, 3);
        go(source, &start, gate.kind, 3, fault(VECTOR_GP, ext(source)));
    }
    case_end();
}

/* --- */

static void everything(const struct source *sources, unsigned count, const char *place)
{
    for (unsigned i = 0; i < count; i++)
        gate_rights(&sources[i], place);
    table_limit(&sources[0], place);
    all_targets(&sources[0], KIND_INTERRUPT_GATE32, "INT n to every code segment", place);
    all_targets(&sources[2], KIND_TRAP_GATE32, "#NM to every code segment", place);
    no_target(sources, count, place);
    handler_flags(&sources[0], place);
}

static void protected_mode(void)
{
    everything(sources_32, COUNT(sources_32), "protected mode");
    everything(sources_16, COUNT(sources_16), "16-bit protected mode");
    all_targets(&sources_32[0], KIND_INTERRUPT_GATE16,
                "INT n by a 16-bit gate to every code segment", "protected mode");
    all_targets(&sources_32[2], KIND_TRAP_GATE16, "#NM by a 16-bit gate to every code segment",
                "protected mode");
    inner_stack(&sources_32[0], "INT n to every inner stack");
    inner_stack(&sources_32[2], "#NM to every inner stack");
    inner_stack_selectors(&sources_32[0], "INT n to no inner stack");
    inner_stack_selectors(&sources_32[2], "#NM to no inner stack");
    inner_stack_room(&sources_32[0], "INT n to an inner stack without room");
    inner_stack_room(&sources_32[2], "#NM to an inner stack without room");
    from_v86();
}

static void long_mode_of(const struct source *sources, unsigned count, const char *place)
{
    everything(sources, count, place);
    interrupt_stacks(&sources[0], place);
    interrupt_stacks(&sources[2],
                     place[0] == '6' ? "#NM in 64-bit mode" : "#NM in compatibility mode");
    noncanonical_stacks(sources, count, place);
    noncanonical_target(sources, count, place);
}

static void long_mode(void)
{
    long_mode_of(sources_32, COUNT(sources_32), "compatibility mode");
    long_mode_of(sources_64, COUNT(sources_64), "64-bit mode");
}

const struct topic topic = {"interrupt", protected_mode, long_mode};
