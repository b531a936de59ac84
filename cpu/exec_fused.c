/* An instruction that sets flags and the conditional branch after it, as one handler.
 *
 * The pair does exactly what the two would do: the lazy flags are stored (who follows may read
 * them), but the condition is decided from the operands, and there is one jump less to predict.
 *
 * Each form defines `holds`-expressions over a, b and result; O, NO, P and NP are rare and stay
 * two instructions.
 */
#include "cpu/exec_branch.h"
#include "cpu/exec_special.h"

/* --- conditions after a - b */
#define SUB_HOLDS_B(bits)   (a < b)
#define SUB_HOLDS_NB(bits)  (a >= b)
#define SUB_HOLDS_Z(bits)   (a == b)
#define SUB_HOLDS_NZ(bits)  (a != b)
#define SUB_HOLDS_BE(bits)  (a <= b)
#define SUB_HOLDS_NBE(bits) (a > b)
#define SUB_HOLDS_S(bits)   ((int##bits##_t)result < 0)
#define SUB_HOLDS_NS(bits)  ((int##bits##_t)result >= 0)
#define SUB_HOLDS_L(bits)   ((int##bits##_t)a < (int##bits##_t)b)
#define SUB_HOLDS_NL(bits)  ((int##bits##_t)a >= (int##bits##_t)b)
#define SUB_HOLDS_LE(bits)  ((int##bits##_t)a <= (int##bits##_t)b)
#define SUB_HOLDS_NLE(bits) ((int##bits##_t)a > (int##bits##_t)b)

/* --- conditions after a & b: CF and OF are 0 */
#define AND_HOLDS_B(bits)   false
#define AND_HOLDS_NB(bits)  true
#define AND_HOLDS_Z(bits)   (result == 0)
#define AND_HOLDS_NZ(bits)  (result != 0)
#define AND_HOLDS_BE(bits)  (result == 0)
#define AND_HOLDS_NBE(bits) (result != 0)
#define AND_HOLDS_S(bits)   ((int##bits##_t)result < 0)
#define AND_HOLDS_NS(bits)  ((int##bits##_t)result >= 0)
#define AND_HOLDS_L(bits)   ((int##bits##_t)result < 0)
#define AND_HOLDS_NL(bits)  ((int##bits##_t)result >= 0)
#define AND_HOLDS_LE(bits)  ((int##bits##_t)result <= 0)
#define AND_HOLDS_NLE(bits) ((int##bits##_t)result > 0)

#define SUB_STEP(bits)                                                                             \
    const uint##bits##_t result __attribute__((unused)) = (uint##bits##_t)(a - b);                 \
    flags_after_subtract(cpu, a, b, (uint64_t)a - b, bits)
#define AND_STEP(bits)                                                                             \
    const uint##bits##_t result = a & b;                                                           \
    flags_logic(cpu, result, bits)

/* --- the forms: FORM(row, operation, bits, register written, first operand, second operand), the
 * memory forms with a flat operand that goes to the general handler when the shadow fails */
#define REGISTER_FORMS(FORM)                                                                       \
    FORM(CMP_EvGv, SUB, 32, NONE, REG32(insn->rm), REG32(insn->reg))                               \
    FORM(CMP_EvGv, SUB, 64, NONE, REG64(insn->rm), REG64(insn->reg))                               \
    FORM(CMP_EvsIb, SUB, 32, NONE, REG32(insn->rm), insn->imm)                                     \
    FORM(CMP_EvsIb, SUB, 64, NONE, REG64(insn->rm), insn->imm)                                     \
    FORM(CMP_EvIz, SUB, 32, NONE, REG32(insn->rm), insn->imm)                                      \
    FORM(CMP_EvIz, SUB, 64, NONE, REG64(insn->rm), insn->imm)                                      \
    FORM(CMP_rAXIz, SUB, 32, NONE, REG32(RAX), insn->imm)                                          \
    FORM(CMP_EbGb, SUB, 8, NONE, REG8(insn->rm), REG8(insn->reg))                                  \
    FORM(CMP_EbIb, SUB, 8, NONE, REG8(insn->rm), insn->imm)                                        \
    FORM(CMP_ALIb, SUB, 8, NONE, REG8(0), insn->imm)                                               \
    FORM(SUB_EvsIb, SUB, 32, WRITE, REG32(insn->rm), insn->imm)                                    \
    FORM(SUB_EvsIb, SUB, 64, WRITE, REG64(insn->rm), insn->imm)                                    \
    FORM(TEST_EvGv, AND, 32, NONE, REG32(insn->rm), REG32(insn->reg))                              \
    FORM(TEST_EvGv, AND, 64, NONE, REG64(insn->rm), REG64(insn->reg))                              \
    FORM(TEST_EbGb, AND, 8, NONE, REG8(insn->rm), REG8(insn->reg))                                 \
    FORM(TEST_EbIb, AND, 8, NONE, REG8(insn->rm), insn->imm)                                       \
    FORM(TEST_ALIb, AND, 8, NONE, REG8(0), insn->imm)                                              \
    FORM(AND_EvsIb, AND, 32, WRITE, REG32(insn->rm), insn->imm)
#define MEMORY_FORMS(FORM)                                                                         \
    FORM(CMP_EbIb, SUB, 8, _m, memory, insn->imm)                                                  \
    FORM(CMP_EvsIb, SUB, 32, _m32, memory, insn->imm)                                              \
    FORM(CMP_EvsIb, SUB, 64, _m64, memory, insn->imm)                                              \
    FORM(CMP_EvIz, SUB, 32, _m32, memory, insn->imm)                                               \
    FORM(CMP_EvGv, SUB, 32, _m32, memory, REG32(insn->reg))                                        \
    FORM(CMP_EvGv, SUB, 64, _m64, memory, REG64(insn->reg))                                        \
    FORM(CMP_GvEv, SUB, 32, _m32, REG32(insn->reg), memory)                                        \
    FORM(CMP_GvEv, SUB, 64, _m64, REG64(insn->reg), memory)                                        \
    FORM(TEST_EbIb, AND, 8, _m, memory, insn->imm)

/* clang-format off */
#define EACH_FUSED_CONDITION(FORM, ...)                                                            \
    FORM(B, __VA_ARGS__) FORM(NB, __VA_ARGS__) FORM(Z, __VA_ARGS__) FORM(NZ, __VA_ARGS__)          \
    FORM(BE, __VA_ARGS__) FORM(NBE, __VA_ARGS__) FORM(S, __VA_ARGS__) FORM(NS, __VA_ARGS__)        \
    FORM(L, __VA_ARGS__) FORM(NL, __VA_ARGS__) FORM(LE, __VA_ARGS__) FORM(NLE, __VA_ARGS__)
/* clang-format on */

/* --- handlers: pair_<row><bits>_<condition>_<operand size of the branch> */
#define WRITE_NONE(bits)
#define WRITE_WRITE(bits) REG##bits##_SET(insn->rm, result)

#define REGISTER_PAIR(cc, branch_bits, row, op, bits, written, first, second)                      \
    static int pair_##row##bits##_##cc##_##branch_bits(struct cpu *cpu, const struct insn *insn)   \
    {                                                                                              \
        const uint##bits##_t a = first, b = (uint##bits##_t)(second);                              \
        op##_STEP(bits);                                                                           \
        WRITE_##written(bits);                                                                     \
        insn++;                                                                                    \
        RELATIVE_BRANCH(branch_bits, op##_HOLDS_##cc(bits));                                       \
    }
#define REGISTER_PAIRS(row, op, bits, written, first, second)                                      \
    EACH_FUSED_CONDITION(REGISTER_PAIR, 32, row, op, bits, written, first, second)                 \
    EACH_FUSED_CONDITION(REGISTER_PAIR, 64, row, op, bits, written, first, second)
REGISTER_FORMS(REGISTER_PAIRS)

#define MEMORY_PAIR(cc, row, op, bits, suffix, first, second)                                      \
    static int pair_##row##bits##_m_##cc(struct cpu *cpu, const struct insn *insn)                 \
    {                                                                                              \
        exec_fn *const slow = exec_##row##suffix;                                                  \
        LOAD(bits, memory, SEG_FLAT, operand_address(cpu, insn, OPERAND_FLAT));                    \
        const uint##bits##_t a = (uint##bits##_t)(first), b = (uint##bits##_t)(second);            \
        op##_STEP(bits);                                                                           \
        insn++;                                                                                    \
        RELATIVE_BRANCH(64, op##_HOLDS_##cc(bits));                                                \
    }
#define MEMORY_PAIRS(row, op, bits, suffix, first, second)                                         \
    EACH_FUSED_CONDITION(MEMORY_PAIR, row, op, bits, suffix, first, second)
MEMORY_FORMS(MEMORY_PAIRS)

/* --- tables, by condition code */
enum {
    CODE_B = 2,
    CODE_NB,
    CODE_Z,
    CODE_NZ,
    CODE_BE,
    CODE_NBE,
    CODE_S,
    CODE_NS,
    CODE_L = 12,
    CODE_NL,
    CODE_LE,
    CODE_NLE
};

struct pairs {
    uint16_t row;
    uint8_t size;
    exec_fn *exec[16];
};

#define REGISTER_ENTRY(cc, branch_bits, row, bits)                                                 \
    [CODE_##cc] = pair_##row##bits##_##cc##_##branch_bits,
#define REGISTER_TABLE_32(row_, op, bits, ...)                                                     \
    {.row = OP_##row_,                                                                             \
     .size = SIZE_##bits,                                                                          \
     .exec = {EACH_FUSED_CONDITION(REGISTER_ENTRY, 32, row_, bits)}},
#define REGISTER_TABLE_64(row_, op, bits, ...)                                                     \
    {.row = OP_##row_,                                                                             \
     .size = SIZE_##bits,                                                                          \
     .exec = {EACH_FUSED_CONDITION(REGISTER_ENTRY, 64, row_, bits)}},
#define MEMORY_ENTRY(cc, row, bits) [CODE_##cc] = pair_##row##bits##_m_##cc,
#define MEMORY_TABLE(row_, op, bits, ...)                                                          \
    {.row = OP_##row_,                                                                             \
     .size = SIZE_##bits,                                                                          \
     .exec = {EACH_FUSED_CONDITION(MEMORY_ENTRY, row_, bits)}},

static const struct pairs register_pairs_32[] = {REGISTER_FORMS(REGISTER_TABLE_32)};
static const struct pairs register_pairs_64[] = {REGISTER_FORMS(REGISTER_TABLE_64)};
static const struct pairs memory_pairs[] = {MEMORY_FORMS(MEMORY_TABLE)};

static exec_fn *find_pair(const struct pairs *pairs, unsigned count, const struct insn *insn,
                          unsigned condition)
{
    for (unsigned i = 0; i < count; i++)
        if (pairs[i].row == insn->row && pairs[i].size == insn->size)
            return pairs[i].exec[condition];
    return NULL;
}

exec_fn *exec_fuse(const struct insn *insn, bool is_flat)
{
    const struct insn *branch = insn + 1;
    const struct opcode_row *row = &opcode_rows[branch->row];
    bool is_jcc = (row->map == MAP_1 && (row->opcode & 0xf0) == 0x70) ||
                  (row->map == MAP_0F && (row->opcode & 0xf0) == 0x80);
    if (!is_jcc || branch->size == SIZE_16)
        return NULL;
    unsigned condition = row->opcode & 15;
    if (insn->memory)
        return is_flat ? find_pair(memory_pairs, ARRAY_LENGTH(memory_pairs), insn, condition)
                       : NULL;
    return branch->size == SIZE_64
               ? find_pair(register_pairs_64, ARRAY_LENGTH(register_pairs_64), insn, condition)
               : find_pair(register_pairs_32, ARRAY_LENGTH(register_pairs_32), insn, condition);
}
