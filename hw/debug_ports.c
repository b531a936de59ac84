#include "hw/debug_ports.h"

enum { CONSOLE_SIGNATURE = 0xe9 };

static uint64_t console_read(void *opaque, uint64_t offset, unsigned size)
{
    return CONSOLE_SIGNATURE;
}

static void console_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct debug_console *console = opaque;
    chardev_write(console->chardev, &(uint8_t){(uint8_t)value}, 1);
}

void debug_console_attach(struct debug_console *console, struct bus *ports, uint16_t port,
                          struct chardev *chardev)
{
    *console = (struct debug_console){
        .chardev = chardev,
        .region = {.name = "debug-console",
                   .base = port,
                   .length = 1,
                   .read = console_read,
                   .write = console_write,
                   .max_size = 1,
                   .opaque = console},
    };
    bus_add(ports, &console->region);
}

static uint64_t exit_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0;
}

static void exit_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct debug_exit *debug_exit = opaque;
    debug_exit->leave(debug_exit->opaque, (int)((uint32_t)value << 1 | 1));
}

void debug_exit_attach(struct debug_exit *debug_exit, struct bus *ports, uint16_t base,
                       uint16_t length, void (*leave)(void *opaque, int status), void *opaque)
{
    *debug_exit = (struct debug_exit){
        .leave = leave,
        .opaque = opaque,
        .region = {.name = "isa-debug-exit",
                   .base = base,
                   .length = length,
                   .read = exit_read,
                   .write = exit_write,
                   .opaque = debug_exit},
    };
    bus_add(ports, &debug_exit->region);
}
