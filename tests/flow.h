/* SPDX-License-Identifier: Apache-2.0
 *
 * flow: what tests of whole jobs share. A *watch* waits for events with a deadline. A *ledger* is
 * the outside world of a two-phase sink: it outlives runs, shows what was published, and counts
 * what came twice. Nothing here sleeps.
 */
#ifndef FLOW_H
#define FLOW_H

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>

#include "scratch.h"
#include "weir.h"
#include "weir_operators.h"

#define FLOW_SECOND 1000000000ll
#define FLOW_DEADLINE (60 * FLOW_SECOND)

/* ------------------------------------------------------------------------------ watch -- */

struct watch {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned started, committed, aborted, ended, logs, saved, unsaved;
    uint64_t restored_from, newest;
    atomic_uint inside; /* callbacks running now: more than one is a fault */
    atomic_bool overlapped;
    char last_abort[1200], last_log[400], end_text[700], last_unsaved[400];
};

void watch_init(struct watch *watch);
void watch_free(struct watch *watch);
void watch_event(void *watch, const struct weir_event *event);
void watch_log(void *watch, enum weir_level level, const char *text);
/* Until *counter, one of the watch's, is at least `least`; a deadline ends the test. */
void watch_until(struct watch *watch, const unsigned *counter, unsigned least);
bool watch_has_committed(struct watch *watch);

/* ----------------------------------------------------------------------------- ledger -- */

struct ledger {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct ledger_part *parts;
    uint32_t part_count;
    uint32_t published_parts;
    uint64_t handles; /* given so far */
    uint64_t limit;   /* numbers are 0 .. limit-1; counts has that many */
    uint32_t *counts; /* per number: how often it was published */
    uint64_t published, sum, wrong;
    atomic_uint_fast64_t taken; /* records that came in, replays included */
    atomic_uint_fast64_t awaited;
    bool forgets; /* handles of earlier runs are unknown, and that is fine */
};

void ledger_init(struct ledger *ledger, uint64_t limit);
void ledger_free(struct ledger *ledger);
/* A sink node that publishes into the ledger: value is a u64 below limit. */
weir_node ledger_sink(struct weir_graph *graph, const char *name, struct ledger *ledger,
                      uint32_t parallelism);
/* A commit is told before its sinks publish. */
void ledger_until_published(struct ledger *ledger, uint64_t least);
/* Ends the test unless each of 0 .. count-1 was published exactly `times`. */
void ledger_is(const struct ledger *ledger, uint64_t count, uint32_t times);

/* ------------------------------------------------------------------------------- jobs -- */

struct flow {
    struct weir_graph *graph;
    struct weir_job_options options;
    struct watch watch;
    struct weir_job *job;
    struct weir_error error;
};

/* An empty graph; options with hooks, no store. */
void flow_init(struct flow *flow);
void flow_free(struct flow *flow);
/* A source of the numbers 0 .. count-1; key = number modulo keys (0: the number). */
weir_node flow_numbers(struct flow *flow, const char *name, uint64_t count, uint64_t keys,
                       uint32_t parallelism);
/* The same with event times 0, step, 2*step... */
weir_node flow_times(struct flow *flow, const char *name, uint64_t count, uint64_t rate,
                     int64_t step);
/* A node with a table; inputs and outputs standard. */
weir_node flow_add(struct flow *flow, const char *name, const struct weir_operator *table,
                   const void *config, uint32_t parallelism);
/* Must succeed. */
void flow_start(struct flow *flow);
enum weir_outcome flow_wait(struct flow *flow);
/* flow_wait, which must answer this. */
void flow_ends(struct flow *flow, enum weir_outcome outcome);
/* Until that many records have come in: true; false: the job was over first. A job that failed, and
 * a deadline, end the test. */
bool flow_until_taken(struct flow *flow, struct ledger *ledger, uint64_t least);
void flow_stop(struct flow *flow, enum weir_stop mode);
void flow_close(struct flow *flow);
/* start, wait, close; the job has ended now, or had before. */
void flow_finish(struct flow *flow);
/* The same with this outcome. */
void flow_run(struct flow *flow, enum weir_outcome outcome);

static inline uint64_t flow_number(const struct weir_record *record)
{
    uint64_t number = UINT64_MAX;
    if (record->value.size >= sizeof number)
        memcpy(&number, record->value.data, sizeof number);
    return number;
}

/* Passes each record on to output 0. */
enum weir_result flow_pass(struct weir_context *context, unsigned input,
                           const struct weir_record *record, const void *config);

/* WEIR_TEST_SEED, or a drawn one; printed. */
uint64_t flow_seed(void);
uint64_t flow_draw(uint64_t *seed);

#endif
