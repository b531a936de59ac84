/* base/save: sections that say what they hold, and readers that believe nothing. */
#include "base/save.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

struct relay_state {
    int64_t since_ns;
    uint32_t coils[3];
    uint16_t count;
    bool on;
    uint8_t pad;
};
#define RELAY_FIELDS(FIELD, ARRAY)                                                                 \
    FIELD(struct relay_state, since_ns)                                                            \
    ARRAY(struct relay_state, coils)                                                               \
    FIELD(struct relay_state, count)                                                               \
    FIELD(struct relay_state, on)                                                                  \
    FIELD(struct relay_state, pad)
static const struct field relay_fields[] = SAVE_FIELDS(RELAY_FIELDS);
SAVE_ASSERT_COMPLETE(struct relay_state, RELAY_FIELDS);
enum { RELAY_COUNT = ARRAY_LENGTH(relay_fields) };

static const struct relay_state sample = {
    .since_ns = -5, .coils = {1, 2, 0xffffffff}, .count = 7, .on = true, .pad = 9};

static int read_relay(struct save_buffer *buffer, struct relay_state *state, struct error *error)
{
    return save_read(buffer, "relay", 1, relay_fields, RELAY_COUNT, state, error);
}

Test(save, sections_come_back_in_order)
{
    struct save_buffer buffer = {0};
    struct relay_state second = sample, state = {0};
    second.count = 8;
    save_write(&buffer, "relay", 1, relay_fields, RELAY_COUNT, &sample);
    save_write(&buffer, "relay", 1, relay_fields, RELAY_COUNT, &second);
    cr_assert_eq(read_relay(&buffer, &state, NULL), 0);
    cr_assert(!memcmp(&state, &sample, sizeof state));
    cr_assert_eq(read_relay(&buffer, &state, NULL), 0);
    cr_assert_eq(state.count, 8);
    cr_assert_eq(buffer.at, buffer.length);
    save_buffer_free(&buffer);
}

Test(save, mismatches_are_named_and_change_nothing)
{
    struct save_buffer buffer = {0};
    struct relay_state state = {.count = 99};
    struct error error;
    struct field other[RELAY_COUNT];
    memcpy(other, relay_fields, sizeof other);
    save_write(&buffer, "relay", 1, relay_fields, RELAY_COUNT, &sample);

    cr_assert_eq(save_read(&buffer, "lamp", 1, relay_fields, RELAY_COUNT, &state, &error), -EINVAL);
    cr_assert(strstr(error.text, "lamp"));
    cr_assert_eq(save_read(&buffer, "relay", 2, relay_fields, RELAY_COUNT, &state, &error),
                 -EINVAL);
    cr_assert(strstr(error.text, "version"));
    cr_assert_eq(save_read(&buffer, "relay", 1, relay_fields, RELAY_COUNT - 1, &state, &error),
                 -EINVAL);
    other[1].count = 2;
    cr_assert_eq(save_read(&buffer, "relay", 1, other, RELAY_COUNT, &state, &error), -EINVAL);
    cr_assert(strstr(error.text, "coils"));
    other[1] = relay_fields[1];
    other[4].name = "padding";
    cr_assert_eq(save_read(&buffer, "relay", 1, other, RELAY_COUNT, &state, &error), -EINVAL);
    cr_assert_eq(buffer.at, 0);
    cr_assert_eq(state.count, 99);
    save_buffer_free(&buffer);
}

Test(save, every_truncation_and_every_changed_byte_is_survived)
{
    struct save_buffer buffer = {0};
    struct error error;
    save_write(&buffer, "relay", 1, relay_fields, RELAY_COUNT, &sample);
    for (size_t length = 0; length < buffer.length; length++) {
        uint8_t *cut = malloc(length ? length : 1); /* its own allocation, for ASan */
        memcpy(cut, buffer.bytes, length);
        struct save_buffer part = {.bytes = cut, .length = length};
        struct relay_state state = {.count = 99};
        cr_assert_eq(read_relay(&part, &state, &error), -EINVAL, "cut at %zu", length);
        cr_assert_eq(state.count, 99);
        free(cut);
    }
    for (size_t at = 0; at < buffer.length; at++) {
        struct relay_state state = {.count = 99};
        buffer.bytes[at] ^= 0xff;
        buffer.at = 0;
        if (read_relay(&buffer, &state, &error) == 0)
            cr_assert(state.on == true || state.on == false);
        buffer.bytes[at] ^= 0xff;
    }
    save_buffer_free(&buffer);
}

Test(save, a_bool_is_0_or_1_whatever_the_file_says)
{
    struct save_buffer buffer = {0};
    struct relay_state state = sample;
    uint8_t raw;
    save_write(&buffer, "relay", 1, relay_fields, RELAY_COUNT, &sample);
    for (size_t at = 0; at < buffer.length; at++)
        if (!memcmp(buffer.bytes + at, "\2on\1", 4))
            buffer.bytes[at + 8] = 0x80;
    cr_assert_eq(read_relay(&buffer, &state, NULL), 0);
    memcpy(&raw, &state.on, 1);
    cr_assert_eq(raw, 1);
    save_buffer_free(&buffer);
}

Test(save, description_names_every_field)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    save_describe(out, relay_fields, RELAY_COUNT, &sample);
    fclose(out);
    cr_assert(strstr(text, "since_ns") && strstr(text, "fffffffffffffffb"));
    cr_assert(strstr(text, "coils") && strstr(text, "00000001 00000002 ffffffff"));
    cr_assert(!strstr(text, "pad"));
    free(text);
}
