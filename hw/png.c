/* PNG files from surfaces: signature, IHDR, one IDAT of deflated rows, IEND (ISO/IEC 15948). */
#include "hw/png.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>
#include <zlib.h>

enum { PIXEL_BYTES = 3, COLOR_RGB = 2, BITS = 8, IHDR_BYTES = 13, CHUNK_TYPE_BYTES = 4 };

static void store_be32(uint8_t *to, uint32_t value)
{
    store_le32(to, __builtin_bswap32(value));
}

static bool write_chunk(FILE *file, const char *type, const uint8_t *bytes, uint32_t length)
{
    uint8_t head[8], tail[4];
    store_be32(head, length);
    memcpy(head + 4, type, CHUNK_TYPE_BYTES);
    uLong crc = crc32(0, head + 4, CHUNK_TYPE_BYTES);
    if (length)
        crc = crc32(crc, bytes, length);
    store_be32(tail, (uint32_t)crc);
    return fwrite(head, sizeof head, 1, file) == 1 &&
           (!length || fwrite(bytes, length, 1, file) == 1) &&
           fwrite(tail, sizeof tail, 1, file) == 1;
}

/* The rows as PNG stores them: a filter byte (0: none), then red, green, blue. */
static uint8_t *pack_rows(const struct surface *surface, size_t *length)
{
    size_t row_bytes = 1 + (size_t)surface->width * PIXEL_BYTES;
    *length = row_bytes * surface->height;
    uint8_t *rows = malloc(*length);
    if (!rows)
        return NULL;
    uint8_t *at = rows;
    for (uint32_t y = 0; y < surface->height; y++) {
        const uint32_t *pixels = surface->pixels + (size_t)y * surface->stride;
        *at++ = 0;
        for (uint32_t x = 0; x < surface->width; x++) {
            *at++ = (uint8_t)(pixels[x] >> 16);
            *at++ = (uint8_t)(pixels[x] >> 8);
            *at++ = (uint8_t)pixels[x];
        }
    }
    return rows;
}

static int write_stream(const struct surface *surface, FILE *file)
{
    static const uint8_t signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    uint8_t header[IHDR_BYTES] = {0};
    store_be32(header, surface->width);
    store_be32(header + 4, surface->height);
    header[8] = BITS;
    header[9] = COLOR_RGB;

    size_t length;
    uint8_t *rows = pack_rows(surface, &length);
    if (!rows)
        return -ENOMEM;
    uLongf packed_length = compressBound(length);
    uint8_t *packed = malloc(packed_length);
    int status = packed && compress2(packed, &packed_length, rows, length, 6) == Z_OK ? 0 : -ENOMEM;
    free(rows);
    if (!status && (fwrite(signature, sizeof signature, 1, file) != 1 ||
                    !write_chunk(file, "IHDR", header, sizeof header) ||
                    !write_chunk(file, "IDAT", packed, (uint32_t)packed_length) ||
                    !write_chunk(file, "IEND", NULL, 0)))
        status = -errno;
    free(packed);
    return status;
}

int png_write(const struct surface *surface, const char *path, struct error *error)
{
    if (!surface->width || !surface->height)
        return error_set(error, EINVAL, "%s: there is no picture to write; start the machine first",
                         path);
    char temporary[4096];
    int length = snprintf(temporary, sizeof temporary, "%s.%ld.tmp", path, (long)getpid());
    if (length < 0 || (size_t)length >= sizeof temporary)
        return error_set(error, ENAMETOOLONG, "%s: the name is too long; choose a shorter one",
                         path);
    FILE *file = fopen(temporary, "wxe");
    int status = file ? write_stream(surface, file) : -errno;
    if (file) {
        if (fclose(file) && !status)
            status = -errno;
        if (!status && rename(temporary, path))
            status = -errno;
        if (status)
            unlink(temporary);
    }
    if (!status)
        return 0;
    return error_set(error, -status, "%s: cannot write: %s; choose a folder that can be written",
                     path, strerror(-status));
}
