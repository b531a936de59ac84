#include "hw/fw_cfg.h"

#include "base/log.h"

#include <errno.h>
#include <stdlib.h>

#define FW_CFG_FIELDS(FIELD, ARRAY)                                                                \
    FIELD(struct fw_cfg_state, dma_address)                                                        \
    FIELD(struct fw_cfg_state, offset)                                                             \
    FIELD(struct fw_cfg_state, selector)                                                           \
    ARRAY(struct fw_cfg_state, pad)
static const struct field fw_cfg_fields[] = SAVE_FIELDS(FW_CFG_FIELDS);
SAVE_ASSERT_COMPLETE(struct fw_cfg_state, FW_CFG_FIELDS);

enum {
    SELECTOR_PORT = 0,
    DATA_PORT = 1,
    ID_TRADITIONAL = 1,
    ID_DMA = 2,
    LOCAL = 0x8000, /* selectors of the architecture */
    WRITE_BIT = 0x4000,
    FILE_ENTRY_BYTES = 64,
    FILE_NAME_BYTES = 56,

    DMA_ERROR = 0x01,
    DMA_READ = 0x02,
    DMA_SKIP = 0x04,
    DMA_SELECT = 0x08,
    DMA_WRITE = 0x10,
    DMA_REQUEST_BYTES = 16,
};

/* "QEMU CFG", read from the DMA address register. */
static const uint8_t dma_signature[8] = {'Q', 'E', 'M', 'U', ' ', 'C', 'F', 'G'};

/* --- items */

static struct fw_cfg_item *find_item(struct fw_cfg *config, unsigned selector)
{
    unsigned index = selector & ~(LOCAL | WRITE_BIT);
    if (selector & LOCAL)
        return index < FW_CFG_LOCAL_ITEMS ? &config->local_items[index] : NULL;
    return index < FW_CFG_ITEMS_MAX ? &config->items[index] : NULL;
}

static void set_item(struct fw_cfg *config, unsigned selector, struct fw_cfg_item item)
{
    struct fw_cfg_item *place = find_item(config, selector);
    BUG_ON(!place);
    free(place->owned);
    *place = item;
}

void fw_cfg_set_borrowed(struct fw_cfg *config, unsigned selector, const void *bytes,
                         uint32_t length)
{
    set_item(config, selector, (struct fw_cfg_item){.bytes = bytes, .length = length});
}

void fw_cfg_set_copy(struct fw_cfg *config, unsigned selector, const void *bytes, uint32_t length)
{
    uint8_t *copy = malloc(length ? length : 1);
    BUG_ON(!copy);
    if (length)
        memcpy(copy, bytes, length);
    set_item(config, selector,
             (struct fw_cfg_item){.bytes = copy, .length = length, .owned = copy});
}

void fw_cfg_set_u16(struct fw_cfg *config, unsigned selector, uint16_t value)
{
    fw_cfg_set_copy(config, selector, &value, sizeof value);
}

void fw_cfg_set_u32(struct fw_cfg *config, unsigned selector, uint32_t value)
{
    fw_cfg_set_copy(config, selector, &value, sizeof value);
}

void fw_cfg_set_u64(struct fw_cfg *config, unsigned selector, uint64_t value)
{
    fw_cfg_set_copy(config, selector, &value, sizeof value);
}

/* --- files: the directory holds a count and entries, big-endian */

static void store_be16(uint8_t *to, uint16_t value)
{
    store_le16(to, __builtin_bswap16(value));
}

static void store_be32(uint8_t *to, uint32_t value)
{
    store_le32(to, __builtin_bswap32(value));
}

static uint8_t *file_entry(struct fw_cfg *config, unsigned index)
{
    return config->directory + 4 + FILE_ENTRY_BYTES * index;
}

static void show_directory(struct fw_cfg *config)
{
    store_be32(config->directory, config->file_count);
    fw_cfg_set_borrowed(config, FW_CFG_FILE_DIRECTORY, config->directory,
                        4 + FILE_ENTRY_BYTES * config->file_count);
}

int fw_cfg_add_file(struct fw_cfg *config, const char *name, const void *bytes, uint32_t length,
                    struct error *error)
{
    if (strlen(name) >= FILE_NAME_BYTES)
        return error_set(error, ENAMETOOLONG,
                         "fw_cfg file \"%s\": the name is longer than %d characters", name,
                         FILE_NAME_BYTES - 1);
    if (config->file_count == FW_CFG_FILES_MAX)
        return error_set(error, ENOSPC, "fw_cfg file \"%s\": there are already %d files", name,
                         FW_CFG_FILES_MAX);
    for (unsigned index = 0; index < config->file_count; index++)
        if (!strcmp((char *)file_entry(config, index) + 8, name))
            return error_set(error, EEXIST, "fw_cfg file \"%s\": is there twice; name it once",
                             name);
    uint16_t selector = (uint16_t)(FW_CFG_FILE_FIRST + config->file_count);
    uint8_t *entry = file_entry(config, config->file_count++);
    store_be32(entry, length);
    store_be16(entry + 4, selector);
    strcpy((char *)entry + 8, name);
    fw_cfg_set_copy(config, selector, bytes, length);
    show_directory(config);
    return 0;
}

/* --- reading: what lies behind the end of an item is zero */

static void advance(struct fw_cfg *config, uint32_t by)
{
    uint32_t *offset = &config->state.offset;
    *offset = by > UINT32_MAX - *offset ? UINT32_MAX : *offset + by;
}

static void read_item(struct fw_cfg *config, uint8_t *to, uint32_t length)
{
    const struct fw_cfg_item *item = find_item(config, config->state.selector);
    uint32_t offset = config->state.offset, there = 0;
    if (item && offset < item->length)
        there = item->length - offset < length ? item->length - offset : length;
    if (there)
        memcpy(to, item->bytes + offset, there);
    memset(to + there, 0, length - there);
    advance(config, length);
}

static void select_item(struct fw_cfg *config, uint16_t selector)
{
    config->state.selector = selector;
    config->state.offset = 0;
}

static uint64_t ports_read(void *opaque, uint64_t offset, unsigned size)
{
    struct fw_cfg *config = opaque;
    uint8_t byte;
    if (offset != DATA_PORT)
        return UINT16_MAX;
    read_item(config, &byte, 1);
    return byte;
}

static void ports_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    if (offset == SELECTOR_PORT && size == 2)
        select_item(opaque, (uint16_t)value);
}

/* --- DMA */

/* Items are read-only, so only reading and skipping succeed. */
static bool dma_transfer(struct fw_cfg *config, uint32_t control, uint32_t length, gpa_t to)
{
    if (control & DMA_READ) {
        uint8_t bytes[4096];
        while (length) {
            uint32_t chunk = length < sizeof bytes ? length : sizeof bytes;
            read_item(config, bytes, chunk);
            if (!physmem_write(config->physmem, to, bytes, chunk))
                return false;
            to.v += chunk;
            length -= chunk;
        }
        return true;
    }
    if (control & DMA_WRITE)
        return false;
    if (control & DMA_SKIP)
        advance(config, length);
    return true;
}

static void dma_start(struct fw_cfg *config)
{
    uint8_t request[DMA_REQUEST_BYTES], result[4];
    gpa_t at = GPA(config->state.dma_address);
    config->state.dma_address = 0;
    if (!physmem_read(config->physmem, at, request, sizeof request)) {
        guest_error("fw_cfg: the DMA request at %llx is not in memory", (unsigned long long)at.v);
        return;
    }
    uint32_t control = __builtin_bswap32(load_le32(request));
    uint32_t length = __builtin_bswap32(load_le32(request + 4));
    gpa_t address = GPA(__builtin_bswap64(load_le64(request + 8)));
    if (control & DMA_SELECT)
        select_item(config, control >> 16);
    bool done = dma_transfer(config, control, length, address);
    store_be32(result, done ? 0 : DMA_ERROR);
    /* A result that cannot be written where the request was read has nobody to read it. */
    (void)physmem_write(config->physmem, at, result, sizeof result);
}

static uint64_t dma_read(void *opaque, uint64_t offset, unsigned size)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)dma_signature[offset + i] << 8 * i;
    return value;
}

/* A big-endian address in two halves; the lower one starts the transfer. */
static void dma_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct fw_cfg *config = opaque;
    uint64_t half = __builtin_bswap32((uint32_t)value);
    if (size != 4)
        return;
    if (offset == 0) {
        config->state.dma_address = half << 32;
        return;
    }
    config->state.dma_address |= half;
    dma_start(config);
}

/* --- the device */

static void reset(void *object, enum reset_kind kind)
{
    struct fw_cfg *config = object;
    config->state = (struct fw_cfg_state){0};
}

static void detach(void *object)
{
    struct fw_cfg *config = object;
    for (unsigned i = 0; i < FW_CFG_ITEMS_MAX; i++)
        free(config->items[i].owned);
    for (unsigned i = 0; i < FW_CFG_LOCAL_ITEMS; i++)
        free(config->local_items[i].owned);
}

static void describe(const void *object, FILE *out)
{
    const struct fw_cfg *config = object;
    fprintf(out, "  selector %04x, offset %u\n", config->state.selector, config->state.offset);
    for (unsigned index = 0; index < config->file_count; index++)
        fprintf(out, "  %04x %8u %s\n", FW_CFG_FILE_FIRST + index,
                config->items[FW_CFG_FILE_FIRST + index].length,
                (const char *)config->directory + 4 + FILE_ENTRY_BYTES * index + 8);
}

void fw_cfg_attach(struct fw_cfg *config, struct bus *ports, struct physmem *physmem)
{
    *config = (struct fw_cfg){.physmem = physmem};
    fw_cfg_set_borrowed(config, FW_CFG_SIGNATURE, dma_signature, 4);
    fw_cfg_set_u32(config, FW_CFG_ID, ID_TRADITIONAL | ID_DMA);
    show_directory(config);
    config->ports = (struct region){.name = "fw-cfg",
                                    .base = 0x510,
                                    .length = 2,
                                    .read = ports_read,
                                    .write = ports_write,
                                    .max_size = 2,
                                    .opaque = config};
    config->dma_port = (struct region){.name = "fw-cfg-dma",
                                       .base = 0x514,
                                       .length = 8,
                                       .read = dma_read,
                                       .write = dma_write,
                                       .opaque = config};
    bus_add(ports, &config->ports);
    bus_add(ports, &config->dma_port);
}

const struct device_class fw_cfg_class = {
    .name = "fw-cfg",
    DEVICE_STATE(struct fw_cfg, 1, fw_cfg_fields),
    .reset = reset,
    .detach = detach,
    .describe = describe,
};
