/* SPDX-License-Identifier: Apache-2.0
 *
 * signals: SIGINT and SIGTERM as a number that grows. Only the thread that runs the program sees
 * them: they are held back while the job starts its threads, which inherit that, so that no task's
 * system call is ever interrupted. A SIGINT that was ignored before (nohup, a shell's background
 * job) stays ignored.
 */
#ifndef SIGNALS_H
#define SIGNALS_H

#include <signal.h>

struct signals {
    sigset_t mask_before;
    struct sigaction interrupt_before;
    struct sigaction terminate_before;
};

/* Holds both back, in the calling thread and those it starts from now on, and installs handlers. */
void signals_hold(struct signals *signals);
/* Lets them through to the calling thread. */
void signals_heed(const struct signals *signals);
/* Handlers and mask are again what they were. */
void signals_restore(const struct signals *signals);
/* How many have come since signals_hold. */
int signals_count(void);

#endif
