/* Two batches take turns: while the host's process runs one, the engines run the one before. */
#include "conform/host_run.h"

#include "conform/host_encode.h"
#include "conform/host_save.h"
#include "conform/r3v.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { REPORTS_MAX = 16 };

/* A case that differs, to be looked at when no batch runs. */
struct finding {
    struct host_case c;
    enum engine engine;
};

struct progress {
    uint64_t next;   /* number of the next case */
    uint64_t unmade; /* numbers for which the dice gave no case */
    unsigned finding_count;
    struct finding findings[REPORTS_MAX];
};

static bool runs_in(const struct host_run *run, enum engine engine)
{
    return run->suite->options.engines >> engine & 1;
}

/* --- begin and end */

static int open_engines(struct host_run *run, const struct feature_set *features,
                        struct error *error)
{
    for (enum engine engine = 0; engine < ENGINES; engine++) {
        const int result = runs_in(run, engine)
                               ? host_engine_init(&run->engines[engine], engine, features, error)
                               : 0;
        if (result)
            return result;
    }
    return 0;
}

/* WHY the process first: it is a copy of this one. */
static int open_run(struct host_run *run, struct error *error)
{
    const struct suite_options *options = &run->suite->options;
    struct feature_set features = features_of_host();

    if (options->save && access(options->save, W_OK | X_OK))
        return error_set(error, errno, "--save %s: %s; name a folder that can be written to",
                         options->save, strerror(errno));
    int result = host_process_start(&run->process, error);
    if (result)
        return result;
    run->section = suite_section(run->suite, processor_modern(), error);
    if (!run->section)
        return -ENOMEM;
    for (unsigned i = 0; i < ARRAY_LENGTH(features.words); i++)
        features.words[i] &= run->section->model.features.words[i];
    result = host_generator_init(&run->generator, options->seed, options->rows,
                                 run->process.code_sizes, &features, error);
    run->suite->host_rows = run->generator.row_count;
    return result ? result : open_engines(run, &features, error);
}

static void close_run(struct host_run *run)
{
    for (enum engine engine = 0; engine < ENGINES; engine++)
        host_engine_free(&run->engines[engine]);
    host_generator_free(&run->generator);
    host_process_stop(&run->process);
}

/* --- what is found */

static void report_finding(struct host_probe *probe, const char *saved, const struct state_case *c)
{
    struct suite *suite = probe->run->suite;
    FILE *to = suite_report_stream(suite);
    const struct host_event event = {&probe->c, &probe->host, &probe->ring3};

    fprintf(to, "host case %llu in %s%s:\n", (unsigned long long)probe->c.number + 1,
            engine_name(probe->engine),
            probe->engine != ENGINE_TRANSLATE ? ""
            : probe->c.variant                ? ", windows"
                                              : ", soft tier");
    state_case_write(to, c);
    if (probe->host.killed)
        fprintf(to, "  it has ended the host's process: %s", strsignal(probe->host.killed));
    else
        host_describe(to, &event, &probe->mismatch, "\n  differs: ");
    fputc('\n', to);
    report_host_command(to, suite, probe->engine, probe->c.number + 1);
    if (*saved)
        fprintf(to, "  saved:   %s\n", saved);
}

static bool save_probe(const struct host_probe *probe, struct state_case *c)
{
    const struct host_event event = {&probe->c, &probe->host, &probe->ring3};

    return host_save(&event, &probe->run->generator.features, c);
}

/* As a file in the folder of --save. */
static int write_probe(const struct host_probe *probe, const struct state_case *c, char *path,
                       size_t size, struct error *error)
{
    const struct suite_options *options = &probe->run->suite->options;

    snprintf(path, size, "%s/%s-%u-%llu-%llu.r3v", options->save, host_case_row(&probe->c)->id,
             host_code_bits(&probe->c), (unsigned long long)options->seed,
             (unsigned long long)probe->c.number + 1);
    FILE *to = fopen(path, "we");
    if (!to)
        return error_set(error, errno,
                         "--save %s: cannot create %s: %s; name a folder that is there",
                         options->save, path, strerror(errno));
    fputs(R3V_HEAD "\n", to);
    state_case_write(to, c);
    const bool failed = ferror(to);
    if (fclose(to) || failed)
        return error_set(error, EIO, "--save %s: cannot write %s; free some space", options->save,
                         path);
    return 0;
}

static int look_at(struct host_run *run, const struct finding *finding, struct error *error)
{
    struct host_probe *probe = calloc(1, sizeof *probe);
    struct state_case *c = calloc(1, sizeof *c);
    char saved[512] = "";
    bool differs = false;
    int result = probe && c ? 0 : error_set(error, ENOMEM, "no memory left to look at a case");

    if (!result) {
        *probe = (struct host_probe){.run = run, .engine = finding->engine, .c = finding->c};
        result = host_probe_run(probe, &differs, error);
    }
    if (!result && differs && !probe->host.killed)
        result = host_probe_minimise(probe, error);
    if (!result && !save_probe(probe, c))
        result = error_set(error, ENOMEM, "no memory left to look at a case");
    if (!result && run->suite->options.save)
        result = write_probe(probe, c, saved, sizeof saved, error);
    if (!result)
        report_finding(probe, saved, c);
    if (c)
        state_case_free(c);
    free(c);
    free(probe);
    return result;
}

static int look_at_findings(struct host_run *run, struct progress *progress, unsigned *seen,
                            struct error *error)
{
    int result = 0;

    while (!result && *seen < progress->finding_count)
        result = look_at(run, &progress->findings[(*seen)++], error);
    return result;
}

/* The first of each row. */
static void note_finding(struct progress *progress, const struct host_case *c, enum engine engine)
{
    for (unsigned i = 0; i < progress->finding_count; i++)
        if (progress->findings[i].c.insn.row == c->insn.row)
            return;
    if (progress->finding_count < REPORTS_MAX)
        progress->findings[progress->finding_count++] = (struct finding){*c, engine};
}

/* --- a case, and a batch of them */

static enum verdict check_in(struct host_run *run, enum engine engine, const struct host_case *c,
                             const struct host_result *host, uint64_t *freedoms)
{
    static _Thread_local struct host_result ring3;
    const struct host_event event = {c, host, &ring3};
    struct host_mismatch mismatch;
    bool translated;

    host_engine_run(&run->engines[engine], c, &ring3, &translated);
    host_compare(&event, &mismatch);
    if (!host_mismatch_any(&mismatch)) {
        suite_reach(run->suite, engine, c->insn.row, translated);
        return VERDICT_PASSED;
    }
    *freedoms |= host_freedoms_take(&event, &mismatch);
    if (host_mismatch_any(&mismatch))
        return VERDICT_FAILED;
    suite_reach(run->suite, engine, c->insn.row, translated);
    return VERDICT_EXCUSED;
}

static void check_case(struct host_run *run, struct progress *progress, const struct host_case *c,
                       const struct host_result *host)
{
    struct suite *suite = run->suite;
    const bool is_64 = c->code_size == CODE_64;
    const uint16_t key = instruction_modern_key(c->bytes, c->insn.length, is_64);
    const struct suite_label label = {.path = "host",
                                      .name = host_case_row(c)->id,
                                      .name_length = (int)strlen(host_case_row(c)->id),
                                      .index = c->number + 1};
    enum verdict worst = host->killed ? VERDICT_FAILED : VERDICT_PASSED;
    uint64_t freedoms = 0;

    for (enum engine engine = 0; engine < ENGINES; engine++) {
        if (!runs_in(run, engine))
            continue;
        const enum verdict verdict =
            host->killed ? VERDICT_FAILED : check_in(run, engine, c, host, &freedoms);
        suite_count(&suite->by_engine[engine], verdict);
        if (verdict == VERDICT_FAILED)
            note_finding(progress, c, engine);
        if (verdict > worst)
            worst = verdict;
    }
    for (unsigned n = 0; n < host_freedom_count; n++)
        suite->by_excuse[difference_count + n] += freedoms >> n & 1;
    suite->seen = c->number + 1;
    suite_settle(suite, &run->section->tallies[key], &label, worst, NULL);
}

/* The numbers of this shard, or the one of --case. */
static bool next_number(struct host_run *run, struct progress *progress, uint64_t *number)
{
    const struct suite_options *options = &run->suite->options;
    const uint64_t end = options->number ? options->number : options->count;

    *number = progress->next;
    if (run->suite->stop || progress->next >= end)
        return false;
    progress->next += options->shards;
    return true;
}

static unsigned fill(struct host_run *run, struct progress *progress, struct host_batch *batch)
{
    unsigned count = 0;
    uint64_t number;

    while (count < HOST_BATCH && next_number(run, progress, &number)) {
        if (host_generate(&run->generator, number, &batch->cases[count]))
            count++;
        else
            progress->unmade++;
    }
    return count;
}

static int run_batches(struct host_run *run, struct progress *progress, struct error *error)
{
    const struct suite_options *options = &run->suite->options;
    struct host_batch *batches = run->process.batches;
    unsigned turn = 0, seen = 0, count = fill(run, progress, &batches[0]);
    int result;

    if (count)
        host_process_submit(&run->process, 0, count);
    while (count) {
        const unsigned next = fill(run, progress, &batches[!turn]);
        result = host_process_wait(&run->process, error);
        if (!result)
            result = look_at_findings(run, progress, &seen, error);
        if (result)
            return result;
        if (next)
            host_process_submit(&run->process, !turn, next);
        for (unsigned i = 0; i < count && !run->suite->stop; i++)
            check_case(run, progress, &batches[turn].cases[i], &batches[turn].results[i]);
        report_progress(run->suite, 1, 1, (double)progress->next / (double)options->count);
        turn = !turn;
        count = next;
    }
    return look_at_findings(run, progress, &seen, error);
}

int host_run(struct suite *suite, struct error *error)
{
    struct host_run run = {.suite = suite};
    struct progress *progress = calloc(1, sizeof *progress);

    if (!progress)
        return error_set(error, ENOMEM, "no memory left for the findings");
    progress->next = suite->options.number ? suite->options.number - 1 : suite->options.shard - 1;
    int result = open_run(&run, error);
    if (!result)
        result = run_batches(&run, progress, error);
    report_progress_end(suite);
    if (!result && progress->unmade)
        fprintf(suite->err, "ring3: %llu numbers gave no case that can be run\n",
                (unsigned long long)progress->unmade);
    close_run(&run);
    free(progress);
    return result;
}
