/* Code that rewrites itself: the interpreter against the translator.
 *
 * A loop toggles an instruction of its own between ADD and SUB once in so many rounds, with a call
 * to another page in each.  A row a period: rewrites a second by either engine, how many times
 * faster the translator gets on, and what it threw away for it.  `meson test --benchmark` runs it.
 */
#include "tests/rig.h"
#include "translate/translated.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { REPETITIONS = 3, CODE = 0x20000, CODE_BYTES = 0x2000 };

/* RCX: rounds in all; RSI: rounds from one rewrite to the next. */
GUEST_CODE(toggles, ".code64\n"
                    "77: mov edi, esi\n"
                    "1: dec edi\n jnz 2f\n mov edi, esi\n"
                    "xor byte ptr [0x20000 + 3f - 77b + 1], 0x28\n"
                    "2: call 4f\n xor eax, ebx\n"
                    "3: add bl, 5\n"
                    "dec rcx\n jnz 1b\n hlt\n"
                    ".org 77b + 0x1000\n"
                    "4: push rbx\n lea edx, [rdx+rax*4+1]\n pop rbx\n ret\n");
/* The same with the immediate, which the interpreter takes over without decoding the block anew. */
GUEST_CODE(counts, ".code64\n"
                   "77: mov edi, esi\n"
                   "1: dec edi\n jnz 2f\n mov edi, esi\n"
                   "mov [0x20000 + 3f - 77b + 2], cl\n"
                   "2: call 4f\n xor eax, ebx\n"
                   "3: add bl, 5\n"
                   "dec rcx\n jnz 1b\n hlt\n"
                   ".org 77b + 0x1000\n"
                   "4: push rbx\n lea edx, [rdx+rax*4+1]\n pop rbx\n ret\n");

struct result {
    double seconds;
    uint64_t translations, killed;
};

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static struct result run(const uint8_t *code, const uint8_t *end, bool translated, uint64_t rounds,
                         uint64_t period)
{
    static const struct translate_options options;
    struct result best = {.seconds = 1e9};
    for (unsigned n = 0; n < REPETITIONS; n++) {
        struct rig rig;
        struct error error;
        rig_init(&rig);
        if (translated && translator_attach(rig.cpu, &options, &error) < 0)
            abort();
        physmem_write(&rig.physmem, GPA(CODE), code, (size_t)(end - code));
        rig_long(&rig, CODE, 0);
        rig.cpu->regs[RCX] = rounds;
        rig.cpu->regs[RSI] = period;
        double start = now();
        if (cpu_run(rig.cpu) != CPU_EXIT_HALTED)
            abort();
        double seconds = now() - start;
        if (seconds < best.seconds)
            best = (struct result){.seconds = seconds, .killed = rig.cpu->count.blocks_killed};
        if (translated)
            best.translations = translator_of(rig.cpu)->count.translated;
        translator_detach(rig.cpu);
        rig_free(&rig);
    }
    return best;
}

static void row(const char *name, const uint8_t *code, const uint8_t *end, uint64_t period)
{
    const uint64_t rewrites = period < 100 ? 100000 : 10000000 / period;
    const uint64_t rounds = rewrites * period;
    struct result slow = run(code, end, false, rounds, period);
    struct result fast = run(code, end, true, rounds, period);
    printf("%-10s %7llu %13.0f %13.0f %7.2f %13llu %9llu\n", name, (unsigned long long)period,
           (double)rewrites / slow.seconds, (double)rewrites / fast.seconds,
           slow.seconds / fast.seconds, (unsigned long long)fast.translations,
           (unsigned long long)fast.killed);
}

int main(void)
{
    static const uint64_t periods[] = {1, 3, 5, 10, 30, 100, 1000, 10000};
    printf("%-10s %7s %13s %13s %7s %13s %9s\n", "rewrites", "period", "interp 1/s",
           "translate 1/s", "ratio", "translations", "killed");
    for (unsigned i = 0; i < ARRAY_LENGTH(periods); i++)
        row("opcode", toggles_start, toggles_end, periods[i]);
    for (unsigned i = 0; i < ARRAY_LENGTH(periods); i++)
        row("immediate", counts_start, counts_end, periods[i]);
    return 0;
}
