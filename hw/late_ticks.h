/* Ticks of a periodic timer that a busy host was late for.
 *
 * They are made up for, 32 to the period, so that a guest that counts ticks keeps its time and one
 * that waits for some (Linux gives its timer 160 ms for five) sees them.  Not saved: after a load
 * nothing is made up for.
 *
 * LIMIT: ticks faster than 1 kHz, and those of stalls beyond a quarter of a second, stay lost.
 */
#ifndef HW_LATE_TICKS_H
#define HW_LATE_TICKS_H

#include "base/clock.h"

enum { LATE_TICKS_NS = 250000000, LATE_TICK_NS_MIN = 900000, LATE_TICKS_PER_PERIOD = 32 };

struct late_ticks {
    uint64_t count;
    int64_t spacing_ns, next_ns;
};

/* A tick comes now, and `missed` before it should have come. */
static inline void late_ticks_note(struct late_ticks *late, uint64_t missed, int64_t period_ns,
                                   int64_t now)
{
    uint64_t most = period_ns < LATE_TICK_NS_MIN ? 0 : (uint64_t)(LATE_TICKS_NS / period_ns);
    late->count = missed > most || late->count > most - missed ? most : late->count + missed;
    late->spacing_ns = period_ns / LATE_TICKS_PER_PERIOD;
    late->next_ns = now + late->spacing_ns;
}

/* Does one come now? */
static inline bool late_ticks_take(struct late_ticks *late, int64_t now)
{
    if (!late->count || now < late->next_ns)
        return false;
    late->count--;
    late->next_ns = now + late->spacing_ns;
    return true;
}

static inline int64_t late_ticks_deadline(const struct late_ticks *late)
{
    return late->count ? late->next_ns : CLOCK_NEVER;
}

#endif
