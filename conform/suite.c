/* Files in, counts out. */
#include "conform/suite.h"

#include "conform/moo.h"

#include <errno.h>
#include <stdlib.h>

static void complain(struct suite *suite, const char *text)
{
    report_progress_end(suite);
    fprintf(suite->err, "ring3: %s\n", text);
}

struct section *suite_section(struct suite *suite, const struct processor *processor,
                              struct error *error)
{
    struct section *section = &suite->sections[processor_number(processor)];

    if (section->tallies)
        return section;
    if (cpu_model_parse(processor->model, &section->model, error))
        return NULL;
    section->processor = processor;
    section->tallies = calloc(INSTRUCTION_KEYS, sizeof *section->tallies);
    if (!section->tallies) {
        error_set(error, ENOMEM, "no memory left for the counts");
        return NULL;
    }
    return section;
}

/* The section, with a processor to run on. */
static struct section *section_to_run(struct suite *suite, const struct processor *processor,
                                      struct error *error)
{
    struct section *section = suite_section(suite, processor, error);

    if (section && !section->runner)
        section->runner = runner_new(processor, error);
    return section && section->runner ? section : NULL;
}

static void count_excused(struct suite *suite, uint64_t rows)
{
    for (unsigned n = 0; n < difference_count; n++)
        suite->by_difference[n] += rows >> n & 1;
}

static void note_failure(struct suite *suite, struct tally *tally, const char *path,
                         const struct test_case *test)
{
    suite->stop |= suite->options.fail_fast;
    if (tally->failed++)
        return;
    tally->first_number = suite->seen;
    snprintf(tally->first, sizeof tally->first, "%s case %u: %.*s", path, test->index,
             (int)test->name_length, test->name ? test->name : "");
}

static void count_failed(struct suite *suite, struct section *section, const char *path,
                         const struct occurrence *occurrence)
{
    note_failure(suite, &section->tallies[occurrence->instruction.key], path, occurrence->test);
    if (!suite->total.failed++) {
        report_progress_end(suite);
        report_case(suite->options.tap || suite->options.json ? suite->err : suite->out, path,
                    occurrence,
                    instruction_mnemonic(occurrence->instruction.key, &section->model.features));
    }
}

/* One case: counted whatever becomes of it. */
static void run_case(struct suite *suite, struct section *section, const char *path,
                     const struct test_case *test)
{
    struct outcome outcome;
    struct occurrence occurrence = {
        .processor = section->processor, .test = test, .outcome = &outcome};
    struct error error;

    instruction_read(&occurrence.instruction, test, section->processor);
    if (suite->options.only &&
        !instruction_key_matches(occurrence.instruction.key, suite->options.only))
        return;
    if (suite->seen++ % suite->options.shards != suite->options.shard - 1)
        return;
    struct tally *tally = &section->tallies[occurrence.instruction.key];
    if (runner_run(section->runner, test, &outcome, &error)) {
        struct error line;
        error_set(&line, EINVAL, "%s: %s", path, error.text);
        complain(suite, line.text);
        tally->cases++;
        suite->total.cases++;
        note_failure(suite, tally, path, test);
        suite->total.failed++;
        return;
    }
    tally->cases++;
    suite->total.cases++;
    if (outcome_passed(&outcome)) {
        tally->passed++;
        suite->total.passed++;
        return;
    }
    uint64_t rows = differences_explain(&occurrence);
    count_excused(suite, rows);
    if (rows && !suite->options.strict) {
        tally->excused++;
        suite->total.excused++;
        return;
    }
    count_failed(suite, section, path, &occurrence);
}

static const struct processor *processor_of(const struct suite *suite, const struct moo *moo,
                                            struct error *error)
{
    const struct processor *processor = suite->options.processor;

    if (!processor)
        processor = processor_by_id(moo->cpu);
    if (!processor)
        error_set(error, EINVAL,
                  "%s: captured on '%s', which ring3 does not know; --cpu says as "
                  "what to run it: 8086, 286 or 386",
                  moo->path, moo->cpu);
    return processor;
}

void suite_file(struct suite *suite, const char *path, unsigned number, unsigned count)
{
    struct moo moo;
    struct error error;
    struct test_case test;
    struct section *section = NULL;
    bool damaged = false;
    enum moo_result result;

    suite->files++;
    if (!moo_open(&moo, path, &error)) {
        const struct processor *processor = processor_of(suite, &moo, &error);
        section = processor ? section_to_run(suite, processor, &error) : NULL;
    }
    if (!section) {
        complain(suite, error.text);
        suite->files_damaged++;
        moo_close(&moo);
        return;
    }
    while (!suite->stop && (result = moo_next(&moo, &test, &error)) != MOO_END) {
        if (result == MOO_CASE) {
            run_case(suite, section, path, &test);
            if (moo.cases % 64 == 0)
                report_progress(suite, number, count, (double)moo.next / (double)moo.size);
        } else if (!damaged) {
            complain(suite, error.text); /* one line a file */
            damaged = true;
        }
    }
    suite->files_damaged += damaged;
    moo_close(&moo);
}

void suite_free(struct suite *suite)
{
    for (unsigned i = 0; i < PROCESSORS; i++) {
        if (suite->sections[i].runner)
            runner_free(suite->sections[i].runner);
        free(suite->sections[i].tallies);
    }
}
