/* RESET and INIT: SDM 3A table 10-1 (state after power-up, reset and INIT). */
#include "cpu/block.h"
#include "cpu/system.h"

#define CR0_RESET     (CR0_ET | CR0_NW | CR0_CD)
#define DR6_RESET     UINT64_C(0xffff0ff0)
#define DR7_RESET     UINT64_C(0x400)
#define RESET_RIP     UINT64_C(0xfff0)
#define RESET_CS      0xf000
#define RESET_CS_BASE UINT64_C(0xffff0000)

static struct segment reset_segment(uint16_t selector, uint64_t base, unsigned attributes)
{
    return (struct segment){
        .base = base,
        .limit = 0xffff,
        .selector = selector,
        .attributes = (uint16_t)(SEG_P | attributes),
    };
}

static void reset_segments(struct cpu *cpu)
{
    enum {
        DATA = SEG_S | SEG_WRITABLE | SEG_ACCESSED,
        LDT_TYPE = 2,
        TSS32_BUSY_TYPE = 11,
    };
    for (unsigned seg = 0; seg < SEG_FLAT; seg++)
        cpu->segs[seg] = reset_segment(0, 0, DATA);
    cpu->segs[CS] = reset_segment(RESET_CS, RESET_CS_BASE, DATA);
    cpu->segs[SEG_FLAT] = cpu->segs[SEG_FLAT_STACK] =
        (struct segment){.limit = UINT32_MAX,
                         .attributes = SEG_P | DATA | SEG_G | SEG_DB,
                         .read_end = UINT64_MAX,
                         .write_end = UINT64_MAX};
    cpu->ldt = reset_segment(0, 0, LDT_TYPE);
    cpu->tr = reset_segment(0, 0, TSS32_BUSY_TYPE);
    cpu->gdt = cpu->idt = (struct descriptor_table){.limit = 0xffff};
}

static void reset_control(struct cpu *cpu, bool init)
{
    uint64_t keep = init ? cpu->mmu.registers.cr0 & (CR0_CD | CR0_NW) : CR0_CD | CR0_NW;
    mmu_set_cr4(&cpu->mmu, 0);
    mmu_set_efer(&cpu->mmu, 0);
    mmu_set_cr0(&cpu->mmu, (CR0_RESET & ~(CR0_CD | CR0_NW)) | keep);
    mmu_set_cr3(&cpu->mmu, 0, false);
    mmu_flush_all(&cpu->mmu);
    cpu->cr2 = 0;
    for (unsigned i = 0; i < ARRAY_LENGTH(cpu->dr); i++)
        cpu->dr[i] = 0;
    cpu->dr[6] = DR6_RESET;
    cpu->dr[7] = DR7_RESET;
}

void cpu_reset(struct cpu *cpu, bool init)
{
    for (unsigned i = 0; i < REG_COUNT; i++)
        cpu->regs[i] = 0;
    cpu->regs[RDX] = cpu->model->signature;
    cpu->rip = RESET_RIP;
    cpu->eflags = 2;
    flags_set_arithmetic(cpu, 0);
    cpu->cpl = 0;
    reset_segments(cpu);
    reset_control(cpu, init);

    cpu->inhibit = cpu->inhibit_debug = cpu->halted = cpu->nmi_blocked = cpu->delivered = false;
    cpu->debug_pending = 0;
    cpu->fault = (struct cpu_fault){0};
    cpu->rmw.pending = false;
    cpu->wait_for_sipi = cpu->index != 0; /* MP protocol, SDM 3A §8.4 */
    if (!init) {
        atomic_fetch_and(&cpu->lines, ~(unsigned)(LINE_NMI | LINE_INIT | LINE_SIPI));
        msr_reset(cpu);
        x87_reset(cpu);
        sse_reset(cpu);
        cpu->xcr0 = 1;
        block_kill_all(cpu);
    }
    cpu_mode_changed(cpu);
}
