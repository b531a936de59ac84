/* hw/pci, hw/i440fx, hw/piix3: mechanism #1, BARs, INTx, PAM, PIRQ routing, resets. */
#include "hw/i440fx.h"
#include "hw/piix3.h"

#include "chip_rig.h"

enum { RAM_BYTES = 4 << 20, PIN_IRQS = 16 };

static struct rig rig;
static struct frames frames;
static struct physmem physmem;
static struct pci_bus pci;
static struct i440fx bridge;
static struct piix3 piix3;
static struct isa_irqs irqs;
static struct device_list devices;
static struct {
    unsigned hard, soft;
    bool a20;
} board;

static void board_reset(void *opaque, bool hard)
{
    board.hard += hard;
    board.soft += !hard;
}

static void board_a20(void *opaque, bool enabled)
{
    board.a20 = enabled;
}

/* A device with a port BAR, a memory BAR, a ROM and an interrupt. */
static struct {
    struct pci_function function;
    struct region ports, memory, rom;
    uint32_t last_write;
    unsigned written;
} card[3];

static uint64_t card_read(void *opaque, uint64_t offset, unsigned size)
{
    return (uintptr_t)opaque + offset;
}

static void card_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
}

static void card_written(void *opaque, unsigned offset, unsigned size)
{
    card[0].written++;
}

static void attach_card(unsigned n, unsigned device, uint8_t pin)
{
    struct pci_function *function = &card[n].function;
    pci_function_init(function, "card", 0x1234, (uint16_t)(0x1110 + n), 0x0200, 1);
    card[n].ports = (struct region){.name = "ports",
                                    .length = 16,
                                    .read = card_read,
                                    .write = card_write,
                                    .opaque = (void *)0x10};
    card[n].memory = (struct region){.name = "memory",
                                     .length = 4096,
                                     .read = card_read,
                                     .write = card_write,
                                     .opaque = (void *)0x20};
    card[n].rom =
        (struct region){.name = "rom", .length = 2048, .read = card_read, .opaque = (void *)0x30};
    pci_set_bar(function, 0, PCI_BAR_IO, 16, &card[n].ports);
    pci_set_bar(function, 1, PCI_BAR_MEMORY, 4096, &card[n].memory);
    pci_set_bar(function, PCI_ROM_BAR, PCI_BAR_MEMORY, 2048, &card[n].rom);
    pci_set_interrupt_pin(function, pin);
    function->config_written = card_written;
    pci_function_attach(function, &pci, device, 0);
}

static void set_up(void)
{
    struct error error = {""};
    rig_init(&rig);
    cr_assert_eq(frames_init(&frames, RAM_BYTES, &error), 0, "%s", error.text);
    cr_assert_eq(physmem_init(&physmem, &frames, &rig.memory, RAM_BYTES, &error), 0, "%s",
                 error.text);
    isa_irqs_attach(&irqs, rig_line(&rig, 0), (struct irq_line){0});
    pci_bus_attach(&pci, &rig.ports, &rig.memory, &physmem);
    i440fx_attach(&bridge, &pci, &physmem);
    piix3_attach(&piix3, &pci, &irqs, &(struct piix3_ops){.reset = board_reset, .a20 = board_a20});
    attach_card(0, 3, 1);
    attach_card(1, 4, 1);
    attach_card(2, 7, 1); /* shares PIRQ with device 3 */
    device_list_init(&devices);
    pci_register(&pci, &devices);
    device_register(&devices, &i440fx_class, &bridge);
    device_register(&devices, &piix3_class, &piix3);
    device_register(&devices, &isa_irqs_class, &irqs);
    device_reset_all(&devices, RESET_POWER_ON);
    memset(&board, 0, sizeof board);
}

static void tear_down(void)
{
    device_list_free(&devices);
    physmem_free(&physmem);
    frames_free(&frames);
    rig_free(&rig);
}

static void address(unsigned device, unsigned function, unsigned offset)
{
    bus_write(&rig.ports, 0xcf8, 4, 0x80000000u | device << 11 | function << 8 | (offset & ~3u));
}

static uint32_t config_in(unsigned device, unsigned offset, unsigned size)
{
    address(device, 0, offset);
    return (uint32_t)bus_read(&rig.ports, 0xcfc + (offset & 3), size);
}

static void config_out(unsigned device, unsigned offset, unsigned size, uint32_t value)
{
    address(device, 0, offset);
    bus_write(&rig.ports, 0xcfc + (offset & 3), size, value);
}

Test(pci, mechanism_1)
{
    set_up();
    cr_assert_eq(config_in(0, 0, 4), 0x12378086);
    cr_assert_eq(config_in(1, 0, 4), 0x70008086);
    cr_assert_eq(config_in(1, 2, 2), 0x7000);
    cr_assert_eq(config_in(1, 3, 1), 0x70);
    cr_assert_eq(config_in(5, 0, 4), 0xffffffff);
    cr_assert_eq(config_in(0, 0x2c, 4), 0x11001af4, "by which firmware knows where it runs");
    cr_assert_eq(bus_read(&rig.ports, 0xcf8, 4), 0x8000002c);
    bus_write(&rig.ports, 0xcf8, 4, 0xffffffff);
    cr_assert_eq(bus_read(&rig.ports, 0xcf8, 4), 0x80fffffc);
    bus_write(&rig.ports, 0xcf8, 4, 0x00000000);
    cr_assert_eq(bus_read(&rig.ports, 0xcfc, 4), 0xffffffff, "not enabled");
    bus_write(&rig.ports, 0xcf8, 4, 0x80010000);
    cr_assert_eq(bus_read(&rig.ports, 0xcfc, 4), 0xffffffff, "another bus");
    /* Bytes do not reach CONFIG_ADDRESS. */
    bus_write(&rig.ports, 0xcf8, 4, 0x80000800);
    rig_out(&rig, 0xcfb, 0x01);
    rig_out(&rig, 0xcf8, 0x10);
    cr_assert_eq(bus_read(&rig.ports, 0xcf8, 4), 0x80000800);
    /* Words and double words across registers. */
    address(1, 0, 0);
    cr_assert_eq(bus_read(&rig.ports, 0xcfd, 2), 0x0080);
    tear_down();
}

Test(pci, write_masks)
{
    set_up();
    config_out(3, 0, 4, 0);
    cr_assert_eq(config_in(3, 0, 4), 0x11101234);
    config_out(3, PCI_COMMAND, 2, 0xffff);
    cr_assert_eq(config_in(3, PCI_COMMAND, 2), 0x0547);
    config_out(3, PCI_COMMAND, 2, 0);
    card[0].function.state.config[PCI_STATUS + 1] = 0xff;
    config_out(3, PCI_STATUS, 2, 0x4000);
    cr_assert_eq(config_in(3, PCI_STATUS + 1, 1), 0xbf, "a 1 clears");
    unsigned before = card[0].written;
    config_out(3, PCI_INTERRUPT_LINE, 1, 0x0b);
    cr_assert_eq(config_in(3, PCI_INTERRUPT_LINE, 2), 0x010b);
    cr_assert_eq(card[0].written, before + 1);
    tear_down();
}

Test(pci, bars_move_their_regions)
{
    set_up();
    static const struct {
        unsigned offset;
        uint32_t sizing;
    } bars[] = {{0x10, 0xfffffff1}, {0x14, 0xfffff000}, {0x18, 0}, {0x30, 0xfffff801}};
    config_out(3, PCI_COMMAND, 2, 3);
    for (unsigned i = 0; i < ARRAY_LENGTH(bars); i++) {
        config_out(3, bars[i].offset, 4, 0xffffffff);
        cr_assert_eq(config_in(3, bars[i].offset, 4), bars[i].sizing);
    }
    cr_assert_null(bus_find(&rig.memory, 0xfffff800), "a BAR being measured is nowhere");
    cr_assert_null(bus_find(&rig.ports, 0xfff0));

    config_out(3, 0x10, 4, 0xc001);
    config_out(3, 0x14, 4, 0xfebd0000);
    config_out(3, 0x30, 4, 0xfec10001);
    cr_assert_eq(bus_read(&rig.ports, 0xc00a, 1), 0x1a);
    cr_assert_eq(bus_read(&rig.memory, 0xfebd0004, 4), 0x24);
    cr_assert_eq(bus_read(&rig.memory, 0xfec10008, 1), 0x38);
    config_out(3, 0x30, 4, 0xfec10000);
    cr_assert_null(bus_find(&rig.memory, 0xfec10000), "the ROM has its own enable bit");
    config_out(3, 0x14, 4, 0xfebe0000);
    cr_assert_null(bus_find(&rig.memory, 0xfebd0000));
    cr_assert_not_null(bus_find(&rig.memory, 0xfebe0000));
    config_out(3, PCI_COMMAND, 2, 1);
    cr_assert_null(bus_find(&rig.memory, 0xfebe0000));
    cr_assert_not_null(bus_find(&rig.ports, 0xc000));
    config_out(3, 0x10, 4, 0x10c001);
    cr_assert_null(bus_find(&rig.ports, 0xc000), "beyond the port space");
    config_out(3, 0x10, 4, 0xc101);
    device_reset_all(&devices, RESET_SYSTEM);
    cr_assert_null(bus_find(&rig.ports, 0xc100));
    tear_down();
}

/* The number of the ISA line that is high, -1 for none; checks that it is the only one. */
static int line_high(void)
{
    int high = -1;
    for (int number = 0; number < PIN_IRQS; number++)
        if (rig.level[number]) {
            cr_assert_eq(high, -1);
            high = number;
        }
    return high;
}

Test(pci, interrupts_are_routed)
{
    set_up();
    pci_set_irq(&card[0].function, 1);
    cr_assert_eq(line_high(), -1, "no PIRQ is routed after reset");
    config_out(1, 0x60, 4, 0x0b0a0b0a); /* A and C to 10, B and D to 11 */
    cr_assert_eq(line_high(), 10, "device 3, INTA# is PIRQC");
    cr_assert(config_in(3, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
    pci_set_irq(&card[2].function, 1); /* device 7: PIRQC too */
    pci_set_irq(&card[0].function, 0);
    cr_assert_eq(line_high(), 10, "shared");
    pci_set_irq(&card[2].function, 0);
    cr_assert_eq(line_high(), -1);
    pci_set_irq(&card[1].function, 1); /* device 4: PIRQD */
    cr_assert_eq(line_high(), 11);
    config_out(4, PCI_COMMAND, 2, PCI_COMMAND_INTX_DISABLE);
    cr_assert_eq(line_high(), -1);
    cr_assert(config_in(4, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT, "the status bit stays");
    config_out(4, PCI_COMMAND, 2, 0);
    cr_assert_eq(line_high(), 11);
    config_out(1, 0x63, 1, 0x80);
    cr_assert_eq(line_high(), -1);
    config_out(1, 0x63, 1, 0x05);
    cr_assert_eq(line_high(), 5);
    device_reset_all(&devices, RESET_SYSTEM);
    cr_assert_eq(line_high(), -1);
    tear_down();
}

Test(pci, isa_lines_are_shared)
{
    set_up();
    struct irq_line device = isa_irq(&irqs, 10), sci = isa_irq_sci(&irqs, 10);
    struct irq_line second = isa_irq_second(&irqs, 10);
    config_out(1, 0x62, 1, 0x0a);
    pci_set_irq(&card[0].function, 1);
    irq_set(&device, 1);
    irq_set(&sci, 1);
    pci_set_irq(&card[0].function, 0);
    irq_set(&device, 0);
    cr_assert_eq(line_high(), 10);
    irq_set(&second, 1);
    irq_set(&sci, 0);
    cr_assert_eq(line_high(), 10);
    irq_set(&second, 0);
    cr_assert_eq(line_high(), -1);
    cr_assert_eq(rig.rises[10], 1);
    irq_set(&(struct irq_line){device.set, device.opaque, 2}, 1);
    cr_assert_eq(line_high(), -1, "IRQ2 is the cascade");
    tear_down();
}

Test(pci, bus_mastering_needs_the_guests_leave)
{
    set_up();
    uint8_t bytes[4] = {1, 2, 3, 4};
    cr_assert_not(pci_dma_write(&card[0].function, GPA(0x1000), bytes, 4));
    cr_assert_not(pci_dma_read(&card[0].function, GPA(0x1000), bytes, 4));
    cr_assert_eq(bytes[0], 0xff);
    config_out(3, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
    bytes[0] = 7;
    cr_assert(pci_dma_write(&card[0].function, GPA(0x1000), bytes, 4));
    bytes[0] = 0;
    cr_assert(pci_dma_read(&card[0].function, GPA(0x1000), bytes, 4));
    cr_assert_eq(bytes[0], 7);
    tear_down();
}

Test(pci, pam_and_smram_switch_the_first_mebibyte)
{
    set_up();
    static const struct {
        unsigned offset, shift;
        uint32_t base, length;
    } areas[] = {
        {0x59, 4, 0xf0000, 0x10000}, {0x5a, 0, 0xc0000, 0x4000}, {0x5a, 4, 0xc4000, 0x4000},
        {0x5b, 0, 0xc8000, 0x4000},  {0x5b, 4, 0xcc000, 0x4000}, {0x5c, 0, 0xd0000, 0x4000},
        {0x5c, 4, 0xd4000, 0x4000},  {0x5d, 0, 0xd8000, 0x4000}, {0x5d, 4, 0xdc000, 0x4000},
        {0x5e, 0, 0xe0000, 0x4000},  {0x5e, 4, 0xe4000, 0x4000}, {0x5f, 0, 0xe8000, 0x4000},
        {0x5f, 4, 0xec000, 0x4000},
    };
    for (unsigned page = 0xa0; page < 0x100; page++)
        cr_assert_eq(physmem.low[page], 0);
    for (unsigned i = 0; i < ARRAY_LENGTH(areas); i++)
        for (unsigned attributes = 0; attributes < 4; attributes++) {
            uint8_t old = (uint8_t)config_in(0, areas[i].offset, 1);
            uint8_t others = old & ~(3 << areas[i].shift);
            config_out(0, areas[i].offset, 1, others | attributes << areas[i].shift);
            for (unsigned page = areas[i].base >> 12;
                 page < (areas[i].base + areas[i].length) >> 12; page++)
                cr_assert_eq(physmem.low[page], attributes, "page %x", page);
        }
    config_out(0, 0x58, 4, 0xffffffff);
    cr_assert_eq(config_in(0, 0x58, 4), 0x33333000);

    config_out(0, 0x72, 1, 0x4a);
    cr_assert_eq(physmem.low[0xa0], PHYSMEM_READ_RAM | PHYSMEM_WRITE_RAM);
    config_out(0, 0x72, 1, 0x5a); /* lock: closes it, and nothing opens it again */
    cr_assert_eq(config_in(0, 0x72, 1), 0x1a);
    cr_assert_eq(physmem.low[0xbf], 0);
    config_out(0, 0x72, 1, 0x4a);
    cr_assert_eq(config_in(0, 0x72, 1), 0x1a);
    device_reset_all(&devices, RESET_SYSTEM);
    cr_assert_eq(config_in(0, 0x72, 1), 0x02);
    cr_assert_eq(physmem.low[0xf0], 0);
    config_out(0, 0x72, 1, 0x48);
    cr_assert_eq(physmem.low[0xa0], 3, "a reset unlocks");
    tear_down();
}

Test(pci, resets_and_a20)
{
    set_up();
    rig_out(&rig, 0xcf9, 0x02);
    cr_assert_eq(board.hard + board.soft, 0);
    cr_assert_eq(rig_in(&rig, 0xcf9), 0x02);
    rig_out(&rig, 0xcf9, 0x06);
    cr_assert_eq(board.hard, 1);
    rig_out(&rig, 0xcf9, 0x06);
    cr_assert_eq(board.hard, 1, "only the rising bit resets");
    rig_out(&rig, 0xcf9, 0x00);
    rig_out(&rig, 0xcf9, 0x04);
    cr_assert_eq(board.soft, 1);
    rig_out(&rig, 0x92, 0x02);
    cr_assert(board.a20);
    cr_assert_eq(rig_in(&rig, 0x92), 0x02);
    rig_out(&rig, 0x92, 0x03);
    cr_assert_eq(board.soft, 2);
    rig_out(&rig, 0x92, 0x00);
    cr_assert_not(board.a20);
    tear_down();
}

Test(pci, keep_their_state)
{
    set_up();
    config_out(1, 0x60, 4, 0x0b0a0b0a);
    config_out(3, 0x10, 4, 0xc001);
    config_out(3, PCI_COMMAND, 2, 7);
    config_out(0, 0x59, 1, 0x30);
    pci_set_irq(&card[0].function, 1);
    struct save_buffer buffer = {0}, again = {0};
    device_save_all(&devices, &buffer);
    device_reset_all(&devices, RESET_POWER_ON);
    cr_assert_eq(device_load_all(&devices, &buffer, NULL), 0);
    device_save_all(&devices, &again);
    cr_assert_eq(again.length, buffer.length);
    cr_assert(!memcmp(again.bytes, buffer.bytes, buffer.length));
    cr_assert_not_null(bus_find(&rig.ports, 0xc000));
    cr_assert_eq(physmem.low[0xf0], 3);
    pci_set_irq(&card[0].function, 0);
    cr_assert_eq(line_high(), -1);
    save_buffer_free(&buffer);
    save_buffer_free(&again);
    rig_check_reset(&piix3_class, &piix3);
    rig_check_reset(&isa_irqs_class, &irqs);
    rig_check_reset(&pci_bus_class, &pci);
    rig_check_reset(&pci_function_class, &card[0].function);

    unsigned seed = 1;
    for (unsigned round = 0; round < 2000; round++) {
        for (struct device *device = devices.first; device; device = device->next)
            if (device->class != &isa_irqs_class && device->class->state_bytes)
                rig_load_noise(device->class, device->object, &seed);
        for (unsigned i = 0; i < 10; i++) {
            config_out(rand_r(&seed) % 8, rand_r(&seed) % 64 * 4, 4, rand_r(&seed) * 5u);
            config_in(rand_r(&seed) % 8, rand_r(&seed) % 256, 1);
            pci_set_irq(&card[rand_r(&seed) % 3].function, rand_r(&seed) % 2);
        }
    }
    tear_down();
}
