/* SPDX-License-Identifier: Apache-2.0
 *
 * sink_world: a small world that plays the job to a two-phase sink, on fake_context: a numbered
 * input, checkpoints that become durable or do not, and deaths at every file call and between all
 * steps. After each step what is visible must be a prefix of the input, cut at a committed
 * checkpoint; at the end, all of it. A test says how its sink is built and what a reader sees.
 */
#ifndef SINK_WORLD_H
#define SINK_WORLD_H

#include "fake_context.h"

#define WORLD_STORE "0123456789abcdef0123456789abcdef"

/* The sink under test. Record `i` of the input has key "key i", value "line i" and time 7. */
struct world_sink {
    struct weir_graph *graph;
    weir_node (*add)(struct weir_graph *graph);
    /* How many records are visible. Fails the test when they are not those from 0 on, in order. */
    unsigned (*count_visible)(void);
    int (*count_staged)(void); /* files of the first phase */
    void (*empty)(void);       /* forgets all output */
    const char *folder;        /* of the node in the store, or NULL */
};

struct world {
    const struct world_sink *sink;
    weir_node node;
    struct weir_context task;
    bool running;
    uint32_t epoch;
    const struct weir_allocator *allocator; /* of the tasks; NULL: malloc */
    unsigned read;                          /* records given to the running task */
    unsigned total;                         /* records of the input */
    /* the newest durable checkpoint */
    bool durable;
    unsigned covered; /* records */
    struct weir_saver items, handles;
    struct weir_saver pending; /* handles of the running task that are not confirmed */
};

/* What happens to a round after the sink's cut. */
enum fate { ABORTED, DURABLE_BUT_NOT_TOLD, COMMITTED, COMMITTED_TWICE };

struct world world_make(const struct world_sink *sink, unsigned total);
/* Starts from the newest checkpoint and commits what it holds. This and the next two: false when
 * the task died on the way. */
bool world_start(struct world *world);
bool world_feed(struct world *world);
bool world_round(struct world *world, enum fate fate);
/* A whole run: some records, a round, and so on until all is published. */
bool world_run(struct world *world, const enum fate *fates, size_t fate_count);
void world_end(struct world *world);
void world_free(struct world *world);
/* What must hold at any time; and at the end. */
void world_expect_prefix(const struct world *world);
void world_expect_all(struct world *world);

/* Dies at each file call in turn, and again `again` calls into the next run, then lives. */
void world_crash_everywhere(const struct world_sink *sink, const enum fate *fates,
                            size_t fate_count, unsigned again);
/* Is refused memory at each allocation in turn, then goes on with enough; what was taken is given
 * back. */
void world_starve_everywhere(const struct world_sink *sink);
/* Deaths between the calls: nobody closes the files, and prepared output is left behind. */
void world_die_between_steps(const struct world_sink *sink, unsigned seeds);

#endif
