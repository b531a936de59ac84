/* A decoded block becomes host code.
 *
 *      code:   cmp [cpu->attention], 0 ; jnz exit         (other blocks jump here)
 *      entry:  …                                          (the interpreter enters here)
 *              the instructions, each by its row's policy
 *              jumps to other blocks, or to the exits
 *      slow:   what is rare: the interpreter executes one instruction, and back
 *      exits:  guards of links to other pages; the way to the run loop
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

unsigned translate_read(struct translating *t, unsigned reg, unsigned temporary)
{
    unsigned home = host_home(reg);
    if (home != HOST_NONE)
        return home;
    emit_load(&t->e, SIZE_64, temporary, HOST_CPU, cpu_reg_at(reg));
    return temporary;
}

void translate_written(struct translating *t, unsigned reg, unsigned host)
{
    if (host_home(reg) == HOST_NONE)
        emit_store(&t->e, SIZE_64, HOST_CPU, cpu_reg_at(reg), host);
}

/* --- the interpreter's part */

static struct site *new_site(struct translating *t, unsigned index)
{
    struct site *site = code_cache_data(&t->translator->cache, sizeof *site);
    if (!site) {
        t->full = true;
        return NULL;
    }
    const struct insn *insn = &t->block->insns[index];
    site->insn = *insn;
    /* WHY: the block's own handler may be one for two instructions. */
    site->insn.exec = opcode_exec[insn->row][insn->memory][insn->size];
    site->stop = (struct insn){.exec = exec_stop,
                               .offset = (uint16_t)(insn->offset + insn->length)};
    site->from = t->translation;
    site->index = (uint16_t)index;
    return site;
}

static void emit_interp(struct translating *t, unsigned index)
{
    struct site *site = new_site(t, index);
    if (!site)
        return;
    emit_rip(&t->e, OP_WIDE(0x8d), HOST_T0, code_executable(&t->translator->cache, site), 0);
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
    translate_exit_insn(t, emit_jump(&t->e), t->index);
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
        emit_interp(t, path.index);
        if (path.load_flags)
            emit_flags_load(t);
        emit_back(t, path.resume);
    } else {
        translate_exit_insn(t, emit_jump(&t->e), path.index);
    }
}

/* A stub mends what was missing. */
static void emit_slow_call(struct translating *t, const struct slow_path *path, const uint8_t *stub)
{
    struct emitter *e = &t->e;
    emit_jump_here(e, path->jump);
    emit_call_to(e, stub);
    if (path->kind == SLOW_FLOAT) {
        emit_alu_mem_imm(e, ALU_CMP, SIZE_8, HOST_CPU, CPU_AT(native.vectors), VECTORS_FLOAT);
        translate_exit_insn(t, emit_jump_if(e, COND_NZ), path->index);
    }
    if (path->kind == SLOW_X87) {
        emit_alu_mem_imm(e, ALU_CMP, SIZE_8, HOST_CPU, CPU_AT(native.x87_live), 0);
        translate_exit_insn(t, emit_jump_if(e, COND_Z), path->index);
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
        case SLOW_VECTORS: case SLOW_FLOAT:
            emit_slow_call(t, path, t->translator->stub_vectors);
            break;
        case SLOW_X87:
            emit_slow_call(t, path, t->translator->stub_x87);
            break;
        default:
            emit_slow_group(t, i);
            break;
        }
    }
}

/* The instruction is done: its slow paths resume here, with the flags where they are now. */
static void settle_slow_paths(struct translating *t, unsigned first)
{
    for (unsigned i = first; i < t->slow_count; i++)
        if (t->slow[i].kind == SLOW_INTERP) {
            t->slow[i].resume = t->e.at;
            t->slow[i].load_flags = t->host_flags != 0;
        }
}

/* --- the block */

/* Did the decoder put another handler in the place of the row's? */
static bool is_replaced(const struct translating *t)
{
    exec_fn *handler = t->index == 0 ? t->block->head : t->insn->exec;
    return handler == exec_undefined || handler == exec_device_not_available ||
           handler == exec_too_long;
}

static bool translate_by_policy(struct translating *t, unsigned policy)
{
    switch (policy) {
    case IDENTICAL:
    case MEMORY:
        if (t->row->attributes & (A_X87 | A_FWAIT))
            return translate_x87(t);
        return t->row->attributes & A_SSE ? translate_sse(t) : translate_integer(t);
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
    const bool replaced = is_replaced(t);
    if (t->row->attributes & (A_END | A_BRANCH))
        translate_x87_seen(t);
    const bool copied = !replaced && translate_by_policy(t, policy);
    t->marks[t->index] = policy == CALLOUT     ? MARK_CALLOUT
                         : !copied             ? MARK_INTERPRETED
                         : policy == IDENTICAL ? MARK_IDENTICAL
                                               : MARK_REWRITTEN;
    if (!copied) {
        if (t->row->attributes & (A_END | A_BRANCH) || replaced)
            translate_leave_to_interpreter(t);
        else
            translate_by_interpreter(t);
    }
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
        emit_mov_imm(&t->e, HOST_T0, (uintptr_t)&t->translation->executions);
        emit_alu_mem_imm(&t->e, ALU_ADD, SIZE_64, HOST_T0, 0, 1);
    }
}

struct translated *translate_block(struct translator *translator, struct cpu *cpu,
                                    struct block *block)
{
    struct code_cache *cache = &translator->cache;
    struct translated *translation = code_cache_data(cache, sizeof *translation);
    if (!translation || (size_t)(cache->high - cache->low) < CODE_BYTES_MAX)
        return NULL;
    struct translating t = {
        .translator = translator,
        .cpu = cpu,
        .block = block,
        .translation = translation,
        .e = {.start = cache->low,
              .at = cache->low,
              .end = cache->low + CODE_BYTES_MAX / 2,
              .to_code = cache->to_code},
        .code_64 = (block->mode & MODE_CODE) == CODE_64,
        .memory_flags = true,
    };
    t.flat = t.code_64 || block->mode & MODE_FLAT;
    translation->block = block;
    translation->code = code_executable(cache, t.e.at);
    flags_analyse(&t);
    translate_poll(&t);
    if (block->second_gpa != ~UINT64_C(0))
        translate_crossing_guard(&t);
    translation->entry = code_executable(cache, t.e.at);
    emit_count(&t);
    translate_vectors_entry(&t);
    translate_insns(&t);
    emit_slow_paths(&t);
    translate_cross_entry(&t);
    translate_exits(&t);
    if (t.full || t.e.full)
        return NULL;
    translation->bytes = (uint32_t)(t.e.at - t.e.start);
    translation->exit_count = t.exit_count;
    memcpy(translation->exits, t.exits, t.exit_count * sizeof *t.exits);
    report_callouts(&t);
    trace_translation(cpu, &t);
    code_cache_commit(cache, t.e.at);
    translator->count.translated++;
    translator->count.bytes_guest += block->bytes;
    translator->count.bytes_host += translation->bytes;
    return translation;
}
