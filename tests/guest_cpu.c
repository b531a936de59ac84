/* The interpreter in user mode, with the host oracle's sandbox at the same addresses. */
#include "tests/host_cpu.h"

#include "cpu/cpu.h"
#include "cpu/decode.h"
#include "cpu/exec.h"
#include "cpu/exec_special.h"
#include "cpu/system.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    RAM_BYTES = 1 << 20,
    TABLES = 0x1000, /* page tables, from here on */
    CODE_GPA = 0x20000,
    DATA_GPA = 0x30000,
};

static struct {
    struct frames frames;
    struct bus bus;
    struct physmem physmem;
    struct cpu_model model;
    struct cpu *cpu;
    uint8_t *code, *data[2];
    unsigned calls;
} guest;

static uint64_t table_entry(uint64_t table, unsigned index)
{
    uint64_t entry = 0;
    physmem_read(&guest.physmem, GPA(table + 8 * index), &entry, sizeof entry);
    return entry;
}

static void map_page(uint64_t linear, uint64_t gpa, uint64_t *next_table)
{
    enum { PRESENT_WRITABLE_USER = 7, ACCESSED_DIRTY = 0x60 };
    uint64_t table = TABLES;
    for (unsigned shift = 39; shift > 12; shift -= 9) {
        unsigned index = linear >> shift & 511;
        uint64_t entry = table_entry(table, index);
        if (!entry) {
            entry = *next_table | PRESENT_WRITABLE_USER | ACCESSED_DIRTY;
            *next_table += PAGE_BYTES;
            physmem_write(&guest.physmem, GPA(table + 8 * index), &entry, sizeof entry);
        }
        table = entry & PAGE_MASK;
    }
    uint64_t leaf = gpa | PRESENT_WRITABLE_USER | ACCESSED_DIRTY;
    physmem_write(&guest.physmem, GPA(table + 8 * (linear >> 12 & 511)), &leaf, sizeof leaf);
}

static void set_segments(struct cpu *cpu, bool code_64)
{
    const struct segment data = {.limit = UINT32_MAX,
                                 .selector = 0x2b,
                                 .attributes = SEG_P | SEG_DPL | SEG_S | SEG_WRITABLE |
                                               SEG_ACCESSED | SEG_DB | SEG_G};
    for (unsigned i = ES; i <= GS; i++)
        cpu->segs[i] = data;
    cpu->segs[CS].selector = code_64 ? 0x33 : 0x23;
    cpu->segs[CS].attributes = SEG_P | SEG_DPL | SEG_S | SEG_CODE | SEG_READABLE | SEG_ACCESSED |
                               SEG_G | (code_64 ? SEG_L : SEG_DB);
    cpu->cpl = 3;
    cpu_mode_changed(cpu);
}

void guest_cpu_open(const struct feature_set *features)
{
    struct error error;
    uint64_t next_table = TABLES + PAGE_BYTES;
    bus_init(&guest.bus, "memory", UINT64_MAX);
    if (frames_init(&guest.frames, RAM_BYTES + (1 << 16), &error) < 0 ||
        physmem_init(&guest.physmem, &guest.frames, &guest.bus, RAM_BYTES, &error) < 0) {
        fprintf(stderr, "guest memory: %s\n", error.text);
        exit(1);
    }
    guest.model = (struct cpu_model){.name = "host",
                                     .physical_bits = 40,
                                     .linear_bits = 48,
                                     .max_leaf = 13,
                                     .max_extended_leaf = 0x80000008,
                                     .features = *features};
    map_page(SANDBOX_CODE, CODE_GPA, &next_table);
    map_page(SANDBOX_DATA, DATA_GPA, &next_table);
    map_page(SANDBOX_DATA + PAGE_BYTES, DATA_GPA + PAGE_BYTES, &next_table);
    guest.data[0] = physmem_page_write(&guest.physmem, gpa_ppn(GPA(DATA_GPA)), NULL);
    guest.data[1] = physmem_page_write(&guest.physmem, gpa_ppn(GPA(DATA_GPA + PAGE_BYTES)), NULL);

    struct cpu *cpu = guest.cpu = cpu_new(0, &guest.model, &guest.physmem, NULL, NULL);
    if (!cpu)
        exit(1);
    mmu_set_efer(&cpu->mmu, EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE);
    mmu_set_cr3(&cpu->mmu, TABLES, false);
    mmu_set_cr4(&cpu->mmu, CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_DE | CR4_PSE |
                               CR4_OSXSAVE);
    cpu->xcr0 = XCR0_X87 | XCR0_SSE | (feature_has(features, FEAT_AVX) ? XCR0_AVX : 0);
    mmu_set_cr0(&cpu->mmu, CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG);
    atomic_store(&cpu->attention, 1); /* branches come back at once */
}

void guest_cpu_close(void)
{
    cpu_free(guest.cpu);
    physmem_free(&guest.physmem);
    frames_free(&guest.frames);
    bus_free(&guest.bus);
}

uint8_t *guest_cpu_data(unsigned page)
{
    return guest.data[page];
}

static void load_state(struct cpu *cpu, const struct cpu_state *state)
{
    const struct fx_image *fx = &state->fx;
    unsigned top = fx->status >> 11 & 7;
    memcpy(cpu->regs, state->regs, sizeof state->regs);
    cpu->rip = state->rip;
    cpu->eflags = (state->eflags & ~(uint32_t)F_ARITH) | 2;
    flags_set_arithmetic(cpu, state->eflags);
    cpu->x87.control = fx->control;
    cpu->x87.status = fx->status;
    cpu->x87.valid = fx->valid;
    for (unsigned i = 0; i < 8; i++)
        cpu->x87.registers[(top + i) & 7] =
            (struct x87_register){.mantissa = fx->st[i].mantissa, .exponent = fx->st[i].exponent};
    cpu->mxcsr = fx->mxcsr;
    for (unsigned i = 0; i < 16; i++) {
        memcpy(&cpu->xmm[i], fx->xmm[i], 16);
        memcpy(&cpu->xmm[i].q[2], state->upper[i], 16);
    }
}

static void store_state(const struct cpu *cpu, struct cpu_state *state)
{
    struct fx_image *fx = &state->fx;
    unsigned top = cpu->x87.status >> 11 & 7;
    memcpy(state->regs, cpu->regs, sizeof state->regs);
    state->rip = cpu->rip;
    state->eflags = cpu_eflags(cpu);
    fx->control = cpu->x87.control;
    fx->status = cpu->x87.status;
    fx->valid = cpu->x87.valid;
    for (unsigned i = 0; i < 8; i++) {
        fx->st[i].mantissa = cpu->x87.registers[(top + i) & 7].mantissa;
        fx->st[i].exponent = cpu->x87.registers[(top + i) & 7].exponent;
    }
    fx->mxcsr = cpu->mxcsr;
    for (unsigned i = 0; i < 16; i++) {
        memcpy(fx->xmm[i], &cpu->xmm[i], 16);
        memcpy(state->upper[i], &cpu->xmm[i].q[2], 16);
    }
}

void guest_cpu_run(const uint8_t *code, bool code_64, struct cpu_state *state,
                   struct cpu_outcome *outcome)
{
    struct cpu *cpu = guest.cpu;
    struct insn insns[2] = {0};
    int result;
    state->rip = SANDBOX_ENTRY;
    load_state(cpu, state);
    set_segments(cpu, code_64);
    decode(code, INSN_LENGTH_MAX, cpu->mode, &guest.model.features, &insns[0]);
    insns[1].exec = exec_stop;
    insns[1].offset = insns[0].length;
    if (guest.calls++ & 1) /* the general handlers and those that blocks use, by turns */
        exec_specialise(insns, 1);
    sse_enter(cpu);
    do {
        cpu->block_rip = cpu->rip;
        result = insns[0].exec(cpu, insns);
        if (result == EXEC_NEXT)
            result = exec_stop(cpu, &insns[1]);
    } while (result == EXEC_LEAVE && cpu->rip == state->rip && insns[0].rep);
    sse_leave(cpu);
    *outcome = (struct cpu_outcome){.vector = -1};
    if (result == EXEC_FAULT)
        *outcome = (struct cpu_outcome){
            .vector = cpu->fault.vector, .error = cpu->fault.error, .address = cpu->fault.cr2};
    store_state(cpu, state);
}
