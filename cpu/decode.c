/* Bytes to struct insn: prefixes, opcode, row, ModRM and SIB, displacement, immediates.
 *
 * Knows nothing of instructions but what their rows say; what a row's operand letters mean for the
 * encoding is in decode_operands.c, and what makes an encoding undefined is here.
 *
 * Must not know: what handlers do, and processor state other than the block mode.
 *
 * INV-1: never reads beyond `available` bytes, nor beyond the fifteenth.
 *
 * Sources: SDM 2A ch. 2 (instruction format; §2.3 the VEX prefix, §2.4 what it makes undefined),
 * SDM 2D app. A (opcode maps), SDM 3A §2.5 (CR0.EM, MP, TS), §10.1 (CR4.OSFXSR).
 */
#include "cpu/decode.h"

#include "cpu/decode_priv.h"
#include "cpu/exec.h"

static void take_segment(struct decoding *d, unsigned segment)
{
    /* SDM: in 64-bit mode the overrides of CS, DS, ES and SS mean nothing, and take nothing back.
     */
    if (d->code != CODE_64 || segment >= FS)
        d->segment = (uint8_t)segment;
}

/* Takes the prefixes and leaves the opcode's first byte in d->opcode. */
static bool read_prefixes(struct decoding *d, struct insn *insn)
{
    uint8_t byte;
    while (decode_byte(d, &byte)) {
        uint8_t rex = 0;
        switch (byte) {
        case 0x26:
            take_segment(d, ES);
            break;
        case 0x2e:
            take_segment(d, CS);
            break;
        case 0x36:
            take_segment(d, SS);
            break;
        case 0x3e:
            take_segment(d, DS);
            break;
        case 0x64:
            take_segment(d, FS);
            break;
        case 0x65:
            take_segment(d, GS);
            break;
        case 0x66:
            d->operand_prefix = true;
            break;
        case 0x67:
            d->address_prefix = true;
            break;
        case 0xf0:
            insn->lock = 1;
            break;
        case 0xf2:
            insn->rep = REP_F2;
            break;
        case 0xf3:
            insn->rep = REP_F3;
            break;
        default:
            if (d->code != CODE_64 || (byte & 0xf0) != REX) {
                d->opcode = byte;
                return true;
            }
            rex = byte;
        }
        /* SDM: a REX that is not directly before the opcode is ignored. */
        d->rex = rex;
    }
    return false;
}

/* The mandatory prefix in force. */
static enum prefix_class prefix_class(const struct decoding *d, const struct insn *insn)
{
    if (insn->rep)
        return insn->rep == REP_F3 ? PREFIX_F3 : PREFIX_F2;
    return d->operand_prefix ? PREFIX_66 : PREFIX_NONE;
}

/* C4 and C5 are LES and LDS where these exist, unless ModRM would name a register. */
static bool starts_vex(const struct decoding *d, bool *ended)
{
    if (d->opcode != 0xc4 && d->opcode != 0xc5)
        return false;
    if (d->code == CODE_64)
        return true;
    *ended = d->at >= d->limit;
    return !*ended && d->bytes[d->at] >= 0xc0;
}

enum { VEX_NOT_R = 0x80, VEX_NOT_X = 0x40, VEX_NOT_B = 0x20, VEX_MAP = 0x1f };
enum { VEX_W = 0x80, VEX_L = 4 };

/* The rest of a VEX prefix, and the opcode.  A map that no instruction has is OPCODE_MAPS. */
static bool read_vex(struct decoding *d, struct insn *insn)
{
    uint8_t first, last;
    d->barred = d->rex || d->prefix != PREFIX_NONE || insn->lock;
    if (!decode_byte(d, &first))
        return false;
    last = first & ~VEX_W;
    d->map = MAP_VEX_0F;
    d->rex = first & VEX_NOT_R ? 0 : REX_R;
    if (d->opcode == 0xc4) {
        d->rex |= (first & VEX_NOT_X ? 0 : REX_X) | (first & VEX_NOT_B ? 0 : REX_B);
        d->map = (uint8_t)(MAP_VEX_0F - 1 + (first & VEX_MAP));
        if (d->map < MAP_VEX_0F || d->map >= OPCODE_MAPS)
            d->map = OPCODE_MAPS;
        if (!decode_byte(d, &last))
            return false;
    }
    d->rex |= last & VEX_W ? REX_W : 0;
    d->prefix = last & 3;
    d->vex_form = (uint8_t)((last & VEX_W) != 0) + (last & VEX_L ? 2 : 0);
    d->vvvv = ~last >> 3 & 15;
    if (d->code != CODE_64) /* SDM: eight registers, and VEX.W is no operand size */
        d->rex = 0;
    return decode_byte(d, &d->opcode);
}

static bool read_opcode(struct decoding *d, struct insn *insn)
{
    bool ended = false;
    d->map = MAP_1;
    d->prefix = (uint8_t)prefix_class(d, insn);
    if (starts_vex(d, &ended))
        return read_vex(d, insn);
    if (ended)
        return false;
    if (d->opcode != 0x0f)
        return true;
    d->map = MAP_0F;
    if (!decode_byte(d, &d->opcode))
        return false;
    if (d->opcode != 0x38 && d->opcode != 0x3a)
        return true;
    d->map = d->opcode == 0x38 ? MAP_0F38 : MAP_0F3A;
    return decode_byte(d, &d->opcode);
}

/* --- the row */
/* The row that owns the encoding, or OPCODE_COUNT. */
static unsigned find_row(const struct decode_index *index, const struct decode_slot *slot,
                         unsigned mode_bit, const struct decoding *d, uint8_t modrm)
{
    bool memory = modrm < 0xc0;
    const struct decode_entry *entry = index->entries + slot->first;
    for (unsigned n = slot->count; n > 0; n--, entry++) {
        if (!(entry->modes & mode_bit) || !(entry->prefixes >> d->prefix & 1) ||
            !(entry->vex_forms >> d->vex_form & 1))
            continue;
        if ((modrm & entry->mask) != entry->value)
            continue;
        if (!(memory ? entry->memory_form : entry->register_form))
            continue;
        /* WHY: an absent instruction leaves its encoding to the less specific one, as on the
         * processors that lack it: LZCNT is BSR, PAUSE is NOP. */
        if (feature_has(d->features, opcode_rows[entry->row].feature))
            return entry->row;
    }
    return OPCODE_COUNT;
}

/* --- encodings that raise #UD or #NM */
static bool is_undefined_vex(const struct decoding *d, const struct opcode_row *row,
                             const struct insn *insn)
{
    if (!(row->attributes & A_VVVV) && d->vvvv)
        return true;
    if (row->attributes & A_256_AVX2 && d->vex_form & 2 && !feature_has(d->features, FEAT_AVX2))
        return true;
    /* SDM: 2B PINSRQ and PEXTRQ, unlike VMOVQ. */
    if ((insn->row == OP_VPINSRD_VHEy || insn->row == OP_VPEXTRD_EyV) && d->vex_form & 1 &&
        d->code != CODE_64)
        return true;
    if (!d->vector_index)
        return false;
    /* SDM: 2A §2.3.12 and VGATHERDPS, destination, mask and indices must differ. */
    return insn->address == SIZE_16 || (insn->modrm & 7) != 4 || insn->reg == insn->index ||
           insn->reg == insn->vex.vvvv || insn->index == insn->vex.vvvv;
}

static bool is_undefined(const struct decoding *d, const struct opcode_row *row,
                         const struct insn *insn)
{
    if (map_is_vex(d->map) && (d->barred || is_undefined_vex(d, row, insn)))
        return true;
    if (insn->lock && !(row->attributes & A_LOCK && insn->memory))
        return true;
    if (row->attributes & A_PROT && !(d->mode & MODE_PROTECTED))
        return true;
    if (row->modrm != M_NONE && (insn->memory ? row->policy_memory : row->policy_register) == NEVER)
        return true;
    for (unsigned i = 0; i < 2; i++) {
        switch (row->operand[i]) {
        case O_Sw:
            if (insn->reg > GS || (i == 0 && insn->reg == CS))
                return true;
            break;
        case O_Cd: /* CR0, CR2, CR3, CR4, CR8 */
            if (insn->reg > 8 || !(0x11d >> insn->reg & 1))
                return true;
            break;
        case O_Dd:
            if (insn->reg > 7)
                return true;
            break;
        default:
            break;
        }
    }
    return false;
}

/* The handler that the state of the floating-point unit puts before the row's own, or NULL. */
static exec_fn *unit_handler(uint32_t mode, unsigned attributes)
{
    if (attributes & (A_MMX | A_SSE) && mode & MODE_EM)
        return exec_undefined;
    if (attributes & A_SSE && !(mode & MODE_OSFXSR))
        return exec_undefined;
    if (attributes & A_X87 && mode & (MODE_EM | MODE_TS))
        return exec_device_not_available;
    if (attributes & (A_MMX | A_SSE) && mode & MODE_TS)
        return exec_device_not_available;
    if (attributes & A_FWAIT && mode & MODE_MP && mode & MODE_TS)
        return exec_device_not_available;
    if (attributes & A_AVX && !(mode & MODE_AVX))
        return exec_undefined;
    if (attributes & A_AVX && mode & MODE_TS)
        return exec_device_not_available;
    return NULL;
}

static exec_fn *choose_handler(const struct decoding *d, const struct opcode_row *row,
                               const struct insn *insn)
{
    exec_fn *handler;
    if (is_undefined(d, row, insn))
        return exec_undefined;
    handler = unit_handler(d->mode, row->attributes);
    if (!handler)
        handler = opcode_exec[insn->row][insn->memory][insn->size];
    return handler ? handler : exec_undefined;
}

static enum decode_result finish(const struct decoding *d, struct insn *insn, exec_fn *handler)
{
    insn->exec = handler;
    insn->length = (uint8_t)d->at;
    insn->rex = d->rex != 0;
    return DECODE_OK;
}

/* The bytes ended before the instruction did. */
static enum decode_result finish_short(const struct decoding *d, struct insn *insn)
{
    if (d->limit < INSN_LENGTH_MAX)
        return DECODE_TRUNCATED;
    insn->exec = exec_too_long;
    insn->length = INSN_LENGTH_MAX;
    return DECODE_TOO_LONG;
}

/* What the operands of an encoding without a row take: what those of the opcode's other forms and
 * modes do, and in the maps of three bytes at least a ModRM byte. */
static const struct opcode_row *unknown_row(const struct decode_index *index,
                                            const struct decode_slot *slot, unsigned map)
{
    static const struct opcode_row none, modrm = {.modrm = M_ANY},
                                         modrm_immediate = {.modrm = M_ANY, .operand = {O_Ib}};
    if (slot && slot->count)
        return &opcode_rows[index->entries[slot->first].row];
    if (map == MAP_0F3A || map == MAP_VEX_0F3A)
        return &modrm_immediate;
    return map == MAP_1 || map == MAP_0F || map == MAP_VEX_0F ? &none : &modrm;
}

/* WHY: all bytes are fetched before the encoding is found to be undefined: a page fault, and a
 * sixteenth byte, go before #UD (SDM 3A §6.9; and processors). */
static enum decode_result finish_unknown(struct decoding *d, const struct opcode_row *row,
                                         bool has_modrm, struct insn *insn)
{
    struct insn shape = *insn;
    if ((row->modrm != M_NONE && !has_modrm && !decode_byte(d, &shape.modrm)) ||
        !decode_operands(d, row, &shape))
        return finish_short(d, insn);
    return finish(d, insn, exec_undefined);
}

enum decode_result decode(const uint8_t *bytes, size_t available, uint32_t mode,
                          const struct feature_set *features, struct insn *insn)
{
    const struct decode_index *index = decode_index();
    struct decoding d = {
        .bytes = bytes,
        .limit = available < INSN_LENGTH_MAX ? (unsigned)available : INSN_LENGTH_MAX,
        .mode = mode,
        .code = mode & MODE_CODE,
        .segment = SEG_COUNT,
        .features = features,
    };
    *insn = (struct insn){.row = OP_UD2, .base = REG_ZERO, .index = REG_ZERO};
    if (!read_prefixes(&d, insn) || !read_opcode(&d, insn))
        return finish_short(&d, insn);
    if (d.map == OPCODE_MAPS)
        return finish_unknown(&d, unknown_row(index, NULL, d.map), false, insn);

    unsigned mode_bit = d.code == CODE_64 ? X_64 : X_LEGACY;
    unsigned opcode = d.opcode;
    /* QUIRK: 90 is NOP, but with REX.B it is XCHG R8 as the rest of its row. */
    if (d.map == MAP_1 && opcode == 0x90 && d.rex & REX_B)
        opcode = 0x91;
    const struct decode_slot *slot = &index->slots[d.map][opcode];
    if (!(slot->modes & mode_bit))
        return finish_unknown(&d, unknown_row(index, slot, d.map), false, insn);
    if (slot->modrm_modes & mode_bit && !decode_byte(&d, &insn->modrm))
        return finish_short(&d, insn);

    unsigned row = find_row(index, slot, mode_bit, &d, insn->modrm);
    if (row == OPCODE_COUNT)
        return finish_unknown(&d, unknown_row(index, slot, d.map), slot->modrm_modes & mode_bit,
                              insn);
    insn->row = (uint16_t)row;
    if (!decode_operands(&d, &opcode_rows[row], insn))
        return finish_short(&d, insn);
    return finish(&d, insn, choose_handler(&d, &opcode_rows[row], insn));
}

bool decode_ends_block(const struct insn *insn)
{
    return insn->exec == exec_undefined || insn->exec == exec_device_not_available ||
           insn->exec == exec_too_long || opcode_rows[insn->row].attributes & (A_END | A_BRANCH);
}
