/* SPDX-License-Identifier: Apache-2.0
 *
 * logs: the logs of an instance's keyed states outside of it: at a cut on their way to the writer,
 * and restored, until the states take them over.
 */
#ifndef LOGS_H
#define LOGS_H

#include "batch.h"
#include "state.h"

/* The segments of one state, in order. */
struct log_list {
    struct segment **segments;
    uint32_t count, room;
};

/* Of all states of an instance. */
struct logs {
    const struct weir_allocator *allocator;
    struct log_list *lists;
    uint32_t count;
};

/* False: no memory. Zeroed ones are empty. */
bool logs_init(struct logs *logs, const struct weir_allocator *allocator, uint32_t states);
/* The next segment of a state; takes it, also when it answers false: no memory. */
bool logs_add(struct logs *logs, uint32_t state, struct segment *segment);
void logs_free(struct logs *logs);

/* The segment as it would be restored from its blobs, in memory of its own. NULL: no memory. */
struct segment *logs_copy(const struct segment *segment, const struct weir_allocator *allocator);

/* A message's payload that holds the cut, and frees it in the end. NULL: no memory, and the cut is
 * still the caller's. */
struct batch *logs_payload(const struct state_cut *cut, const struct weir_allocator *allocator);
const struct state_cut *logs_of_payload(const struct batch *payload);
/* Gives the memory back of what has left the log: not the task's business, for it takes time. */
void logs_let_go(struct batch *payload);

#endif
