/* softmmu/window: how many host mappings there may be, who makes room for whom, and who has windows
 * at all.
 */
#include "tests/windows_rig.h"

#include <errno.h>
#include <sys/resource.h>

Test(window_policy, the_space_used_longest_ago_makes_room, .fini = teardown)
{
    setup_with(12, 0);
    mmu_set_cr4(&mmu, CR4_PAE | CR4_PGE | CR4_PCIDE);
    for (uint64_t pcid = 1; pcid <= 3; pcid++) {
        mmu_set_cr3(&mmu, 0x1000 | pcid, true);
        cr_assert(miss(0x2000, ACCESS_WRITE) && miss(0x6000, ACCESS_WRITE));
    }
    cr_assert_eq(mmu.windows->count.areas, 12);
    mmu_set_cr3(&mmu, 0x1001, true);
    check_page(0x2000, true, true);
    mmu_set_cr3(&mmu, 0x1003, true);
    cr_assert(miss(0x9000, ACCESS_WRITE));
    cr_assert_eq(mmu.windows->count.evictions, 1);
    check_page(0x2000, true, true);
    mmu_set_cr3(&mmu, 0x1002, true);
    check_page(0x2000, false, false);
    mmu_set_cr3(&mmu, 0x1001, true);
    check_page(0x2000, true, true);
    /* One space alone, of neighbours: a page an area. */
    for (uint64_t page = 16; page < 60; page++) {
        cr_assert(miss(page << 12, ACCESS_READ));
        cr_assert(mmu.windows->count.areas <= 12);
        cr_assert(windows_has(&mmu, VIEW_USER, GVA(page << 12), false));
    }
    cr_assert_gt(mmu.windows->count.evictions, 5);
}

/* Of the host's mappings those that begin in the first window. */
static unsigned areas_of_host(void)
{
    const uint64_t base = host_of(0);
    unsigned count = 0;
    unsigned long long begin;
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    cr_assert(maps);
    while (fgets(line, sizeof line, maps))
        if (sscanf(line, "%llx-", &begin) == 1)
            count += begin - base < BIT(32);
    fclose(maps);
    return count;
}

Test(window_policy, areas_are_counted_as_the_host_does, .init = setup, .fini = teardown)
{
    for (unsigned step = 0; step < 4000; step++) {
        const unsigned page = random64() % PAGES_USED, pick = random64() % 8;
        const uint64_t linear = (uint64_t)page << 12;
        if (pick < 3)
            (void)miss(linear, pick ? ACCESS_READ : ACCESS_WRITE);
        else if (pick < 5)
            mmu_invlpg(&mmu, GVA(linear));
        else if (pick == 5)
            mmu_protect_code(&mmu, PPN(FIRST_PPN + page));
        else if (pick == 6 && step % 16 == 0)
            poke(0x4000 + 8 * page, peek(0x4000 + 8 * page, 8) ^ D);
        else if (step % 16 == 0)
            mmu_set_cr3(&mmu, 0x1000, false);
        if (mmu.windows->count.pages == 0)
            continue; /* the window may be closed */
        cr_assert_eq(mmu.windows->count.areas, areas_of_host(), "step %u", step);
    }
}

/* Twice the pages that there may be areas, in order. */
Test(window_policy, pages_that_lie_together_are_one_area, .fini = teardown)
{
    setup_with(24, 0);
    for (uint64_t n = 16; n < 16 + 48; n++)
        if (n % 16 != 15) /* these may be read only */
            cr_assert(touch(n << 12, ACCESS_WRITE));
    for (uint64_t n = 16; n < 16 + 48; n++)
        if (n % 16 != 15)
            cr_assert(miss(n << 12, ACCESS_WRITE));
    cr_assert_eq(mmu.windows->count.evictions, 0);
    cr_assert_gt(mmu.windows->count.pages, 40);
    /* Each second one goes: too many areas, so all do. */
    for (uint64_t n = 17; n < 16 + 48; n += 2) {
        mmu_invlpg(&mmu, GVA(n << 12));
        cr_assert_leq(mmu.windows->count.areas, 24);
        cr_assert_not(windows_has(&mmu, VIEW_USER, GVA(n << 12), false));
    }
    cr_assert_lt(mmu.windows->count.pages, 20);
}

/* Uses the host's mappings up, but for `left`: one a page. */
static void use_mappings_up(unsigned left)
{
    enum { PAGES_MAX = 1 << 18 };
    uint8_t *at = mmap(NULL, (size_t)PAGES_MAX * PAGE_BYTES, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    size_t i = 1;
    while (i < PAGES_MAX && mprotect(at + i * PAGE_BYTES, PAGE_BYTES, PROT_READ) == 0)
        i += 2;
    while (left-- && i > 2)
        cr_assert_eq(mprotect(at + (i -= 2) * PAGE_BYTES, PAGE_BYTES, PROT_NONE), 0);
}

Test(window_policy, the_host_has_no_mapping_left, .init = setup, .fini = teardown)
{
    for (uint64_t n = 0; n < PAGES_USED; n++)
        (void)touch(n << 12, ACCESS_WRITE);
    cr_assert(miss(0x2000, ACCESS_READ));
    use_mappings_up(10);
    unsigned refused = 0;
    for (unsigned step = 0; step < 4000; step++) {
        const uint64_t linear = random64() % 3 << 32 | random64() % PAGES_USED << 12;
        if (random64() % 3 == 0)
            mmu_invlpg(&mmu, GVA(linear));
        else if (touch(linear, ACCESS_READ) && !windows_fill(&mmu, VIEW_USER, GVA(linear)))
            refused++;
        if (!windows_open(&mmu, VIEW_USER))
            mmu_flush_all(&mmu); /* another attempt */
    }
    cr_assert_gt(refused, 0);
    cr_assert_eq(mmu.windows->refusal, ENOMEM);
}

Test(window_policy, too_many_windows_give_the_space_up, .init = setup, .fini = teardown)
{
    for (uint64_t index = 0; index < WINDOWS_PER_SPACE; index++)
        cr_assert(miss(index << 32 | 0x2000, ACCESS_READ));
    cr_assert(windows_open(&mmu, VIEW_USER));
    changes = 0;
    cr_assert(!miss((uint64_t)WINDOWS_PER_SPACE << 32 | 0x2000, ACCESS_READ));
    cr_assert(!windows_open(&mmu, VIEW_USER));
    cr_assert_eq(changes, 1);
    cr_assert_eq(mmu.windows->count.pages, 0);
    check_page(0x2000, false, false);
    windows_tick(&mmu, VIEW_USER);
    cr_assert(!windows_open(&mmu, VIEW_USER));
    mmu_set_cr3(&mmu, 0x1000, false);
    cr_assert(windows_open(&mmu, VIEW_USER));
    cr_assert(miss(0x2000, ACCESS_READ));
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
Test(window_policy, a_host_that_refuses_leaves_the_soft_tier, .init = setup, .fini = teardown)
{
    struct rlimit old, none;
    cr_assert_eq(getrlimit(RLIMIT_AS, &old), 0);
    none = (struct rlimit){.rlim_cur = BIT(32), .rlim_max = old.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_AS, &none), 0);
    cr_assert(touch(0x2000, ACCESS_READ));
    cr_assert(!windows_fill(&mmu, VIEW_USER, GVA(0x2000)));
    cr_assert_eq(setrlimit(RLIMIT_AS, &old), 0);
    cr_assert(!windows_open(&mmu, VIEW_USER));
    cr_assert_eq(mmu.windows->refusal, ENOMEM);
    check_page(0x2000, false, false);
    mmu_set_cr3(&mmu, 0x1000, false);
    cr_assert(miss(0x2000, ACCESS_READ));
}
#endif

static void ticks(unsigned count)
{
    while (count--)
        windows_tick(&mmu, VIEW_USER);
}

static void lose_a_page(void)
{
    cr_assert(miss(0x2000, ACCESS_READ));
    poke(0x4010, (FIRST_PPN + 2) << 12 | P | U);
    mmu_set_cr3(&mmu, 0x1000, false);
    cr_assert_eq(mmu.windows->count.pages, 0);
}

Test(window_policy, comparing_has_to_be_paid_for, .fini = teardown)
{
    setup_with(100, 1);
    add_process();
    ticks(1);
    for (uint64_t n = 0; n < 40; n++)
        cr_assert(miss(n << 12, ACCESS_READ));
    for (unsigned i = 0; i < 20000; i++) {
        mmu_set_cr3(&mmu, 0x9000, false);
        mmu_set_cr3(&mmu, 0x1000, false);
        if (i % 100 == 0)
            ticks(1);
    }
    cr_assert(windows_open(&mmu, VIEW_USER));
    cr_assert_eq(mmu.windows->count.pages, 40);
    for (unsigned i = 0; i < 20000 && windows_open(&mmu, VIEW_USER); i++)
        mmu_set_cr3(&mmu, 0x1000, false);
    cr_assert(!windows_open(&mmu, VIEW_USER));
    cr_assert_eq(mmu.windows->count.pages, 0);
    ticks(1);
    cr_assert(windows_open(&mmu, VIEW_USER));
    cr_assert(miss(0x2000, ACCESS_READ));
    mmu_set_cr3(&mmu, 0x1000, false);
    cr_assert(windows_open(&mmu, VIEW_USER));
}

Test(window_policy, windows_are_earned, .fini = teardown)
{
    setup_with(100, 3);
    cr_assert(!windows_open(&mmu, VIEW_USER));
    cr_assert(touch(0x2000, ACCESS_READ));
    cr_assert(!windows_fill(&mmu, VIEW_USER, GVA(0x2000)));
    ticks(2);
    mmu_set_cr3(&mmu, 0x1000, false);
    ticks(2);
    cr_assert(!windows_open(&mmu, VIEW_USER), "a flush begins it anew");
    ticks(1);
    cr_assert(windows_open(&mmu, VIEW_USER));
    cr_assert_eq(changes, 1);
    cr_assert(miss(0x2000, ACCESS_READ));
    for (unsigned i = 0; i < 10; i++) {
        mmu_set_cr3(&mmu, 0x1000, false);
        check_page(0x2000, true, false);
    }
    for (unsigned i = 0; i < 10; i++) {
        ticks(3);
        cr_assert(windows_open(&mmu, VIEW_USER));
        lose_a_page();
    }
    cr_assert(windows_open(&mmu, VIEW_USER), "each time it had lived as long as it takes");
    cr_assert_eq(changes, 1);
    lose_a_page();
    ticks(1);
    cr_assert(windows_open(&mmu, VIEW_USER));
    lose_a_page();
    cr_assert(!windows_open(&mmu, VIEW_USER));
    cr_assert_eq(changes, 2);
    ticks(3);
    cr_assert(windows_open(&mmu, VIEW_USER));
    for (unsigned i = 0; i < 10; i++) {
        lose_a_page();
        mmu_set_cr3(&mmu, 0x1000, false);
        lose_a_page();
        cr_assert(miss(0x2000, ACCESS_READ));
        mmu_set_cr3(&mmu, 0x1000, false); /* this one loses nothing */
        cr_assert(windows_open(&mmu, VIEW_USER));
    }
    cr_assert_eq(mmu.windows->count.opened, 2);
    cr_assert_eq(mmu.windows->count.closed, 1);
}

Test(window_policy, what_was_given_up_waits_for_a_flush, .fini = teardown)
{
    setup_with(100, 1);
    add_process();
    ticks(1);
    for (uint64_t index = 0; index < WINDOWS_PER_SPACE; index++)
        cr_assert(miss(index << 32 | 0x2000, ACCESS_READ));
    cr_assert(!miss((uint64_t)WINDOWS_PER_SPACE << 32 | 0x2000, ACCESS_READ));
    ticks(3);
    cr_assert(!windows_open(&mmu, VIEW_USER));
    mmu_set_cr3(&mmu, 0x9000, false);
    mmu_set_cr3(&mmu, 0x1000, false);
    ticks(3);
    cr_assert(!windows_open(&mmu, VIEW_USER), "leaving and coming back is none");
    mmu_set_cr3(&mmu, 0x1000, false);
    ticks(1);
    cr_assert(windows_open(&mmu, VIEW_USER));
}

Test(window_policy, addresses_that_are_flushed_all_the_time_cost_the_space_its_windows,
     .fini = teardown)
{
    setup_with(100, 1);
    windows_tick(&mmu, VIEW_USER);
    cr_assert(windows_open(&mmu, VIEW_USER));
    for (unsigned tick = 0; tick < 10; tick++) {
        for (unsigned i = 0; i < 8; i++)
            mmu_invlpg(&mmu, GVA(0x2000));
        windows_tick(&mmu, VIEW_USER);
        cr_assert(windows_open(&mmu, VIEW_USER), "few at a time do not");
    }
    cr_assert(miss(0x2000, ACCESS_READ));
    for (unsigned i = 0; i < 100; i++)
        mmu_invlpg(&mmu, GVA(0x3000));
    cr_assert(!windows_open(&mmu, VIEW_USER));
    cr_assert_eq(mmu.windows->count.pages, 0);
    windows_tick(&mmu, VIEW_USER);
    cr_assert(!windows_open(&mmu, VIEW_USER), "nothing is earned by such a tick");
    windows_tick(&mmu, VIEW_USER);
    cr_assert(windows_open(&mmu, VIEW_USER));
}

Test(window_policy, each_space_earns_its_own, .fini = teardown)
{
    setup_with(100, 3);
    mmu_set_cr4(&mmu, CR4_PAE | CR4_PGE | CR4_PCIDE);
    mmu_set_cr3(&mmu, 0x1001, true);
    ticks(3);
    changes = 0;
    cr_assert(windows_open(&mmu, VIEW_USER));
    cr_assert(miss(0x2000, ACCESS_WRITE));
    mmu_set_cr3(&mmu, 0x1002, true);
    cr_assert(!windows_open(&mmu, VIEW_USER));
    cr_assert_eq(changes, 1);
    ticks(2);
    mmu_set_cr3(&mmu, 0x1001, true);
    cr_assert(windows_open(&mmu, VIEW_USER));
    cr_assert_eq(changes, 2);
    check_page(0x2000, true, true);
    ticks(3);
    for (uint64_t pcid = 10; pcid < 10 + WINDOWS_SPACES; pcid++) {
        mmu_set_cr3(&mmu, 0x1000 | pcid, true);
        cr_assert(!windows_open(&mmu, VIEW_USER), "the space was another's before");
    }
    mmu_set_cr3(&mmu, 0x1001, true);
    cr_assert(!windows_open(&mmu, VIEW_USER));
}
