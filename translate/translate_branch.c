/* Branches: direct ones are links, indirect ones look into the jump cache in line.
 *
 * A link within the page is a jump that is patched once the target is translated.  A link to another
 * page leads to the target's cross entry, which asks whether the target is still where the jump wants
 * to go: its page's address and the fetch context must be those for which that was last seen.  What
 * is not (yet) known goes through the run loop.
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

static struct exit *new_exit(struct translating *t, enum exit_kind kind, int64_t target)
{
    struct exit *exit = code_cache_data(&t->translator->cache, sizeof *exit);
    if (!exit || t->exit_count == EXITS_MAX) {
        t->full = true;
        return NULL;
    }
    *exit = (struct exit){.from = t->translation,
                          .kind = (uint8_t)kind,
                          .insn = (uint16_t)t->index,
                          .target = (int32_t)target,
                          .same_page = target >= 0 && target < (int64_t)PAGE_BYTES};
    t->exits[t->exit_count++] = exit;
    return exit;
}

/* The jump at `jump` becomes a link to `target`, an offset from code_page. */
static void link_to(struct translating *t, uint8_t *jump, int64_t target, bool taken)
{
    struct exit *exit = new_exit(t, EXIT_LINK, target);
    if (!exit)
        return;
    exit->jump = jump;
    exit->taken = taken;
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
    link_to(t, emit_jump(&t->e), target, true);
    return true;
}

static bool jump_if(struct translating *t, unsigned condition)
{
    int64_t after = offset_after(t), target = after + (int64_t)t->insn->imm;
    if (!target_fits(target))
        return false;
    flags_need_for_row(t);
    flags_note(t);
    link_to(t, emit_jump_if(&t->e, condition), target, true);
    link_to(t, emit_jump(&t->e), after, false);
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
    stack_look_up(t, -bytes, (unsigned)bytes, true, SLOW_INSN);
    return_address(t, HOST_T1);
    emit_store(&t->e, width(t), HOST_T0, 0, HOST_T1);
    stack_move(t, -bytes);
    link_to(t, emit_jump(&t->e), target, true);
    return true;
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

/* T0: a target.  Finds it in the jump cache: rip and code_page are set, T1 is its entry; or the block
 * is left for the interpreter, with nothing done. */
static void look_up_target(struct translating *t)
{
    struct emitter *e = &t->e;
    emit_mov(e, SIZE_64, HOST_T1, HOST_T0);
    emit_shift_imm(e, 5, SIZE_64, HOST_T1, 14);
    emit_alu(e, ALU_XOR, SIZE_32, HOST_T1, HOST_T0);
    emit_alu_imm(e, ALU_AND, SIZE_32, HOST_T1, JUMP_CACHE_ENTRIES - 1);
    _Static_assert(sizeof(struct jump_entry) == 32, "four words an entry");
    emit_shift_imm(e, 4, SIZE_32, HOST_T1, 5);
    emit_lea(e, SIZE_64, HOST_T1, (struct host_memory){HOST_CPU, HOST_T1, 0, CPU_AT(jumps)});
    emit_alu_load(e, ALU_CMP, SIZE_64, HOST_T0, HOST_T1, offsetof(struct jump_entry, linear));
    translate_slow(t, emit_jump_if(e, COND_NZ), SLOW_INSN);
    emit_load(e, SIZE_64, HOST_T0, HOST_T1, offsetof(struct jump_entry, context));
    translate_slow(t, emit_context_check(e), SLOW_INSN);
}

/* T1: the entry.  Goes there. */
static void go_to_entry(struct translating *t)
{
    struct emitter *e = &t->e;
    emit_load(e, SIZE_64, HOST_T0, HOST_T1, offsetof(struct jump_entry, linear));
    emit_store(e, SIZE_64, HOST_CPU, CPU_AT(rip), HOST_T0);
    emit_alu_imm(e, ALU_AND, SIZE_64, HOST_T0, -(int32_t)PAGE_BYTES);
    emit_store(e, SIZE_64, HOST_CPU, CPU_AT(native.code_page), HOST_T0);
    if (t->translator->options.no_chain) {
        emit_jump_to(e, t->translator->stub_cold);
        return;
    }
    emit_mem(e, HOST_OP(MAP_1, 0xff, 0, SIZE_32), 4, AT(HOST_T1, offsetof(struct jump_entry, code)));
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
    stack_look_up(t, 0, (unsigned)bytes, false, SLOW_INSN);
    emit_load(&t->e, width(t), HOST_T0, HOST_T0, 0);
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
    link_to(t, emit_jump_if(e, loop ? COND_NZ : COND_Z), target, true);
    link_to(t, emit_jump(e), after, false);
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
    case OP_JMP_Jb: case OP_JMP_Jz:
        return jump(t);
    case OP_CALL_Jz:
        return call(t);
    case OP_JMP_Ev:
        return jump_indirect(t);
    case OP_CALL_Ev:
        return call_indirect(t);
    case OP_RET: case OP_RET_Iw:
        return return_near(t);
    case OP_LOOP_Jb: case OP_JCXZ_Jb:
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
    link_to(t, emit_jump(&t->e), offset_after(t), false);
    if (t->exit_count)
        t->exits[t->exit_count - 1]->past_poll = past_poll;
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
    link_to(t, emit_jump(&t->e), after, false);
}

/* --- the code of the exits, behind the block */

/* The jump to a block of another page hands over what code_page will be there (T0) and the exit that it
 * comes from (T1). */
static void emit_page_change(struct translating *t, struct exit *exit)
{
    struct emitter *e = &t->e;
    const int32_t pages = exit->target & -(int32_t)PAGE_BYTES;
    emit_load(e, SIZE_64, HOST_T0, HOST_CPU, CPU_AT(native.code_page));
    emit_lea(e, width(t), HOST_T0, AT(HOST_T0, pages));
    emit_rip(e, OP_WIDE(0x8d), HOST_T1, code_executable(&t->translator->cache, exit), 0);
    exit->jump = emit_jump(e);
    emit_jump_here(e, exit->jump);
}

void translate_cross_entry(struct translating *t)
{
    struct emitter *e = &t->e;
    const struct code_cache *cache = &t->translator->cache;
    t->translation->cross = (uint8_t *)emit_here(e);
    emit_rip(e, OP_WIDE(0x3b), HOST_T0, code_executable(cache, &t->translation->code_page), 0);
    uint8_t *elsewhere = emit_jump_if(e, COND_NZ);
    emit_rip(e, OP_WIDE(0x8b), HOST_T0, code_executable(cache, &t->translation->context), 0);
    uint8_t *another_time = emit_context_check(e);
    emit_rip(e, OP_WIDE(0x8b), HOST_T0, code_executable(cache, &t->translation->code_page), 0);
    emit_store(e, SIZE_64, HOST_CPU, CPU_AT(native.code_page), HOST_T0);
    emit_jump_to(e, t->translation->code);
    emit_jump_here(e, elsewhere);
    emit_jump_here(e, another_time);
    emit_mov(e, SIZE_64, HOST_T0, HOST_T1);
    emit_jump_to(e, t->translator->stub_exit);
}

void translate_exits(struct translating *t)
{
    struct emitter *e = &t->e;
    for (unsigned i = 0; i < t->exit_count; i++) {
        struct exit *exit = t->exits[i];
        emit_jump_here(e, exit->jump);
        if (exit->kind == EXIT_LINK && !exit->same_page && !t->translator->options.no_chain)
            emit_page_change(t, exit);
        exit->away = emit_here(e);
        emit_rip(e, OP_WIDE(0x8d), HOST_T0, code_executable(&t->translator->cache, exit), 0);
        emit_jump_to(e, t->translator->stub_exit);
    }
}

static void leave_to_run_loop(struct translating *t, uint8_t *jump)
{
    struct exit *exit = new_exit(t, EXIT_POLL, 0);
    if (exit)
        exit->jump = jump;
}

void translate_poll(struct translating *t)
{
    emit_alu_mem_imm(&t->e, ALU_CMP, SIZE_32, HOST_CPU, CPU_AT(attention), 0);
    leave_to_run_loop(t, emit_jump_if(&t->e, COND_NZ));
}

void translate_crossing_guard(struct translating *t)
{
    struct emitter *e = &t->e;
    const struct code_cache *cache = &t->translator->cache;
    emit_load(e, SIZE_64, HOST_T0, HOST_CPU, CPU_AT(native.code_page));
    emit_rip(e, OP_WIDE(0x3b), HOST_T0, code_executable(cache, &t->translation->code_page), 0);
    leave_to_run_loop(t, emit_jump_if(e, COND_NZ));
    emit_load(e, SIZE_64, HOST_T0, HOST_CPU, CPU_AT(fetch_context));
    emit_rip(e, OP_WIDE(0x3b), HOST_T0, code_executable(cache, &t->translation->context), 0);
    leave_to_run_loop(t, emit_jump_if(e, COND_NZ));
}

void translate_exit_insn(struct translating *t, uint8_t *jump, unsigned index)
{
    struct exit *exit = new_exit(t, EXIT_INSN, 0);
    if (!exit)
        return;
    exit->jump = jump;
    exit->insn = (uint16_t)index;
}
