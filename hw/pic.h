/* Two 8259A interrupt controllers, cascaded, and the ELCR of the PIIX3.
 *
 * INV-1: `intr` is high exactly while the master has a request of higher priority than all in
 *        service (after the special modes are applied).
 * INV-2: an edge-triggered input requests once per rising edge and no longer than the line is high;
 *        a level-triggered one as long as it is high.
 * Source: Intel 8259A datasheet; 82371SB §2.5 (ELCR).
 */
#ifndef HW_PIC_H
#define HW_PIC_H

#include "base/bus.h"
#include "base/irq.h"
#include "hw/device.h"

enum { PIC_MASTER, PIC_SLAVE, PIC_CHIPS };

struct pic_state {
    uint8_t lines[PIC_CHIPS];      /* levels of the inputs */
    uint8_t requests[PIC_CHIPS];   /* IRR */
    uint8_t in_service[PIC_CHIPS]; /* ISR */
    uint8_t mask[PIC_CHIPS];       /* IMR */
    uint8_t level[PIC_CHIPS];      /* ELCR: 1 is level-triggered */
    uint8_t all_level[PIC_CHIPS];  /* ICW1.LTIM */
    uint8_t lowest[PIC_CHIPS];     /* the input of lowest priority */
    uint8_t vector[PIC_CHIPS];     /* ICW2 */
    uint8_t cascade[PIC_CHIPS];    /* ICW3 */
    uint8_t expect[PIC_CHIPS];     /* the ICW that the next write to port 1 is; 0: OCW1 */
    uint8_t single[PIC_CHIPS];     /* ICW1.SNGL */
    uint8_t needs_icw4[PIC_CHIPS];
    uint8_t auto_eoi[PIC_CHIPS];
    uint8_t nested[PIC_CHIPS];      /* special fully nested mode */
    uint8_t rotate_auto[PIC_CHIPS]; /* rotate on automatic EOI */
    uint8_t special_mask[PIC_CHIPS];
    uint8_t read_isr[PIC_CHIPS]; /* port 0 reads ISR, not IRR */
    uint8_t poll[PIC_CHIPS];     /* the next read is a poll */
    uint8_t intr;                /* what the output shows */
};

struct pic {
    struct pic_state state;
    struct irq_line intr;
    struct region ports[PIC_CHIPS], elcr;
};

/* Ports 20h, 21h, A0h, A1h, 4D0h, 4D1h.  `intr` is the master's INT output. */
void pic_attach(struct pic *pic, struct bus *ports, struct irq_line intr);
/* Input `number` (0..15; 2 is the cascade and ignored); an irq_line's set function. */
void pic_set_irq(void *pic, int number, int level);
/* The INTA cycles: the vector; a spurious one (IR7) when the request has gone. */
int pic_acknowledge(struct pic *pic);
extern const struct device_class pic_class;

#endif
