/* Runs captured cases in real mode, in one engine.
 *
 * INV-1: between two cases RAM holds its background: what a case wrote where it should not is
 * found, and no case sees another's.  The background is zero, but for interrupt vectors that lead
 *        to a HLT: an exception that a case has no handler for ends it.
 */
#ifndef CONFORM_RUNNER_H
#define CONFORM_RUNNER_H

#include "base/error.h"
#include "conform/bare.h"
#include "conform/processor.h"
#include "conform/vector.h"

enum { OUTCOME_BYTES_MAX = 16 };

struct outcome_byte {
    uint32_t address;
    uint8_t expected, got;
};

/* What a case ended in, and where that differs from what was expected. */
struct outcome {
    struct vector_registers expected, got;
    uint32_t wrong_registers; /* bit n: register n; not the flags */
    uint32_t wrong_flags;
    int exception; /* the first that ring3 raised, or -1 */
    bool never_ended;
    bool translated;      /* some of it ran as translated code */
    uint32_t wrong_bytes; /* of memory: how many; the first of them: */
    struct outcome_byte bytes[OUTCOME_BYTES_MAX];
};

struct runner;

/* NULL, and the line, when the host has not got the memory. */
struct runner *runner_new(const struct processor *processor, enum engine engine,
                          struct error *error);
void runner_free(struct runner *runner);
/* -EINVAL, and the line, for a case that this runner cannot stage: protected mode, memory beyond
 * its RAM. */
int runner_run(struct runner *runner, const struct test_case *test, struct outcome *outcome,
               struct error *error);

/* Where an exception of real mode, expected to have been delivered last, has pushed the flags. */
static inline uint32_t outcome_flags_address(const struct outcome *outcome)
{
    return (outcome->expected.value[VR_SS] << 4) + ((outcome->expected.value[VR_ESP] + 4) & 0xffff);
}

static inline bool outcome_passed(const struct outcome *outcome)
{
    return !outcome->wrong_registers && !outcome->wrong_flags && !outcome->wrong_bytes &&
           !outcome->never_ended;
}

#endif
