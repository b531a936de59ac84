/* For the tests of single chips: two buses, a clock that the test turns, lines that write down what
 * happens to them, and what every class must keep: save and load, reset twice. */
#ifndef TESTS_CHIP_RIG_H
#define TESTS_CHIP_RIG_H

#include "base/bus.h"
#include "base/clock.h"
#include "base/irq.h"
#include "hw/device.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum { RIG_LINES = 32 };

struct rig {
    struct bus ports, memory;
    struct clock clock;
    int64_t now; /* what the clock shows */
    int level[RIG_LINES];
    unsigned rises[RIG_LINES], falls[RIG_LINES];
};

static inline int64_t rig_source(void *opaque)
{
    return *(int64_t *)opaque;
}

static inline void rig_init(struct rig *rig)
{
    *rig = (struct rig){0};
    bus_init(&rig->ports, "ports", 0xffff);
    bus_init(&rig->memory, "memory", UINT64_C(0xffffffffff));
    clock_init(&rig->clock);
    rig->clock.source = rig_source;
    rig->clock.source_opaque = &rig->now;
    clock_start(&rig->clock);
}

static inline void rig_free(struct rig *rig)
{
    bus_free(&rig->ports);
    bus_free(&rig->memory);
    clock_free(&rig->clock);
}

/* Turns the clock to `ns`, firing each timer at its own time. */
static inline void rig_run_to(struct rig *rig, int64_t ns)
{
    while (clock_deadline_ns(&rig->clock) <= ns) {
        if (clock_deadline_ns(&rig->clock) > rig->now)
            rig->now = clock_deadline_ns(&rig->clock);
        clock_run_due(&rig->clock);
    }
    rig->now = ns;
}

static inline void rig_run(struct rig *rig, int64_t ns)
{
    rig_run_to(rig, rig->now + ns);
}

/* The host was busy for `ns`: all timers are late. */
static inline void rig_stall(struct rig *rig, int64_t ns)
{
    rig->now += ns;
    clock_run_due(&rig->clock);
}

static inline void rig_set_line(void *opaque, int number, int level)
{
    struct rig *rig = opaque;
    if (level && !rig->level[number])
        rig->rises[number]++;
    if (!level && rig->level[number])
        rig->falls[number]++;
    rig->level[number] = level;
}

static inline struct irq_line rig_line(struct rig *rig, int number)
{
    return (struct irq_line){.set = rig_set_line, .opaque = rig, .number = number};
}

static inline void rig_out(struct rig *rig, uint16_t port, uint8_t value)
{
    bus_write(&rig->ports, port, 1, value);
}

static inline uint8_t rig_in(struct rig *rig, uint16_t port)
{
    return (uint8_t)bus_read(&rig->ports, port, 1);
}

/* --- what every class must keep */

static inline void *rig_copy_state(const struct device_class *class, const void *object)
{
    void *copy = malloc(class->state_bytes + 1);
    memcpy(copy, (const char *)object + class->state_offset, class->state_bytes);
    return copy;
}

static inline void rig_expect_state(const struct device_class *class, const void *object,
                                    const void *expected, const char *what)
{
    for (size_t i = 0; i < class->field_count; i++) {
        const struct field *field = &class->fields[i];
        size_t bytes = (size_t)field->element_bytes * field->count;
        cr_assert(!memcmp((const char *)object + class->state_offset + field->offset,
                          (const char *)expected + field->offset, bytes),
                  "%s: %s changes %s", class->name, what, field->name);
    }
}

/* Saves the device as it is, resets it, loads: the state is the same again, and saves the same. */
static inline void rig_check_round_trip(const struct device_class *class, void *object)
{
    struct save_buffer first = {0}, second = {0};
    struct device_list list;
    struct error error = {""};
    device_list_init(&list);
    device_register(&list, class, object);
    void *before = rig_copy_state(class, object);
    device_save_all(&list, &first);
    device_reset_all(&list, RESET_POWER_ON);
    int status = device_load_all(&list, &first, &error);
    cr_assert_eq(status, 0, "%s: %s", class->name, error.text);
    cr_assert_eq(first.at, first.length, "%s: not all was read", class->name);
    rig_expect_state(class, object, before, "a round trip");
    device_save_all(&list, &second);
    cr_assert_eq(second.length, first.length);
    cr_assert(!memcmp(second.bytes, first.bytes, first.length));

    /* A file cut short leaves the device alone. */
    first.at = 0;
    first.length--;
    cr_assert(device_load_all(&list, &first, &error) < 0);
    rig_expect_state(class, object, before, "a failed load");
    free(before);
    save_buffer_free(&first);
    save_buffer_free(&second);
    free(list.first);
}

/* Whatever a file says, loading it and then using the device must be harmless: random bytes in
 * place of the state. */
static inline void rig_load_noise(const struct device_class *class, void *object, unsigned *seed)
{
    uint8_t *state = (uint8_t *)object + class->state_offset;
    for (size_t i = 0; i < class->state_bytes; i++)
        state[i] = (uint8_t)(rand_r(seed) >> 8);
    if (class->after_load)
        (void)class->after_load(object, NULL);
}

/* Reset after use equals reset after reset. */
static inline void rig_check_reset(const struct device_class *class, void *object)
{
    static const enum reset_kind kinds[] = {RESET_SYSTEM, RESET_POWER_ON};
    for (unsigned i = 0; i < ARRAY_LENGTH(kinds); i++) {
        class->reset(object, kinds[i]);
        void *once = rig_copy_state(class, object);
        class->reset(object, kinds[i]);
        rig_expect_state(class, object, once, "a second reset");
        free(once);
    }
}

#endif
