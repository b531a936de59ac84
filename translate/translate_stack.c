/* PUSH, POP, LEAVE: implicit accesses at the stack pointer, of flat stacks. */
#include "translate/translating.h"

static unsigned stack_width(const struct translating *t)
{
    return t->code_64 ? SIZE_64 : SIZE_32;
}

struct host_memory stack_at(struct translating *t, int32_t offset, unsigned size, bool write,
                            enum slow_kind slow)
{
    return memory_at_flat(t, host_home(RSP), offset, size, write, slow);
}

void stack_look_up(struct translating *t, int32_t offset, unsigned size, bool write,
                   enum slow_kind slow)
{
    flags_before_clobber(t);
    const struct host_memory at = stack_at(t, offset, size, write, slow);
    if (at.index != HOST_NONE)
        emit_lea(&t->e, SIZE_64, HOST_T0, at);
}

void stack_move(struct translating *t, int32_t by)
{
    const unsigned rsp = host_home(RSP);
    emit_lea(&t->e, stack_width(t), rsp, AT((uint8_t)rsp, by));
    if (t->row->attributes & (A_BRANCH | A_END) && !t->window && t->code_64 &&
        t->block->mode & MODE_WINDOW)
        memory_note_stack(t);
}

/* Stores what PUSH pushes, when it does not come from memory. */
static bool push_operand(struct translating *t, unsigned guest)
{
    const struct insn *insn = t->insn;
    const int32_t bytes = 1 << insn->size;
    const bool at_home = host_home(guest) != HOST_NONE;
    struct host_memory at = stack_at(t, -bytes, (unsigned)bytes, true, SLOW_INTERP);
    if (!at_home && t->window) { /* T0 is free */
        emit_load(&t->e, SIZE_64, HOST_T0, HOST_CPU, cpu_reg_at(guest));
        emit_mem(&t->e, HOST_OP(MAP_1, 0x89, 0, insn->size), HOST_T0, at);
    } else {
        emit_mem(&t->e, HOST_OP(MAP_1, 0x89, 0, insn->size), translate_read(t, guest, HOST_T1), at);
    }
    stack_move(t, -bytes);
    memory_keep_delta(t, host_home(RSP), -bytes);
    return true;
}

static bool push_immediate(struct translating *t)
{
    const struct insn *insn = t->insn;
    const int32_t bytes = 1 << insn->size;
    emit_store_imm_at(&t->e, insn->size, stack_at(t, -bytes, (unsigned)bytes, true, SLOW_INTERP),
                      (int32_t)insn->imm);
    stack_move(t, -bytes);
    memory_keep_delta(t, host_home(RSP), -bytes);
    return true;
}

static bool push_memory(struct translating *t)
{
    struct emitter *e = &t->e;
    const struct insn *insn = t->insn;
    const int32_t bytes = 1 << insn->size;
    const struct host_op load = HOST_OP(MAP_1, 0x8b, 0, insn->size);
    const struct host_op store = HOST_OP(MAP_1, 0x89, 0, insn->size);
    const struct host_memory from = memory_at(t, (unsigned)bytes, false);
    if (t->window && t->code_64) { /* the stack's place leaves T0 alone */
        emit_mem(e, load, HOST_T0, from);
        emit_mem(e, store, HOST_T0, stack_at(t, -bytes, (unsigned)bytes, true, SLOW_INTERP));
        stack_move(t, -bytes);
        memory_keep_delta(t, host_home(RSP), -bytes);
        return true;
    }
    emit_mem(e, load, HOST_T1, from);
    emit_store(e, SIZE_64, HOST_CPU, CPU_AT(native.scratch[0]), HOST_T1);
    t->delta = HOST_NONE;
    stack_look_up(t, -bytes, (unsigned)bytes, true, SLOW_INTERP);
    emit_load(e, SIZE_64, HOST_T1, HOST_CPU, CPU_AT(native.scratch[0]));
    emit_store(e, insn->size, HOST_T0, 0, HOST_T1);
    stack_move(t, -bytes);
    return true;
}

static bool push(struct translating *t)
{
    const struct insn *insn = t->insn;
    switch (insn->row) {
    case OP_PUSH_Iz:
    case OP_PUSH_sIb:
        return push_immediate(t);
    case OP_PUSH_Ev:
        return insn->memory ? push_memory(t) : push_operand(t, insn->rm);
    default:
        return push_operand(t, insn->reg);
    }
}

/* Nothing changes before the load, which may fault. */
static bool pop(struct translating *t, unsigned guest)
{
    struct emitter *e = &t->e;
    const unsigned size = t->insn->size, home = host_home(guest);
    const int32_t bytes = 1 << size;
    const struct host_op load = HOST_OP(MAP_1, 0x8b, 0, (uint8_t)size);
    const struct host_memory at = stack_at(t, 0, (unsigned)bytes, false, SLOW_INTERP);
    if (home != HOST_NONE && guest != RSP) {
        emit_mem(e, load, home, at);
        stack_move(t, bytes);
        memory_keep_delta(t, host_home(RSP), bytes);
        return true;
    }
    emit_mem(e, load, HOST_T0, at);
    stack_move(t, bytes); /* before the value: POP RSP */
    const unsigned to = size == SIZE_16 ? translate_read(t, guest, HOST_T1) : HOST_T0;
    if (guest == RSP || size == SIZE_16)
        emit_mov(e, size, guest == RSP ? home : to, HOST_T0);
    if (guest == RSP)
        return true;
    translate_written(t, guest, to);
    if (to != HOST_T1)
        memory_keep_delta(t, host_home(RSP), bytes);
    return true;
}

static bool leave(struct translating *t)
{
    const unsigned rsp = host_home(RSP), width = stack_width(t);
    const int32_t bytes = 1 << t->insn->size;
    if (t->insn->size != width)
        return false;
    const struct host_memory at = memory_at_flat(t, RBP, 0, (unsigned)bytes, false, SLOW_INTERP);
    emit_mem(&t->e, HOST_OP(MAP_1, 0x8b, 0, (uint8_t)width), HOST_T0, at);
    emit_lea(&t->e, width, rsp, AT(RBP, bytes));
    emit_mov(&t->e, width, RBP, HOST_T0);
    return true;
}

bool translate_stack(struct translating *t)
{
    if (!t->flat)
        return false;
    switch (t->insn->row) {
    case OP_PUSH_Zv:
    case OP_PUSH_Iz:
    case OP_PUSH_sIb:
    case OP_PUSH_Ev:
        return push(t);
    case OP_POP_Zv:
        return pop(t, t->insn->reg);
    case OP_POP_Ev:
        return !t->insn->memory && pop(t, t->insn->rm);
    case OP_LEAVE:
        return leave(t);
    default:
        return false;
    }
}
