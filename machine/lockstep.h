/* Lockstep: a second processor, the twin, repeats with the interpreter alone what the machine's own
 * processor, the leader, does with whatever engine it has; after each block the two must agree.
 *
 * The twin has a memory of its own, kept alike, and no devices: what the leader reads from them is
 * handed on, what it writes must be what the twin writes.  DMA, A20, PAM and SMRAM, interrupts and
 * random numbers reach the twin at the same instruction.
 *
 * INV-1: between two turns registers agree in all that is defined, and so does memory, but for
 *        writes of the leader that the twin did not make; these the comparison of whole memories
 *        finds.
 * INV-2: A and D bits in page tables are set by the leader's walks only: which walks happen depends
 *        on what an engine has cached, and is no difference.
 * Must not know: devices, the machine around the processor.
 */
#ifndef MACHINE_LOCKSTEP_H
#define MACHINE_LOCKSTEP_H

#include "base/error.h"
#include "cpu/block.h"

struct lockstep;

/* For one who looks on or meddles. */
struct lockstep_probe {
    /* The leader has done its turn number `turn`, the twin not yet. */
    void (*leader_ran)(void *opaque, struct cpu *leader, uint64_t turn);
    void *opaque;
};

struct lockstep_count {
    uint64_t blocks, instructions, interrupts, exceptions, accesses; /* compared */
    uint64_t stores, memories;  /* ranges of written bytes, and whole memories, compared */
    uint64_t undefined_decided; /* of these: a program's decision hung on an undefined flag */
    uint64_t flags_undefined;   /* differences excused: undefined flags, and what read them */
};

/* Puts a twin beside `leader`, whose upward calls and memory are watched from now on.  Reports go
 * to `out`, with `seed` in them.  Negative errno when memory is short. */
int lockstep_new(struct lockstep **lockstep, struct cpu *leader, uint64_t seed, FILE *out,
                 struct error *error);
/* Takes the twin away; the leader is as before. */
void lockstep_free(struct lockstep *lockstep);
void lockstep_watch(struct lockstep *lockstep, const struct lockstep_probe *probe);

/* As cpu_run() of the leader.  CPU_EXIT_KICKED also at the first difference, which is reported;
 * from then on nothing runs.  What was done to the leader's registers since the last run (a reset,
 * the monitor) is done to the twin. */
enum cpu_exit lockstep_run(struct lockstep *lockstep);
/* Compares the memories; at the end of a run.  True: there was a difference, then or before. */
bool lockstep_finish(struct lockstep *lockstep);
/* The difference in one line, or NULL. */
const char *lockstep_difference(const struct lockstep *lockstep);
/* What was compared, as a line of the report. */
void lockstep_summarise(const struct lockstep *lockstep);
const struct lockstep_count *lockstep_counts(const struct lockstep *lockstep);

#endif
