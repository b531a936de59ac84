/* 8042 keyboard controller at ports 60h and 64h, with the A20 gate and the processor reset.
 *
 * INV-1: IRQ1 (IRQ12) is high exactly while the output buffer holds a keyboard (mouse) byte and the
 *        command byte enables that interrupt.
 * Source: IBM PS/2 Technical Reference (keyboard and auxiliary device controller).
 */
#ifndef HW_I8042_H
#define HW_I8042_H

#include "base/bus.h"
#include "base/irq.h"
#include "hw/device.h"
#include "hw/ps2.h"

struct i8042_state {
    uint8_t status, command_byte, output_port;
    uint8_t data;          /* the output buffer */
    uint8_t reply;         /* the controller's own, when the buffer was full … */
    uint8_t reply_pending; /* … 0: none, else the status bits that it comes with */
    uint8_t command;       /* waits for a byte at port 60h; 0: none */
    uint8_t break_prefix;  /* translation: F0h was seen */
    uint8_t ram[32];       /* [0] is unused: it is the command byte */
};

/* Upward calls; each may be NULL. */
struct i8042_ops {
    void (*reset)(void *opaque); /* pulse of output port bit 0: processor reset */
    void (*a20)(void *opaque, bool enabled);
    void *opaque;
};

struct i8042 {
    struct i8042_state state;
    struct ps2_keyboard keyboard;
    struct ps2_mouse mouse;
    struct irq_line keyboard_irq, mouse_irq;
    struct i8042_ops ops;
    struct region data_port, command_port;
};

void i8042_attach(struct i8042 *controller, struct bus *ports, struct clock *clock,
                  struct irq_line keyboard_irq, struct irq_line mouse_irq,
                  const struct i8042_ops *ops);
/* Registers the controller, the keyboard and the mouse. */
void i8042_register(struct i8042 *controller, struct device_list *list);
/* From the user interface. */
void i8042_key(struct i8042 *controller, enum ps2_key key, bool down);
void i8042_mouse(struct i8042 *controller, int dx, int dy, int dz, unsigned buttons);
extern const struct device_class i8042_class;

#endif
