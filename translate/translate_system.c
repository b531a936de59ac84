/* System instructions in line.
 *
 * SYSCALL and SYSRET in 64-bit mode, SYSENTER and SYSEXIT in flat 32-bit code outside long mode do
 * not leave translated code: segments, privilege, flags and the shadow's view are changed in line,
 * and the target is looked up like that of any indirect branch.  What is common: 64-bit or flat
 * 32-bit code on both sides; flags that call for no step trap, no alignment check and no interrupt
 * that waits.  For every other case the block is left, with nothing done, for the interpreter's
 * handler (cpu/exec_syscall.c), which this has to equal.  STAC and CLAC change the view under SMAP.
 * Sources: SDM 2A CLAC, 2B STAC, SYSCALL, SYSENTER, SYSEXIT, SYSRET; 3A §5.8.7, §5.8.8.
 */
#include "translate/translating.h"

enum {
    /* SEG_… of the flat segments that all load, but for the privilege and the code's size */
    FLAT_CODE = SEG_P | SEG_S | SEG_CODE | SEG_READABLE | SEG_ACCESSED | SEG_G,
    FLAT_DATA = SEG_P | SEG_S | SEG_WRITABLE | SEG_ACCESSED | SEG_G | SEG_DB,
    SELECTOR_NOT_NULL = 0xfffc,
};

/* Leaves for `slow` unless what follows holds. */
static void require_zero(struct translating *t, unsigned width, int32_t at, enum slow_kind slow)
{
    emit_alu_mem_imm(&t->e, ALU_CMP, width, HOST_CPU, at, 0);
    translate_slow(t, emit_jump_if(&t->e, COND_NZ), slow);
}

static void emit_test(struct emitter *e, int32_t at, uint32_t bits)
{
    emit_mem(e, HOST_OP(MAP_1, 0xf7, 0, SIZE_32), 0, AT(HOST_CPU, at));
    emit_u32(e, bits);
}

/* … one of the bits is set … */
static void require_bits(struct translating *t, int32_t at, uint32_t bits, enum slow_kind slow)
{
    emit_test(&t->e, at, bits);
    translate_slow(t, emit_jump_if(&t->e, COND_Z), slow);
}

static void require_no_bits(struct translating *t, int32_t at, uint32_t bits, enum slow_kind slow)
{
    emit_test(&t->e, at, bits);
    translate_slow(t, emit_jump_if(&t->e, COND_NZ), slow);
}

/* T0 = the present space's view `id`, which may have to be made first. */
static void require_view(struct translating *t, enum shadow_view_id id, enum slow_kind slow)
{
    struct emitter *e = &t->e;
    emit_load(e, SIZE_64, HOST_T0, HOST_CPU, CPU_AT(mmu.space));
    emit_load(e, SIZE_64, HOST_T0, HOST_T0,
              (int32_t)(offsetof(struct shadow_space, views) + id * sizeof(struct shadow_view *)));
    emit_reg(e, HOST_OP(MAP_1, 0x85, 0, SIZE_64), HOST_T0, HOST_T0); /* test */
    translate_slow(t, emit_jump_if(e, COND_Z), slow);
}

/* What a flat segment has beside its selector and its attributes. */
static void load_flat_range(struct translating *t, unsigned seg)
{
    struct emitter *e = &t->e;
    if (t->code_64) { /* as the interpreter leaves them: there are no limits */
        emit_store_imm(e, SIZE_64, HOST_CPU, SEGMENT_AT(seg, base), 0);
        emit_store_imm(e, SIZE_32, HOST_CPU, SEGMENT_AT(seg, limit), -1);
        emit_store_imm(e, SIZE_64, HOST_CPU, SEGMENT_AT(seg, read_end), 0);
        emit_store_imm(e, SIZE_64, HOST_CPU, SEGMENT_AT(seg, write_end), 0);
    } else if (seg == CS) { /* it is flat already, but perhaps not readable */
        emit_mov_imm(e, HOST_T0, UINT64_C(1) << 32);
        emit_store(e, SIZE_64, HOST_CPU, SEGMENT_AT(seg, read_end), HOST_T0);
    }
}

/* The segment register becomes flat; its selector is the word at `from` + `add`, its RPL the CPL.
 * QUIRK: SYSCALL's SS keeps the low bits that this sum has. */
static void load_flat(struct translating *t, unsigned seg, int32_t from, int32_t add, unsigned cpl)
{
    struct emitter *e = &t->e;
    const uint32_t attributes = (seg == SS    ? FLAT_DATA
                                 : t->code_64 ? FLAT_CODE | SEG_L
                                              : FLAT_CODE | SEG_DB) |
                                cpl << SEG_DPL_SHIFT;
    _Static_assert(offsetof(struct segment, attributes) == offsetof(struct segment, selector) + 2,
                   "both are stored at once");
    emit_mem(e, HOST_OP(MAP_0F, 0xb7, 0, SIZE_32), HOST_T0, AT(HOST_CPU, from)); /* movzx */
    if (add)
        emit_alu_imm(e, ALU_ADD, SIZE_16, HOST_T0, add);
    if (seg == CS || t->insn->row != OP_SYSCALL)
        emit_alu_imm(e, ALU_AND, SIZE_32, HOST_T0, ~3);
    emit_alu_imm(e, ALU_OR, SIZE_32, HOST_T0, (int32_t)(attributes << 16 | cpl));
    emit_store(e, SIZE_32, HOST_CPU, SEGMENT_AT(seg, selector), HOST_T0);
    load_flat_range(t, seg);
}

/* The mode, of which only MODE_WINDOW depends on the privilege, and the contexts.  Destroys T1. */
static void set_contexts(struct translating *t, unsigned cpl)
{
    struct emitter *e = &t->e;
    const enum shadow_view_id view = cpl == 3 ? VIEW_USER : VIEW_SUPERVISOR;
    emit_mov_imm(e, HOST_T1, t->block->mode & ~(uint32_t)MODE_WINDOW);
    emit_alu_load(e, ALU_OR, SIZE_32, HOST_T1, HOST_CPU, CPU_AT(native.window_modes[view]));
    emit_store(e, SIZE_32, HOST_CPU, CPU_AT(mode), HOST_T1);
    if (cpl == 3)
        emit_alu_imm(e, ALU_OR, SIZE_32, HOST_T1, 1 << 15);
    const int32_t generations[] = {CPU_AT(mmu.fetch_generation), CPU_AT(mmu.global_generation)};
    const int32_t contexts[] = {CPU_AT(fetch_context), CPU_AT(global_context)};
    for (unsigned i = 0; i < ARRAY_LENGTH(contexts); i++) {
        emit_load(e, SIZE_64, HOST_T0, HOST_CPU, generations[i]);
        emit_shift_imm(e, 4, SIZE_64, HOST_T0, 16);
        emit_alu(e, ALU_OR, SIZE_64, HOST_T0, HOST_T1);
        emit_store(e, SIZE_64, HOST_CPU, contexts[i], HOST_T0);
    }
}

/* The privilege and all that follows from it; T0: its view. */
static void set_privilege(struct translating *t, unsigned cpl)
{
    struct emitter *e = &t->e;
    emit_store(e, SIZE_64, HOST_CPU, CPU_AT(view), HOST_T0);
    emit_store_imm(e, SIZE_8, HOST_CPU, CPU_AT(cpl), (int32_t)cpl);
    set_contexts(t, cpl);
}

static bool syscall_64(struct translating *t)
{
    struct emitter *e = &t->e;
    const int32_t star_cs = CPU_AT(msr.star) + 4;
    flags_before_clobber(t);
    require_bits(t, CPU_AT(mmu.registers.efer), EFER_SCE, SLOW_INSN);
    require_bits(t, CPU_AT(msr.sfmask), F_AC, SLOW_INSN); /* else the view depends on it */
    require_view(t, VIEW_SUPERVISOR, SLOW_INSN);
    emit_store(e, SIZE_64, HOST_CPU, CPU_AT(native.scratch[1]), HOST_T0);
    callout_compose_flags(t); /* RF is clear in translated code */

    emit_load(e, SIZE_64, HOST_T0, HOST_CPU, CPU_AT(native.scratch[0]));
    emit_store(e, SIZE_64, HOST_CPU, cpu_reg_at(R11), HOST_T0);
    emit_load(e, SIZE_64, HOST_T0, HOST_CPU, CPU_AT(native.code_page));
    emit_lea(e, SIZE_64, RCX,
             AT(HOST_T0,
                (int32_t)((t->block->gpa & PAGE_OFFSET_MASK) + t->insn->offset + t->insn->length)));

    emit_load(e, SIZE_32, HOST_T1, HOST_CPU, CPU_AT(msr.sfmask));
    emit_reg(e, HOST_OP(MAP_1, 0xf7, 0, SIZE_32), 2, HOST_T1); /* not */
    emit_mem(e, HOST_OP(MAP_1, 0x21, 0, SIZE_32), HOST_T1, AT(HOST_CPU, CPU_AT(eflags)));
    emit_alu_mem_imm(e, ALU_OR, SIZE_32, HOST_CPU, CPU_AT(eflags), 2);
    emit_mov(e, SIZE_32, HOST_T0, HOST_T1); /* and the arithmetic ones in their image */
    emit_shift_imm(e, 4, SIZE_32, HOST_T0, 8);
    emit_shift_imm(e, 5, SIZE_32, HOST_T1, 11);
    emit_alu_imm(e, ALU_AND, SIZE_32, HOST_T1, 1); /* OF */
    emit_alu(e, ALU_OR, SIZE_32, HOST_T0, HOST_T1);
    emit_mem(e, HOST_OP(MAP_1, 0x21, 0, SIZE_16), HOST_T0, AT(HOST_CPU, CPU_AT(native.flags_a)));

    load_flat(t, CS, star_cs, 0, 0);
    load_flat(t, SS, star_cs, 8, 0);
    emit_load(e, SIZE_64, HOST_T0, HOST_CPU, CPU_AT(native.scratch[1]));
    set_privilege(t, 0);
    callout_count(t);
    emit_load(e, SIZE_64, HOST_T0, HOST_CPU, CPU_AT(msr.lstar));
    translate_go_to_rip(t);
    t->ended = true;
    return true;
}

/* EFLAGS = what R11 holds, whose RF and VM do not count. */
static void restore_flags(struct translating *t)
{
    struct emitter *e = &t->e;
    const uint32_t taken = (F_DF | F_SYSTEM) & ~(uint32_t)(F_RF | F_VM);
    emit_load(e, SIZE_32, HOST_T0, HOST_CPU, cpu_reg_at(R11));
    emit_mov(e, SIZE_32, HOST_T1, HOST_T0);
    emit_alu_imm(e, ALU_AND, SIZE_32, HOST_T1, (int32_t)taken);
    emit_alu_imm(e, ALU_OR, SIZE_32, HOST_T1, 2);
    emit_store(e, SIZE_32, HOST_CPU, CPU_AT(eflags), HOST_T1);
    callout_flags_to_image(t);
}

static bool sysret_64(struct translating *t)
{
    struct emitter *e = &t->e;
    const int32_t star_base = CPU_AT(msr.star) + 6;
    if (t->insn->size != SIZE_64)
        return false;
    flags_before_clobber(t);
    require_bits(t, CPU_AT(mmu.registers.efer), EFER_SCE, SLOW_INSN);
    require_zero(t, SIZE_8, CPU_AT(cpl), SLOW_INSN);
    require_zero(t, SIZE_32, CPU_AT(lines), SLOW_INSN);
    require_no_bits(t, cpu_reg_at(R11), F_TF | F_AC, SLOW_INSN);
    emit_mov(e, SIZE_64, HOST_T0, RCX);
    emit_shift_imm(e, 4, SIZE_64, HOST_T0, 16);
    emit_shift_imm(e, 7, SIZE_64, HOST_T0, 16);
    emit_alu(e, ALU_CMP, SIZE_64, HOST_T0, RCX);
    translate_slow(t, emit_jump_if(e, COND_NZ), SLOW_INSN); /* not canonical */
    require_view(t, VIEW_USER, SLOW_INSN);

    set_privilege(t, 3);
    load_flat(t, CS, star_base, 16, 3);
    load_flat(t, SS, star_base, 8, 3);
    restore_flags(t);
    callout_count(t);
    emit_mov(e, SIZE_64, HOST_T0, RCX);
    translate_go_to_rip(t);
    t->ended = true;
    return true;
}

/* WHY: in flat code every segment but FS and GS is, and stays, flat: so does the mode. */
static bool is_flat_32(const struct translating *t)
{
    return t->flat && !t->code_64 && !(t->block->mode & MODE_COMPAT);
}

static bool sysenter_32(struct translating *t)
{
    struct emitter *e = &t->e;
    const int32_t cs = CPU_AT(msr.sysenter_cs);
    flags_before_clobber(t);
    require_bits(t, cs, SELECTOR_NOT_NULL, SLOW_INSN);
    require_no_bits(t, CPU_AT(eflags), F_AC, SLOW_INSN); /* the view depends on it */
    require_view(t, VIEW_SUPERVISOR, SLOW_INSN);
    set_privilege(t, 0);
    load_flat(t, CS, cs, 0, 0);
    load_flat(t, SS, cs, 8, 0);
    emit_alu_mem_imm(e, ALU_AND, SIZE_32, HOST_CPU, CPU_AT(eflags), ~F_IF);
    emit_load(e, SIZE_32, host_home(RSP), HOST_CPU, CPU_AT(msr.sysenter_esp));
    callout_count(t);
    emit_load(e, SIZE_32, HOST_T0, HOST_CPU, CPU_AT(msr.sysenter_eip));
    translate_go_to_rip(t);
    t->ended = true;
    return true;
}

static bool sysexit_32(struct translating *t)
{
    struct emitter *e = &t->e;
    const int32_t cs = CPU_AT(msr.sysenter_cs);
    flags_before_clobber(t);
    require_bits(t, cs, SELECTOR_NOT_NULL, SLOW_INSN);
    require_zero(t, SIZE_8, CPU_AT(cpl), SLOW_INSN);
    require_no_bits(t, CPU_AT(eflags), F_AC, SLOW_INSN);
    require_view(t, VIEW_USER, SLOW_INSN);
    set_privilege(t, 3);
    load_flat(t, CS, cs, 16, 3);
    load_flat(t, SS, cs, 24, 3);
    emit_mov(e, SIZE_32, host_home(RSP), RCX);
    callout_count(t);
    emit_mov(e, SIZE_32, HOST_T0, RDX);
    translate_go_to_rip(t);
    t->ended = true;
    return true;
}

/* EFLAGS.AC and, under SMAP, the view that it picks for the kernel. */
static bool set_access(struct translating *t, bool allowed)
{
    struct emitter *e = &t->e;
    flags_before_clobber(t);
    require_zero(t, SIZE_8, CPU_AT(cpl), SLOW_INTERP);
    require_bits(t, CPU_AT(mmu.registers.cr4), CR4_SMAP, SLOW_INTERP);
    require_view(t, allowed ? VIEW_SUPERVISOR_AC : VIEW_SUPERVISOR, SLOW_INTERP);
    emit_store(e, SIZE_64, HOST_CPU, CPU_AT(view), HOST_T0);
    emit_alu_mem_imm(e, allowed ? ALU_OR : ALU_AND, SIZE_32, HOST_CPU, CPU_AT(eflags),
                     allowed ? F_AC : ~F_AC);
    callout_count(t);
    return true;
}

/* Along the line of cpu/tsc.h while it holds, else by the handler. */
static bool rdtsc(struct translating *t)
{
    struct emitter *e = &t->e;
    if (!t->cpu->tsc.possible || !t->cpu->ops->tsc_is_steady)
        return false;
    flags_before_clobber(t);
    emit_alu_mem_imm(e, ALU_CMP, SIZE_8, HOST_CPU, CPU_AT(cpl), 0);
    uint8_t *allowed = emit_jump_if(e, COND_Z);
    emit_mem(e, HOST_OP(MAP_1, 0xf7, 0, SIZE_32), 0, AT(HOST_CPU, CPU_AT(mmu.registers.cr4)));
    emit_u32(e, CR4_TSD); /* test */
    translate_slow(t, emit_jump_if(e, COND_NZ), SLOW_INTERP);
    emit_jump_here(e, allowed);

    if (t->insn->row == OP_RDTSCP)
        emit_bytes(e, "\x0f\xae\xe8", 3); /* lfence: what came before has been done */
    emit_bytes(e, "\x0f\x31", 2);         /* rdtsc */
    emit_shift_imm(e, 4, SIZE_64, RDX, 32);
    emit_alu(e, ALU_OR, SIZE_64, RAX, RDX);
    emit_alu_load(e, ALU_SUB, SIZE_64, RAX, HOST_CPU, CPU_AT(tsc.from));
    emit_alu_load(e, ALU_CMP, SIZE_64, RAX, HOST_CPU, CPU_AT(tsc.span));
    translate_slow(t, emit_jump_if(e, COND_NB), SLOW_INTERP);
    emit_mem(e, HOST_OP(MAP_0F, 0xaf, 0, SIZE_64), RAX, AT(HOST_CPU, CPU_AT(tsc.slope))); /* imul */
    emit_shift_imm(e, 5, SIZE_64, RAX, 32);
    emit_alu_load(e, ALU_ADD, SIZE_64, RAX, HOST_CPU, CPU_AT(tsc.base));
    emit_alu_load(e, ALU_ADD, SIZE_64, RAX, HOST_CPU, CPU_AT(msr.tsc_offset));
    emit_mov(e, SIZE_64, RDX, RAX);
    emit_shift_imm(e, 5, SIZE_64, RDX, 32);
    emit_mov(e, SIZE_32, RAX, RAX);
    if (t->insn->row == OP_RDTSCP)
        emit_load(e, SIZE_32, RCX, HOST_CPU, CPU_AT(msr.tsc_aux));
    callout_count(t);
    return true;
}

bool translate_system(struct translating *t)
{
    switch (t->insn->row) {
    case OP_SYSCALL:
        return t->code_64 && syscall_64(t);
    case OP_SYSRET:
        return t->code_64 && sysret_64(t);
    case OP_SYSENTER:
        return is_flat_32(t) && sysenter_32(t);
    case OP_SYSEXIT:
        return is_flat_32(t) && sysexit_32(t);
    case OP_STAC:
        return t->flat && set_access(t, true);
    case OP_CLAC:
        return t->flat && set_access(t, false);
    case OP_RDTSC:
    case OP_RDTSCP:
        return rdtsc(t);
    default:
        return false;
    }
}
