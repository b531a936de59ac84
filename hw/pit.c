#include "hw/pit.h"

#include <errno.h>

#define PIT_FIELDS(FIELD, ARRAY)                                                                   \
    ARRAY(struct pit_state, start)                                                                 \
    ARRAY(struct pit_state, change)                                                                \
    ARRAY(struct pit_state, held)                                                                  \
    ARRAY(struct pit_state, count)                                                                 \
    ARRAY(struct pit_state, next)                                                                  \
    ARRAY(struct pit_state, latch)                                                                 \
    ARRAY(struct pit_state, latched)                                                               \
    ARRAY(struct pit_state, control)                                                               \
    ARRAY(struct pit_state, status)                                                                \
    ARRAY(struct pit_state, status_latched)                                                        \
    ARRAY(struct pit_state, high_read)                                                             \
    ARRAY(struct pit_state, high_write)                                                            \
    ARRAY(struct pit_state, low_byte)                                                              \
    ARRAY(struct pit_state, gate)                                                                  \
    FIELD(struct pit_state, port61)                                                                \
    ARRAY(struct pit_state, pad)
static const struct field pit_fields[] = SAVE_FIELDS(PIT_FIELDS);
SAVE_ASSERT_COMPLETE(struct pit_state, PIT_FIELDS);

enum {
    RW_LATCH = 0,
    RW_LOW = 1,
    RW_HIGH = 2,
    RW_BOTH = 3,
    READ_BACK = 3, /* as counter number of a control word */
    READ_BACK_NO_COUNT = 0x20,
    READ_BACK_NO_STATUS = 0x10,
    STATUS_OUT = 0x80,
    STATUS_NULL = 0x40,
    CONTROL_BCD = 0x01,
    PORT61_GATE2 = 0x01,
    PORT61_SPEAKER = 0x02,
    PORT61_KEPT = 0x0e,
    PORT61_REFRESH = 0x10,
    PORT61_OUT2 = 0x20,
    REFRESH_NS = 15085, /* bit 4 changes at each refresh of memory */
};

static int64_t now_tick(const struct pit *pit)
{
    return (int64_t)clock_scale((uint64_t)clock_now_ns(pit->clock), PIT_HZ, NS_PER_SECOND);
}

/* The first nanosecond at which now_tick() shows `tick`. */
static int64_t tick_ns(int64_t tick)
{
    return (int64_t)(((unsigned __int128)tick * NS_PER_SECOND + PIT_HZ - 1) / PIT_HZ);
}

static unsigned counter_mode(const struct pit *pit, unsigned n)
{
    unsigned mode = pit->state.control[n] >> 1 & 7;
    return mode > 5 ? mode & 3 : mode;
}

static bool is_periodic(unsigned mode)
{
    return mode == 2 || mode == 3;
}

static unsigned access_bits(const struct pit *pit, unsigned n)
{
    return pit->state.control[n] >> 4 & 3;
}

/* In mode 3 the output is high for the longer half. */
static uint32_t high_half(uint32_t count)
{
    return (count + 1) / 2;
}

/* --- what a counter shows now */

/* Ticks since the count was loaded. */
static int64_t elapsed(const struct pit *pit, unsigned n, int64_t now)
{
    if (pit->state.held[n] >= 0)
        return pit->state.held[n];
    return now > pit->state.start[n] ? now - pit->state.start[n] : 0;
}

/* Takes a count that waited for the end of the (half) period. */
static void settle(struct pit *pit, unsigned n, int64_t now)
{
    struct pit_state *state = &pit->state;
    if (!state->next[n] || now < state->change[n])
        return;
    bool at_half =
        counter_mode(pit, n) == 3 && (state->change[n] - state->start[n]) % state->count[n] != 0;
    state->start[n] = state->change[n] - (at_half ? high_half(state->next[n]) : 0);
    state->count[n] = state->next[n];
    state->next[n] = 0;
    state->change[n] = INT64_MAX;
}

static bool output(const struct pit *pit, unsigned n, int64_t now)
{
    const struct pit_state *state = &pit->state;
    unsigned mode = counter_mode(pit, n);
    int64_t count = state->count[n];
    if (!count)
        return mode != 0;
    int64_t gone = elapsed(pit, n, now);
    switch (mode) {
    case 0:
    case 1:
        return gone >= count;
    case 2:
        return state->held[n] >= 0 || gone % count != count - 1;
    case 3:
        return state->held[n] >= 0 || gone % count < high_half((uint32_t)count);
    default:
        return gone != count;
    }
}

static uint32_t counting_element(const struct pit *pit, unsigned n, int64_t now)
{
    const struct pit_state *state = &pit->state;
    int64_t count = state->count[n];
    if (!count)
        return 0;
    int64_t gone = elapsed(pit, n, now);
    switch (counter_mode(pit, n)) {
    case 2:
        return (uint32_t)(count - gone % count);
    case 3: {
        int64_t half = high_half((uint32_t)count), phase = gone % count;
        return (uint32_t)((count & ~1) - 2 * (phase < half ? phase : phase - half));
    }
    default: {
        int64_t wrap = state->control[n] & CONTROL_BCD ? 10000 : 65536;
        int64_t left = (count - gone) % wrap;
        return (uint32_t)(left < 0 ? left + wrap : left);
    }
    }
}

/* Between the number in the counter and the 16 bits that the guest reads and writes. */
static uint16_t to_guest(const struct pit *pit, unsigned n, uint32_t value)
{
    if (!(pit->state.control[n] & CONTROL_BCD))
        return (uint16_t)value;
    return (uint16_t)(value % 10 | value / 10 % 10 << 4 | value / 100 % 10 << 8 |
                      value / 1000 % 10 << 12);
}

static uint32_t from_guest(const struct pit *pit, unsigned n, uint16_t value)
{
    if (!(pit->state.control[n] & CONTROL_BCD))
        return value ? value : 65536;
    uint32_t number = (value & 15u) + (value >> 4 & 15u) * 10 + (value >> 8 & 15u) * 100 +
                      (value >> 12 & 15u) * 1000;
    return number ? number : 10000;
}

/* --- the output of counter 0 */

/* The tick after `now` at which the output rises; INT64_MAX: never. */
static int64_t next_rise(const struct pit *pit, unsigned n, int64_t now)
{
    const struct pit_state *state = &pit->state;
    unsigned mode = counter_mode(pit, n);
    int64_t count = state->count[n], start = state->start[n];
    if (!count || state->held[n] >= 0)
        return INT64_MAX;
    if (!is_periodic(mode)) {
        int64_t rise = start + count + (mode >= 4);
        return rise > now ? rise : INT64_MAX;
    }
    if (count == 1)
        return INT64_MAX;
    int64_t periods = now < start ? 0 : (now - start) / count;
    int64_t rise = start + (periods + 1) * count;
    if (!state->next[n] || state->change[n] >= rise)
        return rise;
    int64_t low_half = (int64_t)state->next[n] - high_half(state->next[n]);
    return state->change[n] + (low_half ? low_half : 1);
}

static void arm(struct pit *pit, int64_t now)
{
    int64_t late = late_ticks_deadline(&pit->late);
    pit->rise = next_rise(pit, 0, now);
    int64_t at = pit->rise == INT64_MAX ? CLOCK_NEVER : tick_ns(pit->rise);
    if (late < at)
        at = late;
    if (at == CLOCK_NEVER)
        timer_disarm(&pit->timer);
    else
        timer_arm(&pit->timer, at);
}

/* After a change of counter 0 by the guest: the line and the timer. */
static void update(struct pit *pit, int64_t now)
{
    /* WHY: only rising edges make interrupts, so between two of them a periodic output is shown as
     * high and no timer is spent on its falling edge. */
    pit->late.count = 0;
    irq_set(&pit->irq, is_periodic(counter_mode(pit, 0)) || output(pit, 0, now));
    arm(pit, now);
}

static void fire(void *opaque)
{
    struct pit *pit = opaque;
    int64_t now = now_tick(pit), now_ns = clock_now_ns(pit->clock);
    bool ticks = now >= pit->rise || late_ticks_take(&pit->late, now_ns);
    settle(pit, 0, now);
    if (now >= pit->rise && is_periodic(counter_mode(pit, 0))) {
        int64_t count = pit->state.count[0];
        late_ticks_note(&pit->late, (uint64_t)((now - pit->rise) / count), tick_ns(count), now_ns);
    }
    if (ticks) {
        irq_set(&pit->irq, 0);
        irq_set(&pit->irq, 1);
    }
    arm(pit, now);
}

/* --- registers */

static void load_count(struct pit *pit, unsigned n, uint32_t value, int64_t now)
{
    struct pit_state *state = &pit->state;
    unsigned mode = counter_mode(pit, n);
    bool on_gate = mode == 1 || mode == 5;
    if (on_gate || (is_periodic(mode) && state->count[n])) {
        int64_t count = state->count[n], gone = elapsed(pit, n, now);
        state->next[n] = value;
        state->change[n] = INT64_MAX;
        if (on_gate || state->held[n] >= 0)
            return;
        int64_t phase = gone % count, half = high_half((uint32_t)count);
        state->change[n] = state->start[n] + gone - phase +
                           (mode == 3 && phase < half && count > 1 ? half : count);
        return;
    }
    state->count[n] = value;
    state->start[n] = now + 1;
    state->held[n] = state->gate[n] ? -1 : 0;
}

static void write_counter(struct pit *pit, unsigned n, uint8_t value)
{
    struct pit_state *state = &pit->state;
    int64_t now = now_tick(pit);
    settle(pit, n, now);
    uint16_t word = value;
    switch (access_bits(pit, n)) {
    case RW_HIGH:
        word = (uint16_t)(value << 8);
        break;
    case RW_BOTH:
        if (!state->high_write[n]) {
            state->high_write[n] = 1;
            state->low_byte[n] = value;
            if (counter_mode(pit, n) == 0) /* the first byte stops the counting */
                state->count[n] = 0;
            if (n == 0)
                update(pit, now);
            return;
        }
        state->high_write[n] = 0;
        word = (uint16_t)(value << 8 | state->low_byte[n]);
        break;
    default:
        break;
    }
    load_count(pit, n, from_guest(pit, n, word), now);
    if (n == 0)
        update(pit, now);
}

static void latch_count(struct pit *pit, unsigned n, int64_t now)
{
    struct pit_state *state = &pit->state;
    if (state->latched[n])
        return;
    state->latch[n] = to_guest(pit, n, counting_element(pit, n, now));
    state->latched[n] = access_bits(pit, n) == RW_BOTH ? 2 : 1;
    state->high_read[n] = 0;
}

static void latch_status(struct pit *pit, unsigned n, int64_t now)
{
    struct pit_state *state = &pit->state;
    if (state->status_latched[n])
        return;
    bool null = state->next[n] || !state->count[n] || now < state->start[n];
    state->status[n] =
        state->control[n] | (output(pit, n, now) ? STATUS_OUT : 0) | (null ? STATUS_NULL : 0);
    state->status_latched[n] = 1;
}

static void write_control(struct pit *pit, uint8_t value)
{
    struct pit_state *state = &pit->state;
    unsigned n = value >> 6;
    int64_t now = now_tick(pit);
    if (n == READ_BACK) {
        for (n = 0; n < PIT_COUNTERS; n++) {
            if (!(value & BIT(n + 1)))
                continue;
            settle(pit, n, now);
            if (!(value & READ_BACK_NO_STATUS))
                latch_status(pit, n, now);
            if (!(value & READ_BACK_NO_COUNT))
                latch_count(pit, n, now);
        }
        return;
    }
    if ((value >> 4 & 3) == RW_LATCH) {
        settle(pit, n, now);
        latch_count(pit, n, now);
        return;
    }
    state->control[n] = value & 0x3f;
    state->count[n] = state->next[n] = 0;
    state->change[n] = INT64_MAX;
    state->held[n] = state->gate[n] ? -1 : 0;
    state->latched[n] = state->status_latched[n] = 0;
    state->high_read[n] = state->high_write[n] = 0;
    if (n == 0)
        update(pit, now);
}

static uint8_t read_counter(struct pit *pit, unsigned n)
{
    struct pit_state *state = &pit->state;
    if (state->status_latched[n]) {
        state->status_latched[n] = 0;
        return state->status[n];
    }
    uint16_t value = state->latch[n];
    if (!state->latched[n]) {
        int64_t now = now_tick(pit);
        settle(pit, n, now);
        value = to_guest(pit, n, counting_element(pit, n, now));
    } else {
        state->latched[n]--;
    }
    bool high = access_bits(pit, n) == RW_HIGH;
    if (access_bits(pit, n) == RW_BOTH) {
        high = state->high_read[n];
        state->high_read[n] = !high;
    }
    return (uint8_t)(high ? value >> 8 : value);
}

static uint64_t ports_read(void *opaque, uint64_t offset, unsigned size)
{
    /* The control word cannot be read. */
    return offset < PIT_COUNTERS ? read_counter(opaque, (unsigned)offset) : 0xff;
}

static void ports_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    if (offset < PIT_COUNTERS)
        write_counter(opaque, (unsigned)offset, (uint8_t)value);
    else
        write_control(opaque, (uint8_t)value);
}

/* --- gates and port 61h */

static void set_gate(struct pit *pit, unsigned n, bool gate)
{
    struct pit_state *state = &pit->state;
    if (gate == state->gate[n])
        return;
    int64_t now = now_tick(pit);
    unsigned mode = counter_mode(pit, n);
    settle(pit, n, now);
    state->gate[n] = gate;
    if (mode == 1 || mode == 5) {
        if (!gate)
            return;
        if (state->next[n])
            state->count[n] = state->next[n];
        state->next[n] = 0;
        state->start[n] = now + 1;
        state->held[n] = -1;
        return;
    }
    if (!gate) {
        state->held[n] = elapsed(pit, n, now);
        state->change[n] = INT64_MAX;
        return;
    }
    if (is_periodic(mode)) {
        if (state->next[n])
            state->count[n] = state->next[n];
        state->next[n] = 0;
        state->start[n] = now + 1;
    } else {
        state->start[n] = now - state->held[n];
    }
    state->held[n] = -1;
}

static uint64_t port61_read(void *opaque, uint64_t offset, unsigned size)
{
    struct pit *pit = opaque;
    int64_t now = now_tick(pit);
    settle(pit, 2, now);
    uint8_t value = pit->state.port61 & PORT61_KEPT;
    value |= pit->state.gate[2] ? PORT61_GATE2 : 0;
    value |= clock_now_ns(pit->clock) / REFRESH_NS & 1 ? PORT61_REFRESH : 0;
    value |= output(pit, 2, now) ? PORT61_OUT2 : 0;
    return value;
}

static void port61_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct pit *pit = opaque;
    pit->state.port61 = value & PORT61_KEPT;
    set_gate(pit, 2, value & PORT61_GATE2);
}

uint32_t pit_speaker_hz(const struct pit *pit)
{
    const struct pit_state *state = &pit->state;
    if (!(state->port61 & PORT61_SPEAKER) || !state->gate[2] || !state->count[2] ||
        counter_mode(pit, 2) != 3)
        return 0;
    return PIT_HZ / state->count[2];
}

/* --- the device */

static void reset(void *object, enum reset_kind kind)
{
    struct pit *pit = object;
    pit->state = (struct pit_state){.gate = {1, 1, 0}};
    for (unsigned n = 0; n < PIT_COUNTERS; n++) {
        pit->state.control[n] = RW_BOTH << 4 | 3 << 1;
        pit->state.change[n] = INT64_MAX;
        pit->state.held[n] = pit->state.gate[n] ? -1 : 0;
    }
    pit->late.count = 0;
    timer_disarm(&pit->timer);
    irq_set(&pit->irq, 0);
}

static int after_load(void *object, struct error *error)
{
    struct pit *pit = object;
    struct pit_state *state = &pit->state;
    int64_t now = now_tick(pit);
    for (unsigned n = 0; n < PIT_COUNTERS; n++) {
        /* A time that no run can have produced would overflow what is computed from it. */
        if (state->count[n] > 65536 || state->next[n] > 65536 || state->start[n] < -65536 ||
            state->start[n] > now + 65536 || state->held[n] < -1 || state->held[n] > now + 65536 ||
            (state->next[n] && !state->count[n] && is_periodic(counter_mode(pit, n))) ||
            state->change[n] < 0)
            return error_set(error, EINVAL,
                             "saved state: \"pit\": counter %u is out of range; "
                             "the file is damaged",
                             n);
    }
    pit->late.count = 0;
    arm(pit, now);
    return 0;
}

void pit_attach(struct pit *pit, struct bus *ports, struct clock *clock, struct irq_line irq)
{
    *pit = (struct pit){.clock = clock, .irq = irq};
    timer_init(&pit->timer, clock, fire, pit);
    pit->ports = (struct region){.name = "pit",
                                 .base = 0x40,
                                 .length = 4,
                                 .read = ports_read,
                                 .write = ports_write,
                                 .max_size = 1,
                                 .opaque = pit};
    pit->port61 = (struct region){.name = "port61",
                                  .base = 0x61,
                                  .length = 1,
                                  .read = port61_read,
                                  .write = port61_write,
                                  .max_size = 1,
                                  .opaque = pit};
    bus_add(ports, &pit->ports);
    bus_add(ports, &pit->port61);
}

const struct device_class pit_class = {
    .name = "pit",
    DEVICE_STATE(struct pit, 1, pit_fields),
    .reset = reset,
    .after_load = after_load,
};
