/* The operands of an instruction whose row is known: sizes, the memory operand, registers,
 * immediates.
 *
 * What a row's operand letters mean for the encoding is here, and nowhere else.
 * INV-1: of decode.c.
 * Sources: SDM 2A ch. 2 (ModRM, SIB, displacement, immediates), SDM 2D app. A (operand letters).
 */
#include "cpu/decode_priv.h"

/* --- sizes */
static unsigned size_v(const struct decoding *d, bool operand_prefix)
{
    if (d->rex & REX_W)
        return SIZE_64;
    return (d->code == CODE_16) != operand_prefix ? SIZE_16 : SIZE_32;
}

static unsigned operand_size(const struct decoding *d, const struct opcode_row *row)
{
    bool is_64 = d->code == CODE_64;
    bool operand_prefix = d->operand_prefix && row->prefix != P_66;
    if (row->attributes & A_IGNORE_66 && (is_64 || row->size != SZ_F64))
        operand_prefix = false;
    switch (row->size) {
    case SZ_B:
        return SIZE_8;
    case SZ_W:
        return SIZE_16;
    case SZ_D:
        return SIZE_32;
    case SZ_V:
        return size_v(d, operand_prefix);
    case SZ_V64:
        if (!is_64)
            return size_v(d, operand_prefix);
        return operand_prefix && !(d->rex & REX_W) ? SIZE_16 : SIZE_64;
    case SZ_F64:
        return is_64 ? SIZE_64 : size_v(d, operand_prefix);
    case SZ_Y:
        return d->rex & REX_W ? SIZE_64 : SIZE_32;
    case SZ_N:
        return is_64 ? SIZE_64 : SIZE_32;
    case SZ_Z: {
        unsigned size = size_v(d, operand_prefix);
        return size == SIZE_64 ? SIZE_32 : size;
    }
    case SZ_L:
        return d->vex_form & 2 ? VECTOR_256 : VECTOR_128;
    default: /* SZ_Q, SZ_X */
        return SIZE_64;
    }
}

static unsigned address_size(const struct decoding *d)
{
    switch (d->code) {
    case CODE_64:
        return d->address_prefix ? SIZE_32 : SIZE_64;
    case CODE_32:
        return d->address_prefix ? SIZE_16 : SIZE_32;
    default:
        return d->address_prefix ? SIZE_32 : SIZE_16;
    }
}

/* --- the memory operand */
static void choose_segment(const struct decoding *d, struct insn *insn, bool stack_based)
{
    if (d->segment != SEG_COUNT)
        insn->seg = d->segment;
    else if (d->code == CODE_64)
        insn->seg = stack_based ? SEG_FLAT_STACK : SEG_FLAT;
    else
        insn->seg = stack_based ? SS : DS;
}

static bool read_displacement(struct decoding *d, struct insn *insn, unsigned size)
{
    int64_t value;
    if (!decode_signed(d, size, &value))
        return false;
    insn->disp = (int32_t)value;
    return true;
}

static bool read_memory_16(struct decoding *d, struct insn *insn)
{
    static const uint8_t bases[8] = {RBX, RBX, RBP, RBP, RSI, RDI, RBP, RBX};
    static const uint8_t indexes[8] = {RSI, RDI, RSI, RDI, REG_ZERO, REG_ZERO, REG_ZERO, REG_ZERO};
    static const uint8_t displacements[3] = {0, 1, 2};
    unsigned mod = insn->modrm >> 6, rm = insn->modrm & 7;
    if (mod == 0 && rm == 6) {
        choose_segment(d, insn, false);
        return read_displacement(d, insn, 2);
    }
    insn->base = bases[rm];
    insn->index = indexes[rm];
    choose_segment(d, insn, insn->base == RBP);
    return read_displacement(d, insn, displacements[mod]);
}

static bool read_memory_32(struct decoding *d, struct insn *insn)
{
    static const uint8_t displacements[3] = {0, 1, 4};
    unsigned mod = insn->modrm >> 6, rm = insn->modrm & 7;
    unsigned displacement = displacements[mod];
    if (rm == 4) {
        uint8_t sib;
        if (!decode_byte(d, &sib))
            return false;
        unsigned index = (sib >> 3 & 7) | (d->rex & REX_X ? 8 : 0);
        if (index != RSP || d->vector_index) {
            insn->index = (uint8_t)index;
            insn->scale = sib >> 6;
        }
        rm = sib & 7;
        if (mod == 0 && rm == 5)
            displacement = 4;
        else
            insn->base = (uint8_t)(rm | (d->rex & REX_B ? 8 : 0));
    } else if (mod == 0 && rm == 5) {
        displacement = 4;
        insn->rip = d->code == CODE_64;
    } else {
        insn->base = (uint8_t)(rm | (d->rex & REX_B ? 8 : 0));
    }
    choose_segment(d, insn, insn->base == RSP || insn->base == RBP);
    return read_displacement(d, insn, displacement);
}

/* --- operands */
static bool is_mov_special(const struct opcode_row *row)
{
    return row->operand[0] == O_Cd || row->operand[1] == O_Cd || row->operand[0] == O_Dd ||
           row->operand[1] == O_Dd;
}

/* Register numbers as the operand letters want them: byte offsets, no REX where there are only
 * eight registers. */
static void number_registers(const struct decoding *d, const struct opcode_row *row,
                             struct insn *insn)
{
    unsigned reg = insn->modrm >> 3 & 7, rm = insn->modrm & 7;
    unsigned low = d->opcode & 7;
    unsigned wide_reg = reg | (d->rex & REX_R ? 8 : 0), wide_rm = rm | (d->rex & REX_B ? 8 : 0);
    if (row->modrm != M_NONE) {
        insn->reg = (uint8_t)wide_reg;
        if (!insn->memory)
            insn->rm = (uint8_t)wide_rm;
    }
    for (unsigned i = 0; i < 3; i++) {
        switch (row->operand[i]) {
        case O_Eb:
            if (!insn->memory)
                insn->rm = insn_byte_offset(wide_rm, d->rex);
            break;
        case O_Gb:
            insn->reg = insn_byte_offset(wide_reg, d->rex);
            break;
        case O_Zb:
            insn->reg = insn_byte_offset(low | (d->rex & REX_B ? 8 : 0), d->rex);
            break;
        case O_Zv:
            insn->reg = (uint8_t)(low | (d->rex & REX_B ? 8 : 0));
            break;
        case O_Pq:
        case O_Pd:
        case O_Sw:
            insn->reg = (uint8_t)reg;
            break;
        case O_Qq:
        case O_Qd:
        case O_Nq:
        case O_STi:
            if (!insn->memory)
                insn->rm = (uint8_t)rm;
            break;
        default:
            break;
        }
    }
}

/* One operand's bytes after ModRM and displacement. */
static bool read_immediate(struct decoding *d, struct insn *insn, unsigned operand, bool second)
{
    unsigned size;
    bool is_signed = true;
    int64_t value;
    switch (operand) {
    case O_Ib:
    case O_Lx:
        size = 1;
        is_signed = false;
        break;
    case O_sIb:
    case O_Jb:
        size = 1;
        break;
    case O_Iw:
        size = 2;
        is_signed = false;
        break;
    case O_Iz:
    case O_Jz:
    case O_Ap:
        size = insn->size == SIZE_16 ? 2 : 4;
        is_signed = operand != O_Ap;
        break;
    case O_Iv:
        size = 1u << insn->size;
        break;
    case O_Ob:
    case O_Ov:
        size = 1u << insn->address;
        is_signed = false;
        break;
    default:
        return true;
    }
    if (!decode_signed(d, size, &value))
        return false;
    if (!is_signed && size < 8)
        value = (int64_t)bits_field((uint64_t)value, 0, 8 * size);
    if (second)
        insn->disp = (int32_t)value;
    else
        insn->imm = (uint64_t)value;
    if (operand != O_Ap)
        return true;
    if (!decode_signed(d, 2, &value))
        return false;
    insn->disp = (uint16_t)value;
    return true;
}

static bool is_moffs(unsigned operand)
{
    return operand == O_Ob || operand == O_Ov;
}

static bool is_immediate(unsigned operand)
{
    return (operand >= O_Ib && operand <= O_Ov) || operand == O_Lx;
}

bool decode_operands(struct decoding *d, const struct opcode_row *row, struct insn *insn)
{
    insn->size = operand_size(d, row);
    insn->address = address_size(d);
    insn->base = insn->index = REG_ZERO;
    d->vector_index = row->operand[1] == O_MV;
    insn->memory = row->modrm != M_NONE && insn->modrm < 0xc0 && !is_mov_special(row);
    if (!insn->memory)
        choose_segment(d, insn, false);
    else if (!(insn->address == SIZE_16 ? read_memory_16(d, insn) : read_memory_32(d, insn)))
        return false;
    number_registers(d, row, insn);
    bool second = false;
    for (unsigned i = 0; i < 3; i++) {
        unsigned operand = row->operand[i];
        if (!is_immediate(operand))
            continue;
        if (!read_immediate(d, insn, operand, second))
            return false;
        second = true;
        insn->memory |= is_moffs(operand);
    }
    if (map_is_vex(d->map))
        insn->vex.vvvv = d->code == CODE_64 ? d->vvvv : d->vvvv & 7;
    if (row->operand[2] == O_Lx && d->code != CODE_64)
        insn->vex.imm &= 0x7f;
    return true;
}
