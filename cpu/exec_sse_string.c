/* PCMPESTRM, PCMPESTRI, PCMPISTRM, PCMPISTRI: SDM 1 §10.8 … SDM 2B ch. 4.1.
 *
 * The immediate is part of the host's instruction: one case for each of its 128 values.
 */
#include "cpu/avx.h"

/* What such an instruction answers: an index or a mask, and its flags. */
struct string_result {
    __m128i mask;
    uint32_t index;
    bool carry, zero, sign, overflow;
};

#define FLAG_OUTPUTS                                                                               \
    "=@ccc"(result.carry), "=@ccz"(result.zero), "=@ccs"(result.sign), "=@cco"(result.overflow)
#define ISTRI(n)                                                                                   \
    __asm__("pcmpistri %7, %6, %5" : "=c"(result.index), FLAG_OUTPUTS : "x"(a), "x"(b), "i"(n))
#define ISTRM(n)                                                                                   \
    __asm__("pcmpistrm %7, %6, %5" : "=Yz"(result.mask), FLAG_OUTPUTS : "x"(a), "x"(b), "i"(n))
#define ESTRI(n)                                                                                   \
    __asm__("pcmpestri %7, %6, %5"                                                                 \
            : "=c"(result.index), FLAG_OUTPUTS                                                     \
            : "x"(a), "x"(b), "i"(n), "a"(length_a), "d"(length_b))
#define ESTRM(n)                                                                                   \
    __asm__("pcmpestrm %7, %6, %5"                                                                 \
            : "=Yz"(result.mask), FLAG_OUTPUTS                                                     \
            : "x"(a), "x"(b), "i"(n), "a"(length_a), "d"(length_b))

#define COMPARE(name, form)                                                                        \
    static __attribute__((noinline)) struct string_result name(                                    \
        __m128i a, __m128i b, unsigned control, int32_t length_a, int32_t length_b)                \
    {                                                                                              \
        struct string_result result = {.index = 0};                                                \
        switch (control & 127) {                                                                   \
            CASES_128(form, 0)                                                                     \
        }                                                                                          \
        return result;                                                                             \
    }
COMPARE(compare_istri, ISTRI)
COMPARE(compare_istrm, ISTRM)
COMPARE(compare_estri, ESTRI)
COMPARE(compare_estrm, ESTRM)

static void set_flags(struct cpu *cpu, const struct string_result *result)
{
    flags_set_arithmetic(cpu, (result->carry ? F_CF : 0) | (result->zero ? F_ZF : 0) |
                                  (result->sign ? F_SF : 0) | (result->overflow ? F_OF : 0));
}

/* Explicit lengths saturate at 16, so those of 64 bits fit in 32. */
static int32_t string_length(uint64_t value, bool wide)
{
    int64_t length = wide ? (int64_t)value : (int32_t)value;
    return length > 16 ? 16 : length < -16 ? -16 : (int32_t)length;
}

static void find_index(struct cpu *cpu, const struct string_result result)
{
    REG32_SET(RCX, result.index);
    set_flags(cpu, &result);
}

static void find_mask(struct cpu *cpu, const struct string_result result)
{
    XMM(0) = result.mask;
    set_flags(cpu, &result);
}

#define IMPLICIT(id, name, finish)                                                                 \
    EXEC(id##_r)                                                                                   \
    {                                                                                              \
        finish(cpu, name(XMM(insn->reg), XMM(insn->rm), (unsigned)insn->imm, 0, 0));               \
        return NEXT(insn);                                                                         \
    }                                                                                              \
    EXEC_MEMORY(id##_m)                                                                            \
    {                                                                                              \
        __m128i source;                                                                            \
        SSE_LOAD(u, source);                                                                       \
        finish(cpu, name(XMM(insn->reg), source, (unsigned)insn->imm, 0, 0));                      \
        return NEXT(insn);                                                                         \
    }
IMPLICIT(PCMPISTRI_VxWxIb, compare_istri, find_index)
IMPLICIT(PCMPISTRM_VxWxIb, compare_istrm, find_mask)

#define EXPLICIT(id, name, finish, bits)                                                           \
    EXEC(id##_r##bits)                                                                             \
    {                                                                                              \
        finish(cpu, name(XMM(insn->reg), XMM(insn->rm), (unsigned)insn->imm,                       \
                         string_length(REG64(RAX), (bits) == 64),                                  \
                         string_length(REG64(RDX), (bits) == 64)));                                \
        return NEXT(insn);                                                                         \
    }                                                                                              \
    EXEC_MEMORY(id##_m##bits)                                                                      \
    {                                                                                              \
        __m128i source;                                                                            \
        SSE_LOAD(u, source);                                                                       \
        finish(cpu, name(XMM(insn->reg), source, (unsigned)insn->imm,                              \
                         string_length(REG64(RAX), (bits) == 64),                                  \
                         string_length(REG64(RDX), (bits) == 64)));                                \
        return NEXT(insn);                                                                         \
    }
EXPLICIT(PCMPESTRI_VxWxIb, compare_estri, find_index, 32)
EXPLICIT(PCMPESTRI_VxWxIb, compare_estri, find_index, 64)
EXPLICIT(PCMPESTRM_VxWxIb, compare_estrm, find_mask, 32)
EXPLICIT(PCMPESTRM_VxWxIb, compare_estrm, find_mask, 64)

/* --- behind a VEX prefix: a mask clears the rest of its register */
#define AVX_STRING(id, name, finish, length)                                                       \
    EXEC_AVX(id)                                                                                   \
    {                                                                                              \
        union vector source;                                                                       \
        CHECK(avx_load(cpu, insn, &source, 16, false));                                            \
        finish(cpu, name(XMM(insn->reg), avx_lane(&source, 0), insn->vex.imm, length(RAX),         \
                         length(RDX)));                                                            \
        return false;                                                                              \
    }
static void find_whole_mask(struct cpu *cpu, const struct string_result result)
{
    find_mask(cpu, result);
    cpu->xmm[0].q[2] = cpu->xmm[0].q[3] = 0;
}
#define NO_LENGTH(reg) 0
#define LENGTH_IN(reg) string_length(REG64(reg), insn->size == SIZE_64)
AVX_STRING(VPCMPISTRI_VWIb, compare_istri, find_index, NO_LENGTH)
AVX_STRING(VPCMPISTRM_VWIb, compare_istrm, find_whole_mask, NO_LENGTH)
AVX_STRING(VPCMPESTRI_VWIb, compare_estri, find_index, LENGTH_IN)
AVX_STRING(VPCMPESTRM_VWIb, compare_estrm, find_whole_mask, LENGTH_IN)
