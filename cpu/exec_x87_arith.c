/* x87 addition to division, with registers, memory and integers; comparisons: SDM 1 §8.3.5, §8.3.6.
 */
#include "cpu/exec_x87.h"

/* ST(to) = ST(to) op ST(from), then `pops` pops */
#define ARITHMETIC(id, op, to, from, pops)                                                         \
    EXEC(id)                                                                                       \
    {                                                                                              \
        X87_CHECK();                                                                               \
        x87_note_code(cpu, insn);                                                                  \
        if (unlikely(x87_is_empty(cpu, to) || x87_is_empty(cpu, from)))                            \
            return x87_empty_operand(cpu, insn, to, pops);                                         \
        struct x87_register *a = x87_st(cpu, to);                                                  \
        uint16_t host = x87_host_##op(a, a, x87_st(cpu, from));                                    \
        x87_collect(cpu, host, X87_C1);                                                            \
        if ((pops) && !x87_has_unmasked(cpu, host, X87_BEFORE))                                    \
            x87_pop(cpu);                                                                          \
        return NEXT(insn);                                                                         \
    }
#define ARITHMETIC_MEMORY(id, op, size)                                                            \
    EXEC_MEMORY(id)                                                                                \
    {                                                                                              \
        X87_CHECK();                                                                               \
        X87_OPERAND(size);                                                                         \
        if (unlikely(x87_is_empty(cpu, 0)))                                                        \
            return x87_empty_operand(cpu, insn, 0, 0);                                             \
        struct x87_register *a = x87_st(cpu, 0);                                                   \
        x87_collect(cpu, x87_host_##op(a, a, at), X87_C1);                                         \
        return NEXT(insn);                                                                         \
    }
#define ARITHMETIC_ALL(NAME, name)                                                                 \
    ARITHMETIC(F##NAME##_ST0STi, name, 0, insn->rm, 0)                                             \
    ARITHMETIC(F##NAME##_STiST0, name, insn->rm, 0, 0)                                             \
    ARITHMETIC(F##NAME##P_STiST0, name, insn->rm, 0, 1)                                            \
    ARITHMETIC_MEMORY(F##NAME##_Md, name##_f32, 4)                                                 \
    ARITHMETIC_MEMORY(F##NAME##_Mq, name##_f64, 8)                                                 \
    ARITHMETIC_MEMORY(FI##NAME##_Md, name##_i32, 4)                                                \
    ARITHMETIC_MEMORY(FI##NAME##_Mw, name##_i16, 2)

ARITHMETIC_ALL(ADD, add)
ARITHMETIC_ALL(MUL, mul)
ARITHMETIC_ALL(SUB, sub)
ARITHMETIC_ALL(SUBR, subr)
ARITHMETIC_ALL(DIV, div)
ARITHMETIC_ALL(DIVR, divr)

/* --- comparisons with condition codes; an empty operand compares as unordered */
static cold_path int compare_empty(struct cpu *cpu, const struct insn *insn, unsigned pops)
{
    bool masked = x87_stack_underflow(cpu);
    cpu->x87.status |= X87_C0 | X87_C2 | X87_C3;
    if (masked)
        x87_pops(cpu, pops);
    return NEXT(insn);
}

#define COMPARE(id, op, with, pops)                                                                \
    EXEC(id)                                                                                       \
    {                                                                                              \
        X87_CHECK();                                                                               \
        x87_note_code(cpu, insn);                                                                  \
        if (unlikely(x87_is_empty(cpu, 0) || x87_is_empty(cpu, with)))                             \
            return compare_empty(cpu, insn, pops);                                                 \
        uint16_t host = x87_host_##op(x87_st(cpu, 0), x87_st(cpu, with));                          \
        x87_collect(cpu, host, X87_CODES);                                                         \
        if (!x87_has_unmasked(cpu, host, X87_BEFORE))                                              \
            x87_pops(cpu, pops);                                                                   \
        return NEXT(insn);                                                                         \
    }
#define COMPARE_MEMORY(id, op, size, pops)                                                         \
    EXEC_MEMORY(id)                                                                                \
    {                                                                                              \
        X87_CHECK();                                                                               \
        X87_OPERAND(size);                                                                         \
        if (unlikely(x87_is_empty(cpu, 0)))                                                        \
            return compare_empty(cpu, insn, pops);                                                 \
        uint16_t host = x87_host_##op(x87_st(cpu, 0), at);                                         \
        x87_collect(cpu, host, X87_CODES);                                                         \
        if ((pops) && !x87_has_unmasked(cpu, host, X87_BEFORE))                                    \
            x87_pop(cpu);                                                                          \
        return NEXT(insn);                                                                         \
    }

COMPARE(FCOM_STi, com, insn->rm, 0)
COMPARE(FCOM_STi_DC, com, insn->rm, 0)
COMPARE(FCOMP_STi, com, insn->rm, 1)
COMPARE(FCOMP_STi_DC, com, insn->rm, 1)
COMPARE(FCOMP_STi_DE, com, insn->rm, 1)
COMPARE(FCOMPP, com, 1, 2)
COMPARE(FUCOM_STi, ucom, insn->rm, 0)
COMPARE(FUCOMP_STi, ucom, insn->rm, 1)
COMPARE(FUCOMPP, ucom, 1, 2)
COMPARE_MEMORY(FCOM_Md, com_f32, 4, 0)
COMPARE_MEMORY(FCOMP_Md, com_f32, 4, 1)
COMPARE_MEMORY(FCOM_Mq, com_f64, 8, 0)
COMPARE_MEMORY(FCOMP_Mq, com_f64, 8, 1)
COMPARE_MEMORY(FICOM_Md, com_i32, 4, 0)
COMPARE_MEMORY(FICOMP_Md, com_i32, 4, 1)
COMPARE_MEMORY(FICOM_Mw, com_i16, 2, 0)
COMPARE_MEMORY(FICOMP_Mw, com_i16, 2, 1)

/* --- comparisons with EFLAGS: C0, C2, C3 are CF, PF, ZF */
static always_inline void set_flags(struct cpu *cpu, uint16_t codes)
{
    flags_set_arithmetic(cpu, (codes & X87_C0 ? F_CF : 0) | (codes & X87_C2 ? F_PF : 0) |
                                  (codes & X87_C3 ? F_ZF : 0));
}

static cold_path int compare_empty_flags(struct cpu *cpu, const struct insn *insn, unsigned pops)
{
    bool masked = x87_stack_underflow(cpu);
    set_flags(cpu, X87_C0 | X87_C2 | X87_C3);
    if (masked && pops)
        x87_pop(cpu);
    return NEXT(insn);
}

#define COMPARE_FLAGS(id, op, pops)                                                                \
    EXEC(id)                                                                                       \
    {                                                                                              \
        X87_CHECK();                                                                               \
        x87_note_code(cpu, insn);                                                                  \
        if (unlikely(x87_is_empty(cpu, 0) || x87_is_empty(cpu, insn->rm)))                         \
            return compare_empty_flags(cpu, insn, pops);                                           \
        uint16_t host = x87_host_##op(x87_st(cpu, 0), x87_st(cpu, insn->rm));                      \
        x87_collect(cpu, host, X87_C1);                                                            \
        set_flags(cpu, host);                                                                      \
        if ((pops) && !x87_has_unmasked(cpu, host, X87_BEFORE))                                    \
            x87_pop(cpu);                                                                          \
        return NEXT(insn);                                                                         \
    }
COMPARE_FLAGS(FCOMI_ST0STi, com, 0)
COMPARE_FLAGS(FCOMIP_ST0STi, com, 1)
COMPARE_FLAGS(FUCOMI_ST0STi, ucom, 0)
COMPARE_FLAGS(FUCOMIP_ST0STi, ucom, 1)

EXEC(FTST)
{
    X87_CHECK();
    x87_note_code(cpu, insn);
    if (unlikely(x87_is_empty(cpu, 0)))
        return compare_empty(cpu, insn, 0);
    x87_collect(cpu, x87_host_tst(x87_st(cpu, 0)), X87_CODES);
    return NEXT(insn);
}

EXEC(FXAM)
{
    X87_CHECK();
    x87_note_code(cpu, insn);
    if (x87_is_empty(cpu, 0)) {
        unsigned sign = x87_st(cpu, 0)->exponent >> 15 ? X87_C1 : 0;
        cpu->x87.status = (uint16_t)((cpu->x87.status & ~X87_CODES) | X87_C3 | X87_C0 | sign);
    } else {
        x87_collect(cpu, x87_host_xam(x87_st(cpu, 0)), X87_CODES);
    }
    return NEXT(insn);
}
