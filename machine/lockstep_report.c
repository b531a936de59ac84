/* What is said about the first difference. */
#include "machine/lockstep_priv.h"

#include "translate/disassemble.h"
#include "translate/translated.h"

#include <inttypes.h>

/* The block's bytes as they are now; returns how many, at most `room`. */
static unsigned block_bytes_now(const struct lockstep *lockstep, const struct block *block,
                                uint8_t *bytes, unsigned room)
{
    unsigned count = block->bytes < room ? block->bytes : room;
    unsigned first = PAGE_BYTES - (unsigned)(block->gpa & PAGE_OFFSET_MASK);
    if (first > count)
        first = count;
    physmem_read(lockstep->memory, GPA(block->gpa), bytes, first);
    if (count > first)
        physmem_read(lockstep->memory, GPA(block->second_gpa), bytes + first, count - first);
    return count;
}

static void report_ran(const struct lockstep *lockstep, const struct lockstep_ran *ran,
                       struct disassembler *disassembler)
{
    FILE *out = lockstep->out;
    const struct block *block = ran->block;
    uint8_t bytes[BLOCK_INSNS_MAX * 15];
    unsigned count = block_bytes_now(lockstep, block, bytes, sizeof bytes);

    fprintf(out, "  block      %" PRIx64 " at GPA %" PRIx64 "%s\n  bytes     ", ran->rip,
            block->gpa, block->dead ? "; its bytes have been written since" : "");
    for (unsigned i = 0; i < count; i++)
        fprintf(out, " %02x", bytes[i]);
    fprintf(out, "\n  rows      ");
    for (unsigned i = 0; i < block->count; i++)
        fprintf(out, " %s", opcode_rows[block->insns[i].row].id);
    fprintf(out, "\n  guest code\n");
    if (disassembler)
        disassemble_lines(disassembler, out, "    ", block->mode & MODE_CODE, bytes, count,
                          ran->rip);
}

/* What the engine made of the block. */
static void report_translation(const struct lockstep *lockstep, const struct block *block,
                               struct disassembler *disassembler)
{
    const struct translated *translation = block->translation;
    if (!lockstep->leader->engine || !translation || !disassembler)
        return;
    const struct code_cache *cache = &translator_of(lockstep->leader)->cache;
    const uint8_t *cold = code_executable(cache, code_at(cache, translation->cold));
    fprintf(lockstep->out, "  host code, %u bytes\n", translation->bytes);
    disassemble_host_lines(disassembler, lockstep->out, "    ", translation->code,
                           translation->bytes, (uintptr_t)translation->code);
    if (!translation->cold_bytes)
        return;
    fprintf(lockstep->out, "  slow paths and exits, %u bytes\n", translation->cold_bytes);
    disassemble_host_lines(disassembler, lockstep->out, "    ", cold, translation->cold_bytes,
                           (uintptr_t)cold);
}

static void report_code(const struct lockstep *lockstep)
{
    struct disassembler *disassembler = NULL;
    if (!lockstep->ran.count)
        return;
    if (disassembler_new(&disassembler, NULL) < 0)
        disassembler = NULL;
    for (size_t i = 0; i < lockstep->ran.count; i++)
        report_ran(lockstep, &lockstep->ran.items[i], disassembler);
    const struct block *first = lockstep->ran.items[0].block;
    const uint32_t mode = first->mode & ~(uint32_t)MODE_SINGLE;
    const struct block *his = block_at(lockstep->leader, first->gpa, mode);
    for (unsigned view = 0; !his && view < WINDOWS_VIEWS; view++)
        his = block_at(lockstep->leader, first->gpa,
                       mode | lockstep->leader->native.window_modes[view]);
    if (his)
        report_translation(lockstep, his, disassembler);
    disassembler_free(disassembler);
}

void lockstep_report(struct lockstep *lockstep)
{
    FILE *out = lockstep->out;
    snprintf(lockstep->line, sizeof lockstep->line,
             "lockstep: %s differs after block %" PRIu64 ": %s, and interpreted %s",
             lockstep->field, lockstep->turns, lockstep->of_leader, lockstep->of_twin);
    fprintf(out, "lockstep: the first difference, in block %" PRIu64 ", instruction %" PRIu64 "\n",
            lockstep->turns, lockstep->count.instructions + lockstep->instructions);
    fprintf(out, "  seed       %" PRIu64 "\n", lockstep->seed);
    fprintf(out, "  field      %s\n  engine     %s\n  interpreter %s\n", lockstep->field,
            lockstep->of_leader, lockstep->of_twin);
    if (lockstep->event != EVENT_NONE)
        fprintf(out, "  an event was taken at %" PRIx64 "\n", lockstep->rip);
    fprintf(out, "  instructions %" PRIu64 "%s\n", lockstep->instructions,
            lockstep->faulted ? ", and an exception" : "");
    report_code(lockstep);
    fprintf(out, "the engine's processor\n");
    cpu_describe(lockstep->leader, out);
    fprintf(out, "the interpreter's processor\n");
    cpu_describe(lockstep->twin, out);
    fflush(out);
}

void lockstep_summarise(const struct lockstep *lockstep)
{
    const struct lockstep_count *count = &lockstep->count;
    fprintf(lockstep->out,
            "lockstep: no difference in %" PRIu64 " blocks, %" PRIu64 " instructions, %" PRIu64
            " interrupts, %" PRIu64 " exceptions, %" PRIu64 " device accesses, %" PRIu64
            " written ranges; %" PRIu64 " whole memories; undefined flags let pass %" PRIu64
            " times, and %" PRIu64 " decisions by them; seed %" PRIu64 "\n",
            count->blocks, count->instructions, count->interrupts, count->exceptions,
            count->accesses, count->stores, count->memories, count->flags_undefined,
            count->undefined_decided, lockstep->seed);
}
