/* x87 instructions that are copied: they run on the host's x87, see translate/native_x87.h.
 *
 * The first of a block makes sure that the guest's x87 is there.  What FNSTENV tells of the last
 * instruction and its operand is noted where it may be seen: before the block is left, and in the
 * slow paths.  The address of an operand is put aside before the look-up, which needs the register,
 * in one of two places in turn: if the look-up fails, the previous operand's is still in the other.
 *
 * INV-1: EFLAGS passes through: only the check of the first instruction and what an operand in
 *        memory takes destroy it.
 */
#include "translate/native_x87.h"
#include "translate/translating.h"

#include "cpu/x87.h"

enum { NOTES = sizeof((struct cpu_native){0}.x87_operand) / sizeof(uint64_t) };

/* --- the last instruction */

static void note_selector(struct translating *t, unsigned seg, int32_t to)
{
    struct emitter *e = &t->e;
    if (seg >= SEG_FLAT) {
        emit_store_imm(e, SIZE_16, HOST_CPU, to, 0);
        return;
    }
    emit_mem(e, HOST_OP(MAP_0F, 0xb7, 0, SIZE_32), HOST_T1,
             AT(HOST_CPU, cpu_segment_at(seg, offsetof(struct segment, selector)))); /* movzx */
    emit_store(e, SIZE_16, HOST_CPU, to, HOST_T1);
}

void translate_x87_note(struct translating *t, struct x87_note note)
{
    struct emitter *e = &t->e;
    if (note.code) {
        const struct insn *insn = &t->block->insns[note.code - 1];
        const int64_t offset = (int64_t)(t->block->gpa & PAGE_OFFSET_MASK) + insn->offset;
        emit_store_imm(e, SIZE_16, HOST_CPU, CPU_AT(x87.opcode),
                       (opcode_rows[insn->row].opcode & 7) << 8 | insn->modrm);
        emit_load(e, SIZE_64, HOST_T1, HOST_CPU, CPU_AT(native.code_page));
        emit_lea(e, t->code_64 ? SIZE_64 : SIZE_32, HOST_T1, AT(HOST_T1, (int32_t)offset));
        emit_store(e, SIZE_64, HOST_CPU, CPU_AT(x87.code_offset), HOST_T1);
        note_selector(t, CS, CPU_AT(x87.code_selector));
    }
    if (note.data) {
        emit_load(e, SIZE_64, HOST_T1, HOST_CPU, CPU_AT(native.x87_operand) + 8 * note.place);
        emit_store(e, SIZE_64, HOST_CPU, CPU_AT(x87.data_offset), HOST_T1);
        note_selector(t, t->block->insns[note.data - 1].seg, CPU_AT(x87.data_selector));
    }
}

void translate_x87_seen(struct translating *t)
{
    translate_x87_note(t, t->x87_note);
    t->x87_note = (struct x87_note){0};
}

static bool is_noted(unsigned row)
{
    switch (row) {
    case OP_FLDCW_Mw:
    case OP_FNSTCW_Mw:
    case OP_FNSTSW_Mw:
    case OP_FNSTSW_AX:
    case OP_FNCLEX:
        return false;
    default:
        return true;
    }
}

static void note(struct translating *t)
{
    if (!is_noted(t->insn->row))
        return;
    t->x87_note.code = (uint8_t)(t->index + 1);
    if (t->insn->memory) {
        t->x87_note.data = (uint8_t)(t->index + 1);
        t->x87_note.place = (t->x87_note.place + 1) % NOTES;
    }
}

/* --- instructions */

static void need_host_state(struct translating *t)
{
    if (t->x87)
        return;
    flags_before_clobber(t);
    emit_alu_mem_imm(&t->e, ALU_CMP, SIZE_8, HOST_CPU, CPU_AT(native.x87_live), 0);
    translate_slow(t, emit_jump_if(&t->e, COND_Z), SLOW_X87);
    t->x87 = true;
}

static unsigned operand_bytes(const struct opcode_row *row)
{
    for (unsigned i = 0; i < 2; i++)
        switch (row->operand[i]) {
        case O_Mw:
            return 2;
        case O_Md:
            return 4;
        case O_Mq:
            return 8;
        case O_Mt:
            return 10;
        default:
            break;
        }
    BUG_ON(true);
}

/* T0 = the operand's host address */
static void operand(struct translating *t)
{
    flags_before_clobber(t);
    memory_address(t, HOST_T0);
    if (is_noted(t->insn->row))
        emit_store(&t->e, SIZE_64, HOST_CPU,
                   CPU_AT(native.x87_operand) + 8 * ((t->x87_note.place + 1) % NOTES), HOST_T0);
    memory_look_up(t, t->insn->seg, operand_bytes(t->row), t->row->attributes & A_STORE_ONLY,
                   SLOW_INTERP);
}

/* A control word that masks all exceptions; others are the interpreter's. */
static void load_control(struct translating *t)
{
    struct emitter *e = &t->e;
    operand(t);
    emit_mem(e, HOST_OP(MAP_0F, 0xb7, 0, SIZE_32), HOST_T0, AT(HOST_T0, 0)); /* movzx */
    emit_mov(e, SIZE_32, HOST_T1, HOST_T0);
    emit_alu_imm(e, ALU_AND, SIZE_32, HOST_T1, X87_EXCEPTIONS);
    emit_alu_imm(e, ALU_CMP, SIZE_32, HOST_T1, X87_EXCEPTIONS);
    translate_slow(t, emit_jump_if(e, COND_NZ), SLOW_INTERP);
    emit_alu_imm(e, ALU_AND, SIZE_32, HOST_T0, X87_CONTROL_BITS);
    emit_alu_imm(e, ALU_OR, SIZE_32, HOST_T0, X87_CONTROL_RESERVED);
    emit_store(e, SIZE_16, HOST_CPU, CPU_AT(x87.control), HOST_T0);
    emit_mem(e, HOST_OP(MAP_1, 0xd9, 0, SIZE_32), 5, AT(HOST_CPU, CPU_AT(x87.control)));
}

/* Does some processor not clear C1 after it, as the SDM says or allows and the handler does? */
static bool may_keep_c1(unsigned row)
{
    const uint32_t flags = opcode_rows[row].flags_read | opcode_rows[row].flags_written;
    return flags & F_ARITH || row == OP_FFREE_STi || row == OP_FFREEP_STi; /* FCOMI, FCMOVcc … */
}

static void copy(struct translating *t)
{
    const struct insn *insn = t->insn;
    if (insn->memory) {
        operand(t);
        emit_mem(&t->e, HOST_OP(MAP_1, t->row->opcode, 0, SIZE_32), insn->modrm >> 3 & 7,
                 AT(HOST_T0, 0));
        return;
    }
    flags_need_for_row(t);
    emit_byte(&t->e, t->row->opcode);
    emit_byte(&t->e, insn->modrm);
    if (may_keep_c1(insn->row))
        emit_bytes(&t->e, "\xd9\xf6\xd9\xf7", 4); /* fdecstp; fincstp */
    flags_produced(t);
}

bool translate_x87(struct translating *t)
{
    /* WHY: other code leaves after each block, and bringing the registers in and out costs more
     * than calling some handlers. */
    if (!t->flat)
        return false;
    switch (t->insn->row) {
    case OP_FNENI:
    case OP_FNDISI:
    case OP_FNSETPM:
        return true; /* they do nothing */
    case OP_FWAIT:
        need_host_state(t);
        return true; /* the host has nothing pending */
    case OP_FLDCW_Mw:
        need_host_state(t);
        load_control(t);
        return true;
    case OP_FNSTCW_Mw:
        operand(t);
        emit_load(&t->e, SIZE_32, HOST_T1, HOST_CPU, CPU_AT(x87.control));
        emit_store(&t->e, SIZE_16, HOST_T0, 0, HOST_T1);
        return true;
    default:
        need_host_state(t);
        copy(t);
        note(t);
        return true;
    }
}

/* --- MMX, whose registers are the x87's */

static bool is_mmx_copied(const struct opcode_row *row)
{
    if (row->map == MAP_0F && row->opcode == 0xf7)
        return false; /* MASKMOVQ has an operand at DI */
    for (unsigned i = 0; i < 3; i++)
        switch (row->operand[i]) {
        case O_NONE:
        case O_Pq:
        case O_Qq:
        case O_Qd:
        case O_Nq:
        case O_Ey:
        case O_Ib:
            break;
        default:
            return false;
        }
    return true;
}

static unsigned mmx_bytes(const struct insn *insn, unsigned operand)
{
    return operand == O_Qd ? 4 : operand == O_Ey ? 1u << insn->size : 8;
}

bool translate_mmx(struct translating *t)
{
    struct emitter *e = &t->e;
    const struct insn *insn = t->insn;
    const struct opcode_row *row = t->row;
    const bool general = row->operand[0] == O_Ey || row->operand[1] == O_Ey;
    const struct host_op op =
        HOST_OP(row->map, row->opcode, 0, (uint8_t)(general ? insn->size : SIZE_32));
    if (!t->flat || !is_mmx_copied(row))
        return false;
    need_host_state(t);
    if (row->modrm == M_NONE) {
        emit_bytes(e, "\x0f\x77", 2); /* emms */
        return true;
    }
    const unsigned reg = insn->modrm >> 3 & 7; /* or the /digit; REX does not count */
    if (insn->memory) {
        const bool first = row->operand[0] != O_Pq;
        /* WHY: AMD's processors go over to MMX before they find that a store or a load faults. */
        t->window = false;
        memory_operand(t, mmx_bytes(insn, row->operand[!first]), first);
        emit_mem(e, op, reg, AT(HOST_T0, 0));
    } else if (!general) {
        emit_reg(e, op, reg, insn->modrm & 7);
    } else if (row->operand[0] == O_Ey) {
        const unsigned home = host_home(insn->rm), to = home == HOST_NONE ? HOST_T0 : home;
        emit_reg(e, op, reg, to);
        translate_written(t, insn->rm, to);
    } else {
        emit_reg(e, op, reg, translate_read(t, insn->rm, HOST_T0));
    }
    if (row->operand[1] == O_Ib || row->operand[2] == O_Ib)
        emit_byte(e, (uint8_t)insn->imm);
    return true;
}
