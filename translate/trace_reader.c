#include "translate/trace_reader.h"
#include "cpu/decode.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <zlib.h>

enum {
    NAMES_MAX = 1 << 16,
    /* A chunk does not grow by more than this when it is packed. */
    PACKED_MAX = TRACE_CHUNK_MAX + TRACE_CHUNK_MAX / 1000 + 64,
};

/* A trace being read. */
struct reader {
    struct trace *trace;
    FILE *file;
    uint64_t offset; /* of the chunk being read */
    trace_order_fn *order;
    void *opaque;
    uint8_t *packed, *unpacked;
    size_t size; /* of `unpacked` */
};

struct chunk_head {
    char type[5];
    uint32_t packed, unpacked, check;
};

/* What is left of a chunk's records. */
struct cursor {
    const uint8_t *at, *end;
};

static size_t cursor_left(const struct cursor *cursor)
{
    return (size_t)(cursor->end - cursor->at);
}

/* Ends the reading, with the reason. */
static bool stop(struct reader *reader, const char *what)
{
    struct trace *trace = reader->trace;

    error_set(&trace->damage, EINVAL,
              "%s: damaged at offset %" PRIu64 ": %s; the %zu block%s before it %s read",
              trace->path, reader->offset, what, trace->block_count,
              trace->block_count == 1 ? "" : "s", trace->block_count == 1 ? "was" : "were");
    return false;
}

/* --- blocks by id */

static struct traced_block *find_block(const struct trace *trace, uint64_t id)
{
    size_t low = 0, high = trace->block_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (trace->blocks[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < trace->block_count && trace->blocks[low].id == id ? &trace->blocks[low] : NULL;
}

static bool add_block(struct reader *reader, const struct traced_block *block)
{
    struct trace *trace = reader->trace;

    if (trace->block_count == trace->block_room) {
        size_t room = trace->block_room ? 2 * trace->block_room : 1024;
        if (room > TRACE_BLOCKS_MAX)
            return stop(reader, "more than 4194304 blocks; trace less, with -dfilter");
        struct traced_block *larger = realloc(trace->blocks, room * sizeof *larger);
        if (!larger)
            return stop(reader, "no memory left for it");
        trace->blocks = larger;
        trace->block_room = room;
    }
    trace->blocks[trace->block_count++] = *block;
    return true;
}

/* --- records: each function reads a chunk; false when it is damaged */

static bool read_meta(struct reader *reader, struct cursor *cursor)
{
    if (cursor_left(cursor) < 8)
        return stop(reader, "META is too short");
    reader->trace->code_cache = load_le64(cursor->at);
    return true;
}

static bool read_name(struct reader *reader, struct cursor *cursor)
{
    if (cursor_left(cursor) < 4)
        return stop(reader, "a name is cut off");
    unsigned kind = cursor->at[0], length = cursor->at[1], number = load_le16(cursor->at + 2);
    const uint8_t *text = cursor->at + 4;
    if (kind >= TRACE_NAME_KINDS)
        return stop(reader, "a name of unknown kind");
    if (length > cursor_left(cursor) - 4)
        return stop(reader, "a name is cut off");
    for (unsigned i = 0; i < length; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return stop(reader, "a name that is no text");
    char **name = &reader->trace->names[kind][number];
    if (!length || *name)
        return stop(reader, length ? "a name stands twice" : "a name is empty");
    *name = strndup((const char *)text, length);
    if (!*name)
        return stop(reader, "no memory left for it");
    cursor->at = text + length;
    return true;
}

static bool read_names(struct reader *reader, struct cursor *cursor)
{
    while (cursor_left(cursor))
        if (!read_name(reader, cursor))
            return false;
    return true;
}

static bool check_insns(struct reader *reader, const struct traced_block *block)
{
    const struct trace *trace = reader->trace;
    unsigned before = 0;

    for (unsigned i = 0; i < block->insn_count; i++) {
        struct trace_insn insn = traced_insn(block, i);
        if (!insn.guest_length || insn.guest_length > INSN_LENGTH_MAX ||
            insn.guest_offset + insn.guest_length > block->guest_bytes)
            return stop(reader, "an instruction lies outside its block");
        if (insn.host_offset < before || insn.host_offset > block->tail_offset)
            return stop(reader, "the host code of an instruction is out of place");
        before = insn.host_offset;
        if (insn.mark >= TRACE_MARKS || insn.policy >= TRACE_POLICIES_MAX)
            return stop(reader, "an instruction with an unknown mark or policy");
        if (!trace->names[TRACE_NAME_ROW][insn.row] ||
            !trace->names[TRACE_NAME_POLICY][insn.policy])
            return stop(reader, "an instruction without a name");
    }
    return true;
}

/* MODE_CODE when it is unknown: no code has that size. */
static uint32_t read_mode(uint8_t code_bits, uint8_t flags)
{
    if (flags & ~(TRACE_FLAG_PROTECTED | TRACE_FLAG_V86))
        return MODE_CODE;
    return (flags & TRACE_FLAG_PROTECTED ? MODE_PROTECTED : 0) |
           (flags & TRACE_FLAG_V86 ? MODE_V86 : 0) |
           (code_bits == 16   ? CODE_16
            : code_bits == 32 ? CODE_32
            : code_bits == 64 ? CODE_64
                              : MODE_CODE);
}

static bool read_block(struct reader *reader, struct cursor *cursor)
{
    const struct trace *trace = reader->trace;
    const uint8_t *at = cursor->at;

    if (cursor_left(cursor) < TRACE_BLOCK_HEAD)
        return stop(reader, "a block is cut off");
    struct traced_block block = {
        .id = load_le64(at),
        .gpa = load_le64(at + 8),
        .linear = load_le64(at + 16),
        .rip = load_le64(at + 24),
        .cr3 = load_le64(at + 32),
        .cache_offset = load_le32(at + 40),
        .guest_bytes = load_le16(at + 44),
        .host_bytes = load_le16(at + 46),
        .tail_offset = load_le16(at + 48),
        .insn_count = load_le16(at + 50),
        .mode = read_mode(at[52], at[53]),
        .record = at + TRACE_BLOCK_HEAD,
    };
    size_t rest =
        (size_t)block.insn_count * TRACE_INSN_BYTES + block.guest_bytes + block.host_bytes;
    if (rest > cursor_left(cursor) - TRACE_BLOCK_HEAD)
        return stop(reader, "a block is cut off");
    if ((block.mode & MODE_CODE) > CODE_64)
        return stop(reader, "a block of an unknown mode");
    if (!block.insn_count || !block.guest_bytes || block.tail_offset > block.host_bytes)
        return stop(reader, "a block that makes no sense");
    if (trace->block_count && block.id <= trace->blocks[trace->block_count - 1].id)
        return stop(reader, "the blocks are not in order");
    if (!check_insns(reader, &block))
        return false;
    cursor->at = block.record + rest;
    return add_block(reader, &block);
}

/* The blocks refer to the chunk's bytes, which become the trace's. */
static bool read_blocks(struct reader *reader, struct cursor *cursor)
{
    struct trace *trace = reader->trace;
    size_t size = cursor_left(cursor);

    if (size > TRACE_RECORD_BYTES_MAX - trace->record_bytes)
        return stop(reader, "more than 1 GiB of blocks; trace less, with -dfilter");
    if (!size)
        return true;
    uint8_t **chunks = realloc(trace->chunks, (trace->chunk_count + 1) * sizeof *chunks);
    if (!chunks)
        return stop(reader, "no memory left for it");
    trace->chunks = chunks;
    uint8_t *own = malloc(size);
    if (!own)
        return stop(reader, "no memory left for it");
    chunks[trace->chunk_count++] = memcpy(own, cursor->at, size);
    trace->record_bytes += size;
    *cursor = (struct cursor){own, own + size};
    while (cursor_left(cursor))
        if (!read_block(reader, cursor))
            return false;
    return true;
}

static bool read_varint(struct cursor *cursor, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 7 * TRACE_VARINT_MAX && cursor_left(cursor); shift += 7) {
        uint8_t byte = *cursor->at++;
        if (shift == 63 && byte > 1)
            return false;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

static bool read_counts(struct reader *reader, struct cursor *cursor)
{
    while (cursor_left(cursor)) {
        uint64_t id, executions;
        if (!read_varint(cursor, &id) || !read_varint(cursor, &executions))
            return stop(reader, "a count is cut off");
        struct traced_block *block = find_block(reader->trace, id);
        if (block)
            block->executions = executions;
    }
    return true;
}

static bool read_order(struct reader *reader, struct cursor *cursor)
{
    struct traced_block *block = NULL;
    uint64_t id = 0, step;

    while (cursor_left(cursor)) {
        if (!read_varint(cursor, &step))
            return stop(reader, "an execution is cut off");
        id += step >> 1 ^ -(step & 1);
        if (!block || block->id != id)
            block = find_block(reader->trace, id);
        if (!block)
            continue;
        block->in_order++;
        if (reader->order)
            reader->order(reader->opaque, reader->trace, block);
    }
    return true;
}

static bool read_done(struct reader *reader, struct cursor *cursor)
{
    if (cursor_left(cursor) < 8 || load_le64(cursor->at) != reader->trace->block_count)
        return stop(reader, "it counts its blocks otherwise");
    reader->trace->ended = true;
    return true;
}

/* --- chunks */

static bool parse_chunk(struct reader *reader, const char *type)
{
    static const struct {
        const char *type;
        bool (*read)(struct reader *reader, struct cursor *cursor);
    } types[] = {
        {"META", read_meta},   {"NAME", read_names}, {"BLKS", read_blocks},
        {"CNTS", read_counts}, {"EXEC", read_order}, {"DONE", read_done},
    };
    struct cursor cursor = {reader->unpacked, reader->unpacked + reader->size};

    for (unsigned i = 0; i < ARRAY_LENGTH(types); i++)
        if (!strcmp(types[i].type, type))
            return types[i].read(reader, &cursor);
    return true;
}

static bool cut_off(struct reader *reader)
{
    return ferror(reader->file) ? stop(reader, strerror(errno)) : stop(reader, "it is cut off");
}

static bool read_chunk(struct reader *reader)
{
    uint8_t bytes[TRACE_CHUNK_HEAD];
    struct chunk_head head = {.type = ""};
    uLongf unpacked = TRACE_CHUNK_MAX;

    if (fread(bytes, 1, sizeof bytes, reader->file) != sizeof bytes)
        return cut_off(reader);
    memcpy(head.type, bytes, 4);
    head.packed = load_le32(bytes + 4);
    head.unpacked = load_le32(bytes + 8);
    head.check = load_le32(bytes + 12);
    if (head.packed > PACKED_MAX || head.unpacked > TRACE_CHUNK_MAX)
        return stop(reader, "this is no chunk");
    if (fread(reader->packed, 1, head.packed, reader->file) != head.packed)
        return cut_off(reader);
    uint32_t check = (uint32_t)crc32(0, bytes, 12);
    if ((uint32_t)crc32(check, reader->packed, head.packed) != head.check)
        return stop(reader, "its checksum is wrong");
    if (uncompress(reader->unpacked, &unpacked, reader->packed, head.packed) != Z_OK ||
        unpacked != head.unpacked)
        return stop(reader, "it does not unpack");
    reader->size = unpacked;
    if (!parse_chunk(reader, head.type))
        return false;
    reader->offset += TRACE_CHUNK_HEAD + head.packed;
    return true;
}

static void read_chunks(struct reader *reader)
{
    struct trace *trace = reader->trace;

    while (!trace->ended)
        if (!read_chunk(reader))
            return;
    if (fgetc(reader->file) != EOF)
        stop(reader, "more follows the end");
}

/* --- the file */

static int read_file_head(struct reader *reader, struct error *error)
{
    const char *path = reader->trace->path;
    uint8_t head[TRACE_FILE_HEAD];
    size_t got = fread(head, 1, sizeof head, reader->file);

    if (ferror(reader->file))
        return error_set(error, errno, "%s: cannot read: %s", path, strerror(errno));
    if (!got)
        return error_set(error, EINVAL, "%s: empty; a trace begins with '" TRACE_MAGIC "'", path);
    if (memcmp(head, TRACE_MAGIC, got < 8 ? got : 8))
        return error_set(error, EINVAL,
                         "%s: no block trace: it does not begin with '" TRACE_MAGIC
                         "'; --trace-blocks FILE makes one",
                         path);
    if (got < sizeof head)
        return error_set(error, EINVAL, "%s: damaged: cut off after %zu bytes", path, got);
    if (load_le32(head + 12) != (uint32_t)crc32(0, head, 12))
        return error_set(error, EINVAL,
                         "%s: damaged at offset 0: the checksum of its head is wrong", path);
    if (load_le32(head + 8) != TRACE_VERSION)
        return error_set(error, EINVAL, "%s: a trace of version %u; this ring3 reads version %u",
                         path, load_le32(head + 8), TRACE_VERSION);
    reader->offset = sizeof head;
    return 0;
}

static int read_all(struct reader *reader, struct error *error)
{
    struct trace *trace = reader->trace;

    reader->packed = malloc(PACKED_MAX);
    reader->unpacked = malloc(TRACE_CHUNK_MAX);
    for (unsigned kind = 0; kind < TRACE_NAME_KINDS; kind++)
        trace->names[kind] = calloc(NAMES_MAX, sizeof *trace->names[kind]);
    if (!reader->packed || !reader->unpacked || !trace->names[0] || !trace->names[1])
        return error_set(error, ENOMEM, "%s: no memory left for it", trace->path);
    int result = read_file_head(reader, error);
    if (!result)
        read_chunks(reader);
    for (size_t i = 0; i < trace->block_count; i++)
        if (trace->blocks[i].executions < trace->blocks[i].in_order)
            trace->blocks[i].executions = trace->blocks[i].in_order;
    return result;
}

int trace_read(struct trace *trace, const char *path, trace_order_fn *order, void *opaque,
               struct error *error)
{
    struct reader reader = {.trace = trace, .order = order, .opaque = opaque};
    struct stat status;

    *trace = (struct trace){.path = path};
    if (!stat(path, &status) && S_ISDIR(status.st_mode))
        return error_set(error, EISDIR, "%s: this is a directory; give a file in it", path);
    reader.file = fopen(path, "rbe");
    if (!reader.file)
        return error_set(error, errno, "%s: cannot open: %s; check the path", path,
                         strerror(errno));
    int result = read_all(&reader, error);
    fclose(reader.file);
    free(reader.packed);
    free(reader.unpacked);
    if (result)
        trace_free(trace);
    return result;
}

void trace_free(struct trace *trace)
{
    for (unsigned kind = 0; kind < TRACE_NAME_KINDS; kind++) {
        for (unsigned i = 0; trace->names[kind] && i < NAMES_MAX; i++)
            free(trace->names[kind][i]);
        free(trace->names[kind]);
    }
    for (size_t i = 0; i < trace->chunk_count; i++)
        free(trace->chunks[i]);
    free(trace->chunks);
    free(trace->blocks);
    *trace = (struct trace){.path = trace->path};
}

/* --- what a block holds */

const struct traced_block *trace_find(const struct trace *trace, uint64_t id)
{
    return find_block(trace, id);
}

struct trace_insn traced_insn(const struct traced_block *block, unsigned index)
{
    const uint8_t *at = block->record + (size_t)index * TRACE_INSN_BYTES;

    return (struct trace_insn){
        .row = load_le16(at),
        .guest_offset = load_le16(at + 2),
        .host_offset = load_le16(at + 4),
        .guest_length = at[6],
        .mark = at[7],
        .policy = at[8],
    };
}

struct trace_block traced_unpack(const struct traced_block *block, struct trace_insn *insns)
{
    const uint8_t *guest = block->record + (size_t)block->insn_count * TRACE_INSN_BYTES;

    for (unsigned i = 0; i < block->insn_count; i++)
        insns[i] = traced_insn(block, i);
    return (struct trace_block){
        .id = block->id,
        .gpa = block->gpa,
        .linear = block->linear,
        .rip = block->rip,
        .cr3 = block->cr3,
        .mode = block->mode,
        .cache_offset = block->cache_offset,
        .guest_bytes = block->guest_bytes,
        .host_bytes = block->host_bytes,
        .tail_offset = block->tail_offset,
        .insn_count = block->insn_count,
        .guest = guest,
        .host = guest + block->guest_bytes,
        .insns = insns,
    };
}
