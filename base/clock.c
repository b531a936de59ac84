#include "base/clock.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t clock_source_ns(const struct clock *clock)
{
    if (clock->source)
        return clock->source(clock->source_opaque);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_SECOND + now.tv_nsec;
}

void clock_init(struct clock *clock)
{
    memset(clock, 0, sizeof *clock);
}

void clock_free(struct clock *clock)
{
    free(clock->heap);
    clock->heap = NULL;
    clock->count = clock->capacity = 0;
}

void clock_start(struct clock *clock)
{
    if (clock->running)
        return;
    clock->offset_ns = clock->stopped_ns - clock_source_ns(clock);
    clock->running = true;
}

void clock_stop(struct clock *clock)
{
    if (!clock->running)
        return;
    clock->stopped_ns = clock_now_ns(clock);
    clock->running = false;
}

int64_t clock_now_ns(const struct clock *clock)
{
    return clock->running ? clock_source_ns(clock) + clock->offset_ns : clock->stopped_ns;
}

int64_t clock_convert_ns(const struct clock *clock, int64_t ns, const struct clock *other)
{
    int64_t at, offset = (other ? other->offset_ns : 0) - clock->offset_ns;
    return ns == CLOCK_NEVER || __builtin_add_overflow(ns, offset, &at) ? CLOCK_NEVER : at;
}

int64_t clock_deadline_ns(const struct clock *clock)
{
    return clock->count ? clock->heap[0]->deadline_ns : CLOCK_NEVER;
}

static void heap_place(struct clock *clock, size_t index, struct timer *timer)
{
    clock->heap[index] = timer;
    timer->heap_index = index;
}

static void heap_up(struct clock *clock, size_t index)
{
    struct timer *timer = clock->heap[index];
    while (index > 0) {
        size_t parent = (index - 1) / 2;
        if (clock->heap[parent]->deadline_ns <= timer->deadline_ns)
            break;
        heap_place(clock, index, clock->heap[parent]);
        index = parent;
    }
    heap_place(clock, index, timer);
}

static void heap_down(struct clock *clock, size_t index)
{
    struct timer *timer = clock->heap[index];
    for (;;) {
        size_t child = 2 * index + 1;
        if (child >= clock->count)
            break;
        if (child + 1 < clock->count &&
            clock->heap[child + 1]->deadline_ns < clock->heap[child]->deadline_ns)
            child++;
        if (timer->deadline_ns <= clock->heap[child]->deadline_ns)
            break;
        heap_place(clock, index, clock->heap[child]);
        index = child;
    }
    heap_place(clock, index, timer);
}

void timer_init(struct timer *timer, struct clock *clock, void (*fire)(void *), void *opaque)
{
    *timer =
        (struct timer){.clock = clock, .fire = fire, .opaque = opaque, .deadline_ns = CLOCK_NEVER};
}

void timer_disarm(struct timer *timer)
{
    if (!timer_armed(timer))
        return;
    struct clock *clock = timer->clock;
    size_t index = timer->heap_index;
    struct timer *last = clock->heap[--clock->count];
    timer->deadline_ns = CLOCK_NEVER;
    if (last == timer)
        return;
    heap_place(clock, index, last);
    heap_up(clock, index);
    heap_down(clock, last->heap_index);
}

void timer_arm(struct timer *timer, int64_t deadline_ns)
{
    struct clock *clock = timer->clock;
    timer_disarm(timer);
    if (deadline_ns == CLOCK_NEVER)
        return;
    if (clock->count == clock->capacity) {
        clock->capacity = clock->capacity ? 2 * clock->capacity : 16;
        clock->heap = realloc(clock->heap, clock->capacity * sizeof *clock->heap);
        BUG_ON(!clock->heap);
    }
    timer->deadline_ns = deadline_ns;
    heap_place(clock, clock->count++, timer);
    heap_up(clock, clock->count - 1);
    if (clock->heap[0] == timer && clock->deadline_changed)
        clock->deadline_changed(clock->opaque);
}

void clock_run_due(struct clock *clock)
{
    int64_t now = clock_now_ns(clock);
    while (clock->count && clock->heap[0]->deadline_ns <= now) {
        struct timer *timer = clock->heap[0];
        timer_disarm(timer);
        timer->fire(timer->opaque);
    }
}
