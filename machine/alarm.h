/* An alarm of a vCPU: at a time of the host's clock its own thread is kicked, by a signal.
 *
 * WHY: another thread that waits for the deadline is woken to set it and woken again when it has
 * come, some thousand times a second, and each costs what a hundred thousand instructions do.
 */
#ifndef MACHINE_ALARM_H
#define MACHINE_ALARM_H

#include "cpu/cpu.h"

#include <time.h>

struct alarm {
    timer_t timer;
    int64_t at_ns; /* CLOCK_NEVER: off */
    bool ready;
};

/* For the calling thread, which runs `cpu`.  Negative errno when the host has no timer left. */
int alarm_init(struct alarm *alarm, struct cpu *cpu, struct error *error);
/* No-op unless alarm_init() has succeeded. */
void alarm_free(struct alarm *alarm);
/* cpu_kick() at `at_ns` of CLOCK_MONOTONIC (at once if that is past), and not when it was set to
 * before; CLOCK_NEVER: not at all.  Before alarm_init() nothing happens.  From any thread, one at a
 * time. */
void alarm_set(struct alarm *alarm, int64_t at_ns);

#endif
