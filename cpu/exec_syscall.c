/* SYSCALL, SYSRET, SYSENTER, SYSEXIT, SWAPGS; FS and GS base.
 *
 * They load CS and SS with fixed flat segments and read no descriptor.
 * QUIRK: who made the processor matters.  Of Intel's, SYSCALL exists in 64-bit mode only and
 * SYSENTER everywhere in protected mode; of AMD's, SYSCALL exists in every mode and SYSENTER not in
 * long mode.
 * Sources: SDM 2B SYSCALL, SYSENTER, SYSEXIT, SYSRET, SWAPGS, 2D WRFSBASE; AMD APM vol. 3.
 */
#include "cpu/descriptor.h"

enum {
    CODE_ATTRIBUTES = SEG_P | SEG_S | SEG_CODE | SEG_READABLE | SEG_ACCESSED | SEG_G,
    DATA_ATTRIBUTES = SEG_P | SEG_S | SEG_WRITABLE | SEG_ACCESSED | SEG_G | SEG_DB,
};

static struct segment flat_segment(uint16_t selector, unsigned cpl, unsigned attributes)
{
    return (struct segment){
        .limit = UINT32_MAX,
        .selector = selector,
        .attributes = (uint16_t)(attributes | cpl << SEG_DPL_SHIFT),
    };
}

/* CS and SS become flat, of privilege `cpl`; `size` is SEG_L, SEG_DB or 0.
 * QUIRK: CS gets that RPL always, SS only for CPL 3; SYSCALL keeps the one it computes. */
static void enter_flat(struct cpu *cpu, uint16_t cs, uint16_t ss, unsigned cpl, unsigned size,
                       uint64_t rip)
{
    uint16_t code_selector = (uint16_t)((cs & ~SELECTOR_RPL) | cpl);
    struct segment code = flat_segment(code_selector, cpl, CODE_ATTRIBUTES | size);
    cpu->segs[SS] = flat_segment((uint16_t)(ss | cpl), cpl, DATA_ATTRIBUTES);
    segment_enter_code(cpu, &code, cpl, rip);
}

/* --- SYSCALL and SYSRET */

static never_inline void syscall_enter(struct cpu *cpu, const struct insn *insn)
{
    uint64_t next = insn_next_rip(cpu, insn);
    uint16_t cs = (uint16_t)(cpu->msr.star >> 32);
    cpu->regs[RCX] = next;
    if (cpu_is_long(cpu)) {
        uint64_t target = cpu_is_64(cpu) ? cpu->msr.lstar : cpu->msr.cstar;
        cpu->regs[R11] = cpu_eflags(cpu) & ~(uint32_t)F_RF;
        enter_flat(cpu, cs, cs + 8, 0, SEG_L, target);
        cpu_set_eflags(cpu, 0, (uint32_t)cpu->msr.sfmask | F_RF);
    } else {
        enter_flat(cpu, cs, cs + 8, 0, SEG_DB, (uint32_t)cpu->msr.star);
        cpu_set_eflags(cpu, 0, F_IF | F_VM | F_RF);
    }
    /* SDM: whether a step trap follows is TF's value after the mask. */
    cpu->delivered = !(cpu->eflags & F_TF);
}

EXEC(SYSCALL)
{
    if (!(cpu->mmu.registers.efer & EFER_SCE) || !(cpu->mmu.registers.cr0 & CR0_PE) ||
        (!cpu_is_64(cpu) && !cpu_is_amd(cpu)))
        RAISE_UD();
    syscall_enter(cpu, insn);
    return exec_transferred(cpu, insn, false);
}

/* True with a fault pending: #GP(0), or the step trap that TF in the restored flags calls for. */
static never_inline bool sysret(struct cpu *cpu, const struct insn *insn)
{
    uint64_t target = cpu->regs[RCX];
    uint16_t base = (uint16_t)(cpu->msr.star >> 48);
    bool was_stepping = cpu->eflags & F_TF, is_64 = cpu_is_64(cpu);
    cpu->rip = insn_rip(cpu, insn);
    if (insn->size == SIZE_64 && is_64) {
        /* QUIRK: Intel's faults here; AMD's returns, and CPL 3 cannot fetch from there. */
        if (!linear_is_canonical(target) && !cpu_is_amd(cpu))
            return cpu_fault(cpu, VECTOR_GP, 0);
        enter_flat(cpu, base + 16, base + 8, 3, SEG_L, target);
    } else {
        enter_flat(cpu, base, base + 8, 3, SEG_DB, (uint32_t)target);
    }
    /* WHY: APM: compatibility mode is as legacy mode here; R11 counts in 64-bit mode only. */
    if (is_64)
        cpu_set_eflags(cpu, (uint32_t)cpu->regs[R11] & ~(uint32_t)(F_RF | F_VM), F_ALL);
    else
        cpu_set_eflags(cpu, F_IF, F_IF);
    if (likely(was_stepping || !(cpu->eflags & F_TF)))
        return false;
    cpu_fault(cpu, VECTOR_DB, 0);
    cpu->fault.dr6 = DR6_BS;
    return true;
}

EXEC(SYSRET)
{
    if (!(cpu->mmu.registers.efer & EFER_SCE) || (!cpu_is_64(cpu) && !cpu_is_amd(cpu)))
        RAISE_UD();
    if (!cpu_is_protected(cpu) || cpu->cpl != 0)
        RAISE_GP0();
    return exec_transferred(cpu, insn, sysret(cpu, insn));
}

/* --- SYSENTER and SYSEXIT */

static never_inline void sysenter_enter(struct cpu *cpu)
{
    bool is_long = cpu_is_long(cpu);
    uint16_t cs = (uint16_t)cpu->msr.sysenter_cs;
    cpu->regs[RSP] = is_long ? cpu->msr.sysenter_esp : (uint32_t)cpu->msr.sysenter_esp;
    cpu->eflags &= ~(uint32_t)F_VM;
    enter_flat(cpu, cs, (cs & ~SELECTOR_RPL) + 8, 0, is_long ? SEG_L : SEG_DB,
               is_long ? cpu->msr.sysenter_eip : (uint32_t)cpu->msr.sysenter_eip);
    cpu_set_eflags(cpu, 0, F_IF | F_VM | F_RF);
}

EXEC(SYSENTER)
{
    if (cpu_is_long(cpu) && cpu_is_amd(cpu))
        RAISE_UD();
    if (!(cpu->mmu.registers.cr0 & CR0_PE) || selector_is_null((uint16_t)cpu->msr.sysenter_cs))
        RAISE_GP0();
    sysenter_enter(cpu);
    return exec_transferred(cpu, insn, false);
}

static never_inline bool sysexit(struct cpu *cpu, const struct insn *insn)
{
    uint16_t cs = (uint16_t)(cpu->msr.sysenter_cs & ~(uint64_t)SELECTOR_RPL);
    uint64_t target = cpu->regs[RDX], sp = cpu->regs[RCX];
    cpu->rip = insn_rip(cpu, insn);
    if (insn->size == SIZE_64 && cpu_is_64(cpu)) {
        if (!linear_is_canonical(target) || !linear_is_canonical(sp))
            return cpu_fault(cpu, VECTOR_GP, 0);
        enter_flat(cpu, cs + 32, cs + 40, 3, SEG_L, target);
        cpu->regs[RSP] = sp;
    } else {
        enter_flat(cpu, cs + 16, cs + 24, 3, SEG_DB, (uint32_t)target);
        cpu->regs[RSP] = (uint32_t)sp;
    }
    return false;
}

EXEC(SYSEXIT)
{
    if (cpu_is_long(cpu) && cpu_is_amd(cpu))
        RAISE_UD();
    if (!cpu_is_protected(cpu) || cpu->cpl != 0 || selector_is_null((uint16_t)cpu->msr.sysenter_cs))
        RAISE_GP0();
    return exec_transferred(cpu, insn, sysexit(cpu, insn));
}

/* --- FS and GS base */

EXEC(SWAPGS)
{
    REQUIRE_CPL0();
    uint64_t base = cpu->segs[GS].base;
    cpu->segs[GS].base = cpu->msr.kernel_gs_base;
    cpu->msr.kernel_gs_base = base;
    return NEXT(insn);
}

static always_inline int exec_read_base(struct cpu *cpu, const struct insn *insn, unsigned seg)
{
    if (!(cpu->mmu.registers.cr4 & CR4_FSGSBASE))
        RAISE_UD();
    uint64_t base = cpu->segs[seg].base;
    REG64_SET(insn->rm, insn->size == SIZE_64 ? base : (uint32_t)base);
    return NEXT(insn);
}

static always_inline int exec_write_base(struct cpu *cpu, const struct insn *insn, unsigned seg)
{
    if (!(cpu->mmu.registers.cr4 & CR4_FSGSBASE))
        RAISE_UD();
    uint64_t base = insn->size == SIZE_64 ? REG64(insn->rm) : REG32(insn->rm);
    if (!linear_is_canonical(base))
        RAISE_GP0();
    cpu->segs[seg].base = base;
    return NEXT(insn);
}

EXEC(RDFSBASE_Ry)
{
    return exec_read_base(cpu, insn, FS);
}

EXEC(RDGSBASE_Ry)
{
    return exec_read_base(cpu, insn, GS);
}

EXEC(WRFSBASE_Ry)
{
    return exec_write_base(cpu, insn, FS);
}

EXEC(WRGSBASE_Ry)
{
    return exec_write_base(cpu, insn, GS);
}
