/* What a monitor plugged into the VGA shows: registers and VRAM to a picture, or to characters.
 *
 * Reads the VGA's state and the virtual clock (for blinking), changes nothing, keeps nothing: two
 * calls with the same state and time give the same picture.
 */
#ifndef HW_DISPLAY_H
#define HW_DISPLAY_H

#include "hw/surface.h"
#include "hw/vga.h"

/* Draws the screen; resizes `surface` as the mode asks (1..4096 each way).  A screen switched off
 * is black. */
void display_render(const struct vga *vga, struct surface *surface);

/* The size of the picture that display_render() would draw now. */
void display_size(const struct vga *vga, uint32_t *width, uint32_t *height);

/* Whether the VGA is in a text mode. */
bool display_is_text(const struct vga *vga);

/* The characters on the text screen as UTF-8 lines, trailing blanks cut, each ended by '\n'; in
 * a graphics mode nothing.  Writes at most `capacity` bytes with the final NUL; returns the length
 * that all of it has (like snprintf). */
size_t display_text(const struct vga *vga, char *to, size_t capacity);

#endif
