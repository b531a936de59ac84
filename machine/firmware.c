#include "machine/firmware.h"

#include "machine/acpi_board.h"
#include "machine/board.h"
#include "machine/boot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BIOS_DEFAULT     "/usr/share/seabios/bios-256k.bin"
#define VGA_BIOS_DEFAULT "/usr/share/seabios/vgabios-stdvga.bin"

enum {
    BIOS_MULTIPLE = 64 << 10,
    BIOS_MOST = 16 << 20, /* from FF000000h on */
    BIOS_SHADOW = 128 << 10,

    CMOS_FLOPPIES = 0x10,
    CMOS_DISK_TYPES = 0x12,
    CMOS_EQUIPMENT = 0x14,
    CMOS_BASE_K = 0x15,
    CMOS_EXTENDED_K = 0x17,
    CMOS_EXTENDED_K_AGAIN = 0x30,
    CMOS_ABOVE_16M_64K = 0x34,
    CMOS_BOOT_THIRD = 0x38, /* bits 7:4: the third device; bit 0: no check of the boot signature */
    CMOS_TRANSLATION = 0x39,
    CMOS_BOOT_FIRST = 0x3d, /* low nibble first, high nibble second */
    CMOS_ABOVE_4G_64K = 0x5b,
    CMOS_CPUS = 0x5f,
};

int firmware_read(struct firmware *firmware, const struct machine_config *config,
                  struct error *error)
{
    struct boot_file file;
    if (config->bios || !config->kernel) {
        const char *name = config->bios ? config->bios : BIOS_DEFAULT;
        if (!config->bios && access(name, R_OK) < 0)
            return error_set(error, ENOENT,
                             "%s: firmware not found; install the package seabios, or give another "
                             "with -bios, or a kernel with -kernel",
                             name);
        int result = boot_read_file(&file, name, "-bios", error);
        if (result < 0)
            return result;
        firmware->bios = file.bytes;
        firmware->bios_bytes = file.length;
        if (file.length == 0 || file.length % BIOS_MULTIPLE || file.length > BIOS_MOST)
            return error_set(error, EINVAL,
                             "%s: %zu bytes are no firmware; it has a multiple of 64 KiB, at most "
                             "16 MiB: check the file given to -bios",
                             name, file.length);
    }
    if (access(VGA_BIOS_DEFAULT, R_OK) == 0 &&
        boot_read_file(&file, VGA_BIOS_DEFAULT, "-bios", NULL) == 0) {
        firmware->vga_bios = file.bytes;
        firmware->vga_bios_bytes = file.length;
    }
    return 0;
}

void firmware_free(struct firmware *firmware)
{
    free(firmware->bios);
    free(firmware->vga_bios);
    *firmware = (struct firmware){0};
}

void firmware_map(const struct firmware *firmware, struct physmem *physmem)
{
    size_t bytes = firmware->bios_bytes;
    if (!bytes)
        return;
    size_t shadow = bytes < BIOS_SHADOW ? bytes : BIOS_SHADOW;
    physmem_add_rom(physmem, MEMORY_4G - bytes, bytes, firmware->bios);
    physmem_add_rom(physmem, HIGH_MEMORY - shadow, shadow, firmware->bios + bytes - shadow);
}

/* --- CMOS */

static void firmware_set_cmos_u16(struct rtc *rtc, unsigned index, uint64_t value)
{
    uint16_t cut = value > 0xffff ? 0xffff : (uint16_t)value;
    rtc_set_cmos(rtc, index, cut & 0xff);
    rtc_set_cmos(rtc, index + 1, cut >> 8);
}

static void firmware_describe_memory(struct rtc *rtc, const struct physmem *physmem)
{
    uint64_t below = physmem->ram_below_4g, above = physmem->ram_bytes - below;
    uint64_t extended_k = below > HIGH_MEMORY ? (below - HIGH_MEMORY) / 1024 : 0;
    uint64_t above_16m = below > 16 * HIGH_MEMORY ? (below - 16 * HIGH_MEMORY) >> 16 : 0;
    firmware_set_cmos_u16(rtc, CMOS_BASE_K, 640);
    firmware_set_cmos_u16(rtc, CMOS_EXTENDED_K, extended_k);
    firmware_set_cmos_u16(rtc, CMOS_EXTENDED_K_AGAIN, extended_k);
    firmware_set_cmos_u16(rtc, CMOS_ABOVE_16M_64K, above_16m);
    firmware_set_cmos_u16(rtc, CMOS_ABOVE_4G_64K, above >> 16 & 0xffff);
    rtc_set_cmos(rtc, CMOS_ABOVE_4G_64K + 2, (uint8_t)(above >> 32));
}

/* Floppies, and how the firmware shall translate the disks' geometries. */
static void firmware_describe_drives(struct board *board)
{
    enum { COPROCESSOR = 0x02, MOUSE = 0x04, HAS_FLOPPY = 0x01, TRANSLATE_LBA = 1 };
    uint8_t first = fdc_cmos_type(&board->fdc, 0), second = fdc_cmos_type(&board->fdc, 1);
    uint8_t equipment = COPROCESSOR | MOUSE, translation = 0;
    if (first || second)
        equipment |= (uint8_t)(HAS_FLOPPY | (first && second ? 1 : 0) << 6);
    for (unsigned i = 0; i < IDE_CHANNELS * IDE_UNITS; i++) {
        const struct blockdev *disk = board->disks[i];
        if (disk && blockdev_geometry(blockdev_sectors(disk)).cylinders > 1024)
            translation |= (uint8_t)(TRANSLATE_LBA << 2 * i);
    }
    rtc_set_cmos(&board->rtc, CMOS_FLOPPIES, (uint8_t)(first << 4 | second));
    rtc_set_cmos(&board->rtc, CMOS_EQUIPMENT, equipment);
    rtc_set_cmos(&board->rtc, CMOS_DISK_TYPES,
                 (uint8_t)((board->disks[0] ? 0xf0 : 0) | (board->disks[1] ? 0x0f : 0)));
    rtc_set_cmos(&board->rtc, CMOS_TRANSLATION, translation);
}

void firmware_set_boot_order(struct board *board, bool first_boot)
{
    const struct boot_config *boot = &board->machine->config.boot;
    const char *order = first_boot && *boot->once ? boot->once : *boot->order ? boot->order : "cad";
    static const char letters[] = "acdn"; /* codes 1..4 */
    uint8_t codes[3] = {0};
    for (unsigned i = 0; i < 3 && order[i]; i++) {
        const char *found = strchr(letters, order[i]);
        codes[i] = found ? (uint8_t)(found - letters + 1) : 0;
    }
    rtc_set_cmos(&board->rtc, CMOS_BOOT_FIRST, (uint8_t)(codes[1] << 4 | codes[0]));
    rtc_set_cmos(&board->rtc, CMOS_BOOT_THIRD, (uint8_t)(codes[2] << 4 | 1));
}

/* --- fw_cfg */

/* With strict order the firmware wants the names of the devices, and then HALT. */
static int firmware_add_strict_order(struct board *board, struct error *error)
{
    const struct boot_config *boot = &board->machine->config.boot;
    char text[1024];
    size_t length = 0;
    if (!boot->strict)
        return 0;
    for (const char *letter = *boot->order ? boot->order : "cad"; *letter; letter++) {
        for (unsigned i = 0; i < IDE_CHANNELS * IDE_UNITS; i++)
            if (*letter == 'c' ? board->disks[i] != NULL : *letter == 'd' && board->cds[i])
                length += (size_t)snprintf(text + length, sizeof text - length,
                                           "/pci@i0cf8/ide@1,1/drive@%u/disk@%u\n", i / IDE_UNITS,
                                           i % IDE_UNITS);
        for (unsigned i = 0; i < FDC_DRIVES; i++)
            if (*letter == 'a' && fdc_cmos_type(&board->fdc, i))
                length += (size_t)snprintf(text + length, sizeof text - length,
                                           "/pci@i0cf8/isa@1/fdc@03f0/floppy@%u\n", i);
    }
    length += (size_t)snprintf(text + length, sizeof text - length, "HALT");
    return fw_cfg_add_file(&board->fw_cfg, "bootorder", text, (uint32_t)length + 1, error);
}

static int firmware_add_memory_map(struct board *board, struct error *error)
{
    const struct physmem *physmem = &board->machine->physmem;
    struct e820 map = {0};
    e820_add(&map, 0, physmem->ram_below_4g, E820_RAM);
    e820_add(&map, MEMORY_4G, physmem->ram_bytes - physmem->ram_below_4g, E820_RAM);
    return fw_cfg_add_file(&board->fw_cfg, "etc/e820", map.entries,
                           map.count * (uint32_t)sizeof map.entries[0], error);
}

static int firmware_add_u16(struct board *board, const char *name, uint16_t value,
                            struct error *error)
{
    return fw_cfg_add_file(&board->fw_cfg, name, &value, sizeof value, error);
}

int firmware_describe(struct board *board, struct error *error)
{
    const struct machine_config *config = &board->machine->config;
    struct fw_cfg *fw_cfg = &board->fw_cfg;
    firmware_describe_memory(&board->rtc, &board->machine->physmem);
    firmware_describe_drives(board);
    rtc_set_cmos(&board->rtc, CMOS_CPUS, (uint8_t)(config->cpus - 1));

    fw_cfg_set_u64(fw_cfg, FW_CFG_RAM_SIZE, config->memory_bytes);
    fw_cfg_set_u16(fw_cfg, FW_CFG_NOGRAPHIC, config->no_graphic);
    fw_cfg_set_u16(fw_cfg, FW_CFG_CPU_COUNT, (uint16_t)config->cpus);
    fw_cfg_set_u16(fw_cfg, FW_CFG_MAX_CPUS, (uint16_t)config->cpus);
    fw_cfg_set_u16(fw_cfg, FW_CFG_BOOT_MENU, config->boot.menu);
    fw_cfg_set_u32(fw_cfg, FW_CFG_IRQ0_OVERRIDE, 1);
    int result = firmware_add_memory_map(board, error);
    if (result == 0 && config->boot.menu && config->boot.menu_wait_ms)
        result = firmware_add_u16(board, "etc/boot-menu-wait",
                                  config->boot.menu_wait_ms > UINT16_MAX
                                      ? UINT16_MAX
                                      : (uint16_t)config->boot.menu_wait_ms,
                                  error);
    if (result == 0 && config->no_graphic && config->serials[0])
        result = firmware_add_u16(board, "etc/sercon-port", 0x3f8, error);
    if (result == 0)
        result = firmware_add_strict_order(board, error);
    if (result == 0)
        result = acpi_offer(board, error);
    return result;
}
