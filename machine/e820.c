#include "machine/e820.h"

#include "base/error.h"

void e820_add(struct e820 *map, uint64_t base, uint64_t length, uint32_t type)
{
    if (length == 0)
        return;
    BUG_ON(map->count == E820_ENTRIES_MAX);
    map->entries[map->count++] = (struct e820_entry){base, length, type};
}

void e820_build(struct e820 *map, uint64_t below_4g, uint64_t above_4g, uint64_t tables)
{
    map->count = 0;
    e820_add(map, 0, EBDA_ADDRESS, E820_RAM);
    e820_add(map, EBDA_ADDRESS, LOW_MEMORY_END - EBDA_ADDRESS, E820_RESERVED);
    e820_add(map, BIOS_ADDRESS, HIGH_MEMORY - BIOS_ADDRESS, E820_RESERVED);
    if (tables > HIGH_MEMORY)
        e820_add(map, HIGH_MEMORY, tables - HIGH_MEMORY, E820_RAM);
    if (below_4g > tables)
        e820_add(map, tables, below_4g - tables, E820_ACPI);
    e820_add(map, FIRMWARE_ADDRESS, MEMORY_4G - FIRMWARE_ADDRESS, E820_RESERVED);
    e820_add(map, MEMORY_4G, above_4g, E820_RAM);
}
