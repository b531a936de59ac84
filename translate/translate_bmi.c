/* Bit manipulation behind a VEX prefix: copied with general registers renamed, an operand in memory
 * rerouted to [t0].
 *
 * INV-1: nothing of the guest's state changes before the last look into the shadow.
 */
#include "translate/translating.h"

/* The host register for a guest register that is written only. */
static unsigned destination(unsigned guest, unsigned temporary)
{
    const unsigned home = host_home(guest);
    return home == HOST_NONE ? temporary : home;
}

/* One temporary serves a source and a destination: sources are read first. */
bool translate_bmi(struct translating *t)
{
    static const uint8_t mandatory[] = {[P_NONE] = 0, [P_66] = 0x66, [P_F3] = 0xf3, [P_F2] = 0xf2};
    const struct insn *insn = t->insn;
    const struct opcode_row *row = t->row;
    const bool has_vvvv = row->attributes & A_VVVV;
    const bool writes_reg = row->operand[0] == O_Gy;
    const bool writes_vvvv = row->operand[0] == O_By || insn->row == OP_MULX_GyByEy;
    const unsigned guest_vvvv = insn->vex.vvvv;
    unsigned rm = 0, vvvv = 0;
    if (insn->memory)
        memory_operand(t, 1u << insn->size, false);
    else
        rm = translate_read(t, insn->rm, HOST_T0);
    if (writes_vvvv)
        vvvv = destination(guest_vvvv, HOST_T1);
    else if (has_vvvv)
        vvvv = translate_read(t, guest_vvvv, HOST_T1);
    const unsigned reg = writes_reg ? destination(insn->reg, HOST_T0) : row->modrm & 7;
    const struct host_op op = {.map = row->map,
                               .opcode = row->opcode,
                               .prefix = mandatory[row->prefix],
                               .width = insn->size,
                               .vvvv = (uint8_t)vvvv};
    if (insn->memory)
        emit_mem(&t->e, op, reg, AT(HOST_T0, 0));
    else
        emit_reg(&t->e, op, reg, rm);
    if (row->operand[2] == O_Ib)
        emit_byte(&t->e, (uint8_t)insn->vex.imm);
    if (writes_vvvv)
        translate_written(t, guest_vvvv, vvvv);
    if (writes_reg)
        translate_written(t, insn->reg, reg);
    flags_produced(t);
    return true;
}
