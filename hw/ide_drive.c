/* What an ATA disk and an ATAPI drive have in common: phases, the timer between them, the data
 * port, resets and the ends of commands.
 *
 * A command costs a little virtual time: BSY is seen, and an interrupt never comes before the guest
 * has left the instruction that wrote the command.
 * Source: ATA/ATAPI-6 §9 (protocols).  INV-1 and INV-2 of ide.h are kept here.
 */
#include "hw/ide_priv.h"

#include "base/log.h"

#include <errno.h>

enum { STEP_NS = 2000 };

#define DRIVE_FIELDS(FIELD, ARRAY)                                                                 \
    FIELD(struct ide_drive_state, deadline_ns)                                                     \
    FIELD(struct ide_drive_state, lba)                                                             \
    FIELD(struct ide_drive_state, sectors_left)                                                    \
    FIELD(struct ide_drive_state, buffer_at)                                                       \
    FIELD(struct ide_drive_state, block_end)                                                       \
    FIELD(struct ide_drive_state, buffer_end)                                                      \
    FIELD(struct ide_drive_state, byte_limit)                                                      \
    FIELD(struct ide_drive_state, geometry_cylinders)                                              \
    FIELD(struct ide_drive_state, geometry_heads)                                                  \
    FIELD(struct ide_drive_state, geometry_sectors)                                                \
    FIELD(struct ide_drive_state, feature)                                                         \
    FIELD(struct ide_drive_state, count)                                                           \
    FIELD(struct ide_drive_state, lba_low)                                                         \
    FIELD(struct ide_drive_state, lba_mid)                                                         \
    FIELD(struct ide_drive_state, lba_high)                                                        \
    FIELD(struct ide_drive_state, device)                                                          \
    FIELD(struct ide_drive_state, hob_feature)                                                     \
    FIELD(struct ide_drive_state, hob_count)                                                       \
    FIELD(struct ide_drive_state, hob_lba_low)                                                     \
    FIELD(struct ide_drive_state, hob_lba_mid)                                                     \
    FIELD(struct ide_drive_state, hob_lba_high)                                                    \
    FIELD(struct ide_drive_state, status)                                                          \
    FIELD(struct ide_drive_state, error)                                                           \
    FIELD(struct ide_drive_state, command)                                                         \
    FIELD(struct ide_drive_state, phase)                                                           \
    FIELD(struct ide_drive_state, interrupt_pending)                                               \
    FIELD(struct ide_drive_state, multiple)                                                        \
    FIELD(struct ide_drive_state, transfer_mode)                                                   \
    FIELD(struct ide_drive_state, write_cache)                                                     \
    FIELD(struct ide_drive_state, read_look_ahead)                                                 \
    FIELD(struct ide_drive_state, standby)                                                         \
    FIELD(struct ide_drive_state, sense_key)                                                       \
    FIELD(struct ide_drive_state, sense_code)                                                      \
    FIELD(struct ide_drive_state, sense_qualifier)                                                 \
    FIELD(struct ide_drive_state, attention_code)                                                  \
    FIELD(struct ide_drive_state, attention_qualifier)                                             \
    FIELD(struct ide_drive_state, tray_open)                                                       \
    FIELD(struct ide_drive_state, tray_locked)                                                     \
    FIELD(struct ide_drive_state, media_event)                                                     \
    FIELD(struct ide_drive_state, eject_request)                                                   \
    FIELD(struct ide_drive_state, sector_parts)                                                    \
    ARRAY(struct ide_drive_state, packet)                                                          \
    ARRAY(struct ide_drive_state, error_page)                                                      \
    ARRAY(struct ide_drive_state, audio_page)                                                      \
    ARRAY(struct ide_drive_state, pad)                                                             \
    ARRAY(struct ide_drive_state, buffer)

static const struct field drive_fields[] = SAVE_FIELDS(DRIVE_FIELDS);
SAVE_ASSERT_COMPLETE(struct ide_drive_state, DRIVE_FIELDS);

void ide_raise(struct ide_drive *drive)
{
    drive->state.interrupt_pending = 1;
    ide_update_irq(drive->channel);
}

static void disarm(struct ide_drive *drive)
{
    timer_disarm(&drive->timer);
    drive->state.deadline_ns = CLOCK_NEVER;
}

void ide_wait(struct ide_drive *drive, enum ide_phase phase)
{
    struct ide_drive_state *state = &drive->state;
    state->phase = (uint8_t)phase;
    if (phase != IDE_DMA_IN && phase != IDE_DMA_OUT)
        state->status = STATUS_BUSY;
    state->deadline_ns = clock_now_ns(drive->channel->ide->clock) + STEP_NS;
    timer_arm(&drive->timer, state->deadline_ns);
}

static void end_command(struct ide_drive *drive, uint8_t status, uint8_t error)
{
    disarm(drive);
    drive->state.phase = IDE_IDLE;
    drive->state.status = STATUS_READY | STATUS_SEEK_COMPLETE | status;
    drive->state.error = error;
    ide_raise(drive);
}

void ide_complete(struct ide_drive *drive)
{
    end_command(drive, 0, 0);
}

void ide_end_quietly(struct ide_drive *drive)
{
    drive->state.phase = IDE_IDLE;
    drive->state.status = STATUS_READY | STATUS_SEEK_COMPLETE;
    drive->state.error = 0;
}

void ide_fail(struct ide_drive *drive, uint8_t error)
{
    end_command(drive, STATUS_ERROR, error);
}

void ide_abort(struct ide_drive *drive)
{
    ide_fail(drive, ERROR_ABORTED);
}

/* Shows the host one PIO block of what the buffer holds. */
static void present_block(struct ide_drive *drive, bool to_host)
{
    struct ide_drive_state *state = &drive->state;
    uint32_t length = drive->class->begin_block(drive, to_host);
    uint32_t left = state->buffer_end - state->buffer_at;
    state->block_end = state->buffer_at + (length < left ? length : left);
    state->phase = to_host ? IDE_DATA_IN : IDE_DATA_OUT;
    state->status = STATUS_READY | STATUS_SEEK_COMPLETE | STATUS_DATA_REQUEST;
}

/* Goes on with a PIO transfer: the next block, or the end. */
static void advance(struct ide_drive *drive, bool to_host, bool first)
{
    struct ide_drive_state *state = &drive->state;
    if (state->buffer_at >= state->buffer_end) {
        switch (drive->class->next(drive)) {
        case STEP_FAILED:
            return;
        case STEP_DONE:
            drive->class->finish(drive, to_host ? IDE_DATA_IN : IDE_DATA_OUT);
            return;
        case STEP_DATA:
            break;
        }
    }
    present_block(drive, to_host);
    /* WHY: the first block of a PIO write of a disk is asked for without an interrupt. */
    if (to_host || !first || state->command == COMMAND_PACKET)
        ide_raise(drive);
}

void ide_start_transfer(struct ide_drive *drive, enum ide_phase phase)
{
    struct ide_drive_state *state = &drive->state;
    state->phase = (uint8_t)phase;
    if (phase == IDE_DATA_IN || phase == IDE_DATA_OUT) {
        advance(drive, phase == IDE_DATA_IN, true);
        return;
    }
    state->status = STATUS_READY | STATUS_SEEK_COMPLETE | STATUS_DATA_REQUEST;
    ide_dma_run(drive->channel);
}

/* The host has moved the block: more of the buffer, more of the command, or the end. */
static void block_moved(struct ide_drive *drive)
{
    struct ide_drive_state *state = &drive->state;
    bool to_host = state->phase == IDE_DATA_IN;
    /* WHY: a PIO read ends with its last word, without BSY and interrupt; a packet's does not. */
    if (to_host && state->command != COMMAND_PACKET && !state->sectors_left &&
        state->buffer_at == state->buffer_end) {
        drive->class->finish(drive, IDE_DATA_IN);
        return;
    }
    ide_wait(drive, to_host ? IDE_NEXT_IN : IDE_NEXT_OUT);
}

static void reset_registers(struct ide_drive *drive)
{
    struct ide_drive_state *state = &drive->state;
    disarm(drive);
    state->phase = IDE_IDLE;
    state->buffer_at = state->block_end = state->buffer_end = 0;
    state->sectors_left = 0;
    state->interrupt_pending = 0;
    state->multiple = 0;
    state->standby = 0;
    state->hob_feature = state->hob_count = 0;
    state->hob_lba_low = state->hob_lba_mid = state->hob_lba_high = 0;
    state->error = DIAGNOSTIC_PASSED;
    drive->class->reset(drive);
}

/* Both drives of the cable report that they are well; drive 0 tells the host. */
static void run_diagnostic(struct ide_drive *drive)
{
    for (unsigned unit = 0; unit < IDE_UNITS; unit++) {
        if (drive->channel->drives[unit].class)
            reset_registers(&drive->channel->drives[unit]);
    }
    ide_raise(drive);
}

static void drive_fired(void *opaque)
{
    struct ide_drive *drive = opaque;
    struct ide_drive_state *state = &drive->state;
    state->deadline_ns = CLOCK_NEVER;
    switch ((enum ide_phase)state->phase) {
    case IDE_COMMAND:
        if (state->command == COMMAND_DIAGNOSTIC)
            run_diagnostic(drive);
        else
            drive->class->execute(drive);
        break;
    case IDE_EXECUTE:
        drive->class->packet(drive);
        break;
    case IDE_NEXT_IN:
        advance(drive, true, false);
        break;
    case IDE_NEXT_OUT:
        advance(drive, false, false);
        break;
    case IDE_DMA_IN:
    case IDE_DMA_OUT:
        ide_dma_run(drive->channel);
        break;
    default:
        break;
    }
}

void ide_poll(struct ide_drive *drive)
{
    if (drive->state.deadline_ns > clock_now_ns(drive->channel->ide->clock))
        return;
    timer_disarm(&drive->timer);
    drive_fired(drive);
}

void ide_write_command(struct ide_drive *drive, uint8_t command)
{
    struct ide_drive_state *state = &drive->state;
    bool resets = command == COMMAND_DEVICE_RESET && drive->class->packet;
    if ((state->status & STATUS_BUSY) && !resets)
        return;
    if (state->status & STATUS_DATA_REQUEST)
        guest_error("ide: command %02x while %02x still has data", command, state->command);
    state->interrupt_pending = 0;
    ide_update_irq(drive->channel);
    disarm(drive);
    state->command = command;
    state->error = 0;
    state->buffer_at = state->block_end = state->buffer_end = 0;
    state->sectors_left = 0;
    ide_wait(drive, IDE_COMMAND);
}

uint32_t ide_read_data(struct ide_drive *drive, unsigned size)
{
    struct ide_drive_state *state = &drive->state;
    uint32_t value = 0;
    if (state->phase != IDE_DATA_IN)
        return 0;
    unsigned left = state->block_end - state->buffer_at;
    memcpy(&value, state->buffer + state->buffer_at, size < left ? size : left);
    state->buffer_at += size < left ? size : left;
    if (state->buffer_at == state->block_end)
        block_moved(drive);
    return value;
}

static void write_packet(struct ide_drive *drive, unsigned size, uint32_t value)
{
    struct ide_drive_state *state = &drive->state;
    unsigned left = sizeof state->packet - state->buffer_at;
    memcpy(state->packet + state->buffer_at, &value, size < left ? size : left);
    state->buffer_at += size < left ? size : left;
    if (state->buffer_at < sizeof state->packet)
        return;
    state->buffer_at = 0;
    ide_wait(drive, IDE_EXECUTE);
}

void ide_write_data(struct ide_drive *drive, unsigned size, uint32_t value)
{
    struct ide_drive_state *state = &drive->state;
    if (state->phase == IDE_PACKET) {
        write_packet(drive, size, value);
        return;
    }
    if (state->phase != IDE_DATA_OUT)
        return;
    unsigned left = state->block_end - state->buffer_at;
    memcpy(state->buffer + state->buffer_at, &value, size < left ? size : left);
    state->buffer_at += size < left ? size : left;
    if (state->buffer_at == state->block_end)
        block_moved(drive);
}

void ide_hold_reset(struct ide_drive *drive)
{
    disarm(drive);
    drive->state.phase = IDE_SOFT_RESET;
    drive->state.status = STATUS_BUSY;
    drive->state.interrupt_pending = 0;
}

void ide_release_reset(struct ide_drive *drive)
{
    if (drive->state.phase == IDE_SOFT_RESET)
        reset_registers(drive);
}

bool ide_set_transfer_mode(struct ide_drive *drive)
{
    uint8_t mode = drive->state.count;
    bool exists = mode <= 0x01 || (mode >= 0x08 && mode <= 0x0c) ||
                  (mode >= 0x20 && mode <= 0x22) || (mode >= 0x40 && mode <= 0x45);
    if (exists && mode >= 0x20)
        drive->state.transfer_mode = mode;
    return exists;
}

void ide_identify_text(uint8_t *words, unsigned first_word, unsigned word_count, const char *text)
{
    for (unsigned i = 0; i < 2 * word_count; i++)
        words[2 * first_word + (i ^ 1)] = *text ? (uint8_t)*text++ : ' ';
}

void ide_identify_modes(const struct ide_drive *drive, uint8_t *words)
{
    enum { MULTIWORD_MODES = 0x07, ULTRA_MODES = 0x3f, PIO_MODES = 0x03, CYCLE_NS = 120 };
    uint8_t mode = drive->state.transfer_mode;
    uint16_t chosen = (uint16_t)(1u << (8 + (mode & 7)));
    store_le16(words + 2 * 53, 0x0007); /* words 54..58, 64..70 and 88 are valid */
    store_le16(words + 2 * 63, MULTIWORD_MODES | ((mode & 0xf8) == 0x20 ? chosen : 0));
    store_le16(words + 2 * 64, PIO_MODES);
    for (unsigned word = 65; word <= 68; word++)
        store_le16(words + 2 * word, CYCLE_NS);
    store_le16(words + 2 * 88, ULTRA_MODES | ((mode & 0xf8) == 0x40 ? chosen : 0));
}

static void drive_reset(void *device, enum reset_kind kind)
{
    enum { MULTIWORD_2 = 0x22 };
    struct ide_drive *drive = device;
    struct ide_drive_state *state = &drive->state;
    uint8_t tray_open = kind == RESET_POWER_ON ? 0 : state->tray_open;
    disarm(drive);
    memset(state, 0, sizeof *state);
    state->deadline_ns = CLOCK_NEVER;
    state->tray_open = tray_open;
    state->transfer_mode = MULTIWORD_2;
    state->write_cache = state->read_look_ahead = 1;
    if (!drive->class)
        return;
    reset_registers(drive);
    if (drive->class->power_on)
        drive->class->power_on(drive);
}

/* Whether a loaded state keeps INV-1 and fits the drive that is plugged in here. */
static bool is_sane(const struct ide_drive *drive)
{
    const struct ide_drive_state *state = &drive->state;
    switch (state->phase) {
    case IDE_IDLE:
        return true;
    case IDE_PACKET:
        return drive->class && drive->class->packet && state->buffer_at < sizeof state->packet;
    case IDE_EXECUTE:
        return drive->class && drive->class->packet;
    case IDE_DATA_IN:
    case IDE_DATA_OUT:
        if (state->buffer_at > state->block_end || state->block_end > state->buffer_end)
            return false;
        break;
    }
    return drive->class && state->phase < IDE_PHASES && state->buffer_at <= state->buffer_end &&
           state->buffer_end <= IDE_BUFFER_BYTES;
}

static int drive_after_load(void *device, struct error *error)
{
    struct ide_drive *drive = device;
    timer_disarm(&drive->timer);
    if (!is_sane(drive))
        return error_set(
            error, EINVAL,
            "ide-drive: the saved state is damaged, or of a machine with other drives; "
            "start with the drives that it was saved with");
    timer_arm(&drive->timer, drive->state.deadline_ns);
    return 0;
}

static void drive_detach(void *device)
{
    timer_disarm(&((struct ide_drive *)device)->timer);
}

static void drive_describe(const void *device, FILE *out)
{
    const struct ide_drive *drive = device;
    const struct ide_drive_state *state = &drive->state;
    if (!drive->class)
        return;
    fprintf(out, "ide%u.%u: %s, status %02x error %02x command %02x phase %u mode %02x\n",
            drive->channel->number, (unsigned)(drive - drive->channel->drives), drive->class->model,
            state->status, state->error, state->command, state->phase, state->transfer_mode);
    if (drive->medium)
        blockdev_describe(drive->medium, out);
}

const struct device_class ide_drive_device_class = {
    .name = "ide-drive",
    .state_offset = offsetof(struct ide_drive, state),
    .state_bytes = sizeof(struct ide_drive_state),
    .state_version = 1,
    .fields = drive_fields,
    .field_count = ARRAY_LENGTH(drive_fields),
    .reset = drive_reset,
    .after_load = drive_after_load,
    .detach = drive_detach,
    .describe = drive_describe,
};

void ide_drive_init(struct ide_drive *drive, struct ide_channel *channel)
{
    drive->channel = channel;
    drive->state.deadline_ns = CLOCK_NEVER;
    timer_init(&drive->timer, channel->ide->clock, drive_fired, drive);
}
