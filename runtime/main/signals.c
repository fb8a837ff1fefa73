/* SPDX-License-Identifier: Apache-2.0 */
#include "signals.h"

#include <stddef.h>
#include <string.h>

/* A handler can reach nothing but a global; programs may have one, the library has none. */
static volatile sig_atomic_t count;

static void note(int signal)
{
    (void)signal;
    if (count < 100)
        count = count + 1;
}

static void install(int signal, struct sigaction *before)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = note;
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGINT); /* one at a time: count is not atomic */
    sigaddset(&action.sa_mask, SIGTERM);
    action.sa_flags = SA_RESTART;
    sigaction(signal, NULL, before);
    if (before->sa_handler != SIG_IGN)
        sigaction(signal, &action, NULL);
}

void signals_hold(struct signals *signals)
{
    sigset_t held;

    count = 0;
    sigemptyset(&held);
    sigaddset(&held, SIGINT);
    sigaddset(&held, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &held, &signals->mask_before);
    install(SIGINT, &signals->interrupt_before);
    install(SIGTERM, &signals->terminate_before);
}

void signals_heed(const struct signals *signals)
{
    pthread_sigmask(SIG_SETMASK, &signals->mask_before, NULL);
}

void signals_restore(const struct signals *signals)
{
    sigaction(SIGINT, &signals->interrupt_before, NULL);
    sigaction(SIGTERM, &signals->terminate_before, NULL);
    pthread_sigmask(SIG_SETMASK, &signals->mask_before, NULL);
}

int signals_count(void)
{
    return count;
}
