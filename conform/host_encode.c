/* All prefixes that a row takes, now and then one that it does not; every ModRM and SIB form. */
#include "conform/host_encode.h"

#include "conform/vex_bytes.h"
#include "cpu/cpu.h"
#include "cpu/decode.h"

#include <string.h>

bool row_has_operand(const struct opcode_row *row, unsigned first, unsigned last)
{
    for (unsigned i = 0; i < ARRAY_LENGTH(row->operand); i++)
        if (row->operand[i] >= first && row->operand[i] <= last)
            return true;
    return false;
}

bool row_is(const struct opcode_row *row, const char *prefix)
{
    return !strncmp(row->mnemonic, prefix, strlen(prefix));
}

const struct opcode_row *host_case_row(const struct host_case *c)
{
    return &opcode_rows[c->insn.row];
}

uint64_t host_case_base(const struct host_case *c)
{
    return c->code_size == CODE_16 ? HOST_BASE : 0;
}

unsigned host_case_fetched(const struct host_case *c)
{
    const uint64_t left = PAGE_BYTES - ((host_case_base(c) + c->state.rip) & PAGE_OFFSET_MASK);

    return left < sizeof c->bytes ? (unsigned)left : sizeof c->bytes;
}

/* --- reading them again */

static bool is_legacy_prefix(uint8_t byte)
{
    return (byte & 0xe7) == 0x26 || (byte & 0xfc) == 0x64 || byte == 0xf0 || (byte & 0xfe) == 0xf2;
}

unsigned host_prefix_count(const struct host_case *c)
{
    unsigned count = 0;

    while (count < c->insn.length && is_legacy_prefix(c->bytes[count]))
        count++;
    return count;
}

bool host_has_prefix(const struct host_case *c, uint8_t prefix)
{
    return memchr(c->bytes, prefix, host_prefix_count(c));
}

bool host_decode(struct host_case *c, unsigned row, const struct feature_set *features)
{
    const uint32_t mode = c->code_size | MODE_PROTECTED | MODE_OSFXSR | MODE_AVX |
                          (c->code_size == CODE_64 ? 0 : MODE_COMPAT);

    return decode(c->bytes, INSN_LENGTH_MAX, mode, features, &c->insn) == DECODE_OK &&
           c->insn.row == row;
}

unsigned host_immediate_bytes(const struct host_case *c)
{
    const struct opcode_row *row = host_case_row(c);
    unsigned bytes = 0;

    for (unsigned i = 0; i < ARRAY_LENGTH(row->operand); i++)
        switch (row->operand[i]) {
        case O_Ib:
        case O_sIb:
        case O_Jb:
            bytes += 1;
            break;
        case O_Iw:
            bytes += 2;
            break;
        case O_Iz:
        case O_Jz:
            bytes += c->insn.size == SIZE_16 ? 2 : 4;
            break;
        case O_Iv:
            bytes += 1u << c->insn.size;
            break;
        default:
            break;
        }
    return bytes;
}

/* --- choosing them */

static unsigned put_prefixes(struct host_case *c, const struct opcode_row *row, bool memory,
                             struct dice *dice)
{
    static const uint8_t segments[] = {0x26, 0x2e, 0x36, 0x3e, 0x65};
    static const uint8_t mandatory[] = {[P_66] = 0x66, [P_F3] = 0xf3, [P_F2] = 0xf2, [P_SIZE] = 0};
    const bool repeats = row->attributes & (A_REP | A_REPZ), is_64 = c->code_size == CODE_64;
    const bool takes_66 = row->prefix == P_ANY || row->prefix == P_SIZE ||
                          ((row->prefix == P_F3 || row->prefix == P_F2) && row->size == SZ_V);
    uint8_t *bytes = c->bytes;
    unsigned at = 0;

    if (dice_chance(dice, 8))
        bytes[at++] = segments[dice_pick(dice, ARRAY_LENGTH(segments))];
    if (dice_chance(dice, 8))
        bytes[at++] = 0x67;
    if (dice_chance(dice, memory && row->attributes & A_LOCK ? 25 : 1))
        bytes[at++] = 0xf0;
    if (map_is_vex(row->map))
        return at + vex_put(bytes + at, row, is_64, (uint32_t)(dice_next(dice) >> 32));
    if (takes_66 && dice_chance(dice, 30))
        bytes[at++] = 0x66;
    if (row->prefix == P_ANY && dice_chance(dice, repeats ? 60 : 3))
        bytes[at++] = 0xf2 | dice_pick(dice, 2);
    if (row->prefix != P_ANY && mandatory[row->prefix])
        bytes[at++] = mandatory[row->prefix];
    if (is_64 && dice_chance(dice, 60))
        bytes[at++] = (uint8_t)(0x40 | dice_pick(dice, 16));
    return at;
}

/* A ModRM byte of the row; with mod 3 or not. */
static uint8_t make_modrm(const struct opcode_row *row, bool memory, struct dice *dice)
{
    const unsigned condition = row->modrm & 0xf00;
    uint8_t modrm = (uint8_t)dice_next(dice);

    if (condition == M_EXACT)
        return (uint8_t)row->modrm;
    modrm = memory ? (uint8_t)((modrm & 0x3f) | dice_pick(dice, 3) << 6) : modrm | 0xc0;
    if (condition == M_DIGIT || condition == M_REG_DIGIT || condition == M_MEM_DIGIT)
        modrm = (uint8_t)((modrm & 0xc7) | (row->modrm & 7) << 3);
    return modrm;
}

static bool choose_memory(const struct opcode_row *row, struct dice *dice)
{
    const unsigned condition = row->modrm & 0xf00;
    const bool modrm = row->modrm != M_NONE;
    const bool can_memory = modrm && row->policy_memory != NEVER && condition != M_REG &&
                            condition != M_REG_DIGIT && condition != M_EXACT;
    const bool can_register =
        modrm && row->policy_register != NEVER && condition != M_MEM && condition != M_MEM_DIGIT;

    return can_memory && (!can_register || dice_chance(dice, 50));
}

/* SIB, displacement and immediates are what the dice put there first. */
static void put_instruction(struct host_case *c, const struct opcode_row *row, struct dice *dice)
{
    const bool memory = choose_memory(row, dice);

    for (unsigned i = 0; i < sizeof c->bytes; i += 8)
        store_le64(c->bytes + i, dice_next(dice));
    unsigned at = put_prefixes(c, row, memory, dice);
    if (row->map != MAP_1 && !map_is_vex(row->map))
        c->bytes[at++] = 0x0f;
    if (row->map == MAP_0F38 || row->map == MAP_0F3A)
        c->bytes[at++] = row->map == MAP_0F38 ? 0x38 : 0x3a;
    c->bytes[at] = row->opcode;
    if (row_has_operand(row, O_Zb, O_Zv))
        c->bytes[at] |= (uint8_t)dice_pick(dice, 8);
    at++;
    if (row->modrm != M_NONE)
        c->bytes[at++] = make_modrm(row, memory, dice);
}

/* Immediates of one byte at which shifts, selections and comparisons change. */
static void put_immediate(struct host_case *c, struct dice *dice)
{
    static const uint8_t corners[] = {0,  1,  2,  7,  8,  9,    15,   16,  17,
                                      31, 32, 33, 63, 64, 0x7f, 0x80, 0xff};

    if (host_immediate_bytes(c) == 1 && dice_chance(dice, 50))
        c->bytes[c->insn.length - 1] = corners[dice_pick(dice, ARRAY_LENGTH(corners))];
}

bool host_encode(struct host_case *c, unsigned row, const struct feature_set *features,
                 struct dice *dice)
{
    put_instruction(c, &opcode_rows[row], dice);
    if (!host_decode(c, row, features))
        return false;
    put_immediate(c, dice);
    return host_decode(c, row, features);
}
