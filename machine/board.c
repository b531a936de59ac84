/* The wiring list of the PC.
 *
 *   8254 ──┐ IRQ0                ┌─> 8259s ──INT──> LINT0 ┐
 *   RTC ──HPET─ IRQ8 ─> ISA lines┤                        ├─ local APIC ──INTR──> vCPU
 *   UARTs, 8042, FDC, IDE, SCI ─>│  └─> IOAPIC ──message──┘
 *   PCI INTA#..INTD# ─> PIRQA..D ┘ (PIIX3 routes them to ISA lines)
 */
#include "machine/board.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

static const struct {
    uint16_t base;
    uint8_t irq;
} board_uarts[BOARD_UARTS] = {{0x3f8, 4}, {0x2f8, 3}, {0x3e8, 4}, {0x2e8, 3}};

/* --- the processor's pins */

static void board_set_intr(void *vcpu, int level)
{
    vcpu_set_line(vcpu, LINE_INTR, level);
}

static void board_nmi(void *vcpu)
{
    vcpu_set_line(vcpu, LINE_NMI, true);
}

static void board_init(void *opaque)
{
    struct vcpu *vcpu = opaque;
    lapic_init_reset(&vcpu->machine->board->lapics[vcpu->cpu->index]);
    vcpu_set_line(vcpu, LINE_INIT, true);
}

static void board_sipi(void *opaque, uint8_t vector)
{
    struct vcpu *vcpu = opaque;
    vcpu->cpu->sipi_vector = vector;
    vcpu_set_line(vcpu, LINE_SIPI, true);
}

static int board_acknowledge_pic(void *opaque)
{
    struct vcpu *vcpu = opaque;
    return pic_acknowledge(&vcpu->machine->board->pic);
}

/* A20M#: the gate is open when either of its two drivers opens it.  They are ports, so this runs on
 * the thread of the processor that writes them, or in a reset. */
static void board_update_a20(struct board *board)
{
    struct machine *machine = board->machine;
    for (unsigned i = 0; i < machine->vcpu_count; i++)
        mmu_set_a20(&machine->vcpus[i].cpu->mmu, board->a20_port92 || board->a20_keyboard);
}

static void board_a20_port92(void *opaque, bool enabled)
{
    struct board *board = opaque;
    board->a20_port92 = enabled;
    board_update_a20(board);
}

static void board_a20_keyboard(void *opaque, bool enabled)
{
    struct board *board = opaque;
    board->a20_keyboard = enabled;
    board_update_a20(board);
}

/* LIMIT: a reset of the processor alone resets the whole board; memory and CMOS are kept, which is
 * what software that comes back through the CMOS shutdown byte needs. */
static void board_chipset_reset(void *opaque, bool hard)
{
    struct board *board = opaque;
    machine_system_reset(board->machine);
}

static void board_keyboard_reset(void *opaque)
{
    struct board *board = opaque;
    machine_system_reset(board->machine);
}

static void board_power_off(void *opaque)
{
    struct board *board = opaque;
    machine_power_off(board->machine);
}

static void board_leave(void *opaque, int status)
{
    struct board *board = opaque;
    machine_quit(board->machine, status);
}

/* Ports F0h and F1h: any write lowers IRQ13 again (82371SB §2.5.6). */
static void board_coprocessor_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct board *board = opaque;
    struct irq_line line = isa_irq(&board->irqs, 13);
    irq_set(&line, 0);
}

static uint64_t board_coprocessor_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0xff;
}

/* --- wiring */

static void board_attach_interrupts(struct board *board, struct machine *machine)
{
    apic_bus_init(&board->apics);
    for (unsigned i = 0; i < machine->vcpu_count; i++) {
        const struct lapic_cpu pins = {
            .set_intr = board_set_intr,
            .nmi = board_nmi,
            .init = board_init,
            .sipi = board_sipi,
            .acknowledge_pic = board_acknowledge_pic,
            .opaque = &machine->vcpus[i],
        };
        lapic_attach(&board->lapics[i], i, &board->apics, &machine->clock, &pins);
    }
    ioapic_attach(&board->ioapic, &machine->memory, &board->apics);
    pic_attach(&board->pic, &machine->ports,
               (struct irq_line){lapic_set_lint, &board->lapics[0], 0});
    isa_irqs_attach(&board->irqs, (struct irq_line){pic_set_irq, &board->pic, 0},
                    (struct irq_line){ioapic_set_irq, &board->ioapic, 0});
}

static void board_attach_pci(struct board *board, struct machine *machine)
{
    const struct piix3_ops piix3_ops = {board_chipset_reset, board_a20_port92, board};
    const struct piix4_pm_ops pm_ops = {board_power_off, board};
    struct isa_irqs *irqs = &board->irqs;
    const struct firmware *firmware = &board->firmware;

    pci_bus_attach(&board->pci, &machine->ports, &machine->memory, &machine->physmem);
    i440fx_attach(&board->i440fx, &board->pci, &machine->physmem);
    piix3_attach(&board->piix3, &board->pci, irqs, &piix3_ops);
    ide_attach(&board->ide, &board->pci, 1, 1, isa_irq(irqs, 14), isa_irq(irqs, 15),
               &machine->clock);
    piix4_pm_attach(&board->pm, &board->pci, &machine->clock, isa_irq_sci(irqs, PM_SCI_IRQ),
                    &pm_ops);
    vga_attach(&board->vga, &board->pci, BOARD_VGA_SLOT, &machine->clock, firmware->vga_bios,
               firmware->vga_bios_bytes);
}

/* The guest's seconds begin when the host's do. */
static struct timespec board_rtc_base(const struct machine_config *config)
{
    struct timespec now;
    struct tm local;
    clock_gettime(CLOCK_REALTIME, &now);
    switch (config->rtc_base) {
    case RTC_LOCALTIME:
        if (localtime_r(&now.tv_sec, &local))
            now.tv_sec += local.tm_gmtoff;
        break;
    case RTC_DATETIME:
        return (struct timespec){.tv_sec = config->rtc_datetime};
    case RTC_UTC:
        break;
    }
    return now;
}

static void board_attach_isa(struct board *board, struct machine *machine)
{
    const struct i8042_ops keyboard_ops = {board_keyboard_reset, board_a20_keyboard, board};
    struct bus *ports = &machine->ports;
    struct isa_irqs *irqs = &board->irqs;
    struct clock *clock = &machine->clock;

    hpet_attach(&board->hpet, &machine->memory, clock,
                (struct irq_line){ioapic_set_irq, &board->ioapic, 0}, isa_irq(irqs, 0),
                isa_irq(irqs, 8));
    pit_attach(&board->pit, ports, clock, hpet_pit_line(&board->hpet));
    rtc_attach(&board->rtc, ports, clock, hpet_rtc_line(&board->hpet),
               board_rtc_base(&machine->config));
    dma8237_attach(&board->dma, ports, &machine->physmem);
    i8042_attach(&board->keyboard, ports, clock, isa_irq(irqs, 1), isa_irq(irqs, 12),
                 &keyboard_ops);
    fdc_attach(&board->fdc, ports, isa_irq(irqs, 6), &board->dma, clock);
    for (unsigned i = 0; i < BOARD_UARTS; i++)
        if (machine->config.serials[i])
            uart16550_attach(&board->uarts[i], ports, board_uarts[i].base, clock,
                             i < 2 ? isa_irq(irqs, board_uarts[i].irq)
                                   : isa_irq_second(irqs, board_uarts[i].irq),
                             machine->config.serials[i]);
    board->coprocessor_ports = (struct region){
        .name = "coprocessor",
        .base = 0xf0,
        .length = 2,
        .read = board_coprocessor_read,
        .write = board_coprocessor_write,
        .min_size = 1,
        .max_size = 1,
        .opaque = board,
    };
    bus_add(ports, &board->coprocessor_ports);
    fw_cfg_attach(&board->fw_cfg, ports, &machine->physmem);
}

static void board_attach_debug(struct board *board, struct machine *machine)
{
    const struct machine_config *config = &machine->config;
    unsigned count = 0;
    static const uint16_t consoles[] = {0xe9, 0x402};
    for (unsigned i = 0; i < ARRAY_LENGTH(consoles) && config->debugcon; i++)
        if (!config->debugcon_iobase || config->debugcon_iobase == consoles[i])
            debug_console_attach(&board->consoles[count++], &machine->ports, consoles[i],
                                 config->debugcon);
    if (config->debugcon && count == 0)
        debug_console_attach(&board->consoles[0], &machine->ports, config->debugcon_iobase,
                             config->debugcon);
    if (config->debug_exit)
        debug_exit_attach(&board->debug_exit, &machine->ports, config->debug_exit_iobase,
                          config->debug_exit_iosize, board_leave, board);
}

/* Resets, saved states and descriptions go in this order. */
static void board_register(struct board *board, struct machine *machine)
{
    struct device_list *list = &machine->devices;
    pci_register(&board->pci, list);
    device_register(list, &i440fx_class, &board->i440fx);
    device_register(list, &piix3_class, &board->piix3);
    device_register(list, &isa_irqs_class, &board->irqs);
    device_register(list, &pic_class, &board->pic);
    for (unsigned i = 0; i < machine->vcpu_count; i++)
        device_register(list, &lapic_class, &board->lapics[i]);
    device_register(list, &ioapic_class, &board->ioapic);
    device_register(list, &pit_class, &board->pit);
    device_register(list, &hpet_class, &board->hpet);
    device_register(list, &rtc_class, &board->rtc);
    device_register(list, &dma8237_class, &board->dma);
    ide_register(&board->ide, list);
    device_register(list, &piix4_pm_class, &board->pm);
    device_register(list, &vga_class, &board->vga);
    i8042_register(&board->keyboard, list);
    device_register(list, &fdc_class, &board->fdc);
    for (unsigned i = 0; i < BOARD_UARTS; i++)
        if (machine->config.serials[i])
            device_register(list, &uart16550_class, &board->uarts[i]);
}

int board_new(struct machine *machine, struct error *error)
{
    struct board *board = calloc(1, sizeof *board);
    if (!board)
        return error_set(error, ENOMEM, "board: out of host memory; free some");
    board->machine = machine;
    machine->board = board;
    int result = firmware_read(&board->firmware, &machine->config, error);
    if (result < 0)
        return result;
    firmware_map(&board->firmware, &machine->physmem);
    board_attach_interrupts(board, machine);
    board_attach_pci(board, machine);
    board_attach_isa(board, machine);
    board_attach_debug(board, machine);
    /* WHY: what fw_cfg holds is freed by its detach, also when a drive is refused. */
    device_register(&machine->devices, &fw_cfg_class, &board->fw_cfg);
    result = drives_plug(board, error);
    if (result < 0)
        return result;
    board_register(board, machine);
    return firmware_describe(board, error);
}

void board_free(struct board *board)
{
    for (unsigned i = 0; i < MACHINE_DRIVES_MAX; i++)
        blockdev_close(board->images[i]);
    firmware_free(&board->firmware);
    free(board);
}

void board_reset(struct board *board, enum reset_kind kind)
{
    device_reset_all(&board->machine->devices, kind);
    /* WHY: a processor without an APIC has its INTR pin wired to the 8259s; a disabled APIC does
     * just that with LINT0. */
    for (unsigned i = 0; i < board->machine->vcpu_count; i++)
        if (!feature_has(&board->machine->config.cpu_model.features, FEAT_APIC))
            lapic_set_base(&board->lapics[i], 0);
}
