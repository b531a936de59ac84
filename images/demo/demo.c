/* The demo's main: a banner, a look around, and a prompt on the screen and on COM1.
 *
 * Words on the kernel's command line after "run=", separated by commas, are carried out in place of
 * what would be typed: -append run=cpu,pci,off.
 */
#include "demo.h"

#include "io.h"

#ifdef __x86_64__
#define MODE_NAME "64-bit long mode"
#else
#define MODE_NAME "32-bit protected mode"
#endif

enum { LINE_LENGTH = 72, COLOUR_PLAIN = 0x07, COLOUR_TITLE = 0x1f, COLOUR_PROMPT = 0x0a };

static const struct multiboot *boot;

static void show_processor(void)
{
    report_processor();
}
static void show_memory(void)
{
    report_memory(boot);
}
static void show_colours(void)
{
    for (unsigned colour = 0; colour < 16; colour++) {
        console_colour(colour ? colour : 0x70);
        print("%02x ", colour);
    }
    console_colour(COLOUR_PLAIN);
    print("\n");
}
static void show_speed(void)
{
    uint32_t start = ticks(), rounds = 0;

    while (ticks() == start)
        ;
    for (start = ticks(); ticks() - start < 50; rounds++)
        __asm__ volatile("" : : : "memory");
    print("speed: %u loops in half a second\n", rounds);
}
static void show_help(void);

static const struct command {
    const char *name;
    void (*run)(void);
    const char *help;
} commands[] = {
    {"help", show_help, "this list"},
    {"cpu", show_processor, "what CPUID says"},
    {"mem", show_memory, "the loader's memory map"},
    {"pci", report_pci, "the devices on PCI bus 0"},
    {"time", report_time, "the real-time clock, and the time since the start"},
    {"colours", show_colours, "the sixteen text colours"},
    {"speed", show_speed, "loops in half a second of the timer's time"},
    {"reset", power_reset, "reset the machine"},
    {"off", power_off, "power the machine off"},
};
enum { COMMAND_COUNT = sizeof commands / sizeof commands[0] };

static void show_help(void)
{
    for (unsigned i = 0; i < COMMAND_COUNT; i++) {
        unsigned length = 0;
        while (commands[i].name[length])
            length++;
        print("  %s", commands[i].name);
        for (; length < 9; length++)
            console_put(' ');
        print("%s\n", commands[i].help);
    }
}

/* Is `name` what stands at `text` up to `length`? */
static bool same(const char *name, const char *text, unsigned length)
{
    unsigned i = 0;
    while (i < length && name[i] && name[i] == text[i])
        i++;
    return i == length && !name[i];
}

static void run_command(const char *text, unsigned length)
{
    if (length == 0)
        return;
    for (unsigned i = 0; i < COMMAND_COUNT; i++) {
        if (same(commands[i].name, text, length)) {
            commands[i].run();
            return;
        }
    }
    print("no such command; try help\n");
}

/* Runs the words after "run=" on the command line; false when there are none. */
static bool run_script(const char *line)
{
    for (; *line; line++)
        if (same("run=", line, 4))
            break;
    if (!*line)
        return false;
    line += 4;
    for (;;) {
        unsigned length = 0;
        while (line[length] && line[length] != ',' && line[length] != ' ')
            length++;
        run_command(line, length);
        if (line[length] != ',')
            return true;
        line += length + 1;
    }
}

static unsigned read_line(char *line)
{
    for (unsigned length = 0;;) {
        char key = read_key();
        if (key == '\n') {
            console_put('\n');
            return length;
        }
        if (key == '\b' && length > 0) {
            length--;
            print("\b \b");
        } else if (key >= ' ' && length < LINE_LENGTH) {
            line[length++] = key;
            console_put(key);
        }
    }
}

static void banner(void)
{
    console_bar(0, 0, 80, COLOUR_TITLE);
    console_colour(COLOUR_TITLE);
    print("ring3 demo guest, " MODE_NAME "\n");
    console_colour(COLOUR_PLAIN);
}

_Noreturn void demo_main(uint32_t magic, const struct multiboot *info)
{
    char line[LINE_LENGTH];

    console_init();
    banner();
    if (magic != MULTIBOOT_MAGIC) {
        print("not loaded by a multiboot 1 loader: magic number %x\n", magic);
        power_halt();
    }
    boot = info;
    interrupt_init();
    if (info->flags & MULTIBOOT_HAS_LOADER_NAME)
        print("loaded by %s\n", (const char *)(uintptr_t)info->loader_name);
    report_processor();
    report_memory(info);
    report_pci();
    report_time();
    if (info->flags & MULTIBOOT_HAS_COMMAND_LINE)
        run_script((const char *)(uintptr_t)info->command_line);
    print("type help for what can be done here\n");
    for (;;) {
        console_colour(COLOUR_PROMPT);
        print("demo> ");
        console_colour(COLOUR_PLAIN);
        run_command(line, read_line(line));
    }
}
