/* The same cases in ring3: a processor in user mode of long mode, over a sandbox at the host's
 * addresses. */
#ifndef CONFORM_HOST_ENGINE_H
#define CONFORM_HOST_ENGINE_H

#include "conform/bare.h"
#include "conform/host_case.h"
#include "conform/preset.h"

/* An engine takes a case in one of two ways, as the case says: the interpreter by a block or by the
 * row's general handler, the translator in the soft tier or through windows. */
enum { HOST_WAYS = 2 };

struct host_engine {
    struct bare bares[HOST_WAYS];
    unsigned ways;                      /* of them: 1 for the interpreter */
    struct segment segments[3][GS + 1]; /* of code of each size */
    uint32_t entry[HOST_WAYS];          /* of the last case: linear */
};

/* The machine that the cases of code of one size start from, as preset.h has it; what `features` do
 * not have is off. */
enum preset host_engine_preset(unsigned code_size);
void host_engine_state(unsigned code_size, const struct feature_set *features, struct state *state);
/* The page table's entry of a linear address below 2 MiB, and where it lies in memory. */
uint64_t host_engine_table_entry(uint64_t linear);
uint32_t host_engine_table_entry_at(uint64_t linear);

/* `features`: of the host; the engine offers no more.  Negative errno, and the line. */
int host_engine_init(struct host_engine *engine, enum engine kind,
                     const struct feature_set *features, struct error *error);
void host_engine_free(struct host_engine *engine);
/* *translated: some of it ran as translated code. */
void host_engine_run(struct host_engine *engine, const struct host_case *c,
                     struct host_result *result, bool *translated);

#endif
