/* Streams: the host's ends of serial ports, consoles and monitors.
 *
 * stream_new() makes the chardev that a device is wired to; nothing of the host is touched before
 * stream_open(), so that a machine that cannot be built leaves nothing behind.
 *
 * INV-1: the input is watched only while the device can take something.
 * INV-2: output that the host does not take at once is kept in order; past STREAM_QUEUE_MAX bytes a
 *        patient stream makes the writer wait, the others drop what comes.
 * A stream must not know what lies behind its chardev.  Calls are made with the machine lock held.
 */
#ifndef UI_STREAM_H
#define UI_STREAM_H

#include "base/chardev.h"
#include "base/loop.h"
#include "ui/chardev_config.h"

enum { STREAM_QUEUE_MAX = 1 << 20 };

struct terminal;

/* What the streams of one process share. */
struct stream_host {
    struct loop *loop;
    struct terminal *terminal;
    int signal_fd; /* readable when the process is to end: nobody waits longer than that */
};

struct stream;

struct stream_class {
    int (*open)(struct stream *stream, struct error *error); /* NULL: nothing to open */
    void (*close)(struct stream *stream);
    void (*hung_up)(struct stream *stream); /* the other end went away; NULL: stop reading */
    bool patient;
};

struct stream {
    struct chardev chardev;
    const struct stream_class *class;
    const struct chardev_config *config;
    struct stream_host *host;
    int in_fd, out_fd; /* -1: none; may be the same */
    int other_fd;      /* the listening socket, or the pty's other side; -1: none */
    bool opened;
    uint8_t *queue;
    size_t queued, queue_capacity;
};

/* NULL when the configuration says "none" or memory is spent (then *error has a line). */
struct stream *stream_new(const struct chardev_config *config, struct stream_host *host,
                          struct error *error);
/* Opens files, sockets and terminals; may wait for a client.  -EINTR when the wait was cut short by
 * a signal. */
int stream_open(struct stream *stream, struct error *error);
/* Writes out what is queued, closes, frees; NULL is allowed. */
void stream_free(struct stream *stream);

/* --- for the classes */
extern const struct stream_class stream_null, stream_stdio, stream_file, stream_unix, stream_pty;

/* Begins to read and write these descriptors (-1: none) and tells the device. */
void stream_attach(struct stream *stream, int in_fd, int out_fd);
/* Forgets them, and what is queued; does not close them. */
void stream_detach(struct stream *stream);
/* Waits until `fd` has one of `events`; false when a signal ends the process first. */
bool stream_wait(struct stream *stream, int fd, short events);

#endif
