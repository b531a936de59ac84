/* Multiboot 0.6.96 (version 1): ELF kernels, and others that say in their header where they go.
 *
 * Source: "Multiboot Specification version 0.6.96".
 */
#include "machine/boot_info.h"
#include "machine/elf_image.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    MULTIBOOT_SEARCH = 8192,
    WANTS_KNOWN = 0x0007, /* aligned modules, memory information, video mode (not honoured) */
    WANTS_ALL = 0xffff,   /* bits that a loader must know */
    HAS_ADDRESSES = 1 << 16,

    INFO_MEMORY = 1 << 0,
    INFO_COMMAND_LINE = 1 << 2,
    INFO_MODULES = 1 << 3,
    INFO_MEMORY_MAP = 1 << 6,
    INFO_LOADER_NAME = 1 << 9,
};
#define MULTIBOOT_MAGIC  0x1badb002u
#define MULTIBOOT_LOADED 0x2badb002u

struct multiboot_info {
    uint32_t flags, memory_lower_k, memory_upper_k, boot_device, command_line;
    uint32_t module_count, modules, symbols[4];
    uint32_t memory_map_bytes, memory_map;
    uint32_t drives_bytes, drives, configuration, loader_name, apm;
    uint32_t vbe[7];
};

struct multiboot_module {
    uint32_t start, end, text, reserved;
};

struct multiboot_memory {
    uint32_t size; /* of the rest */
    struct e820_entry entry;
} __attribute__((packed));

/* The header, and where it lies in the file; NULL when there is none. */
static const uint8_t *multiboot_header(const struct boot_file *kernel, uint32_t *offset)
{
    for (*offset = 0; *offset + 12 <= MULTIBOOT_SEARCH; *offset += 4) {
        const uint8_t *at = boot_file_at(kernel, *offset, 12);
        if (!at)
            return NULL;
        if (load_le32(at) == MULTIBOOT_MAGIC &&
            load_le32(at) + load_le32(at + 4) + load_le32(at + 8) == 0)
            return at;
    }
    return NULL;
}

bool boot_is_multiboot(const struct boot_file *kernel)
{
    uint32_t offset;
    return multiboot_header(kernel, &offset) != NULL;
}

static int multiboot_bad(const struct boot *boot, const char *why, struct error *error)
{
    return error_set(error, ENOEXEC, "%s: %s; check the file given to -kernel", boot->kernel.name,
                     why);
}

/* A kernel that gives load_addr, load_end_addr, bss_end_addr and entry_addr. */
static int multiboot_load_flat(struct boot *boot, uint32_t offset, uint64_t *end,
                               struct error *error)
{
    const uint8_t *header = boot_file_at(&boot->kernel, offset, 32);
    if (!header)
        return multiboot_bad(boot, "truncated multiboot header", error);
    uint32_t header_address = load_le32(header + 12), load_address = load_le32(header + 16);
    uint32_t load_end = load_le32(header + 20), bss_end = load_le32(header + 24);
    if (load_address > header_address || header_address - load_address > offset)
        return multiboot_bad(boot, "multiboot header that begins before the file", error);
    uint32_t file_offset = offset - (header_address - load_address);
    uint64_t length =
        load_end ? (uint64_t)load_end - load_address : boot->kernel.length - file_offset;
    if (load_end && load_end < load_address)
        return multiboot_bad(boot, "multiboot header with its end before its start", error);
    const uint8_t *bytes = boot_file_at(&boot->kernel, file_offset, length);
    if (!bytes)
        return multiboot_bad(boot, "truncated multiboot kernel", error);
    *end = load_address + length;
    int result = boot_place(boot, load_address, bytes, length, "the kernel", error);
    if (result == 0 && bss_end > *end) {
        result = boot_clear(boot, *end, bss_end - *end, "the kernel", error);
        *end = bss_end;
    }
    boot->entry.rip = load_le32(header + 28);
    return result;
}

static int multiboot_load_elf(struct boot *boot, uint64_t *end, struct error *error)
{
    struct elf_image image;
    int result = elf_open(&image, &boot->kernel, error);
    if (result == 0)
        result = elf_load(&image, boot, end, error);
    if (result == 0)
        boot->entry.rip = (uint32_t)elf_physical_entry(&image);
    return result;
}

static int multiboot_put_modules(struct boot *boot, uint64_t from, struct multiboot_info *info,
                                 struct error *error)
{
    struct boot_module modules[BOOT_MODULES_MAX];
    struct multiboot_module list[BOOT_MODULES_MAX];
    unsigned count;
    int result = boot_place_modules(boot, from, modules, &count, error);
    if (result < 0 || count == 0)
        return result;
    for (unsigned i = 0; i < count; i++)
        list[i] = (struct multiboot_module){modules[i].start, modules[i].start + modules[i].length,
                                            modules[i].text, 0};
    info->flags |= INFO_MODULES;
    info->module_count = count;
    return boot_info_put(boot, list, count * sizeof list[0], &info->modules, error);
}

static int multiboot_put_memory(struct boot *boot, struct multiboot_info *info, struct error *error)
{
    struct multiboot_memory map[E820_ENTRIES_MAX];
    for (unsigned i = 0; i < boot->e820.count; i++)
        map[i] = (struct multiboot_memory){sizeof map[i].entry, boot->e820.entries[i]};
    info->flags |= INFO_MEMORY | INFO_MEMORY_MAP;
    info->memory_lower_k = EBDA_ADDRESS / 1024;
    info->memory_upper_k = (uint32_t)((boot->memory_end - HIGH_MEMORY) / 1024);
    info->memory_map_bytes = boot->e820.count * (uint32_t)sizeof map[0];
    return boot_info_put(boot, map, info->memory_map_bytes, &info->memory_map, error);
}

/* The command line begins with the kernel's name. */
static int multiboot_put_texts(struct boot *boot, struct multiboot_info *info, struct error *error)
{
    static const char loader[] = "ring3";
    char line[4096];
    int length = snprintf(line, sizeof line, "%s%s%s", boot->kernel.name,
                          *boot->command_line ? " " : "", boot->command_line);
    if ((size_t)length >= sizeof line)
        return error_set(error, E2BIG, "-append: %d characters; a multiboot kernel takes %zu",
                         length, sizeof line - 1);
    info->flags |= INFO_COMMAND_LINE | INFO_LOADER_NAME;
    int result = boot_info_put(boot, line, (size_t)length + 1, &info->command_line, error);
    if (result == 0)
        result = boot_info_put(boot, loader, sizeof loader, &info->loader_name, error);
    return result;
}

int boot_multiboot(struct boot *boot, struct error *error)
{
    struct multiboot_info info = {0};
    uint32_t offset, address = 0;
    uint64_t end = 0;
    const uint8_t *header = multiboot_header(&boot->kernel, &offset);
    if (!header)
        return multiboot_bad(boot, "no multiboot header", error);
    uint32_t wants = load_le32(header + 4);
    if (wants & WANTS_ALL & ~WANTS_KNOWN)
        return multiboot_bad(boot, "multiboot kernel that needs features unknown here", error);
    boot->entry = (struct boot_entry){.rax = MULTIBOOT_LOADED};
    int result = wants & HAS_ADDRESSES ? multiboot_load_flat(boot, offset, &end, error)
                                       : multiboot_load_elf(boot, &end, error);
    if (result == 0)
        result = multiboot_put_memory(boot, &info, error);
    if (result == 0)
        result = multiboot_put_texts(boot, &info, error);
    if (result == 0)
        result = multiboot_put_modules(boot, end > HIGH_MEMORY ? end : HIGH_MEMORY, &info, error);
    if (result == 0)
        result = boot_info_put(boot, &info, sizeof info, &address, error);
    boot->entry.rbx = address;
    return result;
}
