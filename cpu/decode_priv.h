/* Private to the decoder: what is known of an instruction while it is decoded, and the decode
 * index.
 *
 * The index holds for each opcode byte of each map the rows that may own it, most specific first.
 * It is built once from the opcode table, and only read afterwards.
 */
#ifndef CPU_DECODE_PRIV_H
#define CPU_DECODE_PRIV_H

#include "cpu/cpu.h"

#include <stdbool.h>

/* The mandatory prefix in force: F2 and F3 go before 66. */
enum prefix_class { PREFIX_NONE, PREFIX_66, PREFIX_F3, PREFIX_F2 };

/* The key of a row, as bit tests. */
struct decode_entry {
    uint16_t row;
    uint8_t prefixes;    /* bit n: may follow enum prefix_class n */
    uint8_t modes;       /* enum opcode_modes */
    uint8_t vex_forms;   /* bit VEX.W + 2 * VEX.L */
    uint8_t mask, value; /* of the ModRM byte */
    bool register_form, memory_form;
};

/* What is known of an opcode byte before its ModRM byte is seen. */
struct decode_slot {
    uint16_t first, count; /* entries */
    uint8_t modes;         /* where any row exists; enum opcode_modes */
    uint8_t modrm_modes;   /* where a ModRM byte follows */
};

/* A row covers eight opcode bytes when their low bits name a register. */
#define DECODE_SPAN(op1, op2, op3)                                                                 \
    ((op1) == O_Zb || (op1) == O_Zv || (op2) == O_Zb || (op2) == O_Zv || (op3) == O_Zb ||          \
             (op3) == O_Zv                                                                         \
         ? 8                                                                                       \
         : 1)
static inline unsigned decode_row_span(const struct opcode_row *row)
{
    return DECODE_SPAN(row->operand[0], row->operand[1], row->operand[2]);
}

enum {
    DECODE_ENTRIES = 0
#define OP(id, mnemonic, map, opcode, modrm, prefix, modes, size, op1, op2, op3, ...)              \
    +DECODE_SPAN(op1, op2, op3)
#include "cpu/opcodes.def"
#undef OP
};

struct decode_index {
    struct decode_slot slots[OPCODE_MAPS][256];
    struct decode_entry entries[DECODE_ENTRIES];
};

const struct decode_index *decode_index(void);

/* --- one instruction */
enum { REX_B = 1, REX_X = 2, REX_R = 4, REX_W = 8, REX = 0x40 };

struct decoding {
    const uint8_t *bytes;
    unsigned at, limit; /* limit: bytes that may be read, at most 15 */
    uint32_t mode;
    unsigned code; /* CODE_… */
    bool operand_prefix, address_prefix;
    uint8_t rex;
    uint8_t segment; /* enum seg; SEG_COUNT without override */
    uint8_t map, opcode;
    uint8_t prefix;    /* enum prefix_class */
    uint8_t vex_form;  /* VEX.W + 2 * VEX.L */
    uint8_t vvvv;      /* a register's number */
    bool vector_index; /* SIB's index is a vector register */
    bool barred;       /* a VEX prefix behind one that must not stand there */
    const struct feature_set *features;
};

/* Both answer false when the bytes end. */
static inline bool decode_byte(struct decoding *d, uint8_t *value)
{
    if (d->at >= d->limit)
        return false;
    *value = d->bytes[d->at++];
    return true;
}

/* `size` 0, 1, 2, 4 or 8 bytes, sign-extended. */
static inline bool decode_signed(struct decoding *d, unsigned size, int64_t *value)
{
    uint64_t bits = 0;
    if (d->limit - d->at < size)
        return false;
    for (unsigned i = 0; i < size; i++)
        bits |= (uint64_t)d->bytes[d->at + i] << (8 * i);
    d->at += size;
    *value = size ? bits_sign_extend(bits, 8 * size) : 0;
    return true;
}

/* decode_operands.c: sizes, ModRM with SIB and displacement, register numbers and immediates as the
 * row's operand letters say.  False when the bytes end. */
bool decode_operands(struct decoding *d, const struct opcode_row *row, struct insn *insn);

#endif
