/* x87 sign changes, roots, remainders, scaling and the transcendental functions: SDM 1 §8.3.5,
 * §8.3.7 to §8.3.11. */
#include "cpu/exec_x87.h"

/* Takes part before each instruction of this file. */
#define BEGIN()                                                                                    \
    X87_CHECK();                                                                                   \
    x87_note_code(cpu, insn)

#define SIGN(id, change)                                                                           \
    EXEC(id)                                                                                       \
    {                                                                                              \
        BEGIN();                                                                                   \
        if (unlikely(x87_is_empty(cpu, 0)))                                                        \
            return x87_empty_operand(cpu, insn, 0, 0);                                             \
        x87_st(cpu, 0)->exponent change;                                                           \
        x87_clear_c1(cpu);                                                                         \
        return NEXT(insn);                                                                         \
    }
SIGN(FCHS, ^= 0x8000)
SIGN(FABS, &= 0x7fff)

/* A stack fault clears C2 where C2 means "not finished". */
static cold_path int empty_operand(struct cpu *cpu, const struct insn *insn, unsigned codes)
{
    cpu->x87.status &= (uint16_t) ~(codes & X87_C2);
    return x87_empty_operand(cpu, insn, 0, 0);
}

/* ST(0) = op(ST(0)) */
#define UNARY(id, op, codes)                                                                       \
    EXEC(id)                                                                                       \
    {                                                                                              \
        BEGIN();                                                                                   \
        if (unlikely(x87_is_empty(cpu, 0)))                                                        \
            return empty_operand(cpu, insn, codes);                                                \
        struct x87_register *a = x87_st(cpu, 0);                                                   \
        x87_collect(cpu, x87_host_##op(a, a), codes);                                              \
        return NEXT(insn);                                                                         \
    }
UNARY(FSQRT, sqrt, X87_C1)
UNARY(FRNDINT, round, X87_C1)
UNARY(F2XM1, 2xm1, X87_C1)
UNARY(FSIN, sin, X87_C1 | X87_C2)
UNARY(FCOS, cos, X87_C1 | X87_C2)

/* ST(0) = ST(0) op ST(1) */
#define BINARY(id, op, codes)                                                                      \
    EXEC(id)                                                                                       \
    {                                                                                              \
        BEGIN();                                                                                   \
        if (unlikely(x87_is_empty(cpu, 0) || x87_is_empty(cpu, 1)))                                \
            return empty_operand(cpu, insn, codes);                                                \
        struct x87_register *a = x87_st(cpu, 0);                                                   \
        x87_collect(cpu, x87_host_##op(a, a, x87_st(cpu, 1)), codes);                              \
        return NEXT(insn);                                                                         \
    }
BINARY(FSCALE, scale, X87_C1)

/* The quotient's bits in C0, C3, C1, and C2 until the remainder is whole.  Without a remainder only
 * C1 and C2 change, to 0. */
#define REMAINDER(id, op)                                                                          \
    EXEC(id)                                                                                       \
    {                                                                                              \
        BEGIN();                                                                                   \
        if (unlikely(x87_is_empty(cpu, 0) || x87_is_empty(cpu, 1)))                                \
            return empty_operand(cpu, insn, X87_CODES);                                            \
        struct x87_register *a = x87_st(cpu, 0);                                                   \
        uint16_t host = x87_host_##op(a, a, x87_st(cpu, 1));                                       \
        bool found = (a->exponent & 0x7fff) != 0x7fff && !x87_has_unmasked(cpu, host, X87_BEFORE); \
        x87_collect(cpu, host, found ? X87_CODES : X87_C1 | X87_C2);                               \
        return NEXT(insn);                                                                         \
    }
REMAINDER(FPREM, prem)
REMAINDER(FPREM1, prem1)

/* ST(1) = op(ST(0), ST(1)), then a pop */
#define POPPING(id, op)                                                                            \
    EXEC(id)                                                                                       \
    {                                                                                              \
        BEGIN();                                                                                   \
        if (unlikely(x87_is_empty(cpu, 0) || x87_is_empty(cpu, 1)))                                \
            return x87_empty_operand(cpu, insn, 1, 1);                                             \
        uint16_t host = x87_host_##op(&cpu->x87.scratch[0], x87_st(cpu, 0), x87_st(cpu, 1));       \
        x87_collect(cpu, host, X87_C1);                                                            \
        if (x87_has_unmasked(cpu, host, X87_BEFORE))                                               \
            return NEXT(insn);                                                                     \
        x87_pop(cpu);                                                                              \
        *x87_st(cpu, 0) = cpu->x87.scratch[0];                                                     \
        return NEXT(insn);                                                                         \
    }
POPPING(FYL2X, yl2x)
POPPING(FYL2XP1, yl2xp1)
POPPING(FPATAN, patan)

/* Both results of a stack fault are the indefinite. */
static cold_path int pushing_stack_fault(struct cpu *cpu, const struct insn *insn, unsigned codes)
{
    cpu->x87.status &= (uint16_t) ~(codes & X87_C2);
    bool masked = x87_is_empty(cpu, 0) ? x87_stack_underflow(cpu) : x87_stack_overflow(cpu);
    if (masked) {
        *x87_st(cpu, 0) = x87_indefinite;
        x87_mark(cpu, 0);
        *x87_push(cpu) = x87_indefinite;
    }
    return NEXT(insn);
}

/* ST(0) becomes the first result, the second is pushed */
#define PUSHING(id, op, codes)                                                                     \
    EXEC(id)                                                                                       \
    {                                                                                              \
        BEGIN();                                                                                   \
        if (unlikely(x87_is_empty(cpu, 0) || !x87_is_empty(cpu, 7)))                               \
            return pushing_stack_fault(cpu, insn, codes);                                          \
        struct x87_register *a = x87_st(cpu, 0);                                                   \
        uint32_t pushed;                                                                           \
        uint16_t host = x87_host_##op(x87_st(cpu, 7), &cpu->x87.scratch[0], a, &pushed);           \
        x87_collect(cpu, host, codes);                                                             \
        if (!pushed)                                                                               \
            return NEXT(insn);                                                                     \
        *a = cpu->x87.scratch[0];                                                                  \
        x87_push(cpu);                                                                             \
        return NEXT(insn);                                                                         \
    }
PUSHING(FSINCOS, sincos, X87_C1 | X87_C2)
PUSHING(FPTAN, ptan, X87_C1 | X87_C2)
PUSHING(FXTRACT, xtract, X87_C1)
