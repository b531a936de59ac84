/* What the translator has done, counted: for the monitor and for the end of a run. */
#ifndef TRANSLATE_REPORT_H
#define TRANSLATE_REPORT_H

#include "translate/engine.h"

struct translating;

/* The block has been translated: notes its callouts, by row and mode. */
void report_callouts(const struct translating *t);

#endif
