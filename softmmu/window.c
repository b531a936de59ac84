/* Windows: which address space has them, what they are filled with, and when they are given up.
 * Invariants: softmmu/window.h.
 */
#include "softmmu/window_priv.h"

#include "base/log.h"
#include "softmmu/control_registers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const view_names[WINDOWS_VIEWS] = {
    [VIEW_USER] = "user", [VIEW_SUPERVISOR] = "supervisor"};

enum {
    LOSSES_MAX = 3,
    DROPS_MAX = 16,
    SWITCHES_MAX = 1,
    /* WHY: at some 30 ns a page compared and 4 ms a tick, a tenth of the time. */
    HALF = WINDOWS_INDEXES / 2, /* the first index of the upper half */
    TICK_PAYS_PAGES = 12288,
    DROP_COSTS_PAGES = 64, /* the host's part in taking one away */
};
/* WHY more for a kernel: it has more pages to fill again if it is closed. */
static const uint64_t debt_max_pages[WINDOWS_VIEWS] = {
    [VIEW_USER] = 16 * TICK_PAYS_PAGES, [VIEW_SUPERVISOR] = 64 * TICK_PAYS_PAGES};

/* WHY a closed delta faults, for h = linear + delta + distance, where distance is up to 2 GiB
 * either way: let t be bits 48..63 of linear, i its index.  For i < 0x7ffe, h - (t << 48) lies from
 * 2^47 + 2^31 to 2^48 - 2^31; for the others, i being subtracted, from 2^47 + 2^31 to 2^47 + 2^34.
 * So bit 47 of h is set and t is as it was: h is not canonical, or in the kernel's half and more
 * than 1 GiB below its vsyscall page.  In an open window h is in the reservation, so bits 47..63
 * are clear, if t is what bit 47 of linear says; with any other t it is not canonical. */
static void delta_close(struct windows *windows, unsigned index)
{
    windows->deltas[index] = windows_closed_delta(index);
}

static void delta_open(struct windows *windows, const struct window *window)
{
    windows->deltas[window->index] = (int64_t)((uintptr_t)window->base - window_start(window));
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
static struct window *window_get(struct windows *windows, unsigned index)
{
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

static void space_close_window(struct windows *windows, struct windows_space *space, unsigned i)
{
    struct window *window = space->windows[i];
    if (space == windows->present)
        delta_close(windows, window->index);
    window_empty(windows, window);
    window->next_unused = windows->unused;
    windows->unused = window;
    space->windows[i] = space->windows[--space->window_count];
}

static void space_empty(struct windows *windows, struct windows_space *space)
{
    while (space->window_count)
        space_close_window(windows, space, space->window_count - 1);
}

static void space_set_open(struct windows *windows, struct windows_space *space, bool open)
{
    windows->count.opened += open && !space->open;
    windows->count.closed += !open && space->open;
    space->open = open;
    space->ticks = space->losses = 0;
}

/* Empties the space, which has to earn windows again. */
static void space_close(struct windows *windows, struct windows_space *space, const char *why)
{
    if (space->open)
        log_line(LOG_MMU, "mmu: %s windows closed for PCID %x: %s", view_names[windows->view],
                 space->key.pcid, why);
    space_empty(windows, space);
    space_set_open(windows, space, !windows->options.earn_ticks);
    space->debt = 0;
}

static void windows_update(struct windows *windows)
{
    bool open = windows->present->open;
    if (open == windows->open)
        return;
    windows->open = open;
    if (windows->mmu->windows_changed)
        windows->mmu->windows_changed(windows->mmu->opaque);
}

static uint64_t space_pages(const struct windows_space *space)
{
    uint64_t pages = 0;
    for (unsigned i = 0; i < space->window_count; i++)
        pages += space->windows[i]->page_count;
    return pages;
}

/* Compares the pages of the space whose tables are the present ones; see windows_tick(). */
static void space_compare(struct windows *windows, struct windows_space *space)
{
    const uint64_t had = space_pages(space);
    space->debt += had;
    windows->count.flushes += had != 0;
    if (windows->options.earn_ticks && space->debt > debt_max_pages[windows->view]) {
        space_close(windows, space, "comparing costs too much");
        return;
    }
    for (unsigned i = space->window_count; i-- > 0;) {
        window_compare(windows, space->windows[i]);
        if (!space->windows[i]->page_count)
            space_close_window(windows, space, i);
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
        space_close(windows, space, "pages do not last");
}

void windows_space_flushed(struct mmu *mmu, const struct shadow_space *space)
{
    for (unsigned view = 0; view < WINDOWS_VIEWS; view++)
        for (unsigned i = 0; i < WINDOWS_SPACES; i++)
            if (mmu->windows[view].spaces[i].key.pcid == space->pcid)
                mmu->windows[view].spaces[i].stale = true;
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
static struct windows_space *space_for(struct windows *windows, const struct windows_key *key)
{
    struct windows_space *oldest = NULL;
    for (unsigned i = 0; i < WINDOWS_SPACES; i++) {
        struct windows_space *space = &windows->spaces[i];
        if (!memcmp(&space->key, key, sizeof *key))
            return space;
        if (space != windows->present && (!oldest || space->last_used < oldest->last_used))
            oldest = space;
    }
    space_close(windows, oldest, "others need the room");
    oldest->key = *key;
    oldest->given_up = false;
    oldest->drops = oldest->switches = oldest->flitting = 0;
    return oldest;
}

static void space_make_present(struct windows *windows, struct windows_space *space)
{
    for (unsigned i = 0; i < windows->present->window_count; i++)
        delta_close(windows, windows->present->windows[i]->index);
    windows->present = space;
    space->switches++;
    space->last_used = ++windows->use_counter;
}

/* A flush while the space is present begins its earning anew: short-lived processes are flushed
 * often, and being switched away from tells nothing. */
static void space_note_flush(struct windows *windows, struct windows_space *space)
{
    space->given_up = false;
    if (!space->open)
        space_set_open(windows, space, !windows->options.earn_ticks);
}

static void settle(struct windows *windows, const struct windows_key *key)
{
    struct windows_space *space = windows->present;
    const bool switched = memcmp(&space->key, key, sizeof *key);
    if (switched) {
        space = space_for(windows, key);
        space_make_present(windows, space);
    } else if (space->stale) {
        space_note_flush(windows, space);
    }
    if (space->stale)
        space_compare(windows, space);
    space->stale = false;
    for (unsigned i = 0; switched && i < space->window_count; i++)
        delta_open(windows, space->windows[i]);
    windows_update(windows);
}

void windows_settle(struct mmu *mmu)
{
    if (!mmu->windows)
        return;
    const struct windows_key key = key_of_registers(mmu);
    for (unsigned view = 0; view < WINDOWS_VIEWS; view++)
        settle(&mmu->windows[view], &key);
}

void windows_tick(struct mmu *mmu, enum shadow_view_id view)
{
    if (!mmu->windows)
        return;
    struct windows *windows = &mmu->windows[view];
    struct windows_space *space = windows->present;
    const unsigned earn_ticks = windows->options.earn_ticks;
    const bool flits = view == VIEW_SUPERVISOR && space->switches > SWITCHES_MAX;
    space->debt -= space->debt < TICK_PAYS_PAGES ? space->debt : TICK_PAYS_PAGES;
    if (space->drops > DROPS_MAX || flits)
        space->ticks = 0;
    else
        space->ticks += space->ticks < earn_ticks;
    space->flitting = flits ? space->flitting + 1 : 0;
    space->drops = space->switches = 0;
    if (space->open && earn_ticks && space->flitting == earn_ticks) {
        space_close(windows, space, "often switched away from");
        windows_update(windows);
    }
    if (space->open || space->given_up || space->ticks < earn_ticks)
        return;
    log_line(LOG_MMU, "mmu: %s windows open for PCID %x", view_names[view], mmu->space->pcid);
    space_set_open(windows, space, true);
    windows_update(windows);
}

/* The present space has to do without windows until its next flush; `error` is the host's, or
 * E2BIG. */
static void space_give_up(struct windows *windows, int error)
{
    struct windows_space *space = windows->present;
    if (error != E2BIG && !windows->refusal) {
        windows->refusal = error;
        log_line(LOG_MMU,
                 "mmu: the host refuses a window mapping: %s; raise vm.max_map_count or ulimit -v",
                 strerror(error));
    }
    space_empty(windows, space);
    space_set_open(windows, space, false);
    space->given_up = true;
    windows_update(windows);
}

static uint64_t pages_max(const struct windows *windows)
{
    return (uint64_t)PAGES_PER_AREA * windows->options.max_areas;
}

/* INV-3: empties spaces until a page more has room, that used longest ago first, the present last.
 */
static void make_room(struct windows *windows)
{
    const unsigned max_areas = windows->options.max_areas;
    const unsigned earn_ticks = windows->options.earn_ticks;
    while (windows->count.areas + PAGE_AREAS_MAX > max_areas ||
           windows->count.pages + FRAMES_RUN > pages_max(windows)) {
        struct windows_space *oldest = windows->present;
        for (unsigned i = 0; i < WINDOWS_SPACES; i++) {
            struct windows_space *space = &windows->spaces[i];
            if (space != windows->present && space->window_count &&
                (oldest == windows->present || space->last_used < oldest->last_used))
                oldest = space;
        }
        windows->count.evictions++;
        space_empty(windows, oldest);
        space_set_open(windows, oldest, oldest->open && oldest->ticks >= earn_ticks);
        windows_update(windows);
    }
}

/* --- filling */

/* What the present view grants of the page: INV-1. */
static bool page_of_view(const struct windows *windows, uint64_t linear, struct window_page *wanted)
{
    const struct mmu *mmu = windows->mmu;
    const struct frames *frames = mmu->physmem->frames;
    const struct shadow_view *view = mmu->space->views[windows->view];
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
static bool page_refill(struct windows *windows, const struct window_page *wanted)
{
    struct window *window = wanted->window;
    uint32_t id = window->page_at[wanted->number];
    if (!id)
        return false;
    struct window_page *page = &windows->pages[id];
    if (page->mpn != wanted->mpn || page->ppn != wanted->ppn ||
        !page_set_writable(windows, page, wanted->writable)) {
        page_drop(windows, id);
        return false;
    }
    page->global = wanted->global;
    page->page_shift = wanted->page_shift;
    if (page->page_shift > PAGE_SHIFT)
        window->large_shifts |= 1u << page->page_shift;
    return true;
}

/* What a walk would grant now of a page that the view does not have (any more). */
static bool page_granted(struct mmu_granted *granted, gva_t gva, struct window_page *wanted)
{
    const struct mmu *mmu = granted->mmu;
    struct translation found;
    if (!mmu_granted(granted, gva, &found) ||
        (mmu->page_is_watched && mmu->page_is_watched(mmu->opaque, gva)))
        return false;
    const ppn_t ppn = gpa_ppn(found.gpa);
    const mpn_t mpn = physmem_mpn(mmu->physmem, ppn);
    if (mpn.v == MPN_NONE.v || mpn.v == FRAMES_ZERO.v)
        return false;
    const uint8_t *frame = frames_host(mmu->physmem->frames, mpn);
    if (physmem_page_read(mmu->physmem, ppn) != frame)
        return false; /* ROM */
    *wanted = (struct window_page){
        .ppn = ppn.v,
        .number = (uint32_t)(gva.v % WINDOW_BYTES >> PAGE_SHIFT),
        .mpn = mpn.v,
        .page_shift = (uint8_t)__builtin_ctzll(found.page_bytes),
        .writable = found.writable && !physmem_has_code(mmu->physmem, ppn) &&
                    physmem_page_write(mmu->physmem, ppn, NULL) == frame,
        .global = found.global,
    };
    return true;
}

/* Can the page `step` pages from `page` be mapped with it?  Then *next is that one. */
static bool next_of_run(struct mmu_granted *granted, const struct window_page *page, int step,
                        struct window_page *next)
{
    const uint32_t number = page->number + (uint32_t)step;
    const gva_t gva = GVA(window_start(page->window) + ((uint64_t)number << PAGE_SHIFT));
    if (page->window->page_at[number] || !page_granted(granted, gva, next))
        return false;
    next->window = page->window;
    return next->mpn == page->mpn + (uint32_t)step && next->writable == page->writable;
}

/* Maps the page, and those around it that one call of the host can map too. */
static bool fill_run(struct windows *windows, struct mmu_granted *granted,
                     const struct window_page *wanted)
{
    struct window_page pages[2 * FRAMES_RUN];
    const uint64_t room = windows->options.max_areas - windows->count.areas;
    const uint32_t block = wanted->number & ~(uint32_t)(FRAMES_RUN - 1);
    unsigned first = FRAMES_RUN, end = first + 1;
    pages[first] = *wanted;
    if (room <= FRAMES_RUN)
        return pages_map(windows, wanted, 1);
    while (pages[first].number > block &&
           next_of_run(granted, &pages[first], -1, &pages[first - 1]))
        first--;
    while (pages[end - 1].number + 1 < block + FRAMES_RUN &&
           next_of_run(granted, &pages[end - 1], 1, &pages[end]))
        end++;
    return pages_map(windows, &pages[first], end - first);
}

/* Can the present space have a window with the address?  Then *index is that window's. */
static bool windows_reach(const struct mmu *mmu, enum shadow_view_id view, gva_t gva,
                          unsigned *index)
{
    *index = gva.v >> 32 & (WINDOWS_INDEXES - 1);
    return windows_open(mmu, view) && (int64_t)gva.v >> 47 == (*index >= HALF ? -1 : 0) &&
           (*index < HALF || view != VIEW_USER);
}

bool windows_fill(struct mmu *mmu, enum shadow_view_id view, gva_t gva)
{
    struct window_page wanted;
    unsigned index;
    if (!windows_reach(mmu, view, gva, &index))
        return false;
    struct windows *windows = &mmu->windows[view];
    struct mmu_granted granted = MMU_GRANTED(mmu, view);
    if (!page_of_view(windows, gva.v, &wanted) && !page_granted(&granted, gva, &wanted))
        return false;
    make_room(windows);
    if (!windows->open)
        return false;
    wanted.window = window_get(windows, index);
    if (!wanted.window ||
        (!page_refill(windows, &wanted) && !fill_run(windows, &granted, &wanted))) {
        space_give_up(windows, errno);
        return false;
    }
    return true;
}

bool windows_has(const struct mmu *mmu, enum shadow_view_id view, gva_t gva, bool write)
{
    unsigned index;
    if (!windows_reach(mmu, view, gva, &index))
        return false;
    const struct windows *windows = &mmu->windows[view];
    const struct window *window = window_find(windows->present, index);
    uint32_t id = window ? window->page_at[gva.v % WINDOW_BYTES >> PAGE_SHIFT] : 0;
    return id && (!write || windows->pages[id].writable);
}

/* --- what takes pages away */

/* Was any page there? */
static bool window_drop_address(struct windows *windows, struct window *window, uint64_t linear,
                                bool only_global)
{
    const uint64_t had = windows->count.unmapped;
    const struct window_page *pages = windows->pages;
    const uint64_t number = linear % WINDOW_BYTES >> PAGE_SHIFT;
    for (uint32_t shifts = window->large_shifts | 1u << PAGE_SHIFT; shifts; shifts &= shifts - 1) {
        unsigned shift = (unsigned)__builtin_ctz(shifts);
        uint64_t count = UINT64_C(1) << (shift - PAGE_SHIFT), end = (number & ~(count - 1)) + count;
        for (uint64_t n = window_next(window, end - count); n < end;
             n = window_next(window, n + 1)) {
            uint32_t id = window->page_at[n];
            if ((pages[id].page_shift == shift || n == number) &&
                (pages[id].global || !only_global))
                page_drop(windows, id);
        }
    }
    return windows->count.unmapped != had;
}

/* WHY: a page that is taken away and comes again costs a fault and two calls of the host; and how a
 * process begins foretells how it goes on. */
static void note_drop_of_user(struct windows *windows, struct windows_space *space)
{
    space->drops++;
    if (!space->open || !windows->options.earn_ticks || space->drops <= DROPS_MAX)
        return;
    space_close(windows, space, "many addresses flushed");
    windows_update(windows);
}

/* WHY only if a page was there: the kernel flushes addresses of users, and what it mapped and never
 * touched. */
static void note_drop_of_supervisor(struct windows *windows, struct windows_space *space, bool had)
{
    space->debt += had ? DROP_COSTS_PAGES : 0;
    if (!space->open || !windows->options.earn_ticks ||
        space->debt <= debt_max_pages[windows->view])
        return;
    space_close(windows, space, "many addresses flushed");
    windows_update(windows);
}

static void address_dropped(struct windows *windows, uint16_t pcid, uint64_t linear,
                            bool only_global)
{
    bool had = false;
    for (unsigned i = 0; i < WINDOWS_SPACES; i++) {
        const struct windows_space *space = &windows->spaces[i];
        if (space->stale || space->key.pcid != pcid)
            continue; /* WHY: stale pages are compared before they are used */
        struct window *window =
            window_find(space, (unsigned)(linear >> 32 & (WINDOWS_INDEXES - 1)));
        if (window && window_drop_address(windows, window, linear, only_global))
            had |= space == windows->present;
    }
    if (windows->present->key.pcid != pcid || only_global)
        return;
    if (windows->view == VIEW_USER)
        note_drop_of_user(windows, windows->present);
    else
        note_drop_of_supervisor(windows, windows->present, had);
}

void windows_address_dropped(struct mmu *mmu, const struct shadow_space *space, uint64_t linear,
                             bool only_global)
{
    const bool lower = linear >> 47 == 0;
    for (unsigned view = lower ? 0 : VIEW_SUPERVISOR; view < WINDOWS_VIEWS; view++)
        address_dropped(&mmu->windows[view], space->pcid, linear, only_global);
}

static void pages_dropped(struct windows *windows, ppn_t first, uint64_t count)
{
    if (count == 1) {
        uint64_t index = physmem_ram_index(windows->mmu->physmem, first);
        while (index != PHYSMEM_NOT_RAM && windows->of_ram[index])
            page_drop(windows, windows->of_ram[index]);
        return;
    }
    for (uint32_t id = 1; id < windows->page_fresh; id++)
        if (windows->pages[id].window && windows->pages[id].ppn - first.v < count)
            page_drop(windows, id);
}

void windows_pages_dropped(struct mmu *mmu, ppn_t first, uint64_t count)
{
    for (unsigned view = 0; view < WINDOWS_VIEWS; view++)
        pages_dropped(&mmu->windows[view], first, count);
}

static void page_protected(struct windows *windows, uint64_t index)
{
    uint32_t id = windows->of_ram[index];
    while (id) {
        if (page_set_writable(windows, &windows->pages[id], false)) {
            id = windows->pages[id].next;
        } else {
            page_drop(windows, id);
            id = windows->of_ram[index];
        }
    }
}

void windows_page_protected(struct mmu *mmu, ppn_t ppn)
{
    const uint64_t index = physmem_ram_index(mmu->physmem, ppn);
    for (unsigned view = 0; index != PHYSMEM_NOT_RAM && view < WINDOWS_VIEWS; view++)
        page_protected(&mmu->windows[view], index);
}

/* --- the whole */

/* False when out of memory. */
static bool view_init(struct windows *windows, struct mmu *mmu, int64_t *deltas,
                      const struct windows_options *options)
{
    windows->mmu = mmu;
    windows->deltas = deltas;
    windows->options = *options;
    if (windows->options.max_areas < PAGE_AREAS_MAX)
        windows->options.max_areas = PAGE_AREAS_MAX;
    windows->pages = calloc(pages_max(windows) + 1, sizeof *windows->pages);
    windows->of_ram = calloc(mmu->physmem->ram_bytes >> PAGE_SHIFT, sizeof *windows->of_ram);
    windows->page_fresh = 1;
    for (unsigned index = 0; index < WINDOWS_INDEXES; index++)
        delta_close(windows, index);
    windows->present = &windows->spaces[0];
    windows->present->key = key_of_registers(mmu);
    for (unsigned i = 0; i < WINDOWS_SPACES; i++)
        space_close(windows, &windows->spaces[i], "a new machine");
    return windows->pages && windows->of_ram;
}

static void view_free(struct windows *windows)
{
    for (unsigned i = 0; i < WINDOWS_SPACES; i++)
        space_empty(windows, &windows->spaces[i]);
    while (windows->unused) {
        struct window *window = windows->unused;
        windows->unused = window->next_unused;
        window_release(window);
    }
    free(windows->pages);
    free(windows->of_ram);
}

int windows_init(struct mmu *mmu, int64_t (*deltas)[WINDOWS_INDEXES],
                 const struct windows_options *options, struct error *error)
{
    struct windows *windows = calloc(WINDOWS_VIEWS, sizeof *windows);
    bool done = windows;
    for (unsigned view = 0; windows && view < WINDOWS_VIEWS; view++) {
        windows[view].view = (enum shadow_view_id)view;
        done &= view_init(&windows[view], mmu, deltas[view], &options[view]);
    }
    if (!done) {
        for (unsigned view = 0; windows && view < WINDOWS_VIEWS; view++)
            view_free(&windows[view]);
        free(windows);
        return error_set(error, ENOMEM,
                         "no host memory for the lists of the window tier; lower -m");
    }
    mmu->windows = windows;
    for (unsigned view = 0; view < WINDOWS_VIEWS; view++)
        windows_update(&windows[view]);
    return 0;
}

void windows_free(struct mmu *mmu)
{
    struct windows *windows = mmu->windows;
    if (!windows)
        return;
    for (unsigned view = 0; view < WINDOWS_VIEWS; view++) {
        space_set_open(&windows[view], windows[view].present, false);
        windows_update(&windows[view]);
        view_free(&windows[view]);
    }
    free(windows);
    mmu->windows = NULL;
}

bool windows_linear(const struct mmu *mmu, enum shadow_view_id view, uint64_t host, gva_t *gva)
{
    const struct windows_space *space = mmu->windows[view].present;
    for (unsigned i = 0; i < space->window_count; i++) {
        const struct window *window = space->windows[i];
        const uint64_t offset = host - (uintptr_t)window->base;
        if (offset >= WINDOW_BYTES)
            continue;
        *gva = GVA(window_start(window) + offset);
        return true;
    }
    return false;
}

static void describe(const struct windows *windows, FILE *out)
{
    const struct windows_space *space = windows->present;
    const struct windows_count *count = &windows->count;
    fprintf(out,
            "%s windows: present space %s with %u of %u windows; spaces opened %llu, closed %llu\n",
            view_names[windows->view],
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

void windows_describe(const struct mmu *mmu, FILE *out)
{
    if (!mmu->windows)
        fprintf(out, "windows: none\n");
    for (unsigned view = 0; mmu->windows && view < WINDOWS_VIEWS; view++)
        describe(&mmu->windows[view], out);
}
