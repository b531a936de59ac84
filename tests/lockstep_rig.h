/* A bare machine's processor and its twin in lockstep; setup() and teardown() around each test. */
#ifndef TESTS_LOCKSTEP_RIG_H
#define TESTS_LOCKSTEP_RIG_H

#include "machine/lockstep.h"
#include "tests/rig.h"

#include <stdio.h>

enum { CODE = 0x1000, IDT = 0x30000, GDT = 0x31000, DATA = 0x100000 };

static struct rig rig;
static struct lockstep *lockstep;
static struct lockstep_probe probe;
static struct cpu_ops ops; /* the leader's */
static char *report;
static size_t report_bytes;
static FILE *report_file;

static inline void setup(void)
{
    rig_init(&rig);
    ops = rig_ops;
    rig.cpu->ops = &ops;
    report_file = open_memstream(&report, &report_bytes);
    probe = (struct lockstep_probe){.opaque = &rig};
}
static inline void begin(void)
{
    struct error error;
    cr_assert_eq(lockstep_new(&lockstep, rig.cpu, 77, report_file, &error), 0);
    lockstep_watch(lockstep, &probe);
}
static inline void teardown(void)
{
    lockstep_free(lockstep);
    lockstep = NULL;
    rig_free(&rig);
    fclose(report_file);
    free(report);
}

/* Runs until HLT with interrupts off. */
static inline void run_without_difference(void)
{
    while (!rig.cpu->halted || rig.cpu->eflags & F_IF) {
        enum cpu_exit reason = lockstep_run(lockstep);
        cr_assert(reason == CPU_EXIT_HALTED || !lockstep_difference(lockstep), "%s",
                  lockstep_difference(lockstep));
        cr_assert_neq(reason, CPU_EXIT_SHUTDOWN);
        if (reason == CPU_EXIT_HALTED && rig.cpu->eflags & F_IF) {
            rig.interrupt_vector = 0x40;
            cpu_raise_line(rig.cpu, LINE_INTR);
        }
    }
    cr_expect_not(lockstep_finish(lockstep), "%s", lockstep_difference(lockstep));
}

static inline void expect_difference(const char *field, const char *name)
{
    enum cpu_exit reason = lockstep_run(lockstep);
    cr_assert_eq(reason, CPU_EXIT_KICKED, "%s: not found", name);
    fflush(report_file);
    cr_assert_not_null(lockstep_difference(lockstep));
    cr_expect_not_null(strstr(lockstep_difference(lockstep), field), "%s: %s", name,
                       lockstep_difference(lockstep));
    cr_expect_eq(lockstep_run(lockstep), CPU_EXIT_KICKED, "%s: goes on", name);
    cr_expect(lockstep_finish(lockstep));
}

#endif
