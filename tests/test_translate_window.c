/* User code that reaches its data through windows ends as the interpreter's does: every form of
 * operand, at page ends, window ends and the ends of the user's half, whatever the pages are, and
 * with the kernel's hand in the tables in between.  A fault's frame has the flags that are only in
 * EFLAGS then.
 *
 * Two machines run the same programs: one interprets, the other translates.  Each exception brings
 * both to a halt in the guest's kernel, where they are compared.
 */
#include "tests/exec_alone.h"
#include "tests/rig.h"
#include "translate/translated.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    CODE_AT = 0x30000,
    KERNEL_AT = 0x50000,
    IDT_AT = 0x60000,
    GDT_AT = 0x61000,
    TSS_AT = 0x62000,
    KERNEL_STACK = 0x71000, /* its end */
    TABLES_MORE = 0x90000,
    FRAMES = 0x200000,      /* of the user's data: PAGES, and as many that copies go to */
    PAGES = 4,
    FRAMES_ALL = 2 * PAGES,
    FRAME_WORDS = 7, /* vector, error code, RIP, CS, RFLAGS, RSP, SS */
    SEL_USER_32 = 0x1b,
    SEL_USER_DATA = 0x23,
    SEL_USER_64 = 0x2b,
    DEVICE_AT = 0x800000,
};

/* Where the data's pages are seen. */
static const uint64_t places[] = {
    0x200000,                 /* in the middle of a window */
    0xffffe000,               /* on both sides of 4 GiB */
    0x500000000,              /* at a window's start */
    UINT64_C(0x7fffffffc000), /* the last pages of the user's half */
};
enum { PLACES = ARRAY_LENGTH(places) };

GUEST_CODE(kernel, ".code64\n.set v, 0\n.rept 32\n.balign 16\n"
                   ".if (v != 8) && (v != 17) && ((v < 10) || (v > 14))\n push 0\n.endif\n"
                   " push v\n jmp 1f\n.set v, v + 1\n.endr\n"
                   "1: hlt\n push rax\n mov rax, cr2\n invlpg [rax]\n pop rax\n add rsp, 16\n iretq\n");

static void poke(struct rig *rig, uint64_t address, uint64_t value)
{
    physmem_write(&rig->physmem, GPA(address), &value, 8);
}

/* --- the machine */

static uint64_t table_at(struct rig *rig, uint64_t table, unsigned index, uint64_t *fresh)
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
static uint64_t pte_at(struct rig *rig, uint64_t linear, uint64_t *fresh)
{
    uint64_t table = 0x10000;
    for (unsigned shift = 39; shift > 12; shift -= 9)
        table = table_at(rig, table, linear >> shift & 511, fresh);
    return table + 8 * (linear >> 12 & 511);
}

struct machine {
    struct rig rig;
    uint64_t ptes[PLACES][PAGES];
};

static uint64_t mmio_read(void *opaque, struct cpu *cpu, gpa_t gpa, unsigned size)
{
    return gpa.v * UINT64_C(0x0101010101010101);
}
static const struct cpu_ops window_ops = {
    .port_read = rig_port_read, .port_write = rig_port_write, .mmio_read = mmio_read,
    .mmio_write = rig_mmio_write, .acknowledge = rig_acknowledge, .tsc = rig_tsc};

static void machine_tables(struct machine *m)
{
    struct rig *rig = &m->rig;
    struct cpu *cpu = rig->cpu;
    for (uint64_t vector = 0; vector < 32; vector++) {
        const uint64_t at = KERNEL_AT + 16 * vector;
        poke(rig, IDT_AT + 16 * vector,
             at >> 16 << 48 | UINT64_C(0xee00) << 32 | 8 << 16 | (at & 0xffff));
        poke(rig, IDT_AT + 16 * vector + 8, 0);
    }
    poke(rig, GDT_AT + 0x08, UINT64_C(0x00af9b000000ffff));
    poke(rig, GDT_AT + 0x10, UINT64_C(0x00cf93000000ffff));
    poke(rig, GDT_AT + 0x18, UINT64_C(0x00cffb000000ffff));
    poke(rig, GDT_AT + 0x20, UINT64_C(0x00cff3000000ffff));
    poke(rig, GDT_AT + 0x28, UINT64_C(0x00affb000000ffff));
    poke(rig, TSS_AT + 4, KERNEL_STACK);
    cpu->idt = (struct descriptor_table){IDT_AT, 32 * 16 - 1};
    cpu->gdt = (struct descriptor_table){GDT_AT, 0x7f};
    cpu->tr = (struct segment){.base = TSS_AT, .limit = 103, .attributes = SEG_P | 0xb};
    uint64_t fresh = TABLES_MORE;
    rig_long(rig, CODE_AT, 3);
    for (uint64_t page = 0; page < FRAMES; page += PAGE_BYTES)
        if (page != CODE_AT)
            poke(rig, rig_pte(page), page | 0x63); /* the kernel's own */
    mmu_set_cr4(&cpu->mmu, cpu->mmu.registers.cr4 | CR4_FSGSBASE | CR4_SMAP);
    for (unsigned place = 0; place < PLACES; place++)
        for (unsigned page = 0; page < PAGES; page++)
            m->ptes[place][page] = pte_at(rig, places[place] + page * PAGE_BYTES, &fresh);
}

static void machine_init(struct machine *m, const struct translate_options *translate)
{
    struct error error;
    rig_init(&m->rig);
    m->rig.cpu->ops = &window_ops;
    machine_tables(m);
    rig_load(&m->rig, KERNEL_AT, kernel);
    if (translate)
        cr_assert_eq(translator_attach(m->rig.cpu, translate, &error), 0, "%s", error.text);
}

static void machine_free(struct machine *m)
{
    translator_detach(m->rig.cpu);
    rig_free(&m->rig);
}

static const struct translate_options with_windows = {.threshold = 1, .windows = WINDOWS_ALWAYS};

/* --- a run's start, alike for both */

enum page_state { PLAIN, ABSENT, READ_ONLY, SUPERVISOR, DEVICE };

struct start {
    uint64_t regs[16], xmm[4], fs_base, gs_base;
    uint32_t flags;
    unsigned place;
    enum page_state pages[PAGES];
    uint64_t watched; /* linear, or 0 */
    bool alignment, by_cr3, keeps_pages;
};

static uint64_t pte_of(enum page_state state, unsigned frame)
{
    static const uint64_t rights[] = {0x67, 0x66, 0x65, 0x63, 0x67};
    return (state == DEVICE ? (uint64_t)DEVICE_AT : FRAMES + (uint64_t)frame * PAGE_BYTES) |
           rights[state];
}

static void start_pages(struct machine *m, const struct start *start)
{
    struct cpu *cpu = m->rig.cpu;
    if (start->keeps_pages)
        return;
    for (unsigned page = 0; page < PAGES; page++) {
        poke(&m->rig, m->ptes[start->place][page], pte_of(start->pages[page], page));
        if (!start->by_cr3)
            mmu_invlpg(&cpu->mmu, GVA(places[start->place] + page * PAGE_BYTES));
    }
    if (start->by_cr3)
        mmu_set_cr3(&cpu->mmu, 0x10000, false);
}

static void start_at(struct machine *m, const struct start *start, bool code_64)
{
    struct cpu *cpu = m->rig.cpu;
    for (unsigned seg = ES; seg <= GS; seg++)
        cpu->segs[seg] = (struct segment){
            .limit = UINT32_MAX,
            .selector = SEL_USER_DATA,
            .attributes = (uint16_t)(SEG_G | SEG_DB | SEG_P | SEG_S | 3 << SEG_DPL_SHIFT | 3)};
    cpu->segs[CS].selector = code_64 ? SEL_USER_64 : SEL_USER_32;
    cpu->segs[CS].attributes = (uint16_t)(SEG_G | (code_64 ? SEG_L : SEG_DB) | SEG_P | SEG_S |
                                          3 << SEG_DPL_SHIFT | 0xb);
    cpu->segs[FS].base = start->fs_base;
    cpu->segs[GS].base = start->gs_base;
    memcpy(cpu->regs, start->regs, sizeof start->regs);
    for (unsigned i = 0; !code_64 && i < 16; i++)
        cpu->regs[i] = i < 8 ? (uint32_t)start->regs[i] : 0;
    for (unsigned i = 0; i < 4; i++)
        cpu->xmm[i].q[0] = cpu->xmm[i].q[1] = start->xmm[i];
    cpu->cpl = 3;
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

static struct frame frame_of(struct machine *m)
{
    struct frame frame;
    physmem_read(&m->rig.physmem, GPA(m->rig.cpu->regs[RSP]), &frame, sizeof frame);
    return frame;
}

static const char *difference(struct machine *a, struct machine *b, uint32_t undefined)
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
static bool mend_page(struct machine *m, const struct start *start, bool also_supervisor)
{
    struct rig *rig = &m->rig;
    const uint64_t offset = (rig->cpu->cr2 & PAGE_MASK) - places[start->place];
    if (frame_of(m).words[0] != VECTOR_PF || offset >= PAGES * PAGE_BYTES)
        return false;
    const unsigned page = (unsigned)(offset / PAGE_BYTES);
    const uint64_t pte = m->ptes[start->place][page];
    const uint64_t old = rig_peek(rig, pte, 8);
    if (!(old & 4) && !also_supervisor)
        return false;
    if ((old & 7) == 5) { /* a copy to write to */
        const uint64_t to = FRAMES + (uint64_t)(PAGES + page) * PAGE_BYTES;
        uint8_t bytes[PAGE_BYTES];
        physmem_read(&rig->physmem, GPA(old & PAGE_MASK), bytes, sizeof bytes);
        physmem_write(&rig->physmem, GPA(to), bytes, sizeof bytes);
        poke(rig, pte, to | 0x67);
    } else {
        poke(rig, pte, (old & PAGE_MASK) | 0x67);
    }
    return true;
}

/* --- the programs */

struct program {
    const char *name;
    const uint8_t *start, *end;
    bool code_64;
    bool stays;   /* nothing in it is left to the interpreter */
    bool wanders; /* with addresses that are random */
    bool one_window; /* its operands' addresses hang together */
    uint32_t undefined;
};

struct pair {
    struct machine interpreted, translated;
    const struct program *program;
};

static void pair_init(struct pair *pair)
{
    machine_init(&pair->interpreted, NULL);
    machine_init(&pair->translated, &with_windows);
}

static void pair_free(struct pair *pair)
{
    machine_free(&pair->interpreted);
    machine_free(&pair->translated);
}

static void describe(const struct pair *pair, const struct start *start, unsigned halt,
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

static const struct program *load(struct pair *pair, const struct program *program)
{
    pair->program = program;
    const size_t length = (size_t)(program->end - program->start);
    physmem_write(&pair->interpreted.rig.physmem, GPA(CODE_AT), program->start, length);
    physmem_write(&pair->translated.rig.physmem, GPA(CODE_AT), program->start, length);
    block_kill_all(pair->translated.rig.cpu); /* what had been found to trap is forgotten */
    return program;
}

static void fill_data(struct machine *m, uint64_t seed)
{
    struct random dice = {seed | 1};
    for (unsigned i = 0; i < PAGES * PAGE_BYTES; i += 8)
        poke(&m->rig, FRAMES + i, random_next(&dice));
}

/* From `start` to INT3, or to an exception that is not mended.  False: not alike. */
static bool run(struct pair *pair, const struct start *start, bool mends)
{
    struct machine *a = &pair->interpreted, *b = &pair->translated;
    start_at(a, start, pair->program->code_64);
    start_at(b, start, pair->program->code_64);
    for (unsigned halt = 0;; halt++) {
        enum cpu_exit x = cpu_run(a->rig.cpu), y = cpu_run(b->rig.cpu);
        const char *wrong = x != y                  ? "they end differently"
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

/* --- random starts */

/* A place in the second or third page, often at an end. */
static uint64_t random_near(struct random *dice, uint64_t at)
{
    static const int ends[] = {-17, -16, -9, -8, -7, -4, -3, -2, -1, 0, 1, 8};
    const unsigned pick = random_next(dice) >> 32 & 31;
    if (pick < ARRAY_LENGTH(ends))
        return at + 2 * PAGE_BYTES + (uint64_t)(int64_t)ends[pick];
    return at + PAGE_BYTES + ((random_next(dice) >> 32) & (2 * PAGE_BYTES - 1) & (pick & 1 ? ~15u : ~0u));
}

static struct start random_start(struct random *dice, bool code_64)
{
    static const uint64_t wild[] = {0,
                                    UINT64_C(0x123456789abcdef0),
                                    UINT64_C(0xffff800000001000),
                                    UINT64_C(0x800000000000),
                                    UINT64_C(0xfffffffffffffff8),
                                    UINT64_C(0x7ffffffffffc)};
    struct start start = {.by_cr3 = random_next(dice) >> 40 & 1};
    start.place = random_next(dice) >> 32 & (code_64 ? PLACES - 1 : 1);
    for (unsigned i = 0; i < PAGES; i++) {
        const unsigned pick = random_next(dice) >> 32 & 31;
        start.pages[i] = pick < 5   ? ABSENT
                         : pick < 10 ? READ_ONLY
                         : pick < 11 ? SUPERVISOR
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
        start.regs[random_next(dice) >> 32 & 15] = wild[(random_next(dice) >> 32) % ARRAY_LENGTH(wild)];
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

/* All pages there, and all accesses in them. */
static struct start plain_start(bool code_64)
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

enum { RUNS = 120, RUNS_PER_LOAD = 12 };

/* The same with every register's operand in another window. */
static struct start spread_start(void)
{
    struct start start = plain_start(true);
    for (unsigned i = 0; i < 16; i++)
        if (i != R8 && (i == RBX || i >= RSP))
            start.regs[i] = places[i % PLACES] + PAGE_BYTES + 0x200 + 0x20 * i;
    return start;
}

/* The fast path is one: in pages that are there, nothing faults and nothing is interpreted. */
static bool check_quiet(struct pair *pair, struct start start)
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

static bool check_stays(struct pair *pair)
{
    struct start start = plain_start(pair->program->code_64);
    for (start.place = PLACES; start.place-- > 0;)
        if (!run(pair, &start, false))
            return false;
    start.place = 0;
    if (!check_quiet(pair, start))
        return false;
    return !pair->program->code_64 || pair->program->one_window ||
           check_quiet(pair, spread_start());
}

static void run_programs(const struct program *programs, unsigned count, uint64_t seed)
{
    struct pair pair;
    pair_init(&pair);
    struct random dice = {seed};
    const struct translator *translator = translator_of(pair.translated.rig.cpu);
    for (unsigned n = 0; n < count; n++) {
        load(&pair, &programs[n]);
        fill_data(&pair.interpreted, seed);
        fill_data(&pair.translated, seed);
        const bool stays = check_stays(&pair);
        cr_expect(stays, "%s", programs[n].name);
        for (unsigned i = 0; i < RUNS; i++) {
            if (i % RUNS_PER_LOAD == 0)
                load(&pair, &programs[n]);
            const struct start start = random_start(&dice, programs[n].code_64);
            if (!run(&pair, &start, random_next(&dice) >> 40 & 3)) {
                cr_expect_fail("%s, run %u", programs[n].name, i);
                break;
            }
        }
    }
    cr_expect_gt(translator->count.window_faults, 10 * count);
    cr_expect_gt(pair.translated.rig.cpu->mmu.windows->count.fills, 10 * count);
    pair_free(&pair);
}

#define PROGRAM_64(name, text) GUEST_CODE(name, ".code64\n" text "\n int3\n")
#define PROGRAM_32(name, text) GUEST_CODE(name, ".code32\n" text "\n int3\n")

PROGRAM_64(loads_64, "mov rax, [rsi]\n mov ebx, [rsi + 4]\n movzx ecx, word ptr [rdi + 2]\n"
                     "movsx rdx, byte ptr [rsi + 7]\n movsxd r12, dword ptr [rbp]\n mov bp, [rdi - 1]");
PROGRAM_64(stores_64, "mov [rsi], rax\n mov [rsi + 4], ecx\n mov [rdi - 6], dx\n mov [rdi + 9], al\n"
                      "mov dword ptr [rsi + 12], -3\n mov byte ptr [rbx], 7\n mov word ptr [rbx + 1], 99\n"
                      "mov qword ptr [rbx + 8], -1");
PROGRAM_64(rmw_64, "add [rsi], rax\n adc dword ptr [rsi + 4], ecx\n sbb byte ptr [rdi], dl\n"
                   "inc qword ptr [rbx]\n dec word ptr [rsi + 2]\n neg dword ptr [rdi]\n"
                   "not byte ptr [rbx + 3]\n xor [rsi], ax\n sub qword ptr [rbx], 5\n"
                   "cmp [rsi], rax\n adc rax, [rdi]\n cmp byte ptr [rbx], 3\n sbb ecx, [rsi]");
PROGRAM_64(stack_64, "push rax\n push r9\n push 5\n pop rcx\n pop r10\n push rsp\n pop rdx\n"
                     "push [rsi]\n pop r11\n push cx\n pop r15w\n mov rbx, [rsp + 8]\n mov [rsp - 8], ebx\n"
                     "push -7\n mov eax, [rsp + r8*4]\n pop rsp");
PROGRAM_64(calls_64, "call 1f\n mov rdx, 5\n call [rip + 3f]\n jmp 4f\n"
                     "1: push rbp\n mov rbp, rsp\n mov [rbp - 16], eax\n sub rsp, 32\n push rdx\n leave\n ret\n"
                     "2: mov rcx, [rsp]\n ret 8\n .balign 8\n 3: .quad 0x30000 + 2b - calls_64_start\n4: nop");
PROGRAM_64(disp_64, "mov rax, [rsi + 0xff0]\n mov ecx, [rsi - 0x1000]\n mov [rdi + 0x7ff], dl\n"
                    "mov rdx, [rsi + 0x10]\n add rsi, 0x10\n mov rbx, [rsi - 0x20]");
PROGRAM_64(far_disp_64, "mov r12, rsi\n add r12, -0x7fffff00\n mov rax, [r12 + 0x7fffff00]\n"
                        "mov r13, rsi\n sub r13, -0x7fffff00\n mov ecx, [r13 - 0x7fffff00]\n"
                        "mov [r13 - 0x7fffff00], eax\n mov rdx, [rsi]");
PROGRAM_64(index_64, "mov rax, [rsi + r8*8]\n mov [rdi + r8*2 + 4], ecx\n mov rdx, [r9 + r8]\n"
                     "mov [r10 + r8*4], dl\n lea rbx, [r8*8]\n mov rbp, [rbx + rsi]\n"
                     "mov r12, [r8*4 + 0x201100]\n add [r11 + r8*8 - 3], r9d");
PROGRAM_64(rip_64, "mov rax, [rip + 0x1d0f00]\n mov [rip + 0x1d1000], rcx\n add [rip + 0x1d1003], edx\n"
                   "mov rsi, [rip + 0x1d1ff0]");
PROGRAM_64(moffs_64, "movabs rax, [0x201ffc]\n movabs [0x201ffd], ax\n mov al, byte ptr [0x202004]\n"
                     "movabs [0x0000000500001ff9], eax\n mov ecx, ds:[0x201ffe]\n mov ds:[0x201fff], cx");
PROGRAM_64(fs_gs_64, "mov rax, fs:[0x10]\n mov gs:[0x20], eax\n mov rcx, fs:[r8*8 + 0x30]\n"
                     "add gs:[0x7f8], rcx\n mov edx, fs:0\n mov rbx, [rsi]\n mov gs:[0x7fe], ebx\n mov rsi, fs:[r8]");
PROGRAM_64(words_64, "mov ax, [rsi]\n add [rdi], cx\n movsx bx, byte ptr [rsi + 1]\n imul dx, [rdi + 2], 7\n"
                     "cmp word ptr [rsi], 0x1234\n sete cl\n mov word ptr [rsi + 6], 0x7777");
PROGRAM_64(high_64, "mov ah, [rsi]\n add [rdi], bh\n mov [rsi + 1], ch\n cmp dh, [rdi]\n sete al\n"
                    "xchg ah, [rsi]\n mov rbx, [rsi]");
PROGRAM_64(memory_registers_64, "mov r9, [r10]\n mov [r10 + 8], r11\n add r9, [r10 + 16]\n"
                                "mov r10, [r11]\n add [r15], r9\n cmp [r11 + 4], r10d\n adc r9d, [r11]\n"
                                "mov [r11], r15w\n xchg r9, [r11]\n lea r15, [r11 + 8]\n mov [r15], r10b\n"
                                "test [r11], r9\n sbb r10, r10");
PROGRAM_64(locked_64, "lock add [rsi], rax\n lock inc dword ptr [rdi]\n xchg [rsi], rcx\n xchg r9, [rdi]\n"
                      "lock xadd [rsi], rdx\n xadd [rdi], r10d\n mov rax, [rsi]\n lock cmpxchg [rsi], r11\n"
                      "lock cmpxchg [rdi], ecx\n xchg [rsi], dl\n lock dec byte ptr [rsi]\n lock not word ptr [rdi]");
PROGRAM_64(bits_64, "bt [rsi], r8\n adc rax, rax\n bts [rdi], r8d\n btr qword ptr [rsi], 7\n adc rcx, 0\n"
                    "btc [rsi], r8\n sbb rdx, rdx\n lock bts dword ptr [rdi], 3\n bt [rsi], cx\n mov rbx, [rsi]");
PROGRAM_64(sse_64, "movups xmm0, [rsi]\n movaps xmm1, [rdi]\n movdqu [rsi + 1], xmm2\n paddb xmm3, [rdi]\n"
                   "movaps [rdi], xmm3\n movq rax, xmm0\n movd xmm2, [rsi]\n movsd [rsi], xmm1\n"
                   "pshufd xmm1, [rdi + 16], 0x1b\n addps xmm0, [rdi]\n movnti [rsi], eax\n ucomisd xmm1, [rsi]\n"
                   "pinsrw xmm1, [rsi + 2], 3\n cvttsd2si r9, [rsi]\n movhps [rsi + 8], xmm0");
PROGRAM_64(sha_64, "sha256msg1 xmm0, [rsi]\n sha1msg2 xmm1, [rdi]\n sha256rnds2 xmm2, [rbx], xmm0\n sha1rnds4 xmm3, [rbp], 1\n"
                   "aesenc xmm0, [rsi]\n cvtdq2pd xmm1, [rdi + 3]\n pcmpistri xmm2, [rsi + 1], 1");
PROGRAM_64(x87_64, "fninit\n fld qword ptr [rsi]\n fild dword ptr [rsi + 4]\n fadd dword ptr [rdi]\n"
                   "fstp qword ptr [rdi]\n fist word ptr [rsi]\n fstp tbyte ptr [rsi + 2]\n fld1\n"
                   "fst dword ptr [rbx]\n fnstcw [rdi]\n fldcw [rdi]\n fstp qword ptr [r10]");
PROGRAM_64(bmi_64, "andn rax, rcx, [rsi]\n bzhi ecx, [rdi], r8d\n mulx r9, r10, [rsi]\n rorx rdx, [rdi + 8], 5\n"
                   "shlx r12, [rsi], rcx\n blsr r11d, [rdi]\n bextr rbx, [rsi], rax\n adc rcx, 1");
PROGRAM_64(moved_base_64, "mov rax, [rsi]\n add rsi, 8\n mov rcx, [rsi]\n sub rsi, 0x7f\n mov [rsi], al\n"
                          "lea rsi, [rsi + 0x10]\n mov edx, [rsi]\n add rsi, 0x1000\n mov ebx, [rsi]\n"
                          "inc rsi\n mov bl, [rsi]\n add esi, 4\n mov bp, [rsi]\n mov rsi, rdi\n mov rbx, [rsi]");
PROGRAM_64(truncated_base_64, "mov rax, [rsi]\n lea esi, [esi + 4]\n mov rcx, [rsi]\n mov rdx, [rdi]\n"
                              "mov edi, edi\n mov rbx, [rdi + 4]");
PROGRAM_64(truncated_lea_64, "mov rax, [rbx]\n lea ebx, [rbx + 4]\n mov rcx, [rbx]\n mov rdx, [rdi]\n"
                             "lea di, [rdi + 4]\n mov rdx, [rdi]");
PROGRAM_64(loaded_base_64, "mov r12, rsi\n mov [rdi], rbx\n mov rax, [rdi]\n mov rdi, [rdi]\n mov rcx, [rdi]\n"
                           "mov [rsi], r12\n mov rdx, [rsi]\n pop rsi\n mov rdx, [rsi + 8]\n xchg rsi, rdi\n mov rcx, [rsi]");
PROGRAM_64(other_base_64, "mov rax, [rsi]\n mov rsi, rdi\n mov rcx, [rsi]\n lea rsi, [rbp + 8]\n mov rdx, [rsi]\n"
                          "mov [rsp - 8], rbx\n mov [rsp - 16], rdi\n mov rsi, [rbp]\n mov rcx, [rbp + 8]\n mov rbp, [rsp - 8]\n"
                          "mov rdx, [rbp]\n mov r12, [rsp - 16]\n cmp r12, rdi\n mov rcx, [rbp]\n cmove rbp, r12\n mov rcx, [rbp]\n"
                          "mov rax, rsp\n mov rdx, [rax]\n xchg rax, rbp\n mov rdx, [rax]\n cmpxchg [rsp - 8], rbx\n mov rdx, [rax]\n"
                          "mov rax, rsp\n mov rdx, [rax]\n mov ecx, 1\n mov rax, rdi\n mul rcx\n mov rdx, [rax]\n and rbp, rdi\n mov rdx, [rbp]");
PROGRAM_64(implicit_64, "mov rax, rsi\n mov rbx, [rax]\n mov ecx, 1\n mul rcx\n mov rbx, [rax]\n"
                        "mov rdx, [rdi]\n cdq\n mov ebp, [rax]\n mov rax, rsi\n mov rdx, [rax]\n"
                        "cmpxchg [rsi], rdi\n mov rbx, [rax]\n mov rdx, [rsi]\n mov ecx, 3\n rep movsb\n"
                        "mov rdx, [rsi]\n lodsq\n mov [rdi], rax\n mov rax, rdi\n xlatb\n mov rbx, [rdi]");
PROGRAM_64(runs_64, "mov rax, [rsi]\n mov rcx, [rsi + 8]\n mov rdx, [rsi + 0x800]\n mov rbx, [rsi + 0xff8]\n"
                    "mov r12, [rsi - 0x800]\n mov r13, [rsi + 4]\n mov [rsi + 0x801], r14\n mov r14, [rsi]\n"
                    "add [rsi + 0x10], rax\n mov ebp, [rsi + 0x18]\n mov [rsi + 0x900], rbp");
PROGRAM_64(flags_64, "cmp rax, rcx\n mov rdx, [rsi]\n setb dl\n add eax, ecx\n mov [rdi], rdx\n sets bl\n"
                     "inc rax\n mov rcx, [rsi + 8]\n adc ecx, 1\n shl rcx, 1\n mov [rsi], rcx\n adc rcx, rcx\n"
                     "sub ecx, edx\n adc qword ptr [rdi], 3\n sbb rdx, [rsi]\n dec ecx\n sbb byte ptr [rsi], 1\n"
                     "stc\n inc dword ptr [rdi + 4]\n adc rax, 0\n xor ecx, ecx\n push rax\n cmovz rax, [rsi]\n pop rbx\n jz 1f\n nop\n1: nop");
PROGRAM_64(pushf_64, "push rax\n pushfq\n pop rcx\n stc\n push rbx\n pushfq\n pop rdx\n push rdx\n popfq\n push rcx\n pushfw\n pop bx\n pop rdx");
PROGRAM_64(x87_between_64, "mov rax, [rsi]\n fld qword ptr [rsi]\n push rax\n pop rbx\n call 1f\n jmp 2f\n"
                           "1: fld1\n pop rdx\n push rdx\n ret\n2: fnop\n mov rdx, [rdi]\n fstp qword ptr [rdi]");
PROGRAM_64(address_32_64, "mov rax, [esi]\n mov ecx, [edi + r8d*4]\n mov [ebx - 8], dl\n push [esi]\n add dword ptr [edi], 3");
PROGRAM_64(rbp_64, "mov rax, [rbp]\n mov [rbp + 8], rcx\n add dword ptr [rbp - 4], 9\n mov rdx, [rbp + r8*8]\n leave");

#define P64(name, ...) {#name, name##_64_start, name##_64_end, .code_64 = true, __VA_ARGS__}
static const struct program programs_64[] = {
    P64(loads, .stays = true), P64(stores, .stays = true), P64(rmw, .stays = true),
    P64(stack), P64(calls), P64(disp, .stays = true), P64(far_disp, .stays = true),
    P64(index), P64(rip, .stays = true), P64(moffs, .wanders = true), P64(fs_gs, .stays = true),
    P64(words, .stays = true, .undefined = F_ARITH), P64(high, .stays = true),
    P64(memory_registers), P64(locked, .undefined = F_ARITH),
    P64(bits, .undefined = F_ARITH), P64(sse), P64(sha, .undefined = F_AF | F_PF), P64(x87), P64(bmi, .undefined = F_AF | F_PF),
    P64(moved_base, .one_window = true), P64(truncated_base, .one_window = true), P64(truncated_lea, .one_window = true), P64(other_base, .undefined = F_SF | F_ZF | F_AF | F_PF), P64(loaded_base, .wanders = true),
    P64(implicit, .wanders = true, .undefined = F_ARITH), P64(runs), P64(flags, .undefined = F_AF), P64(address_32, .one_window = true), P64(pushf), P64(x87_between),
    P64(rbp),
};

Test(translate_window, operands_of_64_bit_code)
{
    run_programs(programs_64, ARRAY_LENGTH(programs_64), 88172645463325252);
}

PROGRAM_32(loads_32, "mov eax, [esi]\n mov ebx, [esi + 4]\n movzx ecx, word ptr [edi + 2]\n"
                     "movsx edx, byte ptr [esi + 7]\n mov bp, [edi - 1]\n mov edx, es:[esi]");
PROGRAM_32(stores_32, "mov [esi], eax\n mov [esi + 4], ecx\n mov [edi - 6], dx\n mov [edi + 9], al\n"
                      "mov dword ptr [esi + 12], -3\n mov byte ptr [ebx], 7\n mov word ptr [ebx + 1], 99");
PROGRAM_32(rmw_32, "add [esi], eax\n adc dword ptr [esi + 4], ecx\n sbb byte ptr [edi], dl\n"
                   "inc dword ptr [ebx]\n dec word ptr [esi + 2]\n neg dword ptr [edi]\n not byte ptr [ebx + 3]\n"
                   "xor [esi], ax\n cmp [esi], eax\n adc eax, [edi]\n cmp byte ptr [ebx], 3\n sbb ecx, [esi]");
PROGRAM_32(stack_32, "push eax\n push 5\n pop ecx\n push esp\n pop edx\n push [esi]\n pop ebx\n push cx\n pop dx\n"
                     "mov ebx, [esp + 4]\n mov [esp - 8], ebx\n push ds\n pop eax\n pusha\n popa\n"
                     "push ebp\n mov ebp, esp\n sub esp, 16\n leave\n pop esp");
PROGRAM_32(calls_32, "call 1f\n mov edx, 5\n jmp 4f\n"
                     "1: push ebp\n mov ebp, esp\n mov [ebp - 16], eax\n sub esp, 32\n push edx\n leave\n ret\n4: nop");
PROGRAM_32(segments_32, "mov eax, [esi]\n mov ecx, gs:[0x10]\n mov [edi], ecx\n mov gs:[0x20], eax\n mov edx, fs:0\n"
                        "mov ebx, [esi + 4]\n add fs:[0x30], ebx\n mov eax, cs:[esi]\n mov edx, [esi]\n mov gs:[0x7fe], dx\n"
                        "cmp eax, ecx\n setb byte ptr gs:[0x40]\n adc gs:[0x44], eax\n cmovs edx, fs:[0x31]\n stc\n"
                        "inc dword ptr gs:[0x48]\n sbb ebx, gs:[0x4c]\n rcl dword ptr fs:[0x50], 1");
PROGRAM_32(bits_32, "mov eax, [esi]\n bt [edi], ecx\n adc eax, eax\n mov ecx, [esi]\n and ecx, 63\n mov eax, [esi]\n"
                    "bts [edi], ecx\n mov eax, [esi]\n btr dword ptr [edi], 3\n mov edx, [esi]");
PROGRAM_32(index_32, "mov eax, [esi + 8]\n and eax, 15\n mov ecx, [esi + eax*4]\n mov [edi + eax], cl\n"
                     "mov edx, [eax*4 + 0x201100]\n mov edx, ds:0x201ffe\n mov ds:0x200fff, ax\n mov ebx, [ebp + eax*2]");
PROGRAM_32(ends_32, "mov ecx, esi\n sub ecx, 0x7fffff00\n mov eax, [ecx + 0x7fffff00]\n mov edx, esi\n neg edx\n"
                    "mov eax, [esi]\n mov ebx, edi\n add ebx, 0x7f\n mov edx, [ebx - 0x7f]\n mov eax, -8\n mov ebx, [esi]\n"
                    "mov ecx, [edi + 0x10]\n mov ecx, [eax + 16]");
PROGRAM_32(moved_32, "mov eax, [esi]\n add esi, 8\n mov ecx, [esi]\n mov esi, edi\n mov edx, [esi]\n lea edi, [esi + 4]\n"
                     "mov [edi], eax\n mov eax, esi\n mov ecx, 1\n mul ecx\n mov ebx, [eax]\n cmpxchg [esi], edi\n mov edx, [edi]\n"
                     "lods eax, [esi]\n mov [edi], eax\n mov edi, [edi]\n mov eax, [edi]");
PROGRAM_32(flags_32, "cmp eax, ecx\n mov edx, [esi]\n setb dl\n add eax, ecx\n mov [edi], edx\n sets bl\n inc eax\n"
                     "mov ecx, [esi + 8]\n adc ecx, 1\n sub ecx, edx\n adc dword ptr [edi], 3\n sbb edx, [esi]\n dec ecx\n"
                     "sbb byte ptr [esi], 1\n stc\n inc dword ptr [edi + 4]\n adc eax, 0\n push eax\n cmovz eax, [esi]\n pop ebx");
PROGRAM_32(locked_32, "lock add [esi], eax\n xchg [esi], ecx\n lock xadd [esi], edx\n lock cmpxchg [edi], ecx\n xchg [esi], dl\n"
                      "lock cmpxchg8b [ebx]\n mov ah, [esi]\n mov [edi], bh\n mov eax, [esi]");
PROGRAM_32(vectors_32, "movups xmm0, [esi]\n movaps xmm1, [edi]\n movdqu [esi + 1], xmm2\n fninit\n fld qword ptr [esi]\n"
                       "fstp dword ptr [edi]\n mov eax, [esi]\n andn eax, ecx, [esi]\n fild dword ptr gs:[0x20]\n fistp dword ptr [edi]");

PROGRAM_32(pushf_32, "push eax\n pushfd\n pop ecx\n stc\n push ebx\n pushfd\n pop edx\n push edx\n popfd\n push ecx\n pushfw\n pop bx\n push gs\n pop edx");
PROGRAM_32(x87_between_32, "mov eax, [esi]\n fld qword ptr [esi]\n push eax\n pop ebx\n call 1f\n jmp 2f\n"
                           "1: fld1\n pop edx\n push edx\n ret\n2: mov edx, [edi]\n fstp qword ptr [edi]");

#define P32(name, ...) {#name, name##_32_start, name##_32_end, __VA_ARGS__}
static const struct program programs_32[] = {
    P32(loads, .stays = true), P32(stores, .stays = true), P32(rmw, .stays = true),
    P32(stack, .wanders = true), P32(calls), P32(segments, .stays = true, .undefined = F_OF),
    P32(bits, .undefined = F_ARITH), P32(index), P32(ends, .wanders = true),
    P32(moved, .wanders = true, .undefined = F_ARITH), P32(flags), P32(pushf), P32(x87_between), P32(locked), P32(vectors, .undefined = F_AF | F_PF),
};

Test(translate_window, operands_of_32_bit_code)
{
    run_programs(programs_32, ARRAY_LENGTH(programs_32), 2685821657736338717);
}

/* --- the delta of a base that has moved */

PROGRAM_64(moves_64, "mov rax, [rsi]\n lea esi, [esi + 0x200000]\n mov rcx, [rsi]\n mov [rsi + 8], rax\n mov rdx, [rsi + 16]");

/* What is cut to 32 bits lies in another window, however small the change. */
Test(translate_window, a_base_that_is_cut_has_another_window)
{
    static const struct program program = P64(moves, .stays = true);
    struct pair pair;
    pair_init(&pair);
    load(&pair, &program);
    const struct translator *translator = translator_of(pair.translated.rig.cpu);
    struct start start = plain_start(true);
    cr_assert(run(&pair, &start, false));
    start.place = 2;
    start.regs[RSI] = places[2] + PAGE_BYTES + 0x200;
    for (unsigned i = 0; i < 4; i++)
        cr_assert(run(&pair, &start, false));
    const uint64_t faults = translator->count.window_faults;
    start.keeps_pages = true;
    for (unsigned i = 0; i < 10; i++)
        cr_assert(run(&pair, &start, false));
    cr_expect_eq(translator->count.window_faults, faults);
    cr_expect_eq(translator->count.adapted, 0);
    pair_free(&pair);
}

/* One fault in the middle of a run of accesses costs no more than itself: what the slow path destroys
 * is there again. */
Test(translate_window, a_run_of_accesses_goes_on_after_a_fault)
{
    static const struct program program = P64(runs, .stays = true);
    struct pair pair;
    pair_init(&pair);
    load(&pair, &program);
    const struct translator *translator = translator_of(pair.translated.rig.cpu);
    struct start start = plain_start(true);
    for (unsigned i = 0; i < 4; i++)
        cr_assert(run(&pair, &start, true));
    for (unsigned absent = 1; absent < 3; absent++) {
        start.pages[absent] = ABSENT;
        const uint64_t faults = translator->count.window_faults;
        cr_assert(run(&pair, &start, true));
        start.pages[absent] = PLAIN;
        /* each of three pages is put in, one of them after the guest's fault */
        cr_expect_eq(translator->count.window_faults - faults, 4, "%llu",
                     (unsigned long long)(translator->count.window_faults - faults));
    }
    pair_free(&pair);
}

/* --- flags that are only in EFLAGS when an access faults */

struct flags_case {
    struct program program;
    uint32_t flags; /* in the frame of the first fault */
};

/* rsi: an absent page; rdi: one that is read-only */
PROGRAM_64(cmp_load_64, "mov eax, 5\n cmp eax, 5\n mov rcx, [rsi]");
PROGRAM_64(add_load_64, "mov eax, -1\n add eax, 1\n mov rcx, [rsi]\n adc ecx, ecx");
PROGRAM_64(inc_store_64, "mov eax, 0x7fffffff\n stc\n inc eax\n mov [rdi], eax\n adc ecx, ecx");
PROGRAM_64(shl_store_64, "mov eax, 0xc0000000\n shl eax, 1\n mov [rdi], eax\n adc ecx, ecx");
PROGRAM_64(sub_push_64, "mov eax, 3\n sub eax, 5\n mov rsp, rsi\n push rax\n sbb ecx, ecx");
PROGRAM_64(sub_pop_64, "mov eax, 3\n sub eax, 5\n mov rsp, rsi\n pop rax\n sbb ecx, ecx");
PROGRAM_64(sub_call_64, "mov eax, 3\n sub eax, 5\n mov rsp, rdi\n call 1f\n1: sbb ecx, ecx");
PROGRAM_64(sub_ret_64, "mov eax, 3\n sub eax, 5\n mov rsp, rsi\n ret");
PROGRAM_64(adc_memory_64, "mov eax, 3\n sub eax, 5\n adc dword ptr [rdi], 1\n adc ecx, ecx");
PROGRAM_64(sbb_memory_64, "mov eax, 1\n cmp eax, 1\n stc\n sbb [rdi], rax\n sbb ecx, ecx");
PROGRAM_64(inc_memory_64, "mov eax, 3\n sub eax, 5\n inc dword ptr [rdi]\n adc ecx, ecx");
PROGRAM_64(cmp_memory_64, "mov eax, 3\n sub eax, 5\n cmp [rsi], eax\n jz 1f\n nop\n1: sbb ecx, ecx");
PROGRAM_64(add_memory_64, "mov eax, -1\n add eax, 1\n add [rdi], eax\n sete cl");
PROGRAM_64(xchg_memory_64, "mov eax, 3\n sub eax, 5\n xchg [rdi], ecx\n sbb edx, edx");
PROGRAM_64(cmov_memory_64, "mov eax, 3\n sub eax, 5\n cmovc ecx, [rsi]\n sbb edx, edx");
PROGRAM_64(vector_load_64, "mov eax, 3\n sub eax, 5\n movups xmm0, [rsi]\n sbb edx, edx");
PROGRAM_64(memory_flags_64, "mov eax, 3\n sub eax, 5\n mov r10, [rsi]\n sbb edx, edx");
PROGRAM_64(bts_memory_64, "mov eax, 3\n sub eax, 5\n bts [rdi], ecx\n sbb edx, edx");
PROGRAM_32(cmp_load_32, "mov eax, 5\n cmp eax, 5\n mov ecx, [esi]");
PROGRAM_32(adc_memory_32, "mov eax, 3\n sub eax, 5\n adc dword ptr [edi], 1\n adc ecx, ecx");
PROGRAM_32(sub_push_32, "mov eax, 3\n sub eax, 5\n mov esp, esi\n push eax\n sbb ecx, ecx");
PROGRAM_32(segment_32, "mov eax, 3\n sub eax, 5\n mov gs:[0x10], ecx\n sbb edx, edx");

enum { FLAGS_OF_3_SUB_5 = F_CF | F_AF | F_SF };
static const struct flags_case flags_cases[] = {
    {P64(cmp_load), F_ZF | F_PF},
    {P64(add_load), F_ZF | F_PF | F_AF | F_CF},
    {P64(inc_store), F_OF | F_SF | F_AF | F_PF | F_CF},
    {P64(shl_store, .undefined = F_AF), F_CF | F_SF | F_PF},
    {P64(sub_push), FLAGS_OF_3_SUB_5},
    {P64(sub_pop), FLAGS_OF_3_SUB_5},
    {P64(sub_call), FLAGS_OF_3_SUB_5},
    {P64(sub_ret), FLAGS_OF_3_SUB_5},
    {P64(adc_memory), FLAGS_OF_3_SUB_5},
    {P64(sbb_memory), F_ZF | F_PF | F_CF},
    {P64(inc_memory), FLAGS_OF_3_SUB_5},
    {P64(cmp_memory), FLAGS_OF_3_SUB_5},
    {P64(add_memory), F_ZF | F_PF | F_AF | F_CF},
    {P64(xchg_memory), FLAGS_OF_3_SUB_5},
    {P64(cmov_memory), FLAGS_OF_3_SUB_5},
    {P64(vector_load), FLAGS_OF_3_SUB_5},
    {P64(memory_flags), FLAGS_OF_3_SUB_5},
    {P64(bts_memory, .undefined = F_OF | F_SF | F_AF | F_PF), FLAGS_OF_3_SUB_5},
    {P32(cmp_load), F_ZF | F_PF},
    {P32(adc_memory), FLAGS_OF_3_SUB_5},
    {P32(sub_push), FLAGS_OF_3_SUB_5},
    {P32(segment), FLAGS_OF_3_SUB_5},
};

Test(translate_window, a_fault_has_the_flags_that_are_only_in_the_processor)
{
    struct pair pair;
    pair_init(&pair);
    for (unsigned n = 0; n < ARRAY_LENGTH(flags_cases); n++) {
        const struct flags_case *c = &flags_cases[n];
        load(&pair, &c->program);
        struct start start = plain_start(c->program.code_64);
        start.regs[RSI] = places[0] + PAGE_BYTES + 0x100;
        start.regs[RDI] = start.gs_base = places[0] + 2 * PAGE_BYTES + 0x100;
        for (unsigned pages = 0; pages < 8; pages++) {
            start.pages[1] = pages & 1 ? ABSENT : PLAIN;
            start.pages[2] = pages & 2 ? READ_ONLY : PLAIN;
            start.flags = pages & 4 ? F_ARITH : 0;
            cr_assert(run(&pair, &start, false), "%s", c->program.name);
            const struct frame frame = frame_of(&pair.translated);
            if (frame.words[0] == VECTOR_PF)
                cr_expect_eq((frame.words[4] ^ c->flags) & F_ARITH & ~c->program.undefined, 0,
                             "%s: flags %llx", c->program.name, (unsigned long long)frame.words[4]);
            else
                cr_expect_neq(pages & 3, 3, "%s", c->program.name);
            cr_assert(run(&pair, &start, true), "%s, and on", c->program.name);
        }
    }
    pair_free(&pair);
}

/* --- what comes between */

PROGRAM_64(changing_code_64, "mov ecx, 40\n"
                             "1: mov dword ptr [rdi], 0xc3c0ff\n call rdi\n mov byte ptr [rdi + 1], 0xc8\n call rdi\n"
                             "mov [rdi + 0x100], ecx\n add [rdi + 0x104], rax\n mov byte ptr [rdi + 1], 0xc0\n call rdi\n"
                             "mov rdx, [rdi]\n dec ecx\n jnz 1b");
PROGRAM_32(changing_code_32, "mov ecx, 40\n"
                             "1: mov dword ptr [edi], 0xc3c0ff\n call edi\n mov byte ptr [edi + 1], 0xc8\n call edi\n"
                             "mov [edi + 0x100], ecx\n mov edx, [edi]\n dec ecx\n jnz 1b");
PROGRAM_64(device_64, "mov ecx, 40\n1: mov eax, [rdi]\n add rdx, [rdi + 8]\n mov [rdi + 4], ecx\n mov rbx, [rsi]\n"
                      "dec ecx\n jnz 1b");

/* Accesses that no page in a window can serve go another way after some faults. */
Test(translate_window, code_that_is_written_and_devices_do_not_fault_for_ever)
{
    static const struct program programs[] = {
        P64(changing_code), P32(changing_code), P64(device)};
    struct pair pair;
    pair_init(&pair);
    const struct translator *translator = translator_of(pair.translated.rig.cpu);
    for (unsigned n = 0; n < ARRAY_LENGTH(programs); n++) {
        load(&pair, &programs[n]);
        struct start start = plain_start(programs[n].code_64);
        start.regs[RDI] = places[0] + 2 * PAGE_BYTES;
        start.pages[2] = n == 2 ? DEVICE : PLAIN;
        const uint64_t adapted = translator->count.adapted;
        uint64_t faults = 0;
        for (unsigned i = 0; i < 6; i++) {
            faults = translator->count.window_faults;
            cr_assert(run(&pair, &start, false), "%s", programs[n].name);
            start.keeps_pages = true;
        }
        cr_expect_gt(translator->count.adapted, adapted, "%s", programs[n].name);
        cr_expect_leq(translator->count.window_faults - faults, 2, "%s: %llu", programs[n].name,
                      (unsigned long long)(translator->count.window_faults - faults));
    }
    pair_free(&pair);
}

PROGRAM_64(touches_64, "mov rax, [rsi]\n mov [rsi + 1], eax\n add [rdi + 3], rcx\n mov rbx, [rbp + 1]");

/* A page that is in a window is there no more for who watches, or who wants alignment. */
Test(translate_window, watched_and_unaligned_accesses_trap)
{
    static const struct program program = P64(touches);
    struct pair pair;
    pair_init(&pair);
    load(&pair, &program);
    struct start start = plain_start(true);
    for (unsigned round = 0; round < 20; round++) {
        start.watched = round % 3 == 1 ? start.regs[RSI] + 2 : 0;
        start.alignment = round % 3 == 2;
        start.flags = start.alignment ? F_AC : 0;
        start.keeps_pages = round & 1;
        cr_assert(run(&pair, &start, false));
        const uint64_t vector = frame_of(&pair.translated).words[0];
        cr_expect_eq(vector, start.watched ? VECTOR_DB : start.alignment ? VECTOR_AC : VECTOR_BP,
                     "round %u: vector %llu", round, (unsigned long long)vector);
    }
    pair_free(&pair);
}

/* The host gives few mappings: windows are lost while code uses them. */
Test(translate_window, windows_are_lost_and_come_back)
{
    struct pair pair;
    pair_init(&pair);
    struct windows *windows = pair.translated.rig.cpu->mmu.windows;
    windows->options.max_areas = 6;
    struct random dice = {1234567};
    for (unsigned n = 0; n < ARRAY_LENGTH(programs_64); n++) {
        load(&pair, &programs_64[n]);
        for (unsigned i = 0; i < 40; i++) {
            const struct start start = random_start(&dice, true);
            cr_assert(run(&pair, &start, true), "%s", programs_64[n].name);
            const struct start spread = spread_start();
            cr_assert(run(&pair, &spread, false), "%s", programs_64[n].name);
        }
    }
    cr_expect_gt(windows->count.fills, 1000);
    cr_expect_leq(windows->count.areas, 6);
    pair_free(&pair);
}

/* --- several machines */

/* Each with data of its own, and a fault in each run. */
static bool run_and_again(struct pair *pair, struct random *dice, unsigned runs)
{
    for (unsigned i = 0; i < runs; i++) {
        struct start start = random_start(dice, true);
        if (!run(pair, &start, true))
            return false;
    }
    return true;
}

Test(translate_window, two_machines_in_one_thread)
{
    struct pair pairs[2];
    struct random dice = {42};
    for (unsigned i = 0; i < 2; i++) {
        pair_init(&pairs[i]);
        load(&pairs[i], &programs_64[i]);
        fill_data(&pairs[i].interpreted, i + 7);
        fill_data(&pairs[i].translated, i + 7);
    }
    for (unsigned i = 0; i < 300; i++)
        cr_assert(run_and_again(&pairs[i & 1], &dice, 1));
    for (unsigned i = 0; i < 2; i++) {
        cr_expect_gt(translator_of(pairs[i].translated.rig.cpu)->count.window_faults, 100);
        pair_free(&pairs[i]);
    }
}

struct thread_run {
    pthread_t thread;
    struct pair pair;
    struct random dice;
    bool ok;
};

static void *thread_runs(void *opaque)
{
    struct thread_run *of = opaque;
    of->ok = run_and_again(&of->pair, &of->dice, 1000);
    return NULL;
}

Test(translate_window, two_machines_in_two_threads)
{
    static struct thread_run runs[2];
    for (unsigned i = 0; i < 2; i++) {
        pair_init(&runs[i].pair);
        load(&runs[i].pair, &programs_64[2 + i]);
        runs[i].dice = (struct random){i + 99};
    }
    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(pthread_create(&runs[i].thread, NULL, thread_runs, &runs[i]), 0);
    for (unsigned i = 0; i < 2; i++) {
        pthread_join(runs[i].thread, NULL);
        cr_expect(runs[i].ok);
        cr_expect_gt(translator_of(runs[i].pair.translated.rig.cpu)->count.window_faults, 100);
        pair_free(&runs[i].pair);
    }
}

/* --- faults that are no misses */

/* How a child ends that does `act` after windows have been used. */
static int status_after(struct pair *pair, void (*act)(void))
{
    const pid_t child = fork();
    if (!child) {
        const struct start start = plain_start(true);
        if (!run(pair, &start, true))
            _exit(99);
        act();
        _exit(98);
    }
    int status = 0;
    cr_assert_eq(waitpid(child, &status, 0), child);
    return status;
}

static void read_nothing(void)
{
    volatile char *volatile nothing = NULL;
    (void)*nothing;
}

static void send_to_self(void)
{
    raise(SIGSEGV);
}

static void own_handler(int signal)
{
    _exit(42);
}

static void check_ends(bool by_handler)
{
    static const struct program program = P64(loads);
    struct pair pair;
    signal(SIGSEGV, by_handler ? own_handler : SIG_DFL); /* before windows are first used */
    pair_init(&pair);
    load(&pair, &program);
    for (unsigned i = 0; i < 2; i++) {
        const int status = status_after(&pair, i ? send_to_self : read_nothing);
        if (by_handler)
            cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 42, "%x", (unsigned)status);
        else
            cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV, "%x", (unsigned)status);
    }
    pair_free(&pair);
}

Test(translate_window, a_fault_elsewhere_kills)
{
    check_ends(false);
}

Test(translate_window, a_fault_elsewhere_goes_to_who_was_there_before)
{
    check_ends(true);
}
