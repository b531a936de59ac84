/* Opening images by format, range checks and error reports (see blockdev.h). */
#include "hw/blockdev.h"
#include "hw/blockdev_priv.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PROBE_BYTES = 512, HOST_ERROR_LINES = 10 };

static const struct blockdev_ops *const formats[] = {&blockdev_raw_ops};

/* Formats that people have lying about; booting one as if it were raw would only confuse. */
static const struct {
    const char *name;
    uint32_t offset;
    uint32_t length;
    const char *magic;
} foreign_formats[] = {
    {"qcow2", 0, 4, "QFI\xfb"},
    {"vmdk", 0, 4, "KDMV"},
    {"vmdk", 0, 21, "# Disk DescriptorFile"},
    {"vdi", 64, 4, "\x7f\x10\xda\xbe"},
    {"vpc", 0, 8, "conectix"},
    {"vhdx", 0, 8, "vhdxfile"},
};

static int choose_by_name(const struct blockdev_ops **ops, const char *path, const char *format,
                          struct error *error)
{
    for (size_t i = 0; i < ARRAY_LENGTH(formats); i++) {
        if (!strcmp(formats[i]->format, format)) {
            *ops = formats[i];
            return 0;
        }
    }
    return error_set(error, EINVAL,
                     "%s: format '%s' is not known; convert it with: "
                     "qemu-img convert -O raw %s NEW.img",
                     path, format, path);
}

static int choose_by_content(const struct blockdev_ops **ops, const char *path, int fd,
                             struct error *error)
{
    uint8_t bytes[PROBE_BYTES];
    ssize_t length = pread(fd, bytes, sizeof bytes, 0);
    if (length < 0)
        return error_set(error, errno, "%s: cannot read: %s; check the disk it lies on", path,
                         strerror(errno));
    for (size_t i = 0; i < ARRAY_LENGTH(formats); i++) {
        if (formats[i]->probe && formats[i]->probe(bytes, (size_t)length)) {
            *ops = formats[i];
            return 0;
        }
    }
    for (size_t i = 0; i < ARRAY_LENGTH(foreign_formats); i++) {
        uint32_t end = foreign_formats[i].offset + foreign_formats[i].length;
        if ((size_t)length >= end && !memcmp(bytes + foreign_formats[i].offset,
                                             foreign_formats[i].magic, foreign_formats[i].length))
            return error_set(error, EINVAL,
                             "%s: is a %s image, which cannot be used as it is; convert it with: "
                             "qemu-img convert -O raw %s NEW.img (or give format=raw)",
                             path, foreign_formats[i].name, path);
    }
    *ops = &blockdev_raw_ops;
    return 0;
}

/* Two writers of one image ruin it: a writer locks out all others, readers only writers. */
static int lock_image(int fd, const char *path, bool for_writing, struct error *error)
{
    struct flock lock = {.l_type = for_writing ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET};
    if (!fcntl(fd, F_OFD_SETLK, &lock) || (errno != EAGAIN && errno != EACCES))
        return 0;
    return error_set(error, EBUSY,
                     "%s: is in use by another machine; stop that one, or use a copy of the image",
                     path);
}

static int open_file(const char *path, bool for_writing, int *fd, struct error *error)
{
    /* WHY: O_NONBLOCK keeps a FIFO from hanging us before its type is known. */
    *fd = open(path, (for_writing ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0) {
        int reason = errno;
        if (for_writing && (reason == EACCES || reason == EROFS || reason == EPERM) &&
            !access(path, R_OK))
            return error_set(error, reason,
                             "%s: cannot open for writing: %s; change its permissions, or use "
                             "readonly=on or -snapshot",
                             path, strerror(reason));
        return error_set(error, reason, "%s: cannot open: %s; check the path and its permissions",
                         path, strerror(reason));
    }
    struct stat status;
    if (fstat(*fd, &status) || (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))) {
        close(*fd);
        return error_set(error, EINVAL,
                         "%s: is neither a file nor a block device; give the path of an image",
                         path);
    }
    int result = lock_image(*fd, path, for_writing, error);
    if (result)
        close(*fd);
    return result;
}

static int open_plain(struct blockdev **result, const char *path, const char *format,
                      bool for_writing, struct error *error)
{
    const struct blockdev_ops *ops;
    int fd, status;
    if (format && (status = choose_by_name(&ops, path, format, error)))
        return status;
    if ((status = open_file(path, for_writing, &fd, error)))
        return status;
    if (!format && (status = choose_by_content(&ops, path, fd, error))) {
        close(fd);
        return status;
    }
    struct blockdev *blockdev = calloc(1, sizeof *blockdev);
    char *name = strdup(path);
    if (!blockdev || !name) {
        status = error_set(error, ENOMEM, "%s: no memory to open it; free some", path);
    } else {
        blockdev->ops = ops;
        blockdev->path = name;
        blockdev->read_only = !for_writing;
        status = ops->open(blockdev, fd, error);
    }
    if (status) {
        close(fd);
        free(name);
        free(blockdev);
        return status;
    }
    *result = blockdev;
    return 0;
}

int blockdev_open(struct blockdev **result, const char *path, const char *format, unsigned flags,
                  struct error *error)
{
    bool for_writing = !(flags & (BLOCKDEV_READ_ONLY | BLOCKDEV_SNAPSHOT));
    struct blockdev *plain;
    int status = open_plain(&plain, path, format, for_writing, error);
    if (status)
        return status;
    if (!(flags & BLOCKDEV_SNAPSHOT) || (flags & BLOCKDEV_READ_ONLY)) {
        *result = plain;
        return 0;
    }
    status = blockdev_snapshot_open(result, plain, error);
    if (status)
        blockdev_close(plain);
    return status;
}

void blockdev_close(struct blockdev *blockdev)
{
    if (!blockdev)
        return;
    blockdev_flush(blockdev);
    blockdev->ops->close(blockdev);
    free(blockdev->path);
    free(blockdev);
}

/* The host failed, which is nobody's fault in the guest: the person must hear of it, once a place.
 */
static int report(struct blockdev *blockdev, const char *what, uint64_t offset, size_t length,
                  int status)
{
    bool again = blockdev->host_errors && blockdev->last_error_offset == offset;
    blockdev->last_error_offset = offset;
    if (blockdev->host_errors++ < HOST_ERROR_LINES && !again)
        fprintf(log_stream(), "%s: %s of %zu bytes at %" PRIu64 " failed: %s\n", blockdev->path,
                what, length, offset, strerror(-status));
    return status;
}

static bool is_inside(const struct blockdev *blockdev, uint64_t offset, size_t length)
{
    return offset <= blockdev->bytes && length <= blockdev->bytes - offset;
}

int blockdev_read(struct blockdev *blockdev, uint64_t offset, void *to, size_t length)
{
    if (!is_inside(blockdev, offset, length))
        return -ERANGE;
    int status = blockdev->ops->read(blockdev, offset, to, length);
    if (status)
        return report(blockdev, "read", offset, length, status);
    blockdev->read_operations++;
    blockdev->read_bytes += length;
    return 0;
}

int blockdev_write(struct blockdev *blockdev, uint64_t offset, const void *from, size_t length)
{
    if (blockdev->read_only)
        return -EROFS;
    if (!is_inside(blockdev, offset, length))
        return -ERANGE;
    blockdev->dirty = true;
    int status = blockdev->ops->write(blockdev, offset, from, length);
    if (status)
        return report(blockdev, "write", offset, length, status);
    blockdev->write_operations++;
    blockdev->write_bytes += length;
    return 0;
}

int blockdev_flush(struct blockdev *blockdev)
{
    blockdev->flush_operations++;
    if (!blockdev->dirty)
        return 0;
    int status = blockdev->ops->flush(blockdev);
    if (status)
        return report(blockdev, "flush", 0, 0, status);
    blockdev->dirty = false;
    return 0;
}

struct blockdev_geometry blockdev_geometry(uint64_t sectors)
{
    enum { HEADS = 16, SECTORS = 63, CYLINDERS_MAX = 16383 };
    uint64_t cylinders = sectors / (HEADS * SECTORS);
    if (cylinders > CYLINDERS_MAX)
        cylinders = CYLINDERS_MAX;
    if (cylinders)
        return (struct blockdev_geometry){(uint16_t)cylinders, HEADS, SECTORS};
    /* Smaller than one such cylinder: one head, so that every whole track can be reached. */
    if (sectors >= SECTORS)
        return (struct blockdev_geometry){(uint16_t)(sectors / SECTORS), 1, SECTORS};
    return (struct blockdev_geometry){1, 1, (uint16_t)sectors};
}

void blockdev_describe(const struct blockdev *blockdev, FILE *out)
{
    fprintf(out, "%s (%s, %" PRIu64 " bytes%s)\n", blockdev->path, blockdev->ops->format,
            blockdev->bytes, blockdev->read_only ? ", read-only" : "");
    fprintf(out,
            "    %" PRIu64 " reads (%" PRIu64 " bytes), %" PRIu64 " writes (%" PRIu64
            " bytes), %" PRIu64 " flushes, %" PRIu32 " host errors\n",
            blockdev->read_operations, blockdev->read_bytes, blockdev->write_operations,
            blockdev->write_bytes, blockdev->flush_operations, blockdev->host_errors);
}
