/* What the tests of the VGA and of its pictures share: a VGA on a device_rig, and mode tables. */
#ifndef TESTS_VGA_RIG_H
#define TESTS_VGA_RIG_H

#include "hw/vga.h"
#include "tests/device_rig.h"

/* The standard settings of a mode: misc output, sequencer 1..4, CRTC 0..18h, graphics 0..8,
 * attribute 10h..13h (IBM PS/2 reference, "Video Modes"). */
struct vga_mode {
    uint8_t misc, sequencer[4], crtc[25], graphics[9], attribute[4];
};

/* 03h: 80x25 text, 9x16 cells. */
static const struct vga_mode mode_text = {
    0x67,
    {0x00, 0x03, 0x00, 0x02},
    {0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00,
     0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff},
    {0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0e, 0x0f, 0xff},
    {0x0c, 0x00, 0x0f, 0x08},
};
/* 12h: 640x480, 16 colours, planar. */
static const struct vga_mode mode_planar = {
    0xe3,
    {0x01, 0x0f, 0x00, 0x06},
    {0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0x0b, 0x3e, 0x00, 0x40, 0x00, 0x00, 0x00,
     0x00, 0x00, 0x00, 0xea, 0x8c, 0xdf, 0x28, 0x00, 0xe7, 0x04, 0xe3, 0xff},
    {0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x05, 0x0f, 0xff},
    {0x01, 0x00, 0x0f, 0x00},
};
/* 13h: 320x200, 256 colours, chained. */
static const struct vga_mode mode_13h = {
    0x63,
    {0x01, 0x0f, 0x00, 0x0e},
    {0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0x00, 0x41, 0x00, 0x00, 0x00,
     0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x28, 0x40, 0x96, 0xb9, 0xa3, 0xff},
    {0x00, 0x00, 0x00, 0x00, 0x00, 0x40, 0x05, 0x0f, 0xff},
    {0x41, 0x00, 0x0f, 0x00},
};
/* 04h: 320x200, CGA's four colours. */
static const struct vga_mode mode_cga = {
    0x63,
    {0x09, 0x03, 0x00, 0x02},
    {0x2d, 0x27, 0x28, 0x90, 0x2b, 0x80, 0xbf, 0x1f, 0x00, 0xc1, 0x00, 0x00, 0x00,
     0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x14, 0x00, 0x96, 0xb9, 0xa2, 0xff},
    {0x00, 0x00, 0x00, 0x00, 0x00, 0x30, 0x0f, 0x0f, 0xff},
    {0x01, 0x00, 0x03, 0x00},
};

static inline struct vga *vga_rig_init(struct device_rig *rig, const uint8_t *rom, size_t bytes)
{
    struct vga *vga = calloc(1, sizeof *vga);
    cr_assert_not_null(vga);
    device_rig_init(rig);
    vga_attach(vga, &rig->pci, 2, &rig->clock, rom, bytes);
    device_rig_register(rig);
    device_register(&rig->devices, &vga_class, vga);
    device_reset_all(&rig->devices, RESET_POWER_ON);
    return vga;
}

static inline void vga_rig_free(struct device_rig *rig, struct vga *vga)
{
    device_rig_free(rig);
    free(vga);
}

static inline void indexed(struct device_rig *rig, unsigned port, uint8_t index, uint8_t value)
{
    outw(rig, port, (uint16_t)(value << 8 | index));
}

static inline void attribute(struct device_rig *rig, uint8_t index, uint8_t value)
{
    inb(rig, 0x3da);
    outb(rig, 0x3c0, index);
    outb(rig, 0x3c0, value);
    outb(rig, 0x3c0, 0x20);
}

static inline void palette(struct device_rig *rig, uint8_t index, uint8_t red, uint8_t green,
                           uint8_t blue)
{
    outb(rig, 0x3c8, index);
    outb(rig, 0x3c9, red);
    outb(rig, 0x3c9, green);
    outb(rig, 0x3c9, blue);
}

/* Programs the mode, an identity palette of 16 colours and a DAC where entry n is (n, 63-n, n/2).
 */
static inline void vga_rig_set_mode(struct device_rig *rig, const struct vga_mode *mode)
{
    outb(rig, 0x3c2, mode->misc);
    for (unsigned i = 0; i < 4; i++)
        indexed(rig, 0x3c4, (uint8_t)(i + 1), mode->sequencer[i]);
    indexed(rig, 0x3d4, 0x11, 0);
    for (unsigned i = 0; i < 25; i++)
        indexed(rig, 0x3d4, (uint8_t)i, mode->crtc[i]);
    for (unsigned i = 0; i < 9; i++)
        indexed(rig, 0x3ce, (uint8_t)i, mode->graphics[i]);
    for (unsigned i = 0; i < 16; i++)
        attribute(rig, (uint8_t)i, (uint8_t)i);
    for (unsigned i = 0; i < 4; i++)
        attribute(rig, (uint8_t)(16 + i), mode->attribute[i]);
    outb(rig, 0x3c6, 0xff);
    for (unsigned i = 0; i < 256; i++)
        palette(rig, (uint8_t)i, i & 63, 63 - (i & 63), (i & 63) / 2);
}

/* The colour that vga_rig_set_mode() gave to DAC entry `index`. */
static inline uint32_t dac_color(unsigned index)
{
    uint32_t red = index & 63, green = 63 - red, blue = red / 2;
    return (red << 2 | red >> 4) << 16 | (green << 2 | green >> 4) << 8 | (blue << 2 | blue >> 4);
}

static inline void poke(struct device_rig *rig, uint32_t address, uint8_t value)
{
    bus_write(&rig->memory, address, 1, value);
}

static inline uint8_t peek(struct device_rig *rig, uint32_t address)
{
    return (uint8_t)bus_read(&rig->memory, address, 1);
}

static inline void vbe(struct device_rig *rig, uint16_t index, uint16_t value)
{
    outw(rig, 0x1ce, index);
    outw(rig, 0x1cf, value);
}

static inline uint16_t vbe_get(struct device_rig *rig, uint16_t index)
{
    outw(rig, 0x1ce, index);
    return inw(rig, 0x1cf);
}

#endif
