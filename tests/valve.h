/* SPDX-License-Identifier: Apache-2.0
 *
 * valve: what tests of records in flight share. A *valve* is an operator that takes no more input
 * than the test allows, without holding up its task; a *turnstile* is one that stops in the middle
 * of its callback. A *tally* counts what happens, and is waited for. *Notes* keep what the events
 * said. Nothing here sleeps.
 */
#ifndef VALVE_H
#define VALVE_H

#include "flow.h"

#define VALVES 64u /* subtasks */

/* -------------------------------------------------------------------------- callbacks -- */

enum weir_result pass_on(void *self, struct weir_context *context, unsigned input,
                         const struct weir_record *record);
enum weir_result load_nothing(void *self, struct weir_context *context, struct weir_loader *loader,
                              uint32_t version);
/* Of an operator that is a uint64_t. */
enum weir_result save_position(void *self, struct weir_context *context, struct weir_saver *saver);
enum weir_result load_position(void *self, struct weir_context *context, struct weir_loader *loader,
                               uint32_t version);

/* ------------------------------------------------------------------------------ tally -- */

struct tally {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t count;
};

void tally_init(struct tally *tally);
void tally_free(struct tally *tally);
void tally_add(struct tally *tally, uint64_t more);
uint64_t tally_read(struct tally *tally);
/* A deadline ends the test. */
void tally_until(struct tally *tally, uint64_t least);
/* A node that passes on what it gets and counts it. */
weir_node tally_node(struct weir_graph *graph, const char *name, struct tally *tally,
                     uint32_t parallelism);

/* ------------------------------------------------------------------------------ valve -- */

struct valve {
    int fds[VALVES];
    atomic_int_fast64_t permits[VALVES]; /* records that each subtask may still take */
    struct tally passed;                 /* by all */
};

void valve_init(struct valve *valve); /* shut */
void valve_free(struct valve *valve);
void valve_allow(struct valve *valve, uint32_t subtask, int64_t records);
void valve_open(struct valve *valve); /* for good */
void valve_shut(struct valve *valve);
weir_node valve_node(struct weir_graph *graph, const char *name, struct valve *valve,
                     uint32_t parallelism);

/* --------------------------------------------------------------------------- turnstile -- */

struct turnstile {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t permits;
    uint64_t entered; /* records whose callback has begun */
    uint64_t passed;  /* in this run */
    uint64_t at_save; /* records passed, when it saved itself last */
};

void turnstile_init(struct turnstile *turnstile);
void turnstile_free(struct turnstile *turnstile);
void turnstile_allow(struct turnstile *turnstile, uint64_t records);
/* Until so many callbacks have begun: one more than permitted stands in the middle of it. */
void turnstile_until(struct turnstile *turnstile, uint64_t entered);
weir_node turnstile_node(struct weir_graph *graph, const char *name, struct turnstile *turnstile);

/* ------------------------------------------------------------------------------ order -- */

/* A node that passes on what it gets, and fails when the numbers of a key do not grow; over
 * restarts too. Its input is BY_KEY. */
weir_node order_node(struct weir_graph *graph, const char *name, uint32_t parallelism);

/* ------------------------------------------------------------------------------ notes -- */

#define NOTES_ENDED 1000u /* rounds that the end counts as: who waits for some waits no longer */

struct notes {
    struct flow *flow;
    pthread_mutex_t lock;
    struct tally events;                  /* rounds that were committed, or came to nothing */
    unsigned with_content;                /* committed checkpoints that hold something in flight */
    uint64_t channel_bytes, outlet_bytes; /* of the newest */
    uint32_t overtook;
    char last[200];
    char reason[1200];  /* of the newest round that came to nothing */
    char warning[1200]; /* the newest */
};

/* Takes the place of the flow's hooks, which are called too. */
void notes_take(struct notes *notes, struct flow *flow);
void notes_free(struct notes *notes);

/* -------------------------------------------------------------------------------- jobs -- */

/* Asks for a checkpoint and waits until it is committed. */
void flow_checkpoint(struct flow *flow);
/* Stops at once and closes. */
void flow_kill(struct flow *flow);
/* Every checkpoint of the store is sound. */
void store_is_sound(const char *path);

#endif
