/* The PIIX3's IDE function: configuration, the two channels' ports, interrupts, and plugging in
 * drives (see ide.h).
 *
 * A channel's ports answer when its bit in IDETIM and I/O in the command register are both set.
 * QUIRK: registers of a drive that is not there read as 0, as with a drive 0 that answers for the
 * missing drive 1.
 * Sources: 82371SB §2.5; ATA/ATAPI-6 §7 (registers), §9.16 (single devices).
 */
#include "hw/ide_priv.h"

#include "base/log.h"

#include <errno.h>

enum {
    VENDOR = 0x8086,
    DEVICE = 0x7010,
    CLASS_IDE = 0x0101,
    PROGRAMMING_INTERFACE = 0x80, /* bus master, legacy ports */
    CONFIG_TIMING = 0x40,         /* IDETIM, 16 bits a channel */
    CONFIG_SLAVE_TIMING = 0x44,
    TIMING_DECODE = 0x8000,
    BUS_MASTER_BYTES = 16,
    COMMAND_PORTS = 8,

    REGISTER_DATA = 0,
    REGISTER_FEATURE = 1, /* read: error */
    REGISTER_COUNT = 2,
    REGISTER_LBA_LOW = 3,
    REGISTER_LBA_MID = 4,
    REGISTER_LBA_HIGH = 5,
    REGISTER_DEVICE = 6,
    REGISTER_COMMAND = 7, /* read: status */
};

static const uint16_t command_bases[IDE_CHANNELS] = {0x1f0, 0x170};
static const uint16_t control_bases[IDE_CHANNELS] = {0x3f6, 0x376};

#define CHANNEL_FIELDS(FIELD, ARRAY)                                                               \
    FIELD(struct ide_channel_state, prd_table)                                                     \
    FIELD(struct ide_channel_state, prd_at)                                                        \
    FIELD(struct ide_channel_state, prd_address)                                                   \
    FIELD(struct ide_channel_state, prd_left)                                                      \
    FIELD(struct ide_channel_state, prd_last)                                                      \
    FIELD(struct ide_channel_state, device_control)                                                \
    FIELD(struct ide_channel_state, selected)                                                      \
    FIELD(struct ide_channel_state, irq_level)                                                     \
    FIELD(struct ide_channel_state, bm_command)                                                    \
    FIELD(struct ide_channel_state, bm_status)                                                     \
    ARRAY(struct ide_channel_state, pad)

static const struct field channel_fields[] = SAVE_FIELDS(CHANNEL_FIELDS);
SAVE_ASSERT_COMPLETE(struct ide_channel_state, CHANNEL_FIELDS);

void ide_update_irq(struct ide_channel *channel)
{
    struct ide_channel_state *state = &channel->state;
    const struct ide_drive *drive = ide_selected(channel);
    uint8_t level =
        drive->class && drive->state.interrupt_pending && !(state->device_control & CONTROL_NO_IRQ);
    if (level && !state->irq_level)
        state->bm_status |= BM_INTERRUPT;
    state->irq_level = level;
    irq_set(&channel->irq, level);
}

static void poll_drives(struct ide_channel *channel)
{
    for (unsigned unit = 0; unit < IDE_UNITS; unit++)
        ide_poll(&channel->drives[unit]);
}

static uint8_t read_register(struct ide_channel *channel, unsigned offset)
{
    struct ide_drive *drive = ide_selected(channel);
    const struct ide_drive_state *state = &drive->state;
    bool high = channel->state.device_control & CONTROL_HIGH_ORDER;
    if (!drive->class)
        return offset == REGISTER_DEVICE ? state->device : 0;
    switch (offset) {
    case REGISTER_FEATURE:
        return state->error;
    case REGISTER_COUNT:
        return high ? state->hob_count : state->count;
    case REGISTER_LBA_LOW:
        return high ? state->hob_lba_low : state->lba_low;
    case REGISTER_LBA_MID:
        return high ? state->hob_lba_mid : state->lba_mid;
    case REGISTER_LBA_HIGH:
        return high ? state->hob_lba_high : state->lba_high;
    case REGISTER_DEVICE:
        return state->device;
    default:
        drive->state.interrupt_pending = 0;
        ide_update_irq(channel);
        return state->status;
    }
}

static uint64_t command_read(void *opaque, uint64_t offset, unsigned size)
{
    struct ide_channel *channel = opaque;
    poll_drives(channel);
    if (offset == REGISTER_DATA)
        return ide_selected(channel)->class ? ide_read_data(ide_selected(channel), size) : 0;
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)read_register(channel, (unsigned)offset + i) << 8 * i;
    return value;
}

/* Every drive on the cable takes what the guest writes into the task file. */
static void write_task_file(struct ide_drive *drive, unsigned offset, uint8_t value)
{
    struct ide_drive_state *state = &drive->state;
    switch (offset) {
    case REGISTER_FEATURE:
        state->hob_feature = state->feature;
        state->feature = value;
        break;
    case REGISTER_COUNT:
        state->hob_count = state->count;
        state->count = value;
        break;
    case REGISTER_LBA_LOW:
        state->hob_lba_low = state->lba_low;
        state->lba_low = value;
        break;
    case REGISTER_LBA_MID:
        state->hob_lba_mid = state->lba_mid;
        state->lba_mid = value;
        break;
    case REGISTER_LBA_HIGH:
        state->hob_lba_high = state->lba_high;
        state->lba_high = value;
        break;
    case REGISTER_DEVICE:
        state->device = value | 0xa0;
        break;
    }
}

/* Both drives execute a diagnostic; drive 0, or a lone drive 1, answers for it. */
static void write_command_register(struct ide_channel *channel, uint8_t command)
{
    struct ide_drive *drive = ide_selected(channel);
    if (command == COMMAND_DIAGNOSTIC) {
        channel->state.selected = 0;
        drive = &channel->drives[0];
    }
    if (drive->class)
        ide_write_command(drive, command);
}

static void write_register(struct ide_channel *channel, unsigned offset, uint8_t value)
{
    struct ide_drive *selected = ide_selected(channel);
    channel->state.device_control &= (uint8_t)~CONTROL_HIGH_ORDER;
    if (offset == REGISTER_COMMAND) {
        write_command_register(channel, value);
        return;
    }
    if (selected->class && (selected->state.status & STATUS_BUSY))
        return;
    for (unsigned unit = 0; unit < IDE_UNITS; unit++)
        write_task_file(&channel->drives[unit], offset, value);
    if (offset == REGISTER_DEVICE) {
        channel->state.selected = value & DEVICE_UNIT ? 1 : 0;
        ide_update_irq(channel);
    }
}

static void command_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct ide_channel *channel = opaque;
    poll_drives(channel);
    if (offset == REGISTER_DATA) {
        if (ide_selected(channel)->class)
            ide_write_data(ide_selected(channel), size, (uint32_t)value);
        return;
    }
    for (unsigned i = 0; i < size; i++)
        write_register(channel, (unsigned)offset + i, (uint8_t)(value >> 8 * i));
}

/* The alternate status: the status, without acknowledging the interrupt. */
static uint64_t control_read(void *opaque, uint64_t offset, unsigned size)
{
    struct ide_channel *channel = opaque;
    poll_drives(channel);
    const struct ide_drive *drive = ide_selected(channel);
    return drive->class ? drive->state.status : 0;
}

static void control_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct ide_channel *channel = opaque;
    poll_drives(channel);
    uint8_t before = channel->state.device_control;
    uint8_t after = value & (CONTROL_NO_IRQ | CONTROL_RESET | CONTROL_HIGH_ORDER);
    channel->state.device_control = after;
    for (unsigned unit = 0; unit < IDE_UNITS; unit++) {
        struct ide_drive *drive = &channel->drives[unit];
        if (!drive->class)
            continue;
        if (!(before & CONTROL_RESET) && (after & CONTROL_RESET))
            ide_hold_reset(drive);
        else if ((before & CONTROL_RESET) && !(after & CONTROL_RESET))
            ide_release_reset(drive);
    }
    if ((before & CONTROL_RESET) && !(after & CONTROL_RESET))
        channel->state.selected = 0;
    ide_update_irq(channel);
}

/* Puts the ports on the bus, or takes them off, as the configuration says. */
static void update_decoding(struct ide *ide)
{
    const uint8_t *config = ide->function.state.config;
    bool enabled = pci_command(&ide->function) & PCI_COMMAND_IO;
    for (unsigned i = 0; i < IDE_CHANNELS; i++) {
        struct ide_channel *channel = &ide->channels[i];
        bool decoded = enabled && (load_le16(config + CONFIG_TIMING + 2 * i) & TIMING_DECODE);
        if (decoded == channel->decoded)
            continue;
        channel->decoded = decoded;
        void (*change)(struct bus *, struct region *) = decoded ? bus_add : bus_remove;
        change(ide->ports, &channel->command_region);
        change(ide->ports, &channel->control_region);
    }
}

static void config_written(void *opaque, unsigned offset, unsigned size)
{
    update_decoding(opaque);
}

static void channel_reset(void *device, enum reset_kind kind)
{
    struct ide_channel *channel = device;
    memset(&channel->state, 0, sizeof channel->state);
    irq_set(&channel->irq, 0);
    update_decoding(channel->ide);
}

static int channel_after_load(void *device, struct error *error)
{
    struct ide_channel *channel = device;
    struct ide_channel_state *state = &channel->state;
    state->selected &= 1;
    if (state->prd_left > 0x10000)
        return error_set(error, EINVAL, "ide-channel: the saved state is damaged (PRD length %u)",
                         state->prd_left);
    update_decoding(channel->ide);
    return 0;
}

static void channel_describe(const void *device, FILE *out)
{
    const struct ide_channel *channel = device;
    const struct ide_channel_state *state = &channel->state;
    fprintf(out,
            "ide%u: drive %u selected, control %02x, irq %u, bus master command %02x status %02x "
            "table %08x%s\n",
            channel->number, state->selected, state->device_control, state->irq_level,
            state->bm_command, state->bm_status, state->prd_table,
            channel->decoded ? "" : ", ports not decoded");
}

static const struct device_class channel_class = {
    .name = "ide-channel",
    .state_offset = offsetof(struct ide_channel, state),
    .state_bytes = sizeof(struct ide_channel_state),
    .state_version = 1,
    .fields = channel_fields,
    .field_count = ARRAY_LENGTH(channel_fields),
    .reset = channel_reset,
    .after_load = channel_after_load,
    .describe = channel_describe,
};

static void attach_channel(struct ide *ide, unsigned number, struct irq_line irq)
{
    struct ide_channel *channel = &ide->channels[number];
    channel->ide = ide;
    channel->number = number;
    channel->irq = irq;
    channel->command_region = (struct region){.name = number ? "ide1 command" : "ide0 command",
                                              .base = command_bases[number],
                                              .length = COMMAND_PORTS,
                                              .read = command_read,
                                              .write = command_write,
                                              .min_size = 1,
                                              .max_size = 4,
                                              .opaque = channel};
    channel->control_region = (struct region){.name = number ? "ide1 control" : "ide0 control",
                                              .base = control_bases[number],
                                              .length = 1,
                                              .read = control_read,
                                              .write = control_write,
                                              .min_size = 1,
                                              .max_size = 1,
                                              .opaque = channel};
    for (unsigned unit = 0; unit < IDE_UNITS; unit++)
        ide_drive_init(&channel->drives[unit], channel);
}

void ide_attach(struct ide *ide, struct pci_bus *pci, unsigned device, unsigned number,
                struct irq_line irq14, struct irq_line irq15, struct clock *clock)
{
    ide->ports = pci->ports;
    ide->clock = clock;
    attach_channel(ide, 0, irq14);
    attach_channel(ide, 1, irq15);
    struct pci_function *function = &ide->function;
    pci_function_init(function, "ide", VENDOR, DEVICE, CLASS_IDE, 0);
    pci_set_config(function, PCI_PROGRAMMING_INTERFACE, 1, PROGRAMMING_INTERFACE, 0);
    pci_set_config(function, CONFIG_TIMING, 4, 0, 0xffffffff);
    pci_set_config(function, CONFIG_SLAVE_TIMING, 1, 0, 0xff);
    ide->bus_master_region = (struct region){.name = "ide bus master",
                                             .length = BUS_MASTER_BYTES,
                                             .read = ide_bus_master_read,
                                             .write = ide_bus_master_write,
                                             .min_size = 1,
                                             .max_size = 4,
                                             .opaque = ide};
    pci_set_bar(function, 4, PCI_BAR_IO, BUS_MASTER_BYTES, &ide->bus_master_region);
    function->config_written = config_written;
    function->opaque = ide;
    pci_function_attach(function, pci, device, number);
}

void ide_register(struct ide *ide, struct device_list *devices)
{
    for (unsigned i = 0; i < IDE_CHANNELS; i++) {
        device_register(devices, &channel_class, &ide->channels[i]);
        for (unsigned unit = 0; unit < IDE_UNITS; unit++)
            device_register(devices, &ide_drive_device_class, &ide->channels[i].drives[unit]);
    }
}

static int add_drive(struct ide *ide, unsigned channel, unsigned unit,
                     const struct ide_drive_class *class, struct blockdev *image,
                     const char *serial, struct error *error)
{
    if (channel >= IDE_CHANNELS || unit >= IDE_UNITS)
        return error_set(error, EINVAL, "ide%u.%u: no such place; there are ide0.0 to ide1.1",
                         channel, unit);
    struct ide_drive *drive = &ide->channels[channel].drives[unit];
    if (drive->class)
        return error_set(error, EBUSY,
                         "ide%u.%u: there is a drive already; give one of the two another index",
                         channel, unit);
    drive->class = class;
    drive->medium = image;
    if (serial)
        snprintf(drive->serial, sizeof drive->serial, "%s", serial);
    else
        snprintf(drive->serial, sizeof drive->serial, "R3%05u", 1 + channel * IDE_UNITS + unit);
    return 0;
}

int ide_add_disk(struct ide *ide, unsigned channel, unsigned unit, struct blockdev *image,
                 const char *serial, struct error *error)
{
    return add_drive(ide, channel, unit, &ata_class, image, serial, error);
}

int ide_add_cdrom(struct ide *ide, unsigned channel, unsigned unit, struct blockdev *image,
                  const char *serial, struct error *error)
{
    return add_drive(ide, channel, unit, &atapi_class, image, serial, error);
}
