/* SPDX-License-Identifier: Apache-2.0
 *
 * The real door to threads: one pthread an actor, which steps and waits. Nothing here knows what
 * an actor does.
 */
#include "thread.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

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

static void *thread_main(void *argument)
{
    struct thread *thread = argument;
    const struct actor *actor = &thread->actor;
    struct step step;

    pthread_setname_np(pthread_self(), actor->name);
    while ((step = actor->step(actor->self)).what != STEP_DONE) {
        if (step.what == STEP_WAIT)
            inbox_wait(actor->inbox, step.fd, step.deadline_ns);
    }
    return NULL;
}

/* The application's signals are its own threads' business. Faults are not blocked: a thread that
 * hits one with the signal blocked dies without its handler (a sanitizer's, a crash reporter's). */
static void signals_for_actors(sigset_t *set)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};

    sigfillset(set);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        sigdelset(set, faults[i]);
}

/* The mask is inherited: set here and put back, so that not even the new thread's first instruction
 * runs with the application's signals open. */
static int thread_create(struct thread *thread)
{
    sigset_t blocked, before;
    int failure;

    signals_for_actors(&blocked);
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
