/* SPDX-License-Identifier: Apache-2.0 */
#include "node.h"

#include <string.h>

#define OPTIONS_LIMIT ((size_t)64 << 10) /* a larger "size" is an uninitialised one */

bool node_options(struct weir_graph *graph, const char *name, const void *given, void *options,
                  size_t size)
{
    size_t given_size = 0;
    if (given)
        memcpy(&given_size, given, sizeof given_size);
    if (given_size < sizeof given_size || given_size > OPTIONS_LIMIT) {
        weir_graph_fail(graph, "node %s: options are missing or not set up with WEIR_SIZED",
                        name ? name : "(null)");
        return false;
    }
    memset(options, 0, size);
    memcpy(options, given, given_size < size ? given_size : size);
    return true;
}

weir_node node_refuse(struct weir_graph *graph, const char *name, const char *what)
{
    weir_graph_fail(graph, "node %s: %s", name ? name : "(null)", what);
    return NODE_NONE;
}

weir_node node_add(struct weir_graph *graph, const char *name, const struct weir_operator *table,
                   const void *config, uint32_t parallelism)
{
    struct weir_node_options options = {
        WEIR_SIZED(struct weir_node_options), .name = name, .table = table, .config = config,
        .parallelism = parallelism,
    };
    return weir_graph_add(graph, &options);
}

weir_node node_keyed(struct weir_graph *graph, const char *name, const struct weir_operator *table,
                     const void *config, const struct weir_state *state, uint32_t parallelism)
{
    struct weir_node_options options = {
        WEIR_SIZED(struct weir_node_options), .name = name,    .table = table,   .config = config,
        .parallelism = parallelism,           .states = state, .state_count = 1,
    };
    return config ? weir_graph_add(graph, &options) : NODE_NONE;
}
