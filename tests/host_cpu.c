/* The host's processor as oracle: a signal's return loads the whole state, the trap flag ends the
 * instruction, and the next signal brings the state back. */
#include "tests/host_cpu.h"

#include "base/bits.h"

#include <cpuid.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

enum { FLAG_TF = 0x100, VECTOR_DEBUG = 1, TRAPS_MAX = 4096, CS_32 = 0x23 };
/* Offsets behind the FXSAVE image in a signal's frame, and bits of the first. */
enum { XSTATE_BV = 512, XSTATE_UPPER = 576, XSTATE_SSE = 3, XSTATE_AVX = 4 };

static struct {
    uint8_t *code; /* writable alias of the code page */
    struct cpu_state *state;
    struct cpu_outcome *outcome;
    bool code_64, running, has_avx;
    unsigned traps;
    ucontext_t home;
    struct fx_image home_fx;
} host;

static const uint8_t register_slots[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                           REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                           REG_R12, REG_R13, REG_R14, REG_R15};

struct feature_set host_features(void)
{
    enum { EAX, EBX, ECX, EDX, NONE };
    static const struct {
        unsigned leaf, subleaf, reg, bit;
    } rows[] = {
#define FEATURE(id, leaf, subleaf, reg, bit, name) {leaf, subleaf, reg, bit},
#include "cpu/features.def"
#undef FEATURE
    };
    struct feature_set features = {{0}};
    for (unsigned i = 0; i < FEATURE_COUNT; i++) {
        unsigned values[4] = {0};
        if (rows[i].reg == NONE || (__get_cpuid_count(rows[i].leaf, rows[i].subleaf, &values[EAX],
                                                      &values[EBX], &values[ECX], &values[EDX]) &&
                                    values[rows[i].reg] >> rows[i].bit & 1))
            feature_add(&features, (enum feature)i);
    }
    return features;
}

static uint64_t *xstate_bv(ucontext_t *context)
{
    return (uint64_t *)(void *)((uint8_t *)context->uc_mcontext.fpregs + XSTATE_BV);
}

static void load_state(ucontext_t *context)
{
    greg_t *registers = context->uc_mcontext.gregs;
    const struct cpu_state *state = host.state;
    for (unsigned i = 0; i < 16; i++)
        registers[register_slots[i]] = (greg_t)state->regs[i];
    registers[REG_RIP] = (greg_t)state->rip;
    registers[REG_EFL] = (greg_t)(state->eflags | FLAG_TF);
    if (!host.code_64)
        registers[REG_CSGSFS] = (registers[REG_CSGSFS] & ~0xffffll) | CS_32;
    memcpy(context->uc_mcontext.fpregs, &state->fx, 416);
    /* The kernel loads only what the header behind the image says is there. */
    *xstate_bv(context) |= XSTATE_SSE;
    if (host.has_avx) {
        memcpy((uint8_t *)context->uc_mcontext.fpregs + XSTATE_UPPER, state->upper,
               sizeof state->upper);
        *xstate_bv(context) |= XSTATE_AVX;
    }
}

static void store_state(ucontext_t *context)
{
    const greg_t *registers = context->uc_mcontext.gregs;
    struct cpu_state *state = host.state;
    for (unsigned i = 0; i < 16; i++)
        state->regs[i] = (uint64_t)registers[register_slots[i]];
    state->rip = (uint64_t)registers[REG_RIP];
    state->eflags = (uint32_t)registers[REG_EFL] & ~(uint32_t)(FLAG_TF | 0x10000);
    memcpy(&state->fx, context->uc_mcontext.fpregs, 416);
    memset(state->upper, 0, sizeof state->upper);
    if (host.has_avx && *xstate_bv(context) & XSTATE_AVX)
        memcpy(state->upper, (uint8_t *)context->uc_mcontext.fpregs + XSTATE_UPPER,
               sizeof state->upper);
}

static void go_home(ucontext_t *context)
{
    memcpy(context->uc_mcontext.gregs, host.home.uc_mcontext.gregs, sizeof(gregset_t));
    memcpy(context->uc_mcontext.fpregs, &host.home_fx, 416);
    *xstate_bv(context) |= XSTATE_SSE;
    *xstate_bv(context) &= ~(uint64_t)XSTATE_AVX;
    host.running = false;
}

static void on_signal(int number, siginfo_t *info, void *opaque)
{
    ucontext_t *context = opaque;
    const greg_t *registers = context->uc_mcontext.gregs;
    if (!host.running) {
        if (number != SIGUSR1) {
            static const char text[] = "the test itself has faulted\n";
            if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
                _exit(126);
            _exit(125);
        }
        memcpy(host.home.uc_mcontext.gregs, registers, sizeof(gregset_t));
        memcpy(&host.home_fx, context->uc_mcontext.fpregs, 416);
        load_state(context);
        host.running = true;
        return;
    }
    /* A repeated string instruction traps after each element. */
    bool trapped = number == SIGTRAP && registers[REG_TRAPNO] == VECTOR_DEBUG;
    if (trapped && (uint64_t)registers[REG_RIP] == host.state->rip && ++host.traps < TRAPS_MAX)
        return;
    host.outcome->vector = trapped ? -1 : (int)registers[REG_TRAPNO];
    host.outcome->error = (uint32_t)registers[REG_ERR];
    host.outcome->address = (uint64_t)registers[REG_CR2];
    store_state(context);
    go_home(context);
}

static void *map_at(uintptr_t address, size_t bytes, int rights, int fd)
{
    void *map = mmap(
        (void *)address, bytes, rights,
        MAP_SHARED | (address ? MAP_FIXED_NOREPLACE : 0) | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);
    if (map == MAP_FAILED) {
        perror("mmap of the sandbox");
        exit(1);
    }
    return map;
}

void host_cpu_open(void)
{
    static const int signals[] = {SIGUSR1, SIGTRAP, SIGSEGV, SIGILL, SIGFPE, SIGBUS};
    static uint8_t signal_stack[1 << 16];
    stack_t stack = {.ss_sp = signal_stack, .ss_size = sizeof signal_stack};
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    int fd = memfd_create("sandbox", 0);
    if (fd < 0 || ftruncate(fd, 4096) < 0) {
        perror("memfd of the sandbox");
        exit(1);
    }
    map_at(SANDBOX_CODE, 4096, PROT_READ | PROT_EXEC, fd);
    host.code = map_at(0, 4096, PROT_READ | PROT_WRITE, fd);
    map_at(SANDBOX_DATA, SANDBOX_BYTES, PROT_READ | PROT_WRITE, -1);
    close(fd);
    const struct feature_set features = host_features();
    host.has_avx = feature_has(&features, FEAT_AVX);
    sigaltstack(&stack, NULL);
    sigfillset(&action.sa_mask);
    for (unsigned i = 0; i < ARRAY_LENGTH(signals); i++)
        sigaction(signals[i], &action, NULL);
    /* WHY: in 32-bit code the null selectors of a 64-bit process would fault. */
    __asm__ volatile("mov %0, %%ds; mov %0, %%es" ::"r"(0x2b));
}

uint8_t *host_cpu_data(void)
{
    return (uint8_t *)(uintptr_t)SANDBOX_DATA;
}

void host_cpu_run(const uint8_t *code, bool code_64, struct cpu_state *state,
                  struct cpu_outcome *outcome)
{
    memcpy(host.code + (SANDBOX_ENTRY - SANDBOX_CODE), code, 15);
    host.state = state;
    host.outcome = outcome;
    host.code_64 = code_64;
    host.traps = 0;
    state->rip = SANDBOX_ENTRY;
    raise(SIGUSR1);
}
