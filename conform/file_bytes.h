/* A whole file in memory, unpacked if it is gzipped. */
#ifndef CONFORM_FILE_BYTES_H
#define CONFORM_FILE_BYTES_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct file_bytes {
    const char *path; /* the caller's */
    uint8_t *bytes;   /* with a 0 behind them */
    size_t size;
};

/* Negative errno, and the line: a directory, not there, cut off, more than 1 GiB unpacked. */
int file_bytes_load(struct file_bytes *file, const char *path, struct error *error);
void file_bytes_free(struct file_bytes *file);

#endif
