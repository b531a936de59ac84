/* Host and configuration errors: negative errno upwards, one line of text for the person.
 *
 * The text names the thing and the remedy ("disk.img: cannot open: No such file or directory; check
 * the path given to -hda").  Only main() prints it and exits.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include "base/bits.h"

struct error {
    char text[512];
};

/* Writes one line into `error` (may be NULL) and returns -`errno_value`. */
int error_set(struct error *error, int errno_value, const char *format, ...) printf_like(3, 4);

/* Our own bug, never the guest's doing: prints the place and aborts. */
_Noreturn void bug_at(const char *file, int line, const char *condition);
#define BUG_ON(condition)                                                                          \
    do {                                                                                           \
        if (unlikely(condition))                                                                   \
            bug_at(__FILE__, __LINE__, #condition);                                                \
    } while (0)

#endif
