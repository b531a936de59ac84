/* A cpu's making and unmaking, its lines, and what follows from its mode. */
#include "cpu/cpu.h"
#include "cpu/block.h"
#include "cpu/flags.h"
#include "cpu/system.h"

#include <stdlib.h>

struct cpu *cpu_new(unsigned index, const struct cpu_model *model, struct physmem *physmem,
                    const struct cpu_ops *ops, void *machine)
{
    struct cpu *cpu = aligned_alloc(64, (sizeof *cpu + 63) / 64 * 64);
    if (!cpu)
        return NULL;
    memset(cpu, 0, sizeof *cpu);
    cpu->index = index;
    cpu->model = model;
    cpu->ops = ops;
    cpu->machine = machine;
    tsc_init(&cpu->tsc);
    cpu->link_epoch = 1; /* a link that was never made has key 0 */
    if (mmu_init(&cpu->mmu, physmem) < 0) {
        free(cpu);
        return NULL;
    }
    cpu->mmu.page_is_watched = debug_page_is_watched;
    cpu->mmu.opaque = cpu;
    cpu->mmu.registers.physical_bits = model->physical_bits;
    cpu->mmu.registers.gigabyte_pages = feature_has(&model->features, FEAT_PDPE1GB);
    cpu->mmu.registers.pse36 = feature_has(&model->features, FEAT_PSE36);
    cpu->blocks = block_cache_new(physmem);
    cpu_reset(cpu, false);
    return cpu;
}

void cpu_free(struct cpu *cpu)
{
    if (!cpu)
        return;
    block_cache_free(cpu->blocks);
    mmu_free(&cpu->mmu);
    free(cpu->empty_view);
    free(cpu);
}

void cpu_raise_line(struct cpu *cpu, enum cpu_line line)
{
    atomic_fetch_or(&cpu->lines, line);
    atomic_store(&cpu->attention, 1);
}

void cpu_lower_line(struct cpu *cpu, enum cpu_line line)
{
    atomic_fetch_and(&cpu->lines, ~(unsigned)line);
}

bool cpu_has_wakeup(const struct cpu *cpu)
{
    unsigned lines = atomic_load(&cpu->lines);
    if (cpu->wait_for_sipi)
        return lines & (LINE_INIT | LINE_SIPI | LINE_EXIT);
    return lines & (LINE_INIT | LINE_EXIT) || (lines & LINE_NMI && !cpu->nmi_blocked) ||
           (lines & LINE_INTR && cpu->eflags & F_IF);
}

enum shadow_view_id cpu_view_id(const struct cpu *cpu)
{
    if (cpu->cpl == 3)
        return VIEW_USER;
    return cpu->mmu.registers.cr4 & CR4_SMAP && cpu->eflags & F_AC ? VIEW_SUPERVISOR_AC
                                                                   : VIEW_SUPERVISOR;
}

enum shadow_view_id cpu_window_view(const struct cpu *cpu)
{
    return cpu->cpl == 3 ? VIEW_USER : VIEW_SUPERVISOR;
}

static uint32_t window_mode(const struct cpu *cpu)
{
    const enum shadow_view_id view = cpu_window_view(cpu);
    if (!windows_open(&cpu->mmu, view))
        return 0;
    return view == VIEW_USER ? MODE_WINDOW_USER : MODE_WINDOW_SUPERVISOR;
}

/* Under alignment checking no access may take the fast path. */
static struct shadow_view *view_without_entries(struct cpu *cpu)
{
    if (!cpu->empty_view) {
        cpu->empty_view = calloc(1, sizeof *cpu->empty_view);
        BUG_ON(!cpu->empty_view);
        for (unsigned slot = 0; slot < SHADOW_ENTRIES; slot++)
            cpu->empty_view->entries[slot] = shadow_entry_none(slot);
    }
    return cpu->empty_view;
}

void cpu_mode_changed(struct cpu *cpu)
{
    const struct mmu_registers *r = &cpu->mmu.registers;
    bool protected_mode = r->cr0 & CR0_PE, v86 = protected_mode && cpu->eflags & F_VM;
    uint16_t cs = cpu->segs[CS].attributes;
    bool is_64 = r->efer & EFER_LMA && cs & SEG_L;
    bool checks_alignment = cpu->cpl == 3 && cpu->eflags & F_AC && r->cr0 & CR0_AM;

    cpu->mode = (cpu->mode & (MODE_SINGLE | MODE_FLAT)) |
                (is_64         ? CODE_64
                 : cs & SEG_DB ? CODE_32
                               : CODE_16) |
                (protected_mode && !v86 ? MODE_PROTECTED : 0) | (v86 ? MODE_V86 : 0) |
                (r->cr0 & CR0_EM ? MODE_EM : 0) | (r->cr0 & CR0_TS ? MODE_TS : 0) |
                (r->efer & EFER_LMA && !is_64 ? MODE_COMPAT : 0) |
                (protected_mode && !v86 && !checks_alignment ? window_mode(cpu) : 0) |
                (r->cr0 & CR0_MP ? MODE_MP : 0) | (r->cr4 & CR4_OSFXSR ? MODE_OSFXSR : 0) |
                (r->cr4 & CR4_OSXSAVE && (cpu->xcr0 & XCR0_VECTORS) == XCR0_VECTORS ? MODE_AVX : 0);
    cpu->linear_mask = is_64 ? ~UINT64_C(0) : UINT32_MAX;
    cpu->ip_mask = cpu->linear_mask;
    cpu->code_base = is_64 ? 0 : cpu->segs[CS].base;
    cpu->stack_mask = is_64                               ? ~UINT64_C(0)
                      : cpu->segs[SS].attributes & SEG_DB ? UINT32_MAX
                                                          : UINT16_MAX;
    segment_update_limits(cpu);

    cpu->view = unlikely(checks_alignment) ? view_without_entries(cpu)
                                           : mmu_view(&cpu->mmu, cpu_view_id(cpu));
    /* Cached jumps were checked against CS's limit once. */
    if (!is_64 && cpu->code_limit != cpu->segs[CS].limit) {
        cpu->code_limit = cpu->segs[CS].limit;
        mmu_forget_fetches(&cpu->mmu);
    }
}

void cpu_pages_changed(struct cpu *cpu, ppn_t first, uint64_t count)
{
    mmu_flush_pages(&cpu->mmu, first, count);
    for (uint64_t i = 0; i < count; i++)
        block_kill_range(cpu, ppn_gpa(PPN(first.v + i)), PAGE_BYTES);
}

static void describe_segment(const char *name, const struct segment *segment, FILE *out)
{
    fprintf(out, "%s =%04x %016llx %08x %04x\n", name, segment->selector,
            (unsigned long long)segment->base, segment->limit, segment->attributes);
}

const char *cpu_mode_name(uint32_t mode)
{
    static const char *const names[4][2] = {
        {"real 16-bit", "real 32-bit"},
        {"prot 16-bit", "prot 32-bit"},
        {"V86 16-bit", "V86 32-bit"},
        {"compat 16-bit", "compat 32-bit"},
    };

    if ((mode & MODE_CODE) == CODE_64)
        return "64-bit";
    return names[mode & MODE_COMPAT      ? 3
                 : mode & MODE_V86       ? 2
                 : mode & MODE_PROTECTED ? 1
                                         : 0][(mode & MODE_CODE) == CODE_32];
}

void cpu_describe(const struct cpu *cpu, FILE *out)
{
    static const char names[16][4] = {"RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI",
                                      "R8 ", "R9 ", "R10", "R11", "R12", "R13", "R14", "R15"};
    static const uint8_t order[16] = {RAX, RBX, RCX, RDX, RSI, RDI, RBP, RSP,
                                      R8,  R9,  R10, R11, R12, R13, R14, R15};
    static const char segment_names[6][3] = {"ES", "CS", "SS", "DS", "FS", "GS"};
    for (unsigned i = 0; i < 16; i++)
        fprintf(out, "%s=%016llx%c", names[order[i]], (unsigned long long)cpu->regs[order[i]],
                i % 4 == 3 ? '\n' : ' ');
    uint32_t flags = cpu_eflags(cpu);
    fprintf(out, "RIP=%016llx EFL=%08x [%c%c%c%c%c%c%c] CPL=%u HLT=%d mode=%s%s%s\n",
            (unsigned long long)cpu->rip, flags, flags & F_DF ? 'D' : '-', flags & F_OF ? 'O' : '-',
            flags & F_SF ? 'S' : '-', flags & F_ZF ? 'Z' : '-', flags & F_AF ? 'A' : '-',
            flags & F_PF ? 'P' : '-', flags & F_CF ? 'C' : '-', cpu->cpl, cpu->halted,
            cpu_is_protected(cpu) ? "protected"
            : cpu_is_v86(cpu)     ? "virtual-8086"
                                  : "real",
            cpu_is_long(cpu) ? " long" : "",
            cpu_code_size(cpu) == CODE_64   ? " 64-bit"
            : cpu_code_size(cpu) == CODE_32 ? " 32-bit"
                                            : " 16-bit");
    for (unsigned seg = ES; seg <= GS; seg++)
        describe_segment(segment_names[seg], &cpu->segs[seg], out);
    describe_segment("LDT", &cpu->ldt, out);
    describe_segment("TR", &cpu->tr, out);
    fprintf(out, "GDT=     %016llx %08x\nIDT=     %016llx %08x\n",
            (unsigned long long)cpu->gdt.base, cpu->gdt.limit, (unsigned long long)cpu->idt.base,
            cpu->idt.limit);
    const struct mmu_registers *r = &cpu->mmu.registers;
    fprintf(out, "CR0=%08llx CR2=%016llx CR3=%016llx CR4=%08llx\n", (unsigned long long)r->cr0,
            (unsigned long long)cpu->cr2, (unsigned long long)r->cr3, (unsigned long long)r->cr4);
    fprintf(out,
            "DR0=%016llx DR1=%016llx DR2=%016llx DR3=%016llx\nDR6=%08llx DR7=%08llx EFER=%llx\n",
            (unsigned long long)cpu->dr[0], (unsigned long long)cpu->dr[1],
            (unsigned long long)cpu->dr[2], (unsigned long long)cpu->dr[3],
            (unsigned long long)cpu->dr[6], (unsigned long long)cpu->dr[7],
            (unsigned long long)r->efer);
}
