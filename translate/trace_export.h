/* A block trace in the formats of other tools. */
#ifndef TRANSLATE_TRACE_EXPORT_H
#define TRANSLATE_TRACE_EXPORT_H

#include "translate/trace_reader.h"

#include <stdio.h>

/* A range of linear addresses that the user has a name for. */
struct trace_module {
    const char *name;
    uint64_t start, size;
};

/* Coverage as DynamoRIO's drcov tool writes it; trace_drcov.c says how modules are chosen. */
int trace_export_drcov(const struct trace *trace, const struct trace_module *modules,
                       unsigned module_count, FILE *out, struct error *error);
/* The host addresses of the blocks as perf reads them from /tmp/perf-PID.map. */
int trace_export_perf_map(const struct trace *trace, FILE *out, struct error *error);

#endif
