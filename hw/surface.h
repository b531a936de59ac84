/* A picture in host memory: rows of 32-bit pixels, 00RRGGBB. */
#ifndef HW_SURFACE_H
#define HW_SURFACE_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* All zeros is an empty surface.  The limits keep a guest from asking for host memory at will. */
enum { SURFACE_WIDTH_MAX = 4096, SURFACE_HEIGHT_MAX = 4096 };

struct surface {
    uint32_t width, height; /* pixels */
    uint32_t stride;        /* pixels from one row to the next */
    uint32_t *pixels;
    size_t capacity; /* pixels allocated */
};

static inline void surface_free(struct surface *surface)
{
    free(surface->pixels);
    *surface = (struct surface){0};
}

#endif
