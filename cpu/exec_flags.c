/* PUSHF, POPF, CLI, STI, CLAC, STAC and HLT: who may change which flag.
 * SDM 2A CLI, 2B POPF, PUSHF, STI; 3A §20.3 (VME), §20.4 (PVI). */
#include "cpu/system.h"

static bool has_vme(const struct cpu *cpu)
{
    return cpu->mmu.registers.cr4 & CR4_VME;
}

static bool has_pvi(const struct cpu *cpu)
{
    return cpu->cpl == 3 && cpu->mmu.registers.cr4 & CR4_PVI;
}

/* Is IF virtual at this privilege, so that CLI and STI mean VIF? */
static bool has_virtual_if(const struct cpu *cpu)
{
    return cpu_is_v86(cpu) ? has_vme(cpu) : has_pvi(cpu);
}

static int exec_pushf(struct cpu *cpu, const struct insn *insn, enum op_size size)
{
    uint32_t flags = cpu_eflags(cpu) & ~(uint32_t)(F_VM | F_RF);
    if (unlikely(cpu_is_v86(cpu) && cpu_iopl(cpu) < 3)) {
        if (size != SIZE_16 || !has_vme(cpu))
            RAISE_GP0();
        flags = (flags & ~(uint32_t)F_IF) | F_IOPL | (flags & F_VIF ? F_IF : 0);
    }
    uint64_t sp = cpu->regs[RSP];
    TRY(stack_push(cpu, &sp, size, flags));
    stack_commit(cpu, sp);
    return NEXT(insn);
}

EXEC(PUSHF_16)
{
    return exec_pushf(cpu, insn, SIZE_16);
}

EXEC(PUSHF_32)
{
    return exec_pushf(cpu, insn, SIZE_32);
}

EXEC(PUSHF_64)
{
    return exec_pushf(cpu, insn, SIZE_64);
}

/* What POPF may change in EFLAGS: SDM 2B POPF, table 4-17. */
static uint32_t popf_mask(const struct cpu *cpu, enum op_size size)
{
    uint32_t mask = F_ARITH | F_TF | F_DF | F_NT;
    if (size != SIZE_16)
        mask |= F_RF | F_AC | F_ID;
    if (cpu->cpl <= cpu_iopl(cpu))
        mask |= F_IF;
    if (cpu->cpl == 0)
        mask |= F_IOPL;
    return mask;
}

/* With a 16-bit operand and IOPL below 3 under VME, IF is virtual. */
static int exec_popf_vme(struct cpu *cpu, const struct insn *insn, uint64_t sp, uint32_t flags)
{
    if (flags & F_TF || (flags & F_IF && cpu->eflags & F_VIP))
        RAISE_GP0();
    stack_commit(cpu, sp);
    flags = (flags & ~(uint32_t)F_VIF) | (flags & F_IF ? F_VIF : 0);
    cpu_set_eflags(cpu, flags, F_ARITH | F_TF | F_DF | F_NT | F_VIF);
    return NEXT(insn);
}

static always_inline int exec_popf(struct cpu *cpu, const struct insn *insn, enum op_size size)
{
    uint64_t value = 0, sp = cpu->regs[RSP];
    if (unlikely(cpu_is_v86(cpu) && cpu_iopl(cpu) < 3)) {
        if (size != SIZE_16 || !has_vme(cpu))
            RAISE_GP0();
        TRY(stack_pop(cpu, &sp, size, &value));
        return exec_popf_vme(cpu, insn, sp, (uint32_t)value);
    }
    TRY(stack_pop(cpu, &sp, size, &value));
    stack_commit(cpu, sp);
    uint32_t mask = popf_mask(cpu, size);
    /* SDM: RF is cleared whatever the image holds. */
    cpu_set_eflags(cpu, (uint32_t)value & ~(uint32_t)F_RF, mask);
    return NEXT(insn);
}

EXEC(POPF_16)
{
    return exec_popf(cpu, insn, SIZE_16);
}

EXEC(POPF_32)
{
    return exec_popf(cpu, insn, SIZE_32);
}

EXEC(POPF_64)
{
    return exec_popf(cpu, insn, SIZE_64);
}

/* --- CLI and STI
 *
 * INV-1: no interrupt comes between STI and the instruction after it, and one that waited for STI
 *        comes right after that.  While nothing waits, the next block is entered without a look at
 *        `attention`; else the run loop takes one step.
 * INV-2: what became due before CLI is delivered before CLI, so that "sti; nop; cli" in a loop lets
 *        interrupts in although it is one block.
 */

EXEC(CLI)
{
    if (likely(cpu->cpl <= cpu_iopl(cpu))) {
        if (unlikely(cpu->eflags & F_IF && !(cpu->mode & MODE_SINGLE) &&
                     atomic_load_explicit(&cpu->attention, memory_order_relaxed) &&
                     cpu_has_wakeup(cpu)))
            return exec_stale(cpu, insn);
        cpu->eflags &= ~(uint32_t)F_IF;
    } else if (has_virtual_if(cpu)) {
        cpu->eflags &= ~(uint32_t)F_VIF;
    } else {
        RAISE_GP0();
    }
    return NEXT(insn);
}

#ifdef RING3_THREADED
/* The block at `rip`, entered into the jump cache; NULL when it cannot be had just now. */
static never_inline struct block *find_next(struct cpu *cpu, uint64_t rip, uint64_t linear)
{
    if (cpu->block && cpu->block->dead)
        return NULL; /* it came from a device, and so may what is next: to be fetched once */
    struct block *block = block_find(cpu, rip);
    if (!block || block->dead || block_fetch_context(cpu) != cpu->fetch_context)
        return NULL;
    block_remember(cpu, linear, block);
    return block;
}
#endif

/* SDM: interrupts stay off for one more instruction. */
static always_inline int exec_shadowed(struct cpu *cpu, const struct insn *insn)
{
#ifdef RING3_THREADED
    if (likely(!(cpu->mode & MODE_SINGLE) && !atomic_load(&cpu->lines))) {
        uint64_t rip = insn_next_rip(cpu, insn), linear = cpu->code_base + rip;
        const struct jump_entry *entry = block_jump_entry(cpu, linear);
        struct block *block = entry->block;
        if (unlikely(entry->linear != linear || !block_context_holds(cpu, entry->context) ||
                     block->dead))
            block = find_next(cpu, rip, linear);
        if (likely(block != NULL))
            return block_enter(cpu, block, rip);
    }
#endif
    cpu->inhibit = true;
    return exec_end(cpu, insn);
}

EXEC(STI)
{
    if (likely(cpu->cpl <= cpu_iopl(cpu))) {
        if (cpu->eflags & F_IF)
            return NEXT(insn);
        cpu_set_eflags(cpu, F_IF, F_IF);
        return exec_shadowed(cpu, insn);
    }
    if (!has_virtual_if(cpu) || cpu->eflags & F_VIP)
        RAISE_GP0();
    cpu->eflags |= F_VIF;
    return NEXT(insn);
}

EXEC(HLT)
{
    REQUIRE_CPL0();
    cpu->rip = insn_next_rip(cpu, insn);
    cpu->halted = true;
    return EXEC_EXIT;
}

EXEC(CLAC)
{
    if (cpu->cpl != 0)
        RAISE_UD();
    cpu_set_eflags(cpu, 0, F_AC);
    return NEXT(insn);
}

EXEC(STAC)
{
    if (cpu->cpl != 0)
        RAISE_UD();
    cpu_set_eflags(cpu, F_AC, F_AC);
    return NEXT(insn);
}
