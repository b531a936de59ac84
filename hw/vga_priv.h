/* What the files of the VGA share among themselves: names of register bits, and entry points. */
#ifndef HW_VGA_PRIV_H
#define HW_VGA_PRIV_H

#include "hw/vga.h"

enum vga_sequencer {
    SEQ_RESET,
    SEQ_CLOCKING,
    SEQ_MAP_MASK,
    SEQ_FONT,
    SEQ_MEMORY_MODE,

    CLOCKING_8_DOTS = 0x01,
    CLOCKING_HALF = 0x08,
    CLOCKING_SCREEN_OFF = 0x20,
    MEMORY_EXTENDED = 0x02,
    MEMORY_SEQUENTIAL = 0x04, /* clear: odd/even */
    MEMORY_CHAIN4 = 0x08,
};

enum vga_graphics {
    GRAPHICS_SET_RESET,
    GRAPHICS_ENABLE_SET_RESET,
    GRAPHICS_COLOR_COMPARE,
    GRAPHICS_ROTATE,
    GRAPHICS_READ_MAP,
    GRAPHICS_MODE,
    GRAPHICS_MISC,
    GRAPHICS_COLOR_CARE,
    GRAPHICS_BIT_MASK,

    MODE_READ_COMPARE = 0x08,
    MODE_ODD_EVEN = 0x10,
    MODE_INTERLEAVE = 0x20, /* CGA's four colours */
    MODE_256_COLORS = 0x40,
    MISC_GRAPHICS = 0x01,
};

enum vga_crtc {
    CRTC_HORIZONTAL_TOTAL,
    CRTC_HORIZONTAL_END,
    CRTC_VERTICAL_TOTAL = 6,
    CRTC_OVERFLOW = 7,
    CRTC_PRESET_ROW = 8,
    CRTC_MAXIMUM_ROW = 9,
    CRTC_CURSOR_START = 10,
    CRTC_CURSOR_END = 11,
    CRTC_START_HIGH = 12,
    CRTC_START_LOW = 13,
    CRTC_CURSOR_HIGH = 14,
    CRTC_CURSOR_LOW = 15,
    CRTC_RETRACE_START = 16,
    CRTC_RETRACE_END = 17,
    CRTC_VERTICAL_END = 18,
    CRTC_OFFSET = 19,
    CRTC_UNDERLINE = 20,
    CRTC_MODE = 23,
    CRTC_LINE_COMPARE = 24,
    CRTC_REGISTERS = 25,

    CRTC_PROTECT = 0x80,     /* of CRTC_RETRACE_END */
    CRTC_DOUBLE_SCAN = 0x80, /* of CRTC_MAXIMUM_ROW */
    CRTC_DOUBLEWORD = 0x40,  /* of CRTC_UNDERLINE */
    CRTC_MODE_MAP13 = 0x01,  /* clear: row scan bit 0 is address bit 13 */
    CRTC_MODE_MAP14 = 0x02,
    CRTC_MODE_HALF_LINES = 0x04,
    CRTC_MODE_ADDRESS_15 = 0x20,
    CRTC_MODE_BYTE = 0x40,
    CRTC_MODE_SYNC = 0x80,
};

enum vga_attribute {
    ATTRIBUTE_MODE = 16,
    ATTRIBUTE_OVERSCAN,
    ATTRIBUTE_PLANE_ENABLE,
    ATTRIBUTE_PANNING,
    ATTRIBUTE_COLOR_SELECT,

    ATTRIBUTE_VIDEO_ENABLE = 0x20, /* of the index */
    ATTRIBUTE_MODE_LINE_GRAPHICS = 0x04,
    ATTRIBUTE_MODE_BLINK = 0x08,
    ATTRIBUTE_MODE_SPLIT_PANNING = 0x20,
    ATTRIBUTE_MODE_256 = 0x40,
    ATTRIBUTE_MODE_COLOR_45 = 0x80,
};

/* Vertical quantities of the CRTC, put together from their parts, in scan lines. */
static inline unsigned vga_crtc_10_bits(const struct vga_state *state, unsigned low, unsigned bit8,
                                        unsigned bit9)
{
    uint8_t overflow = state->crtc[CRTC_OVERFLOW];
    return state->crtc[low] | (unsigned)(overflow >> bit8 & 1) << 8 |
           (unsigned)(overflow >> bit9 & 1) << 9;
}

static inline unsigned vga_vertical_end(const struct vga_state *state)
{
    return vga_crtc_10_bits(state, CRTC_VERTICAL_END, 1, 6) + 1;
}

static inline unsigned vga_line_compare(const struct vga_state *state)
{
    return state->crtc[CRTC_LINE_COMPARE] | (unsigned)(state->crtc[CRTC_OVERFLOW] >> 4 & 1) << 8 |
           (unsigned)(state->crtc[CRTC_MAXIMUM_ROW] >> 6 & 1) << 9;
}

static inline bool vga_vbe_enabled(const struct vga_state *state)
{
    return state->vbe[VBE_ENABLE] & VBE_ENABLED;
}

/* vga_memory.c: the window at A0000h. */
uint64_t vga_window_read(void *opaque, uint64_t offset, unsigned size);
void vga_window_write(void *opaque, uint64_t offset, unsigned size, uint64_t value);

/* vga.c: port `port` (3B0h..3DFh), one byte. */
uint8_t vga_port_read(struct vga *vga, unsigned port);
void vga_port_write(struct vga *vga, unsigned port, uint8_t value);

/* vbe.c */
void vbe_reset(struct vga_state *state);
uint16_t vbe_read(const struct vga_state *state, unsigned index);
void vbe_write(struct vga *vga, unsigned index, uint16_t value);
/* Bytes from one row to the next; 4 bpp: of the four planes together. */
uint32_t vbe_line_bytes(const struct vga_state *state);
/* Makes the registers fit together (INV-2), whatever was loaded into them. */
void vbe_check(struct vga_state *state);
uint64_t vbe_port_read(void *opaque, uint64_t offset, unsigned size);
void vbe_port_write(void *opaque, uint64_t offset, unsigned size, uint64_t value);
uint64_t vbe_framebuffer_read(void *opaque, uint64_t offset, unsigned size);
void vbe_framebuffer_write(void *opaque, uint64_t offset, unsigned size, uint64_t value);
uint64_t vbe_mmio_read(void *opaque, uint64_t offset, unsigned size);
void vbe_mmio_write(void *opaque, uint64_t offset, unsigned size, uint64_t value);

#endif
