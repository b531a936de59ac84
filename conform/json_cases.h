/* Reads the SingleStepTests JSON layout: one array of cases
 *
 *     {"name": …, "bytes": [n…], "initial": {"regs": {name: n…}, "ram": [[address, value]…]},
 *      "final": {"regs": {what changed}, "ram": …}, "exception": {"number": n}, "idx": n}
 *
 * Everything else in a case (queue, cycles, hash) is not looked at.  The cases are taken out of the
 * text one by one, so that what stands before damage runs.
 */
#ifndef CONFORM_JSON_CASES_H
#define CONFORM_JSON_CASES_H

#include "conform/file_bytes.h"
#include "conform/vector.h"

#include <jansson.h>

struct json_cases {
    const struct file_bytes *file;
    size_t next; /* offset of the next case, or behind all */
    unsigned count;
    bool ended;         /* by its ']', or by damage */
    json_t *present;    /* the case that was read last: names point into it */
    uint8_t *bytes;     /* of its instruction */
    uint8_t *memory[2]; /* of its initial and final state, as struct vector_memory has it */
    const char *cpu;    /* "386" where the registers say so, else by the path, else "" */
};

int json_cases_open(struct json_cases *json, const struct file_bytes *file, struct error *error);
void json_cases_close(struct json_cases *json);
enum read_result json_cases_next(struct json_cases *json, struct test_case *test,
                                 struct error *error);

#endif
