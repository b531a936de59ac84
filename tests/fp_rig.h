/* Instructions of x87, MMX, SSE and AVX, given as bytes, one by one in 64-bit code; memory operands
 * are at [RBX].
 */
#ifndef TESTS_FP_RIG_H
#define TESTS_FP_RIG_H

#include "cpu/sse_env.h"
#include "tests/exec_alone.h"

enum { CODE = 0x1000, AREA = 0x4000 };

static struct rig rig;
static struct cpu *cpu;

static inline void setup_long(void)
{
    rig_init(&rig);
    cpu = rig.cpu;
    rig_long(&rig, CODE, 0);
}
static inline void teardown(void)
{
    rig_free(&rig);
}

static inline int run_bytes(const uint8_t *bytes, size_t length)
{
    uint64_t rip = cpu->rip;
    sse_enter(cpu);
    int result = alone_bytes(cpu, bytes, length);
    sse_leave(cpu);
    cpu->rip = rip;
    return result;
}
#define DO(...)          run_bytes((const uint8_t[]){__VA_ARGS__}, sizeof(uint8_t[]){__VA_ARGS__})
#define EXPECT_DONE(...) cr_assert_eq(DO(__VA_ARGS__), EXEC_STOP)
#define EXPECT_FAULT(number, ...)                                                                  \
    do {                                                                                           \
        cr_assert_eq(DO(__VA_ARGS__), EXEC_FAULT);                                                 \
        cr_assert_eq(cpu->fault.vector, number);                                                   \
    } while (0)

static inline void poke(uint64_t address, uint64_t value, unsigned size)
{
    physmem_write(&rig.physmem, GPA(address), &value, size);
    cpu->regs[RBX] = address;
}
static inline uint64_t peek(uint64_t address, unsigned size)
{
    return rig_peek(&rig, address, size);
}
/* --- instructions */
#define FADD_ST1     0xd8, 0xc1
#define FDIVP_ST1    0xde, 0xf9
#define FLD1         0xd9, 0xe8
#define FLDZ         0xd9, 0xee
#define FLDPI        0xd9, 0xeb
#define FSQRT        0xd9, 0xfa
#define FWAIT        0x9b
#define FNOP         0xd9, 0xd0
#define FNCLEX       0xdb, 0xe2
#define FNINIT       0xdb, 0xe3
#define FNSTSW_AX    0xdf, 0xe0
#define FLDCW        0xd9, 0x2b
#define FLD_M32      0xd9, 0x03
#define FSTP_M32     0xd9, 0x1b
#define FSTP_M64     0xdd, 0x1b
#define FISTP_M16    0xdf, 0x1b
#define FBSTP        0xdf, 0x33
#define FNSTENV      0xd9, 0x33
#define FNSAVE       0xdd, 0x33
#define FRSTOR       0xdd, 0x23
#define EMMS         0x0f, 0x77
#define MOVD_MM3_EAX 0x0f, 0x6e, 0xd8
#define DIVSS        0xf3, 0x0f, 0x5e, 0xc1 /* xmm0, xmm1 */
#define MULSD        0xf2, 0x0f, 0x59, 0xc1
#define LDMXCSR      0x0f, 0xae, 0x13
#define STMXCSR      0x0f, 0xae, 0x1b
#define FXSAVE       0x0f, 0xae, 0x03
#define FXSAVE64     0x48, 0x0f, 0xae, 0x03
#define FXRSTOR      0x0f, 0xae, 0x0b
#define FXRSTOR64    0x48, 0x0f, 0xae, 0x0b
#define XSAVE        0x0f, 0xae, 0x23
#define XRSTOR       0x0f, 0xae, 0x2b
#define XSAVEOPT     0x0f, 0xae, 0x33

static inline void load_mxcsr(uint32_t value)
{
    poke(AREA, value, 4);
    EXPECT_DONE(LDMXCSR);
}

#endif
