/* Private to the window tier: windows and the pages in them, without the question whose they are.
 *
 * Each page in a window has a record in a pool.  A record is on a list of its RAM page, so that a
 * change of the page finds it, and its window finds it by page number.  A window knows its pages in
 * the order of their addresses: by a bit each, and a count for each stretch of 2 MiB.
 */
#ifndef SOFTMMU_WINDOW_PRIV_H
#define SOFTMMU_WINDOW_PRIV_H

#include "softmmu/window.h"

#define WINDOW_BYTES BIT(32)
#define WINDOW_PAGES (WINDOW_BYTES >> PAGE_SHIFT)

enum { PAGE_AREAS_MAX = 2 }; /* a page alone is an area, and splits one */
enum { PAGES_PER_AREA = 8 }; /* there may be, beyond the areas that there may be */
enum { STRETCH_PAGES = 512 };

struct window_page {
    struct window *window; /* NULL: unused, and `next` is the next such */
    uint64_t ppn;
    uint32_t number; /* in the window */
    uint32_t mpn;
    uint32_t next, previous; /* of the same RAM page */
    uint8_t page_shift;      /* of the guest's page */
    bool writable, global;
};

struct window {
    uint8_t *base;                                    /* of the 4 GiB, a guard before and behind */
    uint32_t *page_at;                                /* by page number: its record, or 0 */
    uint64_t *filled;                                 /* a bit a page */
    uint16_t stretches[WINDOW_PAGES / STRETCH_PAGES]; /* pages in each */
    uint32_t page_count;
    uint32_t low, high;    /* every page is in [low, high] */
    uint32_t large_shifts; /* bit n: large pages of 2^n bytes may be here */
    unsigned index;
    struct window *next_unused;
};

/* The linear address of its first byte: canonical. */
static inline uint64_t window_start(const struct window *window)
{
    return (uint64_t)(int16_t)window->index << 32;
}

/* NULL, and errno, when the host refuses. */
struct window *window_reserve(void);
void window_release(struct window *window);
/* The number of the first page there is from `from` on, or WINDOW_PAGES. */
uint64_t window_next(const struct window *window, uint64_t from);
void window_empty(struct windows *windows, struct window *window);
/* Takes all pages of [first, end) away; false: the host refuses, or there are too many areas now,
 * and the window has to be emptied. */
must_check bool window_drop_range(struct windows *windows, struct window *window, uint64_t first,
                                  uint64_t end);
/* Takes the write right from [first, end), where every page is; false as above. */
must_check bool window_protect_range(struct windows *windows, struct window *window, uint64_t first,
                                     uint64_t end);
/* Keeps what the present tables grant, drops the rest (INV-1). */
void window_compare(struct windows *windows, struct window *window);

/* Maps pages that are neighbours in window and machine, of the same rights.  False when the host
 * refuses. */
must_check bool pages_map(struct windows *windows, const struct window_page *wanted,
                          unsigned count);
/* False as for a range: the page has to be dropped. */
must_check bool page_set_writable(struct windows *windows, struct window_page *page, bool writable);
/* The page, or, if that cannot be, all of the window's. */
void page_drop(struct windows *windows, uint32_t id);

#endif
