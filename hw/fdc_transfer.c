/* The commands of the 82077AA that move data: READ, WRITE, FORMAT, VERIFY, SCAN, READ TRACK.
 *
 * One sector at a time lies in the buffer and moves by DMA, or byte by byte through the FIFO.  The
 * transfer ends at terminal count, after the last sector of the track, or at the first error.
 * Source: 82077AA datasheet §5.1 (data transfer commands), table 5-2 (result phase).
 */
#include "hw/dma8237.h"
#include "hw/fdc_priv.h"

#include "base/log.h"

enum { SIZE_512 = 2, FORMAT_ID_BYTES = 4 };

static unsigned code_of(const struct fdc_state *state)
{
    return state->fifo[0] & COMMAND_CODE;
}

static bool is_scan(unsigned code)
{
    return code == CODE_SCAN_EQUAL || code == CODE_SCAN_LOW_OR_EQUAL ||
           code == CODE_SCAN_HIGH_OR_EQUAL;
}

static bool is_write(unsigned code)
{
    return code == CODE_WRITE || code == CODE_WRITE_DELETED || code == CODE_FORMAT;
}

void fdc_transfer_end(struct fdc *fdc, uint8_t status0)
{
    struct fdc_state *state = &fdc->state;
    dma8237_request(fdc->dma, FDC_DMA_CHANNEL, 0);
    state->result[0] = (uint8_t)(status0 | state->side << 2 | state->drive);
    state->result[1] = state->status1;
    state->result[2] = state->status2;
    state->result[3] = state->cylinder;
    state->result[4] = state->id_side;
    state->result[5] = state->sector_number;
    state->result[6] = state->size_code;
    fdc_result(fdc, 7, true);
}

/* Whether the ID that is looked for exists under the head; else says why not in the status. */
static bool locate(struct fdc *fdc)
{
    struct fdc_state *state = &fdc->state;
    struct fdc_drive *drive = fdc_drive_at(fdc, state->drive);
    if (!drive || !drive->medium || !fdc_rate_fits(fdc, drive) || !(state->fifo[0] & COMMAND_MFM) ||
        state->side >= drive->format->heads ||
        state->head[state->drive] >= drive->format->cylinders) {
        state->status1 |= ST1_MISSING_MARK | ST1_NO_DATA;
        return false;
    }
    if (state->cylinder != state->head[state->drive]) {
        state->status1 |= ST1_NO_DATA;
        state->status2 |= ST2_WRONG_CYLINDER;
        return false;
    }
    if (state->size_code != SIZE_512 || !state->sector_number ||
        state->sector_number > drive->format->sectors) {
        state->status1 |= ST1_NO_DATA;
        return false;
    }
    return true;
}

/* The ID after this one; false: the last sector of the track (of both, multitrack) is done.
 * The ID left behind is what the result phase shows (table 5-2). */
static bool next_id(struct fdc_state *state)
{
    if (state->sector_number != state->last_sector) {
        state->sector_number++;
        return true;
    }
    state->sector_number = 1;
    if (!state->multitrack) {
        state->cylinder++;
        return false;
    }
    state->id_side ^= 1;
    if (state->id_side)
        return true;
    state->cylinder++;
    return false;
}

static void set_data_phase(struct fdc *fdc)
{
    struct fdc_state *state = &fdc->state;
    bool from_host = is_write(code_of(state)) || is_scan(code_of(state));
    state->phase = from_host ? FDC_FROM_HOST : FDC_TO_HOST;
    if (!fdc_uses_dma(state))
        fdc_set_irq(fdc, 1);
}

/* Makes the next sector ready to move; false: the transfer has ended. */
static bool begin_sector(struct fdc *fdc)
{
    struct fdc_state *state = &fdc->state;
    unsigned code = code_of(state);
    state->sector_at = 0;
    state->side = state->id_side;
    if (!locate(fdc)) {
        fdc_transfer_end(fdc, ST0_ABNORMAL);
        return false;
    }
    struct fdc_drive *drive = fdc_drive_at(fdc, state->drive);
    if (!is_write(code) && !fdc_read_sector(drive, state->cylinder, state->side,
                                            state->sector_number, state->sector)) {
        state->status1 |= ST1_DATA_ERROR;
        state->status2 |= ST2_DATA_ERROR;
        fdc_transfer_end(fdc, ST0_ABNORMAL);
        return false;
    }
    set_data_phase(fdc);
    return true;
}

/* Writes the buffer as the sector that the ID names; false: the transfer has ended. */
static bool store_sector(struct fdc *fdc)
{
    struct fdc_state *state = &fdc->state;
    if (fdc_write_sector(fdc_drive_at(fdc, state->drive), state->cylinder, state->side,
                         state->sector_number, state->sector))
        return true;
    state->status1 |= ST1_DATA_ERROR;
    state->status2 |= ST2_DATA_ERROR;
    fdc_transfer_end(fdc, ST0_ABNORMAL);
    return false;
}

/* FORMAT: the buffer holds C, H, R, N of one sector, which is filled; false: ended. */
static bool format_sector(struct fdc *fdc)
{
    struct fdc_state *state = &fdc->state;
    state->cylinder = state->sector[0];
    state->sector_number = state->sector[2];
    state->size_code = state->sector[3];
    if (state->sector[1] != state->side || !locate(fdc)) {
        fdc_transfer_end(fdc, ST0_ABNORMAL);
        return false;
    }
    memset(state->sector, state->fifo[5], sizeof state->sector);
    if (!store_sector(fdc))
        return false;
    state->sector_at = 0;
    if (--state->sectors_left)
        return true;
    fdc_transfer_end(fdc, 0);
    return false;
}

/* A whole sector has moved, or `terminal` count cut it short; false: the transfer has ended. */
static bool sector_moved(struct fdc *fdc, bool terminal)
{
    struct fdc_state *state = &fdc->state;
    unsigned code = code_of(state);
    if (is_write(code)) {
        memset(state->sector + state->sector_at, 0, sizeof state->sector - state->sector_at);
        if (!store_sector(fdc))
            return false;
    }
    bool more = next_id(state);
    if (is_scan(code) && !(state->status2 & ST2_SCAN_NOT_SATISFIED)) {
        fdc_transfer_end(fdc, 0);
        return false;
    }
    if (code == CODE_READ_TRACK && !--state->sectors_left)
        terminal = true;
    if (terminal) {
        fdc_transfer_end(fdc, 0);
        return false;
    }
    if (!more) {
        if (!is_scan(code))
            state->status1 |= ST1_END_OF_CYLINDER;
        fdc_transfer_end(fdc, is_scan(code) ? 0 : ST0_ABNORMAL);
        return false;
    }
    if (is_scan(code)) /* the next sector is judged by itself */
        state->status2 = ST2_SCAN_EQUAL;
    return begin_sector(fdc);
}

/* SCAN: FFh from the host matches everything; the first byte that fails decides. */
static void scan_byte(struct fdc_state *state, uint8_t host)
{
    uint8_t disk = state->sector[state->sector_at];
    unsigned code = code_of(state);
    if (host == 0xff || disk == 0xff || host == disk || (state->status2 & ST2_SCAN_NOT_SATISFIED))
        return;
    bool satisfied = (code == CODE_SCAN_LOW_OR_EQUAL && disk < host) ||
                     (code == CODE_SCAN_HIGH_OR_EQUAL && disk > host);
    state->status2 &= (uint8_t)~ST2_SCAN_EQUAL;
    if (!satisfied)
        state->status2 |= ST2_SCAN_NOT_SATISFIED;
}

/* Bytes of what moves as one: an ID of FORMAT, or a sector. */
static unsigned unit_bytes(const struct fdc_state *state)
{
    return code_of(state) == CODE_FORMAT ? FORMAT_ID_BYTES : FDC_SECTOR_BYTES;
}

static bool unit_moved(struct fdc *fdc, bool terminal)
{
    if (code_of(&fdc->state) != CODE_FORMAT)
        return sector_moved(fdc, terminal);
    if (fdc->state.sector_at >= FORMAT_ID_BYTES) {
        if (!format_sector(fdc))
            return false;
        if (!terminal)
            return true;
    }
    fdc_transfer_end(fdc, 0);
    return false;
}

static size_t move_by_dma(struct fdc *fdc, bool *terminal)
{
    struct fdc_state *state = &fdc->state;
    size_t left = state->sector_at < unit_bytes(state) ? unit_bytes(state) - state->sector_at : 0;
    uint8_t *at = state->sector + state->sector_at;
    if (state->phase == FDC_TO_HOST)
        return dma8237_write_memory(fdc->dma, FDC_DMA_CHANNEL, at, left, terminal);
    if (!is_scan(code_of(state)))
        return dma8237_read_memory(fdc->dma, FDC_DMA_CHANNEL, at, left, terminal);
    uint8_t bytes[FDC_SECTOR_BYTES];
    size_t moved = dma8237_read_memory(fdc->dma, FDC_DMA_CHANNEL, bytes, left, terminal);
    for (size_t i = 0; i < moved; i++, state->sector_at++)
        scan_byte(state, bytes[i]);
    state->sector_at -= (uint16_t)moved;
    return moved;
}

void fdc_transfer_pump(void *opaque)
{
    struct fdc *fdc = opaque;
    struct fdc_state *state = &fdc->state;
    while ((state->phase == FDC_TO_HOST || state->phase == FDC_FROM_HOST) && fdc_uses_dma(state)) {
        bool terminal = false;
        size_t moved = move_by_dma(fdc, &terminal);
        state->sector_at += (uint16_t)moved;
        bool whole = state->sector_at >= unit_bytes(state);
        if (!whole && !terminal)
            return;
        if (!unit_moved(fdc, terminal))
            return;
    }
}

/* The byte that the host moved may have been the last of its sector. */
static void byte_moved(struct fdc *fdc)
{
    struct fdc_state *state = &fdc->state;
    state->sector_at++;
    if (state->sector_at >= unit_bytes(state))
        unit_moved(fdc, false);
}

uint8_t fdc_transfer_read_byte(struct fdc *fdc)
{
    uint8_t value = fdc->state.sector[fdc->state.sector_at];
    byte_moved(fdc);
    return value;
}

void fdc_transfer_write_byte(struct fdc *fdc, uint8_t value)
{
    struct fdc_state *state = &fdc->state;
    if (is_scan(code_of(state)))
        scan_byte(state, value);
    else
        state->sector[state->sector_at] = value;
    byte_moved(fdc);
}

/* VERIFY reads its sectors without moving them anywhere. */
static void verify(struct fdc *fdc)
{
    enum { ENABLE_COUNT = 0x80 };
    struct fdc_state *state = &fdc->state;
    state->sectors_left = state->fifo[1] & ENABLE_COUNT ? state->fifo[8] : 0;
    bool counted = state->sectors_left;
    for (;;) {
        if (!begin_sector(fdc))
            return;
        if (!next_id(state) || (counted && !--state->sectors_left))
            break;
    }
    fdc_transfer_end(fdc, 0);
}

static void take_parameters(struct fdc_state *state)
{
    state->drive = state->fifo[1] & 3;
    state->side = state->id_side = state->fifo[1] >> 2 & 1;
    state->multitrack = state->fifo[0] & COMMAND_MULTITRACK ? 1 : 0;
    state->status1 = state->status2 = 0;
    state->sectors_left = 0;
    if (code_of(state) == CODE_FORMAT) {
        state->size_code = state->fifo[2];
        state->sectors_left = state->fifo[3];
        state->cylinder = state->head[state->drive];
        state->sector_number = 1;
        return;
    }
    state->cylinder = state->fifo[2];
    state->sector_number = state->fifo[4];
    state->size_code = state->fifo[5];
    state->last_sector = state->end_of_track = state->fifo[6];
    if (code_of(state) == CODE_READ_TRACK) {
        state->sector_number = 1;
        state->sectors_left = state->last_sector ? state->last_sector : 1;
        state->multitrack = 0;
    }
    if (is_scan(code_of(state)))
        state->status2 = ST2_SCAN_EQUAL;
    if (code_of(state) == CODE_READ_DELETED) /* the marks that are there are not deleted ones */
        state->status2 = ST2_CONTROL_MARK;
}

/* What makes the command end before it begins; sets the status. */
static bool is_refused(struct fdc *fdc)
{
    struct fdc_state *state = &fdc->state;
    unsigned code = code_of(state);
    const struct fdc_drive *drive = fdc_drive_at(fdc, state->drive);
    bool has_disk = drive && drive->medium && fdc_rate_fits(fdc, drive);
    if (is_write(code) && has_disk && drive->medium->read_only)
        state->status1 |= ST1_NOT_WRITABLE;
    else if (code == CODE_FORMAT && !has_disk)
        state->status1 |= ST1_MISSING_MARK;
    else if (code != CODE_FORMAT && state->fifo[3] != state->side) /* an ID names its side */
        state->status1 |= ST1_NO_DATA;
    return state->status1;
}

void fdc_transfer_begin(struct fdc *fdc)
{
    struct fdc_state *state = &fdc->state;
    unsigned code = code_of(state);
    take_parameters(state);
    if (code != CODE_FORMAT && (state->configure[0] & CONFIGURE_IMPLIED_SEEK)) {
        fdc_step_to(fdc, state->drive, state->cylinder);
        state->track_register[state->drive] = state->cylinder;
    }
    if (is_refused(fdc)) {
        fdc_transfer_end(fdc, ST0_ABNORMAL);
        return;
    }
    if (code == CODE_VERIFY) {
        verify(fdc);
        return;
    }
    if (code == CODE_FORMAT) {
        if (!state->sectors_left) {
            fdc_transfer_end(fdc, 0);
            return;
        }
        state->sector_at = 0;
        set_data_phase(fdc);
    } else if (!begin_sector(fdc)) {
        return;
    }
    if (fdc_uses_dma(state) && dma8237_request(fdc->dma, FDC_DMA_CHANNEL, 1))
        fdc_transfer_pump(fdc);
}
