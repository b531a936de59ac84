/* Topic: what TLBs and paging-structure caches may not keep (SDM 3A §4.10).  A page is used, its
 * entries are changed, and the change must be seen after each operation that the manual lists, and
 * without any where nothing can have been cached.
 */
#include "paging.h"

SNIPPET(32, read_32, "mov (%eax), %ecx");
SNIPPET(32, write_32, "mov %ecx, (%eax)");
SNIPPET(32, invlpg_32, "invlpg (%eax)");
SNIPPET(32, invpcid_32, "invpcid (%edx), %ecx");
SNIPPET(64, read_64, "mov (%rax), %ecx");
SNIPPET(64, write_64, "mov %ecx, (%rax)");
SNIPPET(64, invlpg_64, "invlpg (%rax)");
SNIPPET(64, invpcid_64, "invpcid (%rdx), %rcx");

#define CR0_WP   (1u << 16)
#define CR0_PG   (1u << 31)
#define CR4_PGE  (1u << 7)
#define CR4_SMEP (1u << 20)

enum { USABLE = PAGE_P | PAGE_W | PAGE_U, OPERAND = FREE_END - 0x100 };

static const struct mode {
    const char *name;
    enum paging paging;
    unsigned top, leaf;
} modes_32[] =
    {
        {"32-bit paging, 4 KiB", PAGING_32, LEVEL_PD, LEVEL_PT},
        {"32-bit paging, 4 MiB", PAGING_32, LEVEL_PD, LEVEL_PD},
        {"PAE paging, 4 KiB", PAGING_PAE, LEVEL_PDPT, LEVEL_PT},
        {"PAE paging, 2 MiB", PAGING_PAE, LEVEL_PDPT, LEVEL_PD},
},
  modes_64[] = {
      {"4-level paging, 4 KiB", PAGING_4_LEVEL, LEVEL_PML4, LEVEL_PT},
      {"4-level paging, 2 MiB", PAGING_4_LEVEL, LEVEL_PML4, LEVEL_PD},
      {"4-level paging, 1 GiB", PAGING_4_LEVEL, LEVEL_PML4, LEVEL_PDPT},
};
enum {
    MODES_32 = sizeof modes_32 / sizeof modes_32[0],
    MODES_64 = sizeof modes_64 / sizeof modes_64[0]
};

static bool is_64(const struct mode *mode)
{
    return mode->paging == PAGING_4_LEVEL;
}

/* --- the page under test */

static void map(const struct mode *mode, unsigned level, uint32_t frame, uint64_t flags)
{
    entry_set(mode->paging, level, frame | flags | (level > LEVEL_PT ? PAGE_PS : 0));
}

static void map_a(const struct mode *mode, uint64_t flags)
{
    map(mode, mode->leaf, entry_address(mode->leaf, true), flags);
}

/* Another frame.  Behind a page of 1 GiB that is a page of 2 MiB, for there is no other GiB. */
static void map_b(const struct mode *mode, uint64_t flags)
{
    if (mode->leaf == LEVEL_PDPT) {
        map(mode, LEVEL_PD, FRAME_B, flags);
        entry_set(mode->paging, LEVEL_PDPT, entry_address(LEVEL_PDPT, false) | USABLE);
    } else {
        map(mode, mode->leaf, FRAME_B, flags);
    }
}

static void begin(const struct mode *mode)
{
    paging_begin(mode->paging);
    for (unsigned level = mode->leaf + 1; level <= mode->top; level++) {
        bool is_pdpte = mode->paging == PAGING_PAE && level == LEVEL_PDPT;
        entry_set(mode->paging, level, entry_address(level, false) | (is_pdpte ? PAGE_P : USABLE));
    }
    paging_lends(true);
}

/* --- using it: each frame has code and data that tell it apart */

enum use { READS, WRITES, FETCHES, USES };
enum { AT_CODE = 0, AT_DATA = 0x40, AT_WRITTEN = 0x80, WRITTEN = 0x77 };
static const char *const use_names[] = {"read", "written", "executed"};

static void fill_frames(void)
{
    for (uint32_t n = 1; n <= 2; n++) {
        uint32_t frame = n == 1 ? FRAME_A : FRAME_B;
        *qword_at(frame + AT_CODE) = UINT64_C(0x0b0f00000000b9) | n << 8; /* mov $n, %ecx; ud2 */
        *dword_at(frame + AT_DATA) = n;
        *dword_at(frame + AT_WRITTEN) = 0;
    }
}

/* Which frame a use reaches: 1 FRAME_A, 2 FRAME_B, 0 none (#PF). */
static unsigned reached(const struct mode *mode, enum use use, unsigned cpl)
{
    static const struct snippet *const snippets[][2] = {{&read_32, &read_64},
                                                        {&write_32, &write_64}};
    const struct snippet *snippet = snippets[use == WRITES][is_64(mode)];
    struct state start = start_at(snippet, cpl);

    fill_frames();
    start.gpr[RAX] = under_test(mode->paging) + (use == WRITES ? AT_WRITTEN : AT_DATA);
    start.gpr[RCX] = WRITTEN;
    if (use == FETCHES)
        start.ip = under_test(mode->paging) + AT_CODE;
    struct state end = attempt(&start);
    if (end.vector != VECTOR_UD)
        return 0;
    if (use != WRITES)
        return (unsigned)end.gpr[RCX];
    return (*dword_at(FRAME_A + AT_WRITTEN) == WRITTEN ? 1 : 0) |
           (*dword_at(FRAME_B + AT_WRITTEN) == WRITTEN ? 2 : 0);
}

/* --- what invalidates */

static void invlpg_at(const struct mode *mode, uint64_t address)
{
    struct state start = start_at(is_64(mode) ? &invlpg_64 : &invlpg_32, 0);

    start.gpr[RAX] = address;
    attempt(&start);
}

static void invlpg(const struct mode *mode)
{
    invlpg_at(mode, under_test(mode->paging) + 0xfff);
}

static void invlpg_within(const struct mode *mode)
{
    uint32_t inside = mode->leaf == LEVEL_PT ? 0 : mode->leaf == LEVEL_PD ? 0x1ff000 : 0x3eff000;

    invlpg_at(mode, under_test(mode->paging) + inside);
}

static void load_cr3(const struct mode *mode)
{
    (void)mode;
    flush_tlb();
}

static void toggle_pge(const struct mode *mode)
{
    (void)mode;
    write_cr4(read_cr4() ^ CR4_PGE);
    write_cr4(read_cr4() ^ CR4_PGE);
}

static void set_smep(const struct mode *mode)
{
    (void)mode;
    write_cr4(read_cr4() | CR4_SMEP);
    write_cr4(read_cr4() & ~CR4_SMEP);
}

static void toggle_paging(const struct mode *mode)
{
    (void)mode;
    write_cr0(read_cr0() & ~CR0_PG);
    write_cr0(read_cr0() | CR0_PG);
}

static void invpcid(const struct mode *mode, unsigned type)
{
    struct state start = start_at(is_64(mode) ? &invpcid_64 : &invpcid_32, 0);

    qword_at(OPERAND)[0] = 0; /* the PCID without CR4.PCIDE */
    qword_at(OPERAND)[1] = under_test(mode->paging);
    start.gpr[RCX] = type;
    start.gpr[RDX] = OPERAND;
    attempt(&start);
}

static void invpcid_address(const struct mode *mode)
{
    invpcid(mode, 0);
}

static void invpcid_context(const struct mode *mode)
{
    invpcid(mode, 1);
}

static void invpcid_all_global(const struct mode *mode)
{
    invpcid(mode, 2);
}

static void invpcid_all(const struct mode *mode)
{
    invpcid(mode, 3);
}

static const struct flush {
    const char *name;
    void (*act)(const struct mode *mode);
    bool takes_globals, only_32;
} flushes[] = {
    {"INVLPG invalidates the page", invlpg, true, false},
    {"INVLPG of another of its addresses invalidates a large page", invlpg_within, true, false},
    {"a load of CR3 invalidates what is not global", load_cr3, false, false},
    {"a change of CR4.PGE invalidates everything", toggle_pge, true, false},
    {"setting CR4.SMEP invalidates what is not global", set_smep, false, false},
    {"turning paging off invalidates everything", toggle_paging, true, true},
    {"INVPCID of type 0 invalidates an address", invpcid_address, false, false},
    {"INVPCID of type 1 invalidates a PCID", invpcid_context, false, false},
    {"INVPCID of type 2 invalidates everything", invpcid_all_global, true, false},
    {"INVPCID of type 3 invalidates what is not global", invpcid_all, false, false},
};
enum { FLUSHES = sizeof flushes / sizeof flushes[0] };

/* --- the cases; `each` is called in every mode that the guest now has */

static void each_mode(void (*each)(const struct mode *mode))
{
    const struct mode *modes = in_long_mode() ? modes_64 : modes_32;

    for (unsigned i = 0; i < (in_long_mode() ? MODES_64 : MODES_32); i++) {
        begin(&modes[i]);
        each(&modes[i]);
        paging_end();
    }
}

static const char *place(void)
{
    return in_long_mode() ? "long mode" : "protected mode";
}

static const struct flush *flush_now;

static void remap_and_flush(const struct mode *mode)
{
    for (unsigned global = 0; global <= flush_now->takes_globals; global++) {
        write_cr4((read_cr4() & ~CR4_PGE) | (global ? CR4_PGE : 0));
        for (unsigned n = 0; n < USES * 2 * USES; n++) {
            enum use first = n % USES, second = n / USES % USES;
            unsigned cpl = n / USES / USES * 3;
            map_a(mode, USABLE | (global ? PAGE_GLOBAL : 0));
            toggle_pge(mode);
            unsigned before = reached(mode, first, cpl);
            map_b(mode, USABLE | (global ? PAGE_GLOBAL : 0));
            flush_now->act(mode);
            unsigned after = reached(mode, second, cpl);
            case_check(before == 1 && after == 2,
                       "%s, CPL %u, global %u: %s, then %s: frames %u and %u", mode->name, cpl,
                       global, use_names[first], use_names[second], before, after);
        }
        write_cr4(read_cr4() & ~CR4_PGE);
    }
}

static void check_flushes(void)
{
    for (unsigned i = 0; i < FLUSHES; i++) {
        flush_now = &flushes[i];
        if (flush_now->only_32 && in_long_mode())
            continue;
        case_begin_in("3A 4.10.4.1", flush_now->name, place());
        each_mode(remap_and_flush);
        case_end();
    }
}

/* An entry that is not present, or has a reserved bit set, is never cached. */
static void make_present(const struct mode *mode)
{
    for (unsigned level = mode->leaf; level <= mode->top; level++) {
        if (mode->paging == PAGING_PAE && level == LEVEL_PDPT)
            continue; /* a register */
        for (unsigned n = 0; n < USES * 2; n++) {
            enum use use = n % USES;
            unsigned cpl = n / USES * 3;
            map_a(mode, USABLE);
            uint64_t entry = entry_get(mode->paging, level);
            entry_set(mode->paging, level, entry & ~(uint64_t)PAGE_P);
            flush_tlb();
            unsigned before = reached(mode, use, cpl);
            entry_set(mode->paging, level, entry);
            unsigned after = reached(mode, use, cpl);
            case_check(before == 0 && after == 1, "%s, level %u, CPL %u: %s: frames %u and %u",
                       mode->name, level, cpl, use_names[use], before, after);
        }
    }
}

/* SDM 3A 4.10.4.1: a page fault invalidates what is cached for its address. */
static void widen_after_fault(const struct mode *mode)
{
    static const uint64_t narrow[USES] = {PAGE_P | PAGE_W, PAGE_P | PAGE_U, PAGE_P | PAGE_W};

    write_cr0(read_cr0() | CR0_WP);
    for (enum use use = READS; use < USES; use++) {
        map_a(mode, narrow[use]);
        flush_tlb();
        unsigned cached = reached(mode, READS, 0), before = reached(mode, use, 3);
        map_a(mode, USABLE);
        unsigned after = reached(mode, use, 3);
        case_check(cached == 1 && before == 0 && after == 1,
                   "%s: %s by CPL 3: frames %u, %u and %u", mode->name, use_names[use], cached,
                   before, after);
    }
    write_cr0(read_cr0() & ~CR0_WP);
}

/* Rights that are taken away are gone after INVLPG. */
static void narrow(const struct mode *mode)
{
    write_cr0(read_cr0() | CR0_WP);
    for (unsigned n = 0; n < USES * 2; n++) {
        enum use use = n % USES;
        unsigned cpl = n / USES * 3;
        map_a(mode, USABLE);
        invlpg(mode);
        unsigned before = reached(mode, use, cpl);
        map_a(mode, use == WRITES ? PAGE_P | PAGE_U : USABLE & ~PAGE_P);
        invlpg(mode);
        unsigned after = reached(mode, use, cpl);
        case_check(before == 1 && after == 0, "%s, CPL %u: %s: frames %u and %u", mode->name, cpl,
                   use_names[use], before, after);
    }
    write_cr0(read_cr0() & ~CR0_WP);
}

/* A and D that are cleared are set again by the first use after INVLPG. */
static void marks(const struct mode *mode)
{
    for (unsigned n = 0; n < USES * 2; n++) {
        enum use use = n % USES;
        unsigned cpl = n / USES * 3;
        uint64_t wanted = PAGE_ACCESSED | (use == WRITES ? PAGE_DIRTY : 0);
        for (unsigned round = 0; round < 2; round++) {
            map_a(mode, USABLE);
            invlpg(mode);
            reached(mode, use, cpl);
            uint64_t marked = entry_get(mode->paging, mode->leaf) & (PAGE_ACCESSED | PAGE_DIRTY);
            case_check(marked == wanted, "%s, CPL %u: %s: %llx", mode->name, cpl, use_names[use],
                       marked);
        }
    }
}

/* D is set by the first write to a page that was read through the TLB. */
static void dirty_after_read(const struct mode *mode)
{
    map_a(mode, USABLE);
    flush_tlb();
    reached(mode, READS, 3);
    bool before = entry_get(mode->paging, mode->leaf) & PAGE_DIRTY;
    reached(mode, WRITES, 3);
    bool after = entry_get(mode->paging, mode->leaf) & PAGE_DIRTY;
    case_check(!before && after, "%s: D is %u, then %u", mode->name, before, after);
}

/* The size of a page is the entry's: a table in place of a large page and back. */
static void resize(const struct mode *mode)
{
    if (mode->leaf == LEVEL_PT)
        return;
    for (enum use use = READS; use < USES; use++) {
        unsigned below = mode->leaf - 1;
        map_a(mode, USABLE);
        invlpg(mode);
        unsigned large = reached(mode, use, 3);
        map(mode, below, FRAME_B, USABLE);
        entry_set(mode->paging, mode->leaf, entry_address(mode->leaf, false) | USABLE);
        invlpg(mode);
        unsigned small = reached(mode, use, 3);
        map_a(mode, USABLE);
        invlpg(mode);
        unsigned again = reached(mode, use, 3);
        case_check(large == 1 && small == 2 && again == 1, "%s: %s: frames %u, %u and %u",
                   mode->name, use_names[use], large, small, again);
    }
}

/* CR0.WP is looked at by each write, whatever is cached. */
static void write_protect(const struct mode *mode)
{
    map_a(mode, PAGE_P | PAGE_U);
    flush_tlb();
    unsigned before = reached(mode, WRITES, 0);
    write_cr0(read_cr0() | CR0_WP);
    unsigned during = reached(mode, WRITES, 0);
    write_cr0(read_cr0() & ~CR0_WP);
    unsigned after = reached(mode, WRITES, 0);
    case_check(before == 1 && during == 0 && after == 1, "%s: frames %u, %u and %u", mode->name,
               before, during, after);
}

static const struct {
    const char *sdm, *name;
    void (*each)(const struct mode *mode);
} others[] = {
    {"3A 4.10.2.3", "an entry that is not present is never cached", make_present},
    {"3A 4.10.4.1", "a page fault invalidates what is cached for its address", widen_after_fault},
    {"3A 4.10.4.2", "rights that are taken away are gone after INVLPG", narrow},
    {"3A 4.8", "A and D are set again after INVLPG", marks},
    {"3A 4.8", "the first write sets D in a page that was read", dirty_after_read},
    {"3A 4.10.2.3", "a page can change its size", resize},
    {"3A 4.6.1", "CR0.WP takes effect at once", write_protect},
};

static void all(void)
{
    check_flushes();
    for (unsigned i = 0; i < sizeof others / sizeof others[0]; i++) {
        case_begin_in(others[i].sdm, others[i].name, place());
        each_mode(others[i].each);
        case_end();
    }
}

const struct topic topic = {"tlb", all, all};
