#include "hw/hpet.h"

#include <errno.h>
#include <string.h>

#define HPET_FIELDS(FIELD, ARRAY)                                                                  \
    FIELD(struct hpet_state, config)                                                               \
    FIELD(struct hpet_state, interrupt_status)                                                     \
    FIELD(struct hpet_state, counter)                                                              \
    FIELD(struct hpet_state, start_ns)                                                             \
    ARRAY(struct hpet_state, timer_config)                                                         \
    ARRAY(struct hpet_state, comparator)                                                           \
    ARRAY(struct hpet_state, period)                                                               \
    ARRAY(struct hpet_state, settled_ns)                                                           \
    ARRAY(struct hpet_state, legacy_levels)                                                        \
    ARRAY(struct hpet_state, pad)
static const struct field hpet_fields[] = SAVE_FIELDS(HPET_FIELDS);
SAVE_ASSERT_COMPLETE(struct hpet_state, HPET_FIELDS);

enum {
    REG_CAPABILITIES = 0x000,
    REG_CONFIG = 0x010,
    REG_STATUS = 0x020,
    REG_COUNTER = 0x0f0,
    REG_TIMERS = 0x100,
    TIMER_BYTES = 0x20,
    TIMER_CONFIG = 0x00,
    TIMER_COMPARATOR = 0x08,

    CONFIG_ENABLE = 1 << 0,
    CONFIG_LEGACY = 1 << 1,

    TIMER_LEVEL = 1 << 1,
    TIMER_INTERRUPT = 1 << 2,
    TIMER_PERIODIC = 1 << 3,
    TIMER_CAN_PERIODIC = 1 << 4,
    TIMER_64_BITS = 1 << 5,
    TIMER_SET_VALUE = 1 << 6,
    TIMER_32_MODE = 1 << 8,
    TIMER_ROUTE_SHIFT = 9,
    TIMER_WRITABLE = 0x3f4e,

    LEGACY_PIT = 0,
    LEGACY_RTC = 1,
};

/* Vendor 8086h, 10 ns a tick, legacy replacement, 64 bits, three timers, revision 1. */
#define CAPABILITIES ((uint64_t)HPET_TICK_NS * 1000000 << 32 | 0x8086a201)
/* Inputs of the IOAPIC that no ISA line uses. */
#define ROUTES (UINT64_C(0x00ff0000) << 32)
/* Beyond this many ticks nothing is ever due. */
#define FAR_TICKS (UINT64_C(1) << 58)

/* --- the main counter and the matches */

static bool is_running(const struct hpet *hpet)
{
    return hpet->state.config & CONFIG_ENABLE;
}

static uint64_t counter_at(const struct hpet *hpet, int64_t ns)
{
    const struct hpet_state *state = &hpet->state;
    return is_running(hpet) ? state->counter + (uint64_t)(ns - state->start_ns) / HPET_TICK_NS
                            : state->counter;
}

static uint64_t counter_mask(const struct hpet *hpet, unsigned n)
{
    return hpet->state.timer_config[n] & TIMER_32_MODE ? UINT32_MAX : UINT64_MAX;
}

static bool is_periodic(const struct hpet *hpet, unsigned n)
{
    return hpet->state.timer_config[n] & TIMER_PERIODIC;
}

/* The virtual time of the first match after `after`, or CLOCK_NEVER. */
static int64_t next_match(const struct hpet *hpet, unsigned n, int64_t after)
{
    const struct hpet_state *state = &hpet->state;
    uint64_t mask = counter_mask(hpet, n);
    if (!is_running(hpet) || !(state->timer_config[n] & TIMER_INTERRUPT))
        return CLOCK_NEVER;
    uint64_t counter = counter_at(hpet, after);
    uint64_t left = (state->comparator[n] - counter - 1) & mask;
    if (left >= FAR_TICKS)
        return CLOCK_NEVER;
    int64_t ticks = (int64_t)((uint64_t)(after - state->start_ns) / HPET_TICK_NS + left + 1);
    return state->start_ns + ticks * HPET_TICK_NS;
}

/* --- outputs */

static struct irq_line output_line(const struct hpet *hpet, unsigned n)
{
    if (hpet->state.config & CONFIG_LEGACY && n <= LEGACY_RTC)
        return hpet->legacy[n];
    struct irq_line line = hpet->irqs;
    line.number = hpet->state.timer_config[n] >> TIMER_ROUTE_SHIFT & 31;
    return line;
}

static void drive(const struct hpet *hpet, unsigned n, int level)
{
    struct irq_line line = output_line(hpet, n);
    irq_set(&line, level);
}

static void signal_match(struct hpet *hpet, unsigned n)
{
    if (hpet->state.timer_config[n] & TIMER_LEVEL)
        hpet->state.interrupt_status |= BIT(n);
    else
        drive(hpet, n, 0);
    drive(hpet, n, 1);
}

/* In legacy mode the 8254 and the RTC are cut off. */
static void set_legacy(void *opaque, int number, int level)
{
    struct hpet *hpet = opaque;
    hpet->state.legacy_levels[number] = level != 0;
    if (!(hpet->state.config & CONFIG_LEGACY))
        irq_set(&hpet->legacy[number], level);
}

struct irq_line hpet_pit_line(struct hpet *hpet)
{
    return (struct irq_line){.set = set_legacy, .opaque = hpet, .number = LEGACY_PIT};
}

struct irq_line hpet_rtc_line(struct hpet *hpet)
{
    return (struct irq_line){.set = set_legacy, .opaque = hpet, .number = LEGACY_RTC};
}

/* --- time */

static void arm(struct hpet *hpet, unsigned n)
{
    int64_t match = next_match(hpet, n, hpet->state.settled_ns[n]);
    int64_t late = late_ticks_deadline(&hpet->late[n]);
    if (late < match)
        match = late;
    if (match == CLOCK_NEVER)
        timer_disarm(&hpet->timers[n]);
    else
        timer_arm(&hpet->timers[n], match);
}

/* Signals a match that lies behind, and moves a periodic comparator past it; false: there is none.
 */
static bool settle(struct hpet *hpet, unsigned n, int64_t now)
{
    struct hpet_state *state = &hpet->state;
    bool due = next_match(hpet, n, state->settled_ns[n]) <= now;
    state->settled_ns[n] = now;
    if (!due)
        return false;
    if (is_periodic(hpet, n) && state->period[n]) {
        uint64_t period = state->period[n] < FAR_TICKS ? state->period[n] : FAR_TICKS;
        uint64_t mask = counter_mask(hpet, n);
        uint64_t behind = (counter_at(hpet, now) - state->comparator[n]) & mask;
        state->comparator[n] =
            (state->comparator[n] + (behind / state->period[n] + 1) * state->period[n]) & mask;
        late_ticks_note(&hpet->late[n], behind / state->period[n], (int64_t)period * HPET_TICK_NS,
                        now);
    }
    signal_match(hpet, n);
    return true;
}

static void settle_all(struct hpet *hpet, int64_t now)
{
    for (unsigned n = 0; n < HPET_TIMERS; n++)
        settle(hpet, n, now);
}

static void arm_all(struct hpet *hpet)
{
    for (unsigned n = 0; n < HPET_TIMERS; n++)
        arm(hpet, n);
}

static void fire(struct hpet *hpet, unsigned n)
{
    int64_t now = clock_now_ns(hpet->clock);
    if (!settle(hpet, n, now) && late_ticks_take(&hpet->late[n], now))
        signal_match(hpet, n);
    arm(hpet, n);
}

static void fire0(void *opaque)
{
    fire(opaque, 0);
}

static void fire1(void *opaque)
{
    fire(opaque, 1);
}

static void fire2(void *opaque)
{
    fire(opaque, 2);
}

/* --- registers, as 64-bit words; `mask` says which bits of a word are written */

static uint64_t merge(uint64_t old, uint64_t value, uint64_t mask)
{
    return (old & ~mask) | (value & mask);
}

/* At `now`, to which all timers are settled: no match may be reckoned from before start_ns. */
static void write_config(struct hpet *hpet, uint64_t value, int64_t now)
{
    struct hpet_state *state = &hpet->state;
    uint64_t before = state->config;
    state->counter = counter_at(hpet, now);
    state->start_ns = now;
    memset(hpet->late, 0, sizeof hpet->late);
    for (unsigned line = 0; line < 2; line++) /* take the lines off whoever has them */
        if ((before ^ value) & CONFIG_LEGACY)
            irq_set(&hpet->legacy[line], 0);
    state->config = value & (CONFIG_ENABLE | CONFIG_LEGACY);
    for (unsigned line = 0; line < 2; line++)
        if (before & ~value & CONFIG_LEGACY)
            irq_set(&hpet->legacy[line], state->legacy_levels[line]);
}

static void write_status(struct hpet *hpet, uint64_t value)
{
    for (unsigned n = 0; n < HPET_TIMERS; n++)
        if (value & hpet->state.interrupt_status & BIT(n)) {
            hpet->state.interrupt_status &= ~BIT(n);
            drive(hpet, n, 0);
        }
}

static void write_timer_config(struct hpet *hpet, unsigned n, uint64_t value)
{
    struct hpet_state *state = &hpet->state;
    uint64_t before = state->timer_config[n];
    uint64_t after = (before & ~(uint64_t)TIMER_WRITABLE) | (value & TIMER_WRITABLE);
    hpet->late[n].count = 0;
    uint64_t output = TIMER_INTERRUPT | TIMER_LEVEL | 31 << TIMER_ROUTE_SHIFT;
    if ((before ^ after) & output) {
        drive(hpet, n, 0);
        state->interrupt_status &= ~BIT(n);
    }
    if (after & TIMER_32_MODE) {
        state->comparator[n] = (uint32_t)state->comparator[n];
        state->period[n] = (uint32_t)state->period[n];
    }
    state->timer_config[n] = after;
}

static void write_comparator(struct hpet *hpet, unsigned n, uint64_t value, uint64_t mask)
{
    struct hpet_state *state = &hpet->state;
    uint64_t bits = counter_mask(hpet, n);
    hpet->late[n].count = 0;
    if (is_periodic(hpet, n))
        state->period[n] = merge(state->period[n], value, mask) & bits;
    if (!is_periodic(hpet, n) || state->timer_config[n] & TIMER_SET_VALUE)
        state->comparator[n] = merge(state->comparator[n], value, mask) & bits;
    state->timer_config[n] &= ~(uint64_t)TIMER_SET_VALUE;
}

static uint64_t read_word(struct hpet *hpet, unsigned offset)
{
    const struct hpet_state *state = &hpet->state;
    unsigned n = (offset - REG_TIMERS) / TIMER_BYTES;
    switch (offset) {
    case REG_CAPABILITIES:
        return CAPABILITIES;
    case REG_CONFIG:
        return state->config;
    case REG_STATUS:
        return state->interrupt_status;
    case REG_COUNTER:
        return counter_at(hpet, clock_now_ns(hpet->clock));
    }
    if (offset < REG_TIMERS || n >= HPET_TIMERS)
        return 0;
    switch (offset % TIMER_BYTES) {
    case TIMER_CONFIG:
        return state->timer_config[n];
    case TIMER_COMPARATOR:
        settle(hpet, n, clock_now_ns(hpet->clock));
        arm(hpet, n);
        return state->comparator[n];
    default: /* FSB routing is not offered */
        return 0;
    }
}

static void write_word(struct hpet *hpet, unsigned offset, uint64_t value, uint64_t mask)
{
    struct hpet_state *state = &hpet->state;
    unsigned n = (offset - REG_TIMERS) / TIMER_BYTES;
    int64_t now = clock_now_ns(hpet->clock);
    settle_all(hpet, now);
    switch (offset) {
    case REG_CONFIG:
        write_config(hpet, merge(state->config, value, mask), now);
        break;
    case REG_STATUS:
        write_status(hpet, value & mask);
        break;
    case REG_COUNTER:
        if (!is_running(hpet))
            state->counter = merge(state->counter, value, mask);
        break;
    default:
        if (offset < REG_TIMERS || n >= HPET_TIMERS)
            break;
        if (offset % TIMER_BYTES == TIMER_CONFIG)
            write_timer_config(hpet, n, merge(state->timer_config[n], value, mask));
        else if (offset % TIMER_BYTES == TIMER_COMPARATOR)
            write_comparator(hpet, n, value, mask);
        break;
    }
    arm_all(hpet);
}

static uint64_t region_read(void *opaque, uint64_t offset, unsigned size)
{
    return read_word(opaque, offset & ~7u) >> 8 * (offset & 7);
}

static void region_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    unsigned shift = 8 * (offset & 7);
    uint64_t mask = (~UINT64_C(0) >> (64 - 8 * size)) << shift;
    write_word(opaque, offset & ~7u, value << shift, mask);
}

/* --- the device */

static void reset(void *object, enum reset_kind kind)
{
    struct hpet *hpet = object;
    int64_t now = clock_now_ns(hpet->clock);
    hpet->state = (struct hpet_state){.start_ns = now};
    memset(hpet->late, 0, sizeof hpet->late);
    for (unsigned n = 0; n < HPET_TIMERS; n++) {
        hpet->state.timer_config[n] = ROUTES | TIMER_CAN_PERIODIC | TIMER_64_BITS;
        hpet->state.comparator[n] = UINT64_MAX;
        hpet->state.settled_ns[n] = now;
        timer_disarm(&hpet->timers[n]);
    }
    irq_set(&hpet->legacy[LEGACY_PIT], 0);
    irq_set(&hpet->legacy[LEGACY_RTC], 0);
}

static int after_load(void *object, struct error *error)
{
    struct hpet *hpet = object;
    struct hpet_state *state = &hpet->state;
    int64_t now = clock_now_ns(hpet->clock);
    bool sane = state->start_ns >= 0 && state->start_ns <= now;
    for (unsigned n = 0; n < HPET_TIMERS; n++)
        sane &= state->settled_ns[n] <= now && state->settled_ns[n] >= state->start_ns;
    if (!sane)
        return error_set(error, EINVAL,
                         "saved state: \"hpet\": the time is out of range; the file "
                         "is damaged");
    memset(hpet->late, 0, sizeof hpet->late);
    arm_all(hpet);
    return 0;
}

void hpet_attach(struct hpet *hpet, struct bus *memory, struct clock *clock, struct irq_line irqs,
                 struct irq_line irq0, struct irq_line irq8)
{
    static void (*const fires[HPET_TIMERS])(void *) = {fire0, fire1, fire2};
    *hpet = (struct hpet){.clock = clock, .irqs = irqs, .legacy = {irq0, irq8}};
    for (unsigned n = 0; n < HPET_TIMERS; n++)
        timer_init(&hpet->timers[n], clock, fires[n], hpet);
    hpet->region = (struct region){.name = "hpet",
                                   .base = HPET_ADDRESS,
                                   .length = 0x400,
                                   .read = region_read,
                                   .write = region_write,
                                   .min_size = 4,
                                   .max_size = 8,
                                   .opaque = hpet};
    bus_add(memory, &hpet->region);
}

const struct device_class hpet_class = {
    .name = "hpet",
    DEVICE_STATE(struct hpet, 1, hpet_fields),
    .reset = reset,
    .after_load = after_load,
};
