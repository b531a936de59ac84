/* softmmu/window: closed indexes fault whatever the address, windows show the guest's RAM with the
 * rights of the soft tier, and every flush takes away what it must. */
#include "softmmu/window.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { RAM_PAGES = 1024, PAGES_USED = 64, FIRST_PPN = 64, ROM_PPN = 0xe0, LARGE = 0x400000 };

#define P     BIT(0)
#define W     BIT(1)
#define U     BIT(2)
#define D     BIT(6)
#define PS    BIT(7)
#define G     BIT(8)
#define PG    BIT(31)
#define PAE   BIT(5)
#define PGE   BIT(7)
#define PCIDE BIT(17)
#define LMA   BIT(10)
#define NXE   BIT(11)

#define VSYSCALL UINT64_C(0xffffffffff600000)

static struct frames frames;
static struct physmem physmem;
static struct bus bus;
static struct mmu mmu;
static int64_t deltas[WINDOWS_INDEXES];
static uint64_t watched_page = 1;
static unsigned changes;
static uint8_t rom[2 * 4096];
static int scratch; /* a file of one byte, to try host addresses with: the kernel says EFAULT */

static uint64_t random_state = 88172645463325252u;
static uint64_t random64(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static void page_changed(void *opaque, ppn_t first, uint64_t count)
{
    mmu_flush_pages(&mmu, first, count);
}
static void code_written(void *opaque, gpa_t gpa, unsigned length)
{
    physmem_unmark_code(&physmem, ppn_gpa(gpa_ppn(gpa)), PAGE_BYTES);
}
static bool is_watched(void *opaque, gva_t page)
{
    return page.v == watched_page;
}
static void windows_changed(void *opaque)
{
    changes++;
}

static void poke(uint64_t address, uint64_t value)
{
    physmem_write(&physmem, GPA(address), &value, 8);
}

/* Tables: PML4 at page 1, PDPT 2, PD 3 (a PT at 4, nothing, then a 2 MiB page), which serves the
 * first GiB of each of 64 windows; a second PML4 at 8 leads to the same.  Every 16th page is
 * read-only. */
static void setup_with(struct windows_options options)
{
    struct error error;
    scratch = memfd_create("scratch", 0);
    bus_init(&bus, "memory", UINT64_MAX);
    cr_assert_eq(frames_init(&frames, RAM_PAGES * PAGE_BYTES, &error), 0);
    cr_assert_eq(physmem_init(&physmem, &frames, &bus, RAM_PAGES * PAGE_BYTES, &error), 0);
    memset(physmem.low, PHYSMEM_READ_RAM | PHYSMEM_WRITE_RAM, sizeof physmem.low);
    physmem_add_rom(&physmem, ROM_PPN << PAGE_SHIFT, sizeof rom, rom);
    cr_assert_eq(mmu_init(&mmu, &physmem), 0);
    physmem.ops = (struct physmem_ops){.page_changed = page_changed, .code_written = code_written};
    mmu.page_is_watched = is_watched;
    mmu.windows_changed = windows_changed;
    cr_assert_eq(windows_init(&mmu, deltas, &options, &error), 0);
    poke(0x1000, 0x2000 | P | W | U);
    poke(0x8000, 0x2000 | P | W | U);
    for (unsigned i = 0; i < 64; i++)
        poke(0x2000 + 8 * 4 * i, 0x3000 | P | W | U);
    poke(0x3000, 0x4000 | P | W | U);
    poke(0x3010, 0x200000 | P | W | U | PS);
    for (uint64_t i = 0; i < PAGES_USED; i++)
        poke(0x4000 + 8 * i,
             (FIRST_PPN + i) << 12 | P | (i % 16 == 15 ? 0 : W) | U | (i % 4 == 3 ? G : 0));
    mmu_set_efer(&mmu, LMA | NXE);
    mmu_set_cr4(&mmu, PAE | PGE);
    mmu_set_cr3(&mmu, 0x1000, false);
    mmu_set_cr0(&mmu, PG | 1);
}

static void setup(void)
{
    setup_with((struct windows_options){.max_areas = 40000, .earn_ticks = 0});
}

static void teardown(void)
{
    mmu_free(&mmu);
    physmem_free(&physmem);
    frames_free(&frames);
    close(scratch);
}

static uint64_t host_of(uint64_t linear)
{
    return linear + (uint64_t)deltas[linear >> 32 & 0xffff];
}

/* WHY not through libc: a sanitizer would look at the address itself. */
static bool host_reads(uint64_t linear, uint8_t *byte)
{
    uint8_t none;
    return syscall(SYS_pwrite64, scratch, host_of(linear), 1, 0) == 1 &&
           pread(scratch, byte ? byte : &none, 1, 0) == 1;
}

static bool host_writes(uint64_t linear, uint8_t byte)
{
    cr_assert_eq(pwrite(scratch, &byte, 1, 0), 1);
    return syscall(SYS_pread64, scratch, host_of(linear), 1, 0) == 1;
}

static bool touch(uint64_t linear, enum mmu_access access)
{
    struct translation found;
    uint32_t error;
    return mmu_translate(&mmu, VIEW_USER, GVA(linear), access, &found, &error);
}

/* What happens at a host fault of translated code. */
static bool miss(uint64_t linear, enum mmu_access access)
{
    return touch(linear, access) && windows_fill(&mmu, GVA(linear));
}

/* The records, and what the host does, say this of the page.  Its byte 0 is written. */
static void check_page(uint64_t linear, bool reads, bool writes)
{
    cr_assert_eq(windows_has(&mmu, GVA(linear), false), reads, "%llx", (unsigned long long)linear);
    cr_assert_eq(windows_has(&mmu, GVA(linear), true), writes, "%llx", (unsigned long long)linear);
    cr_assert_eq(host_reads(linear, NULL), reads, "%llx", (unsigned long long)linear);
    cr_assert_eq(host_writes(linear, 0x11), writes, "%llx", (unsigned long long)linear);
}

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
        cr_assert_eq(deltas[index], windows_closed_delta(index));
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
        cr_assert(index == 5 || deltas[index] == windows_closed_delta(index));
    windows_free(&mmu);
    cr_assert_eq(deltas[5], windows_closed_delta(5));
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
    cr_assert(windows_fill(&mmu, GVA(0x6000)));
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
    cr_assert(!windows_fill(&mmu, GVA(0xf000)));
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
    poke(0x4000, ROM_PPN << 12 | P | U);
    physmem_set_low(&physmem, ROM_PPN << 12, PAGE_BYTES, 0);
    cr_assert(touch(0, ACCESS_READ));
    cr_assert(!windows_fill(&mmu, GVA(0)), "ROM");
    poke(0x4000, UINT64_C(0xe0000000) | P | W | U);
    mmu_invlpg(&mmu, GVA(0));
    cr_assert(touch(0, ACCESS_READ));
    cr_assert(!windows_fill(&mmu, GVA(0)), "a device");
    watched_page = 0x2000;
    cr_assert(touch(0x2000, ACCESS_WRITE));
    cr_assert(!windows_fill(&mmu, GVA(0x2000)), "watched");
    cr_assert(!windows_fill(&mmu, GVA(0x3000)), "not in the view");
    poke(0x1000 + 8 * 256, 0x2000 | P | W | U);
    const uint64_t upper = UINT64_C(0xffff800000000000) | 0x3000;
    cr_assert(touch(upper, ACCESS_READ));
    cr_assert(!windows_fill(&mmu, GVA(upper)));
    cr_assert(!windows_has(&mmu, GVA(upper), false));
    cr_assert_eq(mmu.windows->count.fills, 0);
}

/* --- what takes pages away */

Test(window, invlpg_takes_the_whole_guest_page, .init = setup, .fini = teardown)
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

Test(window, cr3_loads_empty_the_space, .init = setup, .fini = teardown)
{
    cr_assert(miss(0x2000, ACCESS_WRITE) && miss(0x3000, ACCESS_READ));
    const uint64_t elsewhere = UINT64_C(7) << 32 | 0x4000;
    cr_assert(miss(elsewhere, ACCESS_WRITE));
    uint64_t base = host_of(0);
    mmu_set_cr3(&mmu, 0x8000, false);
    cr_assert_eq(mmu.windows->count.pages, 0);
    check_page(0x2000, false, false);
    check_page(0x3000, false, false);
    check_page(elsewhere, false, false);
    cr_assert_lt(syscall(SYS_pwrite64, scratch, base + 0x2000, 1, 0), 0, "also where it was");
    cr_assert(miss(0x2000, ACCESS_WRITE), "windows are used again");
    cr_assert_eq(mmu.windows->count.flushes, 1);
}

Test(window, pcids_have_their_own_windows, .init = setup, .fini = teardown)
{
    mmu_set_cr4(&mmu, PAE | PGE | PCIDE);
    mmu_set_cr3(&mmu, 0x1001, false);
    cr_assert(miss(0x2000, ACCESS_WRITE) && miss(0x3000, ACCESS_WRITE));
    cr_assert(miss(UINT64_C(7) << 32 | 0x2000, ACCESS_WRITE));
    uint64_t base = host_of(0);
    mmu_set_cr3(&mmu, 0x8002, false);
    check_page(0x2000, false, false);
    cr_assert_eq(deltas[0], windows_closed_delta(0));
    cr_assert_eq(deltas[7], windows_closed_delta(7));
    cr_assert(miss(0x2000, ACCESS_WRITE));
    cr_assert_neq(host_of(0), base);
    cr_assert_eq(deltas[7], windows_closed_delta(7));
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
    mmu_invpcid(&mmu, 1, 1, GVA(0));
    mmu_set_cr3(&mmu, 0x1001, true);
    check_page(0x2000, false, false);
    mmu_invpcid(&mmu, 3, 0, GVA(0));
    cr_assert_eq(mmu.windows->count.pages, 0);
    for (uint64_t pcid = 10; pcid < 10 + 2 * SHADOW_SPACES; pcid++) {
        mmu_set_cr3(&mmu, 0x8000 | pcid, true);
        check_page(0x2000, false, false);
        cr_assert(miss(0x2000, ACCESS_WRITE));
    }
    cr_assert_eq(mmu.windows->count.pages, SHADOW_SPACES);
    mmu_set_cr4(&mmu, PAE | PGE);
    cr_assert_eq(mmu.windows->count.pages, 0);
}

Test(window, a_changed_page_goes_everywhere, .init = setup, .fini = teardown)
{
    mmu_set_cr4(&mmu, PAE | PGE | PCIDE);
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
    mmu_flush_all(&mmu);
    cr_assert_eq(mmu.windows->count.pages, 0);
}

Test(window, code_pages_are_read_only, .init = setup, .fini = teardown)
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

/* --- bounds and policy */

Test(window, the_space_used_longest_ago_makes_room, .fini = teardown)
{
    setup_with((struct windows_options){.max_areas = 12, .earn_ticks = 0});
    mmu_set_cr4(&mmu, PAE | PGE | PCIDE);
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
        cr_assert(windows_has(&mmu, GVA(page << 12), false));
    }
    cr_assert_gt(mmu.windows->count.evictions, 5);
}

Test(window, areas_are_counted_as_the_host_does, .init = setup, .fini = teardown)
{
    for (unsigned step = 0; step < 4000; step++) {
        uint64_t linear = random64() % PAGES_USED << 12;
        if (random64() % 2)
            (void)miss(linear, ACCESS_READ);
        else
            mmu_invlpg(&mmu, GVA(linear));
        unsigned areas = 0;
        for (uint64_t n = 0; n < PAGES_USED; n++) {
            bool here = windows_has(&mmu, GVA(n << 12), false);
            areas += here + (here && !windows_has(&mmu, GVA((n + 1) << 12), false));
        }
        cr_assert_eq(mmu.windows->count.areas, areas, "step %u", step);
    }
}

Test(window, too_many_windows_give_the_space_up, .init = setup, .fini = teardown)
{
    for (uint64_t index = 0; index < WINDOWS_PER_SPACE; index++)
        cr_assert(miss(index << 32 | 0x2000, ACCESS_READ));
    cr_assert(windows_open(&mmu));
    changes = 0;
    cr_assert(!miss((uint64_t)WINDOWS_PER_SPACE << 32 | 0x2000, ACCESS_READ));
    cr_assert(!windows_open(&mmu));
    cr_assert_eq(changes, 1);
    cr_assert_eq(mmu.windows->count.pages, 0);
    check_page(0x2000, false, false);
    windows_tick(&mmu);
    cr_assert(!windows_open(&mmu));
    mmu_set_cr3(&mmu, 0x1000, false);
    cr_assert(windows_open(&mmu));
    cr_assert(miss(0x2000, ACCESS_READ));
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
Test(window, a_host_that_refuses_leaves_the_soft_tier, .init = setup, .fini = teardown)
{
    struct rlimit old, none;
    cr_assert_eq(getrlimit(RLIMIT_AS, &old), 0);
    none = (struct rlimit){.rlim_cur = BIT(32), .rlim_max = old.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_AS, &none), 0);
    cr_assert(touch(0x2000, ACCESS_READ));
    cr_assert(!windows_fill(&mmu, GVA(0x2000)));
    cr_assert_eq(setrlimit(RLIMIT_AS, &old), 0);
    cr_assert(!windows_open(&mmu));
    cr_assert_eq(mmu.windows->refusal, ENOMEM);
    check_page(0x2000, false, false);
    mmu_set_cr3(&mmu, 0x1000, false);
    cr_assert(miss(0x2000, ACCESS_READ));
}
#endif

static void ticks(unsigned count)
{
    while (count--)
        windows_tick(&mmu);
}

Test(window, windows_are_earned, .fini = teardown)
{
    setup_with((struct windows_options){.max_areas = 100, .earn_ticks = 3});
    cr_assert(!windows_open(&mmu));
    cr_assert(touch(0x2000, ACCESS_READ));
    cr_assert(!windows_fill(&mmu, GVA(0x2000)));
    ticks(2);
    mmu_set_cr3(&mmu, 0x1000, false);
    ticks(2);
    cr_assert(!windows_open(&mmu), "a flush begins it anew");
    ticks(1);
    cr_assert(windows_open(&mmu));
    cr_assert_eq(changes, 1);
    cr_assert(miss(0x2000, ACCESS_READ));
    ticks(3);
    mmu_set_cr3(&mmu, 0x1000, false);
    cr_assert(windows_open(&mmu), "it had lived as long as it takes");
    ticks(2);
    mmu_set_cr3(&mmu, 0x1000, false);
    cr_assert(!windows_open(&mmu));
    cr_assert_eq(changes, 2);
    ticks(3);
    cr_assert(windows_open(&mmu));
    cr_assert_eq(mmu.windows->count.opened, 2);
    cr_assert_eq(mmu.windows->count.closed, 1);
}

Test(window, each_space_earns_its_own, .fini = teardown)
{
    setup_with((struct windows_options){.max_areas = 100, .earn_ticks = 3});
    mmu_set_cr4(&mmu, PAE | PGE | PCIDE);
    mmu_set_cr3(&mmu, 0x1001, true);
    ticks(3);
    changes = 0;
    cr_assert(windows_open(&mmu));
    cr_assert(miss(0x2000, ACCESS_WRITE));
    mmu_set_cr3(&mmu, 0x1002, true);
    cr_assert(!windows_open(&mmu));
    cr_assert_eq(changes, 1);
    ticks(2);
    mmu_set_cr3(&mmu, 0x1001, true);
    cr_assert(windows_open(&mmu));
    cr_assert_eq(changes, 2);
    check_page(0x2000, true, true);
    ticks(3);
    for (uint64_t pcid = 10; pcid < 10 + SHADOW_SPACES; pcid++) {
        mmu_set_cr3(&mmu, 0x1000 | pcid, true);
        cr_assert(!windows_open(&mmu), "the space was another's before");
    }
    mmu_set_cr3(&mmu, 0x1001, true);
    cr_assert(!windows_open(&mmu));
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

/* INV-1 for every page that is there. */
static void check_all_pages(unsigned step)
{
    static const uint64_t bases[] = {0, UINT64_C(1) << 32, LARGE};
    for (unsigned i = 0; i < ARRAY_LENGTH(bases); i++) {
        for (uint64_t n = 0; n < PAGES_USED; n++) {
            const uint64_t linear = bases[i] + (n << 12);
            struct translation found;
            uint32_t error;
            const bool reads = windows_has(&mmu, GVA(linear), false);
            cr_assert_eq(host_reads(linear, NULL), reads, "step %u", step);
            if (!reads)
                continue;
            const bool writes = windows_has(&mmu, GVA(linear), true);
            cr_assert(mmu_walk(&mmu, GVA(linear), writes ? ACCESS_WRITE : ACCESS_READ, true, false,
                               &found, &error),
                      "step %u: %llx", step, (unsigned long long)linear);
            const uint8_t *page = physmem_page_read(&physmem, gpa_ppn(found.gpa));
            uint64_t same = 0;
            while (same < 8 && *(uint8_t *)host_of(linear + same) == page[same])
                same++;
            cr_assert_eq(same, 8, "step %u: %llx is another page", step,
                         (unsigned long long)linear);
            cr_assert(!writes || !physmem_has_code(&physmem, gpa_ppn(found.gpa)));
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

static void random_step(void)
{
    static const uint64_t roots[] = {0x1001, 0x8002, 0x1003};
    uint64_t n = random64() % PAGES_USED, linear = n << 12;
    switch (random64() % 16) {
    case 0: /* the guest changes a PTE and has every PCID forget the page */
        poke(0x4000 + 8 * n, (FIRST_PPN + random64() % 128) << 12 | (random64() & (W | U | G | D)) |
                                 (random64() % 8 ? P : 0));
        forget_everywhere(linear);
        forget_everywhere(UINT64_C(1) << 32 | linear);
        break;
    case 1: /* a large page becomes another */
        poke(0x3010, (random64() % 2 ? 0x200000 : 0) | (random64() & (W | U | D)) | P | PS);
        forget_everywhere(LARGE + (random64() & 0x1fffff));
        break;
    case 2:
        mmu_set_cr3(&mmu, roots[random64() % 3], random64() % 8);
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
    default:
        if (random64() % 4 == 0)
            linear += random64() % 2 ? LARGE : UINT64_C(1) << 32;
        if (touch(linear, random64() % 2 ? ACCESS_READ : ACCESS_WRITE))
            (void)windows_fill(&mmu, GVA(linear));
    }
}

Test(window, random_operations_never_leave_a_stale_right, .fini = teardown)
{
    setup_with((struct windows_options){.max_areas = 70, .earn_ticks = 0});
    for (uint64_t page = FIRST_PPN; page < FIRST_PPN + 128; page += 2)
        poke(page << 12, random64());
    mmu_set_cr4(&mmu, PAE | PGE | PCIDE);
    for (unsigned step = 0; step < 40000; step++) {
        random_step();
        cr_assert(mmu.windows->count.areas <= 70);
        if (step % 100 == 0)
            check_all_pages(step);
    }
    cr_assert_gt(mmu.windows->count.fills, 5000);
    cr_assert_gt(mmu.windows->count.evictions, 20);
}
