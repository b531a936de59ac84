/* The inside of the monitor, for its own files. */
#ifndef UI_MONITOR_PRIV_H
#define UI_MONITOR_PRIV_H

#include "ui/line_editor.h"
#include "ui/monitor.h"
#include "ui/monitor_keys.h"

struct monitor {
    struct machine *machine;
    struct chardev *chardev;
    struct line_editor editor;
    struct monitor_keys keys;
    char memory_format, memory_size; /* of the last x or xp */
    unsigned buttons;                /* held by mouse_button */
};

/* A command line taken apart. */
struct monitor_call {
    struct monitor *monitor;
    FILE *out;
    const char *name;      /* the command's */
    const char *format;    /* after '/', as in x/8xb; NULL: none */
    const char *arguments; /* the rest, blanks trimmed at both ends */
};

struct monitor_command {
    const char *name, *alias; /* alias may be NULL */
    const char *arguments;    /* for help */
    const char *help;
    void (*run)(struct monitor_call *call);
    bool holds_cpus; /* INV-1 */
    bool has_format; /* takes /FORMAT */
};

/* monitor_commands.c: ends with a row without a name. */
extern const struct monitor_command monitor_commands[];
/* The row called `name` (or by its alias) of such a table, or NULL. */
const struct monitor_command *monitor_find(const struct monitor_command *row, const char *name);
/* monitor_info.c: what follows "info"; ends with a row without a name. */
extern const struct monitor_command monitor_topics[];

/* monitor_memory.c */
void monitor_x(struct monitor_call *call);
void monitor_xp(struct monitor_call *call);
void monitor_print(struct monitor_call *call);
void monitor_save_memory(struct monitor_call *call);
void monitor_save_physical(struct monitor_call *call);
void monitor_address(struct monitor_call *call);

/* monitor_tables.c */
void monitor_info_mem(struct monitor_call *call);
void monitor_info_tlb(struct monitor_call *call);

/* monitor_value.c: a number, $register, or several with + and - between; false, and a line on
 * call->out, when *text does not begin with one.  Moves *text behind it. */
bool monitor_value(struct monitor_call *call, const char **text, uint64_t *value);

#endif
