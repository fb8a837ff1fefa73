/* SPDX-License-Identifier: Apache-2.0
 *
 * transform: map, flat map and filter: thin coats over the plain record callback. They keep
 * nothing, so there is nothing to save.
 */
#include "weir_operators.h"
#include "node.h"

struct map_config {
    weir_map_function function;
    const void *config;
};

struct filter_config {
    weir_filter_function function;
    const void *config;
};

static enum weir_result map_record(struct weir_context *context, unsigned input,
                                   const struct weir_record *record, const void *config)
{
    const struct map_config *map = config;
    struct weir_record copy = *record;
    (void)input;
    map->function(&copy, map->config);
    return weir_emit(context, 0, &copy);
}

static enum weir_result filter_record(struct weir_context *context, unsigned input,
                                      const struct weir_record *record, const void *config)
{
    const struct filter_config *filter = config;
    (void)input;
    return filter->function(record, filter->config) ? weir_emit(context, 0, record) : WEIR_OK;
}

/* `function` is the runtime's callback; a transform without one of the user's is a mistake. */
static weir_node add(struct weir_graph *graph, const char *name, bool given, weir_function function,
                     const void *config)
{
    struct weir_node_options options = {
        WEIR_SIZED(struct weir_node_options),
        .name = name,
        .function = function,
        .config = config,
    };
    if (given)
        return weir_graph_add(graph, &options);
    weir_graph_fail(graph, "node %s: the function is missing", name ? name : "(null)");
    return NODE_NONE;
}

weir_node weir_flat_map(struct weir_graph *graph, const char *name, weir_function function,
                        const void *config)
{
    return add(graph, name, function != NULL, function, config);
}

weir_node weir_map(struct weir_graph *graph, const char *name, weir_map_function function,
                   const void *config)
{
    struct map_config map = {function, config};
    const void *kept = weir_graph_keep(graph, &map, sizeof map);
    return kept ? add(graph, name, function != NULL, map_record, kept) : NODE_NONE;
}

weir_node weir_filter(struct weir_graph *graph, const char *name, weir_filter_function function,
                      const void *config)
{
    struct filter_config filter = {function, config};
    const void *kept = weir_graph_keep(graph, &filter, sizeof filter);
    return kept ? add(graph, name, function != NULL, filter_record, kept) : NODE_NONE;
}
