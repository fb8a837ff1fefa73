/* SPDX-License-Identifier: Apache-2.0
 *
 * pace: so many records a second, over all subtasks of a source. Time comes in as an argument.
 *
 * Record n of a subtask is due at base + n * parallelism / rate: counted from a fixed base, so
 * rounding never adds up. A source that falls behind (a cut, back-pressure) makes up for at most
 * BURST_NS of it; what is older is forgotten, for a burst would be no pace.
 */
#ifndef PACE_H
#define PACE_H

#include <stdbool.h>
#include <stdint.h>

#define PACE_RATE_LIMIT UINT64_C(1000000000) /* records per second; one a nanosecond */

struct pace {
    uint64_t rate;     /* records per second over all subtasks; 0: no pace */
    uint64_t whole_ns; /* of a subtask's period, parallelism * 10^9 / rate: the integer part */
    uint64_t part;     /* and the rest, in 1/rate ns */
    uint64_t lap_ns;   /* what `rate` records of a subtask take: parallelism * 10^9 */
    int64_t base_ns;   /* when record 0 of this lap was due */
    uint64_t taken;    /* records of this lap */
};

/* Subtasks start one after the other, so that together they are as even as one. rate at most
 * PACE_RATE_LIMIT. */
void pace_start(struct pace *pace, uint64_t rate, uint32_t subtask, uint32_t parallelism,
                int64_t now_ns);
/* How many records may be sent now; at most `most`. */
uint64_t pace_ready(struct pace *pace, int64_t now_ns, uint64_t most);
/* So many were sent. */
void pace_take(struct pace *pace, uint64_t count);
/* When to ask again, after pace_ready said 0. */
int64_t pace_deadline(const struct pace *pace, int64_t now_ns);

#endif
