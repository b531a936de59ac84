/* What the formats of the block layer share among themselves. */
#ifndef HW_BLOCKDEV_PRIV_H
#define HW_BLOCKDEV_PRIV_H

#include "hw/blockdev.h"

extern const struct blockdev_ops blockdev_raw_ops;

/* `length` bytes of a file at `offset`: all of them, or a negative errno.  -EIO: the file ends
 * before. */
int blockdev_file_read(int fd, uint64_t offset, void *to, size_t length);
int blockdev_file_write(int fd, uint64_t offset, const void *from, size_t length);

/* Stacks an overlay in a temporary file on `base`, which it owns from then on; on failure `base` is
 * as it was. */
int blockdev_snapshot_open(struct blockdev **result, struct blockdev *base, struct error *error);

#endif
