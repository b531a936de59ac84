/* A bare machine for tests of the CPU: 4 MiB of RAM, no devices, guest code assembled in place.
 *
 *     GUEST_CODE(adds, ".code16\n add ax, bx\n hlt\n");
 *     struct rig rig; rig_init(&rig); rig_real(&rig, 0x1000); rig_load(&rig, 0x1000, adds); …
 */
#ifndef TESTS_RIG_H
#define TESTS_RIG_H

#include "cpu/block.h"
#include "cpu/exec.h"
#include "cpu/system.h"

#include <criterion/criterion.h>

enum { RIG_RAM_BYTES = 4 << 20 };

struct rig {
    struct frames frames;
    struct bus bus;
    struct physmem physmem;
    struct cpu_model model;
    struct cpu *cpu;
    int interrupt_vector;  /* acknowledged next; -1: none */
    uint64_t tsc_deadline; /* as if in the local APIC */
    unsigned tsc_deadline_writes;
};

/* Assembles `text` (Intel syntax) into name_start[] .. name_end[]. */
#define GUEST_CODE(name, text)                                                                     \
    __asm__(".pushsection .rodata\n.intel_syntax noprefix\n.global " #name "_start\n" #name        \
            "_start:\n" text "\n.global " #name "_end\n" #name                                     \
            "_end:\n.att_syntax prefix\n.code64\n.popsection\n");                                  \
    extern const uint8_t name##_start[], name##_end[]
#define rig_load(rig, address, name)                                                               \
    physmem_write(&(rig)->physmem, GPA(address), name##_start, (size_t)(name##_end - name##_start))

static uint32_t rig_port_read(void *machine, struct cpu *cpu, uint16_t port, unsigned size)
{
    return UINT32_MAX;
}
static void rig_port_write(void *machine, struct cpu *cpu, uint16_t port, unsigned size,
                           uint32_t value)
{
}
static uint64_t rig_mmio_read(void *machine, struct cpu *cpu, gpa_t gpa, unsigned size)
{
    return UINT64_MAX;
}
static void rig_mmio_write(void *machine, struct cpu *cpu, gpa_t gpa, unsigned size, uint64_t value)
{
}
static int rig_acknowledge(void *machine, struct cpu *cpu)
{
    struct rig *rig = machine;
    int vector = rig->interrupt_vector;
    rig->interrupt_vector = -1;
    cpu_lower_line(cpu, LINE_INTR);
    return vector;
}
static uint64_t rig_tsc(void *machine, struct cpu *cpu)
{
    return cpu->instructions;
}
static uint64_t rig_tsc_deadline_read(void *machine, struct cpu *cpu)
{
    return ((struct rig *)machine)->tsc_deadline;
}
static void rig_tsc_deadline_write(void *machine, struct cpu *cpu, uint64_t tsc)
{
    struct rig *rig = machine;
    rig->tsc_deadline = tsc;
    rig->tsc_deadline_writes++;
}
static void rig_code_written(void *opaque, gpa_t gpa, unsigned length)
{
    block_code_written(((struct rig *)opaque)->cpu, gpa, length);
}
static void rig_page_changed(void *opaque, ppn_t first, uint64_t count)
{
    struct rig *rig = opaque;
    if (rig->cpu)
        cpu_pages_changed(rig->cpu, first, count);
}

static const struct cpu_ops rig_ops = {
    .port_read = rig_port_read,
    .port_write = rig_port_write,
    .mmio_read = rig_mmio_read,
    .mmio_write = rig_mmio_write,
    .acknowledge = rig_acknowledge,
    .tsc = rig_tsc,
    .tsc_deadline_read = rig_tsc_deadline_read,
    .tsc_deadline_write = rig_tsc_deadline_write,
};

static inline void rig_init(struct rig *rig)
{
    struct error error;
    memset(rig, 0, sizeof *rig);
    rig->interrupt_vector = -1;
    bus_init(&rig->bus, "memory", UINT64_MAX);
    cr_assert_eq(frames_init(&rig->frames, RIG_RAM_BYTES, &error), 0);
    cr_assert_eq(physmem_init(&rig->physmem, &rig->frames, &rig->bus, RIG_RAM_BYTES, &error), 0);
    memset(rig->physmem.low, PHYSMEM_READ_RAM | PHYSMEM_WRITE_RAM, sizeof rig->physmem.low);
    rig->physmem.ops = (struct physmem_ops){
        .code_written = rig_code_written, .page_changed = rig_page_changed, .opaque = rig};
    cr_assert_eq(cpu_model_parse("max", &rig->model, &error), 0);
    rig->cpu = cpu_new(0, &rig->model, &rig->physmem, &rig_ops, rig);
    cr_assert_not_null(rig->cpu);
}

static inline void rig_free(struct rig *rig)
{
    cpu_free(rig->cpu);
    rig->cpu = NULL;
    physmem_free(&rig->physmem);
    frames_free(&rig->frames);
    bus_free(&rig->bus);
}

/* Real mode at 0:ip, all segments 0, stack at 0:8000h. */
static inline void rig_real(struct rig *rig, uint16_t ip)
{
    struct cpu *cpu = rig->cpu;
    for (unsigned seg = ES; seg <= GS; seg++)
        segment_load_real(cpu, seg, 0);
    cpu->rip = ip;
    cpu->regs[RSP] = 0x8000;
    cpu_mode_changed(cpu);
}

/* Long mode at CPL `cpl`, 64-bit code at `rip`: tables at 10000h map the first 4 MiB one to one
 * with 4 KiB pages, user-accessible; the page of linear address L has its PTE at rig_pte(L). */
static inline uint64_t rig_pte(uint64_t linear)
{
    return 0x13000 + (linear >> 12) * 8;
}
static inline void rig_long(struct rig *rig, uint64_t rip, unsigned cpl)
{
    struct cpu *cpu = rig->cpu;
    static const uint64_t tables[][2] = {
        {0x10000, 0x11007}, {0x11000, 0x12007}, {0x12000, 0x13007}, {0x12008, 0x14007}};
    for (unsigned i = 0; i < 4; i++)
        physmem_write(&rig->physmem, GPA(tables[i][0]), &tables[i][1], 8);
    for (uint64_t page = 0; page < RIG_RAM_BYTES; page += PAGE_BYTES) {
        uint64_t entry = page | 0x67;
        physmem_write(&rig->physmem, GPA(rig_pte(page)), &entry, 8);
    }
    mmu_set_efer(&cpu->mmu, EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE);
    mmu_set_cr4(&cpu->mmu, CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_PGE);
    mmu_set_cr3(&cpu->mmu, 0x10000, false);
    mmu_set_cr0(&cpu->mmu, CR0_PG | CR0_WP | CR0_PE | CR0_NE | CR0_ET);
    for (unsigned seg = ES; seg <= GS; seg++)
        cpu->segs[seg] = (struct segment){
            .limit = UINT32_MAX,
            .selector = (uint16_t)(0x10 | cpl),
            .attributes = (uint16_t)(SEG_G | SEG_DB | SEG_P | SEG_S | cpl << SEG_DPL_SHIFT | 3)};
    cpu->segs[CS].selector = (uint16_t)(8 | cpl);
    cpu->segs[CS].attributes =
        (uint16_t)(SEG_G | SEG_L | SEG_P | SEG_S | cpl << SEG_DPL_SHIFT | 0xb);
    cpu->cpl = (uint8_t)cpl;
    cpu->rip = rip;
    cpu->regs[RSP] = 0x80000;
    cpu_mode_changed(cpu);
}

static inline uint64_t rig_peek(struct rig *rig, uint64_t address, unsigned size)
{
    uint64_t value = 0;
    physmem_read(&rig->physmem, GPA(address), &value, size);
    return value;
}

#endif
