#include "hw/rtc.h"

#include <errno.h>

#define RTC_FIELDS(FIELD, ARRAY)                                                                   \
    FIELD(struct rtc_state, seconds)                                                               \
    FIELD(struct rtc_state, phase_ns)                                                              \
    FIELD(struct rtc_state, flags_ns)                                                              \
    ARRAY(struct rtc_state, cmos)                                                                  \
    FIELD(struct rtc_state, index)                                                                 \
    FIELD(struct rtc_state, irq_level)                                                             \
    ARRAY(struct rtc_state, pad)
static const struct field rtc_fields[] = SAVE_FIELDS(RTC_FIELDS);
SAVE_ASSERT_COMPLETE(struct rtc_state, RTC_FIELDS);

enum {
    SECONDS = 0x00,
    SECONDS_ALARM = 0x01,
    MINUTES = 0x02,
    MINUTES_ALARM = 0x03,
    HOURS = 0x04,
    HOURS_ALARM = 0x05,
    DAY_OF_WEEK = 0x06,
    DAY = 0x07,
    MONTH = 0x08,
    YEAR = 0x09,
    REGISTER_A = 0x0a,
    REGISTER_B = 0x0b,
    REGISTER_C = 0x0c,
    REGISTER_D = 0x0d,
    FIRST_RAM = 0x0e,

    A_UIP = 0x80,
    A_DIVIDER = 0x70,
    A_DIVIDER_32K = 0x20,
    A_RATE = 0x0f,
    B_SET = 0x80,
    B_INTERRUPTS = 0x70, /* PIE, AIE, UIE: the places of PF, AF, UF in register C */
    B_UPDATE = 0x10,
    B_SQUARE_WAVE = 0x08,
    B_BINARY = 0x04,
    B_24_HOURS = 0x02,
    C_IRQ = 0x80,
    C_PERIODIC = 0x40,
    C_ALARM = 0x20,
    C_UPDATE = 0x10,
    D_VALID = 0x80,

    ALARM_ANY = 0xc0, /* both top bits: matches always */
    HOURS_PM = 0x80,
    SECONDS_A_DAY = 86400,
    CRYSTAL_HZ = 32768,
    /* With a 32 kHz crystal UIP is up for tBUC = 244 µs and the update of tUC = 1984 µs. */
    UIP_NS = 2228000,
};

/* --- calendar: days since 1970 of the proleptic Gregorian calendar */

static int64_t divide_down(int64_t value, int64_t divisor)
{
    return value / divisor - (value % divisor < 0);
}

/* Counts from March, so that the leap day is a year's last; `month` 1..12. */
static int64_t days_from_date(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t march_month = (month + 9) % 12;
    int64_t days = 365 * year + divide_down(year, 4) - divide_down(year, 100) +
                   divide_down(year, 400) + (153 * march_month + 2) / 5 + day - 1;
    return days - 719468;
}

static void date_from_days(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
    int64_t since = days + 719468;
    int64_t guess = divide_down(since * 400, 146097);
    while (days_from_date(guess + 1, 3, 1) <= days)
        guess++;
    while (days_from_date(guess, 3, 1) > days)
        guess--;
    int64_t of_year = days - days_from_date(guess, 3, 1);
    int64_t march_month = (5 * of_year + 2) / 153;
    *day = (unsigned)(of_year - (153 * march_month + 2) / 5 + 1);
    *month = (unsigned)(march_month < 10 ? march_month + 3 : march_month - 9);
    *year = guess + (*month <= 2);
}

/* --- numbers as the registers hold them */

static uint8_t encode(const struct rtc *rtc, unsigned number)
{
    if (rtc->state.cmos[REGISTER_B] & B_BINARY)
        return (uint8_t)number;
    return (uint8_t)(number / 10 << 4 | number % 10);
}

static unsigned decode(const struct rtc *rtc, uint8_t byte)
{
    return rtc->state.cmos[REGISTER_B] & B_BINARY ? byte : (byte >> 4) * 10u + (byte & 15u);
}

static uint8_t encode_hours(const struct rtc *rtc, unsigned hours)
{
    if (rtc->state.cmos[REGISTER_B] & B_24_HOURS)
        return encode(rtc, hours);
    uint8_t twelve = encode(rtc, hours % 12 ? hours % 12 : 12);
    return hours >= 12 ? twelve | HOURS_PM : twelve;
}

static unsigned decode_hours(const struct rtc *rtc, uint8_t byte)
{
    if (rtc->state.cmos[REGISTER_B] & B_24_HOURS)
        return decode(rtc, byte);
    return decode(rtc, byte & ~HOURS_PM) % 12 + (byte & HOURS_PM ? 12 : 0);
}

/* --- the time */

static bool divider_runs(const struct rtc *rtc)
{
    return (rtc->state.cmos[REGISTER_A] & A_DIVIDER) == A_DIVIDER_32K;
}

/* Do the time registers follow the clock? */
static bool is_running(const struct rtc *rtc)
{
    return divider_runs(rtc) && !(rtc->state.cmos[REGISTER_B] & B_SET);
}

static int64_t seconds_at(const struct rtc *rtc, int64_t ns)
{
    return rtc->state.seconds + divide_down(ns - rtc->state.phase_ns, NS_PER_SECOND);
}

static void show_time(struct rtc *rtc, int64_t now)
{
    uint8_t *cmos = rtc->state.cmos;
    if (!is_running(rtc))
        return;
    int64_t seconds = seconds_at(rtc, now), days = divide_down(seconds, SECONDS_A_DAY);
    unsigned of_day = (unsigned)(seconds - days * SECONDS_A_DAY), month, day;
    int64_t year;
    date_from_days(days, &year, &month, &day);
    cmos[SECONDS] = encode(rtc, of_day % 60);
    cmos[MINUTES] = encode(rtc, of_day / 60 % 60);
    cmos[HOURS] = encode_hours(rtc, of_day / 3600);
    cmos[DAY_OF_WEEK] = encode(rtc, (unsigned)((days + 4) - divide_down(days + 4, 7) * 7) + 1);
    cmos[DAY] = encode(rtc, day);
    cmos[MONTH] = encode(rtc, month);
    cmos[YEAR] = encode(rtc, (unsigned)(year - divide_down(year, 100) * 100));
    /* QUIRK: the century byte is BCD whatever register B says; firmware reads it so. */
    unsigned century = (unsigned)divide_down(year, 100) % 100;
    cmos[RTC_CENTURY] = (uint8_t)(century / 10 << 4 | century % 10);
}

/* The clock goes on from what the registers hold. */
static void adopt_time(struct rtc *rtc, int64_t now)
{
    const uint8_t *cmos = rtc->state.cmos;
    uint8_t century = cmos[RTC_CENTURY];
    int64_t year = ((century >> 4) * 10 + (century & 15)) * 100 + (int)decode(rtc, cmos[YEAR]);
    unsigned month = decode(rtc, cmos[MONTH]);
    int64_t days =
        days_from_date(year, month >= 1 && month <= 12 ? month : 1, (int)decode(rtc, cmos[DAY]));
    int64_t seconds = days * SECONDS_A_DAY + decode_hours(rtc, cmos[HOURS]) * 3600 +
                      decode(rtc, cmos[MINUTES]) * 60 + decode(rtc, cmos[SECONDS]);
    rtc->state.seconds += seconds - seconds_at(rtc, now);
}

/* --- events */

static int64_t periodic_ticks(const struct rtc *rtc)
{
    unsigned rate = rtc->state.cmos[REGISTER_A] & A_RATE;
    if (!rate || !divider_runs(rtc))
        return 0;
    /* Rates 1 and 2 are those of 8 and 9 with a 32 kHz crystal. */
    return INT64_C(1) << (rate <= 2 ? rate + 6 : rate - 1);
}

static int64_t next_periodic(const struct rtc *rtc, int64_t after)
{
    int64_t ticks = periodic_ticks(rtc), phase = rtc->state.phase_ns;
    if (!ticks)
        return CLOCK_NEVER;
    __int128 gone = (__int128)(after - phase) * CRYSTAL_HZ / NS_PER_SECOND;
    int64_t event = (int64_t)(gone / ticks) + 1;
    return phase +
           (int64_t)(((__int128)event * ticks * NS_PER_SECOND + CRYSTAL_HZ - 1) / CRYSTAL_HZ);
}

static int64_t next_update(const struct rtc *rtc, int64_t after)
{
    if (!is_running(rtc))
        return CLOCK_NEVER;
    int64_t second = divide_down(after - rtc->state.phase_ns, NS_PER_SECOND) + 1;
    return rtc->state.phase_ns + second * NS_PER_SECOND;
}

static bool alarm_matches(uint8_t alarm, uint8_t shown)
{
    return (alarm & ALARM_ANY) == ALARM_ANY || alarm == shown;
}

static int64_t next_alarm(const struct rtc *rtc, int64_t after)
{
    const uint8_t *cmos = rtc->state.cmos;
    int64_t update = next_update(rtc, after);
    if (update == CLOCK_NEVER)
        return CLOCK_NEVER;
    int64_t first = seconds_at(rtc, update);
    int64_t second = first - divide_down(first, SECONDS_A_DAY) * SECONDS_A_DAY;
    int64_t from = second, end = second + SECONDS_A_DAY;
    while (second < end) {
        unsigned of_day = (unsigned)(second % SECONDS_A_DAY);
        if (!alarm_matches(cmos[HOURS_ALARM], encode_hours(rtc, of_day / 3600)))
            second += 3600 - of_day % 3600;
        else if (!alarm_matches(cmos[MINUTES_ALARM], encode(rtc, of_day / 60 % 60)))
            second += 60 - of_day % 60;
        else if (!alarm_matches(cmos[SECONDS_ALARM], encode(rtc, of_day % 60)))
            second++;
        else
            return update + (second - from) * NS_PER_SECOND;
    }
    return CLOCK_NEVER;
}

/* Sets the flags of the events up to `now`. */
static void settle(struct rtc *rtc, int64_t now)
{
    uint8_t *flags = &rtc->state.cmos[REGISTER_C];
    int64_t from = rtc->state.flags_ns;
    if (!(*flags & C_PERIODIC) && next_periodic(rtc, from) <= now)
        *flags |= C_PERIODIC;
    if (!(*flags & C_UPDATE) && next_update(rtc, from) <= now)
        *flags |= C_UPDATE;
    if (!(*flags & C_ALARM) && next_alarm(rtc, from) <= now)
        *flags |= C_ALARM;
    rtc->state.flags_ns = now;
}

static void update_irq(struct rtc *rtc)
{
    uint8_t *cmos = rtc->state.cmos;
    bool pending = cmos[REGISTER_B] & cmos[REGISTER_C] & B_INTERRUPTS;
    cmos[REGISTER_C] = (cmos[REGISTER_C] & ~C_IRQ) | (pending ? C_IRQ : 0);
    if (pending == rtc->state.irq_level)
        return;
    rtc->state.irq_level = pending;
    irq_set(&rtc->irq, pending);
}

/* INV-1. */
static void arm(struct rtc *rtc)
{
    const uint8_t *cmos = rtc->state.cmos;
    uint8_t wanted = cmos[REGISTER_B] & ~cmos[REGISTER_C] & B_INTERRUPTS;
    int64_t from = rtc->state.flags_ns, deadline = CLOCK_NEVER;
    if (wanted & C_PERIODIC)
        deadline = next_periodic(rtc, from);
    if (wanted & C_UPDATE && next_update(rtc, from) < deadline)
        deadline = next_update(rtc, from);
    if (wanted & C_ALARM && next_alarm(rtc, from) < deadline)
        deadline = next_alarm(rtc, from);
    if (deadline == CLOCK_NEVER)
        timer_disarm(&rtc->timer);
    else
        timer_arm(&rtc->timer, deadline);
}

static void fire(void *opaque)
{
    struct rtc *rtc = opaque;
    settle(rtc, clock_now_ns(rtc->clock));
    update_irq(rtc);
    arm(rtc);
}

/* --- registers */

static uint8_t read_register(struct rtc *rtc, unsigned index)
{
    uint8_t *cmos = rtc->state.cmos;
    int64_t now = clock_now_ns(rtc->clock);
    switch (index) {
    case REGISTER_A: {
        bool updating = is_running(rtc) && next_update(rtc, now) - now <= UIP_NS;
        return cmos[REGISTER_A] | (updating ? A_UIP : 0);
    }
    case REGISTER_C: {
        settle(rtc, now);
        update_irq(rtc);
        uint8_t flags = cmos[REGISTER_C];
        cmos[REGISTER_C] = 0;
        update_irq(rtc);
        arm(rtc);
        return flags;
    }
    case REGISTER_D:
        return D_VALID;
    default:
        if (index <= YEAR || index == RTC_CENTURY)
            show_time(rtc, now);
        return cmos[index];
    }
}

static void write_register_a(struct rtc *rtc, uint8_t value, int64_t now)
{
    bool ran = divider_runs(rtc);
    show_time(rtc, now);
    rtc->state.cmos[REGISTER_A] = value & ~A_UIP;
    if (ran || !divider_runs(rtc))
        return;
    /* The first update comes half a second after the divider is released. */
    rtc->state.phase_ns = now - NS_PER_SECOND / 2;
    adopt_time(rtc, now);
}

static void write_register_b(struct rtc *rtc, uint8_t value, int64_t now)
{
    bool ran = is_running(rtc);
    show_time(rtc, now);
    if (value & B_SET)
        value &= ~B_UPDATE;
    rtc->state.cmos[REGISTER_B] = value;
    if (!ran && is_running(rtc))
        adopt_time(rtc, now);
}

static void write_register(struct rtc *rtc, unsigned index, uint8_t value)
{
    uint8_t *cmos = rtc->state.cmos;
    int64_t now = clock_now_ns(rtc->clock);
    settle(rtc, now);
    switch (index) {
    case REGISTER_A:
        write_register_a(rtc, value, now);
        break;
    case REGISTER_B:
        write_register_b(rtc, value, now);
        break;
    case REGISTER_C:
    case REGISTER_D:
        return;
    default:
        show_time(rtc, now);
        cmos[index] = value;
        if (is_running(rtc) && (index <= YEAR || index == RTC_CENTURY))
            adopt_time(rtc, now);
        break;
    }
    update_irq(rtc);
    arm(rtc);
}

static uint64_t ports_read(void *opaque, uint64_t offset, unsigned size)
{
    struct rtc *rtc = opaque;
    /* The index register is write-only. */
    return offset ? read_register(rtc, rtc->state.index) : 0xff;
}

static void ports_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct rtc *rtc = opaque;
    if (offset) {
        write_register(rtc, rtc->state.index, (uint8_t)value);
        return;
    }
    rtc->state.index = value & (RTC_CMOS_BYTES - 1);
    if (rtc->nmi_mask)
        rtc->nmi_mask(rtc->opaque, value & 0x80);
}

void rtc_set_cmos(struct rtc *rtc, unsigned index, uint8_t value)
{
    BUG_ON(index < FIRST_RAM || index >= RTC_CMOS_BYTES || index == RTC_CENTURY);
    rtc->state.cmos[index] = value;
}

uint8_t rtc_cmos(const struct rtc *rtc, unsigned index)
{
    return rtc->state.cmos[index % RTC_CMOS_BYTES];
}

/* --- the device */

static void reset(void *object, enum reset_kind kind)
{
    struct rtc *rtc = object;
    uint8_t *cmos = rtc->state.cmos;
    int64_t now = clock_now_ns(rtc->clock);
    if (kind == RESET_POWER_ON) {
        cmos[REGISTER_A] = A_DIVIDER_32K | 6;
        cmos[REGISTER_B] = B_24_HOURS;
    }
    cmos[REGISTER_B] &= ~(B_INTERRUPTS | B_SQUARE_WAVE);
    cmos[REGISTER_C] = 0;
    rtc->state.flags_ns = now;
    rtc->state.index = 0;
    rtc->state.irq_level = 0;
    irq_set(&rtc->irq, 0);
    arm(rtc);
}

static int after_load(void *object, struct error *error)
{
    struct rtc *rtc = object;
    struct rtc_state *state = &rtc->state;
    const int64_t far = INT64_C(1) << 40; /* seconds: some 35,000 years */
    int64_t now = clock_now_ns(rtc->clock);
    if (state->seconds > far || state->seconds < -far || state->flags_ns > now ||
        state->flags_ns < 0 || state->phase_ns > now || state->phase_ns < -NS_PER_SECOND)
        return error_set(error, EINVAL,
                         "saved state: \"rtc\": the time is out of range; the file "
                         "is damaged");
    state->index %= RTC_CMOS_BYTES;
    state->irq_level = state->irq_level != 0;
    update_irq(rtc);
    arm(rtc);
    return 0;
}

void rtc_attach(struct rtc *rtc, struct bus *ports, struct clock *clock, struct irq_line irq,
                struct timespec base)
{
    *rtc = (struct rtc){.clock = clock, .irq = irq};
    rtc->state.seconds = base.tv_sec;
    rtc->state.phase_ns = -base.tv_nsec;
    rtc->state.cmos[REGISTER_A] = A_DIVIDER_32K | 6;
    rtc->state.cmos[REGISTER_B] = B_24_HOURS;
    timer_init(&rtc->timer, clock, fire, rtc);
    rtc->ports = (struct region){.name = "rtc",
                                 .base = 0x70,
                                 .length = 2,
                                 .read = ports_read,
                                 .write = ports_write,
                                 .max_size = 1,
                                 .opaque = rtc};
    bus_add(ports, &rtc->ports);
}

const struct device_class rtc_class = {
    .name = "rtc",
    DEVICE_STATE(struct rtc, 1, rtc_fields),
    .reset = reset,
    .after_load = after_load,
};
