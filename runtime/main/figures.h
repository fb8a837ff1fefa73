/* SPDX-License-Identifier: Apache-2.0
 *
 * figures: what the live line says about a run, from one look at it to the next. Pure: time and
 * status come in as arguments.
 */
#ifndef FIGURES_H
#define FIGURES_H

#include "weir.h"

struct figures {
    uint32_t epoch; /* of the looks below; another one begins anew */
    bool begun;
    int64_t seen_ns; /* monotonic */
    uint64_t seen_records;
    double rate;         /* records a second, smoothed over about a second; negative: not known */
    int64_t progress_ns; /* the first look at which sources said how far they are */
    uint64_t progress_done;
};

/* What is known beside the job's status. */
struct figures_checkpoint {
    uint64_t id; /* 0: none */
    uint64_t bytes;
    int64_t duration_ns;   /* 0: another process has committed it, and the rest is not known */
    int64_t age_ns;        /* since its trigger */
    uint64_t flight_bytes; /* of records in flight that it holds */
};

/* Another look at the run; several within a tenth of a second count as one. */
void figures_take(struct figures *figures, const struct weir_status *status, int64_t now_ns);
/* "1.23 M records/s | 43 %, 1 min 20 s left | 2 restarts | checkpoint 17: 0.8 s old, took 12.3 ms,
 * 4.2 MB, 1.3 MB in flight"; what is not known is left out. What matters most comes first: a
 * narrow terminal cuts the rest. Plain ASCII. */
void figures_print(const struct figures *figures, const struct weir_status *status,
                   const struct figures_checkpoint *checkpoint, uint32_t restarts, int64_t now_ns,
                   char *text, size_t room);

#endif
