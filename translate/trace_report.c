#include "translate/trace_report.h"
#include "cpu/cpu.h"
#include "translate/listing.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum { ROWS = 1 << 16, ROWS_SHOWN = 8 };

struct tally {
    uint64_t sites, executed;
};

/* Saturating: for sums of numbers that a file gave. */
static uint64_t add(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static void tally_add(struct tally *tally, uint64_t executed)
{
    tally->sites++;
    tally->executed = add(tally->executed, executed);
}

static double percent(uint64_t part, uint64_t whole)
{
    return whole ? 100.0 * (double)part / (double)whole : 0.0;
}

/* --- summary and list */

static uint64_t trace_executions(const struct trace *trace)
{
    uint64_t executions = 0;

    for (size_t i = 0; i < trace->block_count; i++)
        executions = add(executions, trace->blocks[i].executions);
    return executions;
}

static void print_tally(FILE *out, const char *name, const struct tally *tally,
                        const struct tally *whole)
{
    fprintf(out, "  %-16s %12" PRIu64 " %5.1f%% %20" PRIu64 " %5.1f%%\n", name, tally->sites,
            percent(tally->sites, whole->sites), tally->executed,
            percent(tally->executed, whole->executed));
}

static void print_tallies(FILE *out, const char *const *names, const struct tally *tallies,
                          unsigned count)
{
    struct tally whole = {0};

    for (unsigned i = 0; i < count; i++) {
        whole.sites += tallies[i].sites;
        whole.executed = add(whole.executed, tallies[i].executed);
    }
    for (unsigned i = 0; i < count; i++)
        if (tallies[i].sites)
            print_tally(out, names[i], &tallies[i], &whole);
}

void trace_report_summary(const struct trace *trace, FILE *out)
{
    static const char *const mark_names[TRACE_MARKS] = {
        [TRACE_IDENTICAL] = "= identical",
        [TRACE_REWRITTEN] = "~ rewritten",
        [TRACE_CALLOUT] = "! callout",
        [TRACE_INTERPRETED] = "? interpreted",
    };
    static const uint32_t modes[] = {
        CODE_16,
        CODE_32,
        CODE_16 | MODE_PROTECTED,
        CODE_32 | MODE_PROTECTED,
        CODE_16 | MODE_V86,
        CODE_32 | MODE_V86,
        CODE_64,
    };
    const char *mode_names[ARRAY_LENGTH(modes)];
    struct tally in_mode[ARRAY_LENGTH(modes)] = {{0}}, marks[TRACE_MARKS] = {{0}};
    uint64_t guest = 0, host = 0, insns = 0;

    for (unsigned n = 0; n < ARRAY_LENGTH(modes); n++)
        mode_names[n] = cpu_mode_name(modes[n]);
    for (size_t i = 0; i < trace->block_count; i++) {
        const struct traced_block *block = &trace->blocks[i];
        guest += block->guest_bytes;
        host += block->host_bytes;
        insns += block->insn_count;
        for (unsigned n = 0; n < ARRAY_LENGTH(modes); n++)
            if (mode_names[n] == cpu_mode_name(block->mode))
                tally_add(&in_mode[n], block->executions);
        for (unsigned n = 0; n < block->insn_count; n++)
            tally_add(&marks[traced_insn(block, n).mark], block->executions);
    }
    fprintf(out, "%s: %zu blocks, executed %" PRIu64 " times\n", trace->path, trace->block_count,
            trace_executions(trace));
    fprintf(out,
            "%" PRIu64 " instructions, %" PRIu64 " bytes; host code %" PRIu64
            " bytes, %.2f for each\n",
            insns, guest, host, guest ? (double)host / (double)guest : 0.0);
    fprintf(out, "\n  %-16s %12s %6s %20s\n", "mode", "blocks", "", "executed");
    print_tallies(out, mode_names, in_mode, ARRAY_LENGTH(modes));
    fprintf(out, "\n  %-16s %12s %6s %20s\n", "translated as", "instructions", "", "executed");
    print_tallies(out, mark_names, marks, TRACE_MARKS);
}

void trace_report_list(const struct trace *trace, FILE *out)
{
    fprintf(out, "%10s %-16s %-13s %-11s %5s %5s %5s %14s\n", "block", "linear", "physical", "mode",
            "insns", "guest", "host", "executed");
    for (size_t i = 0; i < trace->block_count; i++) {
        const struct traced_block *block = &trace->blocks[i];
        fprintf(out,
                "%10" PRIu64 " %016" PRIx64 " %013" PRIx64 " %-11s %5u %5u %5u %14" PRIu64 "\n",
                block->id, block->linear, block->gpa, cpu_mode_name(block->mode), block->insn_count,
                block->guest_bytes, block->host_bytes, block->executions);
    }
}

void trace_report_execution(const struct traced_block *block, FILE *out)
{
    fprintf(out, "%10" PRIu64 " %016" PRIx64 "\n", block->id, block->linear);
}

/* --- policies */

struct policy_row {
    unsigned row;
    struct tally tally;
};

static int by_executed(const void *left, const void *right)
{
    const struct policy_row *a = left, *b = right;

    if (a->tally.executed != b->tally.executed)
        return a->tally.executed < b->tally.executed ? 1 : -1;
    if (a->tally.sites != b->tally.sites)
        return a->tally.sites < b->tally.sites ? 1 : -1;
    return a->row < b->row ? -1 : 1;
}

static void print_policy_rows(const struct trace *trace, FILE *out, unsigned policy,
                              const struct tally *tallies, struct policy_row *rows)
{
    struct tally whole = {0};
    unsigned count = 0;

    for (unsigned row = 0; row < ROWS; row++)
        if (tallies[row].sites) {
            whole.sites += tallies[row].sites;
            whole.executed = add(whole.executed, tallies[row].executed);
            rows[count++] = (struct policy_row){row, tallies[row]};
        }
    qsort(rows, count, sizeof *rows, by_executed);
    fprintf(out, "\n%s: %u row%s\n", trace->names[TRACE_NAME_POLICY][policy], count,
            count == 1 ? "" : "s");
    for (unsigned i = 0; i < count && i < ROWS_SHOWN; i++)
        print_tally(out, trace->names[TRACE_NAME_ROW][rows[i].row], &rows[i].tally, &whole);
}

static void count_policies(const struct trace *trace, struct tally policies[TRACE_POLICIES_MAX],
                           struct tally *rows)
{
    for (size_t i = 0; i < trace->block_count; i++) {
        const struct traced_block *block = &trace->blocks[i];
        for (unsigned n = 0; n < block->insn_count; n++) {
            struct trace_insn insn = traced_insn(block, n);
            tally_add(&policies[insn.policy], block->executions);
            tally_add(&rows[insn.policy * ROWS + insn.row], block->executions);
        }
    }
}

int trace_report_policies(const struct trace *trace, FILE *out, struct error *error)
{
    struct tally policies[TRACE_POLICIES_MAX] = {{0}};
    const char *names[TRACE_POLICIES_MAX];
    struct tally *tallies = calloc((size_t)TRACE_POLICIES_MAX * ROWS, sizeof *tallies);
    struct policy_row *rows = calloc(ROWS, sizeof *rows);
    int result = 0;

    if (tallies && rows) {
        count_policies(trace, policies, tallies);
        for (unsigned policy = 0; policy < TRACE_POLICIES_MAX; policy++)
            names[policy] = trace->names[TRACE_NAME_POLICY][policy];
        fprintf(out, "  %-16s %12s %6s %20s\n", "policy", "instructions", "", "executed");
        print_tallies(out, names, policies, TRACE_POLICIES_MAX);
        for (unsigned policy = 0; policy < TRACE_POLICIES_MAX; policy++)
            if (policies[policy].sites)
                print_policy_rows(trace, out, policy, tallies + (size_t)policy * ROWS, rows);
    } else {
        result = error_set(error, ENOMEM, "%s: no memory left to count", trace->path);
    }
    free(tallies);
    free(rows);
    return result;
}

/* --- blocks with their code */

static int print_block(const struct listing *listing, const struct trace *trace,
                       const struct traced_block *traced, uint64_t executions, struct error *error)
{
    struct trace_insn *insns = calloc(traced->insn_count, sizeof *insns);

    if (!insns)
        return error_set(error, ENOMEM, "%s: no memory left to list it", trace->path);
    struct trace_block block = traced_unpack(traced, insns);
    listing_heading(listing->out, &block);
    fprintf(listing->out, "; executed %" PRIu64 " times (%.2f%%)\n", traced->executions,
            percent(traced->executions, executions));
    listing_code(listing, &block);
    free(insns);
    return 0;
}

static int print_blocks(const struct trace *trace, FILE *out,
                        const struct traced_block *const *blocks, size_t count, struct error *error)
{
    struct listing listing = {
        .out = out, .sides = LISTING_BOTH, .row_names = trace->names[TRACE_NAME_ROW]};
    const uint64_t executions = trace_executions(trace);
    int result = disassembler_new(&listing.disassembler, error);

    for (size_t i = 0; !result && i < count; i++) {
        if (i)
            fputc('\n', out);
        result = print_block(&listing, trace, blocks[i], executions, error);
    }
    disassembler_free(listing.disassembler);
    return result;
}

static int by_executions(const void *left, const void *right)
{
    const struct traced_block *a = *(const struct traced_block *const *)left;
    const struct traced_block *b = *(const struct traced_block *const *)right;

    if (a->executions != b->executions)
        return a->executions < b->executions ? 1 : -1;
    return a->id < b->id ? -1 : a->id > b->id;
}

/* The blocks, most executed first; NULL when out of memory. */
static const struct traced_block **sorted_blocks(const struct trace *trace)
{
    const struct traced_block **sorted = malloc((trace->block_count + 1) * sizeof(void *));

    if (!sorted)
        return NULL;
    for (size_t i = 0; i < trace->block_count; i++)
        sorted[i] = &trace->blocks[i];
    qsort(sorted, trace->block_count, sizeof(void *), by_executions);
    return sorted;
}

int trace_report_top(const struct trace *trace, FILE *out, size_t count, struct error *error)
{
    const struct traced_block **sorted = sorted_blocks(trace);

    if (!sorted)
        return error_set(error, ENOMEM, "%s: no memory left to sort it", trace->path);
    if (count > trace->block_count)
        count = trace->block_count;
    int result = print_blocks(trace, out, sorted, count, error);
    free(sorted);
    return result;
}

int trace_report_block(const struct trace *trace, FILE *out, const struct traced_block *block,
                       struct error *error)
{
    return print_blocks(trace, out, &block, 1, error);
}
