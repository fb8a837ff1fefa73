/* SPDX-License-Identifier: Apache-2.0 */
#include "signals.h"

#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "exit_code.h"

enum { STOPS, CHECKPOINTS, DUMPS, KINDS };
enum { ENOUGH = 100 }; /* nobody counts further */

const int signals_known[SIGNALS_COUNT] = {SIGINT, SIGTERM, SIGUSR1, SIGUSR2};

/* A handler can reach nothing but globals; programs may have some, the library has none. */
static volatile sig_atomic_t counts[KINDS][2]; /* from others, from the supervisor */
static volatile sig_atomic_t last_stop;
static volatile sig_atomic_t supervisor_id;
static _Atomic int *finished_flag;

static int kind_of(int signal)
{
    return signal == SIGUSR1 ? CHECKPOINTS : signal == SIGUSR2 ? DUMPS : STOPS;
}

static int count_of(int kind)
{
    return counts[kind][0] > counts[kind][1] ? counts[kind][0] : counts[kind][1];
}

static void note(int signal, siginfo_t *info, void *context)
{
    int kind = kind_of(signal);
    int from = supervisor_id != 0 && info->si_code == SI_USER && info->si_pid == supervisor_id;

    (void)context;
    if (counts[kind][from] < ENOUGH)
        counts[kind][from] = counts[kind][from] + 1;
    if (kind == STOPS)
        last_stop = signal;
    if (kind == STOPS && count_of(STOPS) > 2) {
        atomic_store(finished_flag, EXIT_STOPPED + 1);
        _exit(EXIT_STOPPED);
    }
}

static void fill(sigset_t *set)
{
    sigemptyset(set);
    for (size_t i = 0; i < SIGNALS_COUNT; i++)
        sigaddset(set, signals_known[i]);
}

static void install(int signal, struct sigaction *before)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_sigaction = note;
    fill(&action.sa_mask); /* one at a time: counts are not atomic */
    action.sa_flags = SA_RESTART | SA_SIGINFO;
    sigaction(signal, NULL, before);
    if ((before->sa_flags & SA_SIGINFO) != 0 || before->sa_handler != SIG_IGN)
        sigaction(signal, &action, NULL);
}

void signals_hold(struct signals *signals, int supervisor, const sigset_t *mask,
                  _Atomic int *finished)
{
    sigset_t held;

    for (int kind = 0; kind < KINDS; kind++)
        counts[kind][0] = counts[kind][1] = 0;
    last_stop = 0;
    signals->guarded = false;
    supervisor_id = supervisor;
    finished_flag = finished;
    fill(&held);
    pthread_sigmask(SIG_BLOCK, &held, &signals->mask_before);
    if (mask != NULL)
        signals->mask_before = *mask;
    for (size_t i = 0; i < SIGNALS_COUNT; i++)
        install(signals_known[i], &signals->before[i]);
}

static void *stand_guard(void *context)
{
    struct signals *signals = context;

    sigset_t mask; /* only what the program's own thread would take */
    sigfillset(&mask);
    for (size_t i = 0; i < SIGNALS_COUNT; i++)
        if (sigismember(&signals->mask_before, signals_known[i]) == 0)
            sigdelset(&mask, signals_known[i]);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    while (sem_wait(&signals->over) != 0)
        continue; /* a signal */
    return NULL;
}

void signals_heed(struct signals *signals)
{
    if (signals->guarded) {
        sem_post(&signals->over);
        pthread_join(signals->guard, NULL);
        sem_destroy(&signals->over);
    }
    signals->guarded = false;
    pthread_sigmask(SIG_SETMASK, &signals->mask_before, NULL);
}

void signals_defer(struct signals *signals)
{
    sigset_t held, all, now;

    fill(&held);
    pthread_sigmask(SIG_BLOCK, &held, NULL);
    sem_init(&signals->over, 0, 0);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &now); /* inherited: other signals are not for the guard */
    signals->guarded = pthread_create(&signals->guard, NULL, stand_guard, signals) == 0;
    pthread_sigmask(SIG_SETMASK, &now, NULL);
}

void signals_restore(const struct signals *signals)
{
    for (size_t i = 0; i < SIGNALS_COUNT; i++)
        sigaction(signals_known[i], &signals->before[i], NULL);
    pthread_sigmask(SIG_SETMASK, &signals->mask_before, NULL);
}

int signals_stops(void)
{
    return count_of(STOPS);
}

int signals_checkpoints(void)
{
    return count_of(CHECKPOINTS);
}

int signals_dumps(void)
{
    return count_of(DUMPS);
}

const char *signals_last_stop(void)
{
    return last_stop == SIGINT ? "SIGINT" : "SIGTERM";
}
