/* Task switches by JMP, CALL, interrupt and IRET, through 16- and 32-bit TSSs; SDM 3A ch. 7. */
#include "tests/bench_suite.h"

TestSuite(system_tasks, .init = setup, .fini = teardown);

enum { NEW_EIP = 0x5678, NEW_SP = 0xb800, TYPE_BUSY = 2 };

/* The second TSS: a task at CPL `cpl`, of 32 or 16 bits. */
static void new_task(bool is_32, unsigned cpl)
{
    static const uint8_t order[] = {ES, CS, SS, DS, FS, GS};
    unsigned width = is_32 ? 4 : 2, at = BENCH_TSS2 + (is_32 ? 32 : 14);
    bench_gdt(&rig, SEL_TSS2,
              descriptor_make(BENCH_TSS2, is_32 ? 0x67 : 0x2b, ACCESS(1, 3, 0, is_32 ? 9 : 1), 0));
    for (unsigned i = 0; i < 0x68; i++)
        poke(&rig, BENCH_TSS2 + i, 0, 1);
    poke(&rig, at, NEW_EIP, width);
    poke(&rig, at + width, 2 | F_CF, width);
    at += 2 * width;
    for (unsigned i = 0; i < 8; i++, at += width)
        poke(&rig, at, i == RSP ? NEW_SP : 0x4440 + i, width);
    for (unsigned i = 0; i < (is_32 ? 6 : 4); i++, at += width)
        poke(&rig, at, order[i] == CS ? SEL_CODE(cpl) : SEL_DATA(cpl), 2);
    poke(&rig, is_32 ? BENCH_TSS2 + 96 : BENCH_TSS2 + 42, SEL_LDT, 2);
}

/* The task that bench_enter() left, as the first TSS must hold it. */
static void check_saved(bool is_32, unsigned cpl, uint32_t eip, uint32_t eflags, uint32_t sp)
{
    unsigned width = is_32 ? 4 : 2, at = BENCH_TSS + (is_32 ? 32 : 14);
    uint64_t mask = is_32 ? UINT32_MAX : UINT16_MAX;
    cr_assert_eq(rig_peek(&rig, at, width), eip & mask);
    cr_assert_eq(rig_peek(&rig, at + width, width), eflags & mask);
    at += 2 * width;
    for (unsigned i = 0; i < 8; i++, at += width)
        cr_assert_eq(rig_peek(&rig, at, width), (i == RSP ? sp : 0x11110000 + i) & mask);
    cr_assert_eq(rig_peek(&rig, at + width, 2), SEL_CODE(cpl));
    cr_assert_eq(rig_peek(&rig, at + 2 * width, 2), SEL_DATA(cpl));
}

static void old_task(bool is_32, unsigned cpl)
{
    bench_gdt(&rig, SEL_TSS, descriptor_make(BENCH_TSS, 0xfff, ACCESS(1, 3, 0, is_32 ? 11 : 3), 0));
    poke(&rig, BENCH_TSS + (is_32 ? 96 : 42), SEL_LDT, 2);
    bench_enter(&rig, cpl);
}

static void check_entered(bool is_32, unsigned cpl)
{
    struct cpu *cpu = rig.cpu;
    cr_assert_eq(cpu->rip, NEW_EIP);
    cr_assert_eq(cpu->cpl, cpl);
    cr_assert_eq(cpu->segs[CS].selector, SEL_CODE(cpl));
    cr_assert_eq(cpu->segs[SS].selector, SEL_DATA(cpl));
    cr_assert_eq(cpu->segs[DS].selector, SEL_DATA(cpl));
    cr_assert_eq(cpu->segs[FS].selector, is_32 ? SEL_DATA(cpl) : 0);
    cr_assert_eq((uint16_t)cpu->regs[RBX], 0x4440 + RBX);
    cr_assert_eq((uint16_t)cpu->regs[RSP], NEW_SP);
    cr_assert_eq(cpu->tr.selector, SEL_TSS2);
    cr_assert_eq(cpu->ldt.base, BENCH_LDT);
    cr_assert(flag_cf(cpu));
    cr_assert(cpu->mmu.registers.cr0 & CR0_TS);
    cr_assert(access_byte(&rig, SEL_TSS2) & TYPE_BUSY);
}

Test(system_tasks, jump_call_and_back_between_all_sizes)
{
    for (unsigned n = 0; n < 16; n++) {
        bool old_32 = n & 1, new_32 = n & 2, is_call = n & 4, by_gate = n & 8;
        unsigned cpl = 3;
        old_task(old_32, cpl);
        new_task(new_32, cpl);
        bench_gdt(&rig, SEL_GATE, gate_make(SEL_TSS2, 0, ACCESS(1, 3, 0, 5), 0));
        uint32_t flags = cpu_eflags(rig.cpu);
        cr_assert_eq(bench_far(&rig, is_call, by_gate ? SEL_GATE : SEL_TSS2, 0xdead), NO_FAULT);
        check_entered(new_32, cpl);
        check_saved(old_32, cpl, BENCH_CODE_AT + 7, flags, STACK_TOP(cpl));
        cr_assert_eq(!!(access_byte(&rig, SEL_TSS) & TYPE_BUSY), is_call);
        cr_assert_eq(!!(rig.cpu->eflags & F_NT), is_call);
        if (!is_call)
            continue;
        cr_assert_eq(rig_peek(&rig, BENCH_TSS2, 2), SEL_TSS);
        cr_assert_eq(BENCH_RUN(&rig, 0xcf), NO_FAULT);
        cr_assert_eq(rig.cpu->tr.selector, SEL_TSS);
        cr_assert_eq(rig.cpu->rip, BENCH_CODE_AT + 7);
        cr_assert_eq((uint16_t)rig.cpu->regs[RBX], RBX);
        cr_assert_not(rig.cpu->eflags & F_NT);
        cr_assert_not(access_byte(&rig, SEL_TSS2) & TYPE_BUSY);
        cr_assert(access_byte(&rig, SEL_TSS) & TYPE_BUSY);
        uint64_t saved = rig_peek(&rig, BENCH_TSS2 + (new_32 ? 36 : 16), 2);
        cr_assert_not(saved & F_NT, "NT is clear in the image that IRET saves");
    }
}

Test(system_tasks, interrupt_through_a_task_gate)
{
    for (unsigned has_error = 0; has_error < 2; has_error++) {
        old_task(true, 3);
        new_task(true, 0);
        bench_idt(&rig, VECTOR_GP, gate_make(SEL_TSS2, 0, ACCESS(1, 0, 0, 5), 0));
        uint32_t flags = cpu_eflags(rig.cpu);
        cr_assert_not(
            interrupt_deliver(rig.cpu, VECTOR_GP, INTERRUPT_EXCEPTION, has_error, 0x1234));
        cr_assert_eq(rig.cpu->rip, NEW_EIP);
        cr_assert_eq(rig.cpu->cpl, 0);
        cr_assert(rig.cpu->eflags & F_NT);
        check_saved(true, 3, BENCH_CODE_AT, flags, STACK_TOP(3));
        cr_assert_eq(rig.cpu->regs[RSP], has_error ? NEW_SP - 4 : NEW_SP);
        if (has_error)
            cr_assert_eq(bench_stack(&rig, 0), 0x1234);
    }
}

/* Faults before the commit point: the old task is as it was. */
Test(system_tasks, descriptors_that_are_no_good)
{
    static const struct {
        unsigned access;
        uint32_t limit;
        int64_t expected;
    } cases[] = {
        {ACCESS(1, 3, 0, 9), 0x67, NO_FAULT},
        {ACCESS(1, 3, 0, 9), 0x66, FAULT(VECTOR_TS, SEL_TSS2)},
        {ACCESS(0, 3, 0, 9), 0x67, FAULT(VECTOR_NP, SEL_TSS2)},
        {ACCESS(1, 3, 0, 11), 0x67, FAULT(VECTOR_GP, SEL_TSS2)}, /* busy */
        {ACCESS(1, 2, 0, 9), 0x67, FAULT(VECTOR_GP, SEL_TSS2)},  /* DPL below CPL */
        {ACCESS(1, 3, 0, 2), 0x67, FAULT(VECTOR_GP, SEL_TSS2)},  /* an LDT */
        {ACCESS(1, 3, 0, 1), 0x2a, FAULT(VECTOR_TS, SEL_TSS2)},
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(cases); i++) {
        new_task(true, 3);
        bench_gdt(&rig, SEL_TSS2, descriptor_make(BENCH_TSS2, cases[i].limit, cases[i].access, 0));
        old_task(true, 3);
        cr_assert_eq(bench_far(&rig, false, SEL_TSS2, 0), cases[i].expected, "case %u", i);
        if (cases[i].expected == NO_FAULT)
            continue;
        cr_assert_eq(rig.cpu->tr.selector, SEL_TSS);
        cr_assert_eq(rig.cpu->rip, BENCH_CODE_AT);
        cr_assert(access_byte(&rig, SEL_TSS) & TYPE_BUSY);
    }
    old_task(true, 3);
    cr_assert_eq(bench_far(&rig, false, SEL_LDT | 4, 0), FAULT(VECTOR_GP, SEL_LDT | 4));
}

/* Faults past it belong to the new task: SDM 3A table 7-1. */
Test(system_tasks, segments_that_the_new_task_cannot_load)
{
    static const struct {
        unsigned offset; /* in the 32-bit TSS */
        uint16_t selector;
        unsigned access; /* of SEL_TEST */
        unsigned vector;
    } cases[] = {
        {96, SEL_TEST, ACCESS(1, 0, 1, 3), VECTOR_TS},      /* LDT: not an LDT */
        {96, SEL_TEST, ACCESS(0, 0, 0, 2), VECTOR_TS},      /* LDT: not present */
        {96, SEL_LDT | 4, 0, VECTOR_TS},                    /* LDT: in the LDT */
        {76, 0, 0, VECTOR_TS},                              /* CS null */
        {76, SEL_TEST, ACCESS(1, 0, 1, 3), VECTOR_TS},      /* CS: data */
        {76, SEL_TEST | 3, ACCESS(1, 0, 1, 11), VECTOR_TS}, /* CS: DPL != RPL */
        {76, SEL_TEST, ACCESS(1, 1, 1, 15), VECTOR_TS},     /* CS: conforming, DPL > RPL */
        {76, SEL_TEST, ACCESS(0, 0, 1, 11), VECTOR_NP},     /* CS: not present */
        {80, 0, 0, VECTOR_TS},                              /* SS null */
        {80, SEL_TEST, ACCESS(1, 0, 1, 1), VECTOR_TS},      /* SS: read-only */
        {80, SEL_TEST | 1, ACCESS(1, 0, 1, 3), VECTOR_TS},  /* SS: RPL */
        {80, SEL_TEST, ACCESS(0, 0, 1, 3), VECTOR_SS},      /* SS: not present */
        {84, SEL_TEST, ACCESS(1, 0, 1, 9), VECTOR_TS},      /* DS: execute-only */
        {84, SEL_TEST | 3, ACCESS(1, 0, 1, 3), VECTOR_TS},  /* DS: RPL > DPL */
        {92, SEL_TEST, ACCESS(0, 0, 1, 3), VECTOR_NP},      /* GS: not present */
        {92, 0xfff0, 0, VECTOR_TS},                         /* GS: beyond the limit */
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(cases); i++) {
        new_task(true, 0);
        bench_gdt(&rig, SEL_TEST, descriptor_make(0, 0xfffff, cases[i].access, FLAGS_32));
        poke(&rig, BENCH_TSS2 + cases[i].offset, cases[i].selector, 2);
        old_task(true, 0);
        cr_assert_eq(bench_far(&rig, false, SEL_TSS2, 0),
                     FAULT(cases[i].vector, SELECTOR_ERROR(cases[i].selector)), "case %u", i);
        cr_assert_eq(rig.cpu->tr.selector, SEL_TSS2);
        cr_assert_eq(rig.cpu->rip, NEW_EIP, "case %u", i);
    }
    new_task(true, 0);
    bench_gdt(&rig, SEL_TEST, descriptor_make(0, 0x1000, ACCESS(1, 0, 1, 11), FLAGS_BYTES));
    poke(&rig, BENCH_TSS2 + 76, SEL_TEST, 2);
    old_task(true, 0);
    cr_assert_eq(bench_far(&rig, false, SEL_TSS2, 0), FAULT(VECTOR_GP, 0), "EIP beyond CS");
    cr_assert_eq(rig.cpu->rip, NEW_EIP);
}

Test(system_tasks, trap_flag_of_the_tss)
{
    new_task(true, 0);
    poke(&rig, BENCH_TSS2 + 100, 1, 2);
    old_task(true, 0);
    rig.cpu->dr[7] = 0x755;
    cr_assert_eq(bench_far(&rig, false, SEL_TSS2, 0), FAULT(VECTOR_DB, 0));
    cr_assert_eq(rig.cpu->rip, NEW_EIP);
    cr_assert_eq(rig.cpu->dr[7], 0x600, "local breakpoints end with the task");
    cr_assert_not(fault_deliver(rig.cpu));
    cr_assert(rig.cpu->dr[6] & BIT(15));
    cr_assert_eq(rig.cpu->rip, 0x101);
}

Test(system_tasks, to_a_virtual_8086_task)
{
    new_task(true, 0);
    poke(&rig, BENCH_TSS2 + 36, 2 | F_VM, 4);
    poke(&rig, BENCH_TSS2 + 76, 0x123, 2);
    old_task(true, 0);
    cr_assert_eq(bench_far(&rig, false, SEL_TSS2, 0), NO_FAULT);
    cr_assert(cpu_is_v86(rig.cpu));
    cr_assert_eq(rig.cpu->cpl, 3);
    cr_assert_eq(rig.cpu->segs[CS].base, 0x1230);
    cr_assert_eq(rig.cpu->segs[DS].base, SEL_DATA(0) << 4);
}

Test(system_tasks, iret_with_a_bad_link)
{
    static const struct {
        uint16_t link;
        int64_t expected;
    } cases[] = {
        {0, FAULT(VECTOR_TS, 0)},
        {SEL_TSS2, FAULT(VECTOR_TS, SEL_TSS2)}, /* not busy */
        {SEL_LDT, FAULT(VECTOR_TS, SEL_LDT)},
        {SEL_TSS2 | 4, FAULT(VECTOR_TS, SEL_TSS2 | 4)},
        {0xfff0, FAULT(VECTOR_TS, 0xfff0)},
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(cases); i++) {
        new_task(true, 0);
        old_task(true, 0);
        poke(&rig, BENCH_TSS, cases[i].link, 2);
        rig.cpu->eflags |= F_NT;
        cr_assert_eq(BENCH_RUN(&rig, 0xcf), cases[i].expected, "case %u", i);
        cr_assert(rig.cpu->eflags & F_NT);
    }
}

Test(system_tasks, address_space_changes_with_the_task)
{
    struct cpu *cpu = rig.cpu;
    /* Two page directories with 4 MiB identity pages. */
    poke(&rig, 0x20000, 0xe7, 4);
    poke(&rig, 0x21000, 0xe7, 4);
    new_task(true, 0);
    poke(&rig, BENCH_TSS2 + 28, 0x21000, 4);
    old_task(true, 0);
    mmu_set_cr4(&cpu->mmu, CR4_PSE);
    mmu_set_cr3(&cpu->mmu, 0x20000, false);
    mmu_set_cr0(&cpu->mmu, cpu->mmu.registers.cr0 | CR0_PG);
    cpu_mode_changed(cpu);
    cr_assert_eq(bench_far(&rig, true, SEL_TSS2, 0), NO_FAULT);
    cr_assert_eq(cpu->mmu.registers.cr3, 0x21000);
    poke(&rig, BENCH_TSS + 28, 0x20000, 4);
    cr_assert_eq(BENCH_RUN(&rig, 0xcf), NO_FAULT);
    cr_assert_eq(cpu->mmu.registers.cr3, 0x20000);
}
