/* Text modes: character cells with fonts from plane 2, cursor and blinking; and the characters
 * themselves for tests and the monitor (see display.h).
 */
#include "hw/display_priv.h"

enum {
    CURSOR_BLINK_FRAMES = 8,
    TEXT_BLINK_FRAMES = 16,
    GLYPH_BYTES = 32,
    CURSOR_OFF = 0x20, /* of CRTC_CURSOR_START */
};

/* Code page 437, which the fonts of VGA BIOSes show, in Unicode. */
static const uint16_t code_page_437[256] = {
    0x0020, 0x263a, 0x263b, 0x2665, 0x2666, 0x2663, 0x2660, 0x2022, 0x25d8, 0x25cb, 0x25d9, 0x2642,
    0x2640, 0x266a, 0x266b, 0x263c, 0x25ba, 0x25c4, 0x2195, 0x203c, 0x00b6, 0x00a7, 0x25ac, 0x21a8,
    0x2191, 0x2193, 0x2192, 0x2190, 0x221f, 0x2194, 0x25b2, 0x25bc, 0x0020, 0x0021, 0x0022, 0x0023,
    0x0024, 0x0025, 0x0026, 0x0027, 0x0028, 0x0029, 0x002a, 0x002b, 0x002c, 0x002d, 0x002e, 0x002f,
    0x0030, 0x0031, 0x0032, 0x0033, 0x0034, 0x0035, 0x0036, 0x0037, 0x0038, 0x0039, 0x003a, 0x003b,
    0x003c, 0x003d, 0x003e, 0x003f, 0x0040, 0x0041, 0x0042, 0x0043, 0x0044, 0x0045, 0x0046, 0x0047,
    0x0048, 0x0049, 0x004a, 0x004b, 0x004c, 0x004d, 0x004e, 0x004f, 0x0050, 0x0051, 0x0052, 0x0053,
    0x0054, 0x0055, 0x0056, 0x0057, 0x0058, 0x0059, 0x005a, 0x005b, 0x005c, 0x005d, 0x005e, 0x005f,
    0x0060, 0x0061, 0x0062, 0x0063, 0x0064, 0x0065, 0x0066, 0x0067, 0x0068, 0x0069, 0x006a, 0x006b,
    0x006c, 0x006d, 0x006e, 0x006f, 0x0070, 0x0071, 0x0072, 0x0073, 0x0074, 0x0075, 0x0076, 0x0077,
    0x0078, 0x0079, 0x007a, 0x007b, 0x007c, 0x007d, 0x007e, 0x2302, 0x00c7, 0x00fc, 0x00e9, 0x00e2,
    0x00e4, 0x00e0, 0x00e5, 0x00e7, 0x00ea, 0x00eb, 0x00e8, 0x00ef, 0x00ee, 0x00ec, 0x00c4, 0x00c5,
    0x00c9, 0x00e6, 0x00c6, 0x00f4, 0x00f6, 0x00f2, 0x00fb, 0x00f9, 0x00ff, 0x00d6, 0x00dc, 0x00a2,
    0x00a3, 0x00a5, 0x20a7, 0x0192, 0x00e1, 0x00ed, 0x00f3, 0x00fa, 0x00f1, 0x00d1, 0x00aa, 0x00ba,
    0x00bf, 0x2310, 0x00ac, 0x00bd, 0x00bc, 0x00a1, 0x00ab, 0x00bb, 0x2591, 0x2592, 0x2593, 0x2502,
    0x2524, 0x2561, 0x2562, 0x2556, 0x2555, 0x2563, 0x2551, 0x2557, 0x255d, 0x255c, 0x255b, 0x2510,
    0x2514, 0x2534, 0x252c, 0x251c, 0x2500, 0x253c, 0x255e, 0x255f, 0x255a, 0x2554, 0x2569, 0x2566,
    0x2560, 0x2550, 0x256c, 0x2567, 0x2568, 0x2564, 0x2565, 0x2559, 0x2558, 0x2552, 0x2553, 0x256b,
    0x256a, 0x2518, 0x250c, 0x2588, 0x2584, 0x258c, 0x2590, 0x2580, 0x03b1, 0x00df, 0x0393, 0x03c0,
    0x03a3, 0x03c3, 0x00b5, 0x03c4, 0x03a6, 0x0398, 0x03a9, 0x03b4, 0x221e, 0x03c6, 0x03b5, 0x2229,
    0x2261, 0x00b1, 0x2265, 0x2264, 0x2320, 0x2321, 0x00f7, 0x2248, 0x00b0, 0x2219, 0x00b7, 0x221a,
    0x207f, 0x00b2, 0x25a0, 0x0020,
};

/* Offset in plane 2 of the font that one of the two map selects of SR03 names. */
static uint32_t font_offset(unsigned select)
{
    return (select & 3) * 0x4000 + (select >> 2) * 0x2000;
}

static bool cursor_shows(const struct screen *screen, uint32_t row)
{
    const uint8_t *crtc = screen->state->crtc;
    return !(crtc[CRTC_CURSOR_START] & CURSOR_OFF) && row >= (crtc[CRTC_CURSOR_START] & 31u) &&
           row <= (crtc[CRTC_CURSOR_END] & 31u) && !(screen->frame & CURSOR_BLINK_FRAMES);
}

/* The nine dots of one cell's line, leftmost in bit 8. */
static unsigned cell_dots(const struct vga_state *state, uint8_t character, uint8_t attribute,
                          uint32_t row)
{
    uint8_t map = state->sequencer[SEQ_FONT];
    unsigned select =
        attribute & 8 ? (map >> 2 & 3) | (map >> 5 & 1) << 2 : (map & 3) | (map >> 4 & 1) << 2;
    uint32_t at = (font_offset(select) + character * GLYPH_BYTES + row) & (VGA_PLANE_BYTES - 1);
    unsigned dots = (unsigned)state->vram[4 * at + 2] << 1;
    if ((character & 0xe0) == 0xc0 &&
        (state->attribute[ATTRIBUTE_MODE] & ATTRIBUTE_MODE_LINE_GRAPHICS))
        dots |= dots >> 1 & 1;
    if ((attribute & 7) == 1 && row == (state->crtc[CRTC_UNDERLINE] & 31))
        dots = 0x1ff;
    return dots;
}

void display_text_line(const struct screen *screen, uint32_t y, uint32_t *pixels)
{
    const struct vga_state *state = screen->state;
    struct scan_line line = screen_line(screen, y);
    uint32_t cursor = (uint32_t)state->crtc[CRTC_CURSOR_HIGH] << 8 | state->crtc[CRTC_CURSOR_LOW];
    bool cursor_row = cursor_shows(screen, line.row);
    bool blinks = state->attribute[ATTRIBUTE_MODE] & ATTRIBUTE_MODE_BLINK;
    uint8_t enabled = state->attribute[ATTRIBUTE_PLANE_ENABLE] & 15;
    uint32_t x = 0, skip = line.panning;
    for (uint32_t column = 0; x < screen->width; column++, skip = 0) {
        uint32_t counter = line.counter + column;
        const uint8_t *cell = state->vram + 4 * screen_address(state, counter, line.row);
        uint8_t attribute = cell[1];
        uint8_t ink = attribute & 15, paper = attribute >> 4;
        unsigned dots = cell_dots(state, cell[0], attribute, line.row);
        if (blinks) {
            paper &= 7;
            if ((attribute & 0x80) && (screen->frame & TEXT_BLINK_FRAMES))
                dots = 0;
        }
        if (cursor_row && (counter & 0xffff) == cursor)
            dots = 0x1ff;
        uint32_t colors[2] = {screen->colors[paper & enabled], screen->colors[ink & enabled]};
        for (uint32_t i = skip; i < screen->dots && x < screen->width; i++)
            pixels[x++] = colors[dots >> (8 - i) & 1];
    }
}

struct text_out {
    char *to;
    size_t capacity, length;
};

static void put_byte(struct text_out *out, unsigned byte)
{
    if (out->length + 1 < out->capacity)
        out->to[out->length] = (char)byte;
    out->length++;
}

static void put_character(struct text_out *out, unsigned code)
{
    if (code < 0x80) {
        put_byte(out, code);
    } else if (code < 0x800) {
        put_byte(out, 0xc0 | code >> 6);
        put_byte(out, 0x80 | (code & 0x3f));
    } else {
        put_byte(out, 0xe0 | code >> 12);
        put_byte(out, 0x80 | (code >> 6 & 0x3f));
        put_byte(out, 0x80 | (code & 0x3f));
    }
}

static void put_row(struct text_out *out, const struct screen *screen, uint32_t y)
{
    struct scan_line line = screen_line(screen, y);
    uint32_t used = 0;
    for (uint32_t pass = 0; pass < 2; pass++) {
        for (uint32_t column = 0; column < (pass ? used : screen->columns); column++) {
            uint32_t address = screen_address(screen->state, line.counter + column, line.row);
            unsigned code = code_page_437[screen->state->vram[4 * address]];
            if (pass)
                put_character(out, code);
            else if (code != ' ')
                used = column + 1;
        }
    }
    put_byte(out, '\n');
}

size_t display_text(const struct vga *vga, char *to, size_t capacity)
{
    struct text_out out = {to, capacity, 0};
    if (display_is_text(vga)) {
        struct screen screen;
        screen_describe(vga, &screen);
        for (uint32_t y = 0; y < screen.height; y += screen.row_lines)
            put_row(&out, &screen, y);
    }
    if (capacity)
        to[out.length < capacity ? out.length : capacity - 1] = 0;
    return out.length;
}
