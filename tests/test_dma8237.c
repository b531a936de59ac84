/* hw/dma8237 against the 8237A datasheet. */
#include "hw/dma8237.h"

#include "chip_rig.h"

enum { RAM_BYTES = 1 << 20 };

static struct rig rig;
static struct frames frames;
static struct physmem physmem;
static struct dma8237 dma;
static unsigned told;

static void ready(void *opaque)
{
    told++;
}

static void set_up(void)
{
    struct error error = {""};
    rig_init(&rig);
    told = 0;
    cr_assert_eq(frames_init(&frames, RAM_BYTES, &error), 0, "%s", error.text);
    cr_assert_eq(physmem_init(&physmem, &frames, &rig.memory, RAM_BYTES, &error), 0);
    dma8237_attach(&dma, &rig.ports, &physmem);
    dma8237_class.reset(&dma, RESET_POWER_ON);
    dma8237_connect(&dma, 2, ready, NULL);
    dma8237_connect(&dma, 5, ready, NULL);
}

static void tear_down(void)
{
    physmem_free(&physmem);
    frames_free(&frames);
    rig_free(&rig);
}

/* Programs a channel as a driver does; `count` in units, less one. */
static void program(unsigned channel, uint8_t mode, uint8_t page, uint16_t address, uint16_t count)
{
    static const uint16_t pages[] = {0x87, 0x83, 0x81, 0x82, 0x8f, 0x8b, 0x89, 0x8a};
    uint16_t base = channel < 4 ? 0x00 : 0xc0, step = channel < 4 ? 1 : 2;
    unsigned n = channel & 3;
    rig_out(&rig, base + 10 * step, (uint8_t)(4 | n));
    rig_out(&rig, base + 12 * step, 0);
    rig_out(&rig, base + 11 * step, (uint8_t)(mode | n));
    rig_out(&rig, base + 2 * n * step, (uint8_t)address);
    rig_out(&rig, base + 2 * n * step, (uint8_t)(address >> 8));
    rig_out(&rig, base + (2 * n + 1) * step, (uint8_t)count);
    rig_out(&rig, base + (2 * n + 1) * step, (uint8_t)(count >> 8));
    rig_out(&rig, pages[channel], page);
    rig_out(&rig, base + 10 * step, (uint8_t)n);
}

static uint16_t current(unsigned reg)
{
    rig_out(&rig, 0x0c, 0);
    uint8_t low = rig_in(&rig, (uint16_t)reg);
    return (uint16_t)(low | rig_in(&rig, (uint16_t)reg) << 8);
}

static uint8_t memory(uint32_t at)
{
    uint8_t byte = 0;
    physmem_read(&physmem, GPA(at), &byte, 1);
    return byte;
}

Test(dma8237, bytes_to_memory)
{
    set_up();
    uint8_t bytes[600];
    bool terminal = true;
    memset(bytes, 0xab, sizeof bytes);
    program(2, 0x44, 0x01, 0x2000, 511);
    cr_assert_eq(dma8237_write_memory(&dma, 2, bytes, 100, &terminal), 100);
    cr_assert_not(terminal);
    cr_assert_eq(current(4), 0x2000 + 100);
    cr_assert_eq(current(5), 411);
    cr_assert_eq(dma8237_write_memory(&dma, 2, bytes, 500, &terminal), 412);
    cr_assert(terminal);
    cr_assert_eq(memory(0x12000), 0xab);
    cr_assert_eq(memory(0x121ff), 0xab);
    cr_assert_eq(memory(0x12200), 0x00);
    cr_assert_eq(current(5), 0xffff);
    cr_assert_eq(rig_in(&rig, 0x08), 0x04, "terminal count in the status");
    cr_assert_eq(rig_in(&rig, 0x08), 0x00, "which reading clears");
    cr_assert_eq(dma8237_write_memory(&dma, 2, bytes, 1, NULL), 0, "masked now");
    cr_assert_eq(rig_in(&rig, 0x0f), 0xff);
    tear_down();
}

Test(dma8237, memory_to_device)
{
    set_up();
    uint8_t bytes[16] = {0};
    physmem_write(&physmem, GPA(0x34567), "hello", 5);
    program(2, 0x48, 0x03, 0x4567, 4);
    bool terminal;
    cr_assert_eq(dma8237_read_memory(&dma, 2, bytes, sizeof bytes, &terminal), 5);
    cr_assert(terminal);
    cr_assert(!memcmp(bytes, "hello", 6));
    program(2, 0x48, 0x03, 0x4567, 4);
    cr_assert_eq(dma8237_write_memory(&dma, 2, bytes, 5, NULL), 0, "the other direction");
    tear_down();
}

Test(dma8237, auto_initialization)
{
    set_up();
    uint8_t bytes[25];
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    bool terminal;
    program(2, 0x54, 0x00, 0x3000, 9);
    cr_assert_eq(dma8237_write_memory(&dma, 2, bytes, 25, &terminal), 10);
    cr_assert(terminal);
    cr_assert_eq(current(5), 9);
    cr_assert_eq(current(4), 0x3000);
    cr_assert_eq(dma8237_write_memory(&dma, 2, bytes + 10, 5, &terminal), 5);
    cr_assert_not(terminal);
    cr_assert_eq(memory(0x3000), 10);
    cr_assert_eq(memory(0x3005), 5);
    tear_down();
}

Test(dma8237, addresses_wrap_within_their_page)
{
    set_up();
    const uint8_t bytes[4] = {1, 2, 3, 4};
    program(2, 0x44, 0x02, 0xfffe, 3);
    cr_assert_eq(dma8237_write_memory(&dma, 2, bytes, 4, NULL), 4);
    cr_assert_eq(memory(0x2ffff), 2);
    cr_assert_eq(memory(0x20000), 3);
    cr_assert_eq(memory(0x30000), 0);
    program(2, 0x64, 0x02, 0x0001, 3); /* downwards */
    cr_assert_eq(dma8237_write_memory(&dma, 2, bytes, 4, NULL), 4);
    cr_assert_eq(memory(0x20001), 1);
    cr_assert_eq(memory(0x20000), 2);
    cr_assert_eq(memory(0x2ffff), 3);
    tear_down();
}

Test(dma8237, words_of_the_second_chip)
{
    set_up();
    uint8_t bytes[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    bool terminal;
    program(5, 0x44, 0x05, 0x0800, 3);
    cr_assert_eq(dma8237_write_memory(&dma, 5, bytes, 9, &terminal), 8);
    cr_assert(terminal);
    cr_assert_eq(memory(0x41000), 1, "A16 comes from the address, not from the page");
    cr_assert_eq(memory(0x41007), 8);
    cr_assert_eq(dma8237_write_memory(&dma, 4, bytes, 8, NULL), 0, "4 is the cascade");
    tear_down();
}

Test(dma8237, requests)
{
    set_up();
    uint8_t byte = 7;
    cr_assert_not(dma8237_request(&dma, 2, 1));
    cr_assert_eq(rig_in(&rig, 0x08), 0x40);
    program(2, 0x44, 0, 0x4000, 3);
    cr_assert_eq(told, 1, "unmasking tells the waiting device");
    cr_assert_eq(dma8237_write_memory(&dma, 2, &byte, 1, NULL), 1);
    rig_out(&rig, 0x08, 0x04); /* controller off */
    cr_assert_eq(dma8237_write_memory(&dma, 2, &byte, 1, NULL), 0);
    cr_assert_not(dma8237_request(&dma, 2, 1));
    rig_out(&rig, 0x08, 0x00);
    cr_assert_eq(told, 2);
    cr_assert_not(dma8237_request(&dma, 2, 0));
    cr_assert(dma8237_request(&dma, 2, 1));
    tear_down();
}

Test(dma8237, verify_moves_nothing)
{
    set_up();
    uint8_t bytes[4] = {1, 2, 3, 4};
    bool terminal;
    program(2, 0x40, 0, 0x4000, 3);
    cr_assert_eq(dma8237_write_memory(&dma, 2, bytes, 4, &terminal), 4);
    cr_assert(terminal);
    cr_assert_eq(memory(0x4000), 0);
    tear_down();
}

Test(dma8237, memory_that_is_not_there)
{
    set_up();
    uint8_t bytes[4] = {1, 2, 3, 4};
    program(2, 0x48, 0xf0, 0x0000, 3);
    cr_assert_eq(dma8237_read_memory(&dma, 2, bytes, 4, NULL), 4);
    cr_assert_eq(load_le32(bytes), 0xffffffff);
    program(2, 0x44, 0xf0, 0x0000, 3);
    cr_assert_eq(dma8237_write_memory(&dma, 2, bytes, 4, NULL), 4);
    tear_down();
}

Test(dma8237, registers)
{
    set_up();
    rig_out(&rig, 0x0f, 0x05);
    cr_assert_eq(rig_in(&rig, 0x0f), 0xf5);
    rig_out(&rig, 0x0e, 0);
    cr_assert_eq(rig_in(&rig, 0x0f), 0xf0);
    rig_out(&rig, 0x0d, 0);
    cr_assert_eq(rig_in(&rig, 0x0f), 0xff, "master clear masks all");
    rig_out(&rig, 0xde, 0x03);
    cr_assert_eq(rig_in(&rig, 0xde), 0xf3);
    for (unsigned port = 0x80; port < 0x90; port++) {
        rig_out(&rig, (uint16_t)port, (uint8_t)(port * 3));
        cr_assert_eq(rig_in(&rig, (uint16_t)port), (uint8_t)(port * 3));
    }
    rig_out(&rig, 0x0c, 0);
    rig_out(&rig, 0x06, 0x34); /* low */
    rig_out(&rig, 0x0c, 0);
    rig_out(&rig, 0x06, 0x78); /* low again: the flip-flop was cleared */
    rig_out(&rig, 0x06, 0x56);
    cr_assert_eq(current(6), 0x5678);
    rig_out(&rig, 0x09, 0x06);
    cr_assert_eq(rig_in(&rig, 0x08), 0x40, "a request by software");
    tear_down();
}

Test(dma8237, keeps_its_state)
{
    set_up();
    program(2, 0x44, 0x01, 0x2000, 511);
    dma8237_request(&dma, 2, 1);
    rig_out(&rig, 0x0c, 0);
    rig_in(&rig, 0x04);
    rig_check_round_trip(&dma8237_class, &dma);
    rig_check_reset(&dma8237_class, &dma);
    unsigned seed = 1;
    uint8_t bytes[70000] = {0};
    for (unsigned round = 0; round < 500; round++) {
        rig_load_noise(&dma8237_class, &dma, &seed);
        dma8237_write_memory(&dma, rand_r(&seed) % 8, bytes, sizeof bytes, NULL);
        dma8237_read_memory(&dma, rand_r(&seed) % 8, bytes, sizeof bytes, NULL);
        rig_out(&rig, rand_r(&seed) % 16, (uint8_t)rand_r(&seed));
        rig_in(&rig, rand_r(&seed) % 16);
    }
    tear_down();
}
