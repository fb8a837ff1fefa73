/* SPDX-License-Identifier: Apache-2.0
 *
 * graph: the description a user builds. Everything in it lives in the graph's own memory, a list of
 * blocks freed together; the first error sticks.
 */
#ifndef GRAPH_H
#define GRAPH_H

#include "manifest.h"
#include "state.h"
#include "weir.h"

struct graph_node {
    const char *name;
    const struct weir_operator *table; /* a copy, with later members zeroed */
    weir_function function;            /* NULL unless the simple case */
    const void *config;
    uint32_t parallelism; /* 0: the job's */
    struct weir_state *states;
    uint32_t state_count;    /* with the timers of keys, which are the last one; */
    uint32_t declared_count; /* those that the user has declared */
    const char **inputs;
    uint32_t input_count;
    const char **outputs;
    uint32_t output_count;
};

struct graph_edge {
    uint32_t from, output;
    uint32_t to, input;
    enum weir_routing routing;
    const char *key_format, *value_format; /* "" when not given */
    bool feedback;
};

struct graph_block;

struct weir_graph {
    const struct weir_allocator *allocator;
    struct graph_block *blocks;
    struct graph_node *nodes;
    uint32_t node_count, node_room;
    struct graph_edge *edges;
    uint32_t edge_count, edge_room;
    struct weir_error error; /* code WEIR_OK: none so far */
};

#define GRAPH_TIMERS "_timers" /* the name of the state that timers of keys lie in */
#define GRAPH_PARALLELISM_LIMIT 1024
#define GRAPH_NODE_LIMIT 4096

/* "forward" "spread" "by_key" "broadcast" */
const char *graph_routing_text(enum weir_routing routing);
/* Marks what can be reached from `node` over edges - with `forward`, over those that are no
 * feedback - or what reaches it, with `back`. `marks` is node_count zeroed bytes; the node itself
 * is marked only when it lies on a cycle. */
void graph_reach(const struct weir_graph *graph, uint32_t node, bool forward, bool back,
                 unsigned char *marks);
/* How many edges lead to the node, and the index of the last of them. */
uint32_t graph_edges_into(const struct weir_graph *graph, uint32_t node, uint32_t *last);
/* Does an edge lead from it? */
bool graph_leads_on(const struct weir_graph *graph, uint32_t node);
/* Of one of the node's states, the timers of keys included. */
enum state_kind graph_state_kind(const struct graph_node *node, uint32_t index);
uint32_t graph_parallelism(const struct weir_graph *graph, uint32_t node, uint32_t standard);
/* What a checkpoint depends on, borrowed from the graph: the arrays are released by graph_release.
 */
enum weir_result graph_describe(const struct weir_graph *graph, uint32_t parallelism,
                                uint32_t key_groups, struct manifest_graph *out,
                                struct weir_error *error) WEIR_MUST_USE;
void graph_release(const struct weir_graph *graph, struct manifest_graph *description);

#endif
