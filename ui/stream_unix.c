/* A Unix socket: one client at a time of a server of ours, or a connection to another's. */
#include "ui/stream.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void client_arrived(void *opaque, short events)
{
    struct stream *stream = opaque;
    int fd = accept4(stream->other_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0)
        return;
    loop_unwatch(stream->host->loop, stream->other_fd);
    stream_attach(stream, fd, fd);
}

static void listen_again(struct stream *stream)
{
    loop_watch(stream->host->loop, stream->other_fd, POLLIN, client_arrived, stream);
}

static void client_left(struct stream *stream)
{
    int fd = stream->in_fd;

    stream_detach(stream);
    close(fd);
    if (stream->other_fd >= 0)
        listen_again(stream);
}

/* Makes room for our socket where a dead process left one. */
static int remove_stale(struct stream *stream, int fd, const struct sockaddr_un *address,
                        struct error *error)
{
    if (!connect(fd, (const struct sockaddr *)address, sizeof *address))
        return error_set(error, EADDRINUSE,
                         "%s: another process listens there; choose another path",
                         stream->config->option);
    if (errno == ECONNREFUSED)
        unlink(address->sun_path);
    return 0;
}

static int serve(struct stream *stream, const struct sockaddr_un *address, struct error *error)
{
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (probe < 0)
        return error_set(error, errno, "%s: %s", stream->config->option, strerror(errno));
    int result = remove_stale(stream, probe, address, error);
    close(probe);
    if (result)
        return result;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)address, sizeof *address)) {
        result = error_set(error, errno, "%s: cannot listen: %s; choose another path",
                           stream->config->option, strerror(errno));
        if (fd >= 0)
            close(fd);
        return result;
    }
    stream->other_fd = fd;
    if (listen(fd, 1)) {
        result = error_set(error, errno, "%s: cannot listen: %s; choose another path",
                           stream->config->option, strerror(errno));
    } else if (stream->config->wait) {
        fprintf(stderr, "ring3: %s: waiting for a client\n", stream->config->option);
        if (stream_wait(stream, fd, POLLIN))
            client_arrived(stream, POLLIN);
        else
            result = error_set(error, EINTR, "%s: no client came", stream->config->option);
    }
    if (result) {
        unlink(address->sun_path);
        close(fd);
        stream->other_fd = -1;
    } else if (stream->in_fd < 0) {
        listen_again(stream);
    }
    return result;
}

static int unix_open(struct stream *stream, struct error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(stream->config->path) >= sizeof address.sun_path)
        return error_set(error, ENAMETOOLONG, "%s: the path is too long; choose a shorter one",
                         stream->config->option);
    strcpy(address.sun_path, stream->config->path);
    if (stream->config->server)
        return serve(stream, &address, error);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address)) {
        int result = error_set(error, errno, "%s: cannot connect: %s; start the other side first",
                               stream->config->option, strerror(errno));
        if (fd >= 0)
            close(fd);
        return result;
    }
    stream_attach(stream, fd, fd);
    return 0;
}

static void unix_close(struct stream *stream)
{
    if (stream->in_fd >= 0)
        close(stream->in_fd);
    if (stream->other_fd >= 0) {
        loop_unwatch(stream->host->loop, stream->other_fd);
        close(stream->other_fd);
        unlink(stream->config->path);
    }
}

const struct stream_class stream_unix = {
    .open = unix_open, .close = unix_close, .hung_up = client_left};
