/* hw/i8042, hw/ps2_keyboard, hw/ps2_mouse by register scripts. */
#include "hw/i8042.h"

#include "chip_rig.h"

enum { KEYBOARD_IRQ = 1, MOUSE_IRQ = 12, NOTHING = 0x100 };

static struct rig rig;
static struct i8042 controller;
static struct {
    unsigned resets;
    bool a20;
    uint8_t leds;
} board;

static void board_reset(void *opaque)
{
    board.resets++;
}

static void board_a20(void *opaque, bool enabled)
{
    board.a20 = enabled;
}

static void board_leds(void *opaque, uint8_t leds)
{
    board.leds = leds;
}

static void reset_all(enum reset_kind kind)
{
    ps2_keyboard_class.reset(&controller.keyboard, kind);
    ps2_mouse_class.reset(&controller.mouse, kind);
    i8042_class.reset(&controller, kind);
}

static void set_up(void)
{
    rig_init(&rig);
    memset(&board, 0, sizeof board);
    i8042_attach(&controller, &rig.ports, &rig.clock, rig_line(&rig, KEYBOARD_IRQ),
                 rig_line(&rig, MOUSE_IRQ),
                 &(struct i8042_ops){.reset = board_reset, .a20 = board_a20});
    controller.keyboard.leds_changed = board_leds;
    reset_all(RESET_POWER_ON);
}

static uint8_t status(void)
{
    return rig_in(&rig, 0x64);
}

/* The next byte for the host, or NOTHING. */
static unsigned next(void)
{
    return status() & 1 ? rig_in(&rig, 0x60) : NOTHING;
}

static void command(uint8_t value)
{
    rig_out(&rig, 0x64, value);
}

static void data(uint8_t value)
{
    rig_out(&rig, 0x60, value);
}

static void to_mouse(uint8_t value)
{
    command(0xd4);
    data(value);
}

/* `expected` ends with NOTHING. */
static void expect(const unsigned *expected, const char *what)
{
    for (unsigned i = 0; expected[i] != NOTHING; i++) {
        unsigned byte = next();
        cr_assert_eq(byte, expected[i], "%s: byte %u is %02x, not %02x", what, i, byte,
                     expected[i]);
    }
    cr_assert_eq(next(), NOTHING, "%s: more bytes", what);
}
#define EXPECT(what, ...) expect((const unsigned[]){__VA_ARGS__, NOTHING}, what)

static void raw_set_2(void)
{
    command(0x60);
    data(0x07); /* no translation */
}

Test(i8042, controller_commands)
{
    set_up();
    cr_assert_eq(status(), 0x14);
    command(0xaa);
    cr_assert_eq(status() & 0x0c, 0x0c);
    EXPECT("self-test", 0x55);
    command(0xab);
    EXPECT("keyboard test", 0x00);
    command(0xa9);
    EXPECT("mouse test", 0x00);
    command(0x20);
    EXPECT("command byte", 0x47);
    command(0x60);
    data(0x65);
    command(0x20);
    EXPECT("command byte", 0x65);
    command(0xa8);
    command(0xad);
    command(0x20);
    EXPECT("keyboard off", 0x55);
    command(0xae);
    command(0xa7);
    command(0x20);
    EXPECT("mouse off", 0x65);
    command(0x6f);
    data(0x99);
    command(0x2f);
    EXPECT("RAM", 0x99);
    command(0xa4);
    EXPECT("password", 0xf1);
    command(0xc0);
    EXPECT("input port", 0x80);
    command(0xe0);
    EXPECT("test inputs", 0x00);
    command(0xd2);
    data(0x5a);
    cr_assert_eq(status() & 0x20, 0);
    EXPECT("keyboard loopback", 0x5a);
    command(0xd3);
    data(0xa5);
    cr_assert_eq(status() & 0x20, 0x20);
    EXPECT("mouse loopback", 0xa5);
    command(0x99);
    EXPECT("unknown", NOTHING);
    rig_free(&rig);
}

Test(i8042, a20_and_reset)
{
    set_up();
    cr_assert(board.a20, "open after reset");
    command(0xd1);
    data(0xdd);
    cr_assert_not(board.a20);
    command(0xd0);
    EXPECT("output port", 0xcd);
    command(0xdf);
    cr_assert(board.a20);
    command(0xdd);
    cr_assert_not(board.a20);
    command(0xff);
    cr_assert_eq(board.resets, 0);
    command(0xfe);
    cr_assert_eq(board.resets, 1);
    command(0xd1);
    data(0xde);
    cr_assert_eq(board.resets, 2);
    cr_assert(board.a20);
    rig_free(&rig);
}

Test(i8042, interrupts)
{
    set_up();
    i8042_key(&controller, KEY_A, true);
    cr_assert_eq(rig.level[KEYBOARD_IRQ], 1);
    i8042_key(&controller, KEY_A, false);
    cr_assert_eq(next(), 0x1e);
    cr_assert_eq(rig.level[KEYBOARD_IRQ], 1, "the next byte");
    cr_assert_eq(rig.rises[KEYBOARD_IRQ], 2, "with an edge of its own");
    cr_assert_eq(next(), 0x9e);
    cr_assert_eq(rig.level[KEYBOARD_IRQ], 0);
    to_mouse(0xf4);
    cr_assert_eq(rig.level[MOUSE_IRQ], 1);
    cr_assert_eq(rig.level[KEYBOARD_IRQ], 0);
    cr_assert_eq(status() & 0x21, 0x21);
    EXPECT("acknowledge", 0xfa);
    cr_assert_eq(rig.level[MOUSE_IRQ], 0);
    command(0x60);
    data(0x44);
    i8042_key(&controller, KEY_A, true);
    cr_assert_eq(rig.level[KEYBOARD_IRQ], 0, "not enabled");
    command(0x60);
    data(0x45);
    cr_assert_eq(rig.level[KEYBOARD_IRQ], 1);
    rig_free(&rig);
}

Test(i8042, nothing_is_lost_between_devices_and_controller)
{
    set_up();
    i8042_key(&controller, KEY_A, true);
    command(0x20);
    EXPECT("the key first, then the answer", 0x1e, 0x47);
    command(0xad);
    i8042_key(&controller, KEY_B, true);
    EXPECT("the keyboard is off", NOTHING);
    command(0xae);
    EXPECT("now it comes", 0x30);
    command(0xad);
    data(0xee);
    EXPECT("writing to the keyboard turns it on", 0xee);
    rig_free(&rig);
}

Test(keyboard, every_key_has_its_codes)
{
    for (unsigned key = 0; key < KEY_COUNT; key++) {
        set_up();
        unsigned make[8], up[8], count = 0, up_count = 0;
        i8042_key(&controller, key, true);
        for (unsigned byte; (byte = next()) != NOTHING && count < 8;)
            make[count++] = byte;
        i8042_key(&controller, key, false);
        for (unsigned byte; (byte = next()) != NOTHING && up_count < 8;)
            up[up_count++] = byte;
        const char *name = ps2_key_name(key);
        cr_assert_eq(ps2_key_by_name(name, strlen(name)), (int)key);
        cr_assert(count >= 1);
        if (key == KEY_PAUSE) {
            cr_assert_eq(up_count, 0);
            continue;
        }
        cr_assert_eq(up_count, count, "%s", name);
        cr_assert_eq(up[up_count - 1] & 0x80, 0x80);
        if (key != KEY_PRINT)
            for (unsigned i = 0; i < count; i++)
                cr_assert_eq(up[i], make[i] | 0x80, "%s", name);
        rig_free(&rig);
    }
    cr_assert_eq(ps2_key_by_name("nosuchkey", 9), -1);
}

Test(keyboard, set_1_codes_of_the_first_rows)
{
    /* Set 1 numbers the keys of the old keyboard in their order. */
    /* clang-format off */
    static const enum ps2_key order[] = {
        KEY_ESC, KEY_1, KEY_2, KEY_3, KEY_4, KEY_5, KEY_6, KEY_7, KEY_8, KEY_9, KEY_0, KEY_MINUS,
        KEY_EQUAL, KEY_BACKSPACE, KEY_TAB, KEY_Q, KEY_W, KEY_E, KEY_R, KEY_T, KEY_Y, KEY_U, KEY_I,
        KEY_O, KEY_P, KEY_BRACKET_LEFT, KEY_BRACKET_RIGHT, KEY_ENTER, KEY_CTRL, KEY_A, KEY_S, KEY_D,
        KEY_F, KEY_G, KEY_H, KEY_J, KEY_K, KEY_L, KEY_SEMICOLON, KEY_APOSTROPHE, KEY_GRAVE,
        KEY_SHIFT, KEY_BACKSLASH, KEY_Z, KEY_X, KEY_C, KEY_V, KEY_B, KEY_N, KEY_M, KEY_COMMA,
        KEY_DOT, KEY_SLASH, KEY_SHIFT_R, KEY_KP_MULTIPLY, KEY_ALT, KEY_SPACE, KEY_CAPS_LOCK, KEY_F1,
        KEY_F2, KEY_F3, KEY_F4, KEY_F5, KEY_F6, KEY_F7, KEY_F8, KEY_F9, KEY_F10, KEY_NUM_LOCK,
        KEY_SCROLL_LOCK, KEY_KP_7, KEY_KP_8, KEY_KP_9, KEY_KP_SUBTRACT, KEY_KP_4, KEY_KP_5,
        KEY_KP_6, KEY_KP_ADD, KEY_KP_1, KEY_KP_2, KEY_KP_3, KEY_KP_0, KEY_KP_DECIMAL,
    };
    /* clang-format on */
    set_up();
    for (unsigned i = 0; i < ARRAY_LENGTH(order); i++) {
        i8042_key(&controller, order[i], true);
        EXPECT(ps2_key_name(order[i]), i + 1);
        i8042_key(&controller, order[i], false);
        EXPECT(ps2_key_name(order[i]), (i + 1) | 0x80);
    }
    i8042_key(&controller, KEY_LESS, true);
    EXPECT("less", 0x56);
    i8042_key(&controller, KEY_F11, true);
    EXPECT("f11", 0x57);
    i8042_key(&controller, KEY_F12, true);
    EXPECT("f12", 0x58);
    i8042_key(&controller, KEY_UP, true);
    EXPECT("up", 0xe0, 0x48);
    i8042_key(&controller, KEY_DELETE, true);
    EXPECT("delete", 0xe0, 0x53);
    i8042_key(&controller, KEY_META_L, true);
    EXPECT("meta", 0xe0, 0x5b);
    rig_free(&rig);
}

Test(keyboard, sequences_of_print_and_pause)
{
    set_up();
    raw_set_2();
    i8042_key(&controller, KEY_PRINT, true);
    EXPECT("print", 0xe0, 0x12, 0xe0, 0x7c);
    i8042_key(&controller, KEY_PRINT, false);
    EXPECT("print up", 0xe0, 0xf0, 0x7c, 0xe0, 0xf0, 0x12);
    i8042_key(&controller, KEY_ALT, true);
    EXPECT("alt", 0x11);
    i8042_key(&controller, KEY_PRINT, true);
    EXPECT("SysRq", 0x84);
    i8042_key(&controller, KEY_PRINT, false);
    EXPECT("SysRq up", 0xf0, 0x84);
    i8042_key(&controller, KEY_ALT, false);
    EXPECT("alt up", 0xf0, 0x11);
    i8042_key(&controller, KEY_PAUSE, true);
    EXPECT("pause", 0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77);
    i8042_key(&controller, KEY_PAUSE, false);
    i8042_key(&controller, KEY_CTRL_R, true);
    EXPECT("ctrl", 0xe0, 0x14);
    i8042_key(&controller, KEY_PAUSE, true);
    EXPECT("break", 0xe0, 0x7e, 0xe0, 0xf0, 0x7e);
    rig_free(&rig);
}

Test(keyboard, commands)
{
    set_up();
    raw_set_2();
    data(0xff);
    EXPECT("reset", 0xfa, 0xaa);
    data(0xf2);
    EXPECT("identify", 0xfa, 0xab, 0x83);
    data(0xee);
    EXPECT("echo", 0xee);
    data(0xed);
    EXPECT("leds", 0xfa);
    data(0x05);
    EXPECT("leds", 0xfa);
    cr_assert_eq(board.leds, 5);
    data(0xf3);
    data(0x00);
    EXPECT("rate", 0xfa, 0xfa);
    data(0xf0);
    data(0x00);
    EXPECT("which set", 0xfa, 0xfa, 0x02);
    data(0xed);
    data(0xf4); /* a command in place of the parameter */
    EXPECT("leds, enable", 0xfa, 0xfa);
    data(0xe0);
    EXPECT("unknown", 0xfe);
    data(0xf5);
    EXPECT("disable", 0xfa);
    i8042_key(&controller, KEY_A, true);
    i8042_key(&controller, KEY_A, false);
    EXPECT("disabled", NOTHING);
    data(0xf4);
    EXPECT("enable", 0xfa);
    i8042_key(&controller, KEY_A, true);
    EXPECT("enabled", 0x1c);
    data(0xfe);
    EXPECT("resend", 0x1c);
    rig_free(&rig);
}

Test(keyboard, scan_code_sets)
{
    set_up();
    raw_set_2();
    data(0xf0);
    data(0x01);
    EXPECT("set 1", 0xfa, 0xfa);
    i8042_key(&controller, KEY_A, true);
    i8042_key(&controller, KEY_A, false);
    i8042_key(&controller, KEY_LEFT, true);
    i8042_key(&controller, KEY_LEFT, false);
    EXPECT("set 1", 0x1e, 0x9e, 0xe0, 0x4b, 0xe0, 0xcb);
    data(0xf0);
    data(0x03);
    EXPECT("set 3", 0xfa, 0xfa);
    i8042_key(&controller, KEY_LEFT, true);
    i8042_key(&controller, KEY_LEFT, false);
    EXPECT("set 3", 0x61, 0xf0, 0x61);
    data(0xf9); /* all keys: make only */
    EXPECT("make only", 0xfa);
    i8042_key(&controller, KEY_LEFT, true);
    i8042_key(&controller, KEY_LEFT, false);
    EXPECT("make only", 0x61);
    data(0xfc);
    data(0x61); /* this key: make and break */
    data(0xf4);
    EXPECT("make and break", 0xfa, 0xfa, 0xfa);
    i8042_key(&controller, KEY_LEFT, true);
    i8042_key(&controller, KEY_LEFT, false);
    EXPECT("make and break", 0x61, 0xf0, 0x61);
    rig_free(&rig);
}

Test(keyboard, repeats)
{
    set_up();
    i8042_key(&controller, KEY_A, true);
    EXPECT("down", 0x1e);
    i8042_key(&controller, KEY_A, true); /* the user interface's own repeats */
    EXPECT("ignored", NOTHING);
    rig_run(&rig, 490000000);
    EXPECT("not yet", NOTHING);
    rig_run(&rig, 20000000);
    EXPECT("after half a second", 0x1e);
    unsigned count = 0;
    for (unsigned i = 0; i < 1000; i++) {
        rig_run(&rig, 1000000);
        count += next() == 0x1e;
    }
    cr_assert(count >= 10 && count <= 11, "10.9 a second: %u", count);
    rig_run(&rig, 10 * NS_PER_SECOND);
    EXPECT("a host that does not read: one in the controller, one in the keyboard", 0x1e, 0x1e);
    i8042_key(&controller, KEY_A, false);
    EXPECT("up", 0x9e);
    cr_assert_eq(clock_deadline_ns(&rig.clock), CLOCK_NEVER);
    data(0xf3);
    data(0x00); /* a quarter of a second, 30 a second */
    EXPECT("rate", 0xfa, 0xfa);
    i8042_key(&controller, KEY_B, true);
    count = 0;
    for (unsigned i = 0; i < 1250; i++) {
        rig_run(&rig, 1000000);
        count += next() == 0x30;
    }
    cr_assert(count >= 30 && count <= 32, "%u", count);
    rig_free(&rig);
}

Test(keyboard, a_flood_of_keys_keeps_whole_codes)
{
    set_up();
    raw_set_2();
    for (unsigned i = 0; i < 500; i++)
        i8042_key(&controller, KEY_UP, i % 2 == 0);
    for (unsigned byte, prefix = 0; (byte = next()) != NOTHING;) {
        cr_assert(byte == 0xe0 || byte == 0xf0 || byte == 0x75);
        prefix = byte == 0xe0 ? 1 : prefix;
        if (byte == 0x75) {
            cr_assert(prefix);
            prefix = 0;
        }
    }
    data(0xee);
    EXPECT("still there", 0xee);
    rig_free(&rig);
}

Test(mouse, commands)
{
    set_up();
    to_mouse(0xff);
    EXPECT("reset", 0xfa, 0xaa, 0x00);
    to_mouse(0xf2);
    EXPECT("id", 0xfa, 0x00);
    to_mouse(0xe9);
    EXPECT("status", 0xfa, 0x00, 0x02, 0x64);
    to_mouse(0xe8);
    to_mouse(0x03);
    to_mouse(0xf3);
    to_mouse(0x28);
    to_mouse(0xe7);
    to_mouse(0xf4);
    while (next() != NOTHING)
        ;
    to_mouse(0xe9);
    EXPECT("status", 0xfa, 0x30, 0x03, 0x28);
    to_mouse(0xee);
    EXPECT("wrap", 0xfa);
    to_mouse(0xe9);
    EXPECT("wrapped", 0xe9);
    to_mouse(0xec);
    EXPECT("unwrap", 0xfa);
    to_mouse(0xf6);
    EXPECT("defaults", 0xfa);
    to_mouse(0xe9);
    EXPECT("status", 0xfa, 0x00, 0x02, 0x64);
    to_mouse(0x12);
    EXPECT("unknown", 0xfe);
    rig_free(&rig);
}

Test(mouse, packets)
{
    set_up();
    i8042_mouse(&controller, 5, 5, 0, 0);
    EXPECT("not reporting", NOTHING);
    to_mouse(0xf4);
    EXPECT("enable", 0xfa);
    i8042_mouse(&controller, 3, -4, 0, PS2_BUTTON_LEFT);
    EXPECT("moved", 0x29, 0x03, 0xfc);
    i8042_mouse(&controller, 0, 0, 0, PS2_BUTTON_LEFT);
    EXPECT("nothing new", NOTHING);
    i8042_mouse(&controller, -600, 0, 0, PS2_BUTTON_RIGHT | PS2_BUTTON_MIDDLE);
    EXPECT("far", 0x1e, 0x00, 0x00, 0x1e, 0x00, 0x00, 0x1e, 0xa8, 0x00);
    to_mouse(0xf0);
    EXPECT("remote", 0xfa);
    i8042_mouse(&controller, 1, 2, 0, 0);
    EXPECT("asks", NOTHING);
    to_mouse(0xeb);
    EXPECT("read", 0xfa, 0x08, 0x01, 0x02);
    to_mouse(0xea);
    to_mouse(0xe7);
    while (next() != NOTHING)
        ;
    static const int scaled[] = {0, 1, 1, 3, 6, 9, 12, 14};
    for (int i = 1; i < 8; i++) {
        i8042_mouse(&controller, i, 0, 0, 0);
        EXPECT("2:1", 0x08, (unsigned)scaled[i], 0x00);
    }
    rig_free(&rig);
}

static void set_rates(unsigned a, unsigned b, unsigned c)
{
    const unsigned rates[] = {a, b, c};
    for (unsigned i = 0; i < 3; i++) {
        to_mouse(0xf3);
        to_mouse((uint8_t)rates[i]);
    }
    while (next() != NOTHING)
        ;
}

Test(mouse, wheel_and_five_buttons)
{
    set_up();
    set_rates(200, 200, 80);
    to_mouse(0xf2);
    EXPECT("five buttons only after the wheel", 0xfa, 0x00);
    set_rates(200, 100, 80);
    to_mouse(0xf2);
    EXPECT("wheel", 0xfa, 0x03);
    to_mouse(0xf4);
    EXPECT("enable", 0xfa);
    i8042_mouse(&controller, 1, 0, -1, 0);
    EXPECT("wheel", 0x08, 0x01, 0x00, 0xff);
    set_rates(200, 200, 80);
    to_mouse(0xf2);
    EXPECT("five buttons", 0xfa, 0x04);
    i8042_mouse(&controller, 0, 0, 1, PS2_BUTTON_EXTRA);
    EXPECT("five buttons", 0x08, 0x00, 0x00, 0x21);
    to_mouse(0xff);
    EXPECT("reset", 0xfa, 0xaa, 0x00);
    to_mouse(0xf2);
    EXPECT("plain again", 0xfa, 0x00);
    rig_free(&rig);
}

Test(mouse, movement_gathers_while_the_host_is_behind)
{
    set_up();
    to_mouse(0xf4);
    EXPECT("enable", 0xfa);
    for (unsigned i = 0; i < 1000; i++)
        i8042_mouse(&controller, 1, 0, 0, 0);
    unsigned packets = 0, moved = 0;
    for (unsigned byte; (byte = next()) != NOTHING; packets++) {
        cr_assert_eq(byte & 0x30, 0);
        moved += next();
        next();
    }
    cr_assert_eq(moved, 1000);
    cr_assert_leq(packets, 6);
    rig_free(&rig);
}

Test(i8042, keep_their_state)
{
    set_up();
    data(0xed); /* waits for its parameter */
    next();
    i8042_key(&controller, KEY_A, true);
    i8042_key(&controller, KEY_B, true);
    to_mouse(0xf4);
    i8042_mouse(&controller, 700, 5, 0, 1);
    rig_check_round_trip(&i8042_class, &controller);
    rig_check_round_trip(&ps2_keyboard_class, &controller.keyboard);
    rig_check_round_trip(&ps2_mouse_class, &controller.mouse);
    cr_assert_eq(next(), 0x1e);
    cr_assert_eq(next(), 0x30);
    rig_check_reset(&ps2_keyboard_class, &controller.keyboard);
    rig_check_reset(&ps2_mouse_class, &controller.mouse);
    rig_check_reset(&i8042_class, &controller);
    unsigned seed = 1;
    for (unsigned round = 0; round < 3000; round++) {
        rig_load_noise(&i8042_class, &controller, &seed);
        rig_load_noise(&ps2_keyboard_class, &controller.keyboard, &seed);
        rig_load_noise(&ps2_mouse_class, &controller.mouse, &seed);
        for (unsigned i = 0; i < 30; i++) {
            if (rand_r(&seed) % 2)
                command((uint8_t)rand_r(&seed));
            data((uint8_t)rand_r(&seed));
            next();
            i8042_key(&controller, rand_r(&seed) % (KEY_COUNT + 5), rand_r(&seed) % 2);
            i8042_mouse(&controller, rand_r(&seed), -rand_r(&seed), rand_r(&seed), rand_r(&seed));
        }
        rig_stall(&rig, 100000000);
    }
    rig_free(&rig);
}
