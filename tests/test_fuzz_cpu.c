/* Random programs in random states of every mode: nothing that a guest does may break the cpu's
 * invariants, and a program run in blocks (cpu_run) must end as the same program run one
 * instruction at a time (cpu_step).
 *
 * RING3_CASES=n in the environment sets the number of programs, RING3_FIRST=n the first of them:
 * each follows from its number alone.
 */
#include "tests/fuzz_state.h"

#include "translate/engine.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>

enum {
    CASES = 3000,
    REPORTS_MAX = 10,
    STEPS_MAX = 300000,
    TICK_US = 4000,
    TICKS_MAX = 3, /* a run longer than this is a loop: kicked */
};

static struct rig blocks, steps; /* the two that run the same program */
static uint64_t tsc_reads[2];
static struct cpu *volatile running;
static volatile unsigned ticks;
static unsigned failures;

static uint64_t fuzz_tsc(void *machine, struct cpu *cpu)
{
    return 1000 * ++tsc_reads[machine == &steps];
}
static const struct cpu_ops fuzz_ops = {
    FUZZ_OPS,
    .tsc = fuzz_tsc,
};

static void on_tick(int signal)
{
    if (running && ++ticks > TICKS_MAX)
        cpu_kick(running);
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
    if ((a->mode ^ b->mode) & ~(uint32_t)MODE_WINDOW)
        return "mode";
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
        /* A shift by 0 keeps all flags, which its row calls reading them; so do CMPS and SCAS that
         * are repeated 0 times. */
        bool keeps = ((row->flags_read & F_ARITH) == F_ARITH && row->flags_written & F_OF) ||
                     (row->attributes & A_REPZ && cpu->block->insns[0].rep);
        undefined->spread |= !keeps && undefined->flags & row->flags_read;
        undefined->spread |= undefined->flags && cpu->block->insns[0].row == OP_SYSCALL; /* R11 */
        if (keeps)
            undefined->flags |= row->flags_undefined & F_ARITH;
        else
            undefined->flags =
                (undefined->flags & ~row->flags_written) | (row->flags_undefined & F_ARITH);
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
    translator_describe(blocks.cpu, stdout);
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
    compare_blocks_with_steps(
        &(struct translate_options){.threshold = 1, .count = true, .windows = WINDOWS_OFF});
}

Test(fuzz_cpu, programs_end_alike_translated_with_windows_and_in_steps)
{
    compare_blocks_with_steps(
        &(struct translate_options){.threshold = 1, .count = true, .windows = WINDOWS_ALWAYS});
}
