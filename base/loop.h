/* The main thread's event loop: file descriptors, timers in host time, wake-ups from other threads.
 *
 * The loop owns the one lock of its machine.  It holds the lock while it runs callbacks and gives
 * it up while it waits, so that a callback may touch devices at once, and a watch or a timer may be
 * changed by any thread that holds the lock.
 *
 * INV-1: loop_lock() is taken by one thread at a time and is not recursive.
 * INV-2: a thread that waits for the lock gets it before a thread that has just given it up takes
 * it again through loop_lock() (a processor in a tight port loop does not starve the loop). INV-3:
 * after loop_unwatch() the callback is not called again, even when it was due.
 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include "base/clock.h"
#include "base/error.h"

#include <pthread.h>
#include <stdatomic.h>

struct pollfd;

struct loop_watch {
    int fd;
    short events; /* POLLIN, POLLOUT; 0: only errors and hang-up */
    void (*ready)(void *opaque, short events);
    void *opaque;
    uint64_t age; /* tells a watch from a later one of the same fd */
};

struct loop {
    pthread_mutex_t lock, turnstile;
    atomic_uint waiting; /* threads on their way through the turnstile */
    struct loop_watch *watches;
    size_t count, capacity;
    uint64_t age;
    struct pollfd *polled; /* what loop_run_once() waits for, with the ages of the watches */
    uint64_t *polled_ages;
    int wake_fd;
    struct clock clock; /* host time from loop_init() on, always running; fires on this thread */
    bool quit;
};

/* Negative errno on failure. */
int loop_init(struct loop *loop, struct error *error);
void loop_free(struct loop *loop);

void loop_lock(struct loop *loop);
void loop_unlock(struct loop *loop);

/* Calls `ready` on the main thread, with the lock held, whenever `fd` has one of `events` (or an
 * error, or a hang-up); a second call for the same fd replaces the first.  Lock held. */
void loop_watch(struct loop *loop, int fd, short events, void (*ready)(void *opaque, short events),
                void *opaque);
/* Lock held. */
void loop_unwatch(struct loop *loop, int fd);

/* Makes the loop look again at its watches, timers and `quit`; from any thread, lock held or not,
 * and from signal handlers. */
void loop_wake(struct loop *loop);

/* Waits once (at most until `until_ns` of loop->clock, CLOCK_NEVER: no limit) and runs what is
 * ready.  The lock is held by the caller, and given up while it waits. */
void loop_run_once(struct loop *loop, int64_t until_ns);
/* loop_run_once() until loop_quit(). */
void loop_run(struct loop *loop);
/* Ends loop_run(); from any thread with the lock held. */
void loop_quit(struct loop *loop);

#endif
