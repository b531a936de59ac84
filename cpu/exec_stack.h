/* One push and one pop, by operand size, for EXEC_MEMORY handlers.
 *
 * A 64-bit operand means 64-bit mode and a 32-bit one means any other (SZ_V64, SZ_F64), so these
 * know the stack segment; with 16 bits it is looked up.
 */
#ifndef CPU_EXEC_STACK_H
#define CPU_EXEC_STACK_H

#include "cpu/exec_int.h"

#define STACK_SEG_16     stack_seg(cpu)
#define STACK_SEG_32     SS
#define STACK_SEG_64     SEG_FLAT_STACK
#define STACK_MASK_16    cpu->stack_mask
#define STACK_MASK_32    cpu->stack_mask
#define STACK_MASK_64    UINT64_MAX
#define STACK_SET_16(sp) stack_commit(cpu, sp)
#define STACK_SET_32(sp) stack_commit(cpu, sp)
#define STACK_SET_64(sp) REG64_SET(RSP, sp)

/* Stores `value` below the top of the stack, which becomes the top. */
#define PUSH(bits, value)                                                                          \
    do {                                                                                           \
        const uint64_t new_top = (cpu->regs[RSP] - (bits) / 8) & STACK_MASK_##bits;                \
        STORE(bits, (uint##bits##_t)(value), STACK_SEG_##bits, new_top);                           \
        STACK_SET_##bits(new_top);                                                                 \
    } while (0)

/* Declares `value`, the top of the stack, which stays there until DROP(). */
#define PEEK(bits, value) LOAD(bits, value, STACK_SEG_##bits, cpu->regs[RSP] & STACK_MASK_##bits)
#define DROP(bits, bytes) STACK_SET_##bits(cpu->regs[RSP] + (bytes))

#endif
