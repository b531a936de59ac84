/* Sensitive instructions that run often have their common case in line; for every other case the
 * callout is the interpreter's handler.
 *
 * What is common: STI, CLI, PUSHF and POPF outside of virtual-8086 mode, at a privilege that may
 * use them, with nothing that wants attention; SWAPGS at CPL 0.
 * Sources: SDM 2A, 2B under their names.
 */
#include "translate/translating.h"

void callout_count(struct translating *t)
{
    emit_alu_mem_imm(&t->e, ALU_ADD, SIZE_64, HOST_CPU,
                     CPU_AT(callouts) + (int32_t)(t->insn->row * sizeof(uint64_t)), 1);
}

/* Leaves for `slow` unless CPL <= IOPL.  Destroys T0, T1 and EFLAGS. */
static void require_iopl(struct translating *t, enum slow_kind slow)
{
    struct emitter *e = &t->e;
    emit_load(e, SIZE_32, HOST_T0, HOST_CPU, CPU_AT(eflags));
    emit_shift_imm(e, 5, SIZE_32, HOST_T0, 12);
    emit_alu_imm(e, ALU_AND, SIZE_32, HOST_T0, 3);
    emit_alu_load(e, ALU_CMP, SIZE_8, HOST_T0, HOST_CPU, CPU_AT(cpl));
    translate_slow(t, emit_jump_if(e, COND_B), slow);
}

static bool cli(struct translating *t)
{
    struct emitter *e = &t->e;
    flags_before_clobber(t);
    emit_alu_mem_imm(e, ALU_CMP, SIZE_32, HOST_CPU, CPU_AT(attention), 0);
    translate_slow(t, emit_jump_if(e, COND_NZ), SLOW_INTERP);
    require_iopl(t, SLOW_INTERP);
    emit_alu_mem_imm(e, ALU_AND, SIZE_32, HOST_CPU, CPU_AT(eflags), ~F_IF);
    callout_count(t);
    return true;
}

/* SDM: no interrupt is taken before the instruction after STI, if that sets IF: the link goes past
 * the poll. */
static bool sti(struct translating *t)
{
    struct emitter *e = &t->e;
    flags_before_clobber(t);
    emit_alu_mem_imm(e, ALU_CMP, SIZE_32, HOST_CPU, CPU_AT(lines), 0);
    translate_slow(t, emit_jump_if(e, COND_NZ), SLOW_INSN);
    require_iopl(t, SLOW_INSN);
    emit_mem(e, HOST_OP(MAP_1, 0xf7, 0, SIZE_32), 0, AT(HOST_CPU, CPU_AT(eflags))); /* test */
    emit_u32(e, F_IF);
    translate_slow(t, emit_jump_if(e, COND_NZ), SLOW_INSN);
    emit_alu_mem_imm(e, ALU_OR, SIZE_32, HOST_CPU, CPU_AT(eflags), F_IF);
    callout_count(t);
    translate_next_block(t, true);
    return true;
}

void callout_compose_flags(struct translating *t)
{
    struct emitter *e = &t->e;
    flags_note_image(t);
    emit_alu_mem_imm(e, ALU_CMP, SIZE_64, HOST_CPU, CPU_AT(native.flags_kind), FLAGS_IMAGE);
    t->host_flags = 0;
    translate_slow(t, emit_jump_if(e, COND_NZ), SLOW_IMAGE);
    emit_mem(e, HOST_OP(MAP_0F, 0xb6, 0, SIZE_32), HOST_T0,
             AT(HOST_CPU, CPU_AT(native.flags_a))); /* OF */
    emit_shift_imm(e, 4, SIZE_32, HOST_T0, 11);
    emit_mem(e, HOST_OP(MAP_0F, 0xb6, 0, SIZE_32), HOST_T1,
             AT(HOST_CPU, CPU_AT(native.flags_a) + 1)); /* the others, as LAHF gives them */
    emit_alu_imm(e, ALU_AND, SIZE_32, HOST_T1, F_ARITH & ~F_OF);
    emit_alu(e, ALU_OR, SIZE_32, HOST_T0, HOST_T1);
    emit_alu_load(e, ALU_OR, SIZE_32, HOST_T0, HOST_CPU, CPU_AT(eflags));
    emit_alu_imm(e, ALU_AND, SIZE_32, HOST_T0, ~(F_RF | F_VM));
    emit_store(e, SIZE_64, HOST_CPU, CPU_AT(native.scratch[0]), HOST_T0);
}

void callout_flags_to_image(struct translating *t)
{
    struct emitter *e = &t->e;
    emit_mov(e, SIZE_32, HOST_T1, HOST_T0);
    emit_shift_imm(e, 4, SIZE_32, HOST_T1, 8); /* where LAHF puts them */
    emit_shift_imm(e, 5, SIZE_32, HOST_T0, 11);
    emit_alu_imm(e, ALU_AND, SIZE_32, HOST_T0, 1); /* OF */
    emit_alu_imm(e, ALU_AND, SIZE_32, HOST_T1, (F_ARITH & ~F_OF) << 8);
    emit_alu(e, ALU_OR, SIZE_32, HOST_T0, HOST_T1);
    emit_store(e, SIZE_64, HOST_CPU, CPU_AT(native.flags_a), HOST_T0);
    emit_store_imm(e, SIZE_64, HOST_CPU, CPU_AT(native.flags_kind), FLAGS_IMAGE);
    t->memory_flags = true;
    t->host_flags = 0;
}

static bool pushf(struct translating *t)
{
    struct emitter *e = &t->e;
    const unsigned size = t->insn->size;
    const int32_t bytes = 1 << size;
    if (!t->flat)
        return false;
    callout_compose_flags(t);
    stack_look_up(t, -bytes, (unsigned)bytes, true, SLOW_INTERP);
    emit_load(e, SIZE_64, HOST_T1, HOST_CPU, CPU_AT(native.scratch[0]));
    emit_store(e, size, HOST_T0, 0, HOST_T1);
    stack_move(t, -bytes);
    callout_count(t);
    return true;
}

/* Only the arithmetic flags, IF and DF may change, and IF only with nothing waiting for it. */
static bool popf(struct translating *t)
{
    struct emitter *e = &t->e;
    const unsigned size = t->insn->size;
    const int32_t bytes = 1 << size;
    const int32_t simple = F_ARITH | F_IF | F_DF | 0x28 | 2; /* and bits that are always 0 or 1 */
    if (size == SIZE_16)
        return false;
    stack_look_up(t, 0, (unsigned)bytes, false, SLOW_INSN);
    emit_load(e, SIZE_32, HOST_T0, HOST_T0, 0);
    emit_store(e, SIZE_64, HOST_CPU, CPU_AT(native.scratch[0]), HOST_T0);
    emit_alu_load(e, ALU_XOR, SIZE_32, HOST_T0, HOST_CPU, CPU_AT(eflags));
    emit_reg(e, HOST_OP(MAP_1, 0xf7, 0, SIZE_32), 0, HOST_T0); /* test */
    emit_u32(e, (uint32_t)~simple);
    translate_slow(t, emit_jump_if(e, COND_NZ), SLOW_INSN);
    emit_alu_mem_imm(e, ALU_CMP, SIZE_32, HOST_CPU, CPU_AT(lines), 0);
    translate_slow(t, emit_jump_if(e, COND_NZ), SLOW_INSN);
    require_iopl(t, SLOW_INSN);

    emit_load(e, SIZE_32, HOST_T0, HOST_CPU, CPU_AT(native.scratch[0]));
    emit_mov(e, SIZE_32, HOST_T1, HOST_T0);
    emit_alu_imm(e, ALU_AND, SIZE_32, HOST_T1, F_IF | F_DF);
    emit_alu_mem_imm(e, ALU_AND, SIZE_32, HOST_CPU, CPU_AT(eflags), ~(F_IF | F_DF));
    emit_mem(e, HOST_OP(MAP_1, 0x09, 0, SIZE_32), HOST_T1, AT(HOST_CPU, CPU_AT(eflags)));
    callout_flags_to_image(t);
    stack_move(t, bytes);
    callout_count(t);
    translate_next_block(t, false);
    return true;
}

static bool swapgs(struct translating *t)
{
    struct emitter *e = &t->e;
    const int32_t base = cpu_segment_at(GS, offsetof(struct segment, base));
    flags_before_clobber(t);
    emit_alu_mem_imm(e, ALU_CMP, SIZE_8, HOST_CPU, CPU_AT(cpl), 0);
    translate_slow(t, emit_jump_if(e, COND_NZ), SLOW_INTERP);
    emit_load(e, SIZE_64, HOST_T0, HOST_CPU, base);
    emit_load(e, SIZE_64, HOST_T1, HOST_CPU, CPU_AT(msr.kernel_gs_base));
    emit_store(e, SIZE_64, HOST_CPU, CPU_AT(msr.kernel_gs_base), HOST_T0);
    emit_store(e, SIZE_64, HOST_CPU, base, HOST_T1);
    callout_count(t);
    return true;
}

bool translate_callout(struct translating *t)
{
    const bool may_be_virtual = !t->flat; /* VME's and real mode's variants */
    switch (t->insn->row) {
    case OP_CLI:
        return !may_be_virtual && cli(t);
    case OP_STI:
        return !may_be_virtual && sti(t);
    case OP_PUSHF:
        return !may_be_virtual && pushf(t);
    case OP_POPF:
        return !may_be_virtual && popf(t);
    case OP_SWAPGS:
        return swapgs(t);
    default:
        return translate_segment(t) || translate_system(t);
    }
}
