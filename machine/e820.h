/* The memory map that firmware gives an operating system (ACPI §15.1). */
#ifndef MACHINE_E820_H
#define MACHINE_E820_H

#include <stddef.h>
#include <stdint.h>

enum { E820_RAM = 1, E820_RESERVED = 2, E820_ACPI = 3, E820_NVS = 4 };

/* As INT 15h, the Linux boot parameters and fw_cfg's "etc/e820" lay it out. */
struct e820_entry {
    uint64_t base, length;
    uint32_t type;
} __attribute__((packed));

enum { E820_ENTRIES_MAX = 16 };

struct e820 {
    struct e820_entry entries[E820_ENTRIES_MAX];
    unsigned count;
};

#define EBDA_ADDRESS     0x9fc00u
#define BIOS_ADDRESS     0xf0000u
#define LOW_MEMORY_END   0xa0000u
#define HIGH_MEMORY      0x100000u
#define FIRMWARE_ADDRESS UINT64_C(0xfffc0000)
#define GIB              UINT64_C(0x40000000)
#define MEMORY_4G        (4 * GIB)

void e820_add(struct e820 *map, uint64_t base, uint64_t length, uint32_t type);
/* The map after direct boot, by address: `below_4g` bytes of RAM from 0 with the ACPI tables from
 * `tables` (a page boundary) on, `above_4g` bytes from 4 GiB on. */
void e820_build(struct e820 *map, uint64_t below_4g, uint64_t above_4g, uint64_t tables);

#endif
