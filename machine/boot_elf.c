/* PVH: an ELF kernel entered in 32-bit protected mode with a start-info block.
 *
 * Source: Xen docs/misc/pvh.pandoc, xen/include/public/arch-x86/hvm/start_info.h (layout).
 */
#include "machine/boot_info.h"
#include "machine/elf_image.h"

#include <errno.h>
#include <string.h>

enum { NOTE_PHYS32_ENTRY = 18, START_INFO_VERSION = 1 };
#define START_INFO_MAGIC 0x336ec578u

struct start_info {
    uint32_t magic, version, flags, module_count;
    uint64_t modules, command_line, rsdp, memory_map;
    uint32_t memory_map_count, reserved;
};

struct start_module {
    uint64_t address, bytes, command_line, reserved;
};

struct start_memory {
    uint64_t address, bytes;
    uint32_t type, reserved;
};

bool boot_is_elf(const struct boot_file *kernel)
{
    const uint8_t *magic = boot_file_at(kernel, 0, 4);
    return magic && !memcmp(magic, "\177ELF", 4);
}

static int elf_put_memory(struct boot *boot, struct start_info *info, struct error *error)
{
    struct start_memory map[E820_ENTRIES_MAX];
    uint32_t address = 0;
    for (unsigned i = 0; i < boot->e820.count; i++)
        map[i] = (struct start_memory){boot->e820.entries[i].base, boot->e820.entries[i].length,
                                       boot->e820.entries[i].type, 0};
    int result = boot_info_put(boot, map, boot->e820.count * sizeof map[0], &address, error);
    info->memory_map = address;
    info->memory_map_count = boot->e820.count;
    return result;
}

/* The initrd is the only module, whatever commas its name has. */
static int elf_put_initrd(struct boot *boot, uint64_t kernel_end, struct start_info *info,
                          struct error *error)
{
    struct boot_file initrd;
    int result = boot_read_file(&initrd, boot->initrd, "-initrd", error);
    if (result < 0)
        return result;
    uint64_t start =
        boot->memory_end > initrd.length ? (boot->memory_end - initrd.length) & PAGE_MASK : 0;
    const struct start_module module = {start, initrd.length, 0, 0};
    uint32_t address = 0;
    if (start < kernel_end)
        result = error_set(error, ENOMEM,
                           "%s: %zu bytes of initrd do not fit above the kernel's end at %#llx; "
                           "give more memory with -m",
                           initrd.name, initrd.length, (unsigned long long)kernel_end);
    if (result == 0)
        result = boot_place(boot, start, initrd.bytes, initrd.length, "the initrd", error);
    boot_file_free(&initrd);
    if (result == 0)
        result = boot_info_put(boot, &module, sizeof module, &address, error);
    info->modules = address;
    info->module_count = 1;
    return result;
}

int boot_elf(struct boot *boot, struct error *error)
{
    struct elf_image image;
    uint64_t entry, end;
    uint32_t address = 0;
    int result = elf_open(&image, &boot->kernel, error);
    if (result < 0)
        return result;
    if (!elf_note(&image, "Xen", NOTE_PHYS32_ENTRY, &entry))
        return error_set(error, ENOEXEC,
                         "%s: ELF file with neither a PVH note nor a multiboot header; build the "
                         "kernel with one of them, or take its bzImage",
                         boot->kernel.name);
    struct start_info info = {
        .magic = START_INFO_MAGIC,
        .version = START_INFO_VERSION,
        .command_line = BOOT_COMMAND_LINE,
        .rsdp = boot->rsdp,
    };
    result = elf_load(&image, boot, &end, error);
    if (result == 0)
        result = boot_place_command_line(boot, BOOT_COMMAND_LINE_BYTES - 1, error);
    if (result == 0)
        result = elf_put_memory(boot, &info, error);
    if (result == 0 && boot->initrd)
        result = elf_put_initrd(boot, end, &info, error);
    if (result == 0)
        result = boot_info_put(boot, &info, sizeof info, &address, error);
    boot->entry = (struct boot_entry){.rip = (uint32_t)entry, .rbx = address};
    return result;
}
