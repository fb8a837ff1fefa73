/* SPDX-License-Identifier: Apache-2.0 */
#include "plan.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "memory.h"

/* Writers before readers; without feedback edges the graph has no cycle. Quadratic, once. */
static void order_nodes(struct plan *plan, bool *placed)
{
    const struct weir_graph *graph = plan->graph;
    uint32_t count = 0;
    while (count < graph->node_count) {
        uint32_t before = count;
        for (uint32_t n = 0; n < graph->node_count; n++) {
            bool ready = !placed[n];
            for (uint32_t e = 0; ready && e < graph->edge_count; e++)
                ready = graph->edges[e].to != n || graph->edges[e].feedback ||
                        placed[graph->edges[e].from];
            if (ready) {
                placed[n] = true;
                plan->order[count++] = n;
            }
        }
        assert(count > before);
    }
}

static void number_instances(struct plan *plan, uint32_t parallelism)
{
    for (uint32_t n = 0; n < plan->graph->node_count; n++) {
        plan->nodes[n].parallelism = graph_parallelism(plan->graph, n, parallelism);
        plan->nodes[n].first_instance = plan->instance_count;
        plan->instance_count += plan->nodes[n].parallelism;
    }
}

/* The edge that makes `node` a member of its writer's chain, or NULL. An operator that wakes and
 * holds needs an inbox of its own to wait at: only a head has input that it can leave unread. */
static const struct graph_edge *chaining_edge(const struct plan *plan, uint32_t node)
{
    uint32_t last = 0;
    if (plan->graph->nodes[node].table->wake || graph_edges_into(plan->graph, node, &last) != 1)
        return NULL;
    const struct graph_edge *edge = &plan->graph->edges[last];
    bool equal = plan->nodes[edge->from].parallelism == plan->nodes[node].parallelism;
    return edge->routing == WEIR_FORWARD && equal ? edge : NULL;
}

static void make_chains(struct plan *plan)
{
    for (uint32_t i = 0; i < plan->graph->node_count; i++) {
        struct plan_node *node = &plan->nodes[plan->order[i]];
        const struct graph_edge *edge = chaining_edge(plan, plan->order[i]);
        if (edge) {
            node->chain = plan->nodes[edge->from].chain;
            node->place = plan->chains[node->chain].length++;
            node->chained = true;
            continue;
        }
        node->chain = plan->chain_count++;
        plan->chains[node->chain] = (struct plan_chain){
            .head = plan->order[i], .length = 1, .parallelism = node->parallelism};
    }
    for (uint32_t c = 0; c < plan->chain_count; c++) {
        plan->chains[c].first_task = plan->task_count;
        plan->task_count += plan->chains[c].parallelism;
    }
}

/* A loop is what its feedback edge reaches and is reached from. `marks` has room for two sets. */
static void find_loops(struct plan *plan, unsigned char *marks)
{
    const struct weir_graph *graph = plan->graph;
    for (uint32_t e = 0; e < graph->edge_count; e++) {
        uint32_t head = graph->edges[e].to;
        if (!graph->edges[e].feedback || plan->nodes[head].loop)
            continue;
        memset(marks, 0, 2 * (size_t)graph->node_count);
        graph_reach(graph, head, false, false, marks);
        graph_reach(graph, head, false, true, marks + graph->node_count);
        plan->loop_count++;
        for (uint32_t n = 0; n < graph->node_count; n++)
            if (marks[n] && marks[graph->node_count + n])
                plan->nodes[n].loop = plan->loop_count;
    }
}

/* The other way round, a chain is in the loop that one of its nodes is in. */
static void mark_chains(struct plan *plan)
{
    for (uint32_t n = 0; n < plan->graph->node_count; n++) {
        const struct plan_node *node = &plan->nodes[n];
        struct plan_chain *chain = &plan->chains[node->chain];
        assert(!node->loop || !chain->loop || chain->loop == node->loop);
        if (node->loop)
            chain->loop = node->loop;
    }
}

static uint64_t channels_of(const struct plan *plan, uint32_t edge)
{
    if (plan_direct(plan, edge))
        return 0;
    const struct graph_edge *e = &plan->graph->edges[edge];
    uint64_t from = plan->nodes[e->from].parallelism;
    return e->routing == WEIR_FORWARD ? from : from * plan->nodes[e->to].parallelism;
}

static void add_channel(struct plan *plan, uint32_t edge, uint32_t from, uint32_t to)
{
    const struct plan_node *writer = &plan->nodes[plan->graph->edges[edge].from];
    const struct plan_node *reader = &plan->nodes[plan->graph->edges[edge].to];
    plan->channels[plan->channel_count++] = (struct plan_channel){
        .edge = edge,
        .from_task = plan->chains[writer->chain].first_task + from,
        .to_task = plan->chains[reader->chain].first_task + to,
        .from_subtask = from,
        .to_subtask = to,
        .loop = writer->loop == reader->loop ? writer->loop : 0,
        .feedback = plan->graph->edges[edge].feedback,
        .aligned_only = plan->graph->edges[edge].routing == WEIR_BROADCAST,
    };
    plan->aligned_only |= plan->channels[plan->channel_count - 1].aligned_only;
}

static void make_channels(struct plan *plan)
{
    const struct weir_graph *graph = plan->graph;
    for (uint32_t e = 0; e < graph->edge_count; e++) {
        plan->edge_first[e] = plan->channel_count;
        if (plan_direct(plan, e))
            continue;
        uint32_t writers = plan->nodes[graph->edges[e].from].parallelism;
        uint32_t readers = plan->nodes[graph->edges[e].to].parallelism;
        for (uint32_t from = 0; from < writers; from++) {
            if (graph->edges[e].routing == WEIR_FORWARD)
                add_channel(plan, e, from, from);
            else
                for (uint32_t to = 0; to < readers; to++)
                    add_channel(plan, e, from, to);
        }
    }
    plan->edge_first[graph->edge_count] = plan->channel_count;
}

static enum weir_result check_forward(const struct plan *plan, struct weir_error *error)
{
    for (uint32_t e = 0; e < plan->graph->edge_count; e++) {
        const struct graph_edge *edge = &plan->graph->edges[e];
        uint32_t from = plan->nodes[edge->from].parallelism;
        uint32_t to = plan->nodes[edge->to].parallelism;
        if (edge->routing == WEIR_FORWARD && from != to)
            return error_set(error, WEIR_INVALID, 0,
                             "the edge from %s to %s is FORWARD, but their parallelisms are %u "
                             "and %u: make them equal, or route by SPREAD",
                             plan->graph->nodes[edge->from].name, plan->graph->nodes[edge->to].name,
                             from, to);
    }
    return WEIR_OK;
}

static enum weir_result check_size(const struct plan *plan, uint64_t channels,
                                   struct weir_error *error)
{
    if (plan->task_count > PLAN_TASK_LIMIT || channels > PLAN_CHANNEL_LIMIT)
        return error_set(error, WEIR_INVALID, 0,
                         "the job would have %u tasks and %llu channels; the limits are %u and %u: "
                         "lower the parallelism",
                         plan->task_count, (unsigned long long)channels, PLAN_TASK_LIMIT,
                         PLAN_CHANNEL_LIMIT);
    return WEIR_OK;
}

static bool take_nodes(struct plan *plan, bool **placed, unsigned char **marks)
{
    const struct weir_allocator *allocator = plan->graph->allocator;
    uint32_t nodes = plan->graph->node_count, edges = plan->graph->edge_count;
    plan->nodes = memory_zeroed(allocator, nodes, sizeof *plan->nodes);
    plan->order = memory_zeroed(allocator, nodes, sizeof *plan->order);
    plan->chains = memory_zeroed(allocator, nodes, sizeof *plan->chains);
    plan->edge_first = memory_zeroed(allocator, edges + 1, sizeof *plan->edge_first);
    *placed = memory_zeroed(allocator, nodes, sizeof **placed);
    *marks = memory_zeroed(allocator, nodes, 2);
    return plan->nodes && plan->order && plan->chains && plan->edge_first && *placed && *marks;
}

uint32_t plan_mark_peers(const struct plan *plan, uint32_t index, bool *peers)
{
    uint32_t count = 0;
    memset(peers, 0, plan->task_count * sizeof *peers);
    for (uint32_t c = 0; c < plan->channel_count; c++) {
        const struct plan_channel *channel = &plan->channels[c];
        if (channel->from_task != index && channel->to_task != index)
            continue;
        uint32_t peer = channel->from_task == index ? channel->to_task : channel->from_task;
        count += !peers[peer];
        peers[peer] = true;
    }
    return count;
}

/* Of a task: its inbox, one to each peer, and those between it, the coordinator and the writer. It
 * ends where there are too many, for with ever so many channels counting takes seconds. */
static enum weir_result count_sockets(struct plan *plan, struct weir_error *error)
{
    bool *peers = memory_zeroed(plan->graph->allocator, plan->task_count, sizeof *peers);
    if (!peers)
        return error_memory(error, "the plan's channels", plan->task_count);
    plan->socket_count = 4 * plan->task_count + 8;
    for (uint32_t i = 0; i < plan->task_count && plan->socket_count <= PLAN_SOCKET_LIMIT; i++)
        plan->socket_count += plan_mark_peers(plan, i, peers);
    memory_release(plan->graph->allocator, peers);
    if (plan->socket_count <= PLAN_SOCKET_LIMIT)
        return WEIR_OK;
    return error_set(error, WEIR_INVALID, 0,
                     "the channels between %u tasks are more than the %u sockets of ZeroMQ: lower "
                     "the parallelism",
                     plan->task_count, (unsigned)PLAN_SOCKET_LIMIT);
}

static enum weir_result lay_out(struct plan *plan, uint32_t parallelism, struct weir_error *error)
{
    bool *placed = NULL;
    unsigned char *marks = NULL;
    bool held = take_nodes(plan, &placed, &marks);
    if (held) {
        order_nodes(plan, placed);
        number_instances(plan, parallelism);
        make_chains(plan);
        find_loops(plan, marks);
        mark_chains(plan);
    }
    memory_release(plan->graph->allocator, placed);
    memory_release(plan->graph->allocator, marks);
    if (!held)
        return error_memory(error, "the plan", plan->graph->node_count * sizeof *plan->nodes);
    enum weir_result result = check_forward(plan, error);
    uint64_t channels = 0;
    for (uint32_t e = 0; e < plan->graph->edge_count; e++)
        channels += channels_of(plan, e);
    if (!result)
        result = check_size(plan, channels, error);
    if (result)
        return result;
    plan->channels = memory_zeroed(plan->graph->allocator, channels + 1, sizeof *plan->channels);
    if (!plan->channels)
        return error_memory(error, "the plan's channels", channels * sizeof *plan->channels);
    make_channels(plan);
    return count_sockets(plan, error);
}

enum weir_result plan_make(struct weir_graph *graph, uint32_t parallelism, struct plan *plan,
                           struct weir_error *error)
{
    *plan = (struct plan){.graph = graph};
    enum weir_result result = weir_graph_check(graph, error);
    if (!result && (parallelism == 0 || parallelism > GRAPH_PARALLELISM_LIMIT))
        result = error_set(error, WEIR_INVALID, 0, "parallelism %u is not within 1 .. %d",
                           parallelism, GRAPH_PARALLELISM_LIMIT);
    if (!result)
        result = lay_out(plan, parallelism, error);
    if (result)
        plan_free(plan);
    return result;
}

void plan_free(struct plan *plan)
{
    if (!plan->graph)
        return;
    const struct weir_allocator *allocator = plan->graph->allocator;
    memory_release(allocator, plan->nodes);
    memory_release(allocator, plan->order);
    memory_release(allocator, plan->chains);
    memory_release(allocator, plan->channels);
    memory_release(allocator, plan->edge_first);
    *plan = (struct plan){0};
}

uint32_t plan_member(const struct plan *plan, uint32_t chain, uint32_t place)
{
    for (uint32_t n = 0; n < plan->graph->node_count; n++)
        if (plan->nodes[n].chain == chain && plan->nodes[n].place == place)
            return n;
    assert(!"a chain has a node at each place");
    return 0;
}

bool plan_direct(const struct plan *plan, uint32_t edge)
{
    return plan->nodes[plan->graph->edges[edge].to].chained;
}

uint32_t plan_add_restored(struct plan *plan, uint32_t edge, uint32_t restores, uint32_t number,
                           uint32_t to_subtask)
{
    const struct graph_edge *of = &plan->graph->edges[edge];
    const struct plan_node *from = &plan->nodes[of->from], *to = &plan->nodes[of->to];
    uint32_t count = plan->channel_count + plan->restored_count;
    if (plan->restored_count == plan->restored_room) {
        uint32_t room = plan->restored_room ? 2 * plan->restored_room : 16;
        struct plan_channel *larger =
            memory_resize(plan->graph->allocator, plan->channels,
                          (plan->channel_count + plan->restored_room + 1) * sizeof *larger,
                          (plan->channel_count + room + 1) * sizeof *larger);
        if (!larger)
            return UINT32_MAX;
        plan->channels = larger;
        plan->restored_room = room;
    }
    uint32_t task = plan->chains[to->chain].first_task + to_subtask;
    plan->channels[count] = (struct plan_channel){
        .edge = edge,
        .from_task = task,
        .to_task = task,
        .from_subtask = number,
        .to_subtask = to_subtask,
        .loop = from->loop == to->loop ? to->loop : 0,
        .feedback = of->feedback,
        .restores = restores,
    };
    plan->restored_count++;
    return count;
}

static bool is_dealt_by_key(const struct weir_graph *graph, uint32_t node, uint32_t depth)
{
    bool fed = false;
    for (uint32_t e = 0; e < graph->edge_count; e++) {
        const struct graph_edge *edge = &graph->edges[e];
        if (edge->to != node)
            continue;
        fed = true;
        bool along = edge->routing == WEIR_FORWARD && depth < graph->node_count &&
                     is_dealt_by_key(graph, edge->from, depth + 1);
        if (edge->routing != WEIR_BY_KEY && !along)
            return false;
    }
    return fed;
}

bool plan_dealt_by_key(const struct weir_graph *graph, uint32_t node)
{
    return is_dealt_by_key(graph, node, 0);
}
