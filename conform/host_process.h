/* The process in which the host's own processor runs cases: many at a time, in memory that both
 * sides share.
 *
 * INV-1: whatever a case does there, this process goes on: one that dies or hangs is started anew
 *        behind the case, which says so (host_result.killed).
 */
#ifndef CONFORM_HOST_PROCESS_H
#define CONFORM_HOST_PROCESS_H

#include "base/error.h"
#include "conform/host_case.h"

#include <stdatomic.h>
#include <sys/types.h>

/* Two take turns; the third is for single cases in between. */
enum { HOST_BATCH = 32, HOST_BATCHES = 3, HOST_SINGLE = 2 };

/* What both processes see. */
struct host_batch {
    atomic_uint done; /* those below have their results */
    unsigned count;
    struct host_case cases[HOST_BATCH];
    struct host_result results[HOST_BATCH];
};

struct host_process {
    struct host_batch *batches; /* HOST_BATCHES */
    pid_t pid;
    int socket;
    unsigned code_sizes; /* that the host can run, bit n: CODE_n */
    unsigned running;    /* the batch that was given to it */
};

/* Negative errno and a line when the host cannot do it. */
int host_process_start(struct host_process *process, struct error *error);
void host_process_stop(struct host_process *process);
/* Lets it run the first `count` cases of a batch; host_process_wait() comes before the next. */
void host_process_submit(struct host_process *process, unsigned batch, unsigned count);
/* Until all of the batch have their results. */
int host_process_wait(struct host_process *process, struct error *error);

/* --- host_native.c: in that process */
/* What it says first. */
struct host_greeting {
    int problem; /* errno: it cannot make the sandbox */
    unsigned code_sizes;
};
/* Makes the sandbox and runs the batches whose numbers come over `socket`, until it is closed. */
_Noreturn void host_native_serve(int socket, struct host_batch *batches);

#endif
