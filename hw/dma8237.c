#include "hw/dma8237.h"

#include "base/log.h"

#define DMA8237_FIELDS(FIELD, ARRAY)                                                               \
    ARRAY(struct dma8237_state, base_address)                                                      \
    ARRAY(struct dma8237_state, base_count)                                                        \
    ARRAY(struct dma8237_state, address)                                                           \
    ARRAY(struct dma8237_state, count)                                                             \
    ARRAY(struct dma8237_state, mode)                                                              \
    ARRAY(struct dma8237_state, page)                                                              \
    ARRAY(struct dma8237_state, mask)                                                              \
    ARRAY(struct dma8237_state, software)                                                          \
    ARRAY(struct dma8237_state, terminal)                                                          \
    ARRAY(struct dma8237_state, command)                                                           \
    ARRAY(struct dma8237_state, temporary)                                                         \
    ARRAY(struct dma8237_state, high_byte)                                                         \
    FIELD(struct dma8237_state, requests)                                                          \
    ARRAY(struct dma8237_state, pad)
static const struct field dma8237_fields[] = SAVE_FIELDS(DMA8237_FIELDS);
SAVE_ASSERT_COMPLETE(struct dma8237_state, DMA8237_FIELDS);

enum {
    REG_STATUS = 8, /* command when written */
    REG_REQUEST = 9,
    REG_MASK = 10,
    REG_MODE = 11,
    REG_CLEAR_BYTE = 12,
    REG_MASTER_CLEAR = 13, /* temporary register when read */
    REG_CLEAR_MASK = 14,
    REG_ALL_MASK = 15,

    COMMAND_OFF = 0x04,
    MODE_VERIFY = 0,
    MODE_WRITE = 1, /* to memory */
    MODE_READ = 2,
    MODE_AUTO = 0x10,
    MODE_DOWN = 0x20,
    CHIP_CHANNELS = 4,
    CASCADE = 4,
};

static unsigned chip_of(unsigned channel)
{
    return channel / CHIP_CHANNELS;
}

static uint8_t bit_of(unsigned channel)
{
    return (uint8_t)BIT(channel % CHIP_CHANNELS);
}

/* The second chip counts words. */
static unsigned unit_bytes(unsigned channel)
{
    return channel < CASCADE ? 1 : 2;
}

static gpa_t memory_address(const struct dma8237 *dma, unsigned channel)
{
    /* Page registers by channel; the second chip's leave out A16. */
    static const uint8_t pages[DMA_CHANNELS] = {0x7, 0x3, 0x1, 0x2, 0xf, 0xb, 0x9, 0xa};
    uint32_t page = dma->state.page[pages[channel]];
    if (channel >= CASCADE)
        page &= 0xfe;
    return GPA(page << 16 | (uint32_t)dma->state.address[channel] * unit_bytes(channel));
}

static bool is_ready(const struct dma8237 *dma, unsigned channel)
{
    unsigned chip = chip_of(channel);
    return channel != CASCADE && !(dma->state.mask[chip] & bit_of(channel)) &&
           !(dma->state.command[chip] & COMMAND_OFF);
}

/* --- the device's side */

void dma8237_connect(struct dma8237 *dma, unsigned channel, void (*ready)(void *opaque),
                     void *opaque)
{
    dma->devices[channel].ready = ready;
    dma->devices[channel].opaque = opaque;
}

bool dma8237_request(struct dma8237 *dma, unsigned channel, int level)
{
    uint8_t bit = (uint8_t)BIT(channel);
    dma->state.requests = level ? dma->state.requests | bit : dma->state.requests & ~bit;
    return level && is_ready(dma, channel);
}

static void tell_ready(struct dma8237 *dma)
{
    for (unsigned channel = 0; channel < DMA_CHANNELS; channel++)
        if (dma->state.requests & BIT(channel) && is_ready(dma, channel) &&
            dma->devices[channel].ready)
            dma->devices[channel].ready(dma->devices[channel].opaque);
}

static void reach_terminal_count(struct dma8237 *dma, unsigned channel)
{
    struct dma8237_state *state = &dma->state;
    state->terminal[chip_of(channel)] |= bit_of(channel);
    state->software[chip_of(channel)] &= ~bit_of(channel);
    if (state->mode[channel] & MODE_AUTO) {
        state->address[channel] = state->base_address[channel];
        state->count[channel] = state->base_count[channel];
    } else {
        state->mask[chip_of(channel)] |= bit_of(channel);
    }
}

/* Moves up to `length` bytes in the direction `kind`; `bytes` is written only for MODE_READ. */
static size_t transfer(struct dma8237 *dma, unsigned channel, uint8_t *bytes, size_t length,
                       unsigned kind, bool *terminal)
{
    struct dma8237_state *state = &dma->state;
    unsigned unit = unit_bytes(channel), programmed = state->mode[channel] >> 2 & 3;
    size_t units = length / unit, done = 0;
    bool ended = false, moves = programmed != MODE_VERIFY;
    if (!is_ready(dma, channel) || (moves && programmed != kind))
        units = 0;
    while (done < units && !ended) {
        bool down = state->mode[channel] & MODE_DOWN;
        /* WHY: up to the wrap of the 16-bit address in one piece. */
        size_t run = down ? 1 : 0x10000u - state->address[channel];
        run = run > units - done ? units - done : run;
        run = run > state->count[channel] + 1u ? state->count[channel] + 1u : run;
        gpa_t at = memory_address(dma, channel);
        bool reached = true;
        if (moves && kind == MODE_WRITE)
            reached = physmem_write(dma->physmem, at, bytes + done * unit, run * unit);
        else if (moves)
            reached = physmem_read(dma->physmem, at, bytes + done * unit, run * unit);
        if (!reached)
            guest_error("dma8237: channel %u at %06llx is not in memory", channel,
                        (unsigned long long)at.v);
        ended = run == state->count[channel] + 1u;
        state->address[channel] += (uint16_t)(down ? -1 : (int)run);
        state->count[channel] -= (uint16_t)run;
        done += run;
        if (ended)
            reach_terminal_count(dma, channel);
    }
    if (terminal)
        *terminal = ended;
    return done * unit;
}

size_t dma8237_write_memory(struct dma8237 *dma, unsigned channel, const void *from, size_t length,
                            bool *terminal)
{
    return transfer(dma, channel, (uint8_t *)from, length, MODE_WRITE, terminal);
}

size_t dma8237_read_memory(struct dma8237 *dma, unsigned channel, void *to, size_t length,
                           bool *terminal)
{
    memset(to, 0, length);
    return transfer(dma, channel, to, length, MODE_READ, terminal);
}

/* --- registers */

static void master_clear(struct dma8237 *dma, unsigned chip)
{
    struct dma8237_state *state = &dma->state;
    state->command[chip] = state->terminal[chip] = state->software[chip] = 0;
    state->temporary[chip] = state->high_byte[chip] = 0;
    state->mask[chip] = 0x0f;
}

static uint8_t read_word_part(struct dma8237 *dma, unsigned chip, uint16_t word)
{
    bool high = dma->state.high_byte[chip];
    dma->state.high_byte[chip] = !high;
    return (uint8_t)(high ? word >> 8 : word);
}

static void write_word_part(struct dma8237 *dma, unsigned chip, uint16_t *base, uint16_t *current,
                            uint8_t value)
{
    bool high = dma->state.high_byte[chip];
    dma->state.high_byte[chip] = !high;
    *base = high ? (uint16_t)((*base & 0xff) | value << 8) : (*base & 0xff00) | value;
    *current = high ? (uint16_t)((*current & 0xff) | value << 8) : (*current & 0xff00) | value;
}

static uint8_t chip_read(struct dma8237 *dma, unsigned chip, unsigned reg)
{
    struct dma8237_state *state = &dma->state;
    unsigned channel = chip * CHIP_CHANNELS + reg / 2;
    switch (reg) {
    case 0 ... 7:
        return read_word_part(dma, chip, reg & 1 ? state->count[channel] : state->address[channel]);
    case REG_STATUS: {
        uint8_t lines = state->requests >> chip * CHIP_CHANNELS & 0x0f;
        uint8_t value = (uint8_t)((lines | state->software[chip]) << 4) | state->terminal[chip];
        state->terminal[chip] = 0;
        return value;
    }
    case REG_MASTER_CLEAR:
        return state->temporary[chip];
    case REG_ALL_MASK:
        return 0xf0 | state->mask[chip];
    default:
        return 0xff;
    }
}

static void chip_write(struct dma8237 *dma, unsigned chip, unsigned reg, uint8_t value)
{
    struct dma8237_state *state = &dma->state;
    unsigned channel = chip * CHIP_CHANNELS + reg / 2;
    uint8_t bit = (uint8_t)BIT(value & 3);
    switch (reg) {
    case 0 ... 7:
        if (reg & 1)
            write_word_part(dma, chip, &state->base_count[channel], &state->count[channel], value);
        else
            write_word_part(dma, chip, &state->base_address[channel], &state->address[channel],
                            value);
        return;
    case REG_STATUS:
        state->command[chip] = value;
        break;
    case REG_REQUEST:
        state->software[chip] =
            value & 4 ? state->software[chip] | bit : state->software[chip] & ~bit;
        break;
    case REG_MASK:
        state->mask[chip] = value & 4 ? state->mask[chip] | bit : state->mask[chip] & ~bit;
        break;
    case REG_MODE:
        state->mode[chip * CHIP_CHANNELS + (value & 3)] = value & ~3;
        break;
    case REG_CLEAR_BYTE:
        state->high_byte[chip] = 0;
        break;
    case REG_MASTER_CLEAR:
        master_clear(dma, chip);
        break;
    case REG_CLEAR_MASK:
        state->mask[chip] = 0;
        break;
    case REG_ALL_MASK:
        state->mask[chip] = value & 0x0f;
        break;
    }
    tell_ready(dma);
}

static uint64_t first_read(void *opaque, uint64_t offset, unsigned size)
{
    return chip_read(opaque, 0, (unsigned)offset);
}

static void first_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    chip_write(opaque, 0, (unsigned)offset, (uint8_t)value);
}

/* The second chip's registers lie at even ports, and are seen at the odd ones too. */
static uint64_t second_read(void *opaque, uint64_t offset, unsigned size)
{
    return chip_read(opaque, 1, (unsigned)offset / 2);
}

static void second_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    chip_write(opaque, 1, (unsigned)offset / 2, (uint8_t)value);
}

static uint64_t page_read(void *opaque, uint64_t offset, unsigned size)
{
    const struct dma8237 *dma = opaque;
    return dma->state.page[offset];
}

static void page_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct dma8237 *dma = opaque;
    dma->state.page[offset] = (uint8_t)value;
}

/* --- the device */

static void reset(void *object, enum reset_kind kind)
{
    struct dma8237 *dma = object;
    dma->state = (struct dma8237_state){0};
    for (unsigned chip = 0; chip < DMA_CHIPS; chip++)
        master_clear(dma, chip);
}

void dma8237_attach(struct dma8237 *dma, struct bus *ports, struct physmem *physmem)
{
    *dma = (struct dma8237){.physmem = physmem, .state.mask = {0x0f, 0x0f}};
    dma->chips[0] = (struct region){.name = "dma8237-first",
                                    .base = 0x00,
                                    .length = 16,
                                    .read = first_read,
                                    .write = first_write,
                                    .max_size = 1,
                                    .opaque = dma};
    dma->chips[1] = (struct region){.name = "dma8237-second",
                                    .base = 0xc0,
                                    .length = 32,
                                    .read = second_read,
                                    .write = second_write,
                                    .max_size = 1,
                                    .opaque = dma};
    dma->pages = (struct region){.name = "dma8237-pages",
                                 .base = 0x80,
                                 .length = 16,
                                 .read = page_read,
                                 .write = page_write,
                                 .max_size = 1,
                                 .opaque = dma};
    bus_add(ports, &dma->chips[0]);
    bus_add(ports, &dma->chips[1]);
    bus_add(ports, &dma->pages);
}

const struct device_class dma8237_class = {
    .name = "dma8237",
    DEVICE_STATE(struct dma8237, 1, dma8237_fields),
    .reset = reset,
};
