/* The VGA's register files (sequencer, CRTC, graphics and attribute controllers, DAC), its status
 * bits, and its wiring as a PCI function (see vga.h).
 *
 * Retrace follows from the virtual clock and the CRTC's timing; nothing runs when nobody looks.
 * QUIRK: the window and the ports answer whatever the PCI command register says, as on boards where
 * the VGA is the boot display.
 * Sources: IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem"; FreeVGA.
 */
#include "hw/vga_priv.h"

#include "base/log.h"

#include <errno.h>

enum { VENDOR = 0x1234, DEVICE = 0x1111, CLASS_VGA = 0x0300, REVISION = 2 };

#define VGA_FIELDS(FIELD, ARRAY)                                                                   \
    ARRAY(struct vga_state, vram)                                                                  \
    FIELD(struct vga_state, latch)                                                                 \
    FIELD(struct vga_state, vbe_index)                                                             \
    ARRAY(struct vga_state, vbe)                                                                   \
    FIELD(struct vga_state, misc_output)                                                           \
    FIELD(struct vga_state, feature_control)                                                       \
    FIELD(struct vga_state, sequencer_index)                                                       \
    FIELD(struct vga_state, crtc_index)                                                            \
    FIELD(struct vga_state, graphics_index)                                                        \
    FIELD(struct vga_state, attribute_index)                                                       \
    FIELD(struct vga_state, attribute_data_next)                                                   \
    FIELD(struct vga_state, dac_mask)                                                              \
    FIELD(struct vga_state, dac_read_index)                                                        \
    FIELD(struct vga_state, dac_write_index)                                                       \
    FIELD(struct vga_state, dac_component)                                                         \
    FIELD(struct vga_state, dac_reading)                                                           \
    ARRAY(struct vga_state, sequencer)                                                             \
    ARRAY(struct vga_state, crtc)                                                                  \
    ARRAY(struct vga_state, graphics)                                                              \
    ARRAY(struct vga_state, attribute)                                                             \
    ARRAY(struct vga_state, dac)

static const struct field vga_fields[] = SAVE_FIELDS(VGA_FIELDS);
SAVE_ASSERT_COMPLETE(struct vga_state, VGA_FIELDS);

/* Bits that exist; the others read as 0. */
static const uint8_t sequencer_bits[8] = {0x03, 0x3d, 0x0f, 0x3f, 0x0e};
static const uint8_t graphics_bits[16] = {0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff};
static const uint8_t attribute_bits[32] = {
    0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f,
    0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0xef, 0xff, 0x3f, 0x0f, 0x0f,
};

/* Input status 1: in retrace (bit 3), not showing pixels (bit 0). */
static uint8_t retrace_status(const struct vga *vga)
{
    static const uint32_t dot_clocks_hz[4] = {25175000, 28322000, 25175000, 25175000};
    const struct vga_state *state = &vga->state;
    uint8_t clocking = state->sequencer[SEQ_CLOCKING];
    uint32_t dots = (clocking & CLOCKING_8_DOTS ? 8 : 9) << (clocking & CLOCKING_HALF ? 1 : 0);
    uint32_t columns = state->crtc[CRTC_HORIZONTAL_TOTAL] + 5;
    uint32_t lines = vga_crtc_10_bits(state, CRTC_VERTICAL_TOTAL, 0, 5) + 2;
    uint64_t ticks = clock_scale((uint64_t)clock_now_ns(vga->clock),
                                 dot_clocks_hz[state->misc_output >> 2 & 3], NS_PER_SECOND);
    uint64_t column_number = ticks / dots;
    uint32_t column = column_number % columns;
    uint32_t line = column_number / columns % lines;
    uint32_t retrace = vga_crtc_10_bits(state, CRTC_RETRACE_START, 2, 7);
    uint32_t length = (state->crtc[CRTC_RETRACE_END] - retrace) & 15;
    uint8_t status = 0;
    if ((line + lines - retrace % lines) % lines < (length ? length : 16))
        status |= 8;
    if (line >= vga_vertical_end(state) || column > state->crtc[CRTC_HORIZONTAL_END])
        status |= 1;
    return status;
}

static void attribute_write(struct vga_state *state, uint8_t value)
{
    if (!state->attribute_data_next)
        state->attribute_index = value & 0x3f;
    else
        state->attribute[state->attribute_index & 31] =
            value & attribute_bits[state->attribute_index & 31];
    state->attribute_data_next ^= 1;
}

static void dac_write(struct vga_state *state, uint8_t value)
{
    if (!(state->vbe[VBE_ENABLE] & VBE_8BIT_DAC))
        value &= 0x3f;
    state->dac[3 * state->dac_write_index + state->dac_component] = value;
    if (++state->dac_component == 3) {
        state->dac_component = 0;
        state->dac_write_index++;
    }
}

static uint8_t dac_read(struct vga_state *state)
{
    uint8_t value = state->dac[3 * state->dac_read_index + state->dac_component];
    if (++state->dac_component == 3) {
        state->dac_component = 0;
        state->dac_read_index++;
    }
    return value;
}

static void crtc_write(struct vga_state *state, uint8_t value)
{
    unsigned index = state->crtc_index;
    if (index >= CRTC_REGISTERS)
        return;
    if ((state->crtc[CRTC_RETRACE_END] & CRTC_PROTECT) && index <= CRTC_OVERFLOW) {
        if (index == CRTC_OVERFLOW) /* line compare bit 8 is never protected */
            state->crtc[index] = (state->crtc[index] & ~0x10) | (value & 0x10);
        return;
    }
    state->crtc[index] = value;
}

/* 3D4h..3DAh or 3B4h..3BAh, whichever misc output bit 0 selects; the other set is absent. */
static bool is_other_crtc(const struct vga_state *state, unsigned port)
{
    bool color = state->misc_output & 1;
    return port < 0x3c0 ? color : port >= 0x3d0 && !color;
}

uint8_t vga_port_read(struct vga *vga, unsigned port)
{
    struct vga_state *state = &vga->state;
    if (is_other_crtc(state, port))
        return 0xff;
    switch (port < 0x3c0 ? port + 0x20 : port) {
    case 0x3c0:
        return state->attribute_index;
    case 0x3c1:
        return state->attribute[state->attribute_index & 31];
    case 0x3c2: /* no switch is closed, no retrace interrupt */
        return 0;
    case 0x3c4:
        return state->sequencer_index;
    case 0x3c5:
        return state->sequencer[state->sequencer_index];
    case 0x3c6:
        return state->dac_mask;
    case 0x3c7:
        return state->dac_reading ? 3 : 0;
    case 0x3c8:
        return state->dac_write_index;
    case 0x3c9:
        return dac_read(state);
    case 0x3ca:
        return state->feature_control;
    case 0x3cc:
        return state->misc_output;
    case 0x3ce:
        return state->graphics_index;
    case 0x3cf:
        return state->graphics[state->graphics_index];
    case 0x3d4:
        return state->crtc_index;
    case 0x3d5:
        return state->crtc_index < CRTC_REGISTERS ? state->crtc[state->crtc_index] : 0;
    case 0x3da:
        state->attribute_data_next = 0;
        return retrace_status(vga);
    default:
        return 0xff;
    }
}

void vga_port_write(struct vga *vga, unsigned port, uint8_t value)
{
    struct vga_state *state = &vga->state;
    if (is_other_crtc(state, port))
        return;
    vga->writes++;
    switch (port < 0x3c0 ? port + 0x20 : port) {
    case 0x3c0:
        attribute_write(state, value);
        break;
    case 0x3c2:
        state->misc_output = value & 0xef;
        break;
    case 0x3c4:
        state->sequencer_index = value & 7;
        break;
    case 0x3c5:
        state->sequencer[state->sequencer_index] = value & sequencer_bits[state->sequencer_index];
        break;
    case 0x3c6:
        state->dac_mask = value;
        break;
    case 0x3c7:
        state->dac_read_index = value;
        state->dac_component = 0;
        state->dac_reading = 1;
        break;
    case 0x3c8:
        state->dac_write_index = value;
        state->dac_component = 0;
        state->dac_reading = 0;
        break;
    case 0x3c9:
        dac_write(state, value);
        break;
    case 0x3ce:
        state->graphics_index = value & 15;
        break;
    case 0x3cf:
        state->graphics[state->graphics_index] = value & graphics_bits[state->graphics_index];
        break;
    case 0x3d4:
        state->crtc_index = value & 0x3f;
        break;
    case 0x3d5:
        crtc_write(state, value);
        break;
    case 0x3da:
        state->feature_control = value & 3;
        break;
    }
}

static uint64_t main_ports_read(void *opaque, uint64_t offset, unsigned size)
{
    return vga_port_read(opaque, 0x3c0 + (unsigned)offset);
}

static void main_ports_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    vga_port_write(opaque, 0x3c0 + (unsigned)offset, (uint8_t)value);
}

static uint64_t mono_ports_read(void *opaque, uint64_t offset, unsigned size)
{
    return vga_port_read(opaque, 0x3b4 + (unsigned)offset);
}

static void mono_ports_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    vga_port_write(opaque, 0x3b4 + (unsigned)offset, (uint8_t)value);
}

static uint64_t color_ports_read(void *opaque, uint64_t offset, unsigned size)
{
    return vga_port_read(opaque, 0x3d4 + (unsigned)offset);
}

static void color_ports_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    vga_port_write(opaque, 0x3d4 + (unsigned)offset, (uint8_t)value);
}

static uint64_t rom_read(void *opaque, uint64_t offset, unsigned size)
{
    struct vga *vga = opaque;
    uint64_t value = 0;
    memcpy(&value, vga->rom_bytes + offset, size);
    return value;
}

static void rom_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    guest_error("vga: write to the ROM at %#llx", (unsigned long long)offset);
}

/* WHY: memory that the guest has never written takes none of the host's, so it must not be written
 * here either. */
static void clear_vram(uint8_t *vram)
{
    enum { CHUNK = 4096 };
    static const uint8_t zeros[CHUNK];
    for (size_t at = 0; at < VGA_VRAM_BYTES; at += CHUNK)
        if (memcmp(vram + at, zeros, CHUNK))
            memset(vram + at, 0, CHUNK);
}

static void vga_reset(void *device, enum reset_kind kind)
{
    struct vga *vga = device;
    struct vga_state *state = &vga->state;
    if (kind == RESET_POWER_ON)
        clear_vram(state->vram);
    memset(&state->latch, 0, sizeof *state - offsetof(struct vga_state, latch));
    vbe_reset(state);
    state->dac_mask = 0xff;
    vga->writes++;
}

static int vga_after_load(void *device, struct error *error)
{
    struct vga *vga = device;
    struct vga_state *state = &vga->state;
    state->sequencer_index &= 7;
    state->graphics_index &= 15;
    state->attribute_data_next &= 1;
    if (state->dac_component > 2)
        return error_set(error, EINVAL, "vga: the saved state is damaged (dac_component %u)",
                         state->dac_component);
    vbe_check(state);
    vga->writes++;
    return 0;
}

static void describe_registers(FILE *out, const char *name, const uint8_t *registers, size_t count)
{
    fprintf(out, "  %-10s", name);
    for (size_t i = 0; i < count; i++)
        fprintf(out, " %02x", registers[i]);
    fputc('\n', out);
}

static void vga_describe(const void *device, FILE *out)
{
    const struct vga_state *state = &((const struct vga *)device)->state;
    fprintf(out, "vga: misc output %02x, %s\n", state->misc_output,
            vga_vbe_enabled(state)                           ? "VBE"
            : state->graphics[GRAPHICS_MISC] & MISC_GRAPHICS ? "graphics"
                                                             : "text");
    describe_registers(out, "sequencer", state->sequencer, 5);
    describe_registers(out, "crtc", state->crtc, CRTC_REGISTERS);
    describe_registers(out, "graphics", state->graphics, 9);
    describe_registers(out, "attribute", state->attribute, 21);
    fprintf(out, "  vbe        %ux%u, %u bpp, enable %02x, bank %u, width %u, at %u,%u\n",
            state->vbe[VBE_XRES], state->vbe[VBE_YRES], state->vbe[VBE_BPP], state->vbe[VBE_ENABLE],
            state->vbe[VBE_BANK], state->vbe[VBE_VIRT_WIDTH], state->vbe[VBE_X_OFFSET],
            state->vbe[VBE_Y_OFFSET]);
}

const struct device_class vga_class = {
    .name = "vga",
    .state_offset = offsetof(struct vga, state),
    .state_bytes = sizeof(struct vga_state),
    .state_version = 1,
    .fields = vga_fields,
    .field_count = ARRAY_LENGTH(vga_fields),
    .reset = vga_reset,
    .after_load = vga_after_load,
    .describe = vga_describe,
};

static struct region ports_region(struct vga *vga, const char *name, uint64_t base, uint64_t length,
                                  uint64_t (*read)(void *, uint64_t, unsigned),
                                  void (*write)(void *, uint64_t, unsigned, uint64_t))
{
    return (struct region){.name = name,
                           .base = base,
                           .length = length,
                           .read = read,
                           .write = write,
                           .min_size = 1,
                           .max_size = 1,
                           .opaque = vga};
}

static void attach_ports(struct vga *vga, struct bus *ports)
{
    vga->mono_ports = ports_region(vga, "vga mono", 0x3b4, 7, mono_ports_read, mono_ports_write);
    vga->vga_ports = ports_region(vga, "vga", 0x3c0, 16, main_ports_read, main_ports_write);
    vga->color_ports =
        ports_region(vga, "vga color", 0x3d4, 7, color_ports_read, color_ports_write);
    vga->vbe_ports = ports_region(vga, "vbe", 0x1ce, 3, vbe_port_read, vbe_port_write);
    vga->vbe_ports.max_size = 2;
    vga->vbe_ports.unaligned = true; /* the data port is odd */
    bus_add(ports, &vga->mono_ports);
    bus_add(ports, &vga->vga_ports);
    bus_add(ports, &vga->color_ports);
    bus_add(ports, &vga->vbe_ports);
}

static void attach_memory(struct vga *vga, struct bus *memory)
{
    vga->window = (struct region){.name = "vga window",
                                  .base = 0xa0000,
                                  .length = 0x20000,
                                  .read = vga_window_read,
                                  .write = vga_window_write,
                                  .max_size = 4,
                                  .opaque = vga};
    bus_add(memory, &vga->window);
    vga->framebuffer = (struct region){.name = "vga framebuffer",
                                       .length = VGA_VRAM_BYTES,
                                       .read = vbe_framebuffer_read,
                                       .write = vbe_framebuffer_write,
                                       .max_size = 8,
                                       .opaque = vga};
    pci_set_bar(&vga->function, 0, PCI_BAR_PREFETCH, VGA_VRAM_BYTES, &vga->framebuffer);
    vga->mmio = (struct region){.name = "vga mmio",
                                .length = VGA_MMIO_BYTES,
                                .read = vbe_mmio_read,
                                .write = vbe_mmio_write,
                                .max_size = 4,
                                .opaque = vga};
    pci_set_bar(&vga->function, 2, PCI_BAR_MEMORY, VGA_MMIO_BYTES, &vga->mmio);
}

static void attach_rom(struct vga *vga, const uint8_t *rom, size_t rom_bytes)
{
    enum { ROM_BAR_BYTES_MIN = 2048 };
    uint32_t bar_bytes = ROM_BAR_BYTES_MIN;
    while (bar_bytes < rom_bytes)
        bar_bytes *= 2;
    vga->rom_bytes = rom;
    vga->rom = (struct region){.name = "vga rom",
                               .length = rom_bytes & ~(size_t)3,
                               .read = rom_read,
                               .write = rom_write,
                               .max_size = 4,
                               .opaque = vga};
    pci_set_bar(&vga->function, PCI_ROM_BAR, PCI_BAR_MEMORY, bar_bytes, &vga->rom);
}

void vga_attach(struct vga *vga, struct pci_bus *pci, unsigned device, struct clock *clock,
                const uint8_t *rom, size_t rom_bytes)
{
    vga->clock = clock;
    pci_function_init(&vga->function, "vga", VENDOR, DEVICE, CLASS_VGA, REVISION);
    pci_set_subsystem(&vga->function, 0x1af4, 0x1100);
    /* WHY: without an I/O BAR, but firmware turns on the boot display's ports by this bit. */
    vga->function.writable[PCI_COMMAND] |= PCI_COMMAND_IO;
    attach_ports(vga, pci->ports);
    attach_memory(vga, pci->memory);
    if (rom)
        attach_rom(vga, rom, rom_bytes);
    pci_function_attach(&vga->function, pci, device, 0);
}
