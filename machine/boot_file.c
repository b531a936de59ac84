/* Files that are booted, and putting bytes into guest memory. */
#include "machine/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* LIMIT: no kernel or initrd beyond this. */
#define BOOT_FILE_MOST (2 * GIB)

static int boot_read_all(int fd, struct boot_file *file)
{
    size_t capacity = file->length + 1;
    file->length = 0;
    for (;;) {
        if (file->length == capacity) {
            if (capacity > BOOT_FILE_MOST)
                return -EFBIG;
            uint8_t *more = realloc(file->bytes, 2 * capacity);
            if (!more)
                return -ENOMEM;
            file->bytes = more;
            capacity *= 2;
        } else if (!file->bytes) {
            file->bytes = malloc(capacity);
            if (!file->bytes)
                return -ENOMEM;
        }
        ssize_t got = read(fd, file->bytes + file->length, capacity - file->length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            return 0;
        file->length += (size_t)got;
    }
}

int boot_read_file(struct boot_file *file, const char *name, const char *option,
                   struct error *error)
{
    *file = (struct boot_file){.name = name};
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(error, errno, "%s: cannot open: %s; check the path given to %s", name,
                         strerror(errno), option);
    struct stat status;
    int result = fstat(fd, &status) < 0 ? -errno : 0;
    if (result == 0 && S_ISDIR(status.st_mode))
        result = -EISDIR;
    if (result == 0) {
        file->length = (uint64_t)status.st_size <= BOOT_FILE_MOST ? (size_t)status.st_size : 0;
        result = boot_read_all(fd, file);
    }
    close(fd);
    if (result < 0) {
        boot_file_free(file);
        return error_set(error, -result, "%s: cannot read: %s; check the file given to %s", name,
                         strerror(-result), option);
    }
    return 0;
}

void boot_file_free(struct boot_file *file)
{
    free(file->bytes);
    file->bytes = NULL;
    file->length = 0;
}

const uint8_t *boot_file_at(const struct boot_file *file, uint64_t offset, uint64_t length)
{
    if (offset > file->length || length > file->length - offset)
        return NULL;
    return file->bytes + offset;
}

static int boot_check_range(const struct boot *boot, uint64_t address, uint64_t length,
                            const char *what, struct error *error)
{
    bool low = address < LOW_MEMORY_END && length <= LOW_MEMORY_END - address;
    bool high = address >= HIGH_MEMORY && address <= boot->memory_end &&
                length <= boot->memory_end - address;
    if (low || high)
        return 0;
    return error_set(error, ENOMEM,
                     "%s: %s needs memory from %#llx to %#llx, there is memory up to %#llx; "
                     "give more with -m",
                     boot->kernel.name, what, (unsigned long long)address,
                     (unsigned long long)(address + length), (unsigned long long)boot->memory_end);
}

int boot_place(struct boot *boot, uint64_t address, const void *bytes, uint64_t length,
               const char *what, struct error *error)
{
    int result = boot_check_range(boot, address, length, what, error);
    if (result < 0)
        return result;
    BUG_ON(!physmem_write(boot->physmem, GPA(address), bytes, length));
    return 0;
}

int boot_clear(struct boot *boot, uint64_t address, uint64_t length, const char *what,
               struct error *error)
{
    static const uint8_t zeros[PAGE_BYTES];
    int result = boot_check_range(boot, address, length, what, error);
    while (result == 0 && length) {
        uint64_t part = PAGE_BYTES - (address & PAGE_OFFSET_MASK);
        if (part > length)
            part = length;
        /* WHY: a page that was never written is zero already, and takes no frame. */
        mpn_t mpn = physmem_mpn(boot->physmem, gpa_ppn(GPA(address)));
        if (mpn.v != FRAMES_ZERO.v)
            physmem_write(boot->physmem, GPA(address), zeros, part);
        address += part;
        length -= part;
    }
    return result;
}

int boot_place_command_line(struct boot *boot, uint64_t most, struct error *error)
{
    size_t length = strlen(boot->command_line);
    if (most > BOOT_COMMAND_LINE_BYTES - 1)
        most = BOOT_COMMAND_LINE_BYTES - 1;
    if (length > most)
        return error_set(error, E2BIG,
                         "-append: %zu characters; %s takes at most %llu, make it shorter", length,
                         boot->kernel.name, (unsigned long long)most);
    return boot_place(boot, BOOT_COMMAND_LINE, boot->command_line, length + 1, "the command line",
                      error);
}
