/* What the tests of disks and CD drives share: an IDE controller on a device_rig. */
#ifndef TESTS_IDE_RIG_H
#define TESTS_IDE_RIG_H

#include "hw/ide.h"
#include "tests/device_rig.h"

enum {
    BSY = 0x80,
    DRDY = 0x40,
    DRQ = 0x08,
    ERR = 0x01,
    BUS_MASTER = 0xc000,
    IRQ14 = 14,
};

static inline void ide_rig_attach(struct device_rig *rig, struct ide *ide)
{
    device_rig_init(rig);
    memset(ide, 0, sizeof *ide);
    ide_attach(ide, &rig->pci, 1, 1, device_rig_line(rig, 14), device_rig_line(rig, 15),
               &rig->clock);
}

/* What firmware does: decode both channels, place the bus master. */
static inline void ide_rig_configure(struct ide *ide)
{
    pci_config_write(&ide->function, 0x40, 4, 0x80008000);
    pci_config_write(&ide->function, 0x20, 4, BUS_MASTER);
    pci_config_write(&ide->function, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
}

static inline void ide_rig_start(struct device_rig *rig, struct ide *ide)
{
    device_rig_register(rig);
    ide_register(ide, &rig->devices);
    device_reset_all(&rig->devices, RESET_POWER_ON);
    ide_rig_configure(ide);
}

/* Waits for the end of BSY and returns the status, which acknowledges the interrupt. */
static inline uint8_t ide_rig_wait(struct device_rig *rig, unsigned base)
{
    for (unsigned i = 0; i < 1000; i++) {
        uint8_t status = inb(rig, base + 7);
        if (!(status & BSY))
            return status;
        device_rig_pass(rig, 1000);
    }
    cr_assert(false, "BSY for ever");
    return 0;
}

static inline void ide_rig_lba28(struct device_rig *rig, unsigned base, uint32_t lba, uint8_t count,
                                 unsigned unit)
{
    outb(rig, base + 2, count);
    outb(rig, base + 3, (uint8_t)lba);
    outb(rig, base + 4, (uint8_t)(lba >> 8));
    outb(rig, base + 5, (uint8_t)(lba >> 16));
    outb(rig, base + 6, (uint8_t)(0xe0 | unit << 4 | lba >> 24));
}

static inline uint8_t ide_rig_command(struct device_rig *rig, unsigned base, uint8_t command)
{
    outb(rig, base + 7, command);
    cr_assert(inb(rig, base + 7) & BSY);
    return ide_rig_wait(rig, base);
}

static inline void ide_rig_read_words(struct device_rig *rig, unsigned base, uint8_t *to,
                                      size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 2)
        store_le16(to + i, inw(rig, base));
}

static inline void ide_rig_write_words(struct device_rig *rig, unsigned base, const uint8_t *from,
                                       size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 2)
        outw(rig, base, load_le16(from + i));
}

/* One PRD at `table`, marked as the last if `last`. */
static inline void ide_rig_prd(struct device_rig *rig, uint32_t table, unsigned index,
                               uint32_t address, uint32_t length, bool last)
{
    uint8_t element[8];
    store_le32(element, address);
    store_le32(element + 4, (length & 0xffff) | (last ? 1u << 31 : 0));
    physmem_write(&rig->physmem, GPA(table + 8 * index), element, 8);
}

#endif
