/* Reads a block trace (trace_file.h) into memory, as far as it is whole.
 *
 * The file may hold anything: every field is checked before it is used, and what one file may take
 * of memory is limited.
 */
#ifndef TRANSLATE_TRACE_READER_H
#define TRANSLATE_TRACE_READER_H

#include "translate/trace_file.h"

enum {
    TRACE_BLOCKS_MAX = 4 << 20,
    TRACE_RECORD_BYTES_MAX = 1 << 30, /* of BLKS records, unpacked */
};

struct traced_block {
    uint64_t id, gpa, linear, rip, cr3;
    uint64_t executions;   /* as counted, or as often as it stands in the order */
    uint32_t cache_offset; /* TRACE_NOWHERE: not known */
    uint16_t guest_bytes, host_bytes, tail_offset, insn_count;
    uint32_t mode;         /* CODE_…, MODE_PROTECTED, MODE_V86 */
    const uint8_t *record; /* its instructions, guest bytes, host bytes; in the trace's memory */
    uint64_t in_order;     /* times in EXEC */
};

struct trace {
    const char *path;
    struct traced_block *blocks; /* by id, ascending */
    size_t block_count, block_room;
    size_t record_bytes;
    uint64_t code_cache;            /* host address; 0: not known */
    bool ended;                     /* the file's end was met */
    struct error damage;            /* why the rest was not read; empty when the file was whole */
    char **names[TRACE_NAME_KINDS]; /* by number, 65536 each; NULL: the file names none */
    uint8_t **chunks;               /* what the blocks' records lie in */
    size_t chunk_count;
};

/* Called for every execution in the file's order, while it is being read. */
typedef void trace_order_fn(void *opaque, const struct trace *trace,
                            const struct traced_block *block);

/* Reads `path`, which must live as long as the trace.  A file that is no trace is an error; one
 * that is damaged is read up to the damage, which trace->damage then tells.  `order` may be NULL.
 */
int trace_read(struct trace *trace, const char *path, trace_order_fn *order, void *opaque,
               struct error *error);
void trace_free(struct trace *trace);

/* NULL: there is none. */
const struct traced_block *trace_find(const struct trace *trace, uint64_t id);
/* Instruction `index` below insn_count; its row and policy have names in the trace. */
struct trace_insn traced_insn(const struct traced_block *block, unsigned index);
/* All of the block as the writer had it; `insns` has room for insn_count. */
struct trace_block traced_unpack(const struct traced_block *block, struct trace_insn *insns);

#endif
