/* A block trace as text: what `ring3 trace` prints. */
#ifndef TRANSLATE_TRACE_REPORT_H
#define TRANSLATE_TRACE_REPORT_H

#include "translate/trace_reader.h"

#include <stdio.h>

/* How much there is of what. */
void trace_report_summary(const struct trace *trace, FILE *out);
/* One line a block, in the order of translation. */
void trace_report_list(const struct trace *trace, FILE *out);
/* One execution, as a line. */
void trace_report_execution(const struct traced_block *block, FILE *out);
/* Instructions per policy, in the code and as executed, and the most executed rows of each. */
int trace_report_policies(const struct trace *trace, FILE *out, struct error *error);
/* The `count` most executed blocks, guest and host code side by side. */
int trace_report_top(const struct trace *trace, FILE *out, size_t count, struct error *error);
/* One block, guest and host code side by side. */
int trace_report_block(const struct trace *trace, FILE *out, const struct traced_block *block,
                       struct error *error);

#endif
