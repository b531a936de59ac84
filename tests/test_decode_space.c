/* Every encoding of the opcode maps, in 16-, 32- and 64-bit code: what must be #UD is, and the
 * others are as long as Zydis says.  Prefixes 66, F2, F3 and LOCK in all orders that matter, REX
 * and VEX with all that chooses an instruction, every ModRM byte (behind VEX: every class of them).
 *
 * On a processor model, all that Zydis puts into instruction sets which its CPUID does not offer is
 * #UD too, or what the encoding was before.  And LOCK is allowed where the manual lists it. */
#include "tests/decode_reference.h"

#include "base/bits.h"
#include "cpu/cpu.h"
#include "cpu/decode.h"
#include "cpu/exec.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { REPORTS_MAX = 20, MODE = MODE_PROTECTED | MODE_OSFXSR | MODE_AVX };

struct space {
    struct references *references;
    unsigned code;
    struct feature_set all, model;
    uint8_t bytes[ENCODING_BYTES];
    unsigned length; /* of the bytes that are given; behind them come a SIB byte and zeros */
    uint64_t encodings, undefined;
    unsigned failures;
};

static bool is_valid(const struct space *space, const struct feature_set *features,
                     struct insn *insn)
{
    return decode(space->bytes, ENCODING_BYTES, space->code | MODE, features, insn) == DECODE_OK &&
           insn->exec != exec_undefined;
}

static void fail(struct space *space, const char *what, const struct verdict *own,
                 const struct verdict *other)
{
    char text[3 * ENCODING_BYTES];

    if (space->failures++ < REPORTS_MAX)
        fprintf(stderr, "%s: %u-bit [%s]: %s, %u bytes; Zydis: %s, %u bytes\n", what,
                16u << space->code, encoding_text(space->bytes, ENCODING_BYTES, text),
                own->valid ? "valid" : "undefined", own->length,
                other->valid ? "valid" : "undefined", other->length);
}

/* --- a model that lacks what Zydis knows */

/* Encodings that an older instruction had, and has where the new one is absent. */
static bool was_something_before(const struct space *space, const struct insn *all,
                                 const struct insn *less)
{
    static const struct {
        uint16_t now, before;
    } heirs[] = {
        {OP_TZCNT_GvEv, OP_BSF_GvEv},
        {OP_LZCNT_GvEv, OP_BSR_GvEv},
    };

    for (unsigned i = 0; i < ARRAY_LENGTH(heirs); i++)
        if (all->row == heirs[i].now && less->row == heirs[i].before)
            return true;
    return false;
}

static void check_model(struct space *space, const struct insn *all, const struct verdict *own,
                        const struct verdict *other)
{
    struct insn insn;
    const bool offered = other->beyond || feature_has(&space->model, other->feature);
    const bool valid = is_valid(space, &space->model, &insn);

    if (valid != offered && !(valid && was_something_before(space, all, &insn)))
        fail(space, offered ? "undefined on qemu64" : "not undefined on qemu64", own, other);
}

/* --- one encoding */

static void check(struct space *space)
{
    struct encoding encoding;
    struct insn insn;
    struct verdict own = {0}, other = {0};

    space->bytes[space->length] = 0x25; /* SIB: no index; base 5, or a displacement */
    memset(space->bytes + space->length + 1, 0, ENCODING_BYTES - space->length - 1);
    encoding_parse(&encoding, space->bytes, space->code);
    own.valid = is_valid(space, &space->all, &insn);
    own.length = insn.length;
    reference_zydis_bare(space->references, &encoding, &other);
    space->encodings++;
    space->undefined += !own.valid;
    const bool agrees =
        own.valid ? other.valid && own.length == other.length : !other.valid || other.beyond;
    if (!agrees && !reference_zydis_excuse(&encoding, &own))
        fail(space, "differs", &own, &other);
    if (agrees && own.valid)
        check_model(space, &insn, &own, &other);
}

static void put(struct space *space, unsigned byte)
{
    space->bytes[space->length++] = (uint8_t)byte;
}

/* The opcode and every ModRM byte, or, behind VEX, those of each class: mod, reg, and an rm that is
 * a register, a SIB byte, a displacement alone. */
static void check_modrm(struct space *space, unsigned opcode, bool classes)
{
    static const uint8_t class_rm[] = {0, 4, 5};
    unsigned length = space->length;

    for (unsigned modrm = 0; modrm < 256; modrm++) {
        bool listed = false;
        for (unsigned i = 0; i < ARRAY_LENGTH(class_rm); i++)
            listed |= (modrm & 7) == class_rm[i];
        if (classes && !listed)
            continue;
        put(space, opcode);
        put(space, modrm);
        check(space);
        space->length = length;
    }
}

/* --- the space */

static void open_space(struct space *space, unsigned code)
{
    struct cpu_model model;
    struct error error;

    *space = (struct space){.references = references_new(), .code = code};
    memset(&space->all, 0xff, sizeof space->all);
    cr_assert_eq(cpu_model_parse("qemu64", &model, &error), 0);
    space->model = model.features;
}

static void close_space(struct space *space)
{
    references_free(space->references);
    cr_log_info("%llu encodings, %llu undefined", (unsigned long long)space->encodings,
                (unsigned long long)space->undefined);
    cr_expect_gt(space->undefined, 0);
    cr_expect_lt(space->undefined, space->encodings);
    cr_expect_eq(space->failures, 0, "%u disagreements", space->failures);
}

static void check_map(struct space *space, const uint8_t *escape, unsigned escapes)
{
    unsigned length = space->length;

    for (unsigned i = 0; i < escapes; i++)
        put(space, escape[i]);
    for (unsigned opcode = 0; opcode < 256; opcode++)
        check_modrm(space, opcode, false);
    space->length = length;
}

static void check_legacy(unsigned code)
{
    static const uint8_t prefixes[][3] = {
        {0},          {0x66}, {0xf3}, {0xf2}, {0x66, 0xf3}, {0xf2, 0x66}, {0xf2, 0xf3},
        {0xf3, 0xf2}, {0x67}, {0x2e}, {0xf0}, {0xf0, 0x66}, {0xf0, 0xf2}, {0xf3, 0xf0},
    };
    static const uint8_t rex[] = {0, 0x40, 0x47, 0x48, 0x4f};
    static const uint8_t escapes[][2] = {{0}, {0x0f}, {0x0f, 0x38}, {0x0f, 0x3a}};
    struct space space;

    open_space(&space, code);
    for (unsigned n = 0; n < ARRAY_LENGTH(prefixes) * ARRAY_LENGTH(rex); n++) {
        const uint8_t *prefix = prefixes[n / ARRAY_LENGTH(rex)];
        if (rex[n % ARRAY_LENGTH(rex)] && code != CODE_64)
            continue;
        space.length = 0;
        for (unsigned i = 0; i < 3 && prefix[i]; i++)
            put(&space, prefix[i]);
        if (rex[n % ARRAY_LENGTH(rex)])
            put(&space, rex[n % ARRAY_LENGTH(rex)]);
        for (unsigned map = 0; map < ARRAY_LENGTH(escapes); map++)
            check_map(&space, escapes[map], map < 2 ? map : 2);
    }
    close_space(&space);
}

Test(decode_space, legacy_16)
{
    check_legacy(CODE_16);
}

Test(decode_space, legacy_32)
{
    check_legacy(CODE_32);
}

Test(decode_space, legacy_64)
{
    check_legacy(CODE_64);
}

/* The three-byte form; R, X, B as they are in it, inverted. */
static void check_vex_3(struct space *space, unsigned rxb, unsigned map, unsigned last)
{
    put(space, 0xc4);
    put(space, rxb << 5 | map);
    put(space, last);
    for (unsigned opcode = 0; opcode < 256; opcode++)
        check_modrm(space, opcode, true);
    space->length = 0;
}

/* All values of W, L and pp, with vvvv as it must be where it names nothing, and with two others.
 */
static void check_vex(unsigned code)
{
    static const uint8_t vvvv[] = {15, 0, 8};
    struct space space;

    open_space(&space, code);
    for (unsigned map = 1; map <= 3; map++)
        for (unsigned n = 0; n < 16 * ARRAY_LENGTH(vvvv); n++) {
            unsigned form = n & 15, register_number = vvvv[n >> 4];
            unsigned last = (form & 8) << 4 | register_number << 3 | (form & 7);
            check_vex_3(&space, 7, map, last);
            if (code == CODE_64)
                check_vex_3(&space, 0, map, last);
        }
    for (unsigned map = 0; map < 32; map++)
        check_vex_3(&space, 7, map, 0x79);
    for (unsigned second = code == CODE_64 ? 0 : 0xc0; second < 256; second += 5) {
        put(&space, 0xc5);
        put(&space, second);
        for (unsigned opcode = 0; opcode < 256; opcode++)
            check_modrm(&space, opcode, true);
        space.length = 0;
    }
    close_space(&space);
}

Test(decode_space, vex_16)
{
    check_vex(CODE_16);
}

Test(decode_space, vex_32)
{
    check_vex(CODE_32);
}

Test(decode_space, vex_64)
{
    check_vex(CODE_64);
}

/* No prefix that means something to legacy instructions may stand before VEX.  SDM 2A 2.3.2
 * to 2.3.5 */
Test(decode_space, prefixes_before_vex)
{
    static const uint8_t barred[] = {0x66, 0xf2, 0xf3, 0xf0, 0x40, 0x48},
                         free[] = {0x2e, 0x67, 0x65};
    static const uint8_t vaddps[] = {0xc5, 0xf8, 0x58, 0xc1},
                         vaddps_3[] = {0xc4, 0xe1, 0x78, 0x58, 0xc1};
    struct feature_set features;

    memset(&features, 0xff, sizeof features);
    for (unsigned n = 0; n < 2 * (ARRAY_LENGTH(barred) + ARRAY_LENGTH(free)); n++) {
        bool is_barred = n / 2 < ARRAY_LENGTH(barred);
        uint8_t bytes[16] = {is_barred ? barred[n / 2] : free[n / 2 - ARRAY_LENGTH(barred)]};
        struct insn insn;
        memcpy(bytes + 1, n & 1 ? vaddps_3 : vaddps, n & 1 ? sizeof vaddps_3 : sizeof vaddps);
        cr_assert_eq(decode(bytes, 15, CODE_64 | MODE, &features, &insn), DECODE_OK);
        cr_expect_eq(insn.exec == exec_undefined, is_barred, "prefix %02x", bytes[0]);
    }
}

/* --- LOCK */

/* SDM 2A LOCK: these, and only when the destination is in memory. */
static bool is_lockable(const struct insn *insn)
{
    static const char *const names[] = {"add",     "adc",       "and", "btc", "btr",  "bts",
                                        "cmpxchg", "cmpxchg8b", "dec", "inc", "neg",  "not",
                                        "or",      "sbb",       "sub", "xor", "xadd", "xchg"};
    const struct opcode_row *row = &opcode_rows[insn->row];
    bool listed = false;

    for (unsigned i = 0; i < ARRAY_LENGTH(names); i++)
        listed |= !strcmp(row->mnemonic, names[i]);
    return listed && insn->memory && row->operand[0] >= O_Eb && row->operand[0] <= O_Mt &&
           !(row->operand[0] >= O_Gb && row->operand[0] <= O_Gy);
}

/* Notes the rows of the forms that LOCK may stand before. */
static void check_lock(struct space *space, bool locked[OPCODE_COUNT])
{
    struct insn plain, insn;

    memset(space->bytes + space->length, 0, ENCODING_BYTES - space->length);
    memmove(space->bytes, space->bytes + 1, ENCODING_BYTES - 1);
    bool valid = is_valid(space, &space->all, &plain);
    memmove(space->bytes + 1, space->bytes, ENCODING_BYTES - 1);
    space->bytes[0] = 0xf0;
    if (is_valid(space, &space->all, &insn) != (valid && is_lockable(&plain)) &&
        space->failures++ < REPORTS_MAX)
        fprintf(stderr, "LOCK %s, %s\n", opcode_rows[plain.row].id,
                plain.memory ? "memory" : "registers");
    if (valid && is_lockable(&plain))
        locked[plain.row] = true;
}

Test(decode_space, lock)
{
    static const uint8_t escapes[][2] = {{0}, {0x0f}, {0x0f, 0x38}, {0x0f, 0x3a}};
    static const uint8_t prefixes[] = {0, 0x66, 0xf2, 0xf3};
    static bool locked[OPCODE_COUNT];
    struct space space;
    unsigned rows = 0;

    open_space(&space, CODE_16);
    for (unsigned n = 0; n < 3u * 4 * 4 << 16; n++) {
        const uint8_t *escape = escapes[n >> 16 & 3];
        space.code = (n >> 20) % 3;
        space.length = 0;
        put(&space, 0xf0);
        if (prefixes[n >> 18 & 3])
            put(&space, prefixes[n >> 18 & 3]);
        for (unsigned i = 0; i < 2 && escape[i]; i++)
            put(&space, escape[i]);
        put(&space, n >> 8);
        put(&space, n);
        check_lock(&space, locked);
    }
    for (unsigned row = 0; row < OPCODE_COUNT; row++)
        rows += locked[row];
    /* Seven arithmetic instructions in six forms, four with one operand in two, three bit tests in
     * two, and CMPXCHG, XADD, XCHG in two, CMPXCHG8B. */
    cr_expect_eq(rows, 7 * 6 + 4 * 2 + 3 * 2 + 3 * 2 + 1, "%u rows", rows);
    cr_expect_eq(space.failures, 0, "%u disagreements", space.failures);
    references_free(space.references);
}
