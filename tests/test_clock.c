/* base/clock: order of timers, time standing still while stopped. */
#include "base/clock.h"

#include <criterion/criterion.h>

static int64_t fake_now;
static int64_t fake_source(void *opaque)
{
    return fake_now;
}

static int fired[8], fired_count;
static void fire(void *opaque)
{
    fired[fired_count++] = *(int *)opaque;
}

Test(clock, timers_fire_in_order_of_deadline)
{
    struct clock clock;
    clock_init(&clock);
    clock.source = fake_source;
    clock_start(&clock);
    static int ids[] = {0, 1, 2, 3, 4};
    static const int64_t deadlines[] = {50, 10, 40, 20, 30};
    struct timer timers[5];
    for (int i = 0; i < 5; i++) {
        timer_init(&timers[i], &clock, fire, &ids[i]);
        timer_arm(&timers[i], deadlines[i]);
    }
    timer_disarm(&timers[2]);
    cr_assert_eq(clock_deadline_ns(&clock), 10);
    fake_now = 35;
    clock_run_due(&clock);
    cr_assert_eq(fired_count, 3);
    cr_assert(fired[0] == 1 && fired[1] == 3 && fired[2] == 4);
    fake_now = 100;
    clock_run_due(&clock);
    cr_assert(fired_count == 4 && fired[3] == 0);
    cr_assert_eq(clock_deadline_ns(&clock), CLOCK_NEVER);
    clock_free(&clock);
}

Test(clock, converts_between_clocks)
{
    struct clock guest, host;
    clock_init(&guest);
    clock_init(&host);
    guest.source = host.source = fake_source;
    fake_now = 1000;
    clock_start(&host);
    fake_now = 5000;
    clock_start(&guest);
    int64_t at = clock_convert_ns(&guest, 70, &host);
    cr_assert_eq(clock_convert_ns(&guest, 70, NULL), 5070);
    fake_now = 5070;
    cr_assert_eq(clock_now_ns(&guest), 70);
    cr_assert_eq(clock_now_ns(&host), at);
    cr_assert_eq(clock_convert_ns(&guest, CLOCK_NEVER - 1, &host), CLOCK_NEVER);
    cr_assert_eq(clock_convert_ns(&guest, CLOCK_NEVER - 1, NULL), CLOCK_NEVER);
    cr_assert_eq(clock_convert_ns(&guest, CLOCK_NEVER, &host), CLOCK_NEVER);
    cr_assert_eq(clock_convert_ns(&host, CLOCK_NEVER, &guest), CLOCK_NEVER);
    clock_free(&guest);
    clock_free(&host);
}

Test(clock, stands_still_while_stopped)
{
    struct clock clock;
    clock_init(&clock);
    clock.source = fake_source;
    fake_now = 1000;
    cr_assert_eq(clock_now_ns(&clock), 0);
    clock_start(&clock);
    fake_now = 1500;
    cr_assert_eq(clock_now_ns(&clock), 500);
    clock_stop(&clock);
    fake_now = 9000;
    cr_assert_eq(clock_now_ns(&clock), 500);
    clock_start(&clock);
    fake_now = 9001;
    cr_assert_eq(clock_now_ns(&clock), 501);
    clock_free(&clock);
}
