/* The guest walk: VPN→PPN through the guest's own page tables.
 *
 * One description of a paging mode (its levels, index widths, entry size, reserved bits) serves one
 * walking loop.  Rights are checked once, at the end; A and D bits are set only when the access is
 * allowed.  Sources: SDM 3A §4.3 (32-bit), §4.4 (PAE), §4.5 (4-level), §4.6 (rights), §4.7 (error
 * codes), §4.8 (A and D).
 */
#include "softmmu/mmu.h"

#include "softmmu/control_registers.h"

#define PTE_P  BIT(0)
#define PTE_W  BIT(1)
#define PTE_U  BIT(2)
#define PTE_A  BIT(5)
#define PTE_D  BIT(6)
#define PTE_PS BIT(7)
#define PTE_G  BIT(8)
#define PTE_NX BIT(63)

#define ADDRESS_BITS UINT64_C(0x000ffffffffff000) /* bits 51:12 of an entry */

enum { LEVELS_MAX = 4 };

struct walk {
    struct mmu *mmu;
    uint64_t entries[LEVELS_MAX];
    gpa_t places[LEVELS_MAX];
    unsigned depth;       /* entries read */
    unsigned entry_bytes; /* 4 or 8 */
    unsigned page_shift;
    uint64_t frame;     /* physical address of the page */
    uint64_t rights;    /* PTE_W and PTE_U of all levels ANDed, PTE_NX of all ORed */
    bool reserved;      /* a reserved bit was set */
    uint64_t must_be_0; /* in the entry read last */
};

static uint64_t entry_load(struct walk *walk, gpa_t place)
{
    const uint8_t *page = physmem_page_read(walk->mmu->physmem, gpa_ppn(place));
    if (!page)
        return ~UINT64_C(0); /* LIMIT: tables in device memory read as all ones */
    page += place.v & PAGE_OFFSET_MASK;
    return walk->entry_bytes == 8 ? load_le64(page) : load_le32(page);
}

/* ORs `bits` into the entry at `place`, as the processor's locked update does. */
static void entry_set(struct walk *walk, gpa_t place, uint64_t bits)
{
    uint8_t *page = physmem_page_write(walk->mmu->physmem, gpa_ppn(place), NULL);
    if (!page || physmem_leaves_mark(walk->mmu->physmem, place, (uint8_t)bits))
        return; /* tables in ROM keep their bits */
    __atomic_fetch_or(page + (place.v & PAGE_OFFSET_MASK), (uint8_t)bits, __ATOMIC_RELAXED);
    physmem_note_write(walk->mmu->physmem, place, 1);
}

/* Bits of an entry that must be 0, from `top` down to MAXPHYADDR. */
static uint64_t reserved_address(const struct mmu *mmu, unsigned top)
{
    unsigned bits = mmu->registers.physical_bits;
    return bits > top ? 0 : bits_field(~UINT64_C(0), 0, top + 1) & ~(BIT(bits) - 1);
}

/* Reads the entry of one level; false when it is not present. */
static bool walk_level(struct walk *walk, uint64_t table, unsigned index, uint64_t reserved)
{
    gpa_t place = GPA((table + index * walk->entry_bytes) & walk->mmu->a20_mask);
    uint64_t entry = entry_load(walk, place);
    walk->entries[walk->depth] = entry;
    walk->places[walk->depth++] = place;
    walk->must_be_0 = reserved;
    if (!(entry & PTE_P))
        return false;
    walk->reserved |= (entry & reserved) != 0;
    walk->rights = (walk->rights & entry & (PTE_W | PTE_U)) | ((walk->rights | entry) & PTE_NX);
    return !walk->reserved;
}

/* 32-bit paging: two levels of 4-byte entries, 4 MiB pages under CR4.PSE (SDM 3A §4.3). */
static bool walk_32bit(struct walk *walk, uint64_t linear)
{
    const struct mmu_registers *r = &walk->mmu->registers;
    walk->entry_bytes = 4;
    if (!walk_level(walk, r->cr3 & 0xfffff000, linear >> 22 & 0x3ff, 0))
        return false;
    uint64_t pde = walk->entries[0];
    if (pde & PTE_PS && r->cr4 & CR4_PSE) {
        unsigned high_bits = !r->pse36 ? 0 : r->physical_bits > 40 ? 8 : r->physical_bits - 32;
        walk->page_shift = 22;
        walk->frame = (pde & 0xffc00000) | bits_field(pde, 13, 9) % BIT(high_bits) << 32;
        walk->reserved = bits_field(pde, 13, 9) >> high_bits != 0;
        return !walk->reserved;
    }
    if (!walk_level(walk, pde & 0xfffff000, linear >> 12 & 0x3ff, 0))
        return false;
    walk->page_shift = 12;
    walk->frame = walk->entries[1] & 0xfffff000;
    return true;
}

/* The two or three lower levels that PAE and 4-level paging share, from the page directory (or the
 * page-directory-pointer table, `shift` 30) at `table`. */
static bool walk_wide(struct walk *walk, uint64_t linear, uint64_t table, unsigned shift,
                      uint64_t reserved)
{
    for (;; shift -= 9) {
        if (!walk_level(walk, table, linear >> shift & 0x1ff, reserved))
            return false;
        uint64_t entry = walk->entries[walk->depth - 1];
        bool large = shift > 12 && entry & PTE_PS;
        if (large && shift == 30 && !walk->mmu->registers.gigabyte_pages) {
            walk->reserved = true;
            return false;
        }
        if (large || shift == 12) {
            uint64_t inside = (BIT(shift) - 1) & ADDRESS_BITS;
            if (large && entry & inside & ~BIT(12)) { /* bit 12 of a large page is PAT */
                walk->reserved = true;
                return false;
            }
            walk->page_shift = shift;
            walk->frame = entry & ADDRESS_BITS & ~inside;
            return true;
        }
        table = entry & ADDRESS_BITS;
    }
}

static bool walk_pae(struct walk *walk, uint64_t linear)
{
    const struct mmu_registers *r = &walk->mmu->registers;
    walk->entry_bytes = 8;
    uint64_t pdpte = r->pdpte[linear >> 30 & 3];
    if (!(pdpte & PTE_P))
        return false;
    uint64_t reserved = reserved_address(walk->mmu, 62) | (r->efer & EFER_NXE ? 0 : PTE_NX);
    return walk_wide(walk, linear, pdpte & ADDRESS_BITS, 21, reserved);
}

static bool walk_4level(struct walk *walk, uint64_t linear)
{
    const struct mmu_registers *r = &walk->mmu->registers;
    walk->entry_bytes = 8;
    uint64_t reserved = reserved_address(walk->mmu, 51) | (r->efer & EFER_NXE ? 0 : PTE_NX);
    return walk_level(walk, r->cr3 & ADDRESS_BITS, linear >> 39 & 0x1ff, reserved | PTE_PS) &&
           walk_wide(walk, linear, walk->entries[0] & ADDRESS_BITS, 30, reserved);
}

static bool walk_tables(struct walk *walk, struct mmu *mmu, uint64_t linear)
{
    *walk = (struct walk){.mmu = mmu, .rights = PTE_W | PTE_U};
    if (mmu->registers.efer & EFER_LMA)
        return walk_4level(walk, linear);
    if (mmu->registers.cr4 & CR4_PAE)
        return walk_pae(walk, linear);
    return walk_32bit(walk, linear);
}

static uint32_t fault_code(const struct mmu *mmu, enum mmu_access access, bool user, uint32_t bits)
{
    const struct mmu_registers *r = &mmu->registers;
    bool fetch_is_told = r->cr4 & CR4_SMEP || (r->cr4 & CR4_PAE && r->efer & EFER_NXE);
    return bits | (access == ACCESS_WRITE ? PF_WRITE : 0) | (user ? PF_USER : 0) |
           (access == ACCESS_EXECUTE && fetch_is_told ? PF_FETCH : 0);
}

/* SDM 3A §4.6.1: what `user` (or supervisor, `ac` lifting SMAP) may do under `rights`. */
static void rights_decide(const struct mmu *mmu, uint64_t rights, bool user, bool ac,
                          struct translation *found)
{
    const struct mmu_registers *r = &mmu->registers;
    bool user_page = rights & PTE_U, writable = rights & PTE_W, no_execute = rights & PTE_NX;
    if (user) {
        found->readable = user_page;
        found->writable = user_page && writable;
        found->executable = user_page && !no_execute;
        return;
    }
    bool smap_forbids = user_page && r->cr4 & CR4_SMAP && !ac;
    found->readable = !smap_forbids;
    found->writable = !smap_forbids && (writable || !(r->cr0 & CR0_WP));
    found->executable = !no_execute && !(user_page && r->cr4 & CR4_SMEP);
}

static void translation_finish(struct translation *found, const struct walk *walk, uint64_t linear)
{
    uint64_t inside = linear & (BIT(walk->page_shift) - 1);
    found->gpa = GPA((walk->frame | inside) & walk->mmu->a20_mask);
    found->page_bytes = BIT(walk->page_shift);
    found->global = walk->mmu->registers.cr4 & CR4_PGE && walk->entries[walk->depth - 1] & PTE_G;
}

static void translation_unpaged(const struct mmu *mmu, uint64_t linear, struct translation *found)
{
    *found = (struct translation){.gpa = GPA((uint32_t)linear & mmu->a20_mask),
                                  .page_bytes = PAGE_BYTES,
                                  .readable = true,
                                  .writable = true,
                                  .executable = true};
}

bool mmu_walk(struct mmu *mmu, gva_t gva, enum mmu_access access, bool user, bool ac,
              struct translation *found, uint32_t *error_code)
{
    if (!(mmu->registers.cr0 & CR0_PG)) {
        translation_unpaged(mmu, gva.v, found);
        return true;
    }
    mmu->count.walks++;
    struct walk walk;
    if (!walk_tables(&walk, mmu, gva.v)) {
        *error_code = fault_code(mmu, access, user, walk.reserved ? PF_PRESENT | PF_RESERVED : 0);
        return false;
    }
    rights_decide(mmu, walk.rights, user, ac, found);
    bool allowed = access == ACCESS_READ    ? found->readable
                   : access == ACCESS_WRITE ? found->writable
                                            : found->executable;
    if (!allowed) {
        *error_code = fault_code(mmu, access, user, PF_PRESENT);
        return false;
    }
    for (unsigned level = 0; level < walk.depth; level++) {
        bool last = level + 1 == walk.depth;
        uint64_t wanted = PTE_A | (last && access == ACCESS_WRITE ? PTE_D : 0);
        if (wanted & ~walk.entries[level])
            entry_set(&walk, walk.places[level], wanted);
    }
    /* Without D the first write must walk again, to set it. */
    if (access != ACCESS_WRITE && !(walk.entries[walk.depth - 1] & PTE_D))
        found->writable = false;
    translation_finish(found, &walk, gva.v);
    return true;
}

bool mmu_probe(struct mmu *mmu, gva_t gva, struct translation *found)
{
    if (!(mmu->registers.cr0 & CR0_PG)) {
        translation_unpaged(mmu, gva.v, found);
        return true;
    }
    struct walk walk;
    if (!walk_tables(&walk, mmu, gva.v))
        return false;
    found->readable = walk.rights & PTE_U;
    found->writable = walk.rights & PTE_W;
    found->executable = !(walk.rights & PTE_NX);
    translation_finish(found, &walk, gva.v);
    return true;
}

static bool walk_accessed(const struct walk *walk, unsigned depth)
{
    uint64_t all = PTE_A;
    for (unsigned level = 0; level < depth; level++)
        all &= walk->entries[level];
    return all;
}

/* Keeps the page table that the walk ended in, if only its entry can differ for a neighbour. */
static void granted_remember(struct mmu_granted *granted, const struct walk *walk, uint64_t linear)
{
    const unsigned upper = walk->depth - 1;
    if (walk->page_shift != PAGE_SHIFT || !walk_accessed(walk, upper))
        return;
    uint64_t rights = PTE_W | PTE_U;
    for (unsigned level = 0; level < upper; level++)
        rights = (rights & walk->entries[level] & (PTE_W | PTE_U)) |
                 ((rights | walk->entries[level]) & PTE_NX);
    granted->table = walk->places[upper].v & PAGE_MASK;
    granted->rights = rights;
    granted->must_be_0 = walk->must_be_0;
    granted->entry_bytes = walk->entry_bytes;
    granted->shift = walk->entry_bytes == 8 ? 21 : 22;
    granted->stretch = linear >> granted->shift;
}

static bool granted_walk(struct mmu_granted *granted, struct walk *walk, uint64_t linear)
{
    if (linear >> granted->shift != granted->stretch) {
        if (!walk_tables(walk, granted->mmu, linear))
            return false;
        granted_remember(granted, walk, linear);
        return true;
    }
    const unsigned entries = PAGE_BYTES / granted->entry_bytes;
    *walk = (struct walk){.mmu = granted->mmu,
                          .rights = granted->rights,
                          .entry_bytes = granted->entry_bytes,
                          .page_shift = PAGE_SHIFT};
    if (!walk_level(walk, granted->table, linear >> PAGE_SHIFT & (entries - 1), granted->must_be_0))
        return false;
    walk->frame = walk->entries[0] & ADDRESS_BITS;
    return true;
}

bool mmu_granted(struct mmu_granted *granted, gva_t gva, struct translation *found)
{
    struct mmu *mmu = granted->mmu;
    if (!(mmu->registers.cr0 & CR0_PG)) {
        translation_unpaged(mmu, gva.v, found);
        return true;
    }
    struct walk walk;
    if (!granted_walk(granted, &walk, gva.v) || !walk_accessed(&walk, walk.depth))
        return false;
    rights_decide(mmu, walk.rights, granted->view == VIEW_USER, granted->view == VIEW_SUPERVISOR_AC,
                  found);
    if (!(walk.entries[walk.depth - 1] & PTE_D))
        found->writable = false;
    translation_finish(found, &walk, gva.v);
    return found->readable;
}

bool mmu_load_pdptes(struct mmu *mmu, uint64_t cr3)
{
    uint64_t pdptes[4];
    gpa_t table = GPA(cr3 & 0xffffffe0 & mmu->a20_mask);
    physmem_read(mmu->physmem, table, pdptes, sizeof pdptes);
    /* SDM 3A §4.4.1: bits 2:1, 8:5 and 63:MAXPHYADDR of a present PDPTE. */
    uint64_t reserved = UINT64_C(0x1e6) | reserved_address(mmu, 63);
    for (unsigned i = 0; i < 4; i++)
        if (pdptes[i] & PTE_P && pdptes[i] & reserved)
            return false;
    memcpy(mmu->registers.pdpte, pdptes, sizeof pdptes);
    return true;
}
