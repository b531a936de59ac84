/* `ring3 conform` in this process, on files in a folder of the test's own. */
#ifndef TESTS_CONFORM_RIG_H
#define TESTS_CONFORM_RIG_H

#include "conform/conform.h"
#include "tests/command_rig.h"

#include <stdint.h>

static inline struct run run(const char *arguments)
{
    return run_command(conform_main, "conform", arguments);
}

static inline void expect(const char *arguments, int status, const char *in_out,
                          unsigned complaints)
{
    struct run result = run(arguments);
    cr_expect_eq(result.status, status, "%s: status %d: %s", arguments, result.status, result.err);
    cr_expect_not_null(strstr(result.out, in_out), "%s: no '%s' in:\n%s", arguments, in_out,
                       result.out);
    cr_expect_eq(result.complaints, complaints, "%s: %s", arguments, result.err);
    done(&result);
}

#endif
