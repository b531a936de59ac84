/* The interpreter against the bare processor: small loops, run by both from the same bytes.
 *
 * Prints a row a loop: guest instructions a second in the interpreter (median of five), and how
 * many times longer it takes than the same loop run natively.  `meson test --benchmark` runs it.
 */
#include "tests/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

enum { REPETITIONS = 5, CODE = 0x20000, DATA = 0x100000 };

/* RCX: rounds; RSI, RDI: data.  Each ends in RET. */
GUEST_CODE(sums, ".code64\n"
                 "1: mov eax, [rsi]\n add rax, rbx\n xor rbx, rax\n imul edx, eax, 13\n"
                 "add [rsi+8], edx\n lea r8, [rax+rdx*4+3]\n test r8, r8\n jz 2f\n inc r9\n"
                 "2: dec rcx\n jnz 1b\n ret\n");
GUEST_CODE(calls, ".code64\n"
                  "1: call 3f\n call 3f\n dec rcx\n jnz 1b\n ret\n"
                  "3: push rbp\n mov rbp, rsp\n push rbx\n mov eax, [rsi+rdx*4+8]\n add rbx, rax\n"
                  "pop rbx\n pop rbp\n ret\n");
GUEST_CODE(bytes, ".code64\n"
                  "1: movzx eax, byte ptr [rsi+rbx]\n mov [rdi+rbx], al\n cmp al, 10\n je 2f\n"
                  "add edx, eax\n 2: inc ebx\n and ebx, 0xfff\n sub rcx, 1\n jnz 1b\n ret\n");
GUEST_CODE(branches, ".code64\n"
                     "1: imul eax, eax, 1103515245\n add eax, 12345\n bt eax, 20\n jc 2f\n"
                     "add rbx, 3\n jmp 3f\n 2: sub rbx, 1\n 3: cmp rbx, rdx\n jg 4f\n nop\n"
                     "4: dec rcx\n jnz 1b\n ret\n");
GUEST_CODE(vectors, ".code64\n"
                    "1: movdqu xmm0, [rsi]\n paddd xmm0, xmm1\n pxor xmm1, xmm0\n"
                    "movsd xmm2, [rsi+16]\n mulsd xmm2, xmm3\n addsd xmm4, xmm2\n"
                    "movdqu [rdi], xmm0\n dec rcx\n jnz 1b\n ret\n");
GUEST_CODE(halt, "hlt\n");

struct loop {
    const char *name;
    const uint8_t *start, *end;
    uint64_t rounds;
};

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double run_guest(struct rig *rig, const struct loop *loop, uint64_t *instructions)
{
    struct cpu *cpu = rig->cpu;
    rig_long(rig, CODE, 0);
    memset(cpu->regs, 0, sizeof cpu->regs);
    cpu->regs[RCX] = loop->rounds;
    cpu->regs[RSI] = DATA;
    cpu->regs[RDI] = DATA + 0x10000;
    cpu->regs[RSP] = 0x80000;
    uint64_t home = CODE + 0x800;
    physmem_write(&rig->physmem, GPA(0x80000), &home, 8);
    cpu->halted = false;
    uint64_t before = cpu->instructions;
    double start = seconds();
    if (cpu_run(cpu) != CPU_EXIT_HALTED)
        abort();
    *instructions = cpu->instructions - before;
    return seconds() - start;
}

static double run_native(const void *code, uint64_t rounds, void *data)
{
    double start = seconds();
    __asm__ volatile("sub $256, %%rsp\n push %%rbp\n push %%rbx\n xor %%ebx, %%ebx\n call *%%rax\n"
                     "pop %%rbx\n pop %%rbp\n add $256, %%rsp\n"
                     : "+a"(code), "+c"(rounds)
                     : "S"(data), "D"((char *)data + 0x10000)
                     : "rdx", "r8", "r9", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "memory", "cc");
    return seconds() - start;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(void)
{
    const struct loop loops[] = {
        {"integer", sums_start, sums_end, 2000000},
        {"calls", calls_start, calls_end, 1000000},
        {"bytes", bytes_start, bytes_end, 3000000},
        {"branches", branches_start, branches_end, 2000000},
        {"vectors", vectors_start, vectors_end, 2000000},
    };
    static struct rig rig;
    rig_init(&rig);
    uint8_t *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *data = calloc(1, 16 << 20);
    if (code == MAP_FAILED || !data)
        return 1;
    printf("%-10s %12s %10s\n", "loop", "million/s", "x native");
    for (unsigned i = 0; i < ARRAY_LENGTH(loops); i++) {
        const struct loop *loop = &loops[i];
        size_t length = (size_t)(loop->end - loop->start);
        physmem_write(&rig.physmem, GPA(CODE), loop->start, length);
        physmem_write(&rig.physmem, GPA(CODE + 0x800), halt_start, 1);
        mprotect(code, 4096, PROT_READ | PROT_WRITE);
        memcpy(code, loop->start, length);
        mprotect(code, 4096, PROT_READ | PROT_EXEC);
        double guest[REPETITIONS], native[REPETITIONS];
        uint64_t instructions = 0;
        for (unsigned n = 0; n < REPETITIONS; n++) {
            guest[n] = run_guest(&rig, loop, &instructions);
            native[n] = run_native(code, loop->rounds, data);
        }
        qsort(guest, REPETITIONS, sizeof *guest, by_value);
        qsort(native, REPETITIONS, sizeof *native, by_value);
        double middle = guest[REPETITIONS / 2];
        printf("%-10s %12.0f %10.1f\n", loop->name, (double)instructions / middle / 1e6,
               middle / native[REPETITIONS / 2]);
    }
    rig_free(&rig);
    return 0;
}
