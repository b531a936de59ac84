/* Task switches through 16- and 32-bit TSSs.
 *
 * A switch has two halves.  Up to the commit point every fault belongs to the old task and nothing
 * of it has changed; past it the new task runs, and faults that loading its segments causes are its
 * own (cpu->rip is then the new task's).
 * Sources: SDM 3A §7.2-7.3 (steps and table 7-1), §7.4 (nesting), §17.3.1.5 (T flag).
 */
#include "cpu/descriptor.h"

enum {
    TSS16_LIMIT = 0x2b,
    TSS32_LIMIT = 0x67,
    TSS32_CR3 = 28,
    TSS32_DYNAMIC = 32, /* EIP: from here to GS the processor saves */
    TSS32_LDT = 96,
    TSS32_TRAP = 100,
    TSS16_DYNAMIC = 14, /* IP */
    TSS16_LDT = 42,
    TASK_SEGMENTS = 6,
};

#define DR7_LOCAL UINT64_C(0x155) /* L0..L3 and LE */

static const uint8_t tss_segments[TASK_SEGMENTS] = {ES, CS, SS, DS, FS, GS};

struct task {
    uint32_t cr3, eip, eflags, regs[8];
    uint16_t segments[TASK_SEGMENTS], ldt;
    bool trap;
};

static bool load(struct cpu *cpu, uint64_t at, unsigned size, uint32_t *value)
{
    uint64_t wide;
    if (mem_system_load(cpu, at, size, &wide))
        return true;
    *value = (uint32_t)wide;
    return false;
}

static bool load_selector(struct cpu *cpu, uint64_t at, uint16_t *value)
{
    uint64_t wide;
    if (mem_system_load(cpu, at, 2, &wide))
        return true;
    *value = (uint16_t)wide;
    return false;
}

/* Reads the state that the TSS at `base` holds. */
static bool task_read(struct cpu *cpu, uint64_t base, bool is_32, struct task *task)
{
    unsigned width = is_32 ? 4 : 2, count = is_32 ? TASK_SEGMENTS : 4;
    uint64_t at = base + (is_32 ? TSS32_DYNAMIC : TSS16_DYNAMIC);
    *task = (struct task){0};
    if (load(cpu, at, width, &task->eip) || load(cpu, at + width, width, &task->eflags))
        return true;
    at += 2 * width;
    for (unsigned i = 0; i < 8; i++, at += width) {
        if (load(cpu, at, width, &task->regs[i]))
            return true;
        if (!is_32) /* QUIRK: processors fill the upper halves with ones */
            task->regs[i] |= 0xffff0000;
    }
    for (unsigned i = 0; i < count; i++, at += width)
        if (load_selector(cpu, at, &task->segments[i]))
            return true;
    if (load_selector(cpu, base + (is_32 ? TSS32_LDT : TSS16_LDT), &task->ldt))
        return true;
    if (!is_32)
        return false;
    uint16_t trap;
    if (load(cpu, base + TSS32_CR3, 4, &task->cr3) || load_selector(cpu, base + TSS32_TRAP, &trap))
        return true;
    task->trap = trap & 1;
    return false;
}

/* Saves the running task into its TSS; `eflags` and `eip` as the kind of switch has them. */
static bool task_write(struct cpu *cpu, uint32_t eflags, uint32_t eip)
{
    bool is_32 = cpu->tr.attributes & SYSTEM_32;
    unsigned width = is_32 ? 4 : 2, count = is_32 ? TASK_SEGMENTS : 4;
    uint64_t at = cpu->tr.base + (is_32 ? TSS32_DYNAMIC : TSS16_DYNAMIC);
    if (mem_system_check(cpu, at, (2 + 8 + count) * width, true))
        return true;
    if (mem_system_store(cpu, at, width, eip) || mem_system_store(cpu, at + width, width, eflags))
        return true;
    at += 2 * width;
    for (unsigned i = 0; i < 8; i++, at += width)
        if (mem_system_store(cpu, at, width, cpu->regs[i]))
            return true;
    for (unsigned i = 0; i < count; i++, at += width)
        if (mem_system_store(cpu, at, 2, cpu->segs[tss_segments[i]].selector))
            return true;
    return false;
}

/* Marks the running task's TSS available. */
static bool release_old(struct cpu *cpu)
{
    struct descriptor old;
    if (descriptor_fetch(cpu, cpu->tr.selector, VECTOR_TS, &old))
        return true;
    return descriptor_set_type(cpu, &old, descriptor_type(&old) & ~(unsigned)SYSTEM_BUSY);
}

/* --- the new task's segments: faults are #TS with the selector, or #NP or #SS when not present */

static bool ts(struct cpu *cpu, uint16_t selector)
{
    return cpu_fault(cpu, VECTOR_TS, SELECTOR_ERROR(selector));
}

static bool enter_ldt(struct cpu *cpu, uint16_t selector)
{
    struct descriptor descriptor;
    if (selector_is_null(selector))
        return false;
    if (selector & SELECTOR_TI)
        return ts(cpu, selector);
    if (descriptor_fetch(cpu, selector, VECTOR_TS, &descriptor))
        return true;
    if (!descriptor_is_system(&descriptor) || descriptor_type(&descriptor) != SYSTEM_LDT ||
        !descriptor_is_present(&descriptor))
        return ts(cpu, selector);
    cpu->ldt = segment_from(&descriptor, selector);
    return false;
}

static bool enter_code(struct cpu *cpu, uint16_t selector)
{
    struct descriptor descriptor;
    unsigned rpl = selector & SELECTOR_RPL;
    if (selector_is_null(selector))
        return ts(cpu, selector);
    if (descriptor_fetch(cpu, selector, VECTOR_TS, &descriptor))
        return true;
    unsigned dpl = descriptor_dpl(&descriptor);
    if (!descriptor_is_code(&descriptor) ||
        (descriptor_is_conforming(&descriptor) ? dpl > rpl : dpl != rpl))
        return ts(cpu, selector);
    if (!descriptor_is_present(&descriptor))
        return cpu_fault(cpu, VECTOR_NP, SELECTOR_ERROR(selector));
    if (descriptor_set_accessed(cpu, &descriptor))
        return true;
    cpu->segs[CS] = segment_from(&descriptor, selector);
    return false;
}

static bool enter_stack(struct cpu *cpu, uint16_t selector)
{
    struct descriptor descriptor;
    if (selector_is_null(selector))
        return ts(cpu, selector);
    if (segment_check_stack(cpu, selector, cpu->cpl, VECTOR_TS, &descriptor) ||
        descriptor_set_accessed(cpu, &descriptor))
        return true;
    cpu->segs[SS] = segment_from(&descriptor, selector);
    return false;
}

static bool enter_data(struct cpu *cpu, unsigned seg, uint16_t selector)
{
    struct descriptor descriptor;
    if (selector_is_null(selector))
        return false;
    if (descriptor_fetch(cpu, selector, VECTOR_TS, &descriptor))
        return true;
    unsigned dpl = descriptor_dpl(&descriptor);
    bool conforming = descriptor_is_code(&descriptor) && descriptor_is_conforming(&descriptor);
    if (!descriptor_is_readable(&descriptor) ||
        (!conforming && (dpl < cpu->cpl || dpl < (selector & SELECTOR_RPL))))
        return ts(cpu, selector);
    if (!descriptor_is_present(&descriptor))
        return cpu_fault(cpu, VECTOR_NP, SELECTOR_ERROR(selector));
    if (descriptor_set_accessed(cpu, &descriptor))
        return true;
    cpu->segs[seg] = segment_from(&descriptor, selector);
    return false;
}

static bool enter_segments(struct cpu *cpu, const struct task *task)
{
    static const uint8_t data[] = {0, 3, 4, 5}; /* places of ES, DS, FS, GS in the TSS */
    if (enter_ldt(cpu, task->ldt))
        return true;
    if (task->eflags & F_VM) {
        for (unsigned i = 0; i < TASK_SEGMENTS; i++)
            cpu->segs[tss_segments[i]] = segment_v86(task->segments[i]);
        return false;
    }
    if (enter_code(cpu, task->segments[1]) || enter_stack(cpu, task->segments[2]))
        return true;
    for (unsigned i = 0; i < ARRAY_LENGTH(data); i++)
        if (enter_data(cpu, tss_segments[data[i]], task->segments[data[i]]))
            return true;
    return false;
}

/* Past the commit point: the new task's registers, with its segments still unusable. */
static void task_commit(struct cpu *cpu, const struct task *task, const struct descriptor *tss)
{
    bool is_32 = descriptor_type(tss) & SYSTEM_32;
    struct mmu_registers *registers = &cpu->mmu.registers;
    cpu->tr = segment_from(tss, tss->selector);
    cpu->tr.attributes |= SYSTEM_BUSY;
    if (is_32 && registers->cr0 & CR0_PG)
        mmu_set_cr3(&cpu->mmu, task->cr3, false);
    mmu_set_cr0(&cpu->mmu, registers->cr0 | CR0_TS);
    cpu->dr[7] &= ~DR7_LOCAL;

    for (unsigned i = 0; i < 8; i++)
        cpu->regs[i] = task->regs[i];
    for (unsigned i = 0; i < TASK_SEGMENTS; i++)
        cpu->segs[tss_segments[i]] = segment_null(task->segments[i]);
    cpu->ldt = segment_null(task->ldt);
    cpu->rip = task->eip;
    cpu->cpl = task->eflags & F_VM ? 3 : task->segments[1] & SELECTOR_RPL;
    cpu_set_eflags(cpu, task->eflags, F_ALL);
    cpu_mode_changed(cpu);
}

/* Everything of the old task, its TSS and the new TSS's descriptor and link. */
static bool task_leave(struct cpu *cpu, struct descriptor *tss, enum task_switch kind, uint64_t rip)
{
    uint32_t eflags = cpu_eflags(cpu);
    uint64_t base = descriptor_base(tss);
    bool nests = kind == TASK_CALL || kind == TASK_INTERRUPT;
    if (kind == TASK_RETURN)
        eflags &= ~(uint32_t)F_NT;
    if (nests && mem_system_check(cpu, base, 2, true))
        return true;
    if (task_write(cpu, eflags, (uint32_t)rip))
        return true;
    if (!nests && release_old(cpu))
        return true;
    if (nests && mem_system_store(cpu, base, 2, cpu->tr.selector))
        return true;
    return kind != TASK_RETURN && descriptor_set_type(cpu, tss, descriptor_type(tss) | SYSTEM_BUSY);
}

bool task_switch(struct cpu *cpu, struct descriptor *tss, enum task_switch kind, uint64_t rip)
{
    bool is_32 = descriptor_type(tss) & SYSTEM_32;
    struct task task;
    if (descriptor_limit(tss) < (is_32 ? TSS32_LIMIT : TSS16_LIMIT))
        return ts(cpu, tss->selector);
    if (task_read(cpu, descriptor_base(tss), is_32, &task))
        return true;
    const struct mmu_registers *registers = &cpu->mmu.registers;
    if (is_32 && registers->cr0 & CR0_PG && registers->cr4 & CR4_PAE &&
        !mmu_load_pdptes(&cpu->mmu, task.cr3))
        return cpu_fault(cpu, VECTOR_GP, 0);
    if (task_leave(cpu, tss, kind, rip))
        return true;
    if (kind == TASK_CALL || kind == TASK_INTERRUPT)
        task.eflags |= F_NT;
    task_commit(cpu, &task, tss);

    bool fault = enter_segments(cpu, &task);
    cpu_mode_changed(cpu);
    if (fault || segment_check_target(cpu, &cpu->segs[CS], task.eip))
        return true;
    if (!task.trap)
        return false;
    cpu_fault(cpu, VECTOR_DB, 0);
    cpu->fault.dr6 = DR6_BT;
    return true;
}

bool task_gate_fetch(struct cpu *cpu, const struct descriptor *gate, struct descriptor *tss)
{
    uint16_t selector = gate_selector(gate);
    if (selector_is_null(selector) || selector & SELECTOR_TI)
        return cpu_fault(cpu, VECTOR_GP, SELECTOR_ERROR(selector));
    if (descriptor_fetch(cpu, selector, VECTOR_GP, tss))
        return true;
    unsigned type = descriptor_type(tss);
    if (!descriptor_is_system(tss) || (type != SYSTEM_TSS16 && type != SYSTEM_TSS32))
        return cpu_fault(cpu, VECTOR_GP, SELECTOR_ERROR(selector));
    if (!descriptor_is_present(tss))
        return cpu_fault(cpu, VECTOR_NP, SELECTOR_ERROR(selector));
    return false;
}

bool task_return(struct cpu *cpu, uint64_t rip)
{
    uint16_t selector;
    struct descriptor tss;
    if (load_selector(cpu, cpu->tr.base, &selector))
        return true;
    if (selector_is_null(selector) || selector & SELECTOR_TI)
        return ts(cpu, selector);
    if (descriptor_fetch(cpu, selector, VECTOR_TS, &tss))
        return true;
    unsigned type = descriptor_type(&tss);
    if (!descriptor_is_system(&tss) || (type != SYSTEM_TSS16_BUSY && type != SYSTEM_TSS32_BUSY))
        return ts(cpu, selector);
    if (!descriptor_is_present(&tss))
        return cpu_fault(cpu, VECTOR_NP, SELECTOR_ERROR(selector));
    return task_switch(cpu, &tss, TASK_RETURN, rip);
}
