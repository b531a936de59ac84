/* Moves the guest's x87 between struct cpu and the host: see translate/native_x87.h.
 *
 * WHY: FNSAVE and FRSTOR, since FXRSTOR would take the vector registers along, which may be the
 * guest's too.
 */
#include "translate/native_x87.h"

#include "cpu/x87.h"
#include "cpu/x87_host.h"

enum { REGISTER_BYTES = 10 };

/* SDM 1 figures 8-9 and 8-11: the 32-bit format in protected mode. */
struct image {
    uint32_t control, status, tags, code_offset, code_selector, data_offset, data_selector;
    uint8_t registers[8][REGISTER_BYTES]; /* ST(0) first */
};
_Static_assert(sizeof(struct image) == 108, "as FNSAVE writes it");

enum { TAG_EMPTY = 3 };

bool native_x87_load(struct cpu *cpu)
{
    struct x87 *x87 = &cpu->x87;
    if ((x87->control & X87_EXCEPTIONS) != X87_EXCEPTIONS)
        return false;
    struct image image = {.control = x87->control, .status = x87->status};
    for (unsigned i = 0; i < 8; i++) {
        if (!(x87->valid >> i & 1))
            image.tags |= (uint32_t)TAG_EMPTY << 2 * i;
        memcpy(image.registers[i], x87_st(cpu, i), REGISTER_BYTES);
    }
    __asm__ volatile("frstor %0" ::"m"(image) : "memory");
    cpu->native.x87_live = true;
    return true;
}

void native_x87_store(struct cpu *cpu)
{
    struct x87 *x87 = &cpu->x87;
    struct image image;
    __asm__ volatile("fnsave %0" : "=m"(image)::"memory");
    x87_host_set_control(x87->control);
    x87->status = (uint16_t)image.status;
    x87->valid = 0;
    for (unsigned i = 0; i < 8; i++) {
        if ((image.tags >> 2 * i & TAG_EMPTY) != TAG_EMPTY)
            x87->valid |= (uint8_t)(1u << i);
        memcpy(x87_st(cpu, i), image.registers[i], REGISTER_BYTES);
    }
    cpu->native.x87_live = false;
}

bool native_x87_concerns(const struct insn *insn)
{
    switch (insn->row) {
    case OP_XSAVE_M:
    case OP_XSAVEC_M:
    case OP_XSAVEOPT_M:
    case OP_XSAVES_M:
    case OP_XRSTOR_M:
    case OP_XRSTORS_M:
        return true;
    default:
        return opcode_rows[insn->row].attributes & (A_X87 | A_MMX);
    }
}
