/* The host's x87 as the guest's arithmetic unit: the one place that knows the host's FPU.
 *
 * Each function loads its operands into an empty host stack, executes the guest's operation, stores
 * the result and leaves the host stack empty.  It returns the host's status word: exception flags
 * (sticky), ES, C0..C3; the host's TOP in it means nothing.  Pointers point into struct cpu or
 * guest memory, never to a handler's local.
 *
 * INV-1: during a run the host's control word is the guest's, masks included, so that a result with
 *        an unmasked exception is also the hardware's; every function clears the host's flags
 * before a waiting instruction could notice an unmasked one. INV-2: the flags left in the host's
 * status word are a subset of the guest's: whoever clears guest flags, changes its masks, or drops
 * a returned status word calls x87_host_clear(). Unmasked exceptions: for one found before the
 * computation (invalid, denormal, zero divide) the result is operand `a` unchanged, and memory
 * results are not written. LIMIT: the host is an x86-64; another host replaces this file.
 */
#ifndef CPU_X87_HOST_H
#define CPU_X87_HOST_H

#include "cpu/cpu.h"

#define X87_HOST_DEFAULT 0x037f

static inline void x87_host_clear(void)
{
    __asm__ volatile("fnclex" ::: "memory");
}
/* The caller sees to INV-2. */
static inline void x87_host_set_control(uint16_t control)
{
    __asm__ volatile("fldcw %0" ::"m"(control) : "memory");
}
/* Clears the host's flags; asking first is much the cheaper when there are none. */
static inline void x87_host_clear_any(void)
{
    uint16_t status;
    __asm__ volatile("fnstsw %0" : "=a"(status));
    if (unlikely(status & 0xff))
        x87_host_clear();
}
/* Outside of runs the host's control word is the default. */
static inline void x87_host_enter(uint16_t control)
{
    x87_host_clear_any();
    if (control != X87_HOST_DEFAULT)
        x87_host_set_control(control);
}
static inline void x87_host_leave(uint16_t control)
{
    x87_host_clear_any();
    if (control != X87_HOST_DEFAULT)
        x87_host_set_control(X87_HOST_DEFAULT);
}

/* Status into AX; an unmasked exception is taken back before the next waiting instruction. */
#define X87_HOST_STATUS                                                                            \
    "fnstsw %%ax\n\t"                                                                              \
    "testb $0x80, %%al\n\t"                                                                        \
    "jz 1f\n\t"                                                                                    \
    "fnclex\n"                                                                                     \
    "1:\n\t"

/* *to = op(*a) */
#define X87_HOST_UNARY(name, op)                                                                   \
    static always_inline uint16_t x87_host_##name(struct x87_register *to,                         \
                                                  const struct x87_register *a)                    \
    {                                                                                              \
        uint16_t status;                                                                           \
        __asm__ volatile("fldt %2\n\t" op "\n\t" X87_HOST_STATUS "fstpt %1"                        \
                         : "=&a"(status), "=m"(*to)                                                \
                         : "m"(*a)                                                                 \
                         : "cc");                                                                  \
        return status;                                                                             \
    }
X87_HOST_UNARY(sqrt, "fsqrt")
X87_HOST_UNARY(round, "frndint")
X87_HOST_UNARY(sin, "fsin")
X87_HOST_UNARY(cos, "fcos")
X87_HOST_UNARY(2xm1, "f2xm1")

/* *to = *a op *b */
#define X87_HOST_BINARY(name, op)                                                                  \
    static always_inline uint16_t x87_host_##name(                                                 \
        struct x87_register *to, const struct x87_register *a, const struct x87_register *b)       \
    {                                                                                              \
        uint16_t status;                                                                           \
        __asm__ volatile("fldt %3\n\t"                                                             \
                         "fldt %2\n\t" op "\n\t" X87_HOST_STATUS "fstpt %1\n\t"                    \
                         "fstp %%st(0)"                                                            \
                         : "=&a"(status), "=m"(*to)                                                \
                         : "m"(*a), "m"(*b)                                                        \
                         : "cc");                                                                  \
        return status;                                                                             \
    }
X87_HOST_BINARY(add, "fadd %%st(1), %%st")
X87_HOST_BINARY(mul, "fmul %%st(1), %%st")
X87_HOST_BINARY(sub, "fsub %%st(1), %%st")
X87_HOST_BINARY(subr, "fsubr %%st(1), %%st")
X87_HOST_BINARY(div, "fdiv %%st(1), %%st")
X87_HOST_BINARY(divr, "fdivr %%st(1), %%st")
/* WHY: FXAM of 1 clears C0 and C3, which some processors leave alone when the quotient is 0. */
X87_HOST_BINARY(prem, "fld1; fxam; fstp %%st(0); fprem")
X87_HOST_BINARY(prem1, "fld1; fxam; fstp %%st(0); fprem1")
X87_HOST_BINARY(scale, "fscale")

/* The host's FYL2X … pop: an unmasked exception may leave the operand in place. */
#define X87_HOST_POPPING(name, op)                                                                 \
    static always_inline uint16_t x87_host_##name(                                                 \
        struct x87_register *to, const struct x87_register *st0, const struct x87_register *st1)   \
    {                                                                                              \
        uint16_t status;                                                                           \
        __asm__ volatile("fldt %3\n\t"                                                             \
                         "fldt %2\n\t"                                                             \
                         "fnstsw %%ax\n\t"                                                         \
                         "movl %%eax, %%edx\n\t" op "\n\t" X87_HOST_STATUS "xorl %%eax, %%edx\n\t" \
                         "testl $0x3800, %%edx\n\t"                                                \
                         "jnz 2f\n\t"                                                              \
                         "fstp %%st(0)\n"                                                          \
                         "2:\n\t"                                                                  \
                         "fstpt %1"                                                                \
                         : "=&a"(status), "=m"(*to)                                                \
                         : "m"(*st0), "m"(*st1)                                                    \
                         : "edx", "cc");                                                           \
        return status;                                                                             \
    }
X87_HOST_POPPING(yl2x, "fyl2x")
X87_HOST_POPPING(yl2xp1, "fyl2xp1")
X87_HOST_POPPING(patan, "fpatan")

/* FSINCOS, FPTAN, FXTRACT: *under is what ST(0) becomes, *top what is pushed; *pushed tells whether
 * it was (not for an argument out of range or an unmasked exception before the computation). */
#define X87_HOST_PUSHING(name, op)                                                                 \
    static always_inline uint16_t x87_host_##name(struct x87_register *top,                        \
                                                  struct x87_register *under,                      \
                                                  const struct x87_register *a, uint32_t *pushed)  \
    {                                                                                              \
        uint16_t status;                                                                           \
        uint32_t difference;                                                                       \
        __asm__ volatile("fldt %4\n\t"                                                             \
                         "fnstsw %%ax\n\t"                                                         \
                         "movl %%eax, %1\n\t" op "\n\t" X87_HOST_STATUS "xorl %%eax, %1\n\t"       \
                         "andl $0x3800, %1\n\t"                                                    \
                         "jz 2f\n\t"                                                               \
                         "fstpt %2\n"                                                              \
                         "2:\n\t"                                                                  \
                         "fstpt %3"                                                                \
                         : "=&a"(status), "=&r"(difference), "+m"(*top), "=m"(*under)              \
                         : "m"(*a)                                                                 \
                         : "cc");                                                                  \
        *pushed = difference;                                                                      \
        return status;                                                                             \
    }
X87_HOST_PUSHING(sincos, "fsincos")
X87_HOST_PUSHING(ptan, "fptan")
X87_HOST_PUSHING(xtract, "fxtract")

/* *to = *a op (float, double or integer at *b) */
#define X87_HOST_MEMORY(name, op, type)                                                            \
    static always_inline uint16_t x87_host_##name(struct x87_register *to,                         \
                                                  const struct x87_register *a, const void *b)     \
    {                                                                                              \
        uint16_t status;                                                                           \
        __asm__ volatile("fldt %2\n\t" op " %3\n\t" X87_HOST_STATUS "fstpt %1"                     \
                         : "=&a"(status), "=m"(*to)                                                \
                         : "m"(*a), "m"(*(const type *)b)                                          \
                         : "cc");                                                                  \
        return status;                                                                             \
    }
#define X87_HOST_MEMORY_ALL(name)                                                                  \
    X87_HOST_MEMORY(name##_f32, "f" #name "s", uint32_t)                                           \
    X87_HOST_MEMORY(name##_f64, "f" #name "l", uint64_t)                                           \
    X87_HOST_MEMORY(name##_i16, "fi" #name "s", uint16_t)                                          \
    X87_HOST_MEMORY(name##_i32, "fi" #name "l", uint32_t)
X87_HOST_MEMORY_ALL(add)
X87_HOST_MEMORY_ALL(mul)
X87_HOST_MEMORY_ALL(sub)
X87_HOST_MEMORY_ALL(subr)
X87_HOST_MEMORY_ALL(div)
X87_HOST_MEMORY_ALL(divr)

/* C0..C3 of a comparison or of FXAM */
#define X87_HOST_COMPARE(name, op)                                                                 \
    static always_inline uint16_t x87_host_##name(const struct x87_register *a,                    \
                                                  const struct x87_register *b)                    \
    {                                                                                              \
        uint16_t status;                                                                           \
        __asm__ volatile("fldt %2\n\t"                                                             \
                         "fldt %1\n\t" op "\n\t" X87_HOST_STATUS "fstp %%st(0)\n\t"                \
                         "fstp %%st(0)"                                                            \
                         : "=&a"(status)                                                           \
                         : "m"(*a), "m"(*b)                                                        \
                         : "cc");                                                                  \
        return status;                                                                             \
    }
X87_HOST_COMPARE(com, "fcom %%st(1)")
X87_HOST_COMPARE(ucom, "fucom %%st(1)")
#define X87_HOST_COMPARE_MEMORY(name, op, type)                                                    \
    static always_inline uint16_t x87_host_##name(const struct x87_register *a, const void *b)     \
    {                                                                                              \
        uint16_t status;                                                                           \
        __asm__ volatile("fldt %1\n\t" op " %2\n\t" X87_HOST_STATUS "fstp %%st(0)"                 \
                         : "=&a"(status)                                                           \
                         : "m"(*a), "m"(*(const type *)b)                                          \
                         : "cc");                                                                  \
        return status;                                                                             \
    }
X87_HOST_COMPARE_MEMORY(com_f32, "fcoms", uint32_t)
X87_HOST_COMPARE_MEMORY(com_f64, "fcoml", uint64_t)
X87_HOST_COMPARE_MEMORY(com_i16, "ficoms", uint16_t)
X87_HOST_COMPARE_MEMORY(com_i32, "ficoml", uint32_t)
#define X87_HOST_EXAMINE(name, op)                                                                 \
    static always_inline uint16_t x87_host_##name(const struct x87_register *a)                    \
    {                                                                                              \
        uint16_t status;                                                                           \
        __asm__ volatile("fldt %1\n\t" op "\n\t" X87_HOST_STATUS "fstp %%st(0)"                    \
                         : "=&a"(status)                                                           \
                         : "m"(*a)                                                                 \
                         : "cc");                                                                  \
        return status;                                                                             \
    }
X87_HOST_EXAMINE(tst, "ftst")
X87_HOST_EXAMINE(xam, "fxam")

/* *to = the number at *from; *pushed tells whether it was (an unmasked exception may forbid it; of
 * which processors think differently: FXAM sees whether anything is there). */
#define X87_HOST_LOAD(name, op, type)                                                              \
    static always_inline uint16_t x87_host_##name(struct x87_register *to, const void *from,       \
                                                  const uint16_t *control, uint32_t *pushed)       \
    {                                                                                              \
        uint16_t status;                                                                           \
        uint32_t found;                                                                            \
        __asm__ volatile(op " %3\n\t"                                                              \
                            "fnstsw %%ax\n\t"                                                      \
                            "movl $1, %1\n\t"                                                      \
                            "testb $0x80, %%al\n\t"                                                \
                            "jnz 2f\n\t"                                                           \
                            "fstpt %2\n"                                                           \
                            "1:\n\t"                                                               \
                            ".subsection 1\n"                                                      \
                            "2:\n\t"                                                               \
                            "fnclex\n\t"                                                           \
                            "movl %%eax, %1\n\t"                                                   \
                            "fxam\n\t"                                                             \
                            "fnstsw %%ax\n\t"                                                      \
                            "xchgl %%eax, %1\n\t"                                                  \
                            "andl $0x4500, %1\n\t"                                                 \
                            "xorl $0x4100, %1\n\t"                                                 \
                            "jz 3f\n\t"                                                            \
                            "fstpt %2\n"                                                           \
                            "3:\n\t"                                                               \
                            "fninit\n\t"                                                           \
                            "fldcw %4\n\t"                                                         \
                            "jmp 1b\n\t"                                                           \
                            ".previous"                                                            \
                         : "=&a"(status), "=&r"(found), "+m"(*to)                                  \
                         : "m"(*(const type *)from), "m"(*control)                                 \
                         : "cc");                                                                  \
        *pushed = found;                                                                           \
        return status;                                                                             \
    }
X87_HOST_LOAD(load_f32, "flds", uint32_t)
X87_HOST_LOAD(load_f64, "fldl", uint64_t)
X87_HOST_LOAD(load_i16, "filds", uint16_t)
X87_HOST_LOAD(load_i32, "fildl", uint32_t)
X87_HOST_LOAD(load_i64, "fildll", uint64_t)
struct x87_bcd {
    uint8_t bytes[10];
};
X87_HOST_LOAD(load_bcd, "fbld", struct x87_bcd)

/* A constant, rounded as the guest's control word says. */
#define X87_HOST_CONSTANT(name)                                                                    \
    static always_inline void x87_host_##name(struct x87_register *to)                             \
    {                                                                                              \
        __asm__ volatile(#name "\n\tfstpt %0" : "=m"(*to));                                        \
    }
X87_HOST_CONSTANT(fld1)
X87_HOST_CONSTANT(fldl2t)
X87_HOST_CONSTANT(fldl2e)
X87_HOST_CONSTANT(fldpi)
X87_HOST_CONSTANT(fldlg2)
X87_HOST_CONSTANT(fldln2)
X87_HOST_CONSTANT(fldz)

/* *to = *a in the format of the instruction; not written with an unmasked exception but precision.
 * WHY: FNINIT, because the host may or may not have popped. */
#define X87_HOST_STORE(name, op, type)                                                             \
    static always_inline uint16_t x87_host_##name(void *to, const struct x87_register *a,          \
                                                  const uint16_t *control)                         \
    {                                                                                              \
        uint16_t status;                                                                           \
        __asm__ volatile("fldt %2\n\t" op " %1\n\t"                                                \
                         "fnstsw %%ax\n\t"                                                         \
                         "testb $0x80, %%al\n\t"                                                   \
                         "jnz 2f\n"                                                                \
                         "1:\n\t"                                                                  \
                         ".subsection 1\n"                                                         \
                         "2:\n\t"                                                                  \
                         "fninit\n\t"                                                              \
                         "fldcw %3\n\t"                                                            \
                         "jmp 1b\n\t"                                                              \
                         ".previous"                                                               \
                         : "=&a"(status), "+m"(*(type *)to)                                        \
                         : "m"(*a), "m"(*control)                                                  \
                         : "cc");                                                                  \
        return status;                                                                             \
    }
X87_HOST_STORE(store_f32, "fstps", uint32_t)
X87_HOST_STORE(store_f64, "fstpl", uint64_t)
X87_HOST_STORE(store_i16, "fistps", uint16_t)
X87_HOST_STORE(store_i32, "fistpl", uint32_t)
X87_HOST_STORE(store_i64, "fistpll", uint64_t)
X87_HOST_STORE(truncate_i16, "fisttps", uint16_t)
X87_HOST_STORE(truncate_i32, "fisttpl", uint32_t)
X87_HOST_STORE(truncate_i64, "fisttpll", uint64_t)
X87_HOST_STORE(store_bcd, "fbstp", struct x87_bcd)

#endif
