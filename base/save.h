/* Saved state: one list of fields gives save, load, the monitor's dump and the round-trip test.
 *
 *     struct relay_state { int64_t since_ns; uint16_t coil[3]; uint8_t on; uint8_t pad; };
 *     #define RELAY_FIELDS(FIELD, ARRAY)                                                 \
 *         FIELD(struct relay_state, since_ns) ARRAY(struct relay_state, coil)            \
 *         FIELD(struct relay_state, on) FIELD(struct relay_state, pad)
 *     static const struct field relay_fields[] = SAVE_FIELDS(RELAY_FIELDS);
 *     SAVE_ASSERT_COMPLETE(struct relay_state, RELAY_FIELDS);
 *
 * A state struct has no hidden padding: the assertion fails when a member is missing from the list.
 * Format of a section: name, version, then for each field its name, element size, count and bytes,
 * so that a reader of another version can tell what it meets (little-endian).
 * What is read is untrusted: a device's after_load() brings indices and the like into range.
 */
#ifndef BASE_SAVE_H
#define BASE_SAVE_H

#include "base/bits.h"
#include "base/error.h"

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <stdio.h>

struct field {
    const char *name;
    uint32_t offset;
    uint32_t count;        /* elements */
    uint8_t element_bytes; /* 1, 2, 4, 8 */
    bool is_bool;          /* whatever is loaded becomes 0 or 1 */
};

/* Only integers (and arrays of them) can be saved; anything else does not compile. */
#define SAVE_ELEMENT_BYTES(element)                                                                \
    _Generic((element), bool : 1, uint8_t : 1, int8_t : 1, uint16_t : 2, int16_t : 2,              \
             uint32_t : 4, int32_t : 4, uint64_t : 8, int64_t : 8)
#define SAVE_IS_BOOL(element)     _Generic((element), bool : true, default : false)
#define SAVE_MEMBER(type, member) (((type *)0)->member)
#define SAVE_FIELD(type, member)                                                                   \
    {.name = #member,                                                                              \
     .offset = offsetof(type, member),                                                             \
     .count = 1,                                                                                   \
     .element_bytes = SAVE_ELEMENT_BYTES(SAVE_MEMBER(type, member)),                               \
     .is_bool = SAVE_IS_BOOL(SAVE_MEMBER(type, member))},
#define SAVE_ARRAY(type, member)                                                                   \
    {.name = #member,                                                                              \
     .offset = offsetof(type, member),                                                             \
     .count = sizeof SAVE_MEMBER(type, member) / sizeof SAVE_MEMBER(type, member[0]),              \
     .element_bytes = SAVE_ELEMENT_BYTES(SAVE_MEMBER(type, member[0])),                            \
     .is_bool = SAVE_IS_BOOL(SAVE_MEMBER(type, member[0]))},
#define SAVE_BYTES_OF(type, member) +sizeof SAVE_MEMBER(type, member)
/* LIST(FIELD, ARRAY) names scalars with FIELD and one-dimensional arrays with ARRAY. */
#define SAVE_ASSERT_COMPLETE(type, LIST)                                                           \
    _Static_assert(0 LIST(SAVE_BYTES_OF, SAVE_BYTES_OF) == sizeof(type),                           \
                   #type ": a member is missing from its field list, or the struct has padding")
#define SAVE_FIELDS(LIST)                                                                          \
    {                                                                                              \
        LIST(SAVE_FIELD, SAVE_ARRAY)                                                               \
    }

/* A growing buffer that sections are written to and read from. */
struct save_buffer {
    uint8_t *bytes;
    size_t length, capacity, at;
};

void save_buffer_free(struct save_buffer *buffer);
/* Appends one section for `state`. */
void save_write(struct save_buffer *buffer, const char *section, uint32_t version,
                const struct field *fields, size_t field_count, const void *state);
/* Reads the next section into `state`; its name, version and fields must match, else -EINVAL and
 * `state` is as it was. */
int save_read(struct save_buffer *buffer, const char *section, uint32_t version,
              const struct field *fields, size_t field_count, void *state, struct error *error);
/* One line a field: name and value(s) in hexadecimal. */
void save_describe(FILE *out, const struct field *fields, size_t field_count, const void *state);

#endif
