/* SPDX-License-Identifier: Apache-2.0
 *
 * line_sink: lines into part files, exactly once. Invariants:
 *
 *   I1  A visible part is complete, durable and never touched again: it gets its name by one rename
 *       of a synced file, that never replaces another.
 *   I2  Only commit makes anything visible, and only what a handle names.
 *   I3  A staged file with a number below the saved one of its subtask was prepared for the
 *       checkpoint or before: its handle is committed already or waits. One at or above it is in no
 *       handle: its run died. So leftovers are known by their number alone.
 *   I4  A visible part with a number at or above the saved one was published by a checkpoint later
 *       than the one restored: going on would publish its lines twice. Refused.
 *   I5  I3 and I4 are looked at after the recovered handles were committed: at the first record or
 *       cut of the run.
 *
 *   process -> write -> [.staged-*] -> prepare: sync file, sync folder, handle -> commit: rename,
 *                                                                                 sync folder
 *
 * A checkpoint holds UNION items, struct line_number: the next number of each subtask. UNION,
 * because with another parallelism each subtask must find the one that was its own; those that are
 * nobody's any more are kept by subtask number modulo the parallelism. The handle is text:
 * "<staged name> <final name>", both relative to the directory, so that it may be moved.
 */
#include "weir_operators.h"
#include "agreement.h"
#include "block.h"
#include "history.h"
#include "node.h"
#include "part.h"
#include "path.h"

#include <stdio.h>
#include <string.h>

#define BUFFER_BYTES ((size_t)128 << 10)

struct line_number {
    uint64_t next;
    uint32_t subtask;
    uint32_t zero;
};
_Static_assert(sizeof(struct line_number) == 16, "saved in checkpoints");

struct line_sink_config {
    struct weir_line_sink_options options;
    struct agreement *ids; /* of the run, when there is no store: char[PART_ID_SIZE] */
};

struct line_sink {
    const struct line_sink_config *config;
    char *run_id; /* agreed; NULL with a store */
    struct history history;
    bool settled;           /* I5 is done */
    struct block numbers;   /* of struct line_number; the first is this subtask's own */
    struct block buffer;    /* lines that are not in the file yet */
    struct weir_file *file; /* staged and open; NULL: nothing written since the last prepare */
    char staged[PATH_ROOM]; /* its path */
};

static struct line_number *own_number(const struct line_sink *sink)
{
    return (void *)sink->numbers.data;
}

static size_t number_count(const struct line_sink *sink)
{
    return sink->numbers.size / sizeof(struct line_number);
}

/* ------------------------------------------------------------------------- open and load -- */

/* An id for a run without a store: the first subtask's is everybody's. */
static enum weir_result agree_on_id(struct line_sink *sink, struct weir_context *context)
{
    char *mine = block_take(weir_memory(context), PART_ID_SIZE);
    if (!mine)
        return block_none(context);
    snprintf(mine, PART_ID_SIZE, "%016llx%016llx", (unsigned long long)weir_random(context),
             (unsigned long long)weir_random(context));
    sink->run_id = agreement_join(sink->config->ids, mine);
    if (sink->run_id != mine)
        block_drop(weir_memory(context), mine);
    return WEIR_OK;
}

static enum weir_result sink_open(void *self, struct weir_context *context, const void *config)
{
    struct line_sink *sink = self;
    struct line_number own = {.subtask = weir_subtask(context)};
    const char *id = weir_store_id(context);
    sink->config = config;
    if (!block_append(&sink->numbers, weir_memory(context), &own, sizeof own) ||
        !block_reserve(&sink->buffer, weir_memory(context), BUFFER_BYTES))
        return block_none(context);
    if (id[0] == '\0') {
        enum weir_result result = agree_on_id(sink, context);
        if (result != WEIR_OK)
            return result;
        id = sink->run_id;
    }
    return history_claim(&sink->history, context, sink->config->options.path, id);
}

static bool is_ours(const struct weir_context *context, uint32_t subtask)
{
    return subtask % weir_parallelism(context) == weir_subtask(context);
}

static enum weir_result sink_load(void *self, struct weir_context *context,
                                  struct weir_loader *loader, uint32_t version)
{
    struct line_sink *sink = self;
    enum weir_item kind;
    struct weir_bytes item;
    struct line_number number;
    (void)version;
    while (weir_load_next(loader, &kind, &item)) {
        if (item.size != sizeof number)
            return weir_fail(context, WEIR_DAMAGED, "a saved part number has the wrong size");
        memcpy(&number, item.data, sizeof number);
        if (number.subtask == weir_subtask(context))
            *own_number(sink) = number;
        else if (is_ours(context, number.subtask) &&
                 !block_append(&sink->numbers, weir_memory(context), &number, sizeof number))
            return block_none(context);
    }
    return WEIR_OK;
}

/* ------------------------------------------------------------------------- settling (I5) -- */

struct survey {
    const struct line_sink *sink;
    const struct weir_context *context;
    char newer[PATH_NAME_LIMIT + 1];    /* a visible part of I4, or empty */
    char leftover[PATH_NAME_LIMIT + 1]; /* a staged file of I3, or empty */
};

static uint64_t next_of(const struct line_sink *sink, uint32_t subtask)
{
    const struct line_number *number = own_number(sink);
    for (size_t i = 0; i < number_count(sink); i++)
        if (number[i].subtask == subtask)
            return number[i].next;
    return 0;
}

static bool is_newer(const struct survey *survey, const struct part *part)
{
    return is_ours(survey->context, part->subtask) &&
           part->number >= next_of(survey->sink, part->subtask);
}

static bool survey_name(void *survey_, const char *name)
{
    struct survey *survey = survey_;
    struct part part;
    if (part_of_final(name, &part) && is_newer(survey, &part)) {
        snprintf(survey->newer, sizeof survey->newer, "%s", name);
        return false;
    }
    if (part_of_staged(name, &part) && is_newer(survey, &part) &&
        strcmp(part.id, survey->sink->history.id) == 0 && part.epoch < weir_epoch(survey->context))
        snprintf(survey->leftover, sizeof survey->leftover, "%s", name);
    return true;
}

static enum weir_result remove_leftover(const struct line_sink *sink, struct weir_context *context,
                                        const char *name)
{
    char path[PATH_ROOM];
    struct weir_error error;
    path_join(path, sink->history.folder, name);
    enum weir_result result = weir_file_remove(path, &error);
    return result == WEIR_OK || result == WEIR_NOT_FOUND ? WEIR_OK
                                                         : weir_fail_with(context, &error);
}

static enum weir_result refuse_newer(const struct line_sink *sink, struct weir_context *context,
                                     const char *name)
{
    return weir_fail(context, WEIR_REFUSED,
                     "output directory %s holds %s, published after the checkpoint this run was "
                     "restored from; its lines would come twice: restore the latest checkpoint, or "
                     "move subtask %u's parts from number %llu on away first",
                     sink->history.folder, name, weir_subtask(context),
                     (unsigned long long)own_number(sink)->next);
}

/* One listing per leftover, for a folder should not change while it is listed. */
static enum weir_result settle(struct line_sink *sink, struct weir_context *context)
{
    struct weir_error error;
    while (!sink->settled) {
        struct survey survey = {.sink = sink, .context = context};
        enum weir_result result =
            weir_folder_list(sink->history.folder, survey_name, &survey, &error);
        if (result != WEIR_OK)
            return weir_fail_with(context, &error);
        if (survey.newer[0] != '\0')
            return refuse_newer(sink, context, survey.newer);
        sink->settled = survey.leftover[0] == '\0';
        if (!sink->settled)
            result = remove_leftover(sink, context, survey.leftover);
        if (result != WEIR_OK)
            return result;
    }
    return WEIR_OK;
}

/* --------------------------------------------------------------------------------- write -- */

static struct part current_part(const struct line_sink *sink, const struct weir_context *context)
{
    struct part part = {
        .epoch = weir_epoch(context),
        .subtask = weir_subtask(context),
        .number = own_number(sink)->next,
    };
    memcpy(part.id, sink->history.id, sizeof part.id);
    return part;
}

/* Moves the buffer into the staged file, which is made when there is none. */
static enum weir_result flush(struct line_sink *sink, struct weir_context *context)
{
    struct weir_error error;
    enum weir_result result = WEIR_OK;
    if (sink->buffer.size == 0)
        return WEIR_OK;
    if (!sink->file) {
        char name[PART_NAME_ROOM];
        struct part part = current_part(sink, context);
        part_staged_name(&part, name);
        path_join(sink->staged, sink->history.folder, name);
        result = weir_file_open(weir_memory(context), sink->staged, WEIR_OPEN_CREATE, &sink->file,
                                &error);
    }
    if (result == WEIR_OK)
        result = weir_file_write(sink->file,
                                 (struct weir_bytes){sink->buffer.data, sink->buffer.size}, &error);
    sink->buffer.size = 0;
    return result == WEIR_OK ? result : weir_fail_with(context, &error);
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
    enum weir_result result = settle(sink, context);
    (void)input;
    if (result != WEIR_OK)
        return result;
    size_t size = format(sink, record);
    if (size >= sink->buffer.room - sink->buffer.size) { /* no room for it and its newline */
        result = flush(sink, context);
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

/* Everything staged becomes durable, name included, before the handle exists. */
static enum weir_result seal(struct line_sink *sink, struct weir_context *context)
{
    struct weir_error error;
    enum weir_result result = weir_file_sync(sink->file, &error);
    if (result == WEIR_OK)
        result = weir_file_close(&sink->file, &error);
    if (result == WEIR_OK)
        result = weir_folder_sync(sink->history.folder, &error);
    return result == WEIR_OK ? result : weir_fail_with(context, &error);
}

static enum weir_result sink_prepare(void *self, struct weir_context *context, uint64_t id)
{
    struct line_sink *sink = self;
    char staged[PART_NAME_ROOM], final[PART_NAME_ROOM], handle[2 * PART_NAME_ROOM];
    (void)id;
    enum weir_result result = settle(sink, context);
    if (result == WEIR_OK)
        result = flush(sink, context);
    if (result != WEIR_OK || !sink->file)
        return result;
    result = seal(sink, context);
    if (result != WEIR_OK)
        return result;
    struct part part = current_part(sink, context);
    part_staged_name(&part, staged);
    part_final_name(&part, final);
    int size = snprintf(handle, sizeof handle, "%s %s", staged, final);
    own_number(sink)->next++;
    return weir_handle(context, (struct weir_bytes){handle, (size_t)size});
}

/* The two names of a handle, each of the form this file gives them. */
static bool parse_handle(struct weir_bytes handle, char staged[PART_NAME_ROOM],
                         char final[PART_NAME_ROOM])
{
    const char *space = handle.size > 0 ? memchr(handle.data, ' ', handle.size) : NULL;
    struct part from, to;
    if (!space)
        return false;
    size_t left = (size_t)(space - (const char *)handle.data), right = handle.size - left - 1;
    if (left >= PART_NAME_ROOM || right >= PART_NAME_ROOM)
        return false;
    snprintf(staged, PART_NAME_ROOM, "%.*s", (int)left, (const char *)handle.data);
    snprintf(final, PART_NAME_ROOM, "%.*s", (int)right, space + 1);
    return part_of_staged(staged, &from) && part_of_final(final, &to) &&
           from.subtask == to.subtask && from.number == to.number;
}

/* The folder is synced even when there was nothing to rename: an earlier rename may have been seen
 * and not yet be durable. */
static enum weir_result sink_commit(void *self, struct weir_context *context,
                                    struct weir_bytes handle)
{
    struct line_sink *sink = self;
    struct weir_error error;
    char staged[PART_NAME_ROOM], final[PART_NAME_ROOM], from[PATH_ROOM], to[PATH_ROOM];
    if (!parse_handle(handle, staged, final))
        return weir_fail(context, WEIR_DAMAGED, "a handle makes no sense: \"%.*s\"",
                         (int)(handle.size < 200 ? handle.size : 200), (const char *)handle.data);
    enum weir_result result = history_check(&sink->history, context);
    if (result != WEIR_OK)
        return result;
    path_join(from, sink->history.folder, staged);
    path_join(to, sink->history.folder, final);
    result = part_publish(context, from, to);
    if (result == WEIR_OK && weir_folder_sync(sink->history.folder, &error) != WEIR_OK)
        result = weir_fail_with(context, &error);
    return result;
}

/* ------------------------------------------------------------------------ save and close -- */

static enum weir_result sink_save(void *self, struct weir_context *context,
                                  struct weir_saver *saver)
{
    const struct line_sink *sink = self;
    const struct line_number *number = own_number(sink);
    (void)context;
    for (size_t i = 0; i < number_count(sink); i++)
        weir_save(saver, WEIR_ITEM_UNION, (struct weir_bytes){&number[i], sizeof number[i]});
    weir_save_note(saver, "%llu parts", (unsigned long long)number->next);
    return WEIR_OK;
}

/* What was not prepared is in no handle, and the input it came from will be read again. */
static void sink_close(void *self, struct weir_context *context)
{
    struct line_sink *sink = self;
    bool unprepared = sink->file != NULL;
    weir_file_close(&sink->file, NULL);
    if (unprepared && weir_file_remove(sink->staged, NULL) != WEIR_OK)
        weir_log(context, "%s is left over; a later run removes it", sink->staged);
    if (sink->run_id)
        block_drop(weir_memory(context), agreement_leave(sink->config->ids));
    block_free(&sink->numbers, weir_memory(context));
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
