#include "conform/preset.h"

#include "cpu/exec.h"
#include "cpu/system.h"

#include <string.h>

/* Selectors.  SYSCALL takes CODE_64 and the data behind it, SYSRET SEL_CODE_32_USER and what
 * follows. */
enum {
    SEL_CODE_32 = 0x08,
    SEL_DATA_32 = 0x10,
    SEL_CODE_64_0 = 0x18,
    SEL_DATA_0 = 0x20,
    SEL_CODE_32_USER = 0x28,
    SEL_DATA_USER = 0x30,
    SEL_CODE_64_USER = 0x38,
    SEL_TASK = 0x40, /* 16 bytes */
    SEL_CODE_16_0 = 0x50,
    SEL_DATA_16_0 = 0x58,
    GDT_LIMIT = 0xff, /* the rest is the case's own */
    GATES = 256,
    TSS_LIMIT = 0x67,
    REAL_LIMIT = 0xffff,
    REAL_IVT_LIMIT = 0x3ff,
};

enum {
    RIGHTS_CODE = SEG_P | SEG_S | 0xb, /* accessed, readable */
    RIGHTS_DATA = SEG_P | SEG_S | 0x3, /* accessed, writable */
    RIGHTS_TSS_BUSY = SEG_P | 0xb,
    RIGHTS_LDT = SEG_P | 0x2,
    RIGHTS_GATE = SEG_P | 0xe,
    RIGHTS_FLAT = SEG_G | SEG_DB,
};

enum {
    PAGE_ENTRY = 0x67, /* present, writable, user, accessed, dirty */
    PAGE_LARGE = 0x80,
    TABLE_PDPT = PRESET_TABLES + 0x1000,
    TABLE_PD = PRESET_TABLES + 0x2000,
    TABLE_PT = PRESET_TABLES + 0x3000,
    TABLE_PD_32 = PRESET_TABLES + 0x4000,
    TABLE_PT_32 = PRESET_TABLES + 0x5000,
};

static const char *const names[PRESETS] = {
    "real", "v86", "protected16", "protected32", "paged32", "compatibility", "long",
};

const char *preset_name(enum preset preset)
{
    return names[preset];
}

enum preset preset_by_name(const char *name)
{
    enum preset preset = 0;

    while (preset < PRESETS && strcmp(names[preset], name))
        preset++;
    return preset;
}

bool preset_takes_cpl(enum preset preset, unsigned cpl)
{
    if (preset == PRESET_V86)
        return cpl == 3;
    return cpl == 0 || (cpl == 3 && preset >= PRESET_PROTECTED_32);
}

static bool is_long(enum preset preset)
{
    return preset == PRESET_COMPATIBILITY || preset == PRESET_LONG;
}

struct feature_set preset_needs(enum preset preset)
{
    struct feature_set needs = {{0}};

    feature_add(&needs, FEAT_FXSR); /* CR4.OSFXSR and OSXMMEXCPT */
    feature_add(&needs, FEAT_SSE);
    if (preset == PRESET_PAGED_32)
        feature_add(&needs, FEAT_PSE);
    if (is_long(preset)) {
        feature_add(&needs, FEAT_PAE);
        feature_add(&needs, FEAT_NX);
        feature_add(&needs, FEAT_SYSCALL);
        feature_add(&needs, FEAT_LM);
    }
    return needs;
}

/* --- the state */

static void put_segment(struct state *state, unsigned seg, uint16_t selector, uint32_t base,
                        uint32_t limit, unsigned rights)
{
    unsigned field = SF_ES + 4 * seg;

    state_put(state, field, selector);
    state_put(state, field + 1, base);
    state_put(state, field + 2, limit);
    state_put(state, field + 3, rights);
}

/* Code at 1000:0, stack 2000:F000, data 3000:0. */
static void put_real(struct state *state, unsigned dpl)
{
    unsigned rights = RIGHTS_DATA | dpl << SEG_DPL_SHIFT;

    for (unsigned seg = ES; seg <= GS; seg++)
        put_segment(state, seg, PRESET_DATA >> 4, PRESET_DATA, REAL_LIMIT, rights);
    put_segment(state, CS, PRESET_CODE >> 4, PRESET_CODE, REAL_LIMIT, rights);
    put_segment(state, SS, 0x2000, 0x20000, REAL_LIMIT, rights);
    state_put(state, SF_RIP, 0);
    state_put(state, SF_RSP, PRESET_STACK - 0x20000);
}

static uint16_t code_selector(enum preset preset, unsigned cpl)
{
    if (preset == PRESET_LONG)
        return cpl ? SEL_CODE_64_USER | 3 : SEL_CODE_64_0;
    return cpl ? SEL_CODE_32_USER | 3 : SEL_CODE_32;
}

static void put_flat(struct state *state, enum preset preset, unsigned cpl)
{
    unsigned dpl = cpl << SEG_DPL_SHIFT, size = preset == PRESET_LONG ? SEG_G | SEG_L : RIGHTS_FLAT;
    uint16_t data = cpl ? SEL_DATA_USER | 3 : preset == PRESET_LONG ? SEL_DATA_0 : SEL_DATA_32;

    for (unsigned seg = ES; seg <= GS; seg++)
        put_segment(state, seg, data, 0, UINT32_MAX, RIGHTS_DATA | RIGHTS_FLAT | dpl);
    put_segment(state, CS, code_selector(preset, cpl), 0, UINT32_MAX, RIGHTS_CODE | size | dpl);
    state_put(state, SF_RIP, PRESET_CODE);
    state_put(state, SF_RSP, PRESET_STACK);
}

static void put_protected_16(struct state *state)
{
    for (unsigned seg = ES; seg <= GS; seg++)
        put_segment(state, seg, SEL_DATA_16_0, PRESET_DATA, REAL_LIMIT, RIGHTS_DATA);
    put_segment(state, CS, SEL_CODE_16_0, PRESET_CODE, REAL_LIMIT, RIGHTS_CODE);
    put_segment(state, SS, SEL_DATA_16_0, PRESET_DATA, REAL_LIMIT, RIGHTS_DATA);
    state_put(state, SF_RIP, 0);
    state_put(state, SF_RSP, 0xf000);
}

static void put_control(struct state *state, enum preset preset)
{
    uint64_t cr0 = CR0_ET | CR0_NE, cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT;

    if (preset != PRESET_REAL)
        cr0 |= CR0_PE;
    if (preset == PRESET_PAGED_32 || is_long(preset))
        cr0 |= CR0_PG | CR0_WP;
    if (preset == PRESET_PAGED_32)
        cr4 |= CR4_PSE;
    if (is_long(preset))
        cr4 |= CR4_PAE;
    state_put(state, SF_CR0, cr0);
    state_put(state, SF_CR4, cr4);
    state_put(state, SF_CR3,
              preset == PRESET_PAGED_32 ? TABLE_PD_32
              : is_long(preset)         ? PRESET_TABLES
                                        : 0);
    state_put(state, SF_EFER, is_long(preset) ? EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE : 0);
    state_put(state, SF_XCR0, 1);
    state_put(state, SF_DR6, 0xffff0ff0);
    state_put(state, SF_DR7, 0x400);
}

static void put_tables(struct state *state, enum preset preset)
{
    bool is_real = preset == PRESET_REAL;

    state_put(state, SF_GDTR_BASE, PRESET_GDT);
    state_put(state, SF_GDTR_LIMIT, GDT_LIMIT);
    state_put(state, SF_IDTR_BASE, is_real ? 0 : PRESET_IDT);
    state_put(state, SF_IDTR_LIMIT,
              is_real ? REAL_IVT_LIMIT : GATES * (is_long(preset) ? 16 : 8) - 1);
    state_put(state, SF_LDTR_LIMIT, REAL_LIMIT);
    state_put(state, SF_LDTR_RIGHTS, RIGHTS_LDT);
    state_put(state, SF_TR, is_real ? 0 : SEL_TASK);
    state_put(state, SF_TR_BASE, is_real ? 0 : PRESET_TSS);
    state_put(state, SF_TR_LIMIT, is_real ? REAL_LIMIT : TSS_LIMIT);
    state_put(state, SF_TR_RIGHTS, RIGHTS_TSS_BUSY);
    if (!is_long(preset))
        return;
    state_put(state, SF_STAR,
              (uint64_t)(SEL_CODE_32_USER | 3) << 48 | (uint64_t)SEL_CODE_64_0 << 32 |
                  PRESET_HANDLERS);
    state_put(state, SF_LSTAR, PRESET_HANDLERS);
    state_put(state, SF_CSTAR, PRESET_HANDLERS);
}

void preset_state(enum preset preset, unsigned cpl, struct state *state)
{
    *state = (struct state){0};
    state_put(state, SF_RFLAGS, preset == PRESET_V86 ? F_VM | 2 : 2);
    state_put(state, SF_CPL, cpl);
    state_put(state, SF_FCW, 0x37f);
    state_put(state, SF_MXCSR, 0x1f80);
    state_put(state, SF_PAT, 0x0007040600070406);
    put_control(state, preset);
    put_tables(state, preset);
    if (preset == PRESET_REAL || preset == PRESET_V86)
        put_real(state, cpl);
    else if (preset == PRESET_PROTECTED_16)
        put_protected_16(state);
    else
        put_flat(state, preset, cpl);
}

/* --- memory */

static void put_memory(struct bare *bare, uint32_t address, uint64_t value, unsigned bytes)
{
    memcpy(bare_byte(bare, address), &value, bytes); /* aligned: within a page */
}

static uint64_t descriptor(uint32_t base, uint32_t limit, unsigned rights)
{
    if (rights & SEG_G)
        limit >>= 12;
    return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 |
           (uint64_t)(rights & 0xf0ff) << 40 | (uint64_t)(limit >> 16 & 0xf) << 48 |
           (uint64_t)(base >> 24) << 56;
}

static void put_gdt(struct bare *bare, enum preset preset)
{
    const unsigned user = 3 << SEG_DPL_SHIFT;
    const struct {
        unsigned selector, rights;
    } flat[] = {
        {SEL_CODE_32, RIGHTS_CODE | RIGHTS_FLAT},
        {SEL_DATA_32, RIGHTS_DATA | RIGHTS_FLAT},
        {SEL_CODE_64_0, RIGHTS_CODE | SEG_G | SEG_L},
        {SEL_DATA_0, RIGHTS_DATA | RIGHTS_FLAT},
        {SEL_CODE_32_USER, RIGHTS_CODE | RIGHTS_FLAT | user},
        {SEL_DATA_USER, RIGHTS_DATA | RIGHTS_FLAT | user},
        {SEL_CODE_64_USER, RIGHTS_CODE | SEG_G | SEG_L | user},
    };

    for (unsigned i = 0; i < ARRAY_LENGTH(flat); i++)
        put_memory(bare, PRESET_GDT + flat[i].selector, descriptor(0, UINT32_MAX, flat[i].rights),
                   8);
    put_memory(bare, PRESET_GDT + SEL_TASK, descriptor(PRESET_TSS, TSS_LIMIT, RIGHTS_TSS_BUSY), 8);
    put_memory(bare, PRESET_GDT + SEL_CODE_16_0, descriptor(PRESET_CODE, REAL_LIMIT, RIGHTS_CODE),
               8);
    put_memory(bare, PRESET_GDT + SEL_DATA_16_0, descriptor(PRESET_DATA, REAL_LIMIT, RIGHTS_DATA),
               8);
    if (is_long(preset)) {
        put_memory(bare, PRESET_TSS + 4, PRESET_STACK_0, 8); /* RSP0 */
    } else {
        put_memory(bare, PRESET_TSS + 4, PRESET_STACK_0, 4); /* ESP0, SS0 */
        put_memory(bare, PRESET_TSS + 8, SEL_DATA_32, 4);
    }
}

/* Gates of DPL 3: INT n from anywhere. */
static void put_idt(struct bare *bare, enum preset preset)
{
    uint16_t code = preset == PRESET_PROTECTED_16 ? SEL_CODE_32 : code_selector(preset, 0);

    if (preset == PRESET_COMPATIBILITY)
        code = SEL_CODE_64_0;
    for (unsigned vector = 0; vector < GATES; vector++) {
        uint32_t handler = PRESET_HANDLERS + vector * 16;
        uint64_t gate = (handler & 0xffff) | (uint64_t)code << 16 |
                        (uint64_t)(RIGHTS_GATE | 3 << SEG_DPL_SHIFT) << 40;
        *bare_byte(bare, handler) = 0xf4; /* HLT */
        if (preset == PRESET_REAL)
            put_memory(bare, vector * 4, handler, 4); /* 0:handler */
        else
            put_memory(bare, PRESET_IDT + vector * (is_long(preset) ? 16 : 8), gate, 8);
    }
}

/* Linear addresses are physical ones: 4 KiB pages up to 2 MiB (4 MiB in 32-bit tables), large ones
 * beyond. */
static void put_pages(struct bare *bare)
{
    put_memory(bare, PRESET_TABLES, TABLE_PDPT | PAGE_ENTRY, 8);
    put_memory(bare, TABLE_PDPT, TABLE_PD | PAGE_ENTRY, 8);
    put_memory(bare, TABLE_PD, TABLE_PT | PAGE_ENTRY, 8);
    for (unsigned i = 1; i < BARE_RAM_BYTES >> 21; i++)
        put_memory(bare, TABLE_PD + i * 8, (uint64_t)i << 21 | PAGE_ENTRY | PAGE_LARGE, 8);
    for (unsigned i = 0; i < 512; i++)
        put_memory(bare, TABLE_PT + i * 8, (uint64_t)i << 12 | PAGE_ENTRY, 8);
}

static void put_pages_32(struct bare *bare)
{
    put_memory(bare, TABLE_PD_32, TABLE_PT_32 | PAGE_ENTRY, 4);
    for (unsigned i = 1; i < BARE_RAM_BYTES >> 22; i++)
        put_memory(bare, TABLE_PD_32 + i * 4, i << 22 | PAGE_ENTRY | PAGE_LARGE, 4);
    for (unsigned i = 0; i < 1024; i++)
        put_memory(bare, TABLE_PT_32 + i * 4, i << 12 | PAGE_ENTRY, 4);
}

void preset_memory(enum preset preset, struct bare *bare)
{
    put_gdt(bare, preset);
    put_idt(bare, preset);
    if (is_long(preset))
        put_pages(bare);
    else if (preset == PRESET_PAGED_32)
        put_pages_32(bare);
}
