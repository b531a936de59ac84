/* See cpu/tsc.h.  SDM 3B §17.17 (invariant TSC). */
#include "cpu/tsc.h"

#include "cpu/cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <x86intrin.h>

enum {
    SPAN = 1 << 23,          /* a few milliseconds */
    LOOK_MAX = 1 << 14,      /* a look at both clocks that took longer was interrupted */
    BASELINE_MIN = 1 << 21,  /* the first measurement of the rate */
    BASELINE_NEXT = 1 << 25, /* those that follow */
    SET_BACK = 1000 * 1000,  /* a clock that goes back as far was set */
};
#define BASELINE_MAX (UINT64_C(1) << 32)

void tsc_init(struct cpu_tsc *tsc)
{
    unsigned eax, ebx, ecx, edx;
    *tsc = (struct cpu_tsc){.possible =
                                __get_cpuid(0x80000007, &eax, &ebx, &ecx, &edx) && edx >> 8 & 1};
}

static uint64_t scale(uint64_t value, uint64_t by)
{
    return (uint64_t)((unsigned __int128)value * by >> 32);
}

static uint64_t line_at(const struct cpu_tsc *tsc, uint64_t host)
{
    const uint64_t after = host - tsc->from;
    return tsc->base + scale(after < tsc->span ? after : tsc->span, tsc->slope);
}

static void measure(struct cpu_tsc *tsc, uint64_t host, uint64_t clock)
{
    const uint64_t elapsed = host - tsc->sample_host;
    if (tsc->sample_host && clock >= tsc->sample_clock && elapsed < 2 * BASELINE_MAX) {
        if (elapsed < (tsc->rate ? BASELINE_NEXT : BASELINE_MIN))
            return;
        const uint64_t passed = clock - tsc->sample_clock;
        tsc->rate = (uint64_t)(((unsigned __int128)passed << 32) / elapsed);
        if (elapsed < BASELINE_MAX)
            return;
    }
    tsc->sample_host = host;
    tsc->sample_clock = clock;
}

/* From `value` now to where the clock will be at the line's end. */
static void draw(struct cpu_tsc *tsc, uint64_t host, uint64_t clock, uint64_t value)
{
    const uint64_t ahead = ((value - clock) << 32) / SPAN, least = tsc->rate / 2;
    tsc->from = host;
    tsc->base = value;
    tsc->slope = ahead < least ? tsc->rate - ahead : least;
    tsc->span = tsc->rate && tsc->rate >> 34 == 0 ? SPAN : 0;
}

static never_inline uint64_t read_anew(struct cpu *cpu)
{
    struct cpu_tsc *tsc = &cpu->tsc;
    const uint64_t host = __rdtsc();
    const uint64_t clock = cpu->ops->tsc(cpu->machine, cpu);
    const uint64_t took = __rdtsc() - host;
    if (tsc->span)
        tsc->floor = line_at(tsc, host);
    const bool is_behind = clock < tsc->floor && tsc->floor - clock < SET_BACK;
    const uint64_t value = is_behind ? tsc->floor : clock;
    tsc->floor = value;
    tsc->span = 0;
    if (took < LOOK_MAX) {
        measure(tsc, host + took / 2, clock);
        draw(tsc, host + took / 2, clock, value);
    }
    return value;
}

uint64_t tsc_read(struct cpu *cpu)
{
    const struct cpu_tsc *tsc = &cpu->tsc;
    const uint64_t host = __rdtsc();
    if (likely(host - tsc->from < tsc->span))
        return line_at(tsc, host);
    if (!tsc->possible || !cpu->ops->tsc_is_steady || !cpu->ops->tsc_is_steady(cpu->machine))
        return cpu->ops->tsc(cpu->machine, cpu);
    return read_anew(cpu);
}

void tsc_interrupted(struct cpu *cpu)
{
    struct cpu_tsc *tsc = &cpu->tsc;
    if (tsc->span)
        tsc->floor = line_at(tsc, __rdtsc());
    tsc->span = tsc->sample_host = 0;
}

#else

void tsc_init(struct cpu_tsc *tsc)
{
    *tsc = (struct cpu_tsc){0};
}

uint64_t tsc_read(struct cpu *cpu)
{
    return cpu->ops->tsc(cpu->machine, cpu);
}

void tsc_interrupted(struct cpu *cpu)
{
}

#endif
