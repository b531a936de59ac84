/* The virtual clock of one machine, in nanoseconds, and its timers.
 *
 * One owner: all calls but clock_now_ns() are made with the machine lock held.  While the machine
 * runs the clock follows the host's monotonic clock; while it is stopped the clock stands still.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NS_PER_SECOND INT64_C(1000000000)
#define CLOCK_NEVER   INT64_MAX

struct timer {
    struct clock *clock;
    void (*fire)(void *opaque);
    void *opaque;
    int64_t deadline_ns; /* CLOCK_NEVER: not armed */
    size_t heap_index;
};

struct clock {
    int64_t offset_ns;  /* virtual time = host monotonic time + offset while running */
    int64_t stopped_ns; /* the time shown while stopped */
    bool running;
    struct timer **heap; /* armed timers, earliest first */
    size_t count, capacity;
    void (*deadline_changed)(void *opaque); /* the earliest deadline moved nearer; may be NULL */
    void *opaque;
    int64_t (*source)(void *opaque); /* replaces the host clock in tests; NULL: host */
    void *source_opaque;
};

/* A stopped clock at 0. */
void clock_init(struct clock *clock);
void clock_free(struct clock *clock);
void clock_start(struct clock *clock);
void clock_stop(struct clock *clock);
/* Virtual time in ns since power-on, monotonic, safe from every thread. */
int64_t clock_now_ns(const struct clock *clock);
/* What `other`, which follows the same source (NULL: the source itself), shows when `clock` shows
 * `ns`; both run.  CLOCK_NEVER stays so, and is what lies beyond what can be told.  Exact, unlike a
 * sum of two readings, which holds whatever time passed between them. */
int64_t clock_convert_ns(const struct clock *clock, int64_t ns, const struct clock *other);
/* The earliest deadline, or CLOCK_NEVER. */
int64_t clock_deadline_ns(const struct clock *clock);
/* Fires every timer that is due, in order of deadline. */
void clock_run_due(struct clock *clock);

void timer_init(struct timer *timer, struct clock *clock, void (*fire)(void *), void *opaque);
/* Arms (or moves) the timer; a deadline in the past fires at the next clock_run_due(). */
void timer_arm(struct timer *timer, int64_t deadline_ns);
void timer_disarm(struct timer *timer);
static inline bool timer_armed(const struct timer *timer)
{
    return timer->deadline_ns != CLOCK_NEVER;
}

/* value * multiplier / divisor without overflow in between (divisor > 0). */
static inline uint64_t clock_scale(uint64_t value, uint32_t multiplier, uint32_t divisor)
{
    return (uint64_t)((unsigned __int128)value * multiplier / divisor);
}

#endif
