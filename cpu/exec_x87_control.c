/* x87 control, environment and state: SDM 1 §8.1.10, §8.3.12, figures 8-9 to 8-12; SDM 2A.
 *
 * The environment is stored in one of four formats, by operand size and by whether the mode is
 * protected; in real and virtual-8086 mode it holds linear addresses.
 */
#include "cpu/exec_x87.h"

/* --- control instructions that wait */
EXEC(FWAIT)
{
    X87_CHECK();
    return NEXT(insn);
}

EXEC(FLDCW_Mw)
{
    X87_CHECK();
    uint16_t control;
    TRY(mem_load16(cpu, insn->seg, insn_address(cpu, insn), &control));
    x87_set_control(cpu, control);
    return NEXT(insn);
}

#define TURN(id, by)                                                                               \
    EXEC(id)                                                                                       \
    {                                                                                              \
        X87_CHECK();                                                                               \
        x87_note_code(cpu, insn);                                                                  \
        x87_turn(cpu, by);                                                                         \
        x87_clear_c1(cpu);                                                                         \
        return NEXT(insn);                                                                         \
    }
TURN(FINCSTP, 1)
TURN(FDECSTP, 7)

/* SDM: 2A FFREE leaves C0 to C3 undefined; as on AMD's processors, C1 is cleared. */
EXEC(FFREE_STi)
{
    X87_CHECK();
    x87_note_code(cpu, insn);
    x87_free(cpu, insn->rm);
    x87_clear_c1(cpu);
    return NEXT(insn);
}

EXEC(FFREEP_STi)
{
    X87_CHECK();
    x87_note_code(cpu, insn);
    x87_free(cpu, insn->rm);
    x87_clear_c1(cpu);
    x87_pop(cpu);
    return NEXT(insn);
}

EXEC(FNOP)
{
    X87_CHECK();
    x87_note_code(cpu, insn);
    return NEXT(insn);
}

/* --- control instructions that do not wait */
/* SDM: 1 §8.3.13, from the 387 on these three do nothing. */
EXEC(FNENI)
{
    return NEXT(insn);
}

EXEC(FNDISI)
{
    return NEXT(insn);
}

EXEC(FNSETPM)
{
    return NEXT(insn);
}

EXEC(FNINIT)
{
    x87_init(cpu);
    return NEXT(insn);
}

EXEC(FNCLEX)
{
    unsigned kept = X87_TOP | X87_CODES;
    x87_set_status(cpu, (uint16_t)(cpu->x87.status & kept));
    return NEXT(insn);
}

EXEC_MEMORY(FNSTCW_Mw)
{
    OPERAND_STORE(16, cpu->x87.control);
    return NEXT(insn);
}

EXEC_MEMORY(FNSTSW_Mw)
{
    OPERAND_STORE(16, cpu->x87.status);
    return NEXT(insn);
}

EXEC(FNSTSW_AX)
{
    REG16_SET(RAX, cpu->x87.status);
    return NEXT(insn);
}

/* --- the environment: 14 or 28 bytes in cpu->rmw.bytes */
enum { ENVIRONMENT_16 = 14, ENVIRONMENT_32 = 28, REGISTER_BYTES = 10 };

static void put16(struct cpu *cpu, unsigned at, uint64_t value)
{
    store_le16(cpu->rmw.bytes + at, (uint16_t)value);
}
static void put32(struct cpu *cpu, unsigned at, uint64_t value)
{
    store_le32(cpu->rmw.bytes + at, (uint32_t)value);
}
static uint16_t get16(const struct cpu *cpu, unsigned at)
{
    return load_le16(cpu->rmw.bytes + at);
}
static uint32_t get32(const struct cpu *cpu, unsigned at)
{
    return load_le32(cpu->rmw.bytes + at);
}

static uint32_t linear_code(const struct x87 *x87)
{
    return (uint32_t)(x87->code_selector << 4) + (uint32_t)x87->code_offset;
}
static uint32_t linear_data(const struct x87 *x87)
{
    return (uint32_t)(x87->data_selector << 4) + (uint32_t)x87->data_offset;
}

static unsigned build_environment_16(struct cpu *cpu)
{
    const struct x87 *x87 = &cpu->x87;
    put16(cpu, 0, x87->control);
    put16(cpu, 2, x87->status);
    put16(cpu, 4, x87_tag_word(cpu));
    if (cpu_is_protected(cpu)) {
        put16(cpu, 6, x87->code_offset);
        put16(cpu, 8, x87->code_selector);
        put16(cpu, 10, x87->data_offset);
        put16(cpu, 12, x87->data_selector);
    } else {
        put16(cpu, 6, linear_code(x87));
        put16(cpu, 8, (linear_code(x87) >> 4 & 0xf000) | (x87->opcode & 0x7ff));
        put16(cpu, 10, linear_data(x87));
        put16(cpu, 12, linear_data(x87) >> 4 & 0xf000);
    }
    return ENVIRONMENT_16;
}

static unsigned build_environment_32(struct cpu *cpu)
{
    const struct x87 *x87 = &cpu->x87;
    unsigned opcode = x87->opcode & 0x7ff;
    put32(cpu, 0, 0xffff0000u | x87->control);
    put32(cpu, 4, 0xffff0000u | x87->status);
    put32(cpu, 8, 0xffff0000u | x87_tag_word(cpu));
    if (cpu_is_protected(cpu)) {
        put32(cpu, 12, x87->code_offset);
        put32(cpu, 16, opcode << 16 | x87->code_selector);
        put32(cpu, 20, x87->data_offset);
        put32(cpu, 24, 0xffff0000u | x87->data_selector);
    } else {
        put32(cpu, 12, 0xffff0000u | linear_code(x87));
        put32(cpu, 16, (linear_code(x87) >> 16 << 12 & 0x0ffff000) | opcode);
        put32(cpu, 20, 0xffff0000u | linear_data(x87));
        put32(cpu, 24, linear_data(x87) >> 16 << 12 & 0x0ffff000);
    }
    return ENVIRONMENT_32;
}

static unsigned build_environment(struct cpu *cpu, bool wide)
{
    return wide ? build_environment_32(cpu) : build_environment_16(cpu);
}

/* Control, status and tags of either format: 2 or 4 bytes apart. */
static void take_words(struct cpu *cpu, unsigned stride)
{
    uint16_t tags = get16(cpu, 2 * stride);
    cpu->x87.valid = 0;
    for (unsigned i = 0; i < 8; i++)
        if ((tags >> 2 * i & 3) != 3)
            cpu->x87.valid |= (uint8_t)(1u << i);
    x87_set_control(cpu, get16(cpu, 0));
    x87_set_status(cpu, get16(cpu, stride));
}

static void take_environment_16(struct cpu *cpu)
{
    struct x87 *x87 = &cpu->x87;
    bool linear = !cpu_is_protected(cpu);
    x87->code_offset = get16(cpu, 6) | (linear ? (uint32_t)(get16(cpu, 8) & 0xf000) << 4 : 0);
    x87->data_offset = get16(cpu, 10) | (linear ? (uint32_t)(get16(cpu, 12) & 0xf000) << 4 : 0);
    x87->code_selector = linear ? 0 : get16(cpu, 8);
    x87->data_selector = linear ? 0 : get16(cpu, 12);
    x87->opcode = linear ? get16(cpu, 8) & 0x7ff : 0;
    take_words(cpu, 2);
}

static void take_environment_32(struct cpu *cpu)
{
    struct x87 *x87 = &cpu->x87;
    if (cpu_is_protected(cpu)) {
        x87->code_offset = get32(cpu, 12);
        x87->code_selector = get16(cpu, 16);
        x87->opcode = get16(cpu, 18) & 0x7ff;
        x87->data_offset = get32(cpu, 20);
        x87->data_selector = get16(cpu, 24);
    } else {
        x87->code_offset = get16(cpu, 12) | (get32(cpu, 16) & 0x0ffff000) << 4;
        x87->data_offset = get16(cpu, 20) | (get32(cpu, 24) & 0x0ffff000) << 4;
        x87->code_selector = x87->data_selector = 0;
        x87->opcode = get16(cpu, 16) & 0x7ff;
    }
    take_words(cpu, 4);
}

static void take_environment(struct cpu *cpu, bool wide)
{
    if (wide)
        take_environment_32(cpu);
    else
        take_environment_16(cpu);
}

static unsigned environment_bytes(bool wide)
{
    return wide ? ENVIRONMENT_32 : ENVIRONMENT_16;
}

static bool store_environment(struct cpu *cpu, const struct insn *insn, uint64_t offset, bool wide)
{
    unsigned bytes = build_environment(cpu, wide);
    return mem_store_bytes(cpu, insn->seg, offset, cpu->rmw.bytes, bytes);
}

/* FSAVE: the environment and ST(0)..ST(7) after it. */
static bool save_state(struct cpu *cpu, const struct insn *insn, bool wide)
{
    uint64_t offset = insn_address(cpu, insn);
    unsigned bytes = environment_bytes(wide);
    if (mem_check_write(cpu, insn->seg, offset, bytes + 8 * REGISTER_BYTES) ||
        store_environment(cpu, insn, offset, wide))
        return true;
    for (unsigned i = 0; i < 8; i++)
        if (mem_store_part(cpu, insn->seg, offset + bytes + i * REGISTER_BYTES, x87_st(cpu, i),
                           REGISTER_BYTES))
            return true;
    x87_init(cpu);
    return false;
}

static bool restore_state(struct cpu *cpu, const struct insn *insn, bool wide)
{
    uint64_t offset = insn_address(cpu, insn);
    unsigned bytes = environment_bytes(wide);
    if (mem_check_read(cpu, insn->seg, offset, bytes + 8 * REGISTER_BYTES) ||
        mem_load_bytes(cpu, insn->seg, offset, cpu->rmw.bytes, bytes))
        return true;
    take_environment(cpu, wide);
    for (unsigned i = 0; i < 8; i++)
        if (mem_load_part(cpu, insn->seg, offset + bytes + i * REGISTER_BYTES, x87_st(cpu, i),
                          REGISTER_BYTES))
            return true;
    return false;
}

/* The two operand sizes differ in the format only. */
#define ENVIRONMENT(suffix, wide)                                                                  \
    EXEC(FNSTENV_M_##suffix)                                                                       \
    {                                                                                              \
        TRY(store_environment(cpu, insn, insn_address(cpu, insn), wide));                          \
        x87_set_control(cpu, cpu->x87.control | X87_EXCEPTIONS);                                   \
        return NEXT(insn);                                                                         \
    }                                                                                              \
    EXEC(FLDENV_M_##suffix)                                                                        \
    {                                                                                              \
        X87_CHECK();                                                                               \
        TRY(mem_load_bytes(cpu, insn->seg, insn_address(cpu, insn), cpu->rmw.bytes,                \
                           environment_bytes(wide)));                                              \
        take_environment(cpu, wide);                                                               \
        return NEXT(insn);                                                                         \
    }                                                                                              \
    EXEC(FNSAVE_M_##suffix)                                                                        \
    {                                                                                              \
        TRY(save_state(cpu, insn, wide));                                                          \
        return NEXT(insn);                                                                         \
    }                                                                                              \
    EXEC(FRSTOR_M_##suffix)                                                                        \
    {                                                                                              \
        X87_CHECK();                                                                               \
        TRY(restore_state(cpu, insn, wide));                                                       \
        return NEXT(insn);                                                                         \
    }
ENVIRONMENT(16, false)
ENVIRONMENT(32, true)
