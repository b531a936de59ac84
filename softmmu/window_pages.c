/* The pages in windows: records, host mappings, and finding them by address and by RAM page.
 * Invariants: softmmu/window.h (INV-3: counted are an area for pages that the host can keep as one
 * mapping, and one for each gap behind such).
 */
#include "softmmu/window_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#define GUARD_BYTES    (BIT(31) + BIT(16)) /* the distance of an address, and the widest access */
#define RESERVED_BYTES (WINDOW_BYTES + 2 * GUARD_BYTES)
#define PAGE_AT_BYTES  (WINDOW_PAGES * sizeof(uint32_t))
#define FILLED_BYTES   (WINDOW_PAGES / 8)

static bool window_hide(struct window *window, uint64_t first, uint64_t count)
{
    return mmap(window->base + (first << PAGE_SHIFT), count << PAGE_SHIFT, PROT_NONE,
                MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) != MAP_FAILED;
}

static bool window_has_at(const struct window *window, uint64_t number)
{
    return number < WINDOW_PAGES && window->page_at[number];
}

uint64_t window_next(const struct window *window, uint64_t from)
{
    if (from < window->low)
        from = window->low;
    for (uint64_t n = from; n <= window->high;) {
        if (!window->stretches[n / STRETCH_PAGES]) {
            n = (n | (STRETCH_PAGES - 1)) + 1;
            continue;
        }
        uint64_t bits = window->filled[n / 64] >> n % 64;
        if (bits)
            return n + (unsigned)__builtin_ctzll(bits);
        n = (n | 63) + 1;
    }
    return WINDOW_PAGES;
}

/* Are the page and the next one of the same mapping? */
static bool is_joined(const struct windows *windows, const struct window *window, uint64_t number)
{
    if (!window_has_at(window, number) || !window_has_at(window, number + 1))
        return false;
    const struct window_page *page = &windows->pages[window->page_at[number]];
    const struct window_page *next = &windows->pages[window->page_at[number + 1]];
    return next->mpn == page->mpn + 1 && next->writable == page->writable;
}

static unsigned joints_of(const struct windows *windows, const struct window *window,
                          uint64_t number)
{
    return (unsigned)is_joined(windows, window, number - 1) + is_joined(windows, window, number);
}

/* How many areas a page that is there adds to those of its neighbours; may be negative. */
static int areas_of(const struct windows *windows, const struct window *window, uint64_t number)
{
    return PAGE_AREAS_MAX - window_has_at(window, number - 1) - window_has_at(window, number + 1) -
           (int)joints_of(windows, window, number);
}

static void count_areas(struct windows *windows, int change)
{
    windows->count.areas += (uint64_t)(int64_t)change;
}

/* Taking pages away, or their rights, may split areas: then the whole window makes room. */
static bool has_too_many_areas(const struct windows *windows)
{
    return windows->count.areas > windows->options.max_areas;
}

static uint32_t *ram_list(const struct windows *windows, uint64_t ppn)
{
    return &windows->of_ram[physmem_ram_index(windows->mmu->physmem, PPN(ppn))];
}

/* Puts a record whose page is mapped where it is found. */
static void page_link(struct windows *windows, uint32_t id)
{
    struct window_page *page = &windows->pages[id];
    struct window *window = page->window;
    uint32_t number = page->number, *ram = ram_list(windows, page->ppn);
    page->next = *ram;
    page->previous = 0;
    if (*ram)
        windows->pages[*ram].previous = id;
    *ram = id;
    window->page_at[number] = id;
    count_areas(windows, areas_of(windows, window, number));
    windows->count.pages++;
    window->filled[number / 64] |= BIT(number % 64);
    window->stretches[number / STRETCH_PAGES]++;
    window->page_count++;
    window->low = number < window->low ? number : window->low;
    window->high = number > window->high ? number : window->high;
    if (page->page_shift > PAGE_SHIFT)
        window->large_shifts |= 1u << page->page_shift;
}

/* Frees a record whose page is not mapped any more. */
static void page_forget(struct windows *windows, uint32_t id)
{
    struct window_page *page = &windows->pages[id];
    struct window *window = page->window;
    uint32_t number = page->number;
    *(page->previous ? &windows->pages[page->previous].next : ram_list(windows, page->ppn)) =
        page->next;
    if (page->next)
        windows->pages[page->next].previous = page->previous;
    count_areas(windows, -areas_of(windows, window, number));
    window->page_at[number] = 0;
    window->filled[number / 64] &= ~BIT(number % 64);
    window->stretches[number / STRETCH_PAGES]--;
    window->page_count--;
    windows->count.pages--;
    windows->count.unmapped++;
    page->window = NULL;
    page->next = windows->page_free;
    windows->page_free = id;
}

static uint32_t page_take(struct windows *windows)
{
    uint32_t id = windows->page_free;
    if (!id)
        return windows->page_fresh++;
    windows->page_free = windows->pages[id].next;
    return id;
}

static void window_forget_range(struct window *window)
{
    window->low = UINT32_MAX;
    window->high = 0;
    window->large_shifts = 0;
}

static void window_forget_pages(struct windows *windows, struct window *window, uint64_t first,
                                uint64_t end)
{
    for (uint64_t n = window_next(window, first); n < end; n = window_next(window, n + 1))
        page_forget(windows, window->page_at[n]);
}

void window_empty(struct windows *windows, struct window *window)
{
    if (window->page_count) {
        /* WHY: it begins and ends at borders of areas, so the host need not split one; beyond its
         * limit it still refuses mmap() itself. */
        const uint64_t count = window->high - window->low + 1;
        BUG_ON(!window_hide(window, window->low, count) &&
               mprotect(window->base + ((uint64_t)window->low << PAGE_SHIFT), count << PAGE_SHIFT,
                        PROT_NONE) < 0);
        window_forget_pages(windows, window, 0, WINDOW_PAGES);
    }
    window_forget_range(window);
}

bool window_drop_range(struct windows *windows, struct window *window, uint64_t first, uint64_t end)
{
    if (!window_hide(window, first, end - first))
        return false;
    window_forget_pages(windows, window, first, end);
    return !has_too_many_areas(windows);
}

static void set_right(struct windows *windows, struct window_page *page, bool writable)
{
    const unsigned joints = joints_of(windows, page->window, page->number);
    page->writable = writable;
    count_areas(windows, (int)(joints - joints_of(windows, page->window, page->number)));
}

bool window_protect_range(struct windows *windows, struct window *window, uint64_t first,
                          uint64_t end)
{
    if (mprotect(window->base + (first << PAGE_SHIFT), (end - first) << PAGE_SHIFT, PROT_READ) < 0)
        return false;
    for (uint64_t n = first; n < end; n++)
        set_right(windows, &windows->pages[window->page_at[n]], false);
    return !has_too_many_areas(windows);
}

void page_drop(struct windows *windows, uint32_t id)
{
    const struct window_page *page = &windows->pages[id];
    struct window *window = page->window;
    const bool hidden = window_hide(window, page->number, 1);
    if (hidden)
        page_forget(windows, id);
    if (!hidden || has_too_many_areas(windows))
        window_empty(windows, window);
}

bool page_set_writable(struct windows *windows, struct window_page *page, bool writable)
{
    if (page->writable == writable)
        return true;
    if (mprotect(page->window->base + ((uint64_t)page->number << PAGE_SHIFT), PAGE_BYTES,
                 writable ? PROT_READ | PROT_WRITE : PROT_READ) < 0)
        return false;
    set_right(windows, page, writable);
    return !has_too_many_areas(windows);
}

bool pages_map(struct windows *windows, const struct window_page *wanted, unsigned count)
{
    struct window *window = wanted->window;
    /* WHY no MAP_POPULATE: measured, it costs what the page fault at the first access does. */
    if (mmap(window->base + ((uint64_t)wanted->number << PAGE_SHIFT), count * PAGE_BYTES,
             wanted->writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_FIXED | MAP_SHARED,
             windows->mmu->physmem->frames->fd, (off_t)wanted->mpn << PAGE_SHIFT) == MAP_FAILED)
        return false;
    for (unsigned i = 0; i < count; i++) {
        uint32_t id = page_take(windows);
        windows->pages[id] = wanted[i];
        page_link(windows, id);
    }
    windows->count.fills += count;
    return true;
}

/* --- windows */

struct window *window_reserve(void)
{
    struct window *window = calloc(1, sizeof *window);
    if (!window)
        return NULL;
    uint8_t *host =
        mmap(NULL, RESERVED_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    /* WHY not calloc: a few pages of it are used, and the others must cost nothing. */
    uint8_t *tables = mmap(NULL, PAGE_AT_BYTES + FILLED_BYTES, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (host != MAP_FAILED && tables != MAP_FAILED) {
        window->base = host + GUARD_BYTES;
        window->page_at = (uint32_t *)tables;
        window->filled = (uint64_t *)(tables + PAGE_AT_BYTES);
        window_forget_range(window);
        return window;
    }
    int failure = errno;
    if (host != MAP_FAILED)
        munmap(host, RESERVED_BYTES);
    if (tables != MAP_FAILED)
        munmap(tables, PAGE_AT_BYTES + FILLED_BYTES);
    free(window);
    errno = failure;
    return NULL;
}

void window_release(struct window *window)
{
    munmap(window->base - GUARD_BYTES, RESERVED_BYTES);
    munmap(window->page_at, PAGE_AT_BYTES + FILLED_BYTES);
    free(window);
}
