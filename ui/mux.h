/* One stream shared by a serial port and the monitor: Ctrl-A and a letter switches between them.
 *
 * Both write to the stream; what is typed goes to the one in focus.  What that one does not take
 * yet is kept (MUX_KEPT bytes), so that Ctrl-A is noticed while a guest does not listen.
 */
#ifndef UI_MUX_H
#define UI_MUX_H

#include "base/chardev.h"

#include <stdbool.h>

enum { MUX_KEPT = 4096, MUX_SIDES = 2 };

enum mux_side { MUX_GUEST, MUX_MONITOR };

struct mux;

struct mux_port {
    struct chardev chardev;
    struct mux *mux;
    uint8_t kept[MUX_KEPT]; /* a ring */
    unsigned in, out;       /* count up; bytes kept: in - out */
};

struct mux {
    struct chardev *backend;
    struct mux_port ports[MUX_SIDES];
    enum mux_side focus;
    bool escaped; /* the last byte was Ctrl-A */
    bool stamps, line_start;
    int64_t stamps_since_ns;
    void (*quit)(void *opaque);
    void (*save)(void *opaque); /* Ctrl-A s */
    void *opaque;
};

/* Sits between `backend` and the two chardevs in ports[].chardev; the guest has the focus. */
void mux_init(struct mux *mux, struct chardev *backend, void (*quit)(void *), void (*save)(void *),
              void *opaque);

#endif
