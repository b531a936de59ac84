/* The MOO reader: chunks of a 4-byte type, a length and a payload, little-endian, nested once or
 * twice.  Unknown types are skipped by their length. */
#include "conform/moo.h"

#include <errno.h>

enum {
    CHUNK_HEAD = 8,
    FILE_HEAD = 12,
};

/* What is left of one chunk's payload, [at, end) of the file. */
struct span {
    size_t at, end;
};

struct chunk {
    char type[5];
    size_t offset; /* of its head */
    struct span payload;
};

static uint16_t get_16(const struct moo *moo, size_t at)
{
    uint16_t value;
    memcpy(&value, moo->file->bytes + at, sizeof value);
    return value;
}

static uint32_t get_32(const struct moo *moo, size_t at)
{
    uint32_t value;
    memcpy(&value, moo->file->bytes + at, sizeof value);
    return value;
}

static int damaged(const struct moo *moo, struct error *error, size_t offset, const char *what)
{
    return error_set(error, EINVAL, "%s: damaged at offset %zu: %s", moo->file->path, offset, what);
}

static int too_short(const struct moo *moo, struct error *error, const struct chunk *chunk)
{
    return error_set(error, EINVAL, "%s: damaged at offset %zu: %s holds less than it announces",
                     moo->file->path, chunk->offset, chunk->type);
}

static size_t span_left(const struct span *span)
{
    return span->end - span->at;
}

/* Takes the next chunk out of `span`, which is not empty. */
static int take_chunk(const struct moo *moo, struct span *span, struct chunk *chunk,
                      struct error *error)
{
    chunk->offset = span->at;
    if (span_left(span) < CHUNK_HEAD)
        return damaged(moo, error, span->at, "the head of a chunk is cut off");
    memcpy(chunk->type, moo->file->bytes + span->at, 4);
    chunk->type[4] = 0;
    for (unsigned i = 0; i < 4; i++)
        if (chunk->type[i] < ' ' || chunk->type[i] > '~')
            return damaged(moo, error, span->at, "this is no chunk");
    uint32_t length = get_32(moo, span->at + 4);
    if (length > span_left(span) - CHUNK_HEAD)
        return error_set(error, EINVAL,
                         "%s: damaged at offset %zu: %s of %u bytes goes beyond the end of what "
                         "holds it",
                         moo->file->path, span->at, chunk->type, length);
    chunk->payload.at = span->at + CHUNK_HEAD;
    chunk->payload.end = chunk->payload.at + length;
    span->at = chunk->payload.end;
    return 0;
}

static bool chunk_is(const struct chunk *chunk, const char *type)
{
    return !memcmp(chunk->type, type, 4);
}

/* --- payloads */

static void set_register(struct vector_registers *registers, unsigned n, uint32_t value)
{
    registers->present |= 1u << n;
    registers->value[n] = value;
}

/* REGS and RMSK */
static int read_registers_16(const struct moo *moo, const struct chunk *chunk,
                             struct vector_registers *registers, struct error *error)
{
    static const uint8_t order[] = {VR_EAX, VR_EBX, VR_ECX, VR_EDX, VR_CS,  VR_SS,  VR_DS,
                                    VR_ES,  VR_ESP, VR_EBP, VR_ESI, VR_EDI, VR_EIP, VR_EFLAGS};
    struct span span = chunk->payload;

    if (span_left(&span) < 2)
        return too_short(moo, error, chunk);
    uint16_t present = get_16(moo, span.at);
    if (present >> ARRAY_LENGTH(order))
        return damaged(moo, error, span.at, "there are 14 registers");
    span.at += 2;
    for (unsigned i = 0; i < ARRAY_LENGTH(order); i++) {
        if (!(present >> i & 1))
            continue;
        if (span_left(&span) < 2)
            return too_short(moo, error, chunk);
        set_register(registers, order[i], get_16(moo, span.at));
        span.at += 2;
    }
    return 0;
}

/* RG32 and RM32 */
static int read_registers_32(const struct moo *moo, const struct chunk *chunk,
                             struct vector_registers *registers, struct error *error)
{
    struct span span = chunk->payload;

    if (span_left(&span) < 4)
        return too_short(moo, error, chunk);
    uint32_t present = get_32(moo, span.at);
    if (present >> VECTOR_REGISTERS)
        return damaged(moo, error, span.at, "there are 20 registers");
    span.at += 4;
    for (unsigned i = 0; i < VECTOR_REGISTERS; i++) {
        if (!(present >> i & 1))
            continue;
        if (span_left(&span) < 4)
            return too_short(moo, error, chunk);
        set_register(registers, i, get_32(moo, span.at));
        span.at += 4;
    }
    return 0;
}

static int read_memory(const struct moo *moo, const struct chunk *chunk,
                       struct vector_memory *memory, struct error *error)
{
    struct span span = chunk->payload;

    if (span_left(&span) < 4)
        return too_short(moo, error, chunk);
    uint32_t count = get_32(moo, span.at);
    span.at += 4;
    if (count > span_left(&span) / VECTOR_MEMORY_ENTRY)
        return too_short(moo, error, chunk);
    *memory = (struct vector_memory){.entries = moo->file->bytes + span.at, .count = count};
    return 0;
}

/* A length and so many bytes: NAME and BYTS. */
static int read_counted(const struct moo *moo, const struct chunk *chunk, const uint8_t **bytes,
                        uint32_t *count, struct error *error)
{
    struct span span = chunk->payload;

    if (span_left(&span) < 4)
        return too_short(moo, error, chunk);
    *count = get_32(moo, span.at);
    if (*count > span_left(&span) - 4)
        return too_short(moo, error, chunk);
    *bytes = moo->file->bytes + span.at + 4;
    return 0;
}

/* The file's masks hold wherever the case has none of its own. */
static int read_masks(const struct moo *moo, const struct chunk *chunk,
                      struct vector_registers *masks, struct error *error)
{
    return chunk_is(chunk, "RMSK") ? read_registers_16(moo, chunk, masks, error)
                                   : read_registers_32(moo, chunk, masks, error);
}

/* INIT and FINA */
static int read_state(const struct moo *moo, const struct chunk *whole, struct test_case *test,
                      struct vector_state *state, struct error *error)
{
    struct span span = whole->payload;
    struct chunk chunk;
    int result = 0;

    while (!result && span_left(&span)) {
        result = take_chunk(moo, &span, &chunk, error);
        if (result)
            break;
        if (chunk_is(&chunk, "REGS"))
            result = read_registers_16(moo, &chunk, &state->registers, error);
        else if (chunk_is(&chunk, "RG32"))
            result = read_registers_32(moo, &chunk, &state->registers, error);
        else if (chunk_is(&chunk, "RAM "))
            result = read_memory(moo, &chunk, &state->memory, error);
        else if (chunk_is(&chunk, "RMSK") || chunk_is(&chunk, "RM32"))
            result = read_masks(moo, &chunk, &test->masks, error);
    }
    return result;
}

/* QUIRK: the address of the pushed flags, which follows, is that of the bus: wrong where it is odd.
 */
static int read_exception(const struct moo *moo, const struct chunk *chunk, struct test_case *test,
                          struct error *error)
{
    if (span_left(&chunk->payload) < 5)
        return too_short(moo, error, chunk);
    test->has_exception = true;
    test->exception = moo->file->bytes[chunk->payload.at];
    return 0;
}

static int read_case(const struct moo *moo, const struct chunk *whole, struct test_case *test,
                     struct error *error)
{
    struct span span = whole->payload;
    struct chunk chunk;
    const uint8_t *name = NULL;
    bool has_final = false;
    int result = 0;

    *test = (struct test_case){.masks = moo->masks};
    if (span_left(&span) < 4)
        return too_short(moo, error, whole);
    test->index = get_32(moo, span.at);
    span.at += 4;
    while (!result && span_left(&span)) {
        result = take_chunk(moo, &span, &chunk, error);
        if (result)
            break;
        has_final |= chunk_is(&chunk, "FINA");
        if (chunk_is(&chunk, "NAME"))
            result = read_counted(moo, &chunk, &name, &test->name_length, error);
        else if (chunk_is(&chunk, "BYTS"))
            result = read_counted(moo, &chunk, &test->bytes, &test->byte_count, error);
        else if (chunk_is(&chunk, "INIT"))
            result = read_state(moo, &chunk, test, &test->initial, error);
        else if (chunk_is(&chunk, "FINA"))
            result = read_state(moo, &chunk, test, &test->final, error);
        else if (chunk_is(&chunk, "EXCP"))
            result = read_exception(moo, &chunk, test, error);
    }
    test->name = (const char *)name;
    if (!result && !(test->initial.registers.present >> VR_EIP & 1))
        result = damaged(moo, error, whole->offset, "the case does not say where it starts");
    if (!result && !has_final)
        result = damaged(moo, error, whole->offset, "the case does not say what it expects");
    return result;
}

/* --- the file */

static int read_head(struct moo *moo, struct error *error)
{
    struct span span = {0, moo->file->size};
    struct chunk chunk;

    int result = take_chunk(moo, &span, &chunk, error);
    if (result)
        return result;
    if (span_left(&chunk.payload) < FILE_HEAD)
        return too_short(moo, error, &chunk);
    const uint8_t *head = moo->file->bytes + chunk.payload.at;
    if (head[0] != 1)
        return error_set(error, EINVAL, "%s: MOO version %u.%u; ring3 reads version 1",
                         moo->file->path, head[0], head[1]);
    moo->declared = get_32(moo, chunk.payload.at + 4);
    memcpy(moo->cpu, head + 8, 4);
    for (unsigned i = 4; i-- && moo->cpu[i] == ' ';)
        moo->cpu[i] = 0;
    moo->next = span.at;
    return 0;
}

int moo_open(struct moo *moo, const struct file_bytes *file, struct error *error)
{
    *moo = (struct moo){.file = file};
    return read_head(moo, error);
}

enum read_result moo_next(struct moo *moo, struct test_case *test, struct error *error)
{
    while (moo->next < moo->file->size) {
        struct span span = {moo->next, moo->file->size};
        struct chunk chunk;

        if (take_chunk(moo, &span, &chunk, error)) {
            moo->next = moo->file->size;
            moo->cases = moo->declared; /* said once */
            return READ_DAMAGED;
        }
        moo->next = span.at;
        if (chunk_is(&chunk, "TEST")) {
            moo->cases++;
            return read_case(moo, &chunk, test, error) ? READ_DAMAGED : READ_CASE;
        }
        if ((chunk_is(&chunk, "RMSK") || chunk_is(&chunk, "RM32")) &&
            read_masks(moo, &chunk, &moo->masks, error))
            return READ_DAMAGED;
    }
    if (moo->cases == moo->declared)
        return READ_END;
    error_set(error, EINVAL, "%s: damaged at offset %zu: it ends after %u of %u cases",
              moo->file->path, moo->file->size, moo->cases, moo->declared);
    moo->cases = moo->declared;
    return READ_DAMAGED;
}
