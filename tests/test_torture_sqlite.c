/* links: main sqlite */
/* SPDX-License-Identifier: Apache-2.0
 *
 * The SQLite sink under weir_operator_torture: on a real task, with a real store folder, each trial
 * ends with the rows of a run that nothing happened to.
 */
#include "scratch.h"
#include "weir.h"
#include "weir_sqlite.h"

#include <sqlite3.h>

#define RECORDS 60

static struct scratch scratch;
static struct weir_graph *graph;
static struct weir_torture_step steps[RECORDS];
static char values[RECORDS][24];

static void set_up(void)
{
    scratch = scratch_make();
    graph = weir_graph_new(NULL);
    for (unsigned i = 0; i < RECORDS; i++) {
        int size = snprintf(values[i], sizeof values[i], "%u", i * i * 7 % 23);
        steps[i] = (struct weir_torture_step){
            .record = {{i % 3 ? "elm" : "oak", 3}, {values[i], (size_t)size}, (int64_t)(100 * i)},
            .watermark = i % 7 == 6,
        };
    }
}

static void tear_down(void)
{
    weir_graph_free(&graph);
    scratch_free(&scratch);
}

static const char *place(const char *name)
{
    return scratch_join(scratch.path, name);
}

static enum weir_result begin(void *context, struct weir_error *error)
{
    (void)context, (void)error;
    scratch_free(&scratch);
    cr_assert_eq(mkdir(scratch.path, 0700), 0);
    cr_assert_eq(mkdir(place("store"), 0700), 0);
    return WEIR_OK;
}

static int add_row(void *sum_, int count, char **columns, char **names)
{
    uint64_t *sum = sum_;
    (void)names;
    for (int i = 0; i < count; i++)
        *sum = *sum * 31 + weir_hash((struct weir_bytes){columns[i], strlen(columns[i])});
    return 0;
}

/* `context` is a query. */
static enum weir_result see_rows(void *context, uint64_t *fingerprint, struct weir_error *error)
{
    sqlite3 *handle;
    (void)error;
    *fingerprint = 0;
    if (!scratch_exists(place("rows.db")))
        return WEIR_OK;
    cr_assert_eq(sqlite3_open(place("rows.db"), &handle), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(handle, context, add_row, fingerprint, NULL), SQLITE_OK, "%s",
                 sqlite3_errmsg(handle));
    sqlite3_close(handle);
    return WEIR_OK;
}

static void survives(weir_node node, const char *query)
{
    uint64_t fingerprint;
    char store[256];
    struct weir_error error = {0};
    snprintf(store, sizeof store, "%s", place("store"));
    struct weir_torture_options options = {
        WEIR_SIZED(struct weir_torture_options),
        .graph = graph,
        .at = node,
        .steps = steps,
        .step_count = RECORDS,
        .store = store,
        .begin = begin,
        .visible = see_rows,
        .context = (void *)(uintptr_t)query,
    };
    cr_assert_eq(weir_operator_torture(&options, &error), WEIR_OK, "%s", error.text);
    cr_assert_eq(see_rows((void *)(uintptr_t)query, &fingerprint, &error), WEIR_OK);
    cr_expect_neq(fingerprint, 0, "nothing was published");
}

Test(torture_sqlite, rows_as_they_come, .init = set_up, .fini = tear_down)
{
    survives(
        weir_sqlite_sink(graph, "rows",
                         &(struct weir_sqlite_sink_options){
                             WEIR_SIZED(struct weir_sqlite_sink_options), .path = place("rows.db"),
                             .table = "rows", .create = "CREATE TABLE rows (key, value, time)",
                             .key_type = WEIR_SQLITE_TEXT, .value_type = WEIR_SQLITE_TEXT}),
        "SELECT key, value, time FROM rows ORDER BY rowid");
}

/* A statement whose effect adds up, with a rollback journal. */
Test(torture_sqlite, rows_that_add_up, .init = set_up, .fini = tear_down)
{
    survives(weir_sqlite_sink(graph, "sums",
                              &(struct weir_sqlite_sink_options){
                                  WEIR_SIZED(struct weir_sqlite_sink_options),
                                  .path = place("rows.db"), .table = "sums",
                                  .create = "CREATE TABLE sums (key PRIMARY KEY, sum, last)",
                                  .insert = "INSERT INTO sums VALUES (?, CAST(? AS INTEGER), ?) ON "
                                            "CONFLICT DO UPDATE SET sum = sum + excluded.sum, last "
                                            "= excluded.last",
                                  .key_type = WEIR_SQLITE_TEXT, .value_type = WEIR_SQLITE_TEXT,
                                  .journal = WEIR_SQLITE_KEEP}),
             "SELECT * FROM sums ORDER BY key");
}
