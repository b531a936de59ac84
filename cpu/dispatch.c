/* Row, form and size to handler: the table's last column. */
#include "cpu/exec.h"

/* clang-format off */
#define DISPATCH_S_ONE(id)                                                                         \
    {{exec_##id, exec_##id, exec_##id, exec_##id}, {exec_##id, exec_##id, exec_##id, exec_##id}}
#define DISPATCH_S_RM(id)                                                                          \
    {{exec_##id##_r, exec_##id##_r, exec_##id##_r, exec_##id##_r},                                 \
     {exec_##id##_m, exec_##id##_m, exec_##id##_m, exec_##id##_m}}
#define DISPATCH_S_V(id)                                                                           \
    {{NULL, exec_##id##_16, exec_##id##_32, exec_##id##_64},                                       \
     {NULL, exec_##id##_16, exec_##id##_32, exec_##id##_64}}
#define DISPATCH_S_ZV(id)                                                                          \
    {{NULL, exec_##id##_16, exec_##id##_32, NULL}, {NULL, exec_##id##_16, exec_##id##_32, NULL}}
#define DISPATCH_S_Y(id)                                                                           \
    {{NULL, NULL, exec_##id##_32, exec_##id##_64}, {NULL, NULL, exec_##id##_32, exec_##id##_64}}
#define DISPATCH_S_VRM(id)                                                                         \
    {{NULL, exec_##id##_r16, exec_##id##_r32, exec_##id##_r64},                                    \
     {NULL, exec_##id##_m16, exec_##id##_m32, exec_##id##_m64}}
#define DISPATCH_S_YRM(id)                                                                         \
    {{NULL, NULL, exec_##id##_r32, exec_##id##_r64},                                               \
     {NULL, NULL, exec_##id##_m32, exec_##id##_m64}}
/* clang-format on */

exec_fn *const opcode_exec[OPCODE_COUNT][2][4] = {
#define OP(id, mnemonic, map, opcode, modrm, prefix, modes, size, op1, op2, op3, reads, writes,    \
           undefined, feature, privilege, attributes, policy_register, policy_memory, shape,       \
           section)                                                                                \
    [OP_##id] = DISPATCH_##shape(id),
#include "cpu/opcodes.def"
#undef OP
};
