/* The Bochs VBE registers, the linear framebuffer (BAR0) and their MMIO twin (BAR2).
 *
 * Sources: the Bochs VBE display API; the register layout of BAR2 as its guests use it.
 * INV-2 of vga.h is kept by vbe_check(), which every change of a register ends with.
 */
#include "hw/surface.h"
#include "hw/vga_priv.h"

#include "base/log.h"

enum {
    VBE_ID_OLDEST = 0xb0c0,
    VBE_ID_NEWEST = 0xb0c5,
    VBE_BPP_MAX = 32,
    BANKS = VGA_VRAM_BYTES >> 16,

    MMIO_VGA_PORTS = 0x400, /* ports 3C0h..3DFh */
    MMIO_VGA_PORTS_END = 0x420,
    MMIO_VBE = 0x500,
    MMIO_VBE_END = MMIO_VBE + 2 * VBE_REGISTERS,
    MMIO_EXTENSION_LENGTH = 0x600,
    MMIO_BYTE_ORDER = 0x604,
    EXTENSION_BYTES = 8,
};

static const uint32_t LITTLE_ENDIAN_ORDER = 0x1e1e1e1e;

static bool is_depth(unsigned bits)
{
    return bits == 4 || bits == 8 || bits == 15 || bits == 16 || bits == 24 || bits == 32;
}

uint32_t vbe_line_bytes(const struct vga_state *state)
{
    unsigned bits = state->vbe[VBE_BPP];
    unsigned width = state->vbe[VBE_VIRT_WIDTH];
    return bits == 4 ? width / 2 : width * ((bits + 7) / 8);
}

static uint16_t clamp(unsigned value, unsigned low, unsigned high)
{
    return (uint16_t)(value < low ? low : value > high ? high : value);
}

void vbe_check(struct vga_state *state)
{
    uint16_t *vbe = state->vbe;
    if (vbe[VBE_ID] < VBE_ID_OLDEST || vbe[VBE_ID] > VBE_ID_NEWEST)
        vbe[VBE_ID] = VBE_ID_NEWEST;
    if (!is_depth(vbe[VBE_BPP]))
        vbe[VBE_BPP] = 8;
    vbe[VBE_XRES] = clamp(vbe[VBE_XRES] & ~7u, 8, SURFACE_WIDTH_MAX);
    vbe[VBE_YRES] = clamp(vbe[VBE_YRES], 1, SURFACE_HEIGHT_MAX);
    vbe[VBE_VIRT_WIDTH] = clamp(vbe[VBE_VIRT_WIDTH] & ~7u, vbe[VBE_XRES], SURFACE_WIDTH_MAX);
    vbe[VBE_BANK] &= BANKS - 1;
    vbe[VBE_VIDEO_MEMORY_64K] = BANKS;
    uint32_t lines = VGA_VRAM_BYTES / vbe_line_bytes(state);
    vbe[VBE_VIRT_HEIGHT] = clamp(lines, 0, UINT16_MAX);
    /* WHY: while the mode is off the registers are being set one by one, in any order. */
    if (!vga_vbe_enabled(state))
        return;
    vbe[VBE_YRES] = clamp(vbe[VBE_YRES], 1, lines);
    vbe[VBE_X_OFFSET] = clamp(vbe[VBE_X_OFFSET], 0, vbe[VBE_VIRT_WIDTH] - vbe[VBE_XRES]);
    vbe[VBE_Y_OFFSET] = clamp(vbe[VBE_Y_OFFSET], 0, lines - vbe[VBE_YRES]);
}

void vbe_reset(struct vga_state *state)
{
    memset(state->vbe, 0, sizeof state->vbe);
    state->vbe_index = 0;
    state->vbe[VBE_ID] = VBE_ID_NEWEST;
    state->vbe[VBE_XRES] = 640;
    state->vbe[VBE_YRES] = 480;
    vbe_check(state);
}

uint16_t vbe_read(const struct vga_state *state, unsigned index)
{
    if (index >= VBE_REGISTERS)
        return 0;
    if (state->vbe[VBE_ENABLE] & VBE_GETCAPS) {
        switch (index) {
        case VBE_XRES:
            return SURFACE_WIDTH_MAX;
        case VBE_YRES:
            return SURFACE_HEIGHT_MAX;
        case VBE_BPP:
            return VBE_BPP_MAX;
        }
    }
    return state->vbe[index];
}

/* The palette keeps its colours when it changes between 6 and 8 bits. */
static void change_dac_width(struct vga_state *state, bool wide)
{
    for (size_t i = 0; i < sizeof state->dac; i++)
        state->dac[i] = wide ? (uint8_t)(state->dac[i] << 2) : state->dac[i] >> 2;
}

static void write_enable(struct vga_state *state, uint16_t value)
{
    uint16_t *vbe = state->vbe;
    uint16_t before = vbe[VBE_ENABLE];
    if ((before ^ value) & VBE_8BIT_DAC)
        change_dac_width(state, value & VBE_8BIT_DAC);
    vbe[VBE_ENABLE] =
        value & (VBE_ENABLED | VBE_GETCAPS | VBE_8BIT_DAC | VBE_LFB_ENABLED | VBE_NOCLEARMEM);
    if (!(value & VBE_ENABLED)) {
        vbe[VBE_BANK] = 0;
        return;
    }
    if (before & VBE_ENABLED)
        return;
    vbe[VBE_VIRT_WIDTH] = vbe[VBE_XRES];
    vbe[VBE_X_OFFSET] = vbe[VBE_Y_OFFSET] = 0;
    vbe_check(state);
    if (!(value & VBE_NOCLEARMEM))
        memset(state->vram, 0, (size_t)vbe[VBE_YRES] * vbe_line_bytes(state));
}

void vbe_write(struct vga *vga, unsigned index, uint16_t value)
{
    struct vga_state *state = &vga->state;
    switch (index) {
    case VBE_ID:
        if (value >= VBE_ID_OLDEST && value <= VBE_ID_NEWEST)
            state->vbe[VBE_ID] = value;
        break;
    case VBE_XRES:
    case VBE_YRES:
    case VBE_BPP:
        if (vga_vbe_enabled(state))
            guest_error("vbe: register %u written while the mode is on", index);
        else if (!(state->vbe[VBE_ENABLE] & VBE_GETCAPS))
            state->vbe[index] = value;
        break;
    case VBE_ENABLE:
        write_enable(state, value);
        break;
    case VBE_BANK:
    case VBE_VIRT_WIDTH:
    case VBE_X_OFFSET:
    case VBE_Y_OFFSET:
        state->vbe[index] = value;
        break;
    case VBE_VIRT_HEIGHT: /* follows from the width and the memory there is */
    case VBE_VIDEO_MEMORY_64K:
        break;
    default:
        guest_error("vbe: no register %u", index);
        break;
    }
    vbe_check(state);
    vga->writes++;
}

/* Ports 1CEh (index) and, both 16 bits wide, 1CFh and 1D0h (data). */
uint64_t vbe_port_read(void *opaque, uint64_t offset, unsigned size)
{
    struct vga *vga = opaque;
    uint16_t value = offset ? vbe_read(&vga->state, vga->state.vbe_index) : vga->state.vbe_index;
    return size == 1 ? value & 0xff : value;
}

void vbe_port_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct vga *vga = opaque;
    if (offset)
        vbe_write(vga, vga->state.vbe_index, (uint16_t)value);
    else
        vga->state.vbe_index = (uint16_t)value;
}

/* INV-1: the bus keeps the offset below the region's length, which is that of VRAM. */
uint64_t vbe_framebuffer_read(void *opaque, uint64_t offset, unsigned size)
{
    struct vga *vga = opaque;
    uint64_t value = 0;
    memcpy(&value, vga->state.vram + offset, size);
    return value;
}

void vbe_framebuffer_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct vga *vga = opaque;
    memcpy(vga->state.vram + offset, &value, size);
    vga->writes++;
}

uint64_t vbe_mmio_read(void *opaque, uint64_t offset, unsigned size)
{
    struct vga *vga = opaque;
    if (offset >= MMIO_VGA_PORTS && offset + size <= MMIO_VGA_PORTS_END) {
        uint64_t value = 0;
        for (unsigned i = 0; i < size; i++) {
            unsigned port = 0x3c0 + (unsigned)(offset - MMIO_VGA_PORTS) + i;
            value |= (uint64_t)vga_port_read(vga, port) << 8 * i;
        }
        return value;
    }
    if (offset >= MMIO_VBE && offset + size <= MMIO_VBE_END && size <= 2) {
        uint16_t value = vbe_read(&vga->state, (unsigned)(offset - MMIO_VBE) / 2);
        return size == 2 ? value : (uint8_t)(value >> 8 * (offset & 1));
    }
    if (size == 4 && offset == MMIO_EXTENSION_LENGTH)
        return EXTENSION_BYTES;
    if (size == 4 && offset == MMIO_BYTE_ORDER)
        return LITTLE_ENDIAN_ORDER;
    return 0;
}

void vbe_mmio_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct vga *vga = opaque;
    if (offset >= MMIO_VGA_PORTS && offset + size <= MMIO_VGA_PORTS_END) {
        for (unsigned i = 0; i < size; i++)
            vga_port_write(vga, 0x3c0 + (unsigned)(offset - MMIO_VGA_PORTS) + i,
                           (uint8_t)(value >> 8 * i));
    } else if (offset >= MMIO_VBE && offset + size <= MMIO_VBE_END && size == 2) {
        vbe_write(vga, (unsigned)(offset - MMIO_VBE) / 2, (uint16_t)value);
    } else if (offset == MMIO_BYTE_ORDER && size == 4) {
        /* LIMIT: the framebuffer is little-endian; a guest that asks for the other is not x86. */
        if (value != LITTLE_ENDIAN_ORDER)
            log_unimp("vbe: big-endian framebuffer");
    } else {
        guest_error("vga: MMIO write of %u bytes at %#llx", size, (unsigned long long)offset);
    }
}
