/* Files in, counts out. */
#include "conform/suite.h"

#include "conform/host_compare.h"
#include "conform/source.h"
#include "cpu/decode.h"
#include "cpu/exec.h"

#include <errno.h>
#include <stdlib.h>

static const char *const engine_sets[1 << ENGINES] = {"", "interp", "translate", "both"};

const char *engines_name(unsigned engines)
{
    return engine_sets[engines];
}

unsigned engines_by_name(const char *name)
{
    for (unsigned engines = 1; engines < ARRAY_LENGTH(engine_sets); engines++)
        if (!strcmp(engine_sets[engines], name))
            return engines;
    return 0;
}

static void complain(struct suite *suite, const char *text)
{
    report_progress_end(suite);
    fprintf(suite->err, "ring3: %s\n", text);
}

static const char *model_of(const struct suite *suite, const struct processor *processor)
{
    return processor == processor_modern() ? suite->options.model : processor->model;
}

struct section *suite_section(struct suite *suite, const struct processor *processor,
                              struct error *error)
{
    struct section *section = &suite->sections[processor_number(processor)];

    if (section->tallies)
        return section;
    if (cpu_model_parse(model_of(suite, processor), &section->model, error))
        return NULL;
    section->processor = processor;
    section->tallies = calloc(INSTRUCTION_KEYS, sizeof *section->tallies);
    if (!section->tallies) {
        error_set(error, ENOMEM, "no memory left for the counts");
        return NULL;
    }
    return section;
}

static bool runs_in(const struct suite *suite, enum engine engine)
{
    return suite->options.engines >> engine & 1;
}

static int make_runner(const struct suite *suite, struct section *section, enum engine engine,
                       struct error *error)
{
    const struct processor *processor = section->processor;

    if (section->runners[engine] || section->state_runners[engine])
        return 0;
    if (processor == processor_modern())
        section->state_runners[engine] = state_runner_new(suite->options.model, engine, error);
    else
        section->runners[engine] = runner_new(processor, engine, error);
    return section->runners[engine] || section->state_runners[engine] ? 0 : -ENOMEM;
}

/* The section, with processors to run on. */
static struct section *section_to_run(struct suite *suite, const struct processor *processor,
                                      struct error *error)
{
    struct section *section = suite_section(suite, processor, error);

    for (enum engine engine = 0; section && engine < ENGINES; engine++)
        if (runs_in(suite, engine) && make_runner(suite, section, engine, error))
            return NULL;
    return section;
}

/* --- one case */

static struct suite_label label_of(const char *path, const struct test_case *test)
{
    return (struct suite_label){.path = path,
                                .name = test->name ? test->name : "",
                                .name_length = (int)test->name_length,
                                .index = test->index};
}

static void note_failure(struct suite *suite, struct tally *tally, const struct suite_label *label)
{
    suite->stop |= suite->options.fail_fast;
    if (tally->failed > 1)
        return;
    tally->first_number = suite->seen;
    snprintf(tally->first, sizeof tally->first, "%s case %llu: %.*s", label->path,
             (unsigned long long)label->index, label->name_length, label->name);
}

FILE *suite_report_stream(struct suite *suite)
{
    report_progress_end(suite);
    return suite->options.tap || suite->options.json ? suite->err : suite->out;
}

static void report_failure(struct suite *suite, struct section *section, const char *path,
                           enum engine engine, const struct occurrence *occurrence)
{
    if (suite->total.failed)
        return;
    FILE *to = suite_report_stream(suite);
    report_case(
        to, path, engine, occurrence,
        instruction_mnemonic(occurrence->instruction.key, CODE_16, &section->model.features));
    report_command(to, suite, path, engine);
}

unsigned suite_excuses(void)
{
    return difference_count + host_freedom_count;
}

struct excuse suite_excuse(unsigned n)
{
    if (n < difference_count)
        return (struct excuse){differences[n].name, differences[n].cause};
    const struct host_freedom *freedom = &host_freedoms[n - difference_count];
    return (struct excuse){freedom->name, freedom->reason};
}

void suite_count(struct tally *tally, enum verdict verdict)
{
    tally->cases++;
    tally->passed += verdict == VERDICT_PASSED;
    tally->excused += verdict == VERDICT_EXCUSED;
    tally->failed += verdict == VERDICT_FAILED;
    tally->lacking += verdict == VERDICT_LACKING;
}

/* Both have ended otherwise than the captured processor: but for flags they must agree. */
static bool engines_agree(const struct outcome outcomes[ENGINES])
{
    const struct vector_registers *a = &outcomes[ENGINE_INTERP].got,
                                  *b = &outcomes[ENGINE_TRANSLATE].got;

    for (unsigned n = VR_EAX; n < VR_EFLAGS; n++)
        if (a->value[n] != b->value[n])
            return false;
    return outcomes[ENGINE_INTERP].exception == outcomes[ENGINE_TRANSLATE].exception &&
           outcomes[ENGINE_INTERP].never_ended == outcomes[ENGINE_TRANSLATE].never_ended;
}

/* In one engine; *rows gets the named differences that excuse it. */
static int run_in_engine(struct suite *suite, struct section *section, enum engine engine,
                         struct occurrence *occurrence, struct outcome *outcome,
                         enum verdict *verdict, uint64_t *rows, struct error *error)
{
    int result = runner_run(section->runners[engine], occurrence->test, outcome, error);

    if (result)
        return result;
    occurrence->outcome = outcome;
    uint64_t excuses = outcome_passed(outcome) ? 0 : differences_explain(occurrence);
    *rows |= excuses;
    *verdict = outcome_passed(outcome)             ? VERDICT_PASSED
               : excuses && !suite->options.strict ? VERDICT_EXCUSED
                                                   : VERDICT_FAILED;
    return 0;
}

void suite_reach(struct suite *suite, enum engine engine, unsigned row, bool translated)
{
    if (row < OPCODE_COUNT && (engine != ENGINE_TRANSLATE || translated))
        suite->reached[engine][row]++;
}

/* The row of a captured case's instruction; OPCODE_COUNT: there is none. */
static unsigned row_of(const struct section *section, const struct test_case *test)
{
    uint8_t bytes[INSN_LENGTH_MAX] = {0};
    struct insn insn;

    memcpy(bytes, test->bytes, test->byte_count < sizeof bytes ? test->byte_count : sizeof bytes);
    return decode(bytes, sizeof bytes, CODE_16, &section->model.features, &insn) == DECODE_OK &&
                   insn.exec != exec_undefined
               ? insn.row
               : OPCODE_COUNT;
}

/* What becomes of the case in all engines: the worst. */
static int run_engines(struct suite *suite, struct section *section, const char *path,
                       struct occurrence *occurrence, enum verdict *worst, struct error *error)
{
    struct outcome outcomes[ENGINES];
    enum verdict verdicts[ENGINES] = {0};
    uint64_t rows = 0;

    *worst = VERDICT_PASSED;
    for (enum engine engine = 0; engine < ENGINES; engine++) {
        if (!runs_in(suite, engine))
            continue;
        int result = run_in_engine(suite, section, engine, occurrence, &outcomes[engine],
                                   &verdicts[engine], &rows, error);
        if (result)
            return result;
        bool strays = engine == ENGINE_TRANSLATE && runs_in(suite, ENGINE_INTERP) &&
                      verdicts[ENGINE_INTERP] == VERDICT_EXCUSED &&
                      verdicts[ENGINE_TRANSLATE] == VERDICT_EXCUSED && !engines_agree(outcomes);
        if (strays)
            verdicts[engine] = VERDICT_FAILED;
        suite_count(&suite->by_engine[engine], verdicts[engine]);
        if (suite->options.coverage && verdicts[engine] != VERDICT_FAILED)
            suite_reach(suite, engine, row_of(section, occurrence->test),
                        outcomes[engine].translated);
        if (verdicts[engine] == VERDICT_FAILED && *worst != VERDICT_FAILED)
            report_failure(suite, section, path, engine, occurrence);
        if (verdicts[engine] > *worst)
            *worst = verdicts[engine];
    }
    for (unsigned n = 0; n < difference_count; n++)
        suite->by_excuse[n] += rows >> n & 1;
    return 0;
}

/* Does --only let it through, and is it this shard's? */
static bool is_wanted(struct suite *suite, uint16_t key)
{
    if (suite->options.number && suite->number != suite->options.number)
        return false;
    if (suite->options.only && !instruction_key_matches(key, suite->options.only))
        return false;
    return suite->seen++ % suite->options.shards == suite->options.shard - 1;
}

void suite_settle(struct suite *suite, struct tally *tally, const struct suite_label *label,
                  enum verdict verdict, const struct error *problem)
{
    if (problem) {
        struct error line;
        error_set(&line, EINVAL, "%s: %s", label->path, problem->text);
        complain(suite, line.text);
        verdict = VERDICT_FAILED;
    }
    suite_count(tally, verdict);
    suite_count(&suite->total, verdict);
    if (verdict == VERDICT_FAILED)
        note_failure(suite, tally, label);
}

static void run_case(struct suite *suite, struct section *section, const char *path,
                     const struct test_case *test)
{
    struct occurrence occurrence = {.processor = section->processor, .test = test};
    const struct suite_label label = label_of(path, test);
    enum verdict verdict;
    struct error error;

    instruction_read(&occurrence.instruction, test, section->processor);
    if (!is_wanted(suite, occurrence.instruction.key))
        return;
    int result = run_engines(suite, section, path, &occurrence, &verdict, &error);
    suite_settle(suite, &section->tallies[occurrence.instruction.key], &label, verdict,
                 result ? &error : NULL);
}

/* --- one case of ring3's own format */

static void report_state_failure(struct suite *suite, const char *path, enum engine engine,
                                 const struct state_case *c, const struct state_outcome *outcome)
{
    FILE *to = suite_report_stream(suite);

    report_state_case(to, path, engine, c, outcome);
    report_command(to, suite, path, engine);
}

/* True, and counted, when the processor lacks something that the case needs. */
static bool lacks_features(struct suite *suite, const struct section *section,
                           const struct state_case *c)
{
    const struct feature_set lacks = state_case_lacks(c, &section->model);

    if (!feature_any(&lacks))
        return false;
    for (enum feature feature = 0; feature < FEATURE_COUNT; feature++)
        suite->by_feature[feature] += feature_has(&lacks, feature);
    for (enum engine engine = 0; engine < ENGINES; engine++)
        if (runs_in(suite, engine))
            suite_count(&suite->by_engine[engine], VERDICT_LACKING);
    return true;
}

static int run_state_engines(struct suite *suite, struct section *section, const char *path,
                             const struct state_case *c, enum verdict *worst, struct error *error)
{
    struct state_outcome outcome;

    if (lacks_features(suite, section, c)) {
        *worst = VERDICT_LACKING;
        return 0;
    }
    *worst = VERDICT_PASSED;
    for (enum engine engine = 0; engine < ENGINES; engine++) {
        if (!runs_in(suite, engine))
            continue;
        int result = state_runner_run(section->state_runners[engine], c, &outcome, error);
        if (result)
            return result;
        bool passed = state_outcome_passed(&outcome);
        suite_count(&suite->by_engine[engine], passed ? VERDICT_PASSED : VERDICT_FAILED);
        if (passed)
            suite_reach(suite, engine, outcome.row, outcome.translated);
        if (!passed && !suite->total.failed && *worst == VERDICT_PASSED)
            report_state_failure(suite, path, engine, c, &outcome);
        if (!passed)
            *worst = VERDICT_FAILED;
    }
    return 0;
}

static void run_state_case(struct suite *suite, struct section *section, const char *path,
                           const struct state_case *c)
{
    const struct suite_label label = {
        .path = path, .name = c->name, .name_length = sizeof c->name, .index = c->line};
    uint16_t key =
        instruction_modern_key(c->code, c->code_length, state_case_code_size(c) == CODE_64);
    enum verdict verdict;
    struct error error;

    if (!is_wanted(suite, key))
        return;
    int result = run_state_engines(suite, section, path, c, &verdict, &error);
    suite_settle(suite, &section->tallies[key], &label, verdict, result ? &error : NULL);
}

/* --- files */

static const struct processor *processor_of(const struct suite *suite, const struct source *source,
                                            struct error *error)
{
    const struct processor *processor = suite->options.processor;

    if (source->kind == SOURCE_R3V)
        return processor_modern();
    if (!processor)
        processor = processor_by_id(source_cpu(source));
    if (!processor && !*source_cpu(source))
        error_set(error, EINVAL,
                  "%s: neither its registers nor its path say which processor's it is; --cpu does: "
                  "8086, 286 or 386",
                  source->file.path);
    else if (!processor)
        error_set(error, EINVAL,
                  "%s: captured on '%s', which ring3 does not know; --cpu says as "
                  "what to run it: 8086, 286 or 386",
                  source->file.path, source_cpu(source));
    return processor;
}

static void run_cases(struct suite *suite, struct section *section, struct source *source,
                      unsigned number, unsigned count)
{
    const char *path = source->file.path;
    struct test_case test;
    struct error error;
    bool damaged = false;
    enum read_result result;

    while (!suite->stop && (result = source_next(source, &test, &error)) != READ_END) {
        suite->number = source->cases;
        if (result == READ_CASE) {
            if (source->kind == SOURCE_R3V)
                run_state_case(suite, section, path, &source->r3v.present);
            else
                run_case(suite, section, path, &test);
            if (source->cases % 64 == 0)
                report_progress(suite, number, count, source_progress(source));
        } else if (!damaged) {
            complain(suite, error.text); /* one line a file */
            damaged = true;
        }
    }
    suite->files_damaged += damaged;
}

void suite_file(struct suite *suite, const char *path, unsigned number, unsigned count)
{
    struct source source;
    struct error error;
    struct section *section = NULL;

    suite->files++;
    int result = source_open(&source, path, &error);
    if (!result) {
        const struct processor *processor = processor_of(suite, &source, &error);
        section = processor ? section_to_run(suite, processor, &error) : NULL;
    }
    if (section) {
        run_cases(suite, section, &source, number, count);
    } else {
        complain(suite, error.text);
        suite->files_damaged++;
    }
    if (!result)
        source_close(&source);
}

void suite_free(struct suite *suite)
{
    for (unsigned i = 0; i < PROCESSORS; i++) {
        for (enum engine engine = 0; engine < ENGINES; engine++) {
            if (suite->sections[i].runners[engine])
                runner_free(suite->sections[i].runners[engine]);
            if (suite->sections[i].state_runners[engine])
                state_runner_free(suite->sections[i].state_runners[engine]);
        }
        free(suite->sections[i].tallies);
    }
}
