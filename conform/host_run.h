/* `ring3 conform --host`: generated cases, run by the host's own processor and by ring3's engines.
 */
#ifndef CONFORM_HOST_RUN_H
#define CONFORM_HOST_RUN_H

#include "conform/host_compare.h"
#include "conform/host_engine.h"
#include "conform/host_generate.h"
#include "conform/host_process.h"
#include "conform/suite.h"

/* What a run consists of. */
struct host_run {
    struct suite *suite;
    struct section *section;
    struct host_generator generator;
    struct host_process process;
    struct host_engine engines[ENGINES]; /* those that are asked for */
};

/* Runs suite->options.count cases, or the shard's part of them, and counts what became of them.
 * Negative errno and a line when it cannot be done here. */
int host_run(struct suite *suite, struct error *error);

/* --- host_probe.c: single cases, while no batch runs */

/* One case in one engine. */
struct host_probe {
    struct host_run *run;
    enum engine engine;
    struct host_case c;
    struct host_result host, ring3;
    struct host_mismatch mismatch; /* that no freedom covers */
    bool translated;
};

/* Runs probe->c; *differs: something is left.  Negative errno, and the line, when the host's
 * process cannot be started any more. */
int host_probe_run(struct host_probe *probe, bool *differs, struct error *error);
/* Of a case that differs: takes away registers, prefixes and bytes of memory, one after the other,
 * as long as it still does. */
int host_probe_minimise(struct host_probe *probe, struct error *error);

#endif
