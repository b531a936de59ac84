#include "machine/elf_image.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

static int elf_bad(const struct boot_file *file, const char *why, struct error *error)
{
    return error_set(error, ENOEXEC, "%s: %s; check the file given to -kernel", file->name, why);
}

int elf_open(struct elf_image *image, const struct boot_file *file, struct error *error)
{
    const uint8_t *bytes = boot_file_at(file, 0, sizeof(Elf32_Ehdr));
    if (!bytes || memcmp(bytes, ELFMAG, SELFMAG))
        return elf_bad(file, "not an ELF file", error);
    *image = (struct elf_image){.file = file, .is_64 = bytes[EI_CLASS] == ELFCLASS64};
    if (bytes[EI_DATA] != ELFDATA2LSB)
        return elf_bad(file, "ELF file of a big-endian machine", error);
    if (image->is_64) {
        Elf64_Ehdr header;
        if (!boot_file_at(file, 0, sizeof header))
            return elf_bad(file, "truncated ELF header", error);
        memcpy(&header, bytes, sizeof header);
        image->entry = header.e_entry;
        image->segments_at = header.e_phoff;
        image->segment_count = header.e_phnum;
        image->segment_bytes = header.e_phentsize;
    } else {
        Elf32_Ehdr header;
        memcpy(&header, bytes, sizeof header);
        image->entry = header.e_entry;
        image->segments_at = header.e_phoff;
        image->segment_count = header.e_phnum;
        image->segment_bytes = header.e_phentsize;
    }
    uint16_t machine = load_le16(bytes + 18);
    if (machine != EM_386 && machine != EM_X86_64)
        return elf_bad(file, "ELF file of another processor", error);
    if (image->segment_bytes < (image->is_64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)) ||
        !boot_file_at(file, image->segments_at,
                      (uint64_t)image->segment_count * image->segment_bytes))
        return elf_bad(file, "truncated ELF program headers", error);
    return 0;
}

void elf_segment(const struct elf_image *image, unsigned index, struct elf_segment *segment)
{
    const uint8_t *bytes = boot_file_at(image->file, image->segments_at, 0);
    bytes += (size_t)index * image->segment_bytes;
    if (image->is_64) {
        Elf64_Phdr header;
        memcpy(&header, bytes, sizeof header);
        *segment = (struct elf_segment){header.p_type,  header.p_offset, header.p_vaddr,
                                        header.p_paddr, header.p_filesz, header.p_memsz};
    } else {
        Elf32_Phdr header;
        memcpy(&header, bytes, sizeof header);
        *segment = (struct elf_segment){header.p_type,  header.p_offset, header.p_vaddr,
                                        header.p_paddr, header.p_filesz, header.p_memsz};
    }
}

int elf_load(const struct elf_image *image, struct boot *boot, uint64_t *end, struct error *error)
{
    *end = HIGH_MEMORY;
    for (unsigned i = 0; i < image->segment_count; i++) {
        struct elf_segment segment;
        elf_segment(image, i, &segment);
        if (segment.type != PT_LOAD || segment.memory_bytes == 0)
            continue;
        if (segment.file_bytes > segment.memory_bytes)
            return elf_bad(image->file, "ELF segment larger in the file than in memory", error);
        const uint8_t *bytes = boot_file_at(image->file, segment.offset, segment.file_bytes);
        if (!bytes)
            return elf_bad(image->file, "truncated ELF segment", error);
        int result = boot_clear(boot, segment.physical_address, segment.memory_bytes,
                                "an ELF segment", error);
        if (result == 0)
            result = boot_place(boot, segment.physical_address, bytes, segment.file_bytes,
                                "an ELF segment", error);
        if (result < 0)
            return result;
        if (*end < segment.physical_address + segment.memory_bytes)
            *end = segment.physical_address + segment.memory_bytes;
    }
    return 0;
}

uint64_t elf_physical_entry(const struct elf_image *image)
{
    for (unsigned i = 0; i < image->segment_count; i++) {
        struct elf_segment segment;
        elf_segment(image, i, &segment);
        uint64_t offset = image->entry - segment.virtual_address;
        if (segment.type == PT_LOAD && offset < segment.memory_bytes)
            return segment.physical_address + offset;
    }
    return image->entry;
}

/* Walks the notes of one segment: name size, value size, type; name and value padded to 4. */
static bool elf_note_in(const uint8_t *at, uint64_t left, const char *name, uint32_t type,
                        uint64_t *value)
{
    while (left >= 12) {
        uint64_t name_bytes = load_le32(at), value_bytes = load_le32(at + 4);
        uint64_t value_at = 12 + ((name_bytes + 3) & ~UINT64_C(3));
        uint64_t total = value_at + ((value_bytes + 3) & ~UINT64_C(3));
        if (value_at > left || value_bytes > left - value_at)
            return false;
        if (load_le32(at + 8) == type && name_bytes == strlen(name) + 1 &&
            !memcmp(at + 12, name, name_bytes) && (value_bytes == 4 || value_bytes == 8)) {
            *value = value_bytes == 8 ? load_le64(at + value_at) : load_le32(at + value_at);
            return true;
        }
        if (total > left)
            return false;
        at += total;
        left -= total;
    }
    return false;
}

bool elf_note(const struct elf_image *image, const char *name, uint32_t type, uint64_t *value)
{
    for (unsigned i = 0; i < image->segment_count; i++) {
        struct elf_segment segment;
        elf_segment(image, i, &segment);
        if (segment.type != PT_NOTE)
            continue;
        const uint8_t *bytes = boot_file_at(image->file, segment.offset, segment.file_bytes);
        if (bytes && elf_note_in(bytes, segment.file_bytes, name, type, value))
            return true;
    }
    return false;
}
