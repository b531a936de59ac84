/* The named differences: where a captured processor and the one that ring3 models are not the same.
 *
 * A case that fails is excused only by rows that name processor, opcode and cause, and only for the
 * flags, or under the condition, that the row gives.
 */
#ifndef CONFORM_DIFFERENCES_H
#define CONFORM_DIFFERENCES_H

#include "conform/instruction.h"
#include "conform/runner.h"

enum { DIFFERENCES_MAX = 64 };

struct occurrence {
    const struct processor *processor;
    const struct test_case *test;
    struct instruction instruction;
    const struct outcome *outcome;
};

struct difference {
    const char *name;
    unsigned families;   /* of enum processor_family */
    const char *opcodes; /* patterns as --only takes them, apart by spaces */
    uint32_t flags;      /* that may differ, also where an exception pushed them; 0: everything */
    /* Does the case fall under it?  NULL: always. */
    bool (*applies)(const struct occurrence *occurrence);
    const char *cause;
};

extern const struct difference differences[];
extern const unsigned difference_count;

/* The rows that together explain every mismatch, bit n for row n; 0: something is left. */
uint64_t differences_explain(const struct occurrence *occurrence);

#endif
