/* The protocol of handlers: what an instruction's function gets, does and returns.
 *
 *     EXEC(ADD_EvGv_r32)
 *     {
 *         uint32_t a = REG32(insn->rm), b = REG32(insn->reg), result = a + b;
 *         flags_add(cpu, a, b, result, 32);
 *         REG32_SET(insn->rm, result);
 *         return NEXT(insn);
 *     }
 *
 * In optimised builds NEXT and the branches are tail calls to the next handler: threaded code.  In
 * others (RING3_THREADED not defined: debug, sanitizers) they return to the loop in run.c.  One
 * call of a handler alone (cpu_step, the translator's INTERP) gives it an instruction that is
 * followed by one whose handler is exec_stop.
 *
 * State is changed only after the last thing that can fault.  A fault is recorded in cpu->fault by
 * whoever finds it; the handler then returns exec_fault(cpu, insn).
 */
#ifndef CPU_EXEC_H
#define CPU_EXEC_H

#include "cpu/access.h"
#include "cpu/block.h"
#include "cpu/cpu.h"
#include "cpu/flags.h"
#include "cpu/insn.h"

enum exec_result {
    EXEC_NEXT,  /* on to insn + 1 (only without RING3_THREADED) */
    EXEC_LEAVE, /* the block is over: cpu->rip is set, go on there */
    EXEC_FAULT, /* cpu->rip is the instruction's own, cpu->fault says what */
    EXEC_EXIT,  /* cpu->rip is set; the run ends (HLT, shutdown): cpu->halted … say why */
    EXEC_STOP,  /* exec_stop was reached */
};

#define EXEC(name) int exec_##name(struct cpu *cpu, const struct insn *insn)

#ifdef RING3_THREADED
#define NEXT(insn) ((insn) + 1)->exec(cpu, (insn) + 1)
#else
#define NEXT(insn) EXEC_NEXT
#endif

#define TRY(faults)                                                                                \
    do {                                                                                           \
        if (unlikely(faults))                                                                      \
            return exec_fault(cpu, insn);                                                          \
    } while (0)
#define RAISE(vector, error) return exec_raise(cpu, insn, vector, error)
#define RAISE_UD()           return exec_raise(cpu, insn, VECTOR_UD, 0)
#define RAISE_GP0()          return exec_raise(cpu, insn, VECTOR_GP, 0)

/* Records an exception (has an error code by its vector, SDM 3A table 6-1); always true, so that
 * `return cpu_fault(...)` serves functions that say "faulted?". */
bool cpu_fault(struct cpu *cpu, unsigned vector, uint32_t error);
/* Sets rip to the instruction's own and returns EXEC_FAULT. */
int exec_fault(struct cpu *cpu, const struct insn *insn);
int exec_raise(struct cpu *cpu, const struct insn *insn, unsigned vector, uint32_t error);
/* Ends the block after an instruction that changed the mode, mapping or interrupt state: sets rip
 * to the next instruction. */
int exec_end(struct cpu *cpu, const struct insn *insn);

/* --- instruction pointers: offsets in CS */
static always_inline uint64_t insn_rip(const struct cpu *cpu, const struct insn *insn)
{
    return (cpu->block_rip + insn->offset) & cpu->ip_mask;
}
static always_inline uint64_t insn_next_rip(const struct cpu *cpu, const struct insn *insn)
{
    return (cpu->block_rip + insn->offset + insn->length) & cpu->ip_mask;
}

/* Goes on at offset `target` of CS (already cut to the operand size): #GP(0) beyond CS's limit or
 * if not canonical, else into the next block.  `return branch_to(cpu, insn, target);` */
int exec_branch_fault(struct cpu *cpu, const struct insn *insn);
static always_inline bool branch_is_legal(const struct cpu *cpu, uint64_t target)
{
    return likely(cpu_is_64(cpu)) ? bits_sign_extend(target, 48) == (int64_t)target
                                  : target <= cpu->segs[CS].limit;
}
static always_inline int branch_to(struct cpu *cpu, const struct insn *insn, uint64_t target)
{
    if (unlikely(!branch_is_legal(cpu, target)))
        return exec_branch_fault(cpu, insn);
    cpu->rip = target;
    return BLOCK_GO(cpu);
}

/* --- registers; 32-bit writes clear the upper half */
#define REG8(n)             (((uint8_t *)cpu->regs)[n]) /* n: byte offset, as byte rows decode it */
#define REG16(n)            ((uint16_t)cpu->regs[n])
#define REG32(n)            ((uint32_t)cpu->regs[n])
#define REG64(n)            (cpu->regs[n])
#define REG8_SET(n, value)  (((uint8_t *)cpu->regs)[n] = (uint8_t)(value))
#define REG16_SET(n, value) (*(uint16_t *)(void *)&cpu->regs[n] = (uint16_t)(value))
#define REG32_SET(n, value) (cpu->regs[n] = (uint32_t)(value))
#define REG64_SET(n, value) (cpu->regs[n] = (value))

/* --- addresses and counters (RCX, RSI, RDI) whose width is the address size */
static always_inline uint64_t address_mask(const struct insn *insn)
{
    return insn->address == SIZE_64   ? UINT64_MAX
           : insn->address == SIZE_32 ? UINT32_MAX
                                      : UINT16_MAX;
}
static always_inline void address_register_set(struct cpu *cpu, const struct insn *insn, unsigned n,
                                               uint64_t value)
{
    if (likely(insn->address == SIZE_64))
        REG64_SET(n, value);
    else if (insn->address == SIZE_32)
        REG32_SET(n, value);
    else
        REG16_SET(n, value);
}

/* --- the offset of the ModRM memory operand (or moffs) in its segment */
static always_inline uint64_t insn_address(const struct cpu *cpu, const struct insn *insn)
{
    uint64_t offset = cpu->regs[insn->base] + (cpu->regs[insn->index] << insn->scale) +
                      (uint64_t)(int64_t)insn->disp;
    if (unlikely(insn->rip))
        offset += insn_next_rip(cpu, insn);
    static const uint64_t masks[] = {0, UINT16_MAX, UINT32_MAX, UINT64_MAX};
    return offset & masks[insn->address];
}

/* --- privilege (the interpreter's and the translator's checks are one) */
#define REQUIRE_CPL0()                                                                             \
    do {                                                                                           \
        if (unlikely(cpu->cpl != 0))                                                               \
            RAISE_GP0();                                                                           \
    } while (0)

/* --- handlers that no row names */
exec_fn exec_undefined;            /* #UD */
exec_fn exec_device_not_available; /* #NM */
exec_fn exec_too_long;             /* #GP(0): more than 15 bytes */

exec_fn exec_stop;     /* returns EXEC_STOP with rip at this instruction */
exec_fn exec_stale;    /* the block was killed: leave at this instruction */
exec_fn exec_continue; /* the end of a block that did not end in a branch */

/* --- the handlers of the table */
#define EXEC_SHAPE_S_ONE(id) exec_fn exec_##id;
#define EXEC_SHAPE_S_RM(id)  exec_fn exec_##id##_r, exec_##id##_m;
#define EXEC_SHAPE_S_V(id)   exec_fn exec_##id##_16, exec_##id##_32, exec_##id##_64;
#define EXEC_SHAPE_S_ZV(id)  exec_fn exec_##id##_16, exec_##id##_32;
#define EXEC_SHAPE_S_Y(id)   exec_fn exec_##id##_32, exec_##id##_64;
#define EXEC_SHAPE_S_VRM(id)                                                                       \
    exec_fn exec_##id##_r16, exec_##id##_r32, exec_##id##_r64, exec_##id##_m16, exec_##id##_m32,   \
        exec_##id##_m64;
#define EXEC_SHAPE_S_YRM(id)                                                                       \
    exec_fn exec_##id##_r32, exec_##id##_r64, exec_##id##_m32, exec_##id##_m64;
#define OP(id, mnemonic, map, opcode, modrm, prefix, modes, size, op1, op2, op3, reads, writes,    \
           undefined, feature, privilege, attributes, policy_register, policy_memory, shape,       \
           section)                                                                                \
    EXEC_SHAPE_##shape(id)
#include "cpu/opcodes.def"
#undef OP

/* By row, ModRM names memory, and operand size; NULL where a row has none. */
extern exec_fn *const opcode_exec[OPCODE_COUNT][2][4];

#endif
