/* hw/rtc against the MC146818A datasheet; dates against the host's C library. */
#include "hw/rtc.h"

#include "chip_rig.h"

#include <time.h>

#define MILLISECOND INT64_C(1000000)
#define BASE        INT64_C(1700000000) /* Tue 2023-11-14 22:13:20 UTC */

static struct rig rig;
static struct rtc rtc;

static uint8_t get(uint8_t index)
{
    rig_out(&rig, 0x70, index);
    return rig_in(&rig, 0x71);
}

static void set(uint8_t index, uint8_t value)
{
    rig_out(&rig, 0x70, index);
    rig_out(&rig, 0x71, value);
}

static void set_up_within(int64_t base, int64_t ns)
{
    rig_init(&rig);
    rtc_attach(&rtc, &rig.ports, &rig.clock, rig_line(&rig, 0),
               (struct timespec){.tv_sec = base, .tv_nsec = ns});
    rtc_class.reset(&rtc, RESET_POWER_ON);
}

static void set_up_at(int64_t base)
{
    set_up_within(base, 0);
}

static void set_up(void)
{
    set_up_at(BASE);
}

static unsigned from_bcd(uint8_t value)
{
    return (value >> 4) * 10 + (value & 15);
}

static int64_t seconds_shown(void)
{
    struct tm tm = {.tm_sec = (int)from_bcd(get(0)),
                    .tm_min = (int)from_bcd(get(2)),
                    .tm_hour = (int)from_bcd(get(4)),
                    .tm_mday = (int)from_bcd(get(7)),
                    .tm_mon = (int)from_bcd(get(8)) - 1,
                    .tm_year = (int)(from_bcd(get(0x32)) * 100 + from_bcd(get(9))) - 1900};
    return timegm(&tm);
}

Test(rtc, shows_the_dates_that_the_c_library_does)
{
    unsigned seed = 1;
    for (unsigned round = 0; round < 20000; round++) {
        /* 1900 to 2199, and the days around the ends of centuries and Februaries */
        int64_t base = (int64_t)((rand_r(&seed) * 2147483648.0 + rand_r(&seed)) / 4.6e18 * 9.4e9) -
                       INT64_C(2208988800);
        set_up_at(base);
        time_t when = base;
        struct tm tm;
        gmtime_r(&when, &tm);
        cr_assert_eq(seconds_shown(), base, "%lld", (long long)base);
        cr_assert_eq(get(6), tm.tm_wday + 1, "day of the week at %lld", (long long)base);
        rig_free(&rig);
    }
    static const int64_t days[] = {11015, 11016, 11017, 47541, 47540, -25509, -25508, 0, -1, 18321};
    for (unsigned i = 0; i < ARRAY_LENGTH(days); i++) {
        set_up_at(days[i] * 86400 + 86399);
        cr_assert_eq(seconds_shown(), days[i] * 86400 + 86399);
        rig_run(&rig, NS_PER_SECOND);
        cr_assert_eq(seconds_shown(), days[i] * 86400 + 86400);
        rig_free(&rig);
    }
}

Test(rtc, runs_with_the_clock)
{
    set_up();
    rig_run(&rig, 999 * MILLISECOND);
    cr_assert_eq(seconds_shown(), BASE);
    rig_run(&rig, MILLISECOND);
    cr_assert_eq(seconds_shown(), BASE + 1);
    rig_run(&rig, 86400 * NS_PER_SECOND);
    cr_assert_eq(seconds_shown(), BASE + 86401);
    cr_assert_eq(clock_deadline_ns(&rig.clock), CLOCK_NEVER, "and costs nothing");
    rig_free(&rig);
}

Test(rtc, seconds_begin_where_the_base_says)
{
    set_up_within(BASE, 750 * MILLISECOND);
    set(0x0b, 0x12); /* an interrupt at each update */
    rig_run(&rig, 250 * MILLISECOND - 1);
    cr_assert_eq(seconds_shown(), BASE);
    cr_assert(get(0x0a) & 0x80, "an update is in progress");
    cr_assert_eq(get(0x0c) & 0x10, 0);
    rig_run(&rig, 1);
    cr_assert_eq(seconds_shown(), BASE + 1);
    cr_assert_eq(get(0x0c) & 0x90, 0x90);
    rig_run(&rig, NS_PER_SECOND - 1);
    cr_assert_eq(seconds_shown(), BASE + 1);
    rig_run(&rig, 1);
    cr_assert_eq(seconds_shown(), BASE + 2);
    rig_check_round_trip(&rtc_class, &rtc);
    rig_free(&rig);
}

Test(rtc, hours_and_formats)
{
    static const uint8_t twelve[] = {0x12, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07,
                                     0x08, 0x09, 0x10, 0x11, 0x92, 0x81, 0x82, 0x83,
                                     0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x90, 0x91};
    for (unsigned hour = 0; hour < 24; hour++) {
        set_up_at(BASE / 86400 * 86400 + hour * 3600);
        set(0x0b, 0x00);
        cr_assert_eq(get(4), twelve[hour]);
        set(0x0b, 0x80);
        set(4, twelve[hour]);
        set(0x0b, 0x00);
        set(0x0b, 0x06);
        cr_assert_eq(get(4), hour);
        set(0x0b, 0x04);
        unsigned value = (hour % 12 ? hour % 12 : 12) | (hour >= 12 ? 0x80 : 0);
        cr_assert_eq(get(4), value);
        rig_free(&rig);
    }
}

Test(rtc, setting_the_time)
{
    set_up();
    set(0x0b, 0x82);
    set(0, 0x58);
    set(2, 0x59);
    set(4, 0x23);
    set(7, 0x28);
    set(8, 0x02);
    set(9, 0x24);
    set(0x32, 0x20);
    rig_run(&rig, 10 * NS_PER_SECOND);
    cr_assert_eq(get(0), 0x58, "SET holds the time");
    set(0x0b, 0x02);
    rig_run(&rig, 2 * NS_PER_SECOND);
    cr_assert_eq(get(7), 0x29);
    cr_assert_eq(get(8), 0x02);
    cr_assert_eq(get(4), 0x00);
    cr_assert_eq(get(6), 5, "2024-02-29 was a Thursday");
    rig_free(&rig);
}

Test(rtc, update_in_progress_precedes_the_update)
{
    set_up();
    unsigned up = 0;
    for (unsigned i = 0; i < 100000; i++) { /* one second in steps of 10 µs */
        bool uip = get(0x0a) & 0x80;
        up += uip;
        cr_assert_eq(seconds_shown(), BASE);
        if (uip)
            cr_assert_gt(rig.now, 997 * MILLISECOND);
        rig_run_to(&rig, (i + 1) * INT64_C(10000) - 1);
    }
    cr_assert(up >= 220 && up <= 225, "%u", up);
    rig_run(&rig, 1);
    cr_assert_eq(seconds_shown(), BASE + 1);
    cr_assert_not(get(0x0a) & 0x80);
    set(0x0b, 0x82);
    rig_run(&rig, 999 * MILLISECOND);
    cr_assert_not(get(0x0a) & 0x80, "SET aborts updates");
    rig_free(&rig);
}

Test(rtc, divider_reset_starts_half_a_second_before_an_update)
{
    set_up();
    rig_run(&rig, 300 * MILLISECOND);
    set(0x0a, 0x76);
    rig_run(&rig, 5 * NS_PER_SECOND);
    cr_assert_eq(seconds_shown(), BASE);
    set(0x0a, 0x26);
    rig_run(&rig, 499 * MILLISECOND);
    cr_assert_eq(seconds_shown(), BASE);
    rig_run(&rig, 2 * MILLISECOND);
    cr_assert_eq(seconds_shown(), BASE + 1);
    rig_free(&rig);
}

Test(rtc, periodic_interrupts_at_every_rate)
{
    for (unsigned rate = 1; rate < 16; rate++) {
        set_up();
        unsigned hertz = rate <= 2 ? 32768 >> (rate + 6) : 32768 >> (rate - 1);
        set(0x0a, (uint8_t)(0x20 | rate));
        set(0x0b, 0x42);
        unsigned count = 0;
        while (rig.now < 2 * NS_PER_SECOND) {
            int64_t deadline = clock_deadline_ns(&rig.clock);
            cr_assert_neq(deadline, CLOCK_NEVER);
            rig_run_to(&rig, deadline);
            cr_assert_eq(rig.level[0], 1);
            cr_assert_eq(get(0x0c) & 0xc0, 0xc0);
            cr_assert_eq(rig.level[0], 0);
            count++;
        }
        cr_assert(count >= 2 * hertz - 1 && count <= 2 * hertz + 1, "rate %u: %u", rate, count);
        rig_free(&rig);
    }
}

Test(rtc, an_unanswered_interrupt_costs_nothing_more)
{
    set_up();
    set(0x0b, 0x72);
    rig_run(&rig, 2 * NS_PER_SECOND);
    cr_assert_eq(rig.rises[0], 1);
    set(0x0b, 0x42);
    cr_assert_eq(clock_deadline_ns(&rig.clock), CLOCK_NEVER);
    rig_stall(&rig, 100 * NS_PER_SECOND);
    cr_assert_eq(get(0x0c) & 0xd0, 0xd0);
    cr_assert_neq(clock_deadline_ns(&rig.clock), CLOCK_NEVER);
    cr_assert_leq(clock_deadline_ns(&rig.clock), rig.now + MILLISECOND);
    rig_free(&rig);
}

Test(rtc, flags_are_set_without_interrupts)
{
    set_up();
    get(0x0c);
    cr_assert_eq(get(0x0c), 0);
    rig_run(&rig, 1100 * MILLISECOND);
    cr_assert_eq(get(0x0c), 0x50, "periodic and update, no interrupt");
    cr_assert_eq(rig.rises[0], 0);
    set(0x0b, 0x12);
    rig_run(&rig, NS_PER_SECOND);
    cr_assert_eq(rig.level[0], 1);
    cr_assert_eq(get(0x0c), 0xd0);
    set(0x0b, 0x92);
    cr_assert_eq(get(0x0b), 0x82, "SET clears UIE");
    rig_free(&rig);
}

Test(rtc, alarms)
{
    set_up(); /* 22:13:20 */
    set(1, 0x05);
    set(3, 0x15);
    set(5, 0x22);
    set(0x0b, 0x22);
    rig_run(&rig, 104 * NS_PER_SECOND);
    cr_assert_eq(rig.level[0], 0);
    rig_run(&rig, NS_PER_SECOND);
    cr_assert_eq(rig.level[0], 1);
    cr_assert_eq(get(0x0c) & 0xa0, 0xa0);
    rig_run(&rig, 86399 * NS_PER_SECOND);
    cr_assert_eq(rig.level[0], 0);
    rig_run(&rig, NS_PER_SECOND);
    cr_assert_eq(rig.level[0], 1, "once a day");
    get(0x0c);
    set(1, 0xc0);
    set(3, 0xff);
    set(5, 0xff); /* every second */
    for (unsigned i = 0; i < 100; i++) {
        rig_run(&rig, NS_PER_SECOND);
        cr_assert(get(0x0c) & 0x20);
    }
    set(5, 0x77); /* an hour that never comes */
    rig_run(&rig, NS_PER_SECOND);
    get(0x0c);
    rig_run(&rig, 3 * 86400 * NS_PER_SECOND);
    cr_assert_not(get(0x0c) & 0x20);
    cr_assert_eq(clock_deadline_ns(&rig.clock), CLOCK_NEVER);
    rig_free(&rig);
}

Test(rtc, ram_and_read_only_registers)
{
    set_up();
    for (unsigned i = 0x0e; i < 0x80; i++)
        if (i != RTC_CENTURY)
            set((uint8_t)i, (uint8_t)(i * 7));
    for (unsigned i = 0x0e; i < 0x80; i++)
        if (i != RTC_CENTURY)
            cr_assert_eq(get((uint8_t)i), (uint8_t)(i * 7));
    set(0x8e, 0x55); /* bit 7 is the NMI mask */
    cr_assert_eq(rtc_cmos(&rtc, 0x0e), 0x55);
    cr_assert_eq(get(0x0d), 0x80);
    set(0x0d, 0);
    set(0x0c, 0xff);
    cr_assert_eq(get(0x0d), 0x80);
    cr_assert_eq(get(0x0c) & 0x8f, 0);
    set(0x0a, 0xa6);
    cr_assert_eq(get(0x0a), 0x26);
    cr_assert_eq(rig_in(&rig, 0x70), 0xff);
    rtc_class.reset(&rtc, RESET_SYSTEM);
    cr_assert_eq(rtc_cmos(&rtc, 0x20), (uint8_t)(0x20 * 7), "a reset keeps the RAM");
    rig_free(&rig);
}

Test(rtc, keeps_its_state)
{
    set_up();
    set(0x0b, 0x62);
    set(0x33, 0x44);
    rig_run(&rig, 123 * MILLISECOND);
    get(0x0c);
    rig_check_round_trip(&rtc_class, &rtc);
    cr_assert_eq(seconds_shown(), BASE);
    cr_assert_neq(clock_deadline_ns(&rig.clock), CLOCK_NEVER);
    rig_check_reset(&rtc_class, &rtc);
    unsigned seed = 1;
    for (unsigned round = 0; round < 5000; round++) {
        rig_load_noise(&rtc_class, &rtc, &seed);
        if (round % 2) {
            rtc.state.seconds = rand_r(&seed);
            rtc.state.flags_ns = rig.now - rand_r(&seed) % 1000;
            rtc.state.phase_ns = rig.now - rand_r(&seed);
        }
        if (rtc_class.after_load(&rtc, NULL) < 0)
            continue;
        for (unsigned i = 0; i < 10; i++) {
            set((uint8_t)(rand_r(&seed) % 14), (uint8_t)rand_r(&seed));
            get((uint8_t)(rand_r(&seed) % 14));
        }
        rig_stall(&rig, 100000);
    }
    rig_free(&rig);
}
