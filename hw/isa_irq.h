/* The sixteen interrupt lines of the board, each shared by what drives it, each leading to the
 * 8259s and to the IOAPIC.
 *
 * INV-1: a line is high exactly while one of its drivers holds it high.
 * IRQ0 enters the IOAPIC at pin 2, IRQ2 (the cascade) nowhere; all others at their own number.
 */
#ifndef HW_ISA_IRQ_H
#define HW_ISA_IRQ_H

#include "base/irq.h"
#include "hw/device.h"

enum { ISA_IRQS = 16 };

/* Who can drive a line, besides the ISA device that owns it. */
enum isa_irq_driver {
    ISA_DRIVER_DEVICE,
    ISA_DRIVER_PIRQ,
    ISA_DRIVER_SCI,
    ISA_DRIVER_SECOND,
    ISA_DRIVER_COUNT
};

struct isa_irqs_state {
    uint8_t drivers[ISA_IRQS]; /* bit n: driver n holds the line high */
};

struct isa_irqs {
    struct isa_irqs_state state;
    struct irq_line pic;    /* number is filled in: 0..15 */
    struct irq_line ioapic; /* number is filled in: 0..23; may be unconnected */
};

/* `pic` and `ioapic` are called with their own opaque and the input's number. */
void isa_irqs_attach(struct isa_irqs *irqs, struct irq_line pic, struct irq_line ioapic);
/* Drives line `number` (0..15) as `driver`. */
void isa_irqs_drive(struct isa_irqs *irqs, unsigned number, enum isa_irq_driver driver, int level);
/* The line `number` for the device that owns it, for a second one (COM3 and COM4), and for the ACPI
 * interrupt. */
struct irq_line isa_irq(struct isa_irqs *irqs, unsigned number);
struct irq_line isa_irq_second(struct isa_irqs *irqs, unsigned number);
struct irq_line isa_irq_sci(struct isa_irqs *irqs, unsigned number);
extern const struct device_class isa_irqs_class;

#endif
