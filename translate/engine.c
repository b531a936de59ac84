#include "translate/engine.h"

#include "translate/flags.h"
#include "translate/native_x87.h"
#include "translate/trace_file.h"
#include "translate/trace_translation.h"
#include "translate/translated.h"
#include "translate/window_fault.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum { THRESHOLD_DEFAULT = 4, TRAPS_MAX = 8, STRAIGHT_MAX = 8 };

/* --- entering translated code, and what follows when it is left */

/* On with an instruction of the block, in the interpreter. */
static int interpret_from(struct cpu *cpu, const struct block *block, unsigned index)
{
    const struct insn *insn = &block->insns[index];
    exec_fn *first = index ? insn->exec : block->head;
#ifdef RING3_THREADED
    return first(cpu, insn);
#else
    int result = first(cpu, insn);
    while (result == EXEC_NEXT) {
        insn++;
        result = insn->exec(cpu, insn);
    }
    return result;
#endif
}

/* The jump cache's entry for rip, made if need be; NULL when the run loop has to see to it: a fetch
 * that faults, code that is not to be found again. */
static const struct jump_entry *entry_at_rip(struct cpu *cpu)
{
    uint64_t linear = cpu->code_base + cpu->rip;
    const struct jump_entry *entry = block_jump_entry(cpu, linear);
    if (likely(entry->linear == linear && block_context_holds(cpu, entry->context) &&
               !entry->block->dead))
        return entry;
    struct block *block = block_find(cpu, cpu->rip);
    if (!block || block->dead)
        return NULL;
    block_update_context(cpu);
    return block_remember(cpu, linear, block);
}

/* Out by a branch whose target is not linked (any more). */
static int take_link(struct cpu *cpu, struct translator *translator, struct exit *exit)
{
    const struct insn *insn = &cpu->block->insns[exit->insn];
    uint64_t target = insn_next_rip(cpu, insn);
    if (exit->taken)
        target = (target + insn->imm) & cpu->ip_mask;
    if (unlikely(exit->taken && !branch_is_legal(cpu, target)))
        return interpret_from(cpu, cpu->block, exit->insn);
    cpu->rip = target;
    cpu->inhibit = exit->past_poll;
    if (unlikely(atomic_load_explicit(&cpu->attention, memory_order_relaxed)))
        return EXEC_LEAVE;
    const struct jump_entry *to = entry_at_rip(cpu);
    if (!to)
        return EXEC_LEAVE;
    if (to->block->translation)
        link_exit(translator, cpu, exit, to);
#ifdef RING3_THREADED
    cpu->inhibit = false;
    return block_enter(cpu, to->block, target);
#else
    return EXEC_LEAVE;
#endif
}

void translation_seen(struct translator *translator, struct cpu *cpu)
{
    struct timespec now;
    if (!cpu->mmu.windows || !(cpu->mode & MODE_PROTECTED))
        return;
    const enum shadow_view_id view = cpu_window_view(cpu);
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    if (now.tv_nsec == translator->last_tick[view])
        return;
    translator->last_tick[view] = now.tv_nsec;
    windows_tick(&cpu->mmu, view);
}

static int take_exit(struct cpu *cpu, struct translator *translator, uint32_t place)
{
    struct translated *translation = place_translation(translator, place);
    struct block *block = translation->block;
    const unsigned number = place & PLACE_NUMBER;
    cpu->block = block;
    cpu->block_rip = cpu->native.code_page + (block->gpa & PAGE_OFFSET_MASK);
    translator->count.exits++;
    if (number == PLACE_POLL) {
        translation_seen(translator, cpu);
        cpu->rip = cpu->block_rip & cpu->ip_mask;
        return EXEC_LEAVE;
    }
    if (number >= PLACE_LINK)
        return take_link(cpu, translator, &translation->exits[number - PLACE_LINK]);
    cpu->callouts[block->insns[number].row]++;
    if (unlikely(cpu->native.window_fault))
        window_fault_note(cpu, &block->insns[number]);
    return interpret_from(cpu, block, number);
}

/* A block that crosses pages has just been found to hold: so it does in the same place as long as
 * the context stays. */
static void confirm_crossing(const struct cpu *cpu, struct mapping *crossing)
{
    *crossing = (struct mapping){.code_page = cpu->native.code_page, .context = cpu->fetch_context};
}

static int exec_translated(struct cpu *cpu, const struct insn *insn)
{
    struct translator *translator = translator_of(cpu);
    struct block *block = (struct block *)((char *)insn - offsetof(struct block, insns));
    const struct translated *translation = block->translation;
    if (translator->options.count)
        cpu->instructions -= block->count; /* the code counts itself */
    cpu->native.code_page = cpu->block_rip - (block->gpa & PAGE_OFFSET_MASK);
    cpu->native.entered++;
    if (unlikely(cpu->native.window_wanted[0] | cpu->native.window_wanted[1])) {
        window_fault_fill(cpu);
        if (unlikely(cpu->mode != block->mode)) { /* that has cost the space its windows */
            cpu->rip = cpu->block_rip & cpu->ip_mask;
            return EXEC_LEAVE;
        }
    }
    window_faults_in(translator);
    if (unlikely(translation->crossing))
        confirm_crossing(cpu, translation->crossing);
    uint64_t how = translator->enter(cpu, translation->body);
    if (cpu->native.x87_live)
        native_x87_store(cpu);
    if (cpu->native.flags_kind)
        native_flags_settle(cpu);
    if (how >= EXEC_CODES)
        return take_exit(cpu, translator, (uint32_t)how);
    return how == EXEC_GO ? BLOCK_GO(cpu) : (int)how;
}

/* --- the life of a translation */

static int exec_counted(struct cpu *cpu, const struct insn *insn);

/* The block is interpreted, and counted, from now on. */
static void block_interpret(struct translator *translator, struct block *block)
{
    block->translation = NULL;
    block->code = translator->stub_entry_cold;
    block->executions = 0;
    if (!block->dead)
        block->insns[0].exec = exec_counted;
}

static void translation_drop(struct translator *translator, struct translated *translation)
{
    if (translation->dead)
        return;
    translation->dead = true;
    trace_translation_dropped(translator, translation);
    link_drop(translator, translation);
    /* Cached jumps still lead here: on to the interpreter. */
    code_cache_put_jump(&translator->cache, translation->code, translator->stub_entry_cold);
    block_interpret(translator, translation->block);
}

void translation_trapped(struct cpu *cpu, struct block *block, unsigned index)
{
    struct translator *translator = translator_of(cpu);
    if (block->dead || !block->translation || ++block->traps < TRAPS_MAX)
        return;
    block->traps = 0;
    block->trapping |= BIT(index);
    translation_drop(translator, block->translation);
    translator->count.adapted++;
}

static void region_empty(struct translator *translator, struct cpu *cpu, unsigned region)
{
    memset(cpu->jumps, 0, sizeof cpu->jumps); /* they lead into code that will be overwritten */
    for (struct translated *translation = translator->regions[region]; translation;
         translation = translation->region_next)
        translation_drop(translator, translation);
    if (translator->regions[region])
        translator->cache.count.evictions++;
    translator->regions[region] = NULL;
    translator->faults[region].count = 0;
}

static struct translated *translate(struct translator *translator, struct cpu *cpu,
                                    struct block *block, bool follows)
{
    struct translated *translation = translate_block(translator, cpu, block, follows);
    if (!translation) {
        region_empty(translator, cpu, code_cache_next(&translator->cache));
        code_cache_advance(&translator->cache);
        translation = translate_block(translator, cpu, block, false);
        if (!translation)
            return NULL; /* too long for an empty region */
    }
    translation->region_next = translator->regions[translator->cache.region];
    translator->regions[translator->cache.region] = translation;
    cooling_translated(&translator->cooling, block->gpa);
    return translation;
}

static bool block_translate(struct translator *translator, struct cpu *cpu, struct block *block,
                            uint64_t rip, bool follows)
{
    if (translator->options.limit && translator->count.translated >= translator->options.limit)
        return false;
    struct translated *translation = translate(translator, cpu, block, follows);
    if (!translation)
        return false;
    block->translation = translation;
    block->code = translation->code;
    struct jump_entry *entry = block_jump_entry(cpu, cpu->code_base + rip);
    if (entry->block == block)
        entry->code = block->code;
    block->insns[0].exec = exec_translated;
    return true;
}

/* Translates what follows the block in its page, if it has run at all, so that the code of both is
 * one straight line. */
static void translate_straight_on(struct translator *translator, struct cpu *cpu,
                                  struct block *block)
{
    for (unsigned i = 0; i < STRAIGHT_MAX; i++) {
        struct exit *exit = link_at_end(block->translation);
        if (!exit || block->dead)
            return;
        const struct insn *insn = &block->insns[exit->insn];
        const uint64_t offset = (block->gpa & PAGE_OFFSET_MASK) + insn->offset + insn->length +
                                (exit->taken ? insn->imm : 0);
        const uint64_t gpa = (block->gpa & PAGE_MASK) + offset;
        struct block *next = offset < PAGE_BYTES ? block_at(cpu, gpa, block->mode) : NULL;
        if (!next || next->dead || next->translation || !next->executions || next->heat ||
            next->second_gpa != ~UINT64_C(0))
            return;
        const uint64_t rip = cpu->block_rip - (cpu->block->gpa & PAGE_OFFSET_MASK) + offset;
        const unsigned region = translator->cache.region;
        if (!block_translate(translator, cpu, next, rip, exit->forward) ||
            translator->cache.region != region)
            return;
        link_within_page(translator, exit, next->translation);
        block = next;
    }
}

/* The first handler of a block that is not translated yet. */
static int exec_counted(struct cpu *cpu, const struct insn *insn)
{
    struct translator *translator = translator_of(cpu);
    struct block *block = (struct block *)((char *)insn - offsetof(struct block, insns));
    if (++block->executions < translator->threshold * cooling_factor(block->heat))
        return block->head(cpu, insn);
    if (!block_translate(translator, cpu, block, cpu->block_rip, false)) {
        block->insns[0].exec = block->head;
        return block->head(cpu, insn);
    }
    translate_straight_on(translator, cpu, block);
    return exec_translated(cpu, insn);
}

static void block_decoded(struct cpu *cpu, struct block *block)
{
    struct translator *translator = translator_of(cpu);
    block->head = block->insns[0].exec;
    if (!translator->options.threshold)
        block->heat =
            (uint8_t)cooling_heat(&translator->cooling, block->gpa, translator->count.translated);
    block_interpret(translator, block);
}

static void block_killed(struct cpu *cpu, struct block *block)
{
    struct translator *translator = translator_of(cpu);
    if (block->translation) {
        translation_drop(translator, block->translation);
        translator->count.killed++;
        cooling_killed(&translator->cooling, block->gpa, translator->count.translated);
    }
    block->code = translator->stub_entry_cold;
}

static const struct cpu_engine engine = {
    .block_decoded = block_decoded,
    .block_killed = block_killed,
};

/* --- attaching */

static void windows_changed(void *opaque)
{
    struct cpu *cpu = opaque;
    const uint32_t mode = cpu->mode;
    cpu->native.window_modes[VIEW_USER] = windows_open(&cpu->mmu, VIEW_USER) ? MODE_WINDOW_USER : 0;
    cpu->native.window_modes[VIEW_SUPERVISOR] =
        windows_open(&cpu->mmu, VIEW_SUPERVISOR) ? MODE_WINDOW_SUPERVISOR : 0;
    cpu_mode_changed(cpu);
    if (cpu->mode != mode) /* cached jumps lead to blocks of the old mode */
        atomic_store_explicit(&cpu->attention, 1, memory_order_relaxed);
}

/* What windows may have of the host's mappings: less where it gives less than is usual. */
static unsigned areas_of_host(unsigned wanted)
{
    enum { USUAL = 65530 };
    FILE *file = fopen("/proc/sys/vm/max_map_count", "r");
    unsigned most = USUAL;
    if (file) {
        if (fscanf(file, "%u", &most) != 1 || most > USUAL)
            most = USUAL;
        fclose(file);
    }
    return (unsigned)((uint64_t)wanted * most / USUAL);
}

static int attach_windows(struct cpu *cpu, const struct translate_options *options,
                          struct error *error)
{
    if (options->windows == WINDOWS_OFF || !window_faults_supported())
        return 0;
    window_faults_install();
    struct windows_options windows[WINDOWS_VIEWS];
    for (unsigned view = 0; view < WINDOWS_VIEWS; view++) {
        windows[view] = windows_defaults[view];
        windows[view].max_areas = areas_of_host(windows[view].max_areas);
        if (options->windows == WINDOWS_ALWAYS)
            windows[view].earn_ticks = 0;
    }
    cpu->mmu.windows_changed = windows_changed;
    return windows_init(&cpu->mmu, cpu->native.window_deltas, windows, error);
}

int translator_attach(struct cpu *cpu, const struct translate_options *options, struct error *error)
{
    struct translator *translator = calloc(1, sizeof *translator);
    if (!translator)
        return error_set(error, ENOMEM, "translator: out of host memory; free some");
    translator->options = *options;
    translator->host = features_of_host();
    translator->threshold = options->threshold ? options->threshold : THRESHOLD_DEFAULT;
    size_t bytes =
        options->cache_bytes ? options->cache_bytes : (size_t)CODE_CACHE_DEFAULT_MIB << 20;
    int result = code_cache_init(&translator->cache, bytes, error);
    if (result < 0) {
        free(translator);
        return result;
    }
    stubs_emit(translator);
    result = attach_windows(cpu, options, error);
    if (result < 0) {
        code_cache_free(&translator->cache);
        free(translator);
        return result;
    }
    block_kill_all(cpu); /* blocks that were decoded without the engine */
    cpu->engine_state = translator;
    cpu->engine = &engine;
    return 0;
}

void translator_trace(struct cpu *cpu, struct trace_writer *trace)
{
    struct translator *translator = translator_of(cpu);
    if (!translator)
        return;
    block_kill_all(cpu); /* blocks that were translated without counting */
    translator->trace = trace;
    const struct code_cache *cache = &translator->cache;
    trace_code_cache(trace, (uintptr_t)code_executable(cache, cache->writable));
}

void translator_detach(struct cpu *cpu)
{
    struct translator *translator = translator_of(cpu);
    if (!translator)
        return;
    block_kill_all(cpu);
    cpu->engine = NULL;
    cpu->engine_state = NULL;
    windows_free(&cpu->mmu);
    cpu_mode_changed(cpu);
    window_faults_free(translator);
    code_cache_free(&translator->cache);
    free(translator);
}
