/* Block traces: what was written is read again; what was cut off or damaged is read up to there. */
#include "tests/rig.h"
#include "tests/trace_rig.h"
#include "translate/engine.h"
#include "translate/trace_reader.h"

#include <errno.h>

TestSuite(trace_file, .fini = remove_folder);

static void read_whole(struct trace *trace, const char *path, trace_order_fn *order, void *opaque)
{
    struct error error;

    cr_assert_eq(trace_read(trace, path, order, opaque, &error), 0, "%s", error.text);
    cr_assert_str_empty(trace->damage.text, "%s", trace->damage.text);
}

static void expect_block(const struct trace *trace, const struct traced_block *got,
                         const struct trace_block *wrote)
{
    static const char *const policies[] = {"never", "identical", "memory", "branch",
                                           "stack", "callout",   "interp"};

    cr_assert_eq(got->id, wrote->id);
    cr_expect_eq(got->gpa, wrote->gpa);
    cr_expect_eq(got->linear, wrote->linear);
    cr_expect_eq(got->rip, wrote->rip);
    cr_expect_eq(got->cr3, wrote->cr3);
    cr_expect_eq(got->cache_offset, wrote->cache_offset);
    cr_expect_eq(got->mode, wrote->mode & (MODE_CODE | MODE_PROTECTED | MODE_V86));
    cr_expect_eq(got->tail_offset, wrote->tail_offset ? wrote->tail_offset : wrote->host_bytes);
    cr_assert_eq(got->guest_bytes, wrote->guest_bytes);
    cr_assert_eq(got->host_bytes, wrote->host_bytes);
    cr_assert_eq(got->insn_count, wrote->insn_count);
    struct trace_insn *insns = calloc(got->insn_count, sizeof *insns);
    struct trace_block unpacked = traced_unpack(got, insns);
    cr_expect_arr_eq(unpacked.guest, wrote->guest, wrote->guest_bytes);
    cr_expect_arr_eq(unpacked.host, wrote->host, wrote->host_bytes);
    for (unsigned i = 0; i < wrote->insn_count; i++) {
        const struct trace_insn *expected = &wrote->insns[i];
        struct trace_insn insn = insns[i];
        cr_expect_eq(insn.guest_offset, expected->guest_offset);
        cr_expect_eq(insn.guest_length, expected->guest_length);
        cr_expect_eq(insn.host_offset, expected->host_offset);
        cr_expect_eq(insn.mark, expected->mark);
        cr_expect_str_eq(trace->names[TRACE_NAME_ROW][insn.row], opcode_rows[expected->row].id);
        cr_expect_str_eq(trace->names[TRACE_NAME_POLICY][insn.policy], policies[expected->policy]);
    }
    free(insns);
}

struct order {
    uint64_t ids[256];
    unsigned count;
};

static void note_execution(void *opaque, const struct trace *trace,
                           const struct traced_block *block)
{
    struct order *order = opaque;

    cr_assert_lt(order->count, ARRAY_LENGTH(order->ids));
    order->ids[order->count++] = block->id;
}

Test(trace_file, round_trip)
{
    static const uint64_t executions[RIG_BLOCKS] = {6, 100, 7, 7, 50};
    struct order order = {.count = 0};
    struct trace trace;

    rig_write_trace(path_of("a.trace"));
    read_whole(&trace, path_of("a.trace"), note_execution, &order);
    cr_assert_eq(trace.block_count, RIG_BLOCKS);
    cr_expect_eq(trace.code_cache, RIG_CODE_CACHE);
    for (unsigned i = 0; i < RIG_BLOCKS; i++) {
        expect_block(&trace, &trace.blocks[i], &rig_blocks[i]);
        cr_expect_eq(trace.blocks[i].executions, executions[i], "block %u", i);
        cr_expect_eq(trace_find(&trace, rig_blocks[i].id), &trace.blocks[i]);
    }
    cr_expect_null(trace_find(&trace, 0));
    cr_expect_null(trace_find(&trace, 5));
    cr_expect_null(trace_find(&trace, UINT64_MAX));
    cr_assert_eq(order.count, 52);
    cr_expect_eq(order.ids[0], 4);
    for (unsigned i = 1; i <= 50; i++)
        cr_expect_eq(order.ids[i], 1ull << 40);
    cr_expect_eq(order.ids[51], 3);
    trace_free(&trace);
}

Test(trace_file, nothing_translated)
{
    struct trace trace;
    struct error error;
    struct trace_writer *writer = trace_open(path_of("a.trace"), &error);

    cr_assert_eq(trace_close(writer, &error), 0);
    read_whole(&trace, path_of("a.trace"), NULL, NULL);
    cr_expect_eq(trace.block_count, 0);
    trace_free(&trace);
}

/* The largest block that there can be has a chunk to itself. */
Test(trace_file, largest_block)
{
    struct error error;
    struct trace trace;
    struct trace_insn *insns = calloc(UINT16_MAX, sizeof *insns);
    uint8_t *bytes = malloc(UINT16_MAX);
    struct trace_block block = {.guest_bytes = UINT16_MAX,
                                .host_bytes = UINT16_MAX,
                                .insn_count = UINT16_MAX,
                                .guest = bytes,
                                .host = bytes,
                                .insns = insns};

    for (unsigned i = 0; i < UINT16_MAX; i++) {
        bytes[i] = (uint8_t)(i * 2654435761u >> 24);
        insns[i] = (struct trace_insn){.row = (uint16_t)(i % OPCODE_COUNT),
                                       .guest_length = 1,
                                       .guest_offset = (uint16_t)i,
                                       .host_offset = (uint16_t)i};
    }
    struct trace_writer *writer = trace_open(path_of("a.trace"), &error);
    for (unsigned i = 0; i < 3; i++) {
        block.id++;
        trace_block_translated(writer, &block);
        trace_block_counts(writer, block.id, UINT64_MAX - i);
    }
    cr_assert_eq(trace_close(writer, &error), 0);
    read_whole(&trace, path_of("a.trace"), NULL, NULL);
    cr_assert_eq(trace.block_count, 3);
    expect_block(&trace, &trace.blocks[2], &block);
    cr_expect_eq(trace.blocks[2].executions, UINT64_MAX - 2);
    trace_free(&trace);
    free(insns);
    free(bytes);
}

enum { MANY = 6000 };

/* Blocks and executions in turn: many chunks of each type. */
static void write_many(const char *path)
{
    struct error error;
    struct trace_writer *writer = trace_open(path, &error);

    cr_assert_not_null(writer);
    for (unsigned i = 1; i <= MANY; i++) {
        struct trace_block block = rig_blocks[i % RIG_BLOCKS];
        block.id = i;
        block.gpa = i * UINT64_C(0x9e3779b97f4a7c15);
        trace_block_translated(writer, &block);
        trace_block_counts(writer, i, i);
        for (unsigned n = 0; n < 50; n++)
            trace_executed(writer, 1 + (i * 7919 + n * 104729) % i);
        if (i == MANY / 2)
            trace_flush(writer);
    }
    cr_assert_eq(trace_close(writer, &error), 0, "%s", error.text);
}

static void expect_many(const struct trace *trace)
{
    for (size_t i = 0; i < trace->block_count; i++) {
        struct trace_block block = rig_blocks[(i + 1) % RIG_BLOCKS];
        block.id = i + 1;
        block.gpa = block.id * UINT64_C(0x9e3779b97f4a7c15);
        expect_block(trace, &trace->blocks[i], &block);
    }
}

/* INV-1: cut between any two chunks, what is left makes sense, and grows. */
Test(trace_file, many_chunks)
{
    struct rig_chunks chunks;
    struct trace trace;
    struct error error;
    size_t before = 0;

    write_many(path_of("a.trace"));
    read_whole(&trace, path_of("a.trace"), NULL, NULL);
    cr_assert_eq(trace.block_count, MANY);
    expect_many(&trace);
    for (unsigned i = 0; i < MANY; i++)
        cr_expect_geq(trace.blocks[i].executions, i + 1);
    trace_free(&trace);

    struct rig_file file = rig_load_file(path_of("a.trace"));
    rig_take_apart(&file, &chunks);
    cr_assert_gt(chunks.count, 10);
    for (unsigned i = 0; i < chunks.count; i++) {
        save("cut.trace", file.bytes, chunks.chunk[i].offset);
        cr_assert_eq(trace_read(&trace, path_of("cut.trace"), NULL, NULL, &error), 0);
        cr_expect_not_null(strstr(trace.damage.text, "cut off"), "%s", trace.damage.text);
        cr_expect_geq(trace.block_count, before);
        before = trace.block_count;
        expect_many(&trace);
        trace_free(&trace);
    }
    cr_expect_eq(before, MANY);
    rig_free_chunks(&chunks);
    free(file.bytes);
}

/* --- damage */

/* The line of complaint, with how many blocks were read; asserts that there is one. */
static struct error expect_damage(const uint8_t *bytes, size_t size, size_t *blocks)
{
    struct error error = {.text = ""};
    struct trace trace;
    const char *path = path_of("bad.trace");

    save("bad.trace", bytes, size);
    *blocks = 0;
    if (!trace_read(&trace, path, NULL, NULL, &error)) {
        *blocks = trace.block_count;
        for (unsigned i = 0; i < trace.block_count; i++)
            expect_block(&trace, &trace.blocks[i], &rig_blocks[i]);
        error = trace.damage;
        trace_free(&trace);
    }
    cr_assert_str_not_empty(error.text, "%zu bytes", size);
    cr_assert_null(strchr(error.text, '\n'));
    cr_assert_not_null(strstr(error.text, "bad.trace: "), "%s", error.text);
    return error;
}

Test(trace_file, cut_off_everywhere)
{
    size_t blocks, most = 0;

    rig_write_trace(path_of("a.trace"));
    struct rig_file file = rig_load_file(path_of("a.trace"));
    for (size_t size = 0; size < file.size; size++) {
        struct error error = expect_damage(file.bytes, size, &blocks);
        cr_expect(strstr(error.text, "cut off") || !size, "%zu: %s", size, error.text);
        cr_expect_geq(blocks, most);
        most = blocks;
    }
    cr_expect_eq(most, RIG_BLOCKS);
    struct error error = expect_damage(file.bytes, file.size - 1, &blocks);
    cr_expect_not_null(strstr(error.text, "it is cut off; the 5 blocks before it were read"), "%s",
                       error.text);
    free(file.bytes);
}

Test(trace_file, damaged_everywhere)
{
    static const uint8_t flips[] = {0x01, 0x80, 0xff};
    size_t blocks;

    rig_write_trace(path_of("a.trace"));
    struct rig_file file = rig_load_file(path_of("a.trace"));
    for (size_t at = 0; at < file.size; at++) {
        uint8_t right = file.bytes[at];
        for (unsigned i = 0; i < ARRAY_LENGTH(flips); i++) {
            file.bytes[at] = right ^ flips[i];
            expect_damage(file.bytes, file.size, &blocks);
        }
        file.bytes[at] = right;
    }
    free(file.bytes);
}

Test(trace_file, refusals)
{
    struct error error;
    struct trace trace;
    size_t blocks;

    rig_write_trace(path_of("a.trace"));
    struct rig_file file = rig_load_file(path_of("a.trace"));
    uint8_t *longer = malloc(file.size + 1);
    memcpy(longer, file.bytes, file.size);
    longer[file.size] = 0;
    error = expect_damage(longer, file.size + 1, &blocks);
    cr_expect_not_null(strstr(error.text, "more follows the end"), "%s", error.text);
    cr_expect_eq(blocks, RIG_BLOCKS);
    free(longer);
    free(file.bytes);

    error = expect_damage((const uint8_t *)"ring3trd", 8, &blocks);
    cr_expect_not_null(strstr(error.text, "no block trace"), "%s", error.text);
    cr_expect_eq(trace_read(&trace, path_of(""), NULL, NULL, &error), -EISDIR);
    cr_expect_eq(trace_read(&trace, path_of("none"), NULL, NULL, &error), -ENOENT);
    cr_expect_null(trace_open(path_of("none/a.trace"), &error));
    cr_expect_not_null(strstr(error.text, "cannot create"), "%s", error.text);

    FILE *next = fopen(path_of("a.trace"), "wb");
    rig_put_head(next, TRACE_VERSION + 1);
    fclose(next);
    cr_expect_eq(trace_read(&trace, path_of("a.trace"), NULL, NULL, &error), -EINVAL);
    cr_expect_not_null(strstr(error.text, "version 2; this ring3 reads version 1"), "%s",
                       error.text);
}

/* A file that claims to be larger inside than chunks may be. */
Test(trace_file, bombs)
{
    enum { HUGE_BYTES = 8 << 20 };
    static const uint32_t announced[] = {HUGE_BYTES, TRACE_CHUNK_MAX, 0, UINT32_MAX};
    uint8_t *zeros = calloc(1, HUGE_BYTES);
    size_t blocks;

    for (unsigned i = 0; i < ARRAY_LENGTH(announced); i++) {
        FILE *file = fopen(path_of("a.trace"), "wb");
        rig_put_head(file, TRACE_VERSION);
        rig_put_chunk(file, "EXEC", zeros, HUGE_BYTES, announced[i]);
        fclose(file);
        struct rig_file loaded = rig_load_file(path_of("a.trace"));
        expect_damage(loaded.bytes, loaded.size, &blocks);
        free(loaded.bytes);
    }
    free(zeros);
}

/* Chunks of a later version are skipped; names are the file's, not this version's. */
Test(trace_file, other_versions)
{
    struct rig_chunks chunks;
    struct trace trace;

    rig_write_trace(path_of("a.trace"));
    struct rig_file file = rig_load_file(path_of("a.trace"));
    rig_take_apart(&file, &chunks);
    struct rig_chunk *done = &chunks.chunk[chunks.count - 1];
    done[1] = done[0];
    done[0] = (struct rig_chunk){"NEWS", (uint8_t *)strdup("news"), 4, 0};
    chunks.count++;
    for (unsigned i = 0; i < chunks.count; i++) {
        struct rig_chunk *chunk = &chunks.chunk[i];
        char *name =
            memcmp(chunk->type, "NAME", 4) ? NULL : memmem(chunk->bytes, chunk->size, "CPUID", 5);
        if (name)
            memcpy(name, "DIUPC", 5);
    }
    rig_put_together(path_of("b.trace"), &chunks);
    read_whole(&trace, path_of("b.trace"), NULL, NULL);
    struct trace_insn insn = traced_insn(&trace.blocks[0], 3);
    cr_expect_str_eq(trace.names[TRACE_NAME_ROW][insn.row], "DIUPC");
    trace_free(&trace);
    rig_free_chunks(&chunks);
    free(file.bytes);
}

/* The host's failure is told at the end, once. */
Test(trace_file, no_space)
{
    struct error error;
    struct trace_writer *writer = trace_open("/dev/full", &error);

    if (!writer)
        cr_skip("no /dev/full");
    for (unsigned i = 0; i < RIG_BLOCKS; i++)
        trace_block_translated(writer, &rig_blocks[i]);
    trace_flush(writer);
    trace_block_counts(writer, 3, 1);
    trace_executed(writer, 3);
    cr_expect_eq(trace_close(writer, &error), -ENOSPC);
    cr_expect_not_null(strstr(error.text, "/dev/full: cannot write the trace: "), "%s", error.text);
}

/* --- what the translator writes */

GUEST_CODE(loop, ".code16\n mov cx, 2000\n"
                 "1: add ax, bx\n mov [0x3000], dx\n cli\n dec cx\n jnz 1b\n hlt\n");

/* The loop's block, and how often it was entered after it was translated. */
Test(trace_file, translations)
{
    static const enum opcode rows[] = {OP_ADD_EvGv, OP_MOV_EvGv, OP_CLI};
    static const uint8_t marks[] = {TRACE_IDENTICAL, TRACE_REWRITTEN, TRACE_CALLOUT};
    const struct translate_options options = {.threshold = 10};
    struct error error;
    struct trace trace;
    struct rig rig;

    rig_init(&rig);
    rig_load(&rig, 0x1000, loop);
    if (translator_attach(rig.cpu, &options, &error) < 0)
        cr_skip_test("%s", error.text);
    struct trace_writer *writer = trace_open(path_of("a.trace"), &error);
    cr_assert_not_null(writer, "%s", error.text);
    translator_trace(rig.cpu, writer);
    rig_real(&rig, 0x1000);
    cr_assert_eq(cpu_run(rig.cpu), CPU_EXIT_HALTED);
    translator_detach(rig.cpu);
    rig_free(&rig);
    cr_assert_eq(trace_close(writer, &error), 0, "%s", error.text);

    read_whole(&trace, path_of("a.trace"), NULL, NULL);
    cr_expect_neq(trace.code_cache, 0);
    const struct traced_block *hot = NULL;
    uint64_t executions = 0;
    for (size_t i = 0; i < trace.block_count; i++) {
        cr_expect_eq(trace.blocks[i].linear & ~UINT64_C(0xff), 0x1000);
        if (trace.blocks[i].linear == 0x1003)
            hot = &trace.blocks[i];
        executions += trace.blocks[i].executions;
    }
    cr_assert_not_null(hot);
    cr_expect_gt(hot->host_bytes, 0);
    cr_expect_eq(hot->gpa, 0x1003);
    cr_expect_eq(hot->mode, CODE_16);
    cr_expect(executions >= 1900 && executions <= 4000, "%llu", (unsigned long long)executions);
    struct trace_insn insns[BLOCK_INSNS_MAX];
    struct trace_block block = traced_unpack(hot, insns);
    cr_expect_arr_eq(block.guest, loop_start + 3, block.guest_bytes);
    cr_assert_geq(block.insn_count, ARRAY_LENGTH(rows));
    for (unsigned i = 0; i < ARRAY_LENGTH(rows); i++) {
        cr_expect_str_eq(trace.names[TRACE_NAME_ROW][insns[i].row], opcode_rows[rows[i]].id);
        cr_expect_eq(insns[i].mark, marks[i], "%s", opcode_rows[rows[i]].id);
    }
    trace_free(&trace);
}
