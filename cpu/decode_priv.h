/* The decode index: for each opcode byte of each map, the rows that may own it, most specific
 * first. Built once from the opcode table, only read afterwards. */
#ifndef CPU_DECODE_PRIV_H
#define CPU_DECODE_PRIV_H

#include "cpu/insn.h"

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

#endif
