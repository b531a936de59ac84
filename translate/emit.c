#include "translate/emit.h"

#include <string.h>

enum { REX = 0x40, REX_W = 8, REX_R = 4, REX_X = 2, REX_B = 1 };

void emit_bytes(struct emitter *e, const void *bytes, unsigned count)
{
    if ((size_t)(e->end - e->at) < count) {
        e->full = true;
        return;
    }
    memcpy(e->at, bytes, count);
    e->at += count;
}

void emit_byte(struct emitter *e, uint8_t byte)
{
    emit_bytes(e, &byte, 1);
}

void emit_u16(struct emitter *e, uint16_t value)
{
    emit_bytes(e, &value, 2);
}

void emit_u32(struct emitter *e, uint32_t value)
{
    emit_bytes(e, &value, 4);
}

void emit_u64(struct emitter *e, uint64_t value)
{
    emit_bytes(e, &value, 8);
}

/* A VEX prefix, the short one if it can be, and the opcode. */
static void emit_vex_head(struct emitter *e, struct host_op op, unsigned rex)
{
    const unsigned mandatory = op.prefix == 0x66   ? 1
                               : op.prefix == 0xf3 ? 2
                               : op.prefix == 0xf2 ? 3
                                                   : 0;
    const unsigned w = op.width == SIZE_64;
    const unsigned last = w << 7 | (~op.vvvv & 15u) << 3 | (unsigned)op.wide << 2 | mandatory;
    const unsigned inverted = ~rex & (REX_R | REX_X | REX_B);
    if (op.map == MAP_VEX_0F && !w && inverted & REX_X && inverted & REX_B) {
        emit_byte(e, 0xc5);
        emit_byte(e, (uint8_t)((inverted & REX_R) << 5 | last));
    } else {
        emit_byte(e, 0xc4);
        emit_byte(e, (uint8_t)(inverted << 5 | (op.map - MAP_VEX_0F + 1)));
        emit_byte(e, (uint8_t)last);
    }
    emit_byte(e, op.opcode);
}

/* Prefixes, REX and opcode bytes. */
static void emit_head(struct emitter *e, struct host_op op, unsigned rex, uint8_t opcode)
{
    if (map_is_vex(op.map)) {
        emit_vex_head(e, op, rex);
        return;
    }
    if (op.lock)
        emit_byte(e, 0xf0);
    if (op.width == SIZE_16)
        emit_byte(e, 0x66);
    if (op.prefix)
        emit_byte(e, op.prefix);
    if (op.width == SIZE_64)
        rex |= REX_W;
    if (!op.legacy && rex)
        emit_byte(e, (uint8_t)(REX | rex));
    if (op.map != MAP_1)
        emit_byte(e, 0x0f);
    if (op.map == MAP_0F38 || op.map == MAP_0F3A)
        emit_byte(e, op.map == MAP_0F38 ? 0x38 : 0x3a);
    emit_byte(e, opcode);
}

static unsigned byte_rex(struct host_op op, unsigned reg)
{
    return op.width == SIZE_8 && reg >= 4 ? REX : 0; /* SPL..DIL, not AH..BH */
}

void emit_reg(struct emitter *e, struct host_op op, unsigned reg, unsigned rm)
{
    emit_head(e, op,
              (reg & 8 ? REX_R : 0) | (rm & 8 ? REX_B : 0) | byte_rex(op, reg) | byte_rex(op, rm) |
                  (op.byte_rm && rm >= 4 ? REX : 0),
              op.opcode);
    emit_byte(e, (uint8_t)(0xc0 | (reg & 7) << 3 | (rm & 7)));
}

void emit_mem(struct emitter *e, struct host_op op, unsigned reg, struct host_memory memory)
{
    const bool has_index = memory.index != HOST_NONE, has_base = memory.base != HOST_NONE;
    const unsigned base = has_base ? memory.base : RBP;
    emit_head(e, op,
              (reg & 8 ? REX_R : 0) | (base & 8 ? REX_B : 0) |
                  (has_index && memory.index & 8 ? REX_X : 0) | byte_rex(op, reg),
              op.opcode);
    const bool sib = has_index || !has_base || (base & 7) == RSP;
    /* SDM: 2A table 2-2, a base of RBP or R13 always has a displacement; table 2-3, without one it
     * means no base. */
    const unsigned mod = !has_base || (memory.disp == 0 && (base & 7) != RBP) ? 0
                         : memory.disp == (int8_t)memory.disp                 ? 1
                                                                              : 2;
    emit_byte(e, (uint8_t)(mod << 6 | (reg & 7) << 3 | (sib ? RSP : base & 7)));
    if (sib)
        emit_byte(e, (uint8_t)(memory.scale << 6 | (has_index ? memory.index & 7 : RSP) << 3 |
                               (base & 7)));
    if (mod == 1)
        emit_byte(e, (uint8_t)memory.disp);
    else if (mod == 2 || !has_base)
        emit_u32(e, (uint32_t)memory.disp);
}

void emit_rip(struct emitter *e, struct host_op op, unsigned reg, const void *target,
              unsigned after)
{
    emit_head(e, op, (reg & 8 ? REX_R : 0) | byte_rex(op, reg), op.opcode);
    emit_byte(e, (uint8_t)((reg & 7) << 3 | 5));
    emit_u32(e, (uint32_t)((const uint8_t *)target - (emit_here(e) + 4 + after)));
}

void emit_opcode_reg(struct emitter *e, struct host_op op, unsigned reg)
{
    emit_head(e, op, (reg & 8 ? REX_B : 0) | byte_rex(op, reg), (uint8_t)(op.opcode | (reg & 7)));
}

/* --- frequent ones */

static struct host_op sized(uint8_t wide_opcode, unsigned width)
{
    return HOST_OP(MAP_1, (uint8_t)(width == SIZE_8 ? wide_opcode - 1 : wide_opcode), 0,
                   (uint8_t)width);
}

static void emit_imm(struct emitter *e, unsigned width, int32_t value)
{
    if (width == SIZE_8)
        emit_byte(e, (uint8_t)value);
    else if (width == SIZE_16)
        emit_u16(e, (uint16_t)value);
    else
        emit_u32(e, (uint32_t)value);
}

void emit_mov(struct emitter *e, unsigned width, unsigned to, unsigned from)
{
    emit_reg(e, sized(0x89, width), from, to);
}

void emit_mov_imm(struct emitter *e, unsigned to, uint64_t value)
{
    if (value <= UINT32_MAX) {
        emit_opcode_reg(e, HOST_OP(MAP_1, 0xb8, 0, SIZE_32), to);
        emit_u32(e, (uint32_t)value);
    } else if ((uint64_t)(int64_t)(int32_t)value == value) {
        emit_reg(e, OP_WIDE(0xc7), 0, to);
        emit_u32(e, (uint32_t)value);
    } else {
        emit_opcode_reg(e, OP_WIDE(0xb8), to);
        emit_u64(e, value);
    }
}

void emit_load(struct emitter *e, unsigned width, unsigned to, unsigned base, int32_t disp)
{
    emit_mem(e, sized(0x8b, width), to, AT((uint8_t)base, disp));
}

void emit_store(struct emitter *e, unsigned width, unsigned base, int32_t disp, unsigned from)
{
    emit_mem(e, sized(0x89, width), from, AT((uint8_t)base, disp));
}

void emit_store_imm_at(struct emitter *e, unsigned width, struct host_memory memory, int32_t value)
{
    emit_mem(e, sized(0xc7, width), 0, memory);
    emit_imm(e, width, value);
}

void emit_store_imm(struct emitter *e, unsigned width, unsigned base, int32_t disp, int32_t value)
{
    emit_store_imm_at(e, width, AT((uint8_t)base, disp), value);
}

void emit_lea(struct emitter *e, unsigned width, unsigned to, struct host_memory memory)
{
    emit_mem(e, HOST_OP(MAP_1, 0x8d, 0, (uint8_t)width), to, memory);
}

void emit_alu(struct emitter *e, enum host_alu alu, unsigned width, unsigned to, unsigned from)
{
    emit_reg(e, sized((uint8_t)(alu << 3 | 1), width), from, to);
}

void emit_alu_imm(struct emitter *e, enum host_alu alu, unsigned width, unsigned to, int32_t value)
{
    bool short_form = width != SIZE_8 && value == (int8_t)value;
    emit_reg(e, short_form ? HOST_OP(MAP_1, 0x83, 0, (uint8_t)width) : sized(0x81, width), alu, to);
    emit_imm(e, short_form ? SIZE_8 : width, value);
}

void emit_alu_load(struct emitter *e, enum host_alu alu, unsigned width, unsigned to, unsigned base,
                   int32_t disp)
{
    emit_mem(e, sized((uint8_t)(alu << 3 | 3), width), to, AT((uint8_t)base, disp));
}

void emit_alu_mem_imm(struct emitter *e, enum host_alu alu, unsigned width, unsigned base,
                      int32_t disp, int32_t value)
{
    bool short_form = width != SIZE_8 && value == (int8_t)value;
    emit_mem(e, short_form ? HOST_OP(MAP_1, 0x83, 0, (uint8_t)width) : sized(0x81, width), alu,
             AT((uint8_t)base, disp));
    emit_imm(e, short_form ? SIZE_8 : width, value);
}

void emit_test_mem_imm(struct emitter *e, unsigned base, int32_t disp, uint8_t bits)
{
    emit_mem(e, HOST_OP(MAP_1, 0xf6, 0, SIZE_8), 0, AT((uint8_t)base, disp));
    emit_byte(e, bits);
}

void emit_shift_imm(struct emitter *e, unsigned digit, unsigned width, unsigned reg, uint8_t count)
{
    emit_reg(e, sized(0xc1, width), digit, reg);
    emit_byte(e, count);
}

static void emit_rorx(struct emitter *e, unsigned width, unsigned to, unsigned from, uint8_t count)
{
    emit_reg(e,
             (struct host_op){
                 .map = MAP_VEX_0F3A, .opcode = 0xf0, .prefix = 0xf2, .width = (uint8_t)width},
             to, from);
    emit_byte(e, count);
}

void emit_moved_right(struct emitter *e, unsigned width, unsigned to, unsigned from, uint8_t count)
{
    if (__builtin_cpu_supports("bmi2")) {
        emit_rorx(e, width, to, from, count);
        return;
    }
    emit_mov(e, width, to, from);
    emit_shift_imm(e, 5, width, to, count);
}

void emit_upper_half(struct emitter *e, unsigned to, unsigned from)
{
    emit_rorx(e, SIZE_64, to, from, 32);
    emit_reg(e, HOST_OP(MAP_0F, 0xb7, 0, SIZE_32), to, to); /* movzx */
}

/* --- jumps */

uint8_t *emit_jump(struct emitter *e)
{
    emit_byte(e, 0xe9);
    emit_u32(e, 0);
    return e->at - 4;
}

uint8_t *emit_jump_if(struct emitter *e, unsigned condition)
{
    emit_byte(e, 0x0f);
    emit_byte(e, (uint8_t)(0x80 | condition));
    emit_u32(e, 0);
    return e->at - 4;
}

static void emit_displacement(struct emitter *e, const void *target)
{
    emit_u32(e, (uint32_t)((const uint8_t *)target - (emit_here(e) + 4)));
}

void emit_jump_to(struct emitter *e, const void *target)
{
    emit_byte(e, 0xe9);
    emit_displacement(e, target);
}

void emit_call_to(struct emitter *e, const void *target)
{
    emit_byte(e, 0xe8);
    emit_displacement(e, target);
}

void emit_jump_here(struct emitter *e, uint8_t *place)
{
    if (e->full)
        return;
    int32_t distance = (int32_t)(e->at - (place + 4));
    memcpy(place, &distance, 4);
}
