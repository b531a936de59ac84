/* Faster handlers for what the instructions of a block are known to be. */
#ifndef CPU_EXEC_SPECIAL_H
#define CPU_EXEC_SPECIAL_H

#include "cpu/insn.h"

/* Exchanges handlers among the `count` instructions of one block, which a sentinel follows.  A
 * handler may run its instruction and the branch after it: who wants one instruction alone takes
 * its general handler, opcode_exec[row][memory][size]. */
void exec_specialise(struct insn *insns, unsigned count);

/* The handler of `insn` and the conditional branch after it, or NULL; `is_flat`: its operand is
 * what flat_… handlers take. */
exec_fn *exec_fuse(const struct insn *insn, bool is_flat);

#endif
