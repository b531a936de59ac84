/* The host's processor as oracle: a signal's return loads the whole state, the trap flag ends the
 * instruction, and the next signal brings the state back; its return loads the next case's.
 *
 * All of it runs in the process that host_process.c has started.
 */
#include "conform/host_process.h"

#include <errno.h>
#include <unistd.h>

#if defined(__x86_64__) && defined(__linux__)

#include "cpu/cpu.h"

#include <asm/ldt.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <ucontext.h>

enum { TRAPS_MAX = 4096, FX_USED = 416, SIGNAL_STACK = 1 << 16 };
/* Selectors of Linux, and of the descriptors 0 and 1 of our LDT. */
enum { CS_64 = 0x33, CS_32 = 0x23, DATA_32 = 0x2b, CS_16 = 0x7, DATA_16 = 0xf };
/* Offsets behind the FXSAVE image in a signal's frame, and bits of the first. */
enum { XSTATE_BV = 512, XSTATE_UPPER = 576, XSTATE_SSE = 3, XSTATE_AVX = 4 };

/* WHY static: a signal's handler has no argument of its own. */
static struct {
    uint8_t *code; /* writable alias of the code page */
    uint8_t *data;
    struct host_batch *batch;
    unsigned index; /* of the case that runs */
    bool running, has_avx;
    unsigned traps;
    uint64_t entry; /* of the last case: linear */
    gregset_t home;
    struct host_fx home_fx;
    uint8_t signal_stack[SIGNAL_STACK];
} native;

static const uint8_t register_slots[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                           REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                           REG_R12, REG_R13, REG_R14, REG_R15};

static uint64_t *xstate_bv(ucontext_t *context)
{
    return (uint64_t *)(void *)((uint8_t *)context->uc_mcontext.fpregs + XSTATE_BV);
}

static void load_data_segments(unsigned selector)
{
    __asm__ volatile("mov %0, %%ds\n\tmov %0, %%es\n\tmov %0, %%gs" ::"r"(selector));
}

/* CS and SS are the signal's to return to, the others are loaded at once: in 64-bit code they mean
 * nothing. */
static void load_segments(greg_t *registers, unsigned code_size)
{
    static const uint64_t code[] = {[CODE_16] = CS_16, [CODE_32] = CS_32, [CODE_64] = CS_64};
    const uint64_t data = code_size == CODE_16 ? DATA_16 : DATA_32;
    const uint64_t others = (uint64_t)registers[REG_CSGSFS] & 0x0000ffffffff0000;

    registers[REG_CSGSFS] = (greg_t)(others | code[code_size] | data << 48);
    load_data_segments((unsigned)data);
}

static void load_case(ucontext_t *context, const struct host_case *c)
{
    greg_t *registers = context->uc_mcontext.gregs;
    const struct host_state *state = &c->state;
    const uint64_t entry = host_case_base(c) + state->rip;

    memset(native.code + (native.entry - HOST_CODE), 0, sizeof c->bytes);
    memcpy(native.code + (entry - HOST_CODE), c->bytes, host_case_fetched(c));
    native.entry = entry < HOST_CODE_LAST ? entry : HOST_CODE_LAST;
    memcpy(native.data, c->data, HOST_DATA_BYTES);
    for (unsigned i = 0; i < 16; i++)
        registers[register_slots[i]] = (greg_t)state->regs[i];
    registers[REG_RIP] = (greg_t)state->rip;
    registers[REG_EFL] = (greg_t)(state->eflags | F_TF);
    load_segments(registers, c->code_size);
    memcpy(context->uc_mcontext.fpregs, &state->fx, FX_USED);
    /* The kernel loads only what the header behind the image says is there. */
    *xstate_bv(context) |= XSTATE_SSE;
    if (native.has_avx) {
        memcpy((uint8_t *)context->uc_mcontext.fpregs + XSTATE_UPPER, state->upper,
               sizeof state->upper);
        *xstate_bv(context) |= XSTATE_AVX;
    }
    native.traps = 0;
}

/* WHY the mask: what the kernel leaves in a register's upper half is nothing to 32-bit code. */
static void store_result(ucontext_t *context, const struct host_case *c, bool trapped,
                         struct host_result *result)
{
    const greg_t *registers = context->uc_mcontext.gregs;
    const uint64_t mask = c->code_size == CODE_64 ? UINT64_MAX : UINT32_MAX;
    struct host_state *state = &result->state;

    result->killed = 0;
    result->outcome = (struct host_outcome){.vector = trapped ? -1 : (int)registers[REG_TRAPNO],
                                            .error = (uint32_t)registers[REG_ERR],
                                            .address = (uint64_t)registers[REG_CR2]};
    for (unsigned i = 0; i < 16; i++)
        state->regs[i] = (uint64_t)registers[register_slots[i]] & mask;
    state->rip = (uint64_t)registers[REG_RIP];
    state->eflags = (uint32_t)registers[REG_EFL] & ~(uint32_t)(F_TF | F_RF);
    memcpy(&state->fx, context->uc_mcontext.fpregs, FX_USED);
    memset(state->upper, 0, sizeof state->upper);
    if (native.has_avx && *xstate_bv(context) & XSTATE_AVX)
        memcpy(state->upper, (uint8_t *)context->uc_mcontext.fpregs + XSTATE_UPPER,
               sizeof state->upper);
    memcpy(result->data, native.data, HOST_DATA_BYTES);
}

static void leave_home(ucontext_t *context)
{
    memcpy(native.home, context->uc_mcontext.gregs, sizeof native.home);
    memcpy(&native.home_fx, context->uc_mcontext.fpregs, FX_USED);
    native.running = true;
}

static void go_home(ucontext_t *context)
{
    memcpy(context->uc_mcontext.gregs, native.home, sizeof native.home);
    memcpy(context->uc_mcontext.fpregs, &native.home_fx, FX_USED);
    *xstate_bv(context) |= XSTATE_SSE;
    *xstate_bv(context) &= ~(uint64_t)XSTATE_AVX;
    load_data_segments(DATA_32);
    native.running = false;
}

static void on_signal(int number, siginfo_t *info, void *opaque)
{
    ucontext_t *context = opaque;
    /* WHY first: what follows need not be aligned. */
    __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() & ~(uint64_t)F_AC);
    const greg_t *registers = context->uc_mcontext.gregs;
    struct host_batch *batch = native.batch;
    const struct host_case *c = &batch->cases[native.index];

    if (!native.running) {
        if (number != SIGUSR1)
            _exit(1); /* it is this process that has faulted */
        leave_home(context);
        load_case(context, c);
        return;
    }
    /* It may trap after each element, of a string or a gather. */
    const bool trapped = number == SIGTRAP && registers[REG_TRAPNO] == VECTOR_DB;
    if (trapped && (uint64_t)registers[REG_RIP] == c->state.rip && c->resumes &&
        ++native.traps < TRAPS_MAX)
        return;
    store_result(context, c, trapped, &batch->results[native.index]);
    atomic_store(&batch->done, ++native.index);
    if (native.index < batch->count)
        load_case(context, c + 1);
    else
        go_home(context);
}

/* --- the sandbox */

static void *map_at(uintptr_t address, size_t bytes, int rights, int flags, int fd)
{
    void *map =
        mmap((void *)address, bytes, rights,
             flags | (address ? MAP_FIXED_NOREPLACE : 0) | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);

    return map == MAP_FAILED || (address && (uintptr_t)map != address) ? NULL : map;
}

static int map_sandbox(void)
{
    const int fd = memfd_create("ring3-host-code", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, PAGE_BYTES))
        return errno;
    native.code = map_at(0, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
    native.data = map_at(HOST_DATA, HOST_DATA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE, -1);
    const bool whole = native.code && native.data &&
                       map_at(HOST_CODE, PAGE_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED, fd);
    const int problem = whole ? 0 : errno ? errno : EADDRINUSE;
    close(fd);
    return problem;
}

/* Segments of 64 KiB at HOST_BASE.  False: the kernel has no 16-bit segments. */
static bool set_ldt(void)
{
    struct user_desc code = {.entry_number = 0,
                             .base_addr = HOST_BASE,
                             .limit = 0xffff,
                             .contents = MODIFY_LDT_CONTENTS_CODE,
                             .useable = 1};
    struct user_desc data = {.entry_number = 1,
                             .base_addr = HOST_BASE,
                             .limit = 0xffff,
                             .contents = MODIFY_LDT_CONTENTS_DATA,
                             .useable = 1};

    return !syscall(SYS_modify_ldt, 1, &code, sizeof code) &&
           !syscall(SYS_modify_ldt, 1, &data, sizeof data);
}

static int prepare(struct host_greeting *greeting)
{
    static const int signals[] = {SIGUSR1, SIGTRAP, SIGSEGV, SIGILL, SIGFPE, SIGBUS};
    const stack_t stack = {.ss_sp = native.signal_stack, .ss_size = sizeof native.signal_stack};
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    const struct feature_set features = features_of_host();
    const int problem = map_sandbox();

    native.entry = HOST_CODE;
    native.has_avx = feature_has(&features, FEAT_AVX);
    sigaltstack(&stack, NULL);
    sigfillset(&action.sa_mask);
    for (unsigned i = 0; i < ARRAY_LENGTH(signals); i++)
        sigaction(signals[i], &action, NULL);
    greeting->code_sizes = 1u << CODE_64 | 1u << CODE_32 | (set_ldt() ? 1u << CODE_16 : 0);
    return problem;
}

void host_native_serve(int socket, struct host_batch *batches)
{
    struct host_greeting greeting = {0};
    uint8_t number;

    greeting.problem = prepare(&greeting);
    if (send(socket, &greeting, sizeof greeting, MSG_NOSIGNAL) < 0)
        _exit(1);
    while (recv(socket, &number, 1, 0) == 1) {
        native.batch = &batches[number % HOST_BATCHES];
        native.index = atomic_load(&native.batch->done);
        if (native.index < native.batch->count)
            raise(SIGUSR1);
        if (send(socket, &number, 1, MSG_NOSIGNAL) < 0)
            break;
    }
    _exit(0);
}

#else

#include <sys/socket.h>

void host_native_serve(int socket, struct host_batch *batches)
{
    const struct host_greeting greeting = {.problem = ENOTSUP};

    (void)!send(socket, &greeting, sizeof greeting, MSG_NOSIGNAL);
    _exit(0);
}

#endif
