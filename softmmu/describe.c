/* The shadow MMU for people: "info mem VA" and its kin. */
#include "softmmu/mmu.h"

static void describe_cached(const struct mmu *mmu, uint64_t linear, FILE *out)
{
    static const char *const names[SHADOW_VIEWS] = {"user", "supervisor", "supervisor+AC"};
    bool cached = false;
    for (unsigned i = 0; i < SHADOW_VIEWS; i++) {
        const struct shadow_view *view = mmu->space->views[i];
        unsigned slot = linear >> PAGE_SHIFT & (SHADOW_ENTRIES - 1);
        if (!view || view->info[slot].page != (linear & PAGE_MASK))
            continue;
        const struct shadow_entry *entry = &view->entries[slot];
        fprintf(out, "  shadow: %s view, slot %u, direct for %s%s%s\n", names[i], slot,
                entry->read_tag & SHADOW_NO ? "-" : "r", entry->write_tag & SHADOW_NO ? "-" : "w",
                view->info[slot].execute_tag & SHADOW_NO ? "-" : "x");
        cached = true;
    }
    if (!cached)
        fprintf(out, "  shadow: not cached\n");
}

void mmu_describe(struct mmu *mmu, gva_t gva, FILE *out)
{
    struct translation found;
    fprintf(out, "VPN %#llx (address %#llx)\n", (unsigned long long)gva.v >> PAGE_SHIFT,
            (unsigned long long)gva.v);
    if (!mmu_probe(mmu, gva, &found)) {
        fprintf(out, "  not mapped by the guest's tables\n");
        return;
    }
    ppn_t ppn = gpa_ppn(found.gpa);
    fprintf(out, "  PPN %#llx (physical %#llx), %llu KiB page, %s%s%s%s\n",
            (unsigned long long)ppn.v, (unsigned long long)found.gpa.v,
            (unsigned long long)found.page_bytes >> 10, found.readable ? "user " : "supervisor ",
            found.writable ? "rw" : "r-", found.executable ? "x" : "-",
            found.global ? " global" : "");
    mpn_t mpn = physmem_mpn(mmu->physmem, ppn);
    if (mpn.v == MPN_NONE.v || !physmem_page_read(mmu->physmem, ppn))
        fprintf(out, "  no MPN: device memory or nothing\n");
    else
        fprintf(out, "  MPN %#x%s%s\n", mpn.v,
                mpn.v == FRAMES_ZERO.v ? " (the zero page: never written)" : "",
                physmem_has_code(mmu->physmem, ppn) ? ", holds decoded code" : "");
    describe_cached(mmu, gva.v, out);
}
