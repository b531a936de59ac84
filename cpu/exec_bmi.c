/* BMI1 and BMI2 (but TZCNT: exec_bit.c), ADX: SDM 2A and 2B under these names. */
#include "cpu/exec_int.h"

#define VVVV insn->vex.vvvv

/* A handler for each size and form; `body` is a function of the ModRM operand. */
#define FORMS(id, body, bits)                                                                      \
    EXEC(id##_r##bits)                                                                             \
    {                                                                                              \
        body##bits(cpu, insn, REG##bits(insn->rm));                                                \
        return NEXT(insn);                                                                         \
    }                                                                                              \
    EXEC_MEMORY(id##_m##bits)                                                                      \
    {                                                                                              \
        LOAD(bits, operand, insn->seg, insn_address(cpu, insn));                                   \
        body##bits(cpu, insn, operand);                                                            \
        return NEXT(insn);                                                                         \
    }
#define BODY(name, bits)                                                                           \
    static always_inline void name##bits(struct cpu *cpu, const struct insn *insn,                 \
                                         uint##bits##_t operand)

/* SF and ZF by the result, CF as given, OF clear. */
static always_inline void flags_of_bits(struct cpu *cpu, uint64_t result, bool carry, unsigned bits)
{
    flags_logic(cpu, result, bits);
    flags_set_cf_of(cpu, carry, carry);
}

/* The `length` bits of `value` from `start` on, moved down. */
static always_inline uint64_t extract(uint64_t value, unsigned start, unsigned length)
{
    value = start < 64 ? value >> start : 0;
    return length < 64 ? value & (BIT(length) - 1) : value;
}

/* The bits of `value` where `mask` has ones, next to each other. */
static uint64_t gather_bits(uint64_t value, uint64_t mask)
{
    uint64_t result = 0;
    for (uint64_t to = 1; mask; to <<= 1, mask &= mask - 1)
        if (value & mask & -mask)
            result |= to;
    return result;
}

/* The low bits of `value`, put where `mask` has ones. */
static uint64_t scatter_bits(uint64_t value, uint64_t mask)
{
    uint64_t result = 0;
    for (; mask; value >>= 1, mask &= mask - 1)
        if (value & 1)
            result |= mask & -mask;
    return result;
}

static always_inline uint64_t rotate_right(uint64_t value, unsigned count, unsigned bits)
{
    count &= bits - 1;
    return count ? value >> count | value << (bits - count) : value;
}

#define BMI_DEFINE(bits, wide_t)                                                                   \
    BODY(andn, bits)                                                                               \
    {                                                                                              \
        const uint##bits##_t result = ~REG##bits(VVVV) & operand;                                  \
        flags_of_bits(cpu, result, false, bits);                                                   \
        REG##bits##_SET(insn->reg, result);                                                        \
    }                                                                                              \
    BODY(blsr, bits)                                                                               \
    {                                                                                              \
        const uint##bits##_t result = operand & (operand - 1);                                     \
        flags_of_bits(cpu, result, operand == 0, bits);                                            \
        REG##bits##_SET(VVVV, result);                                                             \
    }                                                                                              \
    BODY(blsmsk, bits)                                                                             \
    {                                                                                              \
        const uint##bits##_t result = operand ^ (operand - 1);                                     \
        flags_of_bits(cpu, result, operand == 0, bits);                                            \
        REG##bits##_SET(VVVV, result);                                                             \
    }                                                                                              \
    BODY(blsi, bits)                                                                               \
    {                                                                                              \
        const uint##bits##_t result = operand & -operand;                                          \
        flags_of_bits(cpu, result, operand != 0, bits);                                            \
        REG##bits##_SET(VVVV, result);                                                             \
    }                                                                                              \
    BODY(bextr, bits)                                                                              \
    {                                                                                              \
        const uint64_t control = REG64(VVVV);                                                      \
        const uint64_t result = extract(operand, control & 0xff, control >> 8 & 0xff);             \
        flags_of_bits(cpu, result, false, bits);                                                   \
        REG##bits##_SET(insn->reg, (uint##bits##_t)result);                                        \
    }                                                                                              \
    BODY(bzhi, bits)                                                                               \
    {                                                                                              \
        const unsigned first = REG64(VVVV) & 0xff;                                                 \
        const uint##bits##_t result = (uint##bits##_t)extract(operand, 0, first);                  \
        flags_of_bits(cpu, result, first >= (bits), bits);                                         \
        REG##bits##_SET(insn->reg, result);                                                        \
    }                                                                                              \
    BODY(pext, bits)                                                                               \
    {                                                                                              \
        REG##bits##_SET(insn->reg, (uint##bits##_t)gather_bits(REG##bits(VVVV), operand));         \
    }                                                                                              \
    BODY(pdep, bits)                                                                               \
    {                                                                                              \
        REG##bits##_SET(insn->reg, (uint##bits##_t)scatter_bits(REG##bits(VVVV), operand));        \
    }                                                                                              \
    /* SDM: when both destinations are one register, it gets the high half */                      \
    BODY(mulx, bits)                                                                               \
    {                                                                                              \
        const wide_t product = (wide_t)REG##bits(RDX) * operand;                                   \
        REG##bits##_SET(VVVV, (uint##bits##_t)product);                                            \
        REG##bits##_SET(insn->reg, (uint##bits##_t)(product >> (bits)));                           \
    }                                                                                              \
    BODY(shlx, bits)                                                                               \
    {                                                                                              \
        REG##bits##_SET(insn->reg, operand << (REG64(VVVV) & ((bits)-1)));                         \
    }                                                                                              \
    BODY(shrx, bits)                                                                               \
    {                                                                                              \
        REG##bits##_SET(insn->reg, operand >> (REG64(VVVV) & ((bits)-1)));                         \
    }                                                                                              \
    BODY(sarx, bits)                                                                               \
    {                                                                                              \
        const int##bits##_t result = (int##bits##_t)operand >> (REG64(VVVV) & ((bits)-1));         \
        REG##bits##_SET(insn->reg, (uint##bits##_t)result);                                        \
    }                                                                                              \
    BODY(rorx, bits)                                                                               \
    {                                                                                              \
        REG##bits##_SET(insn->reg, (uint##bits##_t)rotate_right(operand, insn->vex.imm, bits));    \
    }                                                                                              \
    FORMS(ANDN_GyByEy, andn, bits)                                                                 \
    FORMS(BLSR_ByEy, blsr, bits)                                                                   \
    FORMS(BLSMSK_ByEy, blsmsk, bits)                                                               \
    FORMS(BLSI_ByEy, blsi, bits)                                                                   \
    FORMS(BEXTR_GyEyBy, bextr, bits)                                                               \
    FORMS(BZHI_GyEyBy, bzhi, bits)                                                                 \
    FORMS(PEXT_GyByEy, pext, bits)                                                                 \
    FORMS(PDEP_GyByEy, pdep, bits)                                                                 \
    FORMS(MULX_GyByEy, mulx, bits)                                                                 \
    FORMS(SHLX_GyEyBy, shlx, bits)                                                                 \
    FORMS(SHRX_GyEyBy, shrx, bits)                                                                 \
    FORMS(SARX_GyEyBy, sarx, bits)                                                                 \
    FORMS(RORX_GyEyIb, rorx, bits)
BMI_DEFINE(32, uint64_t)
BMI_DEFINE(64, unsigned __int128)

/* --- additions that carry through CF, or through OF, and leave the other flags alone */
#define ADX_DEFINE(bits)                                                                           \
    BODY(adcx, bits)                                                                               \
    {                                                                                              \
        uint##bits##_t sum;                                                                        \
        bool carry = __builtin_add_overflow(REG##bits(insn->reg), operand, &sum);                  \
        carry |= __builtin_add_overflow(sum, (uint##bits##_t)flag_cf(cpu), &sum);                  \
        flag_set_cf(cpu, carry);                                                                   \
        REG##bits##_SET(insn->reg, sum);                                                           \
    }                                                                                              \
    BODY(adox, bits)                                                                               \
    {                                                                                              \
        uint##bits##_t sum;                                                                        \
        bool carry = __builtin_add_overflow(REG##bits(insn->reg), operand, &sum);                  \
        carry |= __builtin_add_overflow(sum, (uint##bits##_t)flag_of(cpu), &sum);                  \
        flags_set_cf_of(cpu, flag_cf(cpu), flag_cf(cpu) != carry);                                 \
        REG##bits##_SET(insn->reg, sum);                                                           \
    }                                                                                              \
    FORMS(ADCX_GyEy, adcx, bits)                                                                   \
    FORMS(ADOX_GyEy, adox, bits)
ADX_DEFINE(32)
ADX_DEFINE(64)
