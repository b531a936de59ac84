#include "machine/alarm.h"

#include "base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id /* Linux's, which older C libraries do not name */
#define sigev_notify_thread_id _sigev_un._tid
#endif

static void on_alarm(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    if (info->si_code == SI_TIMER) /* else somebody else's */
        cpu_kick(info->si_value.sival_ptr);
}

static void install(void)
{
    struct sigaction action = {.sa_sigaction = on_alarm, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGALRM, &action, NULL);
}

int alarm_init(struct alarm *alarm, struct cpu *cpu, struct error *error)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct sigevent event = {
        .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGALRM, .sigev_value.sival_ptr = cpu};
    event.sigev_notify_thread_id = gettid();
    pthread_once(&once, install);
    alarm->at_ns = CLOCK_NEVER;
    if (timer_create(CLOCK_MONOTONIC, &event, &alarm->timer) < 0)
        return error_set(error, errno,
                         "processor %u: no timer: %s; raise the limit of pending signals",
                         cpu->index, strerror(errno));
    alarm->ready = true;
    return 0;
}

void alarm_free(struct alarm *alarm)
{
    if (alarm->ready)
        timer_delete(alarm->timer);
    alarm->ready = false;
}

void alarm_set(struct alarm *alarm, int64_t at_ns)
{
    if (at_ns == alarm->at_ns || !alarm->ready)
        return;
    alarm->at_ns = at_ns;
    struct itimerspec when = {0}; /* off */
    if (at_ns <= 0)
        at_ns = 1; /* 0 is off there */
    if (at_ns != CLOCK_NEVER)
        when.it_value = (struct timespec){at_ns / NS_PER_SECOND, at_ns % NS_PER_SECOND};
    timer_settime(alarm->timer, TIMER_ABSTIME, &when, NULL);
}
