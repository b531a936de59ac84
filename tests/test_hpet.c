/* hw/hpet against the IA-PC HPET specification. */
#include "hw/hpet.h"

#include "chip_rig.h"

/* Lines: 0..23 are the IOAPIC's inputs, the two legacy lines are these. */
enum { IRQ0 = 30, IRQ8 = 31 };

static struct rig rig;
static struct hpet hpet;

static uint64_t get(unsigned offset)
{
    return bus_read(&rig.memory, HPET_ADDRESS + offset, 8);
}

static void set(unsigned offset, uint64_t value)
{
    bus_write(&rig.memory, HPET_ADDRESS + offset, 8, value);
}

static unsigned timer_at(unsigned n)
{
    return 0x100 + 0x20 * n;
}

static void set_up(void)
{
    rig_init(&rig);
    rig.now = 1000;
    hpet_attach(&hpet, &rig.memory, &rig.clock, rig_line(&rig, 0), rig_line(&rig, IRQ0),
                rig_line(&rig, IRQ8));
    hpet_class.reset(&hpet, RESET_POWER_ON);
}

Test(hpet, registers)
{
    set_up();
    cr_assert_eq(get(0x000), UINT64_C(10000000) << 32 | 0x8086a201);
    cr_assert_eq(bus_read(&rig.memory, HPET_ADDRESS + 4, 4), 10000000);
    set(0x010, ~UINT64_C(0));
    cr_assert_eq(get(0x010), 3);
    set(0x010, 0);
    for (unsigned n = 0; n < HPET_TIMERS; n++) {
        set(timer_at(n), ~UINT64_C(0));
        cr_assert_eq(get(timer_at(n)), UINT64_C(0x00ff0000) << 32 | 0x3f7e);
        cr_assert_eq(get(timer_at(n) + 0x10), 0);
    }
    cr_assert_eq(get(timer_at(3)), 0);
    rig_free(&rig);
}

Test(hpet, counter)
{
    set_up();
    set(0x0f0, 0x123456789);
    cr_assert_eq(get(0x0f0), 0x123456789);
    rig_run(&rig, 1000);
    cr_assert_eq(get(0x0f0), 0x123456789, "it stands");
    set(0x010, 1);
    rig_run(&rig, 1000);
    cr_assert_eq(get(0x0f0), 0x123456789 + 100);
    set(0x0f0, 0);
    cr_assert_eq(get(0x0f0), 0x123456789 + 100, "not while it runs");
    cr_assert_eq(bus_read(&rig.memory, HPET_ADDRESS + 0xf4, 4), 1);
    set(0x010, 0);
    rig_run(&rig, 1000);
    cr_assert_eq(get(0x0f0), 0x123456789 + 100);
    bus_write(&rig.memory, HPET_ADDRESS + 0xf0, 4, 7);
    cr_assert_eq(get(0x0f0), 0x100000007);
    cr_assert_eq(clock_deadline_ns(&rig.clock), CLOCK_NEVER);
    rig_free(&rig);
}

Test(hpet, one_shot)
{
    set_up();
    set(timer_at(2), 20 << 9 | 1 << 2);
    set(timer_at(2) + 8, 1000);
    cr_assert_eq(clock_deadline_ns(&rig.clock), CLOCK_NEVER);
    set(0x010, 1);
    rig_run(&rig, 9999);
    cr_assert_eq(rig.rises[20], 0);
    rig_run(&rig, 1);
    cr_assert_eq(rig.rises[20], 1);
    cr_assert_eq(get(0x020), 0, "edge-triggered: no status");
    rig_run(&rig, NS_PER_SECOND);
    cr_assert_eq(rig.rises[20], 1);
    cr_assert_eq(get(timer_at(2) + 8), 1000);
    set(timer_at(2) + 8, get(0x0f0) + 10);
    rig_run(&rig, 100);
    cr_assert_eq(rig.rises[20], 2);
    rig_free(&rig);
}

Test(hpet, restarting_the_counter)
{
    set_up();
    set(timer_at(2), 20 << 9 | 1 << 2);
    set(timer_at(2) + 8, 1000);
    set(0x010, 1);
    rig_run(&rig, 5000);
    set(0x010, 0);
    rig_run(&rig, 7);
    set(0x0f0, 990);
    set(0x010, 1);
    rig_run(&rig, 99);
    cr_assert_eq(rig.rises[20], 0);
    rig_run(&rig, 1);
    cr_assert_eq(rig.rises[20], 1);
    rig_free(&rig);
}

Test(hpet, a_32_bit_timer_wraps)
{
    set_up();
    set(0x0f0, 0x5fffffff0);
    set(timer_at(1), 17 << 9 | 1 << 8 | 1 << 2);
    set(timer_at(1) + 8, 0x10);
    set(0x010, 1);
    rig_run(&rig, 0x20 * 10);
    cr_assert_eq(rig.rises[17], 1);
    rig_run(&rig, INT64_C(0x100000000) * 10);
    cr_assert_eq(rig.rises[17], 2);
    rig_free(&rig);
}

Test(hpet, periodic)
{
    set_up();
    set(0x010, 1);
    set(timer_at(0), 20 << 9 | 1 << 6 | 1 << 3 | 1 << 2);
    set(timer_at(0) + 8, get(0x0f0) + 1000); /* the first match … */
    cr_assert_eq(get(timer_at(0)) & 1 << 6, 0);
    set(timer_at(0) + 8, 500); /* … and the period */
    rig_run(&rig, 10000);
    cr_assert_eq(rig.rises[20], 1);
    rig_run(&rig, 50000);
    cr_assert_eq(rig.rises[20], 11);
    rig_stall(&rig, 5002500);
    cr_assert_eq(rig.rises[20], 12, "what a slow host missed of so many is one interrupt");
    rig_run(&rig, 5000);
    cr_assert_eq(rig.rises[20], 13, "and the phase is kept");
    cr_assert_gt(get(timer_at(0) + 8), get(0x0f0));
    rig_free(&rig);
}

/* Ticks of 4 ms, as Linux has them, on a host that gives the guest 3 ms of every 53. */
Test(hpet, ticks_of_a_busy_host_come_late_but_come)
{
    set_up();
    const int64_t start = rig.now;
    set(0x010, 1);
    set(timer_at(0), 20 << 9 | 1 << 6 | 1 << 3 | 1 << 2);
    set(timer_at(0) + 8, get(0x0f0) + 400000);
    set(timer_at(0) + 8, 400000);
    for (unsigned i = 0; i < 3; i++) {
        rig_stall(&rig, 50000000);
        rig_run(&rig, 3000000);
    }
    cr_assert_geq(rig.rises[20], 5, "of 39 in 159 ms");
    rig_run_to(&rig, start + NS_PER_SECOND);
    cr_assert_eq(rig.rises[20], 250, "in the end none is missing");
    rig_run(&rig, NS_PER_SECOND);
    cr_assert_eq(rig.rises[20], 500);

    rig_stall(&rig, 10 * NS_PER_SECOND);
    rig_run(&rig, NS_PER_SECOND);
    cr_assert_leq(rig.rises[20], 500 + 1 + 62 + 250, "of a long stall few are made up for");

    rig_stall(&rig, 40000000);
    unsigned before = rig.rises[20];
    set(timer_at(0), 20 << 9 | 1 << 3);
    rig_run(&rig, NS_PER_SECOND);
    cr_assert_eq(rig.rises[20], before, "and none once the guest has turned it off");
    rig_free(&rig);
}

Test(hpet, levels)
{
    set_up();
    set(0x010, 1);
    set(timer_at(1), 22 << 9 | 1 << 2 | 1 << 1);
    set(timer_at(1) + 8, get(0x0f0) + 100);
    rig_run(&rig, 1000);
    cr_assert_eq(rig.level[22], 1);
    cr_assert_eq(get(0x020), 2);
    set(0x020, 1);
    cr_assert_eq(rig.level[22], 1);
    set(0x020, 2);
    cr_assert_eq(rig.level[22], 0);
    cr_assert_eq(get(0x020), 0);
    set(timer_at(1) + 8, get(0x0f0) + 100);
    rig_run(&rig, 1000);
    set(timer_at(1), 22 << 9 | 1 << 1);
    cr_assert_eq(rig.level[22], 0, "disabling it ends it");
    rig_free(&rig);
}

Test(hpet, legacy_replacement)
{
    set_up();
    struct irq_line pit = hpet_pit_line(&hpet), rtc = hpet_rtc_line(&hpet);
    irq_set(&pit, 1);
    irq_set(&rtc, 1);
    cr_assert_eq(rig.level[IRQ0] + rig.level[IRQ8], 2);
    set(0x010, 3);
    cr_assert_eq(rig.level[IRQ0] + rig.level[IRQ8], 0, "cut off");
    irq_set(&pit, 0);
    irq_set(&pit, 1);
    cr_assert_eq(rig.level[IRQ0], 0);
    set(timer_at(0), 20 << 9 | 1 << 2);
    set(timer_at(1), 21 << 9 | 1 << 2);
    set(timer_at(0) + 8, get(0x0f0) + 100);
    set(timer_at(1) + 8, get(0x0f0) + 200);
    rig_run(&rig, 1000);
    cr_assert_eq(rig.level[IRQ0], 1);
    cr_assert_eq(rig.level[IRQ8], 0);
    rig_run(&rig, 1000);
    cr_assert_eq(rig.level[IRQ8], 1);
    cr_assert_eq(rig.rises[20] + rig.rises[21], 0, "the routes do not count");
    irq_set(&rtc, 0);
    set(0x010, 1);
    cr_assert_eq(rig.level[IRQ0], 1, "what the 8254 shows");
    cr_assert_eq(rig.level[IRQ8], 0);
    rig_free(&rig);
}

Test(hpet, keeps_its_state)
{
    set_up();
    set(0x010, 1);
    set(timer_at(0), 20 << 9 | 1 << 6 | 1 << 3 | 1 << 2);
    set(timer_at(0) + 8, 1000);
    set(timer_at(0) + 8, 500);
    rig_run(&rig, 12345);
    rig_check_round_trip(&hpet_class, &hpet);
    unsigned before = rig.rises[20];
    rig_run(&rig, 50000);
    cr_assert_eq(rig.rises[20] - before, 10);
    rig_check_reset(&hpet_class, &hpet);
    cr_assert_eq(clock_deadline_ns(&rig.clock), CLOCK_NEVER);
    unsigned seed = 1;
    for (unsigned round = 0; round < 3000; round++) {
        rig_load_noise(&hpet_class, &hpet, &seed);
        for (unsigned n = 0; n < HPET_TIMERS; n++)
            hpet.state.timer_config[n] &= ~UINT64_C(0x3e00); /* the rig has no line beyond 31 */
        if (round % 2) {
            hpet.state.start_ns = rig.now - rand_r(&seed) % 1000;
            for (unsigned n = 0; n < HPET_TIMERS; n++)
                hpet.state.settled_ns[n] = rig.now;
        }
        if (hpet_class.after_load(&hpet, NULL) < 0)
            continue;
        for (unsigned i = 0; i < 10; i++) {
            unsigned offset = rand_r(&seed) % 0x30 * 8;
            set(offset, (uint64_t)rand_r(&seed) << rand_r(&seed) % 40);
            get(offset);
        }
        rig_stall(&rig, 10000);
    }
    rig_free(&rig);
}
