/* The firmware images (Debian's SeaBIOS packages) and what they are told through fw_cfg and CMOS.
 */
#ifndef MACHINE_FIRMWARE_H
#define MACHINE_FIRMWARE_H

#include "base/error.h"
#include "machine/config.h"

#include <stddef.h>
#include <stdint.h>

struct board;
struct physmem;

struct firmware {
    uint8_t *bios;
    size_t bios_bytes;
    uint8_t *vga_bios; /* NULL: none */
    size_t vga_bios_bytes;
};

/* Reads the images that `config` asks for.  The BIOS may be missing when a kernel is given; the VGA
 * BIOS may always be. */
int firmware_read(struct firmware *firmware, const struct machine_config *config,
                  struct error *error);
void firmware_free(struct firmware *firmware);
/* Maps the BIOS below 4 GiB, and its last 128 KiB below 1 MiB. */
void firmware_map(const struct firmware *firmware, struct physmem *physmem);
/* Sets the order of -boot in CMOS: on the first boot "once" counts. */
void firmware_set_boot_order(struct board *board, bool first_boot);
/* Fills fw_cfg and CMOS: memory, processors, boot order, ACPI tables. */
int firmware_describe(struct board *board, struct error *error);

#endif
