/* SPDX-License-Identifier: Apache-2.0
 *
 * attempts: a job is run until it ends, is stopped, or has failed too often. Between two attempts
 * the graph stays what it is: it may be started as often as one likes.
 *
 *     start --refused, the first time--> over
 *       |
 *     attend: signals, control, pulse --ended, stopped--> over
 *       |failed
 *     judge --too often, hopeless, a stop was asked for--> over
 *       |
 *     wait out the delay --a stop is asked for--> over
 *       |
 *     start: from the newest checkpoint, without the poison
 *
 *   A1  --restore says where the job begins. As long as no checkpoint was committed by any attempt
 *       it has not begun, and a restart begins there again; afterwards it is the newest checkpoint.
 *   A2  The job's threads, and those that answer for it, are started with the signals held back:
 *       see signals.h.
 *   A3  What is learnt is on the slate before the next attempt begins, and before its process can
 *       die of it.
 *   A4  The control endpoint is there while the store is locked and no longer: between two attempts
 *       the store, and the socket's name with it, could become another program's.
 *   A5  A stop that the endpoint has promised is kept on the slate and heeded whatever happens to
 *       the attempt it was asked of: a job that fails at once, again and again, can be stopped.
 *   A6  A stop that leaves a savepoint is promised when that is written, and not before: until then
 *       nothing is stopping, no deadline runs, and a failure is followed by a restart as ever.
 *   A7  A restart makes no store, and goes on from no checkpoint that is older than the newest one
 *       that was there: a store that was removed meanwhile would be begun anew, and what was
 *       published come twice.
 */
#ifndef ATTEMPTS_H
#define ATTEMPTS_H

#include "options.h"
#include "report.h"
#include "signals.h"
#include "slate.h"

/* The report must have begun, and the signals be held. Says what happens, the end included, and
 * answers the exit code. The program's first thread. */
int attempts_make(struct weir_graph *graph, struct options *options, struct report *report,
                  struct slate *slate, struct signals *signals);

#endif
