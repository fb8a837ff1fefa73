/* SPDX-License-Identifier: Apache-2.0
 *
 * restart: whether a job that failed, or whose process died, is started again, and when. Pure: what
 * happened goes in, a verdict comes out; the caller waits.
 *
 *   R1  `consecutive` counts the failures since a checkpoint was last committed: a job that gets on
 *       may fail as often as it likes.
 *   R2  After more than `allowed` consecutive failures it is over.
 *   R3  A record that fails again and again counts by itself, checkpoints or not: those before it
 *       are committed anew each time, and would keep a job for ever in front of it.
 *   R4  Leaving out a record forgives the failures it caused. As many records may be left out
 *       between two checkpoints as failures are allowed: when every record fails, no record is to
 *       blame, and they must not all become dead letters.
 *   R5  The delay doubles with each consecutive failure, up to RESTART_DELAY_MOST_NS.
 */
#ifndef RESTART_H
#define RESTART_H

#include "weir.h"

/* A longer first delay stays what it is. */
#define RESTART_DELAY_MOST_NS ((int64_t)30 * 1000 * 1000 * 1000)

struct restart {
    uint32_t allowed;     /* consecutive failures that are followed by another start */
    int64_t delay_ns;     /* after the first */
    uint32_t consecutive; /* R1 */
    uint32_t left_out;    /* records, since a checkpoint was last committed */
    uint64_t commits;     /* as last told */
};

struct restart_verdict {
    bool again;
    int64_t delay_ns;     /* until then; negative when there is no other start */
    uint32_t consecutive; /* failures, this one included */
};

void restart_init(struct restart *restart, uint32_t allowed, int64_t delay_ns);
/* How many checkpoints were committed so far, by all starts together. Call it before the next two.
 */
void restart_committed(struct restart *restart, uint64_t commits);
/* A record was named that will be left out from now on: call it before restart_failed of the same
 * failure. */
void restart_left_out(struct restart *restart);
/* `record_failures`: how often the same record has failed in a row by now; 0: no record was. */
struct restart_verdict restart_failed(struct restart *restart, uint32_t record_failures);

/* Whether another start may end otherwise than this error. `first`: the job has never run;
 * `starting`: weir_job_start has answered it. */
bool restart_may_help(const struct weir_error *error, bool starting, bool first);

#endif
