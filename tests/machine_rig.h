/* A whole machine under a small kernel written in bytes. */
#ifndef TESTS_MACHINE_RIG_H
#define TESTS_MACHINE_RIG_H

#include "machine/machine.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KERNEL_AT = 0x100000, CODE_AT = KERNEL_AT + 0x20, BEYOND = 0x108000 };

static struct loop loop;
static struct machine_config config;
static struct error error;
static char kernel_name[32];

/* Of a multiboot kernel of `code`, which starts at CODE_AT in 32-bit protected mode.  A reset boots
 * the file again: unlink(kernel_name) at the end. */
static inline struct machine *new_machine(const void *code, size_t length)
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

/* 16 MiB, and a byte written to port 501h ends the run. */
static inline void setup_machine(void)
{
    machine_config_init(&config);
    config.memory_bytes = 16 << 20;
    config.debug_exit = true;
    config.debug_exit_iobase = 0x501;
    config.debug_exit_iosize = 1;
    cr_assert_eq(loop_init(&loop, NULL), 0);
}

/* clang-format off */
#define OUT8(port, value) 0x66, 0xba, (port) & 0xff, (port) >> 8, 0xb0, (value), 0xee
#define OUT16(port, value) \
    0x66, 0xba, (port) & 0xff, (port) >> 8, 0x66, 0xb8, (value) & 0xff, (value) >> 8, 0x66, 0xef
#define LEAVE(value) OUT8(0x501, value)
#define HALT 0xf4, 0xeb, 0xfd
/* clang-format on */

#endif
