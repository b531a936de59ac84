/* hw/ide, hw/ata: register scripts against a disk of known contents. */
#include "tests/ide_rig.h"

enum { PRIMARY = 0x1f0, SECONDARY = 0x170, DISK_BYTES = 32 << 20, SECTORS = DISK_BYTES / 512 };

static struct device_rig rig;
static struct ide ide;
static struct blockdev *disk;
static uint8_t buffer[1 << 20];

static void setup_with(unsigned flags)
{
    struct error error;
    ide_rig_attach(&rig, &ide);
    disk = image_temporary(DISK_BYTES, flags);
    cr_assert_eq(ide_add_disk(&ide, 0, 0, disk, "SERIAL-1", &error), 0);
    ide_rig_start(&rig, &ide);
}

static void setup(void)
{
    setup_with(0);
}

static void teardown(void)
{
    device_rig_free(&rig);
    blockdev_close(disk);
}

TestSuite(ide, .init = setup, .fini = teardown);

static void disk_bytes(uint64_t offset, uint8_t *to, size_t length)
{
    cr_assert_eq(blockdev_read(disk, offset, to, length), 0);
}

Test(ide, power_on_shows_signature)
{
    cr_assert_eq(inb(&rig, PRIMARY + 7), 0x50);
    cr_assert_eq(inb(&rig, PRIMARY + 1), 0x01);
    cr_assert_eq(inb(&rig, PRIMARY + 2), 1);
    cr_assert_eq(inb(&rig, PRIMARY + 3), 1);
    cr_assert_eq(inb(&rig, PRIMARY + 4), 0);
    cr_assert_eq(inb(&rig, PRIMARY + 5), 0);
    outb(&rig, PRIMARY + 6, 0xb0); /* drive 1 is not there */
    cr_assert_eq(inb(&rig, PRIMARY + 7), 0);
    cr_assert_eq(inb(&rig, SECONDARY + 7), 0);
}

Test(ide, ports_answer_only_when_decoded)
{
    pci_config_write(&ide.function, 0x40, 2, 0);
    cr_assert_eq(inb(&rig, PRIMARY + 7), 0xff);
    cr_assert_eq(inb(&rig, SECONDARY + 7), 0);
    pci_config_write(&ide.function, PCI_COMMAND, 2, 0);
    cr_assert_eq(inb(&rig, SECONDARY + 7), 0xff);
}

Test(ide, identify)
{
    cr_assert_eq(ide_rig_command(&rig, PRIMARY, 0xec), 0x58);
    cr_assert_eq(rig.edges[IRQ14], 1);
    ide_rig_read_words(&rig, PRIMARY, buffer, 512);
    cr_assert_eq(inb(&rig, PRIMARY + 7), 0x50);
    cr_assert_eq(rig.edges[IRQ14], 1, "no interrupt after the last word");
    cr_assert_eq(load_le32(buffer + 120), SECTORS);
    cr_assert_eq(load_le64(buffer + 200), SECTORS);
    cr_assert_eq(load_le16(buffer + 2), SECTORS / (16 * 63));
    cr_assert(!memcmp(buffer + 20, "ESIRLA1-            ", 20));
    cr_assert(!memcmp(buffer + 54, "IRGN 3AHDRIDKS", 14));
    uint8_t sum = 0;
    for (unsigned i = 0; i < 512; i++)
        sum += buffer[i];
    cr_assert_eq(sum, 0);
    cr_assert(load_le16(buffer + 98) & 0x300); /* LBA, DMA */
    cr_assert(load_le16(buffer + 166) & 1 << 10, "LBA48");
}

Test(ide, read_sectors_gives_an_interrupt_a_sector)
{
    ide_rig_lba28(&rig, PRIMARY, 100, 3, 0);
    cr_assert_eq(ide_rig_command(&rig, PRIMARY, 0x20), 0x58);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(rig.edges[IRQ14], i + 1);
        ide_rig_read_words(&rig, PRIMARY, buffer + 512 * i, 512);
        cr_assert_eq(ide_rig_wait(&rig, PRIMARY) & (DRQ | ERR), i < 2 ? DRQ : 0);
    }
    cr_assert_eq(rig.edges[IRQ14], 3);
    cr_assert(image_matches(buffer, 100 * 512, 3 * 512));
    cr_assert_eq(inw(&rig, PRIMARY), 0, "the data register is empty");
}

Test(ide, thirty_two_bit_data_and_high_order_bytes)
{
    ide_rig_lba28(&rig, PRIMARY, 7, 1, 0);
    ide_rig_command(&rig, PRIMARY, 0x20);
    for (unsigned i = 0; i < 512; i += 4)
        store_le32(buffer + i, inl(&rig, PRIMARY));
    cr_assert(image_matches(buffer, 7 * 512, 512));
    outb(&rig, PRIMARY + 3, 0x11);
    outb(&rig, PRIMARY + 3, 0x22);
    cr_assert_eq(inb(&rig, PRIMARY + 3), 0x22);
    outb(&rig, 0x3f6, 0x80);
    cr_assert_eq(inb(&rig, PRIMARY + 3), 0x11);
    outb(&rig, PRIMARY + 3, 0x33);
    cr_assert_eq(inb(&rig, PRIMARY + 3), 0x33, "a write of the task file clears HOB");
}

Test(ide, chs_is_the_same_disk)
{
    /* cylinder 2, head 3, sector 4 with 16 heads of 63 sectors */
    uint32_t lba = (2 * 16 + 3) * 63 + 3;
    outb(&rig, PRIMARY + 2, 1);
    outb(&rig, PRIMARY + 3, 4);
    outb(&rig, PRIMARY + 4, 2);
    outb(&rig, PRIMARY + 5, 0);
    outb(&rig, PRIMARY + 6, 0xa3);
    cr_assert_eq(ide_rig_command(&rig, PRIMARY, 0x20), 0x58);
    ide_rig_read_words(&rig, PRIMARY, buffer, 512);
    cr_assert(image_matches(buffer, lba * 512, 512));
    outb(&rig, PRIMARY + 3, 0); /* there is no sector 0 */
    cr_assert_eq(ide_rig_command(&rig, PRIMARY, 0x20) & (ERR | DRQ), ERR);
    cr_assert_eq(inb(&rig, PRIMARY + 1), 0x10);
    outb(&rig, PRIMARY + 2, 17); /* 17 sectors, 5 heads */
    outb(&rig, PRIMARY + 6, 0xa4);
    cr_assert_eq(ide_rig_command(&rig, PRIMARY, 0x91), 0x50);
    outb(&rig, PRIMARY + 2, 1);
    outb(&rig, PRIMARY + 3, 17);
    outb(&rig, PRIMARY + 4, 1);
    cr_assert_eq(ide_rig_command(&rig, PRIMARY, 0x20), 0x58);
    ide_rig_read_words(&rig, PRIMARY, buffer, 512);
    cr_assert(image_matches(buffer, ((1 * 5 + 4) * 17 + 16) * 512, 512));
}

Test(ide, multiple_moves_blocks)
{
    ide_rig_lba28(&rig, PRIMARY, 9, 20, 0);
    cr_assert_eq(ide_rig_command(&rig, PRIMARY, 0xc4) & (ERR | DRQ), ERR, "multiple is not set");
    cr_assert_eq(inb(&rig, PRIMARY + 1), 0x04);
    outb(&rig, PRIMARY + 2, 3);
    cr_assert_eq(ide_rig_command(&rig, PRIMARY, 0xc6) & ERR, ERR, "3 is no power of two");
    outb(&rig, PRIMARY + 2, 8);
    cr_assert_eq(ide_rig_command(&rig, PRIMARY, 0xc6), 0x50);
    unsigned edges = rig.edges[IRQ14];
    ide_rig_lba28(&rig, PRIMARY, 9, 20, 0);
    ide_rig_command(&rig, PRIMARY, 0xc4);
    for (unsigned done = 0; done < 20;) {
        unsigned block = 20 - done < 8 ? 20 - done : 8;
        ide_rig_read_words(&rig, PRIMARY, buffer + 512 * done, 512 * block);
        done += block;
        ide_rig_wait(&rig, PRIMARY);
    }
    cr_assert_eq(rig.edges[IRQ14] - edges, 3);
    cr_assert(image_matches(buffer, 9 * 512, 20 * 512));
}

Test(ide, write_sectors_and_flush)
{
    ide_rig_lba28(&rig, PRIMARY, 50, 2, 0);
    cr_assert_eq(ide_rig_command(&rig, PRIMARY, 0x30), 0x58);
    cr_assert_eq(rig.edges[IRQ14], 0, "the first block is asked for without an interrupt");
    memset(buffer, 0xa5, 512);
    memset(buffer + 512, 0x5a, 512);
    ide_rig_write_words(&rig, PRIMARY, buffer, 512);
    cr_assert_eq(ide_rig_wait(&rig, PRIMARY), 0x58);
    cr_assert_eq(rig.edges[IRQ14], 1);
    ide_rig_write_words(&rig, PRIMARY, buffer + 512, 512);
    cr_assert_eq(ide_rig_wait(&rig, PRIMARY), 0x50);
    cr_assert_eq(rig.edges[IRQ14], 2);
    disk_bytes(50 * 512, buffer + 2048, 1024);
    cr_assert(!memcmp(buffer, buffer + 2048, 1024));
    cr_assert_eq(ide_rig_command(&rig, PRIMARY, 0xe7), 0x50);
    cr_assert_eq(ide_rig_command(&rig, PRIMARY, 0xea), 0x50);
}

static void start_bus_master(uint32_t table, uint8_t direction)
{
    outl(&rig, BUS_MASTER + 4, table);
    outb(&rig, BUS_MASTER, direction);
    outb(&rig, BUS_MASTER + 2, 0x06);
    outb(&rig, BUS_MASTER, direction | 1);
}

Test(ide, dma_read_through_a_scattered_table)
{
    ide_rig_prd(&rig, 0x1000, 0, 0x20000, 512, false);
    ide_rig_prd(&rig, 0x1000, 1, 0x30002, 1024 + 256, false);
    ide_rig_prd(&rig, 0x1000, 2, 0x40000, 256, true);
    ide_rig_lba28(&rig, PRIMARY, 1000, 4, 0);
    outb(&rig, PRIMARY + 7, 0xc8);
    start_bus_master(0x1000, 8);
    cr_assert_eq(inb(&rig, BUS_MASTER + 2) & 7, 1);
    cr_assert_eq(rig.level[IRQ14], 0);
    device_rig_pass(&rig, 10000);
    device_rig_pass(&rig, 10000);
    cr_assert_eq(rig.level[IRQ14], 1);
    cr_assert_eq(inb(&rig, BUS_MASTER + 2) & 7, 4, "interrupt, not active, no error");
    cr_assert_eq(inb(&rig, PRIMARY + 7), 0x50);
    cr_assert_eq(rig.level[IRQ14], 0);
    outb(&rig, BUS_MASTER, 0);
    physmem_read(&rig.physmem, GPA(0x20000), buffer, 512);
    physmem_read(&rig.physmem, GPA(0x30002), buffer + 512, 1280);
    physmem_read(&rig.physmem, GPA(0x40000), buffer + 1792, 256);
    cr_assert(image_matches(buffer, 1000 * 512, 2048));
}

Test(ide, dma_started_before_the_command)
{
    ide_rig_prd(&rig, 0x1000, 0, 0x20000, 0, true); /* 64 KiB: more than the transfer */
    start_bus_master(0x1000, 8);
    ide_rig_lba28(&rig, PRIMARY, 5, 2, 0);
    outb(&rig, PRIMARY + 7, 0xc8);
    device_rig_pass(&rig, 10000);
    cr_assert_eq(inb(&rig, BUS_MASTER + 2) & 7, 5, "the table is longer: still active");
    physmem_read(&rig.physmem, GPA(0x20000), buffer, 1024);
    cr_assert(image_matches(buffer, 5 * 512, 1024));
}

Test(ide, lba48_dma_write_of_many_sectors)
{
    enum { COUNT = 1000, FIRST = 3000 };
    for (unsigned i = 0; i < COUNT * 512; i++)
        buffer[i] = (uint8_t)(i * 13 + i / 512);
    physmem_write(&rig.physmem, GPA(0x100000), buffer, COUNT * 512);
    for (unsigned i = 0; i < 8; i++)
        ide_rig_prd(&rig, 0x2000, i, 0x100000 + i * 0x10000,
                    i < 7 ? 0x10000 : COUNT * 512 - 7 * 0x10000, i == 7);
    outb(&rig, PRIMARY + 2, COUNT >> 8);
    outb(&rig, PRIMARY + 3, 0);
    outb(&rig, PRIMARY + 4, 0);
    outb(&rig, PRIMARY + 5, 0);
    outb(&rig, PRIMARY + 2, COUNT & 0xff);
    outb(&rig, PRIMARY + 3, FIRST & 0xff);
    outb(&rig, PRIMARY + 4, FIRST >> 8);
    outb(&rig, PRIMARY + 5, 0);
    outb(&rig, PRIMARY + 6, 0x40);
    outb(&rig, PRIMARY + 7, 0x35);
    start_bus_master(0x2000, 0);
    device_rig_pass(&rig, 10000);
    device_rig_pass(&rig, 10000);
    cr_assert_eq(inb(&rig, BUS_MASTER + 2) & 7, 4);
    cr_assert_eq(inb(&rig, PRIMARY + 7), 0x50);
    static uint8_t written[COUNT * 512];
    disk_bytes(FIRST * 512, written, sizeof written);
    cr_assert(!memcmp(written, buffer, sizeof written));
}

Test(ide, a_table_too_short_leaves_the_drive_waiting)
{
    ide_rig_prd(&rig, 0x1000, 0, 0x20000, 512, true);
    ide_rig_lba28(&rig, PRIMARY, 5, 4, 0);
    outb(&rig, PRIMARY + 7, 0xc8);
    start_bus_master(0x1000, 8);
    device_rig_pass(&rig, 10000);
    device_rig_pass(&rig, 10000);
    cr_assert_eq(inb(&rig, BUS_MASTER + 2) & 7, 0);
    cr_assert_eq(rig.level[IRQ14], 0);
    cr_assert(inb(&rig, PRIMARY + 7) & DRQ);
    ide_rig_prd(&rig, 0x1000, 0, 0x20200, 512 * 3, true);
    outb(&rig, BUS_MASTER, 8);
    outb(&rig, BUS_MASTER, 9);
    device_rig_pass(&rig, 10000);
    cr_assert_eq(inb(&rig, BUS_MASTER + 2) & 7, 4);
    physmem_read(&rig.physmem, GPA(0x20000), buffer, 2048);
    cr_assert(image_matches(buffer, 5 * 512, 2048));
}

Test(ide, dma_to_nowhere_is_a_bus_master_error)
{
    ide_rig_prd(&rig, 0x1000, 0, 0xf0000000, 512, true);
    ide_rig_lba28(&rig, PRIMARY, 5, 1, 0);
    outb(&rig, PRIMARY + 7, 0xc8);
    start_bus_master(0x1000, 8);
    device_rig_pass(&rig, 10000);
    device_rig_pass(&rig, 10000);
    cr_assert_eq(inb(&rig, BUS_MASTER + 2) & 3, 2);
    outb(&rig, 0x3f6, 4);
    cr_assert(inb(&rig, 0x3f6) & BSY);
    outb(&rig, 0x3f6, 0);
    cr_assert_eq(inb(&rig, PRIMARY + 7), 0x50);
}

Test(ide, ranges_and_unknown_commands_fail)
{
    ide_rig_lba28(&rig, PRIMARY, SECTORS - 1, 2, 0);
    cr_assert_eq(ide_rig_command(&rig, PRIMARY, 0x20), 0x51);
    cr_assert_eq(inb(&rig, PRIMARY + 1), 0x10);
    cr_assert_eq(inb(&rig, PRIMARY + 3) | inb(&rig, PRIMARY + 4) << 8, SECTORS & 0xffff);
    ide_rig_lba28(&rig, PRIMARY, SECTORS - 1, 1, 0);
    cr_assert_eq(ide_rig_command(&rig, PRIMARY, 0x40), 0x50);
    static const uint8_t unknown[] = {0x00, 0x08, 0x22, 0x60, 0xa0, 0xa1,
                                      0xb0, 0xc7, 0xde, 0xf5, 0xff};
    for (size_t i = 0; i < sizeof unknown; i++) {
        cr_assert_eq(ide_rig_command(&rig, PRIMARY, unknown[i]), 0x51, "%02x", unknown[i]);
        cr_assert_eq(inb(&rig, PRIMARY + 1), 0x04);
    }
}

Test(ide, features_modes_and_power)
{
    outb(&rig, PRIMARY + 1, 0x03);
    outb(&rig, PRIMARY + 2, 0x45);
    cr_assert_eq(ide_rig_command(&rig, PRIMARY, 0xef), 0x50);
    outb(&rig, PRIMARY + 1, 0x82);
    cr_assert_eq(ide_rig_command(&rig, PRIMARY, 0xef), 0x50);
    ide_rig_command(&rig, PRIMARY, 0xec);
    ide_rig_read_words(&rig, PRIMARY, buffer, 512);
    cr_assert_eq(load_le16(buffer + 2 * 88), 0x203f);
    cr_assert_eq(load_le16(buffer + 2 * 85) & 0x20, 0, "write cache off");
    outb(&rig, PRIMARY + 1, 0x03);
    outb(&rig, PRIMARY + 2, 0x47);
    cr_assert_eq(ide_rig_command(&rig, PRIMARY, 0xef), 0x51);
    cr_assert_eq(ide_rig_command(&rig, PRIMARY, 0xe0), 0x50);
    cr_assert_eq(ide_rig_command(&rig, PRIMARY, 0xe5), 0x50);
    cr_assert_eq(inb(&rig, PRIMARY + 2), 0);
    cr_assert_eq(ide_rig_command(&rig, PRIMARY, 0xe1), 0x50);
    cr_assert_eq(ide_rig_command(&rig, PRIMARY, 0xe5), 0x50);
    cr_assert_eq(inb(&rig, PRIMARY + 2), 0xff);
    cr_assert_eq(ide_rig_command(&rig, PRIMARY, 0xf8), 0x50);
    cr_assert_eq(inb(&rig, PRIMARY + 3), (SECTORS - 1) & 0xff);
}

Test(ide, interrupts_masked_and_diagnostic)
{
    outb(&rig, 0x3f6, 2);
    ide_rig_lba28(&rig, PRIMARY, 1, 1, 0);
    outb(&rig, PRIMARY + 7, 0x40);
    device_rig_pass(&rig, 10000);
    cr_assert_eq(rig.level[IRQ14], 0);
    cr_assert_eq(inb(&rig, 0x3f6), 0x50);
    outb(&rig, 0x3f6, 0);
    cr_assert_eq(rig.level[IRQ14], 1, "pending until the status is read");
    cr_assert_eq(inb(&rig, 0x3f6), 0x50);
    cr_assert_eq(rig.level[IRQ14], 1);
    inb(&rig, PRIMARY + 7);
    cr_assert_eq(rig.level[IRQ14], 0);
    cr_assert_eq(ide_rig_command(&rig, PRIMARY, 0x90), 0x50);
    cr_assert_eq(inb(&rig, PRIMARY + 1), 1);
    cr_assert_eq(rig.edges[IRQ14], 2);
}

Test(ide, a_host_that_cannot_read_is_an_error_of_the_disk)
{
    char path[64];
    struct error error;
    image_create(path, 1 << 20);
    struct blockdev *bad = image_open(path, 0);
    cr_assert_eq(truncate(path, 4096), 0);
    cr_assert_eq(ide_add_disk(&ide, 1, 1, bad, NULL, &error), 0);
    device_reset_all(&rig.devices, RESET_POWER_ON);
    ide_rig_configure(&ide);
    ide_rig_lba28(&rig, SECONDARY, 8, 1, 1);
    cr_assert_eq(ide_rig_command(&rig, SECONDARY, 0x20), 0x51);
    cr_assert_eq(inb(&rig, SECONDARY + 1), 0x40);
    cr_assert_eq(inb(&rig, SECONDARY + 3), 8);
    /* By DMA the good sectors before it arrive. */
    ide_rig_prd(&rig, 0x1000, 0, 0x20000, 16 * 512, true);
    ide_rig_lba28(&rig, SECONDARY, 4, 16, 1);
    outb(&rig, SECONDARY + 7, 0xc8);
    outl(&rig, BUS_MASTER + 12, 0x1000);
    outb(&rig, BUS_MASTER + 8, 9);
    device_rig_pass(&rig, 10000);
    device_rig_pass(&rig, 10000);
    cr_assert_eq(inb(&rig, SECONDARY + 7), 0x51);
    cr_assert_eq(inb(&rig, SECONDARY + 3), 8);
    physmem_read(&rig.physmem, GPA(0x20000), buffer, 4 * 512);
    cr_assert(image_matches(buffer, 4 * 512, 4 * 512));
    blockdev_close(bad);
    unlink(path);
}

Test(ide_read_only, writes_are_refused)
{
    setup_with(BLOCKDEV_READ_ONLY);
    ide_rig_lba28(&rig, PRIMARY, 50, 1, 0);
    ide_rig_command(&rig, PRIMARY, 0x30);
    ide_rig_write_words(&rig, PRIMARY, buffer, 512);
    cr_assert_eq(ide_rig_wait(&rig, PRIMARY), 0x51);
    cr_assert_eq(inb(&rig, PRIMARY + 1), 0x44);
    teardown();
}

Test(ide, places_are_taken_once)
{
    struct error error;
    cr_assert_eq(ide_add_disk(&ide, 0, 0, disk, NULL, &error), -EBUSY);
    cr_assert_eq(ide_add_disk(&ide, 2, 0, disk, NULL, &error), -EINVAL);
    cr_assert_eq(ide_change_cd(&ide, 0, 0, NULL, false, NULL, &error), -ENODEV);
}

Test(ide, state_survives_a_save)
{
    ide_rig_lba28(&rig, PRIMARY, 100, 3, 0);
    ide_rig_command(&rig, PRIMARY, 0x20);
    ide_rig_read_words(&rig, PRIMARY, buffer, 300);
    device_rig_check_save(&rig);
    ide_rig_read_words(&rig, PRIMARY, buffer + 300, 212);
    device_rig_check_save(&rig);
    for (unsigned i = 1; i < 3; i++) {
        cr_assert_eq(ide_rig_wait(&rig, PRIMARY), 0x58);
        ide_rig_read_words(&rig, PRIMARY, buffer + 512 * i, 512);
    }
    cr_assert(image_matches(buffer, 100 * 512, 3 * 512));
    outb(&rig, PRIMARY + 7, 0xec); /* saved while BSY: the command still ends */
    device_rig_check_save(&rig);
    cr_assert_eq(ide_rig_wait(&rig, PRIMARY), 0x58);
    device_rig_check_reset(&rig);
}

/* Nonsense on every register, with time passing: nothing may crash, hang or leave its buffers. */
Test(ide, fuzz)
{
    static const unsigned ports[] = {0x1f0,  0x1f1,  0x1f2,  0x1f3,  0x1f4,  0x1f5, 0x1f6, 0x1f7,
                                     0x1f7,  0x3f6,  0x170,  0x172,  0x173,  0x176, 0x177, 0x376,
                                     0xc000, 0xc002, 0xc004, 0xc008, 0xc00a, 0xc00c};
    struct error error;
    cr_assert_eq(ide_add_cdrom(&ide, 1, 0, disk, NULL, &error), 0);
    device_reset_all(&rig.devices, RESET_POWER_ON);
    ide_rig_configure(&ide);
    uint64_t seed = 42;
    for (unsigned round = 0; round < 400000; round++) {
        uint64_t value = device_rig_random(&seed);
        unsigned port = ports[value % ARRAY_LENGTH(ports)];
        unsigned size = 1u << (value >> 8) % 3;
        uint32_t data = (uint32_t)(value >> 32);
        if (port == 0x3f6 || port == 0x376)
            data &= (value >> 16 & 15) ? 0x02 : 0x06;
        if (value >> 20 & 3)
            bus_write(&rig.ports, port, size, data);
        else
            bus_read(&rig.ports, port, size);
        if (!(value >> 24 & 7))
            device_rig_pass(&rig, 3000);
        if (round % 50000 == 0)
            device_rig_check_save(&rig);
    }
}
