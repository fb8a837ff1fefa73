/* SPDX-License-Identifier: Apache-2.0
 *
 * loops: when a cycle has come to rest. Pure.
 *
 * Once all that comes into a loop from outside has ended, only what is on its way in it can stir
 * it. A cut is a consistent picture: when it shows no record on any channel of the loop, and no
 * operator of it that would do something by itself, then nothing will happen there ever again -
 * rest is stable, so what a cut of the past shows still holds. Chandy and Lamport, 1985, section 5.
 *
 * So rounds are asked for until one shows it: at once, then after pauses that are doubled,
 * up to the interval of checkpoints: the end comes at most twice as late as it could.
 *
 * L1  a loop is looked at only in rounds whose every task had, at its cut, nothing left to come
 *     from outside (cut_report.at_rest).
 * L2  rest is told once; it is never taken back.
 */
#ifndef LOOPS_H
#define LOOPS_H

#include "cut.h"
#include "plan.h"

struct loop {
    uint32_t task_count;
    uint32_t looping_count; /* tasks that have said so */
    bool at_rest;
    int64_t pause_ns; /* before it is looked at again */
    int64_t due_ns;   /* when it is; INT64_MAX: a round is under way, or nobody looks yet */
};

struct loops {
    const struct plan *plan;
    struct loop *list; /* by number, from 1; storage from the caller: plan->loop_count + 1 zeroed */
    int64_t pause_most_ns;
};

/* interval_ns: of checkpoints; 0 or less: they are taken when asked for. */
void loops_init(struct loops *loops, const struct plan *plan, struct loop *storage,
                int64_t interval_ns);
/* Which loop a task is in; 0: none. */
uint32_t loops_of(const struct loops *loops, uint32_t task);
/* A task says that all from outside has ended. Once a task. */
void loops_looping(struct loops *loops, uint32_t task, int64_t now_ns);
/* When a round is wanted next; INT64_MAX: never. */
int64_t loops_due_ns(const struct loops *loops);
/* A round was asked for. */
void loops_asked(struct loops *loops);
/* A round is sealed by all (`reports`, one a task), or came to nothing (NULL). True: a loop has
 * come to rest by it, and its tasks are to be told; call again until it answers 0. */
uint32_t loops_rested(struct loops *loops, const struct cut_report *reports, int64_t now_ns);

#endif
