/* Listings of guest and host code, through Capstone, in Intel's syntax.
 *
 * Reads any bytes: what is no instruction is listed byte by byte as "(bad)".
 */
#ifndef TRANSLATE_DISASSEMBLE_H
#define TRANSLATE_DISASSEMBLE_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { DISASSEMBLY_TEXT = 192 };

struct disassembler;

/* Negative errno when there is no memory. */
int disassembler_new(struct disassembler **disassembler, struct error *error);
void disassembler_free(struct disassembler *disassembler);

/* The instruction at `bytes` (`available` > 0) for CODE_16, CODE_32 or CODE_64 of cpu/cpu.h, as it
 * reads at `address`.  Returns its length, or 1 and "(bad)". */
unsigned disassemble(struct disassembler *disassembler, unsigned code_size, const uint8_t *bytes,
                     size_t available, uint64_t address, char text[DISASSEMBLY_TEXT]);

/* Every instruction of `bytes` as one line of address, bytes and text behind `margin`. */
void disassemble_lines(struct disassembler *disassembler, FILE *out, const char *margin,
                       unsigned code_size, const uint8_t *bytes, size_t count, uint64_t address);
/* The host's code: 64-bit. */
void disassemble_host_lines(struct disassembler *disassembler, FILE *out, const char *margin,
                            const uint8_t *bytes, size_t count, uint64_t address);

#endif
