/* Debug registers around a snippet.  Sources: SDM 3B §18.2 (registers), §18.3 (exceptions). */
#ifndef SYSTEM_DEBUG_H
#define SYSTEM_DEBUG_H

#include "system.h"

enum { FLAG_TF = 1 << 8 };
enum { DR6_BD = 1 << 13, DR6_BS = 1 << 14, DR6_BT = 1 << 15, DR6_BITS = 0xe00f };
enum { BREAK_EXECUTE, BREAK_WRITE, BREAK_IO, BREAK_ACCESS };

/* DR7's bits for breakpoint `n`: enabled, of `bytes` 1, 2, 4 or 8. */
static inline uint32_t dr7_of(unsigned n, unsigned kind, unsigned bytes)
{
    static const uint8_t lengths[] = {[1] = 0, [2] = 1, [4] = 3, [8] = 2};

    return 1u << 2 * n | (kind | (uint32_t)lengths[bytes] << 2) << (16 + 4 * n);
}

/* attempt() with these breakpoints; DR6 is that of the attempt afterwards. */
static inline struct state debugged(const struct state *start, uint32_t dr7)
{
    write_dr6(DR6_RESET);
    write_dr7(dr7 | DR7_RESET);
    struct state end = attempt(start);
    write_dr7(DR7_RESET);
    return end;
}

/* The same, and compared: only for what leaves in the way that a verdict can tell. */
static inline struct state case_debugged(const struct snippet *snippet, const struct state *start,
                                         uint32_t dr7, struct verdict expected, const char *what)
{
    struct state end = debugged(start, dr7);

    case_compare(snippet, start, &end, expected, "%s", what);
    return end;
}

#endif
