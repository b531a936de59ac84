/* Instructions on XMM registers.  They are copied: guest XMM n is host XMM n, general registers are
 * renamed, a memory operand is rerouted to [t0].
 *
 * While the guest has every SIMD exception masked, the host's MXCSR is the guest's (INV-4 of cpu.h),
 * and floating point runs as it is; otherwise the interpreter runs the block.
 *
 * INV-1: a block with such instructions makes sure at its entry of the most that any of them needs,
 *        and t->vectors says how much still holds; what needs more is interpreted.
 * INV-2: nothing of the guest's state changes before the last look into the shadow.
 *
 * Sources: SDM 1 §10.2.3, §11.5.
 */
#include "translate/translating.h"

enum { OPERANDS = 3, VECTOR_BYTES = 16 };

/* Where an operand is encoded. */
enum place {
    PLACE_NONE,
    PLACE_REG,         /* XMM: ModRM.reg */
    PLACE_RM,          /* XMM or memory: ModRM.rm */
    PLACE_GENERAL_REG, /* a general register */
    PLACE_GENERAL_RM,
    PLACE_IMMEDIATE,
    PLACE_OTHER, /* MMX registers, MXCSR */
};

static enum place place_of(unsigned operand)
{
    switch (operand) {
    case O_NONE: case O_XMM0:
        return PLACE_NONE;
    case O_Vx: case O_Vq: case O_Vd: case O_Vss: case O_Vsd: case O_Vps: case O_Vpd:
        return PLACE_REG;
    case O_Wx: case O_Wq: case O_Wd: case O_Ww: case O_Wss: case O_Wsd: case O_Wps: case O_Wpd:
    case O_Ux: case O_Uq: case O_Mq: case O_Mdq:
        return PLACE_RM;
    case O_Gd: case O_Gy:
        return PLACE_GENERAL_REG;
    case O_Ed: case O_Ey: case O_EwRv: case O_EbRd:
        return PLACE_GENERAL_RM;
    case O_Ib:
        return PLACE_IMMEDIATE;
    default:
        return PLACE_OTHER;
    }
}

static unsigned bytes_in_memory(const struct insn *insn, unsigned operand)
{
    switch (operand) {
    case O_EbRd:
        return 1;
    case O_Ww: case O_EwRv:
        return 2;
    case O_Wd: case O_Wss: case O_Ed:
        return 4;
    case O_Wq: case O_Wsd: case O_Mq:
        return 8;
    case O_Ey:
        return 1u << insn->size;
    default:
        return VECTOR_BYTES;
    }
}

/* Does the result depend on MXCSR, or does it set flags there?  By opcode, whatever the prefix. */
static bool is_floating_point(const struct opcode_row *row)
{
    if (row->map == MAP_0F3A)
        return (row->opcode >= 0x08 && row->opcode <= 0x0b) || /* ROUND */
               row->opcode == 0x40 || row->opcode == 0x41;     /* DPPS, DPPD */
    if (row->map != MAP_0F)
        return false;
    switch (row->opcode) {
    case 0x2a: case 0x2c: case 0x2d: case 0x5a: case 0x5b: case 0xe6: /* CVT… */
    case 0x2e: case 0x2f: case 0xc2:                                  /* UCOMIS, COMIS, CMP */
    case 0x51: case 0x58: case 0x59: case 0x5c: case 0x5d: case 0x5e: case 0x5f:
    case 0x7c: case 0x7d: case 0xd0: /* HADD, HSUB, ADDSUB */
        return true;
    default:
        return false;
    }
}

/* SDM: 1 §10.8.4.2 and §12.12.3, the forms of 16 bytes that take any address. */
static bool takes_any_address(unsigned row)
{
    switch (row) {
    case OP_MOVUPS_VpsWps: case OP_MOVUPS_WpsVps: case OP_MOVUPD_VpdWpd: case OP_MOVUPD_WpdVpd:
    case OP_MOVDQU_VxWx: case OP_MOVDQU_WxVx: case OP_LDDQU_VxMdq:
    case OP_PCMPESTRM_VxWxIb: case OP_PCMPESTRI_VxWxIb: case OP_PCMPISTRM_VxWxIb:
    case OP_PCMPISTRI_VxWxIb:
        return true;
    default:
        return false;
    }
}

static bool is_copied(const struct opcode_row *row)
{
    if (!(row->attributes & A_SSE) || row->attributes & A_MMX)
        return false;
    for (unsigned i = 0; i < OPERANDS; i++)
        if (place_of(row->operand[i]) == PLACE_OTHER)
            return false;
    return true;
}

static enum native_vectors needed_by(const struct insn *insn)
{
    const struct opcode_row *row = &opcode_rows[insn->row];
    if (!is_copied(row))
        return VECTORS_STORED;
    return is_floating_point(row) ? VECTORS_FLOAT : VECTORS_LIVE;
}

void translate_vectors_entry(struct translating *t)
{
    const uint32_t mode = t->block->mode;
    if (mode & (MODE_EM | MODE_TS) || !(mode & MODE_OSFXSR))
        return; /* every such instruction raises #UD or #NM */
    for (unsigned i = 0; i < t->block->count; i++) {
        enum native_vectors needed = needed_by(&t->block->insns[i]);
        if (needed > t->vectors)
            t->vectors = needed;
    }
    if (t->vectors == VECTORS_STORED)
        return;
    const bool floats = t->vectors == VECTORS_FLOAT;
    emit_alu_mem_imm(&t->e, ALU_CMP, SIZE_8, HOST_CPU, CPU_AT(native.vectors), t->vectors);
    translate_slow(t, emit_jump_if(&t->e, COND_B), floats ? SLOW_FLOAT : SLOW_VECTORS);
}

void translate_vectors_interpreted(struct translating *t)
{
    switch (t->insn->row) {
    case OP_LDMXCSR_Md: case OP_FXRSTOR_M: case OP_XRSTOR_M:
        if (t->vectors == VECTORS_FLOAT)
            t->vectors = VECTORS_LIVE;
        break;
    default:
        break;
    }
}

/* --- the copy */

static struct host_op copied_opcode(const struct translating *t)
{
    static const uint8_t mandatory[] = {[P_66] = 0x66, [P_F3] = 0xf3, [P_F2] = 0xf2};
    const struct opcode_row *row = t->row;
    const bool prefixed = row->prefix == P_66 || row->prefix == P_F3 || row->prefix == P_F2;
    return HOST_OP(row->map, row->opcode, prefixed ? mandatory[row->prefix] : 0,
                   row->size == SZ_Y ? t->insn->size : SIZE_32);
}

static struct host_memory operand_at(struct translating *t, unsigned operand, bool write)
{
    const unsigned bytes = bytes_in_memory(t->insn, operand);
    if (t->window) /* the host's own instruction checks the alignment */
        return memory_at(t, bytes, write);
    memory_operand(t, bytes, write);
    if (bytes == VECTOR_BYTES && !takes_any_address(t->insn->row)) {
        emit_reg(&t->e, HOST_OP(MAP_1, 0xf6, 0, SIZE_8), 0, HOST_T0); /* test t0, 15 */
        emit_byte(&t->e, VECTOR_BYTES - 1);
        translate_slow(t, emit_jump_if(&t->e, COND_NZ), SLOW_INTERP);
    }
    return AT(HOST_T0, 0);
}

/* The host register for a general one; one that is written is not read. */
static unsigned general_register(struct translating *t, unsigned guest, bool written)
{
    if (!written)
        return translate_read(t, guest, HOST_T1);
    const unsigned home = host_home(guest);
    return home == HOST_NONE ? HOST_T1 : home;
}

bool translate_sse(struct translating *t)
{
    const struct insn *insn = t->insn;
    const struct opcode_row *row = t->row;
    const enum native_vectors needed = needed_by(insn);
    if (needed == VECTORS_STORED || needed > t->vectors)
        return false;
    unsigned reg = row->modrm & 7; /* the /digit, if it is not a register */
    unsigned rm = 0, written = REG_ZERO, host = 0;
    bool immediate = false;
    struct host_memory at = AT(HOST_T0, 0);
    for (unsigned i = 0; i < OPERANDS; i++) {
        const enum place place = place_of(row->operand[i]);
        const bool general =
            place == PLACE_GENERAL_REG || (place == PLACE_GENERAL_RM && !insn->memory);
        if (insn->memory && (place == PLACE_RM || place == PLACE_GENERAL_RM))
            at = operand_at(t, row->operand[i], i == 0);
        else if (place == PLACE_RM)
            rm = insn->rm;
        else if (place == PLACE_REG)
            reg = insn->reg;
        else if (place == PLACE_IMMEDIATE)
            immediate = true;
        if (general) {
            const unsigned guest = place == PLACE_GENERAL_REG ? insn->reg : insn->rm;
            host = general_register(t, guest, i == 0);
            *(place == PLACE_GENERAL_REG ? &reg : &rm) = host;
            if (i == 0)
                written = guest;
        }
    }
    if (insn->memory)
        emit_mem(&t->e, copied_opcode(t), reg, at);
    else
        emit_reg(&t->e, copied_opcode(t), reg, rm);
    if (immediate)
        emit_byte(&t->e, (uint8_t)insn->imm);
    if (written != REG_ZERO)
        translate_written(t, written, host);
    flags_produced(t);
    if (host != HOST_T1)
        memory_keep_delta(t, written == REG_ZERO ? HOST_NONE : host, CHANGE_ANY);
    return true;
}
