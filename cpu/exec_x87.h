/* What the x87 handlers share: operands in memory. */
#ifndef CPU_EXEC_X87_H
#define CPU_EXEC_X87_H

#include "cpu/x87.h"
#include "cpu/x87_host.h"

/* Where the operand of `size` bytes lies: guest memory, or cpu->load_value; NULL with a fault
 * pending. */
static always_inline const void *x87_operand(struct cpu *cpu, const struct insn *insn,
                                             uint64_t offset, unsigned size)
{
    const void *host = mem_fast(cpu, insn->seg, offset, size, false);
    if (likely(host != NULL))
        return host;
    return mem_load_slow(cpu, insn->seg, offset, size) ? NULL : &cpu->load_value;
}

/* The operand of a waiting instruction: declares `at`, leaves the handler on a fault. */
#define X87_OPERAND(size)                                                                          \
    uint64_t offset = insn_address(cpu, insn);                                                     \
    const void *at = x87_operand(cpu, insn, offset, size);                                         \
    if (unlikely(!at))                                                                             \
        return exec_fault(cpu, insn);                                                              \
    x87_note_data(cpu, insn, offset)

#endif
