/* The two memories of lockstep: how the twin's follows the leader's, and their comparison.
 *
 * What the twin's own instructions write is announced store by store, since its memory is watched
 * (softmmu/physmem.h); the leader writes as it likes.
 */
#include "machine/lockstep_priv.h"

#include <inttypes.h>

enum { LOW_BYTES = 1 << 20 };

/* --- what is watched */

/* DMA, and writes of loaders and the monitor between turns. */
static void leader_written(void *opaque, gpa_t gpa, const void *from, unsigned length)
{
    struct lockstep *lockstep = opaque;
    if (!lockstep->synced)
        return;
    if (!lockstep->running) {
        physmem_write(&lockstep->copy, gpa, from, length);
        lockstep->stores.count = 0;
        return;
    }
    size_t at = lockstep->bytes.count;
    lockstep->bytes.items =
        lockstep_grow(lockstep->bytes.items, at, length, &lockstep->bytes.room, 1);
    memcpy(lockstep->bytes.items + at, from, length);
    lockstep->bytes.count += length;
    *LOCKSTEP_APPEND(&lockstep->records) =
        (struct lockstep_record){.kind = RECORD_DMA, .size = length, .address = gpa.v, .value = at};
}

static void leader_low_set(void *opaque, uint64_t base, uint64_t length, uint8_t attributes)
{
    struct lockstep *lockstep = opaque;
    if (!lockstep->synced)
        return;
    if (!lockstep->running)
        physmem_set_low(&lockstep->copy, base, length, attributes);
    else
        *LOCKSTEP_APPEND(&lockstep->records) = (struct lockstep_record){
            .kind = RECORD_LOW, .size = (unsigned)length, .address = base, .value = attributes};
}

static bool leader_marked(void *opaque, gpa_t place, uint8_t bits)
{
    struct lockstep *lockstep = opaque;
    if (lockstep->running)
        *LOCKSTEP_APPEND(&lockstep->marks) = (struct lockstep_mark){.place = place.v, .bits = bits};
    return false;
}

static void twin_stored(void *opaque, gpa_t gpa, unsigned length)
{
    struct lockstep *lockstep = opaque;
    if (lockstep->stores.count) {
        struct lockstep_store *last = &lockstep->stores.items[lockstep->stores.count - 1];
        bool same_page = !((last->gpa ^ gpa.v) & PAGE_MASK);
        if (same_page && last->gpa + last->length == gpa.v) {
            last->length += length;
            return;
        }
        if (same_page && gpa.v + length == last->gpa) {
            last->gpa = gpa.v;
            last->length += length;
            return;
        }
    }
    *LOCKSTEP_APPEND(&lockstep->stores) = (struct lockstep_store){.gpa = gpa.v, .length = length};
}

static void twin_code_written(void *opaque, gpa_t gpa, unsigned length)
{
    block_kill_range(((struct lockstep *)opaque)->twin, gpa, length);
}

static void twin_page_changed(void *opaque, ppn_t first, uint64_t count)
{
    struct lockstep *lockstep = opaque;
    if (lockstep->twin)
        cpu_pages_changed(lockstep->twin, first, count);
}

/* --- A and D bits */

/* Gives `bits` of the byte at `place` the leader's values, or sets them. */
static void mark(struct lockstep *lockstep, struct lockstep_mark mark, bool as_leader_has)
{
    uint64_t offset = mark.place & PAGE_OFFSET_MASK;
    ppn_t ppn = gpa_ppn(GPA(mark.place));
    const uint8_t *his = physmem_page_read(lockstep->memory, ppn);
    uint8_t *mine = physmem_page_write(&lockstep->copy, ppn, NULL);
    if (!his || !mine)
        return;
    uint8_t bits = as_leader_has ? his[offset] & mark.bits : mark.bits;
    mine[offset] = (uint8_t)((mine[offset] & ~mark.bits) | bits);
    physmem_note_write(&lockstep->copy, GPA(mark.place), 1);
}

static bool twin_marked(void *opaque, gpa_t place, uint8_t bits)
{
    struct lockstep *lockstep = opaque;
    for (size_t i = 0; i < lockstep->marks.count; i++) {
        struct lockstep_mark found = lockstep->marks.items[i];
        if (found.place != place.v)
            continue;
        lockstep->marks.items[i] = lockstep->marks.items[--lockstep->marks.count];
        mark(lockstep, found, false);
        break;
    }
    return true;
}

void lockstep_marks_apply(struct lockstep *lockstep)
{
    for (size_t i = 0; i < lockstep->marks.count; i++)
        mark(lockstep, lockstep->marks.items[i], true);
    lockstep->marks.count = 0;
}

/* --- making, copying */

int lockstep_memory_init(struct lockstep *lockstep, struct error *error)
{
    struct physmem *memory = lockstep->memory;
    int result = frames_init(&lockstep->frames, memory->ram_bytes, error);
    if (result < 0)
        return result;
    result =
        physmem_init(&lockstep->copy, &lockstep->frames, memory->bus, memory->ram_bytes, error);
    if (result < 0) {
        frames_free(&lockstep->frames);
        return result;
    }
    lockstep->copy.ops = (struct physmem_ops){
        .code_written = twin_code_written, .page_changed = twin_page_changed, .opaque = lockstep};
    lockstep->twin_watch = (struct physmem_watch){
        .entry_marked = twin_marked, .stored = twin_stored, .opaque = lockstep};
    lockstep->leader_watch = (struct physmem_watch){.written = leader_written,
                                                    .low_set = leader_low_set,
                                                    .entry_marked = leader_marked,
                                                    .opaque = lockstep};
    lockstep->copy.watch = &lockstep->twin_watch;
    memory->watch = &lockstep->leader_watch;
    return 0;
}

void lockstep_memory_free(struct lockstep *lockstep)
{
    lockstep->memory->watch = NULL;
    physmem_free(&lockstep->copy);
    frames_free(&lockstep->frames);
}

static ppn_t ppn_of_index(const struct physmem *memory, uint64_t index)
{
    uint64_t below = memory->ram_below_4g >> PAGE_SHIFT;
    return PPN(index < below ? index : index - below + (UINT64_C(1) << (32 - PAGE_SHIFT)));
}

/* The RAM behind a page, whatever lies over it. */
static uint8_t *ram_page(const struct physmem *memory, ppn_t ppn)
{
    return frames_host(memory->frames, physmem_mpn(memory, ppn));
}

static bool page_is_untouched(const struct physmem *memory, ppn_t ppn)
{
    return physmem_mpn(memory, ppn).v == FRAMES_ZERO.v;
}

void lockstep_memory_sync(struct lockstep *lockstep)
{
    struct physmem *memory = lockstep->memory, *copy = &lockstep->copy;
    memcpy(copy->roms, memory->roms, sizeof copy->roms);
    copy->rom_count = memory->rom_count;
    memset(copy->low, PHYSMEM_READ_RAM | PHYSMEM_WRITE_RAM, sizeof copy->low);
    for (uint64_t index = 0; index < memory->ram_bytes >> PAGE_SHIFT; index++) {
        ppn_t ppn = ppn_of_index(memory, index);
        if (page_is_untouched(memory, ppn) && page_is_untouched(copy, ppn))
            continue;
        uint8_t *page = physmem_page_write(copy, ppn, NULL);
        BUG_ON(!page);
        memcpy(page, ram_page(memory, ppn), PAGE_BYTES);
    }
    memcpy(copy->low, memory->low, sizeof copy->low);
    mmu_flush_all(&lockstep->twin->mmu);
    block_kill_all(lockstep->twin);
    lockstep->stores.count = 0;
    lockstep->synced = true;
}

void lockstep_memory_apply(struct lockstep *lockstep, const struct lockstep_record *record)
{
    if (record->kind == RECORD_DMA)
        physmem_write(&lockstep->copy, GPA(record->address), lockstep->bytes.items + record->value,
                      record->size);
    else if (record->kind == RECORD_LOW)
        physmem_set_low(&lockstep->copy, record->address, record->size, (uint8_t)record->value);
    else
        mmu_set_a20(&lockstep->twin->mmu, record->value == ~UINT64_C(0));
}

/* --- comparison */

static void note_bytes(struct lockstep *lockstep, uint64_t gpa, const uint8_t *his,
                       const uint8_t *mine, unsigned length, const char *when)
{
    unsigned first = 0, shown;
    char field[LOCKSTEP_TEXT], texts[2][LOCKSTEP_TEXT];
    while (his[first] == mine[first])
        first++;
    shown = length - first < 16 ? length - first : 16;
    snprintf(field, sizeof field, "memory at GPA %" PRIx64 "%s", gpa + first, when);
    for (unsigned side = 0; side < 2; side++) {
        const uint8_t *bytes = (side ? mine : his) + first;
        for (unsigned i = 0; i < shown; i++)
            snprintf(texts[side] + 3 * i, sizeof texts[side] - 3 * i, "%02x ", bytes[i]);
    }
    lockstep_note(lockstep, field, texts[0], texts[1]);
}

void lockstep_compare_stores(struct lockstep *lockstep)
{
    for (size_t i = 0; i < lockstep->stores.count; i++) {
        struct lockstep_store store = lockstep->stores.items[i];
        ppn_t ppn = gpa_ppn(GPA(store.gpa));
        uint64_t offset = store.gpa & PAGE_OFFSET_MASK;
        const uint8_t *his = ram_page(lockstep->memory, ppn) + offset;
        const uint8_t *mine = ram_page(&lockstep->copy, ppn) + offset;
        lockstep->count.stores++;
        if (unlikely(memcmp(his, mine, store.length)))
            note_bytes(lockstep, store.gpa, his, mine, store.length, "");
    }
}

bool lockstep_stores_within(const struct lockstep *lockstep, uint8_t mask)
{
    for (size_t i = 0; i < lockstep->stores.count; i++) {
        struct lockstep_store store = lockstep->stores.items[i];
        ppn_t ppn = gpa_ppn(GPA(store.gpa));
        uint64_t offset = store.gpa & PAGE_OFFSET_MASK;
        const uint8_t *his = ram_page(lockstep->memory, ppn) + offset;
        const uint8_t *mine = ram_page(&lockstep->copy, ppn) + offset;
        for (unsigned n = 0; n < store.length; n++)
            if ((his[n] ^ mine[n]) & ~mask)
                return false;
    }
    return true;
}

void lockstep_adopt_stores(struct lockstep *lockstep)
{
    size_t count = lockstep->stores.count;
    for (size_t i = 0; i < count; i++) {
        struct lockstep_store store = lockstep->stores.items[i];
        ppn_t ppn = gpa_ppn(GPA(store.gpa));
        uint64_t offset = store.gpa & PAGE_OFFSET_MASK;
        memcpy(ram_page(&lockstep->copy, ppn) + offset, ram_page(lockstep->memory, ppn) + offset,
               store.length);
        block_kill_range(lockstep->twin, GPA(store.gpa), store.length);
    }
}

void lockstep_compare_memories(struct lockstep *lockstep)
{
    const struct physmem *memory = lockstep->memory, *copy = &lockstep->copy;
    char when[64];
    snprintf(when, sizeof when, ", written after block %" PRIu64, lockstep->compared_memories_at);
    for (uint64_t index = 0; index < memory->ram_bytes >> PAGE_SHIFT; index++) {
        ppn_t ppn = ppn_of_index(memory, index);
        if (page_is_untouched(memory, ppn) && page_is_untouched(copy, ppn))
            continue;
        const uint8_t *his = ram_page(memory, ppn), *mine = ram_page(copy, ppn);
        if (memcmp(his, mine, PAGE_BYTES)) {
            note_bytes(lockstep, ppn_gpa(ppn).v, his, mine, PAGE_BYTES, when);
            break;
        }
    }
    lockstep->count.memories++;
    lockstep->compared_memories_at = lockstep->turns;
}
