/* SPDX-License-Identifier: Apache-2.0
 *
 * report: what a run says on standard error. Standard output is the user's.
 *
 * A checkpoint every 10 ms must not flood a terminal: of each kind - committed, come to nothing -
 * at most one line a second is printed, with the count of those it stands for. Nothing is
 * swallowed: what was held back is printed when its second is over, or at the end.
 *
 * Its hooks are called from the job's threads, the rest from the program's; a lock keeps them
 * apart.
 */
#ifndef REPORT_H
#define REPORT_H

#include <pthread.h>

#include "weir.h"

/* Lines of one kind, thinned out. */
struct report_line {
    int64_t printed_ns; /* monotonic */
    uint64_t held;      /* since then */
    char text[800];     /* the newest held */
};

struct report {
    pthread_mutex_t lock;
    const char *name;                   /* of the program; opens every line */
    const struct weir_job_options *job; /* borrowed */
    int64_t began_ns;                   /* monotonic */
    uint64_t restored_from;
    struct report_line committed;
    struct report_line aborted;
};

/* Sets the job's log and event hooks. Both structs must stay until report_end. */
void report_begin(struct report *report, const char *name, struct weir_job_options *job);
/* One line, at once. */
void report_say(struct report *report, const char *format, ...) WEIR_PRINTF(2, 3);
/* Call a few times a second: prints what was held back long enough. */
void report_tick(struct report *report);
/* What the run came to; `status` is NULL when the job may not be asked any more. The job must have
 * been closed. */
void report_end(struct report *report, enum weir_outcome outcome, const struct weir_status *status,
                const struct weir_error *error);

#endif
