/* SPDX-License-Identifier: Apache-2.0
 *
 * supervisor: a parent that does nothing but watch over the process that does the work, and starts
 * it again when it dies.
 *
 *   V1  The parent has no thread, no ZeroMQ context and no store of its own: neither survives a
 *       fork, and what does nothing can't crash.
 *   V2  The child dies with its parent. (PR_SET_PDEATHSIG; a parent that died before that was set
 *       is noticed by asking.)
 *   V3  What the child has finished is finished: its exit code is passed on, and it is not started
 *       again, however it exits.
 *   V4  Signals that are for the job are passed on. The parent takes them from a queue, one at a
 *       time; it has no handler that could come at a wrong moment.
 */
#ifndef SUPERVISOR_H
#define SUPERVISOR_H

#include <signal.h>

#include "options.h"
#include "slate.h"

/* What a child has to know. */
struct supervised {
    struct slate *slate;
    int supervisor;       /* its process number; 0: there is none */
    const sigset_t *mask; /* as it was before the supervisor held signals back; NULL: as it is */
};

/* Does the work and answers the exit code. */
typedef int supervised_work(void *context, const struct supervised *supervised);

/* Returns in the parent alone, with the exit code. To be called before the process has threads. */
int supervise(const char *program, const struct options *options, supervised_work *work,
              void *context);

#endif
