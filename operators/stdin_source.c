/* SPDX-License-Identifier: Apache-2.0
 *
 * stdin_source: lines of a descriptor that is read once. What it can promise depends on the
 * journal, so there are two tables. What a checkpoint holds is in line_feed.h.
 *
 * A regular file is read at offsets: the position of line_feed is the offset, so a journal has
 * nothing to add but is kept all the same when asked for; whether it is a file is not known when
 * the graph is made.
 */
#include "weir_operators.h"
#include "budget.h"
#include "descriptor.h"
#include "line_feed.h"
#include "node.h"
#include "pace.h"

#include <string.h>

#define READ_BYTES ((size_t)64 << 10) /* what a pipe holds; what a kill can lose */

struct stdin_source {
    const struct weir_stdin_source_options *options;
    struct line_feed feed;
    struct block input; /* what was read last */
    bool file;
    struct pace pace;
};

static enum weir_result source_open(void *self, struct weir_context *context, const void *config)
{
    static const char opening = LINE_FEED_OPENING;
    struct stdin_source *source = self;
    source->options = config;
    source->file = descriptor_is_file(source->options->fd);
    pace_start(&source->pace, source->options->rate, 0, 1, weir_now(context));
    bool journal = source->options->journal && weir_store_id(context)[0] != '\0';
    if (!block_reserve(&source->input, weir_memory(context), READ_BYTES))
        return block_none(context);
    return line_feed_open(&source->feed, context, journal, source->options->retain,
                          (struct weir_bytes){&opening, 1});
}

static enum weir_result source_load(void *self, struct weir_context *context,
                                    struct weir_loader *loader, uint32_t version)
{
    struct stdin_source *source = self;
    (void)version; /* there is one so far; newer ones are refused before this */
    return line_feed_load(&source->feed, context, loader);
}

/* ---------------------------------------------------------------------------------- poll -- */

static enum weir_result take(struct stdin_source *source, struct weir_context *context,
                             enum line_feed_kind kind, size_t size)
{
    static const char opening = LINE_FEED_OPENING;
    const char head = (char)kind;
    struct line_feed *feed = &source->feed;
    if (feed->journaled && journal_is_full(&feed->journal)) {
        enum weir_result result = line_feed_roll(feed, context, (struct weir_bytes){&opening, 1});
        if (result != WEIR_OK)
            return result;
    }
    return line_feed_append(feed, context, (struct weir_bytes){&head, 1},
                            (struct weir_bytes){source->input.data, size});
}

/* WEIR_MORE: some bytes, or the end, were taken. */
static enum weir_progress read_some(struct stdin_source *source, struct weir_context *context)
{
    size_t got;
    int os_error, fd = source->options->fd;
    uint64_t offset = line_feed_taken(&source->feed);
    switch (source->file
                ? descriptor_read_at(fd, offset, source->input.data, READ_BYTES, &got, &os_error)
                : descriptor_read(fd, source->input.data, READ_BYTES, &got, &os_error)) {
    case DESCRIPTOR_BYTES:
        return take(source, context, LINE_FEED_TEXT, got) == WEIR_OK ? WEIR_MORE : WEIR_IDLE;
    case DESCRIPTOR_END:
        return take(source, context, LINE_FEED_END, 0) == WEIR_OK ? WEIR_MORE : WEIR_IDLE;
    case DESCRIPTOR_NOTHING:
        return weir_idle(context, INT64_MAX, fd);
    case DESCRIPTOR_FAILED:
        break;
    }
    weir_fail(context, WEIR_IO, "can't read descriptor %d (errno %d)", fd, os_error);
    return WEIR_IDLE;
}

/* One line or one read. `drain`: nothing new is read. */
static enum weir_progress step(struct stdin_source *source, struct weir_context *context,
                               bool drain, struct budget *budget)
{
    struct weir_bytes line;
    switch (line_feed_next(&source->feed, context, &line)) {
    case LINE_FEED_LINE:
        budget_emit(budget, context, line);
        return WEIR_MORE;
    case LINE_FEED_MORE:
        budget->reads++;
        return WEIR_MORE;
    case LINE_FEED_DRY:
        budget->reads++;
        return drain ? WEIR_END : read_some(source, context);
    case LINE_FEED_OVER:
        return WEIR_END;
    case LINE_FEED_FAILED:
        break;
    }
    return WEIR_IDLE;
}

static enum weir_progress source_poll(void *self, struct weir_context *context)
{
    struct stdin_source *source = self;
    enum weir_progress progress = WEIR_MORE;
    int64_t now = source->pace.rate > 0 ? weir_now(context) : 0;
    struct budget budget = {.most = pace_ready(&source->pace, now, BUDGET_RECORDS)};
    if (budget.most == 0)
        return weir_idle(context, pace_deadline(&source->pace, now), -1);
    while (progress == WEIR_MORE && budget_is_left(&budget))
        progress = step(source, context, false, &budget);
    pace_take(&source->pace, budget.records);
    return progress;
}

/* After a drain: what was taken already still goes out. */
static enum weir_progress source_finish(void *self, struct weir_context *context)
{
    struct budget budget = {.most = BUDGET_RECORDS};
    enum weir_progress progress = WEIR_MORE;
    while (progress == WEIR_MORE && budget_is_left(&budget))
        progress = step(self, context, true, &budget);
    return progress;
}

/* --------------------------------------------------------------------------- checkpoints -- */

static enum weir_result source_prepare(void *self, struct weir_context *context, uint64_t id)
{
    struct stdin_source *source = self;
    (void)id;
    return line_feed_prepare(&source->feed, context);
}

static enum weir_result source_commit(void *self, struct weir_context *context,
                                      struct weir_bytes handle)
{
    struct stdin_source *source = self;
    return line_feed_commit(&source->feed, context, handle);
}

static enum weir_result source_save(void *self, struct weir_context *context,
                                    struct weir_saver *saver)
{
    const struct stdin_source *source = self;
    (void)context;
    line_feed_save(&source->feed, saver);
    return WEIR_OK;
}

static void source_close(void *self, struct weir_context *context)
{
    struct stdin_source *source = self;
    line_feed_close(&source->feed, weir_memory(context));
    block_free(&source->input, weir_memory(context));
}

#define STDIN_TABLE(promise)                                                                       \
    {                                                                                              \
        WEIR_SIZED(struct weir_operator),                                                          \
            .kind = "stdin_source", .self_size = sizeof(struct stdin_source), .version = 1,        \
            .guarantee = promise, .open = source_open, .poll = source_poll,                        \
            .finish = source_finish, .prepare = source_prepare, .commit = source_commit,           \
            .save = source_save, .load = source_load, .close = source_close,                       \
    }

static const struct weir_operator journaled_table = STDIN_TABLE(WEIR_EXACTLY_ONCE);
static const struct weir_operator plain_table = STDIN_TABLE(WEIR_AT_LEAST_ONCE);

weir_node weir_stdin_source(struct weir_graph *graph, const char *name,
                            const struct weir_stdin_source_options *given)
{
    struct weir_stdin_source_options options;
    if (!node_options(graph, name, given, &options, sizeof options))
        return NODE_NONE;
    if (options.fd < 0 || options.rate > PACE_RATE_LIMIT ||
        options.retain > LINE_FEED_RETAIN_LIMIT) {
        weir_graph_fail(graph,
                        "node %s: fd is negative, rate over 1000000000 records a second, or retain "
                        "over %u",
                        name, LINE_FEED_RETAIN_LIMIT);
        return NODE_NONE;
    }
    if (options.retain == 0)
        options.retain = 3;
    const void *config = weir_graph_keep(graph, &options, sizeof options);
    const struct weir_operator *table = options.journal ? &journaled_table : &plain_table;
    return config ? node_add(graph, name, table, config, 1) : NODE_NONE;
}
