/* A case for the host's own processor: one instruction, the state and the data before it, and what
 * came of it, on the host or in an engine of ring3's.
 *
 * INV-1: nothing but the sandbox's three pages is mapped where a case can reach, in any of them.
 */
#ifndef CONFORM_HOST_CASE_H
#define CONFORM_HOST_CASE_H

#include "base/bits.h"
#include "cpu/insn.h"

/* Linear addresses.  WHY below 2 MiB: the same place is free in a process and in the machines that
 * cases of ring3's own format start from (preset.h). */
enum {
    HOST_BASE =
        0x100000, /* of all segments of 16-bit code, whose limit is FFFF; else they are flat */
    HOST_CODE = HOST_BASE + 0x4000,           /* one page, not writable on the host */
    HOST_CODE_LAST = HOST_CODE + 0x1000 - 16, /* where a case's bytes all lie in it */
    HOST_DATA = HOST_BASE + 0x8000,
    HOST_DATA_BYTES = 0x2000,
    HOST_LOW_END = HOST_BASE + 0x20000, /* no process has anything else below */
};

/* FXSAVE's image in 64-bit mode. */
struct host_fx {
    uint16_t control, status;
    uint8_t valid, reserved;
    uint16_t opcode;
    uint64_t code_offset, data_offset;
    uint32_t mxcsr, mxcsr_mask;
    struct {
        uint64_t mantissa;
        uint16_t exponent, unused[3];
    } st[8]; /* relative to TOP */
    uint8_t xmm[16][16];
    uint8_t rest[96];
} __attribute__((aligned(16)));
_Static_assert(sizeof(struct host_fx) == 512, "as FXSAVE writes it");

struct host_state {
    uint64_t regs[16];
    uint64_t rip; /* offset in CS */
    uint32_t eflags;
    struct host_fx fx;
    uint8_t upper[16][16]; /* halves of the YMM registers; 0 where the host has none */
};

enum { HOST_NEVER_ENDED = 256 };

struct host_outcome {
    int vector; /* -1: no exception; HOST_NEVER_ENDED: in an engine, it goes round in circles */
    uint32_t error;
    uint64_t address; /* of a page fault */
};

struct host_case {
    uint64_t number;   /* under its seed */
    uint8_t code_size; /* CODE_16, CODE_32, CODE_64 */
    bool variant;      /* which of two ways an engine takes: host_engine.h */
    bool memory;       /* there is an operand in memory, at linear `address` */
    bool gathers;      /* … or several */
    bool resumes;      /* a trap may come while it is half done: repeated, or a gather */
    uint8_t bytes[16];
    struct insn insn; /* as our decoder has it */
    uint64_t address;
    struct host_state state;
    uint8_t data[HOST_DATA_BYTES];
};

struct host_result {
    struct host_outcome outcome;
    struct host_state state;
    uint8_t data[HOST_DATA_BYTES];
    int killed; /* the signal that ended the process that ran it; 0: none */
};

/* What segments add to an offset: HOST_BASE in 16-bit code, else 0. */
uint64_t host_case_base(const struct host_case *c);
/* Bytes of `bytes` that lie in the code page. */
unsigned host_case_fetched(const struct host_case *c);
/* Its row of the opcode table. */
const struct opcode_row *host_case_row(const struct host_case *c);

#endif
