/* Topic: task switches by JMP, CALL, INT n and IRET, through TSS descriptors and task gates.
 *
 * The new task begins at the end of the snippet that switches to it.
 * Sources: SDM 3A §8.2, §8.3 (with table 8-1), §8.4, §6.12.2; 2A CALL, INT n, IRET, JMP. */
#include "task.h"

SNIPPET(32, jump, "ljmp *(%ebx)\n ud2");
SNIPPET(32, call, "lcall *(%ebx)\n ud2");
SNIPPET(32, interrupt, "int $0x81\n ud2");
SNIPPET(32, iret, "iretl\n ud2");
SNIPPET(32, no_fpu, "fnop\n ud2");

enum {
    NT = 0x4000,
    CR0_TS = 8,
    VECTOR_N = 0x81,
    POINTER = FREE_BASE + 0x3000,
    EXT = 1,
    IN_IDT = 2
};

enum way { JUMP, CALL, INTERRUPT, RETURN, EXCEPTION };
static const struct {
    const char *name;
    const struct snippet *snippet;
} ways[] = {
    {"JMP", &jump}, {"CALL", &call}, {"INT n", &interrupt}, {"IRET", &iret}, {"#NM", &no_fpu}};

/* One switch: from the present task, which is a 32-bit one if `from_32`. */
struct change {
    enum way way;
    bool from_32, to_32, by_gate;
    unsigned cpl, to_cpl, rpl; /* before, after; of the selector */
};

static bool nests(enum way way)
{
    return way == CALL || way == INTERRUPT || way == EXCEPTION;
}

static uint32_t old_at(const struct change *change)
{
    return change->from_32 ? TSS_32 : TASK_OLD_AT;
}

static unsigned old_selector(const struct change *change)
{
    return change->from_32 ? SEL_TSS32 : SEL_TASK_OLD;
}

static unsigned tss_access(const struct change *change)
{
    unsigned kind = change->to_32 ? KIND_TSS32 : KIND_TSS16;

    return 0xe0 | (change->way == RETURN ? kind | 2 : kind); /* DPL 3; a return is to a busy one */
}

/* A snippet whose end is where the 16-bit code of the new task begins. */
static struct snippet landing(const struct change *change)
{
    struct snippet snippet = *ways[change->way].snippet;

    snippet.bits = 16;
    return snippet;
}

/* Tables, the new task, the way to it; callers spoil what they like before the attempt. */
static struct state prepare(const struct change *change, const struct task *task)
{
    const struct snippet *snippet = ways[change->way].snippet;
    unsigned limit = change->to_32 ? TSS32_LIMIT : TSS16_LIMIT;
    unsigned selector = change->by_gate ? SEL_TASK_GATE : SEL_TASK;
    uint64_t task_gate = gate(0, SEL_TASK, 0xe0 | KIND_TASK_GATE);
    struct state start = start_at(snippet, change->cpl);

    task_reset(change->from_32);
    task_put(TASK_AT, change->to_32, task, 0);
    gdt_set(SEL_TASK, descriptor(TASK_AT, limit, tss_access(change), 0));
    gdt_set(SEL_TASK_GATE, task_gate);
    idt_set(VECTOR_N, task_gate);
    idt_set(VECTOR_NM, task_gate);
    *dword_at(POINTER) = 0xdeadbeef; /* the offset does not count */
    *word_at(POINTER + 4) = selector | change->rpl;
    for (unsigned i = 0; i < 8; i++)
        if (i != RSP)
            start.gpr[i] = 0x11110000 * (i + 1) + 0x1234;
    start.gpr[RBX] = POINTER;
    start.fs = start.gs = start.ds;
    if (change->way == RETURN) {
        start.flags |= NT;
        *word_at(old_at(change)) = SEL_TASK;
    }
    if (change->way == EXCEPTION)
        write_cr0(read_cr0() | CR0_TS);
    return start;
}

static struct state go(const struct change *change, const struct state *start,
                       struct verdict verdict)
{
    struct snippet snippet = landing(change);
    struct state end = task_attempt(start);

    case_compare(&snippet, start, &end, verdict,
                 "%s%s from %u bits at CPL %u to %u at CPL %u, RPL %u", ways[change->way].name,
                 change->by_gate ? " by a gate" : "", change->from_32 ? 32 : 16, change->cpl,
                 change->to_32 ? 32 : 16, change->to_cpl, change->rpl);
    return end;
}

/* --- what a switch saves and loads */

static void check_saved(const struct change *change, const struct state *start)
{
    struct task saved = task_get(old_at(change), change->from_32);
    uint32_t mask = change->from_32 ? 0xffffffff : 0xffff;
    const struct snippet *snippet = ways[change->way].snippet;
    uint32_t ip = change->way == EXCEPTION ? (uint32_t)snippet->start : (uint32_t)snippet->end - 2;
    uint32_t flags = start->flags & ~(change->way == RETURN ? NT : 0);
    unsigned data = start->ds;

    case_check(saved.ip == (ip & mask) && (saved.flags & ~(uint32_t)FLAG_RF) == (flags & mask),
               "%s: saved IP %x, flags %x", ways[change->way].name, saved.ip, saved.flags);
    for (unsigned i = 0; i < 8; i++)
        case_check(saved.gpr[i] == (start->gpr[i] & mask), "%s: saved register %u: %x",
                   ways[change->way].name, i, saved.gpr[i]);
    case_check(saved.segments[TASK_CS] == start->cs && saved.segments[TASK_SS] == start->ss &&
                   saved.segments[TASK_ES] == data && saved.segments[TASK_DS] == data,
               "%s: saved CS %x SS %x ES %x DS %x", ways[change->way].name, saved.segments[TASK_CS],
               saved.segments[TASK_SS], saved.segments[TASK_ES], saved.segments[TASK_DS]);
    if (change->from_32)
        case_check(saved.segments[TASK_FS] == data && saved.segments[TASK_GS] == data,
                   "saved FS %x GS %x", saved.segments[TASK_FS], saved.segments[TASK_GS]);
}

static void check_loaded(const struct change *change, const struct task *task,
                         const struct state *end)
{
    uint32_t flags = task->flags | (nests(change->way) ? NT : 0);
    uint32_t mask = change->to_32 ? 0xffffffff : 0xffff; /* the rest is undefined */
    unsigned other = change->to_32 ? task->segments[TASK_FS] : 0;

    case_check((end->flags & ~(uint64_t)FLAG_RF) == flags, "%s: flags %llx", ways[change->way].name,
               end->flags);
    for (unsigned i = 0; i < 8; i++)
        case_check((end->gpr[i] & mask) == task->gpr[i], "%s: register %u: %llx",
                   ways[change->way].name, i, end->gpr[i]);
    case_check(end->cs == task->segments[TASK_CS] && end->ss == task->segments[TASK_SS] &&
                   end->ds == task->segments[TASK_DS] && end->es == task->segments[TASK_ES] &&
                   end->fs == other && end->gs == other,
               "%s: CS %llx SS %llx DS %llx ES %llx FS %llx GS %llx", ways[change->way].name,
               end->cs, end->ss, end->ds, end->es, end->fs, end->gs);
}

static void check_tables(const struct change *change)
{
    unsigned busy_old = kind_of(gdt_get(old_selector(change))).kind & 2;
    unsigned busy_new = kind_of(gdt_get(SEL_TASK)).kind & 2;
    uint32_t tr;

    __asm__ volatile("str %0" : "=r"(tr));
    case_check((tr & 0xffff) == SEL_TASK && (read_cr0() & CR0_TS), "TR %x, CR0 %x", tr, read_cr0());
    case_check(busy_new && (bool)busy_old == nests(change->way), "%s: busy %u, %u",
               ways[change->way].name, busy_old, busy_new);
    case_check(*word_at(TASK_AT) == (nests(change->way) ? old_selector(change) : 0),
               "%s: link %04x", ways[change->way].name, *word_at(TASK_AT));
}

/* CPL 0 has its handlers on the new task's own stack, which serves as well. */
static void switches(enum way way)
{
    case_begin_in("3A 8.3", "what a task switch saves and loads, busy flags, NT, link and TS",
                  ways[way].name);
    for (unsigned i = 0; i < 128; i++) {
        struct change change = {.way = way,
                                .cpl = i & 3,
                                .to_cpl = i >> 2 & 3,
                                .from_32 = i >> 4 & 1,
                                .to_32 = i >> 5 & 1,
                                .by_gate = i >> 6};
        if (way >= INTERRUPT && change.by_gate)
            continue;
        struct task task = task_at(ways[way].snippet, change.to_cpl);
        struct state start = prepare(&change, &task);
        struct state end = go(&change, &start, ENDS);
        check_saved(&change, &start);
        check_loaded(&change, &task, &end);
        check_tables(&change);
    }
    case_end();
}

/* --- the descriptor, the gate, the link */

static struct verdict tss_verdict(const struct change *change, struct kind k)
{
    bool is_free = k.kind == KIND_TSS16 || k.kind == KIND_TSS32;

    if (!is_free || k.dpl < change->cpl || k.dpl < change->rpl)
        return fault(VECTOR_GP, SEL_TASK);
    return k.present ? ENDS : fault(VECTOR_NP, SEL_TASK);
}

static bool is_gate_of_another_topic(unsigned kind)
{
    return kind == KIND_CALL_GATE16 || kind == KIND_CALL_GATE32 || kind == KIND_TASK_GATE;
}

static void tss_rights(enum way way)
{
    case_begin_in("3A 8.3", "the TSS descriptor's type, DPL and P", ways[way].name);
    for (unsigned i = 0; i < 16 * 0x80; i++) {
        struct kind k = {i & 15, i >> 4 & 3, i >> 6 & 1};
        struct change change = {.way = way,
                                .from_32 = true,
                                .to_32 = k.kind & 8,
                                .cpl = i >> 7 & 3,
                                .to_cpl = 3,
                                .rpl = i >> 9 & 3};
        struct task task = task_at(ways[way].snippet, change.to_cpl);
        if (is_gate_of_another_topic(k.kind))
            continue;
        struct state start = prepare(&change, &task);
        gdt_set(SEL_TASK, descriptor(TASK_AT, TSS32_LIMIT, access_byte(k), 0));
        go(&change, &start, tss_verdict(&change, k));
    }
    case_end();
}

static void gate_rights(enum way way)
{
    case_begin_in("3A 8.2.5", "a task gate's DPL and P", ways[way].name);
    for (unsigned i = 0; i < 0x80; i++) {
        struct kind k = {KIND_TASK_GATE, i & 3, i >> 2 & 1};
        struct change change = {.way = way,
                                .from_32 = true,
                                .to_32 = true,
                                .by_gate = true,
                                .cpl = i >> 3 & 3,
                                .to_cpl = 3,
                                .rpl = i >> 5};
        bool in_idt = way == INTERRUPT || way == EXCEPTION, checked = way != EXCEPTION;
        unsigned rpl = in_idt ? 0 : change.rpl;
        unsigned error = way == INTERRUPT   ? VECTOR_N * 8 | IN_IDT
                         : way == EXCEPTION ? VECTOR_NM * 8 | IN_IDT | EXT
                                            : SEL_TASK_GATE;
        struct verdict verdict = k.present ? ENDS : fault(VECTOR_NP, error);
        if (checked && (k.dpl < change.cpl || k.dpl < rpl))
            verdict = fault(VECTOR_GP, error);
        struct task task = task_at(ways[way].snippet, 3);
        struct state start = prepare(&change, &task);
        uint64_t value = gate(0, SEL_TASK | (i & 3), access_byte(k));
        gdt_set(SEL_TASK_GATE, value);
        idt_set(VECTOR_N, value);
        idt_set(VECTOR_NM, value);
        go(&change, &start, verdict);
    }
    case_end();
}

/* The selector of a TSS in a gate, or of the previous task: what is wrong with it. */
static void named_tss(enum way way, const char *name, const char *sdm, unsigned vector)
{
    static const unsigned none[] = {0, 3, GDT_LIMIT + 1, SEL_TASK | 4, (LDT_LIMIT + 1) | 4};
    struct change change = {
        .way = way, .from_32 = true, .to_32 = true, .by_gate = true, .to_cpl = 3};
    struct task task = task_at(ways[way].snippet, 3);
    unsigned ext = way == EXCEPTION ? EXT : 0;

    case_begin_in(sdm, name, ways[way].name);
    for (unsigned i = 0; i < KINDS * 8 + COUNT(none); i++) {
        struct state start = prepare(&change, &task);
        unsigned selector = i < KINDS * 8 ? SEL_TASK : none[i - KINDS * 8];
        struct kind k = {i & 31, i >> 5 & 3, i >> 7 & 1};
        struct verdict verdict = fault(vector, error_of(selector) | ext);
        if (i < KINDS * 8) {
            bool fits = way == RETURN ? k.kind == KIND_TSS16_BUSY || k.kind == KIND_TSS32_BUSY
                                      : k.kind == KIND_TSS16 || k.kind == KIND_TSS32;
            if (fits)
                verdict = k.present ? ENDS : fault(VECTOR_NP, SEL_TASK | ext);
            task_put(TASK_AT, k.kind & 8, &task, 0);
            gdt_set(SEL_TASK, descriptor(TASK_AT, TSS32_LIMIT, access_byte(k), 0));
        }
        gdt_set(SEL_TASK_GATE, gate(0, selector, 0xe0 | KIND_TASK_GATE));
        idt_set(VECTOR_N, gdt_get(SEL_TASK_GATE));
        idt_set(VECTOR_NM, gdt_get(SEL_TASK_GATE));
        *word_at(TSS_32) = selector;
        go(&change, &start, verdict);
    }
    case_end();
}

static void tss_limit(void)
{
    case_begin("3A 8.2.2", "a TSS must have room for its state: #TS with its selector");
    for (unsigned i = 0; i < 4 * 2 * 8; i++) {
        struct change change = {.way = i & 3, .from_32 = true, .to_32 = i >> 2 & 1, .to_cpl = 3};
        unsigned least = change.to_32 ? TSS32_LIMIT : TSS16_LIMIT, limit = least - 4 + (i >> 3);
        struct task task = task_at(ways[change.way].snippet, 3);
        struct state start = prepare(&change, &task);
        gdt_set(SEL_TASK, descriptor(TASK_AT, limit, tss_access(&change), 0));
        go(&change, &start, limit < least ? fault(VECTOR_TS, SEL_TASK) : ENDS);
    }
    case_end();
}

/* --- the new task's fields: faults are the new task's */

static void go_new(const struct change *change, const struct state *start, const struct task *task,
                   struct verdict verdict, unsigned selector)
{
    struct snippet snippet = landing(change);
    struct state end = task_attempt(start);
    struct state in_new = {.ip = task->ip, .cs = task->segments[TASK_CS]};

    case_compare(&snippet, &in_new, &end, verdict, "%s: %04x, %016llx, CPL %u",
                 ways[change->way].name, selector, gdt_get(SEL_TASK_SEGMENT), change->to_cpl);
}

static struct verdict code_verdict(unsigned selector, struct kind k)
{
    unsigned rpl = selector & 3;

    if (!is_code(k.kind) || (is_conforming(k.kind) ? k.dpl > rpl : k.dpl != rpl))
        return fault(VECTOR_TS, error_of(selector));
    return k.present ? ENDS : fault(VECTOR_NP, error_of(selector));
}

static struct verdict segment_verdict(unsigned field, unsigned selector, struct kind k,
                                      unsigned cpl)
{
    if (field == TASK_CS)
        return code_verdict(selector, k);
    if (field == TASK_SS)
        return model_stack(selector, k, cpl, VECTOR_TS);
    struct verdict verdict = model_load(SEG_DS, selector, k, cpl, false);
    if (verdict.vector == VECTOR_GP)
        verdict.vector = VECTOR_TS;
    return verdict;
}

static void new_segment(unsigned field, const char *name)
{
    case_begin("3A 8.3", name);
    for (unsigned i = 0; i < KINDS * 0x80; i++) {
        struct kind k = {i & 31, i >> 5 & 3, i >> 7 & 1};
        unsigned selector = SEL_TASK_SEGMENT | (i >> 8 & 3);
        struct change change = {
            .way = i >> 3 & 3, .from_32 = true, .to_32 = true, .cpl = i & 3, .to_cpl = i >> 10 & 3};
        if (field == TASK_CS)
            change.to_cpl = selector & 3;
        struct task task = task_at(ways[change.way].snippet, change.to_cpl);
        task.segments[field] = selector;
        struct state start = prepare(&change, &task);
        gdt_set(SEL_TASK_SEGMENT, descriptor(field == TASK_CS ? LOW_BASE : DATA_BASE,
                                             is_expand_down(k.kind) ? 0 : 0xffff, access_byte(k),
                                             field == TASK_SS ? SIZE_32 : 0));
        go_new(&change, &start, &task, segment_verdict(field, selector, k, change.to_cpl),
               selector);
    }
    case_end();
}

static void no_segment(void)
{
    static const unsigned selectors[] = {0,       1, 2, 3, GDT_LIMIT + 1, (LDT_LIMIT + 1) | 4 | 3,
                                         0x20 | 4};

    case_begin("3A 8.3", "the new task's segments are null or beyond the tables");
    for (unsigned i = 0; i < COUNT(selectors) * TASK_SEGMENTS * 4; i++) {
        unsigned selector = selectors[i / 4 / TASK_SEGMENTS], field = i / 4 % TASK_SEGMENTS;
        struct change change = {.way = i & 3, .from_32 = true, .to_32 = true, .to_cpl = 3};
        struct task task = task_at(ways[change.way].snippet, 3);
        task.segments[field] = selector;
        struct state start = prepare(&change, &task);
        bool is_data = field != TASK_CS && field != TASK_SS;
        go_new(&change, &start, &task,
               is_data && !error_of(selector) ? ENDS : fault(VECTOR_TS, error_of(selector)),
               selector);
    }
    case_end();
}

static void new_ldt(void)
{
    case_begin("3A 8.3", "the new task's LDT: #TS unless null or a present LDT of the GDT");
    for (unsigned i = 0; i < KINDS * 8 + 5; i++) {
        static const unsigned others[] = {0, 3, GDT_LIMIT + 1, SEL_TASK_SEGMENT | 4, 4};
        struct kind k = {i & 31, i >> 5 & 3, i >> 7 & 1};
        bool is_other = i >= KINDS * 8;
        struct change change = {.way = i & 3, .from_32 = true, .to_32 = i >> 2 & 1, .to_cpl = 3};
        struct task task = task_at(ways[change.way].snippet, 3);
        task.ldt = is_other ? others[i - KINDS * 8] : SEL_TASK_SEGMENT;
        struct state start = prepare(&change, &task);
        gdt_set(SEL_TASK_SEGMENT, descriptor(LDT, LDT_LIMIT, access_byte(k), 0));
        bool passes = is_other ? !error_of(task.ldt) : k.kind == KIND_LDT && k.present;
        go_new(&change, &start, &task, passes ? ENDS : fault(VECTOR_TS, error_of(task.ldt)),
               task.ldt);
    }
    case_end();
}

static void new_ip(void)
{
    case_begin("3A 8.3", "the new task's EIP beyond its code segment: #GP(0)");
    for (unsigned i = 0; i < 4; i++) {
        struct change change = {.way = i, .from_32 = true, .to_32 = true, .to_cpl = 3};
        struct task task = task_at(ways[i].snippet, 3);
        task.ip |= 0x10000;
        struct state start = prepare(&change, &task);
        go_new(&change, &start, &task, fault(VECTOR_GP, 0), 0);
    }
    case_end();
}

/* The new task's segments come from its own LDT. */
static void from_new_ldt(void)
{
    case_begin("3A 8.3", "the new task's segments are taken from its own LDT");
    for (unsigned i = 0; i < 4; i++) {
        struct change change = {.way = i, .from_32 = true, .to_32 = true, .to_cpl = 3};
        struct task task = task_at(ways[i].snippet, 3);
        task.ldt = SEL_TASK_SEGMENT;
        task.segments[TASK_CS] = 0x08 | 4 | 3;
        task.segments[TASK_SS] = task.segments[TASK_DS] = 0x10 | 4 | 3;
        struct state start = prepare(&change, &task);
        *qword_at(FREE_BASE + 0x2008) = gdt_get(SEL_CODE16(3));
        *qword_at(FREE_BASE + 0x2010) = gdt_get(SEL_DATA16(3));
        gdt_set(SEL_TASK_SEGMENT, descriptor(FREE_BASE + 0x2000, 0x17, LDT_KIND, 0));
        struct state end = go(&change, &start, ENDS);
        case_check(end.cs == task.segments[TASK_CS] && end.ss == task.segments[TASK_SS] &&
                       end.ds == task.segments[TASK_DS],
                   "CS %llx SS %llx DS %llx", end.cs, end.ss, end.ds);
    }
    case_end();
}

static void to_v86(void)
{
    case_begin("3A 21.2.5", "a task with VM set runs in virtual-8086 mode");
    for (unsigned i = 0; i < 4; i++) {
        struct change change = {.way = i, .from_32 = true, .to_32 = true, .to_cpl = 3};
        struct task task = task_at(ways[i].snippet, 3);
        task.flags |= FLAG_VM;
        for (unsigned segment = 0; segment < TASK_SEGMENTS; segment++)
            task.segments[segment] = 0x2000 + segment;
        task.segments[TASK_CS] = LOW_BASE >> 4;
        struct state start = prepare(&change, &task);
        struct state end = go(&change, &start, ENDS);
        case_check((end.flags & FLAG_VM) && end.es == 0x2000 && end.ss == 0x2002 &&
                       end.ds == 0x2003 && end.fs == 0x2004 && end.gs == 0x2005,
                   "flags %llx, ES %llx SS %llx DS %llx FS %llx GS %llx", end.flags, end.es, end.ss,
                   end.ds, end.fs, end.gs);
    }
    case_end();
}

static void trap_flag(void)
{
    enum { BT = 0x8000, TRAP = 100, LOCAL_ENABLES = 0x155, DR7_SET = 0x7ff };

    case_begin("3A 18.3.1.5", "T in the TSS: #DB before the new task's first instruction");
    for (unsigned i = 0; i < 4; i++) {
        struct change change = {.way = i, .from_32 = true, .to_32 = true, .to_cpl = 3};
        struct task task = task_at(ways[i].snippet, 3);
        struct state start = prepare(&change, &task);
        *word_at(TASK_AT + TRAP) = 1;
        struct state end = task_attempt(&start);
        case_check(end.vector == VECTOR_DB && end.ip == task.ip && (read_dr6() & BT),
                   "%s: vector %llu at %llx, DR6 %x", ways[i].name, end.vector, end.ip, read_dr6());
    }
    case_end();

    case_begin("3A 18.2.4", "a task switch clears the local breakpoint enables");
    for (unsigned i = 0; i < 4; i++) {
        struct change change = {.way = i, .from_32 = true, .to_32 = true, .to_cpl = 3};
        struct task task = task_at(ways[i].snippet, 3);
        struct state start = prepare(&change, &task);
        write_dr0(0xfffffff0), write_dr1(0xfffffff0), write_dr2(0xfffffff0), write_dr3(0xfffffff0);
        write_dr7(DR7_SET);
        go(&change, &start, ENDS);
        case_check(read_dr7() == (DR7_SET & ~LOCAL_ENABLES), "%s: DR7 %x", ways[i].name,
                   read_dr7());
        write_dr7(DR7_RESET);
    }
    case_end();
}

static void protected_mode(void)
{
    for (enum way way = JUMP; way <= EXCEPTION; way++)
        switches(way);
    tss_rights(JUMP);
    tss_rights(CALL);
    gate_rights(JUMP);
    gate_rights(CALL);
    gate_rights(INTERRUPT);
    gate_rights(EXCEPTION);
    named_tss(JUMP, "the TSS that a task gate names", "3A 8.3", VECTOR_GP);
    named_tss(CALL, "the TSS that a task gate names", "3A 8.3", VECTOR_GP);
    named_tss(INTERRUPT, "the TSS that a task gate names", "3A 6.12.2", VECTOR_GP);
    named_tss(EXCEPTION, "the TSS that a task gate names", "3A 6.12.2", VECTOR_GP);
    named_tss(RETURN, "the TSS that the link names", "3A 8.4", VECTOR_TS);
    tss_limit();
    new_segment(TASK_CS, "the new task's CS: #TS or #NP");
    new_segment(TASK_SS, "the new task's SS: #TS or #SS");
    new_segment(TASK_ES, "the new task's ES: #TS or #NP");
    new_segment(TASK_DS, "the new task's DS: #TS or #NP");
    new_segment(TASK_FS, "the new task's FS: #TS or #NP");
    new_segment(TASK_GS, "the new task's GS: #TS or #NP");
    no_segment();
    new_ldt();
    new_ip();
    from_new_ldt();
    to_v86();
    trap_flag();
}

const struct topic topic = {"task", protected_mode, NULL};
