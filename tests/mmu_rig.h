/* An MMU over bare RAM, and 4-level tables in it: for tests of softmmu/ alone.
 *
 *     PML4 at page 1 and, leading to the same, at 8; PDPT 2; PD 3, which has a PT at 4, nothing,
 * and a page of 2 MiB.  The PT maps PAGES_USED pages, from 0 on, to FIRST_PPN on; every fourth is
 * global.
 */
#ifndef TESTS_MMU_RIG_H
#define TESTS_MMU_RIG_H

#include "softmmu/control_registers.h"
#include "softmmu/mmu.h"
#include "tests/random.h"

#include <criterion/criterion.h>

enum { RAM_PAGES = 1024, PAGES_USED = 64, FIRST_PPN = 64, LARGE = 0x400000 };

/* Bits of an entry (SDM 3A §4.5). */
#define P  BIT(0)
#define W  BIT(1)
#define U  BIT(2)
#define A  BIT(5)
#define D  BIT(6)
#define PS BIT(7)
#define G  BIT(8)
#define NX BIT(63)

static struct frames frames;
static struct physmem physmem;
static struct bus bus;
static struct mmu mmu;
static uint64_t watched_page = 1;
static unsigned code_writes;

static struct random dice = {88172645463325252u};
static inline uint64_t random64(void)
{
    return random_next(&dice);
}

static inline void page_changed(void *opaque, ppn_t first, uint64_t count)
{
    mmu_flush_pages(&mmu, first, count);
}
static inline void code_written(void *opaque, gpa_t gpa, unsigned length)
{
    code_writes++;
    physmem_unmark_code(&physmem, ppn_gpa(gpa_ppn(gpa)), PAGE_BYTES);
}
static inline bool is_watched(void *opaque, gva_t page)
{
    return page.v == watched_page;
}

/* 4 or 8 bytes; all ones where there is no RAM. */
static inline uint64_t peek(uint64_t address, unsigned size)
{
    uint64_t value = 0;
    return physmem_read(&physmem, GPA(address), &value, size) ? value : ~UINT64_C(0);
}
static inline void poke(uint64_t address, uint64_t value)
{
    physmem_write(&physmem, GPA(address), &value, 8);
}

/* RAM without a table in it, and paging off. */
static inline void mmu_rig_ram(uint64_t pages)
{
    struct error error;
    bus_init(&bus, "memory", UINT64_MAX);
    cr_assert_eq(frames_init(&frames, pages * PAGE_BYTES, &error), 0);
    cr_assert_eq(physmem_init(&physmem, &frames, &bus, pages * PAGE_BYTES, &error), 0);
    memset(physmem.low, PHYSMEM_READ_RAM | PHYSMEM_WRITE_RAM, sizeof physmem.low);
    cr_assert_eq(mmu_init(&mmu, &physmem), 0);
    physmem.ops = (struct physmem_ops){.page_changed = page_changed, .code_written = code_written};
    mmu.page_is_watched = is_watched;
}

/* The tables, and paging on. */
static inline void mmu_rig_paging(void)
{
    poke(0x1000, 0x2000 | P | W | U);
    poke(0x8000, 0x2000 | P | W | U);
    poke(0x2000, 0x3000 | P | W | U);
    poke(0x3000, 0x4000 | P | W | U);
    poke(0x3010, 0x200000 | P | W | U | PS);
    for (uint64_t i = 0; i < PAGES_USED; i++)
        poke(0x4000 + 8 * i, (FIRST_PPN + i) << 12 | P | W | U | (i % 4 == 3 ? G : 0));
    mmu_set_efer(&mmu, EFER_LMA | EFER_NXE);
    mmu_set_cr4(&mmu, CR4_PAE | CR4_PGE);
    mmu_set_cr3(&mmu, 0x1000, false);
    mmu_set_cr0(&mmu, CR0_PG | CR0_PE);
}

static inline void mmu_rig_free(void)
{
    mmu_free(&mmu);
    physmem_free(&physmem);
    frames_free(&frames);
    bus_free(&bus);
}

/* As code of that privilege does. */
static inline bool touch_by(enum shadow_view_id view, uint64_t linear, enum mmu_access access)
{
    struct translation found;
    uint32_t error;
    return mmu_translate(&mmu, view, GVA(linear), access, &found, &error);
}
static inline bool touch(uint64_t linear, enum mmu_access access)
{
    return touch_by(VIEW_USER, linear, access);
}

#endif
