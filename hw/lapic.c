#include "hw/lapic_priv.h"

#include "base/log.h"
#include "hw/ioapic.h"

#include <errno.h>

#define LAPIC_FIELDS(FIELD, ARRAY)                                                                 \
    FIELD(struct lapic_state, base)                                                                \
    FIELD(struct lapic_state, timer_start_ns)                                                      \
    FIELD(struct lapic_state, timer_deadline_ns)                                                   \
    FIELD(struct lapic_state, timer_settled_ns)                                                    \
    FIELD(struct lapic_state, tsc_deadline)                                                        \
    FIELD(struct lapic_state, icr)                                                                 \
    FIELD(struct lapic_state, id)                                                                  \
    FIELD(struct lapic_state, logical_destination)                                                 \
    FIELD(struct lapic_state, destination_format)                                                  \
    FIELD(struct lapic_state, spurious)                                                            \
    FIELD(struct lapic_state, error)                                                               \
    FIELD(struct lapic_state, error_shadow)                                                        \
    ARRAY(struct lapic_state, requests)                                                            \
    ARRAY(struct lapic_state, in_service)                                                          \
    ARRAY(struct lapic_state, trigger_mode)                                                        \
    ARRAY(struct lapic_state, lvt)                                                                 \
    FIELD(struct lapic_state, timer_initial)                                                       \
    FIELD(struct lapic_state, timer_divide)                                                        \
    FIELD(struct lapic_state, task_priority)                                                       \
    ARRAY(struct lapic_state, lint_levels)                                                         \
    FIELD(struct lapic_state, intr)                                                                \
    ARRAY(struct lapic_state, pad)
static const struct field lapic_fields[] = SAVE_FIELDS(LAPIC_FIELDS);
SAVE_ASSERT_COMPLETE(struct lapic_state, LAPIC_FIELDS);

/* --- 256-bit sets of vectors */

static void set_vector(uint32_t *set, unsigned vector)
{
    set[vector / 32] |= UINT32_C(1) << vector % 32;
}

static void clear_vector(uint32_t *set, unsigned vector)
{
    set[vector / 32] &= ~(UINT32_C(1) << vector % 32);
}

static bool has_vector(const uint32_t *set, unsigned vector)
{
    return set[vector / 32] >> vector % 32 & 1;
}

static int highest_vector(const uint32_t *set)
{
    for (int word = 7; word >= 0; word--)
        if (set[word])
            return 32 * word + 31 - __builtin_clz(set[word]);
    return -1;
}

/* --- what the processor sees */

uint8_t lapic_processor_priority(const struct lapic *lapic)
{
    int serving = highest_vector(lapic->state.in_service);
    uint8_t class = serving < 0 ? 0 : serving & 0xf0, task = lapic->state.task_priority;
    return (task & 0xf0) >= class ? task : class;
}

static bool is_software_enabled(const struct lapic *lapic)
{
    return lapic_is_enabled(lapic) && lapic->state.spurious & SPURIOUS_ENABLE;
}

/* The vector that the APIC itself would deliver, or -1. */
static int deliverable(const struct lapic *lapic)
{
    int vector = highest_vector(lapic->state.requests);
    if (vector < 0 || !is_software_enabled(lapic) ||
        (vector & 0xf0) <= (lapic_processor_priority(lapic) & 0xf0))
        return -1;
    return vector;
}

/* Do the 8259s interrupt through LINT0 now?  A disabled APIC is a wire. */
static bool extint_pending(const struct lapic *lapic)
{
    uint32_t entry = lapic->state.lvt[LVT_LINT0];
    if (!lapic->state.lint_levels[0])
        return false;
    return !lapic_is_enabled(lapic) ||
           (!(entry & LVT_MASKED) && (entry >> LVT_MODE_SHIFT & 7) == APIC_EXTINT);
}

/* INV-1. */
void lapic_update(struct lapic *lapic)
{
    uint8_t intr = deliverable(lapic) >= 0 || extint_pending(lapic);
    if (intr == lapic->state.intr)
        return;
    lapic->state.intr = intr;
    lapic->cpu.set_intr(lapic->cpu.opaque, intr);
}

int lapic_acknowledge(struct lapic *lapic)
{
    int vector = deliverable(lapic);
    if (vector >= 0) {
        clear_vector(lapic->state.requests, (unsigned)vector);
        set_vector(lapic->state.in_service, (unsigned)vector);
    } else if (extint_pending(lapic) && lapic->cpu.acknowledge_pic) {
        vector = lapic->cpu.acknowledge_pic(lapic->cpu.opaque);
    }
    lapic_update(lapic);
    return vector;
}

/* --- what arrives */

void lapic_note_error(struct lapic *lapic, uint32_t bit)
{
    bool first = !(lapic->state.error_shadow & bit);
    lapic->state.error_shadow |= bit;
    if (first)
        lapic_local_event(lapic, LVT_ERROR);
}

bool lapic_accept(struct lapic *lapic, uint8_t vector, bool level)
{
    if (!is_software_enabled(lapic))
        return false;
    if (vector < 16) {
        lapic_note_error(lapic, ERROR_RECEIVE_ILLEGAL);
        return true;
    }
    set_vector(lapic->state.requests, vector);
    if (level)
        set_vector(lapic->state.trigger_mode, vector);
    else
        clear_vector(lapic->state.trigger_mode, vector);
    lapic_update(lapic);
    return true;
}

bool lapic_deliver(struct lapic *lapic, uint8_t mode, uint8_t vector, bool level)
{
    const struct lapic_cpu *cpu = &lapic->cpu;
    switch (mode) {
    case APIC_FIXED:
    case APIC_LOWEST:
        return lapic_accept(lapic, vector, level);
    case APIC_NMI:
        cpu->nmi(cpu->opaque);
        return true;
    case APIC_INIT:
        lapic_init_reset(lapic);
        cpu->init(cpu->opaque);
        return true;
    case APIC_STARTUP:
        cpu->sipi(cpu->opaque, vector);
        return true;
    case APIC_EXTINT:
        /* LIMIT: the 8259s reach a processor by its LINT0 only. */
    default:
        log_unimp("lapic %u: message with delivery mode %u", lapic->state.id, mode);
        return false;
    }
}

void lapic_local_event(struct lapic *lapic, unsigned entry)
{
    uint32_t lvt = lapic->state.lvt[entry];
    if (lvt & LVT_MASKED || !lapic_is_enabled(lapic))
        return;
    bool is_fixed = entry == LVT_TIMER || entry == LVT_ERROR;
    uint8_t mode = is_fixed ? APIC_FIXED : lvt >> LVT_MODE_SHIFT & 7;
    if (mode != APIC_EXTINT)
        lapic_deliver(lapic, mode, lvt & LVT_VECTOR, lvt & LVT_LEVEL && mode == APIC_FIXED);
}

bool lapic_is_by_level(const struct lapic *lapic, unsigned entry)
{
    uint32_t lvt = lapic->state.lvt[entry];
    return lvt & LVT_LEVEL && (lvt >> LVT_MODE_SHIFT & 7) == APIC_FIXED;
}

void lapic_request_by_level(struct lapic *lapic, unsigned entry)
{
    uint32_t *lvt = &lapic->state.lvt[entry];
    if (!lapic_is_by_level(lapic, entry) || *lvt & (LVT_MASKED | LVT_REMOTE_IRR) ||
        !lapic->state.lint_levels[entry - LVT_LINT0] || !is_software_enabled(lapic))
        return;
    *lvt |= LVT_REMOTE_IRR;
    lapic_local_event(lapic, entry);
}

void lapic_set_lint(void *opaque, int number, int level)
{
    struct lapic *lapic = opaque;
    unsigned pin = number & 1, entry = LVT_LINT0 + pin;
    bool rises = level && !lapic->state.lint_levels[pin];
    lapic->state.lint_levels[pin] = level != 0;
    if (lapic_is_by_level(lapic, entry))
        lapic_request_by_level(lapic, entry);
    else if (rises)
        lapic_local_event(lapic, entry);
    if (rises && pin == 1 && !lapic_is_enabled(lapic)) /* LINT1 is the NMI pin then */
        lapic->cpu.nmi(lapic->cpu.opaque);
    lapic_update(lapic);
}

void lapic_end_of_interrupt(struct lapic *lapic)
{
    struct lapic_state *state = &lapic->state;
    int vector = highest_vector(state->in_service);
    if (vector < 0)
        return;
    clear_vector(state->in_service, (unsigned)vector);
    if (has_vector(state->trigger_mode, (unsigned)vector)) {
        for (unsigned entry = LVT_LINT0; entry <= LVT_LINT1; entry++)
            if (state->lvt[entry] & LVT_REMOTE_IRR &&
                (int)(state->lvt[entry] & LVT_VECTOR) == vector) {
                state->lvt[entry] &= ~LVT_REMOTE_IRR;
                lapic_request_by_level(lapic, entry);
            }
        if (lapic->bus->ioapic)
            ioapic_end_of_interrupt(lapic->bus->ioapic, (uint8_t)vector);
    }
    lapic_update(lapic);
}

/* --- IA32_APIC_BASE, CR8 */

static void reset_registers(struct lapic *lapic)
{
    struct lapic_state *state = &lapic->state;
    state->icr = 0;
    state->logical_destination = 0;
    state->destination_format = UINT32_MAX;
    state->spurious = 0xff;
    state->error = state->error_shadow = 0;
    state->task_priority = 0;
    memset(state->requests, 0, sizeof state->requests);
    memset(state->in_service, 0, sizeof state->in_service);
    memset(state->trigger_mode, 0, sizeof state->trigger_mode);
    for (unsigned entry = 0; entry < LVT_COUNT; entry++)
        state->lvt[entry] = LVT_MASKED;
    lapic_timer_reset(lapic);
}

/* Cluster and bit, derived from the id (SDM 3A 10.12.10.2). */
static uint32_t x2apic_logical_id(uint32_t id)
{
    return (id & ~15u) << 12 | 1u << (id & 15);
}

void lapic_set_base(struct lapic *lapic, uint64_t value)
{
    struct lapic_state *state = &lapic->state;
    bool was_enabled = lapic_is_enabled(lapic), was_x2apic = lapic_is_x2apic(lapic);
    state->base = value;
    if (was_enabled && !lapic_is_enabled(lapic)) {
        reset_registers(lapic);
        state->id = lapic->hardware_id;
    }
    if (!was_x2apic && lapic_is_x2apic(lapic)) {
        state->id = lapic->hardware_id;
        state->logical_destination = x2apic_logical_id(state->id);
    }
    lapic_update(lapic);
}

void lapic_set_task_priority(struct lapic *lapic, uint8_t value)
{
    lapic->state.task_priority = value;
    lapic_update(lapic);
}

uint8_t lapic_cr8(const struct lapic *lapic)
{
    return lapic->state.task_priority >> 4;
}

void lapic_set_cr8(struct lapic *lapic, uint8_t value)
{
    lapic_set_task_priority(lapic, (uint8_t)(value << 4));
}

/* --- the device */

void lapic_init_reset(struct lapic *lapic)
{
    reset_registers(lapic);
    if (lapic_is_x2apic(lapic)) /* derived from the id, which INIT keeps */
        lapic->state.logical_destination = x2apic_logical_id(lapic->state.id);
    lapic_update(lapic);
}

static void reset(void *object, enum reset_kind kind)
{
    struct lapic *lapic = object;
    lapic->state.base =
        LAPIC_BASE_DEFAULT | LAPIC_BASE_ENABLE | (lapic->hardware_id == 0 ? LAPIC_BASE_BSP : 0);
    lapic->state.id = lapic->hardware_id;
    reset_registers(lapic);
    lapic->state.lint_levels[0] = lapic->state.lint_levels[1] = 0;
    lapic->state.intr = 0;
    lapic->cpu.set_intr(lapic->cpu.opaque, 0);
}

static int after_load(void *object, struct error *error)
{
    struct lapic *lapic = object;
    struct lapic_state *state = &lapic->state;
    int64_t now = clock_now_ns(lapic->clock);
    if (state->timer_start_ns > now || state->timer_settled_ns > now ||
        state->timer_settled_ns < 0 || state->timer_deadline_ns < 0 ||
        state->timer_start_ns < -(INT64_C(1) << 40))
        return error_set(error, EINVAL,
                         "saved state: \"lapic\": the timer is out of range; the "
                         "file is damaged");
    state->timer_divide &= 0x0b;
    lapic->cpu.set_intr(lapic->cpu.opaque, state->intr != 0);
    lapic_timer_arm(lapic);
    return 0;
}

static void describe(const void *object, FILE *out)
{
    const struct lapic *lapic = object;
    const struct lapic_state *state = &lapic->state;
    fprintf(out, "  id %u base %09lx%s tpr %02x ppr %02x svr %03x\n", state->id,
            (unsigned long)state->base, lapic_is_x2apic(lapic) ? " x2apic" : "",
            state->task_priority, lapic_processor_priority(lapic), state->spurious);
    lapic_timer_describe(lapic, out);
    for (unsigned vector = 0; vector < 256; vector++)
        if (has_vector(state->requests, vector) || has_vector(state->in_service, vector))
            fprintf(out, "  vector %02x:%s%s%s\n", vector,
                    has_vector(state->requests, vector) ? " requested" : "",
                    has_vector(state->in_service, vector) ? " in service" : "",
                    has_vector(state->trigger_mode, vector) ? " level" : "");
    static const char *const names[LVT_COUNT] = {"timer", "thermal", "counter",
                                                 "lint0", "lint1",   "error"};
    for (unsigned entry = 0; entry < LVT_COUNT; entry++)
        fprintf(out, "  lvt %-8s %05x\n", names[entry], state->lvt[entry]);
}

void lapic_attach(struct lapic *lapic, unsigned id, struct apic_bus *bus, struct clock *clock,
                  const struct lapic_cpu *cpu)
{
    BUG_ON(bus->count == LAPIC_MAX);
    *lapic = (struct lapic){.bus = bus, .cpu = *cpu, .hardware_id = id};
    lapic_timer_attach(lapic, clock);
    bus->lapics[bus->count++] = lapic;
}

const struct device_class lapic_class = {
    .name = "lapic",
    DEVICE_STATE(struct lapic, 1, lapic_fields),
    .reset = reset,
    .after_load = after_load,
    .describe = describe,
};
