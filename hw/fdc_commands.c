/* The commands of the 82077AA that move no data: seeks, status, configuration.
 *
 * Source: 82077AA datasheet §5 (command set), §6.
 */
#include "hw/fdc_priv.h"

#include "base/log.h"

enum {
    SEEK_BASE_NS = 50000,
    STEP_NS = 20000,
    COMMAND_NS = 50000,
    CYLINDER_MAX = 83, /* where the drive's stop is */
    RECALIBRATE_STEPS = 79,
    VERSION_82077AA = 0x90,
};

struct fdc_command {
    uint8_t length;
    void (*execute)(struct fdc *fdc);
};

static const struct fdc_command *find_command(uint8_t code);

unsigned fdc_command_length(uint8_t code)
{
    const struct fdc_command *command = find_command(code);
    return command ? command->length : 1;
}

/* Moves the head; steps clear the disk-change line when there is a disk to see. */
void fdc_step_to(struct fdc *fdc, unsigned drive, unsigned cylinder)
{
    struct fdc_state *state = &fdc->state;
    struct fdc_drive *at = fdc_drive_at(fdc, drive);
    if (cylinder > CYLINDER_MAX)
        cylinder = CYLINDER_MAX;
    if (at && at->medium && cylinder != state->head[drive])
        state->disk_changed[drive] = 0;
    state->head[drive] = (uint8_t)cylinder;
}

static void start_seek(struct fdc *fdc, unsigned drive, unsigned cylinder, unsigned track_register)
{
    struct fdc_state *state = &fdc->state;
    unsigned steps = cylinder > state->head[drive] ? cylinder - state->head[drive]
                                                   : state->head[drive] - cylinder;
    fdc_step_to(fdc, drive, cylinder);
    state->track_register[drive] = (uint8_t)track_register;
    state->seek_ns[drive] = clock_now_ns(fdc->clock) + SEEK_BASE_NS + (int64_t)steps * STEP_NS;
    fdc_arm(fdc);
    fdc_idle(fdc);
}

static void seek(struct fdc *fdc)
{
    struct fdc_state *state = &fdc->state;
    unsigned drive = state->fifo[1] & 3;
    state->sense_status[drive] = (uint8_t)(ST0_SEEK_END | (state->fifo[1] & 7));
    start_seek(fdc, drive, state->fifo[2], state->fifo[2]);
}

static void relative_seek(struct fdc *fdc)
{
    enum { INWARD = 0x40 };
    struct fdc_state *state = &fdc->state;
    unsigned drive = state->fifo[1] & 3, steps = state->fifo[2];
    unsigned from = state->head[drive];
    unsigned to = state->fifo[0] & INWARD ? from + steps : from > steps ? from - steps : 0;
    unsigned tracks = state->track_register[drive];
    state->sense_status[drive] = (uint8_t)(ST0_SEEK_END | (state->fifo[1] & 7));
    start_seek(fdc, drive, to,
               state->fifo[0] & INWARD ? tracks + steps
               : tracks > steps        ? tracks - steps
                                       : 0);
}

static void recalibrate(struct fdc *fdc)
{
    struct fdc_state *state = &fdc->state;
    unsigned drive = state->fifo[1] & 3;
    unsigned head = state->head[drive];
    bool reaches = head <= RECALIBRATE_STEPS && fdc_drive_at(fdc, drive);
    state->sense_status[drive] =
        (uint8_t)(ST0_SEEK_END | drive | (reaches ? 0 : ST0_ABNORMAL | ST0_EQUIPMENT));
    start_seek(fdc, drive, reaches || head < RECALIBRATE_STEPS ? 0 : head - RECALIBRATE_STEPS, 0);
}

void fdc_seek_over(struct fdc *fdc, unsigned drive)
{
    fdc->state.seek_ns[drive] = CLOCK_NEVER;
    fdc->state.sense_pending |= 1u << drive;
    fdc_set_irq(fdc, 1);
}

static void sense_interrupt(struct fdc *fdc)
{
    struct fdc_state *state = &fdc->state;
    if (!state->sense_pending) {
        state->result[0] = ST0_INVALID;
        fdc_result(fdc, 1, false);
        return;
    }
    unsigned drive = (unsigned)__builtin_ctz(state->sense_pending);
    state->sense_pending &= (uint8_t)(state->sense_pending - 1);
    fdc_set_irq(fdc, 0);
    state->result[0] = state->sense_status[drive & 3];
    state->result[1] = state->track_register[drive & 3];
    fdc_result(fdc, 2, false);
}

static void sense_drive(struct fdc *fdc)
{
    struct fdc_state *state = &fdc->state;
    unsigned number = state->fifo[1] & 3;
    const struct fdc_drive *drive = fdc_drive_at(fdc, number);
    uint8_t status = (uint8_t)(ST3_READY | ST3_TWO_SIDED | (state->fifo[1] & 7));
    if (drive && !state->head[number])
        status |= ST3_TRACK_0;
    if (drive && drive->medium && drive->medium->read_only)
        status |= ST3_WRITE_PROTECTED;
    state->result[0] = status;
    fdc_result(fdc, 1, false);
}

static void specify(struct fdc *fdc)
{
    memcpy(fdc->state.specify, fdc->state.fifo + 1, 2);
    fdc_idle(fdc);
}

static void configure(struct fdc *fdc)
{
    memcpy(fdc->state.configure, fdc->state.fifo + 2, 2);
    fdc_idle(fdc);
}

static void set_perpendicular(struct fdc *fdc)
{
    enum { OVERWRITE = 0x80, DRIVES = 0x3c, GAP_AND_GATE = 0x03 };
    struct fdc_state *state = &fdc->state;
    uint8_t value = state->fifo[1];
    uint8_t mask = value & OVERWRITE ? DRIVES | GAP_AND_GATE : GAP_AND_GATE;
    state->perpendicular = (uint8_t)((state->perpendicular & ~mask) | (value & mask));
    fdc_idle(fdc);
}

static void set_lock(struct fdc *fdc)
{
    fdc->state.locked = fdc->state.fifo[0] >> 7;
    fdc->state.result[0] = (uint8_t)(fdc->state.locked << 4);
    fdc_result(fdc, 1, false);
}

static void version(struct fdc *fdc)
{
    fdc->state.result[0] = VERSION_82077AA;
    fdc_result(fdc, 1, false);
}

static void dump_registers(struct fdc *fdc)
{
    struct fdc_state *state = &fdc->state;
    memcpy(state->result, state->track_register, 4);
    memcpy(state->result + 4, state->specify, 2);
    state->result[6] = state->end_of_track;
    state->result[7] = (uint8_t)(state->locked << 7 | (state->perpendicular & 0x3f));
    memcpy(state->result + 8, state->configure, 2);
    fdc_result(fdc, 10, false);
}

static void wait_for_disk(struct fdc *fdc)
{
    fdc_wait(fdc, COMMAND_NS);
}

/* READ ID finds whichever sector passes the head now. */
static void read_id(struct fdc *fdc)
{
    enum { TURN_NS = 200000000 };
    struct fdc_state *state = &fdc->state;
    unsigned number = state->fifo[1] & 3;
    struct fdc_drive *drive = fdc_drive_at(fdc, number);
    state->drive = (uint8_t)number;
    state->side = state->id_side = state->fifo[1] >> 2 & 1;
    state->status1 = state->status2 = 0;
    state->cylinder = state->head[number];
    state->size_code = 2;
    if (!drive || !drive->medium || !fdc_rate_fits(fdc, drive) || !(state->fifo[0] & COMMAND_MFM) ||
        state->head[number] >= drive->format->cylinders || state->side >= drive->format->heads) {
        state->status1 = ST1_MISSING_MARK;
        state->sector_number = 1;
        fdc_transfer_end(fdc, ST0_ABNORMAL);
        return;
    }
    uint64_t turned = (uint64_t)clock_now_ns(fdc->clock) % TURN_NS;
    state->sector_number = (uint8_t)(1 + turned * drive->format->sectors / TURN_NS);
    fdc_transfer_end(fdc, 0);
}

void fdc_wait_over(struct fdc *fdc)
{
    if ((fdc->state.fifo[0] & COMMAND_CODE) == CODE_READ_ID)
        read_id(fdc);
    else
        fdc_transfer_begin(fdc);
}

static const struct fdc_command *find_command(uint8_t code)
{
    static const struct {
        uint8_t mask, value; /* the command byte, its option bits aside */
        struct fdc_command command;
    } commands[] = {
        {0x9f, CODE_READ_TRACK, {9, wait_for_disk}},
        {0xff, 0x03, {3, specify}},
        {0xff, 0x04, {2, sense_drive}},
        {0x3f, CODE_WRITE, {9, wait_for_disk}},
        {0x1f, CODE_READ, {9, wait_for_disk}},
        {0xff, 0x07, {2, recalibrate}},
        {0xff, 0x08, {1, sense_interrupt}},
        {0x3f, CODE_WRITE_DELETED, {9, wait_for_disk}},
        {0xbf, CODE_READ_ID, {2, wait_for_disk}},
        {0x1f, CODE_READ_DELETED, {9, wait_for_disk}},
        {0xbf, CODE_FORMAT, {6, wait_for_disk}},
        {0xff, 0x0e, {1, dump_registers}},
        {0xff, 0x0f, {3, seek}},
        {0xbf, 0x8f, {3, relative_seek}},
        {0xff, 0x10, {1, version}},
        {0x1f, CODE_SCAN_EQUAL, {9, wait_for_disk}},
        {0xff, 0x12, {2, set_perpendicular}},
        {0xff, 0x13, {4, configure}},
        {0x7f, 0x14, {1, set_lock}},
        {0x1f, CODE_VERIFY, {9, wait_for_disk}},
        {0x1f, CODE_SCAN_LOW_OR_EQUAL, {9, wait_for_disk}},
        {0x1f, CODE_SCAN_HIGH_OR_EQUAL, {9, wait_for_disk}},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(commands); i++) {
        if ((code & commands[i].mask) == commands[i].value)
            return &commands[i].command;
    }
    return NULL;
}

void fdc_execute(struct fdc *fdc)
{
    const struct fdc_command *command = find_command(fdc->state.fifo[0]);
    if (command) {
        command->execute(fdc);
        return;
    }
    guest_error("fdc: invalid command %02x", fdc->state.fifo[0]);
    fdc->state.result[0] = ST0_INVALID;
    fdc_result(fdc, 1, false);
}
