/* The command line: one table of options, parsed into plain data and checked before anything is
 * opened for writing.
 *
 * INV-1: options_parse() and options_check() only read; what is to be created is created after the
 *        machine has been built.
 */
#ifndef UI_OPTIONS_H
#define UI_OPTIONS_H

#include "machine/config.h"
#include "ui/chardev_config.h"

enum options_action {
    OPTIONS_RUN,
    OPTIONS_DONE, /* -help and the like were answered on stdout: exit with success */
};

struct options {
    struct machine_config machine; /* its chardevs are made later, from what follows */
    struct chardev_config serials[MACHINE_SERIALS_MAX];
    unsigned serial_count;
    struct chardev_config debugcon, monitor;
    bool has_monitor; /* -monitor was given */
    bool nographic, no_display, no_defaults;
    bool has_memory;
    const char *log_channels, *log_file, *pidfile, *trace_file;
    const char *firmware_dir;      /* -L */
    const char *cpu;               /* as given to -cpu */
    struct option_string *strings; /* what the configuration points to; see options_keep() */
};

/* Reads argv; on -EINVAL *error holds the one line to print.  options_free() in any case. */
int options_parse(struct options *options, int argc, char *const argv[],
                  enum options_action *action, struct error *error);
/* Looks at every file that is named: there, of the right kind, readable, writable where it will be
 * written. */
int options_check(const struct options *options, struct error *error);
void options_free(struct options *options);

/* --- among the option files */

/* The option that is being parsed. */
struct option_context {
    struct options *options;
    const char *what; /* "-hda": as written */
    size_t which;     /* the row's: which drive, which member of struct options */
    enum options_action action;
    struct error *error;
};

/* A copy of `text` that lives as long as the options; exits never, NULL when out of memory. */
const char *options_keep(struct options *options, const char *text);

/* option_machine.c */
int option_memory(struct option_context *context, const char *value);
int option_cpu(struct option_context *context, const char *value);
int option_smp(struct option_context *context, const char *value);
int option_display(struct option_context *context, const char *value);
int option_vga(struct option_context *context, const char *value);
int option_device(struct option_context *context, const char *value);
int option_global(struct option_context *context, const char *value);
int option_rtc(struct option_context *context, const char *value);
int option_name(struct option_context *context, const char *value);
int option_seed(struct option_context *context, const char *value);
enum which_only { ONLY_MACHINE, ONLY_NET };
/* An option with one possible value, enum which_only. */
int option_only(struct option_context *context, const char *value);

/* option_accel.c */
int option_accel(struct option_context *context, const char *value);
int option_translate_limit(struct option_context *context, const char *value);

/* option_drives.c: -drive, -hda …, -boot */
int option_drive(struct option_context *context, const char *value);
int option_drive_file(struct option_context *context, const char *value);
int option_boot(struct option_context *context, const char *value);
/* Two drives in one place, a place that does not exist, a disk without a file. */
int option_drives_check(const struct options *options, struct error *error);

/* option_streams.c: -serial, -monitor, -debugcon */
int option_serial(struct option_context *context, const char *value);
int option_monitor(struct option_context *context, const char *value);
int option_debugcon(struct option_context *context, const char *value);
/* Gives the terminal to COM1 and the monitor when nobody was given it; refuses two users. */
int option_streams_settle(struct options *options, struct error *error);

#endif
