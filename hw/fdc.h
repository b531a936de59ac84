/* The floppy controller (82077AA) at 3F0h with two drives, IRQ 6, DMA channel 2.
 *
 * Files: fdc.c (registers, phases), fdc_commands.c (commands that move no data), fdc_transfer.c
 * (those that do), fdc_media.c (drives, formats by size).
 * LIMIT: disks have sectors of 512 bytes in their standard order; no deleted data marks.
 * Sources: Intel 82077AA datasheet (290166); IBM PS/2 Hardware Interface Technical Reference.
 *
 * INV-1: fifo_at < FDC_FIFO_BYTES, result_at <= result_length <= FDC_FIFO_BYTES and
 *        sector_at <= FDC_SECTOR_BYTES.
 * INV-2: the medium is addressed only after cylinder, head and sector passed its format.
 */
#ifndef HW_FDC_H
#define HW_FDC_H

#include "base/bus.h"
#include "base/clock.h"
#include "base/irq.h"
#include "hw/blockdev.h"
#include "hw/device.h"

enum { FDC_DRIVES = 2, FDC_FIFO_BYTES = 16, FDC_SECTOR_BYTES = 512 };

struct dma8237;

/* What a raw image of a size is. */
struct fdc_format {
    uint32_t bytes;
    uint8_t cylinders, heads, sectors;
    uint8_t rate;       /* data rate select of CCR: 0 500 kb/s, 1 300, 2 250, 3 1 Mb/s */
    uint8_t drive_type; /* of the smallest drive that reads it, as in CMOS register 10h */
    const char *name;
};

struct fdc_state {
    int64_t seek_ns[4];    /* end of a seek, by drive; CLOCK_NEVER: none (two drives are real) */
    int64_t command_ns;    /* end of the wait of a reset or command */
    uint16_t sector_at;    /* bytes of the sector buffer moved */
    uint16_t sectors_left; /* FORMAT, VERIFY, READ TRACK: still to do */
    uint8_t dor, tdr, dsr, ccr, phase;
    uint8_t fifo_at, result_at, result_length;
    uint8_t fifo[FDC_FIFO_BYTES], result[FDC_FIFO_BYTES];
    uint8_t irq_level;
    uint8_t sense_pending; /* bit n: drive n has an interrupt status to sense */
    uint8_t sense_status[4];
    uint8_t head[4];           /* the cylinder that the drive's head is over */
    uint8_t track_register[4]; /* the controller's idea of it (PCN) */
    uint8_t disk_changed[4];
    uint8_t specify[2], configure[2], end_of_track, perpendicular, locked;
    /* the transfer under way: the ID that is looked for, and what has come of it */
    uint8_t cylinder, id_side, sector_number, size_code;
    uint8_t side; /* of the disk that is being read: HDSEL */
    uint8_t drive, last_sector, multitrack;
    uint8_t status1, status2;
    uint8_t pad[1];
    uint8_t sector[FDC_SECTOR_BYTES];
};

struct fdc_drive {
    bool present;
    uint8_t type;            /* as in CMOS register 10h: 1 360K, 2 1.2M, 3 720K, 4 1.44M, 5 2.88M */
    struct blockdev *medium; /* NULL: no disk in the drive */
    const struct fdc_format *format;
};

struct fdc {
    struct fdc_state state;
    struct fdc_drive drives[FDC_DRIVES];
    struct region registers, digital_input; /* 3F0h..3F5h, 3F7h */
    struct irq_line irq;
    struct dma8237 *dma;
    struct clock *clock;
    struct timer timer;
};

/* Wires the controller; `dma` is the 8237 whose channel 2 it takes. */
void fdc_attach(struct fdc *fdc, struct bus *ports, struct irq_line irq, struct dma8237 *dma,
                struct clock *clock);
extern const struct device_class fdc_class;
/* Fits a drive able to read `image` (NULL: an empty 1.44M drive).  Called before the first reset.
 * An image that is smaller than 1.44M and of no known size is read as 1.44M, the rest zeros.
 * -EINVAL when the size is no floppy's: the error lists the sizes. */
int fdc_add_drive(struct fdc *fdc, unsigned drive, struct blockdev *image, struct error *error);
/* Changes the disk (NULL: takes it out); the old image is stored in *old for the caller to close.
 * -EINVAL when the drive cannot read such a disk, -ENODEV when there is no such drive. */
int fdc_change_disk(struct fdc *fdc, unsigned drive, struct blockdev *image, struct blockdev **old,
                    struct error *error);
/* The drive's nibble for CMOS register 10h (drive 0: high nibble); 0: no drive. */
uint8_t fdc_cmos_type(const struct fdc *fdc, unsigned drive);

#endif
