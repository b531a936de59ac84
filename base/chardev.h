/* A stream of bytes between a device (a serial port, a console port) and the host (a terminal, a
 * file, a socket).
 *
 * The backend fills in `write` and keeps its handles around the struct; the device fills in the
 * receiving side with chardev_connect().  One device a chardev.  Calls are made with the machine
 * lock held.
 */
#ifndef BASE_CHARDEV_H
#define BASE_CHARDEV_H

#include <stddef.h>
#include <stdint.h>

enum chardev_event {
    CHARDEV_OPENED, /* somebody is at the other end */
    CHARDEV_CLOSED,
    CHARDEV_BREAK, /* the other end holds the line low */
};

struct chardev {
    /* --- the backend's side; each may be NULL */
    /* Takes all of `bytes`; what the host cannot take now the backend keeps or drops. */
    void (*write)(struct chardev *chardev, const uint8_t *bytes, size_t length);
    /* The device has room again after can_receive() gave less than the backend had. */
    void (*accept_input)(struct chardev *chardev);
    /* --- the device's side; each may be NULL */
    size_t (*can_receive)(void *opaque); /* how many bytes receive() would take now */
    void (*receive)(void *opaque, const uint8_t *bytes, size_t length);
    void (*event)(void *opaque, enum chardev_event event);
    void *opaque;
};

/* For devices; a NULL chardev is a stream to nowhere. */
static inline void chardev_connect(struct chardev *chardev, size_t (*can_receive)(void *),
                                   void (*receive)(void *, const uint8_t *, size_t),
                                   void (*event)(void *, enum chardev_event), void *opaque)
{
    if (!chardev)
        return;
    chardev->can_receive = can_receive;
    chardev->receive = receive;
    chardev->event = event;
    chardev->opaque = opaque;
}

static inline void chardev_write(struct chardev *chardev, const uint8_t *bytes, size_t length)
{
    if (chardev && chardev->write)
        chardev->write(chardev, bytes, length);
}

static inline void chardev_accept_input(struct chardev *chardev)
{
    if (chardev && chardev->accept_input)
        chardev->accept_input(chardev);
}

/* For backends: how much the device takes now, and handing it over. */
static inline size_t chardev_can_receive(struct chardev *chardev)
{
    return chardev->can_receive ? chardev->can_receive(chardev->opaque) : 0;
}

static inline void chardev_receive(struct chardev *chardev, const uint8_t *bytes, size_t length)
{
    if (chardev->receive)
        chardev->receive(chardev->opaque, bytes, length);
}

static inline void chardev_notify(struct chardev *chardev, enum chardev_event event)
{
    if (chardev->event)
        chardev->event(chardev->opaque, event);
}

#endif
