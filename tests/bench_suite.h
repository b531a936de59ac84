/* One bench_cpu.h for each test: TestSuite(name, .init = setup, .fini = teardown). */
#ifndef TESTS_BENCH_SUITE_H
#define TESTS_BENCH_SUITE_H

#include "tests/bench_cpu.h"

static struct rig rig;

static inline void setup(void)
{
    rig_init(&rig);
    bench_tables(&rig);
}
static inline void teardown(void)
{
    rig_free(&rig);
}

#endif
