/* The few pieces of code that every translation shares: in, out, and calls of C.
 *
 * In translated code rsp is a multiple of 16.  The stubs that are called keep every register that
 * is not their result.
 */
#include "cpu/sse_env.h"
#include "translate/native_x87.h"
#include "translate/translating.h"

static const uint8_t saved[] = {RBX, RBP, R12, R13, R14, R15}; /* by the callee, System V ABI */

static void emit_push(struct emitter *e, unsigned reg)
{
    emit_opcode_reg(e, HOST_OP(MAP_1, 0x50, 0, SIZE_32), reg);
}

static void emit_pop(struct emitter *e, unsigned reg)
{
    emit_opcode_reg(e, HOST_OP(MAP_1, 0x58, 0, SIZE_32), reg);
}

static void emit_ret(struct emitter *e)
{
    emit_byte(e, 0xc3);
}

static void registers_out(struct emitter *e)
{
    for (unsigned reg = 0; reg < 16; reg++)
        if (host_home(reg) != HOST_NONE)
            emit_store(e, SIZE_64, HOST_CPU, cpu_reg_at(reg), host_home(reg));
}

static void registers_in(struct emitter *e)
{
    for (unsigned reg = 0; reg < 16; reg++)
        if (host_home(reg) != HOST_NONE)
            emit_load(e, SIZE_64, host_home(reg), HOST_CPU, cpu_reg_at(reg));
}

enum { MOVAPS_LOAD = 0x28, MOVAPS_STORE = 0x29 };

static void move_vectors(struct emitter *e, struct host_op op)
{
    for (unsigned i = 0; i < 16; i++)
        emit_mem(e, op, i, AT(HOST_CPU, CPU_AT(xmm) + (int32_t)(i * sizeof(union vector))));
}

static void move_xmm(struct emitter *e, uint8_t opcode)
{
    move_vectors(e, HOST_OP(MAP_0F, opcode, 0, SIZE_32));
}

static void move_ymm(struct emitter *e, uint8_t opcode)
{
    move_vectors(e, HOST_OP(.map = MAP_VEX_0F, .opcode = opcode, .width = SIZE_32, .wide = true));
}

/* WHY: SSE's instructions, in C, are slow where the upper halves are not known to be 0. */
static void emit_vzeroupper(struct emitter *e)
{
    static const uint8_t code[] = {0xc5, 0xf8, 0x77};
    emit_bytes(e, code, sizeof code);
}

/* Vectors that live in the host's registers go to cpu->xmm.  Destroys EFLAGS. */
static void vectors_out(struct emitter *e)
{
    emit_alu_mem_imm(e, ALU_CMP, SIZE_8, HOST_CPU, CPU_AT(native.vectors), VECTORS_STORED);
    uint8_t *none = emit_jump_if(e, COND_Z);
    emit_test_mem_imm(e, HOST_CPU, CPU_AT(native.vectors), VECTORS_UPPER);
    uint8_t *whole = emit_jump_if(e, COND_NZ);
    move_xmm(e, MOVAPS_STORE);
    uint8_t *done = emit_jump(e);
    emit_jump_here(e, whole);
    move_ymm(e, MOVAPS_STORE);
    emit_vzeroupper(e);
    emit_jump_here(e, done);
    emit_jump_here(e, none);
}

/* … and come back. */
static void vectors_in(struct emitter *e)
{
    emit_alu_mem_imm(e, ALU_CMP, SIZE_8, HOST_CPU, CPU_AT(native.vectors), VECTORS_STORED);
    uint8_t *none = emit_jump_if(e, COND_Z);
    emit_test_mem_imm(e, HOST_CPU, CPU_AT(native.vectors), VECTORS_UPPER);
    uint8_t *whole = emit_jump_if(e, COND_NZ);
    move_xmm(e, MOVAPS_LOAD);
    uint8_t *done = emit_jump(e);
    emit_jump_here(e, whole);
    move_ymm(e, MOVAPS_LOAD);
    emit_jump_here(e, done);
    emit_jump_here(e, none);
}

/* calls a function of C; rsp must be a multiple of 16 */
static void emit_call_c(struct emitter *e, uintptr_t function)
{
    emit_mov_imm(e, RAX, function);
    emit_byte(e, 0xff);
    emit_byte(e, 0xd0);
}

/* uint64_t enter(struct cpu *cpu, const void *code) */
static void emit_enter(struct emitter *e, bool windows)
{
    for (unsigned i = 0; i < sizeof saved; i++)
        emit_push(e, saved[i]);
    emit_alu_imm(e, ALU_SUB, SIZE_64, RSP, 8);
    emit_lea(e, SIZE_64, HOST_CPU, AT(RDI, HOST_CPU_BIAS));
    emit_mov(e, SIZE_64, HOST_T1, RSI);
    registers_in(e);
    if (windows)
        memory_note_stack_anew(e);
    emit_reg(e, HOST_OP(MAP_1, 0xff, 0, SIZE_32), 4, HOST_T1);
}

/* Back to the caller of `enter` with RAX; registers are out. */
static void emit_leave(struct emitter *e)
{
    emit_alu_imm(e, ALU_ADD, SIZE_64, RSP, 8);
    for (unsigned i = sizeof saved; i-- > 0;)
        emit_pop(e, saved[i]);
    emit_ret(e);
}

static void vectors_out_for_good(struct emitter *e)
{
    vectors_out(e);
    emit_store_imm(e, SIZE_8, HOST_CPU, CPU_AT(native.vectors), VECTORS_STORED);
}

static void emit_exit(struct emitter *e)
{
    registers_out(e);
    vectors_out_for_good(e);
    emit_mov(e, SIZE_64, RAX, HOST_T0);
    emit_leave(e);
}

static void emit_cold(struct emitter *e)
{
    registers_out(e);
    vectors_out_for_good(e);
    emit_mov_imm(e, RAX, EXEC_GO);
    emit_leave(e);
}

static void emit_entry_cold(struct emitter *e)
{
    emit_load(e, SIZE_64, HOST_T0, HOST_T1, offsetof(struct jump_entry, linear));
    emit_store(e, SIZE_64, HOST_CPU, CPU_AT(rip), HOST_T0);
    emit_cold(e);
}

static void emit_interp_stub(struct emitter *e, bool windows)
{
    registers_out(e);
    vectors_out(e);
    emit_alu_imm(e, ALU_SUB, SIZE_64, RSP, 8);
    emit_lea(e, SIZE_64, RDI, AT(HOST_CPU, -HOST_CPU_BIAS));
    emit_mov(e, SIZE_64, RSI, HOST_T0);
    emit_call_c(e, (uintptr_t)translate_interp);
    emit_alu_imm(e, ALU_ADD, SIZE_64, RSP, 8);
    emit_reg(e, HOST_OP(MAP_1, 0x85, 0, SIZE_32), RAX, RAX);
    uint8_t *leaves = emit_jump_if(e, COND_NZ);
    vectors_in(e);
    registers_in(e);
    if (windows)
        memory_note_stack_anew(e);
    emit_ret(e);
    emit_jump_here(e, leaves);
    emit_store_imm(e, SIZE_8, HOST_CPU, CPU_AT(native.vectors), VECTORS_STORED);
    emit_alu_imm(e, ALU_ADD, SIZE_64, RSP, 8); /* the return address */
    emit_leave(e);
}

static void emit_image_by_c(struct emitter *e)
{
    registers_out(e);
    vectors_out(e);
    emit_push(e, HOST_T0);
    emit_lea(e, SIZE_64, RDI, AT(HOST_CPU, -HOST_CPU_BIAS));
    emit_call_c(e, (uintptr_t)native_flags_image);
    emit_pop(e, HOST_T0);
    vectors_in(e);
    registers_in(e);
    emit_ret(e);
}

/* Keeps every register but T1; C sees to what is not noted as operands, or has been stepped since.
 */
static void emit_image(struct emitter *e)
{
    static const uint8_t kinds[] = {FLAGS_CMP, FLAGS_LOGIC, FLAGS_SUB, FLAGS_ADD};
    static const uint8_t widths[] = {SIZE_32, SIZE_64, SIZE_8, SIZE_16};
    for (unsigned i = 0; i < ARRAY_LENGTH(kinds) * ARRAY_LENGTH(widths); i++) {
        const enum native_flags kind = kinds[i / ARRAY_LENGTH(widths)];
        const uint8_t width = widths[i % ARRAY_LENGTH(widths)];
        const uint32_t noted = kind | (unsigned)width << FLAGS_SIZE_SHIFT;
        emit_alu_mem_imm(e, ALU_CMP, SIZE_64, HOST_CPU, CPU_AT(native.flags_kind), (int32_t)noted);
        uint8_t *other = emit_jump_if(e, COND_NZ);
        emit_mov(e, SIZE_64, HOST_T1, RAX);
        flags_again(e, noted, RAX);
        emit_byte(e, 0x9f); /* lahf */
        emit_reg(e, HOST_OP(MAP_0F, 0x90 | COND_O, 0, SIZE_8), 0, RAX);
        if (kind == FLAGS_LOGIC)
            emit_alu_imm(e, ALU_AND, SIZE_32, RAX, ~(F_AF << 8)); /* undefined: see flags_logic() */
        emit_store(e, SIZE_16, HOST_CPU, CPU_AT(native.flags_a), RAX);
        emit_store_imm(e, SIZE_64, HOST_CPU, CPU_AT(native.flags_kind), FLAGS_IMAGE);
        emit_mov(e, SIZE_64, RAX, HOST_T1);
        emit_ret(e);
        emit_jump_here(e, other);
    }
    emit_image_by_c(e);
}

/* native.vectors = vectors_of(…) by MXCSR */
static void note_vectors(struct emitter *e, bool upper)
{
    emit_store_imm(e, SIZE_8, HOST_CPU, CPU_AT(native.vectors), (int32_t)vectors_of(false, upper));
    emit_load(e, SIZE_32, HOST_T1, HOST_CPU, CPU_AT(mxcsr));
    emit_alu_imm(e, ALU_AND, SIZE_32, HOST_T1, MXCSR_MASKS);
    emit_alu_imm(e, ALU_CMP, SIZE_32, HOST_T1, MXCSR_MASKS);
    uint8_t *unmasked = emit_jump_if(e, COND_NZ);
    emit_store_imm(e, SIZE_8, HOST_CPU, CPU_AT(native.vectors), (int32_t)vectors_of(true, upper));
    emit_jump_here(e, unmasked);
}

static void emit_vectors(struct emitter *e)
{
    emit_alu_mem_imm(e, ALU_CMP, SIZE_8, HOST_CPU, CPU_AT(native.vectors), VECTORS_STORED);
    uint8_t *live = emit_jump_if(e, COND_NZ);
    move_xmm(e, MOVAPS_LOAD);
    note_vectors(e, false);
    emit_jump_here(e, live);
    emit_ret(e);
}

static void emit_upper(struct emitter *e)
{
    const struct host_op insert = {.map = MAP_VEX_0F3A,
                                   .opcode = 0x18,
                                   .prefix = 0x66,
                                   .width = SIZE_32,
                                   .wide = true}; /* vinsertf128 */
    emit_test_mem_imm(e, HOST_CPU, CPU_AT(native.vectors), VECTORS_UPPER);
    uint8_t *all = emit_jump_if(e, COND_NZ);
    emit_test_mem_imm(e, HOST_CPU, CPU_AT(native.vectors), VECTORS_LIVE);
    uint8_t *live = emit_jump_if(e, COND_NZ);
    move_ymm(e, MOVAPS_LOAD);
    uint8_t *loaded = emit_jump(e);
    emit_jump_here(e, live);
    for (unsigned i = 0; i < 16; i++) {
        struct host_op op = insert;
        op.vvvv = (uint8_t)i;
        emit_mem(e, op, i, AT(HOST_CPU, CPU_AT(xmm[0].q[2]) + (int32_t)(i * sizeof(union vector))));
        emit_byte(e, 1);
    }
    emit_jump_here(e, loaded);
    note_vectors(e, true);
    emit_jump_here(e, all);
    emit_ret(e);
}

static void emit_x87(struct emitter *e)
{
    registers_out(e);
    vectors_out(e);
    emit_alu_imm(e, ALU_SUB, SIZE_64, RSP, 8);
    emit_lea(e, SIZE_64, RDI, AT(HOST_CPU, -HOST_CPU_BIAS));
    emit_call_c(e, (uintptr_t)native_x87_load);
    emit_alu_imm(e, ALU_ADD, SIZE_64, RSP, 8);
    vectors_in(e);
    registers_in(e);
    emit_ret(e);
}

static uint8_t *stub_start(struct emitter *e)
{
    while ((uintptr_t)e->at & 15)
        emit_byte(e, 0xcc);
    return e->at + e->to_code;
}

static uint8_t *emit_stub(struct emitter *e, void (*stub)(struct emitter *e))
{
    uint8_t *start = stub_start(e);
    stub(e);
    return start;
}

void stubs_emit(struct translator *translator)
{
    const struct code_cache *cache = &translator->cache;
    struct emitter e = {.start = cache->stubs,
                        .at = cache->stubs,
                        .end = cache->stubs_end,
                        .to_code = cache->to_code};
    const bool windows = translate_has_windows(translator);
    uint8_t *enter = stub_start(&e);
    emit_enter(&e, windows);
    memcpy(&translator->enter, &enter, sizeof enter);
    translator->stub_exit = emit_stub(&e, emit_exit);
    translator->stub_cold = emit_stub(&e, emit_cold);
    translator->stub_entry_cold = emit_stub(&e, emit_entry_cold);
    translator->stub_interp = stub_start(&e);
    emit_interp_stub(&e, windows);
    translator->stub_image = emit_stub(&e, emit_image);
    translator->stub_vectors = emit_stub(&e, emit_vectors);
    translator->stub_upper = emit_stub(&e, emit_upper);
    translator->stub_x87 = emit_stub(&e, emit_x87);
    static const uint8_t loaded[] = {ES, DS, FS, GS};
    for (unsigned i = 0; i < ARRAY_LENGTH(loaded); i++) {
        translator->stub_segment[loaded[i]] = stub_start(&e);
        translate_segment_stub(&e, loaded[i]);
    }
    BUG_ON(e.full);
}
