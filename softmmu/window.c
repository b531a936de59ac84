/* Windows: which address space has them, what they are filled with, and when they are given up.
 * Invariants: softmmu/window.h.
 */
#include "softmmu/window_priv.h"

#include "base/log.h"
#include "softmmu/control_registers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOSSES_MAX = 3,
    DROPS_MAX = 16,
    /* WHY: at some 30 ns a page compared and 4 ms a tick, a tenth of the time. */
    TICK_PAYS_PAGES = 12288,
    DEBT_MAX_PAGES = 16 * TICK_PAYS_PAGES,
};

/* WHY a closed delta faults, for h = linear + delta + distance, where distance is up to 2 GiB
 * either way: let t be bits 48..63 of linear, i its index.  For i < 0x7ffe, h - (t << 48) lies from
 * 2^47 + 2^31 to 2^48 - 2^31; for the others, i being subtracted, from 2^47 + 2^31 to 2^47 + 2^34.
 * So bit 47 of h is set and t is as it was: h is not canonical, or in the kernel's half and more
 * than 1 GiB below its vsyscall page.  In an open window h - (t << 48) is in the reservation, so
 * bit 47 is clear: with another t than 0 it is not canonical. */
static void delta_close(struct windows *windows, unsigned index)
{
    windows->deltas[index] = windows_closed_delta(index);
}

static void delta_open(struct windows *windows, const struct window *window)
{
    windows->deltas[window->index] =
        (int64_t)((uintptr_t)window->base - ((uint64_t)window->index << 32));
}

/* --- windows */

static struct window *window_find(const struct windows_space *space, unsigned index)
{
    for (unsigned i = 0; i < space->window_count; i++)
        if (space->windows[i]->index == index)
            return space->windows[i];
    return NULL;
}

/* The present space's window, opened if need be; NULL when it may not have another. */
static struct window *window_get(struct mmu *mmu, unsigned index)
{
    struct windows *windows = mmu->windows;
    struct windows_space *space = windows->present;
    struct window *window = window_find(space, index);
    if (window)
        return window;
    errno = E2BIG;
    if (space->window_count == WINDOWS_PER_SPACE)
        return NULL;
    window = windows->unused;
    if (window)
        windows->unused = window->next_unused;
    else
        window = window_reserve();
    if (!window)
        return NULL;
    window->index = index;
    space->windows[space->window_count++] = window;
    delta_open(windows, window);
    return window;
}

/* --- spaces */

static void space_close_window(struct mmu *mmu, struct windows_space *space, unsigned i)
{
    struct windows *windows = mmu->windows;
    struct window *window = space->windows[i];
    if (space == windows->present)
        delta_close(windows, window->index);
    window_empty(mmu, window);
    window->next_unused = windows->unused;
    windows->unused = window;
    space->windows[i] = space->windows[--space->window_count];
}

static void space_empty(struct mmu *mmu, struct windows_space *space)
{
    while (space->window_count)
        space_close_window(mmu, space, space->window_count - 1);
}

static void space_set_open(struct mmu *mmu, struct windows_space *space, bool open)
{
    struct windows *windows = mmu->windows;
    windows->count.opened += open && !space->open;
    windows->count.closed += !open && space->open;
    space->open = open;
    space->ticks = space->losses = 0;
}

/* Empties the space, which has to earn windows again. */
static void space_close(struct mmu *mmu, struct windows_space *space)
{
    space_empty(mmu, space);
    space_set_open(mmu, space, !mmu->windows->options.earn_ticks);
    space->debt = 0;
}

static void windows_update(struct mmu *mmu)
{
    bool open = mmu->windows->present->open;
    if (open == mmu->windows->open)
        return;
    mmu->windows->open = open;
    if (mmu->windows_changed)
        mmu->windows_changed(mmu->opaque);
}

static uint64_t space_pages(const struct windows_space *space)
{
    uint64_t pages = 0;
    for (unsigned i = 0; i < space->window_count; i++)
        pages += space->windows[i]->page_count;
    return pages;
}

/* Compares the pages of the space whose tables are the present ones; see windows_tick(). */
static void space_compare(struct mmu *mmu, struct windows_space *space)
{
    struct windows *windows = mmu->windows;
    const uint64_t had = space_pages(space);
    space->debt += had;
    windows->count.flushes += had != 0;
    if (windows->options.earn_ticks && space->debt > DEBT_MAX_PAGES) {
        space_close(mmu, space);
        return;
    }
    for (unsigned i = space->window_count; i-- > 0;) {
        window_compare(mmu, space->windows[i]);
        if (!space->windows[i]->page_count)
            space_close_window(mmu, space, i);
    }
    const uint64_t kept = space_pages(space);
    windows->count.compared += had;
    windows->count.kept += kept;
    if (kept * 2 >= had) {
        space->losses = had ? 0 : space->losses;
        return;
    }
    space->losses = space->ticks < windows->options.earn_ticks ? space->losses + 1 : 1;
    space->ticks = 0;
    if (space->losses == LOSSES_MAX)
        space_close(mmu, space);
}

void windows_space_flushed(struct mmu *mmu, const struct shadow_space *space)
{
    for (unsigned i = 0; i < WINDOWS_SPACES; i++)
        if (mmu->windows->spaces[i].key.pcid == space->pcid)
            mmu->windows->spaces[i].stale = true;
}

static struct windows_key key_of_registers(const struct mmu *mmu)
{
    const struct mmu_registers *r = &mmu->registers;
    struct windows_key key = {.pcid = mmu->space->pcid};
    if (!(r->cr0 & CR0_PG))
        return key;
    key.mode = 1 + (r->cr4 & CR4_PAE ? 1 : 0) + (r->efer & EFER_LMA ? 2 : 0);
    if (key.mode == 2)
        memcpy(key.roots, r->pdpte, sizeof key.roots);
    else
        key.roots[0] = r->cr3 & PAGE_MASK;
    return key;
}

/* The space of that key: found, or the one used longest ago, emptied. */
static struct windows_space *space_for(struct mmu *mmu, const struct windows_key *key)
{
    struct windows *windows = mmu->windows;
    struct windows_space *oldest = NULL;
    for (unsigned i = 0; i < WINDOWS_SPACES; i++) {
        struct windows_space *space = &windows->spaces[i];
        if (!memcmp(&space->key, key, sizeof *key))
            return space;
        if (space != windows->present && (!oldest || space->last_used < oldest->last_used))
            oldest = space;
    }
    space_close(mmu, oldest);
    oldest->key = *key;
    oldest->given_up = false;
    return oldest;
}

static void space_make_present(struct mmu *mmu, struct windows_space *space)
{
    struct windows *windows = mmu->windows;
    for (unsigned i = 0; i < windows->present->window_count; i++)
        delta_close(windows, windows->present->windows[i]->index);
    windows->present = space;
    space->last_used = ++windows->use_counter;
}

/* A flush while the space is present begins its earning anew: short-lived processes are flushed
 * often, and being switched away from tells nothing. */
static void space_note_flush(struct mmu *mmu, struct windows_space *space)
{
    space->given_up = false;
    if (!space->open)
        space_set_open(mmu, space, !mmu->windows->options.earn_ticks);
}

void windows_settle(struct mmu *mmu)
{
    struct windows *windows = mmu->windows;
    if (!windows)
        return;
    const struct windows_key key = key_of_registers(mmu);
    struct windows_space *space = windows->present;
    const bool switched = memcmp(&space->key, &key, sizeof key);
    if (switched) {
        space = space_for(mmu, &key);
        space_make_present(mmu, space);
    } else if (space->stale) {
        space_note_flush(mmu, space);
    }
    if (space->stale)
        space_compare(mmu, space);
    space->stale = false;
    for (unsigned i = 0; switched && i < space->window_count; i++)
        delta_open(windows, space->windows[i]);
    windows_update(mmu);
}

void windows_tick(struct mmu *mmu)
{
    if (!mmu->windows)
        return;
    struct windows_space *space = mmu->windows->present;
    const unsigned earn_ticks = mmu->windows->options.earn_ticks;
    space->debt -= space->debt < TICK_PAYS_PAGES ? space->debt : TICK_PAYS_PAGES;
    if (space->drops > DROPS_MAX)
        space->ticks = 0;
    else
        space->ticks += space->ticks < earn_ticks;
    space->drops = 0;
    if (space->open || space->given_up || space->ticks < earn_ticks)
        return;
    log_line(LOG_MMU, "mmu: windows open for PCID %x", mmu->space->pcid);
    space_set_open(mmu, space, true);
    windows_update(mmu);
}

/* The present space has to do without windows until its next flush; `error` is the host's, or
 * E2BIG. */
static void space_give_up(struct mmu *mmu, int error)
{
    struct windows *windows = mmu->windows;
    struct windows_space *space = windows->present;
    if (error != E2BIG && !windows->refusal) {
        windows->refusal = error;
        log_line(LOG_MMU,
                 "mmu: the host refuses a window mapping: %s; raise vm.max_map_count or ulimit -v",
                 strerror(error));
    }
    space_empty(mmu, space);
    space_set_open(mmu, space, false);
    space->given_up = true;
    windows_update(mmu);
}

/* INV-3: empties spaces until a page more has room, that used longest ago first, the present last.
 */
static void make_room(struct mmu *mmu)
{
    struct windows *windows = mmu->windows;
    const unsigned earn_ticks = windows->options.earn_ticks;
    while (windows->count.areas + PAGE_AREAS_MAX > windows->options.max_areas) {
        struct windows_space *oldest = windows->present;
        for (unsigned i = 0; i < WINDOWS_SPACES; i++) {
            struct windows_space *space = &windows->spaces[i];
            if (space != windows->present && space->window_count &&
                (oldest == windows->present || space->last_used < oldest->last_used))
                oldest = space;
        }
        windows->count.evictions++;
        space_empty(mmu, oldest);
        space_set_open(mmu, oldest, oldest->open && oldest->ticks >= earn_ticks);
        windows_update(mmu);
    }
}

/* --- filling */

/* What the present user view grants of the page: INV-1. */
static bool page_wanted(const struct mmu *mmu, uint64_t linear, struct window_page *wanted)
{
    const struct frames *frames = mmu->physmem->frames;
    const struct shadow_view *view = mmu->space->views[VIEW_USER];
    const unsigned slot = linear >> PAGE_SHIFT & (SHADOW_ENTRIES - 1);
    if (!view || view->entries[slot].read_tag != (linear & PAGE_MASK))
        return false;
    const struct shadow_entry *entry = &view->entries[slot];
    const struct shadow_info *info = &view->info[slot];
    uint64_t mpn = (entry->page - (uintptr_t)frames->host) >> PAGE_SHIFT;
    if (mpn >= frames->budget || physmem_ram_index(mmu->physmem, PPN(info->ppn)) == PHYSMEM_NOT_RAM)
        return false; /* ROM */
    *wanted = (struct window_page){
        .ppn = info->ppn,
        .number = (uint32_t)(linear % WINDOW_BYTES >> PAGE_SHIFT),
        .mpn = (uint32_t)mpn,
        .page_shift = info->page_shift,
        .writable = entry->write_tag == (linear & PAGE_MASK),
        .global = info->global,
    };
    return true;
}

/* Gives a page that is there what is wanted, or drops it; false: it is gone. */
static bool page_refill(struct mmu *mmu, const struct window_page *wanted)
{
    struct window *window = wanted->window;
    uint32_t id = window->page_at[wanted->number];
    if (!id)
        return false;
    struct window_page *page = &mmu->windows->pages[id];
    if (page->mpn != wanted->mpn || page->ppn != wanted->ppn ||
        !page_set_writable(page, wanted->writable)) {
        page_drop(mmu, id);
        return false;
    }
    page->global = wanted->global;
    page->page_shift = wanted->page_shift;
    if (page->page_shift > PAGE_SHIFT)
        window->large_shifts |= 1u << page->page_shift;
    return true;
}

bool windows_fill(struct mmu *mmu, gva_t gva)
{
    struct window_page wanted;
    if (!windows_open(mmu) || gva.v >> 32 >= WINDOWS_USER_INDEXES ||
        !page_wanted(mmu, gva.v, &wanted))
        return false;
    make_room(mmu);
    if (!mmu->windows->open)
        return false;
    wanted.window = window_get(mmu, (unsigned)(gva.v >> 32));
    if (!wanted.window || (!page_refill(mmu, &wanted) && !page_map(mmu, &wanted))) {
        space_give_up(mmu, errno);
        return false;
    }
    return true;
}

bool windows_has(const struct mmu *mmu, gva_t gva, bool write)
{
    if (!windows_open(mmu) || gva.v >> 32 >= WINDOWS_USER_INDEXES)
        return false;
    const struct window *window = window_find(mmu->windows->present, (unsigned)(gva.v >> 32));
    uint32_t id = window ? window->page_at[gva.v % WINDOW_BYTES >> PAGE_SHIFT] : 0;
    return id && (!write || mmu->windows->pages[id].writable);
}

/* --- what takes pages away */

static void window_drop_address(struct mmu *mmu, struct window *window, uint64_t linear,
                                bool only_global)
{
    const struct window_page *pages = mmu->windows->pages;
    const uint64_t number = linear % WINDOW_BYTES >> PAGE_SHIFT;
    for (uint32_t shifts = window->large_shifts | 1u << PAGE_SHIFT; shifts; shifts &= shifts - 1) {
        unsigned shift = (unsigned)__builtin_ctz(shifts);
        uint64_t count = UINT64_C(1) << (shift - PAGE_SHIFT), end = (number & ~(count - 1)) + count;
        for (uint64_t n = window_next(window, end - count); n < end;
             n = window_next(window, n + 1)) {
            uint32_t id = window->page_at[n];
            if ((pages[id].page_shift == shift || n == number) &&
                (pages[id].global || !only_global))
                page_drop(mmu, id);
        }
    }
}

/* WHY: a page that is taken away and comes again costs a fault and two calls of the host. */
static void space_note_drop(struct mmu *mmu, struct windows_space *space)
{
    space->drops++;
    if (!space->open || !mmu->windows->options.earn_ticks || space->drops <= DROPS_MAX)
        return;
    space_close(mmu, space);
    windows_update(mmu);
}

void windows_address_dropped(struct mmu *mmu, const struct shadow_space *space, uint64_t linear,
                             bool only_global)
{
    if (linear >> 32 >= WINDOWS_USER_INDEXES)
        return;
    for (unsigned i = 0; i < WINDOWS_SPACES; i++) {
        const struct windows_space *of_space = &mmu->windows->spaces[i];
        if (of_space->stale || of_space->key.pcid != space->pcid)
            continue; /* WHY: stale pages are compared before they are used */
        struct window *window = window_find(of_space, (unsigned)(linear >> 32));
        if (window)
            window_drop_address(mmu, window, linear, only_global);
    }
    if (mmu->windows->present->key.pcid == space->pcid && !only_global)
        space_note_drop(mmu, mmu->windows->present);
}

void windows_pages_dropped(struct mmu *mmu, ppn_t first, uint64_t count)
{
    struct windows *windows = mmu->windows;
    if (count == 1) {
        uint64_t index = physmem_ram_index(mmu->physmem, first);
        while (index != PHYSMEM_NOT_RAM && windows->of_ram[index])
            page_drop(mmu, windows->of_ram[index]);
        return;
    }
    for (uint32_t id = 1; id < windows->page_fresh; id++)
        if (windows->pages[id].window && windows->pages[id].ppn - first.v < count)
            page_drop(mmu, id);
}

void windows_page_protected(struct mmu *mmu, ppn_t ppn)
{
    uint64_t index = physmem_ram_index(mmu->physmem, ppn);
    uint32_t id = index == PHYSMEM_NOT_RAM ? 0 : mmu->windows->of_ram[index];
    while (id) {
        if (page_set_writable(&mmu->windows->pages[id], false)) {
            id = mmu->windows->pages[id].next;
        } else {
            page_drop(mmu, id);
            id = mmu->windows->of_ram[index];
        }
    }
}

/* --- the whole */

int windows_init(struct mmu *mmu, int64_t *deltas, const struct windows_options *options,
                 struct error *error)
{
    struct windows *windows = calloc(1, sizeof *windows);
    if (windows) {
        windows->options = *options;
        if (windows->options.max_areas < PAGE_AREAS_MAX)
            windows->options.max_areas = PAGE_AREAS_MAX;
        windows->pages = calloc(windows->options.max_areas + UINT64_C(1), sizeof *windows->pages);
        windows->of_ram = calloc(mmu->physmem->ram_bytes >> PAGE_SHIFT, sizeof *windows->of_ram);
    }
    if (!windows || !windows->pages || !windows->of_ram) {
        if (windows) {
            free(windows->pages);
            free(windows->of_ram);
        }
        free(windows);
        return error_set(error, ENOMEM,
                         "no host memory for the lists of the window tier; lower -m");
    }
    windows->deltas = deltas;
    windows->page_fresh = 1;
    for (unsigned index = 0; index < WINDOWS_INDEXES; index++)
        delta_close(windows, index);
    mmu->windows = windows;
    windows->present = &windows->spaces[0];
    windows->present->key = key_of_registers(mmu);
    for (unsigned i = 0; i < WINDOWS_SPACES; i++)
        space_close(mmu, &windows->spaces[i]);
    windows_update(mmu);
    return 0;
}

void windows_free(struct mmu *mmu)
{
    struct windows *windows = mmu->windows;
    if (!windows)
        return;
    for (unsigned i = 0; i < WINDOWS_SPACES; i++)
        space_empty(mmu, &windows->spaces[i]);
    space_set_open(mmu, windows->present, false);
    windows_update(mmu);
    while (windows->unused) {
        struct window *window = windows->unused;
        windows->unused = window->next_unused;
        window_release(window);
    }
    free(windows->pages);
    free(windows->of_ram);
    free(windows);
    mmu->windows = NULL;
}

bool windows_linear(const struct mmu *mmu, uint64_t host, gva_t *gva)
{
    const struct windows_space *space = mmu->windows->present;
    for (unsigned i = 0; i < space->window_count; i++) {
        const struct window *window = space->windows[i];
        const uint64_t offset = host - (uintptr_t)window->base;
        if (offset >= WINDOW_BYTES)
            continue;
        *gva = GVA(((uint64_t)window->index << 32) + offset);
        return true;
    }
    return false;
}

void windows_describe(const struct mmu *mmu, FILE *out)
{
    const struct windows *windows = mmu->windows;
    if (!windows) {
        fprintf(out, "windows: none\n");
        return;
    }
    const struct windows_space *space = windows->present;
    const struct windows_count *count = &windows->count;
    fprintf(out,
            "windows: present space %s with %u of %u windows; spaces opened %llu, closed %llu\n",
            space->open       ? "open"
            : space->given_up ? "given up"
                              : "not open",
            space->window_count, WINDOWS_PER_SPACE, (unsigned long long)count->opened,
            (unsigned long long)count->closed);
    fprintf(out, "  pages %llu now in %llu of %u host areas; %llu filled, %llu unmapped\n",
            (unsigned long long)count->pages, (unsigned long long)count->areas,
            windows->options.max_areas, (unsigned long long)count->fills,
            (unsigned long long)count->unmapped);
    fprintf(out, "  flushes %llu, evictions %llu; the host refused: %s\n",
            (unsigned long long)count->flushes, (unsigned long long)count->evictions,
            windows->refusal ? strerror(windows->refusal) : "nothing");
}
