/* "sendkey": key combinations, pressed and released one after another in host time. */
#ifndef UI_MONITOR_KEYS_H
#define UI_MONITOR_KEYS_H

#include "machine/machine.h"

enum { MONITOR_KEYS_AT_ONCE = 8, MONITOR_KEYS_WAITING = 64 };

struct monitor_combination {
    enum ps2_key keys[MONITOR_KEYS_AT_ONCE];
    unsigned count;
    int64_t hold_ns;
};

struct monitor_keys {
    struct machine *machine;
    struct timer timer;                                       /* of the loop's clock */
    struct monitor_combination waiting[MONITOR_KEYS_WAITING]; /* a ring */
    unsigned in, out;
    bool down; /* the combination at `out` is pressed */
};

void monitor_keys_init(struct monitor_keys *keys, struct machine *machine);
void monitor_keys_free(struct monitor_keys *keys);
/* Queues "ctrl-alt-delete"; `hold_ms` of 0: 100.  -EINVAL with a line in *error for an unknown key,
 * -EBUSY when too many wait. */
int monitor_keys_send(struct monitor_keys *keys, const char *names, unsigned hold_ms,
                      struct error *error);

#endif
