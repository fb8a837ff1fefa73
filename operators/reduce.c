/* SPDX-License-Identifier: Apache-2.0
 *
 * reduce: a cell per key. The cells are keyed state and the position of the final scan is part of
 * it, so the operator itself has nothing to save.
 */
#include "weir_operators.h"
#include "node.h"

#define CELL 0          /* index of the state */
#define FINISH_KEYS 256 /* emitted by one call of finish: a marker waits for it */

struct reduce {
    const struct weir_reduce_options *options;
};

static enum weir_result reduce_open(void *self, struct weir_context *context, const void *config)
{
    struct reduce *reduce = self;
    (void)context;
    reduce->options = config;
    return WEIR_OK;
}

static enum weir_result reduce_process(void *self, struct weir_context *context, unsigned input,
                                       const struct weir_record *record)
{
    const struct weir_reduce_options *options = ((struct reduce *)self)->options;
    (void)input;
    void *cell = weir_cell(context, CELL, &record->key);
    if (!cell)
        return WEIR_FAILED;
    options->fold(cell, record, options->config);
    if (options->emit == WEIR_REDUCE_FINAL)
        return WEIR_OK;
    struct weir_record update = {record->key, {cell, options->value_size}, record->time};
    return weir_emit(context, 0, &update);
}

static enum weir_progress reduce_finish(void *self, struct weir_context *context)
{
    struct weir_record record = {.time = WEIR_NO_TIME};
    if (((struct reduce *)self)->options->emit != WEIR_REDUCE_FINAL)
        return WEIR_END;
    for (unsigned i = 0; i < FINISH_KEYS; i++) {
        if (!weir_scan_next(context, CELL, &record.key, &record.value))
            return WEIR_END;
        if (weir_emit(context, 0, &record) != WEIR_OK)
            return WEIR_END;
    }
    return WEIR_MORE;
}

static const struct weir_operator reduce_table = {
    WEIR_SIZED(struct weir_operator),   .kind = "reduce",
    .self_size = sizeof(struct reduce), .version = 1,
    .guarantee = WEIR_EXACTLY_ONCE,     .open = reduce_open,
    .process = reduce_process,          .finish = reduce_finish,
};

weir_node weir_reduce(struct weir_graph *graph, const char *name,
                      const struct weir_reduce_options *given)
{
    struct weir_reduce_options options;
    if (!node_options(graph, name, given, &options, sizeof options))
        return NODE_NONE;
    if (!options.fold || options.value_size == 0) {
        weir_graph_fail(graph, "node %s: reduce needs a fold and a value_size", name);
        return NODE_NONE;
    }
    struct weir_state cell = {
        WEIR_SIZED(struct weir_state),    .name = "cell",           .version = options.version,
        .value_size = options.value_size, .format = options.format,
    };
    struct weir_node_options node = {
        WEIR_SIZED(struct weir_node_options),
        .name = name,
        .table = &reduce_table,
        .config = weir_graph_keep(graph, &options, sizeof options),
        .parallelism = options.parallelism,
        .states = &cell,
        .state_count = 1,
    };
    return node.config ? weir_graph_add(graph, &node) : NODE_NONE;
}
