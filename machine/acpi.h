/* ACPI tables (specification 2.0 and later): one blob that holds all but the RSDP, built with
 * offsets in place of addresses and a list of what to fix up once it is known where it lies.
 *
 * The direct boot fixes them up itself; SeaBIOS is given blob and list through fw_cfg.
 */
#ifndef MACHINE_ACPI_H
#define MACHINE_ACPI_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ACPI_TABLES_MAX = 16384,
    ACPI_FIXUPS_MAX = 48,
    ACPI_RSDP_BYTES = 36,
    ACPI_RSDP_V1_BYTES = 20,
};

/* Where a pointer or checksum lies: in the blob of tables or in the RSDP. */
struct acpi_pointer {
    bool in_rsdp;
    uint32_t offset;
    uint8_t bytes; /* 4 or 8; holds an offset into the tables */
};

struct acpi_checksum {
    bool in_rsdp;
    uint32_t offset, start, length;
};

struct acpi {
    uint8_t tables[ACPI_TABLES_MAX];
    uint32_t length;
    uint8_t rsdp[ACPI_RSDP_BYTES];
    struct acpi_pointer pointers[ACPI_FIXUPS_MAX];
    struct acpi_checksum checksums[ACPI_FIXUPS_MAX];
    unsigned pointer_count, checksum_count;
};

/* What the tables tell of the machine. */
struct acpi_facts {
    unsigned cpus;
    bool has_apic, has_hpet;
    uint8_t serials; /* bit n: COM(n+1) is there */
};

void acpi_build(struct acpi *acpi, const struct acpi_facts *facts);
/* Adds `base` to every pointer and sets the checksums (to be done once). */
void acpi_relocate(struct acpi *acpi, uint64_t base);

#endif
