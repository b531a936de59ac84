/* The command line of `ring3 conform`. */
#include "conform/conform.h"
#include "conform/host_run.h"
#include "conform/suite.h"

#include "base/log.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>

enum { HOST_SEED = 1, HOST_COUNT = 200000 };

static void print_help(FILE *out)
{
    fputs(
        "ring3 conform [options] FILE...\n"
        "ring3 conform --host [options]\n"
        "Runs vectors: captured from real processors (MOO, JSON), or in ring3's own format (.r3v), "
        "plain or gzipped.\n"
        "  --cpu 8086|286|386  run all files as this processor's, whatever they say\n"
        "  --model MODEL       run ring3's own cases on this one of -cpu; max unless given\n"
        "  --only PATTERN      only these opcodes: 'F6.*', '0F.A*'\n"
        "  --strict            the named differences of old processors count as failures\n"
        "  --fail-fast         stop at the first failure\n"
        "  --shard I/N         run part I of N\n"
        "  --merge             the files are the --json reports of all shards: add them up\n"
        "  --engine interp|translate|both   the engines to test; interp unless given, both with "
        "--host\n"
        "  --case N            only the N-th case of each file, or of the seed\n"
        "  -d in_asm,out_asm   log the cases' code and what it is translated to\n"
        "  --coverage          list the rows of the opcode table with the cases that reached them\n"
        "  --tap, --json       this format on stdout instead of the table\n"
        "  --junit FILE        write a JUnit report too\n"
        "  --help              this list\n"
        "With --host, generated instructions run on this host's own processor too:\n"
        "  --count N           so many cases; 200000 unless given\n"
        "  --seed N            of the dice; 1 unless given: the same cases in every run\n"
        "  --rows NAMES        only these rows of the opcode table: 'ADD_EvGv,VFMADD*'\n"
        "  --save FOLDER       write each row's first case that differs there, minimised, as .r3v\n"
        "The exit status is 0 only if every file was whole and every case passed.\n",
        out);
}

static int parse_shard(struct suite_options *options, const char *text, struct error *error)
{
    int end = 0;

    if (sscanf(text, "%u/%u%n", &options->shard, &options->shards, &end) < 2 || text[end] ||
        !options->shard || options->shard > options->shards)
        return error_set(error, EINVAL, "--shard %s: write I/N with I from 1 to N: --shard 1/4",
                         text);
    return 0;
}

static int parse_cpu(struct suite_options *options, const char *text, struct error *error)
{
    options->processor = processor_by_name(text);
    if (!options->processor || options->processor == processor_modern())
        return error_set(error, EINVAL, "--cpu %s: there are 8086, 286 and 386", text);
    return 0;
}

static int parse_model(struct suite_options *options, const char *text, struct error *error)
{
    struct cpu_model model;

    options->model = text;
    if (strlen(text) >= SUITE_MODEL_TEXT)
        return error_set(error, EINVAL, "--model: has more than %u letters; write it shorter",
                         SUITE_MODEL_TEXT - 1);
    return cpu_model_parse(text, &model, error);
}

static int parse_engine(struct suite_options *options, const char *text, struct error *error)
{
    options->engines = engines_by_name(text);
    if (!options->engines)
        return error_set(error, EINVAL, "--engine %s: there are interp, translate and both", text);
    return 0;
}

/* A decimal number of at least `least`. */
static int parse_number(const char *name, const char *text, uint64_t least, uint64_t *to,
                        struct error *error)
{
    char *end;

    errno = 0;
    *to = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || *to < least)
        return error_set(error, EINVAL, "--%s %s: write a number from %u on", name, text,
                         (unsigned)least);
    return 0;
}

enum {
    OPTION_CPU = 256,
    OPTION_MODEL,
    OPTION_ONLY,
    OPTION_STRICT,
    OPTION_FAIL_FAST,
    OPTION_SHARD,
    OPTION_MERGE,
    OPTION_ENGINE,
    OPTION_CASE,
    OPTION_COVERAGE,
    OPTION_TAP,
    OPTION_JSON,
    OPTION_JUNIT,
    OPTION_HOST,
    OPTION_SEED,
    OPTION_COUNT,
    OPTION_ROWS,
    OPTION_SAVE,
    OPTION_HELP
};

static const struct option option_table[] = {
    {"cpu", required_argument, NULL, OPTION_CPU},
    {"model", required_argument, NULL, OPTION_MODEL},
    {"only", required_argument, NULL, OPTION_ONLY},
    {"strict", no_argument, NULL, OPTION_STRICT},
    {"fail-fast", no_argument, NULL, OPTION_FAIL_FAST},
    {"shard", required_argument, NULL, OPTION_SHARD},
    {"merge", no_argument, NULL, OPTION_MERGE},
    {"engine", required_argument, NULL, OPTION_ENGINE},
    {"case", required_argument, NULL, OPTION_CASE},
    {"coverage", no_argument, NULL, OPTION_COVERAGE},
    {"tap", no_argument, NULL, OPTION_TAP},
    {"json", no_argument, NULL, OPTION_JSON},
    {"junit", required_argument, NULL, OPTION_JUNIT},
    {"host", no_argument, NULL, OPTION_HOST},
    {"seed", required_argument, NULL, OPTION_SEED},
    {"count", required_argument, NULL, OPTION_COUNT},
    {"rows", required_argument, NULL, OPTION_ROWS},
    {"save", required_argument, NULL, OPTION_SAVE},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

static int parse_option(struct suite_options *options, int option, char *const argv[],
                        struct error *error)
{
    switch (option) {
    case OPTION_CPU:
        return parse_cpu(options, optarg, error);
    case OPTION_MODEL:
        return parse_model(options, optarg, error);
    case OPTION_ONLY:
        options->only = optarg;
        return 0;
    case OPTION_STRICT:
        options->strict = true;
        return 0;
    case OPTION_FAIL_FAST:
        options->fail_fast = true;
        return 0;
    case OPTION_SHARD:
        return parse_shard(options, optarg, error);
    case OPTION_MERGE:
        options->merge = true;
        return 0;
    case OPTION_ENGINE:
        return parse_engine(options, optarg, error);
    case OPTION_CASE:
        return parse_number("case", optarg, 1, &options->number, error);
    case OPTION_COVERAGE:
        options->coverage = true;
        return 0;
    case 'd':
        return log_select(optarg, error);
    case OPTION_TAP:
        options->tap = true;
        return 0;
    case OPTION_JSON:
        options->json = true;
        return 0;
    case OPTION_JUNIT:
        options->junit = optarg;
        return 0;
    case OPTION_HOST:
        options->host = true;
        return 0;
    case OPTION_SEED:
        return parse_number("seed", optarg, 0, &options->seed, error);
    case OPTION_COUNT:
        return parse_number("count", optarg, 1, &options->count, error);
    case OPTION_ROWS:
        options->rows = optarg;
        return 0;
    case OPTION_SAVE:
        options->save = optarg;
        return 0;
    case ':':
        return error_set(error, EINVAL, "%s: needs a value; see ring3 conform --help",
                         argv[optind - 1]);
    default:
        return error_set(error, EINVAL, "%s: no such option; see ring3 conform --help",
                         argv[optind - 1]);
    }
}

/* What does not go together. */
static int check_options(const struct suite_options *options, bool files, struct error *error)
{
    if (options->tap && options->json)
        return error_set(error, EINVAL, "--tap and --json both write to stdout; choose one");
    if (options->coverage && (options->tap || options->json || options->merge))
        return error_set(error, EINVAL, "--coverage goes with neither --tap, --json nor --merge");
    if (!options->host && (options->rows || options->save))
        return error_set(error, EINVAL, "--rows and --save go with --host only");
    if (options->host && (options->processor || options->only || options->merge))
        return error_set(error, EINVAL,
                         "--host goes with neither --cpu, --only nor --merge; --rows chooses rows");
    if (options->host && files)
        return error_set(error, EINVAL, "--host generates its cases; leave out the files");
    if (!options->host && !files)
        return error_set(error, EINVAL, "conform: no files; see ring3 conform --help");
    return 0;
}

/* 1: help was given. */
static int parse(struct suite *suite, int argc, char *const argv[], struct error *error)
{
    struct suite_options *options = &suite->options;
    int option, result = 0;

    *options = (struct suite_options){
        .shard = 1, .shards = 1, .model = SUITE_MODEL, .seed = HOST_SEED, .count = HOST_COUNT};
    optind = 0; /* WHY: starts getopt afresh, for a second call in one process */
    while (!result && (option = getopt_long(argc, argv, ":d:", option_table, NULL)) >= 0) {
        if (option == OPTION_HELP) {
            print_help(suite->out);
            return 1;
        }
        result = parse_option(options, option, argv, error);
    }
    if (!options->engines)
        options->engines =
            options->host ? 1u << ENGINE_INTERP | 1u << ENGINE_TRANSLATE : 1u << ENGINE_INTERP;
    return result ? result : check_options(options, argc > optind, error);
}

static void report(const struct suite *suite)
{
    if (suite->options.tap)
        report_tap(suite);
    else if (suite->options.json)
        report_json(suite);
    else
        report_table(suite);
    if (suite->options.coverage)
        report_coverage(suite);
}

static int run_files(struct suite *suite, char *const paths[], unsigned count, struct error *error)
{
    for (unsigned i = 0; i < count && !suite->stop; i++)
        suite_file(suite, paths[i], i + 1, count);
    report_progress_end(suite);
    if (suite->options.number && !suite->seen && !suite->files_damaged)
        return error_set(error, EINVAL, "--case %llu: no file has so many that are asked for",
                         (unsigned long long)suite->options.number);
    if (suite->options.only && !suite->seen && !suite->files_damaged)
        return error_set(error, EINVAL,
                         "--only %s: no case has such an opcode; write it as in F6.3 or 0F.A*",
                         suite->options.only);
    return 0;
}

int conform_main(int argc, char *const argv[], FILE *out, FILE *err)
{
    struct suite suite = {.out = out, .err = err};
    struct error error;
    int result = parse(&suite, argc, argv, &error);

    if (result > 0)
        return EXIT_SUCCESS;
    if (!result) {
        char *const *paths = argv + optind;
        unsigned count = (unsigned)(argc - optind);
        result = suite.options.host    ? host_run(&suite, &error)
                 : suite.options.merge ? merge_reports(&suite, paths, count, &error)
                                       : run_files(&suite, paths, count, &error);
        /* A sum that is not whole would only mislead. */
        if (!result || !(suite.options.merge || suite.options.host))
            report(&suite);
        if (!result && suite.options.junit)
            result = report_junit(&suite, &error);
    }
    if (result)
        fprintf(err, "ring3: %s\n", error.text);
    suite_free(&suite);
    log_select_none();
    return result || suite.files_damaged || suite.total.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
