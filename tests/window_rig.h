/* Two machines that run the same programs in user mode, or in the kernel's: one interprets, the
 * other translates and reaches its data through windows.  Each exception brings both to a halt in
 * the guest's kernel, where they are compared; the test is the kernel's hand in the tables.
 */
#ifndef TESTS_WINDOW_RIG_H
#define TESTS_WINDOW_RIG_H

#include "tests/exec_alone.h"
#include "tests/rig.h"
#include "translate/translated.h"

#include <stdio.h>

enum {
    CODE_AT = 0x30000,
    KERNEL_AT = 0x50000,
    IDT_AT = 0x60000,
    GDT_AT = 0x61000,
    TSS_AT = 0x62000,
    KERNEL_STACK = 0x71000, /* its end */
    TABLES_MORE = 0x180000,
    FRAMES = 0x200000, /* of the user's data: PAGES, and as many that copies go to */
    PAGES = 4,
    FRAMES_ALL = 2 * PAGES,
    FRAME_WORDS = 7, /* vector, error code, RIP, CS, RFLAGS, RSP, SS */
    SEL_USER_32 = 0x1b,
    SEL_USER_DATA = 0x23,
    SEL_USER_64 = 0x2b,
    SEL_KERNEL_64 = 0x08,
    SEL_KERNEL_DATA = 0x10,
    SEL_KERNEL_32 = 0x30,
    DEVICE_AT = 0x800000,
};

/* Where the data's pages are seen. */
static const uint64_t places[] = {
    0x200000,                 /* in the middle of a window */
    0xffffe000,               /* on both sides of 4 GiB */
    0x500000000,              /* at a window's start */
    UINT64_C(0x7fffffffc000), /* the last pages of the user's half */
    /* the kernel's alone: */
    UINT64_C(0xffff800000000000), /* the first ones of the other half */
    UINT64_C(0xffff8880ffffe000), /* on both sides of a multiple of 4 GiB */
    UINT64_C(0xffffffff80000000), /* in the middle of a window */
    UINT64_C(0xffffffffffffc000), /* the last pages of all */
};
enum { PLACES = ARRAY_LENGTH(places), PLACES_USER = 4 };

GUEST_CODE(kernel,
           ".code64\n.set v, 0\n.rept 32\n.balign 16\n"
           ".if (v != 8) && (v != 17) && ((v < 10) || (v > 14))\n push 0\n.endif\n"
           " push v\n jmp 1f\n.set v, v + 1\n.endr\n"
           "1: hlt\n push rax\n mov rax, cr2\n invlpg [rax]\n pop rax\n add rsp, 16\n iretq\n");

static inline void poke(struct rig *rig, uint64_t address, uint64_t value)
{
    physmem_write(&rig->physmem, GPA(address), &value, 8);
}

/* --- the machine */

static inline uint64_t table_at(struct rig *rig, uint64_t table, unsigned index, uint64_t *fresh)
{
    uint64_t entry = rig_peek(rig, table + 8 * index, 8);
    if (!(entry & 1)) {
        entry = *fresh | 7;
        *fresh += PAGE_BYTES;
        poke(rig, table + 8 * index, entry);
    }
    return entry & PAGE_MASK;
}

/* Physical address of the PTE. */
static inline uint64_t pte_at(struct rig *rig, uint64_t linear, uint64_t *fresh)
{
    uint64_t table = 0x10000;
    for (unsigned shift = 39; shift > 12; shift -= 9)
        table = table_at(rig, table, linear >> shift & 511, fresh);
    return table + 8 * (linear >> 12 & 511);
}

struct machine {
    struct rig rig;
    bool supervisor; /* the programs are the kernel's */
    uint64_t ptes[PLACES][PAGES];
};

static inline uint64_t mmio_read(void *opaque, struct cpu *cpu, gpa_t gpa, unsigned size)
{
    return gpa.v * UINT64_C(0x0101010101010101);
}
static const struct cpu_ops window_ops = {.port_read = rig_port_read,
                                          .port_write = rig_port_write,
                                          .mmio_read = mmio_read,
                                          .mmio_write = rig_mmio_write,
                                          .acknowledge = rig_acknowledge,
                                          .tsc = rig_tsc};

static inline void machine_tables(struct machine *m)
{
    struct rig *rig = &m->rig;
    struct cpu *cpu = rig->cpu;
    for (uint64_t vector = 0; vector < 32; vector++) {
        const uint64_t at = KERNEL_AT + 16 * vector;
        poke(rig, IDT_AT + 16 * vector, /* by the stack of IST 1 */
             at >> 16 << 48 | UINT64_C(0xee01) << 32 | 8 << 16 | (at & 0xffff));
        poke(rig, IDT_AT + 16 * vector + 8, 0);
    }
    poke(rig, GDT_AT + 0x08, UINT64_C(0x00af9b000000ffff));
    poke(rig, GDT_AT + 0x10, UINT64_C(0x00cf93000000ffff));
    poke(rig, GDT_AT + 0x18, UINT64_C(0x00cffb000000ffff));
    poke(rig, GDT_AT + 0x20, UINT64_C(0x00cff3000000ffff));
    poke(rig, GDT_AT + 0x28, UINT64_C(0x00affb000000ffff));
    poke(rig, GDT_AT + 0x30, UINT64_C(0x00cf9b000000ffff));
    poke(rig, TSS_AT + 0x24, KERNEL_STACK);
    cpu->idt = (struct descriptor_table){IDT_AT, 32 * 16 - 1};
    cpu->gdt = (struct descriptor_table){GDT_AT, 0x7f};
    cpu->tr = (struct segment){.base = TSS_AT, .limit = 103, .attributes = SEG_P | 0xb};
    uint64_t fresh = TABLES_MORE;
    rig_long(rig, CODE_AT, 3);
    for (uint64_t page = 0; page < FRAMES; page += PAGE_BYTES)
        if (m->supervisor || page != CODE_AT)
            poke(rig, rig_pte(page), page | 0x63); /* the kernel's own */
    mmu_set_cr4(&cpu->mmu, cpu->mmu.registers.cr4 | CR4_FSGSBASE | CR4_SMAP);
    for (unsigned place = 0; place < PLACES; place++)
        for (unsigned page = 0; page < PAGES; page++)
            m->ptes[place][page] = pte_at(rig, places[place] + page * PAGE_BYTES, &fresh);
}

static inline void machine_init(struct machine *m, bool supervisor,
                                const struct translate_options *translate)
{
    struct error error;
    rig_init(&m->rig);
    m->supervisor = supervisor;
    m->rig.cpu->ops = &window_ops;
    machine_tables(m);
    rig_load(&m->rig, KERNEL_AT, kernel);
    if (translate)
        cr_assert_eq(translator_attach(m->rig.cpu, translate, &error), 0, "%s", error.text);
}

static inline void machine_free(struct machine *m)
{
    translator_detach(m->rig.cpu);
    rig_free(&m->rig);
}

static const struct translate_options with_windows = {.threshold = 1, .windows = WINDOWS_ALWAYS};

/* --- a run's start, alike for both */

enum page_state { PLAIN, ABSENT, READ_ONLY, NOT_HIS, DEVICE };

struct start {
    uint64_t regs[16], xmm[4], fs_base, gs_base;
    uint32_t flags;
    unsigned place;
    enum page_state pages[PAGES];
    uint64_t watched; /* linear, or 0 */
    bool alignment, by_cr3, keeps_pages;
};

/* WHY not his: the user may not reach the kernel's pages, nor, under SMAP, the kernel his. */
static inline uint64_t pte_of(bool supervisor, enum page_state state, unsigned frame)
{
    static const uint64_t rights[][5] = {{0x67, 0x66, 0x65, 0x63, 0x67},
                                         {0x63, 0x62, 0x61, 0x67, 0x63}};
    return (state == DEVICE ? (uint64_t)DEVICE_AT : FRAMES + (uint64_t)frame * PAGE_BYTES) |
           rights[supervisor][state];
}

static inline void start_pages(struct machine *m, const struct start *start)
{
    struct cpu *cpu = m->rig.cpu;
    if (start->keeps_pages)
        return;
    for (unsigned page = 0; page < PAGES; page++) {
        poke(&m->rig, m->ptes[start->place][page], pte_of(m->supervisor, start->pages[page], page));
        if (!start->by_cr3)
            mmu_invlpg(&cpu->mmu, GVA(places[start->place] + page * PAGE_BYTES));
    }
    if (start->by_cr3)
        mmu_set_cr3(&cpu->mmu, 0x10000, false);
}

static inline void start_at(struct machine *m, const struct start *start, bool code_64)
{
    static const uint16_t codes[][2] = {{SEL_USER_32, SEL_USER_64}, {SEL_KERNEL_32, SEL_KERNEL_64}};
    struct cpu *cpu = m->rig.cpu;
    const unsigned cpl = m->supervisor ? 0 : 3, common = SEG_P | SEG_S | cpl << SEG_DPL_SHIFT;
    for (unsigned seg = ES; seg <= GS; seg++)
        cpu->segs[seg] =
            (struct segment){.limit = UINT32_MAX,
                             .selector = m->supervisor ? SEL_KERNEL_DATA : SEL_USER_DATA,
                             .attributes = (uint16_t)(common | SEG_G | SEG_DB | 3)};
    cpu->segs[CS].selector = codes[m->supervisor][code_64];
    cpu->segs[CS].attributes = (uint16_t)(common | SEG_G | (code_64 ? SEG_L : SEG_DB) | 0xb);
    cpu->segs[FS].base = start->fs_base;
    cpu->segs[GS].base = start->gs_base;
    memcpy(cpu->regs, start->regs, sizeof start->regs);
    for (unsigned i = 0; !code_64 && i < 16; i++)
        cpu->regs[i] = i < 8 ? (uint32_t)start->regs[i] : 0;
    for (unsigned i = 0; i < 4; i++)
        cpu->xmm[i].q[0] = cpu->xmm[i].q[1] = start->xmm[i];
    cpu->cpl = (uint8_t)cpl;
    cpu->rip = CODE_AT;
    cpu->eflags = 2 | (start->flags & ~(uint32_t)F_ARITH);
    flags_set_arithmetic(cpu, start->flags & F_ARITH);
    cpu->halted = cpu->inhibit = false;
    cpu->dr[6] = 0xffff0ff0;
    if (cpu->dr[0] != start->watched || start->watched) {
        cpu->dr[0] = start->watched;
        cpu->dr[7] = start->watched ? 0x400 | 2 | 3 << 16 : 0x400; /* reads and writes of a byte */
        debug_registers_changed(cpu);
    }
    const uint64_t cr0 = cpu->mmu.registers.cr0 & ~(uint64_t)CR0_AM;
    if ((cpu->mmu.registers.cr0 ^ (start->alignment ? CR0_AM : 0)) & CR0_AM)
        mmu_set_cr0(&cpu->mmu, cr0 | (start->alignment ? CR0_AM : 0));
    start_pages(m, start);
    cpu_mode_changed(cpu);
}

/* --- the same in both */

struct frame {
    uint64_t words[FRAME_WORDS];
};

static inline struct frame frame_of(struct machine *m)
{
    struct frame frame;
    physmem_read(&m->rig.physmem, GPA(m->rig.cpu->regs[RSP]), &frame, sizeof frame);
    return frame;
}

static inline const char *difference(struct machine *a, struct machine *b, uint32_t undefined)
{
    const struct cpu *x = a->rig.cpu, *y = b->rig.cpu;
    struct frame frames[2] = {frame_of(a), frame_of(b)};
    for (unsigned i = 0; i < FRAME_WORDS; i++)
        if ((frames[0].words[i] ^ frames[1].words[i]) & ~(uint64_t)(i == 4 ? undefined : 0))
            return i == 4 ? "RFLAGS in the frame" : i < 2 ? "the exception" : "the frame";
    if (memcmp(x->regs, y->regs, sizeof x->regs))
        return "registers";
    if (memcmp(x->xmm, y->xmm, sizeof x->xmm))
        return "vectors";
    if (x->rip != y->rip || x->cr2 != y->cr2 || x->cpl != y->cpl || x->halted != y->halted)
        return "rip, cr2, cpl or halted";
    if (memcmp(x->dr, y->dr, sizeof x->dr))
        return "debug registers";
    if (x->x87.status != y->x87.status || x->x87.valid != y->x87.valid ||
        memcmp(x->x87.registers, y->x87.registers, sizeof x->x87.registers) ||
        x->x87.data_offset != y->x87.data_offset || x->x87.code_offset != y->x87.code_offset)
        return "x87";
    for (unsigned i = 0; i < FRAMES_ALL; i++) {
        const ppn_t ppn = gpa_ppn(GPA(FRAMES + i * PAGE_BYTES));
        if (memcmp(physmem_page_read(&a->rig.physmem, ppn), physmem_page_read(&b->rig.physmem, ppn),
                   PAGE_BYTES))
            return "data";
    }
    return NULL;
}

/* What the kernel does about a #PF: true, the page is as it should be now, or false. */
static inline bool mend_page(struct machine *m, const struct start *start, bool also_not_his)
{
    struct rig *rig = &m->rig;
    const uint64_t offset = (rig->cpu->cr2 & PAGE_MASK) - places[start->place];
    if (frame_of(m).words[0] != VECTOR_PF || offset >= PAGES * PAGE_BYTES)
        return false;
    const unsigned page = (unsigned)(offset / PAGE_BYTES);
    const uint64_t pte = m->ptes[start->place][page];
    const uint64_t old = rig_peek(rig, pte, 8);
    const unsigned user = m->supervisor ? 0 : 4;
    if ((old & 4) != user && !also_not_his)
        return false;
    if ((old & 7) == (1 | user)) { /* a copy to write to */
        const uint64_t to = FRAMES + (uint64_t)(PAGES + page) * PAGE_BYTES;
        uint8_t bytes[PAGE_BYTES];
        physmem_read(&rig->physmem, GPA(old & PAGE_MASK), bytes, sizeof bytes);
        physmem_write(&rig->physmem, GPA(to), bytes, sizeof bytes);
        poke(rig, pte, to | 0x63 | user);
    } else {
        poke(rig, pte, (old & PAGE_MASK) | 0x63 | user);
    }
    return true;
}

/* --- the programs */

struct program {
    const char *name;
    const uint8_t *start, *end;
    bool code_64;
    bool stays;      /* nothing in it is left to the interpreter */
    bool wanders;    /* with addresses that are random */
    bool one_window; /* its operands' addresses hang together */
    uint32_t undefined;
};

struct pair {
    struct machine interpreted, translated;
    const struct program *program;
};

static inline void pair_init_as(struct pair *pair, bool supervisor)
{
    machine_init(&pair->interpreted, supervisor, NULL);
    machine_init(&pair->translated, supervisor, &with_windows);
}
static inline void pair_init(struct pair *pair)
{
    pair_init_as(pair, false);
}
static inline unsigned places_of(const struct pair *pair)
{
    return pair->translated.supervisor ? PLACES : PLACES_USER;
}

static inline void pair_free(struct pair *pair)
{
    machine_free(&pair->interpreted);
    machine_free(&pair->translated);
}

static inline void describe(const struct pair *pair, const struct start *start, unsigned halt,
                            const char *what)
{
    fprintf(stderr, "%s, halt %u: %s; place %llx, pages %u %u %u %u, watched %llx\ninterpreted:\n",
            pair->program->name, halt, what, (unsigned long long)places[start->place],
            start->pages[0], start->pages[1], start->pages[2], start->pages[3],
            (unsigned long long)start->watched);
    cpu_describe(pair->interpreted.rig.cpu, stderr);
    fprintf(stderr, "translated:\n");
    cpu_describe(pair->translated.rig.cpu, stderr);
}

static inline const struct program *load(struct pair *pair, const struct program *program)
{
    pair->program = program;
    const size_t length = (size_t)(program->end - program->start);
    physmem_write(&pair->interpreted.rig.physmem, GPA(CODE_AT), program->start, length);
    physmem_write(&pair->translated.rig.physmem, GPA(CODE_AT), program->start, length);
    block_kill_all(pair->translated.rig.cpu); /* what had been found to trap is forgotten */
    return program;
}

static inline void fill_data(struct machine *m, uint64_t seed)
{
    struct random dice = {seed | 1};
    for (unsigned i = 0; i < PAGES * PAGE_BYTES; i += 8)
        poke(&m->rig, FRAMES + i, random_next(&dice));
}

/* From `start` to INT3, or to an exception that is not mended.  False: not alike. */
static inline bool run(struct pair *pair, const struct start *start, bool mends)
{
    struct machine *a = &pair->interpreted, *b = &pair->translated;
    start_at(a, start, pair->program->code_64);
    start_at(b, start, pair->program->code_64);
    for (unsigned halt = 0;; halt++) {
        enum cpu_exit x = cpu_run(a->rig.cpu), y = cpu_run(b->rig.cpu);
        const char *wrong = x != y                 ? "they end differently"
                            : x != CPU_EXIT_HALTED ? "no halt"
                                                   : difference(a, b, pair->program->undefined);
        if (wrong) {
            describe(pair, start, halt, wrong);
            return false;
        }
        if (frame_of(a).words[0] == VECTOR_BP || !mends || halt > 40)
            return true;
        const bool mended = mend_page(a, start, halt & 1);
        cr_assert_eq(mended, mend_page(b, start, halt & 1));
        if (!mended)
            return true;
        a->rig.cpu->halted = b->rig.cpu->halted = false;
    }
}

/* The fast path is one: in pages that are there, nothing faults and nothing is interpreted.  The
 * first of several runs may do either. */
static inline bool check_quiet(struct pair *pair, struct start start)
{
    const struct program *program = pair->program;
    const struct translator *translator = translator_of(pair->translated.rig.cpu);
    start.keeps_pages = true;
    for (unsigned i = 0; i < 4; i++)
        if (!run(pair, &start, false))
            return false;
    const uint64_t interp = translator->count.interp, faults = translator->count.window_faults;
    for (unsigned i = 0; i < 10; i++)
        if (!run(pair, &start, false))
            return false;
    if (program->stays && translator->count.interp != interp)
        cr_expect_fail("%s: interpreted", program->name);
    if (!program->wanders && translator->count.window_faults != faults)
        cr_expect_fail("%s: %llu faults where there should be none", program->name,
                       (unsigned long long)(translator->count.window_faults - faults));
    return true;
}

/* --- random starts */

/* A place in the second or third page, often at an end. */
static inline uint64_t random_near(struct random *dice, uint64_t at)
{
    static const int ends[] = {-17, -16, -9, -8, -7, -4, -3, -2, -1, 0, 1, 8};
    const unsigned pick = random_next(dice) >> 32 & 31;
    if (pick < ARRAY_LENGTH(ends))
        return at + 2 * PAGE_BYTES + (uint64_t)(int64_t)ends[pick];
    return at + PAGE_BYTES +
           ((random_next(dice) >> 32) & (2 * PAGE_BYTES - 1) & (pick & 1 ? ~15u : ~0u));
}

static inline struct start random_start_in(struct random *dice, bool code_64, unsigned place_count)
{
    static const uint64_t wild[] = {0,
                                    UINT64_C(0x123456789abcdef0),
                                    UINT64_C(0xffff800000001000),
                                    UINT64_C(0x800000000000),
                                    UINT64_C(0xfffffffffffffff8),
                                    UINT64_C(0x7ffffffffffc)};
    struct start start = {.by_cr3 = random_next(dice) >> 40 & 1};
    start.place = random_next(dice) >> 32 & (code_64 ? place_count - 1 : 1);
    for (unsigned i = 0; i < PAGES; i++) {
        const unsigned pick = random_next(dice) >> 32 & 31;
        start.pages[i] = pick < 5    ? ABSENT
                         : pick < 10 ? READ_ONLY
                         : pick < 11 ? NOT_HIS
                         : pick < 12 ? DEVICE
                                     : PLAIN;
    }
    for (unsigned i = 0; i < 16; i++)
        start.regs[i] = random_near(dice, places[start.place]);
    start.regs[RAX] = random_edge(dice);
    start.regs[RCX] = random_edge(dice);
    start.regs[RDX] = random_edge(dice);
    start.regs[R8] = (random_next(dice) >> 32 & 31) - 16;
    if (!(random_next(dice) >> 32 & 15))
        start.regs[random_next(dice) >> 32 & 15] =
            wild[(random_next(dice) >> 32) % ARRAY_LENGTH(wild)];
    for (unsigned i = 0; i < 4; i++)
        start.xmm[i] = random_next(dice);
    start.fs_base = places[start.place] + PAGE_BYTES + (random_next(dice) >> 32 & 0xfff);
    start.gs_base = start.fs_base + 0x800;
    if (!code_64) {
        start.fs_base = (uint32_t)start.fs_base;
        start.gs_base = (uint32_t)start.gs_base;
    }
    start.flags = (uint32_t)random_next(dice) & F_ARITH;
    if (!(random_next(dice) >> 32 & 31))
        start.watched = random_near(dice, places[start.place]);
    if (!(random_next(dice) >> 32 & 15)) {
        start.alignment = true;
        start.flags |= F_AC;
    }
    return start;
}

static inline struct start random_start(struct random *dice, bool code_64)
{
    return random_start_in(dice, code_64, PLACES_USER);
}

/* All pages there, and all accesses in them. */
static inline struct start plain_start(bool code_64)
{
    struct start start = {.flags = F_CF, .place = 0};
    for (unsigned i = 0; i < 16; i++)
        start.regs[i] = places[0] + PAGE_BYTES + 0x200 + 0x20 * i;
    start.regs[R8] = 3;
    start.regs[RAX] = 0x1122334455667788;
    start.regs[RCX] = 0x99;
    start.regs[RDX] = 0;
    start.fs_base = places[0] + PAGE_BYTES;
    start.gs_base = start.fs_base + 0x800;
    return start;
}

/* A program that ends in INT3, and its row. */
#define PROGRAM_64(name, text) GUEST_CODE(name, ".code64\n" text "\n int3\n")
#define PROGRAM_32(name, text) GUEST_CODE(name, ".code32\n" text "\n int3\n")
#define P64(name, ...)                                                                             \
    {                                                                                              \
#name, name##_64_start, name##_64_end, .code_64 = true, __VA_ARGS__                        \
    }
#define P32(name, ...)                                                                             \
    {                                                                                              \
#name, name##_32_start, name##_32_end, __VA_ARGS__                                         \
    }

#endif
