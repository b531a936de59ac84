/* The guest's x87 as its handlers see it: TOP, tags, status, pending errors, stack faults.
 *
 * Registers are physical R0..R7; ST(i) is R((TOP + i) & 7).  ES and B of the status word always say
 * whether an unmasked flag is set (SDM 1 §8.1.3).
 */
#ifndef CPU_X87_H
#define CPU_X87_H

#include "cpu/exec.h"

/* The status word. */
enum {
    X87_IE = 0x0001,
    X87_DE = 0x0002,
    X87_ZE = 0x0004,
    X87_OE = 0x0008,
    X87_UE = 0x0010,
    X87_PE = 0x0020,
    X87_SF = 0x0040,
    X87_ES = 0x0080,
    X87_C0 = 0x0100,
    X87_C1 = 0x0200,
    X87_C2 = 0x0400,
    X87_TOP = 0x3800,
    X87_C3 = 0x4000,
    X87_B = 0x8000,
    X87_EXCEPTIONS = 0x003f,
    X87_BEFORE = X87_IE | X87_DE | X87_ZE, /* found before the computation: no result */
    X87_CODES = X87_C0 | X87_C1 | X87_C2 | X87_C3,
};
enum {
    X87_CONTROL_RESERVED = 0x0040, /* reads as 1 */
    X87_CONTROL_BITS = 0x1f3f,
    X87_CONTROL_INIT = 0x037f,
};

/* --- x87.c */
/* Changes the control word and, with it, what ES means. */
void x87_set_control(struct cpu *cpu, uint16_t control);
/* Changes the whole status word, ES and B recomputed. */
void x87_set_status(struct cpu *cpu, uint16_t status);
/* The state after FNINIT; registers keep their contents. */
void x87_init(struct cpu *cpu);
/* The full tag word: 00 valid, 01 zero, 10 special, 11 empty, R0 in the low bits. */
uint16_t x87_tag_word(const struct cpu *cpu);
/* A waiting instruction met ES: #MF, or FERR# when CR0.NE is clear. */
int x87_report_error(struct cpu *cpu, const struct insn *insn);
/* Records a stack fault; true if it is masked and the indefinite shall be the result. */
bool x87_stack_underflow(struct cpu *cpu);
bool x87_stack_overflow(struct cpu *cpu);
/* An operand is empty: the masked result of ST(to) is the indefinite, and `pops` pops follow.  The
 * whole rest of a handler: `return x87_empty_operand(…);` */
int x87_empty_operand(struct cpu *cpu, const struct insn *insn, unsigned to, unsigned pops);
extern const struct x87_register x87_indefinite;

/* --- the start of a waiting instruction */
#define X87_CHECK()                                                                                \
    do {                                                                                           \
        if (unlikely(cpu->x87.status & X87_ES))                                                    \
            return x87_report_error(cpu, insn);                                                    \
    } while (0)

/* --- the last instruction and its operand, for FSTENV and #MF handlers: not control instructions,
 * and only once the operand has been read without a fault */
static always_inline void x87_note_code(struct cpu *cpu, const struct insn *insn)
{
    cpu->x87.code_offset = insn_rip(cpu, insn);
    cpu->x87.code_selector = cpu->segs[CS].selector;
    cpu->x87.opcode = (uint16_t)((opcode_rows[insn->row].opcode & 7) << 8 | insn->modrm);
}
static always_inline void x87_note_data(struct cpu *cpu, const struct insn *insn, uint64_t offset)
{
    x87_note_code(cpu, insn);
    cpu->x87.data_offset = offset;
    cpu->x87.data_selector = cpu->segs[insn->seg].selector;
}

/* --- the stack */
static always_inline unsigned x87_index(const struct cpu *cpu, unsigned i)
{
    return ((cpu->x87.status >> 11) + i) & 7;
}
static always_inline struct x87_register *x87_st(struct cpu *cpu, unsigned i)
{
    return &cpu->x87.registers[x87_index(cpu, i)];
}
static always_inline bool x87_is_empty(const struct cpu *cpu, unsigned i)
{
    return !(cpu->x87.valid >> x87_index(cpu, i) & 1);
}
static always_inline void x87_mark(struct cpu *cpu, unsigned i)
{
    cpu->x87.valid |= (uint8_t)(1u << x87_index(cpu, i));
}
static always_inline void x87_free(struct cpu *cpu, unsigned i)
{
    cpu->x87.valid &= (uint8_t) ~(1u << x87_index(cpu, i));
}
static always_inline void x87_turn(struct cpu *cpu, unsigned by)
{
    uint16_t status = cpu->x87.status;
    cpu->x87.status = (uint16_t)((status & ~X87_TOP) | ((status + (by << 11)) & X87_TOP));
}
static always_inline void x87_pop(struct cpu *cpu)
{
    x87_free(cpu, 0);
    x87_turn(cpu, 1);
}
static always_inline void x87_pops(struct cpu *cpu, unsigned count)
{
    while (count--)
        x87_pop(cpu);
}
/* Makes a new ST(0), valid; the caller fills it. */
static always_inline struct x87_register *x87_push(struct cpu *cpu)
{
    x87_turn(cpu, 7);
    x87_mark(cpu, 0);
    return x87_st(cpu, 0);
}

/* --- status */
/* Takes the exceptions and the condition codes `codes` from the host's status word. */
static always_inline void x87_collect(struct cpu *cpu, uint16_t host, unsigned codes)
{
    unsigned taken = codes | X87_EXCEPTIONS | X87_ES | X87_B;
    cpu->x87.status = (uint16_t)((cpu->x87.status & ~codes) | (host & taken));
}
/* Did the operation that gave `host` end without a result?  (Unmasked flags are all new: an older
 * one would have been reported.) */
static always_inline bool x87_has_unmasked(const struct cpu *cpu, uint16_t host, unsigned which)
{
    return unlikely(host & X87_ES) && host & ~cpu->x87.control & which;
}
static always_inline void x87_clear_c1(struct cpu *cpu)
{
    cpu->x87.status &= (uint16_t)~X87_C1;
}

#endif
