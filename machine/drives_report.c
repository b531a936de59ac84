/* What the monitor asks of the drives: a list, and that nothing waits in memory. */
#include "machine/board.h"

void machine_describe_drives(const struct machine *machine, FILE *out)
{
    static const char *const interfaces[] = {"ide", "floppy", "none"};
    const struct machine_config *config = &machine->config;

    for (unsigned i = 0; i < config->drive_count; i++) {
        const struct drive_config *drive = &config->drives[i];
        const struct blockdev *image = machine->board->images[i];
        fprintf(out, "%s%s: ", interfaces[drive->interface],
                drive->media == MEDIA_CDROM ? " cdrom" : "");
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
