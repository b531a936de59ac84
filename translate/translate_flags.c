/* Where the flags are, and the code that moves them: see translate/flags.h. */
#include "translate/translating.h"

/* --- what a row does with the flags */

static bool is_counted_shift(const struct insn *insn)
{
    switch (insn->row) {
    case OP_SHL_EbIb:
    case OP_SHL_EvIb:
    case OP_SHL_6_EbIb:
    case OP_SHL_6_EvIb:
    case OP_SHR_EbIb:
    case OP_SHR_EvIb:
    case OP_SAR_EbIb:
    case OP_SAR_EvIb:
        return true;
    default:
        return false;
    }
}

/* INC and DEC leave CF alone; their flags are noted apart. */
static bool is_step(const struct insn *insn)
{
    switch (insn->row) {
    case OP_INC_Eb:
    case OP_INC_Ev:
    case OP_INC_Zv:
    case OP_DEC_Eb:
    case OP_DEC_Ev:
    case OP_DEC_Zv:
        return true;
    default:
        return false;
    }
}

static uint32_t overwritten(const struct insn *insn)
{
    const struct opcode_row *row = &opcode_rows[insn->row];
    return (row->flags_written | row->flags_undefined) & F_ARITH;
}

/* A shift by an immediate that is not 0 changes the flags in any case. */
static bool always_shifts(const struct insn *insn)
{
    return is_counted_shift(insn) && insn->imm & (insn->size == SIZE_64 ? 63 : 31);
}

bool row_merges_flags(const struct insn *insn)
{
    uint32_t changed = overwritten(insn);
    if (!changed || is_step(insn) || always_shifts(insn))
        return false;
    return changed != F_ARITH || (opcode_rows[insn->row].flags_read & F_ARITH) == F_ARITH;
}

static uint32_t flags_read(const struct insn *insn)
{
    if (row_merges_flags(insn))
        return F_ARITH;
    return always_shifts(insn) ? 0 : opcode_rows[insn->row].flags_read & F_ARITH;
}

/* Shifts and rotations that leave flags as they were, but do not read them. */
static bool only_merges(const struct insn *insn)
{
    const struct opcode_row *row = &opcode_rows[insn->row];
    const bool carries = (row->modrm & 7) == 2 || (row->modrm & 7) == 3; /* RCL, RCR */
    return row->map == MAP_1 && !carries && !insn->memory &&
           (row->opcode == 0xc1 || row->opcode == 0xd1 || row->opcode == 0xd3);
}

/* Of the frequent ones: is it copied in any case, and cannot fault? */
static bool surely_copied(const struct insn *insn)
{
    const struct opcode_row *row = &opcode_rows[insn->row];
    const uint8_t opcode = row->opcode;
    if (insn->row == OP_LEA_GvM)
        return true;
    if (insn->memory || insn->size == SIZE_8 || row->policy_register != IDENTICAL)
        return false;
    if (row->map == MAP_0F)
        return opcode == 0xb7 || opcode == 0xbf;
    return row->map == MAP_1 &&
           (opcode < 0x40 || opcode == 0x63 || opcode == 0x81 || opcode == 0x83 || opcode == 0x85 ||
            opcode == 0x89 || opcode == 0x8b || opcode == 0xc7 || (opcode & 0xf8) == 0xb8 ||
            only_merges(insn));
}

/* Of an instruction for which merge_is_dead() has been asked. */
static bool reads_flags(const struct translating *t, unsigned index)
{
    return flags_read(&t->block->insns[index]) && !(t->facts[index] & FACT_MERGE_DEAD);
}

static bool merge_is_dead(const struct translating *t, unsigned from)
{
    const struct block *block = t->block;
    if (!only_merges(&block->insns[from]))
        return false;
    for (unsigned i = from + 1; i < block->count; i++) {
        const struct insn *insn = &block->insns[i];
        if (!surely_copied(insn) || translate_is_replaced(block, i) || reads_flags(t, i))
            return false;
        if (overwritten(insn) == F_ARITH && !row_merges_flags(insn))
            return true;
    }
    return false;
}

/* Does translating it destroy EFLAGS, or may it fault or leave, before it reads flags itself?  An
 * access through a window does not: EFLAGS is still there when it faults. */
static bool is_observer(const struct translating *t, unsigned index)
{
    const struct insn *insn = &t->block->insns[index];
    const struct opcode_row *row = &opcode_rows[insn->row];
    unsigned policy = insn->memory ? row->policy_memory : row->policy_register;
    if (policy == IDENTICAL || policy == BRANCH)
        return false;
    return !((policy == MEMORY || policy == STACK) && translate_windowed(t, index));
}

static uint8_t facts_after(const struct translating *t, unsigned from)
{
    const struct block *block = t->block;
    uint8_t facts = 0;
    for (unsigned i = from + 1; i < block->count; i++) {
        const struct insn *insn = &block->insns[i];
        if (is_observer(t, i))
            facts |= FACT_OBSERVED;
        if (overwritten(insn) == F_ARITH && !reads_flags(t, i))
            return facts;
    }
    return facts | FACT_OBSERVED; /* by who comes after the block */
}

void flags_analyse(struct translating *t)
{
    for (unsigned i = t->block->count; i-- > 0;) {
        t->facts[i] = overwritten(&t->block->insns[i]) ? facts_after(t, i) : 0;
        if (merge_is_dead(t, i))
            t->facts[i] |= FACT_MERGE_DEAD;
    }
}

/* --- moving them */

void flags_save_image(struct emitter *e)
{
    emit_mov(e, SIZE_64, HOST_T1, RAX);
    emit_byte(e, 0x9f); /* lahf */
    emit_reg(e, HOST_OP(MAP_0F, 0x90 | COND_O, 0, SIZE_8), 0, RAX);
    emit_store(e, SIZE_16, HOST_CPU, CPU_AT(native.flags_a), RAX);
    emit_mov(e, SIZE_64, RAX, HOST_T1);
    emit_store_imm(e, SIZE_64, HOST_CPU, CPU_AT(native.flags_kind), FLAGS_IMAGE);
}

/* Memory has all the flags now, in the form `kind`. */
static void set_noted(struct translating *t, uint32_t kind)
{
    t->memory_flags = true;
    t->noted = kind;
    t->noted_step = STEP_NONE;
}

static void note_image(struct translating *t)
{
    flags_save_image(&t->e);
    t->delta = HOST_NONE;
    set_noted(t, FLAGS_IMAGE);
}

void flags_note(struct translating *t)
{
    if (!t->memory_flags)
        note_image(t);
}

void flags_before_clobber(struct translating *t)
{
    flags_note(t);
    t->host_flags = 0;
}

void flags_load_image(struct emitter *e)
{
    emit_mov(e, SIZE_64, HOST_T1, RAX);
    emit_mem(e, HOST_OP(MAP_0F, 0xb7, 0, SIZE_32), RAX,
             AT(HOST_CPU, CPU_AT(native.flags_a))); /* movzx */
    emit_alu_imm(e, ALU_ADD, SIZE_8, RAX, 0x7f);    /* OF again */
    emit_byte(e, 0x9e);                             /* sahf */
    emit_mov(e, SIZE_64, RAX, HOST_T1);
}

void flags_again(struct emitter *e, uint32_t noted, unsigned to)
{
    const unsigned size = noted >> FLAGS_SIZE_SHIFT & 3;
    const int32_t b = CPU_AT(native.flags_b);
    emit_load(e, SIZE_64, to, HOST_CPU, CPU_AT(native.flags_a));
    switch (noted & FLAGS_KIND) {
    case FLAGS_SUB:
        emit_alu_load(e, ALU_ADD, SIZE_64, to, HOST_CPU, b);
        break;
    case FLAGS_ADD:
        emit_alu_load(e, ALU_SUB, SIZE_64, to, HOST_CPU, b);
        emit_alu_load(e, ALU_ADD, size, to, HOST_CPU, b);
        return;
    case FLAGS_LOGIC:
        emit_alu(e, ALU_AND, size, to, to);
        return;
    }
    emit_alu_load(e, ALU_CMP, size, to, HOST_CPU, b);
}

/* The same of an INC or DEC: all flags but CF. */
static void load_step(struct emitter *e, uint32_t step)
{
    const unsigned size = step >> FLAGS_SIZE_SHIFT & 3;
    const bool inc = (step & STEP_KIND) == STEP_INC;
    emit_load(e, SIZE_64, HOST_T1, HOST_CPU, CPU_AT(native.flags_step));
    emit_lea(e, SIZE_64, HOST_T1, AT(HOST_T1, inc ? -1 : 1));
    emit_reg(e, HOST_OP(MAP_1, size == SIZE_8 ? 0xfe : 0xff, 0, (uint8_t)size), inc ? 0 : 1,
             HOST_T1);
}

static void load_carry(struct emitter *e)
{
    emit_mem(e, HOST_OP(MAP_0F, 0xba, 0, SIZE_32), 4,
             AT(HOST_CPU, CPU_AT(native.flags_a))); /* bt */
    emit_byte(e, 8);
}

/* Loads from memory at least the flags `mask`; the result is which. */
static uint32_t load_noted(struct translating *t, uint32_t mask)
{
    struct emitter *e = &t->e;
    if (mask == F_CF && t->noted == FLAGS_IMAGE) {
        load_carry(e);
        return F_CF;
    }
    if (!(mask & F_CF) && t->noted_step) {
        load_step(e, t->noted_step);
        return F_ARITH & ~F_CF;
    }
    if (t->noted == FLAGS_IMAGE)
        flags_load_image(e);
    else
        flags_again(e, t->noted, HOST_T1);
    return mask == F_CF ? F_CF : F_ARITH;
}

void flags_need(struct translating *t, uint32_t mask)
{
    struct emitter *e = &t->e;
    const int32_t kind = CPU_AT(native.flags_kind);
    if (!(mask & ~t->host_flags))
        return;
    BUG_ON(!t->memory_flags);
    if (mask == F_CF)
        emit_alu_mem_imm(e, ALU_CMP, SIZE_32, HOST_CPU, kind, (int32_t)t->noted);
    else if (!(mask & F_CF) && t->noted_step)
        emit_alu_mem_imm(e, ALU_CMP, SIZE_32, HOST_CPU, kind + 4, (int32_t)t->noted_step);
    else
        emit_alu_mem_imm(e, ALU_CMP, SIZE_64, HOST_CPU, kind, (int32_t)t->noted);
    translate_slow(t, emit_jump_if(e, COND_NZ), SLOW_FLAGS);
    t->host_flags = load_noted(t, mask);
    translate_resume_here(t);
    t->delta = HOST_NONE;
}

void flags_note_image(struct translating *t)
{
    if (t->memory_flags && t->noted != FLAGS_IMAGE)
        flags_need(t, F_ARITH);
    if (t->host_flags == F_ARITH)
        note_image(t);
    else
        flags_note(t);
}

void flags_need_for_row(struct translating *t)
{
    if (!(t->facts[t->index] & FACT_MERGE_DEAD))
        flags_need(t, flags_read(t->insn));
}

void flags_produced(struct translating *t)
{
    if (!overwritten(t->insn))
        return;
    t->host_flags = F_ARITH;
    t->memory_flags = false;
}

bool flags_undefined_seen(const struct translating *t)
{
    return t->row->flags_undefined & F_SF && !row_merges_flags(t->insn) && t->facts[t->index];
}

void flags_before_undefined(struct translating *t)
{
    if (flags_undefined_seen(t))
        emit_alu(&t->e, ALU_CMP, SIZE_32, HOST_STACK, HOST_STACK);
}

bool flags_want_operands(const struct translating *t)
{
    return t->facts[t->index] & FACT_OBSERVED;
}

void flags_note_operands(struct translating *t, enum native_flags kind, unsigned a, unsigned b,
                         int32_t immediate)
{
    struct emitter *e = &t->e;
    const uint32_t form = kind | (uint32_t)t->insn->size << FLAGS_SIZE_SHIFT;
    emit_store(e, SIZE_64, HOST_CPU, CPU_AT(native.flags_a), a);
    if (b != OPERAND_NONE)
        emit_store(e, SIZE_64, HOST_CPU, CPU_AT(native.flags_b), b);
    else if (kind != FLAGS_LOGIC)
        emit_store_imm(e, SIZE_64, HOST_CPU, CPU_AT(native.flags_b), immediate);
    emit_store_imm(e, SIZE_64, HOST_CPU, CPU_AT(native.flags_kind), (int32_t)form);
    set_noted(t, form);
}

void flags_note_step(struct translating *t, enum native_step step, unsigned result)
{
    struct emitter *e = &t->e;
    uint32_t carry = t->host_flags & F_CF;
    t->host_flags = (F_ARITH & ~F_CF) | carry;
    if (carry && !t->memory_flags)
        return; /* EFLAGS has them all */
    emit_store(e, SIZE_64, HOST_CPU, CPU_AT(native.flags_step), result);
    t->noted_step = step | (uint32_t)t->insn->size << FLAGS_SIZE_SHIFT;
    emit_store_imm(e, SIZE_32, HOST_CPU, CPU_AT(native.flags_kind) + 4, (int32_t)t->noted_step);
    t->memory_flags = true;
}
