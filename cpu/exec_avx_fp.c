/* AVX floating point: arithmetic, logic, shuffles, comparisons, conversions; F16C: SDM 2A to 2D
 * under the names without V. */
#include "cpu/avx.h"

#define ARITHMETIC(NAME, name)                                                                     \
    FLOAT(NAME##PS_VHW, name "ps", SHAPE_FLOAT)                                                    \
    FLOAT(NAME##PD_VHW, name "pd", SHAPE_FLOAT)                                                    \
    FLOAT(NAME##SS_VHW, name "ss", SHAPE_SINGLE)                                                   \
    FLOAT(NAME##SD_VHW, name "sd", SHAPE_DOUBLE)
#define FLOAT(id, op, shape)                                                                       \
    LANE_SSE(lane_##id, op)                                                                        \
    EXEC_LANES(id, lane_##id, shape)
ARITHMETIC(VADD, "add")
ARITHMETIC(VSUB, "sub")
ARITHMETIC(VMUL, "mul")
ARITHMETIC(VDIV, "div")
ARITHMETIC(VMIN, "min")
ARITHMETIC(VMAX, "max")
FLOAT(VSQRTPS_VW, "sqrtps", SHAPE_FLOAT)
FLOAT(VSQRTPD_VW, "sqrtpd", SHAPE_FLOAT)
FLOAT(VSQRTSS_VHW, "sqrtss", SHAPE_SINGLE)
FLOAT(VSQRTSD_VHW, "sqrtsd", SHAPE_DOUBLE)
FLOAT(VHADDPS_VHW, "haddps", SHAPE_FLOAT)
FLOAT(VHADDPD_VHW, "haddpd", SHAPE_FLOAT)
FLOAT(VHSUBPS_VHW, "hsubps", SHAPE_FLOAT)
FLOAT(VHSUBPD_VHW, "hsubpd", SHAPE_FLOAT)
FLOAT(VADDSUBPS_VHW, "addsubps", SHAPE_FLOAT)
FLOAT(VADDSUBPD_VHW, "addsubpd", SHAPE_FLOAT)

/* approximations raise nothing */
FLOAT(VRCPPS_VW, "rcpps", SHAPE_WHOLE)
FLOAT(VRCPSS_VHW, "rcpss", SHAPE(.part = 4, .scalar = true))
FLOAT(VRSQRTPS_VW, "rsqrtps", SHAPE_WHOLE)
FLOAT(VRSQRTSS_VHW, "rsqrtss", SHAPE(.part = 4, .scalar = true))

#define LOGIC(NAME, name)                                                                          \
    FLOAT(NAME##PS_VHW, name "ps", SHAPE_WHOLE)                                                    \
    FLOAT(NAME##PD_VHW, name "pd", SHAPE_WHOLE)
LOGIC(VAND, "and")
LOGIC(VANDN, "andn")
LOGIC(VOR, "or")
LOGIC(VXOR, "xor")
LOGIC(VUNPCKL, "unpckl")
LOGIC(VUNPCKH, "unpckh")

/* --- immediates */
static __m128i permute_ps(__m128i unused, __m128i b, unsigned control)
{
    return shuffle_ps(b, b, control);
}
static __m128i permute_pd(__m128i unused, __m128i b, unsigned control)
{
    return shuffle_pd(b, b, control);
}
#define SHAPE_BITS(n) SHAPE(.part = 16, .bits = n)
EXEC_LANES(VSHUFPS_VHWIb, shuffle_ps, SHAPE_WHOLE)
EXEC_LANES(VPERMILPS_VWIb, permute_ps, SHAPE_WHOLE)
EXEC_LANES(VSHUFPD_VHWIb, shuffle_pd, SHAPE_BITS(2))
EXEC_LANES(VPERMILPD_VWIb, permute_pd, SHAPE_BITS(2))
EXEC_LANES(VBLENDPS_VHWIb, blend_ps, SHAPE_BITS(4))
EXEC_LANES(VBLENDPD_VHWIb, blend_pd, SHAPE_BITS(2))
EXEC_LANES(VPBLENDD_VHWIb, blend_ps, SHAPE_BITS(4))
EXEC_LANES(VDPPS_VHWIb, dot_ps, SHAPE_FLOAT)
EXEC_LANES(VDPPD_VHWIb, dot_pd, SHAPE_FLOAT)

#define BY_HOST_IMMEDIATE(id, op, operands, count, shape)                                          \
    LANE_IMMEDIATE(lane_##id, op, operands, count)                                                 \
    EXEC_LANES(id, lane_##id, shape)
BY_HOST_IMMEDIATE(VCMPPS_VHWIb, "vcmpps", LANE_TWO, 32, SHAPE_FLOAT)
BY_HOST_IMMEDIATE(VCMPPD_VHWIb, "vcmppd", LANE_TWO, 32, SHAPE_FLOAT)
BY_HOST_IMMEDIATE(VCMPSS_VHWIb, "vcmpss", LANE_TWO, 32, SHAPE_SINGLE)
BY_HOST_IMMEDIATE(VCMPSD_VHWIb, "vcmpsd", LANE_TWO, 32, SHAPE_DOUBLE)
BY_HOST_IMMEDIATE(VROUNDPS_VWIb, "vroundps", LANE_UNARY, 16, SHAPE_FLOAT)
BY_HOST_IMMEDIATE(VROUNDPD_VWIb, "vroundpd", LANE_UNARY, 16, SHAPE_FLOAT)
BY_HOST_IMMEDIATE(VROUNDSS_VHWIb, "vroundss", LANE_TWO, 16, SHAPE_SINGLE)
BY_HOST_IMMEDIATE(VROUNDSD_VHWIb, "vroundsd", LANE_TWO, 16, SHAPE_DOUBLE)

/* --- permutations by a vector */
LANE_AVX(permute_ps_by, "vpermilps")
LANE_AVX(permute_pd_by, "vpermilpd")
EXEC_LANES(VPERMILPS_VHW, permute_ps_by, SHAPE_WHOLE)
EXEC_LANES(VPERMILPD_VHW, permute_pd_by, SHAPE_WHOLE)

/* --- conversions */
#define SHAPE_WIDENS  SHAPE(.part = 8, .floating = true)
#define SHAPE_NARROWS SHAPE(.part = 16, .floating = true, .narrows = true)
FLOAT(VCVTPS2PD_VW, "cvtps2pd", SHAPE_WIDENS)
FLOAT(VCVTDQ2PD_VW, "cvtdq2pd", SHAPE(.part = 8))
FLOAT(VCVTPD2PS_VW, "cvtpd2ps", SHAPE_NARROWS)
FLOAT(VCVTPD2DQ_VW, "cvtpd2dq", SHAPE_NARROWS)
FLOAT(VCVTTPD2DQ_VW, "cvttpd2dq", SHAPE_NARROWS)
FLOAT(VCVTSS2SD_VHW, "cvtss2sd", SHAPE_SINGLE)
FLOAT(VCVTSD2SS_VHW, "cvtsd2ss", SHAPE_DOUBLE)
FLOAT(VCVTDQ2PS_VW, "cvtdq2ps", SHAPE_FLOAT)
FLOAT(VCVTPS2DQ_VW, "cvtps2dq", SHAPE_FLOAT)
FLOAT(VCVTTPS2DQ_VW, "cvttps2dq", SHAPE_FLOAT)
FLOAT(VCVTPH2PS_VW, "vcvtph2ps", SHAPE_WIDENS)

/* To halves, which may go to memory: V is the source, W the destination. */
LANE_IMMEDIATE(halves_of, "vcvtps2ph", LANE_UNARY, 8)
/* Has an unmasked underflow come of it?  SDM 1 §14.4.1: FTZ does not count here, so that no second
 * run (sse_check_again()) tells of a tiny result that is exact. */
static bool traps_tiny_half(const struct cpu *cpu, const union vector *result)
{
    if (cpu->mxcsr & MXCSR_UE << MXCSR_MASK_SHIFT)
        return false;
    for (unsigned i = 0; i < 8; i++)
        if (result->w[i] & 0x3ff && !(result->w[i] & 0x7c00))
            return true;
    return false;
}

static void convert_halves(struct cpu *cpu, const struct insn *insn, union vector *result)
{
    for (unsigned i = 0; i < avx_bytes(insn) / 16; i++) {
        const __m128i from = avx_lane(&cpu->xmm[insn->reg], i);
        result->q[i] = (uint64_t)_mm_cvtsi128_si64(halves_of(from, from, insn->vex.imm));
    }
    if (unlikely(traps_tiny_half(cpu, result)))
        _mm_setcsr(_mm_getcsr() | MXCSR_UE);
}
static never_inline bool store_halves(struct cpu *cpu, const struct insn *insn)
{
    const unsigned bytes = avx_bytes(insn) / 2;
    union vector result = {0};
    /* A fault in memory goes before one of floating point. */
    if (insn->memory && mem_check_write(cpu, insn->seg, insn_address(cpu, insn), bytes))
        return true;
    AVX_RUN(convert_halves(cpu, insn, &result));
    if (insn->memory)
        return avx_store(cpu, insn, &result, bytes, false);
    avx_write(cpu, insn->rm, &result, 16);
    return false;
}
EXEC_TRY(VCVTPS2PH_WVIb, store_halves(cpu, insn))

/* --- to and from general registers */
/* The operand E, of 32 or 64 bits. */
static bool load_general(struct cpu *cpu, const struct insn *insn, uint64_t *value)
{
    const unsigned bytes = insn->size == SIZE_64 ? 8 : 4;
    *value = 0;
    if (insn->memory)
        return mem_load_bytes(cpu, insn->seg, insn_address(cpu, insn), value, bytes);
    *value = bytes == 8 ? REG64(insn->rm) : REG32(insn->rm);
    return false;
}

#define FROM_INTEGER(id, op)                                                                       \
    EXEC_AVX(id)                                                                                   \
    {                                                                                              \
        uint64_t value;                                                                            \
        __m128i result;                                                                            \
        const __m128i a = avx_lane(&cpu->xmm[insn->vex.vvvv], 0);                                  \
        if (load_general(cpu, insn, &value))                                                       \
            return true;                                                                           \
        if (insn->size == SIZE_64)                                                                 \
            AVX_RUN(__asm__ volatile(op "q %2, %0" : "=x"(result) : "0"(a), "r"(value)));          \
        else                                                                                       \
            AVX_RUN(__asm__ volatile(op "l %k2, %0" : "=x"(result) : "0"(a), "r"(value)));         \
        union vector to;                                                                           \
        avx_set_lane(&to, 0, result);                                                              \
        avx_write(cpu, insn->reg, &to, 16);                                                        \
        return false;                                                                              \
    }
FROM_INTEGER(VCVTSI2SS_VHEy, "cvtsi2ss")
FROM_INTEGER(VCVTSI2SD_VHEy, "cvtsi2sd")

#define TO_INTEGER(id, op, bytes)                                                                  \
    EXEC_AVX(id)                                                                                   \
    {                                                                                              \
        uint64_t result = 0;                                                                       \
        union vector source;                                                                       \
        if (avx_load(cpu, insn, &source, bytes, false))                                            \
            return true;                                                                           \
        const __m128i b = avx_lane(&source, 0);                                                    \
        if (insn->size == SIZE_64)                                                                 \
            AVX_RUN(__asm__ volatile(op " %1, %0" : "=r"(result) : "x"(b)));                       \
        else                                                                                       \
            AVX_RUN(__asm__ volatile(op " %1, %k0" : "=r"(result) : "x"(b)));                      \
        REG64_SET(insn->reg, result);                                                              \
        return false;                                                                              \
    }
TO_INTEGER(VCVTSS2SI_GyW, "cvtss2si", 4)
TO_INTEGER(VCVTSD2SI_GyW, "cvtsd2si", 8)
TO_INTEGER(VCVTTSS2SI_GyW, "cvttss2si", 4)
TO_INTEGER(VCVTTSD2SI_GyW, "cvttsd2si", 8)

/* --- comparisons into EFLAGS */
#define COMPARE_FLAGS(id, op, bytes)                                                               \
    EXEC_AVX(id)                                                                                   \
    {                                                                                              \
        bool zero, unordered, below;                                                               \
        union vector source;                                                                       \
        const __m128i a = avx_lane(&cpu->xmm[insn->reg], 0);                                       \
        if (avx_load(cpu, insn, &source, bytes, false))                                            \
            return true;                                                                           \
        const __m128i b = avx_lane(&source, 0);                                                    \
        AVX_RUN(__asm__ volatile(op " %4, %3"                                                      \
                                 : "=@ccz"(zero), "=@ccp"(unordered), "=@ccc"(below)               \
                                 : "x"(a), "x"(b)));                                               \
        flags_set_arithmetic(cpu,                                                                  \
                             (zero ? F_ZF : 0) | (unordered ? F_PF : 0) | (below ? F_CF : 0));     \
        return false;                                                                              \
    }
COMPARE_FLAGS(VUCOMISS_VW, "ucomiss", 4)
COMPARE_FLAGS(VUCOMISD_VW, "ucomisd", 8)
COMPARE_FLAGS(VCOMISS_VW, "comiss", 4)
COMPARE_FLAGS(VCOMISD_VW, "comisd", 8)
