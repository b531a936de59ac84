/* RDMSR and WRMSR: which registers exist, who has them, and what may be written to them.
 *
 * A register is either plain (a row of `plain`: a field of cpu->msr and the bits that may be set)
 * or has a function of its own below.  What is in neither is #GP(0).
 * Sources: SDM 4 ch. 2, 3A §11.11 (MTRRs), §11.12 (PAT), §10.4.4 (APIC base), 3B §15.3 (machine
 * check); AMD APM vol. 2 app. A.
 */
#include "cpu/msr.h"
#include "base/log.h"
#include "cpu/system.h"

#include <stddef.h>

enum { MC_BANKS = 4, VARIABLE_MTRRS = 8 };

#define MCG_CTL_PRESENT        BIT(8)
#define MTRR_CAP               (VARIABLE_MTRRS | BIT(8) | BIT(10)) /* fixed ranges, WC */
#define APIC_BASE_BSP          BIT(8)
#define APIC_BASE_X2APIC       BIT(10)
#define APIC_BASE_ENABLE       BIT(11)
#define APIC_BASE_DEFAULT      UINT64_C(0xfee00000)
#define PAT_RESET              UINT64_C(0x0007040600070406)
#define FEATURE_CONTROL_LOCKED BIT(0)
#define MISC_ENABLE_RESET      (BIT(0) | BIT(11) | BIT(12)) /* fast strings; no BTS, no PEBS */
#define DEBUGCTL_DEFINED       (DEBUGCTL_LBR | DEBUGCTL_BTF)
#define BIOS_SIGNATURE         (UINT64_C(1) << 32)

static bool gp0(struct cpu *cpu)
{
    return cpu_fault(cpu, VECTOR_GP, 0);
}

/* --- plain registers */

enum plain_kind { ANY, CANONICAL, MASKED };

static const struct plain {
    uint32_t index;
    uint16_t field; /* offset in struct cpu_msrs */
    uint8_t feature;
    bool intel_only;
    uint8_t kind;
    uint64_t writable; /* MASKED: other bits are #GP */
} plain[] = {
#define FIELD(name) offsetof(struct cpu_msrs, name)
    {MSR_SYSENTER_CS, FIELD(sysenter_cs), FEAT_SEP, false, ANY, 0},
    {MSR_SYSENTER_ESP, FIELD(sysenter_esp), FEAT_SEP, false, CANONICAL, 0},
    {MSR_SYSENTER_EIP, FIELD(sysenter_eip), FEAT_SEP, false, CANONICAL, 0},
    {MSR_STAR, FIELD(star), FEAT_SYSCALL, false, ANY, 0},
    {MSR_LSTAR, FIELD(lstar), FEAT_LM, false, CANONICAL, 0},
    {MSR_CSTAR, FIELD(cstar), FEAT_LM, false, CANONICAL, 0},
    {MSR_SFMASK, FIELD(sfmask), FEAT_LM, false, MASKED, UINT32_MAX},
    {MSR_KERNEL_GS_BASE, FIELD(kernel_gs_base), FEAT_LM, false, CANONICAL, 0},
    {MSR_TSC_AUX, FIELD(tsc_aux), FEAT_RDTSCP, false, MASKED, UINT32_MAX},
    {MSR_MCG_STATUS, FIELD(mcg_status), FEAT_MCA, false, MASKED, 7},
    {MSR_MCG_CTL, FIELD(mcg_ctl), FEAT_MCA, false, ANY, 0},
    {MSR_BIOS_SIGN_ID, FIELD(bios_sign_id), FEAT_CMOV, false, ANY, 0},
    {MSR_DEBUGCTL, FIELD(debugctl), FEAT_CMOV, false, MASKED, DEBUGCTL_DEFINED},
    {MSR_MISC_ENABLE, FIELD(misc_enable), FEAT_SSE2, true, ANY, 0},
    {MSR_FEATURE_CONTROL, FIELD(feature_control), FEAT_SSE2, true, MASKED, 0},
    {MSR_PLATFORM_INFO, FIELD(platform_info), FEAT_SSE2, true, MASKED, 0},
#undef FIELD
};

static const struct plain *plain_find(const struct cpu *cpu, uint32_t index)
{
    for (unsigned i = 0; i < ARRAY_LENGTH(plain); i++) {
        const struct plain *row = &plain[i];
        if (row->index == index)
            return cpu_has(cpu, row->feature) && !(row->intel_only && cpu_is_amd(cpu)) ? row : NULL;
    }
    return NULL;
}

static uint64_t *plain_field(struct cpu *cpu, const struct plain *row)
{
    return (uint64_t *)(void *)((char *)&cpu->msr + row->field);
}

static bool plain_write(struct cpu *cpu, const struct plain *row, uint64_t value)
{
    if ((row->kind == CANONICAL && !linear_is_canonical(value)) ||
        (row->kind == MASKED && value & ~row->writable))
        return gp0(cpu);
    *plain_field(cpu, row) = value;
    return false;
}

/* Registers of AMD's that kernels look at without asking: nothing is configured there. */
static bool is_amd_silent(const struct cpu *cpu, uint32_t index)
{
    static const uint32_t silent[] = {MSR_AMD_SYSCFG, MSR_AMD_HWCR,
                                      MSR_AMD_NB_CFG, MSR_AMD_INTERRUPT_PENDING,
                                      MSR_AMD_DC_CFG, MSR_AMD_DE_CFG};
    if (!cpu_is_amd(cpu))
        return false;
    for (unsigned i = 0; i < ARRAY_LENGTH(silent); i++)
        if (silent[i] == index)
            return true;
    return false;
}

/* --- memory types */

static bool is_memory_type(uint64_t type)
{
    return type == 0 || type == 1 || (type >= 4 && type <= 6);
}

/* Eight types in eight bytes; PAT also has 7 (UC-). */
static bool are_memory_types(uint64_t types, bool pat)
{
    for (unsigned i = 0; i < 8; i++, types >>= 8)
        if (!is_memory_type(types & 0xff) && !(pat && (types & 0xff) == 7))
            return false;
    return true;
}

/* The register of a fixed or variable MTRR, or NULL. */
static uint64_t *mtrr_field(struct cpu *cpu, uint32_t index)
{
    if (!cpu_has(cpu, FEAT_MTRR))
        return NULL;
    if (index >= MSR_MTRR_PHYS_BASE0 && index <= MSR_MTRR_PHYS_MASK7) {
        unsigned n = (index - MSR_MTRR_PHYS_BASE0) / 2;
        return index & 1 ? &cpu->msr.mtrr_mask[n] : &cpu->msr.mtrr_base[n];
    }
    if (index == MSR_MTRR_FIX64K)
        return &cpu->msr.mtrr_fixed[0];
    if (index == MSR_MTRR_FIX16K_80000 || index == MSR_MTRR_FIX16K_A0000)
        return &cpu->msr.mtrr_fixed[1 + index - MSR_MTRR_FIX16K_80000];
    if (index >= MSR_MTRR_FIX4K_C0000 && index <= MSR_MTRR_FIX4K_F8000)
        return &cpu->msr.mtrr_fixed[3 + index - MSR_MTRR_FIX4K_C0000];
    return index == MSR_MTRR_DEF_TYPE ? &cpu->msr.mtrr_def_type : NULL;
}

static bool mtrr_write(struct cpu *cpu, uint32_t index, uint64_t *field, uint64_t value)
{
    bool legal;
    uint64_t beyond = ~UINT64_C(0) << cpu->model->physical_bits;
    if (index == MSR_MTRR_DEF_TYPE)
        legal = !(value & ~UINT64_C(0xcff)) && is_memory_type(value & 0xff);
    else if (index > MSR_MTRR_PHYS_MASK7)
        legal = are_memory_types(value, false);
    else if (index & 1)
        legal = !(value & (beyond | 0x7ff));
    else
        legal = !(value & (beyond | 0xf00)) && is_memory_type(value & 0xff);
    if (!legal)
        return gp0(cpu);
    *field = value;
    return false;
}

/* --- machine check banks: CTL, STATUS, ADDR, MISC of each */

static uint64_t *bank_field(struct cpu *cpu, uint32_t index)
{
    if (!cpu_has(cpu, FEAT_MCA) || index < MSR_MC0_CTL || index >= MSR_MC0_CTL + 4 * MC_BANKS)
        return NULL;
    unsigned bank = (index - MSR_MC0_CTL) / 4;
    uint64_t *const fields[] = {&cpu->msr.mc_ctl[bank], &cpu->msr.mc_status[bank],
                                &cpu->msr.mc_addr[bank], &cpu->msr.mc_misc[bank]};
    return fields[index & 3];
}

static bool bank_write(struct cpu *cpu, uint32_t index, uint64_t *field, uint64_t value)
{
    /* SDM: CTL takes all zeroes or all ones in its bits; the others only 0. */
    if ((index & 3) != 0 && value != 0)
        return gp0(cpu);
    *field = value;
    return false;
}

/* --- registers with a meaning of their own */

static bool efer_write(struct cpu *cpu, uint64_t value)
{
    const struct mmu_registers *r = &cpu->mmu.registers;
    uint64_t valid = EFER_LMA | (cpu_has(cpu, FEAT_SYSCALL) ? EFER_SCE : 0) |
                     (cpu_has(cpu, FEAT_LM) ? EFER_LME : 0) |
                     (cpu_has(cpu, FEAT_NX) ? EFER_NXE : 0);
    if (value & ~valid || ((value ^ r->efer) & EFER_LME && r->cr0 & CR0_PG))
        return gp0(cpu);
    mmu_set_efer(&cpu->mmu, (value & ~EFER_LMA) | (r->efer & EFER_LMA));
    cpu_mode_changed(cpu);
    return false;
}

static bool has_efer(const struct cpu *cpu)
{
    return cpu_has(cpu, FEAT_SYSCALL) || cpu_has(cpu, FEAT_NX) || cpu_has(cpu, FEAT_LM);
}

/* SDM 3A §10.12.5: disabled, xAPIC and x2APIC follow each other in few ways. */
static bool apic_base_write(struct cpu *cpu, uint64_t value)
{
    uint64_t before = cpu->msr.apic_base, mode = APIC_BASE_ENABLE | APIC_BASE_X2APIC;
    uint64_t beyond = ~UINT64_C(0) << cpu->model->physical_bits;
    uint64_t reserved = beyond | 0x2ff | (cpu_has(cpu, FEAT_X2APIC) ? 0 : APIC_BASE_X2APIC);
    bool legal = !(value & reserved & ~APIC_BASE_BSP) && (value & mode) != APIC_BASE_X2APIC;
    if ((before & mode) == mode && (value & mode) == APIC_BASE_ENABLE)
        legal = false;
    if (!(before & mode) && (value & mode) == mode)
        legal = false;
    if (!legal)
        return gp0(cpu);
    cpu->msr.apic_base = (value & ~APIC_BASE_BSP) | (before & APIC_BASE_BSP);
    cpu->ops->apic_base_changed(cpu->machine, cpu, cpu->msr.apic_base);
    return false;
}

static bool is_x2apic(const struct cpu *cpu, uint32_t index)
{
    uint64_t mode = APIC_BASE_ENABLE | APIC_BASE_X2APIC;
    return index >= MSR_X2APIC_FIRST && index <= MSR_X2APIC_LAST &&
           (cpu->msr.apic_base & mode) == mode;
}

/* What `index` reads as, if it is one of the special registers. */
static bool special_read(struct cpu *cpu, uint32_t index, uint64_t *value)
{
    switch (index) {
    case MSR_P5_MC_ADDR:
    case MSR_P5_MC_TYPE:
        *value = 0;
        return cpu_has(cpu, FEAT_MCE);
    case MSR_TSC:
        *value = cpu_tsc(cpu);
        return cpu_has(cpu, FEAT_TSC);
    case MSR_PLATFORM_ID:
        *value = 0;
        return !cpu_is_amd(cpu) && cpu_has(cpu, FEAT_CMOV);
    case MSR_APIC_BASE:
        *value = cpu->msr.apic_base;
        return cpu_has(cpu, FEAT_APIC) && cpu_has(cpu, FEAT_CMOV);
    case MSR_MTRR_CAP:
        *value = MTRR_CAP;
        return cpu_has(cpu, FEAT_MTRR);
    case MSR_MCG_CAP:
        *value = MC_BANKS | MCG_CTL_PRESENT;
        return cpu_has(cpu, FEAT_MCA);
    case MSR_PAT:
        *value = cpu->msr.pat;
        return cpu_has(cpu, FEAT_PAT);
    case MSR_TSC_DEADLINE:
        if (!cpu_has(cpu, FEAT_TSC_DEADLINE))
            return false;
        *value = cpu->ops->tsc_deadline_read(cpu->machine, cpu);
        return true;
    case MSR_XSS: /* no state of the supervisor's */
        *value = 0;
        return cpu_has(cpu, FEAT_XSAVES);
    case MSR_EFER:
        *value = cpu->mmu.registers.efer;
        return has_efer(cpu);
    case MSR_FS_BASE:
        *value = cpu->segs[FS].base;
        return cpu_has(cpu, FEAT_LM);
    case MSR_GS_BASE:
        *value = cpu->segs[GS].base;
        return cpu_has(cpu, FEAT_LM);
    default:
        *value = 0;
        return is_amd_silent(cpu, index);
    }
}

static bool unknown(struct cpu *cpu, const char *what, uint32_t index)
{
    log_unimp("cpu %u: %s of MSR %#x at %#llx: #GP(0)", cpu->index, what, index,
              (unsigned long long)cpu->rip);
    return gp0(cpu);
}

bool msr_read(struct cpu *cpu, uint32_t index, uint64_t *value)
{
    const struct plain *row = plain_find(cpu, index);
    if (row) {
        *value = *plain_field(cpu, row);
        return false;
    }
    const uint64_t *field = mtrr_field(cpu, index);
    if (!field)
        field = bank_field(cpu, index);
    if (field) {
        *value = *field;
        return false;
    }
    if (is_x2apic(cpu, index))
        return cpu->ops->x2apic_read(cpu->machine, cpu, index, value) ? false : gp0(cpu);
    return special_read(cpu, index, value) ? false : unknown(cpu, "read", index);
}

static bool base_write(struct cpu *cpu, unsigned seg, uint64_t value)
{
    if (!linear_is_canonical(value))
        return gp0(cpu);
    cpu->segs[seg].base = value;
    return false;
}

/* The deadline is a value of the counter: when that jumps, the time until it is another. */
static void tsc_write(struct cpu *cpu, uint64_t value)
{
    const bool has_deadline = cpu_has(cpu, FEAT_TSC_DEADLINE);
    const uint64_t deadline = has_deadline ? cpu->ops->tsc_deadline_read(cpu->machine, cpu) : 0;
    cpu->msr.tsc_offset += value - cpu_tsc(cpu);
    if (deadline)
        cpu->ops->tsc_deadline_write(cpu->machine, cpu, deadline);
}

static bool special_write(struct cpu *cpu, uint32_t index, uint64_t value)
{
    switch (index) {
    case MSR_TSC:
        tsc_write(cpu, value);
        return false;
    case MSR_APIC_BASE:
        return apic_base_write(cpu, value);
    case MSR_PAT:
        if (!are_memory_types(value, true))
            return gp0(cpu);
        cpu->msr.pat = value;
        return false;
    case MSR_TSC_DEADLINE:
        cpu->ops->tsc_deadline_write(cpu->machine, cpu, value);
        return false;
    case MSR_EFER:
        return efer_write(cpu, value);
    case MSR_P5_MC_ADDR:
    case MSR_P5_MC_TYPE:
    case MSR_XSS:
        return value ? gp0(cpu) : false;
    default:
        return is_amd_silent(cpu, index) ? false : gp0(cpu);
    }
}

bool msr_write(struct cpu *cpu, uint32_t index, uint64_t value)
{
    uint64_t ignored;
    if (likely(index == MSR_FS_BASE || index == MSR_GS_BASE) && cpu_has(cpu, FEAT_LM))
        return base_write(cpu, index == MSR_FS_BASE ? FS : GS, value);
    const struct plain *row = plain_find(cpu, index);
    if (row)
        return plain_write(cpu, row, value);
    uint64_t *field = mtrr_field(cpu, index);
    if (field)
        return mtrr_write(cpu, index, field, value);
    field = bank_field(cpu, index);
    if (field)
        return bank_write(cpu, index, field, value);
    if (is_x2apic(cpu, index))
        return cpu->ops->x2apic_write(cpu->machine, cpu, index, value) ? false : gp0(cpu);
    if (index == MSR_BIOS_UPDATE && cpu_has(cpu, FEAT_CMOV))
        return false; /* an update is accepted and changes nothing */
    if (!special_read(cpu, index, &ignored))
        return unknown(cpu, "write", index);
    return special_write(cpu, index, value);
}

void msr_reset(struct cpu *cpu)
{
    cpu->msr = (struct cpu_msrs){
        .apic_base = APIC_BASE_DEFAULT | APIC_BASE_ENABLE | (cpu->index ? 0 : APIC_BASE_BSP),
        .pat = PAT_RESET,
        .misc_enable = MISC_ENABLE_RESET,
        .feature_control = FEATURE_CONTROL_LOCKED,
        .bios_sign_id = BIOS_SIGNATURE,
        .mcg_ctl = ~UINT64_C(0),
    };
    for (unsigned bank = 0; bank < MC_BANKS; bank++)
        cpu->msr.mc_ctl[bank] = ~UINT64_C(0);
}
