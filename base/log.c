#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

unsigned log_mask;

/* A guest can ask for nonsense millions of times a second; nobody reads more than this. */
enum { LOG_LINES_PER_SECOND = 200 };

static FILE *log_file;

static const struct {
    const char *name, *help;
} log_channels[] = {
#define LOG_ROW(id, name, help) {name, help},
    LOG_CHANNELS(LOG_ROW)
#undef LOG_ROW
};

int log_select(const char *channels, struct error *error)
{
    const char *at = channels;
    while (*at) {
        size_t length = strcspn(at, ",");
        unsigned channel = 0;
        while (channel < LOG_CHANNEL_COUNT && (strlen(log_channels[channel].name) != length ||
                                               memcmp(log_channels[channel].name, at, length)))
            channel++;
        if (channel == LOG_CHANNEL_COUNT)
            return error_set(error, EINVAL, "-d %.*s: no such log channel; -d help lists them",
                             (int)length, at);
        log_mask |= 1u << channel;
        at += length + (at[length] == ',');
    }
    return 0;
}

void log_select_none(void)
{
    log_mask = 0;
}

int log_open(const char *path, struct error *error)
{
    FILE *file = fopen(path, "we");
    if (!file)
        return error_set(error, errno, "-D %s: cannot create the log file: %s", path,
                         strerror(errno));
    setvbuf(file, NULL, _IOLBF, 0);
    if (log_file)
        fclose(log_file);
    log_file = file;
    return 0;
}

void log_list(FILE *out)
{
    for (unsigned channel = 0; channel < LOG_CHANNEL_COUNT; channel++)
        fprintf(out, "%-14s %s\n", log_channels[channel].name, log_channels[channel].help);
}

FILE *log_stream(void)
{
    return log_file ? log_file : stderr;
}

static bool log_is_limited(void)
{
    static _Thread_local time_t second;
    static _Thread_local unsigned lines;
    time_t now = time(NULL);
    if (now != second) {
        second = now;
        lines = 0;
    }
    if (++lines == LOG_LINES_PER_SECOND + 1)
        fprintf(log_stream(), "log: more lines of this kind are left out for this second\n");
    return lines > LOG_LINES_PER_SECOND;
}

void log_line(enum log_channel channel, const char *format, ...)
{
    if (!log_enabled(channel))
        return;
    if ((channel == LOG_GUEST_ERROR || channel == LOG_UNIMP) && log_is_limited())
        return;
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(log_stream(), "%s\n", text);
}
