#include "base/loop.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

static void loop_deadline_changed(void *opaque)
{
    loop_wake(opaque);
}

int loop_init(struct loop *loop, struct error *error)
{
    memset(loop, 0, sizeof *loop);
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->wake_fd < 0)
        return error_set(error, errno, "event loop: no eventfd: %s; raise the limit of open files",
                         strerror(errno));
    pthread_mutex_init(&loop->lock, NULL);
    pthread_mutex_init(&loop->turnstile, NULL);
    clock_init(&loop->clock);
    loop->clock.deadline_changed = loop_deadline_changed;
    loop->clock.opaque = loop;
    clock_start(&loop->clock);
    return 0;
}

void loop_free(struct loop *loop)
{
    clock_free(&loop->clock);
    pthread_mutex_destroy(&loop->turnstile);
    pthread_mutex_destroy(&loop->lock);
    close(loop->wake_fd);
    free(loop->watches);
    free(loop->polled);
    free(loop->polled_ages);
    loop->watches = NULL;
    loop->polled = NULL;
    loop->polled_ages = NULL;
    loop->count = loop->capacity = 0;
}

void loop_lock(struct loop *loop)
{
    if (likely(atomic_load_explicit(&loop->waiting, memory_order_relaxed) == 0 &&
               pthread_mutex_trylock(&loop->lock) == 0))
        return;
    atomic_fetch_add(&loop->waiting, 1);
    pthread_mutex_lock(&loop->turnstile);
    pthread_mutex_lock(&loop->lock);
    atomic_fetch_sub(&loop->waiting, 1);
    pthread_mutex_unlock(&loop->turnstile);
}

void loop_unlock(struct loop *loop)
{
    pthread_mutex_unlock(&loop->lock);
}

static struct loop_watch *loop_find(struct loop *loop, int fd)
{
    for (size_t i = 0; i < loop->count; i++)
        if (loop->watches[i].fd == fd)
            return &loop->watches[i];
    return NULL;
}

static struct loop_watch *loop_append(struct loop *loop)
{
    if (loop->count == loop->capacity) {
        loop->capacity = loop->capacity ? 2 * loop->capacity : 8;
        loop->watches = realloc(loop->watches, loop->capacity * sizeof *loop->watches);
        BUG_ON(!loop->watches);
    }
    return &loop->watches[loop->count++];
}

void loop_watch(struct loop *loop, int fd, short events, void (*ready)(void *, short), void *opaque)
{
    struct loop_watch *watch = loop_find(loop, fd);
    if (!watch)
        watch = loop_append(loop);
    *watch = (struct loop_watch){fd, events, ready, opaque, ++loop->age};
    loop_wake(loop);
}

void loop_unwatch(struct loop *loop, int fd)
{
    struct loop_watch *watch = loop_find(loop, fd);
    if (watch)
        *watch = loop->watches[--loop->count];
}

void loop_wake(struct loop *loop)
{
    uint64_t one = 1;
    int saved = errno;
    /* WHY: the write can fail only when the counter is full, and then the loop is awake anyway. */
    ssize_t written = write(loop->wake_fd, &one, sizeof one);
    (void)written;
    errno = saved;
}

/* What to wait for: the wake-up first, then the watches with their ages. */
static size_t loop_collect(struct loop *loop)
{
    size_t count = loop->count + 1;
    loop->polled = realloc(loop->polled, count * sizeof *loop->polled);
    loop->polled_ages = realloc(loop->polled_ages, count * sizeof *loop->polled_ages);
    BUG_ON(!loop->polled || !loop->polled_ages);
    loop->polled[0] = (struct pollfd){.fd = loop->wake_fd, .events = POLLIN};
    for (size_t i = 0; i < loop->count; i++) {
        const struct loop_watch *watch = &loop->watches[i];
        loop->polled[i + 1] = (struct pollfd){.fd = watch->fd, .events = watch->events};
        loop->polled_ages[i + 1] = watch->age;
    }
    return count;
}

static void loop_wait(struct loop *loop, size_t count, int64_t until_ns)
{
    int64_t deadline = clock_deadline_ns(&loop->clock);
    struct timespec span, *limit = NULL;
    if (until_ns < deadline)
        deadline = until_ns;
    if (loop->quit)
        deadline = 0;
    if (deadline != CLOCK_NEVER) {
        int64_t left = deadline - clock_now_ns(&loop->clock);
        if (left < 0)
            left = 0;
        span = (struct timespec){left / NS_PER_SECOND, left % NS_PER_SECOND};
        limit = &span;
    }
    loop_unlock(loop);
    if (ppoll(loop->polled, count, limit, NULL) < 0)
        for (size_t i = 0; i < count; i++)
            loop->polled[i].revents = 0;
    loop_lock(loop);
}

void loop_run_once(struct loop *loop, int64_t until_ns)
{
    size_t count = loop_collect(loop);
    loop_wait(loop, count, until_ns);
    if (loop->polled[0].revents) {
        uint64_t drained;
        ssize_t got = read(loop->wake_fd, &drained, sizeof drained);
        (void)got;
    }
    for (size_t i = 1; i < count; i++) {
        if (!loop->polled[i].revents)
            continue;
        struct loop_watch *watch = loop_find(loop, loop->polled[i].fd);
        if (watch && watch->age == loop->polled_ages[i])
            watch->ready(watch->opaque, loop->polled[i].revents);
    }
    clock_run_due(&loop->clock);
}

void loop_run(struct loop *loop)
{
    while (!loop->quit)
        loop_run_once(loop, CLOCK_NEVER);
}

void loop_quit(struct loop *loop)
{
    loop->quit = true;
    loop_wake(loop);
}
