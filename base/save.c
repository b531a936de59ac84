#include "base/save.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void save_buffer_free(struct save_buffer *buffer)
{
    free(buffer->bytes);
    *buffer = (struct save_buffer){0};
}

/* --- writing */

static void put_bytes(struct save_buffer *buffer, const void *bytes, size_t length)
{
    if (buffer->length + length > buffer->capacity) {
        buffer->capacity = 2 * (buffer->length + length);
        buffer->bytes = realloc(buffer->bytes, buffer->capacity);
        BUG_ON(!buffer->bytes);
    }
    memcpy(buffer->bytes + buffer->length, bytes, length);
    buffer->length += length;
}

static void put_u32(struct save_buffer *buffer, uint32_t value)
{
    put_bytes(buffer, &value, sizeof value);
}

static void put_name(struct save_buffer *buffer, const char *name)
{
    size_t length = strlen(name);
    BUG_ON(length > UINT8_MAX);
    put_bytes(buffer, &(uint8_t){(uint8_t)length}, 1);
    put_bytes(buffer, name, length);
}

void save_write(struct save_buffer *buffer, const char *section, uint32_t version,
                const struct field *fields, size_t field_count, const void *state)
{
    put_name(buffer, section);
    put_u32(buffer, version);
    put_u32(buffer, (uint32_t)field_count);
    for (size_t i = 0; i < field_count; i++) {
        const struct field *field = &fields[i];
        put_name(buffer, field->name);
        put_bytes(buffer, &field->element_bytes, 1);
        put_u32(buffer, field->count);
        put_bytes(buffer, (const uint8_t *)state + field->offset,
                  (size_t)field->element_bytes * field->count);
    }
}

/* --- reading: a cursor that stays at the end once it ran out */

struct cursor {
    const uint8_t *at, *end;
    bool failed;
};

static const uint8_t *take_bytes(struct cursor *cursor, size_t length)
{
    if (cursor->failed || (size_t)(cursor->end - cursor->at) < length) {
        cursor->failed = true;
        return NULL;
    }
    const uint8_t *bytes = cursor->at;
    cursor->at += length;
    return bytes;
}

static uint32_t take_u32(struct cursor *cursor)
{
    const uint8_t *bytes = take_bytes(cursor, 4);
    return bytes ? load_le32(bytes) : 0;
}

static bool take_name(struct cursor *cursor, const char *expected)
{
    const uint8_t *length = take_bytes(cursor, 1);
    const uint8_t *name = length ? take_bytes(cursor, *length) : NULL;
    return name && *length == strlen(expected) && !memcmp(name, expected, *length);
}

/* The bytes of the next field, which must be `field`, or NULL. */
static const uint8_t *take_field(struct cursor *cursor, const struct field *field)
{
    bool same_name = take_name(cursor, field->name);
    const uint8_t *element_bytes = take_bytes(cursor, 1);
    uint32_t count = take_u32(cursor);
    if (!same_name || !element_bytes || *element_bytes != field->element_bytes ||
        count != field->count)
        return NULL;
    return take_bytes(cursor, (size_t)field->element_bytes * field->count);
}

static void load_field(const struct field *field, const uint8_t *bytes, void *state)
{
    uint8_t *to = (uint8_t *)state + field->offset;
    if (!field->is_bool) {
        memcpy(to, bytes, (size_t)field->element_bytes * field->count);
        return;
    }
    for (uint32_t i = 0; i < field->count; i++)
        to[i] = bytes[i] != 0;
}

int save_read(struct save_buffer *buffer, const char *section, uint32_t version,
              const struct field *fields, size_t field_count, void *state, struct error *error)
{
    struct cursor cursor = {.at = buffer->bytes + buffer->at,
                            .end = buffer->bytes + buffer->length};
    if (!take_name(&cursor, section))
        return error_set(error, EINVAL,
                         "saved state: section \"%s\" is missing; was it saved by a machine with "
                         "other devices?",
                         section);
    uint32_t saved_version = take_u32(&cursor), saved_count = take_u32(&cursor);
    if (cursor.failed || saved_version != version || saved_count != field_count)
        return error_set(error, EINVAL,
                         "saved state: section \"%s\" has version %" PRIu32 " with %" PRIu32
                         " fields, this program reads version %" PRIu32
                         " with %zu; load it with the program that saved it",
                         section, saved_version, saved_count, version, field_count);
    struct cursor first_field = cursor;
    for (size_t i = 0; i < field_count; i++)
        if (!take_field(&cursor, &fields[i]))
            return error_set(error, EINVAL,
                             "saved state: section \"%s\": field \"%s\" is missing or has another "
                             "size; load it with the program that saved it",
                             section, fields[i].name);
    for (size_t i = 0; i < field_count; i++)
        load_field(&fields[i], take_field(&first_field, &fields[i]), state);
    buffer->at = (size_t)(cursor.at - buffer->bytes);
    return 0;
}

/* --- for people */

void save_describe(FILE *out, const struct field *fields, size_t field_count, const void *state)
{
    for (size_t i = 0; i < field_count; i++) {
        const struct field *field = &fields[i];
        if (!strcmp(field->name, "pad"))
            continue;
        fprintf(out, "  %-20s", field->name);
        for (uint32_t n = 0; n < field->count; n++) {
            uint64_t value = 0;
            memcpy(&value, (const uint8_t *)state + field->offset + n * field->element_bytes,
                   field->element_bytes);
            fprintf(out, "%s%0*" PRIx64, n && n % 16 == 0 ? "\n                       " : " ",
                    2 * field->element_bytes, value);
        }
        fputc('\n', out);
    }
}
