/* SPDX-License-Identifier: Apache-2.0
 *
 * cut: what a task tells of its cut, with SEALED; the coordinator hands all of them on to the
 * manifest, and to who wants to know.
 */
#ifndef CUT_H
#define CUT_H

#include <stdbool.h>
#include <stdint.h>

#define CUT_NO_CHANNEL UINT32_MAX

struct cut_report {
    int64_t marked_ns;   /* monotonic: an input had reached the marker, and was held; 0: none was */
    int64_t cut_ns;      /* monotonic: the cut began */
    int64_t took_ns;     /* so long it held the task, */
    int64_t cpu_ns;      /* and so long it ran meanwhile: processor time of the task's thread */
    int64_t complete_ns; /* monotonic: the last marker had arrived */
    uint64_t channel_bytes, outlet_bytes; /* recorded, of records */
    uint64_t loop_bytes;                  /* of these, on channels inside a loop */
    uint32_t last_channel; /* of the plan: where the last marker arrived, or CUT_NO_CHANNEL */
    bool overtook;         /* it cut before the marker was reached, or moved its own ahead */
    bool at_rest; /* of a task in a loop: what comes from outside has ended, nothing is to fire */
};

/* What the coordinator adds: before the reports of all tasks, in the order of the plan. */
struct cut_summary {
    int64_t triggered_ns, sealed_ns; /* monotonic */
    uint32_t last_task;              /* that sealed last; UINT32_MAX: none */
};

#endif
