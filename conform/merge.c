/* Adds up the reports of a run's shards.
 *
 * The reports are read line by line, as report_json() writes them: what is not written so is not a
 * report of this program.
 */
#include "conform/suite.h"

#include <errno.h>
#include <stdlib.h>

/* What the parts say of the run that they are shards of. */
struct parts {
    bool *seen; /* by shard */
    unsigned shards, files, damaged, engines;
    bool strict;
};

struct part {
    const char *path;
    FILE *file;
    char *line;
    size_t line_size;
    unsigned line_number;
};

static int malformed(const struct part *part, struct error *error)
{
    return error_set(error, EINVAL, "%s: line %u: not as ring3 conform --json writes it",
                     part->path, part->line_number);
}

static bool next_line(struct part *part)
{
    part->line_number++;
    return getline(&part->line, &part->line_size, part->file) > 0;
}

/* The quoted text at `at`, with its \u escapes undone; NULL when it does not end. */
static const char *read_text(const char *at, char *to, size_t size)
{
    size_t length = 0;
    unsigned code;

    for (; *at && *at != '"'; at++) {
        char byte = *at;
        if (byte == '\\') {
            if (sscanf(at, "\\u%4x", &code) != 1 || strlen(at) < 6)
                return NULL;
            byte = (char)code;
            at += 5;
        }
        if (length + 1 < size)
            to[length++] = byte;
    }
    to[length] = 0;
    return *at == '"' ? at + 1 : NULL;
}

static bool adds_up(const struct tally *tally)
{
    return tally->cases == tally->passed + tally->excused + tally->failed + tally->lacking;
}

/* What is behind the counts at `at`; NULL when they are none, or do not add up. */
static const char *read_counts(const char *at, struct tally *tally)
{
    unsigned long long cases, passed, excused, failed, lacking;
    int end = 0;

    if (sscanf(at,
               " \"cases\": %llu, \"passed\": %llu, \"excused\": %llu, \"failed\": %llu, "
               "\"lacking\": %llu%n",
               &cases, &passed, &excused, &failed, &lacking, &end) != 5 ||
        !end)
        return NULL;
    *tally = (struct tally){
        .cases = cases, .passed = passed, .excused = excused, .failed = failed, .lacking = lacking};
    return adds_up(tally) ? at + end : NULL;
}

static void tally_add(struct tally *to, const struct tally *from)
{
    if (from->failed && (!to->failed || from->first_number < to->first_number)) {
        to->first_number = from->first_number;
        memcpy(to->first, from->first, sizeof to->first);
    }
    to->cases += from->cases;
    to->passed += from->passed;
    to->excused += from->excused;
    to->failed += from->failed;
    to->lacking += from->lacking;
}

static int merge_head(struct part *part, struct suite *suite, struct parts *parts,
                      struct error *error)
{
    char strict[6], engine[10], model[SUITE_MODEL_TEXT];
    struct cpu_model parsed;
    unsigned shard, shards, files, damaged;

    if (!next_line(part) || strcmp(part->line, "{\n") || !next_line(part) ||
        sscanf(part->line,
               " \"engine\": \"%9[a-z]\", \"model\": \"%95[^\"]\", \"strict\": %5[a-z], "
               "\"shard\": %u, \"shards\": %u, \"files\": %u, \"damaged\": %u,",
               engine, model, strict, &shard, &shards, &files, &damaged) != 7 ||
        cpu_model_parse(model, &parsed, error) || !engines_by_name(engine) || !shard ||
        shard > shards || shards > UINT16_MAX)
        return malformed(part, error);
    if (!parts->seen) {
        parts->seen = calloc(shards, sizeof *parts->seen);
        parts->shards = shards;
        parts->strict = !strcmp(strict, "true");
        parts->engines = engines_by_name(engine);
        memcpy(suite->model_text, model, sizeof model);
        suite->options.model = suite->model_text;
        if (!parts->seen)
            return error_set(error, ENOMEM, "no memory left for the counts");
    }
    if (shards != parts->shards || parts->strict != !strcmp(strict, "true") ||
        parts->engines != engines_by_name(engine) || strcmp(model, suite->model_text))
        return error_set(error, EINVAL, "%s: of another run: give the shards of one only",
                         part->path);
    if (parts->seen[shard - 1])
        return error_set(error, EINVAL, "%s: shard %u is there twice; give each once", part->path,
                         shard);
    parts->seen[shard - 1] = true;
    /* Each shard has opened all the files. */
    parts->files = files > parts->files ? files : parts->files;
    parts->damaged = damaged > parts->damaged ? damaged : parts->damaged;
    return 0;
}

static int key_by_text(const char *text)
{
    char other[INSTRUCTION_KEY_TEXT];

    for (unsigned key = 0; key < INSTRUCTION_KEYS; key++) {
        instruction_key_text((uint16_t)key, other);
        if (!strcmp(text, other))
            return (int)key;
    }
    return -1;
}

/* The section of that name in a report; NULL, and the line: there is none. */
static struct section *section_by_name(struct part *part, struct suite *suite, const char *name,
                                       struct error *error)
{
    const struct processor *processor = processor_by_name(name);
    struct section *section =
        suite_section(suite, processor ? processor : processor_modern(), error);

    if (section && strcmp(section_name(section), name)) {
        malformed(part, error);
        return NULL;
    }
    return section;
}

static int merge_row(struct part *part, struct suite *suite, struct tally *sum, struct error *error)
{
    char cpu[16], opcode[INSTRUCTION_KEY_TEXT];
    unsigned long long first = 0;
    struct tally tally;
    int end = 0;

    if (sscanf(part->line,
               " {\"cpu\": \"%15[^\"]\", \"opcode\": \"%7[^\"]\", \"mnemonic\": \"%*[^\"]\",%n",
               cpu, opcode, &end) != 2 ||
        !end)
        return malformed(part, error);
    const char *rest = read_counts(part->line + end, &tally);
    if (rest && tally.failed) {
        end = 0;
        if (sscanf(rest, ", \"first_number\": %llu, \"first\": \"%n", &first, &end) != 1 || !end)
            return malformed(part, error);
        rest = read_text(rest + end, tally.first, sizeof tally.first);
        tally.first_number = first;
    }
    int key = key_by_text(opcode);
    if (!rest || *rest != '}' || key < 0)
        return malformed(part, error);
    struct section *section = section_by_name(part, suite, cpu, error);
    if (!section)
        return -EINVAL;
    tally_add(&section->tallies[key], &tally);
    tally_add(sum, &tally);
    return 0;
}

static int merge_difference(struct part *part, struct suite *suite, struct tally *sum,
                            struct error *error)
{
    char name[64];
    unsigned long long cases;
    int end = 0;

    if (sscanf(part->line, " {\"cases\": %llu, \"name\": \"%n", &cases, &end) != 1 || !end ||
        !read_text(part->line + end, name, sizeof name))
        return malformed(part, error);
    for (unsigned n = 0; n < suite_excuses(); n++)
        if (!strcmp(suite_excuse(n).name, name)) {
            suite->by_excuse[n] += cases;
            return 0;
        }
    return malformed(part, error);
}

static int merge_feature(struct part *part, struct suite *suite, struct tally *sum,
                         struct error *error)
{
    char name[32];
    unsigned long long cases;

    if (sscanf(part->line, " {\"cases\": %llu, \"feature\": \"%31[^\"]\"", &cases, name) != 2 ||
        feature_by_name(name) == FEATURE_COUNT)
        return malformed(part, error);
    suite->by_feature[feature_by_name(name)] += cases;
    return 0;
}

static int merge_engine(struct part *part, struct suite *suite, struct tally *sum,
                        struct error *error)
{
    char name[10];
    struct tally tally;
    int end = 0;

    if (sscanf(part->line, " {\"engine\": \"%9[a-z]\",%n", name, &end) != 1 || !end ||
        !read_counts(part->line + end, &tally))
        return malformed(part, error);
    for (enum engine engine = 0; engine < ENGINES; engine++)
        if (!strcmp(engine_name(engine), name)) {
            tally_add(&suite->by_engine[engine], &tally);
            return 0;
        }
    return malformed(part, error);
}

typedef int merge_fn(struct part *part, struct suite *suite, struct tally *sum,
                     struct error *error);

/* The list of that name, a row a line. */
static int merge_list(struct part *part, struct suite *suite, const char *name, merge_fn *merge,
                      struct tally *sum, struct error *error)
{
    char head[32];

    snprintf(head, sizeof head, "  \"%s\": [\n", name);
    if (!next_line(part) || strcmp(part->line, head))
        return malformed(part, error);
    while (next_line(part)) {
        if (!strncmp(part->line, "  ]", 3))
            return 0;
        int result = merge(part, suite, sum, error);
        if (result)
            return result;
    }
    return malformed(part, error);
}

static int merge_lines(struct part *part, struct suite *suite, struct parts *parts,
                       struct error *error)
{
    struct tally total, sum = {0};
    int result = merge_head(part, suite, parts, error);

    if (result)
        return result;
    if (!next_line(part) || !read_counts(part->line, &total))
        return malformed(part, error);
    result = merge_list(part, suite, "engines", merge_engine, NULL, error);
    if (!result)
        result = merge_list(part, suite, "opcodes", merge_row, &sum, error);
    if (result)
        return result;
    if (sum.cases != total.cases || sum.passed != total.passed || sum.excused != total.excused ||
        sum.failed != total.failed)
        return error_set(error, EINVAL, "%s: its rows do not add up to its sum", part->path);
    tally_add(&suite->total, &sum);
    result = merge_list(part, suite, "differences", merge_difference, NULL, error);
    if (!result)
        result = merge_list(part, suite, "lacking", merge_feature, NULL, error);
    if (!result && (!next_line(part) || strcmp(part->line, "}\n")))
        result = malformed(part, error);
    return result;
}

int merge_reports(struct suite *suite, char *const paths[], unsigned count, struct error *error)
{
    struct parts parts = {NULL};
    int result = 0;

    for (unsigned i = 0; i < count && !result; i++) {
        struct part part = {.path = paths[i], .file = fopen(paths[i], "re")};
        if (!part.file) {
            result = error_set(error, errno, "%s: cannot open: %s; check the path", paths[i],
                               strerror(errno));
            break;
        }
        result = merge_lines(&part, suite, &parts, error);
        free(part.line);
        fclose(part.file);
    }
    for (unsigned shard = 0; shard < parts.shards && !result; shard++)
        if (!parts.seen[shard])
            result = error_set(error, EINVAL, "--merge: shard %u/%u is missing", shard + 1,
                               parts.shards);
    free(parts.seen);
    suite->files = parts.files;
    suite->files_damaged = parts.damaged;
    suite->options.strict = parts.strict;
    suite->options.engines = parts.engines;
    return result;
}
