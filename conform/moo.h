/* Reads vectors in the MOO format, version 1 (dbalsom/moo).
 *
 * A file is untrusted: each length is checked against what encloses it before anything is read.
 */
#ifndef CONFORM_MOO_H
#define CONFORM_MOO_H

#include "conform/file_bytes.h"
#include "conform/vector.h"

struct moo {
    const struct file_bytes *file;
    size_t next;              /* offset of the chunk to read */
    char cpu[5];              /* the processor's id without its padding: "8086", "C286", "386E" */
    uint32_t declared, cases; /* as the head says; read or found damaged so far */
    struct vector_registers masks; /* for all cases */
};

/* Reads the file's head.  Negative errno, and the line, when it is no such file. */
int moo_open(struct moo *moo, const struct file_bytes *file, struct error *error);
/* The next case.  After the end: READ_END, always. */
enum read_result moo_next(struct moo *moo, struct test_case *test, struct error *error);

#endif
