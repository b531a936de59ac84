/* Reads vectors in the MOO format, version 1 (dbalsom/moo), plain or gzipped.
 *
 * A file is untrusted: each length is checked against what encloses it before anything is read.
 */
#ifndef CONFORM_MOO_H
#define CONFORM_MOO_H

#include "base/error.h"
#include "conform/vector.h"

#include <stddef.h>

struct moo {
    const char *path; /* the caller's */
    uint8_t *bytes;
    size_t size;
    size_t next;              /* offset of the chunk to read */
    char cpu[5];              /* the processor's id without its padding: "8086", "C286", "386E" */
    uint32_t declared, cases; /* as the head says; read or found damaged so far */
    struct vector_registers masks; /* for all cases */
};

enum moo_result {
    MOO_CASE,
    MOO_END,
    MOO_DAMAGED, /* *error has the line; go on, for what follows may be whole */
};

/* Reads the whole file and its head.  Negative errno, and the line, when it is no such file. */
int moo_open(struct moo *moo, const char *path, struct error *error);
void moo_close(struct moo *moo);
/* The next case.  After the end: MOO_END, always. */
enum moo_result moo_next(struct moo *moo, struct test_case *test, struct error *error);

#endif
