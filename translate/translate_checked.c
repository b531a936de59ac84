/* Instructions that the table leaves to the interpreter, whose common case is worth a copy after a
 * check: division that cannot fault, bit tests in memory, CMPXCHG8B and CMPXCHG16B.
 *
 * Sources: SDM 2A DIV, IDIV, BT, CMPXCHG8B/CMPXCHG16B.
 */
#include "translate/translating.h"

/* The divisor: in T0, if it comes from memory or from no register at home. */
static unsigned divisor(struct translating *t)
{
    const struct insn *insn = t->insn;
    if (!insn->memory)
        return translate_read(t, insn->rm, HOST_T0);
    memory_operand(t, 1u << insn->size, false);
    emit_load(&t->e, insn->size, HOST_T0, HOST_T0, 0);
    return HOST_T0;
}

/* Flags are undefined after a division: they stay what they were, in memory. */
static void emit_divide(struct translating *t, unsigned digit, unsigned by)
{
    emit_reg(&t->e, HOST_OP(MAP_1, 0xf7, 0, t->insn->size), digit, by);
}

/* The quotient fits, and the divisor is not 0, if the dividend's upper half is below the divisor.
 * */
static bool divide_unsigned(struct translating *t)
{
    flags_before_clobber(t);
    unsigned by = divisor(t);
    emit_alu(&t->e, ALU_CMP, t->insn->size, RDX, by);
    translate_slow(t, emit_jump_if(&t->e, COND_NB), SLOW_INTERP);
    emit_divide(t, 6, by);
    return true;
}

/* It fits if the dividend is a sign-extended lower half, and the divisor neither 0 nor -1. */
static bool divide_signed(struct translating *t)
{
    struct emitter *e = &t->e;
    const unsigned size = t->insn->size;
    if (size == SIZE_16)
        return false;
    flags_before_clobber(t);
    unsigned by = divisor(t);
    emit_mov(e, size, HOST_T1, RAX);
    emit_shift_imm(e, 7, size, HOST_T1, size == SIZE_64 ? 63 : 31);
    emit_alu(e, ALU_CMP, size, HOST_T1, RDX);
    translate_slow(t, emit_jump_if(e, COND_NZ), SLOW_INTERP);
    emit_lea(e, size, HOST_T1, AT((uint8_t)by, 1));
    emit_alu_imm(e, ALU_CMP, size, HOST_T1, 1);
    translate_slow(t, emit_jump_if(e, COND_BE), SLOW_INTERP);
    emit_divide(t, 7, by);
    return true;
}

/* The bit's number is signed, and reaches beyond the operand: T0 += its part above the operand. */
static void add_bit_offset(struct translating *t, unsigned number)
{
    struct emitter *e = &t->e;
    const unsigned size = t->insn->size, address = t->insn->address;
    if (size == SIZE_32)
        emit_reg(e, HOST_OP(MAP_1, 0x63, 0, SIZE_64), HOST_T1, number); /* movsxd */
    else if (number != HOST_T1)
        emit_mov(e, SIZE_64, HOST_T1, number);
    emit_shift_imm(e, 7, SIZE_64, HOST_T1, size == SIZE_64 ? 6 : 5);
    emit_lea(e, address == SIZE_64 ? SIZE_64 : SIZE_32, HOST_T0,
             (struct host_memory){HOST_T0, HOST_T1, (uint8_t)size, 0});
}

static bool test_bit(struct translating *t)
{
    struct emitter *e = &t->e;
    const struct insn *insn = t->insn;
    const unsigned number = host_home(insn->reg), size = insn->size;
    const bool changes = t->row->attributes & A_WRITES_OP1;
    if (!insn->memory || translate_locks(t) || number == HOST_NONE || size == SIZE_16 ||
        insn->address == SIZE_16)
        return false;
    flags_before_clobber(t);
    memory_address(t, HOST_T0);
    add_bit_offset(t, number);
    memory_look_up(t, insn->seg, 1u << size, changes, SLOW_INTERP);
    flags_need_for_row(t);
    unsigned value = changes ? HOST_T1 : HOST_T0;
    emit_load(e, size, value, HOST_T0, 0);
    emit_reg(e, HOST_OP(MAP_0F, t->row->opcode, 0, (uint8_t)size), number, value);
    if (changes)
        emit_store(e, size, HOST_T0, 0, value);
    flags_produced(t);
    return true;
}

static bool compare_exchange(struct translating *t)
{
    struct emitter *e = &t->e;
    const struct insn *insn = t->insn;
    const bool wide = insn->size == SIZE_64;
    if (wide && !feature_has(&t->cpu->model->features, FEAT_CX16))
        return false;
    memory_operand(t, wide ? 16 : 8, true);
    if (wide) {
        emit_reg(e, HOST_OP(MAP_1, 0xf6, 0, SIZE_8), 0, HOST_T0); /* test */
        emit_byte(e, 15);
        translate_slow(t, emit_jump_if(e, COND_NZ), SLOW_INTERP);
    }
    flags_need_for_row(t);
    emit_mem(e, HOST_OP(MAP_0F, 0xc7, 0, wide ? SIZE_64 : SIZE_32, translate_locks(t)), 1,
             AT(HOST_T0, 0));
    flags_produced(t);
    return true;
}

/* CLD and STD: DF is in cpu->eflags. */
static bool set_direction(struct translating *t, bool down)
{
    flags_before_clobber(t);
    emit_alu_mem_imm(&t->e, down ? ALU_OR : ALU_AND, SIZE_32, HOST_CPU, CPU_AT(eflags),
                     down ? F_DF : ~F_DF);
    return true;
}

bool translate_checked(struct translating *t)
{
    switch (t->insn->row) {
    case OP_CLD:
        return set_direction(t, false);
    case OP_STD:
        return set_direction(t, true);
    case OP_DIV_Ev:
        return divide_unsigned(t);
    case OP_IDIV_Ev:
        return divide_signed(t);
    case OP_BT_EvGv:
    case OP_BTS_EvGv:
    case OP_BTR_EvGv:
    case OP_BTC_EvGv:
        return test_bit(t);
    case OP_CMPXCHG8B_Mq:
        return compare_exchange(t);
    default:
        return translate_string(t);
    }
}
