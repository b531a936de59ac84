/* The processor at a kernel's first instruction: flat segments, and paging when the entry is
 * 64-bit. */
#include "machine/boot.h"

#include "cpu/system.h"

enum {
    CODE_32_ATTRIBUTES = SEG_G | SEG_DB | SEG_P | SEG_S | SEG_CODE | SEG_READABLE | SEG_ACCESSED,
    CODE_64_ATTRIBUTES = SEG_G | SEG_L | SEG_P | SEG_S | SEG_CODE | SEG_READABLE | SEG_ACCESSED,
    DATA_ATTRIBUTES = SEG_G | SEG_DB | SEG_P | SEG_S | SEG_WRITABLE | SEG_ACCESSED,
    TASK_ATTRIBUTES = SEG_P | 0xb, /* busy 32-bit TSS */
    GDT_ENTRIES = 6,               /* a 64-bit TSS descriptor takes two */
    TASK_BYTES = 0x68,

    TABLE_PRESENT = 1,
    TABLE_WRITABLE = 2,
    TABLE_LARGE = 0x80,
};

static uint64_t boot_descriptor(uint32_t base, uint32_t limit, uint16_t attributes)
{
    uint64_t high = (base & 0xff000000) | (base >> 16 & 0xff) | (limit & 0xf0000) |
                    (uint32_t)(attributes & 0xf0ff) << 8;
    return high << 32 | (uint64_t)(base & 0xffff) << 16 | (limit & 0xffff);
}

static void boot_write_gdt(struct physmem *physmem, uint16_t code_attributes)
{
    const uint64_t gdt[GDT_ENTRIES] = {
        [BOOT_CODE_SELECTOR / 8] = boot_descriptor(0, 0xfffff, code_attributes),
        [BOOT_DATA_SELECTOR / 8] = boot_descriptor(0, 0xfffff, DATA_ATTRIBUTES),
        [BOOT_TASK_SELECTOR / 8] = boot_descriptor(0, TASK_BYTES - 1, TASK_ATTRIBUTES),
    };
    physmem_write(physmem, GPA(BOOT_GDT), gdt, sizeof gdt);
}

/* The first 4 GiB one to one, by pages of 2 MiB. */
static void boot_write_page_tables(struct physmem *physmem)
{
    uint64_t table[512] = {BOOT_PAGE_TABLES + PAGE_BYTES + TABLE_PRESENT + TABLE_WRITABLE};
    physmem_write(physmem, GPA(BOOT_PAGE_TABLES), table, sizeof table);
    for (unsigned i = 0; i < 512; i++)
        table[i] =
            i < 4 ? BOOT_PAGE_TABLES + (2 + i) * PAGE_BYTES + TABLE_PRESENT + TABLE_WRITABLE : 0;
    physmem_write(physmem, GPA(BOOT_PAGE_TABLES + PAGE_BYTES), table, sizeof table);
    for (unsigned directory = 0; directory < 4; directory++) {
        for (unsigned i = 0; i < 512; i++)
            table[i] =
                directory * GIB + i * (GIB / 512) + TABLE_PRESENT + TABLE_WRITABLE + TABLE_LARGE;
        physmem_write(physmem, GPA(BOOT_PAGE_TABLES + (2 + directory) * PAGE_BYTES), table,
                      sizeof table);
    }
}

void boot_enter(struct cpu *cpu, struct physmem *physmem, const struct boot_entry *entry)
{
    uint16_t code_attributes = entry->long_mode ? CODE_64_ATTRIBUTES : CODE_32_ATTRIBUTES;
    boot_write_gdt(physmem, code_attributes);
    for (unsigned seg = ES; seg <= GS; seg++)
        cpu->segs[seg] = (struct segment){
            .limit = UINT32_MAX, .selector = BOOT_DATA_SELECTOR, .attributes = DATA_ATTRIBUTES};
    cpu->segs[CS].selector = BOOT_CODE_SELECTOR;
    cpu->segs[CS].attributes = code_attributes;
    cpu->tr = (struct segment){
        .limit = TASK_BYTES - 1, .selector = BOOT_TASK_SELECTOR, .attributes = TASK_ATTRIBUTES};
    cpu->gdt.base = BOOT_GDT;
    cpu->gdt.limit = GDT_ENTRIES * 8 - 1;
    cpu->idt.base = 0;
    cpu->idt.limit = 0;
    cpu->cpl = 0;
    if (entry->long_mode) {
        boot_write_page_tables(physmem);
        mmu_set_cr4(&cpu->mmu, CR4_PAE);
        mmu_set_efer(&cpu->mmu, EFER_LME | EFER_LMA);
        mmu_set_cr3(&cpu->mmu, BOOT_PAGE_TABLES, false);
    }
    mmu_set_cr0(&cpu->mmu, CR0_PE | CR0_ET | (entry->long_mode ? CR0_PG : 0));
    cpu->eflags = 2;
    cpu->regs[RAX] = entry->rax;
    cpu->regs[RBX] = entry->rbx;
    cpu->regs[RCX] = cpu->regs[RDX] = cpu->regs[RBP] = cpu->regs[RDI] = 0;
    cpu->regs[RSI] = entry->rsi;
    cpu->regs[RSP] = BOOT_STACK;
    cpu->rip = entry->rip;
    cpu_mode_changed(cpu);
}
