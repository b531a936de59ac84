/* Segment registers: loads with the checks of each mode, and what is derived from them.
 *
 * INV-1: a segment register changes only after the last check of the load; the accessed bit in the
 *        table is written before.
 * INV-2: read_end and write_end are never larger than a full check of type and limit would allow.
 * Sources: SDM 3A §3.4.2-3.4.5, §5.3-5.7, §20.1.1 (real mode).
 */
#include "cpu/descriptor.h"

struct segment segment_from(const struct descriptor *descriptor, uint16_t selector)
{
    return (struct segment){
        .base = descriptor_base(descriptor),
        .limit = descriptor_limit(descriptor),
        .selector = selector,
        .attributes = descriptor_attributes(descriptor),
    };
}

struct segment segment_null(uint16_t selector)
{
    return (struct segment){.selector = selector};
}

struct segment segment_v86(uint16_t selector)
{
    return (struct segment){
        .base = (uint32_t)selector << 4,
        .limit = 0xffff,
        .selector = selector,
        .attributes = SEG_P | SEG_DPL | SEG_S | SEG_WRITABLE | SEG_ACCESSED,
    };
}

bool segment_contains(const struct segment *segment, uint64_t offset, unsigned length)
{
    uint64_t last = offset + length - 1;
    if (last < offset)
        return false;
    if ((segment->attributes & (SEG_S | SEG_CODE | SEG_EXPAND_DOWN)) != (SEG_S | SEG_EXPAND_DOWN))
        return last <= segment->limit;
    return offset > segment->limit && last <= (segment->attributes & SEG_DB ? UINT32_MAX : 0xffff);
}

/* --- the fast ends */

static bool is_flat(const struct segment *segment)
{
    return segment->base == 0 && segment->read_end == UINT64_C(1) << 32 &&
           segment->write_end == UINT64_C(1) << 32;
}

static void update_ends(struct cpu *cpu, unsigned seg)
{
    struct segment *segment = &cpu->segs[seg];
    unsigned attributes = segment->attributes;
    uint64_t end = (uint64_t)segment->limit + 1;
    segment->read_end = segment->write_end = 0;
    if (cpu_is_64(cpu)) {
        segment->read_end = segment->write_end = UINT64_MAX;
        return;
    }
    if (!(attributes & SEG_P))
        return;
    if ((attributes & (SEG_CODE | SEG_EXPAND_DOWN)) == SEG_EXPAND_DOWN)
        return;
    if (!cpu_is_protected(cpu)) {
        segment->read_end = segment->write_end = end;
    } else if (attributes & SEG_CODE) {
        segment->read_end = attributes & SEG_READABLE ? end : 0;
    } else {
        segment->read_end = end;
        segment->write_end = attributes & SEG_WRITABLE ? end : 0;
    }
}

static bool is_flat_code(const struct cpu *cpu)
{
    const uint32_t code_32 = MODE_PROTECTED | CODE_32;
    return (cpu->mode & (MODE_PROTECTED | MODE_CODE)) == code_32 && !cpu->segs[CS].base &&
           cpu->segs[CS].limit == UINT32_MAX && cpu->segs[SS].attributes & SEG_DB;
}

/* What follows from the ends of all segments together. */
static void update_flatness(struct cpu *cpu)
{
    cpu->flat_data = is_flat(&cpu->segs[DS]) && is_flat(&cpu->segs[SS]) && is_flat(&cpu->segs[ES]);
    uint32_t flat = cpu->flat_data && is_flat_code(cpu) ? MODE_FLAT : 0;
    if (unlikely((cpu->mode ^ flat) & MODE_FLAT)) {
        cpu->mode ^= MODE_FLAT;
        /* WHY: cached jumps lead to blocks of the old mode. */
        atomic_store_explicit(&cpu->attention, 1, memory_order_relaxed);
    }
}

void segment_update(struct cpu *cpu, unsigned seg)
{
    update_ends(cpu, seg);
    update_flatness(cpu);
}

void segment_update_limits(struct cpu *cpu)
{
    /* WHY: 64-bit code names no segments but these and the flat ones, whose ends never change. */
    for (unsigned seg = cpu_is_64(cpu) ? FS : ES; seg <= GS; seg++)
        update_ends(cpu, seg);
    update_flatness(cpu);
}

/* --- loads */

void segment_load_real(struct cpu *cpu, unsigned seg, uint16_t selector)
{
    struct segment *segment = &cpu->segs[seg];
    if (cpu->eflags & F_VM) {
        *segment = segment_v86(selector);
    } else {
        /* SDM: real mode keeps a limit and a code size set in protected mode ("unreal"); all
         * segments are writable there. */
        if (!(segment->attributes & SEG_P))
            *segment = (struct segment){.limit = 0xffff};
        segment->selector = selector;
        segment->base = (uint32_t)selector << 4;
        segment->attributes &= SEG_DB | SEG_G | SEG_AVL;
        segment->attributes |= SEG_P | SEG_S | SEG_WRITABLE | SEG_ACCESSED;
    }
    segment_update(cpu, seg);
}

bool segment_check_stack(struct cpu *cpu, uint16_t selector, unsigned cpl, unsigned vector,
                         struct descriptor *descriptor)
{
    if (descriptor_fetch(cpu, selector, vector, descriptor))
        return true;
    if ((selector & SELECTOR_RPL) != cpl || !descriptor_is_writable_data(descriptor) ||
        descriptor_dpl(descriptor) != cpl)
        return cpu_fault(cpu, vector, SELECTOR_ERROR(selector));
    if (!descriptor_is_present(descriptor))
        return cpu_fault(cpu, VECTOR_SS, SELECTOR_ERROR(selector));
    return false;
}

static bool stack_segment_load(struct cpu *cpu, uint16_t selector)
{
    struct segment segment;
    if (selector_is_null(selector)) {
        if (!cpu_is_64(cpu) || cpu->cpl == 3 || (selector & SELECTOR_RPL) != cpu->cpl)
            return cpu_fault(cpu, VECTOR_GP, 0);
        segment = segment_null(selector);
        segment.attributes = (uint16_t)(cpu->cpl << SEG_DPL_SHIFT);
    } else {
        struct descriptor descriptor;
        if (segment_check_stack(cpu, selector, cpu->cpl, VECTOR_GP, &descriptor) ||
            descriptor_set_accessed(cpu, &descriptor))
            return true;
        segment = segment_from(&descriptor, selector);
    }
    cpu->segs[SS] = segment;
    cpu_mode_changed(cpu);
    return false;
}

/* `seg` has just been loaded: what translated code needs to do it again (translate_segment.c). */
static void remember(struct cpu *cpu, unsigned seg, const struct descriptor *descriptor)
{
    const uint16_t selector = descriptor->selector;
    const bool conforming = descriptor_is_code(descriptor) && descriptor_is_conforming(descriptor);
    if (selector & SELECTOR_TI || cpu_is_64(cpu))
        return;
    cpu->segment_memos[selector / 8 % SEGMENT_MEMO_ENTRIES] = (struct segment_memo){
        .segment = cpu->segs[seg],
        .raw = descriptor->raw,
        .cpl_max = conforming ? 3 : (uint8_t)descriptor_dpl(descriptor),
        .flat = is_flat(&cpu->segs[seg]),
    };
}

static bool data_segment_load(struct cpu *cpu, unsigned seg, uint16_t selector)
{
    struct descriptor descriptor;
    if (descriptor_fetch(cpu, selector, VECTOR_GP, &descriptor))
        return true;
    bool conforming = descriptor_is_code(&descriptor) && descriptor_is_conforming(&descriptor);
    unsigned dpl = descriptor_dpl(&descriptor);
    if (!descriptor_is_readable(&descriptor) ||
        (!conforming && ((selector & SELECTOR_RPL) > dpl || cpu->cpl > dpl)))
        return cpu_fault(cpu, VECTOR_GP, SELECTOR_ERROR(selector));
    if (!descriptor_is_present(&descriptor))
        return cpu_fault(cpu, VECTOR_NP, SELECTOR_ERROR(selector));
    if (descriptor_set_accessed(cpu, &descriptor))
        return true;
    cpu->segs[seg] = segment_from(&descriptor, selector);
    segment_update(cpu, seg);
    remember(cpu, seg, &descriptor);
    return false;
}

bool segment_load(struct cpu *cpu, unsigned seg, uint16_t selector)
{
    if (!cpu_is_protected(cpu)) {
        segment_load_real(cpu, seg, selector);
        if (seg == SS)
            cpu_mode_changed(cpu);
        return false;
    }
    if (seg == SS)
        return stack_segment_load(cpu, selector);
    if (!selector_is_null(selector))
        return data_segment_load(cpu, seg, selector);
    cpu->segs[seg] = segment_null(selector);
    segment_update(cpu, seg);
    return false;
}

/* --- for transfers of control */

void segment_enter_code(struct cpu *cpu, const struct segment *code, unsigned cpl, uint64_t rip)
{
    cpu->segs[CS] = *code;
    cpu->segs[CS].selector = (uint16_t)((code->selector & ~SELECTOR_RPL) | cpl);
    cpu->cpl = (uint8_t)cpl;
    cpu->rip = rip;
    cpu_mode_changed(cpu);
}

bool segment_jump_real(struct cpu *cpu, uint16_t selector, uint64_t offset)
{
    if (offset > (cpu->eflags & F_VM ? 0xffff : cpu->segs[CS].limit))
        return cpu_fault(cpu, VECTOR_GP, 0);
    segment_load_real(cpu, CS, selector);
    cpu->rip = offset;
    cpu_mode_changed(cpu);
    return false;
}

bool segment_check_target(struct cpu *cpu, const struct segment *code, uint64_t offset)
{
    bool legal = cpu_is_long(cpu) && (code->attributes & SEG_L) ? linear_is_canonical(offset)
                                                                : offset <= code->limit;
    return likely(legal) ? false : cpu_fault(cpu, VECTOR_GP, 0);
}

void segment_drop_inaccessible(struct cpu *cpu)
{
    static const uint8_t data[] = {ES, DS, FS, GS};
    for (unsigned i = 0; i < ARRAY_LENGTH(data); i++) {
        struct segment *segment = &cpu->segs[data[i]];
        unsigned attributes = segment->attributes;
        unsigned dpl = (attributes & SEG_DPL) >> SEG_DPL_SHIFT;
        bool conforming = (attributes & (SEG_CODE | SEG_CONFORMING)) == (SEG_CODE | SEG_CONFORMING);
        if ((attributes & SEG_P) && !conforming && dpl < cpu->cpl)
            *segment = segment_null(0);
    }
}
