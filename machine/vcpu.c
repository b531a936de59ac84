/* A vCPU's thread: runs guest code without the lock, everything else with it.
 *
 *            ┌─────────── kicked, port or MMIO access done ──────────┐
 *            v                                                       │
 *   [turn: reset? timers due?] ── lock given up ──> [cpu_run] ── lock taken
 *      │        ^                                        │ HLT
 *      │ held   │ released                               v
 *      v        │                                    [asleep] until a line, a kick, a deadline
 *   [parked] ───┘
 */
#include "machine/boot_screen.h"
#include "machine/lockstep.h"
#include "machine/machine_priv.h"

#include "base/log.h"

#include <errno.h>
#include <time.h>

int vcpu_init(struct vcpu *vcpu, struct machine *machine, unsigned index, struct error *error)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&vcpu->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    vcpu->machine = machine;
    vcpu->parked = true;
    vcpu->cpu =
        cpu_new(index, &machine->config.cpu_model, &machine->physmem, &machine_cpu_ops, machine);
    if (!vcpu->cpu)
        return error_set(error, ENOMEM, "processor %u: out of host memory; free some", index);
    vcpu->cpu->one_insn_per_block = machine->config.translate.one_insn_per_block;
    struct error refused;
    if (!machine->config.interpret &&
        translator_attach(vcpu->cpu, &machine->config.translate, &refused) < 0)
        fprintf(stderr, "ring3: %s (the interpreter runs the guest)\n", refused.text);
    return 0;
}

void vcpu_free(struct vcpu *vcpu)
{
    if (!vcpu->machine)
        return;
    if (log_enabled(LOG_CALLOUT))
        translator_describe_callouts(vcpu->cpu, log_stream());
    translator_detach(vcpu->cpu);
    cpu_free(vcpu->cpu);
    pthread_cond_destroy(&vcpu->wake);
}

void vcpu_kick(struct vcpu *vcpu)
{
    cpu_kick(vcpu->cpu);
    pthread_cond_signal(&vcpu->wake);
}

void vcpu_set_line(struct vcpu *vcpu, enum cpu_line line, bool level)
{
    if (!level) {
        cpu_lower_line(vcpu->cpu, line);
        return;
    }
    cpu_raise_line(vcpu->cpu, line);
    if (vcpu->sleeping)
        pthread_cond_signal(&vcpu->wake);
}

static bool vcpu_must_park(const struct vcpu *vcpu)
{
    const struct machine *machine = vcpu->machine;
    return machine->holds || (machine->state != MACHINE_RUNNING && !machine->reset_pending);
}

static void vcpu_park(struct vcpu *vcpu)
{
    struct machine *machine = vcpu->machine;
    vcpu->parked = true;
    tsc_interrupted(vcpu->cpu);
    machine_settle(machine);
    pthread_cond_broadcast(&machine->parked);
    while (!machine->ending && vcpu_must_park(vcpu))
        pthread_cond_wait(&vcpu->wake, &machine->loop->lock);
    vcpu->parked = false;
}

/* Waits for the virtual time `deadline_ns`, a line or a kick. */
static void vcpu_wait(struct vcpu *vcpu, int64_t deadline_ns)
{
    struct machine *machine = vcpu->machine;
    int64_t at = clock_convert_ns(&machine->clock, deadline_ns, NULL);
    if (at == CLOCK_NEVER) {
        pthread_cond_wait(&vcpu->wake, &machine->loop->lock);
        return;
    }
    struct timespec until = {at / NS_PER_SECOND, at % NS_PER_SECOND};
    pthread_cond_timedwait(&vcpu->wake, &machine->loop->lock, &until);
}

/* HLT: no host time is used until something happens. */
static void vcpu_sleep(struct vcpu *vcpu)
{
    struct machine *machine = vcpu->machine;
    bool keeps_time = vcpu->cpu->index == 0;
    if (keeps_time)
        alarm_set(&vcpu->alarm, CLOCK_NEVER);
    vcpu->sleeping = true;
    while (!machine->ending && !machine->reset_pending && !vcpu_must_park(vcpu) &&
           !cpu_has_wakeup(vcpu->cpu)) {
        int64_t deadline = keeps_time ? clock_deadline_ns(&machine->clock) : CLOCK_NEVER;
        if (deadline <= clock_now_ns(&machine->clock))
            clock_run_due(&machine->clock);
        else
            vcpu_wait(vcpu, deadline);
    }
    vcpu->sleeping = false;
}

/* Triple fault: the chipset answers the processor's shutdown cycle with a reset. */
static void vcpu_shutdown(struct vcpu *vcpu)
{
    if (log_enabled(LOG_CPU_RESET)) {
        log_line(LOG_CPU_RESET, "processor %u: triple fault", vcpu->cpu->index);
        cpu_describe(vcpu->cpu, log_stream());
    }
    machine_system_reset(vcpu->machine);
}

/* Without the lock. */
static enum cpu_exit vcpu_run(struct vcpu *vcpu)
{
    struct lockstep *lockstep = vcpu->machine->lockstep;
    return lockstep ? lockstep_run(lockstep) : cpu_run(vcpu->cpu);
}

static void vcpu_turn(struct vcpu *vcpu)
{
    struct machine *machine = vcpu->machine;
    if (vcpu->cpu->index == 0) {
        if (machine->reset_pending) {
            struct error error;
            machine->reset_pending = false;
            if (machine_reset_now(machine, RESET_SYSTEM, &error) < 0)
                machine_fail(machine, &error);
            return;
        }
        clock_run_due(&machine->clock);
        machine_arm_deadline(machine);
    }
    machine_unlock(machine);
    enum cpu_exit exit = vcpu_run(vcpu);
    machine_lock(machine);
    if (machine->lockstep && lockstep_difference(machine->lockstep))
        machine_check_lockstep(machine);
    switch (exit) {
    case CPU_EXIT_KICKED:
        break;
    case CPU_EXIT_HALTED:
        if (machine->entry_pending)
            boot_screen_done(machine);
        else
            vcpu_sleep(vcpu);
        break;
    case CPU_EXIT_SHUTDOWN:
        vcpu_shutdown(vcpu);
        break;
    case CPU_EXIT_DEBUG:
        machine_pause(machine);
        break;
    }
}

static void *vcpu_thread(void *opaque)
{
    struct vcpu *vcpu = opaque;
    struct machine *machine = vcpu->machine;
    machine_lock(machine);
    /* WHY: it may find the machine running, and then never passes vcpu_park(). */
    vcpu->parked = false;
    struct error error;
    if (alarm_init(&vcpu->alarm, vcpu->cpu, &error) < 0)
        machine_fail(machine, &error);
    while (!machine->ending) {
        if (vcpu_must_park(vcpu))
            vcpu_park(vcpu);
        else
            vcpu_turn(vcpu);
    }
    alarm_free(&vcpu->alarm);
    vcpu->parked = true;
    machine_settle(machine);
    pthread_cond_broadcast(&machine->parked);
    machine_unlock(machine);
    return NULL;
}

int vcpu_start(struct vcpu *vcpu, struct error *error)
{
    int result = pthread_create(&vcpu->thread, NULL, vcpu_thread, vcpu);
    if (result)
        return error_set(error, result, "processor %u: no thread; raise the limit of processes",
                         vcpu->cpu->index);
    vcpu->started = true;
    return 0;
}

void vcpu_join(struct vcpu *vcpu)
{
    if (vcpu->started)
        pthread_join(vcpu->thread, NULL);
    vcpu->started = false;
}
