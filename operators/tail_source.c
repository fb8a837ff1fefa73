/* SPDX-License-Identifier: Apache-2.0
 *
 * tail_source: the lines of a file that grows and is rotated by renaming, exactly once. Invariants:
 *
 *   T1  The position is a file, known by inode and fingerprints, and an offset in it; all files
 *       before it in the order of rotation.h are read, or were there before the first start.
 *   T2  A file is left only when its writer has left it: some newer file holds bytes (or the input
 *       has ended), that was seen, and after that the file was read to its end.
 *   T3  The next file is the very next one. When that can't be said, the source waits, and fails
 *       after PATIENCE_NS: it never guesses.
 *       A live file that has not been made yet is no such case: nothing is written after the last
 *       rotated one, which is waited at as at the live one.
 *   T4  A line without newline comes out only when its file is left or the input has ended.
 *
 *   reading --at its end--> a newer one written, or the end file there? --no--> idle
 *                                                                       --yes--> last reading
 *   last reading --at its end--> the rest of the line --> open the next, reading; or END
 *
 * "Last reading" is not saved: a restart finds out again. A checkpoint holds one SPLIT item, struct
 * growing_mark.
 */
#include "weir_operators.h"
#include "budget.h"
#include "growing_file.h"
#include "node.h"
#include "pace.h"
#include "rotation.h"

#include <string.h>

#define INTERVAL_NS INT64_C(50000000)
#define PATIENCE_NS INT64_C(5000000000) /* with names that make no sense */
#define LOOKS 5                         /* at a restart, for the same reason */

struct tail_source {
    const struct weir_tail_source_options *options;
    struct rotation rotation;
    struct growing_file growing;
    char path[PATH_ROOM]; /* of the open file when it was opened, for messages */
    bool leaving;         /* its writer has left it: this is the last reading of it */
    bool ending;          /* the end file was seen: the same, of all files */
    int64_t unsettled_ns; /* since when the next file can't be told; 0: it can */
    struct pace pace;
};

/* ------------------------------------------------------------------------- open and load -- */

static enum weir_result refuse_packed(struct weir_context *context, const char *path)
{
    return weir_fail(context, WEIR_REFUSED,
                     "input %s has lines that were not read, and is packed; unpack it, and let "
                     "files be packed one rotation later",
                     path);
}

/* WEIR_NOT_FOUND: it has been renamed since the look. */
static enum weir_result open_file(struct tail_source *source, struct weir_context *context,
                                  const struct rotation_file *file)
{
    char path[PATH_ROOM];
    rotation_path(&source->rotation, file, path);
    if (file->packed)
        return refuse_packed(context, path);
    memcpy(source->path, path, sizeof path);
    return growing_open(&source->growing, context, path, file->device, file->inode);
}

/* The file that a first start begins with. */
static enum weir_result open_first(struct tail_source *source, struct weir_context *context)
{
    enum weir_result result = WEIR_NOT_FOUND;
    for (unsigned i = 0; i < LOOKS && result == WEIR_NOT_FOUND; i++) {
        result = rotation_look(&source->rotation, context);
        size_t count = rotation_count(&source->rotation);
        if (result != WEIR_OK)
            return result;
        size_t first = source->options->rotated ? 0 : count - 1;
        bool live = count > 0 && rotation_at(&source->rotation, count - 1)->number == 0;
        result = live ? open_file(source, context, rotation_at(&source->rotation, first))
                      : WEIR_NOT_FOUND;
    }
    if (result == WEIR_NOT_FOUND)
        return weir_fail(context, result,
                         "input %s is not there; it may be empty, but a first start begins with it",
                         source->options->path);
    return result;
}

static enum weir_result source_open(void *self, struct weir_context *context, const void *config)
{
    struct tail_source *source = self;
    source->options = config;
    rotation_init(&source->rotation, source->options->path);
    pace_start(&source->pace, source->options->rate, 0, 1, weir_now(context));
    return weir_restored(context) ? WEIR_OK : open_first(source, context);
}

/* WEIR_NOT_FOUND: none of the files fits; *other then says whether one has the inode, but not the
 * bytes. */
static enum weir_result find_mark(struct tail_source *source, struct weir_context *context,
                                  const struct growing_mark *mark, bool *other)
{
    enum weir_result result = rotation_look(&source->rotation, context);
    for (size_t i = 0; result == WEIR_OK && i < rotation_count(&source->rotation); i++) {
        const struct rotation_file *file = rotation_at(&source->rotation, i);
        if (file->inode != mark->inode || file->packed)
            continue;
        *other = true;
        if (file->device != mark->device && mark->position == 0)
            continue; /* devices may be numbered anew, but then bytes must prove it */
        result = file->size < mark->position ? WEIR_REFUSED : open_file(source, context, file);
        if (result == WEIR_OK)
            result = growing_resume(&source->growing, context, source->path, mark);
        if (result == WEIR_OK)
            return WEIR_OK;
        growing_close(&source->growing);
        if (result == WEIR_REFUSED || result == WEIR_NOT_FOUND)
            result = WEIR_OK;
    }
    return result == WEIR_OK ? WEIR_NOT_FOUND : result;
}

static enum weir_result resume(struct tail_source *source, struct weir_context *context,
                               const struct growing_mark *mark)
{
    enum weir_result result = WEIR_NOT_FOUND;
    bool other = false;
    for (unsigned i = 0; i < LOOKS && result == WEIR_NOT_FOUND; i++)
        result = find_mark(source, context, mark, &other);
    if (result != WEIR_NOT_FOUND)
        return result;
    return weir_fail(
        context, WEIR_REFUSED,
        "input %s: the file that the checkpoint stands in (inode %llu, byte %llu) is "
        "%s; lines of it would be lost: put it back unpacked and unchanged, under "
        "this name or a rotated one, or start afresh without the checkpoint",
        source->options->path, (unsigned long long)mark->inode, (unsigned long long)mark->position,
        other ? "shorter than that or holds other bytes" : "gone, from the rotated ones too");
}

static enum weir_result source_load(void *self, struct weir_context *context,
                                    struct weir_loader *loader, uint32_t version)
{
    struct tail_source *source = self;
    enum weir_item kind;
    struct weir_bytes item;
    struct growing_mark mark;
    (void)version; /* there is one so far; newer ones are refused before this */
    if (!weir_load_next(loader, &kind, &item))
        return weir_fail(context, WEIR_DAMAGED, "the checkpoint holds no position in the input");
    if (item.size != sizeof mark)
        return weir_fail(context, WEIR_DAMAGED, "a saved position has the wrong size");
    memcpy(&mark, item.data, sizeof mark);
    if (!growing_mark_is_sound(&mark))
        return weir_fail(context, WEIR_DAMAGED, "a saved position makes no sense");
    return resume(source, context, &mark);
}

/* ---------------------------------------------------------------------------------- poll -- */

static enum weir_progress fail_unsettled(const struct tail_source *source,
                                         struct weir_context *context)
{
    weir_fail(
        context, WEIR_REFUSED,
        "input %s: what was written after %s (inode %llu) can't be told from the names of the "
        "rotated files: one is missing or was renamed against the order; put it back, or start "
        "afresh without the checkpoint",
        source->options->path, source->path, (unsigned long long)source->growing.inode);
    return WEIR_IDLE;
}

static enum weir_progress rest(const struct tail_source *source, struct weir_context *context)
{
    return weir_idle(context, weir_now(context) + source->options->poll_ns, -1);
}

/* The next file can't be told now; a rename takes a moment, but not long. */
static enum weir_progress wait_for_names(struct tail_source *source, struct weir_context *context)
{
    int64_t now = weir_now(context);
    if (source->unsettled_ns == 0)
        source->unsettled_ns = now;
    return now - source->unsettled_ns > PATIENCE_NS ? fail_unsettled(source, context)
                                                    : rest(source, context);
}

static enum weir_progress look_for_end(struct tail_source *source, struct weir_context *context)
{
    struct weir_error error;
    struct weir_file_status status;
    if (!source->options->end_file)
        return WEIR_IDLE;
    enum weir_result result = weir_file_status(source->options->end_file, &status, &error);
    if (result == WEIR_NOT_FOUND)
        return WEIR_IDLE;
    if (result == WEIR_OK)
        source->ending = true;
    else
        weir_fail_with(context, &error);
    return result == WEIR_OK ? WEIR_MORE : WEIR_IDLE;
}

static void emit_last(struct tail_source *source, struct weir_context *context,
                      struct budget *budget)
{
    struct weir_bytes line;
    if (!growing_last(&source->growing, &line))
        return;
    budget_emit(budget, context, line);
}

/* T2, T3: the file was read to its end. WEIR_MORE: go on, here or in the next. */
static enum weir_progress leave(struct tail_source *source, struct weir_context *context,
                                struct budget *budget)
{
    struct rotation_step step;
    bool last_reading = source->leaving || source->ending;
    budget->reads++;
    switch (rotation_next(&source->rotation, context, source->growing.device, source->growing.inode,
                          &step)) {
    case ROTATION_LIVE:
    case ROTATION_LAST:
        source->unsettled_ns = 0;
        source->leaving = false; /* T2: the newer one that was seen is gone */
        if (!source->ending)
            return look_for_end(source, context);
        emit_last(source, context, budget);
        return WEIR_END;
    case ROTATION_FOLLOWED:
        source->unsettled_ns = 0;
        if (!last_reading) {
            source->leaving = step.written;
            return step.written ? WEIR_MORE : look_for_end(source, context);
        }
        emit_last(source, context, budget);
        switch (open_file(source, context, step.next)) {
        case WEIR_OK:
            source->leaving = false;
            return WEIR_MORE;
        case WEIR_NOT_FOUND: /* renamed since */
            return WEIR_MORE;
        default:
            return WEIR_IDLE;
        }
    case ROTATION_UNSETTLED:
        return wait_for_names(source, context);
    case ROTATION_FAILED:
        break;
    }
    return WEIR_IDLE;
}

/* One line, one read or one look. WEIR_MORE: go on. */
static enum weir_progress step(struct tail_source *source, struct weir_context *context,
                               struct budget *budget)
{
    struct weir_bytes line;
    switch (growing_next(&source->growing, context, source->path, &line)) {
    case GROWING_LINE:
        budget_emit(budget, context, line);
        return WEIR_MORE;
    case GROWING_MORE:
        budget->reads++;
        return WEIR_MORE;
    case GROWING_WAIT:
        return leave(source, context, budget);
    case GROWING_FAILED:
        break;
    }
    return WEIR_IDLE;
}

static enum weir_progress source_poll(void *self, struct weir_context *context)
{
    struct tail_source *source = self;
    enum weir_progress progress = WEIR_MORE;
    int64_t now = source->pace.rate > 0 ? weir_now(context) : 0;
    struct budget budget = {.most = pace_ready(&source->pace, now, BUDGET_RECORDS)};
    if (budget.most == 0)
        return weir_idle(context, pace_deadline(&source->pace, now), -1);
    while (progress == WEIR_MORE && budget_is_left(&budget))
        progress = step(source, context, &budget);
    pace_take(&source->pace, budget.records);
    return progress == WEIR_IDLE ? rest(source, context) : progress;
}

/* ------------------------------------------------------------------------ save and close -- */

static enum weir_result source_save(void *self, struct weir_context *context,
                                    struct weir_saver *saver)
{
    const struct tail_source *source = self;
    struct growing_mark mark = growing_mark(&source->growing);
    (void)context;
    weir_save(saver, WEIR_ITEM_SPLIT, (struct weir_bytes){&mark, sizeof mark});
    weir_save_note(saver, "%s %.1f MB, inode %llu", path_base(source->options->path),
                   (double)mark.position / 1e6, (unsigned long long)mark.inode);
    return WEIR_OK;
}

static void source_close(void *self, struct weir_context *context)
{
    struct tail_source *source = self;
    growing_free(&source->growing, weir_memory(context));
    rotation_free(&source->rotation, weir_memory(context));
}

static const struct weir_operator tail_source_table = {
    WEIR_SIZED(struct weir_operator),
    .kind = "tail_source",
    .self_size = sizeof(struct tail_source),
    .version = 1,
    .guarantee = WEIR_EXACTLY_ONCE,
    .open = source_open,
    .poll = source_poll,
    .save = source_save,
    .load = source_load,
    .close = source_close,
};

/* Text options become the graph's. */
static bool keep_text(struct weir_graph *graph, const char **text)
{
    if (*text)
        *text = weir_graph_keep_text(graph, *text);
    return *text != NULL;
}

weir_node weir_tail_source(struct weir_graph *graph, const char *name,
                           const struct weir_tail_source_options *given)
{
    struct weir_tail_source_options options;
    if (!node_options(graph, name, given, &options, sizeof options))
        return NODE_NONE;
    size_t path = path_is_sound(options.path) ? strlen(options.path) : 0;
    if (path == 0 || options.path[path - 1] == '/') {
        weir_graph_fail(graph, "node %s: the input's path is missing, too long or a folder's",
                        name);
        return NODE_NONE;
    }
    if (strlen(path_base(options.path)) > PATH_NAME_LIMIT ||
        (options.end_file && !path_is_sound(options.end_file))) {
        weir_graph_fail(graph, "node %s: the input's name or the end file's path is too long",
                        name);
        return NODE_NONE;
    }
    if (options.rate > PACE_RATE_LIMIT || options.poll_ns < 0) {
        weir_graph_fail(graph,
                        "node %s: rate is over 1000000000 records a second, or poll_ns is "
                        "negative",
                        name);
        return NODE_NONE;
    }
    if (options.poll_ns == 0)
        options.poll_ns = INTERVAL_NS;
    if (!keep_text(graph, &options.path) ||
        (options.end_file && !keep_text(graph, &options.end_file)))
        return NODE_NONE;
    const void *config = weir_graph_keep(graph, &options, sizeof options);
    return config ? node_add(graph, name, &tail_source_table, config, 1) : NODE_NONE;
}
