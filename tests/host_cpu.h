/* One instruction on the host's processor, and one in the interpreter, from the same state. */
#ifndef TESTS_HOST_CPU_H
#define TESTS_HOST_CPU_H

#include "cpu/features.h"

#include <stdbool.h>
#include <stdint.h>

/* Where code and data lie, for both; the pages around them are not mapped. */
enum {
    SANDBOX_CODE = 0x100000,
    SANDBOX_DATA = 0x200000,
    SANDBOX_BYTES = 0x2000,
    SANDBOX_ENTRY = SANDBOX_CODE + 0x100, /* of the instruction */
};

/* FXSAVE's image in 64-bit mode. */
struct fx_image {
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
_Static_assert(sizeof(struct fx_image) == 512, "as FXSAVE writes it");

struct cpu_state {
    uint64_t regs[16];
    uint64_t rip;
    uint32_t eflags;
    struct fx_image fx;
    uint8_t upper[16][16]; /* halves of the YMM registers; 0 where the host has none */
};

struct cpu_outcome {
    int vector; /* -1: no exception */
    uint32_t error;
    uint64_t address; /* of a page fault */
};

/* Which of the features in features.def this processor has. */
struct feature_set host_features(void);

/* Maps the sandbox and takes over the signals of the process. */
void host_cpu_open(void);
uint8_t *host_cpu_data(void); /* SANDBOX_BYTES */
/* Runs the instruction `code` (15 bytes readable) to its end, in 64-bit code or in 32-bit code. */
void host_cpu_run(const uint8_t *code, bool code_64, struct cpu_state *state,
                  struct cpu_outcome *outcome);

void guest_cpu_open(const struct feature_set *features);
void guest_cpu_close(void);
uint8_t *guest_cpu_data(unsigned page);
void guest_cpu_run(const uint8_t *code, bool code_64, struct cpu_state *state,
                   struct cpu_outcome *outcome);

#endif
