/* One processor over bare RAM, in an engine: what cases of every format run on.  No devices: ports
 * and addresses beyond RAM read as ones.
 *
 * It must not know what a case is, nor what it expects.
 */
#ifndef CONFORM_BARE_H
#define CONFORM_BARE_H

#include "cpu/cpu.h"
#include "translate/engine.h"

#include <pthread.h>

enum engine { ENGINE_INTERP, ENGINE_TRANSLATE, ENGINES };

enum { BARE_RAM_BYTES = 16 << 20 };

struct bare {
    struct cpu *cpu;
    struct physmem physmem;
    struct cpu_model model;
    struct frames frames;
    struct bus bus;
    pthread_t watch;
    pthread_mutex_t watch_lock;
    pthread_cond_t watch_changed;
    bool watching, stop;
    enum engine engine;
    bool keeps_faults; /* an exception ends the run, and is kept here: */
    bool faulted;
    struct cpu_fault fault;
};

/* "interp", "translate" */
const char *engine_name(enum engine engine);

/* `model` as -cpu takes it; `windows` is the translator's.  Negative errno, and the line, when the
 * host has not got the memory, or lets none be executed. */
int bare_init(struct bare *bare, const char *model, enum engine engine, enum windows_use windows,
              struct error *error);
void bare_free(struct bare *bare);
/* From now on it is bare_run_until_halt() that runs it, not bare_run_instruction().  Negative
 * errno.
 */
int bare_watch(struct bare *bare);

/* Where RAM's byte at `address` is kept, to write to; then bare_note() tells who may have cached
 * it. */
static inline uint8_t *bare_byte(struct bare *bare, uint32_t address)
{
    uint8_t *page = physmem_page_write(&bare->physmem, gpa_ppn(GPA(address)), NULL);
    return page + (address & PAGE_OFFSET_MASK);
}
static inline void bare_note(struct bare *bare, uint32_t address, unsigned length)
{
    physmem_note_write(&bare->physmem, GPA(address), length);
}
/* Was anything ever written to the page? */
static inline bool bare_page_is_used(struct bare *bare, uint32_t address)
{
    return physmem_mpn(&bare->physmem, gpa_ppn(GPA(address))).v != FRAMES_ZERO.v;
}

/* False: it goes round in circles, or has shut down. */
must_check bool bare_run_until_halt(struct bare *bare);
/* The one instruction at rip, which is `insn`, with all repetitions.  False: it does not end, or
 * has shut down. */
must_check bool bare_run_instruction(struct bare *bare, const struct insn *insn);
/* The first exception since bare_forget_exceptions(), or -1. */
int bare_exception(const struct bare *bare);
void bare_forget_exceptions(struct bare *bare);

#endif
