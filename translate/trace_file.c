#include "translate/trace_file.h"
#include "cpu/decode.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

enum {
    CHUNK_BYTES = 128 << 10, /* a chunk is written when it has grown so large */
    PACK_LEVEL = 4,
    POLICIES = INTERP + 1,
};
_Static_assert((int)POLICIES <= TRACE_POLICIES_MAX, "the file's readers know so many policies");

static const char *const policy_names[POLICIES] = {
    [NEVER] = "never", [IDENTICAL] = "identical", [MEMORY] = "memory", [BRANCH] = "branch",
    [STACK] = "stack", [CALLOUT] = "callout",     [INTERP] = "interp",
};

/* The records of one type that are not written yet. */
struct chunk {
    const char *type;
    uint8_t *bytes;
    size_t size, room;
};

struct trace_writer {
    int fd;
    int failure; /* errno of the first thing that went wrong; nothing is written after it */
    char *path;
    z_stream pack;
    uint8_t *packed; /* room for a chunk's head and for the largest chunk when packed */
    size_t packed_room;
    struct chunk names, blocks, counts, executed;
    uint64_t block_count;
    uint64_t last_id;       /* of the last block */
    uint64_t last_executed; /* id before in this EXEC chunk */
    bool named_row[OPCODE_COUNT], named_policy[POLICIES];
};

/* --- bytes to the file */

static void write_bytes(struct trace_writer *writer, const uint8_t *bytes, size_t size)
{
    while (size && !writer->failure) {
        ssize_t written = write(writer->fd, bytes, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            writer->failure = written < 0 ? errno : EIO;
            break;
        }
        bytes += written;
        size -= (size_t)written;
    }
}

static void write_file_head(struct trace_writer *writer)
{
    uint8_t head[TRACE_FILE_HEAD];

    memcpy(head, TRACE_MAGIC, 8);
    store_le32(head + 8, TRACE_VERSION);
    store_le32(head + 12, (uint32_t)crc32(0, head, 12));
    write_bytes(writer, head, sizeof head);
}

static void write_chunk(struct trace_writer *writer, const char *type, uint8_t *bytes, size_t size)
{
    z_stream *pack = &writer->pack;
    uint8_t *head = writer->packed;

    if (writer->failure)
        return;
    deflateReset(pack);
    pack->next_in = bytes;
    pack->avail_in = (uInt)size;
    pack->next_out = head + TRACE_CHUNK_HEAD;
    pack->avail_out = (uInt)(writer->packed_room - TRACE_CHUNK_HEAD);
    BUG_ON(deflate(pack, Z_FINISH) != Z_STREAM_END);
    memcpy(head, type, 4);
    store_le32(head + 4, (uint32_t)pack->total_out);
    store_le32(head + 8, (uint32_t)size);
    uint32_t check = (uint32_t)crc32(0, head, 12);
    check = (uint32_t)crc32(check, head + TRACE_CHUNK_HEAD, (uInt)pack->total_out);
    store_le32(head + 12, check);
    write_bytes(writer, head, TRACE_CHUNK_HEAD + pack->total_out);
}

static void flush_chunk(struct trace_writer *writer, struct chunk *chunk)
{
    if (chunk->size)
        write_chunk(writer, chunk->type, chunk->bytes, chunk->size);
    chunk->size = 0;
}

static void flush_blocks(struct trace_writer *writer)
{
    flush_chunk(writer, &writer->names);
    flush_chunk(writer, &writer->blocks);
}

/* INV-1 */
static void flush_executions(struct trace_writer *writer)
{
    flush_blocks(writer);
    flush_chunk(writer, &writer->counts);
    flush_chunk(writer, &writer->executed);
    writer->last_executed = 0;
}

/* Room for `size` more bytes at the chunk's end; NULL when there is no memory or nothing is written
 * any more. */
static uint8_t *chunk_room(struct trace_writer *writer, struct chunk *chunk, size_t size)
{
    if (writer->failure)
        return NULL;
    if (size > chunk->room - chunk->size) {
        size_t room = chunk->size + size + CHUNK_BYTES;
        uint8_t *larger = realloc(chunk->bytes, room);
        if (!larger) {
            writer->failure = ENOMEM;
            return NULL;
        }
        chunk->bytes = larger;
        chunk->room = room;
    }
    return chunk->bytes + chunk->size;
}

static uint8_t *put_varint(uint8_t *at, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        *at++ = (uint8_t)(value | 0x80);
    *at++ = (uint8_t)value;
    return at;
}

/* --- records */

static void put_name(struct trace_writer *writer, enum trace_name_kind kind, unsigned number,
                     bool *named, const char *name)
{
    size_t length = strlen(name);
    uint8_t *at;

    if (*named || !(at = chunk_room(writer, &writer->names, 4 + length)))
        return;
    *named = true;
    at[0] = (uint8_t)kind;
    at[1] = (uint8_t)length;
    store_le16(at + 2, (uint16_t)number);
    memcpy(at + 4, name, length);
    writer->names.size += 4 + length;
}

static uint16_t tail_offset(const struct trace_block *block)
{
    return block->tail_offset ? block->tail_offset : block->host_bytes;
}

static void put_block_head(uint8_t *at, const struct trace_block *block)
{
    static const uint8_t code_bits[] = {[CODE_16] = 16, [CODE_32] = 32, [CODE_64] = 64};

    store_le64(at, block->id);
    store_le64(at + 8, block->gpa);
    store_le64(at + 16, block->linear);
    store_le64(at + 24, block->rip);
    store_le64(at + 32, block->cr3);
    store_le32(at + 40, block->cache_offset);
    store_le16(at + 44, block->guest_bytes);
    store_le16(at + 46, block->host_bytes);
    store_le16(at + 48, tail_offset(block));
    store_le16(at + 50, block->insn_count);
    at[52] = code_bits[block->mode & MODE_CODE];
    at[53] = (uint8_t)((block->mode & MODE_PROTECTED ? TRACE_FLAG_PROTECTED : 0) |
                       (block->mode & MODE_V86 ? TRACE_FLAG_V86 : 0));
    store_le16(at + 54, 0);
}

static void put_insn(uint8_t *at, const struct trace_insn *insn)
{
    store_le16(at, insn->row);
    store_le16(at + 2, insn->guest_offset);
    store_le16(at + 4, insn->host_offset);
    at[6] = insn->guest_length;
    at[7] = insn->mark;
    at[8] = insn->policy;
    at[9] = 0;
}

static void check_insn(const struct trace_block *block, unsigned index)
{
    const struct trace_insn *insn = &block->insns[index];

    BUG_ON(insn->row >= OPCODE_COUNT || insn->policy >= POLICIES || insn->mark >= TRACE_MARKS);
    BUG_ON(!insn->guest_length || insn->guest_length > INSN_LENGTH_MAX);
    BUG_ON(insn->guest_offset + insn->guest_length > block->guest_bytes);
    BUG_ON(insn->host_offset > tail_offset(block));
    BUG_ON(index && insn->host_offset < insn[-1].host_offset);
}

void trace_block_translated(struct trace_writer *writer, const struct trace_block *block)
{
    struct chunk *chunk = &writer->blocks;
    size_t insn_bytes = (size_t)block->insn_count * TRACE_INSN_BYTES;
    size_t size = TRACE_BLOCK_HEAD + insn_bytes + block->guest_bytes + block->host_bytes;

    BUG_ON((block->mode & MODE_CODE) > CODE_64 || !block->insn_count || !block->guest_bytes);
    BUG_ON(block->tail_offset > block->host_bytes);
    BUG_ON(writer->block_count && block->id <= writer->last_id);
    if (chunk->size && chunk->size + size > CHUNK_BYTES)
        flush_blocks(writer);
    uint8_t *at = chunk_room(writer, chunk, size);
    if (!at)
        return;
    put_block_head(at, block);
    at += TRACE_BLOCK_HEAD;
    for (unsigned i = 0; i < block->insn_count; i++) {
        const struct trace_insn *insn = &block->insns[i];
        check_insn(block, i);
        put_name(writer, TRACE_NAME_ROW, insn->row, &writer->named_row[insn->row],
                 opcode_rows[insn->row].id);
        put_name(writer, TRACE_NAME_POLICY, insn->policy, &writer->named_policy[insn->policy],
                 policy_names[insn->policy]);
        put_insn(at + (size_t)i * TRACE_INSN_BYTES, insn);
    }
    at += insn_bytes;
    memcpy(at, block->guest, block->guest_bytes);
    if (block->host_bytes)
        memcpy(at + block->guest_bytes, block->host, block->host_bytes);
    chunk->size += size;
    writer->block_count++;
    writer->last_id = block->id;
}

void trace_block_counts(struct trace_writer *writer, uint64_t id, uint64_t executions)
{
    struct chunk *chunk = &writer->counts;

    if (chunk->size > CHUNK_BYTES)
        flush_executions(writer);
    uint8_t *at = chunk_room(writer, chunk, 2 * TRACE_VARINT_MAX);
    if (at)
        chunk->size = (size_t)(put_varint(put_varint(at, id), executions) - chunk->bytes);
}

void trace_executed(struct trace_writer *writer, uint64_t id)
{
    struct chunk *chunk = &writer->executed;

    if (chunk->size > CHUNK_BYTES)
        flush_executions(writer);
    uint8_t *at = chunk_room(writer, chunk, TRACE_VARINT_MAX);
    if (!at)
        return;
    int64_t step = (int64_t)(id - writer->last_executed);
    chunk->size =
        (size_t)(put_varint(at, (uint64_t)step << 1 ^ (uint64_t)(step >> 63)) - chunk->bytes);
    writer->last_executed = id;
}

void trace_code_cache(struct trace_writer *writer, uint64_t host_address)
{
    uint8_t meta[8];

    store_le64(meta, host_address);
    write_chunk(writer, "META", meta, sizeof meta);
}

void trace_flush(struct trace_writer *writer)
{
    flush_executions(writer);
}

/* --- the file's life */

static void writer_free(struct trace_writer *writer)
{
    deflateEnd(&writer->pack);
    if (writer->fd >= 0)
        close(writer->fd);
    free(writer->names.bytes);
    free(writer->blocks.bytes);
    free(writer->counts.bytes);
    free(writer->executed.bytes);
    free(writer->packed);
    free(writer->path);
    free(writer);
}

static struct trace_writer *writer_new(const char *path)
{
    struct trace_writer *writer = calloc(1, sizeof *writer);

    if (!writer)
        return NULL;
    writer->fd = -1;
    writer->names.type = "NAME";
    writer->blocks.type = "BLKS";
    writer->counts.type = "CNTS";
    writer->executed.type = "EXEC";
    writer->path = strdup(path);
    bool packs = deflateInit(&writer->pack, PACK_LEVEL) == Z_OK;
    if (packs) {
        writer->packed_room = TRACE_CHUNK_HEAD + deflateBound(&writer->pack, TRACE_CHUNK_MAX);
        writer->packed = malloc(writer->packed_room);
    }
    if (writer->path && writer->packed)
        return writer;
    writer_free(writer);
    return NULL;
}

struct trace_writer *trace_open(const char *path, struct error *error)
{
    struct trace_writer *writer = writer_new(path);

    if (!writer) {
        error_set(error, ENOMEM, "%s: no memory left for the trace", path);
        return NULL;
    }
    writer->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (writer->fd < 0) {
        error_set(error, errno, "%s: cannot create the trace: %s; choose another path", path,
                  strerror(errno));
        writer_free(writer);
        return NULL;
    }
    write_file_head(writer);
    return writer;
}

int trace_close(struct trace_writer *writer, struct error *error)
{
    uint8_t done[8];
    int result = 0;

    flush_executions(writer);
    store_le64(done, writer->block_count);
    write_chunk(writer, "DONE", done, sizeof done);
    if (close(writer->fd) && !writer->failure)
        writer->failure = errno;
    writer->fd = -1;
    if (writer->failure)
        result = error_set(error, writer->failure,
                           "%s: cannot write the trace: %s; it holds what came before",
                           writer->path, strerror(writer->failure));
    writer_free(writer);
    return result;
}
