/* Task states as the task topic writes and reads them, and tasks that catch faults.
 * Sources: SDM 3A §8.2.1 (figure 8-2), §8.6 (figure 8-10). */
#ifndef SYSTEM_TASK_H
#define SYSTEM_TASK_H

#include "model.h"

enum {
    TASK_AT = FREE_BASE,               /* of the task that is switched to */
    TASK_OLD_AT = FREE_BASE + 0x200,   /* of a 16-bit task that runs */
    TASK_CATCH_AT = FREE_BASE + 0x400, /* of those that catch faults, by vector */
    TSS32_LIMIT = 0x67,
    TSS16_LIMIT = 0x2b,

    SEL_TASK = SEL_SCRATCH,
    SEL_TASK_OLD = SEL_SCRATCH + 8,
    SEL_TASK_GATE = SEL_SCRATCH + 0x10,
    SEL_TASK_CATCH = SEL_SCRATCH + 0x20, /* and the 15 after it */
    SEL_TASK_SEGMENT = SEL_SCRATCH + 0x100,
};

enum { TASK_ES, TASK_CS, TASK_SS, TASK_DS, TASK_FS, TASK_GS, TASK_SEGMENTS };

/* What a task switch saves and loads. */
struct task {
    uint32_t ip, flags, gpr[8];
    uint16_t segments[TASK_SEGMENTS], ldt;
};

/* A task at `cpl` that begins at the snippet's end, in 16-bit code, with a value in every register.
 */
struct task task_at(const struct snippet *snippet, unsigned cpl);
/* Writes a whole TSS, its inner stacks included; `link` is the previous task's selector. */
void task_put(uint32_t at, bool is_32, const struct task *task, unsigned link);
/* Reads what a switch saves; FS and GS are 0 in a 16-bit TSS. */
struct task task_get(uint32_t at, bool is_32);

/* Tables as at first, with task gates to tasks that catch #TS, #NP, #SS and #GP, whatever state the
 * faulting task is in, and, if not `is_32`, a 16-bit task that runs. */
void task_reset(bool is_32);
/* Runs; if the end was caught, CS, IP and the flags are those of the task that faulted. */
struct state task_attempt(const struct state *start);

#endif
