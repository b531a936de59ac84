/* The local APIC's registers: the xAPIC page, the x2APIC MSRs, and what writing the ICR sends. */
#include "hw/lapic_priv.h"

#include "base/log.h"

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

/* --- interprocessor interrupts */

/* Sends what `icr`, a value of the interrupt command register, says. */
static void send(struct lapic *lapic, uint64_t icr)
{
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
        if (lapic_is_by_level(lapic, entry))
            state->lvt[entry] |= kept;
        lapic_request_by_level(lapic, entry);
    }
    lapic_update(lapic);
}

static void write_spurious(struct lapic *lapic, uint32_t value)
{
    lapic_timer_settle(lapic);
    lapic->state.spurious = value & SPURIOUS_BITS;
    if (!(value & SPURIOUS_ENABLE))
        for (unsigned entry = 0; entry < LVT_COUNT; entry++)
            lapic->state.lvt[entry] |= LVT_MASKED;
    lapic_timer_arm(lapic);
    lapic_update(lapic);
}

static void write_register(struct lapic *lapic, unsigned reg, uint32_t value)
{
    struct lapic_state *state = &lapic->state;
    switch (reg) {
    case REG_ID:
        state->id = value >> 24;
        break;
    case REG_TPR:
        lapic_set_task_priority(lapic, (uint8_t)value);
        break;
    case REG_EOI:
        lapic_end_of_interrupt(lapic);
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
        send(lapic, state->icr);
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
        /* Statuses, which are read-only; remote IRR is the LINTs' alone. */
        return lvt_writable[reg - REG_LVT] | ICR_STATUS |
               (lvt_writable[reg - REG_LVT] & LVT_LEVEL ? LVT_REMOTE_IRR : 0);
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
        send(lapic, lapic->state.icr);
        return true;
    case REG_SELF_IPI: /* SDM: the ICR keeps what it holds */
        send(lapic, SHORTHAND_SELF << 18 | value);
        return true;
    default:
        write_register(lapic, reg, (uint32_t)value);
        return true;
    }
}
