/* RDMSR, WRMSR, the counters, CPUID, XGETBV, XSETBV, MONITOR, MWAIT, RDPID.
 * SDM 2A CPUID, 2B MONITOR, MWAIT, RDMSR, RDPID, RDPMC, RDTSC, RDTSCP, 2D WRMSR, XGETBV, XSETBV. */
#include "cpu/descriptor.h"

static void set_edx_eax(struct cpu *cpu, uint64_t value)
{
    REG32_SET(RAX, value);
    REG32_SET(RDX, value >> 32);
}

static never_inline bool rdmsr(struct cpu *cpu, const struct insn *insn)
{
    uint64_t value;
    cpu->rip = insn_rip(cpu, insn);
    if (msr_read(cpu, REG32(RCX), &value))
        return true;
    set_edx_eax(cpu, value);
    return false;
}

EXEC(RDMSR)
{
    REQUIRE_CPL0();
    TRY(rdmsr(cpu, insn));
    return NEXT(insn);
}

EXEC(WRMSR)
{
    REQUIRE_CPL0();
    cpu->rip = insn_rip(cpu, insn);
    TRY(msr_write(cpu, REG32(RCX), (uint64_t)REG32(RDX) << 32 | REG32(RAX)));
    cpu->rip = insn_next_rip(cpu, insn);
    return exec_transferred(cpu, insn, false);
}

static bool tsc_is_forbidden(const struct cpu *cpu)
{
    return cpu->cpl != 0 && cpu->mmu.registers.cr4 & CR4_TSD;
}

EXEC(RDTSC)
{
    if (tsc_is_forbidden(cpu))
        RAISE_GP0();
    set_edx_eax(cpu, cpu_tsc(cpu));
    return NEXT(insn);
}

EXEC(RDTSCP)
{
    if (tsc_is_forbidden(cpu))
        RAISE_GP0();
    set_edx_eax(cpu, cpu_tsc(cpu));
    REG32_SET(RCX, cpu->msr.tsc_aux);
    return NEXT(insn);
}

/* There are no performance counters, so every number is one too high. */
EXEC(RDPMC)
{
    RAISE_GP0();
}

EXEC(RDPID_Ry)
{
    REG64_SET(insn->rm, cpu->msr.tsc_aux);
    return NEXT(insn);
}

EXEC(CPUID)
{
    if (cpu->model->max_leaf == 0)
        RAISE_UD();
    struct cpuid_result result = cpuid_query(cpu, REG32(RAX), REG32(RCX));
    REG32_SET(RAX, result.eax);
    REG32_SET(RBX, result.ebx);
    REG32_SET(RCX, result.ecx);
    REG32_SET(RDX, result.edx);
    return NEXT(insn);
}

EXEC(XGETBV)
{
    if (!(cpu->mmu.registers.cr4 & CR4_OSXSAVE))
        RAISE_UD();
    if (REG32(RCX) == 1 && cpu_has(cpu, FEAT_XGETBV1)) {
        set_edx_eax(cpu, cpu->xcr0 & xsave_in_use(cpu));
        return NEXT(insn);
    }
    if (REG32(RCX) != 0)
        RAISE_GP0();
    set_edx_eax(cpu, cpu->xcr0);
    return NEXT(insn);
}

/* The state components that the model has. */
static uint64_t xcr0_valid(const struct cpu *cpu)
{
    return XCR0_X87 | XCR0_SSE | (cpu_has(cpu, FEAT_AVX) ? XCR0_AVX : 0);
}

EXEC(XSETBV)
{
    uint64_t value = (uint64_t)REG32(RDX) << 32 | REG32(RAX);
    if (!(cpu->mmu.registers.cr4 & CR4_OSXSAVE))
        RAISE_UD();
    REQUIRE_CPL0();
    /* SDM: 1 §13.3, AVX's state needs SSE's. */
    if (REG32(RCX) != 0 || !(value & XCR0_X87) || value & ~xcr0_valid(cpu) ||
        (value & XCR0_VECTORS) == XCR0_AVX)
        RAISE_GP0();
    cpu->xcr0 = value;
    cpu_mode_changed(cpu);
    return exec_end(cpu, insn);
}

/* The address is checked as for a read; MWAIT then never sleeps, which SDM 2B allows ("may exit for
 * other reasons") and which no other processor's store can miss. */
EXEC(MONITOR)
{
    uint8_t byte = 0;
    if (cpu->cpl != 0)
        RAISE_UD();
    if (REG32(RCX) != 0)
        RAISE_GP0();
    TRY(mem_load8(cpu, insn->seg, cpu->regs[RAX] & address_mask(insn), &byte));
    return NEXT(insn);
}

EXEC(MWAIT)
{
    if (cpu->cpl != 0)
        RAISE_UD();
    if (REG32(RCX) != 0)
        RAISE_GP0();
    return exec_end(cpu, insn);
}
