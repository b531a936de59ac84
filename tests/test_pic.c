/* hw/pic against the 8259A datasheet. */
#include "hw/pic.h"

#include "chip_rig.h"

static struct rig rig;
static struct pic pic;

static void set_up(void)
{
    rig_init(&rig);
    pic_attach(&pic, &rig.ports, rig_line(&rig, 0));
    pic_class.reset(&pic, RESET_POWER_ON);
}

/* As a PC's firmware does it; `icw4` for both chips. */
static void initialize(uint8_t icw4)
{
    static const uint16_t bases[] = {0x20, 0xa0};
    static const uint8_t vectors[] = {0x20, 0x28}, cascades[] = {0x04, 0x02};
    for (unsigned chip = 0; chip < 2; chip++) {
        rig_out(&rig, bases[chip], 0x11);
        rig_out(&rig, bases[chip] + 1, vectors[chip]);
        rig_out(&rig, bases[chip] + 1, cascades[chip]);
        rig_out(&rig, bases[chip] + 1, icw4);
    }
}

static void pulse(int number)
{
    pic_set_irq(&pic, number, 0);
    pic_set_irq(&pic, number, 1);
}

static uint8_t isr(uint16_t base)
{
    rig_out(&rig, base, 0x0b);
    return rig_in(&rig, base);
}

static uint8_t irr(uint16_t base)
{
    rig_out(&rig, base, 0x0a);
    return rig_in(&rig, base);
}

Test(pic, vectors_and_priorities)
{
    set_up();
    initialize(0x01);
    cr_assert_eq(rig.level[0], 0);
    for (int number = 0; number < 16; number++) {
        if (number == 2)
            continue;
        pulse(number);
        cr_assert_eq(rig.level[0], 1, "IRQ%d", number);
        cr_assert_eq(pic_acknowledge(&pic), 0x20 + number);
        cr_assert_eq(rig.level[0], 0);
        if (number >= 8) {
            cr_assert_eq(isr(0xa0), 1 << (number - 8));
            cr_assert_eq(isr(0x20), 0x04);
            rig_out(&rig, 0xa0, 0x20);
        }
        rig_out(&rig, 0x20, 0x20);
        cr_assert_eq(isr(0x20), 0);
        pic_set_irq(&pic, number, 0);
    }
    /* All at once: 0, 1, then 8..15 by way of 2, then 3..7. */
    static const int order[] = {0, 1, 8, 9, 10, 11, 12, 13, 14, 15, 3, 4, 5, 6, 7};
    for (int number = 15; number >= 0; number--)
        pulse(number);
    for (unsigned i = 0; i < ARRAY_LENGTH(order); i++) {
        cr_assert_eq(pic_acknowledge(&pic), 0x20 + order[i], "number %u", i);
        if (order[i] >= 8)
            rig_out(&rig, 0xa0, 0x20);
        rig_out(&rig, 0x20, 0x20);
    }
    cr_assert_eq(rig.level[0], 0);
    rig_free(&rig);
}

Test(pic, fully_nested)
{
    set_up();
    initialize(0x01);
    pulse(4);
    cr_assert_eq(pic_acknowledge(&pic), 0x24);
    pulse(5);
    cr_assert_eq(rig.level[0], 0, "lower priority waits");
    pulse(4);
    cr_assert_eq(rig.level[0], 0, "its own level waits");
    pulse(3);
    cr_assert_eq(rig.level[0], 1, "higher priority interrupts");
    cr_assert_eq(pic_acknowledge(&pic), 0x23);
    cr_assert_eq(isr(0x20), 0x18);
    rig_out(&rig, 0x20, 0x20); /* ends the highest: 3 */
    cr_assert_eq(isr(0x20), 0x10);
    rig_out(&rig, 0x20, 0x64); /* specific: 4 */
    cr_assert_eq(isr(0x20), 0x00);
    cr_assert_eq(pic_acknowledge(&pic), 0x24);
    rig_free(&rig);
}

Test(pic, masks_hide_but_keep_requests)
{
    set_up();
    initialize(0x01);
    rig_out(&rig, 0x21, 0x02);
    cr_assert_eq(rig_in(&rig, 0x21), 0x02);
    pulse(1);
    cr_assert_eq(rig.level[0], 0);
    cr_assert_eq(irr(0x20), 0x02);
    rig_out(&rig, 0x21, 0x00);
    cr_assert_eq(rig.level[0], 1);
    cr_assert_eq(pic_acknowledge(&pic), 0x21);
    rig_free(&rig);
}

Test(pic, requests_that_go_away_are_spurious)
{
    set_up();
    initialize(0x01);
    pulse(3);
    pic_set_irq(&pic, 3, 0);
    cr_assert_eq(rig.level[0], 0);
    cr_assert_eq(pic_acknowledge(&pic), 0x27);
    cr_assert_eq(isr(0x20), 0, "IR7 spurious sets no in-service bit");
    /* On the slave: its IR7, and the master's cascade bit is set. */
    rig_out(&rig, 0x20, 0x20);
    pulse(10);
    pic.state.requests[PIC_SLAVE] = 0; /* between the two INTA cycles */
    cr_assert_eq(pic_acknowledge(&pic), 0x2f);
    cr_assert_eq(isr(0xa0), 0);
    cr_assert_eq(isr(0x20), 0x04);
    rig_free(&rig);
}

Test(pic, edges_count_once_and_levels_as_long_as_they_last)
{
    set_up();
    initialize(0x01);
    pulse(5);
    cr_assert_eq(pic_acknowledge(&pic), 0x25);
    rig_out(&rig, 0x20, 0x20);
    cr_assert_eq(rig.level[0], 0, "the line is still high, but no new edge came");
    rig_out(&rig, 0x4d0, 0xff);
    cr_assert_eq(rig_in(&rig, 0x4d0), 0xf8);
    rig_out(&rig, 0x4d1, 0xff);
    cr_assert_eq(rig_in(&rig, 0x4d1), 0xde);
    cr_assert_eq(rig.level[0], 1, "now it is a level");
    cr_assert_eq(pic_acknowledge(&pic), 0x25);
    rig_out(&rig, 0x20, 0x20);
    cr_assert_eq(rig.level[0], 1, "as long as it lasts");
    pic_set_irq(&pic, 5, 0);
    cr_assert_eq(rig.level[0], 0);
    /* ICW1 with LTIM: all inputs. */
    rig_out(&rig, 0x4d0, 0);
    rig_out(&rig, 0x20, 0x19);
    rig_out(&rig, 0x21, 0x20);
    rig_out(&rig, 0x21, 0x04);
    rig_out(&rig, 0x21, 0x01);
    pic_set_irq(&pic, 0, 1);
    cr_assert_eq(pic_acknowledge(&pic), 0x20);
    rig_out(&rig, 0x20, 0x20);
    cr_assert_eq(rig.level[0], 1);
    rig_free(&rig);
}

Test(pic, initialization_forgets_edges_and_masks)
{
    set_up();
    initialize(0x01);
    rig_out(&rig, 0x21, 0xfe);
    pulse(1);
    pulse(0);
    pic_acknowledge(&pic);
    rig_out(&rig, 0x20, 0x11);
    cr_assert_eq(irr(0x20), 0, "an input must rise again");
    cr_assert_eq(isr(0x20), 0);
    rig_out(&rig, 0x21, 0x70);
    rig_out(&rig, 0x21, 0x04);
    rig_out(&rig, 0x21, 0x01);
    cr_assert_eq(rig_in(&rig, 0x21), 0);
    pulse(1);
    cr_assert_eq(pic_acknowledge(&pic), 0x71);
    rig_free(&rig);
}

Test(pic, rotation)
{
    set_up();
    initialize(0x01);
    pulse(3);
    pic_acknowledge(&pic);
    rig_out(&rig, 0x20, 0xa0); /* rotate on non-specific EOI: 3 becomes the lowest */
    for (int number = 0; number < 8; number++)
        pulse(number);
    cr_assert_eq(pic_acknowledge(&pic), 0x24);
    rig_out(&rig, 0x20, 0xe6); /* rotate on specific EOI of 6: 7 becomes the highest */
    cr_assert_eq(isr(0x20), 0x10);
    rig_out(&rig, 0x20, 0x64);
    cr_assert_eq(pic_acknowledge(&pic), 0x27);
    rig_out(&rig, 0x20, 0x67);
    rig_out(&rig, 0x20, 0xc4); /* set priority: 5 is the highest */
    cr_assert_eq(pic_acknowledge(&pic), 0x25);
    rig_free(&rig);
}

Test(pic, automatic_end_of_interrupt)
{
    set_up();
    initialize(0x03);
    pulse(6);
    cr_assert_eq(pic_acknowledge(&pic), 0x26);
    cr_assert_eq(isr(0x20), 0);
    rig_out(&rig, 0x20, 0x80); /* rotate on automatic EOI */
    pulse(0);
    cr_assert_eq(pic_acknowledge(&pic), 0x20);
    pulse(0);
    pulse(7);
    cr_assert_eq(pic_acknowledge(&pic), 0x27, "0 has the lowest priority now");
    rig_free(&rig);
}

Test(pic, special_mask_mode)
{
    set_up();
    initialize(0x01);
    pulse(2 + 1);
    pic_acknowledge(&pic);
    rig_out(&rig, 0x21, 0x08);
    pulse(6);
    cr_assert_eq(rig.level[0], 0);
    rig_out(&rig, 0x20, 0x68);
    cr_assert_eq(rig.level[0], 1, "a masked level in service blocks nothing");
    cr_assert_eq(pic_acknowledge(&pic), 0x26);
    rig_out(&rig, 0x20, 0x20);
    cr_assert_eq(isr(0x20), 0x08, "a non-specific EOI leaves masked levels alone");
    rig_out(&rig, 0x20, 0x48);
    pulse(6);
    cr_assert_eq(rig.level[0], 0);
    rig_free(&rig);
}

Test(pic, special_fully_nested_mode)
{
    set_up();
    initialize(0x01);
    pulse(12);
    pic_acknowledge(&pic);
    pulse(9);
    cr_assert_eq(rig.level[0], 0, "the cascade level is in service at the master");
    initialize(0x11);
    pulse(12);
    pic_acknowledge(&pic);
    pulse(9);
    cr_assert_eq(rig.level[0], 1);
    cr_assert_eq(pic_acknowledge(&pic), 0x29);
    rig_free(&rig);
}

Test(pic, poll)
{
    set_up();
    initialize(0x01);
    rig_out(&rig, 0x20, 0x0c);
    cr_assert_eq(rig_in(&rig, 0x20) & 0x80, 0);
    pulse(4);
    rig_out(&rig, 0x20, 0x0c);
    cr_assert_eq(rig_in(&rig, 0x20), 0x84);
    cr_assert_eq(isr(0x20), 0x10);
    cr_assert_eq(rig.level[0], 0);
    rig_free(&rig);
}

Test(pic, single_chip_has_an_ordinary_input_2)
{
    set_up();
    rig_out(&rig, 0x20, 0x13);
    rig_out(&rig, 0x21, 0x40); /* no ICW3 */
    rig_out(&rig, 0x21, 0x01);
    cr_assert_eq(rig_in(&rig, 0x21), 0);
    pulse(9);
    cr_assert_eq(rig.level[0], 0);
    rig_free(&rig);
}

Test(pic, keeps_its_state)
{
    set_up();
    initialize(0x01);
    rig_out(&rig, 0xa1, 0x40);
    pulse(4);
    pic_acknowledge(&pic);
    pulse(1);
    rig_check_round_trip(&pic_class, &pic);
    cr_assert_eq(pic_acknowledge(&pic), 0x21);
    rig_check_reset(&pic_class, &pic);
    unsigned seed = 1;
    for (unsigned round = 0; round < 2000; round++) {
        rig_load_noise(&pic_class, &pic, &seed);
        pulse(rand_r(&seed) % 16);
        pic_acknowledge(&pic);
        rig_out(&rig, rand_r(&seed) % 2 ? 0x20 : 0xa0, (uint8_t)rand_r(&seed));
        rig_in(&rig, 0x20);
    }
    rig_free(&rig);
}
