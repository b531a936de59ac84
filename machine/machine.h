/* One virtual machine: made from a configuration, run by its main loop, steered by the user's side.
 *
 * Threads: the main thread runs the loop; each vCPU has a thread of its own.  The lock of the loop
 * is the machine's lock.  Unless said otherwise a function here is called on the main thread with
 * the lock held, which is how callbacks of the loop are called.
 *
 * Guest memory and the registers of a running vCPU belong to the vCPU's thread.  Whoever else wants
 * to look at them or change them holds the vCPUs first: machine_hold_cpus() …
 * machine_release_cpus().
 */
#ifndef MACHINE_MACHINE_H
#define MACHINE_MACHINE_H

#include "base/bus.h"
#include "base/loop.h"
#include "cpu/cpu.h"
#include "hw/device.h"
#include "hw/ps2.h"
#include "machine/config.h"

struct machine;
struct trace_writer;
struct vga;

/* What machine_run() returns for an orderly end; isa-debug-exit gives (value << 1) | 1. */
enum { MACHINE_EXIT_OK = 0 };

enum machine_state {
    MACHINE_PAUSED, /* by -S, "stop", or after shutdown under -no-shutdown */
    MACHINE_RUNNING,
    MACHINE_SHUTDOWN, /* powered off under -no-shutdown: only a reset or quit leads on */
};

/* Builds the whole machine, loads firmware or kernel, starts nothing.  `config` is copied; its
 * strings and chardevs stay the caller's and outlive the machine.  NULL with one line in *error
 * when something cannot be had (a file, memory, a combination that makes no sense).  Lock not held.
 */
struct machine *machine_new(const struct machine_config *config, struct loop *loop,
                            struct error *error);
/* Ends the vCPU threads and frees everything; lock not held, machine_run() not running. */
void machine_free(struct machine *machine);
/* Before it runs: writes a block trace to `trace`, which is closed after machine_free(). */
void machine_trace(struct machine *machine, struct trace_writer *trace);
/* Runs until power-off, machine_quit() or what -no-reboot ends; returns the exit status.  Lock not
 * held. */
int machine_run(struct machine *machine);

void machine_lock(struct machine *machine);
void machine_unlock(struct machine *machine);

enum machine_state machine_state(const struct machine *machine);
bool machine_is_running(const struct machine *machine);
/* Stops the virtual clock and parks the vCPUs; returns when they have stopped. */
void machine_stop(struct machine *machine);
/* Goes on after machine_stop(); nothing after MACHINE_SHUTDOWN. */
void machine_cont(struct machine *machine);
/* Stops without waiting for the vCPUs; any thread, lock held. */
void machine_pause(struct machine *machine);
/* The reset line: under -no-reboot it ends the machine.  Any thread, lock held. */
void machine_system_reset(struct machine *machine);
/* Presses the ACPI power button.  Any thread, lock held. */
void machine_powerdown(struct machine *machine);
/* What a guest's S5 does: ends the machine, or stops it under -no-shutdown.  Any thread, lock held.
 */
void machine_power_off(struct machine *machine);
/* Ends machine_run() with `status`.  Any thread, lock held. */
void machine_quit(struct machine *machine, int status);
/* Why machine_run() ended early, one line; NULL: nothing went wrong. */
const char *machine_failure(const struct machine *machine);
/* Non-maskable interrupt to every vCPU (the monitor's "nmi"). */
void machine_nmi(struct machine *machine);

/* Parks the vCPUs without stopping the clock, so that guest memory and registers can be read and
 * written; gives up the lock while it waits.  Pairs nest. */
void machine_hold_cpus(struct machine *machine);
void machine_release_cpus(struct machine *machine);

/* A key goes down or up (names: ps2_key_by_name()). */
void machine_send_key(struct machine *machine, enum ps2_key key, bool down);
/* Mouse movement right and up, wheel towards the user, and the buttons down (PS2_BUTTON_...). */
void machine_send_mouse(struct machine *machine, int dx, int dy, int dz, unsigned buttons);

/* --- for the monitor */
const struct machine_config *machine_config(const struct machine *machine);
struct loop *machine_loop(struct machine *machine);
struct clock *machine_clock(struct machine *machine);
unsigned machine_cpu_count(const struct machine *machine);
struct cpu *machine_cpu(struct machine *machine, unsigned index);
struct physmem *machine_physmem(struct machine *machine);
struct bus *machine_ports(struct machine *machine);
struct bus *machine_memory_bus(struct machine *machine);
struct device_list *machine_devices(struct machine *machine);
struct vga *machine_vga(struct machine *machine);
/* The drives, their images and counters. */
void machine_describe_drives(const struct machine *machine, FILE *out);
/* Puts the image `file` (NULL: nothing) into the CD-ROM or floppy drive called `drive` in that
 * list; `force`: even when the guest has locked the tray.  Negative errno and one line in
 * *error. */
int machine_change_medium(struct machine *machine, const char *drive, const char *file, bool force,
                          struct error *error);
/* Brings what the guest wrote to stable storage; negative errno when an image fails. */
int machine_flush_drives(struct machine *machine);

#endif
