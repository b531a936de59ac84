/* The window tier of the shadow MMU: what a view grants, held in the host's own page tables.
 *
 * The guest's linear space is cut into windows of 4 GiB; bits 32..47 of an address are its index.
 * An open window is a host reservation of 4 GiB with a guard of a little over 2 GiB on either side,
 * and a page in it is a mapping of the machine frame itself, read-only or read-write.  For an
 * access of the guest's, host = linear + deltas[linear >> 32 & 0xffff]; a host SIGSEGV is the
 * shadow miss.  The index may be taken of the linear address or of any address up to 2 GiB from
 * it: closed indexes and the guards are made for both, whatever bits 48..63 are.
 *
 * User and supervisor code have windows apart, each with deltas of its own, which follow VIEW_USER
 * and VIEW_SUPERVISOR.  (What SMAP lifted adds to that is left to the soft tier.)  So has each
 * address space: one for each PCID and root of the guest's tables (under PAE the four PDPTEs) in
 * recent use.  A flush does not empty them.  It makes what they hold stale,
 * and before a stale space's pages can be reached again each is compared with the guest's tables
 * and kept if a walk would now grant exactly that, without setting an A bit (SDM 3A §4.10.3.1:
 * after a flush what is cached may come from any walk since).  So whom a space is kept for is only
 * a guess at which tables will match.
 *
 * Only address spaces that live long are worth it: a space earns its windows (windows_tick).
 *
 * Must not know: translated code, signals.  Nothing here may be called in a signal handler.
 *
 * INV-1: a page of the present space grants no more than the view's entry did when it was filled
 *        from it, or than the guest's tables did when it was filled beside another, or last
 *        compared with them; no
 *        flush of its PCID or of its address came later.  Mere eviction of the entry leaves it.
 * INV-2: deltas[] is of the present space: an index without an open window, and bits 48..63 that
 *        are not copies of bit 47, lead to no host address that can be reached.
 * INV-3: a view's host mappings (VMAs) are at most options.max_areas, and one a window.
 * INV-4: every page, also of a stale space, maps what its PPN does now, and read-only if that holds
 *        code.
 * INV-5: a space that is not stale has missed no flush of its PCID or of an address.
 */
#ifndef SOFTMMU_WINDOW_H
#define SOFTMMU_WINDOW_H

#include "softmmu/mmu.h"

enum {
    WINDOWS_INDEXES = 65536,
    WINDOWS_VIEWS = 2, /* VIEW_USER, VIEW_SUPERVISOR */
    WINDOWS_PER_SPACE = 32,
    WINDOWS_SPACES = 16,
};

/* Of one view. */
struct windows_options {
    unsigned max_areas;  /* host mappings (VMAs) in all, of pages and of gaps between; at least 2.
                          * There may be eight times as many pages */
    unsigned earn_ticks; /* see windows_tick(); 0: every space is open from the start */
};

/* WHY more ticks for a kernel: it has more to fill, and its code to translate again. */
static const struct windows_options windows_defaults[WINDOWS_VIEWS] = {
    [VIEW_USER] = {.max_areas = 40000, .earn_ticks = 3},
    [VIEW_SUPERVISOR] = {.max_areas = 20000, .earn_ticks = 10},
};

struct windows_count {
    uint64_t opened, closed;     /* spaces */
    uint64_t fills, unmapped;    /* pages put in, pages taken away */
    uint64_t flushes, evictions; /* of spaces with pages; spaces emptied to make room */
    uint64_t compared, kept;     /* pages, after flushes */
    uint64_t pages, areas;       /* now */
};

struct window;
struct window_page;

/* Whose windows they are.  No padding: compared byte by byte. */
struct windows_key {
    uint64_t roots[4]; /* CR3 or the PDPTEs; 0 without paging */
    uint32_t pcid, mode;
};

struct windows_space {
    struct windows_key key;
    struct window *windows[WINDOWS_PER_SPACE]; /* the first window_count are open */
    unsigned window_count;
    unsigned ticks;  /* since it opened, lost most of its pages, or, not open, was flushed */
    unsigned losses; /* of most of its pages, one soon after the other */
    unsigned drops;  /* addresses flushed since the last tick */
    unsigned switches, flitting; /* to it since the last tick; ticks in a row with many of them */
    uint64_t debt;               /* pages compared that its ticks have not paid for yet */
    uint64_t last_used;
    bool open, stale;
    bool given_up; /* not to be opened before a flush while it is present */
};

/* Those of one view. */
struct windows {
    struct mmu *mmu;
    enum shadow_view_id view;
    bool open;       /* the present space is */
    int refusal;     /* errno of the host's first, or 0 */
    int64_t *deltas; /* the caller's */
    struct windows_options options;
    struct windows_count count;
    struct windows_space spaces[WINDOWS_SPACES];
    struct windows_space *present;
    uint64_t use_counter;
    struct window *unused;          /* a list of reserved windows */
    struct window_page *pages;      /* a pool; 0 means none */
    uint32_t page_free, page_fresh; /* a list of returned ones; the first never used */
    uint32_t *of_ram;               /* by RAM page index: the first of its pages */
};

/* Gives the mmu windows: deltas[view] is kept current from now on until windows_free(), by
 * options[view].  Negative errno when out of memory. */
int windows_init(struct mmu *mmu, int64_t (*deltas)[WINDOWS_INDEXES],
                 const struct windows_options *options, struct error *error);
/* No-op without windows; closes every delta.  mmu_free() does it too. */
void windows_free(struct mmu *mmu);

/* Does the present space have windows for the view, so that deltas[view] may be used?
 * mmu->windows_changed is called after each change of the answer. */
static inline bool windows_open(const struct mmu *mmu, enum shadow_view_id view)
{
    return mmu->windows && mmu->windows[view].open;
}

/* The delta of an index that is not open (SDM 1 §3.3.7.1: canonical addresses). */
static inline int64_t windows_closed_delta(unsigned index)
{
    const uint64_t beyond = BIT(47) + BIT(32);
    return (int64_t)(index < 0x7ffe ? beyond : beyond - ((uint64_t)index << 32));
}

/* Code of the present space and that privilege has been seen running at a timer tick (of some
 * milliseconds).  A space opens after options.earn_ticks of these without a flush while it is
 * present.  Open, it stays so while flushes leave it most of its pages.  One that loses most of
 * them several times, each within that many ticks of the last, or that costs more to compare than
 * its ticks are worth, is emptied and has to earn again; so is one with many addresses flushed
 * between two ticks, and such a tick earns nothing.  The same goes, tick after tick, for a kernel's
 * space that is often switched away from: each has all of the kernel to fill. */
void windows_tick(struct mmu *mmu, enum shadow_view_id view);
/* Puts the page of `gva` as the present soft tier's view has it, or else as a walk would grant it
 * without setting an A or D bit, into its window, and perhaps some around it; or gives what is
 * there the rights and the frame that the view has now: read-write exactly if writes are direct
 * there.  False, and nothing is mapped for it: the space is not open (any more), the view has no
 * direct reads of the page, or the page is not RAM or, for VIEW_USER, not in the lower half. */
bool windows_fill(struct mmu *mmu, enum shadow_view_id view, gva_t gva);
/* Does the present space's window have the page, for writes too if `write`? */
bool windows_has(const struct mmu *mmu, enum shadow_view_id view, gva_t gva, bool write);
/* Does the host address lie in an open window of the present space?  Then *gva is what it is of. */
bool windows_linear(const struct mmu *mmu, enum shadow_view_id view, uint64_t host, gva_t *gva);
/* Some lines for the monitor. */
void windows_describe(const struct mmu *mmu, FILE *out);

/* For shadow.c, with mmu->windows set: the same was done to the soft tier. */
void windows_space_flushed(struct mmu *mmu, const struct shadow_space *space);
void windows_address_dropped(struct mmu *mmu, const struct shadow_space *space, uint64_t linear,
                             bool only_global);
void windows_pages_dropped(struct mmu *mmu, ppn_t first, uint64_t count);
void windows_page_protected(struct mmu *mmu, ppn_t ppn);
/* Ends every operation that flushes a space or changes the present one: makes the windows of the
 * registers' address space present, and compares them if they are stale.  No-op without windows. */
void windows_settle(struct mmu *mmu);
/* Is the RAM page of that index in a window? */
static inline bool windows_have_ram(const struct mmu *mmu, uint64_t index)
{
    return mmu->windows &&
           (mmu->windows[VIEW_USER].of_ram[index] || mmu->windows[VIEW_SUPERVISOR].of_ram[index]);
}

#endif
