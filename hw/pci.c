#include "hw/pci.h"

#define PCI_BUS_FIELDS(FIELD, ARRAY) FIELD(struct pci_bus_state, address)
static const struct field pci_bus_fields[] = SAVE_FIELDS(PCI_BUS_FIELDS);
SAVE_ASSERT_COMPLETE(struct pci_bus_state, PCI_BUS_FIELDS);

#define PCI_FUNCTION_FIELDS(FIELD, ARRAY)                                                          \
    ARRAY(struct pci_function_state, config)                                                       \
    FIELD(struct pci_function_state, asserted)                                                     \
    FIELD(struct pci_function_state, driving)
static const struct field pci_function_fields[] = SAVE_FIELDS(PCI_FUNCTION_FIELDS);
SAVE_ASSERT_COMPLETE(struct pci_function_state, PCI_FUNCTION_FIELDS);

#define ADDRESS_ENABLE   UINT32_C(0x80000000)
#define ADDRESS_WRITABLE UINT32_C(0x80fffffc)

enum { BAR_IS_IO = 1, BAR_PREFETCH = 8, ROM_ENABLE = 1, RESET_CONTROL_OFFSET = 1 };

/* --- BARs */

static unsigned bar_offset(unsigned index)
{
    return index == PCI_ROM_BAR ? PCI_ROM_ADDRESS : PCI_BAR0 + 4 * index;
}

/* Whether the guest has put BAR `index` somewhere, and where (INV-1). */
static bool bar_address(const struct pci_function *function, unsigned index, uint32_t *address)
{
    const struct pci_bar *bar = &function->bars[index];
    uint32_t value = load_le32(function->state.config + bar_offset(index));
    bool is_io = bar->kind == PCI_BAR_IO;
    *address = value & ~(bar->length - 1);
    uint64_t last = (uint64_t)*address + bar->length - 1;
    if (!(pci_command(function) & (is_io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)))
        return false;
    if (index == PCI_ROM_BAR && !(value & ROM_ENABLE))
        return false;
    /* WHY: while a guest measures a BAR it holds all ones, and decoding stays on. */
    return *address && last < (is_io ? 0x10000 : UINT32_MAX);
}

static void update_bars(struct pci_function *function)
{
    for (unsigned index = 0; index < PCI_BARS; index++) {
        struct pci_bar *bar = &function->bars[index];
        if (bar->kind == PCI_BAR_NONE)
            continue;
        struct bus *bus = bar->kind == PCI_BAR_IO ? function->bus->ports : function->bus->memory;
        uint32_t address;
        bool mapped = bar_address(function, index, &address);
        if (!mapped && bar->mapped)
            bus_remove(bus, bar->region);
        else if (mapped && (!bar->mapped || bar->region->base != address))
            bus_move(bus, bar->region, address);
        bar->mapped = mapped;
    }
}

/* --- INTx */

/* The board's wiring: device 1 INTA# is PIRQA, and the pins rotate from device to device. */
static unsigned pirq_of(const struct pci_function *function)
{
    unsigned pin = function->initial[PCI_INTERRUPT_PIN];
    return (pin - 1 + (function->devfn >> 3) - 1) % PCI_PIRQS;
}

/* INV-2. */
static void update_interrupt(struct pci_function *function)
{
    struct pci_function_state *state = &function->state;
    if (state->asserted)
        state->config[PCI_STATUS] |= PCI_STATUS_INTERRUPT;
    else
        state->config[PCI_STATUS] &= ~PCI_STATUS_INTERRUPT;
    bool drives = state->asserted && !(pci_command(function) & PCI_COMMAND_INTX_DISABLE) &&
                  function->initial[PCI_INTERRUPT_PIN];
    if (drives == state->driving)
        return;
    state->driving = drives;
    unsigned pirq = pirq_of(function);
    unsigned *drivers = &function->bus->drivers[pirq];
    *drivers += drives ? 1 : -1;
    if (*drivers == drives) /* the first came or the last went */
        irq_set(&function->bus->pirqs[pirq], drives);
}

void pci_set_irq(struct pci_function *function, int level)
{
    function->state.asserted = level != 0;
    update_interrupt(function);
}

void pci_irq_line_set(void *function, int number, int level)
{
    pci_set_irq(function, level);
}

/* --- configuration space */

uint32_t pci_config_read(struct pci_function *function, unsigned offset, unsigned size)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint32_t)function->state.config[(offset + i) % PCI_CONFIG_BYTES] << 8 * i;
    return value;
}

static bool overlaps(unsigned offset, unsigned size, unsigned first, unsigned bytes)
{
    return offset < first + bytes && first < offset + size;
}

void pci_config_write(struct pci_function *function, unsigned offset, unsigned size, uint32_t value)
{
    for (unsigned i = 0; i < size; i++) {
        unsigned at = (offset + i) % PCI_CONFIG_BYTES;
        uint8_t byte = (uint8_t)(value >> 8 * i), writable = function->writable[at];
        uint8_t kept = function->state.config[at] & ~writable & ~(byte & function->clearable[at]);
        function->state.config[at] = kept | (byte & writable);
    }
    if (overlaps(offset, size, PCI_COMMAND, 2) || overlaps(offset, size, PCI_BAR0, 24) ||
        overlaps(offset, size, PCI_ROM_ADDRESS, 4))
        update_bars(function);
    update_interrupt(function);
    if (function->config_written)
        function->config_written(function->opaque, offset, size);
}

/* --- mechanism #1 */

static struct pci_function *addressed(const struct pci_bus *pci)
{
    uint32_t address = pci->state.address;
    unsigned bus_number = address >> 16 & 0xff;
    return address & ADDRESS_ENABLE && bus_number == 0 ? pci->functions[address >> 8 & 0xff] : NULL;
}

static uint64_t data_read(void *opaque, uint64_t offset, unsigned size)
{
    struct pci_bus *pci = opaque;
    struct pci_function *function = addressed(pci);
    return function ? pci_config_read(function, (pci->state.address & 0xfc) + offset, size)
                    : UINT32_MAX;
}

static void data_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct pci_bus *pci = opaque;
    struct pci_function *function = addressed(pci);
    if (function)
        pci_config_write(function, (pci->state.address & 0xfc) + offset, size, (uint32_t)value);
}

/* Only double words are CONFIG_ADDRESS; a byte at CF9h is the ISA bridge's reset control. */
static uint64_t address_read(void *opaque, uint64_t offset, unsigned size)
{
    struct pci_bus *pci = opaque;
    if (size == 4)
        return pci->state.address;
    if (size == 1 && offset == RESET_CONTROL_OFFSET && pci->reset_control_read)
        return pci->reset_control_read(pci->reset_control_opaque);
    return UINT32_MAX;
}

static void address_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct pci_bus *pci = opaque;
    if (size == 4)
        pci->state.address = value & ADDRESS_WRITABLE;
    else if (size == 1 && offset == RESET_CONTROL_OFFSET && pci->reset_control_write)
        pci->reset_control_write(pci->reset_control_opaque, (uint8_t)value);
}

void pci_bus_attach(struct pci_bus *pci, struct bus *ports, struct bus *memory,
                    struct physmem *physmem)
{
    *pci = (struct pci_bus){.ports = ports, .memory = memory, .physmem = physmem};
    pci->address_region = (struct region){.name = "pci-config-address",
                                          .base = 0xcf8,
                                          .length = 4,
                                          .read = address_read,
                                          .write = address_write,
                                          .opaque = pci};
    pci->data_region = (struct region){.name = "pci-config-data",
                                       .base = 0xcfc,
                                       .length = 4,
                                       .read = data_read,
                                       .write = data_write,
                                       .opaque = pci};
    bus_add(ports, &pci->address_region);
    bus_add(ports, &pci->data_region);
}

/* --- describing a function */

void pci_set_config(struct pci_function *function, unsigned offset, unsigned size, uint32_t value,
                    uint32_t writable)
{
    for (unsigned i = 0; i < size; i++) {
        function->initial[offset + i] = (uint8_t)(value >> 8 * i);
        function->state.config[offset + i] = (uint8_t)(value >> 8 * i);
        function->writable[offset + i] = (uint8_t)(writable >> 8 * i);
    }
}

void pci_function_init(struct pci_function *function, const char *name, uint16_t vendor,
                       uint16_t device, uint16_t class, uint8_t revision)
{
    *function = (struct pci_function){.name = name};
    pci_set_config(function, PCI_VENDOR_ID, 2, vendor, 0);
    pci_set_config(function, PCI_DEVICE_ID, 2, device, 0);
    pci_set_config(function, PCI_COMMAND, 2, 0,
                   PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE | PCI_COMMAND_PARITY |
                       PCI_COMMAND_SERR);
    pci_set_config(function, PCI_REVISION, 1, revision, 0);
    pci_set_config(function, PCI_CLASS, 2, class, 0);
    pci_set_config(function, PCI_CACHE_LINE, 1, 0, 0xff);
    pci_set_config(function, PCI_LATENCY, 1, 0, 0xf8);
    pci_set_config(function, PCI_INTERRUPT_LINE, 1, 0, 0xff);
    function->clearable[PCI_STATUS + 1] = 0xf9; /* the error bits */
}

void pci_set_subsystem(struct pci_function *function, uint16_t vendor, uint16_t subsystem)
{
    pci_set_config(function, PCI_SUBSYSTEM_VENDOR, 2, vendor, 0);
    pci_set_config(function, PCI_SUBSYSTEM, 2, subsystem, 0);
}

void pci_set_interrupt_pin(struct pci_function *function, uint8_t pin)
{
    BUG_ON(pin < 1 || pin > 4);
    pci_set_config(function, PCI_INTERRUPT_PIN, 1, pin, 0);
}

void pci_set_bar(struct pci_function *function, unsigned index, enum pci_bar_kind kind,
                 uint32_t length, struct region *region)
{
    BUG_ON(index >= PCI_BARS || !length || length & (length - 1) || region->length > length);
    uint32_t bits = kind == PCI_BAR_IO ? BAR_IS_IO : kind == PCI_BAR_PREFETCH ? BAR_PREFETCH : 0;
    uint32_t writable = ~(length - 1);
    function->bars[index] = (struct pci_bar){.kind = kind, .length = length, .region = region};
    if (index == PCI_ROM_BAR) {
        bits = 0;
        writable |= ROM_ENABLE;
    }
    pci_set_config(function, bar_offset(index), 4, bits, writable);
    function->writable[PCI_COMMAND] |= kind == PCI_BAR_IO ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
}

void pci_function_attach(struct pci_function *function, struct pci_bus *pci, unsigned device,
                         unsigned number)
{
    BUG_ON(device > 31 || number > 7 || pci->functions[device << 3 | number]);
    function->bus = pci;
    function->devfn = (uint8_t)(device << 3 | number);
    pci->functions[function->devfn] = function;
}

void pci_register(struct pci_bus *pci, struct device_list *list)
{
    device_register(list, &pci_bus_class, pci);
    for (unsigned devfn = 0; devfn < PCI_FUNCTIONS; devfn++)
        if (pci->functions[devfn])
            device_register(list, &pci_function_class, pci->functions[devfn]);
}

/* --- bus mastering */

bool pci_dma_read(struct pci_function *function, gpa_t gpa, void *to, size_t length)
{
    if (pci_command(function) & PCI_COMMAND_MASTER)
        return physmem_read(function->bus->physmem, gpa, to, length);
    memset(to, 0xff, length);
    return false;
}

bool pci_dma_write(struct pci_function *function, gpa_t gpa, const void *from, size_t length)
{
    return pci_command(function) & PCI_COMMAND_MASTER &&
           physmem_write(function->bus->physmem, gpa, from, length);
}

/* --- the devices */

static void reset_bus(void *object, enum reset_kind kind)
{
    struct pci_bus *pci = object;
    pci->state.address = 0;
}

static int load_bus(void *object, struct error *error)
{
    struct pci_bus *pci = object;
    memset(pci->drivers, 0, sizeof pci->drivers);
    for (unsigned devfn = 0; devfn < PCI_FUNCTIONS; devfn++) {
        struct pci_function *function = pci->functions[devfn];
        if (!function)
            continue;
        function->state.driving = function->state.driving && function->initial[PCI_INTERRUPT_PIN];
        if (function->state.driving)
            pci->drivers[pirq_of(function)]++;
    }
    return 0;
}

static void reset_function(void *object, enum reset_kind kind)
{
    struct pci_function *function = object;
    pci_set_irq(function, 0);
    memcpy(function->state.config, function->initial, PCI_CONFIG_BYTES);
    update_bars(function);
}

static int load_function(void *object, struct error *error)
{
    update_bars(object);
    return 0;
}

static void describe_function(const void *object, FILE *out)
{
    const struct pci_function *function = object;
    const uint8_t *config = function->state.config;
    fprintf(out, "  00:%02x.%u %s: %04x:%04x class %04x, command %04x, status %04x\n",
            function->devfn >> 3, function->devfn & 7, function->name,
            load_le16(config + PCI_VENDOR_ID), load_le16(config + PCI_DEVICE_ID),
            load_le16(config + PCI_CLASS), load_le16(config + PCI_COMMAND),
            load_le16(config + PCI_STATUS));
    for (unsigned index = 0; index < PCI_BARS; index++) {
        const struct pci_bar *bar = &function->bars[index];
        if (bar->kind != PCI_BAR_NONE)
            fprintf(out, "    BAR%u %s %08x, %u bytes%s\n", index,
                    bar->kind == PCI_BAR_IO ? "ports" : "memory",
                    load_le32(config + bar_offset(index)) & ~(bar->length - 1), bar->length,
                    bar->mapped ? "" : ", off");
    }
    if (config[PCI_INTERRUPT_PIN])
        fprintf(out, "    INT%c# to IRQ%u%s\n", 'A' + config[PCI_INTERRUPT_PIN] - 1,
                config[PCI_INTERRUPT_LINE], function->state.asserted ? ", asserted" : "");
}

const struct device_class pci_bus_class = {
    .name = "pci-bus",
    DEVICE_STATE(struct pci_bus, 1, pci_bus_fields),
    .reset = reset_bus,
    .after_load = load_bus,
};

const struct device_class pci_function_class = {
    .name = "pci",
    DEVICE_STATE(struct pci_function, 1, pci_function_fields),
    .reset = reset_function,
    .after_load = load_function,
    .describe = describe_function,
};
