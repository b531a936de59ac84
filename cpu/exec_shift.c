/* Shifts and rotates: SDM 2B, RCL/RCR/ROL/ROR and SAL/SAR/SHL/SHR, SHLD, SHRD.
 *
 * Where the SDM leaves OF undefined (a count above 1) it is what the formula for a count of 1 gives
 * on the result: CF ^ msb(result) to the left, the XOR of the two top bits to the right.
 */
#include "cpu/exec_int.h"

/* A count is masked to 5 bits, to 6 with a 64-bit operand; 0 leaves the flags. */
#define COUNT_MASK(bits) ((bits) == 64 ? 63u : 31u)
#define TOP_BITS         (LAZY_CF | LAZY_CARRY_IN)

/* Each function takes 1 <= count <= COUNT_MASK(bits). */
#define SHIFT_DEFINE(bits)                                                                         \
    static always_inline uint##bits##_t value_SHL##bits(struct cpu *cpu, uint##bits##_t a,         \
                                                        unsigned count)                            \
    {                                                                                              \
        uint##bits##_t result = (uint##bits##_t)((uint64_t)a << count);                            \
        cpu->lazy.result = (uint64_t)bits_sign_extend(result, bits);                               \
        /* CF, and below it the result's top bit: CF ^ OF */                                       \
        cpu->lazy.carries = (uint64_t)a << (64 - bits) << (count - 1) & TOP_BITS;                  \
        return result;                                                                             \
    }                                                                                              \
    static always_inline uint##bits##_t value_SHR##bits(struct cpu *cpu, uint##bits##_t a,         \
                                                        unsigned count)                            \
    {                                                                                              \
        uint64_t before_last = (uint64_t)a >> (count - 1);                                         \
        uint##bits##_t result = (uint##bits##_t)(before_last >> 1);                                \
        bool carry = before_last & 1;                                                              \
        flags_shifted(cpu, result, carry, carry ^ (result >> (bits - 2) & 1), bits);               \
        return result;                                                                             \
    }                                                                                              \
    static always_inline uint##bits##_t value_SAR##bits(struct cpu *cpu, uint##bits##_t a,         \
                                                        unsigned count)                            \
    {                                                                                              \
        int64_t before_last = bits_sign_extend(a, bits) >> (count - 1);                            \
        bool carry = before_last & 1;                                                              \
        uint##bits##_t result = (uint##bits##_t)(before_last >> 1);                                \
        flags_shifted(cpu, result, carry, carry, bits);                                            \
        return result;                                                                             \
    }                                                                                              \
    static always_inline uint##bits##_t value_ROL##bits(struct cpu *cpu, uint##bits##_t a,         \
                                                        unsigned count)                            \
    {                                                                                              \
        count &= bits - 1;                                                                         \
        uint##bits##_t result = (uint##bits##_t)(a << count | a >> (-count & (bits - 1)));         \
        flags_set_cf_of(cpu, result & 1, result >> (bits - 1) & 1);                                \
        return result;                                                                             \
    }                                                                                              \
    static always_inline uint##bits##_t value_ROR##bits(struct cpu *cpu, uint##bits##_t a,         \
                                                        unsigned count)                            \
    {                                                                                              \
        count &= bits - 1;                                                                         \
        uint##bits##_t result = (uint##bits##_t)(a >> count | a << (-count & (bits - 1)));         \
        flags_set_cf_of(cpu, result >> (bits - 1) & 1, result >> (bits - 2) & 1);                  \
        return result;                                                                             \
    }                                                                                              \
    static always_inline uint##bits##_t value_RCL##bits(struct cpu *cpu, uint##bits##_t a,         \
                                                        unsigned count)                            \
    {                                                                                              \
        count %= (bits) + 1; /* no more than 31 or 63: only 8 and 16 bits wrap */                  \
        if (count == 0) {                                                                          \
            flags_set_cf_of(cpu, flag_cf(cpu), a >> (bits - 1) & 1);                               \
            return a;                                                                              \
        }                                                                                          \
        bool carry = a >> (bits - count) & 1;                                                      \
        uint##bits##_t low = count > 1 ? (uint##bits##_t)(a >> (bits + 1 - count)) : 0;            \
        uint##bits##_t high = count < bits ? (uint##bits##_t)(a << count) : 0;                     \
        uint##bits##_t result =                                                                    \
            high | (uint##bits##_t)((uint##bits##_t)flag_cf(cpu) << (count - 1)) | low;            \
        flags_set_cf_of(cpu, carry, result >> (bits - 1) & 1);                                     \
        return result;                                                                             \
    }                                                                                              \
    static always_inline uint##bits##_t value_RCR##bits(struct cpu *cpu, uint##bits##_t a,         \
                                                        unsigned count)                            \
    {                                                                                              \
        count %= (bits) + 1;                                                                       \
        if (count == 0) {                                                                          \
            flags_set_cf_of(cpu, flag_cf(cpu),                                                     \
                            flag_cf(cpu) ^ (a >> (bits - 1) & 1) ^ (a >> (bits - 2) & 1));         \
            return a;                                                                              \
        }                                                                                          \
        bool carry = a >> (count - 1) & 1;                                                         \
        uint##bits##_t high = count > 1 ? (uint##bits##_t)(a << (bits + 1 - count)) : 0;           \
        uint##bits##_t low = count < bits ? (uint##bits##_t)(a >> count) : 0;                      \
        uint##bits##_t result =                                                                    \
            low | (uint##bits##_t)((uint##bits##_t)flag_cf(cpu) << (bits - count)) | high;         \
        flags_set_cf_of(cpu, carry,                                                                \
                        carry ^ (result >> (bits - 1) & 1) ^ (result >> (bits - 2) & 1));          \
        return result;                                                                             \
    }
SHIFT_DEFINE(8)
SHIFT_DEFINE(16)
SHIFT_DEFINE(32)
SHIFT_DEFINE(64)

/* A count of 0 still writes the destination: a 32-bit register's upper half, a memory fault. */
#define SHIFT_REGISTER(handler, op, bits, counted)                                                 \
    EXEC(handler)                                                                                  \
    {                                                                                              \
        const unsigned count = COUNT_MASK(bits) & (unsigned)(counted);                             \
        const uint##bits##_t a = REG##bits(insn->rm);                                              \
        REG##bits##_SET(insn->rm, likely(count != 0) ? value_##op##bits(cpu, a, count) : a);       \
        return NEXT(insn);                                                                         \
    }
#define SHIFT_MEMORY(handler, op, bits, counted)                                                   \
    EXEC_OPERAND(handler)                                                                          \
    {                                                                                              \
        MODIFY_OPERAND(bits, at);                                                                  \
        const unsigned count = COUNT_MASK(bits) & (unsigned)(counted);                             \
        const uint##bits##_t a = load_le##bits(at);                                                \
        if (likely(count != 0))                                                                    \
            store_le##bits(at, value_##op##bits(cpu, a, count));                                   \
        MODIFY_DONE();                                                                             \
        return NEXT(insn);                                                                         \
    }
#define SHIFT_FORMS_V(bits, name, op)                                                              \
    SHIFT_REGISTER(name##_Ev1_r##bits, op, bits, 1)                                                \
    SHIFT_MEMORY(name##_Ev1_m##bits, op, bits, 1)                                                  \
    SHIFT_REGISTER(name##_EvIb_r##bits, op, bits, insn->imm)                                       \
    SHIFT_MEMORY(name##_EvIb_m##bits, op, bits, insn->imm)                                         \
    SHIFT_REGISTER(name##_EvCL_r##bits, op, bits, cpu->regs[RCX])                                  \
    SHIFT_MEMORY(name##_EvCL_m##bits, op, bits, cpu->regs[RCX])
#define SHIFT_FORMS(name, op)                                                                      \
    SHIFT_REGISTER(name##_Eb1_r, op, 8, 1)                                                         \
    SHIFT_MEMORY(name##_Eb1_m, op, 8, 1)                                                           \
    SHIFT_REGISTER(name##_EbIb_r, op, 8, insn->imm)                                                \
    SHIFT_MEMORY(name##_EbIb_m, op, 8, insn->imm)                                                  \
    SHIFT_REGISTER(name##_EbCL_r, op, 8, cpu->regs[RCX])                                           \
    SHIFT_MEMORY(name##_EbCL_m, op, 8, cpu->regs[RCX])                                             \
    EACH_WIDTH(SHIFT_FORMS_V, name, op)

SHIFT_FORMS(ROL, ROL)
SHIFT_FORMS(ROR, ROR)
SHIFT_FORMS(RCL, RCL)
SHIFT_FORMS(RCR, RCR)
SHIFT_FORMS(SHL, SHL)
SHIFT_FORMS(SHR, SHR)
SHIFT_FORMS(SHL_6, SHL)
SHIFT_FORMS(SAR, SAR)

/* --- SHLD and SHRD */
#define SHIFT_DOUBLE_DEFINE(bits)                                                                  \
    static always_inline uint##bits##_t value_SHLD##bits(struct cpu *cpu, uint##bits##_t a,        \
                                                         uint##bits##_t b, unsigned count)         \
    {                                                                                              \
        uint##bits##_t result = (uint##bits##_t)(a << count | b >> (bits - count));                \
        flags_shifted(cpu, result, a >> (bits - count) & 1, result >> (bits - 1) & 1, bits);       \
        return result;                                                                             \
    }                                                                                              \
    static always_inline uint##bits##_t value_SHRD##bits(struct cpu *cpu, uint##bits##_t a,        \
                                                         uint##bits##_t b, unsigned count)         \
    {                                                                                              \
        uint##bits##_t result = (uint##bits##_t)(a >> count | b << (bits - count));                \
        bool carry = a >> (count - 1) & 1;                                                         \
        bool overflow = (result ^ result << 1) >> (bits - 1) & 1;                                  \
        flags_shifted(cpu, result, carry, carry ^ overflow, bits);                                 \
        return result;                                                                             \
    }
SHIFT_DOUBLE_DEFINE(32)
SHIFT_DOUBLE_DEFINE(64)

/* QUIRK: with 16-bit operands a count of 17..31 (undefined in the SDM) shifts through a, b, and a
 * again. */
static always_inline uint16_t value_SHLD16(struct cpu *cpu, uint16_t a, uint16_t b, unsigned count)
{
    uint64_t wide = ((uint64_t)a << 32 | (uint32_t)b << 16 | a) << count;
    uint16_t result = (uint16_t)(wide >> 32);
    flags_shifted(cpu, result, wide >> 48 & 1, result >> 15, 16);
    return result;
}
static always_inline uint16_t value_SHRD16(struct cpu *cpu, uint16_t a, uint16_t b, unsigned count)
{
    uint64_t wide = ((uint64_t)a << 32 | (uint32_t)b << 16 | a) >> (count - 1);
    uint16_t result = (uint16_t)(wide >> 1);
    bool carry = wide & 1, overflow = (result >> 15) ^ (result >> 14 & 1);
    flags_shifted(cpu, result, carry, carry ^ overflow, 16);
    return result;
}

#define SHIFT_DOUBLE_FORM(form, op, bits, counted)                                                 \
    EXEC(form##_r##bits)                                                                           \
    {                                                                                              \
        const unsigned count = COUNT_MASK(bits) & (unsigned)(counted);                             \
        const uint##bits##_t a = REG##bits(insn->rm), b = REG##bits(insn->reg);                    \
        REG##bits##_SET(insn->rm, likely(count != 0) ? value_##op##bits(cpu, a, b, count) : a);    \
        return NEXT(insn);                                                                         \
    }                                                                                              \
    EXEC_OPERAND(form##_m##bits)                                                                   \
    {                                                                                              \
        MODIFY_OPERAND(bits, at);                                                                  \
        const unsigned count = COUNT_MASK(bits) & (unsigned)(counted);                             \
        const uint##bits##_t a = load_le##bits(at), b = REG##bits(insn->reg);                      \
        if (likely(count != 0))                                                                    \
            store_le##bits(at, value_##op##bits(cpu, a, b, count));                                \
        MODIFY_DONE();                                                                             \
        return NEXT(insn);                                                                         \
    }
#define SHIFT_DOUBLE_FORMS(bits, op)                                                               \
    SHIFT_DOUBLE_FORM(op##_EvGvIb, op, bits, insn->imm)                                            \
    SHIFT_DOUBLE_FORM(op##_EvGvCL, op, bits, cpu->regs[RCX])
EACH_WIDTH(SHIFT_DOUBLE_FORMS, SHLD)
EACH_WIDTH(SHIFT_DOUBLE_FORMS, SHRD)
