/* SYSCALL, SYSRET, SYSENTER, SYSEXIT of both makers' processors, SWAPGS and the FS and GS bases;
 * port strings that fault or are interrupted.  SDM 2B by name, AMD APM vol. 3. */
#include "cpu/msr.h"
#include "tests/bench_suite.h"

TestSuite(system_calls, .init = setup, .fini = teardown);

enum { STAR_CALL = 0x10, STAR_RETURN = 0x23, SYSENTER_CODE = 0x38 };

static void set_msrs(void)
{
    struct cpu *cpu = rig.cpu;
    cpu->msr.star = (uint64_t)STAR_RETURN << 48 | (uint64_t)STAR_CALL << 32 | 0x3456;
    cpu->msr.lstar = UINT64_C(0xffffffff81000000);
    cpu->msr.cstar = UINT64_C(0xffffffff82000000);
    cpu->msr.sfmask = F_IF | F_TF | F_DF;
    cpu->msr.sysenter_cs = SYSENTER_CODE;
    cpu->msr.sysenter_esp = UINT64_C(0xffff888000001000);
    cpu->msr.sysenter_eip = UINT64_C(0xffffffff83000000);
}

static void make_intel(void)
{
    rig.model.vendor = "GenuineIntel";
}

static void enter_compatibility(unsigned cpl)
{
    bench_enter_long(&rig, cpl);
    rig.cpu->segs[CS].attributes &= (uint16_t)~SEG_L;
    rig.cpu->segs[CS].attributes |= SEG_DB;
    cpu_mode_changed(rig.cpu);
    cr_assert_eq(cpu_code_size(rig.cpu), CODE_32);
}

static const uint8_t syscall_bytes[] = {0x0f, 0x05}, sysenter_bytes[] = {0x0f, 0x34};

static void check_flat(unsigned seg, uint16_t selector, unsigned attributes)
{
    const struct segment *s = &rig.cpu->segs[seg];
    cr_assert(s->base == 0 && s->limit == UINT32_MAX);
    cr_assert_eq(s->selector, selector);
    cr_assert_eq(s->attributes & ~(unsigned)SEG_AVL, attributes);
}

enum {
    FLAT_CODE64 = SEG_G | SEG_L | SEG_P | SEG_S | 0xb,
    FLAT_CODE32 = SEG_G | SEG_DB | SEG_P | SEG_S | 0xb,
    FLAT_DATA = SEG_G | SEG_DB | SEG_P | SEG_S | 3,
};

Test(system_calls, syscall_and_sysret_in_64_bit_mode)
{
    struct cpu *cpu = rig.cpu;
    bench_enter_long(&rig, 3);
    set_msrs();
    cpu->eflags |= F_DF;
    cr_assert_eq(bench_run(&rig, syscall_bytes, 2), NO_FAULT);
    cr_assert_eq(cpu->rip, cpu->msr.lstar);
    cr_assert_eq(cpu->regs[RCX], BENCH_CODE_AT + 2);
    cr_assert_eq(cpu->regs[R11], 2 | F_IF | F_DF);
    cr_assert_eq(cpu->eflags & (F_IF | F_DF), 0);
    check_flat(CS, STAR_CALL, FLAT_CODE64);
    check_flat(SS, STAR_CALL + 8, FLAT_DATA);
    cr_assert_eq(cpu->cpl, 0);

    cr_assert_eq(BENCH_RUN(&rig, 0x48, 0x0f, 0x07), NO_FAULT);
    cr_assert_eq(cpu->rip, BENCH_CODE_AT + 2);
    check_flat(CS, STAR_RETURN + 16, FLAT_CODE64 | SEG_DPL);
    check_flat(SS, STAR_RETURN + 8, FLAT_DATA | SEG_DPL);
    cr_assert_eq(cpu->cpl, 3);
    cr_assert_eq(cpu->eflags & (F_IF | F_DF), F_IF | F_DF);
    cr_assert_eq(BENCH_RUN(&rig, 0x0f, 0x07), FAULT(VECTOR_GP, 0), "SYSRET at CPL 3");
}

Test(system_calls, sysret_to_bad_addresses_smaller_modes_and_steps)
{
    struct cpu *cpu = rig.cpu;
    bench_enter_long(&rig, 0);
    set_msrs();
    /* AMD's goes there, and cannot fetch. */
    cpu->regs[RCX] = UINT64_C(0x800000000000);
    cr_assert_eq(BENCH_RUN(&rig, 0x48, 0x0f, 0x07), NO_FAULT);
    cr_assert_eq(cpu->cpl, 3);
    cr_assert_eq(cpu->rip, UINT64_C(0x800000000000));

    bench_enter_long(&rig, 0);
    cpu->regs[RCX] = UINT64_C(0x100001234);
    cpu->regs[R11] = F_IF | F_RF | F_VM;
    cr_assert_eq(BENCH_RUN(&rig, 0x0f, 0x07), NO_FAULT);
    check_flat(CS, STAR_RETURN, FLAT_CODE32 | SEG_DPL);
    cr_assert_eq(cpu->rip, 0x1234);
    cr_assert_eq(cpu->eflags & (F_RF | F_VM | F_IF), F_IF);

    /* TF in the restored flags traps at once, as if the call had just been one instruction. */
    bench_enter_long(&rig, 0);
    cpu->regs[RCX] = 0x1234;
    cpu->regs[R11] = F_TF;
    cr_assert_eq(BENCH_RUN(&rig, 0x48, 0x0f, 0x07), FAULT(VECTOR_DB, 0));
    cr_assert_eq(cpu->rip, 0x1234);
    cr_assert_eq(cpu->fault.dr6, BIT(14));

    bench_enter_long(&rig, 3);
    mmu_set_efer(&cpu->mmu, cpu->mmu.registers.efer & ~EFER_SCE);
    cr_assert_eq(bench_run(&rig, syscall_bytes, 2), FAULT(VECTOR_UD, 0));
}

/* Which instruction exists where depends on the maker. */
Test(system_calls, makers_differ_outside_64_bit_mode)
{
    struct cpu *cpu = rig.cpu;
    for (unsigned intel = 0; intel < 2; intel++) {
        if (intel)
            make_intel();
        enter_compatibility(3);
        set_msrs();
        cr_assert_eq(bench_run(&rig, syscall_bytes, 2), intel ? FAULT(VECTOR_UD, 0) : NO_FAULT);
        if (!intel) {
            cr_assert_eq(cpu->rip, cpu->msr.cstar);
            check_flat(CS, STAR_CALL, FLAT_CODE64);
        }
        enter_compatibility(3);
        cr_assert_eq(bench_run(&rig, sysenter_bytes, 2), intel ? NO_FAULT : FAULT(VECTOR_UD, 0));
        if (intel) {
            cr_assert_eq(cpu->rip, cpu->msr.sysenter_eip);
            cr_assert_eq(cpu->regs[RSP], cpu->msr.sysenter_esp);
            check_flat(CS, SYSENTER_CODE, FLAT_CODE64);
        }
        /* legacy mode */
        bench_enter(&rig, 3);
        mmu_set_efer(&cpu->mmu, EFER_SCE);
        cr_assert_eq(bench_run(&rig, syscall_bytes, 2), intel ? FAULT(VECTOR_UD, 0) : NO_FAULT);
        if (!intel) {
            cr_assert_eq(cpu->rip, 0x3456);
            check_flat(CS, STAR_CALL, FLAT_CODE32);
        }
    }
}

/* AMD APM 3, SYSRET: outside 64-bit mode IF is set and R11 not looked at; #GP(0) where there is no
 * protection, and #UD on Intel's. */
Test(system_calls, sysret_outside_64_bit_mode)
{
    struct cpu *cpu = rig.cpu;
    for (unsigned intel = 0; intel < 2; intel++) {
        if (intel)
            make_intel();
        for (unsigned compatibility = 0; compatibility < 2; compatibility++) {
            if (compatibility)
                enter_compatibility(0);
            else
                bench_enter(&rig, 0);
            set_msrs();
            mmu_set_efer(&cpu->mmu, cpu->mmu.registers.efer | EFER_SCE);
            cpu_set_eflags(cpu, F_DF, F_ALL);
            cpu->regs[RCX] = 0x1234;
            cpu->regs[R11] = F_IOPL | F_CF;
            cr_assert_eq(BENCH_RUN(&rig, 0x0f, 0x07), intel ? FAULT(VECTOR_UD, 0) : NO_FAULT);
            if (!intel) {
                cr_assert_eq(cpu->rip, 0x1234);
                cr_assert_eq(cpu_eflags(cpu), 2 | F_DF | F_IF);
                check_flat(CS, STAR_RETURN, FLAT_CODE32 | SEG_DPL);
                check_flat(SS, STAR_RETURN + 8, FLAT_DATA | SEG_DPL);
            }
        }
        bench_enter_v86(&rig, 3);
        mmu_set_efer(&cpu->mmu, EFER_SCE);
        cr_assert_eq(BENCH_RUN(&rig, 0x0f, 0x07), FAULT(intel ? VECTOR_UD : VECTOR_GP, 0));
        rig_real(&rig, BENCH_CODE_AT);
        mmu_set_efer(&cpu->mmu, EFER_SCE);
        cr_assert_eq(BENCH_RUN(&rig, 0x0f, 0x07), FAULT(intel ? VECTOR_UD : VECTOR_GP, 0));
    }
}

Test(system_calls, sysenter_and_sysexit)
{
    struct cpu *cpu = rig.cpu;
    make_intel();
    bench_enter(&rig, 3);
    set_msrs();
    cpu->eflags |= F_IF;
    cr_assert_eq(bench_run(&rig, sysenter_bytes, 2), NO_FAULT);
    cr_assert_eq(cpu->rip, 0x83000000);
    cr_assert_eq(cpu->regs[RSP], 0x1000);
    check_flat(CS, SYSENTER_CODE, FLAT_CODE32);
    check_flat(SS, SYSENTER_CODE + 8, FLAT_DATA);
    cr_assert_not(cpu->eflags & F_IF);
    cpu->regs[RDX] = 0x1234;
    cpu->regs[RCX] = 0x8000;
    cr_assert_eq(BENCH_RUN(&rig, 0x0f, 0x35), NO_FAULT);
    cr_assert(cpu->rip == 0x1234 && cpu->regs[RSP] == 0x8000 && cpu->cpl == 3);
    check_flat(CS, SYSENTER_CODE + 16 + 3, FLAT_CODE32 | SEG_DPL);
    check_flat(SS, SYSENTER_CODE + 24 + 3, FLAT_DATA | SEG_DPL);
    cr_assert_eq(BENCH_RUN(&rig, 0x0f, 0x35), FAULT(VECTOR_GP, 0), "SYSEXIT at CPL 3");

    /* From virtual-8086 mode too. */
    bench_enter_v86(&rig, 0);
    cr_assert_eq(bench_run(&rig, sysenter_bytes, 2), NO_FAULT);
    cr_assert(cpu_is_protected(cpu) && cpu->cpl == 0);

    bench_enter_long(&rig, 0);
    cpu->regs[RDX] = UINT64_C(0x7fff00001234);
    cpu->regs[RCX] = UINT64_C(0x7fff00008000);
    cr_assert_eq(BENCH_RUN(&rig, 0x48, 0x0f, 0x35), NO_FAULT);
    cr_assert_eq(cpu->rip, UINT64_C(0x7fff00001234));
    check_flat(CS, SYSENTER_CODE + 32 + 3, FLAT_CODE64 | SEG_DPL);
    bench_enter_long(&rig, 0);
    cpu->regs[RCX] = UINT64_C(0x8000000000000000);
    cr_assert_eq(BENCH_RUN(&rig, 0x48, 0x0f, 0x35), FAULT(VECTOR_GP, 0));

    bench_enter(&rig, 3);
    cpu->msr.sysenter_cs = 3;
    cr_assert_eq(bench_run(&rig, sysenter_bytes, 2), FAULT(VECTOR_GP, 0));
    rig_real(&rig, BENCH_CODE_AT);
    mmu_set_cr0(&cpu->mmu, CR0_ET);
    cpu->cpl = 0;
    cpu_mode_changed(cpu);
    cr_assert_eq(bench_run(&rig, sysenter_bytes, 2), FAULT(VECTOR_GP, 0));
}

Test(system_calls, bases_of_fs_and_gs)
{
    struct cpu *cpu = rig.cpu;
    static const uint8_t wrgsbase[] = {0xf3, 0x48, 0x0f, 0xae, 0xd8};
    static const uint8_t rdgsbase[] = {0xf3, 0x48, 0x0f, 0xae, 0xc9};
    bench_enter_long(&rig, 0);
    cpu->msr.kernel_gs_base = UINT64_C(0xffff888000000000);
    cpu->segs[GS].base = 0x1234;
    cr_assert_eq(BENCH_RUN(&rig, 0x0f, 0x01, 0xf8), NO_FAULT);
    cr_assert_eq(cpu->segs[GS].base, UINT64_C(0xffff888000000000));
    cr_assert_eq(cpu->msr.kernel_gs_base, 0x1234);
    bench_enter_long(&rig, 3);
    cr_assert_eq(BENCH_RUN(&rig, 0x0f, 0x01, 0xf8), FAULT(VECTOR_GP, 0));
    cr_assert_eq(bench_run(&rig, wrgsbase, 5), FAULT(VECTOR_UD, 0), "CR4.FSGSBASE is off");
    mmu_set_cr4(&cpu->mmu, cpu->mmu.registers.cr4 | CR4_FSGSBASE);
    cpu->regs[RAX] = UINT64_C(0x7fff12345678);
    cr_assert_eq(bench_run(&rig, wrgsbase, 5), NO_FAULT);
    cr_assert_eq(bench_run(&rig, rdgsbase, 5), NO_FAULT);
    cr_assert_eq(cpu->regs[RCX], UINT64_C(0x7fff12345678));
    cpu->regs[RAX] = UINT64_C(0x800000000000);
    cr_assert_eq(bench_run(&rig, wrgsbase, 5), FAULT(VECTOR_GP, 0));
}

/* --- port strings */

static unsigned port_reads, port_writes;
static uint32_t last_written;

static uint32_t counting_read(void *machine, struct cpu *cpu, uint16_t port, unsigned size)
{
    return ++port_reads;
}
static void counting_write(void *machine, struct cpu *cpu, uint16_t port, unsigned size,
                           uint32_t value)
{
    port_writes++;
    last_written = value;
}

static struct cpu_ops counting_ops(void)
{
    struct cpu_ops ops = rig_ops;
    ops.port_read = counting_read;
    ops.port_write = counting_write;
    port_reads = port_writes = 0;
    return ops;
}

/* One element a step while something wants attention, as under single-step. */
static int64_t run_string(const uint8_t *bytes, size_t length)
{
    int64_t result;
    do
        result = bench_run(&rig, bytes, length);
    while (result == NO_FAULT && rig.cpu->rip == BENCH_CODE_AT);
    return result;
}

Test(system_calls, port_strings)
{
    static const uint8_t rep_insd[] = {0xf3, 0x6d}, rep_outsb[] = {0xf3, 0x6e}, insb[] = {0x6c};
    struct cpu *cpu = rig.cpu;
    struct cpu_ops ops = counting_ops();
    cpu->ops = &ops;
    bench_enter(&rig, 0);
    cpu->regs[RCX] = 5;
    cpu->regs[RDI] = 0x8000;
    cr_assert_eq(run_string(rep_insd, 2), NO_FAULT);
    cr_assert(cpu->regs[RCX] == 0 && cpu->regs[RDI] == 0x8014 && cpu->rip == BENCH_CODE_AT + 2);
    for (unsigned i = 0; i < 5; i++)
        cr_assert_eq(rig_peek(&rig, 0x8000 + i * 4, 4), i + 1);

    bench_enter(&rig, 0);
    cpu->eflags |= F_DF;
    cpu->regs[RCX] = 3;
    cpu->regs[RSI] = 0x8008;
    cr_assert_eq(run_string(rep_outsb, 2), NO_FAULT);
    cr_assert(port_writes == 3 && cpu->regs[RSI] == 0x8005);
    cr_assert_eq(last_written, 0, "byte 6 of the numbers above");

    bench_enter(&rig, 0);
    cpu->regs[RCX] = 0;
    unsigned before = port_reads;
    cr_assert_eq(run_string(rep_insd, 2), NO_FAULT);
    cr_assert_eq(port_reads, before);
    cr_assert_eq(run_string(insb, 1), NO_FAULT);
}

/* A port is not read for an element that cannot be stored. */
Test(system_calls, port_strings_fault_before_the_port_is_read)
{
    static const uint8_t rep_insb[] = {0xf3, 0x6c};
    struct cpu *cpu = rig.cpu;
    struct cpu_ops ops = counting_ops();
    cpu->ops = &ops;
    bench_gdt(&rig, SEL_TEST, descriptor_make(0, 0x8001, ACCESS(1, 0, 1, 3), FLAGS_BYTES));
    bench_enter(&rig, 0);
    cpu->segs[ES] = bench_segment(&rig, SEL_TEST);
    segment_update_limits(cpu);
    cpu->regs[RCX] = 5;
    cpu->regs[RDI] = 0x8000;
    cr_assert_eq(run_string(rep_insb, 2), FAULT(VECTOR_GP, 0));
    cr_assert_eq(port_reads, 2);
    cr_assert(cpu->regs[RCX] == 3 && cpu->regs[RDI] == 0x8002 && cpu->rip == BENCH_CODE_AT);
}
