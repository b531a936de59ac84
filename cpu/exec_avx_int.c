/* AVX and AVX2 integer instructions, and AES behind a VEX prefix: SDM 2A, 2B under the names
 * without V, 2C. */
#include "cpu/avx.h"

#define LANES(id, op, shape)                                                                       \
    LANE_SSE(lane_##id, op)                                                                        \
    EXEC_LANES(id, lane_##id, shape)
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
#define WHOLE(NAME, name)               LANES(V##NAME##_VHW, name, SHAPE_WHOLE)
#define WHOLE_UNARY(NAME, name)         LANES(V##NAME##_VW, name, SHAPE_WHOLE)
#define EACH(NAME, name)                WHOLE(NAME, name)
#define EACH_UNARY(NAME, name)          WHOLE_UNARY(NAME, name)
#define EXTEND(NAME, name, size, bytes) LANES(V##NAME##_VW, name, SHAPE(.part = bytes))
#include "cpu/vector_integer.def"
LANES(VAESENC_VHW, "aesenc", SHAPE_WHOLE)
LANES(VAESENCLAST_VHW, "aesenclast", SHAPE_WHOLE)
LANES(VAESDEC_VHW, "aesdec", SHAPE_WHOLE)
LANES(VAESDECLAST_VHW, "aesdeclast", SHAPE_WHOLE)
LANES(VAESIMC_VW, "aesimc", SHAPE_WHOLE)

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

/* --- by an immediate */
EXEC_LANES(VPSHUFD_VWIb, shuffle_d, SHAPE_WHOLE)
EXEC_LANES(VPSHUFHW_VWIb, shuffle_high, SHAPE_WHOLE)
EXEC_LANES(VPSHUFLW_VWIb, shuffle_low, SHAPE_WHOLE)
EXEC_LANES(VPBLENDW_VHWIb, blend_w, SHAPE_WHOLE)
EXEC_LANES(VPALIGNR_VHWIb, align_right, SHAPE_WHOLE)
EXEC_LANES(VPCLMULQDQ_VHWIb, multiply_carryless, SHAPE_WHOLE)
EXEC_LANES(VAESKEYGENASSIST_VWIb, key_assist, SHAPE_WHOLE)
LANE_IMMEDIATE(sad_blocks, "vmpsadbw", LANE_TWO, 8)
EXEC_LANES(VMPSADBW_VHWIb, sad_blocks, SHAPE(.part = 16, .bits = 3))

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
