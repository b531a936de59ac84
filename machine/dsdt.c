#include "machine/dsdt.h"

#include "base/bits.h"

/* WHY: the compiler of ACPI source language writes "unsigned char dsdt_aml_code[] = {...}". */
static const
#include "machine/dsdt.hex"

    const uint8_t *const dsdt_aml = dsdt_aml_code;
const size_t dsdt_aml_bytes = sizeof dsdt_aml_code;
