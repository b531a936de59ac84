/* FMA: SDM 2C VFMADD132PD … VFNMSUB231SS.  Each lane by the host's own instruction, in the same
 * order of operands, which decides whose NaN comes through. */
#include "cpu/avx.h"

#define FUSED(id, op, shape)                                                                       \
    static __m128i fused_##id(__m128i old, __m128i a, __m128i b)                                   \
    {                                                                                              \
        __asm__ volatile(op " %2, %1, %0" : "+x"(old) : "x"(a), "x"(b));                           \
        return old;                                                                                \
    }                                                                                              \
    EXEC_TRY(id##_VHW, avx_run_fused(cpu, insn, fused_##id, shape))
#define PACKED(NAME, name)                                                                         \
    FUSED(NAME##PS, name "ps", SHAPE_FLOAT)                                                        \
    FUSED(NAME##PD, name "pd", SHAPE_FLOAT)
#define BOTH(NAME, name)                                                                           \
    PACKED(NAME, name)                                                                             \
    FUSED(NAME##SS, name "ss", SHAPE_SINGLE)                                                       \
    FUSED(NAME##SD, name "sd", SHAPE_DOUBLE)
#define ORDERS(FORM, NAME, name)                                                                   \
    FORM(NAME##132, name "132")                                                                    \
    FORM(NAME##213, name "213")                                                                    \
    FORM(NAME##231, name "231")
ORDERS(BOTH, VFMADD, "vfmadd")
ORDERS(BOTH, VFMSUB, "vfmsub")
ORDERS(BOTH, VFNMADD, "vfnmadd")
ORDERS(BOTH, VFNMSUB, "vfnmsub")
ORDERS(PACKED, VFMADDSUB, "vfmaddsub")
ORDERS(PACKED, VFMSUBADD, "vfmsubadd")
