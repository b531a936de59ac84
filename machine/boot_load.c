#include "machine/boot.h"

int boot_load(struct boot *boot, struct error *error)
{
    if (boot_is_multiboot(&boot->kernel))
        return boot_multiboot(boot, error);
    if (boot_is_elf(&boot->kernel))
        return boot_elf(boot, error);
    return boot_linux(boot, error);
}
