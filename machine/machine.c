#include "machine/board.h"
#include "machine/boot.h"
#include "machine/lockstep.h"

#include "base/log.h"
#include "cpu/block.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

void machine_config_init(struct machine_config *config)
{
    memset(config, 0, sizeof *config);
    BUG_ON(cpu_model_parse("qemu64", &config->cpu_model, NULL) < 0);
    config->memory_bytes = UINT64_C(128) << 20;
    config->cpus = 1;
    config->debug_exit_iobase = 0x501;
    config->debug_exit_iosize = 2;
}

void machine_lock(struct machine *machine)
{
    loop_lock(machine->loop);
}

void machine_unlock(struct machine *machine)
{
    loop_unlock(machine->loop);
}

/* --- memory's upward calls: on the vCPU's thread, or with the vCPUs held */

static void machine_code_written(void *opaque, gpa_t gpa, unsigned length)
{
    struct machine *machine = opaque;
    for (unsigned i = 0; i < machine->vcpu_count; i++)
        block_code_written(machine->vcpus[i].cpu, gpa, length);
}

static void machine_page_changed(void *opaque, ppn_t first, uint64_t count)
{
    struct machine *machine = opaque;
    for (unsigned i = 0; i < machine->vcpu_count; i++)
        cpu_pages_changed(machine->vcpus[i].cpu, first, count);
}

/* --- time */

void machine_arm_deadline(struct machine *machine)
{
    int64_t deadline = CLOCK_NEVER;
    if (machine->state == MACHINE_RUNNING)
        deadline = clock_convert_ns(&machine->clock, clock_deadline_ns(&machine->clock), NULL);
    alarm_set(&machine->vcpus[0].alarm, deadline);
}

static void machine_clock_moved(void *opaque)
{
    struct machine *machine = opaque;
    struct vcpu *vcpu = &machine->vcpus[0];
    if (vcpu->sleeping)
        pthread_cond_signal(&vcpu->wake);
    else if (!vcpu->parked)
        machine_arm_deadline(machine);
}

/* --- life */

void machine_trace(struct machine *machine, struct trace_writer *trace)
{
    for (unsigned i = 0; i < machine->vcpu_count; i++)
        translator_trace(machine->vcpus[i].cpu, trace);
}

static int machine_check_config(const struct machine_config *config, struct error *error)
{
    if (config->cpus != 1)
        return error_set(error, EINVAL, "-smp %u: this machine has one processor; use -smp 1",
                         config->cpus);
    if (config->memory_bytes < UINT64_C(1) << 20 || config->memory_bytes > UINT64_C(1) << 38 ||
        config->memory_bytes % (UINT64_C(1) << 20))
        return error_set(error, EINVAL, "-m: %llu bytes of memory; give whole MiB from 1M to 256G",
                         (unsigned long long)config->memory_bytes);
    if (!config->kernel && (config->initrd || config->append))
        return error_set(error, EINVAL, "%s: needs a kernel; add -kernel FILE",
                         config->initrd ? "-initrd" : "-append");
    return 0;
}

/* Under lockstep there is a seed in any case, so that the run can be repeated. */
static int machine_begin_lockstep(struct machine *machine, struct error *error)
{
    struct machine_config *config = &machine->config;
    while (config->lockstep && !config->has_seed)
        config->has_seed = cpu_host_random(&config->seed);
    machine->random_state = config->seed;
    return config->lockstep ? lockstep_new(&machine->lockstep, machine->vcpus[0].cpu, config->seed,
                                           stderr, error)
                            : 0;
}

static int machine_build(struct machine *machine, struct error *error)
{
    const struct machine_config *config = &machine->config;
    int result = frames_init(&machine->frames, config->memory_bytes, error);
    if (result < 0)
        return result;
    machine->frames_ready = true;
    bus_init(&machine->ports, "ports", 0xffff);
    bus_init(&machine->memory, "memory", UINT64_MAX);
    device_list_init(&machine->devices);
    result = physmem_init(&machine->physmem, &machine->frames, &machine->memory,
                          config->memory_bytes, error);
    if (result < 0)
        return result;
    machine->physmem_ready = true;
    machine->physmem.ops = (struct physmem_ops){
        .code_written = machine_code_written,
        .page_changed = machine_page_changed,
        .opaque = machine,
    };
    for (unsigned i = 0; i < config->cpus; i++) {
        result = vcpu_init(&machine->vcpus[i], machine, i, error);
        if (result < 0)
            return result;
        machine->vcpu_count = i + 1;
    }
    result = machine_begin_lockstep(machine, error);
    if (result < 0)
        return result;
    result = board_new(machine, error);
    return result < 0 ? result : machine_reset_now(machine, RESET_POWER_ON, error);
}

struct machine *machine_new(const struct machine_config *config, struct loop *loop,
                            struct error *error)
{
    if (machine_check_config(config, error) < 0)
        return NULL;
    struct machine *machine = calloc(1, sizeof *machine);
    if (!machine) {
        error_set(error, ENOMEM, "machine: out of host memory; free some");
        return NULL;
    }
    machine->config = *config;
    machine->config.translate.count |= config->lockstep;
    machine->config.translate.shared = config->cpus > 1;
    machine->loop = loop;
    pthread_cond_init(&machine->parked, NULL);
    clock_init(&machine->clock);
    machine->clock.deadline_changed = machine_clock_moved;
    machine->clock.opaque = machine;
    machine_lock(machine);
    int result = machine_build(machine, error);
    machine_unlock(machine);
    if (result < 0) {
        machine_free(machine);
        return NULL;
    }
    return machine;
}

void machine_free(struct machine *machine)
{
    if (!machine)
        return;
    machine_lock(machine);
    machine->ending = true;
    for (unsigned i = 0; i < machine->vcpu_count; i++)
        vcpu_kick(&machine->vcpus[i]);
    machine_unlock(machine);
    for (unsigned i = 0; i < machine->vcpu_count; i++)
        vcpu_join(&machine->vcpus[i]);
    if (machine->board) {
        device_list_free(&machine->devices);
        board_free(machine->board);
    }
    lockstep_free(machine->lockstep);
    for (unsigned i = 0; i < MACHINE_CPUS_MAX; i++)
        vcpu_free(&machine->vcpus[i]);
    if (machine->physmem_ready)
        physmem_free(&machine->physmem);
    if (machine->frames_ready) {
        frames_free(&machine->frames);
        bus_free(&machine->ports);
        bus_free(&machine->memory);
    }
    clock_free(&machine->clock);
    pthread_cond_destroy(&machine->parked);
    free(machine);
}

int machine_run(struct machine *machine)
{
    /* WHY: the default of 50 us would be added to every timer of the guest. */
    prctl(PR_SET_TIMERSLACK, 1);
    machine_lock(machine);
    for (unsigned i = 0; i < machine->vcpu_count; i++) {
        struct error error;
        if (vcpu_start(&machine->vcpus[i], &error) < 0)
            machine_fail(machine, &error);
    }
    if (!machine->config.start_paused)
        machine_cont(machine);
    while (!machine->quit)
        loop_run_once(machine->loop, CLOCK_NEVER);
    machine_stop(machine);
    if (machine->lockstep && !machine_check_lockstep(machine))
        lockstep_summarise(machine->lockstep);
    int status = machine->status;
    machine_unlock(machine);
    return status;
}

/* --- states */

static void machine_kick_all(struct machine *machine)
{
    for (unsigned i = 0; i < machine->vcpu_count; i++)
        vcpu_kick(&machine->vcpus[i]);
}

static bool machine_is_parked(const struct machine *machine)
{
    for (unsigned i = 0; i < machine->vcpu_count; i++)
        if (!machine->vcpus[i].parked)
            return false;
    return true;
}

void machine_settle(struct machine *machine)
{
    if (machine->state != MACHINE_RUNNING && machine_is_parked(machine))
        clock_stop(&machine->clock);
}

static void machine_set_state(struct machine *machine, enum machine_state state)
{
    if (machine->state == state)
        return;
    machine->state = state;
    if (state == MACHINE_RUNNING)
        clock_start(&machine->clock);
    machine_settle(machine);
    machine_kick_all(machine);
    loop_wake(machine->loop);
}

static void machine_wait_parked(struct machine *machine)
{
    while (!machine_is_parked(machine))
        pthread_cond_wait(&machine->parked, &machine->loop->lock);
}

enum machine_state machine_state(const struct machine *machine)
{
    return machine->state;
}

bool machine_is_running(const struct machine *machine)
{
    return machine->state == MACHINE_RUNNING;
}

void machine_pause(struct machine *machine)
{
    if (machine->state == MACHINE_RUNNING)
        machine_set_state(machine, MACHINE_PAUSED);
}

void machine_stop(struct machine *machine)
{
    machine_pause(machine);
    machine_wait_parked(machine);
}

void machine_cont(struct machine *machine)
{
    if (machine->state == MACHINE_PAUSED && !machine->quit)
        machine_set_state(machine, MACHINE_RUNNING);
}

void machine_quit(struct machine *machine, int status)
{
    if (machine->quit)
        return;
    machine->quit = true;
    machine->status = status;
    machine_pause(machine);
    loop_wake(machine->loop);
}

void machine_fail(struct machine *machine, const struct error *error)
{
    if (!machine->failed)
        machine->failure = *error;
    machine->failed = true;
    machine_quit(machine, 1);
}

bool machine_check_lockstep(struct machine *machine)
{
    struct error error;
    if (!lockstep_finish(machine->lockstep))
        return false;
    error_set(&error, EIO, "%s", lockstep_difference(machine->lockstep));
    machine_fail(machine, &error);
    machine->status = 1;
    return true;
}

const char *machine_failure(const struct machine *machine)
{
    return machine->failed ? machine->failure.text : NULL;
}

void machine_power_off(struct machine *machine)
{
    if (machine->config.no_shutdown)
        machine_set_state(machine, MACHINE_SHUTDOWN);
    else
        machine_quit(machine, MACHINE_EXIT_OK);
}

void machine_hold_cpus(struct machine *machine)
{
    if (machine->holds++ == 0)
        machine_kick_all(machine);
    machine_wait_parked(machine);
}

void machine_release_cpus(struct machine *machine)
{
    BUG_ON(machine->holds == 0);
    if (--machine->holds == 0)
        machine_kick_all(machine);
}

/* --- reset */

void machine_system_reset(struct machine *machine)
{
    if (machine->config.no_reboot) {
        machine_quit(machine, MACHINE_EXIT_OK);
        return;
    }
    if (machine->state == MACHINE_SHUTDOWN)
        machine_set_state(machine, MACHINE_PAUSED);
    machine->reset_pending = true;
    vcpu_kick(&machine->vcpus[0]);
}

int machine_reset_now(struct machine *machine, enum reset_kind kind, struct error *error)
{
    machine->entry_pending = false;
    board_reset(machine->board, kind);
    firmware_set_boot_order(machine->board, kind == RESET_POWER_ON);
    for (unsigned i = 0; i < machine->vcpu_count; i++) {
        struct cpu *cpu = machine->vcpus[i].cpu;
        cpu_lower_line(cpu, LINE_NMI | LINE_INIT | LINE_SIPI);
        cpu_reset(cpu, false);
        if (log_enabled(LOG_CPU_RESET)) {
            log_line(LOG_CPU_RESET, "processor %u: reset", i);
            cpu_describe(cpu, log_stream());
        }
    }
    return machine->config.kernel ? boot_kernel(machine, error) : 0;
}

/* --- the user's hands */

void machine_powerdown(struct machine *machine)
{
    piix4_pm_press_power_button(&machine->board->pm);
}

void machine_nmi(struct machine *machine)
{
    for (unsigned i = 0; i < machine->vcpu_count; i++)
        lapic_set_lint(&machine->board->lapics[i], 1, 1);
    for (unsigned i = 0; i < machine->vcpu_count; i++)
        lapic_set_lint(&machine->board->lapics[i], 1, 0);
}

void machine_send_key(struct machine *machine, enum ps2_key key, bool down)
{
    i8042_key(&machine->board->keyboard, key, down);
}

void machine_send_mouse(struct machine *machine, int dx, int dy, int dz, unsigned buttons)
{
    i8042_mouse(&machine->board->keyboard, dx, dy, dz, buttons);
}

/* --- for the monitor */

const struct machine_config *machine_config(const struct machine *machine)
{
    return &machine->config;
}

struct loop *machine_loop(struct machine *machine)
{
    return machine->loop;
}

struct clock *machine_clock(struct machine *machine)
{
    return &machine->clock;
}

unsigned machine_cpu_count(const struct machine *machine)
{
    return machine->vcpu_count;
}

struct cpu *machine_cpu(struct machine *machine, unsigned index)
{
    return index < machine->vcpu_count ? machine->vcpus[index].cpu : NULL;
}

struct physmem *machine_physmem(struct machine *machine)
{
    return &machine->physmem;
}

struct bus *machine_ports(struct machine *machine)
{
    return &machine->ports;
}

struct bus *machine_memory_bus(struct machine *machine)
{
    return &machine->memory;
}

struct device_list *machine_devices(struct machine *machine)
{
    return &machine->devices;
}

struct vga *machine_vga(struct machine *machine)
{
    return &machine->board->vga;
}
