/* Lockstep with engines whose handlers are wrong on purpose: what devices hear, and flags that the
 * manual leaves undefined, which may differ, with all that hangs on them.
 */
#include "tests/lockstep_rig.h"

TestSuite(lockstep_engine, .init = setup, .fini = teardown);

/* Puts `handler` before each block that begins with `row`. */
static enum opcode broken_row;
static exec_fn *broken_handler;
static void engine_decoded(struct cpu *cpu, struct block *block)
{
    block->head = block->insns[0].exec;
    if (block->insns[0].row == broken_row)
        block->insns[0].exec = broken_handler;
}
static void engine_killed(struct cpu *cpu, struct block *block)
{
}
static const struct cpu_engine engine = {.block_decoded = engine_decoded,
                                         .block_killed = engine_killed};

static void start_broken(const uint8_t *code, const uint8_t *end, enum opcode row, exec_fn *handler)
{
    broken_row = row;
    broken_handler = handler;
    rig.cpu->engine = &engine;
    physmem_write(&rig.physmem, GPA(CODE), code, (size_t)(end - code));
    rig_real(&rig, CODE);
    begin();
}
#define START_BROKEN(code, row, handler) start_broken(code##_start, code##_end, OP_##row, handler)

GUEST_CODE(outs, ".code16\n jmp 1f\n 1: out 0x80, al\n mov al, 0\n hlt\n");

static int out_another_value(struct cpu *cpu, const struct insn *insn)
{
    cpu->regs[RAX] ^= 1;
    int result = cpu->block->head(cpu, insn);
    return result;
}
static int out_nothing(struct cpu *cpu, const struct insn *insn)
{
    return NEXT(insn);
}

Test(lockstep_engine, a_device_that_hears_something_else_is_found)
{
    START_BROKEN(outs, OUT_IbAL, out_another_value);
    expect_difference("OUT 80, 1 bytes, value 1, and interpreted OUT 80, 1 bytes, value 0",
                      "another value");
}

Test(lockstep_engine, a_device_that_hears_nothing_is_found)
{
    START_BROKEN(outs, OUT_IbAL, out_nothing);
    expect_difference("none, and interpreted OUT 80", "no access");
}

/* --- undefined flags */

/* AND leaves AF undefined: an engine that sets it may go on, into memory too; CF is another matter.
 */
GUEST_CODE(ands, ".code16\n"
                 "mov cx, 10\n mov bx, 5\n"
                 "1: and bx, cx\n"
                 "pushf\n pop ax\n mov [0x3000], ax\n"
                 "loop 1b\n"
                 "hlt\n");

static uint64_t wrong_carries;
static int and_with_flags(struct cpu *cpu, const struct insn *insn)
{
    cpu->regs[RBX] &= cpu->regs[RCX];
    cpu->lazy = (struct lazy_flags){.result = cpu->regs[RBX], .carries = wrong_carries};
    return NEXT(insn);
}

Test(lockstep_engine, undefined_flags_may_differ)
{
    wrong_carries = BIT(3); /* AF */
    START_BROKEN(ands, AND_EvGv, and_with_flags);
    run_without_difference();
    cr_expect_geq(lockstep_counts(lockstep)->flags_undefined, 9);
    cr_expect_eq(rig_peek(&rig, 0x3000, 2) & F_AF, F_AF);
}

Test(lockstep_engine, defined_flags_may_not_differ)
{
    wrong_carries = BIT(63) | BIT(62); /* CF */
    START_BROKEN(ands, AND_EvGv, and_with_flags);
    expect_difference("RAX", "CF");
}

/* A shift by 3 leaves AF and OF undefined; what hangs on CF is compared all the same. */
GUEST_CODE(shifts, ".code16\n"
                   "mov cx, 10\n mov bx, 0x2001\n"
                   "1: shl bx, 3\n"
                   "jc 2f\n"
                   "inc dx\n"
                   "2: mov bx, cx\n"
                   "loop 1b\n"
                   "hlt\n");

static uint64_t wrong_register;
static int shift_with_flags(struct cpu *cpu, const struct insn *insn)
{
    uint16_t value = (uint16_t)cpu->regs[RBX];
    uint64_t carry = value >> 13 & 1 ? BIT(63) | BIT(62) : 0;
    value = (uint16_t)(value << 3);
    cpu->regs[RBX] = value;
    cpu->regs[RDI] ^= wrong_register;
    cpu->lazy = (struct lazy_flags){.result = (uint64_t)(int16_t)value,
                                    .carries = carry ^ BIT(62) ^ BIT(3)};
    return NEXT(insn);
}

Test(lockstep_engine, flags_undefined_after_a_shift_may_differ)
{
    wrong_register = 0;
    START_BROKEN(shifts, SHL_EvIb, shift_with_flags);
    run_without_difference();
    cr_expect_gt(lockstep_counts(lockstep)->flags_undefined, 0);
    cr_expect_eq(lockstep_counts(lockstep)->undefined_decided, 0);
}

Test(lockstep_engine, beside_undefined_flags_a_register_may_not_differ)
{
    wrong_register = 1;
    START_BROKEN(shifts, SHL_EvIb, shift_with_flags);
    expect_difference("RDI", "RDI");
}

/* A program that decides by an undefined flag goes the engine's way. */
GUEST_CODE(decides, ".code16\n"
                    "mov cx, 10\n"
                    "1: mul bl\n"
                    "jz 2f\n"
                    "mov [0x3000], cx\n"
                    "2: inc dx\n"
                    "loop 1b\n"
                    "hlt\n");

static int multiply_with_flags(struct cpu *cpu, const struct insn *insn)
{
    cpu->regs[RAX] = (uint8_t)cpu->regs[RAX] * (uint8_t)cpu->regs[RBX];
    cpu->lazy = (struct lazy_flags){.result = cpu->instructions & 1};
    return NEXT(insn);
}

Test(lockstep_engine, decisions_by_undefined_flags_are_the_engines)
{
    START_BROKEN(decides, MUL_Eb, multiply_with_flags);
    run_without_difference();
    cr_expect_gt(lockstep_counts(lockstep)->undefined_decided, 0);
}
