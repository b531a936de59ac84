/* What the formats of the block layer share among themselves. */
#ifndef HW_BLOCKDEV_PRIV_H
#define HW_BLOCKDEV_PRIV_H

#include "hw/blockdev.h"

extern const struct blockdev_ops blockdev_raw_ops;

/* Stacks an overlay in a temporary file on `base`, which it owns from then on; on failure `base` is
 * as it was. */
int blockdev_snapshot_open(struct blockdev **result, struct blockdev *base, struct error *error);

#endif
