/* SPDX-License-Identifier: Apache-2.0
 *
 * judge: what follows from a failure, be it an operator's error, noticed in the process, or the
 * death of the process, noticed by its supervisor. Puts restart and suspects together; pure as they
 * are.
 */
#ifndef JUDGE_H
#define JUDGE_H

#include "options.h"
#include "slate.h"

struct failed {
    const struct weir_failure *where; /* NULL: no operator was at work */
    const char *cause;                /* one line */
    int64_t now_ns;                   /* monotonic */
    uint64_t commits;                 /* checkpoints committed, by all attempts */
    bool hopeless;                    /* another start would not help, or is not wanted */
};

struct verdict {
    bool again;
    int64_t delay_ns; /* until the next start; negative: there is none */
    uint32_t consecutive;
    bool named;                 /* a record was found to be poison: */
    struct weir_poison poison;  /* it; borrows from *memory, as does: */
    struct weir_failure record; /* its last failure that was exact */
    bool left_out;              /* it becomes a dead letter */
};

void judge_begin(struct slate_memory *memory, const struct options *options);
struct verdict judge(struct slate_memory *memory, const struct failed *failed);

#endif
