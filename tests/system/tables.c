/* The tables that the processor reads, and the registers that lead to them.
 * Sources: SDM 3A §2.5, §3.5, §4.5, §6.11, §6.14, §8.2, §8.7. */
#include "system.h"

enum {
    TSS_BYTES = 0x68,
    IDT_LIMIT_PROTECTED = 8 * VECTORS - 1,
    IDT_LIMIT_LONG = 16 * VECTORS - 1,
    CR0_ET_NE = 0x30,
    CR4_PAE = 0x20,
};
#define CR0_PG       (1u << 31)
#define EFER_LME_LMA 0x500

void gdt_set(unsigned selector, uint64_t value)
{
    qword_at(GDT)[selector / 8] = value;
}

uint64_t gdt_get(unsigned selector)
{
    return qword_at(GDT)[selector / 8];
}

void ldt_set(unsigned selector, uint64_t value)
{
    qword_at(LDT)[selector / 8] = value;
}

void idt_set(unsigned vector, uint64_t value)
{
    qword_at(IDT)[vector] = value;
}

void idt_set_long(unsigned vector, uint64_t low, uint64_t high)
{
    qword_at(IDT)[2 * vector] = low;
    qword_at(IDT)[2 * vector + 1] = high;
}

uint64_t idt_get(unsigned vector)
{
    return qword_at(IDT)[in_long_mode() ? 2 * vector : vector];
}

static void clear(uint32_t at, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i += 4)
        *dword_at(at + i) = 0;
}

static void flat(unsigned selector, unsigned access, unsigned flags)
{
    gdt_set(selector, descriptor(0, 0xfffff, access, PAGES | flags));
}

static void gdt_reset(void)
{
    clear(GDT, GDT_LIMIT + 1);
    flat(SEL_CODE, CODE, SIZE_32);
    flat(SEL_DATA, DATA, SIZE_32);
    gdt_set(SEL_TSS32, descriptor(TSS_32, TSS_BYTES - 1, TSS_FREE, 0));
    gdt_set(SEL_TSS64, descriptor(TSS_64, TSS_BYTES - 1, TSS_FREE, 0));
    gdt_set(SEL_LDT, descriptor(LDT, LDT_LIMIT, LDT_KIND, 0));
    for (unsigned cpl = 0; cpl <= 3; cpl++) {
        unsigned dpl = cpl << 5;
        gdt_set(SEL_CODE16(cpl), descriptor(LOW_BASE, 0xffff, CODE | dpl, SIZE_16));
        gdt_set(SEL_DATA16(cpl), descriptor(DATA_BASE, 0xffff, DATA | dpl, SIZE_16));
        flat(SEL_CODE32(cpl), CODE | dpl, SIZE_32);
        flat(SEL_DATA32(cpl), DATA | dpl, SIZE_32);
        flat(SEL_CODE64(cpl), CODE | dpl, SIZE_64);
    }
}

/* In long mode every handler has the interrupt stack 1, so that it runs whatever RSP is. */
static void idt_reset(void)
{
    const uint64_t ist_1 = UINT64_C(1) << 32;

    for (unsigned vector = 0; vector < VECTORS; vector++) {
        unsigned access = vector == VECTOR_USER ? INTERRUPT_GATE | DPL_3 : INTERRUPT_GATE;
        if (in_long_mode())
            idt_set_long(vector, gate(handlers_64[vector], SEL_CODE64_0, access) | ist_1, 0);
        else
            idt_set(vector, gate(handlers_32[vector], SEL_CODE, access));
    }
}

static void tss_reset(void)
{
    clear(TSS_32, TSS_BYTES);
    clear(TSS_64, TSS_BYTES);
    *word_at(TSS_32 + TSS_MAP) = TSS_BYTES; /* no ports */
    *word_at(TSS_64 + TSS_MAP) = TSS_BYTES;
    for (unsigned cpl = 0; cpl <= 2; cpl++) {
        *dword_at(TSS_32 + TSS_SP0 + 8 * cpl) = RING_TOP(cpl);
        *word_at(TSS_32 + TSS_SS0 + 8 * cpl) = SEL_DATA32(cpl);
        *qword_at(TSS_64 + TSS_SP0 + 8 * cpl) = RING_TOP(cpl);
    }
    *qword_at(TSS_64 + TSS_IST1) = IST_TOP;
}

static void ivt_reset(void)
{
    volatile uint32_t *ivt = NULL; /* it does lie at 0 */

    __asm__("" : "+r"(ivt));
    for (unsigned vector = 0; vector < VECTORS; vector++)
        ivt[vector] = handlers_16[vector] | LOW_BASE >> 4 << 16;
}

/* Each entry in one step: the tables may be in use. */
void pages_reset(void)
{
    enum { POINTERS = PAGE_TABLES + 0x1000, DIRECTORIES = PAGE_TABLES + 0x2000 };

    for (uint32_t i = 0; i < 512; i++) {
        qword_at(PAGE_TABLES)[i] = i == 0 ? POINTERS | PAGE_PRESENT_WRITE_USER : 0;
        qword_at(POINTERS)[i] = i < 4 ? (DIRECTORIES + (i << 12)) | PAGE_PRESENT_WRITE_USER : 0;
    }
    for (uint32_t i = 0; i < 4 * 512; i++)
        qword_at(DIRECTORIES)[i] = i << 21 | PAGE_LARGE | PAGE_PRESENT_WRITE_USER;
}

static void registers_reset(void)
{
    if (in_long_mode()) {
        write_cr4(CR4_PAE);
        write_cr3(PAGE_TABLES);
        write_cr0(CR0_PG | CR0_ET_NE | CR0_PE);
        wrmsr(MSR_EFER, EFER_LME_LMA);
    } else {
        write_cr0(CR0_ET_NE | CR0_PE);
        write_cr4(0);
        if (has_long_mode())
            wrmsr(MSR_EFER, 0);
    }
    write_dr7(DR7_RESET);
    write_dr6(DR6_RESET);
    __asm__ volatile("fninit");
}

void idtr_reset(void)
{
    load_idtr(IDT, in_long_mode() ? IDT_LIMIT_LONG : IDT_LIMIT_PROTECTED);
}

void tables_reset(void)
{
    gdt_reset();
    clear(LDT, LDT_LIMIT + 1);
    tss_reset();
    ivt_reset();
    idt_reset();
    if (in_long_mode())
        pages_reset();
    registers_reset();
    load_gdtr(GDT, GDT_LIMIT);
    idtr_reset();
    __asm__ volatile("lldt %w0" : : "r"(SEL_LDT));
    __asm__ volatile("ltr %w0" : : "r"(in_long_mode() ? SEL_TSS64 : SEL_TSS32) : "memory");
}
