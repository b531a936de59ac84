/* softmmu/window: closed indexes fault whatever the address, and windows show the guest's RAM with
 * the rights of the soft tier.
 */
#include "tests/windows_rig.h"

enum { ROM_PPN = 0xe0 };

#define VSYSCALL UINT64_C(0xffffffffff600000)

/* --- deltas */

static void check_unreachable(unsigned top, unsigned index)
{
    static const int64_t distances[] = {-INT64_C(0x80000000), -1, 0, 0x7fffffff};
    for (unsigned low = 0; low < 2; low++) {
        for (unsigned i = 0; i < ARRAY_LENGTH(distances); i++) {
            uint64_t linear = (uint64_t)top << 48 | (uint64_t)index << 32 | (low ? UINT32_MAX : 0);
            uint64_t host = linear + (uint64_t)windows_closed_delta(index) + (uint64_t)distances[i];
            if (unlikely(host < BIT(47) || (host & PAGE_MASK) == VSYSCALL))
                cr_assert_fail("%x:%04x leads to %llx", top, index, (unsigned long long)host);
        }
    }
}

Test(window, closed_indexes_lead_nowhere)
{
    for (unsigned index = 0; index < WINDOWS_INDEXES; index++) {
        for (unsigned i = 0; i < WINDOWS_INDEXES; i += 1009) {
            check_unreachable(i, index);
            check_unreachable(index, i);
        }
        static const unsigned edges[] = {0,      1,      0x7ffc, 0x7ffd, 0x7ffe,
                                         0x7fff, 0x8000, 0xfffe, 0xffff};
        for (unsigned i = 0; i < ARRAY_LENGTH(edges); i++) {
            check_unreachable(edges[i], index);
            check_unreachable(index, edges[i]);
        }
    }
}

Test(window, closed_deltas_fault_on_the_host, .init = setup, .fini = teardown)
{
    static const unsigned indexes[] = {0, 1, 0x7ffd, 0x7ffe, 0x7fff, 0x8000, 0xffff};
    static const unsigned tops[] = {0, 1, 0x7fff, 0x8000, 0xffff};
    for (unsigned i = 0; i < ARRAY_LENGTH(indexes); i++)
        for (unsigned t = 0; t < ARRAY_LENGTH(tops); t++)
            cr_assert(!host_reads((uint64_t)tops[t] << 48 | (uint64_t)indexes[i] << 32, NULL));
    for (unsigned index = 0; index < WINDOWS_INDEXES; index++)
        cr_assert_eq(deltas[VIEW_USER][index], windows_closed_delta(index));
}

Test(window, an_open_window_is_of_canonical_addresses, .init = setup, .fini = teardown)
{
    const uint64_t linear = UINT64_C(5) << 32 | 0x2000;
    cr_assert(miss(linear, ACCESS_WRITE));
    for (uint64_t top = 1; top < 65536; top++)
        cr_assert_neq(bits_sign_extend(host_of(linear | top << 48), 48),
                      (int64_t)host_of(linear | top << 48), "%llx", (unsigned long long)top);
    cr_assert(host_reads(linear, NULL));
    cr_assert(!host_reads(linear | BIT(48), NULL) && !host_reads(linear | BIT(63), NULL));
    /* The index taken of an address in the window, and a distance: the guards. */
    const uint64_t base = host_of(UINT64_C(5) << 32);
    for (uint64_t distance = 1; distance <= BIT(31); distance <<= 1) {
        cr_assert_lt(syscall(SYS_pwrite64, scratch, base - distance, 1, 0), 0);
        cr_assert_lt(syscall(SYS_pwrite64, scratch, base + BIT(32) + distance - 1, 1, 0), 0);
    }
    static const int64_t reserved[] = {-INT64_C(0x80000000), INT64_C(0x180000000)};
    for (unsigned i = 0; i < ARRAY_LENGTH(reserved); i++) {
        void *place = (void *)(uintptr_t)(base + (uint64_t)reserved[i]);
        cr_assert_eq(mmap(place, PAGE_BYTES, PROT_READ,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0),
                     MAP_FAILED, "nobody else's memory");
    }
    for (unsigned index = 0; index < WINDOWS_INDEXES; index++)
        cr_assert(index == 5 || deltas[VIEW_USER][index] == windows_closed_delta(index));
    windows_free(&mmu);
    cr_assert_eq(deltas[VIEW_USER][5], windows_closed_delta(5));
}

/* --- filling */

Test(window, a_page_is_the_guests_memory, .init = setup, .fini = teardown)
{
    const uint64_t linear = UINT64_C(9) << 32 | 0x6123;
    check_page(linear, false, false);
    cr_assert(miss(linear, ACCESS_WRITE));
    check_page(linear, true, true);
    cr_assert(host_writes(linear, 0x5a));
    uint8_t byte = 0;
    physmem_read(&physmem, GPA((FIRST_PPN + 6) << 12 | 0x123), &byte, 1);
    cr_assert_eq(byte, 0x5a);
    byte = 0xa5;
    physmem_write(&physmem, GPA((FIRST_PPN + 6) << 12 | 0xfff), &byte, 1);
    byte = 0;
    cr_assert(host_reads((linear & PAGE_MASK) | 0xfff, &byte));
    cr_assert_eq(byte, 0xa5);
    cr_assert(!host_reads((linear & PAGE_MASK) - 1, NULL) &&
              !host_reads((linear & PAGE_MASK) + 0x1000, NULL));
    /* The same RAM page at another address. */
    cr_assert(miss(0x6000, ACCESS_READ));
    cr_assert(host_reads(0x6fff, &byte));
    cr_assert_eq(byte, 0xa5);
    cr_assert_eq(mmu.windows->count.pages, 2);
}

Test(window, the_zero_page_is_never_written, .init = setup, .fini = teardown)
{
    cr_assert(miss(0x6000, ACCESS_READ));
    check_page(0x6000, true, false);
    cr_assert(touch(0x6000, ACCESS_WRITE));
    check_page(0x6000, false, false); /* the page has a frame of its own now */
    cr_assert(windows_fill(&mmu, VIEW_USER, GVA(0x6000)));
    check_page(0x6000, true, true);
    cr_assert_eq(*frames_host(&frames, FRAMES_ZERO), 0);
}

Test(window, rights_follow_the_view, .init = setup, .fini = teardown)
{
    cr_assert(miss(0xf000, ACCESS_READ));
    check_page(0xf000, true, false);
    poke(0x4000 + 8 * 15, (FIRST_PPN + 15) << 12 | P | W | U);
    mmu_invlpg(&mmu, GVA(0xf000));
    cr_assert(miss(0xf000, ACCESS_WRITE));
    check_page(0xf000, true, true);
    /* The guest takes the right away and lets the entry be evicted, without INVLPG. */
    poke(0x4000 + 8 * 15, (FIRST_PPN + 15) << 12 | P | U);
    cr_assert(touch(LARGE, ACCESS_READ));
    mmu_view(&mmu, VIEW_USER)->info[15].page = SHADOW_NO;
    mmu_view(&mmu, VIEW_USER)->entries[15] = shadow_entry_none(15);
    cr_assert(!windows_fill(&mmu, VIEW_USER, GVA(0xf000)));
    check_page(0xf000, true, true);
    cr_assert(miss(0xf000, ACCESS_READ));
    check_page(0xf000, true, false);
    /* Another frame. */
    uint8_t byte = 0x77;
    physmem_write(&physmem, GPA(700 << 12), &byte, 1);
    poke(0x4000 + 8 * 15, 700 << 12 | P | U);
    mmu_view(&mmu, VIEW_USER)->info[15].page = SHADOW_NO;
    cr_assert(miss(0xf000, ACCESS_READ));
    byte = 0;
    cr_assert(host_reads(0xf000, &byte));
    cr_assert_eq(byte, 0x77);
    cr_assert_eq(mmu.windows->count.pages, 1);
}

Test(window, only_ram_of_the_lower_half_is_mapped, .init = setup, .fini = teardown)
{
    static uint8_t rom[PAGE_BYTES];
    physmem_add_rom(&physmem, ROM_PPN << PAGE_SHIFT, sizeof rom, rom);
    poke(0x4000, ROM_PPN << 12 | P | U);
    physmem_set_low(&physmem, ROM_PPN << 12, PAGE_BYTES, 0);
    cr_assert(touch(0, ACCESS_READ));
    cr_assert(!windows_fill(&mmu, VIEW_USER, GVA(0)), "ROM");
    poke(0x4000, UINT64_C(0xe0000000) | P | W | U);
    mmu_invlpg(&mmu, GVA(0));
    cr_assert(touch(0, ACCESS_READ));
    cr_assert(!windows_fill(&mmu, VIEW_USER, GVA(0)), "a device");
    watched_page = 0x2000;
    cr_assert(touch(0x2000, ACCESS_WRITE));
    cr_assert(!windows_fill(&mmu, VIEW_USER, GVA(0x2000)), "watched");
    cr_assert(!windows_fill(&mmu, VIEW_USER, GVA(0x3000)), "not in the view");
    poke(0x1000 + 8 * 256, 0x2000 | P | W | U);
    const uint64_t upper = UINT64_C(0xffff800000000000) | 0x3000;
    cr_assert(touch(upper, ACCESS_READ));
    cr_assert(!windows_fill(&mmu, VIEW_USER, GVA(upper)));
    cr_assert(!windows_has(&mmu, VIEW_USER, GVA(upper), false));
    cr_assert_eq(mmu.windows->count.fills, 0);
}

Test(window, the_monitor_has_something_to_say, .init = setup, .fini = teardown)
{
    char text[1000] = "";
    cr_assert(miss(0x2000, ACCESS_READ));
    FILE *out = fmemopen(text, sizeof text, "w");
    windows_describe(&mmu, out);
    fclose(out);
    cr_assert(strstr(text, "present space open with 1 of 32 windows"), "%s", text);
    cr_assert(strstr(text, "pages 1 now in 2 of 40000 host areas; 1 filled, 0 unmapped"), "%s",
              text);
}
