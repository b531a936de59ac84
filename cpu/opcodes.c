#include "cpu/features.h"
#include "cpu/insn.h"

const struct opcode_row opcode_rows[OPCODE_COUNT] = {
#define OP(id_, mnemonic_, map_, opcode_, modrm_, prefix_, modes_, size_, op1, op2, op3, reads,    \
           writes, undefined, feature_, privilege_, attributes_, policy_register_, policy_memory_, \
           shape, section_)                                                                        \
    [OP_##id_] = {                                                                                 \
        .id = #id_,                                                                                \
        .mnemonic = mnemonic_,                                                                     \
        .section = section_,                                                                       \
        .map = map_,                                                                               \
        .opcode = opcode_,                                                                         \
        .modrm = modrm_,                                                                           \
        .prefix = prefix_,                                                                         \
        .modes = modes_,                                                                           \
        .size = size_,                                                                             \
        .operand = {op1, op2, op3},                                                                \
        .flags_read = reads,                                                                       \
        .flags_written = writes,                                                                   \
        .flags_undefined = undefined,                                                              \
        .feature = FEAT_##feature_,                                                                \
        .privilege = privilege_,                                                                   \
        .attributes = attributes_,                                                                 \
        .policy_register = policy_register_,                                                       \
        .policy_memory = policy_memory_,                                                           \
    },
#include "cpu/opcodes.def"
#undef OP
};

/* A sensitive instruction must never run unchanged (Robin & Irvine, USENIX Security 2000). */
#define OP(id, mnemonic, map, opcode, modrm, prefix, modes, size, op1, op2, op3, reads, writes,    \
           undefined, feature, privilege, attributes, policy_register, policy_memory, shape,       \
           section)                                                                                \
    _Static_assert(!((attributes)&A_SENSITIVE) ||                                                  \
                       ((policy_register) != IDENTICAL && (policy_memory) != IDENTICAL &&          \
                        (policy_memory) != MEMORY),                                                \
                   #id " is sensitive and must not be copied");
#include "cpu/opcodes.def"
#undef OP

/* The compiler names the duplicate: two rows with one key are one case label twice. */
int opcode_key_check(uint32_t key);
int opcode_key_check(uint32_t key)
{
    switch (key) {
#define OP(id, mnemonic, map, opcode, modrm, prefix, modes, size, ...)                             \
    case (modes) << 25 | (map) << 22 | (prefix) << 19 | (modrm) << 8 | (opcode):                   \
        return OP_##id;
#include "cpu/opcodes.def"
#undef OP
    }
    return -1;
}
