/* Registers and memory get the values at which instructions change their ways; addresses lie in the
 * sandbox, at its edges, or where no process has memory. */
#include "conform/host_generate.h"

#include "conform/host_encode.h"
#include "cpu/cpu.h"
#include "softmmu/mmu.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

enum { EDGE = 64, CANONICAL_BITS = 47, TRIES = 200 };

/* --- which rows */

const char *host_row_obstacle(const struct opcode_row *row, const struct feature_set *features)
{
    static const struct {
        const char *mnemonic, *obstacle;
    } names[] = {
        {"rdrand", "random"},
        {"rdseed", "random"},
        {"rdtsc", "the time"},
        {"rdtscp", "the time"},
        {"cpuid", "the model"},
        {"xgetbv", "the system's XCR0"},
        {"xsave", "the system's XCR0"},
        {"xrstor", "the system's XCR0"},
        {"xsavec", "the system's XCR0"},
        {"xsaveopt", "the system's XCR0"},
    };

    if (row->attributes & A_SENSITIVE)
        return "sensitive";
    if (row->privilege != PRIV_ANY)
        return "privileged";
    if (!feature_has(features, row->feature))
        return "not on this host";
    for (unsigned i = 0; i < ARRAY_LENGTH(names); i++)
        if (!strcmp(row->mnemonic, names[i].mnemonic))
            return names[i].obstacle;
    return NULL;
}

/* Does the row's name fit one of the patterns? */
static bool is_wanted(const char *id, const char *patterns)
{
    char pattern[64];

    while (patterns) {
        const size_t length = strcspn(patterns, ",");
        snprintf(pattern, sizeof pattern, "%.*s", (int)length, patterns);
        if (!fnmatch(pattern, id, FNM_CASEFOLD))
            return true;
        patterns = patterns[length] ? patterns + length + 1 : NULL;
    }
    return false;
}

static bool exists_in(const struct opcode_row *row, unsigned code_size)
{
    return row->modes & (code_size == CODE_64 ? X_64 : X_LEGACY);
}

static void add_kinds(struct host_generator *generator, unsigned row, unsigned code_sizes)
{
    for (unsigned size = CODE_16; size <= CODE_64; size++)
        if (code_sizes >> size & 1 && exists_in(&opcode_rows[row], size))
            generator->kinds[generator->kind_count++] =
                (struct host_kind){.row = (uint16_t)row, .code_size = (uint8_t)size};
}

int host_generator_init(struct host_generator *generator, uint64_t seed, const char *rows,
                        unsigned code_sizes, const struct feature_set *features,
                        struct error *error)
{
    struct dice dice = dice_make(seed, UINT64_MAX - 1);

    *generator = (struct host_generator){.seed = seed, .features = *features};
    generator->kinds = calloc(OPCODE_COUNT * 3, sizeof *generator->kinds);
    if (!generator->kinds)
        return error_set(error, ENOMEM, "no memory left for the rows");
    for (unsigned i = 0; i < HOST_DATA_BYTES; i += 16)
        value_vector(&dice, generator->data + i);
    for (unsigned row = 0; row < OPCODE_COUNT; row++) {
        if (host_row_obstacle(&opcode_rows[row], features) ||
            (rows && !is_wanted(opcode_rows[row].id, rows)))
            continue;
        const unsigned before = generator->kind_count;
        add_kinds(generator, row, code_sizes);
        generator->row_count += generator->kind_count != before;
    }
    if (generator->kind_count)
        return 0;
    host_generator_free(generator);
    return error_set(error, EINVAL,
                     "--rows %s: no row of the opcode table that the host can run has such a name; "
                     "ring3 conform --host --coverage lists them",
                     rows);
}

void host_generator_free(struct host_generator *generator)
{
    free(generator->kinds);
    generator->kinds = NULL;
}

/* --- addresses */

static uint64_t operand_alignment(const struct opcode_row *row)
{
    if (row->size == SZ_L)
        return 32;
    return row->size == SZ_X || row->feature == FEAT_SHA || row_is(row, "fx") ||
                   row_is(row, "cmpxchg16")
               ? 16
               : 8;
}

static uint64_t make_target(const struct opcode_row *row, struct dice *dice)
{
    uint64_t target = HOST_DATA + EDGE + dice_pick(dice, HOST_DATA_BYTES - 1024);

    if (dice_chance(dice, 4))
        target = HOST_DATA + HOST_DATA_BYTES - dice_pick(dice, 24);
    if (dice_chance(dice, 4))
        target = HOST_DATA + PAGE_BYTES - dice_pick(dice, 24);
    if (dice_chance(dice, 2))
        target = HOST_DATA - dice_pick(dice, 24);
    if (dice_chance(dice, 1))
        target = BIT(CANONICAL_BITS) | dice_next(dice) >> 17;
    if (dice_chance(dice, row->feature == FEAT_SHA ? 98 : 60))
        target &= ~(operand_alignment(row) - 1);
    return target;
}

static uint64_t address_mask(const struct insn *insn)
{
    return insn->address == SIZE_64   ? UINT64_MAX
           : insn->address == SIZE_32 ? UINT32_MAX
                                      : UINT16_MAX;
}

/* An offset. */
static uint64_t effective_address(const struct host_case *c)
{
    const struct insn *insn = &c->insn;
    const uint64_t base = insn->base == REG_ZERO ? 0 : c->state.regs[insn->base];
    const uint64_t index = insn->index == REG_ZERO ? 0 : c->state.regs[insn->index];
    uint64_t address = base + (index << insn->scale) + (uint64_t)(int64_t)insn->disp;

    if (host_case_row(c)->modrm == M_NONE)
        address = insn->imm;
    if (insn->rip)
        address += c->state.rip + insn->length;
    return address & address_mask(insn);
}

/* Is there nothing but the sandbox at the offset, in any process? */
static bool is_harmless(const struct host_case *c, uint64_t offset)
{
    return c->code_size == CODE_16 || offset < HOST_LOW_END ||
           (offset >> CANONICAL_BITS != 0 && offset >> CANONICAL_BITS != 0x1ffff);
}

/* Brings the operand to offset `target`: by a register if there is one, else by the displacement.
 */
static void aim(struct host_case *c, uint64_t target, struct dice *dice)
{
    struct insn *insn = &c->insn;
    uint64_t *regs = c->state.regs;

    if (host_case_row(c)->modrm == M_NONE) { /* moffs: the last bytes */
        const unsigned bytes = 1u << insn->address;
        memcpy(c->bytes + insn->length - bytes, &target, bytes);
        return;
    }
    if (insn->index != REG_ZERO && insn->index != insn->base)
        regs[insn->index] = (uint64_t)((int64_t)dice_pick(dice, 4096) - 2048);
    const uint64_t rest =
        target - (effective_address(c) - (insn->base == REG_ZERO ? 0 : regs[insn->base]));
    if (insn->base != REG_ZERO && insn->base != insn->index) {
        regs[insn->base] = rest;
    } else if (insn->base == REG_ZERO) {
        uint8_t *end = c->bytes + insn->length - host_immediate_bytes(c);
        if (insn->address == SIZE_16)
            store_le16(end - 2, (uint16_t)(insn->disp + (int32_t)rest));
        else
            store_le32(end - 4, (uint32_t)insn->disp + (uint32_t)rest);
    }
}

bool host_case_settle(const struct host_generator *generator, struct host_case *c)
{
    const unsigned row = c->insn.row;

    if (!host_decode(c, row, &generator->features))
        return false;
    const struct opcode_row *facts = &opcode_rows[row];
    c->gathers = facts->operand[1] == O_MV;
    c->memory = c->insn.memory && !c->gathers;
    c->resumes = c->gathers || (c->insn.rep && facts->attributes & (A_REP | A_REPZ));
    if (!is_harmless(c, c->state.regs[RSP]))
        return false;
    if (!c->memory)
        return true;
    const uint64_t offset = effective_address(c);
    const bool touches = strcmp(facts->mnemonic, "lea") && facts->operand[0] != O_NONE;
    c->address = offset + host_case_base(c);
    return !touches || is_harmless(c, offset);
}

/* --- floating-point state */

static void make_x87(struct dice *dice, struct host_fx *fx, bool mmx)
{
    static const uint16_t controls[] = {0x037f, 0x037f, 0x037f, 0x027f, 0x007f,
                                        0x077f, 0x0b7f, 0x0f7f, 0x0e7f, 0x087f};

    fx->control = controls[dice_pick(dice, ARRAY_LENGTH(controls))];
    if (dice_chance(dice, 15))
        fx->control &= (uint16_t)~dice_pick(dice, 64);
    fx->status = (uint16_t)(dice_next(dice) & 0x4700);
    if (dice_chance(dice, 70))
        fx->status |= (uint16_t)(dice_pick(dice, 8) << 11);
    if (dice_chance(dice, 10))
        fx->status |= (uint16_t)dice_pick(dice, 128);
    if (fx->status & ~fx->control & 0x3f) /* ES and B follow */
        fx->status |= 0x8080;
    fx->valid = dice_chance(dice, 60) ? 0xff : (uint8_t)dice_next(dice);
    for (unsigned i = 0; i < 8; i++) {
        value_extended(dice, &fx->st[i].mantissa, &fx->st[i].exponent);
        if (mmx)
            fx->st[i].mantissa = value_integer(dice);
        memset(fx->st[i].unused, 0, sizeof fx->st[i].unused);
    }
}

static void make_sse(struct dice *dice, struct host_fx *fx)
{
    fx->mxcsr = 0x1f80;
    if (dice_chance(dice, 50))
        fx->mxcsr |= (uint32_t)dice_pick(dice, 4) << 13;
    if (dice_chance(dice, 20))
        fx->mxcsr |= (uint32_t)dice_next(dice) & 0x8040;
    if (dice_chance(dice, 20))
        fx->mxcsr |= (uint32_t)dice_pick(dice, 64);
    if (dice_chance(dice, 15))
        fx->mxcsr &= ~((uint32_t)dice_pick(dice, 64) << 7);
    for (unsigned i = 0; i < 16; i++)
        value_vector(dice, fx->xmm[i]);
}

static void make_upper(struct dice *dice, struct host_state *state,
                       const struct feature_set *features)
{
    memset(state->upper, 0, sizeof state->upper);
    if (!feature_has(features, FEAT_AVX) || dice_chance(dice, 10))
        return;
    for (unsigned i = 0; i < 16; i++)
        value_vector(dice, state->upper[i]);
}

/* --- registers */

/* What string instructions and their like find their operands by. */
static void aim_pointers(struct host_case *c, struct dice *dice)
{
    const struct opcode_row *row = host_case_row(c);
    const uint64_t base = host_case_base(c);
    const bool string = row_has_operand(row, O_Xb, O_Yz);

    if (!string && !row_is(row, "maskmov") && !row_is(row, "vmaskmovdq") && row->opcode != 0xd7)
        return;
    c->state.regs[RSI] = make_target(row, dice) - base;
    c->state.regs[RDI] = make_target(row, dice) - base;
    c->state.regs[RBX] = make_target(row, dice) - base;
    if (string)
        c->state.regs[RCX] = dice_pick(dice, 12);
}

static void make_registers(struct host_case *c, struct dice *dice)
{
    const struct opcode_row *row = host_case_row(c);
    const uint64_t data = HOST_DATA - host_case_base(c);
    uint64_t *regs = c->state.regs;

    for (unsigned i = 0; i < 16; i++)
        regs[i] = value_integer(dice);
    regs[RSP] = data + 0x1800 + 8 * dice_pick(dice, 32) + (dice_chance(dice, 10) ? 3 : 0);
    regs[RBP] = data + 0x1000 + 8 * dice_pick(dice, 32);
    if (dice_chance(dice, 3))
        regs[RSP] = data + dice_pick(dice, 12);
    aim_pointers(c, dice);
    if (row_is(row, "bt"))
        regs[c->insn.reg & 15] = (uint64_t)((int64_t)dice_pick(dice, 1024) - 512);
    if (row_is(row, "div") || row_is(row, "idiv")) {
        const uint64_t high = dice_next(dice) & 7;
        regs[RDX] = dice_chance(dice, 50) ? high : -high;
        if (dice_chance(dice, 50))
            regs[RAX] = (uint32_t)regs[RAX];
    }
    if ((row_is(row, "loop") || row_is(row, "j")) && dice_chance(dice, 50))
        regs[RCX] = dice_pick(dice, 3);
}

/* Gathers: small indices, mostly, from a base near the beginning of the data. */
static bool make_indices(struct host_case *c, struct dice *dice)
{
    const struct insn *insn = &c->insn;
    const unsigned bytes = host_case_row(c)->opcode & 1 ? 8 : 4;

    if (insn->base == REG_ZERO)
        return false;
    c->state.regs[insn->base] =
        HOST_DATA - host_case_base(c) + 0x400 + dice_pick(dice, 64) - (uint64_t)(int64_t)insn->disp;
    for (unsigned at = 0; at < 32; at += bytes) {
        const int64_t index =
            (int64_t)dice_pick(dice, dice_chance(dice, 80) ? 0x340 : 0x480) - 0x40;
        uint8_t *vector = at < 16 ? c->state.fx.xmm[insn->index] : c->state.upper[insn->index];
        memcpy(vector + (at & 15), &index, bytes);
    }
    return true;
}

static void make_data(const struct host_generator *generator, struct host_case *c,
                      struct dice *dice)
{
    memcpy(c->data, generator->data, sizeof c->data);
    if (!c->memory || c->address < HOST_DATA || c->address > HOST_DATA + HOST_DATA_BYTES - EDGE)
        return;
    uint8_t *at = c->data + (c->address - HOST_DATA);
    for (unsigned i = 0; i < EDGE; i += 16)
        value_vector(dice, at + i);
    if (row_is(host_case_row(c), "cmpxchg") && dice_chance(dice, 50)) {
        const unsigned half = c->insn.size == SIZE_64 ? 8 : 4;
        memcpy(at, &c->state.regs[RAX], 8);
        if (host_case_row(c)->opcode == 0xc7)
            memcpy(at + half, &c->state.regs[RDX], half);
    }
}

/* --- the case */

/* Mostly anywhere in the page; else so that it ends with the page, or goes on in the next, which is
 * not there. */
static uint64_t make_entry(const struct host_case *c, struct dice *dice)
{
    uint64_t offset = 64 * (uint64_t)dice_pick(dice, PAGE_BYTES / 64 - 1);

    if (dice_chance(dice, 3))
        offset = PAGE_BYTES - c->insn.length;
    else if (dice_chance(dice, 1))
        offset = PAGE_BYTES - 1 - dice_pick(dice, c->insn.length);
    return HOST_CODE + offset - host_case_base(c);
}

static bool make(const struct host_generator *generator, unsigned row, struct host_case *c,
                 struct dice *dice)
{
    if (!host_encode(c, row, &generator->features, dice))
        return false;
    const struct opcode_row *facts = &opcode_rows[row];
    c->state.rip = make_entry(c, dice);
    make_registers(c, dice);
    if (c->insn.memory && facts->operand[1] != O_MV)
        aim(c, make_target(facts, dice) - host_case_base(c), dice);
    c->state.eflags = 0x202 | ((uint32_t)dice_next(dice) & (F_ARITH | F_DF));
    if (dice_chance(dice, 3))
        c->state.eflags |= F_AC;
    make_x87(dice, &c->state.fx, facts->attributes & A_MMX);
    make_sse(dice, &c->state.fx);
    make_upper(dice, &c->state, &generator->features);
    if (facts->operand[1] == O_MV && !make_indices(c, dice))
        return false;
    for (unsigned i = 0; i < 16 && c->code_size != CODE_64; i++) {
        c->state.regs[i] = i < 8 ? (uint32_t)c->state.regs[i] : 0;
        if (i >= 8) {
            memset(c->state.fx.xmm[i], 0, sizeof c->state.fx.xmm[i]);
            memset(c->state.upper[i], 0, sizeof c->state.upper[i]);
        }
    }
    if (!host_case_settle(generator, c))
        return false;
    make_data(generator, c, dice);
    return true;
}

bool host_generate(const struct host_generator *generator, uint64_t number, struct host_case *c)
{
    const struct host_kind *kind = &generator->kinds[number % generator->kind_count];
    struct dice dice = dice_make(generator->seed, number);

    c->number = number;
    c->code_size = kind->code_size;
    memset(&c->state, 0, sizeof c->state);
    for (unsigned tries = 0; tries < TRIES; tries++)
        if (make(generator, kind->row, c, &dice)) {
            c->variant = dice_next(&dice) >> 63;
            return true;
        }
    return false;
}
