/* PUSH POP PUSHA POPA ENTER LEAVE: SDM 2A and 2B under these names.
 *
 * INV-1: RSP and the destination change after the last access that can fault.
 */
#include "cpu/exec_stack.h"

#define PUSH_FORM(handler, bits, source)                                                           \
    EXEC_MEMORY(handler)                                                                           \
    {                                                                                              \
        PUSH(bits, source);                                                                        \
        return NEXT(insn);                                                                         \
    }
#define PUSH_FORMS(bits, op)                                                                       \
    PUSH_FORM(PUSH_Zv_##bits, bits, REG##bits(insn->reg))                                          \
    PUSH_FORM(PUSH_Iz_##bits, bits, insn->imm)                                                     \
    PUSH_FORM(PUSH_sIb_##bits, bits, insn->imm)                                                    \
    PUSH_FORM(PUSH_Ev_r##bits, bits, REG##bits(insn->rm))                                          \
    EXEC_OPERAND(PUSH_Ev_m##bits)                                                                  \
    {                                                                                              \
        LOAD_OPERAND(bits, value);                                                                 \
        PUSH(bits, value);                                                                         \
        return NEXT(insn);                                                                         \
    }
EACH_WIDTH(PUSH_FORMS, PUSH)

/* POP into (E)SP: the value popped wins over the increment.  A memory operand that (E)SP addresses
 * is addressed after the increment. */
#define POP_FORM(handler, bits, number)                                                            \
    EXEC_MEMORY(handler)                                                                           \
    {                                                                                              \
        PEEK(bits, value);                                                                         \
        DROP(bits, (bits) / 8);                                                                    \
        REG##bits##_SET(number, value);                                                            \
        return NEXT(insn);                                                                         \
    }
#define POP_FORMS(bits, op)                                                                        \
    POP_FORM(POP_Zv_##bits, bits, insn->reg)                                                       \
    POP_FORM(POP_Ev_r##bits, bits, insn->rm)                                                       \
    EXEC_OPERAND(POP_Ev_m##bits)                                                                   \
    {                                                                                              \
        PEEK(bits, value);                                                                         \
        const uint64_t before = cpu->regs[RSP];                                                    \
        DROP(bits, (bits) / 8);                                                                    \
        const uint64_t offset = OPERAND_ADDRESS, after = cpu->regs[RSP];                           \
        cpu->regs[RSP] = before;                                                                   \
        STORE(bits, value, OPERAND_SEG, offset);                                                   \
        cpu->regs[RSP] = after;                                                                    \
        return NEXT(insn);                                                                         \
    }
EACH_WIDTH(POP_FORMS, POP)

/* A push that faults in the middle leaves what it wrote below (E)SP, as the processor does. */
#define PUSHA_FORM(bits, size)                                                                     \
    EXEC(PUSHA_##bits)                                                                             \
    {                                                                                              \
        uint64_t sp = cpu->regs[RSP];                                                              \
        for (unsigned n = RAX; n <= RDI; n++)                                                      \
            TRY(stack_push(cpu, &sp, size, REG##bits(n)));                                         \
        stack_commit(cpu, sp);                                                                     \
        return NEXT(insn);                                                                         \
    }                                                                                              \
    EXEC(POPA_##bits)                                                                              \
    {                                                                                              \
        uint64_t sp = cpu->regs[RSP], di, si, bp, skipped, bx, dx, cx, ax;                         \
        TRY(stack_pop(cpu, &sp, size, &di));                                                       \
        TRY(stack_pop(cpu, &sp, size, &si));                                                       \
        TRY(stack_pop(cpu, &sp, size, &bp));                                                       \
        TRY(stack_pop(cpu, &sp, size, &skipped));                                                  \
        TRY(stack_pop(cpu, &sp, size, &bx));                                                       \
        TRY(stack_pop(cpu, &sp, size, &dx));                                                       \
        TRY(stack_pop(cpu, &sp, size, &cx));                                                       \
        TRY(stack_pop(cpu, &sp, size, &ax));                                                       \
        REG##bits##_SET(RDI, di);                                                                  \
        REG##bits##_SET(RSI, si);                                                                  \
        REG##bits##_SET(RBP, bp);                                                                  \
        REG##bits##_SET(RBX, bx);                                                                  \
        REG##bits##_SET(RDX, dx);                                                                  \
        REG##bits##_SET(RCX, cx);                                                                  \
        REG##bits##_SET(RAX, ax);                                                                  \
        stack_commit(cpu, sp);                                                                     \
        return NEXT(insn);                                                                         \
    }
PUSHA_FORM(16, SIZE_16)
PUSHA_FORM(32, SIZE_32)

/* SDM: a frame pointer for each level up to this one is copied, then this frame's own is pushed;
 * the last step is a write check at the new top of the stack. */
#define ENTER_FORM(bits, size)                                                                     \
    static always_inline bool enter##bits(struct cpu *cpu, const struct insn *insn)                \
    {                                                                                              \
        const unsigned level = (unsigned)insn->disp & 31;                                          \
        uint64_t sp = cpu->regs[RSP], bp = cpu->regs[RBP], outer;                                  \
        if (unlikely(stack_push(cpu, &sp, size, REG##bits(RBP))))                                  \
            return true;                                                                           \
        const uint64_t frame = sp;                                                                 \
        for (unsigned i = 1; i < level; i++) {                                                     \
            bp = (bp - (bits) / 8) & cpu->stack_mask;                                              \
            uint64_t at = bp;                                                                      \
            if (unlikely(stack_pop(cpu, &at, size, &outer)) ||                                     \
                unlikely(stack_push(cpu, &sp, size, outer)))                                       \
                return true;                                                                       \
        }                                                                                          \
        if (level > 0 && unlikely(stack_push(cpu, &sp, size, frame)))                              \
            return true;                                                                           \
        sp = (sp - (uint16_t)insn->imm) & cpu->stack_mask;                                         \
        if (unlikely(mem_check_write(cpu, stack_seg(cpu), sp, (bits) / 8)))                        \
            return true;                                                                           \
        REG##bits##_SET(RBP, frame);                                                               \
        stack_commit(cpu, sp);                                                                     \
        return false;                                                                              \
    }                                                                                              \
    EXEC(ENTER_##bits)                                                                             \
    {                                                                                              \
        TRY(enter##bits(cpu, insn));                                                               \
        return NEXT(insn);                                                                         \
    }                                                                                              \
    EXEC(LEAVE_##bits)                                                                             \
    {                                                                                              \
        uint64_t sp = cpu->regs[RBP], value;                                                       \
        TRY(stack_pop(cpu, &sp, size, &value));                                                    \
        stack_commit(cpu, sp);                                                                     \
        REG##bits##_SET(RBP, value);                                                               \
        return NEXT(insn);                                                                         \
    }
ENTER_FORM(16, SIZE_16)
ENTER_FORM(32, SIZE_32)
ENTER_FORM(64, SIZE_64)
