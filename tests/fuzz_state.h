/* Random machines for random programs: a state of every mode, tables, handlers, and devices that
 * answer the same to all who ask alike. */
#ifndef TESTS_FUZZ_STATE_H
#define TESTS_FUZZ_STATE_H

#include "tests/bench_cpu.h"
#include "tests/fuzz_code.h"

enum {
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

/* --- devices; time is the test's own */

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
static uint64_t fuzz_tsc_deadline_read(void *machine, struct cpu *cpu)
{
    return 0x123456;
}
static void fuzz_tsc_deadline_write(void *machine, struct cpu *cpu, uint64_t tsc)
{
}
static void fuzz_ferr(void *machine, struct cpu *cpu)
{
}
#define FUZZ_OPS                                                                                   \
    .port_read = fuzz_port_read, .port_write = fuzz_port_write, .mmio_read = fuzz_mmio_read,       \
    .mmio_write = fuzz_mmio_write, .acknowledge = rig_acknowledge,                                 \
    .apic_base_changed = fuzz_apic_base, .cr8_read = fuzz_cr8_read, .cr8_write = fuzz_cr8_write,   \
    .x2apic_read = fuzz_x2apic_read, .x2apic_write = fuzz_x2apic_write,                            \
    .tsc_deadline_read = fuzz_tsc_deadline_read, .tsc_deadline_write = fuzz_tsc_deadline_write,    \
    .ferr = fuzz_ferr

/* --- the machine that a program finds */

static void wipe(struct rig *rig)
{
    static const uint8_t zeros[PAGE_BYTES];
    for (uint64_t page = 0; page < RIG_RAM_BYTES; page += PAGE_BYTES)
        if (physmem_mpn(&rig->physmem, gpa_ppn(GPA(page))).v != FRAMES_ZERO.v)
            physmem_write(&rig->physmem, GPA(page), zeros, sizeof zeros);
}

/* May its data be reached through windows?  Then most of it is to be there. */
static bool runs_on_user_data(const struct cpu *cpu, enum fuzz_mode mode)
{
    return cpu->cpl == 3 && mode > PROTECTED_16 && mode != V86;
}

/* Leaves the error code, if there is one, and `bytes` of the program behind. */
static void put_skipping(uint8_t handler[16], unsigned vector, enum fuzz_mode mode, uint8_t bytes)
{
    static const uint8_t wide[] = {0x48, 0x83, 0xc4, 8, 0x48, 0x83, 0x04, 0x24, 0, 0x48, 0xcf};
    static const uint8_t narrow[] = {0x83, 0xc4, 4, 0x83, 0x04, 0x24, 0, 0xcf};
    const bool has_error = BIT(vector) & (BIT(8) | BIT(17) | 0x1f << 10);
    const bool is_wide = mode >= COMPATIBLE;
    const unsigned pop = has_error ? 0 : is_wide ? 4 : 3;
    const unsigned length = is_wide ? sizeof wide : sizeof narrow;
    memcpy(handler, (is_wide ? wide : narrow) + pop, length - pop);
    handler[(is_wide ? 8 : 6) - pop] = bytes;
}

/* Handlers of 16 bytes each: halt, return, or go on after an instruction's worth of bytes. */
static void make_handlers(struct rig *rig, struct random *dice, enum fuzz_mode mode)
{
    const bool skips = runs_on_user_data(rig->cpu, mode) && fuzz_chance(dice, 70);
    for (unsigned vector = 0; vector < 256; vector++) {
        uint8_t handler[16] = {0xf4, 0xf4, 0xf4};
        unsigned kind = fuzz_pick(dice, 100);
        if (kind < 20 || (vector == VECTOR_DB && kind < 70)) {
            handler[0] = mode >= COMPATIBLE ? 0x48 : 0xcf;
            handler[1] = 0xcf;
        } else if (skips && vector < 32 && vector != VECTOR_DF) {
            put_skipping(handler, vector, mode, (uint8_t)(1 + fuzz_pick(dice, 6)));
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
static uint64_t leaf_bits(struct random *dice, uint64_t page, bool wide, bool user_data)
{
    static const uint64_t user[] = {0x67, 0x67, 0x65, 0x27, 0x07, 0x25, 0x05, 0x167};
    if (user_data && page >= TABLES && page < TABLES_END)
        return 0x63; /* what the tables had been would be anybody's guess */
    if (page < DATA || page >= RIG_RAM_BYTES || fuzz_chance(dice, 60))
        return 0x67;
    if (user_data && fuzz_chance(dice, 80))
        return user[fuzz_pick(dice, ARRAY_LENGTH(user))];
    uint64_t bits = fuzz_pick(dice, 0x200) & 0x16f;
    bits |= fuzz_chance(dice, 90);
    return wide && fuzz_chance(dice, 20) ? bits | BIT(63) : bits;
}

/* 4-level tables at 10000h (rig_long), PAE's at 18000h, those of 32 bits at 1a000h. */
static void make_tables(struct rig *rig, struct random *dice, enum fuzz_mode mode)
{
    uint64_t bits[48];
    const bool user_data = runs_on_user_data(rig->cpu, mode);
    for (unsigned i = 0; i < ARRAY_LENGTH(bits); i++)
        bits[i] = leaf_bits(dice, i * PAGE_BYTES, true, user_data);
    for (unsigned i = 0; i < RIG_RAM_BYTES / PAGE_BYTES; i++) {
        uint64_t right = i < ARRAY_LENGTH(bits) ? bits[i] : bits[i % 16 + 32];
        poke(rig, rig_pte(i * PAGE_BYTES), i * PAGE_BYTES | right, 8);
        poke(rig, 0x1b000 + i * 4, i * PAGE_BYTES | (right & 0xfff), 4);
    }
    poke(rig, 0x11020, 0x12007, 8); /* all of it again at 4 GiB, */
    poke(rig, 0x107f8, 0x11007, 8); /* and in the last 512 GiB of the user's half */
    poke(rig, 0x18000, 0x19001, 8);
    poke(rig, 0x19000, 0x13067, 8);
    poke(rig, 0x19008, 0x14067, 8);
    poke(rig, 0x1a000, 0x1b067, 4);
    poke(rig, 0x1a004, 0x400000e7 & 0x3fffe7, 4); /* 4 MiB again, by a large page under PSE */
    poke(rig, 0x12010, 0x0000e7, 8);              /* 2 MiB again */
    poke(rig, 0x19010, 0x0000e7, 8);
}

/* No program writes its own tables: whether that shows without a flush is up to the processor. */
static inline void hide_tables(struct rig *rig)
{
    for (uint64_t page = TABLES; page < TABLES_END; page += PAGE_BYTES) {
        poke(rig, rig_pte(page), 0, 8);
        poke(rig, 0x1b000 + page / PAGE_BYTES * 4, 0, 4);
    }
    poke(rig, 0x1a004, 0, 4);
    poke(rig, 0x12010, 0, 8);
    poke(rig, 0x19010, 0, 8);
    mmu_flush_all(&rig->cpu->mmu);
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
        if (fuzz_chance(dice, bits[i] == CR4_OSFXSR ? 95 : bits[i] == CR4_OSXSAVE ? 80 : 45))
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
    static const uint64_t again[] = {0, 0, UINT64_C(1) << 32, UINT64_C(0xff) << 39};
    bool flat = mode > PROTECTED_16 && mode != V86;
    const unsigned pointers = runs_on_user_data(cpu, mode) && fuzz_chance(dice, 75) ? 92 : 60;
    for (unsigned reg = RAX; reg <= R15; reg++) {
        uint64_t near =
            fuzz_pick(dice, 0xf000) & (fuzz_chance(dice, 70) ? ~UINT64_C(7) : ~UINT64_C(0));
        if (mode == LONG)
            near += again[fuzz_pick(dice, ARRAY_LENGTH(again))];
        cpu->regs[reg] = fuzz_chance(dice, pointers) ? near + (flat ? DATA : 0) : random_edge(dice);
        if (mode < COMPATIBLE)
            cpu->regs[reg] = reg < R8 ? (uint32_t)cpu->regs[reg] : 0;
    }
    if (fuzz_chance(dice, 80))
        cpu->regs[RCX] = fuzz_pick(dice, 40);
    cpu->regs[RSP] = flat ? DATA + 0xf000 + fuzz_pick(dice, 64) * 4 : 0xf000;
    for (unsigned i = 0; i < 16; i++)
        for (unsigned j = 0; j < 4; j++)
            cpu->xmm[i].q[j] = random_edge(dice);
    if (feature_has(&cpu->model->features, FEAT_AVX))
        cpu->xcr0 = fuzz_chance(dice, 90) ? XCR0_X87 | XCR0_VECTORS : XCR0_X87 | XCR0_SSE;
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
    make_tables(rig, &dice, mode);
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

#endif
