/* Writes to the control registers: what may be set when, and what follows.
 *
 * INV-1: EFER.LMA is CR0.PG & EFER.LME at all times; it changes here only.
 * INV-2: under PAE outside long mode the PDPTEs in mmu.registers are those of the last CR3 load,
 *        or of the last change of CR0 or CR4 that reloads them.
 * Sources: SDM 3A §2.5 (control registers), §4.1.2 (paging modes), §4.4.1 (PDPTEs), §9.8.5
 * (entering IA-32e mode), 2B MOV to CR.
 */
#include "cpu/control.h"
#include "cpu/descriptor.h"

#define CR0_DEFINED                                                                                \
    (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD |     \
     CR0_PG)

static bool gp0(struct cpu *cpu)
{
    return cpu_fault(cpu, VECTOR_GP, 0);
}

/* Entering long mode (PG with LME): SDM 3A §9.8.5. */
static bool long_mode_is_refused(const struct cpu *cpu)
{
    const struct mmu_registers *r = &cpu->mmu.registers;
    bool tss16 = cpu->tr.attributes & SEG_P && !(cpu->tr.attributes & SYSTEM_32);
    return !(r->cr4 & CR4_PAE) || cpu->segs[CS].attributes & SEG_L || tss16;
}

static bool uses_pdptes(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
    return cr0 & CR0_PG && cr4 & CR4_PAE && !(efer & EFER_LMA);
}

bool control_write_cr0(struct cpu *cpu, uint64_t value)
{
    const struct mmu_registers *r = &cpu->mmu.registers;
    uint64_t efer = r->efer;
    if (value >> 32)
        return gp0(cpu);
    value = (value & CR0_DEFINED) | CR0_ET;
    uint64_t changed = value ^ r->cr0;
    if ((value & CR0_PG && !(value & CR0_PE)) || (value & CR0_NW && !(value & CR0_CD)))
        return gp0(cpu);
    if (changed & CR0_PG) {
        if (value & CR0_PG) {
            if (efer & EFER_LME && long_mode_is_refused(cpu))
                return gp0(cpu);
            efer |= efer & EFER_LME ? EFER_LMA : 0;
        } else {
            if (cpu_is_64(cpu) || r->cr4 & CR4_PCIDE)
                return gp0(cpu);
            efer &= ~EFER_LMA;
        }
    }
    if (changed & (CR0_PG | CR0_CD | CR0_NW) && uses_pdptes(value, r->cr4, efer) &&
        !mmu_load_pdptes(&cpu->mmu, r->cr3))
        return gp0(cpu);
    if (efer != r->efer)
        mmu_set_efer(&cpu->mmu, efer);
    mmu_set_cr0(&cpu->mmu, value);
    cpu_mode_changed(cpu);
    return false;
}

bool control_write_cr3(struct cpu *cpu, uint64_t value)
{
    const struct mmu_registers *r = &cpu->mmu.registers;
    bool keep = false;
    if (cpu_is_long(cpu)) {
        if (r->cr4 & CR4_PCIDE) {
            keep = value >> 63;
            value &= ~BIT(63);
        }
        if (value >> r->physical_bits)
            return gp0(cpu);
    } else if (uses_pdptes(r->cr0, r->cr4, r->efer) && !mmu_load_pdptes(&cpu->mmu, value)) {
        return gp0(cpu);
    }
    mmu_set_cr3(&cpu->mmu, value, keep);
    cpu_mode_changed(cpu);
    return false;
}

static const struct {
    uint64_t bit;
    enum feature feature;
} cr4_bits[] = {
    {CR4_VME, FEAT_VME},           {CR4_PVI, FEAT_VME},
    {CR4_TSD, FEAT_TSC},           {CR4_DE, FEAT_DE},
    {CR4_PSE, FEAT_PSE},           {CR4_PAE, FEAT_PAE},
    {CR4_MCE, FEAT_MCE},           {CR4_PGE, FEAT_PGE},
    {CR4_PCE, FEAT_MMX},           {CR4_OSFXSR, FEAT_FXSR},
    {CR4_OSXMMEXCPT, FEAT_SSE},    {CR4_UMIP, FEAT_UMIP},
    {CR4_FSGSBASE, FEAT_FSGSBASE}, {CR4_PCIDE, FEAT_PCID},
    {CR4_OSXSAVE, FEAT_XSAVE},     {CR4_SMEP, FEAT_SMEP},
    {CR4_SMAP, FEAT_SMAP},
};

uint64_t control_cr4_valid(const struct feature_set *features)
{
    uint64_t valid = 0;
    for (unsigned i = 0; i < ARRAY_LENGTH(cr4_bits); i++)
        if (feature_has(features, cr4_bits[i].feature))
            valid |= cr4_bits[i].bit;
    return valid;
}

bool control_write_cr4(struct cpu *cpu, uint64_t value)
{
    const struct mmu_registers *r = &cpu->mmu.registers;
    uint64_t changed = value ^ r->cr4;
    if (value & ~control_cr4_valid(&cpu->model->features))
        return gp0(cpu);
    if (cpu_is_long(cpu) && !(value & CR4_PAE))
        return gp0(cpu);
    if (changed & value & CR4_PCIDE && (!cpu_is_long(cpu) || r->cr3 & 0xfff))
        return gp0(cpu);
    if (changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP) && uses_pdptes(r->cr0, value, r->efer) &&
        !mmu_load_pdptes(&cpu->mmu, r->cr3))
        return gp0(cpu);
    mmu_set_cr4(&cpu->mmu, value);
    cpu_mode_changed(cpu);
    return false;
}
