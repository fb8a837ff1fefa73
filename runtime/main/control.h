/* SPDX-License-Identifier: Apache-2.0
 *
 * control: a running program can be asked, from another process, what it does and told what to do.
 *
 *   socket     see control_folder.h; it is named after the store, so a job without one has none
 *   request    {"weir": 1, "ask": "status"}      ask: status, checkpoint, savepoint, stop, dump
 *              savepoint says "path": "/a/directory"
 *              stop may say "mode": "suspend" (default), "drain" or "now", and "savepoint": a path
 *   answer     {"weir": 1, "ok": true, ...}  or  {"weir": 1, "ok": false, "error": "..."}
 *
 * One frame each; the fields of answers are documented in ../EVENTS.md. Whoever can open the socket
 * is the user who runs the job, or root.
 */
#ifndef CONTROL_H
#define CONTROL_H

#include "control_store.h"
#include "options.h"
#include "report.h"
#include "savepoints.h"

struct control;

/* What the program has to carry out, for it also has signals to mind. Borrowed. */
struct control_asked {
    /* 1 << enum weir_stop, added before the answer leaves; nothing here takes it out: who was told
     * that the program will stop may rely on it, even if the job fails first. */
    _Atomic uint32_t *stops;
    struct savepoints *savepoints;
};

/* Once, before the program's other threads start (before the first weir_job_start; in a supervised
 * program: in the child, after the fork): CZMQ starts itself and changes process-wide things, which
 * are put back at once. */
void control_prepare(void);
/* Starts answering for `job`, which must have started: its store, report->options->job.store, is
 * locked, so nobody else's socket is replaced. `report` is borrowed, for its name, parent, restarts
 * and options. The program's first thread. */
enum weir_result control_start(struct control **control, struct weir_job *job,
                               const struct report *report, const struct control_asked *asked,
                               struct weir_error *error) WEIR_MUST_USE;
/* Removes the socket, tells who still waits that the run is over, and ends. The job is not asked
 * any more afterwards; before weir_job_close, for the store's lock must still be held. NULL is
 * accepted; *control becomes NULL. */
void control_stop(struct control **control);

/* The other side: the verbs that ask a running program. Prints the answer, for people or
 * with --json as it came; answers the exit code. */
int control_ask(const char *program, const struct options *options);

#endif
