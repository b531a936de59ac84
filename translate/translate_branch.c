/* Branches: direct ones are links, indirect ones look into the jump cache in line.
 *
 * A link within the page is a jump that is patched once the target is translated.  Before a link to
 * another page a guard asks whether the target is still there: this page's address and the fetch
 * context must be those for which that was last seen.  What is not (yet) known goes through the run
 * loop.
 */
#include "translate/translating.h"

static unsigned width(const struct translating *t)
{
    return t->code_64 ? SIZE_64 : SIZE_32;
}

/* Offset of the instruction's end from code_page. */
static int64_t offset_after(const struct translating *t)
{
    return (int64_t)(t->block->gpa & PAGE_OFFSET_MASK) + t->insn->offset + t->insn->length;
}

/* --- leaving */

void translate_leave_by(struct translating *t, uint8_t *jump, unsigned number)
{
    if (t->leave_count == LEAVES_MAX) {
        t->full = true;
        return;
    }
    t->leaves[t->leave_count++] = (struct leave){.jump = jump, .number = (uint8_t)number};
}

void translate_leave(struct translating *t, unsigned number)
{
    emit_mov_imm(&t->e, HOST_T0, place_in(t->translator, t->translation, number));
    emit_jump_to(&t->e, t->translator->stub_exit);
}

/* --- contexts */

struct contexts {
    int32_t likely, other; /* in struct cpu */
};

/* WHY: a kernel's pages are global, a program's are not. */
static struct contexts contexts_of(const struct translating *t)
{
    const struct contexts kernel = {CPU_AT(global_context), CPU_AT(fetch_context)};
    const struct contexts program = {CPU_AT(fetch_context), CPU_AT(global_context)};
    return t->cpu->cpl == 0 ? kernel : program;
}

/* T0: a context.  The jump that is taken if it does not hold now. */
static uint8_t *emit_context_check(struct emitter *e)
{
    emit_alu_load(e, ALU_CMP, SIZE_64, HOST_T0, HOST_CPU, CPU_AT(fetch_context));
    uint8_t *holds = emit_jump_if(e, COND_Z);
    emit_alu_load(e, ALU_CMP, SIZE_64, HOST_T0, HOST_CPU, CPU_AT(global_context));
    uint8_t *over = emit_jump_if(e, COND_NZ);
    emit_jump_here(e, holds);
    return over;
}

void translate_context(struct translating *t, unsigned number)
{
    struct emitter *e = &t->e;
    const unsigned slow = t->slow_count;
    emit_alu_load(e, ALU_CMP, SIZE_64, HOST_T0, HOST_CPU, contexts_of(t).likely);
    translate_slow(t, emit_jump_if(e, COND_NZ), SLOW_CONTEXT);
    if (t->slow_count > slow)
        t->slow[slow].index = (uint8_t)number;
}

void translate_other_context(struct translating *t, const struct slow_path *path)
{
    struct emitter *e = &t->e;
    emit_jump_here(e, path->jump);
    emit_alu_load(e, ALU_CMP, SIZE_64, HOST_T0, HOST_CPU, contexts_of(t).other);
    translate_leave_by(t, emit_jump_if(e, COND_NZ), path->index);
    emit_jump_to(e, path->resume + e->to_code);
}

/* --- links */

/* Asks whether the guard holds, takes code_page along, and jumps.  Destroys T0, T1 and EFLAGS. */
static void emit_guarded_jump(struct translating *t, unsigned number, bool apart)
{
    struct emitter *e = &t->e;
    const struct code_cache *cache = &t->translator->cache;
    struct exit *exit = &t->exits[number];
    const struct mapping *guard = code_executable(cache, code_at(cache, exit->guard));
    const int32_t pages = (int32_t)(t->exit_target[number] & -(int64_t)PAGE_BYTES);
    emit_load(e, SIZE_64, HOST_T1, HOST_CPU, CPU_AT(native.code_page));
    emit_rip(e, OP_WIDE(0x3b), HOST_T1, &guard->code_page, 0);
    translate_leave_by(t, emit_jump_if(e, COND_NZ), PLACE_LINK + number);
    emit_rip(e, OP_WIDE(0x8b), HOST_T0, &guard->context, 0);
    if (apart)
        translate_leave_by(t, emit_context_check(e), PLACE_LINK + number);
    else
        translate_context(t, PLACE_LINK + number);
    emit_lea(e, width(t), HOST_T1, AT(HOST_T1, pages));
    emit_store(e, SIZE_64, HOST_CPU, CPU_AT(native.code_page), HOST_T1);
    exit->jump = code_offset(cache, emit_jump(e));
}

/* Adds an exit to `target`, an offset from code_page: its number.  False: the block has too many,
 * or the region is full. */
static bool new_exit(struct translating *t, int64_t target, bool taken, unsigned *number)
{
    struct code_cache *cache = &t->translator->cache;
    struct mapping *guard = NULL;
    const bool same_page = target >= 0 && target < (int64_t)PAGE_BYTES;
    if (!same_page && !t->translator->options.no_chain) {
        guard = code_cache_data(cache, sizeof *guard);
        if (!guard)
            return false;
        guard->code_page = MAPPING_NONE;
    }
    if (t->exit_count == EXITS_MAX)
        return false;
    *number = t->exit_count++;
    t->exit_target[*number] = target;
    t->exits[*number] = (struct exit){.from = code_offset(cache, t->translation),
                                      .guard = guard ? code_offset(cache, guard) : 0,
                                      .insn = (uint8_t)t->index,
                                      .taken = taken,
                                      .forward = same_page && target >= offset_after(t)};
    return true;
}

/* The block ends with a link to `target`; NULL when there is no room for it. */
static struct exit *link_to(struct translating *t, int64_t target, bool taken)
{
    unsigned number;
    if (!new_exit(t, target, taken, &number)) {
        t->full = true;
        return NULL;
    }
    struct exit *exit = &t->exits[number];
    if (exit->guard)
        emit_guarded_jump(t, number, false);
    else
        exit->jump = code_offset(&t->translator->cache, emit_jump(&t->e));
    return exit;
}

static void link_if(struct translating *t, unsigned condition, int64_t target)
{
    unsigned number;
    if (!new_exit(t, target, true, &number)) {
        t->full = true;
        return;
    }
    t->exits[number].jump = code_offset(&t->translator->cache, emit_jump_if(&t->e, condition));
    t->guard_pending[number] = t->exits[number].guard;
}

static void emit_exit(struct translating *t, unsigned number)
{
    struct emitter *e = &t->e;
    const struct code_cache *cache = &t->translator->cache;
    struct exit *exit = &t->exits[number];
    if (t->guard_pending[number]) {
        emit_jump_here(e, code_at(cache, exit->jump));
        emit_guarded_jump(t, number, true);
    }
    exit->away = code_offset(cache, e->at);
    if (!exit->guard)
        emit_jump_here(e, code_at(cache, exit->jump));
}

/* The way out by a place, for all jumps that wait for it. */
static void emit_leave(struct translating *t, unsigned number)
{
    for (unsigned i = 0; i < t->leave_count; i++)
        if (t->leaves[i].jump && t->leaves[i].number == number) {
            emit_jump_here(&t->e, t->leaves[i].jump);
            t->leaves[i].jump = NULL;
        }
    translate_leave(t, number);
}

void translate_exits(struct translating *t)
{
    for (unsigned i = 0; i < t->exit_count && !t->full; i++) {
        emit_exit(t, i);
        emit_leave(t, PLACE_LINK + i);
    }
    for (unsigned i = 0; i < t->leave_count && !t->full; i++)
        if (t->leaves[i].jump)
            emit_leave(t, t->leaves[i].number);
}

static bool target_fits(int64_t target)
{
    return target == (int32_t)target;
}

static bool jump(struct translating *t)
{
    int64_t target = offset_after(t) + (int64_t)t->insn->imm;
    if (!target_fits(target))
        return false;
    flags_note(t);
    link_to(t, target, true);
    return true;
}

static bool jump_if(struct translating *t, unsigned condition)
{
    int64_t after = offset_after(t), target = after + (int64_t)t->insn->imm;
    if (!target_fits(target))
        return false;
    flags_need_for_row(t);
    flags_note(t);
    link_if(t, condition, target);
    link_to(t, after, false);
    return true;
}

/* T0 = the return address */
static void return_address(struct translating *t, unsigned to)
{
    emit_load(&t->e, SIZE_64, to, HOST_CPU, CPU_AT(native.code_page));
    emit_lea(&t->e, width(t), to, AT((uint8_t)to, (int32_t)offset_after(t)));
}

static bool call(struct translating *t)
{
    int64_t target = offset_after(t) + (int64_t)t->insn->imm;
    const int32_t bytes = 1 << width(t);
    if (!target_fits(target))
        return false;
    flags_note(t);
    struct host_memory at = stack_at(t, -bytes, (unsigned)bytes, true, SLOW_INSN);
    if (at.base == HOST_T0 && at.index == HOST_T1) {
        emit_lea(&t->e, SIZE_64, HOST_T0, at);
        at = AT(HOST_T0, 0);
    }
    const unsigned temporary = at.base == HOST_T0 ? HOST_T1 : HOST_T0;
    return_address(t, temporary);
    emit_mem(&t->e, HOST_OP(MAP_1, 0x89, 0, (uint8_t)width(t)), temporary, at);
    stack_move(t, -bytes);
    link_to(t, target, true);
    return true;
}

/* T0: a target.  T1 = where the jump cache would have it. */
static void emit_jump_entry(struct emitter *e)
{
    emit_moved_right(e, SIZE_64, HOST_T1, HOST_T0, 16);
    emit_alu(e, ALU_XOR, SIZE_32, HOST_T1, HOST_T0);
    emit_alu_imm(e, ALU_AND, SIZE_32, HOST_T1, JUMP_CACHE_ENTRIES - 1);
    _Static_assert(sizeof(struct jump_entry) == 32, "four words an entry");
    emit_shift_imm(e, 4, SIZE_32, HOST_T1, 5);
    emit_lea(e, SIZE_64, HOST_T1, (struct host_memory){HOST_CPU, HOST_T1, 0, CPU_AT(jumps)});
}

void translate_other_way(struct translating *t, const struct slow_path *path)
{
    struct emitter *e = &t->e;
    emit_jump_here(e, path->jump);
    emit_alu_imm(e, ALU_XOR, SIZE_64, HOST_T1, sizeof(struct jump_entry));
    emit_alu_load(e, ALU_CMP, SIZE_64, HOST_T0, HOST_T1, offsetof(struct jump_entry, linear));
    translate_leave_by(t, emit_jump_if(e, COND_NZ), path->index);
    emit_jump_to(e, path->resume + e->to_code);
}

/* T0: a target.  Finds it in the jump cache: T1 is its entry; or the block
 * is left for the interpreter, with nothing done. */
static void look_up_target(struct translating *t)
{
    struct emitter *e = &t->e;
    t->delta = HOST_NONE;
    emit_jump_entry(e);
    emit_alu_load(e, ALU_CMP, SIZE_64, HOST_T0, HOST_T1, offsetof(struct jump_entry, linear));
    translate_slow(t, emit_jump_if(e, COND_NZ), SLOW_WAY);
    emit_load(e, SIZE_64, HOST_T0, HOST_T1, offsetof(struct jump_entry, context));
    translate_context(t, t->index);
}

/* T1: the entry.  Goes there. */
static void go_to_entry(struct translating *t)
{
    struct emitter *e = &t->e;
    emit_load(e, SIZE_64, HOST_T0, HOST_T1, offsetof(struct jump_entry, linear));
    emit_alu_imm(e, ALU_AND, SIZE_64, HOST_T0, -(int32_t)PAGE_BYTES);
    emit_store(e, SIZE_64, HOST_CPU, CPU_AT(native.code_page), HOST_T0);
    if (t->translator->options.no_chain) {
        emit_jump_to(e, t->translator->stub_entry_cold);
        return;
    }
    emit_mem(e, HOST_OP(MAP_1, 0xff, 0, SIZE_32), 4,
             AT(HOST_T1, offsetof(struct jump_entry, code)));
}

void translate_go_to_rip(struct translating *t)
{
    struct emitter *e = &t->e;
    emit_store(e, SIZE_64, HOST_CPU, CPU_AT(rip), HOST_T0);
    if (t->code_64 &&
        translate_has_windows(t->translator)) { /* the code there may have them open */
        memory_note_stack_anew(e);
        emit_load(e, SIZE_64, HOST_T0, HOST_CPU, CPU_AT(rip));
    }
    emit_jump_entry(e);
    emit_alu_load(e, ALU_CMP, SIZE_64, HOST_T0, HOST_T1, offsetof(struct jump_entry, linear));
    uint8_t *unknown = emit_jump_if(e, COND_NZ);
    emit_load(e, SIZE_64, HOST_T0, HOST_T1, offsetof(struct jump_entry, context));
    uint8_t *out_of_date = emit_context_check(e);
    go_to_entry(t);
    emit_jump_here(e, unknown);
    emit_jump_here(e, out_of_date);
    emit_jump_to(e, t->translator->stub_cold);
}

/* T0 = the operand of JMP or CALL */
static void indirect_target(struct translating *t)
{
    const struct insn *insn = t->insn;
    flags_before_clobber(t);
    if (insn->memory) {
        memory_address(t, HOST_T0);
        memory_look_up(t, insn->seg, 1u << width(t), false, SLOW_INSN);
        emit_load(&t->e, width(t), HOST_T0, HOST_T0, 0);
    } else {
        emit_mov(&t->e, width(t), HOST_T0, translate_read(t, insn->rm, HOST_T0));
    }
}

static bool jump_indirect(struct translating *t)
{
    indirect_target(t);
    look_up_target(t);
    go_to_entry(t);
    return true;
}

static bool call_indirect(struct translating *t)
{
    struct emitter *e = &t->e;
    const int32_t bytes = 1 << width(t);
    indirect_target(t);
    look_up_target(t);
    emit_store(e, SIZE_64, HOST_CPU, CPU_AT(native.scratch[0]), HOST_T1);
    stack_look_up(t, -bytes, (unsigned)bytes, true, SLOW_INSN);
    return_address(t, HOST_T1);
    emit_store(e, width(t), HOST_T0, 0, HOST_T1);
    stack_move(t, -bytes);
    emit_load(e, SIZE_64, HOST_T1, HOST_CPU, CPU_AT(native.scratch[0]));
    go_to_entry(t);
    return true;
}

static bool return_near(struct translating *t)
{
    const int32_t bytes = 1 << width(t);
    flags_note(t);
    const struct host_memory at = stack_at(t, 0, (unsigned)bytes, false, SLOW_INSN);
    emit_mem(&t->e, HOST_OP(MAP_1, 0x8b, 0, (uint8_t)width(t)), HOST_T0, at);
    look_up_target(t);
    stack_move(t, bytes + (t->insn->row == OP_RET_Iw ? (int32_t)t->insn->imm : 0));
    go_to_entry(t);
    return true;
}

/* LOOP and JCXZ: the counter's width is the address size. */
static bool count_branch(struct translating *t)
{
    struct emitter *e = &t->e;
    const unsigned size = t->insn->address;
    const bool loop = t->insn->row == OP_LOOP_Jb;
    int64_t after = offset_after(t), target = after + (int64_t)t->insn->imm;
    if (size == SIZE_16)
        return false;
    flags_before_clobber(t);
    if (loop)
        emit_lea(e, size, RCX, AT(RCX, -1));
    emit_reg(e, HOST_OP(MAP_1, 0x85, 0, (uint8_t)size), RCX, RCX); /* test */
    link_if(t, loop ? COND_NZ : COND_Z, target);
    link_to(t, after, false);
    return true;
}

static bool is_condition(const struct opcode_row *row)
{
    return (row->map == MAP_1 && (row->opcode & 0xf0) == 0x70) ||
           (row->map == MAP_0F && (row->opcode & 0xf0) == 0x80);
}

static bool translate_by_row(struct translating *t)
{
    if (is_condition(t->row))
        return jump_if(t, t->row->opcode & 15);
    switch (t->insn->row) {
    case OP_JMP_Jb:
    case OP_JMP_Jz:
        return jump(t);
    case OP_CALL_Jz:
        return call(t);
    case OP_JMP_Ev:
        return jump_indirect(t);
    case OP_CALL_Ev:
        return call_indirect(t);
    case OP_RET:
    case OP_RET_Iw:
        return return_near(t);
    case OP_LOOP_Jb:
    case OP_JCXZ_Jb:
        return count_branch(t);
    default:
        return false; /* LOOPE, LOOPNE */
    }
}

bool translate_branch(struct translating *t)
{
    if (t->flat && t->insn->size == width(t))
        t->ended = translate_by_row(t);
    return t->ended;
}

void translate_next_block(struct translating *t, bool past_poll)
{
    struct exit *exit = link_to(t, offset_after(t), false);
    if (exit)
        exit->past_poll = past_poll;
    t->ended = true;
}

void translate_fall_through(struct translating *t)
{
    flags_note(t);
    if (!t->flat) {
        translate_leave_to_interpreter(t);
        return;
    }
    int64_t after = (int64_t)(t->block->gpa & PAGE_OFFSET_MASK) + t->block->bytes;
    t->index--; /* the last instruction's end */
    link_to(t, after, false);
    t->index++;
}

void translate_poll(struct translating *t)
{
    emit_alu_mem_imm(&t->e, ALU_CMP, SIZE_32, HOST_CPU, CPU_AT(attention), 0);
    translate_leave_by(t, emit_jump_if(&t->e, COND_NZ), PLACE_POLL);
}

void translate_crossing_guard(struct translating *t)
{
    struct emitter *e = &t->e;
    const struct mapping *crossing =
        code_executable(&t->translator->cache, t->translation->crossing);
    emit_load(e, SIZE_64, HOST_T0, HOST_CPU, CPU_AT(native.code_page));
    emit_rip(e, OP_WIDE(0x3b), HOST_T0, &crossing->code_page, 0);
    translate_leave_by(t, emit_jump_if(e, COND_NZ), PLACE_POLL);
    emit_load(e, SIZE_64, HOST_T0, HOST_CPU, CPU_AT(fetch_context));
    emit_rip(e, OP_WIDE(0x3b), HOST_T0, &crossing->context, 0);
    translate_leave_by(t, emit_jump_if(e, COND_NZ), PLACE_POLL);
}
