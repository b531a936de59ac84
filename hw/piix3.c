#include "hw/piix3.h"

#define PIIX3_FIELDS(FIELD, ARRAY)                                                                 \
    ARRAY(struct piix3_state, pirq_levels)                                                         \
    FIELD(struct piix3_state, reset_control)                                                       \
    FIELD(struct piix3_state, port92)
static const struct field piix3_fields[] = SAVE_FIELDS(PIIX3_FIELDS);
SAVE_ASSERT_COMPLETE(struct piix3_state, PIIX3_FIELDS);

enum {
    PIRQ_ROUTE = 0x60, /* PIRQRCA..PIRQRCD */
    PIRQ_DISABLED = 0x80,
    PIRQ_NUMBER = 0x0f,
    RESET_HARD = 0x02, /* CF9h */
    RESET_NOW = 0x04,
    PORT92_INIT = 0x01,
    PORT92_A20 = 0x02,
};

/* --- PIRQ routing */

/* INV-1. */
static void update_irqs(struct piix3 *bridge)
{
    uint16_t levels = 0;
    for (unsigned pirq = 0; pirq < PCI_PIRQS; pirq++) {
        uint8_t route = bridge->function.state.config[PIRQ_ROUTE + pirq];
        if (!(route & PIRQ_DISABLED) && bridge->state.pirq_levels[pirq])
            levels |= BIT(route & PIRQ_NUMBER);
    }
    for (unsigned number = 0; number < ISA_IRQS; number++)
        isa_irqs_drive(bridge->irqs, number, ISA_DRIVER_PIRQ, levels >> number & 1);
}

static void set_pirq(void *opaque, int number, int level)
{
    struct piix3 *bridge = opaque;
    bridge->state.pirq_levels[number] = level != 0;
    update_irqs(bridge);
}

static void config_written(void *opaque, unsigned offset, unsigned size)
{
    if (offset < PIRQ_ROUTE + PCI_PIRQS && offset + size > PIRQ_ROUTE)
        update_irqs(opaque);
}

/* --- reset control and port 92h */

static uint8_t reset_control_read(void *opaque)
{
    struct piix3 *bridge = opaque;
    return bridge->state.reset_control;
}

static void reset_control_write(void *opaque, uint8_t value)
{
    struct piix3 *bridge = opaque;
    bool rises = value & ~bridge->state.reset_control & RESET_NOW;
    bridge->state.reset_control = value & (RESET_HARD | RESET_NOW);
    if (rises && bridge->ops.reset)
        bridge->ops.reset(bridge->ops.opaque, value & RESET_HARD);
}

static uint64_t port92_read(void *opaque, uint64_t offset, unsigned size)
{
    struct piix3 *bridge = opaque;
    return bridge->state.port92;
}

static void port92_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct piix3 *bridge = opaque;
    uint8_t before = bridge->state.port92, after = value & (PORT92_INIT | PORT92_A20);
    bridge->state.port92 = after;
    if ((before ^ after) & PORT92_A20 && bridge->ops.a20)
        bridge->ops.a20(bridge->ops.opaque, after & PORT92_A20);
    if (after & ~before & PORT92_INIT && bridge->ops.reset)
        bridge->ops.reset(bridge->ops.opaque, false);
}

/* --- the device */

static void reset(void *object, enum reset_kind kind)
{
    struct piix3 *bridge = object;
    bridge->state.reset_control = 0;
    bridge->state.port92 = 0;
    if (bridge->ops.a20)
        bridge->ops.a20(bridge->ops.opaque, false);
    update_irqs(bridge);
}

static int after_load(void *object, struct error *error)
{
    struct piix3 *bridge = object;
    if (bridge->ops.a20)
        bridge->ops.a20(bridge->ops.opaque, bridge->state.port92 & PORT92_A20);
    return 0;
}

void piix3_attach(struct piix3 *bridge, struct pci_bus *pci, struct isa_irqs *irqs,
                  const struct piix3_ops *ops)
{
    struct pci_function *function = &bridge->function;
    *bridge = (struct piix3){.irqs = irqs, .ops = *ops};
    pci_function_init(function, "PIIX3 ISA bridge", 0x8086, 0x7000, 0x0601, 0);
    pci_set_subsystem(function, 0x1af4, 0x1100);
    pci_set_config(function, PCI_COMMAND, 2,
                   PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, PCI_COMMAND_SERR);
    pci_set_config(function, PCI_STATUS, 2, 0x0200, 0);
    pci_set_config(function, PCI_HEADER_TYPE, 1, 0x80, 0); /* several functions */
    pci_set_config(function, 0x4c, 1, 0x4d, 0xff);         /* ISA recovery timing */
    pci_set_config(function, 0x4e, 2, 0x0003, 0xffff);     /* X-bus chip select */
    for (unsigned pirq = 0; pirq < PCI_PIRQS; pirq++)
        pci_set_config(function, PIRQ_ROUTE + pirq, 1, PIRQ_DISABLED, PIRQ_DISABLED | PIRQ_NUMBER);
    pci_set_config(function, 0x69, 1, 0x02, 0xfe);     /* top of memory */
    pci_set_config(function, 0x6a, 2, 0x0000, 0x80d7); /* miscellaneous status */
    pci_set_config(function, 0x70, 1, 0x80, 0xef);     /* motherboard device routing */
    pci_set_config(function, 0x76, 2, 0x0c0c, 0x8f8f); /* motherboard DMA */
    pci_set_config(function, 0x78, 2, 0x0002, 0xffff); /* programmable chip select */
    pci_set_config(function, 0x80, 1, 0x00, 0x7f);     /* APIC base */
    pci_set_config(function, 0x82, 1, 0x00, 0x0f);     /* deterministic latency */
    pci_set_config(function, 0xa0, 1, 0x08, 0x1f);     /* SMI control and timers */
    pci_set_config(function, 0xa2, 2, 0x0000, 0x01ff);
    pci_set_config(function, 0xa4, 4, 0x0000, 0xe000ffff);
    pci_set_config(function, 0xa8, 1, 0x0f, 0xff);
    pci_set_config(function, 0xac, 1, 0x00, 0xff);
    pci_set_config(function, 0xae, 1, 0x00, 0xff);
    function->config_written = config_written;
    function->opaque = bridge;
    pci_function_attach(function, pci, 1, 0);

    for (int pirq = 0; pirq < PCI_PIRQS; pirq++)
        pci->pirqs[pirq] = (struct irq_line){.set = set_pirq, .opaque = bridge, .number = pirq};
    pci->reset_control_read = reset_control_read;
    pci->reset_control_write = reset_control_write;
    pci->reset_control_opaque = bridge;
    bridge->port92_region = (struct region){.name = "port92",
                                            .base = 0x92,
                                            .length = 1,
                                            .read = port92_read,
                                            .write = port92_write,
                                            .max_size = 1,
                                            .opaque = bridge};
    bus_add(pci->ports, &bridge->port92_region);
}

const struct device_class piix3_class = {
    .name = "piix3",
    DEVICE_STATE(struct piix3, 1, piix3_fields),
    .reset = reset,
    .after_load = after_load,
};
