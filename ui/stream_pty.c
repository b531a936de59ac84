/* A pseudo-terminal of ours, whose path is told on stderr. */
#include "ui/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static int pty_fail(struct stream *stream, int fd, struct error *error)
{
    int result = error_set(error, errno, "%s: cannot make a pseudo-terminal: %s; use unix:PATH",
                           stream->config->option, strerror(errno));
    if (fd >= 0)
        close(fd);
    return result;
}

static int pty_open(struct stream *stream, struct error *error)
{
    char path[64];
    struct termios raw;
    int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0 || grantpt(fd) || unlockpt(fd) || ptsname_r(fd, path, sizeof path))
        return pty_fail(stream, fd, error);
    /* WHY: while no process has the other side open, reads of ours fail; so we keep it open. */
    stream->other_fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (stream->other_fd < 0)
        return pty_fail(stream, fd, error);
    if (!tcgetattr(stream->other_fd, &raw)) {
        cfmakeraw(&raw);
        tcsetattr(stream->other_fd, TCSANOW, &raw);
    }
    fprintf(stderr, "ring3: %s is %s\n", stream->config->option, path);
    stream_attach(stream, fd, fd);
    return 0;
}

static void pty_close(struct stream *stream)
{
    if (stream->in_fd >= 0)
        close(stream->in_fd);
    close(stream->other_fd);
}

const struct stream_class stream_pty = {.open = pty_open, .close = pty_close};
