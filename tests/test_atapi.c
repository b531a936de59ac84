/* hw/atapi: packets by PIO and DMA, sense data, medium and tray, what the drive tells about itself.
 */
#include "tests/ide_rig.h"

enum { PORT = 0x170, SECTORS = 1000, SECTOR_BYTES = 2048, IRQ15 = 15 };

static struct device_rig rig;
static struct ide ide;
static struct blockdev *disc;
static uint8_t buffer[256 * 1024];

static void setup(void)
{
    struct error error;
    ide_rig_attach(&rig, &ide);
    disc = image_temporary(SECTORS * SECTOR_BYTES, BLOCKDEV_READ_ONLY);
    cr_assert_eq(ide_add_cdrom(&ide, 1, 0, disc, NULL, &error), 0);
    ide_rig_start(&rig, &ide);
}

static void teardown(void)
{
    device_rig_free(&rig);
    blockdev_close(disc);
}

TestSuite(atapi, .init = setup, .fini = teardown);

/* Writes the packet; the drive is BSY afterwards. */
static void send_packet(const uint8_t packet[12], unsigned limit, bool dma)
{
    outb(&rig, PORT + 6, 0xa0);
    outb(&rig, PORT + 1, dma);
    outb(&rig, PORT + 4, (uint8_t)limit);
    outb(&rig, PORT + 5, (uint8_t)(limit >> 8));
    cr_assert_eq(ide_rig_command(&rig, PORT, 0xa0), 0x58);
    cr_assert_eq(inb(&rig, PORT + 2), 1, "command, to the device");
    unsigned edges = rig.edges[IRQ15];
    for (unsigned i = 0; i < 12; i += 2)
        outw(&rig, PORT, load_le16(packet + i));
    cr_assert_eq(rig.edges[IRQ15], edges);
    cr_assert_eq(inb(&rig, PORT + 7), BSY);
}

/* Executes a packet by PIO; returns the bytes that came, and the final status in *status. */
static size_t run_packet(const uint8_t packet[12], unsigned limit, uint8_t *status)
{
    size_t length = 0;
    send_packet(packet, limit, false);
    while ((*status = ide_rig_wait(&rig, PORT)) & DRQ) {
        size_t block = inb(&rig, PORT + 4) | inb(&rig, PORT + 5) << 8;
        cr_assert_eq(inb(&rig, PORT + 2), 2, "data, to the host");
        cr_assert(block && block <= limit, "a block of %zu bytes", block);
        ide_rig_read_words(&rig, PORT, buffer + length, block);
        length += block;
    }
    cr_assert_eq(inb(&rig, PORT + 2), 3);
    return length;
}

static size_t run_good(const uint8_t packet[12])
{
    uint8_t status;
    size_t length = run_packet(packet, 0xfffe, &status);
    cr_assert_eq(status, 0x50, "packet %02x: error %02x", packet[0], inb(&rig, PORT + 1));
    return length;
}

/* The sense data, as key << 16 | code << 8 | qualifier. */
static uint32_t sense(void)
{
    cr_assert_eq(run_good((uint8_t[12]){0x03, 0, 0, 0, 18}), 18);
    cr_assert_eq(buffer[0], 0x70);
    return (uint32_t)buffer[2] << 16 | (uint32_t)buffer[12] << 8 | buffer[13];
}

/* Executes a packet that must fail; returns its sense data. */
static uint32_t run_bad(const uint8_t packet[12])
{
    uint8_t status;
    cr_assert_eq(run_packet(packet, 0xfffe, &status), 0);
    cr_assert_eq(status, 0x51, "packet %02x", packet[0]);
    unsigned key = inb(&rig, PORT + 1) >> 4;
    uint32_t result = sense();
    cr_assert_eq(result >> 16, key);
    return result;
}

static const uint8_t test_ready[12] = {0x00};

static void become_ready(void)
{
    cr_assert_eq(run_bad(test_ready), 0x062900, "the reset is told first");
    run_good(test_ready);
}

Test(atapi, signature_and_identify)
{
    cr_assert_eq(inb(&rig, PORT + 7), 0);
    cr_assert_eq(inb(&rig, PORT + 4), 0x14);
    cr_assert_eq(inb(&rig, PORT + 5), 0xeb);
    outb(&rig, PORT + 4, 0);
    outb(&rig, PORT + 5, 0);
    cr_assert_eq(ide_rig_command(&rig, PORT, 0xec), 0x51, "IDENTIFY DEVICE is for disks");
    cr_assert_eq(inb(&rig, PORT + 1), 4);
    cr_assert_eq(inb(&rig, PORT + 4), 0x14);
    cr_assert_eq(inb(&rig, PORT + 5), 0xeb);
    unsigned edges = rig.edges[IRQ15];
    cr_assert_eq(ide_rig_command(&rig, PORT, 0xa1), 0x58);
    ide_rig_read_words(&rig, PORT, buffer, 512);
    cr_assert_eq(inb(&rig, PORT + 7), 0x50);
    cr_assert_eq(rig.edges[IRQ15], edges + 1, "no interrupt after the last word");
    cr_assert_eq(load_le16(buffer), 0x85c0);
    outb(&rig, PORT + 7, 0x08);
    device_rig_pass(&rig, 10000);
    cr_assert_eq(inb(&rig, PORT + 7), 0);
    cr_assert_eq(inb(&rig, PORT + 5), 0xeb);
}

Test(atapi, inquiry_and_capacity)
{
    cr_assert_eq(run_good((uint8_t[12]){0x12, 0, 0, 0, 36}), 36);
    cr_assert_eq(buffer[0], 5);
    cr_assert_eq(buffer[1], 0x80);
    cr_assert(!memcmp(buffer + 8, "RING3   CD-ROM          1.0 ", 28));
    cr_assert_eq(run_good((uint8_t[12]){0x12, 0, 0, 0, 5}), 5);
    become_ready();
    cr_assert_eq(run_good((uint8_t[12]){0x25}), 8);
    cr_assert_eq(__builtin_bswap32(load_le32(buffer)), SECTORS - 1);
    cr_assert_eq(__builtin_bswap32(load_le32(buffer + 4)), SECTOR_BYTES);
}

Test(atapi, reads_in_blocks_of_the_byte_limit)
{
    static const unsigned limits[] = {2048, 2047, 4096, 512, 63488, 0xfffe, 30};
    uint8_t status;
    become_ready();
    for (size_t i = 0; i < ARRAY_LENGTH(limits); i++) {
        uint8_t packet[12] = {0x28, 0, 0, 0, 0, 17, 0, 0, 50};
        cr_assert_eq(run_packet(packet, limits[i], &status), 50 * SECTOR_BYTES);
        cr_assert_eq(status, 0x50);
        cr_assert(image_matches(buffer, 17 * SECTOR_BYTES, 50 * SECTOR_BYTES));
    }
    run_good((uint8_t[12]){0xa8, 0, 0, 0, 3, 0xe7, 0, 0, 0, 1}); /* the last sector */
    cr_assert(image_matches(buffer, 999 * SECTOR_BYTES, SECTOR_BYTES));
    cr_assert_eq(run_bad((uint8_t[12]){0xa8, 0, 0, 0, 3, 0xe7, 0, 0, 0, 2}), 0x052100);
    cr_assert_eq(run_bad((uint8_t[12]){0xa8, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}),
                 0x052100);
    cr_assert_eq(run_good((uint8_t[12]){0x28}), 0, "no sectors are no error");
}

Test(atapi, reads_by_dma)
{
    become_ready();
    ide_rig_prd(&rig, 0x1000, 0, 0x20000, 0, false);
    ide_rig_prd(&rig, 0x1000, 1, 0x30000, 40 * SECTOR_BYTES - 0x10000, true);
    send_packet((uint8_t[12]){0x28, 0, 0, 0, 0, 5, 0, 0, 40}, 0, true);
    outl(&rig, BUS_MASTER + 12, 0x1000);
    outb(&rig, BUS_MASTER + 8, 8);
    outb(&rig, BUS_MASTER + 10, 6);
    outb(&rig, BUS_MASTER + 8, 9);
    device_rig_pass(&rig, 10000);
    device_rig_pass(&rig, 10000);
    cr_assert_eq(inb(&rig, BUS_MASTER + 10) & 7, 4);
    cr_assert_eq(inb(&rig, PORT + 7), 0x50);
    cr_assert_eq(inb(&rig, PORT + 2), 3);
    physmem_read(&rig.physmem, GPA(0x20000), buffer, 40 * SECTOR_BYTES);
    cr_assert(image_matches(buffer, 5 * SECTOR_BYTES, 40 * SECTOR_BYTES));
}

Test(atapi, raw_sectors_are_whole)
{
    become_ready();
    cr_assert_eq(run_good((uint8_t[12]){0xbe, 0, 0, 0, 0, 16, 0, 0, 1, 0xf8}), 2352);
    static const uint8_t sync[12] = {0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0};
    cr_assert(!memcmp(buffer, sync, 12));
    cr_assert(buffer[12] == 0 && buffer[13] == 2 && buffer[14] == 0x16 && buffer[15] == 1);
    cr_assert(image_matches(buffer + 16, 16 * SECTOR_BYTES, SECTOR_BYTES));
    /* The detection code over everything up to itself leaves no remainder. */
    uint32_t crc = 0;
    for (unsigned i = 0; i < 2068; i++) {
        crc ^= buffer[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xd8018001u : 0);
    }
    cr_assert_eq(crc, 0);
    /* Each P column and each Q diagonal sums to zero. */
    for (unsigned column = 0; column < 86; column++) {
        uint8_t sum = 0;
        for (unsigned row = 0; row < 26; row++)
            sum ^= buffer[12 + column + 86 * row];
        cr_assert_eq(sum, 0, "column %u", column);
    }
    for (unsigned diagonal = 0; diagonal < 52; diagonal++) {
        uint8_t sum = 0;
        for (unsigned i = 0; i < 43; i++)
            sum ^= buffer[12 + (diagonal / 2 * 86 + diagonal % 2 + 88 * i) % 2236];
        sum ^= buffer[2248 + diagonal] ^ buffer[2300 + diagonal];
        cr_assert_eq(sum, 0, "diagonal %u", diagonal);
    }
    cr_assert_eq(run_good((uint8_t[12]){0xbe, 0, 0, 0, 0, 16, 0, 0, 3, 0x10}), 3 * 2048);
    cr_assert_eq(run_good((uint8_t[12]){0xb9, 0, 0, 0, 2, 16, 0, 2, 18, 0x10}), 2 * 2048);
    cr_assert(image_matches(buffer, 16 * SECTOR_BYTES, 2 * SECTOR_BYTES));
    cr_assert_eq(run_bad((uint8_t[12]){0xbe, 4, 0, 0, 0, 16, 0, 0, 1, 0x10}), 0x056400);
    cr_assert_eq(run_bad((uint8_t[12]){0xbe, 0, 0, 0, 0, 16, 0, 0, 1, 0x90}), 0x052400);
}

Test(atapi, tables_of_contents)
{
    become_ready();
    cr_assert_eq(run_good((uint8_t[12]){0x43, 0, 0, 0, 0, 0, 0, 0, 100}), 20);
    static const uint8_t by_address[20] = {0, 18, 1, 1,    0,    0x14, 1, 0, 0, 0,
                                           0, 0,  0, 0x14, 0xaa, 0,    0, 0, 3, 0xe8};
    cr_assert(!memcmp(buffer, by_address, 20));
    run_good((uint8_t[12]){0x43, 2, 0, 0, 0, 0, 0xaa, 0, 100});
    static const uint8_t lead_out[12] = {0, 10, 1, 1, 0, 0x14, 0xaa, 0, 0, 0, 15, 25};
    cr_assert(!memcmp(buffer, lead_out, 12));
    cr_assert_eq(run_good((uint8_t[12]){0x43, 0, 1, 0, 0, 0, 0, 0, 100}), 12);
    cr_assert_eq(run_good((uint8_t[12]){0x43, 0, 2, 0, 0, 0, 0, 0, 100}), 48);
    cr_assert_eq(run_good((uint8_t[12]){0x43, 0, 0, 0, 0, 0, 0, 0, 100, 0x40}), 12);
    cr_assert_eq(run_bad((uint8_t[12]){0x43, 0, 5, 0, 0, 0, 0, 0, 100}), 0x052400);
    cr_assert_eq(run_bad((uint8_t[12]){0x43, 0, 0, 0, 0, 0, 2, 0, 100}), 0x052400);
    cr_assert_eq(run_good((uint8_t[12]){0x51, 0, 0, 0, 0, 0, 0, 0, 100}), 34);
    cr_assert_eq(buffer[2], 0x0e);
    cr_assert_eq(run_good((uint8_t[12]){0x52, 1, 0, 0, 0, 1, 0, 0, 100}), 36);
    cr_assert_eq(__builtin_bswap32(load_le32(buffer + 24)), SECTORS);
    cr_assert_eq(run_good((uint8_t[12]){0x42, 0, 0x40, 1, 0, 0, 0, 0, 100}), 16);
    cr_assert_eq(run_good((uint8_t[12]){0x44, 0, 0, 0, 0, 1, 0, 0, 8}), 8);
    cr_assert_eq(run_bad((uint8_t[12]){0xad, 0, 0, 0, 0, 0, 0, 0, 0, 100}), 0x053002);
}

Test(atapi, features_and_mode_pages)
{
    size_t length = run_good((uint8_t[12]){0x46, 0, 0, 0, 0, 0, 0, 1, 0});
    cr_assert_eq(__builtin_bswap32(load_le32(buffer)), length - 4);
    cr_assert_eq(buffer[7], 8, "the current profile is CD-ROM");
    cr_assert_eq(run_good((uint8_t[12]){0x46, 2, 0, 3, 0, 0, 0, 1, 0}), 16);
    become_ready();
    cr_assert_eq(run_good((uint8_t[12]){0x5a, 0, 0x3f, 0, 0, 0, 0, 1, 0}), 8 + 8 + 16 + 22);
    cr_assert_eq(buffer[2], 1, "a data disc");
    cr_assert_eq(buffer[8], 1);
    cr_assert_eq(buffer[16], 0x0e);
    cr_assert_eq(buffer[32], 0x2a);
    cr_assert_eq(run_bad((uint8_t[12]){0x5a, 0, 0xff, 0, 0, 0, 0, 1, 0}), 0x053900);
    cr_assert_eq(run_bad((uint8_t[12]){0x5a, 0, 0x07, 0, 0, 0, 0, 1, 0}), 0x052400);

    static const uint8_t list[16] = {[8] = 0x01, 6, 0x20, 9};
    uint8_t status;
    send_packet((uint8_t[12]){0x55, 0x10, 0, 0, 0, 0, 0, 0, 16}, 0xfffe, false);
    cr_assert_eq(ide_rig_wait(&rig, PORT), 0x58);
    cr_assert_eq(inb(&rig, PORT + 2), 0, "data, to the device");
    ide_rig_write_words(&rig, PORT, list, 16);
    cr_assert_eq(ide_rig_wait(&rig, PORT), 0x50);
    run_packet((uint8_t[12]){0x5a, 0, 1, 0, 0, 0, 0, 1, 0}, 0xfffe, &status);
    cr_assert_eq(buffer[10], 0x20);
    cr_assert_eq(buffer[11], 9);

    static const uint8_t wrong[16] = {[8] = 0x30, 6};
    send_packet((uint8_t[12]){0x55, 0x10, 0, 0, 0, 0, 0, 0, 16}, 0xfffe, false);
    ide_rig_wait(&rig, PORT);
    ide_rig_write_words(&rig, PORT, wrong, 16);
    cr_assert_eq(ide_rig_wait(&rig, PORT), 0x51);
    cr_assert_eq(sense(), 0x052600);
}

Test(atapi, tray_and_medium)
{
    struct error error;
    struct blockdev *other = image_temporary(77 * SECTOR_BYTES, BLOCKDEV_READ_ONLY), *old = NULL;
    become_ready();
    run_good((uint8_t[12]){0x1e, 0, 0, 0, 1});
    cr_assert_eq(run_bad((uint8_t[12]){0x1b, 0, 0, 0, 2}), 0x055302);
    cr_assert_eq(ide_change_cd(&ide, 1, 0, other, false, &old, &error), -EBUSY);
    cr_assert_eq(run_good((uint8_t[12]){0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8}), 8);
    cr_assert_eq(buffer[4], 1, "an eject request");
    run_good((uint8_t[12]){0x1e, 0, 0, 0, 0});
    run_good((uint8_t[12]){0x1b, 0, 0, 0, 2});
    cr_assert_eq(run_bad(test_ready), 0x023a02);
    run_good((uint8_t[12]){0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8});
    cr_assert(buffer[4] == 3 && buffer[5] == 1);
    run_good((uint8_t[12]){0x1b, 0, 0, 0, 3});
    cr_assert_eq(run_bad(test_ready), 0x062800);
    run_good(test_ready);
    cr_assert_eq(ide_change_cd(&ide, 1, 0, other, false, &old, &error), 0);
    cr_assert_eq(old, disc);
    cr_assert_eq(run_bad((uint8_t[12]){0x25}), 0x062800);
    run_good((uint8_t[12]){0x25});
    cr_assert_eq(buffer[3], 76);
    cr_assert_eq(ide_change_cd(&ide, 1, 0, NULL, false, &old, &error), 0);
    cr_assert_eq(run_bad(test_ready), 0x062800);
    cr_assert_eq(run_bad(test_ready), 0x023a01);
    cr_assert_eq(run_bad((uint8_t[12]){0x28, 0, 0, 0, 0, 0, 0, 0, 1}), 0x023a01);
    blockdev_close(other);
}

Test(atapi, a_large_image_is_a_dvd)
{
    struct error error;
    char path[64];
    image_create(path, SECTOR_BYTES);
    cr_assert_eq(truncate(path, UINT64_C(3) << 30), 0);
    struct blockdev *large = image_open(path, BLOCKDEV_READ_ONLY);
    cr_assert_eq(ide_change_cd(&ide, 1, 0, large, false, NULL, &error), 0);
    cr_assert_eq(run_bad(test_ready), 0x062800);
    run_good((uint8_t[12]){0x46, 1, 0, 0, 0, 0, 0, 1, 0});
    cr_assert_eq(buffer[7], 0x10, "the current profile is DVD-ROM");
    cr_assert_eq(run_good((uint8_t[12]){0xad, 0, 0, 0, 0, 0, 0, 0, 16, 0}), 2052);
    cr_assert_eq(__builtin_bswap32(load_le32(buffer + 12)), 0x30000 + (3u << 19) - 1);
    cr_assert_eq(run_good((uint8_t[12]){0xad, 0, 0, 0, 0, 0, 0, 1, 16, 0}), 8);
    cr_assert_eq(run_bad((uint8_t[12]){0xad, 0, 0, 0, 0, 0, 0, 9, 16, 0}), 0x052400);
    cr_assert_eq(run_good((uint8_t[12]){0x28, 0, 0, 0x17, 0xff, 0xff, 0, 0, 1}), SECTOR_BYTES);
    blockdev_close(large);
    unlink(path);
}

Test(atapi, a_host_that_cannot_read_is_a_medium_error)
{
    struct error error;
    char path[64];
    uint8_t status;
    image_create(path, 100 * SECTOR_BYTES);
    struct blockdev *bad = image_open(path, BLOCKDEV_READ_ONLY);
    cr_assert_eq(truncate(path, 50 * SECTOR_BYTES), 0);
    cr_assert_eq(ide_change_cd(&ide, 1, 0, bad, false, NULL, &error), 0);
    cr_assert_eq(run_bad(test_ready), 0x062800);
    cr_assert_eq(run_good((uint8_t[12]){0x28, 0, 0, 0, 0, 49, 0, 0, 1}), SECTOR_BYTES);
    cr_assert_eq(run_packet((uint8_t[12]){0x28, 0, 0, 0, 0, 50, 0, 0, 1}, 2048, &status), 0);
    cr_assert_eq(status, 0x51);
    cr_assert_eq(sense(), 0x031100);
    run_good(test_ready);
    blockdev_close(bad);
    unlink(path);
}

Test(atapi, unknown_packets_fail)
{
    static const uint8_t known[] = {0x00, 0x03, 0x12, 0x1b, 0x1e, 0x25, 0x28, 0x2b,
                                    0x42, 0x43, 0x44, 0x46, 0x4a, 0x4e, 0x51, 0x52,
                                    0x55, 0x5a, 0xa8, 0xad, 0xb9, 0xbb, 0xbd, 0xbe};
    become_ready();
    for (unsigned code = 0; code < 256; code++) {
        if (memchr(known, (int)code, sizeof known))
            continue;
        cr_assert_eq(run_bad((uint8_t[12]){(uint8_t)code}), 0x052000, "packet %02x", code);
    }
}

Test(atapi, soft_reset_keeps_the_drive_save_keeps_the_transfer)
{
    become_ready();
    outb(&rig, 0x376, 4);
    outb(&rig, 0x376, 0);
    cr_assert_eq(inb(&rig, PORT + 7), 0);
    cr_assert_eq(inb(&rig, PORT + 4), 0x14);
    run_good(test_ready);
    send_packet((uint8_t[12]){0x28, 0, 0, 0, 0, 1, 0, 0, 2}, 2048, false);
    cr_assert_eq(ide_rig_wait(&rig, PORT), 0x58);
    ide_rig_read_words(&rig, PORT, buffer, 1000);
    device_rig_check_save(&rig);
    ide_rig_read_words(&rig, PORT, buffer + 1000, 1048);
    cr_assert_eq(ide_rig_wait(&rig, PORT), 0x58);
    ide_rig_read_words(&rig, PORT, buffer + 2048, 2048);
    cr_assert_eq(ide_rig_wait(&rig, PORT), 0x50);
    cr_assert(image_matches(buffer, SECTOR_BYTES, 2 * SECTOR_BYTES));
    device_rig_check_reset(&rig);
}

/* Random packets of every kind, cut short at random, by PIO and DMA. */
Test(atapi, fuzz)
{
    static const uint8_t codes[] = {0x00, 0x03, 0x12, 0x1b, 0x1e, 0x25, 0x28, 0x2b, 0x42,
                                    0x43, 0x44, 0x46, 0x4a, 0x4e, 0x51, 0x52, 0x55, 0x5a,
                                    0xa8, 0xad, 0xb9, 0xbb, 0xbd, 0xbe, 0xff};
    uint64_t seed = 7;
    for (unsigned i = 0; i < 16; i++)
        ide_rig_prd(&rig, 0x1000, i, (uint32_t)device_rig_random(&seed) & 0x7fffff,
                    (uint32_t)device_rig_random(&seed), i == 15);
    for (unsigned round = 0; round < 20000; round++) {
        uint8_t packet[12];
        bool dma = device_rig_random(&seed) & 1;
        for (unsigned i = 0; i < 12; i++)
            packet[i] = device_rig_random(&seed) & 3 ? 0 : (uint8_t)device_rig_random(&seed);
        packet[0] = codes[device_rig_random(&seed) % sizeof codes];
        outb(&rig, PORT + 1, dma);
        outb(&rig, PORT + 4, (uint8_t)device_rig_random(&seed));
        outb(&rig, PORT + 5, (uint8_t)device_rig_random(&seed));
        outb(&rig, PORT + 7, 0xa0);
        device_rig_pass(&rig, 5000);
        for (unsigned i = 0; i < 12; i += 2)
            outw(&rig, PORT, load_le16(packet + i));
        device_rig_pass(&rig, 5000);
        if (dma) {
            outl(&rig, BUS_MASTER + 12, 0x1000);
            outb(&rig, BUS_MASTER + 8, 0);
            outb(&rig, BUS_MASTER + 8, device_rig_random(&seed) & 1 ? 9 : 1);
            device_rig_pass(&rig, 5000);
        }
        unsigned accesses = device_rig_random(&seed) % 300;
        for (unsigned i = 0; i < accesses; i++) {
            if (inb(&rig, PORT + 2) & 2)
                inl(&rig, PORT);
            else
                outl(&rig, PORT, (uint32_t)device_rig_random(&seed));
            if (!(device_rig_random(&seed) & 15))
                device_rig_pass(&rig, 3000);
        }
        if (round % 1000 == 0)
            device_rig_check_save(&rig);
        outb(&rig, 0x376, 4);
        outb(&rig, 0x376, 0);
    }
}
