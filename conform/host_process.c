#include "conform/host_process.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ANSWER_TIMEOUT_MS = 20000 };

/* Did the process say something of that size in time? */
static bool hear(const struct host_process *process, void *to, size_t size)
{
    struct pollfd wait = {.fd = process->socket, .events = POLLIN};
    int ready;

    while ((ready = poll(&wait, 1, ANSWER_TIMEOUT_MS)) < 0 && errno == EINTR)
        continue;
    return ready == 1 && recv(process->socket, to, size, 0) == (ssize_t)size;
}

/* WHY unchecked: if it has died, hearing finds out. */
static void tell(const struct host_process *process)
{
    const uint8_t number = (uint8_t)process->running;

    (void)send(process->socket, &number, 1, MSG_NOSIGNAL);
}

static int greet(struct host_process *process, struct error *error)
{
    struct host_greeting greeting;

    if (!hear(process, &greeting, sizeof greeting))
        return error_set(error, EIO, "conform --host: its process has died as it began");
    process->code_sizes = greeting.code_sizes;
    if (greeting.problem == ENOTSUP)
        return error_set(error, ENOTSUP,
                         "conform --host: needs an x86-64 processor under Linux to compare with");
    if (greeting.problem)
        return error_set(error, greeting.problem, "conform --host: cannot map its sandbox: %s",
                         strerror(greeting.problem));
    return 0;
}

static int begin(struct host_process *process, struct error *error)
{
    int sockets[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets))
        return error_set(error, errno, "conform --host: no socket for its process: %s",
                         strerror(errno));
    fflush(NULL);
    const pid_t parent = getpid();
    process->pid = fork();
    if (process->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        close(sockets[0]);
        host_native_serve(sockets[1], process->batches);
    }
    const int reason = errno;
    close(sockets[1]);
    process->socket = sockets[0];
    if (process->pid > 0)
        return greet(process, error);
    close(sockets[0]);
    return error_set(error, reason, "conform --host: cannot start its process: %s",
                     strerror(reason));
}

/* Ends it if it runs; the signal that had ended it before, or 0. */
static int end(struct host_process *process)
{
    int status = 0;

    if (process->pid <= 0)
        return 0;
    close(process->socket);
    kill(process->pid, SIGKILL);
    while (waitpid(process->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    process->pid = 0;
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

int host_process_start(struct host_process *process, struct error *error)
{
    *process = (struct host_process){.socket = -1};
    process->batches = mmap(NULL, HOST_BATCHES * sizeof *process->batches, PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (process->batches == MAP_FAILED) {
        process->batches = NULL;
        return error_set(error, errno, "conform --host: no memory left to share with its process");
    }
    const int result = begin(process, error);
    if (result)
        host_process_stop(process);
    return result;
}

void host_process_stop(struct host_process *process)
{
    end(process);
    if (process->batches)
        munmap(process->batches, HOST_BATCHES * sizeof *process->batches);
    process->batches = NULL;
}

void host_process_submit(struct host_process *process, unsigned batch, unsigned count)
{
    struct host_batch *to = &process->batches[batch];

    to->count = count;
    atomic_store(&to->done, 0);
    process->running = batch;
    tell(process);
}

int host_process_wait(struct host_process *process, struct error *error)
{
    struct host_batch *batch = &process->batches[process->running];
    uint8_t number;

    while (!hear(process, &number, sizeof number)) {
        const unsigned reached = atomic_load(&batch->done);
        const int signal_number = end(process);
        if (reached < batch->count) {
            batch->results[reached].killed = signal_number ? signal_number : SIGKILL;
            atomic_store(&batch->done, reached + 1);
        }
        const int result = begin(process, error);
        if (result)
            return result;
        tell(process);
    }
    return 0;
}
