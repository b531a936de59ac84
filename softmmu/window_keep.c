/* After a flush: which pages of a window are still what the guest's tables grant to its view.
 *
 * A page stays if a walk would now find the same PPN, readable, with every A bit set: a walk that
 * has to set one must be taken.  It stays read-write only if a write would find D set too.
 * Neighbours that go, or lose the right to write, do so in one call of the host.
 * Invariants: softmmu/window.h.  Sources: SDM 3A §4.8 (A and D), §4.10.3 (what may be cached).
 */
#include "softmmu/window_priv.h"

enum verdict { KEEP, PROTECT, DROP };

struct run {
    enum verdict verdict; /* KEEP: there is none */
    uint64_t first, end;
};

static enum verdict page_judge(struct mmu_granted *granted, struct window_page *page)
{
    struct mmu *mmu = granted->mmu;
    struct window *window = page->window;
    const gva_t gva = GVA(window_start(window) + ((uint64_t)page->number << PAGE_SHIFT));
    const ppn_t ppn = PPN(page->ppn);
    struct translation found;
    if (!mmu_granted(granted, gva, &found) || gpa_ppn(found.gpa).v != ppn.v)
        return DROP;
    if (mmu->page_is_watched && mmu->page_is_watched(mmu->opaque, gva))
        return DROP;
    page->global = found.global;
    page->page_shift = (uint8_t)__builtin_ctzll(found.page_bytes);
    if (page->page_shift > PAGE_SHIFT)
        window->large_shifts |= 1u << page->page_shift;
    return page->writable && (!found.writable || physmem_has_code(mmu->physmem, ppn)) ? PROTECT
                                                                                      : KEEP;
}

static bool run_apply(struct windows *windows, struct window *window, const struct run *run)
{
    if (run->verdict == DROP)
        return window_drop_range(windows, window, run->first, run->end);
    return run->verdict == KEEP || window_protect_range(windows, window, run->first, run->end);
}

/* Pages to drop are joined over gaps, where nothing is that a mapping could take away. */
static bool run_goes_on(const struct run *run, enum verdict verdict, uint64_t number)
{
    return run->verdict == verdict && (verdict == DROP || number == run->end);
}

void window_compare(struct windows *windows, struct window *window)
{
    struct mmu_granted granted = MMU_GRANTED(windows->mmu, windows->view);
    struct run run = {.verdict = KEEP};
    window->large_shifts = 0;
    for (uint64_t n = window_next(window, 0); n < WINDOW_PAGES; n = window_next(window, n + 1)) {
        enum verdict verdict = page_judge(&granted, &windows->pages[window->page_at[n]]);
        if (!run_goes_on(&run, verdict, n)) {
            if (!run_apply(windows, window, &run)) {
                window_empty(windows, window);
                return;
            }
            run = (struct run){.verdict = verdict, .first = n};
        }
        run.end = n + 1;
    }
    if (!run_apply(windows, window, &run))
        window_empty(windows, window);
}
