/* Reading and marking descriptors in the GDT and the LDT: implicit supervisor accesses.
 * SDM 3A §3.4.5, §3.5; accessed and busy bits are written only when they change. */
#include "cpu/descriptor.h"

bool descriptor_locate(const struct cpu *cpu, uint16_t selector, unsigned bytes, uint64_t *address)
{
    uint32_t offset = selector & ~7u;
    if (selector & SELECTOR_TI) {
        if (!(cpu->ldt.attributes & SEG_P) || offset + bytes - 1 > cpu->ldt.limit)
            return false;
        *address = cpu->ldt.base + offset;
    } else {
        if (offset + bytes - 1 > cpu->gdt.limit)
            return false;
        *address = cpu->gdt.base + offset;
    }
    if (!cpu_is_long(cpu))
        *address &= UINT32_MAX;
    return true;
}

bool descriptor_fetch(struct cpu *cpu, uint16_t selector, unsigned vector,
                      struct descriptor *descriptor)
{
    descriptor->selector = selector;
    if (unlikely(!descriptor_locate(cpu, selector, 8, &descriptor->address)))
        return cpu_fault(cpu, vector, SELECTOR_ERROR(selector));
    const void *host = mem_system_fast(cpu, descriptor->address, 8, false);
    if (unlikely(!host))
        return mem_system_load(cpu, descriptor->address, 8, &descriptor->raw);
    descriptor->raw = load_le64(host);
    return false;
}

bool descriptor_fetch_high(struct cpu *cpu, const struct descriptor *descriptor, unsigned vector,
                           uint32_t *high)
{
    uint64_t address, raw;
    if (!descriptor_locate(cpu, descriptor->selector, 16, &address))
        return cpu_fault(cpu, vector, SELECTOR_ERROR(descriptor->selector));
    if (mem_system_load(cpu, address + 8, 8, &raw))
        return true;
    if (raw >> 40 & 0x1f)
        return cpu_fault(cpu, vector, SELECTOR_ERROR(descriptor->selector));
    *high = (uint32_t)raw;
    return false;
}

bool descriptor_set_accessed(struct cpu *cpu, struct descriptor *descriptor)
{
    if (likely(descriptor->raw >> 40 & SEG_ACCESSED))
        return false;
    return descriptor_set_type(cpu, descriptor, descriptor_type(descriptor) | SEG_ACCESSED);
}

bool descriptor_set_type(struct cpu *cpu, struct descriptor *descriptor, unsigned type)
{
    uint64_t raw = (descriptor->raw & ~(UINT64_C(15) << 40)) | (uint64_t)type << 40;
    if (mem_system_store(cpu, descriptor->address + 5, 1, raw >> 40 & 0xff))
        return true;
    descriptor->raw = raw;
    return false;
}
