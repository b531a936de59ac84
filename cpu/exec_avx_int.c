/* AVX and AVX2 integer instructions, and AES behind a VEX prefix: SDM 2A, 2B under the names
 * without V, 2C. */
#include "cpu/avx.h"

#define LANES(id, op, shape)                                                                       \
    LANE_SSE(lane_##id, op)                                                                        \
    EXEC_LANES(id, lane_##id, shape)
#define INTEGER(NAME, name) LANES(V##NAME##_VHW, name, SHAPE_WHOLE)
INTEGER(PUNPCKLBW, "punpcklbw")
INTEGER(PUNPCKLWD, "punpcklwd")
INTEGER(PUNPCKLDQ, "punpckldq")
INTEGER(PACKSSWB, "packsswb")
INTEGER(PCMPGTB, "pcmpgtb")
INTEGER(PCMPGTW, "pcmpgtw")
INTEGER(PCMPGTD, "pcmpgtd")
INTEGER(PACKUSWB, "packuswb")
INTEGER(PUNPCKHBW, "punpckhbw")
INTEGER(PUNPCKHWD, "punpckhwd")
INTEGER(PUNPCKHDQ, "punpckhdq")
INTEGER(PACKSSDW, "packssdw")
INTEGER(PUNPCKLQDQ, "punpcklqdq")
INTEGER(PUNPCKHQDQ, "punpckhqdq")
INTEGER(PCMPEQB, "pcmpeqb")
INTEGER(PCMPEQW, "pcmpeqw")
INTEGER(PCMPEQD, "pcmpeqd")
INTEGER(PADDQ, "paddq")
INTEGER(PMULLW, "pmullw")
INTEGER(PSUBUSB, "psubusb")
INTEGER(PSUBUSW, "psubusw")
INTEGER(PMINUB, "pminub")
INTEGER(PAND, "pand")
INTEGER(PADDUSB, "paddusb")
INTEGER(PADDUSW, "paddusw")
INTEGER(PMAXUB, "pmaxub")
INTEGER(PANDN, "pandn")
INTEGER(PAVGB, "pavgb")
INTEGER(PAVGW, "pavgw")
INTEGER(PMULHUW, "pmulhuw")
INTEGER(PMULHW, "pmulhw")
INTEGER(PSUBSB, "psubsb")
INTEGER(PSUBSW, "psubsw")
INTEGER(PMINSW, "pminsw")
INTEGER(POR, "por")
INTEGER(PADDSB, "paddsb")
INTEGER(PADDSW, "paddsw")
INTEGER(PMAXSW, "pmaxsw")
INTEGER(PXOR, "pxor")
INTEGER(PMULUDQ, "pmuludq")
INTEGER(PMADDWD, "pmaddwd")
INTEGER(PSADBW, "psadbw")
INTEGER(PSUBB, "psubb")
INTEGER(PSUBW, "psubw")
INTEGER(PSUBD, "psubd")
INTEGER(PSUBQ, "psubq")
INTEGER(PADDB, "paddb")
INTEGER(PADDW, "paddw")
INTEGER(PADDD, "paddd")
INTEGER(PSHUFB, "pshufb")
INTEGER(PHADDW, "phaddw")
INTEGER(PHADDD, "phaddd")
INTEGER(PHADDSW, "phaddsw")
INTEGER(PMADDUBSW, "pmaddubsw")
INTEGER(PHSUBW, "phsubw")
INTEGER(PHSUBD, "phsubd")
INTEGER(PHSUBSW, "phsubsw")
INTEGER(PSIGNB, "psignb")
INTEGER(PSIGNW, "psignw")
INTEGER(PSIGND, "psignd")
INTEGER(PMULHRSW, "pmulhrsw")
INTEGER(PMULDQ, "pmuldq")
INTEGER(PCMPEQQ, "pcmpeqq")
INTEGER(PACKUSDW, "packusdw")
INTEGER(PCMPGTQ, "pcmpgtq")
INTEGER(PMINSB, "pminsb")
INTEGER(PMINSD, "pminsd")
INTEGER(PMINUW, "pminuw")
INTEGER(PMINUD, "pminud")
INTEGER(PMAXSB, "pmaxsb")
INTEGER(PMAXSD, "pmaxsd")
INTEGER(PMAXUW, "pmaxuw")
INTEGER(PMAXUD, "pmaxud")
INTEGER(PMULLD, "pmulld")
INTEGER(AESENC, "aesenc")
INTEGER(AESENCLAST, "aesenclast")
INTEGER(AESDEC, "aesdec")
INTEGER(AESDECLAST, "aesdeclast")
#define UNARY(NAME, name) LANES(V##NAME##_VW, name, SHAPE_WHOLE)
UNARY(PABSB, "pabsb")
UNARY(PABSW, "pabsw")
UNARY(PABSD, "pabsd")
UNARY(PHMINPOSUW, "phminposuw")
UNARY(AESIMC, "aesimc")

#define EXTEND(NAME, name, bytes) LANES(V##NAME##_VW, name, SHAPE(.part = bytes))
EXTEND(PMOVSXBW, "pmovsxbw", 8)
EXTEND(PMOVSXBD, "pmovsxbd", 4)
EXTEND(PMOVSXBQ, "pmovsxbq", 2)
EXTEND(PMOVSXWD, "pmovsxwd", 8)
EXTEND(PMOVSXWQ, "pmovsxwq", 4)
EXTEND(PMOVSXDQ, "pmovsxdq", 8)
EXTEND(PMOVZXBW, "pmovzxbw", 8)
EXTEND(PMOVZXBD, "pmovzxbd", 4)
EXTEND(PMOVZXBQ, "pmovzxbq", 2)
EXTEND(PMOVZXWD, "pmovzxwd", 8)
EXTEND(PMOVZXWQ, "pmovzxwq", 4)
EXTEND(PMOVZXDQ, "pmovzxdq", 8)

/* --- shifts: all elements by one count, or each by its own */
#define SHIFT(NAME, name)                                                                          \
    LANES(V##NAME##_VHW, name, SHAPE(.part = 16, .same_part = true))                               \
    EXEC_AVX(V##NAME##_HUIb)                                                                       \
    {                                                                                              \
        const __m128i count = _mm_cvtsi32_si128((int32_t)insn->vex.imm);                           \
        union vector result;                                                                       \
        for (unsigned i = 0; i < 2; i++)                                                           \
            avx_set_lane(&result, i,                                                               \
                         lane_V##NAME##_VHW(avx_lane(&cpu->xmm[insn->rm], i), count, 0));          \
        avx_write(cpu, insn->vex.vvvv, &result, avx_bytes(insn));                                  \
        return false;                                                                              \
    }
SHIFT(PSRLW, "psrlw")
SHIFT(PSRLD, "psrld")
SHIFT(PSRLQ, "psrlq")
SHIFT(PSRAW, "psraw")
SHIFT(PSRAD, "psrad")
SHIFT(PSLLW, "psllw")
SHIFT(PSLLD, "pslld")
SHIFT(PSLLQ, "psllq")

static never_inline void shift_bytes(struct cpu *cpu, const struct insn *insn, bool left)
{
    const unsigned bits = insn->vex.imm < 16 ? 8 * insn->vex.imm : 0;
    union vector result = {0};
    for (unsigned i = 0; i < 2 && insn->vex.imm < 16; i++) {
        const unsigned __int128 value = to_integer(avx_lane(&cpu->xmm[insn->rm], i));
        avx_set_lane(&result, i, from_integer(left ? value << bits : value >> bits));
    }
    avx_write(cpu, insn->vex.vvvv, &result, avx_bytes(insn));
}
EXEC(VPSRLDQ_HUIb)
{
    shift_bytes(cpu, insn, false);
    return NEXT(insn);
}
EXEC(VPSLLDQ_HUIb)
{
    shift_bytes(cpu, insn, true);
    return NEXT(insn);
}

#define SHIFT_EACH(NAME, name)                                                                     \
    LANE_AVX(lane_##NAME, name)                                                                    \
    EXEC_LANES(NAME##_VHW, lane_##NAME, SHAPE_WHOLE)
SHIFT_EACH(VPSRLVD, "vpsrlvd")
SHIFT_EACH(VPSRLVQ, "vpsrlvq")
SHIFT_EACH(VPSRAVD, "vpsravd")
SHIFT_EACH(VPSLLVD, "vpsllvd")
SHIFT_EACH(VPSLLVQ, "vpsllvq")

/* --- by an immediate, the same in each lane */
#define BY_IMMEDIATE(id, f)                                                                        \
    static __m128i lane_##id(__m128i a, __m128i b, unsigned immediate)                             \
    {                                                                                              \
        return f(a, b, immediate);                                                                 \
    }                                                                                              \
    EXEC_LANES(id, lane_##id, SHAPE_WHOLE)
BY_IMMEDIATE(VPSHUFD_VWIb, shuffle_d)
BY_IMMEDIATE(VPSHUFHW_VWIb, shuffle_high)
BY_IMMEDIATE(VPSHUFLW_VWIb, shuffle_low)
BY_IMMEDIATE(VPBLENDW_VHWIb, blend_w)
BY_IMMEDIATE(VPALIGNR_VHWIb, align_right)
BY_IMMEDIATE(VPCLMULQDQ_VHWIb, multiply_carryless)
BY_IMMEDIATE(VAESKEYGENASSIST_VWIb, key_assist)

/* … but three bits for each lane */
LANE_IMMEDIATE(sad_blocks, "vmpsadbw", "%1, %0, %0", 8)
EXEC_AVX(VMPSADBW_VHWIb)
{
    union vector b, result = {0};
    const union vector *a = &cpu->xmm[insn->vex.vvvv];
    CHECK(avx_load(cpu, insn, &b, avx_bytes(insn), false));
    for (unsigned i = 0; i < avx_bytes(insn) / 16; i++)
        avx_set_lane(&result, i,
                     sad_blocks(avx_lane(a, i), avx_lane(&b, i), insn->vex.imm >> 3 * i));
    avx_write(cpu, insn->reg, &result, avx_bytes(insn));
    return false;
}

/* --- blends by the sign bits of a register that the immediate names */
#define BLEND(id, op)                                                                              \
    EXEC_AVX(id)                                                                                   \
    {                                                                                              \
        union vector b, result = {0};                                                              \
        const union vector *a = &cpu->xmm[insn->vex.vvvv], *mask = &cpu->xmm[insn->vex.imm >> 4];  \
        CHECK(avx_load(cpu, insn, &b, avx_bytes(insn), false));                                    \
        for (unsigned i = 0; i < avx_bytes(insn) / 16; i++) {                                      \
            __m128i lane = avx_lane(a, i);                                                         \
            __asm__(op " %2, %1, %0, %0"                                                           \
                    : "+x"(lane)                                                                   \
                    : "x"(avx_lane(&b, i)), "x"(avx_lane(mask, i)));                               \
            avx_set_lane(&result, i, lane);                                                        \
        }                                                                                          \
        avx_write(cpu, insn->reg, &result, avx_bytes(insn));                                       \
        return false;                                                                              \
    }
BLEND(VBLENDVPS_VHWL, "vblendvps")
BLEND(VBLENDVPD_VHWL, "vblendvpd")
BLEND(VPBLENDVB_VHWL, "vpblendvb")

/* --- tests of all lanes together; sign bits only, for floating point */
static void test_vectors(struct cpu *cpu, const union vector *a, const union vector *b,
                         uint64_t mask, unsigned bytes)
{
    uint64_t both = 0, only_b = 0;
    for (unsigned i = 0; i < bytes / 8; i++) {
        both |= a->q[i] & b->q[i] & mask;
        only_b |= ~a->q[i] & b->q[i] & mask;
    }
    flags_set_arithmetic(cpu, (both ? 0 : F_ZF) | (only_b ? 0 : F_CF));
}
#define VECTOR_TEST(id, mask)                                                                      \
    EXEC_AVX(id)                                                                                   \
    {                                                                                              \
        union vector b;                                                                            \
        CHECK(avx_load(cpu, insn, &b, avx_bytes(insn), false));                                    \
        test_vectors(cpu, &cpu->xmm[insn->reg], &b, mask, avx_bytes(insn));                        \
        return false;                                                                              \
    }
VECTOR_TEST(VPTEST_VW, UINT64_MAX)
VECTOR_TEST(VTESTPS_VW, UINT64_C(0x8000000080000000))
VECTOR_TEST(VTESTPD_VW, UINT64_C(0x8000000000000000))
