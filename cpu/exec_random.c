/* RDRAND and RDSEED: the machine's random numbers, or the host's.  SDM 2B RDRAND, RDSEED. */
#include "cpu/exec.h"

#include <sys/random.h>

bool cpu_host_random(uint64_t *value)
{
    return getrandom(value, sizeof *value, GRND_NONBLOCK) == (ssize_t)sizeof *value;
}

/* Fills cpu->load_value; false when there are no numbers yet, which the guest sees as CF = 0. */
static bool draw(struct cpu *cpu)
{
    cpu->load_value = 0;
    if (cpu->ops->random)
        return cpu->ops->random(cpu->machine, cpu, &cpu->load_value);
    return cpu_host_random(&cpu->load_value);
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
