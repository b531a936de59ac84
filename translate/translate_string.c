/* String instructions upwards (DF clear) in flat code, with addresses as wide as the code's.
 *
 * One element: looks into the shadow, then the copy.  REP MOVS and REP STOS in the soft tier: the
 * host's own, when all elements lie in one page of each operand.  Every other case is the
 * interpreter's handler (cpu/exec_string.c), which does the whole instruction.
 *
 * INV-1: nothing has changed before the last look.
 * Sources: SDM 2A, 2B under their names, REP/REPE/REPZ/REPNE/REPNZ.
 */
#include "translate/translating.h"

static unsigned width(const struct translating *t)
{
    return t->code_64 ? SIZE_64 : SIZE_32;
}

static unsigned destination_seg(const struct translating *t)
{
    return t->code_64 ? SEG_FLAT : ES;
}

static void require_upwards(struct translating *t)
{
    flags_before_clobber(t);
    emit_test_mem_imm(&t->e, HOST_CPU, CPU_AT(eflags) + 1, F_DF >> 8);
    translate_slow(t, emit_jump_if(&t->e, COND_NZ), SLOW_INTERP);
}

/* T0 = the host address of what `reg`, RSI or RDI, points to. */
static void look_up(struct translating *t, unsigned reg, unsigned bytes, bool write)
{
    emit_mov(&t->e, width(t), HOST_T0, reg);
    memory_look_up(t, reg == RSI ? t->insn->seg : destination_seg(t), bytes, write, SLOW_INTERP);
}

static void advance(struct translating *t, unsigned reg)
{
    emit_lea(&t->e, width(t), reg, AT((uint8_t)reg, 1 << t->insn->size));
}

/* --- one element */

static void load(struct translating *t)
{
    look_up(t, RSI, 1u << t->insn->size, false);
    emit_load(&t->e, t->insn->size, RAX, HOST_T0, 0);
    advance(t, RSI);
}

static void store(struct translating *t)
{
    look_up(t, RDI, 1u << t->insn->size, true);
    emit_store(&t->e, t->insn->size, HOST_T0, 0, RAX);
    advance(t, RDI);
}

static void scan(struct translating *t)
{
    look_up(t, RDI, 1u << t->insn->size, false);
    emit_alu_load(&t->e, ALU_CMP, t->insn->size, RAX, HOST_T0, 0);
    advance(t, RDI);
    flags_produced(t);
}

/* T1 = [RSI], T0 = the host address of [RDI] */
static void two_operands(struct translating *t, bool write)
{
    struct emitter *e = &t->e;
    const unsigned size = t->insn->size;
    look_up(t, RSI, 1u << size, false);
    emit_load(e, size, HOST_T1, HOST_T0, 0);
    emit_store(e, SIZE_64, HOST_CPU, CPU_AT(native.scratch[0]), HOST_T1);
    t->delta = HOST_NONE;
    look_up(t, RDI, 1u << size, write);
    emit_load(e, SIZE_64, HOST_T1, HOST_CPU, CPU_AT(native.scratch[0]));
}

static void move(struct translating *t)
{
    two_operands(t, true);
    emit_store(&t->e, t->insn->size, HOST_T0, 0, HOST_T1);
    advance(t, RSI);
    advance(t, RDI);
}

static void compare(struct translating *t)
{
    two_operands(t, false);
    emit_alu_load(&t->e, ALU_CMP, t->insn->size, HOST_T1, HOST_T0, 0);
    advance(t, RSI);
    advance(t, RDI);
    flags_produced(t);
}

/* --- repeated */

/* T0: bytes, at most a page.  Do they lie in one page from `reg` on? */
static void require_one_page(struct translating *t, unsigned reg)
{
    struct emitter *e = &t->e;
    emit_mov(e, SIZE_32, HOST_T1, reg);
    emit_alu_imm(e, ALU_AND, SIZE_32, HOST_T1, PAGE_OFFSET_MASK);
    emit_alu(e, ALU_ADD, SIZE_32, HOST_T1, HOST_T0);
    emit_alu_imm(e, ALU_CMP, SIZE_32, HOST_T1, PAGE_BYTES);
    translate_slow(t, emit_jump_if(e, COND_NBE), SLOW_INTERP);
}

/* RDI is the host's, and T0 the guest's, with which the bytes at scratch[0] are done when REP is
 * over. */
static void repeat(struct translating *t, uint8_t opcode)
{
    struct emitter *e = &t->e;
    const unsigned size = t->insn->size;
    if (!t->code_64)
        emit_mov(e, SIZE_32, RCX, RCX); /* 64-bit code may have left an upper half */
    emit_byte(e, 0xf3);
    emit_opcode_reg(
        e, HOST_OP(MAP_1, size == SIZE_8 ? opcode : (uint8_t)(opcode + 1), 0, (uint8_t)size), 0);
    emit_alu_load(e, ALU_ADD, width(t), HOST_T0, HOST_CPU, CPU_AT(native.scratch[0]));
    emit_mov(e, width(t), RDI, HOST_T0);
}

static void exchange(struct emitter *e, unsigned a, unsigned b)
{
    emit_reg(e, OP_WIDE(0x87), a, b);
}

/* scratch[0] = the bytes of RCX elements.  The jump that is taken if there are none. */
static uint8_t *count_bytes(struct translating *t)
{
    struct emitter *e = &t->e;
    const unsigned size = t->insn->size;
    emit_mov(e, width(t), HOST_T0, RCX);
    emit_reg(e, HOST_OP(MAP_1, 0x85, 0, SIZE_64), HOST_T0, HOST_T0); /* test */
    uint8_t *none = emit_jump_if(e, COND_Z);
    emit_alu_imm(e, ALU_CMP, SIZE_64, HOST_T0, (int32_t)(PAGE_BYTES >> size));
    translate_slow(t, emit_jump_if(e, COND_NBE), SLOW_INTERP);
    if (size)
        emit_shift_imm(e, 4, SIZE_32, HOST_T0, (uint8_t)size);
    emit_store(e, SIZE_64, HOST_CPU, CPU_AT(native.scratch[0]), HOST_T0);
    return none;
}

static void repeat_store(struct translating *t)
{
    uint8_t *none = count_bytes(t);
    require_one_page(t, RDI);
    look_up(t, RDI, 1, true);
    exchange(&t->e, RDI, HOST_T0);
    repeat(t, 0xaa);
    emit_jump_here(&t->e, none);
}

static void repeat_move(struct translating *t)
{
    struct emitter *e = &t->e;
    uint8_t *none = count_bytes(t);
    require_one_page(t, RDI);
    require_one_page(t, RSI);
    look_up(t, RSI, 1, false);
    emit_store(e, SIZE_64, HOST_CPU, CPU_AT(native.scratch[1]), HOST_T0);
    look_up(t, RDI, 1, true);
    emit_mov(e, SIZE_64, HOST_T1, RSI);
    emit_load(e, SIZE_64, RSI, HOST_CPU, CPU_AT(native.scratch[1]));
    exchange(e, RDI, HOST_T0);
    repeat(t, 0xa4);
    emit_alu_load(e, ALU_ADD, width(t), HOST_T1, HOST_CPU, CPU_AT(native.scratch[0]));
    emit_mov(e, width(t), RSI, HOST_T1);
    emit_jump_here(e, none);
}

/* --- by row */

/* REP needs to know the whole range: of segments with limits the interpreter does. */
static bool may_repeat(const struct translating *t)
{
    return t->insn->seg != FS && t->insn->seg != GS;
}

bool translate_string(struct translating *t)
{
    static const struct {
        uint16_t row;
        void (*once)(struct translating *t);
        void (*repeated)(struct translating *t);
    } rows[] = {
        {OP_MOVSB, move, repeat_move},   {OP_MOVSV, move, repeat_move},
        {OP_STOSB, store, repeat_store}, {OP_STOSV, store, repeat_store},
        {OP_LODSB, load, NULL},          {OP_LODSV, load, NULL},
        {OP_SCASB, scan, NULL},          {OP_SCASV, scan, NULL},
        {OP_CMPSB, compare, NULL},       {OP_CMPSV, compare, NULL},
    };
    const bool repeats = t->insn->rep;
    if (!t->flat || t->insn->address != width(t) || (repeats && !may_repeat(t)))
        return false;
    for (unsigned i = 0; i < ARRAY_LENGTH(rows); i++) {
        void (*way)(struct translating *) = repeats ? rows[i].repeated : rows[i].once;
        if (rows[i].row != t->insn->row || !way)
            continue;
        require_upwards(t);
        way(t);
        return true;
    }
    return false;
}
