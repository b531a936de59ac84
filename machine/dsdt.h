/* The compiled DSDT (machine/dsdt.asl), made at build time. */
#ifndef MACHINE_DSDT_H
#define MACHINE_DSDT_H

#include <stddef.h>
#include <stdint.h>

extern const uint8_t *const dsdt_aml;
extern const size_t dsdt_aml_bytes;

#endif
