/* A processor and its memory, wired to nothing. */
#include "conform/bare.h"

#include "cpu/block.h"
#include "cpu/exec.h"
#include "cpu/system.h"

#include <errno.h>
#include <time.h>

enum {
    INSTRUCTIONS_MAX = 1000000, /* of one case */
    WATCH_INTERVAL_MS = 100,
    WATCH_KICKS_MAX = 20, /* WHY: translated code counts no instructions */
};

const char *engine_name(enum engine engine)
{
    static const char *const names[ENGINES] = {"interp", "translate"};
    return names[engine];
}

/* --- wiring: no devices */

static uint32_t port_read(void *machine, struct cpu *cpu, uint16_t port, unsigned size)
{
    return UINT32_MAX;
}

static void port_write(void *machine, struct cpu *cpu, uint16_t port, unsigned size, uint32_t value)
{
}

static uint64_t mmio_read(void *machine, struct cpu *cpu, gpa_t gpa, unsigned size)
{
    return UINT64_MAX;
}

static void mmio_write(void *machine, struct cpu *cpu, gpa_t gpa, unsigned size, uint64_t value)
{
}

static int acknowledge(void *machine, struct cpu *cpu)
{
    return -1;
}

static uint64_t tsc(void *machine, struct cpu *cpu)
{
    return cpu->instructions;
}

static void apic_base_changed(void *machine, struct cpu *cpu, uint64_t value)
{
}

static uint8_t cr8_read(void *machine, struct cpu *cpu)
{
    return 0;
}

static void cr8_write(void *machine, struct cpu *cpu, uint8_t value)
{
}

static bool x2apic_read(void *machine, struct cpu *cpu, uint32_t msr, uint64_t *value)
{
    return false;
}

static bool x2apic_write(void *machine, struct cpu *cpu, uint32_t msr, uint64_t value)
{
    return false;
}

static uint64_t tsc_deadline_read(void *machine, struct cpu *cpu)
{
    return 0;
}

static void tsc_deadline_write(void *machine, struct cpu *cpu, uint64_t at)
{
}

static void ferr(void *machine, struct cpu *cpu)
{
}

static bool exception(void *machine, struct cpu *cpu)
{
    struct bare *bare = machine;

    if (!bare->keeps_faults)
        return false;
    bare->faulted = true;
    bare->fault = cpu->fault;
    return true;
}

static const struct cpu_ops ops = {
    .port_read = port_read,
    .port_write = port_write,
    .mmio_read = mmio_read,
    .mmio_write = mmio_write,
    .acknowledge = acknowledge,
    .tsc = tsc,
    .apic_base_changed = apic_base_changed,
    .cr8_read = cr8_read,
    .cr8_write = cr8_write,
    .x2apic_read = x2apic_read,
    .x2apic_write = x2apic_write,
    .tsc_deadline_read = tsc_deadline_read,
    .tsc_deadline_write = tsc_deadline_write,
    .ferr = ferr,
    .exception = exception,
};

static void code_written(void *opaque, gpa_t gpa, unsigned length)
{
    struct bare *bare = opaque;
    block_code_written(bare->cpu, gpa, length);
}

static void page_changed(void *opaque, ppn_t first, uint64_t count)
{
    struct bare *bare = opaque;
    if (bare->cpu)
        cpu_pages_changed(bare->cpu, first, count);
}

/* --- the watch: a case that goes round in circles is kicked out of cpu_run() */

static void *watch(void *opaque)
{
    struct bare *bare = opaque;

    pthread_mutex_lock(&bare->watch_lock);
    while (!bare->stop) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += WATCH_INTERVAL_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&bare->watch_changed, &bare->watch_lock, &until);
        cpu_kick(bare->cpu);
    }
    pthread_mutex_unlock(&bare->watch_lock);
    return NULL;
}

int bare_watch(struct bare *bare)
{
    pthread_condattr_t attributes;

    pthread_mutex_init(&bare->watch_lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&bare->watch_changed, &attributes);
    pthread_condattr_destroy(&attributes);
    int result = pthread_create(&bare->watch, NULL, watch, bare);
    bare->watching = !result;
    bare->cpu->one_insn_per_block = false;
    return -result;
}

static void watch_stop(struct bare *bare)
{
    if (!bare->watching)
        return;
    pthread_mutex_lock(&bare->watch_lock);
    bare->stop = true;
    pthread_cond_signal(&bare->watch_changed);
    pthread_mutex_unlock(&bare->watch_lock);
    pthread_join(bare->watch, NULL);
    pthread_mutex_destroy(&bare->watch_lock);
    pthread_cond_destroy(&bare->watch_changed);
    bare->watching = false;
}

/* --- life */

/* Every block is translated before it runs for the first time. */
static int attach_engine(struct bare *bare, enum engine engine, enum windows_use windows,
                         struct error *error)
{
    const struct translate_options options = {.cache_bytes = 1, .threshold = 1, .windows = windows};

    return engine == ENGINE_TRANSLATE ? translator_attach(bare->cpu, &options, error) : 0;
}

int bare_init(struct bare *bare, const char *model, enum engine engine, enum windows_use windows,
              struct error *error)
{
    *bare = (struct bare){.engine = engine};
    int result = cpu_model_parse(model, &bare->model, error);
    if (result)
        return result;
    bus_init(&bare->bus, "memory", UINT64_MAX);
    result = frames_init(&bare->frames, BARE_RAM_BYTES, error);
    if (result) {
        bus_free(&bare->bus);
        return result;
    }
    result = physmem_init(&bare->physmem, &bare->frames, &bare->bus, BARE_RAM_BYTES, error);
    if (result) {
        frames_free(&bare->frames);
        bus_free(&bare->bus);
        return result;
    }
    memset(bare->physmem.low, PHYSMEM_READ_RAM | PHYSMEM_WRITE_RAM, sizeof bare->physmem.low);
    bare->physmem.ops = (struct physmem_ops){
        .code_written = code_written, .page_changed = page_changed, .opaque = bare};
    bare->cpu = cpu_new(0, &bare->model, &bare->physmem, &ops, bare);
    result = bare->cpu ? attach_engine(bare, engine, windows, error)
                       : error_set(error, ENOMEM, "no memory left for a processor");
    if (result)
        bare_free(bare);
    else
        bare->cpu->one_insn_per_block = true;
    return result;
}

void bare_free(struct bare *bare)
{
    watch_stop(bare);
    if (bare->cpu) {
        translator_detach(bare->cpu);
        cpu_free(bare->cpu);
    }
    bare->cpu = NULL;
    physmem_free(&bare->physmem);
    frames_free(&bare->frames);
    bus_free(&bare->bus);
}

/* --- running */

bool bare_run_until_halt(struct bare *bare)
{
    struct cpu *cpu = bare->cpu;
    uint64_t begin = cpu->instructions;

    for (unsigned kicks = 0; kicks < WATCH_KICKS_MAX; kicks++) {
        enum cpu_exit reason = cpu_run(cpu);
        if (reason == CPU_EXIT_HALTED)
            return true;
        if (reason == CPU_EXIT_SHUTDOWN || cpu->instructions - begin > INSTRUCTIONS_MAX)
            return false;
    }
    return false;
}

/* False: it has shut down. */
static bool take_step(struct bare *bare, const struct insn *insn)
{
    enum cpu_event event;
    enum cpu_exit reason;

    /* WHY: the step of cpu_step() is interpreted.  A turn is a block, here of one instruction; but
     * what STI shadows belongs to its turn. */
    if (bare->engine == ENGINE_INTERP || insn->row == OP_STI)
        return cpu_step(bare->cpu) != CPU_EXIT_SHUTDOWN;
    return cpu_run_turn(bare->cpu, &event, &reason) || reason != CPU_EXIT_SHUTDOWN;
}

bool bare_run_instruction(struct bare *bare, const struct insn *insn)
{
    struct cpu *cpu = bare->cpu;
    bool repeated = insn->rep && opcode_rows[insn->row].attributes & (A_REP | A_REPZ);
    uint64_t start = cpu->rip;
    uint16_t cs = cpu->segs[CS].selector;

    /* A step may leave a repeated instruction after any element. */
    for (unsigned left = UINT16_MAX + 2; left; left--) {
        if (!take_step(bare, insn))
            return false;
        if (!repeated || cpu->rip != start || cpu->segs[CS].selector != cs)
            return true;
    }
    return false;
}

int bare_exception(const struct bare *bare)
{
    const struct cpu *cpu = bare->cpu;

    for (unsigned i = 0; i < ARRAY_LENGTH(cpu->count.exceptions); i++)
        if (cpu->count.exceptions[i])
            return (int)i;
    return -1;
}

void bare_forget_exceptions(struct bare *bare)
{
    memset(bare->cpu->count.exceptions, 0, sizeof bare->cpu->count.exceptions);
}
