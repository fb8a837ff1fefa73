/* SPDX-License-Identifier: Apache-2.0
 *
 * mapping: how a checkpoint of graph `then` is laid onto graph `now`. Pure: it looks at the two
 * descriptions, not at what was saved. Names are identities: of nodes, of states within a node, of
 * an edge's two ends and their output and input; equal edges are told apart by their order.
 *
 *   M1  every key group of a node is owned by exactly one subtask, then and now; so of every old
 *       subtask that has something of a group, exactly one new one reads it.
 *   M2  each SPLIT item, handle and letter of an old subtask goes to exactly one new one.
 *   M3  an edge is *moved* when the parallelism of one of its ends is another: its channels are
 *       other ones. What was recorded on them is shared out anew (rehash.h).
 *   M4  what has no place in `now` is left over, and nothing else is; what does not fit is a
 *       problem, and all problems are told, not the first alone.
 */
#ifndef MAPPING_H
#define MAPPING_H

#include "manifest.h"

#define MAPPING_NONE UINT32_MAX
#define MAPPING_PROBLEM_ROOM 320

enum mapping_way {
    MAPPING_NEW,     /* the checkpoint has none: it starts empty */
    MAPPING_SHARED,  /* the old log goes on as it is */
    MAPPING_AGAIN,   /* what lives of it is appended anew: the key groups have other owners */
    MAPPING_MIGRATE, /* the same, and each value is given to migrate */
};

struct mapping_state {
    uint32_t then; /* index in the old node */
    enum mapping_way way;
};

struct mapping_node {
    uint32_t then; /* MAPPING_NONE: the checkpoint has no such node, it starts empty */
    bool moved;    /* its parallelism is another */
    bool as_was;   /* its parts are read as they are */
    struct mapping_state *states;
};

struct mapping_edge {
    uint32_t then; /* MAPPING_NONE: a new one */
    bool moved;    /* M3 */
};

/* What the descriptions do not say of a node of `now`. */
struct mapping_traits {
    const char *fixed;    /* why its parallelism can't change; NULL: it can */
    const bool *migrates; /* of each state: it has a migrate callback; NULL: none has */
};

struct mapping {
    const struct manifest_graph *then, *now; /* borrowed */
    const struct weir_allocator *allocator;
    struct mapping_node *nodes; /* of now */
    struct mapping_edge *edges;
    uint32_t *node_now; /* of each node of then; MAPPING_NONE: it was removed */
    uint32_t *edge_now;
    char (*problems)[MAPPING_PROBLEM_ROOM];
    uint32_t problem_count;
    bool same; /* every part is read as it is, and no edge has another place */
};

/* `traits` has an entry for each node of `now`; NULL: nothing is known of any. Both graphs are
 * borrowed. WEIR_NO_MEMORY. */
enum weir_result mapping_make(const struct manifest_graph *then, const struct manifest_graph *now,
                              const struct mapping_traits *traits,
                              const struct weir_allocator *allocator, struct mapping *mapping,
                              struct weir_error *error) WEIR_MUST_USE;
void mapping_free(struct mapping *mapping);
/* WEIR_MISMATCH with the first problem, and how many more there are. */
enum weir_result mapping_check(const struct mapping *mapping,
                               struct weir_error *error) WEIR_MUST_USE;

/* The old state of that name was removed from its node, or the node is gone. */
bool mapping_is_removed(const struct mapping *mapping, uint32_t node_then, uint32_t state_then);
/* Index of an old state in the new node; MAPPING_NONE: it was removed. */
uint32_t mapping_state_now(const struct mapping *mapping, uint32_t node_now, uint32_t state_then);

/* The number of an instance's part in a checkpoint of the graph. */
uint32_t mapping_instance(const struct manifest_graph *graph, uint32_t node, uint32_t subtask);

/* Key groups [first, end) of a subtask. */
struct mapping_range {
    uint32_t first, end;
};
struct mapping_range mapping_range(uint32_t subtask, uint32_t parallelism, uint32_t groups);
/* Does subtask `now` of `q` own a group that subtask `then` of `p` owned? */
bool mapping_reads(uint32_t now, uint32_t q, uint32_t then, uint32_t p, uint32_t groups);

/* M2: who of `parallelism` gets item `index` of `count`; the shares differ by one at most. */
uint32_t mapping_split(uint64_t index, uint64_t count, uint32_t parallelism);
/* M2: who of `parallelism` gets the handles and letters of an old subtask, all of them and in their
 * order: as long as it is there, the one of its number. */
uint32_t mapping_heir(uint32_t subtask, uint32_t parallelism);

#endif
