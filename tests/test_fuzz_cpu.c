/* Random programs in random states of every mode: nothing that a guest does may break the cpu's
 * invariants, and a program run in blocks (cpu_run) must end as the same program run one
 * instruction at a time (cpu_step).
 *
 * RING3_CASES=n in the environment sets the number of programs, RING3_FIRST=n the first of them:
 * each follows from its number alone.
 */
#include "tests/fuzz_code.h"

#include "tests/bench_cpu.h"
#include "translate/engine.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>

enum {
    CASES = 5000,
    REPORTS_MAX = 10,
    STEPS_MAX = 300000,
    TICK_US = 4000,
    TICKS_MAX = 3, /* a run longer than this is a loop: kicked */

    HANDLERS = 0x5000, /* of vectors, in every mode */
    TABLES = 0x10000,
    TABLES_END = 0x20000,
    CODE = 0x20000,
    DATA = 0x30000,
};

enum fuzz_mode { REAL, PROTECTED_16, PROTECTED_32, V86, PAGED, PAE, COMPATIBLE, LONG, FUZZ_MODES };
static const char *const mode_names[] = {
    "real",  "16-bit protected", "32-bit protected", "V86", "32-bit paging", "PAE", "compatible",
    "64-bit"};

static struct rig blocks, steps; /* the two that run the same program */
static uint64_t tsc_reads[2];
static struct cpu *volatile running;
static volatile unsigned ticks;
static unsigned failures;

static uint64_t fuzz_tsc(void *machine, struct cpu *cpu)
{
    return 1000 * ++tsc_reads[machine == &steps];
}
static uint32_t fuzz_port_read(void *machine, struct cpu *cpu, uint16_t port, unsigned size)
{
    return port * 0x01010101u;
}
static void fuzz_port_write(void *machine, struct cpu *cpu, uint16_t port, unsigned size,
                            uint32_t value)
{
}
static uint64_t fuzz_mmio_read(void *machine, struct cpu *cpu, gpa_t gpa, unsigned size)
{
    return gpa.v * 0x0101010101010101;
}
static void fuzz_mmio_write(void *machine, struct cpu *cpu, gpa_t gpa, unsigned size,
                            uint64_t value)
{
}
static void fuzz_apic_base(void *machine, struct cpu *cpu, uint64_t value)
{
}
static uint8_t fuzz_cr8_read(void *machine, struct cpu *cpu)
{
    return 5;
}
static void fuzz_cr8_write(void *machine, struct cpu *cpu, uint8_t value)
{
}
static bool fuzz_x2apic_read(void *machine, struct cpu *cpu, uint32_t msr, uint64_t *value)
{
    *value = msr;
    return !(msr & 1);
}
static bool fuzz_x2apic_write(void *machine, struct cpu *cpu, uint32_t msr, uint64_t value)
{
    return !(msr & 1);
}
static void fuzz_tsc_deadline(void *machine, struct cpu *cpu, uint64_t tsc)
{
}
static void fuzz_ferr(void *machine, struct cpu *cpu)
{
}
static const struct cpu_ops fuzz_ops = {
    .port_read = fuzz_port_read,
    .port_write = fuzz_port_write,
    .mmio_read = fuzz_mmio_read,
    .mmio_write = fuzz_mmio_write,
    .acknowledge = rig_acknowledge,
    .tsc = fuzz_tsc,
    .apic_base_changed = fuzz_apic_base,
    .cr8_read = fuzz_cr8_read,
    .cr8_write = fuzz_cr8_write,
    .x2apic_read = fuzz_x2apic_read,
    .x2apic_write = fuzz_x2apic_write,
    .tsc_deadline = fuzz_tsc_deadline,
    .ferr = fuzz_ferr,
};

static void on_tick(int signal)
{
    if (running && ++ticks > TICKS_MAX)
        cpu_kick(running);
}

/* --- the machine that a program finds */

static void wipe(struct rig *rig)
{
    static const uint8_t zeros[PAGE_BYTES];
    for (uint64_t page = 0; page < RIG_RAM_BYTES; page += PAGE_BYTES)
        if (physmem_mpn(&rig->physmem, gpa_ppn(GPA(page))).v != FRAMES_ZERO.v)
            physmem_write(&rig->physmem, GPA(page), zeros, sizeof zeros);
}

/* Handlers of 16 bytes each: halt, return, or go on after an instruction's worth of bytes. */
static void make_handlers(struct rig *rig, struct random *dice, enum fuzz_mode mode)
{
    for (unsigned vector = 0; vector < 256; vector++) {
        uint8_t handler[16] = {0xf4, 0xf4, 0xf4};
        unsigned kind = fuzz_pick(dice, 100);
        if (kind < 20 || (vector == VECTOR_DB && kind < 70)) {
            handler[0] = mode >= COMPATIBLE ? 0x48 : 0xcf;
            handler[1] = 0xcf;
        }
        uint64_t at = HANDLERS + (vector & 31) * 16;
        if (vector < 32)
            physmem_write(&rig->physmem, GPA(at), handler, sizeof handler);
        unsigned dpl = fuzz_chance(dice, 50) ? 3 : 0, type = fuzz_chance(dice, 70) ? 14 : 15;
        if (fuzz_chance(dice, 2))
            type = fuzz_pick(dice, 16);
        if (mode == REAL) {
            poke(rig, vector * 4, at, 4);
        } else if (mode >= COMPATIBLE) {
            uint64_t gate =
                gate_make(SEL_CODE64, (uint32_t)at, ACCESS(1, dpl, 0, type), fuzz_chance(dice, 20));
            poke(rig, BENCH_IDT + vector * 16, gate, 8);
            poke(rig, BENCH_IDT + vector * 16 + 8, 0, 8);
        } else {
            bench_idt(rig, vector,
                      gate_make(SEL_CODE(0), (uint32_t)at, ACCESS(1, dpl, 0, type), 0));
        }
    }
}

/* A leaf entry: pages of code and of the tables stay usable, data gets any rights. */
static uint64_t leaf_bits(struct random *dice, uint64_t page, bool wide)
{
    if (page < DATA || page >= RIG_RAM_BYTES || fuzz_chance(dice, 60))
        return 0x67;
    uint64_t bits = fuzz_pick(dice, 0x200) & 0x16f;
    bits |= fuzz_chance(dice, 90);
    return wide && fuzz_chance(dice, 20) ? bits | BIT(63) : bits;
}

/* 4-level tables at 10000h (rig_long), PAE's at 18000h, those of 32 bits at 1a000h. */
static void make_tables(struct rig *rig, struct random *dice)
{
    uint64_t bits[48];
    for (unsigned i = 0; i < ARRAY_LENGTH(bits); i++)
        bits[i] = leaf_bits(dice, i * PAGE_BYTES, true);
    for (unsigned i = 0; i < RIG_RAM_BYTES / PAGE_BYTES; i++) {
        uint64_t right = i < ARRAY_LENGTH(bits) ? bits[i] : bits[i % 16 + 32];
        poke(rig, rig_pte(i * PAGE_BYTES), i * PAGE_BYTES | right, 8);
        poke(rig, 0x1b000 + i * 4, i * PAGE_BYTES | (right & 0xfff), 4);
    }
    poke(rig, 0x18000, 0x19001, 8);
    poke(rig, 0x19000, 0x13067, 8);
    poke(rig, 0x19008, 0x14067, 8);
    poke(rig, 0x1a000, 0x1b067, 4);
    poke(rig, 0x1a004, 0x400000e7 & 0x3fffe7, 4); /* 4 MiB again, by a large page under PSE */
    poke(rig, 0x12010, 0x0000e7, 8);              /* 2 MiB again */
    poke(rig, 0x19010, 0x0000e7, 8);
}

static uint64_t random_cr0(struct random *dice)
{
    static const uint64_t bits[] = {CR0_MP, CR0_EM, CR0_TS, CR0_AM, CR0_WP, CR0_AM, CR0_MP};
    uint64_t cr0 = CR0_ET | (fuzz_chance(dice, 90) ? CR0_NE : 0);
    for (unsigned i = 0; i < ARRAY_LENGTH(bits); i++)
        if (fuzz_chance(dice, bits[i] & (CR0_EM | CR0_TS) ? 4 : 40))
            cr0 |= bits[i];
    return cr0;
}

static uint64_t random_cr4(struct random *dice, bool is_long)
{
    static const uint64_t bits[] = {CR4_VME,  CR4_PVI,      CR4_TSD,    CR4_DE,     CR4_PSE,
                                    CR4_MCE,  CR4_PGE,      CR4_PCE,    CR4_OSFXSR, CR4_OSXMMEXCPT,
                                    CR4_UMIP, CR4_FSGSBASE, CR4_OSXSAVE};
    uint64_t cr4 = 0;
    for (unsigned i = 0; i < ARRAY_LENGTH(bits); i++)
        if (fuzz_chance(dice, bits[i] == CR4_OSFXSR ? 95 : 45))
            cr4 |= bits[i];
    if (fuzz_chance(dice, 8))
        cr4 |= CR4_SMAP;
    if (fuzz_chance(dice, 3))
        cr4 |= CR4_SMEP;
    if (is_long && fuzz_chance(dice, 20))
        cr4 |= CR4_PCIDE;
    return cr4;
}

static void set_paging(struct cpu *cpu, struct random *dice, enum fuzz_mode mode)
{
    bool is_long = mode >= COMPATIBLE;
    uint64_t cr4 = random_cr4(dice, is_long), cr0 = random_cr0(dice);
    uint64_t efer = fuzz_chance(dice, 70) ? EFER_SCE | EFER_NXE : EFER_NXE;
    if (is_long)
        efer |= EFER_LME | EFER_LMA;
    if (mode == PAE || is_long)
        cr4 |= CR4_PAE;
    if (mode != REAL)
        cr0 |= CR0_PE;
    bool paged = is_long || mode == PAGED || mode == PAE || (mode == V86 && fuzz_chance(dice, 50));
    if (paged)
        cr0 |= CR0_PG | (fuzz_chance(dice, 50) ? CR0_WP : 0);
    mmu_set_cr0(&cpu->mmu, CR0_PE | CR0_ET);
    mmu_set_efer(&cpu->mmu, efer);
    mmu_set_cr4(&cpu->mmu, cr4);
    mmu_set_cr3(&cpu->mmu, is_long ? 0x10000 : mode == PAE ? 0x18000 : 0x1a000, false);
    if (mode == PAE)
        cr_assert(mmu_load_pdptes(&cpu->mmu, 0x18000));
    mmu_set_cr0(&cpu->mmu, cr0);
}

static void set_segments(struct rig *rig, struct random *dice, enum fuzz_mode mode, unsigned cpl)
{
    struct cpu *cpu = rig->cpu;
    static const uint16_t bases[] = {0x3000, 0x3000, 0x3040, 0x2f00, 0x0000, 0x2000};
    if (mode == PROTECTED_16) {
        unsigned type = fuzz_chance(dice, 25) ? 7 : 3, limit = fuzz_pick(dice, 0x10000);
        bench_gdt(rig, SEL_TEST, descriptor_make(CODE, 0xffff, ACCESS(1, cpl, 1, 0xb), FLAGS_16));
        bench_gdt(rig, SEL_TEST2, descriptor_make(DATA, limit, ACCESS(1, cpl, 1, type), FLAGS_16));
        cpu->segs[CS] = bench_segment(rig, (uint16_t)(SEL_TEST | cpl));
        cpu->segs[DS] = cpu->segs[ES] = bench_segment(rig, (uint16_t)(SEL_TEST2 | cpl));
    }
    for (unsigned seg = ES; seg <= GS; seg++) {
        uint16_t selector = bases[fuzz_pick(dice, ARRAY_LENGTH(bases))];
        if (seg == CS)
            selector = CODE >> 4;
        if (mode == V86)
            cpu->segs[seg] = segment_v86(selector);
        else if (mode == REAL)
            segment_load_real(cpu, seg, selector);
        else if (seg >= FS && fuzz_chance(dice, 50))
            cpu->segs[seg].base = random_next(dice) & (mode >= COMPATIBLE ? 0x3ffff : 0xffff);
    }
    if (mode == COMPATIBLE)
        cpu->segs[CS] =
            (struct segment){.limit = UINT32_MAX,
                             .selector = (uint16_t)(SEL_CODE(0) | cpl),
                             .attributes = (uint16_t)(SEG_G | (fuzz_chance(dice, 80) ? SEG_DB : 0) |
                                                      SEG_P | SEG_S | cpl << SEG_DPL_SHIFT | 0xb)};
}

static void set_debug(struct cpu *cpu, struct random *dice)
{
    for (unsigned n = 0; n < 4; n++)
        cpu->dr[n] = (fuzz_chance(dice, 50) ? DATA : CODE) + fuzz_pick(dice, 0x200);
    cpu->dr[7] = 0x400 | (random_next(dice) & 0xffff03ff);
    debug_registers_changed(cpu);
}

static void set_registers(struct cpu *cpu, struct random *dice, enum fuzz_mode mode)
{
    bool flat = mode > PROTECTED_16 && mode != V86;
    for (unsigned reg = RAX; reg <= R15; reg++) {
        uint64_t near =
            fuzz_pick(dice, 0xf000) & (fuzz_chance(dice, 70) ? ~UINT64_C(7) : ~UINT64_C(0));
        cpu->regs[reg] = fuzz_chance(dice, 60) ? near + (flat ? DATA : 0) : random_edge(dice);
        if (mode < COMPATIBLE)
            cpu->regs[reg] = reg < R8 ? (uint32_t)cpu->regs[reg] : 0;
    }
    if (fuzz_chance(dice, 80))
        cpu->regs[RCX] = fuzz_pick(dice, 40);
    cpu->regs[RSP] = flat ? DATA + 0xf000 + fuzz_pick(dice, 64) * 4 : 0xf000;
    for (unsigned i = 0; i < 16; i++)
        for (unsigned j = 0; j < 2; j++)
            cpu->xmm[i].q[j] = random_edge(dice);
    if (fuzz_chance(dice, 30))
        cpu->mxcsr = 0x1f80 & ~((uint32_t)fuzz_pick(dice, 64) << 7);
    uint32_t flags = (uint32_t)random_next(dice) & (F_ARITH | F_DF | F_AC | F_ID | F_NT | F_IOPL);
    flags |= fuzz_chance(dice, 40) ? F_IF : 0;
    flags |= fuzz_chance(dice, 6) ? F_TF : 0;
    flags |= mode == V86 ? F_VM : 0;
    if (fuzz_chance(dice, 85))
        flags &= ~(uint32_t)(F_AC | F_NT);
    cpu->eflags = (flags & ~(uint32_t)F_ARITH) | 2;
    flags_set_arithmetic(cpu, flags);
}

/* The machine and the program of one seed: the same in either rig. */
static void prepare(struct rig *rig, uint64_t seed, struct fuzz_code *code)
{
    struct random dice = {seed};
    struct cpu *cpu = rig->cpu;
    enum fuzz_mode mode = seed >> 40 & (FUZZ_MODES - 1);
    unsigned cpl = fuzz_chance(&dice, 50) ? 3 : 0;
    wipe(rig);
    cpu_reset(cpu, false);
    atomic_store(&cpu->lines, 0);
    bench_tables(rig);
    if (mode >= COMPATIBLE) {
        bench_enter_long(rig, cpl);
    } else if (mode != REAL) {
        bench_enter(rig, mode == V86 ? 3 : cpl);
        cpu->idt.limit = 0x7ff;
    } else {
        cpl = 0;
    }
    make_tables(rig, &dice);
    make_handlers(rig, &dice, mode);
    set_paging(cpu, &dice, mode);
    set_registers(cpu, &dice, mode);
    set_segments(rig, &dice, mode, cpl);
    if (fuzz_chance(&dice, 7))
        set_debug(cpu, &dice);
    cpu_mode_changed(cpu);

    uint8_t halts[PAGE_BYTES];
    unsigned start =
        fuzz_chance(&dice, 60) ? 0xf00 + fuzz_pick(&dice, 0x100) : fuzz_pick(&dice, 0x800);
    fuzz_make_code(&dice, code, cpu->mode, &rig->model.features,
                   1 + fuzz_pick(&dice, FUZZ_CODE_MAX));
    memset(halts, 0xf4, sizeof halts);
    for (uint64_t page = CODE; page < CODE + 2 * PAGE_BYTES; page += PAGE_BYTES)
        physmem_write(&rig->physmem, GPA(page), halts, sizeof halts);
    physmem_write(&rig->physmem, GPA(CODE + start), code->bytes, code->length);
    code->at = CODE + start;
    bool flat = mode > PROTECTED_16 && mode != V86;
    cpu->rip = start + (flat ? CODE : 0);
    for (unsigned i = 0; i < 0x4000; i += 8)
        poke(rig, DATA + i,
             fuzz_chance(&dice, 50) ? random_edge(&dice) : DATA + fuzz_pick(&dice, 0x8000), 8);
    rig->interrupt_vector = -1;
    if (fuzz_chance(&dice, 15)) {
        rig->interrupt_vector = 32 + (int)fuzz_pick(&dice, 200);
        cpu_raise_line(cpu, LINE_INTR);
    }
    if (fuzz_chance(&dice, 5))
        cpu_raise_line(cpu, LINE_NMI);
}

/* --- failures */

static void report(uint64_t number, struct rig *rig, const struct fuzz_code *code, const char *what)
{
    failures++;
    fprintf(stderr, "case %llu: %s\n  at the end:\n", (unsigned long long)number, what);
    cpu_describe(rig->cpu, stderr);
    fprintf(stderr, "  the program:\n");
    for (unsigned n = 0; n < code->count; n++) {
        unsigned end = n + 1 < code->count ? code->starts[n + 1] : code->length;
        for (unsigned i = code->starts[n]; i < end; i++)
            fprintf(stderr, "%02x", code->bytes[i]);
        fprintf(stderr, n % 8 == 7 ? "\n" : " ");
    }
    fprintf(stderr, "\n");
}

/* --- invariants */

static bool tables_touched(struct rig *rig, const uint8_t *before)
{
    uint64_t cr3 = rig->cpu->mmu.registers.cr3 & ~UINT64_C(0xfff);
    if (rig->cpu->mmu.registers.cr0 & CR0_PG && (cr3 < TABLES || cr3 >= TABLES_END))
        return true;
    uint8_t now[TABLES_END - TABLES];
    physmem_read(&rig->physmem, GPA(TABLES), now, sizeof now);
    for (unsigned i = 0; i < sizeof now; i++) {
        bool wide = TABLES + i < 0x1a000;
        unsigned walked = i % (wide ? 8 : 4) ? 0 : 0x60; /* A and D, which a walk sets */
        if (now[i] != before[i] && now[i] != (before[i] | (now[i] & walked)))
            return true;
    }
    return false;
}

static const char *check_entry(struct rig *rig, enum shadow_view_id view, unsigned slot,
                               bool tables_are_whole)
{
    struct mmu *mmu = &rig->cpu->mmu;
    const struct shadow_entry *entry = &mmu->space->views[view]->entries[slot];
    const uint64_t tags[] = {entry->read_tag, entry->write_tag,
                             mmu->space->views[view]->info[slot].execute_tag};
    struct translation found;
    uint32_t error;
    for (unsigned access = ACCESS_READ; access <= ACCESS_EXECUTE; access++) {
        uint64_t page = tags[access];
        if (page & SHADOW_NO)
            continue;
        uint64_t ppn = mmu->space->views[view]->info[slot].ppn;
        if (page & PAGE_OFFSET_MASK || (page >> PAGE_SHIFT & (SHADOW_ENTRIES - 1)) != slot)
            return "a tag in another page's slot";
        if (physmem_page_read(&rig->physmem, PPN(ppn)) != (const uint8_t *)(entry->addend + page))
            return "a tag that leads to another page";
        if (access == ACCESS_WRITE && physmem_has_code(&rig->physmem, PPN(ppn)))
            return "a write tag of a page with code";
        if (debug_page_is_watched(rig->cpu, GVA(page)))
            return "a tag of a watched page";
        if (tables_are_whole && (!mmu_walk(mmu, GVA(page), access, view == VIEW_USER,
                                           view == VIEW_SUPERVISOR_AC, &found, &error) ||
                                 found.gpa.v >> PAGE_SHIFT != ppn))
            return "a tag that a walk does not grant";
    }
    return NULL;
}

static const char *check_shadow(struct rig *rig, const uint8_t *tables)
{
    bool whole = !tables_touched(rig, tables);
    for (unsigned view = 0; view < SHADOW_VIEWS; view++) {
        struct shadow_view *entries = rig->cpu->mmu.space->views[view];
        for (unsigned slot = 0; entries && slot < SHADOW_ENTRIES; slot++) {
            const char *wrong =
                entries->info[slot].page == SHADOW_NO ? NULL : check_entry(rig, view, slot, whole);
            if (wrong)
                return wrong;
        }
    }
    return NULL;
}

static const char *check_derived(struct cpu *cpu)
{
    const struct cpu before = {.mode = cpu->mode,
                               .view = cpu->view,
                               .linear_mask = cpu->linear_mask,
                               .ip_mask = cpu->ip_mask,
                               .stack_mask = cpu->stack_mask,
                               .code_base = cpu->code_base};
    struct segment segs[SEG_COUNT];
    memcpy(segs, cpu->segs, sizeof segs);
    cpu_mode_changed(cpu);
    if (before.mode != cpu->mode)
        return "the mode is not what registers say";
    if (before.view != cpu->view)
        return "the view is not what registers say";
    if (before.linear_mask != cpu->linear_mask || before.ip_mask != cpu->ip_mask ||
        before.stack_mask != cpu->stack_mask || before.code_base != cpu->code_base)
        return "a mask or base is not what registers say";
    for (unsigned seg = 0; seg < SEG_COUNT; seg++)
        if (segs[seg].read_end != cpu->segs[seg].read_end ||
            segs[seg].write_end != cpu->segs[seg].write_end)
            return "a segment's fast limit is not what the segment says";
    return NULL;
}

static const char *check_invariants(struct rig *rig, const uint8_t *tables)
{
    struct cpu *cpu = rig->cpu;
    const char *wrong = check_derived(cpu);
    if (wrong)
        return wrong;
    for (unsigned seg = SEG_FLAT; seg < SEG_COUNT; seg++)
        if (cpu->segs[seg].base || cpu->segs[seg].read_end != UINT64_MAX ||
            cpu->segs[seg].write_end != UINT64_MAX)
            return "a flat segment is not flat";
    uint32_t flags = flags_arithmetic(cpu);
    flags_set_arithmetic(cpu, flags);
    if (flags_arithmetic(cpu) != flags)
        return "flags do not survive";
    if (cpu->eflags & F_ARITH || !(cpu->eflags & 2))
        return "arithmetic flags in eflags";
    if (cpu->regs[REG_ZERO])
        return "the register that is 0 is not";
    if (cpu->rmw.pending)
        return "a write is pending";
    if (cpu->cpl > 3 || (cpu->eflags & F_VM && cpu->cpl != 3))
        return "no such privilege";
    if (!cpu_is_64(cpu) && cpu->rip > UINT32_MAX)
        return "rip is beyond its mode";
    return check_shadow(rig, tables);
}

/* --- the same end */

static const char *compare_cpus(const struct cpu *a, const struct cpu *b, uint32_t flags)
{
#define SAME(field)                                                                                \
    if (memcmp(&a->field, &b->field, sizeof a->field))                                             \
    return "blocks and steps differ in " #field
    SAME(rip);
    SAME(regs);
    SAME(eflags);
    SAME(cpl);
    SAME(mode);
    SAME(segs);
    SAME(xmm);
    SAME(mxcsr);
    SAME(x87.control);
    SAME(x87.status);
    SAME(x87.valid);
    SAME(x87.opcode);
    SAME(x87.code_offset);
    SAME(x87.code_selector);
    SAME(x87.data_offset);
    SAME(x87.data_selector);
    SAME(xcr0);
    SAME(gdt.base);
    SAME(gdt.limit);
    SAME(idt.base);
    SAME(idt.limit);
    SAME(ldt);
    SAME(tr);
    SAME(cr2);
    SAME(dr);
    SAME(debug_pending);
    SAME(msr);
    SAME(mmu.registers.cr0);
    SAME(mmu.registers.cr3);
    SAME(mmu.registers.cr4);
    SAME(mmu.registers.efer);
    SAME(halted);
    SAME(nmi_blocked);
    SAME(inhibit);
    SAME(fault.vector);
    SAME(fault.error);
    SAME(count.exceptions);
#undef SAME
    for (unsigned i = 0; i < 8; i++)
        if (a->x87.registers[i].mantissa != b->x87.registers[i].mantissa ||
            a->x87.registers[i].exponent != b->x87.registers[i].exponent)
            return "blocks and steps differ in x87.registers";
    return (flags_arithmetic(a) ^ flags_arithmetic(b)) & flags ? "blocks and steps differ in flags"
                                                               : NULL;
}

static const char *compare_memory(void)
{
    for (uint64_t page = 0; page < RIG_RAM_BYTES; page += PAGE_BYTES) {
        const uint8_t *a = physmem_page_read(&blocks.physmem, gpa_ppn(GPA(page)));
        const uint8_t *b = physmem_page_read(&steps.physmem, gpa_ppn(GPA(page)));
        if (memcmp(a, b, PAGE_BYTES))
            return "blocks and steps differ in memory";
    }
    return NULL;
}

/* --- one case */

static bool code_is_whole(const struct fuzz_code *code)
{
    uint8_t now[FUZZ_BYTES_MAX];
    physmem_read(&steps.physmem, GPA(code->at), now, code->length);
    return !memcmp(now, code->bytes, code->length);
}

static enum cpu_exit run_in_blocks(void)
{
    ticks = 0;
    running = blocks.cpu;
    enum cpu_exit exit = cpu_run(blocks.cpu);
    running = NULL;
    return exit;
}

/* Flags that the SDM leaves undefined: engines may differ in them, so what an instruction makes of
 * them, or an exception's frame, says nothing. */
struct undefined {
    uint32_t flags;
    bool spread;
};

static uint64_t events(const struct cpu *cpu)
{
    uint64_t sum = cpu->count.interrupts;
    for (unsigned i = 0; i < 32; i++)
        sum += cpu->count.exceptions[i];
    return sum;
}

static void note_undefined(struct undefined *undefined, const struct cpu *cpu, bool had_event)
{
    if (had_event) {
        undefined->spread |= undefined->flags != 0;
    } else if (cpu->block) {
        const struct opcode_row *row = &opcode_rows[cpu->block->insns[0].row];
        /* A shift by 0 keeps all flags, which its row calls reading them. */
        bool keeps = (row->flags_read & F_ARITH) == F_ARITH && row->flags_written & F_OF;
        undefined->spread |= !keeps && undefined->flags & row->flags_read;
        if (keeps)
            undefined->flags |= row->flags_undefined & F_ARITH;
        else
            undefined->flags = (undefined->flags & ~row->flags_written) |
                               (row->flags_undefined & F_ARITH);
    }
}

/* Steps until the same kind of end; CPU_EXIT_KICKED when there is none. */
static enum cpu_exit run_in_steps(uint64_t number, const struct fuzz_code *code,
                                  struct undefined *undefined)
{
    struct cpu *cpu = steps.cpu;
    uint64_t instructions = cpu->instructions;
    *undefined = (struct undefined){0};
    for (unsigned n = 0; n < STEPS_MAX; n++) {
        uint64_t events_before = events(cpu);
        enum cpu_exit exit = cpu_step(cpu);
        note_undefined(undefined, cpu, events(cpu) != events_before);
        const char *wrong = n < 64 ? check_derived(cpu) : NULL;
        if (cpu->instructions < instructions || cpu->instructions > instructions + 1)
            wrong = "a step counted as none or as several";
        if (wrong) {
            report(number, &steps, code, wrong);
            return CPU_EXIT_KICKED;
        }
        instructions = cpu->instructions;
        if (exit != CPU_EXIT_KICKED)
            return exit;
    }
    return CPU_EXIT_KICKED;
}

static void reset_counts(struct rig *rig)
{
    rig->cpu->instructions = 0;
    memset(&rig->cpu->count, 0, sizeof rig->cpu->count);
}

static bool run_case(uint64_t number)
{
    struct fuzz_code code, same_code;
    uint8_t tables[TABLES_END - TABLES];
    struct random dice = {(number + 1) * UINT64_C(0x9e3779b97f4a7c15) | 1};
    uint64_t seed = random_next(&dice) | 1;
    tsc_reads[0] = tsc_reads[1] = 0;
    reset_counts(&blocks);
    reset_counts(&steps);
    prepare(&blocks, seed, &code);
    prepare(&steps, seed, &same_code);
    physmem_read(&blocks.physmem, GPA(TABLES), tables, sizeof tables);
    struct undefined undefined;
    enum cpu_exit exit = run_in_blocks();
    const char *wrong = check_invariants(&blocks, tables);
    if (exit != CPU_EXIT_KICKED && !wrong) {
        unsigned before = failures;
        enum cpu_exit other = run_in_steps(number, &code, &undefined);
        if (failures != before)
            return false;
        if (other == CPU_EXIT_KICKED && (code.repeats || blocks.cpu->instructions > STEPS_MAX / 2))
            return false; /* too long for steps */
        if (code.repeats && !code_is_whole(&code))
            return false; /* a repetition that overwrites itself: when it notices is nobody's word
                           */
        if (undefined.spread && blocks.cpu->engine)
            return true;
        wrong = other != exit
                    ? "blocks and steps end differently"
                    : compare_cpus(blocks.cpu, steps.cpu,
                                   blocks.cpu->engine ? F_ARITH & ~undefined.flags : F_ARITH);
        if (!wrong)
            wrong = compare_memory();
        if (!wrong)
            wrong = check_invariants(&steps, tables);
    }
    if (wrong) {
        fprintf(stderr, "%s, by blocks:\n", mode_names[seed >> 40 & (FUZZ_MODES - 1)]);
        cpu_describe(blocks.cpu, stderr);
        report(number, &steps, &code, wrong);
    }
    return exit != CPU_EXIT_KICKED;
}

static uint64_t environment_number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 0) : otherwise;
}

static void fuzz_rig_init(struct rig *rig)
{
    struct error error;
    rig_init(rig);
    cpu_free(rig->cpu);
    cr_assert_eq(cpu_model_parse("max,-rdrand,-rdseed", &rig->model, &error), 0);
    rig->cpu = cpu_new(0, &rig->model, &rig->physmem, &fuzz_ops, rig);
}

static void compare_blocks_with_steps(const struct translate_options *translate)
{
    struct error error;
    uint64_t cases = environment_number("RING3_CASES", CASES);
    uint64_t first = environment_number("RING3_FIRST", 0), ended = 0;
    fuzz_rig_init(&blocks);
    fuzz_rig_init(&steps);
    if (translate)
        cr_assert_eq(translator_attach(blocks.cpu, translate, &error), 0, "%s", error.text);
    struct sigaction action = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    const struct itimerval period = {{0, TICK_US}, {0, TICK_US}};
    setitimer(ITIMER_REAL, &period, NULL);
    for (uint64_t n = first; n < first + cases && failures < REPORTS_MAX; n++)
        ended += run_case(n);
    setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
    cr_expect_eq(failures, 0);
    cr_expect_gt(ended, cases / 2, "most programs end: %llu of %llu did", (unsigned long long)ended,
                 (unsigned long long)cases);
    translator_detach(blocks.cpu);
    rig_free(&blocks);
    rig_free(&steps);
}

Test(fuzz_cpu, programs_end_alike_in_blocks_and_in_steps)
{
    compare_blocks_with_steps(NULL);
}

Test(fuzz_cpu, programs_end_alike_translated_and_in_steps)
{
    compare_blocks_with_steps(&(struct translate_options){.threshold = 1, .count = true});
}
