/* The Linux/x86 boot protocol, versions 2.02 and later: bzImage by its 32-bit or 64-bit entry.
 *
 * The part for protected mode is loaded at 1 MiB, where it unpacks itself to its preferred address;
 * the initrd goes as high as kernel and memory allow; the boot parameters ("zero page") tell the
 * rest.  A kernel with a 64-bit entry is entered there when the processor has long mode.
 * LIMIT: no zImage (loaded below 640 KiB; none is built since 2.6.30).
 * Source: Linux Documentation/arch/x86/boot.rst and zero-page.rst.
 */
#include "machine/boot.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

enum {
    /* offsets in the image, and in the boot parameters alike */
    HEADER = 0x1f1,
    SETUP_SECTORS = 0x1f1,
    SYSTEM_SIZE = 0x1f4, /* of the protected-mode part, in 16 bytes */
    BOOT_FLAG = 0x1fe,
    JUMP_LENGTH = 0x201,
    HEADER_MAGIC = 0x202,
    VERSION = 0x206,
    LOADER_TYPE = 0x210,
    LOAD_FLAGS = 0x211,
    ENTRY_32 = 0x214,
    RAMDISK_IMAGE = 0x218,
    RAMDISK_SIZE = 0x21c,
    COMMAND_LINE_POINTER = 0x228,
    INITRD_HIGHEST = 0x22c,
    X_LOAD_FLAGS = 0x236,
    COMMAND_LINE_SIZE = 0x238,
    SETUP_DATA = 0x250,
    PREFERRED_ADDRESS = 0x258,
    INIT_SIZE = 0x260,
    HEADER_LEAST = 0x268,
    /* offsets in the boot parameters */
    SCREEN_INFO = 0x000,
    RSDP = 0x070,
    ALTERNATE_MEMORY_K = 0x1e0,
    E820_COUNT = 0x1e8,
    E820_TABLE = 0x2d0,
    ZERO_PAGE_BYTES = 4096,

    LOADED_HIGH = 1 << 0,
    X_KERNEL_64 = 1 << 0,
    ENTRY_64_OFFSET = 0x200,
    LOADER_UNDEFINED = 0xff,

    SETUP_RNG_SEED = 9,
    SEED_BYTES = 32,
};

struct linux_header {
    uint16_t version, x_load_flags;
    uint32_t setup_bytes, system_bytes, command_line_most, init_size;
    uint64_t initrd_highest, preferred_address;
};

static int linux_not_a_kernel(const struct boot *boot, struct error *error)
{
    return error_set(error, ENOEXEC,
                     "%s: not a kernel (no Linux bzImage, ELF or multiboot header); check the file "
                     "given to -kernel",
                     boot->kernel.name);
}

static int linux_truncated(const struct boot *boot, uint64_t needed, struct error *error)
{
    return error_set(error, ENOEXEC,
                     "%s: truncated kernel: %zu bytes of at least %llu; copy the file again",
                     boot->kernel.name, boot->kernel.length, (unsigned long long)needed);
}

static int linux_parse(const struct boot *boot, struct linux_header *header, struct error *error)
{
    const uint8_t *image = boot_file_at(&boot->kernel, 0, HEADER_LEAST);
    if (!image) {
        const uint8_t *magic = boot_file_at(&boot->kernel, HEADER_MAGIC, 4);
        return magic && !memcmp(magic, "HdrS", 4) ? linux_truncated(boot, HEADER_LEAST, error)
                                                  : linux_not_a_kernel(boot, error);
    }
    if (load_le16(image + BOOT_FLAG) != 0xaa55 || memcmp(image + HEADER_MAGIC, "HdrS", 4))
        return linux_not_a_kernel(boot, error);
    uint16_t version = load_le16(image + VERSION);
    if (version < 0x202 || !(image[LOAD_FLAGS] & LOADED_HIGH))
        return error_set(error, ENOEXEC,
                         "%s: kernel with boot protocol %u.%02u%s; boot it from a disk image, or "
                         "take a bzImage",
                         boot->kernel.name, version >> 8, version & 0xff,
                         image[LOAD_FLAGS] & LOADED_HIGH ? "" : " (zImage)");
    *header = (struct linux_header){
        .version = version,
        .setup_bytes = ((image[SETUP_SECTORS] ? image[SETUP_SECTORS] : 4) + 1u) * 512,
        .command_line_most = version >= 0x206 ? load_le32(image + COMMAND_LINE_SIZE) : 255,
        .initrd_highest = version >= 0x203 ? load_le32(image + INITRD_HIGHEST) : 0x37ffffff,
        .preferred_address = version >= 0x20a ? load_le64(image + PREFERRED_ADDRESS) : HIGH_MEMORY,
        .init_size = version >= 0x20a ? load_le32(image + INIT_SIZE) : 0,
        .x_load_flags = version >= 0x20c ? load_le16(image + X_LOAD_FLAGS) : 0,
    };
    uint64_t needed = header->setup_bytes;
    if (version >= 0x204)
        needed += (uint64_t)load_le32(image + SYSTEM_SIZE) * 16;
    /* WHY: the size is rounded up to 16 bytes, the file need not be. */
    if (boot->kernel.length <= header->setup_bytes || boot->kernel.length + 15 < needed)
        return linux_truncated(boot, needed, error);
    if (load_le32(image + ENTRY_32) == 0)
        return error_set(error, ENOEXEC,
                         "%s: this kernel can only be started by a BIOS; boot it from a disk image",
                         boot->kernel.name);
    header->system_bytes = (uint32_t)(boot->kernel.length - header->setup_bytes);
    if (header->x_load_flags & X_KERNEL_64 && !boot->has_long_mode)
        return error_set(error, ENOEXEC,
                         "%s: a 64-bit kernel, and the processor is 32-bit; use -cpu qemu64",
                         boot->kernel.name);
    return 0;
}

/* First address that is not the kernel's, while it unpacks itself and starts. */
static uint64_t linux_kernel_end(const struct linux_header *header)
{
    uint64_t loaded = HIGH_MEMORY + (uint64_t)header->system_bytes;
    uint64_t unpacked = header->preferred_address + header->init_size;
    return loaded > unpacked ? loaded : unpacked;
}

static int linux_place_initrd(struct boot *boot, const struct linux_header *header,
                              uint8_t *parameters, struct error *error)
{
    struct boot_file initrd;
    int result = boot_read_file(&initrd, boot->initrd, "-initrd", error);
    if (result < 0)
        return result;
    uint64_t end = boot->memory_end;
    if (end > header->initrd_highest + 1)
        end = header->initrd_highest + 1;
    uint64_t lowest = linux_kernel_end(header);
    uint64_t start = end > initrd.length ? (end - initrd.length) & PAGE_MASK : 0;
    if (start < lowest) {
        result = error_set(error, ENOMEM,
                           "%s: %zu bytes of initrd do not fit between the kernel's end at %#llx "
                           "and %#llx; give more memory with -m",
                           initrd.name, initrd.length, (unsigned long long)lowest,
                           (unsigned long long)end);
    } else {
        store_le32(parameters + RAMDISK_IMAGE, (uint32_t)start);
        store_le32(parameters + RAMDISK_SIZE, (uint32_t)initrd.length);
        result = boot_place(boot, start, initrd.bytes, initrd.length, "the initrd", error);
    }
    boot_file_free(&initrd);
    return result;
}

/* A seed for the kernel's random numbers, so that an idle guest need not wait for entropy. */
static int linux_place_seed(struct boot *boot, uint8_t *parameters, struct error *error)
{
    uint8_t node[16 + SEED_BYTES] = {0};
    store_le32(node + 8, SETUP_RNG_SEED);
    store_le32(node + 12, SEED_BYTES);
    if (getrandom(node + 16, SEED_BYTES, GRND_NONBLOCK) != SEED_BYTES)
        return 0;
    store_le64(parameters + SETUP_DATA, BOOT_SETUP_DATA);
    return boot_place(boot, BOOT_SETUP_DATA, node, sizeof node, "the setup data", error);
}

/* The screen as the VGA BIOS leaves it: mode 3, 80 by 25, 8 by 16 characters. */
static void linux_describe_screen(uint8_t *parameters)
{
    uint8_t *screen = parameters + SCREEN_INFO;
    screen[0x06] = 3;
    screen[0x07] = 80;
    store_le16(screen + 0x0a, 3);
    screen[0x0e] = 25;
    screen[0x0f] = 1;
    store_le16(screen + 0x10, 16);
}

static void linux_describe_memory(const struct boot *boot, uint8_t *parameters)
{
    uint64_t extended_k = (boot->memory_end - HIGH_MEMORY) / 1024;
    store_le32(parameters + ALTERNATE_MEMORY_K, (uint32_t)extended_k);
    store_le16(parameters + SCREEN_INFO + 2, extended_k > 0xfc00 ? 0xfc00 : (uint16_t)extended_k);
    parameters[E820_COUNT] = (uint8_t)boot->e820.count;
    memcpy(parameters + E820_TABLE, boot->e820.entries,
           boot->e820.count * sizeof boot->e820.entries[0]);
}

int boot_linux(struct boot *boot, struct error *error)
{
    uint8_t parameters[ZERO_PAGE_BYTES] = {0};
    struct linux_header header = {0};
    int result = linux_parse(boot, &header, error);
    if (result < 0)
        return result;
    const uint8_t *image = boot->kernel.bytes;
    /* WHY: the jump over the header tells where the header ends (boot.rst, "setup_header"). */
    size_t header_bytes = HEADER_MAGIC + image[JUMP_LENGTH] - HEADER;
    if (header_bytes > E820_TABLE - HEADER)
        header_bytes = E820_TABLE - HEADER;
    memcpy(parameters + HEADER, image + HEADER, header_bytes);
    parameters[LOADER_TYPE] = LOADER_UNDEFINED;
    store_le32(parameters + COMMAND_LINE_POINTER, BOOT_COMMAND_LINE);
    store_le64(parameters + RSDP, boot->rsdp);
    linux_describe_screen(parameters);
    linux_describe_memory(boot, parameters);

    result = boot_place_command_line(boot, header.command_line_most, error);
    if (result == 0)
        result = boot_clear(boot, header.preferred_address, header.init_size, "the kernel", error);
    if (result == 0)
        result = boot_place(boot, HIGH_MEMORY, image + header.setup_bytes, header.system_bytes,
                            "the kernel", error);
    if (result == 0 && boot->initrd)
        result = linux_place_initrd(boot, &header, parameters, error);
    if (result == 0 && header.version >= 0x209)
        result = linux_place_seed(boot, parameters, error);
    if (result == 0)
        result = boot_place(boot, BOOT_ZERO_PAGE, parameters, sizeof parameters,
                            "the boot parameters", error);
    bool long_mode = header.x_load_flags & X_KERNEL_64;
    boot->entry = (struct boot_entry){
        .long_mode = long_mode,
        .rip = HIGH_MEMORY + (long_mode ? ENTRY_64_OFFSET : 0),
        .rsi = BOOT_ZERO_PAGE,
    };
    return result;
}
