/* 82371AB (PIIX4) function 3 at 00:01.3: ACPI power management, its timer, SMI command port, SMBus.
 *
 * The power-management registers are where the firmware puts PMBASE (600h on this board), GPE0
 * where its tables say (AFE0h), the SMI command port at B2h and B3h. LIMIT: there is no system
 * management mode: APMC_EN reads as set, which tells the firmware that its handler is in place;
 * ACPI enable and disable are done here. SLP_TYP, as the tables of the board must give it: 0 and 2
 * power the machine off (S5, S4). LIMIT: no suspend to RAM; no device is on the SMBus: every
 * transaction ends in a device error. INV-1: `sci` is high exactly while SCI_EN is set and an
 * enabled status bit is set. Source: Intel 82371AB datasheet chapter 7; ACPI specification 2.0
 * §4.7.3.
 */
#ifndef HW_PIIX4_PM_H
#define HW_PIIX4_PM_H

#include "base/clock.h"
#include "base/irq.h"
#include "hw/pci.h"

#define PM_TIMER_HZ 3579545

enum {
    PM_ACPI_ENABLE = 0xf1, /* values for port B2h, as the FADT gives them */
    PM_ACPI_DISABLE = 0xf0,
    PM_SMI_COMMAND_PORT = 0xb2,
    PM_GPE0_PORT = 0xafe0,
    PM_GPE0_BYTES = 4,
    PM_SCI_IRQ = 9,
};

struct piix4_pm_state {
    int64_t settled_ns; /* TMR_STS is current up to this time */
    uint16_t status, enable, control;
    uint16_t gpe_status, gpe_enable;
    uint8_t apm_command, apm_status;
    uint8_t sci_level;
    uint8_t smbus[16];
    uint8_t registers[64]; /* the others of the block at PMBASE only keep what is written */
    uint8_t pad[3];
};

/* Upward calls; each may be NULL. */
struct piix4_pm_ops {
    void (*power_off)(void *opaque);
    void *opaque;
};

struct piix4_pm {
    struct piix4_pm_state state;
    struct pci_function function;
    struct clock *clock;
    struct timer timer; /* the next change of the PM timer's top bit, while that interrupt is on */
    struct irq_line sci;
    struct piix4_pm_ops ops;
    struct bus *ports;
    struct region pm_region, smbus_region, gpe_region, apm_region;
};

/* Attaches at 00:01.3. */
void piix4_pm_attach(struct piix4_pm *pm, struct pci_bus *pci, struct clock *clock,
                     struct irq_line sci, const struct piix4_pm_ops *ops);
/* The power button was pressed. */
void piix4_pm_press_power_button(struct piix4_pm *pm);
/* Sets bits of GPE0_STS. */
void piix4_pm_raise_gpe(struct piix4_pm *pm, uint16_t bits);
extern const struct device_class piix4_pm_class;

#endif
