/* ATA disks: the commands of a general-purpose device, PIO and DMA, CHS, LBA28 and LBA48.
 *
 * Owns no state of its own: everything is in struct ide_drive_state.
 * LIMIT: no security, SMART, HPA or power-management feature sets; IDENTIFY says so and their
 * commands are aborted.
 * Source: ATA/ATAPI-6 (T13 1410D) §6.2 (addressing), §8 (commands), §9.
 */
#include "hw/ide_priv.h"

#include "base/log.h"

#include <errno.h>

enum { SECTOR_BYTES = BLOCKDEV_SECTOR_BYTES, BUFFER_SECTORS = IDE_BUFFER_BYTES / SECTOR_BYTES };

enum { MULTIPLE_MAX = 16 };

#define LBA28_END (UINT64_C(1) << 28)

enum ata_flags {
    ATA_EXTENDED = 1, /* LBA48 */
    ATA_WRITE = 2,
    ATA_DMA = 4,
    ATA_MULTIPLE = 8,
};

struct ata_command {
    void (*execute)(struct ide_drive *drive, unsigned flags);
    uint8_t flags;
};

static const struct ata_command ata_commands[256];

static bool is_extended(const struct ide_drive_state *state)
{
    return ata_commands[state->command].flags & ATA_EXTENDED;
}

/* The sector that the task file names; false: no such sector. */
static bool load_address(struct ide_drive *drive)
{
    struct ide_drive_state *state = &drive->state;
    uint64_t low = state->lba_low | (uint32_t)state->lba_mid << 8 | (uint32_t)state->lba_high << 16;
    if (is_extended(state)) {
        state->lba = low | (uint64_t)state->hob_lba_low << 24 | (uint64_t)state->hob_lba_mid << 32 |
                     (uint64_t)state->hob_lba_high << 40;
    } else if (state->device & DEVICE_LBA) {
        state->lba = low | (uint32_t)(state->device & 15) << 24;
    } else {
        uint32_t cylinder = state->lba_mid | (uint32_t)state->lba_high << 8;
        uint32_t head = state->device & 15, sector = state->lba_low;
        if (!sector || sector > state->geometry_sectors || head >= state->geometry_heads ||
            cylinder >= state->geometry_cylinders)
            return false;
        state->lba = ((uint64_t)cylinder * state->geometry_heads + head) * state->geometry_sectors +
                     sector - 1;
    }
    return true;
}

/* Writes `lba` back into the task file, in the form that the command used. */
static void store_address(struct ide_drive *drive, uint64_t lba)
{
    struct ide_drive_state *state = &drive->state;
    if (!is_extended(state) && !(state->device & DEVICE_LBA)) {
        uint32_t heads = state->geometry_heads, sectors = state->geometry_sectors;
        if (!heads || !sectors)
            return;
        uint64_t track = lba / sectors;
        state->lba_low = (uint8_t)(lba % sectors + 1);
        state->device = (uint8_t)((state->device & 0xf0) | track % heads);
        state->lba_mid = (uint8_t)(track / heads);
        state->lba_high = (uint8_t)(track / heads >> 8);
        return;
    }
    state->lba_low = (uint8_t)lba;
    state->lba_mid = (uint8_t)(lba >> 8);
    state->lba_high = (uint8_t)(lba >> 16);
    if (is_extended(state)) {
        state->hob_lba_low = (uint8_t)(lba >> 24);
        state->hob_lba_mid = (uint8_t)(lba >> 32);
        state->hob_lba_high = (uint8_t)(lba >> 40);
    } else {
        state->device = (uint8_t)((state->device & 0xf0) | (lba >> 24 & 15));
    }
}

/* Fails at sector `lba`, as the host finds it in the task file. */
static void fail_at(struct ide_drive *drive, uint64_t lba, uint8_t error)
{
    store_address(drive, lba);
    ide_fail(drive, error);
}

static uint32_t load_count(const struct ide_drive_state *state)
{
    if (is_extended(state)) {
        uint32_t count = state->count | (uint32_t)state->hob_count << 8;
        return count ? count : 0x10000;
    }
    return state->count ? state->count : 0x100;
}

/* Address and count of the task file, checked against the disk; false: the command has failed. */
static bool load_range(struct ide_drive *drive)
{
    struct ide_drive_state *state = &drive->state;
    uint64_t sectors = blockdev_sectors(drive->medium);
    if (!load_address(drive) || state->lba >= sectors) {
        ide_fail(drive, ERROR_NOT_FOUND);
        return false;
    }
    state->sectors_left = load_count(state);
    if (state->sectors_left > sectors - state->lba) {
        fail_at(drive, sectors, ERROR_NOT_FOUND);
        return false;
    }
    return true;
}

static uint32_t chunk_sectors(const struct ide_drive_state *state)
{
    unsigned flags = ata_commands[state->command].flags;
    uint32_t most = flags & ATA_DMA ? BUFFER_SECTORS : flags & ATA_MULTIPLE ? state->multiple : 1;
    if (!most || most > BUFFER_SECTORS)
        most = 1;
    return state->sectors_left < most ? state->sectors_left : most;
}

/* Reads sector by sector up to the first that fails, so that the host gets those before it and
 * learns which one is bad; returns how many were good. */
static uint32_t good_sectors(struct ide_drive *drive, uint32_t sectors)
{
    struct ide_drive_state *state = &drive->state;
    uint32_t good = 0;
    while (good < sectors && !blockdev_read(drive->medium, (state->lba + good) * SECTOR_BYTES,
                                            state->buffer + good * SECTOR_BYTES, SECTOR_BYTES))
        good++;
    return good;
}

static enum ide_step next_read(struct ide_drive *drive)
{
    struct ide_drive_state *state = &drive->state;
    if (!state->sectors_left)
        return STEP_DONE;
    uint32_t sectors = chunk_sectors(state);
    uint64_t offset = state->lba * SECTOR_BYTES;
    int status = blockdev_read(drive->medium, offset, state->buffer, sectors * SECTOR_BYTES);
    if (status && (ata_commands[state->command].flags & ATA_DMA)) {
        sectors = good_sectors(drive, sectors);
        status = sectors ? 0 : status;
    }
    if (status) {
        fail_at(drive, state->lba, ERROR_UNCORRECTABLE);
        return STEP_FAILED;
    }
    state->lba += sectors;
    state->sectors_left -= sectors;
    state->buffer_at = 0;
    state->buffer_end = sectors * SECTOR_BYTES;
    return STEP_DATA;
}

/* Writes what the host has filled in, and makes room for more.  sectors_left counts the sectors
 * that the buffer has not been given room for. */
static enum ide_step next_write(struct ide_drive *drive)
{
    struct ide_drive_state *state = &drive->state;
    uint32_t filled = state->buffer_end / SECTOR_BYTES;
    if (filled) {
        int status = blockdev_write(drive->medium, state->lba * SECTOR_BYTES, state->buffer,
                                    filled * SECTOR_BYTES);
        if (!status && !state->sectors_left && !state->write_cache)
            status = blockdev_flush(drive->medium);
        if (status) {
            fail_at(drive, state->lba,
                    status == -EROFS ? ERROR_WRITE_PROTECT | ERROR_ABORTED : ERROR_ABORTED);
            if (status != -EROFS)
                state->status |= STATUS_FAULT;
            return STEP_FAILED;
        }
        state->lba += filled;
    }
    uint32_t sectors = chunk_sectors(state);
    if (!state->sectors_left)
        return STEP_DONE;
    state->sectors_left -= sectors;
    state->buffer_at = 0;
    state->buffer_end = sectors * SECTOR_BYTES;
    return STEP_DATA;
}

static enum ide_step ata_next(struct ide_drive *drive)
{
    bool writes = ata_commands[drive->state.command].flags & ATA_WRITE;
    return writes ? next_write(drive) : next_read(drive);
}

static uint32_t ata_begin_block(struct ide_drive *drive, bool to_host)
{
    return IDE_BUFFER_BYTES;
}

static void execute_transfer(struct ide_drive *drive, unsigned flags);

static void ata_finish(struct ide_drive *drive, enum ide_phase phase)
{
    struct ide_drive_state *state = &drive->state;
    if (ata_commands[state->command].execute == execute_transfer && state->lba)
        store_address(drive, state->lba - 1);
    if (phase == IDE_DATA_IN)
        ide_end_quietly(drive);
    else
        ide_complete(drive);
}

static void execute_transfer(struct ide_drive *drive, unsigned flags)
{
    struct ide_drive_state *state = &drive->state;
    if ((flags & ATA_MULTIPLE) && !state->multiple) {
        ide_abort(drive);
        return;
    }
    if (!load_range(drive))
        return;
    if (flags & ATA_DMA)
        ide_start_transfer(drive, flags & ATA_WRITE ? IDE_DMA_OUT : IDE_DMA_IN);
    else
        ide_start_transfer(drive, flags & ATA_WRITE ? IDE_DATA_OUT : IDE_DATA_IN);
}

static void execute_verify(struct ide_drive *drive, unsigned flags)
{
    struct ide_drive_state *state = &drive->state;
    if (!load_range(drive))
        return;
    while (state->sectors_left) {
        uint32_t sectors =
            state->sectors_left < BUFFER_SECTORS ? state->sectors_left : BUFFER_SECTORS;
        if (blockdev_read(drive->medium, state->lba * SECTOR_BYTES, state->buffer,
                          sectors * SECTOR_BYTES)) {
            fail_at(drive, state->lba, ERROR_UNCORRECTABLE);
            return;
        }
        state->lba += sectors;
        state->sectors_left -= sectors;
    }
    store_address(drive, state->lba - 1);
    ide_complete(drive);
}

static void execute_seek(struct ide_drive *drive, unsigned flags)
{
    if (!load_address(drive) || drive->state.lba >= blockdev_sectors(drive->medium))
        ide_fail(drive, ERROR_NOT_FOUND);
    else
        ide_complete(drive);
}

static void execute_flush(struct ide_drive *drive, unsigned flags)
{
    if (blockdev_flush(drive->medium)) {
        ide_abort(drive);
        drive->state.status |= STATUS_FAULT;
        return;
    }
    ide_complete(drive);
}

static void execute_identify(struct ide_drive *drive, unsigned flags)
{
    struct ide_drive_state *state = &drive->state;
    ata_identify(drive, state->buffer);
    state->buffer_at = 0;
    state->buffer_end = SECTOR_BYTES;
    ide_start_transfer(drive, IDE_DATA_IN);
}

static void execute_nothing(struct ide_drive *drive, unsigned flags)
{
    ide_complete(drive);
}

static void execute_standby(struct ide_drive *drive, unsigned flags)
{
    drive->state.standby = 1;
    if (drive->state.write_cache)
        blockdev_flush(drive->medium);
    ide_complete(drive);
}

static void execute_idle(struct ide_drive *drive, unsigned flags)
{
    drive->state.standby = 0;
    ide_complete(drive);
}

static void execute_check_power(struct ide_drive *drive, unsigned flags)
{
    enum { STANDBY = 0x00, ACTIVE_OR_IDLE = 0xff };
    drive->state.count = drive->state.standby ? STANDBY : ACTIVE_OR_IDLE;
    ide_complete(drive);
}

/* The logical geometry that CHS addresses are meant in from now on. */
static void execute_set_geometry(struct ide_drive *drive, unsigned flags)
{
    struct ide_drive_state *state = &drive->state;
    uint32_t heads = (state->device & 15) + 1u, sectors = state->count;
    if (!sectors) {
        ide_abort(drive);
        return;
    }
    uint64_t cylinders = blockdev_sectors(drive->medium) / (heads * sectors);
    state->geometry_heads = (uint8_t)heads;
    state->geometry_sectors = (uint8_t)sectors;
    state->geometry_cylinders = cylinders > UINT16_MAX ? UINT16_MAX : (uint16_t)cylinders;
    ide_complete(drive);
}

static void execute_set_multiple(struct ide_drive *drive, unsigned flags)
{
    struct ide_drive_state *state = &drive->state;
    if (state->count > MULTIPLE_MAX || (state->count & (state->count - 1))) {
        state->multiple = 0;
        ide_abort(drive);
        return;
    }
    state->multiple = state->count;
    ide_complete(drive);
}

static void execute_native_max(struct ide_drive *drive, unsigned flags)
{
    uint64_t last = blockdev_sectors(drive->medium) - 1;
    drive->state.device |= DEVICE_LBA;
    if (!(flags & ATA_EXTENDED) && last >= LBA28_END)
        last = LBA28_END - 1;
    store_address(drive, last);
    ide_complete(drive);
}

static void execute_set_features(struct ide_drive *drive, unsigned flags)
{
    struct ide_drive_state *state = &drive->state;
    switch (state->feature) {
    case 0x02:
        state->write_cache = 1;
        break;
    case 0x03:
        if (!ide_set_transfer_mode(drive)) {
            ide_abort(drive);
            return;
        }
        break;
    case 0x55:
        state->read_look_ahead = 0;
        break;
    case 0x82:
        state->write_cache = 0;
        if (blockdev_flush(drive->medium)) {
            ide_abort(drive);
            return;
        }
        break;
    case 0xaa:
        state->read_look_ahead = 1;
        break;
    case 0x66: /* keep / go back to defaults over a soft reset: nothing is lost by one here */
    case 0xcc:
        break;
    default:
        ide_abort(drive);
        return;
    }
    ide_complete(drive);
}

/* What is not here is aborted.  Column 1: ATA/ATAPI-6 §8, obsolete ones from ATA-1 to ATA-5. */
static const struct ata_command ata_commands[256] = {
    [0x10 ... 0x1f] = {execute_nothing}, /* RECALIBRATE */
    [0x20] = {execute_transfer},
    [0x21] = {execute_transfer},
    [0x24] = {execute_transfer, ATA_EXTENDED},
    [0x25] = {execute_transfer, ATA_EXTENDED | ATA_DMA},
    [0x27] = {execute_native_max, ATA_EXTENDED},
    [0x29] = {execute_transfer, ATA_EXTENDED | ATA_MULTIPLE},
    [0x30] = {execute_transfer, ATA_WRITE},
    [0x31] = {execute_transfer, ATA_WRITE},
    [0x34] = {execute_transfer, ATA_EXTENDED | ATA_WRITE},
    [0x35] = {execute_transfer, ATA_EXTENDED | ATA_WRITE | ATA_DMA},
    [0x39] = {execute_transfer, ATA_EXTENDED | ATA_WRITE | ATA_MULTIPLE},
    [0x40] = {execute_verify},
    [0x41] = {execute_verify},
    [0x42] = {execute_verify, ATA_EXTENDED},
    [0x70 ... 0x7f] = {execute_seek},
    [0x91] = {execute_set_geometry},
    [0x94] = {execute_standby},
    [0x95] = {execute_idle},
    [0x96] = {execute_standby},
    [0x97] = {execute_idle},
    [0x98] = {execute_check_power},
    [0x99] = {execute_standby},
    [0xc4] = {execute_transfer, ATA_MULTIPLE},
    [0xc5] = {execute_transfer, ATA_WRITE | ATA_MULTIPLE},
    [0xc6] = {execute_set_multiple},
    [0xc8] = {execute_transfer, ATA_DMA},
    [0xc9] = {execute_transfer, ATA_DMA},
    [0xca] = {execute_transfer, ATA_WRITE | ATA_DMA},
    [0xcb] = {execute_transfer, ATA_WRITE | ATA_DMA},
    [0xe0] = {execute_standby},
    [0xe1] = {execute_idle},
    [0xe2] = {execute_standby},
    [0xe3] = {execute_idle},
    [0xe5] = {execute_check_power},
    [0xe6] = {execute_standby},
    [0xe7] = {execute_flush},
    [0xea] = {execute_flush, ATA_EXTENDED},
    [0xec] = {execute_identify},
    [0xef] = {execute_set_features},
    [0xf8] = {execute_native_max},
};

static void ata_execute(struct ide_drive *drive)
{
    const struct ata_command *command = &ata_commands[drive->state.command];
    if (!command->execute) {
        ide_abort(drive);
        return;
    }
    command->execute(drive, command->flags);
}

static void ata_reset(struct ide_drive *drive)
{
    struct ide_drive_state *state = &drive->state;
    struct blockdev_geometry geometry = blockdev_geometry(blockdev_sectors(drive->medium));
    state->geometry_cylinders = geometry.cylinders;
    state->geometry_heads = (uint8_t)geometry.heads;
    state->geometry_sectors = (uint8_t)geometry.sectors;
    state->count = state->lba_low = 1;
    state->lba_mid = state->lba_high = 0;
    state->device = 0;
    state->status = STATUS_READY | STATUS_SEEK_COMPLETE;
}

const struct ide_drive_class ata_class = {
    .model = "RING3 HARDDISK",
    .reset = ata_reset,
    .execute = ata_execute,
    .next = ata_next,
    .begin_block = ata_begin_block,
    .finish = ata_finish,
};
