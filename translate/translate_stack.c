/* PUSH, POP, LEAVE: implicit accesses at the stack pointer, of flat stacks. */
#include "translate/translating.h"

static unsigned stack_segment(const struct translating *t)
{
    return t->code_64 ? SEG_FLAT_STACK : SS;
}

static unsigned stack_width(const struct translating *t)
{
    return t->code_64 ? SIZE_64 : SIZE_32;
}

/* T0 = host address of [rsp + offset] */
void stack_look_up(struct translating *t, int32_t offset, unsigned size, bool write,
                   enum slow_kind slow)
{
    const unsigned rsp = host_home(RSP);
    flags_before_clobber(t);
    if (offset)
        emit_lea(&t->e, stack_width(t), HOST_T0, AT((uint8_t)rsp, offset));
    else
        emit_mov(&t->e, stack_width(t), HOST_T0, rsp);
    memory_look_up(t, stack_segment(t), size, write, slow);
}

void stack_move(struct translating *t, int32_t by)
{
    const unsigned rsp = host_home(RSP);
    emit_lea(&t->e, stack_width(t), rsp, AT((uint8_t)rsp, by));
}

static bool push(struct translating *t)
{
    const struct insn *insn = t->insn;
    struct emitter *e = &t->e;
    const int32_t bytes = 1 << insn->size;
    if (insn->memory) {
        memory_operand(t, (unsigned)bytes, false);
        emit_load(e, insn->size, HOST_T1, HOST_T0, 0);
        emit_store(e, SIZE_64, HOST_CPU, CPU_AT(native.scratch[0]), HOST_T1);
    }
    stack_look_up(t, -bytes, (unsigned)bytes, true, SLOW_INTERP);
    switch (insn->row) {
    case OP_PUSH_Iz: case OP_PUSH_sIb:
        emit_store_imm(e, insn->size, HOST_T0, 0, (int32_t)insn->imm);
        break;
    case OP_PUSH_Ev:
        if (insn->memory) {
            emit_load(e, SIZE_64, HOST_T1, HOST_CPU, CPU_AT(native.scratch[0]));
            emit_store(e, insn->size, HOST_T0, 0, HOST_T1);
        } else {
            emit_store(e, insn->size, HOST_T0, 0, translate_read(t, insn->rm, HOST_T1));
        }
        break;
    default:
        emit_store(e, insn->size, HOST_T0, 0, translate_read(t, insn->reg, HOST_T1));
    }
    stack_move(t, -bytes);
    return true;
}

static bool pop(struct translating *t, unsigned guest)
{
    const unsigned size = t->insn->size;
    const int32_t bytes = 1 << size;
    stack_look_up(t, 0, (unsigned)bytes, false, SLOW_INTERP);
    unsigned home = host_home(guest), to = home == HOST_NONE ? HOST_T1 : home;
    if (home == HOST_NONE && size == SIZE_16)
        translate_read(t, guest, HOST_T1);
    stack_move(t, bytes); /* before the value: POP RSP */
    emit_load(&t->e, size, to, HOST_T0, 0);
    translate_written(t, guest, to);
    return true;
}

static bool leave(struct translating *t)
{
    const unsigned rsp = host_home(RSP), width = stack_width(t);
    const int32_t bytes = 1 << t->insn->size;
    if (t->insn->size != width)
        return false;
    flags_before_clobber(t);
    emit_mov(&t->e, width, HOST_T0, RBP);
    memory_look_up(t, stack_segment(t), (unsigned)bytes, false, SLOW_INTERP);
    emit_lea(&t->e, width, rsp, AT(RBP, bytes));
    emit_load(&t->e, width, RBP, HOST_T0, 0);
    return true;
}

bool translate_stack(struct translating *t)
{
    if (!t->flat)
        return false;
    switch (t->insn->row) {
    case OP_PUSH_Zv: case OP_PUSH_Iz: case OP_PUSH_sIb: case OP_PUSH_Ev:
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
