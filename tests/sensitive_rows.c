/* What test_sensitive.py must know about the opcode table and about the guest images/sensitive:
 *
 *   row ID [legacy] [64]        each sensitive row, and where it exists
 *   probe BITS MODES NAME ID    each probe of the guest, and the row that its bytes decode to
 *
 * The probes are read out of the guest's ELF file, whose table is that of
 * images/sensitive/probe_tags.h.
 */
#include "cpu/decode.h"
#include "cpu/features.h"
#include "images/sensitive/probe_tags.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>

struct image {
    uint8_t *bytes;
    size_t size;
};

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "sensitive_rows: %s\n", what);
    exit(1);
}

static const void *at_offset(const struct image *image, uint64_t offset, uint64_t size)
{
    if (offset > image->size || size > image->size - offset)
        fail("the file ends too early");
    return image->bytes + offset;
}

static struct image image_read(const char *path)
{
    struct image image = {0};
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0 || ftell(file) <= 0)
        fail("cannot read the guest");
    image.size = (size_t)ftell(file);
    image.bytes = malloc(image.size);
    rewind(file);
    if (!image.bytes || fread(image.bytes, 1, image.size, file) != image.size)
        fail("cannot read the guest");
    fclose(file);
    const Elf32_Ehdr *header = at_offset(&image, 0, sizeof *header);
    if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_ident[EI_CLASS] != ELFCLASS32)
        fail("the guest is no 32-bit ELF file");
    return image;
}

/* What lies at an address of the running guest; *left: bytes from there to the segment's end. */
static const uint8_t *at_address(const struct image *image, uint32_t address, size_t *left)
{
    const Elf32_Ehdr *header = at_offset(image, 0, sizeof *header);
    const Elf32_Phdr *segment =
        at_offset(image, header->e_phoff, (uint64_t)header->e_phnum * sizeof *segment);
    for (unsigned i = 0; i < header->e_phnum; i++, segment++) {
        if (segment->p_type != PT_LOAD || address < segment->p_vaddr ||
            address - segment->p_vaddr >= segment->p_filesz)
            continue;
        *left = segment->p_filesz - (address - segment->p_vaddr);
        return at_offset(image, segment->p_offset + (address - segment->p_vaddr), *left);
    }
    fail("an address that the guest does not have");
}

static uint32_t symbol(const struct image *image, const char *name)
{
    const Elf32_Ehdr *header = at_offset(image, 0, sizeof *header);
    const Elf32_Shdr *sections =
        at_offset(image, header->e_shoff, (uint64_t)header->e_shnum * sizeof *sections);
    for (unsigned i = 0; i < header->e_shnum; i++) {
        if (sections[i].sh_type != SHT_SYMTAB || sections[i].sh_link >= header->e_shnum)
            continue;
        const Elf32_Shdr *strings = &sections[sections[i].sh_link];
        const char *names = at_offset(image, strings->sh_offset, strings->sh_size);
        const Elf32_Sym *table = at_offset(image, sections[i].sh_offset, sections[i].sh_size);
        for (size_t n = 0; n < sections[i].sh_size / sizeof *table; n++)
            if (table[n].st_name < strings->sh_size && !strcmp(names + table[n].st_name, name))
                return table[n].st_value;
    }
    fail("the guest has no table of probes");
}

static void print_rows(void)
{
    for (unsigned row = 0; row < OPCODE_COUNT; row++)
        if (opcode_rows[row].attributes & A_SENSITIVE)
            printf("row %s%s%s\n", opcode_rows[row].id,
                   opcode_rows[row].modes & X_LEGACY ? " legacy" : "",
                   opcode_rows[row].modes & X_64 ? " 64" : "");
}

static void print_probes(const struct image *image, const char *table, unsigned bits,
                         const struct cpu_model *model)
{
    const uint32_t mode = bits == 16 ? CODE_16 : bits == 32 ? CODE_32 : CODE_64;
    uint32_t name = 0, modes = 0, start = 0;
    size_t left;
    const uint8_t *at = at_address(image, symbol(image, table), &left);
    for (; left >= 8 && load_le32(at) != TAG_END; at += 8, left -= 8) {
        uint32_t tag = load_le32(at), value = load_le32(at + 4);
        if (tag == TAG_PROBE)
            name = value;
        else if (tag == TAG_MODES)
            modes = value;
        else if (tag == TAG_SLOT || tag == TAG_START)
            start = value;
        if (tag != TAG_DONE)
            continue;
        size_t available, length;
        struct insn insn;
        const uint8_t *bytes = at_address(image, start, &available);
        const char *text = (const char *)at_address(image, name, &length);
        decode(bytes, available, mode | MODE_PROTECTED | MODE_OSFXSR, &model->features, &insn);
        printf("probe %u %x %.*s %s\n", bits, modes, (int)strnlen(text, length), text,
               opcode_rows[insn.row].id);
    }
}

int main(int argc, char **argv)
{
    struct cpu_model model;
    struct error error = {0};
    if (argc != 3)
        fail("usage: sensitive_rows GUEST MODEL");
    if (cpu_model_parse(argv[2], &model, &error) < 0)
        fail("no such model");
    struct image image = image_read(argv[1]);
    print_rows();
    print_probes(&image, "probes_16", 16, &model);
    print_probes(&image, "probes_32", 32, &model);
    print_probes(&image, "probes_64", 64, &model);
    free(image.bytes);
    return 0;
}
