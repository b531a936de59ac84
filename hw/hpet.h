/* High precision event timers at FED00000h: three comparators on a 100 MHz, 64-bit counter.
 *
 * The 8254's and the RTC's interrupts pass through it, since legacy replacement takes their lines.
 * INV-1: a host timer is armed only for a comparator with its interrupt enabled, while the counter
 *        runs.
 * Source: IA-PC HPET specification 1.0a.
 */
#ifndef HW_HPET_H
#define HW_HPET_H

#include "base/bus.h"
#include "base/clock.h"
#include "base/irq.h"
#include "hw/device.h"
#include "hw/isa_irq.h"
#include "hw/late_ticks.h"

enum { HPET_TIMERS = 3, HPET_TICK_NS = 10 };
#define HPET_ADDRESS UINT64_C(0xfed00000)

struct hpet_state {
    uint64_t config, interrupt_status;
    uint64_t counter; /* main counter: its value while it stands, at `start_ns` while it runs */
    int64_t start_ns;
    uint64_t timer_config[HPET_TIMERS], comparator[HPET_TIMERS], period[HPET_TIMERS];
    int64_t settled_ns[HPET_TIMERS]; /* matches up to this time have been seen */
    uint8_t legacy_levels[2];        /* what the 8254 and the RTC drive */
    uint8_t pad[6];
};

struct hpet {
    struct hpet_state state;
    struct clock *clock;
    struct timer timers[HPET_TIMERS];
    struct late_ticks late[HPET_TIMERS];
    struct irq_line irqs;      /* number is filled in: IOAPIC inputs 0..23 */
    struct irq_line legacy[2]; /* IRQ0 and IRQ8 */
    struct region region;
};

/* `irqs` leads to the IOAPIC (its own opaque, the input's number), `irq0` and `irq8` to the board's
 * lines. */
void hpet_attach(struct hpet *hpet, struct bus *memory, struct clock *clock, struct irq_line irqs,
                 struct irq_line irq0, struct irq_line irq8);
/* The lines to give to pit_attach() and rtc_attach(). */
struct irq_line hpet_pit_line(struct hpet *hpet);
struct irq_line hpet_rtc_line(struct hpet *hpet);
extern const struct device_class hpet_class;

#endif
