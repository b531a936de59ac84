#include "paging.h"

enum {
    TOP = FREE_BASE,
    IDENTITY_PDPT = FREE_BASE + 0x1000,
    IDENTITY_PD = FREE_BASE + 0x2000,
    IDENTITY_PT = FREE_BASE + 0x3000,
    FRAMES_PT = FREE_BASE + 0x4000, /* of 32-bit paging; FRAMES_PT + 1000h: the next 4 MiB */
    TEST_PDPT = FREE_BASE + 0x6000,
    TEST_PD = FREE_BASE + 0x7000,
    TEST_PT = FREE_BASE + 0x8000,
    TABLES_END = FREE_BASE + 0x9000,
    SNIPPETS_END = 0x1f000,
};
#define CR0_PG  (1u << 31)
#define CR4_PSE (1u << 4)
#define CR4_PAE (1u << 5)

static enum paging current;

uint64_t under_test(enum paging paging)
{
    return paging == PAGING_4_LEVEL ? UINT64_C(1) << 39 | UNDER_TEST : UNDER_TEST;
}

static const uint32_t places[][LEVELS] = {
    [PAGING_32] = {[LEVEL_PT] = TEST_PT, [LEVEL_PD] = TOP + 4 * (UNDER_TEST >> 22)},
    [PAGING_PAE] = {[LEVEL_PT] = TEST_PT,
                    [LEVEL_PD] = TEST_PD + 8 * (UNDER_TEST >> 21 & 511),
                    [LEVEL_PDPT] = TOP + 8 * (UNDER_TEST >> 30)},
    [PAGING_4_LEVEL] = {[LEVEL_PT] = TEST_PT,
                        [LEVEL_PD] = TEST_PD + 8 * (UNDER_TEST >> 21 & 511),
                        [LEVEL_PDPT] = TEST_PDPT + 8 * (UNDER_TEST >> 30),
                        [LEVEL_PML4] = TOP + 8},
};

void entry_set(enum paging paging, unsigned level, uint64_t value)
{
    if (paging == PAGING_32)
        *dword_at(places[paging][level]) = (uint32_t)value;
    else
        *qword_at(places[paging][level]) = value;
}

uint64_t entry_get(enum paging paging, unsigned level)
{
    return paging == PAGING_32 ? *dword_at(places[paging][level])
                               : *qword_at(places[paging][level]);
}

uint32_t entry_address(unsigned level, bool leaf)
{
    static const uint32_t tables[] = {
        [LEVEL_PD] = TEST_PT, [LEVEL_PDPT] = TEST_PD, [LEVEL_PML4] = TEST_PDPT};

    if (!leaf)
        return tables[level];
    return level == LEVEL_PDPT ? 0 : FRAME_A;
}

static void build_32(void)
{
    dword_at(TOP)[0] = IDENTITY_PT | PAGE_P | PAGE_W | PAGE_U;
    for (uint32_t i = 0; i < 2; i++)
        dword_at(TOP)[(FRAME_A >> 22) + i] = (FRAMES_PT + (i << 12)) | PAGE_P | PAGE_W;
    for (uint32_t i = 0; i < 512; i++)
        dword_at(IDENTITY_PT)[i] = i << 12 | PAGE_P | PAGE_W;
    for (uint32_t i = 0; i < 2 * 1024; i++)
        dword_at(FRAMES_PT)[i] = (FRAME_A + (i << 12)) | PAGE_P | PAGE_W;
}

static void build_wide(enum paging paging)
{
    if (paging == PAGING_4_LEVEL) {
        qword_at(TOP)[0] = IDENTITY_PDPT | PAGE_P | PAGE_W | PAGE_U;
        qword_at(IDENTITY_PDPT)[0] = IDENTITY_PD | PAGE_P | PAGE_W | PAGE_U;
    } else {
        qword_at(TOP)[0] = IDENTITY_PD | PAGE_P;
    }
    qword_at(IDENTITY_PD)[0] = IDENTITY_PT | PAGE_P | PAGE_W | PAGE_U;
    for (uint32_t i = 1; i < 512; i++)
        qword_at(IDENTITY_PD)[i] = i << 21 | PAGE_PS | PAGE_P | PAGE_W;
    for (uint32_t i = 0; i < 512; i++)
        qword_at(IDENTITY_PT)[i] = i << 12 | PAGE_P | PAGE_W;
}

void paging_begin(enum paging paging)
{
    current = paging;
    for (uint32_t at = TOP; at < TABLES_END; at += 4)
        *dword_at(at) = 0;
    if (paging == PAGING_32)
        build_32();
    else
        build_wide(paging);
    if (paging == PAGING_4_LEVEL) {
        write_cr3(TOP);
        return;
    }
    write_cr3(TOP);
    write_cr4(read_cr4() | (paging == PAGING_PAE ? CR4_PAE : CR4_PSE));
    write_cr0(read_cr0() | CR0_PG);
}

void paging_end(void)
{
    if (current == PAGING_4_LEVEL)
        write_cr3(PAGE_TABLES);
    else
        write_cr0(read_cr0() & ~CR0_PG);
}

static void lend_page(uint32_t page, bool to_user)
{
    uint32_t flags = PAGE_P | PAGE_W | (to_user ? PAGE_U : 0);

    if (current == PAGING_32)
        dword_at(IDENTITY_PT)[page >> 12] = page | flags;
    else
        qword_at(IDENTITY_PT)[page >> 12] = page | flags;
}

void paging_lends(bool to_user)
{
    for (uint32_t page = LOW_BASE; page < SNIPPETS_END; page += 0x1000)
        lend_page(page, to_user);
    lend_page(STACK_TOP(3) & ~0xfffu, to_user);
    flush_tlb();
}
