/* hw/piix4_pm: ACPI registers where the firmware puts them, the PM timer, power-off, SMBus. */
#include "hw/piix4_pm.h"

#include "chip_rig.h"

static struct rig rig;
static struct pci_bus pci;
static struct piix4_pm pm;
static struct device_list devices;
static unsigned powered_off;

static void power_off(void *opaque)
{
    powered_off++;
}

static void config_out(unsigned offset, unsigned size, uint32_t value)
{
    pci_config_write(&pm.function, offset, size, value);
}

static uint16_t word(uint16_t port)
{
    return (uint16_t)bus_read(&rig.ports, port, 2);
}

static void set_word(uint16_t port, uint16_t value)
{
    bus_write(&rig.ports, port, 2, value);
}

static void set_up(void)
{
    rig_init(&rig);
    powered_off = 0;
    pci_bus_attach(&pci, &rig.ports, &rig.memory, NULL);
    piix4_pm_attach(&pm, &pci, &rig.clock, rig_line(&rig, 0),
                    &(struct piix4_pm_ops){.power_off = power_off});
    device_list_init(&devices);
    pci_register(&pci, &devices);
    device_register(&devices, &piix4_pm_class, &pm);
    device_reset_all(&devices, RESET_POWER_ON);
    cr_assert_null(bus_find(&rig.ports, 0x600));
    config_out(0x40, 4, 0x601); /* as SeaBIOS does */
    config_out(0x80, 1, 0x01);
    config_out(0x90, 4, 0x701);
    config_out(0xd2, 1, 0x09);
}

static void tear_down(void)
{
    device_list_free(&devices);
    rig_free(&rig);
}

Test(piix4_pm, firmware_places_the_blocks)
{
    set_up();
    cr_assert_eq(pci_config_read(&pm.function, 0, 4), 0x71138086);
    cr_assert_eq(pci_config_read(&pm.function, 0x40, 4), 0x601);
    cr_assert_not_null(bus_find(&rig.ports, 0x600));
    cr_assert_not_null(bus_find(&rig.ports, 0x63f));
    cr_assert_null(bus_find(&rig.ports, 0x640));
    config_out(0x40, 4, 0xb001);
    cr_assert_null(bus_find(&rig.ports, 0x600));
    cr_assert_not_null(bus_find(&rig.ports, 0xb000));
    config_out(0x80, 1, 0x00);
    cr_assert_null(bus_find(&rig.ports, 0xb000));
    cr_assert(pci_config_read(&pm.function, 0x58, 4) & 1 << 25, "APMC_EN: SMM is taken care of");
    tear_down();
}

Test(piix4_pm, timer_runs_at_its_rate)
{
    set_up();
    uint32_t before = (uint32_t)bus_read(&rig.ports, 0x608, 4);
    rig_run(&rig, NS_PER_SECOND);
    uint32_t after = (uint32_t)bus_read(&rig.ports, 0x608, 4);
    cr_assert_eq(after - before, PM_TIMER_HZ);
    rig_run(&rig, 10 * NS_PER_SECOND);
    cr_assert_eq(bus_read(&rig.ports, 0x608, 4) >> 24, 0, "24 bits");
    cr_assert_eq(clock_deadline_ns(&rig.clock), CLOCK_NEVER);
    bus_write(&rig.ports, 0x608, 4, 0);
    cr_assert_neq(bus_read(&rig.ports, 0x608, 4), 0);
    tear_down();
}

Test(piix4_pm, timer_status_and_interrupt)
{
    set_up();
    set_word(0x600, 0xffff);
    cr_assert_eq(word(0x600), 0);
    rig_run(&rig, 3 * NS_PER_SECOND); /* the top bit changes every 2.34 s */
    cr_assert_eq(word(0x600), 0x0001);
    set_word(0x600, 0x0001);
    cr_assert_eq(word(0x600), 0);
    rig_out(&rig, 0xb2, PM_ACPI_ENABLE);
    cr_assert_eq(word(0x604), 0x0001);
    set_word(0x602, 0x0001);
    cr_assert_eq(rig.level[0], 0);
    rig_run(&rig, 2400000000);
    cr_assert_eq(rig.level[0], 1);
    rig_run(&rig, 100 * NS_PER_SECOND);
    cr_assert_eq(rig.rises[0], 1);
    set_word(0x600, 0x0001);
    cr_assert_eq(rig.level[0], 0);
    rig_run(&rig, 2400000000);
    cr_assert_eq(rig.level[0], 1);
    rig_out(&rig, 0xb2, PM_ACPI_DISABLE);
    cr_assert_eq(word(0x604), 0x0000);
    cr_assert_eq(rig.level[0], 0);
    tear_down();
}

Test(piix4_pm, power_button)
{
    set_up();
    piix4_pm_press_power_button(&pm);
    cr_assert_eq(rig.level[0], 0);
    cr_assert_eq(word(0x600), 0x0100);
    set_word(0x602, 0x0100);
    rig_out(&rig, 0xb2, PM_ACPI_ENABLE);
    cr_assert_eq(rig.level[0], 1);
    rig_out(&rig, 0x600, 0xff); /* the other byte leaves it alone */
    cr_assert_eq(word(0x600), 0x0100);
    rig_out(&rig, 0x601, 0x01);
    cr_assert_eq(word(0x600), 0x0000);
    cr_assert_eq(rig.level[0], 0);
    tear_down();
}

Test(piix4_pm, sleep_types)
{
    set_up();
    set_word(0x604, 0x0001);
    set_word(0x604, 0x0001 | 1 << 10);
    cr_assert_eq(powered_off, 0, "without SLP_EN nothing happens");
    set_word(0x604, 0x2001 | 1 << 10);
    cr_assert_eq(powered_off, 0, "no suspend to RAM");
    cr_assert_eq(word(0x604), 0x0401, "SLP_EN reads as 0");
    set_word(0x604, 0x2001);
    cr_assert_eq(powered_off, 1);
    set_word(0x604, 0x2001 | 2 << 10);
    cr_assert_eq(powered_off, 2);
    rig_out(&rig, 0x605, 0x20);
    cr_assert_eq(powered_off, 3, "also by bytes");
    tear_down();
}

Test(piix4_pm, general_purpose_events)
{
    set_up();
    rig_out(&rig, 0xb2, PM_ACPI_ENABLE);
    piix4_pm_raise_gpe(&pm, 0x0104);
    cr_assert_eq(rig.level[0], 0);
    rig_out(&rig, 0xafe3, 0x01);
    cr_assert_eq(rig.level[0], 1);
    cr_assert_eq(bus_read(&rig.ports, 0xafe0, 4), 0x01000104);
    rig_out(&rig, 0xafe1, 0x01);
    cr_assert_eq(rig.level[0], 0);
    cr_assert_eq(bus_read(&rig.ports, 0xafe0, 4), 0x01000004);
    tear_down();
}

Test(piix4_pm, smbus_has_no_devices)
{
    set_up();
    rig_out(&rig, 0x704, 0xa1);
    rig_out(&rig, 0x702, 0x48);
    cr_assert_eq(rig_in(&rig, 0x700), 0x04, "device error, not busy");
    rig_out(&rig, 0x700, 0xff);
    cr_assert_eq(rig_in(&rig, 0x700), 0x00);
    cr_assert_eq(rig_in(&rig, 0x704), 0xa1);
    rig_out(&rig, 0xb3, 0x77);
    cr_assert_eq(rig_in(&rig, 0xb3), 0x77);
    tear_down();
}

Test(piix4_pm, keeps_its_state)
{
    set_up();
    rig_out(&rig, 0xb2, PM_ACPI_ENABLE);
    set_word(0x602, 0x0101);
    rig_run(&rig, NS_PER_SECOND);
    rig_check_round_trip(&piix4_pm_class, &pm);
    rig_run(&rig, 2 * NS_PER_SECOND);
    cr_assert_eq(rig.level[0], 1);
    rig_check_reset(&piix4_pm_class, &pm);
    unsigned seed = 1;
    for (unsigned round = 0; round < 3000; round++) {
        rig_load_noise(&piix4_pm_class, &pm, &seed);
        config_out(rand_r(&seed) % 64 * 4, 4, rand_r(&seed) * 3u);
        config_out(0x80, 1, 1);
        uint16_t base = pci_config_read(&pm.function, 0x40, 2) & 0xffc0;
        for (unsigned i = 0; i < 10; i++) {
            bus_write(&rig.ports, base + rand_r(&seed) % 64, 1u << rand_r(&seed) % 3,
                      rand_r(&seed));
            bus_read(&rig.ports, base + rand_r(&seed) % 64, 1u << rand_r(&seed) % 3);
        }
        rig_stall(&rig, 1000000);
    }
    tear_down();
}
