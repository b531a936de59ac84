/* A vCPU's alarm kicks the thread that made it, and not before its time. */
#include "base/clock.h"
#include "machine/alarm.h"
#include "tests/rig.h"

#include <signal.h>
#include <time.h>

static struct rig rig;
static struct alarm bell;

static int64_t now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * NS_PER_SECOND + at.tv_nsec;
}

GUEST_CODE(forever, ".code64\n1: inc rax\njmp 1b\n");

static void setup(void)
{
    struct error error;
    rig_init(&rig);
    rig_load(&rig, 0x20000, forever);
    rig_long(&rig, 0x20000, 3);
    cr_assert_eq(alarm_init(&bell, rig.cpu, &error), 0, "%s", error.text);
}
static void teardown(void)
{
    alarm_free(&bell);
    rig_free(&rig);
}
TestSuite(alarm, .init = setup, .fini = teardown, .timeout = 60);

Test(alarm, ends_an_endless_loop_when_its_time_has_come)
{
    for (unsigned i = 0; i < 5; i++) {
        const int64_t at = now() + 3000000;
        alarm_set(&bell, at);
        cr_assert_eq(cpu_run(rig.cpu), CPU_EXIT_KICKED);
        cr_assert_geq(now(), at);
    }
}

/*
 * Sets the alarm to a time that it is then set away from, to @at_ns, before that time has come: on
 * a busy machine it may take more than one attempt. Returns the time that must not ring.
 */
static int64_t set_instead(int64_t at_ns)
{
    for (int64_t ahead = 1000000;; ahead *= 2) {
        const int64_t never = now() + ahead;
        alarm_set(&bell, never);
        alarm_set(&bell, at_ns);
        if (now() < never)
            return never;
        if (cpu_has_wakeup(rig.cpu))
            cpu_run(rig.cpu);
    }
}

Test(alarm, the_last_time_set_counts)
{
    set_instead(now() + 3600 * NS_PER_SECOND);
    const int64_t at = now() + 20000000;
    alarm_set(&bell, at);
    cr_assert_eq(cpu_run(rig.cpu), CPU_EXIT_KICKED);
    cr_assert_geq(now(), at);
}

Test(alarm, what_is_past_is_at_once)
{
    static const int64_t past[] = {1, 0, -5, INT64_MIN};
    for (unsigned i = 0; i < ARRAY_LENGTH(past); i++) {
        alarm_set(&bell, past[i]);
        cr_assert_eq(cpu_run(rig.cpu), CPU_EXIT_KICKED);
    }
}

Test(alarm, turned_off_it_does_nothing)
{
    const int64_t until = set_instead(CLOCK_NEVER) + 30000000;
    while (now() < until)
        cr_assert_not(cpu_has_wakeup(rig.cpu));
    alarm_set(&bell, now());
    cr_assert_eq(cpu_run(rig.cpu), CPU_EXIT_KICKED);
}

/* Such a signal of somebody else's is not an alarm. */
Test(alarm, other_signals_are_let_pass)
{
    raise(SIGALRM);
    const int64_t at = now() + 20000000;
    alarm_set(&bell, at);
    cr_assert_eq(cpu_run(rig.cpu), CPU_EXIT_KICKED);
    cr_assert_geq(now(), at);
}
