/* machine/boot_*: crafted kernels of every protocol land where they ask, and damaged ones end in
 * one line that names the file. */
#include "machine/boot.h"
#include "tests/random.h"

#include <criterion/criterion.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    RAM_BYTES = 32 << 20,
    TABLES = RAM_BYTES - 0x2000,
    RSDP_AT = 0xf0040,
    SETUP_BYTES = 5 * 512
};

static struct frames frames;
static struct physmem physmem;
static struct bus bus;
static struct error error;

/* What the present round of a test has taken. */
static uint8_t *images[16];
static unsigned image_count;
static bool has_memory;

static void release(void)
{
    while (image_count)
        free(images[--image_count]);
    if (has_memory) {
        physmem_free(&physmem);
        frames_free(&frames);
        bus_free(&bus);
    }
    has_memory = false;
}

static struct boot setup(void)
{
    release();
    has_memory = true;
    struct boot boot = {.physmem = &physmem,
                        .has_long_mode = true,
                        .command_line = "console=ttyS0",
                        .rsdp = RSDP_AT,
                        .memory_end = TABLES};
    error.text[0] = '\0';
    bus_init(&bus, "memory", UINT64_MAX);
    cr_assert_eq(frames_init(&frames, RAM_BYTES, NULL), 0);
    cr_assert_eq(physmem_init(&physmem, &frames, &bus, RAM_BYTES, NULL), 0);
    e820_build(&boot.e820, RAM_BYTES, 0, TABLES);
    return boot;
}

static uint64_t peek(uint64_t address, unsigned bytes)
{
    uint64_t value = 0;
    cr_assert(physmem_read(&physmem, GPA(address), &value, bytes));
    return value;
}

/* An image of `length` bytes with recognisable contents. */
static struct boot_file image_new(size_t length)
{
    struct boot_file file = {"image", malloc(length), length};
    for (size_t i = 0; i < length; i++)
        file.bytes[i] = (uint8_t)(i * 7 + 1);
    cr_assert_lt(image_count, ARRAY_LENGTH(images));
    images[image_count++] = file.bytes;
    return file;
}

static const char *file_with(size_t length)
{
    static char name[32];
    strcpy(name, "/tmp/ring3-test-XXXXXX");
    int fd = mkstemp(name);
    struct boot_file contents = image_new(length);
    cr_assert_eq(write(fd, contents.bytes, length), (ssize_t)length);
    close(fd);
    return name;
}

static void expect_error(const char *part)
{
    cr_expect(strstr(error.text, part), "\"%s\" is not in \"%s\"", part, error.text);
    cr_expect(!strchr(error.text, '\n'));
}

/* --- Linux */

static struct boot_file linux_image(size_t payload)
{
    struct boot_file file = image_new(SETUP_BYTES + payload);
    uint8_t *header = file.bytes;
    memset(header, 0, SETUP_BYTES);
    header[0x1f1] = SETUP_BYTES / 512 - 1;
    store_le32(header + 0x1f4, (uint32_t)(payload / 16));
    store_le16(header + 0x1fe, 0xaa55);
    header[0x201] = 0x66;
    memcpy(header + 0x202, "HdrS", 4);
    store_le16(header + 0x206, 0x20c);
    header[0x211] = 1;
    store_le32(header + 0x214, 0x100000);
    store_le32(header + 0x22c, 0x7fffffff);
    store_le16(header + 0x236, 1);
    store_le32(header + 0x238, 255);
    store_le64(header + 0x258, 0x1000000);
    store_le32(header + 0x260, 0x200000);
    return file;
}

Test(boot, linux_lands_where_the_protocol_says, .fini = release)
{
    struct boot boot = setup();
    enum { INITRD_BYTES = 12345, PAYLOAD = 64 << 10 };
    boot.kernel = linux_image(PAYLOAD);
    boot.initrd = file_with(INITRD_BYTES);
    cr_assert_eq(boot_load(&boot, &error), 0, "%s", error.text);
    unlink(boot.initrd);

    cr_expect(boot.entry.long_mode);
    cr_expect_eq(boot.entry.rip, 0x100200);
    cr_expect_eq(boot.entry.rsi, BOOT_ZERO_PAGE);
    for (unsigned i = 0; i < PAYLOAD; i += 4093)
        cr_expect_eq(peek(0x100000 + i, 1), boot.kernel.bytes[SETUP_BYTES + i]);
    char line[32];
    physmem_read(&physmem, GPA(peek(BOOT_ZERO_PAGE + 0x228, 4)), line, sizeof line);
    cr_expect_str_eq(line, "console=ttyS0");
    cr_expect_eq(peek(BOOT_ZERO_PAGE + 0x210, 1), 0xff);
    cr_expect_eq(peek(BOOT_ZERO_PAGE + 0x070, 8), RSDP_AT);
    cr_expect_eq(peek(BOOT_ZERO_PAGE + 0x1e8, 1), boot.e820.count);
    cr_expect_eq(peek(BOOT_ZERO_PAGE + 0x2d0 + 8, 8), EBDA_ADDRESS);
    uint64_t initrd = peek(BOOT_ZERO_PAGE + 0x218, 4);
    cr_expect_eq(peek(BOOT_ZERO_PAGE + 0x21c, 4), INITRD_BYTES);
    cr_expect_eq(initrd & PAGE_OFFSET_MASK, 0);
    cr_expect_leq(initrd + INITRD_BYTES, TABLES);
    cr_expect_geq(initrd, 0x1200000);
    cr_expect_eq(peek(initrd + INITRD_BYTES - 1, 1), (uint8_t)((INITRD_BYTES - 1) * 7 + 1));
    uint64_t data = peek(BOOT_ZERO_PAGE + 0x250, 8);
    cr_expect_eq(data, BOOT_SETUP_DATA);
    cr_expect_eq(peek(data + 8, 4), 9);

    boot.kernel = linux_image(PAYLOAD);
    store_le16(boot.kernel.bytes + 0x236, 0);
    boot.initrd = NULL;
    cr_assert_eq(boot_load(&boot, &error), 0);
    cr_expect(!boot.entry.long_mode);
    cr_expect_eq(boot.entry.rip, 0x100000);
}

Test(boot, initrd_stays_below_the_kernels_limit, .fini = release)
{
    struct boot boot = setup();
    boot.kernel = linux_image(16);
    store_le64(boot.kernel.bytes + 0x258, 0x100000);
    store_le32(boot.kernel.bytes + 0x22c, 0xffffff);
    boot.initrd = file_with(5000);
    cr_assert_eq(boot_load(&boot, &error), 0, "%s", error.text);
    unlink(boot.initrd);
    cr_expect_eq(peek(BOOT_ZERO_PAGE + 0x218, 4), 0xffe000);
}

static void damage_magic(struct boot *boot)
{
    boot->kernel.bytes[0x202] = 'X';
}
static void damage_flag(struct boot *boot)
{
    boot->kernel.bytes[0x1fe] = 0;
}
static void damage_version(struct boot *boot)
{
    store_le16(boot->kernel.bytes + 0x206, 0x201);
}
static void damage_zimage(struct boot *boot)
{
    boot->kernel.bytes[0x211] = 0;
}
static void damage_entry(struct boot *boot)
{
    store_le32(boot->kernel.bytes + 0x214, 0);
}
static void damage_size(struct boot *boot)
{
    store_le32(boot->kernel.bytes + 0x1f4, UINT32_MAX);
}
static void damage_init_size(struct boot *boot)
{
    store_le32(boot->kernel.bytes + 0x260, UINT32_MAX);
}
static void damage_preferred(struct boot *boot)
{
    store_le64(boot->kernel.bytes + 0x258, UINT64_MAX - 10);
}
static void damage_cpu(struct boot *boot)
{
    boot->has_long_mode = false;
}
static void damage_command_line(struct boot *boot)
{
    static char line[300];
    memset(line, 'a', sizeof line - 1);
    boot->command_line = line;
}
static void damage_initrd(struct boot *boot)
{
    boot->initrd = "/nonexistent/initrd.gz";
}
static void damage_initrd_directory(struct boot *boot)
{
    boot->initrd = "/tmp";
}
static void damage_initrd_size(struct boot *boot)
{
    boot->initrd = file_with(14 << 20);
}

Test(boot, damaged_linux_images_end_in_a_line, .fini = release)
{
    static const struct {
        void (*damage)(struct boot *boot);
        const char *part;
    } rows[] = {
        {damage_magic, "not a kernel"},
        {damage_flag, "not a kernel"},
        {damage_version, "boot protocol 2.01"},
        {damage_zimage, "zImage"},
        {damage_entry, "BIOS"},
        {damage_size, "truncated"},
        {damage_init_size, "-m"},
        {damage_preferred, "-m"},
        {damage_cpu, "-cpu"},
        {damage_command_line, "-append"},
        {damage_initrd, "-initrd"},
        {damage_initrd_directory, "-initrd"},
        {damage_initrd_size, "-m"},
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(rows); i++) {
        struct boot boot = setup();
        boot.kernel = linux_image(4096);
        rows[i].damage(&boot);
        cr_expect_lt(boot_load(&boot, &error), 0, "row %u", i);
        expect_error(rows[i].part);
        if (rows[i].damage == damage_initrd_size)
            unlink(boot.initrd);
    }
}

Test(boot, every_truncation_ends_in_a_line, .fini = release)
{
    for (size_t length = 0; length <= SETUP_BYTES + 256 - 16; length += length < 0x300 ? 1 : 64) {
        struct boot boot = setup();
        boot.kernel = linux_image(256);
        /* WHY: a copy of just that length, so that a read beyond it is caught. */
        boot.kernel.bytes = memcpy(image_new(length).bytes, boot.kernel.bytes, length);
        boot.kernel.length = length;
        cr_expect_lt(boot_load(&boot, &error), 0, "length %zu", length);
        cr_expect(strstr(error.text, length < 0x206 ? "not a kernel" : "truncated"), "%zu: %s",
                  length, error.text);
    }
}

/* --- ELF with a PVH note */

struct elf_note_bytes {
    uint32_t name_bytes, value_bytes, type;
    char name[4];
    uint32_t value;
};

static struct boot_file elf_image(bool is_64)
{
    struct boot_file file = image_new(0x3000);
    const struct elf_note_bytes note = {4, 4, 18, "Xen", 0x200010};
    memset(file.bytes, 0, 0x1000);
    memcpy(file.bytes + 0x800, &note, sizeof note);
    if (is_64) {
        Elf64_Ehdr header = {.e_machine = EM_X86_64,
                             .e_phoff = 64,
                             .e_phnum = 2,
                             .e_phentsize = sizeof(Elf64_Phdr),
                             .e_entry = 0xffffffff81000000};
        memcpy(header.e_ident, ELFMAG "\2\1\1", 7);
        Elf64_Phdr segments[2] = {{.p_type = PT_LOAD,
                                   .p_offset = 0x1000,
                                   .p_vaddr = 0xffffffff81000000,
                                   .p_paddr = 0x200000,
                                   .p_filesz = 0x2000,
                                   .p_memsz = 0x3000},
                                  {.p_type = PT_NOTE, .p_offset = 0x800, .p_filesz = sizeof note}};
        memcpy(file.bytes, &header, sizeof header);
        memcpy(file.bytes + 64, segments, sizeof segments);
    } else {
        Elf32_Ehdr header = {.e_machine = EM_386,
                             .e_phoff = 64,
                             .e_phnum = 2,
                             .e_phentsize = sizeof(Elf32_Phdr),
                             .e_entry = 0xc1000000};
        memcpy(header.e_ident, ELFMAG "\1\1\1", 7);
        Elf32_Phdr segments[2] = {{.p_type = PT_LOAD,
                                   .p_offset = 0x1000,
                                   .p_vaddr = 0xc1000000,
                                   .p_paddr = 0x200000,
                                   .p_filesz = 0x2000,
                                   .p_memsz = 0x3000},
                                  {.p_type = PT_NOTE, .p_offset = 0x800, .p_filesz = sizeof note}};
        memcpy(file.bytes, &header, sizeof header);
        memcpy(file.bytes + 64, segments, sizeof segments);
    }
    return file;
}

Test(boot, pvh_kernel_gets_its_start_info, .fini = release)
{
    for (unsigned is_64 = 0; is_64 < 2; is_64++) {
        struct boot boot = setup();
        boot.kernel = elf_image(is_64);
        boot.initrd = file_with(1000);
        cr_assert_eq(boot_load(&boot, &error), 0, "%s", error.text);
        unlink(boot.initrd);
        cr_expect_eq(boot.entry.rip, 0x200010);
        cr_expect(!boot.entry.long_mode);
        uint64_t info = boot.entry.rbx;
        cr_expect_eq(peek(info, 4), 0x336ec578);
        cr_expect_eq(peek(info + 12, 4), 1, "one module");
        uint64_t module = peek(info + 16, 8);
        cr_expect_eq(peek(module + 8, 8), 1000);
        cr_expect_eq(peek(peek(module, 8) + 999, 1), (uint8_t)(999 * 7 + 1));
        cr_expect_eq(peek(peek(info + 24, 8), 1), 'c');
        cr_expect_eq(peek(info + 32, 8), RSDP_AT);
        cr_expect_eq(peek(info + 48, 4), boot.e820.count);
        cr_expect_eq(peek(peek(info + 40, 8) + 8, 8), EBDA_ADDRESS);
        cr_expect_eq(peek(0x200000, 1), boot.kernel.bytes[0x1000]);
        cr_expect_eq(peek(0x202000, 8), 0);
    }
}

Test(boot, damaged_elf_images_end_in_a_line, .fini = release)
{
    static const struct {
        unsigned offset; /* of what is damaged in the 64-bit image */
        uint64_t value;
        unsigned bytes;
        const char *part;
    } rows[] = {
        {5, 2, 1, "big-endian"},
        {18, EM_ARM, 2, "another processor"},
        {32, UINT64_MAX - 8, 8, "truncated ELF program headers"},
        {54, 4, 2, "truncated ELF program headers"},
        {56, 0xffff, 2, "truncated ELF program headers"},
        {64 + 8, UINT64_MAX - 4, 8, "truncated ELF segment"},
        {64 + 24, 0xfffffffffffff000, 8, "-m"},
        {64 + 24, 0xa0000, 8, "-m"},
        {64 + 32, 0x4000, 8, "larger in the file"},
        {64 + 40, UINT64_MAX, 8, "-m"},
        {0x800, UINT32_MAX, 4, "PVH"},
        {0x804, UINT32_MAX, 4, "PVH"},
        {0x808, 19, 4, "PVH"},
        {64 + 56 + 8, UINT64_MAX, 8, "PVH"},
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(rows); i++) {
        struct boot boot = setup();
        boot.kernel = elf_image(true);
        memcpy(boot.kernel.bytes + rows[i].offset, &rows[i].value, rows[i].bytes);
        cr_expect_lt(boot_load(&boot, &error), 0, "row %u", i);
        expect_error(rows[i].part);
    }
}

/* --- multiboot */

static struct boot_file multiboot_image(uint32_t flags)
{
    struct boot_file file = image_new(0x1000);
    const uint32_t header[] = {
        0x1badb002, flags, -(0x1badb002 + flags), 0x200100, 0x200000, 0x200800, 0x202000, 0x200200};
    memcpy(file.bytes + 0x100, header, sizeof header);
    return file;
}

Test(boot, multiboot_kernel_gets_its_information, .fini = release)
{
    struct boot boot = setup();
    char initrd[256];
    const char *name = file_with(5000);
    snprintf(initrd, sizeof initrd, "%s one two,%s", name, name);
    boot.initrd = initrd;
    boot.kernel = multiboot_image(1 << 16 | 3);
    cr_assert_eq(boot_load(&boot, &error), 0, "%s", error.text);
    unlink(name);
    cr_expect_eq(boot.entry.rax, 0x2badb002);
    cr_expect_eq(boot.entry.rip, 0x200200);
    uint64_t info = boot.entry.rbx;
    cr_expect_eq(peek(info, 4), 0x24d);
    cr_expect_eq(peek(info + 4, 4), 639);
    cr_expect_eq(peek(info + 8, 4), (TABLES - HIGH_MEMORY) / 1024);
    cr_expect_eq(peek(info + 20, 4), 2);
    uint64_t modules = peek(info + 24, 4);
    cr_expect_eq(peek(modules, 4), 0x202000);
    cr_expect_eq(peek(modules + 4, 4), 0x202000 + 5000);
    cr_expect_eq(peek(modules + 16, 4), 0x204000);
    char text[256] = "";
    physmem_read(&physmem, GPA(peek(modules + 8, 4)), text, sizeof text);
    cr_expect(strstr(text, " one two"));
    physmem_read(&physmem, GPA(peek(info + 16, 4)), text, sizeof text);
    cr_expect_str_eq(text, "image console=ttyS0");
    cr_expect_eq(peek(info + 44, 4), boot.e820.count * 24);
    cr_expect_eq(peek(peek(info + 48, 4), 4), 20);
    cr_expect_eq(peek(0x2007ff, 1), boot.kernel.bytes[0x7ff]);
    cr_expect_eq(peek(0x200800, 8), 0);
}

Test(boot, damaged_multiboot_images_end_in_a_line, .fini = release)
{
    static const struct {
        uint32_t flags;
        unsigned word; /* of the header */
        uint32_t value;
        const char *part;
    } rows[] = {
        {1 << 16 | 8, 7, 0, "features unknown"},
        {3, 7, 0, "not an ELF"},
        {1 << 16, 4, 0x200200, "begins before"},
        {1 << 16, 4, 0x100000, "begins before"},
        {1 << 16, 5, 0x1fffff, "end before its start"},
        {1 << 16, 5, 0x300000, "truncated"},
        {1 << 16, 6, 0xffffffff, "-m"},
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(rows); i++) {
        struct boot boot = setup();
        boot.kernel = multiboot_image(rows[i].flags);
        store_le32(boot.kernel.bytes + 0x100 + 4 * rows[i].word, rows[i].value);
        cr_expect_lt(boot_load(&boot, &error), 0, "row %u", i);
        expect_error(rows[i].part);
    }
    struct boot boot = setup();
    boot.kernel = multiboot_image(1 << 16);
    boot.kernel.length = 0x110;
    cr_expect_lt(boot_load(&boot, &error), 0);
    expect_error("truncated");
    boot.kernel = multiboot_image(1 << 16 | 3);
    boot.initrd = "/nonexistent/module";
    cr_expect_lt(boot_load(&boot, &error), 0);
    expect_error("-initrd");
}

/* --- random bytes behind each magic */

Test(boot, random_images_are_refused_or_loaded, .fini = release)
{
    struct random dice = {88172645463325252u};
    for (unsigned round = 0; round < 3000; round++) {
        struct boot boot = setup();
        boot.kernel = round % 3 == 0   ? linux_image(4096)
                      : round % 3 == 1 ? elf_image(round & 1)
                                       : multiboot_image(1 << 16 | 3);
        for (unsigned i = 0; i < 6; i++) {
            const uint64_t random = random_next(&dice);
            boot.kernel.bytes[random % 0x900 % boot.kernel.length] = (uint8_t)(random >> 40);
        }
        int result = boot_load(&boot, &error);
        cr_expect(result == 0 || *error.text, "round %u", round);
    }
}
