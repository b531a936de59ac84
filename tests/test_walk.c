/* softmmu/walk: random page tables in every paging mode against a model written out longhand. */
#include "tests/mmu_rig.h"

enum { WALK_PAGES = 96, ROUNDS = 600, ACCESSES = 1500 };

static bool one_in(unsigned n)
{
    return random64() % n == 0;
}

struct answer {
    bool ok;
    uint32_t error;
    uint64_t physical;
};

/* The SDM's rules for one access, mode by mode, with nothing shared with the code under test. */
static struct answer model(uint64_t linear, enum mmu_access access, bool user, bool ac)
{
    const struct mmu_registers *r = &mmu.registers;
    struct answer answer = {0};
    bool nxe = r->efer & EFER_NXE, write = access == ACCESS_WRITE, fetch = access == ACCESS_EXECUTE;
    uint32_t base_error = (write ? 2 : 0) | (user ? 4 : 0) |
                          (fetch && (r->cr4 & CR4_SMEP || (r->cr4 & CR4_PAE && nxe)) ? 16 : 0);
    if (!(r->cr0 & CR0_PG)) {
        answer.ok = true;
        answer.physical = (uint32_t)linear;
        return answer;
    }
    uint64_t e[4];
    unsigned n = 0, levels, size = r->cr4 & CR4_PAE ? 8 : 4;
    unsigned shifts[4];
    uint64_t table;
    unsigned maxphy = r->physical_bits;
    if (r->efer & EFER_LMA) {
        levels = 4;
        shifts[0] = 39, shifts[1] = 30, shifts[2] = 21, shifts[3] = 12;
        table = r->cr3 & 0x000ffffffffff000;
    } else if (r->cr4 & CR4_PAE) {
        if (!(r->pdpte[linear >> 30 & 3] & P)) {
            answer.error = base_error;
            return answer;
        }
        levels = 2;
        shifts[0] = 21, shifts[1] = 12;
        table = r->pdpte[linear >> 30 & 3] & 0x000ffffffffff000;
    } else {
        levels = 2;
        shifts[0] = 22, shifts[1] = 12;
        table = r->cr3 & 0xfffff000;
    }
    unsigned page_shift = 12;
    for (n = 0; n < levels; n++) {
        unsigned mask = size == 8 ? 511 : 1023;
        e[n] = peek(table + (linear >> shifts[n] & mask) * size, size);
        if (!(e[n] & P)) {
            answer.error = base_error;
            return answer;
        }
        bool reserved = false, leaf = n == levels - 1;
        if (size == 8) {
            for (unsigned bit = maxphy; bit < (r->efer & EFER_LMA ? 52u : 63u); bit++)
                reserved |= e[n] >> bit & 1;
            reserved |= e[n] & NX && !nxe;
            if (shifts[n] == 39)
                reserved |= (e[n] & PS) != 0;
            if (shifts[n] == 30 && e[n] & PS) {
                reserved |= !r->gigabyte_pages || (e[n] & 0x3fffe000) != 0;
                leaf = true;
            }
            if (shifts[n] == 21 && e[n] & PS) {
                reserved |= (e[n] & 0x1fe000) != 0;
                leaf = true;
            }
        } else if (n == 0 && e[n] & PS && r->cr4 & CR4_PSE) {
            leaf = true;
            unsigned high = r->pse36 ? (maxphy > 40 ? 40 : maxphy) - 32 : 0;
            for (unsigned bit = 13 + high; bit <= 21; bit++)
                reserved |= e[n] >> bit & 1;
        }
        if (reserved) {
            answer.error = base_error | 9;
            return answer;
        }
        if (leaf) {
            page_shift = shifts[n];
            n++;
            break;
        }
        table = e[n] & (size == 8 ? 0x000ffffffffff000 : 0xfffff000);
    }
    bool user_page = true, writable = true, no_execute = false;
    for (unsigned i = 0; i < n; i++) {
        user_page &= (e[i] & U) != 0;
        writable &= (e[i] & W) != 0;
        no_execute |= size == 8 && (e[i] & NX);
    }
    bool ok;
    if (user)
        ok = user_page && (!write || writable) && (!fetch || !no_execute);
    else if (fetch)
        ok = !no_execute && !(user_page && r->cr4 & CR4_SMEP);
    else
        ok = !(user_page && r->cr4 & CR4_SMAP && !ac) && (!write || writable || !(r->cr0 & CR0_WP));
    answer.error = ok ? 0 : base_error | 1;
    answer.ok = ok;
    uint64_t last = e[n - 1], mask = BIT(page_shift) - 1;
    if (size == 4 && page_shift == 22)
        answer.physical =
            (last & 0xffc00000) | (r->pse36 ? (last >> 13 & 0xff) << 32 : 0) | (linear & mask);
    else
        answer.physical = (last & 0x000ffffffffff000 & ~mask) | (linear & mask);
    return answer;
}

static uint64_t random_entry(bool wide)
{
    uint64_t frame = random64() % WALK_PAGES << 12;
    uint64_t entry = frame | (random64() & (W | U | G | A | D | 0x18 | 0xe00));
    if (!one_in(8))
        entry |= P;
    if (one_in(4))
        entry |= W | U;
    if (one_in(6))
        entry = (entry & ~UINT64_C(0x1fe000)) | PS;
    if (wide && one_in(6))
        entry |= NX;
    if (wide && one_in(40))
        entry |= BIT(36 + random64() % 27);
    return entry;
}

static void random_machine(void)
{
    struct mmu_registers *r = &mmu.registers;
    unsigned mode = random64() % 4; /* off, 32-bit, CR4_PAE, 4-level */
    r->cr0 = (mode ? CR0_PG : 0) | (one_in(2) ? CR0_WP : 0) | CR0_PE;
    r->cr4 = (one_in(2) ? CR4_PSE : 0) | (one_in(2) ? CR4_PGE : 0) | (one_in(3) ? CR4_SMEP : 0) |
             (one_in(3) ? CR4_SMAP : 0) | (mode >= 2 ? CR4_PAE : 0);
    r->efer = (mode == 3 ? EFER_LMA : 0) | (one_in(2) ? EFER_NXE : 0);
    r->physical_bits = 36 + random64() % 17;
    r->gigabyte_pages = one_in(2);
    r->pse36 = one_in(2);
    for (uint64_t page = 0; page < WALK_PAGES; page++)
        for (unsigned i = 0; i < 512; i++) {
            uint64_t entry = random_entry(mode != 1);
            if (mode == 1)
                entry = (uint32_t)entry | random_entry(false) << 32;
            physmem_write(&physmem, GPA(page << 12 | i * 8), &entry, 8);
        }
    r->cr3 = random64() % WALK_PAGES << 12;
    for (unsigned i = 0; i < 4; i++)
        r->pdpte[i] = (random64() % WALK_PAGES << 12) | (one_in(5) ? 0 : P);
}

static uint64_t random_linear(void)
{
    uint64_t linear = random64();
    return mmu.registers.efer & EFER_LMA ? (uint64_t)bits_sign_extend(linear, 48)
                                         : (uint32_t)linear;
}

static void setup(void)
{
    mmu_rig_ram(WALK_PAGES);
}

Test(walk, agrees_with_the_model, .init = setup)
{
    dice.state = 0x1234567;
    unsigned allowed = 0, refused = 0, reserved = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        random_machine();
        for (unsigned i = 0; i < ACCESSES; i++) {
            uint64_t linear = random_linear();
            enum mmu_access access = random64() % 3;
            bool user = one_in(2), ac = one_in(2);
            struct translation found;
            uint32_t error = 0;
            struct answer expected = model(linear, access, user, ac);
            bool ok = mmu_walk(&mmu, GVA(linear), access, user, ac, &found, &error);
            cr_assert_eq(ok, expected.ok,
                         "round %u access %u: linear %llx %s by %s: %d, the model says %d", round,
                         i, (unsigned long long)linear,
                         access == ACCESS_READ    ? "read"
                         : access == ACCESS_WRITE ? "write"
                                                  : "fetch",
                         user ? "user" : "supervisor", ok, expected.ok);
            if (ok)
                cr_assert_eq(found.gpa.v, expected.physical, "round %u access %u: %llx for %llx",
                             round, i, (unsigned long long)found.gpa.v,
                             (unsigned long long)expected.physical);
            else
                cr_assert_eq(error, expected.error, "round %u access %u: code %x for %x", round, i,
                             error, expected.error);
            allowed += ok;
            refused += !ok;
            reserved += !ok && error & PF_RESERVED;
        }
    }
    cr_assert(allowed > 50000 && refused > 50000 && reserved > 5000, "%u %u %u", allowed, refused,
              reserved);
}

/* 4-level tables at pages 1..4 that map linear 0 to page 5. */
static uint64_t *chain(uint64_t leaf_flags)
{
    struct mmu_registers *r = &mmu.registers;
    r->cr0 = CR0_PG | CR0_WP | 1;
    r->cr4 = CR4_PAE;
    r->efer = EFER_LMA | EFER_NXE;
    r->cr3 = 1 << 12;
    for (uint64_t level = 1; level <= 4; level++) {
        uint64_t entry = (level + 1) << 12 | P | W | U;
        if (level == 4)
            entry = 5 << 12 | leaf_flags;
        physmem_write(&physmem, GPA(level << 12), &entry, 8);
    }
    return (uint64_t *)(void *)physmem_page_write(&physmem, PPN(4), NULL);
}

Test(walk, sets_accessed_and_dirty_only_when_allowed, .init = setup)
{
    struct translation found;
    uint32_t error;
    uint64_t *leaf = chain(P | U);
    cr_assert(!mmu_walk(&mmu, GVA(0), ACCESS_WRITE, true, false, &found, &error));
    cr_assert_eq(*leaf & (A | D), 0);
    cr_assert_eq(peek(0x1000, 8) & A, 0);
    cr_assert(mmu_walk(&mmu, GVA(0), ACCESS_READ, true, false, &found, &error));
    cr_assert_eq(*leaf & (A | D), A);
    cr_assert_eq(peek(0x1000, 8) & (A | D), A);
    *leaf |= W;
    cr_assert(mmu_walk(&mmu, GVA(0), ACCESS_READ, true, false, &found, &error));
    cr_assert(!found.writable, "without D the first write must be seen");
    cr_assert(mmu_walk(&mmu, GVA(0), ACCESS_WRITE, true, false, &found, &error));
    cr_assert_eq(*leaf & (A | D), A | D);
    cr_assert(found.writable);
}

Test(walk, a20_wraps_physical_addresses, .init = setup)
{
    struct translation found;
    uint32_t error;
    mmu.registers.cr0 = 1;
    mmu_set_a20(&mmu, false);
    cr_assert(mmu_walk(&mmu, GVA(0x100123), ACCESS_READ, false, false, &found, &error));
    cr_assert_eq(found.gpa.v, 0x123);
}

Test(walk, pdptes_with_reserved_bits_are_refused, .init = setup)
{
    mmu.registers.physical_bits = 40;
    uint64_t table[4] = {0x1000 | P, 0x2000 | P, 0, 0x3000 | P};
    physmem_write(&physmem, GPA(0x5020), table, sizeof table);
    cr_assert(mmu_load_pdptes(&mmu, 0x5020));
    cr_assert_eq(mmu.registers.pdpte[3], 0x3000 | P);
    static const uint64_t bad[] = {W, U, PS, G, BIT(5), BIT(40), BIT(62), NX};
    for (unsigned i = 0; i < ARRAY_LENGTH(bad); i++) {
        uint64_t entry = 0x7000 | P | bad[i];
        physmem_write(&physmem, GPA(0x5028), &entry, 8);
        cr_assert(!mmu_load_pdptes(&mmu, 0x5020), "bit %u", i);
        entry &= ~P;
        physmem_write(&physmem, GPA(0x5028), &entry, 8);
        cr_assert(mmu_load_pdptes(&mmu, 0x5020), "not present, bit %u", i);
    }
}
