#include "ui/stream.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

static void ready_in(void *opaque, short events);
static void ready_out(void *opaque, short events);
static void ready_both(void *opaque, short events);

static void watch(struct stream *stream, int fd, short events,
                  void (*ready)(void *opaque, short events))
{
    if (fd < 0)
        return;
    if (events)
        loop_watch(stream->host->loop, fd, events, ready, stream);
    else
        loop_unwatch(stream->host->loop, fd);
}

/* INV-1 */
static void update_watches(struct stream *stream)
{
    bool wants_input = stream->in_fd >= 0 && chardev_can_receive(&stream->chardev) > 0;
    short in = wants_input ? POLLIN : 0;
    short out = stream->queued ? POLLOUT : 0;

    if (stream->in_fd == stream->out_fd) {
        watch(stream, stream->in_fd, in | out, ready_both);
    } else {
        watch(stream, stream->in_fd, in, ready_in);
        watch(stream, stream->out_fd, out, ready_out);
    }
}

bool stream_wait(struct stream *stream, int fd, short events)
{
    struct pollfd polled[] = {{.fd = fd, .events = events},
                              {.fd = stream->host->signal_fd, .events = POLLIN}};

    while (!polled[0].revents) {
        if (poll(polled, 2, -1) < 0 && errno != EINTR)
            return false;
        if (polled[1].revents & POLLIN)
            return false;
    }
    return true;
}

static bool can_write(int fd)
{
    struct pollfd polled = {.fd = fd, .events = POLLOUT};

    return poll(&polled, 1, 0) > 0;
}

/* Writes what the host takes without waiting; returns how much, or -1 when the other end is gone.
 */
static ssize_t write_some(struct stream *stream, const uint8_t *bytes, size_t length)
{
    size_t done = 0;

    while (done < length && can_write(stream->out_fd)) {
        /* WHY: a pipe or terminal that polls writable takes this much without blocking, and so
         * the descriptor, which may be shared with other processes, need not be made so. */
        size_t part = length - done < PIPE_BUF ? length - done : PIPE_BUF;
        ssize_t written = write(stream->out_fd, bytes + done, part);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0 && errno == EAGAIN)
            break;
        if (written < 0)
            return -1;
        done += written;
    }
    return done;
}

static void hung_up(struct stream *stream)
{
    if (stream->class->hung_up) {
        stream->class->hung_up(stream);
        return;
    }
    watch(stream, stream->in_fd, 0, NULL);
    stream->in_fd = -1;
    update_watches(stream);
}

/* Nobody will ever read what is written. */
static void output_lost(struct stream *stream)
{
    stream->queued = 0;
    if (stream->class->hung_up) {
        stream->class->hung_up(stream);
        return;
    }
    watch(stream, stream->out_fd, 0, NULL);
    stream->out_fd = -1;
}

static void flush_queue(struct stream *stream)
{
    ssize_t written = write_some(stream, stream->queue, stream->queued);

    if (written < 0) {
        output_lost(stream);
        return;
    }
    stream->queued -= written;
    memmove(stream->queue, stream->queue + written, stream->queued);
}

static bool grow_queue(struct stream *stream, size_t length)
{
    if (stream->queued + length <= stream->queue_capacity)
        return true;
    size_t capacity = stream->queue_capacity ? stream->queue_capacity : 4096;
    while (capacity < stream->queued + length)
        capacity *= 2;
    uint8_t *queue = realloc(stream->queue, capacity);
    if (!queue)
        return false;
    stream->queue = queue;
    stream->queue_capacity = capacity;
    return true;
}

/* INV-2 */
static void write_bytes(struct chardev *chardev, const uint8_t *bytes, size_t length)
{
    struct stream *stream = CONTAINER_OF(chardev, struct stream, chardev);

    if (stream->out_fd < 0)
        return;
    if (!stream->queued) {
        ssize_t written = write_some(stream, bytes, length);
        if (written < 0) {
            output_lost(stream);
            return;
        }
        bytes += written;
        length -= written;
        if (!length)
            return;
    }
    while (stream->class->patient && stream->out_fd >= 0 &&
           stream->queued + length > STREAM_QUEUE_MAX) {
        if (!stream_wait(stream, stream->out_fd, POLLOUT))
            break;
        flush_queue(stream);
    }
    if (stream->out_fd < 0 || stream->queued + length > STREAM_QUEUE_MAX ||
        !grow_queue(stream, length))
        return;
    memcpy(stream->queue + stream->queued, bytes, length);
    stream->queued += length;
    update_watches(stream);
}

static void accept_input(struct chardev *chardev)
{
    update_watches(CONTAINER_OF(chardev, struct stream, chardev));
}

static void read_some(struct stream *stream)
{
    uint8_t bytes[4096];
    size_t room = chardev_can_receive(&stream->chardev);

    if (room > sizeof bytes)
        room = sizeof bytes;
    if (room) {
        ssize_t got = read(stream->in_fd, bytes, room);
        if (got > 0) {
            chardev_receive(&stream->chardev, bytes, got);
        } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
            hung_up(stream);
            return;
        }
    }
    update_watches(stream);
}

static void ready_in(void *opaque, short events)
{
    read_some(opaque);
}

static void ready_out(void *opaque, short events)
{
    struct stream *stream = opaque;

    flush_queue(stream);
    update_watches(stream);
}

static void ready_both(void *opaque, short events)
{
    struct stream *stream = opaque;

    if (stream->queued && events & (POLLOUT | POLLERR | POLLHUP))
        flush_queue(stream);
    if (stream->in_fd >= 0 && events & (POLLIN | POLLERR | POLLHUP))
        read_some(stream);
    else
        update_watches(stream);
}

void stream_attach(struct stream *stream, int in_fd, int out_fd)
{
    stream->in_fd = in_fd;
    stream->out_fd = out_fd;
    chardev_notify(&stream->chardev, CHARDEV_OPENED);
    update_watches(stream);
}

void stream_detach(struct stream *stream)
{
    watch(stream, stream->in_fd, 0, NULL);
    watch(stream, stream->out_fd, 0, NULL);
    stream->in_fd = stream->out_fd = -1;
    stream->queued = 0;
    chardev_notify(&stream->chardev, CHARDEV_CLOSED);
}

struct stream *stream_new(const struct chardev_config *config, struct stream_host *host,
                          struct error *error)
{
    static const struct stream_class *const classes[] = {
        [CHARDEV_NULL] = &stream_null, [CHARDEV_STDIO] = &stream_stdio,
        [CHARDEV_FILE] = &stream_file, [CHARDEV_UNIX] = &stream_unix,
        [CHARDEV_PTY] = &stream_pty,
    };

    if (config->kind == CHARDEV_NONE)
        return NULL;
    struct stream *stream = calloc(1, sizeof *stream);
    if (!stream) {
        error_set(error, ENOMEM, "%s: out of memory", config->option);
        return NULL;
    }
    stream->chardev.write = write_bytes;
    stream->chardev.accept_input = accept_input;
    stream->class = classes[config->kind];
    stream->config = config;
    stream->host = host;
    stream->in_fd = stream->out_fd = stream->other_fd = -1;
    return stream;
}

int stream_open(struct stream *stream, struct error *error)
{
    int result = stream->class->open ? stream->class->open(stream, error) : 0;

    stream->opened = result == 0;
    return result;
}

void stream_free(struct stream *stream)
{
    if (!stream)
        return;
    while (stream->queued && stream->class->patient && stream_wait(stream, stream->out_fd, POLLOUT))
        flush_queue(stream);
    watch(stream, stream->in_fd, 0, NULL);
    watch(stream, stream->out_fd, 0, NULL);
    if (stream->opened && stream->class->close)
        stream->class->close(stream);
    free(stream->queue);
    free(stream);
}
