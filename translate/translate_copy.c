/* Copies of integer instructions with ModRM.
 *
 * Guest registers that have no home are operands in struct cpu; T0 stands in where the host's
 * instruction wants a register.
 *
 * INV-1: nothing of the guest's state changes before the last look into the shadow.
 */
#include "translate/copy.h"

static unsigned operand_bytes(const struct insn *insn, unsigned operand)
{
    switch (operand) {
    case O_Eb:
    case O_Mb:
    case O_Gb:
    case O_Ob:
        return 1;
    case O_Ew:
    case O_Mw:
    case O_Gw:
        return 2;
    case O_Ed:
    case O_Md:
        return 4;
    case O_Eq:
    case O_Mq:
        return 8;
    default:
        return 1u << insn->size;
    }
}

static unsigned immediate_bytes(const struct insn *insn, unsigned operand)
{
    switch (operand) {
    case O_Ib:
    case O_sIb:
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
int copy_register(unsigned field, unsigned operand, bool *high)
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
                   translate_locks(t));
}

struct copy copy_of(const struct translating *t)
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
            c.reg = copy_register(insn->reg, operand, &c.reg_high);
            c.writes_reg = written;
        } else if (is_rm_operand(operand) && insn->memory) {
            c.memory_bytes = operand_bytes(insn, operand);
            c.writes_memory = written;
        } else if (is_rm_operand(operand)) {
            c.rm = copy_register(insn->rm, operand, &c.rm_high);
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

void copy_immediate(struct translating *t, const struct copy *c)
{
    if (c->has_imm)
        emit_bytes(&t->e, &t->insn->imm, c->imm_bytes);
}

/* --- flags noted from the operands, for the frequent instructions */

static bool notable(unsigned row, enum native_flags *kind)
{
#define FORMS(name)                                                                                \
    case OP_##name##_EbGb:                                                                         \
    case OP_##name##_EvGv:                                                                         \
    case OP_##name##_GbEb:                                                                         \
    case OP_##name##_GvEv:                                                                         \
    case OP_##name##_ALIb:                                                                         \
    case OP_##name##_rAXIz:                                                                        \
    case OP_##name##_EbIb:                                                                         \
    case OP_##name##_EvIz:                                                                         \
    case OP_##name##_EbIb_82:                                                                      \
    case OP_##name##_EvsIb
    switch (row) {
        FORMS(ADD) : *kind = FLAGS_ADD;
        return true;
        FORMS(SUB) : *kind = FLAGS_SUB;
        return true;
        FORMS(CMP) : *kind = FLAGS_CMP;
        return true;
        FORMS(AND)
            : FORMS(OR)
            : FORMS(XOR)
            : case OP_TEST_EbGb : case OP_TEST_EvGv : case OP_TEST_ALIb : case OP_TEST_rAXIz
            : case OP_TEST_EbIb : case OP_TEST_EbIb_1 : case OP_TEST_EvIz : case OP_TEST_EvIz_1
            : *kind = FLAGS_LOGIC;
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

enum native_step copy_step(unsigned row)
{
    switch (row) {
    case OP_INC_Eb:
    case OP_INC_Ev:
    case OP_INC_Zv:
        return STEP_INC;
    case OP_DEC_Eb:
    case OP_DEC_Ev:
    case OP_DEC_Zv:
        return STEP_DEC;
    default:
        return STEP_NONE;
    }
}

/* After the copy: `to` and `from` are the host registers of operands 1 and 2, OPERAND_NONE for an
 * immediate. */
void copy_flags(struct translating *t, unsigned to, unsigned from)
{
    enum native_flags kind;
    enum native_step step = copy_step(t->insn->row);
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

/* AND has the flags of TEST, and leaves the result to note them by. */
void copy_test(struct translating *t, const struct copy *c, unsigned a, unsigned b)
{
    struct emitter *e = &t->e;
    if (b == HOST_T0) {
        b = a;
        a = HOST_T0;
    }
    if (a != HOST_T0)
        emit_mov(e, c->op.width == SIZE_64 ? SIZE_64 : SIZE_32, HOST_T0, a);
    if (b == OPERAND_NONE)
        emit_alu_imm(e, ALU_AND, c->op.width, HOST_T0,
                     (int32_t)bits_sign_extend(t->insn->imm, 8 * c->imm_bytes));
    else
        emit_alu(e, ALU_AND, c->op.width, HOST_T0, b);
    flags_produced(t);
    flags_note_operands(t, FLAGS_LOGIC, HOST_T0, OPERAND_NONE, 0);
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

/* What an instruction that has changed host register `written` (HOST_NONE: none) leaves of T1. */
static void keep_delta(struct translating *t, unsigned written)
{
    if (!changes_only_named(t->row))
        return;
    int64_t change = CHANGE_ANY;
    if (t->insn->row == OP_ADD_EvsIb || t->insn->row == OP_SUB_EvsIb)
        change = t->insn->size == SIZE_64 ? (int8_t)t->insn->imm : CHANGE_ANY;
    memory_keep_delta(t, written, change);
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
    flags_before_undefined(t);
    emit_reg(&t->e, c->op, reg, (unsigned)c->rm + (c->rm_high ? 4 : 0));
    copy_immediate(t, c);
    flags_produced(t);
    return true;
}

/* May a register operand be replaced by one in memory, where the register lives?  Of the frequent
 * rows; not where memory would mean a bit string or a lock. */
static bool takes_memory(const struct opcode_row *row)
{
    const uint8_t opcode = row->opcode;
    if (row->map == MAP_0F)
        return (opcode >= 0x40 && opcode <= 0x4f) || opcode == 0xaf || opcode == 0xb6 ||
               opcode == 0xb7 || opcode == 0xb8 || (opcode >= 0xbc && opcode <= 0xbf);
    if (row->map != MAP_1)
        return false;
    return opcode < 0x40 || opcode == 0x63 || opcode == 0x69 || opcode == 0x6b ||
           (opcode >= 0x80 && opcode <= 0x85) || (opcode >= 0x88 && opcode <= 0x8b) ||
           opcode == 0xc0 || opcode == 0xc1 || opcode == 0xc6 || opcode == 0xc7 ||
           (opcode >= 0xd0 && opcode <= 0xd3) || opcode == 0xf6 || opcode == 0xf7;
}

/* Makes operand 2, or 1, the one that can be in memory (ModRM.rm); false: there is no such form. */
static bool put_in_rm(const struct opcode_row *row, struct copy *c, bool second)
{
    const uint8_t opcode = c->op.opcode;
    if (second == is_reg_operand(row->operand[0]))
        return true;
    const bool is_test = opcode == 0x84 || opcode == 0x85;
    if (c->op.map != MAP_1 || c->digit >= 0 ||
        !(opcode < 0x40 || (opcode >= 0x84 && opcode <= 0x8b)))
        return false;
    if (!is_test)
        c->op.opcode ^= 2; /* the direction */
    return true;
}

/* The host register for operand 1, which has its value unless that is of no use. */
static unsigned destination(struct translating *t, const struct copy *c, unsigned guest)
{
    const bool whole = c->op.width == SIZE_32 || c->op.width == SIZE_64;
    const unsigned home = host_home(guest);
    if (home == HOST_NONE && whole && t->row->attributes & A_STORE_ONLY)
        return HOST_T0;
    return translate_read(t, guest, HOST_T0);
}

/* The same register forms with one of the operands in struct cpu; false: both want a register. */
static bool copy_in_place(struct translating *t, struct copy *c, int to, int from)
{
    enum native_flags kind;
    const struct opcode_row *row = t->row;
    const bool noted = flags_want_operands(t) && notable(t->insn->row, &kind);
    const bool writes = row->attributes & A_WRITES_OP1;
    if (to < 0 || to == from || !takes_memory(row) || writes_both(t->insn->row) ||
        copy_step(t->insn->row))
        return false;
    if (from >= 0 && host_home((unsigned)from) == HOST_NONE) {
        if ((noted && kind != FLAGS_LOGIC) || !put_in_rm(row, c, true))
            return false;
        const unsigned host = destination(t, c, (unsigned)to);
        flags_before_undefined(t);
        emit_mem(&t->e, c->op, host, AT(HOST_CPU, cpu_reg_at((unsigned)from)));
        copy_immediate(t, c);
        if (writes)
            translate_written(t, (unsigned)to, host);
        copy_flags(t, host, OPERAND_NONE);
        keep_delta(t, writes ? host : HOST_NONE);
        return true;
    }
    if (noted || (writes && c->op.width != SIZE_64) || !put_in_rm(row, c, false))
        return false;
    flags_before_undefined(t);
    emit_mem(&t->e, c->op, from >= 0 ? host_home((unsigned)from) : (unsigned)c->digit,
             AT(HOST_CPU, cpu_reg_at((unsigned)to)));
    copy_immediate(t, c);
    flags_produced(t);
    keep_delta(t, HOST_NONE);
    return true;
}

bool copy_registers(struct translating *t, struct copy *c)
{
    if (c->reg_high || c->rm_high)
        return !copy_step(t->insn->row) && copy_high(t, c);
    flags_need_for_row(t);
    const bool reg_first = is_reg_operand(t->row->operand[0]);
    const int to = reg_first ? c->reg : c->rm, from = reg_first ? c->rm : c->reg;
    const bool to_away = to >= 0 && host_home((unsigned)to) == HOST_NONE;
    const bool from_away = from >= 0 && host_home((unsigned)from) == HOST_NONE;
    const bool to_held = to == (int)t->held && !from_away;
    const bool from_held = from == (int)t->held && !to_away;
    if ((to_away || from_away) && !to_held && !from_held && copy_in_place(t, c, to, from))
        return true;
    const unsigned first = to_held ? HOST_T0 : to >= 0 ? destination(t, c, (unsigned)to) : 0;
    const unsigned second = from < 0    ? (unsigned)c->digit
                            : from_held ? HOST_T0
                                        : translate_read(t, (unsigned)from, HOST_T1);
    if (is_test(t->insn->row) && first != second && flags_want_operands(t)) {
        copy_test(t, c, first, c->has_imm ? OPERAND_NONE : second);
        if (second != HOST_T1)
            keep_delta(t, HOST_NONE);
        return true;
    }
    flags_before_undefined(t);
    emit_reg(&t->e, c->op, reg_first ? first : second, reg_first ? second : first);
    copy_immediate(t, c);
    /* SDM: XADD writes its first operand last; both may be one register. */
    if (reg_first ? c->writes_rm : c->writes_reg)
        translate_written(t, (unsigned)from, second);
    if (reg_first ? c->writes_reg : c->writes_rm)
        translate_written(t, (unsigned)to, first);
    copy_flags(t, first, c->has_imm || from < 0 ? OPERAND_NONE : second);
    if (from < 0 || second != HOST_T1)
        keep_delta(t, t->row->attributes & A_WRITES_OP1 ? first : HOST_NONE);
    if (!to_away && !from_away)
        t->held_next = t->held; /* T0 has not been touched */
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
    const bool step = copy_step(t->insn->row);
    if (translate_locks(t) || c->reg_high ||
        (!step && (!flags_want_operands(t) || !notable(t->insn->row, &kind))))
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
        copy_immediate(t, c);
    }
    if (c->writes_memory)
        emit_store(&t->e, t->insn->size, HOST_T0, 0, value);
    if (c->writes_reg)
        translate_written(t, (unsigned)c->reg, reg);
    if (is_test(t->insn->row)) {
        copy_flags(t, value, value);
        return true;
    }
    unsigned second = c->has_imm ? OPERAND_NONE : reg_first ? value : reg;
    copy_flags(t, reg_first ? reg : value, second);
    return true;
}

/* The flags that the copy reads have to be in EFLAGS with it: looking into the shadow destroys
 * them, and loading them destroys T1. */
static void flags_for_copy(struct translating *t)
{
    flags_need_for_row(t);
    if (copy_step(t->insn->row) && (translate_locks(t) || t->window))
        flags_need(t, F_CF); /* the host's own INC leaves CF alone */
}

/* Is ModRM.reg loaded, and not merged with what it was? */
static bool is_load(const struct translating *t, const struct copy *c)
{
    return c->writes_reg && t->row->attributes & A_STORE_ONLY &&
           (c->op.width == SIZE_32 || c->op.width == SIZE_64);
}

static struct host_memory copied_operand(struct translating *t, const struct copy *c)
{
    struct host_memory at = AT(HOST_T0, 0);
    if (flags_undefined_seen(t))
        flags_note(t); /* the access may fault behind what comes in EFLAGS' place */
    if (!memory_keeps_flags(t)) {
        memory_operand(t, c->memory_bytes, c->writes_memory);
        flags_for_copy(t);
        return at;
    }
    flags_for_copy(t);
    at = memory_at(t, c->memory_bytes, c->writes_memory);
    if (at.base == HOST_T0 && c->reg >= 0 && host_home((unsigned)c->reg) == HOST_NONE &&
        !is_load(t, c)) {
        emit_lea(&t->e, SIZE_64, HOST_T0, at); /* one temporary for both */
        at = AT(HOST_T0, 0);
        t->delta = HOST_NONE;
    }
    return at;
}

/* The host register for ModRM.reg, which is not part of the address. */
static unsigned operand_beside(struct translating *t, const struct copy *c, struct host_memory at)
{
    if (c->reg < 0)
        return (unsigned)c->digit;
    const unsigned home = host_home((unsigned)c->reg);
    if (home == HOST_NONE && is_load(t, c))
        return HOST_T0;
    return translate_read(t, (unsigned)c->reg, at.base == HOST_T0 ? HOST_T1 : HOST_T0);
}

/* XCHG, which is atomic by itself, where that is of no use. */
static bool exchange_memory(struct translating *t, const struct copy *c, struct host_memory at)
{
    struct emitter *e = &t->e;
    const unsigned size = c->op.width, home = host_home((unsigned)c->reg);
    if (t->translator->options.shared || home == HOST_NONE || c->reg_high)
        return false;
    if (at.base == HOST_T0 && at.index == HOST_T1) {
        emit_lea(e, SIZE_64, HOST_T0, at);
        at = AT(HOST_T0, 0);
    }
    const unsigned value = at.base == HOST_T0 ? HOST_T1 : HOST_T0;
    emit_mem(e, HOST_OP(MAP_1, size == SIZE_8 ? 0x8a : 0x8b, 0, (uint8_t)size), value, at);
    emit_mem(e, HOST_OP(MAP_1, size == SIZE_8 ? 0x88 : 0x89, 0, (uint8_t)size), home, at);
    emit_mov(e, size, home, value);
    return true;
}

bool copy_memory(struct translating *t, struct copy *c)
{
    if (c->reg_high && (c->reg > RBX || t->insn->row == OP_CMPXCHG_EbGb))
        return false; /* AL is an operand too, and would be swapped */
    if (c->reg_high)
        t->window = false; /* nothing may be swapped when it faults */
    const struct host_memory at = copied_operand(t, c);
    if (copy_memory_noted(t, c, at))
        return true;
    if ((t->insn->row == OP_XCHG_EbGb || t->insn->row == OP_XCHG_EvGv) && exchange_memory(t, c, at))
        return true;
    const unsigned reg = operand_beside(t, c, at);
    if (c->reg_high)
        swap_high(t, reg);
    flags_before_undefined(t);
    emit_mem(&t->e, c->op, reg, at);
    copy_immediate(t, c);
    if (c->reg_high)
        swap_high(t, reg);
    else if (c->writes_reg)
        translate_written(t, (unsigned)c->reg, reg);
    flags_produced(t);
    if (reg != HOST_T1 && changes_only_named(t->row))
        memory_keep_delta(t, c->writes_reg ? reg : HOST_NONE, CHANGE_ANY);
    return true;
}
