/* MOV to and from control and debug registers, LMSW, SMSW, CLTS; INVLPG, INVPCID, INVD, WBINVD.
 * SDM 2A, 2B by name; 3B §17.2 (debug registers). */
#include "cpu/control.h"
#include "cpu/descriptor.h"

#define DR6_FIXED    UINT64_C(0xffff0ff0)
#define DR6_WRITABLE UINT64_C(0x0000e00f)
#define DR7_FIXED    BIT(10)
#define DR7_ZERO     UINT64_C(0xd800) /* bits 11, 12, 14, 15 */

/* The next instruction, in whatever mode and mapping there is now. */
static int exec_go_on(struct cpu *cpu, const struct insn *insn)
{
    cpu->rip = insn_next_rip(cpu, insn);
    return exec_transferred(cpu, insn, false);
}

/* What does not exist is undefined at every privilege. */
static bool has_control_register(unsigned number)
{
    return number == 0 || (number >= 2 && number <= 4) || number == 8;
}

EXEC(MOV_RyCd)
{
    uint64_t value;
    if (!has_control_register(insn->reg))
        RAISE_UD();
    REQUIRE_CPL0();
    switch (insn->reg) {
    case 0:
        value = cpu->mmu.registers.cr0;
        break;
    case 2:
        value = cpu->cr2;
        break;
    case 3:
        value = cpu->mmu.registers.cr3;
        break;
    case 4:
        value = cpu->mmu.registers.cr4;
        break;
    default:
        value = cpu->ops->cr8_read(cpu->machine, cpu);
        break;
    }
    REG64_SET(insn->rm, insn->size == SIZE_64 ? value : (uint32_t)value);
    return NEXT(insn);
}

EXEC(MOV_CdRy)
{
    if (!has_control_register(insn->reg))
        RAISE_UD();
    REQUIRE_CPL0();
    uint64_t value = insn->size == SIZE_64 ? REG64(insn->rm) : REG32(insn->rm);
    switch (insn->reg) {
    case 0:
        TRY(control_write_cr0(cpu, value));
        break;
    case 2:
        cpu->cr2 = value;
        break;
    case 3:
        TRY(control_write_cr3(cpu, value));
        break;
    case 4:
        TRY(control_write_cr4(cpu, value));
        break;
    default:
        if (value >> 4)
            RAISE_GP0();
        cpu->ops->cr8_write(cpu->machine, cpu, (uint8_t)value);
        return exec_end(cpu, insn);
    }
    return exec_go_on(cpu, insn);
}

EXEC(SMSW_Ev_r)
{
    uint64_t cr0 = cpu->mmu.registers.cr0;
    if (cpu->cpl != 0 && cpu->mmu.registers.cr4 & CR4_UMIP)
        RAISE_GP0();
    if (insn->size == SIZE_16)
        REG16_SET(insn->rm, cr0);
    else
        REG64_SET(insn->rm, insn->size == SIZE_64 ? cr0 : (uint32_t)cr0);
    return NEXT(insn);
}

EXEC(SMSW_Ev_m)
{
    if (cpu->cpl != 0 && cpu->mmu.registers.cr4 & CR4_UMIP)
        RAISE_GP0();
    TRY(mem_store16(cpu, insn->seg, insn_address(cpu, insn), (uint16_t)cpu->mmu.registers.cr0));
    return NEXT(insn);
}

static int exec_lmsw(struct cpu *cpu, const struct insn *insn, uint16_t value)
{
    uint64_t cr0 = cpu->mmu.registers.cr0;
    /* SDM: LMSW sets PE but cannot clear it. */
    cr0 = (cr0 & ~(CR0_MP | CR0_EM | CR0_TS)) | (value & (CR0_PE | CR0_MP | CR0_EM | CR0_TS));
    TRY(control_write_cr0(cpu, cr0));
    return exec_go_on(cpu, insn);
}

EXEC(LMSW_Ew_r)
{
    REQUIRE_CPL0();
    return exec_lmsw(cpu, insn, REG16(insn->rm));
}

EXEC(LMSW_Ew_m)
{
    uint16_t value = 0;
    REQUIRE_CPL0();
    TRY(mem_load16(cpu, insn->seg, insn_address(cpu, insn), &value));
    return exec_lmsw(cpu, insn, value);
}

EXEC(CLTS)
{
    REQUIRE_CPL0();
    mmu_set_cr0(&cpu->mmu, cpu->mmu.registers.cr0 & ~CR0_TS);
    cpu_mode_changed(cpu);
    return exec_go_on(cpu, insn);
}

/* --- debug registers */

/* The register's real number, or -1 for #UD: DR4 and DR5 are DR6 and DR7 without CR4.DE. */
static int debug_register(const struct cpu *cpu, const struct insn *insn)
{
    if (insn->reg > 7)
        return -1;
    if (insn->reg == 4 || insn->reg == 5)
        return cpu->mmu.registers.cr4 & CR4_DE ? -1 : insn->reg + 2;
    return insn->reg;
}

static int exec_general_detect(struct cpu *cpu, const struct insn *insn)
{
    cpu_fault(cpu, VECTOR_DB, 0);
    cpu->fault.dr6 = DR6_BD;
    return exec_fault(cpu, insn);
}

EXEC(MOV_RyDd)
{
    int number = debug_register(cpu, insn);
    REQUIRE_CPL0();
    if (number < 0)
        RAISE_UD();
    if (cpu->dr[7] & DR7_GD)
        return exec_general_detect(cpu, insn);
    uint64_t value = cpu->dr[number];
    REG64_SET(insn->rm, insn->size == SIZE_64 ? value : (uint32_t)value);
    return NEXT(insn);
}

EXEC(MOV_DdRy)
{
    int number = debug_register(cpu, insn);
    REQUIRE_CPL0();
    if (number < 0)
        RAISE_UD();
    if (cpu->dr[7] & DR7_GD)
        return exec_general_detect(cpu, insn);
    uint64_t value = insn->size == SIZE_64 ? REG64(insn->rm) : REG32(insn->rm);
    if (number >= 6 && value >> 32)
        RAISE_GP0();
    bool enabled = cpu->dr[7] & DR7_ENABLES;
    if (number == 6)
        value = DR6_FIXED | (value & DR6_WRITABLE);
    else if (number == 7)
        value = DR7_FIXED | (value & ~DR7_ZERO);
    cpu->dr[number] = value;
    if (enabled || cpu->dr[7] & DR7_ENABLES)
        debug_registers_changed(cpu);
    return exec_end(cpu, insn);
}

/* --- translations and caches */

EXEC(INVLPG_Mb)
{
    REQUIRE_CPL0();
    uint64_t linear = cpu->segs[insn->seg].base + insn_address(cpu, insn);
    mmu_invlpg(&cpu->mmu, GVA(linear & cpu->linear_mask));
    return exec_go_on(cpu, insn);
}

static never_inline bool invpcid(struct cpu *cpu, const struct insn *insn)
{
    uint64_t at = insn_address(cpu, insn), pcid = 0, address = 0;
    uint64_t type = insn->size == SIZE_64 ? REG64(insn->reg) : REG32(insn->reg);
    bool pcide = cpu->mmu.registers.cr4 & CR4_PCIDE;
    if (mem_load64(cpu, insn->seg, at, &pcid) || mem_load64(cpu, insn->seg, at + 8, &address))
        return true;
    /* SDM: without PCIDs, only PCID 0 can be named. */
    if (type > 3 || pcid >> 12 || (type <= 1 && pcid && !pcide) ||
        (type == 0 && !linear_is_canonical(address)))
        return cpu_fault(cpu, VECTOR_GP, 0);
    mmu_invpcid(&cpu->mmu, (unsigned)type, (uint16_t)pcid, GVA(address));
    return false;
}

EXEC(INVPCID_GyMdq)
{
    REQUIRE_CPL0();
    TRY(invpcid(cpu, insn));
    return exec_go_on(cpu, insn);
}

/* ring3 has no caches of its own to write back or drop. */
EXEC(INVD)
{
    REQUIRE_CPL0();
    return NEXT(insn);
}

EXEC(WBINVD)
{
    REQUIRE_CPL0();
    return NEXT(insn);
}
