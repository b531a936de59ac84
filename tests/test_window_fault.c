/* What a fault in a window leaves: the guest's flags that are only in EFLAGS, an access that goes
 * on, sites that would fault for ever, and the signals of others.
 */
#include "tests/window_rig.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

PROGRAM_64(runs_64,
           "mov rax, [rsi]\n mov rcx, [rsi + 8]\n mov rdx, [rsi + 0x800]\n mov rbx, [rsi + 0xff8]\n"
           "mov r12, [rsi - 0x800]\n mov r13, [rsi + 4]\n mov [rsi + 0x801], r14\n mov r14, [rsi]\n"
           "add [rsi + 0x10], rax\n mov ebp, [rsi + 0x18]\n mov [rsi + 0x900], rbp");

/* One fault in the middle of a run of accesses costs no more than itself: what the slow path
 * destroys is there again. */
Test(window_fault, a_run_of_accesses_goes_on_after_a_fault)
{
    static const struct program program = P64(runs, .stays = true);
    struct pair pair;
    pair_init(&pair);
    load(&pair, &program);
    const struct translator *translator = translator_of(pair.translated.rig.cpu);
    struct start start = plain_start(true);
    for (unsigned i = 0; i < 4; i++)
        cr_assert(run(&pair, &start, true));
    for (unsigned absent = 1; absent < 3; absent++) {
        start.pages[absent] = ABSENT;
        const uint64_t faults = translator->count.window_faults;
        cr_assert(run(&pair, &start, true));
        start.pages[absent] = PLAIN;
        /* each of three pages is put in, one of them after the guest's fault */
        cr_expect_eq(translator->count.window_faults - faults, 4, "%llu",
                     (unsigned long long)(translator->count.window_faults - faults));
    }
    pair_free(&pair);
}

/* --- flags that are only in EFLAGS when an access faults */

struct flags_case {
    struct program program;
    uint32_t flags; /* in the frame of the first fault */
};

/* rsi: an absent page; rdi: one that is read-only */
PROGRAM_64(cmp_load_64, "mov eax, 5\n cmp eax, 5\n mov rcx, [rsi]");
PROGRAM_64(add_load_64, "mov eax, -1\n add eax, 1\n mov rcx, [rsi]\n adc ecx, ecx");
PROGRAM_64(inc_store_64, "mov eax, 0x7fffffff\n stc\n inc eax\n mov [rdi], eax\n adc ecx, ecx");
PROGRAM_64(shl_store_64, "mov eax, 0xc0000000\n shl eax, 1\n mov [rdi], eax\n adc ecx, ecx");
PROGRAM_64(sub_push_64, "mov eax, 3\n sub eax, 5\n mov rsp, rsi\n push rax\n sbb ecx, ecx");
PROGRAM_64(sub_pop_64, "mov eax, 3\n sub eax, 5\n mov rsp, rsi\n pop rax\n sbb ecx, ecx");
PROGRAM_64(sub_call_64, "mov eax, 3\n sub eax, 5\n mov rsp, rdi\n call 1f\n1: sbb ecx, ecx");
PROGRAM_64(sub_ret_64, "mov eax, 3\n sub eax, 5\n mov rsp, rsi\n ret");
PROGRAM_64(adc_memory_64, "mov eax, 3\n sub eax, 5\n adc dword ptr [rdi], 1\n adc ecx, ecx");
PROGRAM_64(sbb_memory_64, "mov eax, 1\n cmp eax, 1\n stc\n sbb [rdi], rax\n sbb ecx, ecx");
PROGRAM_64(inc_memory_64, "mov eax, 3\n sub eax, 5\n inc dword ptr [rdi]\n adc ecx, ecx");
PROGRAM_64(cmp_memory_64,
           "mov eax, 3\n sub eax, 5\n cmp [rsi], eax\n jz 1f\n nop\n1: sbb ecx, ecx");
PROGRAM_64(add_memory_64, "mov eax, -1\n add eax, 1\n add [rdi], eax\n sete cl");
PROGRAM_64(xchg_memory_64, "mov eax, 3\n sub eax, 5\n xchg [rdi], ecx\n sbb edx, edx");
PROGRAM_64(cmov_memory_64, "mov eax, 3\n sub eax, 5\n cmovc ecx, [rsi]\n sbb edx, edx");
PROGRAM_64(vector_load_64, "mov eax, 3\n sub eax, 5\n movups xmm0, [rsi]\n sbb edx, edx");
PROGRAM_64(memory_flags_64, "mov eax, 3\n sub eax, 5\n mov r10, [rsi]\n sbb edx, edx");
PROGRAM_64(bts_memory_64, "mov eax, 3\n sub eax, 5\n bts [rdi], ecx\n sbb edx, edx");
PROGRAM_32(cmp_load_32, "mov eax, 5\n cmp eax, 5\n mov ecx, [esi]");
PROGRAM_32(adc_memory_32, "mov eax, 3\n sub eax, 5\n adc dword ptr [edi], 1\n adc ecx, ecx");
PROGRAM_32(sub_push_32, "mov eax, 3\n sub eax, 5\n mov esp, esi\n push eax\n sbb ecx, ecx");
PROGRAM_32(segment_32, "mov eax, 3\n sub eax, 5\n mov gs:[0x10], ecx\n sbb edx, edx");

enum { FLAGS_OF_3_SUB_5 = F_CF | F_AF | F_SF };
static const struct flags_case flags_cases[] = {
    {P64(cmp_load), F_ZF | F_PF},
    {P64(add_load), F_ZF | F_PF | F_AF | F_CF},
    {P64(inc_store), F_OF | F_SF | F_AF | F_PF | F_CF},
    {P64(shl_store, .undefined = F_AF), F_CF | F_SF | F_PF},
    {P64(sub_push), FLAGS_OF_3_SUB_5},
    {P64(sub_pop), FLAGS_OF_3_SUB_5},
    {P64(sub_call), FLAGS_OF_3_SUB_5},
    {P64(sub_ret), FLAGS_OF_3_SUB_5},
    {P64(adc_memory), FLAGS_OF_3_SUB_5},
    {P64(sbb_memory), F_ZF | F_PF | F_CF},
    {P64(inc_memory), FLAGS_OF_3_SUB_5},
    {P64(cmp_memory), FLAGS_OF_3_SUB_5},
    {P64(add_memory), F_ZF | F_PF | F_AF | F_CF},
    {P64(xchg_memory), FLAGS_OF_3_SUB_5},
    {P64(cmov_memory), FLAGS_OF_3_SUB_5},
    {P64(vector_load), FLAGS_OF_3_SUB_5},
    {P64(memory_flags), FLAGS_OF_3_SUB_5},
    {P64(bts_memory, .undefined = F_OF | F_SF | F_AF | F_PF), FLAGS_OF_3_SUB_5},
    {P32(cmp_load), F_ZF | F_PF},
    {P32(adc_memory), FLAGS_OF_3_SUB_5},
    {P32(sub_push), FLAGS_OF_3_SUB_5},
    {P32(segment), FLAGS_OF_3_SUB_5},
};

Test(window_fault, a_fault_has_the_flags_that_are_only_in_the_processor)
{
    struct pair pair;
    pair_init(&pair);
    for (unsigned n = 0; n < ARRAY_LENGTH(flags_cases); n++) {
        const struct flags_case *c = &flags_cases[n];
        load(&pair, &c->program);
        struct start start = plain_start(c->program.code_64);
        start.regs[RSI] = places[0] + PAGE_BYTES + 0x100;
        start.regs[RDI] = start.gs_base = places[0] + 2 * PAGE_BYTES + 0x100;
        for (unsigned pages = 0; pages < 8; pages++) {
            start.pages[1] = pages & 1 ? ABSENT : PLAIN;
            start.pages[2] = pages & 2 ? READ_ONLY : PLAIN;
            start.flags = pages & 4 ? F_ARITH : 0;
            cr_assert(run(&pair, &start, false), "%s", c->program.name);
            const struct frame frame = frame_of(&pair.translated);
            if (frame.words[0] == VECTOR_PF)
                cr_expect_eq((frame.words[4] ^ c->flags) & F_ARITH & ~c->program.undefined, 0,
                             "%s: flags %llx", c->program.name, (unsigned long long)frame.words[4]);
            else
                cr_expect_neq(pages & 3, 3, "%s", c->program.name);
            cr_assert(run(&pair, &start, true), "%s, and on", c->program.name);
        }
    }
    pair_free(&pair);
}

/* --- what comes between */

PROGRAM_64(
    changing_code_64,
    "mov ecx, 40\n"
    "1: mov dword ptr [rdi], 0xc3c0ff\n call rdi\n mov byte ptr [rdi + 1], 0xc8\n call rdi\n"
    "mov [rdi + 0x100], ecx\n add [rdi + 0x104], rax\n mov byte ptr [rdi + 1], 0xc0\n call rdi\n"
    "mov rdx, [rdi]\n dec ecx\n jnz 1b");
PROGRAM_32(changing_code_32,
           "mov ecx, 40\n"
           "1: mov dword ptr [edi], 0xc3c0ff\n call edi\n mov byte ptr [edi + 1], 0xc8\n call edi\n"
           "mov [edi + 0x100], ecx\n mov edx, [edi]\n dec ecx\n jnz 1b");
PROGRAM_64(
    device_64,
    "mov ecx, 40\n1: mov eax, [rdi]\n add rdx, [rdi + 8]\n mov [rdi + 4], ecx\n mov rbx, [rsi]\n"
    "dec ecx\n jnz 1b");

/* Accesses that no page in a window can serve go another way after some faults. */
Test(window_fault, code_that_is_written_and_devices_do_not_fault_for_ever)
{
    static const struct program programs[] = {P64(changing_code), P32(changing_code), P64(device)};
    struct pair pair;
    pair_init(&pair);
    const struct translator *translator = translator_of(pair.translated.rig.cpu);
    for (unsigned n = 0; n < ARRAY_LENGTH(programs); n++) {
        load(&pair, &programs[n]);
        struct start start = plain_start(programs[n].code_64);
        start.regs[RDI] = places[0] + 2 * PAGE_BYTES;
        start.pages[2] = n == 2 ? DEVICE : PLAIN;
        const uint64_t adapted = translator->count.adapted;
        uint64_t faults = 0;
        for (unsigned i = 0; i < 6; i++) {
            faults = translator->count.window_faults;
            cr_assert(run(&pair, &start, false), "%s", programs[n].name);
            start.keeps_pages = true;
        }
        cr_expect_gt(translator->count.adapted, adapted, "%s", programs[n].name);
        cr_expect_leq(translator->count.window_faults - faults, 2, "%s: %llu", programs[n].name,
                      (unsigned long long)(translator->count.window_faults - faults));
    }
    pair_free(&pair);
}

PROGRAM_64(touches_64,
           "mov rax, [rsi]\n mov [rsi + 1], eax\n add [rdi + 3], rcx\n mov rbx, [rbp + 1]");

/* A page that is in a window is there no more for who watches, or who wants alignment. */
Test(window_fault, watched_and_unaligned_accesses_trap)
{
    static const struct program program = P64(touches);
    struct pair pair;
    pair_init(&pair);
    load(&pair, &program);
    struct start start = plain_start(true);
    for (unsigned round = 0; round < 20; round++) {
        start.watched = round % 3 == 1 ? start.regs[RSI] + 2 : 0;
        start.alignment = round % 3 == 2;
        start.flags = start.alignment ? F_AC : 0;
        start.keeps_pages = round & 1;
        cr_assert(run(&pair, &start, false));
        const uint64_t vector = frame_of(&pair.translated).words[0];
        cr_expect_eq(vector,
                     start.watched     ? VECTOR_DB
                     : start.alignment ? VECTOR_AC
                                       : VECTOR_BP,
                     "round %u: vector %llu", round, (unsigned long long)vector);
    }
    pair_free(&pair);
}

/* --- faults that are no misses */

/* How a child ends that does `act` after windows have been used. */
static int status_after(struct pair *pair, void (*act)(void))
{
    const pid_t child = fork();
    if (!child) {
        const struct start start = plain_start(true);
        if (!run(pair, &start, true))
            _exit(99);
        act();
        _exit(98);
    }
    int status = 0;
    cr_assert_eq(waitpid(child, &status, 0), child);
    return status;
}

static void read_nothing(void)
{
    volatile char *volatile nothing = (volatile char *)16;
    (void)*nothing;
}

static void send_to_self(void)
{
    raise(SIGSEGV);
}

static void own_handler(int signal)
{
    _exit(42);
}

static void check_ends(bool by_handler)
{
    static const struct program program = P64(runs);
    struct pair pair;
    signal(SIGSEGV, by_handler ? own_handler : SIG_DFL); /* before windows are first used */
    pair_init(&pair);
    load(&pair, &program);
    for (unsigned i = 0; i < 2; i++) {
        const int status = status_after(&pair, i ? send_to_self : read_nothing);
        if (by_handler)
            cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 42, "%x", (unsigned)status);
        else
            cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV, "%x", (unsigned)status);
    }
    pair_free(&pair);
}

Test(window_fault, a_fault_elsewhere_kills)
{
    check_ends(false);
}

Test(window_fault, a_fault_elsewhere_goes_to_who_was_there_before)
{
    check_ends(true);
}
