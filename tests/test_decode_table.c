/* The opcode table as the decoder sees it: no two rows claim an encoding with equal right, every
 * row can be reached, every form that exists has a handler; and what decode() promises of prefixes,
 * addresses, immediates and processor state. */
#include "cpu/decode.h"
#include "cpu/exec.h"
#include "conform/vex_bytes.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { PROTECTED = MODE_PROTECTED | MODE_OSFXSR | MODE_AVX };

static struct feature_set all_features(void)
{
    struct feature_set features;
    memset(&features, 0xff, sizeof features);
    return features;
}

static unsigned row_span(const struct opcode_row *row)
{
    for (unsigned i = 0; i < 3; i++)
        if (row->operand[i] == O_Zb || row->operand[i] == O_Zv)
            return 8;
    return 1;
}

/* How specific the row is about `modrm`: 0 when it does not own the byte. */
static unsigned modrm_right(const struct opcode_row *row, unsigned modrm)
{
    bool digit = (modrm >> 3 & 7) == (row->modrm & 7u), memory = modrm < 0xc0;
    switch (row->modrm & 0xf00) {
    case M_NONE:
    case M_ANY:
        return 1;
    case M_REG:
        return memory ? 0 : 2;
    case M_MEM:
        return memory ? 2 : 0;
    case M_DIGIT:
        return digit ? 3 : 0;
    case M_REG_DIGIT:
        return digit && !memory ? 4 : 0;
    case M_MEM_DIGIT:
        return digit && memory ? 4 : 0;
    default:
        return modrm == (row->modrm & 0xffu) ? 5 : 0;
    }
}

/* `prefix` is the one in force: 0, 66, F3 or F2. */
static bool prefix_fits(const struct opcode_row *row, unsigned prefix)
{
    switch (row->prefix) {
    case P_ANY:
        return true;
    case P_NONE:
        return prefix == 0;
    case P_66:
        return prefix == 0x66;
    case P_F3:
        return prefix == 0xf3;
    case P_F2:
        return prefix == 0xf2;
    default:
        return prefix == 0 || prefix == 0x66;
    }
}

/* `mode` has the values of VEX.W and VEX.L too. */
static bool form_fits(const struct opcode_row *row, unsigned mode)
{
    const unsigned w = X_W0 | X_W1, l = X_L0 | X_L1;
    return row->modes & mode & X_ALL && (!(row->modes & w) || row->modes & mode & w) &&
           (!(row->modes & l) || row->modes & mode & l);
}

static unsigned right(const struct opcode_row *row, unsigned opcode, unsigned prefix,
                      unsigned modrm, unsigned mode)
{
    if (!form_fits(row, mode) || opcode - row->opcode >= row_span(row) || !prefix_fits(row, prefix))
        return 0;
    unsigned of_modrm = modrm_right(row, modrm);
    return of_modrm ? of_modrm * 4 + (row_span(row) == 1) * 2 + (row->prefix != P_ANY) : 0;
}

/* Every encoding has at most one row with the best right to it. */
static unsigned check_encodings(unsigned map, unsigned opcode, unsigned prefix, unsigned mode)
{
    unsigned candidates[128], count = 0, failures = 0;
    for (unsigned i = 0; i < OPCODE_COUNT; i++)
        if (opcode_rows[i].map == map && opcode - opcode_rows[i].opcode < row_span(&opcode_rows[i]))
            candidates[count++] = i;
    for (unsigned modrm = 0; modrm < 256; modrm++) {
        unsigned best = 0, holder = 0, rival = OPCODE_COUNT;
        for (unsigned i = 0; i < count; i++) {
            unsigned r = right(&opcode_rows[candidates[i]], opcode, prefix, modrm, mode);
            if (r > best) {
                best = r;
                holder = candidates[i];
                rival = OPCODE_COUNT;
            } else if (r && r == best) {
                rival = candidates[i];
            }
        }
        if (rival != OPCODE_COUNT && !failures++)
            fprintf(stderr, "%s and %s both claim opcode %02x prefix %02x modrm %02x\n",
                    opcode_rows[holder].id, opcode_rows[rival].id, opcode, prefix, modrm);
    }
    return failures;
}

Test(decode_table, no_two_rows_claim_an_encoding)
{
    static const uint8_t prefixes[] = {0, 0x66, 0xf3, 0xf2};
    static const uint8_t forms[] = {
        X_LEGACY | X_W0 | X_L0, X_LEGACY | X_W1 | X_L0, X_LEGACY | X_W0 | X_L1,
        X_LEGACY | X_W1 | X_L1, X_64 | X_W0 | X_L0,     X_64 | X_W1 | X_L0,
        X_64 | X_W0 | X_L1,     X_64 | X_W1 | X_L1,
    };
    unsigned failures = 0;
    for (unsigned map = 0; map < OPCODE_MAPS; map++)
        for (unsigned opcode = 0; opcode < 256; opcode++)
            for (unsigned n = 0; n < ARRAY_LENGTH(prefixes) * ARRAY_LENGTH(forms); n++)
                failures += check_encodings(map, opcode, prefixes[n % ARRAY_LENGTH(prefixes)],
                                            forms[n / ARRAY_LENGTH(prefixes)]);
    cr_expect_eq(failures, 0);
}

Test(decode_table, modrm_is_there_or_not)
{
    for (unsigned a = 0; a < OPCODE_COUNT; a++) {
        for (unsigned b = 0; b < a; b++) {
            const struct opcode_row *x = &opcode_rows[a], *y = &opcode_rows[b];
            bool same = x->map == y->map && x->opcode - y->opcode < (int)row_span(y) &&
                        y->opcode - x->opcode < (int)row_span(x) && x->modes & y->modes;
            cr_expect(!same || (x->modrm == M_NONE) == (y->modrm == M_NONE), "%s, %s", x->id,
                      y->id);
        }
    }
}

Test(decode_table, conditions_agree_with_policies)
{
    for (unsigned i = 0; i < OPCODE_COUNT; i++) {
        const struct opcode_row *row = &opcode_rows[i];
        unsigned condition = row->modrm & 0xf00;
        if (condition == M_MEM || condition == M_MEM_DIGIT)
            cr_expect_eq(row->policy_register, NEVER, "%s", row->id);
        if (condition == M_REG || condition == M_REG_DIGIT || condition == M_EXACT)
            cr_expect_eq(row->policy_memory, NEVER, "%s", row->id);
        if (condition != M_NONE)
            cr_expect(row->policy_register != NEVER || row->policy_memory != NEVER, "%s", row->id);
    }
}

/* Tries the row's opcode with every ModRM byte, REX.W or none and its prefixes. */
static bool reach(unsigned number, unsigned code, unsigned *missing)
{
    static const uint8_t prefixes[][2] = {{0}, {0x66}, {0xf3}, {0xf2}, {0x66, 0xf3}, {0x66, 0xf2}};
    const struct opcode_row *row = &opcode_rows[number];
    struct feature_set features = all_features();
    bool reached = false;
    for (unsigned n = 0; n < ARRAY_LENGTH(prefixes) * 512; n++) {
        uint8_t bytes[32] = {0};
        unsigned at = 0, modrm = n & 255;
        const uint8_t *prefix = prefixes[n / 512];
        struct insn insn;
        if (n & 256 && code != CODE_64)
            continue;
        if (map_is_vex(row->map)) { /* the dice: W, L, and a vvvv that is no other operand */
            at = vex_put(bytes, row, code == CODE_64, (n / 512 & 3) | 9 << 2 | 7 << 6);
        } else {
            for (unsigned i = 0; i < 2 && prefix[i]; i++)
                bytes[at++] = prefix[i];
            if (n & 256)
                bytes[at++] = 0x48;
            if (row->map != MAP_1)
                bytes[at++] = 0x0f;
            if (row->map == MAP_0F38 || row->map == MAP_0F3A)
                bytes[at++] = row->map == MAP_0F38 ? 0x38 : 0x3a;
        }
        bytes[at++] = row->opcode;
        bytes[at] = (uint8_t)modrm;
        bytes[at + 1] = 0x28; /* SIB: the index is register 5 */
        if (decode(bytes, 15, code | PROTECTED, &features, &insn) != DECODE_OK ||
            insn.row != number)
            continue;
        if ((insn.memory ? row->policy_memory : row->policy_register) != NEVER &&
            !opcode_exec[number][insn.memory][insn.size] && !(*missing)++)
            fprintf(stderr, "%s has no handler: memory %u size %u, %u-bit code\n", row->id,
                    insn.memory, 8u << insn.size, 16u << code);
        reached |= insn.exec != exec_undefined;
    }
    return reached;
}

Test(decode_table, every_row_is_reached_and_has_its_handlers)
{
    for (unsigned i = 0; i < OPCODE_COUNT; i++) {
        bool reached = false;
        unsigned missing = 0;
        for (unsigned code = CODE_16; code <= CODE_64; code++) {
            unsigned mode = code == CODE_64 ? X_64 : X_LEGACY;
            bool here = reach(i, code, &missing);
            cr_expect(!here || opcode_rows[i].modes & mode, "%s", opcode_rows[i].id);
            reached |= here;
        }
        cr_expect(reached, "%s is never reached", opcode_rows[i].id);
        cr_expect_eq(missing, 0, "%s lacks handlers", opcode_rows[i].id);
    }
}
