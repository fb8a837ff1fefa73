/* SPDX-License-Identifier: Apache-2.0
 *
 * record_sink: whole records into part files, exactly once. How they lie there is in
 * record_block.h; what makes it exactly once, in output.h and stage.h.
 */
#include "weir_operators.h"
#include "block.h"
#include "node.h"
#include "output.h"
#include "path.h"
#include "record_block.h"

struct record_sink_config {
    const char *path;
    struct agreement *ids;
};

struct record_sink {
    struct output output;
    struct record_block block; /* records that are not in the file yet */
};

static enum weir_result sink_open(void *self, struct weir_context *context, const void *config_)
{
    struct record_sink *sink = self;
    const struct record_sink_config *config = config_;
    if (!record_block_reserve(&sink->block, weir_memory(context)))
        return block_none(context);
    return output_open(&sink->output, context, config->path, config->ids);
}

static enum weir_result sink_load(void *self, struct weir_context *context,
                                  struct weir_loader *loader, uint32_t version)
{
    struct record_sink *sink = self;
    (void)version;
    return output_load(&sink->output, context, loader);
}

static enum weir_result sink_process(void *self, struct weir_context *context, unsigned input,
                                     const struct weir_record *record)
{
    struct record_sink *sink = self;
    (void)input;
    if (!record_block_add(&sink->block, weir_memory(context), record))
        return block_none(context);
    if (!record_block_full(&sink->block))
        return WEIR_OK;
    return output_write(&sink->output, context, record_block_close(&sink->block));
}

/* ---------------------------------------------------------------------------- two phases -- */

static enum weir_result write_end(struct record_sink *sink, struct weir_context *context)
{
    struct weir_bytes last = record_block_close(&sink->block);
    enum weir_result result = last.size > 0 ? output_write(&sink->output, context, last) : WEIR_OK;
    if (result != WEIR_OK)
        return result;
    struct weir_bytes end = record_block_end(&sink->block, weir_memory(context));
    return end.size > 0 ? output_write(&sink->output, context, end) : block_none(context);
}

static enum weir_result sink_prepare(void *self, struct weir_context *context, uint64_t id)
{
    struct record_sink *sink = self;
    (void)id;
    enum weir_result result = WEIR_OK;
    if (!record_block_unused(&sink->block))
        result = write_end(sink, context);
    return result == WEIR_OK ? output_prepare(&sink->output, context) : result;
}

static enum weir_result sink_commit(void *self, struct weir_context *context,
                                    struct weir_bytes handle)
{
    struct record_sink *sink = self;
    return output_commit(&sink->output, context, handle);
}

static enum weir_result sink_save(void *self, struct weir_context *context,
                                  struct weir_saver *saver)
{
    const struct record_sink *sink = self;
    (void)context;
    stage_save(&sink->output.stage, saver);
    return WEIR_OK;
}

static void sink_close(void *self, struct weir_context *context)
{
    struct record_sink *sink = self;
    output_close(&sink->output, context);
    record_block_free(&sink->block, weir_memory(context));
}

static const struct weir_operator record_sink_table = {
    WEIR_SIZED(struct weir_operator),
    .kind = "record_sink",
    .self_size = sizeof(struct record_sink),
    .version = 1,
    .guarantee = WEIR_EXACTLY_ONCE,
    .open = sink_open,
    .process = sink_process,
    .prepare = sink_prepare,
    .commit = sink_commit,
    .save = sink_save,
    .load = sink_load,
    .close = sink_close,
};

weir_node weir_record_sink(struct weir_graph *graph, const char *name,
                           const struct weir_record_sink_options *given)
{
    struct weir_record_sink_options options;
    if (!node_options(graph, name, given, &options, sizeof options))
        return NODE_NONE;
    if (!path_is_sound(options.path)) {
        weir_graph_fail(graph, "node %s: the output's path is missing, empty or too long", name);
        return NODE_NONE;
    }
    struct record_sink_config *config = weir_graph_keep(graph, NULL, sizeof *config);
    struct agreement *ids = weir_graph_keep(graph, NULL, sizeof *ids);
    const char *path = weir_graph_keep_text(graph, options.path);
    if (!config || !ids || !path)
        return NODE_NONE;
    agreement_init(ids);
    *config = (struct record_sink_config){.path = path, .ids = ids};
    return node_add(graph, name, &record_sink_table, config, options.parallelism);
}
