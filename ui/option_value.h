/* The values of options: numbers, sizes, switches, dates, and lists of "key=value,…".
 *
 * Every function returns 0, or -EINVAL with one line in *error that begins with `what` (the option
 * as it was written) and says what would be right.
 */
#ifndef UI_OPTION_VALUE_H
#define UI_OPTION_VALUE_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

enum { SUBOPTIONS_MAX = 24 };

struct suboption {
    const char *key;
    const char *value; /* "on" for a bare word */
    bool bare;
};

struct suboptions {
    char *text; /* what the items point into; freed by suboptions_free() */
    unsigned count;
    struct suboption items[SUBOPTIONS_MAX];
};

/* Splits "value,key=value,word" at single commas; two commas stand for one in a value.  A first
 * item without '=' is the value of `implied` (NULL: a bare word like the others). */
int suboptions_parse(struct suboptions *list, const char *what, const char *text,
                     const char *implied, struct error *error);
void suboptions_free(struct suboptions *list);

/* An integer from `low` to `high`, in decimal or with 0x in hexadecimal. */
int option_number(const char *what, const char *text, uint64_t low, uint64_t high, uint64_t *value,
                  struct error *error);
/* A size in bytes: an integer and B, K, M, G or T; no letter means `unit` bytes. */
int option_size(const char *what, const char *text, uint64_t unit, uint64_t *bytes,
                struct error *error);
/* on, off, yes, no, true, false. */
int option_switch(const char *what, const char *text, bool *value, struct error *error);
/* 2026-11-22 or 2026-11-22T13:45:00: seconds since 1970 as if it were UTC. */
int option_datetime(const char *what, const char *text, int64_t *seconds, struct error *error);

#endif
