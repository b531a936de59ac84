/* Guests that poke ports, device registers and PCI configuration at random: whatever they do, the
 * machine neither crashes nor hangs (the sanitized build is where this counts). */
#include "machine/machine.h"
#include "softmmu/physmem.h"
#include "tests/random.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    KERNEL_AT = 0x100000,
    CODE_AT = KERNEL_AT + 0x20,
    ENDS = 0x200000,
    ROUNDS = 40,
    ACTIONS = 3000
};

static const struct {
    uint16_t first, count;
} port_ranges[] = {
    {0x00, 16},  {0x20, 2},   {0x40, 4},   {0x60, 5},    {0x70, 2},        {0x80, 16},  {0x92, 1},
    {0xa0, 2},   {0xb2, 2},   {0xc0, 32},  {0xf0, 2},    {0x170, 8},       {0x1ce, 3},  {0x1f0, 8},
    {0x376, 1},  {0x3b0, 48}, {0x3f0, 16}, {0x402, 1},   {0x4d0, 2},       {0x510, 12}, {0x600, 64},
    {0x700, 16}, {0xafe0, 4}, {0xcf8, 8},  {0xc000, 16}, {0x0000, 0xffff},
};

static const struct {
    uint32_t first, bytes;
} memory_ranges[] = {
    {0xa0000, 0x20000},    {0xfec00000, 0x40}, {0xfee00000, 0x400}, {0xfed00000, 0x200},
    {0xfd000000, 0x10000}, {0xfcfff000, 4096}, {0xc0000, 0x40000},
};

static struct random dice;

static uint32_t random_below(uint32_t limit)
{
    return (uint32_t)((random_next(&dice) >> 16) % limit);
}

static uint8_t *put(uint8_t *at, const void *bytes, size_t length)
{
    return (uint8_t *)memcpy(at, bytes, length) + length;
}

/* Values that mean something more often than chance would have it. */
static uint32_t random_value(void)
{
    static const uint32_t telling[] = {0,    1,        0xff, 0xffff,     0xffffffff, 0x80,
                                       0x20, 0xec,     0x20, 0xa0,       0xc8,       0xca,
                                       0xe6, 0x100000, 0xd1, 0xfffff000, 0x7fffffff};
    return random_below(3) ? random_below(0xffffffff)
                           : telling[random_below((uint32_t)ARRAY_LENGTH(telling))];
}

/* Ports that can end the guest's run at once: reset (92h, CF9h, the 8042's commands) and power. */
static bool is_drastic(uint32_t port)
{
    return port == 0x92 || port == 0x64 || (port >= 0xcf8 && port < 0xcfc) ||
           (port >= 0x600 && port < 0x640);
}

static uint8_t *put_port_action(uint8_t *at, bool drastic)
{
    static const uint8_t opcodes[][2] = {{0x90, 0xee}, {0x66, 0xef}, {0x90, 0xef},
                                         {0x90, 0xec}, {0x66, 0xed}, {0x90, 0xed}};
    unsigned range = random_below((uint32_t)ARRAY_LENGTH(port_ranges));
    uint32_t value = random_value();
    uint32_t port = port_ranges[range].first + random_below(port_ranges[range].count);
    if (is_drastic(port) && !drastic)
        return at;
    at = put(at, &(uint8_t){0xba}, 1); /* mov edx, port */
    at = put(at, &port, 4);
    at = put(at, &(uint8_t){0xb8}, 1); /* mov eax, value */
    at = put(at, &value, 4);
    return put(at, opcodes[random_below((uint32_t)ARRAY_LENGTH(opcodes))], 2);
}

/* Configuration cycles to the functions that there are. */
static uint8_t *put_pci_action(uint8_t *at)
{
    static const uint32_t functions[] = {0x0000, 0x0800, 0x0900, 0x0b00, 0x1000};
    const uint32_t address = 0x80000000 | random_below(64) << 2 |
                             functions[random_below((uint32_t)ARRAY_LENGTH(functions))];
    const uint32_t value = random_value();
    at = put(at, "\x66\xba\xf8\x0c\xb8", 5); /* mov dx, CF8h; mov eax, address */
    at = put(at, &address, 4);
    at = put(at, "\xef\x66\xba\xfc\x0c\xb8", 6); /* out dx, eax; mov dx, CFCh; mov eax, value */
    at = put(at, &value, 4);
    return put(at, "\xef", 1);
}

static uint8_t *put_memory_action(uint8_t *at)
{
    static const char *const opcodes[] = {"\x90\xa2", "\x66\xa3", "\x90\xa3",
                                          "\x90\xa0", "\x66\xa1", "\x90\xa1"};
    unsigned range = random_below((uint32_t)ARRAY_LENGTH(memory_ranges));
    uint32_t address = memory_ranges[range].first + random_below(memory_ranges[range].bytes);
    uint32_t value = random_value();
    at = put(at, &(uint8_t){0xb8}, 1);
    at = put(at, &value, 4);
    at = put(at, opcodes[random_below((uint32_t)ARRAY_LENGTH(opcodes))], 2);
    return put(at, &address, 4);
}

static const char *write_file(char *name, const void *bytes, size_t length, size_t total)
{
    strcpy(name, "/tmp/ring3-test-XXXXXX");
    int fd = mkstemp(name);
    cr_assert_eq(write(fd, bytes, length), (ssize_t)length);
    cr_assert_eq(ftruncate(fd, (off_t)total), 0);
    close(fd);
    return name;
}

static void write_kernel(char *name, uint64_t seed)
{
    const uint32_t flags = 1 << 16;
    const uint32_t header[8] = {0x1badb002, flags,  -(0x1badb002 + flags), KERNEL_AT, KERNEL_AT, 0,
                                0,          CODE_AT};
    static uint8_t image[sizeof header + ACTIONS * 20 + 16];
    dice.state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    uint8_t *at = put(image, header, sizeof header);
    for (unsigned i = 0; i < ACTIONS; i++)
        switch (random_below(4)) {
        case 0:
            at = put_pci_action(at);
            break;
        case 1:
            at = put_memory_action(at);
            break;
        default:
            at = put_port_action(at, seed % 4 == 0);
        }
    at = put(at, "\xfe\x05\x00\x00\x20\x00\xf4\xeb\xfd", 9); /* inc byte [ENDS]; hlt */
    write_file(name, image, (size_t)(at - image), (size_t)(at - image));
}

static void out_of_time(void *opaque)
{
    machine_quit(opaque, 42);
}

Test(chaos, no_guest_breaks_the_machine, .timeout = 600)
{
    struct loop loop;
    struct machine_config config;
    struct error error;
    char kernel[32], disk[32], floppy[32], cd[32];
    unsigned reached = 0;
    cr_assert_eq(loop_init(&loop, NULL), 0);
    machine_config_init(&config);
    config.memory_bytes = 16 << 20;
    config.no_shutdown = true;
    config.kernel = kernel;
    config.drives[0] = (struct drive_config){
        .file = write_file(disk, "", 0, 1 << 20), .format = "raw", .index = 0, .snapshot = true};
    config.drives[1] = (struct drive_config){
        .file = write_file(cd, "", 0, 1 << 20), .format = "raw", .index = 2, .media = MEDIA_CDROM};
    config.drives[2] = (struct drive_config){.file = write_file(floppy, "", 0, 1440 << 10),
                                             .format = "raw",
                                             .interface = DRIVE_FLOPPY,
                                             .index = 0,
                                             .snapshot = true};
    config.drive_count = 3;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct timer limit;
        write_kernel(kernel, round + 1);
        struct machine *machine = machine_new(&config, &loop, &error);
        cr_assert_not_null(machine, "%s", error.text);
        timer_init(&limit, &loop.clock, out_of_time, machine);
        timer_arm(&limit, clock_now_ns(&loop.clock) + 700 * INT64_C(1000000));
        cr_expect_eq(machine_run(machine), 42, "seed %u", round + 1);
        uint8_t ends = 0;
        physmem_read(machine_physmem(machine), GPA(ENDS), &ends, 1);
        reached += ends != 0;
        machine_free(machine);
        unlink(kernel);
    }
    cr_expect_gt(reached, ROUNDS / 8, "%u of %d guests came to their end", reached, ROUNDS);
    unlink(disk);
    unlink(cd);
    unlink(floppy);
    loop_free(&loop);
}
