/* hw/uart16550 against the PC16550D datasheet. */
#include "hw/uart16550.h"

#include "chip_rig.h"

enum { RBR = 0x3f8, IER, IIR, LCR, MCR, LSR, MSR, SCR };

static struct rig rig;
static struct uart16550 uart;

static struct {
    struct chardev chardev;
    uint8_t sent[256];
    size_t sent_count;
    unsigned accepts;
} host;

static void host_write(struct chardev *chardev, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length && host.sent_count < sizeof host.sent; i++)
        host.sent[host.sent_count++] = bytes[i];
}

static void host_accept(struct chardev *chardev)
{
    host.accepts++;
}

static void set_up(void)
{
    rig_init(&rig);
    memset(&host, 0, sizeof host);
    host.chardev.write = host_write;
    host.chardev.accept_input = host_accept;
    uart16550_attach(&uart, &rig.ports, RBR, &rig.clock, rig_line(&rig, 0), &host.chardev);
    uart16550_class.reset(&uart, RESET_POWER_ON);
}

static void type(const char *text)
{
    chardev_receive(&host.chardev, (const uint8_t *)text, strlen(text));
}

Test(uart, registers_after_reset)
{
    set_up();
    cr_assert_eq(rig_in(&rig, IER), 0x00);
    cr_assert_eq(rig_in(&rig, IIR), 0x01);
    cr_assert_eq(rig_in(&rig, LCR), 0x00);
    cr_assert_eq(rig_in(&rig, MCR), 0x00);
    cr_assert_eq(rig_in(&rig, LSR), 0x60);
    cr_assert_eq(rig_in(&rig, MSR), 0xb0);
    for (unsigned value = 0; value < 256; value++) {
        rig_out(&rig, SCR, (uint8_t)value);
        cr_assert_eq(rig_in(&rig, SCR), value);
        rig_out(&rig, IER, (uint8_t)value);
        cr_assert_eq(rig_in(&rig, IER), value & 0x0f);
    }
    rig_out(&rig, IER, 0);
    rig_out(&rig, LCR, 0x83);
    rig_out(&rig, RBR, 0x34);
    rig_out(&rig, IER, 0x12);
    cr_assert_eq(rig_in(&rig, RBR), 0x34);
    cr_assert_eq(rig_in(&rig, IER), 0x12);
    rig_out(&rig, LCR, 0x03);
    cr_assert_eq(rig_in(&rig, IER), 0x00);
    rig_free(&rig);
}

Test(uart, sends)
{
    set_up();
    for (const char *at = "hello"; *at; at++)
        rig_out(&rig, RBR, (uint8_t)*at);
    cr_assert_eq(host.sent_count, 5);
    cr_assert(!memcmp(host.sent, "hello", 5));
    cr_assert_eq(rig_in(&rig, LSR) & 0x60, 0x60);
    rig_free(&rig);
}

Test(uart, transmitter_interrupt)
{
    set_up();
    rig_out(&rig, MCR, 0x08);
    rig_out(&rig, IER, 0x02); /* at once, the holding register being empty */
    cr_assert_eq(rig.level[0], 1);
    cr_assert_eq(rig_in(&rig, IIR), 0x02);
    cr_assert_eq(rig.level[0], 0, "reading IIR acknowledges it");
    cr_assert_eq(rig_in(&rig, IIR), 0x01);
    rig_out(&rig, RBR, 'x');
    cr_assert_eq(rig.level[0], 1);
    unsigned before = rig.rises[0];
    rig_out(&rig, RBR, 'y');
    cr_assert_eq(rig.rises[0], before + 1, "each character makes a new edge");
    rig_out(&rig, IER, 0x00);
    cr_assert_eq(rig.level[0], 0);
    rig_free(&rig);
}

Test(uart, receives_without_fifos)
{
    set_up();
    rig_out(&rig, MCR, 0x08);
    rig_out(&rig, IER, 0x01);
    cr_assert_eq(chardev_can_receive(&host.chardev), 1);
    type("a");
    cr_assert_eq(chardev_can_receive(&host.chardev), 0);
    cr_assert_eq(rig.level[0], 1);
    cr_assert_eq(rig_in(&rig, IIR), 0x04);
    cr_assert_eq(rig_in(&rig, LSR), 0x61);
    type("b"); /* a host that does not ask */
    cr_assert_eq(rig_in(&rig, LSR), 0x63);
    cr_assert_eq(rig_in(&rig, LSR), 0x61, "reading LSR clears the error");
    cr_assert_eq(rig_in(&rig, RBR), 'b', "the new character won");
    cr_assert_eq(rig.level[0], 0);
    cr_assert_eq(host.accepts, 1);
    rig_free(&rig);
}

Test(uart, fifo_triggers)
{
    static const struct {
        uint8_t control;
        unsigned level;
    } triggers[] = {{0x01, 1}, {0x41, 4}, {0x81, 8}, {0xc1, 14}};
    for (unsigned i = 0; i < ARRAY_LENGTH(triggers); i++) {
        set_up();
        rig_out(&rig, MCR, 0x08);
        rig_out(&rig, IIR, triggers[i].control);
        rig_out(&rig, IER, 0x01);
        cr_assert_eq(rig_in(&rig, IIR), 0xc1);
        cr_assert_eq(chardev_can_receive(&host.chardev), 16);
        for (unsigned n = 1; n <= 16; n++) {
            type("x");
            cr_assert_eq(rig.level[0], n >= triggers[i].level, "trigger %u, character %u",
                         triggers[i].level, n);
        }
        cr_assert_eq(chardev_can_receive(&host.chardev), 0);
        type("!");
        cr_assert_eq(rig_in(&rig, LSR), 0x63, "overrun");
        for (unsigned n = 16; n > 0; n--) {
            cr_assert_eq(rig.level[0], n >= triggers[i].level);
            cr_assert_eq(rig_in(&rig, RBR), 'x', "the FIFO keeps what it has");
        }
        cr_assert_eq(rig_in(&rig, LSR), 0x60);
        cr_assert_eq(host.accepts, 1);
        rig_free(&rig);
    }
}

Test(uart, fifo_timeout)
{
    set_up();
    rig_out(&rig, LCR, 0x83);
    rig_out(&rig, RBR, 12); /* 9600 baud: four characters take 4.17 ms */
    rig_out(&rig, LCR, 0x03);
    rig_out(&rig, MCR, 0x08);
    rig_out(&rig, IIR, 0x81);
    type("ab");
    cr_assert_eq(clock_deadline_ns(&rig.clock), CLOCK_NEVER, "nobody wants to know");
    rig_out(&rig, IER, 0x01);
    rig_run(&rig, 4000000);
    cr_assert_eq(rig.level[0], 0);
    type("c"); /* starts it anew */
    rig_run(&rig, 4000000);
    cr_assert_eq(rig.level[0], 0);
    rig_run(&rig, 200000);
    cr_assert_eq(rig.level[0], 1);
    cr_assert_eq(rig_in(&rig, IIR), 0xcc);
    cr_assert_eq(rig_in(&rig, RBR), 'a');
    cr_assert_eq(rig.level[0], 0);
    rig_run(&rig, 5000000);
    cr_assert_eq(rig.level[0], 1, "and again for what is left");
    rig_in(&rig, RBR);
    rig_in(&rig, RBR);
    cr_assert_eq(clock_deadline_ns(&rig.clock), CLOCK_NEVER);
    rig_free(&rig);
}

Test(uart, fifo_resets)
{
    set_up();
    rig_out(&rig, IIR, 0x01);
    type("abc");
    rig_out(&rig, IIR, 0x03);
    cr_assert_eq(rig_in(&rig, LSR), 0x60);
    type("abc");
    rig_out(&rig, IIR, 0xc0); /* off: the other bits do not count */
    cr_assert_eq(rig_in(&rig, LSR), 0x60);
    cr_assert_eq(rig_in(&rig, IIR), 0x01);
    rig_free(&rig);
}

Test(uart, break_travels_with_its_character)
{
    set_up();
    rig_out(&rig, MCR, 0x08);
    rig_out(&rig, IIR, 0x01);
    rig_out(&rig, IER, 0x04);
    type("a");
    chardev_notify(&host.chardev, CHARDEV_BREAK);
    cr_assert_eq(rig_in(&rig, LSR), 0xe1, "an error is somewhere in the FIFO");
    cr_assert_eq(rig.level[0], 0);
    cr_assert_eq(rig_in(&rig, RBR), 'a');
    cr_assert_eq(rig.level[0], 1, "now it is on top");
    cr_assert_eq(rig_in(&rig, IIR), 0xc6);
    cr_assert_eq(rig_in(&rig, LSR), 0xf1);
    cr_assert_eq(rig.level[0], 0);
    cr_assert_eq(rig_in(&rig, RBR), 0);
    rig_free(&rig);
}

Test(uart, interrupt_priorities)
{
    set_up();
    rig_out(&rig, MCR, 0x08);
    rig_out(&rig, IER, 0x0f);
    uart.state.modem_status |= 0x01;
    chardev_notify(&host.chardev, CHARDEV_BREAK);
    cr_assert_eq(rig_in(&rig, IIR), 0x06);
    rig_in(&rig, LSR);
    cr_assert_eq(rig_in(&rig, IIR), 0x04);
    rig_in(&rig, RBR);
    cr_assert_eq(rig_in(&rig, IIR), 0x02);
    cr_assert_eq(rig_in(&rig, IIR), 0x00);
    rig_in(&rig, MSR);
    cr_assert_eq(rig_in(&rig, IIR), 0x01);
    cr_assert_eq(rig.level[0], 0);
    rig_free(&rig);
}

Test(uart, loopback)
{
    set_up();
    rig_in(&rig, MSR);
    static const uint8_t lines[][2] = {{0x10, 0x00}, {0x11, 0x20}, {0x12, 0x10},
                                       {0x14, 0x40}, {0x18, 0x80}, {0x1f, 0xf0}};
    for (unsigned i = 0; i < ARRAY_LENGTH(lines); i++) {
        rig_out(&rig, MCR, lines[i][0]);
        cr_assert_eq(rig_in(&rig, MSR) & 0xf0, lines[i][1]);
        cr_assert_eq(rig_in(&rig, MSR) & 0x0f, 0, "reading clears the deltas");
    }
    rig_out(&rig, MCR, 0x14);
    rig_in(&rig, MSR);
    rig_out(&rig, MCR, 0x10);
    cr_assert_eq(rig_in(&rig, MSR), 0x04, "the ring indicator marks its trailing edge");
    rig_out(&rig, MCR, 0x14);
    cr_assert_eq(rig_in(&rig, MSR), 0x40);
    cr_assert_eq(chardev_can_receive(&host.chardev), 0);
    rig_out(&rig, RBR, 0x5a);
    cr_assert_eq(rig_in(&rig, LSR) & 1, 1);
    cr_assert_eq(rig_in(&rig, RBR), 0x5a);
    cr_assert_eq(host.sent_count, 0);
    unsigned before = host.accepts;
    rig_out(&rig, MCR, 0x08);
    cr_assert_eq(host.accepts, before + 1);
    rig_free(&rig);
}

Test(uart, out2_gates_the_interrupt)
{
    set_up();
    rig_out(&rig, IER, 0x02);
    cr_assert_eq(rig.level[0], 0);
    rig_out(&rig, MCR, 0x08);
    cr_assert_eq(rig.level[0], 1);
    rig_out(&rig, MCR, 0x18);
    cr_assert_eq(rig.level[0], 0);
    rig_free(&rig);
}

Test(uart, without_a_host)
{
    rig_init(&rig);
    uart16550_attach(&uart, &rig.ports, RBR, &rig.clock, rig_line(&rig, 0), NULL);
    uart16550_class.reset(&uart, RESET_POWER_ON);
    rig_out(&rig, RBR, 'x');
    cr_assert_eq(rig_in(&rig, LSR), 0x60);
    cr_assert_eq(rig_in(&rig, MSR), 0x00);
    rig_free(&rig);
}

Test(uart, keeps_its_state)
{
    set_up();
    rig_out(&rig, IIR, 0x81);
    rig_out(&rig, IER, 0x01);
    rig_out(&rig, MCR, 0x08);
    type("abc");
    rig_check_round_trip(&uart16550_class, &uart);
    rig_run(&rig, NS_PER_SECOND);
    cr_assert_eq(rig.level[0], 1, "the timeout was loaded too");
    cr_assert_eq(rig_in(&rig, RBR), 'a');
    rig_check_reset(&uart16550_class, &uart);
    unsigned seed = 1;
    for (unsigned round = 0; round < 3000; round++) {
        rig_load_noise(&uart16550_class, &uart, &seed);
        for (unsigned i = 0; i < 20; i++) {
            rig_out(&rig, (uint16_t)(RBR + rand_r(&seed) % 8), (uint8_t)rand_r(&seed));
            rig_in(&rig, (uint16_t)(RBR + rand_r(&seed) % 8));
            if (chardev_can_receive(&host.chardev))
                type("x");
        }
    }
    rig_free(&rig);
}
