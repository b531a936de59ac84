/* The monitor's commands: one table. */
#include "ui/monitor_priv.h"

#include "base/log.h"
#include "hw/display.h"
#include "hw/png.h"

#include <errno.h>
#include <stdlib.h>
#include <strings.h>

static void list(FILE *out, const char *prefix, const struct monitor_command *row)
{
    for (; row->name; row++) {
        int width =
            fprintf(out, "%s%s%s%s%s%s", prefix, row->name, row->alias ? "|" : "",
                    row->alias ? row->alias : "", *row->arguments ? " " : "", row->arguments);
        fprintf(out, "%*s  %s\n", width < 32 ? 32 - width : 0, "", row->help);
    }
}

const struct monitor_command *monitor_find(const struct monitor_command *row, const char *name)
{
    for (; row->name; row++)
        if (!strcmp(row->name, name) || (row->alias && !strcmp(row->alias, name)))
            return row;
    return NULL;
}

static void run_help(struct monitor_call *call)
{
    const struct monitor_command *row = monitor_find(monitor_commands, call->arguments);

    if (!strcmp(call->arguments, "info"))
        list(call->out, "info ", monitor_topics);
    else if (row)
        fprintf(call->out, "%s%s%s  %s\n", row->name, *row->arguments ? " " : "", row->arguments,
                row->help);
    else if (*call->arguments)
        fprintf(call->out, "no command '%s'; help lists them\n", call->arguments);
    else
        list(call->out, "", monitor_commands);
}

static void run_info(struct monitor_call *call)
{
    struct machine *machine = call->monitor->machine;
    size_t length = strcspn(call->arguments, " ");
    char name[32];

    if (!length) {
        list(call->out, "info ", monitor_topics);
        return;
    }
    snprintf(name, sizeof name, "%.*s", (int)length, call->arguments);
    const struct monitor_command *row = monitor_find(monitor_topics, name);
    if (!row) {
        fprintf(call->out, "info %s: no such topic; help info lists them\n", name);
        return;
    }
    call->name = row->name;
    call->arguments += length + strspn(call->arguments + length, " ");
    if (row->holds_cpus)
        machine_hold_cpus(machine);
    row->run(call);
    if (row->holds_cpus)
        machine_release_cpus(machine);
}

static void run_quit(struct monitor_call *call)
{
    machine_quit(call->monitor->machine, MACHINE_EXIT_OK);
}

static void run_stop(struct monitor_call *call)
{
    machine_stop(call->monitor->machine);
}

static void run_cont(struct monitor_call *call)
{
    if (machine_state(call->monitor->machine) == MACHINE_SHUTDOWN)
        fprintf(call->out, "the guest is powered off; system_reset, then cont\n");
    else
        machine_cont(call->monitor->machine);
}

static void run_reset(struct monitor_call *call)
{
    machine_system_reset(call->monitor->machine);
}

static void run_powerdown(struct monitor_call *call)
{
    machine_powerdown(call->monitor->machine);
}

static void run_nmi(struct monitor_call *call)
{
    machine_nmi(call->monitor->machine);
}

static void run_screendump(struct monitor_call *call)
{
    const char *path = call->arguments;
    struct surface surface = {0};
    struct error error;

    if (!strncmp(path, "-f png ", 7))
        path += 7;
    const char *ending = strrchr(path, '.');
    if (!*path || !ending || strcasecmp(ending, ".png")) {
        fprintf(call->out, "screendump writes PNG; write screendump FILE.png\n");
        return;
    }
    display_render(machine_vga(call->monitor->machine), &surface);
    if (png_write(&surface, path, &error))
        fprintf(call->out, "%s\n", error.text);
    surface_free(&surface);
}

static void run_sendkey(struct monitor_call *call)
{
    char keys[128];
    unsigned hold_ms = 0;
    struct error error;

    if (sscanf(call->arguments, "%127s %u", keys, &hold_ms) < 1) {
        fprintf(call->out, "the keys are missing; write sendkey ctrl-alt-delete\n");
        return;
    }
    if (hold_ms > 10000) {
        fprintf(call->out, "sendkey: %u ms is too long; give at most 10000\n", hold_ms);
        return;
    }
    if (monitor_keys_send(&call->monitor->keys, keys, hold_ms, &error))
        fprintf(call->out, "%s\n", error.text);
}

static void run_mouse_move(struct monitor_call *call)
{
    int dx, dy, dz = 0;

    if (sscanf(call->arguments, "%d %d %d", &dx, &dy, &dz) < 2)
        fprintf(call->out, "write mouse_move RIGHT DOWN [WHEEL]\n");
    else
        machine_send_mouse(call->monitor->machine, dx, -dy, dz, call->monitor->buttons);
}

static void run_mouse_button(struct monitor_call *call)
{
    unsigned buttons;

    if (sscanf(call->arguments, "%u", &buttons) < 1 || buttons > 7) {
        fprintf(call->out, "write mouse_button SUM: 1 left, 2 right, 4 middle, 0 none\n");
        return;
    }
    call->monitor->buttons = buttons;
    machine_send_mouse(call->monitor->machine, 0, 0, 0, buttons);
}

static void run_change(struct monitor_call *call)
{
    const char *file = call->arguments + strcspn(call->arguments, " ");
    char drive[64];
    struct error error;

    snprintf(drive, sizeof drive, "%.*s", (int)(file - call->arguments), call->arguments);
    file += strspn(file, " ");
    if (!*file)
        fprintf(call->out, "write change DRIVE FILE; info block lists the drives\n");
    else if (machine_change_medium(call->monitor->machine, drive, file, false, &error))
        fprintf(call->out, "%s\n", error.text);
}

static void run_eject(struct monitor_call *call)
{
    const char *drive = call->arguments;
    struct error error;
    bool force = !strncmp(drive, "-f ", 3);

    if (force)
        drive += 3;
    if (!*drive)
        fprintf(call->out, "write eject [-f] DRIVE; info block lists the drives\n");
    else if (machine_change_medium(call->monitor->machine, drive, NULL, force, &error))
        fprintf(call->out, "%s\n", error.text);
}

static void run_log(struct monitor_call *call)
{
    struct error error;

    if (!*call->arguments) {
        log_list(call->out);
    } else if (!strcmp(call->arguments, "none")) {
        log_select_none();
    } else if (log_select(call->arguments, &error)) {
        fprintf(call->out, "%s\n", error.text);
    }
}

const struct monitor_command monitor_commands[] = {
    {"help", "?", "[COMMAND]", "this list, or one command", run_help},
    {"info", NULL, "TOPIC", "shows something; help info lists the topics", run_info},
    {"x", NULL, "/FORMAT ADDRESS",
     "guest memory at a linear address: count, x d u o c i s, b w h g", monitor_x,
     .holds_cpus = true, .has_format = true},
    {"xp", NULL, "/FORMAT ADDRESS", "the same at a physical address", monitor_xp,
     .holds_cpus = true, .has_format = true},
    {"print", "p", "/FORMAT VALUE", "a number, $register, or a sum", monitor_print,
     .holds_cpus = true, .has_format = true},
    {"gva2gpa", NULL, "ADDRESS", "the physical address of a linear one", monitor_address,
     .holds_cpus = true},
    {"memsave", NULL, "ADDRESS LENGTH FILE", "saves memory from a linear address on",
     monitor_save_memory, .holds_cpus = true},
    {"pmemsave", NULL, "ADDRESS LENGTH FILE", "the same from a physical address on",
     monitor_save_physical, .holds_cpus = true},
    {"screendump", NULL, "FILE.png", "saves what the VGA shows", run_screendump},
    {"sendkey", NULL, "KEYS [MS]", "presses keys together, as in ctrl-alt-delete", run_sendkey},
    {"change", NULL, "DRIVE FILE", "puts another CD or floppy into a drive of info block",
     run_change},
    {"eject", NULL, "[-f] DRIVE", "takes it out; -f: even from a locked tray", run_eject},
    {"mouse_move", NULL, "RIGHT DOWN [WHEEL]", "moves the mouse", run_mouse_move},
    {"mouse_button", NULL, "SUM", "holds mouse buttons: 1 left, 2 right, 4 middle",
     run_mouse_button},
    {"log", NULL, "[LIST|none]", "logs these as -d does, or nothing", run_log},
    {"nmi", NULL, "", "raises a non-maskable interrupt", run_nmi},
    {"system_reset", NULL, "", "resets the machine", run_reset},
    {"system_powerdown", NULL, "", "presses the power button", run_powerdown},
    {"stop", NULL, "", "stops the guest and its clock", run_stop},
    {"cont", "c", "", "goes on", run_cont},
    {"quit", "q", "", "ends ring3", run_quit},
    {0},
};
