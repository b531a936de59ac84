#include "ui/mux.h"

#include "base/bits.h"
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

enum { ESCAPE = 0x01 };

static int64_t host_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_SECOND + now.tv_nsec;
}

static void put(struct mux *mux, const char *text)
{
    chardev_write(mux->backend, (const uint8_t *)text, strlen(text));
}

/* Writes with the time since Ctrl-A t before each line. */
static void write_stamped(struct mux *mux, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (mux->line_start) {
            char stamp[32];
            int64_t ms = (host_now_ns() - mux->stamps_since_ns) / 1000000;
            snprintf(stamp, sizeof stamp, "[%02lld:%02lld.%03lld] ", (long long)ms / 60000,
                     (long long)ms / 1000 % 60, (long long)ms % 1000);
            put(mux, stamp);
            mux->line_start = false;
        }
        chardev_write(mux->backend, &bytes[i], 1);
        mux->line_start = bytes[i] == '\n';
    }
}

static void port_write(struct chardev *chardev, const uint8_t *bytes, size_t length)
{
    struct mux *mux = CONTAINER_OF(chardev, struct mux_port, chardev)->mux;

    if (mux->stamps)
        write_stamped(mux, bytes, length);
    else
        chardev_write(mux->backend, bytes, length);
}

/* Hands the device what was kept for it, as far as it takes it. */
static void deliver(struct mux_port *port)
{
    size_t room;

    while (port->in != port->out && (room = chardev_can_receive(&port->chardev)) > 0) {
        unsigned at = port->out % MUX_KEPT;
        size_t part = port->in - port->out;
        if (part > MUX_KEPT - at)
            part = MUX_KEPT - at;
        if (part > room)
            part = room;
        port->out += part;
        chardev_receive(&port->chardev, port->kept + at, part);
    }
}

static void port_accept_input(struct chardev *chardev)
{
    struct mux_port *port = CONTAINER_OF(chardev, struct mux_port, chardev);

    deliver(port);
    chardev_accept_input(port->mux->backend);
}

static void keep(struct mux_port *port, uint8_t byte)
{
    if (port->in - port->out < MUX_KEPT)
        port->kept[port->in++ % MUX_KEPT] = byte;
}

static void show_help(struct mux *mux)
{
    put(mux, "\r\n"
             "Ctrl-A h  this help\r\n"
             "Ctrl-A x  end ring3\r\n"
             "Ctrl-A s  write what the disks still hold back to their files\r\n"
             "Ctrl-A t  show the time before each line, or stop that\r\n"
             "Ctrl-A b  send a break\r\n"
             "Ctrl-A c  switch between the guest's serial port and the monitor\r\n"
             "Ctrl-A Ctrl-A  send Ctrl-A\r\n");
}

static void switch_focus(struct mux *mux)
{
    chardev_notify(&mux->ports[mux->focus].chardev, CHARDEV_CLOSED);
    mux->focus = mux->focus == MUX_GUEST ? MUX_MONITOR : MUX_GUEST;
    chardev_notify(&mux->ports[mux->focus].chardev, CHARDEV_OPENED);
}

static void command(struct mux *mux, uint8_t byte)
{
    switch (byte) {
    case 'h':
    case '?':
        show_help(mux);
        break;
    case 'x':
        put(mux, "\r\nring3: ended by Ctrl-A x\r\n");
        mux->quit(mux->opaque);
        break;
    case 's':
        mux->save(mux->opaque);
        break;
    case 't':
        mux->stamps = !mux->stamps;
        mux->stamps_since_ns = host_now_ns();
        mux->line_start = true;
        break;
    case 'b':
        chardev_notify(&mux->ports[MUX_GUEST].chardev, CHARDEV_BREAK);
        break;
    case 'c':
        switch_focus(mux);
        break;
    case ESCAPE:
        keep(&mux->ports[mux->focus], byte);
        break;
    default:
        break;
    }
}

static size_t can_receive(void *opaque)
{
    const struct mux *mux = opaque;
    const struct mux_port *port = &mux->ports[mux->focus];

    return MUX_KEPT - (port->in - port->out);
}

static void receive(void *opaque, const uint8_t *bytes, size_t length)
{
    struct mux *mux = opaque;

    for (size_t i = 0; i < length; i++) {
        if (mux->escaped) {
            mux->escaped = false;
            command(mux, bytes[i]);
        } else if (bytes[i] == ESCAPE) {
            mux->escaped = true;
        } else {
            keep(&mux->ports[mux->focus], bytes[i]);
        }
    }
    deliver(&mux->ports[MUX_GUEST]);
    deliver(&mux->ports[MUX_MONITOR]);
}

static void pass_event(void *opaque, enum chardev_event event)
{
    struct mux *mux = opaque;

    chardev_notify(&mux->ports[mux->focus].chardev, event);
}

void mux_init(struct mux *mux, struct chardev *backend, void (*quit)(void *), void (*save)(void *),
              void *opaque)
{
    *mux = (struct mux){
        .backend = backend, .quit = quit, .save = save, .opaque = opaque, .focus = MUX_GUEST};
    for (unsigned side = 0; side < MUX_SIDES; side++) {
        mux->ports[side].mux = mux;
        mux->ports[side].chardev.write = port_write;
        mux->ports[side].chardev.accept_input = port_accept_input;
    }
    chardev_connect(backend, can_receive, receive, pass_event, mux);
}
