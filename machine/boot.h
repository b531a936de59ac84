/* Booting a kernel without firmware: what all boot protocols share.
 *
 * boot_kernel() leaves the machine as firmware would (machine/bios_area.c, machine/pci_setup.c,
 * ACPI tables in memory), finds out which protocol the kernel speaks, has it loaded, and sets the
 * processor to its entry point.  A protocol knows memory and the image, nothing of the machine.
 *
 * Kernel images are untrusted: every offset and length in them is checked against the file and
 * against memory.
 *
 * INV-1: what a protocol places below 640 KiB lies where the layout below says.
 */
#ifndef MACHINE_BOOT_H
#define MACHINE_BOOT_H

#include "cpu/cpu.h"
#include "machine/e820.h"
#include "softmmu/physmem.h"

struct machine;

/* Low memory, above the BIOS data area at 400h and below the EBDA. */
enum {
    BOOT_PAGE_TABLES = 0x1000, /* PML4, PDPT, four page directories: 4 GiB, one to one */
    BOOT_GDT = 0x7000,
    BOOT_INFO = 0x8000, /* PVH start info, multiboot information, memory map, module list */
    BOOT_INFO_END = 0x10000,
    BOOT_ZERO_PAGE = 0x10000, /* Linux boot parameters */
    BOOT_SETUP_DATA = 0x11000,
    BOOT_COMMAND_LINE = 0x20000,
    BOOT_COMMAND_LINE_BYTES = 0x10000,
    BOOT_STACK = 0x9f000,

    BOOT_CODE_SELECTOR = 0x10,
    BOOT_DATA_SELECTOR = 0x18,
    BOOT_TASK_SELECTOR = 0x20,
};

struct boot_file {
    const char *name;
    uint8_t *bytes;
    size_t length;
};

/* Where and how the kernel starts: flat segments, interrupts off. */
struct boot_entry {
    bool long_mode; /* 64-bit, paging on (BOOT_PAGE_TABLES); else 32-bit, paging off */
    uint64_t rip, rax, rbx, rsi;
};

struct boot {
    struct physmem *physmem;
    bool has_long_mode;       /* of the processor model */
    const char *command_line; /* never NULL */
    const char *initrd;       /* as the user gave it; NULL: none */
    struct boot_file kernel;
    struct e820 e820;
    uint64_t rsdp;
    uint32_t info_at;        /* the first free byte of the area at BOOT_INFO; 0: all of it */
    uint64_t memory_end;     /* of the RAM below 4 GiB that the map gives away */
    struct boot_entry entry; /* what the protocol answers */
};

/* Reads a whole file; `option` is what the user called it by. */
int boot_read_file(struct boot_file *file, const char *name, const char *option,
                   struct error *error);
void boot_file_free(struct boot_file *file);
/* The bytes [offset, offset + length) of the file, or NULL when it is shorter. */
const uint8_t *boot_file_at(const struct boot_file *file, uint64_t offset, uint64_t length);
/* Copies to RAM; -ENOMEM with a line naming `what` unless all of it lies in [lowest, memory_end).
 */
int boot_place(struct boot *boot, uint64_t address, const void *bytes, uint64_t length,
               const char *what, struct error *error);
/* The same for zeros. */
int boot_clear(struct boot *boot, uint64_t address, uint64_t length, const char *what,
               struct error *error);
/* Copies the command line to BOOT_COMMAND_LINE; -E2BIG beyond `most` characters. */
int boot_place_command_line(struct boot *boot, uint64_t most, struct error *error);

/* Each says whether the image speaks its protocol, and loads it. */
bool boot_is_multiboot(const struct boot_file *kernel);
int boot_multiboot(struct boot *boot, struct error *error);
bool boot_is_elf(const struct boot_file *kernel);
int boot_elf(struct boot *boot, struct error *error);
int boot_linux(struct boot *boot, struct error *error);
/* Chooses among them and loads. */
int boot_load(struct boot *boot, struct error *error);

/* Sets the processor to the entry point; writes GDT and page tables. */
void boot_enter(struct cpu *cpu, struct physmem *physmem, const struct boot_entry *entry);

/* The whole of a direct boot: after a reset, before the processor runs. */
int boot_kernel(struct machine *machine, struct error *error);

#endif
