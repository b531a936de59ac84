/* hw/lapic, hw/apic_bus, hw/ioapic against SDM 3A chapter 10 and the 82093AA datasheet. */
#include "hw/ioapic.h"

#include "chip_rig.h"

enum { CPUS = 3 };

enum {
    ID = 0x020,
    VERSION = 0x030,
    TPR = 0x080,
    PPR = 0x0a0,
    EOI = 0x0b0,
    LDR = 0x0d0,
    DFR = 0x0e0,
    SVR = 0x0f0,
    ISR = 0x100,
    TMR = 0x180,
    IRR = 0x200,
    ESR = 0x280,
    ICR_LOW = 0x300,
    ICR_HIGH = 0x310,
    TIMER = 0x320,
    LINT0 = 0x350,
    LINT1 = 0x360,
    ERROR = 0x370,
    INITIAL = 0x380,
    CURRENT = 0x390,
    DIVIDE = 0x3e0,
};

static struct rig rig;
static struct apic_bus bus;
static struct lapic lapics[CPUS];
static struct ioapic ioapic;
static struct {
    int intr;
    unsigned nmis, inits, sipis;
    uint8_t sipi_vector;
} cpus[CPUS];
static int pic_vector;

static void cpu_intr(void *opaque, int level)
{
    cpus[(uintptr_t)opaque].intr = level;
}

static void cpu_nmi(void *opaque)
{
    cpus[(uintptr_t)opaque].nmis++;
}

static void cpu_init(void *opaque)
{
    cpus[(uintptr_t)opaque].inits++;
}

static void cpu_sipi(void *opaque, uint8_t vector)
{
    cpus[(uintptr_t)opaque].sipis++;
    cpus[(uintptr_t)opaque].sipi_vector = vector;
}

static int cpu_acknowledge_pic(void *opaque)
{
    return pic_vector;
}

static uint32_t get(unsigned cpu, unsigned offset)
{
    uint64_t value = 0;
    cr_assert(lapic_mmio_read(&lapics[cpu], LAPIC_BASE_DEFAULT + offset, 4, &value));
    return (uint32_t)value;
}

static void set(unsigned cpu, unsigned offset, uint32_t value)
{
    cr_assert(lapic_mmio_write(&lapics[cpu], LAPIC_BASE_DEFAULT + offset, 4, value));
}

static void set_up(void)
{
    rig_init(&rig);
    memset(cpus, 0, sizeof cpus);
    apic_bus_init(&bus);
    for (uintptr_t i = 0; i < CPUS; i++) {
        struct lapic_cpu pins = {.set_intr = cpu_intr,
                                 .nmi = cpu_nmi,
                                 .init = cpu_init,
                                 .sipi = cpu_sipi,
                                 .acknowledge_pic = cpu_acknowledge_pic,
                                 .opaque = (void *)i};
        lapic_attach(&lapics[i], (unsigned)i, &bus, &rig.clock, &pins);
        lapic_class.reset(&lapics[i], RESET_POWER_ON);
        set((unsigned)i, SVR, 0x1ff);
    }
    ioapic_attach(&ioapic, &rig.memory, &bus);
    ioapic_class.reset(&ioapic, RESET_POWER_ON);
}

static void send(unsigned cpu, uint32_t destination, uint32_t command)
{
    set(cpu, ICR_HIGH, destination << 24);
    set(cpu, ICR_LOW, command);
}

static uint32_t io_get(unsigned reg)
{
    bus_write(&rig.memory, IOAPIC_ADDRESS, 4, reg);
    return (uint32_t)bus_read(&rig.memory, IOAPIC_ADDRESS + 0x10, 4);
}

static void io_set(unsigned reg, uint32_t value)
{
    bus_write(&rig.memory, IOAPIC_ADDRESS, 4, reg);
    bus_write(&rig.memory, IOAPIC_ADDRESS + 0x10, 4, value);
}

static void route(unsigned pin, uint32_t destination, uint32_t low)
{
    io_set(0x11 + 2 * pin, destination << 24);
    io_set(0x10 + 2 * pin, low);
}

Test(apic, registers_after_reset)
{
    set_up();
    lapic_class.reset(&lapics[1], RESET_SYSTEM);
    cr_assert_eq(get(1, ID), 1u << 24);
    cr_assert_eq(get(1, VERSION), 0x50014);
    cr_assert_eq(get(1, SVR), 0xff);
    cr_assert_eq(get(1, DFR), 0xffffffff);
    cr_assert_eq(get(1, LDR), 0);
    for (unsigned offset = TIMER; offset <= ERROR; offset += 0x10)
        cr_assert_eq(get(1, offset), 0x10000);
    cr_assert_eq(get(1, CURRENT), 0);
    cr_assert_eq(lapics[0].state.base, 0xfee00900);
    cr_assert_eq(lapics[1].state.base, 0xfee00800);
    uint64_t value;
    cr_assert_not(lapic_mmio_read(&lapics[0], LAPIC_BASE_DEFAULT + 0x1000, 4, &value));
    cr_assert_not(lapic_mmio_read(&lapics[0], LAPIC_BASE_DEFAULT - 4, 4, &value));
    set(1, TIMER, 0xffffffff);
    cr_assert_eq(get(1, TIMER), 0x700ff);
    set(1, TIMER, 0);
    cr_assert_eq(get(1, TIMER), 0x10000, "masked while software-disabled");
    rig_free(&rig);
}

Test(apic, priorities)
{
    set_up();
    send(0, 0, 0x40 | 1 << 18);
    cr_assert_eq(cpus[0].intr, 1);
    cr_assert_eq(get(0, IRR + 0x20), 1);
    set(0, TPR, 0x40);
    cr_assert_eq(cpus[0].intr, 0, "its class is not above the task's");
    set(0, TPR, 0x3f);
    cr_assert_eq(cpus[0].intr, 1);
    cr_assert_eq(get(0, PPR), 0x3f);
    cr_assert_eq(lapic_acknowledge(&lapics[0]), 0x40);
    cr_assert_eq(get(0, IRR + 0x20), 0);
    cr_assert_eq(get(0, ISR + 0x20), 1);
    cr_assert_eq(get(0, PPR), 0x40);
    cr_assert_eq(cpus[0].intr, 0);
    send(0, 0, 0x4f | 1 << 18);
    cr_assert_eq(cpus[0].intr, 0, "the same class waits");
    send(0, 0, 0x51 | 1 << 18);
    cr_assert_eq(cpus[0].intr, 1, "a higher one does not");
    cr_assert_eq(lapic_acknowledge(&lapics[0]), 0x51);
    set(0, EOI, 0);
    cr_assert_eq(get(0, PPR), 0x40, "the EOI ended the highest");
    cr_assert_eq(cpus[0].intr, 0);
    set(0, EOI, 0);
    cr_assert_eq(lapic_acknowledge(&lapics[0]), 0x4f);
    set(0, EOI, 0);
    cr_assert_eq(lapic_acknowledge(&lapics[0]), -1);
    set(0, EOI, 0); /* with nothing in service */
    lapic_set_cr8(&lapics[0], 5);
    cr_assert_eq(get(0, TPR), 0x50);
    cr_assert_eq(lapic_cr8(&lapics[0]), 5);
    rig_free(&rig);
}

Test(apic, destinations)
{
    set_up();
    static const struct {
        uint32_t destination, command;
        unsigned reached; /* bit a processor */
    } messages[] = {
        {1, 0x50, 2},
        {2, 0x51, 4},
        {0xff, 0x52, 7},
        {5, 0x53, 0},
        {0, 0x54 | 1 << 18, 1},
        {0, 0x55 | 2 << 18, 7},
        {0, 0x56 | 3 << 18, 6},
        {0x02, 0x57 | 1 << 11, 2}, /* logical, flat */
        {0x05, 0x58 | 1 << 11, 5},
        {0xff, 0x59 | 1 << 11, 7},
        {0x08, 0x5a | 1 << 11, 0},
    };
    for (unsigned i = 0; i < CPUS; i++)
        set(i, LDR, 1u << (24 + i));
    for (unsigned n = 0; n < ARRAY_LENGTH(messages); n++) {
        send(0, messages[n].destination, messages[n].command);
        for (unsigned i = 0; i < CPUS; i++) {
            int expected = messages[n].reached >> i & 1 ? (int)(messages[n].command & 0xff) : -1;
            cr_assert_eq(lapic_acknowledge(&lapics[i]), expected, "message %u, cpu %u", n, i);
            set(i, EOI, 0);
        }
    }
    for (unsigned i = 0; i < CPUS; i++) { /* cluster model: 1.1, 1.2, 2.1 */
        set(i, DFR, 0);
        cr_assert_eq(get(i, DFR), 0x0fffffff);
        set(i, LDR, (uint32_t)(i < 2 ? 0x11 + i : 0x21) << 24);
    }
    send(0, 0x13, 0x60 | 1 << 11);
    cr_assert_eq(lapic_acknowledge(&lapics[0]), 0x60);
    cr_assert_eq(lapic_acknowledge(&lapics[1]), 0x60);
    cr_assert_eq(lapic_acknowledge(&lapics[2]), -1);
    send(0, 0xff, 0x70 | 1 << 11);
    cr_assert_eq(lapic_acknowledge(&lapics[2]), 0x70);
    rig_free(&rig);
}

Test(apic, lowest_priority_picks_one)
{
    set_up();
    for (unsigned i = 0; i < CPUS; i++)
        set(i, LDR, 1u << (24 + i));
    set(0, TPR, 0x30);
    set(1, TPR, 0x10);
    set(2, TPR, 0x20);
    send(0, 0x07, 0x41 | 1 << 11 | APIC_LOWEST << 8);
    cr_assert_eq(lapic_acknowledge(&lapics[1]), 0x41);
    cr_assert_eq(cpus[0].intr + cpus[2].intr, 0);
    send(0, 0x07, 0x42 | 1 << 11 | APIC_LOWEST << 8); /* 1 is busy at 40h now */
    cr_assert_eq(lapic_acknowledge(&lapics[2]), 0x42);
    rig_free(&rig);
}

Test(apic, nmi_init_and_startup)
{
    set_up();
    set(1, LINT0, 0x700);
    send(0, 1, 0x4000 | APIC_NMI << 8);
    cr_assert_eq(cpus[1].nmis, 1);
    send(0, 1, 0xc500);
    cr_assert_eq(cpus[1].inits, 1);
    cr_assert_eq(get(1, LINT0), 0x10000, "INIT resets the APIC");
    cr_assert_eq(get(1, ID), 1u << 24);
    send(0, 1, 0x8500); /* INIT level de-assert */
    cr_assert_eq(cpus[1].inits, 1);
    send(0, 1, 0x4608);
    cr_assert_eq(cpus[1].sipis, 1);
    cr_assert_eq(cpus[1].sipi_vector, 0x08);
    send(0, 0, 0xc4500);
    cr_assert_eq(cpus[1].inits + cpus[2].inits, 3, "all but self");
    cr_assert_eq(cpus[0].inits, 0);
    cr_assert_eq(get(0, ICR_LOW) & 1 << 12, 0, "never pending");
    rig_free(&rig);
}

Test(apic, errors)
{
    set_up();
    set(0, ERROR, 0xfe);
    send(0, 0, 0x0f);
    set(0, ESR, 0);
    cr_assert_eq(get(0, ESR), 0x20, "an illegal vector was sent");
    cr_assert_eq(lapic_acknowledge(&lapics[0]), 0xfe);
    set(0, EOI, 0);
    apic_bus_send_msi(&bus, 0xfee00000, 0x05);
    cr_assert_eq(get(0, ESR), 0x20);
    set(0, ESR, 0);
    cr_assert_eq(get(0, ESR), 0x40, "… was received");
    set(0, ESR, 0);
    cr_assert_eq(get(0, ESR), 0);
    get(0, 0x040);
    set(0, ESR, 0);
    cr_assert_eq(get(0, ESR), 0x80, "no such register");
    rig_free(&rig);
}

Test(apic, software_disabled)
{
    set_up();
    set(0, TIMER, 0x40);
    set(0, SVR, 0xff);
    cr_assert_eq(get(0, TIMER), 0x10040);
    send(1, 0, 0x50);
    cr_assert_eq(cpus[0].intr, 0);
    cr_assert_eq(get(0, IRR + 0x20), 0);
    send(1, 0, 0x4000 | APIC_NMI << 8);
    cr_assert_eq(cpus[0].nmis, 1, "NMIs pass");
    rig_free(&rig);
}

Test(apic, the_8259s_come_through_lint0)
{
    set_up();
    pic_vector = 0x08;
    lapic_set_lint(&lapics[0], 0, 1);
    cr_assert_eq(cpus[0].intr, 0, "masked");
    set(0, LINT0, 0x700);
    cr_assert_eq(cpus[0].intr, 1);
    set(0, TPR, 0xff);
    cr_assert_eq(cpus[0].intr, 1, "ExtINT knows no priority");
    cr_assert_eq(lapic_acknowledge(&lapics[0]), 0x08);
    cr_assert_eq(get(0, ISR), 0, "and no in-service bit");
    lapic_set_lint(&lapics[0], 0, 0);
    cr_assert_eq(cpus[0].intr, 0);
    set(0, LINT0, 0x10700);
    lapic_set_base(&lapics[0], LAPIC_BASE_DEFAULT | LAPIC_BASE_BSP);
    lapic_set_lint(&lapics[0], 0, 1);
    cr_assert_eq(cpus[0].intr, 1, "a disabled APIC is a wire");
    cr_assert_eq(lapic_acknowledge(&lapics[0]), 0x08);
    uint64_t value;
    cr_assert_not(lapic_mmio_read(&lapics[0], LAPIC_BASE_DEFAULT + ID, 4, &value));
    rig_free(&rig);
}

Test(apic, lint_modes)
{
    set_up();
    set(0, LINT1, 0x400);
    lapic_set_lint(&lapics[0], 1, 1);
    lapic_set_lint(&lapics[0], 1, 1);
    cr_assert_eq(cpus[0].nmis, 1);
    set(0, LINT0, 0x8060); /* fixed, level */
    lapic_set_lint(&lapics[0], 0, 1);
    cr_assert_eq(lapic_acknowledge(&lapics[0]), 0x60);
    cr_assert(get(0, LINT0) & 1 << 14, "remote IRR");
    cr_assert_eq(get(0, TMR + 0x30), 1);
    set(0, EOI, 0);
    cr_assert_eq(lapic_acknowledge(&lapics[0]), 0x60, "still high");
    lapic_set_lint(&lapics[0], 0, 0);
    set(0, EOI, 0);
    cr_assert_eq(lapic_acknowledge(&lapics[0]), -1);
    cr_assert_eq(get(0, LINT0), 0x8060);
    rig_free(&rig);
}

Test(apic, timer)
{
    static const struct {
        uint32_t code;
        unsigned divide;
    } divides[] = {{0, 2}, {1, 4}, {2, 8}, {3, 16}, {8, 32}, {9, 64}, {10, 128}, {11, 1}};
    set_up();
    for (unsigned i = 0; i < ARRAY_LENGTH(divides); i++) {
        int64_t period = 1000 * divides[i].divide;
        set(0, DIVIDE, divides[i].code);
        cr_assert_eq(get(0, DIVIDE), divides[i].code);
        set(0, TIMER, 0x40); /* one-shot */
        set(0, INITIAL, 1000);
        rig_run(&rig, period / 4);
        cr_assert_eq(get(0, CURRENT), 750);
        rig_run(&rig, period - period / 4 - 1);
        cr_assert_eq(cpus[0].intr, 0);
        rig_run(&rig, 1);
        cr_assert_eq(lapic_acknowledge(&lapics[0]), 0x40);
        set(0, EOI, 0);
        rig_run(&rig, 10 * period);
        cr_assert_eq(cpus[0].intr, 0);
        cr_assert_eq(get(0, CURRENT), 0);
        cr_assert_eq(clock_deadline_ns(&rig.clock), CLOCK_NEVER);

        set(0, TIMER, 0x20041); /* periodic */
        set(0, INITIAL, 1000);
        for (unsigned n = 0; n < 5; n++) {
            rig_run(&rig, period);
            cr_assert_eq(lapic_acknowledge(&lapics[0]), 0x41);
            set(0, EOI, 0);
            cr_assert_eq(cpus[0].intr, 0);
        }
        rig_stall(&rig, 1000 * period + period / 2);
        cr_assert_eq(lapic_acknowledge(&lapics[0]), 0x41);
        set(0, EOI, 0);
        cr_assert_eq(cpus[0].intr, 0, "what a slow host missed is one interrupt");
        cr_assert_eq(get(0, CURRENT), 500);
        set(0, TIMER, 0x30041);
        cr_assert_eq(clock_deadline_ns(&rig.clock), CLOCK_NEVER, "masked: nothing to do");
        rig_run(&rig, period / 4);
        cr_assert_eq(get(0, CURRENT), 250, "but it counts");
        set(0, INITIAL, 0);
        cr_assert_eq(get(0, CURRENT), 0);
    }
    rig_free(&rig);
}

Test(apic, tsc_deadline)
{
    set_up();
    lapic_set_tsc_deadline(&lapics[0], 5000, 5000);
    cr_assert_eq(lapic_tsc_deadline(&lapics[0]), 0, "not in this mode");
    set(0, TIMER, 0x40042);
    set(0, INITIAL, 1000);
    cr_assert_eq(get(0, INITIAL), 0);
    lapic_set_tsc_deadline(&lapics[0], 5000, rig.now + 5000);
    cr_assert_eq(lapic_tsc_deadline(&lapics[0]), 5000);
    rig_run(&rig, 4999);
    cr_assert_eq(cpus[0].intr, 0);
    rig_run(&rig, 1);
    cr_assert_eq(lapic_acknowledge(&lapics[0]), 0x42);
    set(0, EOI, 0);
    cr_assert_eq(lapic_tsc_deadline(&lapics[0]), 0);
    lapic_set_tsc_deadline(&lapics[0], 1, rig.now - 100);
    cr_assert_eq(lapic_acknowledge(&lapics[0]), 0x42, "a deadline in the past fires at once");
    set(0, EOI, 0);
    lapic_set_tsc_deadline(&lapics[0], 9, rig.now + 100);
    lapic_set_tsc_deadline(&lapics[0], 0, 0);
    rig_run(&rig, 1000);
    cr_assert_eq(cpus[0].intr, 0);
    lapic_set_tsc_deadline(&lapics[0], 9, rig.now + 100);
    set(0, TIMER, 0x00042);
    rig_run(&rig, 1000);
    cr_assert_eq(cpus[0].intr, 0, "a change of mode disarms");
    rig_free(&rig);
}

Test(apic, x2apic)
{
    set_up();
    uint64_t value;
    cr_assert_not(lapic_msr_read(&lapics[1], 0x802, &value), "not in this mode");
    for (unsigned i = 0; i < CPUS; i++)
        lapic_set_base(&lapics[i], lapics[i].state.base | LAPIC_BASE_X2APIC);
    cr_assert_not(lapic_mmio_read(&lapics[1], LAPIC_BASE_DEFAULT + ID, 4, &value));
    cr_assert(lapic_msr_read(&lapics[1], 0x802, &value) && value == 1);
    cr_assert(lapic_msr_read(&lapics[1], 0x80d, &value) && value == 2);
    cr_assert_not(lapic_msr_write(&lapics[1], 0x802, 1), "read-only");
    cr_assert_not(lapic_msr_write(&lapics[1], 0x80d, 1));
    cr_assert_not(lapic_msr_read(&lapics[1], 0x80e, &value), "there is no DFR");
    cr_assert_not(lapic_msr_read(&lapics[1], 0x831, &value), "there is no second ICR");
    cr_assert_not(lapic_msr_read(&lapics[1], 0x80b, &value), "write-only");
    cr_assert_not(lapic_msr_write(&lapics[1], 0x80b, 1), "only zero");
    cr_assert_not(lapic_msr_write(&lapics[1], 0x808, 0x100));
    cr_assert(lapic_msr_write(&lapics[0], 0x830, UINT64_C(1) << 32 | 0x77));
    cr_assert_eq(lapic_acknowledge(&lapics[1]), 0x77);
    cr_assert(lapic_msr_write(&lapics[1], 0x80b, 0));
    cr_assert(lapic_msr_write(&lapics[0], 0x830, UINT64_C(0xffffffff) << 32 | 0x78));
    for (unsigned i = 0; i < CPUS; i++) {
        cr_assert_eq(lapic_acknowledge(&lapics[i]), 0x78);
        cr_assert(lapic_msr_write(&lapics[i], 0x80b, 0));
    }
    cr_assert(lapic_msr_write(&lapics[0], 0x830, UINT64_C(6) << 32 | 0x879)); /* logical, 0 */
    cr_assert_eq(lapic_acknowledge(&lapics[0]), -1);
    cr_assert_eq(lapic_acknowledge(&lapics[1]), 0x79);
    cr_assert_eq(lapic_acknowledge(&lapics[2]), 0x79);
    cr_assert(lapic_msr_write(&lapics[0], 0x83f, 0x7a));
    cr_assert_eq(lapic_acknowledge(&lapics[0]), 0x7a, "self IPI");
    cr_assert(lapic_msr_read(&lapics[0], 0x830, &value));
    cr_assert_eq(value, UINT64_C(6) << 32 | 0x879, "the ICR is another register");
    rig_free(&rig);
}

Test(ioapic, registers)
{
    set_up();
    cr_assert_eq(io_get(1), 0x00170011);
    io_set(0, 0xffffffff);
    cr_assert_eq(io_get(0), 0x0f000000);
    cr_assert_eq(io_get(2), 0x0f000000);
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        cr_assert_eq(io_get(0x10 + 2 * pin), 0x10000);
        route(pin, 0xff, 0xffffffff);
        cr_assert_eq(io_get(0x10 + 2 * pin), 0x1afff, "status and remote IRR are read-only");
        cr_assert_eq(io_get(0x11 + 2 * pin), 0xff000000);
    }
    cr_assert_eq(io_get(0x40), 0);
    io_set(0x40, 1);
    cr_assert_eq(bus_read(&rig.memory, IOAPIC_ADDRESS + 0x20, 4), 0);
    cr_assert_eq(bus_read(&rig.memory, IOAPIC_ADDRESS, 1), 0x40);
    rig_free(&rig);
}

Test(ioapic, edges)
{
    set_up();
    ioapic_set_irq(&ioapic, 4, 1);
    route(4, 0, 0x34);
    cr_assert_eq(cpus[0].intr, 0, "an edge behind a mask is lost");
    ioapic_set_irq(&ioapic, 4, 0);
    ioapic_set_irq(&ioapic, 4, 1);
    cr_assert_eq(lapic_acknowledge(&lapics[0]), 0x34);
    cr_assert_eq(get(0, TMR + 0x10), 0);
    set(0, EOI, 0);
    cr_assert_eq(cpus[0].intr, 0);
    ioapic_set_irq(&ioapic, 4, 1);
    cr_assert_eq(cpus[0].intr, 0);
    rig_free(&rig);
}

Test(ioapic, levels)
{
    set_up();
    route(10, 1, 0x8045);
    ioapic_set_irq(&ioapic, 10, 1);
    cr_assert_eq(cpus[1].intr, 1);
    cr_assert_eq(io_get(0x24), 0xc045, "remote IRR");
    cr_assert_eq(lapic_acknowledge(&lapics[1]), 0x45);
    cr_assert_eq(get(1, TMR + 0x20), 1 << 5);
    ioapic_set_irq(&ioapic, 10, 1);
    cr_assert_eq(cpus[1].intr, 0);
    set(1, EOI, 0);
    cr_assert_eq(cpus[1].intr, 1, "still high: sent again");
    cr_assert_eq(lapic_acknowledge(&lapics[1]), 0x45);
    ioapic_set_irq(&ioapic, 10, 0);
    set(1, EOI, 0);
    cr_assert_eq(cpus[1].intr, 0);
    cr_assert_eq(io_get(0x24), 0x8045);

    route(10, 1, 0x18045); /* masked: a level waits */
    ioapic_set_irq(&ioapic, 10, 1);
    cr_assert_eq(cpus[1].intr, 0);
    route(10, 1, 0x8045);
    cr_assert_eq(lapic_acknowledge(&lapics[1]), 0x45);
    route(10, 1, 0x10045); /* software ends it: edge, then level again */
    cr_assert_eq(io_get(0x24), 0x10045);
    route(10, 1, 0x8045);
    cr_assert_eq(get(1, IRR + 0x20), 1 << 5);
    rig_free(&rig);
}

Test(ioapic, other_delivery_modes)
{
    set_up();
    route(1, 2, 0x0400);
    ioapic_set_irq(&ioapic, 1, 1);
    cr_assert_eq(cpus[2].nmis, 1);
    route(2, 0xff, 0x0033);
    ioapic_set_irq(&ioapic, 2, 1);
    for (unsigned i = 0; i < CPUS; i++)
        cr_assert_eq(lapic_acknowledge(&lapics[i]), 0x33);
    route(3, 9, 0x8044);
    ioapic_set_irq(&ioapic, 3, 1);
    cr_assert_eq(io_get(0x16) & 1 << 14, 0, "nobody took it");
    ioapic_set_irq(&ioapic, 24, 1); /* no such pin */
    ioapic_set_irq(&ioapic, -1, 1);
    apic_bus_send_msi(&bus, 0xfee01000, 0x0066);
    cr_assert_eq(get(1, IRR + 0x30), 1 << 6);
    rig_free(&rig);
}

Test(apic, keep_their_state)
{
    set_up();
    set(0, TIMER, 0x20041);
    set(0, DIVIDE, 3);
    set(0, INITIAL, 100000);
    send(1, 0, 0x50);
    send(1, 0, 0x60);
    lapic_acknowledge(&lapics[0]);
    rig_run(&rig, 1000);
    rig_check_round_trip(&lapic_class, &lapics[0]);
    cr_assert_eq(cpus[0].intr, 0);
    set(0, EOI, 0);
    cr_assert_eq(lapic_acknowledge(&lapics[0]), 0x50);
    set(0, EOI, 0);
    rig_run(&rig, 1600000);
    cr_assert_eq(lapic_acknowledge(&lapics[0]), 0x41);
    route(7, 1, 0x8045);
    ioapic_set_irq(&ioapic, 7, 1);
    rig_check_round_trip(&ioapic_class, &ioapic);
    rig_check_reset(&ioapic_class, &ioapic);
    rig_check_reset(&lapic_class, &lapics[0]);
    unsigned seed = 1;
    for (unsigned round = 0; round < 3000; round++) {
        rig_load_noise(&lapic_class, &lapics[0], &seed);
        rig_load_noise(&ioapic_class, &ioapic, &seed);
        lapics[0].state.base = LAPIC_BASE_DEFAULT | LAPIC_BASE_ENABLE;
        if (round % 2) {
            lapics[0].state.timer_start_ns = rig.now - rand_r(&seed) % 100000;
            lapics[0].state.timer_settled_ns = rig.now;
            lapics[0].state.timer_deadline_ns = rig.now + rand_r(&seed) % 100000;
        }
        if (lapic_class.after_load(&lapics[0], NULL) < 0)
            continue;
        for (unsigned i = 0; i < 10; i++) {
            set(0, rand_r(&seed) % 64 * 16, (uint32_t)rand_r(&seed));
            uint64_t value;
            lapic_mmio_read(&lapics[0], LAPIC_BASE_DEFAULT + rand_r(&seed) % 0x1000, 4, &value);
            ioapic_set_irq(&ioapic, rand_r(&seed) % 24, rand_r(&seed) % 2);
            lapic_acknowledge(&lapics[0]);
        }
        rig_stall(&rig, 100000);
    }
    rig_free(&rig);
}
