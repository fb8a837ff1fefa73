/* SPDX-License-Identifier: Apache-2.0
 *
 * agreement: what all subtasks of a node must see alike although none can ask another, such as the
 * list of input files: two subtasks that listed a growing folder at different moments would split
 * it differently and lose or double lines. It lives in the node's config, which they share. Whoever
 * comes first brings the value, the others take that one; the last to leave takes it away, so that
 * the graph can be started again.
 *
 * weir opens all subtasks of a job before it closes any. Two jobs of one graph that overlap
 * share the value; their allocators must then outlive both. Any thread.
 */
#ifndef AGREEMENT_H
#define AGREEMENT_H

#include <stdatomic.h>

struct agreement {
    atomic_uint busy; /* 1 while a thread is between the lines below */
    unsigned users;   /* guarded by busy */
    void *value;      /* guarded by busy */
};

void agreement_init(struct agreement *agreement);
/* Answers the agreed value: `mine`, or an earlier one, and then the caller frees `mine`. */
void *agreement_join(struct agreement *agreement, void *mine);
/* Answers the value to the last who leaves, who frees it; NULL to the others. */
void *agreement_leave(struct agreement *agreement);

#endif
