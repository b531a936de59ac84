/* The streams without a connection of their own: null, the terminal, a file. */
#include "ui/stream.h"
#include "ui/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

const struct stream_class stream_null = {0};

static int stdio_open(struct stream *stream, struct error *error)
{
    /* Under the monitor's keys Ctrl-C is the guest's; alone on the terminal it ends ring3. */
    terminal_enter(stream->host->terminal, stream->config->mux);
    stream_attach(stream, STDIN_FILENO, STDOUT_FILENO);
    return 0;
}

static void stdio_close(struct stream *stream)
{
    terminal_leave(stream->host->terminal);
}

const struct stream_class stream_stdio = {
    .open = stdio_open, .close = stdio_close, .patient = true};

static int file_open(struct stream *stream, struct error *error)
{
    int fd = open(stream->config->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

    if (fd < 0)
        return error_set(error, errno, "%s: cannot create the file: %s; choose another",
                         stream->config->option, strerror(errno));
    stream_attach(stream, -1, fd);
    return 0;
}

static void file_close(struct stream *stream)
{
    if (stream->out_fd >= 0)
        close(stream->out_fd);
}

const struct stream_class stream_file = {.open = file_open, .close = file_close, .patient = true};
