/* `ring3 conform`: runs captured instruction vectors and says what agrees. */
#ifndef CONFORM_CONFORM_H
#define CONFORM_CONFORM_H

#include <stdio.h>

/* argv[0] is "conform".  Results go to `out`, progress and complaints to `err`.  Returns the exit
 * status: 0 only if every case of every file was read and passed. */
int conform_main(int argc, char *const argv[], FILE *out, FILE *err);

#endif
