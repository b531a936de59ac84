/* Which streams the ports and the monitor talk to. */
#include "ui/options.h"

#include "ui/option_value.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* "path,server,nowait" or "path,server=on,wait=off". */
static int parse_socket(struct option_context *context, const char *text,
                        struct chardev_config *stream)
{
    struct suboptions list;
    bool has_wait = false;
    int result = suboptions_parse(&list, context->what, text, "path", context->error);

    if (result)
        return result;
    for (unsigned i = 0; i < list.count && !result; i++) {
        const struct suboption *item = &list.items[i];
        if (!strcmp(item->key, "path")) {
            stream->path = options_keep(context->options, item->value);
        } else if (!strcmp(item->key, "server")) {
            result = option_switch(context->what, item->value, &stream->server, context->error);
        } else if (!strcmp(item->key, "nowait") && item->bare) {
            has_wait = true;
            stream->wait = false;
        } else if (!strcmp(item->key, "wait")) {
            has_wait = true;
            result = option_switch(context->what, item->value, &stream->wait, context->error);
        } else {
            result = error_set(context->error, EINVAL,
                               "%s unix: no such setting '%s'; there are server and wait",
                               context->what, item->key);
        }
    }
    suboptions_free(&list);
    if (!result && (!stream->path || !*stream->path))
        result =
            error_set(context->error, EINVAL,
                      "%s unix: the path of the socket is missing; write unix:PATH", context->what);
    if (!result && has_wait && !stream->server)
        result = error_set(context->error, EINVAL,
                           "%s unix: wait is for a server; write unix:PATH,server,nowait",
                           context->what);
    if (!has_wait)
        stream->wait = stream->server;
    return result;
}

static int parse_stream(struct option_context *context, const char *value,
                        struct chardev_config *stream)
{
    char option[96];

    snprintf(option, sizeof option, "%s %s", context->what, value);
    *stream = (struct chardev_config){.option = options_keep(context->options, option)};
    if (!stream->option)
        return error_set(context->error, ENOMEM, "%s: out of memory", context->what);
    if (!strncmp(value, "mon:", 4)) {
        stream->mux = true;
        value += 4;
    }
    if (!strcmp(value, "stdio")) {
        stream->kind = CHARDEV_STDIO;
    } else if (!strcmp(value, "pty")) {
        stream->kind = CHARDEV_PTY;
    } else if (!strncmp(value, "unix:", 5)) {
        stream->kind = CHARDEV_UNIX;
        return parse_socket(context, value + 5, stream);
    } else if (stream->mux) {
        return error_set(context->error, EINVAL,
                         "%s mon:%s: the monitor can share stdio, pty or unix:PATH", context->what,
                         value);
    } else if (!strcmp(value, "none")) {
        stream->kind = CHARDEV_NONE;
    } else if (!strcmp(value, "null")) {
        stream->kind = CHARDEV_NULL;
    } else if (!strncmp(value, "file:", 5)) {
        stream->kind = CHARDEV_FILE;
        stream->path = value + 5;
        if (!*stream->path)
            return error_set(context->error, EINVAL,
                             "%s file: the file's name is missing; write file:PATH", context->what);
    } else {
        return error_set(context->error, EINVAL,
                         "%s %s: no such stream; there are stdio, mon:stdio, null, none, "
                         "file:PATH, unix:PATH[,server][,nowait] and pty",
                         context->what, value);
    }
    return 0;
}

int option_serial(struct option_context *context, const char *value)
{
    struct options *options = context->options;

    if (options->serial_count == MACHINE_SERIALS_MAX)
        return error_set(context->error, EINVAL,
                         "-serial %s: a PC has %d serial ports; leave it out", value,
                         MACHINE_SERIALS_MAX);
    return parse_stream(context, value, &options->serials[options->serial_count++]);
}

int option_monitor(struct option_context *context, const char *value)
{
    struct chardev_config *stream = &context->options->monitor;
    int result = parse_stream(context, value, stream);

    if (!result && stream->kind == CHARDEV_FILE)
        return error_set(context->error, EINVAL,
                         "-monitor %s: a file cannot be typed into; use stdio, unix:PATH or pty",
                         value);
    context->options->has_monitor = true;
    return result;
}

int option_debugcon(struct option_context *context, const char *value)
{
    int result = parse_stream(context, value, &context->options->debugcon);

    if (!result && context->options->debugcon.mux)
        return error_set(context->error, EINVAL,
                         "-debugcon %s: the monitor can be shared with -serial only", value);
    return result;
}

static bool is_stdio(const struct chardev_config *stream)
{
    return stream->kind == CHARDEV_STDIO;
}

int option_streams_settle(struct options *options, struct error *error)
{
    const struct chardev_config *users[MACHINE_SERIALS_MAX + 2];
    unsigned count = 0;
    bool shared = false;

    for (unsigned i = 0; i < options->serial_count; i++) {
        users[count++] = &options->serials[i];
        shared |= options->serials[i].mux;
    }
    /* "-serial mon:stdio -monitor mon:stdio" says the same thing twice. */
    if (options->has_monitor && options->monitor.mux && shared)
        options->monitor = (struct chardev_config){.kind = CHARDEV_NONE};
    if (options->has_monitor && shared && options->monitor.kind != CHARDEV_NONE)
        return error_set(error, EINVAL,
                         "%s: there is one monitor, and -serial mon: has it; leave "
                         "one of them out",
                         options->monitor.option);
    users[count++] = &options->monitor;
    users[count++] = &options->debugcon;
    const struct chardev_config *first = NULL, *mux = NULL;
    for (unsigned i = 0; i < count; i++) {
        if (is_stdio(users[i]) && first)
            return error_set(error, EINVAL,
                             "%s: the terminal already serves %s; use -serial mon:stdio for the "
                             "serial port and the monitor, or send one of them elsewhere",
                             users[i]->option, first->option);
        if (users[i]->mux && mux)
            return error_set(error, EINVAL,
                             "%s: the monitor is already shared with %s; leave out "
                             "one mon:",
                             users[i]->option, mux->option);
        if (is_stdio(users[i]))
            first = users[i];
        if (users[i]->mux)
            mux = users[i];
    }
    /* This version has no window: COM1 and the monitor are on the terminal unless told otherwise.
     */
    if (options->no_defaults || (options->no_display && !options->nographic) || first)
        return 0;
    bool serial_free = options->serial_count == 0;
    bool monitor_free = !options->has_monitor && !shared;
    if (serial_free) {
        options->serials[0] = (struct chardev_config){
            .kind = CHARDEV_STDIO, .mux = monitor_free, .option = "-nographic"};
        options->serial_count = 1;
        options->nographic = true;
    } else if (monitor_free) {
        options->monitor = (struct chardev_config){.kind = CHARDEV_STDIO, .option = "-nographic"};
    }
    return 0;
}
