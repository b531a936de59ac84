/* Windows: reserving, filling, emptying, and which space has them.  Invariants: softmmu/window.h.
 *
 * Each page in a window has a record in a pool.  A record is on two lists: of its window, so that a
 * flush costs what was filled, and of its RAM page, so that a change of the page finds it.
 */
#include "softmmu/window.h"

#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#define WINDOW_BYTES   BIT(32)
#define GUARD_BYTES    (BIT(31) + BIT(16)) /* the distance of an address, and the widest access */
#define RESERVED_BYTES (WINDOW_BYTES + 2 * GUARD_BYTES)
#define WINDOW_PAGES   (WINDOW_BYTES >> PAGE_SHIFT)

enum { PAGE_AREAS_MAX = 2 }; /* a page alone is an area, and splits one */

struct window_links {
    uint32_t next, previous;
};

struct window_page {
    struct window *window; /* NULL: unused, and in_window.next is the next such */
    uint64_t ppn;
    uint32_t number; /* in the window */
    uint32_t mpn;
    struct window_links in_window, of_ram;
    uint8_t page_shift; /* of the guest's page */
    bool writable, global;
};

struct window {
    uint8_t *base;         /* of the 4 GiB, a guard before and behind */
    uint32_t *page_at;     /* by page number: its record, or 0 */
    uint32_t first;        /* its list of records */
    uint32_t low, high;    /* every page is in [low, high] */
    uint32_t large_shifts; /* bit n: large pages of 2^n bytes may be here */
    unsigned index;
    struct window *next_unused;
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

static struct windows_space *space_of(const struct mmu *mmu, const struct shadow_space *space)
{
    return &mmu->windows->spaces[space - mmu->spaces];
}

/* --- pages */

static bool window_hide(struct window *window, uint64_t first, uint64_t count)
{
    return mmap(window->base + (first << PAGE_SHIFT), count << PAGE_SHIFT, PROT_NONE,
                MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) != MAP_FAILED;
}

static bool window_has_at(const struct window *window, uint64_t number)
{
    return number < WINDOW_PAGES && window->page_at[number];
}

/* How many areas a page adds to those of its neighbours: between two of them, none. */
static unsigned areas_of(const struct window *window, uint32_t number)
{
    return (unsigned)PAGE_AREAS_MAX - window_has_at(window, (uint64_t)number - 1) -
           window_has_at(window, (uint64_t)number + 1);
}

static uint32_t *ram_list(const struct mmu *mmu, uint64_t ppn)
{
    return &mmu->windows->of_ram[physmem_ram_index(mmu->physmem, PPN(ppn))];
}

static void page_link(struct mmu *mmu, uint32_t id)
{
    struct window_page *pages = mmu->windows->pages, *page = &pages[id];
    uint32_t *ram = ram_list(mmu, page->ppn), *first = &page->window->first;
    page->of_ram = (struct window_links){.next = *ram};
    page->in_window = (struct window_links){.next = *first};
    if (*ram)
        pages[*ram].of_ram.previous = id;
    if (*first)
        pages[*first].in_window.previous = id;
    *ram = *first = id;
}

static void page_unlink(struct mmu *mmu, const struct window_page *page)
{
    struct window_page *pages = mmu->windows->pages;
    struct window_links links = page->of_ram;
    *(links.previous ? &pages[links.previous].of_ram.next : ram_list(mmu, page->ppn)) = links.next;
    if (links.next)
        pages[links.next].of_ram.previous = links.previous;
    links = page->in_window;
    *(links.previous ? &pages[links.previous].in_window.next : &page->window->first) = links.next;
    if (links.next)
        pages[links.next].in_window.previous = links.previous;
}

/* Frees a record whose page is not mapped any more. */
static void page_forget(struct mmu *mmu, uint32_t id)
{
    struct windows *windows = mmu->windows;
    struct window_page *page = &windows->pages[id];
    struct window *window = page->window;
    page_unlink(mmu, page);
    window->page_at[page->number] = 0;
    windows->count.areas -= areas_of(window, page->number);
    windows->count.pages--;
    windows->count.unmapped++;
    page->window = NULL;
    page->in_window.next = windows->page_free;
    windows->page_free = id;
}

static uint32_t page_take(struct windows *windows)
{
    uint32_t id = windows->page_free;
    if (!id)
        return windows->page_fresh++;
    windows->page_free = windows->pages[id].in_window.next;
    return id;
}

static void window_forget_range(struct window *window)
{
    window->low = UINT32_MAX;
    window->high = 0;
    window->large_shifts = 0;
}

static void window_empty(struct mmu *mmu, struct window *window)
{
    if (!window->first)
        return;
    /* WHY: it begins and ends at borders of areas, so the host need not split one. */
    BUG_ON(!window_hide(window, window->low, window->high - window->low + 1));
    while (window->first)
        page_forget(mmu, window->first);
    window_forget_range(window);
}

static void page_drop(struct mmu *mmu, uint32_t id)
{
    struct window_page *page = &mmu->windows->pages[id];
    if (likely(window_hide(page->window, page->number, 1)))
        page_forget(mmu, id);
    else /* the host had joined areas, and has no more for splitting them */
        window_empty(mmu, page->window);
}

static bool page_set_writable(struct window_page *page, bool writable)
{
    if (page->writable == writable)
        return true;
    if (mprotect(page->window->base + ((uint64_t)page->number << PAGE_SHIFT), PAGE_BYTES,
                 writable ? PROT_READ | PROT_WRITE : PROT_READ) < 0)
        return false;
    page->writable = writable;
    return true;
}

static bool page_map(struct mmu *mmu, const struct window_page *wanted)
{
    struct windows *windows = mmu->windows;
    struct window *window = wanted->window;
    /* WHY no MAP_POPULATE: measured, it costs what the page fault at the first access does. */
    if (mmap(window->base + ((uint64_t)wanted->number << PAGE_SHIFT), PAGE_BYTES,
             wanted->writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_FIXED | MAP_SHARED,
             mmu->physmem->frames->fd, (off_t)wanted->mpn << PAGE_SHIFT) == MAP_FAILED)
        return false;
    uint32_t id = page_take(windows);
    windows->pages[id] = *wanted;
    page_link(mmu, id);
    windows->count.areas += areas_of(window, wanted->number);
    windows->count.pages++;
    windows->count.fills++;
    window->page_at[wanted->number] = id;
    window->low = wanted->number < window->low ? wanted->number : window->low;
    window->high = wanted->number > window->high ? wanted->number : window->high;
    if (wanted->page_shift > PAGE_SHIFT)
        window->large_shifts |= 1u << wanted->page_shift;
    return true;
}

/* --- windows */

static struct window *window_reserve(void)
{
    struct window *window = calloc(1, sizeof *window);
    if (!window)
        return NULL;
    uint8_t *host =
        mmap(NULL, RESERVED_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    /* WHY not calloc: a few pages of it are used, and the others must cost nothing. */
    void *page_at = mmap(NULL, WINDOW_PAGES * sizeof *window->page_at, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (host != MAP_FAILED && page_at != MAP_FAILED) {
        window->base = host + GUARD_BYTES;
        window->page_at = page_at;
        window_forget_range(window);
        return window;
    }
    int failure = errno;
    if (host != MAP_FAILED)
        munmap(host, RESERVED_BYTES);
    if (page_at != MAP_FAILED)
        munmap(page_at, WINDOW_PAGES * sizeof *window->page_at);
    free(window);
    errno = failure;
    return NULL;
}

static void window_release(struct window *window)
{
    munmap(window->base - GUARD_BYTES, RESERVED_BYTES);
    munmap(window->page_at, WINDOW_PAGES * sizeof *window->page_at);
    free(window);
}

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
    struct windows_space *space = space_of(mmu, mmu->space);
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

static void space_empty(struct mmu *mmu, struct windows_space *space)
{
    struct windows *windows = mmu->windows;
    for (unsigned i = 0; i < space->window_count; i++) {
        struct window *window = space->windows[i];
        if (space == space_of(mmu, mmu->space))
            delta_close(windows, window->index);
        window_empty(mmu, window);
        window->next_unused = windows->unused;
        windows->unused = window;
    }
    space->window_count = 0;
}

static void space_set_open(struct mmu *mmu, struct windows_space *space, bool open)
{
    struct windows *windows = mmu->windows;
    windows->count.opened += open && !space->open;
    windows->count.closed += !open && space->open;
    space->open = open;
    space->ticks = 0;
}

static void windows_update(struct mmu *mmu)
{
    bool open = space_of(mmu, mmu->space)->open;
    if (open == mmu->windows->open)
        return;
    mmu->windows->open = open;
    if (mmu->windows_changed)
        mmu->windows_changed(mmu->opaque);
}

static void space_flushed(struct mmu *mmu, struct windows_space *space)
{
    unsigned earn_ticks = mmu->windows->options.earn_ticks;
    space_empty(mmu, space);
    space_set_open(mmu, space, !earn_ticks || (space->open && space->ticks >= earn_ticks));
    space->given_up = false;
    windows_update(mmu);
}

void windows_space_flushed(struct mmu *mmu, struct shadow_space *space)
{
    struct windows_space *flushed = space_of(mmu, space);
    mmu->windows->count.flushes += flushed->window_count != 0;
    space_flushed(mmu, flushed);
}

void windows_space_recycled(struct mmu *mmu, struct shadow_space *space)
{
    struct windows_space *recycled = space_of(mmu, space);
    recycled->ticks = 0;
    space_flushed(mmu, recycled);
}

void windows_space_switched(struct mmu *mmu, struct shadow_space *from)
{
    const struct windows_space *left = space_of(mmu, from), *entered = space_of(mmu, mmu->space);
    if (left == entered)
        return;
    for (unsigned i = 0; i < left->window_count; i++)
        delta_close(mmu->windows, left->windows[i]->index);
    for (unsigned i = 0; i < entered->window_count; i++)
        delta_open(mmu->windows, entered->windows[i]);
    windows_update(mmu);
}

void windows_tick(struct mmu *mmu)
{
    if (!mmu->windows)
        return;
    struct windows_space *space = space_of(mmu, mmu->space);
    const unsigned earn_ticks = mmu->windows->options.earn_ticks;
    space->ticks += space->ticks < earn_ticks;
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
    struct windows_space *space = space_of(mmu, mmu->space);
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
    while (windows->count.areas + PAGE_AREAS_MAX > windows->options.max_areas) {
        struct shadow_space *oldest = mmu->space;
        for (unsigned i = 0; i < SHADOW_SPACES; i++) {
            struct shadow_space *space = &mmu->spaces[i];
            if (space != mmu->space && space_of(mmu, space)->window_count &&
                (oldest == mmu->space || space->last_used < oldest->last_used))
                oldest = space;
        }
        windows->count.evictions++;
        space_flushed(mmu, space_of(mmu, oldest));
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
    const struct window *window = window_find(space_of(mmu, mmu->space), (unsigned)(gva.v >> 32));
    uint32_t id = window ? window->page_at[gva.v % WINDOW_BYTES >> PAGE_SHIFT] : 0;
    return id && (!write || mmu->windows->pages[id].writable);
}

/* --- what takes pages away */

void windows_address_dropped(struct mmu *mmu, struct shadow_space *space, uint64_t linear,
                             bool only_global)
{
    const struct window_page *pages = mmu->windows->pages;
    struct window *window = linear >> 32 < WINDOWS_USER_INDEXES
                                ? window_find(space_of(mmu, space), (unsigned)(linear >> 32))
                                : NULL;
    if (!window)
        return;
    const uint64_t number = linear % WINDOW_BYTES >> PAGE_SHIFT;
    for (uint32_t shifts = window->large_shifts | 1u << PAGE_SHIFT; shifts; shifts &= shifts - 1) {
        const unsigned shift = (unsigned)__builtin_ctz(shifts);
        const uint64_t count = BIT(shift - PAGE_SHIFT), first = number & ~(count - 1);
        for (uint64_t n = first; n < first + count; n++) {
            uint32_t id = window->page_at[n];
            if (id && (pages[id].page_shift == shift || n == number) &&
                (pages[id].global || !only_global))
                page_drop(mmu, id);
        }
    }
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
            id = mmu->windows->pages[id].of_ram.next;
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
    for (unsigned i = 0; i < SHADOW_SPACES; i++)
        space_set_open(mmu, &windows->spaces[i], !options->earn_ticks);
    windows_update(mmu);
    return 0;
}

void windows_free(struct mmu *mmu)
{
    struct windows *windows = mmu->windows;
    if (!windows)
        return;
    for (unsigned i = 0; i < SHADOW_SPACES; i++) {
        space_empty(mmu, &windows->spaces[i]);
        space_set_open(mmu, &windows->spaces[i], false);
    }
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
    const struct windows_space *space = space_of(mmu, mmu->space);
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
    const struct windows_space *space = space_of(mmu, mmu->space);
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
