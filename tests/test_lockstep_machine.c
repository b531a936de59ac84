/* A whole machine in lockstep: device input and interrupts are shared, resets and sleep too; a
 * difference ends the run with status 1. */
#include "machine/lockstep.h"
#include "machine/machine_priv.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>

enum { KERNEL_AT = 0x100000, CODE_AT = KERNEL_AT + 0x20, BEYOND = 0x108000 };

static struct loop loop;
static struct machine_config config;
static struct error error;
static char kernel_name[32];

static struct machine *new_machine(const void *code, size_t length)
{
    const uint32_t flags = 1 << 16;
    const uint32_t header[8] = {0x1badb002, flags,  -(0x1badb002 + flags), KERNEL_AT, KERNEL_AT, 0,
                                0,          CODE_AT};
    strcpy(kernel_name, "/tmp/ring3-test-XXXXXX");
    int fd = mkstemp(kernel_name);
    cr_assert_eq(write(fd, header, sizeof header), (ssize_t)sizeof header);
    cr_assert_eq(write(fd, code, length), (ssize_t)length);
    close(fd);
    config.kernel = kernel_name;
    struct machine *machine = machine_new(&config, &loop, &error);
    cr_assert_not_null(machine, "%s", error.text);
    return machine;
}

static void setup(void)
{
    machine_config_init(&config);
    config.memory_bytes = 16 << 20;
    config.debug_exit = true;
    config.debug_exit_iobase = 0x501;
    config.debug_exit_iosize = 1;
    config.lockstep = true;
    cr_assert_eq(loop_init(&loop, NULL), 0);
}
/* A reset boots the kernel again, so it stays until the end. */
static void teardown(void)
{
    unlink(kernel_name);
}
TestSuite(lockstep_machine, .init = setup, .fini = teardown, .timeout = 120);

/* clang-format off */
#define OUT8(port, value) 0x66, 0xba, (port) & 0xff, (port) >> 8, 0xb0, (value), 0xee
#define LEAVE(value) OUT8(0x501, value)
#define HALT 0xf4, 0xeb, 0xfd

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
