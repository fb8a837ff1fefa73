/* SPDX-License-Identifier: Apache-2.0
 *
 * plan: the graph laid out as tasks and channels, before anything runs. Pure.
 *
 *   instance   one subtask of one node; what a checkpoint's part belongs to. Instances are numbered
 *              node by node, so the numbers do not depend on chaining.
 *   chain      nodes that run in one task: each but the first has one edge into it, FORWARD, from a
 *              node of the chain of equal parallelism; they call each other directly. A node that
 *              has `wake` is always a first.
 *   task       one subtask of one chain: a thread.
 *   channel    one writer task to one reader task, for one edge.
 *   loop       nodes that reach each other, by way of feedback edges; numbered from 1, 0 is none. A
 *              chain has members of one loop at most: what enters a loop has a second edge into it.
 */
#ifndef PLAN_H
#define PLAN_H

#include "graph.h"

struct plan_node {
    uint32_t parallelism;
    uint32_t first_instance;
    uint32_t chain;
    uint32_t place; /* in the chain */
    bool chained;   /* fed by a direct call */
    uint32_t loop;
};

struct plan_chain {
    uint32_t head; /* node */
    uint32_t length;
    uint32_t parallelism;
    uint32_t first_task;
    uint32_t loop;
};

struct plan_channel {
    uint32_t edge;
    uint32_t from_task, to_task;
    uint32_t from_subtask, to_subtask;
    uint32_t loop; /* both its ends are in that one */
    bool feedback;
    bool aligned_only; /* nothing of it may be recorded (P13) */
    /* 0: a channel. n: one without a writer, of what was in flight when the job was restored with
     * another parallelism, n such restores ago; from_subtask is its number (rehash.h). */
    uint32_t restores;
};

struct plan {
    const struct weir_graph *graph;
    struct plan_node *nodes; /* graph->node_count */
    uint32_t *order;         /* nodes, writers before readers */
    struct plan_chain *chains;
    uint32_t chain_count;
    /* Ordered by edge, then from_subtask, then to_subtask; behind them, restored_count that have no
     * writer. */
    struct plan_channel *channels;
    uint32_t channel_count;
    uint32_t restored_count, restored_room;
    uint32_t *edge_first; /* first channel of each edge; edge_count + 1 entries */
    uint32_t task_count;
    uint32_t socket_count; /* of ZeroMQ's, that the job opens at most */
    uint32_t instance_count;
    uint32_t loop_count;
    bool aligned_only; /* there is such a channel */
};

#define PLAN_TASK_LIMIT 4096
#define PLAN_CHANNEL_LIMIT (1u << 20)
#define PLAN_SOCKET_LIMIT 65535 /* of a ZeroMQ context */

/* `parallelism` is for nodes that leave it open. Checks the graph first. WEIR_INVALID also where
 * the job would be larger than one of these limits: a lower parallelism helps. */
enum weir_result plan_make(struct weir_graph *graph, uint32_t parallelism, struct plan *plan,
                           struct weir_error *error) WEIR_MUST_USE;
void plan_free(struct plan *plan);
/* One more channel without a writer; its index. Before the job starts. UINT32_MAX: no memory. */
uint32_t plan_add_restored(struct plan *plan, uint32_t edge, uint32_t restores, uint32_t number,
                           uint32_t to_subtask);

/* Marks the tasks that task `index` sends to: readers of its channels, and writers it returns
 * credit to. `peers` has a place for each task. How many they are. */
uint32_t plan_mark_peers(const struct plan *plan, uint32_t index, bool *peers);
/* The node at a place of a chain. */
uint32_t plan_member(const struct plan *plan, uint32_t chain, uint32_t place);
/* Is this edge a direct call? */
bool plan_direct(const struct plan *plan, uint32_t edge);
/* Are equal keys of what the node emits of one subtask, whatever the parallelism? As long as it
 * keeps the keys that it is given. */
bool plan_dealt_by_key(const struct weir_graph *graph, uint32_t node);

#endif
