/* One instruction alone, decoded in the cpu's present mode at cpu->rip, followed by a stop. */
#ifndef TESTS_EXEC_ALONE_H
#define TESTS_EXEC_ALONE_H

#include "cpu/decode.h"
#include "tests/random.h"
#include "tests/rig.h"

struct alone {
    struct insn insns[2];
};

static inline void alone_decode(struct alone *alone, struct cpu *cpu, const uint8_t *bytes,
                                size_t length)
{
    uint8_t padded[INSN_LENGTH_MAX] = {0};
    memcpy(padded, bytes, length);
    cr_assert_eq(decode(padded, sizeof padded, cpu->mode, &cpu->model->features, &alone->insns[0]),
                 DECODE_OK);
    cr_assert_eq(alone->insns[0].length, length);
    alone->insns[1] = (struct insn){.exec = exec_stop, .offset = (uint16_t)length};
}

/* EXEC_STOP: done, rip after it; EXEC_FAULT: rip at it, the fault is pending; EXEC_LEAVE: branch.
 */
static inline int alone_run(struct alone *alone, struct cpu *cpu)
{
    cpu->block = NULL;
    cpu->block_rip = cpu->rip;
    /* WHY: a branch must come back here, not go on in a block. */
    atomic_store(&cpu->attention, 1);
    int result = alone->insns[0].exec(cpu, alone->insns);
    return result == EXEC_NEXT ? alone->insns[1].exec(cpu, &alone->insns[1]) : result;
}

/* Runs the instruction in name##_start[] .. name##_end[]. */
#define alone(cpu, name) alone_bytes(cpu, name##_start, (size_t)(name##_end - name##_start))
static inline int alone_bytes(struct cpu *cpu, const uint8_t *bytes, size_t length)
{
    struct alone alone;
    alone_decode(&alone, cpu, bytes, length);
    return alone_run(&alone, cpu);
}

#endif
