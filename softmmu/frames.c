#include "softmmu/frames.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int frames_init(struct frames *frames, uint64_t bytes, struct error *error)
{
    *frames = (struct frames){.fd = -1};
    uint64_t count = (bytes + PAGE_BYTES - 1) / PAGE_BYTES + 1;
    if (count >= UINT32_MAX)
        return error_set(error, EINVAL,
                         "%llu MiB of machine memory is more than 16 TiB; ask for less",
                         (unsigned long long)(bytes >> 20));
    frames->budget = (uint32_t)count;
    frames->run_mask = 1;
    while (frames->run_mask < count / FRAMES_RUN)
        frames->run_mask = frames->run_mask << 1 | 1;
    frames->fd = memfd_create("ring3-frames", MFD_CLOEXEC);
    if (frames->fd < 0 || ftruncate(frames->fd, (off_t)(count << PAGE_SHIFT)) < 0)
        goto failed;
    frames->host =
        mmap(NULL, count << PAGE_SHIFT, PROT_READ | PROT_WRITE, MAP_SHARED, frames->fd, 0);
    if (frames->host == MAP_FAILED) {
        frames->host = NULL;
        goto failed;
    }
    frames->references = calloc(count, sizeof *frames->references);
    frames->returned = malloc(count * sizeof *frames->returned);
    if (!frames->references || !frames->returned) {
        errno = ENOMEM;
        goto failed;
    }
    /* INV-2: a stray write to the zero page is our own bug and ends in SIGSEGV. */
    if (mprotect(frames->host, PAGE_BYTES, PROT_READ) < 0)
        goto failed;
    pthread_mutex_init(&frames->lock, NULL);
    frames->used = 1;
    frames->references[FRAMES_ZERO.v] = 1;
    return 0;

failed:;
    int failure = errno;
    frames_free(frames);
    return error_set(error, failure, "cannot reserve %llu MiB of machine memory: %s; lower -m",
                     (unsigned long long)(bytes >> 20), strerror(failure));
}

void frames_free(struct frames *frames)
{
    if (frames->used)
        pthread_mutex_destroy(&frames->lock);
    if (frames->host)
        munmap(frames->host, (uint64_t)frames->budget << PAGE_SHIFT);
    if (frames->fd >= 0)
        close(frames->fd);
    free(frames->references);
    free(frames->returned);
    *frames = (struct frames){.fd = -1};
}

/* The n-th fresh frame, run by run: an odd multiple modulo a power of two visits every number once;
 * those beyond the budget, and the zero page, are passed over. */
static mpn_t frames_fresh(struct frames *frames)
{
    while (frames->next_fresh / FRAMES_RUN <= frames->run_mask) {
        const uint64_t n = frames->next_fresh++;
        const uint64_t run = n / FRAMES_RUN * UINT64_C(0x9e3779b5) & frames->run_mask;
        const uint64_t frame = run * FRAMES_RUN + n % FRAMES_RUN;
        if (frame < frames->budget && frame != FRAMES_ZERO.v)
            return MPN((uint32_t)frame);
    }
    return MPN_NONE;
}

mpn_t frames_take(struct frames *frames)
{
    pthread_mutex_lock(&frames->lock);
    mpn_t mpn = frames->returned_count ? MPN(frames->returned[--frames->returned_count])
                                       : frames_fresh(frames);
    if (mpn.v != MPN_NONE.v) {
        frames->references[mpn.v] = 1;
        frames->used++;
    }
    pthread_mutex_unlock(&frames->lock);
    return mpn;
}

void frames_hold(struct frames *frames, mpn_t mpn)
{
    pthread_mutex_lock(&frames->lock);
    frames->references[mpn.v]++;
    pthread_mutex_unlock(&frames->lock);
}

/* Frames without a reference are handed out again. */
static void frames_return(struct frames *frames, uint32_t first, uint32_t count)
{
    if (!count)
        return;
    /* A hole reads as zeros again and costs the host nothing. */
    if (fallocate(frames->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                  (off_t)first << PAGE_SHIFT, (off_t)count << PAGE_SHIFT) < 0)
        memset(frames_host(frames, MPN(first)), 0, (size_t)count << PAGE_SHIFT);
    for (uint32_t i = count; i-- > 0;) /* the first is the next to be taken */
        frames->returned[frames->returned_count++] = first + i;
    frames->used -= count;
}

void frames_drop(struct frames *frames, mpn_t first, uint32_t count)
{
    pthread_mutex_lock(&frames->lock);
    uint32_t idle = 0; /* so many before `n` */
    for (uint32_t n = first.v; n < first.v + count; n++) {
        BUG_ON(frames->references[n] == 0);
        if (--frames->references[n] == 0) {
            idle++;
            continue;
        }
        frames_return(frames, n - idle, idle);
        idle = 0;
    }
    frames_return(frames, first.v + count - idle, idle);
    pthread_mutex_unlock(&frames->lock);
}
