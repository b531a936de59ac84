#include "ui/monitor_priv.h"

#include <stdlib.h>

static void send(struct monitor *monitor, const char *text, size_t length)
{
    chardev_write(monitor->chardev, (const uint8_t *)text, length);
}

/* Writes text with CR LF at the ends of lines, as terminals and sockets expect. */
static void send_lines(struct monitor *monitor, const char *text, size_t length)
{
    const char *end = text + length;

    while (text < end) {
        const char *newline = memchr(text, '\n', end - text);
        send(monitor, text, (newline ? newline : end) - text);
        if (!newline)
            break;
        send(monitor, "\r\n", 2);
        text = newline + 1;
    }
}

static char *trim(char *text)
{
    text += strspn(text, " \t");
    size_t length = strlen(text);
    while (length && strchr(" \t\r\n", text[length - 1]))
        text[--length] = '\0';
    return text;
}

/* "x /4xw 0" is "x/4xw 0". */
static void take_format(struct monitor_call *call, char *arguments)
{
    char *end = arguments + strcspn(arguments, " \t");

    call->format = arguments + 1;
    call->arguments = trim(*end ? end + 1 : end);
    *end = '\0';
}

void monitor_run_line(struct monitor *monitor, char *line, FILE *out)
{
    char *name = trim(line);
    char *arguments = name + strcspn(name, " \t");
    struct monitor_call call = {.monitor = monitor, .out = out, .name = name};

    if (!*name)
        return;
    if (*arguments)
        *arguments++ = '\0';
    arguments = trim(arguments);
    call.arguments = arguments;
    char *slash = strchr(name, '/');
    if (slash) {
        *slash = '\0';
        call.format = slash + 1;
    }
    const struct monitor_command *command = monitor_find(monitor_commands, name);
    if (!command || (slash && !command->has_format)) {
        fprintf(out, "no command '%s%s%s'; help lists them\n", name, slash ? "/" : "",
                slash ? call.format : "");
        return;
    }
    if (command->has_format && !slash && *arguments == '/')
        take_format(&call, arguments);
    if (command->holds_cpus)
        machine_hold_cpus(monitor->machine);
    command->run(&call);
    if (command->holds_cpus)
        machine_release_cpus(monitor->machine);
}

/* --- the line editor's upward calls */

static void echo(void *opaque, const char *text, size_t length)
{
    send(opaque, text, length);
}

static void enter(void *opaque, char *line)
{
    struct monitor *monitor = opaque;
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);

    if (out) {
        monitor_run_line(monitor, line, out);
        fclose(out);
        send_lines(monitor, text, length);
        free(text);
    }
    line_editor_show(&monitor->editor);
}

/* The longest text that every row beginning with the word goes on with. */
static void complete_from(const struct monitor_command *row, const char *start, size_t length,
                          char *more, size_t capacity)
{
    bool found = false;

    for (; row->name; row++) {
        if (strncmp(row->name, start, length))
            continue;
        if (!found) {
            snprintf(more, capacity, "%s ", row->name + length);
            found = true;
            continue;
        }
        size_t same = 0;
        while (more[same] && more[same] == row->name[length + same])
            same++;
        more[same] = '\0';
    }
}

static void complete(void *opaque, const char *start, size_t length, char *more, size_t capacity)
{
    const struct monitor *monitor = opaque;
    size_t before = start - monitor->editor.line;

    if (before == 0)
        complete_from(monitor_commands, start, length, more, capacity);
    else if ((before >= 5 && !strncmp(monitor->editor.line, "info ", 5)))
        complete_from(monitor_topics, start, length, more, capacity);
    else if (!strncmp(monitor->editor.line, "help ", 5))
        complete_from(monitor_commands, start, length, more, capacity);
}

/* --- the stream's upward calls */

static size_t can_receive(void *opaque)
{
    return 256;
}

static void receive(void *opaque, const uint8_t *bytes, size_t length)
{
    struct monitor *monitor = opaque;

    for (size_t i = 0; i < length; i++)
        line_editor_type(&monitor->editor, bytes[i]);
}

static void on_event(void *opaque, enum chardev_event event)
{
    static const char greeting[] =
        "\r\nring3 " RING3_VERSION " monitor; help lists the commands\r\n";
    struct monitor *monitor = opaque;

    if (event != CHARDEV_OPENED)
        return;
    send(monitor, greeting, strlen(greeting));
    line_editor_show(&monitor->editor);
}

struct monitor *monitor_new(struct machine *machine, struct chardev *chardev)
{
    struct monitor *monitor = calloc(1, sizeof *monitor);

    if (!monitor)
        return NULL;
    monitor->machine = machine;
    monitor->chardev = chardev;
    monitor->memory_format = 'x';
    monitor->memory_size = 'w';
    monitor->editor = (struct line_editor){.prompt = "(ring3) ",
                                           .echo = echo,
                                           .enter = enter,
                                           .complete = complete,
                                           .opaque = monitor};
    monitor_keys_init(&monitor->keys, machine);
    chardev_connect(chardev, can_receive, receive, on_event, monitor);
    return monitor;
}

void monitor_free(struct monitor *monitor)
{
    if (!monitor)
        return;
    chardev_connect(monitor->chardev, NULL, NULL, NULL, NULL);
    monitor_keys_free(&monitor->keys);
    line_editor_free(&monitor->editor);
    free(monitor);
}
