/* What the machine is made of, but for drives and streams: memory, processor, cards, clock. */
#include "ui/options.h"

#include "ui/option_value.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static uint64_t host_memory_bytes(void)
{
    return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}

int option_memory(struct option_context *context, const char *value)
{
    const uint64_t least = UINT64_C(1) << 20, most = host_memory_bytes();
    struct suboptions list;
    uint64_t bytes = 0;
    int result = suboptions_parse(&list, context->what, value, "size", context->error);

    for (unsigned i = 0; !result && i < list.count; i++) {
        if (!strcmp(list.items[i].key, "size"))
            result = option_size(context->what, list.items[i].value, least, &bytes, context->error);
        else
            result = error_set(context->error, EINVAL,
                               "-m: no such setting '%s'; this version has size only",
                               list.items[i].key);
    }
    if (!result && list.count == 0)
        result =
            error_set(context->error, EINVAL, "-m: the size is missing; give one as in -m 512M");
    suboptions_free(&list);
    if (result)
        return result;
    if (bytes < least)
        return error_set(context->error, EINVAL, "-m %s: too little for a PC; give at least 1M",
                         value);
    if (bytes > most)
        return error_set(context->error, EINVAL,
                         "-m %s: more than this host has; give at most %lluM", value,
                         (unsigned long long)(most >> 20));
    context->options->machine.memory_bytes = (bytes + 4095) & ~UINT64_C(4095);
    context->options->has_memory = true;
    return 0;
}

int option_cpu(struct option_context *context, const char *value)
{
    if (!strcmp(value, "help") || !strcmp(value, "?")) {
        cpu_model_list(stdout);
        context->action = OPTIONS_DONE;
        return 0;
    }
    context->options->cpu = value;
    return cpu_model_parse(value, &context->options->machine.cpu_model, context->error);
}

int option_smp(struct option_context *context, const char *value)
{
    struct suboptions list;
    int result = suboptions_parse(&list, context->what, value, "cpus", context->error);

    for (unsigned i = 0; !result && i < list.count; i++) {
        const struct suboption *item = &list.items[i];
        uint64_t number;
        static const char *const known[] = {"cpus", "sockets", "cores", "threads", "maxcpus"};
        bool is_known = false;
        for (unsigned k = 0; k < ARRAY_LENGTH(known); k++)
            is_known |= !strcmp(item->key, known[k]);
        if (!is_known)
            result = error_set(context->error, EINVAL,
                               "-smp: no such setting '%s'; there are cpus, sockets, cores, "
                               "threads and maxcpus",
                               item->key);
        else if (option_number(context->what, item->value, 1, 1, &number, NULL))
            result = error_set(context->error, EINVAL,
                               "-smp %s: this version has one processor; use -smp 1", value);
    }
    suboptions_free(&list);
    return result;
}

int option_display(struct option_context *context, const char *value)
{
    if (strcmp(value, "none"))
        return error_set(context->error, EINVAL,
                         "-display %s: this version has no window; use -display none, and the "
                         "monitor's screendump to see the screen",
                         value);
    context->options->no_display = true;
    return 0;
}

int option_vga(struct option_context *context, const char *value)
{
    if (strcmp(value, "std"))
        return error_set(context->error, EINVAL,
                         "-vga %s: this version has the standard VGA only; "
                         "use -vga std",
                         value);
    return 0;
}

int option_device(struct option_context *context, const char *value)
{
    struct machine_config *machine = &context->options->machine;
    struct suboptions list;

    if (!strcmp(value, "help")) {
        printf(
            "isa-debug-exit  iobase=PORT,iosize=BYTES  a write ends ring3 with (value << 1) | 1\n");
        context->action = OPTIONS_DONE;
        return 0;
    }
    int result = suboptions_parse(&list, context->what, value, "driver", context->error);
    if (!result && (list.count == 0 || strcmp(list.items[0].value, "isa-debug-exit")))
        result = error_set(context->error, EINVAL,
                           "-device %s: no such device in this version; there is isa-debug-exit",
                           list.count ? list.items[0].value : "");
    for (unsigned i = 1; !result && i < list.count; i++) {
        const struct suboption *item = &list.items[i];
        uint64_t number;
        if (!strcmp(item->key, "iobase")) {
            result = option_number("-device isa-debug-exit iobase", item->value, 0, 0xffff, &number,
                                   context->error);
            machine->debug_exit_iobase = result ? 0 : number;
        } else if (!strcmp(item->key, "iosize")) {
            result = option_number("-device isa-debug-exit iosize", item->value, 1, 4, &number,
                                   context->error);
            if (!result && number == 3)
                result = error_set(context->error, EINVAL,
                                   "-device isa-debug-exit iosize: 3 ports; give 1, 2 or 4");
            machine->debug_exit_iosize = result ? 0 : number;
        } else if (strcmp(item->key, "id")) {
            result = error_set(context->error, EINVAL,
                               "-device isa-debug-exit: no such setting '%s'; there are iobase "
                               "and iosize",
                               item->key);
        }
    }
    suboptions_free(&list);
    machine->debug_exit = true;
    return result;
}

int option_global(struct option_context *context, const char *value)
{
    static const char name[] = "isa-debugcon.iobase=";
    uint64_t port;

    if (strncmp(value, name, strlen(name)))
        return error_set(context->error, EINVAL,
                         "-global %s: no such property in this version; there is "
                         "isa-debugcon.iobase=PORT",
                         value);
    int result = option_number("-global isa-debugcon.iobase", value + strlen(name), 1, 0xffff,
                               &port, context->error);
    if (!result)
        context->options->machine.debugcon_iobase = port;
    return result;
}

int option_rtc(struct option_context *context, const char *value)
{
    struct machine_config *machine = &context->options->machine;
    struct suboptions list;
    int result = suboptions_parse(&list, context->what, value, NULL, context->error);

    for (unsigned i = 0; !result && i < list.count; i++) {
        const struct suboption *item = &list.items[i];
        if (strcmp(item->key, "base")) {
            result = error_set(context->error, EINVAL,
                               "-rtc: no such setting '%s'; this version has base=", item->key);
        } else if (!strcmp(item->value, "utc")) {
            machine->rtc_base = RTC_UTC;
        } else if (!strcmp(item->value, "localtime")) {
            machine->rtc_base = RTC_LOCALTIME;
        } else {
            machine->rtc_base = RTC_DATETIME;
            result =
                option_datetime("-rtc base", item->value, &machine->rtc_datetime, context->error);
        }
    }
    suboptions_free(&list);
    return result;
}

int option_name(struct option_context *context, const char *value)
{
    struct suboptions list;
    int result = suboptions_parse(&list, context->what, value, "guest", context->error);

    for (unsigned i = 0; !result && i < list.count; i++) {
        if (!strcmp(list.items[i].key, "guest"))
            context->options->machine.name = options_keep(context->options, list.items[i].value);
        else if (strcmp(list.items[i].key, "process") && strcmp(list.items[i].key, "debug-threads"))
            result = error_set(context->error, EINVAL, "-name: no such setting '%s'; give a name",
                               list.items[i].key);
    }
    suboptions_free(&list);
    return result;
}

int option_seed(struct option_context *context, const char *value)
{
    struct machine_config *machine = &context->options->machine;

    machine->has_seed = true;
    return option_number(context->what, value, 0, UINT64_MAX, &machine->seed, context->error);
}

int option_only(struct option_context *context, const char *value)
{
    static const struct {
        const char *value, *reason;
    } only[] = {
        [ONLY_MACHINE] = {"pc", "this version has one machine"},
        [ONLY_NET] = {"none", "this version has no network card"},
    };

    if (!strcmp(value, "help") && context->which != ONLY_NET) {
        printf("%s\n", only[context->which].value);
        context->action = OPTIONS_DONE;
        return 0;
    }
    if (strcmp(value, only[context->which].value))
        return error_set(context->error, EINVAL, "%s %s: %s; use %s %s, or leave it out",
                         context->what, value, only[context->which].reason, context->what,
                         only[context->which].value);
    return 0;
}
