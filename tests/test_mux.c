/* Ctrl-A and its letters, focus, and what is kept while the guest does not listen. */
#include "ui/mux.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct mux mux;
static char written[4096], typed[MUX_SIDES][8192];
static size_t written_length, typed_length[MUX_SIDES], room[MUX_SIDES];
static unsigned quits, saves, breaks, opened[MUX_SIDES];

static void backend_write(struct chardev *chardev, const uint8_t *bytes, size_t length)
{
    memcpy(written + written_length, bytes, length);
    written_length += length;
    written[written_length] = '\0';
}

static struct chardev backend = {.write = backend_write};

static size_t side_can_receive(void *opaque)
{
    return room[(uintptr_t)opaque];
}
static void side_receive(void *opaque, const uint8_t *bytes, size_t length)
{
    unsigned side = (uintptr_t)opaque;
    cr_assert_leq(length, room[side]);
    room[side] -= length;
    memcpy(typed[side] + typed_length[side], bytes, length);
    typed_length[side] += length;
    typed[side][typed_length[side]] = '\0';
}
static void side_event(void *opaque, enum chardev_event event)
{
    unsigned side = (uintptr_t)opaque;
    opened[side] += event == CHARDEV_OPENED;
    breaks += event == CHARDEV_BREAK;
}
static void quit(void *opaque)
{
    quits++;
}
static void save(void *opaque)
{
    saves++;
}

static void setup(void)
{
    mux_init(&mux, &backend, quit, save, NULL);
    for (uintptr_t side = 0; side < MUX_SIDES; side++) {
        chardev_connect(&mux.ports[side].chardev, side_can_receive, side_receive, side_event,
                        (void *)side);
        room[side] = 4096;
    }
}

static void type(const char *text)
{
    chardev_receive(&backend, (const uint8_t *)text, strlen(text));
}

Test(mux, switches_focus, .init = setup)
{
    type("ls\r");
    type("\001cinfo\r\001");
    type("cpwd\r");
    cr_expect_str_eq(typed[MUX_GUEST], "ls\rpwd\r");
    cr_expect_str_eq(typed[MUX_MONITOR], "info\r");
    cr_expect_eq(opened[MUX_MONITOR], 1);
    cr_expect_eq(opened[MUX_GUEST], 1);
}

Test(mux, letters, .init = setup)
{
    type("a\001\001b\001xc\001s\001b\001zd");
    cr_expect_str_eq(typed[MUX_GUEST], "a\001bcd");
    cr_expect_eq(quits, 1);
    cr_expect_eq(saves, 1);
    cr_expect_eq(breaks, 1);
    written_length = 0;
    type("\001h");
    cr_expect_not_null(strstr(written, "Ctrl-A x"));
}

Test(mux, notices_ctrl_a_while_the_guest_does_not_listen, .init = setup)
{
    room[MUX_GUEST] = 0;
    cr_assert_gt(chardev_can_receive(&backend), 0);
    type("hello\001x");
    cr_expect_eq(quits, 1);
    cr_expect_eq(typed_length[MUX_GUEST], 0);
    room[MUX_GUEST] = 2;
    chardev_accept_input(&mux.ports[MUX_GUEST].chardev);
    cr_expect_str_eq(typed[MUX_GUEST], "he");
    room[MUX_GUEST] = 100;
    chardev_accept_input(&mux.ports[MUX_GUEST].chardev);
    cr_expect_str_eq(typed[MUX_GUEST], "hello");
}

Test(mux, keeps_order_round_its_ring_and_stops_when_full, .init = setup)
{
    room[MUX_GUEST] = 0;
    for (unsigned i = 0; i < MUX_KEPT; i++)
        type((char[]){'a' + i % 26, 0});
    cr_expect_eq(chardev_can_receive(&backend), 0);
    room[MUX_GUEST] = 100;
    chardev_accept_input(&mux.ports[MUX_GUEST].chardev);
    cr_expect_eq(chardev_can_receive(&backend), 100);
    for (unsigned i = 0; i < 100; i++)
        type((char[]){'A' + i % 26, 0});
    room[MUX_GUEST] = 8000;
    chardev_accept_input(&mux.ports[MUX_GUEST].chardev);
    cr_assert_eq(typed_length[MUX_GUEST], MUX_KEPT + 100);
    for (unsigned i = 0; i < MUX_KEPT + 100; i++)
        cr_assert_eq(typed[MUX_GUEST][i], i < MUX_KEPT ? 'a' + i % 26 : 'A' + (i - MUX_KEPT) % 26);
}

Test(mux, both_sides_write, .init = setup)
{
    chardev_write(&mux.ports[MUX_GUEST].chardev, (const uint8_t *)"guest ", 6);
    chardev_write(&mux.ports[MUX_MONITOR].chardev, (const uint8_t *)"monitor", 7);
    cr_expect_str_eq(written, "guest monitor");
    written_length = 0;
    type("\001t");
    chardev_write(&mux.ports[MUX_GUEST].chardev, (const uint8_t *)"one\ntwo\n", 8);
    unsigned minutes, seconds, ms;
    char word[8];
    cr_expect_eq(sscanf(written, "[%u:%u.%u] one\n[%u:%u.%u] %7s", &minutes, &seconds, &ms,
                        &minutes, &seconds, &ms, word),
                 7, "%s", written);
}
