/* 16550A serial port.
 *
 * LIMIT: characters take no time on the line: the transmitter is always empty again.  Only the
 * receiver's FIFO timeout uses the clock.
 * INV-1: `irq` is high exactly while an enabled interrupt is pending and OUT2 is set.
 * Source: National Semiconductor PC16550D datasheet.
 */
#ifndef HW_UART16550_H
#define HW_UART16550_H

#include "base/bus.h"
#include "base/chardev.h"
#include "base/clock.h"
#include "base/irq.h"
#include "hw/device.h"

enum { UART_FIFO_BYTES = 16 };

struct uart16550_state {
    int64_t timeout_ns; /* when the receive FIFO times out; CLOCK_NEVER: it does not */
    uint16_t divisor;
    uint8_t fifo[UART_FIFO_BYTES], fifo_flags[UART_FIFO_BYTES]; /* flags: LSR error bits */
    uint8_t fifo_first, fifo_count;
    uint8_t interrupt_enable, line_control, modem_control, line_status, modem_status, scratch;
    uint8_t fifo_control;
    uint8_t transmit_pending; /* the THR-empty interrupt has not been acknowledged */
    uint8_t timeout_pending;
    uint8_t irq_level;
    uint8_t pad[2];
};

struct uart16550 {
    struct uart16550_state state;
    struct chardev *chardev;
    struct clock *clock;
    struct timer timeout;
    struct irq_line irq;
    struct region ports;
};

/* Eight ports from `base`; `chardev` NULL: nothing connected. */
void uart16550_attach(struct uart16550 *uart, struct bus *ports, uint16_t base, struct clock *clock,
                      struct irq_line irq, struct chardev *chardev);
extern const struct device_class uart16550_class;

#endif
