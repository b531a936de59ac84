/* Random cases of one row for the host oracle: bytes, registers, memory. */
#ifndef TESTS_EXEC_CASES_H
#define TESTS_EXEC_CASES_H

#include "cpu/insn.h"
#include "tests/host_cpu.h"

struct exec_case {
    uint8_t bytes[16];
    struct insn insn; /* as our decoder has it */
    bool code_64;
    bool memory; /* there is an operand in memory, at `address` */
    uint64_t address;
    bool gathers; /* … or several */
    struct cpu_state state;
    uint8_t data[SANDBOX_BYTES];
};

struct random {
    uint64_t state;
};
uint64_t random_next(struct random *random);

/* Can the oracle run the row: user mode, nothing that depends on the system around it? */
bool exec_case_is_possible(const struct opcode_row *row, const struct feature_set *features);
/* False when the dice gave nothing usable; try again. */
bool exec_case_make(struct exec_case *c, unsigned row, bool code_64,
                    const struct feature_set *features, struct random *random);
/* The condition codes of the x87 status word that the manual leaves undefined, or that processors
 * treat differently. */
uint16_t exec_case_undefined_codes(const struct exec_case *c);
/* The arithmetic flags that the manual leaves undefined for this case. */
uint32_t exec_case_undefined_flags(const struct exec_case *c);

#endif
