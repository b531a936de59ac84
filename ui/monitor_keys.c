#include "ui/monitor_keys.h"

#include <errno.h>

enum { HOLD_MS = 100, GAP_MS = 20 };
#define NS_PER_MS INT64_C(1000000)

static void fire(void *opaque)
{
    struct monitor_keys *keys = opaque;
    int64_t now = clock_now_ns(keys->timer.clock);

    if (keys->in == keys->out)
        return;
    const struct monitor_combination *at = &keys->waiting[keys->out % MONITOR_KEYS_WAITING];
    if (!keys->down) {
        for (unsigned i = 0; i < at->count; i++)
            machine_send_key(keys->machine, at->keys[i], true);
        keys->down = true;
        timer_arm(&keys->timer, now + at->hold_ns);
        return;
    }
    for (unsigned i = at->count; i-- > 0;)
        machine_send_key(keys->machine, at->keys[i], false);
    keys->down = false;
    keys->out++;
    if (keys->in != keys->out)
        timer_arm(&keys->timer, now + GAP_MS * NS_PER_MS);
}

void monitor_keys_init(struct monitor_keys *keys, struct machine *machine)
{
    keys->machine = machine;
    timer_init(&keys->timer, &machine_loop(machine)->clock, fire, keys);
}

void monitor_keys_free(struct monitor_keys *keys)
{
    timer_disarm(&keys->timer);
}

int monitor_keys_send(struct monitor_keys *keys, const char *names, unsigned hold_ms,
                      struct error *error)
{
    struct monitor_combination combination = {.hold_ns = (hold_ms ? hold_ms : HOLD_MS) * NS_PER_MS};

    if (keys->in - keys->out == MONITOR_KEYS_WAITING)
        return error_set(error, EBUSY, "sendkey: %d combinations wait already; try again later",
                         MONITOR_KEYS_WAITING);
    for (const char *at = names;; at++) {
        size_t length = strcspn(at, "-");
        int key = ps2_key_by_name(at, length);
        if (key < 0)
            return error_set(error, EINVAL,
                             "sendkey: no key '%.*s'; names are as in ctrl-alt-f2, "
                             "ret, spc, shift-a",
                             (int)length, at);
        if (combination.count == MONITOR_KEYS_AT_ONCE)
            return error_set(error, EINVAL, "sendkey: at most %d keys at once",
                             MONITOR_KEYS_AT_ONCE);
        combination.keys[combination.count++] = (enum ps2_key)key;
        at += length;
        if (!*at)
            break;
    }
    keys->waiting[keys->in++ % MONITOR_KEYS_WAITING] = combination;
    if (!timer_armed(&keys->timer))
        fire(keys);
    return 0;
}
