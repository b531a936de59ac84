/* Handlers that are compiled twice, so that the common case needs no stack frame: exec_name() goes
 * on only as long as nothing rare happens, and else starts over as slow_name(), which calls
 * whatever it must.  The body knows which it is by `slow`: the function to start over as, or NULL.
 *
 * INV-1: a body changes no state before the last point at which it may start over or fault.
 */
#ifndef CPU_EXEC_TWICE_H
#define CPU_EXEC_TWICE_H

#include "cpu/exec.h"

/* `rare`: what sends the instruction to slow_name() from the start. */
#define EXEC_TWICE(name, rare)                                                                     \
    static always_inline int body_##name(struct cpu *cpu, const struct insn *insn, exec_fn *slow); \
    static cold_path int slow_##name(struct cpu *cpu, const struct insn *insn)                     \
    {                                                                                              \
        return body_##name(cpu, insn, NULL);                                                       \
    }                                                                                              \
    EXEC(name)                                                                                     \
    {                                                                                              \
        if (unlikely(rare))                                                                        \
            return slow_##name(cpu, insn);                                                         \
        return body_##name(cpu, insn, slow_##name);                                                \
    }                                                                                              \
    static always_inline int body_##name(struct cpu *cpu, const struct insn *insn, exec_fn *slow)

/* In a body: the condition is a fault, or in the common case a reason to start over. */
#define TRY_OR_SLOW(condition)                                                                     \
    do {                                                                                           \
        if (unlikely(condition))                                                                   \
            return slow ? slow(cpu, insn) : exec_fault(cpu, insn);                                 \
    } while (0)

/* The ModRM operand in memory: loads it into *value, stores `value`; true: a fault, or if `fast`,
 * not to be had at once. */
#define OPERAND_DEFINE(bits)                                                                       \
    static always_inline must_check bool operand_load##bits(                                       \
        struct cpu *cpu, const struct insn *insn, uint##bits##_t *value, bool fast)                \
    {                                                                                              \
        uint64_t offset = insn_address(cpu, insn);                                                 \
        const void *host = mem_fast(cpu, insn->seg, offset, (bits) / 8, false);                    \
        if (likely(host != NULL)) {                                                                \
            memcpy(value, host, (bits) / 8);                                                       \
            return false;                                                                          \
        }                                                                                          \
        if (fast || mem_load_slow(cpu, insn->seg, offset, (bits) / 8))                             \
            return true;                                                                           \
        *value = (uint##bits##_t)cpu->load_value;                                                  \
        return false;                                                                              \
    }                                                                                              \
    static always_inline must_check bool operand_store##bits(                                      \
        struct cpu *cpu, const struct insn *insn, uint##bits##_t value, bool fast)                 \
    {                                                                                              \
        uint64_t offset = insn_address(cpu, insn);                                                 \
        void *host = mem_fast(cpu, insn->seg, offset, (bits) / 8, true);                           \
        if (likely(host != NULL)) {                                                                \
            memcpy(host, &value, (bits) / 8);                                                      \
            return false;                                                                          \
        }                                                                                          \
        return fast || mem_store_slow(cpu, insn->seg, offset, (bits) / 8, value);                  \
    }
OPERAND_DEFINE(8)
OPERAND_DEFINE(16)
OPERAND_DEFINE(32)
OPERAND_DEFINE(64)
#undef OPERAND_DEFINE

#define OPERAND_LOAD(bits, value) TRY_OR_SLOW(operand_load##bits(cpu, insn, &(value), slow))
#define OPERAND_STORE(bits, value)                                                                 \
    TRY_OR_SLOW(operand_store##bits(cpu, insn, (uint##bits##_t)(value), slow))

#endif
