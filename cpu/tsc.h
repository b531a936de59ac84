/* The time-stamp counter without a look at the machine's clock each time: a line through it, drawn
 * by the host's TSC, which holds for some milliseconds.  Translated code reads along the same line.
 *
 *      TSC = base + (host's TSC - from) * slope >> 32        while that difference is below `span`
 *
 * INV-1: what is read never goes back, whether along a line or anew; but for a clock that was set
 *        back on purpose.
 * INV-2: there is a line only while the machine says that its clock is steady, and the host's TSC
 *        ticks at one rate (CPUID 80000007h); it is never off the clock by more than some
 *        microseconds.
 */
#ifndef CPU_TSC_H
#define CPU_TSC_H

#include <stdbool.h>
#include <stdint.h>

struct cpu;

struct cpu_tsc {
    bool possible;       /* the host's TSC ticks at one rate */
    uint64_t from, span; /* of the host's TSC; span 0: no line */
    uint64_t base, slope;
    uint64_t floor;                     /* what was read, up to the end of the last line */
    uint64_t rate;                      /* cycles per 2^32 of the host's, as measured; 0: not yet */
    uint64_t sample_host, sample_clock; /* both at once, to measure from; 0: none */
};

/* Cycles since power-on. */
uint64_t tsc_read(struct cpu *cpu);
/* The clock may have stood still: what was measured until now says nothing of what follows. */
void tsc_interrupted(struct cpu *cpu);
void tsc_init(struct cpu_tsc *tsc);

#endif
