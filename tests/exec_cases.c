/* Cases for the host oracle.  Registers and memory get the values at which instructions change
 * their ways; addresses lie in the sandbox, at its edges, or where no process has memory. */
#include "tests/exec_cases.h"

#include "base/bits.h"
#include "cpu/cpu.h"
#include "cpu/decode.h"
#include "tests/vex_bytes.h"

#include <string.h>

enum { EDGE = 64, CANONICAL_BITS = 47 };

uint64_t random_next(struct random *random)
{
    uint64_t x = random->state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    random->state = x;
    return x * UINT64_C(0x2545f4914f6cdd1d);
}

static unsigned pick(struct random *random, unsigned count)
{
    return (unsigned)((random_next(random) >> 32) % count);
}

static bool chance(struct random *random, unsigned percent)
{
    return pick(random, 100) < percent;
}

/* --- values */
static uint64_t corner_integer(struct random *random)
{
    static const uint64_t corners[] = {
        0,
        1,
        2,
        3,
        7,
        8,
        15,
        16,
        31,
        32,
        33,
        63,
        64,
        0x7f,
        0x80,
        0xff,
        0x100,
        0x7fff,
        0x8000,
        0xffff,
        0x10000,
        0x7fffffff,
        0x80000000,
        0xffffffff,
        0x100000000,
        0x5555555555555555,
        0xaaaaaaaaaaaaaaaa,
        0x7fffffffffffffff,
        0x8000000000000000,
        0xffffffff00000000,
        0xffffffff80000000,
        0xffffffffffff8000,
        0xffffffffffffff80,
        0xfffffffffffffffe,
        UINT64_MAX,
    };
    if (chance(random, 40))
        return random_next(random);
    return corners[pick(random, ARRAY_LENGTH(corners))];
}

static uint32_t corner_single(struct random *random)
{
    static const uint32_t corners[] = {
        0,          0x80000000, 0x3f800000, 0xbf800000, 0x40000000, 0x3f000000, 0x7f800000,
        0xff800000, 0x7fc00000, 0xffc00000, 0x7f800001, 0xff812345, 0x7fc12345, 0x00000001,
        0x807fffff, 0x00800000, 0x7f7fffff, 0xff7fffff, 0x4b000000, 0x4f000000, 0xcf000000,
        0x5f000000, 0x3fc00000, 0x40200000, 0x42c80000, 0x3eaaaaab, 0x34000000, 0x5f800000,
    };
    if (chance(random, 30))
        return (uint32_t)random_next(random);
    return corners[pick(random, ARRAY_LENGTH(corners))];
}

static uint64_t corner_double(struct random *random)
{
    static const uint64_t corners[] = {
        0,
        0x8000000000000000,
        0x3ff0000000000000,
        0xbff0000000000000,
        0x4000000000000000,
        0x3fe0000000000000,
        0x7ff0000000000000,
        0xfff0000000000000,
        0x7ff8000000000000,
        0xfff8000000000000,
        0x7ff0000000000001,
        0xfff0000000012345,
        0x7ff8000000012345,
        0x0000000000000001,
        0x800fffffffffffff,
        0x0010000000000000,
        0x7fefffffffffffff,
        0x41e0000000000000,
        0xc1e0000000000000,
        0x43e0000000000000,
        0xc3e0000000000000,
        0x3ff8000000000000,
        0x4004000000000000,
        0x4059000000000000,
        0x3fd5555555555555,
        0x36a0000000000000,
        0x3800000000000000,
        0x47efffffe0000000,
        0x47f0000000000000,
    };
    if (chance(random, 30))
        return random_next(random);
    return corners[pick(random, ARRAY_LENGTH(corners))];
}

static void corner_extended(struct random *random, uint64_t *mantissa, uint16_t *exponent)
{
    static const struct {
        uint16_t exponent;
        uint64_t mantissa;
    } corners[] = {
        {0, 0},
        {0x8000, 0},
        {0x3fff, 0x8000000000000000},
        {0xbfff, 0x8000000000000000},
        {0x4000, 0x8000000000000000},
        {0x3ffe, 0x8000000000000000},
        {0x7fff, 0x8000000000000000},
        {0xffff, 0x8000000000000000},
        {0x7fff, 0xc000000000000000},
        {0xffff, 0xc000000000000000},
        {0x7fff, 0x8000000000000001},
        {0x7fff, 0xc000000000012345},
        {0, 1},
        {0, 0x7fffffffffffffff},
        {0, 0x8000000000000000},
        {1, 0x8000000000000000},
        {0x7ffe, 0xffffffffffffffff},
        {0x403e, 0x8000000000000000},
        {0xc03e, 0x8000000000000000},
        {0x401e, 0x8000000000000000},
        {0x3fff, 0xc000000000000000},
        {0x4000, 0xc90fdaa22168c235},
        {0x3ffd, 0xaaaaaaaaaaaaaaab},
        {0x4005, 0xc800000000000000},
        {0x3f80, 0x8000000000000000},
        {0x3c00, 0x8000000000000000},
        {0x7fff, 0},
        {0x4000, 0x4000000000000000},
        {0x3fc0, 0xfedcba9876543210},
        {0x400d, 0xfffe000000000000},
        {0x403a, 0x8ac7230489e7ffff},
    };
    unsigned n = pick(random, ARRAY_LENGTH(corners));
    *exponent = corners[n].exponent;
    *mantissa = corners[n].mantissa;
    if (chance(random, 30)) {
        *exponent = (uint16_t)(0x3fe0 + pick(random, 80)) | (random_next(random) & 0x8000);
        *mantissa = random_next(random) | UINT64_C(1) << 63;
    }
    if (chance(random, 5)) {
        *exponent = (uint16_t)random_next(random);
        *mantissa = random_next(random);
    }
}

/* 16 bytes of one kind of value. */
static void corner_vector(struct random *random, uint8_t *to)
{
    uint64_t mantissa;
    uint16_t exponent;
    unsigned kind = pick(random, 6);
    for (unsigned i = 0; i < 16; i += 8) {
        if (kind < 2) {
            store_le32(to + i, corner_single(random));
            store_le32(to + i + 4, corner_single(random));
        } else if (kind < 4) {
            store_le64(to + i, corner_double(random));
        } else {
            store_le64(to + i, corner_integer(random));
        }
    }
    if (kind == 5) {
        corner_extended(random, &mantissa, &exponent);
        store_le64(to, mantissa);
        store_le16(to + 8, exponent);
    }
}

/* --- floating-point state */
static void make_x87(struct random *random, struct fx_image *fx, bool mmx)
{
    static const uint16_t controls[] = {0x037f, 0x037f, 0x037f, 0x027f, 0x007f,
                                        0x077f, 0x0b7f, 0x0f7f, 0x0e7f, 0x087f};
    fx->control = controls[pick(random, ARRAY_LENGTH(controls))];
    if (chance(random, 15))
        fx->control &= (uint16_t)~pick(random, 64);
    fx->status = (uint16_t)(random_next(random) & 0x4700);
    if (chance(random, 70))
        fx->status |= (uint16_t)(pick(random, 8) << 11);
    if (chance(random, 10))
        fx->status |= (uint16_t)pick(random, 128);
    if (fx->status & ~fx->control & 0x3f) /* ES and B follow */
        fx->status |= 0x8080;
    fx->valid = chance(random, 60) ? 0xff : (uint8_t)random_next(random);
    for (unsigned i = 0; i < 8; i++) {
        uint64_t mantissa;
        uint16_t exponent;
        corner_extended(random, &mantissa, &exponent);
        fx->st[i].mantissa = mmx ? corner_integer(random) : mantissa;
        fx->st[i].exponent = exponent;
        memset(fx->st[i].unused, 0, sizeof fx->st[i].unused);
    }
}

static void make_upper(struct random *random, struct cpu_state *state,
                       const struct feature_set *features)
{
    memset(state->upper, 0, sizeof state->upper);
    for (unsigned i = 0; i < 16 && feature_has(features, FEAT_AVX); i++)
        corner_vector(random, state->upper[i]);
}

static void make_sse(struct random *random, struct fx_image *fx)
{
    fx->mxcsr = 0x1f80;
    if (chance(random, 50))
        fx->mxcsr |= (uint32_t)pick(random, 4) << 13;
    if (chance(random, 20))
        fx->mxcsr |= (uint32_t)random_next(random) & 0x8040;
    if (chance(random, 20))
        fx->mxcsr |= (uint32_t)pick(random, 64);
    if (chance(random, 15))
        fx->mxcsr &= ~((uint32_t)pick(random, 64) << 7);
    for (unsigned i = 0; i < 16; i++)
        corner_vector(random, fx->xmm[i]);
}

/* --- which rows */
static bool is_named(const struct opcode_row *row, const char *const *names, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (!strcmp(row->mnemonic, names[i]))
            return true;
    return false;
}

bool exec_case_is_possible(const struct opcode_row *row, const struct feature_set *features)
{
    /* Random by nature, dependent on the system's XCR0, or on the time. */
    static const char *const names[] = {"rdrand", "rdseed", "rdpid",  "rdtsc",    "rdtscp",
                                        "xsave",  "xrstor", "xgetbv", "xsaveopt", "cpuid",
                                        "xsavec"};
    return !(row->attributes & A_SENSITIVE) && row->privilege == PRIV_ANY &&
           feature_has(features, row->feature) && !is_named(row, names, ARRAY_LENGTH(names));
}

static bool has_operand(const struct opcode_row *row, unsigned first, unsigned last)
{
    for (unsigned i = 0; i < 3; i++)
        if (row->operand[i] >= first && row->operand[i] <= last)
            return true;
    return false;
}

static bool is_mnemonic(const struct opcode_row *row, const char *prefix)
{
    return !strncmp(row->mnemonic, prefix, strlen(prefix));
}

/* --- bytes */
static unsigned put_prefixes(uint8_t *bytes, const struct opcode_row *row, bool memory,
                             bool code_64, struct random *random)
{
    static const uint8_t segments[] = {0x26, 0x2e, 0x36, 0x3e};
    static const uint8_t mandatory[] = {[P_66] = 0x66, [P_F3] = 0xf3, [P_F2] = 0xf2, [P_SIZE] = 0};
    bool repeats = row->attributes & (A_REP | A_REPZ);
    bool takes_66 = row->prefix == P_ANY || row->prefix == P_SIZE ||
                    ((row->prefix == P_F3 || row->prefix == P_F2) && row->size == SZ_V);
    unsigned at = 0;
    if (chance(random, 8))
        bytes[at++] = segments[pick(random, 4)];
    if (chance(random, 8))
        bytes[at++] = 0x67;
    /* Processors differ: Intel's ignore 66 on near branches of 64-bit code, AMD's heed it. */
    if (row->size == SZ_F64 && code_64)
        takes_66 = false;
    if (map_is_vex(row->map))
        return at + vex_put(bytes + at, row, code_64, (uint32_t)(random_next(random) >> 32));
    if (takes_66 && chance(random, 30))
        bytes[at++] = 0x66;
    if (memory && row->attributes & A_LOCK && chance(random, 25))
        bytes[at++] = 0xf0;
    /* On LOOPcc some processors take F2 and F3 for the condition. */
    if (row->prefix == P_ANY && !is_mnemonic(row, "loop") && chance(random, repeats ? 60 : 3))
        bytes[at++] = 0xf2 | pick(random, 2);
    if (row->prefix != P_ANY && mandatory[row->prefix])
        bytes[at++] = mandatory[row->prefix];
    if (code_64 && chance(random, 60))
        bytes[at++] = (uint8_t)(0x40 | pick(random, 16));
    return at;
}

/* A ModRM byte of the row; with mod 3 or not. */
static uint8_t make_modrm(const struct opcode_row *row, bool memory, struct random *random)
{
    uint8_t modrm = (uint8_t)random_next(random);
    unsigned condition = row->modrm & 0xf00;
    if (condition == M_EXACT)
        return (uint8_t)row->modrm;
    modrm = memory ? (uint8_t)((modrm & 0x3f) | pick(random, 3) << 6) : modrm | 0xc0;
    if (condition == M_DIGIT || condition == M_REG_DIGIT || condition == M_MEM_DIGIT)
        modrm = (uint8_t)((modrm & 0xc7) | (row->modrm & 7) << 3);
    return modrm;
}

/* Returns the number of bytes before those that stay random: SIB, displacement, immediates. */
static unsigned put_instruction(struct exec_case *c, const struct opcode_row *row,
                                struct random *random)
{
    bool modrm = row->modrm != M_NONE;
    bool can_memory = modrm && row->policy_memory != NEVER;
    bool can_register = modrm && row->policy_register != NEVER;
    unsigned condition = row->modrm & 0xf00;
    if (condition == M_REG || condition == M_REG_DIGIT || condition == M_EXACT)
        can_memory = false;
    if (condition == M_MEM || condition == M_MEM_DIGIT)
        can_register = false;
    bool memory = can_memory && (!can_register || chance(random, 50));

    for (unsigned i = 0; i < 16; i += 8)
        store_le64(c->bytes + i, random_next(random));
    unsigned at = put_prefixes(c->bytes, row, memory, c->code_64, random);
    if (row->map != MAP_1 && !map_is_vex(row->map))
        c->bytes[at++] = 0x0f;
    if (row->map == MAP_0F38 || row->map == MAP_0F3A)
        c->bytes[at++] = row->map == MAP_0F38 ? 0x38 : 0x3a;
    c->bytes[at] = row->opcode;
    if (has_operand(row, O_Zb, O_Zv))
        c->bytes[at] |= (uint8_t)pick(random, 8);
    at++;
    if (modrm)
        c->bytes[at++] = make_modrm(row, memory, random);
    return at;
}

static unsigned immediate_bytes(const struct exec_case *c, const struct opcode_row *row)
{
    unsigned bytes = 0;
    for (unsigned i = 0; i < 3; i++) {
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
    }
    return bytes;
}

/* Immediates of one byte at which shifts, selections and comparisons change. */
static void put_immediate(struct exec_case *c, const struct opcode_row *row, struct random *random)
{
    static const uint8_t corners[] = {0,  1,  2,  7,  8,  9,    15,   16,  17,
                                      31, 32, 33, 63, 64, 0x7f, 0x80, 0xff};
    if (immediate_bytes(c, row) == 1 && chance(random, 50))
        c->bytes[c->insn.length - 1] = corners[pick(random, ARRAY_LENGTH(corners))];
}

/* --- addresses */
static uint64_t operand_alignment(const struct opcode_row *row)
{
    return row->size == SZ_L   ? 32
           : row->size == SZ_X || row->feature == FEAT_SHA || is_mnemonic(row, "fx") ||
                   is_mnemonic(row, "cmpxchg16")
               ? 16
               : 8;
}

static uint64_t make_target(const struct opcode_row *row, struct random *random)
{
    uint64_t target = SANDBOX_DATA + EDGE + pick(random, SANDBOX_BYTES - 1024);
    if (chance(random, 4))
        target = SANDBOX_DATA + SANDBOX_BYTES - pick(random, 24);
    if (chance(random, 4))
        target = SANDBOX_DATA + PAGE_BYTES - pick(random, 24);
    if (chance(random, 2))
        target = SANDBOX_DATA - pick(random, 24);
    if (chance(random, 1))
        target = UINT64_C(1) << CANONICAL_BITS | random_next(random) >> 17;
    /* Unaligned operands of SHA: AMD's processors take them, the SDM has #GP. */
    if (row->feature == FEAT_SHA || chance(random, 60))
        target &= ~(operand_alignment(row) - 1);
    return target;
}

static uint64_t address_mask(const struct insn *insn)
{
    return insn->address == SIZE_64   ? UINT64_MAX
           : insn->address == SIZE_32 ? UINT32_MAX
                                      : UINT16_MAX;
}

static uint64_t effective_address(const struct exec_case *c)
{
    const struct insn *insn = &c->insn;
    uint64_t base = insn->base == REG_ZERO ? 0 : c->state.regs[insn->base];
    uint64_t index = insn->index == REG_ZERO ? 0 : c->state.regs[insn->index];
    uint64_t address = base + (index << insn->scale) + (uint64_t)(int64_t)insn->disp;
    if (opcode_rows[insn->row].modrm == M_NONE)
        address = insn->imm;
    if (insn->rip)
        address += SANDBOX_ENTRY + insn->length;
    return address & address_mask(insn);
}

/* Where the process has nothing but the sandbox. */
static bool is_harmless(uint64_t address)
{
    return address < 0x10000 ||
           (address >= SANDBOX_DATA - PAGE_BYTES &&
            address < SANDBOX_DATA + SANDBOX_BYTES + PAGE_BYTES) ||
           (address >> CANONICAL_BITS != 0 && address >> CANONICAL_BITS != 0x1ffff);
}

/* Brings the operand to `target`: by a register if there is one, else by the displacement. */
static void aim(struct exec_case *c, const struct opcode_row *row, uint64_t target,
                struct random *random)
{
    struct insn *insn = &c->insn;
    uint64_t *regs = c->state.regs;
    if (row->modrm == M_NONE) { /* moffs: the last bytes */
        unsigned bytes = 1u << insn->address;
        memcpy(c->bytes + insn->length - bytes, &target, bytes);
        insn->imm = target & address_mask(insn);
        return;
    }
    if (insn->index != REG_ZERO && insn->index != insn->base)
        regs[insn->index] = (uint64_t)((int64_t)pick(random, 4096) - 2048);
    uint64_t rest =
        target - (effective_address(c) - (insn->base == REG_ZERO ? 0 : regs[insn->base]));
    if (insn->base != REG_ZERO && insn->base != insn->index) {
        regs[insn->base] = rest;
    } else if (insn->base == REG_ZERO && insn->address != SIZE_16) {
        uint32_t disp = (uint32_t)insn->disp + (uint32_t)rest;
        store_le32(c->bytes + insn->length - immediate_bytes(c, row) - 4, disp);
        insn->disp = (int32_t)disp;
    }
}

/* --- registers */
static void make_registers(struct exec_case *c, const struct opcode_row *row, struct random *random)
{
    uint64_t *regs = c->state.regs;
    for (unsigned i = 0; i < 16; i++)
        regs[i] = corner_integer(random);
    regs[RSP] = SANDBOX_DATA + 0x1800 + 8 * pick(random, 32) + (chance(random, 10) ? 3 : 0);
    regs[RBP] = SANDBOX_DATA + 0x1000 + 8 * pick(random, 32);
    if (chance(random, 3))
        regs[RSP] = SANDBOX_DATA + pick(random, 12);
    bool string = has_operand(row, O_Xb, O_Yz);
    if (string || is_mnemonic(row, "maskmov") || is_mnemonic(row, "vmaskmovdq") || row->opcode == 0xd7) {
        regs[RSI] = make_target(row, random);
        regs[RDI] = make_target(row, random);
        regs[RBX] = make_target(row, random);
    }
    if (string)
        regs[RCX] = pick(random, 12);
    if (is_mnemonic(row, "bt"))
        regs[c->insn.reg & 15] = (uint64_t)((int64_t)pick(random, 1024) - 512);
    if (is_mnemonic(row, "div") || is_mnemonic(row, "idiv")) {
        uint64_t high = random_next(random) & 7;
        regs[RDX] = chance(random, 50) ? high : -high;
        if (chance(random, 50))
            regs[RAX] = (uint32_t)regs[RAX];
    }
    if (is_mnemonic(row, "loop") || is_mnemonic(row, "j"))
        regs[RCX] = chance(random, 50) ? pick(random, 3) : regs[RCX];
}

static void make_data(struct exec_case *c, struct random *random)
{
    for (unsigned i = 0; i < SANDBOX_BYTES; i += 64)
        corner_vector(random, c->data + i);
    if (!c->memory || c->address < SANDBOX_DATA || c->address > SANDBOX_DATA + SANDBOX_BYTES - EDGE)
        return;
    uint8_t *at = c->data + (c->address - SANDBOX_DATA);
    for (unsigned i = 0; i < EDGE; i += 16)
        corner_vector(random, at + i);
    if (is_mnemonic(&opcode_rows[c->insn.row], "cmpxchg") && chance(random, 50)) {
        unsigned half = c->insn.size == SIZE_64 ? 8 : 4;
        memcpy(at, &c->state.regs[RAX], 8);
        if (opcode_rows[c->insn.row].opcode == 0xc7)
            memcpy(at + half, &c->state.regs[RDX], half);
    }
}

/* --- shifts */
static unsigned shift_count(const struct exec_case *c)
{
    const struct opcode_row *row = &opcode_rows[c->insn.row];
    unsigned count = (unsigned)c->insn.imm;
    for (unsigned i = 0; i < 3; i++) {
        if (row->operand[i] == O_CL)
            count = (uint8_t)c->state.regs[RCX];
        if (row->operand[i] == O_1)
            count = 1;
    }
    return count & (c->insn.size == SIZE_64 ? 63 : 31);
}

/* SHLD and SHRD by more than the operand's size: the result is undefined. */
static bool is_shifted_out(const struct exec_case *c)
{
    static const char *const names[] = {"shld", "shrd"};
    return is_named(&opcode_rows[c->insn.row], names, ARRAY_LENGTH(names)) &&
           shift_count(c) > 8u << c->insn.size;
}

/* A branch to itself: the host would go round until it leaves. */
static bool is_endless(const struct exec_case *c)
{
    return has_operand(&opcode_rows[c->insn.row], O_Jb, O_Jz) && c->insn.imm + c->insn.length == 0;
}

/* --- gathers: small indices, mostly, from a base near the beginning of the data */
static void put_index(struct exec_case *c, unsigned n, unsigned bytes, uint64_t value)
{
    const unsigned at = n * bytes;
    uint8_t *vector = at < 16 ? c->state.fx.xmm[c->insn.index] : c->state.upper[c->insn.index];
    memcpy(vector + (at & 15), &value, bytes);
}

static bool make_indices(struct exec_case *c, struct random *random)
{
    const struct insn *insn = &c->insn;
    const unsigned bytes = opcode_rows[insn->row].opcode & 1 ? 8 : 4;
    if (insn->base == REG_ZERO)
        return false;
    const uint64_t base = SANDBOX_DATA + 0x400 + pick(random, 64) - (uint64_t)(int64_t)insn->disp;
    c->state.regs[insn->base] = c->code_64 ? base : (uint32_t)base;
    for (unsigned n = 0; n < 32 / bytes; n++) {
        int64_t index = (int64_t)pick(random, chance(random, 80) ? 0x340 : 0x480) - 0x40;
        if (chance(random, 2))
            index = -index;
        put_index(c, n, bytes, (uint64_t)index);
    }
    return true;
}

/* --- the case */
bool exec_case_make(struct exec_case *c, unsigned number, bool code_64,
                    const struct feature_set *features, struct random *random)
{
    const struct opcode_row *row = &opcode_rows[number];
    uint32_t mode = (code_64 ? CODE_64 : CODE_32) | MODE_PROTECTED | MODE_OSFXSR;
    c->code_64 = code_64;
    put_instruction(c, row, random);
    if (decode(c->bytes, INSN_LENGTH_MAX, mode, features, &c->insn) != DECODE_OK ||
        c->insn.row != number)
        return false;
    put_immediate(c, row, random);
    if (decode(c->bytes, INSN_LENGTH_MAX, mode, features, &c->insn) != DECODE_OK ||
        c->insn.row != number)
        return false;
    make_registers(c, row, random);
    c->gathers = row->operand[1] == O_MV;
    c->memory = c->insn.memory && !c->gathers;
    if (c->memory) {
        aim(c, row, make_target(row, random), random);
        c->address = effective_address(c);
        bool touches = strcmp(row->mnemonic, "lea") && row->operand[0] != O_NONE;
        if (touches && !is_harmless(c->address))
            return false;
    }
    if (!is_harmless(c->state.regs[RSP]) || is_shifted_out(c) || is_endless(c))
        return false;
    if (!code_64)
        for (unsigned i = 0; i < 16; i++)
            c->state.regs[i] = i < 8 ? (uint32_t)c->state.regs[i] : 0;
    c->state.eflags = 0x202 | ((uint32_t)random_next(random) & (F_ARITH | F_DF));
    make_x87(random, &c->state.fx, row->attributes & A_MMX);
    make_sse(random, &c->state.fx);
    make_upper(random, &c->state, features);
    make_data(c, random);
    if (c->gathers && !make_indices(c, random))
        return false;
    return true;
}

/* --- what is undefined */
uint32_t exec_case_undefined_flags(const struct exec_case *c)
{
    static const char *const shifts[] = {"shl", "shr", "sar", "shld", "shrd", "sal"};
    static const char *const rotates[] = {"rol", "ror", "rcl", "rcr"};
    const struct opcode_row *row = &opcode_rows[c->insn.row];
    unsigned bits = 8u << c->insn.size, count = shift_count(c);
    bool shift = is_named(row, shifts, ARRAY_LENGTH(shifts));
    if (!shift && !is_named(row, rotates, ARRAY_LENGTH(rotates)))
        return row->flags_undefined;
    if (count == 0)
        return 0;
    uint32_t undefined = shift ? F_AF : 0;
    if (count != 1)
        undefined |= F_OF;
    if (shift && count > bits)
        undefined |= F_ARITH; /* SHLD, SHRD */
    if (shift && count >= bits && strcmp(row->mnemonic, "sar"))
        undefined |= F_CF;
    return undefined;
}

uint16_t exec_case_undefined_codes(const struct exec_case *c)
{
    enum { C1 = 0x200, C0_C3 = 0x4100, ALL = 0x4700 };
    static const char *const all[] = {"ffree", "ffreep"};
    static const char *const c1[] = {"fcomi", "fcomip", "fucomi", "fucomip"};
    const struct opcode_row *row = &opcode_rows[c->insn.row];
    if (is_named(row, all, ARRAY_LENGTH(all)) || is_mnemonic(row, "fcmov"))
        return ALL;
    /* AMD's processors leave them for a quotient of 0, which the SDM has in C3, C1, C0. */
    if (is_mnemonic(row, "fprem"))
        return C0_C3;
    /* SDM: cleared; AMD's processors leave it. */
    return is_named(row, c1, ARRAY_LENGTH(c1)) ? C1 : 0;
}
