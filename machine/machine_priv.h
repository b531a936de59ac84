/* The inside of a machine, for the files of machine/ only.
 *
 * Who may touch what:
 *   the lock (loop_lock)     devices, buses, the virtual clock's timers, every field of this struct
 *   the vCPU's own thread    its struct cpu, and guest memory with its page map
 * Timers of the virtual clock fire on the thread of vCPU 0, between two blocks, and a port access
 * is served on the thread that makes it.  So a device's DMA happens where guest code runs, never
 * beside it: a write to decoded code kills its blocks, and a page that moves leaves the shadow,
 * before the next guest instruction.  The main thread (user's input, the monitor) drives interrupt
 * lines, and holds the vCPUs before it touches memory.
 *
 * INV-1: a vCPU that is `parked` neither runs guest code nor touches guest memory until nothing
 *        asks it to park any more and it has taken the lock.
 * INV-2: `reset_pending`, `holds`, `state` and `ending` change under the lock and are followed by
 *        vcpu_kick() of whom they concern.
 */
#ifndef MACHINE_MACHINE_PRIV_H
#define MACHINE_MACHINE_PRIV_H

#include "machine/alarm.h"
#include "machine/boot.h"
#include "machine/machine.h"

#include <pthread.h>

struct board;
struct lockstep;

struct vcpu {
    struct machine *machine;
    struct cpu *cpu;
    pthread_t thread;
    pthread_cond_t wake; /* the vCPU waits here: halted or parked */
    struct alarm alarm;  /* vCPU 0's: a virtual timer is due */
    bool started, parked, sleeping;
};

enum { MACHINE_CPUS_MAX = 1 };

struct machine {
    struct machine_config config;
    struct loop *loop;
    struct clock clock; /* virtual time */
    struct frames frames;
    struct physmem physmem;
    struct bus memory, ports;
    struct device_list devices;
    struct board *board;
    struct vcpu vcpus[MACHINE_CPUS_MAX];
    struct lockstep *lockstep; /* of vCPU 0, or NULL */
    uint64_t random_state;     /* of the guest's random numbers, under config.has_seed */
    unsigned vcpu_count;
    pthread_cond_t parked; /* some vCPU has parked */
    enum machine_state state;
    unsigned holds;
    bool reset_pending, ending, quit, frames_ready, physmem_ready;
    int status;
    struct boot_entry entry; /* of the kernel, while `entry_pending`: see machine/boot_screen.c */
    bool entry_pending;
    bool failed; /* `failure` holds the line that machine_failure() shows */
    struct error failure;
};

/* --- machine.c */
/* The reset itself, on the thread of vCPU 0 (or before it runs). */
int machine_reset_now(struct machine *machine, enum reset_kind kind, struct error *error);
/* Looks at the virtual clock's next deadline and has vCPU 0 kicked then. */
void machine_arm_deadline(struct machine *machine);
/* The virtual clock stops when the machine does not run and the last vCPU has parked: a vCPU reads
 * the clock without the lock, so it never changes under its hands. */
void machine_settle(struct machine *machine);
/* Ends the run with a line: a reset that failed. */
void machine_fail(struct machine *machine, const struct error *error);
/* Compares the memories of lockstep; true: there was a difference, then or before, and the run
 * ends. */
bool machine_check_lockstep(struct machine *machine);

/* --- vcpu.c */
int vcpu_init(struct vcpu *vcpu, struct machine *machine, unsigned index, struct error *error);
void vcpu_free(struct vcpu *vcpu);
int vcpu_start(struct vcpu *vcpu, struct error *error);
/* Ends the thread; lock not held, machine->ending set. */
void vcpu_join(struct vcpu *vcpu);
/* Makes the vCPU look at what is asked of it. */
void vcpu_kick(struct vcpu *vcpu);
/* Drives an event line of the processor and wakes it from HLT. */
void vcpu_set_line(struct vcpu *vcpu, enum cpu_line line, bool level);

/* --- vcpu_ops.c */
extern const struct cpu_ops machine_cpu_ops;

#endif
