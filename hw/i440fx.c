#include "hw/i440fx.h"

enum {
    PAM0 = 0x59, /* F0000h..FFFFFh in its upper half */
    PAM6 = 0x5f,
    DRAM_ROW_BOUNDARIES = 0x60,
    SMRAM = 0x72,
    SMRAM_OPEN = 0x40,
    SMRAM_LOCK = 0x10,
    SMRAM_WRITABLE = 0x78,
    SMRAM_BASE_A0000 = 0x02,
    PAM_ATTRIBUTES = 3, /* bits RE and WE are PHYSMEM_READ_RAM and PHYSMEM_WRITE_RAM */
    PAM_WRITABLE = 0x33,
};

/* INV-1. */
static void apply(struct i440fx *bridge)
{
    const uint8_t *config = bridge->function.state.config;
    struct physmem *physmem = bridge->physmem;
    physmem_set_low(physmem, 0xf0000, 0x10000, config[PAM0] >> 4 & PAM_ATTRIBUTES);
    for (unsigned half = 0; half < 12; half++)
        physmem_set_low(physmem, 0xc0000 + half * 0x4000, 0x4000,
                        config[PAM0 + 1 + half / 2] >> half % 2 * 4 & PAM_ATTRIBUTES);
    /* LIMIT: there is no SMM, so SMRAM is seen only when it is open to all. */
    physmem_set_low(physmem, 0xa0000, 0x20000,
                    config[SMRAM] & SMRAM_OPEN ? PHYSMEM_READ_RAM | PHYSMEM_WRITE_RAM : 0);
}

static void set_writable_for_lock(struct i440fx *bridge)
{
    bool locked = bridge->function.state.config[SMRAM] & SMRAM_LOCK;
    bridge->function.writable[SMRAM] = locked ? 0 : SMRAM_WRITABLE;
}

static void config_written(void *opaque, unsigned offset, unsigned size)
{
    struct i440fx *bridge = opaque;
    uint8_t *config = bridge->function.state.config;
    if (config[SMRAM] & SMRAM_LOCK)
        config[SMRAM] &= ~SMRAM_OPEN;
    set_writable_for_lock(bridge);
    if (offset <= SMRAM && offset + size > PAM0)
        apply(bridge);
}

static void reset(void *object, enum reset_kind kind)
{
    struct i440fx *bridge = object;
    set_writable_for_lock(bridge);
    apply(bridge);
}

static int after_load(void *object, struct error *error)
{
    reset(object, RESET_SYSTEM);
    return 0;
}

void i440fx_attach(struct i440fx *bridge, struct pci_bus *pci, struct physmem *physmem)
{
    struct pci_function *function = &bridge->function;
    bridge->physmem = physmem;
    pci_function_init(function, "i440FX host bridge", 0x8086, 0x1237, 0x0600, 2);
    /* QUIRK: firmware recognises a virtual machine of this kind by these ids. */
    pci_set_subsystem(function, 0x1af4, 0x1100);
    pci_set_config(function, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER,
                   PCI_COMMAND_SERR);
    pci_set_config(function, PCI_STATUS, 2, 0x0280, 0);
    pci_set_config(function, PAM0, 1, 0, PAM_WRITABLE & 0xf0);
    for (unsigned pam = PAM0 + 1; pam <= PAM6; pam++)
        pci_set_config(function, pam, 1, 0, PAM_WRITABLE);
    for (unsigned row = 0; row < 8; row++)
        pci_set_config(function, DRAM_ROW_BOUNDARIES + row, 1, 1, 0xff);
    pci_set_config(function, SMRAM, 1, SMRAM_BASE_A0000, SMRAM_WRITABLE);
    function->config_written = config_written;
    function->opaque = bridge;
    pci_function_attach(function, pci, 0, 0);
}

/* The state is the configuration space, which the function itself saves. */
const struct device_class i440fx_class = {
    .name = "i440fx",
    .reset = reset,
    .after_load = after_load,
};
