/* softmmu/shadow: what is cached never grants more than a fresh walk, flushes are exact, and pages
 * that hold code or are watched take no direct writes. */
#include "tests/mmu_rig.h"

static void setup(void)
{
    mmu_rig_ram(RAM_PAGES);
    mmu_rig_paging();
}

static const struct shadow_entry *entry_of(uint64_t linear)
{
    return &mmu_view(&mmu, VIEW_USER)->entries[linear >> 12 & (SHADOW_ENTRIES - 1)];
}

static bool is_cached(uint64_t linear)
{
    return mmu_view(&mmu, VIEW_USER)->info[linear >> 12 & (SHADOW_ENTRIES - 1)].page ==
           (linear & PAGE_MASK);
}

Test(shadow, first_write_takes_a_frame_and_reads_follow, .init = setup)
{
    cr_assert(touch(0x6123, ACCESS_READ));
    cr_assert_eq(physmem_mpn(&physmem, PPN(64 + 6)).v, FRAMES_ZERO.v);
    cr_assert_eq(entry_of(0x6000)->read_tag, 0x6000);
    cr_assert(entry_of(0x6000)->write_tag & SHADOW_NO, "the zero page is never written");
    cr_assert(touch(0x6123, ACCESS_WRITE));
    cr_assert_neq(physmem_mpn(&physmem, PPN(64 + 6)).v, FRAMES_ZERO.v);
    cr_assert_eq(entry_of(0x6000)->write_tag, 0x6000);
    *(uint8_t *)(entry_of(0x6000)->addend + 0x6123) = 0x5a;
    uint8_t byte;
    physmem_read(&physmem, GPA((64 + 6) << 12 | 0x123), &byte, 1);
    cr_assert_eq(byte, 0x5a);
}

Test(shadow, cr3_loads_spare_global_pages, .init = setup)
{
    cr_assert(touch(0x2000, ACCESS_READ) && touch(0x3000, ACCESS_READ));
    mmu_set_cr3(&mmu, 0x8000, false);
    cr_assert(!is_cached(0x2000));
    cr_assert(is_cached(0x3000));
    mmu_set_cr4(&mmu, CR4_PAE);
    cr_assert(!is_cached(0x3000), "clearing CR4_PGE drops globals");
}

Test(shadow, pcids_keep_their_own, .init = setup)
{
    mmu_set_cr4(&mmu, CR4_PAE | CR4_PGE | CR4_PCIDE);
    mmu_set_cr3(&mmu, 0x1001, false);
    cr_assert(touch(0x2000, ACCESS_READ));
    mmu_set_cr3(&mmu, 0x8002, false);
    cr_assert(!is_cached(0x2000));
    mmu_set_cr3(&mmu, 0x1001, true);
    cr_assert(is_cached(0x2000), "bit 63 keeps what was cached");
    mmu_set_cr3(&mmu, 0x8002, true);
    mmu_invpcid(&mmu, 1, 1, GVA(0));
    mmu_set_cr3(&mmu, 0x1001, true);
    cr_assert(!is_cached(0x2000));
    cr_assert(touch(0x2000, ACCESS_READ));
    for (uint64_t pcid = 10; pcid < 10 + 2 * SHADOW_SPACES; pcid++)
        mmu_set_cr3(&mmu, 0x8000 | pcid, true);
    mmu_set_cr3(&mmu, 0x1001, true);
    cr_assert(touch(0x2000, ACCESS_READ), "an evicted space just walks again");
}

Test(shadow, invlpg_takes_the_whole_large_page, .init = setup)
{
    cr_assert(touch(0x400000, ACCESS_READ) && touch(0x433000, ACCESS_READ));
    cr_assert(touch(0x2000, ACCESS_READ));
    mmu_invlpg(&mmu, GVA(0x512345));
    cr_assert(!is_cached(0x400000) && !is_cached(0x433000));
    cr_assert(is_cached(0x2000));
    mmu_invlpg(&mmu, GVA(0x2fff));
    cr_assert(!is_cached(0x2000));
}

/* Code is fetched from page 2 (local) and page 3 (global). */
static void fetch_both(void)
{
    for (uint64_t linear = 0x2000; linear <= 0x3000; linear += PAGE_BYTES) {
        struct translation found;
        uint32_t error;
        cr_assert(mmu_translate(&mmu, VIEW_USER, GVA(linear), ACCESS_EXECUTE, &found, &error));
        cr_assert_eq(found.global, linear == 0x3000);
        mmu_note_fetch(&mmu, GVA(linear), &found);
    }
}

Test(shadow, invlpg_of_a_local_page_spares_what_global_fetches_found, .init = setup)
{
    uint64_t local = mmu.fetch_generation, global = mmu.global_generation;
    fetch_both();
    mmu_invlpg(&mmu, GVA(0x5000)); /* nothing was fetched there */
    cr_assert(mmu.fetch_generation == local && mmu.global_generation == global);
    mmu_invlpg(&mmu, GVA(0x2123));
    cr_assert(mmu.fetch_generation != local && mmu.global_generation == global);
    local = mmu.fetch_generation;
    mmu_invlpg(&mmu, GVA(0x2123)); /* nothing was, since */
    cr_assert(mmu.fetch_generation == local);
    fetch_both();
    mmu_invlpg(&mmu, GVA(0x3123));
    cr_assert(mmu.fetch_generation != local && mmu.global_generation != global);
}

Test(shadow, code_pages_take_no_direct_writes, .init = setup)
{
    cr_assert(touch(0x7000, ACCESS_WRITE));
    cr_assert_eq(entry_of(0x7000)->write_tag, 0x7000);
    physmem_mark_code(&physmem, GPA((64 + 7) << 12 | 0x80), 16);
    mmu_protect_code(&mmu, PPN(64 + 7));
    cr_assert(entry_of(0x7000)->write_tag & SHADOW_NO);
    cr_assert(touch(0x7000, ACCESS_WRITE));
    cr_assert(entry_of(0x7000)->write_tag & SHADOW_NO, "also when it is filled afresh");
    physmem_note_write(&physmem, GPA((64 + 7) << 12 | 0x40), 8);
    cr_assert_eq(code_writes, 0, "another 64 bytes of the page");
    physmem_note_write(&physmem, GPA((64 + 7) << 12 | 0x7c), 8);
    cr_assert_eq(code_writes, 1);
    cr_assert(touch(0x7000, ACCESS_WRITE));
    cr_assert_eq(entry_of(0x7000)->write_tag, 0x7000, "the code is gone");
}

Test(shadow, watched_pages_are_never_direct, .init = setup)
{
    watched_page = 0x9000;
    cr_assert(touch(0x9000, ACCESS_WRITE));
    cr_assert(entry_of(0x9000)->read_tag & entry_of(0x9000)->write_tag & SHADOW_NO);
}

/* INV-1 for every entry of every view. */
static void check_all_entries(unsigned step)
{
    for (unsigned id = 0; id < SHADOW_VIEWS; id++) {
        const struct shadow_view *view = mmu_view(&mmu, id);
        for (unsigned slot = 0; slot < SHADOW_ENTRIES; slot++) {
            const struct shadow_entry *entry = &view->entries[slot];
            const uint64_t tags[3] = {entry->read_tag, entry->write_tag,
                                      view->info[slot].execute_tag};
            for (unsigned access = 0; access < 3; access++) {
                if (tags[access] & SHADOW_NO)
                    continue;
                struct translation found;
                uint32_t error;
                cr_assert(mmu_walk(&mmu, GVA(tags[access]), access, id == VIEW_USER,
                                   id == VIEW_SUPERVISOR_AC, &found, &error),
                          "step %u: view %u grants %u of %llx", step, id, access,
                          (unsigned long long)tags[access]);
                const uint8_t *host = physmem_page_read(&physmem, gpa_ppn(found.gpa));
                cr_assert_eq(entry->addend + tags[access], (uintptr_t)host,
                             "step %u: view %u reaches another frame", step, id);
            }
        }
    }
}

Test(shadow, random_operations_never_leave_a_stale_right, .init = setup)
{
    static const uint64_t roots[] = {0x1000, 0x8000};
    for (unsigned step = 0; step < 60000; step++) {
        uint64_t n = random64() % PAGES_USED, linear = n << 12;
        switch (random64() % 16) {
        case 0: /* the guest changes a PTE and invalidates the page */
            poke(0x4000 + 8 * n, (64 + random64() % 128) << 12 |
                                     (random64() & (P | W | U | G | A | D)) |
                                     (random64() % 8 ? P : 0));
            mmu_invlpg(&mmu, GVA(linear));
            break;
        case 1: /* … several, none global, and reloads CR3 */
            for (unsigned i = 0; i < 8; i++) {
                const uint64_t place = 0x4000 + 8 * (random64() % PAGES_USED);
                if (!(peek(place, 8) & G))
                    poke(place, (64 + random64() % 128) << 12 | (random64() & (W | U | D)) | P);
            }
            mmu_set_cr3(&mmu, roots[random64() % 2], false);
            break;
        case 2: /* a large page becomes another */
            poke(0x3010, (random64() % 2 ? 0x200000 : 0) | (random64() & (W | U | D)) | P | PS);
            mmu_invlpg(&mmu, GVA(0x400000 + (random64() & 0x1fffff)));
            break;
        case 3:
            mmu_set_cr0(&mmu, mmu.registers.cr0 ^ BIT(16));
            break;
        case 4:
            mmu_set_cr4(&mmu, mmu.registers.cr4 ^ (random64() % 2 ? BIT(20) : BIT(21)));
            break;
        case 5: { /* DMA */
            uint64_t value = random64();
            physmem_write(&physmem, GPA((64 + random64() % 128) << 12), &value, 8);
            break;
        }
        default:
            if (random64() % 4 == 0)
                linear = 0x400000 + (random64() & 0x1ff000);
            struct translation found;
            uint32_t error;
            (void)!mmu_translate(&mmu, random64() % SHADOW_VIEWS, GVA(linear), random64() % 3,
                                 &found, &error);
        }
        if (step % 500 == 0)
            check_all_entries(step);
    }
}

Test(frames, the_budget_is_kept_and_frames_come_back_zeroed)
{
    struct error error;
    cr_assert_eq(frames_init(&frames, 100 * PAGE_BYTES, &error), 0);
    mpn_t taken[100];
    unsigned borders = 0;
    for (unsigned i = 0; i < 100; i++) {
        taken[i] = frames_take(&frames);
        cr_assert(taken[i].v != MPN_NONE.v && taken[i].v != FRAMES_ZERO.v);
        memset(frames_host(&frames, taken[i]), 0xee, PAGE_BYTES);
        borders += i && taken[i].v != taken[i - 1].v + 1;
    }
    cr_assert_eq(borders, 100 / FRAMES_RUN, "runs of frames are scattered on purpose");
    cr_assert_eq(frames_take(&frames).v, MPN_NONE.v);
    frames_hold(&frames, taken[7]);
    frames_drop(&frames, taken[7], 1);
    cr_assert_eq(frames_take(&frames).v, MPN_NONE.v, "still held once");
    frames_drop(&frames, taken[7], 1);
    mpn_t again = frames_take(&frames);
    cr_assert_eq(again.v, taken[7].v);
    for (unsigned i = 0; i < PAGE_BYTES; i++)
        cr_assert_eq(frames_host(&frames, again)[i], 0);
    /* a run, of which one is held */
    const mpn_t run = taken[FRAMES_RUN];
    frames_hold(&frames, MPN(run.v + 3));
    frames_drop(&frames, run, 6);
    cr_assert_eq(frames.used, 100 + 1 - 5);
    cr_assert_eq(*frames_host(&frames, MPN(run.v + 3)), 0xee);
    for (unsigned i = 0; i < 5; i++) {
        again = frames_take(&frames);
        cr_assert(again.v - run.v < 6 && again.v != run.v + 3);
        cr_assert_eq(*frames_host(&frames, again), 0);
    }
    cr_assert_eq(frames_take(&frames).v, MPN_NONE.v);
    frames_free(&frames);
}
