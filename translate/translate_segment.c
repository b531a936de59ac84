/* Segment registers in line.
 *
 * Reading and pushing one is a copy.  A load of DS, ES, FS or GS in flat 32-bit code goes by what
 * an earlier load of the same selector has left (struct segment_memo): if the table still goes so
 * far, the CPL may, and the descriptor, read again through the supervisor's view of the shadow, is
 * the same, the register becomes the same as then.  DS and ES have to stay flat, since the block's
 * mode says that they are; FS and GS may be null.  Every other case is the interpreter's
 * (cpu/segment.c). Sources: SDM 2B MOV, POP, PUSH; 3A §3.4.2-3.4.5.
 */
#include "translate/translating.h"

#define MEMO_AT(field) ((int32_t)offsetof(struct segment_memo, field))

/* --- the stub */

enum { MISSES_MAX = 8 };
struct misses {
    uint8_t *jumps[MISSES_MAX];
    unsigned count;
};

static void miss_if(struct emitter *e, struct misses *misses, unsigned condition)
{
    BUG_ON(misses->count == MISSES_MAX);
    misses->jumps[misses->count++] = emit_jump_if(e, condition);
}

/* T1 = the memo that a load of T0 would have left. */
static void emit_memo(struct emitter *e)
{
    _Static_assert(sizeof(struct segment_memo) == 64, "the index, times 8 in a selector, times 8");
    emit_mov(e, SIZE_32, HOST_T1, HOST_T0);
    emit_alu_imm(e, ALU_AND, SIZE_32, HOST_T1, (SEGMENT_MEMO_ENTRIES - 1) << 3);
    emit_shift_imm(e, 4, SIZE_32, HOST_T1, 3);
    emit_lea(e, SIZE_64, HOST_T1,
             (struct host_memory){HOST_CPU, HOST_T1, 0, CPU_AT(segment_memos)});
}

/* T0: the selector, T1: its memo.  RAX = the descriptor's linear address. */
static void emit_address(struct emitter *e, struct misses *misses)
{
    emit_mem(e, HOST_OP(MAP_1, 0x39, 0, SIZE_16), HOST_T0, AT(HOST_T1, MEMO_AT(segment.selector)));
    miss_if(e, misses, COND_NZ);
    emit_load(e, SIZE_64, RAX, HOST_CPU, CPU_AT(gdt.base));
    emit_alu_imm(e, ALU_OR, SIZE_32, HOST_T0, 7);
    emit_alu_load(e, ALU_CMP, SIZE_32, HOST_T0, HOST_CPU, CPU_AT(gdt.limit));
    miss_if(e, misses, COND_NBE);
    emit_lea(e, SIZE_64, RAX, (struct host_memory){RAX, HOST_T0, 0, -7});
}

/* RAX: a linear address.  Misses unless the descriptor there is the memo's. */
static void emit_compare(struct emitter *e, struct misses *misses)
{
    const int32_t view = (int32_t)(offsetof(struct shadow_space, views) +
                                   VIEW_SUPERVISOR * sizeof(struct shadow_view *));
    emit_load(e, SIZE_64, HOST_T0, HOST_CPU, CPU_AT(mmu.space));
    emit_alu_mem_imm(e, ALU_CMP, SIZE_64, HOST_T0, view, 0);
    miss_if(e, misses, COND_Z);
    misses->jumps[misses->count++] =
        memory_emit_look_up(e, RAX, RCX, AT(HOST_T0, view), sizeof(uint64_t), false);
    emit_load(e, SIZE_64, RAX, RAX, 0);
    emit_alu_load(e, ALU_CMP, SIZE_64, RAX, HOST_T1, MEMO_AT(raw));
    miss_if(e, misses, COND_NZ);
}

static void emit_copy(struct emitter *e, unsigned seg, size_t field)
{
    emit_load(e, SIZE_64, RAX, HOST_T1, (int32_t)(offsetof(struct segment_memo, segment) + field));
    emit_store(e, SIZE_64, HOST_CPU, cpu_segment_at(seg, field), RAX);
}

_Static_assert(offsetof(struct segment, selector) == offsetof(struct segment, limit) + 4 &&
                   offsetof(struct segment, attributes) == offsetof(struct segment, limit) + 6,
               "limit, selector and attributes are one quadword");

/* T0: a null selector, which FS or GS takes. */
static void emit_null(struct emitter *e, unsigned seg)
{
    emit_shift_imm(e, 4, SIZE_64, HOST_T0, 32);
    emit_store(e, SIZE_64, HOST_CPU, SEGMENT_AT(seg, limit), HOST_T0);
    emit_mov_imm(e, HOST_T0, 0);
    emit_store(e, SIZE_64, HOST_CPU, SEGMENT_AT(seg, base), HOST_T0);
    emit_store(e, SIZE_64, HOST_CPU, SEGMENT_AT(seg, read_end), HOST_T0);
    emit_store(e, SIZE_64, HOST_CPU, SEGMENT_AT(seg, write_end), HOST_T0);
}

/* Back with ZF as it is. */
static void emit_return(struct emitter *e)
{
    emit_opcode_reg(e, HOST_OP(MAP_1, 0x58, 0, SIZE_32), RCX); /* pop */
    emit_opcode_reg(e, HOST_OP(MAP_1, 0x58, 0, SIZE_32), RAX);
    emit_byte(e, 0xc3);
}

void translate_segment_stub(struct emitter *e, unsigned seg)
{
    const bool is_flat = seg == DS || seg == ES;
    struct misses misses = {.count = 0};
    emit_opcode_reg(e, HOST_OP(MAP_1, 0x50, 0, SIZE_32), RAX); /* push */
    emit_opcode_reg(e, HOST_OP(MAP_1, 0x50, 0, SIZE_32), RCX);
    uint8_t *null = NULL;
    if (!is_flat) {
        emit_reg(e, HOST_OP(MAP_1, 0xf7, 0, SIZE_32), 0, HOST_T0); /* test */
        emit_u32(e, 0xfffc);
        null = emit_jump_if(e, COND_Z);
    }
    emit_memo(e);
    emit_address(e, &misses);
    emit_load(e, SIZE_8, RCX, HOST_CPU, CPU_AT(cpl));
    emit_alu_load(e, ALU_CMP, SIZE_8, RCX, HOST_T1, MEMO_AT(cpl_max));
    miss_if(e, &misses, COND_NBE);
    if (is_flat) {
        emit_alu_mem_imm(e, ALU_CMP, SIZE_8, HOST_T1, MEMO_AT(flat), 0);
        miss_if(e, &misses, COND_Z);
    }
    emit_compare(e, &misses);
    emit_copy(e, seg, offsetof(struct segment, limit));
    if (!is_flat) { /* of DS and ES the rest is the same */
        emit_copy(e, seg, offsetof(struct segment, base));
        emit_copy(e, seg, offsetof(struct segment, read_end));
        emit_copy(e, seg, offsetof(struct segment, write_end));
    }
    uint8_t *loaded = emit_jump(e);
    if (null) {
        emit_jump_here(e, null);
        emit_null(e, seg);
    }
    emit_jump_here(e, loaded);
    emit_alu(e, ALU_CMP, SIZE_32, RAX, RAX); /* ZF */
    emit_return(e);
    for (unsigned i = 0; i < misses.count; i++)
        emit_jump_here(e, misses.jumps[i]);
    emit_reg(e, HOST_OP(MAP_1, 0x85, 0, SIZE_64), HOST_CPU, HOST_CPU); /* test: not 0 */
    emit_return(e);
}

/* --- the instructions */

/* T0: the selector. */
static void load_segment(struct translating *t, unsigned seg)
{
    emit_call_to(&t->e, t->translator->stub_segment[seg]);
    translate_slow(t, emit_jump_if(&t->e, COND_NZ), SLOW_INTERP);
    callout_count(t);
}

/* T0 = the word at T0 */
static void load_word(struct emitter *e)
{
    emit_mem(e, HOST_OP(MAP_0F, 0xb7, 0, SIZE_32), HOST_T0, AT(HOST_T0, 0)); /* movzx */
}

static bool move_to_segment(struct translating *t, unsigned seg)
{
    struct emitter *e = &t->e;
    if (!t->flat || t->code_64)
        return false;
    if (t->insn->memory) {
        memory_operand(t, 2, false);
        load_word(e);
    } else {
        flags_before_clobber(t);
        emit_reg(e, HOST_OP(MAP_0F, 0xb7, 0, SIZE_32), HOST_T0,
                 translate_read(t, t->insn->rm, HOST_T0)); /* movzx */
    }
    load_segment(t, seg);
    return true;
}

static bool pop_segment(struct translating *t, unsigned seg)
{
    const int32_t bytes = 1 << t->insn->size;
    if (!t->flat || t->code_64)
        return false;
    stack_look_up(t, 0, (unsigned)bytes, false, SLOW_INTERP);
    load_word(&t->e);
    load_segment(t, seg);
    stack_move(t, bytes);
    return true;
}

/* SDM 2B PUSH: of a wider slot, processors write only the selector's 16 bits. */
static bool push_segment(struct translating *t, unsigned seg)
{
    struct emitter *e = &t->e;
    const int32_t bytes = 1 << t->insn->size;
    if (!t->flat)
        return false;
    stack_look_up(t, -bytes, 2, true, SLOW_INTERP);
    emit_mem(e, HOST_OP(MAP_0F, 0xb7, 0, SIZE_32), HOST_T1,
             AT(HOST_CPU, SEGMENT_AT(seg, selector))); /* movzx */
    emit_store(e, SIZE_16, HOST_T0, 0, HOST_T1);
    stack_move(t, -bytes);
    callout_count(t);
    return true;
}

static bool read_segment(struct translating *t)
{
    struct emitter *e = &t->e;
    const struct insn *insn = t->insn;
    const unsigned seg = insn->modrm >> 3 & 7;
    if (seg > GS || insn->memory)
        return false;
    flags_before_clobber(t);
    emit_mem(e, HOST_OP(MAP_0F, 0xb7, 0, SIZE_32), HOST_T1,
             AT(HOST_CPU, SEGMENT_AT(seg, selector))); /* movzx */
    unsigned reg = translate_read(t, insn->rm, HOST_T0);
    emit_mov(e, insn->size == SIZE_16 ? SIZE_16 : SIZE_32, reg, HOST_T1);
    translate_written(t, insn->rm, reg);
    callout_count(t);
    return true;
}

bool translate_segment(struct translating *t)
{
    switch (t->insn->row) {
    case OP_MOV_EvSw:
        return read_segment(t);
    case OP_PUSH_ES:
        return push_segment(t, ES);
    case OP_PUSH_CS:
        return push_segment(t, CS);
    case OP_PUSH_SS:
        return push_segment(t, SS);
    case OP_PUSH_DS:
        return push_segment(t, DS);
    case OP_PUSH_FS:
        return push_segment(t, FS);
    case OP_PUSH_GS:
        return push_segment(t, GS);
    case OP_MOV_ESEw:
        return move_to_segment(t, ES);
    case OP_MOV_DSEw:
        return move_to_segment(t, DS);
    case OP_MOV_FSEw:
        return move_to_segment(t, FS);
    case OP_MOV_GSEw:
        return move_to_segment(t, GS);
    case OP_POP_ES:
        return pop_segment(t, ES);
    case OP_POP_DS:
        return pop_segment(t, DS);
    case OP_POP_FS:
        return pop_segment(t, FS);
    case OP_POP_GS:
        return pop_segment(t, GS);
    default:
        return false;
    }
}
