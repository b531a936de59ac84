/* LOCK in translated code: kept where other processors see the memory, left out where there are
 * none; either way instructions with it end as the interpreter's do. */
#include "tests/both_engines.h"
#include "translate/disassemble.h"

enum { CODE_AT = 0x20000, DATA_AT = 0x30000, ROUNDS = 40, LOCKED = 15 };

GUEST_CODE(locked, ".code64\n"
                   "1: lock add dword ptr [rdi], 3\n"
                   "lock sub word ptr [rdi + 0x10], ax\n"
                   "lock inc byte ptr [rdi + 0x20]\n"
                   "lock dec qword ptr [rdi + 0x28]\n"
                   "lock not dword ptr [rdi + 0x30]\n"
                   "lock neg dword ptr [rdi + 0x38]\n"
                   "lock xadd qword ptr [rdi + 0x40], rbx\n"
                   "lock adc qword ptr [rdi + 0x48], r9\n"
                   "lock or [rdi + rbp * 8 + 0x50], rsi\n"
                   "lock cmpxchg [rdi + 0x58], ebp\n"
                   "lock cmpxchg8b [rdi + 0x60]\n"
                   "lock cmpxchg16b [rdi + 0x70]\n"
                   "lock bts dword ptr [rdi + 0x80], 5\n"
                   "lock btc [rdi + 0x88], ecx\n"
                   "lock bts qword ptr [rdi + 0x100], rbp\n"
                   "adc rax, rbx\n"
                   "dec ecx\n jnz 1b\n hlt\n");
GUEST_CODE(exchanges, ".code64\n"
                      "1: xchg [rdi], rbx\n"
                      "xchg [rdi + 0x10], ax\n"
                      "xchg [rdi + 0x20], dl\n"
                      "xchg [rdi + 0x30], dh\n"
                      "xchg [rdi + 0x38], esi\n"
                      "xchg [rdi + rbp * 8 + 0x40], r8\n"
                      "xchg [rdi + 0x48], r9\n"
                      "xchg [rdi + rbp * 8 + 0x50], r10\n"
                      "xchg [rdi + 0x58], rdi\n mov rdi, 0x30000\n"
                      "add rbx, rsi\n adc rdx, r9\n"
                      "dec ecx\n jnz 1b\n hlt\n");

static void load_locked(struct rig *rig)
{
    rig_load(rig, CODE_AT, locked);
}
static void load_exchanges(struct rig *rig)
{
    rig_load(rig, CODE_AT, exchanges);
}

static void run(struct rig *rig)
{
    rig_long(rig, CODE_AT, 0);
    for (unsigned reg = 0; reg < 16; reg++)
        if (reg != RSP)
            rig->cpu->regs[reg] = UINT64_C(0x123456789abcdef) * (reg + 1);
    rig->cpu->regs[RDI] = DATA_AT;
    rig->cpu->regs[RBP] = 7;
    rig->cpu->regs[RCX] = ROUNDS;
    cr_assert_eq(cpu_run(rig->cpu), CPU_EXIT_HALTED);
}

/* Of the block at CODE_AT: how many instructions of its hot code have `word` in their text? */
static unsigned count_in_code(struct rig *rig, const char *word)
{
    struct disassembler *disassembler;
    char text[DISASSEMBLY_TEXT];
    unsigned found = 0;
    const struct block *block = block_at(rig->cpu, CODE_AT, rig->cpu->mode);
    cr_assert(block && block->translation);
    const struct translated *translation = block->translation;
    cr_assert_eq(disassembler_new(&disassembler, NULL), 0);
    for (unsigned at = 0; at < translation->bytes;) {
        const uint8_t *code = translation->code + at;
        at += disassemble(disassembler, CODE_64, code, translation->bytes - at, 0, text);
        found += strstr(text, word) != NULL;
    }
    disassembler_free(disassembler);
    return found;
}

static void check(void (*load)(struct rig *rig), enum windows_use windows, bool shared,
                  const char *word, unsigned wanted)
{
    struct engines engines;
    struct error error;
    const struct translate_options options = {.threshold = 1, .windows = windows, .shared = shared};
    engines_init(&engines, windows, load);
    translator_detach(engines.translated.cpu);
    cr_assert_eq(translator_attach(engines.translated.cpu, &options, &error), 0, "%s", error.text);
    run(&engines.interpreted);
    run(&engines.translated);
    engines_check_same(&engines, 0);
    for (uint32_t at = DATA_AT; at < DATA_AT + 0x200; at += 8)
        cr_expect_eq(rig_peek(&engines.interpreted, at, 8), rig_peek(&engines.translated, at, 8),
                     "%s, memory at %x", word, at);
    cr_expect_eq(count_in_code(&engines.translated, word), wanted, "%s, %s", word,
                 shared ? "shared" : "alone");
    engines_free(&engines);
}

Test(translate_locked, lock_is_kept_where_others_see_the_memory)
{
    /* The bit strings by a register are left to the interpreter then. */
    check(load_locked, WINDOWS_OFF, true, "lock ", LOCKED - 2);
    check(load_locked, WINDOWS_ALWAYS, true, "lock ", LOCKED - 2);
    check(load_exchanges, WINDOWS_OFF, true, "xchg q", 5);
}

Test(translate_locked, a_processor_alone_needs_none)
{
    check(load_locked, WINDOWS_OFF, false, "lock ", 0);
    check(load_locked, WINDOWS_ALWAYS, false, "lock ", 0);
    /* Those of registers without a home stay. */
    check(load_exchanges, WINDOWS_OFF, false, "xchg q", 2);
    check(load_exchanges, WINDOWS_ALWAYS, false, "xchg q", 2);
}
