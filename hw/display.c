/* From registers and VRAM to a picture: the CRTC's addressing, graphics modes and VBE modes (see
 * display.h; text is in display_text.c).
 *
 * A picture has the pixels that the guest drew: lines and dots that the hardware doubles (mode 13h
 * is sent as 640x400) are taken once.
 * Sources: IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem"; FreeVGA.
 */
#include "hw/display_priv.h"

enum { FRAMES_PER_SECOND = 70, LEGACY_MASK = VGA_PLANE_BYTES - 1 };

static void describe_palette(const struct vga_state *state, struct screen *screen)
{
    bool wide = state->vbe[VBE_ENABLE] & VBE_8BIT_DAC;
    for (unsigned i = 0; i < 256; i++) {
        const uint8_t *entry = state->dac + 3 * (i & state->dac_mask);
        uint32_t color = 0;
        for (unsigned component = 0; component < 3; component++) {
            uint8_t value = entry[component];
            color = color << 8 | (wide ? value : (uint8_t)(value << 2 | (value >> 4 & 3)));
        }
        screen->palette[i] = color;
    }
    uint8_t mode = state->attribute[ATTRIBUTE_MODE];
    uint8_t select = state->attribute[ATTRIBUTE_COLOR_SELECT];
    for (unsigned i = 0; i < 16; i++) {
        uint8_t index = (state->attribute[i] & 0x3f) | (select & 0x0c) << 4;
        if (mode & ATTRIBUTE_MODE_COLOR_45)
            index = (index & 0xcf) | (select & 3) << 4;
        screen->colors[i] = screen->palette[index];
    }
}

static bool is_graphics(const struct vga_state *state)
{
    return state->graphics[GRAPHICS_MISC] & MISC_GRAPHICS;
}

static bool is_256_colors(const struct vga_state *state)
{
    return state->graphics[GRAPHICS_MODE] & MODE_256_COLORS;
}

void screen_describe(const struct vga *vga, struct screen *screen)
{
    const struct vga_state *state = &vga->state;
    uint8_t mode = state->crtc[CRTC_MODE];
    screen->state = state;
    screen->frame =
        clock_scale((uint64_t)clock_now_ns(vga->clock), FRAMES_PER_SECOND, NS_PER_SECOND);
    screen->columns = state->crtc[CRTC_HORIZONTAL_END] + 1u;
    screen->row_lines = (state->crtc[CRTC_MAXIMUM_ROW] & 31) + 1;
    screen->double_scan = state->crtc[CRTC_MAXIMUM_ROW] & CRTC_DOUBLE_SCAN ? 1 : 0;
    screen->repeat = 1u << screen->double_scan;
    screen->dots = state->sequencer[SEQ_CLOCKING] & CLOCKING_8_DOTS ? 8 : 9;
    if (is_graphics(state)) {
        screen->dots = is_256_colors(state) ? 4 : 8;
        bool row_in_address =
            (mode & (CRTC_MODE_MAP13 | CRTC_MODE_MAP14)) != (CRTC_MODE_MAP13 | CRTC_MODE_MAP14);
        if (!row_in_address)
            screen->repeat *= screen->row_lines;
    }
    uint32_t lines = vga_vertical_end(state) << (mode & CRTC_MODE_HALF_LINES ? 1 : 0);
    screen->width = screen->columns * screen->dots;
    screen->height = (lines + screen->repeat - 1) / screen->repeat;
    describe_palette(state, screen);
}

uint32_t screen_address(const struct vga_state *state, uint32_t counter, uint32_t row)
{
    uint8_t mode = state->crtc[CRTC_MODE];
    uint32_t address = counter;
    if (state->crtc[CRTC_UNDERLINE] & CRTC_DOUBLEWORD)
        address = counter << 2 | (counter >> 14 & 3);
    else if (!(mode & CRTC_MODE_BYTE))
        address = counter << 1 | (counter >> (mode & CRTC_MODE_ADDRESS_15 ? 15 : 13) & 1);
    if (!(mode & CRTC_MODE_MAP13))
        address = (address & ~(1u << 13)) | (row & 1) << 13;
    if (!(mode & CRTC_MODE_MAP14))
        address = (address & ~(1u << 14)) | (row >> 1 & 1) << 14;
    return address & LEGACY_MASK;
}

struct scan_line screen_line(const struct screen *screen, uint32_t y)
{
    const struct vga_state *state = screen->state;
    uint32_t scan = y * screen->repeat;
    uint32_t compare = vga_line_compare(state);
    uint32_t start = (uint32_t)state->crtc[CRTC_START_HIGH] << 8 | state->crtc[CRTC_START_LOW];
    uint32_t preset = state->crtc[CRTC_PRESET_ROW] & 31;
    struct scan_line line = {.panning = state->attribute[ATTRIBUTE_PANNING] & 15};
    start += state->crtc[CRTC_PRESET_ROW] >> 5 & 3;
    if (scan > compare) {
        scan -= compare + 1;
        start = preset = 0;
        if (state->attribute[ATTRIBUTE_MODE] & ATTRIBUTE_MODE_SPLIT_PANNING)
            line.panning = 0;
    }
    if (screen->dots == 9)
        line.panning = line.panning >= 8 ? 0 : line.panning + 1;
    else
        line.panning = (line.panning & 7) / (8 / screen->dots);
    scan = (scan >> screen->double_scan) + preset;
    line.row = scan % screen->row_lines;
    line.counter = start + scan / screen->row_lines * state->crtc[CRTC_OFFSET] * 2;
    return line;
}

/* The pixels of one character clock: indices into the DAC, or 16 colours. */
static void shift_out(const struct vga_state *state, const uint8_t *word, uint8_t *pixels)
{
    uint8_t mode = state->graphics[GRAPHICS_MODE];
    uint8_t enabled = state->attribute[ATTRIBUTE_PLANE_ENABLE] & 15;
    if (mode & MODE_256_COLORS) {
        memcpy(pixels, word, 4);
        return;
    }
    for (unsigned i = 0; i < 8; i++) {
        unsigned pixel = 0;
        if (mode & MODE_INTERLEAVE) {
            unsigned shift = 6 - 2 * (i & 3);
            pixel = (word[i / 4] >> shift & 3) | (word[2 + i / 4] >> shift & 3) << 2;
        } else {
            for (unsigned plane = 0; plane < 4; plane++)
                pixel |= (unsigned)(word[plane] >> (7 - i) & 1) << plane;
        }
        pixels[i] = pixel & enabled;
    }
}

static void graphics_line(const struct screen *screen, uint32_t y, uint32_t *pixels)
{
    const struct vga_state *state = screen->state;
    const uint32_t *colors = is_256_colors(state) ? screen->palette : screen->colors;
    struct scan_line line = screen_line(screen, y);
    uint32_t x = 0, skip = line.panning;
    for (uint32_t column = 0; x < screen->width; column++, skip = 0) {
        uint8_t indices[8];
        uint32_t address = screen_address(state, line.counter + column, line.row);
        shift_out(state, state->vram + 4 * address, indices);
        for (uint32_t i = skip; i < screen->dots && x < screen->width; i++)
            pixels[x++] = colors[indices[i]];
    }
}

static void vbe_planar_line(const struct screen *screen, uint32_t y, uint32_t *pixels)
{
    const struct vga_state *state = screen->state;
    uint32_t first =
        (y + state->vbe[VBE_Y_OFFSET]) * state->vbe[VBE_VIRT_WIDTH] + state->vbe[VBE_X_OFFSET];
    for (uint32_t x = 0; x < screen->width; x++) {
        uint32_t bit = first + x;
        const uint8_t *word = state->vram + (bit / 8 * 4 & (VGA_VRAM_BYTES - 1));
        unsigned index = 0;
        for (unsigned plane = 0; plane < 4; plane++)
            index |= (unsigned)(word[plane] >> (7 - bit % 8) & 1) << plane;
        pixels[x] = screen->colors[index];
    }
}

/* A component of `bits` bits at `shift`, widened to eight. */
static uint32_t widen(uint32_t value, unsigned shift, unsigned bits)
{
    uint32_t component = value >> shift & ((1u << bits) - 1);
    return component << (8 - bits) | component >> (2 * bits - 8);
}

static void vbe_line(const struct screen *screen, uint32_t y, uint32_t *pixels)
{
    const struct vga_state *state = screen->state;
    unsigned bits = state->vbe[VBE_BPP];
    if (bits == 4) {
        vbe_planar_line(screen, y, pixels);
        return;
    }
    unsigned bytes = (bits + 7) / 8;
    /* INV-2 of vga.h: the last pixel of the last line lies within VRAM. */
    const uint8_t *from = state->vram +
                          (y + state->vbe[VBE_Y_OFFSET]) * (size_t)vbe_line_bytes(state) +
                          state->vbe[VBE_X_OFFSET] * bytes;
    for (uint32_t x = 0; x < screen->width; x++, from += bytes) {
        uint32_t value;
        switch (bits) {
        case 8:
            pixels[x] = screen->palette[*from];
            break;
        case 15:
            value = load_le16(from);
            pixels[x] = widen(value, 10, 5) << 16 | widen(value, 5, 5) << 8 | widen(value, 0, 5);
            break;
        case 16:
            value = load_le16(from);
            pixels[x] = widen(value, 11, 5) << 16 | widen(value, 5, 6) << 8 | widen(value, 0, 5);
            break;
        case 24:
            pixels[x] = from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16;
            break;
        default:
            pixels[x] = load_le32(from) & 0xffffff;
            break;
        }
    }
}

static bool is_blank(const struct vga_state *state)
{
    if (!(state->attribute_index & ATTRIBUTE_VIDEO_ENABLE))
        return true;
    return !vga_vbe_enabled(state) && (state->sequencer[SEQ_CLOCKING] & CLOCKING_SCREEN_OFF ||
                                       !(state->crtc[CRTC_MODE] & CRTC_MODE_SYNC));
}

static void describe(const struct vga *vga, struct screen *screen)
{
    screen_describe(vga, screen);
    if (vga_vbe_enabled(&vga->state)) {
        screen->width = vga->state.vbe[VBE_XRES];
        screen->height = vga->state.vbe[VBE_YRES];
    }
}

static bool resize(struct surface *surface, uint32_t width, uint32_t height)
{
    size_t needed = (size_t)width * height;
    if (needed > surface->capacity) {
        free(surface->pixels);
        surface->pixels = malloc(needed * sizeof *surface->pixels);
        surface->capacity = surface->pixels ? needed : 0;
    }
    bool fits = needed <= surface->capacity;
    surface->width = surface->stride = fits ? width : 0;
    surface->height = fits ? height : 0;
    return fits;
}

void display_render(const struct vga *vga, struct surface *surface)
{
    const struct vga_state *state = &vga->state;
    struct screen screen;
    describe(vga, &screen);
    if (!resize(surface, screen.width, screen.height))
        return;
    if (is_blank(state)) {
        memset(surface->pixels, 0,
               (size_t)surface->stride * surface->height * sizeof *surface->pixels);
        return;
    }
    for (uint32_t y = 0; y < screen.height; y++) {
        uint32_t *pixels = surface->pixels + (size_t)y * surface->stride;
        if (vga_vbe_enabled(state))
            vbe_line(&screen, y, pixels);
        else if (is_graphics(state))
            graphics_line(&screen, y, pixels);
        else
            display_text_line(&screen, y, pixels);
    }
}

void display_size(const struct vga *vga, uint32_t *width, uint32_t *height)
{
    struct screen screen;
    describe(vga, &screen);
    *width = screen.width;
    *height = screen.height;
}

bool display_is_text(const struct vga *vga)
{
    return !vga_vbe_enabled(&vga->state) && !is_graphics(&vga->state);
}
