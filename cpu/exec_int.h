/* What the integer handlers share: operand access by width, atomic read-modify-write, flag pieces.
 *
 * A macro argument `bits` is 8, 16, 32 or 64; EACH_WIDTH() expands a form for 16, 32 and 64.
 */
#ifndef CPU_EXEC_INT_H
#define CPU_EXEC_INT_H

#include "cpu/exec.h"

#define EACH_WIDTH(FORM, ...) FORM(16, __VA_ARGS__) FORM(32, __VA_ARGS__) FORM(64, __VA_ARGS__)

/* A handler that touches memory.  Its body is compiled more than once: exec_name goes on only as
 * long as the shadow answers, so that it needs no stack frame and saves no register; at the first
 * access that the shadow does not allow, it starts over as slow_name.  Therefore nothing may be
 * changed before the last access.
 */
#define EXEC_MEMORY(name)                                                                          \
    static always_inline int body_##name(struct cpu *cpu, const struct insn *insn, exec_fn *slow); \
    static cold_path int slow_##name(struct cpu *cpu, const struct insn *insn)                     \
    {                                                                                              \
        return body_##name(cpu, insn, NULL);                                                       \
    }                                                                                              \
    EXEC(name)                                                                                     \
    {                                                                                              \
        return body_##name(cpu, insn, slow_##name);                                                \
    }                                                                                              \
    static always_inline int body_##name(struct cpu *cpu, const struct insn *insn, exec_fn *slow)

/* How the address of a ModRM operand is found: any way; or in a segment known to be flat, not
 * RIP-relative, 64 or 32 bits wide (exec_special.c chooses). */
enum operand_form { OPERAND_ANY, OPERAND_FLAT, OPERAND_FLAT32 };

static always_inline uint64_t operand_address(const struct cpu *cpu, const struct insn *insn,
                                              enum operand_form form)
{
    if (form == OPERAND_ANY)
        return insn_address(cpu, insn);
    uint64_t offset = cpu->regs[insn->base] + (cpu->regs[insn->index] << insn->scale) +
                      (uint64_t)(int64_t)insn->disp;
    return form == OPERAND_FLAT ? offset : (uint32_t)offset;
}

/* As EXEC_MEMORY, for a handler whose ModRM operand is in memory: flat_name and flat32_name besides
 * exec_name.  Whether segments are flat in 32-bit code is known only when it runs. */
#define EXEC_OPERAND(name)                                                                         \
    static always_inline int body_##name(struct cpu *cpu, const struct insn *insn, exec_fn *slow,  \
                                         const enum operand_form form);                            \
    static cold_path int slow_##name(struct cpu *cpu, const struct insn *insn)                     \
    {                                                                                              \
        return body_##name(cpu, insn, NULL, OPERAND_ANY);                                          \
    }                                                                                              \
    EXEC(name)                                                                                     \
    {                                                                                              \
        return body_##name(cpu, insn, slow_##name, OPERAND_ANY);                                   \
    }                                                                                              \
    exec_fn flat_##name, flat32_##name;                                                            \
    int flat_##name(struct cpu *cpu, const struct insn *insn)                                      \
    {                                                                                              \
        return body_##name(cpu, insn, slow_##name, OPERAND_FLAT);                                  \
    }                                                                                              \
    int flat32_##name(struct cpu *cpu, const struct insn *insn)                                    \
    {                                                                                              \
        if (unlikely(!cpu->flat_data))                                                             \
            return exec_##name(cpu, insn);                                                         \
        return body_##name(cpu, insn, slow_##name, OPERAND_FLAT32);                                \
    }                                                                                              \
    static always_inline int body_##name(struct cpu *cpu, const struct insn *insn, exec_fn *slow,  \
                                         const enum operand_form form)

/* In the body of EXEC_MEMORY: declares `value`, loaded from (seg, offset) … */
#define LOAD(bits, value, seg, offset)                                                             \
    uint##bits##_t value;                                                                          \
    do {                                                                                           \
        const uint64_t load_offset = (offset);                                                     \
        const void *host = mem_fast(cpu, seg, load_offset, (bits) / 8, false);                     \
        if (likely(host != NULL)) {                                                                \
            value = load_le##bits(host);                                                           \
        } else {                                                                                   \
            if (slow)                                                                              \
                return slow(cpu, insn);                                                            \
            if (mem_load_slow(cpu, seg, load_offset, (bits) / 8))                                  \
                return exec_fault(cpu, insn);                                                      \
            value = (uint##bits##_t)cpu->load_value;                                               \
        }                                                                                          \
    } while (0)

/* … stores `value` … */
#define STORE(bits, value, seg, offset)                                                            \
    do {                                                                                           \
        const uint64_t store_offset = (offset);                                                    \
        void *host = mem_fast(cpu, seg, store_offset, (bits) / 8, true);                           \
        if (likely(host != NULL)) {                                                                \
            store_le##bits(host, value);                                                           \
        } else {                                                                                   \
            if (slow)                                                                              \
                return slow(cpu, insn);                                                            \
            TRY(mem_store_slow(cpu, seg, store_offset, (bits) / 8, value));                        \
        }                                                                                          \
    } while (0)

/* … declares `at`, where an operand is to be modified; DONE() afterwards. */
#define MODIFY(bits, at, seg, offset)                                                              \
    void *at;                                                                                      \
    do {                                                                                           \
        const uint64_t modify_offset = (offset);                                                   \
        at = mem_fast(cpu, seg, modify_offset, (bits) / 8, true);                                  \
        if (unlikely(!at)) {                                                                       \
            if (slow)                                                                              \
                return slow(cpu, insn);                                                            \
            at = mem_rmw_slow(cpu, seg, modify_offset, (bits) / 8);                                \
            if (!at)                                                                               \
                return exec_fault(cpu, insn);                                                      \
        }                                                                                          \
    } while (0)
#define MODIFY_DONE()                                                                              \
    do {                                                                                           \
        if (!slow)                                                                                 \
            mem_rmw_done(cpu);                                                                     \
    } while (0)

/* The same with the ModRM operand, in EXEC_OPERAND. */
#define OPERAND_SEG                (form == OPERAND_ANY ? insn->seg : SEG_FLAT)
#define OPERAND_ADDRESS            operand_address(cpu, insn, form)
#define LOAD_OPERAND(bits, value)  LOAD(bits, value, OPERAND_SEG, OPERAND_ADDRESS)
#define STORE_OPERAND(bits, value) STORE(bits, value, OPERAND_SEG, OPERAND_ADDRESS)
#define MODIFY_OPERAND(bits, at)   MODIFY(bits, at, OPERAND_SEG, OPERAND_ADDRESS)

/* host_commitN: stores `value` where *old was read.  Under LOCK another vCPU may have been there in
 * between; then nothing is stored, *old is what is there now, and the answer is false:
 *
 *     uint32_t a = load_le32(at), result;
 *     do
 *         result = a + b;
 *     while (!host_commit32(insn, at, &a, result));
 */
static always_inline uint8_t load_le8(const void *from)
{
    return *(const uint8_t *)from;
}
static always_inline void store_le8(void *to, uint8_t value)
{
    *(uint8_t *)to = value;
}
#define HOST_DEFINE_COMMIT(bits)                                                                   \
    static always_inline bool host_commit##bits(const struct insn *insn, void *at,                 \
                                                uint##bits##_t *old, uint##bits##_t value)         \
    {                                                                                              \
        if (likely(!insn->lock)) {                                                                 \
            store_le##bits(at, value);                                                             \
            return true;                                                                           \
        }                                                                                          \
        return __atomic_compare_exchange_n((uint##bits##_t *)at, old, value, false,                \
                                           __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                    \
    }
HOST_DEFINE_COMMIT(8)
HOST_DEFINE_COMMIT(16)
HOST_DEFINE_COMMIT(32)
HOST_DEFINE_COMMIT(64)
#undef HOST_DEFINE_COMMIT

/* --- flags by the sum or difference `wide` of two operands of `bits` bits, each in 64 */
static always_inline void flags_after_add(struct cpu *cpu, uint64_t a, uint64_t b, uint64_t wide,
                                          unsigned bits)
{
    if (bits == 64)
        flags_add(cpu, a, b, wide, 64);
    else
        flags_wide(cpu, a, b, wide, bits);
}
static always_inline void flags_after_subtract(struct cpu *cpu, uint64_t a, uint64_t b,
                                               uint64_t wide, unsigned bits)
{
    if (bits == 64)
        flags_subtract(cpu, a, b, wide, 64);
    else
        flags_wide(cpu, a, b, wide, bits);
}

/* --- flags one by one */

/* Changes CF; OF, which is kept as its difference from the carry into the top bit, stays. */
static always_inline void flag_set_cf(struct cpu *cpu, bool value)
{
    uint64_t change = (cpu->lazy.carries ^ (uint64_t)value << 63) & LAZY_CF;
    cpu->lazy.carries ^= change | change >> 1;
}
/* Changes CF and OF: `carry_in` is CF ^ OF; the others stay. */
static always_inline void flags_set_cf_of(struct cpu *cpu, bool carry, bool carry_in)
{
    cpu->lazy.carries = (cpu->lazy.carries & ~(LAZY_CF | LAZY_CARRY_IN)) | (uint64_t)carry << 63 |
                        (uint64_t)carry_in << 62;
}
/* SF, ZF and PF by the result, CF and OF as given, AF 0. */
static always_inline void flags_shifted(struct cpu *cpu, uint64_t result, bool carry, bool carry_in,
                                        unsigned bits)
{
    cpu->lazy.result = (uint64_t)bits_sign_extend(result, bits);
    cpu->lazy.carries = (uint64_t)carry << 63 | (uint64_t)carry_in << 62;
}

/* --- conditions by their SDM names */
#define CONDITION_O   flag_of(cpu)
#define CONDITION_NO  !flag_of(cpu)
#define CONDITION_B   flag_cf(cpu)
#define CONDITION_NB  !flag_cf(cpu)
#define CONDITION_Z   flag_zf(cpu)
#define CONDITION_NZ  !flag_zf(cpu)
#define CONDITION_BE  (flag_cf(cpu) | flag_zf(cpu))
#define CONDITION_NBE !(flag_cf(cpu) | flag_zf(cpu))
#define CONDITION_S   flag_sf(cpu)
#define CONDITION_NS  !flag_sf(cpu)
#define CONDITION_P   flag_pf(cpu)
#define CONDITION_NP  !flag_pf(cpu)
#define CONDITION_L   (flag_sf(cpu) != flag_of(cpu))
#define CONDITION_NL  (flag_sf(cpu) == flag_of(cpu))
#define CONDITION_LE  (flag_zf(cpu) | (flag_sf(cpu) != flag_of(cpu)))
#define CONDITION_NLE !(flag_zf(cpu) | (flag_sf(cpu) != flag_of(cpu)))
/* clang-format off */
#define EACH_CONDITION(FORM)                                                                       \
    FORM(O) FORM(NO) FORM(B) FORM(NB) FORM(Z) FORM(NZ) FORM(BE) FORM(NBE)                          \
    FORM(S) FORM(NS) FORM(P) FORM(NP) FORM(L) FORM(NL) FORM(LE) FORM(NLE)
/* clang-format on */

#endif
