#include "hw/ioapic.h"

#define IOAPIC_FIELDS(FIELD, ARRAY)                                                                \
    ARRAY(struct ioapic_state, redirection)                                                        \
    FIELD(struct ioapic_state, lines)                                                              \
    FIELD(struct ioapic_state, id)                                                                 \
    FIELD(struct ioapic_state, selected)                                                           \
    FIELD(struct ioapic_state, pad)
static const struct field ioapic_fields[] = SAVE_FIELDS(IOAPIC_FIELDS);
SAVE_ASSERT_COMPLETE(struct ioapic_state, IOAPIC_FIELDS);

enum {
    IOREGSEL = 0x00,
    IOWIN = 0x10,
    REG_ID = 0x00,
    REG_VERSION = 0x01,
    REG_ARBITRATION = 0x02,
    REG_REDIRECTION = 0x10,
    VERSION = (IOAPIC_PINS - 1) << 16 | 0x11,
    ID_BITS = 0x0f000000,
};

#define ENTRY_VECTOR     UINT64_C(0xff)
#define ENTRY_LOGICAL    BIT(11)
#define ENTRY_REMOTE_IRR BIT(14)
#define ENTRY_LEVEL      BIT(15)
#define ENTRY_MASKED     BIT(16)
#define ENTRY_READ_ONLY  (BIT(12) | ENTRY_REMOTE_IRR)
#define ENTRY_WRITABLE   (UINT64_C(0xff0000000001ffff) & ~ENTRY_READ_ONLY)

static unsigned delivery_mode(uint64_t entry)
{
    return entry >> 8 & 7;
}

/* Remote IRR belongs to the modes that end in an EOI. */
static bool waits_for_eoi(uint64_t entry)
{
    return entry & ENTRY_LEVEL &&
           (delivery_mode(entry) == APIC_FIXED || delivery_mode(entry) == APIC_LOWEST);
}

static bool send(struct ioapic *ioapic, uint64_t entry)
{
    uint32_t destination = entry >> 56;
    bool logical = entry & ENTRY_LOGICAL;
    struct apic_message message = {
        .destination = !logical && destination == 0xff ? APIC_EVERYBODY : destination,
        .logical = logical,
        .mode = delivery_mode(entry),
        .vector = entry & ENTRY_VECTOR,
        .level = waits_for_eoi(entry),
    };
    return apic_bus_send(ioapic->apics, &message);
}

/* INV-1. */
static void send_level(struct ioapic *ioapic, unsigned pin)
{
    uint64_t *entry = &ioapic->state.redirection[pin];
    if (!waits_for_eoi(*entry) || *entry & (ENTRY_MASKED | ENTRY_REMOTE_IRR) ||
        !(ioapic->state.lines & BIT(pin)))
        return;
    /* WHY: set first, since the message may be answered by an EOI at once. */
    *entry |= ENTRY_REMOTE_IRR;
    if (!send(ioapic, *entry))
        *entry &= ~ENTRY_REMOTE_IRR;
}

void ioapic_set_irq(void *opaque, int number, int level)
{
    struct ioapic *ioapic = opaque;
    if (number < 0 || number >= IOAPIC_PINS)
        return;
    uint32_t bit = BIT(number);
    bool rises = level && !(ioapic->state.lines & bit);
    ioapic->state.lines = level ? ioapic->state.lines | bit : ioapic->state.lines & ~bit;
    uint64_t entry = ioapic->state.redirection[number];
    if (waits_for_eoi(entry))
        send_level(ioapic, (unsigned)number);
    else if (rises && !(entry & ENTRY_MASKED)) /* an edge behind a mask is lost */
        send(ioapic, entry);
}

void ioapic_end_of_interrupt(struct ioapic *ioapic, uint8_t vector)
{
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        uint64_t *entry = &ioapic->state.redirection[pin];
        if (!(*entry & ENTRY_REMOTE_IRR) || (*entry & ENTRY_VECTOR) != vector)
            continue;
        *entry &= ~ENTRY_REMOTE_IRR;
        send_level(ioapic, pin);
    }
}

/* --- registers */

static uint32_t read_register(const struct ioapic *ioapic)
{
    unsigned selected = ioapic->state.selected, pin = (selected - REG_REDIRECTION) / 2;
    switch (selected) {
    case REG_ID:
    case REG_ARBITRATION:
        return ioapic->state.id;
    case REG_VERSION:
        return VERSION;
    default:
        if (selected < REG_REDIRECTION || pin >= IOAPIC_PINS)
            return 0;
        return (uint32_t)(ioapic->state.redirection[pin] >> 32 * (selected & 1));
    }
}

static void write_redirection(struct ioapic *ioapic, unsigned pin, bool high, uint32_t value)
{
    uint64_t *entry = &ioapic->state.redirection[pin];
    unsigned shift = high ? 32 : 0;
    uint64_t writable = ENTRY_WRITABLE & UINT64_C(0xffffffff) << shift;
    *entry = (*entry & ~writable) | ((uint64_t)value << shift & writable);
    if (!waits_for_eoi(*entry)) /* software ends a stuck interrupt by this */
        *entry &= ~ENTRY_REMOTE_IRR;
    send_level(ioapic, pin);
}

static void write_register(struct ioapic *ioapic, uint32_t value)
{
    unsigned selected = ioapic->state.selected, pin = (selected - REG_REDIRECTION) / 2;
    if (selected == REG_ID)
        ioapic->state.id = value & ID_BITS;
    else if (selected >= REG_REDIRECTION && pin < IOAPIC_PINS)
        write_redirection(ioapic, pin, selected & 1, value);
}

static uint64_t region_read(void *opaque, uint64_t offset, unsigned size)
{
    const struct ioapic *ioapic = opaque;
    switch (offset) {
    case IOREGSEL:
        return ioapic->state.selected;
    case IOWIN:
        return read_register(ioapic);
    default:
        return 0;
    }
}

static void region_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct ioapic *ioapic = opaque;
    if (offset == IOREGSEL)
        ioapic->state.selected = value & 0xff;
    else if (offset == IOWIN)
        write_register(ioapic, (uint32_t)value);
}

/* --- the device */

static void reset(void *object, enum reset_kind kind)
{
    struct ioapic *ioapic = object;
    ioapic->state = (struct ioapic_state){0};
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        ioapic->state.redirection[pin] = ENTRY_MASKED;
}

static void describe(const void *object, FILE *out)
{
    const struct ioapic *ioapic = object;
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        uint64_t entry = ioapic->state.redirection[pin];
        fprintf(out, "  pin %2u: vector %02x mode %u to %s%02x %s%s%s%s\n", pin,
                (unsigned)(entry & ENTRY_VECTOR), delivery_mode(entry),
                entry & ENTRY_LOGICAL ? "logical " : "", (unsigned)(entry >> 56),
                entry & ENTRY_LEVEL ? "level" : "edge", entry & ENTRY_MASKED ? " masked" : "",
                entry & ENTRY_REMOTE_IRR ? " remote-irr" : "",
                ioapic->state.lines & BIT(pin) ? " high" : "");
    }
}

void ioapic_attach(struct ioapic *ioapic, struct bus *memory, struct apic_bus *apics)
{
    *ioapic = (struct ioapic){.apics = apics};
    apics->ioapic = ioapic;
    ioapic->region = (struct region){.name = "ioapic",
                                     .base = IOAPIC_ADDRESS,
                                     .length = 0x1000,
                                     .read = region_read,
                                     .write = region_write,
                                     .min_size = 4,
                                     .max_size = 4,
                                     .opaque = ioapic};
    bus_add(memory, &ioapic->region);
}

const struct device_class ioapic_class = {
    .name = "ioapic",
    DEVICE_STATE(struct ioapic, 1, ioapic_fields),
    .reset = reset,
    .describe = describe,
};
