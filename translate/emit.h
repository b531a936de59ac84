/* Host instructions as bytes.
 *
 * An emitter writes into a stretch of the code cache through its writable mapping; addresses that
 * the code itself sees are those of the executable one.  When the stretch is full, nothing more is
 * written and `full` is set: the caller looks once, at the end.
 *
 * Sources: SDM 2A ch. 2 (instruction format; §2.3 the VEX prefix).
 */
#ifndef TRANSLATE_EMIT_H
#define TRANSLATE_EMIT_H

#include "translate/host.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct emitter {
    uint8_t *start, *at, *end; /* writable */
    ptrdiff_t to_code;         /* executable address = writable address + to_code */
    bool full;
};

/* An opcode with everything that goes before ModRM. */
struct host_op {
    uint8_t map; /* enum opcode_map */
    uint8_t opcode;
    uint8_t prefix; /* a mandatory prefix (66, F2, F3), or 0 */
    uint8_t width; /* enum op_size: 16 bits add 66, 64 bits REX.W; 8: registers 4..7 are SPL..DIL */
    bool lock;
    bool legacy;  /* no REX: byte registers 4..7 are AH..BH, or nothing wants one */
    bool byte_rm; /* rm is a byte register whatever the width: MOVZX … */
    uint8_t vvvv; /* in maps behind VEX: the register there, 0 for none; 64 bits: VEX.W */
    bool wide;    /* VEX.L */
};

/* A place in memory: [base + index << scale + disp]; base, index: HOST_NONE for none. */
struct host_memory {
    uint8_t base, index, scale;
    int32_t disp;
};

void emit_byte(struct emitter *e, uint8_t byte);
void emit_bytes(struct emitter *e, const void *bytes, unsigned count);
void emit_u16(struct emitter *e, uint16_t value);
void emit_u32(struct emitter *e, uint32_t value);
void emit_u64(struct emitter *e, uint64_t value);

/* op reg, rm with both in registers (or /digit in `reg`). */
void emit_reg(struct emitter *e, struct host_op op, unsigned reg, unsigned rm);
/* op reg, [memory] */
void emit_mem(struct emitter *e, struct host_op op, unsigned reg, struct host_memory memory);
/* op reg, [rip + …] for data at the executable address `target`; `after`: bytes of immediate. */
void emit_rip(struct emitter *e, struct host_op op, unsigned reg, const void *target,
              unsigned after);
/* An opcode that holds a register in its low bits: B8+r, BSWAP … */
void emit_opcode_reg(struct emitter *e, struct host_op op, unsigned reg);

/* --- frequent ones; width: enum op_size */
void emit_mov(struct emitter *e, unsigned width, unsigned to, unsigned from);
void emit_mov_imm(struct emitter *e, unsigned to, uint64_t value);
void emit_load(struct emitter *e, unsigned width, unsigned to, unsigned base, int32_t disp);
void emit_store(struct emitter *e, unsigned width, unsigned base, int32_t disp, unsigned from);
void emit_store_imm(struct emitter *e, unsigned width, unsigned base, int32_t disp, int32_t value);
void emit_store_imm_at(struct emitter *e, unsigned width, struct host_memory memory, int32_t value);
void emit_lea(struct emitter *e, unsigned width, unsigned to, struct host_memory memory);

/* ADD OR ADC SBB AND SUB XOR CMP, by their number in the opcode. */
enum host_alu { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP };
void emit_alu(struct emitter *e, enum host_alu alu, unsigned width, unsigned to, unsigned from);
void emit_alu_imm(struct emitter *e, enum host_alu alu, unsigned width, unsigned to, int32_t value);
void emit_alu_load(struct emitter *e, enum host_alu alu, unsigned width, unsigned to, unsigned base,
                   int32_t disp);
/* alu [base + disp], value */
void emit_alu_mem_imm(struct emitter *e, enum host_alu alu, unsigned width, unsigned base,
                      int32_t disp, int32_t value);
/* test byte [base + disp], bits */
void emit_test_mem_imm(struct emitter *e, unsigned base, int32_t disp, uint8_t bits);
void emit_shift_imm(struct emitter *e, unsigned digit, unsigned width, unsigned reg,
                    uint8_t count); /* digit: 0 ROL, 1 ROR, 4 SHL, 5 SHR, 7 SAR */

/* to = `from` moved right by `count` bits (less than the width, SIZE_32 or SIZE_64), with anything
 * above; destroys EFLAGS. */
void emit_moved_right(struct emitter *e, unsigned width, unsigned to, unsigned from, uint8_t count);
/* to = the upper half of `from`, as 16 bits; leaves EFLAGS alone, wants BMI2. */
void emit_upper_half(struct emitter *e, unsigned to, unsigned from);

/* Jumps with a 32-bit displacement; the result is where that lies, for emit_jump_here() or
 * code_patch(). */
uint8_t *emit_jump(struct emitter *e);
uint8_t *emit_jump_if(struct emitter *e, unsigned condition);
void emit_jump_to(struct emitter *e, const void *target);
void emit_call_to(struct emitter *e, const void *target);
/* The jump at `place` (a result of emit_jump) leads to here. */
void emit_jump_here(struct emitter *e, uint8_t *place);
/* Where the next byte will be executed. */
static inline const uint8_t *emit_here(const struct emitter *e)
{
    return e->at + e->to_code;
}

/* SDM 1 app. B */
enum { COND_O, COND_NO, COND_B, COND_NB, COND_Z, COND_NZ, COND_BE, COND_NBE, COND_S, COND_NS };

#define OP_WIDE(code)  ((struct host_op){MAP_1, code, 0, SIZE_64, false, false, false})
#define HOST_OP(...)   ((struct host_op){__VA_ARGS__})
#define AT(base, disp) ((struct host_memory){base, HOST_NONE, 0, disp})

#endif
