/* The tables that the processor reads: descriptors, interrupt vectors, task states, pages.
 * Sources: SDM 3A §3.4.5 and §3.5 (descriptors), §6.11, §6.14.1 (gates), §8.2.1, §8.7 (TSS), §4.5;
 * SDM 1 §19.5.2 (permission bitmap), 3A §21.3.1.2 (redirection bitmap). */
#include "descriptor.h"
#include "sensitive.h"

enum { ABSENT = 0x13 };

/* Both task states: the bitmaps, that of the ports to 3FFh. */
enum {
    REDIRECTION = 104,
    BITMAP = REDIRECTION + 32,
    BITMAP_END = BITMAP + 128,
};

static void set(unsigned selector, uint64_t value)
{
    ((volatile uint64_t *)GDT)[selector / 8] = value;
}

static void flat(unsigned selector, unsigned access, unsigned flags)
{
    set(selector, descriptor(0, 0xfffff, access, PAGES | flags));
}

static void small(unsigned selector, uint32_t base, unsigned access, unsigned flags)
{
    set(selector, descriptor(base, 0xffff, access, flags));
}

static void code_and_data(void)
{
    flat(SEL_CODE, CODE, SIZE_32);
    flat(SEL_DATA, DATA, SIZE_32);
    small(SEL_CODE16_0, LOW_BASE, CODE, SIZE_16);
    small(SEL_DATA16_0, DATA_BASE, DATA, SIZE_16);
    small(SEL_CODE32_0, LOW_BASE, CODE, SIZE_32);
    small(SEL_DATA32_0, DATA_BASE, DATA, SIZE_32);
    flat(SEL_CODE64_0, CODE, SIZE_64);
    flat(SEL_FLAT_0, DATA, SIZE_32);
    flat(SEL_FLAT_CODE, CODE | DPL_3, SIZE_32);
    flat(SEL_FLAT_3, DATA | DPL_3, SIZE_32);
    flat(SEL_CODE64_3, CODE | DPL_3, SIZE_64);
    flat(SEL_FLAT2_3, DATA | DPL_3, SIZE_32);
    small(SEL_CODE16_3, LOW_BASE, CODE | DPL_3, SIZE_16);
    small(SEL_DATA16_3, DATA_BASE, DATA | DPL_3, SIZE_16);
    small(SEL_CODE32_3, LOW_BASE, CODE | DPL_3, SIZE_32);
    small(SEL_DATA32_3, DATA_BASE, DATA | DPL_3, SIZE_32);
    small(SEL_ES, EXTRA_BASE, DATA | DPL_3, SIZE_16);
    small(SEL_FS, FS_BASE, DATA | DPL_3, SIZE_16);
    small(SEL_GS, GS_BASE, DATA | DPL_3, SIZE_16);
}

static void specimens(void)
{
    set(SEL_READ_ONLY, descriptor(DATA_BASE, 0xfff3, DATA_READ_ONLY | DPL_3, SIZE_32));
    small(SEL_EXEC_ONLY, LOW_BASE, CODE_EXEC_ONLY | DPL_3, SIZE_32);
    small(SEL_CONFORMING, LOW_BASE, CODE_CONFORMING, SIZE_32);
    small(SEL_ABSENT, DATA_BASE, ABSENT | DPL_3, SIZE_32);
    small(SEL_ABSENT_0, DATA_BASE, ABSENT, SIZE_32);
    small(SEL_FRESH, DATA_BASE, DATA_FRESH | DPL_3, SIZE_32);
    set(SEL_BIG, descriptor(0, 0x12345, DATA | DPL_3, PAGES | SIZE_32));
}

void tables_reset(bool is_long)
{
    uint32_t tss = is_long ? TSS_64 : TSS_32, present = is_long ? SEL_TSS64 : SEL_TSS32;

    code_and_data();
    specimens();
    set(SEL_TSS32, descriptor(TSS_32, BITMAP_END, TSS_FREE, 0));
    set(SEL_TSS64, descriptor(TSS_64, BITMAP_END, TSS_FREE, 0));
    set(SEL_TSS_FREE, descriptor(tss, BITMAP_END, TSS_FREE, 0));
    set(SEL_LDT, descriptor(LDT, 15, LDT_KIND, 0));
    set(SEL_LDT_FREE, descriptor(LDT, 15, LDT_KIND, 0));
    set(SEL_GATE_3, gate(is_long ? TARGET_LINEAR : TARGET_OFFSET,
                         is_long ? SEL_CODE64_0 : SEL_CODE32_0, CALL_GATE | DPL_3));
    set(SEL_GATE_0, gate(is_long ? TARGET_LINEAR : TARGET_OFFSET,
                         is_long ? SEL_CODE64_0 : SEL_CODE32_0, CALL_GATE));
    __asm__ volatile("ltr %w0" : : "r"(present) : "memory");
    __asm__ volatile("lldt %w0" : : "r"(SEL_LDT));
    for (unsigned i = 0; i < GDT_LIMIT + 1 + 8; i++)
        ((volatile uint8_t *)GDT_COPY)[i] = i <= GDT_LIMIT ? ((volatile uint8_t *)GDT)[i] : 0;
}

static unsigned gate_access(unsigned vector)
{
    switch (vector) {
    case 3: /* INT3, INTO: programs may use them */
    case 4:
    case VECTOR_USER:
    case VECTOR_REDIRECT:
        return INTERRUPT_GATE | DPL_3;
    default:
        return INTERRUPT_GATE;
    }
}

static void copy_idt(void)
{
    for (unsigned i = 0; i < VECTORS * 4; i++)
        ((volatile uint32_t *)IDT_COPY)[i] = ((volatile uint32_t *)IDT)[i];
}

static void clear(uint32_t at, uint32_t bytes)
{
    for (unsigned i = 0; i < bytes; i += 4)
        *(volatile uint32_t *)(at + i) = 0;
}

/* What both task states have alike: the bitmaps. */
static void tss_init(uint32_t at)
{
    volatile uint8_t *tss = (volatile uint8_t *)at;

    clear(at, 0x200);
    *(volatile uint16_t *)(at + TSS_MAP) = BITMAP;
    for (unsigned i = REDIRECTION; i <= BITMAP_END; i++)
        tss[i] = 0xff;
    tss[REDIRECTION + VECTOR_REDIRECT / 8] &= ~(1 << VECTOR_REDIRECT % 8);
    for (unsigned port = PROBE_PORT; port < DENIED_PORT; port++)
        tss[BITMAP + port / 8] &= ~(1 << port % 8);
}

static void ivt_init(void)
{
    volatile uint32_t *ivt = NULL; /* it does lie at 0 */

    __asm__("" : "+r"(ivt));
    for (unsigned vector = 0; vector < VECTORS; vector++)
        ivt[vector] = handlers_16[vector] | LOW_BASE >> 4 << 16;
    ivt[VECTOR_REDIRECT] = TARGET_OFFSET | LOW_BASE >> 4 << 16;
    for (unsigned i = 0; i < 256; i++)
        ((volatile uint32_t *)IVT_COPY)[i] = ivt[i];
}

void tables_init_legacy(void)
{
    clear(GDT, 0x800);
    clear(IDT, 0x3000); /* and its copy, and the LDT */
    *(volatile uint64_t *)LDT = descriptor(DATA_BASE, 0xffff, DATA | DPL_3, SIZE_32);
    for (unsigned vector = 0; vector < VECTORS; vector++)
        ((volatile uint64_t *)IDT)[vector] =
            gate(handlers_32[vector], SEL_CODE, gate_access(vector));
    copy_idt();
    ivt_init();
    tss_init(TSS_32);
    *(volatile uint32_t *)(TSS_32 + TSS_SP0) = INNER_TOP;
    *(volatile uint32_t *)(TSS_32 + TSS_SS0) = SEL_DATA;
}

static void pages_init(void)
{
    volatile uint64_t *tables = (volatile uint64_t *)PAGE_TABLES;

    clear(PAGE_TABLES, 0x3000);
    tables[0] = PAGE_TABLES + 0x1000 + PAGE_PRESENT_WRITE_USER;
    tables[512] = PAGE_TABLES + 0x2000 + PAGE_PRESENT_WRITE_USER;
    for (uint32_t i = 0; i < 512; i++)
        tables[1024 + i] = i << 21 | PAGE_LARGE | PAGE_PRESENT_WRITE_USER;
}

void tables_init_long(void)
{
    const uint64_t ist_1 = UINT64_C(1) << 32;

    pages_init();
    for (unsigned vector = 0; vector < VECTORS; vector++) {
        volatile uint64_t *at = (volatile uint64_t *)IDT + 2 * vector;
        at[0] = gate(handlers_64[vector], SEL_CODE64_0, gate_access(vector)) | ist_1;
        at[1] = 0;
    }
    copy_idt();
    tss_init(TSS_64);
    *(volatile uint64_t *)(TSS_64 + TSS_SP0) = INNER_TOP;
    *(volatile uint64_t *)(TSS_64 + TSS_IST1) = IST_TOP;
}
