/* The bytes of an instruction of a given row of the opcode table, chosen by dice. */
#ifndef CONFORM_HOST_ENCODE_H
#define CONFORM_HOST_ENCODE_H

#include "conform/host_case.h"
#include "conform/host_values.h"
#include "cpu/features.h"

/* Is one of the row's operands of those kinds (enum opcode_operand)? */
bool row_has_operand(const struct opcode_row *row, unsigned first, unsigned last);
/* Does its mnemonic begin so? */
bool row_is(const struct opcode_row *row, const char *prefix);

/* What the decoder makes of c->bytes in c->code_size; false: it is no instruction of `row`. */
bool host_decode(struct host_case *c, unsigned row, const struct feature_set *features);
/* Fills c->bytes and c->insn: prefixes, ModRM, SIB, displacement, immediates.  False when the dice
 * gave another row's instruction. */
bool host_encode(struct host_case *c, unsigned row, const struct feature_set *features,
                 struct dice *dice);
/* Bytes of immediates at the instruction's end. */
unsigned host_immediate_bytes(const struct host_case *c);
/* Is `prefix` among the legacy prefixes? */
bool host_has_prefix(const struct host_case *c, uint8_t prefix);
/* The number of legacy prefixes. */
unsigned host_prefix_count(const struct host_case *c);

#endif
