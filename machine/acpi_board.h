/* The ACPI tables of this board: into memory, or to the firmware. */
#ifndef MACHINE_ACPI_BOARD_H
#define MACHINE_ACPI_BOARD_H

#include "base/error.h"

#include <stdint.h>

struct board;

/* Writes the tables to the end of the RAM below 4 GiB and the RSDP below 1 MiB; *tables is where
 * they begin (a page boundary), *rsdp the address of the RSDP.  -ENOMEM when RAM is too small. */
int acpi_write(struct board *board, uint64_t *tables, uint64_t *rsdp, struct error *error);
/* Adds them to fw_cfg: "etc/acpi/tables", "etc/acpi/rsdp", and "etc/table-loader", the commands by
 * which the firmware places them. */
int acpi_offer(struct board *board, struct error *error);

#endif
