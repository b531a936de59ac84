/* The command line of `ring3 trace`.
 *
 * INV-1: no file is created or changed before the trace has been read and the export made.
 */
#include "ui/trace_command.h"
#include "translate/trace_export.h"
#include "translate/trace_report.h"
#include "ui/option_value.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { MODULES_MAX = 64 };

struct trace_options {
    const char *path, *drcov, *perf_map;
    bool list, policies, order, has_block;
    uint64_t top, block;
    struct trace_module modules[MODULES_MAX];
    char *module_names[MODULES_MAX];
    unsigned module_count;
};

static void print_help(FILE *out)
{
    fputs("ring3 trace [options] FILE\n"
          "Reads a block trace, which ring3 writes with --trace-blocks FILE.\n"
          "  --list              all blocks: address, mode, instructions, executions\n"
          "  --top N             the N most executed blocks, guest and host code side by side:\n"
          "                      = identical, ~ rewritten, ! callout, ? interpreted\n"
          "  --block ID          this block, guest and host code side by side\n"
          "  --policies          instructions per policy, in the code and as executed\n"
          "  --order             every execution in its order, if the trace holds it\n"
          "  --drcov FILE        write the coverage for Lighthouse, bncov and others\n"
          "  --module NAME=START+SIZE\n"
          "                      in it, these addresses are a module of their own\n"
          "  --perf-map FILE     write host addresses for perf: /tmp/perf-PID.map\n"
          "  --help              this list\n"
          "Without options: how much there is of what.  A damaged trace is read up to the damage;\n"
          "the exit status is 0 only if it was whole.\n",
          out);
}

/* --- options */

enum {
    OPTION_LIST = 256,
    OPTION_TOP,
    OPTION_BLOCK,
    OPTION_POLICIES,
    OPTION_ORDER,
    OPTION_DRCOV,
    OPTION_MODULE,
    OPTION_PERF_MAP,
    OPTION_HELP
};

static const struct option option_table[] = {
    {"list", no_argument, NULL, OPTION_LIST},
    {"top", required_argument, NULL, OPTION_TOP},
    {"block", required_argument, NULL, OPTION_BLOCK},
    {"policies", no_argument, NULL, OPTION_POLICIES},
    {"order", no_argument, NULL, OPTION_ORDER},
    {"drcov", required_argument, NULL, OPTION_DRCOV},
    {"module", required_argument, NULL, OPTION_MODULE},
    {"perf-map", required_argument, NULL, OPTION_PERF_MAP},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

/* NAME=START+SIZE */
static int parse_module(struct trace_options *options, const char *text, struct error *error)
{
    struct trace_module *module = &options->modules[options->module_count];
    int name = 0, start = 0, end = 0;

    if (options->module_count == MODULES_MAX)
        return error_set(error, EINVAL, "--module %s: %d modules are the most", text, MODULES_MAX);
    sscanf(text, "%*[^=,\n]%n=%n%*[^+]+%n", &name, &start, &end);
    if (!end)
        return error_set(error, EINVAL,
                         "--module %s: write NAME=START+SIZE: "
                         "--module vmlinux=0xffffffff81000000+0x2000000",
                         text);
    char *copy = strdup(text);
    if (!copy)
        return error_set(error, ENOMEM, "--module %s: no memory left", text);
    options->module_names[options->module_count++] = copy;
    copy[name] = copy[end - 1] = '\0';
    module->name = copy;
    int result =
        option_number("--module START", copy + start, 0, UINT64_MAX, &module->start, error);
    if (!result)
        result = option_number("--module SIZE", copy + end, 1, UINT32_MAX, &module->size, error);
    if (!result && module->size - 1 > UINT64_MAX - module->start)
        result = error_set(error, EINVAL, "--module %s: it goes beyond the last address", text);
    return result;
}

static int parse_output(const char **output, const char *what, const char *path,
                        struct error *error)
{
    if (!*path)
        return error_set(error, EINVAL, "%s: the name is empty; give a path", what);
    *output = path;
    return 0;
}

static int parse_option(struct trace_options *options, int option, char *const argv[],
                        struct error *error)
{
    switch (option) {
    case OPTION_LIST:
        options->list = true;
        return 0;
    case OPTION_TOP:
        return option_number("--top", optarg, 1, TRACE_BLOCKS_MAX, &options->top, error);
    case OPTION_BLOCK:
        options->has_block = true;
        return option_number("--block", optarg, 0, UINT64_MAX, &options->block, error);
    case OPTION_POLICIES:
        options->policies = true;
        return 0;
    case OPTION_ORDER:
        options->order = true;
        return 0;
    case OPTION_DRCOV:
        return parse_output(&options->drcov, "--drcov", optarg, error);
    case OPTION_MODULE:
        return parse_module(options, optarg, error);
    case OPTION_PERF_MAP:
        return parse_output(&options->perf_map, "--perf-map", optarg, error);
    case ':':
        return error_set(error, EINVAL, "%s: needs a value; see ring3 trace --help",
                         argv[optind - 1]);
    default:
        return error_set(error, EINVAL, "%s: no such option; see ring3 trace --help",
                         argv[optind - 1]);
    }
}

static bool is_same_file(const char *a, const char *b)
{
    struct stat status_a, status_b;

    return !stat(a, &status_a) && !stat(b, &status_b) && status_a.st_dev == status_b.st_dev &&
           status_a.st_ino == status_b.st_ino;
}

/* What is refused before anything is read. */
static int check_outputs(const struct trace_options *options, struct error *error)
{
    const char *const outputs[] = {options->drcov, options->perf_map};

    for (unsigned i = 0; i < ARRAY_LENGTH(outputs); i++)
        if (outputs[i] && is_same_file(outputs[i], options->path))
            return error_set(error, EINVAL,
                             "%s: it would overwrite the trace that it is made from; choose "
                             "another path",
                             outputs[i]);
    if (options->drcov && options->perf_map &&
        (!strcmp(options->drcov, options->perf_map) ||
         is_same_file(options->drcov, options->perf_map)))
        return error_set(error, EINVAL, "%s: --drcov and --perf-map need a file each",
                         options->drcov);
    if (options->module_count && !options->drcov)
        return error_set(error, EINVAL, "--module: it is for --drcov FILE");
    return 0;
}

/* 1: help was given. */
static int parse(struct trace_options *options, int argc, char *const argv[], FILE *out,
                 struct error *error)
{
    int option, result = 0;

    optind = 0; /* WHY: starts getopt afresh, for a second call in one process */
    while (!result && (option = getopt_long(argc, argv, ":", option_table, NULL)) >= 0) {
        if (option == OPTION_HELP) {
            print_help(out);
            return 1;
        }
        result = parse_option(options, option, argv, error);
    }
    if (result)
        return result;
    if (optind == argc)
        return error_set(error, EINVAL, "trace: no file; see ring3 trace --help");
    if (optind + 1 != argc)
        return error_set(error, EINVAL, "%s: one trace at a time; leave it out", argv[optind + 1]);
    options->path = argv[optind];
    return check_outputs(options, error);
}

/* --- exports */

static int write_file(const char *path, const char *bytes, size_t size, struct error *error)
{
    FILE *file = fopen(path, "wbe");

    if (!file)
        return error_set(error, errno, "%s: cannot create it: %s; choose another path", path,
                         strerror(errno));
    bool whole = fwrite(bytes, 1, size, file) == size;
    int number = errno;
    if (fclose(file) && whole) {
        whole = false;
        number = errno;
    }
    return whole ? 0
                 : error_set(error, number, "%s: cannot write: %s; free some space", path,
                             strerror(number));
}

/* Makes one of the two exports in memory, then writes it. */
static int export(const struct trace *trace, const struct trace_options *options, const char *path,
                  struct error *error)
{
    char *bytes = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&bytes, &size);

    if (!memory)
        return error_set(error, ENOMEM, "%s: no memory left for it", path);
    int result = path == options->drcov ? trace_export_drcov(trace, options->modules,
                                                             options->module_count, memory, error)
                                        : trace_export_perf_map(trace, memory, error);
    if (fclose(memory) && !result)
        result = error_set(error, ENOMEM, "%s: no memory left for it", path);
    if (!result)
        result = write_file(path, bytes, size, error);
    free(bytes);
    return result;
}

/* --- the command */

static void print_execution(void *opaque, const struct trace *trace,
                            const struct traced_block *block)
{
    trace_report_execution(block, opaque);
}

static int report(const struct trace *trace, const struct trace_options *options, FILE *out,
                  struct error *error)
{
    const struct traced_block *block = NULL;
    int result = 0;

    if (options->has_block && !(block = trace_find(trace, options->block)))
        return error_set(error, ENOENT, "--block %llu: %s has no such block; --list shows them",
                         (unsigned long long)options->block, trace->path);
    if (options->drcov)
        result = export(trace, options, options->drcov, error);
    if (!result && options->perf_map)
        result = export(trace, options, options->perf_map, error);
    if (!result && options->list)
        trace_report_list(trace, out);
    if (!result && options->policies)
        result = trace_report_policies(trace, out, error);
    if (!result && options->top)
        result = trace_report_top(trace, out, options->top, error);
    if (!result && block)
        result = trace_report_block(trace, out, block, error);
    if (!options->list && !options->policies && !options->top && !block && !options->order &&
        !options->drcov && !options->perf_map)
        trace_report_summary(trace, out);
    return result;
}

static int run(const struct trace_options *options, FILE *out, struct error *error)
{
    struct trace trace;
    int result =
        trace_read(&trace, options->path, options->order ? print_execution : NULL, out, error);

    if (result)
        return result;
    result = report(&trace, options, out, error);
    if (!result && *trace.damage.text)
        result = error_set(error, EINVAL, "%s", trace.damage.text);
    if (!result && (fflush(out) || ferror(out)))
        result = error_set(error, EIO, "cannot write to the standard output; free some space");
    trace_free(&trace);
    return result;
}

int trace_main(int argc, char *const argv[], FILE *out, FILE *err)
{
    struct trace_options options = {.path = NULL};
    struct error error;
    int result = parse(&options, argc, argv, out, &error);

    if (!result)
        result = run(&options, out, &error);
    if (result < 0)
        fprintf(err, "ring3: %s\n", error.text);
    for (unsigned i = 0; i < options.module_count; i++)
        free(options.module_names[i]);
    return result < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
