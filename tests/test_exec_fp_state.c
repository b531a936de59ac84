/* The state of x87 and SSE in memory: the environment in all formats, FXSAVE's area, XSAVE's
 * header. */
#include "tests/fp_rig.h"

static void setup(void)
{
    setup_long();
    x87_init(cpu);
}
TestSuite(exec_fp_state, .init = setup, .fini = teardown);

/* --- the environment */
static void make_state(void)
{
    EXPECT_DONE(FNINIT);
    EXPECT_DONE(FLDPI);
    EXPECT_DONE(FLDZ);
    EXPECT_DONE(FLD1);
    x87_st(cpu, 0)->mantissa = 1; /* unsupported: special */
    cpu->x87.code_offset = 0x12345;
    cpu->x87.code_selector = 0x1000;
    cpu->x87.data_offset = 0x6789a;
    cpu->x87.data_selector = 0x2000;
    cpu->x87.opcode = 0x5e8;
}

Test(exec_fp_state, environment_in_protected_mode)
{
    make_state();
    cpu->regs[RBX] = AREA;
    EXPECT_DONE(FNSTENV);
    static const uint32_t wide[] = {0xffff037f, 0xffff2800, 0xffff1bff, 0x00012345,
                                    0x05e81000, 0x0006789a, 0xffff2000};
    for (unsigned i = 0; i < ARRAY_LENGTH(wide); i++)
        cr_assert_eq(peek(AREA + 4 * i, 4), wide[i], "dword %u is %llx", i,
                     (unsigned long long)peek(AREA + 4 * i, 4));
    EXPECT_DONE(0x66, FNSTENV);
    static const uint16_t narrow[] = {0x037f, 0x2800, 0x1bff, 0x2345, 0x1000, 0x789a, 0x2000};
    for (unsigned i = 0; i < ARRAY_LENGTH(narrow); i++)
        cr_assert_eq(peek(AREA + 2 * i, 2), narrow[i], "word %u", i);
}

Test(exec_fp_state, environment_in_real_mode)
{
    make_state();
    mmu_set_cr0(&cpu->mmu, CR0_ET | CR0_NE);
    mmu_set_efer(&cpu->mmu, 0);
    rig_real(&rig, CODE);
    cpu->regs[RBX] = AREA;
    /* [bx] is /7 in 16-bit code; linear addresses 22345h and 8789Ah */
    EXPECT_DONE(0x66, 0xd9, 0x37);
    static const uint32_t wide[] = {0xffff037f, 0xffff2800, 0xffff1bff, 0xffff2345,
                                    0x000025e8, 0xffff789a, 0x00008000};
    for (unsigned i = 0; i < ARRAY_LENGTH(wide); i++)
        cr_assert_eq(peek(AREA + 4 * i, 4), wide[i], "dword %u is %llx", i,
                     (unsigned long long)peek(AREA + 4 * i, 4));
    EXPECT_DONE(0xd9, 0x37);
    static const uint16_t narrow[] = {0x037f, 0x2800, 0x1bff, 0x2345, 0x25e8, 0x789a, 0x8000};
    for (unsigned i = 0; i < ARRAY_LENGTH(narrow); i++)
        cr_assert_eq(peek(AREA + 2 * i, 2), narrow[i], "word %u", i);
    EXPECT_DONE(FNINIT);
    EXPECT_DONE(0xd9, 0x27); /* fldenv [bx] */
    cr_assert_eq(cpu->x87.code_offset, 0x22345);
    cr_assert_eq(cpu->x87.data_offset, 0x8789a);
    cr_assert_eq(cpu->x87.opcode, 0x5e8);
    cr_assert_eq(cpu->x87.valid, 0xe0);
}

Test(exec_fp_state, save_and_restore)
{
    static const uint8_t prefixes[] = {0x66, 0x3e};
    for (unsigned i = 0; i < 2; i++) {
        make_state();
        struct x87 before = cpu->x87;
        cpu->regs[RBX] = AREA;
        EXPECT_DONE(prefixes[i], FNSAVE);
        cr_assert_eq(cpu->x87.control, 0x037f);
        cr_assert_eq(cpu->x87.valid, 0);
        for (unsigned n = 0; n < 8; n++)
            cpu->x87.registers[n] = (struct x87_register){0};
        EXPECT_DONE(prefixes[i], FRSTOR);
        cr_assert_arr_eq(cpu->x87.registers, before.registers, sizeof before.registers);
        cr_assert_eq(cpu->x87.status, before.status);
        cr_assert_eq(cpu->x87.valid, before.valid);
        cr_assert_eq(cpu->x87.code_selector, before.code_selector);
        cr_assert_eq(cpu->x87.data_selector, before.data_selector);
    }
}

Test(exec_fp_state, pointers_name_the_last_instruction_and_operand)
{
    poke(AREA, 0x3f800000, 4);
    cpu->regs[RBX] = AREA;
    EXPECT_DONE(FLD_M32);
    cr_assert_eq(cpu->x87.code_offset, CODE);
    cr_assert_eq(cpu->x87.code_selector, cpu->segs[CS].selector);
    cr_assert_eq(cpu->x87.data_offset, AREA);
    cr_assert_eq(cpu->x87.opcode, 0x103);
    cpu->rip = CODE + 16;
    EXPECT_DONE(FLDCW); /* a control instruction leaves no trace */
    EXPECT_DONE(FNSTSW_AX);
    cr_assert_eq(cpu->x87.code_offset, CODE);
    EXPECT_DONE(FLDPI);
    cr_assert_eq(cpu->x87.code_offset, CODE + 16);
    cr_assert_eq(cpu->x87.data_offset, AREA);
    cr_assert_eq(cpu->x87.opcode, 0x1eb);
}

/* --- FXSAVE and XSAVE */
static void fill_xmm(void)
{
    for (unsigned i = 0; i < 16; i++) {
        cpu->xmm[i].q[0] = 0x0101010101010101 * (i + 1);
        cpu->xmm[i].q[1] = ~cpu->xmm[i].q[0];
    }
}
static void fill_area(unsigned bytes)
{
    for (unsigned at = 0; at < bytes; at += 8)
        poke(AREA + at, 0xaaaaaaaaaaaaaaaa, 8);
    cpu->regs[RBX] = AREA;
}

Test(exec_fp_state, fxsave_round_trip)
{
    for (unsigned wide = 0; wide < 2; wide++) {
        make_state();
        cpu->x87.code_offset = 0x123456789abc;
        fill_xmm();
        load_mxcsr(0x9fa5);
        fill_area(512);
        struct x87 before = cpu->x87;
        if (wide)
            EXPECT_DONE(FXSAVE64);
        else
            EXPECT_DONE(FXSAVE);
        cr_assert_eq(peek(AREA + 4, 2), before.valid);
        cr_assert_eq(peek(AREA + 8, 8), wide ? 0x123456789abc : 0x100056789abc);
        cr_assert_eq(peek(AREA + 24, 4), 0x9fa5);
        cr_assert_eq(peek(AREA + 28, 4), 0xffff);
        cr_assert_eq(peek(AREA + 32, 8), 1, "ST(0) comes first");
        cr_assert_eq(peek(AREA + 160 + 16 * 15, 8), 0x1010101010101010);
        for (unsigned at = 416; at < 512; at += 8)
            cr_assert_eq(peek(AREA + at, 8), 0xaaaaaaaaaaaaaaaa, "byte %u", at);
        cr_assert_eq(cpu->x87.status, before.status, "FXSAVE leaves the x87 alone");
        EXPECT_DONE(FNINIT);
        memset(cpu->xmm, 0, sizeof cpu->xmm);
        memset(cpu->x87.registers, 0, sizeof cpu->x87.registers);
        sse_set_mxcsr(cpu, 0x1f80);
        if (wide)
            EXPECT_DONE(FXRSTOR64);
        else
            EXPECT_DONE(FXRSTOR);
        cr_assert_arr_eq(cpu->x87.registers, before.registers, sizeof before.registers);
        cr_assert_eq(cpu->x87.valid, before.valid);
        cr_assert_eq(cpu->x87.status, before.status);
        cr_assert_eq(cpu->x87.code_offset, wide ? before.code_offset : 0x56789abc);
        cr_assert_eq(cpu->x87.code_selector, wide ? 0 : before.code_selector);
        cr_assert_eq(cpu->xmm[15].q[1], ~UINT64_C(0x1010101010101010));
        cr_assert_eq(cpu->mxcsr, 0x9fa5);
    }
}

Test(exec_fp_state, fxrstor_with_a_bad_mxcsr_changes_nothing)
{
    fill_area(512);
    fill_xmm();
    struct x87 before = cpu->x87;
    EXPECT_FAULT(VECTOR_GP, FXRSTOR);
    cr_assert_arr_eq(&cpu->x87, &before, sizeof before);
    cr_assert_eq(cpu->xmm[3].q[0], 0x0404040404040404);
}

static void enable_xsave(void)
{
    mmu_set_cr4(&cpu->mmu, cpu->mmu.registers.cr4 | CR4_OSXSAVE);
    cpu->xcr0 = 3;
    cpu->regs[RAX] = UINT64_MAX;
    cpu->regs[RDX] = UINT64_MAX;
    memset(cpu->x87.registers, 0, sizeof cpu->x87.registers);
    memset(cpu->xmm, 0, sizeof cpu->xmm);
}

Test(exec_fp_state, xsave_says_what_is_in_use)
{
    enable_xsave();
    cpu->regs[RBX] = AREA;
    fill_area(576);
    poke(AREA + 512, 0, 8);
    cpu->regs[RBX] = AREA;
    EXPECT_DONE(XSAVEOPT);
    cr_assert_eq(peek(AREA + 512, 8), 0);
    cr_assert_eq(peek(AREA, 8), 0xaaaaaaaaaaaaaaaa, "initial state is not written");
    cr_assert_eq(peek(AREA + 160, 8), 0xaaaaaaaaaaaaaaaa);
    cr_assert_eq(peek(AREA + 24, 4), 0x1f80, "MXCSR always is");
    EXPECT_DONE(XSAVE);
    cr_assert_eq(peek(AREA + 512, 8), 0);
    cr_assert_eq(peek(AREA, 2), 0x037f);
    cr_assert_eq(peek(AREA + 160, 8), 0);

    fill_xmm();
    fill_area(512);
    cpu->regs[RAX] = 1; /* x87 only */
    EXPECT_DONE(XSAVE);
    cr_assert_eq(peek(AREA + 512, 8), 0);
    cr_assert_eq(peek(AREA + 24, 4), 0xaaaaaaaa, "MXCSR was not asked for");
    cpu->regs[RAX] = 7;
    EXPECT_DONE(XSAVEOPT);
    cr_assert_eq(peek(AREA + 512, 8), 2);
    cr_assert_eq(peek(AREA + 160 + 16, 8), 0x0202020202020202);
}

Test(exec_fp_state, xrstor_initialises_what_the_area_does_not_hold)
{
    enable_xsave();
    cpu->regs[RBX] = AREA;
    fill_xmm();
    load_mxcsr(0x1fa0);
    EXPECT_DONE(XSAVE);
    cr_assert_eq(peek(AREA + 512, 8), 2);
    make_state();
    memset(cpu->xmm, 0, sizeof cpu->xmm);
    cpu->regs[RBX] = AREA;
    EXPECT_DONE(XRSTOR);
    cr_assert_eq(cpu->x87.valid, 0);
    cr_assert_eq(cpu->x87.status, 0);
    cr_assert_eq(cpu->x87.registers[7].mantissa, 0);
    cr_assert_eq(cpu->xmm[1].q[0], 0x0202020202020202);

    poke(AREA + 512, 0, 8);
    cpu->regs[RBX] = AREA;
    EXPECT_DONE(XRSTOR);
    cr_assert_eq(cpu->xmm[1].q[0], 0);
    cr_assert_eq(cpu->mxcsr, 0x1fa0, "MXCSR comes from the area all the same");
}

Test(exec_fp_state, xrstor_checks_the_header)
{
    enable_xsave();
    fill_area(512);
    poke(AREA + 24, 0x1f80, 4);
    static const struct {
        unsigned at;
        uint64_t value;
    } rows[] = {{512, 4}, {512, BIT(63)}, {520, BIT(63) | 4},
                {520, 1}, {528, BIT(40)}, {24, 0x10000}};
    for (unsigned i = 0; i < ARRAY_LENGTH(rows); i++) {
        for (unsigned at = 512; at < 576; at += 8)
            poke(AREA + at, 0, 8);
        poke(AREA + 24, 0x1f80, 4);
        cpu->regs[RBX] = AREA;
        EXPECT_DONE(XRSTOR);
        poke(AREA + rows[i].at, rows[i].value, rows[i].at == 24 ? 4 : 8);
        cpu->regs[RBX] = AREA;
        EXPECT_FAULT(VECTOR_GP, XRSTOR);
    }
    mmu_set_cr4(&cpu->mmu, cpu->mmu.registers.cr4 & ~CR4_OSXSAVE);
    EXPECT_FAULT(VECTOR_UD, XSAVE);
}
