#include "conform/file_bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

enum { FILE_BYTES_FIRST = 1 << 16, FILE_BYTES_MAX = 1 << 30 };

static int grow(struct file_bytes *file, size_t *room, struct error *error)
{
    if (*room >= FILE_BYTES_MAX)
        return error_set(error, EFBIG, "%s: more than 1 GiB; split the set", file->path);
    *room = *room ? *room * 2 : FILE_BYTES_FIRST;
    uint8_t *larger = realloc(file->bytes, *room);
    if (!larger)
        return error_set(error, ENOMEM, "%s: no memory left for it", file->path);
    file->bytes = larger;
    return 0;
}

/* zlib reads files that are not compressed as they are. */
static int read_all(struct file_bytes *file, gzFile from, struct error *error)
{
    size_t room = 0;
    int got = 0, number;

    do {
        file->size += (size_t)got;
        if (file->size + 1 >= room) {
            int result = grow(file, &room, error);
            if (result)
                return result;
        }
        got = gzread(from, file->bytes + file->size, (unsigned)(room - file->size - 1));
    } while (got > 0);
    file->bytes[file->size] = 0;
    const char *text = gzerror(from, &number);
    if (number == Z_ERRNO)
        return error_set(error, errno, "%s: cannot read: %s", file->path, strerror(errno));
    if (got < 0 || number == Z_BUF_ERROR)
        return error_set(error, EINVAL, "%s: damaged at offset %zu of the unpacked bytes: %s",
                         file->path, file->size, number == Z_BUF_ERROR ? "it ends there" : text);
    return 0;
}

int file_bytes_load(struct file_bytes *file, const char *path, struct error *error)
{
    struct stat status;

    *file = (struct file_bytes){.path = path};
    if (!stat(path, &status) && S_ISDIR(status.st_mode))
        return error_set(error, EISDIR, "%s: a directory; name the files in it", path);
    errno = 0;
    gzFile from = gzopen(path, "rbe");
    if (!from)
        return error_set(error, errno ? errno : ENOMEM, "%s: cannot open: %s; check the path", path,
                         strerror(errno ? errno : ENOMEM));
    int result = read_all(file, from, error);
    gzclose_r(from);
    if (result)
        file_bytes_free(file);
    return result;
}

void file_bytes_free(struct file_bytes *file)
{
    free(file->bytes);
    file->bytes = NULL;
    file->size = 0;
}
