/* Floppy drives and disks: which image is which format, and sectors in it. */
#include "hw/fdc_priv.h"

#include <errno.h>

enum { TYPE_360K = 1, TYPE_1200K, TYPE_720K, TYPE_1440K, TYPE_2880K };
enum { RATE_500, RATE_300, RATE_250, RATE_1000 };

static const struct fdc_format formats[] = {
    {160 * 1024, 40, 1, 8, RATE_250, TYPE_360K, "160K"},
    {180 * 1024, 40, 1, 9, RATE_250, TYPE_360K, "180K"},
    {320 * 1024, 40, 2, 8, RATE_250, TYPE_360K, "320K"},
    {360 * 1024, 40, 2, 9, RATE_250, TYPE_360K, "360K"},
    {720 * 1024, 80, 2, 9, RATE_250, TYPE_720K, "720K"},
    {1200 * 1024, 80, 2, 15, RATE_500, TYPE_1200K, "1.2M"},
    {1440 * 1024, 80, 2, 18, RATE_500, TYPE_1440K, "1.44M"},
    {1680 * 1024, 80, 2, 21, RATE_500, TYPE_1440K, "1.68M"},
    {2880 * 1024, 80, 2, 36, RATE_1000, TYPE_2880K, "2.88M"},
};

enum { DEFAULT_FORMAT = 6 };

static const struct fdc_format *format_of(const struct blockdev *image)
{
    for (size_t i = 0; i < ARRAY_LENGTH(formats); i++) {
        if (formats[i].bytes == image->bytes)
            return &formats[i];
    }
    const struct fdc_format *usual = &formats[DEFAULT_FORMAT];
    return image->bytes < usual->bytes ? usual : NULL;
}

static int find_format(const struct fdc_format **format, const struct blockdev *image,
                       struct error *error)
{
    *format = format_of(image);
    if (*format)
        return 0;
    return error_set(error, EINVAL,
                     "%s: is no floppy: it has %llu bytes; use an image of 160K, 180K, 320K, 360K, "
                     "720K, 1.2M, 1.44M, 1.68M or 2.88M",
                     image->path, (unsigned long long)image->bytes);
}

/* A drive of `type` reads what its own kind reads, and the 3.5" ones what smaller ones do. */
static bool drive_reads(unsigned type, const struct fdc_format *format)
{
    return format->drive_type == type ||
           (type >= TYPE_720K && format->drive_type >= TYPE_720K && format->drive_type < type);
}

static void insert(struct fdc *fdc, unsigned number, struct blockdev *image,
                   const struct fdc_format *format)
{
    fdc->drives[number].medium = image;
    fdc->drives[number].format = format;
    fdc->state.disk_changed[number] = 1;
}

int fdc_add_drive(struct fdc *fdc, unsigned number, struct blockdev *image, struct error *error)
{
    const struct fdc_format *format = NULL;
    int status;
    if (number >= FDC_DRIVES)
        return error_set(error, EINVAL, "floppy%u: no such drive; there are floppy0 and floppy1",
                         number);
    if (fdc->drives[number].present)
        return error_set(error, EBUSY, "floppy%u: there is a drive already; give only one", number);
    if (image && (status = find_format(&format, image, error)))
        return status;
    unsigned type = format ? format->drive_type : TYPE_1440K;
    fdc->drives[number].present = true;
    fdc->drives[number].type = type == TYPE_720K ? TYPE_1440K : (uint8_t)type;
    insert(fdc, number, image, format);
    return 0;
}

int fdc_change_disk(struct fdc *fdc, unsigned number, struct blockdev *image, struct blockdev **old,
                    struct error *error)
{
    const struct fdc_format *format = NULL;
    struct fdc_drive *drive = fdc_drive_at(fdc, number);
    int status;
    if (!drive)
        return error_set(error, ENODEV, "floppy%u: there is no such drive; start with -fda or -fdb",
                         number);
    if (image && (status = find_format(&format, image, error)))
        return status;
    if (format && !drive_reads(drive->type, format))
        return error_set(error, EINVAL,
                         "%s: the drive cannot read a %s disk; use one of the size that the "
                         "machine was started with",
                         image->path, format->name);
    if (old)
        *old = drive->medium;
    insert(fdc, number, image, format);
    return 0;
}

uint8_t fdc_cmos_type(const struct fdc *fdc, unsigned number)
{
    return number < FDC_DRIVES && fdc->drives[number].present ? fdc->drives[number].type : 0;
}

bool fdc_rate_fits(const struct fdc *fdc, const struct fdc_drive *drive)
{
    unsigned rate = fdc->state.ccr & 3;
    /* WHY: a drive that turns at 360/min reads at 300 kb/s what one at 300/min reads at 250. */
    return rate == drive->format->rate ||
           (drive->format->drive_type == TYPE_360K && rate == RATE_300);
}

static uint64_t sector_offset(const struct fdc_drive *drive, unsigned cylinder, unsigned side,
                              unsigned number)
{
    const struct fdc_format *format = drive->format;
    return ((uint64_t)(cylinder * format->heads + side) * format->sectors + number - 1) *
           FDC_SECTOR_BYTES;
}

bool fdc_read_sector(struct fdc_drive *drive, unsigned cylinder, unsigned side, unsigned number,
                     uint8_t *to)
{
    uint64_t offset = sector_offset(drive, cylinder, side, number);
    if (offset < drive->medium->bytes)
        return !blockdev_read(drive->medium, offset, to, FDC_SECTOR_BYTES);
    memset(to, 0, FDC_SECTOR_BYTES);
    return true;
}

bool fdc_write_sector(struct fdc_drive *drive, unsigned cylinder, unsigned side, unsigned number,
                      const uint8_t *from)
{
    return !blockdev_write(drive->medium, sector_offset(drive, cylinder, side, number), from,
                           FDC_SECTOR_BYTES);
}
