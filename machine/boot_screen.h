/* A text screen for kernels that are booted without firmware: only the VGA's own BIOS knows how to
 * set a mode and has a font. */
#ifndef MACHINE_BOOT_SCREEN_H
#define MACHINE_BOOT_SCREEN_H

#include <stdbool.h>

struct machine;

/* Sets vCPU 0 to run the VGA BIOS, which ends in HLT; false when there is none. */
bool boot_screen_start(struct machine *machine);
/* The HLT was reached: goes on to the kernel's entry point. */
void boot_screen_done(struct machine *machine);

#endif
