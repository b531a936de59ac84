/* hw/fdc: register scripts with DMA and without, formats by size, status bits. */
#include "hw/fdc.h"
#include "tests/device_rig.h"

enum { DOR = 0x3f2, MSR = 0x3f4, FIFO = 0x3f5, DIR = 0x3f7, CCR = 0x3f7, BYTES = 1474560 };

static struct device_rig rig;
static struct fdc fdc;
static struct blockdev *disk;
static uint8_t buffer[64 * 1024], result[16];

static void setup_with(uint64_t bytes, unsigned flags)
{
    struct error error;
    device_rig_init(&rig);
    memset(&fdc, 0, sizeof fdc);
    fdc_attach(&fdc, &rig.ports, device_rig_line(&rig, 6), &rig.dma, &rig.clock);
    disk = bytes ? image_temporary(bytes, flags) : NULL;
    cr_assert_eq(fdc_add_drive(&fdc, 0, disk, &error), 0, "%s", error.text);
    device_rig_register(&rig);
    device_register(&rig.devices, &fdc_class, &fdc);
    device_reset_all(&rig.devices, RESET_POWER_ON);
}

static void teardown(void)
{
    device_rig_free(&rig);
    blockdev_close(disk);
}

static void write_command(const uint8_t *bytes, unsigned length)
{
    for (unsigned i = 0; i < length; i++) {
        cr_assert_eq(inb(&rig, MSR) & 0xc0, 0x80, "byte %u of %02x", i, bytes[0]);
        outb(&rig, FIFO, bytes[i]);
    }
}

static void read_result(unsigned length)
{
    for (unsigned i = 0; i < length; i++) {
        cr_assert_eq(inb(&rig, MSR) & 0xd0, 0xd0, "result byte %u", i);
        result[i] = inb(&rig, FIFO);
    }
    cr_assert_eq(inb(&rig, MSR) & 0xd0, 0x80);
}

static void wait_irq(void)
{
    for (unsigned i = 0; i < 1000 && !rig.level[6]; i++)
        device_rig_pass(&rig, 10000);
    cr_assert(rig.level[6], "no interrupt");
}

#define COMMAND(...)                                                                               \
    write_command((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void start_controller(void)
{
    outb(&rig, DOR, 0x1c);
    wait_irq();
    for (unsigned i = 0; i < 4; i++) {
        COMMAND(0x08);
        read_result(2);
        cr_assert_eq(result[0], 0xc0 | i);
    }
    cr_assert_eq(rig.level[6], 0);
    COMMAND(0x08);
    read_result(1);
    cr_assert_eq(result[0], 0x80);
    outb(&rig, CCR, 0);
    COMMAND(0x03, 0xaf, 0x02);
}

static void seek_to(uint8_t cylinder)
{
    COMMAND(0x0f, 0x00, cylinder);
    cr_assert_eq(inb(&rig, MSR) & 1, 1, "drive 0 is busy seeking");
    wait_irq();
    COMMAND(0x08);
    read_result(2);
    cr_assert_eq(result[0], 0x20);
    cr_assert_eq(result[1], cylinder);
}

static void setup(void)
{
    setup_with(BYTES, 0);
    start_controller();
}

TestSuite(fdc, .init = setup, .fini = teardown);

/* `mode`: 46h to memory, 4Ah from memory, on channel 2. */
static void program_dma(uint8_t mode, uint32_t address, unsigned length)
{
    outb(&rig, 0x0a, 6);
    outb(&rig, 0x0c, 0);
    outb(&rig, 0x0b, mode);
    outb(&rig, 0x04, (uint8_t)address);
    outb(&rig, 0x04, (uint8_t)(address >> 8));
    outb(&rig, 0x81, (uint8_t)(address >> 16));
    outb(&rig, 0x05, (uint8_t)(length - 1));
    outb(&rig, 0x05, (uint8_t)((length - 1) >> 8));
    outb(&rig, 0x0a, 2);
}

static uint64_t offset_of(unsigned cylinder, unsigned head, unsigned sector)
{
    return ((cylinder * 2 + head) * 18 + sector - 1) * 512;
}

Test(fdc, version_registers_and_lock)
{
    COMMAND(0x10);
    read_result(1);
    cr_assert_eq(result[0], 0x90);
    COMMAND(0x13, 0x00, 0x57, 0x11);
    COMMAND(0x94);
    read_result(1);
    cr_assert_eq(result[0], 0x10);
    COMMAND(0x0e);
    read_result(10);
    cr_assert_eq(result[4], 0xaf);
    cr_assert_eq(result[5], 0x02);
    cr_assert_eq(result[7], 0x80);
    cr_assert_eq(result[8], 0x57);
    cr_assert_eq(result[9], 0x11);
    COMMAND(0x1f);
    read_result(1);
    cr_assert_eq(result[0], 0x80, "an unknown command");
}

Test(fdc, reads_by_dma_across_heads)
{
    seek_to(3);
    program_dma(0x46, 0x12340, 20 * 512);
    COMMAND(0xe6, 0x00, 3, 0, 10, 2, 18, 0x1b, 0xff);
    wait_irq();
    read_result(7);
    cr_assert_eq(rig.level[6], 0);
    static const uint8_t expected[7] = {0x04, 0, 0, 3, 1, 12, 2};
    cr_assert(!memcmp(result, expected, 7), "%02x %02x %02x %u %u %u %u", result[0], result[1],
              result[2], result[3], result[4], result[5], result[6]);
    physmem_read(&rig.physmem, GPA(0x12340), buffer, 20 * 512);
    cr_assert(image_matches(buffer, offset_of(3, 0, 10), 20 * 512));
}

Test(fdc, result_after_the_last_sector)
{
    seek_to(3);
    program_dma(0x46, 0x10000, 512);
    COMMAND(0xe6, 0x04, 3, 1, 18, 2, 18, 0x1b, 0xff);
    wait_irq();
    read_result(7);
    static const uint8_t multitrack[7] = {0x04, 0, 0, 4, 0, 1, 2};
    cr_assert(!memcmp(result, multitrack, 7));
    program_dma(0x46, 0x10000, 1024); /* more than the track has, without multitrack */
    COMMAND(0x66, 0x00, 3, 0, 18, 2, 18, 0x1b, 0xff);
    wait_irq();
    read_result(7);
    static const uint8_t end[7] = {0x40, 0x80, 0, 4, 0, 1, 2};
    cr_assert(!memcmp(result, end, 7), "%02x %02x %02x %u %u %u", result[0], result[1], result[2],
              result[3], result[4], result[5]);
}

Test(fdc, writes_by_dma)
{
    seek_to(40);
    memset(buffer, 0x77, 1024);
    physmem_write(&rig.physmem, GPA(0x10000), buffer, 1024);
    program_dma(0x4a, 0x10000, 1024);
    COMMAND(0xc5, 0x00, 40, 0, 1, 2, 18, 0x1b, 0xff);
    wait_irq();
    read_result(7);
    cr_assert_eq(result[0], 0);
    cr_assert_eq(result[5], 3);
    cr_assert_eq(blockdev_read(disk, offset_of(40, 0, 1), buffer + 1024, 1024), 0);
    cr_assert(!memcmp(buffer, buffer + 1024, 1024));
}

Test(fdc, dma_that_comes_late)
{
    seek_to(0);
    outb(&rig, 0x0a, 6);
    COMMAND(0xe6, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
    device_rig_pass(&rig, 1000000);
    cr_assert_eq(rig.level[6], 0);
    program_dma(0x46, 0x10000, 512);
    cr_assert_eq(rig.level[6], 1);
    read_result(7);
    physmem_read(&rig.physmem, GPA(0x10000), buffer, 512);
    cr_assert(image_matches(buffer, 0, 512));
}

Test(fdc, without_dma)
{
    COMMAND(0x03, 0xaf, 0x03);
    seek_to(1);
    COMMAND(0x66, 0x00, 1, 0, 17, 2, 18, 0x1b, 0xff);
    wait_irq();
    for (unsigned i = 0; i < 1024; i++) {
        cr_assert_eq(inb(&rig, MSR) & 0xf0, 0xf0, "byte %u", i);
        buffer[i] = inb(&rig, FIFO);
    }
    read_result(7);
    cr_assert_eq(result[0], 0x40, "without terminal count the track's end ends it");
    cr_assert_eq(result[1], 0x80);
    cr_assert(image_matches(buffer, offset_of(1, 0, 17), 1024));
}

Test(fdc, errors_have_their_bits)
{
    static const struct {
        uint8_t command[9];
        uint8_t status[3];
    } cases[] = {
        {{0xe6, 0, 9, 0, 1, 2, 18, 0x1b, 0xff}, {0x40, 0x04, 0x10}}, /* the head is not there */
        {{0xe6, 0, 5, 0, 0, 2, 18, 0x1b, 0xff}, {0x40, 0x04, 0}},    /* no sector 0 */
        {{0xe6, 0, 5, 0, 19, 2, 18, 0x1b, 0xff}, {0x40, 0x04, 0}},   /* no sector 19 */
        {{0xe6, 0, 5, 0, 1, 3, 18, 0x1b, 0xff}, {0x40, 0x04, 0}},    /* no sectors of 1024 */
        {{0xe6, 0, 5, 1, 1, 2, 18, 0x1b, 0xff}, {0x40, 0x04, 0}},    /* ID of another side */
        {{0x26, 0, 5, 0, 1, 2, 18, 0x1b, 0xff}, {0x40, 0x05, 0}},    /* FM */
        {{0xe6, 1, 5, 0, 1, 2, 18, 0x1b, 0xff}, {0x41, 0x05, 0}},    /* no drive 1 */
    };
    seek_to(5);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        program_dma(0x46, 0x10000, 512);
        write_command(cases[i].command, 9);
        wait_irq();
        read_result(7);
        cr_assert(!memcmp(result, cases[i].status, 3), "case %zu: %02x %02x %02x", i, result[0],
                  result[1], result[2]);
    }
    outb(&rig, CCR, 2); /* at 250 kb/s there are no marks to be read */
    COMMAND(0x4a, 0);
    wait_irq();
    read_result(7);
    cr_assert_eq(result[0], 0x40);
    cr_assert_eq(result[1], 0x01);
    outb(&rig, CCR, 0);
    COMMAND(0x4a, 0);
    wait_irq();
    read_result(7);
    cr_assert(result[0] == 0 && result[3] == 5 && result[5] >= 1 && result[5] <= 18);
}

Test(fdc, formats_a_track)
{
    for (unsigned i = 0; i < 18; i++) {
        const uint8_t id[4] = {7, 1, (uint8_t)(i + 1), 2};
        physmem_write(&rig.physmem, GPA(0x10000 + 4 * i), id, 4);
    }
    seek_to(7);
    program_dma(0x4a, 0x10000, 18 * 4);
    COMMAND(0x4d, 0x04, 2, 18, 0x54, 0xf6);
    wait_irq();
    read_result(7);
    cr_assert_eq(result[0], 0x04);
    cr_assert_eq(blockdev_read(disk, offset_of(7, 1, 1), buffer, 18 * 512), 0);
    for (unsigned i = 0; i < 18 * 512; i++)
        cr_assert_eq(buffer[i], 0xf6);
    cr_assert_eq(blockdev_read(disk, offset_of(8, 0, 1), buffer, 512), 0);
    cr_assert(image_matches(buffer, offset_of(8, 0, 1), 512));
}

Test(fdc, recalibrate_and_sense_drive)
{
    seek_to(30);
    COMMAND(0x04, 0x04);
    read_result(1);
    cr_assert_eq(result[0], 0x2c);
    COMMAND(0x07, 0x00);
    wait_irq();
    COMMAND(0x08);
    read_result(2);
    cr_assert_eq(result[0], 0x20);
    cr_assert_eq(result[1], 0);
    COMMAND(0x04, 0x00);
    read_result(1);
    cr_assert_eq(result[0], 0x38);
    COMMAND(0x07, 0x01); /* no drive 1: track 0 is never found */
    wait_irq();
    COMMAND(0x08);
    read_result(2);
    cr_assert_eq(result[0], 0x71);
}

Test(fdc, disk_change_line)
{
    struct error error;
    struct blockdev *other = image_temporary(720 * 1024, 0), *old;
    cr_assert_eq(inb(&rig, DIR) & 0x80, 0x80, "changed until the first step");
    seek_to(1);
    cr_assert_eq(inb(&rig, DIR) & 0x80, 0);
    cr_assert_eq(fdc_change_disk(&fdc, 0, NULL, &old, &error), 0);
    cr_assert_eq(old, disk);
    seek_to(2);
    cr_assert_eq(inb(&rig, DIR) & 0x80, 0x80, "no disk: a step does not clear it");
    cr_assert_eq(fdc_change_disk(&fdc, 0, other, &old, &error), 0);
    cr_assert_eq(inb(&rig, DIR) & 0x80, 0x80);
    seek_to(1);
    cr_assert_eq(inb(&rig, DIR) & 0x80, 0);
    outb(&rig, DOR, 0x0c);
    cr_assert_eq(fdc_change_disk(&fdc, 0, NULL, &old, &error), 0);
    cr_assert_eq(inb(&rig, DIR) & 0x80, 0, "the motor is off");
    cr_assert_eq(fdc_change_disk(&fdc, 1, NULL, &old, &error), -ENODEV);
    blockdev_close(other);
}

Test(fdc, verify_scan_and_read_track)
{
    seek_to(2);
    COMMAND(0x56, 0x00, 2, 0, 1, 2, 18, 0x1b, 0xff);
    wait_irq();
    read_result(7);
    cr_assert_eq(result[0], 0);
    blockdev_read(disk, offset_of(2, 0, 4), buffer, 512);
    physmem_write(&rig.physmem, GPA(0x10000), buffer, 512);
    program_dma(0x4a, 0x10000, 512);
    COMMAND(0x51, 0x00, 2, 0, 4, 2, 18, 0x1b, 1);
    wait_irq();
    read_result(7);
    cr_assert_eq(result[2], 0x08, "equal");
    program_dma(0x4a, 0x10000, 512);
    COMMAND(0x51, 0x00, 2, 0, 5, 2, 18, 0x1b, 1);
    wait_irq();
    read_result(7);
    cr_assert_eq(result[2], 0x04, "not satisfied");
    program_dma(0x46, 0x10000, 18 * 512);
    COMMAND(0x42, 0x00, 2, 0, 1, 2, 18, 0x1b, 0xff);
    wait_irq();
    read_result(7);
    cr_assert_eq(result[0], 0);
    physmem_read(&rig.physmem, GPA(0x10000), buffer, 18 * 512);
    cr_assert(image_matches(buffer, offset_of(2, 0, 1), 18 * 512));
}

Test(fdc, state_survives_a_save)
{
    seek_to(3);
    COMMAND(0x03, 0xaf, 0x03);
    COMMAND(0x66, 0x00, 3, 0, 1, 2, 18, 0x1b, 0xff);
    wait_irq();
    for (unsigned i = 0; i < 100; i++)
        buffer[i] = inb(&rig, FIFO);
    device_rig_check_save(&rig);
    for (unsigned i = 100; i < 512; i++)
        buffer[i] = inb(&rig, FIFO);
    cr_assert(image_matches(buffer, offset_of(3, 0, 1), 512));
    device_rig_check_reset(&rig);
}

Test(fdc_media, formats_by_size)
{
    static const struct {
        uint32_t bytes;
        uint8_t type, rate, sectors, cylinder;
    } sizes[] = {
        {160 * 1024, 1, 2, 8, 39}, {180 * 1024, 1, 2, 9, 39},   {320 * 1024, 1, 2, 8, 39},
        {360 * 1024, 1, 1, 9, 39}, {720 * 1024, 4, 2, 9, 79},   {1200 * 1024, 2, 0, 15, 79},
        {1474560, 4, 0, 18, 79},   {1680 * 1024, 4, 0, 21, 79}, {2880 * 1024, 5, 3, 36, 79},
        {512, 4, 0, 18, 79},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++) {
        setup_with(sizes[i].bytes, 0);
        cr_assert_eq(fdc_cmos_type(&fdc, 0), sizes[i].type);
        start_controller();
        outb(&rig, CCR, sizes[i].rate);
        seek_to(sizes[i].cylinder);
        program_dma(0x46, 0x10000, 512);
        COMMAND(0xe6, 0x00, sizes[i].cylinder, 0, sizes[i].sectors, 2, sizes[i].sectors, 0x1b,
                0xff);
        wait_irq();
        read_result(7);
        cr_assert_eq(result[0], 0, "size %u", sizes[i].bytes);
        teardown();
    }
    struct error error;
    struct fdc other = {0};
    struct blockdev *large = image_temporary(10 << 20, 0);
    cr_assert_eq(fdc_add_drive(&other, 0, large, &error), -EINVAL);
    cr_assert(strstr(error.text, "1.44M"), "%s", error.text);
    cr_assert_eq(fdc_cmos_type(&other, 0), 0);
    blockdev_close(large);
}

Test(fdc_media, read_only_and_empty)
{
    setup_with(BYTES, BLOCKDEV_READ_ONLY);
    start_controller();
    program_dma(0x4a, 0x10000, 512);
    COMMAND(0xc5, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
    wait_irq();
    read_result(7);
    cr_assert(result[0] == 0x40 && result[1] == 0x02);
    COMMAND(0x04, 0x00);
    read_result(1);
    cr_assert_eq(result[0], 0x78);
    teardown();
    setup_with(0, 0);
    start_controller();
    program_dma(0x46, 0x10000, 512);
    COMMAND(0xe6, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
    wait_irq();
    read_result(7);
    cr_assert(result[0] == 0x40 && result[1] == 0x05);
    teardown();
}

Test(fdc_media, a_host_that_cannot_read_is_a_data_error)
{
    char path[64];
    struct error error;
    setup_with(0, 0);
    image_create(path, BYTES);
    struct blockdev *bad = image_open(path, 0);
    cr_assert_eq(truncate(path, 512), 0);
    cr_assert_eq(fdc_change_disk(&fdc, 0, bad, NULL, &error), 0);
    start_controller();
    program_dma(0x46, 0x10000, 1024);
    COMMAND(0xe6, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
    wait_irq();
    read_result(7);
    cr_assert(result[0] == 0x40 && result[1] == 0x20 && result[2] == 0x20 && result[5] == 2);
    teardown();
    blockdev_close(bad);
    unlink(path);
}

Test(fdc, fuzz)
{
    static const unsigned ports[] = {0x3f2, 0x3f4, 0x3f5, 0x3f5, 0x3f5,
                                     0x3f5, 0x3f7, 0x0a,  0x0b,  0x05};
    static const uint8_t codes[] = {0x02, 0x03, 0x04, 0x45, 0xe6, 0x07, 0x08, 0x49,
                                    0x4a, 0x4c, 0x4d, 0x0e, 0x0f, 0x10, 0x51, 0x12,
                                    0x13, 0x14, 0x94, 0x56, 0x59, 0x5d, 0x8f, 0xcf};
    uint64_t seed = 3;
    for (unsigned round = 0; round < 300000; round++) {
        uint64_t value = device_rig_random(&seed);
        unsigned port = ports[value % ARRAY_LENGTH(ports)];
        uint8_t data = value >> 8 & 3 ? (uint8_t)(value >> 16) % 20 : (uint8_t)(value >> 16);
        if (port == FIFO && (inb(&rig, MSR) & 0x10) == 0)
            data = codes[(value >> 32) % sizeof codes];
        if (port == DOR && (value >> 40 & 15))
            data |= 0x0c;
        if (port == MSR && (value >> 40 & 15))
            continue;
        if (value >> 48 & 3)
            outb(&rig, port, data);
        else
            inb(&rig, port);
        if (!(value >> 56 & 3))
            device_rig_pass(&rig, 60000);
        if (round % 20000 == 0)
            device_rig_check_save(&rig);
    }
}
