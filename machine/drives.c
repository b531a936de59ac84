/* Opens the disk images and plugs them into the IDE and floppy controllers. */
#include "machine/board.h"

#include "base/error.h"

#include <errno.h>

enum { FLOPPY_UNITS = 2, IDE_PLACES = IDE_CHANNELS * IDE_UNITS };

static const char *drive_name(const struct drive_config *drive)
{
    return drive->file ? drive->file : "empty drive";
}

/* The place of a drive: the one it asks for, or the first free. */
static int drive_place(const struct drive_config *drive, unsigned places, bool *taken,
                       struct error *error)
{
    const char *kind = drive->interface == DRIVE_FLOPPY ? "floppy" : "IDE";
    int index = drive->index;
    for (unsigned i = 0; index < 0 && i < places; i++)
        if (!taken[i])
            index = (int)i;
    if (index < 0)
        return error_set(error, EBUSY, "%s: all %u %s places are taken; leave out a drive",
                         drive_name(drive), places, kind);
    if ((unsigned)index >= places)
        return error_set(error, EINVAL, "%s: index %d; %s drives have 0..%u", drive_name(drive),
                         index, kind, places - 1);
    if (taken[index])
        return error_set(error, EBUSY, "%s: %s drive %d is given twice; choose another index",
                         drive_name(drive), kind, index);
    taken[index] = true;
    return index;
}

static int drive_open(const struct machine_config *config, const struct drive_config *drive,
                      struct blockdev **image, struct error *error)
{
    unsigned flags = 0;
    if (drive->readonly || drive->media == MEDIA_CDROM)
        flags |= BLOCKDEV_READ_ONLY;
    else if (drive->snapshot || config->snapshot)
        flags |= BLOCKDEV_SNAPSHOT;
    if (drive->file)
        return blockdev_open(image, drive->file, drive->format, flags, error);
    if (drive->interface == DRIVE_IDE && drive->media == MEDIA_DISK)
        return error_set(error, EINVAL, "a disk needs an image; add file=FILE to its -drive");
    return 0;
}

static int drive_plug(struct board *board, const struct drive_config *drive, int place,
                      struct blockdev *image, struct error *error)
{
    unsigned unit = (unsigned)place;
    if (drive->interface == DRIVE_FLOPPY)
        return fdc_add_drive(&board->fdc, unit, image, error);
    if (drive->media == MEDIA_CDROM)
        board->cds[unit] = true;
    else
        board->disks[unit] = image;
    if (drive->media == MEDIA_CDROM)
        return ide_add_cdrom(&board->ide, unit / IDE_UNITS, unit % IDE_UNITS, image, drive->serial,
                             error);
    return ide_add_disk(&board->ide, unit / IDE_UNITS, unit % IDE_UNITS, image, drive->serial,
                        error);
}

int drives_plug(struct board *board, struct error *error)
{
    const struct machine_config *config = &board->machine->config;
    bool ide[IDE_PLACES] = {false}, floppy[FLOPPY_UNITS] = {false};
    /* WHY: drives with a place of their own first, so that the others take what they leave. */
    for (int pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < config->drive_count; i++) {
            const struct drive_config *drive = &config->drives[i];
            if ((drive->index >= 0) != (pass == 0))
                continue;
            int place = 0, result;
            if (drive->interface == DRIVE_FLOPPY)
                place = drive_place(drive, FLOPPY_UNITS, floppy, error);
            else if (drive->interface == DRIVE_IDE)
                place = drive_place(drive, IDE_PLACES, ide, error);
            if (place < 0)
                return place;
            board->machine->config.drives[i].index = place;
            result = drive_open(config, drive, &board->images[i], error);
            if (result == 0 && drive->interface != DRIVE_NONE)
                result = drive_plug(board, drive, place, board->images[i], error);
            if (result < 0)
                return result;
        }
    }
    return 0;
}
