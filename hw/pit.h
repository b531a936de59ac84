/* 8254 interval timer, with port 61h (gate of counter 2, speaker, refresh and output bits).
 *
 * Counters are functions of the virtual clock: nothing runs between two edges of counter 0.
 * INV-1: a host timer is armed exactly while counter 0's output will rise again.
 * Source: Intel 82C54 datasheet; 82371SB §2.5 (NMI status and control register).
 */
#ifndef HW_PIT_H
#define HW_PIT_H

#include "base/bus.h"
#include "base/clock.h"
#include "base/irq.h"
#include "hw/device.h"
#include "hw/late_ticks.h"

#define PIT_HZ 1193182

enum { PIT_COUNTERS = 3 };

struct pit_state {
    int64_t start[PIT_COUNTERS];  /* tick at which `count` began to count down */
    int64_t change[PIT_COUNTERS]; /* tick at which `next` is taken; INT64_MAX: at a gate edge */
    int64_t held[PIT_COUNTERS];   /* ticks counted so far, while the gate holds it; -1: it runs */
    uint32_t count[PIT_COUNTERS]; /* 1..65536; 0: none since the control word */
    uint32_t next[PIT_COUNTERS];  /* written, not yet taken; 0: none */
    uint16_t latch[PIT_COUNTERS];
    uint8_t latched[PIT_COUNTERS]; /* bytes of `latch` still to be read */
    uint8_t control[PIT_COUNTERS]; /* RW, M and BCD bits of the control word */
    uint8_t status[PIT_COUNTERS];
    uint8_t status_latched[PIT_COUNTERS];
    uint8_t high_read[PIT_COUNTERS];  /* the next read gives the high byte */
    uint8_t high_write[PIT_COUNTERS]; /* the next write is the high byte */
    uint8_t low_byte[PIT_COUNTERS];   /* written, waiting for the high byte */
    uint8_t gate[PIT_COUNTERS];
    uint8_t port61; /* bits 3:1: channel check and parity check disabled, speaker data */
    uint8_t pad[1];
};

struct pit {
    struct pit_state state;
    struct clock *clock;
    struct timer timer;
    int64_t rise; /* the tick that `timer` is armed for, or INT64_MAX */
    struct late_ticks late;
    struct irq_line irq; /* OUT0 */
    struct region ports, port61;
};

/* Ports 40h..43h and 61h. */
void pit_attach(struct pit *pit, struct bus *ports, struct clock *clock, struct irq_line irq);
/* Whether the speaker cone is driven, and at what frequency (0: silent). */
uint32_t pit_speaker_hz(const struct pit *pit);
extern const struct device_class pit_class;

#endif
