/* Integer instructions of SSE2 to SSE4.2 on XMM registers: SDM 2A, 2B.  Those of SSE4 that are more
 * than an operation on all elements: exec_sse4.c. */
#include "cpu/lanes.h"

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
#define WHOLE(NAME, name)               SSE_BINARY(NAME##_VxWx, name, a)
#define WHOLE_UNARY(NAME, name)         WHOLE(NAME, name)
#define EACH(NAME, name)                WHOLE(NAME, name)
#define EACH_UNARY(NAME, name)          WHOLE(NAME, name)
#define EXTEND(NAME, name, size, bytes) SSE_BINARY(NAME##_VxW##size, name, size)
#include "cpu/vector_integer.def"

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
