/* A standard VGA with the Bochs VBE extension, as PCI display function 1234:1111.
 *
 * Files: vga.c (registers, PCI function, wiring), vga_memory.c (the window at A0000h), vbe.c (VBE
 * registers, linear framebuffer, MMIO).  Pictures are made in display.c.
 * BAR0: linear framebuffer.  BAR2: 4 KiB of MMIO: 400h ports 3C0h..3DFh, 500h VBE registers,
 * 600h length and byte order.
 * Sources: IBM PS/2 Hardware Interface Technical Reference (video subsystem); FreeVGA; the Bochs
 * VBE display API.
 *
 * VRAM holds the four planes side by side: byte `plane` of the 32-bit word `address` is the byte of
 * that plane at that address, which is also the linear layout of the packed VBE modes.
 *
 * INV-1: every VRAM index is taken modulo VGA_VRAM_BYTES (legacy: modulo 256 KiB).
 * INV-2: the VBE registers never describe a picture that does not fit into VRAM or a surface.
 */
#ifndef HW_VGA_H
#define HW_VGA_H

#include "base/bus.h"
#include "base/clock.h"
#include "hw/device.h"
#include "hw/pci.h"

enum {
    VGA_VRAM_BYTES = 16 << 20,
    VGA_PLANE_BYTES = 64 << 10, /* a legacy plane */
    VGA_MMIO_BYTES = 4096,
};

enum vbe_register {
    VBE_ID,
    VBE_XRES,
    VBE_YRES,
    VBE_BPP,
    VBE_ENABLE,
    VBE_BANK,
    VBE_VIRT_WIDTH,
    VBE_VIRT_HEIGHT,
    VBE_X_OFFSET,
    VBE_Y_OFFSET,
    VBE_VIDEO_MEMORY_64K,
    VBE_REGISTERS,
};

enum vbe_enable_bits {
    VBE_ENABLED = 0x01,
    VBE_GETCAPS = 0x02,
    VBE_8BIT_DAC = 0x20,
    VBE_LFB_ENABLED = 0x40,
    VBE_NOCLEARMEM = 0x80,
};

struct vga_state {
    uint8_t vram[VGA_VRAM_BYTES];
    uint32_t latch; /* a byte of each plane, plane 0 lowest */
    uint16_t vbe_index, vbe[VBE_REGISTERS];
    uint8_t misc_output, feature_control;
    uint8_t sequencer_index, crtc_index, graphics_index, attribute_index;
    uint8_t attribute_data_next; /* the flip-flop: the next write to 3C0h is data */
    uint8_t dac_mask, dac_read_index, dac_write_index, dac_component, dac_reading;
    uint8_t sequencer[8], crtc[32], graphics[16], attribute[32];
    uint8_t dac[768]; /* red, green, blue of 256 entries, 6 or 8 bits each */
};

struct vga {
    struct vga_state state;
    struct pci_function function;
    struct region vga_ports, mono_ports, color_ports, vbe_ports, window, framebuffer, mmio, rom;
    struct clock *clock;
    const uint8_t *rom_bytes;
    uint64_t writes; /* grows with every write that a picture may show */
};

/* Wires the VGA at `device`:0 of `pci`.  `rom` (the VGA BIOS, kept by the caller; may be NULL) is
 * shown through the PCI expansion ROM register.  `vga` is 16 MiB and more: on the heap. */
void vga_attach(struct vga *vga, struct pci_bus *pci, unsigned device, struct clock *clock,
                const uint8_t *rom, size_t rom_bytes);
extern const struct device_class vga_class;

#endif
