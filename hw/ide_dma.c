/* The bus master of the PIIX3: PRD tables, and the move between a drive's buffer and memory.
 *
 * Each channel has eight registers in BAR4: command, status, PRD table address.
 * A transfer runs in one go when the drive has raised its request and the guest has started the
 * engine, whichever comes last; a table that ends early leaves the drive waiting, as on hardware.
 * Sources: "Programming Interface for Bus Master IDE Controller" 1.0; 82371SB §2.7.
 */
#include "hw/ide_priv.h"

#include "base/log.h"

enum {
    CHANNEL_BYTES = 8,
    REGISTER_COMMAND = 0,
    REGISTER_STATUS = 2,
    REGISTER_TABLE = 4,
    PRD_BYTES = 8,
    PRD_LENGTH_MAX = 0x10000,
};

static const uint32_t PRD_LAST = UINT32_C(1) << 31;

static void stop_with_error(struct ide_channel *channel)
{
    struct ide_channel_state *state = &channel->state;
    guest_error("ide%u: bus master cannot reach memory (table %08x, address %08x)", channel->number,
                state->prd_at, state->prd_address);
    state->bm_status = (uint8_t)((state->bm_status & ~BM_ACTIVE) | BM_ERROR);
}

/* Takes the next element of the table; false: there is none, the engine has stopped. */
static bool fetch_element(struct ide_channel *channel)
{
    struct ide_channel_state *state = &channel->state;
    uint8_t element[PRD_BYTES];
    if (state->prd_last) {
        state->bm_status &= (uint8_t)~BM_ACTIVE;
        return false;
    }
    if (!pci_dma_read(&channel->ide->function, GPA(state->prd_at), element, sizeof element)) {
        stop_with_error(channel);
        return false;
    }
    uint32_t flags = load_le32(element + 4);
    state->prd_address = load_le32(element) & ~1u;
    state->prd_left = flags & 0xfffe ? flags & 0xfffe : PRD_LENGTH_MAX;
    state->prd_last = flags & PRD_LAST ? 1 : 0;
    state->prd_at += PRD_BYTES;
    return true;
}

/* Moves as much as buffer and element both hold; false: the engine has stopped. */
static bool move_piece(struct ide_drive *drive, bool to_memory)
{
    struct ide_channel *channel = drive->channel;
    struct ide_channel_state *state = &channel->state;
    uint32_t length = drive->state.buffer_end - drive->state.buffer_at;
    uint8_t *bytes = drive->state.buffer + drive->state.buffer_at;
    if (!state->prd_left && !fetch_element(channel))
        return false;
    if (length > state->prd_left)
        length = state->prd_left;
    struct pci_function *function = &channel->ide->function;
    if (to_memory ? !pci_dma_write(function, GPA(state->prd_address), bytes, length)
                  : !pci_dma_read(function, GPA(state->prd_address), bytes, length)) {
        stop_with_error(channel);
        return false;
    }
    state->prd_address += length;
    state->prd_left -= length;
    drive->state.buffer_at += length;
    return true;
}

void ide_dma_run(struct ide_channel *channel)
{
    struct ide_channel_state *state = &channel->state;
    struct ide_drive *drive = ide_selected(channel);
    bool to_memory = drive->state.phase == IDE_DMA_IN;
    if (!drive->class || (!to_memory && drive->state.phase != IDE_DMA_OUT))
        return;
    if (!(state->bm_command & BM_START) || !(state->bm_status & BM_ACTIVE))
        return;
    if (to_memory != !!(state->bm_command & BM_TO_MEMORY)) {
        guest_error("ide%u: the bus master's direction is not the drive's", channel->number);
        return;
    }
    for (;;) {
        if (drive->state.buffer_at >= drive->state.buffer_end) {
            enum ide_step step = drive->class->next(drive);
            if (step == STEP_FAILED)
                return;
            if (step == STEP_DONE)
                break;
        }
        if (!move_piece(drive, to_memory))
            return;
    }
    if (!state->prd_left && state->prd_last)
        state->bm_status &= (uint8_t)~BM_ACTIVE;
    drive->class->finish(drive, to_memory ? IDE_DMA_IN : IDE_DMA_OUT);
}

static void write_command(struct ide_channel *channel, uint8_t value)
{
    struct ide_channel_state *state = &channel->state;
    bool starts = (value & BM_START) && !(state->bm_command & BM_START);
    state->bm_command = value & (BM_START | BM_TO_MEMORY);
    if (!(value & BM_START)) {
        state->bm_status &= (uint8_t)~BM_ACTIVE;
        return;
    }
    if (!starts)
        return;
    state->prd_at = state->prd_table;
    state->prd_left = 0;
    state->prd_last = 0;
    state->bm_status |= BM_ACTIVE;
    struct ide_drive *drive = ide_selected(channel);
    if (drive->class && (drive->state.phase == IDE_DMA_IN || drive->state.phase == IDE_DMA_OUT))
        ide_wait(drive, drive->state.phase);
}

static void write_byte(struct ide_channel *channel, unsigned offset, uint8_t value)
{
    struct ide_channel_state *state = &channel->state;
    switch (offset) {
    case REGISTER_COMMAND:
        write_command(channel, value);
        break;
    case REGISTER_STATUS:
        state->bm_status = (uint8_t)((state->bm_status & (BM_ACTIVE | BM_ERROR | BM_INTERRUPT) &
                                      ~(value & (BM_ERROR | BM_INTERRUPT))) |
                                     (value & BM_DRIVES_CAPABLE));
        break;
    case REGISTER_TABLE:
    case REGISTER_TABLE + 1:
    case REGISTER_TABLE + 2:
    case REGISTER_TABLE + 3: {
        unsigned shift = 8 * (offset - REGISTER_TABLE);
        state->prd_table =
            ((state->prd_table & ~(0xffu << shift)) | (uint32_t)value << shift) & ~3u;
        break;
    }
    }
}

static uint8_t read_byte(const struct ide_channel *channel, unsigned offset)
{
    const struct ide_channel_state *state = &channel->state;
    switch (offset) {
    case REGISTER_COMMAND:
        return state->bm_command;
    case REGISTER_STATUS:
        return state->bm_status;
    case REGISTER_TABLE:
    case REGISTER_TABLE + 1:
    case REGISTER_TABLE + 2:
    case REGISTER_TABLE + 3:
        return (uint8_t)(state->prd_table >> 8 * (offset - REGISTER_TABLE));
    default:
        return 0;
    }
}

static struct ide_channel *channel_at(struct ide *ide, uint64_t offset)
{
    struct ide_channel *channel = &ide->channels[offset / CHANNEL_BYTES % IDE_CHANNELS];
    for (unsigned unit = 0; unit < IDE_UNITS; unit++)
        ide_poll(&channel->drives[unit]);
    return channel;
}

uint64_t ide_bus_master_read(void *opaque, uint64_t offset, unsigned size)
{
    struct ide_channel *channel = channel_at(opaque, offset);
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)read_byte(channel, (offset + i) % CHANNEL_BYTES) << 8 * i;
    return value;
}

void ide_bus_master_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct ide_channel *channel = channel_at(opaque, offset);
    for (unsigned i = 0; i < size; i++)
        write_byte(channel, (offset + i) % CHANNEL_BYTES, (uint8_t)(value >> 8 * i));
}
