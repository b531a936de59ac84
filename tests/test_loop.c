/* base/loop: watches, timers, wake-ups, and a lock that starves nobody. */
#include "base/loop.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <stdatomic.h>
#include <unistd.h>

static struct loop loop;
static int pipe_a[2], pipe_b[2];
static unsigned calls_a, calls_b, fired;

static void setup(void)
{
    cr_assert_eq(loop_init(&loop, NULL), 0);
    cr_assert_eq(pipe(pipe_a), 0);
    cr_assert_eq(pipe(pipe_b), 0);
    loop_lock(&loop);
}

static void ready_a(void *opaque, short events)
{
    char byte;
    calls_a++;
    cr_expect_eq(read(pipe_a[0], &byte, 1), 1);
    loop_unwatch(&loop, pipe_b[0]);
}

static void ready_b(void *opaque, short events)
{
    char byte;
    calls_b++;
    cr_expect_eq(read(pipe_b[0], &byte, 1), 1);
    loop_unwatch(&loop, pipe_a[0]);
}

Test(loop, an_unwatched_descriptor_is_not_called_even_when_due, .init = setup)
{
    loop_watch(&loop, pipe_a[0], POLLIN, ready_a, NULL);
    loop_watch(&loop, pipe_b[0], POLLIN, ready_b, NULL);
    cr_assert_eq(write(pipe_a[1], "x", 1), 1);
    cr_assert_eq(write(pipe_b[1], "x", 1), 1);
    for (unsigned i = 0; i < 4; i++)
        loop_run_once(&loop, clock_now_ns(&loop.clock) + 1000000);
    cr_expect_eq(calls_a + calls_b, 1);
}

static void end_loop(void *opaque)
{
    fired++;
    loop_quit(&loop);
}

Test(loop, timers_fire_and_end_the_loop, .init = setup)
{
    struct timer timer;
    timer_init(&timer, &loop.clock, end_loop, NULL);
    int64_t start = clock_now_ns(&loop.clock);
    timer_arm(&timer, start + 5000000);
    loop_run(&loop);
    cr_expect_eq(fired, 1);
    cr_expect_geq(clock_now_ns(&loop.clock) - start, 5000000);
}

static void *arm_from_elsewhere(void *opaque)
{
    usleep(20000);
    loop_lock(&loop);
    timer_arm(opaque, 0);
    loop_unlock(&loop);
    return NULL;
}

Test(loop, a_timer_of_another_thread_wakes_the_loop, .init = setup, .timeout = 20)
{
    struct timer timer;
    pthread_t thread;
    timer_init(&timer, &loop.clock, end_loop, NULL);
    pthread_create(&thread, NULL, arm_from_elsewhere, &timer);
    loop_run(&loop);
    pthread_join(thread, NULL);
    cr_expect_eq(fired, 1);
}

static atomic_bool ending;

static void *hog(void *opaque)
{
    while (!atomic_load(&ending)) {
        loop_lock(&loop);
        loop_unlock(&loop);
    }
    return NULL;
}

Test(loop, a_busy_thread_does_not_starve_the_loop, .init = setup, .timeout = 60)
{
    pthread_t threads[2];
    pthread_create(&threads[0], NULL, hog, NULL);
    pthread_create(&threads[1], NULL, hog, NULL);
    /* WHY: each pass gives the lock up and must get it back. */
    for (unsigned i = 0; i < 2000; i++) {
        loop_wake(&loop);
        loop_run_once(&loop, CLOCK_NEVER);
    }
    atomic_store(&ending, true);
    loop_unlock(&loop);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
}
