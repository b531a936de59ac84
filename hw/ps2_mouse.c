#include "hw/ps2_priv.h"

#define PS2_MOUSE_FIELDS(FIELD, ARRAY)                                                             \
    FIELD(struct ps2_mouse_state, dx)                                                              \
    FIELD(struct ps2_mouse_state, dy)                                                              \
    FIELD(struct ps2_mouse_state, dz)                                                              \
    ARRAY(struct ps2_mouse_state, queue)                                                           \
    FIELD(struct ps2_mouse_state, first)                                                           \
    FIELD(struct ps2_mouse_state, count)                                                           \
    ARRAY(struct ps2_mouse_state, replies)                                                         \
    FIELD(struct ps2_mouse_state, reply_count)                                                     \
    FIELD(struct ps2_mouse_state, command)                                                         \
    FIELD(struct ps2_mouse_state, reporting)                                                       \
    FIELD(struct ps2_mouse_state, remote)                                                          \
    FIELD(struct ps2_mouse_state, wrap)                                                            \
    FIELD(struct ps2_mouse_state, double_scale)                                                    \
    FIELD(struct ps2_mouse_state, resolution)                                                      \
    FIELD(struct ps2_mouse_state, rate)                                                            \
    FIELD(struct ps2_mouse_state, id)                                                              \
    ARRAY(struct ps2_mouse_state, knock)                                                           \
    FIELD(struct ps2_mouse_state, buttons)                                                         \
    FIELD(struct ps2_mouse_state, reported_buttons)                                                \
    FIELD(struct ps2_mouse_state, last_sent)                                                       \
    ARRAY(struct ps2_mouse_state, pad)
static const struct field ps2_mouse_fields[] = SAVE_FIELDS(PS2_MOUSE_FIELDS);
SAVE_ASSERT_COMPLETE(struct ps2_mouse_state, PS2_MOUSE_FIELDS);

enum {
    SCALE_1 = 0xe6,
    SCALE_2 = 0xe7,
    SET_RESOLUTION = 0xe8,
    GET_STATUS = 0xe9,
    STREAM_MODE = 0xea,
    READ_DATA = 0xeb,
    LEAVE_WRAP = 0xec,
    ENTER_WRAP = 0xee,
    REMOTE_MODE = 0xf0,
    GET_ID = 0xf2,
    SET_RATE = 0xf3,
    ENABLE = 0xf4,
    DISABLE = 0xf5,
    DEFAULTS = 0xf6,
    RESEND = 0xfe,
    RESET = 0xff,

    ID_WHEEL = 3,
    ID_FIVE_BUTTONS = 4,
    PACKET_ALWAYS = 0x08,
    PACKET_X_SIGN = 0x10,
    PACKET_Y_SIGN = 0x20,
    /* A sensor cannot have moved further than this between two reports to a host that reads. */
    FARTHEST = 1 << 20,
};

/* --- packets */

static int32_t clamp(int32_t value, int32_t low, int32_t high)
{
    return value < low ? low : value > high ? high : value;
}

static int32_t take_movement(int32_t *left, int32_t low, int32_t high)
{
    int32_t taken = clamp(*left, low, high);
    *left -= taken;
    return taken;
}

/* 2:1 scaling of small movements. */
static int32_t scaled(int32_t value)
{
    static const int8_t small[] = {0, 1, 1, 3, 6, 9};
    int32_t size = value < 0 ? -value : value;
    size = size < (int)ARRAY_LENGTH(small) ? small[size] : 2 * size;
    return clamp(value < 0 ? -size : size, -256, 255);
}

static unsigned packet_bytes(const struct ps2_mouse *mouse)
{
    return mouse->state.id >= ID_WHEEL ? 4 : 3;
}

static void make_packet(struct ps2_mouse *mouse, uint8_t packet[4])
{
    struct ps2_mouse_state *state = &mouse->state;
    int32_t dx = take_movement(&state->dx, -256, 255), dy = take_movement(&state->dy, -256, 255);
    if (state->double_scale && !state->remote) {
        dx = scaled(dx);
        dy = scaled(dy);
    }
    packet[0] = (state->buttons & 7) | PACKET_ALWAYS | (dx < 0 ? PACKET_X_SIGN : 0) |
                (dy < 0 ? PACKET_Y_SIGN : 0);
    packet[1] = (uint8_t)dx;
    packet[2] = (uint8_t)dy;
    if (state->id == ID_FIVE_BUTTONS)
        packet[3] = (take_movement(&state->dz, -8, 7) & 15) | (state->buttons & 0x18) << 1;
    else
        packet[3] = (uint8_t)take_movement(&state->dz, -128, 127);
    state->reported_buttons = state->buttons;
}

static bool has_news(const struct ps2_mouse *mouse)
{
    const struct ps2_mouse_state *state = &mouse->state;
    return state->dx || state->dy || (state->dz && state->id >= ID_WHEEL) ||
           state->buttons != state->reported_buttons;
}

static void report(struct ps2_mouse *mouse)
{
    struct ps2_mouse_state *state = &mouse->state;
    if (!state->reporting || state->remote || state->wrap || !has_news(mouse))
        return;
    uint8_t packet[4];
    make_packet(mouse, packet);
    for (unsigned i = 0; i < packet_bytes(mouse); i++)
        ps2_output_queue(PS2_OUTPUT(mouse), packet[i]);
}

void ps2_mouse_move(struct ps2_mouse *mouse, int dx, int dy, int dz, unsigned buttons)
{
    struct ps2_mouse_state *state = &mouse->state;
    bool click = (buttons & 31) != state->buttons;
    state->dx = clamp(state->dx + clamp(dx, -FARTHEST, FARTHEST), -FARTHEST, FARTHEST);
    state->dy = clamp(state->dy + clamp(dy, -FARTHEST, FARTHEST), -FARTHEST, FARTHEST);
    state->dz = clamp(state->dz + clamp(dz, -FARTHEST, FARTHEST), -FARTHEST, FARTHEST);
    state->buttons = buttons & 31;
    /* WHY: movement gathers while the host is behind; each click is reported. */
    if (!state->count || (click && !ps2_output_is_crowded(PS2_OUTPUT(mouse))))
        report(mouse);
    if (ps2_mouse_pending(mouse))
        mouse->data_ready(mouse->opaque);
}

/* --- commands */

static void reply(struct ps2_mouse *mouse, uint8_t byte)
{
    ps2_output_reply(PS2_OUTPUT(mouse), byte);
}

static void forget_movement(struct ps2_mouse *mouse)
{
    mouse->state.dx = mouse->state.dy = mouse->state.dz = 0;
    mouse->state.first = mouse->state.count = 0;
}

static void set_defaults(struct ps2_mouse *mouse)
{
    struct ps2_mouse_state *state = &mouse->state;
    forget_movement(mouse);
    state->rate = 100;
    state->resolution = 2;
    state->double_scale = state->remote = state->wrap = state->reporting = 0;
}

/* 200, 100, 80 samples a second ask for the wheel; then 200, 200, 80 for five buttons. */
static void note_rate(struct ps2_mouse *mouse, uint8_t rate)
{
    struct ps2_mouse_state *state = &mouse->state;
    uint8_t *knock = state->knock;
    state->rate = rate;
    knock[0] = knock[1];
    knock[1] = knock[2];
    knock[2] = rate;
    if (knock[0] == 200 && knock[1] == 100 && knock[2] == 80)
        state->id = ID_WHEEL;
    else if (knock[0] == 200 && knock[1] == 200 && knock[2] == 80 && state->id == ID_WHEEL)
        state->id = ID_FIVE_BUTTONS;
}

static void reply_status(struct ps2_mouse *mouse)
{
    const struct ps2_mouse_state *state = &mouse->state;
    uint8_t buttons = state->buttons;
    reply(mouse, (buttons & PS2_BUTTON_LEFT ? 4 : 0) | (buttons & PS2_BUTTON_MIDDLE ? 2 : 0) |
                     (buttons & PS2_BUTTON_RIGHT ? 1 : 0) | (state->double_scale ? 0x10 : 0) |
                     (state->reporting ? 0x20 : 0) | (state->remote ? 0x40 : 0));
    reply(mouse, state->resolution);
    reply(mouse, state->rate);
}

static void take_parameter(struct ps2_mouse *mouse, uint8_t byte)
{
    uint8_t command = mouse->state.command;
    mouse->state.command = 0;
    if (command == SET_RATE)
        note_rate(mouse, byte);
    else
        mouse->state.resolution = byte & 3;
    reply(mouse, PS2_ACK);
}

static void reply_packet(struct ps2_mouse *mouse)
{
    uint8_t packet[4];
    make_packet(mouse, packet);
    for (unsigned i = 0; i < packet_bytes(mouse); i++)
        reply(mouse, packet[i]);
}

/* Acknowledges the command, if it is one, and does it. */
static void obey(struct ps2_mouse *mouse, uint8_t command)
{
    struct ps2_mouse_state *state = &mouse->state;
    bool known = command >= SCALE_1 && command != 0xed && command != 0xef && command != 0xf1 &&
                 (command <= DEFAULTS || command == RESET);
    reply(mouse, known ? PS2_ACK : PS2_RESEND);
    switch (command) {
    case SCALE_1:
    case SCALE_2:
        state->double_scale = command == SCALE_2;
        break;
    case SET_RESOLUTION:
    case SET_RATE:
        state->command = command;
        break;
    case GET_STATUS:
        reply_status(mouse);
        break;
    case STREAM_MODE:
    case REMOTE_MODE:
        forget_movement(mouse);
        state->remote = command == REMOTE_MODE;
        break;
    case READ_DATA:
        reply_packet(mouse);
        break;
    case LEAVE_WRAP:
    case ENTER_WRAP:
        forget_movement(mouse);
        state->wrap = command == ENTER_WRAP;
        break;
    case GET_ID:
        reply(mouse, state->id);
        break;
    case ENABLE:
    case DISABLE:
        forget_movement(mouse);
        state->reporting = command == ENABLE;
        break;
    case DEFAULTS:
        set_defaults(mouse);
        break;
    case RESET:
        ps2_mouse_reset(mouse);
        reply(mouse, PS2_ACK);
        reply(mouse, PS2_SELF_TEST_PASSED);
        reply(mouse, 0);
        break;
    default:
        break;
    }
}

static void take_command(struct ps2_mouse *mouse, uint8_t command)
{
    struct ps2_mouse_state *state = &mouse->state;
    if (state->wrap && command != RESET && command != LEAVE_WRAP) {
        reply(mouse, command);
    } else if (command == RESEND) {
        reply(mouse, state->last_sent);
    } else {
        /* A command ends what was being sent. */
        state->first = state->count = state->reply_count = 0;
        obey(mouse, command);
    }
}

void ps2_mouse_write(struct ps2_mouse *mouse, uint8_t byte)
{
    if (mouse->state.command)
        take_parameter(mouse, byte);
    else
        take_command(mouse, byte);
    if (ps2_mouse_pending(mouse))
        mouse->data_ready(mouse->opaque);
}

/* --- the cable */

bool ps2_mouse_pending(const struct ps2_mouse *mouse)
{
    return mouse->state.reply_count || mouse->state.count;
}

uint8_t ps2_mouse_take(struct ps2_mouse *mouse)
{
    if (ps2_mouse_pending(mouse))
        mouse->state.last_sent = ps2_output_take(PS2_OUTPUT(mouse));
    if (!mouse->state.count)
        report(mouse);
    return mouse->state.last_sent;
}

/* --- the device */

void ps2_mouse_reset(struct ps2_mouse *mouse)
{
    struct ps2_mouse_state *state = &mouse->state;
    ps2_output_clear(PS2_OUTPUT(mouse));
    set_defaults(mouse);
    state->id = 0;
    state->command = state->last_sent = 0;
    memset(state->knock, 0, sizeof state->knock);
    state->reported_buttons = state->buttons;
}

static void reset(void *object, enum reset_kind kind)
{
    ps2_mouse_reset(object);
}

static int after_load(void *object, struct error *error)
{
    struct ps2_mouse *mouse = object;
    struct ps2_mouse_state *state = &mouse->state;
    ps2_output_check(PS2_OUTPUT(mouse));
    state->dx = clamp(state->dx, -FARTHEST, FARTHEST);
    state->dy = clamp(state->dy, -FARTHEST, FARTHEST);
    state->dz = clamp(state->dz, -FARTHEST, FARTHEST);
    return 0;
}

void ps2_mouse_attach(struct ps2_mouse *mouse, void (*data_ready)(void *), void *opaque)
{
    *mouse = (struct ps2_mouse){.data_ready = data_ready, .opaque = opaque};
    ps2_mouse_reset(mouse);
}

const struct device_class ps2_mouse_class = {
    .name = "ps2-mouse",
    DEVICE_STATE(struct ps2_mouse, 1, ps2_mouse_fields),
    .reset = reset,
    .after_load = after_load,
};
