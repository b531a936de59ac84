/* Integer instructions: LEA, hints, and the forms without ModRM; translate_copy.c has the others.
 *
 * INV-1: nothing of the guest's state changes before the last look into the shadow.
 */
#include "translate/copy.h"

/* --- forms without ModRM */

static bool copy_accumulator(struct translating *t, struct copy *c)
{
    flags_need_for_row(t);
    emit_reg(&t->e, HOST_OP(MAP_1, t->row->opcode & 1 ? 0x81 : 0x80, 0, t->insn->size),
             t->row->opcode >> 3, RAX);
    copy_immediate(t, c);
    copy_flags(t, RAX, OPERAND_NONE);
    return true;
}

static bool translate_moffs(struct translating *t)
{
    const struct insn *insn = t->insn;
    bool store = insn->row == OP_MOV_ObAL || insn->row == OP_MOV_OvrAX;
    const struct host_memory at = memory_at(t, 1u << insn->size, store);
    const uint8_t opcode = (uint8_t)((store ? 0x88 : 0x8a) | (insn->size != SIZE_8));
    emit_mem(&t->e, HOST_OP(MAP_1, opcode, 0, insn->size), RAX, at);
    return true;
}

static bool translate_lea(struct translating *t)
{
    const struct insn *insn = t->insn;
    const unsigned home = host_home(insn->reg);
    /* The address's parts may not be overwritten before they are used. */
    const bool in_parts =
        insn->index == insn->reg && (insn->base == REG_ZERO || host_home(insn->base) == HOST_NONE);
    const bool direct =
        home != HOST_NONE && insn->size != SIZE_16 && insn->address != SIZE_16 && !in_parts;
    const unsigned to = direct ? home : HOST_T0;
    const bool wide = insn->size == SIZE_64 && insn->address == SIZE_64;
    memory_address_as(t, to, wide ? SIZE_64 : SIZE_32);
    if (insn->size == SIZE_16) {
        unsigned reg = translate_read(t, insn->reg, HOST_T1);
        emit_mov(&t->e, SIZE_16, reg, to);
        translate_written(t, insn->reg, reg);
        return true;
    }
    if (home == HOST_NONE)
        translate_written(t, insn->reg, to);
    else if (to != home)
        emit_mov(&t->e, SIZE_64, home, to);
    if (insn->index != REG_ZERO && host_home(insn->index) == HOST_NONE)
        return true; /* T1 had it */
    const bool moves = insn->base == insn->reg && insn->index == REG_ZERO && wide;
    memory_keep_delta(t, home, moves ? insn->disp : CHANGE_ANY);
    return true;
}

/* A register in the opcode's low bits. */
static bool translate_short(struct translating *t, struct copy *c)
{
    const struct insn *insn = t->insn;
    struct emitter *e = &t->e;
    bool high = false;
    unsigned guest = (unsigned)copy_register(insn->reg, t->row->operand[0], &high);
    switch (insn->row) {
    case OP_MOV_ZbIb:
        if (high) {
            emit_byte(e, (uint8_t)(0xb4 + guest));
            emit_byte(e, (uint8_t)insn->imm);
            return true;
        }
        break;
    case OP_MOV_ZvIv:
        if (insn->size != SIZE_16) {
            const unsigned home = host_home(guest), to = home == HOST_NONE ? HOST_T0 : home;
            const uint64_t value = insn->size == SIZE_32 ? (uint32_t)insn->imm : insn->imm;
            if (home == HOST_NONE && (uint64_t)(int64_t)(int32_t)value == value) {
                emit_store_imm(e, SIZE_64, HOST_CPU, cpu_reg_at(guest), (int32_t)value);
            } else {
                emit_mov_imm(e, to, value);
                translate_written(t, guest, to);
            }
            memory_keep_delta(t, to, CHANGE_ANY);
            return true;
        }
        break;
    case OP_XCHG_ZvrAX:
        if (guest == RAX) { /* NOP: RAX keeps its upper half */
            memory_keep_delta(t, HOST_NONE, 0);
            return true;
        }
        break;
    default:
        break;
    }
    flags_need_for_row(t);
    unsigned reg = translate_read(t, guest, HOST_T0);
    if (insn->row == OP_INC_Zv || insn->row == OP_DEC_Zv)
        emit_reg(e, HOST_OP(MAP_1, 0xff, 0, insn->size), insn->row == OP_DEC_Zv, reg);
    else
        emit_opcode_reg(e, c->op, reg);
    copy_immediate(t, c);
    translate_written(t, guest, reg);
    if (copy_step(insn->row))
        flags_note_step(t, copy_step(insn->row), reg);
    return true;
}

static bool is_short(const struct opcode_row *row)
{
    return row->operand[0] == O_Zb || row->operand[0] == O_Zv;
}

/* Nothing but an opcode, with RAX and RDX or the flags: CBW, CWD, CLC, LAHF, fences … */
static bool copy_bare(struct translating *t, struct copy *c)
{
    switch (t->insn->row) {
    case OP_CBW:
    case OP_CWD:
        emit_opcode_reg(&t->e, c->op, 0);
        return true;
    case OP_CLC:
    case OP_STC:
    case OP_CMC:
    case OP_SAHF:
    case OP_SAHF_64:
    case OP_LAHF:
    case OP_LAHF_64:
        flags_need(t, F_ARITH);
        emit_byte(&t->e, t->row->opcode);
        flags_produced(t);
        return true;
    case OP_PAUSE:
        emit_byte(&t->e, 0xf3);
        emit_byte(&t->e, 0x90);
        return true;
    case OP_LFENCE:
    case OP_MFENCE:
    case OP_SFENCE:
        emit_byte(&t->e, 0x0f);
        emit_byte(&t->e, 0xae);
        emit_byte(&t->e, (uint8_t)(0xc0 | (t->row->modrm & 7) << 3));
        return true;
    default:
        return false;
    }
}

static bool is_hint(const struct opcode_row *row)
{
    return row->map == MAP_0F &&
           ((row->opcode >= 0x18 && row->opcode <= 0x1f) || row->opcode == 0x0d) &&
           row->policy_memory != MEMORY;
}

/* A prefetch does no more than it says where the page is in its window, and nothing elsewhere. */
static bool translate_hint(struct translating *t)
{
    const struct opcode_row *row = t->row;
    struct host_memory at;
    const bool prefetches = row->opcode == 0x0d || (row->opcode == 0x18 && t->insn->memory);
    if (prefetches && memory_near(t, &at))
        emit_mem(&t->e, HOST_OP(row->map, row->opcode, 0, SIZE_32), row->modrm & 7, at);
    memory_keep_delta(t, HOST_NONE, 0);
    return true;
}

static bool uses_only_integers(const struct opcode_row *row)
{
    if (row->attributes & (A_X87 | A_MMX | A_SSE | A_FWAIT))
        return false;
    for (unsigned i = 0; i < OPERANDS; i++) {
        unsigned operand = row->operand[i];
        if (operand != O_NONE && !is_rm_operand(operand) && !is_reg_operand(operand) &&
            !(operand >= O_Ib && operand <= O_Iv) && operand != O_CL && operand != O_1)
            return false;
    }
    return true;
}

static bool is_accumulator_form(const struct opcode_row *row)
{
    return row->modrm == M_NONE && (row->operand[0] == O_AL || row->operand[0] == O_rAX) &&
           (row->operand[1] == O_Ib || row->operand[1] == O_Iz);
}

static bool translate_test_accumulator(struct translating *t, struct copy *c)
{
    if (flags_want_operands(t)) {
        copy_test(t, c, RAX, OPERAND_NONE);
        return true;
    }
    emit_opcode_reg(&t->e, c->op, 0);
    copy_immediate(t, c);
    flags_produced(t);
    return true;
}

bool translate_integer(struct translating *t)
{
    const struct insn *insn = t->insn;
    const struct opcode_row *row = t->row;
    if (is_hint(row))
        return translate_hint(t);
    struct copy c = copy_of(t);
    switch (insn->row) {
    case OP_LEA_GvM:
        return translate_lea(t);
    case OP_MOV_ALOb:
    case OP_MOV_rAXOv:
    case OP_MOV_ObAL:
    case OP_MOV_OvrAX:
        return translate_moffs(t);
    case OP_TEST_ALIb:
    case OP_TEST_rAXIz:
        return translate_test_accumulator(t, &c);
    case OP_SHLD_EvGvIb:
    case OP_SHLD_EvGvCL:
    case OP_SHRD_EvGvIb:
    case OP_SHRD_EvGvCL:
        /* SDM: the result of more than 16 in 16 bits is undefined, so hosts differ. */
        if (insn->size == SIZE_16)
            return false;
        break;
    default:
        break;
    }
    if (is_short(row))
        return translate_short(t, &c);
    if (is_accumulator_form(row))
        return copy_accumulator(t, &c);
    if (copy_bare(t, &c))
        return true;
    if (row->modrm == M_NONE || !uses_only_integers(row))
        return false;
    return insn->memory ? copy_memory(t, &c) : copy_registers(t, &c);
}
