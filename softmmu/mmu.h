/* The shadow MMU of one vCPU: guest walk (VPN→PPN), pmap (PPN→MPN), and the composed cache
 * (VPN→MPN, the shadow) that running code looks into.
 *
 * The soft tier of the shadow is a direct-mapped array of entries per view.  A view is a privilege:
 * user, supervisor, and supervisor with SMAP lifted.  Each entry has a tag for reads, writes and
 * execution apart; a tag is the page's linear address when the access may go straight to memory,
 * and shadow_no() otherwise.  A hit is: tag == (address of the access's last byte & PAGE_MASK),
 * which also sends every page-crossing access to the slow path, since the neighbour page has
 * another index; or, in translated code, the same as: address of the first byte - tag <= PAGE_BYTES
 * - size.
 *
 * INV-1: an entry's tag grants only what a fresh walk would grant now (A and D bits already set).
 * INV-2: a page that holds decoded code, or that is watched by a debug register, has no write tag
 *        (watched: no tag at all).
 * INV-3: only pages that are RAM (read, write, execute) or ROM (read, execute) have tags.
 * Flush rules: SDM 3A §4.10.
 */
#ifndef SOFTMMU_MMU_H
#define SOFTMMU_MMU_H

#include "base/bits.h"
#include "base/types.h"
#include "softmmu/physmem.h"

#include <stdio.h>

enum { SHADOW_ENTRIES = 4096, SHADOW_SPACES = 8, FETCHED_BITS = 16384, FETCHED_LARGE_BITS = 1024 };

#define SHADOW_NO UINT64_C(1) /* no page address has this bit */

/* A tag that grants nothing: in a page that is not canonical, of another slot, and not the page
 * before this slot's, so that no address less this tag is below PAGE_BYTES. */
static inline uint64_t shadow_no(unsigned slot)
{
    return BIT(63) | (uint64_t)(slot ^ 2) << PAGE_SHIFT | SHADOW_NO;
}

struct shadow_entry {
    uint64_t read_tag, write_tag;
    uintptr_t addend; /* host address = addend + linear address */
    uintptr_t page;   /* host address of the page */
};

enum shadow_view_id {
    VIEW_USER,
    VIEW_SUPERVISOR,
    VIEW_SUPERVISOR_AC, /* supervisor with EFLAGS.AC set under CR4.SMAP */
    SHADOW_VIEWS
};

static inline struct shadow_entry shadow_entry_none(unsigned slot)
{
    return (struct shadow_entry){shadow_no(slot), shadow_no(slot), 0, 0};
}

/* What the shadow knows of an entry beside its tags. */
struct shadow_info {
    uint64_t page; /* linear, or SHADOW_NO: the slot is empty */
    uint64_t execute_tag;
    uint64_t ppn;
    uint8_t rights;     /* 1 << enum mmu_access, as the guest walk granted them */
    uint8_t page_shift; /* of the guest's page: 12, 21, 22 or 30 */
    bool global;
    uint8_t listed; /* 1: in local[], 2: in global[] */
};

struct shadow_view {
    struct shadow_entry entries[SHADOW_ENTRIES];
    struct shadow_info info[SHADOW_ENTRIES];
    /* Slots filled since the last flush, so that a flush costs what was filled. */
    uint16_t local[SHADOW_ENTRIES], global[SHADOW_ENTRIES];
    unsigned local_count, global_count;
    /* The linear range that holds every entry of a large page: INVLPG outside it looks at one
     * slot. */
    uint64_t large_low, large_high;
};

/* Pages fetched from since what fetches found may last have changed: of 4 KiB, by two hashes each,
 * and the 2 MiB that a large page lies in, by one. */
struct fetched_pages {
    uint64_t pages[FETCHED_BITS / 64], large[FETCHED_LARGE_BITS / 64];
};

/* The shadow of one guest address space: one for each PCID in recent use. */
struct shadow_space {
    struct shadow_view *views[SHADOW_VIEWS]; /* allocated on first use */
    uint16_t pcid;
    bool valid;
    uint64_t last_used;
    uint64_t generation;          /* moves with every flush: see struct mmu */
    struct fetched_pages fetched; /* that are not global */
};

enum mmu_access { ACCESS_READ, ACCESS_WRITE, ACCESS_EXECUTE };

/* #PF error code bits (SDM 3A §4.7). */
enum {
    PF_PRESENT = 1,
    PF_WRITE = 2,
    PF_USER = 4,
    PF_RESERVED = 8,
    PF_FETCH = 16,
};

/* The registers that steer the guest walk; the CPU keeps them current through mmu_set_*(). */
struct mmu_registers {
    uint64_t cr0, cr3, cr4, efer;
    uint64_t pdpte[4];          /* loaded by MOV CR3 etc. under PAE */
    uint8_t physical_bits;      /* MAXPHYADDR */
    bool gigabyte_pages, pse36; /* as CPUID offers */
};

struct mmu {
    struct mmu_registers registers;
    struct physmem *physmem;
    uint64_t a20_mask; /* physical addresses are ANDed with it */
    struct shadow_space spaces[SHADOW_SPACES];
    struct shadow_space *space; /* the current one */
    uint64_t use_counter;
    /* What instruction fetches found stays true while these do not move: fetch_generation (the
     * present space's, and never the same for two) for any page, global_generation for global
     * pages, whatever the space. */
    uint64_t fetch_generation, global_generation, generations;
    struct fetched_pages fetched; /* global ones */
    /* Is any byte of the page of `gva` watched (for what kind of access does not matter)? */
    bool (*page_is_watched)(void *opaque, gva_t page);
    /* windows_open() of softmmu/window.h has another answer than before; may be NULL. */
    void (*windows_changed)(void *opaque);
    void *opaque;
    struct windows *windows; /* the window tier, by view; NULL: none */
    /* By RAM page: has an entry ever been filled for it / with a write tag?  Spares the search. */
    uint64_t *seen, *seen_written;
    struct {
        uint64_t fills, walks, flushes, flushed_entries, space_switches;
    } count;
};

/* What a guest walk found. */
struct translation {
    gpa_t gpa;                           /* after the A20 mask */
    uint64_t page_bytes;                 /* of the guest's page: 4 KiB .. 1 GiB */
    bool readable, writable, executable; /* for the view asked; writable only if D is set or was */
    bool global;
};

/* Paging off, an empty shadow.  Negative errno when out of memory. */
int mmu_init(struct mmu *mmu, struct physmem *physmem);
void mmu_free(struct mmu *mmu);

/* Walks the guest's tables for one byte at `gva`: true, and A (and D for a write) set in the
 * tables; or false and *error_code, and nothing changed but A bits above the failing level's.
 * `user` is the privilege of the access; `ac` lifts SMAP.  Pure rights check and walk: does not
 * look into or fill the shadow. */
must_check bool mmu_walk(struct mmu *mmu, gva_t gva, enum mmu_access access, bool user, bool ac,
                         struct translation *found, uint32_t *error_code);
/* The same without touching A and D or counting: for the monitor and the debugger. */
bool mmu_probe(struct mmu *mmu, gva_t gva, struct translation *found);
/* What code may do without a walk that sets A or D, for page after page: neighbours cost little,
 * since the last page table is kept.  To be begun anew, with MMU_GRANTED(mmu, view), when the guest
 * has run or a register has changed. */
struct mmu_granted {
    struct mmu *mmu;
    enum shadow_view_id view;
    uint64_t stretch; /* linear >> shift of what the table maps */
    uint64_t table, rights, must_be_0;
    unsigned shift, entry_bytes;
};
#define MMU_GRANTED(of, by)                                                                        \
    ((struct mmu_granted){.mmu = (of), .view = (by), .stretch = UINT64_MAX, .shift = 21})
/* True if code of that view may read at `gva` and all A bits are set; then *found is what
 * mmu_walk() would find for a read.  Changes nothing of the guest's, counts nothing. */
bool mmu_granted(struct mmu_granted *granted, gva_t gva, struct translation *found);
/* mmu_probe, level by level, as "info mem VA" prints it: VPN→PPN→MPN and where it is cached. */
void mmu_describe(struct mmu *mmu, gva_t gva, FILE *out);

/* Translates through the shadow's view, walking and filling on a miss.  On success *found is what
 * the access reaches (RAM, ROM or device); on failure *error_code is the #PF code. */
must_check bool mmu_translate(struct mmu *mmu, enum shadow_view_id view, gva_t gva,
                              enum mmu_access access, struct translation *found,
                              uint32_t *error_code);

/* The view's entries, allocated if need be: what cpu->view points to; stays valid for the life of
 * the mmu, but stops being the current one when the space changes. */
struct shadow_view *mmu_view(struct mmu *mmu, enum shadow_view_id view);

/* Each applies the exact flush of the SDM.  The caller re-fetches its view afterwards. */
void mmu_set_cr0(struct mmu *mmu, uint64_t cr0);
/* `keep` is bit 63 of the source under CR4.PCIDE. */
void mmu_set_cr3(struct mmu *mmu, uint64_t cr3, bool keep);
void mmu_set_cr4(struct mmu *mmu, uint64_t cr4);
void mmu_set_efer(struct mmu *mmu, uint64_t efer);
/* Reads the four PDPTEs at `cr3` for PAE; false when a reserved bit is set in a present one. */
must_check bool mmu_load_pdptes(struct mmu *mmu, uint64_t cr3);
void mmu_set_a20(struct mmu *mmu, bool enabled);
void mmu_invlpg(struct mmu *mmu, gva_t gva);
/* INVPCID types 0..3 (SDM 2A): individual address, single context, all with globals, all but. */
void mmu_invpcid(struct mmu *mmu, unsigned type, uint16_t pcid, gva_t gva);
/* Everything, globals too: reset, snapshot load, debug-register changes. */
void mmu_flush_all(struct mmu *mmu);
/* Code is being fetched from `gva`, where a walk found *found. */
void mmu_note_fetch(struct mmu *mmu, gva_t gva, const struct translation *found);
/* Whatever fetches found may not be true any more. */
void mmu_forget_fetches(struct mmu *mmu);
/* Drops every entry whose PPN lies in the range (from physmem's page_changed). */
void mmu_flush_pages(struct mmu *mmu, ppn_t first, uint64_t count);
/* Takes the write tag from every entry of the page (it now holds code: INV-2). */
void mmu_protect_code(struct mmu *mmu, ppn_t ppn);

#endif
