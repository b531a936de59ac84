/* The 82077AA's registers, its phases, timer and reset (see fdc.h).
 *
 * Source: 82077AA datasheet §2 (registers), §4 (reset), §5 (phases).
 */
#include "hw/fdc_priv.h"

#include "hw/dma8237.h"

#include "base/log.h"

#include <errno.h>

enum {
    PORT_STATUS_A = 0,
    PORT_STATUS_B = 1,
    PORT_OUTPUT = 2,
    PORT_TAPE = 3,
    PORT_MAIN_STATUS = 4, /* write: data rate select */
    PORT_FIFO = 5,
    RESET_NS = 20000,
    RATE_AFTER_RESET = 2, /* 250 kb/s */
};

#define FDC_FIELDS(FIELD, ARRAY)                                                                   \
    ARRAY(struct fdc_state, seek_ns)                                                               \
    FIELD(struct fdc_state, command_ns)                                                            \
    FIELD(struct fdc_state, sector_at)                                                             \
    FIELD(struct fdc_state, sectors_left)                                                          \
    FIELD(struct fdc_state, dor)                                                                   \
    FIELD(struct fdc_state, tdr)                                                                   \
    FIELD(struct fdc_state, dsr)                                                                   \
    FIELD(struct fdc_state, ccr)                                                                   \
    FIELD(struct fdc_state, phase)                                                                 \
    FIELD(struct fdc_state, fifo_at)                                                               \
    FIELD(struct fdc_state, result_at)                                                             \
    FIELD(struct fdc_state, result_length)                                                         \
    ARRAY(struct fdc_state, fifo)                                                                  \
    ARRAY(struct fdc_state, result)                                                                \
    FIELD(struct fdc_state, irq_level)                                                             \
    FIELD(struct fdc_state, sense_pending)                                                         \
    ARRAY(struct fdc_state, sense_status)                                                          \
    ARRAY(struct fdc_state, head)                                                                  \
    ARRAY(struct fdc_state, track_register)                                                        \
    ARRAY(struct fdc_state, disk_changed)                                                          \
    ARRAY(struct fdc_state, specify)                                                               \
    ARRAY(struct fdc_state, configure)                                                             \
    FIELD(struct fdc_state, end_of_track)                                                          \
    FIELD(struct fdc_state, perpendicular)                                                         \
    FIELD(struct fdc_state, locked)                                                                \
    FIELD(struct fdc_state, cylinder)                                                              \
    FIELD(struct fdc_state, id_side)                                                               \
    FIELD(struct fdc_state, side)                                                                  \
    FIELD(struct fdc_state, sector_number)                                                         \
    FIELD(struct fdc_state, size_code)                                                             \
    FIELD(struct fdc_state, drive)                                                                 \
    FIELD(struct fdc_state, last_sector)                                                           \
    FIELD(struct fdc_state, multitrack)                                                            \
    FIELD(struct fdc_state, status1)                                                               \
    FIELD(struct fdc_state, status2)                                                               \
    ARRAY(struct fdc_state, pad)                                                                   \
    ARRAY(struct fdc_state, sector)

static const struct field fdc_fields[] = SAVE_FIELDS(FDC_FIELDS);
SAVE_ASSERT_COMPLETE(struct fdc_state, FDC_FIELDS);

static void drive_irq(struct fdc *fdc)
{
    irq_set(&fdc->irq, fdc->state.irq_level && (fdc->state.dor & DOR_DMA_GATE));
}

void fdc_set_irq(struct fdc *fdc, int level)
{
    fdc->state.irq_level = (uint8_t)level;
    drive_irq(fdc);
}

void fdc_idle(struct fdc *fdc)
{
    fdc->state.phase = FDC_IDLE;
    fdc->state.fifo_at = 0;
}

void fdc_result(struct fdc *fdc, unsigned length, bool interrupt)
{
    fdc->state.phase = FDC_RESULT;
    fdc->state.result_at = 0;
    fdc->state.result_length = (uint8_t)length;
    if (interrupt)
        fdc_set_irq(fdc, 1);
}

/* Arms the timer for whatever comes first. */
void fdc_arm(struct fdc *fdc)
{
    int64_t first = fdc->state.command_ns;
    for (unsigned i = 0; i < FDC_UNITS; i++) {
        if (fdc->state.seek_ns[i] < first)
            first = fdc->state.seek_ns[i];
    }
    timer_arm(&fdc->timer, first);
}

void fdc_wait(struct fdc *fdc, int64_t delay_ns)
{
    fdc->state.phase = FDC_BUSY;
    fdc->state.command_ns = clock_now_ns(fdc->clock) + delay_ns;
    fdc_arm(fdc);
}

/* A reset is over: with polling on, every drive's ready line seems to have changed. */
static void reset_over(struct fdc *fdc)
{
    struct fdc_state *state = &fdc->state;
    fdc_idle(fdc);
    if (state->configure[0] & CONFIGURE_NO_POLLING)
        return;
    for (unsigned i = 0; i < FDC_UNITS; i++)
        state->sense_status[i] = (uint8_t)(ST0_READY_CHANGED | i);
    state->sense_pending = 0x0f;
    fdc_set_irq(fdc, 1);
}

static void fdc_fired(void *opaque)
{
    struct fdc *fdc = opaque;
    struct fdc_state *state = &fdc->state;
    int64_t now = clock_now_ns(fdc->clock);
    for (unsigned i = 0; i < FDC_UNITS; i++) {
        if (state->seek_ns[i] <= now)
            fdc_seek_over(fdc, i);
    }
    if (state->command_ns <= now) {
        state->command_ns = CLOCK_NEVER;
        if (state->phase == FDC_RESET)
            reset_over(fdc);
        else if (state->phase == FDC_BUSY)
            fdc_wait_over(fdc);
    }
    fdc_arm(fdc);
}

/* What a reset by DOR, DSR or the RESET pin does; LOCK keeps the FIFO's configuration. */
static void controller_reset(struct fdc *fdc)
{
    struct fdc_state *state = &fdc->state;
    timer_disarm(&fdc->timer);
    for (unsigned i = 0; i < FDC_UNITS; i++)
        state->seek_ns[i] = CLOCK_NEVER;
    state->command_ns = CLOCK_NEVER;
    dma8237_request(fdc->dma, FDC_DMA_CHANNEL, 0);
    state->phase = FDC_RESET;
    state->fifo_at = state->result_at = state->result_length = 0;
    state->sense_pending = 0;
    state->sector_at = 0;
    memset(state->track_register, 0, sizeof state->track_register);
    state->perpendicular &= 0x3c;
    if (!state->locked) {
        state->configure[0] = 0x20; /* FIFO off, polling on */
        state->configure[1] = 0;
    }
    fdc_set_irq(fdc, 0);
}

static void begin_reset_release(struct fdc *fdc)
{
    fdc->state.command_ns = clock_now_ns(fdc->clock) + RESET_NS;
    fdc_arm(fdc);
}

static void write_output(struct fdc *fdc, uint8_t value)
{
    uint8_t before = fdc->state.dor;
    fdc->state.dor = value;
    if (!(value & DOR_NOT_RESET)) {
        if (before & DOR_NOT_RESET)
            controller_reset(fdc);
    } else if (!(before & DOR_NOT_RESET)) {
        begin_reset_release(fdc);
    }
    drive_irq(fdc);
}

static void write_rate(struct fdc *fdc, uint8_t value)
{
    struct fdc_state *state = &fdc->state;
    state->dsr = value & 0x7f;
    state->ccr = value & 3;
    if ((value & DSR_RESET) && (state->dor & DOR_NOT_RESET)) {
        controller_reset(fdc);
        begin_reset_release(fdc);
    }
}

static uint8_t main_status(const struct fdc *fdc)
{
    const struct fdc_state *state = &fdc->state;
    uint8_t status = 0;
    for (unsigned i = 0; i < FDC_UNITS; i++) {
        if (state->seek_ns[i] != CLOCK_NEVER)
            status |= 1u << i;
    }
    switch (state->phase) {
    case FDC_IDLE:
        return status | MSR_REQUEST | (state->fifo_at ? MSR_BUSY : 0);
    case FDC_RESULT:
        return status | MSR_REQUEST | MSR_TO_HOST | MSR_BUSY;
    case FDC_TO_HOST:
    case FDC_FROM_HOST:
        status |= MSR_BUSY;
        if (!fdc_uses_dma(state))
            status |= MSR_REQUEST | MSR_NON_DMA;
        return status | (state->phase == FDC_TO_HOST ? MSR_TO_HOST : 0);
    case FDC_BUSY:
        return status | MSR_BUSY;
    default:
        return 0;
    }
}

static uint8_t read_fifo(struct fdc *fdc)
{
    struct fdc_state *state = &fdc->state;
    if (state->phase == FDC_TO_HOST && !fdc_uses_dma(state))
        return fdc_transfer_read_byte(fdc);
    if (state->phase != FDC_RESULT) {
        guest_error("fdc: FIFO read when there is nothing to read");
        return 0xff;
    }
    uint8_t value = state->result[state->result_at++];
    if (state->result_at == 1 && !state->sense_pending)
        fdc_set_irq(fdc, 0);
    if (state->result_at >= state->result_length)
        fdc_idle(fdc);
    return value;
}

static void write_fifo(struct fdc *fdc, uint8_t value)
{
    struct fdc_state *state = &fdc->state;
    if (state->phase == FDC_FROM_HOST && !fdc_uses_dma(state)) {
        fdc_transfer_write_byte(fdc, value);
        return;
    }
    if (state->phase != FDC_IDLE) {
        guest_error("fdc: FIFO written when it takes nothing");
        return;
    }
    state->fifo[state->fifo_at++] = value;
    if (state->fifo_at >= fdc_command_length(state->fifo[0]))
        fdc_execute(fdc);
}

/* Runs what is due, so that a guest that polls need not wait for the machine's loop. */
static void poll_timer(struct fdc *fdc)
{
    if (timer_armed(&fdc->timer) && fdc->timer.deadline_ns <= clock_now_ns(fdc->clock)) {
        timer_disarm(&fdc->timer);
        fdc_fired(fdc);
    }
}

static uint64_t registers_read(void *opaque, uint64_t offset, unsigned size)
{
    struct fdc *fdc = opaque;
    poll_timer(fdc);
    switch (offset) {
    case PORT_STATUS_A: /* PS/2 model 30 lines that no PC software uses: none is active */
    case PORT_STATUS_B:
        return 0;
    case PORT_OUTPUT:
        return fdc->state.dor;
    case PORT_TAPE:
        return fdc->state.tdr;
    case PORT_MAIN_STATUS:
        return main_status(fdc);
    case PORT_FIFO:
        return read_fifo(fdc);
    default:
        return 0xff;
    }
}

static void registers_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct fdc *fdc = opaque;
    poll_timer(fdc);
    switch (offset) {
    case PORT_OUTPUT:
        write_output(fdc, (uint8_t)value);
        break;
    case PORT_TAPE:
        fdc->state.tdr = value & 3;
        break;
    case PORT_MAIN_STATUS:
        write_rate(fdc, (uint8_t)value);
        break;
    case PORT_FIFO:
        write_fifo(fdc, (uint8_t)value);
        break;
    }
}

/* DIR: the disk-change line of the selected drive, whose motor must run. */
static uint64_t input_read(void *opaque, uint64_t offset, unsigned size)
{
    struct fdc *fdc = opaque;
    unsigned number = fdc->state.dor & 3;
    const struct fdc_drive *drive = fdc_drive_at(fdc, number);
    bool motor = fdc->state.dor >> (4 + number) & 1;
    bool changed = drive && motor && (!drive->medium || fdc->state.disk_changed[number]);
    return changed ? DIR_CHANGED : 0;
}

static void input_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct fdc *fdc = opaque;
    fdc->state.ccr = value & 3;
}

static void fdc_reset(void *device, enum reset_kind kind)
{
    struct fdc *fdc = device;
    struct fdc_state *state = &fdc->state;
    uint8_t head[FDC_UNITS];
    memcpy(head, state->head, sizeof head);
    memset(state, 0, sizeof *state);
    if (kind == RESET_SYSTEM)
        memcpy(state->head, head, sizeof head);
    memset(state->disk_changed, 1, sizeof state->disk_changed);
    controller_reset(fdc);
    state->ccr = state->dsr = RATE_AFTER_RESET;
}

static int fdc_after_load(void *device, struct error *error)
{
    struct fdc *fdc = device;
    const struct fdc_state *state = &fdc->state;
    if (state->phase >= FDC_PHASES || state->fifo_at >= FDC_FIFO_BYTES ||
        state->result_length > FDC_FIFO_BYTES || state->result_at > state->result_length ||
        (state->phase == FDC_RESULT && state->result_at == state->result_length) ||
        state->sector_at >= FDC_SECTOR_BYTES || state->side > 1 || state->drive > 3)
        return error_set(error, EINVAL, "fdc: the saved state is damaged; use another");
    fdc_arm(fdc);
    return 0;
}

static void fdc_detach(void *device)
{
    timer_disarm(&((struct fdc *)device)->timer);
}

static void fdc_describe(const void *device, FILE *out)
{
    const struct fdc *fdc = device;
    const struct fdc_state *state = &fdc->state;
    fprintf(out, "fdc: dor %02x msr %02x ccr %02x phase %u, last command %02x, irq %u\n",
            state->dor, main_status(fdc), state->ccr, state->phase, state->fifo[0],
            state->irq_level);
    for (unsigned i = 0; i < FDC_DRIVES; i++) {
        const struct fdc_drive *drive = &fdc->drives[i];
        if (!drive->present)
            continue;
        fprintf(out, "  floppy%u: cylinder %u%s, ", i, state->head[i],
                state->disk_changed[i] ? ", disk changed" : "");
        if (drive->medium)
            blockdev_describe(drive->medium, out);
        else
            fprintf(out, "no disk\n");
    }
}

const struct device_class fdc_class = {
    .name = "fdc",
    .state_offset = offsetof(struct fdc, state),
    .state_bytes = sizeof(struct fdc_state),
    .state_version = 1,
    .fields = fdc_fields,
    .field_count = ARRAY_LENGTH(fdc_fields),
    .reset = fdc_reset,
    .after_load = fdc_after_load,
    .detach = fdc_detach,
    .describe = fdc_describe,
};

void fdc_attach(struct fdc *fdc, struct bus *ports, struct irq_line irq, struct dma8237 *dma,
                struct clock *clock)
{
    fdc->irq = irq;
    fdc->dma = dma;
    fdc->clock = clock;
    timer_init(&fdc->timer, clock, fdc_fired, fdc);
    dma8237_connect(dma, FDC_DMA_CHANNEL, fdc_transfer_pump, fdc);
    fdc->registers = (struct region){.name = "fdc",
                                     .base = 0x3f0,
                                     .length = 6,
                                     .read = registers_read,
                                     .write = registers_write,
                                     .min_size = 1,
                                     .max_size = 1,
                                     .opaque = fdc};
    fdc->digital_input = (struct region){.name = "fdc input",
                                         .base = 0x3f7,
                                         .length = 1,
                                         .read = input_read,
                                         .write = input_write,
                                         .min_size = 1,
                                         .max_size = 1,
                                         .opaque = fdc};
    bus_add(ports, &fdc->registers);
    bus_add(ports, &fdc->digital_input);
}
