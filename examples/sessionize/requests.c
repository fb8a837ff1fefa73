/* SPDX-License-Identifier: Apache-2.0
 *
 * Saved: one item, i64 latest.
 */
#include "requests.h"

#include <stdio.h>
#include <string.h>

#include "log_line.h"

#define NAME_LIMIT 1024 /* bytes of host and agent; a longer one is no browser's */

enum { REQUESTS, REJECTS };

struct reader {
    int64_t disorder_ns;
    int64_t latest; /* WEIR_NO_TIME: no line yet */
};

static enum weir_result reader_open(void *self, struct weir_context *context, const void *config)
{
    struct reader *reader = self;
    (void)context;
    reader->disorder_ns = *(const int64_t *)config;
    reader->latest = WEIR_NO_TIME;
    return WEIR_OK;
}

static enum weir_result reject(struct weir_context *context, const char *why,
                               const struct weir_record *line)
{
    return weir_emit(context, REJECTS,
                     &(struct weir_record){{why, strlen(why)}, line->value, WEIR_NO_TIME});
}

/* A client is a host and an agent. Its number is their hash: 8 bytes, so that it can be the tag of
 * a timer, which then knows whose it is. */
static enum weir_result emit_request(struct weir_context *context, const struct log_line *line)
{
    struct {
        struct request request;
        char name[NAME_LIMIT + 8];
    } value = {.request = {line->bytes}};
    int size = snprintf(value.name, sizeof value.name, "%.*s \"%.*s\"", (int)line->host.size,
                        (const char *)line->host.data, (int)line->agent.size,
                        (const char *)line->agent.data);
    uint64_t client = weir_hash((struct weir_bytes){value.name, (size_t)size});
    return weir_emit(context, REQUESTS,
                     &(struct weir_record){{&client, sizeof client},
                                           {&value, sizeof value.request + (size_t)size},
                                           line->time});
}

static enum weir_result reader_process(void *self, struct weir_context *context, unsigned input,
                                       const struct weir_record *record)
{
    struct reader *reader = self;
    struct log_line line;
    (void)input;
    if (!log_line_parse(record->value, &line) || line.host.size + line.agent.size > NAME_LIMIT ||
        memchr(record->value.data, '\t', record->value.size)) /* it would break our output */
        return reject(context, "malformed", record);
    if (reader->latest != WEIR_NO_TIME && line.time < reader->latest - reader->disorder_ns)
        return reject(context, "late", record);
    if (line.time > reader->latest)
        reader->latest = line.time;
    enum weir_result result = emit_request(context, &line);
    weir_emit_watermark(context, reader->latest - reader->disorder_ns);
    return result;
}

static enum weir_result reader_save(void *self, struct weir_context *context,
                                    struct weir_saver *saver)
{
    const struct reader *reader = self;
    (void)context;
    weir_save(saver, WEIR_ITEM_SPLIT, (struct weir_bytes){&reader->latest, sizeof reader->latest});
    return WEIR_OK;
}

static enum weir_result reader_load(void *self, struct weir_context *context,
                                    struct weir_loader *loader, uint32_t version)
{
    struct reader *reader = self;
    enum weir_item kind;
    struct weir_bytes item;
    (void)version;
    for (bool first = true; weir_load_next(loader, &kind, &item); first = false) {
        int64_t latest;
        if (item.size != sizeof latest)
            return weir_fail(context, WEIR_DAMAGED, "what was saved is not a time");
        memcpy(&latest, item.data, sizeof latest);
        if (first || latest < reader->latest) /* with another parallelism there may be several */
            reader->latest = latest;
    }
    return WEIR_OK;
}

weir_node requests(struct weir_graph *graph, const char *name, int64_t disorder_ns)
{
    static const struct weir_operator table = {WEIR_SIZED(struct weir_operator),
                                               .kind = "requests",
                                               .self_size = sizeof(struct reader),
                                               .open = reader_open,
                                               .process = reader_process,
                                               .save = reader_save,
                                               .load = reader_load};
    static const char *const outputs[] = {[REQUESTS] = "requests", [REJECTS] = "rejects"};
    return weir_graph_add(graph,
                          &(struct weir_node_options){
                              WEIR_SIZED(struct weir_node_options), .name = name, .table = &table,
                              .config = weir_graph_keep(graph, &disorder_ns, sizeof disorder_ns),
                              .outputs = outputs, .output_count = 2});
}
