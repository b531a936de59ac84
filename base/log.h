/* The process log: channels chosen with -d, written to stderr or to the file of -D.
 *
 * Each VM is one process, so there is one log.  A line costs one test of a mask when its channel is
 * off.  Channels that a guest can trigger at will (guest_errors, unimp) are rate-limited.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/bits.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdio.h>

/* name on the command line, what it shows */
#define LOG_CHANNELS(CHANNEL)                                                                      \
    CHANNEL(INT, "int", "interrupts and exceptions, with the registers at each")                   \
    CHANNEL(CPU_RESET, "cpu_reset", "registers at reset and at shutdown")                          \
    CHANNEL(GUEST_ERROR, "guest_errors", "nonsense that the guest asked of a device")              \
    CHANNEL(UNIMP, "unimp", "requests for what ring3 does not have")                               \
    CHANNEL(IN_ASM, "in_asm", "guest code as it is translated")                                    \
    CHANNEL(OUT_ASM, "out_asm", "the host code that it becomes; with in_asm, side by side")        \
    CHANNEL(CALLOUT, "callout", "at the end: the callouts by instruction, their sites and runs")   \
    CHANNEL(EXEC, "exec", "each block as it is entered: linear address, mode; links are off")      \
    CHANNEL(SMC, "smc", "writes to code that kill or patch blocks")                                \
    CHANNEL(MMU, "mmu", "the shadow MMU: fills and flushes")

enum log_channel {
#define LOG_ENUM(id, name, help) LOG_##id,
    LOG_CHANNELS(LOG_ENUM)
#undef LOG_ENUM
        LOG_CHANNEL_COUNT
};

extern unsigned log_mask; /* bit n: channel n is on; read by log_enabled() only */

static inline bool log_enabled(enum log_channel channel)
{
    return unlikely(log_mask & (1u << channel));
}

/* Turns on the comma-separated `channels`; an unknown name is -EINVAL with the list of names. */
int log_select(const char *channels, struct error *error);
/* in_asm, out_asm and exec show only what begins at linear addresses in the ranges of `text`,
 * separated by commas: START+SIZE, START-SIZE (so many bytes up to START) or START..END (END
 * included), instead of those given before.  -EINVAL with a line that begins with `what`. */
int log_filter(const char *what, const char *text, struct error *error);
/* Does the filter let this address pass? */
bool log_wants(uint64_t linear);
/* Turns every channel off. */
void log_select_none(void);
/* Sends the log to `path` (created, truncated) from now on; negative errno on failure. */
int log_open(const char *path, struct error *error);
/* One row a channel: name and help, for "-d help". */
void log_list(FILE *out);
/* Writes a line to the log if the channel is on; rate-limited for guest_errors and unimp. */
void log_line(enum log_channel channel, const char *format, ...) printf_like(2, 3);
/* The stream behind the log, for multi-line dumps under log_enabled(). */
FILE *log_stream(void);

/* A guest asked `device` for nonsense; the result is defined, the line is for the curious. */
#define guest_error(...) log_line(LOG_GUEST_ERROR, __VA_ARGS__)
#define log_unimp(...)   log_line(LOG_UNIMP, __VA_ARGS__)

#endif
