/* hw/display, hw/png: the pixels of every kind of mode, worked out by hand. */
#include "hw/display.h"
#include "hw/png.h"
#include "tests/vga_rig.h"

#include <zlib.h>

static struct device_rig rig;
static struct vga *vga;
static struct surface screen;

static void setup(void)
{
    vga = vga_rig_init(&rig, NULL, 0);
}

static void teardown(void)
{
    surface_free(&screen);
    vga_rig_free(&rig, vga);
}

TestSuite(display, .init = setup, .fini = teardown);

static uint32_t pixel(uint32_t x, uint32_t y)
{
    return screen.pixels[y * screen.stride + x];
}

static void render(uint32_t width, uint32_t height)
{
    uint32_t told_width, told_height;
    display_size(vga, &told_width, &told_height);
    display_render(vga, &screen);
    cr_assert(screen.width == width && screen.height == height, "%ux%u", screen.width,
              screen.height);
    cr_assert(told_width == width && told_height == height);
}

static void set_glyph(unsigned font, uint8_t character, unsigned row, uint8_t dots)
{
    vga->state.vram[4 * (font * 0x2000 + character * 32 + row) + 2] = dots;
}

static void put_cell(unsigned column, unsigned row, uint8_t character, uint8_t colors)
{
    bus_write(&rig.memory, 0xb8000 + 2 * (row * 80 + column), 2, (unsigned)colors << 8 | character);
}

static void check_cell_row(uint32_t x, uint32_t y, unsigned dots, uint32_t ink, uint32_t paper)
{
    for (unsigned i = 0; i < 9; i++)
        cr_assert_eq(pixel(x + i, y), dots >> (8 - i) & 1 ? ink : paper, "dot %u of %u,%u", i, x,
                     y);
}

Test(display, text)
{
    vga_rig_set_mode(&rig, &mode_text);
    indexed(&rig, 0x3d4, 10, 0x20); /* no cursor */
    set_glyph(0, 'A', 3, 0xa5);
    set_glyph(0, 0xc4, 7, 0x81);
    put_cell(2, 1, 'A', 0x1e);
    put_cell(3, 1, 0xc4, 0x4f);
    render(720, 400);
    cr_assert(display_is_text(vga));
    check_cell_row(18, 16 + 3, 0xa5 << 1, dac_color(14), dac_color(1));
    check_cell_row(18, 16 + 4, 0, dac_color(14), dac_color(1));
    check_cell_row(27, 16 + 7, 0x103, dac_color(15), dac_color(4)); /* line graphics: 9th dot */
    cr_assert_eq(pixel(0, 0), dac_color(0));
    /* Eight dots. */
    indexed(&rig, 0x3c4, 1, 0x01);
    render(640, 400);
    cr_assert_eq(pixel(16, 16 + 3), dac_color(14));
    cr_assert_eq(pixel(24, 16 + 7), dac_color(15));
}

Test(display, text_fonts_blink_and_cursor)
{
    vga_rig_set_mode(&rig, &mode_text);
    set_glyph(0, 'B', 0, 0xf0);
    set_glyph(4, 'B', 0, 0x0f);
    indexed(&rig, 0x3c4, 3, 0x08); /* map A (bit 3 set): font 2, at 8000h; map B: font 0 */
    put_cell(0, 0, 'B', 0x07);
    put_cell(1, 0, 'B', 0x0f);
    put_cell(2, 0, 'B', 0x87); /* blinks */
    indexed(&rig, 0x3d4, 14, 0);
    indexed(&rig, 0x3d4, 15, 3);               /* cursor in column 3, lines 13 and 14 */
    device_rig_pass(&rig, NS_PER_SECOND / 70); /* frame 1: everything shows */
    render(720, 400);
    check_cell_row(0, 0, 0xf0 << 1, dac_color(7), dac_color(0));
    check_cell_row(9, 0, 0x0f << 1, dac_color(15), dac_color(0));
    check_cell_row(18, 0, 0xf0 << 1, dac_color(7), dac_color(0));
    check_cell_row(27, 12, 0, 0, dac_color(0));
    put_cell(3, 0, ' ', 0x02);
    render(720, 400);
    check_cell_row(27, 13, 0x1ff, dac_color(2), dac_color(0));
    check_cell_row(27, 14, 0x1ff, dac_color(2), dac_color(0));
    check_cell_row(27, 15, 0, dac_color(2), dac_color(0));
    device_rig_pass(&rig, NS_PER_SECOND / 70 * 8); /* frame 9: no cursor */
    render(720, 400);
    check_cell_row(27, 13, 0, dac_color(2), dac_color(0));
    device_rig_pass(&rig, NS_PER_SECOND / 70 * 8); /* frame 17: no blinking text */
    render(720, 400);
    check_cell_row(18, 0, 0, dac_color(7), dac_color(0));
    attribute(&rig, 0x10, 0x04); /* bright background in place of blinking */
    render(720, 400);
    check_cell_row(18, 0, 0xf0 << 1, dac_color(7), dac_color(8));
}

Test(display, text_scrolls_and_splits)
{
    vga_rig_set_mode(&rig, &mode_text);
    indexed(&rig, 0x3d4, 10, 0x20);
    for (unsigned row = 0; row < 16; row++)
        set_glyph(0, 'C', row, (uint8_t)(row + 1));
    put_cell(0, 2, 'C', 0x07);
    indexed(&rig, 0x3d4, 13, 160); /* start at row 2 */
    indexed(&rig, 0x3d4, 8, 5);    /* and five lines down */
    render(720, 400);
    check_cell_row(0, 0, 6 << 1, dac_color(7), dac_color(0));
    put_cell(0, 0, 'C', 0x07);
    indexed(&rig, 0x3d4, 24, 99); /* from line 100 on, memory from its start */
    indexed(&rig, 0x3d4, 7, 0x0f);
    indexed(&rig, 0x3d4, 9, 0x0f);
    render(720, 400);
    check_cell_row(0, 100, 1 << 1, dac_color(7), dac_color(0));
    check_cell_row(0, 0, 6 << 1, dac_color(7), dac_color(0));
    attribute(&rig, 0x13, 2); /* three dots to the left */
    indexed(&rig, 0x3d4, 24, 0xff);
    indexed(&rig, 0x3d4, 7, 0x1f);
    render(720, 400);
    cr_assert_eq(pixel(3, 0), dac_color(7));
}

Test(display, text_as_characters)
{
    char text[8192];
    vga_rig_set_mode(&rig, &mode_text);
    static const char message[] = "SeaBIOS (version";
    for (unsigned i = 0; message[i]; i++)
        put_cell(i, 0, (uint8_t)message[i], 7);
    put_cell(79, 24, 0xc9, 7);
    size_t length = display_text(vga, text, sizeof text);
    cr_assert_eq(length, strlen(text));
    cr_assert(!strncmp(text, "SeaBIOS (version\n\n", 18));
    cr_assert(!strcmp(text + length - 4, "\u2554\n"));
    unsigned lines = 0;
    for (size_t i = 0; i < length; i++)
        lines += text[i] == '\n';
    cr_assert_eq(lines, 25);
    cr_assert_eq(display_text(vga, text, 8), length);
    cr_assert(!strcmp(text, "SeaBIOS"));
    vga_rig_set_mode(&rig, &mode_13h);
    cr_assert_eq(display_text(vga, text, sizeof text), 0);
    cr_assert_not(display_is_text(vga));
}

Test(display, planar_16_colors)
{
    vga_rig_set_mode(&rig, &mode_planar);
    indexed(&rig, 0x3ce, 5, 2); /* write mode 2: a colour a byte */
    for (unsigned bit = 0; bit < 8; bit++) {
        indexed(&rig, 0x3ce, 8, (uint8_t)(0x80 >> bit));
        peek(&rig, 0xa0000 + 80 * 479 + 79);
        poke(&rig, 0xa0000 + 80 * 479 + 79, (uint8_t)(8 + bit));
    }
    render(640, 480);
    for (unsigned bit = 0; bit < 8; bit++)
        cr_assert_eq(pixel(632 + bit, 479), dac_color(8 + bit));
    cr_assert_eq(pixel(0, 0), dac_color(0));
    attribute(&rig, 9, 0x2a); /* through the palette */
    attribute(&rig, 0x14, 0x04);
    render(640, 480);
    cr_assert_eq(pixel(633, 479), dac_color(0x6a));
    attribute(&rig, 0x12, 0x07); /* plane 3 is not shown */
    render(640, 480);
    cr_assert_eq(pixel(633, 479), dac_color(0x41));
}

Test(display, mode_13h_and_x)
{
    vga_rig_set_mode(&rig, &mode_13h);
    poke(&rig, 0xa0000, 1);
    poke(&rig, 0xa0000 + 320 * 199 + 319, 200);
    poke(&rig, 0xa0000 + 320 * 100 + 7, 77);
    render(320, 200);
    cr_assert_eq(pixel(0, 0), dac_color(1));
    cr_assert_eq(pixel(319, 199), dac_color(200));
    cr_assert_eq(pixel(7, 100), dac_color(77));
    cr_assert_eq(pixel(8, 100), dac_color(0));
    palette(&rig, 77, 63, 0, 0);
    render(320, 200);
    cr_assert_eq(pixel(7, 100), 0xff0000);
    outb(&rig, 0x3c6, 0x0f); /* the mask: 77 becomes 13 */
    render(320, 200);
    cr_assert_eq(pixel(7, 100), dac_color(13));
    outb(&rig, 0x3c6, 0xff);
    /* Mode X, 320x240 as programs make it. */
    indexed(&rig, 0x3c4, 4, 0x06);
    indexed(&rig, 0x3d4, 0x14, 0x00);
    indexed(&rig, 0x3d4, 0x17, 0xe3);
    indexed(&rig, 0x3d4, 0x06, 0x0d);
    indexed(&rig, 0x3d4, 0x07, 0x3e);
    indexed(&rig, 0x3d4, 0x12, 0xdf);
    indexed(&rig, 0x3c4, 2, 1 << 2);
    poke(&rig, 0xa0000 + 80 * 239 + 5, 99);
    render(320, 240);
    cr_assert_eq(pixel(22, 239), dac_color(99));
}

Test(display, cga_four_colors)
{
    vga_rig_set_mode(&rig, &mode_cga);
    poke(&rig, 0xb8000, 0x1b);          /* line 0: pixels 0 1 2 3 */
    poke(&rig, 0xb8000 + 0x2000, 0xe4); /* line 1: pixels 3 2 1 0 */
    poke(&rig, 0xb8000 + 81, 0xc0);     /* line 2, pixel 4 */
    render(320, 200);
    for (unsigned i = 0; i < 4; i++) {
        cr_assert_eq(pixel(i, 0), dac_color(i));
        cr_assert_eq(pixel(i, 1), dac_color(3 - i));
    }
    cr_assert_eq(pixel(4, 2), dac_color(3));
}

Test(display, vbe_depths)
{
    static const struct {
        unsigned bits, bytes;
        uint32_t value, color;
    } depths[] = {
        {8, 1, 0x2a, 0},           {15, 2, 0x7c1f, 0xff00ff},   {16, 2, 0x07e0, 0x00ff00},
        {16, 2, 0xf800, 0xff0000}, {24, 3, 0x123456, 0x123456}, {32, 4, 0xff89abcd, 0x89abcd},
        {15, 2, 0x4210, 0x848484}, {16, 2, 0x8410, 0x848284},
    };
    vga_rig_set_mode(&rig, &mode_text);
    for (size_t i = 0; i < ARRAY_LENGTH(depths); i++) {
        vbe(&rig, VBE_ENABLE, 0);
        vbe(&rig, VBE_XRES, 800);
        vbe(&rig, VBE_YRES, 600);
        vbe(&rig, VBE_BPP, (uint16_t)depths[i].bits);
        vbe(&rig, VBE_ENABLE, VBE_ENABLED | VBE_LFB_ENABLED);
        vbe(&rig, VBE_VIRT_WIDTH, 1024);
        vbe(&rig, VBE_X_OFFSET, 16);
        vbe(&rig, VBE_Y_OFFSET, 9);
        size_t at = ((9 + 599) * 1024 + 16 + 799) * (size_t)depths[i].bytes;
        memcpy(vga->state.vram + at, &depths[i].value, depths[i].bytes);
        render(800, 600);
        uint32_t color = depths[i].bits == 8 ? dac_color(0x2a) : depths[i].color;
        cr_assert_eq(pixel(799, 599), color, "%u bits: %06x", depths[i].bits, pixel(799, 599));
        cr_assert_eq(pixel(798, 599), depths[i].bits == 8 ? dac_color(0) : 0);
    }
    vbe(&rig, VBE_ENABLE, 0);
    vbe(&rig, VBE_BPP, 4);
    vbe(&rig, VBE_ENABLE, VBE_ENABLED);
    vga->state.vram[4 * (800 * 5 + 8) / 8 + 1] = 0x80; /* plane 1: colour 2 */
    render(800, 600);
    cr_assert_eq(pixel(8, 5), dac_color(2));
    inb(&rig, 0x3da);
    outb(&rig, 0x3c0, 0x00); /* the screen is off */
    render(800, 600);
    cr_assert_eq(pixel(8, 5), 0);
}

/* Whatever the registers hold, a picture stays within its surface and VRAM. */
Test(display, fuzz)
{
    uint64_t seed = 9;
    for (unsigned round = 0; round < 300; round++) {
        for (unsigned i = 0; i < 25; i++)
            vga->state.crtc[i] = (uint8_t)device_rig_random(&seed);
        for (unsigned i = 0; i < 9; i++)
            indexed(&rig, 0x3ce, (uint8_t)i, (uint8_t)device_rig_random(&seed));
        for (unsigned i = 1; i < 5; i++)
            indexed(&rig, 0x3c4, (uint8_t)i, (uint8_t)device_rig_random(&seed) & 0xdf);
        for (unsigned i = 0; i < 21; i++)
            attribute(&rig, (uint8_t)i, (uint8_t)device_rig_random(&seed));
        vga->state.crtc[23] |= 0x80;
        for (unsigned i = 0; i < 12; i++)
            vbe(&rig, (uint16_t)(device_rig_random(&seed) % 12),
                (uint16_t)(device_rig_random(&seed) & (round & 1 ? 0xfff : 0xffff)));
        if (round % 3)
            vbe(&rig, VBE_ENABLE, (uint16_t)(round % 3 == 1 ? 0 : 1));
        display_render(vga, &screen);
        cr_assert(screen.width && screen.width <= SURFACE_WIDTH_MAX);
        cr_assert(screen.height && screen.height <= SURFACE_HEIGHT_MAX);
        char text[100];
        display_text(vga, text, sizeof text);
    }
}

/* The chunks of a PNG file, their checksums, and the pixels after inflating. */
Test(display, png)
{
    struct error error;
    char path[64];
    static uint8_t file[1 << 20], rows[(1 + 320 * 3) * 200];
    vga_rig_set_mode(&rig, &mode_13h);
    for (unsigned i = 0; i < 64000; i++)
        poke(&rig, 0xa0000 + i, (uint8_t)(i * 7 + i / 320));
    render(320, 200);
    image_create(path, 10); /* what was there before is replaced */
    cr_assert_eq(png_write(&screen, path, &error), 0, "%s", error.text);
    int fd = open(path, O_RDONLY);
    ssize_t length = read(fd, file, sizeof file);
    close(fd);
    unlink(path);
    cr_assert(!memcmp(file, "\x89PNG\r\n\x1a\n", 8));
    uLongf rows_length = sizeof rows;
    unsigned chunks = 0;
    for (ssize_t at = 8; at < length; chunks++) {
        uint32_t bytes = __builtin_bswap32(load_le32(file + at));
        cr_assert_leq(at + 12 + bytes, length);
        cr_assert_eq(__builtin_bswap32(load_le32(file + at + 8 + bytes)),
                     crc32(0, file + at + 4, bytes + 4));
        if (!memcmp(file + at + 4, "IHDR", 4)) {
            static const uint8_t header[13] = {0, 0, 1, 64, 0, 0, 0, 200, 8, 2, 0, 0, 0};
            cr_assert(!memcmp(file + at + 8, header, 13));
        } else if (!memcmp(file + at + 4, "IDAT", 4)) {
            cr_assert_eq(uncompress(rows, &rows_length, file + at + 8, bytes), Z_OK);
        }
        at += 12 + bytes;
    }
    cr_assert_eq(chunks, 3);
    cr_assert_eq(rows_length, sizeof rows);
    for (unsigned y = 0; y < 200; y++)
        for (unsigned x = 0; x < 320; x++) {
            const uint8_t *at = rows + y * 961 + 1 + 3 * x;
            cr_assert_eq((uint32_t)at[0] << 16 | at[1] << 8 | at[2], pixel(x, y));
        }
    cr_assert_eq(png_write(&screen, "/nonexistent/x.png", &error), -ENOENT);
    cr_assert(strstr(error.text, "/nonexistent/x.png: cannot write"), "%s", error.text);
    struct surface empty = {0};
    cr_assert_eq(png_write(&empty, path, &error), -EINVAL);
    cr_assert_neq(access(path, F_OK), 0, "nothing was written");
}
