#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { RANGES_MAX = 32 };

static struct {
    uint64_t first, last;
} ranges[RANGES_MAX];
static unsigned range_count; /* 0: no filter */

bool log_wants(uint64_t linear)
{
    for (unsigned i = 0; i < range_count; i++)
        if (linear >= ranges[i].first && linear <= ranges[i].last)
            return true;
    return !range_count;
}

/* A number, in decimal or with 0x in hexadecimal, at *text, which is moved behind it. */
static bool read_number(const char **text, uint64_t *number)
{
    const bool is_hex = (*text)[0] == '0' && ((*text)[1] | 0x20) == 'x';
    const char *digits = *text + (is_hex ? 2 : 0);
    char *end;

    if (!strchr(is_hex ? "0123456789abcdefABCDEF" : "0123456789", *digits) || !*digits)
        return false;
    errno = 0;
    *number = strtoull(digits, &end, is_hex ? 16 : 10);
    *text = end;
    return !errno;
}

/* The range that `start`, one of + - and . and `second` say. */
static bool settle_range(char sign, uint64_t start, uint64_t second, unsigned index)
{
    uint64_t first = start, last = second;

    if (sign == '+')
        last = start + (second - 1);
    if (sign == '-') {
        first = start - (second - 1);
        last = start;
    }
    ranges[index].first = first;
    ranges[index].last = last;
    return first <= last && (sign == '.' || second);
}

static bool read_range(const char **text, unsigned index)
{
    uint64_t start, second;

    if (!read_number(text, &start))
        return false;
    const char sign = **text;
    if (sign != '+' && sign != '-' && (sign != '.' || (*text)[1] != '.'))
        return false;
    *text += sign == '.' ? 2 : 1;
    return read_number(text, &second) && (!**text || **text == ',') &&
           settle_range(sign, start, second, index);
}

int log_filter(const char *what, const char *text, struct error *error)
{
    const char *at = text;
    unsigned count = 0;

    range_count = 0;
    do {
        const char *range = at;
        if (count == RANGES_MAX)
            return error_set(error, EINVAL, "%s: more than %d ranges; give fewer", what,
                             RANGES_MAX);
        if (!read_range(&at, count++))
            return error_set(error, EINVAL,
                             "%s %.*s: no range; write START+SIZE, START-SIZE or START..END", what,
                             (int)strcspn(range, ","), range);
    } while (*at++ == ',');
    range_count = count;
    return 0;
}
