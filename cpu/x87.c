/* The x87's environment: control, status and tag words, reset, pending errors, stack faults.
 *
 * Owns cpu->x87 outside of instructions.  Sources: SDM 1 §8.1, §8.5, §8.7; SDM 3A §2.5 (CR0.NE).
 */
#include "cpu/x87.h"

#include "cpu/system.h"
#include "cpu/x87_host.h"

const struct x87_register x87_indefinite = {
    .mantissa = UINT64_C(0xc000000000000000),
    .exponent = 0xffff,
};

static void summarize(struct cpu *cpu)
{
    struct x87 *x87 = &cpu->x87;
    if (x87->status & ~x87->control & X87_EXCEPTIONS)
        x87->status |= X87_ES | X87_B;
    else
        x87->status &= (uint16_t) ~(X87_ES | X87_B);
}

void x87_set_control(struct cpu *cpu, uint16_t control)
{
    cpu->x87.control = (control & X87_CONTROL_BITS) | X87_CONTROL_RESERVED;
    summarize(cpu);
    if (cpu->x87.status & X87_ES)
        x87_host_clear();
    x87_host_set_control(cpu->x87.control);
}

void x87_set_status(struct cpu *cpu, uint16_t status)
{
    cpu->x87.status = status;
    x87_host_clear();
    summarize(cpu);
}

void x87_init(struct cpu *cpu)
{
    struct x87 *x87 = &cpu->x87;
    x87->valid = 0;
    x87->opcode = 0;
    x87->code_selector = x87->data_selector = 0;
    x87->code_offset = x87->data_offset = 0;
    x87_set_status(cpu, 0);
    x87_set_control(cpu, X87_CONTROL_INIT);
}

void x87_reset(struct cpu *cpu)
{
    memset(cpu->x87.registers, 0, sizeof cpu->x87.registers);
    x87_init(cpu);
    /* SDM: 3A table 10-1, the control word after power-up is not that of FNINIT. */
    cpu->x87.control = 0x0040;
    cpu->x87.valid = 0xff;
}

uint16_t x87_tag_word(const struct cpu *cpu)
{
    enum { TAG_VALID, TAG_ZERO, TAG_SPECIAL, TAG_EMPTY };
    uint16_t word = 0;
    for (unsigned i = 0; i < 8; i++) {
        const struct x87_register *r = &cpu->x87.registers[i];
        unsigned exponent = r->exponent & 0x7fff, tag;
        if (!(cpu->x87.valid >> i & 1))
            tag = TAG_EMPTY;
        else if (exponent == 0 && r->mantissa == 0)
            tag = TAG_ZERO;
        else if (exponent == 0 || exponent == 0x7fff || !(r->mantissa >> 63))
            tag = TAG_SPECIAL;
        else
            tag = TAG_VALID;
        word |= (uint16_t)(tag << 2 * i);
    }
    return word;
}

/* One instruction as if there were no error, which is there again after it. */
static int ignore_error(struct cpu *cpu, const struct insn *insn)
{
    struct insn alone[2] = {
        *insn,
        {.exec = exec_stop, .offset = (uint16_t)(insn->offset + insn->length)},
    };
    /* WHY: the first handler of a block may be the engine's, which wants the block around it. */
    alone[0].exec = opcode_exec[insn->row][insn->memory][insn->size];
    cpu->x87.status &= (uint16_t) ~(X87_ES | X87_B);
    int result = alone[0].exec(cpu, alone);
    summarize(cpu);
    /* WHY: not NEXT(), which is no tail call beside `alone`: the host's stack would grow with each
     * instruction that ignores the error. */
    return result == EXEC_FAULT ? exec_fault(cpu, insn) : exec_stale(cpu, insn + 1);
}

cold_path int x87_report_error(struct cpu *cpu, const struct insn *insn)
{
    if (cpu->mmu.registers.cr0 & CR0_NE)
        return exec_raise(cpu, insn, VECTOR_MF, 0);
    cpu->ops->ferr(cpu->machine, cpu);
    /* SDM: 1 app. D.2, with IGNNE# inactive the processor freezes before this instruction until the
     * interrupt that FERR# causes.  LIMIT: when it cannot be delivered, execution goes on, as with
     * IGNNE# active. */
    if (cpu->eflags & F_IF && atomic_load(&cpu->lines) & LINE_INTR)
        return exec_stale(cpu, insn);
    return ignore_error(cpu, insn);
}

static bool stack_fault(struct cpu *cpu, unsigned c1)
{
    cpu->x87.status = (uint16_t)((cpu->x87.status & ~X87_C1) | X87_IE | X87_SF | c1);
    summarize(cpu);
    return cpu->x87.control & X87_IE;
}

cold_path bool x87_stack_underflow(struct cpu *cpu)
{
    return stack_fault(cpu, 0);
}

cold_path bool x87_stack_overflow(struct cpu *cpu)
{
    return stack_fault(cpu, X87_C1);
}

cold_path int x87_empty_operand(struct cpu *cpu, const struct insn *insn, unsigned to,
                                unsigned pops)
{
    if (x87_stack_underflow(cpu)) {
        *x87_st(cpu, to) = x87_indefinite;
        x87_mark(cpu, to);
        x87_pops(cpu, pops);
    }
    return NEXT(insn);
}
