/* All of a range of a host file, or an error: INV-1 of blockdev.h. */
#include "hw/blockdev_priv.h"

#include <errno.h>
#include <unistd.h>

int blockdev_file_read(int fd, uint64_t offset, void *to, size_t length)
{
    uint8_t *at = to;
    while (length) {
        const ssize_t done = pread(fd, at, length, (off_t)offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return done ? -errno : -EIO;
        at += done;
        offset += (uint64_t)done;
        length -= (size_t)done;
    }
    return 0;
}

int blockdev_file_write(int fd, uint64_t offset, const void *from, size_t length)
{
    const uint8_t *at = from;
    while (length) {
        const ssize_t done = pwrite(fd, at, length, (off_t)offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return done ? -errno : -EIO;
        at += done;
        offset += (uint64_t)done;
        length -= (size_t)done;
    }
    return 0;
}
