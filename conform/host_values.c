/* Corners: zeros, ones, sign edges, denormals, infinities, NaNs of both kinds, the ends of the
 * ranges that conversions have, ties of rounding, and encodings that the x87 does not support. */
#include "conform/host_values.h"

#include "base/bits.h"

/* clang-format off */
static const uint64_t integers[] = {
    0, 1, 2, 3, 7, 8, 15, 16, 31, 32, 33, 63, 64, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff,
    0x10000, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 0x5555555555555555,
    0xaaaaaaaaaaaaaaaa, 0x7fffffffffffffff, 0x8000000000000000, 0xffffffff00000000,
    0xffffffff80000000, 0xffffffffffff8000, 0xffffffffffffff80, 0xfffffffffffffffe, UINT64_MAX,
};

static const uint32_t singles[] = {
    0, 0x80000000, 0x3f800000, 0xbf800000, 0x40000000, 0x3f000000, 0x7f800000, 0xff800000,
    0x7fc00000, 0xffc00000, 0x7f800001, 0xff812345, 0x7fc12345, 0x00000001, 0x807fffff, 0x00800000,
    0x7f7fffff, 0xff7fffff, 0x4b000000, 0x4f000000, 0xcf000000, 0x5f000000, 0x3fc00000, 0x40200000,
    0x42c80000, 0x3eaaaaab, 0x34000000, 0x5f800000,
};

static const uint64_t doubles[] = {
    0, 0x8000000000000000, 0x3ff0000000000000, 0xbff0000000000000, 0x4000000000000000,
    0x3fe0000000000000, 0x7ff0000000000000, 0xfff0000000000000, 0x7ff8000000000000,
    0xfff8000000000000, 0x7ff0000000000001, 0xfff0000000012345, 0x7ff8000000012345,
    0x0000000000000001, 0x800fffffffffffff, 0x0010000000000000, 0x7fefffffffffffff,
    0x41e0000000000000, 0xc1e0000000000000, 0x43e0000000000000, 0xc3e0000000000000,
    0x3ff8000000000000, 0x4004000000000000, 0x4059000000000000, 0x3fd5555555555555,
    0x36a0000000000000, 0x3800000000000000, 0x47efffffe0000000, 0x47f0000000000000,
};

static const struct {
    uint16_t exponent;
    uint64_t mantissa;
} extendeds[] = {
    {0, 0}, {0x8000, 0}, {0x3fff, 0x8000000000000000}, {0xbfff, 0x8000000000000000},
    {0x4000, 0x8000000000000000}, {0x3ffe, 0x8000000000000000}, {0x7fff, 0x8000000000000000},
    {0xffff, 0x8000000000000000}, {0x7fff, 0xc000000000000000}, {0xffff, 0xc000000000000000},
    {0x7fff, 0x8000000000000001}, {0x7fff, 0xc000000000012345}, {0, 1}, {0, 0x7fffffffffffffff},
    {0, 0x8000000000000000}, {1, 0x8000000000000000}, {0x7ffe, 0xffffffffffffffff},
    {0x403e, 0x8000000000000000}, {0xc03e, 0x8000000000000000}, {0x401e, 0x8000000000000000},
    {0x3fff, 0xc000000000000000}, {0x4000, 0xc90fdaa22168c235}, {0x3ffd, 0xaaaaaaaaaaaaaaab},
    {0x4005, 0xc800000000000000}, {0x3f80, 0x8000000000000000}, {0x3c00, 0x8000000000000000},
    {0x7fff, 0}, {0x4000, 0x4000000000000000}, {0x3fc0, 0xfedcba9876543210},
    {0x400d, 0xfffe000000000000}, {0x403a, 0x8ac7230489e7ffff},
};
/* clang-format on */

/* A bijection that mixes all bits: splitmix64's finaliser. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

struct dice dice_make(uint64_t seed, uint64_t number)
{
    uint64_t state = mix(mix(seed) + (number + 1) * UINT64_C(0x9e3779b97f4a7c15));
    return (struct dice){state ? state : 1};
}

uint64_t dice_next(struct dice *dice)
{
    uint64_t x = dice->state;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    dice->state = x;
    return x * UINT64_C(0x2545f4914f6cdd1d);
}

uint64_t value_integer(struct dice *dice)
{
    if (dice_chance(dice, 40))
        return dice_next(dice);
    return integers[dice_pick(dice, ARRAY_LENGTH(integers))];
}

static uint32_t value_single(struct dice *dice)
{
    if (dice_chance(dice, 30))
        return (uint32_t)dice_next(dice);
    return singles[dice_pick(dice, ARRAY_LENGTH(singles))];
}

static uint64_t value_double(struct dice *dice)
{
    if (dice_chance(dice, 30))
        return dice_next(dice);
    return doubles[dice_pick(dice, ARRAY_LENGTH(doubles))];
}

void value_extended(struct dice *dice, uint64_t *mantissa, uint16_t *exponent)
{
    unsigned n = dice_pick(dice, ARRAY_LENGTH(extendeds)), kind = dice_pick(dice, 100);

    *exponent = extendeds[n].exponent;
    *mantissa = extendeds[n].mantissa;
    if (kind < 30) { /* numbers that can be added up */
        *exponent = (uint16_t)(0x3fe0 + dice_pick(dice, 80)) | (dice_next(dice) & 0x8000);
        *mantissa = dice_next(dice) | BIT(63);
    } else if (kind < 35) {
        *exponent = (uint16_t)dice_next(dice);
        *mantissa = dice_next(dice);
    }
}

void value_vector(struct dice *dice, uint8_t to[16])
{
    unsigned kind = dice_pick(dice, 6);

    for (unsigned i = 0; i < 16; i += 8) {
        if (kind < 2) {
            store_le32(to + i, value_single(dice));
            store_le32(to + i + 4, value_single(dice));
        } else {
            store_le64(to + i, kind < 4 ? value_double(dice) : value_integer(dice));
        }
    }
    if (kind == 5) {
        uint64_t mantissa;
        uint16_t exponent;
        value_extended(dice, &mantissa, &exponent);
        store_le64(to, mantissa);
        store_le16(to + 8, exponent);
    }
}
