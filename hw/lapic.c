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

/* Offsets of the registers in the page, divided by 16: the low byte of the x2APIC MSRs. */
enum {
    REG_ID = 0x02,
    REG_VERSION = 0x03,
    REG_TPR = 0x08,
    REG_APR = 0x09,
    REG_PPR = 0x0a,
    REG_EOI = 0x0b,
    REG_LDR = 0x0d,
    REG_DFR = 0x0e,
    REG_SVR = 0x0f,
    REG_ISR = 0x10,
    REG_TMR = 0x18,
    REG_IRR = 0x20,
    REG_ESR = 0x28,
    REG_ICR_LOW = 0x30,
    REG_ICR_HIGH = 0x31,
    REG_LVT = 0x32,
    REG_TIMER_INITIAL = 0x38,
    REG_TIMER_CURRENT = 0x39,
    REG_TIMER_DIVIDE = 0x3e,
    REG_SELF_IPI = 0x3f,
};

enum {
    VERSION = 0x00050014, /* integrated, six LVT entries */
    SPURIOUS_BITS = 0x1ff,
    ICR_VECTOR = 0xff,
    ICR_LOGICAL = 1 << 11,
    ICR_ASSERT = 1 << 14,
    ICR_LEVEL = 1 << 15,
    ICR_BITS = 0xccfff, /* of its low half; bit 12 is the delivery status */
    ICR_STATUS = 1 << 12,
    SHORTHAND_NONE = 0,
    SHORTHAND_SELF = 1,
    SHORTHAND_ALL = 2,
};

static const uint32_t lvt_writable[LVT_COUNT] = {
    [LVT_TIMER] = 0x700ff, [LVT_THERMAL] = 0x107ff, [LVT_COUNTER] = 0x107ff,
    [LVT_LINT0] = 0x1a7ff, [LVT_LINT1] = 0x1a7ff,   [LVT_ERROR] = 0x100ff,
};

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
static void update(struct lapic *lapic)
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
    update(lapic);
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
    update(lapic);
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

/* A level-triggered fixed LINT entry requests as long as its input is high. */
static void request_by_level(struct lapic *lapic, unsigned entry)
{
    uint32_t lvt = lapic->state.lvt[entry];
    if (!(lvt & LVT_LEVEL) || lvt & (LVT_MASKED | LVT_REMOTE_IRR) ||
        (lvt >> LVT_MODE_SHIFT & 7) != APIC_FIXED || !lapic->state.lint_levels[entry - LVT_LINT0] ||
        !is_software_enabled(lapic))
        return;
    lapic->state.lvt[entry] |= LVT_REMOTE_IRR;
    lapic_local_event(lapic, entry);
}

static bool is_by_level(const struct lapic *lapic, unsigned entry)
{
    uint32_t lvt = lapic->state.lvt[entry];
    return lvt & LVT_LEVEL && (lvt >> LVT_MODE_SHIFT & 7) == APIC_FIXED;
}

void lapic_set_lint(void *opaque, int number, int level)
{
    struct lapic *lapic = opaque;
    unsigned pin = number & 1, entry = LVT_LINT0 + pin;
    bool rises = level && !lapic->state.lint_levels[pin];
    lapic->state.lint_levels[pin] = level != 0;
    if (is_by_level(lapic, entry))
        request_by_level(lapic, entry);
    else if (rises)
        lapic_local_event(lapic, entry);
    if (rises && pin == 1 && !lapic_is_enabled(lapic)) /* LINT1 is the NMI pin then */
        lapic->cpu.nmi(lapic->cpu.opaque);
    update(lapic);
}

static void end_of_interrupt(struct lapic *lapic)
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
                request_by_level(lapic, entry);
            }
        if (lapic->bus->ioapic)
            ioapic_end_of_interrupt(lapic->bus->ioapic, (uint8_t)vector);
    }
    update(lapic);
}

/* --- interprocessor interrupts */

static void send_icr(struct lapic *lapic)
{
    uint64_t icr = lapic->state.icr;
    uint8_t mode = icr >> 8 & 7, vector = icr & ICR_VECTOR;
    unsigned shorthand = icr >> 18 & 3;
    uint32_t destination = (uint32_t)(icr >> 32);
    bool logical = icr & ICR_LOGICAL;
    if (!lapic_is_x2apic(lapic)) {
        destination >>= 24;
        if (!logical && destination == 0xff)
            destination = APIC_EVERYBODY;
    }
    /* SDM: the "INIT level de-assert" message of old APICs only set arbitration ids. */
    if (mode == APIC_INIT && icr & ICR_LEVEL && !(icr & ICR_ASSERT))
        return;
    if ((mode == APIC_FIXED || mode == APIC_LOWEST) && vector < 16) {
        lapic_note_error(lapic, ERROR_SEND_ILLEGAL);
        return;
    }
    if (shorthand == SHORTHAND_NONE) {
        struct apic_message message = {
            .destination = destination, .logical = logical, .mode = mode, .vector = vector};
        apic_bus_send(lapic->bus, &message);
        return;
    }
    for (unsigned i = 0; i < lapic->bus->count; i++) {
        struct lapic *other = lapic->bus->lapics[i];
        bool meant = shorthand == SHORTHAND_SELF  ? other == lapic
                     : shorthand == SHORTHAND_ALL ? true
                                                  : other != lapic;
        if (meant && lapic_is_enabled(other))
            lapic_deliver(other, mode, vector, false);
    }
}

/* --- registers */

static uint32_t read_register(struct lapic *lapic, unsigned reg)
{
    const struct lapic_state *state = &lapic->state;
    switch (reg) {
    case REG_ID:
        return lapic_is_x2apic(lapic) ? state->id : state->id << 24;
    case REG_VERSION:
        return VERSION;
    case REG_TPR:
        return state->task_priority;
    case REG_APR:
    case REG_PPR:
        return lapic_processor_priority(lapic);
    case REG_LDR:
        return state->logical_destination;
    case REG_DFR:
        return state->destination_format;
    case REG_SVR:
        return state->spurious;
    case REG_ISR ... REG_ISR + 7:
        return state->in_service[reg - REG_ISR];
    case REG_TMR ... REG_TMR + 7:
        return state->trigger_mode[reg - REG_TMR];
    case REG_IRR ... REG_IRR + 7:
        return state->requests[reg - REG_IRR];
    case REG_ESR:
        return state->error;
    case REG_ICR_LOW:
        return (uint32_t)state->icr;
    case REG_ICR_HIGH:
        return (uint32_t)(state->icr >> 32);
    case REG_LVT ... REG_LVT + LVT_COUNT - 1:
        return state->lvt[reg - REG_LVT];
    case REG_TIMER_INITIAL:
        return state->timer_initial;
    case REG_TIMER_CURRENT:
        return lapic_timer_current(lapic);
    case REG_TIMER_DIVIDE:
        return state->timer_divide;
    default:
        lapic_note_error(lapic, ERROR_ILLEGAL_REGISTER);
        return 0;
    }
}

static void write_lvt(struct lapic *lapic, unsigned entry, uint32_t value)
{
    struct lapic_state *state = &lapic->state;
    if (!(state->spurious & SPURIOUS_ENABLE))
        value |= LVT_MASKED;
    lapic_timer_settle(lapic);
    enum lapic_timer_mode before = lapic_timer_mode(lapic);
    uint32_t kept = state->lvt[entry] & LVT_REMOTE_IRR;
    state->lvt[entry] = value & lvt_writable[entry];
    if (entry == LVT_TIMER) {
        bool deadline = lapic_timer_mode(lapic) == TIMER_TSC_DEADLINE;
        if (deadline != (before == TIMER_TSC_DEADLINE)) /* SDM 3A 10.5.4.1: disarms the timer */
            lapic_timer_reset(lapic);
        lapic_timer_arm(lapic);
    } else if (entry == LVT_LINT0 || entry == LVT_LINT1) {
        if (is_by_level(lapic, entry))
            state->lvt[entry] |= kept;
        request_by_level(lapic, entry);
    }
    update(lapic);
}

static void write_spurious(struct lapic *lapic, uint32_t value)
{
    lapic_timer_settle(lapic);
    lapic->state.spurious = value & SPURIOUS_BITS;
    if (!(value & SPURIOUS_ENABLE))
        for (unsigned entry = 0; entry < LVT_COUNT; entry++)
            lapic->state.lvt[entry] |= LVT_MASKED;
    lapic_timer_arm(lapic);
    update(lapic);
}

static void set_task_priority(struct lapic *lapic, uint8_t value)
{
    lapic->state.task_priority = value;
    update(lapic);
}

static void write_register(struct lapic *lapic, unsigned reg, uint32_t value)
{
    struct lapic_state *state = &lapic->state;
    switch (reg) {
    case REG_ID:
        state->id = value >> 24;
        break;
    case REG_TPR:
        set_task_priority(lapic, (uint8_t)value);
        break;
    case REG_EOI:
        end_of_interrupt(lapic);
        break;
    case REG_LDR:
        state->logical_destination = value & 0xff000000;
        break;
    case REG_DFR:
        state->destination_format = value | 0x0fffffff;
        break;
    case REG_SVR:
        write_spurious(lapic, value);
        break;
    case REG_ESR:
        state->error = state->error_shadow;
        state->error_shadow = 0;
        break;
    case REG_ICR_LOW:
        state->icr = (state->icr & ~UINT64_C(0xffffffff)) | (value & ICR_BITS & ~ICR_STATUS);
        send_icr(lapic);
        break;
    case REG_ICR_HIGH:
        state->icr = (uint64_t)(value & 0xff000000) << 32 | (uint32_t)state->icr;
        break;
    case REG_LVT ... REG_LVT + LVT_COUNT - 1:
        write_lvt(lapic, reg - REG_LVT, value);
        break;
    case REG_TIMER_INITIAL:
        lapic_timer_set_initial(lapic, value);
        break;
    case REG_TIMER_DIVIDE:
        lapic_timer_set_divide(lapic, value);
        break;
    case REG_VERSION:
    case REG_APR:
    case REG_PPR:
    case REG_TIMER_CURRENT:
    case REG_ISR ... REG_IRR + 7: /* read-only */
        break;
    default:
        lapic_note_error(lapic, ERROR_ILLEGAL_REGISTER);
        break;
    }
}

static bool in_page(const struct lapic *lapic, uint64_t address)
{
    uint64_t base = lapic->state.base & ~UINT64_C(0xfff);
    return lapic_is_enabled(lapic) && !lapic_is_x2apic(lapic) && address - base < 0x1000;
}

bool lapic_mmio_read(struct lapic *lapic, uint64_t address, unsigned size, uint64_t *value)
{
    if (!in_page(lapic, address))
        return false;
    unsigned offset = address & 0xfff;
    uint64_t word = (offset & 15) < 4 ? read_register(lapic, offset >> 4) : 0;
    *value = word >> 8 * (offset & 3);
    return true;
}

bool lapic_mmio_write(struct lapic *lapic, uint64_t address, unsigned size, uint64_t value)
{
    if (!in_page(lapic, address))
        return false;
    unsigned offset = address & 0xfff;
    if (offset & 15 || size < 4)
        guest_error("lapic: %u-byte write at %03x, which is no register", size, offset);
    else
        write_register(lapic, offset >> 4, (uint32_t)value);
    return true;
}

/* --- x2APIC: SDM 3A 10.12.1.2 */

static bool is_x2apic_register(unsigned reg)
{
    switch (reg) {
    case REG_ID:
    case REG_VERSION:
    case REG_TPR:
    case REG_PPR:
    case REG_EOI:
    case REG_LDR:
    case REG_SVR:
    case REG_ISR ... REG_ESR:
    case REG_ICR_LOW:
    case REG_LVT ... REG_LVT + LVT_COUNT - 1:
    case REG_TIMER_INITIAL:
    case REG_TIMER_CURRENT:
    case REG_TIMER_DIVIDE:
    case REG_SELF_IPI:
        return true;
    default:
        return false;
    }
}

bool lapic_msr_read(struct lapic *lapic, uint32_t msr, uint64_t *value)
{
    unsigned reg = msr & 0xff;
    if (!lapic_is_x2apic(lapic) || !is_x2apic_register(reg) || reg == REG_EOI ||
        reg == REG_SELF_IPI)
        return false;
    *value = reg == REG_ICR_LOW ? lapic->state.icr : read_register(lapic, reg);
    return true;
}

/* The bits that may be set in a write; the others are reserved and fault. */
static uint64_t x2apic_writable(unsigned reg)
{
    switch (reg) {
    case REG_TPR:
    case REG_SELF_IPI:
        return 0xff;
    case REG_SVR:
        return SPURIOUS_BITS;
    case REG_ICR_LOW:
        return UINT64_C(0xffffffff00000000) | ICR_BITS;
    case REG_LVT ... REG_LVT + LVT_COUNT - 1:
        return lvt_writable[reg - REG_LVT] | ICR_STATUS | LVT_REMOTE_IRR;
    case REG_TIMER_INITIAL:
        return UINT32_MAX;
    case REG_TIMER_DIVIDE:
        return 0x0b;
    default: /* EOI, ESR: only zero */
        return 0;
    }
}

bool lapic_msr_write(struct lapic *lapic, uint32_t msr, uint64_t value)
{
    unsigned reg = msr & 0xff;
    if (!lapic_is_x2apic(lapic) || !is_x2apic_register(reg) || value & ~x2apic_writable(reg))
        return false;
    switch (reg) {
    case REG_ID:
    case REG_VERSION:
    case REG_PPR:
    case REG_LDR:
    case REG_TIMER_CURRENT:
    case REG_ISR ... REG_IRR + 7:
        return false; /* read-only */
    case REG_ICR_LOW:
        lapic->state.icr = value & ~(uint64_t)ICR_STATUS;
        send_icr(lapic);
        return true;
    case REG_SELF_IPI:
        lapic->state.icr = SHORTHAND_SELF << 18 | value;
        send_icr(lapic);
        return true;
    default:
        write_register(lapic, reg, (uint32_t)value);
        return true;
    }
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
        state->logical_destination = (state->id & ~15u) << 12 | 1u << (state->id & 15);
    }
    update(lapic);
}

uint8_t lapic_cr8(const struct lapic *lapic)
{
    return lapic->state.task_priority >> 4;
}

void lapic_set_cr8(struct lapic *lapic, uint8_t value)
{
    set_task_priority(lapic, (uint8_t)(value << 4));
}

/* --- the device */

void lapic_init_reset(struct lapic *lapic)
{
    reset_registers(lapic);
    if (lapic_is_x2apic(lapic)) /* derived from the id, which INIT keeps */
        lapic->state.logical_destination =
            (lapic->state.id & ~15u) << 12 | 1u << (lapic->state.id & 15);
    update(lapic);
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
    fprintf(out, "  id %u base %09lx%s tpr %02x ppr %02x svr %03x timer %08x/%08x\n", state->id,
            (unsigned long)state->base, lapic_is_x2apic(lapic) ? " x2apic" : "",
            state->task_priority, lapic_processor_priority(lapic), state->spurious,
            lapic_timer_current(lapic), state->timer_initial);
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
