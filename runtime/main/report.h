/* SPDX-License-Identifier: Apache-2.0
 *
 * report: what a run says. Three faces of the same events:
 *
 *   lines     on standard error, for people and log files (default)
 *   live      on a terminal, one line that is drawn again and again below the other lines
 *   JSON      --json: one object a line on standard output, documented in ../EVENTS.md; nothing but
 *             refusals before the start goes to standard error then
 *
 * A checkpoint every 10 ms must not flood a terminal: of each kind - committed, come to nothing -
 * at most one line a second is printed, with the count of those it stands for. Nothing is
 * swallowed: what was held back is printed when its second is over, or at the end. Where there is a
 * live line, that one tells of committed checkpoints. JSON is not thinned out.
 *
 * A reader that has gone away - of standard error, or of the events - does not end the job; one
 * that is slow makes the job's checkpoints wait.
 *
 * One report lives through all restarts of a job in a process. A supervisor has its own. The job's
 * hooks are called from the job's threads, the rest from the program's; a lock keeps them apart.
 */
#ifndef REPORT_H
#define REPORT_H

#include <pthread.h>

#include "figures.h"
#include "json.h"
#include "live.h"
#include "options.h"

/* Lines of one kind, thinned out: see lines.h. */
struct report_line {
    int64_t printed_ns; /* monotonic */
    uint64_t held;      /* since then */
    char head[100];     /* the newest held: behind it stands how many there were, */
    char rest[1100];    /* and then this */
};

struct report {
    pthread_mutex_t lock;
    const char *name;              /* of the program; opens every line */
    const struct options *options; /* borrowed */
    int64_t began_ns;              /* monotonic */
    int parent;                    /* process number; 0: not supervised */
    uint32_t restarts;             /* so far, in this process */
    int64_t failed_ns;             /* when the last failure was; 0: none since the last start */
    bool started;                  /* at least once */
    bool told;                     /* report_failed has told of the newest failure */
    uint64_t restored_from;
    struct figures_checkpoint newest; /* that a restart would go on from, committed here */
    int64_t newest_ns;                /* its trigger, monotonic */
    struct report_line committed;
    struct report_line aborted;
    struct live live;
    struct figures figures;
    struct json json; /* the event that is being written */
};

/* Something hangs. */
struct report_hang {
    const struct weir_event *event;   /* WEIR_EVENT_HUNG */
    const struct weir_failure *where; /* what the thread says itself; NULL: nothing */
    const char *trace;  /* lines of its stack; "": they come later, or are not known */
    const char *kernel; /* why not; "": they are */
    bool ends;          /* the process is ended for it */
};

/* What follows a failure. */
struct report_retry {
    uint32_t consecutive, allowed;
    int64_t delay_ns; /* negative: no restart */
};

/* Sets the hooks of *job. Everything must stay until report_end. parent: 0 when there is none. */
void report_begin(struct report *report, const char *name, const struct options *options,
                  struct weir_job_options *job, int parent);
/* The run before this one ended at failed_ns (monotonic), in another process, the `restarts`-th of
 * its supervisor. */
void report_resume(struct report *report, int64_t failed_ns, uint32_t restarts);
/* One line, at once; as JSON an event "log". */
void report_say(struct report *report, enum weir_level level, const char *format, ...)
    WEIR_PRINTF(3, 4);
/* One line of weir_job_dump, whatever --log-level says: somebody has asked for it. */
void report_dump(struct report *report, const char *text);
/* Call a few times a second, with the job's status when there is a job: draws the live line, prints
 * what was held back long enough. */
void report_tick(struct report *report, const struct weir_status *status);
/* A stop is asked for: by `who`, a signal's name or "control". savepoint: where the last checkpoint
 * is to be kept; NULL: nowhere else. */
void report_stopping(struct report *report, enum weir_stop how, const char *who,
                     const char *savepoint);
/* The run has failed, or could not be started again. `failure` is NULL when no operator is known.
 * delay_ns: until the restart; negative: there will be none. This is failure number `consecutive`
 * in a row; `allowed` restarts in a row are allowed. */
void report_failed(struct report *report, const struct weir_error *error,
                   const struct weir_failure *failure, uint32_t consecutive, uint32_t allowed,
                   int64_t delay_ns);
/* For a supervisor: the child has died by `signal`, or, when that is 0, by exit(code). `where` is
 * NULL when no operator is known; `trace`: lines of a stack, "" when there is none; the rest as for
 * report_failed. */
void report_died(struct report *report, int child, int signal, int code,
                 const struct weir_failure *where, const char *trace, uint32_t consecutive,
                 uint32_t allowed, int64_t delay_ns);
void report_hung(struct report *report, const struct report_hang *hang);
/* WEIR_EVENT_RETURNED */
void report_returned(struct report *report, const struct weir_event *event);
/* A record has failed as often as poison_after says. skipped: from now on it becomes a dead letter;
 * otherwise its operator is given it again. */
void report_poisoned(struct report *report, const struct weir_poison *poison,
                     const struct weir_failure *failure, bool skipped);
/* What it all came to; `status` is NULL when the job may not be asked any more, or was never
 * started. The job must have been closed. */
void report_end(struct report *report, enum weir_outcome outcome, const struct weir_status *status,
                const struct weir_error *error);

#endif
