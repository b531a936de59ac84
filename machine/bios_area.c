#include "machine/bios_area.h"

#include "machine/board.h"
#include "machine/e820.h"

#include <string.h>

enum {
    BDA = 0x400,
    BDA_BYTES = 0x100,
    VECTORS = 256,
    RETURN_OFFSET = 0xff53, /* of the IRET in segment F000h, where the PC/AT has it */
    I440FX_PAM0 = 0x59,
    PAM_REGISTERS = 7,
    PAM0_RAM = 0x30,
    PAM_RAM = 0x33, /* both halves: reads and writes go to RAM */
};

/* All vectors lead to an IRET. */
static void bios_write_vectors(struct physmem *physmem)
{
    uint32_t vectors[VECTORS];
    static const uint8_t iret = 0xcf;
    for (unsigned i = 0; i < VECTORS; i++)
        vectors[i] = 0xf000u << 16 | RETURN_OFFSET;
    physmem_write(physmem, GPA(0), vectors, sizeof vectors);
    physmem_write(physmem, GPA(BIOS_ADDRESS + RETURN_OFFSET), &iret, 1);
}

static void bios_write_data_area(struct physmem *physmem, const struct machine_config *config)
{
    static const uint16_t uarts[] = {0x3f8, 0x2f8, 0x3e8, 0x2e8};
    uint8_t bda[BDA_BYTES] = {0};
    unsigned serials = 0;
    for (unsigned i = 0; i < ARRAY_LENGTH(uarts); i++)
        if (config->serials[i])
            store_le16(bda + 2 * serials++, uarts[i]);
    store_le16(bda + 0x0e, EBDA_ADDRESS >> 4);
    /* equipment: 80x25 colour, PS/2 mouse, coprocessor, number of serial ports */
    store_le16(bda + 0x10, (uint16_t)(0x26 | serials << 9));
    store_le16(bda + 0x13, EBDA_ADDRESS / 1024);
    store_le16(bda + 0x1a, 0x1e); /* the keyboard buffer is empty */
    store_le16(bda + 0x1c, 0x1e);
    bda[0x49] = 3; /* video mode */
    store_le16(bda + 0x4a, 80);
    store_le16(bda + 0x4c, 0x1000);
    store_le16(bda + 0x60, 0x0607);
    store_le16(bda + 0x63, 0x3d4);
    store_le16(bda + 0x80, 0x1e);
    store_le16(bda + 0x82, 0x3e);
    bda[0x84] = 24;
    store_le16(bda + 0x85, 16);
    bda[0x96] = 0x10; /* enhanced keyboard */
    physmem_write(physmem, GPA(BDA), bda, sizeof bda);

    uint8_t ebda[LOW_MEMORY_END - EBDA_ADDRESS] = {sizeof ebda / 1024};
    physmem_write(physmem, GPA(EBDA_ADDRESS), ebda, sizeof ebda);
}

static void bios_shadow_ram(struct board *board)
{
    struct pci_function *bridge = &board->i440fx.function;
    pci_config_write(bridge, I440FX_PAM0, 1, PAM0_RAM);
    for (unsigned i = 1; i < PAM_REGISTERS; i++)
        pci_config_write(bridge, I440FX_PAM0 + i, 1, PAM_RAM);
}

/* Interrupt controllers with vectors 08h and 70h, all inputs masked but the cascade; counter 0 of
 * the timer at its slowest rate; the LINT pins of the local APIC as virtual wires. */
static void bios_start_chips(struct machine *machine)
{
    static const struct {
        uint16_t port;
        uint8_t value;
    } writes[] = {
        {0x20, 0x11}, {0x21, 0x08}, {0x21, 0x04}, {0x21, 0x01}, {0xa0, 0x11},
        {0xa1, 0x70}, {0xa1, 0x02}, {0xa1, 0x01}, {0x21, 0xfb}, {0xa1, 0xff},
        {0x43, 0x34}, {0x40, 0x00}, {0x40, 0x00},
    };
    enum { SPURIOUS = 0xf0, LINT0 = 0x350, LINT1 = 0x360, ENABLED = 0x1ff };
    for (unsigned i = 0; i < ARRAY_LENGTH(writes); i++)
        bus_write(&machine->ports, writes[i].port, 1, writes[i].value);
    if (!feature_has(&machine->config.cpu_model.features, FEAT_APIC))
        return;
    struct lapic *lapic = &machine->board->lapics[0];
    lapic_mmio_write(lapic, LAPIC_BASE_DEFAULT + SPURIOUS, 4, ENABLED);
    lapic_mmio_write(lapic, LAPIC_BASE_DEFAULT + LINT0, 4, APIC_EXTINT << 8);
    lapic_mmio_write(lapic, LAPIC_BASE_DEFAULT + LINT1, 4, APIC_NMI << 8);
}

void bios_area_write(struct machine *machine)
{
    struct physmem *physmem = &machine->physmem;
    bios_shadow_ram(machine->board);
    static const uint8_t zeros[HIGH_MEMORY - 0xc0000];
    physmem_write(physmem, GPA(0xc0000), zeros, sizeof zeros);
    bios_write_vectors(physmem);
    bios_write_data_area(physmem, &machine->config);
    bios_start_chips(machine);
}
