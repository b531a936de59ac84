/* Blocks of decoded instructions, cached by physical address and mode.
 *
 * INV-1: a block's bytes are marked in physmem as code; a write to any of them kills the block,
 *        unless only immediates changed that its instructions can take over (and did).
 * INV-2: a killed block's instructions all have exec_stale as handler, so that whoever runs it
 *        leaves at its next instruction; its memory lives until no one can be inside it.  Code from
 *        a device is dead from the start, and keeps its handlers for the one run that it has.
 * INV-3: a block lies in one page; an instruction that crosses into the next is a block of its own,
 *        filed under both pages, and found only while both still map as they did.
 * INV-4: a link leads from a block to one in the same page, whatever maps them: it needs no look at
 *        the mapping.  A link is good while its key is the cpu's link_key.
 */
#ifndef CPU_BLOCK_H
#define CPU_BLOCK_H

#include "cpu/cpu.h"

enum { BLOCK_INSNS_MAX = 48 };

/* Where a branch at the block's end led. */
struct block_link {
    uint64_t key;
    struct block *block;
};

struct block {
    uint64_t gpa;        /* of the first byte */
    uint64_t second_gpa; /* of the second page's first byte, or ~0 */
    uint32_t mode;
    uint16_t count; /* instructions, without the sentinel */
    uint16_t bytes;
    bool dead;
    uint8_t heat;      /* the engine's: how often code of its page has been changed */
    uint64_t trapping; /* the engine's: by instruction, whose accesses keep trapping */
    uint8_t traps;
    uint32_t executions; /* decides when the translator takes over */
    exec_fn *head;       /* the interpreter's handler of insns[0] */
    void *translation;   /* the engine's */
    void *code;          /* where translated code enters it: see translate/engine.h */
    struct block *hash_next;
    struct block *line_next[2]; /* other blocks of the line (and of the second page's) */
    struct block *dead_next;
    struct block_link links[2]; /* the branch not taken, taken */
    struct insn insns[];        /* count, then a sentinel: exec_continue */
};

struct block_cache *block_cache_new(struct physmem *physmem);
void block_cache_free(struct block_cache *cache);
/* The block at cs:rip in the present mode, decoded if need be; NULL when the fetch faults (then the
 * fault is pending). */
struct block *block_find(struct cpu *cpu, uint64_t rip);
/* [gpa, gpa + length), within one page, has been written: blocks that hold any of it are patched or
 * killed. */
void block_code_written(struct cpu *cpu, gpa_t gpa, unsigned length);
/* The block decoded from `gpa` in `mode`, if there is one; changes nothing. */
struct block *block_at(const struct cpu *cpu, uint64_t gpa, uint32_t mode);
/* Kills the blocks that hold any of [gpa, gpa + length), within one page. */
void block_kill_range(struct cpu *cpu, gpa_t gpa, unsigned length);
/* Kills everything. */
void block_kill_all(struct cpu *cpu);
/* Frees what was killed; only between blocks. */
void block_reap(struct cpu *cpu);

/* What cached jumps are valid for: the mode, the privilege to fetch, the state of the mapping. */
static inline uint64_t block_context(const struct cpu *cpu, uint64_t generation)
{
    return generation << 16 | (uint64_t)(cpu->cpl == 3) << 15 | cpu->mode;
}
static inline uint64_t block_fetch_context(const struct cpu *cpu)
{
    return block_context(cpu, cpu->mmu.fetch_generation);
}
static inline void block_update_context(struct cpu *cpu)
{
    cpu->fetch_context = block_fetch_context(cpu);
    cpu->global_context = block_context(cpu, cpu->mmu.global_generation);
}
/* The context of the block that block_find() has just found. */
static inline uint64_t block_found_context(const struct cpu *cpu)
{
    return cpu->fetched_global ? cpu->global_context : cpu->fetch_context;
}
static always_inline bool block_context_holds(const struct cpu *cpu, uint64_t context)
{
    return likely(context == cpu->fetch_context) || context == cpu->global_context;
}

/* As block_go() for a relative branch of the running block, which is linked if it can be. */
int block_go_and_link(struct cpu *cpu, unsigned taken);

/* Goes on at cpu->rip: straight into the block if the jump cache knows it and nothing wants
 * attention, else back to the run loop. */
#ifdef RING3_THREADED
#define BLOCK_GO(cpu) block_go(cpu)
#else
#define BLOCK_GO(cpu) EXEC_LEAVE
#endif

/* The entry that has `linear`, whatever its context, or the one that it would get: the cache has
 * two ways. */
static always_inline struct jump_entry *block_jump_entry(struct cpu *cpu, uint64_t linear)
{
    const unsigned first = (linear ^ linear >> 16) & (JUMP_CACHE_ENTRIES - 1);
    struct jump_entry *entry = &cpu->jumps[first], *other = &cpu->jumps[first ^ 1];
    return likely(entry->linear == linear) || other->linear != linear ? entry : other;
}

/* Puts the block that block_find() has just found at `linear` into the jump cache. */
static inline struct jump_entry *block_remember(struct cpu *cpu, uint64_t linear,
                                                struct block *block)
{
    struct jump_entry *entry = block_jump_entry(cpu, linear);
    if (entry->linear != linear)
        cpu->jumps[(entry - cpu->jumps) ^ 1] = *entry;
    *entry = (struct jump_entry){
        .linear = linear, .context = block_found_context(cpu), .block = block, .code = block->code};
    return entry;
}

static always_inline int block_enter(struct cpu *cpu, struct block *block, uint64_t rip)
{
    cpu->block = block;
    cpu->block_rip = rip;
    cpu->instructions += block->count;
    return block->insns[0].exec(cpu, block->insns);
}

static always_inline int block_go(struct cpu *cpu)
{
    uint64_t linear = cpu->code_base + cpu->rip;
    struct jump_entry *entry = block_jump_entry(cpu, linear);
    if (likely(entry->linear == linear && block_context_holds(cpu, entry->context) &&
               !atomic_load_explicit(&cpu->attention, memory_order_relaxed)))
        return block_enter(cpu, entry->block, cpu->rip);
    return 1; /* EXEC_LEAVE */
}

/* The block that the running one's branch leads to, or NULL: then block_go_and_link(). */
static always_inline struct block *block_linked(const struct cpu *cpu, unsigned taken)
{
    const struct block *block = cpu->block;
    uint64_t key = __atomic_load_n(&cpu->link_key, __ATOMIC_RELAXED);
    return likely(block && block->links[taken].key == key) ? block->links[taken].block : NULL;
}

#endif
