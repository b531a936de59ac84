/* How near branches go on: targets checked, cut to the operand size, and linked block to block.
 *
 * In 64-bit mode the operand size of a near branch is always 64, in all other modes 16 or 32
 * (SZ_F64): the 64-bit forms need no other check than the canonical one.
 */
#ifndef CPU_EXEC_BRANCH_H
#define CPU_EXEC_BRANCH_H

#include "cpu/exec_int.h"

static always_inline bool target_is_legal16(const struct cpu *cpu, uint64_t target)
{
    return likely(target <= cpu->segs[CS].limit);
}
static always_inline bool target_is_legal32(const struct cpu *cpu, uint64_t target)
{
    return likely(target <= cpu->segs[CS].limit);
}
static always_inline bool target_is_legal64(const struct cpu *cpu, uint64_t target)
{
    return likely(bits_sign_extend(target, 48) == (int64_t)target);
}

#define REQUIRE_LEGAL(bits, target)                                                                \
    do {                                                                                           \
        if (unlikely(!target_is_legal##bits(cpu, target)))                                         \
            return exec_branch_fault(cpu, insn);                                                   \
    } while (0)

#define GO(target)                                                                                 \
    do {                                                                                           \
        cpu->rip = (target);                                                                       \
        return BLOCK_GO(cpu);                                                                      \
    } while (0)

/* The end of a relative branch: straight into the linked block, if there is one.  `sum` is the
 * target before it is cut to the operand size: one that wraps is not linked, since it depends on
 * CS's base how far it leads. */
static always_inline int go_relative(struct cpu *cpu, const struct insn *insn, unsigned bits,
                                     bool taken, uint64_t sum)
{
    const uint64_t target = bits == 16 ? (uint16_t)sum : bits == 32 ? (uint32_t)sum : sum;
    if (bits < 64 && unlikely(target > cpu->segs[CS].limit)) {
        if (taken)
            return exec_branch_fault(cpu, insn);
        GO(target); /* the fetch faults there */
    }
#ifdef RING3_THREADED
    struct block *linked = block_linked(cpu, taken);
    if (likely(linked && (bits > 16 || target == sum)))
        return block_enter(cpu, linked, target);
    if (bits == 64 && taken && unlikely(!target_is_legal64(cpu, target)))
        return exec_branch_fault(cpu, insn);
    cpu->rip = target;
    return bits > 16 || target == sum ? block_go_and_link(cpu, taken) : block_go(cpu);
#else
    if (bits == 64 && taken)
        REQUIRE_LEGAL(64, target);
    GO(target);
#endif
}

#define RELATIVE_SUM          (cpu->block_rip + insn->offset + insn->length + insn->imm)
#define RELATIVE_TARGET(bits) ((uint##bits##_t)RELATIVE_SUM)

/* The end of a relative branch's handler. */
#define RELATIVE_BRANCH(bits, taken)                                                               \
    do {                                                                                           \
        if (taken)                                                                                 \
            return go_relative(cpu, insn, bits, true, RELATIVE_SUM);                               \
        return go_relative(cpu, insn, (bits) == 16 ? 32 : (bits), false,                           \
                           insn_next_rip(cpu, insn));                                              \
    } while (0)

#endif
