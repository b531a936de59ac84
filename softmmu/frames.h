/* Machine memory: the 4 KiB frames (MPN) that ring3 owns, out of one memfd.
 *
 * INV-1: at most `budget` frames are in use; asking for one more fails, it never overcommits.
 * INV-2: frame 0 is the zero page: shared by every PPN never written, never written itself.
 * INV-3: a frame's reference count is the number of PPNs (of all maps) that name it.
 * Frames are handed out scattered on purpose, so that nothing comes to lean on contiguity, but by
 * runs: what is touched in order often lies together, which saves the window tier host mappings.
 */
#ifndef SOFTMMU_FRAMES_H
#define SOFTMMU_FRAMES_H

#include "base/error.h"
#include "base/types.h"

#include <pthread.h>

enum { FRAMES_RUN = 16 };

struct frames {
    uint8_t *host; /* the memfd, mapped whole: frame n is at host + n * 4096 */
    int fd;
    uint32_t budget; /* frames, the zero page among them */
    uint32_t used;
    uint32_t *references;
    uint32_t *returned; /* a stack of frames given back */
    uint32_t returned_count;
    uint64_t next_fresh, run_mask; /* the walk over frames never used yet, and over their runs */
    pthread_mutex_t lock;          /* frames are taken by vCPUs and by DMA */
};

#define FRAMES_ZERO MPN(0)

/* Reserves `bytes` (rounded up to pages) plus the zero page; host memory is used only as frames are
 * written.  Negative errno on failure. */
int frames_init(struct frames *frames, uint64_t bytes, struct error *error);
void frames_free(struct frames *frames);
/* A zeroed frame with one reference, or MPN_NONE when the budget is spent. */
mpn_t frames_take(struct frames *frames);
void frames_hold(struct frames *frames, mpn_t mpn);
/* Drops one reference of each of `count` frames from `first` on; the last returns the frame and its
 * host memory. */
void frames_drop(struct frames *frames, mpn_t first, uint32_t count);

static inline uint8_t *frames_host(const struct frames *frames, mpn_t mpn)
{
    return frames->host + ((uint64_t)mpn.v << PAGE_SHIFT);
}

#endif
