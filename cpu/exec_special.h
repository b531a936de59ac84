/* Faster handlers for what a block's instructions are known to be; the general ones serve anywhere. */
#ifndef CPU_EXEC_SPECIAL_H
#define CPU_EXEC_SPECIAL_H

#include "cpu/insn.h"

/* Exchanges handlers among the `count` instructions of one block, which a stop or sentinel follows.
 * They do what the general handlers would do, wherever the block is entered. */
void exec_specialise(struct insn *insns, unsigned count);

#endif
