/* A file of cases in any of the formats that ring3 reads, told apart by how it begins. */
#ifndef CONFORM_SOURCE_H
#define CONFORM_SOURCE_H

#include "conform/file_bytes.h"
#include "conform/json_cases.h"
#include "conform/moo.h"
#include "conform/r3v.h"

enum source_kind { SOURCE_MOO, SOURCE_JSON, SOURCE_R3V };

struct source {
    struct file_bytes file;
    enum source_kind kind;
    unsigned cases; /* read or found damaged so far */
    union {
        struct moo moo;
        struct json_cases json;
        struct r3v r3v;
    };
};

/* Reads the whole file and its head.  Negative errno, and the line, when it holds no cases. */
int source_open(struct source *source, const char *path, struct error *error);
void source_close(struct source *source);
/* The next case, valid until the one after: in *test, or, of ring3's own format, in
 * source->r3v.present.  After the end: READ_END, always. */
enum read_result source_next(struct source *source, struct test_case *test, struct error *error);
/* The processor as the file names it: "8086", "C286", "386E"; "" if it does not say. */
const char *source_cpu(const struct source *source);
/* How much of it has been read, 0 to 1. */
double source_progress(const struct source *source);

#endif
