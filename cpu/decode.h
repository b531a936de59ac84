/* Bytes to decoded instructions, by the opcode table. */
#ifndef CPU_DECODE_H
#define CPU_DECODE_H

#include "cpu/cpu.h"
#include "cpu/insn.h"

enum { INSN_LENGTH_MAX = 15 };

enum decode_result {
    DECODE_OK, /* *insn is whole; exec may still be exec_undefined or _device_not_available */
    DECODE_TRUNCATED, /* more bytes are needed than `available` (which is below 15) */
    DECODE_TOO_LONG,  /* more than 15 bytes: exec is exec_too_long, #GP(0) */
};

/* Decodes one instruction for a block of `mode` (MODE_…) on a processor with `features`.
 * Undefined encodings (also LOCK where it is not allowed, rows of absent features, A_PROT rows
 * outside protected mode) give DECODE_OK with exec = exec_undefined and the length read so far; the
 * row is UD2's where no other owns the encoding.
 * insn->offset is left 0. */
enum decode_result decode(const uint8_t *bytes, size_t available, uint32_t mode,
                          const struct feature_set *features, struct insn *insn);

/* Does this instruction end a block? */
bool decode_ends_block(const struct insn *insn);

/* "mov eax, [ebx+4]" is the disassembler's affair; this gives the row's mnemonic. */
static inline const char *insn_mnemonic(const struct insn *insn)
{
    return opcode_rows[insn->row].mnemonic;
}

#endif
