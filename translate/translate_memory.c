/* Guest addresses to host addresses.  The soft tier is a look into the shadow in line:
 *
 *      rorx t1, t0, 7               t0: the linear address
 *      and  t1, 4095 * 32           t1: the slot's entry,
 *      add  t1, [cpu->view]
 *      sub  t0, [t1 + tag]          the offset in the page, if the slot is this page's
 *      cmp  t0, 4096 - size         beyond: another page, a crossing access, a right that lacks
 *      ja   slow
 *      add  t0, [t1 + page]
 *
 * Code of a space that has windows (softmmu/window.h), user's and supervisor's apart, reaches its
 * data through them; the host's page tables are the shadow then, and a host SIGSEGV is the miss
 * (translate/window_fault.h).  EFLAGS stays, and the delta serves all further accesses by the same
 * base:
 *
 *      rorx t1, base, 32
 *      movzx t1, t1.w
 *      mov  t1, [cpu->window_deltas[view] + t1 * 8]
 *      …    [base + t1 + disp]
 *
 * RSP's delta is kept in cpu->native.stack_delta, so that the many accesses by it need but one
 * load.
 *
 * INV-1: between the place where an access may fault and the access itself nothing of the guest's
 *        state changes, EFLAGS among it unless the flags are noted.
 * INV-2: base + disp is less than half a window's guard away from the address that the delta is of.
 * INV-3: a delta is used again only as an instruction's first act, so that nothing of the same
 *        one's code can have destroyed it.
 * INV-4: the offset is cut to 32 bits outside 64-bit mode: no host address follows from more.
 * INV-5: in 64-bit code with windows stack_delta is that of RSP's window, or all steps that RSP has
 *        made out of there came with an access at it, of which the first in the guard has left for
 *        C: whoever comes from C, or from code without windows, notes it anew, and so does whatever
 *        else moves RSP.
 */
#include "translate/translating.h"

enum { ENTRY_SHIFT = 5 };
_Static_assert(sizeof(struct shadow_entry) == 1 << ENTRY_SHIFT,
               "the slot's number becomes an offset by one shift");
_Static_assert(offsetof(struct shadow_view, entries) == 0, "the view is its entries' address");

/* Segments whose base is 0 and whose limit needs no check, as the block's mode says. */
static bool is_flat_segment(const struct translating *t, unsigned seg)
{
    return seg == SEG_FLAT || seg == SEG_FLAT_STACK ||
           (t->block->mode & MODE_FLAT && (seg == DS || seg == SS || seg == ES));
}

void memory_address_as(struct translating *t, unsigned to, unsigned width)
{
    struct emitter *e = &t->e;
    const struct insn *insn = t->insn;
    if (insn->rip) {
        const int64_t next =
            (int64_t)(t->block->gpa & PAGE_OFFSET_MASK) + insn->offset + insn->length;
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
    struct host_memory memory = {HOST_NONE, HOST_NONE, insn->scale, insn->disp};
    if (insn->index != REG_ZERO)
        memory.index = (uint8_t)translate_read(t, insn->index, HOST_T1);
    if (insn->base != REG_ZERO)
        memory.base = (uint8_t)translate_read(t, insn->base, to);
    if (memory.base == HOST_NONE && memory.index == HOST_NONE)
        emit_mov_imm(e, to,
                     width == SIZE_64 ? (uint64_t)(int64_t)insn->disp : (uint32_t)insn->disp);
    else if (memory.index != HOST_NONE || memory.disp)
        emit_lea(e, width, to, memory);
    else if (memory.base != to || width == SIZE_32)
        emit_mov(e, width, to, memory.base);
    if (insn->address == SIZE_16)
        emit_reg(e, HOST_OP(MAP_0F, 0xb7, 0, SIZE_32), to, to); /* movzx */
}

void memory_address(struct translating *t, unsigned to)
{
    memory_address_as(t, to, t->insn->address == SIZE_64 ? SIZE_64 : SIZE_32);
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

/* --- the windows */

enum { DELTA_ANY = HOST_T0, NEAR_BYTES = 16 << 20 };

static bool is_near(int64_t distance)
{
    return distance > -NEAR_BYTES && distance < NEAR_BYTES;
}

/* An access that comes now may fault, and lead to `slow`. */
static void may_fault(struct translating *t, enum slow_kind slow)
{
    struct fault_site *site = &t->fault_sites[t->fault_count];
    if (!t->faults)
        *site = (struct fault_site){
            .from = t->e.at, .index = (uint8_t)t->index, .x87_note = t->x87_note};
    t->faults = true;
    site->kind = (uint8_t)slow;
    site->image |= !t->memory_flags;
}

static int32_t deltas_at(enum shadow_view_id view)
{
    return CPU_AT(native.window_deltas) +
           (int32_t)view * (int32_t)sizeof((struct cpu_native *)0)->window_deltas[0];
}

static enum shadow_view_id block_view(const struct translating *t)
{
    return t->block->mode & MODE_WINDOW_USER ? VIEW_USER : VIEW_SUPERVISOR;
}

/* to = the delta of the view's window that `reg` points into */
static void emit_delta_of(struct emitter *e, enum shadow_view_id view, unsigned to, unsigned reg)
{
    emit_upper_half(e, to, reg);
    emit_mem(e, OP_WIDE(0x8b), to, (struct host_memory){HOST_CPU, (uint8_t)to, 3, deltas_at(view)});
}

static void emit_delta(struct translating *t, unsigned reg)
{
    if (!t->code_64) /* there is but one window */
        emit_load(&t->e, SIZE_64, HOST_T1, HOST_CPU, deltas_at(block_view(t)));
    else if (reg == host_home(RSP))
        emit_load(&t->e, SIZE_64, HOST_T1, HOST_CPU, CPU_AT(native.stack_delta));
    else
        emit_delta_of(&t->e, block_view(t), HOST_T1, reg);
}

static void note_stack(struct emitter *e, enum shadow_view_id view)
{
    emit_delta_of(e, view, HOST_T0, host_home(RSP));
    emit_store(e, SIZE_64, HOST_CPU, CPU_AT(native.stack_delta), HOST_T0);
}

void memory_note_stack(struct translating *t)
{
    note_stack(&t->e, block_view(t));
}

void memory_note_stack_anew(struct emitter *e)
{
    emit_alu_mem_imm(e, ALU_CMP, SIZE_8, HOST_CPU, CPU_AT(cpl), 3);
    uint8_t *supervisor = emit_jump_if(e, COND_NZ);
    note_stack(e, VIEW_USER);
    uint8_t *done = emit_jump(e);
    emit_jump_here(e, supervisor);
    note_stack(e, VIEW_SUPERVISOR);
    emit_jump_here(e, done);
}

/* Does the operand name RSP? */
static bool is_stack_pointer(const struct insn *insn, unsigned operand)
{
    switch (operand) {
    case O_Eb:
        return !insn->memory && insn->rm >> 3 == RSP;
    case O_Ew:
    case O_Ed:
    case O_Eq:
    case O_Ev:
    case O_Ey:
    case O_Rv:
    case O_Ry:
    case O_EwRv:
    case O_EbRd:
        return !insn->memory && insn->rm == RSP;
    case O_Gb:
    case O_Zb:
        return insn->reg >> 3 == RSP;
    case O_Gw:
    case O_Gd:
    case O_Gq:
    case O_Gv:
    case O_Gy:
    case O_Zv:
        return insn->reg == RSP;
    case O_By:
        return insn->vex.vvvv == RSP;
    default:
        return false;
    }
}

/* Of the rows that are copied without a VEX prefix, all but these write operand 1 at most. */
static bool writes_first_at_most(const struct opcode_row *row)
{
    const bool exchanges = row->map == MAP_1 ? row->opcode == 0x86 || row->opcode == 0x87
                                             : row->opcode == 0xc0 || row->opcode == 0xc1;
    return (row->map == MAP_1 || row->map == MAP_0F) && !exchanges &&
           (row->policy_register == IDENTICAL || row->policy_memory == MEMORY ||
            row->policy_memory == IDENTICAL);
}

static bool may_write_stack_pointer(const struct translating *t)
{
    const struct opcode_row *row = t->row;
    const bool first_at_most = writes_first_at_most(row);
    if (first_at_most && !(row->attributes & A_WRITES_OP1))
        return false;
    for (unsigned i = 0; i < (first_at_most ? 1 : ARRAY_LENGTH(row->operand)); i++)
        if (is_stack_pointer(t->insn, row->operand[i]))
            return true;
    return false;
}

void memory_follow_stack(struct translating *t)
{
    if (!t->code_64 || !(t->block->mode & MODE_WINDOW) || t->ended)
        return;
    const bool steps = t->window && t->insn->row != OP_LEAVE; /* with an access there */
    if ((t->row->attributes & A_STACK && !steps) || may_write_stack_pointer(t)) {
        memory_note_stack(t);
        t->held_next = REG_ZERO;
    }
}

/* T1 = the delta of the window that host register `reg` points into. */
static void load_delta(struct translating *t, unsigned reg)
{
    const unsigned key = t->code_64 ? reg : DELTA_ANY;
    if (t->delta != key || !translate_untouched(t))
        emit_delta(t, reg);
    t->delta = t->code_64 && reg == HOST_T0 ? HOST_NONE : key;
}

void memory_restore_delta(struct translating *t, unsigned delta)
{
    if (delta != HOST_NONE)
        emit_delta(t, delta);
}

void memory_keep_delta(struct translating *t, unsigned written, int64_t change)
{
    t->delta_next = written == t->delta && !is_near(change) ? HOST_NONE : t->delta;
}

/* [reg + offset], flat, in its window.  WHY: outside 64-bit mode the upper half of `reg` is
 * whatever 64-bit code has left there. */
static struct host_memory window_at(struct translating *t, unsigned reg, int32_t offset)
{
    load_delta(t, reg);
    if (t->code_64)
        return (struct host_memory){(uint8_t)reg, HOST_T1, 0, offset};
    emit_lea(&t->e, SIZE_32, HOST_T0, AT((uint8_t)reg, offset));
    return (struct host_memory){HOST_T0, HOST_T1, 0, 0};
}

/* Is the operand's address near one register's value? */
static bool has_plain_base(const struct translating *t)
{
    const struct insn *insn = t->insn;
    return !insn->rip && insn->base != REG_ZERO && insn->index == REG_ZERO && is_near(insn->disp) &&
           insn->address == (t->code_64 ? SIZE_64 : SIZE_32);
}

bool memory_keeps_flags(const struct translating *t)
{
    return t->window &&
           (t->code_64 || is_flat_segment(t, t->insn->seg)); /* no limit to compare with */
}

/* The ModRM operand in its window; EFLAGS stays. */
static struct host_memory operand_in_window(struct translating *t)
{
    struct emitter *e = &t->e;
    const struct insn *insn = t->insn;
    const bool flat = is_flat_segment(t, insn->seg);
    if (flat && has_plain_base(t))
        return window_at(t, translate_read(t, insn->base, HOST_T0), insn->disp);
    memory_address(t, HOST_T0);
    if (!flat) {
        emit_load(e, SIZE_64, HOST_T1, HOST_CPU,
                  cpu_segment_at(insn->seg, offsetof(struct segment, base)));
        emit_lea(e, SIZE_64, HOST_T0, (struct host_memory){HOST_T0, HOST_T1, 0, 0});
        t->delta = HOST_NONE;
    }
    load_delta(t, HOST_T0);
    return (struct host_memory){HOST_T0, HOST_T1, 0, 0};
}

struct host_memory memory_at(struct translating *t, unsigned size, bool write)
{
    if (!memory_keeps_flags(t)) {
        memory_operand(t, size, write);
        return AT(HOST_T0, 0);
    }
    const struct host_memory at = operand_in_window(t);
    may_fault(t, SLOW_INTERP);
    return at;
}

bool memory_near(struct translating *t, struct host_memory *at)
{
    if (!memory_keeps_flags(t))
        return false;
    *at = operand_in_window(t);
    return true;
}

struct host_memory memory_at_flat(struct translating *t, unsigned reg, int32_t offset,
                                  unsigned size, bool write, enum slow_kind slow)
{
    const unsigned width = t->code_64 ? SIZE_64 : SIZE_32;
    if (t->window && is_near(offset)) {
        const struct host_memory at = window_at(t, reg, offset);
        may_fault(t, slow);
        return at;
    }
    flags_before_clobber(t);
    if (offset)
        emit_lea(&t->e, width, HOST_T0, AT((uint8_t)reg, offset));
    else
        emit_mov(&t->e, width, HOST_T0, reg);
    memory_look_up(t, t->code_64 ? SEG_FLAT_STACK : SS, size, write, slow);
    return AT(HOST_T0, 0);
}

/* --- either */

uint8_t *memory_emit_look_up(struct emitter *e, unsigned address, unsigned entry,
                             struct host_memory view, unsigned size, bool write)
{
    const int32_t tag =
        write ? offsetof(struct shadow_entry, write_tag) : offsetof(struct shadow_entry, read_tag);
    emit_moved_right(e, SIZE_32, entry, address, PAGE_SHIFT - ENTRY_SHIFT);
    emit_alu_imm(e, ALU_AND, SIZE_32, entry, (SHADOW_ENTRIES - 1) << ENTRY_SHIFT);
    emit_alu_load(e, ALU_ADD, SIZE_64, entry, view.base, view.disp);
    emit_alu_load(e, ALU_SUB, SIZE_64, address, entry, tag);
    emit_alu_imm(e, ALU_CMP, SIZE_64, address, (int32_t)(PAGE_BYTES - size));
    uint8_t *other = emit_jump_if(e, COND_NBE);
    emit_alu_load(e, ALU_ADD, SIZE_64, address, entry, offsetof(struct shadow_entry, page));
    return other;
}

void memory_look_up(struct translating *t, unsigned seg, unsigned size, bool write,
                    enum slow_kind slow)
{
    struct emitter *e = &t->e;
    add_segment(t, seg, size, write, slow);
    if (t->window) {
        load_delta(t, HOST_T0);
        emit_lea(e, SIZE_64, HOST_T0, (struct host_memory){HOST_T0, HOST_T1, 0, 0});
        may_fault(t, slow);
        return;
    }
    t->delta = HOST_NONE;
    translate_slow(
        t, memory_emit_look_up(e, HOST_T0, HOST_T1, AT(HOST_CPU, CPU_AT(view)), size, write), slow);
}

void memory_operand(struct translating *t, unsigned size, bool write)
{
    flags_before_clobber(t);
    memory_address(t, HOST_T0);
    memory_look_up(t, t->insn->seg, size, write, SLOW_INTERP);
}
