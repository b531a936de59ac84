/* Operations on 128 bits by an immediate, for SSE's forms and for each lane of AVX's. */
#ifndef CPU_LANES_H
#define CPU_LANES_H

#include "cpu/sse_env.h"

/* Shifts by bytes go over 128-bit integers. */
static always_inline unsigned __int128 to_integer(__m128i value)
{
    uint64_t low = (uint64_t)_mm_cvtsi128_si64(value);
    uint64_t high = (uint64_t)_mm_cvtsi128_si64(_mm_unpackhi_epi64(value, value));
    return (unsigned __int128)high << 64 | low;
}
static always_inline __m128i from_integer(unsigned __int128 value)
{
    return _mm_set_epi64x((int64_t)(value >> 64), (int64_t)value);
}

/* destination:source, shifted right by bytes */
static always_inline __m128i align_right(__m128i high, __m128i low, unsigned bytes)
{
    if (bytes == 0)
        return low;
    if (bytes < 16)
        return from_integer(to_integer(low) >> 8 * bytes | to_integer(high) << 8 * (16 - bytes));
    return from_integer(bytes < 32 ? to_integer(high) >> 8 * (bytes - 16) : 0);
}
/* --- shuffles by an immediate: the low half from the first, the high from the second */
static always_inline __m128i shuffle_ps(__m128i a, __m128i b, unsigned control)
{
    union vector from, with, to;
    _mm_store_si128((__m128i *)(void *)&from, a);
    _mm_store_si128((__m128i *)(void *)&with, b);
    to.d[0] = from.d[control & 3];
    to.d[1] = from.d[control >> 2 & 3];
    to.d[2] = with.d[control >> 4 & 3];
    to.d[3] = with.d[control >> 6 & 3];
    return _mm_load_si128((const __m128i *)(const void *)&to);
}

static always_inline __m128i shuffle_pd(__m128i a, __m128i b, unsigned control)
{
    __m128i low = control & 1 ? _mm_unpackhi_epi64(a, a) : a;
    __m128i high = control & 2 ? _mm_unpackhi_epi64(b, b) : b;
    return _mm_unpacklo_epi64(low, high);
}

static always_inline __m128i shuffle_d(__m128i unused, __m128i source, unsigned control)
{
    union vector from, to;
    _mm_store_si128((__m128i *)(void *)&from, source);
    for (unsigned i = 0; i < 4; i++)
        to.d[i] = from.d[control >> 2 * i & 3];
    return _mm_load_si128((const __m128i *)(const void *)&to);
}

/* four words of one quadword */
static always_inline uint64_t shuffle_words(uint64_t words, unsigned control)
{
    uint64_t to = 0;
    for (unsigned i = 0; i < 4; i++)
        to |= (words >> 16 * (control >> 2 * i & 3) & 0xffff) << 16 * i;
    return to;
}

static always_inline __m128i shuffle_low(__m128i unused, __m128i source, unsigned control)
{
    uint64_t low = shuffle_words((uint64_t)_mm_cvtsi128_si64(source), control);
    __m128i high = _mm_unpackhi_epi64(source, source);
    return _mm_unpacklo_epi64(_mm_cvtsi64_si128((int64_t)low), high);
}

static always_inline __m128i shuffle_high(__m128i unused, __m128i source, unsigned control)
{
    __m128i high = _mm_unpackhi_epi64(source, source);
    uint64_t words = shuffle_words((uint64_t)_mm_cvtsi128_si64(high), control);
    return _mm_unpacklo_epi64(source, _mm_cvtsi64_si128((int64_t)words));
}

/* --- blends by an immediate: masks of the parts whose bits are set */
static always_inline __m128i mask_of_dwords(unsigned bits)
{
    const __m128i each = _mm_set_epi32(8, 4, 2, 1);
    return _mm_cmpeq_epi32(_mm_and_si128(_mm_set1_epi32((int)bits), each), each);
}
static always_inline __m128i mask_of_words(unsigned bits)
{
    const __m128i each = _mm_set_epi16(128, 64, 32, 16, 8, 4, 2, 1);
    return _mm_cmpeq_epi16(_mm_and_si128(_mm_set1_epi16((short)bits), each), each);
}
static always_inline __m128i mask_of_qwords(unsigned bits)
{
    return mask_of_dwords((bits & 1 ? 3 : 0) | (bits & 2 ? 12 : 0));
}
static always_inline __m128i select_lanes(__m128i a, __m128i b, __m128i mask)
{
    return _mm_or_si128(_mm_andnot_si128(mask, a), _mm_and_si128(mask, b));
}
static always_inline __m128i blend_ps(__m128i a, __m128i b, unsigned control)
{
    return select_lanes(a, b, mask_of_dwords(control));
}
static always_inline __m128i blend_pd(__m128i a, __m128i b, unsigned control)
{
    return select_lanes(a, b, mask_of_qwords(control));
}
static always_inline __m128i blend_w(__m128i a, __m128i b, unsigned control)
{
    return select_lanes(a, b, mask_of_words(control));
}

/* --- PTEST: ZF of AND, CF of ANDN, the others cleared */
static always_inline uint32_t test_flags(__m128i a, __m128i b)
{
    bool zero, carry;
    __asm__("ptest %3, %2" : "=@ccz"(zero), "=@ccc"(carry) : "x"(a), "x"(b));
    return (zero ? F_ZF : 0) | (carry ? F_CF : 0);
}

/* --- AES and PCLMULQDQ */
/* The round constant is XORed into the second and fourth dwords. */
static always_inline __m128i key_assist(__m128i unused, __m128i source, unsigned constant)
{
    __m128i result;
    __asm__("aeskeygenassist $0, %1, %0" : "=x"(result) : "x"(source));
    return _mm_xor_si128(result, _mm_set_epi32((int)constant, 0, (int)constant, 0));
}

/* bits 0 and 4 choose the quadwords */
static always_inline __m128i multiply_carryless(__m128i a, __m128i b, unsigned control)
{
    a = control & 0x01 ? _mm_unpackhi_epi64(a, a) : a;
    b = control & 0x10 ? _mm_unpackhi_epi64(b, b) : b;
    __asm__("pclmulqdq $0, %1, %0" : "+x"(a) : "x"(b));
    return a;
}

/* --- dot products.  A product that the immediate leaves out is +0, as that of two zeros is; a sum
 * that it leaves out is cleared afterwards. */
#define LANE_DOT(name, op, mask_of)                                                                \
    static always_inline __m128i name(__m128i a, __m128i b, unsigned control)                      \
    {                                                                                              \
        const __m128i products = mask_of(control >> 4);                                            \
        a = _mm_and_si128(a, products);                                                            \
        b = _mm_and_si128(b, products);                                                            \
        __asm__ volatile(op ", %1, %0" : "+x"(a) : "x"(b));                                        \
        return _mm_and_si128(a, mask_of(control));                                                 \
    }
LANE_DOT(dot_ps, "dpps $0xff", mask_of_dwords)
LANE_DOT(dot_pd, "dppd $0x33", mask_of_qwords)

/* --- immediates that are part of the host's instruction: form(value, …) for each value from n on
 */
#define CASES_1(form, n, ...)                                                                      \
    case n:                                                                                        \
        form(n, ##__VA_ARGS__);                                                                    \
        break;
#define CASES_2(form, n, ...)  CASES_1(form, n, ##__VA_ARGS__) CASES_1(form, n + 1, ##__VA_ARGS__)
#define CASES_4(form, n, ...)  CASES_2(form, n, ##__VA_ARGS__) CASES_2(form, n + 2, ##__VA_ARGS__)
#define CASES_8(form, n, ...)  CASES_4(form, n, ##__VA_ARGS__) CASES_4(form, n + 4, ##__VA_ARGS__)
#define CASES_16(form, n, ...) CASES_8(form, n, ##__VA_ARGS__) CASES_8(form, n + 8, ##__VA_ARGS__)
#define CASES_32(form, n, ...)                                                                     \
    CASES_16(form, n, ##__VA_ARGS__) CASES_16(form, n + 16, ##__VA_ARGS__)
#define CASES_64(form, n, ...)                                                                     \
    CASES_32(form, n, ##__VA_ARGS__) CASES_32(form, n + 32, ##__VA_ARGS__)
#define CASES_128(form, n, ...)                                                                    \
    CASES_64(form, n, ##__VA_ARGS__) CASES_64(form, n + 64, ##__VA_ARGS__)

/* The function a = op(a, b, immediate), whose immediate has `count` values; `operands` as the
 * host's instruction has them. */
#define LANE_IMMEDIATE(name, op, operands, count)                                                  \
    static always_inline __m128i name(__m128i a, __m128i b, unsigned immediate)                    \
    {                                                                                              \
        switch (immediate & ((count)-1)) {                                                         \
            CASES_##count(LANE_ASM, 0, op, operands)                                               \
        }                                                                                          \
        return a;                                                                                  \
    }
#define LANE_ASM(n, op, operands) __asm__ volatile(op " %2, " operands : "+x"(a) : "x"(b), "i"(n))
#define LANE_TWO                  "%1, %0, %0"
#define LANE_UNARY                "%1, %0" /* of b, or of SSE's two operands */

#endif
