/* Shared by the PS/2 devices: the bytes on their way to the host. */
#ifndef HW_PS2_PRIV_H
#define HW_PS2_PRIV_H

#include "hw/ps2.h"

enum {
    PS2_ACK = 0xfa,
    PS2_RESEND = 0xfe,
    PS2_SELF_TEST_PASSED = 0xaa,
    PS2_QUEUE_MARGIN =
        16, /* what the user does is dropped whole when less room than this is left */
};

struct ps2_output {
    uint8_t *queue, *replies, *reply_count;
    uint16_t *first, *count;
};

#define PS2_OUTPUT(device)                                                                         \
    ((struct ps2_output){.queue = (device)->state.queue,                                           \
                         .replies = (device)->state.replies,                                       \
                         .reply_count = &(device)->state.reply_count,                              \
                         .first = &(device)->state.first,                                          \
                         .count = &(device)->state.count})

static inline bool ps2_output_is_crowded(struct ps2_output output)
{
    return *output.count > PS2_QUEUE_BYTES - PS2_QUEUE_MARGIN;
}

static inline void ps2_output_queue(struct ps2_output output, uint8_t byte)
{
    if (*output.count == PS2_QUEUE_BYTES)
        return;
    output.queue[(*output.first + *output.count) % PS2_QUEUE_BYTES] = byte;
    (*output.count)++;
}

/* A reply more than a host that reads none of them can miss. */
static inline void ps2_output_reply(struct ps2_output output, uint8_t byte)
{
    if (*output.reply_count < PS2_REPLY_BYTES)
        output.replies[(*output.reply_count)++] = byte;
}

static inline bool ps2_output_pending(struct ps2_output output)
{
    return *output.reply_count || *output.count;
}

/* The next byte; there must be one. */
static inline uint8_t ps2_output_take(struct ps2_output output)
{
    uint8_t byte;
    if (*output.reply_count) {
        byte = output.replies[0];
        memmove(output.replies, output.replies + 1, --*output.reply_count);
        return byte;
    }
    byte = output.queue[*output.first];
    *output.first = (*output.first + 1) % PS2_QUEUE_BYTES;
    --*output.count;
    return byte;
}

static inline void ps2_output_clear(struct ps2_output output)
{
    *output.reply_count = 0;
    *output.first = *output.count = 0;
}

/* Brings loaded indices into range. */
static inline void ps2_output_check(struct ps2_output output)
{
    *output.first %= PS2_QUEUE_BYTES;
    if (*output.count > PS2_QUEUE_BYTES)
        *output.count = 0;
    if (*output.reply_count > PS2_REPLY_BYTES)
        *output.reply_count = 0;
}

/* The set 1 code for a byte of set 2, as the 8042 translates it. */
extern const uint8_t ps2_set1_from_set2[256];

#endif
