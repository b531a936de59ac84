/* Page tables of a topic's own, at FREE_BASE, in any paging mode: the guest's first 2 MiB, and the
 * frames at FRAME_A, mapped to themselves for the supervisor alone (so that SMEP and SMAP can be
 * on), and a page under test whose entries on every level are the topic's.
 * Sources: SDM 3A §4.3 (32-bit paging), §4.4 (PAE), §4.5 (4-level), §4.10 (caching).
 */
#ifndef SYSTEM_PAGING_H
#define SYSTEM_PAGING_H

#include "system.h"

enum paging { PAGING_32, PAGING_PAE, PAGING_4_LEVEL };

/* Bits of an entry. */
#define PAGE_P        1
#define PAGE_W        2
#define PAGE_U        4
#define PAGE_ACCESSED (1u << 5)
#define PAGE_DIRTY    (1u << 6)
#define PAGE_PS       (1u << 7)
#define PAGE_GLOBAL   (1u << 8)
#define PAGE_XD       (UINT64_C(1) << 63)

/* Levels: 1 the page table, 2 the page directory, 3 the page-directory-pointer table, 4 the PML4.
 */
enum { LEVEL_PT = 1, LEVEL_PD, LEVEL_PDPT, LEVEL_PML4, LEVELS };

/* The lower half of the page under test's linear address; 4-level paging has it in the second
 * 512 GiB.  It begins a page of each size. */
#define UNDER_TEST 0xc1000000u
/* Frames for it, of every size: a page of 1 GiB begins below FRAME_A. */
#define FRAME_A 0x1000000u
#define FRAME_B 0x1400000u

uint64_t under_test(enum paging paging);

/* Builds the tables, with an absent page under test, and turns paging on (or leaves the rig's
 * tables for these).  The mode must be that of the guest: PAGING_4_LEVEL in long mode only. */
void paging_begin(enum paging paging);
/* Back to the rig's tables, or to none. */
void paging_end(void);
/* May CPL 3 reach the snippets and its stack, or (under SMEP) CPL 0 the snippets? */
void paging_lends(bool to_user);

/* The page under test's entry of a level.  No TLB is told of it. */
void entry_set(enum paging paging, unsigned level, uint64_t value);
uint64_t entry_get(enum paging paging, unsigned level);
/* The address in an entry: of the table below, or of the frame if it is the leaf. */
uint32_t entry_address(unsigned level, bool leaf);

static inline void flush_tlb(void)
{
    write_cr3(read_cr3());
}

#endif
