#include "hw/ps2_priv.h"

#define PS2_KEYBOARD_FIELDS(FIELD, ARRAY)                                                          \
    FIELD(struct ps2_keyboard_state, repeat_ns)                                                    \
    ARRAY(struct ps2_keyboard_state, queue)                                                        \
    FIELD(struct ps2_keyboard_state, first)                                                        \
    FIELD(struct ps2_keyboard_state, count)                                                        \
    ARRAY(struct ps2_keyboard_state, replies)                                                      \
    FIELD(struct ps2_keyboard_state, reply_count)                                                  \
    FIELD(struct ps2_keyboard_state, command)                                                      \
    FIELD(struct ps2_keyboard_state, enabled)                                                      \
    FIELD(struct ps2_keyboard_state, set)                                                          \
    FIELD(struct ps2_keyboard_state, leds)                                                         \
    FIELD(struct ps2_keyboard_state, rate)                                                         \
    FIELD(struct ps2_keyboard_state, last_sent)                                                    \
    FIELD(struct ps2_keyboard_state, repeat_key)                                                   \
    ARRAY(struct ps2_keyboard_state, down)                                                         \
    ARRAY(struct ps2_keyboard_state, types)                                                        \
    ARRAY(struct ps2_keyboard_state, pad)
static const struct field ps2_keyboard_fields[] = SAVE_FIELDS(PS2_KEYBOARD_FIELDS);
SAVE_ASSERT_COMPLETE(struct ps2_keyboard_state, PS2_KEYBOARD_FIELDS);

static const struct {
    const char *name;
    uint16_t set2;
    uint8_t set3;
} keys[KEY_COUNT] = {
#define KEY(id, name, set2, set3) [KEY_##id] = {name, set2, set3},
#include "hw/keys.def"
#undef KEY
};

enum {
    SET_LEDS = 0xed,
    ECHO = 0xee,
    SCAN_CODE_SET = 0xf0,
    IDENTIFY = 0xf2,
    TYPEMATIC_RATE = 0xf3,
    ENABLE = 0xf4,
    DISABLE = 0xf5,
    DEFAULTS = 0xf6,
    ALL_REPEAT = 0xf7, /* F7h..FAh: all keys of set 3 */
    ALL_MAKE_BREAK = 0xf8,
    ALL_MAKE = 0xf9,
    ALL_REPEAT_MAKE_BREAK = 0xfa,
    KEY_REPEAT = 0xfb, /* FBh..FDh: the keys of set 3 that follow */
    KEY_MAKE_BREAK = 0xfc,
    KEY_MAKE = 0xfd,
    RESEND = 0xfe,
    RESET = 0xff,

    BREAK_PREFIX = 0xf0,
    TYPE_BREAK = 1,
    TYPE_REPEAT = 2,
    DEFAULT_RATE = 0x2b, /* 10.9 characters a second after half a second */
};

const char *ps2_key_name(enum ps2_key key)
{
    return keys[key].name;
}

int ps2_key_by_name(const char *name, size_t length)
{
    for (int key = 0; key < KEY_COUNT; key++)
        if (strlen(keys[key].name) == length && !memcmp(keys[key].name, name, length))
            return key;
    return -1;
}

/* --- scan codes */

static bool is_down(const struct ps2_keyboard *keyboard, enum ps2_key left, enum ps2_key right)
{
    return keyboard->state.down[left] || keyboard->state.down[right];
}

/* One code of set 2, in set 1 or 2; `prefix` is 0 or E0h. */
static void put_code(struct ps2_keyboard *keyboard, uint8_t prefix, uint8_t code, bool make)
{
    struct ps2_output output = PS2_OUTPUT(keyboard);
    bool set1 = keyboard->state.set == 1;
    if (prefix)
        ps2_output_queue(output, prefix);
    if (!make && !set1)
        ps2_output_queue(output, BREAK_PREFIX);
    if (set1)
        code = ps2_set1_from_set2[code] | (make ? 0 : 0x80);
    ps2_output_queue(output, code);
}

static void put_pause(struct ps2_keyboard *keyboard)
{
    if (is_down(keyboard, KEY_CTRL, KEY_CTRL_R)) { /* Break */
        put_code(keyboard, 0xe0, 0x7e, true);
        put_code(keyboard, 0xe0, 0x7e, false);
        return;
    }
    put_code(keyboard, 0xe1, 0x14, true);
    put_code(keyboard, 0, 0x77, true);
    put_code(keyboard, 0xe1, 0x14, false);
    put_code(keyboard, 0, 0x77, false);
}

static void put_print(struct ps2_keyboard *keyboard, bool make)
{
    if (is_down(keyboard, KEY_ALT, KEY_ALT_R)) { /* SysRq */
        put_code(keyboard, 0, 0x84, make);
        return;
    }
    bool plain =
        !is_down(keyboard, KEY_CTRL, KEY_CTRL_R) && !is_down(keyboard, KEY_SHIFT, KEY_SHIFT_R);
    if (plain && make)
        put_code(keyboard, 0xe0, 0x12, true);
    put_code(keyboard, 0xe0, 0x7c, make);
    if (plain && !make)
        put_code(keyboard, 0xe0, 0x12, false);
}

static void put_set3(struct ps2_keyboard *keyboard, enum ps2_key key, bool make)
{
    struct ps2_output output = PS2_OUTPUT(keyboard);
    uint8_t code = keys[key].set3;
    if (!code || (!make && !(keyboard->state.types[code] & TYPE_BREAK)))
        return;
    if (!make)
        ps2_output_queue(output, BREAK_PREFIX);
    ps2_output_queue(output, code);
}

static void put_key(struct ps2_keyboard *keyboard, enum ps2_key key, bool make)
{
    if (ps2_output_is_crowded(PS2_OUTPUT(keyboard)))
        return;
    if (keyboard->state.set == 3)
        put_set3(keyboard, key, make);
    else if (key == KEY_PRINT)
        put_print(keyboard, make);
    else if (key != KEY_PAUSE)
        put_code(keyboard, keys[key].set2 >> 8, (uint8_t)keys[key].set2, make);
    else if (make)
        put_pause(keyboard);
    if (ps2_keyboard_pending(keyboard))
        keyboard->data_ready(keyboard->opaque);
}

/* --- typematic */

static void hold(struct ps2_keyboard *keyboard, int64_t after_ns)
{
    keyboard->state.repeat_ns = clock_now_ns(keyboard->clock) + after_ns;
    timer_arm(&keyboard->repeat, keyboard->state.repeat_ns);
}

static void release(struct ps2_keyboard *keyboard)
{
    keyboard->state.repeat_ns = CLOCK_NEVER;
    timer_disarm(&keyboard->repeat);
}

static bool repeats(const struct ps2_keyboard *keyboard, enum ps2_key key)
{
    if (keyboard->state.set == 3)
        return keyboard->state.types[keys[key].set3] & TYPE_REPEAT;
    return key != KEY_PAUSE;
}

static void fire(void *opaque)
{
    struct ps2_keyboard *keyboard = opaque;
    uint8_t rate = keyboard->state.rate;
    /* WHY: a host that does not read gets no repeats, which it would have to read later. */
    if (!ps2_keyboard_pending(keyboard))
        put_key(keyboard, keyboard->state.repeat_key, true);
    /* Period: (8 + rate bits 2:0) * 2^(rate bits 4:3) / 240 s. */
    hold(keyboard, (8 + (rate & 7)) * (INT64_C(1) << (rate >> 3 & 3)) * NS_PER_SECOND / 240);
}

void ps2_keyboard_key(struct ps2_keyboard *keyboard, enum ps2_key key, bool down)
{
    struct ps2_keyboard_state *state = &keyboard->state;
    if ((unsigned)key >= KEY_COUNT || state->down[key] == down)
        return;
    if (down)
        state->down[key] = 1;
    if (state->enabled)
        put_key(keyboard, key, down);
    state->down[key] = down;
    if (down && state->enabled && repeats(keyboard, key)) {
        state->repeat_key = key;
        hold(keyboard, (1 + (state->rate >> 5 & 3)) * NS_PER_SECOND / 4);
    } else if (!down && key == state->repeat_key) {
        release(keyboard);
    }
}

/* --- commands */

static void reply(struct ps2_keyboard *keyboard, uint8_t byte)
{
    ps2_output_reply(PS2_OUTPUT(keyboard), byte);
}

static void set_leds(struct ps2_keyboard *keyboard, uint8_t leds)
{
    keyboard->state.leds = leds & 7;
    if (keyboard->leds_changed)
        keyboard->leds_changed(keyboard->opaque, leds & 7);
}

static void set_defaults(struct ps2_keyboard *keyboard)
{
    struct ps2_keyboard_state *state = &keyboard->state;
    ps2_output_clear(PS2_OUTPUT(keyboard));
    state->command = 0;
    state->set = 2;
    state->rate = DEFAULT_RATE;
    memset(state->types, TYPE_BREAK | TYPE_REPEAT, sizeof state->types);
    set_leds(keyboard, 0);
    release(keyboard);
}

static uint8_t type_of_command(uint8_t command)
{
    switch (command) {
    case ALL_REPEAT:
    case KEY_REPEAT:
        return TYPE_REPEAT;
    case ALL_MAKE_BREAK:
    case KEY_MAKE_BREAK:
        return TYPE_BREAK;
    case ALL_REPEAT_MAKE_BREAK:
        return TYPE_BREAK | TYPE_REPEAT;
    default:
        return 0;
    }
}

/* The byte after a command that takes one; false: it is a command itself. */
static bool take_parameter(struct ps2_keyboard *keyboard, uint8_t byte)
{
    struct ps2_keyboard_state *state = &keyboard->state;
    uint8_t command = state->command;
    if (byte >= SET_LEDS)
        return false;
    if (command < KEY_REPEAT) /* the others take keys until the next command */
        state->command = 0;
    reply(keyboard, PS2_ACK);
    switch (command) {
    case SET_LEDS:
        set_leds(keyboard, byte);
        break;
    case SCAN_CODE_SET:
        if (!byte)
            reply(keyboard, state->set);
        else if (byte <= 3)
            state->set = byte;
        break;
    case TYPEMATIC_RATE:
        state->rate = byte & 0x7f;
        break;
    default:
        state->types[byte] = type_of_command(command);
        break;
    }
    return true;
}

static void take_command(struct ps2_keyboard *keyboard, uint8_t command)
{
    struct ps2_keyboard_state *state = &keyboard->state;
    state->command = 0;
    switch (command) {
    case ECHO:
        reply(keyboard, ECHO);
        return;
    case RESEND:
        reply(keyboard, state->last_sent);
        return;
    case SET_LEDS:
    case SCAN_CODE_SET:
    case TYPEMATIC_RATE:
    case KEY_REPEAT:
    case KEY_MAKE_BREAK:
    case KEY_MAKE:
        state->command = command;
        break;
    case IDENTIFY:
        reply(keyboard, PS2_ACK);
        reply(keyboard, 0xab);
        reply(keyboard, 0x83);
        return;
    case ENABLE:
        state->first = state->count = 0; /* what was typed before */
        state->enabled = 1;
        break;
    case DISABLE:
    case DEFAULTS:
        set_defaults(keyboard);
        state->enabled = command == DEFAULTS;
        break;
    case ALL_REPEAT:
    case ALL_MAKE_BREAK:
    case ALL_MAKE:
    case ALL_REPEAT_MAKE_BREAK:
        memset(state->types, type_of_command(command), sizeof state->types);
        break;
    case RESET:
        ps2_keyboard_reset(keyboard);
        reply(keyboard, PS2_ACK);
        reply(keyboard, PS2_SELF_TEST_PASSED);
        return;
    default:
        reply(keyboard, PS2_RESEND);
        return;
    }
    reply(keyboard, PS2_ACK);
}

void ps2_keyboard_write(struct ps2_keyboard *keyboard, uint8_t byte)
{
    if (!keyboard->state.command || !take_parameter(keyboard, byte))
        take_command(keyboard, byte);
    if (ps2_keyboard_pending(keyboard))
        keyboard->data_ready(keyboard->opaque);
}

/* --- the cable */

bool ps2_keyboard_pending(const struct ps2_keyboard *keyboard)
{
    return keyboard->state.reply_count || keyboard->state.count;
}

uint8_t ps2_keyboard_take(struct ps2_keyboard *keyboard)
{
    if (ps2_keyboard_pending(keyboard))
        keyboard->state.last_sent = ps2_output_take(PS2_OUTPUT(keyboard));
    return keyboard->state.last_sent;
}

/* --- the device */

void ps2_keyboard_reset(struct ps2_keyboard *keyboard)
{
    set_defaults(keyboard);
    keyboard->state.enabled = 1;
    keyboard->state.last_sent = 0;
    keyboard->state.repeat_key = 0;
}

static void reset(void *object, enum reset_kind kind)
{
    ps2_keyboard_reset(object);
}

static int after_load(void *object, struct error *error)
{
    struct ps2_keyboard *keyboard = object;
    struct ps2_keyboard_state *state = &keyboard->state;
    ps2_output_check(PS2_OUTPUT(keyboard));
    state->rate &= 0x7f;
    if (state->set < 1 || state->set > 3)
        state->set = 2;
    if (state->repeat_key >= KEY_COUNT)
        state->repeat_key = 0;
    if (state->repeat_ns == CLOCK_NEVER)
        timer_disarm(&keyboard->repeat);
    else
        timer_arm(&keyboard->repeat, state->repeat_ns);
    set_leds(keyboard, state->leds);
    return 0;
}

void ps2_keyboard_attach(struct ps2_keyboard *keyboard, struct clock *clock,
                         void (*data_ready)(void *), void *opaque)
{
    *keyboard = (struct ps2_keyboard){.clock = clock, .data_ready = data_ready, .opaque = opaque};
    timer_init(&keyboard->repeat, clock, fire, keyboard);
    ps2_keyboard_reset(keyboard);
}

const struct device_class ps2_keyboard_class = {
    .name = "ps2-keyboard",
    DEVICE_STATE(struct ps2_keyboard, 1, ps2_keyboard_fields),
    .reset = reset,
    .after_load = after_load,
};
