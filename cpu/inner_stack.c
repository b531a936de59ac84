/* Stacks of inner privilege levels: chosen from the TSS by call gates and events, and written
 * before SS and RSP change.
 *
 * INV-1: pushes are supervisor accesses: such a stack belongs to CPL 0, 1 or 2.
 * LIMIT: so are those of a long-mode event that stays at CPL 3 (a handler of DPL 3).
 * Sources: SDM 3A §5.8.5, §6.12.1, §6.14.4 (IST), §7.2.1, §7.7.
 */
#include "cpu/descriptor.h"

static bool tss_fault(struct cpu *cpu)
{
    return cpu_fault(cpu, VECTOR_TS, SELECTOR_ERROR(cpu->tr.selector));
}

static bool is_tss32(const struct cpu *cpu)
{
    return cpu->tr.attributes & SYSTEM_32;
}

bool inner_stack_from_tss(struct cpu *cpu, unsigned cpl, struct inner_stack *stack)
{
    uint64_t sp, selector;
    unsigned width = is_tss32(cpu) ? 4 : 2;
    uint32_t at = width + cpl * width * 2;
    if (at + width + 1 > cpu->tr.limit)
        return tss_fault(cpu);
    if (mem_system_load(cpu, cpu->tr.base + at, width, &sp) ||
        mem_system_load(cpu, cpu->tr.base + at + width, 2, &selector))
        return true;
    if (selector_is_null((uint16_t)selector))
        return cpu_fault(cpu, VECTOR_TS, 0);
    struct descriptor descriptor;
    if (segment_check_stack(cpu, (uint16_t)selector, cpl, VECTOR_TS, &descriptor) ||
        descriptor_set_accessed(cpu, &descriptor))
        return true;
    *stack = (struct inner_stack){
        .segment = segment_from(&descriptor, (uint16_t)selector),
        .sp = sp,
        .error = SELECTOR_ERROR(selector),
    };
    stack->mask = stack->segment.attributes & SEG_DB ? UINT32_MAX : 0xffff;
    return false;
}

bool inner_stack_from_tss64(struct cpu *cpu, unsigned cpl, unsigned ist, struct inner_stack *stack)
{
    uint32_t at = ist ? 28 + ist * 8 : 4 + cpl * 8;
    *stack = (struct inner_stack){
        .segment = segment_null((uint16_t)cpl),
        .mask = UINT64_MAX,
        .flat = true,
    };
    stack->segment.attributes = (uint16_t)(cpl << SEG_DPL_SHIFT);
    if (at + 7 > cpu->tr.limit)
        return tss_fault(cpu);
    if (mem_system_load(cpu, cpu->tr.base + at, 8, &stack->sp))
        return true;
    return linear_is_canonical(stack->sp) ? false : cpu_fault(cpu, VECTOR_SS, 0);
}

bool inner_stack_push(struct cpu *cpu, struct inner_stack *stack, enum op_size size, uint64_t value)
{
    unsigned bytes = 1u << size;
    uint64_t at = (stack->sp - bytes) & stack->mask;
    uint64_t linear = at;
    if (stack->flat) {
        if (unlikely(!linear_is_canonical(at)))
            return cpu_fault(cpu, VECTOR_SS, stack->error);
    } else {
        if (!segment_contains(&stack->segment, at, bytes))
            return cpu_fault(cpu, VECTOR_SS, stack->error);
        linear = (stack->segment.base + at) & UINT32_MAX;
    }
    if (mem_system_store(cpu, linear, bytes, value))
        return true;
    stack->sp = stack->mask == 0xffff ? (stack->sp & ~UINT64_C(0xffff)) | at : at;
    return false;
}

void inner_stack_commit(struct cpu *cpu, const struct inner_stack *stack)
{
    cpu->segs[SS] = stack->segment;
    cpu->regs[RSP] = stack->mask == 0xffff
                         ? (cpu->regs[RSP] & ~UINT64_C(0xffff)) | (stack->sp & 0xffff)
                         : stack->sp;
}
