/* For the tests of block traces: a folder, a small trace with known contents, and trace files taken
 * apart into chunks and put together again. */
#ifndef TESTS_TRACE_RIG_H
#define TESTS_TRACE_RIG_H

#include "cpu/cpu.h"
#include "tests/folder_rig.h"
#include "translate/trace_file.h"

#include <zlib.h>

/* --- files */

struct rig_file {
    uint8_t *bytes;
    size_t size;
};

/* Freed by the caller; a zero byte follows what was read. */
static inline struct rig_file rig_load_file(const char *path)
{
    struct rig_file loaded = {.bytes = NULL};
    FILE *file = fopen(path, "rb");

    cr_assert_not_null(file, "%s", path);
    fseek(file, 0, SEEK_END);
    loaded.size = (size_t)ftell(file);
    rewind(file);
    loaded.bytes = calloc(1, loaded.size + 1);
    cr_assert_eq(fread(loaded.bytes, 1, loaded.size, file), loaded.size);
    fclose(file);
    return loaded;
}

/* --- the small trace */

enum { RIG_BLOCKS = 5, RIG_EXECUTIONS = 6 + 100 + 7 + 7 + 50 };
#define RIG_CODE_CACHE UINT64_C(0x7f0000001000)

/* mov rax, rbx; mov rax, [rbx]; cli; cpuid */
static const uint8_t rig_guest_64[] = {0x48, 0x89, 0xd8, 0x48, 0x8b, 0x03, 0xfa, 0x0f, 0xa2};
/* push rbp; mov rax, rbx; lea r8, [rbx]; mov rax, [r8]; call; call; ud2; pop rbp; ret */
static const uint8_t rig_host_64[] = {0x55, 0x48, 0x89, 0xd8, 0x4c, 0x8d, 0x03, 0x49,
                                      0x8b, 0x00, 0xe8, 0x00, 0x00, 0x00, 0x00, 0xe8,
                                      0x10, 0x00, 0x00, 0x00, 0x0f, 0x0b, 0x5d, 0xc3};
static const struct trace_insn rig_insns_64[] = {
    {OP_MOV_EvGv, 0, 1, 3, TRACE_IDENTICAL, IDENTICAL},
    {OP_MOV_GvEv, 3, 4, 3, TRACE_REWRITTEN, MEMORY},
    {OP_CLI, 6, 10, 1, TRACE_CALLOUT, CALLOUT},
    {OP_CPUID, 7, 15, 2, TRACE_INTERPRETED, INTERP},
};

static const uint8_t rig_guest_16[] = {0x31, 0xc0, 0xeb, 0xfc}; /* xor ax, ax; jmp -4 */
static const uint8_t rig_host_16[] = {0x66, 0x31, 0xc0, 0xc3};
static const struct trace_insn rig_insns_16[] = {
    {OP_XOR_EvGv, 0, 0, 2, TRACE_IDENTICAL, IDENTICAL},
    {OP_JMP_Jb, 2, 3, 2, TRACE_REWRITTEN, BRANCH},
};

static const uint8_t rig_guest_32[] = {0x40}; /* inc eax; in 64-bit code a REX prefix */
static const uint8_t rig_host_32[] = {0xff, 0xc0};
static const struct trace_insn rig_insns_32[] = {
    {OP_INC_Zv, 0, 0, 1, TRACE_REWRITTEN, IDENTICAL},
};

#define RIG_CODE(bits)                                                                             \
    .guest = rig_guest_##bits, .guest_bytes = sizeof rig_guest_##bits, .host = rig_host_##bits,    \
    .host_bytes = sizeof rig_host_##bits, .insns = rig_insns_##bits,                               \
    .insn_count = ARRAY_LENGTH(rig_insns_##bits)

/* A kernel's block, a boot sector's, one program's in two address spaces, a 32-bit kernel's. */
static const struct trace_block rig_blocks[RIG_BLOCKS] = {
    {.id = 3,
     .gpa = 0x1000120,
     .linear = 0xffffffff81000120,
     .rip = 0xffffffff81000120,
     .cr3 = 0x2a04000,
     .mode = CODE_64 | MODE_PROTECTED,
     .cache_offset = 0x40,
     .tail_offset = 20,
     RIG_CODE(64)},
    {.id = 4,
     .gpa = 0x7c10,
     .linear = 0x7c10,
     .rip = 0x10,
     .mode = CODE_16,
     .cache_offset = 0x80,
     RIG_CODE(16)},
    {.id = 9,
     .gpa = 0x333000,
     .linear = 0x8048000,
     .rip = 0x8048000,
     .cr3 = 0x11000,
     .mode = CODE_32 | MODE_PROTECTED,
     .cache_offset = 0xc0,
     RIG_CODE(32)},
    {.id = 10,
     .gpa = 0x444000,
     .linear = 0x8048000,
     .rip = 0x8048000,
     .cr3 = 0x22000,
     .mode = CODE_32 | MODE_PROTECTED,
     .cache_offset = TRACE_NOWHERE,
     RIG_CODE(32)},
    {.id = 1ull << 40,
     .gpa = 0x100000,
     .linear = 0xc0100000,
     .rip = 0xc0100000,
     .cr3 = 0x22000,
     .mode = CODE_32 | MODE_PROTECTED,
     .cache_offset = 0x82,
     RIG_CODE(32)},
};

/* Block 3 runs 6 times, 4 100 times, 9 and 10 7 times, and the last is seen 50 times in the order.
 */
static inline void rig_write_trace(const char *path)
{
    struct error error;
    struct trace_writer *writer = trace_open(path, &error);

    cr_assert_not_null(writer, "%s", error.text);
    trace_code_cache(writer, RIG_CODE_CACHE);
    for (unsigned i = 0; i < RIG_BLOCKS; i++)
        trace_block_translated(writer, &rig_blocks[i]);
    trace_block_counts(writer, 3, 2);
    trace_block_counts(writer, 4, 100);
    trace_block_counts(writer, 9, 7);
    trace_block_counts(writer, 10, 7);
    trace_block_counts(writer, 77, 1000000); /* filtered out */
    trace_block_counts(writer, 3, 6);
    trace_executed(writer, 4);
    for (unsigned i = 0; i < 50; i++)
        trace_executed(writer, 1ull << 40);
    trace_executed(writer, 78);
    trace_executed(writer, 3);
    cr_assert_eq(trace_close(writer, &error), 0, "%s", error.text);
}

/* --- chunks */

struct rig_chunk {
    char type[4];
    uint8_t *bytes;
    size_t size;
    size_t offset; /* in the file */
};

struct rig_chunks {
    struct rig_chunk chunk[64];
    unsigned count;
};

static inline void rig_take_apart(const struct rig_file *file, struct rig_chunks *chunks)
{
    chunks->count = 0;
    for (size_t at = TRACE_FILE_HEAD; at < file->size;) {
        struct rig_chunk *chunk = &chunks->chunk[chunks->count++];
        const uint8_t *head = file->bytes + at;
        cr_assert_lt(chunks->count, ARRAY_LENGTH(chunks->chunk));
        memcpy(chunk->type, head, 4);
        chunk->offset = at;
        chunk->size = load_le32(head + 8);
        chunk->bytes = malloc(chunk->size);
        uLongf size = chunk->size;
        cr_assert_eq(uncompress(chunk->bytes, &size, head + TRACE_CHUNK_HEAD, load_le32(head + 4)),
                     Z_OK);
        at += TRACE_CHUNK_HEAD + load_le32(head + 4);
    }
}

static inline void rig_free_chunks(struct rig_chunks *chunks)
{
    for (unsigned i = 0; i < chunks->count; i++)
        free(chunks->chunk[i].bytes);
}

static inline void rig_put_head(FILE *file, uint32_t version)
{
    uint8_t head[TRACE_FILE_HEAD];

    memcpy(head, TRACE_MAGIC, 8);
    store_le32(head + 8, version);
    store_le32(head + 12, (uint32_t)crc32(0, head, 12));
    fwrite(head, 1, sizeof head, file);
}

/* With a right checksum, whatever it announces. */
static inline void rig_put_chunk(FILE *file, const char *type, const uint8_t *bytes, size_t size,
                                 uint32_t announced)
{
    uLongf packed_size = compressBound(size);
    uint8_t head[TRACE_CHUNK_HEAD], *packed = malloc(packed_size);

    cr_assert_eq(compress2(packed, &packed_size, bytes, size, 1), Z_OK);
    memcpy(head, type, 4);
    store_le32(head + 4, (uint32_t)packed_size);
    store_le32(head + 8, announced);
    uint32_t check = (uint32_t)crc32(0, head, 12);
    store_le32(head + 12, (uint32_t)crc32(check, packed, (uInt)packed_size));
    fwrite(head, 1, sizeof head, file);
    fwrite(packed, 1, packed_size, file);
    free(packed);
}

static inline void rig_put_together(const char *path, const struct rig_chunks *chunks)
{
    FILE *file = fopen(path, "wb");

    cr_assert_not_null(file);
    rig_put_head(file, TRACE_VERSION);
    for (unsigned i = 0; i < chunks->count; i++) {
        const struct rig_chunk *chunk = &chunks->chunk[i];
        rig_put_chunk(file, chunk->type, chunk->bytes, chunk->size, (uint32_t)chunk->size);
    }
    fclose(file);
}

#endif
