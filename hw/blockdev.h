/* Disk images: bytes at offsets, whatever holds them.
 *
 * A blockdev is opened once, belongs to one drive, and is closed by whoever opened it.  Formats are
 * const tables of functions; a snapshot is a format too: an overlay in an unlinked temporary file
 * that takes every write, stacked on an image that is only read.
 *
 * INV-1: callers never see a short read or write: either all of it, or a negative errno.
 * INV-2: with BLOCKDEV_READ_ONLY or BLOCKDEV_SNAPSHOT nothing is ever written to the image.
 * Calls are made with the machine lock held.
 */
#ifndef HW_BLOCKDEV_H
#define HW_BLOCKDEV_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { BLOCKDEV_SECTOR_BYTES = 512 };

enum blockdev_flags {
    BLOCKDEV_READ_ONLY = 1,
    BLOCKDEV_SNAPSHOT = 2, /* writes go to a temporary overlay that vanishes at the end */
};

struct blockdev;

/* A format.  Ranges are checked by the callers of these; `length` may be any number of bytes. */
struct blockdev_ops {
    const char *format;
    /* Whether the first `length` bytes of a file look like this format. */
    bool (*probe)(const uint8_t *bytes, size_t length);
    /* Takes over `fd` on success; sets blockdev->bytes. */
    int (*open)(struct blockdev *blockdev, int fd, struct error *error);
    int (*read)(struct blockdev *blockdev, uint64_t offset, void *to, size_t length);
    int (*write)(struct blockdev *blockdev, uint64_t offset, const void *from, size_t length);
    int (*flush)(struct blockdev *blockdev);
    void (*close)(struct blockdev *blockdev);
};

struct blockdev {
    const struct blockdev_ops *ops;
    void *format_state; /* of the format */
    char *path;
    uint64_t bytes; /* as the guest sees it: a multiple of 512 */
    bool read_only;
    bool dirty; /* written since the last flush */
    uint32_t host_errors;
    uint64_t last_error_offset;
    uint64_t read_operations, read_bytes, write_operations, write_bytes, flush_operations;
};

/* Opens the file or block device at `path`.  `format` is "raw", or NULL to look at the contents.
 * A file that cannot be written is an error unless BLOCKDEV_READ_ONLY or BLOCKDEV_SNAPSHOT is
 * given.  Negative errno and one line in `error` on failure. */
int blockdev_open(struct blockdev **result, const char *path, const char *format, unsigned flags,
                  struct error *error);
/* Flushes and closes; NULL is allowed. */
void blockdev_close(struct blockdev *blockdev);

/* -EIO (or the host's error) and one log line when the host fails; -ERANGE outside the image;
 * -EROFS for a write to a read-only one. */
int blockdev_read(struct blockdev *blockdev, uint64_t offset, void *to, size_t length);
int blockdev_write(struct blockdev *blockdev, uint64_t offset, const void *from, size_t length);
/* What was written before is on stable storage when this returns 0. */
int blockdev_flush(struct blockdev *blockdev);

static inline uint64_t blockdev_sectors(const struct blockdev *blockdev)
{
    return blockdev->bytes / BLOCKDEV_SECTOR_BYTES;
}

/* The geometry that an ATA disk of `sectors` reports (ATA/ATAPI-6 annex C: 16 heads, 63 sectors).
 */
struct blockdev_geometry {
    uint16_t cylinders, heads, sectors;
};
struct blockdev_geometry blockdev_geometry(uint64_t sectors);

/* "disk.img (raw, 1073741824 bytes, read-only)" and the counters, for the monitor. */
void blockdev_describe(const struct blockdev *blockdev, FILE *out);

#endif
