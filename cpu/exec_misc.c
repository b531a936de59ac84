/* Flag instructions, BOUND, UDn, hints and fences (SDM 2A and 2B under their names). */
#include "cpu/exec_int.h"

EXEC(CLC)
{
    flag_set_cf(cpu, false);
    return NEXT(insn);
}
EXEC(STC)
{
    flag_set_cf(cpu, true);
    return NEXT(insn);
}
EXEC(CMC)
{
    flag_set_cf(cpu, !flag_cf(cpu));
    return NEXT(insn);
}
EXEC(CLD)
{
    cpu->eflags &= ~(uint32_t)F_DF;
    return NEXT(insn);
}
EXEC(STD)
{
    cpu->eflags |= F_DF;
    return NEXT(insn);
}

/* AH is byte 1 of the register file. */
#define SAHF_FORM(handler)                                                                         \
    EXEC(handler)                                                                                  \
    {                                                                                              \
        flags_update_arithmetic(cpu, REG8(1), F_SF | F_ZF | F_AF | F_PF | F_CF);                   \
        return NEXT(insn);                                                                         \
    }
#define LAHF_FORM(handler)                                                                         \
    EXEC(handler)                                                                                  \
    {                                                                                              \
        REG8_SET(1, cpu_eflags(cpu));                                                              \
        return NEXT(insn);                                                                         \
    }
SAHF_FORM(SAHF)
SAHF_FORM(SAHF_64)
LAHF_FORM(LAHF)
LAHF_FORM(LAHF_64)

EXEC(SALC)
{
    REG8_SET(0, flag_cf(cpu) ? 0xff : 0);
    return NEXT(insn);
}

/* The bounds lie one after the other; both are signed and inclusive. */
#define BOUND_FORM(bits)                                                                           \
    EXEC(BOUND_GvMa_##bits)                                                                        \
    {                                                                                              \
        const uint64_t offset = insn_address(cpu, insn);                                           \
        const uint64_t second = (offset + (bits) / 8) & address_mask(insn);                        \
        uint##bits##_t lower, upper;                                                               \
        TRY(mem_load##bits(cpu, insn->seg, offset, &lower));                                       \
        TRY(mem_load##bits(cpu, insn->seg, second, &upper));                                       \
        const int##bits##_t index = (int##bits##_t)REG##bits(insn->reg);                           \
        if (index < (int##bits##_t)lower || index > (int##bits##_t)upper)                          \
            RAISE(VECTOR_BR, 0);                                                                   \
        return NEXT(insn);                                                                         \
    }
BOUND_FORM(16)
BOUND_FORM(32)

#define UNDEFINED_FORM(handler)                                                                    \
    EXEC(handler)                                                                                  \
    {                                                                                              \
        RAISE_UD();                                                                                \
    }
UNDEFINED_FORM(UD0_GdEd)
UNDEFINED_FORM(UD1_GdEd)
UNDEFINED_FORM(UD2)

/* Hints touch no memory, so they cannot fault. */
#define HINT_FORM(handler)                                                                         \
    EXEC(handler)                                                                                  \
    {                                                                                              \
        return NEXT(insn);                                                                         \
    }
HINT_FORM(PAUSE)
HINT_FORM(PREFETCHNTA)
HINT_FORM(PREFETCHT0)
HINT_FORM(PREFETCHT1)
HINT_FORM(PREFETCHT2)
HINT_FORM(NOP_18_4)
HINT_FORM(NOP_18_5)
HINT_FORM(NOP_18_6)
HINT_FORM(NOP_18_7)
HINT_FORM(NOP_18_Rv)
HINT_FORM(NOP_19_Ev)
HINT_FORM(NOP_1A_Ev)
HINT_FORM(NOP_1B_Ev)
HINT_FORM(NOP_1C_Ev)
HINT_FORM(NOP_1D_Ev)
HINT_FORM(NOP_1E_Ev)
HINT_FORM(NOP_Ev)
HINT_FORM(PREFETCH)
HINT_FORM(PREFETCHW)
HINT_FORM(PREFETCHWT1)
HINT_FORM(PREFETCH_3)
HINT_FORM(PREFETCH_4)
HINT_FORM(PREFETCH_5)
HINT_FORM(PREFETCH_6)
HINT_FORM(PREFETCH_7)

EXEC(LFENCE)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return NEXT(insn);
}
EXEC(SFENCE)
{
    __atomic_thread_fence(__ATOMIC_RELEASE);
    return NEXT(insn);
}
EXEC(MFENCE)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return NEXT(insn);
}

/* SDM: checked like a load of the byte; there is no cache to flush. */
#define FLUSH_FORM(handler)                                                                        \
    EXEC(handler)                                                                                  \
    {                                                                                              \
        TRY(mem_check_read(cpu, insn->seg, insn_address(cpu, insn), 1));                           \
        return NEXT(insn);                                                                         \
    }
FLUSH_FORM(CLFLUSH_Mb)
FLUSH_FORM(CLFLUSHOPT_Mb)
