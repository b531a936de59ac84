/* Cases for the host, numbered: a seed and a number are always the same case. */
#ifndef CONFORM_HOST_GENERATE_H
#define CONFORM_HOST_GENERATE_H

#include "base/error.h"
#include "conform/host_case.h"
#include "cpu/features.h"

/* A row of the opcode table in code of one size. */
struct host_kind {
    uint16_t row;
    uint8_t code_size;
};

struct host_generator {
    uint64_t seed;
    struct feature_set features; /* what both the host and ring3 have */
    struct host_kind *kinds;     /* case N is of kind N modulo their count */
    unsigned kind_count, row_count;
    uint8_t data[HOST_DATA_BYTES]; /* what lies around a case's operands */
};

/* Why the oracle cannot run a row, in a few words; NULL: it can. */
const char *host_row_obstacle(const struct opcode_row *row, const struct feature_set *features);
/* `rows`: names and patterns of rows, apart by commas, or NULL for all; `code_sizes`: bit n: CODE_n
 * can run.  Negative errno and a line when no row is left, or out of memory. */
int host_generator_init(struct host_generator *generator, uint64_t seed, const char *rows,
                        unsigned code_sizes, const struct feature_set *features,
                        struct error *error);
void host_generator_free(struct host_generator *generator);
/* False: the dice gave nothing that can be run. */
bool host_generate(const struct host_generator *generator, uint64_t number, struct host_case *c);
/* After bytes or registers were changed: decodes, and finds the operand.  False: it is another
 * row's instruction, or may reach what the sandbox does not hold. */
bool host_case_settle(const struct host_generator *generator, struct host_case *c);

#endif
