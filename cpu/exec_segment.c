/* Segment registers in instructions: MOV, PUSH, POP, LDS and its kin.
 * SDM 2A LDS, 2B MOV, POP, PUSH; 3A §6.8.3 (the shadow after a load of SS). */
#include "cpu/descriptor.h"

EXEC(MOV_EvSw_r)
{
    unsigned seg = insn->modrm >> 3 & 7;
    if (seg > GS)
        RAISE_UD();
    uint16_t selector = cpu->segs[seg].selector;
    if (insn->size == SIZE_16)
        REG16_SET(insn->rm, selector);
    else
        REG64_SET(insn->rm, selector);
    return NEXT(insn);
}

EXEC(MOV_EvSw_m)
{
    unsigned seg = insn->modrm >> 3 & 7;
    if (seg > GS)
        RAISE_UD();
    TRY(mem_store16(cpu, insn->seg, insn_address(cpu, insn), cpu->segs[seg].selector));
    return NEXT(insn);
}

/* Interrupts and debug traps wait for one instruction, so that SS and (E)SP change together. */
static int exec_stack_shadow(struct cpu *cpu, const struct insn *insn)
{
    cpu->inhibit = cpu->inhibit_debug = true;
    return exec_end(cpu, insn);
}

static always_inline int exec_load(struct cpu *cpu, const struct insn *insn, unsigned seg,
                                   uint16_t selector)
{
    TRY(segment_load(cpu, seg, selector));
    return seg == SS ? exec_stack_shadow(cpu, insn) : NEXT(insn);
}

#define DEFINE_MOV(name)                                                                           \
    EXEC(MOV_##name##Ew_r)                                                                         \
    {                                                                                              \
        return exec_load(cpu, insn, name, REG16(insn->rm));                                        \
    }                                                                                              \
    EXEC(MOV_##name##Ew_m)                                                                         \
    {                                                                                              \
        uint16_t selector = 0;                                                                     \
        TRY(mem_load16(cpu, insn->seg, insn_address(cpu, insn), &selector));                       \
        return exec_load(cpu, insn, name, selector);                                               \
    }
DEFINE_MOV(ES)
DEFINE_MOV(SS)
DEFINE_MOV(DS)
DEFINE_MOV(FS)
DEFINE_MOV(GS)

/* SDM 2B PUSH: of a wider slot, processors write only the selector's 16 bits. */
static always_inline int exec_push(struct cpu *cpu, const struct insn *insn, unsigned seg,
                                   enum op_size size)
{
    uint64_t at = (cpu->regs[RSP] - (UINT64_C(1) << size)) & cpu->stack_mask;
    TRY(mem_store16(cpu, stack_seg(cpu), at, cpu->segs[seg].selector));
    stack_commit(cpu, at);
    return NEXT(insn);
}

static always_inline int exec_pop(struct cpu *cpu, const struct insn *insn, unsigned seg,
                                  enum op_size size)
{
    uint64_t sp = cpu->regs[RSP], before = sp, selector = 0;
    TRY(stack_pop(cpu, &sp, size, &selector));
    stack_commit(cpu, sp); /* with the stack's old width, also by POP SS */
    if (unlikely(segment_load(cpu, seg, (uint16_t)selector))) {
        cpu->regs[RSP] = before;
        return exec_fault(cpu, insn);
    }
    return seg == SS ? exec_stack_shadow(cpu, insn) : NEXT(insn);
}

#define DEFINE_PUSH(seg, size)                                                                     \
    EXEC(PUSH_##seg##_##size)                                                                      \
    {                                                                                              \
        return exec_push(cpu, insn, seg, SIZE_##size);                                             \
    }
#define DEFINE_POP(seg, size)                                                                      \
    EXEC(POP_##seg##_##size)                                                                       \
    {                                                                                              \
        return exec_pop(cpu, insn, seg, SIZE_##size);                                              \
    }
#define DEFINE_PUSH_POP(seg, size) DEFINE_PUSH(seg, size) DEFINE_POP(seg, size)
DEFINE_PUSH_POP(ES, 16)
DEFINE_PUSH_POP(ES, 32)
DEFINE_PUSH(CS, 16)
DEFINE_PUSH(CS, 32)
DEFINE_PUSH_POP(SS, 16)
DEFINE_PUSH_POP(SS, 32)
DEFINE_PUSH_POP(DS, 16)
DEFINE_PUSH_POP(DS, 32)
DEFINE_PUSH_POP(FS, 16)
DEFINE_PUSH_POP(FS, 32)
DEFINE_PUSH_POP(FS, 64)
DEFINE_PUSH_POP(GS, 16)
DEFINE_PUSH_POP(GS, 32)
DEFINE_PUSH_POP(GS, 64)

/* A far pointer: offset to the register, selector to `seg`; both or neither. */
static always_inline int exec_load_pointer(struct cpu *cpu, const struct insn *insn, unsigned seg)
{
    uint64_t offset = 0;
    uint16_t selector = 0;
    TRY(far_pointer_load(cpu, insn, &offset, &selector));
    TRY(segment_load(cpu, seg, selector));
    if (insn->size == SIZE_16)
        REG16_SET(insn->reg, offset);
    else
        REG64_SET(insn->reg, offset);
    return seg == SS ? exec_end(cpu, insn) : NEXT(insn);
}

EXEC(LES_GzMp)
{
    return exec_load_pointer(cpu, insn, ES);
}

EXEC(LDS_GzMp)
{
    return exec_load_pointer(cpu, insn, DS);
}

EXEC(LSS_GvMp)
{
    return exec_load_pointer(cpu, insn, SS);
}

EXEC(LFS_GvMp)
{
    return exec_load_pointer(cpu, insn, FS);
}

EXEC(LGS_GvMp)
{
    return exec_load_pointer(cpu, insn, GS);
}
