#include "ui/options.h"

#include "base/log.h"
#include "ui/option_value.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct option_string {
    struct option_string *next;
    char text[];
};

const char *options_keep(struct options *options, const char *text)
{
    struct option_string *string = malloc(sizeof *string + strlen(text) + 1);

    if (!string)
        return NULL;
    strcpy(string->text, text);
    string->next = options->strings;
    options->strings = string;
    return string->text;
}

void options_free(struct options *options)
{
    while (options->strings) {
        struct option_string *next = options->strings->next;
        free(options->strings);
        options->strings = next;
    }
}

/* --- parsers of single options */

/* The member of struct options that the row names. */
static void *place_of(const struct option_context *context)
{
    return (char *)context->options + context->which;
}

static int parse_text(struct option_context *context, const char *value)
{
    if (!*value && context->which != offsetof(struct options, machine.append))
        return error_set(context->error, EINVAL, "%s: the name is empty; give a path",
                         context->what);
    *(const char **)place_of(context) = value;
    return 0;
}

static int parse_flag(struct option_context *context, const char *value)
{
    *(bool *)place_of(context) = true;
    return 0;
}

static int parse_nothing(struct option_context *context, const char *value)
{
    return 0;
}

static int parse_log(struct option_context *context, const char *value)
{
    if (!strcmp(value, "help") || !strcmp(value, "?")) {
        log_list(stdout);
        context->action = OPTIONS_DONE;
        return 0;
    }
    context->options->log_channels = value;
    return log_select(value, context->error);
}

static int parse_log_filter(struct option_context *context, const char *value)
{
    return log_filter(context->what, value, context->error);
}

static int parse_help(struct option_context *context, const char *value);

static int parse_version(struct option_context *context, const char *value)
{
    printf("ring3 version " RING3_VERSION "\n");
    context->action = OPTIONS_DONE;
    return 0;
}

/* --- the table */

struct option_row {
    const char *name, *alias; /* without dashes */
    const char *argument;     /* NULL: takes none */
    const char *help;         /* NULL: not listed */
    int (*parse)(struct option_context *context, const char *value);
    size_t which;
};
/* The comparison is there for the compiler to warn of a member of another type. */
#define MEMBER(member, type)                                                                       \
    (offsetof(struct options, member) +                                                            \
     0 * sizeof(&((struct options *)NULL)->member == (type *)NULL))
#define TEXT(member) parse_text, MEMBER(member, const char *)
#define FLAG(member) parse_flag, MEMBER(member, bool)

/* clang-format off */
static const struct option_row option_rows[] = {
    {"help", "h", NULL, "this list", parse_help},
    {"version", NULL, NULL, "the version", parse_version},
    {"machine", "M", "pc", "the kind of machine: a PC (i440FX, PIIX3)", option_only, ONLY_MACHINE},
    {"accel", NULL, "translate|interp[,cache=SIZE][,threshold=N][,windows=auto|off|always]", "what runs the guest: the translator (on x86-64 hosts), or the interpreter alone", option_accel},
    {"interp-only", NULL, NULL, "the same as -accel interp", FLAG(machine.interpret)},
    {"no-chain", NULL, NULL, "translated blocks return after each", FLAG(machine.translate.no_chain)},
    {"one-insn-per-block", NULL, NULL, "blocks of one instruction", FLAG(machine.translate.one_insn_per_block)},
    {"translate-limit", NULL, "N", "translate the first N blocks only: to find a bad one by halves", option_translate_limit},
    {"cpu", NULL, "MODEL[,+FEATURE][,-FEATURE]", "the processor's model; -cpu help lists them", option_cpu},
    {"smp", NULL, "1", "processors", option_smp},
    {"m", NULL, "SIZE", "the guest's memory, 128M if not given; no letter means MiB", option_memory},
    {"name", NULL, "NAME", "a name for the guest", option_name},
    {"rtc", NULL, "base=utc|localtime|DATE", "the real-time clock's start", option_rtc},

    {"kernel", NULL, "FILE", "boot this Linux bzImage, PVH ELF or multiboot 1 kernel", TEXT(machine.kernel)},
    {"initrd", NULL, "FILE[,FILE...]", "its initial ramdisk (multiboot: modules, each with arguments)", TEXT(machine.initrd)},
    {"append", NULL, "TEXT", "its command line", TEXT(machine.append)},
    {"bios", NULL, "FILE", "boot this firmware in place of Debian's SeaBIOS", TEXT(machine.bios)},
    {"L", NULL, "DIR", "take the firmware (bios-256k.bin or bios.bin) from DIR", TEXT(firmware_dir)},
    {"boot", NULL, "[order=]acdn[,once=][,menu=on]", "boot order: floppy, disk, CD-ROM, network", option_boot},

    {"drive", NULL, "file=FILE[,if=ide|floppy|none][,format=raw][,index=N][,media=disk|cdrom][,snapshot=on][,readonly=on]",
     "a drive; ',,' stands for a comma in a name", option_drive},
    {"hda", NULL, "FILE", "the first IDE disk", option_drive_file, 0},
    {"hdb", NULL, "FILE", "the second", option_drive_file, 1},
    {"hdc", NULL, "FILE", "the third (where -cdrom goes)", option_drive_file, 2},
    {"hdd", NULL, "FILE", "the fourth", option_drive_file, 3},
    {"cdrom", NULL, "FILE", "a CD-ROM", option_drive_file, 4},
    {"fda", NULL, "FILE", "the first floppy", option_drive_file, 5},
    {"fdb", NULL, "FILE", "the second", option_drive_file, 6},
    {"snapshot", NULL, NULL, "keep writes to all drives in memory and drop them at the end", FLAG(machine.snapshot)},

    {"nographic", NULL, NULL, "no window; COM1 and the monitor on the terminal", FLAG(nographic)},
    {"display", NULL, "none", "no window", option_display},
    {"vga", NULL, "std", "the video card: VGA with Bochs VBE", option_vga},
    {"serial", NULL, "STREAM", "a serial port: stdio, mon:stdio, null, none, file:FILE, unix:PATH[,server][,nowait], pty", option_serial},
    {"monitor", NULL, "STREAM", "the monitor: the same streams but file:", option_monitor},
    {"debugcon", NULL, "STREAM", "the debug console at port E9h", option_debugcon},
    {"device", NULL, "isa-debug-exit[,iobase=PORT][,iosize=N]", "a device more", option_device},
    {"global", NULL, "isa-debugcon.iobase=PORT", "another port for the debug console", option_global},
    {"net", "nic", "none", "no network", option_only, ONLY_NET},

    {"S", NULL, NULL, "wait for the monitor's cont before the guest starts", FLAG(machine.start_paused)},
    {"no-reboot", NULL, NULL, "end where the guest would reset the machine", FLAG(machine.no_reboot)},
    {"no-shutdown", NULL, NULL, "stay where the guest powers the machine off", FLAG(machine.no_shutdown)},
    {"nodefaults", NULL, NULL, "no serial port and no monitor but those asked for", FLAG(no_defaults)},
    {"no-user-config", NULL, NULL, "accepted: there are no configuration files", parse_nothing},
    {"pidfile", NULL, "FILE", "write the process's number there, remove the file at the end", TEXT(pidfile)},
    {"lockstep", NULL, NULL, "the interpreter beside the engine, compared after each block; a difference ends the run", FLAG(machine.lockstep)},
    {"seed", NULL, "N", "the guest's random numbers (RDRAND) follow from N", option_seed},
    {"d", NULL, "LIST", "log these, separated by commas; -d help lists them", parse_log},
    {"D", NULL, "FILE", "write the log there, not to stderr", TEXT(log_file)},
    {"dfilter", NULL, "START+SIZE[,...]", "log in_asm, out_asm and exec only there; also START-SIZE, START..END", parse_log_filter},
    {"trace-blocks", NULL, "FILE", "write a trace of the translated blocks there; ring3 trace FILE reads it", TEXT(trace_file)},
};
/* clang-format on */

/* Words of QEMU that this version knows but does not have: the answer is better than "unknown". */
static const struct {
    const char *name, *answer;
} absent_rows[] = {
    {"enable-kvm", "ring3 runs without virtualisation by the processor; leave it out"},
    {"chardev", "not in this version; write the stream after -serial, -monitor or -debugcon"},
    {"netdev", "this version has no network; leave it out"},
    {"vnc", "this version has no VNC; use the monitor's screendump"},
    {"sdl", "this version has no window; use -nographic"},
    {"gtk", "this version has no window; use -nographic"},
    {"curses", "this version does not draw on the terminal; use -nographic"},
    {"qmp", "this version has no QMP; use -monitor"},
    {"gdb", "this version has no gdb stub; use -S and the monitor"},
    {"s", "this version has no gdb stub; use -S and the monitor"},
    {"icount", "this version does not count instructions; leave it out"},
    {"loadvm", "this version does not save machines; leave it out"},
    {"incoming", "this version does not move machines; leave it out"},
    {"usb", "this version has no USB; leave it out"},
    {"daemonize", "this version stays in the foreground; start it with & or setsid"},
    {"parallel", "this version has no parallel port; leave it out"},
};

static int parse_help(struct option_context *context, const char *value)
{
    printf("usage: ring3 [options] [disk image]\n"
           "       ring3 conform --help    tests against captured instructions\n"
           "       ring3 trace --help      what a -trace-blocks file holds\n\n");
    for (unsigned i = 0; i < ARRAY_LENGTH(option_rows); i++) {
        const struct option_row *row = &option_rows[i];
        int width = printf("  -%s", row->name);
        if (row->alias)
            width += printf(", -%s", row->alias);
        if (row->argument)
            width += printf(" %s", row->argument);
        if (width > 33)
            printf("\n%*s%s\n", 35, "", row->help);
        else
            printf("%*s%s\n", 35 - width, "", row->help);
    }
    printf("\nWith the monitor on the terminal: Ctrl-A h lists the keys, Ctrl-A x ends, Ctrl-A c "
           "switches.\n");
    context->action = OPTIONS_DONE;
    return 0;
}

static bool is_name(const char *name, const char *word, size_t length)
{
    return name && strlen(name) == length && !memcmp(name, word, length);
}

/* The row of `word`, or of what stands before its '='. */
static const struct option_row *find_row(const char *word)
{
    size_t length = strcspn(word, "=");
    for (unsigned i = 0; i < ARRAY_LENGTH(option_rows); i++) {
        const struct option_row *row = &option_rows[i];
        if ((is_name(row->name, word, length) || is_name(row->alias, word, length)) &&
            (!word[length] || row->argument))
            return row;
    }
    return NULL;
}

/* Edit distance (Levenshtein) of two short words. */
static unsigned distance(const char *from, const char *to)
{
    unsigned row[40];
    size_t length = strlen(to);

    if (length >= ARRAY_LENGTH(row))
        return UINT32_MAX;
    for (size_t j = 0; j <= length; j++)
        row[j] = j;
    for (size_t i = 1; *from; i++, from++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= length; j++) {
            unsigned best = diagonal + (*from != to[j - 1]);
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[length];
}

static int unknown_option(const char *what, const char *name, struct error *error)
{
    const char *nearest = NULL;
    /* A third of the letters may be wrong. */
    unsigned least = (strlen(name) + 2) / 3 + 1;

    for (unsigned i = 0; i < ARRAY_LENGTH(absent_rows); i++)
        if (!strcmp(absent_rows[i].name, name))
            return error_set(error, EINVAL, "%s: %s", what, absent_rows[i].answer);
    for (unsigned i = 0; i < ARRAY_LENGTH(option_rows); i++) {
        unsigned far = distance(name, option_rows[i].name);
        if (far < least) {
            least = far;
            nearest = option_rows[i].name;
        }
    }
    if (nearest)
        return error_set(error, EINVAL, "%s: no such option; did you mean -%s?", what, nearest);
    return error_set(error, EINVAL, "%s: no such option; ring3 -help lists them", what);
}

static int parse_arguments(struct option_context *context, int argc, char *const argv[])
{
    for (int i = 1; i < argc && context->action == OPTIONS_RUN; i++) {
        const char *name = argv[i], *value = NULL;
        context->what = name;
        context->which = 0;
        if (*name != '-' || !name[1]) {
            int result = option_drive_file(context, name);
            if (result)
                return result;
            continue;
        }
        name += name[1] == '-' ? 2 : 1;
        const struct option_row *row = find_row(name);
        if (!row)
            return unknown_option(context->what, name, context->error);
        if (strchr(name, '=')) {
            value = strchr(name, '=') + 1;
        } else if (row->argument) {
            if (i + 1 == argc)
                return error_set(context->error, EINVAL, "%s: its value is missing; write -%s %s",
                                 context->what, row->name, row->argument);
            value = argv[++i];
        }
        context->which = row->which;
        int result = row->parse(context, value);
        if (result)
            return result;
    }
    return 0;
}

/* -L: the firmware comes from that folder, unless -bios or a kernel is booted. */
static int settle_firmware(struct options *options, struct error *error)
{
    static const char *const names[] = {"bios-256k.bin", "bios.bin"};
    struct machine_config *machine = &options->machine;
    char path[PATH_MAX];

    if (!options->firmware_dir || machine->bios || machine->kernel)
        return 0;
    for (unsigned i = 0; i < ARRAY_LENGTH(names); i++) {
        snprintf(path, sizeof path, "%s/%s", options->firmware_dir, names[i]);
        if (!access(path, R_OK)) {
            machine->bios = options_keep(options, path);
            return machine->bios ? 0 : error_set(error, ENOMEM, "-L: out of memory");
        }
    }
    return error_set(error, ENOENT,
                     "-L %s: no bios-256k.bin and no bios.bin there; give their folder",
                     options->firmware_dir);
}

/* What no option says alone. */
static int check_combination(struct options *options, struct error *error)
{
    const struct machine_config *machine = &options->machine;

    if (machine->initrd && !machine->kernel)
        return error_set(error, EINVAL,
                         "-initrd %s: there is no kernel to take it; add -kernel FILE",
                         machine->initrd);
    if (machine->append && !machine->kernel)
        return error_set(error, EINVAL, "-append: there is no kernel to read it; add -kernel FILE");
    int result = settle_firmware(options, error);
    return result ? result : option_drives_check(options, error);
}

int options_parse(struct options *options, int argc, char *const argv[],
                  enum options_action *action, struct error *error)
{
    *options = (struct options){0};
    machine_config_init(&options->machine);
    struct option_context context = {.options = options, .action = OPTIONS_RUN, .error = error};

    int result = parse_arguments(&context, argc, argv);
    *action = context.action;
    if (result || context.action == OPTIONS_DONE)
        return result;
    result = option_streams_settle(options, error);
    options->machine.no_graphic = options->nographic;
    return result ? result : check_combination(options, error);
}
