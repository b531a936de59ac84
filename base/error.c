#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int error_set(struct error *error, int errno_value, const char *format, ...)
{
    if (error) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(error->text, sizeof error->text, format, arguments);
        va_end(arguments);
    }
    return -errno_value;
}

_Noreturn void bug_at(const char *file, int line, const char *condition)
{
    fprintf(stderr, "ring3: bug at %s:%d: %s\n", file, line, condition);
    abort();
}
