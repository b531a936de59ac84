/* RDRAND and RDSEED: the host's random numbers.  SDM 2B RDRAND, RDSEED. */
#include "cpu/exec.h"

#include <sys/random.h>

/* Fills cpu->load_value; false when the host has no numbers yet, which the guest sees as CF = 0. */
static bool draw(struct cpu *cpu)
{
    if (getrandom(&cpu->load_value, sizeof cpu->load_value, GRND_NONBLOCK) ==
        (ssize_t)sizeof cpu->load_value)
        return true;
    cpu->load_value = 0;
    return false;
}

#define EXEC_DRAW(name)                                                                            \
    EXEC(name##_Rv_16)                                                                             \
    {                                                                                              \
        flags_set_arithmetic(cpu, draw(cpu) ? F_CF : 0);                                           \
        REG16_SET(insn->rm, cpu->load_value);                                                      \
        return NEXT(insn);                                                                         \
    }                                                                                              \
    EXEC(name##_Rv_32)                                                                             \
    {                                                                                              \
        flags_set_arithmetic(cpu, draw(cpu) ? F_CF : 0);                                           \
        REG32_SET(insn->rm, cpu->load_value);                                                      \
        return NEXT(insn);                                                                         \
    }                                                                                              \
    EXEC(name##_Rv_64)                                                                             \
    {                                                                                              \
        flags_set_arithmetic(cpu, draw(cpu) ? F_CF : 0);                                           \
        REG64_SET(insn->rm, cpu->load_value);                                                      \
        return NEXT(insn);                                                                         \
    }
EXEC_DRAW(RDRAND)
EXEC_DRAW(RDSEED)
