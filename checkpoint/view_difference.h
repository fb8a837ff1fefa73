/* SPDX-License-Identifier: Apache-2.0
 *
 * view_difference: what the two files behind weir_difference_next share.
 */
#ifndef VIEW_DIFFERENCE_H
#define VIEW_DIFFERENCE_H

#include "candidates.h"
#include "pair.h"
#include "view_inside.h"

/* A checkpoint, and where the state is in it. */
struct view_side {
    struct weir_checkpoint *checkpoint;
    uint32_t node, state;
    uint32_t task; /* of the subtask in hand */
    bool *shared;  /* each of the task's segments; NULL: none is */
};

struct weir_difference {
    struct view_side sides[2];
    const struct weir_allocator *allocator;
    const struct manifest_state *of; /* on the later side */
    enum state_kind kind;
    bool by_segments;
    uint32_t subtask, subtasks; /* the next, and how many */
    struct candidates set;
    uint32_t at; /* the next of the set */
    struct blob_buffer raw;
    enum weir_result result; /* sticky */
    struct weir_error error;
};

/* Notes the result, which is no success, unless there is one already. False. */
bool view_fail(struct weir_difference *difference, enum weir_result result);
bool view_fail_memory(struct weir_difference *difference);

const struct manifest_task *view_task_of(const struct view_side *side);

/* The candidate with this key, as it lies in a log; of a pair. New if need be; NULL: no memory. */
struct candidate *view_add(struct weir_difference *difference, struct weir_bytes key);
struct candidate *view_add_pair(struct weir_difference *difference, struct pair pair);

/* Fills the set with all that may have changed in the subtask in hand, and with what it is on both
 * sides, sorted. False: an error. */
bool view_compare(struct weir_difference *difference);
/* Is it the header of a list? That is nobody's value. */
bool view_is_header(const struct weir_difference *difference, const struct candidate *item);

#endif
