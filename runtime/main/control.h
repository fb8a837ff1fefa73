/* SPDX-License-Identifier: Apache-2.0
 *
 * control: a running program can be asked, from another process, what it does and told what to do.
 *
 *   socket     ipc://FOLDER/<store id>; FOLDER is $XDG_RUNTIME_DIR/weir, else /tmp/weir-<uid>; it
 *              must be a directory of this user's with mode 0700, and is made so when missing
 *   request    {"weir": 1, "ask": "status"}      ask: status, checkpoint, stop, stop-now, dump
 *   answer     {"weir": 1, "ok": true, ...}  or  {"weir": 1, "ok": false, "error": "..."}
 *
 * One ZeroMQ frame each, REQ to REP; the fields of answers are documented in ../EVENTS.md. Whoever
 * can open the socket is the user who runs the job, or root.
 *
 * The socket is bound only while the store's lock is held: a second bind would steal the name
 * without a word. CZMQ lives here and nowhere else, and its effects on the process - handlers of
 * SIGINT and SIGTERM, srandom, ZSYS_* variables - are taken back: see control.c.
 */
#ifndef CONTROL_H
#define CONTROL_H

#include "options.h"
#include "report.h"

struct control;

/* Starts the actor. The job must have started: its store is locked. `report` is borrowed, for the
 * process numbers and the count of restarts; asked-for stops are told by control_asked. The
 * program's first thread. */
enum weir_result control_start(struct control **control, struct weir_job *job, const char *store_id,
                               struct report *report, struct weir_error *error) WEIR_MUST_USE;
/* The job that answers from now on; NULL: none just now (between two runs). Waits until an answer
 * in progress is out, so that the old job may be closed afterwards. */
void control_attach(struct control *control, struct weir_job *job);
/* What somebody has asked for since the last call: a stop is carried out by the program, which also
 * has signals to mind. -1: nothing. */
int control_asked(struct control *control); /* enum weir_stop */
/* Ends the actor and removes the socket. NULL is accepted. */
void control_stop(struct control **control);

/* The other side: the verbs status, checkpoint, stop and dump. Prints the answer, for people or
 * with --json as it came; answers the exit code. */
int control_ask(const char *program, const struct options *options);

#endif
