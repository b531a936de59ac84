/* ring3: reads the command line, builds the machine, runs it.  Only this file exits.
 *
 * Every way out goes through run_machine()'s end, so that the terminal is as it was, the pid file
 * and sockets are gone, and the disks are flushed.
 */
#include "base/log.h"
#include "conform/conform.h"
#include "machine/machine.h"
#include "translate/trace_file.h"
#include "ui/options.h"
#include "ui/session.h"
#include "ui/signals.h"
#include "ui/trace_command.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int complain(const struct error *error)
{
    fprintf(stderr, "ring3: %s\n", error->text);
    return EXIT_FAILURE;
}

/* --- the pid file: locked while we run, so that two machines never share one */

static int pidfile_write(const char *path, int *fd, struct error *error)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (*fd < 0)
        return error_set(error, errno, "-pidfile %s: cannot create it: %s; choose another path",
                         path, strerror(errno));
    if (fcntl(*fd, F_SETLK, &lock)) {
        close(*fd);
        *fd = -1;
        return error_set(error, EBUSY,
                         "-pidfile %s: another ring3 that runs has it; choose "
                         "another path",
                         path);
    }
    if (ftruncate(*fd, 0) || dprintf(*fd, "%ld\n", (long)getpid()) < 0)
        return error_set(error, errno, "-pidfile %s: %s; free some space", path, strerror(errno));
    return 0;
}

static void pidfile_remove(const char *path, int fd)
{
    if (fd < 0)
        return;
    unlink(path);
    close(fd);
}

/* --- the machine's life */

/* What is created on the host, after the machine stands. */
static int create_files(const struct options *options, struct machine *machine, int *pid_fd,
                        struct trace_writer **trace, struct error *error)
{
    int result = options->pidfile ? pidfile_write(options->pidfile, pid_fd, error) : 0;

    if (!result && options->log_file)
        result = log_open(options->log_file, error);
    if (!result && options->trace_file) {
        *trace = trace_open(options->trace_file, error);
        if (*trace)
            machine_trace(machine, *trace);
        result = *trace ? 0 : -EIO;
    }
    return result;
}

/* What ended the run before counts for more than a trace that is not whole. */
static int close_trace(struct trace_writer *trace, int result, int *status, struct error *error)
{
    struct error trace_error;
    int closed = trace_close(trace, &trace_error);

    if (!closed || result)
        return result;
    *error = trace_error;
    *status = *status ? *status : EXIT_FAILURE;
    return closed;
}

static int run_machine(struct options *options, struct loop *loop, struct signals *signals,
                       struct error *error)
{
    struct session session;
    struct machine *machine = NULL;
    struct trace_writer *trace = NULL;
    int pid_fd = -1, status = EXIT_FAILURE;
    int result = session_init(&session, options, loop, signals->terminal, signals->end_fd, error);

    if (!result) {
        machine = machine_new(&options->machine, loop, error);
        result = machine ? 0 : -EINVAL;
    }
    if (!result) {
        machine_lock(machine);
        signals_watch(signals, machine);
        result = create_files(options, machine, &pid_fd, &trace, error);
        if (!result)
            result = session_start(&session, machine, error);
        machine_unlock(machine);
    }
    if (!result) {
        status = machine_run(machine);
        if (machine_failure(machine)) {
            result = error_set(error, EIO, "%s", machine_failure(machine));
            status = status ? status : EXIT_FAILURE;
        }
    }
    loop_lock(loop);
    session_stop(&session);
    loop_unlock(loop);
    if (machine)
        machine_free(machine);
    loop_lock(loop);
    session_free(&session);
    loop_unlock(loop);
    if (trace)
        result = close_trace(trace, result, &status, error);
    if (options->pidfile)
        pidfile_remove(options->pidfile, pid_fd);
    /* A signal that cut short the wait for a client is an orderly end. */
    if (result == -EINTR)
        return EXIT_SUCCESS;
    if (result)
        complain(error);
    return status;
}

int main(int argc, char **argv)
{
    static struct terminal terminal; /* outlives main: atexit() looks at it */
    struct options options;
    enum options_action action = OPTIONS_RUN;
    struct signals signals;
    struct loop loop;
    struct error error = {.text = ""};
    int status = EXIT_FAILURE;

    /* WHY: a thread's own arena grows by a page at a time, with a system call for each. */
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_TOP_PAD, 1 << 20);
    if (argc > 1 && !strcmp(argv[1], "conform"))
        return conform_main(argc - 1, argv + 1, stdout, stderr);
    if (argc > 1 && !strcmp(argv[1], "trace"))
        return trace_main(argc - 1, argv + 1, stdout, stderr);
    int result = options_parse(&options, argc, argv, &action, &error);
    if (!result && action == OPTIONS_RUN)
        result = options_check(&options, &error);
    if (!result && action == OPTIONS_RUN) {
        terminal_init(&terminal);
        result = signals_init(&signals, &terminal, &error);
        if (!result)
            result = loop_init(&loop, &error);
        if (!result) {
            status = run_machine(&options, &loop, &signals, &error);
            loop_lock(&loop);
            signals_free(&signals, &loop);
            loop_unlock(&loop);
            loop_free(&loop);
        }
    } else if (!result) {
        status = EXIT_SUCCESS;
    }
    if (result)
        complain(&error);
    options_free(&options);
    return status;
}
