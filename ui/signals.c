#include "ui/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* WHY: handlers get no argument of ours, and signals are the process's. */
static int writing_ends[NSIG];

static void on_signal(int number)
{
    const uint8_t byte = (uint8_t)number;
    const int saved = errno;
    /* WHY: it fails only when the pipe is full, and then there is enough to do already. */
    ssize_t written = write(writing_ends[number], &byte, sizeof byte);

    (void)written;
    errno = saved;
}

/* The descriptor to read from, or -1. */
static int signal_descriptor(const int *numbers, unsigned count)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    int ends[2];

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
        return -1;
    sigemptyset(&action.sa_mask);
    for (unsigned i = 0; i < count; i++) {
        writing_ends[numbers[i]] = ends[1];
        sigaction(numbers[i], &action, NULL);
    }
    return ends[0];
}

int signals_init(struct signals *signals, struct terminal *terminal, struct error *error)
{
    static const int end[] = {SIGINT, SIGTERM, SIGHUP}, job[] = {SIGTSTP, SIGCONT};

    signal(SIGPIPE, SIG_IGN);
    *signals = (struct signals){.terminal = terminal};
    signals->end_fd = signal_descriptor(end, ARRAY_LENGTH(end));
    signals->job_fd = signal_descriptor(job, ARRAY_LENGTH(job));
    if (signals->end_fd < 0 || signals->job_fd < 0)
        return error_set(error, errno, "cannot receive signals: %s; raise the limit of open files",
                         strerror(errno));
    return 0;
}

static void on_end(void *opaque, short events)
{
    struct signals *signals = opaque;
    uint8_t number;

    if (read(signals->end_fd, &number, sizeof number) == sizeof number)
        machine_quit(signals->machine, MACHINE_EXIT_OK);
}

static void on_job(void *opaque, short events)
{
    struct signals *signals = opaque;
    uint8_t number;

    if (read(signals->job_fd, &number, sizeof number) != sizeof number)
        return;
    if (number == SIGTSTP)
        terminal_suspend(signals->terminal);
    else
        terminal_resume(signals->terminal);
}

void signals_watch(struct signals *signals, struct machine *machine)
{
    signals->machine = machine;
    loop_watch(machine_loop(machine), signals->end_fd, POLLIN, on_end, signals);
    loop_watch(machine_loop(machine), signals->job_fd, POLLIN, on_job, signals);
}

/* The writing ends stay open: a signal may still come. */
void signals_free(struct signals *signals, struct loop *loop)
{
    loop_unwatch(loop, signals->end_fd);
    loop_unwatch(loop, signals->job_fd);
    close(signals->end_fd);
    close(signals->job_fd);
}
