/* Writes a picture as PNG (ISO/IEC 15948: 8-bit RGB, one IDAT stream). */
#ifndef HW_PNG_H
#define HW_PNG_H

#include "base/error.h"
#include "hw/surface.h"

/* Replaces `path` in one step: the file is either the whole picture or what it was before.
 * Negative errno and one line in `error` on failure. */
int png_write(const struct surface *surface, const char *path, struct error *error);

#endif
