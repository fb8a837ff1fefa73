/* SPDX-License-Identifier: Apache-2.0
 *
 * golden_job: the job of which tests/golden keeps a store and its output. It has one of everything
 * that a checkpoint can hold: keyed values, fixed and of any size, a list, a map, values that
 * expire, timers of keys of both kinds, items of every kind, handles, records in flight on both
 * sides, segments of state that are shared, and such that need a list of their blobs.
 *
 * What was written by it once is read for ever, so it stays as it is: a change of its names,
 * states, items or lines asks for another golden store beside the old one.
 */
#ifndef GOLDEN_JOB_H
#define GOLDEN_JOB_H

#include "valve.h"

#define GOLDEN_PARALLELISM 2u /* of all but the source, when the store was made */
#define GOLDEN_ROUNDS 4u      /* checkpoints when it dies */
#define GOLDEN_KEYS 24u
#define GOLDEN_RECORDS 2400u
#define GOLDEN_NODE "keep" /* the one that has state */

/* One start of it on FOLDER/store and FOLDER/output. */
struct golden_job {
    struct flow flow;
    struct valve valve;
    uint64_t
        dies_at; /* with SIGKILL once this checkpoint is committed, before its output is seen */
    char store[160], output[160];
};

/* Shut: nothing passes behind "keep" until the valve allows it. */
void golden_job_init(struct golden_job *job, const char *folder, uint32_t parallelism);
void golden_job_free(struct golden_job *job);

/* Fills the folder as tests/golden was filled, and dies: call it in a process of its own. */
void golden_job_make(const char *folder);

/* Ends the test unless what is published in FOLDER/output is exactly what the job has to say from
 * its beginning to its end. */
void golden_job_is_exact(const char *folder);

#endif
