/* SPDX-License-Identifier: Apache-2.0
 *
 * sample: a fixed choice of keys or records, by hash. The hash of a key also says which subtask it
 * belongs to, so it is hashed once more, with the seed: else a subtask would get all or nothing.
 */
#include "weir_operators.h"
#include "node.h"

#define HASHES 4 /* words that are hashed together */

struct sample_config {
    struct weir_sample_options options;
    uint64_t below; /* a hash up to this one is let through */
};

static enum weir_result sample_record(struct weir_context *context, unsigned input,
                                      const struct weir_record *record, const void *config)
{
    const struct sample_config *sample = config;
    uint64_t words[HASHES] = {sample->options.seed, weir_hash(record->key)};
    size_t count = 2;
    (void)input;
    if (sample->options.by == WEIR_SAMPLE_RECORDS) {
        words[count++] = weir_hash(record->value);
        words[count++] = (uint64_t)record->time;
    }
    uint64_t hash = weir_hash((struct weir_bytes){words, count * sizeof words[0]});
    return hash <= sample->below ? weir_emit(context, 0, record) : WEIR_OK;
}

weir_node weir_sample(struct weir_graph *graph, const char *name,
                      const struct weir_sample_options *given)
{
    struct sample_config config = {.below = UINT64_MAX};
    if (!node_options(graph, name, given, &config.options, sizeof config.options))
        return NODE_NONE;
    if (!(config.options.fraction > 0 && config.options.fraction <= 1))
        return node_refuse(graph, name, "the fraction of a sample is above 0 and at most 1");
    if ((unsigned)config.options.by > WEIR_SAMPLE_RECORDS)
        return node_refuse(graph, name, "what it samples by is unknown");
    if (config.options.fraction < 1)
        config.below = (uint64_t)(config.options.fraction * 18446744073709551616.0);
    struct weir_node_options node = {
        WEIR_SIZED(struct weir_node_options),
        .name = name,
        .function = sample_record,
        .config = weir_graph_keep(graph, &config, sizeof config),
        .parallelism = config.options.parallelism,
    };
    return node.config ? weir_graph_add(graph, &node) : NODE_NONE;
}
