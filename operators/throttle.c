/* SPDX-License-Identifier: Apache-2.0
 *
 * throttle: records as `pace` has them, by taking no more input until the next is due.
 */
#include "weir_operators.h"
#include "node.h"
#include "pace.h"

#define READY_MOST 256 /* records that are let through without looking at the clock again */

struct throttle {
    struct pace pace;
    uint64_t ready; /* due already */
};

static enum weir_result throttle_open(void *self, struct weir_context *context, const void *config)
{
    struct throttle *throttle = self;
    const struct weir_throttle_options *options = config;
    pace_start(&throttle->pace, options->rate, weir_subtask(context), weir_parallelism(context),
               weir_now(context));
    return WEIR_OK;
}

/* Holds the input, or lets it go on. */
static void look_at_clock(struct throttle *throttle, struct weir_context *context)
{
    int64_t now = weir_now(context);
    throttle->ready = pace_ready(&throttle->pace, now, READY_MOST);
    weir_hold(context, throttle->ready == 0);
    if (throttle->ready == 0)
        weir_wake(context, pace_deadline(&throttle->pace, now), -1);
}

/* One that comes although the input is held is let through too, and makes the next wait longer. */
static enum weir_result throttle_process(void *self, struct weir_context *context, unsigned input,
                                         const struct weir_record *record)
{
    struct throttle *throttle = self;
    (void)input;
    if (throttle->ready == 0)
        look_at_clock(throttle, context);
    enum weir_result result = weir_emit(context, 0, record);
    pace_take(&throttle->pace, 1);
    throttle->ready -= throttle->ready > 0;
    if (throttle->ready == 0)
        look_at_clock(throttle, context);
    return result;
}

static enum weir_result throttle_wake(void *self, struct weir_context *context)
{
    struct throttle *throttle = self;
    if (throttle->ready == 0)
        look_at_clock(throttle, context);
    return WEIR_OK;
}

static const struct weir_operator throttle_table = {
    WEIR_SIZED(struct weir_operator),     .kind = "throttle",
    .self_size = sizeof(struct throttle), .version = 1,
    .guarantee = WEIR_EXACTLY_ONCE,       .open = throttle_open,
    .process = throttle_process,          .wake = throttle_wake,
};

weir_node weir_throttle(struct weir_graph *graph, const char *name,
                        const struct weir_throttle_options *given)
{
    struct weir_throttle_options options;
    if (!node_options(graph, name, given, &options, sizeof options))
        return NODE_NONE;
    if (options.rate == 0 || options.rate > PACE_RATE_LIMIT)
        return node_refuse(graph, name, "a rate is 1 to 1,000,000,000 records per second");
    const void *config = weir_graph_keep(graph, &options, sizeof options);
    return config ? node_add(graph, name, &throttle_table, config, options.parallelism) : NODE_NONE;
}
