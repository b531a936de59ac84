/* Gathers: each element that the mask chooses by a look-up of its own.
 *
 *      vmovups  [cpu->rmw], indices
 *      for each element:
 *              vmovmskps t1, mask ; test t1, its bit ; jz next
 *              t0 = its address, looked up
 *              mov t1, [t0] ; mov [cpu->rmw + 32 + its place], t1
 *      vblendvps dest, dest, [cpu->rmw + 32], mask ; vpxor mask, mask, mask
 *
 * INV-1: nothing of the guest's state changes before the last look-up; an element that cannot be
 *        had leaves all of them to the interpreter.
 *
 * Sources: SDM 2A §2.3.12, 2C VGATHERDPS … VPGATHERQQ.
 */
#include "translate/translating.h"

enum { INDICES = 0, RESULT = 32 }; /* in cpu->rmw.bytes */

static struct host_memory scratch_at(unsigned at)
{
    return AT(HOST_CPU, CPU_AT(rmw.bytes) + (int32_t)at);
}

/* T0 = the offset of element `n`. */
static void element_address(struct translating *t, unsigned n, unsigned index_bytes)
{
    struct emitter *e = &t->e;
    const struct insn *insn = t->insn;
    const uint8_t width = insn->address == SIZE_64 ? SIZE_64 : SIZE_32;
    const uint8_t movsxd = 0x63, mov = 0x8b;
    emit_mem(e, HOST_OP(MAP_1, index_bytes == 4 ? movsxd : mov, 0, SIZE_64), HOST_T0,
             scratch_at(INDICES + n * index_bytes));
    if (insn->base == REG_ZERO) {
        emit_shift_imm(e, 4, SIZE_64, HOST_T0, insn->scale);
        emit_lea(e, width, HOST_T0, AT(HOST_T0, insn->disp));
        return;
    }
    const unsigned base = translate_read(t, insn->base, HOST_T1);
    emit_lea(e, width, HOST_T0,
             (struct host_memory){(uint8_t)base, HOST_T0, insn->scale, insn->disp});
}

static void gather_element(struct translating *t, unsigned n, unsigned bytes, unsigned index_bytes,
                           bool wide)
{
    struct emitter *e = &t->e;
    const uint8_t width = bytes == 8 ? SIZE_64 : SIZE_32;
    const struct host_op sign_mask = {.map = MAP_VEX_0F,
                                      .opcode = 0x50,
                                      .prefix = bytes == 8 ? 0x66 : 0,
                                      .width = SIZE_32,
                                      .wide = wide};
    emit_reg(e, sign_mask, HOST_T1, t->insn->vex.vvvv);
    emit_reg(e, HOST_OP(MAP_1, 0xf6, 0, SIZE_8), 0, HOST_T1); /* test */
    emit_byte(e, (uint8_t)(1 << n));
    uint8_t *left_out = emit_jump_if(e, COND_Z);
    element_address(t, n, index_bytes);
    t->delta = HOST_NONE;
    memory_look_up(t, t->insn->seg, bytes, false, SLOW_INTERP);
    emit_load(e, width, HOST_T1, HOST_T0, 0);
    emit_mem(e, HOST_OP(MAP_1, 0x89, 0, width), HOST_T1, scratch_at(RESULT + n * bytes));
    emit_jump_here(e, left_out);
    t->delta = HOST_NONE;
}

bool translate_gather(struct translating *t)
{
    struct emitter *e = &t->e;
    const struct insn *insn = t->insn;
    const unsigned bytes = t->row->modes & X_W1 ? 8 : 4, index_bytes = t->row->opcode & 1 ? 8 : 4;
    const unsigned wider = bytes > index_bytes ? bytes : index_bytes;
    const unsigned count = (insn->size == VECTOR_256 ? 32 : 16) / wider;
    const bool wide = count * bytes == 32;
    const unsigned to = insn->reg, mask = insn->vex.vvvv;
    flags_before_clobber(t);
    emit_mem(e, HOST_OP(.map = MAP_VEX_0F, .opcode = 0x11, .width = SIZE_32, .wide = true),
             insn->index, scratch_at(INDICES)); /* vmovups */
    for (unsigned n = 0; n < count; n++)
        gather_element(t, n, bytes, index_bytes, wide);
    const struct host_op blend = {.map = MAP_VEX_0F3A,
                                  .opcode = bytes == 8 ? 0x4b : 0x4a,
                                  .prefix = 0x66,
                                  .width = SIZE_32,
                                  .vvvv = (uint8_t)to,
                                  .wide = wide};
    emit_mem(e, blend, to, scratch_at(RESULT));
    emit_byte(e, (uint8_t)(mask << 4));
    if (count * bytes == 8) /* vmovq */
        emit_reg(e, HOST_OP(.map = MAP_VEX_0F, .opcode = 0x7e, .prefix = 0xf3, .width = SIZE_32),
                 to, to);
    emit_reg(e,
             HOST_OP(.map = MAP_VEX_0F, .opcode = 0xef, .prefix = 0x66, .width = SIZE_32,
                     .vvvv = (uint8_t)mask),
             mask, mask); /* vpxor */
    return true;
}
