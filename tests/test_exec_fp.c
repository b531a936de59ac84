/* x87, MMX and SSE where the host oracle cannot look: pending errors and FERR#, exceptions without
 * a vector, and that state outlives a run. */
#include "tests/fp_rig.h"

static unsigned ferr_count;
static bool ferr_interrupts;

static void count_ferr(void *machine, struct cpu *from)
{
    ferr_count++;
    if (ferr_interrupts)
        cpu_raise_line(from, LINE_INTR);
}

static void setup(void)
{
    static struct cpu_ops ops;
    setup_long();
    ops = *cpu->ops;
    ops.ferr = count_ferr;
    cpu->ops = &ops;
    x87_init(cpu);
}
TestSuite(exec_fp, .init = setup, .fini = teardown);

static void load_control(uint16_t control)
{
    poke(AREA, control, 2);
    EXPECT_DONE(FLDCW);
}

/* --- x87 errors */
Test(exec_fp, unmasked_zero_divide_is_reported_by_the_next_waiting_instruction)
{
    load_control(0x037b);
    EXPECT_DONE(FLD1);
    EXPECT_DONE(FLDZ);
    EXPECT_DONE(FDIVP_ST1);
    cr_assert_eq(cpu->x87.status & (X87_ZE | X87_ES | X87_B), X87_ZE | X87_ES | X87_B);
    cr_assert_eq(cpu->x87.status >> 11 & 7, 6, "nothing was popped");
    cr_assert_eq(x87_st(cpu, 1)->exponent, 0x3fff, "the quotient was not written");

    EXPECT_DONE(FNSTSW_AX);
    cr_assert_eq((uint16_t)cpu->regs[RAX], cpu->x87.status);
    struct x87 before = cpu->x87;
    EXPECT_FAULT(VECTOR_MF, FADD_ST1);
    EXPECT_FAULT(VECTOR_MF, FNOP);
    EXPECT_FAULT(VECTOR_MF, FWAIT);
    EXPECT_FAULT(VECTOR_MF, EMMS);
    EXPECT_FAULT(VECTOR_MF, MOVD_MM3_EAX);
    cr_assert_arr_eq(&cpu->x87, &before, sizeof before);
    EXPECT_DONE(FNCLEX);
    cr_assert_eq(cpu->x87.status & 0x80ff, 0);
    EXPECT_DONE(FWAIT);
}

Test(exec_fp, masks_decide_what_pends)
{
    EXPECT_DONE(FLD1);
    EXPECT_DONE(FLDZ);
    EXPECT_DONE(FDIVP_ST1);
    cr_assert_eq(cpu->x87.status & (X87_ZE | X87_ES), X87_ZE);
    cr_assert_eq(x87_st(cpu, 0)->exponent, 0x7fff, "infinity");
    load_control(0x037b);
    cr_assert(cpu->x87.status & X87_ES, "unmasking makes an old flag an error");
    EXPECT_FAULT(VECTOR_MF, FWAIT);
    EXPECT_FAULT(VECTOR_MF, FLDCW);
    EXPECT_DONE(FNSTENV);
    cr_assert_eq(cpu->x87.control, 0x037f);
    cr_assert_not(cpu->x87.status & X87_ES, "FNSTENV masks all");
    EXPECT_DONE(FWAIT);
}

Test(exec_fp, unmasked_overflow_stores_no_memory_but_registers)
{
    load_control(0x0377);
    EXPECT_DONE(FLDPI);
    x87_st(cpu, 0)->exponent = 0x6000;
    poke(AREA, 0x1122334455667788, 8);
    EXPECT_DONE(FSTP_M64);
    cr_assert_eq(peek(AREA, 8), 0x1122334455667788);
    cr_assert_eq(cpu->x87.status & (X87_OE | X87_PE | X87_ES), X87_OE | X87_ES);
    cr_assert_eq(cpu->x87.valid, 0x80);
    EXPECT_DONE(FNCLEX);
    /* SDM 1 §8.5.4: in a register, the exponent is brought back into range by 24576. */
    EXPECT_DONE(0xd9, 0xc0); /* fld st0 */
    x87_st(cpu, 0)->exponent = x87_st(cpu, 1)->exponent = 0x7ffe;
    EXPECT_DONE(0xd8, 0xc9); /* fmul st0, st1 */
    cr_assert(cpu->x87.status & X87_OE);
    cr_assert_eq(x87_st(cpu, 0)->exponent, 2 * 0x7ffe - 0x3fff + 1 - 24576);
}

Test(exec_fp, stack_faults)
{
    EXPECT_DONE(FSQRT);
    cr_assert_eq(cpu->x87.status, X87_IE | X87_SF);
    cr_assert_eq(x87_st(cpu, 0)->mantissa, x87_indefinite.mantissa);
    cr_assert_eq(cpu->x87.valid, 1);
    EXPECT_DONE(FNINIT);
    for (unsigned i = 0; i < 8; i++)
        EXPECT_DONE(FLD1);
    cr_assert_eq(cpu->x87.status, 0);
    EXPECT_DONE(FLDPI);
    cr_assert_eq(cpu->x87.status, 7 << 11 | X87_IE | X87_SF | X87_C1);
    cr_assert_eq(x87_st(cpu, 0)->exponent, 0xffff);

    EXPECT_DONE(FNINIT);
    load_control(0x037e);
    EXPECT_DONE(FSQRT);
    cr_assert_eq(cpu->x87.status, X87_IE | X87_SF | X87_ES | X87_B);
    cr_assert_eq(cpu->x87.valid, 0, "unmasked: nothing is changed");
}

Test(exec_fp, without_ne_the_error_goes_to_the_interrupt_controller)
{
    mmu_set_cr0(&cpu->mmu, cpu->mmu.registers.cr0 & ~CR0_NE);
    cpu_mode_changed(cpu);
    load_control(0x037b);
    EXPECT_DONE(FLD1);
    EXPECT_DONE(FLDZ);
    EXPECT_DONE(FDIVP_ST1);
    cr_assert_eq(ferr_count, 0);
    cr_assert_eq(DO(FLDPI), EXEC_LEAVE);
    cr_assert_eq(ferr_count, 1);
    cr_assert_eq(cpu->x87.status >> 11 & 7, 5, "nobody took the interrupt: FLDPI was executed");
    cr_assert(cpu->x87.status & X87_ES);

    ferr_interrupts = true;
    cpu->eflags |= F_IF;
    sse_enter(cpu);
    cr_assert_eq(alone_bytes(cpu, (const uint8_t[]){FLDPI}, 2), EXEC_LEAVE);
    sse_leave(cpu);
    cr_assert_eq(cpu->rip, CODE, "the interrupt comes before the instruction");
    cr_assert_eq(cpu->x87.status >> 11 & 7, 5);
    cr_assert_eq(ferr_count, 2);
}

/* --- known values */
Test(exec_fp, rounding_follows_the_control_word)
{
    static const struct {
        uint16_t control, integer;
        uint32_t third;
    } rows[] = {{0x037f, 2, 0x40490fdb},
                {0x077f, 2, 0x40490fda},
                {0x0b7f, 3, 0x40490fdb},
                {0x0f7f, 2, 0x40490fda}};
    for (unsigned i = 0; i < ARRAY_LENGTH(rows); i++) {
        load_control(rows[i].control);
        poke(AREA, 0x40200000, 4); /* 2.5 */
        EXPECT_DONE(FLD_M32);
        EXPECT_DONE(FISTP_M16);
        cr_assert_eq(peek(AREA, 2), rows[i].integer, "row %u", i);
        EXPECT_DONE(FLDPI);
        EXPECT_DONE(FSTP_M32);
        cr_assert_eq(peek(AREA, 4), rows[i].third, "row %u", i);
        cr_assert_eq(cpu->x87.status, X87_PE | (rows[i].third & 1 ? X87_C1 : 0), "row %u", i);
        EXPECT_DONE(FNCLEX);
    }
}

Test(exec_fp, precision_follows_the_control_word)
{
    static const struct {
        uint16_t control;
        uint64_t root; /* of 2 */
    } rows[] = {
        {0x007f, 0xb504f30000000000}, {0x027f, 0xb504f333f9de6800}, {0x037f, 0xb504f333f9de6484}};
    for (unsigned i = 0; i < ARRAY_LENGTH(rows); i++) {
        EXPECT_DONE(FNINIT);
        load_control(rows[i].control);
        poke(AREA, 0x40000000, 4);
        EXPECT_DONE(FLD_M32);
        EXPECT_DONE(FSQRT);
        cr_assert_eq(x87_st(cpu, 0)->mantissa, rows[i].root, "row %u", i);
    }
}

Test(exec_fp, packed_decimals)
{
    poke(AREA, 0xc7f00000, 4); /* -122880 */
    EXPECT_DONE(FLD_M32);
    EXPECT_DONE(FBSTP);
    cr_assert_eq(peek(AREA, 8), 0x122880);
    cr_assert_eq(peek(AREA + 8, 2), 0x8000);
}

/* FIPS 197, appendix B: the first round's input and key, and what follows. */
Test(exec_fp, aes_round)
{
    if (!feature_has(&rig.model.features, FEAT_AES))
        cr_skip_test("the host has no AES");
    static const uint8_t state[16] = {0x19, 0x3d, 0xe3, 0xbe, 0xa0, 0xf4, 0xe2, 0x2b,
                                      0x9a, 0xc6, 0x8d, 0x2a, 0xe9, 0xf8, 0x48, 0x08};
    static const uint8_t key[16] = {0xa0, 0xfa, 0xfe, 0x17, 0x88, 0x54, 0x2c, 0xb1,
                                    0x23, 0xa3, 0x39, 0x39, 0x2a, 0x6c, 0x76, 0x05};
    static const uint8_t next[16] = {0xa4, 0x9c, 0x7f, 0xf2, 0x68, 0x9f, 0x35, 0x2b,
                                     0x6b, 0x5b, 0xea, 0x43, 0x02, 0x6a, 0x50, 0x49};
    memcpy(&cpu->xmm[0], state, 16);
    memcpy(&cpu->xmm[1], key, 16);
    EXPECT_DONE(0x66, 0x0f, 0x38, 0xdc, 0xc1); /* aesenc xmm0, xmm1 */
    cr_assert_arr_eq(&cpu->xmm[0], next, 16);
}

/* --- MMX on the x87's registers */
Test(exec_fp, mmx_registers_are_mantissas)
{
    EXPECT_DONE(FLDPI);
    cpu->regs[RAX] = 0x89abcdef;
    EXPECT_DONE(MOVD_MM3_EAX);
    cr_assert_eq(cpu->x87.valid, 0xff);
    cr_assert_eq(cpu->x87.status >> 11 & 7, 0);
    cr_assert_eq(cpu->x87.registers[3].mantissa, 0x89abcdef);
    cr_assert_eq(cpu->x87.registers[3].exponent, 0xffff);
    cr_assert_eq(cpu->x87.registers[7].exponent, 0x4000, "others keep theirs");
    EXPECT_DONE(0x0f, 0x6f, 0xdf); /* movq mm3, mm7 */
    cr_assert_eq(cpu->x87.registers[3].mantissa, 0xc90fdaa22168c235);
    EXPECT_DONE(EMMS);
    cr_assert_eq(cpu->x87.valid, 0);
}

/* --- SSE exceptions */
Test(exec_fp, unmasked_simd_exceptions_change_flags_only)
{
    cpu->xmm[0].d[0] = 0x3f800000;
    cpu->xmm[1].d[0] = 0;
    load_mxcsr(0x1d80);
    EXPECT_FAULT(VECTOR_XM, DIVSS);
    cr_assert_eq(cpu->xmm[0].d[0], 0x3f800000);
    cr_assert_eq(cpu->mxcsr, 0x1d84);
    mmu_set_cr4(&cpu->mmu, cpu->mmu.registers.cr4 & ~CR4_OSXMMEXCPT);
    cpu_mode_changed(cpu);
    EXPECT_FAULT(VECTOR_UD, DIVSS);
    load_mxcsr(0x1f80);
    EXPECT_DONE(DIVSS);
    cr_assert_eq(cpu->xmm[0].d[0], 0x7f800000);
    EXPECT_DONE(STMXCSR);
    cr_assert_eq(peek(AREA, 4), 0x1f84);
}

/* An exact denormal result is an underflow only when underflow is unmasked. */
Test(exec_fp, exact_underflow)
{
    static const double smallest = 0x1p-1022, half = 0.5;
    memcpy(&cpu->xmm[0], &smallest, 8);
    memcpy(&cpu->xmm[1], &half, 8);
    load_mxcsr(0x1780);
    EXPECT_FAULT(VECTOR_XM, MULSD);
    cr_assert_eq(cpu->mxcsr, 0x1790);
    cr_assert_eq(cpu->xmm[0].pd[0], smallest);
    load_mxcsr(0x1f80);
    EXPECT_DONE(MULSD);
    cr_assert_eq(cpu->mxcsr, 0x1f80);
    cr_assert_eq(cpu->xmm[0].pd[0], 0x1p-1023);
}

Test(exec_fp, mxcsr_refuses_reserved_bits)
{
    poke(AREA, 0x11f80, 4);
    EXPECT_FAULT(VECTOR_GP, LDMXCSR);
    cr_assert_eq(cpu->mxcsr, 0x1f80);
}

Test(exec_fp, aligned_operands)
{
    cpu->regs[RBX] = AREA + 8;
    EXPECT_FAULT(VECTOR_GP, 0x0f, 0x28, 0x03);       /* movaps xmm0, [rbx] */
    EXPECT_FAULT(VECTOR_GP, 0x0f, 0x29, 0x03);       /* movaps [rbx], xmm0 */
    EXPECT_FAULT(VECTOR_GP, 0x66, 0x0f, 0xfe, 0x03); /* paddd xmm0, [rbx] */
    EXPECT_DONE(0x0f, 0x10, 0x03);                   /* movups xmm0, [rbx] */
    cpu->regs[RBX] = AREA + 0xff8;
    EXPECT_DONE(0x0f, 0x11, 0x03); /* movups [rbx], xmm0: two pages */
    cpu->regs[RBX] = AREA + 1;
    EXPECT_FAULT(VECTOR_GP, FXSAVE);
    cpu->regs[RBX] = AREA + 16;
    mmu_set_cr4(&cpu->mmu, cpu->mmu.registers.cr4 | CR4_OSXSAVE);
    EXPECT_FAULT(VECTOR_GP, XSAVE);
}

/* --- across runs */
GUEST_CODE(inexact, "mov eax, 0x40400000\n"
                    "movd xmm1, eax\n"
                    "mov eax, 0x3f800000\n"
                    "movd xmm0, eax\n"
                    "divss xmm0, xmm1\n"
                    "fninit\n"
                    "fld1\n"
                    "fldpi\n"
                    "fdivp st(1), st\n"
                    "hlt\n");

Test(exec_fp, flags_gathered_in_the_host_come_back)
{
    uint32_t host_mxcsr = _mm_getcsr();
    uint16_t host_control;
    rig_load(&rig, CODE, inexact);
    cpu->mxcsr = 0x5f80; /* rounding up, which must not leak into the host */
    cr_assert_eq(cpu_run(cpu), CPU_EXIT_HALTED);
    cr_assert_eq(cpu->mxcsr, 0x5fa0);
    cr_assert_eq(cpu->xmm[0].d[0], 0x3eaaaaab);
    cr_assert_eq(cpu->x87.status & X87_EXCEPTIONS, X87_PE);
    cr_assert_eq(_mm_getcsr() & ~MXCSR_FLAGS, host_mxcsr & ~MXCSR_FLAGS);
    __asm__("fnstcw %0" : "=m"(host_control));
    cr_assert_eq(host_control, 0x037f);
}
