/* The cache of decoded blocks.  Invariants: cpu/block.h.
 *
 * A block is found by hash of its physical address and mode, and listed in the RAM page (or two)
 * that its bytes lie in, by the line of its first byte there, so that a write finds what it
 * changes. Code outside RAM shares the lists of one page.
 */
#include "cpu/block.h"
#include "base/log.h"
#include "cpu/decode.h"
#include "cpu/exec.h"
#include "cpu/exec_special.h"

#include <stdlib.h>

#define NO_PAGE (~UINT64_C(0))

enum {
    BUCKETS_FIRST = 1 << 12,
    CACHE_BYTES_MAX = 96 << 20, /* decoded code beyond this: start afresh */
    DEAD_BYTES_MAX = 4 << 20,
    LINE_BYTES = PHYSMEM_CODE_LINE,
    LINES = PAGE_BYTES / LINE_BYTES,
};

/* The blocks with bytes in one page; there is none for a page without. */
struct code_page {
    struct block *lines[LINES];
    unsigned count;   /* blocks in all lists */
    unsigned longest; /* bytes of the longest so far: how far back a write must look */
};

struct block_cache {
    struct physmem *physmem;
    struct block **buckets;
    uint64_t bucket_count, block_count;
    struct code_page **pages; /* by RAM page index; the last: all that is not RAM */
    uint64_t page_count;
    size_t bytes, dead_bytes;
    struct block *dead;
};

struct block_cache *block_cache_new(struct physmem *physmem)
{
    struct block_cache *cache = calloc(1, sizeof *cache);
    BUG_ON(!cache);
    cache->physmem = physmem;
    cache->bucket_count = BUCKETS_FIRST;
    cache->buckets = calloc(cache->bucket_count, sizeof *cache->buckets);
    cache->page_count = (physmem->ram_bytes >> PAGE_SHIFT) + 1;
    cache->pages = calloc(cache->page_count, sizeof *cache->pages);
    BUG_ON(!cache->buckets || !cache->pages);
    return cache;
}

static void dead_free(struct block_cache *cache)
{
    while (cache->dead) {
        struct block *block = cache->dead;
        cache->dead = block->dead_next;
        free(block);
    }
    cache->dead_bytes = 0;
}

void block_cache_free(struct block_cache *cache)
{
    if (!cache)
        return;
    for (uint64_t bucket = 0; bucket < cache->bucket_count; bucket++)
        for (struct block *block = cache->buckets[bucket], *next; block; block = next) {
            next = block->hash_next;
            free(block);
        }
    dead_free(cache);
    for (uint64_t page = 0; page < cache->page_count; page++)
        free(cache->pages[page]);
    free(cache->buckets);
    free(cache->pages);
    free(cache);
}

static size_t block_bytes(unsigned count)
{
    return sizeof(struct block) + (count + 1) * sizeof(struct insn);
}

static uint64_t bucket_of(const struct block_cache *cache, uint64_t gpa, uint32_t mode)
{
    uint64_t hash = (gpa ^ (uint64_t)mode << 48) * UINT64_C(0x9e3779b97f4a7c15);
    return hash >> 20 & (cache->bucket_count - 1);
}

static struct code_page **page_slot(struct block_cache *cache, uint64_t gpa)
{
    uint64_t index = physmem_ram_index(cache->physmem, gpa_ppn(GPA(gpa)));
    return &cache->pages[index == PHYSMEM_NOT_RAM ? cache->page_count - 1 : index];
}

static unsigned line_of(uint64_t gpa)
{
    return (unsigned)(gpa & PAGE_OFFSET_MASK) / LINE_BYTES;
}

/* The block's link in the list of `line`, one of the two it may be in: a block that crosses begins
 * in its first page's last line and goes on in the second's first. */
static struct block **line_next(struct block *block, unsigned line)
{
    return &block->line_next[line_of(block->gpa) != line];
}

static void buckets_grow(struct block_cache *cache)
{
    uint64_t old_count = cache->bucket_count;
    struct block **old = cache->buckets;
    struct block **grown = calloc(2 * old_count, sizeof *grown);
    if (!grown)
        return; /* longer chains, nothing worse */
    cache->buckets = grown;
    cache->bucket_count = 2 * old_count;
    for (uint64_t i = 0; i < old_count; i++)
        for (struct block *block = old[i], *next; block; block = next) {
            next = block->hash_next;
            struct block **bucket = &grown[bucket_of(cache, block->gpa, block->mode)];
            block->hash_next = *bucket;
            *bucket = block;
        }
    free(old);
}

static void list_add(struct block_cache *cache, struct block *block, uint64_t gpa)
{
    struct code_page **slot = page_slot(cache, gpa);
    if (!*slot)
        *slot = calloc(1, sizeof **slot);
    BUG_ON(!*slot);
    struct code_page *page = *slot;
    unsigned line = line_of(gpa);
    *line_next(block, line) = page->lines[line];
    page->lines[line] = block;
    page->count++;
    if (block->bytes > page->longest)
        page->longest = block->bytes;
}

static void cache_add(struct cpu *cpu, struct block *block)
{
    struct block_cache *cache = cpu->blocks;
    if (2 * cache->block_count > cache->bucket_count)
        buckets_grow(cache);
    struct block **bucket = &cache->buckets[bucket_of(cache, block->gpa, block->mode)];
    block->hash_next = *bucket;
    *bucket = block;
    cache->block_count++;
    cache->bytes += block_bytes(block->count);
    list_add(cache, block, block->gpa);
    if (block->second_gpa != NO_PAGE)
        list_add(cache, block, block->second_gpa);
}

static void list_remove(struct block_cache *cache, struct block *block, uint64_t gpa)
{
    struct code_page **slot = page_slot(cache, gpa);
    unsigned line = line_of(gpa);
    struct block **link = &(*slot)->lines[line];
    while (*link != block)
        link = line_next(*link, line);
    *link = *line_next(block, line);
    if (--(*slot)->count)
        return;
    free(*slot);
    *slot = NULL;
}

static void mark_code(struct cpu *cpu, const struct block *block)
{
    struct physmem *physmem = cpu->mmu.physmem;
    unsigned first = block->bytes;
    if (block->second_gpa != NO_PAGE) {
        first = PAGE_BYTES - (block->gpa & PAGE_OFFSET_MASK);
        physmem_mark_code(physmem, GPA(block->second_gpa), block->bytes - first);
        mmu_protect_code(&cpu->mmu, gpa_ppn(GPA(block->second_gpa)));
    }
    physmem_mark_code(physmem, GPA(block->gpa), first);
    mmu_protect_code(&cpu->mmu, gpa_ppn(GPA(block->gpa)));
}

/* --- links between blocks of a page */

/* WHY: after 2^32 kills the epochs come again, and an old link must not. */
static void links_forget(struct block_cache *cache)
{
    for (uint64_t i = 0; i < cache->bucket_count; i++)
        for (struct block *block = cache->buckets[i]; block; block = block->hash_next)
            memset(block->links, 0, sizeof block->links);
    for (struct block *block = cache->dead; block; block = block->dead_next)
        memset(block->links, 0, sizeof block->links);
}

static void links_break(struct cpu *cpu)
{
    if (unlikely(++cpu->link_epoch == 0)) {
        links_forget(cpu->blocks);
        cpu->link_epoch = 1;
    }
}

int block_go_and_link(struct cpu *cpu, unsigned taken)
{
    uint64_t linear = cpu->code_base + cpu->rip;
    const struct jump_entry *entry = block_jump_entry(cpu, linear);
    if (entry->linear != linear || !block_context_holds(cpu, entry->context) ||
        atomic_load_explicit(&cpu->attention, memory_order_relaxed))
        return EXEC_LEAVE;
    struct block *from = cpu->block, *to = entry->block;
    uint64_t from_linear = cpu->code_base + cpu->block_rip;
    if (from && !to->dead && from->second_gpa == NO_PAGE && to->second_gpa == NO_PAGE &&
        !((linear ^ from_linear) & PAGE_MASK))
        from->links[taken] =
            (struct block_link){.key = (uint64_t)cpu->link_epoch << 32, .block = to};
    return block_enter(cpu, to, cpu->rip);
}

/* Takes the block out of every list; INV-2. */
static void block_kill(struct cpu *cpu, struct block *block)
{
    struct block_cache *cache = cpu->blocks;
    struct block **link = &cache->buckets[bucket_of(cache, block->gpa, block->mode)];
    while (*link != block)
        link = &(*link)->hash_next;
    *link = block->hash_next;
    list_remove(cache, block, block->gpa);
    if (block->second_gpa != NO_PAGE)
        list_remove(cache, block, block->second_gpa);
    cache->block_count--;
    cache->bytes -= block_bytes(block->count);
    cache->dead_bytes += block_bytes(block->count);
    block->dead = true;
    block->dead_next = cache->dead;
    cache->dead = block;
    for (unsigned i = 0; i <= block->count; i++)
        block->insns[i].exec = exec_stale;
    if (cpu->engine)
        cpu->engine->block_killed(cpu, block);
    cpu->count.blocks_killed++;
    links_break(cpu);
}

static bool block_overlaps(const struct block *block, uint64_t gpa, unsigned length)
{
    uint64_t first_bytes =
        block->second_gpa == NO_PAGE ? block->bytes : PAGE_BYTES - (block->gpa & PAGE_OFFSET_MASK);
    if (gpa < block->gpa + first_bytes && block->gpa < gpa + length)
        return true;
    return block->second_gpa != NO_PAGE && gpa < block->second_gpa + block->bytes - first_bytes &&
           block->second_gpa < gpa + length;
}

/* --- what a change of bytes does to the blocks that hold them */

/* Takes over a new immediate, if that is all that `bytes` have new to say.
 * WHY: the instruction may be the one that is writing; then what it read at its start counts, so
 * none that stores, or leads elsewhere, is changed. */
static bool insn_patch(const struct cpu *cpu, struct insn *insn, uint32_t mode,
                       const uint8_t *bytes)
{
    bool is_fixed =
        insn->memory || opcode_rows[insn->row].attributes & (A_STACK | A_END | A_BRANCH);
    struct insn now;
    if (decode(bytes, insn->length, mode, &cpu->model->features, &now) != DECODE_OK)
        return false;
    uint64_t imm = now.imm;
    now.imm = insn->imm;
    now.exec = insn->exec;
    now.offset = insn->offset;
    if (memcmp(&now, insn, sizeof now) != 0 || (is_fixed && imm != insn->imm))
        return false;
    insn->imm = imm;
    return true;
}

/* Brings the block's instructions in [gpa, gpa + length) up to date; false if the block must go. */
static bool block_patch(struct cpu *cpu, struct block *block, uint64_t gpa, unsigned length)
{
    const uint8_t *page = physmem_page_read(cpu->mmu.physmem, gpa_ppn(GPA(gpa)));
    if (!page || block->translation || block->second_gpa != NO_PAGE)
        return false;
    const uint8_t *bytes = page + (block->gpa & PAGE_OFFSET_MASK);
    for (struct insn *insn = block->insns; insn < block->insns + block->count; insn++) {
        uint64_t at = block->gpa + insn->offset;
        if (at < gpa + length && gpa < at + insn->length &&
            !insn_patch(cpu, insn, block->mode, bytes + insn->offset))
            return false;
    }
    block->executions = 0; /* what is rewritten is not worth translating */
    cpu->count.blocks_patched++;
    return true;
}

/* Does it to the blocks that begin in `line`; true if one of them has bytes in the range's lines
 * and lives on. */
static bool line_changed(struct cpu *cpu, unsigned line, uint64_t gpa, unsigned length,
                         bool may_patch)
{
    const struct code_page *page = *page_slot(cpu->blocks, gpa);
    uint64_t lines_start = gpa & ~(uint64_t)(LINE_BYTES - 1);
    uint64_t lines_end = (gpa + length + LINE_BYTES - 1) & ~(uint64_t)(LINE_BYTES - 1);
    bool kept = false;
    for (struct block *block = page ? page->lines[line] : NULL, *next; block; block = next) {
        next = *line_next(block, line);
        if (block_overlaps(block, gpa, length) &&
            !(may_patch && block_patch(cpu, block, gpa, length)))
            block_kill(cpu, block);
        else
            kept |= block_overlaps(block, lines_start, (unsigned)(lines_end - lines_start));
    }
    return kept;
}

static void log_changed(const struct cpu *cpu, gpa_t gpa, unsigned length, uint64_t killed_before,
                        uint64_t patched_before)
{
    uint64_t killed = cpu->count.blocks_killed - killed_before;
    uint64_t patched = cpu->count.blocks_patched - patched_before;
    if (killed || patched)
        log_line(LOG_SMC,
                 "smc: %u bytes at physical %llx changed: %llu blocks killed, %llu patched", length,
                 (unsigned long long)gpa.v, (unsigned long long)killed,
                 (unsigned long long)patched);
}

static void range_changed(struct cpu *cpu, gpa_t gpa, unsigned length, bool may_patch)
{
    struct physmem *physmem = cpu->mmu.physmem;
    struct code_page **slot = page_slot(cpu->blocks, gpa.v);
    unsigned first = line_of(gpa.v), last = line_of(gpa.v + length - 1);
    unsigned back = *slot ? ((*slot)->longest + LINE_BYTES - 1) / LINE_BYTES : 0;
    bool kept = false;
    const uint64_t killed = cpu->count.blocks_killed, patched = cpu->count.blocks_patched;
    for (unsigned line = first > back ? first - back : 0; *slot && line <= last; line++)
        kept |= line_changed(cpu, line, gpa.v, length, may_patch);
    if (log_enabled(LOG_SMC))
        log_changed(cpu, gpa, length, killed, patched);
    if (!*slot)
        physmem_unmark_code(physmem, ppn_gpa(gpa_ppn(gpa)), PAGE_BYTES);
    else if (!kept)
        physmem_unmark_code(physmem, gpa, length);
}

void block_code_written(struct cpu *cpu, gpa_t gpa, unsigned length)
{
    cpu->count.code_writes++;
    range_changed(cpu, gpa, length, length <= INSN_LENGTH_MAX);
}

void block_kill_range(struct cpu *cpu, gpa_t gpa, unsigned length)
{
    range_changed(cpu, gpa, length, false);
}

void block_kill_all(struct cpu *cpu)
{
    struct block_cache *cache = cpu->blocks;
    for (uint64_t index = 0; index < cache->page_count; index++)
        for (unsigned line = 0; line < LINES; line++)
            while (cache->pages[index] && cache->pages[index]->lines[line]) {
                struct block *block = cache->pages[index]->lines[line];
                physmem_unmark_code(cache->physmem, GPA(block->gpa & PAGE_MASK), PAGE_BYTES);
                if (block->second_gpa != NO_PAGE)
                    physmem_unmark_code(cache->physmem, GPA(block->second_gpa), PAGE_BYTES);
                block_kill(cpu, block);
            }
}

void block_reap(struct cpu *cpu)
{
    struct block_cache *cache = cpu->blocks;
    if (cache->bytes > CACHE_BYTES_MAX)
        block_kill_all(cpu);
    if (cache->dead_bytes < DEAD_BYTES_MAX)
        return;
    cpu->block = NULL;
    memset(cpu->jumps, 0, sizeof cpu->jumps); /* no cached jump may lead into what is freed */
    mmu_forget_fetches(&cpu->mmu);
    dead_free(cache);
}

/* --- fetching and decoding */

struct fetch {
    const uint8_t *bytes;
    unsigned available;
    gpa_t gpa, second_gpa;
    uint8_t copy[2 * INSN_LENGTH_MAX];
    bool from_device; /* not memory: what it gives now says nothing of later */
};

static bool fetch_translate(struct cpu *cpu, uint64_t linear, gpa_t *gpa)
{
    struct translation found;
    uint32_t error;
    enum shadow_view_id view = cpu->cpl == 3 ? VIEW_USER : VIEW_SUPERVISOR;
    if (mmu_translate(&cpu->mmu, view, GVA(linear), ACCESS_EXECUTE, &found, &error)) {
        *gpa = found.gpa;
        cpu->fetched_global &= found.global;
        mmu_note_fetch(&cpu->mmu, GVA(linear), &found);
        return false;
    }
    cpu_fault(cpu, VECTOR_PF, error);
    cpu->fault.cr2 = linear;
    return true;
}

/* What can be read at `gpa` up to the page's end, at most one instruction's length if a device
 * answers. */
static unsigned fetch_page(struct cpu *cpu, struct fetch *fetch, gpa_t gpa, uint8_t *copy)
{
    unsigned left = PAGE_BYTES - (gpa.v & PAGE_OFFSET_MASK);
    const uint8_t *page = physmem_page_read(cpu->mmu.physmem, gpa_ppn(gpa));
    if (page) {
        fetch->bytes = page + (gpa.v & PAGE_OFFSET_MASK);
        return left;
    }
    fetch->from_device = true;
    unsigned count = left < INSN_LENGTH_MAX ? left : INSN_LENGTH_MAX;
    for (unsigned i = 0; i < count; i++)
        copy[i] = (uint8_t)cpu->ops->mmio_read(cpu->machine, cpu, GPA(gpa.v + i), 1);
    fetch->bytes = copy;
    return count;
}

/* Adds the next page's bytes, for an instruction that does not end in the first. */
static bool fetch_second(struct cpu *cpu, struct fetch *fetch, uint64_t linear)
{
    uint64_t next = ((linear | PAGE_OFFSET_MASK) + 1) & cpu->linear_mask;
    unsigned first = fetch->available;
    if (fetch_translate(cpu, next, &fetch->second_gpa))
        return true;
    memmove(fetch->copy, fetch->bytes, first);
    uint8_t device_bytes[INSN_LENGTH_MAX];
    unsigned more = fetch_page(cpu, fetch, fetch->second_gpa, device_bytes);
    if (more > INSN_LENGTH_MAX)
        more = INSN_LENGTH_MAX;
    memcpy(fetch->copy + first, fetch->bytes, more);
    fetch->bytes = fetch->copy;
    fetch->available = first + more;
    return false;
}

/* Bytes from rip on that CS's limit allows, or that are canonical. */
static uint64_t fetch_limit(const struct cpu *cpu, uint64_t rip)
{
    if (!cpu_is_64(cpu))
        return (uint64_t)cpu->segs[CS].limit + 1 - rip;
    return rip >> 63 ? ~UINT64_C(0) : (UINT64_C(1) << 47) - rip;
}

static struct insn *insn_append(struct insn *insns, unsigned *count, unsigned *offset)
{
    struct insn *insn = &insns[(*count)++];
    insn->offset = (uint16_t)*offset;
    *offset += insn->length;
    return insn;
}

/* Decodes up to `max` instructions; *bytes is their length.  The first is always there, or a fault
 * is pending and the count is 0. */
static unsigned decode_block(struct cpu *cpu, struct fetch *fetch, uint64_t rip, uint64_t linear,
                             struct insn *insns, unsigned max, unsigned *bytes)
{
    const struct feature_set *features = &cpu->model->features;
    uint64_t limit = fetch_limit(cpu, rip);
    unsigned count = 0, offset = 0;
    while (count < max && offset < fetch->available) {
        struct insn *insn = &insns[count];
        enum decode_result result =
            decode(fetch->bytes + offset, fetch->available - offset, cpu->mode, features, insn);
        if (result == DECODE_TRUNCATED) {
            if (count)
                break;
            if (fetch->available >= limit) { /* WHY first: the next page is not looked at */
                cpu_fault(cpu, VECTOR_GP, 0);
                return 0;
            }
            if (fetch->available > INSN_LENGTH_MAX || fetch_second(cpu, fetch, linear))
                return 0;
            decode(fetch->bytes, fetch->available, cpu->mode, features, insn);
            max = 1;
        }
        if (offset + insn->length > limit) {
            if (count)
                break;
            cpu_fault(cpu, VECTOR_GP, 0);
            return 0;
        }
        if (decode_ends_block(insn_append(insns, &count, &offset)))
            break;
    }
    *bytes = offset;
    return count;
}

static struct block *block_decode(struct cpu *cpu, uint64_t rip, uint64_t linear, gpa_t gpa)
{
    struct insn insns[BLOCK_INSNS_MAX];
    struct fetch fetch = {.gpa = gpa, .second_gpa = GPA(NO_PAGE)};
    fetch.available = fetch_page(cpu, &fetch, gpa, fetch.copy);
    unsigned bytes, max = BLOCK_INSNS_MAX;
    if (cpu->mode & MODE_SINGLE || cpu->one_insn_per_block || fetch.from_device)
        max = 1;
    unsigned count = decode_block(cpu, &fetch, rip, linear, insns, max, &bytes);
    if (!count)
        return NULL;

    struct block *block = malloc(block_bytes(count));
    BUG_ON(!block);
    bool crosses = (gpa.v & PAGE_OFFSET_MASK) + bytes > PAGE_BYTES;
    *block = (struct block){.gpa = gpa.v,
                            .second_gpa = crosses ? fetch.second_gpa.v & PAGE_MASK : NO_PAGE,
                            .mode = cpu->mode,
                            .count = (uint16_t)count,
                            .bytes = (uint16_t)bytes};
    memcpy(block->insns, insns, count * sizeof *insns);
    block->insns[count] = (struct insn){.exec = exec_continue, .offset = (uint16_t)bytes};
    exec_specialise(block->insns, count);
    cache_add(cpu, block);
    cpu->count.blocks_decoded++;
    /* What came from a device, or hung on bytes that it does not hold, runs once. */
    if (fetch.from_device || (fetch.second_gpa.v != NO_PAGE && !crosses)) {
        block_kill(cpu, block);
        memcpy(block->insns, insns, count * sizeof *insns);
        block->insns[count].exec = exec_continue;
    } else {
        mark_code(cpu, block);
    }
    if (cpu->engine && !block->dead && !(block->mode & MODE_SINGLE))
        cpu->engine->block_decoded(cpu, block);
    return block;
}

/* A crossing block must still find its second half where it was. */
static bool second_page_holds(struct cpu *cpu, const struct block *block, uint64_t linear,
                              bool *faulted)
{
    gpa_t second;
    uint64_t next = ((linear | PAGE_OFFSET_MASK) + 1) & cpu->linear_mask;
    *faulted = fetch_translate(cpu, next, &second);
    return !*faulted && second.v == block->second_gpa;
}

static struct block *cache_search(const struct block_cache *cache, uint64_t gpa, uint32_t mode)
{
    struct block *block = cache->buckets[bucket_of(cache, gpa, mode)];
    while (block && (block->gpa != gpa || block->mode != mode))
        block = block->hash_next;
    return block;
}

struct block *block_at(const struct cpu *cpu, uint64_t gpa, uint32_t mode)
{
    return cache_search(cpu->blocks, gpa, mode);
}

struct block *block_find(struct cpu *cpu, uint64_t rip)
{
    uint64_t linear = (cpu->code_base + rip) & cpu->linear_mask;
    if (cpu_is_64(cpu) ? (uint64_t)bits_sign_extend(rip, 48) != rip : rip > cpu->segs[CS].limit) {
        cpu_fault(cpu, VECTOR_GP, 0);
        return NULL;
    }
    gpa_t gpa;
    cpu->fetched_global = true;
    if (fetch_translate(cpu, linear, &gpa))
        return NULL;
    const struct jump_entry *entry = block_jump_entry(cpu, linear);
    struct block *block = entry->linear == linear ? entry->block : NULL; /* if the context moved */
    if (!block || block->gpa != gpa.v || block->mode != cpu->mode || block->dead)
        block = cache_search(cpu->blocks, gpa.v, cpu->mode);
    if (!block)
        return block_decode(cpu, rip, linear, gpa);
    bool faulted = false, whole = fetch_limit(cpu, rip) >= block->bytes;
    if (whole && (block->second_gpa == NO_PAGE || second_page_holds(cpu, block, linear, &faulted)))
        return block;
    if (faulted)
        return NULL;
    block_kill(cpu, block); /* decoded under another limit, or beside another page */
    return block_decode(cpu, rip, linear, gpa);
}
