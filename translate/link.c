/* Links between translations: patched jumps, and their undoing. */
#include "translate/translated.h"

/* The displacement at `place` (writable) leads to `target` (executable). */
static void patch(const struct code_cache *cache, uint8_t *place, const uint8_t *target)
{
    int32_t distance = (int32_t)(target - ((uint8_t *)code_executable(cache, place) + 4));
    __atomic_store_n((int32_t *)(void *)place, distance, __ATOMIC_RELAXED);
}

static void incoming_add(struct translated *to, struct exit *exit)
{
    exit->to = to;
    exit->next = to->incoming;
    exit->previous = &to->incoming;
    if (exit->next)
        exit->next->previous = &exit->next;
    to->incoming = exit;
}

static void incoming_remove(struct exit *exit)
{
    *exit->previous = exit->next;
    if (exit->next)
        exit->next->previous = exit->previous;
    exit->to = NULL;
}

void link_exit(struct translator *translator, struct cpu *cpu, struct exit *exit,
               const struct jump_entry *target)
{
    struct translated *to = target->block->translation;
    const struct block *from_block = exit->from->block, *to_block = to->block;
    if (translator->options.no_chain ||
        (exit->past_poll && (!exit->same_page || to_block->second_gpa != ~UINT64_C(0))))
        return;
    if (exit->same_page && (from_block->gpa ^ to_block->gpa) & PAGE_MASK)
        return; /* the page is mapped elsewhere now */
    if (exit->to != to) {
        if (exit->to)
            incoming_remove(exit);
        incoming_add(to, exit);
        patch(&translator->cache, exit->jump,
              !exit->same_page  ? to->cross
              : exit->past_poll ? to->entry
                                : to->code);
        translator->count.links++;
    }
    if (!exit->same_page) {
        to->code_page = cpu->rip - (to_block->gpa & PAGE_OFFSET_MASK);
        to->context = target->context;
        translator->count.links_other++;
    }
}

void link_drop(struct translator *translator, struct translated *translation)
{
    while (translation->incoming) {
        struct exit *exit = translation->incoming;
        patch(&translator->cache, exit->jump, exit->away);
        incoming_remove(exit);
        translator->count.unlinks++;
    }
    for (unsigned i = 0; i < translation->exit_count; i++)
        if (translation->exits[i]->to)
            incoming_remove(translation->exits[i]);
}
