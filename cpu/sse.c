/* MXCSR: the guest's in the host's register during a run, checked execution when the guest has
 * unmasked an exception, and the slow paths of 16-byte operands.
 *
 * Owns cpu->mxcsr, cpu->mxcsr_mask, cpu->sse_flags.  Sources: SDM 1 §10.2.3, §11.5.
 * LIMIT: PE beside an unmasked overflow or underflow is that of the masked response; hardware
 *        reports whether the result with unbounded exponent was inexact.
 */
#include "cpu/sse_env.h"

#include "cpu/system.h"
#include "cpu/x87_host.h"

static uint32_t host_mxcsr(void)
{
    return _mm_getcsr();
}

static void host_set_mxcsr(uint32_t value)
{
    _mm_setcsr(value);
}

void sse_reset(struct cpu *cpu)
{
    memset(cpu->xmm, 0, sizeof cpu->xmm);
    cpu->mxcsr_mask = feature_has(&cpu->model->features, FEAT_SSE2) ? 0xffff : 0xffbf;
    sse_set_mxcsr(cpu, MXCSR_DEFAULT);
}

void sse_enter(struct cpu *cpu)
{
    if (!sse_is_checked(cpu))
        host_set_mxcsr(cpu->mxcsr);
    x87_host_enter(cpu->x87.control);
}

void sse_leave(struct cpu *cpu)
{
    if (!sse_is_checked(cpu)) {
        cpu->mxcsr = host_mxcsr();
        if (cpu->mxcsr != MXCSR_DEFAULT)
            host_set_mxcsr(MXCSR_DEFAULT);
    }
    x87_host_leave(cpu->x87.control);
}

uint32_t sse_mxcsr(const struct cpu *cpu)
{
    return sse_is_checked(cpu) ? cpu->mxcsr : cpu->mxcsr | (host_mxcsr() & MXCSR_FLAGS);
}

void sse_set_mxcsr(struct cpu *cpu, uint32_t value)
{
    cpu->mxcsr = value;
    host_set_mxcsr(sse_is_checked(cpu) ? MXCSR_DEFAULT : value);
}

static bool traps_underflow(const struct cpu *cpu)
{
    return !(cpu->mxcsr & MXCSR_UE << MXCSR_MASK_SHIFT);
}

void sse_check_begin(struct cpu *cpu)
{
    uint32_t masked = (cpu->mxcsr & ~MXCSR_FLAGS) | MXCSR_MASKS;
    cpu->sse_flags = 0;
    cpu->sse_second_run = false;
    host_set_mxcsr(traps_underflow(cpu) ? masked & ~MXCSR_FTZ : masked);
}

/* An unmasked underflow is also one whose tiny result is exact, which the masked response does not
 * report, but flushing to zero does: hence a second run. */
bool sse_check_again(struct cpu *cpu)
{
    uint32_t found = host_mxcsr() & MXCSR_FLAGS;
    if (cpu->sse_second_run) {
        cpu->sse_flags |= found & MXCSR_UE;
        return false;
    }
    cpu->sse_flags = found;
    if (!traps_underflow(cpu))
        return false;
    cpu->sse_second_run = true;
    host_set_mxcsr((cpu->mxcsr & ~MXCSR_FLAGS) | MXCSR_MASKS | MXCSR_FTZ);
    return true;
}

bool sse_check_end(struct cpu *cpu)
{
    uint32_t unmasked = ~cpu->mxcsr >> MXCSR_MASK_SHIFT & MXCSR_FLAGS;
    host_set_mxcsr(MXCSR_DEFAULT);
    /* SDM: 1 §11.5.3, an unmasked exception found before the computation stops it. */
    if (cpu->sse_flags & unmasked & MXCSR_BEFORE)
        cpu->sse_flags &= MXCSR_BEFORE;
    cpu->mxcsr |= cpu->sse_flags;
    if (likely(!(cpu->sse_flags & unmasked)))
        return false;
    bool has_vector = cpu->mmu.registers.cr4 & CR4_OSXMMEXCPT;
    return cpu_fault(cpu, has_vector ? VECTOR_XM : VECTOR_UD, 0);
}

static bool is_misaligned(const struct cpu *cpu, unsigned seg, uint64_t offset)
{
    return (cpu->segs[seg].base + offset) & 15;
}

bool sse_load_slow(struct cpu *cpu, unsigned seg, uint64_t offset, bool aligned)
{
    if (aligned && is_misaligned(cpu, seg, offset))
        return cpu_fault(cpu, VECTOR_GP, 0);
    return mem_load_bytes(cpu, seg, offset, cpu->rmw.bytes, 16);
}

bool sse_store_slow(struct cpu *cpu, unsigned seg, uint64_t offset, unsigned reg, bool aligned)
{
    if (aligned && is_misaligned(cpu, seg, offset))
        return cpu_fault(cpu, VECTOR_GP, 0);
    return mem_store_bytes(cpu, seg, offset, &cpu->xmm[reg], 16);
}
