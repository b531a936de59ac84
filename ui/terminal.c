#include "ui/terminal.h"

#include "base/bits.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

/* WHY: handlers of fatal signals get no argument, and the process has one controlling terminal. */
static struct terminal *process_terminal;

static const int fatal_signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGQUIT};

static void set(const struct termios *settings)
{
    sigset_t output, before;

    /* A background process that sets the terminal is stopped, unless it blocks this signal. */
    sigemptyset(&output);
    sigaddset(&output, SIGTTOU);
    pthread_sigmask(SIG_BLOCK, &output, &before);
    tcsetattr(STDIN_FILENO, TCSANOW, settings);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void restore(void)
{
    if (process_terminal && process_terminal->entered)
        set(&process_terminal->original);
}

static void fatal_signal(int number)
{
    restore();
    signal(number, SIG_DFL);
    raise(number);
}

void terminal_init(struct terminal *terminal)
{
    *terminal = (struct terminal){0};
    terminal->is_terminal = isatty(STDIN_FILENO) && !tcgetattr(STDIN_FILENO, &terminal->original);
    if (!terminal->is_terminal)
        return;
    process_terminal = terminal;
    atexit(restore);
    for (unsigned i = 0; i < ARRAY_LENGTH(fatal_signals); i++) {
        struct sigaction action;
        /* WHY: a sanitizer's handler comes first; its report matters more than the terminal. */
        if (!sigaction(fatal_signals[i], NULL, &action) && action.sa_handler == SIG_DFL &&
            !(action.sa_flags & SA_SIGINFO)) {
            action = (struct sigaction){.sa_handler = fatal_signal, .sa_flags = SA_RESETHAND};
            sigaction(fatal_signals[i], &action, NULL);
        }
    }
}

void terminal_enter(struct terminal *terminal, bool keys_to_guest)
{
    if (!terminal->is_terminal)
        return;
    terminal->raw = terminal->original;
    terminal->raw.c_iflag &= ~(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    terminal->raw.c_lflag &= ~(ECHO | ECHONL | ICANON | IEXTEN);
    if (keys_to_guest)
        terminal->raw.c_lflag &= ~ISIG;
    terminal->raw.c_cflag = (terminal->raw.c_cflag & ~(CSIZE | PARENB)) | CS8;
    terminal->raw.c_cc[VMIN] = 1;
    terminal->raw.c_cc[VTIME] = 0;
    terminal->entered = true;
    terminal_resume(terminal);
}

void terminal_leave(struct terminal *terminal)
{
    if (!terminal->entered)
        return;
    set(&terminal->original);
    terminal->entered = false;
}

void terminal_suspend(struct terminal *terminal)
{
    if (terminal->entered)
        set(&terminal->original);
    kill(getpid(), SIGSTOP);
    terminal_resume(terminal);
}

void terminal_resume(struct terminal *terminal)
{
    if (terminal->entered && tcgetpgrp(STDIN_FILENO) == getpgrp())
        set(&terminal->raw);
}
