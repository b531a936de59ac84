/* Builds the decode index from the opcode table.
 *
 * INV-1: entries of a slot are ordered by specificity, so that the first match is the right row:
 *        ModRM condition (exact byte, then /digit of one form, /digit, one form, any), then a
 * single opcode byte before a register field, then a mandatory prefix before none.
 */
#include "cpu/decode_priv.h"

#include <pthread.h>
#include <stdlib.h>

static struct decode_index index_of_rows;
static pthread_once_t index_once = PTHREAD_ONCE_INIT;

static unsigned modrm_rank(uint16_t modrm)
{
    switch (modrm & 0xf00) {
    case M_EXACT:
        return 5;
    case M_REG_DIGIT:
    case M_MEM_DIGIT:
        return 4;
    case M_DIGIT:
        return 3;
    case M_REG:
    case M_MEM:
        return 2;
    default:
        return 1;
    }
}

static unsigned specificity(const struct opcode_row *row)
{
    return modrm_rank(row->modrm) * 4 + (decode_row_span(row) == 1) * 2 + (row->prefix != P_ANY);
}

static int compare_entries(const void *left, const void *right)
{
    const struct decode_entry *a = left, *b = right;
    unsigned rank_a = specificity(&opcode_rows[a->row]);
    unsigned rank_b = specificity(&opcode_rows[b->row]);
    return rank_a != rank_b ? (rank_a < rank_b ? 1 : -1) : a->row - b->row;
}

static bool has_operand(const struct opcode_row *row, unsigned operand)
{
    return row->operand[0] == operand || row->operand[1] == operand || row->operand[2] == operand;
}

static uint8_t vex_forms(unsigned modes)
{
    uint8_t by_w = modes & X_W0 ? 0x5 : modes & X_W1 ? 0xa : 0xf;
    uint8_t by_l = modes & X_L0 ? 0x3 : modes & X_L1 ? 0xc : 0xf;
    return by_w & by_l;
}

static struct decode_entry entry_of_row(unsigned row_number)
{
    static const uint8_t prefixes[] = {
        [P_ANY] = 0xf,           [P_NONE] = 1 << PREFIX_NONE,
        [P_66] = 1 << PREFIX_66, [P_F3] = 1 << PREFIX_F3,
        [P_F2] = 1 << PREFIX_F2, [P_SIZE] = 1 << PREFIX_NONE | 1 << PREFIX_66,
    };
    const struct opcode_row *row = &opcode_rows[row_number];
    struct decode_entry entry = {
        .row = (uint16_t)row_number,
        .prefixes = prefixes[row->prefix],
        .modes = row->modes & X_ALL,
        .vex_forms = vex_forms(row->modes),
        .register_form = true,
        .memory_form = true,
    };
    unsigned condition = row->modrm & 0xf00;
    /* SDM: MOV to and from control and debug registers takes any mod for a register. */
    if (has_operand(row, O_Cd) || has_operand(row, O_Dd))
        return entry;
    if (condition == M_REG || condition == M_REG_DIGIT)
        entry.memory_form = false;
    if (condition == M_MEM || condition == M_MEM_DIGIT)
        entry.register_form = false;
    if (condition == M_DIGIT || condition == M_REG_DIGIT || condition == M_MEM_DIGIT) {
        entry.mask = 0x38;
        entry.value = (uint8_t)((row->modrm & 7) << 3);
    } else if (condition == M_EXACT) {
        entry.mask = 0xff;
        entry.value = (uint8_t)row->modrm;
    }
    return entry;
}

static bool row_covers(const struct opcode_row *row, unsigned map, unsigned opcode)
{
    return row->map == map && opcode - row->opcode < decode_row_span(row);
}

static void build(void)
{
    struct decode_index *index = &index_of_rows;
    unsigned used = 0;
    for (unsigned map = 0; map < OPCODE_MAPS; map++) {
        for (unsigned opcode = 0; opcode < 256; opcode++) {
            struct decode_slot *slot = &index->slots[map][opcode];
            slot->first = (uint16_t)used;
            for (unsigned i = 0; i < OPCODE_COUNT; i++) {
                const struct opcode_row *row = &opcode_rows[i];
                if (!row_covers(row, map, opcode))
                    continue;
                index->entries[used++] = entry_of_row(i);
                slot->modes |= row->modes & X_ALL;
                if (row->modrm != M_NONE)
                    slot->modrm_modes |= row->modes & X_ALL;
            }
            slot->count = (uint16_t)(used - slot->first);
            qsort(index->entries + slot->first, slot->count, sizeof index->entries[0],
                  compare_entries);
        }
    }
}

const struct decode_index *decode_index(void)
{
    pthread_once(&index_once, build);
    return &index_of_rows;
}
