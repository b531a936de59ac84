/* SSE moves: MOVUPS to MOVMSKPS, MOVD, MOVQ, MOVDQA, non-temporal and masked stores: SDM 2B.
 *
 * Moves to and from memory touch as many bytes as the instruction says; only those of 16 bytes
 * whose name says so need alignment.
 */
#include "cpu/sse_env.h"

/* --- 16 bytes, register to register and to and from memory */
#define COPY(id, to, from)                                                                         \
    EXEC(id)                                                                                       \
    {                                                                                              \
        XMM(to) = XMM(from);                                                                       \
        return NEXT(insn);                                                                         \
    }
#define LOAD(id, load)                                                                             \
    EXEC_MEMORY(id)                                                                                \
    {                                                                                              \
        __m128i value;                                                                             \
        SSE_LOAD(load, value);                                                                     \
        XMM(insn->reg) = value;                                                                    \
        return NEXT(insn);                                                                         \
    }
#define STORE(id, aligned)                                                                         \
    EXEC_MEMORY(id)                                                                                \
    {                                                                                              \
        SSE_STORE(aligned);                                                                        \
        return NEXT(insn);                                                                         \
    }
#define MOVE(name, v, w, load, aligned)                                                            \
    COPY(name##_##v##w##_r, insn->reg, insn->rm)                                                   \
    COPY(name##_##w##v##_r, insn->rm, insn->reg)                                                   \
    LOAD(name##_##v##w##_m, load)                                                                  \
    STORE(name##_##w##v##_m, aligned)
MOVE(MOVUPS, Vps, Wps, u, false)
MOVE(MOVUPD, Vpd, Wpd, u, false)
MOVE(MOVAPS, Vps, Wps, a, true)
MOVE(MOVAPD, Vpd, Wpd, a, true)
MOVE(MOVDQA, Vx, Wx, a, true)
MOVE(MOVDQU, Vx, Wx, u, false)
LOAD(LDDQU_VxMdq, u)
LOAD(MOVNTDQA_VxMdq, a)
STORE(MOVNTPS_MdqVps, true)
STORE(MOVNTPD_MdqVpd, true)
STORE(MOVNTDQ_MdqVx, true)

/* --- parts of a register: element `n` of the arrays of union vector */
#define COPY_PART(id, to, from)                                                                    \
    EXEC(id)                                                                                       \
    {                                                                                              \
        cpu->xmm[insn->reg].to = cpu->xmm[insn->rm].from;                                          \
        return NEXT(insn);                                                                         \
    }
#define LOAD_PART(id, bits, part)                                                                  \
    EXEC_MEMORY(id)                                                                                \
    {                                                                                              \
        uint##bits##_t value;                                                                      \
        OPERAND_LOAD(bits, value);                                                                 \
        cpu->xmm[insn->reg].part = value;                                                          \
        return NEXT(insn);                                                                         \
    }
#define STORE_PART(id, bits, part)                                                                 \
    EXEC_MEMORY(id)                                                                                \
    {                                                                                              \
        OPERAND_STORE(bits, cpu->xmm[insn->reg].part);                                             \
        return NEXT(insn);                                                                         \
    }
/* a register keeps the rest, memory clears it */
COPY_PART(MOVSS_VssWss_r, d[0], d[0])
COPY_PART(MOVSD_VsdWsd_r, q[0], q[0])
LOAD(MOVSS_VssWss_m, d)
LOAD(MOVSD_VsdWsd_m, q)
STORE_PART(MOVSS_WssVss_m, 32, d[0])
STORE_PART(MOVSD_WsdVsd_m, 64, q[0])
EXEC(MOVSS_WssVss_r)
{
    cpu->xmm[insn->rm].d[0] = cpu->xmm[insn->reg].d[0];
    return NEXT(insn);
}
EXEC(MOVSD_WsdVsd_r)
{
    cpu->xmm[insn->rm].q[0] = cpu->xmm[insn->reg].q[0];
    return NEXT(insn);
}
LOAD_PART(MOVLPS_VqMq, 64, q[0])
LOAD_PART(MOVLPD_VqMq, 64, q[0])
LOAD_PART(MOVHPS_VqMq, 64, q[1])
LOAD_PART(MOVHPD_VqMq, 64, q[1])
STORE_PART(MOVLPS_MqVq, 64, q[0])
STORE_PART(MOVLPD_MqVq, 64, q[0])
STORE_PART(MOVHPS_MqVq, 64, q[1])
STORE_PART(MOVHPD_MqVq, 64, q[1])
COPY_PART(MOVHLPS_VqUq, q[0], q[1])
COPY_PART(MOVLHPS_VqUq, q[1], q[0])

/* --- MOVQ and MOVD clear the rest */
EXEC(MOVQ_VqWq_r)
{
    XMM(insn->reg) = _mm_move_epi64(XMM(insn->rm));
    return NEXT(insn);
}
LOAD(MOVQ_VqWq_m, q)
EXEC(MOVQ_WqVq_r)
{
    XMM(insn->rm) = _mm_move_epi64(XMM(insn->reg));
    return NEXT(insn);
}
STORE_PART(MOVQ_WqVq_m, 64, q[0])
EXEC(MOVD_VxEy_r32)
{
    XMM(insn->reg) = _mm_cvtsi32_si128((int32_t)REG32(insn->rm));
    return NEXT(insn);
}
EXEC(MOVD_VxEy_r64)
{
    XMM(insn->reg) = _mm_cvtsi64_si128((int64_t)REG64(insn->rm));
    return NEXT(insn);
}
LOAD(MOVD_VxEy_m32, d)
LOAD(MOVD_VxEy_m64, q)
EXEC(MOVD_EyVx_r32)
{
    REG32_SET(insn->rm, cpu->xmm[insn->reg].d[0]);
    return NEXT(insn);
}
EXEC(MOVD_EyVx_r64)
{
    REG64_SET(insn->rm, cpu->xmm[insn->reg].q[0]);
    return NEXT(insn);
}
STORE_PART(MOVD_EyVx_m32, 32, d[0])
STORE_PART(MOVD_EyVx_m64, 64, q[0])

/* --- duplicates */
#define DUPLICATE(id, op, load)                                                                    \
    EXEC(id##_r)                                                                                   \
    {                                                                                              \
        __asm__(op " %1, %0" : "=x"(XMM(insn->reg)) : "x"(XMM(insn->rm)));                         \
        return NEXT(insn);                                                                         \
    }                                                                                              \
    EXEC_MEMORY(id##_m)                                                                            \
    {                                                                                              \
        __m128i value;                                                                             \
        SSE_LOAD(load, value);                                                                     \
        __asm__(op " %1, %0" : "=x"(XMM(insn->reg)) : "x"(value));                                 \
        return NEXT(insn);                                                                         \
    }
DUPLICATE(MOVSLDUP_VpsWps, "movsldup", a)
DUPLICATE(MOVSHDUP_VpsWps, "movshdup", a)
DUPLICATE(MOVDDUP_VpdWq, "movddup", q)

/* --- sign masks */
#define SIGN_MASK(id, op)                                                                          \
    EXEC(id)                                                                                       \
    {                                                                                              \
        uint32_t mask;                                                                             \
        __asm__(op " %1, %0" : "=r"(mask) : "x"(XMM(insn->rm)));                                   \
        REG32_SET(insn->reg, mask);                                                                \
        return NEXT(insn);                                                                         \
    }
SIGN_MASK(MOVMSKPS_GdUx, "movmskps")
SIGN_MASK(MOVMSKPD_GdUx, "movmskpd")
SIGN_MASK(PMOVMSKB_GdUx, "pmovmskb")

/* --- bytes chosen by a mask, to DS:(E)DI; nothing is touched outside the first and last of them */
static bool store_masked(struct cpu *cpu, const struct insn *insn, const uint8_t *bytes,
                         uint32_t mask)
{
    if (!mask)
        return false;
    static const uint64_t address_masks[] = {0, 0xffff, 0xffffffff, ~UINT64_C(0)};
    uint64_t offset = cpu->regs[RDI] & address_masks[insn->address];
    unsigned first = (unsigned)__builtin_ctz(mask), last = 31 - (unsigned)__builtin_clz(mask);
    if (mem_check_write_part(cpu, insn->seg, offset + first, last - first + 1))
        return true;
    for (unsigned i = first; i <= last; i++)
        if (mask >> i & 1 && mem_store8(cpu, insn->seg, offset + i, bytes[i]))
            return true;
    return false;
}

EXEC(MASKMOVDQU_VxUx)
{
    uint32_t mask = (uint32_t)_mm_movemask_epi8(XMM(insn->rm));
    TRY(store_masked(cpu, insn, cpu->xmm[insn->reg].b, mask));
    return NEXT(insn);
}

EXEC(MASKMOVQ_PqNq)
{
    MMX_BEGIN();
    uint32_t mask = (uint32_t)_mm_movemask_epi8(MMX_VECTOR(insn->rm));
    TRY(store_masked(cpu, insn, (const uint8_t *)&MMX(insn->reg), mask));
    mmx_end(cpu);
    return NEXT(insn);
}

/* --- the control and status register */
EXEC(LDMXCSR_Md)
{
    uint32_t value;
    TRY(mem_load32(cpu, insn->seg, insn_address(cpu, insn), &value));
    if (value & ~cpu->mxcsr_mask)
        RAISE_GP0();
    sse_set_mxcsr(cpu, value);
    return NEXT(insn);
}

EXEC(STMXCSR_Md)
{
    TRY(mem_store32(cpu, insn->seg, insn_address(cpu, insn), sse_mxcsr(cpu)));
    return NEXT(insn);
}
