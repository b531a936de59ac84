/* The human monitor: commands typed into a stream, answers as text.
 *
 * INV-1: a command that looks at registers or guest memory holds the vCPUs meanwhile, and looks
 *        without side effects: no A and D bits, no device reads.
 * Runs on the main thread with the machine lock held.
 */
#ifndef UI_MONITOR_H
#define UI_MONITOR_H

#include "base/chardev.h"
#include "machine/machine.h"

struct monitor;

/* Answers on `chardev` from now on.  NULL when out of memory. */
struct monitor *monitor_new(struct machine *machine, struct chardev *chardev);
void monitor_free(struct monitor *monitor);
/* Carries out one line (which it takes apart), writing the answer to `out`. */
void monitor_run_line(struct monitor *monitor, char *line, FILE *out);

#endif
