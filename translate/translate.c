/* A decoded block becomes host code.
 *
 *      code:   cmp [cpu->attention], 0 ; jnz exit         (other blocks jump here)
 *      body:   the instructions, each by its row's policy (the interpreter enters here, and so do
 *              jumps to other blocks, or to the exits      blocks from before it in its page)
 *      slow:   what is rare: the interpreter executes one instruction, and back
 *      exits:  the way to the run loop
 *
 * Slow paths and exits lie apart from the blocks, so that what runs often is close together; when
 * somebody wants listings, they follow their block.  A block that follows another one's code
 * without a jump has its poll there too.
 */
#include "translate/report.h"
#include "translate/trace_translation.h"
#include "translate/translating.h"

enum { CODE_BYTES_MAX = 64 << 10 }; /* no block's code is longer */

void translate_slow(struct translating *t, uint8_t *jump, enum slow_kind kind)
{
    if (t->slow_count == SLOW_MAX) {
        t->full = true;
        return;
    }
    t->slow[t->slow_count++] = (struct slow_path){.jump = jump,
                                                  .resume = t->e.at,
                                                  .kind = (uint8_t)kind,
                                                  .x87_note = t->x87_note,
                                                  .index = (uint8_t)t->index};
}

void translate_resume_here(struct translating *t)
{
    t->slow[t->slow_count - 1].resume = t->e.at;
}

unsigned translate_read(struct translating *t, unsigned reg, unsigned temporary)
{
    unsigned home = host_home(reg);
    if (home != HOST_NONE)
        return home;
    if (reg != t->held || !translate_untouched(t))
        emit_load(&t->e, SIZE_64, temporary, HOST_CPU, cpu_reg_at(reg));
    else if (temporary != HOST_T0)
        emit_mov(&t->e, SIZE_64, temporary, HOST_T0);
    if (temporary == HOST_T1)
        t->delta = HOST_NONE;
    return temporary;
}

void translate_written(struct translating *t, unsigned reg, unsigned host)
{
    if (host_home(reg) != HOST_NONE)
        return;
    emit_store(&t->e, SIZE_64, HOST_CPU, cpu_reg_at(reg), host);
    t->held_next = host == HOST_T0 ? reg : REG_ZERO;
}

/* --- the interpreter's part */

static void emit_interp(struct translating *t, unsigned index)
{
    emit_mov_imm(&t->e, HOST_T0, place_in(t->translator, t->translation, index));
    emit_call_to(&t->e, t->translator->stub_interp);
}

void translate_by_interpreter(struct translating *t)
{
    translate_x87_seen(t);
    flags_before_clobber(t);
    emit_interp(t, t->index);
    t->memory_flags = true;
    translate_vectors_interpreted(t);
}

void translate_leave_to_interpreter(struct translating *t)
{
    translate_x87_seen(t);
    flags_note(t);
    translate_leave(t, t->index);
    t->ended = true;
}

/* --- slow paths */

/* Brings the flags that the resumed code expects from memory to EFLAGS. */
static void emit_flags_load(struct translating *t)
{
    emit_call_to(&t->e, t->translator->stub_image);
    flags_load_image(&t->e);
}

static void emit_back(struct translating *t, const uint8_t *resume)
{
    emit_jump_to(&t->e, resume + t->e.to_code);
}

/* The interpreter executes the instruction; then on at `resume` with what that code expects. */
static void emit_interp_and_back(struct translating *t, unsigned index, bool load_flags,
                                 unsigned delta, unsigned held, const uint8_t *resume)
{
    emit_interp(t, index);
    if (load_flags)
        emit_flags_load(t);
    memory_restore_delta(t, delta);
    if (held != REG_ZERO)
        emit_load(&t->e, SIZE_64, HOST_T0, HOST_CPU, cpu_reg_at(held));
    emit_back(t, resume);
}

/* All jumps of one instruction to one kind of rare case. */
static void emit_slow_group(struct translating *t, unsigned first)
{
    const struct slow_path path = t->slow[first];
    for (unsigned i = first; i < t->slow_count; i++)
        if (t->slow[i].index == path.index && t->slow[i].kind == path.kind && t->slow[i].jump) {
            emit_jump_here(&t->e, t->slow[i].jump);
            t->slow[i].jump = NULL;
        }
    translate_x87_note(t, path.x87_note);
    if (path.kind == SLOW_INTERP) {
        emit_interp_and_back(t, path.index, path.load_flags, path.delta, path.held, path.resume);
    } else {
        translate_leave(t, path.index);
    }
}

/* A stub mends what was missing. */
static void emit_slow_call(struct translating *t, const struct slow_path *path, const uint8_t *stub)
{
    struct emitter *e = &t->e;
    emit_jump_here(e, path->jump);
    emit_call_to(e, stub);
    if (path->kind == SLOW_FLOAT || path->kind == SLOW_FLOAT_UPPER) {
        emit_test_mem_imm(e, HOST_CPU, CPU_AT(native.vectors), VECTORS_FLOAT);
        translate_leave_by(t, emit_jump_if(e, COND_Z), path->index);
    }
    if (path->kind == SLOW_X87) {
        emit_alu_mem_imm(e, ALU_CMP, SIZE_8, HOST_CPU, CPU_AT(native.x87_live), 0);
        translate_leave_by(t, emit_jump_if(e, COND_Z), path->index);
    }
    emit_back(t, path->resume);
}

static void emit_slow_paths(struct translating *t)
{
    for (unsigned i = 0; i < t->slow_count && !t->full; i++) {
        struct slow_path *path = &t->slow[i];
        if (!path->jump)
            continue;
        switch (path->kind) {
        case SLOW_IMAGE:
            emit_slow_call(t, path, t->translator->stub_image);
            break;
        case SLOW_FLAGS:
            emit_jump_here(&t->e, path->jump);
            emit_flags_load(t);
            emit_back(t, path->resume);
            break;
        case SLOW_VECTORS:
        case SLOW_FLOAT:
            emit_slow_call(t, path, t->translator->stub_vectors);
            break;
        case SLOW_UPPER:
        case SLOW_FLOAT_UPPER:
            emit_slow_call(t, path, t->translator->stub_upper);
            break;
        case SLOW_X87:
            emit_slow_call(t, path, t->translator->stub_x87);
            break;
        case SLOW_WAY:
            translate_other_way(t, path);
            break;
        case SLOW_CONTEXT:
            translate_other_context(t, path);
            break;
        default:
            emit_slow_group(t, i);
            break;
        }
    }
}

/* --- accesses through windows */

/* WHY not what REP repeats: the host's own repetition must not fault. */
bool translate_windowed(const struct translating *t, unsigned index)
{
    const struct insn *insn = &t->block->insns[index];
    const bool repeats = insn->rep && opcode_rows[insn->row].attributes & (A_REP | A_REPZ);
    return t->flat && t->block->mode & MODE_WINDOW && !repeats &&
           !(t->block->trapping >> index & 1);
}

static void emit_fault_paths(struct translating *t)
{
    struct emitter *e = &t->e;
    for (unsigned i = 0; i < t->fault_count && !t->full; i++) {
        const struct fault_site *site = &t->fault_sites[i];
        fault_table_add(t->translator, site->from, site->to, e->at);
        if (site->image)
            flags_save_image(e);
        translate_x87_note(t, site->x87_note);
        if (site->kind != SLOW_INTERP) {
            translate_leave_by(t, emit_jump(e), site->index);
            continue;
        }
        emit_interp_and_back(t, site->index, site->load_flags, site->delta, site->held, site->to);
    }
}

/* The instruction is done: its slow paths resume here, with the flags where they are now. */
static void settle_slow_paths(struct translating *t, unsigned first)
{
    for (unsigned i = first; i < t->slow_count; i++)
        if (t->slow[i].kind == SLOW_INTERP) {
            t->slow[i].resume = t->e.at;
            t->slow[i].load_flags = t->host_flags != 0;
            t->slow[i].delta = (uint8_t)t->delta_next;
            t->slow[i].held = (uint8_t)t->held_next;
        }
    if (!t->faults)
        return;
    struct fault_site *site = &t->fault_sites[t->fault_count++];
    site->to = t->e.at;
    site->load_flags = t->host_flags != 0;
    site->delta = (uint8_t)t->delta_next;
    site->held = (uint8_t)t->held_next;
}

/* --- the block */

bool translate_is_replaced(const struct block *block, unsigned index)
{
    exec_fn *handler = index == 0 ? block->head : block->insns[index].exec;
    return handler == exec_undefined || handler == exec_device_not_available ||
           handler == exec_too_long;
}

static bool translate_by_policy(struct translating *t, unsigned policy)
{
    switch (policy) {
    case IDENTICAL:
    case MEMORY:
        if (!feature_has(&t->translator->host, t->row->feature))
            return false;
        if (t->row->attributes & (A_X87 | A_FWAIT))
            return translate_x87(t);
        if (t->row->attributes & A_MMX)
            return translate_mmx(t);
        if (t->row->attributes & (A_SSE | A_AVX))
            return translate_sse(t);
        return map_is_vex(t->row->map) ? translate_bmi(t) : translate_integer(t);
    case STACK:
        return translate_stack(t);
    case BRANCH:
        return translate_branch(t);
    case CALLOUT:
        return translate_callout(t);
    case INTERP:
        return translate_checked(t);
    default:
        return false;
    }
}

static void translate_insn(struct translating *t)
{
    const struct insn *insn = t->insn;
    const unsigned policy = insn->memory ? t->row->policy_memory : t->row->policy_register;
    const unsigned slow = t->slow_count;
    const bool replaced = translate_is_replaced(t->block, t->index);
    t->window = translate_windowed(t, t->index);
    t->faults = false;
    t->delta = t->delta_next;
    t->delta_next = HOST_NONE;
    t->held = t->held_next;
    t->held_next = REG_ZERO;
    if (t->row->attributes & (A_END | A_BRANCH))
        translate_x87_seen(t);
    const bool copied = !replaced && translate_by_policy(t, policy);
    t->marks[t->index] = policy == CALLOUT     ? MARK_CALLOUT
                         : !copied             ? MARK_INTERPRETED
                         : policy == IDENTICAL ? MARK_IDENTICAL
                                               : MARK_REWRITTEN;
    if (!copied) {
        t->held_next = REG_ZERO;
        if (t->row->attributes & (A_END | A_BRANCH) || replaced)
            translate_leave_to_interpreter(t);
        else
            translate_by_interpreter(t);
    }
    memory_follow_stack(t);
    settle_slow_paths(t, slow);
}

static void translate_insns(struct translating *t)
{
    for (t->index = 0; t->index < t->block->count && !t->full; t->index++) {
        t->insn = &t->block->insns[t->index];
        t->row = &opcode_rows[t->insn->row];
        t->host_offset[t->index] = (uint16_t)(t->e.at - t->e.start);
        translate_insn(t);
    }
    t->host_offset[t->index] = (uint16_t)(t->e.at - t->e.start);
    translate_x87_seen(t);
    if (!t->ended)
        translate_fall_through(t);
}

static void emit_count(struct translating *t)
{
    if (t->translator->options.count)
        emit_alu_mem_imm(&t->e, ALU_ADD, SIZE_64, HOST_CPU, CPU_AT(instructions), t->block->count);
    if (t->translator->trace) {
        emit_mov_imm(&t->e, HOST_T0, (uintptr_t)&t->translation->traced->executions);
        emit_alu_mem_imm(&t->e, ALU_ADD, SIZE_64, HOST_T0, 0, 1);
    }
}

/* --- its two parts */

/* Where other blocks come in. */
static void emit_entry(struct translating *t)
{
    t->translation->code = code_executable(&t->translator->cache, t->e.at);
    translate_poll(t);
    if (t->translation->crossing)
        translate_crossing_guard(t);
}

static void emit_rare(struct translating *t)
{
    if (!t->translation->code) {
        emit_entry(t);
        emit_jump_to(&t->e, t->translation->body);
    }
    emit_slow_paths(t);
    emit_fault_paths(t);
    translate_exits(t);
}

/* As emit_rare(), apart from the rest. */
static void emit_rare_apart(struct translating *t)
{
    struct code_cache *cache = &t->translator->cache;
    struct emitter hot = t->e;
    t->e.start = t->e.at = cache->cold;
    t->e.end = cache->cold + CODE_COLD_BYTES_MAX;
    emit_rare(t);
    t->translation->cold = code_offset(cache, t->e.start);
    t->translation->cold_bytes = (uint16_t)(t->e.at - t->e.start);
    hot.full |= t->e.full;
    t->e = hot;
}

/* What belongs to the block beside its code; false: the region is full. */
static bool new_translation(struct translating *t)
{
    struct code_cache *cache = &t->translator->cache;
    struct translated *translation = code_cache_data(cache, sizeof *translation);
    if (!translation)
        return false;
    t->translation = translation;
    translation->block = (struct block *)t->block;
    if (t->block->second_gpa != ~UINT64_C(0)) {
        translation->crossing = code_cache_data(cache, sizeof *translation->crossing);
        if (!translation->crossing)
            return false;
    }
    if (t->translator->trace) {
        translation->traced = code_cache_data(cache, sizeof *translation->traced);
        if (!translation->traced)
            return false;
    }
    return code_cache_cold_room(cache, CODE_COLD_BYTES_MAX) &&
           (size_t)(cache->high - cache->low) >= CODE_BYTES_MAX;
}

static bool keep_exits(struct translating *t)
{
    const size_t bytes = t->exit_count * sizeof *t->exits;
    if (!bytes)
        return true;
    t->translation->exits = code_cache_data(&t->translator->cache, bytes);
    if (!t->translation->exits)
        return false;
    memcpy(t->translation->exits, t->exits, bytes);
    t->translation->exit_count = (uint8_t)t->exit_count;
    return true;
}

static void keep(struct translating *t)
{
    struct translator *translator = t->translator;
    struct code_cache *cache = &translator->cache;
    struct translated *translation = t->translation;
    translation->bytes = (uint16_t)(t->e.at - t->e.start);
    translation->end = code_offset(cache, t->e.at);
    report_callouts(t);
    code_cache_commit(cache, t->e.at);
    if (translation->cold_bytes)
        code_cache_commit_cold(cache, code_at(cache, translation->cold + translation->cold_bytes));
    translator->count.translated++;
    translator->count.bytes_guest += t->block->bytes;
    translator->count.bytes_host += (uint64_t)translation->bytes + translation->cold_bytes;
}

struct translated *translate_block(struct translator *translator, struct cpu *cpu,
                                   struct block *block, bool follows)
{
    struct code_cache *cache = &translator->cache;
    struct translating t = {
        .translator = translator,
        .cpu = cpu,
        .block = block,
        .code_64 = (block->mode & MODE_CODE) == CODE_64,
        .memory_flags = true,
        .noted = FLAGS_IMAGE,
        .delta_next = HOST_NONE,
        .held_next = REG_ZERO,
    };
    t.flat = t.code_64 || block->mode & MODE_FLAT;
    if (!new_translation(&t))
        return NULL;
    t.e = (struct emitter){.start = cache->low,
                           .at = cache->low,
                           .end = cache->low + CODE_BYTES_MAX / 2,
                           .to_code = cache->to_code};
    flags_analyse(&t);
    if (!follows)
        emit_entry(&t);
    t.translation->body = code_executable(cache, t.e.at);
    emit_count(&t);
    translate_vectors_entry(&t);
    translate_insns(&t);
    const uint32_t faults = fault_table_count(translator);
    if (trace_wants_listings(translator))
        emit_rare(&t);
    else
        emit_rare_apart(&t);
    if (t.full || t.e.full || !keep_exits(&t)) {
        fault_table_cut(translator, faults);
        return NULL;
    }
    trace_translation(cpu, &t);
    keep(&t);
    return t.translation;
}
