#include "conform/state_runner.h"

#include "cpu/block.h"
#include "cpu/decode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct state_runner {
    struct bare bare;
    uint8_t *expected;             /* all of RAM, as the case expects it */
    struct state_runner *windowed; /* the translator's, for user code; NULL: none */
};

static struct state_runner *make(const char *model, enum engine engine, enum windows_use windows,
                                 struct error *error)
{
    struct state_runner *runner = calloc(1, sizeof *runner);

    if (!runner || !(runner->expected = calloc(BARE_RAM_BYTES, 1))) {
        error_set(error, ENOMEM, "no memory left for a processor");
        free(runner);
        return NULL;
    }
    if (bare_init(&runner->bare, model, engine, windows, error)) {
        free(runner->expected);
        free(runner);
        return NULL;
    }
    mmu_set_a20(&runner->bare.cpu->mmu, true);
    return runner;
}

struct state_runner *state_runner_new(const char *model, enum engine engine, struct error *error)
{
    struct state_runner *runner = make(model, engine, WINDOWS_OFF, error);

    if (!runner || engine != ENGINE_TRANSLATE)
        return runner;
    runner->windowed = make(model, engine, WINDOWS_ALWAYS, error);
    if (runner->windowed)
        return runner;
    state_runner_free(runner);
    return NULL;
}

void state_runner_free(struct state_runner *runner)
{
    if (runner->windowed)
        state_runner_free(runner->windowed);
    bare_free(&runner->bare);
    free(runner->expected);
    free(runner);
}

/* --- memory */

static void wipe(struct state_runner *runner)
{
    for (uint32_t page = 0; page < BARE_RAM_BYTES; page += PAGE_BYTES)
        if (bare_page_is_used(&runner->bare, page)) {
            memset(bare_byte(&runner->bare, page), 0, PAGE_BYTES);
            memset(runner->expected + page, 0, PAGE_BYTES);
            bare_note(&runner->bare, page, PAGE_BYTES);
        }
}

static void put_memory(struct state_runner *runner, const struct state_case *c)
{
    uint32_t at = (uint32_t)state_case_code_at(c);

    preset_memory(c->preset, &runner->bare);
    for (unsigned i = 0; i < c->code_length; i++)
        *bare_byte(&runner->bare, at + i) = c->code[i];
    for (uint32_t i = 0; i < c->initial_memory.count; i++)
        *bare_byte(&runner->bare, c->initial_memory.bytes[i].address) =
            c->initial_memory.bytes[i].value;
    for (uint32_t page = 0; page < BARE_RAM_BYTES; page += PAGE_BYTES)
        if (bare_page_is_used(&runner->bare, page))
            memcpy(runner->expected + page, bare_byte(&runner->bare, page), PAGE_BYTES);
    for (uint32_t i = 0; i < c->final_memory.count; i++) {
        (void)bare_byte(&runner->bare,
                        c->final_memory.bytes[i].address); /* a used page from now on */
        runner->expected[c->final_memory.bytes[i].address] = c->final_memory.bytes[i].value;
    }
}

static void compare_page(struct state_runner *runner, uint32_t page, struct state_outcome *outcome)
{
    const uint8_t *got = bare_byte(&runner->bare, page), *expected = runner->expected + page;

    if (!memcmp(got, expected, PAGE_BYTES))
        return;
    for (uint32_t i = 0; i < PAGE_BYTES; i++) {
        if (got[i] == expected[i])
            continue;
        if (outcome->wrong_bytes < STATE_OUTCOME_BYTES_MAX) {
            outcome->bytes[outcome->wrong_bytes].address = page + i;
            outcome->bytes[outcome->wrong_bytes].expected = expected[i];
            outcome->bytes[outcome->wrong_bytes].got = got[i];
        }
        outcome->wrong_bytes++;
    }
}

static void compare_memory(struct state_runner *runner, struct state_outcome *outcome)
{
    for (uint32_t page = 0; page < BARE_RAM_BYTES; page += PAGE_BYTES)
        if (bare_page_is_used(&runner->bare, page))
            compare_page(runner, page, outcome);
}

/* --- registers and exceptions */

static void compare_fields(const struct state_case *c, struct state_outcome *outcome)
{
    for (unsigned field = 0; field < STATE_FIELDS; field++) {
        uint64_t wrong = 0;
        for (unsigned i = 0; i < STATE_VALUE_BYTES / 8; i++)
            wrong |= (outcome->got.value[field].word[i] ^ c->final.value[field].word[i]) &
                     ~c->ignored.value[field].word[i];
        if (wrong)
            state_fields_add(&outcome->wrong, field);
    }
}

static bool exception_agrees(const struct case_exception *expected,
                             const struct case_exception *got)
{
    if (expected->expected != got->expected)
        return false;
    if (!expected->expected)
        return true;
    return expected->vector == got->vector &&
           (!expected->has_error || (got->has_error && expected->error == got->error)) &&
           (!expected->has_address || expected->address == got->address) &&
           (!expected->has_dr6 || expected->dr6 == got->dr6);
}

static struct case_exception exception_of(const struct bare *bare)
{
    const struct cpu_fault *fault = &bare->fault;

    return (struct case_exception){.expected = bare->faulted,
                                   .vector = fault->vector,
                                   .has_error = fault->has_error,
                                   .error = fault->error,
                                   .has_address = fault->vector == VECTOR_PF,
                                   .address = fault->cr2,
                                   .has_dr6 = fault->vector == VECTOR_DB,
                                   .dr6 = fault->dr6};
}

/* --- one case */

/* The instruction at rip as the processor will find it; false: it cannot be fetched there. */
static bool decode_present(struct bare *bare, struct insn *insn)
{
    struct cpu *cpu = bare->cpu;
    uint8_t bytes[INSN_LENGTH_MAX] = {0};
    const struct feature_set *features = &bare->model.features;
    struct translation found;
    uint32_t error;

    for (unsigned i = 0; i < sizeof bytes; i++) {
        uint64_t linear = (cpu->code_base + cpu->rip + i) & cpu->linear_mask;
        /* The next page is looked at only if the instruction reaches into it. */
        if (i && !(linear & PAGE_OFFSET_MASK) &&
            decode(bytes, i, cpu->mode, features, insn) == DECODE_OK)
            return true;
        if (!mmu_walk(&cpu->mmu, GVA(linear), ACCESS_EXECUTE, cpu->cpl == 3, false, &found,
                      &error) ||
            found.gpa.v >= BARE_RAM_BYTES)
            break;
        bytes[i] = *bare_byte(bare, (uint32_t)found.gpa.v);
    }
    return decode(bytes, sizeof bytes, cpu->mode, features, insn) == DECODE_OK;
}

static void run_steps(struct state_runner *runner, const struct state_case *c,
                      struct state_outcome *outcome)
{
    struct bare *bare = &runner->bare;
    uint64_t entered = bare->cpu->native.entered;

    bare->faulted = false;
    bare->keeps_faults = !c->delivers;
    for (unsigned step = 0; step < c->steps && !bare->faulted && !bare->cpu->halted; step++) {
        struct insn insn = {.row = OP_UD2};
        bool decoded = decode_present(bare, &insn);
        if (!step)
            outcome->row = decoded ? insn.row : (unsigned)OPCODE_COUNT;
        if (!bare_run_instruction(bare, &insn) && !bare->faulted) {
            outcome->never_ended = true;
            break;
        }
    }
    outcome->translated = bare->cpu->native.entered != entered;
}

static int run_once(struct state_runner *runner, const struct state_case *c,
                    struct state_outcome *outcome, struct error *error)
{
    struct bare *bare = &runner->bare;

    const char *nonsense = state_nonsense(&c->initial, &bare->model);
    if (nonsense)
        return error_set(error, EINVAL, "line %u: %s", c->line, nonsense);
    *outcome = (struct state_outcome){0};
    wipe(runner);
    put_memory(runner, c);
    bare_forget_exceptions(bare);
    if (!state_load(bare->cpu, &c->initial))
        return error_set(error, EINVAL,
                         "line %u: cr3: leads to page directory pointers with reserved bits",
                         c->line);
    run_steps(runner, c, outcome);
    outcome->exception = exception_of(bare);
    outcome->wrong_exception = !exception_agrees(&c->exception, &outcome->exception);
    state_read(bare->cpu, &outcome->got);
    compare_fields(c, outcome);
    compare_memory(runner, outcome);
    return 0;
}

static bool is_paged_user_code(const struct state_case *c)
{
    return c->initial.value[SF_CPL].word[0] == 3 && c->initial.value[SF_CR0].word[0] & CR0_PG;
}

int state_runner_run(struct state_runner *runner, const struct state_case *c,
                     struct state_outcome *outcome, struct error *error)
{
    const int result = run_once(runner, c, outcome, error);

    if (result || !runner->windowed || !state_outcome_passed(outcome) || !is_paged_user_code(c))
        return result;
    return run_once(runner->windowed, c, outcome, error);
}
