/* softmmu/window: every flush takes away what it must and keeps the rest; so does what changes a
 * RAM page or makes it code.
 */
#include "tests/windows_rig.h"

Test(window_flush, invlpg_takes_the_whole_guest_page, .init = setup, .fini = teardown)
{
    const uint64_t window = UINT64_C(3) << 32;
    cr_assert(miss(window + LARGE, ACCESS_WRITE) && miss(window + LARGE + 0x33000, ACCESS_WRITE));
    cr_assert(miss(window + LARGE + 0x1ff000, ACCESS_READ) && miss(window + 0x2000, ACCESS_WRITE));
    cr_assert(miss(LARGE, ACCESS_WRITE));
    mmu_invlpg(&mmu, GVA(window + LARGE + 0x112345));
    check_page(window + LARGE, false, false);
    check_page(window + LARGE + 0x33000, false, false);
    check_page(window + LARGE + 0x1ff000, false, false);
    check_page(window + 0x2000, true, true);
    check_page(LARGE, true, true);
    mmu_invlpg(&mmu, GVA(window + 0x2fff));
    check_page(window + 0x2000, false, false);
    cr_assert_eq(mmu.windows->count.pages, 1);
}

/* What is at `place` becomes `value`, the space is flushed; then 0x2000, which could be written,
 * and its neighbours, which could be read, are to be so much. */
static void check_change(uint64_t place, uint64_t value, bool reads, bool writes, bool neighbours)
{
    cr_assert(miss(0x1000, ACCESS_READ) && miss(0x2000, ACCESS_WRITE) && miss(0x4000, ACCESS_READ));
    const uint64_t before = peek(place, 8);
    poke(place, value);
    mmu_set_cr3(&mmu, mmu.registers.cr3, false);
    check_page(0x2000, reads, writes);
    cr_assert_eq(host_reads(0x1000, NULL), neighbours);
    cr_assert_eq(host_reads(0x4000, NULL), neighbours);
    poke(place, before);
    mmu_flush_all(&mmu);
}

Test(window_flush, a_flush_keeps_what_a_walk_would_grant, .init = setup, .fini = teardown)
{
    const uint64_t pte = (FIRST_PPN + 2) << 12, all = P | W | U | A;
    cr_assert(touch(0x2000, ACCESS_WRITE));
    const struct {
        uint64_t place, value;
        bool reads, writes, neighbours;
    } changes_of[] = {
        {0x4010, pte | all | D, true, true, true},
        {0x4010, pte | all | D | NX | G, true, true, true},
        {0x4010, pte | P | W | U | D, false, false, true},
        {0x4010, pte | all, true, false, true},
        {0x4010, pte | P | U | A | D, true, false, true},
        {0x4010, pte | P | W | A | D, false, false, true},
        {0x4010, pte | W | U | A | D, false, false, true},
        {0x4010, (pte + 0x1000) | all | D, false, false, true},
        {0x4010, pte | all | D | BIT(45), false, false, true},
        {0x3000, 0x4000 | all, true, true, true},
        {0x3000, 0x4000 | all | NX, true, true, true},
        {0x3000, 0x4000 | P | W | U, false, false, false},
        {0x3000, 0x4000 | P | U | A, true, false, true},
        {0x3000, 0x4000 | P | W | A, false, false, false},
        {0x3000, 0x5000 | all, false, false, false},
        {0x3000, 0, false, false, false},
        {0x2000, 0x3000 | P | W | U, false, false, false},
        {0x2000, 0x3000 | P | U | A, true, false, true},
        {0x1000, 0x2000 | P | W | U, false, false, false},
        {0x1000, 0x2000 | P | U | A, true, false, true},
        {0x1000, 0x2000 | P | W | U | A | PS, false, false, false},
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(changes_of); i++)
        check_change(changes_of[i].place, changes_of[i].value, changes_of[i].reads,
                     changes_of[i].writes, changes_of[i].neighbours);
    cr_assert_gt(mmu.windows->count.kept, 20);
    mmu_set_efer(&mmu, EFER_LMA);
    check_change(0x4010, pte | all | D | NX, false, false, true);
    check_change(0x3000, 0x4000 | all | NX, false, false, false);
}

Test(window_flush, a_flush_leaves_the_tables_as_they_are, .init = setup, .fini = teardown)
{
    cr_assert(miss(0x2000, ACCESS_WRITE) && miss(LARGE, ACCESS_WRITE));
    poke(0x4010, (FIRST_PPN + 2) << 12 | P | W | U);
    poke(0x3010, 0x200000 | P | W | U | PS);
    const uint64_t walks = mmu.count.walks;
    mmu_set_cr3(&mmu, 0x1000, false);
    cr_assert_eq(peek(0x4010, 8), (FIRST_PPN + 2) << 12 | P | W | U);
    cr_assert_eq(peek(0x3010, 8), 0x200000 | P | W | U | PS);
    cr_assert_eq(mmu.count.walks, walks);
    cr_assert_eq(mmu.windows->count.pages, 0);
}

Test(window_flush, neighbours_go_together_and_others_stay, .init = setup, .fini = teardown)
{
    for (uint64_t n = 0; n < PAGES_USED; n++)
        if (n % 16 != 15)
            cr_assert(miss(n << 12, n % 8 == 5 ? ACCESS_READ : ACCESS_WRITE));
    for (uint64_t n = 0; n < PAGES_USED; n++) {
        const uint64_t same = (FIRST_PPN + n) << 12 | P | U | A;
        poke(0x4000 + 8 * n, n / 8 % 4 == 0 ? 0 : same | (n / 8 % 4 == 1 ? W : W | D));
    }
    mmu_set_cr3(&mmu, 0x1000, false);
    for (uint64_t n = 0; n < PAGES_USED; n++) {
        bool was = n % 16 != 15, written = was && n % 8 != 5;
        check_page(n << 12, was && n / 8 % 4, written && n / 8 % 4 > 1);
    }
    cr_assert_eq(mmu.windows->count.pages, 60 - 16);
    for (uint64_t n = 0; n < PAGES_USED; n++)
        mmu_invlpg(&mmu, GVA(n << 12));
    cr_assert_eq(mmu.windows->count.areas, 0);
}

Test(window_flush, a_large_page_may_be_split, .init = setup, .fini = teardown)
{
    cr_assert(miss(LARGE, ACCESS_WRITE) && miss(LARGE + 0x33000, ACCESS_WRITE));
    cr_assert(miss(LARGE + 0x34000, ACCESS_READ));
    mmu_set_cr3(&mmu, 0x1000, false);
    check_page(LARGE, true, true);
    poke(0x5000, 0x200000 | P | W | U | A | D);
    poke(0x5000 + 8 * 0x33, 0x234000 | P | W | U | A | D);
    poke(0x5000 + 8 * 0x34, 0x234000 | P | W | U | A | D);
    poke(0x3010, 0x5000 | P | W | U | A);
    mmu_set_cr3(&mmu, 0x1000, false);
    check_page(LARGE, true, true);
    check_page(LARGE + 0x33000, false, false);
    check_page(LARGE + 0x34000, true, false);
    /* The next table's pages are others. */
    poke(0x3018, 0x6000 | P | W | U);
    poke(0x6000 + 8 * 0x34, 0x235000 | P | W | U);
    cr_assert(miss(LARGE + 0x234000, ACCESS_WRITE));
    mmu_set_cr3(&mmu, 0x1000, false);
    check_page(LARGE + 0x34000, true, false);
    check_page(LARGE + 0x234000, true, true);
    mmu_invlpg(&mmu, GVA(LARGE));
    check_page(LARGE, false, false);
    check_page(LARGE + 0x34000, true, false);
    /* And joined again. */
    poke(0x3010, 0x200000 | P | W | U | PS | A | D);
    mmu_set_cr3(&mmu, 0x1000, false);
    check_page(LARGE + 0x34000, true, false);
    mmu_invlpg(&mmu, GVA(LARGE + 0x1000));
    check_page(LARGE + 0x34000, false, false);
}

Test(window_flush, what_is_kept_is_still_found_by_its_ram_page, .init = setup, .fini = teardown)
{
    cr_assert(miss(0x2000, ACCESS_WRITE) && miss(0x6000, ACCESS_WRITE));
    cr_assert(miss(0x7000, ACCESS_WRITE));
    mmu_flush_all(&mmu);
    check_page(0x2000, true, true);
    physmem_mark_code(&physmem, GPA((FIRST_PPN + 2) << 12), 16);
    mmu_protect_code(&mmu, PPN(FIRST_PPN + 2));
    check_page(0x2000, true, false);
    mmu_flush_pages(&mmu, PPN(FIRST_PPN + 6), 1);
    check_page(0x6000, false, false);
    /* Code that is marked without a word, as with memory that is watched; and a debug register. */
    physmem_mark_code(&physmem, GPA((FIRST_PPN + 7) << 12), 16);
    watched_page = 0x2000;
    mmu_flush_all(&mmu);
    check_page(0x7000, true, false);
    check_page(0x2000, false, false);
}

Test(window_flush, a_changed_page_goes_everywhere, .init = setup, .fini = teardown)
{
    mmu_set_cr4(&mmu, CR4_PAE | CR4_PGE | CR4_PCIDE);
    mmu_set_cr3(&mmu, 0x1001, true);
    cr_assert(miss(0x2000, ACCESS_WRITE) && miss(0x5000, ACCESS_WRITE));
    mmu_set_cr3(&mmu, 0x1002, true);
    cr_assert(miss(0x2000, ACCESS_WRITE) && miss(UINT64_C(6) << 32 | 0x2000, ACCESS_READ));
    cr_assert(miss(0x5000, ACCESS_WRITE) && miss(0x9000, ACCESS_WRITE));
    mmu_flush_pages(&mmu, PPN(FIRST_PPN + 2), 1);
    check_page(0x2000, false, false);
    check_page(UINT64_C(6) << 32 | 0x2000, false, false);
    check_page(0x5000, true, true);
    cr_assert_eq(mmu.windows->count.pages, 3);
    mmu_flush_pages(&mmu, PPN(FIRST_PPN + 3), 4);
    check_page(0x5000, false, false);
    check_page(0x9000, true, true);
    mmu_set_cr3(&mmu, 0x1001, true);
    check_page(0x2000, false, false);
    check_page(0x5000, false, false);
    cr_assert_eq(mmu.windows->count.pages, 1);
}

Test(window_flush, code_pages_are_read_only, .init = setup, .fini = teardown)
{
    const uint64_t other = UINT64_C(6) << 32 | 0x7000;
    cr_assert(miss(0x7000, ACCESS_WRITE) && miss(other, ACCESS_WRITE));
    for (unsigned round = 0; round < 2; round++) {
        check_page(0x7000, true, true);
        physmem_mark_code(&physmem, GPA((FIRST_PPN + 7) << 12 | 0x80), 16);
        mmu_protect_code(&mmu, PPN(FIRST_PPN + 7));
        check_page(0x7000, true, false);
        check_page(other, true, false);
        cr_assert(miss(0x7000, ACCESS_WRITE));
        check_page(0x7000, true, false);
        physmem_note_write(&physmem, GPA((FIRST_PPN + 7) << 12 | 0x80), 4);
        cr_assert(miss(0x7000, ACCESS_WRITE) && miss(other, ACCESS_WRITE));
    }
}
