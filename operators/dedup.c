/* SPDX-License-Identifier: Apache-2.0
 *
 * dedup: a cell per key says when its record was kept.
 *
 *   cell: i64 time of the kept record, u64 records seen since (with it; 0: the key is new)
 *
 * Whether a cell is still alive is asked when its key comes again, so removing dead ones is but
 * housekeeping: nobody can see when it is done. Every SWEEP_EVERY records look at twice as many
 * cells, which keeps the state under about twice what is alive; a timer does the same where records
 * no longer come but watermarks do. The position is the keyed state's own scan.
 */
#include "weir_operators.h"
#include "node.h"

#define CELL 0 /* index of the state */
#define SWEEP_EVERY 32
#define SWEEP_FEW (2 * SWEEP_EVERY)
#define SWEEP_MANY 4096 /* cells a timer looks at */
#define SWEEPS_IN_TTL 8 /* timers in a time to live */

struct cell {
    int64_t time;
    uint64_t seen;
};
_Static_assert(sizeof(struct cell) == 16, "saved in checkpoints");

struct dedup {
    const struct weir_dedup_options *options;
    unsigned since_sweep; /* records */
    int64_t armed;        /* the timer set last in this run */
};

static enum weir_result dedup_open(void *self, struct weir_context *context, const void *config)
{
    struct dedup *dedup = self;
    (void)context;
    dedup->options = config;
    dedup->armed = WEIR_NO_TIME;
    return WEIR_OK;
}

static int64_t later(int64_t time, int64_t by)
{
    return time > WEIR_END_OF_TIME - by ? WEIR_END_OF_TIME : time + by;
}

static bool is_dead(const struct dedup *dedup, const struct cell *cell, int64_t now)
{
    return now >= later(cell->time, dedup->options->ttl_ns);
}

/* Looks at some cells; at the end it turns back to the begin. Answers how many it saw. */
static unsigned sweep(const struct dedup *dedup, struct weir_context *context, unsigned cells)
{
    int64_t watermark = weir_watermark(context);
    struct weir_bytes key, value;
    for (unsigned i = 0; i < cells; i++) {
        if (!weir_scan_next(context, CELL, &key, &value)) {
            weir_scan_rewind(context, CELL);
            return i;
        }
        if (is_dead(dedup, value.data, watermark))
            weir_remove(context, CELL, &key);
    }
    return cells;
}

/* The next one after `time`, on a grid: so there is one of them at a time. */
static enum weir_result arm(struct dedup *dedup, struct weir_context *context, int64_t time)
{
    int64_t step = dedup->options->ttl_ns / SWEEPS_IN_TTL + 1;
    int64_t next = later(time, step - (time % step + step) % step);
    if (next <= dedup->armed || next == WEIR_END_OF_TIME)
        return WEIR_OK;
    dedup->armed = next;
    return weir_timer_set(context, WEIR_TIMER_EVENT, next, 0);
}

static enum weir_result keep_house(struct dedup *dedup, struct weir_context *context, int64_t time)
{
    if (++dedup->since_sweep >= SWEEP_EVERY) {
        dedup->since_sweep = 0;
        sweep(dedup, context, SWEEP_FEW);
    }
    return dedup->armed > time ? WEIR_OK : arm(dedup, context, time);
}

static enum weir_result dedup_process(void *self, struct weir_context *context, unsigned input,
                                      const struct weir_record *record)
{
    struct dedup *dedup = self;
    bool lives_on = dedup->options->ttl_ns == 0;
    (void)input;
    if (!lives_on && record->time == WEIR_NO_TIME)
        return weir_fail(context, WEIR_INVALID,
                         "a record without event time, and there is a time to live");
    if (!lives_on && keep_house(dedup, context, record->time))
        return WEIR_FAILED;
    struct cell *cell = weir_cell(context, CELL, &record->key);
    if (!cell)
        return WEIR_FAILED;
    if (cell->seen > 0 && (lives_on || (!is_dead(dedup, cell, record->time) &&
                                        !is_dead(dedup, cell, weir_watermark(context))))) {
        cell->seen++;
        return WEIR_OK;
    }
    *cell = (struct cell){record->time, 1};
    return weir_emit(context, 0, record);
}

/* Sets itself again only where time goes on: at its end every timer fires at once. */
static enum weir_result dedup_timer(void *self, struct weir_context *context, enum weir_timer kind,
                                    int64_t time, uint64_t tag)
{
    struct dedup *dedup = self;
    int64_t watermark = weir_watermark(context);
    (void)kind;
    (void)time;
    (void)tag;
    if (watermark == WEIR_END_OF_TIME)
        return WEIR_OK;
    bool any = sweep(dedup, context, SWEEP_MANY) > 0 || sweep(dedup, context, SWEEP_MANY) > 0;
    return any ? arm(dedup, context, watermark) : WEIR_OK;
}

static const struct weir_operator dedup_table = {
    WEIR_SIZED(struct weir_operator),
    .kind = "dedup",
    .timers_shared = true, /* they say when to sweep */
    .self_size = sizeof(struct dedup),
    .version = 1,
    .guarantee = WEIR_EXACTLY_ONCE,
    .open = dedup_open,
    .process = dedup_process,
    .timer = dedup_timer,
};

weir_node weir_dedup(struct weir_graph *graph, const char *name,
                     const struct weir_dedup_options *given)
{
    struct weir_dedup_options options;
    if (!node_options(graph, name, given, &options, sizeof options))
        return NODE_NONE;
    if (options.ttl_ns < 0)
        return node_refuse(graph, name, "a time to live is not negative");
    struct weir_state cell = {
        WEIR_SIZED(struct weir_state),
        .name = "cell",
        .version = 1,
        .value_size = sizeof(struct cell),
        .format = "{i64 time; u64 seen}",
    };
    return node_keyed(graph, name, &dedup_table, weir_graph_keep(graph, &options, sizeof options),
                      &cell, options.parallelism);
}
