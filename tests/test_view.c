/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint_sample.h"

#include "item.h"
#include "snapshot.h"
#include "state.h"
#include "weir_checkpoint.h"
#include "store_clean.h"

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

/* The state of one subtask of two: `count` keys "subtask/i" -> i, whose groups are its own. The log
 * has two segments: in the second, the first key has its value again, and another is removed. */
static struct state *make_state(uint32_t subtask, uint64_t count, struct state_cut *cut)
{
    struct state *state = state_new(NULL, 8);
    struct weir_bytes removed = {"", 0};
    char key[16];
    for (uint64_t i = 0; state_count(state) < count + 1; i++) {
        struct weir_bytes view = {
            key, (size_t)snprintf(key, sizeof key, "%u/%llu", subtask, (unsigned long long)i)};
        uint64_t hash = state_hash(view);
        if (state_owner(state_group(hash, 128), 2, 128) == subtask)
            cr_assert_eq(state_put(state, view, hash, (struct weir_bytes){&i, 8}), WEIR_OK);
    }
    cr_assert_eq(state_cut(state, cut), WEIR_OK);
    state_cut_free(cut);
    for (int i = 0; i < 2; i++) {
        struct weir_bytes value;
        cr_assert_eq(state_scan_next(state, &removed, &value), WEIR_OK);
        cr_assert_eq(state_put(state, removed, state_hash(removed), value), WEIR_OK);
    }
    state_scan_rewind(state);
    cr_assert_eq(state_remove(state, removed, state_hash(removed)), WEIR_OK);
    cr_assert_eq(state_cut(state, cut), WEIR_OK);
    cr_assert_eq(cut->count, 2);
    return state;
}

#define LIE_STATE 100 /* that a segment is of a state that there is not */
#define LIE_RANGE 101 /* that its keys' hashes lie elsewhere */

/* What the part has of it; `lie` is added to the count of keys. */
static void put_state(struct snapshot_writer *writer, uint32_t subtask, uint64_t count, int lie)
{
    struct state_cut cut;
    struct state *state = make_state(subtask, count, &cut);
    snapshot_begin(writer, SNAPSHOT_STATE, 0);
    snapshot_text(writer, "total");
    snapshot_u32(writer, 1);
    snapshot_u32(writer, 8);
    snapshot_u32(writer, STATE_VALUE);
    snapshot_u32(writer, 0);
    size_t at = writer->size;
    state_save(state, writer);
    snapshot_store_u64(writer->data + at,
                       count + (uint64_t)(int64_t)(lie >= LIE_STATE && lie <= LIE_RANGE ? 0 : lie));
    snapshot_end(writer);
    state_cut_free(&cut);
    state_free(&state);
}

#define STATE_COUNT(task) ((task) == 1 ? 3u : 2u) /* keys */

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
        put_state(writer, task - 1, STATE_COUNT(task), lie);
}

/* --- what is in flight ---------------------------------------------------------------------- */

/* Appends a record to a batch; key and value are texts. */
static void put_record(struct snapshot_writer *batch, const char *key, const char *value,
                       int64_t time)
{
    bool timed = time != ITEM_NO_TIME;
    struct item_head head = {(uint32_t)strlen(key),
                             (uint32_t)strlen(value) | (timed ? ITEM_TIMED : 0)};
    unsigned char *to = snapshot_room(batch, item_size(strlen(key), strlen(value), timed));
    memset(to, 0, item_size(strlen(key), strlen(value), timed));
    memcpy(to, &head, sizeof head);
    to += sizeof head;
    if (timed)
        memcpy(to, &time, sizeof time);
    to += timed ? sizeof time : 0;
    memcpy(to, key, strlen(key));
    memcpy(to + item_round(strlen(key)), value, strlen(value));
}

static void put_mark(struct snapshot_writer *batch, enum item_mark_kind kind, int64_t time)
{
    struct item_mark mark = {{ITEM_MARK, kind}, time};
    snapshot_bytes(batch, &mark, sizeof mark);
}

/* What a piece may lie about. */
enum lie {
    NO_LIE,
    LIE_ITEM,    /* an item longer than what is left */
    LIE_PADDING, /* and one with dirt in it */
    LIE_EDGE,
    LIE_FROM,
    LIE_TO,
    LIE_SUBTASK, /* content of a channel that is another task's */
    LIE_SIDE,
    LIE_SHORT,   /* a section without all its numbers */
    LIE_SECTION, /* a section of a part */
    LIE_TAG,
    LIE_PART, /* content in flight in a part */
    LIE_COUNT,
    LIES,
};

/* A batch on the channel lines[0] -> count[to], as task 0 or 1 records it. */
static void put_batch(struct snapshot_writer *writer, enum snapshot_side side, uint32_t to,
                      uint32_t records, struct snapshot_writer *batch, enum lie lie)
{
    struct snapshot_inflight inflight = {
        .side = side, .to_subtask = to, .records = records, .items = {batch->data, batch->size}};
    inflight.edge = lie == LIE_EDGE;
    inflight.from_subtask = lie == LIE_FROM;
    inflight.to_subtask = lie == LIE_TO ? 2 : lie == LIE_SUBTASK ? 1 : to;
    inflight.records += lie == LIE_COUNT;
    if (lie == LIE_ITEM)
        batch->data[0] = 200;
    if (lie == LIE_PADDING)
        batch->data[15] = 1;
    snapshot_inflight(writer, &inflight);
    if (lie == LIE_SIDE)
        writer->data[4] = 2;
    if (lie == LIE_TAG)
        writer->data[0] = 99;
    free(batch->data);
    *batch = (struct snapshot_writer){.grow = grow};
    if (lie == LIE_SHORT) {
        snapshot_begin(writer, SNAPSHOT_INFLIGHT, 0);
        snapshot_u32(writer, 0);
        snapshot_end(writer);
    }
    if (lie == LIE_SECTION) {
        snapshot_begin(writer, SNAPSHOT_ITEM, 0);
        snapshot_end(writer);
    }
}

/* Piece `index` of task 0 (its outlet) or 1 (its input from task 0). */
static void put_piece(struct snapshot_writer *writer, uint32_t task, uint32_t index, enum lie lie)
{
    struct snapshot_writer batch = {.grow = grow};
    if (task == 0) {
        put_record(&batch, "e", "5", 50);
        put_batch(writer, SNAPSHOT_OUTLET_SIDE, 0, 1, &batch, NO_LIE);
        put_record(&batch, "x", "1", ITEM_NO_TIME);
        put_record(&batch, "y", "", 7);
        put_batch(writer, SNAPSHOT_OUTLET_SIDE, 1, 0, &batch, NO_LIE);
        put_mark(&batch, ITEM_WATERMARK, 60);
        put_record(&batch, "f", "6", 61);
        put_batch(writer, SNAPSHOT_OUTLET_SIDE, 0, 1, &batch, NO_LIE);
    } else if (index == 0) {
        put_record(&batch, "a", "1", ITEM_NO_TIME);
        put_mark(&batch, ITEM_WATERMARK, 10);
        put_record(&batch, "bb", "a value of 24 bytes long", 20);
        put_batch(writer, SNAPSHOT_CHANNEL_SIDE, 0, 2, &batch, lie);
        put_mark(&batch, ITEM_IDLE, ITEM_NO_TIME);
        put_batch(writer, SNAPSHOT_CHANNEL_SIDE, 0, 0, &batch, NO_LIE);
    } else {
        put_batch(writer, SNAPSHOT_CHANNEL_SIDE, 0, 0, &batch, NO_LIE); /* nothing in it */
        put_record(&batch, "", "3", 30);
        put_record(&batch, "d", "4", 40);
        put_batch(writer, SNAPSHOT_CHANNEL_SIDE, 0, 2, &batch, NO_LIE);
    }
}

/* --- whole stores ---------------------------------------------------------------------------- */

static void write_blob(struct store *store, uint64_t id, uint32_t task, enum blob_kind kind,
                       struct snapshot_writer *writer, struct manifest_blob *place)
{
    struct weir_error error;
    struct weir_bytes raw = {writer->data, writer->size};
    cr_assert_eq(store_part(store, id, kind, task, raw, place, &error), WEIR_OK);
    free(writer->data);
}

/* And what the store has of it. */
static void put_log(struct store *store, uint64_t id, uint32_t task, int lie,
                    struct manifest_task *to)
{
    struct state_cut cut;
    struct state *state = make_state(task - 1, STATE_COUNT(task), &cut);
    for (uint32_t k = 0; k < cut.count; k++) {
        struct manifest_segment place;
        struct weir_error error;
        cr_assert_eq(store_segment(store, id, task, 0, cut.segments[k], &place, &error), WEIR_OK);
        place.state += lie == LIE_STATE && k == 1;
        if (lie == LIE_RANGE)
            place.place.first = place.place.last;
        sample_add_segment(to, &place);
    }
    state_cut_free(&cut);
    state_free(&state);
}

/* Checkpoints 1 .. ids. The last lies: its states about their counts, or a piece in flight. */
static void make_lying(uint64_t ids, int state_lie, enum lie lie)
{
    struct store *store = sample_store(path);
    for (uint64_t id = 1; id <= ids; id++) {
        struct manifest manifest;
        struct weir_error error;
        sample_manifest(&manifest, store_epoch(store), id);
        cr_assert_eq(store_claim(store, id, &error), WEIR_OK);
        for (uint32_t i = 0; i < 3; i++) {
            struct manifest_task *task = &manifest.tasks[i];
            struct snapshot_writer writer = {.grow = grow};
            put_part(&writer, i, id == ids ? state_lie : 0);
            if (id == ids && lie == LIE_PART)
                put_piece(&writer, 1, 0, NO_LIE);
            write_blob(store, id, i, BLOB_SNAPSHOT, &writer, &task->part);
            for (uint32_t k = 0; k < task->inflight_count; k++) {
                writer = (struct snapshot_writer){.grow = grow};
                put_piece(&writer, i, k, id == ids ? lie : NO_LIE);
                write_blob(store, id, i, BLOB_INFLIGHT, &writer, &task->inflight[k]);
            }
            if (i > 0)
                put_log(store, id, i, id == ids ? state_lie : 0, task);
        }
        cr_assert_eq(store_sync(store, id, &error), WEIR_OK);
        cr_assert_eq(store_commit(store, &manifest, &error), WEIR_OK, "%s", error.text);
        manifest_free(&manifest);
    }
    store_close(&store);
}

static void make(uint64_t ids, int state_lie)
{
    make_lying(ids, state_lie, NO_LIE);
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

Test(view, tells_of_the_run_that_has_the_store)
{
    struct weir_store_run run = {WEIR_SIZED(struct weir_store_run)};
    struct store_options options = {.path = path, .key_groups = 128};
    struct weir_error error;
    struct store *store;
    make(1, 0);
    look(0);
    cr_assert_eq(weir_store_get_run(view, &run, &error), WEIR_OK);
    cr_assert(!run.alive && !run.savepoint && run.epoch == 1);
    cr_assert_eq(run.process, (uint32_t)getpid());
    cr_assert_eq(store_open(&options, &store, &error), WEIR_OK, "%s", error.text);
    cr_assert_eq(weir_store_get_run(view, &run, &error), WEIR_OK);
    cr_assert(run.alive && run.epoch == 2, "as of now, not of the view's begin");
    store_close(&store);
    cr_assert_eq(weir_store_get_run(view, &run, &error), WEIR_OK);
    cr_assert(!run.alive && run.epoch == 2 && !run.cleaning);
    cr_assert_eq(store_open_to_clean(path, NULL, &store, &error), WEIR_OK, "%s", error.text);
    cr_assert_eq(weir_store_get_run(view, &run, &error), WEIR_OK);
    cr_assert(run.alive && run.cleaning && run.epoch == 3);
    store_close(&store);
    cr_assert_eq(weir_store_get_run(view, &run, &error), WEIR_OK);
    cr_assert(!run.alive && run.cleaning);
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
    cr_assert_str_eq(info.mode, "adaptive");
    cr_assert(info.overtaken && info.sealed_ns == 4 && info.last_task == 1);
    cr_assert(info.channel_bytes == 30 && info.outlet_bytes == 20);
    look_away();
    look(2);
    weir_checkpoint_describe(checkpoint, &info);
    cr_assert_eq(info.id, 2);
    look_away();
}

Test(view, sums_include_what_was_in_flight)
{
    struct weir_checkpoint_info info = {WEIR_SIZED(struct weir_checkpoint_info)};
    struct weir_checkpoint_task task = {WEIR_SIZED(struct weir_checkpoint_task)};
    uint64_t parts = 0, pieces = 0, file;
    struct stat status;
    make(1, 0);
    look(1);
    weir_checkpoint_describe(checkpoint, &info);
    for (uint32_t i = 0; weir_checkpoint_get_task(checkpoint, i, &task); i++) {
        parts += task.stored_bytes;
        pieces += task.inflight_stored_bytes;
        cr_assert_eq(task.inflight_stored_bytes == 0, i == 2);
    }
    cr_assert_eq(info.stored_bytes, parts + pieces);
    const char *segment = "data/0000000001-00000000000000000001.seg";
    cr_assert_eq(stat(scratch_join(path, segment), &status), 0);
    file = (uint64_t)status.st_size;
    cr_assert_eq(info.stored_bytes, file, "all that is in the container");
    cr_assert_gt(info.raw_bytes, 0);
    look_away();
}

/* It counts in each checkpoint that names it, whoever wrote it. */
Test(view, sums_include_shared_state)
{
    struct weir_checkpoint_info infos[2] = {{WEIR_SIZED(struct weir_checkpoint_info)},
                                            {WEIR_SIZED(struct weir_checkpoint_info)}};
    struct store *store = sample_store(path);
    struct manifest manifests[2];
    struct weir_error error;
    uint64_t stored = 0, raw = 0;
    for (uint64_t id = 1; id <= 2; id++) {
        cr_assert_eq(store_claim(store, id, &error), WEIR_OK, "%s", error.text);
        sample_parts(store, id, &manifests[id - 1]);
        if (id == 2)
            sample_share(&manifests[1], &manifests[0]);
        cr_assert_eq(store_sync(store, id, &error), WEIR_OK, "%s", error.text);
        cr_assert_eq(store_commit(store, &manifests[id - 1], &error), WEIR_OK, "%s", error.text);
        look(id);
        weir_checkpoint_describe(checkpoint, &infos[id - 1]);
        look_away();
    }
    for (uint32_t i = 0; i < 3; i++) {
        for (uint32_t k = 0; k < manifests[0].tasks[i].state_count; k++) {
            stored += BLOB_HEADER_SIZE + manifests[0].tasks[i].state[k].place.blob.stored_size;
            raw += manifests[0].tasks[i].state[k].place.blob.raw_size;
        }
    }
    cr_assert(stored > 0 && infos[1].stored_bytes == infos[0].stored_bytes + stored);
    cr_assert(raw > 0 && infos[1].raw_bytes == infos[0].raw_bytes + raw);
    manifest_free(&manifests[0]);
    manifest_free(&manifests[1]);
    store_close(&store);
}

Test(view, a_changed_byte_of_state_is_found)
{
    unsigned char bytes[8192];
    struct weir_error error;
    struct manifest manifest;
    struct store *store;
    make(1, 0);
    cr_assert_eq(store_view(path, NULL, &store, &error), WEIR_OK, "%s", error.text);
    cr_assert_eq(store_manifest(store, 1, &manifest, &error), WEIR_OK, "%s", error.text);
    store_close(&store);
    look(1);
    const char *file = scratch_join(path, "data/0000000001-00000000000000000001.seg");
    size_t size = scratch_read(file, bytes, sizeof bytes);
    for (uint32_t i = 1; i < 3; i++) {
        const struct manifest_blob *place = &manifest.tasks[i].state[0].place;
        bytes[place->offset + BLOB_HEADER_SIZE + 9] ^= 1;
        scratch_write(file, bytes, size);
        cr_assert_eq(weir_store_verify(view, 1, &error), WEIR_DAMAGED);
        cr_assert_not_null(strstr(error.text, ", state): "), "%s", error.text);
        bytes[place->offset + BLOB_HEADER_SIZE + 9] ^= 1;
    }
    scratch_write(file, bytes, size);
    cr_assert_eq(weir_store_verify(view, 1, &error), WEIR_OK, "%s", error.text);
    manifest_free(&manifest);
    look_away();
}

Test(view, shows_where_the_time_of_a_task_went)
{
    struct weir_checkpoint_task task = {WEIR_SIZED(struct weir_checkpoint_task)};
    make(1, 0);
    look(1);
    cr_assert(weir_checkpoint_get_task(checkpoint, 0, &task));
    cr_assert(task.outlet_bytes == 20 && task.channel_bytes == 0 && !task.overtook);
    cr_assert(task.last_edge == UINT32_MAX && task.last_from == UINT32_MAX);
    cr_assert(weir_checkpoint_get_task(checkpoint, 1, &task));
    cr_assert(task.outlet_bytes == 0 && task.channel_bytes == 30 && task.overtook);
    cr_assert(task.cut_ns == 21 && task.cut_cpu_ns == 20);
    cr_assert(task.wait_ns == 11 && task.align_ns == 12 && task.record_ns == 13);
    cr_assert(task.write_ns == 15 && task.last_edge == 0 && task.last_from == 0);
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
    cr_assert_not(edge.feedback);
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
    cr_assert_str_eq(all, "[0]0/0=0 [0]0/5=5 [0]0/2=2 [1]1/4=4 [1]1/0=0 ",
                     "in the order of hashes");
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

/* Reads all rows in flight into `all`, to the end or to what is wrong. */
static enum weir_result read_inflight(const char *node, char *all, size_t size)
{
    struct weir_row row = {WEIR_SIZED(struct weir_row)};
    struct weir_error error;
    struct weir_cursor *cursor;
    size_t used = 0;
    all[0] = 0;
    cr_assert_eq(weir_cursor_open(checkpoint, WEIR_ROWS_INFLIGHT, node, NULL, &cursor, &error),
                 WEIR_OK);
    while (weir_cursor_next(cursor, &row)) {
        cr_assert_eq(row.edge, 0);
        used += (size_t)snprintf(all + used, size - used, "%s%u>%u %.*s=%.*s",
                                 row.in_outlet ? "out " : "", row.from_subtask, row.subtask,
                                 (int)row.key.size, (const char *)row.key.data, (int)row.value.size,
                                 (const char *)row.value.data);
        if (row.time != INT64_MIN)
            used += (size_t)snprintf(all + used, size - used, "@%lld", (long long)row.time);
        used += (size_t)snprintf(all + used, size - used, ", ");
    }
    cr_assert_not(weir_cursor_next(cursor, &row), "the end stays");
    return weir_cursor_close(&cursor, &error);
}

Test(view, walks_records_in_flight_in_the_order_of_their_channel)
{
    static const char expected[] =
        "0>0 a=1, 0>0 bb=a value of 24 bytes long@20, 0>0 =3@30, 0>0 d=4@40, out 0>0 e=5@50, "
        "out 0>1 x=1, out 0>1 y=@7, out 0>0 f=6@61, ";
    char all[512];
    make(2, 0);
    look(0);
    cr_assert_eq(read_inflight(NULL, all, sizeof all), WEIR_OK);
    cr_assert_str_eq(all, expected);
    cr_assert_eq(read_inflight("count", all, sizeof all), WEIR_OK);
    cr_assert_str_eq(all, expected);
    cr_assert_eq(read_inflight("lines", all, sizeof all), WEIR_OK);
    cr_assert_str_eq(all, "", "nothing leads to it");
    look_away();
}

Test(view, an_older_caller_gets_rows_as_it_knows_them)
{
    struct weir_row row;
    struct weir_error error;
    struct weir_cursor *cursor;
    make(1, 0);
    look(1);
    memset(&row, 0x55, sizeof row);
    row.size = offsetof(struct weir_row, edge);
    cr_assert_eq(weir_cursor_open(checkpoint, WEIR_ROWS_STATE, "count", "total", &cursor, &error),
                 WEIR_OK);
    cr_assert(weir_cursor_next(cursor, &row));
    cr_assert(row.subtask == 0 && row.id == 0 && row.edge == 0x55555555);
    row.size = sizeof row;
    cr_assert(weir_cursor_next(cursor, &row));
    cr_assert(row.edge == 0 && row.time == INT64_MIN && !row.in_outlet);
    cr_assert_eq(weir_cursor_close(&cursor, &error), WEIR_OK);
    look_away();
}

Test(view, verifies_what_is_in_flight_down_to_the_last_record)
{
    for (enum lie lie = NO_LIE; lie < LIES; lie++) {
        struct weir_error error = {0};
        char all[512];
        snprintf(path, sizeof path, "%s/store%d", scratch.path, (int)lie);
        make_lying(2, 0, lie);
        look(2);
        enum weir_result expected = lie == NO_LIE ? WEIR_OK : WEIR_DAMAGED;
        cr_assert_eq(weir_store_verify(view, 1, &error), WEIR_OK, "%s", error.text);
        cr_assert_eq(weir_store_verify(view, 2, &error), expected, "lie %d", (int)lie);
        if (lie != NO_LIE)
            cr_assert_not_null(strstr(error.text, "checkpoint 2: data/0000000001-000000000"), "%s",
                               error.text);
        /* A cursor does not count, passes sections of other kinds over, and reads no part. */
        bool met = lie != LIE_COUNT && lie != LIE_SECTION && lie != LIE_PART;
        cr_assert_eq(read_inflight(NULL, all, sizeof all), met ? expected : WEIR_OK, "lie %d",
                     (int)lie);
        look_away();
    }
}

Test(view, damage_to_what_is_in_flight_is_found_by_the_cursor)
{
    unsigned char bytes[4096];
    char all[512], file[512];
    struct manifest manifest;
    struct weir_error error;
    struct store *store;
    make(1, 0);
    cr_assert_eq(store_view(path, NULL, &store, &error), WEIR_OK);
    cr_assert_eq(store_manifest(store, 1, &manifest, &error), WEIR_OK);
    strcpy(file, scratch_join(path, "data/0000000001-00000000000000000001.seg"));
    size_t size = scratch_read(file, bytes, sizeof bytes);
    const struct manifest_blob *last = &manifest.tasks[1].inflight[1];
    size_t at = (size_t)last->offset, end = at + BLOB_HEADER_SIZE + (size_t)last->blob.stored_size;
    for (; at < end; at++) {
        bytes[at] ^= 4;
        scratch_write(file, bytes, size);
        look(1);
        cr_assert_eq(read_inflight("count", all, sizeof all), WEIR_DAMAGED, "byte %zu", at);
        look_away();
        bytes[at] ^= 4;
    }
    manifest_free(&manifest);
    store_close(&store);
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
    cr_assert_eq(weir_cursor_open(checkpoint, WEIR_ROWS_INFLIGHT, "x", NULL, &cursor, &error),
                 WEIR_NOT_FOUND);
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
    static const int lies[] = {1, -1, 1000000000, LIE_STATE, LIE_RANGE};
    for (int i = 0; i < 5; i++) {
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

/* --- one key ---------------------------------------------------------------------------------- */

#define FIND_KEYS 300000u /* a segment of some blobs */

static struct weir_bytes find_key(const uint64_t *key)
{
    return (struct weir_bytes){key, sizeof *key};
}

/* The logs of node 'count', one a subtask: all keys with their number as value; then every tenth
 * anew and every eleventh removed, of which every second comes again. */
static void make_large(void)
{
    struct store *store = sample_store(path);
    struct manifest manifest;
    struct weir_error error;
    cr_assert_eq(store_claim(store, 1, &error), WEIR_OK);
    sample_manifest(&manifest, store_epoch(store), 1);
    sample_aligned(&manifest);
    for (uint32_t i = 0; i < 3; i++) {
        struct snapshot_writer writer = {.grow = grow};
        put_part(&writer, i, 0);
        write_blob(store, 1, i, BLOB_SNAPSHOT, &writer, &manifest.tasks[i].part);
    }
    for (uint32_t task = 1; task < 3; task++) {
        struct state *state = state_new(NULL, 8);
        struct state_cut cuts[2];
        for (int round = 0; round < 2; round++) {
            for (uint64_t key = 0; key < FIND_KEYS; key++) {
                uint64_t hash = state_hash(find_key(&key)), value = key + (unsigned)round;
                if (state_owner(state_group(hash, 128), 2, 128) != task - 1)
                    continue;
                if (round == 1 && key % 11 == 0)
                    cr_assert_eq(state_remove(state, find_key(&key), hash), WEIR_OK);
                if (round == 0 || key % 22 == 0 || (key % 10 == 0 && key % 11 > 0))
                    memcpy(state_cell(state, find_key(&key), hash), &value, sizeof value);
            }
            cr_assert_eq(state_cut(state, &cuts[round]), WEIR_OK);
        }
        cr_assert_eq(cuts[1].count, 2);
        for (uint32_t k = 0; k < 2; k++) {
            struct manifest_segment place;
            cr_assert_eq(store_segment(store, 1, task, 0, cuts[1].segments[k], &place, &error),
                         WEIR_OK, "%s", error.text);
            sample_add_segment(&manifest.tasks[task], &place);
        }
        state_cut_free(&cuts[0]);
        state_cut_free(&cuts[1]);
        state_free(&state);
    }
    cr_assert_eq(store_sync(store, 1, &error), WEIR_OK);
    cr_assert_eq(store_commit(store, &manifest, &error), WEIR_OK, "%s", error.text);
    cr_assert_gt(manifest.tasks[1].state[0].blob_count, 2);
    manifest_free(&manifest);
    store_close(&store);
}

static enum weir_result find(uint64_t key, uint64_t *number, struct weir_error *error)
{
    struct weir_bytes value;
    enum weir_result result =
        weir_checkpoint_find(checkpoint, "count", "total", find_key(&key), &value, error);
    if (result == WEIR_OK) {
        cr_assert_eq(value.size, sizeof *number);
        memcpy(number, value.data, sizeof *number);
    }
    return result;
}

Test(view, finds_the_newest_value_of_a_key)
{
    struct weir_error error;
    struct weir_bytes value;
    make_large();
    look(1);
    for (uint64_t key = 0; key < FIND_KEYS + 700; key += 2999) {
        uint64_t number = 0;
        bool again = key % 22 == 0, there = key < FIND_KEYS && (key % 11 != 0 || again);
        cr_assert_eq(find(key, &number, &error), there ? WEIR_OK : WEIR_NOT_FOUND);
        cr_assert_eq(number, there ? key + (key % 10 == 0 || again) : 0);
    }
    cr_assert_eq(weir_checkpoint_find(checkpoint, "lines", "total", find_key(&(uint64_t){1}),
                                      &value, &error),
                 WEIR_NOT_FOUND);
    cr_assert_eq(
        weir_checkpoint_find(checkpoint, "count", "none", find_key(&(uint64_t){1}), &value, &error),
        WEIR_NOT_FOUND);
    cr_assert_eq(
        weir_checkpoint_find(checkpoint, "none", "total", find_key(&(uint64_t){1}), &value, &error),
        WEIR_NOT_FOUND);
    look_away();
}

/* Where a blob of state lies in the file that holds it; flipping a byte there is damage. */
static void flip(const struct manifest_blob *place)
{
    char name[128];
    unsigned char byte;
    snprintf(name, sizeof name, "data/%010u-%020llu.seg", place->file_epoch,
             (unsigned long long)place->file_number);
    FILE *file = fopen(scratch_join(path, name), "r+b");
    cr_assert_not_null(file);
    cr_assert_eq(fseek(file, (long)(place->offset + BLOB_HEADER_SIZE + 30), SEEK_SET), 0);
    cr_assert_eq(fread(&byte, 1, 1, file), 1);
    byte ^= 1;
    cr_assert_eq(fseek(file, -1, SEEK_CUR), 0);
    cr_assert_eq(fwrite(&byte, 1, 1, file), 1);
    cr_assert_eq(fclose(file), 0);
}

/* All other blobs are damaged, and nobody notices; then the one is. */
Test(view, a_find_reads_of_each_segment_the_one_blob_that_may_have_the_key)
{
    const uint64_t key = 7;
    struct manifest_blob *blobs[2] = {NULL, NULL};
    struct manifest manifest;
    struct weir_error error;
    struct store *store;
    uint64_t number = 0;
    uint32_t upper = (uint32_t)(state_hash(find_key(&key)) >> 32), wanted = 0;
    make_large();
    cr_assert_eq(store_view(path, NULL, &store, &error), WEIR_OK);
    cr_assert_eq(store_manifest(store, 1, &manifest, &error), WEIR_OK);
    uint32_t task = 1 + state_owner(state_group(state_hash(find_key(&key)), 128), 2, 128);
    for (uint32_t i = 1; i < 3; i++) {
        for (uint32_t k = 0; k < 2; k++) {
            const struct manifest_segment *segment = &manifest.tasks[i].state[k];
            struct manifest_blob **list = &blobs[k];
            memory_release(NULL, *list);
            cr_assert_eq(store_list_blobs(store, &manifest, i, k, list, &error), WEIR_OK);
            for (uint32_t b = 0; b < segment->blob_count; b++) {
                bool its = i == task && upper >= (*list)[b].first && upper <= (*list)[b].last;
                wanted += its;
                if (!its)
                    flip(&(*list)[b]);
            }
        }
    }
    cr_assert_leq(wanted, 2, "of two segments");
    look(1);
    cr_assert_eq(find(key, &number, &error), WEIR_OK, "%s", error.text);
    cr_assert_eq(number, key);
    cr_assert_eq(weir_store_verify(view, 1, &error), WEIR_DAMAGED);
    look_away();
    memory_release(NULL, blobs[0]);
    memory_release(NULL, blobs[1]);
    manifest_free(&manifest);
    store_close(&store);
}
