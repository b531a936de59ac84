/* Links between translations: patched jumps, and their undoing. */
#include "translate/translated.h"

enum { JMP = 0xe9, NOP_FIRST = 0x0f };

/* The jump whose displacement is at `place` leads to `target` (both offsets); one without a
 * condition that would lead to what follows is a NOP. */
static void patch(const struct code_cache *cache, uint32_t place, uint32_t target)
{
    static const uint8_t nop[5] = {NOP_FIRST, 0x1f, 0x44, 0, 0};
    uint8_t *code = code_at(cache, place - 1);
    const int32_t distance = (int32_t)(target - (place + 4));
    const bool always = *code == JMP || *code == NOP_FIRST;
    if (always && !distance) {
        memcpy(code, nop, sizeof nop);
        return;
    }
    if (always)
        *code = JMP;
    memcpy(code + 1, &distance, sizeof distance);
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

static void link_to(struct translator *translator, struct exit *exit, struct translated *to)
{
    const struct code_cache *cache = &translator->cache;
    if (exit->to == code_offset(cache, to))
        return;
    if (exit->to)
        incoming_remove(cache, exit);
    incoming_add(cache, to, exit);
    const bool skips = exit->past_poll || (exit->forward && !to->crossing);
    const uint8_t *code = skips ? to->body : to->code;
    patch(cache, exit->jump, code_offset(cache, code_writable(cache, code)));
    translator->count.links++;
}

struct exit *link_at_end(const struct translated *translation)
{
    for (unsigned i = 0; i < translation->exit_count; i++) {
        struct exit *exit = &translation->exits[i];
        if (exit->jump + 4 == translation->end && !exit->guard && !exit->past_poll && !exit->to)
            return exit;
    }
    return NULL;
}

void link_within_page(struct translator *translator, struct exit *exit, struct translated *to)
{
    if (!translator->options.no_chain)
        link_to(translator, exit, to);
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
    link_to(translator, exit, to);
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
