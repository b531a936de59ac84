/* What SSE and MMX handlers share: operands of 16 bytes and less, MXCSR, the MMX view of the x87
 * registers.
 *
 * Handlers run the guest's instruction itself on the host, so results and exception flags are the
 * hardware's.
 *
 * INV-1: (INV-4 of cpu.h) while a block runs and the guest has masked every SIMD exception, the
 *        host's MXCSR is the guest's; its flags gather there, and cpu->mxcsr is stale in its flags
 *        only.  Otherwise the host's MXCSR is the default, cpu->mxcsr is whole, and each
 *        floating-point handler goes through sse_check_begin() to sse_check_end().
 * LIMIT: the host is an x86-64; another host needs these handlers in C.
 */
#ifndef CPU_SSE_ENV_H
#define CPU_SSE_ENV_H

#include "cpu/exec_twice.h"
#include "cpu/x87.h"

#include <emmintrin.h>

#define MXCSR_FLAGS   0x003fu
#define MXCSR_DAZ     0x0040u
#define MXCSR_MASKS   0x1f80u
#define MXCSR_FTZ     0x8000u
#define MXCSR_DEFAULT 0x1f80u
enum { MXCSR_MASK_SHIFT = 7 };
/* Exceptions: those found before the computation, those found after. */
enum {
    MXCSR_IE = 0x01,
    MXCSR_DE = 0x02,
    MXCSR_ZE = 0x04,
    MXCSR_OE = 0x08,
    MXCSR_UE = 0x10,
    MXCSR_PE = 0x20,
    MXCSR_BEFORE = MXCSR_IE | MXCSR_DE | MXCSR_ZE,
};

/* MXCSR with its flags up to date. */
uint32_t sse_mxcsr(const struct cpu *cpu);
/* Loads MXCSR during a run; reserved bits are the caller's to refuse. */
void sse_set_mxcsr(struct cpu *cpu, uint32_t value);

static always_inline bool sse_is_checked(const struct cpu *cpu)
{
    return ~cpu->mxcsr & MXCSR_MASKS;
}

/* A handler with an operand in memory, one that can raise SIMD floating-point exceptions. */
#define EXEC_MEMORY(name) EXEC_TWICE(name, false)
#define EXEC_FP(name)     EXEC_TWICE(name, sse_is_checked(cpu))

/* In the body of EXEC_FP: runs `statement`, which must leave its operands alone, under the guest's
 * MXCSR; raises #XM before anything is written if it met an unmasked exception. */
#define SSE_RUN(statement)                                                                         \
    do {                                                                                           \
        if (slow || likely(!sse_is_checked(cpu))) {                                                \
            statement;                                                                             \
        } else {                                                                                   \
            sse_check_begin(cpu);                                                                  \
            do                                                                                     \
                statement;                                                                         \
            while (sse_check_again(cpu));                                                          \
            TRY(sse_check_end(cpu));                                                               \
        }                                                                                          \
    } while (0)
/* Prepares the host's MXCSR for a checked instruction. */
void sse_check_begin(struct cpu *cpu);
/* Gathers what the instruction found; true: it must run once more. */
bool sse_check_again(struct cpu *cpu);
/* Merges the flags into the guest's; true with #XM (or #UD) pending. */
must_check bool sse_check_end(struct cpu *cpu);

/* --- XMM registers */
static always_inline __m128i *sse_register(struct cpu *cpu, unsigned n)
{
    return (__m128i *)(void *)&cpu->xmm[n];
}
#define XMM(n) (*sse_register(cpu, n))

/* --- memory operands: true with the fault pending */
must_check bool sse_load_slow(struct cpu *cpu, unsigned seg, uint64_t offset, bool aligned);
must_check bool sse_store_slow(struct cpu *cpu, unsigned seg, uint64_t offset, unsigned reg,
                               bool aligned);

/* 16 bytes; `aligned`: #GP(0) unless the linear address is a multiple of 16.  Frames are page
 * aligned, so the host's address tells. */
static always_inline must_check bool sse_load_128(struct cpu *cpu, const struct insn *insn,
                                                  __m128i *value, bool aligned, bool fast)
{
    uint64_t offset = insn_address(cpu, insn);
    const void *host = mem_fast(cpu, insn->seg, offset, 16, false);
    if (likely(host != NULL && !(aligned && (uintptr_t)host & 15))) {
        *value = _mm_loadu_si128(host);
        return false;
    }
    if (fast || sse_load_slow(cpu, insn->seg, offset, aligned))
        return true;
    *value = _mm_load_si128((const __m128i *)(const void *)cpu->rmw.bytes);
    return false;
}
static always_inline must_check bool sse_store_128(struct cpu *cpu, const struct insn *insn,
                                                   bool aligned, bool fast)
{
    uint64_t offset = insn_address(cpu, insn);
    void *host = mem_fast(cpu, insn->seg, offset, 16, true);
    if (likely(host != NULL && !(aligned && (uintptr_t)host & 15))) {
        _mm_storeu_si128(host, XMM(insn->reg));
        return false;
    }
    return fast || sse_store_slow(cpu, insn->seg, offset, insn->reg, aligned);
}
static always_inline must_check bool sse_load_a(struct cpu *cpu, const struct insn *insn,
                                                __m128i *value, bool fast)
{
    return sse_load_128(cpu, insn, value, true, fast);
}
static always_inline must_check bool sse_load_u(struct cpu *cpu, const struct insn *insn,
                                                __m128i *value, bool fast)
{
    return sse_load_128(cpu, insn, value, false, fast);
}
/* 8, 4, 2 bytes into the low end of a vector of zeros */
static always_inline must_check bool sse_load_q(struct cpu *cpu, const struct insn *insn,
                                                __m128i *value, bool fast)
{
    uint64_t low = 0;
    bool missed = operand_load64(cpu, insn, &low, fast);
    *value = _mm_cvtsi64_si128((int64_t)low);
    return missed;
}
static always_inline must_check bool sse_load_d(struct cpu *cpu, const struct insn *insn,
                                                __m128i *value, bool fast)
{
    uint32_t low = 0;
    bool missed = operand_load32(cpu, insn, &low, fast);
    *value = _mm_cvtsi32_si128((int32_t)low);
    return missed;
}
static always_inline must_check bool sse_load_w(struct cpu *cpu, const struct insn *insn,
                                                __m128i *value, bool fast)
{
    uint16_t low = 0;
    bool missed = operand_load16(cpu, insn, &low, fast);
    *value = _mm_cvtsi32_si128(low);
    return missed;
}
/* In a body: `size` is the suffix of a loader above. */
#define SSE_LOAD(size, value) TRY_OR_SLOW(sse_load_##size(cpu, insn, &(value), slow))
#define SSE_STORE(aligned)    TRY_OR_SLOW(sse_store_128(cpu, insn, aligned, slow))

/* --- MMX registers: the mantissas of R0..R7 */
#define MMX(n)        (cpu->x87.registers[n].mantissa)
#define MMX_VECTOR(n) _mm_cvtsi64_si128((int64_t)MMX(n))

/* A pending x87 error is reported first. */
#define MMX_BEGIN() X87_CHECK()
/* Every MMX instruction leaves TOP 0 and, but for EMMS, all registers valid (SDM 1 §9.6.2). */
static always_inline void mmx_end(struct cpu *cpu)
{
    cpu->x87.status &= (uint16_t)~X87_TOP;
    cpu->x87.valid = 0xff;
}
static always_inline void mmx_write(struct cpu *cpu, unsigned n, uint64_t value)
{
    cpu->x87.registers[n].mantissa = value;
    cpu->x87.registers[n].exponent = 0xffff;
    mmx_end(cpu);
}

/* --- the shapes most handlers have; `load` is the suffix of a loader above */
#define SSE_ASM(op, result, a, b) __asm__ volatile(op " %2, %0" : "=x"(result) : "0"(a), "x"(b))
/* XMM0 is an operand too. */
#define SSE_ASM_XMM0(op, result, a, b)                                                             \
    __asm__(op " %3, %2, %0" : "=x"(result) : "0"(a), "x"(b), "Yz"(XMM(0)))

/* destination = destination op source; `form(op, result, a, b)` is one of the two above */
#define SSE_FORMS(id, form, op, load)                                                              \
    EXEC(id##_r)                                                                                   \
    {                                                                                              \
        __m128i result;                                                                            \
        form(op, result, XMM(insn->reg), XMM(insn->rm));                                           \
        XMM(insn->reg) = result;                                                                   \
        return NEXT(insn);                                                                         \
    }                                                                                              \
    EXEC_MEMORY(id##_m)                                                                            \
    {                                                                                              \
        __m128i source, result;                                                                    \
        SSE_LOAD(load, source);                                                                    \
        form(op, result, XMM(insn->reg), source);                                                  \
        XMM(insn->reg) = result;                                                                   \
        return NEXT(insn);                                                                         \
    }
#define SSE_BINARY(id, op, load) SSE_FORMS(id, SSE_ASM, op, load)

/* The same for instructions that can raise SIMD floating-point exceptions. */
#define SSE_FP_BINARY(id, op, load)                                                                \
    EXEC_FP(id##_r)                                                                                \
    {                                                                                              \
        __m128i result;                                                                            \
        SSE_RUN(SSE_ASM(op, result, XMM(insn->reg), XMM(insn->rm)));                               \
        XMM(insn->reg) = result;                                                                   \
        return NEXT(insn);                                                                         \
    }                                                                                              \
    EXEC_FP(id##_m)                                                                                \
    {                                                                                              \
        __m128i source, result;                                                                    \
        SSE_LOAD(load, source);                                                                    \
        SSE_RUN(SSE_ASM(op, result, XMM(insn->reg), source));                                      \
        XMM(insn->reg) = result;                                                                   \
        return NEXT(insn);                                                                         \
    }

/* destination = f(destination, source, immediate), `f` a function of __m128i, __m128i, unsigned */
#define SSE_IMMEDIATE(id, f, load)                                                                 \
    EXEC(id##_r)                                                                                   \
    {                                                                                              \
        XMM(insn->reg) = f(XMM(insn->reg), XMM(insn->rm), (unsigned)insn->imm);                    \
        return NEXT(insn);                                                                         \
    }                                                                                              \
    EXEC_MEMORY(id##_m)                                                                            \
    {                                                                                              \
        __m128i source;                                                                            \
        SSE_LOAD(load, source);                                                                    \
        XMM(insn->reg) = f(XMM(insn->reg), source, (unsigned)insn->imm);                           \
        return NEXT(insn);                                                                         \
    }

/* The same for those that can raise SIMD floating-point exceptions. */
#define SSE_FP_IMMEDIATE(id, f, load)                                                              \
    EXEC_FP(id##_r)                                                                                \
    {                                                                                              \
        __m128i result, a = XMM(insn->reg), b = XMM(insn->rm);                                     \
        SSE_RUN(result = f(a, b, (unsigned)insn->imm));                                            \
        XMM(insn->reg) = result;                                                                   \
        return NEXT(insn);                                                                         \
    }                                                                                              \
    EXEC_FP(id##_m)                                                                                \
    {                                                                                              \
        __m128i result, a = XMM(insn->reg), b;                                                     \
        SSE_LOAD(load, b);                                                                         \
        SSE_RUN(result = f(a, b, (unsigned)insn->imm));                                            \
        XMM(insn->reg) = result;                                                                   \
        return NEXT(insn);                                                                         \
    }

#endif
