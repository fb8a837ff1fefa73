/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint_sample.h"

#include "snapshot.h"
#include "weir_checkpoint.h"

static struct scratch scratch;
static char path[256];

static void start(void)
{
    scratch = scratch_make();
    snprintf(path, sizeof path, "%s/store", scratch.path);
}

static void stop(void)
{
    scratch_free(&scratch);
}

TestSuite(view, .init = start, .fini = stop, .timeout = 60);

static unsigned char *grow(void *context, unsigned char *data, size_t size, size_t capacity)
{
    (void)context;
    (void)size;
    return realloc(data, capacity);
}

/* A state of `count` entries "subtask/i" -> i; `lie` is added to the count that is written. */
static void put_state(struct snapshot_writer *writer, uint32_t subtask, uint64_t count, int lie)
{
    snapshot_begin(writer, SNAPSHOT_STATE, 0);
    snapshot_text(writer, "total");
    snapshot_u32(writer, 1);
    snapshot_u32(writer, 8);
    snapshot_u64(writer, count + (uint64_t)(int64_t)lie);
    snapshot_u64(writer, 0);
    for (uint64_t i = 0; i < count; i++) {
        char key[16] = {0};
        uint32_t size =
            (uint32_t)snprintf(key, sizeof key, "%u/%llu", subtask, (unsigned long long)i);
        snapshot_u32(writer, size);
        snapshot_u32(writer, 8);
        snapshot_bytes(writer, key, (size + 7) / 8 * 8);
        snapshot_u64(writer, i);
    }
    snapshot_end(writer);
}

static void put_part(struct snapshot_writer *writer, uint32_t task, int lie)
{
    snapshot_begin(writer, SNAPSHOT_OPERATOR, 0);
    snapshot_text(writer, task == 0 ? "lines" : "count");
    snapshot_u32(writer, 1);
    snapshot_u32(writer, 0);
    snapshot_end(writer);
    for (uint32_t i = 0; i < 2 && task == 0; i++) {
        snapshot_begin(writer, SNAPSHOT_ITEM, i);
        snapshot_bytes(writer, i == 0 ? "first" : "", i == 0 ? 5 : 0);
        snapshot_end(writer);
    }
    if (task == 2) {
        snapshot_begin(writer, SNAPSHOT_HANDLE, 0);
        snapshot_u64(writer, 41);
        snapshot_bytes(writer, "part-1", 6);
        snapshot_end(writer);
    }
    if (task > 0)
        put_state(writer, task - 1, task == 1 ? 3 : 2, lie);
}

static void make(uint64_t ids, int lie)
{
    struct store *store = sample_store(path);
    for (uint64_t id = 1; id <= ids; id++) {
        struct manifest manifest;
        struct weir_error error;
        sample_manifest(&manifest, store_epoch(store), id);
        sample_aligned(&manifest);
        cr_assert_eq(store_claim(store, id, &error), WEIR_OK);
        for (uint32_t i = 0; i < 3; i++) {
            struct snapshot_writer writer = {.grow = grow};
            put_part(&writer, i, id == ids ? lie : 0);
            cr_assert_eq(store_part(store, id, BLOB_SNAPSHOT, i,
                                    (struct weir_bytes){writer.data, writer.size},
                                    &manifest.tasks[i].part, &error),
                         WEIR_OK);
            free(writer.data);
        }
        cr_assert_eq(store_sync(store, id, &error), WEIR_OK);
        cr_assert_eq(store_commit(store, &manifest, &error), WEIR_OK, "%s", error.text);
        manifest_free(&manifest);
    }
    store_close(&store);
}

static struct weir_store *view;
static struct weir_checkpoint *checkpoint;

static void look(uint64_t id)
{
    struct weir_error error;
    cr_assert_eq(weir_store_open(path, NULL, &view, &error), WEIR_OK, "%s", error.text);
    cr_assert_eq(weir_checkpoint_open(view, id, &checkpoint, &error), WEIR_OK, "%s", error.text);
}

static void look_away(void)
{
    weir_checkpoint_close(&checkpoint);
    weir_store_close(&view);
    cr_assert(view == NULL && checkpoint == NULL);
}

Test(view, lists_and_describes_checkpoints)
{
    struct weir_checkpoint_info info = {WEIR_SIZED(struct weir_checkpoint_info)};
    struct weir_error error;
    const uint64_t *ids;
    size_t count;
    make(3, 0);
    look(0);
    cr_assert_eq(weir_store_list(view, &ids, &count, &error), WEIR_OK);
    cr_assert(count == 3 && ids[0] == 1 && ids[2] == 3);
    weir_checkpoint_describe(checkpoint, &info);
    cr_assert(info.id == 3 && info.epoch == 1 && info.triggered_ns == 3000 && !info.final);
    cr_assert(info.nodes == 2 && info.edges == 1 && info.tasks == 3 && info.key_groups == 128);
    cr_assert_str_eq(info.reason, "interval");
    cr_assert_gt(info.raw_bytes, 0);
    look_away();
    look(2);
    weir_checkpoint_describe(checkpoint, &info);
    cr_assert_eq(info.id, 2);
    look_away();
}

Test(view, shows_the_graph_and_the_tasks)
{
    struct weir_checkpoint_node node = {WEIR_SIZED(struct weir_checkpoint_node)};
    struct weir_checkpoint_state state = {WEIR_SIZED(struct weir_checkpoint_state)};
    struct weir_checkpoint_edge edge = {WEIR_SIZED(struct weir_checkpoint_edge)};
    struct weir_checkpoint_task task = {WEIR_SIZED(struct weir_checkpoint_task)};
    make(1, 0);
    look(1);
    cr_assert(weir_checkpoint_get_node(checkpoint, 1, &node));
    cr_assert_str_eq(node.name, "count");
    cr_assert(node.parallelism == 2 && node.states == 1);
    cr_assert(weir_checkpoint_get_state(checkpoint, 1, 0, &state));
    cr_assert_str_eq(state.format, "u64");
    cr_assert(weir_checkpoint_get_edge(checkpoint, 0, &edge));
    cr_assert_str_eq(edge.routing, "by_key");
    cr_assert(weir_checkpoint_get_task(checkpoint, 2, &task));
    cr_assert(task.node == 1 && task.subtask == 1 && task.file_number == 1);
    cr_assert(task.handles == 2 && task.letters == 20);
    cr_assert_str_eq(task.note, "at \"byte\" 17\n");
    cr_assert_not(weir_checkpoint_get_node(checkpoint, 2, &node));
    cr_assert_not(weir_checkpoint_get_state(checkpoint, 0, 0, &state));
    cr_assert_not(weir_checkpoint_get_edge(checkpoint, 1, &edge));
    cr_assert_not(weir_checkpoint_get_task(checkpoint, 3, &task));
    look_away();
}

Test(view, an_older_caller_gets_what_it_knows_and_no_more)
{
    struct {
        struct weir_checkpoint_node node;
    } guarded;
    make(1, 0);
    look(1);
    memset(&guarded, 0x55, sizeof guarded);
    guarded.node.size = offsetof(struct weir_checkpoint_node, version);
    cr_assert(weir_checkpoint_get_node(checkpoint, 1, &guarded.node));
    cr_assert_str_eq(guarded.node.kind, "function");
    cr_assert_eq(guarded.node.version, 0x55555555);
    cr_assert_eq(guarded.node.size, offsetof(struct weir_checkpoint_node, version));
    look_away();
}

Test(view, walks_every_entry_of_a_state_over_all_subtasks)
{
    struct weir_row row = {WEIR_SIZED(struct weir_row)};
    struct weir_error error;
    struct weir_cursor *cursor;
    char all[256] = "";
    make(1, 0);
    look(0);
    cr_assert_eq(weir_cursor_open(checkpoint, WEIR_ROWS_STATE, "count", "total", &cursor, &error),
                 WEIR_OK);
    while (weir_cursor_next(cursor, &row)) {
        uint64_t value;
        char one[64];
        cr_assert_eq(row.value.size, 8);
        memcpy(&value, row.value.data, 8);
        snprintf(one, sizeof one, "[%u]%.*s=%llu ", row.subtask, (int)row.key.size,
                 (const char *)row.key.data, (unsigned long long)value);
        strcat(all, one);
    }
    cr_assert_eq(weir_cursor_close(&cursor, &error), WEIR_OK);
    cr_assert_str_eq(all, "[0]0/0=0 [0]0/1=1 [0]0/2=2 [1]1/0=0 [1]1/1=1 ");
    look_away();
}

Test(view, walks_operator_items_and_pending_handles)
{
    struct weir_row row = {WEIR_SIZED(struct weir_row)};
    struct weir_error error;
    struct weir_cursor *cursor;
    make(1, 0);
    look(0);
    cr_assert_eq(weir_cursor_open(checkpoint, WEIR_ROWS_ITEMS, "lines", NULL, &cursor, &error),
                 WEIR_OK);
    cr_assert(weir_cursor_next(cursor, &row));
    cr_assert(row.kind == 0 && row.value.size == 5 && memcmp(row.value.data, "first", 5) == 0);
    cr_assert(weir_cursor_next(cursor, &row));
    cr_assert(row.kind == 1 && row.value.size == 0);
    cr_assert_not(weir_cursor_next(cursor, &row));
    cr_assert_eq(weir_cursor_close(&cursor, &error), WEIR_OK);
    cr_assert_eq(weir_cursor_open(checkpoint, WEIR_ROWS_HANDLES, "count", NULL, &cursor, &error),
                 WEIR_OK);
    cr_assert(weir_cursor_next(cursor, &row));
    cr_assert(row.id == 41 && row.subtask == 1 && memcmp(row.value.data, "part-1", 6) == 0);
    cr_assert_not(weir_cursor_next(cursor, &row));
    cr_assert_eq(weir_cursor_close(&cursor, &error), WEIR_OK);
    cr_assert_eq(weir_cursor_close(&cursor, &error), WEIR_OK, "NULL is accepted");
    look_away();
}

Test(view, says_what_does_not_exist)
{
    struct weir_error error;
    struct weir_cursor *cursor;
    struct weir_checkpoint *none;
    make(1, 0);
    look(0);
    cr_assert_eq(weir_checkpoint_open(view, 9, &none, &error), WEIR_NOT_FOUND);
    cr_assert_eq(weir_cursor_open(checkpoint, WEIR_ROWS_ITEMS, "x", NULL, &cursor, &error),
                 WEIR_NOT_FOUND);
    cr_assert_eq(weir_cursor_open(checkpoint, WEIR_ROWS_STATE, "count", "x", &cursor, &error),
                 WEIR_NOT_FOUND);
    cr_assert_eq(weir_cursor_open(checkpoint, WEIR_ROWS_STATE, "count", NULL, &cursor, &error),
                 WEIR_NOT_FOUND);
    cr_assert_eq(weir_cursor_open(checkpoint, WEIR_ROWS_STATE, NULL, NULL, &cursor, &error),
                 WEIR_INVALID);
    look_away();
    cr_assert_eq(weir_store_open(scratch.path, NULL, &view, &error), WEIR_NOT_FOUND);
    snprintf(path, sizeof path, "%s/empty", scratch.path);
    make(0, 0);
    cr_assert_eq(weir_store_open(path, NULL, &view, &error), WEIR_OK);
    cr_expect_eq(strlen(weir_store_identity(view)), 32);
    cr_expect_eq(strspn(weir_store_identity(view), "0123456789abcdef"), 32);
    cr_assert_eq(weir_checkpoint_open(view, 0, &none, &error), WEIR_NOT_FOUND);
    weir_store_close(&view);
}

static void count_sound(void *context, uint64_t id, const struct weir_error *error)
{
    unsigned *sound = context;
    (void)id;
    *sound += error->code == WEIR_OK;
}

Test(view, verifies_down_to_the_last_entry_and_names_what_is_wrong)
{
    static const int lies[] = {1, -1, 1000000000};
    for (int i = 0; i < 3; i++) {
        struct weir_row row = {WEIR_SIZED(struct weir_row)};
        struct weir_error error;
        struct weir_cursor *cursor;
        unsigned sound = 0;
        snprintf(path, sizeof path, "%s/store%d", scratch.path, i);
        make(2, lies[i]);
        look(0);
        cr_assert_eq(weir_store_verify(view, 1, &error), WEIR_OK, "%s", error.text);
        cr_assert_eq(weir_store_verify(view, 2, &error), WEIR_DAMAGED);
        cr_assert_not_null(strstr(error.text, "checkpoint 2: data/0000000001-00000000000000000002"),
                           "%s", error.text);
        cr_assert_eq(weir_store_verify_all(view, count_sound, &sound, &error), WEIR_DAMAGED);
        cr_assert_eq(sound, 1);
        cr_assert_not_null(strstr(error.text, "node 'count'"), "%s", error.text);
        cr_assert_eq(
            weir_cursor_open(checkpoint, WEIR_ROWS_STATE, "count", "total", &cursor, &error),
            WEIR_OK);
        while (weir_cursor_next(cursor, &row))
            ;
        cr_assert_not(weir_cursor_next(cursor, &row), "an error stays");
        cr_assert_eq(weir_cursor_close(&cursor, &error), WEIR_DAMAGED);
        look_away();
    }
}
