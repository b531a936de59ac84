/* Links between translations: patched jumps, and their undoing. */
#include "translate/translated.h"

/* The displacement at `place` leads to `target` (both offsets). */
static void patch(const struct code_cache *cache, uint32_t place, uint32_t target)
{
    __atomic_store_n((int32_t *)code_at(cache, place), (int32_t)(target - (place + 4)),
                     __ATOMIC_RELAXED);
}

static struct exit *exit_at(const struct code_cache *cache, uint32_t offset)
{
    return offset ? code_at(cache, offset) : NULL;
}

static void incoming_add(const struct code_cache *cache, struct translated *to, struct exit *exit)
{
    struct exit *next = exit_at(cache, to->incoming);
    exit->to = code_offset(cache, to);
    exit->next = to->incoming;
    exit->previous = 0;
    to->incoming = code_offset(cache, exit);
    if (next)
        next->previous = to->incoming;
}

static void incoming_remove(const struct code_cache *cache, struct exit *exit)
{
    struct translated *to = code_at(cache, exit->to);
    struct exit *next = exit_at(cache, exit->next), *previous = exit_at(cache, exit->previous);
    if (next)
        next->previous = exit->previous;
    if (previous)
        previous->next = exit->next;
    else
        to->incoming = exit->next;
    exit->to = 0;
}

static void confirm_guard(struct translator *translator, const struct cpu *cpu,
                          const struct exit *exit, uint64_t context)
{
    struct mapping *guard = code_at(&translator->cache, exit->guard);
    *guard = (struct mapping){.code_page = cpu->native.code_page, .context = context};
    translator->count.links_other++;
}

void link_exit(struct translator *translator, struct cpu *cpu, struct exit *exit,
               const struct jump_entry *target)
{
    const struct code_cache *cache = &translator->cache;
    struct translated *from = code_at(cache, exit->from), *to = target->block->translation;
    const struct block *from_block = from->block, *to_block = to->block;
    if (from->dead || translator->options.no_chain ||
        (exit->past_poll && (exit->guard || to_block->second_gpa != ~UINT64_C(0))))
        return;
    if (!exit->guard && (from_block->gpa ^ to_block->gpa) & PAGE_MASK)
        return; /* the page is mapped elsewhere now */
    if (exit->to != code_offset(cache, to)) {
        if (exit->to)
            incoming_remove(cache, exit);
        incoming_add(cache, to, exit);
        const uint8_t *code = exit->past_poll ? to->code + to->entry : to->code;
        patch(cache, exit->jump, code_offset(cache, code_writable(cache, code)));
        translator->count.links++;
    }
    if (exit->guard)
        confirm_guard(translator, cpu, exit, target->context);
}

/* WHY: behind a guard code_page has changed already; there the jump stays, and the guard closes. */
static void unlink(const struct code_cache *cache, struct exit *exit)
{
    if (exit->guard)
        ((struct mapping *)code_at(cache, exit->guard))->code_page = MAPPING_NONE;
    else
        patch(cache, exit->jump, exit->away);
    incoming_remove(cache, exit);
}

void link_drop(struct translator *translator, struct translated *translation)
{
    const struct code_cache *cache = &translator->cache;
    while (translation->incoming) {
        unlink(cache, exit_at(cache, translation->incoming));
        translator->count.unlinks++;
    }
    for (unsigned i = 0; i < translation->exit_count; i++)
        if (translation->exits[i].to)
            incoming_remove(cache, &translation->exits[i]);
}
