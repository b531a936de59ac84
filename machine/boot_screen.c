#include "machine/boot_screen.h"

#include "cpu/system.h"
#include "machine/board.h"

enum {
    STUB = 0x600,        /* free memory behind the BIOS data area */
    STUB_STACK = 0x7000, /* grows down; what the kernel is told lies above */
    VGA_BIOS = 0xc0000,
    VGA_BIOS_MOST = 64 << 10,
};

bool boot_screen_start(struct machine *machine)
{
    /* clang-format off */
    static const uint8_t stub[] = {
        0xfa,                                                   /* cli */
        0xb8, BOARD_VGA_SLOT << 3, 0x00,                        /* mov ax, bus and function */
        0x9a, 0x03, 0x00, VGA_BIOS >> 4 & 0xff, VGA_BIOS >> 12, /* call C000:0003 */
        0xb8, 0x03, 0x00,                                       /* mov ax, 3 */
        0xcd, 0x10,                                             /* int 10h: 80x25 text */
        0xfa,                                                   /* cli */
        0xf4,                                                   /* hlt */
    };
    /* clang-format on */
    const struct firmware *firmware = &machine->board->firmware;
    struct cpu *cpu = machine->vcpus[0].cpu;
    if (!firmware->vga_bios || firmware->vga_bios_bytes > VGA_BIOS_MOST)
        return false;
    physmem_write(&machine->physmem, GPA(VGA_BIOS), firmware->vga_bios, firmware->vga_bios_bytes);
    physmem_write(&machine->physmem, GPA(STUB), stub, sizeof stub);
    for (unsigned seg = ES; seg <= GS; seg++) {
        segment_load_real(cpu, seg, 0);
        /* WHY: the VGA BIOS reads the MMIO of its device: it counts on limits of 4 GiB, which a
         * firmware leaves behind when it comes back from protected mode. */
        if (seg != CS)
            cpu->segs[seg].limit = UINT32_MAX;
    }
    cpu->regs[RSP] = STUB_STACK;
    cpu->rip = STUB;
    cpu_mode_changed(cpu);
    return true;
}

void boot_screen_done(struct machine *machine)
{
    struct cpu *cpu = machine->vcpus[0].cpu;
    machine->entry_pending = false;
    cpu->halted = false;
    boot_enter(cpu, &machine->physmem, &machine->entry);
}
