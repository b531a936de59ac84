/* Descriptor-table registers, LDTR and TR; LAR, LSL, VERR, VERW, ARPL.
 * SDM 2A ARPL, LAR, LGDT, LLDT, LSL, LTR; 2B SGDT, SIDT, SLDT, STR, VERR. */
#include "cpu/descriptor.h"

/* SGDT, SIDT, SLDT, STR, SMSW tell unprivileged programs where they run, unless UMIP is on. */
static bool umip_forbids(const struct cpu *cpu)
{
    return cpu->cpl != 0 && cpu->mmu.registers.cr4 & CR4_UMIP;
}

/* --- GDTR and IDTR */

static always_inline int exec_store_table(struct cpu *cpu, const struct insn *insn,
                                          const struct descriptor_table *table)
{
    uint64_t at = insn_address(cpu, insn), second = (at + 2) & address_mask(insn);
    if (umip_forbids(cpu))
        RAISE_GP0();
    TRY(mem_check_write(cpu, insn->seg, at, 2));
    TRY(mem_check_write(cpu, insn->seg, second, cpu_is_64(cpu) ? 8 : 4));
    TRY(mem_store16(cpu, insn->seg, at, (uint16_t)table->limit));
    if (cpu_is_64(cpu))
        TRY(mem_store64(cpu, insn->seg, second, table->base));
    else
        TRY(mem_store32(cpu, insn->seg, second, (uint32_t)table->base));
    return NEXT(insn);
}

EXEC(SGDT_Ms)
{
    return exec_store_table(cpu, insn, &cpu->gdt);
}

EXEC(SIDT_Ms)
{
    return exec_store_table(cpu, insn, &cpu->idt);
}

static always_inline int exec_load_table(struct cpu *cpu, const struct insn *insn,
                                         struct descriptor_table *table)
{
    uint64_t at = insn_address(cpu, insn), second = (at + 2) & address_mask(insn), base = 0;
    uint16_t limit = 0;
    REQUIRE_CPL0();
    TRY(mem_load16(cpu, insn->seg, at, &limit));
    if (cpu_is_64(cpu)) {
        TRY(mem_load64(cpu, insn->seg, second, &base));
        if (!linear_is_canonical(base))
            RAISE_GP0();
    } else {
        uint32_t low = 0;
        TRY(mem_load32(cpu, insn->seg, second, &low));
        base = insn->size == SIZE_16 ? low & 0xffffff : low;
    }
    table->base = base;
    table->limit = limit;
    return NEXT(insn);
}

EXEC(LGDT_Ms)
{
    return exec_load_table(cpu, insn, &cpu->gdt);
}

EXEC(LIDT_Ms)
{
    return exec_load_table(cpu, insn, &cpu->idt);
}

/* --- LDTR and TR */

static int exec_store_selector(struct cpu *cpu, const struct insn *insn, uint16_t selector)
{
    if (umip_forbids(cpu))
        RAISE_GP0();
    if (insn->memory)
        TRY(mem_store16(cpu, insn->seg, insn_address(cpu, insn), selector));
    else if (insn->size == SIZE_16)
        REG16_SET(insn->rm, selector);
    else
        REG64_SET(insn->rm, selector);
    return NEXT(insn);
}

EXEC(SLDT_Ev_r)
{
    return exec_store_selector(cpu, insn, cpu->ldt.selector);
}

EXEC(SLDT_Ev_m)
{
    return exec_store_selector(cpu, insn, cpu->ldt.selector);
}

EXEC(STR_Ev_r)
{
    return exec_store_selector(cpu, insn, cpu->tr.selector);
}

EXEC(STR_Ev_m)
{
    return exec_store_selector(cpu, insn, cpu->tr.selector);
}

/* Reads a system descriptor of the GDT with one of `types`, and its whole base. */
static bool fetch_system(struct cpu *cpu, uint16_t selector, unsigned types,
                         struct descriptor *descriptor, struct segment *segment)
{
    uint32_t high = 0;
    if (selector & SELECTOR_TI)
        return cpu_fault(cpu, VECTOR_GP, SELECTOR_ERROR(selector));
    if (descriptor_fetch(cpu, selector, VECTOR_GP, descriptor))
        return true;
    if (!descriptor_is_system(descriptor) || !(types >> descriptor_type(descriptor) & 1))
        return cpu_fault(cpu, VECTOR_GP, SELECTOR_ERROR(selector));
    if (!descriptor_is_present(descriptor))
        return cpu_fault(cpu, VECTOR_NP, SELECTOR_ERROR(selector));
    if (cpu_is_long(cpu) && descriptor_fetch_high(cpu, descriptor, VECTOR_GP, &high))
        return true;
    *segment = segment_from(descriptor, selector);
    segment->base |= (uint64_t)high << 32;
    return linear_is_canonical(segment->base) ? false
                                              : cpu_fault(cpu, VECTOR_GP, SELECTOR_ERROR(selector));
}

static never_inline bool lldt(struct cpu *cpu, uint16_t selector)
{
    struct descriptor descriptor;
    struct segment ldt;
    if (selector_is_null(selector)) {
        cpu->ldt = segment_null(selector);
        return false;
    }
    if (fetch_system(cpu, selector, 1u << SYSTEM_LDT, &descriptor, &ldt))
        return true;
    cpu->ldt = ldt;
    return false;
}

static never_inline bool ltr(struct cpu *cpu, uint16_t selector)
{
    struct descriptor descriptor;
    struct segment tr;
    unsigned types = 1u << SYSTEM_TSS32 | (cpu_is_long(cpu) ? 0 : 1u << SYSTEM_TSS16);
    if (selector_is_null(selector))
        return cpu_fault(cpu, VECTOR_GP, 0);
    if (fetch_system(cpu, selector, types, &descriptor, &tr) ||
        descriptor_set_type(cpu, &descriptor, descriptor_type(&descriptor) | SYSTEM_BUSY))
        return true;
    cpu->tr = tr;
    cpu->tr.attributes |= SYSTEM_BUSY;
    return false;
}

#define LOAD_REGISTER(id, load)                                                                    \
    EXEC(id##_r)                                                                                   \
    {                                                                                              \
        REQUIRE_CPL0();                                                                            \
        TRY(load(cpu, REG16(insn->rm)));                                                           \
        return NEXT(insn);                                                                         \
    }                                                                                              \
    EXEC(id##_m)                                                                                   \
    {                                                                                              \
        uint16_t selector = 0;                                                                     \
        REQUIRE_CPL0();                                                                            \
        TRY(mem_load16(cpu, insn->seg, insn_address(cpu, insn), &selector));                       \
        TRY(load(cpu, selector));                                                                  \
        return NEXT(insn);                                                                         \
    }
LOAD_REGISTER(LLDT_Ew, lldt)
LOAD_REGISTER(LTR_Ew, ltr)

/* --- questions about a selector: ZF answers, only a page fault can end them */

enum { LAR_LEGACY = 0x1a3e, LAR_LONG = 0x1a04, LSL_LEGACY = 0x0a0e, LSL_LONG = 0x0a04 };

struct visible {
    bool found;
    struct descriptor descriptor;
};

/* Looks the selector up; found only when its descriptor may be seen from here: code and data always
 * by type, system descriptors of `types`. */
static bool look_up(struct cpu *cpu, uint16_t selector, unsigned types, struct visible *visible)
{
    struct descriptor *descriptor = &visible->descriptor;
    visible->found = false;
    descriptor->selector = selector;
    if (selector_is_null(selector) || !descriptor_locate(cpu, selector, 8, &descriptor->address))
        return false;
    if (mem_system_load(cpu, descriptor->address, 8, &descriptor->raw))
        return true;
    unsigned dpl = descriptor_dpl(descriptor);
    bool reachable = dpl >= cpu->cpl && dpl >= (selector & SELECTOR_RPL);
    if (descriptor_is_system(descriptor))
        visible->found = reachable && types >> descriptor_type(descriptor) & 1;
    else
        visible->found =
            reachable || (descriptor_is_code(descriptor) && descriptor_is_conforming(descriptor));
    return false;
}

static void set_zf(struct cpu *cpu, bool zf)
{
    flags_update_arithmetic(cpu, zf ? F_ZF : 0, F_ZF);
}

static void set_register(struct cpu *cpu, const struct insn *insn, uint32_t value)
{
    if (insn->size == SIZE_16)
        REG16_SET(insn->reg, value);
    else
        REG64_SET(insn->reg, value);
}

static never_inline bool lar(struct cpu *cpu, const struct insn *insn, uint16_t selector)
{
    struct visible visible;
    if (look_up(cpu, selector, cpu_is_long(cpu) ? LAR_LONG : LAR_LEGACY, &visible))
        return true;
    if (visible.found)
        set_register(cpu, insn, (uint32_t)(visible.descriptor.raw >> 32 & 0x00f0ff00));
    set_zf(cpu, visible.found);
    return false;
}

static never_inline bool lsl(struct cpu *cpu, const struct insn *insn, uint16_t selector)
{
    struct visible visible;
    if (look_up(cpu, selector, cpu_is_long(cpu) ? LSL_LONG : LSL_LEGACY, &visible))
        return true;
    if (visible.found)
        set_register(cpu, insn, descriptor_limit(&visible.descriptor));
    set_zf(cpu, visible.found);
    return false;
}

static never_inline bool verify(struct cpu *cpu, uint16_t selector, bool write)
{
    struct visible visible;
    if (look_up(cpu, selector, 0, &visible))
        return true;
    const struct descriptor *descriptor = &visible.descriptor;
    set_zf(cpu, visible.found && (write ? descriptor_is_writable_data(descriptor)
                                        : descriptor_is_readable(descriptor)));
    return false;
}

#define DEFINE_QUESTION(id, call)                                                                  \
    EXEC(id##_r)                                                                                   \
    {                                                                                              \
        uint16_t selector = REG16(insn->rm);                                                       \
        TRY(call);                                                                                 \
        return NEXT(insn);                                                                         \
    }                                                                                              \
    EXEC(id##_m)                                                                                   \
    {                                                                                              \
        uint16_t selector = 0;                                                                     \
        TRY(mem_load16(cpu, insn->seg, insn_address(cpu, insn), &selector));                       \
        TRY(call);                                                                                 \
        return NEXT(insn);                                                                         \
    }
DEFINE_QUESTION(LAR_GvEw, lar(cpu, insn, selector))
DEFINE_QUESTION(LSL_GvEw, lsl(cpu, insn, selector))
DEFINE_QUESTION(VERR_Ew, verify(cpu, selector, false))
DEFINE_QUESTION(VERW_Ew, verify(cpu, selector, true))

EXEC(ARPL_EwGw_r)
{
    uint16_t to = REG16(insn->rm), from = REG16(insn->reg);
    bool lower = (to & SELECTOR_RPL) < (from & SELECTOR_RPL);
    if (lower)
        REG16_SET(insn->rm, (to & ~SELECTOR_RPL) | (from & SELECTOR_RPL));
    set_zf(cpu, lower);
    return NEXT(insn);
}

EXEC(ARPL_EwGw_m)
{
    uint8_t *at = mem_rmw(cpu, insn->seg, insn_address(cpu, insn), 2);
    if (unlikely(!at))
        return exec_fault(cpu, insn);
    uint16_t to = load_le16(at), from = REG16(insn->reg);
    bool lower = (to & SELECTOR_RPL) < (from & SELECTOR_RPL);
    if (lower)
        store_le16(at, (uint16_t)((to & ~SELECTOR_RPL) | (from & SELECTOR_RPL)));
    mem_rmw_done(cpu);
    set_zf(cpu, lower);
    return NEXT(insn);
}
