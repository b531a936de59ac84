/* Configuration space of PCI bus 0. */
#include "demo.h"
#include "io.h"

static uint32_t pci_address(unsigned device, unsigned function, unsigned offset)
{
    return 0x80000000 | device << 11 | function << 8 | (offset & 0xfc);
}

uint32_t pci_read(unsigned device, unsigned function, unsigned offset)
{
    out32(0xcf8, pci_address(device, function, offset));
    return in32(0xcfc);
}

void pci_write(unsigned device, unsigned function, unsigned offset, uint32_t value)
{
    out32(0xcf8, pci_address(device, function, offset));
    out32(0xcfc, value);
}
