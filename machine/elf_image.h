/* ELF executables of both classes, read from untrusted bytes. */
#ifndef MACHINE_ELF_IMAGE_H
#define MACHINE_ELF_IMAGE_H

#include "machine/boot.h"

struct elf_segment {
    uint32_t type;
    uint64_t offset, virtual_address, physical_address, file_bytes, memory_bytes;
};

struct elf_image {
    const struct boot_file *file;
    bool is_64;
    uint64_t entry, segments_at;
    uint16_t segment_count, segment_bytes;
};

/* -ENOEXEC with a line unless it is a little-endian x86 executable whose headers are there. */
int elf_open(struct elf_image *image, const struct boot_file *file, struct error *error);
void elf_segment(const struct elf_image *image, unsigned index, struct elf_segment *segment);
/* Places every loadable segment at its physical address; *end is the first byte behind them. */
int elf_load(const struct elf_image *image, struct boot *boot, uint64_t *end, struct error *error);
/* The physical address of the entry point. */
uint64_t elf_physical_entry(const struct elf_image *image);
/* The value of the note (name, type), 4 or 8 bytes; false when there is none. */
bool elf_note(const struct elf_image *image, const char *name, uint32_t type, uint64_t *value);

#endif
