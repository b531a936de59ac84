/* The block trace: what the translator made of each guest block, and how often it ran.
 *
 * Owns the file format and its writer; trace_reader.h reads it.  Knows nothing of the translator.
 *
 * A trace can be read up to where it was cut off or damaged: it is a row of chunks, each packed and
 * checked by itself.  It outlives the version that wrote it: rows of the opcode table and policies
 * are named in the file, modes are spelled out, and no field is a host pointer (the one host
 * address is META's).  All integers are little-endian; "varint" is 7 bits a byte, lowest first, bit
 * 7 set on all but the last, at most 10 bytes.
 *
 *   file    0   8  "ring3trc"
 *           8   4  version: 1
 *          12   4  CRC-32 of the first 12 bytes
 *          16      chunks; the last is DONE
 *
 *   chunk   0   4  type; a reader skips those that it does not know
 *           4   4  packed bytes
 *           8   4  unpacked bytes, at most 1 MiB
 *          12   4  CRC-32 of the 12 bytes before and of the packed bytes
 *          16      the records, as one zlib stream
 *
 *   META    0   8  host address of the code cache as it executes
 *
 *   NAME    0   1  0: a row of the opcode table, 1: a policy
 *           1   1  length of the name
 *           2   2  number
 *           4      the name, printable ASCII; stands before the first BLKS that uses the number
 *
 *   BLKS    0   8  id; each is above the one before
 *           8   8  physical address of the first byte
 *          16   8  linear address
 *          24   8  RIP: the linear address less the base of CS
 *          32   8  CR3 when it was translated
 *          40   4  place of the host code in the code cache; FFFFFFFFh: not known
 *          44   2  guest bytes, above 0
 *          46   2  host bytes
 *          48   2  where in the host bytes the tail begins: what belongs to no single instruction
 *          50   2  instructions, above 0
 *          52   1  16, 32 or 64: size of the code
 *          53   1  bit 0: protected mode, bit 1: virtual-8086 mode
 *          54   2  0
 *          56      for each instruction:
 *                     0 2 row    2 2 place in the guest bytes    4 2 place in the host bytes
 *                     6 1 length, 1 to 15    7 1 enum trace_mark    8 1 policy, below 16    9 1 0
 *                  places in the host bytes ascend and do not exceed the tail's
 *                  the guest bytes, the host bytes
 *
 *   CNTS           varints: id, executions so far; the last of an id counts
 *   EXEC           executions in their order; varints: the id less the id before (0 at the chunk's
 *                  beginning), as (d << 1) ^ (d >> 63)
 *   DONE    0   8  number of blocks in the file
 *
 * Ids in CNTS and EXEC that no block has (because it was filtered out) mean nothing.
 *
 * INV-1: a block's names, and the block, are in the file before its executions.
 */
#ifndef TRANSLATE_TRACE_FILE_H
#define TRANSLATE_TRACE_FILE_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRACE_MAGIC   "ring3trc"
#define TRACE_NOWHERE UINT32_MAX /* a cache_offset that is not known */

enum {
    TRACE_VERSION = 1,
    TRACE_FILE_HEAD = 16,
    TRACE_CHUNK_HEAD = 16,
    TRACE_CHUNK_MAX = 1 << 20,
    TRACE_BLOCK_HEAD = 56,
    TRACE_INSN_BYTES = 10,
    TRACE_VARINT_MAX = 10,
    TRACE_POLICIES_MAX = 16,
};

enum trace_name_kind { TRACE_NAME_ROW, TRACE_NAME_POLICY, TRACE_NAME_KINDS };
enum { TRACE_FLAG_PROTECTED = 1, TRACE_FLAG_V86 = 2 };

/* What became of a guest instruction. */
enum trace_mark {
    TRACE_IDENTICAL,   /* copied unchanged */
    TRACE_REWRITTEN,   /* translated into something else */
    TRACE_CALLOUT,     /* a call of the hypervisor's routine */
    TRACE_INTERPRETED, /* a call of the interpreter's handler */
    TRACE_MARKS
};

struct trace_insn {
    uint16_t row;          /* enum opcode */
    uint16_t guest_offset; /* from the block's first guest byte */
    uint16_t host_offset;  /* from its first host byte; not below that of the instruction before */
    uint8_t guest_length;
    uint8_t mark;   /* enum trace_mark */
    uint8_t policy; /* enum translate_policy, of the form that the instruction has */
};

struct trace_block {
    uint64_t id; /* above that of every block before */
    uint64_t gpa, linear, rip, cr3;
    uint32_t mode;         /* MODE_… */
    uint32_t cache_offset; /* of the host code from trace_code_cache()'s address */
    uint16_t guest_bytes, host_bytes;
    uint16_t tail_offset; /* where the exits and slow paths begin; 0: there are none */
    uint16_t insn_count;
    const uint8_t *guest, *host;
    const struct trace_insn *insns; /* in the guest's order */
};

struct trace_writer;

/* Creates `path`, or truncates it.  NULL on failure. */
struct trace_writer *trace_open(const char *path, struct error *error);
/* Where the code cache executes: perf maps need it. */
void trace_code_cache(struct trace_writer *writer, uint64_t host_address);
/* The next four may be called by one thread at a time.  What cannot be written is remembered and
 * told by trace_close(). */
void trace_block_translated(struct trace_writer *writer, const struct trace_block *block);
/* `executions` since the block was translated: when it is evicted, and at the end. */
void trace_block_counts(struct trace_writer *writer, uint64_t id, uint64_t executions);
/* One execution, for a trace of their whole order. */
void trace_executed(struct trace_writer *writer, uint64_t id);
/* Hands all that is buffered to the host, so that it survives this process. */
void trace_flush(struct trace_writer *writer);
/* Ends the file and frees the writer.  Negative errno if any of it could not be written. */
int trace_close(struct trace_writer *writer, struct error *error);

#endif
