/* Raw images: byte n of the disk is byte n of a file or block device.
 *
 * A file whose length is no multiple of 512 (cut short, or made by a tool that did not pad) gets a
 * last sector padded with zeros; writing that sector makes the file whole.
 */
#include "hw/blockdev_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct raw {
    int fd;
    uint64_t file_bytes; /* what the file really holds */
};

static int raw_open(struct blockdev *blockdev, int fd, struct error *error)
{
    off_t length = lseek(fd, 0, SEEK_END);
    if (length < 0)
        return error_set(error, errno, "%s: cannot find its length: %s; use a file", blockdev->path,
                         strerror(errno));
    if (!length)
        return error_set(error, EINVAL, "%s: is empty; give it a size with: truncate -s 1G %s",
                         blockdev->path, blockdev->path);
    struct raw *raw = malloc(sizeof *raw);
    if (!raw)
        return error_set(error, ENOMEM, "%s: no memory to open it; free some", blockdev->path);
    *raw = (struct raw){.fd = fd, .file_bytes = (uint64_t)length};
    blockdev->format_state = raw;
    blockdev->bytes =
        ((uint64_t)length + BLOCKDEV_SECTOR_BYTES - 1) & ~(uint64_t)(BLOCKDEV_SECTOR_BYTES - 1);
    return 0;
}

static int raw_read(struct blockdev *blockdev, uint64_t offset, void *to, size_t length)
{
    struct raw *raw = blockdev->format_state;
    if (offset + length > raw->file_bytes) {
        size_t inside = offset < raw->file_bytes ? (size_t)(raw->file_bytes - offset) : 0;
        memset((uint8_t *)to + inside, 0, length - inside);
        length = inside;
    }
    return blockdev_file_read(raw->fd, offset, to, length);
}

static int raw_write(struct blockdev *blockdev, uint64_t offset, const void *from, size_t length)
{
    struct raw *raw = blockdev->format_state;
    const int status = blockdev_file_write(raw->fd, offset, from, length);
    if (offset + length > raw->file_bytes) { /* grown, perhaps by less than that */
        const off_t bytes = lseek(raw->fd, 0, SEEK_END);
        if (bytes > 0)
            raw->file_bytes = (uint64_t)bytes;
    }
    return status;
}

static int raw_flush(struct blockdev *blockdev)
{
    struct raw *raw = blockdev->format_state;
    return fdatasync(raw->fd) ? -errno : 0;
}

static void raw_close(struct blockdev *blockdev)
{
    struct raw *raw = blockdev->format_state;
    close(raw->fd);
    free(raw);
}

const struct blockdev_ops blockdev_raw_ops = {
    .format = "raw",
    .open = raw_open,
    .read = raw_read,
    .write = raw_write,
    .flush = raw_flush,
    .close = raw_close,
};
