/* 82093AA I/O APIC with 24 inputs at FEC00000h.
 *
 * INV-1: a level-triggered input is sent once and again only after its EOI came back (remote IRR).
 * Source: Intel 82093AA datasheet.
 */
#ifndef HW_IOAPIC_H
#define HW_IOAPIC_H

#include "base/bus.h"
#include "hw/lapic.h"

enum { IOAPIC_PINS = 24 };
#define IOAPIC_ADDRESS UINT64_C(0xfec00000)

struct ioapic_state {
    uint64_t redirection[IOAPIC_PINS];
    uint32_t lines;    /* levels of the inputs; polarity is the board's affair */
    uint32_t id;       /* bits 27:24 */
    uint32_t selected; /* IOREGSEL */
    uint32_t pad;
};

struct ioapic {
    struct ioapic_state state;
    struct apic_bus *apics;
    struct region region;
};

void ioapic_attach(struct ioapic *ioapic, struct bus *memory, struct apic_bus *apics);
/* Input `number` (0..23); an irq_line's set function. */
void ioapic_set_irq(void *ioapic, int number, int level);
/* A local APIC ended a level-triggered interrupt of this vector. */
void ioapic_end_of_interrupt(struct ioapic *ioapic, uint8_t vector);
extern const struct device_class ioapic_class;

#endif
