/* Code whose bytes a case makes up, in any mode. */
#ifndef SYSTEM_ENCODINGS_H
#define SYSTEM_ENCODINGS_H

#include "model.h"

/* CODE_32 is compatibility mode when the guest is in long mode. */
enum mode { REAL, V86, PROTECTED_16, CODE_32, CODE_64 };

/* Writes bytes at an offset of the mode's code segment: flat, or of 16 bits at FREE_BASE. */
struct snippet code_put(enum mode mode, const uint8_t *bytes, unsigned count, uint32_t offset);
/* The same at a place of its own, zeros and then the UD2 of a snippet's end behind it. */
struct snippet code_write(enum mode mode, const uint8_t *bytes, unsigned count);
/* Its registers; [BX] or [EBX] is memory of its own. */
struct state code_start(enum mode mode, const struct snippet *snippet, unsigned cpl);
/* One check. */
void code_run(enum mode mode, const struct snippet *snippet, unsigned cpl, struct verdict verdict);

/* --- undefined.c */
/* Every opcode that does not exist in the mode. */
void holes(enum mode mode, const char *place);

#endif
