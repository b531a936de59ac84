/* Ends of a run: ACPI power-off through the PIIX4, a reset, a halt. */
#include "demo.h"
#include "io.h"

enum { PIIX4_POWER_ID = 0x71138086, SLEEP_ENABLE = 0x2000 };

_Noreturn void power_halt(void)
{
    for (;;)
        __asm__ volatile("cli; hlt");
}

/* The port of the power management registers, switched on if the firmware has not. */
static uint16_t power_port(void)
{
    for (unsigned device = 0; device < 32; device++) {
        for (unsigned function = 0; function < 8; function++) {
            if (pci_read(device, function, 0) != PIIX4_POWER_ID)
                continue;
            if (!(pci_read(device, function, 0x80) & 1)) {
                pci_write(device, function, 0x40, 0x600);
                pci_write(device, function, 0x80, 1);
            }
            return pci_read(device, function, 0x40) & 0xffc0;
        }
    }
    return 0;
}

_Noreturn void power_off(void)
{
    uint16_t port = power_port();

    print("power off\n");
    __asm__ volatile("cli");
    if (port)
        out16(port + 4, SLEEP_ENABLE); /* PM1 control: sleep type 0 is S5 on this board */
    power_halt();
}

_Noreturn void power_reset(void)
{
    print("reset\n");
    __asm__ volatile("cli");
    out8(0xcf9, 0x06);
    power_halt();
}
