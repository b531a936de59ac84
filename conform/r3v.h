/* Reads cases of ring3's own format, version 1: FORMAT.md.
 *
 * A file is untrusted: a line that is not as the format says costs its case; the next one begins at
 * the next line that says `case`.
 */
#ifndef CONFORM_R3V_H
#define CONFORM_R3V_H

#include "conform/file_bytes.h"
#include "conform/state_case.h"
#include "conform/vector.h"

#define R3V_HEAD "r3v 1"

struct r3v {
    const struct file_bytes *file;
    size_t next, at; /* offset of the next line, of the present one */
    unsigned line;   /* number of the present one, from 1 */
    bool lost;       /* behind damage: on to the next case */
    struct state_case present;
};

/* Negative errno, and the line, when it does not begin as such a file. */
int r3v_open(struct r3v *r3v, const struct file_bytes *file, struct error *error);
void r3v_close(struct r3v *r3v);
/* The next case is r3v->present. */
enum read_result r3v_next(struct r3v *r3v, struct error *error);

#endif
