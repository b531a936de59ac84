#include "translate/trace_translation.h"
#include "base/log.h"
#include "translate/listing.h"

enum { GUEST_BYTES_MAX = BLOCK_INSNS_MAX * 15 };

_Static_assert((int)MARK_IDENTICAL == TRACE_IDENTICAL && (int)MARK_REWRITTEN == TRACE_REWRITTEN &&
                   (int)MARK_CALLOUT == TRACE_CALLOUT && (int)MARK_INTERPRETED == TRACE_INTERPRETED,
               "the translator's marks are the trace's");

/* A block keeps no bytes; the guest's memory still holds what was decoded. */
static void read_guest(const struct cpu *cpu, const struct block *block, uint8_t *bytes)
{
    size_t first = PAGE_BYTES - (block->gpa & PAGE_OFFSET_MASK);

    memset(bytes, 0, block->bytes);
    first = block->bytes < first ? block->bytes : first;
    (void)!physmem_read(cpu->mmu.physmem, GPA(block->gpa), bytes, first);
    if (first < block->bytes)
        (void)!physmem_read(cpu->mmu.physmem, GPA(block->second_gpa), bytes + first,
                            block->bytes - first);
}

static void describe_insns(const struct translating *t, struct trace_insn *insns)
{
    for (unsigned i = 0; i < t->block->count; i++) {
        const struct insn *insn = &t->block->insns[i];
        const struct opcode_row *row = &opcode_rows[insn->row];
        insns[i] = (struct trace_insn){
            .row = insn->row,
            .guest_offset = insn->offset,
            .guest_length = insn->length,
            .host_offset = t->host_offset[i],
            .mark = t->marks[i],
            .policy = insn->memory ? row->policy_memory : row->policy_register,
        };
    }
}

bool trace_wants_listings(const struct translator *translator)
{
    return translator->trace || log_enabled(LOG_IN_ASM) || log_enabled(LOG_OUT_ASM);
}

void trace_translation(const struct cpu *cpu, const struct translating *t)
{
    const struct block *block = t->block;
    struct translator *translator = t->translator;
    struct trace_writer *trace = translator->trace;
    struct trace_insn insns[BLOCK_INSNS_MAX];
    uint8_t guest[GUEST_BYTES_MAX];

    const uint64_t id = ++translator->last_id;
    if (t->translation->traced)
        t->translation->traced->id = id;
    if (likely(!trace_wants_listings(translator)))
        return;
    read_guest(cpu, block, guest);
    describe_insns(t, insns);
    const struct trace_block traced = {
        .id = id,
        .gpa = block->gpa,
        .linear = cpu->code_base + cpu->block_rip,
        .rip = cpu->block_rip,
        .cr3 = cpu->mmu.registers.cr3,
        .mode = block->mode,
        .cache_offset = (uint32_t)(t->e.start - translator->cache.writable),
        .guest_bytes = block->bytes,
        .host_bytes = (uint16_t)(t->e.at - t->e.start),
        .tail_offset = t->host_offset[block->count],
        .insn_count = block->count,
        .guest = guest,
        .host = t->e.start,
        .insns = insns,
    };
    if (trace)
        trace_block_translated(trace, &traced);
    listing_log(&traced);
}

void trace_translation_dropped(const struct translator *translator,
                               const struct translated *translation)
{
    const struct trace_count *count = translation->traced;
    if (translator->trace && count)
        trace_block_counts(translator->trace, count->id, count->executions);
}
