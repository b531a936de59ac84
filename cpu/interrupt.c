/* Delivery of interrupts and exceptions: the IVT of real mode, the gates of the IDT.
 *
 * INV-1: a delivery that faults has changed no register (but through a task gate, see task.c).
 * INV-2: error codes of faults met while an external event or an exception is delivered have EXT
 *        set; that is done in one place, interrupt_enter().
 * Sources: SDM 3A §6.10-6.14, §20.1.4 (real mode), §20.2-20.3 (virtual-8086), 2A INT n.
 */
#include "cpu/descriptor.h"

struct event {
    unsigned vector;
    bool software;
    bool has_error;
    uint32_t error;
    uint64_t rip;
    uint32_t flags; /* as pushed */
};

/* Error code that names the vector's gate. */
static uint32_t gate_error(const struct event *event)
{
    return event->vector * 8 + 2;
}

/* --- real mode */

static bool deliver_real(struct cpu *cpu, const struct event *event)
{
    uint64_t vector, sp = cpu->regs[RSP];
    if (event->vector * 4 + 3 > cpu->idt.limit)
        return cpu_fault(cpu, VECTOR_GP, gate_error(event));
    if (mem_system_load(cpu, cpu->idt.base + event->vector * 4, 4, &vector))
        return true;
    if (stack_push(cpu, &sp, SIZE_16, event->flags) ||
        stack_push(cpu, &sp, SIZE_16, cpu->segs[CS].selector) ||
        stack_push(cpu, &sp, SIZE_16, event->rip) ||
        segment_jump_real(cpu, (uint16_t)(vector >> 16), vector & 0xffff))
        return true;
    stack_commit(cpu, sp);
    cpu_set_eflags(cpu, 0, F_IF | F_TF | F_AC | F_RF);
    return false;
}

/* --- task gates */

static bool deliver_task(struct cpu *cpu, const struct event *event, const struct descriptor *gate)
{
    struct descriptor tss;
    if (task_gate_fetch(cpu, gate, &tss))
        return true;
    bool fault = task_switch(cpu, &tss, TASK_INTERRUPT, event->rip);
    if (fault && cpu->fault.vector != VECTOR_DB) /* #DB: the new task's T flag, after all else */
        return true;
    if (!event->has_error)
        return fault;
    uint64_t sp = cpu->regs[RSP];
    enum op_size size = cpu->tr.attributes & SYSTEM_32 ? SIZE_32 : SIZE_16;
    struct cpu_fault trap = cpu->fault;
    if (stack_push(cpu, &sp, size, event->error))
        return true;
    stack_commit(cpu, sp);
    cpu->fault = trap;
    return fault;
}

/* --- interrupt and trap gates outside long mode */

static void enter_handler(struct cpu *cpu, const struct descriptor *gate)
{
    bool masks = !(descriptor_type(gate) & 1);
    cpu_set_eflags(cpu, 0, F_TF | F_NT | F_RF | F_VM | (masks ? F_IF : 0));
}

static bool push_frame_same(struct cpu *cpu, const struct event *event, enum op_size size,
                            uint64_t *sp)
{
    return stack_push(cpu, sp, size, event->flags) ||
           stack_push(cpu, sp, size, cpu->segs[CS].selector) ||
           stack_push(cpu, sp, size, event->rip) ||
           (event->has_error && stack_push(cpu, sp, size, event->error));
}

static bool push_frame_inner(struct cpu *cpu, const struct event *event, enum op_size size,
                             struct inner_stack *stack)
{
    static const uint8_t v86_order[] = {GS, FS, DS, ES};
    if (cpu->eflags & F_VM)
        for (unsigned i = 0; i < ARRAY_LENGTH(v86_order); i++)
            if (inner_stack_push(cpu, stack, size, cpu->segs[v86_order[i]].selector))
                return true;
    return inner_stack_push(cpu, stack, size, cpu->segs[SS].selector) ||
           inner_stack_push(cpu, stack, size, cpu->regs[RSP]) ||
           inner_stack_push(cpu, stack, size, event->flags) ||
           inner_stack_push(cpu, stack, size, cpu->segs[CS].selector) ||
           inner_stack_push(cpu, stack, size, event->rip) ||
           (event->has_error && inner_stack_push(cpu, stack, size, event->error));
}

/* The handler's code segment, checked alike in and outside long mode. */
static bool fetch_handler(struct cpu *cpu, const struct descriptor *gate, struct descriptor *target)
{
    uint16_t selector = gate_selector(gate);
    if (unlikely(selector_is_null(selector)))
        return cpu_fault(cpu, VECTOR_GP, 0);
    if (descriptor_fetch(cpu, selector, VECTOR_GP, target))
        return true;
    unsigned dpl = descriptor_dpl(target), both = SEG_L | SEG_DB;
    bool legal = descriptor_is_code(target) && dpl <= cpu->cpl;
    if (cpu_is_long(cpu) && (descriptor_attributes(target) & both) != SEG_L)
        legal = false;
    if (unlikely(!legal))
        return cpu_fault(cpu, VECTOR_GP, SELECTOR_ERROR(selector));
    if (unlikely(!descriptor_is_present(target)))
        return cpu_fault(cpu, VECTOR_NP, SELECTOR_ERROR(selector));
    return false;
}

static bool deliver_inner(struct cpu *cpu, const struct event *event, const struct descriptor *gate,
                          struct descriptor *target)
{
    enum op_size size = descriptor_type(gate) & SYSTEM_32 ? SIZE_32 : SIZE_16;
    struct segment code = segment_from(target, target->selector);
    unsigned cpl = descriptor_dpl(target);
    struct inner_stack stack;
    bool from_v86 = cpu->eflags & F_VM;
    if (from_v86 && cpl != 0)
        return cpu_fault(cpu, VECTOR_GP, SELECTOR_ERROR(target->selector));
    if (inner_stack_from_tss(cpu, cpl, &stack) ||
        segment_check_target(cpu, &code, gate_offset(gate)) ||
        push_frame_inner(cpu, event, size, &stack) || descriptor_set_accessed(cpu, target))
        return true;
    code.attributes |= SEG_ACCESSED;
    if (from_v86) {
        cpu->segs[ES] = cpu->segs[DS] = cpu->segs[FS] = cpu->segs[GS] = segment_null(0);
        cpu->eflags &= ~(uint32_t)F_VM;
    }
    inner_stack_commit(cpu, &stack);
    segment_enter_code(cpu, &code, cpl, gate_offset(gate));
    enter_handler(cpu, gate);
    return false;
}

static bool deliver_protected(struct cpu *cpu, const struct event *event)
{
    struct descriptor gate, target;
    if (event->vector * 8 + 7 > cpu->idt.limit)
        return cpu_fault(cpu, VECTOR_GP, gate_error(event));
    gate.address = cpu->idt.base + event->vector * 8;
    if (mem_system_load(cpu, gate.address, 8, &gate.raw))
        return true;
    const unsigned gates = 1u << SYSTEM_TASK_GATE | 1u << SYSTEM_INTERRUPT16 | 1u << SYSTEM_TRAP16 |
                           1u << SYSTEM_INTERRUPT32 | 1u << SYSTEM_TRAP32;
    unsigned type = descriptor_type(&gate);
    if (!descriptor_is_system(&gate) || !(gates >> type & 1) ||
        (event->software && descriptor_dpl(&gate) < cpu->cpl))
        return cpu_fault(cpu, VECTOR_GP, gate_error(event));
    if (!descriptor_is_present(&gate))
        return cpu_fault(cpu, VECTOR_NP, gate_error(event));
    if (type == SYSTEM_TASK_GATE)
        return deliver_task(cpu, event, &gate);

    if (fetch_handler(cpu, &gate, &target))
        return true;
    bool conforming = descriptor_is_conforming(&target);
    if (!conforming && descriptor_dpl(&target) < cpu->cpl)
        return deliver_inner(cpu, event, &gate, &target);
    if (cpu->eflags & F_VM)
        return cpu_fault(cpu, VECTOR_GP, SELECTOR_ERROR(target.selector));

    uint64_t sp = cpu->regs[RSP];
    enum op_size size = type & SYSTEM_32 ? SIZE_32 : SIZE_16;
    struct segment code = segment_from(&target, target.selector);
    if (segment_check_target(cpu, &code, gate_offset(&gate)) ||
        push_frame_same(cpu, event, size, &sp) || descriptor_set_accessed(cpu, &target))
        return true;
    code.attributes |= SEG_ACCESSED;
    stack_commit(cpu, sp);
    segment_enter_code(cpu, &code, cpu->cpl, gate_offset(&gate));
    enter_handler(cpu, &gate);
    return false;
}

/* --- long mode */

static cold_path bool push_frame_long_slow(struct cpu *cpu, const struct event *event,
                                           struct inner_stack *stack)
{
    return inner_stack_push(cpu, stack, SIZE_64, cpu->segs[SS].selector) ||
           inner_stack_push(cpu, stack, SIZE_64, cpu->regs[RSP]) ||
           inner_stack_push(cpu, stack, SIZE_64, event->flags) ||
           inner_stack_push(cpu, stack, SIZE_64, cpu->segs[CS].selector) ||
           inner_stack_push(cpu, stack, SIZE_64, event->rip) ||
           (event->has_error && inner_stack_push(cpu, stack, SIZE_64, event->error));
}

/* The whole frame at once where it lies in one page. */
static bool push_frame_long(struct cpu *cpu, const struct event *event, struct inner_stack *stack)
{
    uint64_t sp = stack->sp - 40;
    uint8_t *host = mem_system_fast(cpu, sp - 8, 48, true);
    if (unlikely(!host))
        return push_frame_long_slow(cpu, event, stack);
    store_le64(host + 40, cpu->segs[SS].selector);
    store_le64(host + 32, cpu->regs[RSP]);
    store_le64(host + 24, event->flags);
    store_le64(host + 16, cpu->segs[CS].selector);
    store_le64(host + 8, event->rip);
    if (event->has_error) {
        sp -= 8;
        store_le64(host, event->error);
    }
    stack->sp = sp;
    return false;
}

static bool deliver_long(struct cpu *cpu, const struct event *event)
{
    struct descriptor gate, target;
    uint64_t high;
    if (unlikely(event->vector * 16 + 15 > cpu->idt.limit))
        return cpu_fault(cpu, VECTOR_GP, gate_error(event));
    gate.address = cpu->idt.base + event->vector * 16;
    const uint8_t *host = mem_system_fast(cpu, gate.address, 16, false);
    if (likely(host != NULL)) {
        gate.raw = load_le64(host);
        high = load_le64(host + 8);
    } else if (mem_system_load(cpu, gate.address, 8, &gate.raw) ||
               mem_system_load(cpu, gate.address + 8, 8, &high)) {
        return true;
    }
    unsigned type = descriptor_type(&gate);
    if (unlikely(!descriptor_is_system(&gate) ||
                 (type != SYSTEM_INTERRUPT32 && type != SYSTEM_TRAP32) || high >> 40 & 0x1f ||
                 (event->software && descriptor_dpl(&gate) < cpu->cpl)))
        return cpu_fault(cpu, VECTOR_GP, gate_error(event));
    if (unlikely(!descriptor_is_present(&gate)))
        return cpu_fault(cpu, VECTOR_NP, gate_error(event));
    if (fetch_handler(cpu, &gate, &target))
        return true;

    struct inner_stack stack;
    uint64_t rip = gate_offset(&gate) | high << 32;
    unsigned ist = gate.raw >> 32 & 7;
    unsigned cpl = descriptor_is_conforming(&target) ? cpu->cpl : descriptor_dpl(&target);
    struct segment code = segment_from(&target, target.selector);
    if (ist || cpl < cpu->cpl) {
        if (inner_stack_from_tss64(cpu, cpl, ist, &stack))
            return true;
        /* SDM: SS is made null only when the privilege changes. */
        if (cpl == cpu->cpl)
            stack.segment = cpu->segs[SS];
    } else {
        stack = (struct inner_stack){
            .segment = cpu->segs[SS], .sp = cpu->regs[RSP], .mask = UINT64_MAX, .flat = true};
    }
    stack.sp &= ~UINT64_C(15);
    if (segment_check_target(cpu, &code, rip) || push_frame_long(cpu, event, &stack) ||
        descriptor_set_accessed(cpu, &target))
        return true;
    code.attributes |= SEG_ACCESSED;
    inner_stack_commit(cpu, &stack);
    segment_enter_code(cpu, &code, cpl, rip);
    enter_handler(cpu, &gate);
    return false;
}

/* --- all modes */

/* SDM 3A §2.3, §17.3.1.1: RF is pushed as 1 by faults, but for instruction breakpoints. */
static uint32_t pushed_flags(const struct cpu *cpu, unsigned vector, enum interrupt_kind kind)
{
    const uint32_t not_faults =
        1u << VECTOR_DB | 1u << VECTOR_BP | 1u << VECTOR_OF | 1u << VECTOR_DF | 1u << VECTOR_MC;
    uint32_t flags = cpu_eflags(cpu);
    if (kind == INTERRUPT_EXCEPTION &&
        (!(not_faults >> vector & 1) || (vector == VECTOR_DB && cpu->fault.dr6 & DR6_BD)))
        flags |= F_RF;
    return flags;
}

bool interrupt_enter(struct cpu *cpu, unsigned vector, enum interrupt_kind kind, bool has_error,
                     uint32_t error, uint64_t rip)
{
    const struct event event = {
        .vector = vector,
        .software = kind == INTERRUPT_SOFTWARE,
        .has_error = has_error,
        .error = error,
        .rip = rip,
        .flags = pushed_flags(cpu, vector, kind),
    };
    bool fault = likely(cpu_is_long(cpu))          ? deliver_long(cpu, &event)
                 : cpu->mmu.registers.cr0 & CR0_PE ? deliver_protected(cpu, &event)
                                                   : deliver_real(cpu, &event);
    if (unlikely(fault)) {
        const uint32_t with_ext =
            1u << VECTOR_TS | 1u << VECTOR_NP | 1u << VECTOR_SS | 1u << VECTOR_GP | 1u << VECTOR_AC;
        if (!event.software && with_ext >> cpu->fault.vector & 1)
            cpu->fault.error |= 1;
        return true;
    }
    cpu->delivered = true;
    return false;
}

bool interrupt_deliver(struct cpu *cpu, unsigned vector, enum interrupt_kind kind, bool has_error,
                       uint32_t error)
{
    return interrupt_enter(cpu, vector, kind, has_error, error, cpu->rip);
}

/* --- exceptions, and exceptions while delivering them: SDM 3A §6.15, interrupt 8 */

enum fault_class { FAULT_BENIGN, FAULT_CONTRIBUTORY, FAULT_PAGE };

static enum fault_class fault_class(unsigned vector)
{
    const uint32_t contributory =
        1u << VECTOR_DE | 1u << VECTOR_TS | 1u << VECTOR_NP | 1u << VECTOR_SS | 1u << VECTOR_GP;
    if (vector == VECTOR_PF)
        return FAULT_PAGE;
    return contributory >> vector & 1 ? FAULT_CONTRIBUTORY : FAULT_BENIGN;
}

static bool makes_double_fault(unsigned first, unsigned second)
{
    enum fault_class a = fault_class(first), b = fault_class(second);
    return (a == FAULT_CONTRIBUTORY && b == FAULT_CONTRIBUTORY) ||
           (a == FAULT_PAGE && b != FAULT_BENIGN);
}

bool fault_deliver(struct cpu *cpu)
{
    /* WHY bounded: #AC in delivering #AC would go on for ever; the instruction is tried again
     * instead, with a look at what else wants attention. */
    for (unsigned tries = 0; tries < 8; tries++) {
        struct cpu_fault fault = cpu->fault;
        if (fault.vector == VECTOR_PF)
            cpu->cr2 = fault.cr2;
        else if (fault.vector == VECTOR_DB)
            debug_enter(cpu, fault.dr6);
        if (likely(!interrupt_deliver(cpu, fault.vector,
                                      fault.is_soft ? INTERRUPT_SOFTWARE : INTERRUPT_EXCEPTION,
                                      fault.has_error, fault.error)))
            return false;
        if (fault.vector == VECTOR_DF && fault_class(cpu->fault.vector) != FAULT_BENIGN)
            return true;
        if (makes_double_fault(fault.vector, cpu->fault.vector))
            cpu_fault(cpu, VECTOR_DF, 0);
    }
    return false;
}
