/* DAA DAS AAA AAS AAM AAD: SDM 2A, decimal adjustment of AL and AX. */
#include "cpu/exec_int.h"

/* SF, ZF and PF by AL, with the given CF and AF; OF (undefined) is 0. */
static always_inline void flags_decimal(struct cpu *cpu, uint8_t al, bool carry, bool adjust)
{
    flags_logic(cpu, al, 8);
    if (carry)
        cpu->lazy.carries = LAZY_CF | LAZY_CARRY_IN;
    if (adjust)
        cpu->lazy.carries |= LAZY_AF;
}

EXEC(DAA)
{
    uint8_t al = REG8(0);
    const uint8_t before = al;
    const bool carry = flag_cf(cpu) || before > 0x99;
    const bool adjust = flag_af(cpu) || (before & 15) > 9;
    if (adjust)
        al += 6;
    if (carry)
        al += 0x60;
    REG8_SET(0, al);
    flags_decimal(cpu, al, carry, adjust);
    return NEXT(insn);
}

/* SDM: the borrow of the first step reaches CF even when the second step does not happen. */
EXEC(DAS)
{
    uint8_t al = REG8(0);
    const uint8_t before = al;
    const bool second = flag_cf(cpu) || before > 0x99;
    const bool adjust = flag_af(cpu) || (before & 15) > 9;
    bool carry = second;
    if (adjust) {
        carry |= before < 6;
        al -= 6;
    }
    if (second)
        al -= 0x60;
    REG8_SET(0, al);
    flags_decimal(cpu, al, carry, adjust);
    return NEXT(insn);
}

EXEC(AAA)
{
    const bool adjust = flag_af(cpu) || (REG8(0) & 15) > 9;
    uint16_t ax = REG16(RAX);
    if (adjust)
        ax += 0x106;
    ax &= 0xff0f;
    REG16_SET(RAX, ax);
    flags_decimal(cpu, (uint8_t)ax, adjust, adjust);
    return NEXT(insn);
}

EXEC(AAS)
{
    const bool adjust = flag_af(cpu) || (REG8(0) & 15) > 9;
    uint16_t ax = REG16(RAX);
    if (adjust)
        ax -= 0x106;
    ax &= 0xff0f;
    REG16_SET(RAX, ax);
    flags_decimal(cpu, (uint8_t)ax, adjust, adjust);
    return NEXT(insn);
}

EXEC(AAM)
{
    const uint8_t base = (uint8_t)insn->imm, al = REG8(0);
    if (base == 0)
        RAISE(VECTOR_DE, 0);
    REG16_SET(RAX, al / base << 8 | al % base);
    flags_decimal(cpu, REG8(0), false, false);
    return NEXT(insn);
}

EXEC(AAD)
{
    REG16_SET(RAX, (uint8_t)(REG8(0) + REG8(1) * (uint8_t)insn->imm));
    flags_decimal(cpu, REG8(0), false, false);
    return NEXT(insn);
}
