/* A perf map: one line of host address, size and name for each block, in hexadecimal.
 *
 * The code cache uses a place again after an eviction, but a map has no time: of blocks that
 * overlap, the last one stays.
 *
 * Sources: Linux, tools/perf/Documentation/jit-interface.txt.
 */
#include "translate/trace_export.h"
#include "cpu/cpu.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

static uint64_t end_of(const struct traced_block *block)
{
    return (uint64_t)block->cache_offset + block->host_bytes;
}

static int by_place(const void *left, const void *right)
{
    const struct traced_block *a = *(const struct traced_block *const *)left;
    const struct traced_block *b = *(const struct traced_block *const *)right;

    if (a->cache_offset != b->cache_offset)
        return a->cache_offset < b->cache_offset ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

/* Keeps, of the `count` blocks in the order of their places, those that were there last. */
static size_t drop_overlapped(const struct traced_block **blocks, size_t count)
{
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        const struct traced_block *block = blocks[i];
        while (kept && end_of(blocks[kept - 1]) > block->cache_offset &&
               blocks[kept - 1]->id < block->id)
            kept--;
        if (!kept || end_of(blocks[kept - 1]) <= block->cache_offset)
            blocks[kept++] = block;
    }
    return kept;
}

int trace_export_perf_map(const struct trace *trace, FILE *out, struct error *error)
{
    const struct traced_block **blocks;
    size_t count = 0;

    if (!trace->code_cache)
        return error_set(error, EINVAL,
                         "%s: it does not tell where the code cache was, so there is no perf map",
                         trace->path);
    blocks = malloc((trace->block_count + 1) * sizeof(void *));
    if (!blocks)
        return error_set(error, ENOMEM, "%s: no memory left to sort it", trace->path);
    for (size_t i = 0; i < trace->block_count; i++)
        if (trace->blocks[i].cache_offset != TRACE_NOWHERE && trace->blocks[i].host_bytes)
            blocks[count++] = &trace->blocks[i];
    qsort(blocks, count, sizeof(void *), by_place);
    count = drop_overlapped(blocks, count);
    for (size_t i = 0; i < count; i++)
        fprintf(out, "%" PRIx64 " %x guest %" PRIx64 " (%s, block %" PRIu64 ")\n",
                trace->code_cache + blocks[i]->cache_offset, blocks[i]->host_bytes,
                blocks[i]->linear, cpu_mode_name(blocks[i]->mode), blocks[i]->id);
    free(blocks);
    return 0;
}
