/* SPDX-License-Identifier: Apache-2.0
 *
 * manifest_compare: may a job of this graph go on from a checkpoint of that one? The first
 * difference is named; nothing is guessed. Parallelism must be equal until groups can be handed
 * over.
 */
#include "manifest.h"

#include <string.h>

#include "error.h"

#define WHAT_TO_DO "go back to the graph of the checkpoint, or start afresh with --restore none"

static const struct manifest_node *find_node(const struct manifest_graph *graph, const char *name)
{
    for (uint32_t i = 0; i < graph->node_count; i++)
        if (strcmp(graph->nodes[i].name, name) == 0)
            return &graph->nodes[i];
    return NULL;
}

/* Tasks are numbered in the order of nodes, so the order is part of what must be equal. */
static enum weir_result compare_names(const struct manifest_graph *then,
                                      const struct manifest_graph *now, struct weir_error *error)
{
    for (uint32_t i = 0; i < then->node_count; i++)
        if (find_node(now, then->nodes[i].name) == NULL)
            return error_set(error, WEIR_MISMATCH, 0,
                             "node '%s' is in the checkpoint but not in the graph (was it "
                             "renamed?): " WHAT_TO_DO,
                             then->nodes[i].name);
    for (uint32_t i = 0; i < now->node_count; i++)
        if (find_node(then, now->nodes[i].name) == NULL)
            return error_set(error, WEIR_MISMATCH, 0,
                             "node '%s' is in the graph but not in the checkpoint: " WHAT_TO_DO,
                             now->nodes[i].name);
    for (uint32_t i = 0; i < then->node_count; i++)
        if (strcmp(then->nodes[i].name, now->nodes[i].name) != 0)
            return error_set(error, WEIR_MISMATCH, 0,
                             "node %u was '%s' and is '%s': declare the nodes in the order of the "
                             "checkpoint, or start afresh with --restore none",
                             i, then->nodes[i].name, now->nodes[i].name);
    return WEIR_OK;
}

static enum weir_result compare_states(const struct manifest_node *then,
                                       const struct manifest_node *now, struct weir_error *error)
{
    uint32_t count = then->state_count > now->state_count ? then->state_count : now->state_count;
    for (uint32_t i = 0; i < count; i++) {
        const char *was = i < then->state_count ? then->states[i].name : "(nothing)";
        const char *is = i < now->state_count ? now->states[i].name : "(nothing)";
        if (strcmp(was, is) != 0)
            return error_set(error, WEIR_MISMATCH, 0,
                             "state %u of node '%s' was '%s' and is '%s': " WHAT_TO_DO, i,
                             then->name, was, is);
        if (then->states[i].value_size != now->states[i].value_size)
            return error_set(error, WEIR_MISMATCH, 0,
                             "state '%s' of node '%s' had values of %u bytes and has %u (0: any "
                             "size): " WHAT_TO_DO,
                             was, then->name, then->states[i].value_size,
                             now->states[i].value_size);
        if (then->states[i].version != now->states[i].version)
            return error_set(error, WEIR_MISMATCH, 0,
                             "state '%s' of node '%s' was version %u and is %u: " WHAT_TO_DO, was,
                             then->name, then->states[i].version, now->states[i].version);
    }
    return WEIR_OK;
}

/* The operator's version is not compared: its load is told the version that saved. */
static enum weir_result compare_node(const struct manifest_node *then,
                                     const struct manifest_node *now, struct weir_error *error)
{
    if (then->parallelism != now->parallelism)
        return error_set(error, WEIR_MISMATCH, 0,
                         "node '%s' had parallelism %u and has %u: start with the old one, or "
                         "afresh with --restore none",
                         then->name, then->parallelism, now->parallelism);
    return compare_states(then, now, error);
}

static bool edges_equal(const struct manifest_edge *then, const struct manifest_edge *now)
{
    return then->from == now->from && then->to == now->to &&
           strcmp(then->output, now->output) == 0 && strcmp(then->input, now->input) == 0 &&
           strcmp(then->routing, now->routing) == 0;
}

/* Content in flight on a feedback edge is placed otherwise than on a forward one. */
static enum weir_result compare_feedback(const struct manifest_graph *then, uint32_t index,
                                         bool feedback_now, struct weir_error *error)
{
    const struct manifest_edge *was = &then->edges[index];
    if (was->feedback == feedback_now)
        return WEIR_OK;
    return error_set(error, WEIR_MISMATCH, 0,
                     "edge %u, %s.%s -> %s.%s, was %s feedback edge and is %s: " WHAT_TO_DO, index,
                     then->nodes[was->from].name, was->output, then->nodes[was->to].name,
                     was->input, was->feedback ? "a" : "no", feedback_now ? "one" : "none");
}

static enum weir_result compare_edges(const struct manifest_graph *then,
                                      const struct manifest_graph *now, struct weir_error *error)
{
    uint32_t least = then->edge_count < now->edge_count ? then->edge_count : now->edge_count;
    for (uint32_t i = 0; i < least; i++) {
        const struct manifest_edge *was = &then->edges[i], *is = &now->edges[i];
        if (!edges_equal(was, is))
            return error_set(error, WEIR_MISMATCH, 0,
                             "edge %u was %s.%s -> %s.%s (%s) and is %s.%s -> %s.%s "
                             "(%s): " WHAT_TO_DO,
                             i, then->nodes[was->from].name, was->output, then->nodes[was->to].name,
                             was->input, was->routing, now->nodes[is->from].name, is->output,
                             now->nodes[is->to].name, is->input, is->routing);
        enum weir_result result = compare_feedback(then, i, is->feedback, error);
        if (result != WEIR_OK)
            return result;
    }
    if (then->edge_count != now->edge_count)
        return error_set(error, WEIR_MISMATCH, 0,
                         "the checkpoint has %u edges and the graph %u: " WHAT_TO_DO,
                         then->edge_count, now->edge_count);
    return WEIR_OK;
}

enum weir_result manifest_compare(const struct manifest_graph *then,
                                  const struct manifest_graph *now, struct weir_error *error)
{
    enum weir_result result = compare_names(then, now, error);
    for (uint32_t i = 0; i < then->node_count && result == WEIR_OK; i++)
        result = compare_node(&then->nodes[i], &now->nodes[i], error);
    if (result == WEIR_OK)
        result = compare_edges(then, now, error);
    if (result == WEIR_OK && then->key_groups != now->key_groups)
        result = error_set(error, WEIR_MISMATCH, 0,
                           "the checkpoint has %u key groups and the graph %u: " WHAT_TO_DO,
                           then->key_groups, now->key_groups);
    return result;
}
