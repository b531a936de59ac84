/* Code that changes code: each program is run twice, translated and one instruction at a time by
 * the interpreter, from the same state in every mode; registers, flags and all of memory must
 * agree.
 *
 * Programs lie at 5000h and may use 5000h..7fffh for code and 8000h..dfffh for data; the stack ends
 * at f000h.  Segments are such that these are linear addresses in every mode.  ROUNDS is in EBP.
 */
#ifndef TESTS_SMC_RIG_H
#define TESTS_SMC_RIG_H

#include "cpu/flags.h"
#include "softmmu/mmu.h"
#include "tests/rig.h"
#include "translate/translated.h"

enum smc_mode { SMC_REAL, SMC_SEGMENTED, SMC_FLAT, SMC_LONG, SMC_MODES };
static const char *const smc_mode_names[] = {"real mode", "32-bit, not flat", "32-bit", "64-bit"};

enum {
    SMC_CODE = 0x5000,
    SMC_DATA = 0x9000,
    SMC_STACK = 0xf000,
    SMC_TABLE = 0x1b000, /* 32-bit page table of the first 4 MiB, for SMC_FLAT */
    SMC_ROUNDS = 40,
    SMC_STEPS_MAX = 2000000,
    SMC_PORT = 0x300,
};

/* The linear address of a local label. */
#define HERE(label) "0x5000 + " label " - 77b"
/* The program in 16-, 32- and 64-bit code.  TEXT(R): R is the prefix of a register as wide as an
 * address, "", "e", "r". 77 labels its start; the next pages begin at PAGE_2 and PAGE_3. */
#define PAGE_2 ".org 77b + 0x1000\n"
#define PAGE_3 ".org 77b + 0x2000\n"
#define SMC_PROGRAM(name, TEXT)                                                                    \
    GUEST_CODE(name##_16, ".code16\n77:\n" TEXT(""));                                              \
    GUEST_CODE(name##_32, ".code32\n77:\n" TEXT("e"));                                             \
    GUEST_CODE(name##_64, ".code64\n77:\n" TEXT("r"));                                             \
    static const struct smc_program name = {                                                       \
        #name,                                                                                     \
        {name##_16_start, name##_32_start, name##_32_start, name##_64_start},                      \
        {name##_16_end, name##_32_end, name##_32_end, name##_64_end}}
/* The same without 16-bit code. */
#define SMC_PROGRAM_WIDE(name, TEXT)                                                               \
    GUEST_CODE(name##_32, ".code32\n77:\n" TEXT("e"));                                             \
    GUEST_CODE(name##_64, ".code64\n77:\n" TEXT("r"));                                             \
    static const struct smc_program name = {                                                       \
        #name,                                                                                     \
        {NULL, name##_32_start, name##_32_start, name##_64_start},                                 \
        {NULL, name##_32_end, name##_32_end, name##_64_end}}

struct smc_program {
    const char *name;
    const uint8_t *start[SMC_MODES], *end[SMC_MODES];
};

/* What a test adds to a run; anything may be 0. */
struct smc_run {
    unsigned threshold; /* of the translator */
    size_t cache_bytes;
    unsigned rounds;
    bool no_count; /* instructions are not compared: repetitions count as one */
    /* on every port access, in both rigs */
    uint32_t (*port)(struct rig *rig, unsigned access, uint32_t value);
    void (*prepare)(struct rig *rig, enum smc_mode mode);
};

struct smc_pair {
    struct rig translated, stepped;
    const struct smc_run *run;
    unsigned accesses[2];
    /* of the translated run */
    uint64_t entered, translations, killed, decoded, patched, code_writes, evictions, links, lost,
        cooled, links_other, unlinks;
};

static struct smc_pair *smc_pair; /* of the running test */

static uint32_t smc_port(void *machine, uint32_t value)
{
    struct rig *rig = machine;
    if (!smc_pair->run->port)
        return UINT32_MAX;
    return smc_pair->run->port(rig, smc_pair->accesses[rig == &smc_pair->stepped]++, value);
}
static uint32_t smc_port_read(void *machine, struct cpu *cpu, uint16_t port, unsigned size)
{
    return smc_port(machine, 0);
}
static void smc_port_write(void *machine, struct cpu *cpu, uint16_t port, unsigned size,
                           uint32_t value)
{
    smc_port(machine, value);
}

static inline struct segment smc_segment(uint64_t base, uint32_t limit, unsigned type)
{
    return (struct segment){.base = base,
                            .limit = limit,
                            .selector = 0x10,
                            .attributes = (uint16_t)(SEG_G | SEG_DB | SEG_P | SEG_S | type)};
}

/* 32-bit paging, one to one, but that 30000h shows what lies at 5000h. */
static inline void smc_flat(struct rig *rig)
{
    struct cpu *cpu = rig->cpu;
    for (uint32_t page = 0; page < RIG_RAM_BYTES; page += PAGE_BYTES) {
        uint32_t entry = page | 0x67;
        physmem_write(&rig->physmem, GPA(SMC_TABLE + page / 1024), &entry, 4);
    }
    uint32_t directory = SMC_TABLE | 0x67;
    physmem_write(&rig->physmem, GPA(0x1a000), &directory, 4);
    mmu_set_cr3(&cpu->mmu, 0x1a000, false);
    mmu_set_cr0(&cpu->mmu, CR0_PG | CR0_WP | CR0_PE | CR0_NE | CR0_ET);
    for (unsigned seg = ES; seg <= GS; seg++)
        cpu->segs[seg] = smc_segment(0, UINT32_MAX, seg == CS ? 0xb : 3);
}

static inline void smc_segmented(struct rig *rig)
{
    struct cpu *cpu = rig->cpu;
    mmu_set_cr0(&cpu->mmu, CR0_PE | CR0_NE | CR0_ET);
    for (unsigned seg = ES; seg <= GS; seg++)
        cpu->segs[seg] = smc_segment(0, 0x3fffff, seg == CS ? 0xb : 3);
}

static inline uint64_t smc_pte(enum smc_mode mode, uint64_t linear)
{
    return mode == SMC_LONG ? rig_pte(linear) : SMC_TABLE + linear / 1024;
}

static inline void smc_enter(struct rig *rig, enum smc_mode mode)
{
    struct cpu *cpu = rig->cpu;
    mmu_set_cr4(&cpu->mmu, CR4_OSFXSR | CR4_OSXMMEXCPT);
    if (mode == SMC_REAL)
        rig_real(rig, SMC_CODE);
    else if (mode == SMC_SEGMENTED)
        smc_segmented(rig);
    else if (mode == SMC_FLAT)
        smc_flat(rig);
    else
        rig_long(rig, SMC_CODE, 0);
    cpu->eflags = 2;
    flags_set_arithmetic(cpu, 0);
    memset(cpu->regs, 0, sizeof cpu->regs);
    memset(cpu->xmm, 0, sizeof cpu->xmm);
    cpu->regs[RSP] = SMC_STACK;
    cpu->regs[RBP] = smc_pair->run->rounds ? smc_pair->run->rounds : SMC_ROUNDS;
    cpu->regs[RDX] = SMC_PORT;
    cpu->rip = SMC_CODE;
    cpu->halted = false;
    cpu_mode_changed(cpu);
}

static inline void smc_prepare(struct rig *rig, const struct smc_program *program,
                               enum smc_mode mode)
{
    static struct cpu_ops ops;
    ops = rig_ops;
    ops.port_read = smc_port_read;
    ops.port_write = smc_port_write;
    rig_init(rig);
    rig->cpu->ops = &ops;
    physmem_write(&rig->physmem, GPA(SMC_CODE), program->start[mode],
                  (size_t)(program->end[mode] - program->start[mode]));
    smc_enter(rig, mode);
    if (smc_pair->run->prepare)
        smc_pair->run->prepare(rig, mode);
}

static inline void smc_count(struct smc_pair *pair)
{
    const struct cpu *cpu = pair->translated.cpu;
    const struct translator *translator = translator_of(cpu);
    pair->entered = cpu->native.entered;
    pair->translations = translator->count.translated;
    pair->killed = cpu->count.blocks_killed;
    pair->lost = translator->count.killed;
    pair->cooled = translator->cooling.cooled;
    pair->decoded = cpu->count.blocks_decoded;
    pair->patched = cpu->count.blocks_patched;
    pair->code_writes = cpu->count.code_writes;
    pair->evictions = translator->cache.count.evictions;
    pair->links = translator->count.links;
    pair->links_other = translator->count.links_other;
    pair->unlinks = translator->count.unlinks;
}

static inline void smc_compare(struct smc_pair *pair, const char *name, enum smc_mode mode)
{
    const struct cpu *a = pair->translated.cpu, *b = pair->stepped.cpu;
    const char *where = smc_mode_names[mode];
    unsigned threshold = pair->run->threshold;
    for (unsigned reg = RAX; reg <= R15; reg++)
        cr_assert_eq(a->regs[reg], b->regs[reg],
                     "%s, %s, threshold %u: register %u is %llx, not %llx", name, where, threshold,
                     reg, (unsigned long long)a->regs[reg], (unsigned long long)b->regs[reg]);
    cr_assert_eq(a->rip, b->rip, "%s, %s: rip is %llx, not %llx", name, where,
                 (unsigned long long)a->rip, (unsigned long long)b->rip);
    cr_assert_eq(a->eflags, b->eflags, "%s, %s: eflags", name, where);
    cr_assert_eq(flags_arithmetic(a), flags_arithmetic(b), "%s, %s: flags", name, where);
    cr_assert(!memcmp(a->xmm, b->xmm, sizeof a->xmm), "%s, %s: xmm", name, where);
    cr_assert(!memcmp(a->count.exceptions, b->count.exceptions, sizeof a->count.exceptions),
              "%s, %s: exceptions", name, where);
    if (!pair->run->no_count)
        cr_assert_eq(a->instructions, b->instructions,
                     "%s, %s, threshold %u: %llu instructions, not %llu", name, where, threshold,
                     (unsigned long long)a->instructions, (unsigned long long)b->instructions);
    for (uint64_t page = 0; page < RIG_RAM_BYTES; page += PAGE_BYTES) {
        uint8_t bytes[2][PAGE_BYTES];
        physmem_read(&pair->translated.physmem, GPA(page), bytes[0], PAGE_BYTES);
        physmem_read(&pair->stepped.physmem, GPA(page), bytes[1], PAGE_BYTES);
        cr_assert(!memcmp(bytes[0], bytes[1], PAGE_BYTES), "%s, %s: memory at %llx", name, where,
                  (unsigned long long)page);
    }
}

/* Runs the program in one mode, and compares. */
static inline void smc_run(struct smc_pair *pair, const struct smc_program *program,
                           enum smc_mode mode, const struct smc_run *run)
{
    struct error error;
    const struct translate_options options = {
        .threshold = run->threshold, .cache_bytes = run->cache_bytes, .count = true};
    *pair = (struct smc_pair){.run = run};
    smc_pair = pair;
    smc_prepare(&pair->translated, program, mode);
    smc_prepare(&pair->stepped, program, mode);
    cr_assert_eq(translator_attach(pair->translated.cpu, &options, &error), 0, "%s", error.text);
    enum cpu_exit how = CPU_EXIT_KICKED;
    for (unsigned step = 0; how == CPU_EXIT_KICKED && step < SMC_STEPS_MAX; step++)
        how = cpu_step(pair->stepped.cpu);
    cr_assert_eq(how, CPU_EXIT_HALTED, "%s, %s: ends by %d at %llx", program->name,
                 smc_mode_names[mode], how, (unsigned long long)pair->stepped.cpu->rip);
    how = cpu_run(pair->translated.cpu);
    cr_assert_eq(how, CPU_EXIT_HALTED, "%s, %s: ends by %d at %llx when translated", program->name,
                 smc_mode_names[mode], how, (unsigned long long)pair->translated.cpu->rip);
    smc_count(pair);
    cr_assert(run->threshold != 1 || pair->entered, "%s, %s: nothing was translated", program->name,
              smc_mode_names[mode]);
    smc_compare(pair, program->name, mode);
    translator_detach(pair->translated.cpu);
    rig_free(&pair->translated);
    rig_free(&pair->stepped);
}

/* In all modes from `first` on, with the lowest threshold and the default one. */
static inline void smc_run_all(const struct smc_program *program, const struct smc_run *run,
                               enum smc_mode first)
{
    static struct smc_pair pair;
    static const unsigned thresholds[] = {1, 2, 0};
    for (enum smc_mode mode = first; mode < SMC_MODES; mode++)
        for (unsigned i = 0; i < ARRAY_LENGTH(thresholds); i++) {
            struct smc_run with = *run;
            with.threshold = thresholds[i];
            smc_run(&pair, program, mode, &with);
        }
}

#endif
