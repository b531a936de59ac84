/* The PCI bus of the board: configuration mechanism #1, functions with their BARs, and INTx.
 *
 * A device embeds a struct pci_function, describes it with pci_set_*(), and attaches it.  The
 * function keeps its own configuration space: what the guest may write is what `writable` says.
 * BARs move regions on the port or the memory bus as the guest maps them.
 *
 * INV-1: a BAR's region is on its bus exactly while the command register enables it and its
 *        address is neither 0 nor beyond the address space.
 * INV-2: a function's INTx reaches the interrupt router as long as it is asserted and not disabled
 *        in the command register; the router sees the OR over all functions on one PIRQ.
 * Source: PCI Local Bus Specification 2.2.
 */
#ifndef HW_PCI_H
#define HW_PCI_H

#include "base/bus.h"
#include "base/irq.h"
#include "hw/device.h"
#include "softmmu/physmem.h"

enum {
    PCI_VENDOR_ID = 0x00,
    PCI_DEVICE_ID = 0x02,
    PCI_COMMAND = 0x04,
    PCI_STATUS = 0x06,
    PCI_REVISION = 0x08,
    PCI_PROGRAMMING_INTERFACE = 0x09,
    PCI_CLASS = 0x0a, /* 16 bits: subclass, class */
    PCI_CACHE_LINE = 0x0c,
    PCI_LATENCY = 0x0d,
    PCI_HEADER_TYPE = 0x0e,
    PCI_BAR0 = 0x10,
    PCI_SUBSYSTEM_VENDOR = 0x2c,
    PCI_SUBSYSTEM = 0x2e,
    PCI_ROM_ADDRESS = 0x30,
    PCI_CAPABILITIES = 0x34,
    PCI_INTERRUPT_LINE = 0x3c,
    PCI_INTERRUPT_PIN = 0x3d,

    PCI_COMMAND_IO = 1 << 0,
    PCI_COMMAND_MEMORY = 1 << 1,
    PCI_COMMAND_MASTER = 1 << 2,
    PCI_COMMAND_PARITY = 1 << 6,
    PCI_COMMAND_SERR = 1 << 8,
    PCI_COMMAND_INTX_DISABLE = 1 << 10,

    PCI_STATUS_INTERRUPT = 1 << 3,

    PCI_CONFIG_BYTES = 256,
    PCI_ROM_BAR = 6, /* index of the expansion ROM among the BARs */
    PCI_BARS = 7,
    PCI_PIRQS = 4,
    PCI_FUNCTIONS = 256,
};

enum pci_bar_kind { PCI_BAR_NONE, PCI_BAR_IO, PCI_BAR_MEMORY, PCI_BAR_PREFETCH };

struct pci_bar {
    uint8_t kind;          /* enum pci_bar_kind */
    uint32_t length;       /* a power of two; the address is a multiple of it */
    struct region *region; /* the device's; `base` is set here */
    bool mapped;
};

struct pci_function_state {
    uint8_t config[PCI_CONFIG_BYTES];
    uint8_t asserted; /* the device holds INTx low … */
    uint8_t driving;  /* … and the command register lets it */
};

struct pci_function {
    struct pci_function_state state;
    const char *name;
    struct pci_bus *bus;
    uint8_t devfn;                       /* device << 3 | function */
    uint8_t initial[PCI_CONFIG_BYTES];   /* what a reset gives */
    uint8_t writable[PCI_CONFIG_BYTES];  /* bits that the guest sets and clears */
    uint8_t clearable[PCI_CONFIG_BYTES]; /* bits that the guest clears by writing 1 */
    struct pci_bar bars[PCI_BARS];
    /* After the guest wrote [offset, offset + size), masks applied; may be NULL. */
    void (*config_written)(void *opaque, unsigned offset, unsigned size);
    void *opaque;
};

struct pci_bus_state {
    uint32_t address; /* CONFIG_ADDRESS, port CF8h */
};

struct pci_bus {
    struct pci_bus_state state;
    struct pci_function *functions[PCI_FUNCTIONS];
    struct bus *ports, *memory;
    struct physmem *physmem;
    struct irq_line pirqs[PCI_PIRQS]; /* into the interrupt router: PIRQA..PIRQD */
    unsigned drivers[PCI_PIRQS];      /* how many functions drive each */
    /* Byte port CF9h, which lies within CONFIG_ADDRESS; NULL: nothing there. */
    uint8_t (*reset_control_read)(void *opaque);
    void (*reset_control_write)(void *opaque, uint8_t value);
    void *reset_control_opaque;
    struct region address_region, data_region;
};

extern const struct device_class pci_bus_class;
extern const struct device_class pci_function_class;

/* Adds ports CF8h..CFFh.  `memory` is the bus for memory BARs, `physmem` what DMA reaches. */
void pci_bus_attach(struct pci_bus *pci, struct bus *ports, struct bus *memory,
                    struct physmem *physmem);

/* Starts the description of a function: a header of type 0 with these ids, command bits for what
 * its BARs need, and a writable interrupt line. `name` and the struct outlive the bus. */
void pci_function_init(struct pci_function *function, const char *name, uint16_t vendor,
                       uint16_t device, uint16_t class, uint8_t revision);
/* Initial values, and the mask of bits that the guest may write, at `offset`. */
void pci_set_config(struct pci_function *function, unsigned offset, unsigned size, uint32_t value,
                    uint32_t writable);
void pci_set_subsystem(struct pci_function *function, uint16_t vendor, uint16_t subsystem);
/* Uses INTA#..INTD# (1..4). */
void pci_set_interrupt_pin(struct pci_function *function, uint8_t pin);
/* BAR `index` (0..5, PCI_ROM_BAR) of `length` bytes, a power of two of at least 4 (I/O), 16
 * (memory) or 2 KiB (ROM), answered by `region`, whose length is at most that. */
void pci_set_bar(struct pci_function *function, unsigned index, enum pci_bar_kind kind,
                 uint32_t length, struct region *region);
/* Puts the function on the bus at `device`:`number`; its place must be free. */
void pci_function_attach(struct pci_function *function, struct pci_bus *pci, unsigned device,
                         unsigned number);
/* Registers the bus and all its functions; call it when all are attached, before the devices. */
void pci_register(struct pci_bus *pci, struct device_list *list);

/* Drives the function's INTx pin; `level` 1 asserts it. */
void pci_set_irq(struct pci_function *function, int level);
/* The same as an irq_line: opaque is the function, the number is ignored. */
void pci_irq_line_set(void *function, int number, int level);

/* Memory access as bus master: false (and all ones) when the guest has not enabled it. */
bool pci_dma_read(struct pci_function *function, gpa_t gpa, void *to, size_t length);
bool pci_dma_write(struct pci_function *function, gpa_t gpa, const void *from, size_t length);

static inline uint16_t pci_command(const struct pci_function *function)
{
    return load_le16(function->state.config + PCI_COMMAND);
}

/* Configuration access as the guest sees it, for tests and for firmware tables; `size` 1, 2, 4 and
 * `offset` a multiple of it. */
uint32_t pci_config_read(struct pci_function *function, unsigned offset, unsigned size);
void pci_config_write(struct pci_function *function, unsigned offset, unsigned size,
                      uint32_t value);

#endif
