/* The overlay of -snapshot: clusters that were written live in a temporary file without a name, the
 * rest is read from the image below.
 *
 * INV-1: a cluster's bit is set only once the overlay holds the whole cluster.
 * INV-2: the image below is opened for reading only (blockdev_open() sees to it).
 */
#include "hw/blockdev_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { CLUSTER_BYTES = 16 * 1024 };

struct snapshot {
    struct blockdev *base;
    int fd;
    uint64_t *present; /* one bit a cluster */
    uint8_t cluster[CLUSTER_BYTES];
};

static bool is_present(const struct snapshot *snapshot, uint64_t cluster)
{
    return snapshot->present[cluster / 64] & BIT(cluster % 64);
}

static int snapshot_read(struct blockdev *blockdev, uint64_t offset, void *to, size_t length)
{
    struct snapshot *snapshot = blockdev->format_state;
    uint8_t *at = to;
    while (length) {
        uint64_t cluster = offset / CLUSTER_BYTES;
        bool present = is_present(snapshot, cluster);
        uint64_t end = (cluster + 1) * CLUSTER_BYTES;
        while (end < offset + length && is_present(snapshot, end / CLUSTER_BYTES) == present)
            end += CLUSTER_BYTES;
        size_t part = end - offset < length ? (size_t)(end - offset) : length;
        int status = present ? blockdev_file_read(snapshot->fd, offset, at, part)
                             : blockdev_read(snapshot->base, offset, at, part);
        if (status)
            return status;
        at += part;
        offset += part;
        length -= part;
    }
    return 0;
}

/* Writes part of a cluster that the overlay does not hold yet: the rest comes from below. */
static int write_first(struct blockdev *blockdev, uint64_t offset, const uint8_t *from, size_t part)
{
    struct snapshot *snapshot = blockdev->format_state;
    uint64_t start = offset / CLUSTER_BYTES * CLUSTER_BYTES;
    uint64_t left = blockdev->bytes - start;
    size_t whole = left < CLUSTER_BYTES ? (size_t)left : CLUSTER_BYTES;
    int status;
    if (part < whole && (status = blockdev_read(snapshot->base, start, snapshot->cluster, whole)))
        return status;
    memcpy(snapshot->cluster + (offset - start), from, part);
    if ((status = blockdev_file_write(snapshot->fd, start, snapshot->cluster, whole)))
        return status;
    snapshot->present[start / CLUSTER_BYTES / 64] |= BIT(start / CLUSTER_BYTES % 64);
    return 0;
}

static int snapshot_write(struct blockdev *blockdev, uint64_t offset, const void *from,
                          size_t length)
{
    struct snapshot *snapshot = blockdev->format_state;
    const uint8_t *at = from;
    while (length) {
        uint64_t cluster = offset / CLUSTER_BYTES;
        uint64_t left = (cluster + 1) * CLUSTER_BYTES - offset;
        size_t part = left < length ? (size_t)left : length;
        int status = is_present(snapshot, cluster)
                         ? blockdev_file_write(snapshot->fd, offset, at, part)
                         : write_first(blockdev, offset, at, part);
        if (status)
            return status;
        at += part;
        offset += part;
        length -= part;
    }
    return 0;
}

/* What vanishes at the end needs no stable storage. */
static int snapshot_flush(struct blockdev *blockdev)
{
    return 0;
}

static void snapshot_close(struct blockdev *blockdev)
{
    struct snapshot *snapshot = blockdev->format_state;
    close(snapshot->fd);
    blockdev_close(snapshot->base);
    free(snapshot->present);
    free(snapshot);
}

static const struct blockdev_ops snapshot_ops = {
    .format = "snapshot",
    .read = snapshot_read,
    .write = snapshot_write,
    .flush = snapshot_flush,
    .close = snapshot_close,
};

static int open_temporary(struct error *error)
{
    const char *folder = getenv("TMPDIR");
    if (!folder || !*folder)
        folder = "/var/tmp";
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
    if (fd >= 0)
        return fd;
    char path[4096];
    if (snprintf(path, sizeof path, "%s/ring3-XXXXXX", folder) < (int)sizeof path &&
        (fd = mkostemp(path, O_CLOEXEC)) >= 0) {
        unlink(path);
        return fd;
    }
    return error_set(error, errno,
                     "%s: cannot create a temporary file for -snapshot: %s; set TMPDIR to a folder "
                     "that can be written",
                     folder, strerror(errno));
}

int blockdev_snapshot_open(struct blockdev **result, struct blockdev *base, struct error *error)
{
    uint64_t clusters = (base->bytes + CLUSTER_BYTES - 1) / CLUSTER_BYTES;
    struct blockdev *blockdev = calloc(1, sizeof *blockdev);
    struct snapshot *snapshot = calloc(1, sizeof *snapshot);
    uint64_t *present = calloc(clusters / 64 + 1, sizeof *present);
    char *path = strdup(base->path);
    int fd = open_temporary(error);
    if (fd < 0 || !blockdev || !snapshot || !present || !path) {
        int status = fd;
        if (fd >= 0) {
            close(fd);
            status =
                error_set(error, ENOMEM, "%s: no memory for a snapshot; free some", base->path);
        }
        free(blockdev);
        free(snapshot);
        free(present);
        free(path);
        return status;
    }
    snapshot->base = base;
    snapshot->fd = fd;
    snapshot->present = present;
    *blockdev = (struct blockdev){
        .ops = &snapshot_ops, .format_state = snapshot, .path = path, .bytes = base->bytes};
    *result = blockdev;
    return 0;
}
