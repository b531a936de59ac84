/* INT n, INT3, INTO and INT1.  SDM 2A INT n; 3A §20.3.3 (virtual-8086 mode, redirection by VME). */
#include "cpu/descriptor.h"

/* Is the vector's bit in the TSS's redirection bitmap clear?  *through_ivt then; true: faulted. */
static bool vme_redirects(struct cpu *cpu, unsigned vector, bool *through_ivt)
{
    uint64_t map, bits;
    if (!(cpu->tr.attributes & SYSTEM_32) || cpu->tr.limit < 103)
        return cpu_fault(cpu, VECTOR_GP, 0);
    if (mem_system_load(cpu, cpu->tr.base + 102, 2, &map))
        return true;
    uint64_t at = map - 32 + vector / 8;
    if (map < 32 || at > cpu->tr.limit)
        return cpu_fault(cpu, VECTOR_GP, 0);
    if (mem_system_load(cpu, cpu->tr.base + at, 1, &bits))
        return true;
    *through_ivt = !(bits >> (vector & 7) & 1);
    return false;
}

/* SDM 3A §20.3.3.4, methods 5 and 6: the program's own handler, through the IVT at linear 0. */
static bool deliver_in_v86(struct cpu *cpu, unsigned vector, uint64_t next)
{
    uint64_t target, sp = cpu->regs[RSP];
    uint32_t flags = cpu_eflags(cpu) & 0xffff;
    bool is_virtual = cpu_iopl(cpu) < 3;
    if (is_virtual)
        flags = (flags & ~(uint32_t)F_IF) | F_IOPL | (cpu->eflags & F_VIF ? F_IF : 0);
    if (mem_system_load(cpu, vector * 4, 4, &target) || stack_push(cpu, &sp, SIZE_16, flags) ||
        stack_push(cpu, &sp, SIZE_16, cpu->segs[CS].selector) ||
        stack_push(cpu, &sp, SIZE_16, next) ||
        segment_jump_real(cpu, (uint16_t)(target >> 16), target & 0xffff))
        return true;
    stack_commit(cpu, sp);
    cpu_set_eflags(cpu, 0, F_TF | (is_virtual ? F_VIF : F_IF));
    cpu->delivered = true;
    return false;
}

static never_inline bool interrupt_software(struct cpu *cpu, const struct insn *insn,
                                            unsigned vector, enum interrupt_kind kind)
{
    cpu->rip = insn_rip(cpu, insn);
    return interrupt_enter(cpu, vector, kind, false, 0, insn_next_rip(cpu, insn));
}

static never_inline bool interrupt_v86(struct cpu *cpu, const struct insn *insn, unsigned vector)
{
    bool through_ivt = false;
    cpu->rip = insn_rip(cpu, insn);
    if (cpu->mmu.registers.cr4 & CR4_VME) {
        if (vme_redirects(cpu, vector, &through_ivt))
            return true;
        if (through_ivt)
            return deliver_in_v86(cpu, vector, insn_next_rip(cpu, insn));
    }
    if (cpu_iopl(cpu) < 3)
        return cpu_fault(cpu, VECTOR_GP, 0);
    return interrupt_software(cpu, insn, vector, INTERRUPT_SOFTWARE);
}

EXEC(INT_Ib)
{
    unsigned vector = (uint8_t)insn->imm;
    bool fault = unlikely(cpu_is_v86(cpu))
                     ? interrupt_v86(cpu, insn, vector)
                     : interrupt_software(cpu, insn, vector, INTERRUPT_SOFTWARE);
    return exec_transferred(cpu, insn, fault);
}

EXEC(INT3)
{
    bool fault = interrupt_software(cpu, insn, VECTOR_BP, INTERRUPT_SOFTWARE);
    return exec_transferred(cpu, insn, fault);
}

EXEC(INTO)
{
    if (!flag_of(cpu))
        return NEXT(insn);
    bool fault = interrupt_software(cpu, insn, VECTOR_OF, INTERRUPT_SOFTWARE);
    return exec_transferred(cpu, insn, fault);
}

EXEC(INT1)
{
    bool fault = interrupt_software(cpu, insn, VECTOR_DB, INTERRUPT_ICEBP);
    return exec_transferred(cpu, insn, fault);
}
