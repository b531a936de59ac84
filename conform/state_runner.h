/* Runs cases of ring3's own format in one engine.
 *
 * INV-1: every case begins on a processor that was reset, over memory that holds what its mode and
 *        the case put there and nothing else.
 */
#ifndef CONFORM_STATE_RUNNER_H
#define CONFORM_STATE_RUNNER_H

#include "conform/state_case.h"

enum { STATE_OUTCOME_BYTES_MAX = 16 };

struct state_outcome {
    struct state got;
    struct state_fields wrong;
    struct case_exception exception; /* .expected: there was one */
    bool wrong_exception;
    bool never_ended;
    bool translated;      /* some of it ran as translated code */
    unsigned row;         /* enum opcode of the first instruction */
    uint32_t wrong_bytes; /* of memory: how many; the first of them: */
    struct {
        uint32_t address;
        uint8_t expected, got;
    } bytes[STATE_OUTCOME_BYTES_MAX];
};

static inline bool state_outcome_passed(const struct state_outcome *outcome)
{
    return !state_fields_any(&outcome->wrong) && !outcome->wrong_exception &&
           !outcome->never_ended && !outcome->wrong_bytes;
}

struct state_runner;

/* NULL, and the line, when the host has not got the memory. */
struct state_runner *state_runner_new(const char *model, enum engine engine, struct error *error);
void state_runner_free(struct state_runner *runner);
/* In the translator user code runs twice, in the soft tier and then through windows: the outcome is
 * the first that did not pass.  Negative errno, and the line, for a case that cannot be staged. */
int state_runner_run(struct state_runner *runner, const struct state_case *c,
                     struct state_outcome *outcome, struct error *error);

#endif
