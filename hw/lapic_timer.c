/* The local APIC's timer: a function of the virtual clock, SDM 3A 10.5.4. */
#include "hw/lapic_priv.h"

#include <inttypes.h>

enum { DIVIDE_BITS = 0x0b };

_Static_assert(LAPIC_BUS_HZ == NS_PER_SECOND, "the timer counts nanoseconds of the clock");

enum lapic_timer_mode lapic_timer_mode(const struct lapic *lapic)
{
    unsigned mode = lapic->state.lvt[LVT_TIMER] >> LVT_TIMER_MODE_SHIFT & 3;
    return mode == 3 ? TIMER_ONE_SHOT : (enum lapic_timer_mode)mode;
}

/* The timer's input clock is divided by two to the power of this. */
static unsigned divide_shift(const struct lapic *lapic)
{
    uint32_t value = lapic->state.timer_divide;
    return (((value & 3) | (value >> 1 & 4)) + 1) & 7;
}

static int64_t period_ns(const struct lapic *lapic)
{
    return (int64_t)lapic->state.timer_initial << divide_shift(lapic);
}

/* The first event after `after`, or CLOCK_NEVER. */
static int64_t next_event(const struct lapic *lapic, int64_t after)
{
    const struct lapic_state *state = &lapic->state;
    enum lapic_timer_mode mode = lapic_timer_mode(lapic);
    if (mode == TIMER_TSC_DEADLINE)
        return state->timer_deadline_ns;
    int64_t period = period_ns(lapic);
    if (!period)
        return CLOCK_NEVER;
    int64_t first = state->timer_start_ns + period;
    if (after < first)
        return first;
    if (mode == TIMER_ONE_SHOT)
        return CLOCK_NEVER;
    return first + ((after - first) / period + 1) * period;
}

uint32_t lapic_timer_current(const struct lapic *lapic)
{
    if (lapic_timer_mode(lapic) == TIMER_TSC_DEADLINE)
        return 0;
    int64_t now = clock_now_ns(lapic->clock), event = next_event(lapic, now);
    return event == CLOCK_NEVER ? 0 : (uint32_t)((event - now) >> divide_shift(lapic));
}

void lapic_timer_settle(struct lapic *lapic)
{
    struct lapic_state *state = &lapic->state;
    int64_t now = clock_now_ns(lapic->clock);
    bool due = next_event(lapic, state->timer_settled_ns) <= now;
    state->timer_settled_ns = now;
    if (!due)
        return;
    if (lapic_timer_mode(lapic) == TIMER_TSC_DEADLINE) {
        state->timer_deadline_ns = CLOCK_NEVER;
        state->tsc_deadline = 0;
    }
    /* WHY: one interrupt for all periods that a slow host missed; IRR would merge them anyway. */
    lapic_local_event(lapic, LVT_TIMER);
}

void lapic_timer_arm(struct lapic *lapic)
{
    int64_t event = CLOCK_NEVER;
    /* A deadline is disarmed when it passes, masked or not. */
    if (!(lapic->state.lvt[LVT_TIMER] & LVT_MASKED) && lapic_is_enabled(lapic))
        event = next_event(lapic, lapic->state.timer_settled_ns);
    if (event == CLOCK_NEVER)
        timer_disarm(&lapic->timer);
    else
        timer_arm(&lapic->timer, event);
}

static void fire(void *opaque)
{
    lapic_timer_settle(opaque);
    lapic_timer_arm(opaque);
}

void lapic_timer_set_initial(struct lapic *lapic, uint32_t count)
{
    if (lapic_timer_mode(lapic) == TIMER_TSC_DEADLINE)
        return;
    lapic_timer_settle(lapic);
    lapic->state.timer_initial = count;
    lapic->state.timer_start_ns = lapic->state.timer_settled_ns;
    lapic_timer_arm(lapic);
}

/* A change of the divider leaves the current count as it is. */
void lapic_timer_set_divide(struct lapic *lapic, uint32_t value)
{
    struct lapic_state *state = &lapic->state;
    lapic_timer_settle(lapic);
    uint32_t current = lapic_timer_current(lapic);
    state->timer_divide = value & DIVIDE_BITS;
    if (current)
        state->timer_start_ns = state->timer_settled_ns -
                                (period_ns(lapic) - ((int64_t)current << divide_shift(lapic)));
    lapic_timer_arm(lapic);
}

void lapic_set_tsc_deadline(struct lapic *lapic, uint64_t tsc, int64_t deadline_ns)
{
    if (lapic_timer_mode(lapic) != TIMER_TSC_DEADLINE)
        return;
    lapic_timer_settle(lapic);
    lapic->state.tsc_deadline = tsc;
    lapic->state.timer_deadline_ns = !tsc ? CLOCK_NEVER : deadline_ns < 0 ? 0 : deadline_ns;
    lapic_timer_settle(lapic);
    lapic_timer_arm(lapic);
}

uint64_t lapic_tsc_deadline(const struct lapic *lapic)
{
    bool passed = lapic->state.timer_deadline_ns <= clock_now_ns(lapic->clock);
    return passed ? 0 : lapic->state.tsc_deadline;
}

void lapic_timer_reset(struct lapic *lapic)
{
    struct lapic_state *state = &lapic->state;
    state->timer_initial = state->timer_divide = 0;
    state->tsc_deadline = 0;
    state->timer_deadline_ns = CLOCK_NEVER;
    state->timer_start_ns = state->timer_settled_ns = clock_now_ns(lapic->clock);
    timer_disarm(&lapic->timer);
}

void lapic_timer_describe(const struct lapic *lapic, FILE *out)
{
    static const char *const modes[] = {"one-shot", "periodic", "tsc-deadline"};
    const struct lapic_state *state = &lapic->state;
    fprintf(out, "  timer %s, count %08x of %08x, divided by %u; ", modes[lapic_timer_mode(lapic)],
            lapic_timer_current(lapic), state->timer_initial, 1u << divide_shift(lapic));
    if (timer_armed(&lapic->timer))
        fprintf(out, "interrupts in %" PRId64 " ns\n",
                lapic->timer.deadline_ns - clock_now_ns(lapic->clock));
    else
        fprintf(out, "not armed\n");
}

void lapic_timer_attach(struct lapic *lapic, struct clock *clock)
{
    lapic->clock = clock;
    timer_init(&lapic->timer, clock, fire, lapic);
}
