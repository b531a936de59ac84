/* hw/vga: registers, the window's memory models, VBE, PCI, retrace. */
#include "tests/vga_rig.h"

static struct device_rig rig;
static struct vga *vga;
static uint8_t rom[4096];

static void setup(void)
{
    for (unsigned i = 0; i < sizeof rom; i++)
        rom[i] = image_byte(i);
    vga = vga_rig_init(&rig, rom, sizeof rom);
}

static void teardown(void)
{
    vga_rig_free(&rig, vga);
}

TestSuite(vga, .init = setup, .fini = teardown);

/* The byte of `plane` at `address`, from the side of the hardware. */
static uint8_t plane(unsigned plane_number, uint32_t address)
{
    return vga->state.vram[4 * address + plane_number];
}

Test(vga, registers_read_back_what_exists)
{
    vga_rig_set_mode(&rig, &mode_text);
    outb(&rig, 0x3d4, 0x13);
    cr_assert_eq(inb(&rig, 0x3d5), 0x28);
    cr_assert_eq(inb(&rig, 0x3cc), 0x67);
    indexed(&rig, 0x3c4, 1, 0xff);
    outb(&rig, 0x3c4, 1);
    cr_assert_eq(inb(&rig, 0x3c5), 0x3d);
    indexed(&rig, 0x3ce, 5, 0xff);
    cr_assert_eq(inb(&rig, 0x3cf), 0x7b);
    /* CRTC 0..7 are protected, but for line compare bit 8. */
    indexed(&rig, 0x3d4, 0x11, 0x8e);
    indexed(&rig, 0x3d4, 0x00, 0x12);
    outb(&rig, 0x3d4, 0x00);
    cr_assert_eq(inb(&rig, 0x3d5), 0x5f);
    indexed(&rig, 0x3d4, 0x07, 0x00);
    outb(&rig, 0x3d4, 0x07);
    cr_assert_eq(inb(&rig, 0x3d5), 0x0f);
    /* The attribute controller's flip-flop. */
    inb(&rig, 0x3da);
    outb(&rig, 0x3c0, 0x33);
    outb(&rig, 0x3c0, 0x05);
    cr_assert_eq(inb(&rig, 0x3c0), 0x33);
    cr_assert_eq(inb(&rig, 0x3c1), 0x05);
    /* Monochrome moves the CRTC to 3B4h. */
    cr_assert_eq(inb(&rig, 0x3b4), 0xff);
    outb(&rig, 0x3c2, 0x66);
    cr_assert_eq(inb(&rig, 0x3b4), 0x07);
    cr_assert_eq(inb(&rig, 0x3d4), 0xff);
}

Test(vga, dac)
{
    palette(&rig, 5, 0xff, 0x41, 0x3f);
    palette(&rig, 6, 1, 2, 3);
    outb(&rig, 0x3c7, 5);
    cr_assert_eq(inb(&rig, 0x3c7), 3);
    static const uint8_t expected[6] = {0x3f, 0x01, 0x3f, 1, 2, 3};
    for (unsigned i = 0; i < 6; i++)
        cr_assert_eq(inb(&rig, 0x3c9), expected[i]);
    outb(&rig, 0x3c8, 9);
    cr_assert_eq(inb(&rig, 0x3c7), 0);
    cr_assert_eq(inb(&rig, 0x3c8), 9);
    vbe(&rig, VBE_ENABLE, VBE_8BIT_DAC);
    outb(&rig, 0x3c7, 6);
    cr_assert_eq(inb(&rig, 0x3c9), 4, "colours stay what they are");
    palette(&rig, 7, 0xff, 0x80, 0x01);
    outb(&rig, 0x3c7, 7);
    cr_assert_eq(inb(&rig, 0x3c9), 0xff);
}

Test(vga, odd_even_text_memory)
{
    vga_rig_set_mode(&rig, &mode_text);
    bus_write(&rig.memory, 0xb8000, 4, 0x1f421e41);
    cr_assert(plane(0, 0) == 0x41 && plane(1, 0) == 0x1e);
    cr_assert(plane(0, 2) == 0x42 && plane(1, 2) == 0x1f);
    cr_assert_eq(bus_read(&rig.memory, 0xb8000, 4), 0x1f421e41);
    cr_assert_eq(peek(&rig, 0xa0000), 0xff, "not mapped");
    poke(&rig, 0xb0000, 1);
    cr_assert_eq(peek(&rig, 0xb0000), 0xff);
    outb(&rig, 0x3c2, 0x65); /* RAM off */
    cr_assert_eq(peek(&rig, 0xb8000), 0xff);
}

/* All write modes, functions, masks and rotations against the textbook, bit by bit. */
Test(vga, write_modes_against_a_longhand_model)
{
    uint64_t seed = 11;
    vga_rig_set_mode(&rig, &mode_planar);
    for (unsigned round = 0; round < 20000; round++) {
        uint64_t value = device_rig_random(&seed), more = device_rig_random(&seed);
        uint8_t latch[4], before[4], expected[4], data = (uint8_t)value;
        unsigned mode = value >> 8 & 3, set_reset = value >> 10 & 15, enable = value >> 14 & 15;
        unsigned rotate = value >> 18 & 7, function = value >> 21 & 3, map = value >> 23 & 15;
        uint8_t mask = (uint8_t)(value >> 27);
        uint32_t source = more & 0xffff, target = more >> 16 & 0xffff;
        for (unsigned p = 0; p < 4; p++) {
            latch[p] = vga->state.vram[4 * source + p] = (uint8_t)(more >> (32 + 8 * p));
            before[p] = source == target ? latch[p] : plane(p, target);
        }
        indexed(&rig, 0x3c4, 2, (uint8_t)map);
        indexed(&rig, 0x3ce, 0, (uint8_t)set_reset);
        indexed(&rig, 0x3ce, 1, (uint8_t)enable);
        indexed(&rig, 0x3ce, 3, (uint8_t)(function << 3 | rotate));
        indexed(&rig, 0x3ce, 5, (uint8_t)mode);
        indexed(&rig, 0x3ce, 8, mask);
        peek(&rig, 0xa0000 + source);
        poke(&rig, 0xa0000 + target, data);
        uint8_t rotated = (uint8_t)(data >> rotate | data << (8 - rotate));
        for (unsigned p = 0; p < 4; p++) {
            expected[p] = 0;
            for (unsigned bit = 0; bit < 8; bit++) {
                bool old = latch[p] >> bit & 1, chosen = mask >> bit & 1, in;
                if (mode == 0)
                    in = enable >> p & 1 ? set_reset >> p & 1 : rotated >> bit & 1;
                else if (mode == 2)
                    in = data >> p & 1;
                else
                    in = set_reset >> p & 1;
                if (mode == 3)
                    chosen = chosen && (rotated >> bit & 1);
                in = function == 1   ? in && old
                     : function == 2 ? in || old
                     : function == 3 ? in != old
                                     : in;
                expected[p] |= (uint8_t)((mode == 1 ? old : chosen ? in : old) << bit);
            }
            if (!(map >> p & 1))
                expected[p] = before[p];
            cr_assert_eq(plane(p, target), expected[p], "round %u plane %u mode %u", round, p,
                         mode);
        }
    }
}

Test(vga, read_modes)
{
    vga_rig_set_mode(&rig, &mode_planar);
    for (unsigned p = 0; p < 4; p++)
        vga->state.vram[4 * 0x1234 + p] = (uint8_t)(0x11 << p);
    for (unsigned p = 0; p < 4; p++) {
        indexed(&rig, 0x3ce, 4, (uint8_t)p);
        cr_assert_eq(peek(&rig, 0xa1234), 0x11 << p);
    }
    indexed(&rig, 0x3ce, 5, 0x08);
    indexed(&rig, 0x3ce, 2, 0x2); /* colour 2: plane 1 only */
    indexed(&rig, 0x3ce, 7, 0xf);
    cr_assert_eq(peek(&rig, 0xa1234), 0x22);
    indexed(&rig, 0x3ce, 7, 0x0); /* nothing matters: all match */
    cr_assert_eq(peek(&rig, 0xa1234), 0xff);
}

Test(vga, chained_and_unchained)
{
    vga_rig_set_mode(&rig, &mode_13h);
    for (unsigned i = 0; i < 16; i++)
        poke(&rig, 0xa0000 + i, (uint8_t)(0x40 + i));
    for (unsigned i = 0; i < 16; i++) {
        cr_assert_eq(plane(i & 3, i & ~3u), 0x40 + i);
        cr_assert_eq(peek(&rig, 0xa0000 + i), 0x40 + i);
    }
    indexed(&rig, 0x3c4, 4, 0x06); /* mode X */
    indexed(&rig, 0x3c4, 2, 0x05);
    poke(&rig, 0xa0001, 0x99);
    cr_assert(plane(0, 1) == 0x99 && plane(2, 1) == 0x99 && plane(1, 1) == 0 && plane(3, 1) == 0);
}

Test(vga, vbe_registers)
{
    cr_assert_eq(vbe_get(&rig, VBE_ID), 0xb0c5);
    vbe(&rig, VBE_ID, 0xb0c0);
    cr_assert_eq(vbe_get(&rig, VBE_ID), 0xb0c0);
    cr_assert_eq(vbe_get(&rig, VBE_VIDEO_MEMORY_64K), 256);
    vbe(&rig, VBE_ENABLE, VBE_GETCAPS);
    cr_assert_geq(vbe_get(&rig, VBE_XRES), 2560);
    cr_assert_eq(vbe_get(&rig, VBE_BPP), 32);
    vbe(&rig, VBE_ENABLE, 0);
    vbe(&rig, VBE_XRES, 1024);
    vbe(&rig, VBE_YRES, 768);
    vbe(&rig, VBE_BPP, 32);
    vga->state.vram[0] = 1;
    vbe(&rig, VBE_ENABLE, VBE_ENABLED | VBE_LFB_ENABLED | VBE_NOCLEARMEM);
    cr_assert_eq(vga->state.vram[0], 1);
    cr_assert_eq(vbe_get(&rig, VBE_VIRT_WIDTH), 1024);
    cr_assert_eq(vbe_get(&rig, VBE_VIRT_HEIGHT), 4096);
    vbe(&rig, VBE_XRES, 640);
    cr_assert_eq(vbe_get(&rig, VBE_XRES), 1024, "fixed while the mode is on");
    vbe(&rig, VBE_Y_OFFSET, 0xffff);
    cr_assert_eq(vbe_get(&rig, VBE_Y_OFFSET), 4096 - 768);
    vbe(&rig, VBE_ENABLE, 0);
    vbe(&rig, VBE_ENABLE, VBE_ENABLED);
    cr_assert_eq(vga->state.vram[0], 0, "cleared");
    cr_assert_eq(vbe_get(&rig, VBE_Y_OFFSET), 0);
    /* The window shows 64 KiB at a time. */
    indexed(&rig, 0x3ce, 6, 0x05);
    outb(&rig, 0x3c2, 0x63);
    vbe(&rig, VBE_BANK, 3);
    poke(&rig, 0xa0010, 0x77);
    cr_assert_eq(vga->state.vram[3 * 65536 + 16], 0x77);
}

Test(vga, pci_function)
{
    cr_assert_eq(pci_config_read(&vga->function, 0, 4), 0x11111234);
    cr_assert_eq(pci_config_read(&vga->function, 8, 4) >> 8, 0x030000);
    pci_config_write(&vga->function, 0x10, 4, 0xffffffff);
    cr_assert_eq(pci_config_read(&vga->function, 0x10, 4), 0xff000008);
    pci_config_write(&vga->function, 0x10, 4, 0xe0000000);
    pci_config_write(&vga->function, 0x18, 4, 0xe1000000);
    pci_config_write(&vga->function, 0x30, 4, 0xe1010001);
    pci_config_write(&vga->function, PCI_COMMAND, 2, 3);
    cr_assert_eq(pci_command(&vga->function) & 3, 3, "firmware looks for both bits");
    bus_write(&rig.memory, 0xe0123456, 4, 0xdeadbeef);
    bus_write(&rig.memory, 0xe0fffff8, 8, 0x0123456789abcdef);
    cr_assert_eq(load_le32(vga->state.vram + 0x123456), 0xdeadbeef);
    cr_assert_eq(bus_read(&rig.memory, 0xe0fffff8, 8), 0x0123456789abcdef);
    for (unsigned i = 0; i < sizeof rom; i++)
        cr_assert_eq(peek(&rig, 0xe1010000 + i), rom[i]);
    /* BAR2: the VBE registers and the ports. */
    cr_assert_eq(bus_read(&rig.memory, 0xe1000500, 2), 0xb0c5);
    bus_write(&rig.memory, 0xe1000502, 2, 800);
    cr_assert_eq(vbe_get(&rig, VBE_XRES), 800);
    bus_write(&rig.memory, 0xe100040e, 2, 0x1206); /* ports 3CEh, 3CFh */
    outb(&rig, 0x3ce, 6);
    cr_assert_eq(inb(&rig, 0x3cf), 0x02);
    cr_assert_eq(bus_read(&rig.memory, 0xe1000604, 4), 0x1e1e1e1e);
}

Test(vga, retrace_follows_the_clock)
{
    unsigned lines_in_retrace = 0, edges = 0, shown = 0;
    bool before = false;
    vga_rig_set_mode(&rig, &mode_text);
    /* One second in steps of a scan line (about 31.8 us). */
    for (unsigned i = 0; i < 31469; i++) {
        device_rig_pass(&rig, 31778);
        uint8_t status = inb(&rig, 0x3da);
        bool retrace = status & 8;
        cr_assert(!retrace || (status & 1), "retrace is never within the picture");
        lines_in_retrace += retrace;
        shown += !(status & 1);
        edges += retrace && !before;
        before = retrace;
    }
    cr_assert(edges >= 69 && edges <= 71, "%u pictures a second", edges);
    cr_assert(lines_in_retrace >= 2 * 68 && lines_in_retrace <= 2 * 72, "%u", lines_in_retrace);
    cr_assert_gt(shown, 0);
}

Test(vga, state_survives_a_save)
{
    vga_rig_set_mode(&rig, &mode_text);
    poke(&rig, 0xb8000, 'x');
    vbe(&rig, VBE_XRES, 800);
    device_rig_check_save(&rig);
    cr_assert_eq(peek(&rig, 0xb8000), 'x');
    device_rig_check_reset(&rig);
}

Test(vga, fuzz)
{
    uint64_t seed = 5;
    pci_config_write(&vga->function, 0x10, 4, 0xe0000000);
    pci_config_write(&vga->function, 0x18, 4, 0xe1000000);
    pci_config_write(&vga->function, PCI_COMMAND, 2, 3);
    for (unsigned round = 0; round < 1000000; round++) {
        uint64_t value = device_rig_random(&seed), data = device_rig_random(&seed);
        unsigned size = 1u << (value >> 60) % 4;
        uint32_t offset = (uint32_t)(value >> 8);
        uint64_t address = value & 1   ? 0xa0000 + offset % 0x20000
                           : value & 2 ? 0xe0000000 + offset % VGA_VRAM_BYTES
                                       : 0xe1000000 + offset % VGA_MMIO_BYTES;
        unsigned port = value & 4 ? 0x3b0 + offset % 0x30 : 0x1ce + offset % 3;
        switch (value >> 3 & 3) {
        case 0:
            bus_write(&rig.memory, address, size, data);
            break;
        case 1:
            bus_read(&rig.memory, address, size);
            break;
        case 2:
            bus_write(&rig.ports, port, size > 4 ? 4 : size, data >> (value >> 32 & 31));
            break;
        case 3:
            bus_read(&rig.ports, port, size > 4 ? 4 : size);
            break;
        }
    }
}
