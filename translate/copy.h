/* Integer instructions that are copied: registers renamed, a memory operand rerouted. */
#ifndef TRANSLATE_COPY_H
#define TRANSLATE_COPY_H

#include "translate/translating.h"

enum { OPERANDS = 3 };

/* The instruction's operands, as the copy needs them. */
struct copy {
    struct host_op op;
    int digit;              /* of ModRM.reg when that is not a register, else -1 */
    int reg, rm;            /* guest registers, -1: none (or memory) */
    bool reg_high, rm_high; /* AH..BH */
    bool writes_reg, writes_rm;
    bool reads_memory, writes_memory;
    unsigned memory_bytes;
    bool has_imm;
    unsigned imm_bytes;
};

static inline bool is_rm_operand(unsigned operand)
{
    return (operand >= O_Eb && operand <= O_Ey) || operand == O_Rv || operand == O_Ry ||
           (operand >= O_M && operand <= O_Mt);
}

static inline bool is_reg_operand(unsigned operand)
{
    return operand >= O_Gb && operand <= O_Gy;
}

struct copy copy_of(const struct translating *t);
/* The number of the register that an instruction names by `field`; *high: it is one of AH..BH. */
int copy_register(unsigned field, unsigned operand, bool *high);
void copy_immediate(struct translating *t, const struct copy *c);
/* The instruction has been copied.  `to` and `from` are the host registers of operands 1 and 2;
 * OPERAND_NONE: it is an immediate, or of no use to the flags. */
void copy_flags(struct translating *t, unsigned to, unsigned from);
/* TEST of host register `a` with `b`, or with the immediate if that is OPERAND_NONE; destroys T0.
 */
void copy_test(struct translating *t, const struct copy *c, unsigned a, unsigned b);
/* INC, DEC: how their flags are noted; STEP_NONE for others. */
enum native_step copy_step(unsigned row);
/* By form; false: the interpreter has to. */
bool copy_registers(struct translating *t, struct copy *c);
bool copy_memory(struct translating *t, struct copy *c);

#endif
