/* Near branches: JMP CALL RET Jcc LOOPcc JCXZ (SDM 2A and 2B under these names).
 *
 * INV-1: a target outside CS's limit, or not canonical, faults before anything has changed.
 */
#include "cpu/exec_branch.h"
#include "cpu/exec_stack.h"

#define RELATIVE_JUMP(handler, bits, taken)                                                        \
    EXEC(handler)                                                                                  \
    {                                                                                              \
        RELATIVE_BRANCH(bits, taken);                                                              \
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
        RELATIVE_BRANCH(bits, taken);                                                              \
    }
#define LOOP_FORMS(bits, op)                                                                       \
    LOOP_FORM(LOOP_Jb_##bits, bits, true)                                                          \
    LOOP_FORM(LOOPE_Jb_##bits, bits, flag_zf(cpu))                                                 \
    LOOP_FORM(LOOPNE_Jb_##bits, bits, !flag_zf(cpu))
EACH_WIDTH(LOOP_FORMS, LOOP)
