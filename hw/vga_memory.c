/* The window at A0000h..BFFFFh: how a processor access reaches the planes of VRAM.
 *
 * Owns no state: registers and latches are in struct vga_state.
 * Sources: IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem"; FreeVGA.
 */
#include "hw/vga_priv.h"

enum { WINDOW_BANK_BYTES = 64 << 10 };

/* Byte masks over the latch word, one byte a plane. */
static const uint32_t plane_bytes[16] = {
    0x00000000, 0x000000ff, 0x0000ff00, 0x0000ffff, 0x00ff0000, 0x00ff00ff, 0x00ffff00, 0x00ffffff,
    0xff000000, 0xff0000ff, 0xff00ff00, 0xff00ffff, 0xffff0000, 0xffff00ff, 0xffffff00, 0xffffffff,
};

/* The offset within what GR06 maps, or false when the address is not mapped. */
static bool window_offset(const struct vga_state *state, uint32_t *offset)
{
    static const struct {
        uint32_t start, length;
    } maps[4] = {{0, 0x20000}, {0, 0x10000}, {0x10000, 0x8000}, {0x18000, 0x8000}};
    unsigned map = state->graphics[GRAPHICS_MISC] >> 2 & 3;
    if (!(state->misc_output & 2) || *offset - maps[map].start >= maps[map].length)
        return false;
    *offset -= maps[map].start;
    return true;
}

/* Packed VBE modes see 64 KiB of VRAM as they are. */
static bool is_packed(const struct vga_state *state)
{
    return vga_vbe_enabled(state) && state->vbe[VBE_BPP] > 4;
}

static uint8_t *packed_byte(struct vga_state *state, uint32_t offset)
{
    uint32_t at = state->vbe[VBE_BANK] * (uint32_t)WINDOW_BANK_BYTES + offset;
    return state->vram + (at & (VGA_VRAM_BYTES - 1));
}

/* Odd/even addressing replaces A0: by A16 in the 128 KiB window, else by 0. */
static uint32_t odd_even_address(const struct vga_state *state, uint32_t address)
{
    bool wide = !(state->graphics[GRAPHICS_MISC] & 0x0c);
    return (address & ~1u) | (wide ? address >> 16 & 1 : 0);
}

/* Index of the latch word for a plane address. */
static uint32_t word_index(const struct vga_state *state, uint32_t address)
{
    if (vga_vbe_enabled(state))
        return (address + state->vbe[VBE_BANK] * (uint32_t)WINDOW_BANK_BYTES) &
               (VGA_VRAM_BYTES / 4 - 1);
    uint32_t mask = state->sequencer[SEQ_MEMORY_MODE] & MEMORY_EXTENDED ? 0xffff : 0x3fff;
    return address & mask;
}

static uint8_t read_byte(struct vga_state *state, uint32_t offset)
{
    if (is_packed(state))
        return *packed_byte(state, offset);
    uint8_t mode = state->graphics[GRAPHICS_MODE];
    unsigned plane = state->graphics[GRAPHICS_READ_MAP] & 3;
    uint32_t address = offset;
    if (state->sequencer[SEQ_MEMORY_MODE] & MEMORY_CHAIN4) {
        plane = offset & 3;
        address = offset & ~3u;
    } else if (mode & MODE_ODD_EVEN) {
        plane = (plane & 2) | (offset & 1);
        address = odd_even_address(state, offset);
    }
    state->latch = load_le32(state->vram + 4 * word_index(state, address));
    if (!(mode & MODE_READ_COMPARE))
        return (uint8_t)(state->latch >> 8 * plane);
    uint32_t differs = (state->latch ^ plane_bytes[state->graphics[GRAPHICS_COLOR_COMPARE] & 15]) &
                       plane_bytes[state->graphics[GRAPHICS_COLOR_CARE] & 15];
    differs |= differs >> 16;
    differs |= differs >> 8;
    return (uint8_t)~differs;
}

/* The graphics controller: what the four planes get for one byte from the processor. */
static uint32_t write_data(const struct vga_state *state, uint8_t value)
{
    const uint8_t *graphics = state->graphics;
    unsigned rotate = graphics[GRAPHICS_ROTATE] & 7;
    uint8_t rotated = (uint8_t)(value >> rotate | value << (8 - rotate));
    uint32_t set_reset = plane_bytes[graphics[GRAPHICS_SET_RESET] & 15];
    uint32_t mask = graphics[GRAPHICS_BIT_MASK] * 0x01010101u;
    uint32_t data, enable;
    switch (graphics[GRAPHICS_MODE] & 3) {
    case 0:
        enable = plane_bytes[graphics[GRAPHICS_ENABLE_SET_RESET] & 15];
        data = (rotated * 0x01010101u & ~enable) | (set_reset & enable);
        break;
    case 1:
        return state->latch;
    case 2:
        data = plane_bytes[value & 15];
        break;
    default:
        mask &= rotated * 0x01010101u;
        data = set_reset;
        break;
    }
    switch (graphics[GRAPHICS_ROTATE] >> 3 & 3) {
    case 1:
        data &= state->latch;
        break;
    case 2:
        data |= state->latch;
        break;
    case 3:
        data ^= state->latch;
        break;
    }
    return (data & mask) | (state->latch & ~mask);
}

static void write_byte(struct vga_state *state, uint32_t offset, uint8_t value)
{
    if (is_packed(state)) {
        *packed_byte(state, offset) = value;
        return;
    }
    unsigned planes = state->sequencer[SEQ_MAP_MASK] & 15;
    uint32_t address = offset;
    if (state->sequencer[SEQ_MEMORY_MODE] & MEMORY_CHAIN4) {
        planes &= 1u << (offset & 3);
        address = offset & ~3u;
    } else if (!(state->sequencer[SEQ_MEMORY_MODE] & MEMORY_SEQUENTIAL)) {
        planes &= offset & 1 ? 0xa : 0x5;
        address = odd_even_address(state, offset);
    }
    uint8_t *word = state->vram + 4 * word_index(state, address);
    uint32_t written = plane_bytes[planes];
    store_le32(word, (load_le32(word) & ~written) | (write_data(state, value) & written));
}

uint64_t vga_window_read(void *opaque, uint64_t offset, unsigned size)
{
    struct vga *vga = opaque;
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++) {
        uint32_t at = (uint32_t)offset + i;
        uint64_t byte = window_offset(&vga->state, &at) ? read_byte(&vga->state, at) : 0xff;
        value |= byte << 8 * i;
    }
    return value;
}

void vga_window_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct vga *vga = opaque;
    for (unsigned i = 0; i < size; i++) {
        uint32_t at = (uint32_t)offset + i;
        if (window_offset(&vga->state, &at))
            write_byte(&vga->state, at, (uint8_t)(value >> 8 * i));
    }
    vga->writes++;
}
