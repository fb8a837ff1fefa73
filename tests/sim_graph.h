/* SPDX-License-Identifier: Apache-2.0
 *
 * sim_graph: small graphs drawn from a seed, the operators in them, and the oracle: one loop over
 * the input that says which values must come out, and how often. Every operator here yields the
 * same multiset in whatever order its input comes, so the oracle needs no schedule:
 *
 *   SOURCE   numbers 0 .. count-1 in event time order, in bursts, with a rate or without
 *   PASS     another value for each
 *   SPLIT    even values to the first output, odd ones to the second
 *   COUNT    per key: "the n-th" for each, and the total when input ends, by a scan
 *   JOIN     per key and input: "the n-th of input i"
 *   WINDOW   per key and window of event time the count, when an event timer says so; two in three
 *            in keyed state, with a timer of the key
 *   HOLD     keeps records until a clock timer says so
 *   PACE     keeps a record now and then, takes no other meanwhile, until woken at its time; in
 *            some graphs seldom, but so long that only what overtakes can pass
 *   ORDER    passes on, and sees that each key's records of a source's subtask come in order
 *   LOOP     another value for each, which goes round once more or, one in three, out; per key the
 *            sum of what came, when all is at rest
 *   SINK     two phases: into the world's transactions
 *   LINES    two phases: weir's line sink
 *
 * Some records are poison: to be expected as dead letters, and not in what their node would have
 * made of them.
 */
#ifndef SIM_GRAPH_H
#define SIM_GRAPH_H

#include "sim_plan.h"
#include "sim_world.h"
#include "weir.h"
#include "weir_operators.h"

enum sim_kind {
    SIM_SOURCE,
    SIM_PASS,
    SIM_SPLIT,
    SIM_COUNT,
    SIM_JOIN,
    SIM_WINDOW,
    SIM_HOLD,
    SIM_PACE,
    SIM_ORDER,
    SIM_LOOP,
    SIM_SINK,
    SIM_LINES
};

#define SIM_NODES 8
#define SIM_EDGES 10
#define SIM_PARALLELISM 3
#define SIM_KEYS 16    /* at most */
#define SIM_WINDOWS 64 /* at most */
#define SIM_POISON 3   /* at most */

struct sim_graph;

struct sim_node {
    enum sim_kind kind;
    uint32_t parallelism;
    uint64_t salt;
    bool inner; /* a LOOP in another's cycle: tells no sums, for they would go round again */
    struct sim_graph *graph;
};

struct sim_edge {
    uint32_t from, output, to, input;
    enum weir_routing routing;
    bool feedback;
};

/* A record as it comes to a node; in which subtask, and where, is known for FORWARD alone. */
struct sim_poison {
    uint32_t node;
    bool placed;
    uint32_t subtask;
    uint64_t position;
    uint64_t key, value;
    int64_t time;
};

struct sim_graph {
    struct sim_node nodes[SIM_NODES];
    struct sim_edge edges[SIM_EDGES];
    uint32_t node_count, edge_count;
    const char *shape;
    uint64_t stride[SIM_NODES]; /* of a source's series, of which it has so many: its parallelism
                                   when the job began from nothing */
    uint64_t count;             /* records a source */
    uint64_t keys;
    uint64_t rate;         /* a second and subtask; 0: none */
    uint64_t burst;        /* records a poll, at most */
    uint64_t padding;      /* bytes of a value, at most, besides its 8 */
    int64_t window_ns;     /* of event time; a record comes every nanosecond */
    uint64_t watermark_in; /* one in that many records is followed by one */
    int64_t hold_ns;
    int64_t stall_ns; /* how long a PACE takes nothing now and then, besides; 0: it does not */
    struct sim_poison poison[SIM_POISON];
    uint32_t poison_count;
    struct sim_world *world;

    uint64_t refuse_one_in; /* saves; 0: none */

    /* one run's */
    struct sim_values staged[SIM_NODES][SIM_PARALLELISM];
    uint64_t commits_left; /* the sink's commit that fails; 0: none */
    bool commit_after;     /* it took effect first */
    bool commit_failed;
    enum sim_call call;   /* the kind of callback that fails, */
    uint64_t calls_left;  /* when so many of it have come; 0: none does */
    bool call_kills;      /* it fails because the process dies in it */
    bool call_has_failed; /* it did */
};

#define SIM_STALL_NS INT64_C(300000000)

#define SIM_FINAL UINT64_C(0xF17A1) /* added to the salt of what an operator tells at its end */

uint64_t sim_mix(uint64_t a, uint64_t b, uint64_t c);
/* Bytes behind the 8 of a value, each its lowest one. */
size_t sim_padding(const struct sim_graph *graph, uint64_t value);

/* A source has at most `records` records; 0: no limit. */
void sim_graph_draw(struct sim_graph *graph, struct sim_world *world, uint64_t *seed, bool small,
                    uint64_t records);
/* States there are, counted in each subtask. */
uint64_t sim_graph_states(const struct sim_graph *graph);
/* Another parallelism for each node that can have one; those that FORWARD joins have the same. */
void sim_graph_rescale(struct sim_graph *graph, uint64_t *seed);
/* Fills world->expected. */
void sim_graph_oracle(struct sim_graph *graph);
/* sim_operators.c: the graph with its operators. NULL without memory. `graph` is borrowed. */
struct weir_graph *sim_graph_build(struct sim_graph *graph);
/* For weir_job_options: room for SIM_POISON * SIM_PARALLELISM entries; how many there are. */
size_t sim_graph_poison(const struct sim_graph *graph, struct weir_poison *entries);
/* What sinks had staged and a dead run left behind. */
void sim_graph_forget(struct sim_graph *graph);

#endif
