/* The registers that lockstep compares, in one table: names, places, and what of them counts. */
#include "machine/lockstep_priv.h"

#include "cpu/flags.h"

#include <inttypes.h>
#include <stddef.h>

enum value_kind { VALUE_NUMBER, VALUE_BYTES, VALUE_SEGMENT, VALUE_MODE };

struct register_row {
    const char *name;
    size_t offset;
    unsigned stride, count; /* of an array's items */
    unsigned size;          /* what counts of each: bytes */
    enum value_kind kind;
    const char *const *names; /* of the items, NULL: numbered */
};

static const char *const general_names[] = {"RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI",
                                            "R8",  "R9",  "R10", "R11", "R12", "R13", "R14", "R15"};
static const char *const segment_names[] = {"ES", "CS", "SS", "DS", "FS", "GS"};

#define MEMBER(type, member) sizeof(((struct type *)0)->member)
#define ONE(name, member)                                                                          \
    {                                                                                              \
        name, offsetof(struct cpu, member), MEMBER(cpu, member), 1, MEMBER(cpu, member),           \
            VALUE_NUMBER                                                                           \
    }
#define ARRAY(name, member, count, size, kind, names)                                              \
    {                                                                                              \
        name, offsetof(struct cpu, member), MEMBER(cpu, member[0]), count, size, kind, names       \
    }
#define MSR(name) ONE("MSR " #name, msr.name)

/* clang-format off */
static const struct register_row register_rows[] = {
    ONE("exceptions delivered", count.exceptions),
    ONE("RIP", rip),
    ARRAY("general register", regs, 16, 8, VALUE_NUMBER, general_names),
    ARRAY("segment", segs, 6, sizeof(struct segment), VALUE_SEGMENT, segment_names),
    ONE("CPL", cpl),
    {"mode", offsetof(struct cpu, mode), 0, 1, MEMBER(cpu, mode), VALUE_MODE},
    ONE("halted", halted),
    ONE("interrupts held off", inhibit),
    ONE("debug traps held off", inhibit_debug),
    ONE("NMI blocked", nmi_blocked),
    ONE("waiting for SIPI", wait_for_sipi),
    ARRAY("XMM", xmm, 16, sizeof(union vector), VALUE_BYTES, NULL),
    ONE("MXCSR", mxcsr),
    ONE("XCR0", xcr0),
    ARRAY("x87 R", x87.registers, 8, 10, VALUE_BYTES, NULL),
    ONE("x87 control", x87.control),
    ONE("x87 status", x87.status),
    ONE("x87 tags", x87.valid),
    ONE("x87 opcode", x87.opcode),
    ONE("x87 code selector", x87.code_selector),
    ONE("x87 data selector", x87.data_selector),
    ONE("x87 code offset", x87.code_offset),
    ONE("x87 data offset", x87.data_offset),
    ONE("CR0", mmu.registers.cr0),
    ONE("CR2", cr2),
    ONE("CR3", mmu.registers.cr3),
    ONE("CR4", mmu.registers.cr4),
    ONE("EFER", mmu.registers.efer),
    ARRAY("PDPTE", mmu.registers.pdpte, 4, 8, VALUE_NUMBER, NULL),
    ONE("A20 mask", mmu.a20_mask),
    ONE("GDT base", gdt.base),
    ONE("GDT limit", gdt.limit),
    ONE("IDT base", idt.base),
    ONE("IDT limit", idt.limit),
    {"LDT", offsetof(struct cpu, ldt), 0, 1, sizeof(struct segment), VALUE_SEGMENT},
    {"TR", offsetof(struct cpu, tr), 0, 1, sizeof(struct segment), VALUE_SEGMENT},
    ARRAY("DR", dr, 8, 8, VALUE_NUMBER, NULL),
    MSR(star), MSR(lstar), MSR(cstar), MSR(sfmask), MSR(kernel_gs_base), MSR(tsc_aux),
    MSR(sysenter_cs), MSR(sysenter_esp), MSR(sysenter_eip),
    MSR(apic_base), MSR(pat), MSR(mcg_status), MSR(mcg_ctl), MSR(misc_enable),
    MSR(feature_control), MSR(debugctl), MSR(mtrr_def_type),
    ARRAY("MSR mtrr_fixed", msr.mtrr_fixed, 11, 8, VALUE_NUMBER, NULL),
    ARRAY("MSR mtrr_base", msr.mtrr_base, 8, 8, VALUE_NUMBER, NULL),
    ARRAY("MSR mtrr_mask", msr.mtrr_mask, 8, 8, VALUE_NUMBER, NULL),
    ARRAY("MSR mc_ctl", msr.mc_ctl, 4, 8, VALUE_NUMBER, NULL),
    ARRAY("MSR mc_status", msr.mc_status, 4, 8, VALUE_NUMBER, NULL),
    ARRAY("MSR mc_addr", msr.mc_addr, 4, 8, VALUE_NUMBER, NULL),
    ARRAY("MSR mc_misc", msr.mc_misc, 4, 8, VALUE_NUMBER, NULL),
    MSR(tsc_offset), MSR(spec_ctrl), MSR(platform_info), MSR(bios_sign_id),
    MSR(smi_count),
};
/* clang-format on */

static const uint8_t *item_of(const struct cpu *cpu, const struct register_row *row, unsigned n)
{
    return (const uint8_t *)cpu + row->offset + (size_t)n * row->stride;
}

/* --- one value as text */

static void describe_value(const struct register_row *row, const uint8_t *item,
                           char text[LOCKSTEP_TEXT])
{
    if (row->kind == VALUE_SEGMENT) {
        struct segment segment;
        memcpy(&segment, item, sizeof segment);
        snprintf(text, LOCKSTEP_TEXT, "%04x base %" PRIx64 " limit %" PRIx32 " attributes %04x",
                 segment.selector, segment.base, segment.limit, segment.attributes);
        return;
    }
    for (unsigned i = 0; i < row->size && 2 * i + 3 < LOCKSTEP_TEXT; i++)
        snprintf(text + 2 * i, LOCKSTEP_TEXT - 2 * i, "%02x", item[row->size - 1 - i]);
}

static void note_item(struct lockstep *lockstep, const struct register_row *row, unsigned n)
{
    char name[LOCKSTEP_TEXT], texts[2][LOCKSTEP_TEXT];
    if (row->names)
        snprintf(name, sizeof name, "%s", row->names[n]);
    else if (row->count > 1)
        snprintf(name, sizeof name, "%s%u", row->name, n);
    else
        snprintf(name, sizeof name, "%s", row->name);
    describe_value(row, item_of(lockstep->leader, row, n), texts[0]);
    describe_value(row, item_of(lockstep->twin, row, n), texts[1]);
    lockstep_note(lockstep, name, texts[0], texts[1]);
}

/* The exception of this turn: its vector is the count that moved. */
static void note_exceptions(struct lockstep *lockstep)
{
    const uint64_t *his = lockstep->leader->count.exceptions;
    const uint64_t *mine = lockstep->twin->count.exceptions;
    char texts[2][LOCKSTEP_TEXT] = {"none", "none"};
    for (unsigned vector = 0; vector < 32; vector++)
        if (his[vector] != mine[vector])
            snprintf(texts[his[vector] < mine[vector]], LOCKSTEP_TEXT, "vector %u", vector);
    lockstep_note(lockstep, "exception delivered", texts[0], texts[1]);
}

/* --- flags */

static bool flags_agree(struct lockstep *lockstep, bool note)
{
    const struct cpu *leader = lockstep->leader, *twin = lockstep->twin;
    if (likely(leader->eflags == twin->eflags &&
               !memcmp(&leader->lazy, &twin->lazy, sizeof leader->lazy)))
        return true;
    uint32_t his = cpu_eflags(leader), mine = cpu_eflags(twin);
    if (his == mine)
        return true;
    char texts[2][LOCKSTEP_TEXT];
    snprintf(texts[0], LOCKSTEP_TEXT, "%08x", his);
    snprintf(texts[1], LOCKSTEP_TEXT, "%08x", mine);
    if (note)
        lockstep_note(lockstep, "EFLAGS", texts[0], texts[1]);
    return false;
}

/* --- comparison */

/* How an engine reaches memory is its own affair. */
static bool same_mode(uint32_t a, uint32_t b)
{
    return !((a ^ b) & ~(uint32_t)MODE_WINDOW);
}

static bool same_item(const struct register_row *row, const uint8_t *a, const uint8_t *b)
{
    return row->kind == VALUE_MODE ? same_mode(load_le32(a), load_le32(b))
                                   : !memcmp(a, b, row->size);
}

static bool same(const struct lockstep *lockstep, size_t from, size_t to)
{
    return !memcmp((const uint8_t *)lockstep->leader + from, (const uint8_t *)lockstep->twin + from,
                   to - from);
}

/* All of the table in a few long comparisons, which may also look at what does not count. */
static bool all_the_same(const struct lockstep *lockstep)
{
    const struct cpu *leader = lockstep->leader, *twin = lockstep->twin;
#define SAME(first, last)                                                                          \
    same(lockstep, offsetof(struct cpu, first), offsetof(struct cpu, last) + MEMBER(cpu, last))
    return SAME(regs, regs) && leader->rip == twin->rip && SAME(segs, segs) &&
           same_mode(leader->mode, twin->mode) && leader->cpl == twin->cpl &&
           leader->inhibit == twin->inhibit && leader->inhibit_debug == twin->inhibit_debug &&
           leader->halted == twin->halted && leader->nmi_blocked == twin->nmi_blocked &&
           leader->wait_for_sipi == twin->wait_for_sipi && SAME(xmm, mxcsr) &&
           SAME(x87.registers, x87.data_offset) && leader->xcr0 == twin->xcr0 &&
           SAME(mmu.registers.cr0, mmu.registers.pdpte) &&
           leader->mmu.a20_mask == twin->mmu.a20_mask && SAME(gdt, msr) &&
           leader->count.exceptions_all == twin->count.exceptions_all &&
           (!lockstep->faulted || SAME(count.exceptions, count.exceptions));
#undef SAME
}

static bool row_agrees(struct lockstep *lockstep, const struct register_row *row, bool note)
{
    for (unsigned n = 0; n < row->count; n++) {
        if (same_item(row, item_of(lockstep->leader, row, n), item_of(lockstep->twin, row, n)))
            continue;
        if (note && row->offset == offsetof(struct cpu, count.exceptions))
            note_exceptions(lockstep);
        else if (note)
            note_item(lockstep, row, n);
        return false;
    }
    return true;
}

bool lockstep_registers_agree(struct lockstep *lockstep, bool note)
{
    bool agree = true;
    if (unlikely(!all_the_same(lockstep)))
        for (unsigned i = 0; i < ARRAY_LENGTH(register_rows); i++)
            agree &= row_agrees(lockstep, &register_rows[i], note);
    return flags_agree(lockstep, note) && agree;
}

bool lockstep_registers_within(const struct lockstep *lockstep, uint8_t mask)
{
    const struct cpu *leader = lockstep->leader, *twin = lockstep->twin;
    const uint64_t allowed = mask * UINT64_C(0x0101010101010101);
    for (unsigned i = 0; i < ARRAY_LENGTH(register_rows); i++) {
        const struct register_row *row = &register_rows[i];
        if (row->offset != offsetof(struct cpu, regs) &&
            !row_agrees((struct lockstep *)lockstep, row, false))
            return false;
    }
    for (unsigned n = 0; n < 16; n++)
        if ((leader->regs[n] ^ twin->regs[n]) & ~allowed)
            return false;
    return true;
}

/* --- the leader's state for the twin */

void lockstep_adopt_registers(struct lockstep *lockstep)
{
    const struct cpu *leader = lockstep->leader;
    struct cpu *twin = lockstep->twin;
    mmu_set_cr4(&twin->mmu, 0); /* the shadow of PCID 0 */
    for (unsigned i = 0; i < ARRAY_LENGTH(register_rows); i++) {
        const struct register_row *row = &register_rows[i];
        for (unsigned n = 0; n < row->count; n++)
            memcpy((uint8_t *)twin + row->offset + (size_t)n * row->stride, item_of(leader, row, n),
                   row->size);
    }
    twin->lazy = leader->lazy;
    twin->eflags = leader->eflags;
    twin->mxcsr_mask = leader->mxcsr_mask;
    twin->debug_pending = leader->debug_pending;
    twin->sipi_vector = leader->sipi_vector;
    twin->delivering = leader->delivering;
    twin->instructions = leader->instructions;
    twin->count.interrupts = leader->count.interrupts;
    twin->count.exceptions_all = leader->count.exceptions_all;
    mmu_flush_all(&twin->mmu);
    mmu_set_cr3(&twin->mmu, leader->mmu.registers.cr3, false);
    cpu_mode_changed(twin);
}
