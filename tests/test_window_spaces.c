/* softmmu/window: each address space has windows of its own, whatever tells it from others: the
 * root, a PCID, CR4_PAE's PDPTEs.
 */
#include "tests/windows_rig.h"

Test(window_spaces, each_root_keeps_its_windows, .init = setup, .fini = teardown)
{
    add_process();
    const uint64_t elsewhere = UINT64_C(7) << 32 | 0x4000;
    cr_assert(miss(0x2000, ACCESS_WRITE) && miss(elsewhere, ACCESS_WRITE));
    const uint64_t base = host_of(0);
    mmu_set_cr3(&mmu, 0x9000, false);
    check_page(0x2000, false, false);
    check_page(elsewhere, false, false);
    cr_assert(miss(0x2000, ACCESS_WRITE) && miss(0x6000, ACCESS_WRITE));
    cr_assert_neq(host_of(0), base);
    for (unsigned i = 0; i < 3; i++) {
        mmu_set_cr3(&mmu, 0x1000, false);
        cr_assert_eq(host_of(0), base);
        check_page(0x2000, true, true);
        check_page(0x6000, false, false);
        check_page(elsewhere, true, true);
        mmu_set_cr3(&mmu, 0x9000, false);
        check_page(0x2000, true, true);
        check_page(0x6000, true, true);
        cr_assert_eq(deltas[VIEW_USER][7], windows_closed_delta(7));
    }
    /* What happens to the other's pages meanwhile. */
    poke(0x4010, (FIRST_PPN + 9) << 12 | P | W | U | A | D);
    mmu_flush_pages(&mmu, PPN(FIRST_PPN + 4), 1);
    mmu_set_cr3(&mmu, 0x1000, false);
    check_page(0x2000, false, false);
    check_page(elsewhere, false, false);
    cr_assert_eq(mmu.windows->count.pages, 2);
    cr_assert_eq(deltas[VIEW_USER][7], windows_closed_delta(7), "a window without pages closes");
}

Test(window_spaces, a_root_page_may_become_anothers, .init = setup, .fini = teardown)
{
    add_process();
    cr_assert(miss(0x2000, ACCESS_WRITE) && miss(0x3000, ACCESS_READ));
    mmu_set_cr3(&mmu, 0x9000, false);
    poke(0x1000, 0xa000 | P | W | U | A);
    cr_assert(touch(0x2000, ACCESS_WRITE) && touch(0x3000, ACCESS_WRITE));
    mmu_set_cr3(&mmu, 0x1000, false);
    check_page(0x2000, false, false);
    check_page(0x3000, false, false);
    cr_assert_eq(mmu.windows->count.pages, 0);
}

Test(window_spaces, a_clean_space_of_another_root_misses_nothing, .init = setup, .fini = teardown)
{
    mmu_set_cr4(&mmu, CR4_PAE | CR4_PGE | CR4_PCIDE);
    mmu_set_cr3(&mmu, 0x1001, false);
    cr_assert(miss(0x2000, ACCESS_WRITE) && miss(0x4000, ACCESS_WRITE));
    mmu_set_cr3(&mmu, 0x8001, true);
    poke(0x4010, 0);
    mmu_invlpg(&mmu, GVA(0x2000));
    mmu_set_cr3(&mmu, 0x1001, true);
    check_page(0x2000, false, false);
    check_page(0x4000, true, true);
    mmu_set_cr3(&mmu, 0x8002, false);
    poke(0x4020, 0);
    mmu_invpcid(&mmu, 1, 1, GVA(0));
    mmu_set_cr3(&mmu, 0x1001, true);
    check_page(0x4000, false, false);
    for (unsigned type = 1; type <= 3; type++) { /* of the present one, at once */
        cr_assert(miss((type + 4) << 12, ACCESS_WRITE));
        poke(0x4000 + 8 * (type + 4), 0);
        mmu_invpcid(&mmu, type, 1, GVA(0));
        check_page((type + 4) << 12, false, false);
    }
}

Test(window_spaces, a_page_that_became_global_goes_as_such, .init = setup, .fini = teardown)
{
    mmu_set_cr4(&mmu, CR4_PAE | CR4_PGE | CR4_PCIDE);
    mmu_set_cr3(&mmu, 0x1001, false);
    cr_assert(miss(0x2000, ACCESS_WRITE) && miss(0x3000, ACCESS_WRITE));
    poke(0x4010, (FIRST_PPN + 2) << 12 | P | W | U | A | D | G);
    poke(0x4018, (FIRST_PPN + 3) << 12 | P | W | U | A | D);
    mmu_invpcid(&mmu, 1, 1, GVA(0));
    mmu_set_cr3(&mmu, 0x8002, false);
    mmu_invlpg(&mmu, GVA(0x2000));
    mmu_invlpg(&mmu, GVA(0x3000));
    mmu_set_cr3(&mmu, 0x1001, true);
    check_page(0x2000, false, false);
    check_page(0x3000, true, true);
}

Test(window_spaces, pcids_have_their_own_windows, .init = setup, .fini = teardown)
{
    mmu_set_cr4(&mmu, CR4_PAE | CR4_PGE | CR4_PCIDE);
    mmu_set_cr3(&mmu, 0x1001, false);
    cr_assert(miss(0x2000, ACCESS_WRITE) && miss(0x3000, ACCESS_WRITE));
    cr_assert(miss(UINT64_C(7) << 32 | 0x2000, ACCESS_WRITE));
    uint64_t base = host_of(0);
    mmu_set_cr3(&mmu, 0x8002, false);
    check_page(0x2000, false, false);
    cr_assert_eq(deltas[VIEW_USER][0], windows_closed_delta(0));
    cr_assert_eq(deltas[VIEW_USER][7], windows_closed_delta(7));
    cr_assert(miss(0x2000, ACCESS_WRITE));
    cr_assert_neq(host_of(0), base);
    cr_assert_eq(deltas[VIEW_USER][7], windows_closed_delta(7));
    mmu_set_cr3(&mmu, 0x1001, true);
    cr_assert_eq(host_of(0), base);
    check_page(0x2000, true, true);
    check_page(UINT64_C(7) << 32 | 0x2000, true, true);
    /* INVLPG of the present space's; of global pages in all. */
    mmu_set_cr3(&mmu, 0x8002, true);
    mmu_invlpg(&mmu, GVA(0x2000));
    mmu_invlpg(&mmu, GVA(0x3000));
    check_page(0x2000, false, false);
    mmu_set_cr3(&mmu, 0x1001, true);
    check_page(0x2000, true, true);
    check_page(0x3000, false, false);
    mmu_set_cr3(&mmu, 0x8002, true);
    poke(0x4010, 0);
    mmu_invpcid(&mmu, 1, 1, GVA(0));
    mmu_set_cr3(&mmu, 0x1001, true);
    check_page(0x2000, false, false);
    check_page(UINT64_C(7) << 32 | 0x2000, false, false);
    poke(0x4010, (FIRST_PPN + 2) << 12 | P | W | U);
    for (uint64_t pcid = 10; pcid < 10 + 2 * WINDOWS_SPACES; pcid++) {
        mmu_set_cr3(&mmu, 0x8000 | pcid, true);
        check_page(0x2000, false, false);
        cr_assert(miss(0x2000, ACCESS_WRITE));
    }
    cr_assert_eq(mmu.windows->count.pages, 2 * WINDOWS_SPACES, "the page beside it, too");
    /* Longer ago than the soft tier remembers: its flush there was one here. */
    poke(0x4010, 0);
    mmu_set_cr3(&mmu, 0x8000 | (10 + WINDOWS_SPACES), true);
    check_page(0x2000, false, false);
    mmu_set_cr4(&mmu, CR4_PAE | CR4_PGE);
    check_page(0x2000, false, false);
}

Test(window_spaces, pae_and_32_bit_paging, .init = setup, .fini = teardown)
{
    mmu_set_cr0(&mmu, CR0_PE);
    mmu_set_efer(&mmu, 0);
    /* PAE: PDPTs at 9 and 10, which differ in the second GiB alone. */
    poke(0x9000, 0x3000 | P);
    poke(0xa000, 0x3000 | P);
    poke(0xa008, 0x3000 | P);
    mmu_set_cr4(&mmu, CR4_PAE);
    cr_assert(mmu_load_pdptes(&mmu, 0x9000));
    mmu_set_cr3(&mmu, 0x9000, false);
    mmu_set_cr0(&mmu, CR0_PG | CR0_PE);
    cr_assert(miss(0x2000, ACCESS_WRITE) && miss(LARGE, ACCESS_WRITE) && miss(0xf000, ACCESS_READ));
    cr_assert(mmu_load_pdptes(&mmu, 0xa000));
    mmu_set_cr3(&mmu, 0xa000, false);
    check_page(0x2000, false, false);
    cr_assert(miss(0x40002000, ACCESS_WRITE));
    cr_assert(mmu_load_pdptes(&mmu, 0x9000));
    poke(0x4010, (FIRST_PPN + 2) << 12 | P | W | U | A);
    mmu_set_cr3(&mmu, 0x9000, false);
    check_page(0x2000, true, false);
    check_page(LARGE, true, true);
    check_page(0xf000, true, false);
    check_page(0x40002000, false, false);
    /* A PDPTE goes. */
    poke(0xa008, 0);
    cr_assert(mmu_load_pdptes(&mmu, 0xa000));
    mmu_set_cr3(&mmu, 0xa000, false);
    check_page(0x40002000, false, false);
    /* Two levels: PD at 11, PT at 12; entries in pairs. */
    mmu_set_cr4(&mmu, CR4_PSE);
    poke(0xb000, 0xc000 | P | W | U | (0x000000 | P | W | U | PS) << 32);
    poke(0xc008, (FIRST_PPN + 2) << 12 | P | W | U | ((FIRST_PPN + 3) << 12 | P | W | U) << 32);
    mmu_set_cr3(&mmu, 0xb000, false);
    check_page(0x2000, false, false);
    cr_assert(miss(0x2000, ACCESS_WRITE) && miss(0x3000, ACCESS_WRITE));
    cr_assert(miss(0x450000, ACCESS_WRITE));
    mmu_set_cr3(&mmu, 0xb000, false);
    check_page(0x2000, true, true);
    check_page(0x3000, true, true);
    check_page(0x450000, true, true);
    poke(0xc008,
         (FIRST_PPN + 2) << 12 | P | W | U | A | D | ((FIRST_PPN + 3) << 12 | P | W | U | D) << 32);
    mmu_set_cr4(&mmu, 0);
    check_page(0x2000, true, true);
    check_page(0x3000, false, false);
    check_page(0x450000, false, false);
    /* Without paging the same address is another page. */
    mmu_set_cr0(&mmu, CR0_PE);
    check_page(0x2000, false, false);
    cr_assert(miss(0x80000, ACCESS_WRITE));
    mmu_flush_all(&mmu);
    check_page(0x80000, true, true);
    mmu_set_cr0(&mmu, CR0_PG | CR0_PE);
    check_page(0x2000, true, true);
    check_page(0x80000, false, false);
}
