/* Which disks, CD-ROMs and floppies there are, and which the machine boots from. */
#include "ui/options.h"

#include "ui/option_value.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { IDE_PLACES = 4, FLOPPY_PLACES = 2 };

static struct drive_config *add_drive(struct option_context *context)
{
    struct machine_config *machine = &context->options->machine;

    if (machine->drive_count == MACHINE_DRIVES_MAX) {
        error_set(context->error, EINVAL, "%s: more than %d drives; leave some out", context->what,
                  MACHINE_DRIVES_MAX);
        return NULL;
    }
    struct drive_config *drive = &machine->drives[machine->drive_count++];
    *drive = (struct drive_config){.interface = DRIVE_IDE, .media = MEDIA_DISK, .index = -1};
    return drive;
}

/* -hda to -hdd (0..3), -cdrom (4), -fda and -fdb (5, 6): the row's number says which. */
int option_drive_file(struct option_context *context, const char *value)
{
    struct drive_config *drive = add_drive(context);

    if (!drive)
        return -EINVAL;
    drive->file = value;
    if (context->which < IDE_PLACES) {
        drive->index = context->which;
    } else if (context->which == IDE_PLACES) {
        drive->media = MEDIA_CDROM;
        drive->index = 2;
    } else {
        drive->interface = DRIVE_FLOPPY;
        drive->index = context->which - IDE_PLACES - 1;
    }
    return 0;
}

static int refuse(struct option_context *context, const struct suboption *item, const char *remedy)
{
    return error_set(context->error, EINVAL, "%s %s=%s: %s", context->what, item->key, item->value,
                     remedy);
}

static int drive_interface(struct option_context *context, struct drive_config *drive,
                           const struct suboption *item)
{
    static const char *const names[] = {"ide", "floppy", "none"};

    for (unsigned i = 0; i < ARRAY_LENGTH(names); i++) {
        if (!strcmp(item->value, names[i])) {
            drive->interface = (enum drive_interface)i;
            return 0;
        }
    }
    return refuse(context, item, "this version has no such interface; use ide, floppy or none");
}

static int drive_setting(struct option_context *context, struct drive_config *drive,
                         const struct suboption *item)
{
    const char *key = item->key;
    char what[64];

    snprintf(what, sizeof what, "%s %s", context->what, key);
    if (!strcmp(key, "file")) {
        drive->file = options_keep(context->options, item->value);
    } else if (!strcmp(key, "id")) {
        drive->id = options_keep(context->options, item->value);
    } else if (!strcmp(key, "if")) {
        return drive_interface(context, drive, item);
    } else if (!strcmp(key, "media")) {
        if (strcmp(item->value, "disk") && strcmp(item->value, "cdrom"))
            return refuse(context, item, "no such medium; use disk or cdrom");
        drive->media = strcmp(item->value, "disk") ? MEDIA_CDROM : MEDIA_DISK;
    } else if (!strcmp(key, "format")) {
        if (strcmp(item->value, "raw"))
            return refuse(context, item,
                          "this version reads raw images; convert the image with "
                          "qemu-img convert -O raw");
        drive->format = "raw";
    } else if (!strcmp(key, "serial")) {
        drive->serial = options_keep(context->options, item->value);
    } else if (!strcmp(key, "index")) {
        uint64_t index;
        int result = option_number(what, item->value, 0, IDE_PLACES - 1, &index, context->error);
        if (!result)
            drive->index = index;
        return result;
    } else if (!strcmp(key, "snapshot")) {
        return option_switch(what, item->value, &drive->snapshot, context->error);
    } else if (!strcmp(key, "readonly") || !strcmp(key, "read-only")) {
        return option_switch(what, item->value, &drive->readonly, context->error);
    } else if (strcmp(key, "cache") && strcmp(key, "aio") && strcmp(key, "discard")) {
        return error_set(context->error, EINVAL,
                         "%s: no such setting '%s'; there are file, if, format, index, media, "
                         "snapshot, readonly, serial, id, cache, aio and discard",
                         context->what, key);
    }
    return 0;
}

int option_drive(struct option_context *context, const char *value)
{
    struct suboptions list;
    struct drive_config *drive = add_drive(context);

    if (!drive)
        return -EINVAL;
    int result = suboptions_parse(&list, context->what, value, NULL, context->error);
    for (unsigned i = 0; !result && i < list.count; i++)
        result = drive_setting(context, drive, &list.items[i]);
    suboptions_free(&list);
    return result;
}

static int boot_order(struct option_context *context, const struct suboption *item, char order[5])
{
    size_t length = strlen(item->value);

    if (length == 0 || length > 4 || strspn(item->value, "acdn") != length)
        return refuse(context, item,
                      "give letters of a (floppy), c (disk), d (CD-ROM), n (network), "
                      "as in order=dc");
    for (size_t i = 0; i < length; i++)
        if (strchr(item->value + i + 1, item->value[i]))
            return refuse(context, item, "a letter stands twice; give each once");
    memcpy(order, item->value, length + 1);
    return 0;
}

int option_boot(struct option_context *context, const char *value)
{
    struct boot_config *boot = &context->options->machine.boot;
    struct suboptions list;
    int result = suboptions_parse(&list, context->what, value, "order", context->error);

    for (unsigned i = 0; !result && i < list.count; i++) {
        const struct suboption *item = &list.items[i];
        if (!strcmp(item->key, "order")) {
            result = boot_order(context, item, boot->order);
        } else if (!strcmp(item->key, "once")) {
            result = boot_order(context, item, boot->once);
        } else if (!strcmp(item->key, "menu")) {
            result = option_switch("-boot menu", item->value, &boot->menu, context->error);
        } else if (!strcmp(item->key, "strict")) {
            result = option_switch("-boot strict", item->value, &boot->strict, context->error);
        } else if (!strcmp(item->key, "splash-time")) {
            uint64_t wait;
            result =
                option_number("-boot splash-time", item->value, 0, 65535, &wait, context->error);
            if (!result)
                boot->menu_wait_ms = wait;
        } else {
            result = error_set(context->error, EINVAL,
                               "-boot: no such setting '%s'; there are order, once, menu, "
                               "splash-time and strict",
                               item->key);
        }
    }
    suboptions_free(&list);
    return result;
}

static const char *drive_name(const struct drive_config *drive)
{
    return drive->file ? drive->file : "the empty drive";
}

static int check_place(const struct drive_config *drive, struct error *error)
{
    if (drive->file && !*drive->file)
        return error_set(error, EINVAL, "a drive's file name is empty; give the image's path");
    if (!drive->file && drive->media == MEDIA_DISK && drive->interface == DRIVE_IDE)
        return error_set(error, EINVAL,
                         "-drive: a disk needs a file; add file=PATH, or media=cdrom "
                         "for an empty CD-ROM drive");
    if (drive->interface == DRIVE_FLOPPY && drive->media == MEDIA_CDROM)
        return error_set(error, EINVAL, "%s: a CD-ROM does not fit a floppy drive; use if=ide",
                         drive_name(drive));
    if (drive->interface == DRIVE_FLOPPY && drive->index >= FLOPPY_PLACES)
        return error_set(error, EINVAL, "%s: index=%d: there are two floppy drives; use 0 or 1",
                         drive_name(drive), drive->index);
    return 0;
}

int option_drives_check(const struct options *options, struct error *error)
{
    const struct machine_config *machine = &options->machine;
    unsigned used[2] = {0};

    for (unsigned i = 0; i < machine->drive_count; i++) {
        const struct drive_config *drive = &machine->drives[i];
        int result = check_place(drive, error);
        if (result)
            return result;
        if (drive->interface == DRIVE_NONE)
            continue;
        if (++used[drive->interface] > (drive->interface == DRIVE_IDE ? IDE_PLACES : FLOPPY_PLACES))
            return error_set(error, EINVAL, "%s: all %s drives are taken; leave one out",
                             drive_name(drive),
                             drive->interface == DRIVE_IDE ? "four IDE" : "two floppy");
        for (unsigned other = 0; other < i; other++) {
            const struct drive_config *earlier = &machine->drives[other];
            if (drive->index >= 0 && earlier->interface == drive->interface &&
                earlier->index == drive->index)
                return error_set(error, EINVAL,
                                 "%s: place %d is taken by %s; give another index, or use another "
                                 "of -hda to -hdd",
                                 drive_name(drive), drive->index, drive_name(earlier));
        }
    }
    return 0;
}
