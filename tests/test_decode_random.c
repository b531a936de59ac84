/* The decoder against Capstone and Zydis: random bytes, and every row in several forms, in 16-, 32-
 * and 64-bit code.  Validity, length and mnemonic must agree.
 *
 * Where Capstone is wrong, the case is listed below by name and reason; each excuse counts only
 * when Zydis agrees with us, so a new disagreement fails.  Zydis has a shorter list of its own
 * (reference_zydis_excuse), for which the manual or a processor decides. */
#include "tests/decode_reference.h"

#include "base/bits.h"
#include "cpu/cpu.h"
#include "cpu/decode.h"
#include "conform/vex_bytes.h"
#include "tests/random.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { RANDOM_ENCODINGS = 2000000, ROW_ENCODINGS = 400, REPORT_MAX = 40 };

struct excuse {
    const char *name, *reason;
    bool (*applies)(const struct encoding *e, const struct verdict *own,
                    const struct verdict *other);
};

static bool is_at(const struct encoding *e, unsigned map, unsigned first, unsigned last)
{
    return e->map == map && e->opcode >= first && e->opcode <= last;
}

/* --- Capstone */
static bool is_other_prefix(const struct encoding *e, const struct verdict *own,
                            const struct verdict *other)
{
    return e->map != MAP_1 && (e->rep || e->prefix_66) && !own->valid;
}

static bool is_67_for_66(const struct encoding *e, const struct verdict *own,
                         const struct verdict *other)
{
    return e->prefix_67 && (!own->valid || e->rex & 8);
}

static bool is_lost_prefix(const struct encoding *e, const struct verdict *own,
                           const struct verdict *other)
{
    return (e->map != MAP_1 || e->opcode == 0x90) && (e->rep || e->prefix_66) && own->valid &&
           (e->legacy > 1 || e->code == CODE_16 || e->rex_ignored || (e->rex && e->opcode == 0x90));
}

static bool is_xchg(const struct encoding *e, const struct verdict *own,
                    const struct verdict *other)
{
    return is_at(e, MAP_1, 0x90, 0x90) && e->rex & 1;
}

static bool is_fence(const struct encoding *e, const struct verdict *own,
                     const struct verdict *other)
{
    return is_at(e, MAP_0F, 0xae, 0xae) && e->modrm > 0xe8 && e->modrm & 7 && own->valid;
}

static bool is_lock(const struct encoding *e, const struct verdict *own,
                    const struct verdict *other)
{
    return e->lock && !own->valid;
}

static bool is_control_register(const struct encoding *e, const struct verdict *own,
                                const struct verdict *other)
{
    return is_at(e, MAP_0F, 0x20, 0x23);
}

static bool is_segment_register(const struct encoding *e, const struct verdict *own,
                                const struct verdict *other)
{
    return is_at(e, MAP_1, 0x8c, 0x8e) && e->opcode != 0x8d;
}

static bool is_ud(const struct encoding *e, const struct verdict *own, const struct verdict *other)
{
    return is_at(e, MAP_0F, 0xff, 0xff) || is_at(e, MAP_0F, 0xb9, 0xb9);
}

static bool is_hint(const struct encoding *e, const struct verdict *own,
                    const struct verdict *other)
{
    return own->valid && !other->valid &&
           (is_at(e, MAP_0F, 0x18, 0x1f) || is_at(e, MAP_0F, 0x0d, 0x0d));
}

static bool is_near_branch(const struct encoding *e, const struct verdict *own,
                           const struct verdict *other)
{
    return e->code == CODE_64 && e->prefix_66 &&
           (is_at(e, MAP_0F, 0x80, 0x8f) || is_at(e, MAP_1, 0xe8, 0xe9) ||
            is_at(e, MAP_1, 0xc2, 0xc2));
}

static bool is_repeated_16_bit(const struct encoding *e, const struct verdict *own,
                               const struct verdict *other)
{
    return e->prefix_66 && e->rep &&
           (is_at(e, MAP_1, 0xa0, 0xa3) || is_at(e, MAP_1, 0xe8, 0xe9) ||
            is_at(e, MAP_1, 0x68, 0x68));
}

static bool is_rdpid(const struct encoding *e, const struct verdict *own,
                     const struct verdict *other)
{
    return is_at(e, MAP_0F, 0xc7, 0xc7) && e->rep == 0xf3 && own->valid;
}

static bool is_swapgs(const struct encoding *e, const struct verdict *own,
                      const struct verdict *other)
{
    return is_at(e, MAP_0F, 0x01, 0x01) && e->modrm == 0xf8 && e->code != CODE_64;
}

static bool is_broadcast_128(const struct encoding *e, const struct verdict *own,
                             const struct verdict *other)
{
    return is_at(e, MAP_VEX_0F38, 0x5a, 0x5a) && own->valid && !other->valid;
}

static bool is_vvvv(const struct encoding *e, const struct verdict *own,
                    const struct verdict *other)
{
    return map_is_vex(e->map) && !own->valid && (~e->vex & 0x78);
}

static bool is_rsm(const struct encoding *e, const struct verdict *own, const struct verdict *other)
{
    return is_at(e, MAP_0F, 0xaa, 0xaa) && !own->valid;
}

static const struct excuse capstone_excuses[] = {
    {"rsm", "outside system management mode RSM is #UD (SDM 2B RSM)", is_rsm},
    {"other prefix", "it takes the form without a mandatory prefix where none has that prefix",
     is_other_prefix},
    {"67 for 66", "it takes an address-size prefix for 66 in some forms, with REX.W in most",
     is_67_for_66},
    {"lost prefix", "it sees a mandatory prefix only when alone, and in 16-bit code hardly ever",
     is_lost_prefix},
    {"xchg with REX.B", "it takes 90 for NOP", is_xchg},
    {"fence", "it knows only /n with rm 0 (SDM: rm is ignored)", is_fence},
    {"lock", "it takes LOCK with registers as destination, and where it is not allowed", is_lock},
    {"control register", "it heeds mod, and takes registers that do not exist",
     is_control_register},
    {"segment register", "it takes registers that do not exist, and heeds REX.R",
     is_segment_register},
    {"UD0, UD1", "it knows neither's ModRM byte, nor UD0 in all modes", is_ud},
    {"hints", "it knows few of the NOPs in 0F 18..1F, and of the prefetches in 0F 0D", is_hint},
    {"near branch", "it follows AMD in heeding 66 in 64-bit code", is_near_branch},
    {"66 with F2 or F3", "it loses 66 on branches and PUSH, the whole instruction on moffs moves",
     is_repeated_16_bit},
    {"rdpid", "it is too old for it", is_rdpid},
    {"vbroadcasti128", "it knows the name, but not each form", is_broadcast_128},
    {"vvvv", "it takes a register there where there is none, outside 64-bit code", is_vvvv},
    {"swapgs", "it takes it in all modes (SDM 2B SWAPGS: only 64-bit)", is_swapgs},
};

/* --- the comparison */
static const struct excuse *find_excuse(const struct excuse *excuses, unsigned count,
                                        const struct encoding *e, const struct verdict *own,
                                        const struct verdict *other)
{
    for (unsigned i = 0; i < count; i++)
        if (excuses[i].applies(e, own, other))
            return &excuses[i];
    return NULL;
}

static bool agrees(const struct verdict *own, const struct verdict *other)
{
    if (!own->valid)
        return !other->valid || other->beyond;
    return other->valid && own->length == other->length && !strcmp(own->name, other->name);
}

struct comparison {
    struct references *references;
    unsigned failures;
    char seen[REPORT_MAX][96]; /* one report a kind */
};

static void report(struct comparison *comparison, const char *who, const struct encoding *e,
                   const struct verdict *own, const struct verdict *other, uint64_t seed)
{
    static const char *const maps[] = {"",        "0f ",        "0f 38 ",     "0f 3a ",
                                       "vex 0f ", "vex 0f 38 ", "vex 0f 3a ", "vex "};
    static const unsigned bits[] = {16, 32, 64};
    char kind[96], text[3 * ENCODING_BYTES];
    snprintf(kind, sizeof kind, "%s, %s%02x: %s, %s", who, maps[e->map], e->opcode,
             own->valid ? own->name : "undefined", other->valid ? other->name : "undefined");
    for (unsigned i = 0; i < comparison->failures && i < REPORT_MAX; i++)
        if (!strcmp(comparison->seen[i], kind))
            return;
    if (comparison->failures < REPORT_MAX) {
        strcpy(comparison->seen[comparison->failures], kind);
        fprintf(stderr, "%s; lengths %u, %u; %u-bit [%s] seed %#llx\n", kind, own->length,
                other->length, bits[e->code], encoding_text(e->bytes, ENCODING_BYTES, text),
                (unsigned long long)seed);
    }
    comparison->failures++;
}

static void compare(struct comparison *comparison, const uint8_t *bytes, unsigned code,
                    uint64_t seed)
{
    struct encoding e;
    struct verdict own, zydis, capstone;
    encoding_parse(&e, bytes, code);
    reference_own(&e, &own);
    reference_zydis(comparison->references, &e, &zydis);
    reference_capstone(comparison->references, &e, &capstone);
    bool confirmed = agrees(&own, &zydis);
    if (!confirmed && !reference_zydis_excuse(&e, &own)) {
        report(comparison, "Zydis", &e, &own, &zydis, seed);
        return;
    }
    if (confirmed && own.valid) {
        const char *difference = reference_operands(comparison->references, &e);
        if (difference)
            report(comparison, difference, &e, &own, &zydis, seed);
    }
    if (agrees(&own, &capstone) || !confirmed)
        return;
    if (!find_excuse(capstone_excuses, ARRAY_LENGTH(capstone_excuses), &e, &own, &capstone))
        report(comparison, "Capstone", &e, &own, &capstone, seed);
}

static void fill(uint8_t *bytes, struct random *dice)
{
    for (unsigned i = 0; i < ENCODING_BYTES; i += 8)
        store_le64(bytes + i, random_next(dice));
}

/* Up to three prefixes and perhaps a REX. */
static unsigned put_prefixes(uint8_t *bytes, unsigned code, struct random *dice)
{
    static const uint8_t prefixes[] = {0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26,
                                       0x2e, 0x36, 0x3e, 0x64, 0x65};
    unsigned at = 0, count = (unsigned)(random_next(dice) & 3);
    while (at < count && random_next(dice) & 3)
        bytes[at++] = prefixes[random_next(dice) % ARRAY_LENGTH(prefixes)];
    if (code == CODE_64 && random_next(dice) % 3 == 0)
        bytes[at++] = (uint8_t)(0x40 | (random_next(dice) & 15));
    return at;
}

static unsigned put_map(uint8_t *bytes, unsigned at, unsigned map)
{
    if (map != MAP_1)
        bytes[at++] = 0x0f;
    if (map == MAP_0F38 || map == MAP_0F3A)
        bytes[at++] = map == MAP_0F38 ? 0x38 : 0x3a;
    return at;
}

/* An opcode map, or a VEX prefix, mostly of a map that exists. */
static void put_random_map(uint8_t *bytes, unsigned at, struct random *dice)
{
    unsigned map = random_next(dice) % OPCODE_MAPS;
    if (!map_is_vex(map)) {
        put_map(bytes, at, map);
        return;
    }
    bytes[at++] = 0xc4 + (random_next(dice) & 1);
    if (random_next(dice) & 7)
        bytes[at] = (uint8_t)((bytes[at] & 0xe0) | (map - MAP_VEX_0F + 1));
}

/* Half of the encodings are plain noise, half have prefixes and an opcode map by design. */
static void compare_random(unsigned code, uint64_t seed)
{
    static struct comparison comparison;
    comparison.references = references_new();
    struct random dice = {seed};
    for (unsigned n = 0; n < RANDOM_ENCODINGS; n++) {
        uint8_t bytes[ENCODING_BYTES];
        const uint64_t start = dice.state;
        fill(bytes, &dice);
        if (n & 1) {
            unsigned at = put_prefixes(bytes, code, &dice);
            put_random_map(bytes, at, &dice);
        }
        compare(&comparison, bytes, code, start);
    }
    references_free(comparison.references);
    cr_expect_eq(comparison.failures, 0, "%u disagreements", comparison.failures);
}

/* Encodings that are meant to be the row's: its own prefix, opcode and ModRM byte. */
static unsigned put_row(uint8_t *bytes, const struct opcode_row *row, unsigned code,
                        struct random *dice)
{
    static const uint8_t prefixes[] = {[P_66] = 0x66, [P_F3] = 0xf3, [P_F2] = 0xf2, [P_SIZE] = 0};
    unsigned at = 0, condition = row->modrm & 0xf00;
    uint8_t random = (uint8_t)random_next(dice);
    if (map_is_vex(row->map))
        at = vex_put(bytes, row, code == CODE_64, (uint32_t)(random_next(dice) >> 32));
    else if (row->prefix == P_ANY)
        at = put_prefixes(bytes, code, dice);
    else if (prefixes[row->prefix])
        bytes[at++] = prefixes[row->prefix];
    if (!map_is_vex(row->map)) {
        if (row->prefix != P_ANY && code == CODE_64 && random & 1)
            bytes[at++] = 0x40 | random >> 4;
        at = put_map(bytes, at, row->map);
    }
    bytes[at++] = row->opcode;
    if (condition == M_REG || condition == M_REG_DIGIT)
        bytes[at] |= 0xc0;
    if ((condition == M_MEM || condition == M_MEM_DIGIT) && bytes[at] >= 0xc0)
        bytes[at] &= 0xbf;
    if (condition == M_DIGIT || condition == M_REG_DIGIT || condition == M_MEM_DIGIT)
        bytes[at] = (uint8_t)((bytes[at] & 0xc7) | (row->modrm & 7) << 3);
    if (condition == M_EXACT)
        bytes[at] = (uint8_t)row->modrm;
    return at;
}

Test(decode_random, every_row)
{
    static struct comparison comparison;
    struct random dice = {UINT64_C(0x7ab1e)};
    comparison.references = references_new();
    for (unsigned row = 0; row < OPCODE_COUNT; row++) {
        for (unsigned n = 0; n < ROW_ENCODINGS; n++) {
            uint8_t bytes[ENCODING_BYTES];
            const uint64_t start = dice.state;
            unsigned code = (opcode_rows[row].modes & X_ALL) == X_64 ? CODE_64 : n % 3;
            fill(bytes, &dice);
            put_row(bytes, &opcode_rows[row], code, &dice);
            compare(&comparison, bytes, code, start);
        }
    }
    references_free(comparison.references);
    cr_expect_eq(comparison.failures, 0, "%u disagreements", comparison.failures);
}

Test(decode_random, code_16)
{
    compare_random(CODE_16, UINT64_C(0x16c0ffee));
}

Test(decode_random, code_32)
{
    compare_random(CODE_32, UINT64_C(0x32c0ffee));
}

Test(decode_random, code_64)
{
    compare_random(CODE_64, UINT64_C(0x64c0ffee));
}
