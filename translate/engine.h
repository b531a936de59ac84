/* The binary translator of one cpu: hot blocks become host code.
 *
 * A new block gets a handler before its first instruction that counts; after a few executions the
 * block is translated, and the handler enters its code.  Nothing else of the interpreter knows of
 * it: run loop, links and jump cache all run a block through its first handler.
 *
 *   decoded ──(counted)──> translated ──> linked: translated blocks jump to it directly
 *                               │
 *                               ├─ the block is killed (a write, a flush): unlinked for good
 *                               └─ its region of the code cache is needed: unlinked, counted anew
 *
 * INV-1: translated code leaves with rip, registers, flags and vectors in struct cpu, as the
 *        interpreter keeps them; what is left in the host's x87 (native.x87_live) its caller
 *        fetches.
 * INV-2: no jump leads into a translation whose block is dead or evicted.
 * INV-3: code is evicted, and blocks are translated, only while no translated code is running.
 */
#ifndef TRANSLATE_ENGINE_H
#define TRANSLATE_ENGINE_H

#include "cpu/cpu.h"

struct translator;
struct trace_writer;

/* Which address spaces reach their data through windows (softmmu/window.h): those that have earned
 * them, none, or all from the start. */
enum windows_use { WINDOWS_AUTO, WINDOWS_OFF, WINDOWS_ALWAYS };

struct translate_options {
    size_t cache_bytes;      /* 0: CODE_CACHE_DEFAULT_MIB */
    unsigned threshold;      /* executions before a block is translated; 0: the default, and later
                             * where code keeps changing */
    uint64_t limit;          /* translate only so many blocks; 0: no limit */
    bool no_chain;           /* no links: every block returns */
    bool one_insn_per_block; /* in any engine */
    bool count;              /* keep cpu->instructions exact */
    bool shared;             /* other processors see the memory too: LOCK means something */
    enum windows_use windows;
};

/* Gives `cpu` a translator, before it runs.  Negative errno and a line when the host has no memory
 * for it or refuses to execute it; the cpu is then as it was, and interprets. */
int translator_attach(struct cpu *cpu, const struct translate_options *options,
                      struct error *error);
/* Before the cpu runs: writes what is translated to `trace`, which is closed after the detach.
 * Nothing when the cpu has no translator. */
void translator_trace(struct cpu *cpu, struct trace_writer *trace);
/* What the translator counted, a line each; nothing when the cpu has none. */
void translator_describe(const struct cpu *cpu, FILE *out);
/* The instructions that were rewritten into callouts: sites by mode, and how often they ran.  An
 * instruction of a block that is translated again counts as a site again. */
void translator_describe_callouts(const struct cpu *cpu, FILE *out);
/* Takes it away; the cpu is not running. */
void translator_detach(struct cpu *cpu);

#endif
