/* Topic: exceptions while an exception or interrupt is delivered.
 *
 * The first event's gate is spoiled so that its delivery raises the second (SDM 3A 6.15, table
 * 6-5). In long mode all handlers but the spoiled one run on the interrupt stack 1. */
#include "model.h"

SNIPPET(64, no_fpu, "fnop");
SNIPPET(64, divide, "div %cl");
SNIPPET(64, read, "mov (%rbx), %al");
SNIPPET(64, load, "mov %ax, %ds");
SNIPPET(64, load_stack, "mov %ax, %ss");
SNIPPET(64, interrupt, "int $0x81");
SNIPPET(64, breakpoint, "int3");
SNIPPET(64, undefined, "ud2\n ud2");
SNIPPET(64, aligned, "mov (%rbx), %ax");

enum { ABSENT = SEL_SCRATCH, SYSTEM = SEL_SCRATCH + 8, VECTOR_N = 0x81, IN_IDT = 2, EXT = 1 };
enum { CR0_TS = 8, CR0_AM = 1 << 18, FLAG_AC = 1 << 18, GATE_64 = 0xee };
/* A linear address whose page the case takes away. */
#define MISSING 0x80000000

/* --- first events */

struct event {
    const char *name;
    const struct snippet *snippet;
    unsigned vector;
    bool is_exception, is_contributory, has_error;
    uint64_t rax, rbx;
};

static const struct event events[] = {
    {"#DE", &divide, VECTOR_DE, true, true, false, 0, 0},
    {"#GP", &load, VECTOR_GP, true, true, true, SYSTEM, 0},
    {"#NP", &load, VECTOR_NP, true, true, true, ABSENT, 0},
    {"#SS", &load_stack, VECTOR_SS, true, true, true, ABSENT, 0},
    {"#PF", &read, VECTOR_PF, true, false, true, 0, MISSING},
    {"#NM", &no_fpu, VECTOR_NM, true, false, false, 0, 0},
    {"#UD", &undefined, VECTOR_UD, true, false, false, 0, 0},
    {"#AC", &aligned, VECTOR_AC, true, false, true, 0, FREE_BASE + 1},
    {"INT3", &breakpoint, VECTOR_BP, false, false, false, 0, 0},
    {"INT n", &interrupt, VECTOR_N, false, false, false, 0, 0},
};

/* --- how its gate is spoiled, and what delivery then raises */

struct spoiler {
    const char *name;
    unsigned vector;
    void (*spoil)(unsigned vector);
};

static void set_gate(unsigned vector, unsigned access, unsigned selector, unsigned ist)
{
    idt_set_long(vector, gate(handlers_64[vector], selector, access) | (uint64_t)ist << 32, 0);
}

static void wrong_kind(unsigned vector)
{
    set_gate(vector, 0xe0 | KIND_LDT, SEL_CODE64(0), 1);
}

static void wrong_code(unsigned vector)
{
    set_gate(vector, GATE_64, SEL_DATA32(0), 1);
}

static void absent_gate(unsigned vector)
{
    set_gate(vector, GATE_64 & ~0x80, SEL_CODE64(0), 1);
}

static void noncanonical_stack(unsigned vector)
{
    set_gate(vector, GATE_64, SEL_CODE64(0), 2);
    *qword_at(TSS_64 + TSS_IST1 + 8) = 0x0000800000001000;
}

static void missing_stack(unsigned vector)
{
    set_gate(vector, GATE_64, SEL_CODE64(0), 2);
    *qword_at(TSS_64 + TSS_IST1 + 8) = MISSING + 0x1000;
}

/* The interrupt stack 1 is within the limit, the second is not. */
static void short_task_state(unsigned vector)
{
    set_gate(vector, GATE_64, SEL_CODE64(0), 2);
    gdt_set(SEL_TSS64, descriptor(TSS_64, TSS_IST1 + 8 + 6, TSS_FREE, 0));
    __asm__ volatile("ltr %w0" : : "r"(SEL_TSS64) : "memory");
}

static const struct spoiler spoilers[] = {
    {"a gate of a wrong type", VECTOR_GP, wrong_kind},
    {"a gate to no code", VECTOR_GP, wrong_code},
    {"an absent gate", VECTOR_NP, absent_gate},
    {"a stack that is not canonical", VECTOR_SS, noncanonical_stack},
    {"a stack on a missing page", VECTOR_PF, missing_stack},
    {"a TSS that is too short", VECTOR_TS, short_task_state},
};

static unsigned second_error(const struct event *first, const struct spoiler *spoiler)
{
    unsigned ext = first->is_exception ? EXT : 0;

    if (spoiler->spoil == wrong_kind || spoiler->spoil == absent_gate)
        return first->vector * 8 | IN_IDT | ext;
    if (spoiler->spoil == wrong_code)
        return SEL_DATA32(0) | ext;
    if (spoiler->spoil == short_task_state)
        return SEL_TSS64 | ext;
    return spoiler->vector == VECTOR_PF ? 2 /* a write by the processor */ : ext;
}

/* --- table 6-5 */

static bool is_contributory(unsigned vector)
{
    return vector == VECTOR_DE || (vector >= VECTOR_TS && vector <= VECTOR_GP);
}

static struct verdict outcome(const struct event *first, const struct spoiler *spoiler)
{
    unsigned second = spoiler->vector;
    bool doubles = first->is_contributory ? is_contributory(second)
                                          : first->vector == VECTOR_PF &&
                                                (is_contributory(second) || second == VECTOR_PF);

    return doubles ? fault(VECTOR_DF, 0) : fault(second, second_error(first, spoiler));
}

static void prepare_tables(void)
{
    enum { DIRECTORIES = PAGE_TABLES + 0x2000 };

    tables_reset();
    qword_at(DIRECTORIES)[MISSING >> 21] = 0;
    __asm__ volatile("invlpg (%0)" : : "r"(MISSING) : "memory");
    gdt_set(ABSENT, descriptor(0, 0xfffff, 0x13, PAGES | SIZE_32));
    gdt_set(SYSTEM, descriptor(0, 0xfffff, LDT_KIND, PAGES));
}

/* #AC is raised at CPL 3 alone; the absent segment's DPL is 0. */
static unsigned cpl_of(const struct event *event)
{
    return event->rax == ABSENT ? 0 : 3;
}

static struct state start_of(const struct event *event)
{
    struct state start = start_at(event->snippet, cpl_of(event));

    start.gpr[RAX] = event->rax;
    start.gpr[RBX] = event->rbx;
    if (event->vector == VECTOR_NM)
        write_cr0(read_cr0() | CR0_TS);
    if (event->vector == VECTOR_AC) {
        write_cr0(read_cr0() | CR0_AM);
        start.flags |= FLAG_AC;
    }
    return start;
}

static void table(void)
{
    case_begin("3A 6.15", "two exceptions at once: one after the other, or a double fault");
    for (unsigned i = 0; i < COUNT(events) * COUNT(spoilers); i++) {
        const struct event *event = &events[i / COUNT(spoilers)];
        const struct spoiler *spoiler = &spoilers[i % COUNT(spoilers)];
        if (event->vector == spoiler->vector)
            continue; /* the second would meet the same gate: below */
        prepare_tables();
        spoiler->spoil(event->vector);
        struct state start = start_of(event);
        struct state end = case_attempt(event->snippet, &start, outcome(event, spoiler), "%s to %s",
                                        event->name, spoiler->name);
        /* Whatever is delivered, the instruction is that of the first event. */
        case_check(end.ip == start.ip && end.cs == start.cs, "%s to %s: at %04llx:%llx",
                   event->name, spoiler->name, end.cs, end.ip);
    }
    case_end();
}

/* The second exception meets the spoiled gate as well: contributory twice. */
static void same_gate(void)
{
    case_begin("3A 6.15", "#GP, #NP and #PF that meet their own kind: a double fault");
    for (unsigned i = 0; i < COUNT(events) * COUNT(spoilers); i++) {
        const struct event *event = &events[i / COUNT(spoilers)];
        const struct spoiler *spoiler = &spoilers[i % COUNT(spoilers)];
        if (event->vector != spoiler->vector || spoiler->spoil == wrong_kind)
            continue;
        prepare_tables();
        spoiler->spoil(event->vector);
        struct state start = start_of(event);
        struct state end = case_attempt(event->snippet, &start, fault(VECTOR_DF, 0), "%s to %s",
                                        event->name, spoiler->name);
        case_check(end.ip == start.ip && end.cs == start.cs, "%s to %s: at %04llx:%llx",
                   event->name, spoiler->name, end.cs, end.ip);
    }
    case_end();
}

/* A benign event, then #GP, whose gate is spoiled too: the third decides with the second. */
static void chain(void)
{
    case_begin("3A 6.15", "a benign exception, then two contributory ones: a double fault");
    for (unsigned i = 0; i < COUNT(events); i++) {
        const struct event *event = &events[i];
        if (event->is_contributory || event->vector == VECTOR_PF)
            continue;
        prepare_tables();
        wrong_kind(event->vector);
        absent_gate(VECTOR_GP);
        struct state start = start_of(event);
        case_attempt(event->snippet, &start, fault(VECTOR_DF, 0), "%s", event->name);
    }
    case_end();

    case_begin("3A 6.15", "a contributory exception, then #PF, whose delivery is in order");
    for (unsigned i = 0; i < 4; i++) {
        prepare_tables();
        missing_stack(events[i].vector);
        struct state start = start_of(&events[i]);
        case_attempt(events[i].snippet, &start, fault(VECTOR_PF, 2), "%s", events[i].name);
        case_check(read_cr2() == MISSING + 0x1000 - 8, "%s: CR2 %x", events[i].name, read_cr2());
    }
    case_end();
}

static void double_fault_state(void)
{
    case_begin("3A 6.15", "a double fault pushes the error code 0");
    for (unsigned i = 0; i < 5; i++) {
        prepare_tables();
        absent_gate(events[i].vector);
        if (events[i].vector == VECTOR_NP)
            continue;
        struct state start = start_of(&events[i]);
        struct state end = attempt(&start);
        case_check(end.vector == VECTOR_DF && end.error == 0 && end.frame == IST_TOP - 5 * 8 &&
                       *qword_at(IST_TOP - 6 * 8) == 0,
                   "%s: vector %llu, frame %llx", events[i].name, end.vector, end.frame);
    }
    case_end();
}

static void long_mode(void)
{
    table();
    same_gate();
    chain();
    double_fault_state();
}

const struct topic topic = {"nested", NULL, long_mode};
