/* Instructions on XMM and YMM registers.  They are copied: guest XMM n is host XMM n, general
 * registers are renamed, a memory operand is rerouted to [t0].
 *
 * While the guest has every SIMD exception masked, the host's MXCSR is the guest's (INV-4 of
 * cpu.h), and floating point runs as it is; otherwise the interpreter runs the block.
 *
 * INV-1: a block with such instructions makes sure at its entry of the most that any of them needs,
 *        and t->vectors says how much still holds; what needs more is interpreted.
 * INV-2: nothing of the guest's state changes before the last look into the shadow.
 *
 * Sources: SDM 1 §10.2.3, §11.5, ch. 14.
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
    PLACE_IMMEDIATE, /* with bits of its own, or a register's number */
    PLACE_OTHER,     /* MMX registers, MXCSR */
};

static enum place place_of(unsigned operand)
{
    switch (operand) {
    case O_NONE:
    case O_XMM0:
        return PLACE_NONE;
    case O_Vx:
    case O_Vq:
    case O_Vd:
    case O_Vss:
    case O_Vsd:
    case O_Vps:
    case O_Vpd:
        return PLACE_REG;
    case O_Wx:
    case O_Wq:
    case O_Wd:
    case O_Ww:
    case O_Wss:
    case O_Wsd:
    case O_Wps:
    case O_Wpd:
    case O_Ux:
    case O_Uq:
    case O_Mq:
    case O_Mdq:
    case O_Mqq:
    case O_Wh:
    case O_Wf:
    case O_We:
    case O_Wdq:
    case O_Wb:
        return PLACE_RM;
    case O_Gd:
    case O_Gy:
        return PLACE_GENERAL_REG;
    case O_Ed:
    case O_Ey:
    case O_EwRv:
    case O_EbRd:
        return PLACE_GENERAL_RM;
    case O_Ib:
    case O_Lx:
        return PLACE_IMMEDIATE;
    default:
        return PLACE_OTHER;
    }
}

/* Of the vectors that the instruction works on. */
static unsigned vector_bytes(const struct insn *insn)
{
    return opcode_rows[insn->row].size == SZ_L && insn->size == VECTOR_256 ? 2 * VECTOR_BYTES
                                                                           : VECTOR_BYTES;
}

static unsigned bytes_in_memory(const struct insn *insn, unsigned operand)
{
    switch (operand) {
    case O_EbRd:
    case O_Wb:
        return 1;
    case O_Wh:
        return vector_bytes(insn) / 2;
    case O_Wf:
        return vector_bytes(insn) / 4;
    case O_We:
        return vector_bytes(insn) / 8;
    case O_Wdq:
        return VECTOR_BYTES;
    case O_Ww:
    case O_EwRv:
        return 2;
    case O_Wd:
    case O_Wss:
    case O_Ed:
        return 4;
    case O_Wq:
    case O_Wsd:
    case O_Mq:
        return 8;
    case O_Ey:
        return 1u << insn->size;
    default:
        return vector_bytes(insn);
    }
}

/* Does the result depend on MXCSR, or does it set flags there?  By opcode, whatever the prefix. */
static bool is_floating_point(const struct opcode_row *row)
{
    if (row->map == MAP_0F3A || row->map == MAP_VEX_0F3A)
        return (row->opcode >= 0x08 && row->opcode <= 0x0b) || /* ROUND */
               row->opcode == 0x40 || row->opcode == 0x41 ||   /* DPPS, DPPD */
               row->opcode == 0x1d;                            /* VCVTPS2PH */
    if (row->map == MAP_VEX_0F38)
        return row->feature == FEAT_FMA || row->feature == FEAT_F16C;
    if (row->map != MAP_0F && row->map != MAP_VEX_0F)
        return false;
    switch (row->opcode) {
    case 0x2a:
    case 0x2c:
    case 0x2d:
    case 0x5a:
    case 0x5b:
    case 0xe6: /* CVT… */
    case 0x2e:
    case 0x2f:
    case 0xc2: /* UCOMIS, COMIS, CMP */
    case 0x51:
    case 0x58:
    case 0x59:
    case 0x5c:
    case 0x5d:
    case 0x5e:
    case 0x5f:
    case 0x7c:
    case 0x7d:
    case 0xd0: /* HADD, HSUB, ADDSUB */
        return true;
    default:
        return false;
    }
}

/* SDM: 1 §10.8.4.2 and §12.12.3, the forms of 16 bytes that take any address; behind a VEX prefix
 * (2A §2.4) nearly all do. */
static bool takes_any_address(unsigned row)
{
    switch (row) {
    case OP_VMOVAPS_VW:
    case OP_VMOVAPS_WV:
    case OP_VMOVAPD_VW:
    case OP_VMOVAPD_WV:
    case OP_VMOVDQA_VW:
    case OP_VMOVDQA_WV:
    case OP_VMOVNTDQA_VM:
    case OP_VMOVNTPS_MV:
    case OP_VMOVNTPD_MV:
    case OP_VMOVNTDQ_MV:
        return false;
    case OP_MOVUPS_VpsWps:
    case OP_MOVUPS_WpsVps:
    case OP_MOVUPD_VpdWpd:
    case OP_MOVUPD_WpdVpd:
    case OP_MOVDQU_VxWx:
    case OP_MOVDQU_WxVx:
    case OP_LDDQU_VxMdq:
    case OP_PCMPESTRM_VxWxIb:
    case OP_PCMPESTRI_VxWxIb:
    case OP_PCMPISTRM_VxWxIb:
    case OP_PCMPISTRI_VxWxIb:
        return true;
    default:
        return opcode_rows[row].attributes & A_AVX;
    }
}

static bool is_gather(const struct opcode_row *row)
{
    return row->operand[1] == O_MV;
}

static bool is_copied(const struct opcode_row *row)
{
    if (is_gather(row))
        return true;
    if (!(row->attributes & (A_SSE | A_AVX)) || row->attributes & A_MMX)
        return false;
    for (unsigned i = 0; i < OPERANDS; i++)
        if (place_of(row->operand[i]) == PLACE_OTHER)
            return false;
    return true;
}

static unsigned needed_by(const struct translating *t, const struct insn *insn)
{
    const struct opcode_row *row = &opcode_rows[insn->row];
    const bool avx = row->attributes & A_AVX;
    if (!is_copied(row) || !feature_has(&t->translator->host, row->feature) ||
        (avx && !(t->block->mode & MODE_AVX)))
        return VECTORS_STORED;
    return vectors_of(is_floating_point(row), avx);
}

void translate_vectors_entry(struct translating *t)
{
    static const struct {
        uint8_t needed, slow;
    } most[] = {{VECTORS_FLOAT_UPPER, SLOW_FLOAT_UPPER},
                {VECTORS_UPPER, SLOW_UPPER},
                {VECTORS_FLOAT, SLOW_FLOAT},
                {VECTORS_LIVE, SLOW_VECTORS}};
    const uint32_t mode = t->block->mode;
    unsigned needed = VECTORS_STORED, i = 0;
    if (mode & (MODE_EM | MODE_TS) || !(mode & MODE_OSFXSR))
        return; /* every such instruction raises #UD or #NM, but for what is rare */
    for (unsigned n = 0; n < t->block->count; n++)
        needed |= needed_by(t, &t->block->insns[n]);
    if (needed == VECTORS_STORED)
        return;
    t->vectors = vectors_of(needed & VECTORS_FLOAT, needed & VECTORS_UPPER);
    while (!(t->vectors & most[i].needed))
        i++;
    emit_test_mem_imm(&t->e, HOST_CPU, CPU_AT(native.vectors), most[i].needed);
    translate_slow(t, emit_jump_if(&t->e, COND_Z), most[i].slow);
}

void translate_vectors_interpreted(struct translating *t)
{
    switch (t->insn->row) {
    case OP_LDMXCSR_Md:
    case OP_VLDMXCSR_Md:
    case OP_FXRSTOR_M:
    case OP_XRSTOR_M:
    case OP_XRSTORS_M:
        t->vectors &= VECTORS_LIVE | VECTORS_UPPER;
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
    const bool w = map_is_vex(row->map) && row->modes & X_W1;
    return HOST_OP(.map = row->map, .opcode = row->opcode,
                   .prefix = prefixed ? mandatory[row->prefix] : 0,
                   .width = row->size == SZ_Y ? t->insn->size
                            : w               ? SIZE_64
                                              : SIZE_32,
                   .vvvv = map_is_vex(row->map) ? t->insn->vex.vvvv : 0,
                   .wide = vector_bytes(t->insn) > VECTOR_BYTES);
}

static struct host_memory operand_at(struct translating *t, unsigned operand, bool write)
{
    const unsigned bytes = bytes_in_memory(t->insn, operand);
    /* The host's own instruction checks the alignment. QUIRK: on AMD's processors SHA's do not. */
    if (t->window && t->row->feature != FEAT_SHA)
        return memory_at(t, bytes, write);
    memory_operand(t, bytes, write);
    if (bytes >= VECTOR_BYTES && !takes_any_address(t->insn->row)) {
        emit_reg(&t->e, HOST_OP(MAP_1, 0xf6, 0, SIZE_8), 0, HOST_T0); /* test t0, 15 or 31 */
        emit_byte(&t->e, (uint8_t)(bytes - 1));
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

/* VZEROUPPER and VZEROALL: outside 64-bit mode the guest has only the first eight. */
static bool clear_registers(struct translating *t)
{
    const bool all = t->insn->row == OP_VZEROALL;
    if (t->code_64) {
        emit_byte(&t->e, 0xc5);
        emit_byte(&t->e, all ? 0xfc : 0xf8);
        emit_byte(&t->e, 0x77);
        return true;
    }
    for (unsigned n = 0; n < 8; n++) /* vxorps, vmovaps: they clear the upper half */
        emit_reg(&t->e,
                 HOST_OP(.map = MAP_VEX_0F, .opcode = all ? 0x57 : 0x28, .width = SIZE_32,
                         .vvvv = (uint8_t)(all ? n : 0)),
                 n, n);
    return true;
}

bool translate_sse(struct translating *t)
{
    const struct insn *insn = t->insn;
    const struct opcode_row *row = t->row;
    const unsigned needed = needed_by(t, insn);
    if (needed == VECTORS_STORED || needed & ~t->vectors)
        return false;
    if (row->modrm == M_NONE)
        return clear_registers(t);
    if (is_gather(row))
        return translate_gather(t);
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
