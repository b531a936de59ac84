/* Chooses faster handlers for the instructions of a block (EXEC_OPERAND, exec_fused.c):
 *  - an operand in a flat segment with a 64-bit address: flat_name instead of exec_name;
 *  - a 32-bit address in DS, SS or ES, which may turn out to be flat: flat32_name;
 *  - what sets flags for a conditional branch right after it: one handler for both.
 *
 * INV-1: only rows of opcodes_int.def are exchanged, and only their own handler.
 */
#include "cpu/exec_special.h"

#include "cpu/exec.h"

/* --- the handlers: those of all rows with a ModRM operand in either form, and some of M_MEM rows
 */
#define DECLARE_S_RM(id) exec_fn flat_##id##_m, flat32_##id##_m;
#define DECLARE_S_VRM(id)                                                                          \
    exec_fn flat_##id##_m16, flat_##id##_m32, flat_##id##_m64, flat32_##id##_m16, flat32_##id##_m32;
#define DECLARE_S_V(id)
#define DECLARE_S_ZV(id)
#define DECLARE_S_Y(id)
#define DECLARE_S_ONE(id)
#define OP(id, mnemonic, map, opcode, modrm, prefix, modes, size, op1, op2, op3, reads, writes,    \
           undefined, feature, privilege, attributes, policy_register, policy_memory, shape,       \
           section)                                                                                \
    DECLARE_##shape(id)
#include "cpu/opcodes_int.def"
#undef OP
exec_fn flat_LEA_GvM_32, flat_LEA_GvM_64, flat_MOVNTI_MyGy_32, flat_MOVNTI_MyGy_64,
    flat_MOVBE_GvMv_16, flat_MOVBE_GvMv_32, flat_MOVBE_GvMv_64, flat_MOVBE_MvGv_16,
    flat_MOVBE_MvGv_32, flat_MOVBE_MvGv_64, flat_CMPXCHG8B_Mq_32;

/* By row and operand size: for 64-bit addresses, for 32-bit addresses. */
#define FLAT_S_RM(id)                                                                              \
    [OP_##id] = {{flat_##id##_m, flat_##id##_m, flat_##id##_m, flat_##id##_m},                     \
                 {flat32_##id##_m, flat32_##id##_m, flat32_##id##_m, NULL}},
#define FLAT_S_VRM(id)                                                                             \
    [OP_##id] = {{NULL, flat_##id##_m16, flat_##id##_m32, flat_##id##_m64},                        \
                 {NULL, flat32_##id##_m16, flat32_##id##_m32, NULL}},
#define FLAT_S_V(id)
#define FLAT_S_ZV(id)
#define FLAT_S_Y(id)
#define FLAT_S_ONE(id)
static exec_fn *const flat_exec[OPCODE_COUNT][2][4] = {
#define OP(id, mnemonic, map, opcode, modrm, prefix, modes, size, op1, op2, op3, reads, writes,    \
           undefined, feature, privilege, attributes, policy_register, policy_memory, shape,       \
           section)                                                                                \
    FLAT_##shape(id)
#include "cpu/opcodes_int.def"
#undef OP
    [OP_LEA_GvM] = {{NULL, NULL, flat_LEA_GvM_32, flat_LEA_GvM_64}, {NULL, NULL, flat_LEA_GvM_32}},
    [OP_MOVNTI_MyGy] = {{NULL, NULL, flat_MOVNTI_MyGy_32, flat_MOVNTI_MyGy_64}},
    [OP_MOVBE_GvMv] = {{NULL, flat_MOVBE_GvMv_16, flat_MOVBE_GvMv_32, flat_MOVBE_GvMv_64}},
    [OP_MOVBE_MvGv] = {{NULL, flat_MOVBE_MvGv_16, flat_MOVBE_MvGv_32, flat_MOVBE_MvGv_64}},
    [OP_CMPXCHG8B_Mq] = {{NULL, NULL, flat_CMPXCHG8B_Mq_32, NULL}},
};

static bool is_flat(const struct insn *insn)
{
    return insn->memory && !insn->rip && insn->address == SIZE_64 &&
           (insn->row == OP_LEA_GvM || insn->seg == SEG_FLAT || insn->seg == SEG_FLAT_STACK);
}

static bool may_be_flat32(const struct insn *insn)
{
    return insn->memory && !insn->rip && insn->address == SIZE_32 &&
           (insn->row == OP_LEA_GvM || insn->seg == DS || insn->seg == SS || insn->seg == ES);
}

static bool has_general_handler(const struct insn *insn)
{
    return insn->exec == opcode_exec[insn->row][insn->memory][insn->size];
}

void exec_specialise(struct insn *insns, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct insn *insn = &insns[i];
        if (!has_general_handler(insn))
            continue;
        bool flat = is_flat(insn);
        exec_fn *special = NULL;
        if (i + 1 < count && has_general_handler(insn + 1))
            special = exec_fuse(insn, flat);
        if (!special && flat)
            special = flat_exec[insn->row][0][insn->size];
        if (!special && may_be_flat32(insn))
            special = flat_exec[insn->row][1][insn->size];
        if (special)
            insn->exec = special;
    }
}
