#include "ui/session.h"

#include <errno.h>
#include <stdlib.h>

static void mux_quit(void *opaque)
{
    struct session *session = opaque;

    machine_quit(session->machine, MACHINE_EXIT_OK);
}

static void mux_save(void *opaque)
{
    struct session *session = opaque;

    machine_flush_drives(session->machine);
}

/* The chardev that a device or the monitor gets for `config`; NULL: none, or *result < 0. */
static struct chardev *add_stream(struct session *session, const struct chardev_config *config,
                                  int *result, struct error *error)
{
    if (config->kind == CHARDEV_NONE)
        return NULL;
    struct stream *stream = stream_new(config, &session->host, error);
    if (!stream) {
        *result = -ENOMEM;
        return NULL;
    }
    session->streams[session->stream_count++] = stream;
    if (!config->mux)
        return &stream->chardev;
    session->mux = calloc(1, sizeof *session->mux);
    if (!session->mux) {
        *result = error_set(error, ENOMEM, "%s: out of memory", config->option);
        return NULL;
    }
    mux_init(session->mux, &stream->chardev, mux_quit, mux_save, session);
    session->monitor_chardev = &session->mux->ports[MUX_MONITOR].chardev;
    return &session->mux->ports[MUX_GUEST].chardev;
}

int session_init(struct session *session, struct options *options, struct loop *loop,
                 struct terminal *terminal, int signal_fd, struct error *error)
{
    int result = 0;

    *session = (struct session){
        .options = options,
        .host = {.loop = loop, .terminal = terminal, .signal_fd = signal_fd},
    };
    for (unsigned i = 0; i < options->serial_count && !result; i++)
        options->machine.serials[i] = add_stream(session, &options->serials[i], &result, error);
    if (!result)
        options->machine.debugcon = add_stream(session, &options->debugcon, &result, error);
    if (!result && !session->mux)
        session->monitor_chardev = add_stream(session, &options->monitor, &result, error);
    return result;
}

int session_start(struct session *session, struct machine *machine, struct error *error)
{
    int result = 0;

    session->machine = machine;
    if (session->monitor_chardev) {
        session->monitor = monitor_new(machine, session->monitor_chardev);
        if (!session->monitor)
            return error_set(error, ENOMEM, "the monitor: out of memory");
    }
    for (unsigned i = 0; i < session->stream_count && !result; i++)
        result = stream_open(session->streams[i], error);
    return result;
}

void session_stop(struct session *session)
{
    monitor_free(session->monitor);
    session->monitor = NULL;
}

void session_free(struct session *session)
{
    for (unsigned i = 0; i < session->stream_count; i++)
        stream_free(session->streams[i]);
    free(session->mux);
}
