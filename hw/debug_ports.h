/* Ports that exist for people who debug: consoles at 402h and E9h, and isa-debug-exit.
 *
 * Reading a console port gives E9h, which is how SeaBIOS finds it.  POST codes (port 80h) stay in a
 * page register of hw/dma8237.
 */
#ifndef HW_DEBUG_PORTS_H
#define HW_DEBUG_PORTS_H

#include "base/bus.h"
#include "base/chardev.h"
#include "hw/device.h"

struct debug_console {
    struct chardev *chardev;
    struct region region;
};

/* `port`: 402h, E9h. */
void debug_console_attach(struct debug_console *console, struct bus *ports, uint16_t port,
                          struct chardev *chardev);

struct debug_exit {
    void (*leave)(void *opaque, int status); /* status: value << 1 | 1 */
    void *opaque;
    struct region region;
};

/* `length` 1, 2 or 4 ports from `base` (people expect 501h and 1, or F4h and 4). */
void debug_exit_attach(struct debug_exit *debug_exit, struct bus *ports, uint16_t base,
                       uint16_t length, void (*leave)(void *opaque, int status), void *opaque);

#endif
