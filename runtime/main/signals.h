/* SPDX-License-Identifier: Apache-2.0
 *
 * signals: what has been asked for by signal, as numbers that grow.
 *
 *   SIGINT, SIGTERM  the first: stop after one last checkpoint. The second: stop at once. The
 *                    third: end the process here, whatever an operator's callback is waiting for;
 *                    for the job that is a crash like any other.
 *   SIGUSR1          take a checkpoint now
 *   SIGUSR2          say who waits for what
 *
 * Only the thread that runs the program sees them: they are held back while the job starts its
 * threads, which inherit that, so that no task's system call is ever interrupted. A thread that
 * does nothing else, the guard, takes them meanwhile: an operator may hang when it is opened, and
 * then the third must still end the process. A signal that was ignored before (nohup, a shell's
 * background job) stays ignored.
 *
 * With a supervisor most signals come twice: Ctrl-C, and whoever ends a whole group of processes,
 * reach both, and the supervisor passes on what it gets. Those from the supervisor and those from
 * others are counted apart, and the larger number counts. So one Ctrl-C is one, and it makes no
 * difference whether a signal was sent to the supervisor, to the child, or to both.
 */
#ifndef SIGNALS_H
#define SIGNALS_H

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

enum { SIGNALS_COUNT = 4 };

struct signals {
    sigset_t mask_before;
    struct sigaction before[SIGNALS_COUNT];
    bool guarded; /* from defer to heed: */
    pthread_t guard;
    sem_t over;
};

/* Their numbers, which a supervisor passes on. */
extern const int signals_known[SIGNALS_COUNT];

/* Installs handlers, and holds the signals back in the calling thread and those it starts from now
 * on. `supervisor`: its process number, or 0. `mask`: what the thread's mask shall be when they are
 * let through; NULL: what it is now. `finished`: becomes 1 + exit code when a third signal ends the
 * process. */
void signals_hold(struct signals *signals, int supervisor, const sigset_t *mask,
                  _Atomic int *finished);
/* Lets them through to the calling thread, */
void signals_heed(struct signals *signals);
/* and holds them back again: the guard counts them. Without a thread for it they wait. */
void signals_defer(struct signals *signals);
/* Handlers and mask are again what they were. */
void signals_restore(const struct signals *signals);

/* How many have come since signals_hold. */
int signals_stops(void);
int signals_checkpoints(void);
int signals_dumps(void);
/* "SIGTERM": the last that asked for a stop. */
const char *signals_last_stop(void);

#endif
