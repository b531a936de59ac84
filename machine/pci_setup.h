/* Gives the functions of the PCI bus their addresses and interrupt lines, as firmware would. */
#ifndef MACHINE_PCI_SETUP_H
#define MACHINE_PCI_SETUP_H

#include <stdint.h>

struct board;

enum {
    PMBASE_ADDRESS = 0x600,
    SMBUS_ADDRESS = 0x700,
    PCI_IO_FIRST = 0xc000, /* I/O BARs go upwards from here */
};
/* Memory BARs go downwards from here, below the IOAPIC. */
#define PCI_MEMORY_END UINT64_C(0xfec00000)

void pci_setup(struct board *board);

#endif
