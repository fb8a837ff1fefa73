/* SPDX-License-Identifier: Apache-2.0
 *
 * aggregate: count, sum, minimum, maximum and average of a key's numbers, in a cell of fixed size:
 *
 *   COUNT                u64 count
 *   SUM, AVERAGE of i64  u64 low, i64 high, u64 count    the sum in 128 bits: low + high * 2^64
 *   SUM, AVERAGE of f64  f64 sum, f64 rest, u64 count    the sum and what rounding took from it
 *   MIN, MAX             i64 or f64 number, u64 count
 *
 * count is 0 in a cell that is new. A sum of integers is cut to 64 bits when it is emitted only, so
 * that it does not depend on the order of records whether one overflows on the way. The sum of
 * reals is Neumaier's.
 */
#include "weir_operators.h"
#include "node.h"
#include "number.h"
#include "scan.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define CELL 0 /* index of the state */

struct whole_sum {
    uint64_t low;
    int64_t high;
    uint64_t count;
};
struct real_sum {
    double sum, rest;
    uint64_t count;
};
struct extreme {
    union number number;
    uint64_t count;
};
_Static_assert(sizeof(struct whole_sum) == 24 && sizeof(struct real_sum) == 24 &&
                   sizeof(struct extreme) == 16,
               "saved in checkpoints");

struct aggregate_config {
    struct weir_aggregate_options options;
    struct number_source source;
    bool real;
};

struct aggregate {
    const struct aggregate_config *config;
};

static enum weir_result aggregate_open(void *self, struct weir_context *context, const void *config)
{
    (void)context;
    ((struct aggregate *)self)->config = config;
    return WEIR_OK;
}

/* --------------------------------------------------------------------------------- adding -- */

static void add_whole(struct whole_sum *cell, int64_t number)
{
    uint64_t before = cell->low;
    cell->low += (uint64_t)number;
    cell->high += (number < 0 ? -1 : 0) + (cell->low < before);
    cell->count++;
}

static enum weir_result refuse_sum(struct weir_context *context, struct weir_bytes key,
                                   const char *range)
{
    char shown[41];
    size_t size = key.size < sizeof shown - 1 ? key.size : sizeof shown - 1;
    for (size_t i = 0; i < size; i++) {
        char c = ((const char *)key.data)[i];
        shown[i] = c >= ' ' && c <= '~' ? c : '?';
    }
    shown[size] = '\0';
    return weir_fail(context, WEIR_TOO_LARGE,
                     "the sum of key \"%s\" is over %s; `saturate` keeps it at their end", shown,
                     range);
}

/* The sum stays finite, or the run fails. */
static enum weir_result add_real(struct weir_context *context, struct weir_bytes key, bool saturate,
                                 struct real_sum *cell, double number)
{
    double sum = cell->sum + number;
    cell->count++;
    if (saturate && fabs(cell->sum) == DBL_MAX)
        return WEIR_OK;
    if (isfinite(sum)) {
        cell->rest += fabs(cell->sum) >= fabs(number) ? (cell->sum - sum) + number
                                                      : (number - sum) + cell->sum;
        cell->sum = sum;
        return WEIR_OK;
    }
    if (!saturate)
        return refuse_sum(context, key, "the finite numbers of an f64");
    cell->sum = sum > 0 ? DBL_MAX : -DBL_MAX;
    cell->rest = 0;
    return WEIR_OK;
}

static void add_extreme(const struct aggregate_config *config, struct extreme *cell,
                        union number number)
{
    bool less =
        config->real ? number.real < cell->number.real : number.integer < cell->number.integer;
    bool more =
        config->real ? number.real > cell->number.real : number.integer > cell->number.integer;
    if (cell->count == 0 || (config->options.kind == WEIR_AGGREGATE_MIN ? less : more))
        cell->number = number;
    cell->count++;
}

static enum weir_result add(struct weir_context *context, const struct aggregate_config *config,
                            struct weir_bytes key, void *cell, union number number)
{
    switch (config->options.kind) {
    case WEIR_AGGREGATE_COUNT:
        ++*(uint64_t *)cell;
        return WEIR_OK;
    case WEIR_AGGREGATE_SUM:
    case WEIR_AGGREGATE_AVERAGE:
        if (config->real)
            return add_real(context, key, config->options.saturate, cell, number.real);
        add_whole(cell, number.integer);
        return WEIR_OK;
    case WEIR_AGGREGATE_MIN:
    case WEIR_AGGREGATE_MAX:
        add_extreme(config, cell, number);
        return WEIR_OK;
    }
    return WEIR_INVALID;
}

/* ------------------------------------------------------------------------------- emitting -- */

struct outcome {
    union number number;
    uint64_t count;
    size_t size; /* bytes that are emitted: the number alone, or both */
};

static enum weir_result whole_out(struct weir_context *context, struct weir_bytes key,
                                  bool saturate, const struct whole_sum *cell, int64_t *sum)
{
    int64_t low = (int64_t)cell->low;
    *sum = low;
    if (cell->high == (low < 0 ? -1 : 0))
        return WEIR_OK;
    *sum = cell->high < 0 ? INT64_MIN : INT64_MAX;
    return saturate ? WEIR_OK : refuse_sum(context, key, "64 bits");
}

static enum weir_result cell_out(struct weir_context *context,
                                 const struct aggregate_config *config, struct weir_bytes key,
                                 const void *cell, struct outcome *outcome)
{
    const struct whole_sum *whole = cell;
    const struct real_sum *real = cell;
    *outcome = (struct outcome){.size = sizeof outcome->number};
    switch (config->options.kind) {
    case WEIR_AGGREGATE_COUNT:
        memcpy(&outcome->number, cell, sizeof outcome->number);
        return WEIR_OK;
    case WEIR_AGGREGATE_MIN:
    case WEIR_AGGREGATE_MAX:
        outcome->number = ((const struct extreme *)cell)->number;
        return WEIR_OK;
    case WEIR_AGGREGATE_AVERAGE:
        outcome->count = whole->count; /* in the same place in both */
        outcome->size += sizeof outcome->count;
        break;
    case WEIR_AGGREGATE_SUM:
        break;
    }
    if (!config->real)
        return whole_out(context, key, config->options.saturate, whole, &outcome->number.integer);
    double sum = real->sum + real->rest; /* the rest may carry it over the end */
    outcome->number.real = isfinite(sum) ? sum : real->sum;
    return WEIR_OK;
}
_Static_assert(offsetof(struct whole_sum, count) == offsetof(struct real_sum, count), "see above");
_Static_assert(offsetof(struct outcome, count) == 8, "{number; count} is what is emitted");

static enum weir_result aggregate_emit(struct weir_context *context,
                                       const struct aggregate_config *config, struct weir_bytes key,
                                       const void *cell, int64_t time)
{
    struct outcome outcome;
    enum weir_result result = cell_out(context, config, key, cell, &outcome);
    if (result)
        return result;
    return weir_emit(context, 0, &(struct weir_record){key, {&outcome, outcome.size}, time});
}

static enum weir_result aggregate_process(void *self, struct weir_context *context, unsigned input,
                                          const struct weir_record *record)
{
    const struct aggregate_config *config = ((struct aggregate *)self)->config;
    union number number = {0};
    (void)input;
    if (config->options.kind != WEIR_AGGREGATE_COUNT) {
        enum number_found found = number_take(context, &config->source, record, &number);
        if (found != NUMBER_FOUND)
            return found == NUMBER_NONE ? WEIR_OK : WEIR_INVALID;
    }
    void *cell = weir_cell(context, CELL, &record->key);
    if (!cell)
        return WEIR_FAILED;
    enum weir_result result = add(context, config, record->key, cell, number);
    if (result || config->options.emit == WEIR_REDUCE_FINAL)
        return result;
    return aggregate_emit(context, config, record->key, cell, record->time);
}

static enum weir_result emit_final(void *self, struct weir_context *context, struct weir_bytes key,
                                   struct weir_bytes value)
{
    return aggregate_emit(context, ((struct aggregate *)self)->config, key, value.data,
                          WEIR_NO_TIME);
}

static enum weir_progress aggregate_finish(void *self, struct weir_context *context)
{
    struct aggregate *aggregate = self;
    if (aggregate->config->options.emit != WEIR_REDUCE_FINAL)
        return WEIR_END;
    return scan_some(context, CELL, emit_final, self);
}

/* -------------------------------------------------------------------------------- the node -- */

static const struct weir_operator aggregate_table = {
    WEIR_SIZED(struct weir_operator),      .kind = "aggregate",
    .self_size = sizeof(struct aggregate), .version = 1,
    .guarantee = WEIR_EXACTLY_ONCE,        .open = aggregate_open,
    .process = aggregate_process,          .finish = aggregate_finish,
};

/* The version tells kinds apart, so that a checkpoint of a sum is not taken for a maximum. */
static struct weir_state cell_of(const struct aggregate_config *config)
{
    struct weir_state cell = {
        WEIR_SIZED(struct weir_state),
        .name = "cell",
        .version = 1 + 2 * (uint32_t)config->options.kind + config->real,
    };
    switch (config->options.kind) {
    case WEIR_AGGREGATE_COUNT:
        cell.value_size = sizeof(uint64_t);
        cell.format = "u64";
        break;
    case WEIR_AGGREGATE_SUM:
    case WEIR_AGGREGATE_AVERAGE:
        cell.value_size = sizeof(struct real_sum);
        cell.format =
            config->real ? "{f64 sum; f64 rest; u64 count}" : "{u64 low; i64 high; u64 count}";
        break;
    case WEIR_AGGREGATE_MIN:
    case WEIR_AGGREGATE_MAX:
        cell.value_size = sizeof(struct extreme);
        cell.format = config->real ? "{f64 number; u64 count}" : "{i64 number; u64 count}";
        break;
    }
    return cell;
}

static const char *wrong_with(const struct aggregate_config *config)
{
    if ((unsigned)config->options.kind > WEIR_AGGREGATE_AVERAGE)
        return "its kind is unknown";
    return number_check(&config->source);
}

weir_node weir_aggregate(struct weir_graph *graph, const char *name,
                         const struct weir_aggregate_options *given)
{
    struct aggregate_config config = {.options = {0}};
    if (!node_options(graph, name, given, &config.options, sizeof config.options))
        return NODE_NONE;
    const struct weir_aggregate_options *options = &config.options;
    config.source =
        (struct number_source){options->number, options->integer, options->real, options->config};
    config.real = options->kind != WEIR_AGGREGATE_COUNT && number_is_real(&config.source);
    const char *wrong = wrong_with(&config);
    if (wrong)
        return node_refuse(graph, name, wrong);
    struct weir_state cell = cell_of(&config);
    return node_keyed(graph, name, &aggregate_table, weir_graph_keep(graph, &config, sizeof config),
                      &cell, options->parallelism);
}
