/* Values at which instructions change their ways, chosen by dice that are the same in every run. */
#ifndef CONFORM_HOST_VALUES_H
#define CONFORM_HOST_VALUES_H

#include <stdbool.h>
#include <stdint.h>

struct dice {
    uint64_t state;
};

/* Dice of their own for each number under a seed. */
struct dice dice_make(uint64_t seed, uint64_t number);
uint64_t dice_next(struct dice *dice);

/* 0 to count - 1. */
static inline unsigned dice_pick(struct dice *dice, unsigned count)
{
    return (unsigned)((dice_next(dice) >> 32) % count);
}
static inline bool dice_chance(struct dice *dice, unsigned percent)
{
    return dice_pick(dice, 100) < percent;
}

uint64_t value_integer(struct dice *dice);
/* Mantissa, exponent with the sign. */
void value_extended(struct dice *dice, uint64_t *mantissa, uint16_t *exponent);
/* 16 bytes: singles, doubles, integers, or an extended number. */
void value_vector(struct dice *dice, uint8_t to[16]);

#endif
