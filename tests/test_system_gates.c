/* Call gates, interrupt gates, events from virtual-8086 mode, exceptions that nest, IRET in its
 * other cases; SDM 3A §5.8, ch. 6, ch. 20. */
#include "tests/bench_suite.h"

TestSuite(system_gates, .init = setup, .fini = teardown);

/* --- call gates */

struct gate_case {
    unsigned gate_dpl, rpl, cpl, code_dpl, conforming, gate_p, code_p;
};

static int64_t call_gate_rule(const struct gate_case *c, bool is_call)
{
    if (c->gate_dpl < c->cpl || c->gate_dpl < c->rpl)
        return FAULT(VECTOR_GP, SEL_GATE);
    if (!c->gate_p)
        return FAULT(VECTOR_NP, SEL_GATE);
    if (c->code_dpl > c->cpl || (!is_call && !c->conforming && c->code_dpl != c->cpl))
        return FAULT(VECTOR_GP, SEL_TEST);
    return c->code_p ? NO_FAULT : FAULT(VECTOR_NP, SEL_TEST);
}

static void check_call_gate(const struct gate_case *c, bool is_call)
{
    unsigned type = c->conforming ? 0xe : 0xa;
    bench_gdt(&rig, SEL_TEST,
              descriptor_make(0, 0xfffff, ACCESS(c->code_p, c->code_dpl, 1, type), FLAGS_32));
    bench_gdt(&rig, SEL_GATE,
              gate_make(SEL_TEST, 0x5678, ACCESS(c->gate_p, c->gate_dpl, 0, 12), 2));
    bench_enter(&rig, c->cpl);
    struct cpu *cpu = rig.cpu;
    uint32_t sp = STACK_TOP(c->cpl) - 0x100;
    cpu->regs[RSP] = sp;
    poke(&rig, sp, 0xaaaa0001, 4);
    poke(&rig, sp + 4, 0xbbbb0002, 4);

    int64_t got = bench_far(&rig, is_call, (uint16_t)(SEL_GATE | c->rpl), 0xdead);
    int64_t expected = call_gate_rule(c, is_call);
    cr_assert_eq(got, expected,
                 "call %d gate dpl %u rpl %u cpl %u code dpl %u conf %u p %u %u: %llx", is_call,
                 c->gate_dpl, c->rpl, c->cpl, c->code_dpl, c->conforming, c->gate_p, c->code_p,
                 (unsigned long long)got);
    if (got != NO_FAULT) {
        cr_assert(cpu->cpl == c->cpl && cpu->regs[RSP] == sp && cpu->rip == BENCH_CODE_AT);
        return;
    }
    bool inner = is_call && !c->conforming && c->code_dpl < c->cpl;
    cr_assert_eq(cpu->rip, 0x5678);
    cr_assert_eq(cpu->cpl, inner ? c->code_dpl : c->cpl);
    cr_assert_eq(cpu->segs[CS].selector, SEL_TEST | cpu->cpl);
    if (!is_call) {
        cr_assert_eq(cpu->regs[RSP], sp);
        return;
    }
    cr_assert_eq(bench_stack(&rig, 0), BENCH_CODE_AT + 7);
    cr_assert_eq(bench_stack(&rig, 1), SEL_CODE(c->cpl));
    if (inner) {
        cr_assert_eq(cpu->regs[RSP], STACK_TOP(c->code_dpl) - 24);
        cr_assert_eq(cpu->segs[SS].selector, SEL_DATA(c->code_dpl));
        cr_assert_eq(bench_stack(&rig, 2), 0xaaaa0001);
        cr_assert_eq(bench_stack(&rig, 3), 0xbbbb0002);
        cr_assert_eq(bench_stack(&rig, 4), sp);
        cr_assert_eq(bench_stack(&rig, 5), SEL_DATA(c->cpl));
    } else {
        cr_assert_eq(cpu->regs[RSP], sp - 8);
    }
}

Test(system_gates, call_gates)
{
    for (unsigned n = 0; n < 1u << 12; n++) {
        struct gate_case c = {n & 3,      n >> 2 & 3, n >> 4 & 3, n >> 6 & 3,
                              n >> 8 & 1, n >> 9 & 1, n >> 10 & 1};
        check_call_gate(&c, n >> 11 & 1);
    }
}

/* The stack that the TSS names for the inner privilege: SDM 3A §5.8.5. */
Test(system_gates, inner_stacks_that_are_no_good)
{
    static const struct {
        uint16_t selector;
        unsigned access;
        uint32_t limit, sp;
        int64_t expected;
    } cases[] = {
        {SEL_TEST2, ACCESS(1, 0, 1, 3), 0xfffff, 0x9000, NO_FAULT},
        {0, ACCESS(1, 0, 1, 3), 0xfffff, 0x9000, FAULT(VECTOR_TS, 0)},
        {SEL_TEST2 | 1, ACCESS(1, 0, 1, 3), 0xfffff, 0x9000, FAULT(VECTOR_TS, SEL_TEST2)},
        {SEL_TEST2, ACCESS(1, 1, 1, 3), 0xfffff, 0x9000, FAULT(VECTOR_TS, SEL_TEST2)},
        {SEL_TEST2, ACCESS(1, 0, 1, 1), 0xfffff, 0x9000, FAULT(VECTOR_TS, SEL_TEST2)},
        {SEL_TEST2, ACCESS(0, 0, 1, 3), 0xfffff, 0x9000, FAULT(VECTOR_SS, SEL_TEST2)},
        {SEL_TEST2, ACCESS(1, 0, 1, 3), 0, 0x9000, FAULT(VECTOR_SS, SEL_TEST2)},
        {0xfff0, ACCESS(1, 0, 1, 3), 0xfffff, 0x9000, FAULT(VECTOR_TS, 0xfff0)},
    };
    bench_gdt(&rig, SEL_GATE, gate_make(SEL_CODE(0), 0x5678, ACCESS(1, 3, 0, 12), 0));
    for (unsigned i = 0; i < ARRAY_LENGTH(cases); i++) {
        bench_gdt(
            &rig, SEL_TEST2,
            descriptor_make(0, cases[i].limit, ACCESS(0, 0, 0, 0) | cases[i].access, FLAGS_32));
        poke(&rig, BENCH_TSS + 4, cases[i].sp, 4);
        poke(&rig, BENCH_TSS + 8, cases[i].selector, 4);
        bench_enter(&rig, 3);
        cr_assert_eq(bench_far(&rig, true, SEL_GATE, 0), cases[i].expected, "call, case %u", i);
        /* The same for an event; EXT tells an exception's from a program's own INT. */
        bench_idt(&rig, 32, 0);
        bench_enter(&rig, 3);
        int64_t expected = cases[i].expected == NO_FAULT ? NO_FAULT : cases[i].expected | 1;
        int64_t got = interrupt_deliver(rig.cpu, 1, INTERRUPT_EXTERNAL, false, 0)
                          ? FAULT(rig.cpu->fault.vector, rig.cpu->fault.error)
                          : NO_FAULT;
        cr_assert_eq(got, expected, "event, case %u", i);
    }
    bench_enter(&rig, 3);
    rig.cpu->tr.limit = 8;
    cr_assert_eq(bench_far(&rig, true, SEL_GATE, 0), FAULT(VECTOR_TS, SEL_TSS));
}

/* --- interrupt and trap gates */

static int64_t deliver(unsigned vector, enum interrupt_kind kind, bool has_error, uint32_t error)
{
    return interrupt_deliver(rig.cpu, vector, kind, has_error, error)
               ? FAULT(rig.cpu->fault.vector, rig.cpu->fault.error)
               : NO_FAULT;
}

Test(system_gates, gates_by_type_privilege_and_presence)
{
    enum { VECTOR = 0x10, GATE_ERROR = VECTOR * 8 + 2 };
    for (unsigned n = 0; n < 1u << 10; n++) {
        unsigned type = n & 15, dpl = n >> 4 & 3, cpl = n >> 6 & 3, p = n >> 8 & 1;
        bool software = n >> 9 & 1;
        bool is_gate = type == 6 || type == 7 || type == 14 || type == 15;
        uint32_t ext = !software;
        if (type == 5)
            continue; /* task gates: test_system_tasks.c */
        int64_t expected = NO_FAULT;
        if (!is_gate || (software && dpl < cpl))
            expected = FAULT(VECTOR_GP, GATE_ERROR | ext);
        else if (!p)
            expected = FAULT(VECTOR_NP, GATE_ERROR | ext);
        bench_idt(&rig, VECTOR, gate_make(SEL_CODE(0), 0x5678, ACCESS(p, dpl, 0, type), 0));
        bench_enter(&rig, cpl);
        rig.cpu->eflags |= F_IF | F_NT | F_TF;
        uint32_t flags = cpu_eflags(rig.cpu);
        int64_t got = deliver(VECTOR, software ? INTERRUPT_SOFTWARE : INTERRUPT_EXTERNAL, false, 0);
        cr_assert_eq(got, expected, "type %u dpl %u cpl %u p %u software %d: %llx", type, dpl, cpl,
                     p, software, (unsigned long long)got);
        if (got != NO_FAULT)
            continue;
        bool is_32 = type & 8;
        unsigned width = is_32 ? 4 : 2, slots = cpl ? 5 : 3;
        uint32_t sp = STACK_TOP(0) - slots * width;
        cr_assert_eq(rig.cpu->regs[RSP], sp);
        cr_assert_eq(rig.cpu->cpl, 0);
        cr_assert_eq(rig.cpu->rip, 0x5678);
        cr_assert_eq(rig_peek(&rig, sp, width), BENCH_CODE_AT);
        cr_assert_eq(rig_peek(&rig, sp + width, 2), SEL_CODE(cpl));
        cr_assert_eq(rig_peek(&rig, sp + 2 * width, width), is_32 ? flags : flags & 0xffff);
        if (cpl) {
            cr_assert_eq(rig_peek(&rig, sp + 3 * width, width),
                         is_32 ? STACK_TOP(cpl) : STACK_TOP(cpl) & 0xffff);
            cr_assert_eq(rig_peek(&rig, sp + 4 * width, 2), SEL_DATA(cpl));
        }
        cr_assert_eq(rig.cpu->eflags & (F_TF | F_NT | F_IF), type & 1 ? F_IF : 0);
    }
}

Test(system_gates, targets_of_gates)
{
    static const struct {
        uint16_t selector;
        unsigned access;
        int64_t expected;
    } cases[] = {
        {SEL_TEST, ACCESS(1, 0, 1, 10), NO_FAULT},
        {SEL_TEST | 3, ACCESS(1, 0, 1, 10), NO_FAULT}, /* the gate's RPL does not matter */
        {SEL_TEST, ACCESS(1, 1, 1, 14), NO_FAULT},     /* conforming: stays at CPL 2 */
        {SEL_TEST, ACCESS(1, 3, 1, 10), FAULT(VECTOR_GP, SEL_TEST | 1)},
        {SEL_TEST, ACCESS(1, 3, 1, 14), FAULT(VECTOR_GP, SEL_TEST | 1)},
        {SEL_TEST, ACCESS(1, 0, 1, 2), FAULT(VECTOR_GP, SEL_TEST | 1)},
        {SEL_TEST, ACCESS(1, 0, 0, 12), FAULT(VECTOR_GP, SEL_TEST | 1)},
        {SEL_TEST, ACCESS(0, 0, 1, 10), FAULT(VECTOR_NP, SEL_TEST | 1)},
        {0, ACCESS(1, 0, 1, 10), FAULT(VECTOR_GP, 1)},
        {0xfff0, ACCESS(1, 0, 1, 10), FAULT(VECTOR_GP, 0xfff0 | 1)},
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(cases); i++) {
        bench_gdt(&rig, SEL_TEST, descriptor_make(0, 0xfffff, cases[i].access, FLAGS_32));
        bench_idt(&rig, 3, gate_make(cases[i].selector, 0x5678, ACCESS(1, 0, 0, 14), 0));
        bench_enter(&rig, 2);
        cr_assert_eq(deliver(3, INTERRUPT_EXCEPTION, false, 0), cases[i].expected, "case %u", i);
        if (cases[i].expected == NO_FAULT)
            cr_assert_eq(rig.cpu->cpl, cases[i].access & 4 ? 2 : 0);
    }
    bench_enter(&rig, 0);
    cr_assert_eq(deliver(0x20, INTERRUPT_EXTERNAL, false, 0), FAULT(VECTOR_GP, 0x20 * 8 + 3));
}

Test(system_gates, resume_flag_in_the_pushed_image)
{
    static const struct {
        unsigned vector;
        enum interrupt_kind kind;
        bool rf;
    } cases[] = {
        {VECTOR_PF, INTERRUPT_EXCEPTION, true},  {VECTOR_GP, INTERRUPT_EXCEPTION, true},
        {VECTOR_DB, INTERRUPT_EXCEPTION, false}, {VECTOR_BP, INTERRUPT_SOFTWARE, false},
        {VECTOR_NMI, INTERRUPT_EXTERNAL, false}, {VECTOR_DF, INTERRUPT_EXCEPTION, false},
    };
    bench_idt(&rig, VECTOR_BP, gate_make(SEL_CODE(0), 1, ACCESS(1, 3, 0, 14), 0));
    for (unsigned i = 0; i < ARRAY_LENGTH(cases); i++) {
        bench_enter(&rig, 0);
        cr_assert_eq(deliver(cases[i].vector, cases[i].kind, false, 0), NO_FAULT);
        cr_assert_eq(!!(bench_stack(&rig, 2) & F_RF), cases[i].rf, "case %u", i);
    }
}

/* --- exceptions while an exception is delivered: SDM 3A table 6-5 */

Test(system_gates, double_and_triple_faults)
{
    enum { BENIGN, CONTRIBUTORY, PAGE };
    static const struct {
        uint8_t vector, class;
    } first[] = {{VECTOR_UD, BENIGN},       {VECTOR_NM, BENIGN},       {VECTOR_DE, CONTRIBUTORY},
                 {VECTOR_TS, CONTRIBUTORY}, {VECTOR_NP, CONTRIBUTORY}, {VECTOR_SS, CONTRIBUTORY},
                 {VECTOR_GP, CONTRIBUTORY}, {VECTOR_PF, PAGE}};
    for (unsigned i = 0; i < ARRAY_LENGTH(first); i++) {
        bench_tables(&rig);
        /* Its gate is absent, so delivery raises #NP: contributory. */
        bench_idt(&rig, first[i].vector, 0 | gate_make(SEL_CODE(0), 1, ACCESS(0, 0, 0, 14), 0));
        bench_enter(&rig, 0);
        cpu_fault(rig.cpu, first[i].vector, 0);
        cr_assert_not(fault_deliver(rig.cpu));
        unsigned handler = first[i].class == BENIGN ? VECTOR_NP : VECTOR_DF;
        cr_assert_eq(rig.cpu->rip, 0x100 + handler, "first %u", first[i].vector);
        uint32_t error = handler == VECTOR_DF ? 0 : first[i].vector * 8u + 3;
        cr_assert_eq(bench_stack(&rig, 0), error);
        /* With the double fault's gate absent too: shutdown. */
        bench_idt(&rig, VECTOR_DF, 0);
        bench_enter(&rig, 0);
        cpu_fault(rig.cpu, first[i].vector, 0);
        cr_assert_eq(fault_deliver(rig.cpu), first[i].class != BENIGN);
    }
}

Test(system_gates, page_fault_address_is_stored_at_delivery)
{
    bench_enter(&rig, 0);
    rig.cpu->cr2 = 1;
    cpu_fault(rig.cpu, VECTOR_PF, 6);
    rig.cpu->fault.cr2 = 0x1234;
    cr_assert_eq(rig.cpu->cr2, 1);
    cr_assert_not(fault_deliver(rig.cpu));
    cr_assert_eq(rig.cpu->cr2, 0x1234);
    cr_assert_eq(bench_stack(&rig, 0), 6);
    cpu_fault(rig.cpu, VECTOR_DB, 0);
    rig.cpu->fault.dr6 = BIT(14);
    rig.cpu->dr[7] |= BIT(13);
    cr_assert_not(fault_deliver(rig.cpu));
    cr_assert(rig.cpu->dr[6] & BIT(14));
    cr_assert_not(rig.cpu->dr[7] & BIT(13), "general detect is lifted");
}

/* --- real mode */

Test(system_gates, real_mode_interrupts_and_iret)
{
    struct cpu *cpu = rig.cpu;
    rig_real(&rig, 0x1000);
    cpu->eflags |= F_IF | F_TF | F_AC;
    poke(&rig, 0x21 * 4, 0x12345678, 4);
    cr_assert_eq(BENCH_RUN(&rig, 0xcd, 0x21), NO_FAULT);
    cr_assert_eq(cpu->segs[CS].selector, 0x1234);
    cr_assert_eq(cpu->segs[CS].base, 0x12340);
    cr_assert_eq(cpu->rip, 0x5678);
    cr_assert_eq(cpu->regs[RSP], 0x8000 - 6);
    cr_assert_eq(cpu->eflags & (F_IF | F_TF | F_AC), 0);
    cr_assert_eq(rig_peek(&rig, 0x8000 - 6, 2), 0x1002);
    cr_assert_eq(rig_peek(&rig, 0x8000 - 2, 2), 2 | F_IF | F_TF);
    cr_assert_eq(BENCH_RUN(&rig, 0xcf), NO_FAULT);
    cr_assert_eq(cpu->rip, 0x1002);
    cr_assert_eq(cpu->segs[CS].selector, 0);
    cr_assert_eq(cpu->eflags & (F_IF | F_TF), F_IF | F_TF);
    cpu->eflags &= ~(uint32_t)F_TF;
    /* beyond the IDT's limit: #GP, then #DF, then shutdown */
    cpu->idt.limit = 0x21 * 4 + 2;
    cr_assert_eq(BENCH_RUN(&rig, 0xcd, 0x21) >> 16, VECTOR_GP);
    cpu->idt.limit = 3;
    cr_assert(fault_deliver(cpu));
}

/* --- virtual-8086 mode */

Test(system_gates, from_virtual_8086_and_back)
{
    struct cpu *cpu = rig.cpu;
    bench_enter_v86(&rig, 0);
    uint32_t flags = cpu_eflags(cpu);
    cr_assert_eq(deliver(VECTOR_GP, INTERRUPT_EXCEPTION, true, 0x77), NO_FAULT);
    cr_assert_eq(cpu->cpl, 0);
    cr_assert_not(cpu->eflags & F_VM);
    cr_assert(cpu_is_protected(cpu));
    cr_assert_eq(cpu->regs[RSP], STACK_TOP(0) - 40);
    const uint32_t frame[] = {0x77, 0,     0x100, flags | F_RF, STACK_TOP(3),
                              0,    0x000, 0x300, 0x400,        0x500};
    for (unsigned i = 0; i < ARRAY_LENGTH(frame); i++)
        cr_assert_eq(bench_stack(&rig, i), frame[i], "slot %u", i);
    static const uint8_t data[] = {ES, DS, FS, GS};
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(cpu->segs[data[i]].selector, 0);

    cpu->regs[RSP] += 4;
    cr_assert_eq(BENCH_RUN(&rig, 0xcf), NO_FAULT);
    cr_assert(cpu_is_v86(cpu));
    cr_assert_eq(cpu->cpl, 3);
    cr_assert_eq(cpu->segs[DS].base, 0x3000);
    cr_assert_eq(cpu->segs[CS].base, BENCH_CODE_AT);
    cr_assert_eq(cpu->regs[RSP], STACK_TOP(3));
    cr_assert(cpu->eflags & F_IF);

    /* A handler that is not of DPL 0 cannot be entered from virtual-8086 mode. */
    bench_idt(&rig, 5, gate_make(SEL_CODE(1), 1, ACCESS(1, 0, 0, 14), 0));
    cr_assert_eq(deliver(5, INTERRUPT_EXTERNAL, false, 0),
                 FAULT(VECTOR_GP, (SEL_CODE(1) & 0xfffc) | 1));
}

/* INT n in virtual-8086 mode: SDM 3A table 20-2, the six methods. */
Test(system_gates, int_n_in_virtual_8086_mode)
{
    struct cpu *cpu = rig.cpu;
    bench_idt(&rig, 0x11, gate_make(SEL_CODE(0), 0x5678, ACCESS(1, 3, 0, 14), 0));
    poke(&rig, 0x11 * 4, 0x02000300, 4);
    for (unsigned n = 0; n < 16; n++) {
        bool vme = n & 1, through_ivt = n & 2, iopl3 = n & 4, vif = n & 8;
        poke(&rig, BENCH_TSS + 0x68 + 2, through_ivt ? 0 : 1u << (0x11 & 7), 1);
        poke(&rig, BENCH_TSS + 102, 0x68 + 32, 2);
        bench_enter_v86(&rig, iopl3 ? 3 : 0);
        if (vme)
            mmu_set_cr4(&cpu->mmu, CR4_VME);
        cpu->eflags |= (vif ? F_VIF : 0) | F_TF;
        int64_t got = BENCH_RUN(&rig, 0xcd, 0x11);
        if (vme && through_ivt) {
            cr_assert_eq(got, NO_FAULT);
            cr_assert(cpu_is_v86(cpu));
            cr_assert_eq(cpu->rip, 0x300);
            cr_assert_eq(cpu->segs[CS].selector, 0x200);
            uint64_t image = rig_peek(&rig, cpu->regs[RSP] + 4, 2);
            cr_assert_eq(image & F_IOPL, F_IOPL);
            cr_assert_eq(!!(image & F_IF), iopl3 ? true : vif);
            cr_assert_eq(cpu->eflags & F_TF, 0);
            cr_assert_eq(!!(cpu->eflags & F_IF), !iopl3);
            cr_assert_eq(!!(cpu->eflags & F_VIF), iopl3 && vif);
        } else if (iopl3) {
            cr_assert_eq(got, NO_FAULT);
            cr_assert_eq(cpu->rip, 0x5678);
            cr_assert_eq(cpu->cpl, 0);
        } else {
            cr_assert_eq(got, FAULT(VECTOR_GP, 0), "case %u", n);
        }
    }
}

/* --- long mode */

static void idt64(unsigned vector, uint16_t selector, uint64_t offset, unsigned access,
                  unsigned ist)
{
    poke(&rig, BENCH_IDT + vector * 16, gate_make(selector, (uint32_t)offset, access, ist), 8);
    poke(&rig, BENCH_IDT + vector * 16 + 8, offset >> 32, 8);
}

Test(system_gates, long_mode_delivery_and_iretq)
{
    struct cpu *cpu = rig.cpu;
    for (unsigned n = 0; n < 8; n++) {
        bool from_user = n & 1, ist = n & 2, has_error = n & 4;
        bench_enter_long(&rig, from_user ? 3 : 0);
        idt64(13, SEL_CODE64, UINT64_C(0xffff800012345678), ACCESS(1, 0, 0, 14), ist);
        struct segment ss = cpu->segs[SS];
        cr_assert_eq(deliver(13, INTERRUPT_EXTERNAL, has_error, 0x55), NO_FAULT);
        uint64_t top = ist ? STACK_TOP(1) : from_user ? STACK_TOP(0) : STACK_TOP(2);
        cr_assert_eq(cpu->regs[RSP], top - (has_error ? 48 : 40), "case %u", n);
        cr_assert_eq(cpu->rip, UINT64_C(0xffff800012345678));
        cr_assert_eq(cpu->segs[SS].selector, from_user ? 0 : ss.selector);
        cr_assert_eq(cpu->cpl, 0);
        cr_assert_not(cpu->eflags & F_IF);
        if (has_error) {
            cr_assert_eq(rig_peek(&rig, cpu->regs[RSP], 8), 0x55);
            cpu->regs[RSP] += 8;
        }
        const uint64_t frame[] = {BENCH_CODE_AT, from_user ? SEL_CODE64 + 27 : SEL_CODE64, 2 | F_IF,
                                  STACK_TOP(2) + 7, ss.selector};
        for (unsigned i = 0; i < 5; i++)
            cr_assert_eq(rig_peek(&rig, cpu->regs[RSP] + i * 8, 8), frame[i], "slot %u", i);
        cr_assert_eq(BENCH_RUN(&rig, 0x48, 0xcf), NO_FAULT);
        cr_assert_eq(cpu->rip, BENCH_CODE_AT);
        cr_assert_eq(cpu->cpl, from_user ? 3 : 0);
        cr_assert_eq(cpu->regs[RSP], STACK_TOP(2) + 7);
        cr_assert_eq(cpu->segs[SS].selector, ss.selector);
        cr_assert(cpu->eflags & F_IF);
    }
}

/* The frame of a 64-bit gate lies on the flat stack of the code entered, whatever SS's base. */
Test(system_gates, call_gate_out_of_compatibility_mode)
{
    struct cpu *cpu = rig.cpu;
    bench_enter_long(&rig, 0);
    cpu->segs[CS].attributes &= (uint16_t)~SEG_L;
    cpu->segs[CS].attributes |= SEG_DB;
    cpu->segs[SS] = (struct segment){.base = 0x800,
                                     .limit = 0xfffff,
                                     .selector = SEL_CODE64 + 8,
                                     .attributes = SEG_P | SEG_S | SEG_WRITABLE | SEG_DB};
    cpu_mode_changed(cpu);
    bench_gdt(&rig, SEL_GATE, gate_make(SEL_CODE64, 0x5678, ACCESS(1, 0, 0, 12), 0));
    bench_gdt(&rig, SEL_GATE + 8, 0);
    cpu->regs[RSP] = STACK_TOP(0);
    uint16_t before = cpu->segs[CS].selector;
    cr_assert_eq(bench_far(&rig, true, SEL_GATE, 0), NO_FAULT);
    cr_assert_eq(cpu->rip, 0x5678);
    cr_assert(cpu_is_64(cpu));
    cr_assert_eq(cpu->regs[RSP], STACK_TOP(0) - 16);
    cr_assert_eq(rig_peek(&rig, STACK_TOP(0) - 8, 8), before);
    cr_assert_eq(rig_peek(&rig, STACK_TOP(0) - 16, 8), BENCH_CODE_AT + 7);
}

Test(system_gates, long_mode_gates_that_are_no_good)
{
    static const struct {
        unsigned access;
        uint16_t selector;
        uint64_t offset;
        int64_t expected;
    } cases[] = {
        {ACCESS(1, 0, 0, 14), SEL_CODE64, 0x1000, NO_FAULT},
        {ACCESS(1, 0, 0, 6), SEL_CODE64, 0x1000, FAULT(VECTOR_GP, 13 * 8 + 3)},
        {ACCESS(1, 0, 0, 5), SEL_CODE64, 0x1000, FAULT(VECTOR_GP, 13 * 8 + 3)},
        {ACCESS(0, 0, 0, 14), SEL_CODE64, 0x1000, FAULT(VECTOR_NP, 13 * 8 + 3)},
        {ACCESS(1, 0, 0, 14), SEL_CODE(0), 0x1000, FAULT(VECTOR_GP, SEL_CODE(0) | 1)},
        {ACCESS(1, 0, 0, 14), SEL_CODE64, UINT64_C(0x800000000000), FAULT(VECTOR_GP, 1)},
        {ACCESS(1, 0, 0, 14), 0, 0x1000, FAULT(VECTOR_GP, 1)},
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(cases); i++) {
        bench_enter_long(&rig, 3);
        idt64(13, cases[i].selector, cases[i].offset, cases[i].access, 0);
        cr_assert_eq(deliver(13, INTERRUPT_EXTERNAL, false, 0), cases[i].expected, "case %u", i);
    }
    bench_enter_long(&rig, 3);
    idt64(13, SEL_CODE64, 0x1000, ACCESS(1, 0, 0, 14), 0);
    poke(&rig, BENCH_TSS + 4, UINT64_C(0x1000000000000), 8);
    cr_assert_eq(deliver(13, INTERRUPT_EXTERNAL, false, 0), FAULT(VECTOR_SS, 1));
}

Test(system_gates, iretq_takes_a_null_stack_only_inside)
{
    static const struct {
        uint16_t cs, ss;
        int64_t expected;
    } cases[] = {
        {SEL_CODE64, 0, NO_FAULT},
        {SEL_CODE64, 3, FAULT(VECTOR_GP, 0)},
        {SEL_CODE64 + 24 + 3, 3, FAULT(VECTOR_GP, 0)},
        {SEL_CODE64 + 24 + 3, SEL_CODE64 + 16 + 3, NO_FAULT},
        {SEL_CODE(0), 0, FAULT(VECTOR_GP, 0)}, /* to compatibility mode */
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(cases); i++) {
        bench_enter_long(&rig, 0);
        struct cpu *cpu = rig.cpu;
        cpu->regs[RSP] = STACK_TOP(2) - 64;
        const uint64_t frame[] = {0x1234, cases[i].cs, 2, 0x8000, cases[i].ss};
        for (unsigned slot = 0; slot < 5; slot++)
            poke(&rig, cpu->regs[RSP] + slot * 8, frame[slot], 8);
        cr_assert_eq(BENCH_RUN(&rig, 0x48, 0xcf), cases[i].expected, "case %u", i);
    }
    bench_enter_long(&rig, 0);
    rig.cpu->eflags |= F_NT;
    cr_assert_eq(BENCH_RUN(&rig, 0x48, 0xcf), FAULT(VECTOR_GP, 0));
}
