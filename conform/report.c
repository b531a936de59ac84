/* What a run prints: the failing case, the table, TAP 13, JSON, JUnit. */
#include "conform/suite.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

#define PROGRESS_INTERVAL_S 0.1

enum { PROGRESS_WIDTH = 40 };

static unsigned long long number(uint64_t value)
{
    return value;
}

/* --- progress */

void report_progress(struct suite *suite, unsigned file, unsigned files, double part)
{
    struct timespec now;
    char bar[PROGRESS_WIDTH + 1];

    clock_gettime(CLOCK_MONOTONIC, &now);
    double seconds = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
    if (seconds - suite->last_progress < PROGRESS_INTERVAL_S || !isatty(fileno(suite->err)))
        return;
    suite->last_progress = seconds;
    unsigned done = (unsigned)((file - 1 + part) / files * PROGRESS_WIDTH);
    for (unsigned i = 0; i < PROGRESS_WIDTH; i++)
        bar[i] = i < done ? '=' : ' ';
    bar[PROGRESS_WIDTH] = 0;
    fprintf(suite->err, "\r[%s] ", bar);
    if (suite->files)
        fprintf(suite->err, "file %u of %u, ", file, files);
    fprintf(suite->err, "%llu cases, %llu failed", number(suite->total.cases),
            number(suite->total.failed));
    fflush(suite->err);
}

void report_progress_end(struct suite *suite)
{
    if (suite->last_progress > 0)
        fputs("\r\033[K", suite->err);
    suite->last_progress = 0;
}

/* --- one case */

static const char *const register_names[VECTOR_REGISTERS] = {
    [VR_CR0] = "cr0", [VR_CR3] = "cr3", [VR_EAX] = "eax",       [VR_EBX] = "ebx", [VR_ECX] = "ecx",
    [VR_EDX] = "edx", [VR_ESI] = "esi", [VR_EDI] = "edi",       [VR_EBP] = "ebp", [VR_ESP] = "esp",
    [VR_CS] = "cs",   [VR_DS] = "ds",   [VR_ES] = "es",         [VR_FS] = "fs",   [VR_GS] = "gs",
    [VR_SS] = "ss",   [VR_EIP] = "eip", [VR_EFLAGS] = "eflags", [VR_DR6] = "dr6", [VR_DR7] = "dr7",
};

static void print_initial(FILE *to, const struct test_case *test)
{
    const struct vector_registers *registers = &test->initial.registers;

    fputs("  initial ", to);
    for (unsigned n = 0; n < VECTOR_REGISTERS; n++)
        if (registers->present >> n & 1)
            fprintf(to, " %s=%x", register_names[n], registers->value[n]);
    fputs("\n  memory  ", to);
    for (uint32_t i = 0; i < test->initial.memory.count; i++) {
        struct vector_byte byte = vector_byte(&test->initial.memory, i);
        fprintf(to, " %x:%02x", byte.address, byte.value);
    }
    fputc('\n', to);
}

static void print_mismatches(FILE *to, const struct outcome *outcome, bool expected)
{
    const struct vector_registers *registers = expected ? &outcome->expected : &outcome->got;

    fputs(expected ? "  expected" : "  got     ", to);
    for (unsigned n = 0; n < VECTOR_REGISTERS; n++)
        if (outcome->wrong_registers >> n & 1 || (n == VR_EFLAGS && outcome->wrong_flags))
            fprintf(to, " %s=%x", register_names[n], registers->value[n]);
    for (uint32_t i = 0; i < outcome->wrong_bytes && i < OUTCOME_BYTES_MAX; i++)
        fprintf(to, " %x:%02x", outcome->bytes[i].address,
                expected ? outcome->bytes[i].expected : outcome->bytes[i].got);
    if (outcome->wrong_bytes > OUTCOME_BYTES_MAX)
        fprintf(to, " and %u more bytes", outcome->wrong_bytes - OUTCOME_BYTES_MAX);
}

static void print_exception(FILE *to, int vector)
{
    if (vector >= 0)
        fprintf(to, " exception %d", vector);
}

void report_case(FILE *to, const char *path, enum engine engine,
                 const struct occurrence *occurrence, const char *mnemonic)
{
    const struct test_case *test = occurrence->test;
    const struct outcome *outcome = occurrence->outcome;

    fprintf(to, "%s case %u in %s: %.*s [%s:", path, test->index, engine_name(engine),
            (int)test->name_length, test->name ? test->name : "", mnemonic);
    for (uint32_t i = 0; i < test->byte_count; i++)
        fprintf(to, " %02x", test->bytes[i]);
    fputs("]\n", to);
    print_initial(to, test);
    print_mismatches(to, outcome, true);
    print_exception(to, test->has_exception ? test->exception : -1);
    fputc('\n', to);
    print_mismatches(to, outcome, false);
    print_exception(to, outcome->exception);
    fputs(outcome->never_ended ? " and it does not end\n" : "\n", to);
}

/* For a shell. */
static void print_word(FILE *to, const char *word)
{
    bool plain = *word && !word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                             "0123456789/._-+,:@")];

    fputs(plain ? " " : " '", to);
    for (; *word; word++)
        fputs(*word == '\'' ? "'\\''" : (char[]){*word, 0}, to);
    fputs(plain ? "" : "'", to);
}

/* The code is listed as it is translated: so it is, whichever engine failed. */
void report_command(FILE *to, const struct suite *suite, const char *path, enum engine engine)
{
    const struct suite_options *options = &suite->options;

    fputs("  alone:  ", to);
    print_word(to, program_invocation_name);
    fprintf(to, " conform --engine %s --case %llu",
            engine == ENGINE_TRANSLATE ? "translate" : "both", number(suite->number));
    if (options->strict)
        fputs(" --strict", to);
    if (options->processor)
        fprintf(to, " --cpu %s", options->processor->name);
    if (strcmp(options->model, SUITE_MODEL))
        fprintf(to, " --model %s", options->model);
    fputs(" -d in_asm,out_asm", to);
    print_word(to, path);
    fputc('\n', to);
}

void report_host_command(FILE *to, const struct suite *suite, enum engine engine, uint64_t n)
{
    const struct suite_options *options = &suite->options;

    fputs("  alone:  ", to);
    print_word(to, program_invocation_name);
    fprintf(to, " conform --host --engine %s --seed %llu --case %llu",
            engine == ENGINE_TRANSLATE ? "translate" : "both", number(options->seed), number(n));
    if (options->rows) {
        fputs(" --rows", to);
        print_word(to, options->rows);
    }
    fputs(" -d in_asm,out_asm\n", to);
}

/* --- one case of ring3's own format */

static void print_state_side(FILE *to, const struct state_case *c,
                             const struct state_outcome *outcome, bool expected)
{
    const struct state *state = expected ? &c->final : &outcome->got;

    fputs(expected ? "  expected" : "  got     ", to);
    for (unsigned field = 0; field < STATE_FIELDS; field++)
        if (state_fields_has(&outcome->wrong, field)) {
            fprintf(to, " %s=", state_field_name(field));
            state_value_write(to, &state->value[field]);
        }
    for (uint32_t i = 0; i < outcome->wrong_bytes && i < STATE_OUTCOME_BYTES_MAX; i++)
        fprintf(to, " %x:%02x", outcome->bytes[i].address,
                expected ? outcome->bytes[i].expected : outcome->bytes[i].got);
    if (outcome->wrong_bytes > STATE_OUTCOME_BYTES_MAX)
        fprintf(to, " and %u more bytes", outcome->wrong_bytes - STATE_OUTCOME_BYTES_MAX);
    if (outcome->wrong_exception) {
        const struct case_exception *exception = expected ? &c->exception : &outcome->exception;
        fputs(exception->expected ? " " : " no exception", to);
        case_exception_write(to, exception);
    }
    fputs(!expected && outcome->never_ended ? " and it does not end\n" : "\n", to);
}

void report_state_case(FILE *to, const char *path, enum engine engine, const struct state_case *c,
                       const struct state_outcome *outcome)
{
    fprintf(to, "%s line %u in %s:\n", path, c->line, engine_name(engine));
    state_case_write(to, c);
    print_state_side(to, c, outcome, true);
    print_state_side(to, c, outcome, false);
}

/* --- all of it */

struct row {
    const struct section *section;
    const struct tally *tally;
    uint16_t key;
    char text[INSTRUCTION_KEY_TEXT];
    const char *mnemonic;
};

/* Of captured processors: what 16-bit code makes of it; of the modern one: 32- or else 64-bit code.
 */
static const char *mnemonic_of(const struct row *row)
{
    const struct feature_set *features = &row->section->model.features;

    if (row->section->processor != processor_modern())
        return instruction_mnemonic(row->key, CODE_16, features);
    const char *text = instruction_mnemonic(row->key, CODE_64 | MODE_PROTECTED, features);
    return strcmp(text, "ud2") ? text
                               : instruction_mnemonic(row->key, CODE_32 | MODE_PROTECTED, features);
}

/* The next opcode that had a case; starts with section NULL.  False: no more. */
static bool next_row(const struct suite *suite, struct row *row)
{
    unsigned section = row->section ? (unsigned)(row->section - suite->sections) : 0;
    unsigned key = row->section ? row->key + 1u : 0;

    for (; section < PROCESSORS; section++, key = 0)
        for (; suite->sections[section].tallies && key < INSTRUCTION_KEYS; key++) {
            if (!suite->sections[section].tallies[key].cases)
                continue;
            row->section = &suite->sections[section];
            row->key = (uint16_t)key;
            row->tally = &row->section->tallies[key];
            row->mnemonic = mnemonic_of(row);
            instruction_key_text(row->key, row->text);
            return true;
        }
    return false;
}

static void print_differences(const struct suite *suite)
{
    bool headed = false;

    for (unsigned n = 0; n < suite_excuses(); n++) {
        if (!suite->by_excuse[n])
            continue;
        if (!headed)
            fputs("\n   cases  difference\n", suite->out);
        headed = true;
        fprintf(suite->out, "%8llu  %s: %s\n", number(suite->by_excuse[n]), suite_excuse(n).name,
                suite_excuse(n).cause);
    }
}

static void print_lacking(const struct suite *suite)
{
    if (suite->total.lacking)
        fputs("\n   cases  not run: need a feature that the processor lacks\n", suite->out);
    for (enum feature feature = 0; feature < FEATURE_COUNT; feature++)
        if (suite->by_feature[feature])
            fprintf(suite->out, "%8llu  %s\n", number(suite->by_feature[feature]),
                    feature_name(feature));
}

/* ", 3 not run", or nothing. */
static void print_not_run(const struct suite *suite, const struct tally *tally)
{
    if (tally->lacking)
        fprintf(suite->out, ", %llu not run", number(tally->lacking));
}

static void print_engines(const struct suite *suite)
{
    for (enum engine engine = 0; engine < ENGINES; engine++) {
        if (!(suite->options.engines >> engine & 1))
            continue;
        fprintf(suite->out, "%s: %llu passed, %llu excused, %llu failed", engine_name(engine),
                number(suite->by_engine[engine].passed), number(suite->by_engine[engine].excused),
                number(suite->by_engine[engine].failed));
        print_not_run(suite, &suite->by_engine[engine]);
        fputc('\n', suite->out);
    }
}

void report_table(const struct suite *suite)
{
    struct row row = {NULL};

    fputs("cpu   opcode   mnemonic     cases   passed  excused   failed  not run\n", suite->out);
    while (next_row(suite, &row))
        fprintf(suite->out, "%-5s %-8s %-9s %8llu %8llu %8llu %8llu %8llu\n",
                section_name(row.section), row.text, row.mnemonic, number(row.tally->cases),
                number(row.tally->passed), number(row.tally->excused), number(row.tally->failed),
                number(row.tally->lacking));
    print_differences(suite);
    print_lacking(suite);
    fprintf(suite->out, "\n%llu cases ", number(suite->total.cases));
    if (suite->files)
        fprintf(suite->out, "in %u files", suite->files);
    else
        fputs("on the host", suite->out);
    if (suite->options.host)
        fprintf(suite->out, ", of %u rows, seed %llu", suite->host_rows,
                number(suite->options.seed));
    fprintf(suite->out, ": %llu passed, %llu excused by named differences, %llu failed",
            number(suite->total.passed), number(suite->total.excused), number(suite->total.failed));
    print_not_run(suite, &suite->total);
    if (suite->files_damaged)
        fprintf(suite->out, "; %u files damaged or unreadable", suite->files_damaged);
    fputc('\n', suite->out);
    print_engines(suite);
}

/* Does the processor of ring3's own cases lack the row's feature?  Then no case can reach it. */
static bool is_row_lacking(const struct suite *suite, unsigned row)
{
    const struct section *section = &suite->sections[processor_number(processor_modern())];
    const struct feature_set *features = &section->model.features;

    return section->tallies &&
           (!feature_has(features, opcode_rows[row].feature) ||
            (opcode_rows[row].attributes & A_AVX && !feature_has(features, FEAT_AVX)));
}

static void print_lacking_rows(const struct suite *suite)
{
    unsigned lacking = 0;

    for (unsigned row = 0; row < OPCODE_COUNT; row++) {
        if (!is_row_lacking(suite, row))
            continue;
        fprintf(suite->out, "%s %s",
                lacking++ ? "" : "rows that the processor lacks:", opcode_rows[row].id);
    }
    if (lacking)
        fputc('\n', suite->out);
}

void report_coverage(const struct suite *suite)
{
    uint64_t reached[ENGINES] = {0};

    fputs("\n  interp translate  row\n", suite->out);
    for (unsigned row = 0; row < OPCODE_COUNT; row++) {
        for (enum engine engine = 0; engine < ENGINES; engine++)
            reached[engine] += suite->reached[engine][row] != 0;
        fprintf(suite->out, "%8llu  %8llu  %s\n", number(suite->reached[ENGINE_INTERP][row]),
                number(suite->reached[ENGINE_TRANSLATE][row]), opcode_rows[row].id);
    }
    print_lacking_rows(suite);
    for (enum engine engine = 0; engine < ENGINES; engine++) {
        if (!(suite->options.engines >> engine & 1))
            continue;
        fprintf(suite->out, "%s: %llu of %u rows reached; not:", engine_name(engine),
                number(reached[engine]), (unsigned)OPCODE_COUNT);
        for (unsigned row = 0; row < OPCODE_COUNT; row++)
            if (!suite->reached[engine][row] && !is_row_lacking(suite, row))
                fprintf(suite->out, " %s", opcode_rows[row].id);
        fputc('\n', suite->out);
    }
}

void report_tap(const struct suite *suite)
{
    struct row row = {NULL};
    unsigned tests = 0;

    fputs("TAP version 13\n", suite->out);
    while (next_row(suite, &row)) {
        fprintf(suite->out, "%s %u - %s %s %s: %llu cases, %llu excused, %llu failed",
                row.tally->failed ? "not ok" : "ok", ++tests, section_name(row.section), row.text,
                row.mnemonic, number(row.tally->cases), number(row.tally->excused),
                number(row.tally->failed));
        print_not_run(suite, row.tally);
        fputs(row.tally->lacking == row.tally->cases ? " # SKIP lacks features\n" : "\n",
              suite->out);
        if (row.tally->failed)
            fprintf(suite->out, "# %s\n", row.tally->first);
    }
    if (suite->files_damaged)
        fprintf(suite->out, "not ok %u - files: %u damaged or unreadable\n", ++tests,
                suite->files_damaged);
    fprintf(suite->out, "1..%u\n", tests);
}

/* --- JSON */

static void json_text(FILE *to, const char *text)
{
    fputc('"', to);
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == '"' || *text == '\\')
            fprintf(to, "\\u%04x", (unsigned char)*text);
        else
            fputc(*text, to);
    fputc('"', to);
}

static void json_counts(FILE *to, const struct tally *tally)
{
    fprintf(to,
            "\"cases\": %llu, \"passed\": %llu, \"excused\": %llu, \"failed\": %llu, "
            "\"lacking\": %llu",
            number(tally->cases), number(tally->passed), number(tally->excused),
            number(tally->failed), number(tally->lacking));
}

void report_json(const struct suite *suite)
{
    struct row row = {NULL};
    const char *separator = "";

    fprintf(suite->out,
            "{\n  \"engine\": \"%s\", \"model\": \"%s\", \"strict\": %s, \"shard\": %u, "
            "\"shards\": %u, "
            "\"files\": %u, \"damaged\": %u,\n  ",
            engines_name(suite->options.engines), suite->options.model,
            suite->options.strict ? "true" : "false", suite->options.shard, suite->options.shards,
            suite->files, suite->files_damaged);
    json_counts(suite->out, &suite->total);
    fputs(",\n  \"engines\": [", suite->out);
    for (enum engine engine = 0; engine < ENGINES; engine++) {
        if (!(suite->options.engines >> engine & 1))
            continue;
        fprintf(suite->out, "%s\n    {\"engine\": \"%s\", ", separator, engine_name(engine));
        json_counts(suite->out, &suite->by_engine[engine]);
        fputc('}', suite->out);
        separator = ",";
    }
    fputs("\n  ],\n  \"opcodes\": [", suite->out);
    separator = "";
    for (; next_row(suite, &row); separator = ",") {
        fprintf(suite->out, "%s\n    {\"cpu\": \"%s\", \"opcode\": \"%s\", \"mnemonic\": \"%s\", ",
                separator, section_name(row.section), row.text, row.mnemonic);
        json_counts(suite->out, row.tally);
        if (row.tally->failed) {
            fprintf(suite->out,
                    ", \"first_number\": %llu, \"first\": ", number(row.tally->first_number));
            json_text(suite->out, row.tally->first);
        }
        fputc('}', suite->out);
    }
    fputs("\n  ],\n  \"differences\": [", suite->out);
    separator = "";
    for (unsigned n = 0; n < suite_excuses(); n++) {
        if (!suite->by_excuse[n])
            continue;
        fprintf(suite->out, "%s\n    {\"cases\": %llu, \"name\": ", separator,
                number(suite->by_excuse[n]));
        json_text(suite->out, suite_excuse(n).name);
        fputs(", \"cause\": ", suite->out);
        json_text(suite->out, suite_excuse(n).cause);
        fputc('}', suite->out);
        separator = ",";
    }
    fputs("\n  ],\n  \"lacking\": [", suite->out);
    separator = "";
    for (enum feature feature = 0; feature < FEATURE_COUNT; feature++) {
        if (!suite->by_feature[feature])
            continue;
        fprintf(suite->out, "%s\n    {\"cases\": %llu, \"feature\": \"%s\"}", separator,
                number(suite->by_feature[feature]), feature_name(feature));
        separator = ",";
    }
    fputs("\n  ]\n}\n", suite->out);
}

/* --- JUnit: a test suite for each processor, a test case for each opcode */

static void xml_text(FILE *to, const char *text)
{
    for (; *text; text++)
        switch (*text) {
        case '&':
            fputs("&amp;", to);
            break;
        case '<':
            fputs("&lt;", to);
            break;
        case '>':
            fputs("&gt;", to);
            break;
        case '"':
            fputs("&quot;", to);
            break;
        default:
            fputc((unsigned char)*text < ' ' || *text & 0x80 ? '?' : *text, to);
            break;
        }
}

static void junit_section(FILE *to, const struct suite *suite, const struct section *section)
{
    struct row row = {NULL};
    unsigned tests = 0, failures = 0;

    while (next_row(suite, &row))
        if (row.section == section) {
            tests++;
            failures += row.tally->failed != 0;
        }
    fprintf(to, "  <testsuite name=\"%s\" tests=\"%u\" failures=\"%u\">\n", section_name(section),
            tests, failures);
    row = (struct row){NULL};
    while (next_row(suite, &row)) {
        if (row.section != section)
            continue;
        fprintf(to, "    <testcase classname=\"%s\" name=\"%s %s\"", section_name(section),
                row.text, row.mnemonic);
        if (!row.tally->failed) {
            fputs(row.tally->lacking == row.tally->cases ? "><skipped/></testcase>\n" : "/>\n", to);
            continue;
        }
        fprintf(to, ">\n      <failure message=\"%llu of %llu cases; first ",
                number(row.tally->failed), number(row.tally->cases));
        xml_text(to, row.tally->first);
        fputs("\"/>\n    </testcase>\n", to);
    }
    fputs("  </testsuite>\n", to);
}

static void junit_files(FILE *to, const struct suite *suite)
{
    if (!suite->files_damaged)
        return;
    fprintf(to,
            "  <testsuite name=\"files\" tests=\"1\" failures=\"1\">\n"
            "    <testcase classname=\"files\" name=\"whole\">\n"
            "      <failure message=\"%u of %u damaged or unreadable\"/>\n"
            "    </testcase>\n  </testsuite>\n",
            suite->files_damaged, suite->files);
}

int report_junit(const struct suite *suite, struct error *error)
{
    FILE *to = fopen(suite->options.junit, "we");

    if (!to)
        return error_set(error, errno, "--junit %s: cannot create it: %s; choose another path",
                         suite->options.junit, strerror(errno));
    fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n", to);
    for (unsigned i = 0; i < PROCESSORS; i++)
        if (suite->sections[i].tallies)
            junit_section(to, suite, &suite->sections[i]);
    junit_files(to, suite);
    fputs("</testsuites>\n", to);
    bool failed = ferror(to);
    if (fclose(to) || failed)
        return error_set(error, EIO, "--junit %s: cannot write it; free some space",
                         suite->options.junit);
    return 0;
}
