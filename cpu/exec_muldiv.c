/* MUL IMUL DIV IDIV: SDM 2A and 2B under these names.
 *
 * The flags that MUL and IMUL leave undefined follow the low half of the product; those that DIV
 * and IDIV leave undefined stay.
 */
#include "cpu/exec_int.h"

typedef unsigned __int128 uint128_t;
typedef __int128 int128_t;

/* CF = OF = the low half is not the whole product. */
static always_inline void flags_product(struct cpu *cpu, uint64_t low, bool overflow, unsigned bits)
{
    flags_shifted(cpu, low, overflow, false, bits);
}

/* Register pairs that hold a double-width value: AX, DX:AX, EDX:EAX, RDX:RAX. */
#define DOUBLE_8               REG16(RAX)
#define DOUBLE_16              ((uint32_t)REG16(RDX) << 16 | REG16(RAX))
#define DOUBLE_32              ((uint64_t)REG32(RDX) << 32 | REG32(RAX))
#define DOUBLE_64              ((uint128_t)REG64(RDX) << 64 | REG64(RAX))
#define SET_PAIR_8(high, low)  REG16_SET(RAX, (uint8_t)(high) << 8 | (uint8_t)(low))
#define SET_PAIR_16(high, low) (REG16_SET(RDX, high), REG16_SET(RAX, low))
#define SET_PAIR_32(high, low) (REG32_SET(RDX, high), REG32_SET(RAX, low))
#define SET_PAIR_64(high, low) (REG64_SET(RDX, (uint64_t)(high)), REG64_SET(RAX, (uint64_t)(low)))

/* Each step is a function of the operand; DIV and IDIV answer whether they fault with #DE. */
#define MULTIPLY_DEFINE(bits, wide)                                                                \
    static always_inline bool step_MUL##bits(struct cpu *cpu, uint##bits##_t operand)              \
    {                                                                                              \
        uint##wide##_t product = (uint##wide##_t)REG##bits(RAX) * operand;                         \
        SET_PAIR_##bits(product >> bits, product);                                                 \
        flags_product(cpu, (uint##bits##_t)product, product >> bits != 0, bits);                   \
        return false;                                                                              \
    }                                                                                              \
    static always_inline bool step_IMUL##bits(struct cpu *cpu, uint##bits##_t operand)             \
    {                                                                                              \
        int##wide##_t product =                                                                    \
            (int##wide##_t)(int##bits##_t)REG##bits(RAX) * (int##bits##_t)operand;                 \
        SET_PAIR_##bits(product >> bits, product);                                                 \
        flags_product(cpu, (uint##bits##_t)product, (int##bits##_t)product != product, bits);      \
        return false;                                                                              \
    }                                                                                              \
    static always_inline bool step_DIV##bits(struct cpu *cpu, uint##bits##_t operand)              \
    {                                                                                              \
        uint##wide##_t dividend = DOUBLE_##bits;                                                   \
        if (unlikely(operand == 0 || dividend >> bits >= operand))                                 \
            return true;                                                                           \
        SET_PAIR_##bits(dividend % operand, dividend / operand);                                   \
        return false;                                                                              \
    }                                                                                              \
    static always_inline bool step_IDIV##bits(struct cpu *cpu, uint##bits##_t operand)             \
    {                                                                                              \
        int##wide##_t dividend = (int##wide##_t)DOUBLE_##bits;                                     \
        int##bits##_t divisor = (int##bits##_t)operand;                                            \
        /* WHY: the least dividend by -1 overflows the host's division too. */                     \
        if (unlikely(divisor == 0 || (divisor == -1 && dividend < 0 && dividend == -dividend)))    \
            return true;                                                                           \
        int##wide##_t quotient = dividend / divisor;                                               \
        if (unlikely((int##bits##_t)quotient != quotient))                                         \
            return true;                                                                           \
        SET_PAIR_##bits(dividend % divisor, quotient);                                             \
        return false;                                                                              \
    }
MULTIPLY_DEFINE(8, 16)
MULTIPLY_DEFINE(16, 32)
MULTIPLY_DEFINE(32, 64)
MULTIPLY_DEFINE(64, 128)

/* Most 64-bit dividends are a 64-bit value extended: spares the host's 128-bit division. */
static always_inline bool quick_DIV64(struct cpu *cpu, uint64_t operand)
{
    if (likely(REG64(RDX) == 0 && operand != 0)) {
        uint64_t dividend = REG64(RAX);
        SET_PAIR_64(dividend % operand, dividend / operand);
        return false;
    }
    return step_DIV64(cpu, operand);
}
static always_inline bool quick_IDIV64(struct cpu *cpu, uint64_t operand)
{
    int64_t dividend = (int64_t)REG64(RAX), divisor = (int64_t)operand;
    if (likely((int64_t)REG64(RDX) == dividend >> 63 && divisor != 0 && divisor != -1)) {
        SET_PAIR_64(dividend % divisor, dividend / divisor);
        return false;
    }
    return step_IDIV64(cpu, operand);
}

#define ACCUMULATOR_FORMS(form_r, form_m, bits, step)                                              \
    EXEC(form_r)                                                                                   \
    {                                                                                              \
        if (unlikely(step(cpu, REG##bits(insn->rm))))                                              \
            RAISE(VECTOR_DE, 0);                                                                   \
        return NEXT(insn);                                                                         \
    }                                                                                              \
    EXEC_OPERAND(form_m)                                                                           \
    {                                                                                              \
        LOAD_OPERAND(bits, operand);                                                               \
        if (unlikely(step(cpu, operand)))                                                          \
            RAISE(VECTOR_DE, 0);                                                                   \
        return NEXT(insn);                                                                         \
    }
#define ACCUMULATOR_OP(op, step64)                                                                 \
    ACCUMULATOR_FORMS(op##_Eb_r, op##_Eb_m, 8, step_##op##8)                                       \
    ACCUMULATOR_FORMS(op##_Ev_r16, op##_Ev_m16, 16, step_##op##16)                                 \
    ACCUMULATOR_FORMS(op##_Ev_r32, op##_Ev_m32, 32, step_##op##32)                                 \
    ACCUMULATOR_FORMS(op##_Ev_r64, op##_Ev_m64, 64, step64)
ACCUMULATOR_OP(MUL, step_MUL64)
ACCUMULATOR_OP(IMUL, step_IMUL64)
ACCUMULATOR_OP(DIV, quick_DIV64)
ACCUMULATOR_OP(IDIV, quick_IDIV64)

/* --- IMUL with two and three operands */
#define SIGNED_PRODUCT(bits, first, second)                                                        \
    int##bits##_t product;                                                                         \
    bool overflow =                                                                                \
        __builtin_mul_overflow((int##bits##_t)(first), (int##bits##_t)(second), &product);         \
    flags_product(cpu, (uint##bits##_t)product, overflow, bits);                                   \
    REG##bits##_SET(insn->reg, (uint##bits##_t)product);                                           \
    return NEXT(insn)
#define IMUL_FORMS(bits, form, second)                                                             \
    EXEC(form##_r##bits)                                                                           \
    {                                                                                              \
        SIGNED_PRODUCT(bits, REG##bits(insn->rm), second);                                         \
    }                                                                                              \
    EXEC_OPERAND(form##_m##bits)                                                                   \
    {                                                                                              \
        LOAD_OPERAND(bits, operand);                                                               \
        SIGNED_PRODUCT(bits, operand, second);                                                     \
    }
IMUL_FORMS(16, IMUL_GvEv, REG16(insn->reg))
IMUL_FORMS(32, IMUL_GvEv, REG32(insn->reg))
IMUL_FORMS(64, IMUL_GvEv, REG64(insn->reg))
EACH_WIDTH(IMUL_FORMS, IMUL_GvEvIz, insn->imm)
EACH_WIDTH(IMUL_FORMS, IMUL_GvEvsIb, insn->imm)
