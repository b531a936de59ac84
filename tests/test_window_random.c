/* softmmu/window: after any row of what guests do to tables, code, registers and memory, no page in
 * a window grants more than the tables.
 */
#include "tests/windows_rig.h"

/* What the four levels of tables say, read once more: the PPN, and in *rights what all levels grant
 * (P, W, U, A) and the last one's D. */
static uint64_t naive_walk(uint64_t linear, uint64_t *rights)
{
    uint64_t table = mmu.registers.cr3 & ~UINT64_C(0xfff);
    *rights = P | W | U | A;
    for (unsigned shift = 39;; shift -= 9) {
        const uint64_t entry = peek(table + 8 * (linear >> shift & 511), 8);
        *rights &= entry;
        table = entry & UINT64_C(0x000ffffffffff000);
        if (!(entry & P))
            return 0;
        if (shift == 12 || (shift == 21 && entry & PS)) {
            *rights |= entry & D;
            return (table >> shift << shift | (linear & (BIT(shift) - 1))) >> 12;
        }
    }
}

/* INV-1 for every page that is there, since each change of the tables was followed by a flush. */
static void check_all_pages(unsigned step)
{
    static const uint64_t bases[] = {0, UINT64_C(1) << 32, LARGE};
    for (unsigned i = 0; i < ARRAY_LENGTH(bases); i++) {
        for (uint64_t n = 0; n < PAGES_USED; n++) {
            const uint64_t linear = bases[i] + (n << 12);
            const bool reads = windows_has(&mmu, VIEW_USER, GVA(linear), false);
            cr_assert_eq(host_reads(linear, NULL), reads, "step %u", step);
            if (!reads)
                continue;
            const bool writes = windows_has(&mmu, VIEW_USER, GVA(linear), true);
            const uint64_t wanted = P | U | A | (writes ? W | D : 0);
            uint64_t rights;
            const ppn_t ppn = PPN(naive_walk(linear, &rights));
            cr_assert_eq(rights & wanted, wanted, "step %u: %llx", step,
                         (unsigned long long)linear);
            const uint8_t *page = physmem_page_read(&physmem, ppn);
            uint64_t same = 0;
            while (same < 8 && *(uint8_t *)host_of(linear + same) == page[same])
                same++;
            cr_assert_eq(same, 8, "step %u: %llx is another page", step,
                         (unsigned long long)linear);
            cr_assert(!writes || !physmem_has_code(&physmem, ppn));
            if (!writes)
                cr_assert(!host_writes(linear, 0), "step %u", step);
        }
    }
}

static void forget_everywhere(uint64_t linear)
{
    for (unsigned i = 0; i < SHADOW_SPACES; i++)
        mmu_invpcid(&mmu, 0, mmu.spaces[i].pcid, GVA(linear));
}

static uint64_t random_pte(uint64_t flags)
{
    return (FIRST_PPN + random64() % 128) << 12 | (random64() & (W | U | A | D | flags)) |
           (random64() % 8 ? P : 0);
}

/* The guest changes its tables here and there; most entries keep their page. */
static void random_changes(uint64_t flags)
{
    for (unsigned count = 1 + random64() % 12; count--;) {
        const uint64_t pt = random64() % 2 ? 0x4000 : 0xc000;
        const uint64_t place = pt + 8 * (random64() % PAGES_USED);
        uint64_t entry = peek(place, 8);
        switch (random64() % 4) {
        case 0:
            entry = random_pte(flags);
            break;
        case 1:
            entry |= P | W | U;
            break;
        default:
            entry &= ~BIT(1 + random64() % 6);
        }
        poke(place, entry);
    }
    static const uint64_t uppers[] = {0x1000, 0x2000, 0x2020, 0x3000, 0x9000, 0xa000, 0xb000};
    const uint64_t place = uppers[random64() % ARRAY_LENGTH(uppers)];
    uint64_t entry = peek(place, 8);
    entry |= P | W | U;
    if (random64() % 8 == 0)
        entry &= ~(random64() & (P | W | U | A));
    if (random64() % 16 == 0 && (place == 0x3000 || place == 0xb000))
        entry ^= 0x8000; /* of the two page tables the other */
    poke(place, entry);
    poke(0x3010, (random64() % 4 ? 0x200000 : 0) | (random64() & (A | D)) | W | U | P | PS);
}

static void random_step(bool pcids)
{
    static const uint64_t roots[] = {0x1001, 0x8002, 0x1003, 0x9004};
    uint64_t n = random64() % PAGES_USED, linear = n << 12;
    switch (random64() % 16) {
    case 0: /* the guest changes a PTE and has every PCID forget the page */
        poke(0x4000 + 8 * n, random_pte(pcids ? G : 0));
        forget_everywhere(linear);
        forget_everywhere(UINT64_C(1) << 32 | linear);
        break;
    case 1: /* a large page becomes another */
        poke(0x3010, (random64() % 2 ? 0x200000 : 0) | (random64() & (W | U | A | D)) | P | PS);
        forget_everywhere(LARGE + (random64() & 0x1fffff));
        break;
    case 2:
        if (pcids)
            mmu_set_cr3(&mmu, roots[random64() % 4], random64() % 8);
        else
            mmu_set_cr3(&mmu, roots[random64() % 4] & PAGE_MASK, false);
        break;
    case 3: { /* DMA */
        uint64_t value = random64();
        physmem_write(&physmem, GPA((FIRST_PPN + random64() % 128) << 12), &value, 8);
        break;
    }
    case 4: { /* code is decoded */
        ppn_t ppn = PPN(FIRST_PPN + random64() % 128);
        physmem_mark_code(&physmem, ppn_gpa(ppn), 16);
        mmu_protect_code(&mmu, ppn);
        break;
    }
    case 5:
        mmu_flush_pages(&mmu, PPN(FIRST_PPN + random64() % 128), 1 + random64() % 2);
        break;
    case 6:
        if (random64() % 2)
            break;
        random_changes(pcids ? G : 0);
        if (pcids)
            mmu_invpcid(&mmu, 2, 0, GVA(0));
        else
            mmu_set_cr3(&mmu, roots[random64() % 4] & PAGE_MASK, false);
        break;
    default:
        if (random64() % 4 == 0)
            linear += random64() % 2 ? LARGE : UINT64_C(1) << 32;
        if (touch(linear, random64() % 2 ? ACCESS_READ : ACCESS_WRITE))
            (void)windows_fill(&mmu, VIEW_USER, GVA(linear));
    }
}

static void random_run(bool pcids)
{
    setup_with(70, 0);
    add_process();
    for (uint64_t i = 0; i < PAGES_USED; i++) {
        if (!pcids) /* WHY: global pages outlive the flushes that there are then */
            poke(0x4000 + 8 * i, (FIRST_PPN + i) << 12 | P | W | U);
        poke(0xc000 + 8 * i, (FIRST_PPN + i + i % 2) << 12 | P | W | U);
    }
    for (uint64_t page = FIRST_PPN; page < FIRST_PPN + 128; page += 2)
        poke(page << 12, random64());
    mmu_set_cr4(&mmu, CR4_PAE | CR4_PGE | (pcids ? CR4_PCIDE : 0));
    for (unsigned step = 0; step < 40000; step++) {
        random_step(pcids);
        cr_assert(mmu.windows->count.areas <= 70);
        if (step % 20 == 0)
            check_all_pages(step);
    }
    cr_assert_gt(mmu.windows->count.fills, 5000);
    cr_assert_gt(mmu.windows->count.evictions, 20);
    cr_assert_gt(mmu.windows->count.kept, 5000);
    cr_assert_gt(mmu.windows->count.compared, mmu.windows->count.kept + 500);
}

Test(window_random, random_operations_never_leave_a_stale_right, .fini = teardown)
{
    random_run(true);
}

Test(window_random, random_operations_without_pcids, .fini = teardown)
{
    random_run(false);
}
