#include "machine/pci_setup.h"

#include "machine/board.h"

enum {
    PIIX3_PIRQ_ROUTE = 0x60,
    PM_BASE = 0x40,
    PM_MISC = 0x80, /* PMREGMISC: bit 0 enables the block at PMBASE */
    SMBUS_BASE = 0x90,
    SMBUS_HOST_CONFIG = 0xd2,
    ELCR = 0x4d0,
};

/* The lines of PIRQA..PIRQD, which are level-triggered then. */
static const uint8_t pci_pirq_lines[PCI_PIRQS] = {10, 10, 11, 11};

static uint32_t pci_round_up(uint32_t value, uint32_t multiple)
{
    return (value + multiple - 1) & ~(multiple - 1);
}

static void pci_setup_bars(struct pci_function *function, uint32_t *next_port, uint32_t *memory_end)
{
    uint16_t command = pci_command(function);
    for (unsigned i = 0; i < PCI_ROM_BAR; i++) {
        const struct pci_bar *bar = &function->bars[i];
        uint32_t address;
        if (bar->kind == PCI_BAR_NONE)
            continue;
        if (bar->kind == PCI_BAR_IO) {
            address = pci_round_up(*next_port, bar->length);
            *next_port = address + bar->length;
            command |= PCI_COMMAND_IO;
        } else {
            address = (*memory_end - bar->length) & ~(bar->length - 1);
            *memory_end = address;
            command |= PCI_COMMAND_MEMORY;
        }
        pci_config_write(function, PCI_BAR0 + 4 * i, 4, address);
    }
    pci_config_write(function, PCI_COMMAND, 2, command);
}

/* A pin's PIRQ moves on with the device number (82371SB on the board of the 82440FX). */
static void pci_setup_interrupt(struct pci_function *function)
{
    uint32_t pin = pci_config_read(function, PCI_INTERRUPT_PIN, 1);
    if (pin)
        pci_config_write(function, PCI_INTERRUPT_LINE, 1,
                         pci_pirq_lines[((function->devfn >> 3) - 1 + pin - 1) % PCI_PIRQS]);
}

static void pci_setup_router(struct board *board)
{
    uint16_t levels = 0;
    for (unsigned i = 0; i < PCI_PIRQS; i++) {
        pci_config_write(&board->piix3.function, PIIX3_PIRQ_ROUTE + i, 1, pci_pirq_lines[i]);
        levels |= (uint16_t)(1u << pci_pirq_lines[i]);
    }
    bus_write(&board->machine->ports, ELCR, 1, levels & 0xff);
    bus_write(&board->machine->ports, ELCR + 1, 1, levels >> 8);
}

static void pci_setup_power_management(struct board *board)
{
    struct pci_function *pm = &board->pm.function;
    pci_config_write(pm, PM_BASE, 4, PMBASE_ADDRESS | 1);
    pci_config_write(pm, PM_MISC, 1, 1);
    pci_config_write(pm, SMBUS_BASE, 4, SMBUS_ADDRESS | 1);
    pci_config_write(pm, SMBUS_HOST_CONFIG, 1, 1);
    pci_config_write(pm, PCI_COMMAND, 2, pci_command(pm) | PCI_COMMAND_IO);
    pci_config_write(pm, PCI_INTERRUPT_LINE, 1, PM_SCI_IRQ);
}

void pci_setup(struct board *board)
{
    uint32_t next_port = PCI_IO_FIRST, memory_end = (uint32_t)PCI_MEMORY_END;
    for (unsigned i = 0; i < PCI_FUNCTIONS; i++) {
        struct pci_function *function = board->pci.functions[i];
        if (!function)
            continue;
        pci_setup_bars(function, &next_port, &memory_end);
        pci_setup_interrupt(function);
    }
    /* IDE: both channels decode their legacy ports (82371SB, IDETIM). */
    pci_config_write(&board->ide.function, 0x40, 4, 0x80008000);
    pci_config_write(&board->ide.function, PCI_COMMAND, 2,
                     pci_command(&board->ide.function) | PCI_COMMAND_IO | PCI_COMMAND_MASTER);
    pci_setup_router(board);
    pci_setup_power_management(board);
}
