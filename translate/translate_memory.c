/* Guest addresses to host addresses: the soft tier, a look into the shadow in line.
 *
 *      mov  t1, t0                  t0: the linear address
 *      shr  t1, 7                   t1: the slot's entry,
 *      and  t1, 4095 * 32
 *      add  t1, [cpu->view]
 *      sub  t0, [t1 + tag]          the offset in the page, if the slot is this page's
 *      cmp  t0, 4096 - size         beyond: another page, a crossing access, a right that is not there
 *      ja   slow
 *      add  t0, [t1 + page]
 *
 * A second tier would have its sequence here, behind memory_look_up().
 */
#include "translate/translating.h"

enum { ENTRY_SHIFT = 5 };
_Static_assert(sizeof(struct shadow_entry) == 1 << ENTRY_SHIFT, "the slot's number becomes an offset by one shift");
_Static_assert(offsetof(struct shadow_view, entries) == 0, "the view is its entries' address");

/* Segments whose base is 0 and whose limit needs no check, as the block's mode says. */
static bool is_flat_segment(const struct translating *t, unsigned seg)
{
    return seg == SEG_FLAT || seg == SEG_FLAT_STACK ||
           (t->block->mode & MODE_FLAT && (seg == DS || seg == SS || seg == ES));
}

void memory_address(struct translating *t, unsigned to)
{
    struct emitter *e = &t->e;
    const struct insn *insn = t->insn;
    const unsigned width = insn->address == SIZE_64 ? SIZE_64 : SIZE_32;
    if (insn->rip) {
        const int64_t next = (int64_t)(t->block->gpa & PAGE_OFFSET_MASK) + insn->offset + insn->length;
        const int64_t offset = next + insn->disp;
        emit_load(e, SIZE_64, to, HOST_CPU, CPU_AT(native.code_page));
        if (offset == (int32_t)offset) {
            emit_lea(e, width, to, AT((uint8_t)to, (int32_t)offset));
        } else { /* a displacement near 2 GiB */
            emit_lea(e, SIZE_64, to, AT((uint8_t)to, insn->disp));
            emit_lea(e, width, to, AT((uint8_t)to, (int32_t)next));
        }
        return;
    }
    if (insn->row == OP_MOV_ALOb || insn->row == OP_MOV_ObAL || insn->row == OP_MOV_rAXOv ||
        insn->row == OP_MOV_OvrAX) {
        emit_mov_imm(e, to, insn->imm);
        return;
    }
    struct host_memory memory = {.index = HOST_NONE, .scale = insn->scale, .disp = insn->disp};
    if (insn->index != REG_ZERO)
        memory.index = (uint8_t)translate_read(t, insn->index, HOST_T1);
    if (insn->base != REG_ZERO) {
        memory.base = (uint8_t)translate_read(t, insn->base, to);
        if (memory.index == HOST_NONE && !memory.disp)
            emit_mov(e, width, to, memory.base);
        else
            emit_lea(e, width, to, memory);
    } else if (memory.index != HOST_NONE) {
        /* Without a base the encoding wants 32 bits of displacement: so does a base of 0. */
        emit_mov_imm(e, to, 0);
        memory.base = (uint8_t)to;
        emit_lea(e, width, to, memory);
    } else {
        emit_mov_imm(e, to, width == SIZE_64 ? (uint64_t)(int64_t)insn->disp : (uint32_t)insn->disp);
    }
    if (insn->address == SIZE_16)
        emit_reg(e, HOST_OP(MAP_0F, 0xb7, 0, SIZE_32), to, to); /* movzx */
}

/* T0 = base + T0, the offset's limit checked. */
static void add_segment(struct translating *t, unsigned seg, unsigned size, bool write,
                        enum slow_kind slow)
{
    struct emitter *e = &t->e;
    if (is_flat_segment(t, seg))
        return;
    if (!t->code_64) {
        emit_lea(e, SIZE_64, HOST_T1, AT(HOST_T0, (int32_t)size));
        emit_alu_load(e, ALU_CMP, SIZE_64, HOST_T1, HOST_CPU,
                      cpu_segment_at(seg, write ? offsetof(struct segment, write_end)
                                                : offsetof(struct segment, read_end)));
        translate_slow(t, emit_jump_if(e, COND_NBE), slow);
    }
    emit_alu_load(e, ALU_ADD, t->code_64 ? SIZE_64 : SIZE_32, HOST_T0, HOST_CPU,
                  cpu_segment_at(seg, offsetof(struct segment, base)));
}

void memory_look_up(struct translating *t, unsigned seg, unsigned size, bool write,
                    enum slow_kind slow)
{
    struct emitter *e = &t->e;
    const int32_t tag = write ? offsetof(struct shadow_entry, write_tag)
                              : offsetof(struct shadow_entry, read_tag);
    add_segment(t, seg, size, write, slow);
    emit_mov(e, SIZE_32, HOST_T1, HOST_T0);
    emit_shift_imm(e, 5, SIZE_32, HOST_T1, PAGE_SHIFT - ENTRY_SHIFT);
    emit_alu_imm(e, ALU_AND, SIZE_32, HOST_T1, (SHADOW_ENTRIES - 1) << ENTRY_SHIFT);
    emit_alu_load(e, ALU_ADD, SIZE_64, HOST_T1, HOST_CPU, CPU_AT(view));
    emit_alu_load(e, ALU_SUB, SIZE_64, HOST_T0, HOST_T1, tag);
    emit_alu_imm(e, ALU_CMP, SIZE_64, HOST_T0, (int32_t)(PAGE_BYTES - size));
    translate_slow(t, emit_jump_if(e, COND_NBE), slow);
    emit_alu_load(e, ALU_ADD, SIZE_64, HOST_T0, HOST_T1, offsetof(struct shadow_entry, page));
}

void memory_operand(struct translating *t, unsigned size, bool write)
{
    flags_before_clobber(t);
    memory_address(t, HOST_T0);
    memory_look_up(t, t->insn->seg, size, write, SLOW_INTERP);
}
