/* Near branches: JMP CALL RET Jcc LOOPcc JCXZ (SDM 2A and 2B under these names).
 *
 * INV-1: a target outside CS's limit, or not canonical, faults before anything has changed.
 *
 * In 64-bit mode the operand size of these is always 64, in all other modes 16 or 32 (SZ_F64): the
 * 64-bit forms need no other check than the canonical one.
 */
#include "cpu/exec_stack.h"

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

#define RELATIVE_SUM (cpu->block_rip + insn->offset + insn->length + insn->imm)
#define RELATIVE_TARGET(bits) ((uint##bits##_t)RELATIVE_SUM)

#define RELATIVE_JUMP(handler, bits, taken)                                                        \
    EXEC(handler)                                                                                  \
    {                                                                                              \
        if (taken)                                                                                 \
            return go_relative(cpu, insn, bits, true, RELATIVE_SUM);                               \
        return go_relative(cpu, insn, bits == 16 ? 32 : bits, false, insn_next_rip(cpu, insn));    \
    }
#define JCC_FORMS_V(bits, cc)                                                                      \
    RELATIVE_JUMP(J##cc##_Jb_##bits, bits, CONDITION_##cc)                                         \
    RELATIVE_JUMP(J##cc##_Jz_##bits, bits, CONDITION_##cc)
#define JCC_FORMS(cc) EACH_WIDTH(JCC_FORMS_V, cc)
EACH_CONDITION(JCC_FORMS)

#define JUMP_FORMS(bits, op)                                                                       \
    RELATIVE_JUMP(JMP_Jb_##bits, bits, true)                                                       \
    RELATIVE_JUMP(JMP_Jz_##bits, bits, true)                                                       \
    RELATIVE_JUMP(JCXZ_Jb_##bits, bits, (cpu->regs[RCX] & address_mask(insn)) == 0)                \
    EXEC(JMP_Ev_r##bits)                                                                           \
    {                                                                                              \
        const uint64_t target = REG##bits(insn->rm);                                               \
        REQUIRE_LEGAL(bits, target);                                                               \
        GO(target);                                                                                \
    }                                                                                              \
    EXEC_OPERAND(JMP_Ev_m##bits)                                                                   \
    {                                                                                              \
        LOAD_OPERAND(bits, target);                                                                \
        REQUIRE_LEGAL(bits, target);                                                               \
        GO(target);                                                                                \
    }
EACH_WIDTH(JUMP_FORMS, JMP)

#define CALL(bits, target)                                                                         \
    REQUIRE_LEGAL(bits, target);                                                                   \
    PUSH(bits, insn_next_rip(cpu, insn));                                                          \
    GO(target)
#define CALL_FORMS(bits, op)                                                                       \
    EXEC_MEMORY(CALL_Jz_##bits)                                                                    \
    {                                                                                              \
        const uint64_t target = RELATIVE_TARGET(bits);                                             \
        REQUIRE_LEGAL(bits, target);                                                               \
        PUSH(bits, insn_next_rip(cpu, insn));                                                      \
        return go_relative(cpu, insn, bits, true, RELATIVE_SUM);                                   \
    }                                                                                              \
    EXEC_MEMORY(CALL_Ev_r##bits)                                                                   \
    {                                                                                              \
        const uint64_t target = REG##bits(insn->rm);                                               \
        CALL(bits, target);                                                                        \
    }                                                                                              \
    EXEC_OPERAND(CALL_Ev_m##bits)                                                                  \
    {                                                                                              \
        LOAD_OPERAND(bits, target);                                                                \
        CALL(bits, target);                                                                        \
    }                                                                                              \
    EXEC_MEMORY(RET_##bits)                                                                        \
    {                                                                                              \
        PEEK(bits, target);                                                                        \
        REQUIRE_LEGAL(bits, target);                                                               \
        DROP(bits, (bits) / 8);                                                                    \
        GO(target);                                                                                \
    }                                                                                              \
    EXEC_MEMORY(RET_Iw_##bits)                                                                     \
    {                                                                                              \
        PEEK(bits, target);                                                                        \
        REQUIRE_LEGAL(bits, target);                                                               \
        DROP(bits, (bits) / 8 + (uint16_t)insn->imm);                                              \
        GO(target);                                                                                \
    }
EACH_WIDTH(CALL_FORMS, CALL)

/* The counter is as wide as an address; it counts also when the condition ends the loop. */
#define LOOP_FORM(handler, bits, condition)                                                        \
    EXEC(handler)                                                                                  \
    {                                                                                              \
        const uint64_t count = cpu->regs[RCX] - 1;                                                 \
        const bool taken = (count & address_mask(insn)) != 0 && (condition);                       \
        if (taken)                                                                                 \
            REQUIRE_LEGAL(bits, RELATIVE_TARGET(bits));                                            \
        address_register_set(cpu, insn, RCX, count);                                               \
        if (taken)                                                                                 \
            return go_relative(cpu, insn, bits, true, RELATIVE_SUM);                               \
        return go_relative(cpu, insn, bits == 16 ? 32 : bits, false, insn_next_rip(cpu, insn));    \
    }
#define LOOP_FORMS(bits, op)                                                                       \
    LOOP_FORM(LOOP_Jb_##bits, bits, true)                                                          \
    LOOP_FORM(LOOPE_Jb_##bits, bits, flag_zf(cpu))                                                 \
    LOOP_FORM(LOOPNE_Jb_##bits, bits, !flag_zf(cpu))
EACH_WIDTH(LOOP_FORMS, LOOP)
