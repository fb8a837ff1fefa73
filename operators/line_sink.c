/* SPDX-License-Identifier: Apache-2.0
 *
 * line_sink: lines into part files, exactly once. What makes it so is in output.h and stage.h; here
 * are the lines, which meet the staged file 128 KiB at a time.
 */
#include "weir_operators.h"
#include "block.h"
#include "node.h"
#include "output.h"
#include "path.h"

#include <string.h>

#define BUFFER_BYTES ((size_t)128 << 10)

struct line_sink_config {
    struct weir_line_sink_options options;
    struct agreement *ids;
};

struct line_sink {
    const struct line_sink_config *config;
    struct output output;
    struct block buffer; /* lines that are not in the file yet */
};

static enum weir_result sink_open(void *self, struct weir_context *context, const void *config)
{
    struct line_sink *sink = self;
    sink->config = config;
    if (!block_reserve(&sink->buffer, weir_memory(context), BUFFER_BYTES))
        return block_none(context);
    return output_open(&sink->output, context, sink->config->options.path, sink->config->ids);
}

static enum weir_result sink_load(void *self, struct weir_context *context,
                                  struct weir_loader *loader, uint32_t version)
{
    struct line_sink *sink = self;
    (void)version;
    return output_load(&sink->output, context, loader);
}

/* --------------------------------------------------------------------------------- write -- */

/* Moves the buffer into the staged file. */
static enum weir_result flush(struct line_sink *sink, struct weir_context *context)
{
    struct weir_bytes lines = {sink->buffer.data, sink->buffer.size};
    sink->buffer.size = 0;
    return lines.size > 0 ? output_write(&sink->output, context, lines) : WEIR_OK;
}

/* Formats the record at the end of the buffer; answers the bytes it has, or would have. */
static size_t format(struct line_sink *sink, const struct weir_record *record)
{
    const struct weir_line_sink_options *options = &sink->config->options;
    unsigned char *line = sink->buffer.data + sink->buffer.size;
    size_t room = sink->buffer.room - sink->buffer.size;
    if (options->write)
        return options->write((char *)line, room, record, options->config);
    if (record->value.size > 0 && record->value.size <= room)
        memcpy(line, record->value.data, record->value.size);
    return record->value.size;
}

static enum weir_result sink_process(void *self, struct weir_context *context, unsigned input,
                                     const struct weir_record *record)
{
    struct line_sink *sink = self;
    (void)input;
    size_t size = format(sink, record);
    if (size >= sink->buffer.room - sink->buffer.size) { /* no room for it and its newline */
        enum weir_result result = flush(sink, context);
        if (result != WEIR_OK)
            return result;
        if (size == SIZE_MAX || !block_reserve(&sink->buffer, weir_memory(context), size + 1))
            return block_none(context);
        if (format(sink, record) != size)
            return weir_fail(context, WEIR_FAILED, "write gave two sizes for one record");
    }
    sink->buffer.size += size;
    sink->buffer.data[sink->buffer.size++] = '\n';
    return WEIR_OK;
}

/* ---------------------------------------------------------------------------- two phases -- */

static enum weir_result sink_prepare(void *self, struct weir_context *context, uint64_t id)
{
    struct line_sink *sink = self;
    (void)id;
    enum weir_result result = flush(sink, context);
    return result == WEIR_OK ? output_prepare(&sink->output, context) : result;
}

static enum weir_result sink_commit(void *self, struct weir_context *context,
                                    struct weir_bytes handle)
{
    struct line_sink *sink = self;
    return output_commit(&sink->output, context, handle);
}

static enum weir_result sink_save(void *self, struct weir_context *context,
                                  struct weir_saver *saver)
{
    const struct line_sink *sink = self;
    (void)context;
    stage_save(&sink->output.stage, saver);
    return WEIR_OK;
}

static void sink_close(void *self, struct weir_context *context)
{
    struct line_sink *sink = self;
    output_close(&sink->output, context);
    block_free(&sink->buffer, weir_memory(context));
}

static const struct weir_operator line_sink_table = {
    WEIR_SIZED(struct weir_operator),
    .kind = "line_sink",
    .self_size = sizeof(struct line_sink),
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

static struct line_sink_config *keep_config(struct weir_graph *graph,
                                            const struct weir_line_sink_options *options)
{
    struct line_sink_config *config = weir_graph_keep(graph, NULL, sizeof *config);
    struct agreement *ids = weir_graph_keep(graph, NULL, sizeof *ids);
    const char *path = weir_graph_keep_text(graph, options->path);
    if (!config || !ids || !path)
        return NULL;
    agreement_init(ids);
    config->options = *options;
    config->options.path = path;
    config->ids = ids;
    return config;
}

weir_node weir_line_sink(struct weir_graph *graph, const char *name,
                         const struct weir_line_sink_options *given)
{
    struct weir_line_sink_options options;
    if (!node_options(graph, name, given, &options, sizeof options))
        return NODE_NONE;
    if (!path_is_sound(options.path)) {
        weir_graph_fail(graph, "node %s: the output's path is missing, empty or too long", name);
        return NODE_NONE;
    }
    struct line_sink_config *config = keep_config(graph, &options);
    return config ? node_add(graph, name, &line_sink_table, config, options.parallelism)
                  : NODE_NONE;
}
