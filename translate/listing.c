#include "translate/listing.h"
#include "base/log.h"
#include "cpu/decode.h"

#include <inttypes.h>

enum { LEFT_COLUMNS = 72 };

void listing_heading(FILE *out, const struct trace_block *block)
{
    fprintf(out, "block %" PRIu64 ": linear %" PRIx64 ", physical %" PRIx64, block->id,
            block->linear, block->gpa);
    if (block->rip != block->linear)
        fprintf(out, ", RIP %" PRIx64, block->rip);
    fprintf(out, ", CR3 %" PRIx64 ", %s\n", block->cr3, cpu_mode_name(block->mode));
    fprintf(out, "  %u instruction%s, %u byte%s; host code %u bytes", block->insn_count,
            block->insn_count == 1 ? "" : "s", block->guest_bytes,
            block->guest_bytes == 1 ? "" : "s", block->host_bytes);
}

/* --- code */

static void describe_guest(const struct listing *listing, const struct trace_block *block,
                           const struct trace_insn *insn, char *left, size_t size)
{
    static const char marks[TRACE_MARKS] = {
        [TRACE_IDENTICAL] = '=',
        [TRACE_REWRITTEN] = '~',
        [TRACE_CALLOUT] = '!',
        [TRACE_INTERPRETED] = '?',
    };
    const uint8_t *bytes = block->guest + insn->guest_offset;
    const unsigned code_size = block->mode & MODE_CODE;
    const bool code_64 = code_size == CODE_64;
    uint64_t address = block->rip + insn->guest_offset;
    char hex[2 * INSN_LENGTH_MAX + 1] = "", text[DISASSEMBLY_TEXT];

    for (unsigned i = 0; i < insn->guest_length; i++)
        snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
    unsigned length =
        disassemble(listing->disassembler, code_size, bytes, insn->guest_length, address, text);
    const char *row =
        listing->row_names ? listing->row_names[insn->row] : opcode_rows[insn->row].id;
    snprintf(left, size, "%c %0*" PRIx64 "  %-*s  %s", marks[insn->mark], code_64 ? 16 : 8, address,
             code_64 ? 16 : 20, hex, length == insn->guest_length ? text : row);
}

/* `left` beside the first host instruction of [from, to), the others below it. */
static void print_beside(const struct listing *listing, const struct trace_block *block,
                         const char *left, unsigned from, unsigned to)
{
    unsigned at = from;

    if (!(listing->sides & LISTING_HOST))
        at = to;
    if (at >= to && *left)
        fprintf(listing->out, "%s\n", left);
    while (at < to) {
        char text[DISASSEMBLY_TEXT];
        unsigned length =
            disassemble(listing->disassembler, CODE_64, block->host + at, to - at, at, text);
        if (listing->sides & LISTING_GUEST)
            fprintf(listing->out, "%-*s | ", LEFT_COLUMNS, left);
        fprintf(listing->out, "%04x  %s\n", at, text);
        left = "";
        at += length;
    }
}

void listing_code(const struct listing *listing, const struct trace_block *block)
{
    const unsigned tail = block->tail_offset ? block->tail_offset : block->host_bytes;
    const bool guest = listing->sides & LISTING_GUEST;

    print_beside(listing, block, "", 0, block->insns[0].host_offset);
    for (unsigned i = 0; i < block->insn_count; i++) {
        const struct trace_insn *insn = &block->insns[i];
        char left[DISASSEMBLY_TEXT + 64] = "";
        if (guest)
            describe_guest(listing, block, insn, left, sizeof left);
        print_beside(listing, block, left, insn->host_offset,
                     i + 1u < block->insn_count ? insn[1].host_offset : tail);
    }
    if (tail < block->host_bytes)
        print_beside(listing, block, listing->sides == LISTING_BOTH ? "  exits and slow paths" : "",
                     tail, block->host_bytes);
}

void listing_log(const struct trace_block *block)
{
    struct listing listing = {.out = log_stream()};

    if (!log_wants(block->linear))
        return;
    listing.sides = (log_enabled(LOG_IN_ASM) ? LISTING_GUEST : 0) |
                    (log_enabled(LOG_OUT_ASM) ? LISTING_HOST : 0);
    if (!listing.sides || disassembler_new(&listing.disassembler, NULL))
        return;
    listing_heading(listing.out, block);
    fputc('\n', listing.out);
    listing_code(&listing, block);
    fputc('\n', listing.out);
    disassembler_free(listing.disassembler);
}
