/* IRET in all its cases.
 *
 * INV-1: nothing changes before the last check; the frame is read with the present CPL's rights.
 * Sources: SDM 2A IRET; 3A §6.12.1, §6.14.3 (64-bit mode), §7.3 (nested tasks), §20.2.1, §20.3.2
 * (virtual-8086 and VME).
 */
#include "cpu/descriptor.h"

struct frame {
    uint64_t rip, cs, flags, sp, ss;
};

/* What IRET takes from the image outside protected mode: all but VM, VIF and VIP. */
#define IRET_REAL_FLAGS (F_ARITH | F_TF | F_IF | F_DF | F_IOPL | F_NT | F_RF | F_AC | F_ID)
#define IRET_ANY_FLAGS  (F_ARITH | F_TF | F_DF | F_NT)

/* WHY: RF matters only to instruction breakpoints; left out when there are none, a return to a
 * faulting instruction need not be single-stepped to clear RF again. */
static void set_flags(struct cpu *cpu, uint32_t flags, uint32_t mask)
{
    if (!debug_any_instruction(cpu))
        flags &= ~(uint32_t)F_RF;
    cpu_set_eflags(cpu, flags, mask);
}

static bool pop_frame(struct cpu *cpu, uint64_t *sp, enum op_size size, struct frame *frame)
{
    return stack_pop(cpu, sp, size, &frame->rip) || stack_pop(cpu, sp, size, &frame->cs) ||
           stack_pop(cpu, sp, size, &frame->flags);
}

static bool iret_real(struct cpu *cpu, enum op_size size)
{
    uint64_t sp = cpu->regs[RSP];
    struct frame frame;
    if (pop_frame(cpu, &sp, size, &frame) || segment_jump_real(cpu, (uint16_t)frame.cs, frame.rip))
        return true;
    stack_commit(cpu, sp);
    set_flags(cpu, (uint32_t)frame.flags,
              size == SIZE_16 ? IRET_REAL_FLAGS & 0xffff : IRET_REAL_FLAGS);
    return false;
}

/* SDM: with IOPL below 3, VME lets a 16-bit IRET through: the image's IF goes to VIF. */
static bool iret_vme(struct cpu *cpu)
{
    uint64_t sp = cpu->regs[RSP];
    struct frame frame;
    if (pop_frame(cpu, &sp, SIZE_16, &frame))
        return true;
    uint32_t flags = (uint32_t)frame.flags;
    if (flags & F_TF || (flags & F_IF && cpu->eflags & F_VIP))
        return cpu_fault(cpu, VECTOR_GP, 0);
    if (segment_jump_real(cpu, (uint16_t)frame.cs, frame.rip))
        return true;
    stack_commit(cpu, sp);
    flags = (flags & ~(uint32_t)F_VIF) | (flags & F_IF ? F_VIF : 0);
    set_flags(cpu, flags, IRET_ANY_FLAGS | F_VIF);
    return false;
}

static bool iret_v86(struct cpu *cpu, enum op_size size)
{
    if (cpu_iopl(cpu) < 3) {
        if (size == SIZE_16 && cpu->mmu.registers.cr4 & CR4_VME)
            return iret_vme(cpu);
        return cpu_fault(cpu, VECTOR_GP, 0);
    }
    uint64_t sp = cpu->regs[RSP];
    struct frame frame;
    if (pop_frame(cpu, &sp, size, &frame) || segment_jump_real(cpu, (uint16_t)frame.cs, frame.rip))
        return true;
    stack_commit(cpu, sp);
    uint32_t mask = IRET_REAL_FLAGS & ~(uint32_t)F_IOPL;
    set_flags(cpu, (uint32_t)frame.flags, size == SIZE_16 ? mask & 0xffff : mask);
    return false;
}

static bool iret_to_v86(struct cpu *cpu, uint64_t sp, const struct frame *frame)
{
    static const uint8_t order[] = {ES, DS, FS, GS};
    uint64_t new_sp, ss, selectors[ARRAY_LENGTH(order)];
    if (stack_pop(cpu, &sp, SIZE_32, &new_sp) || stack_pop(cpu, &sp, SIZE_32, &ss))
        return true;
    for (unsigned i = 0; i < ARRAY_LENGTH(order); i++)
        if (stack_pop(cpu, &sp, SIZE_32, &selectors[i]))
            return true;
    if (frame->rip > 0xffff)
        return cpu_fault(cpu, VECTOR_GP, 0);

    for (unsigned i = 0; i < ARRAY_LENGTH(order); i++)
        cpu->segs[order[i]] = segment_v86((uint16_t)selectors[i]);
    cpu->segs[SS] = segment_v86((uint16_t)ss);
    cpu->segs[CS] = segment_v86((uint16_t)frame->cs);
    cpu->cpl = 3;
    cpu->rip = frame->rip;
    cpu->regs[RSP] = new_sp;
    set_flags(cpu, (uint32_t)frame->flags, F_ALL);
    cpu_mode_changed(cpu);
    return false;
}

/* The bits of the image that a return from the present CPL may change. */
static uint32_t protected_flags(const struct cpu *cpu, enum op_size size)
{
    uint32_t mask = IRET_ANY_FLAGS;
    if (size != SIZE_16)
        mask |= F_RF | F_AC | F_ID;
    if (cpu->cpl <= cpu_iopl(cpu))
        mask |= F_IF;
    if (cpu->cpl == 0)
        mask |= size == SIZE_16 ? F_IOPL : F_IOPL | F_VIF | F_VIP;
    return mask;
}

/* The whole frame of an IRETQ, five quadwords at once when they lie in one page. */
static bool pop_frame64(struct cpu *cpu, uint64_t *sp, struct frame *frame)
{
    const uint8_t *host = mem_fast(cpu, SEG_FLAT_STACK, *sp, 40, false);
    if (unlikely(!host))
        return pop_frame(cpu, sp, SIZE_64, frame) || stack_pop(cpu, sp, SIZE_64, &frame->sp) ||
               stack_pop(cpu, sp, SIZE_64, &frame->ss);
    frame->rip = load_le64(host);
    frame->cs = load_le64(host + 8);
    frame->flags = load_le64(host + 16);
    frame->sp = load_le64(host + 24);
    frame->ss = load_le64(host + 32);
    *sp += 40;
    return false;
}

static bool iret_protected(struct cpu *cpu, enum op_size size)
{
    uint64_t sp = cpu->regs[RSP];
    struct frame frame;
    struct segment code, stack;
    bool is_64 = cpu_is_64(cpu), whole = is_64 && size == SIZE_64;
    if (whole ? pop_frame64(cpu, &sp, &frame) : pop_frame(cpu, &sp, size, &frame))
        return true;
    if (size == SIZE_32 && frame.flags & F_VM && cpu->cpl == 0 && !cpu_is_long(cpu))
        return iret_to_v86(cpu, sp, &frame);

    uint16_t selector = (uint16_t)frame.cs;
    unsigned cpl = selector & SELECTOR_RPL;
    if (return_check_code(cpu, selector, &code))
        return true;
    bool pops_stack = is_64 || cpl > cpu->cpl;
    if (pops_stack && ((!whole && (stack_pop(cpu, &sp, size, &frame.sp) ||
                                   stack_pop(cpu, &sp, size, &frame.ss))) ||
                       return_check_stack(cpu, (uint16_t)frame.ss, cpl, &code, &stack)))
        return true;
    if (segment_check_target(cpu, &code, frame.rip))
        return true;

    uint32_t mask = protected_flags(cpu, size);
    if (pops_stack) {
        return_commit(cpu, &code, frame.rip, &stack, frame.sp);
    } else {
        stack_commit(cpu, sp);
        segment_enter_code(cpu, &code, cpl, frame.rip);
    }
    set_flags(cpu, (uint32_t)frame.flags, mask);
    return false;
}

/* Whatever IRET ends in, NMIs come through again (SDM 3A §6.7.1). */
static void unblock_nmi(struct cpu *cpu)
{
    if (likely(!cpu->nmi_blocked))
        return;
    cpu->nmi_blocked = false;
    atomic_store_explicit(&cpu->attention, 1, memory_order_relaxed);
}

static never_inline bool iret(struct cpu *cpu, const struct insn *insn, enum op_size size)
{
    cpu->rip = insn_rip(cpu, insn);
    unblock_nmi(cpu);
    if (likely(cpu_is_protected(cpu))) {
        if (unlikely(cpu->eflags & F_NT))
            return cpu_is_long(cpu) ? cpu_fault(cpu, VECTOR_GP, 0)
                                    : task_return(cpu, insn_next_rip(cpu, insn));
        return iret_protected(cpu, size);
    }
    return cpu_is_v86(cpu) ? iret_v86(cpu, size) : iret_real(cpu, size);
}

EXEC(IRET_16)
{
    return exec_transferred(cpu, insn, iret(cpu, insn, SIZE_16));
}

EXEC(IRET_32)
{
    return exec_transferred(cpu, insn, iret(cpu, insn, SIZE_32));
}

EXEC(IRET_64)
{
    return exec_transferred(cpu, insn, iret(cpu, insn, SIZE_64));
}
