/* MMX instructions, with the additions of SSE, SSE2 and SSSE3: SDM 1 ch. 9, SDM 2A and 2B.
 *
 * WHY: they run as their XMM counterparts on the low quadword, since using the host's MMX registers
 * would cost an EMMS each and disturb its x87.  Where a 64-bit operation is not the low half of the
 * 128-bit one (packs, horizontal sums, high unpacks), both operands are put into one register
 * first.
 */
#include "cpu/lanes.h"

static always_inline uint64_t low_half(__m128i value)
{
    return (uint64_t)_mm_cvtsi128_si64(value);
}

/* destination = f(destination, source), `f` a function or macro of two __m128i */
#define MMX_FORMS(id, f, load)                                                                     \
    EXEC(id##_r)                                                                                   \
    {                                                                                              \
        MMX_BEGIN();                                                                               \
        mmx_write(cpu, insn->reg, low_half(f(MMX_VECTOR(insn->reg), MMX_VECTOR(insn->rm))));       \
        return NEXT(insn);                                                                         \
    }                                                                                              \
    EXEC_MEMORY(id##_m)                                                                            \
    {                                                                                              \
        __m128i source;                                                                            \
        MMX_BEGIN();                                                                               \
        SSE_LOAD(load, source);                                                                    \
        mmx_write(cpu, insn->reg, low_half(f(MMX_VECTOR(insn->reg), source)));                     \
        return NEXT(insn);                                                                         \
    }

/* --- element by element: the low half of the XMM instruction */
#define LANES(id, name, load)                                                                      \
    static always_inline __m128i lanes_##id(__m128i a, __m128i b)                                  \
    {                                                                                              \
        __asm__(name " %1, %0" : "+x"(a) : "x"(b));                                                \
        return a;                                                                                  \
    }                                                                                              \
    MMX_FORMS(id, lanes_##id, load)
LANES(PUNPCKLBW_PqQd, "punpcklbw", d)
LANES(PUNPCKLWD_PqQd, "punpcklwd", d)
LANES(PUNPCKLDQ_PqQd, "punpckldq", d)

/* --- shifts: counts above the element's width give zeros or signs by themselves */
#define SHIFT(NAME, name)                                                                          \
    LANES(NAME##_PqQq, name, q)                                                                    \
    EXEC(NAME##_NqIb)                                                                              \
    {                                                                                              \
        MMX_BEGIN();                                                                               \
        mmx_write(cpu, insn->rm,                                                                   \
                  low_half(lanes_##NAME##_PqQq(MMX_VECTOR(insn->rm),                               \
                                               _mm_cvtsi32_si128((int32_t)insn->imm))));           \
        return NEXT(insn);                                                                         \
    }
#define EACH(NAME, name)       LANES(NAME##_PqQq, name, q)
#define EACH_UNARY(NAME, name) EACH(NAME, name)
#include "cpu/vector_integer.def"

/* --- both operands side by side: the low half of op(pair, pair) */
#define PAIRED(NAME, name)                                                                         \
    static always_inline __m128i paired_##NAME(__m128i a, __m128i b)                               \
    {                                                                                              \
        __m128i pair = _mm_unpacklo_epi64(a, b);                                                   \
        __asm__(name " %0, %0" : "+x"(pair));                                                      \
        return pair;                                                                               \
    }                                                                                              \
    MMX_FORMS(NAME##_PqQq, paired_##NAME, q)
PAIRED(PACKSSWB, "packsswb")
PAIRED(PACKSSDW, "packssdw")
PAIRED(PACKUSWB, "packuswb")
PAIRED(PHADDW, "phaddw")
PAIRED(PHADDD, "phaddd")
PAIRED(PHADDSW, "phaddsw")
PAIRED(PHSUBW, "phsubw")
PAIRED(PHSUBD, "phsubd")
PAIRED(PHSUBSW, "phsubsw")

/* --- the high halves interleaved: a low unpack of what was shifted down */
#define UNPACK_HIGH(NAME, low)                                                                     \
    static always_inline __m128i high_##NAME(__m128i a, __m128i b)                                 \
    {                                                                                              \
        return low(_mm_srli_epi64(a, 32), _mm_srli_epi64(b, 32));                                  \
    }                                                                                              \
    MMX_FORMS(NAME##_PqQq, high_##NAME, q)
UNPACK_HIGH(PUNPCKHBW, _mm_unpacklo_epi8)
UNPACK_HIGH(PUNPCKHWD, _mm_unpacklo_epi16)
UNPACK_HIGH(PUNPCKHDQ, _mm_unpacklo_epi32)

/* Bytes are chosen by three bits of the index, not four. */
static always_inline __m128i shuffle_bytes(__m128i bytes, __m128i indexes)
{
    indexes = _mm_and_si128(indexes, _mm_set1_epi8((char)0x87));
    __asm__("pshufb %1, %0" : "+x"(bytes) : "x"(indexes));
    return bytes;
}
MMX_FORMS(PSHUFB_PqQq, shuffle_bytes, q)

/* --- with an immediate: destination = f(destination, source, immediate) on plain integers */
#define IMMEDIATE(id, f)                                                                           \
    EXEC(id##_r)                                                                                   \
    {                                                                                              \
        MMX_BEGIN();                                                                               \
        mmx_write(cpu, insn->reg, f(MMX(insn->reg), MMX(insn->rm), (unsigned)insn->imm));          \
        return NEXT(insn);                                                                         \
    }                                                                                              \
    EXEC_MEMORY(id##_m)                                                                            \
    {                                                                                              \
        uint64_t source;                                                                           \
        MMX_BEGIN();                                                                               \
        OPERAND_LOAD(64, source);                                                                  \
        mmx_write(cpu, insn->reg, f(MMX(insn->reg), source, (unsigned)insn->imm));                 \
        return NEXT(insn);                                                                         \
    }

static always_inline uint64_t shuffle_quadword(uint64_t unused, uint64_t source, unsigned control)
{
    return shuffle_words(source, control);
}
IMMEDIATE(PSHUFW_PqQq, shuffle_quadword)

static always_inline uint64_t align_quadwords(uint64_t high, uint64_t low, unsigned bytes)
{
    unsigned __int128 both = (unsigned __int128)high << 64 | low;
    return bytes < 16 ? (uint64_t)(both >> 8 * bytes) : 0;
}
IMMEDIATE(PALIGNR_PqQq, align_quadwords)

static always_inline uint64_t insert_word(uint64_t words, uint16_t word, unsigned n)
{
    unsigned shift = 16 * (n & 3);
    return (words & ~(UINT64_C(0xffff) << shift)) | (uint64_t)word << shift;
}

EXEC(PINSRW_PqEw_r)
{
    MMX_BEGIN();
    mmx_write(cpu, insn->reg, insert_word(MMX(insn->reg), REG16(insn->rm), (unsigned)insn->imm));
    return NEXT(insn);
}

EXEC_MEMORY(PINSRW_PqEw_m)
{
    uint16_t word;
    MMX_BEGIN();
    OPERAND_LOAD(16, word);
    mmx_write(cpu, insn->reg, insert_word(MMX(insn->reg), word, (unsigned)insn->imm));
    return NEXT(insn);
}

EXEC(PEXTRW_GdNq)
{
    MMX_BEGIN();
    REG32_SET(insn->reg, (uint16_t)(MMX(insn->rm) >> 16 * (insn->imm & 3)));
    mmx_end(cpu);
    return NEXT(insn);
}

EXEC(PMOVMSKB_GdNq)
{
    MMX_BEGIN();
    REG32_SET(insn->reg, (uint32_t)_mm_movemask_epi8(MMX_VECTOR(insn->rm)));
    mmx_end(cpu);
    return NEXT(insn);
}

/* --- moves */
EXEC(MOVD_PqEy_r32)
{
    MMX_BEGIN();
    mmx_write(cpu, insn->reg, REG32(insn->rm));
    return NEXT(insn);
}

EXEC(MOVD_PqEy_r64)
{
    MMX_BEGIN();
    mmx_write(cpu, insn->reg, REG64(insn->rm));
    return NEXT(insn);
}

EXEC(MOVD_EyPq_r32)
{
    MMX_BEGIN();
    REG32_SET(insn->rm, MMX(insn->reg));
    mmx_end(cpu);
    return NEXT(insn);
}

EXEC(MOVD_EyPq_r64)
{
    MMX_BEGIN();
    REG64_SET(insn->rm, MMX(insn->reg));
    mmx_end(cpu);
    return NEXT(insn);
}

#define LOAD(id, bits)                                                                             \
    EXEC_MEMORY(id)                                                                                \
    {                                                                                              \
        uint##bits##_t value;                                                                      \
        MMX_BEGIN();                                                                               \
        OPERAND_LOAD(bits, value);                                                                 \
        mmx_write(cpu, insn->reg, value);                                                          \
        return NEXT(insn);                                                                         \
    }
#define STORE(id, bits)                                                                            \
    EXEC_MEMORY(id)                                                                                \
    {                                                                                              \
        MMX_BEGIN();                                                                               \
        OPERAND_STORE(bits, MMX(insn->reg));                                                       \
        mmx_end(cpu);                                                                              \
        return NEXT(insn);                                                                         \
    }
LOAD(MOVD_PqEy_m32, 32)
LOAD(MOVD_PqEy_m64, 64)
LOAD(MOVQ_PqQq_m, 64)
STORE(MOVD_EyPq_m32, 32)
STORE(MOVD_EyPq_m64, 64)
STORE(MOVQ_QqPq_m, 64)
STORE(MOVNTQ_MqPq, 64)

EXEC(MOVQ_PqQq_r)
{
    MMX_BEGIN();
    mmx_write(cpu, insn->reg, MMX(insn->rm));
    return NEXT(insn);
}

EXEC(MOVQ_QqPq_r)
{
    MMX_BEGIN();
    mmx_write(cpu, insn->rm, MMX(insn->reg));
    return NEXT(insn);
}

EXEC(MOVQ2DQ_VxNq)
{
    MMX_BEGIN();
    XMM(insn->reg) = MMX_VECTOR(insn->rm);
    mmx_end(cpu);
    return NEXT(insn);
}

EXEC(MOVDQ2Q_PqUq)
{
    MMX_BEGIN();
    mmx_write(cpu, insn->reg, cpu->xmm[insn->rm].q[0]);
    return NEXT(insn);
}

EXEC(EMMS)
{
    MMX_BEGIN();
    mmx_end(cpu);
    cpu->x87.valid = 0;
    return NEXT(insn);
}

/* --- conversions: the other half of the XMM operand is kept out of the computation */
#define CONVERT_ASM(op, result, source) __asm__ volatile(op " %1, %0" : "=x"(result) : "x"(source))

/* to MMX; the source is the low quadword or all of the XMM operand */
#define TO_MMX(id, op, source_r, load)                                                             \
    EXEC_FP(id##_r)                                                                                \
    {                                                                                              \
        __m128i result, source = source_r(XMM(insn->rm));                                          \
        MMX_BEGIN();                                                                               \
        SSE_RUN(CONVERT_ASM(op, result, source));                                                  \
        mmx_write(cpu, insn->reg, low_half(result));                                               \
        return NEXT(insn);                                                                         \
    }                                                                                              \
    EXEC_FP(id##_m)                                                                                \
    {                                                                                              \
        __m128i result, source;                                                                    \
        MMX_BEGIN();                                                                               \
        SSE_LOAD(load, source);                                                                    \
        SSE_RUN(CONVERT_ASM(op, result, source));                                                  \
        mmx_write(cpu, insn->reg, low_half(result));                                               \
        return NEXT(insn);                                                                         \
    }
TO_MMX(CVTPS2PI_PqWq, "cvtps2dq", _mm_move_epi64, q)
TO_MMX(CVTTPS2PI_PqWq, "cvttps2dq", _mm_move_epi64, q)
TO_MMX(CVTPD2PI_PqWpd, "cvtpd2dq", , a)
TO_MMX(CVTTPD2PI_PqWpd, "cvttpd2dq", , a)

EXEC_FP(CVTPI2PS_VpsQq_r)
{
    __m128i result, source = MMX_VECTOR(insn->rm);
    MMX_BEGIN();
    SSE_RUN(CONVERT_ASM("cvtdq2ps", result, source));
    cpu->xmm[insn->reg].q[0] = low_half(result);
    mmx_end(cpu);
    return NEXT(insn);
}

/* QUIRK: with a memory operand this is no MMX instruction to processors, whatever SDM 2A says of
 * CVTPI2PS. */
EXEC_FP(CVTPI2PS_VpsQq_m)
{
    __m128i result, source;
    SSE_LOAD(q, source);
    SSE_RUN(CONVERT_ASM("cvtdq2ps", result, source));
    cpu->xmm[insn->reg].q[0] = low_half(result);
    return NEXT(insn);
}

EXEC(CVTPI2PD_VpdQq_r)
{
    __m128i result;
    MMX_BEGIN();
    CONVERT_ASM("cvtdq2pd", result, MMX_VECTOR(insn->rm));
    XMM(insn->reg) = result;
    mmx_end(cpu);
    return NEXT(insn);
}

EXEC_MEMORY(CVTPI2PD_VpdQq_m)
{
    __m128i result, source;
    SSE_LOAD(q, source);
    CONVERT_ASM("cvtdq2pd", result, source);
    XMM(insn->reg) = result;
    return NEXT(insn);
}
