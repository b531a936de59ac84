/* ADD OR ADC SBB AND SUB XOR CMP, TEST, INC DEC NEG NOT: SDM 2A and 2B under these names.
 *
 * Each operation is three macros: VALUE_op (of a, b and carry, in 64 bits and not cut), FLAGS_op
 * and CARRY_op (CF before).
 */
#include "cpu/exec_int.h"

#define VALUE_ADD  ((uint64_t)a + b)
#define VALUE_ADC  ((uint64_t)a + b + carry)
#define VALUE_SUB  ((uint64_t)a - b)
#define VALUE_SBB  ((uint64_t)a - b - carry)
#define VALUE_AND  ((uint64_t)a & b)
#define VALUE_OR   ((uint64_t)a | b)
#define VALUE_XOR  ((uint64_t)a ^ b)
#define VALUE_CMP  VALUE_SUB
#define VALUE_TEST VALUE_AND

#define FLAGS_ADD(bits)  flags_after_add(cpu, a, b, wide, bits)
#define FLAGS_ADC(bits)  FLAGS_ADD(bits)
#define FLAGS_SUB(bits)  flags_after_subtract(cpu, a, b, wide, bits)
#define FLAGS_SBB(bits)  FLAGS_SUB(bits)
#define FLAGS_AND(bits)  flags_logic(cpu, wide, bits)
#define FLAGS_OR(bits)   FLAGS_AND(bits)
#define FLAGS_XOR(bits)  FLAGS_AND(bits)
#define FLAGS_CMP(bits)  FLAGS_SUB(bits)
#define FLAGS_TEST(bits) FLAGS_AND(bits)

#define CARRY_ADD 0
#define CARRY_ADC flag_cf(cpu)
#define CARRY_SUB 0
#define CARRY_SBB flag_cf(cpu)
#define CARRY_AND 0
#define CARRY_OR  0
#define CARRY_XOR 0

/* --- the destination is a register: the other operand a register or immediate, or memory */
#define TO_REGISTER(handler, op, bits, destination, source)                                        \
    EXEC(handler)                                                                                  \
    {                                                                                              \
        const unsigned carry __attribute__((unused)) = CARRY_##op;                                 \
        const uint##bits##_t a = REG##bits(destination), b = (uint##bits##_t)(source);             \
        const uint64_t wide = VALUE_##op;                                                          \
        FLAGS_##op(bits);                                                                          \
        REG##bits##_SET(destination, wide);                                                        \
        return NEXT(insn);                                                                         \
    }
#define TO_REGISTER_FROM_MEMORY(handler, op, bits)                                                 \
    EXEC_OPERAND(handler)                                                                          \
    {                                                                                              \
        LOAD_OPERAND(bits, b);                                                                     \
        const unsigned carry __attribute__((unused)) = CARRY_##op;                                 \
        const uint##bits##_t a = REG##bits(insn->reg);                                             \
        const uint64_t wide = VALUE_##op;                                                          \
        FLAGS_##op(bits);                                                                          \
        REG##bits##_SET(insn->reg, wide);                                                          \
        return NEXT(insn);                                                                         \
    }
/* --- the destination is memory */
#define TO_MEMORY(handler, op, bits, source)                                                       \
    EXEC_OPERAND(handler)                                                                          \
    {                                                                                              \
        MODIFY_OPERAND(bits, at);                                                                  \
        const unsigned carry __attribute__((unused)) = CARRY_##op;                                 \
        const uint##bits##_t b = (uint##bits##_t)(source);                                         \
        uint##bits##_t a = load_le##bits(at);                                                      \
        uint64_t wide;                                                                             \
        do                                                                                         \
            wide = VALUE_##op;                                                                     \
        while (unlikely(!host_commit##bits(insn, at, &a, (uint##bits##_t)wide)));                  \
        FLAGS_##op(bits);                                                                          \
        MODIFY_DONE();                                                                             \
        return NEXT(insn);                                                                         \
    }
/* --- no destination: CMP and TEST */
#define COMPARE(handler, op, bits, first, second)                                                  \
    EXEC(handler)                                                                                  \
    {                                                                                              \
        const uint##bits##_t a = (uint##bits##_t)(first), b = (uint##bits##_t)(second);            \
        const uint64_t wide = VALUE_##op;                                                          \
        FLAGS_##op(bits);                                                                          \
        return NEXT(insn);                                                                         \
    }
#define COMPARE_MEMORY(handler, op, bits, second)                                                  \
    EXEC_OPERAND(handler)                                                                          \
    {                                                                                              \
        LOAD_OPERAND(bits, a);                                                                     \
        const uint##bits##_t b = (uint##bits##_t)(second);                                         \
        const uint64_t wide = VALUE_##op;                                                          \
        FLAGS_##op(bits);                                                                          \
        return NEXT(insn);                                                                         \
    }
#define COMPARE_WITH_MEMORY(handler, op, bits)                                                     \
    EXEC_OPERAND(handler)                                                                          \
    {                                                                                              \
        LOAD_OPERAND(bits, b);                                                                     \
        const uint##bits##_t a = REG##bits(insn->reg);                                             \
        const uint64_t wide = VALUE_##op;                                                          \
        FLAGS_##op(bits);                                                                          \
        return NEXT(insn);                                                                         \
    }

#define ALU_FORMS_V(bits, op)                                                                      \
    TO_REGISTER(op##_EvGv_r##bits, op, bits, insn->rm, REG##bits(insn->reg))                       \
    TO_MEMORY(op##_EvGv_m##bits, op, bits, REG##bits(insn->reg))                                   \
    TO_REGISTER(op##_GvEv_r##bits, op, bits, insn->reg, REG##bits(insn->rm))                       \
    TO_REGISTER_FROM_MEMORY(op##_GvEv_m##bits, op, bits)                                           \
    TO_REGISTER(op##_rAXIz_##bits, op, bits, RAX, insn->imm)                                       \
    TO_REGISTER(op##_EvIz_r##bits, op, bits, insn->rm, insn->imm)                                  \
    TO_MEMORY(op##_EvIz_m##bits, op, bits, insn->imm)                                              \
    TO_REGISTER(op##_EvsIb_r##bits, op, bits, insn->rm, insn->imm)                                 \
    TO_MEMORY(op##_EvsIb_m##bits, op, bits, insn->imm)
#define ALU_FORMS(op)                                                                              \
    TO_REGISTER(op##_EbGb_r, op, 8, insn->rm, REG8(insn->reg))                                     \
    TO_MEMORY(op##_EbGb_m, op, 8, REG8(insn->reg))                                                 \
    TO_REGISTER(op##_GbEb_r, op, 8, insn->reg, REG8(insn->rm))                                     \
    TO_REGISTER_FROM_MEMORY(op##_GbEb_m, op, 8)                                                    \
    TO_REGISTER(op##_ALIb, op, 8, 0, insn->imm)                                                    \
    TO_REGISTER(op##_EbIb_r, op, 8, insn->rm, insn->imm)                                           \
    TO_MEMORY(op##_EbIb_m, op, 8, insn->imm)                                                       \
    TO_REGISTER(op##_EbIb_82_r, op, 8, insn->rm, insn->imm)                                        \
    TO_MEMORY(op##_EbIb_82_m, op, 8, insn->imm)                                                    \
    EACH_WIDTH(ALU_FORMS_V, op)

ALU_FORMS(ADD)
ALU_FORMS(OR)
ALU_FORMS(ADC)
ALU_FORMS(SBB)
ALU_FORMS(AND)
ALU_FORMS(SUB)
ALU_FORMS(XOR)

#define CMP_FORMS_V(bits, op)                                                                      \
    COMPARE(CMP_EvGv_r##bits, CMP, bits, REG##bits(insn->rm), REG##bits(insn->reg))                \
    COMPARE_MEMORY(CMP_EvGv_m##bits, CMP, bits, REG##bits(insn->reg))                              \
    COMPARE(CMP_GvEv_r##bits, CMP, bits, REG##bits(insn->reg), REG##bits(insn->rm))                \
    COMPARE_WITH_MEMORY(CMP_GvEv_m##bits, CMP, bits)                                               \
    COMPARE(CMP_rAXIz_##bits, CMP, bits, REG##bits(RAX), insn->imm)                                \
    COMPARE(CMP_EvIz_r##bits, CMP, bits, REG##bits(insn->rm), insn->imm)                           \
    COMPARE_MEMORY(CMP_EvIz_m##bits, CMP, bits, insn->imm)                                         \
    COMPARE(CMP_EvsIb_r##bits, CMP, bits, REG##bits(insn->rm), insn->imm)                          \
    COMPARE_MEMORY(CMP_EvsIb_m##bits, CMP, bits, insn->imm)
EACH_WIDTH(CMP_FORMS_V, CMP)
COMPARE(CMP_EbGb_r, CMP, 8, REG8(insn->rm), REG8(insn->reg))
COMPARE_MEMORY(CMP_EbGb_m, CMP, 8, REG8(insn->reg))
COMPARE(CMP_GbEb_r, CMP, 8, REG8(insn->reg), REG8(insn->rm))
COMPARE_WITH_MEMORY(CMP_GbEb_m, CMP, 8)
COMPARE(CMP_ALIb, CMP, 8, REG8(0), insn->imm)
COMPARE(CMP_EbIb_r, CMP, 8, REG8(insn->rm), insn->imm)
COMPARE_MEMORY(CMP_EbIb_m, CMP, 8, insn->imm)
COMPARE(CMP_EbIb_82_r, CMP, 8, REG8(insn->rm), insn->imm)
COMPARE_MEMORY(CMP_EbIb_82_m, CMP, 8, insn->imm)

#define TEST_FORMS_V(bits, op)                                                                     \
    COMPARE(TEST_EvGv_r##bits, TEST, bits, REG##bits(insn->rm), REG##bits(insn->reg))              \
    COMPARE_MEMORY(TEST_EvGv_m##bits, TEST, bits, REG##bits(insn->reg))                            \
    COMPARE(TEST_rAXIz_##bits, TEST, bits, REG##bits(RAX), insn->imm)                              \
    COMPARE(TEST_EvIz_r##bits, TEST, bits, REG##bits(insn->rm), insn->imm)                         \
    COMPARE_MEMORY(TEST_EvIz_m##bits, TEST, bits, insn->imm)                                       \
    COMPARE(TEST_EvIz_1_r##bits, TEST, bits, REG##bits(insn->rm), insn->imm)                       \
    COMPARE_MEMORY(TEST_EvIz_1_m##bits, TEST, bits, insn->imm)
EACH_WIDTH(TEST_FORMS_V, TEST)
COMPARE(TEST_EbGb_r, TEST, 8, REG8(insn->rm), REG8(insn->reg))
COMPARE_MEMORY(TEST_EbGb_m, TEST, 8, REG8(insn->reg))
COMPARE(TEST_ALIb, TEST, 8, REG8(0), insn->imm)
COMPARE(TEST_EbIb_r, TEST, 8, REG8(insn->rm), insn->imm)
COMPARE_MEMORY(TEST_EbIb_m, TEST, 8, insn->imm)
COMPARE(TEST_EbIb_1_r, TEST, 8, REG8(insn->rm), insn->imm)
COMPARE_MEMORY(TEST_EbIb_1_m, TEST, 8, insn->imm)

/* --- one operand */

/* Puts the CF from before back; OF is the operation's. */
static always_inline void keep_cf(struct cpu *cpu, uint64_t carries_before)
{
    uint64_t change = (cpu->lazy.carries ^ carries_before) & LAZY_CF;
    cpu->lazy.carries ^= change | change >> 1;
}

#define UNARY_INC (a + 1)
#define UNARY_DEC (a - 1)
#define UNARY_NEG (-a)
#define UNARY_NOT (~a)
#define UNARY_FLAGS_INC(bits)                                                                      \
    uint64_t before = cpu->lazy.carries;                                                           \
    flags_after_add(cpu, a, 1, (uint64_t)a + 1, bits);                                             \
    keep_cf(cpu, before)
#define UNARY_FLAGS_DEC(bits)                                                                      \
    uint64_t before = cpu->lazy.carries;                                                           \
    flags_after_subtract(cpu, a, 1, (uint64_t)a - 1, bits);                                        \
    keep_cf(cpu, before)
#define UNARY_FLAGS_NEG(bits) flags_after_subtract(cpu, 0, a, -(uint64_t)a, bits)
#define UNARY_FLAGS_NOT(bits)

#define UNARY_REGISTER(handler, op, bits, number)                                                  \
    EXEC(handler)                                                                                  \
    {                                                                                              \
        const uint##bits##_t a = REG##bits(number);                                                \
        const uint##bits##_t result = (uint##bits##_t)UNARY_##op;                                  \
        UNARY_FLAGS_##op(bits);                                                                    \
        REG##bits##_SET(number, result);                                                           \
        return NEXT(insn);                                                                         \
    }
#define UNARY_MEMORY(handler, op, bits)                                                            \
    EXEC_OPERAND(handler)                                                                          \
    {                                                                                              \
        MODIFY_OPERAND(bits, at);                                                                  \
        uint##bits##_t a = load_le##bits(at), result;                                              \
        do                                                                                         \
            result = (uint##bits##_t)UNARY_##op;                                                   \
        while (unlikely(!host_commit##bits(insn, at, &a, result)));                                \
        UNARY_FLAGS_##op(bits);                                                                    \
        MODIFY_DONE();                                                                             \
        return NEXT(insn);                                                                         \
    }
#define UNARY_FORMS_V(bits, op)                                                                    \
    UNARY_REGISTER(op##_Ev_r##bits, op, bits, insn->rm)                                            \
    UNARY_MEMORY(op##_Ev_m##bits, op, bits)
#define UNARY_FORMS(op)                                                                            \
    UNARY_REGISTER(op##_Eb_r, op, 8, insn->rm)                                                     \
    UNARY_MEMORY(op##_Eb_m, op, 8)                                                                 \
    EACH_WIDTH(UNARY_FORMS_V, op)

UNARY_FORMS(INC)
UNARY_FORMS(DEC)
UNARY_FORMS(NEG)
UNARY_FORMS(NOT)
UNARY_REGISTER(INC_Zv_16, INC, 16, insn->reg)
UNARY_REGISTER(INC_Zv_32, INC, 32, insn->reg)
UNARY_REGISTER(DEC_Zv_16, DEC, 16, insn->reg)
UNARY_REGISTER(DEC_Zv_32, DEC, 32, insn->reg)
