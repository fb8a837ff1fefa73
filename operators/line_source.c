/* SPDX-License-Identifier: Apache-2.0
 *
 * line_source: lines of files, exactly once. A checkpoint holds
 *
 *   one BROADCAST item   the table of files (line_table.h), the same from every subtask
 *   SPLIT items          one struct line_run each: what of the input is still to be read
 *
 * A run is an arithmetic series of splits, of which the first may be half read: so a cut saves at
 * most RUN_LIMIT small items however large the input is, and they can be shared out among another
 * number of subtasks. What no run names has been read.
 */
#include "weir_operators.h"
#include "budget.h"
#include "agreement.h"
#include "line_reader.h"
#include "line_table.h"
#include "node.h"
#include "pace.h"
#include "path.h"

#include <string.h>

#define SPLIT_BYTES ((uint64_t)16 << 20)
#define RUN_LIMIT 64 /* runs a subtask makes at a first start */

struct line_run {
    uint64_t first, stride, count; /* splits first, first + stride, ... ; count > 0 */
    struct line_mark mark;         /* in the first */
};
_Static_assert(sizeof(struct line_run) == 48, "saved in checkpoints");

struct line_source_config {
    struct weir_line_source_options options;
    struct agreement *tables; /* of struct line_table */
};

struct line_source {
    const struct line_source_config *config;
    struct line_table *table;
    bool agreed;          /* the table is shared; otherwise it came from a checkpoint and is ours */
    struct block runs;    /* of struct line_run */
    size_t run;           /* the first unfinished one */
    bool reading;         /* the reader stands in that run's first split */
    char path[PATH_ROOM]; /* of the file it reads */
    uint32_t file;
    struct line_reader reader;
    struct pace pace;
    uint64_t bytes_mine;  /* of the splits that are dealt to this subtask at a first start, */
    uint64_t bytes_left;  /* of those in runs: of a half read one, all */
    uint64_t split_begin; /* of the one it reads */
};

static size_t run_count(const struct line_source *source)
{
    return source->runs.size / sizeof(struct line_run);
}

static struct line_run *current_run(struct line_source *source)
{
    return (struct line_run *)(void *)source->runs.data + source->run;
}

/* ------------------------------------------------------------------------------ progress -- */

static uint64_t split_bytes(const struct line_source *source, uint64_t split)
{
    struct line_split at = line_table_split(source->table, split);
    return at.end - at.begin;
}

static void count_bytes(struct line_source *source, struct weir_context *context)
{
    const struct line_run *runs = (const void *)source->runs.data;
    uint64_t splits = line_table_splits(source->table);
    for (uint64_t i = weir_subtask(context); i < splits; i += weir_parallelism(context))
        source->bytes_mine += split_bytes(source, i);
    for (size_t r = 0; r < run_count(source); r++)
        for (uint64_t i = 0; i < runs[r].count; i++)
            source->bytes_left += split_bytes(source, runs[r].first + i * runs[r].stride);
}

/* In bytes, and one more: a subtask without any has something to be done with all the same. After a
 * change of parallelism `left` is not a part of `mine`, and this an estimate. */
static void tell_progress(const struct line_source *source, struct weir_context *context)
{
    uint64_t mine = source->bytes_mine, left = source->bytes_left;
    if (source->reading) {
        uint64_t at = source->reader.base + source->reader.cursor, end = source->reader.end;
        uint64_t read = at < end ? at : end;
        left -= read > source->split_begin ? read - source->split_begin : 0;
    }
    weir_progress_set(context, 1 + (mine > left ? mine - left : 0), 1 + mine);
}

/* ------------------------------------------------------------------------- open and load -- */

/* Splits subtask, subtask + parallelism, ... in at most RUN_LIMIT runs of consecutive ones. */
static enum weir_result deal_splits(struct line_source *source, struct weir_context *context)
{
    uint64_t stride = weir_parallelism(context), next = weir_subtask(context);
    uint64_t splits = line_table_splits(source->table);
    uint64_t mine = splits > next ? (splits - next + stride - 1) / stride : 0;
    uint64_t chunk = (mine + RUN_LIMIT - 1) / RUN_LIMIT;
    for (; mine > 0; mine -= chunk, next += chunk * stride) {
        chunk = mine < chunk ? mine : chunk;
        struct line_run run = {.first = next, .stride = stride, .count = chunk};
        if (!block_append(&source->runs, weir_memory(context), &run, sizeof run))
            return block_none(context);
    }
    return WEIR_OK;
}

static enum weir_result source_open(void *self, struct weir_context *context, const void *config)
{
    struct line_source *source = self;
    source->config = config;
    pace_start(&source->pace, source->config->options.rate, weir_subtask(context),
               weir_parallelism(context), weir_now(context));
    if (weir_restored(context))
        return WEIR_OK;
    struct line_table *mine =
        line_table_list(context, source->config->options.path, source->config->options.split_bytes);
    if (!mine)
        return WEIR_FAILED;
    source->table = agreement_join(source->config->tables, mine);
    source->agreed = true;
    if (source->table != mine)
        line_table_free(mine);
    enum weir_result result = deal_splits(source, context);
    if (result == WEIR_OK) {
        count_bytes(source, context);
        tell_progress(source, context);
    }
    return result;
}

static bool run_is_sound(const struct line_table *table, const struct line_run *run)
{
    uint64_t splits = line_table_splits(table);
    if (run->first >= splits || run->count == 0 || run->stride == 0 ||
        (run->count - 1) > (splits - 1 - run->first) / run->stride)
        return false;
    struct line_split split = line_table_split(table, run->first);
    const struct line_mark *mark = &run->mark;
    return !mark->begun ||
           (mark->position >= split.begin && mark->position <= table->files[split.file].size &&
            mark->tail_size <= LINE_TAIL_BYTES && mark->tail_size <= mark->position);
}

/* Opens the first split of the current run; a half read one is checked by that. */
static enum weir_result start_split(struct line_source *source, struct weir_context *context)
{
    const struct line_run *run = current_run(source);
    struct line_split split = line_table_split(source->table, run->first);
    source->file = split.file;
    source->split_begin = split.begin;
    path_join(source->path, source->config->options.path,
              line_table_name(source->table, split.file));
    enum weir_result result =
        line_reader_open(&source->reader, context, source->path, source->table, &split, &run->mark);
    source->reading = result == WEIR_OK;
    return result;
}

static void leave_split(struct line_source *source)
{
    line_reader_close(&source->reader);
    source->reading = false;
}

/* Every file is looked at by one of the subtasks, half read splits by those who go on with them. */
static enum weir_result verify(struct line_source *source, struct weir_context *context)
{
    enum weir_result result = WEIR_OK;
    uint32_t files = source->table->head->file_count, step = weir_parallelism(context);
    for (uint32_t file = weir_subtask(context); result == WEIR_OK && file < files; file += step)
        result = line_table_verify(source->table, context, source->config->options.path, file);
    for (source->run = 0; result == WEIR_OK && source->run < run_count(source); source->run++) {
        if (!run_is_sound(source->table, current_run(source)))
            return weir_fail(context, WEIR_DAMAGED, "a saved position makes no sense");
        if (!current_run(source)->mark.begun)
            continue;
        result = start_split(source, context);
        leave_split(source);
    }
    source->run = 0;
    return result;
}

static enum weir_result take_item(struct line_source *source, struct weir_context *context,
                                  enum weir_item kind, struct weir_bytes item)
{
    if (kind == WEIR_ITEM_BROADCAST) {
        if (!source->table)
            source->table = line_table_parse(context, item);
        return source->table ? WEIR_OK : WEIR_FAILED;
    }
    if (item.size != sizeof(struct line_run))
        return weir_fail(context, WEIR_DAMAGED, "a saved position has the wrong size");
    if (!block_append(&source->runs, weir_memory(context), item.data, item.size))
        return block_none(context);
    return WEIR_OK;
}

static enum weir_result source_load(void *self, struct weir_context *context,
                                    struct weir_loader *loader, uint32_t version)
{
    struct line_source *source = self;
    enum weir_item kind;
    struct weir_bytes item;
    (void)version; /* there is one so far; newer ones are refused before this */
    while (weir_load_next(loader, &kind, &item)) {
        enum weir_result result = take_item(source, context, kind, item);
        if (result != WEIR_OK)
            return result;
    }
    if (!source->table)
        return weir_fail(context, WEIR_DAMAGED, "the checkpoint holds no list of input files");
    enum weir_result result = verify(source, context);
    if (result == WEIR_OK) {
        count_bytes(source, context);
        tell_progress(source, context);
    }
    return result;
}

/* ---------------------------------------------------------------------------------- poll -- */

static void end_split(struct line_source *source)
{
    struct line_run *run = current_run(source);
    leave_split(source);
    source->bytes_left -= split_bytes(source, run->first);
    run->first += run->stride;
    run->count--;
    run->mark = (struct line_mark){0};
    if (run->count == 0)
        source->run++;
}

/* One line, one read or one step to the next split. False when this poll has to end. */
static bool step(struct line_source *source, struct weir_context *context, struct budget *budget)
{
    struct weir_bytes line;
    if (source->run == run_count(source))
        return false;
    if (!source->reading) {
        budget->reads++;
        return start_split(source, context) == WEIR_OK;
    }
    switch (line_reader_next(&source->reader, context, source->path, &line)) {
    case LINE_FOUND:
        return budget_emit(budget, context, line) == WEIR_OK;
    case LINE_MORE:
        budget->reads++;
        return true;
    case LINE_END:
        end_split(source);
        return true;
    case LINE_FAILED:
        break;
    }
    return false;
}

static enum weir_progress source_poll(void *self, struct weir_context *context)
{
    struct line_source *source = self;
    int64_t now = source->pace.rate > 0 ? weir_now(context) : 0;
    struct budget budget = {.most = pace_ready(&source->pace, now, BUDGET_RECORDS)};
    if (source->run == run_count(source))
        return WEIR_END;
    if (budget.most == 0)
        return weir_idle(context, pace_deadline(&source->pace, now), -1);
    while (budget_is_left(&budget))
        if (!step(source, context, &budget))
            break;
    pace_take(&source->pace, budget.records);
    tell_progress(source, context);
    return source->run == run_count(source) ? WEIR_END : WEIR_MORE;
}

/* ------------------------------------------------------------------------ save and close -- */

static void note(const struct line_source *source, struct weir_saver *saver)
{
    if (source->run == run_count(source)) {
        weir_save_note(saver, "all read");
    } else if (source->reading) {
        uint64_t at = source->reader.base + source->reader.cursor;
        weir_save_note(saver, "%s %.1f of %.1f MB", path_base(source->path), (double)at / 1e6,
                       (double)source->reader.size / 1e6);
    } else {
        weir_save_note(saver, "between two splits");
    }
}

/* Cheap enough for a cut every few milliseconds: no file is touched, 4 KiB are hashed. */
static enum weir_result source_save(void *self, struct weir_context *context,
                                    struct weir_saver *saver)
{
    struct line_source *source = self;
    (void)context;
    if (source->reading)
        current_run(source)->mark = line_reader_mark(&source->reader);
    weir_save(saver, WEIR_ITEM_BROADCAST,
              (struct weir_bytes){source->table->item.data, source->table->item.size});
    for (size_t i = source->run; i < run_count(source); i++)
        weir_save(saver, WEIR_ITEM_SPLIT,
                  (struct weir_bytes){source->runs.data + i * sizeof(struct line_run),
                                      sizeof(struct line_run)});
    note(source, saver);
    return WEIR_OK;
}

static void source_close(void *self, struct weir_context *context)
{
    struct line_source *source = self;
    line_reader_free(&source->reader, weir_memory(context));
    block_free(&source->runs, weir_memory(context));
    line_table_free(source->agreed ? agreement_leave(source->config->tables) : source->table);
    source->table = NULL;
}

static const struct weir_operator line_source_table = {
    WEIR_SIZED(struct weir_operator),
    .kind = "line_source",
    .self_size = sizeof(struct line_source),
    .version = 1,
    .guarantee = WEIR_EXACTLY_ONCE,
    .open = source_open,
    .poll = source_poll,
    .save = source_save,
    .load = source_load,
    .close = source_close,
};

static struct line_source_config *keep_config(struct weir_graph *graph,
                                              const struct weir_line_source_options *options)
{
    struct line_source_config *config = weir_graph_keep(graph, NULL, sizeof *config);
    struct agreement *tables = weir_graph_keep(graph, NULL, sizeof *tables);
    const char *path = weir_graph_keep_text(graph, options->path);
    if (!config || !tables || !path)
        return NULL;
    agreement_init(tables);
    config->options = *options;
    config->options.path = path;
    config->tables = tables;
    return config;
}

weir_node weir_line_source(struct weir_graph *graph, const char *name,
                           const struct weir_line_source_options *given)
{
    struct weir_line_source_options options;
    if (!node_options(graph, name, given, &options, sizeof options))
        return NODE_NONE;
    if (!path_is_sound(options.path)) {
        weir_graph_fail(graph, "node %s: the input's path is missing, empty or too long", name);
        return NODE_NONE;
    }
    if (options.rate > PACE_RATE_LIMIT) {
        weir_graph_fail(graph, "node %s: rate is over 1000000000 records a second", name);
        return NODE_NONE;
    }
    if (options.split_bytes == 0)
        options.split_bytes = SPLIT_BYTES;
    struct line_source_config *config = keep_config(graph, &options);
    return config ? node_add(graph, name, &line_source_table, config, options.parallelism)
                  : NODE_NONE;
}
