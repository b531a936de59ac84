/* SSE floating point: arithmetic, comparisons, conversions, shuffles: SDM 2A and 2B.
 *
 * Each handler runs the guest's own instruction; see sse_env.h for exceptions.
 */
#include "cpu/lanes.h"

#define ARITHMETIC(NAME, name)                                                                     \
    SSE_FP_BINARY(NAME##PS_VpsWps, name "ps", a)                                                   \
    SSE_FP_BINARY(NAME##PD_VpdWpd, name "pd", a)                                                   \
    SSE_FP_BINARY(NAME##SS_VssWss, name "ss", d)                                                   \
    SSE_FP_BINARY(NAME##SD_VsdWsd, name "sd", q)
ARITHMETIC(ADD, "add")
ARITHMETIC(SUB, "sub")
ARITHMETIC(MUL, "mul")
ARITHMETIC(DIV, "div")
ARITHMETIC(MIN, "min")
ARITHMETIC(MAX, "max")
ARITHMETIC(SQRT, "sqrt")

/* approximations raise nothing */
SSE_BINARY(RCPPS_VpsWps, "rcpps", a)
SSE_BINARY(RCPSS_VssWss, "rcpss", d)
SSE_BINARY(RSQRTPS_VpsWps, "rsqrtps", a)
SSE_BINARY(RSQRTSS_VssWss, "rsqrtss", d)

SSE_FP_BINARY(HADDPS_VpsWps, "haddps", a)
SSE_FP_BINARY(HADDPD_VpdWpd, "haddpd", a)
SSE_FP_BINARY(HSUBPS_VpsWps, "hsubps", a)
SSE_FP_BINARY(HSUBPD_VpdWpd, "hsubpd", a)
SSE_FP_BINARY(ADDSUBPS_VpsWps, "addsubps", a)
SSE_FP_BINARY(ADDSUBPD_VpdWpd, "addsubpd", a)

#define LOGIC(NAME, name)                                                                          \
    SSE_BINARY(NAME##PS_VpsWps, name "ps", a)                                                      \
    SSE_BINARY(NAME##PD_VpdWpd, name "pd", a)
LOGIC(AND, "and")
LOGIC(ANDN, "andn")
LOGIC(OR, "or")
LOGIC(XOR, "xor")
LOGIC(UNPCKL, "unpckl")
LOGIC(UNPCKH, "unpckh")

/* --- shuffles by an immediate: the low half from the destination, the high from the source */
SSE_IMMEDIATE(SHUFPS_VpsWpsIb, shuffle_ps, a)
SSE_IMMEDIATE(SHUFPD_VpdWpdIb, shuffle_pd, a)

/* --- comparisons into masks: the predicate is in the immediate's low three bits */
#define COMPARE(id, op, load)                                                                      \
    LANE_IMMEDIATE(compare_##id, op, LANE_UNARY, 8)                                                \
    SSE_FP_IMMEDIATE(id, compare_##id, load)
COMPARE(CMPPS_VpsWpsIb, "cmpps", a)
COMPARE(CMPPD_VpdWpdIb, "cmppd", a)
COMPARE(CMPSS_VssWssIb, "cmpss", d)
COMPARE(CMPSD_VsdWsdIb, "cmpsd", q)

/* --- comparisons into EFLAGS: ZF, PF, CF; the others are cleared */
#define FLAGS_ASM(op, a, b)                                                                        \
    __asm__ volatile(op " %4, %3"                                                                  \
                     : "=@ccz"(zero), "=@ccp"(unordered), "=@ccc"(below)                           \
                     : "x"(a), "x"(b))
#define COMPARE_FLAGS(id, op, load)                                                                \
    EXEC_FP(id##_r)                                                                                \
    {                                                                                              \
        bool zero, unordered, below;                                                               \
        SSE_RUN(FLAGS_ASM(op, XMM(insn->reg), XMM(insn->rm)));                                     \
        flags_set_arithmetic(cpu,                                                                  \
                             (zero ? F_ZF : 0) | (unordered ? F_PF : 0) | (below ? F_CF : 0));     \
        return NEXT(insn);                                                                         \
    }                                                                                              \
    EXEC_FP(id##_m)                                                                                \
    {                                                                                              \
        bool zero, unordered, below;                                                               \
        __m128i source;                                                                            \
        SSE_LOAD(load, source);                                                                    \
        SSE_RUN(FLAGS_ASM(op, XMM(insn->reg), source));                                            \
        flags_set_arithmetic(cpu,                                                                  \
                             (zero ? F_ZF : 0) | (unordered ? F_PF : 0) | (below ? F_CF : 0));     \
        return NEXT(insn);                                                                         \
    }
COMPARE_FLAGS(UCOMISS_VssWss, "ucomiss", d)
COMPARE_FLAGS(UCOMISD_VsdWsd, "ucomisd", q)
COMPARE_FLAGS(COMISS_VssWss, "comiss", d)
COMPARE_FLAGS(COMISD_VsdWsd, "comisd", q)

/* --- conversions within XMM registers; scalar ones keep the destination's rest */
SSE_FP_BINARY(CVTPS2PD_VpdWq, "cvtps2pd", q)
SSE_FP_BINARY(CVTPD2PS_VpsWpd, "cvtpd2ps", a)
SSE_FP_BINARY(CVTSS2SD_VsdWss, "cvtss2sd", d)
SSE_FP_BINARY(CVTSD2SS_VssWsd, "cvtsd2ss", q)
SSE_FP_BINARY(CVTDQ2PS_VpsWx, "cvtdq2ps", a)
SSE_FP_BINARY(CVTPS2DQ_VxWps, "cvtps2dq", a)
SSE_FP_BINARY(CVTTPS2DQ_VxWps, "cvttps2dq", a)
SSE_FP_BINARY(CVTPD2DQ_VxWpd, "cvtpd2dq", a)
SSE_FP_BINARY(CVTTPD2DQ_VxWpd, "cvttpd2dq", a)
SSE_BINARY(CVTDQ2PD_VpdWq, "cvtdq2pd", q)

/* --- general registers to scalars */
#define FROM_INTEGER(id, op, bits)                                                                 \
    EXEC_FP(id##_r##bits)                                                                          \
    {                                                                                              \
        __m128i result;                                                                            \
        SSE_RUN(__asm__ volatile(op " %2, %0"                                                      \
                                 : "=x"(result)                                                    \
                                 : "0"(XMM(insn->reg)), "r"(REG##bits(insn->rm))));                \
        XMM(insn->reg) = result;                                                                   \
        return NEXT(insn);                                                                         \
    }                                                                                              \
    EXEC_FP(id##_m##bits)                                                                          \
    {                                                                                              \
        __m128i result;                                                                            \
        uint##bits##_t source;                                                                     \
        OPERAND_LOAD(bits, source);                                                                \
        SSE_RUN(__asm__ volatile(op " %2, %0" : "=x"(result) : "0"(XMM(insn->reg)), "r"(source))); \
        XMM(insn->reg) = result;                                                                   \
        return NEXT(insn);                                                                         \
    }
FROM_INTEGER(CVTSI2SS_VssEy, "cvtsi2ssl", 32)
FROM_INTEGER(CVTSI2SS_VssEy, "cvtsi2ssq", 64)
FROM_INTEGER(CVTSI2SD_VsdEy, "cvtsi2sdl", 32)
FROM_INTEGER(CVTSI2SD_VsdEy, "cvtsi2sdq", 64)

/* --- scalars to general registers */
#define TO_INTEGER(id, op, bits, load)                                                             \
    EXEC_FP(id##_r##bits)                                                                          \
    {                                                                                              \
        uint##bits##_t result;                                                                     \
        SSE_RUN(__asm__ volatile(op " %1, %0" : "=r"(result) : "x"(XMM(insn->rm))));               \
        REG##bits##_SET(insn->reg, result);                                                        \
        return NEXT(insn);                                                                         \
    }                                                                                              \
    EXEC_FP(id##_m##bits)                                                                          \
    {                                                                                              \
        uint##bits##_t result;                                                                     \
        __m128i source;                                                                            \
        SSE_LOAD(load, source);                                                                    \
        SSE_RUN(__asm__ volatile(op " %1, %0" : "=r"(result) : "x"(source)));                      \
        REG##bits##_SET(insn->reg, result);                                                        \
        return NEXT(insn);                                                                         \
    }
TO_INTEGER(CVTSS2SI_GyWss, "cvtss2si", 32, d)
TO_INTEGER(CVTSS2SI_GyWss, "cvtss2si", 64, d)
TO_INTEGER(CVTSD2SI_GyWsd, "cvtsd2si", 32, q)
TO_INTEGER(CVTSD2SI_GyWsd, "cvtsd2si", 64, q)
TO_INTEGER(CVTTSS2SI_GyWss, "cvttss2si", 32, d)
TO_INTEGER(CVTTSS2SI_GyWss, "cvttss2si", 64, d)
TO_INTEGER(CVTTSD2SI_GyWsd, "cvttsd2si", 32, q)
TO_INTEGER(CVTTSD2SI_GyWsd, "cvttsd2si", 64, q)
