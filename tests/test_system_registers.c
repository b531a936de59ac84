/* Control, debug and model-specific registers, CPUID and the processor models.
 * SDM 3A §2.5, §4.1, §4.10, 3B ch. 17, 4 ch. 2, 2A CPUID. */
#include "cpu/control.h"
#include "cpu/msr.h"
#include "tests/bench_suite.h"

TestSuite(system_registers, .init = setup, .fini = teardown);

/* --- CR0, CR3, CR4 */

Test(system_registers, cr0_combinations)
{
    static const struct {
        uint64_t value;
        bool legal;
    } cases[] = {
        {0, true},
        {CR0_PE, true},
        {CR0_PG, false},
        {CR0_PG | CR0_PE, true},
        {CR0_NW, false},
        {CR0_NW | CR0_CD, true},
        {CR0_CD, true},
        {CR0_PE | BIT(32), false},
        {CR0_PE | BIT(10), true}, /* reserved bits of the lower half are ignored */
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(cases); i++) {
        bench_enter(&rig, 0);
        cr_assert_eq(control_write_cr0(rig.cpu, cases[i].value), !cases[i].legal, "case %u", i);
        if (cases[i].legal)
            cr_assert_eq(rig.cpu->mmu.registers.cr0, (cases[i].value & ~BIT(10)) | CR0_ET);
    }
}

Test(system_registers, entering_and_leaving_long_mode)
{
    struct cpu *cpu = rig.cpu;
    bench_enter(&rig, 0);
    cr_assert_not(msr_write(cpu, MSR_EFER, EFER_LME));
    cr_assert(control_write_cr0(cpu, CR0_PE | CR0_PG), "PAE is off");
    cr_assert_not(control_write_cr4(cpu, CR4_PAE));
    cr_assert_not(control_write_cr0(cpu, CR0_PE | CR0_PG));
    cr_assert_eq(cpu->mmu.registers.efer, EFER_LME | EFER_LMA);
    cr_assert(control_write_cr4(cpu, 0), "PAE stays on");
    cr_assert(msr_write(cpu, MSR_EFER, 0), "LME stays on while paging");
    cr_assert_not(control_write_cr4(cpu, CR4_PAE | CR4_PCIDE));
    cr_assert(control_write_cr0(cpu, CR0_PE), "not with PCIDs on");
    cr_assert_not(control_write_cr4(cpu, CR4_PAE));
    cr_assert_not(control_write_cr3(cpu, 0x18));
    cr_assert(control_write_cr4(cpu, CR4_PAE | CR4_PCIDE), "CR3 names another PCID");
    cr_assert(control_write_cr3(cpu, BIT(63)), "bit 63 only with PCIDs");
    cr_assert(control_write_cr3(cpu, BIT(cpu->model->physical_bits)));
    cr_assert_not(control_write_cr0(cpu, CR0_PE));
    cr_assert_eq(cpu->mmu.registers.efer, EFER_LME);
    /* A 16-bit TSS cannot go along. */
    cpu->tr.attributes = SEG_P | 3;
    cr_assert(control_write_cr0(cpu, CR0_PE | CR0_PG));
    rig_long(&rig, BENCH_CODE_AT, 0);
    cr_assert(control_write_cr0(cpu, CR0_PE), "not from 64-bit code");
}

Test(system_registers, cr4_offers_what_the_model_does)
{
    struct error error;
    struct cpu_model model;
    bench_enter(&rig, 0);
    for (unsigned bit = 0; bit < 64; bit++) {
        bool known = control_cr4_valid(&rig.model.features) >> bit & 1;
        if (bit == 17)
            continue; /* PCIDE has rules of its own */
        cr_assert_eq(control_write_cr4(rig.cpu, BIT(bit)), !known, "bit %u", bit);
    }
    cr_assert_eq(cpu_model_parse("486", &model, &error), 0);
    cr_assert_eq(control_cr4_valid(&model.features), CR4_VME | CR4_PVI);
    cr_assert_eq(cpu_model_parse("max,-smep,-pge", &model, &error), 0);
    cr_assert_not(control_cr4_valid(&model.features) & (CR4_SMEP | CR4_PGE));
}

Test(system_registers, pdptes_are_checked_when_loaded)
{
    struct cpu *cpu = rig.cpu;
    bench_enter(&rig, 0);
    cr_assert_not(control_write_cr4(cpu, CR4_PAE));
    cr_assert_not(control_write_cr3(cpu, 0x20000));
    poke(&rig, 0x20008, 0x21003, 8); /* bit 1 is reserved in a PDPTE */
    cr_assert(control_write_cr0(cpu, CR0_PE | CR0_PG));
    poke(&rig, 0x20008, 0x21001, 8);
    cr_assert_not(control_write_cr0(cpu, CR0_PE | CR0_PG));
    cr_assert_eq(cpu->mmu.registers.pdpte[1], 0x21001);
    poke(&rig, 0x22000, 0x1e1, 8);
    cr_assert(control_write_cr3(cpu, 0x22000));
    cr_assert_eq(cpu->mmu.registers.cr3, 0x20000);
}

Test(system_registers, register_numbers_that_do_not_exist)
{
    for (unsigned n = 0; n < 8; n++) {
        bool cr = n == 0 || n == 2 || n == 3 || n == 4;
        bench_enter(&rig, 0);
        cr_assert_eq(BENCH_RUN(&rig, 0x0f, 0x20, (uint8_t)(0xc0 | n << 3)),
                     cr ? NO_FAULT : FAULT(VECTOR_UD, 0), "CR%u", n);
        bench_enter(&rig, 3);
        cr_assert_eq(BENCH_RUN(&rig, 0x0f, 0x21, (uint8_t)(0xc0 | n << 3)), FAULT(VECTOR_GP, 0));
        for (unsigned de = 0; de < 2; de++) {
            bench_enter(&rig, 0);
            mmu_set_cr4(&rig.cpu->mmu, de ? CR4_DE : 0);
            bool dr = !de || (n != 4 && n != 5);
            cr_assert_eq(BENCH_RUN(&rig, 0x0f, 0x21, (uint8_t)(0xc0 | n << 3)),
                         dr ? NO_FAULT : FAULT(VECTOR_UD, 0), "DR%u", n);
        }
    }
}

/* --- debug registers */

Test(system_registers, debug_registers_hold_their_fixed_bits)
{
    struct cpu *cpu = rig.cpu;
    bench_enter(&rig, 0);
    cpu->regs[RAX] = 0;
    cr_assert_eq(BENCH_RUN(&rig, 0x0f, 0x23, 0xf0), NO_FAULT); /* MOV DR6, EAX */
    cr_assert_eq(BENCH_RUN(&rig, 0x0f, 0x23, 0xf8), NO_FAULT); /* MOV DR7, EAX */
    cr_assert_eq(cpu->dr[6], 0xffff0ff0);
    cr_assert_eq(cpu->dr[7], 0x400);
    cpu->regs[RAX] = 0xffffffff;
    cr_assert_eq(BENCH_RUN(&rig, 0x0f, 0x23, 0xf0), NO_FAULT);
    cr_assert_eq(cpu->dr[6], 0xffffefff);
    cpu->regs[RAX] = 0xffff2fff;
    cr_assert_eq(BENCH_RUN(&rig, 0x0f, 0x23, 0xf8), NO_FAULT);
    cr_assert_eq(cpu->dr[7], 0xffff27ff);
    /* General detect is on now. */
    cr_assert_eq(BENCH_RUN(&rig, 0x0f, 0x21, 0xc0), FAULT(VECTOR_DB, 0));
    cr_assert_eq(cpu->fault.dr6, BIT(13));
}

GUEST_CODE(watched, ".code32\n"
                    "mov eax, [0x8004]\n"
                    "mov [0x8004], ax\n" /* +5 */
                    "nop\n"              /* +11: the trap shows this */
                    "hlt\n");
GUEST_CODE(stops, ".code32\nhlt\n");

static uint64_t run_to_debug_handler(uint64_t dr0, uint64_t dr7)
{
    struct cpu *cpu = rig.cpu;
    rig_load(&rig, BENCH_CODE_AT, watched);
    rig_load(&rig, 0x101, stops);
    bench_enter(&rig, 0);
    cpu->dr[0] = dr0;
    cpu->dr[6] = 0xffff0ff0;
    cpu->dr[7] = dr7;
    debug_registers_changed(cpu);
    cr_assert_eq(cpu_run(cpu), CPU_EXIT_HALTED);
    return cpu->rip == 0x102 ? bench_stack(&rig, 0) : 0;
}

Test(system_registers, breakpoints)
{
    cr_assert_eq(run_to_debug_handler(0x8004, 0x400), 0, "not enabled");
    cr_assert_eq(run_to_debug_handler(0x8006, 0x10001 | 0x400), 0,
                 "a byte beside the word written");
    cr_assert_eq(run_to_debug_handler(0x8005, 0x10001 | 0x400), BENCH_CODE_AT + 11,
                 "write, one byte");
    cr_assert_eq(rig.cpu->dr[6] & 15, 1);
    cr_assert_eq(run_to_debug_handler(0x8006, 0xd0001 | 0x400), BENCH_CODE_AT + 11, "four bytes");
    cr_assert_eq(run_to_debug_handler(0x8007, 0x30001 | 0x400), BENCH_CODE_AT + 5, "read or write");
    cr_assert_eq(run_to_debug_handler(BENCH_CODE_AT + 5, 0x401), BENCH_CODE_AT + 5, "execution");
    cr_assert_not(bench_stack(&rig, 2) & F_RF);
}

/* --- descriptor tables, UMIP, INVPCID, SMAP's flag */

static const struct {
    uint8_t code[4], length;
    bool hidden; /* by CR4.UMIP */
} reveals[] = {
    {{0x0f, 0x01, 0x00}, 3, true}, /* SGDT [EAX] */
    {{0x0f, 0x01, 0x08}, 3, true}, /* SIDT [EAX] */
    {{0x0f, 0x00, 0xc0}, 3, true}, /* SLDT EAX */
    {{0x0f, 0x00, 0xc8}, 3, true}, /* STR EAX */
    {{0x0f, 0x01, 0xe0}, 3, true}, /* SMSW EAX */
    {{0x8c, 0xd8}, 2, false},      /* MOV EAX, DS */
};

Test(system_registers, umip_hides_tables_from_programs)
{
    for (unsigned i = 0; i < ARRAY_LENGTH(reveals); i++) {
        for (unsigned n = 0; n < 4; n++) {
            bool umip = n & 1, user = n & 2;
            bench_enter(&rig, user ? 3 : 0);
            mmu_set_cr4(&rig.cpu->mmu, umip ? CR4_UMIP : 0);
            rig.cpu->regs[RAX] = 0x8000;
            bool fault = umip && user && reveals[i].hidden;
            cr_assert_eq(bench_run(&rig, reveals[i].code, reveals[i].length),
                         fault ? FAULT(VECTOR_GP, 0) : NO_FAULT, "row %u", i);
        }
    }
}

Test(system_registers, descriptor_tables_load_and_store)
{
    struct cpu *cpu = rig.cpu;
    bench_enter(&rig, 0);
    poke(&rig, 0x8000, UINT64_C(0x123456781234), 6);
    cpu->regs[RAX] = 0x8000;
    cpu->regs[RCX] = 0x8010;
    cr_assert_eq(BENCH_RUN(&rig, 0x66, 0x0f, 0x01, 0x10), NO_FAULT); /* LGDT, 16-bit operand */
    cr_assert_eq(cpu->gdt.base, 0x345678, "24 bits of base");
    cr_assert_eq(BENCH_RUN(&rig, 0x0f, 0x01, 0x18), NO_FAULT); /* LIDT [EAX] */
    cr_assert_eq(cpu->idt.base, 0x12345678);
    cr_assert_eq(cpu->idt.limit, 0x1234);
    cr_assert_eq(BENCH_RUN(&rig, 0x0f, 0x01, 0x09), NO_FAULT); /* SIDT [ECX] */
    cr_assert_eq(rig_peek(&rig, 0x8010, 6), UINT64_C(0x123456781234));
    bench_enter(&rig, 3);
    cpu->regs[RAX] = 0x8000;
    cr_assert_eq(BENCH_RUN(&rig, 0x0f, 0x01, 0x10), FAULT(VECTOR_GP, 0));
    bench_enter_long(&rig, 0);
    cpu->regs[RAX] = 0x8000;
    poke(&rig, 0x8002, UINT64_C(0x800000000000), 8);
    cr_assert_eq(BENCH_RUN(&rig, 0x0f, 0x01, 0x10), FAULT(VECTOR_GP, 0), "not canonical");
}

/* LLDT and LTR take only what they name: SDM 2A. */
Test(system_registers, ldtr_and_tr)
{
    struct cpu *cpu = rig.cpu;
    for (unsigned n = 0; n < 1u << 7; n++) {
        unsigned type = n & 15, p = n >> 4 & 1, s = n >> 5 & 1;
        bool ltr = n >> 6 & 1;
        bool right = !s && (ltr ? type == 1 || type == 9 : type == 2);
        bench_enter(&rig, 0);
        bench_gdt(&rig, SEL_TEST, descriptor_make(0x7000, 0x67, ACCESS(p, 0, s, type), 0));
        cpu->regs[RAX] = SEL_TEST;
        int64_t expected = !right ? FAULT(VECTOR_GP, SEL_TEST)
                           : !p   ? FAULT(VECTOR_NP, SEL_TEST)
                                  : NO_FAULT;
        cr_assert_eq(BENCH_RUN(&rig, 0x0f, 0x00, (uint8_t)(ltr ? 0xd8 : 0xd0)), expected,
                     "type %u s %u p %u", type, s, p);
        if (expected == NO_FAULT && ltr)
            cr_assert_eq(access_byte(&rig, SEL_TEST) & 15, type | 2, "busy");
    }
    bench_enter(&rig, 0);
    cpu->regs[RAX] = 3;
    cr_assert_eq(BENCH_RUN(&rig, 0x0f, 0x00, 0xd8), FAULT(VECTOR_GP, 0), "LTR null");
    cr_assert_eq(BENCH_RUN(&rig, 0x0f, 0x00, 0xd0), NO_FAULT, "LLDT null");
    cr_assert_not(cpu->ldt.attributes & SEG_P);
    cpu->regs[RAX] = SEL_TSS2 | 4;
    cr_assert_eq(BENCH_RUN(&rig, 0x0f, 0x00, 0xd8), FAULT(VECTOR_GP, SEL_TSS2 | 4));
}

Test(system_registers, invpcid_operands)
{
    static const struct {
        uint64_t type, pcid, address;
        bool legal;
    } cases[] = {
        {0, 0, 0x1000, true},  {0, 1, 0x1000, false}, {0, 0, UINT64_C(0x800000000000), false},
        {1, 0, 0, true},       {1, 1, 0, false},      {2, 0, 0, true},
        {3, 0x1000, 0, false}, {3, 0, 0, true},       {4, 0, 0, false},
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(cases); i++) {
        bench_enter_long(&rig, 0);
        rig.cpu->regs[RCX] = cases[i].type;
        rig.cpu->regs[RAX] = 0x8000;
        poke(&rig, 0x8000, cases[i].pcid, 8);
        poke(&rig, 0x8008, cases[i].address, 8);
        cr_assert_eq(BENCH_RUN(&rig, 0x66, 0x0f, 0x38, 0x82, 0x08),
                     cases[i].legal ? NO_FAULT : FAULT(VECTOR_GP, 0), "case %u", i);
    }
}

Test(system_registers, stac_and_clac)
{
    bench_enter(&rig, 0);
    cr_assert_eq(BENCH_RUN(&rig, 0x0f, 0x01, 0xcb), NO_FAULT);
    cr_assert(rig.cpu->eflags & F_AC);
    cr_assert_eq(BENCH_RUN(&rig, 0x0f, 0x01, 0xca), NO_FAULT);
    cr_assert_not(rig.cpu->eflags & F_AC);
    bench_enter(&rig, 3);
    cr_assert_eq(BENCH_RUN(&rig, 0x0f, 0x01, 0xcb), FAULT(VECTOR_UD, 0));
}

/* --- model-specific registers */

Test(system_registers, msr_values_that_are_refused)
{
    struct cpu *cpu = rig.cpu;
    const uint64_t not_canonical = UINT64_C(0x800000000000);
    static const uint64_t far_high = UINT64_C(0xffff800000000000);
    const struct {
        uint32_t index;
        uint64_t value;
        bool legal;
    } cases[] = {
        {MSR_LSTAR, far_high, true},
        {MSR_LSTAR, not_canonical, false},
        {MSR_CSTAR, not_canonical, false},
        {MSR_FS_BASE, not_canonical, false},
        {MSR_FS_BASE, 0x1234, true},
        {MSR_GS_BASE, not_canonical, false},
        {MSR_KERNEL_GS_BASE, not_canonical, false},
        {MSR_SYSENTER_EIP, not_canonical, false},
        {MSR_SYSENTER_ESP, far_high, true},
        {MSR_SFMASK, BIT(32), false},
        {MSR_TSC_AUX, BIT(32), false},
        {MSR_TSC_AUX, 7, true},
        {MSR_PAT, UINT64_C(0x0007040600070406), true},
        {MSR_PAT, 2, false},
        {MSR_PAT, UINT64_C(0x0800000000000000), false},
        {MSR_MTRR_DEF_TYPE, 0xc06, true},
        {MSR_MTRR_DEF_TYPE, 0xc02, false},
        {MSR_MTRR_DEF_TYPE, 0x1006, false},
        {MSR_MTRR_FIX4K_C0000, UINT64_C(0x0505050505050505), true},
        {MSR_MTRR_FIX4K_C0000, 3, false},
        {MSR_MTRR_PHYS_BASE0, 0xc0000006, true},
        {MSR_MTRR_PHYS_BASE0, BIT(50), false},
        {MSR_MTRR_PHYS_MASK7, 0x800, true},
        {MSR_MTRR_PHYS_MASK7, 0x400, false},
        {MSR_EFER, EFER_SCE | EFER_NXE, true},
        {MSR_EFER, BIT(5), false},
        {MSR_MC0_CTL + 1, 1, false},
        {MSR_MC0_CTL + 1, 0, true},
        {MSR_MTRR_CAP, 0, false},
        {MSR_MCG_CAP, 0, false},
        {0x12345678, 0, false},
        {MSR_X2APIC_FIRST, 0, false},
        {MSR_XSS, 0, true},
        {MSR_XSS, BIT(8), false},
        {MSR_XSS, BIT(63), false},
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(cases); i++) {
        bench_enter(&rig, 0);
        cpu->fault = (struct cpu_fault){0};
        cr_assert_eq(msr_write(cpu, cases[i].index, cases[i].value), !cases[i].legal,
                     "case %u, MSR %x", i, cases[i].index);
        if (!cases[i].legal) {
            cr_assert_eq(cpu->fault.vector, VECTOR_GP);
            continue;
        }
        uint64_t value;
        cr_assert_not(msr_read(cpu, cases[i].index, &value));
        cr_assert_eq(value, cases[i].value, "MSR %x", cases[i].index);
        if (cases[i].index == MSR_FS_BASE)
            cr_assert_eq(cpu->segs[FS].base, cases[i].value);
    }
    uint64_t value;
    cr_assert(msr_read(cpu, 0x12345678, &value));
}

Test(system_registers, time_stamp_counter_can_be_set)
{
    struct cpu *cpu = rig.cpu;
    cr_assert_not(msr_write(cpu, MSR_TSC, 1000));
    uint64_t before = cpu_tsc(cpu);
    cr_assert_eq(before, 1000);
    bench_enter(&rig, 3);
    cr_assert_eq(BENCH_RUN(&rig, 0x0f, 0x31), NO_FAULT);
    cr_assert_eq((uint32_t)cpu->regs[RAX], 1000);
    mmu_set_cr4(&cpu->mmu, CR4_TSD);
    cr_assert_eq(BENCH_RUN(&rig, 0x0f, 0x31), FAULT(VECTOR_GP, 0));
}

/* The local APIC knows whether the deadline has passed: SDM 3A §10.5.4.1. */
Test(system_registers, tsc_deadline)
{
    struct cpu *cpu = rig.cpu;
    uint64_t value = 1;
    cr_assert_not(msr_write(cpu, MSR_TSC_DEADLINE, 5000));
    cr_assert_eq(rig.tsc_deadline, 5000);
    cr_assert(!msr_read(cpu, MSR_TSC_DEADLINE, &value) && value == 5000);
    cr_assert_not(msr_write(cpu, MSR_TSC, 1000));
    cr_assert_eq(rig.tsc_deadline_writes, 2, "it is nearer now");
    cr_assert_eq(rig.tsc_deadline, 5000);
    rig.tsc_deadline = 0;
    cr_assert(!msr_read(cpu, MSR_TSC_DEADLINE, &value) && value == 0, "it has fired");
    cr_assert_not(msr_write(cpu, MSR_TSC, 2000));
    cr_assert_eq(rig.tsc_deadline_writes, 2);
    feature_remove(&rig.model.features, FEAT_TSC_DEADLINE);
    cr_assert(msr_read(cpu, MSR_TSC_DEADLINE, &value));
    cr_assert(msr_write(cpu, MSR_TSC_DEADLINE, 1));
    cr_assert_not(msr_write(cpu, MSR_TSC, 1000));
    cr_assert_eq(rig.tsc_deadline_writes, 2);
}

/* --- CPUID and models */

Test(system_registers, models)
{
    static const struct {
        const char *text;
        bool legal;
        enum feature with, without;
    } cases[] = {
        {"486", true, FEAT_FPU, FEAT_TSC},
        {"pentium", true, FEAT_TSC, FEAT_CMOV},
        {"qemu32", true, FEAT_SSE2, FEAT_LM},
        {"qemu64", true, FEAT_LM, FEAT_SSE41},
        {"max", true, FEAT_SMEP, FEAT_MONITOR},
        {"qemu64,-nx,+smep", true, FEAT_SMEP, FEAT_NX},
        {"qemu64,-avx,-svm", true, FEAT_LM, FEAT_SMEP},
        {"qemu64,-xsave", true, FEAT_LM, FEAT_XSAVE},
        {"max", true, FEAT_XSAVES, FEAT_MONITOR},
        {"max,-xsavec", true, FEAT_XSAVE, FEAT_XSAVES},
        {"max,-avx", true, FEAT_XSAVE, FEAT_AVX2},
        {"max,cx16=off,popcnt=on", true, FEAT_POPCNT, FEAT_CX16},
        {"qemu64,+lahf-lm", true, FEAT_LAHF_LM, FEAT_SMEP},
        {"qemu64,+sse4a", false, 0, 0},
        {"qemu64,+nonsense", false, 0, 0},
        {"qemu64,-nonsense", false, 0, 0},
        {"qemu64,", false, 0, 0},
        {"", false, 0, 0},
        {"host", false, 0, 0},
        {"qemu6", false, 0, 0},
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct cpu_model model;
        struct error error = {""};
        cr_assert_eq(cpu_model_parse(cases[i].text, &model, &error), cases[i].legal ? 0 : -22, "%s",
                     cases[i].text);
        if (!cases[i].legal) {
            cr_assert_not_null(strstr(error.text, "-cpu"));
            continue;
        }
        cr_assert(feature_has(&model.features, cases[i].with), "%s", cases[i].text);
        cr_assert_not(feature_has(&model.features, cases[i].without), "%s", cases[i].text);
    }
}

Test(system_registers, cpuid_leaves)
{
    struct cpu *cpu = rig.cpu;
    struct cpuid_result r = cpuid_query(cpu, 0, 0);
    cr_assert_eq(r.eax, rig.model.max_leaf);
    cr_assert_eq(r.ebx, 0x68747541); /* "Auth" */
    r = cpuid_query(cpu, 1, 0);
    cr_assert(r.edx & BIT(9));
    cr_assert_not(r.ecx & BIT(27), "OSXSAVE follows CR4");
    cr_assert(r.ecx & BIT(31));
    cr_assert_eq(r.ebx >> 8 & 0xff, 8, "CLFLUSH lines of 64 bytes");
    mmu_set_cr4(&cpu->mmu, CR4_OSXSAVE);
    cr_assert(cpuid_query(cpu, 1, 0).ecx & BIT(27));
    cpu->msr.apic_base &= ~BIT(11);
    cr_assert_not(cpuid_query(cpu, 1, 0).edx & BIT(9), "APIC follows its enable bit");
    r = cpuid_query(cpu, 0x40000000, 0);
    cr_assert_neq(r.ebx, 0x4b4d564b, "no KVM");
    r = cpuid_query(cpu, 0x80000001, 0);
    cr_assert(r.edx & BIT(29));
    r = cpuid_query(cpu, 0x80000008, 0);
    cr_assert_eq(r.eax, 40 | 48 << 8);
    r = cpuid_query(cpu, 0x1234, 0);
    cr_assert_eq(r.eax | r.ebx | r.ecx | r.edx, 0, "AMD: zeroes past the end");
    char brand[49] = {0};
    for (unsigned i = 0; i < 3; i++) {
        r = cpuid_query(cpu, 0x80000002 + i, 0);
        memcpy(brand + i * 16, &r, 16);
    }
    cr_assert_str_eq(brand, rig.model.brand);
}
