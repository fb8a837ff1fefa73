/* SPDX-License-Identifier: Apache-2.0
 *
 * split: each record to the output its callback names. And union, its opposite, which only passes
 * records on. Neither keeps anything.
 */
#include "weir_operators.h"
#include "node.h"

static enum weir_result union_record(struct weir_context *context, unsigned input,
                                     const struct weir_record *record, const void *config)
{
    (void)input;
    (void)config;
    return weir_emit(context, 0, record);
}

weir_node weir_union(struct weir_graph *graph, const char *name, uint32_t parallelism)
{
    struct weir_node_options node = {
        WEIR_SIZED(struct weir_node_options),
        .name = name,
        .function = union_record,
        .parallelism = parallelism,
    };
    return weir_graph_add(graph, &node);
}

static enum weir_result split_record(struct weir_context *context, unsigned input,
                                     const struct weir_record *record, const void *config)
{
    const struct weir_split_options *options = config;
    uint32_t output = options->choose(record, options->config);
    (void)input;
    if (output == WEIR_SPLIT_DROP)
        return WEIR_OK;
    if (output >= options->output_count)
        return weir_fail(context, WEIR_INVALID,
                         "its callback chooses output %u, and there are %zu: 0 .. %zu, or "
                         "WEIR_SPLIT_DROP",
                         output, options->output_count, options->output_count - 1);
    return weir_emit(context, output, record);
}

weir_node weir_split(struct weir_graph *graph, const char *name,
                     const struct weir_split_options *given)
{
    struct weir_split_options options;
    if (!node_options(graph, name, given, &options, sizeof options))
        return NODE_NONE;
    if (!options.choose || !options.outputs || options.output_count == 0)
        return node_refuse(graph, name, "split needs a choose callback and names of outputs");
    struct weir_node_options node = {
        WEIR_SIZED(struct weir_node_options),
        .name = name,
        .function = split_record,
        .config = weir_graph_keep(graph, &options, sizeof options),
        .parallelism = options.parallelism,
        .outputs = options.outputs,
        .output_count = options.output_count,
    };
    return node.config ? weir_graph_add(graph, &node) : NODE_NONE;
}
