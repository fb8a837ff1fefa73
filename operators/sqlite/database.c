/* SPDX-License-Identifier: Apache-2.0 */
#include "database.h"
#include "block.h"
#include "row.h"
#include "weir_sinks.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#define OWNER_ROOM 48 /* "store " and 32 hex digits */
#define RUN "run "

struct database {
    const struct database_options *options; /* borrowed */
    sqlite3 *handle;
    sqlite3_stmt *insert; /* one row */
    sqlite3_stmt *find;   /* (target, subtask) -> history, node, next */
    sqlite3_stmt *advance;
    char owner[OWNER_ROOM];
    int waited_ms; /* for the lock that is wanted now */
};

/* -------------------------------------------------------------------------------- errors -- */

/* An error in the user's SQL is found before the statement is prepared, or with data in hand. */
static enum weir_result code_of(const struct database *database, int answer)
{
    switch (answer & 0xff) {
    case SQLITE_NOMEM:
        return WEIR_NO_MEMORY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return WEIR_DAMAGED;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return WEIR_TIMEOUT;
    case SQLITE_IOERR:
    case SQLITE_FULL:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return WEIR_IO;
    case SQLITE_ERROR:
        return database->find ? WEIR_FAILED : WEIR_INVALID;
    default:
        return WEIR_FAILED;
    }
}

static const char *advice(int answer)
{
    switch (answer & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return "; another program holds it: let that one finish, or wait longer (busy_timeout_ns)";
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
        return "; change the table or the statement and start again, the rows wait in the store";
    case SQLITE_FULL:
        return "; make room and start again";
    case SQLITE_CANTOPEN:
        return "; see that its folder is there and may be written to";
    default:
        return "";
    }
}

/* Ends the transaction, if there is one. */
static enum weir_result give_up(struct database *database, enum weir_result result)
{
    if (database->handle && !sqlite3_get_autocommit(database->handle))
        sqlite3_exec(database->handle, "ROLLBACK", NULL, NULL, NULL);
    return result;
}

/* Fails the run with what SQLite says about the last call. */
static enum weir_result refuse(struct database *database, struct weir_context *context, int answer,
                               const char *doing)
{
    const char *text = database->handle ? sqlite3_errmsg(database->handle) : sqlite3_errstr(answer);
    return give_up(database, weir_fail(context, code_of(database, answer),
                                       "database %s, table %s: %s: %s (SQLite code %d)%s",
                                       database->options->path, database->options->table, doing,
                                       text, answer, advice(answer)));
}

/* SQLite's own waiting goes up to steps of 100 ms; with several subtasks and short checkpoints,
 * locks are held for some milliseconds and wanted at once (README.md has the figures). */
static int wait_for_lock(void *database_, int count)
{
    struct database *database = database_;
    if (count == 0)
        database->waited_ms = 0;
    if (database->waited_ms >= (int)database->options->busy_ms)
        return 0;
    database->waited_ms += sqlite3_sleep(count < 20 ? 1 : 5);
    return 1;
}

/* ------------------------------------------------------------------------------- helpers -- */

static int prepare(struct database *database, const char *sql, sqlite3_stmt **statement)
{
    return sqlite3_prepare_v3(database->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, statement,
                              NULL);
}

static int run(struct database *database, const char *sql)
{
    return sqlite3_exec(database->handle, sql, NULL, NULL, NULL);
}

/* A place in weir_published, as all statements about it number their parameters: ?1 target,
 * ?2 history, ?3 node, ?4 subtask. Binds as many as the statement has. */
static int bind_place(const struct database *database, const struct weir_context *context,
                      sqlite3_stmt *statement, uint32_t subtask)
{
    const char *texts[] = {database->options->table, database->owner, weir_node_name(context)};
    int count = sqlite3_bind_parameter_count(statement), answer = SQLITE_OK;
    for (int i = 0; i < 3 && i < count && answer == SQLITE_OK; i++)
        answer = sqlite3_bind_text(statement, i + 1, texts[i], -1, SQLITE_TRANSIENT);
    if (count >= 4 && answer == SQLITE_OK)
        answer = sqlite3_bind_int64(statement, 4, subtask);
    return answer;
}

/* Runs a statement about this subtask's place once. *found: whether it gave a row, and then
 * *number is its first column. */
static int run_once(struct database *database, const struct weir_context *context, const char *sql,
                    bool *found, int64_t *number)
{
    sqlite3_stmt *statement = NULL;
    int answer = prepare(database, sql, &statement);
    if (answer == SQLITE_OK)
        answer = bind_place(database, context, statement, weir_subtask(context));
    if (answer == SQLITE_OK)
        answer = sqlite3_step(statement);
    *found = answer == SQLITE_ROW;
    if (*found)
        *number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return answer == SQLITE_ROW || answer == SQLITE_DONE ? SQLITE_OK : answer;
}

/* ------------------------------------------------------------------------ open and close -- */

/* Changing the mode wants the database for itself, and SQLite does not always wait for that. */
static int enter_wal(struct database *database)
{
    int answer = run(database, "PRAGMA journal_mode = WAL"), waited_ms = 0;
    while ((answer & 0xff) == SQLITE_BUSY && waited_ms < (int)database->options->busy_ms) {
        waited_ms += sqlite3_sleep(1) + database->waited_ms;
        answer = run(database, "PRAGMA journal_mode = WAL");
    }
    return answer;
}

static enum weir_result set_up(struct database *database, struct weir_context *context)
{
    sqlite3_extended_result_codes(database->handle, 1);
    int answer = sqlite3_busy_handler(database->handle, wait_for_lock, database);
    if (answer == SQLITE_OK)
        answer = run(database, "PRAGMA synchronous = EXTRA"); /* D1 */
    if (answer == SQLITE_OK && database->options->wal)
        answer = enter_wal(database);
    return answer == SQLITE_OK ? WEIR_OK : refuse(database, context, answer, "opening it");
}

enum weir_result database_open(const struct database_options *options, struct weir_context *context,
                               struct database **database)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    if (!sqlite3_threadsafe())
        return weir_fail(context, WEIR_UNSUPPORTED,
                         "this SQLite library was built without threads");
    *database = block_take(weir_memory(context), sizeof **database);
    if (!*database)
        return block_none(context);
    (*database)->options = options;
    int answer = sqlite3_open_v2(options->path, &(*database)->handle, flags, NULL);
    if (answer != SQLITE_OK)
        return refuse(*database, context, answer, "opening it");
    return set_up(*database, context);
}

void database_close(struct database **database, struct weir_context *context)
{
    struct database *gone = *database;
    if (!gone)
        return;
    sqlite3_finalize(gone->insert);
    sqlite3_finalize(gone->find);
    sqlite3_finalize(gone->advance);
    sqlite3_close(gone->handle);
    block_drop(weir_memory(context), gone);
    *database = NULL;
}

/* --------------------------------------------------------------------------------- claim -- */

static enum weir_result refuse_owner(struct database *database, struct weir_context *context,
                                     const char *history, const char *node)
{
    const struct database_options *options = database->options;
    if (strcmp(history, database->owner) == 0)
        return weir_fail(context, WEIR_REFUSED,
                         "table %s of database %s belongs to node %s of the same job: give each "
                         "sink a table of its own (a node that was renamed is another one)",
                         options->table, options->path, node);
    return weir_fail(context, WEIR_REFUSED,
                     "table %s of database %s holds rows of another history (\"%s node %s\", this "
                     "one is \"%s node %s\"): start from its store, or name another table",
                     options->table, options->path, history, node, database->owner,
                     weir_node_name(context));
}

static enum weir_result refuse_afresh(struct database *database, struct weir_context *context)
{
    return weir_fail(context, WEIR_REFUSED,
                     "table %s of database %s holds rows of this store, and this start does not "
                     "continue the run that put them there: restore its latest checkpoint, or name "
                     "another table",
                     database->options->table, database->options->path);
}

static enum weir_result refuse_unknown(struct database *database, struct weir_context *context)
{
    return weir_fail(context, WEIR_REFUSED,
                     "%s is not the database that the checkpoint's run wrote to: its "
                     "weir_published does not know table %s",
                     database->options->path, database->options->table);
}

/* What weir_published says of the target. */
struct owners {
    bool ours, published, theirs_published;
    char history[OWNER_ROOM], node[72]; /* of one that is not ours */
};

static int read_owners(struct database *database, const struct weir_context *context,
                       struct owners *owners)
{
    sqlite3_stmt *statement = NULL;
    int answer = prepare(
        database, "SELECT history, node, next FROM weir_published WHERE target = ?1", &statement);
    if (answer == SQLITE_OK)
        answer = bind_place(database, context, statement, 0);
    while (answer == SQLITE_OK && (answer = sqlite3_step(statement)) == SQLITE_ROW) {
        const char *history = (const char *)sqlite3_column_text(statement, 0);
        const char *node = (const char *)sqlite3_column_text(statement, 1);
        bool published = sqlite3_column_int64(statement, 2) > 0;
        answer = history && node ? SQLITE_OK : SQLITE_NOMEM;
        if (answer != SQLITE_OK)
            break;
        if (strcmp(history, database->owner) == 0 && strcmp(node, weir_node_name(context)) == 0) {
            owners->ours = true;
            owners->published |= published;
            continue;
        }
        owners->theirs_published |= published;
        snprintf(owners->history, sizeof owners->history, "%s", history);
        snprintf(owners->node, sizeof owners->node, "%s", node);
    }
    sqlite3_finalize(statement);
    return answer == SQLITE_DONE ? SQLITE_OK : answer;
}

static bool is_dead_run(const struct owners *owners)
{
    return strncmp(owners->history, RUN, strlen(RUN)) == 0 && !owners->theirs_published;
}

/* D3, the table row by row. */
static enum weir_result judge(struct database *database, struct weir_context *context,
                              const struct owners *owners)
{
    if (owners->history[0] != '\0' && (weir_restored(context) || !is_dead_run(owners)))
        return refuse_owner(database, context, owners->history, owners->node);
    if (weir_restored(context) && !owners->ours)
        return refuse_unknown(database, context);
    if (!weir_restored(context) && owners->published)
        return refuse_afresh(database, context);
    return WEIR_OK;
}

/* Enters this subtask, if it is not there, and forgets a run that died. */
static int enter(struct database *database, const struct weir_context *context, uint64_t *next)
{
    bool found;
    int64_t number = 0;
    int answer =
        run_once(database, context,
                 "DELETE FROM weir_published WHERE target = ?1 AND history <> ?2", &found, &number);
    if (answer == SQLITE_OK)
        answer = run_once(database, context,
                          "INSERT OR IGNORE INTO weir_published VALUES (?1, ?2, ?3, ?4, 0)", &found,
                          &number);
    if (answer == SQLITE_OK)
        answer = run_once(database, context,
                          "SELECT next FROM weir_published WHERE target = ?1 AND history = ?2 AND "
                          "node = ?3 AND subtask = ?4",
                          &found, &number);
    *next = (uint64_t)number;
    return answer;
}

/* Both tables are there when this is over: ours and, made by the user's SQL, the target. */
static enum weir_result make_tables(struct database *database, struct weir_context *context)
{
    static const char target[] = "SELECT 1 FROM sqlite_master WHERE type IN ('table', 'view') AND "
                                 "name = ?1 COLLATE NOCASE";
    bool found = false;
    int64_t number;
    int answer = run(database, "CREATE TABLE IF NOT EXISTS weir_published ("
                               "target TEXT NOT NULL COLLATE NOCASE, history TEXT NOT NULL, "
                               "node TEXT NOT NULL, subtask INTEGER NOT NULL, "
                               "next INTEGER NOT NULL, PRIMARY KEY (target, subtask)) "
                               "WITHOUT ROWID");
    if (answer != SQLITE_OK)
        return refuse(database, context, answer, "making table weir_published");
    answer = run_once(database, context, target, &found, &number);
    if (answer != SQLITE_OK)
        return refuse(database, context, answer, "looking for the table");
    if (!found && database->options->create) {
        answer = run(database, database->options->create);
        if (answer != SQLITE_OK)
            return refuse(database, context, answer, "making the table (create)");
        answer = run_once(database, context, target, &found, &number);
        if (answer != SQLITE_OK)
            return refuse(database, context, answer, "looking for the table");
    }
    if (!found)
        return weir_fail(context, WEIR_INVALID,
                         "database %s has no table %s: make it, or give the SQL that does (create)",
                         database->options->path, database->options->table);
    return WEIR_OK;
}

/* In a transaction, so that of several subtasks one makes what is missing and the others find it.
 */
static enum weir_result claim(struct database *database, struct weir_context *context,
                              struct owners *owners, uint64_t *next)
{
    enum weir_result result = make_tables(database, context);
    if (result != WEIR_OK)
        return result;
    int answer = read_owners(database, context, owners);
    if (answer != SQLITE_OK)
        return refuse(database, context, answer, "reading weir_published");
    result = judge(database, context, owners);
    if (result != WEIR_OK)
        return result;
    answer = enter(database, context, next);
    if (answer == SQLITE_OK)
        answer = run(database, "COMMIT");
    return answer == SQLITE_OK ? WEIR_OK
                               : refuse(database, context, answer, "writing weir_published");
}

enum weir_result database_claim(struct database *database, struct weir_context *context,
                                const char *id, uint64_t *next, char taken[PART_ID_SIZE])
{
    struct owners owners = {.ours = false};
    bool store = weir_store_id(context)[0] != '\0';
    taken[0] = '\0';
    snprintf(database->owner, sizeof database->owner, "%s%s", store ? "store " : RUN, id);
    int answer = run(database, "BEGIN IMMEDIATE");
    if (answer != SQLITE_OK)
        return refuse(database, context, answer, "beginning a transaction");
    enum weir_result result = claim(database, context, &owners, next);
    if (result != WEIR_OK)
        return give_up(database, result);
    if (owners.history[0] != '\0')
        snprintf(taken, PART_ID_SIZE, "%s", owners.history + strlen(RUN));
    return WEIR_OK;
}

/* ------------------------------------------------------------------------- the statement -- */

/* "INSERT INTO "table" VALUES (?, ...)", to be freed with sqlite3_free; NULL without memory. */
static char *plain_insert(const struct database *database, int64_t columns)
{
    char *sql = sqlite3_mprintf("INSERT INTO \"%w\" VALUES (?", database->options->table);
    for (int64_t i = 1; sql && i < columns; i++) {
        char *longer = sqlite3_mprintf("%s, ?", sql);
        sqlite3_free(sql);
        sql = longer;
    }
    char *whole = sql ? sqlite3_mprintf("%s)", sql) : NULL;
    sqlite3_free(sql);
    return whole;
}

/* One statement, with nothing behind it, that writes. */
static enum weir_result prepare_insert(struct database *database, struct weir_context *context,
                                       const char *sql)
{
    const char *rest = NULL;
    int answer = sqlite3_prepare_v3(database->handle, sql, -1, SQLITE_PREPARE_PERSISTENT,
                                    &database->insert, &rest);
    if (answer != SQLITE_OK)
        return refuse(database, context, answer, "preparing the statement");
    if (database->insert && !sqlite3_stmt_readonly(database->insert) &&
        rest[strspn(rest, " \t\r\n;")] == '\0')
        return WEIR_OK;
    return weir_fail(context, WEIR_INVALID,
                     "database %s, table %s: the statement must be one that puts a row in, and "
                     "nothing more: %s",
                     database->options->path, database->options->table, sql);
}

static enum weir_result prepare_plain(struct database *database, struct weir_context *context)
{
    bool found;
    int64_t columns = 0;
    int answer =
        run_once(database, context, "SELECT count(*) FROM pragma_table_info(?1)", &found, &columns);
    if (answer != SQLITE_OK)
        return refuse(database, context, answer, "counting the table's columns");
    char *sql = plain_insert(database, columns);
    if (!sql)
        return block_none(context);
    enum weir_result result = prepare_insert(database, context, sql);
    sqlite3_free(sql);
    return result;
}

enum weir_result database_prepare(struct database *database, struct weir_context *context,
                                  unsigned *parameters)
{
    const char *insert = database->options->insert;
    enum weir_result result =
        insert ? prepare_insert(database, context, insert) : prepare_plain(database, context);
    if (result != WEIR_OK)
        return result;
    *parameters = (unsigned)sqlite3_bind_parameter_count(database->insert);
    int answer = prepare(database,
                         "SELECT next FROM weir_published WHERE target = ?1 AND history = ?2 AND "
                         "node = ?3 AND subtask = ?4",
                         &database->find);
    if (answer == SQLITE_OK)
        answer = prepare(database,
                         "UPDATE weir_published SET next = ?5 WHERE target = ?1 AND history = ?2 "
                         "AND node = ?3 AND subtask = ?4",
                         &database->advance);
    return answer == SQLITE_OK ? WEIR_OK
                               : refuse(database, context, answer, "preparing a statement");
}

/* ------------------------------------------------------------------------------- publish -- */

static int bind_column(sqlite3_stmt *statement, int index, const struct row_column *column)
{
    static const char empty[1];
    const char *data =
        column->type >= ROW_TEXT && column->bytes.size > 0 ? column->bytes.data : empty;
    /* The bytes live until the row is in: SQLite need not copy them. */
    switch (column->type) {
    case ROW_INTEGER:
        return sqlite3_bind_int64(statement, index, column->integer);
    case ROW_REAL:
        return sqlite3_bind_double(statement, index, column->real);
    case ROW_TEXT:
        return sqlite3_bind_text64(statement, index, data, column->bytes.size, SQLITE_STATIC,
                                   SQLITE_UTF8);
    case ROW_BLOB:
        return sqlite3_bind_blob64(statement, index, data, column->bytes.size, SQLITE_STATIC);
    case ROW_NULL:
        break;
    }
    return sqlite3_bind_null(statement, index);
}

/* A statement may give rows (RETURNING); nobody wants them. */
static int insert_row(struct database *database, struct weir_bytes row)
{
    int parameters = sqlite3_bind_parameter_count(database->insert), answer = SQLITE_OK, index = 0;
    struct row_column column;
    while (row.size > 0 && answer == SQLITE_OK) {
        if (!row_next(&row, &column) || ++index > parameters)
            return SQLITE_RANGE;
        answer = bind_column(database->insert, index, &column);
    }
    if (answer == SQLITE_OK && index != parameters)
        return SQLITE_RANGE;
    while (answer == SQLITE_OK || answer == SQLITE_ROW)
        answer = sqlite3_step(database->insert);
    int failure = sqlite3_reset(database->insert);
    return answer == SQLITE_DONE ? SQLITE_OK : failure;
}

static enum weir_result insert_rows(struct database *database, struct weir_context *context,
                                    struct weir_record_file *file)
{
    char doing[64];
    struct weir_error error;
    struct weir_record record;
    enum weir_result result;
    unsigned long long count = 0;
    while ((result = weir_record_file_next(file, &record, &error)) == WEIR_OK) {
        int answer = insert_row(database, record.value);
        count++;
        if (answer == SQLITE_OK)
            continue;
        snprintf(doing, sizeof doing, "putting in row %llu of a checkpoint", count);
        if (answer != SQLITE_RANGE)
            return refuse(database, context, answer, doing);
        return weir_fail(context, WEIR_MISMATCH,
                         "database %s, table %s: %s: it was staged for another statement, with "
                         "another number of parameters",
                         database->options->path, database->options->table, doing);
    }
    return result == WEIR_NOT_FOUND ? WEIR_OK : weir_fail_with(context, &error);
}

static enum weir_result insert_file(struct database *database, struct weir_context *context,
                                    const char *staged)
{
    struct weir_error error;
    struct weir_record_file *file;
    enum weir_result result = weir_record_file_open(weir_memory(context), staged, &file, &error);
    if (result == WEIR_NOT_FOUND)
        return weir_fail(context, WEIR_DAMAGED,
                         "the staged rows %s are gone, and they are not in table %s of database %s "
                         "either",
                         staged, database->options->table, database->options->path);
    if (result != WEIR_OK)
        return weir_fail_with(context, &error);
    result = insert_rows(database, context, file);
    weir_record_file_close(&file);
    return result;
}

/* D3 again: somebody may have written there since the claim. */
static enum weir_result find_next(struct database *database, struct weir_context *context,
                                  uint32_t subtask, uint64_t *next)
{
    int answer = bind_place(database, context, database->find, subtask);
    if (answer == SQLITE_OK)
        answer = sqlite3_step(database->find);
    if (answer == SQLITE_ROW)
        *next = (uint64_t)sqlite3_column_int64(database->find, 0);
    int failure = sqlite3_reset(database->find);
    if (answer == SQLITE_ROW)
        return WEIR_OK;
    if (answer != SQLITE_DONE)
        return refuse(database, context, failure, "reading weir_published");
    return weir_fail(context, WEIR_REFUSED,
                     "table %s of database %s was taken over by another run or another sink: give "
                     "each a table of its own",
                     database->options->table, database->options->path);
}

static int set_next(struct database *database, const struct weir_context *context, uint32_t subtask,
                    uint64_t next)
{
    int answer = bind_place(database, context, database->advance, subtask);
    if (answer == SQLITE_OK)
        answer = sqlite3_bind_int64(database->advance, 5, (int64_t)next);
    if (answer == SQLITE_OK)
        answer = sqlite3_step(database->advance);
    int failure = sqlite3_reset(database->advance);
    return answer == SQLITE_DONE ? SQLITE_OK : failure ? failure : answer;
}

/* D4. SQLite asks this itself only where it keeps a rollback journal. */
static enum weir_result check_place(const struct database *database, struct weir_context *context)
{
    int moved = 0;
    int answer = sqlite3_file_control(database->handle, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
    if (answer != SQLITE_OK || !moved) /* other file systems of SQLite's may not know */
        return WEIR_OK;
    return weir_fail(context, WEIR_REFUSED,
                     "database %s was removed, renamed or replaced while the run wrote to it: put "
                     "it back and start again, the rows for table %s wait in the store",
                     database->options->path, database->options->table);
}

/* In a transaction. D2. */
static enum weir_result publish(struct database *database, struct weir_context *context,
                                const struct part *part, const char *staged, uint64_t *next)
{
    enum weir_result result = check_place(database, context);
    if (result == WEIR_OK)
        result = find_next(database, context, part->subtask, next);
    if (result != WEIR_OK || part->number < *next)
        return result;
    if (part->number > *next)
        return database_refuse_older(database, context, part->number, *next);
    result = insert_file(database, context, staged);
    if (result != WEIR_OK)
        return result;
    int answer = set_next(database, context, part->subtask, part->number + 1);
    if (answer == SQLITE_OK)
        answer = run(database, "COMMIT");
    if (answer != SQLITE_OK)
        return refuse(database, context, answer, "committing a checkpoint's rows");
    *next = part->number + 1;
    return check_place(database, context);
}

enum weir_result database_publish(struct database *database, struct weir_context *context,
                                  const struct part *part, const char *staged, uint64_t *next)
{
    int answer = run(database, "BEGIN IMMEDIATE");
    if (answer != SQLITE_OK)
        return refuse(database, context, answer, "beginning a transaction");
    return give_up(database, publish(database, context, part, staged, next));
}

enum weir_result database_refuse_older(const struct database *database,
                                       struct weir_context *context, uint64_t due, uint64_t next)
{
    return weir_fail(context, WEIR_REFUSED,
                     "database %s is older than the checkpoint: its table %s lacks %llu of the "
                     "checkpoints' rows: put the newer database back, or restore the checkpoint "
                     "that goes with this one",
                     database->options->path, database->options->table,
                     (unsigned long long)(due - next));
}

enum weir_result database_refuse_newer(const struct database *database,
                                       struct weir_context *context, uint64_t due, uint64_t next)
{
    return weir_fail(context, WEIR_REFUSED,
                     "table %s of database %s holds the rows of %llu checkpoints that came after "
                     "the one this run was restored from; they would come twice: restore the "
                     "latest checkpoint, or the database that goes with this one",
                     database->options->table, database->options->path,
                     (unsigned long long)(next - due));
}
