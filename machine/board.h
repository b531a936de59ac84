/* The PC: every chip of the board, and the wires between them.
 *
 * One struct holds them all, so that nothing of a machine lies outside it.
 */
#ifndef MACHINE_BOARD_H
#define MACHINE_BOARD_H

#include "hw/debug_ports.h"
#include "hw/dma8237.h"
#include "hw/fdc.h"
#include "hw/fw_cfg.h"
#include "hw/hpet.h"
#include "hw/i440fx.h"
#include "hw/i8042.h"
#include "hw/ide.h"
#include "hw/ioapic.h"
#include "hw/isa_irq.h"
#include "hw/lapic.h"
#include "hw/pci.h"
#include "hw/pic.h"
#include "hw/piix3.h"
#include "hw/piix4_pm.h"
#include "hw/pit.h"
#include "hw/rtc.h"
#include "hw/uart16550.h"
#include "hw/vga.h"
#include "machine/firmware.h"
#include "machine/machine_priv.h"

enum { BOARD_UARTS = 4, BOARD_VGA_SLOT = 2 };

struct board {
    struct machine *machine;
    struct apic_bus apics;
    struct lapic lapics[MACHINE_CPUS_MAX];
    struct ioapic ioapic;
    struct pic pic;
    struct isa_irqs irqs;
    struct pci_bus pci;
    struct i440fx i440fx;
    struct piix3 piix3;
    struct ide ide;
    struct piix4_pm pm;
    struct pit pit;
    struct hpet hpet;
    struct rtc rtc;
    struct dma8237 dma;
    struct i8042 keyboard;
    struct uart16550 uarts[BOARD_UARTS];
    struct fdc fdc;
    struct vga vga;
    struct fw_cfg fw_cfg;
    struct debug_console consoles[2];
    struct debug_exit debug_exit;
    struct region coprocessor_ports;
    struct blockdev *images[MACHINE_DRIVES_MAX];
    struct blockdev *disks[IDE_CHANNELS * IDE_UNITS]; /* what is plugged in where */
    bool cds[IDE_CHANNELS * IDE_UNITS];
    struct firmware firmware;
    bool a20_port92, a20_keyboard;
};

/* Builds the board of `machine`; negative errno and one line in *error on failure, and then
 * board_free() is still to be called. */
int board_new(struct machine *machine, struct error *error);
void board_free(struct board *board);
/* drives.c: opens the images of the configuration and plugs them in. */
int drives_plug(struct board *board, struct error *error);
/* Drives every chip's reset line. */
void board_reset(struct board *board, enum reset_kind kind);

#endif
