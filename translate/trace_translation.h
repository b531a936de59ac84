/* From a translation in the making to whoever wants to see it: the block trace, and the logs in_asm
 * and out_asm. */
#ifndef TRANSLATE_TRACE_TRANSLATION_H
#define TRANSLATE_TRACE_TRANSLATION_H

#include "translate/trace_file.h"
#include "translate/translating.h"

/* Does anybody?  Then a block's code is in one piece. */
bool trace_wants_listings(const struct translator *translator);
/* Called when the code is whole; the cpu stands before the block.  Gives the translation its id. */
void trace_translation(const struct cpu *cpu, const struct translating *t);
/* The translation will not run any more. */
void trace_translation_dropped(const struct translator *translator,
                               const struct translated *translation);

#endif
