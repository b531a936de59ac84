/* Where a case ended otherwise in an engine than on the host, and what of it the manuals leave to
 * the maker of a processor. */
#ifndef CONFORM_HOST_COMPARE_H
#define CONFORM_HOST_COMPARE_H

#include "conform/host_case.h"

#include <stdio.h>

enum host_aspect {
    ASPECT_EXCEPTION, /* bit 0: whether, and which */
    ASPECT_DETAIL,    /* bit 0: its error code, bit 1: its address */
    ASPECT_REGISTERS, /* bit n: register n */
    ASPECT_RIP,       /* bit 0 */
    ASPECT_FLAGS,     /* these bits of RFLAGS, of the status and control words, of MXCSR */
    ASPECT_X87_STATUS,
    ASPECT_X87_CONTROL,
    ASPECT_MXCSR,
    ASPECT_X87_TAGS,  /* bit n: whether R(n) is empty */
    ASPECT_X87_STACK, /* bit n: ST(n) */
    ASPECT_VECTORS,   /* bit n: YMM(n) */
    ASPECT_MEMORY,    /* bit n: of the data, bytes 256 * n and on */
    ASPECTS
};

/* By aspect, what differs; or what may. */
struct host_mismatch {
    uint32_t bits[ASPECTS];
};

static inline bool host_mismatch_any(const struct host_mismatch *mismatch)
{
    uint32_t any = 0;
    for (unsigned i = 0; i < ASPECTS; i++)
        any |= mismatch->bits[i];
    return any;
}

/* A case, and what came of it. */
struct host_event {
    const struct host_case *c;
    const struct host_result *host, *ring3;
};

void host_compare(const struct host_event *event, struct host_mismatch *mismatch);
/* "rax 1, host 2" and so on, with `separator` between. */
void host_describe(FILE *to, const struct host_event *event, const struct host_mismatch *mismatch,
                   const char *separator);

/* --- host_freedoms.c */

struct host_freedom {
    const char *name, *reason;
    bool of_amd; /* only where the host is AMD's */
    /* Adds to *free what of the event the freedom covers. */
    void (*add)(const struct host_event *event, struct host_mismatch *free);
};
extern const struct host_freedom host_freedoms[];
extern const unsigned host_freedom_count;

/* Takes from *mismatch what freedoms cover: bit n of the result for row n; 0: none covers any. */
uint64_t host_freedoms_take(const struct host_event *event, struct host_mismatch *mismatch);

#endif
