/* SPDX-License-Identifier: Apache-2.0
 *
 * budget: how much one poll of a source does. A marker waits for it, and so does everybody whose
 * credit is not returned meanwhile; but each poll costs a look at the inbox.
 */
#ifndef BUDGET_H
#define BUDGET_H

#include "weir.h"

#define BUDGET_RECORDS 256
#define BUDGET_BYTES ((size_t)256 << 10)
#define BUDGET_READS 4

struct budget {
    uint64_t most;    /* records; what is due, and BUDGET_RECORDS */
    uint64_t records; /* sent so far, */
    size_t bytes;     /* and how many bytes they had; */
    size_t reads;     /* reads, opens, listings: calls that may wait for a disk */
};

static inline bool budget_is_left(const struct budget *budget)
{
    return budget->records < budget->most && budget->bytes < BUDGET_BYTES &&
           budget->reads < BUDGET_READS;
}

/* Sends a line as a record, and counts it. */
static inline enum weir_result budget_emit(struct budget *budget, struct weir_context *context,
                                           struct weir_bytes line)
{
    const struct weir_record record = {.value = line, .time = WEIR_NO_TIME};
    budget->records++;
    budget->bytes += line.size;
    return weir_emit(context, 0, &record);
}

#endif
