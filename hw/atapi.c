/* ATAPI CD drives: the PACKET protocol, sense data, medium and tray, reading sectors.
 *
 * An image is one data track of Mode 1 sectors of 2048 bytes; beyond what fits on a CD it is shown
 * as a DVD.  Audio, sessions and writing are not offered.
 * Sources: ATA/ATAPI-6 §9.7, §9.8 (PACKET); MMC-3; SPC-2.
 */
#include "hw/atapi_priv.h"

#include "base/log.h"

#include <errno.h>

enum {
    CD_SECTORS_MAX = 99 * 60 * 75 + 59 * 75 + 74 - CD_LEAD_IN_SECTORS,
    BUFFER_SECTORS = IDE_BUFFER_BYTES / CD_SECTOR_BYTES,
    BYTE_LIMIT_MAX = 0xfffe,
};

enum atapi_flags {
    NEEDS_MEDIUM = 1,
    SKIPS_ATTENTION = 2, /* answers though a unit attention is pending (MMC-3 §4.1) */
};

struct atapi_command {
    void (*execute)(struct ide_drive *drive);
    uint8_t flags;
};

uint32_t atapi_sectors(const struct ide_drive *drive)
{
    if (!drive->medium || drive->state.tray_open)
        return 0;
    uint64_t sectors = (drive->medium->bytes + CD_SECTOR_BYTES - 1) / CD_SECTOR_BYTES;
    return sectors > INT32_MAX ? INT32_MAX : (uint32_t)sectors;
}

bool atapi_is_dvd(const struct ide_drive *drive)
{
    return atapi_sectors(drive) > CD_SECTORS_MAX;
}

void atapi_good(struct ide_drive *drive)
{
    drive->state.count = REASON_COMMAND | REASON_TO_HOST;
    ide_complete(drive);
}

void atapi_fail(struct ide_drive *drive, enum sense_keys key, enum sense_codes code)
{
    struct ide_drive_state *state = &drive->state;
    state->sense_key = (uint8_t)key;
    state->sense_code = (uint8_t)(code >> 8);
    state->sense_qualifier = (uint8_t)code;
    state->sectors_left = 0;
    state->count = REASON_COMMAND | REASON_TO_HOST;
    ide_fail(drive, (uint8_t)(key << 4 | (key == SENSE_ILLEGAL_REQUEST ? ERROR_ABORTED : 0)));
}

static void start(struct ide_drive *drive, bool to_host)
{
    bool dma = drive->state.feature & 1;
    if (dma)
        ide_start_transfer(drive, to_host ? IDE_DMA_IN : IDE_DMA_OUT);
    else
        ide_start_transfer(drive, to_host ? IDE_DATA_IN : IDE_DATA_OUT);
}

void atapi_reply(struct ide_drive *drive, uint32_t length, uint32_t allocation)
{
    drive->state.buffer_at = 0;
    drive->state.buffer_end = length < allocation ? length : allocation;
    drive->state.sectors_left = 0;
    if (!drive->state.buffer_end)
        atapi_good(drive);
    else
        start(drive, true);
}

static bool read_sectors(struct ide_drive *drive, uint32_t count, uint8_t *to)
{
    uint64_t offset = drive->state.lba * CD_SECTOR_BYTES;
    uint64_t length = (uint64_t)count * CD_SECTOR_BYTES;
    uint64_t bytes = drive->medium ? drive->medium->bytes : 0;
    uint64_t inside = offset >= bytes ? 0 : bytes - offset < length ? bytes - offset : length;
    memset(to + inside, 0, length - inside);
    return !blockdev_read(drive->medium, inside ? offset : 0, to, inside);
}

/* Fills the buffer with the next sectors in the form that the packet asked for. */
static enum ide_step next_sectors(struct ide_drive *drive)
{
    struct ide_drive_state *state = &drive->state;
    if (!state->sectors_left)
        return STEP_DONE;
    uint32_t count = state->sectors_left < BUFFER_SECTORS ? state->sectors_left : BUFFER_SECTORS;
    if (!atapi_sectors(drive)) {
        atapi_fail(drive, SENSE_NOT_READY, SENSE_NO_MEDIUM_TRAY_CLOSED);
        return STEP_FAILED;
    }
    uint8_t user_data[CD_SECTOR_BYTES];
    bool cooked = state->sector_parts == PART_USER_DATA;
    state->buffer_at = state->buffer_end = 0;
    if (!cooked)
        count = 1;
    if (!read_sectors(drive, count, cooked ? state->buffer : user_data)) {
        atapi_fail(drive, SENSE_MEDIUM_ERROR, SENSE_UNRECOVERED_READ);
        return STEP_FAILED;
    }
    state->buffer_end = cooked ? count * CD_SECTOR_BYTES
                               : cd_sector_build(state->buffer, user_data, (uint32_t)state->lba,
                                                 state->sector_parts);
    state->lba += count;
    state->sectors_left -= count;
    return STEP_DATA;
}

static enum ide_step atapi_next(struct ide_drive *drive)
{
    bool to_device = drive->state.phase == IDE_DMA_OUT || drive->state.phase == IDE_NEXT_OUT;
    if (to_device)
        return atapi_mode_select_apply(drive) ? STEP_DONE : STEP_FAILED;
    return next_sectors(drive);
}

static uint32_t atapi_begin_block(struct ide_drive *drive, bool to_host)
{
    struct ide_drive_state *state = &drive->state;
    uint32_t left = state->buffer_end - state->buffer_at;
    if (state->command != COMMAND_PACKET) /* IDENTIFY PACKET DEVICE */
        return left;
    uint32_t length = left < state->byte_limit ? left : state->byte_limit;
    state->count = to_host ? REASON_TO_HOST : 0;
    state->lba_mid = (uint8_t)length;
    state->lba_high = (uint8_t)(length >> 8);
    return length;
}

static void atapi_finish(struct ide_drive *drive, enum ide_phase phase)
{
    if (drive->state.command == COMMAND_PACKET)
        atapi_good(drive);
    else
        ide_end_quietly(drive);
}

static void read_range(struct ide_drive *drive, uint32_t lba, uint32_t count, unsigned parts)
{
    struct ide_drive_state *state = &drive->state;
    uint32_t sectors = atapi_sectors(drive);
    if (lba > sectors || count > sectors - lba) {
        atapi_fail(drive, SENSE_ILLEGAL_REQUEST, SENSE_NO_SUCH_SECTOR);
        return;
    }
    if (!count || !cd_sector_bytes(parts)) {
        atapi_good(drive);
        return;
    }
    state->lba = lba;
    state->sectors_left = count;
    state->sector_parts = (uint8_t)parts;
    state->buffer_at = state->buffer_end = 0;
    start(drive, true);
}

static void test_unit_ready(struct ide_drive *drive)
{
    atapi_good(drive);
}

static void read_10(struct ide_drive *drive)
{
    const uint8_t *packet = drive->state.packet;
    read_range(drive, load_be32(packet + 2), load_be16(packet + 7), PART_USER_DATA);
}

static void read_12(struct ide_drive *drive)
{
    const uint8_t *packet = drive->state.packet;
    read_range(drive, load_be32(packet + 2), load_be32(packet + 6), PART_USER_DATA);
}

/* READ CD and READ CD MSF: only Mode 1 sectors are there, and only parts that lie side by side. */
static void read_cd_range(struct ide_drive *drive, uint32_t lba, uint32_t count)
{
    const uint8_t *packet = drive->state.packet;
    unsigned kind = packet[1] >> 2 & 7;
    unsigned parts = packet[9] & (PART_SYNC | PART_HEADER | PART_USER_DATA | PART_ECC);
    unsigned order = (parts & PART_SYNC ? 8 : 0) | (parts & PART_HEADER ? 4 : 0) |
                     (parts & PART_USER_DATA ? 2 : 0) | (parts & PART_ECC ? 1 : 0);
    unsigned lowest = order & -order;
    if (kind == 1 || kind > 2) {
        atapi_fail(drive, SENSE_ILLEGAL_REQUEST, SENSE_MODE_OF_TRACK);
    } else if ((packet[9] & 0x07) || (packet[10] & 7) || (order & (order + lowest))) {
        atapi_fail(drive, SENSE_ILLEGAL_REQUEST, SENSE_FIELD_IN_PACKET);
    } else {
        read_range(drive, lba, count, parts);
    }
}

static void read_cd(struct ide_drive *drive)
{
    const uint8_t *packet = drive->state.packet;
    read_cd_range(drive, load_be32(packet + 2), load_be24(packet + 6));
}

static void read_cd_msf(struct ide_drive *drive)
{
    const uint8_t *packet = drive->state.packet;
    uint32_t first = (packet[3] * 60u + packet[4]) * 75 + packet[5];
    uint32_t end = (packet[6] * 60u + packet[7]) * 75 + packet[8];
    if (first < CD_LEAD_IN_SECTORS || end < first) {
        atapi_fail(drive, SENSE_ILLEGAL_REQUEST, SENSE_FIELD_IN_PACKET);
        return;
    }
    read_cd_range(drive, first - CD_LEAD_IN_SECTORS, end - first);
}

static void seek_10(struct ide_drive *drive)
{
    if (load_be32(drive->state.packet + 2) >= atapi_sectors(drive))
        atapi_fail(drive, SENSE_ILLEGAL_REQUEST, SENSE_NO_SUCH_SECTOR);
    else
        atapi_good(drive);
}

static void start_stop(struct ide_drive *drive)
{
    enum { START = 1, LOAD_EJECT = 2 };
    struct ide_drive_state *state = &drive->state;
    if (state->packet[4] & LOAD_EJECT) {
        bool opens = !(state->packet[4] & START);
        if (opens && state->tray_locked) {
            atapi_fail(drive, SENSE_ILLEGAL_REQUEST, SENSE_REMOVAL_PREVENTED);
            return;
        }
        if (opens != state->tray_open && drive->medium) {
            state->media_event = opens ? EVENT_REMOVAL : EVENT_NEW_MEDIUM;
            if (!opens)
                state->attention_code = SENSE_MEDIUM_CHANGED >> 8;
        }
        state->tray_open = opens;
    }
    atapi_good(drive);
}

static void prevent_removal(struct ide_drive *drive)
{
    drive->state.tray_locked = drive->state.packet[4] & 1;
    atapi_good(drive);
}

static const struct atapi_command packets[256] = {
    [0x00] = {test_unit_ready, NEEDS_MEDIUM},
    [0x03] = {atapi_request_sense, SKIPS_ATTENTION},
    [0x12] = {atapi_inquiry, SKIPS_ATTENTION},
    [0x1b] = {start_stop},
    [0x1e] = {prevent_removal},
    [0x25] = {atapi_read_capacity, NEEDS_MEDIUM},
    [0x28] = {read_10, NEEDS_MEDIUM},
    [0x2b] = {seek_10, NEEDS_MEDIUM},
    [0x42] = {atapi_read_subchannel, NEEDS_MEDIUM},
    [0x43] = {atapi_read_toc, NEEDS_MEDIUM},
    [0x44] = {atapi_read_header, NEEDS_MEDIUM},
    [0x46] = {atapi_get_configuration, SKIPS_ATTENTION},
    [0x4a] = {atapi_get_event_status, SKIPS_ATTENTION},
    [0x4e] = {atapi_good, NEEDS_MEDIUM}, /* STOP PLAY/SCAN: nothing plays */
    [0x51] = {atapi_read_disc_information, NEEDS_MEDIUM},
    [0x52] = {atapi_read_track_information, NEEDS_MEDIUM},
    [0x55] = {atapi_mode_select},
    [0x5a] = {atapi_mode_sense},
    [0xa8] = {read_12, NEEDS_MEDIUM},
    [0xad] = {atapi_read_dvd_structure, NEEDS_MEDIUM},
    [0xb9] = {read_cd_msf, NEEDS_MEDIUM},
    [0xbb] = {atapi_good}, /* SET CD SPEED */
    [0xbd] = {atapi_mechanism_status},
    [0xbe] = {read_cd, NEEDS_MEDIUM},
};

static void atapi_packet(struct ide_drive *drive)
{
    struct ide_drive_state *state = &drive->state;
    const struct atapi_command *command = &packets[state->packet[0]];
    state->buffer_at = state->buffer_end = 0;
    state->sectors_left = 0;
    if (state->attention_code && !(command->flags & SKIPS_ATTENTION)) {
        unsigned code = (unsigned)state->attention_code << 8 | state->attention_qualifier;
        state->attention_code = state->attention_qualifier = 0;
        atapi_fail(drive, SENSE_UNIT_ATTENTION, code);
        return;
    }
    if (state->packet[0] != 0x03)
        state->sense_key = state->sense_code = state->sense_qualifier = 0;
    if (!command->execute)
        atapi_fail(drive, SENSE_ILLEGAL_REQUEST, SENSE_NO_SUCH_COMMAND);
    else if ((command->flags & NEEDS_MEDIUM) && !atapi_sectors(drive))
        atapi_fail(drive, SENSE_NOT_READY,
                   state->tray_open ? SENSE_NO_MEDIUM_TRAY_OPEN : SENSE_NO_MEDIUM_TRAY_CLOSED);
    else
        command->execute(drive);
}

static void store_signature(struct ide_drive_state *state)
{
    state->count = state->lba_low = 1;
    state->lba_mid = 0x14;
    state->lba_high = 0xeb;
}

static void execute_packet(struct ide_drive *drive)
{
    struct ide_drive_state *state = &drive->state;
    uint32_t limit = state->lba_mid | (uint32_t)state->lba_high << 8;
    /* A block is a whole number of words; a limit of 0 or 65535 means as much as there can be. */
    state->byte_limit = limit < 2 || limit == 0xffff ? BYTE_LIMIT_MAX : (uint16_t)(limit & ~1u);
    state->buffer_at = 0;
    state->phase = IDE_PACKET;
    state->count = REASON_COMMAND;
    state->status = STATUS_READY | STATUS_SEEK_COMPLETE | STATUS_DATA_REQUEST;
}

static void execute_set_features(struct ide_drive *drive)
{
    bool known = drive->state.feature == 0x03
                     ? ide_set_transfer_mode(drive)
                     : drive->state.feature == 0x66 || drive->state.feature == 0xcc;
    if (known)
        ide_complete(drive);
    else
        ide_abort(drive);
}

static void atapi_reset(struct ide_drive *drive)
{
    store_signature(&drive->state);
    drive->state.device = 0;
    drive->state.status = 0;
}

/* What only power or the reset line brings back; SRST leaves a packet device's own state alone. */
static void atapi_power_on(struct ide_drive *drive)
{
    enum { RETRIES = 5 };
    static const uint8_t audio_page[14] = {4, 0, 0, 0, 0, 0, 1, 255, 2, 255};
    struct ide_drive_state *state = &drive->state;
    memcpy(state->audio_page, audio_page, sizeof audio_page);
    state->error_page[1] = RETRIES;
    state->attention_code = SENSE_WAS_RESET >> 8;
}

static void atapi_execute(struct ide_drive *drive)
{
    struct ide_drive_state *state = &drive->state;
    switch (state->command) {
    case COMMAND_DEVICE_RESET: /* ends without an interrupt */
        store_signature(state);
        state->device &= DEVICE_UNIT;
        state->phase = IDE_IDLE;
        state->status = 0;
        state->error = DIAGNOSTIC_PASSED;
        return;
    case 0x20: /* READ SECTORS and IDENTIFY DEVICE: aborted, and the signature tells why */
    case 0x21:
    case 0xec:
        store_signature(state);
        ide_abort(drive);
        return;
    case COMMAND_PACKET:
        execute_packet(drive);
        return;
    case 0xa1:
        atapi_identify(drive, state->buffer);
        state->buffer_at = 0;
        state->buffer_end = 512;
        ide_start_transfer(drive, IDE_DATA_IN);
        return;
    case 0xe0: /* the power modes, which a drive that never spins has all of */
    case 0xe1:
    case 0xe2:
    case 0xe3:
    case 0xe6:
        ide_complete(drive);
        return;
    case 0xe5:
        state->count = 0xff;
        ide_complete(drive);
        return;
    case COMMAND_SET_FEATURES:
        execute_set_features(drive);
        return;
    default:
        ide_abort(drive);
        return;
    }
}

const struct ide_drive_class atapi_class = {
    .model = "RING3 CD-ROM",
    .reset = atapi_reset,
    .power_on = atapi_power_on,
    .execute = atapi_execute,
    .packet = atapi_packet,
    .next = atapi_next,
    .begin_block = atapi_begin_block,
    .finish = atapi_finish,
};

int ide_change_cd(struct ide *ide, unsigned channel, unsigned unit, struct blockdev *image,
                  bool force, struct blockdev **old, struct error *error)
{
    struct ide_drive *drive =
        channel < IDE_CHANNELS && unit < IDE_UNITS ? &ide->channels[channel].drives[unit] : NULL;
    if (!drive || drive->class != &atapi_class)
        return error_set(error, ENODEV, "ide%u.%u: there is no CD drive; see info block", channel,
                         unit);
    struct ide_drive_state *state = &drive->state;
    if (state->tray_locked && !state->tray_open && !force) {
        state->media_event = EVENT_EJECT_REQUEST;
        return error_set(error, EBUSY,
                         "ide%u.%u: the guest has locked the tray; eject the CD in the guest, or "
                         "use force",
                         channel, unit);
    }
    if (old)
        *old = drive->medium;
    drive->medium = image;
    state->tray_open = 0;
    state->attention_code = SENSE_MEDIUM_CHANGED >> 8;
    state->attention_qualifier = 0;
    state->media_event = image ? EVENT_NEW_MEDIUM : EVENT_REMOVAL;
    return 0;
}
