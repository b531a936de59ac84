/* A whole machine in lockstep: device input and interrupts are shared, resets and sleep too; a
 * difference ends the run with status 1. */
#include "machine/lockstep.h"
#include "machine/machine_priv.h"
#include "tests/machine_rig.h"

static void setup(void)
{
    setup_machine();
    config.lockstep = true;
}
/* A reset boots the kernel again, so it stays until the end. */
static void teardown(void)
{
    unlink(kernel_name);
}
TestSuite(lockstep_machine, .init = setup, .fini = teardown, .timeout = 120);

/* clang-format off */
/* Reads the clock chip, the timer and the TSC a thousand times and adds all up in memory. */
static const uint8_t clocks[] = {
    0xb9, 0xe8, 3, 0, 0,            /* mov ecx, 1000 */
    0x31, 0xc0, 0xe6, 0x70,         /* xor eax, eax; out 70h, al */
    0xe4, 0x71, 0x01, 0xc3,         /* in al, 71h; add ebx, eax */
    0xe4, 0x40, 0x01, 0xc3,         /* in al, 40h; add ebx, eax */
    0x0f, 0x31, 0x01, 0xc3,         /* rdtsc; add ebx, eax */
    0x89, 0x1d, BEYOND & 0xff, BEYOND >> 8 & 0xff, BEYOND >> 16, 0, /* mov [BEYOND], ebx */
    0xe2, 0xe8,                     /* loop */
    LEAVE(3), HALT,
};
/* Counts its starts in memory that no reset touches, and resets itself twice. */
static const uint8_t resets[] = {
    0xfe, 0x05, BEYOND & 0xff, BEYOND >> 8 & 0xff, BEYOND >> 16, 0,
    0xa0, BEYOND & 0xff, BEYOND >> 8 & 0xff, BEYOND >> 16, 0,
    0x3c, 3, 0x74, 10,
    OUT8(0xcf9, 6), HALT,
    LEAVE(3), HALT,
};
/* clang-format on */

Test(lockstep_machine, what_a_guest_reads_of_time_is_shared)
{
    struct machine *machine = new_machine(clocks, sizeof clocks);
    cr_expect_eq(machine_run(machine), 7);
    cr_expect_null(machine_failure(machine), "%s", machine_failure(machine));
    cr_expect_gt(lockstep_counts(machine->lockstep)->accesses, 4000);
    cr_expect_eq(lockstep_counts(machine->lockstep)->memories, 1);
    machine_free(machine);
}

Test(lockstep_machine, resets_are_followed)
{
    struct machine *machine = new_machine(resets, sizeof resets);
    cr_expect_eq(machine_run(machine), 7);
    cr_expect_null(machine_failure(machine), "%s", machine_failure(machine));
    machine_free(machine);
}

static void flip(void *opaque, struct cpu *leader, uint64_t turn)
{
    if (turn == 500)
        leader->regs[RSI] ^= 1;
}

Test(lockstep_machine, a_difference_ends_the_run_with_status_1)
{
    static const struct lockstep_probe probe = {.leader_ran = flip};
    struct machine *machine = new_machine(clocks, sizeof clocks);
    lockstep_watch(machine->lockstep, &probe);
    cr_expect_eq(machine_run(machine), 1);
    cr_assert_not_null(machine_failure(machine));
    cr_expect_not_null(strstr(machine_failure(machine), "RSI"), "%s", machine_failure(machine));
    machine_free(machine);
}
