/* x87, MMX and SSE where the host oracle cannot look: pending errors and FERR#, the environment in
 * all formats, XSAVE's header, exceptions without a vector, and that state outlives a run. */
#include "tests/exec_alone.h"

#include "cpu/sse_env.h"

enum { CODE = 0x1000, AREA = 0x4000 };

static struct rig rig;
static struct cpu *cpu;
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
    rig_init(&rig);
    cpu = rig.cpu;
    ops = *cpu->ops;
    ops.ferr = count_ferr;
    cpu->ops = &ops;
    rig_long(&rig, CODE, 0);
    x87_init(cpu);
}
static void teardown(void)
{
    rig_free(&rig);
}
TestSuite(exec_fp, .init = setup, .fini = teardown);

static int run_bytes(const uint8_t *bytes, size_t length)
{
    uint64_t rip = cpu->rip;
    sse_enter(cpu);
    int result = alone_bytes(cpu, bytes, length);
    sse_leave(cpu);
    cpu->rip = rip;
    return result;
}
#define DO(...) run_bytes((const uint8_t[]){__VA_ARGS__}, sizeof(uint8_t[]){__VA_ARGS__})
#define EXPECT_DONE(...) cr_assert_eq(DO(__VA_ARGS__), EXEC_STOP)
#define EXPECT_FAULT(number, ...)                                                                  \
    do {                                                                                           \
        cr_assert_eq(DO(__VA_ARGS__), EXEC_FAULT);                                                 \
        cr_assert_eq(cpu->fault.vector, number);                                                   \
    } while (0)

/* Instructions, in 64-bit code; memory operands are at [RBX]. */
#define FADD_ST1 0xd8, 0xc1
#define FDIVP_ST1 0xde, 0xf9
#define FLD1 0xd9, 0xe8
#define FLDZ 0xd9, 0xee
#define FLDPI 0xd9, 0xeb
#define FSQRT 0xd9, 0xfa
#define FWAIT 0x9b
#define FNOP 0xd9, 0xd0
#define FNCLEX 0xdb, 0xe2
#define FNINIT 0xdb, 0xe3
#define FNSTSW_AX 0xdf, 0xe0
#define FLDCW 0xd9, 0x2b
#define FLD_M32 0xd9, 0x03
#define FSTP_M32 0xd9, 0x1b
#define FSTP_M64 0xdd, 0x1b
#define FISTP_M16 0xdf, 0x1b
#define FBSTP 0xdf, 0x33
#define FNSTENV 0xd9, 0x33
#define FNSAVE 0xdd, 0x33
#define FRSTOR 0xdd, 0x23
#define EMMS 0x0f, 0x77
#define MOVD_MM3_EAX 0x0f, 0x6e, 0xd8
#define DIVSS 0xf3, 0x0f, 0x5e, 0xc1 /* xmm0, xmm1 */
#define MULSD 0xf2, 0x0f, 0x59, 0xc1
#define LDMXCSR 0x0f, 0xae, 0x13
#define STMXCSR 0x0f, 0xae, 0x1b
#define FXSAVE 0x0f, 0xae, 0x03
#define FXSAVE64 0x48, 0x0f, 0xae, 0x03
#define FXRSTOR 0x0f, 0xae, 0x0b
#define FXRSTOR64 0x48, 0x0f, 0xae, 0x0b
#define XSAVE 0x0f, 0xae, 0x23
#define XRSTOR 0x0f, 0xae, 0x2b
#define XSAVEOPT 0x0f, 0xae, 0x33

static void poke(uint64_t address, uint64_t value, unsigned size)
{
    physmem_write(&rig.physmem, GPA(address), &value, size);
    cpu->regs[RBX] = address;
}
static uint64_t peek(uint64_t address, unsigned size)
{
    return rig_peek(&rig, address, size);
}
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
    } rows[] = {{0x037f, 2, 0x40490fdb}, {0x077f, 2, 0x40490fda}, {0x0b7f, 3, 0x40490fdb},
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
    } rows[] = {{0x007f, 0xb504f30000000000}, {0x027f, 0xb504f333f9de6800},
                {0x037f, 0xb504f333f9de6484}};
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
static void load_mxcsr(uint32_t value)
{
    poke(AREA, value, 4);
    EXPECT_DONE(LDMXCSR);
}

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

Test(exec_fp, environment_in_protected_mode)
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

Test(exec_fp, environment_in_real_mode)
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

Test(exec_fp, save_and_restore)
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

Test(exec_fp, pointers_name_the_last_instruction_and_operand)
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

Test(exec_fp, fxsave_round_trip)
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

Test(exec_fp, fxrstor_with_a_bad_mxcsr_changes_nothing)
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

Test(exec_fp, xsave_says_what_is_in_use)
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

Test(exec_fp, xrstor_initialises_what_the_area_does_not_hold)
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

Test(exec_fp, xrstor_checks_the_header)
{
    enable_xsave();
    fill_area(512);
    poke(AREA + 24, 0x1f80, 4);
    static const struct {
        unsigned at;
        uint64_t value;
    } rows[] = {{512, 4}, {512, BIT(63)}, {520, BIT(63) | 4}, {520, 1}, {528, BIT(40)}, {24, 0x10000}};
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
