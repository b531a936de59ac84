/* softmmu/window: closed indexes fault whatever the address, windows show the guest's RAM with the
 * rights of the soft tier, and every flush takes away what it must and keeps the rest. */
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
#define A     BIT(5)
#define D     BIT(6)
#define PS    BIT(7)
#define G     BIT(8)
#define NX    BIT(63)
#define PG    BIT(31)
#define PSE   BIT(4)
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

/* What is at `place` becomes `value`, the space is flushed; then 0x2000, which could be written,
 * and its neighbours, which could be read, are to be so much. */
static void check_change(uint64_t place, uint64_t value, bool reads, bool writes, bool neighbours)
{
    uint64_t before;
    cr_assert(miss(0x1000, ACCESS_READ) && miss(0x2000, ACCESS_WRITE) && miss(0x4000, ACCESS_READ));
    physmem_read(&physmem, GPA(place), &before, 8);
    poke(place, value);
    mmu_set_cr3(&mmu, mmu.registers.cr3, false);
    check_page(0x2000, reads, writes);
    cr_assert_eq(host_reads(0x1000, NULL), neighbours);
    cr_assert_eq(host_reads(0x4000, NULL), neighbours);
    poke(place, before);
    mmu_flush_all(&mmu);
}

Test(window, a_flush_keeps_what_a_walk_would_grant, .init = setup, .fini = teardown)
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
    mmu_set_efer(&mmu, LMA);
    check_change(0x4010, pte | all | D | NX, false, false, true);
    check_change(0x3000, 0x4000 | all | NX, false, false, false);
}

Test(window, a_flush_leaves_the_tables_as_they_are, .init = setup, .fini = teardown)
{
    cr_assert(miss(0x2000, ACCESS_WRITE) && miss(LARGE, ACCESS_WRITE));
    poke(0x4010, (FIRST_PPN + 2) << 12 | P | W | U);
    poke(0x3010, 0x200000 | P | W | U | PS);
    const uint64_t walks = mmu.count.walks;
    mmu_set_cr3(&mmu, 0x1000, false);
    uint64_t entry;
    physmem_read(&physmem, GPA(0x4010), &entry, 8);
    cr_assert_eq(entry, (FIRST_PPN + 2) << 12 | P | W | U);
    physmem_read(&physmem, GPA(0x3010), &entry, 8);
    cr_assert_eq(entry, 0x200000 | P | W | U | PS);
    cr_assert_eq(mmu.count.walks, walks);
    cr_assert_eq(mmu.windows->count.pages, 0);
}

Test(window, neighbours_go_together_and_others_stay, .init = setup, .fini = teardown)
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

Test(window, a_large_page_may_be_split, .init = setup, .fini = teardown)
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

/* A second process: PML4 at 9, PDPT 10, PD 11, PT 12. */
static void add_process(void)
{
    poke(0x9000, 0xa000 | P | W | U);
    poke(0xa000, 0xb000 | P | W | U);
    poke(0xb000, 0xc000 | P | W | U);
    for (uint64_t i = 0; i < PAGES_USED; i++)
        poke(0xc000 + 8 * i, (FIRST_PPN + 200 + i) << 12 | P | W | U);
}

Test(window, each_root_keeps_its_windows, .init = setup, .fini = teardown)
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
        cr_assert_eq(deltas[7], windows_closed_delta(7));
    }
    /* What happens to the other's pages meanwhile. */
    poke(0x4010, (FIRST_PPN + 9) << 12 | P | W | U | A | D);
    mmu_flush_pages(&mmu, PPN(FIRST_PPN + 4), 1);
    mmu_set_cr3(&mmu, 0x1000, false);
    check_page(0x2000, false, false);
    check_page(elsewhere, false, false);
    cr_assert_eq(mmu.windows->count.pages, 2);
    cr_assert_eq(deltas[7], windows_closed_delta(7), "a window without pages closes");
}

Test(window, a_root_page_may_become_anothers, .init = setup, .fini = teardown)
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

Test(window, a_clean_space_of_another_root_misses_nothing, .init = setup, .fini = teardown)
{
    mmu_set_cr4(&mmu, PAE | PGE | PCIDE);
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

Test(window, a_page_that_became_global_goes_as_such, .init = setup, .fini = teardown)
{
    mmu_set_cr4(&mmu, PAE | PGE | PCIDE);
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

Test(window, pae_and_32_bit_paging, .init = setup, .fini = teardown)
{
    mmu_set_cr0(&mmu, 1);
    mmu_set_efer(&mmu, 0);
    /* PAE: PDPTs at 9 and 10, which differ in the second GiB alone. */
    poke(0x9000, 0x3000 | P);
    poke(0xa000, 0x3000 | P);
    poke(0xa008, 0x3000 | P);
    mmu_set_cr4(&mmu, PAE);
    cr_assert(mmu_load_pdptes(&mmu, 0x9000));
    mmu_set_cr3(&mmu, 0x9000, false);
    mmu_set_cr0(&mmu, PG | 1);
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
    mmu_set_cr4(&mmu, PSE);
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
    mmu_set_cr0(&mmu, 1);
    check_page(0x2000, false, false);
    cr_assert(miss(0x80000, ACCESS_WRITE));
    mmu_flush_all(&mmu);
    check_page(0x80000, true, true);
    mmu_set_cr0(&mmu, PG | 1);
    check_page(0x2000, true, true);
    check_page(0x80000, false, false);
}

Test(window, what_is_kept_is_still_found_by_its_ram_page, .init = setup, .fini = teardown)
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
    cr_assert_eq(mmu.windows->count.pages, WINDOWS_SPACES);
    /* Longer ago than the soft tier remembers: its flush there was one here. */
    poke(0x4010, 0);
    mmu_set_cr3(&mmu, 0x8000 | (10 + WINDOWS_SPACES), true);
    check_page(0x2000, false, false);
    mmu_set_cr4(&mmu, PAE | PGE);
    check_page(0x2000, false, false);
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

static void lose_a_page(void)
{
    cr_assert(miss(0x2000, ACCESS_READ));
    poke(0x4010, (FIRST_PPN + 2) << 12 | P | U);
    mmu_set_cr3(&mmu, 0x1000, false);
    cr_assert_eq(mmu.windows->count.pages, 0);
}

Test(window, comparing_has_to_be_paid_for, .fini = teardown)
{
    setup_with((struct windows_options){.max_areas = 100, .earn_ticks = 1});
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
    cr_assert(windows_open(&mmu));
    cr_assert_eq(mmu.windows->count.pages, 40);
    for (unsigned i = 0; i < 20000 && windows_open(&mmu); i++)
        mmu_set_cr3(&mmu, 0x1000, false);
    cr_assert(!windows_open(&mmu));
    cr_assert_eq(mmu.windows->count.pages, 0);
    ticks(1);
    cr_assert(windows_open(&mmu));
    cr_assert(miss(0x2000, ACCESS_READ));
    mmu_set_cr3(&mmu, 0x1000, false);
    cr_assert(windows_open(&mmu));
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
    for (unsigned i = 0; i < 10; i++) {
        mmu_set_cr3(&mmu, 0x1000, false);
        check_page(0x2000, true, false);
    }
    for (unsigned i = 0; i < 10; i++) {
        ticks(3);
        cr_assert(windows_open(&mmu));
        lose_a_page();
    }
    cr_assert(windows_open(&mmu), "each time it had lived as long as it takes");
    cr_assert_eq(changes, 1);
    lose_a_page();
    ticks(1);
    cr_assert(windows_open(&mmu));
    lose_a_page();
    cr_assert(!windows_open(&mmu));
    cr_assert_eq(changes, 2);
    ticks(3);
    cr_assert(windows_open(&mmu));
    for (unsigned i = 0; i < 10; i++) {
        lose_a_page();
        mmu_set_cr3(&mmu, 0x1000, false);
        lose_a_page();
        cr_assert(miss(0x2000, ACCESS_READ));
        mmu_set_cr3(&mmu, 0x1000, false); /* this one loses nothing */
        cr_assert(windows_open(&mmu));
    }
    cr_assert_eq(mmu.windows->count.opened, 2);
    cr_assert_eq(mmu.windows->count.closed, 1);
}

Test(window, what_was_given_up_waits_for_a_flush, .fini = teardown)
{
    setup_with((struct windows_options){.max_areas = 100, .earn_ticks = 1});
    add_process();
    ticks(1);
    for (uint64_t index = 0; index < WINDOWS_PER_SPACE; index++)
        cr_assert(miss(index << 32 | 0x2000, ACCESS_READ));
    cr_assert(!miss((uint64_t)WINDOWS_PER_SPACE << 32 | 0x2000, ACCESS_READ));
    ticks(3);
    cr_assert(!windows_open(&mmu));
    mmu_set_cr3(&mmu, 0x9000, false);
    mmu_set_cr3(&mmu, 0x1000, false);
    ticks(3);
    cr_assert(!windows_open(&mmu), "leaving and coming back is none");
    mmu_set_cr3(&mmu, 0x1000, false);
    ticks(1);
    cr_assert(windows_open(&mmu));
}

Test(window, addresses_that_are_flushed_all_the_time_cost_the_space_its_windows, .fini = teardown)
{
    setup_with((struct windows_options){.max_areas = 100, .earn_ticks = 1});
    windows_tick(&mmu);
    cr_assert(windows_open(&mmu));
    for (unsigned tick = 0; tick < 10; tick++) {
        for (unsigned i = 0; i < 8; i++)
            mmu_invlpg(&mmu, GVA(0x2000));
        windows_tick(&mmu);
        cr_assert(windows_open(&mmu), "few at a time do not");
    }
    cr_assert(miss(0x2000, ACCESS_READ));
    for (unsigned i = 0; i < 100; i++)
        mmu_invlpg(&mmu, GVA(0x3000));
    cr_assert(!windows_open(&mmu));
    cr_assert_eq(mmu.windows->count.pages, 0);
    windows_tick(&mmu);
    cr_assert(!windows_open(&mmu), "nothing is earned by such a tick");
    windows_tick(&mmu);
    cr_assert(windows_open(&mmu));
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
    for (uint64_t pcid = 10; pcid < 10 + WINDOWS_SPACES; pcid++) {
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

/* What the four levels of tables say, read once more: the PPN, and in *rights what all levels grant
 * (P, W, U, A) and the last one's D. */
static uint64_t naive_walk(uint64_t linear, uint64_t *rights)
{
    uint64_t table = mmu.registers.cr3 & ~UINT64_C(0xfff);
    *rights = P | W | U | A;
    for (unsigned shift = 39;; shift -= 9) {
        uint64_t entry;
        physmem_read(&physmem, GPA(table + 8 * (linear >> shift & 511)), &entry, 8);
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
            const bool reads = windows_has(&mmu, GVA(linear), false);
            cr_assert_eq(host_reads(linear, NULL), reads, "step %u", step);
            if (!reads)
                continue;
            const bool writes = windows_has(&mmu, GVA(linear), true);
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
        uint64_t entry;
        physmem_read(&physmem, GPA(place), &entry, 8);
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
    uint64_t entry;
    physmem_read(&physmem, GPA(place), &entry, 8);
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
            (void)windows_fill(&mmu, GVA(linear));
    }
}

static void random_run(bool pcids)
{
    setup_with((struct windows_options){.max_areas = 70, .earn_ticks = 0});
    add_process();
    for (uint64_t i = 0; i < PAGES_USED; i++) {
        if (!pcids) /* WHY: global pages outlive the flushes that there are then */
            poke(0x4000 + 8 * i, (FIRST_PPN + i) << 12 | P | W | U);
        poke(0xc000 + 8 * i, (FIRST_PPN + i + i % 2) << 12 | P | W | U);
    }
    for (uint64_t page = FIRST_PPN; page < FIRST_PPN + 128; page += 2)
        poke(page << 12, random64());
    mmu_set_cr4(&mmu, PAE | PGE | (pcids ? PCIDE : 0));
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

Test(window, random_operations_never_leave_a_stale_right, .fini = teardown)
{
    random_run(true);
}

Test(window, random_operations_without_pcids, .fini = teardown)
{
    random_run(false);
}
