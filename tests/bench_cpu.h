/* A protected-mode bench on the rig: GDT, LDT, IDT, TSSs and stacks in guest memory, all flat.
 *
 * Linear memory (paging off): 1000h code, 2000h GDT, 3000h LDT, 4000h IDT, 6000h TSS, 7000h second
 * TSS, 9000h, a000h, b000h, c000h the ends of the stacks of CPL 0..3.
 */
#ifndef TESTS_BENCH_CPU_H
#define TESTS_BENCH_CPU_H

#include "cpu/descriptor.h"
#include "tests/exec_alone.h"

enum {
    BENCH_CODE_AT = 0x1000,
    BENCH_GDT = 0x2000,
    BENCH_LDT = 0x3000,
    BENCH_IDT = 0x4000,
    BENCH_TSS = 0x6000,
    BENCH_TSS2 = 0x7000,
    BENCH_STACKS = 0x9000,
    BENCH_TABLE_LIMIT = 0x3ff,

    SEL_TSS = 0x48,
    SEL_LDT = 0x50,
    SEL_TSS2 = 0x58,
    SEL_GATE = 0x60,
    SEL_TEST = 0x68,
    SEL_TEST2 = 0x70,
    SEL_CODE64 = 0x78, /* DPL 0; +8: its data; +10h: DPL 3 data, +18h: DPL 3 code */
};

/* Flat code and data of DPL d, with RPL d. */
#define SEL_CODE(d)  ((uint16_t)(0x08 + 17 * (d)))
#define SEL_DATA(d)  ((uint16_t)(0x10 + 17 * (d)))
#define STACK_TOP(d) ((uint32_t)(BENCH_STACKS + 0x1000 * (d)))

/* Access byte: P, DPL, S, type. */
#define ACCESS(p, dpl, s, type) ((unsigned)((p) << 7 | (dpl) << 5 | (s) << 4 | (type)))
enum { FLAGS_16 = 0, FLAGS_32 = 0xc, FLAGS_64 = 0xa, FLAGS_BYTES = 0x4 };

static inline uint64_t descriptor_make(uint32_t base, uint32_t limit, unsigned access,
                                       unsigned flags)
{
    return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)access << 40 |
           (uint64_t)(limit >> 16 & 15) << 48 | (uint64_t)flags << 52 |
           (uint64_t)(base >> 24) << 56;
}

static inline uint64_t gate_make(uint16_t selector, uint32_t offset, unsigned access,
                                 unsigned parameters)
{
    return (offset & 0xffff) | (uint64_t)selector << 16 | (uint64_t)parameters << 32 |
           (uint64_t)access << 40 | (uint64_t)(offset >> 16) << 48;
}

static inline void poke(struct rig *rig, uint64_t address, uint64_t value, unsigned size)
{
    physmem_write(&rig->physmem, GPA(address), &value, size);
}

static inline void bench_gdt(struct rig *rig, uint16_t selector, uint64_t raw)
{
    poke(rig, BENCH_GDT + (selector & ~7u), raw, 8);
}

static inline void bench_idt(struct rig *rig, unsigned vector, uint64_t raw)
{
    poke(rig, BENCH_IDT + vector * 8, raw, 8);
}

static inline struct segment bench_segment(struct rig *rig, uint16_t selector)
{
    struct descriptor descriptor = {.raw = rig_peek(rig, BENCH_GDT + (selector & ~7u), 8)};
    return segment_from(&descriptor, selector);
}

/* Every table as at the start. */
static inline void bench_tables(struct rig *rig)
{
    for (unsigned dpl = 0; dpl < 4; dpl++) {
        bench_gdt(rig, SEL_CODE(dpl),
                  descriptor_make(0, 0xfffff, ACCESS(1, dpl, 1, 0xb), FLAGS_32));
        bench_gdt(rig, SEL_DATA(dpl),
                  descriptor_make(0, 0xfffff, ACCESS(1, dpl, 1, 0x3), FLAGS_32));
    }
    bench_gdt(rig, SEL_TSS, descriptor_make(BENCH_TSS, 0xfff, ACCESS(1, 0, 0, 11), 0));
    bench_gdt(rig, SEL_LDT, descriptor_make(BENCH_LDT, BENCH_TABLE_LIMIT, ACCESS(1, 0, 0, 2), 0));
    bench_gdt(rig, SEL_TSS2, descriptor_make(BENCH_TSS2, 0x67, ACCESS(1, 3, 0, 9), 0));
    for (unsigned cpl = 0; cpl < 3; cpl++) {
        poke(rig, BENCH_TSS + 4 + cpl * 8, STACK_TOP(cpl), 4);
        poke(rig, BENCH_TSS + 8 + cpl * 8, SEL_DATA(cpl), 4);
    }
    poke(rig, BENCH_TSS + 102, 0x68, 2); /* the permission bitmap: all ports free */
    for (unsigned vector = 0; vector < 32; vector++)
        bench_idt(rig, vector, gate_make(SEL_CODE(0), 0x100 + vector, ACCESS(1, 0, 0, 14), 0));
}

/* Puts the processor at CPL `cpl` of 32-bit protected mode. */
static inline void bench_enter(struct rig *rig, unsigned cpl)
{
    struct cpu *cpu = rig->cpu;
    cpu->gdt = (struct descriptor_table){BENCH_GDT, BENCH_TABLE_LIMIT};
    cpu->idt = (struct descriptor_table){BENCH_IDT, 0xff};
    mmu_set_efer(&cpu->mmu, 0);
    mmu_set_cr4(&cpu->mmu, 0);
    mmu_set_cr0(&cpu->mmu, CR0_PE | CR0_ET | CR0_NE);
    cpu->eflags = 2;
    flags_set_arithmetic(cpu, 0);
    for (unsigned seg = ES; seg <= GS; seg++)
        cpu->segs[seg] = bench_segment(rig, SEL_DATA(cpl));
    cpu->segs[CS] = bench_segment(rig, SEL_CODE(cpl));
    cpu->tr = bench_segment(rig, SEL_TSS);
    cpu->ldt = bench_segment(rig, SEL_LDT);
    cpu->cpl = (uint8_t)cpl;
    cpu->rip = BENCH_CODE_AT;
    for (unsigned reg = RAX; reg <= RDI; reg++)
        cpu->regs[reg] = 0x11110000 + reg;
    cpu->regs[RSP] = STACK_TOP(cpl);
    cpu->fault = (struct cpu_fault){0};
    cpu->halted = cpu->nmi_blocked = cpu->inhibit = false;
    cpu_mode_changed(cpu);
}

/* The same in virtual-8086 mode: CS 100h (code at 1000h), stack at c000h, IOPL as given. */
static inline void bench_enter_v86(struct rig *rig, unsigned iopl)
{
    struct cpu *cpu = rig->cpu;
    bench_enter(rig, 3);
    cpu->eflags = 2 | F_VM | F_IF | iopl << 12;
    for (unsigned seg = ES; seg <= GS; seg++)
        cpu->segs[seg] = segment_v86(0x100 * seg);
    cpu->segs[CS] = segment_v86(BENCH_CODE_AT >> 4);
    cpu->segs[SS] = segment_v86(0);
    cpu->rip = 0;
    cpu->regs[RSP] = STACK_TOP(3);
    cpu_mode_changed(cpu);
}

/* 64-bit mode at CPL 0 or 3 under the rig's page tables, stack at STACK_TOP(2) + 7; IST 1 is
 * STACK_TOP(1) + 9. */
static inline void bench_enter_long(struct rig *rig, unsigned cpl)
{
    struct cpu *cpu = rig->cpu;
    rig_long(rig, BENCH_CODE_AT, cpl);
    bench_gdt(rig, SEL_CODE64, descriptor_make(0, 0xfffff, ACCESS(1, 0, 1, 0xb), FLAGS_64));
    bench_gdt(rig, SEL_CODE64 + 8, descriptor_make(0, 0xfffff, ACCESS(1, 0, 1, 3), FLAGS_32));
    bench_gdt(rig, SEL_CODE64 + 16, descriptor_make(0, 0xfffff, ACCESS(1, 3, 1, 3), FLAGS_32));
    bench_gdt(rig, SEL_CODE64 + 24, descriptor_make(0, 0xfffff, ACCESS(1, 3, 1, 0xb), FLAGS_64));
    cpu->gdt = (struct descriptor_table){BENCH_GDT, BENCH_TABLE_LIMIT};
    cpu->idt = (struct descriptor_table){BENCH_IDT, 0xfff};
    cpu->tr = (struct segment){
        .base = BENCH_TSS, .limit = 0x67, .selector = SEL_TSS, .attributes = SEG_P | 11};
    cpu->ldt = segment_null(0);
    poke(rig, BENCH_TSS + 4, STACK_TOP(0) + 4, 8);
    poke(rig, BENCH_TSS + 36, STACK_TOP(1) + 9, 8);
    cpu->eflags = 2 | F_IF;
    cpu->segs[CS].selector = (uint16_t)(cpl ? SEL_CODE64 + 24 + 3 : SEL_CODE64);
    cpu->segs[SS].selector = (uint16_t)(cpl ? SEL_CODE64 + 16 + 3 : SEL_CODE64 + 8);
    cpu->regs[RSP] = STACK_TOP(2) + 7;
}

/* Runs bytes as one instruction; what came of it as vector << 16 | error code, or -1 for none. */
static inline int64_t bench_run(struct rig *rig, const void *bytes, size_t length)
{
    rig->cpu->fault = (struct cpu_fault){0};
    if (alone_bytes(rig->cpu, bytes, length) != EXEC_FAULT)
        return -1;
    return (int64_t)rig->cpu->fault.vector << 16 | rig->cpu->fault.error;
}
#define BENCH_RUN(rig, ...)                                                                        \
    bench_run(rig, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))
#define FAULT(vector, error) ((int64_t)(vector) << 16 | (int64_t)(error))
enum { NO_FAULT = -1 };

/* Far JMP or CALL to `selector`:`offset` with 32-bit operands. */
static inline int64_t bench_far(struct rig *rig, bool is_call, uint16_t selector, uint32_t offset)
{
    uint8_t bytes[7] = {is_call ? 0x9a : 0xea};
    memcpy(bytes + 1, &offset, 4);
    memcpy(bytes + 5, &selector, 2);
    return bench_run(rig, bytes, sizeof bytes);
}

static inline uint64_t bench_stack(struct rig *rig, unsigned slot)
{
    return rig_peek(rig, (uint32_t)rig->cpu->regs[RSP] + slot * 4, 4);
}

static inline unsigned access_byte(struct rig *rig, uint16_t selector)
{
    return (unsigned)rig_peek(rig, BENCH_GDT + (selector & ~7u) + 5, 1);
}

#endif
