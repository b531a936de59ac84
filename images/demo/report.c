/* What the demo finds around it: processor, memory, PCI devices, the time of day. */
#include "demo.h"
#include "io.h"

#include <cpuid.h>

void report_processor(void)
{
    uint32_t words[13] = {0};
    uint32_t highest, unused;
    unsigned eax, ebx, ecx, edx;

    __cpuid(0, eax, words[0], words[2], words[1]);
    print("processor: %s", (const char *)words);
    __cpuid(0x80000000, highest, unused, unused, unused);
    if (highest >= 0x80000004) {
        for (unsigned i = 0; i < 3; i++)
            __cpuid(0x80000002 + i, words[4 * i], words[4 * i + 1], words[4 * i + 2],
                    words[4 * i + 3]);
        words[12] = 0;
        print(", %s", (const char *)words);
    }
    __cpuid(1, eax, ebx, ecx, edx);
    unsigned family = eax >> 8 & 15, model = eax >> 4 & 15;
    if (family == 6 || family == 15)
        model |= eax >> 12 & 0xf0;
    if (family == 15)
        family += eax >> 20 & 0xff;
    print("\n  family %u, model %u, stepping %u;", family, model, eax & 15);
    static const struct {
        const char *name;
        bool in_ecx;
        uint8_t bit;
    } features[] = {
        {"fpu", false, 0},    {"tsc", false, 4},    {"apic", false, 9}, {"mmx", false, 23},
        {"sse", false, 25},   {"sse2", false, 26},  {"sse3", true, 0},  {"ssse3", true, 9},
        {"sse4.1", true, 19}, {"sse4.2", true, 20}, {"aes", true, 25},
    };
    for (unsigned i = 0; i < sizeof features / sizeof features[0]; i++)
        if ((features[i].in_ecx ? ecx : edx) >> features[i].bit & 1)
            print(" %s", features[i].name);
    print("\n");
}

struct map_entry {
    uint32_t size; /* of what follows */
    uint32_t base, base_high, length, length_high, type;
};

void report_memory(const struct multiboot *info)
{
    print("memory:\n");
    if (!(info->flags & MULTIBOOT_HAS_MAP)) {
        print("  the loader gave no map\n");
        return;
    }
    for (uint32_t at = 0; at < info->map_length;) {
        const struct map_entry *entry = (const void *)(uintptr_t)(info->map + at);
        print("  %08x%08x + %08x%08x  %s\n", entry->base_high, entry->base, entry->length_high,
              entry->length, entry->type == 1 ? "RAM" : "reserved");
        at += entry->size + 4;
    }
}

static const char *pci_class_name(unsigned class)
{
    static const struct {
        uint16_t class;
        const char *name;
    } names[] = {
        {0x0101, "IDE controller"}, {0x0200, "network"},    {0x0300, "VGA"},
        {0x0600, "host bridge"},    {0x0601, "ISA bridge"}, {0x0680, "bridge"},
    };
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].class == class)
            return names[i].name;
    return "device";
}

void report_pci(void)
{
    print("PCI bus 0:\n");
    for (unsigned device = 0; device < 32; device++) {
        unsigned functions = pci_read(device, 0, 0x0c) >> 23 & 1 ? 8 : 1;
        for (unsigned function = 0; function < functions; function++) {
            uint32_t id = pci_read(device, function, 0);
            if ((id & 0xffff) == 0xffff)
                continue;
            unsigned class = pci_read(device, function, 8) >> 16;
            print("  %02x.%u  %04x:%04x  %s\n", device, function, id & 0xffff, id >> 16,
                  pci_class_name(class));
        }
    }
}

static unsigned cmos(uint8_t index)
{
    out8(0x70, index);
    return in8(0x71);
}

void report_time(void)
{
    while (cmos(0x0a) & 0x80) /* an update is under way */
        ;
    print("time: 20%02x-%02x-%02x %02x:%02x:%02x UTC, up for %u.%02u s\n", cmos(9), cmos(8),
          cmos(7), cmos(4), cmos(2), cmos(0), ticks() / 100, ticks() % 100);
}
