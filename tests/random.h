/* Numbers that are the same in every run: xorshift64*.  A state of 0 gives nothing but 0. */
#ifndef TESTS_RANDOM_H
#define TESTS_RANDOM_H

#include <stdint.h>

struct random {
    uint64_t state;
};

static inline uint64_t random_next(struct random *random)
{
    random->state ^= random->state << 13;
    random->state ^= random->state >> 7;
    random->state ^= random->state << 17;
    return random->state * UINT64_C(0x2545f4914f6cdd1d);
}

/* Half of them near the edges, where flags change. */
static inline uint64_t random_edge(struct random *random)
{
    static const uint64_t edges[] = {
        0, 0x80, 0x100, 0x8000, 0x10000, 0x80000000, 0x100000000, UINT64_C(0x8000000000000000)};
    uint64_t value = random_next(random);
    return value & 1 ? value : edges[value >> 8 & 7] + (value >> 16 & 3) - 1;
}

#endif
