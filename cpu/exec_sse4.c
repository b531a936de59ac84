/* SSE4.1, and PCMPGTQ of SSE4.2: SDM 2A and 2B.  The string instructions are in exec_sse_string.c.
 */
#include "cpu/lanes.h"

#define INTEGER(NAME, name) SSE_BINARY(NAME##_VxWx, name, a)
INTEGER(PMULDQ, "pmuldq")
INTEGER(PMULLD, "pmulld")
INTEGER(PCMPEQQ, "pcmpeqq")
INTEGER(PCMPGTQ, "pcmpgtq")
INTEGER(PACKUSDW, "packusdw")
INTEGER(PMINSB, "pminsb")
INTEGER(PMINSD, "pminsd")
INTEGER(PMINUW, "pminuw")
INTEGER(PMINUD, "pminud")
INTEGER(PMAXSB, "pmaxsb")
INTEGER(PMAXSD, "pmaxsd")
INTEGER(PMAXUW, "pmaxuw")
INTEGER(PMAXUD, "pmaxud")
INTEGER(PHMINPOSUW, "phminposuw")

SSE_BINARY(PMOVSXBW_VxWq, "pmovsxbw", q)
SSE_BINARY(PMOVSXBD_VxWd, "pmovsxbd", d)
SSE_BINARY(PMOVSXBQ_VxWw, "pmovsxbq", w)
SSE_BINARY(PMOVSXWD_VxWq, "pmovsxwd", q)
SSE_BINARY(PMOVSXWQ_VxWd, "pmovsxwq", d)
SSE_BINARY(PMOVSXDQ_VxWq, "pmovsxdq", q)
SSE_BINARY(PMOVZXBW_VxWq, "pmovzxbw", q)
SSE_BINARY(PMOVZXBD_VxWd, "pmovzxbd", d)
SSE_BINARY(PMOVZXBQ_VxWw, "pmovzxbq", w)
SSE_BINARY(PMOVZXWD_VxWq, "pmovzxwd", q)
SSE_BINARY(PMOVZXWQ_VxWd, "pmovzxwq", d)
SSE_BINARY(PMOVZXDQ_VxWq, "pmovzxdq", q)

/* --- blends by the sign bits of XMM0 */
#define BLEND_ASM(op, result, a, b)                                                                \
    __asm__(op " %3, %2, %0" : "=x"(result) : "0"(a), "x"(b), "Yz"(XMM(0)))
#define BLEND(id, op)                                                                              \
    EXEC(id##_r)                                                                                   \
    {                                                                                              \
        __m128i result;                                                                            \
        BLEND_ASM(op, result, XMM(insn->reg), XMM(insn->rm));                                      \
        XMM(insn->reg) = result;                                                                   \
        return NEXT(insn);                                                                         \
    }                                                                                              \
    EXEC_MEMORY(id##_m)                                                                            \
    {                                                                                              \
        __m128i source, result;                                                                    \
        SSE_LOAD(a, source);                                                                       \
        BLEND_ASM(op, result, XMM(insn->reg), source);                                             \
        XMM(insn->reg) = result;                                                                   \
        return NEXT(insn);                                                                         \
    }
BLEND(PBLENDVB_VxWx, "pblendvb")
BLEND(BLENDVPS_VpsWps, "blendvps")
BLEND(BLENDVPD_VpdWpd, "blendvpd")

/* --- blends and dot products by an immediate */
SSE_IMMEDIATE(BLENDPS_VpsWpsIb, blend_ps, a)
SSE_IMMEDIATE(BLENDPD_VpdWpdIb, blend_pd, a)
SSE_IMMEDIATE(PBLENDW_VxWxIb, blend_w, a)

/* A product that the immediate leaves out is +0, as that of two zeros is; a sum that it leaves out
 * is cleared afterwards. */
#define DOT_ASM(op, result, a, b, products, sums)                                                  \
    do {                                                                                           \
        __asm__ volatile(op ", %2, %0"                                                             \
                         : "=x"(result)                                                            \
                         : "0"(_mm_and_si128(a, products)), "x"(_mm_and_si128(b, products)));      \
        result = _mm_and_si128(result, sums);                                                      \
    } while (0)
#define DOT(id, op, mask_of)                                                                       \
    EXEC_FP(id##_r)                                                                                \
    {                                                                                              \
        __m128i result, a = XMM(insn->reg), b = XMM(insn->rm);                                     \
        SSE_RUN(DOT_ASM(op, result, a, b, mask_of((unsigned)insn->imm >> 4),                       \
                        mask_of((unsigned)insn->imm)));                                            \
        XMM(insn->reg) = result;                                                                   \
        return NEXT(insn);                                                                         \
    }                                                                                              \
    EXEC_FP(id##_m)                                                                                \
    {                                                                                              \
        __m128i result, a = XMM(insn->reg), b;                                                     \
        SSE_LOAD(a, b);                                                                            \
        SSE_RUN(DOT_ASM(op, result, a, b, mask_of((unsigned)insn->imm >> 4),                       \
                        mask_of((unsigned)insn->imm)));                                            \
        XMM(insn->reg) = result;                                                                   \
        return NEXT(insn);                                                                         \
    }
DOT(DPPS_VpsWpsIb, "dpps $0xff", mask_of_dwords)
DOT(DPPD_VpdWpdIb, "dppd $0x33", mask_of_qwords)

/* --- immediates that are part of the host's instruction */
#define CASE(op, n)                                                                                \
    case n:                                                                                        \
        __asm__ volatile(op " $" #n ", %2, %0" : "=x"(result) : "0"(a), "x"(b));                   \
        break;
#define CASES_8(op)                                                                                \
    CASE(op, 0) CASE(op, 1) CASE(op, 2) CASE(op, 3) CASE(op, 4) CASE(op, 5) CASE(op, 6) CASE(op, 7)
#define CASES_16(op)                                                                               \
    CASES_8(op)                                                                                    \
    CASE(op, 8)                                                                                    \
    CASE(op, 9) CASE(op, 10) CASE(op, 11) CASE(op, 12) CASE(op, 13) CASE(op, 14) CASE(op, 15)

static always_inline __m128i sad_blocks(__m128i a, __m128i b, unsigned control)
{
    __m128i result = a;
    switch (control & 7) {
        CASES_8("mpsadbw")
    }
    return result;
}
SSE_IMMEDIATE(MPSADBW_VxWxIb, sad_blocks, a)

/* bits 1:0 rounding, bit 2 by MXCSR instead, bit 3 no precision exception */
#define ROUND(id, op, load)                                                                        \
    static always_inline __m128i round_##id(__m128i a, __m128i b, unsigned control)                \
    {                                                                                              \
        __m128i result = a;                                                                        \
        switch (control & 15) {                                                                    \
            CASES_16(op)                                                                           \
        }                                                                                          \
        return result;                                                                             \
    }                                                                                              \
    EXEC_FP(id##_r)                                                                                \
    {                                                                                              \
        __m128i result, a = XMM(insn->reg), b = XMM(insn->rm);                                     \
        SSE_RUN(result = round_##id(a, b, (unsigned)insn->imm));                                   \
        XMM(insn->reg) = result;                                                                   \
        return NEXT(insn);                                                                         \
    }                                                                                              \
    EXEC_FP(id##_m)                                                                                \
    {                                                                                              \
        __m128i result, a = XMM(insn->reg), b;                                                     \
        SSE_LOAD(load, b);                                                                         \
        SSE_RUN(result = round_##id(a, b, (unsigned)insn->imm));                                   \
        XMM(insn->reg) = result;                                                                   \
        return NEXT(insn);                                                                         \
    }
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
