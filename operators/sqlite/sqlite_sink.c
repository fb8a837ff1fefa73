/* SPDX-License-Identifier: Apache-2.0
 *
 * sqlite_sink: rows into an SQLite database, exactly once.
 *
 *   process -> row -> [staged file] -> prepare: sync file, sync folder, handle
 *                                   -> commit:  one transaction: rows, number; remove the file
 *
 * The first phase is that of the file sinks (stage.h), so its invariants hold here; what is staged
 * is a record file whose values are rows (row.h). It lies in the node's folder in the store, with
 * the checkpoints that name it; without a store in "<database>-weir". The second phase is in
 * database.h. The handle is text: the staged file's name.
 *
 * Rows are made in process, not in commit: a record that makes no row fails the run before it is in
 * a checkpoint, and another version of the program does not change what was already decided.
 */
#include "weir_sqlite.h"
#include "block.h"
#include "database.h"
#include "node.h"
#include "outside.h"
#include "path.h"
#include "record_block.h"
#include "row.h"
#include "stage.h"

#include <stdio.h>
#include <string.h>

#define BUSY_DEFAULT_NS (INT64_C(10) * 1000 * 1000 * 1000)
#define BUSY_LIMIT_NS (INT64_C(86400) * 1000 * 1000 * 1000)

struct sqlite_sink_config {
    struct weir_sqlite_sink_options options;
    struct database_options database;
    struct agreement *ids;
};

struct sqlite_sink {
    const struct sqlite_sink_config *config;
    struct database *database;
    unsigned parameters; /* of the statement: columns of a row */
    uint64_t published;  /* the database's `next` of this subtask */
    bool settled;        /* it was compared with the checkpoint */
    struct stage stage;
    struct record_block block; /* rows that are not in the file yet */
    struct weir_sqlite_row row;
    char folder[PATH_ROOM]; /* of the stage */
};

/* ------------------------------------------------------------------------- open and load -- */

static enum weir_result make_folder(struct sqlite_sink *sink, struct weir_context *context)
{
    struct weir_error error;
    char parent[PATH_ROOM];
    enum weir_result result;
    if (weir_store_id(context)[0] != '\0') {
        result = weir_store_folder(context, sink->folder, sizeof sink->folder, &error);
    } else {
        snprintf(sink->folder, sizeof sink->folder, "%s-weir", sink->config->options.path);
        path_parent(parent, sink->config->options.path);
        result = weir_folder_make(sink->folder, &error);
        if (result == WEIR_OK)
            result = weir_folder_sync(parent, &error);
    }
    return result == WEIR_OK ? result : weir_fail_with(context, &error);
}

/* The database is ours, its name is durable, and what a dead run staged is gone. */
static enum weir_result claim(struct sqlite_sink *sink, struct weir_context *context)
{
    struct weir_error error;
    char parent[PATH_ROOM], taken[PART_ID_SIZE], prefix[PART_NAME_ROOM];
    enum weir_result result =
        database_claim(sink->database, context, sink->stage.id, &sink->published, taken);
    if (result == WEIR_OK)
        result = database_prepare(sink->database, context, &sink->parameters);
    if (result != WEIR_OK)
        return result;
    path_parent(parent, sink->config->options.path);
    if (weir_folder_sync(parent, &error) != WEIR_OK)
        return weir_fail_with(context, &error);
    if (taken[0] == '\0')
        return WEIR_OK;
    part_staged_prefix(taken, prefix);
    return stage_clear(context, sink->folder, prefix);
}

static enum weir_result check_columns(const struct sqlite_sink *sink, struct weir_context *context)
{
    const struct weir_sqlite_sink_options *options = &sink->config->options;
    if (options->bind || sink->parameters == 3)
        return WEIR_OK;
    if (options->insert)
        return weir_fail(context, WEIR_INVALID,
                         "without bind a row is key, value and time, but the statement takes %u "
                         "parameters: %s",
                         sink->parameters, options->insert);
    return weir_fail(context, WEIR_INVALID,
                     "without bind a row is key, value and time, but table %s of database %s has "
                     "%u columns: give a statement that names three (insert), or bind",
                     options->table, options->path, sink->parameters);
}

static enum weir_result sink_open(void *self, struct weir_context *context, const void *config)
{
    struct sqlite_sink *sink = self;
    char parent[PATH_ROOM];
    sink->config = config;
    sink->row.allocator = weir_memory(context);
    path_parent(parent, sink->config->options.path);
    if (!record_block_reserve(&sink->block, weir_memory(context)))
        return block_none(context);
    enum weir_result result = stage_open(&sink->stage, context, sink->folder, sink->config->ids);
    if (result == WEIR_OK)
        result = outside_check(context, parent);
    if (result == WEIR_OK)
        result = make_folder(sink, context);
    if (result == WEIR_OK)
        result = database_open(&sink->config->database, context, &sink->database);
    if (result == WEIR_OK)
        result = claim(sink, context);
    return result == WEIR_OK ? check_columns(sink, context) : result;
}

/* That the database is not older can only be told once the recovered handles were committed. */
static enum weir_result sink_load(void *self, struct weir_context *context,
                                  struct weir_loader *loader, uint32_t version)
{
    struct sqlite_sink *sink = self;
    (void)version;
    enum weir_result result = stage_load(&sink->stage, context, loader);
    if (result != WEIR_OK)
        return result;
    uint64_t next = stage_next(&sink->stage, weir_subtask(context));
    if (sink->published > next)
        return database_refuse_newer(sink->database, context, next, sink->published);
    return WEIR_OK;
}

/* ------------------------------------------------------------------------------- process -- */

static enum weir_result settle(struct sqlite_sink *sink, struct weir_context *context)
{
    uint64_t next = stage_next(&sink->stage, weir_subtask(context));
    if (sink->settled)
        return WEIR_OK;
    if (sink->published < next)
        return database_refuse_older(sink->database, context, next, sink->published);
    sink->settled = true;
    return WEIR_OK;
}

static enum weir_result bind_bytes(struct weir_context *context, struct weir_sqlite_row *row,
                                   struct weir_bytes bytes, enum weir_sqlite_type type,
                                   const char *what)
{
    int64_t integer;
    double real;
    if (type == WEIR_SQLITE_TEXT)
        weir_sqlite_text(row, bytes);
    if (type == WEIR_SQLITE_BLOB)
        weir_sqlite_blob(row, bytes);
    if (type == WEIR_SQLITE_TEXT || type == WEIR_SQLITE_BLOB)
        return WEIR_OK;
    if (bytes.size != 8)
        return weir_fail(context, WEIR_INVALID,
                         "a record's %s has %zu bytes, and %s have 8: see %s_type", what,
                         bytes.size, type == WEIR_SQLITE_REAL ? "doubles" : "integers", what);
    memcpy(&integer, bytes.data, sizeof integer);
    memcpy(&real, bytes.data, sizeof real);
    if (type == WEIR_SQLITE_REAL)
        weir_sqlite_real(row, real);
    else
        weir_sqlite_integer(row, integer);
    return WEIR_OK;
}

static enum weir_result bind_plain(const struct sqlite_sink *sink, struct weir_context *context,
                                   struct weir_sqlite_row *row, const struct weir_record *record)
{
    const struct weir_sqlite_sink_options *options = &sink->config->options;
    enum weir_result result = bind_bytes(context, row, record->key, options->key_type, "key");
    if (result == WEIR_OK)
        result = bind_bytes(context, row, record->value, options->value_type, "value");
    if (record->time == WEIR_NO_TIME)
        weir_sqlite_null(row);
    else
        weir_sqlite_integer(row, record->time);
    return result;
}

static enum weir_result bind(struct sqlite_sink *sink, struct weir_context *context,
                             const struct weir_record *record)
{
    const struct weir_sqlite_sink_options *options = &sink->config->options;
    struct weir_sqlite_row *row = &sink->row;
    row_begin(row);
    enum weir_result result = options->bind ? options->bind(context, row, record, options->config)
                                            : bind_plain(sink, context, row, record);
    if (result != WEIR_OK)
        return weir_fail(context, result, "bind failed");
    if (row->result == WEIR_TOO_LARGE)
        return weir_fail(context, WEIR_TOO_LARGE, "a row has more than %zu bytes", ROW_LIMIT);
    if (row->result != WEIR_OK)
        return block_none(context);
    if (row->count != sink->parameters)
        return weir_fail(context, WEIR_INVALID,
                         "bind gave %u columns, and the statement for table %s takes %u",
                         row->count, options->table, sink->parameters);
    return WEIR_OK;
}

static enum weir_result sink_process(void *self, struct weir_context *context, unsigned input,
                                     const struct weir_record *record)
{
    struct sqlite_sink *sink = self;
    enum weir_result result = sink->settled ? WEIR_OK : settle(sink, context);
    (void)input;
    if (result == WEIR_OK)
        result = bind(sink, context, record);
    if (result != WEIR_OK)
        return result;
    struct weir_record row = {.value = {sink->row.bytes.data, sink->row.bytes.size},
                              .time = WEIR_NO_TIME};
    if (!record_block_add(&sink->block, weir_memory(context), &row))
        return block_none(context);
    if (!record_block_full(&sink->block))
        return WEIR_OK;
    return stage_write(&sink->stage, context, record_block_close(&sink->block));
}

/* ---------------------------------------------------------------------------- two phases -- */

static enum weir_result write_end(struct sqlite_sink *sink, struct weir_context *context)
{
    struct weir_bytes last = record_block_close(&sink->block);
    enum weir_result result = last.size > 0 ? stage_write(&sink->stage, context, last) : WEIR_OK;
    if (result != WEIR_OK)
        return result;
    struct weir_bytes end = record_block_end(&sink->block, weir_memory(context));
    return end.size > 0 ? stage_write(&sink->stage, context, end) : block_none(context);
}

static enum weir_result sink_prepare(void *self, struct weir_context *context, uint64_t id)
{
    struct sqlite_sink *sink = self;
    struct part part;
    char name[PART_NAME_ROOM];
    (void)id;
    enum weir_result result = settle(sink, context);
    if (result != WEIR_OK || record_block_unused(&sink->block))
        return result;
    result = write_end(sink, context);
    if (result == WEIR_OK)
        result = stage_seal(&sink->stage, context, &part);
    if (result != WEIR_OK)
        return result;
    part_staged_name(&part, name);
    return weir_handle(context, (struct weir_bytes){name, strlen(name)});
}

static bool parse_handle(struct weir_bytes handle, char name[PART_NAME_ROOM], struct part *part)
{
    if (handle.size >= PART_NAME_ROOM)
        return false;
    snprintf(name, PART_NAME_ROOM, "%.*s", (int)handle.size, (const char *)handle.data);
    return part_of_staged(name, part);
}

/* The rows are in the database before their file goes: a death between leaves a file that the
 * handle's next commit finds. That it is gone need not be durable. */
static enum weir_result sink_commit(void *self, struct weir_context *context,
                                    struct weir_bytes handle)
{
    struct sqlite_sink *sink = self;
    struct weir_error error;
    struct part part;
    char name[PART_NAME_ROOM], path[PATH_ROOM];
    uint64_t next = 0;
    if (!parse_handle(handle, name, &part) || strcmp(part.id, sink->stage.id) != 0)
        return weir_fail(context, WEIR_DAMAGED, "a handle makes no sense: \"%.*s\"",
                         (int)(handle.size < 200 ? handle.size : 200), (const char *)handle.data);
    path_join(path, sink->folder, name);
    enum weir_result result = database_publish(sink->database, context, &part, path, &next);
    if (result != WEIR_OK)
        return result;
    if (part.subtask == weir_subtask(context))
        sink->published = next;
    result = weir_file_remove(path, &error);
    if (result != WEIR_OK && result != WEIR_NOT_FOUND)
        return weir_fail_with(context, &error);
    return stage_settle(&sink->stage, context, &part);
}

/* ------------------------------------------------------------------------ save and close -- */

static enum weir_result sink_save(void *self, struct weir_context *context,
                                  struct weir_saver *saver)
{
    const struct sqlite_sink *sink = self;
    (void)context;
    stage_save(&sink->stage, saver);
    return WEIR_OK;
}

static void sink_close(void *self, struct weir_context *context)
{
    struct sqlite_sink *sink = self;
    stage_close(&sink->stage, context);
    database_close(&sink->database, context);
    record_block_free(&sink->block, weir_memory(context));
    block_free(&sink->row.bytes, weir_memory(context));
}

static const struct weir_operator sqlite_sink_table = {
    WEIR_SIZED(struct weir_operator),
    .kind = "sqlite_sink",
    .self_size = sizeof(struct sqlite_sink),
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

/* ----------------------------------------------------------------------------- construct -- */

/* What is wrong with the options, or NULL. */
static const char *fault_of(const struct weir_sqlite_sink_options *options)
{
    if (!path_is_sound(options->path) || strlen(options->path) + sizeof "-weir" > PATH_FOLDER_LIMIT)
        return "the database's path is missing, empty or too long";
    if (options->path[0] == ':' || strncmp(options->path, "file:", 5) == 0)
        return "the database must be a file: no :memory:, no URI";
    if (!options->table || options->table[0] == '\0')
        return "the table's name is missing";
    if (strncmp(options->table, "sqlite_", 7) == 0 || strcmp(options->table, "weir_published") == 0)
        return "the table is not one for rows";
    if ((unsigned)options->key_type > WEIR_SQLITE_REAL ||
        (unsigned)options->value_type > WEIR_SQLITE_REAL)
        return "key_type or value_type is none of the types";
    if ((unsigned)options->journal > WEIR_SQLITE_KEEP)
        return "journal is none of the modes";
    if (options->busy_timeout_ns < 0 || options->busy_timeout_ns > BUSY_LIMIT_NS)
        return "busy_timeout_ns is negative or more than a day";
    return NULL;
}

static const char *keep_text(struct weir_graph *graph, const char *text)
{
    return text ? weir_graph_keep_text(graph, text) : NULL;
}

static struct sqlite_sink_config *keep_config(struct weir_graph *graph,
                                              const struct weir_sqlite_sink_options *options)
{
    int64_t busy = options->busy_timeout_ns ? options->busy_timeout_ns : BUSY_DEFAULT_NS;
    struct sqlite_sink_config *config = weir_graph_keep(graph, NULL, sizeof *config);
    struct agreement *ids = weir_graph_keep(graph, NULL, sizeof *ids);
    if (!config || !ids)
        return NULL;
    agreement_init(ids);
    config->ids = ids;
    config->options = *options;
    config->options.path = weir_graph_keep_text(graph, options->path);
    config->options.table = weir_graph_keep_text(graph, options->table);
    config->options.create = keep_text(graph, options->create);
    config->options.insert = keep_text(graph, options->insert);
    if (!config->options.path || !config->options.table ||
        (options->create && !config->options.create) ||
        (options->insert && !config->options.insert))
        return NULL;
    config->database = (struct database_options){
        .path = config->options.path,
        .table = config->options.table,
        .create = config->options.create,
        .insert = config->options.insert,
        .wal = options->journal == WEIR_SQLITE_WAL,
        .busy_ms = (unsigned)((busy + 999999) / 1000000),
    };
    return config;
}

weir_node weir_sqlite_sink(struct weir_graph *graph, const char *name,
                           const struct weir_sqlite_sink_options *given)
{
    struct weir_sqlite_sink_options options;
    if (!node_options(graph, name, given, &options, sizeof options))
        return NODE_NONE;
    const char *fault = fault_of(&options);
    if (fault) {
        weir_graph_fail(graph, "node %s: %s", name, fault);
        return NODE_NONE;
    }
    struct sqlite_sink_config *config = keep_config(graph, &options);
    return config ? node_add(graph, name, &sqlite_sink_table, config, options.parallelism)
                  : NODE_NONE;
}
