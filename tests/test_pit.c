/* hw/pit against the 82C54 datasheet, on a clock that the test turns. */
#include "hw/pit.h"

#include "chip_rig.h"

static struct rig rig;
static struct pit pit;

/* The first nanosecond of a tick of the counters' clock. */
static int64_t tick(int64_t n)
{
    return (int64_t)(((unsigned __int128)n * NS_PER_SECOND + PIT_HZ - 1) / PIT_HZ);
}

static int64_t ticks_now(void)
{
    return (int64_t)clock_scale((uint64_t)rig.now, PIT_HZ, NS_PER_SECOND);
}

static void run_ticks(int64_t n)
{
    rig_run_to(&rig, tick(ticks_now() + n));
}

static void set_up(void)
{
    rig_init(&rig);
    pit_attach(&pit, &rig.ports, &rig.clock, rig_line(&rig, 0));
    pit_class.reset(&pit, RESET_POWER_ON);
    rig_run_to(&rig, tick(1000));
}

/* RW 3 (low, high), binary. */
static void program(unsigned n, unsigned mode, uint16_t count)
{
    rig_out(&rig, 0x43, (uint8_t)(n << 6 | 0x30 | mode << 1));
    rig_out(&rig, (uint16_t)(0x40 + n), (uint8_t)count);
    rig_out(&rig, (uint16_t)(0x40 + n), (uint8_t)(count >> 8));
}

static uint16_t latch(unsigned n)
{
    rig_out(&rig, 0x43, (uint8_t)(n << 6));
    uint8_t low = rig_in(&rig, (uint16_t)(0x40 + n));
    return (uint16_t)(low | rig_in(&rig, (uint16_t)(0x40 + n)) << 8);
}

static uint8_t status(unsigned n)
{
    rig_out(&rig, 0x43, (uint8_t)(0xe0 | 2 << n));
    return rig_in(&rig, (uint16_t)(0x40 + n));
}

static bool out(unsigned n)
{
    return status(n) & 0x80;
}

static void gate2(bool level)
{
    rig_out(&rig, 0x61, level);
}

/* The count is loaded at the tick after the write; from there `expected_out` and the count follow
 * the formulas of the datasheet's timing diagrams, tick by tick. */
static void expect_run(unsigned n, unsigned mode, uint32_t count, unsigned ticks)
{
    int64_t start = ticks_now() + 1;
    for (unsigned i = 0; i < ticks; i++) {
        rig_run_to(&rig, tick(start + i));
        uint32_t value = 0, phase = i % count, half = (count + 1) / 2;
        bool high = false;
        switch (mode) {
        case 0:
        case 1:
            value = (count - i) & 0xffff;
            high = i >= count;
            break;
        case 2:
            value = count - phase;
            high = phase != count - 1;
            break;
        case 3:
            value = (count & ~1u) - 2 * (phase < half ? phase : phase - half);
            high = phase < half;
            break;
        default:
            value = (count - i) & 0xffff;
            high = i != count;
            break;
        }
        cr_assert_eq(latch(n), value & 0xffff, "mode %u, count %u, tick %u: %u", mode, count, i,
                     latch(n));
        cr_assert_eq(out(n), high, "mode %u, count %u, tick %u: out", mode, count, i);
    }
}

Test(pit, counts_and_outputs_of_every_mode)
{
    static const uint16_t counts[] = {2, 3, 4, 5, 8, 9, 100};
    set_up();
    for (unsigned mode = 0; mode < 6; mode++)
        for (unsigned i = 0; i < ARRAY_LENGTH(counts); i++) {
            bool hardware = mode == 1 || mode == 5;
            gate2(!hardware);
            program(2, mode, counts[i]);
            if (hardware) {
                run_ticks(10);
                cr_assert(out(2), "mode %u waits for its gate", mode);
                cr_assert(status(2) & 0x40);
                gate2(true);
            }
            expect_run(2, mode, counts[i], 3 * counts[i]);
        }
    rig_free(&rig);
}

Test(pit, count_0_is_the_largest)
{
    set_up();
    program(0, 2, 0);
    run_ticks(2);
    cr_assert_eq(latch(0), 65535);
    rig_out(&rig, 0x43, 0x35); /* BCD */
    rig_out(&rig, 0x40, 0);
    rig_out(&rig, 0x40, 0);
    run_ticks(2);
    cr_assert_eq(latch(0), 0x9999);
    run_ticks(9990);
    cr_assert_eq(latch(0), 0x0009);
    rig_free(&rig);
}

Test(pit, gate_holds_and_restarts)
{
    set_up();
    gate2(true);
    program(2, 0, 1000);
    run_ticks(101);
    gate2(false);
    run_ticks(5000);
    cr_assert_eq(latch(2), 900);
    gate2(true);
    run_ticks(100);
    cr_assert_eq(latch(2), 800);

    program(2, 2, 1000);
    run_ticks(101);
    gate2(false);
    cr_assert(out(2));
    run_ticks(5000);
    gate2(true);
    run_ticks(1);
    cr_assert_eq(latch(2), 1000, "a rising gate starts the period anew");

    gate2(false);
    program(2, 1, 50);
    gate2(true);
    run_ticks(31);
    cr_assert_not(out(2));
    gate2(false);
    gate2(true); /* retriggers */
    run_ticks(31);
    cr_assert_not(out(2));
    run_ticks(21);
    cr_assert(out(2));
    rig_free(&rig);
}

Test(pit, a_new_count_waits_for_the_end_of_the_period)
{
    set_up();
    program(0, 2, 100);
    run_ticks(31);
    rig_out(&rig, 0x40, 10);
    rig_out(&rig, 0x40, 0);
    cr_assert_eq(latch(0), 70);
    cr_assert(status(0) & 0x40, "null count until it is taken");
    run_ticks(69);
    cr_assert_eq(latch(0), 1);
    run_ticks(1);
    cr_assert_eq(latch(0), 10);
    cr_assert_not(status(0) & 0x40);
    unsigned before = rig.rises[0];
    run_ticks(100);
    cr_assert_eq(rig.rises[0] - before, 10);

    program(0, 3, 100); /* in mode 3 the end of the half period */
    run_ticks(11);
    rig_out(&rig, 0x40, 40);
    rig_out(&rig, 0x40, 0);
    run_ticks(39);
    cr_assert(out(0));
    run_ticks(1);
    cr_assert_not(out(0));
    before = rig.rises[0];
    run_ticks(19);
    cr_assert_not(out(0));
    run_ticks(1);
    cr_assert(out(0));
    cr_assert_eq(rig.rises[0] - before, 1);
    rig_free(&rig);
}

Test(pit, latches_and_read_back)
{
    set_up();
    program(0, 2, 5000);
    run_ticks(101);
    rig_out(&rig, 0x43, 0x00);
    run_ticks(50);
    rig_out(&rig, 0x43, 0x00); /* a second latch command is ignored */
    cr_assert_eq(rig_in(&rig, 0x40), 4900 & 0xff);
    cr_assert_eq(rig_in(&rig, 0x40), 4900 >> 8);
    uint8_t low = rig_in(&rig, 0x40); /* no longer latched */
    cr_assert_eq(low | rig_in(&rig, 0x40) << 8, 4850);

    rig_out(&rig, 0x43, 0xc2); /* read-back: status and count of counter 0 */
    cr_assert_eq(rig_in(&rig, 0x40), 0x80 | 0x34);
    cr_assert_eq(rig_in(&rig, 0x40), 4850 & 0xff);
    cr_assert_eq(rig_in(&rig, 0x40), 4850 >> 8);

    rig_out(&rig, 0x43, 0x54); /* counter 1, low byte only, mode 2 */
    rig_out(&rig, 0x41, 18);
    run_ticks(1);
    rig_out(&rig, 0x43, 0x40);
    cr_assert_eq(rig_in(&rig, 0x41), 18);
    rig_out(&rig, 0x43, 0x64); /* high byte only */
    rig_out(&rig, 0x41, 2);
    run_ticks(1);
    rig_out(&rig, 0x43, 0x40);
    cr_assert_eq(rig_in(&rig, 0x41), 2);
    run_ticks(1);
    rig_out(&rig, 0x43, 0x40);
    cr_assert_eq(rig_in(&rig, 0x41), 1);
    cr_assert_eq(rig_in(&rig, 0x43), 0xff);
    rig_free(&rig);
}

Test(pit, counter_0_interrupts_at_its_rate)
{
    set_up();
    program(0, 2, 11932); /* 100 Hz */
    rig_run(&rig, NS_PER_SECOND);
    cr_assert(rig.rises[0] >= 99 && rig.rises[0] <= 101, "%u", rig.rises[0]);
    program(0, 3, 1193); /* 1000 Hz */
    unsigned before = rig.rises[0];
    rig_run(&rig, NS_PER_SECOND);
    cr_assert(rig.rises[0] - before >= 999 && rig.rises[0] - before <= 1001);

    program(0, 0, 1000);
    cr_assert_eq(rig.level[0], 0);
    before = rig.rises[0];
    run_ticks(1000);
    cr_assert_eq(rig.level[0], 0);
    run_ticks(1);
    cr_assert_eq(rig.level[0], 1);
    rig_run(&rig, NS_PER_SECOND);
    cr_assert_eq(rig.rises[0] - before, 1);
    cr_assert_eq(clock_deadline_ns(&rig.clock), CLOCK_NEVER, "one-shot: nothing is armed after it");

    program(0, 4, 1000);
    before = rig.rises[0];
    run_ticks(1003);
    cr_assert_eq(rig.rises[0] - before, 1);
    cr_assert_eq(clock_deadline_ns(&rig.clock), CLOCK_NEVER);
    rig_free(&rig);
}

Test(pit, a_slow_host_makes_no_storm)
{
    set_up();
    program(0, 2, 1193);
    rig_run(&rig, 5000000);
    unsigned before = rig.rises[0];
    rig_stall(&rig, NS_PER_SECOND);
    cr_assert_eq(rig.rises[0] - before, 1);
    before = rig.rises[0];
    rig_run(&rig, NS_PER_SECOND);
    cr_assert(rig.rises[0] - before >= 1240 && rig.rises[0] - before <= 1252,
              "it goes on in time, and makes up for a quarter of a second");
    before = rig.rises[0];
    rig_stall(&rig, 20000000);
    rig_run(&rig, 80000000);
    cr_assert(rig.rises[0] - before >= 99 && rig.rises[0] - before <= 101, "of 20 ms for all");
    before = rig.rises[0];
    rig_stall(&rig, 20000000);
    program(0, 2, 11932);
    rig_run(&rig, 95000000);
    cr_assert(rig.rises[0] - before <= 11, "not once the guest has programmed it anew");
    rig_free(&rig);
}

Test(pit, only_counter_0_costs_host_timers)
{
    set_up();
    gate2(true);
    program(1, 2, 18);
    program(2, 3, 1000);
    cr_assert_eq(clock_deadline_ns(&rig.clock), CLOCK_NEVER);
    program(0, 2, 100);
    cr_assert_neq(clock_deadline_ns(&rig.clock), CLOCK_NEVER);
    rig_out(&rig, 0x43, 0x34); /* no count follows */
    cr_assert_eq(clock_deadline_ns(&rig.clock), CLOCK_NEVER);
    rig_free(&rig);
}

Test(pit, port_61)
{
    set_up();
    rig_out(&rig, 0x61, 0xff);
    cr_assert_eq(rig_in(&rig, 0x61) & 0x0f, 0x0f);
    rig_out(&rig, 0x61, 0x01);
    program(2, 0, 1000);
    cr_assert_eq(rig_in(&rig, 0x61) & 0x21, 0x01);
    run_ticks(1001);
    cr_assert_eq(rig_in(&rig, 0x61) & 0x21, 0x21);
    unsigned changes = 0;
    for (unsigned i = 0, last = 0; i < 1000; i++) {
        rig_run(&rig, 1000);
        unsigned bit = rig_in(&rig, 0x61) & 0x10;
        changes += bit != last;
        last = bit;
    }
    cr_assert(changes >= 65 && changes <= 67, "refresh: %u changes in a millisecond", changes);

    cr_assert_eq(pit_speaker_hz(&pit), 0);
    rig_out(&rig, 0x61, 0x03);
    program(2, 3, 1193);
    cr_assert_eq(pit_speaker_hz(&pit), 1000);
    rig_out(&rig, 0x61, 0x01);
    cr_assert_eq(pit_speaker_hz(&pit), 0);
    rig_free(&rig);
}

Test(pit, keeps_its_state)
{
    set_up();
    gate2(true);
    program(0, 2, 11932);
    program(2, 3, 777);
    run_ticks(12345);
    rig_out(&rig, 0x42, 5);
    rig_out(&rig, 0x43, 0x80);
    rig_check_round_trip(&pit_class, &pit);
    unsigned before = rig.rises[0];
    rig_run(&rig, 20000000);
    cr_assert_eq(rig.rises[0] - before, 2, "a loaded counter goes on");
    rig_check_reset(&pit_class, &pit);
    cr_assert_eq(clock_deadline_ns(&rig.clock), CLOCK_NEVER);
    unsigned seed = 1;
    for (unsigned round = 0; round < 5000; round++) {
        rig_load_noise(&pit_class, &pit, &seed);
        if (round % 2) /* plausible times, so that more of the noise is accepted */
            for (unsigned n = 0; n < PIT_COUNTERS; n++) {
                pit.state.start[n] = rand_r(&seed) % 1000;
                pit.state.change[n] = rand_r(&seed) % 2 ? INT64_MAX : rand_r(&seed) % 100000;
                pit.state.held[n] = rand_r(&seed) % 2 ? -1 : 5;
                pit.state.count[n] %= 65537;
                pit.state.next[n] %= 65537;
            }
        if (pit_class.after_load(&pit, NULL) < 0)
            continue;
        rig_in(&rig, 0x40);
        rig_in(&rig, 0x61);
        rig_out(&rig, (uint16_t)(0x40 + rand_r(&seed) % 4), (uint8_t)rand_r(&seed));
        rig_out(&rig, 0x61, (uint8_t)rand_r(&seed));
        rig_stall(&rig, 100000);
    }
    rig_free(&rig);
}
