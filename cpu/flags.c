#include "cpu/flags.h"

void cpu_set_eflags(struct cpu *cpu, uint32_t value, uint32_t mask)
{
    uint32_t before = cpu->eflags;
    if (mask & F_ARITH)
        flags_update_arithmetic(cpu, value, mask & F_ARITH);
    cpu->eflags = (before & ~mask) | (value & mask & ~(uint32_t)F_ARITH) | 2;
    uint32_t changed = before ^ cpu->eflags;
    if (unlikely(changed & F_VM) || (changed & F_AC && cpu->cpl == 3))
        cpu_mode_changed(cpu);
    else if (changed & F_AC)
        cpu->view = mmu_view(&cpu->mmu, cpu_view_id(cpu)); /* under SMAP */
    /* The run loop steps in before the next instruction for TF and RF, and for what waits on IF; a
     * line that is raised from now on asks for attention itself. */
    uint32_t set = changed & cpu->eflags;
    if (unlikely(set & (F_TF | F_RF) || (set & F_IF && atomic_load(&cpu->lines))))
        atomic_store_explicit(&cpu->attention, 1, memory_order_relaxed);
}
