/* SPDX-License-Identifier: Apache-2.0
 *
 * watchdog: what follows when something hangs. The job tells of it (WEIR_EVENT_HUNG); here the
 * stack of the thread is taken, it is said, and with --hang-action restart the process is ended,
 * so that its supervisor starts it again from the newest checkpoint.
 *
 *   D1  A thread of its own does it, which is there before the job is started and after it is
 *       closed: an operator may hang in `open`, and in `close`. Taking a stack and naming functions
 *       takes time, and reads files; the job's own threads wait for none of it.
 *   D2  When the process is to be ended, the last words are on the slate before anything is done
 *       that may wait for a disk. Names are the supervisor's business then.
 *   D3  One that was asked to stop is stopped: nobody starts it again.
 */
#ifndef WATCHDOG_H
#define WATCHDOG_H

#include <pthread.h>

#include "options.h"
#include "report.h"
#include "slate.h"

enum { WATCHDOG_NOTES = 16 }; /* that wait to be told; what is beyond, is not */

/* A WEIR_EVENT_HUNG or WEIR_EVENT_RETURNED. */
struct watchdog_note {
    struct weir_event event; /* its text is: */
    char text[600];
    char node[72];
};

struct watchdog {
    const struct options *options;
    struct report *report;
    struct slate *slate;
    bool running; /* the thread is there */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool over;
    size_t count;
    struct watchdog_note notes[WATCHDOG_NOTES];
};

/* Everything must stay until watchdog_stop. Sets options->job.open_signal. Without a thread for it
 * nothing is told. */
void watchdog_start(struct watchdog *watchdog, struct options *options, struct report *report,
                    struct slate *slate);
/* From the job's hook, any thread: returns at once. */
void watchdog_note(struct watchdog *watchdog, const struct weir_event *event);
/* What was noted has been told when it returns. The job has been closed. */
void watchdog_stop(struct watchdog *watchdog);

#endif
