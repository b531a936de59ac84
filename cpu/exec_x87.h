/* What the x87 handlers share: operands in memory. */
#ifndef CPU_EXEC_X87_H
#define CPU_EXEC_X87_H

#include "cpu/exec_twice.h"
#include "cpu/x87.h"
#include "cpu/x87_host.h"

#define EXEC_MEMORY(name) EXEC_TWICE(name, false)

/* Where the operand of `size` bytes lies: guest memory, or cpu->load_value; NULL with a fault
 * pending or, if `fast`, when it is not to be had at once. */
static always_inline const void *x87_operand(struct cpu *cpu, const struct insn *insn,
                                             uint64_t offset, unsigned size, bool fast)
{
    const void *host = mem_fast(cpu, insn->seg, offset, size, false);
    if (likely(host != NULL))
        return host;
    return fast || mem_load_slow(cpu, insn->seg, offset, size) ? NULL : &cpu->load_value;
}

/* In a body: declares `at`, the operand of a waiting instruction. */
#define X87_OPERAND(size)                                                                          \
    uint64_t offset = insn_address(cpu, insn);                                                     \
    const void *at = x87_operand(cpu, insn, offset, size, slow);                                   \
    TRY_OR_SLOW(!at);                                                                              \
    x87_note_data(cpu, insn, offset)

#endif
