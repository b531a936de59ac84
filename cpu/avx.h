/* What the handlers of vectors behind a VEX prefix share.
 *
 * Most of these instructions do to each 128 bits what a form of SSE does; so their handlers are a
 * function of one lane, and avx_run() with the shape of the operands.  A function runs the host's
 * own instruction where floating point or tables are involved, as SSE's handlers do.
 *
 * INV-1: registers are changed after the last thing that can fault.
 * LIMIT: as of sse_env.h; models offer AVX only where the host has it.
 */
#ifndef CPU_AVX_H
#define CPU_AVX_H

#include "cpu/lanes.h"

/* Of the operands H (VEX.vvvv; what register 0 holds, where the row has none) and W. */
typedef __m128i lane_fn(__m128i a, __m128i b, unsigned immediate);
/* Of the destination's old value, H and W. */
typedef __m128i fused_fn(__m128i old, __m128i a, __m128i b);

struct avx_shape {
    uint8_t part;   /* bytes of W for each lane */
    uint8_t bits;   /* of the immediate for each lane; 0: all of it for all */
    bool floating;  /* can raise SIMD floating-point exceptions */
    bool scalar;    /* one lane, whatever VEX.L says */
    bool same_part; /* all lanes take the first part */
    bool narrows;   /* the low halves of the lanes' results, next to each other */
};
#define SHAPE(...)   ((struct avx_shape){__VA_ARGS__})
#define SHAPE_WHOLE  SHAPE(.part = 16)
#define SHAPE_FLOAT  SHAPE(.part = 16, .floating = true)
#define SHAPE_SINGLE SHAPE(.part = 4, .floating = true, .scalar = true)
#define SHAPE_DOUBLE SHAPE(.part = 8, .floating = true, .scalar = true)

/* All of these: true with a fault pending. */
must_check bool avx_run(struct cpu *cpu, const struct insn *insn, lane_fn *f,
                        struct avx_shape shape);
must_check bool avx_run_fused(struct cpu *cpu, const struct insn *insn, fused_fn *f,
                              struct avx_shape shape);
/* The operand W: a register whole, or `bytes` of memory and zeros; `aligned`: #GP(0) unless
 * memory's address is a multiple of `bytes`. */
must_check bool avx_load(struct cpu *cpu, const struct insn *insn, union vector *to, unsigned bytes,
                         bool aligned);
must_check bool avx_store(struct cpu *cpu, const struct insn *insn, const void *from,
                          unsigned bytes, bool aligned);

/* Bytes of a vector in rows of SZ_L. */
static inline unsigned avx_bytes(const struct insn *insn)
{
    return insn->size == VECTOR_256 ? 32 : 16;
}
/* Writes a register: what is beyond the `bytes` of the instruction's vectors becomes 0. */
static inline void avx_write(struct cpu *cpu, unsigned n, const union vector *value, unsigned bytes)
{
    union vector *to = &cpu->xmm[n];
    to->q[0] = value->q[0];
    to->q[1] = value->q[1];
    to->q[2] = bytes > 16 ? value->q[2] : 0;
    to->q[3] = bytes > 16 ? value->q[3] : 0;
}
static inline __m128i avx_lane(const union vector *v, unsigned lane)
{
    return _mm_load_si128((const __m128i *)(const void *)(v->b + 16 * lane));
}
static inline void avx_set_lane(union vector *v, unsigned lane, __m128i value)
{
    _mm_store_si128((__m128i *)(void *)(v->b + 16 * lane), value);
}

/* --- shapes of handlers */
/* One whose body keeps vectors of its own; it says whether it has faulted.
 * WHY: INV-1 of access.h, a handler that has locals with addresses cannot end in a tail call. */
#define EXEC_AVX(id)                                                                               \
    static never_inline bool run_##id(struct cpu *cpu, const struct insn *insn);                   \
    EXEC_TRY(id, run_##id(cpu, insn))                                                              \
    static never_inline bool run_##id(struct cpu *cpu, const struct insn *insn)
/* In such a body */
#define CHECK(faults)                                                                              \
    do {                                                                                           \
        if (unlikely(faults))                                                                      \
            return true;                                                                           \
    } while (0)
/* Runs `statement`, which must leave its operands alone, under the guest's MXCSR; the body ends
 * here if it met an unmasked exception. */
#define AVX_RUN(statement)                                                                         \
    do {                                                                                           \
        if (likely(!sse_is_checked(cpu))) {                                                        \
            statement;                                                                             \
        } else {                                                                                   \
            sse_check_begin(cpu);                                                                  \
            do                                                                                     \
                statement;                                                                         \
            while (sse_check_again(cpu));                                                          \
            if (sse_check_end(cpu))                                                                \
                return true;                                                                       \
        }                                                                                          \
    } while (0)
#define EXEC_TRY(id, faults)                                                                       \
    EXEC(id)                                                                                       \
    {                                                                                              \
        TRY(faults);                                                                               \
        return NEXT(insn);                                                                         \
    }
#define EXEC_LANES(id, f, shape) EXEC_TRY(id, avx_run(cpu, insn, f, shape))
/* A lane by an instruction of SSE's, which keeps what it leaves of its destination. */
#define LANE_SSE(name, op)                                                                         \
    static __m128i name(__m128i a, __m128i b, unsigned immediate)                                  \
    {                                                                                              \
        __asm__ volatile(op " %1, %0" : "+x"(a) : "x"(b));                                         \
        return a;                                                                                  \
    }
/* … by one that AVX has brought */
#define LANE_AVX(name, op)                                                                         \
    static __m128i name(__m128i a, __m128i b, unsigned immediate)                                  \
    {                                                                                              \
        __asm__ volatile(op " %1, %0, %0" : "+x"(a) : "x"(b));                                     \
        return a;                                                                                  \
    }

#endif
