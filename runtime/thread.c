/* SPDX-License-Identifier: Apache-2.0
 *
 * The real door to threads: one pthread an actor, which steps and waits. Nothing here knows what
 * an actor does.
 */
#include "thread.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "error.h"
#include "memory.h"

struct thread {
    struct actor actor; /* set before start */
    const struct weir_allocator *allocator;
    pthread_t id;
};

struct monitor {
    const struct weir_allocator *allocator;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
};

struct bell {
    const struct weir_allocator *allocator;
    int fd;
};

static void *thread_main(void *argument)
{
    struct thread *thread = argument;
    const struct actor *actor = &thread->actor;

    pthread_setname_np(pthread_self(), actor->name);
    for (;;) {
        struct step step = actor->step(actor->self);
        if (actor->here != NULL && atomic_load_explicit(actor->here, memory_order_relaxed) == 0)
            _exit(THREAD_FORKED); /* to return would run the program's own exit hooks */
        if (step.what == STEP_DONE)
            return NULL;
        if (step.what == STEP_WAIT)
            inbox_wait(actor->inbox, step.fd, step.deadline_ns);
    }
}

/* The application's signals are its own threads' business. Faults are not blocked: a thread that
 * hits one with the signal blocked dies without its handler (a sanitizer's, a crash reporter's). */
static void signals_for_actors(sigset_t *set, int open)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};

    sigfillset(set);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        sigdelset(set, faults[i]);
    if (open != 0)
        sigdelset(set, open);
}

/* The mask is inherited: set here and put back, so that not even the new thread's first instruction
 * runs with the application's signals open. */
static int thread_create(struct thread *thread)
{
    sigset_t blocked, before;
    int failure;

    signals_for_actors(&blocked, thread->actor.signal);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    failure = pthread_create(&thread->id, NULL, thread_main, thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failure;
}

enum weir_result thread_start(const struct actor *actor, const struct weir_allocator *allocator,
                              struct thread **thread, struct weir_error *error)
{
    struct thread *new = memory_zeroed(allocator, 1, sizeof *new);
    int failure;

    if (new == NULL)
        return error_memory(error, "a thread", sizeof *new);
    new->actor = *actor;
    new->actor.name[sizeof new->actor.name - 1] = '\0';
    new->allocator = allocator;
    failure = thread_create(new);
    if (failure != 0) {
        memory_release(allocator, new);
        return error_os(error, failure, "starting the thread %.15s", actor->name);
    }
    *thread = new;
    return WEIR_OK;
}

void thread_join(struct thread **thread)
{
    struct thread *old = *thread;

    if (old == NULL)
        return;
    pthread_join(old->id, NULL);
    memory_release(old->allocator, old);
    *thread = NULL;
}

/* Not pthread_clockjoin_np: sanitizers of gcc 12 don't know that it joins. */
bool thread_join_within(struct thread **thread, int64_t most_ns)
{
    struct thread *old = *thread;
    int64_t until_ns = clock_wall_ns() + most_ns;
    struct timespec until = {.tv_sec = until_ns / 1000000000, .tv_nsec = until_ns % 1000000000};

    if (old == NULL)
        return true;
    if (pthread_timedjoin_np(old->id, NULL, &until) == ETIMEDOUT)
        return false;
    memory_release(old->allocator, old);
    *thread = NULL;
    return true;
}

int thread_number(void)
{
    return gettid();
}

uint32_t thread_processors(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;

    return count > 0 ? (uint32_t)count : 1;
}

/* Deadlines come from clock_now_ns, so the condition must count by the same clock. */
static int condition_init(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    int failure = pthread_condattr_init(&attributes);

    if (failure != 0)
        return failure;
    failure = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    if (failure == 0)
        failure = pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
    return failure;
}

struct monitor *monitor_new(const struct weir_allocator *allocator)
{
    struct monitor *monitor = memory_zeroed(allocator, 1, sizeof *monitor);

    if (monitor == NULL)
        return NULL;
    monitor->allocator = allocator;
    if (pthread_mutex_init(&monitor->mutex, NULL) != 0)
        goto no_mutex;
    if (condition_init(&monitor->changed) != 0)
        goto no_condition;
    return monitor;

no_condition:
    pthread_mutex_destroy(&monitor->mutex);
no_mutex:
    memory_release(allocator, monitor);
    return NULL;
}

void monitor_free(struct monitor **monitor)
{
    struct monitor *old = *monitor;

    if (old == NULL)
        return;
    pthread_cond_destroy(&old->changed);
    pthread_mutex_destroy(&old->mutex);
    memory_release(old->allocator, old);
    *monitor = NULL;
}

void monitor_enter(struct monitor *monitor)
{
    int failure = pthread_mutex_lock(&monitor->mutex);

    assert(failure == 0);
    (void)failure;
}

void monitor_leave(struct monitor *monitor)
{
    int failure = pthread_mutex_unlock(&monitor->mutex);

    assert(failure == 0);
    (void)failure;
}

void monitor_wait(struct monitor *monitor, int64_t deadline_ns)
{
    struct timespec deadline = {.tv_sec = deadline_ns / 1000000000,
                                .tv_nsec = deadline_ns % 1000000000};

    if (deadline_ns == INT64_MAX)
        pthread_cond_wait(&monitor->changed, &monitor->mutex);
    else if (deadline_ns > 0)
        pthread_cond_timedwait(&monitor->changed, &monitor->mutex, &deadline);
}

void monitor_notify(struct monitor *monitor)
{
    pthread_cond_broadcast(&monitor->changed);
}

enum weir_result bell_new(const struct weir_allocator *allocator, struct bell **bell,
                          struct weir_error *error)
{
    struct bell *new = memory_zeroed(allocator, 1, sizeof *new);

    if (new == NULL)
        return error_memory(error, "a descriptor for weir_job_fd", sizeof *new);
    new->allocator = allocator;
    new->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (new->fd < 0) {
        int failure = errno;
        memory_release(allocator, new);
        return error_os(error, failure, "no descriptor for weir_job_fd");
    }
    *bell = new;
    return WEIR_OK;
}

void bell_free(struct bell **bell)
{
    struct bell *old = *bell;

    if (old == NULL)
        return;
    close(old->fd);
    memory_release(old->allocator, old);
    *bell = NULL;
}

int bell_fd(const struct bell *bell)
{
    return bell->fd;
}

/* A count that is full already is as readable as can be. */
void bell_ring(struct bell *bell)
{
    uint64_t one = 1;
    ssize_t written = write(bell->fd, &one, sizeof one);

    assert(written == sizeof one || errno == EAGAIN);
    (void)written;
}

void bell_hush(struct bell *bell)
{
    uint64_t count;
    ssize_t got = read(bell->fd, &count, sizeof count);

    assert(got == sizeof count || errno == EAGAIN);
    (void)got;
}
