/* XCHG CMPXCHG XADD CMPXCHG8B CMPXCHG16B: SDM 2A and 2B under these names.
 *
 * INV-1: under LOCK, and for XCHG with memory always, the change of guest memory is one atomic
 *        operation of the host, so that it is one for the other vCPUs too.
 */
#include "cpu/exec_int.h"

#define XCHG_REGISTERS(handler, bits, one, other)                                                  \
    EXEC(handler)                                                                                  \
    {                                                                                              \
        const uint##bits##_t a = REG##bits(one), b = REG##bits(other);                             \
        REG##bits##_SET(one, b);                                                                   \
        REG##bits##_SET(other, a);                                                                 \
        return NEXT(insn);                                                                         \
    }
#define XCHG_MEMORY(handler, bits)                                                                 \
    EXEC_OPERAND(handler)                                                                          \
    {                                                                                              \
        MODIFY_OPERAND(bits, at);                                                                  \
        REG##bits##_SET(insn->reg, __atomic_exchange_n((uint##bits##_t *)at, REG##bits(insn->reg), \
                                                       __ATOMIC_SEQ_CST));                         \
        MODIFY_DONE();                                                                             \
        return NEXT(insn);                                                                         \
    }
/* QUIRK: NOP is XCHG rAX, rAX; it does not clear bits 63:32. */
#define XCHG_FORMS_V(bits, op)                                                                     \
    XCHG_REGISTERS(XCHG_EvGv_r##bits, bits, insn->rm, insn->reg)                                   \
    XCHG_MEMORY(XCHG_EvGv_m##bits, bits)                                                           \
    EXEC(XCHG_ZvrAX_##bits)                                                                        \
    {                                                                                              \
        if (insn->reg != RAX) {                                                                    \
            const uint##bits##_t a = REG##bits(RAX), b = REG##bits(insn->reg);                     \
            REG##bits##_SET(RAX, b);                                                               \
            REG##bits##_SET(insn->reg, a);                                                         \
        }                                                                                          \
        return NEXT(insn);                                                                         \
    }
XCHG_REGISTERS(XCHG_EbGb_r, 8, insn->rm, insn->reg)
XCHG_MEMORY(XCHG_EbGb_m, 8)
EACH_WIDTH(XCHG_FORMS_V, XCHG)

/* XADD: the source gets the old value first, so the sum wins when both are one register. */
#define XADD_FORMS(form_r, form_m, bits)                                                           \
    EXEC(form_r)                                                                                   \
    {                                                                                              \
        const uint##bits##_t a = REG##bits(insn->rm), b = REG##bits(insn->reg);                    \
        const uint##bits##_t result = (uint##bits##_t)(a + b);                                     \
        flags_after_add(cpu, a, b, (uint64_t)a + b, bits);                                         \
        REG##bits##_SET(insn->reg, a);                                                             \
        REG##bits##_SET(insn->rm, result);                                                         \
        return NEXT(insn);                                                                         \
    }                                                                                              \
    EXEC_OPERAND(form_m)                                                                           \
    {                                                                                              \
        MODIFY_OPERAND(bits, at);                                                                  \
        const uint##bits##_t b = REG##bits(insn->reg);                                             \
        uint##bits##_t a = load_le##bits(at), result;                                              \
        do                                                                                         \
            result = (uint##bits##_t)(a + b);                                                      \
        while (unlikely(!host_commit##bits(insn, at, &a, result)));                                \
        flags_after_add(cpu, a, b, (uint64_t)a + b, bits);                                         \
        REG##bits##_SET(insn->reg, a);                                                             \
        MODIFY_DONE();                                                                             \
        return NEXT(insn);                                                                         \
    }
#define XADD_FORMS_V(bits, op) XADD_FORMS(XADD_EvGv_r##bits, XADD_EvGv_m##bits, bits)
XADD_FORMS(XADD_EbGb_r, XADD_EbGb_m, 8)
EACH_WIDTH(XADD_FORMS_V, XADD)

/* CMPXCHG: memory is written in any case, a register only on success; the accumulator only on
 * failure. */
#define CMPXCHG_FORMS(form_r, form_m, bits)                                                        \
    EXEC(form_r)                                                                                   \
    {                                                                                              \
        const uint##bits##_t expected = REG##bits(RAX), old = REG##bits(insn->rm);                 \
        flags_after_subtract(cpu, expected, old, (uint64_t)expected - old, bits);                  \
        if (old == expected)                                                                       \
            REG##bits##_SET(insn->rm, REG##bits(insn->reg));                                       \
        else                                                                                       \
            REG##bits##_SET(RAX, old);                                                             \
        return NEXT(insn);                                                                         \
    }                                                                                              \
    EXEC_OPERAND(form_m)                                                                           \
    {                                                                                              \
        MODIFY_OPERAND(bits, at);                                                                  \
        const uint##bits##_t expected = REG##bits(RAX);                                            \
        uint##bits##_t old = load_le##bits(at);                                                    \
        while (unlikely(                                                                           \
            !host_commit##bits(insn, at, &old, old == expected ? REG##bits(insn->reg) : old)))     \
            ;                                                                                      \
        flags_after_subtract(cpu, expected, old, (uint64_t)expected - old, bits);                  \
        if (old != expected)                                                                       \
            REG##bits##_SET(RAX, old);                                                             \
        MODIFY_DONE();                                                                             \
        return NEXT(insn);                                                                         \
    }
#define CMPXCHG_FORMS_V(bits, op) CMPXCHG_FORMS(CMPXCHG_EvGv_r##bits, CMPXCHG_EvGv_m##bits, bits)
CMPXCHG_FORMS(CMPXCHG_EbGb_r, CMPXCHG_EbGb_m, 8)
EACH_WIDTH(CMPXCHG_FORMS_V, CMPXCHG)

/* --- double-width */
static always_inline void flag_set_zf(struct cpu *cpu, bool value)
{
    if (value != flag_zf(cpu))
        flags_update_arithmetic(cpu, value ? F_ZF : 0, F_ZF);
}

EXEC_OPERAND(CMPXCHG8B_Mq_32)
{
    MODIFY_OPERAND(64, at);
    const uint64_t expected = (uint64_t)REG32(RDX) << 32 | REG32(RAX);
    const uint64_t desired = (uint64_t)REG32(RCX) << 32 | REG32(RBX);
    uint64_t old = load_le64(at);
    while (unlikely(!host_commit64(insn, at, &old, old == expected ? desired : old)))
        ;
    flag_set_zf(cpu, old == expected);
    if (old != expected) {
        REG32_SET(RAX, old);
        REG32_SET(RDX, old >> 32);
    }
    MODIFY_DONE();
    return NEXT(insn);
}

typedef unsigned __int128 uint128_t;

/* What is at `at` (16-byte aligned); `desired` is stored there if that equals `expected`. */
#ifdef __x86_64__
__attribute__((target("cx16")))
#endif
static uint128_t
compare_exchange128(uint128_t *at, uint128_t expected, uint128_t desired)
{
    return __sync_val_compare_and_swap(at, expected, desired);
}

EXEC(CMPXCHG8B_Mq_64)
{
    if (!feature_has(&cpu->model->features, FEAT_CX16))
        RAISE_UD();
    const uint64_t offset = insn_address(cpu, insn);
    if (unlikely((cpu->segs[insn->seg].base + offset) & 15))
        RAISE_GP0();
    uint128_t *at = mem_rmw(cpu, insn->seg, offset, 16);
    if (unlikely(!at))
        return exec_fault(cpu, insn);
    const uint128_t expected = (uint128_t)REG64(RDX) << 64 | REG64(RAX);
    const uint128_t desired = (uint128_t)REG64(RCX) << 64 | REG64(RBX);
    const uint128_t old = compare_exchange128(at, expected, desired);
    flag_set_zf(cpu, old == expected);
    if (old != expected) {
        REG64_SET(RAX, (uint64_t)old);
        REG64_SET(RDX, (uint64_t)(old >> 64));
    }
    mem_rmw_done(cpu);
    return NEXT(insn);
}
