/* One push and one pop, by operand size, for the integer handlers.
 *
 * A 64-bit operand means 64-bit mode and a 32-bit one means any other (SZ_V64, SZ_F64), so these
 * know the stack segment; with 16 bits it is looked up.
 */
#ifndef CPU_EXEC_STACK_H
#define CPU_EXEC_STACK_H

#include "cpu/exec_int.h"

static always_inline must_check bool push16(struct cpu *cpu, uint16_t value)
{
    uint64_t sp = cpu->regs[RSP];
    if (unlikely(stack_push(cpu, &sp, SIZE_16, value)))
        return true;
    stack_commit(cpu, sp);
    return false;
}
static always_inline must_check bool push32(struct cpu *cpu, uint32_t value)
{
    uint64_t at = (cpu->regs[RSP] - 4) & cpu->stack_mask;
    if (unlikely(mem_store32(cpu, SS, at, value)))
        return true;
    stack_commit(cpu, at);
    return false;
}
static always_inline must_check bool push64(struct cpu *cpu, uint64_t value)
{
    uint64_t at = cpu->regs[RSP] - 8;
    if (unlikely(mem_store64(cpu, SEG_FLAT_STACK, at, value)))
        return true;
    cpu->regs[RSP] = at;
    return false;
}

/* The top of the stack, which stays there until stack_drop(). */
static always_inline must_check bool peek16(struct cpu *cpu, uint16_t *value)
{
    return mem_load16(cpu, stack_seg(cpu), cpu->regs[RSP] & cpu->stack_mask, value);
}
static always_inline must_check bool peek32(struct cpu *cpu, uint32_t *value)
{
    return mem_load32(cpu, SS, cpu->regs[RSP] & cpu->stack_mask, value);
}
static always_inline must_check bool peek64(struct cpu *cpu, uint64_t *value)
{
    return mem_load64(cpu, SEG_FLAT_STACK, cpu->regs[RSP], value);
}
static always_inline void stack_drop(struct cpu *cpu, unsigned bytes)
{
    stack_commit(cpu, cpu->regs[RSP] + bytes);
}

#endif
