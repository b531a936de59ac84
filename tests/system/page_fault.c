/* Topic: page faults.  Every paging mode and page size, rights of each level, CR0.WP, SMEP, SMAP,
 * NXE, both privileges, explicit and implicit accesses: what is allowed, the error code of what is
 * not, CR2, and the A and D bits, against a model written from SDM 3A §4.6 and §4.7.
 */
#include "paging.h"

/* --- what an entry grants: bits of a kind */
enum { PRESENT = 1, WRITABLE = 2, USER = 4, NO_EXECUTE = 8, RESERVED = 16 };

/* The first is that of levels that do not matter in a combination. */
static const uint8_t kinds[] = {
    PRESENT | WRITABLE | USER,
    WRITABLE | USER,
    PRESENT | USER,
    PRESENT | WRITABLE,
    PRESENT,
    PRESENT | WRITABLE | USER | RESERVED,
    PRESENT | RESERVED,
    PRESENT | WRITABLE | USER | NO_EXECUTE,
    PRESENT | NO_EXECUTE,
};
enum { KINDS_BASIC = 5, KINDS_RESERVED = 7, KINDS_ALL = sizeof kinds };

/* --- the accesses */

static const struct access {
    const char *name;
    uint8_t cpl;
    bool write, fetch, implicit, ac;
} accesses[] = {
    {"CPL 3 reads", 3, false, false, false, false},
    {"CPL 3 writes", 3, true, false, false, false},
    {"CPL 3 executes", 3, false, true, false, false},
    {"CPL 3 has a descriptor read", 3, false, false, true, true},
    {"CPL 3 has a descriptor marked", 3, true, false, true, true},
    {"CPL 0 reads", 0, false, false, false, false},
    {"CPL 0 reads with AC", 0, false, false, false, true},
    {"CPL 0 writes", 0, true, false, false, false},
    {"CPL 0 writes with AC", 0, true, false, false, true},
    {"CPL 0 executes", 0, false, true, false, true},
};
enum { ACCESSES = sizeof accesses / sizeof accesses[0] };

SNIPPET(32, read_32, "mov (%eax), %ecx");
SNIPPET(32, write_32, "mov %ecx, (%eax)");
SNIPPET(32, load_32, "mov %cx, %ds");
SNIPPET(64, read_64, "mov (%rax), %ecx");
SNIPPET(64, write_64, "mov %ecx, (%rax)");
SNIPPET(64, load_64, "mov %cx, %ds");

/* What lies in the page: code, descriptors of an LDT, data. */
enum { AT_CODE = 0, AT_DESCRIPTOR = 0x10, AT_FRESH = 0x18, AT_DATA = 0x40 };
enum { UD2 = 0x0b0f, SELECTOR_LDT = 4 | 3, FLAG_AC = 1 << 18 };

/* --- the processor's settings */
enum { SET_WP = 1, SET_SMEP = 2, SET_SMAP = 4, SET_NXE = 8, SETTINGS = 16 };
#define CR0_WP   (1u << 16)
#define CR4_SMEP (1u << 20)
#define CR4_SMAP (1u << 21)
#define EFER_NXE (1u << 11)

static void settings_enter(unsigned settings)
{
    write_cr0((read_cr0() & ~CR0_WP) | (settings & SET_WP ? CR0_WP : 0));
    write_cr4((read_cr4() & ~(CR4_SMEP | CR4_SMAP)) | (settings & SET_SMEP ? CR4_SMEP : 0) |
              (settings & SET_SMAP ? CR4_SMAP : 0));
    wrmsr(MSR_EFER, (rdmsr(MSR_EFER) & ~EFER_NXE) | (settings & SET_NXE ? EFER_NXE : 0));
}

/* --- the modes */

static const struct mode {
    const char *name;
    enum paging paging;
    unsigned top, leaf;
    unsigned kinds[LEVELS]; /* of each level */
} modes_32[] =
    {
        {"32-bit paging, 4 KiB", PAGING_32, LEVEL_PD, LEVEL_PT, {0, KINDS_BASIC, KINDS_BASIC}},
        {"32-bit paging, 4 MiB", PAGING_32, LEVEL_PD, LEVEL_PD, {0, 0, KINDS_RESERVED}},
        {"PAE paging, 4 KiB", PAGING_PAE, LEVEL_PDPT, LEVEL_PT, {0, KINDS_ALL, KINDS_ALL, 2}},
        {"PAE paging, 2 MiB", PAGING_PAE, LEVEL_PDPT, LEVEL_PD, {0, 0, KINDS_ALL, 2}},
},
  modes_64[] = {
      {"4-level paging, 4 KiB",
       PAGING_4_LEVEL,
       LEVEL_PML4,
       LEVEL_PT,
       {0, KINDS_ALL, KINDS_ALL, KINDS_ALL, KINDS_ALL}},
      {"4-level paging, 2 MiB",
       PAGING_4_LEVEL,
       LEVEL_PML4,
       LEVEL_PD,
       {0, 0, KINDS_ALL, KINDS_ALL, KINDS_ALL}},
      {"4-level paging, 1 GiB",
       PAGING_4_LEVEL,
       LEVEL_PML4,
       LEVEL_PDPT,
       {0, 0, 0, KINDS_ALL, KINDS_ALL}},
};

/* One of the bits that are reserved in an entry of this level. */
static uint64_t reserved_bit(const struct mode *mode, unsigned level)
{
    if (mode->paging == PAGING_32)
        return 1 << 21;
    if (level == mode->leaf && level > LEVEL_PT)
        return 1 << 13;
    if (level == LEVEL_PML4)
        return PAGE_PS;
    return UINT64_C(1) << (mode->paging == PAGING_PAE ? 62 : 51);
}

static uint64_t entry_of(const struct mode *mode, unsigned level, unsigned kind)
{
    bool leaf = level == mode->leaf;
    uint64_t address = entry_address(level, leaf);

    if (mode->paging == PAGING_PAE && level == LEVEL_PDPT) /* it has no rights */
        return address | (kind & PRESENT);
    return address | (kind & (PRESENT | WRITABLE | USER)) |
           (leaf && level > LEVEL_PT ? PAGE_PS : 0) | (kind & NO_EXECUTE ? PAGE_XD : 0) |
           (kind & RESERVED ? reserved_bit(mode, level) : 0);
}

/* --- the model */

enum { PF_PRESENT = 1, PF_WRITE = 2, PF_USER = 4, PF_RESERVED = 8, PF_FETCH = 16, ALLOWED = -1 };

/* SDM 3A 4.6.1: `kind` is what all levels together grant. */
static bool is_allowed(const struct access *access, unsigned settings, unsigned kind)
{
    bool user_page = kind & USER, writable = kind & WRITABLE;

    if (access->cpl == 3 && !access->implicit) {
        if (!user_page)
            return false;
        return access->fetch ? !(kind & NO_EXECUTE) : !access->write || writable;
    }
    if (access->fetch)
        return !(kind & NO_EXECUTE) && !(user_page && settings & SET_SMEP);
    if (user_page && settings & SET_SMAP && (access->implicit || !access->ac))
        return false;
    return !access->write || writable || !(settings & SET_WP);
}

/* The error code (SDM 3A 4.7), or ALLOWED. */
static int model(const struct mode *mode, const struct access *access, unsigned settings,
                 const uint8_t kind_of[LEVELS])
{
    unsigned rights = WRITABLE | USER;
    bool wide = mode->paging != PAGING_32;
    bool fetch_is_told = settings & SET_SMEP || (wide && settings & SET_NXE);
    int error = (access->write ? PF_WRITE : 0) |
                (access->cpl == 3 && !access->implicit ? PF_USER : 0) |
                (access->fetch && fetch_is_told ? PF_FETCH : 0);

    for (unsigned level = mode->top; level >= mode->leaf; level--) {
        unsigned kind = kind_of[level];
        if (!(kind & PRESENT)) {
            /* The descriptor is read before it is marked. */
            return access->implicit ? error & ~PF_WRITE : error;
        }
        if (kind & RESERVED || (kind & NO_EXECUTE && !(settings & SET_NXE)))
            return (access->implicit ? error & ~PF_WRITE : error) | PF_PRESENT | PF_RESERVED;
        rights = (rights & kind & (WRITABLE | USER)) | ((rights | kind) & NO_EXECUTE);
    }
    if (is_allowed(access, settings, rights))
        return ALLOWED;
    if (access->implicit && access->write) {
        struct access reading = *access;
        reading.write = false;
        if (!is_allowed(&reading, settings, rights))
            error &= ~PF_WRITE;
    }
    return error | PF_PRESENT;
}

/* --- one combination */

static const struct snippet *snippet_of(const struct mode *mode, const struct access *access)
{
    bool is_64 = mode->paging == PAGING_4_LEVEL;

    if (access->implicit)
        return is_64 ? &load_64 : &load_32;
    if (access->write)
        return is_64 ? &write_64 : &write_32;
    return is_64 ? &read_64 : &read_32;
}

static unsigned offset_of(const struct access *access)
{
    if (access->implicit)
        return access->write ? AT_FRESH : AT_DESCRIPTOR;
    return access->fetch ? AT_CODE : AT_DATA;
}

static struct state start_of(const struct mode *mode, const struct access *access)
{
    struct state start = start_at(snippet_of(mode, access), access->cpl);
    uint64_t address = under_test(mode->paging) + offset_of(access);

    start.gpr[RAX] = address;
    start.gpr[RCX] = offset_of(access) | SELECTOR_LDT;
    start.flags |= access->ac ? FLAG_AC : 0;
    if (access->fetch)
        start.ip = address;
    return start;
}

static void fill_frame(void)
{
    *dword_at(FRAME_A + AT_CODE) = UD2;
    *qword_at(FRAME_A + AT_DESCRIPTOR) = descriptor(0, 0xfffff, DATA | DPL_3, PAGES | SIZE_32);
    *qword_at(FRAME_A + AT_FRESH) = descriptor(0, 0xfffff, DATA_FRESH | DPL_3, PAGES | SIZE_32);
}

/* After an access that was allowed: A in all entries that were used, D in the leaf if it wrote.
 * After one that was not: no more than A. */
static bool marks_are_right(const struct mode *mode, const struct access *access,
                            const uint8_t kind_of[LEVELS], bool allowed)
{
    for (unsigned level = mode->top; level >= mode->leaf; level--) {
        uint64_t before = entry_of(mode, level, kind_of[level]);
        uint64_t now = entry_get(mode->paging, level), marks = PAGE_ACCESSED;
        if (mode->paging == PAGING_PAE && level == LEVEL_PDPT)
            marks = 0;
        else if (level == mode->leaf && access->write)
            marks |= PAGE_DIRTY;
        if (allowed ? now != (before | marks) : (now & ~(uint64_t)PAGE_ACCESSED) != before)
            return false;
    }
    return true;
}

static bool page_agrees(const struct access *access, uint32_t address, uint32_t cr2)
{
    /* Which byte of a descriptor the processor marks, the manual does not say. */
    return access->implicit ? address >> 12 == cr2 >> 12 : address == cr2;
}

static void combination(const struct mode *mode, const struct access *access, unsigned settings,
                        const uint8_t kind_of[LEVELS])
{
    const struct snippet *snippet = snippet_of(mode, access);
    const struct state start = start_of(mode, access);
    int error = model(mode, access, settings, kind_of);

    for (unsigned level = mode->top; level >= mode->leaf; level--)
        entry_set(mode->paging, level, entry_of(mode, level, kind_of[level]));
    flush_tlb();
    if (access->implicit && access->write)
        fill_frame();
    struct state end = attempt(&start);
    uint32_t cr2 = read_cr2();
    bool marked = marks_are_right(mode, access, kind_of, error == ALLOWED), right;
    if (error != ALLOWED)
        right = end.vector == VECTOR_PF && end.error == (unsigned)error && end.ip == start.ip &&
                end.cs == start.cs && page_agrees(access, (uint32_t)start.gpr[RAX], cr2);
    else
        right = end.vector == VECTOR_UD &&
                end.ip == (access->fetch ? start.ip : (uint32_t)snippet->end);
    case_check(right && marked,
               "%s, kinds %02x %02x %02x %02x, WP %u SMEP %u SMAP %u NXE %u: vector %llx error "
               "%02llx CR2 %x, expected error %02x%s",
               access->name, kind_of[4], kind_of[3], kind_of[2], kind_of[1], settings & SET_WP,
               settings & SET_SMEP, settings & SET_SMAP, settings & SET_NXE, end.vector, end.error,
               cr2, (unsigned)error, marked ? "" : ", A or D are wrong");
}

/* All combinations in which at most two levels are not the first kind. */
static void combinations(const struct mode *mode, const struct access *access, unsigned settings)
{
    unsigned number[LEVELS] = {0};
    uint8_t kind_of[LEVELS] = {0};

    for (;;) {
        unsigned others = 0, level;
        for (level = mode->leaf; level <= mode->top; level++) {
            kind_of[level] = kinds[number[level]];
            others += number[level] != 0;
        }
        if (others <= 2)
            combination(mode, access, settings, kind_of);
        for (level = mode->leaf; level <= mode->top && ++number[level] == mode->kinds[level];
             level++)
            number[level] = 0;
        if (level > mode->top)
            return;
    }
}

static void ldtr_set(uint64_t base)
{
    gdt_set(SEL_LDT, descriptor((uint32_t)base, LDT_LIMIT, LDT_KIND, 0));
    gdt_set(SEL_LDT + 8, base >> 32);
    __asm__ volatile("lldt %w0" : : "r"(SEL_LDT));
}

static void check_mode(const struct mode *mode)
{
    case_begin("3A 4.6-4.8", mode->name);
    paging_begin(mode->paging);
    fill_frame();
    ldtr_set(under_test(mode->paging));
    for (unsigned settings = 0; settings < SETTINGS; settings++) {
        if (mode->paging == PAGING_32 && settings & SET_NXE)
            continue;
        settings_enter(settings);
        for (unsigned i = 0; i < ACCESSES; i++) {
            paging_lends(accesses[i].cpl == 3);
            combinations(mode, &accesses[i], settings);
        }
    }
    settings_enter(0);
    paging_end();
    case_end();
}

static void protected_mode(void)
{
    for (unsigned i = 0; i < sizeof modes_32 / sizeof modes_32[0]; i++)
        check_mode(&modes_32[i]);
}

static void long_mode(void)
{
    for (unsigned i = 0; i < sizeof modes_64 / sizeof modes_64[0]; i++)
        check_mode(&modes_64[i]);
}

const struct topic topic = {"page-fault", protected_mode, long_mode};
