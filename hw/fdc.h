/* The floppy controller (82077AA) at 3F0h with two drives, IRQ 6, DMA channel 2.
 *
 * Files: fdc.c (registers, phases), fdc_commands.c (the commands), fdc_media.c (formats by size).
 * Sources: Intel 82077AA datasheet (290166); IBM PS/2 Hardware Interface Technical Reference.
 *
 * INV-1: fifo_at <= fifo_length <= FDC_FIFO_BYTES, sector_at <= FDC_SECTOR_BYTES.
 * INV-2: the medium is addressed only after cylinder, head and sector passed its geometry.
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

/* What a raw image of a size is.  `cmos_type` is the nibble of CMOS register 10h. */
struct fdc_format {
    uint32_t bytes;
    uint8_t cylinders, heads, sectors;
    uint8_t rate; /* DSR/CCR data rate select: 0 500 kb/s, 1 300, 2 250, 3 1 Mb/s */
    uint8_t cmos_type;
    const char *name;
};

struct fdc_state {
    int64_t deadline_ns[4]; /* end of a seek by drive (two are real) */
    int64_t command_deadline_ns;
    uint32_t sector_at; /* bytes of the sector buffer moved */
    uint8_t dor, tdr, dsr, ccr, msr, phase, command;
    uint8_t fifo_at, fifo_length, result_at, result_length;
    uint8_t fifo[FDC_FIFO_BYTES], result[FDC_FIFO_BYTES];
    uint8_t st0[4], st1, st2, interrupt_pending, reset_sense;
    uint8_t cylinder[4];       /* where the drive's head is */
    uint8_t track_register[4]; /* the controller's idea of it (PCN) */
    uint8_t disk_changed[4];
    uint8_t specify[2], configure[2], precompensation_track, perpendicular, locked;
    uint8_t transfer_cylinder, transfer_head, transfer_sector, transfer_side, transfer_size;
    uint8_t end_of_track, transfer_drive, multitrack, skip, scan_failed, terminal_count;
    uint8_t data_ready, format_left, non_dma;
    uint8_t sector[FDC_SECTOR_BYTES];
};

struct fdc_drive {
    bool present;
    uint8_t cmos_type;       /* of the drive: 1 360K, 2 1.2M, 3 720K, 4 1.44M, 5 2.88M; 0: none */
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
 * -EINVAL when the size is no floppy's: the error lists the sizes. */
int fdc_add_drive(struct fdc *fdc, unsigned drive, struct blockdev *image, struct error *error);
/* Changes the disk (NULL: takes it out); the old image is stored in *old for the caller to close.
 * -EINVAL when the drive cannot read such a disk, -ENODEV when there is no such drive. */
int fdc_change_disk(struct fdc *fdc, unsigned drive, struct blockdev *image, struct blockdev **old,
                    struct error *error);
/* The drive's nibble for CMOS register 10h (drive 0: high nibble); 0: no drive. */
uint8_t fdc_cmos_type(const struct fdc *fdc, unsigned drive);

#endif
