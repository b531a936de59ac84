/* Filling and flushing the shadow (VPN→MPN), soft tier.  Invariants: softmmu/mmu.h.
 *
 * A space is the shadow of one guest address space.  Without PCIDs there is one in use; with them,
 * up to SHADOW_SPACES stay filled, and the one not used for longest makes room.
 */
#include "softmmu/mmu.h"

#include "base/log.h"
#include "softmmu/control_registers.h"
#include "softmmu/window.h"

#include <errno.h>
#include <stdlib.h>

/* What a change of makes every cached translation suspect (SDM 3A §4.10.4.1). */
#define CR0_FLUSHES  (CR0_WP | CR0_PG)
#define CR4_FLUSHES  (CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP)
#define EFER_FLUSHES (EFER_LMA | EFER_NXE)

enum { LISTED_LOCAL = 1, LISTED_GLOBAL = 2, LARGE_SHIFT = 21 };

static unsigned slot_of(uint64_t linear)
{
    return linear >> PAGE_SHIFT & (SHADOW_ENTRIES - 1);
}

static void slot_clear(struct shadow_view *view, unsigned slot)
{
    view->entries[slot] = shadow_entry_none(slot);
    view->info[slot].page = view->info[slot].execute_tag = SHADOW_NO;
}

static void view_forget_large(struct shadow_view *view)
{
    view->large_low = ~UINT64_C(0);
    view->large_high = 0;
}

static struct shadow_view *view_new(void)
{
    struct shadow_view *view = calloc(1, sizeof *view);
    BUG_ON(!view);
    for (unsigned slot = 0; slot < SHADOW_ENTRIES; slot++)
        slot_clear(view, slot);
    view_forget_large(view);
    return view;
}

static uint64_t view_flush_list(struct shadow_view *view, const uint16_t *list, unsigned count,
                                uint8_t listed, bool global)
{
    uint64_t cleared = 0;
    for (unsigned i = 0; i < count; i++) {
        unsigned slot = list[i];
        view->info[slot].listed &= (uint8_t)~listed;
        if (view->info[slot].page != SHADOW_NO && view->info[slot].global == global) {
            slot_clear(view, slot);
            cleared++;
        }
    }
    return cleared;
}

static void view_flush(struct mmu *mmu, struct shadow_view *view, bool globals_too)
{
    mmu->count.flushed_entries +=
        view_flush_list(view, view->local, view->local_count, LISTED_LOCAL, false);
    view->local_count = 0;
    if (!globals_too)
        return;
    mmu->count.flushed_entries +=
        view_flush_list(view, view->global, view->global_count, LISTED_GLOBAL, true);
    view->global_count = 0;
    view_forget_large(view);
}

/* --- what instruction fetches rely on */

static void space_forget_fetches(struct mmu *mmu, struct shadow_space *space)
{
    space->generation = ++mmu->generations;
    mmu->fetch_generation = mmu->space->generation;
    memset(&space->fetched, 0, sizeof space->fetched);
}

void mmu_forget_fetches(struct mmu *mmu)
{
    for (unsigned i = 0; i < SHADOW_SPACES; i++)
        space_forget_fetches(mmu, &mmu->spaces[i]);
    mmu->global_generation = ++mmu->generations;
    memset(&mmu->fetched, 0, sizeof mmu->fetched);
}

static bool bit_test(const uint64_t *bits, uint64_t bit)
{
    return bits[bit / 64] >> bit % 64 & 1;
}

static void bit_set(uint64_t *bits, uint64_t bit)
{
    bits[bit / 64] |= BIT(bit % 64);
}

/* WHY two: a page that is taken for fetched costs every jump into code. */
static uint64_t fetched_bit(uint64_t page)
{
    return (page ^ page >> 14) & (FETCHED_BITS - 1);
}

static uint64_t fetched_other_bit(uint64_t page)
{
    return page * UINT64_C(0x9e3779b97f4a7c15) >> 40 & (FETCHED_BITS - 1);
}

static uint64_t fetched_large_bit(uint64_t number)
{
    return (number ^ number >> 10) & (FETCHED_LARGE_BITS - 1);
}

static bool fetched_has(const struct fetched_pages *fetched, gva_t gva)
{
    const uint64_t page = gva.v >> PAGE_SHIFT;
    return (bit_test(fetched->pages, fetched_bit(page)) &&
            bit_test(fetched->pages, fetched_other_bit(page))) ||
           bit_test(fetched->large, fetched_large_bit(gva.v >> LARGE_SHIFT));
}

void mmu_note_fetch(struct mmu *mmu, gva_t gva, const struct translation *found)
{
    struct fetched_pages *fetched = found->global ? &mmu->fetched : &mmu->space->fetched;
    bit_set(fetched->pages, fetched_bit(gva.v >> PAGE_SHIFT));
    bit_set(fetched->pages, fetched_other_bit(gva.v >> PAGE_SHIFT));
    if (likely(found->page_bytes == PAGE_BYTES))
        return;
    uint64_t first = (gva.v & ~(found->page_bytes - 1)) >> LARGE_SHIFT;
    uint64_t count = found->page_bytes >> LARGE_SHIFT; /* of 1 GiB: 512 */
    for (uint64_t i = 0; i < count; i++)
        bit_set(fetched->large, fetched_large_bit(first + i));
}

static void space_flush(struct mmu *mmu, struct shadow_space *space, bool globals_too)
{
    mmu->count.flushes++;
    log_line(LOG_MMU, "mmu: flush of PCID %x%s", space->pcid,
             globals_too ? " and global pages" : "");
    space_forget_fetches(mmu, space);
    for (unsigned i = 0; i < SHADOW_VIEWS; i++)
        if (space->views[i])
            view_flush(mmu, space->views[i], globals_too);
    if (mmu->windows)
        windows_space_flushed(mmu, space);
}

int mmu_init(struct mmu *mmu, struct physmem *physmem)
{
    memset(mmu, 0, sizeof *mmu);
    mmu->physmem = physmem;
    mmu->a20_mask = ~UINT64_C(0);
    mmu->registers.physical_bits = 40;
    mmu->space = &mmu->spaces[0];
    mmu->space->valid = true;
    size_t words = (physmem->ram_bytes >> PAGE_SHIFT) / 64 + 1;
    mmu->seen = calloc(words, sizeof *mmu->seen);
    mmu->seen_written = calloc(words, sizeof *mmu->seen_written);
    if (mmu->seen && mmu->seen_written)
        return 0;
    mmu_free(mmu);
    return -ENOMEM;
}

void mmu_free(struct mmu *mmu)
{
    windows_free(mmu);
    for (unsigned i = 0; i < SHADOW_SPACES; i++)
        for (unsigned view = 0; view < SHADOW_VIEWS; view++)
            free(mmu->spaces[i].views[view]);
    free(mmu->seen);
    free(mmu->seen_written);
    memset(mmu, 0, sizeof *mmu);
}

struct shadow_view *mmu_view(struct mmu *mmu, enum shadow_view_id id)
{
    struct shadow_view **view = &mmu->space->views[id];
    if (unlikely(!*view))
        *view = view_new();
    return *view;
}

static void slot_list(struct shadow_view *view, unsigned slot, bool global)
{
    struct shadow_info *info = &view->info[slot];
    uint8_t listed = global ? LISTED_GLOBAL : LISTED_LOCAL;
    if (info->listed & listed)
        return;
    info->listed |= listed;
    if (global)
        view->global[view->global_count++] = (uint16_t)slot;
    else
        view->local[view->local_count++] = (uint16_t)slot;
}

/* Puts what a walk found into the view; `wrote`: the access was a write, so a frame may be taken.
 */
static void shadow_fill(struct mmu *mmu, struct shadow_view *view, uint64_t linear,
                        const struct translation *found, bool wrote)
{
    struct physmem *physmem = mmu->physmem;
    uint64_t page = linear & PAGE_MASK;
    ppn_t ppn = gpa_ppn(found->gpa);
    unsigned slot = slot_of(linear);
    struct shadow_entry *entry = &view->entries[slot];
    struct shadow_info *info = &view->info[slot];
    uint64_t index = physmem_ram_index(physmem, ppn);

    /* First, since taking a frame changes what reading sees. */
    uint8_t *writable = NULL;
    if (found->writable && index != PHYSMEM_NOT_RAM &&
        (wrote || physmem_mpn(physmem, ppn).v != FRAMES_ZERO.v))
        writable = physmem_page_write(physmem, ppn, NULL);
    const uint8_t *readable = physmem_page_read(physmem, ppn);

    mmu->count.fills++;
    info->page = page;
    info->ppn = ppn.v;
    info->global = found->global;
    info->page_shift = (uint8_t)__builtin_ctzll(found->page_bytes);
    info->rights = (uint8_t)(found->readable << ACCESS_READ | found->writable << ACCESS_WRITE |
                             found->executable << ACCESS_EXECUTE);
    slot_list(view, slot, found->global);
    if (info->page_shift > PAGE_SHIFT) {
        uint64_t low = page & ~(found->page_bytes - 1), high = page | (found->page_bytes - 1);
        view->large_low = low < view->large_low ? low : view->large_low;
        view->large_high = high > view->large_high ? high : view->large_high;
    }

    *entry = shadow_entry_none(slot);
    info->execute_tag = SHADOW_NO;
    if (!readable || (mmu->page_is_watched && mmu->page_is_watched(mmu->opaque, GVA(page))))
        return; /* INV-2, INV-3 */
    entry->addend = (uintptr_t)readable - page;
    entry->page = (uintptr_t)readable;
    if (found->readable)
        entry->read_tag = page;
    if (found->executable)
        info->execute_tag = page;
    if (index == PHYSMEM_NOT_RAM)
        return;
    bit_set(mmu->seen, index);
    if (writable == readable && !physmem_has_code(physmem, ppn)) {
        entry->write_tag = page;
        bit_set(mmu->seen_written, index);
    }
}

static void log_fill(const struct mmu *mmu, const struct shadow_view *view, uint64_t linear)
{
    const unsigned slot = slot_of(linear);
    const struct shadow_info *info = &view->info[slot];
    log_line(
        LOG_MMU, "mmu: fill, PCID %x: linear %llx is physical %llx, %s%s%s%s%s", mmu->space->pcid,
        (unsigned long long)info->page, (unsigned long long)info->ppn << PAGE_SHIFT,
        info->rights & 1 << ACCESS_READ ? "r" : "-", info->rights & 1 << ACCESS_WRITE ? "w" : "-",
        info->rights & 1 << ACCESS_EXECUTE ? "x" : "-", info->global ? ", global" : "",
        view->entries[slot].write_tag == info->page ? ", writes in line" : "");
}

static void view_fill(struct mmu *mmu, struct shadow_view *view, uint64_t linear,
                      const struct translation *found, bool wrote)
{
    shadow_fill(mmu, view, linear, found, wrote);
    if (log_enabled(LOG_MMU))
        log_fill(mmu, view, linear);
}

bool mmu_translate(struct mmu *mmu, enum shadow_view_id id, gva_t gva, enum mmu_access access,
                   struct translation *found, uint32_t *error_code)
{
    struct shadow_view *view = mmu_view(mmu, id);
    const struct shadow_info *info = &view->info[slot_of(gva.v)];
    if (info->page == (gva.v & PAGE_MASK) && info->rights & 1 << access) {
        found->gpa = GPA(info->ppn << PAGE_SHIFT | (gva.v & PAGE_OFFSET_MASK));
        found->page_bytes = BIT(info->page_shift);
        found->readable = info->rights & 1 << ACCESS_READ;
        found->writable = info->rights & 1 << ACCESS_WRITE;
        found->executable = info->rights & 1 << ACCESS_EXECUTE;
        found->global = info->global;
        /* A write that came here may have been the first to its page, or to a page whose code is
         * gone: then the entry can be made to serve the next one. */
        if (access == ACCESS_WRITE)
            view_fill(mmu, view, gva.v, found, true);
        return true;
    }
    if (!mmu_walk(mmu, gva, access, id == VIEW_USER, id == VIEW_SUPERVISOR_AC, found, error_code))
        return false;
    view_fill(mmu, view, gva.v, found, access == ACCESS_WRITE);
    return true;
}

/* The space of a PCID: found, or the least recently used one, emptied. */
static struct shadow_space *space_for(struct mmu *mmu, uint16_t pcid)
{
    struct shadow_space *oldest = &mmu->spaces[0];
    for (unsigned i = 0; i < SHADOW_SPACES; i++) {
        struct shadow_space *space = &mmu->spaces[i];
        if (space->valid && space->pcid == pcid)
            return space;
        if (!space->valid || (oldest->valid && space->last_used < oldest->last_used))
            oldest = space;
    }
    space_flush(mmu, oldest, true);
    oldest->valid = true;
    oldest->pcid = pcid;
    return oldest;
}

static void space_switch(struct mmu *mmu, uint16_t pcid)
{
    mmu->space = space_for(mmu, pcid);
    mmu->space->last_used = ++mmu->use_counter;
    mmu->fetch_generation = mmu->space->generation;
    mmu->count.space_switches++;
}

static bool pcids_on(const struct mmu *mmu)
{
    return mmu->registers.cr4 & CR4_PCIDE;
}

void mmu_flush_all(struct mmu *mmu)
{
    for (unsigned i = 0; i < SHADOW_SPACES; i++)
        if (mmu->spaces[i].valid)
            space_flush(mmu, &mmu->spaces[i], true);
    size_t bytes = ((mmu->physmem->ram_bytes >> PAGE_SHIFT) / 64 + 1) * sizeof *mmu->seen;
    memset(mmu->seen, 0, bytes);
    memset(mmu->seen_written, 0, bytes);
    mmu_forget_fetches(mmu);
    windows_settle(mmu);
}

void mmu_set_cr0(struct mmu *mmu, uint64_t cr0)
{
    uint64_t changed = mmu->registers.cr0 ^ cr0;
    mmu->registers.cr0 = cr0;
    if (changed & CR0_FLUSHES)
        mmu_flush_all(mmu);
}

void mmu_set_cr3(struct mmu *mmu, uint64_t cr3, bool keep)
{
    mmu->registers.cr3 = cr3;
    if (!(mmu->registers.cr0 & CR0_PG))
        return; /* what is cached are identity translations */
    if (pcids_on(mmu))
        space_switch(mmu, cr3 & 0xfff);
    if (!keep)
        space_flush(mmu, mmu->space, false);
    windows_settle(mmu);
}

void mmu_set_cr4(struct mmu *mmu, uint64_t cr4)
{
    uint64_t changed = mmu->registers.cr4 ^ cr4;
    mmu->registers.cr4 = cr4;
    if (!(changed & CR4_FLUSHES))
        return;
    mmu_flush_all(mmu);
    if (changed & CR4_PCIDE)
        space_switch(mmu, pcids_on(mmu) ? mmu->registers.cr3 & 0xfff : 0);
    windows_settle(mmu);
}

void mmu_set_efer(struct mmu *mmu, uint64_t efer)
{
    uint64_t changed = mmu->registers.efer ^ efer;
    mmu->registers.efer = efer;
    if (changed & EFER_FLUSHES)
        mmu_flush_all(mmu);
}

void mmu_set_a20(struct mmu *mmu, bool enabled)
{
    uint64_t mask = enabled ? ~UINT64_C(0) : ~BIT(20);
    if (mmu->a20_mask == mask)
        return;
    mmu->a20_mask = mask;
    mmu_flush_all(mmu);
}

/* Drops every entry that came from a page (of any size) with `linear` in it. */
static void view_drop_address(struct shadow_view *view, uint64_t linear, bool only_global)
{
    struct shadow_info *info = &view->info[slot_of(linear)];
    if (info->page == (linear & PAGE_MASK) && (info->global || !only_global))
        slot_clear(view, slot_of(linear));
    if (linear < view->large_low || linear > view->large_high)
        return;
    for (unsigned list = 0; list < 2; list++) {
        const uint16_t *slots = list ? view->global : view->local;
        unsigned count = list ? view->global_count : view->local_count;
        for (unsigned i = 0; i < count; i++) {
            info = &view->info[slots[i]];
            if (info->page != SHADOW_NO && info->page_shift > PAGE_SHIFT &&
                (info->page ^ linear) >> info->page_shift == 0 && (info->global || !only_global))
                slot_clear(view, slots[i]);
        }
    }
}

static void space_drop_address(struct mmu *mmu, struct shadow_space *space, uint64_t linear,
                               bool only_global)
{
    log_line(LOG_MMU, "mmu: flush of PCID %x at linear %llx%s", space->pcid,
             (unsigned long long)linear, only_global ? " if global" : "");
    for (unsigned i = 0; i < SHADOW_VIEWS; i++)
        if (space->views[i])
            view_drop_address(space->views[i], linear, only_global);
    if (mmu->windows)
        windows_address_dropped(mmu, space, linear, only_global);
}

void mmu_invlpg(struct mmu *mmu, gva_t gva)
{
    /* Global entries go whatever their PCID (SDM 3A §4.10.4.1). */
    for (unsigned i = 0; i < SHADOW_SPACES; i++)
        if (mmu->spaces[i].valid)
            space_drop_address(mmu, &mmu->spaces[i], gva.v, &mmu->spaces[i] != mmu->space);
    if (fetched_has(&mmu->fetched, gva))
        mmu_forget_fetches(mmu);
    else if (fetched_has(&mmu->space->fetched, gva))
        space_forget_fetches(mmu, mmu->space);
}

void mmu_invpcid(struct mmu *mmu, unsigned type, uint16_t pcid, gva_t gva)
{
    enum { INDIVIDUAL, SINGLE, ALL_GLOBAL, ALL };
    if (type == ALL_GLOBAL) {
        mmu_flush_all(mmu);
        return;
    }
    for (unsigned i = 0; i < SHADOW_SPACES; i++) {
        struct shadow_space *space = &mmu->spaces[i];
        if (!space->valid || (type != ALL && space->pcid != pcid))
            continue;
        if (type == INDIVIDUAL)
            space_drop_address(mmu, space, gva.v, false); /* dropping globals too is allowed */
        else
            space_flush(mmu, space, false);
        space_forget_fetches(mmu, space);
    }
    windows_settle(mmu);
}

/* Calls `act` for every filled slot of a PPN in [first, first + count). */
static void slots_of_pages(struct mmu *mmu, ppn_t first, uint64_t count,
                           void (*act)(struct shadow_view *view, unsigned slot))
{
    for (unsigned i = 0; i < SHADOW_SPACES * SHADOW_VIEWS; i++) {
        struct shadow_view *view = mmu->spaces[i / SHADOW_VIEWS].views[i % SHADOW_VIEWS];
        if (!view)
            continue;
        for (unsigned list = 0; list < 2; list++) {
            const uint16_t *slots = list ? view->global : view->local;
            unsigned slot_count = list ? view->global_count : view->local_count;
            for (unsigned n = 0; n < slot_count; n++) {
                const struct shadow_info *info = &view->info[slots[n]];
                if (info->page != SHADOW_NO && info->ppn - first.v < count)
                    act(view, slots[n]);
            }
        }
    }
}

void mmu_flush_pages(struct mmu *mmu, ppn_t first, uint64_t count)
{
    uint64_t index = physmem_ram_index(mmu->physmem, first);
    if (count == 1 && index != PHYSMEM_NOT_RAM && !bit_test(mmu->seen, index) &&
        !windows_have_ram(mmu, index))
        return;
    log_line(LOG_MMU, "mmu: flush of %llu pages from physical %llx", (unsigned long long)count,
             (unsigned long long)first.v << PAGE_SHIFT);
    slots_of_pages(mmu, first, count, slot_clear);
    if (mmu->windows)
        windows_pages_dropped(mmu, first, count);
}

static void slot_protect(struct shadow_view *view, unsigned slot)
{
    view->entries[slot].write_tag = shadow_no(slot);
}

void mmu_protect_code(struct mmu *mmu, ppn_t ppn)
{
    uint64_t index = physmem_ram_index(mmu->physmem, ppn);
    if (index == PHYSMEM_NOT_RAM)
        return;
    if (bit_test(mmu->seen_written, index))
        slots_of_pages(mmu, ppn, 1, slot_protect);
    if (windows_have_ram(mmu, index))
        windows_page_protected(mmu, ppn);
    mmu->seen_written[index / 64] &= ~BIT(index % 64);
}
