/* Every row of the opcode table reaches the translator: in each mode where it exists, its register
 * form and its memory form, alone in a block and behind another instruction, become code. */
#include "tests/bench_cpu.h"
#include "tests/fuzz_code.h"
#include "translate/translated.h"

enum { ATTEMPTS = 4000, CODE_AT = 0x1000 };

struct table_mode {
    const char *name;
    unsigned code; /* CODE_16 … */
    void (*enter)(struct rig *rig);
};

static void enter_real(struct rig *rig)
{
    rig_real(rig, CODE_AT);
}
static void enter_v86(struct rig *rig)
{
    bench_enter_v86(rig, 3);
}
static void enter_flat(struct rig *rig)
{
    bench_enter(rig, 0);
}
/* The stack's limit lies below 4 GiB: none of the segments counts as flat. */
static void enter_segmented(struct rig *rig)
{
    bench_enter(rig, 0);
    rig->cpu->segs[SS].limit = 0xffffff;
    cpu_mode_changed(rig->cpu);
}
static void enter_long(struct rig *rig)
{
    rig_long(rig, CODE_AT, 0);
}

static const struct table_mode modes[] = {
    {"real mode", CODE_16, enter_real},   {"virtual-8086 mode", CODE_16, enter_v86},
    {"32-bit code", CODE_32, enter_flat}, {"32-bit code, not flat", CODE_32, enter_segmented},
    {"64-bit code", CODE_64, enter_long},
};

/* An instruction of the row, in the form wanted: its length, or 0 when it has no such form. */
static unsigned find_instruction(struct random *dice, const struct rig *rig, unsigned row,
                                 bool memory, uint8_t bytes[32])
{
    for (unsigned attempt = 0; attempt < ATTEMPTS; attempt++) {
        struct insn insn;
        unsigned length = fuzz_instruction(dice, &opcode_rows[row], rig->cpu->mode,
                                           &rig->model.features, bytes, &insn);
        if (length && insn.row == row && insn.memory == memory && insn.exec != exec_undefined &&
            insn.exec != exec_too_long)
            return length;
    }
    return 0;
}

/* Puts the bytes, or ADD EBX, imm8 and then the bytes, at the cpu's rip, and translates the block.
 */
static void translate_at_rip(struct rig *rig, const uint8_t *bytes, unsigned length, bool behind,
                             const char *what, const char *mode)
{
    static const uint8_t add[] = {0x83, 0xc3, 0x05};
    struct translator *translator = translator_of(rig->cpu);
    uint8_t code[64];
    unsigned first = behind ? sizeof add : 0;
    memset(code, 0x90, sizeof code);
    memcpy(code, add, first);
    memcpy(code + first, bytes, length);
    physmem_write(&rig->physmem, GPA(CODE_AT), code, sizeof code);
    struct block *block = block_find(rig->cpu, rig->cpu->rip);
    cr_assert_not_null(block, "%s in %s", what, mode);
    const uint64_t before = translator->count.translated;
    struct translated *translation = translate_block(translator, rig->cpu, block, false);
    if (!translation) {
        code_cache_advance(&translator->cache);
        translation = translate_block(translator, rig->cpu, block, false);
    }
    cr_assert_not_null(translation, "%s in %s is not translated", what, mode);
    cr_assert_eq(translator->count.translated, before + 1);
    cr_assert_gt(translation->bytes, 0);
    cr_assert_leq(translation->exit_count, EXITS_MAX);
    block_kill_all(rig->cpu);
}

static void translate_row(struct rig *rig, struct random *dice, unsigned row,
                          const struct table_mode *mode, unsigned *forms)
{
    for (unsigned memory = 0; memory < 2; memory++) {
        uint8_t bytes[32];
        unsigned length = find_instruction(dice, rig, row, memory, bytes);
        if (!length)
            continue;
        ++*forms;
        for (unsigned behind = 0; behind < 2; behind++)
            translate_at_rip(rig, bytes, length, behind, opcode_rows[row].id, mode->name);
    }
}

static bool row_exists(const struct rig *rig, unsigned row, unsigned code)
{
    return opcode_rows[row].modes & (code == CODE_64 ? X_64 : X_LEGACY) &&
           feature_has(&rig->model.features, opcode_rows[row].feature);
}

Test(translate_table, every_row_is_translated)
{
    struct rig rig;
    struct error error;
    struct random dice = {0x1234567};
    const struct translate_options options = {.threshold = 1, .cache_bytes = 8 << 20};
    unsigned total = 0;
    rig_init(&rig);
    bench_tables(&rig);
    cr_assert_eq(translator_attach(rig.cpu, &options, &error), 0, "%s", error.text);
    for (unsigned row = 0; row < OPCODE_COUNT; row++) {
        unsigned forms[2] = {0, 0}; /* in 64-bit code, in other code */
        for (unsigned i = 0; i < ARRAY_LENGTH(modes); i++)
            if (row_exists(&rig, row, modes[i].code)) {
                modes[i].enter(&rig);
                mmu_set_cr4(&rig.cpu->mmu, rig.cpu->mmu.registers.cr4 | CR4_OSFXSR | CR4_OSXSAVE);
                rig.cpu->xcr0 = XCR0_X87 | XCR0_VECTORS;
                cpu_mode_changed(rig.cpu);
                translate_row(&rig, &dice, row, &modes[i], &forms[modes[i].code != CODE_64]);
            }
        for (unsigned other = 0; other < 2; other++)
            cr_assert(forms[other] || !row_exists(&rig, row, other ? CODE_32 : CODE_64),
                      "no instruction of %s found in %s code", opcode_rows[row].id,
                      other ? "16- or 32-bit" : "64-bit");
        total += forms[0] + forms[1];
    }
    cr_assert_gt(total, 3 * OPCODE_COUNT);
    translator_detach(rig.cpu);
    rig_free(&rig);
}

/* What the table promises of sensitive instructions; the compiler checks it too (cpu/opcodes.c). */
Test(translate_table, no_sensitive_row_is_copied)
{
    unsigned sensitive = 0;
    for (unsigned row = 0; row < OPCODE_COUNT; row++) {
        const struct opcode_row *r = &opcode_rows[row];
        if (!(r->attributes & A_SENSITIVE))
            continue;
        sensitive++;
        cr_assert(r->policy_register != IDENTICAL && r->policy_memory != IDENTICAL &&
                      r->policy_memory != MEMORY,
                  "%s", r->id);
    }
    cr_assert_gt(sensitive, 20);
}
