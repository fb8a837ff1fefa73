/* links: operators sqlite fake_context sink_world dying_vfs */
/* SPDX-License-Identifier: Apache-2.0
 *
 * The SQLite sink in the world of sink_world.h, with a database that dies at every call, too; what
 * becomes a row; and what is refused, in which words.
 */
#include "dying_vfs.h"
#include "exercised.h"
#include "explore.h"
#include "part.h"
#include "scratch.h"
#include "sink_world.h"
#include "weir_sqlite.h"

#include <dirent.h>
#include <sqlite3.h>

#define STORE WORLD_STORE
#define OTHER "fedcba9876543210fedcba9876543210"
#define CREATE "CREATE TABLE rows (key TEXT, value BLOB, time INTEGER)"

static struct scratch scratch;
static char database[256], folder[256];
static struct weir_sqlite_sink_options options; /* of the next sink */
static struct world_sink sink;

static void set_up(void)
{
    static bool installed;
    if (!installed)
        dying_vfs_install();
    installed = true;
    scratch = scratch_make();
    snprintf(database, sizeof database, "%s/rows.db", scratch.path);
    snprintf(folder, sizeof folder, "%s/node", scratch.path);
    cr_assert_eq(mkdir(folder, 0700), 0);
    options = (struct weir_sqlite_sink_options){
        WEIR_SIZED(struct weir_sqlite_sink_options),
        .path = database,
        .table = "rows",
        .create = CREATE,
        .key_type = WEIR_SQLITE_TEXT,
        .busy_timeout_ns = 20 * 1000 * 1000,
    };
    sink.graph = weir_graph_new(NULL);
    sink.folder = folder;
    fake_files_reset();
}

static void tear_down(void)
{
    scratch_free(&scratch);
    weir_graph_free(&sink.graph);
}

static weir_node add_sink(struct weir_graph *graph)
{
    return weir_sqlite_sink(graph, "sink", &options);
}

/* ---- another program ---- */

static sqlite3 *open_database(void)
{
    sqlite3 *handle;
    cr_assert_eq(sqlite3_open(database, &handle), SQLITE_OK);
    return handle;
}

static void run_sql(const char *sql)
{
    sqlite3 *handle = open_database();
    cr_assert_eq(sqlite3_exec(handle, sql, NULL, NULL, NULL), SQLITE_OK, "%s: %s", sql,
                 sqlite3_errmsg(handle));
    sqlite3_close(handle);
}

static int append(void *text_, int count, char **values, char **names)
{
    char *text = text_;
    (void)names;
    for (int i = 0; i < count; i++) {
        size_t size = strlen(text);
        snprintf(text + size, 4096 - size, "%s%s", values[i] ? values[i] : "null",
                 i + 1 < count ? "|" : "\n");
    }
    return 0;
}

/* What a query gives, a line a row; static. It sees what is committed, as any program would. */
static const char *ask(const char *sql)
{
    static char text[4096];
    unsigned calls = fake_file_calls, limit = fake_file_limit, fail_at = dying_vfs_fail_at;
    fake_file_limit = UINT32_MAX;
    dying_vfs_fail_at = 0;
    sqlite3 *handle = open_database();
    text[0] = '\0';
    cr_assert_eq(sqlite3_exec(handle, sql, append, text, NULL), SQLITE_OK, "%s: %s", sql,
                 sqlite3_errmsg(handle));
    sqlite3_close(handle);
    fake_file_calls = calls;
    fake_file_limit = limit;
    dying_vfs_fail_at = fail_at;
    return text;
}

/* ---- the world ---- */

static unsigned count_visible(void)
{
    char expected[64];
    unsigned seen = 0;
    if (strcmp(ask("SELECT count(*) FROM sqlite_master WHERE name = 'rows'"), "0\n") == 0)
        return 0;
    for (const char *at = ask("SELECT key, value, time FROM rows ORDER BY rowid"); *at; seen++) {
        int size = snprintf(expected, sizeof expected, "key %u|line %u|7\n", seen, seen);
        cr_assert_eq(strncmp(at, expected, (size_t)size), 0, "not a prefix: %s", at);
        at += size;
    }
    return seen;
}

static int is_staged(const struct dirent *entry)
{
    return strncmp(entry->d_name, ".staged-", 8) == 0;
}

/* How many; *name (may be NULL) is the first one's. */
static int list_staged(char name[256])
{
    struct dirent **entries;
    int count = scandir(folder, &entries, is_staged, alphasort);
    for (int i = 0; i < count; i++) {
        if (name && i == 0)
            snprintf(name, 256, "%s", entries[i]->d_name);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    return count < 0 ? 0 : count;
}

static int count_staged(void)
{
    return list_staged(NULL);
}

static void empty_output(void)
{
    char command[700];
    snprintf(command, sizeof command, "rm -rf %s %s-* %s/.staged-*", database, database, folder);
    cr_assert_eq(system(command), 0);
}

static struct world_sink sink = {
    .add = add_sink,
    .count_visible = count_visible,
    .count_staged = count_staged,
    .empty = empty_output,
};

static const enum fate aborts[] = {ABORTED, ABORTED, COMMITTED, ABORTED};
static const enum fate silent[] = {DURABLE_BUT_NOT_TOLD, DURABLE_BUT_NOT_TOLD, ABORTED,
                                   COMMITTED_TWICE};

Test(sqlite_sink, exact_after_a_death_at_any_file_call, .init = set_up, .fini = tear_down)
{
    world_crash_everywhere(&sink, NULL, 0, UINT32_MAX);
    world_crash_everywhere(&sink, aborts, 4, UINT32_MAX);
    world_crash_everywhere(&sink, silent, 4, UINT32_MAX);
}

Test(sqlite_sink, exact_with_a_rollback_journal_too, .init = set_up, .fini = tear_down)
{
    options.journal = WEIR_SQLITE_KEEP;
    world_crash_everywhere(&sink, aborts, 4, UINT32_MAX);
    world_crash_everywhere(&sink, silent, 4, UINT32_MAX);
    cr_expect_str_eq(ask("PRAGMA journal_mode"), "delete\n");
}

Test(sqlite_sink, exact_after_a_death_in_the_recovery_of_a_death, .init = set_up, .fini = tear_down)
{
    for (unsigned again = 0; again < 60; again += explore_full() ? 1 : 13)
        world_crash_everywhere(&sink, silent, 3, again);
}

/* The process lives on, closes the database in order, and starts again. False: nothing failed. */
static bool fail_once(unsigned call)
{
    struct world world = world_make(&sink, 9);
    dying_vfs_fail_at = call;
    bool whole = world_run(&world, silent, 4);
    if (!whole) {
        cr_assert_eq(world.task.failed.code, WEIR_IO, "%s", world.task.failed.text);
        cr_assert(strstr(world.task.failed.text, database), "%s", world.task.failed.text);
        world_end(&world);
        world_expect_prefix(&world);
        cr_assert(world_run(&world, NULL, 0), "%s", world.task.failed.text);
    }
    bool failed = dying_vfs_fail_at == 0;
    dying_vfs_fail_at = 0;
    world_expect_all(&world);
    world_free(&world);
    empty_output();
    return failed;
}

Test(sqlite_sink, exact_after_any_one_failure_of_the_database, .init = set_up, .fini = tear_down)
{
    for (int journal = WEIR_SQLITE_WAL; journal <= WEIR_SQLITE_KEEP; journal++) {
        unsigned call = 1;
        options.journal = (enum weir_sqlite_journal)journal;
        while (fail_once(call))
            call++;
        exercised(call - 1);
        cr_expect_gt(call, 20);
    }
}

Test(sqlite_sink, exact_after_any_allocation_was_refused, .init = set_up, .fini = tear_down)
{
    world_starve_everywhere(&sink);
}

Test(sqlite_sink, exact_after_deaths_between_any_two_steps, .init = set_up, .fini = tear_down)
{
    world_die_between_steps(&sink, 150);
}

Test(sqlite_sink, nothing_is_visible_before_its_checkpoint_is_durable, .init = set_up,
     .fini = tear_down)
{
    struct world world = world_make(&sink, 3);
    cr_assert(world_start(&world));
    cr_assert(world_feed(&world));
    cr_assert(world_round(&world, DURABLE_BUT_NOT_TOLD));
    cr_expect_eq(count_visible(), 0);
    cr_expect_eq(count_staged(), 1);
    cr_assert(world_feed(&world));
    cr_assert(world_round(&world, COMMITTED));
    cr_expect_eq(count_visible(), 2);
    cr_expect_eq(count_staged(), 0);
    cr_expect_str_eq(ask("SELECT * FROM weir_published"), "rows|store " STORE "|sink|0|2\n");
    cr_expect_str_eq(ask("PRAGMA journal_mode"), "wal\n");
    world_free(&world);
}

/* ---- rows ---- */

/* One run of one record and its checkpoint; the answer is the first failure's. */
static enum weir_result run_one(const struct weir_record *record, char reason[640])
{
    struct weir_context task;
    struct weir_saver items = {0};
    struct fake_run run = {.store = STORE, .folder = folder};
    sink.graph->count = 0;
    enum weir_result result = fake_start(&task, sink.graph, add_sink(sink.graph), &run);
    if (result == WEIR_OK)
        result = task.table->process(task.self, &task, 0, record);
    if (result == WEIR_OK)
        result = fake_cut(&task, &items);
    if (result == WEIR_OK)
        result = fake_commit(&task, &task.handles);
    snprintf(reason, 640, "%s", task.failed.text);
    fake_end(&task);
    fake_items_free(&items);
    return result;
}

#define RUN_ONE(...) run_one(&(struct weir_record){__VA_ARGS__}, reason)
#define TEXT(text)                                                                                 \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }

static enum weir_result bind_all(struct weir_context *context, struct weir_sqlite_row *row,
                                 const struct weir_record *record, const void *config)
{
    static unsigned char large[300000];
    (void)context, (void)record, (void)config;
    weir_sqlite_null(row);
    weir_sqlite_integer(row, INT64_MIN);
    weir_sqlite_real(row, -0.5);
    weir_sqlite_text(row, (struct weir_bytes)TEXT("a\0b"));
    weir_sqlite_text(row, (struct weir_bytes){NULL, 0});
    weir_sqlite_blob(row, (struct weir_bytes){NULL, 0});
    weir_sqlite_blob(row, (struct weir_bytes){large, sizeof large});
    return WEIR_OK;
}

Test(sqlite_sink, columns_of_every_type_arrive_as_they_are, .init = set_up, .fini = tear_down)
{
    char reason[640];
    options.create = "CREATE TABLE rows (a, b, c, d, e, f, g)";
    options.bind = bind_all;
    cr_assert_eq(RUN_ONE(.time = 0), WEIR_OK, "%s", reason);
    cr_expect_str_eq(ask("SELECT typeof(a), typeof(b), b, typeof(c), c, typeof(d), hex(d), "
                         "typeof(e), length(e), typeof(f), length(f), typeof(g), g = "
                         "zeroblob(300000) FROM rows"),
                     "null|integer|-9223372036854775808|real|-0.5|text|610062|text|0|blob|0|"
                     "blob|1\n");
}

Test(sqlite_sink, keys_and_values_become_what_is_asked_for, .init = set_up, .fini = tear_down)
{
    char reason[640];
    const int64_t integer = -3;
    const double real = 2.25;
    cr_assert_eq(RUN_ONE(TEXT("k"), TEXT("v"), WEIR_NO_TIME), WEIR_OK, "%s", reason);
    cr_expect_str_eq(ask("SELECT typeof(key), key, typeof(value), value, time FROM rows"),
                     "text|k|blob|v|null\n");
    empty_output();
    options.key_type = WEIR_SQLITE_INTEGER;
    options.value_type = WEIR_SQLITE_REAL;
    options.create = "CREATE TABLE rows (key INTEGER PRIMARY KEY, value REAL, time)";
    cr_assert_eq(RUN_ONE({&integer, 8}, {&real, 8}, -1), WEIR_OK, "%s", reason);
    cr_expect_str_eq(ask("SELECT * FROM rows"), "-3|2.25|-1\n");
    empty_output();
    cr_expect_eq(RUN_ONE(TEXT("four"), {&real, 8}, 1), WEIR_INVALID);
    cr_expect(strstr(reason, "a record's key has 4 bytes, and integers have 8"), "%s", reason);
}

static enum weir_result bind_parity(struct weir_context *context, struct weir_sqlite_row *row,
                                    const struct weir_record *record, const void *config)
{
    const char *value = record->value.data;
    (void)context, (void)config;
    weir_sqlite_integer(row, (value[record->value.size - 1] - '0') % 2);
    return WEIR_OK;
}

/* Counts odd and even lines: rows that come twice, or not at all, make another number. */
Test(sqlite_sink, a_statement_of_ones_own, .init = set_up, .fini = tear_down)
{
    options.create = "CREATE TABLE rows (parity PRIMARY KEY, count)";
    options.insert = "INSERT INTO rows VALUES (?1, 1) "
                     "ON CONFLICT DO UPDATE SET count = count + 1 RETURNING count ;\n";
    options.bind = bind_parity;
    struct world world = world_make(&sink, 9);
    for (unsigned i = 0; i < 9; i++) {
        cr_assert(world_start(&world), "%s", world.task.failed.text);
        cr_assert(world_feed(&world) &&
                  world_round(&world, i % 3 ? COMMITTED_TWICE : DURABLE_BUT_NOT_TOLD));
        world_end(&world);
    }
    cr_assert(world_start(&world));
    cr_expect_str_eq(ask("SELECT * FROM rows ORDER BY parity"), "0|5\n1|4\n");
    world_free(&world);
}

Test(sqlite_sink, the_largest_record_fits, .init = set_up, .fini = tear_down)
{
    char reason[640];
    void *large = calloc(1, WEIR_KEY_LIMIT);
    options.key_type = WEIR_SQLITE_BLOB;
    cr_expect_eq(RUN_ONE({large, WEIR_KEY_LIMIT}, {large, WEIR_VALUE_LIMIT}, 5), WEIR_OK, "%s",
                 reason);
    cr_expect_str_eq(ask("SELECT length(key), length(value) FROM rows"), "16777216|16777216\n");
    free(large);
}

/* ---- what is wrong with rows ---- */

static enum weir_result bind_two(struct weir_context *context, struct weir_sqlite_row *row,
                                 const struct weir_record *record, const void *config)
{
    (void)context, (void)record, (void)config;
    weir_sqlite_null(row);
    weir_sqlite_null(row);
    return WEIR_OK;
}

static enum weir_result bind_nothing(struct weir_context *context, struct weir_sqlite_row *row,
                                     const struct weir_record *record, const void *config)
{
    (void)row, (void)record, (void)config;
    return weir_fail(context, WEIR_FAILED, "no row of that");
}

static enum weir_result bind_too_much(struct weir_context *context, struct weir_sqlite_row *row,
                                      const struct weir_record *record, const void *config)
{
    (void)context, (void)config;
    for (int i = 0; i < 3; i++)
        weir_sqlite_blob(row, record->value);
    return WEIR_OK;
}

Test(sqlite_sink, a_row_of_the_wrong_shape_is_named_before_it_is_staged, .init = set_up,
     .fini = tear_down)
{
    char reason[640];
    void *large = calloc(1, WEIR_VALUE_LIMIT);
    options.bind = bind_two;
    cr_expect_eq(RUN_ONE(.time = 0), WEIR_INVALID);
    cr_expect(strstr(reason, "bind gave 2 columns, and the statement for table rows takes 3"), "%s",
              reason);
    options.bind = bind_nothing;
    cr_expect_eq(RUN_ONE(.time = 0), WEIR_FAILED);
    cr_expect_str_eq(reason, "no row of that");
    options.bind = bind_too_much;
    cr_expect_eq(RUN_ONE(.value = {large, WEIR_VALUE_LIMIT}), WEIR_TOO_LARGE);
    cr_expect(strstr(reason, "a row has more than"), "%s", reason);
    cr_expect_eq(count_staged(), 0);
    free(large);
}

Test(sqlite_sink, a_row_that_the_table_refuses_waits_until_it_does_not, .init = set_up,
     .fini = tear_down)
{
    struct world world = world_make(&sink, 2);
    run_sql("CREATE TABLE rows (key TEXT CHECK (key <> 'key 1'), value, time)");
    cr_assert(world_start(&world));
    cr_assert(world_feed(&world) && world_feed(&world));
    cr_expect_not(world_round(&world, COMMITTED));
    const char *reason = world.task.failed.text;
    cr_expect(strstr(reason, database) && strstr(reason, "table rows") &&
                  strstr(reason, "row 2 of a checkpoint") &&
                  strstr(reason, "CHECK constraint failed"),
              "%s", reason);
    world_end(&world);
    cr_expect_str_eq(ask("SELECT count(*) FROM rows"), "0\n");
    cr_expect_not(world_start(&world), "the same again");
    world_end(&world);
    run_sql("DROP TABLE rows; " CREATE);
    cr_assert(world_start(&world), "%s", world.task.failed.text);
    cr_expect_eq(count_visible(), 2);
    world_free(&world);
}

/* ---- what is wrong with the database ---- */

/* Starts on the database as it is, up to the first record; the answer is the failure's code. */
static enum weir_result try_start(const char *store, const struct weir_saver *saved,
                                  char reason[640])
{
    struct weir_context task;
    struct fake_run run = {.epoch = 9, .store = store, .saved = saved, .folder = folder};
    sink.graph->count = 0;
    fake_start(&task, sink.graph, add_sink(sink.graph), &run);
    enum weir_result result = task.failed.code;
    snprintf(reason, 640, "%s", task.failed.text);
    fake_end(&task);
    return result;
}

static void expect_refusal(enum weir_result code, const char *words)
{
    char reason[640];
    cr_expect_eq(try_start(STORE, NULL, reason), code, "%s", reason);
    cr_expect(strstr(reason, database) && strstr(reason, words), "%s", reason);
}

Test(sqlite_sink, tables_and_statements_that_do_not_fit_are_refused_at_the_start, .init = set_up,
     .fini = tear_down)
{
    options.create = NULL;
    expect_refusal(WEIR_INVALID, "has no table rows: make it, or");
    options.create = "CREATE TABLE other (a)";
    expect_refusal(WEIR_INVALID, "has no table rows");
    cr_expect_str_eq(ask("SELECT count(*) FROM sqlite_master"), "0\n");
    options.create = "CREATE TABEL rows";
    expect_refusal(WEIR_INVALID, "near \"TABEL\"");
    options.create = "CREATE TABLE rows (a, b)";
    expect_refusal(WEIR_INVALID, "has 2 columns");
    options.insert = "INSERT INTO rows VALUES (?, ?, ?)";
    expect_refusal(WEIR_INVALID, "2 columns but 3 values");
    options.insert = "SELECT ?, ?, ?";
    expect_refusal(WEIR_INVALID, "must be one that puts a row in");
    options.insert = "INSERT INTO rows VALUES (?, ?); DELETE FROM rows";
    expect_refusal(WEIR_INVALID, "nothing more");
    options.insert = " ";
    expect_refusal(WEIR_INVALID, "must be one that puts a row in");
}

Test(sqlite_sink, a_statement_with_too_few_parameters_is_refused, .init = set_up, .fini = tear_down)
{
    char reason[640];
    options.insert = "INSERT INTO rows VALUES (?, ?, 1)";
    cr_expect_eq(try_start(STORE, NULL, reason), WEIR_INVALID);
    cr_expect(strstr(reason, "takes 2 parameters: INSERT"), "%s", reason);
}

Test(sqlite_sink, what_is_no_database_is_refused, .init = set_up, .fini = tear_down)
{
    char text[4096];
    memset(text, 'x', sizeof text);
    scratch_write(database, text, sizeof text);
    expect_refusal(WEIR_DAMAGED, "not a database");
    snprintf(database, sizeof database, "%s/none/rows.db", scratch.path);
    expect_refusal(WEIR_IO, "see that its folder is there");
}

Test(sqlite_sink, a_database_in_a_store_is_refused, .init = set_up, .fini = tear_down)
{
    scratch_write(scratch_join(scratch.path, "LOCK"), "WEIRLOCK", 8);
    char reason[640];
    cr_expect_eq(try_start(STORE, NULL, reason), WEIR_REFUSED);
    cr_expect(strstr(reason, "lies in a store"), "%s", reason);
    cr_expect_not(scratch_exists(database));
}

Test(sqlite_sink, a_lock_is_waited_for_and_then_named, .init = set_up, .fini = tear_down)
{
    struct world world = world_make(&sink, 1);
    cr_assert(world_start(&world));
    cr_assert(world_feed(&world));
    sqlite3 *other = open_database();
    cr_assert_eq(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    cr_expect_not(world_round(&world, COMMITTED));
    cr_expect_eq(world.task.failed.code, WEIR_TIMEOUT);
    cr_expect(strstr(world.task.failed.text, "database is locked") &&
                  strstr(world.task.failed.text, "another program holds it"),
              "%s", world.task.failed.text);
    world_end(&world);
    sqlite3_close(other);
    cr_assert(world_start(&world), "%s", world.task.failed.text);
    cr_expect_eq(count_visible(), 1);
    world_free(&world);
}

/* Here SQLite wants the database for itself, to change its mode. */
Test(sqlite_sink, a_lock_at_the_start_is_waited_for_and_then_named, .init = set_up,
     .fini = tear_down)
{
    static const char *const locks[] = {"BEGIN EXCLUSIVE", "BEGIN IMMEDIATE",
                                        "BEGIN; SELECT * FROM rows"};
    run_sql(CREATE "; INSERT INTO rows VALUES (1, 2, 3)");
    for (size_t i = 0; i < sizeof locks / sizeof locks[0]; i++) {
        char text[64] = "";
        sqlite3 *other = open_database();
        cr_assert_eq(sqlite3_exec(other, locks[i], append, text, NULL), SQLITE_OK);
        expect_refusal(WEIR_TIMEOUT, "opening it: database is locked");
        sqlite3_close(other);
    }
    char reason[640];
    cr_expect_eq(try_start(STORE, NULL, reason), WEIR_OK, "%s", reason);
}

/* A reader in the middle of its transaction sees what was there, and holds nobody up. */
Test(sqlite_sink, a_reader_and_the_sink_do_not_wait_for_each_other, .init = set_up,
     .fini = tear_down)
{
    struct world world = world_make(&sink, 2);
    char text[64] = "";
    cr_assert(world_start(&world));
    cr_assert(world_feed(&world));
    cr_assert(world_round(&world, COMMITTED));
    sqlite3 *reader = open_database();
    cr_assert_eq(sqlite3_exec(reader, "BEGIN; SELECT count(*) FROM rows", append, text, NULL), 0);
    cr_assert(world_feed(&world));
    cr_assert(world_round(&world, COMMITTED), "%s", world.task.failed.text);
    cr_assert_eq(sqlite3_exec(reader, "SELECT count(*) FROM rows", append, text, NULL), 0);
    sqlite3_close(reader);
    cr_expect_str_eq(text, "1\n1\n");
    cr_expect_eq(count_visible(), 2);
    world_free(&world);
}

Test(sqlite_sink, a_full_disk_fails_the_run_and_loses_nothing, .init = set_up, .fini = tear_down)
{
    struct world world = world_make(&sink, 1);
    cr_assert(world_start(&world));
    cr_assert(world_feed(&world));
    dying_vfs_full = true;
    cr_expect_not(world_round(&world, COMMITTED));
    cr_expect_eq(world.task.failed.code, WEIR_IO);
    cr_expect(strstr(world.task.failed.text, "disk is full (SQLite code 13); make room"), "%s",
              world.task.failed.text);
    world_end(&world);
    dying_vfs_full = false;
    cr_assert(world_start(&world));
    cr_expect_eq(count_visible(), 1);
    world_free(&world);
}

/* ---- what was staged ---- */

Test(sqlite_sink, staged_rows_that_are_gone_or_damaged_are_named, .init = set_up, .fini = tear_down)
{
    struct world world = world_make(&sink, 2);
    char name[256];
    unsigned char bytes[512];
    cr_assert(world_start(&world));
    cr_assert(world_feed(&world) && world_feed(&world));
    cr_assert(world_round(&world, DURABLE_BUT_NOT_TOLD));
    cr_assert_eq(list_staged(name), 1);
    const char *path = scratch_join(folder, name);
    size_t size = scratch_read(path, bytes, sizeof bytes);
    bytes[70] ^= 1;
    scratch_write(path, bytes, size);
    cr_expect_eq(fake_commit(&world.task, &world.pending), WEIR_DAMAGED);
    cr_expect(strstr(world.task.failed.text, name) && strstr(world.task.failed.text, "checksum"),
              "%s", world.task.failed.text);
    world_end(&world);
    cr_assert_eq(unlink(path), 0);
    cr_expect_not(world_start(&world));
    cr_expect_eq(world.task.failed.code, WEIR_DAMAGED);
    cr_expect(strstr(world.task.failed.text, "are gone, and they are not in table rows"), "%s",
              world.task.failed.text);
    cr_expect_eq(count_visible(), 0);
    world_free(&world);
}

Test(sqlite_sink, handles_that_make_no_sense_are_refused, .init = set_up, .fini = tear_down)
{
    static const char *const bad[] = {
        "",
        "x",
        ".staged-x",
        ".staged-" STORE "-0000000001-00000-00000000000000000000 ",
        ".staged-" OTHER "-0000000001-00000-00000000000000000000",
        ".staged-" STORE "-0000000001-00000-00000000000000000000/../../x",
    };
    struct world world = world_make(&sink, 1);
    cr_assert(world_start(&world));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct weir_bytes handle = {bad[i], strlen(bad[i])};
        cr_expect_eq(world.task.table->commit(world.task.self, &world.task, handle), WEIR_DAMAGED,
                     "%s", bad[i]);
    }
    world_free(&world);
}

/* ---- whose table it is ---- */

/* Two checkpoints of a record each; `older` is the first. */
static void publish_two(struct world *world, struct weir_saver *older)
{
    *world = world_make(&sink, 2);
    cr_assert(world_start(world));
    cr_assert(world_feed(world) && world_round(world, COMMITTED));
    fake_items_copy(older, &world->items);
    cr_assert(world_feed(world) && world_round(world, COMMITTED));
    world_end(world);
}

Test(sqlite_sink, refuses_the_rows_of_another_history, .init = set_up, .fini = tear_down)
{
    struct world world;
    struct weir_saver older = {0};
    char reason[640];
    publish_two(&world, &older);
    cr_expect_eq(try_start(OTHER, NULL, reason), WEIR_REFUSED);
    cr_expect(strstr(reason, "holds rows of another history"), "%s", reason);
    cr_expect_eq(try_start(OTHER, &world.items, reason), WEIR_REFUSED);
    cr_expect_eq(try_start(NULL, NULL, reason), WEIR_REFUSED);
    cr_expect_eq(try_start(STORE, NULL, reason), WEIR_REFUSED);
    cr_expect(strstr(reason, "does not continue the run"), "%s", reason);
    cr_expect_eq(try_start(STORE, &older, reason), WEIR_REFUSED);
    cr_expect(strstr(reason, "holds the rows of 1 checkpoints that came after"), "%s", reason);
    cr_expect_eq(try_start(STORE, &world.items, reason), WEIR_OK, "%s", reason);
    options.table = "ROWS"; /* the same one */
    cr_expect_eq(try_start(OTHER, NULL, reason), WEIR_REFUSED);
    options.table = "others";
    options.create = "CREATE TABLE others (a, b, c)";
    cr_expect_eq(try_start(OTHER, NULL, reason), WEIR_OK, "%s", reason);
    cr_expect_eq(count_visible(), 2);
    fake_items_free(&older);
    world_free(&world);
}

Test(sqlite_sink, refuses_a_database_older_than_the_checkpoint, .init = set_up, .fini = tear_down)
{
    struct world world;
    struct weir_saver older = {0};
    char reason[640];
    publish_two(&world, &older);
    run_sql("UPDATE weir_published SET next = 0; DELETE FROM rows");
    cr_expect_not(world_start(&world), "the second checkpoint's rows without the first's");
    cr_expect(strstr(world.task.failed.text, "lacks 1 of the checkpoints' rows"), "%s",
              world.task.failed.text);
    world_end(&world);
    run_sql("UPDATE weir_published SET next = 1");
    fake_items_free(&world.handles);
    cr_assert(world_start(&world), "%s", world.task.failed.text);
    cr_expect_not(world_feed(&world));
    cr_expect(strstr(world.task.failed.text, "is older than the checkpoint"), "%s",
              world.task.failed.text);
    world_end(&world);
    empty_output();
    cr_expect_eq(try_start(STORE, &world.items, reason), WEIR_REFUSED);
    cr_expect(strstr(reason, "is not the database that the checkpoint's run wrote to"), "%s",
              reason);
    fake_items_free(&older);
    world_free(&world);
}

Test(sqlite_sink, two_sinks_share_a_database_but_not_a_table, .init = set_up, .fini = tear_down)
{
    struct weir_context tasks[3];
    struct fake_run run = {.store = STORE, .folder = folder};
    struct weir_sqlite_sink_options other = options;
    other.table = "others";
    other.create = "CREATE TABLE others (a, b, c)";
    weir_node nodes[] = {weir_sqlite_sink(sink.graph, "a", &options),
                         weir_sqlite_sink(sink.graph, "b", &other),
                         weir_sqlite_sink(sink.graph, "c", &options)};
    for (int i = 0; i < 3; i++)
        cr_expect_eq(fake_start(&tasks[i], sink.graph, nodes[i], &run),
                     i == 2 ? WEIR_REFUSED : WEIR_OK, "%s", tasks[i].failed.text);
    cr_expect(strstr(tasks[2].failed.text, "belongs to node a of the same job"), "%s",
              tasks[2].failed.text);
    for (int i = 0; i < 3; i++)
        fake_end(&tasks[i]);
}

/* Others' rows are no business of ours. */
Test(sqlite_sink, a_table_with_rows_of_others_is_taken, .init = set_up, .fini = tear_down)
{
    char reason[640];
    run_sql(CREATE "; INSERT INTO rows VALUES ('theirs', 1, 2)");
    cr_assert_eq(RUN_ONE(TEXT("ours"), TEXT("v"), 3), WEIR_OK, "%s", reason);
    cr_expect_str_eq(ask("SELECT key FROM rows ORDER BY key"), "ours\ntheirs\n");
}

/* ---- without a store, and with several subtasks ---- */

static void run_without_store(bool commit)
{
    struct weir_context tasks[2];
    struct weir_saver items = {0};
    sink.graph->count = 0;
    weir_node node = add_sink(sink.graph);
    for (uint32_t i = 0; i < 2; i++) {
        struct fake_run run = {.subtask = i, .parallelism = 2};
        cr_assert_eq(fake_start(&tasks[i], sink.graph, node, &run), WEIR_OK, "%s",
                     tasks[i].failed.text);
        cr_assert_eq(fake_process(&tasks[i], i ? "two" : "one", ""), WEIR_OK);
    }
    for (uint32_t i = 0; i < 2; i++) {
        cr_assert_eq(fake_cut(&tasks[i], &items), WEIR_OK);
        if (commit)
            cr_assert_eq(fake_commit(&tasks[i], &tasks[i].handles), WEIR_OK, "%s",
                         tasks[i].failed.text);
    }
    for (uint32_t i = 0; i < 2; i++)
        fake_end(&tasks[i]);
    fake_items_free(&items);
}

Test(sqlite_sink, a_run_without_a_store_that_died_leaves_the_table_free, .init = set_up,
     .fini = tear_down)
{
    char reason[640];
    snprintf(folder, sizeof folder, "%s-weir", database);
    run_without_store(false);
    cr_expect_eq(count_staged(), 2);
    cr_expect_str_eq(ask("SELECT count(*) FROM rows"), "0\n");
    run_without_store(true);
    cr_expect_eq(count_staged(), 0);
    cr_expect_str_eq(ask("SELECT key FROM rows ORDER BY key"), "one\ntwo\n");
    cr_expect_eq(try_start(NULL, NULL, reason), WEIR_REFUSED);
    cr_expect(strstr(reason, "holds rows of another history"), "%s", reason);
}

Test(sqlite_sink, a_table_that_changed_hands_gets_nothing_more, .init = set_up, .fini = tear_down)
{
    struct world world = world_make(&sink, 1);
    cr_assert(world_start(&world));
    cr_assert(world_feed(&world));
    run_sql("UPDATE weir_published SET node = 'thief'");
    cr_expect_not(world_round(&world, COMMITTED));
    cr_expect_eq(world.task.failed.code, WEIR_REFUSED);
    cr_expect(strstr(world.task.failed.text, "was taken over"), "%s", world.task.failed.text);
    world_free(&world);
}

/* ---- whether it is still there ---- */

static void expect_missed(void (*happens)(void))
{
    struct world world = world_make(&sink, 2);
    cr_assert(world_start(&world));
    cr_assert(world_feed(&world) && world_round(&world, COMMITTED));
    cr_assert(world_feed(&world));
    happens();
    cr_expect_not(world_round(&world, COMMITTED));
    cr_expect_eq(world.task.failed.code, WEIR_REFUSED);
    cr_expect(strstr(world.task.failed.text, database), "%s", world.task.failed.text);
    cr_expect(strstr(world.task.failed.text, "removed, renamed or replaced"), "%s",
              world.task.failed.text);
    cr_expect_eq(count_staged(), 1, "its rows wait");
    world_free(&world);
    empty_output();
}

static void goes(void)
{
    cr_assert_eq(unlink(database), 0);
}

static void is_replaced(void)
{
    static unsigned char bytes[1 << 16];
    size_t size = scratch_read(database, bytes, sizeof bytes);
    const char *copy = scratch_join(scratch.path, "copy");
    scratch_write(copy, bytes, size);
    cr_assert_eq(rename(copy, database), 0);
}

Test(sqlite_sink, a_database_that_is_gone_or_replaced_gets_nothing_more, .init = set_up,
     .fini = tear_down)
{
    for (int wal = 0; wal < 2; wal++) {
        options.journal = wal ? WEIR_SQLITE_WAL : WEIR_SQLITE_KEEP;
        expect_missed(goes);
        expect_missed(is_replaced);
    }
}

/* ---- options ---- */

Test(sqlite_sink, bad_options_are_the_graphs_error, .init = set_up, .fini = tear_down)
{
    static const struct {
        const char *path, *table, *words;
        int64_t busy_timeout_ns;
        int type;
    } bad[] = {
        {NULL, "t", "path is missing", 0, 0},
        {"", "t", "path is missing", 0, 0},
        {":memory:", "t", "must be a file", 0, 0},
        {"file:x", "t", "must be a file", 0, 0},
        {"x", NULL, "table's name", 0, 0},
        {"x", "", "table's name", 0, 0},
        {"x", "weir_published", "not one for", 0, 0},
        {"x", "sqlite_master", "not one for", 0, 0},
        {"x", "t", "none of the types", 0, 4},
        {"x", "t", "busy_timeout_ns", -1, 0},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        options.path = bad[i].path;
        options.table = bad[i].table;
        options.busy_timeout_ns = bad[i].busy_timeout_ns;
        options.value_type = (enum weir_sqlite_type)bad[i].type;
        sink.graph->error[0] = '\0';
        cr_expect_eq(weir_sqlite_sink(sink.graph, "n", &options).index, UINT32_MAX);
        cr_expect(strstr(sink.graph->error, "node n: ") && strstr(sink.graph->error, bad[i].words),
                  "%s", sink.graph->error);
    }
}
