/* SSE2 and SSSE3 integer instructions on XMM registers: SDM 2A, 2B. */
#include "cpu/lanes.h"

#define INTEGER(NAME, name) SSE_BINARY(NAME##_VxWx, name, a)

/* --- SSE2 */
INTEGER(PADDB, "paddb")
INTEGER(PADDW, "paddw")
INTEGER(PADDD, "paddd")
INTEGER(PADDQ, "paddq")
INTEGER(PADDSB, "paddsb")
INTEGER(PADDSW, "paddsw")
INTEGER(PADDUSB, "paddusb")
INTEGER(PADDUSW, "paddusw")
INTEGER(PSUBB, "psubb")
INTEGER(PSUBW, "psubw")
INTEGER(PSUBD, "psubd")
INTEGER(PSUBQ, "psubq")
INTEGER(PSUBSB, "psubsb")
INTEGER(PSUBSW, "psubsw")
INTEGER(PSUBUSB, "psubusb")
INTEGER(PSUBUSW, "psubusw")
INTEGER(PMULLW, "pmullw")
INTEGER(PMULHW, "pmulhw")
INTEGER(PMULHUW, "pmulhuw")
INTEGER(PMULUDQ, "pmuludq")
INTEGER(PMADDWD, "pmaddwd")
INTEGER(PSADBW, "psadbw")
INTEGER(PAVGB, "pavgb")
INTEGER(PAVGW, "pavgw")
INTEGER(PMINUB, "pminub")
INTEGER(PMAXUB, "pmaxub")
INTEGER(PMINSW, "pminsw")
INTEGER(PMAXSW, "pmaxsw")
INTEGER(PAND, "pand")
INTEGER(PANDN, "pandn")
INTEGER(POR, "por")
INTEGER(PXOR, "pxor")
INTEGER(PCMPEQB, "pcmpeqb")
INTEGER(PCMPEQW, "pcmpeqw")
INTEGER(PCMPEQD, "pcmpeqd")
INTEGER(PCMPGTB, "pcmpgtb")
INTEGER(PCMPGTW, "pcmpgtw")
INTEGER(PCMPGTD, "pcmpgtd")
INTEGER(PACKSSWB, "packsswb")
INTEGER(PACKSSDW, "packssdw")
INTEGER(PACKUSWB, "packuswb")
INTEGER(PUNPCKLBW, "punpcklbw")
INTEGER(PUNPCKLWD, "punpcklwd")
INTEGER(PUNPCKLDQ, "punpckldq")
INTEGER(PUNPCKLQDQ, "punpcklqdq")
INTEGER(PUNPCKHBW, "punpckhbw")
INTEGER(PUNPCKHWD, "punpckhwd")
INTEGER(PUNPCKHDQ, "punpckhdq")
INTEGER(PUNPCKHQDQ, "punpckhqdq")

/* --- SSSE3 */
INTEGER(PSHUFB, "pshufb")
INTEGER(PHADDW, "phaddw")
INTEGER(PHADDD, "phaddd")
INTEGER(PHADDSW, "phaddsw")
INTEGER(PHSUBW, "phsubw")
INTEGER(PHSUBD, "phsubd")
INTEGER(PHSUBSW, "phsubsw")
INTEGER(PMADDUBSW, "pmaddubsw")
INTEGER(PMULHRSW, "pmulhrsw")
INTEGER(PSIGNB, "psignb")
INTEGER(PSIGNW, "psignw")
INTEGER(PSIGND, "psignd")
INTEGER(PABSB, "pabsb")
INTEGER(PABSW, "pabsw")
INTEGER(PABSD, "pabsd")

/* --- shifts: the count is the source's low 64 bits, or an immediate */
#define SHIFT(NAME, name)                                                                          \
    SSE_BINARY(NAME##_VxWx, name, a)                                                               \
    EXEC(NAME##_UxIb)                                                                              \
    {                                                                                              \
        __m128i result;                                                                            \
        SSE_ASM(name, result, XMM(insn->rm), _mm_cvtsi32_si128((int32_t)insn->imm));               \
        XMM(insn->rm) = result;                                                                    \
        return NEXT(insn);                                                                         \
    }
SHIFT(PSRLW, "psrlw")
SHIFT(PSRLD, "psrld")
SHIFT(PSRLQ, "psrlq")
SHIFT(PSRAW, "psraw")
SHIFT(PSRAD, "psrad")
SHIFT(PSLLW, "psllw")
SHIFT(PSLLD, "pslld")
SHIFT(PSLLQ, "psllq")

EXEC(PSRLDQ_UxIb)
{
    unsigned bytes = (unsigned)insn->imm;
    XMM(insn->rm) = from_integer(bytes < 16 ? to_integer(XMM(insn->rm)) >> 8 * bytes : 0);
    return NEXT(insn);
}

EXEC(PSLLDQ_UxIb)
{
    unsigned bytes = (unsigned)insn->imm;
    XMM(insn->rm) = from_integer(bytes < 16 ? to_integer(XMM(insn->rm)) << 8 * bytes : 0);
    return NEXT(insn);
}

SSE_IMMEDIATE(PALIGNR_VxWxIb, align_right, a)

/* --- shuffles by an immediate */
SSE_IMMEDIATE(PSHUFD_VxWxIb, shuffle_d, a)
SSE_IMMEDIATE(PSHUFLW_VxWxIb, shuffle_low, a)
SSE_IMMEDIATE(PSHUFHW_VxWxIb, shuffle_high, a)

/* --- words in and out */
EXEC(PINSRW_VxEw_r)
{
    cpu->xmm[insn->reg].w[insn->imm & 7] = REG16(insn->rm);
    return NEXT(insn);
}

EXEC_MEMORY(PINSRW_VxEw_m)
{
    uint16_t value;
    OPERAND_LOAD(16, value);
    cpu->xmm[insn->reg].w[insn->imm & 7] = value;
    return NEXT(insn);
}

EXEC(PEXTRW_GdUx)
{
    REG32_SET(insn->reg, cpu->xmm[insn->rm].w[insn->imm & 7]);
    return NEXT(insn);
}
