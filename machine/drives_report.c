/* What the user asks of the drives while the machine runs: a list, another medium, that nothing
 * waits in memory. */
#include "machine/board.h"

#include <errno.h>
#include <string.h>

enum { LABEL_BYTES = 32 };

/* "ide1-cd0", "ide0-hd1", "floppy0", or the drive's own id. */
static const char *drive_label(const struct drive_config *drive, char label[LABEL_BYTES])
{
    if (drive->id)
        return drive->id;
    if (drive->interface == DRIVE_FLOPPY)
        snprintf(label, LABEL_BYTES, "floppy%d", drive->index);
    else if (drive->interface == DRIVE_IDE)
        snprintf(label, LABEL_BYTES, "ide%d-%s%d", drive->index / IDE_UNITS,
                 drive->media == MEDIA_CDROM ? "cd" : "hd", drive->index % IDE_UNITS);
    else
        snprintf(label, LABEL_BYTES, "none");
    return label;
}

void machine_describe_drives(const struct machine *machine, FILE *out)
{
    const struct machine_config *config = &machine->config;
    char label[LABEL_BYTES];

    for (unsigned i = 0; i < config->drive_count; i++) {
        const struct blockdev *image = machine->board->images[i];
        fprintf(out, "%s: ", drive_label(&config->drives[i], label));
        if (image)
            blockdev_describe(image, out);
        else
            fprintf(out, "no medium\n");
    }
}

int machine_flush_drives(struct machine *machine)
{
    int result = 0;

    for (unsigned i = 0; i < machine->config.drive_count; i++) {
        struct blockdev *image = machine->board->images[i];
        int flushed = image ? blockdev_flush(image) : 0;
        if (flushed)
            result = flushed;
    }
    return result;
}

static int plug_medium(struct board *board, const struct drive_config *drive,
                       struct blockdev *image, bool force, struct blockdev **old,
                       struct error *error)
{
    unsigned place = (unsigned)drive->index;

    if (drive->interface == DRIVE_FLOPPY)
        return fdc_change_disk(&board->fdc, place, image, old, error);
    return ide_change_cd(&board->ide, place / IDE_UNITS, place % IDE_UNITS, image, force, old,
                         error);
}

static int change(struct machine *machine, unsigned index, const char *file, bool force,
                  struct error *error)
{
    const struct drive_config *drive = &machine->config.drives[index];
    struct blockdev *image = NULL, *old = NULL;
    unsigned flags = drive->snapshot || machine->config.snapshot ? BLOCKDEV_SNAPSHOT : 0;

    if (drive->media == MEDIA_CDROM || drive->readonly)
        flags = BLOCKDEV_READ_ONLY;
    int result = file ? blockdev_open(&image, file, drive->format, flags, error) : 0;
    if (!result)
        result = plug_medium(machine->board, drive, image, force, &old, error);
    if (result) {
        blockdev_close(image);
        return result;
    }
    machine->board->images[index] = image;
    blockdev_close(old);
    return 0;
}

int machine_change_medium(struct machine *machine, const char *name, const char *file, bool force,
                          struct error *error)
{
    const struct machine_config *config = &machine->config;
    char label[LABEL_BYTES];

    for (unsigned i = 0; i < config->drive_count; i++) {
        const struct drive_config *drive = &config->drives[i];
        if (strcmp(name, drive_label(drive, label)))
            continue;
        if (drive->interface == DRIVE_NONE ||
            (drive->interface == DRIVE_IDE && drive->media == MEDIA_DISK))
            return error_set(error, EINVAL,
                             "%s: its medium cannot be changed; CD-ROMs and floppies "
                             "can",
                             name);
        return change(machine, i, file, force, error);
    }
    return error_set(error, ENODEV, "%s: no such drive; info block lists them", name);
}
