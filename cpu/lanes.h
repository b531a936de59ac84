/* Operations on 128 bits whose immediate is no part of a host instruction, for SSE's forms and for
 * each lane of AVX's. */
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
#define CASE(n)                                                                                    \
    case n:                                                                                        \
        __asm__("pclmulqdq $" #n ", %1, %0" : "+x"(a) : "x"(b));                                   \
        break;
static always_inline __m128i multiply_carryless(__m128i a, __m128i b, unsigned control)
{
    switch (control & 0x11) {
        CASE(0x00)
        CASE(0x01)
        CASE(0x10)
        CASE(0x11)
    }
    return a;
}
#undef CASE

#endif
