/* What the translator's options do to the way that blocks are entered, by exact counts. */
#include "tests/rig.h"
#include "translate/translated.h"

enum { CODE_AT = 0x20000, ROUNDS = 100, BLOCKS = 5, INSTRUCTIONS = 2 + 5 * ROUNDS };

GUEST_CODE(counts_down, ".code64\n mov ecx, 100\n1: call 2f\n dec ecx\n jnz 1b\n hlt\n"
                        "2: add rax, 1\n ret\n");
/* The same by an indirect call. */
GUEST_CODE(counts_by_pointer, ".code64\n mov ecx, 100\n1: call rbx\n dec ecx\n jnz 1b\n hlt\n"
                              ".skip 20, 0x90\n add rax, 1\n ret\n");

struct counts {
    uint64_t entered, links, translated;
};

static struct counts run(const uint8_t *start, const uint8_t *end,
                         const struct translate_options *options)
{
    struct rig rig;
    struct error error;
    rig_init(&rig);
    cr_assert_eq(translator_attach(rig.cpu, options, &error), 0, "%s", error.text);
    rig.cpu->one_insn_per_block = options->one_insn_per_block;
    physmem_write(&rig.physmem, GPA(CODE_AT), start, (size_t)(end - start));
    rig_long(&rig, CODE_AT, 0);
    rig.cpu->regs[RSP] = 0x30000;
    rig.cpu->regs[RAX] = 0;
    rig.cpu->regs[RBX] = CODE_AT + (uint64_t)(end - start) - 5; /* ADD RAX, 1 and RET */
    cr_assert_eq(cpu_run(rig.cpu), CPU_EXIT_HALTED);
    cr_assert_eq(rig.cpu->regs[RAX], ROUNDS);
    cr_assert_eq(rig.cpu->instructions, INSTRUCTIONS);
    const struct translator *translator = translator_of(rig.cpu);
    const struct counts counts = {rig.cpu->native.entered, translator->count.links,
                                  translator->count.translated};
    translator_detach(rig.cpu);
    rig_free(&rig);
    return counts;
}

static const struct {
    const char *name;
    const uint8_t *start, *end;
} programs[] = {
    {"direct", counts_down_start, counts_down_end},
    {"by pointer", counts_by_pointer_start, counts_by_pointer_end},
};

static struct counts run_program(unsigned program, struct translate_options options)
{
    options.threshold = 1;
    options.count = true;
    return run(programs[program].start, programs[program].end, &options);
}

Test(switches, blocks_lead_to_each_other)
{
    for (unsigned i = 0; i < ARRAY_LENGTH(programs); i++) {
        struct counts counts = run_program(i, (struct translate_options){0});
        cr_assert_lt(counts.entered, 4 * BLOCKS, "%s", programs[i].name);
        cr_assert_gt(counts.links, 0, "%s", programs[i].name);
        cr_assert_eq(counts.translated, BLOCKS, "%s", programs[i].name);
    }
}

/* The first block, and 100 times the function and what follows the call, 99 times the call again,
 * and the HLT. */
Test(switches, no_chain_enters_each_block_anew)
{
    for (unsigned i = 0; i < ARRAY_LENGTH(programs); i++) {
        struct counts counts = run_program(i, (struct translate_options){.no_chain = true});
        cr_assert_eq(counts.entered, 3 * ROUNDS + 1, "%s: %llu", programs[i].name,
                     (unsigned long long)counts.entered);
        cr_assert_eq(counts.links, 0, "%s", programs[i].name);
    }
}

Test(switches, one_instruction_a_block)
{
    for (unsigned i = 0; i < ARRAY_LENGTH(programs); i++) {
        struct counts counts = run_program(
            i, (struct translate_options){.no_chain = true, .one_insn_per_block = true});
        cr_assert_eq(counts.entered, INSTRUCTIONS, "%s: %llu", programs[i].name,
                     (unsigned long long)counts.entered);
        cr_assert_eq(counts.translated, 7, "%s", programs[i].name);
    }
}

Test(switches, only_so_many_blocks_are_translated)
{
    for (unsigned limit = 1; limit <= BLOCKS; limit++)
        for (unsigned i = 0; i < ARRAY_LENGTH(programs); i++)
            cr_assert_eq(run_program(i, (struct translate_options){.limit = limit}).translated,
                         limit, "%s", programs[i].name);
}
