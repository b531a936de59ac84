/* Integer instructions that are copied: registers renamed, a memory operand rerouted to [t0].
 *
 * INV-1: nothing of the guest's state changes before the last look into the shadow.
 */
#include "translate/translating.h"

enum { OPERANDS = 3 };

/* The instruction's operands, as the copy needs them. */
struct copy {
    struct host_op op;
    int digit;             /* of ModRM.reg when that is not a register, else -1 */
    int reg, rm;           /* guest registers, -1: none (or memory) */
    bool reg_high, rm_high; /* AH..BH */
    bool writes_reg, writes_rm;
    bool reads_memory, writes_memory;
    unsigned memory_bytes;
    bool has_imm;
    unsigned imm_bytes;
};

static bool is_rm_operand(unsigned operand)
{
    return (operand >= O_Eb && operand <= O_Ey) || operand == O_Rv || operand == O_Ry ||
           (operand >= O_M && operand <= O_Mt);
}

static bool is_reg_operand(unsigned operand)
{
    return operand >= O_Gb && operand <= O_Gy;
}

static unsigned operand_bytes(const struct insn *insn, unsigned operand)
{
    switch (operand) {
    case O_Eb: case O_Mb: case O_Gb: case O_Ob:
        return 1;
    case O_Ew: case O_Mw: case O_Gw:
        return 2;
    case O_Ed: case O_Md:
        return 4;
    case O_Eq: case O_Mq:
        return 8;
    default:
        return 1u << insn->size;
    }
}

static unsigned immediate_bytes(const struct insn *insn, unsigned operand)
{
    switch (operand) {
    case O_Ib: case O_sIb:
        return 1;
    case O_Iw:
        return 2;
    case O_Iz:
        return insn->size == SIZE_16 ? 2 : 4;
    case O_Iv:
        return 1u << insn->size;
    default:
        return 0;
    }
}

static bool is_byte_operand(unsigned operand)
{
    return operand == O_Eb || operand == O_Gb || operand == O_Zb;
}

/* A byte register is decoded as its offset in cpu->regs. */
static int register_of(unsigned field, unsigned operand, bool *high)
{
    *high = is_byte_operand(operand) && field & 1;
    return (int)(is_byte_operand(operand) ? field >> 3 : field);
}

static bool writes_both(unsigned row)
{
    return row == OP_XCHG_EbGb || row == OP_XCHG_EvGv || row == OP_XADD_EbGb || row == OP_XADD_EvGv;
}

static struct host_op copied_opcode(const struct translating *t)
{
    static const uint8_t mandatory[] = {[P_66] = 0x66, [P_F3] = 0xf3, [P_F2] = 0xf2};
    const struct opcode_row *row = t->row;
    uint8_t prefix = row->prefix == P_66 || row->prefix == P_F3 || row->prefix == P_F2
                         ? mandatory[row->prefix]
                         : 0;
    return HOST_OP(row->map, row->opcode == 0x82 ? 0x80 : row->opcode, prefix, t->insn->size,
                   t->insn->lock);
}

static struct copy copy_of(const struct translating *t)
{
    const struct insn *insn = t->insn;
    const struct opcode_row *row = t->row;
    struct copy c = {.op = copied_opcode(t), .digit = -1, .reg = -1, .rm = -1};
    unsigned form = row->modrm & 0xf00;
    if (form == M_DIGIT || form == M_REG_DIGIT || form == M_MEM_DIGIT)
        c.digit = row->modrm & 7;
    else if (row->map == MAP_0F && (row->opcode & 0xf0) == 0x90)
        c.digit = 0; /* SETcc */
    for (unsigned i = 0; i < OPERANDS; i++) {
        unsigned operand = row->operand[i];
        bool written = i == 0 ? row->attributes & A_WRITES_OP1 : i == 1 && writes_both(insn->row);
        if (is_reg_operand(operand)) {
            c.reg = register_of(insn->reg, operand, &c.reg_high);
            c.writes_reg = written;
        } else if (is_rm_operand(operand) && insn->memory) {
            c.memory_bytes = operand_bytes(insn, operand);
            c.writes_memory = written;
        } else if (is_rm_operand(operand)) {
            c.rm = register_of(insn->rm, operand, &c.rm_high);
            c.writes_rm = written;
            c.op.byte_rm = operand == O_Eb && c.op.width != SIZE_8 && !c.rm_high;
        }
        if (immediate_bytes(insn, operand)) {
            c.has_imm = true;
            c.imm_bytes = immediate_bytes(insn, operand);
        }
    }
    return c;
}

static void emit_immediate(struct translating *t, const struct copy *c)
{
    if (c->has_imm)
        emit_bytes(&t->e, &t->insn->imm, c->imm_bytes);
}

/* --- flags noted from the operands, for the frequent instructions */

static bool notable(unsigned row, enum native_flags *kind)
{
#define FORMS(name)                                                                                \
    case OP_##name##_EbGb: case OP_##name##_EvGv: case OP_##name##_GbEb: case OP_##name##_GvEv:    \
    case OP_##name##_ALIb: case OP_##name##_rAXIz: case OP_##name##_EbIb: case OP_##name##_EvIz:   \
    case OP_##name##_EbIb_82: case OP_##name##_EvsIb
    switch (row) {
    FORMS(ADD):
        *kind = FLAGS_ADD;
        return true;
    FORMS(SUB):
        *kind = FLAGS_SUB;
        return true;
    FORMS(CMP):
        *kind = FLAGS_CMP;
        return true;
    FORMS(AND): FORMS(OR): FORMS(XOR):
    case OP_TEST_EbGb: case OP_TEST_EvGv: case OP_TEST_ALIb: case OP_TEST_rAXIz:
    case OP_TEST_EbIb: case OP_TEST_EbIb_1: case OP_TEST_EvIz: case OP_TEST_EvIz_1:
        *kind = FLAGS_LOGIC;
        return true;
    default:
        return false;
    }
#undef FORMS
}

static bool is_test(unsigned row)
{
    return opcode_rows[row].attributes == A_NONE && opcode_rows[row].mnemonic[0] == 't';
}

static enum native_step step_of(unsigned row)
{
    switch (row) {
    case OP_INC_Eb: case OP_INC_Ev: case OP_INC_Zv:
        return STEP_INC;
    case OP_DEC_Eb: case OP_DEC_Ev: case OP_DEC_Zv:
        return STEP_DEC;
    default:
        return STEP_NONE;
    }
}

/* After the copy: `to` and `from` are the host registers of operands 1 and 2, OPERAND_NONE for an
 * immediate. */
static void finish_flags(struct translating *t, unsigned to, unsigned from)
{
    enum native_flags kind;
    enum native_step step = step_of(t->insn->row);
    if (step) {
        flags_note_step(t, step, to);
        return;
    }
    flags_produced(t);
    if (!flags_want_operands(t) || !notable(t->insn->row, &kind))
        return;
    if (kind == FLAGS_LOGIC && is_test(t->insn->row)) {
        if (from != to)
            return;
    } else if (kind != FLAGS_LOGIC && kind != FLAGS_CMP && from == to) {
        return; /* the second operand is gone */
    }
    flags_note_operands(t, kind, to, kind == FLAGS_LOGIC ? OPERAND_NONE : from,
                        (int32_t)t->insn->imm);
}

/* Are the registers that it changes all among its operands?  Of the frequent ones. */
static bool changes_only_named(const struct opcode_row *row)
{
    const uint8_t opcode = row->opcode;
    if (row->map == MAP_0F)
        return (opcode >= 0x40 && opcode <= 0x4f) || (opcode >= 0x90 && opcode <= 0x9f) ||
               opcode == 0xb6 || opcode == 0xb7 || opcode == 0xbe || opcode == 0xbf;
    if (row->map != MAP_1)
        return false;
    return opcode < 0x40 || opcode == 0x63 || (opcode >= 0x80 && opcode <= 0x85) ||
           (opcode >= 0x88 && opcode <= 0x8b) || opcode == 0xc0 || opcode == 0xc1 ||
           opcode == 0xc6 || opcode == 0xc7 || (opcode >= 0xd0 && opcode <= 0xd3);
}

/* What an instruction on registers leaves of T1. */
static void keep_delta(struct translating *t, const struct copy *c, unsigned reg, unsigned rm)
{
    if (!changes_only_named(t->row) || reg == HOST_T1)
        return;
    int64_t change = CHANGE_ANY;
    if (t->insn->row == OP_ADD_EvsIb || t->insn->row == OP_SUB_EvsIb)
        change = t->insn->size == SIZE_64 ? (int8_t)t->insn->imm : CHANGE_ANY;
    memory_keep_delta(t, c->writes_reg ? reg : c->writes_rm ? rm : HOST_NONE, change);
}

/* --- register forms */

static bool fits_legacy(const struct copy *c)
{
    /* No REX: AH..BH, and registers 0..7 that are at home under their own number. */
    bool reg = c->reg < 0 || (c->reg < 8 && c->reg != RSP);
    return reg && c->op.width != SIZE_64;
}

static bool copy_high(struct translating *t, struct copy *c)
{
    if (!fits_legacy(c) || (c->reg_high && c->rm > RBX))
        return false;
    flags_need_for_row(t);
    c->op.legacy = true;
    unsigned reg = c->reg < 0 ? (unsigned)c->digit : (unsigned)c->reg + (c->reg_high ? 4 : 0);
    emit_reg(&t->e, c->op, reg, (unsigned)c->rm + (c->rm_high ? 4 : 0));
    emit_immediate(t, c);
    flags_produced(t);
    return true;
}

static bool copy_registers(struct translating *t, struct copy *c)
{
    if (c->reg_high || c->rm_high)
        return !step_of(t->insn->row) && copy_high(t, c);
    flags_need_for_row(t);
    bool reads_reg = c->reg >= 0, reads_rm = c->rm >= 0;
    unsigned reg = reads_reg ? translate_read(t, (unsigned)c->reg, HOST_T1) : (unsigned)c->digit;
    unsigned rm = reads_rm ? translate_read(t, (unsigned)c->rm, HOST_T0) : 0;
    emit_reg(&t->e, c->op, reg, rm);
    emit_immediate(t, c);
    if (c->writes_reg)
        translate_written(t, (unsigned)c->reg, reg);
    if (c->writes_rm)
        translate_written(t, (unsigned)c->rm, rm);
    bool reg_first = is_reg_operand(t->row->operand[0]);
    unsigned second = c->has_imm ? OPERAND_NONE : reg_first ? rm : reg;
    finish_flags(t, reg_first ? reg : rm, second);
    keep_delta(t, c, reads_reg ? reg : HOST_NONE, rm);
    return true;
}

/* --- memory forms */

static void swap_high(struct translating *t, unsigned reg)
{
    emit_byte(&t->e, 0x86); /* xchg xh, xl */
    emit_byte(&t->e, (uint8_t)(0xc0 | (reg + 4) << 3 | reg));
}

/* Loads the operand into T0, or T1. */
static void load_operand(struct translating *t, const struct copy *c, unsigned to,
                         struct host_memory at)
{
    struct emitter *e = &t->e;
    if (c->memory_bytes < 4)
        emit_mem(e, HOST_OP(MAP_0F, c->memory_bytes == 1 ? 0xb6 : 0xb7, 0, SIZE_32), to, at);
    else
        emit_mem(e, HOST_OP(MAP_1, 0x8b, 0, c->memory_bytes == 8 ? SIZE_64 : SIZE_32), to, at);
}

/* Instructions whose flags are noted from their operands have the one in memory loaded first. */
static bool copy_memory_noted(struct translating *t, struct copy *c, struct host_memory at)
{
    enum native_flags kind;
    const bool step = step_of(t->insn->row);
    if (t->insn->lock || c->reg_high || (!step && (!flags_want_operands(t) || !notable(t->insn->row, &kind))))
        return false;
    /* Through a window EFLAGS has to hold until the store, which may fault. */
    if (c->writes_memory && t->window)
        return false;
    bool reg_first = is_reg_operand(t->row->operand[0]);
    if (c->writes_memory && c->reg >= 0 && host_home((unsigned)c->reg) == HOST_NONE)
        return false; /* one temporary too few */
    unsigned value = c->writes_memory ? HOST_T1 : HOST_T0;
    load_operand(t, c, value, at);
    unsigned reg = c->reg >= 0 ? translate_read(t, (unsigned)c->reg, HOST_T1) : (unsigned)c->digit;
    if (!reg_first && !c->writes_memory && is_test(t->insn->row)) {
        /* AND has the flags of TEST, and leaves the result. */
        if (c->has_imm)
            emit_alu_imm(&t->e, ALU_AND, t->insn->size, value,
                         (int32_t)bits_sign_extend(t->insn->imm, 8 * c->imm_bytes));
        else
            emit_alu(&t->e, ALU_AND, t->insn->size, value, reg);
    } else {
        emit_reg(&t->e, c->op, reg, value);
        emit_immediate(t, c);
    }
    if (c->writes_memory)
        emit_store(&t->e, t->insn->size, HOST_T0, 0, value);
    if (c->writes_reg)
        translate_written(t, (unsigned)c->reg, reg);
    if (is_test(t->insn->row)) {
        finish_flags(t, value, value);
        return true;
    }
    unsigned second = c->has_imm ? OPERAND_NONE : reg_first ? value : reg;
    finish_flags(t, reg_first ? reg : value, second);
    return true;
}

/* The flags that the copy reads have to be in EFLAGS with it: looking into the shadow destroys them, and
 * loading them destroys T1. */
static void flags_for_copy(struct translating *t)
{
    flags_need_for_row(t);
    if (step_of(t->insn->row) && (t->insn->lock || t->window))
        flags_need(t, F_CF); /* the host's own INC leaves CF alone */
}

static struct host_memory copied_operand(struct translating *t, const struct copy *c)
{
    const bool temporary = c->reg >= 0 && host_home((unsigned)c->reg) == HOST_NONE;
    struct host_memory at = AT(HOST_T0, 0);
    if (!memory_keeps_flags(t)) {
        memory_operand(t, c->memory_bytes, c->writes_memory);
        flags_for_copy(t);
        return at;
    }
    flags_for_copy(t);
    at = memory_at(t, c->memory_bytes, c->writes_memory);
    if (temporary) {
        emit_lea(&t->e, SIZE_64, HOST_T0, at); /* T1 is wanted */
        at = AT(HOST_T0, 0);
    }
    return at;
}

static bool copy_memory(struct translating *t, struct copy *c)
{
    if (c->reg_high && (c->reg > RBX || t->insn->row == OP_CMPXCHG_EbGb))
        return false; /* AL is an operand too, and would be swapped */
    if (c->reg_high)
        t->window = false; /* nothing may be swapped when it faults */
    const struct host_memory at = copied_operand(t, c);
    if (copy_memory_noted(t, c, at))
        return true;
    unsigned reg = c->reg >= 0 ? translate_read(t, (unsigned)c->reg, HOST_T1) : (unsigned)c->digit;
    if (c->reg_high)
        swap_high(t, reg);
    emit_mem(&t->e, c->op, reg, at);
    emit_immediate(t, c);
    if (c->reg_high)
        swap_high(t, reg);
    else if (c->writes_reg)
        translate_written(t, (unsigned)c->reg, reg);
    flags_produced(t);
    if (changes_only_named(t->row))
        memory_keep_delta(t, c->writes_reg ? reg : HOST_NONE, CHANGE_ANY);
    return true;
}

/* --- forms without ModRM */

static bool copy_accumulator(struct translating *t, struct copy *c)
{
    flags_need_for_row(t);
    emit_reg(&t->e, HOST_OP(MAP_1, t->row->opcode & 1 ? 0x81 : 0x80, 0, t->insn->size),
             t->row->opcode >> 3, RAX);
    emit_immediate(t, c);
    finish_flags(t, RAX, OPERAND_NONE);
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
    unsigned home = host_home(insn->reg);
    unsigned to = home == HOST_NONE || insn->size == SIZE_16 || insn->base == insn->reg ||
                          insn->index == insn->reg
                      ? HOST_T0
                      : home;
    memory_address(t, to);
    if (insn->size == SIZE_16) {
        unsigned reg = translate_read(t, insn->reg, HOST_T1);
        emit_mov(&t->e, SIZE_16, reg, to);
        translate_written(t, insn->reg, reg);
        return true;
    }
    if (insn->size == SIZE_32 && insn->address == SIZE_64)
        emit_mov(&t->e, SIZE_32, to, to);
    if (home == HOST_NONE)
        translate_written(t, insn->reg, to);
    else if (to != home)
        emit_mov(&t->e, SIZE_64, home, to);
    const bool moves = insn->base == insn->reg && insn->index == REG_ZERO && insn->size == SIZE_64 &&
                       insn->address == SIZE_64;
    memory_keep_delta(t, home, moves ? insn->disp : CHANGE_ANY);
    return true;
}

/* A register in the opcode's low bits. */
static bool translate_short(struct translating *t, struct copy *c)
{
    const struct insn *insn = t->insn;
    struct emitter *e = &t->e;
    bool high = false;
    unsigned guest = (unsigned)register_of(insn->reg, t->row->operand[0], &high);
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
            unsigned home = host_home(guest), to = home == HOST_NONE ? HOST_T0 : home;
            emit_mov_imm(e, to, insn->size == SIZE_32 ? (uint32_t)insn->imm : insn->imm);
            translate_written(t, guest, to);
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
    emit_immediate(t, c);
    translate_written(t, guest, reg);
    if (step_of(insn->row))
        flags_note_step(t, step_of(insn->row), reg);
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
    case OP_CBW: case OP_CWD:
        emit_opcode_reg(&t->e, c->op, 0);
        return true;
    case OP_CLC: case OP_STC: case OP_CMC: case OP_SAHF: case OP_SAHF_64: case OP_LAHF:
    case OP_LAHF_64:
        flags_need(t, F_ARITH);
        emit_byte(&t->e, t->row->opcode);
        flags_produced(t);
        return true;
    case OP_PAUSE:
        emit_byte(&t->e, 0xf3);
        emit_byte(&t->e, 0x90);
        return true;
    case OP_LFENCE: case OP_MFENCE: case OP_SFENCE:
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
    return row->map == MAP_0F && ((row->opcode >= 0x18 && row->opcode <= 0x1f) || row->opcode == 0x0d) &&
           row->policy_memory != MEMORY;
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
    emit_opcode_reg(&t->e, c->op, 0);
    emit_immediate(t, c);
    flags_produced(t);
    return true;
}

bool translate_integer(struct translating *t)
{
    const struct insn *insn = t->insn;
    const struct opcode_row *row = t->row;
    struct copy c = copy_of(t);
    if (is_hint(row))
        return true;
    switch (insn->row) {
    case OP_LEA_GvM:
        return translate_lea(t);
    case OP_MOV_ALOb: case OP_MOV_rAXOv: case OP_MOV_ObAL: case OP_MOV_OvrAX:
        return translate_moffs(t);
    case OP_TEST_ALIb: case OP_TEST_rAXIz:
        return translate_test_accumulator(t, &c);
    case OP_SHLD_EvGvIb: case OP_SHLD_EvGvCL: case OP_SHRD_EvGvIb: case OP_SHRD_EvGvCL:
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
