/* The IDE function of the PIIX3 (00:01.1): two channels, up to four ATA disks or ATAPI CD drives,
 * PIO and bus-master DMA.
 *
 * Files: ide.c (PCI function, ports), ide_drive.c (what both kinds of drive share), ata.c and
 * ata_identify.c (disks), atapi.c, atapi_info.c and cd_sector.c (CD drives), ide_dma.c (bus
 * master). Sources: Intel 82371SB (PIIX3) datasheet; ATA/ATAPI-6 (T13 1410D); MMC-3, SPC-2;
 * "Programming Interface for Bus Master IDE Controller" 1.0.
 *
 * INV-1: a drive's buffer_at <= buffer_end <= IDE_BUFFER_BYTES, whatever the guest does.
 * INV-2: while BSY is set the guest's register writes (but SRST) change nothing.
 */
#ifndef HW_IDE_H
#define HW_IDE_H

#include "base/bus.h"
#include "base/clock.h"
#include "base/irq.h"
#include "hw/blockdev.h"
#include "hw/device.h"
#include "hw/pci.h"

enum { IDE_CHANNELS = 2, IDE_UNITS = 2, IDE_BUFFER_BYTES = 64 * 1024 };

/* What a drive is in the middle of. */
enum ide_phase {
    IDE_IDLE,
    IDE_COMMAND,  /* BSY: a command was written, the timer executes it */
    IDE_PACKET,   /* DRQ: the host writes the command packet */
    IDE_EXECUTE,  /* BSY: the packet is there, the timer executes it */
    IDE_DATA_IN,  /* DRQ: the host reads buffer_at..block_end */
    IDE_DATA_OUT, /* DRQ: the host writes it */
    IDE_NEXT_IN,  /* BSY between two such blocks */
    IDE_NEXT_OUT,
    IDE_DMA_IN, /* DRQ: the bus master moves the data when it is started */
    IDE_DMA_OUT,
    IDE_SOFT_RESET, /* BSY: the host holds SRST */
    IDE_PHASES,
};

struct ide_drive_state {
    int64_t deadline_ns;                       /* of the timer; CLOCK_NEVER: not armed */
    uint64_t lba;                              /* of the next sector to move */
    uint32_t sectors_left;                     /* not yet moved between image and buffer */
    uint32_t buffer_at, block_end, buffer_end; /* bytes */
    uint16_t byte_limit;                       /* ATAPI: of one PIO block */
    uint16_t geometry_cylinders;               /* of INITIALIZE DEVICE PARAMETERS */
    uint8_t geometry_heads, geometry_sectors;
    /* the task file; hob_*: the previous contents (LBA48) */
    uint8_t feature, count, lba_low, lba_mid, lba_high, device;
    uint8_t hob_feature, hob_count, hob_lba_low, hob_lba_mid, hob_lba_high;
    uint8_t status, error, command, phase, interrupt_pending;
    uint8_t multiple;      /* sectors in a block of READ/WRITE MULTIPLE; 0: not set */
    uint8_t transfer_mode; /* as SET FEATURES 03h gave it */
    uint8_t write_cache, read_look_ahead, standby;
    /* ATAPI */
    uint8_t sense_key, sense_code, sense_qualifier;
    uint8_t attention_code, attention_qualifier; /* of a unit attention not yet told; 0: none */
    uint8_t tray_open, tray_locked, media_event, eject_request;
    uint8_t sector_parts; /* what READ CD asked for, byte 9 of its packet */
    uint8_t packet[12];
    uint8_t error_page[6], audio_page[14]; /* MODE SELECT: what follows code and length */
    uint8_t pad[3];
    uint8_t buffer[IDE_BUFFER_BYTES];
};

struct ide_channel_state {
    uint32_t prd_table;             /* as written */
    uint32_t prd_at;                /* of the next element to fetch */
    uint32_t prd_address, prd_left; /* of the element being moved */
    uint8_t prd_last;               /* that element ends the table */
    uint8_t device_control, selected, irq_level;
    uint8_t bm_command, bm_status;
    uint8_t pad[2];
};

struct ide_channel;
struct ide_drive_class;

struct ide_drive {
    struct ide_drive_state state;
    struct ide_channel *channel;
    const struct ide_drive_class *class; /* NULL: nothing plugged in */
    struct blockdev *medium;             /* NULL: no CD in the drive */
    struct timer timer;
    char serial[21];
};

struct ide_channel {
    struct ide_channel_state state;
    struct ide *ide;
    unsigned number;
    struct irq_line irq;
    struct ide_drive drives[IDE_UNITS];
    struct region command_region, control_region;
    bool decoded; /* the regions are on the bus */
};

struct ide {
    struct pci_function function;
    struct ide_channel channels[IDE_CHANNELS];
    struct region bus_master_region;
    struct bus *ports;
    struct clock *clock;
};

/* Wires the function at `device`:`number` of `pci` (00:01.1 on this board), with the ISA interrupt
 * lines 14 and 15.  Drives are plugged in after this and before ide_register(). */
void ide_attach(struct ide *ide, struct pci_bus *pci, unsigned device, unsigned number,
                struct irq_line irq14, struct irq_line irq15, struct clock *clock);
/* Registers the channels and drives; called after pci_register(). */
void ide_register(struct ide *ide, struct device_list *devices);

/* Plugs in a disk over `image` (stays the caller's to close).  `serial`: up to 20 characters, NULL:
 * a made-up one.  -EBUSY when the place is taken, -EINVAL for an empty image. */
int ide_add_disk(struct ide *ide, unsigned channel, unsigned unit, struct blockdev *image,
                 const char *serial, struct error *error);
/* Plugs in a CD drive; `image` may be NULL (empty). */
int ide_add_cdrom(struct ide *ide, unsigned channel, unsigned unit, struct blockdev *image,
                  const char *serial, struct error *error);
/* Changes the CD (NULL: takes it out), as a person at the tray would; the old image, no longer
 * used, is stored in *old (may be NULL) for the caller to close.  -EBUSY when the guest has locked
 * the tray and `force` is not set; -ENODEV when there is no CD drive there. */
int ide_change_cd(struct ide *ide, unsigned channel, unsigned unit, struct blockdev *image,
                  bool force, struct blockdev **old, struct error *error);

#endif
