/* Far CALL, JMP and RET: to code segments, through call gates, to tasks.
 *
 * INV-1: CS, SS, RSP and the CPL change together, after the last check and the last push.
 * Sources: SDM 3A §5.8 (gates), §5.8.2 (conforming), §7.3 (tasks); 2A CALL, JMP; 2B RET.
 */
#include "cpu/descriptor.h"

struct far {
    bool is_call;
    uint16_t selector;
    uint64_t offset;
    enum op_size size; /* of what a CALL pushes */
    uint64_t next;     /* the return address */
};

static bool gp(struct cpu *cpu, uint16_t selector)
{
    return cpu_fault(cpu, VECTOR_GP, SELECTOR_ERROR(selector));
}

/* Pushes CS and the return address below *sp, which becomes the top.
 * WHY: a 64-bit frame belongs to 64-bit code, whose stack is flat, also when a gate takes
 * compatibility mode there. */
static bool push_return(struct cpu *cpu, const struct far *far, uint64_t *sp)
{
    uint16_t selector = cpu->segs[CS].selector;
    if (far->size != SIZE_64)
        return stack_push(cpu, sp, far->size, selector) ||
               stack_push(cpu, sp, far->size, far->next);
    if (mem_store64(cpu, SEG_FLAT_STACK, *sp - 8, selector) ||
        mem_store64(cpu, SEG_FLAT_STACK, *sp - 16, far->next))
        return true;
    *sp -= 16;
    return false;
}

/* Pushes CS and the return address on the present stack, and goes to the code segment. */
static bool enter_same_privilege(struct cpu *cpu, const struct far *far, struct descriptor *target,
                                 uint64_t offset)
{
    struct segment code = segment_from(target, target->selector);
    if (segment_check_target(cpu, &code, offset))
        return true;
    uint64_t sp = cpu->regs[RSP];
    if (far->is_call && push_return(cpu, far, &sp))
        return true;
    if (descriptor_set_accessed(cpu, target))
        return true;
    code.attributes |= SEG_ACCESSED;
    if (far->is_call && far->size == SIZE_64)
        cpu->regs[RSP] = sp;
    else if (far->is_call)
        stack_commit(cpu, sp);
    segment_enter_code(cpu, &code, cpu->cpl, offset);
    return false;
}

/* Copies the gate's parameters: read from the caller's stack with the caller's rights. */
static bool copy_parameters(struct cpu *cpu, struct inner_stack *stack, enum op_size size,
                            unsigned count)
{
    while (count--) {
        uint64_t at = (cpu->regs[RSP] + ((uint64_t)count << size)) & cpu->stack_mask, value;
        if (stack_pop(cpu, &at, size, &value) || inner_stack_push(cpu, stack, size, value))
            return true;
    }
    return false;
}

/* A CALL through a gate to more privilege. */
static bool enter_inner_privilege(struct cpu *cpu, const struct far *far, struct descriptor *target,
                                  uint64_t offset, unsigned parameters)
{
    struct segment code = segment_from(target, target->selector);
    struct inner_stack stack;
    unsigned cpl = descriptor_dpl(target);
    bool is_long = cpu_is_long(cpu);
    if (is_long ? inner_stack_from_tss64(cpu, cpl, 0, &stack)
                : inner_stack_from_tss(cpu, cpl, &stack))
        return true;
    if (segment_check_target(cpu, &code, offset))
        return true;
    if (inner_stack_push(cpu, &stack, far->size, cpu->segs[SS].selector) ||
        inner_stack_push(cpu, &stack, far->size, cpu->regs[RSP]) ||
        (!is_long && copy_parameters(cpu, &stack, far->size, parameters)) ||
        inner_stack_push(cpu, &stack, far->size, cpu->segs[CS].selector) ||
        inner_stack_push(cpu, &stack, far->size, far->next) || descriptor_set_accessed(cpu, target))
        return true;
    code.attributes |= SEG_ACCESSED;
    inner_stack_commit(cpu, &stack);
    segment_enter_code(cpu, &code, cpl, offset);
    return false;
}

static bool far_to_code(struct cpu *cpu, const struct far *far, struct descriptor *target)
{
    unsigned dpl = descriptor_dpl(target), rpl = far->selector & SELECTOR_RPL;
    bool legal =
        descriptor_is_conforming(target) ? dpl <= cpu->cpl : dpl == cpu->cpl && rpl <= cpu->cpl;
    unsigned both = SEG_L | SEG_DB;
    if (!legal || (cpu_is_long(cpu) && (descriptor_attributes(target) & both) == both))
        return gp(cpu, far->selector);
    if (!descriptor_is_present(target))
        return cpu_fault(cpu, VECTOR_NP, SELECTOR_ERROR(far->selector));
    return enter_same_privilege(cpu, far, target, far->offset);
}

static bool far_to_call_gate(struct cpu *cpu, const struct far *far, const struct descriptor *gate)
{
    bool is_long = cpu_is_long(cpu);
    uint32_t high = 0;
    struct descriptor target;
    if (!descriptor_is_present(gate))
        return cpu_fault(cpu, VECTOR_NP, SELECTOR_ERROR(far->selector));
    if (is_long && descriptor_fetch_high(cpu, gate, VECTOR_GP, &high))
        return true;
    uint16_t selector = gate_selector(gate);
    uint64_t offset = gate_offset(gate) | (uint64_t)high << 32;
    if (selector_is_null(selector))
        return cpu_fault(cpu, VECTOR_GP, 0);
    if (descriptor_fetch(cpu, selector, VECTOR_GP, &target))
        return true;

    unsigned dpl = descriptor_dpl(&target), attributes = descriptor_attributes(&target);
    bool conforming = descriptor_is_conforming(&target);
    if (!descriptor_is_code(&target) || dpl > cpu->cpl ||
        (!far->is_call && !conforming && dpl != cpu->cpl) ||
        (is_long && (attributes & (SEG_L | SEG_DB)) != SEG_L))
        return gp(cpu, selector);
    if (!descriptor_is_present(&target))
        return cpu_fault(cpu, VECTOR_NP, SELECTOR_ERROR(selector));

    struct far through = *far;
    through.size = is_long ? SIZE_64 : descriptor_type(gate) & SYSTEM_32 ? SIZE_32 : SIZE_16;
    if (far->is_call && !conforming && dpl < cpu->cpl)
        return enter_inner_privilege(cpu, &through, &target, offset, gate_parameters(gate));
    return enter_same_privilege(cpu, &through, &target, offset);
}

static bool far_to_task(struct cpu *cpu, const struct far *far, struct descriptor *tss)
{
    return task_switch(cpu, tss, far->is_call ? TASK_CALL : TASK_JUMP, far->next);
}

static bool far_to_system(struct cpu *cpu, const struct far *far, struct descriptor *target)
{
    unsigned type = descriptor_type(target), dpl = descriptor_dpl(target);
    struct descriptor tss;
    bool is_long = cpu_is_long(cpu);
    if (dpl < cpu->cpl || dpl < (far->selector & SELECTOR_RPL))
        return gp(cpu, far->selector);
    switch (type) {
    case SYSTEM_CALL32:
        return far_to_call_gate(cpu, far, target);
    case SYSTEM_CALL16:
        return is_long ? gp(cpu, far->selector) : far_to_call_gate(cpu, far, target);
    case SYSTEM_TASK_GATE:
        if (is_long)
            return gp(cpu, far->selector);
        if (!descriptor_is_present(target))
            return cpu_fault(cpu, VECTOR_NP, SELECTOR_ERROR(far->selector));
        return task_gate_fetch(cpu, target, &tss) || far_to_task(cpu, far, &tss);
    case SYSTEM_TSS16:
    case SYSTEM_TSS32:
        if (is_long || far->selector & SELECTOR_TI)
            return gp(cpu, far->selector);
        if (!descriptor_is_present(target))
            return cpu_fault(cpu, VECTOR_NP, SELECTOR_ERROR(far->selector));
        return far_to_task(cpu, far, target);
    default:
        return gp(cpu, far->selector);
    }
}

static bool far_real(struct cpu *cpu, const struct far *far)
{
    uint64_t sp = cpu->regs[RSP];
    if (far->offset > (cpu->eflags & F_VM ? 0xffff : cpu->segs[CS].limit))
        return cpu_fault(cpu, VECTOR_GP, 0);
    if (far->is_call && push_return(cpu, far, &sp))
        return true;
    if (segment_jump_real(cpu, far->selector, far->offset))
        return true;
    if (far->is_call)
        stack_commit(cpu, sp);
    return false;
}

static bool far_transfer(struct cpu *cpu, const struct far *far)
{
    struct descriptor target;
    if (!cpu_is_protected(cpu))
        return far_real(cpu, far);
    if (selector_is_null(far->selector))
        return cpu_fault(cpu, VECTOR_GP, 0);
    if (descriptor_fetch(cpu, far->selector, VECTOR_GP, &target))
        return true;
    if (descriptor_is_system(&target))
        return far_to_system(cpu, far, &target);
    return descriptor_is_code(&target) ? far_to_code(cpu, far, &target) : gp(cpu, far->selector);
}

/* --- handlers */

static never_inline bool far_begin(struct cpu *cpu, const struct insn *insn, bool is_call,
                                   uint16_t selector, uint64_t offset)
{
    struct far far = {
        .is_call = is_call,
        .selector = selector,
        .offset = offset,
        .size = insn->size,
        .next = insn_next_rip(cpu, insn),
    };
    cpu->rip = insn_rip(cpu, insn);
    return far_transfer(cpu, &far);
}

static always_inline int exec_far(struct cpu *cpu, const struct insn *insn, bool is_call,
                                  uint16_t selector, uint64_t offset)
{
    return exec_transferred(cpu, insn, far_begin(cpu, insn, is_call, selector, offset));
}

static always_inline int exec_far_memory(struct cpu *cpu, const struct insn *insn, bool is_call)
{
    uint64_t offset = 0;
    uint16_t selector = 0;
    TRY(far_pointer_load(cpu, insn, &offset, &selector));
    return exec_far(cpu, insn, is_call, selector, offset);
}

EXEC(CALL_Ap)
{
    return exec_far(cpu, insn, true, (uint16_t)insn->disp,
                    insn->size == SIZE_16 ? (uint16_t)insn->imm : (uint32_t)insn->imm);
}

EXEC(JMP_Ap)
{
    return exec_far(cpu, insn, false, (uint16_t)insn->disp,
                    insn->size == SIZE_16 ? (uint16_t)insn->imm : (uint32_t)insn->imm);
}

EXEC(CALL_Mp)
{
    return exec_far_memory(cpu, insn, true);
}

EXEC(JMP_Mp)
{
    return exec_far_memory(cpu, insn, false);
}

static never_inline bool far_return(struct cpu *cpu, enum op_size size, unsigned release)
{
    uint64_t sp = cpu->regs[RSP], rip = 0, selector = 0;
    if (stack_pop(cpu, &sp, size, &rip) || stack_pop(cpu, &sp, size, &selector))
        return true;
    if (!cpu_is_protected(cpu)) {
        if (segment_jump_real(cpu, (uint16_t)selector, rip))
            return true;
        stack_commit(cpu, sp + release);
        return false;
    }

    struct segment code, stack;
    unsigned cpl = selector & SELECTOR_RPL;
    if (return_check_code(cpu, (uint16_t)selector, &code))
        return true;
    if (cpl == cpu->cpl) {
        if (segment_check_target(cpu, &code, rip))
            return true;
        stack_commit(cpu, sp + release);
        segment_enter_code(cpu, &code, cpl, rip);
        return false;
    }
    uint64_t outer_sp = 0, outer_ss = 0;
    sp += release;
    if (stack_pop(cpu, &sp, size, &outer_sp) || stack_pop(cpu, &sp, size, &outer_ss) ||
        return_check_stack(cpu, (uint16_t)outer_ss, cpl, &code, &stack) ||
        segment_check_target(cpu, &code, rip))
        return true;
    return_commit(cpu, &code, rip, &stack, outer_sp + release);
    return false;
}

static int exec_far_return(struct cpu *cpu, const struct insn *insn, unsigned release)
{
    cpu->rip = insn_rip(cpu, insn);
    return exec_transferred(cpu, insn, far_return(cpu, insn->size, release));
}

EXEC(RETF)
{
    return exec_far_return(cpu, insn, 0);
}

EXEC(RETF_Iw)
{
    return exec_far_return(cpu, insn, (uint16_t)insn->imm);
}
