/* 82441FX, the host bridge at 00:00.0: which parts of the first MiB are RAM (PAM, SMRAM).
 *
 * INV-1: physmem's low pages always say what PAM0..PAM6 and SMRAM say.
 * Source: Intel 82441FX PCI and Memory Controller (PMC) datasheet, §3.2.
 */
#ifndef HW_I440FX_H
#define HW_I440FX_H

#include "hw/pci.h"

struct i440fx {
    struct pci_function function; /* all of its state */
    struct physmem *physmem;
};

/* Attaches at 00:00.0 of `pci`, driving the pages of `physmem` from A0000h to FFFFFh. */
void i440fx_attach(struct i440fx *bridge, struct pci_bus *pci, struct physmem *physmem);
extern const struct device_class i440fx_class;

#endif
