/* A generated case in ring3's own format. */
#ifndef CONFORM_HOST_SAVE_H
#define CONFORM_HOST_SAVE_H

#include "conform/host_compare.h"
#include "conform/state_case.h"
#include "cpu/features.h"

/* The event's case, expecting what the host did; what a freedom covers is ignored.  `features` are
 * those that it ran with.  False: out of memory. */
bool host_save(const struct host_event *event, const struct feature_set *features,
               struct state_case *to);
/* 16, 32, 64 */
unsigned host_code_bits(const struct host_case *c);

#endif
