/* SSE4.1, and PCMPGTQ of SSE4.2: SDM 2A and 2B.  The string instructions are in exec_sse_string.c.
 */
#include "cpu/lanes.h"

/* --- blends by the sign bits of XMM0 */
SSE_FORMS(PBLENDVB_VxWx, SSE_ASM_XMM0, "pblendvb", a)
SSE_FORMS(BLENDVPS_VpsWps, SSE_ASM_XMM0, "blendvps", a)
SSE_FORMS(BLENDVPD_VpdWpd, SSE_ASM_XMM0, "blendvpd", a)

/* --- blends and dot products by an immediate */
SSE_IMMEDIATE(BLENDPS_VpsWpsIb, blend_ps, a)
SSE_IMMEDIATE(BLENDPD_VpdWpdIb, blend_pd, a)
SSE_IMMEDIATE(PBLENDW_VxWxIb, blend_w, a)

SSE_FP_IMMEDIATE(DPPS_VpsWpsIb, dot_ps, a)
SSE_FP_IMMEDIATE(DPPD_VpdWpdIb, dot_pd, a)

LANE_IMMEDIATE(sad_blocks, "mpsadbw", LANE_UNARY, 8)
SSE_IMMEDIATE(MPSADBW_VxWxIb, sad_blocks, a)

/* bits 1:0 rounding, bit 2 by MXCSR instead, bit 3 no precision exception */
#define ROUND(id, op, load)                                                                        \
    LANE_IMMEDIATE(round_##id, op, LANE_UNARY, 16)                                                 \
    SSE_FP_IMMEDIATE(id, round_##id, load)
ROUND(ROUNDPS_VpsWpsIb, "roundps", a)
ROUND(ROUNDPD_VpdWpdIb, "roundpd", a)
ROUND(ROUNDSS_VssWssIb, "roundss", d)
ROUND(ROUNDSD_VsdWsdIb, "roundsd", q)

/* --- PTEST: ZF of AND, CF of ANDN, the others cleared */
EXEC(PTEST_VxWx_r)
{
    flags_set_arithmetic(cpu, test_flags(XMM(insn->reg), XMM(insn->rm)));
    return NEXT(insn);
}

EXEC_MEMORY(PTEST_VxWx_m)
{
    __m128i source;
    SSE_LOAD(a, source);
    flags_set_arithmetic(cpu, test_flags(XMM(insn->reg), source));
    return NEXT(insn);
}

/* --- elements in and out */
#define EXTRACT(id, r, m, set, bits, element)                                                      \
    EXEC(id##_##r)                                                                                 \
    {                                                                                              \
        set(insn->rm, cpu->xmm[insn->reg].element);                                                \
        return NEXT(insn);                                                                         \
    }                                                                                              \
    EXEC_MEMORY(id##_##m)                                                                          \
    {                                                                                              \
        OPERAND_STORE(bits, cpu->xmm[insn->reg].element);                                          \
        return NEXT(insn);                                                                         \
    }
EXTRACT(PEXTRB_EbVx, r, m, REG32_SET, 8, b[insn->imm & 15])
EXTRACT(PEXTRW_EwVx, r, m, REG32_SET, 16, w[insn->imm & 7])
EXTRACT(PEXTRD_EyVx, r32, m32, REG32_SET, 32, d[insn->imm & 3])
EXTRACT(PEXTRD_EyVx, r64, m64, REG64_SET, 64, q[insn->imm & 1])
EXTRACT(EXTRACTPS_EdVx, r, m, REG32_SET, 32, d[insn->imm & 3])

#define INSERT(id, r, m, get, bits, element)                                                       \
    EXEC(id##_##r)                                                                                 \
    {                                                                                              \
        cpu->xmm[insn->reg].element = (uint##bits##_t)get(insn->rm);                               \
        return NEXT(insn);                                                                         \
    }                                                                                              \
    EXEC_MEMORY(id##_##m)                                                                          \
    {                                                                                              \
        uint##bits##_t value;                                                                      \
        OPERAND_LOAD(bits, value);                                                                 \
        cpu->xmm[insn->reg].element = value;                                                       \
        return NEXT(insn);                                                                         \
    }
INSERT(PINSRB_VxEb, r, m, REG32, 8, b[insn->imm & 15])
INSERT(PINSRD_VxEy, r32, m32, REG32, 32, d[insn->imm & 3])
INSERT(PINSRD_VxEy, r64, m64, REG64, 64, q[insn->imm & 1])

/* bits 7:6 the source's element, 5:4 the destination's, 3:0 elements to clear */
static always_inline void insert_ps(struct cpu *cpu, const struct insn *insn, uint32_t value)
{
    unsigned control = (unsigned)insn->imm;
    cpu->xmm[insn->reg].d[control >> 4 & 3] = value;
    XMM(insn->reg) = _mm_andnot_si128(mask_of_dwords(control), XMM(insn->reg));
}

EXEC(INSERTPS_VpsWd_r)
{
    insert_ps(cpu, insn, cpu->xmm[insn->rm].d[insn->imm >> 6 & 3]);
    return NEXT(insn);
}

EXEC_MEMORY(INSERTPS_VpsWd_m)
{
    uint32_t value;
    OPERAND_LOAD(32, value);
    insert_ps(cpu, insn, value);
    return NEXT(insn);
}
