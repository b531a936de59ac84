/* Ports: IN, OUT, INS, OUTS.
 *
 * INV-1: a port is read only when its value can be stored, and written only after its value has
 *        been read: an access to a device is never repeated.
 * Sources: SDM 1 §18.5 (privilege, permission bitmap), 2A IN, INS, 2B OUT, OUTS, 3B §17.2.4
 * (I/O breakpoints).
 */
#include "cpu/block.h"
#include "cpu/system.h"

enum { DEBUG_IO = 2, TSS_BITMAP = 102, TSS_32 = 8 };

static always_inline bool load_tss_word(struct cpu *cpu, uint64_t offset, uint64_t *value)
{
    uint64_t linear = cpu->tr.base + offset;
    const void *host = mem_system_fast(cpu, cpu_is_long(cpu) ? linear : (uint32_t)linear, 2, false);
    if (unlikely(!host))
        return mem_system_load(cpu, linear, 2, value);
    *value = load_le16(host);
    return false;
}

/* SDM 1 §18.5.2: two bytes of the bitmap are read, for an access may cross one. */
static never_inline bool bitmap_allows(struct cpu *cpu, uint16_t port, unsigned size)
{
    uint64_t base, bits;
    if (!(cpu->tr.attributes & TSS_32) || cpu->tr.limit < TSS_BITMAP + 1)
        return cpu_fault(cpu, VECTOR_GP, 0);
    if (load_tss_word(cpu, TSS_BITMAP, &base))
        return true;
    uint64_t at = base + port / 8;
    if (at + 1 > cpu->tr.limit)
        return cpu_fault(cpu, VECTOR_GP, 0);
    if (load_tss_word(cpu, at, &bits))
        return true;
    return bits >> (port & 7) & ((1u << size) - 1) ? cpu_fault(cpu, VECTOR_GP, 0) : false;
}

static always_inline bool port_check(struct cpu *cpu, uint16_t port, unsigned size)
{
    if (cpu->cpl <= cpu_iopl(cpu) && !cpu_is_v86(cpu))
        return false;
    return bitmap_allows(cpu, port, size);
}

static void note_port(struct cpu *cpu, uint16_t port, unsigned size)
{
    if (unlikely(cpu->dr[7] & DR7_ENABLES) && cpu->mmu.registers.cr4 & CR4_DE)
        debug_note_access(cpu, port, size, DEBUG_IO);
}

static uint32_t port_read(struct cpu *cpu, uint16_t port, unsigned size)
{
    note_port(cpu, port, size);
    return cpu->ops->port_read(cpu->machine, cpu, port, size);
}

static void port_write(struct cpu *cpu, uint16_t port, unsigned size, uint32_t value)
{
    note_port(cpu, port, size);
    cpu->ops->port_write(cpu->machine, cpu, port, size, value);
}

/* --- IN and OUT */

static always_inline int exec_in(struct cpu *cpu, const struct insn *insn, uint16_t port,
                                 unsigned size)
{
    TRY(port_check(cpu, port, size));
    uint32_t value = port_read(cpu, port, size);
    if (size == 1)
        REG8_SET(RAX * 8, value);
    else if (size == 2)
        REG16_SET(RAX, value);
    else
        REG32_SET(RAX, value);
    return NEXT(insn);
}

static always_inline int exec_out(struct cpu *cpu, const struct insn *insn, uint16_t port,
                                  unsigned size)
{
    TRY(port_check(cpu, port, size));
    port_write(cpu, port, size,
               size == 1   ? REG32(RAX) & 0xff
               : size == 2 ? REG16(RAX)
                           : REG32(RAX));
    return exec_end(cpu, insn);
}

#define DEFINE_PORT(in, out, port, size)                                                           \
    EXEC(in)                                                                                       \
    {                                                                                              \
        return exec_in(cpu, insn, port, size);                                                     \
    }                                                                                              \
    EXEC(out)                                                                                      \
    {                                                                                              \
        return exec_out(cpu, insn, port, size);                                                    \
    }
DEFINE_PORT(IN_ALIb, OUT_IbAL, (uint8_t)insn->imm, 1)
DEFINE_PORT(IN_eAXIb_16, OUT_IbeAX_16, (uint8_t)insn->imm, 2)
DEFINE_PORT(IN_eAXIb_32, OUT_IbeAX_32, (uint8_t)insn->imm, 4)
DEFINE_PORT(IN_ALDX, OUT_DXAL, REG16(RDX), 1)
DEFINE_PORT(IN_eAXDX_16, OUT_DXeAX_16, REG16(RDX), 2)
DEFINE_PORT(IN_eAXDX_32, OUT_DXeAX_32, REG16(RDX), 4)

/* --- strings */

static void advance(struct cpu *cpu, const struct insn *insn, unsigned n, unsigned size)
{
    uint64_t step = cpu->eflags & F_DF ? -(uint64_t)size : size;
    address_register_set(cpu, insn, n, cpu->regs[n] + step);
}

static bool in_one(struct cpu *cpu, const struct insn *insn, unsigned size)
{
    unsigned seg = cpu_is_64(cpu) ? SEG_FLAT : ES;
    uint64_t at = cpu->regs[RDI] & address_mask(insn);
    if (!mem_fast(cpu, seg, at, size, true) && mem_check_write(cpu, seg, at, size))
        return true;
    uint32_t value = port_read(cpu, REG16(RDX), size);
    bool fault = size == 1   ? mem_store8(cpu, seg, at, (uint8_t)value)
                 : size == 2 ? mem_store16(cpu, seg, at, (uint16_t)value)
                             : mem_store32(cpu, seg, at, value);
    if (fault)
        return true;
    advance(cpu, insn, RDI, size);
    return false;
}

static bool out_one(struct cpu *cpu, const struct insn *insn, unsigned size)
{
    uint64_t at = cpu->regs[RSI] & address_mask(insn);
    uint8_t byte = 0;
    uint16_t word = 0;
    uint32_t value = 0;
    bool fault = size == 1   ? mem_load8(cpu, insn->seg, at, &byte)
                 : size == 2 ? mem_load16(cpu, insn->seg, at, &word)
                             : mem_load32(cpu, insn->seg, at, &value);
    if (fault)
        return true;
    port_write(cpu, REG16(RDX), size, value | word | byte);
    advance(cpu, insn, RSI, size);
    return false;
}

typedef bool string_step(struct cpu *cpu, const struct insn *insn, unsigned size);

/* Runs the elements; what an interrupt or the next element's fault leaves over is done when the
 * instruction is executed again.  Sets cpu->rip. */
static never_inline bool port_string(struct cpu *cpu, const struct insn *insn, unsigned size,
                                     string_step *step)
{
    cpu->rip = insn_rip(cpu, insn);
    if (port_check(cpu, REG16(RDX), size))
        return true;
    if (!insn->rep) {
        if (step(cpu, insn, size))
            return true;
        cpu->rip = insn_next_rip(cpu, insn);
        return false;
    }
    uint64_t left = cpu->regs[RCX] & address_mask(insn);
    while (left) {
        if (step(cpu, insn, size))
            return true;
        address_register_set(cpu, insn, RCX, --left);
        if (left && (atomic_load_explicit(&cpu->attention, memory_order_relaxed) ||
                     (cpu->block && cpu->block->dead)))
            return false; /* what is left may be of another instruction now */
    }
    cpu->rip = insn_next_rip(cpu, insn);
    return false;
}

static always_inline int exec_port_string(struct cpu *cpu, const struct insn *insn, unsigned size,
                                          string_step *step)
{
    TRY(port_string(cpu, insn, size, step));
    return cpu->rip == insn_rip(cpu, insn) ? exec_stale(cpu, insn) : EXEC_LEAVE;
}

EXEC(INS_YbDX)
{
    return exec_port_string(cpu, insn, 1, in_one);
}

EXEC(INS_YzDX_16)
{
    return exec_port_string(cpu, insn, 2, in_one);
}

EXEC(INS_YzDX_32)
{
    return exec_port_string(cpu, insn, 4, in_one);
}

EXEC(OUTS_DXXb)
{
    return exec_port_string(cpu, insn, 1, out_one);
}

EXEC(OUTS_DXXz_16)
{
    return exec_port_string(cpu, insn, 2, out_one);
}

EXEC(OUTS_DXXz_32)
{
    return exec_port_string(cpu, insn, 4, out_one);
}
