/* VEX prefixes and the state of YMM where the host oracle cannot look: what makes an encoding
 * undefined, in all modes and by CR4 and XCR0; faults of masked and gathered elements; the areas of
 * XSAVE, XSAVEC and XRSTOR; what CPUID says of them. */
#include "tests/fp_rig.h"

#include "cpu/system.h"

enum { LAST_PAGE = RIG_RAM_BYTES - PAGE_BYTES };

static void setup(void)
{
    setup_long();
    mmu_set_cr4(&cpu->mmu, cpu->mmu.registers.cr4 | CR4_OSXSAVE | CR4_OSFXSR);
    cpu->xcr0 = XCR0_X87 | XCR0_VECTORS;
    cpu_mode_changed(cpu);
}
TestSuite(avx, .init = setup, .fini = teardown);

/* Nothing to test where the host has no AVX: then the models have none. */
#define NEEDS_AVX()                                                                                \
    do {                                                                                           \
        if (!cpu_has(cpu, FEAT_AVX2))                                                              \
            cr_skip_test("the host has no AVX2");                                                  \
    } while (0)

static uint64_t at(uint64_t gpa)
{
    uint64_t value;
    physmem_read(&rig.physmem, GPA(gpa), &value, sizeof value);
    return value;
}
static void put(uint64_t gpa, uint64_t value)
{
    physmem_write(&rig.physmem, GPA(gpa), &value, sizeof value);
}

/* --- encodings */

/* In which code an encoding is an instruction: bit CODE_16, CODE_32, CODE_64. */
enum { NOWHERE = 0, IN_64 = 1 << CODE_64, IN_LEGACY = 1 << CODE_16 | 1 << CODE_32, ANYWHERE = 7 };

static exec_fn *decoded(const uint8_t *bytes, uint32_t mode)
{
    struct insn insn;
    struct feature_set features;
    memset(&features, 0xff, sizeof features);
    cr_assert_eq(decode(bytes, INSN_LENGTH_MAX, mode, &features, &insn), DECODE_OK);
    return insn.exec;
}

Test(avx, prefixes_that_make_undefined)
{
    static const struct {
        uint8_t bytes[16];
        unsigned valid;
        const char *what;
    } rows[] = {
        {{0xc5, 0xf8, 0x28, 0xc1}, ANYWHERE, "vmovaps"},
        {{0xc4, 0xe1, 0x78, 0x28, 0xc1}, ANYWHERE, "vmovaps, three bytes"},
        {{0xc4, 0xc1, 0x78, 0x28, 0xc1}, ANYWHERE, "VEX.B is ignored outside 64-bit code"},
        {{0x66, 0xc5, 0xf8, 0x28, 0xc1}, NOWHERE, "66"},
        {{0xf2, 0xc5, 0xf8, 0x28, 0xc1}, NOWHERE, "F2"},
        {{0xf3, 0xc5, 0xf8, 0x28, 0xc1}, NOWHERE, "F3"},
        {{0xf0, 0xc5, 0xf8, 0x28, 0xc1}, NOWHERE, "LOCK"},
        {{0x2e, 0x67, 0xc5, 0xf8, 0x28, 0xc1}, ANYWHERE, "a segment, 67"},
        {{0x41, 0xc5, 0xf8, 0x28, 0xc1}, IN_LEGACY, "REX; INC ECX"},
        {{0x41, 0x2e, 0xc5, 0xf8, 0x28, 0xc1}, ANYWHERE, "a REX that is ignored; INC ECX"},
        {{0xc4, 0xe1, 0x70, 0x28, 0xc1}, NOWHERE, "vvvv that is no operand"},
        {{0xc4, 0xe1, 0x38, 0x28, 0xc1}, NOWHERE, "its bit 3"},
        {{0xc4, 0xe4, 0x78, 0x28, 0xc1}, NOWHERE, "map 4"},
        {{0xc4, 0xe0, 0x78, 0x28, 0xc1}, NOWHERE, "map 0"},
        {{0xc5, 0xfc, 0x77}, ANYWHERE, "vzeroall"},
        {{0xc5, 0xf0, 0x77}, NOWHERE, "vzeroupper with vvvv"},
        {{0xc4, 0xe2, 0x60, 0xf2, 0xc1}, ANYWHERE, "andn"},
        {{0xc4, 0xe2, 0x64, 0xf2, 0xc1}, NOWHERE, "andn with L"},
        {{0xc4, 0xe2, 0x70, 0xf3, 0xc1}, NOWHERE, "group 17 /0"},
        {{0xc4, 0xe1, 0x7d, 0x6e, 0xc1}, NOWHERE, "vmovd with L"},
        {{0xc4, 0xe1, 0xf9, 0x6e, 0xc1}, ANYWHERE, "vmovq: vmovd outside 64-bit code"},
        {{0xc4, 0xe3, 0xe1, 0x22, 0xc1, 1}, IN_64, "vpinsrq"},
        {{0xc4, 0xe3, 0xf9, 0x16, 0xc1, 1}, IN_64, "vpextrq"},
        {{0xc4, 0xe2, 0xe1, 0x0c, 0xc1}, NOWHERE, "vpermilps with W"},
        {{0xc4, 0xe2, 0x61, 0x16, 0xc1}, NOWHERE, "vpermps of 128 bits"},
        {{0xc4, 0xe3, 0xfd, 0x00, 0xc1, 1}, ANYWHERE, "vpermq"},
        {{0xc4, 0xe3, 0x7d, 0x00, 0xc1, 1}, NOWHERE, "vpermq without W"},
        {{0xc4, 0xe3, 0x61, 0x4c, 0xc1, 0x1f}, ANYWHERE, "vpblendvb; the low bits are ignored"},
        {{0xc4, 0xe2, 0x61, 0x90, 0x04, 0x28}, IN_64 | 1 << CODE_32, "vpgatherdd"},
        {{0xc4, 0xe2, 0x61, 0x90, 0x00}, NOWHERE, "vpgatherdd without SIB"},
        {{0xc4, 0xe2, 0x61, 0x90, 0xc1}, NOWHERE, "vpgatherdd of a register"},
        {{0xc4, 0xe2, 0x61, 0x90, 0x1c, 0x28}, NOWHERE, "vpgatherdd, mask and destination alike"},
        {{0xc4, 0xe2, 0x61, 0x90, 0x04, 0x18}, NOWHERE, "vpgatherdd, mask and indices alike"},
        {{0xc4, 0xe2, 0x61, 0x90, 0x2c, 0x28},
         NOWHERE,
         "vpgatherdd, destination and indices alike"},
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(rows); i++)
        for (unsigned code = CODE_16; code <= CODE_64; code++) {
            uint32_t mode = code | MODE_PROTECTED | MODE_OSFXSR | MODE_AVX;
            cr_expect_eq(decoded(rows[i].bytes, mode) != exec_undefined, rows[i].valid >> code & 1,
                         "%s in %u-bit code", rows[i].what, 16u << code);
        }
}

Test(avx, needs_protected_mode_and_enabled_state)
{
    static const uint8_t vector[16] = {0xc5, 0xf8, 0x28, 0xc1},
                         integer[16] = {0xc4, 0xe2, 0x60, 0xf2, 0xc1};
    const uint32_t mode = CODE_32 | MODE_PROTECTED | MODE_AVX;
    cr_expect_neq(decoded(vector, mode), exec_undefined, "CR4.OSFXSR does not matter");
    cr_expect_neq(decoded(vector, mode | MODE_EM), exec_undefined, "nor does CR0.EM");
    cr_expect_eq(decoded(vector, mode & ~MODE_AVX), exec_undefined);
    cr_expect_eq(decoded(vector, mode | MODE_TS), exec_device_not_available);
    cr_expect_eq(decoded(vector, (mode | MODE_TS) & ~MODE_AVX), exec_undefined);
    cr_expect_eq(decoded(vector, CODE_16 | MODE_AVX), exec_undefined, "real mode");
    cr_expect_eq(decoded(vector, CODE_16 | MODE_V86 | MODE_AVX), exec_undefined);
    cr_expect_neq(decoded(integer, CODE_32 | MODE_PROTECTED | MODE_TS), exec_device_not_available);
    cr_expect_neq(decoded(integer, CODE_32 | MODE_PROTECTED), exec_undefined);
    cr_expect_eq(decoded(integer, CODE_16), exec_undefined, "real mode");
}

/* C4 and C5 with a memory operand stay LES and LDS. */
Test(avx, les_and_lds)
{
    static const uint8_t les[16] = {0xc4, 0x18}, lds[16] = {0xc5, 0x7b, 0x10};
    struct insn insn;
    for (unsigned code = CODE_16; code <= CODE_32; code++) {
        const uint32_t mode = code | MODE_PROTECTED | MODE_AVX;
        cr_assert_eq(decode(les, INSN_LENGTH_MAX, mode, &cpu->model->features, &insn), DECODE_OK);
        cr_expect_eq(insn.row, OP_LES_GzMp);
        cr_assert_eq(decode(lds, INSN_LENGTH_MAX, mode, &cpu->model->features, &insn), DECODE_OK);
        cr_expect_eq(insn.row, OP_LDS_GzMp);
        cr_expect_eq(decode(lds, 1, mode, &cpu->model->features, &insn), DECODE_TRUNCATED);
    }
}

/* XSETBV decides, and blocks that were decoded before do not outlive it. */
Test(avx, xsetbv_enables)
{
    NEEDS_AVX();
    static const struct {
        uint64_t value;
        bool legal, avx;
    } rows[] = {{7, true, true},   {3, true, false},  {1, true, false},
                {5, false, false}, {6, false, false}, {0xf, false, false}};
    for (unsigned i = 0; i < ARRAY_LENGTH(rows); i++) {
        cpu->regs[RAX] = rows[i].value;
        cpu->regs[RCX] = cpu->regs[RDX] = 0;
        cr_expect_eq(DO(0x0f, 0x01, 0xd1) != EXEC_FAULT, rows[i].legal, "XCR0 %x",
                     (unsigned)rows[i].value);
        if (rows[i].legal)
            cr_expect_eq(!!(cpu->mode & MODE_AVX), rows[i].avx, "XCR0 %x", (unsigned)rows[i].value);
    }
}

/* --- elements that fault */

/* The first page behind the end of the tables' reach. */
static void put_element_registers(void)
{
    cpu->regs[RBX] = LAST_PAGE;
    put(rig_pte(LAST_PAGE), 0);
    mmu_set_cr3(&cpu->mmu, cpu->mmu.registers.cr3, false);
    for (unsigned i = 0; i < 16; i++)
        cpu->xmm[i] = (union vector){.q = {0x1111 * i, 0x2222 * i, 0x3333 * i, 0x4444 * i}};
}

Test(avx, what_the_mask_leaves_out_cannot_fault)
{
    NEEDS_AVX();
    put_element_registers();
    cpu->xmm[3] = (union vector){0};
    EXPECT_DONE(0xc4, 0xe2, 0x65, 0x2c, 0x03); /* vmaskmovps ymm0, ymm3, [rbx] */
    cr_expect_eq(cpu->xmm[0].q[0] | cpu->xmm[0].q[3], 0);
    EXPECT_DONE(0xc4, 0xe2, 0x65, 0x2e, 0x03); /* vmaskmovps [rbx], ymm3, ymm0 */
    cpu->regs[RBX] = LAST_PAGE - 16;
    cpu->xmm[3].q[0] = cpu->xmm[3].q[1] = UINT64_MAX;
    EXPECT_DONE(0xc4, 0xe2, 0x65, 0x2e, 0x03);
    cpu->xmm[3].d[5] = 0x80000000;
    EXPECT_FAULT(VECTOR_PF, 0xc4, 0xe2, 0x65, 0x2c, 0x03);
    cr_expect_eq(cpu->fault.cr2, LAST_PAGE + 4);
    put(LAST_PAGE - 16, 0x7777777777777777);
    cpu->xmm[0].q[0] = 1;
    EXPECT_FAULT(VECTOR_PF, 0xc4, 0xe2, 0x65, 0x2e, 0x03);
    cr_expect_eq(at(LAST_PAGE - 16), 0x7777777777777777, "nothing was stored");
}

Test(avx, a_gather_resumes_at_the_element_that_faulted)
{
    NEEDS_AVX();
    put_element_registers();
    cpu->regs[RBX] = LAST_PAGE - 16;
    put(LAST_PAGE - 16, 0x0000beef0000cafe);
    cpu->xmm[5] = (union vector){.d = {0, 1, 4, 0}};
    cpu->xmm[3] = (union vector){.d = {UINT32_MAX, UINT32_MAX, UINT32_MAX, 0, 9}};
    /* vpgatherdd xmm0, [rbx + xmm5 * 4], xmm3 */
    EXPECT_FAULT(VECTOR_PF, 0xc4, 0xe2, 0x61, 0x90, 0x04, 0xab);
    cr_expect_eq(cpu->fault.cr2, LAST_PAGE);
    cr_expect_eq(cpu->xmm[0].q[0], 0x0000beef0000cafe, "the first two have come");
    cr_expect_eq(cpu->xmm[3].q[0], 0, "and left the mask");
    cr_expect_eq(cpu->xmm[3].d[2], UINT32_MAX);
    put(rig_pte(LAST_PAGE), LAST_PAGE | 7);
    put(LAST_PAGE, 0x5555);
    put(LAST_PAGE - 16, 0); /* not looked at again */
    EXPECT_DONE(0xc4, 0xe2, 0x61, 0x90, 0x04, 0xab);
    cr_expect_eq(cpu->xmm[0].q[0], 0x0000beef0000cafe);
    cr_expect_eq(cpu->xmm[0].d[2], 0x5555);
    cr_expect_eq(cpu->xmm[0].q[2] | cpu->xmm[0].q[3] | cpu->xmm[3].q[1] | cpu->xmm[3].q[2], 0);
}

/* --- XSAVE's areas */

#define XSAVE    0x0f, 0xae, 0x23
#define XRSTOR   0x0f, 0xae, 0x2b
#define XSAVEOPT 0x0f, 0xae, 0x33
#define XSAVEC   0x0f, 0xc7, 0x23
#define XSAVES   0x0f, 0xc7, 0x2b
#define XRSTORS  0x0f, 0xc7, 0x1b

static void fill_area(void)
{
    for (unsigned i = 0; i < 1024; i += 8)
        put(AREA + i, i >= 512 && i < 576 ? 0 : 0xaaaaaaaaaaaaaaaa);
    put(AREA + 24, 0x1f80);
    cpu->regs[RBX] = AREA;
    cpu->regs[RAX] = cpu->regs[RDX] = UINT64_MAX;
}
static void fill_ymm(void)
{
    for (unsigned i = 0; i < 16; i++)
        for (unsigned j = 0; j < 4; j++)
            cpu->xmm[i].q[j] = 0x100 * i + j + 1;
}

Test(avx, xsave_puts_the_upper_halves_behind_the_header)
{
    NEEDS_AVX();
    memset(cpu->xmm, 0, sizeof cpu->xmm);
    fill_area();
    EXPECT_DONE(XSAVEOPT);
    cr_expect_eq(at(AREA + 512) & 6, 0);
    cr_expect_eq(at(AREA + 576), 0xaaaaaaaaaaaaaaaa, "initial state is not written");
    fill_ymm();
    EXPECT_DONE(XSAVE);
    cr_expect_eq(at(AREA + 512) & 6, 6);
    cr_expect_eq(at(AREA + 520), 0);
    cr_expect_eq(at(AREA + 160 + 15 * 16), 0xf01);
    cr_expect_eq(at(AREA + 576 + 15 * 16 + 8), 0xf04);
    cr_expect_eq(at(AREA + 832), 0xaaaaaaaaaaaaaaaa);

    cpu->regs[RAX] = 4; /* the upper halves alone, and MXCSR */
    put(AREA + 24, 0x1fa0);
    memset(cpu->xmm, 0x55, sizeof cpu->xmm);
    EXPECT_DONE(XRSTOR);
    cr_expect_eq(cpu->xmm[15].q[3], 0xf04);
    cr_expect_eq(cpu->xmm[15].q[0], 0x5555555555555555);
    cr_expect_eq(cpu->mxcsr, 0x1fa0);
    put(AREA + 512, 0);
    EXPECT_DONE(XRSTOR);
    cr_expect_eq(cpu->xmm[15].q[2] | cpu->xmm[0].q[3], 0, "initialised");
    cr_expect_eq(cpu->xmm[15].q[0], 0x5555555555555555);
}

Test(avx, xsavec_and_back)
{
    NEEDS_AVX();
    fill_ymm();
    fill_area();
    cpu->regs[RAX] = 6;
    EXPECT_DONE(XSAVEC);
    cr_expect_eq(at(AREA + 512), 6);
    cr_expect_eq(at(AREA + 520), 6 | BIT(63));
    cr_expect_eq(at(AREA + 0), 0xaaaaaaaaaaaaaaaa, "x87 was not asked for");
    memset(cpu->xmm, 0, sizeof cpu->xmm);
    EXPECT_DONE(XRSTOR);
    cr_expect_eq(cpu->xmm[7].q[1], 0x702);
    cr_expect_eq(cpu->xmm[7].q[3], 0x704);

    for (unsigned i = 0; i < 16; i++)
        cpu->xmm[i].q[2] = cpu->xmm[i].q[3] = 0;
    fill_area();
    EXPECT_DONE(XSAVEC);
    cr_expect_eq(at(AREA + 512) & 6, 2);
    cr_expect_eq(at(AREA + 520), 7 | BIT(63));
    cr_expect_eq(at(AREA + 576), 0xaaaaaaaaaaaaaaaa, "initial state is not written");

    static const struct {
        uint64_t state, compaction, behind;
    } bad[] = {{4, 3 | BIT(63), 0}, {2, 10 | BIT(63), 0}, {2, 7 | BIT(63), 1}, {2, 7, 0}};
    for (unsigned i = 0; i < ARRAY_LENGTH(bad); i++) {
        put(AREA + 512, bad[i].state);
        put(AREA + 520, bad[i].compaction);
        put(AREA + 568, bad[i].behind);
        EXPECT_FAULT(VECTOR_GP, XRSTOR);
    }
}

Test(avx, xsaves_and_back)
{
    NEEDS_AVX();
    fill_ymm();
    fill_area();
    cpu->regs[RAX] = 6;
    EXPECT_DONE(XSAVES);
    cr_expect_eq(at(AREA + 512), 6);
    cr_expect_eq(at(AREA + 520), 6 | BIT(63));
    memset(cpu->xmm, 0, sizeof cpu->xmm);
    cpu->regs[RAX] = 4;
    EXPECT_DONE(XRSTORS);
    cr_expect_eq(cpu->xmm[7].q[1], 0, "not asked for");
    cr_expect_eq(cpu->xmm[7].q[3], 0x704);
    cpu->regs[RAX] = 6;
    put(AREA + 512, 4);
    EXPECT_DONE(XRSTORS);
    cr_expect_eq(cpu->xmm[7].q[0] | cpu->xmm[7].q[1], 0, "initialised");

    put(AREA + 520, 0);
    put(AREA + 512, 6);
    EXPECT_FAULT(VECTOR_GP, XRSTORS);
    put(AREA + 520, BIT(63) | 6 | BIT(8));
    EXPECT_FAULT(VECTOR_GP, XRSTORS);
    cpu->regs[RBX] = AREA + 8;
    EXPECT_FAULT(VECTOR_GP, XSAVES);
    cpu->regs[RBX] = AREA;
    cpu->mmu.registers.cr0 |= CR0_TS;
    EXPECT_FAULT(VECTOR_NM, XSAVES);
    cpu->mmu.registers.cr0 &= ~CR0_TS;
    cpu->cpl = 3;
    EXPECT_FAULT(VECTOR_GP, XSAVES);
    EXPECT_FAULT(VECTOR_GP, XRSTORS);
    mmu_set_cr4(&cpu->mmu, cpu->mmu.registers.cr4 & ~(uint64_t)CR4_OSXSAVE);
    EXPECT_FAULT(VECTOR_UD, XSAVES);
}

Test(avx, xgetbv_says_what_is_in_use)
{
    NEEDS_AVX();
    memset(cpu->xmm, 0, sizeof cpu->xmm);
    cpu->regs[RCX] = 1;
    EXPECT_DONE(0x0f, 0x01, 0xd0);
    cr_expect_eq(cpu->regs[RAX] & 6, 0);
    cpu->xmm[9].q[3] = 1;
    EXPECT_DONE(0x0f, 0x01, 0xd0);
    cr_expect_eq(cpu->regs[RAX] & 6, 4);
    cpu->regs[RCX] = 2;
    EXPECT_FAULT(VECTOR_GP, 0x0f, 0x01, 0xd0);
}

Test(avx, cpuid_leaf_of_the_state)
{
    NEEDS_AVX();
    struct cpuid_result r = cpuid_query(cpu, 0xd, 0);
    cr_expect_eq(r.eax, 7);
    cr_expect_eq(r.ebx, 832);
    cr_expect_eq(r.ecx, 832);
    cpu->xcr0 = 3;
    cr_expect_eq(cpuid_query(cpu, 0xd, 0).ebx, 576, "what is enabled");
    r = cpuid_query(cpu, 0xd, 1);
    cr_expect_eq(r.eax, 15, "XSAVEOPT, XSAVEC, XGETBV with 1, XSAVES");
    cr_expect_eq(r.ebx, 576);
    cr_expect_eq(r.ecx | r.edx, 0, "no supervisor states");
    r = cpuid_query(cpu, 0xd, 2);
    cr_expect_eq(r.eax, 256);
    cr_expect_eq(r.ebx, 576);
    cr_expect_eq(r.ecx, 0);
}

/* psABI's list of x86-64-v3. */
Test(avx, model_v3)
{
    NEEDS_AVX();
    static const uint8_t features[] = {
        FEAT_CMOV,  FEAT_CX8,   FEAT_FPU,   FEAT_FXSR,    FEAT_MMX,    FEAT_SYSCALL,
        FEAT_SSE,   FEAT_SSE2,  FEAT_CX16,  FEAT_LAHF_LM, FEAT_POPCNT, FEAT_SSE3,
        FEAT_SSE41, FEAT_SSE42, FEAT_SSSE3, FEAT_AVX,     FEAT_AVX2,   FEAT_BMI1,
        FEAT_BMI2,  FEAT_F16C,  FEAT_FMA,   FEAT_ABM,     FEAT_MOVBE,  FEAT_XSAVE,
    };
    struct cpu_model model;
    struct error error;
    cr_assert_eq(cpu_model_parse("x86-64-v3", &model, &error), 0);
    for (unsigned i = 0; i < ARRAY_LENGTH(features); i++)
        cr_expect(feature_has(&model.features, features[i]), "feature %u", features[i]);
    cr_assert_eq(cpu_model_parse("qemu64,+avx2", &model, &error), 0);
    cr_expect(feature_has(&model.features, FEAT_AVX) && feature_has(&model.features, FEAT_XSAVE));
    cr_assert_eq(cpu_model_parse("x86-64-v3,-avx", &model, &error), 0);
    cr_expect_not(feature_has(&model.features, FEAT_FMA));
}
