/* 82371SB (PIIX3), the ISA bridge at 00:01.0: PIRQ routing, reset control (CF9h), port 92h.
 *
 * It knows neither the interrupt controllers nor the CPU: lines and callbacks lead there.
 * ELCR (4D0h, 4D1h) is kept by hw/pic, ports 61h by hw/pit.
 * INV-1: ISA line n carries each PIRQ whose PIRQRC register routes it to n.
 * Source: Intel 82371FB (PIIX) and 82371SB (PIIX3) datasheet.
 */
#ifndef HW_PIIX3_H
#define HW_PIIX3_H

#include "hw/isa_irq.h"
#include "hw/pci.h"

struct piix3_state {
    uint8_t pirq_levels[PCI_PIRQS];
    uint8_t reset_control; /* CF9h */
    uint8_t port92;
};

/* Upward calls of the board logic; each may be NULL. */
struct piix3_ops {
    void (*reset)(void *opaque, bool hard); /* hard: all devices; else only the processors (INIT) */
    void (*a20)(void *opaque,
                bool enabled); /* port 92h bit 1; the board combines it with the 8042 */
    void *opaque;
};

struct piix3 {
    struct piix3_state state;
    struct pci_function function;
    struct isa_irqs *irqs;
    struct piix3_ops ops;
    struct region port92_region;
};

/* Attaches at 00:01.0, takes the bus's PIRQ lines and port CF9h. */
void piix3_attach(struct piix3 *bridge, struct pci_bus *pci, struct isa_irqs *irqs,
                  const struct piix3_ops *ops);
extern const struct device_class piix3_class;

#endif
