/* What far RET and IRET have in common: the checks of the segments returned to.
 * SDM 3A §5.8.6; 2A IRET, 2B RET. */
#include "cpu/descriptor.h"

bool return_check_code(struct cpu *cpu, uint16_t selector, struct segment *code)
{
    struct descriptor descriptor;
    unsigned rpl = selector & SELECTOR_RPL;
    if (selector_is_null(selector))
        return cpu_fault(cpu, VECTOR_GP, 0);
    if (descriptor_fetch(cpu, selector, VECTOR_GP, &descriptor))
        return true;
    unsigned dpl = descriptor_dpl(&descriptor), attributes = descriptor_attributes(&descriptor);
    bool legal = descriptor_is_code(&descriptor) && rpl >= cpu->cpl &&
                 (descriptor_is_conforming(&descriptor) ? dpl <= rpl : dpl == rpl);
    if (cpu_is_long(cpu) && (attributes & (SEG_L | SEG_DB)) == (SEG_L | SEG_DB))
        legal = false;
    if (!legal)
        return cpu_fault(cpu, VECTOR_GP, SELECTOR_ERROR(selector));
    if (!descriptor_is_present(&descriptor))
        return cpu_fault(cpu, VECTOR_NP, SELECTOR_ERROR(selector));
    if (descriptor_set_accessed(cpu, &descriptor))
        return true;
    *code = segment_from(&descriptor, selector);
    return false;
}

bool return_check_stack(struct cpu *cpu, uint16_t selector, unsigned cpl,
                        const struct segment *code, struct segment *stack)
{
    struct descriptor descriptor;
    if (selector_is_null(selector)) {
        bool to_64 = cpu_is_64(cpu) && code->attributes & SEG_L;
        if (!to_64 || cpl == 3 || (selector & SELECTOR_RPL) != cpl)
            return cpu_fault(cpu, VECTOR_GP, 0);
        *stack = segment_null(selector);
        stack->attributes = (uint16_t)(cpl << SEG_DPL_SHIFT);
        return false;
    }
    if (segment_check_stack(cpu, selector, cpl, VECTOR_GP, &descriptor) ||
        descriptor_set_accessed(cpu, &descriptor))
        return true;
    *stack = segment_from(&descriptor, selector);
    return false;
}

void return_commit(struct cpu *cpu, const struct segment *code, uint64_t rip,
                   const struct segment *stack, uint64_t sp)
{
    unsigned cpl = code->selector & SELECTOR_RPL;
    cpu->segs[SS] = *stack;
    if (cpl > cpu->cpl) {
        cpu->cpl = (uint8_t)cpl;
        segment_drop_inaccessible(cpu);
    }
    segment_enter_code(cpu, code, cpl, rip);
    stack_commit(cpu, sp);
}
