/* Random programs of every row of the table, translated and interpreted in lockstep, in every mode.
 *
 * RING3_INSTRUCTIONS=n in the environment sets how many instructions are compared, RING3_FIRST=n
 * the first program: each follows from its number alone.
 */
#include "machine/lockstep.h"
#include "tests/fuzz_state.h"
#include "translate/engine.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    INSTRUCTIONS = 1000000,
    ROUNDS = 100,    /* runs of a program, each with other registers */
    TURNS_MAX = 300, /* in a round: more is a loop */
    REPORT_MAX = 5,
};

static struct rig rig;
static struct lockstep *lockstep;
static uint64_t turns;

static uint64_t random_tsc(void *machine, struct cpu *cpu)
{
    static uint64_t reads;
    return 1000 * ++reads;
}
static const struct cpu_ops random_ops = {
    FUZZ_OPS,
    .tsc = random_tsc,
};

static void end_loops(void *opaque, struct cpu *leader, uint64_t turn)
{
    if (++turns > TURNS_MAX)
        cpu_kick(leader);
}

/* What a round leaves as the first found it, or there is no further one. */
struct start {
    struct mmu_registers registers;
    struct segment segs[SEG_COUNT];
    uint64_t rip;
    uint32_t flags_of_mode, mode;
    uint8_t cpl;
};

static struct start note_start(const struct cpu *cpu)
{
    struct start start = {.registers = cpu->mmu.registers,
                          .rip = cpu->rip,
                          .flags_of_mode = cpu->eflags & F_VM,
                          .mode = cpu->mode,
                          .cpl = cpu->cpl};
    memcpy(start.segs, cpu->segs, sizeof start.segs);
    return start;
}

static bool start_again(struct cpu *cpu, const struct start *start, struct random *dice,
                        enum fuzz_mode mode)
{
    if (memcmp(&cpu->mmu.registers, &start->registers, sizeof start->registers))
        return false;
    atomic_store(&cpu->lines, 0);
    mmu_flush_all(&cpu->mmu); /* a program may have written its tables, which the twin knows */
    memcpy(cpu->segs, start->segs, sizeof start->segs);
    cpu->cpl = start->cpl;
    cpu->rip = start->rip;
    cpu->halted = cpu->nmi_blocked = cpu->inhibit = cpu->inhibit_debug = false;
    set_registers(cpu, dice, mode);
    cpu->eflags = (cpu->eflags & ~(uint32_t)F_VM) | start->flags_of_mode;
    cpu_mode_changed(cpu);
    if (fuzz_chance(dice, 10)) {
        rig.interrupt_vector = 32 + (int)fuzz_pick(dice, 200);
        cpu_raise_line(cpu, LINE_INTR);
    }
    return !((cpu->mode ^ start->mode) & ~(uint32_t)MODE_WINDOW);
}

/* False at a difference. */
static bool run_program(uint64_t number, enum windows_use windows)
{
    struct random dice = {(number + 1) * UINT64_C(0x9e3779b97f4a7c15) | 1};
    uint64_t seed = random_next(&dice) | 1;
    enum fuzz_mode mode = seed >> 40 & (FUZZ_MODES - 1);
    struct fuzz_code code;
    prepare(&rig, seed, &code);
    if (windows == WINDOWS_ALWAYS)
        hide_tables(&rig);
    struct start start = note_start(rig.cpu);
    for (unsigned round = 0; round < ROUNDS; round++) {
        turns = 0;
        enum cpu_exit reason = lockstep_run(lockstep);
        if (lockstep_difference(lockstep)) {
            fprintf(stderr, "program %llu, %s, round %u\n", (unsigned long long)number,
                    mode_names[mode], round);
            return false;
        }
        if (reason == CPU_EXIT_SHUTDOWN || turns > TURNS_MAX ||
            !start_again(rig.cpu, &start, &dice, mode))
            break;
    }
    return true;
}

static uint64_t environment_number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 0) : otherwise;
}

static void begin(enum windows_use windows)
{
    const struct translate_options options = {
        .threshold = 2, .count = true, .windows = windows, .shared = windows == WINDOWS_OFF};
    static const struct lockstep_probe probe = {.leader_ran = end_loops};
    struct error error;
    rig_init(&rig);
    cpu_free(rig.cpu);
    cr_assert_eq(cpu_model_parse("max", &rig.model, &error), 0);
    rig.cpu = cpu_new(0, &rig.model, &rig.physmem, &random_ops, &rig);
    cr_assert_eq(translator_attach(rig.cpu, &options, &error), 0, "%s", error.text);
    cr_assert_eq(lockstep_new(&lockstep, rig.cpu, 0, stderr, &error), 0);
    lockstep_watch(lockstep, &probe);
}

static void end(void)
{
    lockstep_free(lockstep);
    translator_detach(rig.cpu);
    rig_free(&rig);
}

static void run_programs(enum windows_use windows)
{
    const uint64_t wanted = environment_number("RING3_INSTRUCTIONS", INSTRUCTIONS);
    uint64_t number = environment_number("RING3_FIRST", 0), compared = 0;
    unsigned differences = 0;
    begin(windows);
    while (compared < wanted && differences < REPORT_MAX) {
        const uint64_t before = lockstep_counts(lockstep)->instructions;
        bool agrees = run_program(number++, windows);
        compared += lockstep_counts(lockstep)->instructions - before;
        if (agrees)
            continue;
        differences++;
        end();
        begin(windows);
    }
    cr_expect_eq(differences, 0);
    cr_expect_not(lockstep_finish(lockstep), "%s", lockstep_difference(lockstep));
    printf("%llu programs, %llu instructions\n", (unsigned long long)number,
           (unsigned long long)compared);
    lockstep_summarise(lockstep);
    translator_describe(rig.cpu, stdout);
    end();
}

Test(lockstep_random, programs_in_all_modes_agree)
{
    run_programs(WINDOWS_OFF);
}

Test(lockstep_random, programs_agree_with_windows)
{
    run_programs(WINDOWS_ALWAYS);
}
