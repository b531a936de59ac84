/* What the pictures of text and graphics modes share. */
#ifndef HW_DISPLAY_PRIV_H
#define HW_DISPLAY_PRIV_H

#include "hw/display.h"
#include "hw/vga_priv.h"

/* A legacy mode as its registers describe it. */
struct screen {
    const struct vga_state *state;
    uint32_t width, height; /* of the picture */
    uint32_t columns;       /* character clocks in a line */
    uint32_t dots;          /* in a character clock: 8 or 9 */
    uint32_t repeat;        /* scan lines that one line of the picture stands for */
    uint32_t row_lines;     /* scan lines in a character row, double scan aside */
    unsigned double_scan;   /* 1: every scan line is sent twice */
    uint32_t palette[256];  /* the DAC as RGB, mask applied */
    uint32_t colors[16];    /* what the attribute controller makes of 16 colours */
    uint64_t frame;         /* number of the picture since power-on, for blinking */
};

/* Where one line of the picture starts in the CRTC's count of addresses. */
struct scan_line {
    uint32_t counter;
    uint32_t row;     /* of its character row: 0..31 */
    uint32_t panning; /* dots cut off at the left */
};

void screen_describe(const struct vga *vga, struct screen *screen);
struct scan_line screen_line(const struct screen *screen, uint32_t y);
/* The address in each plane that the CRTC puts out for `counter`. */
uint32_t screen_address(const struct vga_state *state, uint32_t counter, uint32_t row);

/* display_text.c: line `y` of a text mode. */
void display_text_line(const struct screen *screen, uint32_t y, uint32_t *pixels);

#endif
