#include "ui/option_value.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Ends the item at `at`: turns ",," into "," on the way; returns the start of the next item, or
 * NULL after the last. */
static char *end_item(char *at)
{
    char *to = at;

    while (*at) {
        if (*at == ',') {
            if (at[1] != ',') {
                *to = '\0';
                return at + 1;
            }
            at++;
        }
        *to++ = *at++;
    }
    *to = '\0';
    return NULL;
}

/* The '=' of the item at `at`, or NULL; a key is a word, so that a comma or slash before it ends
 * the search. */
static char *find_equals(char *at)
{
    while (isalnum((unsigned char)*at) || *at == '-' || *at == '_' || *at == '.')
        at++;
    return *at == '=' ? at : NULL;
}

int suboptions_parse(struct suboptions *list, const char *what, const char *text,
                     const char *implied, struct error *error)
{
    *list = (struct suboptions){.text = strdup(text)};
    if (!list->text)
        return error_set(error, ENOMEM, "%s: out of memory", what);
    for (char *at = list->text; at && *at;) {
        if (list->count == SUBOPTIONS_MAX) {
            suboptions_free(list);
            return error_set(error, EINVAL, "%s: more than %d settings; leave some out", what,
                             SUBOPTIONS_MAX);
        }
        struct suboption *item = &list->items[list->count];
        char *equals = find_equals(at);
        char *next = end_item(at);
        if (equals) {
            *equals = '\0';
            item->key = at;
            item->value = equals + 1;
        } else if (list->count == 0 && implied) {
            item->key = implied;
            item->value = at;
        } else {
            item->key = at;
            item->value = "on";
            item->bare = true;
        }
        if (!*item->key) {
            suboptions_free(list);
            return error_set(error, EINVAL, "%s: a setting without a name; write name=value", what);
        }
        list->count++;
        at = next;
    }
    return 0;
}

void suboptions_free(struct suboptions *list)
{
    free(list->text);
    list->text = NULL;
    list->count = 0;
}

/* Reads an unsigned number; false when there is none, it has a sign, or it does not fit. */
static bool read_number(const char *text, uint64_t *value, char **end)
{
    bool hexadecimal = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');

    if (!isdigit((unsigned char)*text))
        return false;
    errno = 0;
    *value = strtoull(text, end, hexadecimal ? 16 : 10);
    return errno == 0 && !(hexadecimal && *end == text + 1);
}

int option_number(const char *what, const char *text, uint64_t low, uint64_t high, uint64_t *value,
                  struct error *error)
{
    char *end;
    uint64_t number;

    if (!read_number(text, &number, &end) || *end)
        return error_set(error, EINVAL, "%s: '%s' is no number; give one from %#llx to %#llx", what,
                         text, (unsigned long long)low, (unsigned long long)high);
    if (number < low || number > high)
        return error_set(error, EINVAL, "%s: %s is out of range; give a number from %#llx to %#llx",
                         what, text, (unsigned long long)low, (unsigned long long)high);
    *value = number;
    return 0;
}

int option_size(const char *what, const char *text, uint64_t unit, uint64_t *bytes,
                struct error *error)
{
    static const struct {
        char letter;
        uint8_t shift;
    } units[] = {{'b', 0}, {'k', 10}, {'m', 20}, {'g', 30}, {'t', 40}};
    uint64_t number = 0, scale = 0;
    char *end = NULL;

    if (read_number(text, &number, &end)) {
        if (!*end)
            scale = unit;
        for (unsigned i = 0; i < ARRAY_LENGTH(units) && *end; i++)
            if (tolower((unsigned char)*end) == units[i].letter && !end[1])
                scale = UINT64_C(1) << units[i].shift;
    }
    if (!scale)
        return error_set(error, EINVAL,
                         "%s: '%s' is no size; give a number with K, M, G or T, as in 512M", what,
                         text);
    if (number > UINT64_MAX / scale)
        return error_set(error, EINVAL, "%s: %s is more than 64 bits can count; give less", what,
                         text);
    *bytes = number * scale;
    return 0;
}

int option_switch(const char *what, const char *text, bool *value, struct error *error)
{
    static const char *const words[2][3] = {{"off", "no", "false"}, {"on", "yes", "true"}};

    for (unsigned is_on = 0; is_on < 2; is_on++) {
        for (unsigned i = 0; i < 3; i++) {
            if (!strcmp(text, words[is_on][i])) {
                *value = is_on;
                return 0;
            }
        }
    }
    return error_set(error, EINVAL, "%s: '%s' is neither on nor off; give one of them", what, text);
}

int option_datetime(const char *what, const char *text, int64_t *seconds, struct error *error)
{
    struct tm given = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &given);

    if (!end) {
        given = (struct tm){0};
        end = strptime(text, "%Y-%m-%d", &given);
    }
    if (!end || *end || given.tm_year < 80 || given.tm_year > 199)
        return error_set(error, EINVAL,
                         "%s: '%s' is no date; give utc, localtime or a date from 1980 to 2099 as "
                         "in 2026-11-22T13:45:00",
                         what, text);
    struct tm copy = given;
    *seconds = timegm(&copy);
    if (copy.tm_mday != given.tm_mday)
        return error_set(error, EINVAL, "%s: '%s': that month has fewer days; give a day it has",
                         what, text);
    return 0;
}
