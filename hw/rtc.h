/* MC146818A real-time clock with 128 bytes of CMOS RAM, at ports 70h and 71h.
 *
 * Date, time and flags are functions of the virtual clock.
 * INV-1: a host timer is armed only while an interrupt is enabled whose flag is not set yet; so a
 *        guest that does not answer causes no more.
 * LIMIT: the day of the week follows the date; daylight saving and the square wave are not there.
 * QUIRK: the century is kept in CMOS byte 32h, as firmware and ACPI expect it.
 * Source: Motorola MC146818A datasheet.
 */
#ifndef HW_RTC_H
#define HW_RTC_H

#include "base/bus.h"
#include "base/clock.h"
#include "base/irq.h"
#include "hw/device.h"

#include <time.h>

enum { RTC_CMOS_BYTES = 128, RTC_CENTURY = 0x32 };

struct rtc_state {
    int64_t seconds;              /* date and time at `phase_ns`, in seconds since 1970 */
    int64_t phase_ns;             /* virtual time at which a second (and the divider chain) began */
    int64_t flags_ns;             /* the flags of register C are current up to this time */
    uint8_t cmos[RTC_CMOS_BYTES]; /* 0..9: as last read or written; the truth while stopped */
    uint8_t index;
    uint8_t irq_level;
    uint8_t pad[6];
};

struct rtc {
    struct rtc_state state;
    struct clock *clock;
    struct timer timer; /* the next enabled event */
    struct irq_line irq;
    struct region ports;
    void (*nmi_mask)(void *opaque, bool masked); /* port 70h bit 7; may be NULL */
    void *opaque;
};

/* `base`: date and time at virtual time 0, since 1970 (local time if the guest shall see local
 * time); its nanoseconds are those of the second that runs then. */
void rtc_attach(struct rtc *rtc, struct bus *ports, struct clock *clock, struct irq_line irq,
                struct timespec base);
/* CMOS RAM (0Eh..7Fh), for the board to describe the machine to the firmware. */
void rtc_set_cmos(struct rtc *rtc, unsigned index, uint8_t value);
uint8_t rtc_cmos(const struct rtc *rtc, unsigned index);
extern const struct device_class rtc_class;

#endif
