/* SPDX-License-Identifier: Apache-2.0
 *
 * notices: what a polled job has to tell its host - log lines and events - kept until the host asks
 * for it on its own thread.
 *
 * N1  at most NOTICES_LIMIT are kept. The oldest go first, and so does what finds no memory; where
 *     some are missing, one line says how many.
 * N2  ENDED has memory of its own and is never dropped: it always arrives, in its place.
 * N3  the lock is held for a few instructions and never while a hook runs: however slow the host
 *     is, no actor waits for it.
 * N4  the bell rings for what was added since the last delivery began.
 */
#ifndef NOTICES_H
#define NOTICES_H

#include "weir.h"

#define NOTICES_LIMIT 1000

struct notices;
struct run;

enum weir_result notices_new(const struct weir_allocator *allocator, struct notices **notices,
                             struct weir_error *error) WEIR_MUST_USE;
void notices_free(struct notices **notices);
int notices_fd(const struct notices *notices);

/* Any actor's thread. The text is copied. */
void notices_log(struct notices *notices, enum weir_level level, const char *text);
void notices_event(struct notices *notices, const struct weir_event *event);
/* There is something to ask for besides: the outcome. */
void notices_ring(struct notices *notices);

/* Calls the run's hooks for all that was there when this began. The host's thread. */
void notices_deliver(struct notices *notices, const struct run *run);

#endif
