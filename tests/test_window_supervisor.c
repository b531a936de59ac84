/* softmmu/window: the windows of kernel code, and what lies together is filled together. */
#include "tests/windows_rig.h"

enum { USER_PAGE = 0x2000, KERNEL_PAGE = 0x5000, PT = 0x4000 };
#define UPPER UINT64_C(0xffff888000000000)

/* Page 5 is the kernel's; all of it is again at UPPER, where only the kernel may go. */
static void setup_kernel(void)
{
    setup();
    poke(PT + 8 * 5, (FIRST_PPN + 5) << 12 | P | W);
    poke(0x1000 + 8 * (UPPER >> 39 & 511), 0x2000 | P | W);
    mmu_flush_all(&mmu);
    tried = VIEW_SUPERVISOR;
}

Test(window_supervisor, either_view_has_its_own, .init = setup_kernel, .fini = teardown)
{
    cr_assert(miss(KERNEL_PAGE, ACCESS_WRITE));
    check_page(KERNEL_PAGE, true, true);
    cr_assert(miss(USER_PAGE, ACCESS_READ));
    tried = VIEW_USER;
    check_page(KERNEL_PAGE, false, false);
    check_page(USER_PAGE, false, false);
    cr_assert(!miss(KERNEL_PAGE, ACCESS_READ));
    cr_assert_not(windows_fill(&mmu, VIEW_USER, GVA(KERNEL_PAGE)));
    cr_assert(miss(USER_PAGE, ACCESS_WRITE));
    check_page(USER_PAGE, true, true);
    mmu_invlpg(&mmu, GVA(USER_PAGE));
    check_page(USER_PAGE, false, false);
    tried = VIEW_SUPERVISOR;
    check_page(USER_PAGE, false, false);
    check_page(KERNEL_PAGE, true, true);
    mmu_protect_code(&mmu, PPN(FIRST_PPN + 5));
    check_page(KERNEL_PAGE, true, false);
    mmu_flush_pages(&mmu, PPN(FIRST_PPN + 5), 1);
    check_page(KERNEL_PAGE, false, false);
}

Test(window_supervisor, the_upper_half, .init = setup_kernel, .fini = teardown)
{
    cr_assert(miss(UPPER + KERNEL_PAGE, ACCESS_WRITE));
    check_page(UPPER + KERNEL_PAGE, true, true);
    gva_t gva;
    const uint64_t host = host_of(UPPER + KERNEL_PAGE);
    cr_assert(windows_linear(&mmu, VIEW_SUPERVISOR, host, &gva));
    cr_assert_eq(gva.v, UPPER + KERNEL_PAGE);
    /* with bits 48..63 that are not canonical, nothing is reached */
    static const uint64_t tops[] = {0, 1, 0x7fff, 0x8000, 0xfffe};
    for (unsigned i = 0; i < ARRAY_LENGTH(tops); i++) {
        const uint64_t linear = (UPPER << 16 >> 16 | tops[i] << 48) + KERNEL_PAGE;
        cr_assert_not(host_reads(linear, NULL));
        cr_assert_not(windows_has(&mmu, VIEW_SUPERVISOR, GVA(linear), false));
    }
    cr_assert_not(windows_linear(&mmu, VIEW_USER, host, &gva));
    cr_assert_not(windows_fill(&mmu, VIEW_USER, GVA(UPPER + KERNEL_PAGE)));
    mmu_invlpg(&mmu, GVA(UPPER + KERNEL_PAGE));
    check_page(UPPER + KERNEL_PAGE, false, false);
    cr_assert(miss(UPPER + KERNEL_PAGE, ACCESS_WRITE));
    poke(PT + 8 * 5, 0);
    mmu_set_cr3(&mmu, 0x1000, false);
    check_page(UPPER + KERNEL_PAGE, false, false);
}

/* SDM 3A §4.6.1 */
Test(window_supervisor, smap_and_wp_rule_it, .init = setup_kernel, .fini = teardown)
{
    cr_assert(miss(USER_PAGE, ACCESS_READ));
    mmu_set_cr4(&mmu, CR4_PAE | CR4_PGE | CR4_SMAP);
    check_page(USER_PAGE, false, false);
    cr_assert_not(miss(USER_PAGE, ACCESS_READ));
    cr_assert(touch_by(VIEW_SUPERVISOR_AC, USER_PAGE, ACCESS_READ));
    cr_assert_not(windows_fill(&mmu, VIEW_SUPERVISOR, GVA(USER_PAGE)));
    check_page(USER_PAGE, false, false);
    mmu_set_cr4(&mmu, CR4_PAE | CR4_PGE);

    poke(PT + 8 * 5, (FIRST_PPN + 5) << 12 | P);
    mmu_invlpg(&mmu, GVA(KERNEL_PAGE));
    cr_assert(miss(KERNEL_PAGE, ACCESS_WRITE), "CR0.WP is clear");
    check_page(KERNEL_PAGE, true, true);
    mmu_set_cr0(&mmu, CR0_PG | CR0_PE | CR0_WP);
    check_page(KERNEL_PAGE, true, false);
    cr_assert_not(touch_by(VIEW_SUPERVISOR, KERNEL_PAGE, ACCESS_WRITE));
}

Test(window_supervisor, without_paging_all_is_there, .fini = teardown)
{
    setup();
    mmu_set_cr0(&mmu, CR0_PE);
    tried = VIEW_SUPERVISOR;
    cr_assert(miss(0x123000, ACCESS_WRITE));
    check_page(0x123000, true, true);
    mmu_set_cr0(&mmu, CR0_PG | CR0_PE);
    check_page(0x123000, false, false);
    mmu_set_cr0(&mmu, CR0_PE);
    check_page(0x123000, true, true);
}

/* --- what is filled with a page */

static void page_is(unsigned number, uint64_t bits)
{
    poke(PT + 8 * number, (FIRST_PPN + number) << 12 | P | W | U | bits);
}

Test(window_supervisor, neighbours_come_with_a_page, .init = setup_kernel, .fini = teardown)
{
    for (unsigned i = 16; i < 32; i++) {
        cr_assert(
            touch_by(VIEW_SUPERVISOR, i << 12, ACCESS_WRITE)); /* frames one after the other */
        page_is(i, A | D);
    }
    page_is(19, D); /* a walk would set A */
    page_is(28, A); /* … and D, for a write */
    mmu_flush_all(&mmu);
    const uint64_t had = mmu.windows[VIEW_SUPERVISOR].count.pages;
    cr_assert(miss(24 << 12, ACCESS_WRITE));
    unsigned came = 0;
    for (unsigned i = 16; i < 32; i++) {
        const bool here = windows_has(&mmu, VIEW_SUPERVISOR, GVA(i << 12), false);
        came += here;
        cr_assert(!here || (i > 19 && i < 28), "page %u", i);
        cr_assert(!here || host_writes(i << 12, 0x33));
    }
    cr_assert_gt(came, 1, "frames come in runs");
    cr_assert_eq(mmu.windows[VIEW_SUPERVISOR].count.pages, had + came);
    cr_assert_not(peek(PT + 8 * 19, 8) & A);
    cr_assert_not(peek(PT + 8 * 28, 8) & D);
    mmu_protect_code(&mmu, PPN(FIRST_PPN + 23));
    mmu_invlpg(&mmu, GVA(25 << 12));
    check_page(25 << 12, false, false);
    check_page(24 << 12, true, true);
}

/* A page that the view has lost again meanwhile, to another of its slot. */
Test(window_supervisor, a_page_need_not_be_in_the_view, .init = setup_kernel, .fini = teardown)
{
    cr_assert(touch_by(VIEW_SUPERVISOR, 0x6000, ACCESS_WRITE));
    mmu_view(&mmu, VIEW_SUPERVISOR)->info[6].page = SHADOW_NO;
    mmu_view(&mmu, VIEW_SUPERVISOR)->entries[6] = shadow_entry_none(6);
    cr_assert(windows_fill(&mmu, VIEW_SUPERVISOR, GVA(0x6000)));
    check_page(0x6000, true, true);
    watched_page = 0x7000;
    cr_assert(touch_by(VIEW_SUPERVISOR, 0x7000, ACCESS_WRITE));
    cr_assert_not(windows_fill(&mmu, VIEW_SUPERVISOR, GVA(0x7000)));
    watched_page = 1;
}

/* --- policy */

static void switch_often(unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        mmu_set_cr3(&mmu, 0x8000, false);
        mmu_set_cr3(&mmu, 0x1000, false);
    }
}

Test(window_supervisor, a_kernel_that_is_switched_away_from_earns_none, .fini = teardown)
{
    setup_with(40000, 3);
    for (unsigned tick = 0; tick < 10; tick++) {
        switch_often(20);
        windows_tick(&mmu, VIEW_SUPERVISOR);
    }
    cr_assert_not(windows_open(&mmu, VIEW_SUPERVISOR));
    for (unsigned tick = 0; tick < 3; tick++)
        windows_tick(&mmu, VIEW_SUPERVISOR);
    cr_assert(windows_open(&mmu, VIEW_SUPERVISOR));
    cr_assert_not(windows_open(&mmu, VIEW_USER));
    for (unsigned tick = 0; tick < 10; tick++) { /* now and then is nothing */
        switch_often(tick % 3 ? 0 : 20);
        windows_tick(&mmu, VIEW_SUPERVISOR);
    }
    cr_assert(windows_open(&mmu, VIEW_SUPERVISOR));
    for (unsigned tick = 0; tick < 3; tick++) {
        switch_often(20);
        windows_tick(&mmu, VIEW_SUPERVISOR);
    }
    cr_assert_not(windows_open(&mmu, VIEW_SUPERVISOR));
}

Test(window_supervisor, only_pages_that_go_cost, .fini = teardown)
{
    setup_with(40000, 3);
    for (unsigned tick = 0; tick < 3; tick++)
        windows_tick(&mmu, VIEW_SUPERVISOR);
    tried = VIEW_SUPERVISOR;
    cr_assert(miss(0x6000, ACCESS_WRITE));
    for (unsigned i = 0; i < 100000; i++)
        mmu_invlpg(&mmu, GVA(0x9000)); /* not there */
    cr_assert(windows_open(&mmu, VIEW_SUPERVISOR));
    unsigned times = 0;
    for (; windows_open(&mmu, VIEW_SUPERVISOR) && times < 100000; times++) {
        (void)miss(0x6000, ACCESS_WRITE);
        mmu_invlpg(&mmu, GVA(0x6000));
    }
    cr_assert(times > 1000 && times < 100000, "%u", times);
}
