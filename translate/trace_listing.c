/* Blocks of a trace with guest and host code side by side. */
#include "translate/trace_report.h"
#include "cpu/decode.h"
#include "translate/disassemble.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum { LEFT_COLUMNS = 72 };

struct listing {
    const struct trace *trace;
    const struct traced_block *block;
    struct disassembler *disassembler;
    FILE *out;
    uint64_t executions; /* of all blocks */
};

static void print_heading(const struct listing *listing)
{
    const struct traced_block *block = listing->block;
    double share =
        listing->executions ? 100.0 * (double)block->executions / (double)listing->executions : 0.0;

    fprintf(listing->out, "block %" PRIu64 ": linear %" PRIx64 ", physical %" PRIx64, block->id,
            block->linear, block->gpa);
    if (block->rip != block->linear)
        fprintf(listing->out, ", RIP %" PRIx64, block->rip);
    fprintf(listing->out, ", CR3 %" PRIx64 ", %s\n", block->cr3, trace_mode_name(block));
    fprintf(listing->out,
            "  %u instruction%s, %u bytes; host code %u bytes; executed %" PRIu64
            " times (%.2f%%)\n",
            block->insn_count, block->insn_count == 1 ? "" : "s", block->guest_bytes,
            block->host_bytes, block->executions, share);
}

/* "= ffffffff81000120  4889d8            mov rax, rbx" */
static void describe_guest(const struct listing *listing, const struct trace_insn *insn, char *left,
                           size_t size)
{
    static const char marks[TRACE_MARKS] = {
        [TRACE_IDENTICAL] = '=',
        [TRACE_REWRITTEN] = '~',
        [TRACE_CALLOUT] = '!',
        [TRACE_INTERPRETED] = '?',
    };
    const struct traced_block *block = listing->block;
    const uint8_t *bytes = traced_guest(block) + insn->guest_offset;
    uint64_t address = block->rip + insn->guest_offset;
    char hex[2 * INSN_LENGTH_MAX + 1] = "", text[DISASSEMBLY_TEXT];

    for (unsigned i = 0; i < insn->guest_length; i++)
        snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
    unsigned length = disassemble(listing->disassembler, block->code_size, bytes,
                                  insn->guest_length, address, text);
    snprintf(left, size, "%c %0*" PRIx64 "  %-*s  %s", marks[insn->mark],
             block->code_size == CODE_64 ? 16 : 8, address, block->code_size == CODE_64 ? 16 : 20,
             hex, length == insn->guest_length ? text : trace_row_name(listing->trace, insn));
}

/* `left` beside the first host instruction of [from, to), the others below it. */
static void print_beside(const struct listing *listing, const char *left, unsigned from,
                         unsigned to)
{
    const uint8_t *host = traced_host(listing->block);
    unsigned at = from;

    if (at >= to && *left)
        fprintf(listing->out, "%s\n", left);
    while (at < to) {
        char text[DISASSEMBLY_TEXT];
        unsigned length = disassemble(listing->disassembler, CODE_64, host + at, to - at, at, text);
        fprintf(listing->out, "%-*s | %04x  %s\n", LEFT_COLUMNS, left, at, text);
        left = "";
        at += length;
    }
}

static void print_block(const struct listing *listing)
{
    const struct traced_block *block = listing->block;
    struct trace_insn insn = traced_insn(block, 0);

    print_heading(listing);
    print_beside(listing, "", 0, insn.host_offset);
    for (unsigned i = 0; i < block->insn_count; i++) {
        char left[DISASSEMBLY_TEXT + 64];
        unsigned from = insn.host_offset, to = block->tail_offset;
        describe_guest(listing, &insn, left, sizeof left);
        if (i + 1u < block->insn_count) {
            insn = traced_insn(block, i + 1);
            to = insn.host_offset;
        }
        print_beside(listing, left, from, to);
    }
    if (block->tail_offset < block->host_bytes)
        print_beside(listing, "  exits and slow paths", block->tail_offset, block->host_bytes);
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
    struct listing listing = {.trace = trace, .out = out, .executions = trace_executions(trace)};
    const struct traced_block **sorted = sorted_blocks(trace);
    int result = sorted ? disassembler_new(&listing.disassembler, error)
                        : error_set(error, ENOMEM, "%s: no memory left to sort it", trace->path);

    for (size_t i = 0; !result && i < count && i < trace->block_count; i++) {
        listing.block = sorted[i];
        if (i)
            fputc('\n', out);
        print_block(&listing);
    }
    disassembler_free(listing.disassembler);
    free(sorted);
    return result;
}

int trace_report_block(const struct trace *trace, FILE *out, const struct traced_block *block,
                       struct error *error)
{
    struct listing listing = {
        .trace = trace, .block = block, .out = out, .executions = trace_executions(trace)};
    int result = disassembler_new(&listing.disassembler, error);

    if (!result)
        print_block(&listing);
    disassembler_free(listing.disassembler);
    return result;
}
