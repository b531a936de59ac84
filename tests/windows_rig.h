/* The MMU of mmu_rig.h with windows, whose host addresses are tried.  The PD serves the first GiB
 * of each of 64 windows; every 16th page is read-only.
 */
#ifndef TESTS_WINDOWS_RIG_H
#define TESTS_WINDOWS_RIG_H

#include "softmmu/window.h"
#include "tests/mmu_rig.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static int64_t deltas[WINDOWS_VIEWS][WINDOWS_INDEXES];
static enum shadow_view_id tried = VIEW_USER; /* whose windows the functions below are about */
static unsigned changes;
static int scratch; /* a file of one byte, to try host addresses with: the kernel says EFAULT */

static inline void windows_changed(void *opaque)
{
    changes++;
}

/* At most max_areas mappings; a space earns its windows with earn_ticks ticks. */
static inline void setup_with(unsigned max_areas, unsigned earn_ticks)
{
    const struct windows_options options[WINDOWS_VIEWS] = {
        {.max_areas = max_areas, .earn_ticks = earn_ticks},
        {.max_areas = max_areas, .earn_ticks = earn_ticks}};
    struct error error;
    scratch = memfd_create("scratch", 0);
    mmu_rig_ram(RAM_PAGES);
    mmu.windows_changed = windows_changed;
    cr_assert_eq(windows_init(&mmu, deltas, options, &error), 0);
    mmu_rig_paging();
    for (unsigned i = 1; i < 64; i++)
        poke(0x2000 + 8 * 4 * i, 0x3000 | P | W | U);
    for (uint64_t i = 15; i < PAGES_USED; i += 16)
        poke(0x4000 + 8 * i, peek(0x4000 + 8 * i, 8) & ~W);
}

/* Windows for everybody at once. */
static inline void setup(void)
{
    setup_with(40000, 0);
}

static inline void teardown(void)
{
    mmu_rig_free();
    close(scratch);
}

/* A second process: PML4 at 9, PDPT 10, PD 11, PT 12. */
static inline void add_process(void)
{
    poke(0x9000, 0xa000 | P | W | U);
    poke(0xa000, 0xb000 | P | W | U);
    poke(0xb000, 0xc000 | P | W | U);
    for (uint64_t i = 0; i < PAGES_USED; i++)
        poke(0xc000 + 8 * i, (FIRST_PPN + 200 + i) << 12 | P | W | U);
}

static inline uint64_t host_of(uint64_t linear)
{
    return linear + (uint64_t)deltas[tried][linear >> 32 & 0xffff];
}

/* WHY not through libc: a sanitizer would look at the address itself. */
static inline bool host_reads(uint64_t linear, uint8_t *byte)
{
    uint8_t none;
    return syscall(SYS_pwrite64, scratch, host_of(linear), 1, 0) == 1 &&
           pread(scratch, byte ? byte : &none, 1, 0) == 1;
}

static inline bool host_writes(uint64_t linear, uint8_t byte)
{
    cr_assert_eq(pwrite(scratch, &byte, 1, 0), 1);
    return syscall(SYS_pread64, scratch, host_of(linear), 1, 0) == 1;
}

/* What happens at a host fault of translated code. */
static inline bool miss(uint64_t linear, enum mmu_access access)
{
    return touch_by(tried, linear, access) && windows_fill(&mmu, tried, GVA(linear));
}

/* The records, and what the host does, say this of the page.  Its byte 0 is written. */
static inline void check_page(uint64_t linear, bool reads, bool writes)
{
    cr_assert_eq(windows_has(&mmu, tried, GVA(linear), false), reads, "%llx",
                 (unsigned long long)linear);
    cr_assert_eq(windows_has(&mmu, tried, GVA(linear), true), writes, "%llx",
                 (unsigned long long)linear);
    cr_assert_eq(host_reads(linear, NULL), reads, "%llx", (unsigned long long)linear);
    cr_assert_eq(host_writes(linear, 0x11), writes, "%llx", (unsigned long long)linear);
}

#endif
