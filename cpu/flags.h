/* The arithmetic flags, kept lazily (struct lazy_flags), and the other bits of EFLAGS. */
#ifndef CPU_FLAGS_H
#define CPU_FLAGS_H

#include "cpu/cpu.h"

#define LAZY_CF           BIT(63)
#define LAZY_CARRY_IN     BIT(62) /* the carry into the top bit */
#define LAZY_AF           BIT(3)
#define LAZY_INVERT_SF    BIT(0)
#define LAZY_PARITY_SHIFT 8

static always_inline bool flag_cf(const struct cpu *cpu)
{
    return cpu->lazy.carries >> 63;
}
static always_inline bool flag_zf(const struct cpu *cpu)
{
    return cpu->lazy.result == 0;
}
static always_inline bool flag_sf(const struct cpu *cpu)
{
    return cpu->lazy.result >> 63 ^ (cpu->lazy.carries & LAZY_INVERT_SF);
}
static always_inline bool flag_of(const struct cpu *cpu)
{
    return (cpu->lazy.carries ^ cpu->lazy.carries << 1) >> 63;
}
static always_inline bool flag_af(const struct cpu *cpu)
{
    return cpu->lazy.carries >> 3 & 1;
}
static always_inline bool flag_pf(const struct cpu *cpu)
{
    return !__builtin_parity((cpu->lazy.result ^ cpu->lazy.carries >> LAZY_PARITY_SHIFT) & 0xff);
}

/* The six arithmetic flags at their places in EFLAGS. */
static inline uint32_t flags_arithmetic(const struct cpu *cpu)
{
    return (flag_cf(cpu) ? F_CF : 0) | (flag_pf(cpu) ? F_PF : 0) | (flag_af(cpu) ? F_AF : 0) |
           (flag_zf(cpu) ? F_ZF : 0) | (flag_sf(cpu) ? F_SF : 0) | (flag_of(cpu) ? F_OF : 0);
}

/* Sets the six arithmetic flags from their places in `flags`. */
static inline void flags_set_arithmetic(struct cpu *cpu, uint32_t flags)
{
    /* result is 0 or 1: its parity is even or odd, its sign plus; the rest is corrections. */
    uint64_t result = flags & F_ZF ? 0 : 1;
    bool odd = result;
    uint64_t carries = (flags & F_CF ? LAZY_CF : 0) | (flags & F_AF ? LAZY_AF : 0) |
                       (flags & F_SF ? LAZY_INVERT_SF : 0);
    if (!(flags & F_CF) != !(flags & F_OF))
        carries |= LAZY_CARRY_IN;
    if (odd == !!(flags & F_PF))
        carries |= UINT64_C(1) << LAZY_PARITY_SHIFT;
    cpu->lazy.result = result;
    cpu->lazy.carries = carries;
}

/* Changes only the arithmetic flags in `mask`. */
static inline void flags_update_arithmetic(struct cpu *cpu, uint32_t flags, uint32_t mask)
{
    flags_set_arithmetic(cpu, (flags_arithmetic(cpu) & ~mask) | (flags & mask));
}

/* `carries` has the carry out of bit n at bit n, for an operand of `bits` bits. */
static always_inline void flags_from_carries(struct cpu *cpu, uint64_t result, uint64_t carries,
                                             unsigned bits)
{
    cpu->lazy.result = (uint64_t)bits_sign_extend(result, bits);
    cpu->lazy.carries = (carries << (64 - bits) & (LAZY_CF | LAZY_CARRY_IN)) | (carries & LAZY_AF);
}
/* result = a + b (+ carry) */
static always_inline void flags_add(struct cpu *cpu, uint64_t a, uint64_t b, uint64_t result,
                                    unsigned bits)
{
    flags_from_carries(cpu, result, (a & b) | ((a | b) & ~result), bits);
}
/* result = a - b (- borrow) */
static always_inline void flags_subtract(struct cpu *cpu, uint64_t a, uint64_t b, uint64_t result,
                                         unsigned bits)
{
    flags_from_carries(cpu, result, (~a & b) | ((~a | b) & result), bits);
}
/* As these two, for operands of less than 64 bits, whose sum or difference `wide` is not cut: the
 * difference to a ^ b is what was carried into each bit. */
static always_inline void flags_wide(struct cpu *cpu, uint64_t a, uint64_t b, uint64_t wide,
                                     unsigned bits)
{
    uint64_t into = a ^ b ^ wide;
    cpu->lazy.result = (uint64_t)bits_sign_extend(wide, bits);
    cpu->lazy.carries = into >> (bits - 1) << 62 | (into >> 1 & LAZY_AF);
}
/* AND OR XOR TEST: CF and OF are 0, AF (undefined) is 0 */
static always_inline void flags_logic(struct cpu *cpu, uint64_t result, unsigned bits)
{
    cpu->lazy.result = (uint64_t)bits_sign_extend(result, bits);
    cpu->lazy.carries = 0;
}

/* Condition codes 0..15 (O NO B NB Z NZ BE NBE S NS P NP L NL LE NLE): SDM 1 app. B. */
static always_inline bool flags_condition(const struct cpu *cpu, unsigned condition)
{
    bool holds;
    /* clang-format off */
    switch (condition >> 1) {
    case 0: holds = flag_of(cpu); break;
    case 1: holds = flag_cf(cpu); break;
    case 2: holds = flag_zf(cpu); break;
    case 3: holds = flag_cf(cpu) || flag_zf(cpu); break;
    case 4: holds = flag_sf(cpu); break;
    case 5: holds = flag_pf(cpu); break;
    case 6: holds = flag_sf(cpu) != flag_of(cpu); break;
    default: holds = flag_zf(cpu) || flag_sf(cpu) != flag_of(cpu); break;
    }
    /* clang-format on */
    return holds != (condition & 1);
}

/* The whole register; RF and VM as they are. */
static inline uint32_t cpu_eflags(const struct cpu *cpu)
{
    return (cpu->eflags & ~(uint32_t)F_ARITH) | flags_arithmetic(cpu) | 2;
}

/* Sets the bits of `mask`; what follows from IF (a pending interrupt), TF, VM and AC is noticed. */
void cpu_set_eflags(struct cpu *cpu, uint32_t value, uint32_t mask);

#endif
