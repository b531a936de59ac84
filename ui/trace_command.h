/* `ring3 trace`: reads a block trace. */
#ifndef UI_TRACE_COMMAND_H
#define UI_TRACE_COMMAND_H

#include <stdio.h>

/* `argv[0]` is "trace".  Returns the exit status. */
int trace_main(int argc, char *const argv[], FILE *out, FILE *err);

#endif
