/* The bus between local APICs and IOAPIC: who is meant by a message (SDM 3A 10.6.2). */
#include "hw/lapic_priv.h"

#include "base/log.h"

enum { MESSAGE_LEVEL = 1 << 15, MESSAGE_ASSERT = 1 << 14, ADDRESS_LOGICAL = 1 << 2 };

void apic_bus_init(struct apic_bus *bus)
{
    *bus = (struct apic_bus){0};
}

static bool matches_logical(const struct lapic *lapic, uint32_t destination)
{
    uint32_t own = lapic->state.logical_destination;
    if (lapic_is_x2apic(lapic))
        return destination == APIC_EVERYBODY ||
               (destination >> 16 == own >> 16 && destination & own & 0xffff);
    if (destination == APIC_EVERYBODY)
        destination = 0xff;
    own >>= 24;
    if (lapic->state.destination_format >> 28 == 0xf)
        return destination & own & 0xff;
    bool same_cluster = (destination >> 4 & 15) == 15 || (destination >> 4 & 15) == own >> 4;
    return same_cluster && destination & own & 15;
}

static bool matches(const struct lapic *lapic, const struct apic_message *message)
{
    if (!lapic_is_enabled(lapic))
        return message->mode == APIC_INIT && message->destination == lapic->hardware_id;
    if (message->logical)
        return matches_logical(lapic, message->destination);
    return message->destination == APIC_EVERYBODY || message->destination == lapic->state.id;
}

/* Of all that match, the one whose processor does the least urgent work. */
static struct lapic *find_lowest(struct apic_bus *bus, const struct apic_message *message)
{
    struct lapic *lowest = NULL;
    for (unsigned i = 0; i < bus->count; i++) {
        struct lapic *lapic = bus->lapics[i];
        if (!matches(lapic, message) || !(lapic->state.spurious & SPURIOUS_ENABLE))
            continue;
        if (!lowest || lapic_processor_priority(lapic) < lapic_processor_priority(lowest))
            lowest = lapic;
    }
    return lowest;
}

bool apic_bus_send(struct apic_bus *bus, const struct apic_message *message)
{
    if (message->mode == APIC_LOWEST) {
        struct lapic *lapic = find_lowest(bus, message);
        return lapic && lapic_accept(lapic, message->vector, message->level);
    }
    bool taken = false;
    for (unsigned i = 0; i < bus->count; i++)
        if (matches(bus->lapics[i], message))
            taken |= lapic_deliver(bus->lapics[i], message->mode, message->vector, message->level);
    return taken;
}

void apic_bus_send_msi(struct apic_bus *bus, uint64_t address, uint32_t data)
{
    uint32_t destination = address >> 12 & 0xff;
    bool logical = address & ADDRESS_LOGICAL;
    struct apic_message message = {
        .destination = !logical && destination == 0xff ? APIC_EVERYBODY : destination,
        .logical = logical,
        .mode = data >> 8 & 7,
        .vector = (uint8_t)data,
        .level = data & MESSAGE_LEVEL,
    };
    if (message.level && !(data & MESSAGE_ASSERT))
        return;
    if (!apic_bus_send(bus, &message))
        guest_error("apic: message %08x to %08x reaches nobody", data, (uint32_t)address);
}
