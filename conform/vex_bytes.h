/* VEX prefixes for rows of the opcode table. */
#ifndef CONFORM_VEX_BYTES_H
#define CONFORM_VEX_BYTES_H

#include "cpu/insn.h"

/* The fields that `dice` chooses among those that the row allows, as they are in C4's form: with R,
 * X, B and vvvv inverted. */
static inline void vex_fields(const struct opcode_row *row, bool code_64, uint32_t dice,
                              uint8_t fields[2])
{
    static const uint8_t prefixes[] = {[P_66] = 1, [P_F3] = 2, [P_F2] = 3};
    bool w = row->modes & X_W1 || (!(row->modes & X_W0) && dice & 1);
    bool l = row->modes & X_L1 || (!(row->modes & X_L0) && dice & 2);
    unsigned vvvv = row->attributes & A_VVVV ? dice >> 2 & 15 : 15;
    unsigned rxb = code_64 ? dice >> 6 & 7 : 6 | (dice >> 6 & 1);
    fields[0] = (uint8_t)(rxb << 5 | (row->map - MAP_VEX_0F + 1));
    fields[1] = (uint8_t)(w << 7 | vvvv << 3 | l << 2);
    if (row->prefix == P_66 || row->prefix == P_F3 || row->prefix == P_F2)
        fields[1] |= prefixes[row->prefix];
}

/* Puts the prefix, short where it can be and the dice say so; returns its length. */
static inline unsigned vex_put(uint8_t *bytes, const struct opcode_row *row, bool code_64,
                               uint32_t dice)
{
    uint8_t fields[2];
    vex_fields(row, code_64, dice, fields);
    const bool fits = row->map == MAP_VEX_0F && !(fields[1] & 0x80) && (fields[0] & 0x60) == 0x60 &&
                      (code_64 || fields[1] & 0x40);
    if (fits && dice & 0x200) {
        bytes[0] = 0xc5;
        bytes[1] = (uint8_t)((fields[0] & 0x80) | fields[1]);
        return 2;
    }
    bytes[0] = 0xc4;
    bytes[1] = fields[0];
    bytes[2] = fields[1];
    return 3;
}

#endif
