/* SPDX-License-Identifier: Apache-2.0
 *
 * counting: the job that is measured. A source makes uniform keys of 8 bytes, BY_KEY, for a task
 * that counts them in cells of 8 bytes; all keys are there from the start. It lives as long as a
 * bench, and works only in *turns*, so that several such jobs can take turns beside each other:
 *
 *   flood   records as fast as they are taken
 *   paced   an open loop, see measure/pacing.h: latency is from when a record was due until the
 *           counting task has counted it
 *
 * Checkpoints are asked for at the turn's interval and by nothing else. What goes wrong ends the
 * process, by die.h. One thread, the same for all calls.
 */
#ifndef COUNTING_H
#define COUNTING_H

#include <stdbool.h>
#include <stdint.h>

#include "histogram.h"
#include "weir.h"

struct counting;

struct counting_turn {
    double seconds;      /* a flood with checkpoints takes whole intervals, so many as that has room
                            for, and one at least */
    int64_t interval_ns; /* between checkpoints; 0: none */
    uint64_t per_second; /* 0: a flood */
    double warm_seconds; /* of a paced turn: what is due in these first ones is not measured */
};

/* What turns were; what is added up is that of all turns the struct was given to. */
struct counting_result {
    double per_second;          /* records, of the last turn */
    double task_ns, process_ns; /* processor time a record, of the last turn: of the counting task,
                                   of all threads of the process */
    /* Of the last turn, if it was paced: by how much lag grew from the middle third to the last, a
     * second of time. 0.01 and more: it could not keep up. */
    double lag_growth;
    /* added up */
    uint64_t checkpoints, aborted, bytes;
    struct histogram cut_ns, cut_cpu_ns, durable_ns;
    struct histogram latency_ns;
};

/* The job runs, and has counted each key once. `store`: a directory that is not there yet, or NULL
 * for a job without checkpoints. */
struct counting *counting_start(uint32_t keys, const char *store, enum weir_mode mode);
void counting_turn(struct counting *counting, const struct counting_turn *turn,
                   struct counting_result *result);
/* Ends the job, checks that the counts add up to the records, and frees it; NULL is accepted. */
void counting_end(struct counting **counting);

#endif
