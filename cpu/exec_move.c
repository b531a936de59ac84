/* MOV and its relatives: MOVZX MOVSX MOVSXD LEA MOVBE MOVNTI BSWAP XLAT, CBW and CWD in all sizes,
 * CMOVcc, SETcc (SDM 2A and 2B under these names).  XCHG is in exec_atomic.c.
 */
#include "cpu/exec_int.h"

/* --- MOV */
#define MOV_REGISTER(handler, bits, destination, source)                                           \
    EXEC(handler)                                                                                  \
    {                                                                                              \
        REG##bits##_SET(destination, source);                                                      \
        return NEXT(insn);                                                                         \
    }
#define MOV_LOAD(handler, bits)                                                                    \
    EXEC_OPERAND(handler)                                                                          \
    {                                                                                              \
        LOAD_OPERAND(bits, value);                                                                 \
        REG##bits##_SET(insn->reg, value);                                                         \
        return NEXT(insn);                                                                         \
    }
#define MOV_STORE(handler, bits, source)                                                           \
    EXEC_OPERAND(handler)                                                                          \
    {                                                                                              \
        STORE_OPERAND(bits, (uint##bits##_t)(source));                                             \
        return NEXT(insn);                                                                         \
    }
/* The offset of a moffs operand is the immediate, as wide as an address. */
#define MOV_LOAD_OFFSET(handler, bits)                                                             \
    EXEC_MEMORY(handler)                                                                           \
    {                                                                                              \
        LOAD(bits, value, insn->seg, address_mask(insn) & insn->imm);                              \
        REG##bits##_SET(RAX, value);                                                               \
        return NEXT(insn);                                                                         \
    }
#define MOV_STORE_OFFSET(handler, bits)                                                            \
    EXEC_MEMORY(handler)                                                                           \
    {                                                                                              \
        STORE(bits, REG##bits(RAX), insn->seg, address_mask(insn) & insn->imm);                    \
        return NEXT(insn);                                                                         \
    }

#define MOV_FORMS_V(bits, op)                                                                      \
    MOV_REGISTER(MOV_EvGv_r##bits, bits, insn->rm, REG##bits(insn->reg))                           \
    MOV_STORE(MOV_EvGv_m##bits, bits, REG##bits(insn->reg))                                        \
    MOV_REGISTER(MOV_GvEv_r##bits, bits, insn->reg, REG##bits(insn->rm))                           \
    MOV_LOAD(MOV_GvEv_m##bits, bits)                                                               \
    MOV_LOAD_OFFSET(MOV_rAXOv_##bits, bits)                                                        \
    MOV_STORE_OFFSET(MOV_OvrAX_##bits, bits)                                                       \
    MOV_REGISTER(MOV_ZvIv_##bits, bits, insn->reg, insn->imm)                                      \
    MOV_REGISTER(MOV_EvIz_r##bits, bits, insn->rm, insn->imm)                                      \
    MOV_STORE(MOV_EvIz_m##bits, bits, insn->imm)
EACH_WIDTH(MOV_FORMS_V, MOV)
MOV_REGISTER(MOV_EbGb_r, 8, insn->rm, REG8(insn->reg))
MOV_STORE(MOV_EbGb_m, 8, REG8(insn->reg))
MOV_REGISTER(MOV_GbEb_r, 8, insn->reg, REG8(insn->rm))
MOV_LOAD(MOV_GbEb_m, 8)
MOV_LOAD_OFFSET(MOV_ALOb, 8)
MOV_STORE_OFFSET(MOV_ObAL, 8)
MOV_REGISTER(MOV_ZbIb, 8, insn->reg, insn->imm)
MOV_REGISTER(MOV_EbIb_r, 8, insn->rm, insn->imm)
MOV_STORE(MOV_EbIb_m, 8, insn->imm)

/* --- with extension: `type` is the source's */
#define EXTEND_FORMS(bits, op, type, source_bits)                                                  \
    MOV_REGISTER(op##_r##bits, bits, insn->reg, (type)REG##source_bits(insn->rm))                  \
    EXEC_OPERAND(op##_m##bits)                                                                     \
    {                                                                                              \
        LOAD_OPERAND(source_bits, value);                                                          \
        REG##bits##_SET(insn->reg, (type)value);                                                   \
        return NEXT(insn);                                                                         \
    }
EACH_WIDTH(EXTEND_FORMS, MOVZX_GvEb, uint8_t, 8)
EACH_WIDTH(EXTEND_FORMS, MOVZX_GvEw, uint16_t, 16)
EACH_WIDTH(EXTEND_FORMS, MOVSX_GvEb, int8_t, 8)
EACH_WIDTH(EXTEND_FORMS, MOVSX_GvEw, int16_t, 16)
EXTEND_FORMS(16, MOVSXD_GvEd, int16_t, 16)
EXTEND_FORMS(32, MOVSXD_GvEd, int32_t, 32)
EXTEND_FORMS(64, MOVSXD_GvEd, int32_t, 32)

#define LEA_FORM(bits, op) MOV_REGISTER(LEA_GvM_##bits, bits, insn->reg, insn_address(cpu, insn))
EACH_WIDTH(LEA_FORM, LEA)
exec_fn flat_LEA_GvM_32, flat_LEA_GvM_64;
int flat_LEA_GvM_32(struct cpu *cpu, const struct insn *insn)
{
    REG32_SET(insn->reg, operand_address(cpu, insn, OPERAND_FLAT));
    return NEXT(insn);
}
int flat_LEA_GvM_64(struct cpu *cpu, const struct insn *insn)
{
    REG64_SET(insn->reg, operand_address(cpu, insn, OPERAND_FLAT));
    return NEXT(insn);
}

/* --- byte order */
#define MOVBE_FORMS(bits, op)                                                                      \
    EXEC_OPERAND(MOVBE_GvMv_##bits)                                                                \
    {                                                                                              \
        LOAD_OPERAND(bits, value);                                                                 \
        REG##bits##_SET(insn->reg, __builtin_bswap##bits(value));                                  \
        return NEXT(insn);                                                                         \
    }                                                                                              \
    MOV_STORE(MOVBE_MvGv_##bits, bits, __builtin_bswap##bits(REG##bits(insn->reg)))
EACH_WIDTH(MOVBE_FORMS, MOVBE)

/* SDM: with a 16-bit operand the result is undefined; processors clear it. */
MOV_REGISTER(BSWAP_Zv_16, 16, insn->reg, 0)
MOV_REGISTER(BSWAP_Zv_32, 32, insn->reg, __builtin_bswap32(REG32(insn->reg)))
MOV_REGISTER(BSWAP_Zv_64, 64, insn->reg, __builtin_bswap64(REG64(insn->reg)))

MOV_STORE(MOVNTI_MyGy_32, 32, REG32(insn->reg))
MOV_STORE(MOVNTI_MyGy_64, 64, REG64(insn->reg))

EXEC_MEMORY(XLAT)
{
    LOAD(8, value, insn->seg, (cpu->regs[RBX] + REG8(0)) & address_mask(insn));
    REG8_SET(0, value);
    return NEXT(insn);
}

/* --- the accumulator, sign-extended */
MOV_REGISTER(CBW_16, 16, RAX, (int8_t)REG8(0))
MOV_REGISTER(CBW_32, 32, RAX, (int16_t)REG16(RAX))
MOV_REGISTER(CBW_64, 64, RAX, (uint64_t)(int64_t)(int32_t)REG32(RAX))
MOV_REGISTER(CWD_16, 16, RDX, (int16_t)REG16(RAX) >> 15)
MOV_REGISTER(CWD_32, 32, RDX, (int32_t)REG32(RAX) >> 31)
MOV_REGISTER(CWD_64, 64, RDX, (uint64_t)((int64_t)REG64(RAX) >> 63))

/* --- by condition: CMOVcc reads its operand, and clears bits 63:32, whatever the condition */
#define CMOV_FORMS(bits, cc)                                                                       \
    EXEC(CMOV##cc##_GvEv_r##bits)                                                                  \
    {                                                                                              \
        uint##bits##_t from = REG##bits(insn->rm), to = REG##bits(insn->reg);                      \
        REG##bits##_SET(insn->reg, CONDITION_##cc ? from : to);                                    \
        return NEXT(insn);                                                                         \
    }                                                                                              \
    EXEC_OPERAND(CMOV##cc##_GvEv_m##bits)                                                          \
    {                                                                                              \
        LOAD_OPERAND(bits, from);                                                                  \
        uint##bits##_t to = REG##bits(insn->reg);                                                  \
        REG##bits##_SET(insn->reg, CONDITION_##cc ? from : to);                                    \
        return NEXT(insn);                                                                         \
    }
#define CONDITION_FORMS(cc)                                                                        \
    EACH_WIDTH(CMOV_FORMS, cc)                                                                     \
    MOV_REGISTER(SET##cc##_Eb_r, 8, insn->rm, CONDITION_##cc)                                      \
    MOV_STORE(SET##cc##_Eb_m, 8, CONDITION_##cc)
EACH_CONDITION(CONDITION_FORMS)
