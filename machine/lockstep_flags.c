/* Flags that the SDM leaves undefined may differ between engines.  Lockstep asks this file only
 * when there was a difference, so that engines which agree in them too are compared in full.
 *
 * A block leaves a set of flags undefined.  At its end the leader's values hold for both.  What
 * reads them within the block spreads them:
 *   images of EFLAGS (PUSHF, LAHF, the frame of an exception): the difference must lie in these
 * bits; decisions (Jcc, SETcc, ADC and so on): no defined program does that; anything may follow.
 */
#include "machine/lockstep_priv.h"

#include "cpu/flags.h"

struct undefined {
    uint32_t flags;     /* now */
    uint32_t in_images; /* were read as they are */
    bool decided;       /* something was made to hang on them */
};

/* SHLD and SHRD: 0F A4, A5, AC, AD. */
static bool is_double_shift(const struct opcode_row *row)
{
    return row->map == MAP_0F && (row->opcode & 0xf6) == 0xa4;
}

/* Group 2: C0, C1 and D0 to D3; /0 to /3 rotate. */
static bool is_single_shift(const struct opcode_row *row)
{
    return row->map == MAP_1 && ((row->opcode & 0xee) == 0xc0 || (row->opcode & 0xfe) == 0xd2);
}

static bool is_rotate(const struct opcode_row *row)
{
    return is_single_shift(row) && (row->modrm & 7) < 4;
}

static bool is_rotate_through_carry(const struct opcode_row *row)
{
    return is_single_shift(row) && (row->modrm & 6) == 2;
}

enum { COUNT_UNKNOWN = UINT8_MAX };

static unsigned shift_count(const struct insn *insn)
{
    const struct opcode_row *row = &opcode_rows[insn->row];
    enum opcode_operand operand = row->operand[is_double_shift(row) ? 2 : 1];
    if (operand == O_Ib)
        return insn->imm & (insn->size == SIZE_64 ? 63 : 31);
    return operand == O_1 ? 1 : COUNT_UNKNOWN;
}

/* WHY apart: the rows of shifts read and leave undefined what any count may. */
static void undefined_after_shift(struct undefined *undefined, const struct insn *insn)
{
    const struct opcode_row *row = &opcode_rows[insn->row];
    const unsigned bits = row->size == SZ_B ? 8 : 8u << insn->size;
    unsigned count = shift_count(insn);
    if (count == 0)
        return;
    if (is_rotate_through_carry(row) && undefined->flags & F_CF)
        undefined->decided = true;
    if (count != COUNT_UNKNOWN)
        undefined->flags &= ~row->flags_written;
    undefined->flags |= is_rotate(row) ? 0 : F_AF;
    undefined->flags |= count == 1 ? 0 : F_OF;
    /* By as much as the operand is wide; no count reaches 32. */
    if (count >= bits && bits < 32)
        undefined->flags |= row->flags_undefined;
}

/* Rows that read all arithmetic flags store or push them. */
static bool makes_image(const struct opcode_row *row)
{
    const uint32_t lahf = F_CF | F_PF | F_AF | F_ZF | F_SF;
    return (row->flags_read & lahf) == lahf;
}

/* What is for certain not as it was before. */
static uint32_t overwritten(const struct insn *insn, uint32_t mode)
{
    const struct opcode_row *row = &opcode_rows[insn->row];
    if (insn->rep && row->attributes & A_REPZ) /* which by a count of 0 compares nothing */
        return 0;
    if (insn->row == OP_SYSRET && (mode & MODE_CODE) != CODE_64 && !(mode & MODE_COMPAT))
        return F_IF; /* outside long mode */
    return row->flags_written;
}

static void undefined_after(struct undefined *undefined, const struct insn *insn, uint32_t mode)
{
    const struct opcode_row *row = &opcode_rows[insn->row];
    if (is_single_shift(row) || is_double_shift(row)) {
        undefined_after_shift(undefined, insn);
        return;
    }
    uint32_t read = row->flags_read & undefined->flags;
    if (read && makes_image(row))
        undefined->in_images |= read;
    else if (read)
        undefined->decided = true;
    undefined->flags &= ~overwritten(insn, mode);
    undefined->flags |= row->flags_undefined & F_ARITH;
}

static struct undefined undefined_in_turn(const struct lockstep *lockstep)
{
    struct undefined undefined = {0};
    uint64_t left = lockstep->instructions;
    for (size_t i = 0; i < lockstep->ran.count; i++) {
        const struct block *block = lockstep->ran.items[i].block;
        for (unsigned n = 0; n < block->count && left; n++, left--)
            undefined_after(&undefined, &block->insns[n], block->mode);
    }
    if (lockstep->faulted)
        undefined.in_images |= undefined.flags;
    return undefined;
}

/* Whether all but the flags agrees, except for `flags` in images of them. */
static bool rest_within(const struct lockstep *lockstep, uint32_t flags)
{
    uint8_t mask = (uint8_t)(flags | flags >> 8);
    uint64_t elsewhere = ~(mask * UINT64_C(0x0101010101010101));
    return !lockstep->path_differs && !(lockstep->written_differ & elsewhere) &&
           lockstep_registers_within(lockstep, mask) && lockstep_stores_within(lockstep, mask);
}

bool lockstep_excuse(struct lockstep *lockstep)
{
    struct undefined undefined = undefined_in_turn(lockstep);
    struct cpu *leader = lockstep->leader, *twin = lockstep->twin;
    uint32_t flags_differ = cpu_eflags(leader) ^ cpu_eflags(twin);
    if (!(flags_differ & ~(undefined.flags | undefined.in_images)) &&
        rest_within(lockstep, undefined.in_images)) {
        lockstep_adopt_stores(lockstep);
        for (unsigned n = 0; n < 16; n++)
            twin->regs[n] = leader->regs[n];
        twin->lazy = leader->lazy;
        return true;
    }
    if (!undefined.decided)
        return false;
    lockstep_adopt_registers(lockstep);
    lockstep_memory_sync(lockstep);
    lockstep->count.undefined_decided++;
    return true;
}
