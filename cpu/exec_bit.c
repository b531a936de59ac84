/* BT BTS BTR BTC, BSF BSR TZCNT LZCNT POPCNT CRC32: SDM 2A and 2B under these names. */
#include "cpu/exec_int.h"

/* --- bit tests: CF is the bit; the other flags, undefined or not, stay */
#define BIT_SET_BT  a
#define BIT_SET_BTS (a | mask)
#define BIT_SET_BTR (a & ~mask)
#define BIT_SET_BTC (a ^ mask)

/* A bit number in a register is signed and reaches beyond the operand, in steps of its size. */
#define BIT_ADDRESS(bits)                                                                          \
    ((OPERAND_ADDRESS +                                                                            \
      (uint64_t)((int64_t)(int##bits##_t)REG##bits(insn->reg) >> 3 & -((bits) / 8))) &             \
     address_mask(insn))

#define BIT_REGISTER(handler, op, bits, number)                                                    \
    EXEC(handler)                                                                                  \
    {                                                                                              \
        const uint##bits##_t a = REG##bits(insn->rm);                                              \
        const uint##bits##_t mask = (uint##bits##_t)(UINT64_C(1) << ((number) & (bits - 1)));      \
        flag_set_cf(cpu, (a & mask) != 0);                                                         \
        REG##bits##_SET(insn->rm, BIT_SET_##op);                                                   \
        return NEXT(insn);                                                                         \
    }
#define BIT_MEMORY(handler, op, bits, offset, number)                                              \
    EXEC_OPERAND(handler)                                                                          \
    {                                                                                              \
        MODIFY(bits, at, OPERAND_SEG, offset);                                                     \
        const uint##bits##_t mask = (uint##bits##_t)(UINT64_C(1) << ((number) & (bits - 1)));      \
        uint##bits##_t a = load_le##bits(at);                                                      \
        while (unlikely(!host_commit##bits(insn, at, &a, (uint##bits##_t)BIT_SET_##op)))           \
            ;                                                                                      \
        flag_set_cf(cpu, (a & mask) != 0);                                                         \
        MODIFY_DONE();                                                                             \
        return NEXT(insn);                                                                         \
    }
#define BIT_FORMS_V(bits, op)                                                                      \
    BIT_REGISTER(op##_EvGv_r##bits, op, bits, cpu->regs[insn->reg])                                \
    BIT_MEMORY(op##_EvGv_m##bits, op, bits, BIT_ADDRESS(bits), cpu->regs[insn->reg])               \
    BIT_REGISTER(op##_EvIb_r##bits, op, bits, insn->imm)                                           \
    BIT_MEMORY(op##_EvIb_m##bits, op, bits, OPERAND_ADDRESS, insn->imm)
EACH_WIDTH(BIT_FORMS_V, BTS)
EACH_WIDTH(BIT_FORMS_V, BTR)
EACH_WIDTH(BIT_FORMS_V, BTC)

#define BT_REGISTER(handler, bits, number)                                                         \
    EXEC(handler)                                                                                  \
    {                                                                                              \
        flag_set_cf(cpu, REG##bits(insn->rm) >> ((number) & (bits - 1)) & 1);                      \
        return NEXT(insn);                                                                         \
    }
#define BT_MEMORY(handler, bits, offset, number)                                                   \
    EXEC_OPERAND(handler)                                                                          \
    {                                                                                              \
        LOAD(bits, a, OPERAND_SEG, offset);                                                        \
        flag_set_cf(cpu, a >> ((number) & (bits - 1)) & 1);                                        \
        return NEXT(insn);                                                                         \
    }
#define BT_FORMS_V(bits, op)                                                                       \
    BT_REGISTER(BT_EvGv_r##bits, bits, cpu->regs[insn->reg])                                       \
    BT_MEMORY(BT_EvGv_m##bits, bits, BIT_ADDRESS(bits), cpu->regs[insn->reg])                      \
    BT_REGISTER(BT_EvIb_r##bits, bits, insn->imm)                                                  \
    BT_MEMORY(BT_EvIb_m##bits, bits, OPERAND_ADDRESS, insn->imm)
EACH_WIDTH(BT_FORMS_V, BT)

/* --- scans and counts: each a function of the operand that sets flags and register */
#define SCAN_FORMS(op, bits)                                                                       \
    EXEC(op##_GvEv_r##bits)                                                                        \
    {                                                                                              \
        scan_##op##bits(cpu, insn, REG##bits(insn->rm));                                           \
        return NEXT(insn);                                                                         \
    }                                                                                              \
    EXEC_OPERAND(op##_GvEv_m##bits)                                                                \
    {                                                                                              \
        LOAD_OPERAND(bits, operand);                                                               \
        scan_##op##bits(cpu, insn, operand);                                                       \
        return NEXT(insn);                                                                         \
    }
/* BSF and BSR of 0 leave the destination alone; the undefined flags follow the operand. */
#define SCAN_DEFINE(bits, op)                                                                      \
    static always_inline void scan_BSF##bits(struct cpu *cpu, const struct insn *insn,             \
                                             uint##bits##_t operand)                               \
    {                                                                                              \
        flags_logic(cpu, operand, bits);                                                           \
        if (likely(operand != 0))                                                                  \
            REG##bits##_SET(insn->reg, (unsigned)__builtin_ctzll(operand));                        \
    }                                                                                              \
    static always_inline void scan_BSR##bits(struct cpu *cpu, const struct insn *insn,             \
                                             uint##bits##_t operand)                               \
    {                                                                                              \
        flags_logic(cpu, operand, bits);                                                           \
        if (likely(operand != 0))                                                                  \
            REG##bits##_SET(insn->reg, 63 - (unsigned)__builtin_clzll(operand));                   \
    }                                                                                              \
    static always_inline void scan_TZCNT##bits(struct cpu *cpu, const struct insn *insn,           \
                                               uint##bits##_t operand)                             \
    {                                                                                              \
        unsigned count = operand ? (unsigned)__builtin_ctzll(operand) : bits;                      \
        flags_set_arithmetic(cpu, (operand ? 0 : F_CF) | (count ? 0 : F_ZF));                      \
        REG##bits##_SET(insn->reg, count);                                                         \
    }                                                                                              \
    static always_inline void scan_LZCNT##bits(struct cpu *cpu, const struct insn *insn,           \
                                               uint##bits##_t operand)                             \
    {                                                                                              \
        unsigned count = operand ? (unsigned)__builtin_clzll(operand) - (64 - bits) : bits;        \
        flags_set_arithmetic(cpu, (operand ? 0 : F_CF) | (count ? 0 : F_ZF));                      \
        REG##bits##_SET(insn->reg, count);                                                         \
    }                                                                                              \
    static always_inline void scan_POPCNT##bits(struct cpu *cpu, const struct insn *insn,          \
                                                uint##bits##_t operand)                            \
    {                                                                                              \
        flags_set_arithmetic(cpu, operand ? 0 : F_ZF);                                             \
        REG##bits##_SET(insn->reg, (unsigned)__builtin_popcountll(operand));                       \
    }                                                                                              \
    SCAN_FORMS(BSF, bits)                                                                          \
    SCAN_FORMS(BSR, bits)                                                                          \
    SCAN_FORMS(TZCNT, bits)                                                                        \
    SCAN_FORMS(LZCNT, bits)                                                                        \
    SCAN_FORMS(POPCNT, bits)
EACH_WIDTH(SCAN_DEFINE, SCAN)

/* --- CRC-32C (iSCSI): the polynomial 1EDC6F41h, bits reflected, four bits a step */
static uint32_t crc32c(uint32_t crc, uint64_t data, unsigned bytes)
{
    static const uint32_t steps[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
        0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
        0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    for (; bytes > 0; bytes--, data >>= 8) {
        crc ^= (uint8_t)data;
        crc = crc >> 4 ^ steps[crc & 15];
        crc = crc >> 4 ^ steps[crc & 15];
    }
    return crc;
}

#define CRC32_FORMS(form_r, form_m, bits)                                                          \
    EXEC(form_r)                                                                                   \
    {                                                                                              \
        REG32_SET(insn->reg, crc32c(REG32(insn->reg), REG##bits(insn->rm), (bits) / 8));           \
        return NEXT(insn);                                                                         \
    }                                                                                              \
    EXEC_OPERAND(form_m)                                                                           \
    {                                                                                              \
        LOAD_OPERAND(bits, data);                                                                  \
        REG32_SET(insn->reg, crc32c(REG32(insn->reg), data, (bits) / 8));                          \
        return NEXT(insn);                                                                         \
    }
#define CRC32_FORMS_V(bits, op) CRC32_FORMS(CRC32_GdEv_r##bits, CRC32_GdEv_m##bits, bits)
CRC32_FORMS(CRC32_GdEb_r, CRC32_GdEb_m, 8)
EACH_WIDTH(CRC32_FORMS_V, CRC32)
