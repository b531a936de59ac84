#include "translate/window_fault.h"

#include "translate/host.h"
#include "translate/translated.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <ucontext.h>

enum { FAULT_OF_WRITE = 2 }; /* SDM 3A §4.7, bit W/R of the error code */

/* WHY: a signal handler gets no argument of ours; the translator whose code the thread runs. */
static _Thread_local struct translator *running;
/* WHY: Linux makes SIGBUS of the host's #SS, for an address that is not canonical with RBP as base.
 * */
static const int signals[] = {SIGSEGV, SIGBUS};
enum { SIGNALS = sizeof signals / sizeof *signals };
static struct sigaction previous[SIGNALS];

/* --- where faulting code goes on */

void fault_table_add(struct translator *translator, const uint8_t *from, const uint8_t *to,
                     const uint8_t *slow)
{
    const struct code_cache *cache = &translator->cache;
    struct fault_table *table = &translator->faults[cache->region];
    if (table->count == table->room) {
        table->room = table->room ? 2 * table->room : 1024;
        table->ranges = realloc(table->ranges, table->room * sizeof *table->ranges);
        BUG_ON(!table->ranges);
    }
    table->ranges[table->count++] =
        (struct fault_range){(uint32_t)(from - cache->writable), (uint32_t)(to - cache->writable),
                             (uint32_t)(slow - cache->writable)};
}

uint32_t fault_table_count(const struct translator *translator)
{
    return translator->faults[translator->cache.region].count;
}

void fault_table_cut(struct translator *translator, uint32_t count)
{
    translator->faults[translator->cache.region].count = count;
}

static const struct fault_range *table_find(const struct fault_table *table, uint32_t offset)
{
    uint32_t low = 0, high = table->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (table->ranges[middle].to <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low < table->count && offset >= table->ranges[low].from ? &table->ranges[low] : NULL;
}

static uintptr_t fault_resume(const struct translator *translator, uintptr_t rip)
{
    const struct code_cache *cache = &translator->cache;
    const uintptr_t code = (uintptr_t)cache->writable + (uintptr_t)cache->to_code;
    if (rip - code < CODE_STUBS_BYTES || rip - code >= cache->bytes)
        return 0;
    const size_t region = (rip - code - CODE_STUBS_BYTES) / cache->region_bytes;
    const struct fault_range *range =
        table_find(&translator->faults[region], (uint32_t)(rip - code));
    return range ? code + range->slow : 0;
}

/* --- the signal */

static void on_fault(int signal, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const bool is_sent = info->si_code <= 0; /* by a process */
    const uintptr_t resume =
        running && !is_sent ? fault_resume(running, (uintptr_t)registers[REG_RIP]) : 0;
    if (unlikely(!resume)) { /* not ours: it comes again */
        sigaction(signal, &previous[signal == signals[1]], NULL);
        if (is_sent)
            raise(signal);
        return;
    }
    struct cpu *cpu = (struct cpu *)(registers[REG_R15] - HOST_CPU_BIAS);
    const uint64_t host = (uintptr_t)info->si_addr;
    cpu->native.window_fault = host ? host : 1;
    cpu->native.window_write = registers[REG_ERR] & FAULT_OF_WRITE;
    registers[REG_RIP] = (greg_t)resume;
}

static void install(void)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigemptyset(&action.sa_mask);
    for (unsigned i = 0; i < SIGNALS; i++)
        sigaction(signals[i], &action, &previous[i]);
}

bool window_faults_supported(void)
{
    return __builtin_cpu_supports("bmi2");
}

void window_faults_install(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install);
}

void window_faults_in(struct translator *translator)
{
    running = translator;
}

void window_faults_free(struct translator *translator)
{
    if (running == translator)
        running = NULL;
    for (unsigned region = 0; region < CODE_REGIONS; region++)
        free(translator->faults[region].ranges);
}

/* --- what an access was about */

static uint64_t effective_address(const struct cpu *cpu, const struct insn *insn)
{
    uint64_t offset = (uint64_t)(int64_t)insn->disp;
    if (insn->rip)
        offset += insn_next_rip(cpu, insn);
    if (insn->base != REG_ZERO)
        offset += cpu->regs[insn->base];
    if (insn->index != REG_ZERO)
        offset += cpu->regs[insn->index] << insn->scale;
    if (insn->address != SIZE_64)
        offset &= insn->address == SIZE_32 ? UINT32_MAX : UINT16_MAX;
    return (cpu->segs[insn->seg].base + offset) & cpu->linear_mask;
}

static void want(struct cpu *cpu, unsigned place, uint64_t linear)
{
    cpu->native.window_wanted[place] = (linear & PAGE_MASK) | 1;
}

void window_fault_note(struct cpu *cpu, const struct insn *insn)
{
    gva_t gva;
    translator_of(cpu)->count.window_faults++;
    const uint64_t host = cpu->native.window_fault;
    cpu->native.window_fault = 0;
    const enum shadow_view_id view = cpu_window_view(cpu);
    cpu->native.window_view = (uint8_t)view;
    memset(cpu->native.window_wanted, 0, sizeof cpu->native.window_wanted);
    if (windows_open(&cpu->mmu, view) && windows_linear(&cpu->mmu, view, host, &gva)) {
        want(cpu, 0, gva.v);
        return;
    }
    /* The window is not open, so the host's address does not tell: it is one of these. */
    const uint64_t stack = (cpu->segs[SS].base + cpu->regs[RSP]) & cpu->linear_mask;
    if (insn->memory)
        want(cpu, 0, effective_address(cpu, insn));
    want(cpu, 1, stack);
    want(cpu, 2, (stack - 8) & cpu->linear_mask);
}

bool window_fault_fill(struct cpu *cpu)
{
    const enum shadow_view_id view = cpu->native.window_view;
    const bool write = cpu->native.window_write;
    bool changed = false;
    for (unsigned i = 0; i < WINDOW_WANTED_MAX; i++) {
        const gva_t gva = GVA(cpu->native.window_wanted[i] & PAGE_MASK);
        if (!cpu->native.window_wanted[i] || windows_has(&cpu->mmu, view, gva, write))
            continue;
        changed |= windows_fill(&cpu->mmu, view, gva) && windows_has(&cpu->mmu, view, gva, write);
    }
    memset(cpu->native.window_wanted, 0, sizeof cpu->native.window_wanted);
    return changed;
}
