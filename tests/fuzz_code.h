/* Random machine code in which every row of the opcode table turns up. */
#ifndef TESTS_FUZZ_CODE_H
#define TESTS_FUZZ_CODE_H

#include "cpu/decode.h"
#include "cpu/msr.h"
#include "tests/exec_alone.h"
#include "conform/vex_bytes.h"

enum { FUZZ_CODE_MAX = 48, FUZZ_BYTES_MAX = FUZZ_CODE_MAX * 3 * INSN_LENGTH_MAX + 16 };

struct fuzz_code {
    uint8_t bytes[FUZZ_BYTES_MAX];
    unsigned length;
    uint64_t at;  /* where the program was put */
    bool repeats; /* it holds a repeated instruction */
    unsigned count;
    uint16_t starts[FUZZ_CODE_MAX * 3];
};

static inline unsigned fuzz_pick(struct random *dice, unsigned count)
{
    return (unsigned)((random_next(dice) >> 32) % count);
}

static inline bool fuzz_chance(struct random *dice, unsigned percent)
{
    return fuzz_pick(dice, 100) < percent;
}

static inline uint8_t fuzz_modrm(struct random *dice, const struct opcode_row *row)
{
    uint8_t modrm = (uint8_t)(random_next(dice) >> 32);
    if (row->operand[1] == O_MV)
        return (modrm & 0x78) | 4; /* SIB */
    switch (row->modrm & 0xf00) {
    case M_REG:
        return modrm | 0xc0;
    case M_MEM:
        return modrm & 0xc0 ? modrm & 0x7f : modrm;
    case M_DIGIT:
        return (uint8_t)((modrm & 0xc7) | (row->modrm & 7) << 3);
    case M_REG_DIGIT:
        return (uint8_t)((modrm & 7) | 0xc0 | (row->modrm & 7) << 3);
    case M_MEM_DIGIT:
        return (uint8_t)((modrm & 0x47) | (row->modrm & 7) << 3);
    case M_EXACT:
        return (uint8_t)row->modrm;
    default:
        return modrm;
    }
}

static inline unsigned fuzz_prefixes(struct random *dice, const struct opcode_row *row,
                                     uint8_t *bytes, bool code_64)
{
    static const uint8_t any[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3};
    unsigned at = 0;
    while (fuzz_chance(dice, 12) && at < 4)
        bytes[at++] = any[fuzz_pick(dice, ARRAY_LENGTH(any))];
    if (map_is_vex(row->map))
        return at + vex_put(bytes + at, row, code_64, (uint32_t)(random_next(dice) >> 32));
    if (row->attributes & (A_REP | A_REPZ) && fuzz_chance(dice, 50))
        bytes[at++] = 0xf2 | fuzz_pick(dice, 2);
    if (row->attributes & A_LOCK && fuzz_chance(dice, 15))
        bytes[at++] = 0xf0;
    if (row->prefix == P_66)
        bytes[at++] = 0x66;
    if (row->prefix == P_F3 || row->prefix == P_F2)
        bytes[at++] = row->prefix == P_F3 ? 0xf3 : 0xf2;
    if (code_64 && fuzz_chance(dice, 45))
        bytes[at++] = (uint8_t)(0x40 | fuzz_pick(dice, 16));
    return at;
}

/* One instruction of `row` as it decodes in `mode`: its length. */
static inline unsigned fuzz_instruction(struct random *dice, const struct opcode_row *row,
                                        uint32_t mode, const struct feature_set *features,
                                        uint8_t bytes[32], struct insn *insn)
{
    for (unsigned i = 0; i < 32; i += 8)
        store_le64(bytes + i, random_next(dice));
    unsigned at = fuzz_prefixes(dice, row, bytes, (mode & MODE_CODE) == CODE_64);
    if (row->map != MAP_1 && !map_is_vex(row->map))
        bytes[at++] = 0x0f;
    if (row->map == MAP_0F38 || row->map == MAP_0F3A)
        bytes[at++] = row->map == MAP_0F38 ? 0x38 : 0x3a;
    bytes[at++] = row->opcode;
    if (row->operand[0] == O_Zb || row->operand[0] == O_Zv || row->operand[1] == O_Zv)
        bytes[at - 1] |= (uint8_t)fuzz_pick(dice, 8);
    if (row->modrm != M_NONE)
        bytes[at++] = fuzz_modrm(dice, row);
    /* Displacements that stay in the neighbourhood of the data, mostly. */
    if (fuzz_chance(dice, 70))
        store_le64(bytes + at, random_next(dice) & (fuzz_chance(dice, 50) ? 0x7f : 0x3007f));
    if (decode(bytes, INSN_LENGTH_MAX, mode, features, insn) == DECODE_TRUNCATED)
        return 0;
    return insn->length;
}

static inline void fuzz_append(struct fuzz_code *code, const uint8_t *bytes, unsigned length)
{
    code->starts[code->count++] = (uint16_t)code->length;
    memcpy(code->bytes + code->length, bytes, length);
    code->length += length;
}

/* mov ecx, a register that exists; wrmsr, or now and then rdmsr. */
static inline void fuzz_append_msr(struct random *dice, struct fuzz_code *code)
{
    static const uint32_t known[] = {
        MSR_TSC,
        MSR_APIC_BASE,
        MSR_SYSENTER_CS,
        MSR_SYSENTER_ESP,
        MSR_MCG_STATUS,
        MSR_SYSENTER_EIP,
        MSR_MISC_ENABLE,
        MSR_DEBUGCTL,
        MSR_PAT,
        MSR_MTRR_FIX64K,
        MSR_MTRR_PHYS_BASE0,
        MSR_MTRR_DEF_TYPE,
        MSR_MC0_CTL,
        MSR_TSC_DEADLINE,
        MSR_X2APIC_FIRST + 0x8,
        MSR_MTRR_PHYS_MASK7,
        MSR_EFER,
        MSR_STAR,
        MSR_LSTAR,
        MSR_CSTAR,
        MSR_SFMASK,
        MSR_FS_BASE,
        MSR_GS_BASE,
        MSR_KERNEL_GS_BASE,
        MSR_TSC_AUX,
    };
    uint8_t bytes[] = {0xb9, 0, 0, 0, 0, 0x31, 0xd2, 0x0f, fuzz_chance(dice, 80) ? 0x30 : 0x32};
    store_le32(bytes + 1, known[fuzz_pick(dice, ARRAY_LENGTH(known))]);
    if (fuzz_chance(dice, 30))
        bytes[6] = 0xc0; /* xor eax, eax, and edx as it was */
    fuzz_append(code, bytes, sizeof bytes);
}

/* A comparison and the branch that tests it: what the block cache runs as one. */
static inline void fuzz_append_pair(struct random *dice, struct fuzz_code *code, uint32_t mode,
                                    const struct feature_set *features)
{
    static const uint8_t opcodes[] = {0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x80, 0x81, 0x83, 0x84,
                                      0x85, 0xa8, 0xa9, 0x29, 0x2b, 0x21, 0xf6, 0xf7, 0x01, 0xff};
    uint8_t bytes[32];
    struct insn insn;
    unsigned at = 0;
    for (unsigned i = 0; i < 32; i += 8)
        store_le64(bytes + i, random_next(dice) & 0x7f7f7f7f7f7f7f7f);
    if (fuzz_chance(dice, 10))
        bytes[at++] = 0x66;
    if ((mode & MODE_CODE) == CODE_64 && fuzz_chance(dice, 50))
        bytes[at++] = (uint8_t)(0x40 | fuzz_pick(dice, 16));
    bytes[at++] = opcodes[fuzz_pick(dice, ARRAY_LENGTH(opcodes))];
    bytes[at] = (uint8_t)(random_next(dice) >> 40);
    if (decode(bytes, INSN_LENGTH_MAX, mode, features, &insn) != DECODE_OK)
        return;
    fuzz_append(code, bytes, insn.length);
    uint8_t branch[] = {(uint8_t)(0x70 | fuzz_pick(dice, 16)), 0};
    fuzz_append(code, branch, sizeof branch);
}

/* Points most relative branches at the starts of instructions: ahead, seldom back. */
static inline void fuzz_aim_branches(struct random *dice, struct fuzz_code *code, uint32_t mode,
                                     const struct feature_set *features)
{
    for (unsigned n = 0; n < code->count; n++) {
        struct insn insn;
        uint8_t *bytes = code->bytes + code->starts[n];
        if (decode(bytes, INSN_LENGTH_MAX, mode, features, &insn) != DECODE_OK)
            continue;
        const uint8_t *operand = opcode_rows[insn.row].operand;
        bool near = operand[0] == O_Jz, is_short = operand[0] == O_Jb;
        if ((!near && !is_short) || fuzz_chance(dice, 5))
            continue;
        unsigned target =
            fuzz_chance(dice, 12) ? fuzz_pick(dice, code->count) : n + 1 + fuzz_pick(dice, 4);
        unsigned to = target < code->count ? code->starts[target] : code->length;
        int distance = (int)to - (int)(code->starts[n] + insn.length);
        if (is_short && distance >= -128 && distance < 128)
            bytes[insn.length - 1] = (uint8_t)distance;
        else if (near && insn.size == SIZE_16)
            store_le16(bytes + insn.length - 2, (uint16_t)distance);
        else if (near)
            store_le32(bytes + insn.length - 4, (uint32_t)distance);
    }
}

/* `count` instructions for `mode`, then HLT and an undefined one. */
static inline void fuzz_make_code(struct random *dice, struct fuzz_code *code, uint32_t mode,
                                  const struct feature_set *features, unsigned count)
{
    static const uint8_t end[] = {0xf4, 0x0f, 0x0b};
    *code = (struct fuzz_code){0};
    /* Half of the programs draw from few rows, so that they get further than to the first fault. */
    bool tame = fuzz_chance(dice, 60);
    while (code->count < count) {
        uint8_t bytes[32];
        struct insn insn;
        const struct opcode_row *row = &opcode_rows[fuzz_pick(dice, OPCODE_COUNT)];
        unsigned special = fuzz_pick(dice, 100);
        if (special < 20) {
            fuzz_append_pair(dice, code, mode, features);
            continue;
        }
        if (special < 22) {
            fuzz_append_msr(dice, code);
            continue;
        }
        if (tame && (row->attributes & A_SENSITIVE || row->privilege != PRIV_ANY ||
                     (row->attributes & A_END && !(row->attributes & A_BRANCH))))
            continue;
        unsigned length = fuzz_instruction(dice, row, mode, features, bytes, &insn);
        if (!length || (tame && insn.exec == exec_undefined))
            continue;
        code->repeats |= insn.rep && row->attributes & (A_REP | A_REPZ);
        fuzz_append(code, bytes, length);
    }
    fuzz_aim_branches(dice, code, mode, features);
    fuzz_append(code, end, sizeof end);
}

#endif
