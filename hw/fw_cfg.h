/* The firmware configuration device that SeaBIOS and Linux know: numbered items and named files,
 * read through ports 510h and 511h or by the DMA interface at 514h.
 *
 * Items are added by the board before the machine starts; the guest can only read them.
 * Source: QEMU docs/specs/fw_cfg.
 */
#ifndef HW_FW_CFG_H
#define HW_FW_CFG_H

#include "base/bus.h"
#include "hw/device.h"
#include "softmmu/physmem.h"

enum {
    FW_CFG_SIGNATURE = 0x00,
    FW_CFG_ID = 0x01,
    FW_CFG_UUID = 0x02,
    FW_CFG_RAM_SIZE = 0x03,
    FW_CFG_NOGRAPHIC = 0x04,
    FW_CFG_CPU_COUNT = 0x05,
    FW_CFG_KERNEL_ADDRESS = 0x07,
    FW_CFG_KERNEL_SIZE = 0x08,
    FW_CFG_KERNEL_COMMAND_LINE = 0x09,
    FW_CFG_INITRD_ADDRESS = 0x0a,
    FW_CFG_INITRD_SIZE = 0x0b,
    FW_CFG_BOOT_DEVICE = 0x0c,
    FW_CFG_NUMA = 0x0d,
    FW_CFG_BOOT_MENU = 0x0e,
    FW_CFG_MAX_CPUS = 0x0f,
    FW_CFG_KERNEL_ENTRY = 0x10,
    FW_CFG_KERNEL_DATA = 0x11,
    FW_CFG_INITRD_DATA = 0x12,
    FW_CFG_COMMAND_LINE_ADDRESS = 0x13,
    FW_CFG_COMMAND_LINE_SIZE = 0x14,
    FW_CFG_COMMAND_LINE_DATA = 0x15,
    FW_CFG_SETUP_ADDRESS = 0x16,
    FW_CFG_SETUP_SIZE = 0x17,
    FW_CFG_SETUP_DATA = 0x18,
    FW_CFG_FILE_DIRECTORY = 0x19,
    FW_CFG_FILE_FIRST = 0x20,
    FW_CFG_ACPI_TABLES = 0x8000,
    FW_CFG_SMBIOS_ENTRIES = 0x8001,
    FW_CFG_IRQ0_OVERRIDE = 0x8002,
    FW_CFG_E820_TABLE = 0x8003,
    FW_CFG_HPET = 0x8004,

    FW_CFG_FILES_MAX = 96,
    FW_CFG_ITEMS_MAX = FW_CFG_FILE_FIRST + FW_CFG_FILES_MAX,
    FW_CFG_LOCAL_ITEMS = 16, /* selectors 8000h.. */
};

struct fw_cfg_item {
    const uint8_t *bytes;
    uint32_t length;
    uint8_t *owned; /* what free() gets: NULL for borrowed bytes */
};

struct fw_cfg_state {
    uint64_t dma_address;
    uint32_t offset;
    uint16_t selector;
    uint8_t pad[2];
};

struct fw_cfg {
    struct fw_cfg_state state;
    struct physmem *physmem;
    struct fw_cfg_item items[FW_CFG_ITEMS_MAX], local_items[FW_CFG_LOCAL_ITEMS];
    uint8_t directory[4 + 64 * FW_CFG_FILES_MAX];
    unsigned file_count;
    struct region ports, dma_port;
};

/* Ports 510h, 511h and 514h..51Bh; the signature, the id and an empty directory. */
void fw_cfg_attach(struct fw_cfg *config, struct bus *ports, struct physmem *physmem);
/* Sets item `selector` to a copy of `bytes` / to `bytes` themselves, which must live on / to a
 * little-endian integer.  A second setting replaces the first. */
void fw_cfg_set_copy(struct fw_cfg *config, unsigned selector, const void *bytes, uint32_t length);
void fw_cfg_set_borrowed(struct fw_cfg *config, unsigned selector, const void *bytes,
                         uint32_t length);
void fw_cfg_set_u16(struct fw_cfg *config, unsigned selector, uint16_t value);
void fw_cfg_set_u32(struct fw_cfg *config, unsigned selector, uint32_t value);
void fw_cfg_set_u64(struct fw_cfg *config, unsigned selector, uint64_t value);
/* Adds a file (name at most 55 characters; 96 files).  -ENAMETOOLONG, -ENOSPC or -EEXIST. */
int fw_cfg_add_file(struct fw_cfg *config, const char *name, const void *bytes, uint32_t length,
                    struct error *error);
extern const struct device_class fw_cfg_class;

#endif
