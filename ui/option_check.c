/* A look at every file that the command line names, before anything is opened for writing. */
#include "ui/options.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* A file that is read: there, no directory, not empty, readable. */
static int check_input(const char *what, const char *path, struct error *error)
{
    struct stat status;

    if (stat(path, &status))
        return error_set(error, errno, "%s %s: %s; check the path", what, path, strerror(errno));
    if (S_ISDIR(status.st_mode))
        return error_set(error, EISDIR, "%s %s: this is a directory; give a file in it", what,
                         path);
    if (S_ISREG(status.st_mode) && status.st_size == 0)
        return error_set(error, EINVAL, "%s %s: the file is empty; give one with contents", what,
                         path);
    if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
        return error_set(error, EINVAL, "%s %s: neither a file nor a disk; give one of them", what,
                         path);
    if (access(path, R_OK))
        return error_set(error, errno, "%s %s: %s; let this user read it (chmod +r)", what, path,
                         strerror(errno));
    return 0;
}

static bool same_file(const char *one, const char *other)
{
    struct stat a, b;

    return !stat(one, &a) && !stat(other, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* Does the machine only read the drive's file? */
static bool is_only_read(const struct options *options, const struct drive_config *drive)
{
    return drive->readonly || drive->snapshot || options->machine.snapshot ||
           drive->media == MEDIA_CDROM;
}

/* An ISO 9660 image says how long it is; one that is shorter was cut off on its way (ECMA-119
 * §8.4.8: volume space size, in blocks of 2048 bytes). */
static int check_iso(const char *path, struct error *error)
{
    uint8_t descriptor[128];
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return error_set(error, errno, "%s: %s; check the path", path, strerror(errno));
    bool is_iso = pread(fd, descriptor, sizeof descriptor, 32768) == sizeof descriptor &&
                  descriptor[0] == 1 && !memcmp(descriptor + 1, "CD001", 5);
    int result = 0;
    if (is_iso && !fstat(fd, &status) && S_ISREG(status.st_mode) &&
        (uint64_t)status.st_size < (uint64_t)load_le32(descriptor + 80) * 2048)
        result = error_set(
            error, EINVAL, "%s: the image is truncated: %lld bytes of %llu; fetch it again", path,
            (long long)status.st_size, (unsigned long long)load_le32(descriptor + 80) * 2048);
    close(fd);
    return result;
}

static int check_drive(const struct options *options, unsigned index, struct error *error)
{
    const struct drive_config *drive = &options->machine.drives[index];
    int result = check_input("drive", drive->file, error);

    if (!result && drive->media == MEDIA_CDROM)
        result = check_iso(drive->file, error);
    if (result)
        return result;
    bool only_read = is_only_read(options, drive);
    if (!only_read && access(drive->file, W_OK))
        return error_set(error, errno,
                         "drive %s: cannot be written: %s; add readonly=on, or "
                         "-snapshot to drop the writes at the end",
                         drive->file, strerror(errno));
    for (unsigned i = 0; i < index; i++) {
        const struct drive_config *other = &options->machine.drives[i];
        if (other->file && same_file(other->file, drive->file) &&
            !(only_read && is_only_read(options, other)))
            return error_set(error, EINVAL,
                             "drive %s: it is the same file as drive %s; give each drive a file of "
                             "its own, or add -snapshot",
                             drive->file, other->file);
    }
    return 0;
}

/* -initrd: one file, or multiboot's "FILE ARGUMENTS,FILE ARGUMENTS". */
static int check_initrd(const char *initrd, struct error *error)
{
    struct stat status;

    if (!stat(initrd, &status))
        return check_input("-initrd", initrd, error);
    for (const char *at = initrd; *at;) {
        size_t length = strcspn(at, ",");
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%.*s", (int)length, at);
        if (stat(path, &status))
            path[strcspn(path, " ")] = '\0';
        int result = check_input("-initrd", path, error);
        if (result)
            return result;
        at += length + (at[length] == ',');
    }
    return 0;
}

/* The folder that `path` would be created in. */
static int check_folder(const char *what, const char *path, struct error *error)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    struct stat status;

    if (!slash)
        strcpy(folder, ".");
    else
        snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    if (stat(folder, &status))
        return error_set(error, errno, "%s: the folder %s: %s; make it first", what, folder,
                         strerror(errno));
    if (!S_ISDIR(status.st_mode))
        return error_set(error, ENOTDIR, "%s: %s is no folder; check the path", what, folder);
    if (access(folder, W_OK | X_OK))
        return error_set(error, errno, "%s: the folder %s: %s; choose one that can be written",
                         what, folder, strerror(errno));
    return 0;
}

static int refuse_overwrite(const char *what, const char *path, const char *input,
                            struct error *error)
{
    if (!input || !same_file(path, input))
        return 0;
    return error_set(error, EINVAL,
                     "%s: it would overwrite %s, which the guest reads; choose "
                     "another file",
                     what, input);
}

/* A file that will be created or overwritten. */
static int check_output(const struct options *options, const char *what, const char *path,
                        struct error *error)
{
    const struct machine_config *machine = &options->machine;
    struct stat status;

    if (stat(path, &status))
        return errno == ENOENT
                   ? check_folder(what, path, error)
                   : error_set(error, errno, "%s: %s; check the path", what, strerror(errno));
    if (S_ISDIR(status.st_mode))
        return error_set(error, EISDIR, "%s: this is a directory; give a file in it", what);
    if (access(path, W_OK))
        return error_set(error, errno, "%s: %s; choose a file that can be written", what,
                         strerror(errno));
    int result = refuse_overwrite(what, path, machine->kernel, error);
    if (!result)
        result = refuse_overwrite(what, path, machine->initrd, error);
    if (!result)
        result = refuse_overwrite(what, path, machine->bios, error);
    for (unsigned i = 0; !result && i < machine->drive_count; i++)
        result = refuse_overwrite(what, path, machine->drives[i].file, error);
    return result;
}

/* Does a process listen at the socket `path`? */
static bool is_served(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    strcpy(address.sun_path, path);
    bool served = fd >= 0 && !connect(fd, (const struct sockaddr *)&address, sizeof address);
    if (fd >= 0)
        close(fd);
    return served;
}

static int check_socket(const struct chardev_config *stream, struct error *error)
{
    struct stat status;

    if (strlen(stream->path) >= sizeof((struct sockaddr_un *)0)->sun_path)
        return error_set(error, ENAMETOOLONG,
                         "%s: a socket's path has at most %zu bytes; choose a "
                         "shorter one",
                         stream->option, sizeof((struct sockaddr_un *)0)->sun_path - 1);
    bool exists = !stat(stream->path, &status);
    if (exists && !S_ISSOCK(status.st_mode))
        return error_set(error, EINVAL, "%s: this is no socket; choose another path",
                         stream->option);
    if (!exists && !stream->server)
        return error_set(error, ENOENT,
                         "%s: nobody listens there; start the other side first, or "
                         "add ,server to listen",
                         stream->option);
    if (exists && stream->server && is_served(stream->path))
        return error_set(error, EADDRINUSE,
                         "%s: another process listens there; choose another path", stream->option);
    return stream->server ? check_folder(stream->option, stream->path, error) : 0;
}

static int check_stream(const struct options *options, const struct chardev_config *stream,
                        struct error *error)
{
    if (stream->kind == CHARDEV_FILE)
        return check_output(options, stream->option, stream->path, error);
    if (stream->kind == CHARDEV_UNIX)
        return check_socket(stream, error);
    return 0;
}

static int check_outputs(const struct options *options, struct error *error)
{
    char what[PATH_MAX + 16];
    int result = 0;

    for (unsigned i = 0; !result && i < options->serial_count; i++)
        result = check_stream(options, &options->serials[i], error);
    if (!result)
        result = check_stream(options, &options->monitor, error);
    if (!result)
        result = check_stream(options, &options->debugcon, error);
    if (!result && options->log_file) {
        snprintf(what, sizeof what, "-D %s", options->log_file);
        result = check_output(options, what, options->log_file, error);
    }
    if (!result && options->pidfile) {
        snprintf(what, sizeof what, "-pidfile %s", options->pidfile);
        result = check_output(options, what, options->pidfile, error);
    }
    if (!result && options->trace_file) {
        snprintf(what, sizeof what, "-trace-blocks %s", options->trace_file);
        result = options->machine.interpret
                     ? error_set(error, EINVAL,
                                 "%s: the interpreter translates nothing; leave it out, or use "
                                 "-accel translate",
                                 what)
                     : check_output(options, what, options->trace_file, error);
    }
    return result;
}

int options_check(const struct options *options, struct error *error)
{
    const struct machine_config *machine = &options->machine;
    int result = 0;

    if (machine->kernel)
        result = check_input("-kernel", machine->kernel, error);
    if (!result && machine->initrd)
        result = check_initrd(machine->initrd, error);
    if (!result && machine->bios)
        result = check_input("-bios", machine->bios, error);
    for (unsigned i = 0; !result && i < machine->drive_count; i++)
        if (machine->drives[i].file)
            result = check_drive(options, i, error);
    return result ? result : check_outputs(options, error);
}
