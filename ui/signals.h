/* Signals as descriptors that the loop watches: what they ask for is done on the main thread.
 *
 * WHY: by pipes; a signalfd wakes whoever polls it at every signal of the process, and the windows'
 * faults and the vCPU's alarms are thousands a second.
 */
#ifndef UI_SIGNALS_H
#define UI_SIGNALS_H

#include "machine/machine.h"
#include "ui/terminal.h"

struct signals {
    int end_fd, job_fd; /* a byte for each SIGINT, SIGTERM, SIGHUP; for each SIGTSTP, SIGCONT */
    struct machine *machine;
    struct terminal *terminal;
};

/* Once in a process.  From now on no signal of these ends it.  Negative errno without
 * descriptors. */
int signals_init(struct signals *signals, struct terminal *terminal, struct error *error);
/* Has them obeyed: the first quit the machine, the others go to the terminal.  Lock held, as for
 * the next. */
void signals_watch(struct signals *signals, struct machine *machine);
void signals_free(struct signals *signals, struct loop *loop);

#endif
