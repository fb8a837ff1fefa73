/* SPDX-License-Identifier: Apache-2.0 */
#include "sim_graph.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "explore.h"
#include "failure.h"
#include "sim.h"

uint64_t sim_mix(uint64_t a, uint64_t b, uint64_t c)
{
    return explore_mix(explore_mix(explore_mix(a + 1) ^ b) ^ c);
}

/* ---- drawing: one draw a statement, for C does not say which of two comes first ---- */

static uint32_t add_node(struct sim_graph *graph, enum sim_kind kind, uint32_t parallelism)
{
    graph->nodes[graph->node_count] =
        (struct sim_node){.kind = kind,
                          .parallelism = parallelism,
                          .salt = sim_mix(graph->node_count, kind, 77),
                          .graph = graph};
    return graph->node_count++;
}

static void add_edge(struct sim_graph *graph, uint32_t from, uint32_t output, uint32_t to,
                     uint32_t input, enum weir_routing routing)
{
    bool equal = graph->nodes[from].parallelism == graph->nodes[to].parallelism;

    if (routing == WEIR_FORWARD && !equal)
        routing = WEIR_SPREAD;
    graph->edges[graph->edge_count++] = (struct sim_edge){
        .from = from, .output = output, .to = to, .input = input, .routing = routing};
}

/* From a LOOP, perhaps by way of others, back to its second input. */
static void add_feedback(struct sim_graph *graph, uint32_t from, uint32_t output, uint32_t loop)
{
    add_edge(graph, from, output, loop, 1, WEIR_BY_KEY);
    graph->edges[graph->edge_count - 1].feedback = true;
}

static enum weir_routing any_routing(uint64_t *seed)
{
    static const enum weir_routing all[] = {WEIR_FORWARD, WEIR_FORWARD, WEIR_SPREAD, WEIR_BY_KEY};

    return all[explore_below(seed, 4)];
}

static uint32_t some(uint64_t *seed)
{
    return 1 + explore_below(seed, SIM_PARALLELISM);
}

/* Often as many as that, so that forward edges and chains come about. */
static uint32_t as_many(uint64_t *seed, uint32_t parallelism)
{
    uint32_t other = some(seed);

    return explore_below(seed, 2) ? parallelism : other;
}

static uint32_t add_sink(struct sim_graph *graph, uint64_t *seed)
{
    enum sim_kind kind = explore_below(seed, 3) == 0 ? SIM_LINES : SIM_SINK;

    return add_node(graph, kind, some(seed));
}

static void draw_chain(struct sim_graph *graph, uint64_t *seed)
{
    static const enum sim_kind middles[] = {SIM_PASS, SIM_HOLD, SIM_COUNT, SIM_WINDOW, SIM_ORDER};
    enum sim_kind kind = middles[explore_below(seed, 5)];
    enum sim_kind first = explore_below(seed, 3) == 0 ? SIM_PACE : SIM_PASS;
    uint32_t source = add_node(graph, SIM_SOURCE, some(seed));
    uint32_t middle = add_node(graph, first, as_many(seed, graph->nodes[source].parallelism));
    uint32_t keyed = add_node(graph, kind, some(seed));
    uint32_t sink = add_sink(graph, seed);

    graph->shape = "chain";
    add_edge(graph, source, 0, middle, 0, any_routing(seed));
    if (kind == SIM_ORDER && graph->edges[0].routing == WEIR_SPREAD)
        graph->edges[0].routing = WEIR_BY_KEY;
    add_edge(graph, middle, 0, keyed, 0, WEIR_BY_KEY);
    add_edge(graph, keyed, 0, sink, 0, any_routing(seed));
}

static void draw_join(struct sim_graph *graph, uint64_t *seed)
{
    uint32_t left = add_node(graph, SIM_SOURCE, some(seed));
    uint32_t right = add_node(graph, SIM_SOURCE, some(seed));
    uint32_t join = add_node(graph, SIM_JOIN, some(seed));
    uint32_t sink = add_sink(graph, seed);

    graph->shape = "join";
    add_edge(graph, left, 0, join, 0, WEIR_BY_KEY);
    add_edge(graph, right, 0, join, 1, WEIR_BY_KEY);
    add_edge(graph, join, 0, sink, 0, any_routing(seed));
}

static void draw_diamond(struct sim_graph *graph, uint64_t *seed)
{
    bool windows = explore_below(seed, 3) == 0;
    uint32_t source = add_node(graph, SIM_SOURCE, some(seed));
    uint32_t a = add_node(graph, SIM_PASS, as_many(seed, graph->nodes[source].parallelism));
    uint32_t b = add_node(graph, SIM_PASS, as_many(seed, graph->nodes[source].parallelism));
    uint32_t end = add_node(graph, windows ? SIM_WINDOW : SIM_JOIN, some(seed));
    uint32_t sink = add_sink(graph, seed);

    graph->shape = "diamond";
    add_edge(graph, source, 0, a, 0, any_routing(seed));
    add_edge(graph, source, 0, b, 0, any_routing(seed));
    add_edge(graph, a, 0, end, 0, WEIR_BY_KEY);
    add_edge(graph, b, 0, end, windows ? 0 : 1, WEIR_BY_KEY);
    add_edge(graph, end, 0, sink, 0, any_routing(seed));
}

static void draw_broadcast(struct sim_graph *graph, uint64_t *seed)
{
    enum sim_kind kind = explore_below(seed, 2) ? SIM_COUNT : SIM_WINDOW;
    uint32_t source = add_node(graph, SIM_SOURCE, some(seed));
    uint32_t all = add_node(graph, SIM_PASS, some(seed));
    uint32_t count = add_node(graph, kind, some(seed));
    uint32_t sink = add_sink(graph, seed);

    graph->shape = "broadcast";
    add_edge(graph, source, 0, all, 0, WEIR_BROADCAST);
    add_edge(graph, all, 0, count, 0, WEIR_BY_KEY);
    add_edge(graph, count, 0, sink, 0, any_routing(seed));
}

static void draw_fan_out(struct sim_graph *graph, uint64_t *seed)
{
    uint32_t source = add_node(graph, SIM_SOURCE, some(seed));
    uint32_t split = add_node(graph, SIM_SPLIT, as_many(seed, graph->nodes[source].parallelism));
    uint32_t count = add_node(graph, SIM_COUNT, some(seed));
    uint32_t one = add_sink(graph, seed);
    uint32_t two = add_node(graph, SIM_SINK, some(seed));

    graph->shape = "fan-out";
    add_edge(graph, source, 0, split, 0, any_routing(seed));
    add_edge(graph, split, 0, count, 0, WEIR_BY_KEY);
    add_edge(graph, split, 1, two, 0, any_routing(seed));
    add_edge(graph, count, 0, one, 0, any_routing(seed));
}

static void draw_cycle(struct sim_graph *graph, uint64_t *seed)
{
    static const enum sim_kind bodies[] = {SIM_PASS, SIM_HOLD, SIM_PACE};
    uint32_t source = add_node(graph, SIM_SOURCE, some(seed));
    uint32_t loop = add_node(graph, SIM_LOOP, some(seed));
    uint32_t body = loop, output = 1;
    uint32_t behind = add_node(graph, explore_below(seed, 2) ? SIM_COUNT : SIM_PASS, some(seed));
    uint32_t sink = add_sink(graph, seed);

    graph->shape = "cycle";
    add_edge(graph, source, 0, loop, 0, WEIR_BY_KEY);
    for (uint32_t bodies_left = explore_below(seed, 3); bodies_left > 0; bodies_left--) {
        uint32_t next = add_node(graph, bodies[explore_below(seed, 3)], some(seed));
        add_edge(graph, body, output, next, 0, any_routing(seed));
        body = next;
        output = 0;
    }
    add_feedback(graph, body, output, loop);
    add_edge(graph, loop, 0, behind, 0, WEIR_BY_KEY);
    add_edge(graph, behind, 0, sink, 0, any_routing(seed));
}

/* What goes round in the outer cycle goes round in the inner one first. */
static void draw_nest(struct sim_graph *graph, uint64_t *seed)
{
    uint32_t source = add_node(graph, SIM_SOURCE, some(seed));
    uint32_t outer = add_node(graph, SIM_LOOP, some(seed));
    uint32_t inner = add_node(graph, SIM_LOOP, some(seed));
    uint32_t sink = add_sink(graph, seed);

    graph->shape = "nest";
    graph->nodes[inner].inner = true;
    add_edge(graph, source, 0, outer, 0, WEIR_BY_KEY);
    add_edge(graph, outer, 1, inner, 0, WEIR_BY_KEY);
    add_feedback(graph, inner, 1, inner);
    add_feedback(graph, inner, 0, outer);
    add_edge(graph, outer, 0, sink, 0, any_routing(seed));
}

/* A reader that may log one input, and must wait for the other's marker. */
static void draw_mixed(struct sim_graph *graph, uint64_t *seed)
{
    uint32_t left = add_node(graph, SIM_SOURCE, some(seed));
    uint32_t right = add_node(graph, SIM_SOURCE, some(seed));
    uint32_t both = add_node(graph, explore_below(seed, 2) ? SIM_PACE : SIM_PASS,
                             as_many(seed, graph->nodes[right].parallelism));
    uint32_t count = add_node(graph, SIM_COUNT, some(seed));
    uint32_t sink = add_sink(graph, seed);

    graph->shape = "mixed";
    add_edge(graph, left, 0, both, 0, WEIR_BROADCAST);
    add_edge(graph, right, 0, both, 0, any_routing(seed));
    add_edge(graph, both, 0, count, 0, WEIR_BY_KEY);
    add_edge(graph, count, 0, sink, 0, any_routing(seed));
}

/* A cycle with a BROADCAST edge into it, and one inside. */
static void draw_web(struct sim_graph *graph, uint64_t *seed)
{
    static const enum sim_kind bodies[] = {SIM_PASS, SIM_HOLD, SIM_PACE};
    uint32_t left = add_node(graph, SIM_SOURCE, some(seed));
    uint32_t right = add_node(graph, SIM_SOURCE, some(seed));
    uint32_t loop = add_node(graph, SIM_LOOP, 1);
    uint32_t body = add_node(graph, bodies[explore_below(seed, 3)], 1);
    uint32_t behind = add_node(graph, SIM_COUNT, some(seed));
    uint32_t sink = add_sink(graph, seed);

    graph->shape = "web";
    add_edge(graph, left, 0, loop, 0, explore_below(seed, 2) ? WEIR_BROADCAST : WEIR_BY_KEY);
    add_edge(graph, right, 0, loop, 0, WEIR_BY_KEY);
    add_edge(graph, loop, 1, body, 0, explore_below(seed, 2) ? WEIR_BROADCAST : WEIR_SPREAD);
    add_feedback(graph, body, 0, loop);
    add_edge(graph, loop, 0, behind, 0, WEIR_BY_KEY);
    add_edge(graph, behind, 0, sink, 0, any_routing(seed));
}

/* One cycle behind another. */
static void draw_two_cycles(struct sim_graph *graph, uint64_t *seed)
{
    static const enum sim_kind bodies[] = {SIM_PASS, SIM_HOLD, SIM_PACE};
    uint32_t source = add_node(graph, SIM_SOURCE, some(seed));
    uint32_t first = add_node(graph, SIM_LOOP, some(seed));
    uint32_t body = add_node(graph, bodies[explore_below(seed, 3)], some(seed));
    uint32_t second = add_node(graph, SIM_LOOP, some(seed));
    uint32_t sink = add_sink(graph, seed);

    graph->shape = "two cycles";
    add_edge(graph, source, 0, first, 0, WEIR_BY_KEY);
    add_edge(graph, first, 1, body, 0, any_routing(seed));
    add_feedback(graph, body, 0, first);
    add_edge(graph, first, 0, second, 0, WEIR_BY_KEY);
    add_feedback(graph, second, 1, second);
    add_edge(graph, second, 0, sink, 0, any_routing(seed));
}

static void draw_small(struct sim_graph *graph)
{
    uint32_t source = add_node(graph, SIM_SOURCE, 2);
    uint32_t count = add_node(graph, SIM_COUNT, 2);
    uint32_t sink = add_node(graph, SIM_SINK, 1);
    uint32_t lines = add_node(graph, SIM_LINES, 1);

    graph->shape = "small";
    graph->count = 120;
    graph->keys = 5;
    graph->rate = 0;
    graph->padding = 40;
    graph->burst = 4;
    add_edge(graph, source, 0, count, 0, WEIR_BY_KEY);
    add_edge(graph, count, 0, sink, 0, WEIR_SPREAD);
    add_edge(graph, source, 0, lines, 0, WEIR_SPREAD);
}

/* Its state is the subtask's, or what it does depends on how many there are. */
static bool is_fixed(const struct sim_graph *graph, uint32_t node)
{
    enum sim_kind kind = graph->nodes[node].kind;

    for (uint32_t e = 0; e < graph->edge_count; e++)
        if (graph->edges[e].to == node && graph->edges[e].routing == WEIR_BROADCAST)
            return true;
    return kind == SIM_WINDOW || kind == SIM_HOLD || kind == SIM_PACE;
}

/* Groups of nodes that FORWARD joins are known by their lowest node. */
static void join_groups(const struct sim_graph *graph, uint32_t group[SIM_NODES])
{
    for (uint32_t i = 0; i < graph->node_count; i++)
        group[i] = i;
    for (uint32_t round = 0; round < graph->node_count; round++)
        for (uint32_t e = 0; e < graph->edge_count; e++) {
            const struct sim_edge *edge = &graph->edges[e];
            uint32_t *from = &group[edge->from], *to = &group[edge->to];

            if (edge->routing == WEIR_FORWARD)
                *from = *to = *from < *to ? *from : *to;
        }
}

void sim_graph_rescale(struct sim_graph *graph, uint64_t *seed)
{
    uint32_t group[SIM_NODES], drawn[SIM_NODES];
    bool fixed[SIM_NODES] = {false};

    join_groups(graph, group);
    for (uint32_t i = 0; i < graph->node_count; i++) {
        fixed[group[i]] |= is_fixed(graph, i);
        drawn[i] = some(seed);
    }
    for (uint32_t i = 0; i < graph->node_count; i++)
        if (!fixed[group[i]])
            graph->nodes[i].parallelism = drawn[group[i]];
}

/* A record of a source, as it comes to a node right behind it. */
static void add_poison(struct sim_graph *graph, const struct sim_edge *edge, uint64_t number)
{
    uint64_t writers = graph->nodes[edge->from].parallelism;
    uint32_t edges = 0;

    if (graph->nodes[edge->from].kind != SIM_SOURCE)
        return;
    for (uint32_t e = 0; e < graph->edge_count; e++)
        edges += graph->edges[e].to == edge->to;
    graph->poison[graph->poison_count++] = (struct sim_poison){
        .node = edge->to,
        .placed = edge->routing == WEIR_FORWARD && edges == 1,
        .subtask = (uint32_t)(number % writers),
        .position = number / writers + 1,
        .key = number % graph->keys,
        .value = sim_mix(graph->nodes[edge->from].salt, number, 0),
        .time = (int64_t)number,
    };
}

static void draw_poison(struct sim_graph *graph, uint64_t *seed)
{
    uint32_t wanted = explore_below(seed, 2) ? explore_below(seed, SIM_POISON + 1) : 0;

    for (uint32_t i = 0; i < wanted; i++) {
        uint32_t edge = explore_below(seed, graph->edge_count);
        uint64_t number = explore_below(seed, (uint32_t)(graph->count / SIM_POISON));
        add_poison(graph, &graph->edges[edge], number * SIM_POISON + i); /* none twice */
    }
}

/* Those of the second list have a stream of their own, and leave to the others what they meant. */
static void draw_shape(struct sim_graph *graph, uint64_t *seed, uint64_t *other)
{
    static void (*const shapes[])(struct sim_graph *, uint64_t *) = {
        draw_chain, draw_join, draw_diamond, draw_broadcast, draw_fan_out, draw_cycle, draw_nest};
    static void (*const other_shapes[])(struct sim_graph *, uint64_t *) = {draw_mixed, draw_web,
                                                                           draw_two_cycles};
    uint32_t one = explore_below(seed, 7);

    if (explore_below(other, 4) > 0)
        shapes[one](graph, seed);
    else
        other_shapes[explore_below(other, 3)](graph, other);
}

void sim_graph_draw(struct sim_graph *graph, struct sim_world *world, uint64_t *seed, bool small,
                    uint64_t records)
{
    uint64_t other = explore_mix(*seed);

    *graph = (struct sim_graph){.world = world};
    graph->count = 40 + explore_below(seed, explore_below(seed, 4) == 0 ? 3000 : 800);
    if (records > 0 && graph->count > records)
        graph->count = records;
    graph->keys = 1 + explore_below(seed, SIM_KEYS);
    graph->rate = explore_below(seed, 3) == 0 ? 1000 + explore_below(seed, 100000) : 0;
    graph->burst = 1 + explore_below(seed, 40);
    graph->padding = explore_below(seed, 3) == 0 ? 4000 : 100;
    graph->window_ns = 1 + (int64_t)(graph->count / (1 + explore_below(seed, SIM_WINDOWS - 1)));
    graph->watermark_in = 1 + explore_below(seed, 64);
    graph->hold_ns = explore_below(seed, 3000000);
    graph->stall_ns = explore_below(seed, 3) == 0 ? SIM_STALL_NS : 0;
    if (small) {
        draw_small(graph);
        add_poison(graph, &graph->edges[0], 37);
        add_poison(graph, &graph->edges[2], 50);
    } else {
        draw_shape(graph, seed, &other);
        draw_poison(graph, seed);
    }
}

size_t sim_padding(const struct sim_graph *graph, uint64_t value)
{
    return (size_t)(sim_mix(value, 3, 3) % (graph->padding + 1));
}

static uint64_t fingerprint_of(const struct sim_graph *graph, const struct sim_poison *poison)
{
    static unsigned char bytes[8 + 4000];
    size_t padding = sim_padding(graph, poison->value);
    struct weir_record record = {
        .key = {&poison->key, 8}, .value = {bytes, 8 + padding}, .time = poison->time};

    memcpy(bytes, &poison->value, 8);
    memset(bytes + 8, (int)(poison->value & 0xFF), padding);
    return failure_fingerprint(&record);
}

size_t sim_graph_poison(const struct sim_graph *graph, struct weir_poison *entries)
{
    static const char *const names[SIM_NODES] = {"n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7"};
    size_t count = 0;

    for (uint32_t i = 0; i < graph->poison_count; i++) {
        const struct sim_poison *poison = &graph->poison[i];
        for (uint32_t s = 0; s < graph->nodes[poison->node].parallelism; s++) {
            if (poison->placed && s != poison->subtask)
                continue;
            entries[count++] = (struct weir_poison){
                .node = names[poison->node],
                .subtask = s,
                .position = poison->placed ? poison->position : 0,
                .fingerprint = fingerprint_of(graph, poison),
                .cause = "simulated",
            };
        }
    }
    return count;
}

/* ---- the oracle ---- */

struct oracle {
    const struct sim_graph *graph;
    uint64_t counts[SIM_NODES][SIM_KEYS][SIM_WINDOWS + 2];
};

static void oracle_take(struct oracle *oracle, uint32_t at, uint32_t input, uint64_t key,
                        uint64_t value, int64_t time);

static void oracle_emit(struct oracle *oracle, uint32_t from, uint32_t output, uint64_t key,
                        uint64_t value, int64_t time)
{
    for (uint32_t e = 0; e < oracle->graph->edge_count; e++) {
        const struct sim_edge *edge = &oracle->graph->edges[e];
        bool all = edge->routing == WEIR_BROADCAST;
        if (edge->from != from || edge->output != output)
            continue;
        for (uint32_t i = 0; i < (all ? oracle->graph->nodes[edge->to].parallelism : 1); i++)
            oracle_take(oracle, edge->to, edge->input, key, value, time);
    }
}

static void oracle_take(struct oracle *oracle, uint32_t at, uint32_t input, uint64_t key,
                        uint64_t value, int64_t time)
{
    const struct sim_node *node = &oracle->graph->nodes[at];

    for (uint32_t i = 0; i < oracle->graph->poison_count; i++) {
        const struct sim_poison *poison = &oracle->graph->poison[i];
        if (poison->node != at || poison->value != value)
            continue;
        sim_values_add(&oracle->graph->world->dead, fingerprint_of(oracle->graph, poison));
        return;
    }
    switch (node->kind) {
    case SIM_LOOP:
        oracle->counts[at][key][0] += value;
        oracle_emit(oracle, at, value % 3 != 0, key, sim_mix(node->salt, value, 0), time);
        break;
    case SIM_COUNT:
    case SIM_JOIN:
        oracle_emit(oracle, at, 0, key,
                    sim_mix(node->salt + input, key, ++oracle->counts[at][key][input]), time);
        break;
    case SIM_WINDOW:
        oracle->counts[at][key][time / oracle->graph->window_ns]++;
        break;
    case SIM_SINK:
    case SIM_LINES:
        sim_values_add(&oracle->graph->world->expected, sim_mix(node->salt, key, value));
        break;
    default:
        oracle_emit(oracle, at, node->kind == SIM_SPLIT ? value % 2 : 0, key,
                    sim_mix(node->salt, value, 0), time);
        break;
    }
}

static void oracle_finish(struct oracle *oracle, uint32_t at)
{
    const struct sim_node *node = &oracle->graph->nodes[at];
    bool windows = node->kind == SIM_WINDOW;

    if (!windows && node->kind != SIM_COUNT && (node->kind != SIM_LOOP || node->inner))
        return;
    for (uint64_t key = 0; key < SIM_KEYS; key++) {
        for (uint64_t w = 0; w < SIM_WINDOWS + 2; w++) {
            uint64_t count = oracle->counts[at][key][w],
                     salt = node->salt + (windows ? w : SIM_FINAL);
            if (count > 0)
                oracle_emit(oracle, at, 0, key, sim_mix(salt, key, count), 0);
        }
    }
}

void sim_graph_oracle(struct sim_graph *graph)
{
    struct oracle *oracle = calloc(1, sizeof *oracle);

    if (oracle == NULL)
        abort();
    oracle->graph = graph;
    for (uint32_t at = 0; at < graph->node_count; at++) {
        for (uint64_t i = 0; graph->nodes[at].kind == SIM_SOURCE && i < graph->count; i++)
            oracle_emit(oracle, at, 0, i % graph->keys, sim_mix(graph->nodes[at].salt, i, 0),
                        (int64_t)i);
        oracle_finish(oracle, at);
    }
    free(oracle);
}

void sim_graph_forget(struct sim_graph *graph)
{
    for (uint32_t i = 0; i < SIM_NODES; i++) {
        for (uint32_t k = 0; k < SIM_PARALLELISM; k++)
            sim_values_clear(&graph->staged[i][k]);
    }
}
