#include "conform/host_engine.h"

#include "cpu/decode.h"
#include "cpu/exec.h"
#include "cpu/system.h"

#include <string.h>

enum { TABLE_PD = PRESET_TABLES + 0x2000, TABLE_PT = PRESET_TABLES + 0x3000, ENTRIES = 512 };
/* Present, user, accessed, dirty. */
enum { ENTRY_CODE = 0x65, ENTRY_WRITABLE = 2 };

/* --- the machine */

enum preset host_engine_preset(unsigned code_size)
{
    return code_size == CODE_64 ? PRESET_LONG : PRESET_COMPATIBILITY;
}

static void narrow_segments(struct state *state)
{
    for (unsigned seg = ES; seg <= GS; seg++) {
        union state_value *rights = &state->value[SF_ES_RIGHTS + 4 * seg];
        state_put(state, SF_ES_BASE + 4 * seg, HOST_BASE);
        state_put(state, SF_ES_LIMIT + 4 * seg, UINT16_MAX);
        rights->word[0] &= ~(uint64_t)(SEG_G | SEG_DB);
    }
}

void host_engine_state(unsigned code_size, const struct feature_set *features, struct state *state)
{
    preset_state(host_engine_preset(code_size), 3, state);
    state->value[SF_CR0].word[0] |= CR0_AM;
    if (feature_has(features, FEAT_AVX)) {
        state->value[SF_CR4].word[0] |= CR4_OSXSAVE;
        state_put(state, SF_XCR0, XCR0_X87 | XCR0_SSE | XCR0_AVX);
    }
    if (code_size == CODE_16)
        narrow_segments(state);
}

uint32_t host_engine_table_entry_at(uint64_t linear)
{
    return TABLE_PT + 8 * (uint32_t)(linear >> PAGE_SHIFT);
}

uint64_t host_engine_table_entry(uint64_t linear)
{
    const uint64_t page = linear & PAGE_MASK;

    if (page >= HOST_DATA && page < HOST_DATA + HOST_DATA_BYTES)
        return page | ENTRY_CODE | ENTRY_WRITABLE;
    return page == HOST_CODE ? page | ENTRY_CODE : 0;
}

/* The preset's tables, with nothing there but the sandbox. */
static void put_memory(struct bare *bare)
{
    preset_memory(PRESET_LONG, bare);
    for (uint64_t page = 0; page < ENTRIES * PAGE_BYTES; page += PAGE_BYTES)
        store_le64(bare_byte(bare, host_engine_table_entry_at(page)),
                   host_engine_table_entry(page));
    memset(bare_byte(bare, TABLE_PD + 8), 0, PAGE_BYTES - 8);
}

static bool open_bare(struct host_engine *engine, struct bare *bare,
                      const struct feature_set *features)
{
    struct state state;

    for (unsigned i = 0; i < ARRAY_LENGTH(features->words); i++)
        bare->model.features.words[i] &= features->words[i];
    bare->keeps_faults = true;
    put_memory(bare);
    mmu_set_a20(&bare->cpu->mmu, true);
    for (unsigned size = CODE_16; size <= CODE_64; size++) {
        host_engine_state(size, features, &state);
        if (!state_load(bare->cpu, &state))
            return false;
        memcpy(engine->segments[size], bare->cpu->segs, sizeof engine->segments[size]);
    }
    return true;
}

int host_engine_init(struct host_engine *engine, enum engine kind,
                     const struct feature_set *features, struct error *error)
{
    static const enum windows_use uses[HOST_WAYS] = {WINDOWS_OFF, WINDOWS_ALWAYS};

    *engine = (struct host_engine){0};
    while (engine->ways < (kind == ENGINE_TRANSLATE ? HOST_WAYS : 1)) {
        struct bare *bare = &engine->bares[engine->ways];
        const int result = bare_init(bare, "max", kind, uses[engine->ways], error);
        if (result) {
            host_engine_free(engine);
            return result;
        }
        engine->entry[engine->ways++] = HOST_CODE;
        BUG_ON(!open_bare(engine, bare, features));
    }
    return 0;
}

void host_engine_free(struct host_engine *engine)
{
    while (engine->ways)
        bare_free(&engine->bares[--engine->ways]);
}

/* --- a case */

/* WHY the last one's go: 16-bit code may read them. */
static void put_code(struct bare *bare, const struct host_case *c, uint32_t *last)
{
    const uint32_t entry = (uint32_t)(host_case_base(c) + c->state.rip);
    const unsigned fetched = host_case_fetched(c);

    memset(bare_byte(bare, *last), 0, sizeof c->bytes);
    bare_note(bare, *last, sizeof c->bytes);
    memcpy(bare_byte(bare, entry), c->bytes, fetched);
    bare_note(bare, entry, fetched);
    *last = entry < HOST_CODE_LAST ? entry : HOST_CODE_LAST;
}

static void load(struct host_engine *engine, struct bare *bare, const struct host_case *c)
{
    const struct host_state *state = &c->state;
    const struct host_fx *fx = &state->fx;
    const unsigned top = fx->status >> 11 & 7;
    struct cpu *cpu = bare->cpu;

    put_code(bare, c, &engine->entry[bare - engine->bares]);
    for (uint32_t at = 0; at < HOST_DATA_BYTES; at += PAGE_BYTES)
        memcpy(bare_byte(bare, HOST_DATA + at), c->data + at, PAGE_BYTES);

    memcpy(cpu->regs, state->regs, sizeof state->regs);
    cpu->rip = state->rip;
    cpu_set_eflags(cpu, state->eflags, UINT32_MAX);
    memcpy(cpu->segs, engine->segments[c->code_size], sizeof engine->segments[0]);
    cpu_mode_changed(cpu);
    cpu->x87.control = fx->control;
    cpu->x87.status = fx->status;
    cpu->x87.valid = fx->valid;
    for (unsigned i = 0; i < 8; i++)
        cpu->x87.registers[(top + i) & 7] =
            (struct x87_register){.mantissa = fx->st[i].mantissa, .exponent = fx->st[i].exponent};
    cpu->mxcsr = fx->mxcsr;
    for (unsigned i = 0; i < 16; i++) {
        memcpy(&cpu->xmm[i], fx->xmm[i], 16);
        memcpy(&cpu->xmm[i].q[2], state->upper[i], 16);
    }
}

static void store(struct bare *bare, struct host_result *result)
{
    const struct cpu *cpu = bare->cpu;
    struct host_state *state = &result->state;
    struct host_fx *fx = &state->fx;
    const unsigned top = cpu->x87.status >> 11 & 7;

    memcpy(state->regs, cpu->regs, sizeof state->regs);
    state->rip = cpu->rip;
    state->eflags = cpu_eflags(cpu);
    fx->control = cpu->x87.control;
    fx->status = cpu->x87.status;
    fx->valid = cpu->x87.valid;
    for (unsigned i = 0; i < 8; i++) {
        fx->st[i].mantissa = cpu->x87.registers[(top + i) & 7].mantissa;
        fx->st[i].exponent = cpu->x87.registers[(top + i) & 7].exponent;
    }
    fx->mxcsr = cpu->mxcsr;
    for (unsigned i = 0; i < 16; i++) {
        memcpy(fx->xmm[i], &cpu->xmm[i], 16);
        memcpy(state->upper[i], &cpu->xmm[i].q[2], 16);
    }
    for (uint32_t at = 0; at < HOST_DATA_BYTES; at += PAGE_BYTES)
        memcpy(result->data + at, bare_byte(bare, HOST_DATA + at), PAGE_BYTES);
    result->outcome = (struct host_outcome){.vector = -1};
    if (bare->faulted)
        result->outcome = (struct host_outcome){
            .vector = bare->fault.vector, .error = bare->fault.error, .address = bare->fault.cr2};
}

/* By the row's general handler: blocks exchange it for a faster one where they can.  False: it does
 * not end. */
static bool run_general(struct bare *bare, const struct host_case *c)
{
    struct cpu *cpu = bare->cpu;
    const uint64_t start = cpu->rip;
    struct insn insns[2] = {c->insn, {.exec = exec_stop, .offset = c->insn.length}};
    unsigned left = UINT16_MAX + 2;
    int result;

    cpu->block = NULL;
    sse_enter(cpu);
    do {
        atomic_store_explicit(&cpu->attention, 1, memory_order_relaxed); /* branches come back */
        cpu->block_rip = cpu->rip;
        result = insns[0].exec(cpu, insns);
        if (result == EXEC_NEXT)
            result = exec_stop(cpu, &insns[1]);
    } while (result == EXEC_LEAVE && cpu->rip == start && c->resumes && --left);
    sse_leave(cpu);
    if (result == EXEC_FAULT) {
        bare->faulted = true;
        bare->fault = cpu->fault;
    }
    return left;
}

void host_engine_run(struct host_engine *engine, const struct host_case *c,
                     struct host_result *result, bool *translated)
{
    struct bare *bare = &engine->bares[c->variant % engine->ways];
    const uint64_t entered = bare->cpu->native.entered;

    load(engine, bare, c);
    bare->faulted = false;
    const bool general =
        bare->engine == ENGINE_INTERP && c->variant && host_case_fetched(c) >= c->insn.length;
    const bool ended = general ? run_general(bare, c) : bare_run_instruction(bare, &c->insn);
    store(bare, result);
    if (!ended && !bare->faulted)
        result->outcome.vector = HOST_NEVER_ENDED;
    *translated = bare->cpu->native.entered != entered;
}
