/* Storms of invalidation: the mapping of code changes, or seems to, again and again; and more code
 * than the code cache holds. */
#include "tests/smc_rig.h"

#define ROUND "dec ebp\n jnz 1b\n hlt\n"

/* --- the mapping */

#define RELOADS(R)                                                                                 \
    "1: mov " R "ax, cr3\n mov cr3, " R "ax\n add ebx, ebp\n call 2f\n invlpg [" HERE(             \
        "2f") "]\n"                                                                                \
              "call 2f\n invlpg [" HERE("1b") "]\n" ROUND PAGE_2                                   \
                                              "2: add edi, ebx\n jmp 3f\n" PAGE_3                  \
                                              "3: inc edi\n ret\n"
SMC_PROGRAM_WIDE(reloads, RELOADS);

/* The page at 20000h shows one of two frames, 6000h and 7000h, which hold different code; the
 * program's own PTE lies at [ESI]. */
#define REMAPS(R)                                                                                  \
    "mov esi, [0x9000]\n"                                                                          \
    "1: mov " R "cx, 0x20000\n call " R "cx\n call " R "cx\n mov " R "cx, 0x20040\n call " R       \
    "cx\n"                                                                                         \
    "xor dword ptr [esi], 0x1000\n invlpg [0x20000]\n"                                             \
    "mov " R "cx, 0x20000\n call " R "cx\n test bp, 3\n jnz 3f\n"                                  \
    "xor byte ptr [0x6000 + 1], 0x28\n xor byte ptr [0x7041], 0x28\n 3: " ROUND PAGE_2             \
    "add bl, 5\n jmp 2f\n .skip 30, 0x90\n 2: add edi, ebx\n ret\n"                                \
    ".org 77b + 0x1040\n add bl, 7\n ret\n" PAGE_3                                                 \
    "sub bl, 3\n jmp 2f\n .skip 20, 0x90\n 2: sub edi, ebx\n ret\n"                                \
    ".org 77b + 0x2040\n add bl, 11\n ret\n"
SMC_PROGRAM_WIDE(remaps, REMAPS);

static void window_to_page_2(struct rig *rig, enum smc_mode mode)
{
    uint64_t entry = 0x6067, at = smc_pte(mode, 0x20000);
    physmem_write(&rig->physmem, GPA(at), &entry, mode == SMC_LONG ? 8 : 4);
    physmem_write(&rig->physmem, GPA(SMC_DATA), &at, 8);
}

/* An instruction that crosses into the window: its second half is in one of two frames. */
#define SPLIT(R)                                                                                   \
    "mov esi, [0x9000]\n"                                                                          \
    "1: mov " R "cx, 0x1fffe\n call " R "cx\n call " R "cx\n"                                      \
    "xor dword ptr [esi], 0x1000\n invlpg [0x20000]\n call " R "cx\n"                              \
    "test bp, 3\n jnz 3f\n inc byte ptr [0x6000]\n"                                                \
    "3: test bp, 7\n jnz 3f\n xor byte ptr [0x1ffff], 0x28\n 3: " ROUND PAGE_2                     \
    ".byte 5\n ret\n" PAGE_3 ".byte 9\n inc edi\n ret\n"
SMC_PROGRAM_WIDE(split, SPLIT);

static void window_after_add(struct rig *rig, enum smc_mode mode)
{
    static const uint8_t add[] = {0x80, 0xc3};
    window_to_page_2(rig, mode);
    physmem_write(&rig->physmem, GPA(0x1fffe), add, sizeof add);
}

/* The same with global pages, and the window's entry dropped by CR4.PGE off and on. */
#define DROPS(R)                                                                                   \
    "mov esi, [0x9000]\n mov " R "cx, 0x20000\n"                                                   \
    "1: call " R "cx\n mov " R "ax, cr3\n mov cr3, " R "ax\n call " R "cx\n"                       \
    "xor dword ptr [esi], 0x1000\n mov " R "ax, cr4\n xor al, 0x80\n mov cr4, " R "ax\n"           \
    "xor al, 0x80\n mov cr4, " R "ax\n call " R "cx\n call 2f\n" ROUND PAGE_2                      \
    "add bl, 5\n ret\n 2: inc edi\n ret\n" PAGE_3 "sub bl, 3\n ret\n"
SMC_PROGRAM_WIDE(drops, DROPS);

static void all_global(struct rig *rig, enum smc_mode mode)
{
    const unsigned bytes = mode == SMC_LONG ? 8 : 4;
    window_to_page_2(rig, mode);
    for (uint64_t page = 0; page < RIG_RAM_BYTES; page += PAGE_BYTES) {
        uint64_t entry = rig_peek(rig, smc_pte(mode, page), bytes) | 0x100;
        physmem_write(&rig->physmem, GPA(smc_pte(mode, page)), &entry, bytes);
    }
    mmu_set_cr4(&rig->cpu->mmu, rig->cpu->mmu.registers.cr4 | CR4_PGE);
    cpu_mode_changed(rig->cpu);
}

Test(smc_storm, global_pages)
{
    const struct smc_run run = {.rounds = 100, .prepare = all_global};
    smc_run_all(&reloads, &run, SMC_FLAT);
    smc_run_all(&remaps, &run, SMC_FLAT);
    smc_run_all(&drops, &run, SMC_FLAT);
}

Test(smc_storm, reloads_and_remappings)
{
    const struct smc_run plain = {.rounds = 300};
    smc_run_all(&reloads, &plain, SMC_FLAT);
    const struct smc_run window = {.rounds = 100, .prepare = window_to_page_2};
    smc_run_all(&remaps, &window, SMC_FLAT);
    const struct smc_run crossing = {.rounds = 100, .prepare = window_after_add};
    smc_run_all(&split, &crossing, SMC_FLAT);
}

/* --- the address space below */

/* 106000h is 6000h while A20 is masked. */
static uint32_t sets_a20(struct rig *rig, unsigned access, uint32_t value)
{
    mmu_set_a20(&rig->cpu->mmu, value & 1);
    return 0;
}

#define WRAPS(R)                                                                                   \
    "mov edx, 0x300\n"                                                                             \
    "1: mov eax, ebp\n out dx, al\n mov " R "cx, 0x106000\n call " R "cx\n call " R                \
    "cx\n" ROUND PAGE_2 "add bl, 5\n jmp 2f\n .skip 9, 0x90\n 2: ret\n"
SMC_PROGRAM_WIDE(wraps, WRAPS);

static void other_code_above(struct rig *rig, enum smc_mode mode)
{
    static const uint8_t code[] = {0x80, 0xeb, 3, 0xeb, 4, 0, 0, 0, 0, 0xc3}; /* sub bl, 3 … ret */
    physmem_write(&rig->physmem, GPA(0x106000), code, sizeof code);
}

/* 6000h is RAM or ROM. */
static uint8_t rom[PAGE_BYTES];

static uint32_t sets_low(struct rig *rig, unsigned access, uint32_t value)
{
    physmem_set_low(&rig->physmem, 0x6000, PAGE_BYTES,
                    value & 1 ? PHYSMEM_READ_RAM | PHYSMEM_WRITE_RAM : PHYSMEM_WRITE_RAM);
    return 0;
}

static void rom_below(struct rig *rig, enum smc_mode mode)
{
    static const uint8_t code[] = {0x80, 0xeb, 3, 0xeb, 4, 0, 0, 0, 0, 0xc3};
    memcpy(rom, code, sizeof code);
    physmem_add_rom(&rig->physmem, 0x6000, PAGE_BYTES, rom);
    physmem_set_low(&rig->physmem, 0x6000, PAGE_BYTES, PHYSMEM_READ_RAM | PHYSMEM_WRITE_RAM);
}

/* The write goes to the RAM that the ROM hides, in half of the rounds. */
#define SWITCHES(R)                                                                                \
    "mov edx, 0x300\n"                                                                             \
    "1: mov eax, ebp\n out dx, al\n mov " R "cx, 0x6000\n call " R "cx\n call " R "cx\n"           \
    "test bp, 2\n jnz 3f\n xor byte ptr [0x6001], 0x28\n 3: call " R "cx\n" ROUND PAGE_2           \
    "add bl, 5\n jmp 2f\n .skip 9, 0x90\n 2: ret\n"
SMC_PROGRAM(switches, SWITCHES);

Test(smc_storm, a20_and_shadowed_rom)
{
    const struct smc_run a20 = {.rounds = 100, .port = sets_a20, .prepare = other_code_above};
    smc_run_all(&wraps, &a20, SMC_SEGMENTED);
    const struct smc_run low = {.rounds = 100, .port = sets_low, .prepare = rom_below};
    smc_run_all(&switches, &low, SMC_REAL);
}

/* --- a code cache that is too small */

enum { LONG_CHAIN = 0x100000, SHORT_CHAIN = 0x180000, LINK_BYTES = 32 };

/* Every 32 bytes: add ebx, n; rol ebx, 1; jmp to the next or the one after that; the last returns.
 */
static void lay_chain(struct rig *rig, uint64_t at, unsigned length)
{
    for (unsigned offset = 0; offset < length; offset += LINK_BYTES) {
        uint8_t link[] = {0x81, 0xc3, 0, 0, 0, 0, 0xd1, 0xc3, 0xe9, 0, 0, 0, 0};
        bool last = offset + 3 * LINK_BYTES >= length;
        store_le32(link + 2, offset * 2654435761u);
        store_le32(link + 9, (offset % 7 ? 1 : 2) * LINK_BYTES - sizeof link);
        if (last)
            link[8] = 0xc3;
        physmem_write(&rig->physmem, GPA(at + offset), link, sizeof link);
    }
}

static void lay_chains(struct rig *rig, enum smc_mode mode)
{
    lay_chain(rig, LONG_CHAIN, 0x60000);
    lay_chain(rig, SHORT_CHAIN, 0x8000);
}

/* The short chain is linked when it is run for the second time; the long one drives it out. */
#define CHAINED(R)                                                                                 \
    "mov " R "si, 0x100000\n mov " R "di, 0x180000\n"                                              \
    "1: call " R "di\n call " R "di\n call " R "di\n call " R "si\n call " R "di\n"                \
    "test bp, 3\n jnz 2f\n inc byte ptr [0x108002]\n inc byte ptr [0x182002]\n"                    \
    "2: " ROUND
SMC_PROGRAM_WIDE(chained, CHAINED);

Test(smc_storm, translations_are_evicted_while_others_lead_to_them)
{
    static struct smc_pair pair;
    for (enum smc_mode mode = SMC_FLAT; mode < SMC_MODES; mode++)
        for (unsigned threshold = 1; threshold <= 2; threshold++) {
            const struct smc_run run = {.threshold = threshold,
                                        .cache_bytes = 2 << 20,
                                        .rounds = 12,
                                        .prepare = lay_chains};
            smc_run(&pair, &chained, mode, &run);
            cr_assert_gt(pair.evictions, 16, "%s: %d evictions", smc_mode_names[mode],
                         (int)pair.evictions);
            cr_assert_gt(pair.links_other, 5, "%d links to other pages", (int)pair.links_other);
            cr_assert_gt(pair.unlinks, 100, "%d links undone", (int)pair.unlinks);
        }
}

/* --- rewriting all the time, with the default threshold */

/* An opcode in every sixth round: the block has been executed often enough to be translated. */
#define TOGGLES(R)                                                                                 \
    "mov esi, 6\n"                                                                                 \
    "1: dec esi\n jnz 2f\n mov esi, 6\n xor byte ptr [" HERE(                                      \
        "3f") " + 1], 0x28\n"                                                                      \
              "2: inc edi\n 3: add bl, 5\n" ROUND
SMC_PROGRAM(toggles, TOGGLES);

/* Six functions, made anew in every round and called eight times each. */
#define GENERATES(R)                                                                               \
    "1: mov " R "di, 0x6000\n"                                                                     \
    "2: mov word ptr [" R "di], 0xc380\n mov eax, ebp\n mov [" R "di+2], al\n"                     \
    "mov byte ptr [" R "di+3], 0xc3\n add edi, 16\n cmp edi, 0x6060\n jb 2b\n"                     \
    "mov esi, 8\n"                                                                                 \
    "3: mov " R "di, 0x6000\n 4: call " R "di\n add edi, 16\n cmp edi, 0x6060\n jb 4b\n"           \
    "dec esi\n jnz 3b\n" ROUND
SMC_PROGRAM(generates, GENERATES);

Test(smc_storm, what_changes_all_the_time_is_left_to_the_interpreter)
{
    static struct smc_pair pair;
    for (enum smc_mode mode = SMC_REAL; mode < SMC_MODES; mode++) {
        const struct smc_run often = {.rounds = 12000}, anew = {.rounds = 1000};
        smc_run(&pair, &toggles, mode, &often);
        cr_assert_gt(pair.killed + pair.patched, 1900);
        cr_assert_lt(pair.translations, 30, "%s: %d translations", smc_mode_names[mode],
                     (int)pair.translations);
        cr_assert_lt(pair.lost, 10, "%s: %d translations lost", smc_mode_names[mode],
                     (int)pair.lost);
        smc_run(&pair, &generates, mode, &anew);
        cr_assert_gt(pair.killed + pair.patched, 5000);
        cr_assert_lt(pair.translations, 50, "%s: %d translations", smc_mode_names[mode],
                     (int)pair.translations);
    }
}
