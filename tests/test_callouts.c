/* Callouts are counted: each site once a translation, each run once, whichever way it takes. */
#include "tests/rig.h"
#include "translate/translated.h"

enum { ROUNDS = 50, CODE_AT = 0x20000, STACK_AT = 0x30000 };

GUEST_CODE(callouts, ".code64\n mov ecx, 50\n"
                     "1: cli\n pushfq\n popfq\n push fs\n pop rax\n sti\n nop\n mov eax, ds\n "
                     "swapgs\n swapgs\n smsw eax\n"
                     "rdtsc\n dec ecx\n jnz 1b\n hlt\n");

static const struct {
    unsigned row;
    uint64_t runs;
} expected[] = {
    {OP_CLI, ROUNDS},   {OP_PUSHF, ROUNDS},    {OP_POPF, ROUNDS},    {OP_PUSH_FS, ROUNDS},
    {OP_STI, ROUNDS},   {OP_MOV_EvSw, ROUNDS}, {OP_SMSW_Ev, ROUNDS}, {OP_SWAPGS, 2 * ROUNDS},
    {OP_RDTSC, ROUNDS}, {OP_HLT, 1},
};

/* `lines`: raised, though nobody takes them, so that nothing goes the short way. */
static void check_runs(unsigned lines)
{
    struct rig rig;
    struct error error;
    rig_init(&rig);
    cr_assert_eq(translator_attach(rig.cpu, &(struct translate_options){.threshold = 1}, &error), 0,
                 "%s", error.text);
    rig_load(&rig, CODE_AT, callouts);
    rig_long(&rig, CODE_AT, 0);
    rig.cpu->regs[RSP] = STACK_AT;
    if (lines)
        cpu_raise_line(rig.cpu, lines);
    cr_assert_eq(cpu_run(rig.cpu), CPU_EXIT_HALTED);
    const struct translator *translator = translator_of(rig.cpu);
    for (unsigned i = 0; i < ARRAY_LENGTH(expected); i++) {
        const unsigned row = expected[i].row;
        cr_assert_eq(rig.cpu->callouts[row], expected[i].runs, "%s ran %llu times, not %llu",
                     opcode_rows[row].id, (unsigned long long)rig.cpu->callouts[row],
                     (unsigned long long)expected[i].runs);
        cr_assert_gt(translator->sites[row][CALLOUT_64], 0, "%s", opcode_rows[row].id);
        cr_assert_eq(translator->sites[row][CALLOUT_REAL], 0, "%s", opcode_rows[row].id);
    }
    cr_assert_eq(translator->sites[OP_HLT][CALLOUT_64], 1);
    translator_detach(rig.cpu);
    rig_free(&rig);
}

Test(callouts, runs_are_counted_once)
{
    check_runs(0);
    check_runs(LINE_SIPI);
}
