/* SPDX-License-Identifier: Apache-2.0
 *
 * weir_difference beside a naive twin, that walks both checkpoints with cursors and compares: over
 * random histories of each kind of state, with compaction, full checkpoints, and runs that begin
 * again with an older checkpoint. WEIR_TEST_SEED repeats a run.
 */
#include "chance.h"
#include "checkpoint_sample.h"
#include "explore.h"

#include <fcntl.h>

#include "name.h"
#include "state_list.h"
#include "state_map.h"
#include "state_timers.h"
#include "view_inside.h"

#define SUBTASKS 2u
#define ROUNDS 7u
#define TTL 1000u

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

TestSuite(difference, .init = start, .fini = stop, .timeout = 120);

/* ---- a job's node with one state, and its checkpoints ---- */

struct history {
    struct store *store;
    struct state_type type;
    uint32_t keys;
    size_t value_most; /* bytes */
    struct state *states[SUBTASKS];
    uint64_t id; /* of the newest checkpoint */
    int64_t now;
};

static void begin(struct history *history, enum state_kind kind, uint32_t keys, size_t value_most)
{
    *history = (struct history){.type = {.kind = kind}, .keys = keys, .value_most = value_most};
    history->store = sample_store(path);
    for (uint32_t i = 0; i < SUBTASKS; i++)
        history->states[i] = state_new_of(NULL, &history->type);
}

static void end(struct history *history)
{
    for (uint32_t i = 0; i < SUBTASKS; i++)
        state_free(&history->states[i]);
    store_close(&history->store);
}

static void forget(void *stored)
{
    free(stored);
}

static unsigned char *grow(void *context, unsigned char *data, size_t size, size_t capacity)
{
    (void)context;
    (void)size;
    return realloc(data, capacity);
}

/* Where a segment lies: written now, if it has not been or all of it is wanted again. */
static struct manifest_segment put_segment(struct history *history, uint64_t id, uint32_t task,
                                           struct segment *segment, bool again)
{
    struct weir_error error;
    if (segment->stored == NULL || again) {
        struct manifest_segment *place = malloc(sizeof *place);
        cr_assert_eq(store_segment(history->store, id, task, 0, segment, place, &error), WEIR_OK,
                     "%s", error.text);
        free(segment->stored);
        segment->stored = place;
        segment->forget = forget;
    }
    return *(struct manifest_segment *)segment->stored;
}

static void put_task(struct history *history, uint64_t id, uint32_t index, bool full,
                     struct manifest_task *task)
{
    struct snapshot_writer writer = {.grow = grow};
    struct weir_error error;
    struct state_cut cut = {0};
    if (index > 0) {
        struct state *state = history->states[index - 1];
        cr_assert_eq(state_cut(state, &cut), WEIR_OK);
        snapshot_begin(&writer, SNAPSHOT_STATE, 0);
        snapshot_text(&writer, "total");
        snapshot_u32(&writer, 1);
        snapshot_u32(&writer, history->type.value_size);
        snapshot_u32(&writer, history->type.kind);
        snapshot_u32(&writer, history->type.ttl_ns > 0);
        state_save(state, &writer);
        snapshot_end(&writer);
    }
    for (uint32_t i = 0; i < cut.count; i++) {
        struct manifest_segment place = put_segment(history, id, index, cut.segments[i], full);
        sample_add_segment(task, &place);
    }
    cr_assert_eq(store_part(history->store, id, BLOB_SNAPSHOT, index,
                            (struct weir_bytes){writer.data, writer.size}, &task->part, &error),
                 WEIR_OK, "%s", error.text);
    state_cut_free(&cut);
    free(writer.data);
}

static uint64_t checkpoint(struct history *history, bool full)
{
    struct manifest manifest;
    struct weir_error error;
    uint64_t id = ++history->id;
    sample_manifest(&manifest, store_epoch(history->store), id);
    sample_aligned(&manifest);
    struct manifest_state *state = &manifest.graph.nodes[1].states[0];
    state->kind = history->type.kind;
    state->value_size = history->type.value_size;
    state->expires = history->type.ttl_ns > 0;
    cr_assert_eq(store_claim(history->store, id, &error), WEIR_OK);
    for (uint32_t i = 0; i < 1 + SUBTASKS; i++)
        put_task(history, id, i, full, &manifest.tasks[i]);
    cr_assert_eq(store_sync(history->store, id, &error), WEIR_OK);
    cr_assert_eq(store_commit(history->store, &manifest, &error), WEIR_OK, "%s", error.text);
    manifest_free(&manifest);
    return id;
}

/* As a job's start does, so that its segments are known to be written. */
static struct segment *get_segment(struct history *history, const struct manifest *manifest,
                                   uint32_t task, uint32_t index)
{
    const struct manifest_segment *place = &manifest->tasks[task].state[index];
    struct segment *segment = segment_new(NULL);
    struct manifest_blob *blobs;
    struct blob_buffer stored = {0};
    struct weir_error error = {0};
    cr_assert_eq(store_list_blobs(history->store, manifest, task, index, &blobs, &error), WEIR_OK);
    for (uint32_t i = 0; i < place->blob_count; i++) {
        struct blob_buffer raw = {0};
        cr_assert_eq(store_fetch(history->store, manifest, task, &blobs[i], &stored, &raw, &error),
                     WEIR_OK);
        cr_assert(segment_restore(segment, raw.data, raw.size, raw.capacity, blobs[i].first,
                                  blobs[i].last));
    }
    memory_release(NULL, blobs);
    blob_buffer_free(&stored, NULL);
    segment->stored = malloc(sizeof *place);
    memcpy(segment->stored, place, sizeof *place);
    segment->forget = forget;
    return segment;
}

static struct state *get_state(struct history *history, const struct manifest *manifest,
                               uint32_t task)
{
    struct state *state = state_new_of(NULL, &history->type);
    struct state_range range = {state_first_group(task - 1, SUBTASKS, 128),
                                state_first_group(task, SUBTASKS, 128), 128};
    struct blob_buffer part = {0};
    struct snapshot_section section;
    struct weir_error error = {0};
    for (uint32_t i = 0; i < manifest->tasks[task].state_count; i++)
        cr_assert_eq(state_load_segment(state, get_segment(history, manifest, task, i), &range,
                                        NULL, &error),
                     WEIR_OK, "%s", error.text);
    cr_assert_eq(store_read(history->store, manifest, task, &part, &error), WEIR_OK);
    struct snapshot_reader reader = {part.data, part.size, false};
    cr_assert(snapshot_next(&reader, &section));
    (void)snapshot_get_text(&section);
    for (int i = 0; i < 4; i++)
        (void)snapshot_get_u32(&section);
    cr_assert_eq(state_load(state, &section, NULL, &error), WEIR_OK, "%s", error.text);
    blob_buffer_free(&part, NULL);
    return state;
}

/* The states go on from what checkpoint `id` has. */
static void go_back(struct history *history, uint64_t id)
{
    struct manifest manifest;
    struct weir_error error = {0};
    cr_assert_eq(store_manifest(history->store, id, &manifest, &error), WEIR_OK);
    for (uint32_t i = 0; i < SUBTASKS; i++) {
        state_free(&history->states[i]);
        history->states[i] = get_state(history, &manifest, 1 + i);
    }
    manifest_free(&manifest);
}

/* ---- changes ---- */

static struct weir_bytes random_value(const struct history *history, unsigned char *room)
{
    size_t size = history->type.value_size > 0 ? history->type.value_size
                                               : (size_t)chance(history->value_most);
    for (size_t i = 0; i < size; i++)
        room[i] = (unsigned char)chance(chance(4) == 0 ? 256 : 2);
    return (struct weir_bytes){room, size};
}

static void change_list(struct state *state, struct weir_bytes key, uint64_t hash,
                        struct weir_bytes value)
{
    uint64_t count = state_list_count(state, key, hash);
    uint64_t what = chance(8);
    if (what < 4)
        cr_assert_eq(state_list_append(state, key, hash, value), WEIR_OK);
    else if (what < 6 && count > 0)
        cr_assert_eq(state_list_put(state, key, hash, chance(count), value), WEIR_OK);
    else if (count > 0)
        cr_assert_eq(state_list_truncate(state, key, hash, chance(count + 1)), WEIR_OK);
}

static void change_map(struct state *state, struct weir_bytes key, uint64_t hash,
                       struct weir_bytes value)
{
    unsigned char letters[3] = {(unsigned char)('a' + chance(4)), 0, 'z'};
    struct weir_bytes sub = {letters, (size_t)chance(4)};
    uint64_t removed;
    if (chance(40) == 0)
        (void)!state_map_clear(state, key, hash, 3, &removed);
    else if (chance(3) == 0)
        (void)!state_map_remove(state, key, hash, sub);
    else
        cr_assert_eq(state_map_put(state, key, hash, sub, value), WEIR_OK);
}

static void change_timer(struct state *state, struct weir_bytes key, uint64_t hash)
{
    struct pair_timer timer = {(int64_t)chance(6) - 3, chance(2), (uint32_t)chance(2)};
    if (chance(3) == 0)
        (void)!state_timer_cancel(state, key, hash, timer);
    else
        (void)!state_timer_set(state, key, hash, timer);
}

static void change(struct history *history)
{
    static unsigned char room[1 << 16];
    char name[24];
    struct weir_bytes key = {
        name, (size_t)snprintf(name, sizeof name, "k%u", (unsigned)chance(history->keys))};
    uint64_t hash = state_hash(key);
    struct state *state = history->states[state_owner(state_group(hash, 128), SUBTASKS, 128)];
    struct weir_bytes value = random_value(history, room);
    if (history->type.ttl_ns > 0)
        state_set_time(state, history->now += (int64_t)chance(3));
    if (history->type.kind == STATE_LIST)
        change_list(state, key, hash, value);
    else if (history->type.kind == STATE_MAP)
        change_map(state, key, hash, value);
    else if (history->type.kind == STATE_TIMERS)
        change_timer(state, key, hash);
    else if (chance(4) == 0)
        (void)!state_remove(state, key, hash);
    else
        cr_assert_eq(state_put(state, key, hash, value), WEIR_OK);
}

/* Checkpoints 1 .. ROUNDS: often little has changed, now and then nothing. */
static void live(struct history *history, uint64_t most)
{
    for (uint32_t i = 0; i < ROUNDS; i++) {
        if (history->id > 1 && chance(5) == 0)
            go_back(history, 1 + chance(history->id));
        for (uint64_t k = chance(6) == 0 ? 0 : chance(chance(3) == 0 ? 20 : most); k > 0; k--)
            change(history);
        (void)checkpoint(history, chance(8) == 0);
    }
}

/* ---- the twin: texts "key: value", sorted ---- */

struct texts {
    char **items;
    size_t count;
};

static void texts_free(struct texts *texts)
{
    for (size_t i = 0; i < texts->count; i++)
        free(texts->items[i]);
    free(texts->items);
}

static void put_hex(FILE *to, struct weir_bytes bytes)
{
    for (size_t i = 0; i < bytes.size; i++)
        fprintf(to, "%02x", ((const unsigned char *)bytes.data)[i]);
}

static void put_entry(FILE *to, struct weir_bytes key, struct weir_bytes sub, uint64_t id,
                      int64_t time, uint32_t kind)
{
    put_hex(to, key);
    putc('/', to);
    put_hex(to, sub);
    fprintf(to, "/%llu/%lld/%u: ", (unsigned long long)id, (long long)time, (unsigned)kind);
}

static void texts_add(struct texts *texts, char *text)
{
    texts->items = realloc(texts->items, (texts->count + 1) * sizeof *texts->items);
    texts->items[texts->count++] = text;
}

static int compare(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static void texts_sort(struct texts *texts)
{
    if (texts->count > 0)
        qsort(texts->items, texts->count, sizeof *texts->items, compare);
}

static struct texts walk(struct weir_checkpoint *from)
{
    struct texts texts = {0};
    struct weir_row row = {WEIR_SIZED(struct weir_row)};
    struct weir_error error = {0};
    struct weir_cursor *cursor;
    cr_assert_eq(weir_cursor_open(from, WEIR_ROWS_STATE, "count", "total", &cursor, &error),
                 WEIR_OK);
    while (weir_cursor_next(cursor, &row)) {
        char *text;
        size_t size;
        FILE *to = open_memstream(&text, &size);
        put_entry(to, row.key, row.sub, row.id, row.time, row.kind);
        put_hex(to, row.value);
        fclose(to);
        texts_add(&texts, text);
    }
    cr_assert_eq(weir_cursor_close(&cursor, &error), WEIR_OK, "%s", error.text);
    texts_sort(&texts);
    return texts;
}

static size_t key_size(const char *text)
{
    return (size_t)(strchr(text, ' ') - text);
}

static int compare_keys(const char *left, const char *right)
{
    size_t size = key_size(left), other = key_size(right);
    int order = memcmp(left, right, size < other ? size : other);
    return order != 0 ? order : (size > other) - (size < other);
}

/* "+key: after", "-key: before", "~key: before>after" */
static struct texts expected(const struct texts *before, const struct texts *after)
{
    struct texts texts = {0};
    for (size_t i = 0, k = 0; i < before->count || k < after->count;) {
        char *text = NULL;
        int order = i == before->count  ? 1
                    : k == after->count ? -1
                                        : compare_keys(before->items[i], after->items[k]);
        if (order < 0)
            cr_assert_gt(asprintf(&text, "-%s", before->items[i]), 0);
        else if (order > 0)
            cr_assert_gt(asprintf(&text, "+%s", after->items[k]), 0);
        else if (strcmp(before->items[i], after->items[k]) != 0)
            cr_assert_gt(asprintf(&text, "~%s>%s", before->items[i],
                                  after->items[k] + key_size(after->items[k]) + 1),
                         0);
        i += order <= 0;
        k += order >= 0;
        if (text != NULL)
            texts_add(&texts, text);
    }
    texts_sort(&texts);
    return texts;
}

static struct texts told(struct weir_checkpoint *before, struct weir_checkpoint *after)
{
    struct texts texts = {0};
    struct weir_change change = {WEIR_SIZED(struct weir_change)};
    struct weir_error error = {0};
    struct weir_difference *difference;
    cr_assert_eq(weir_difference_open(before, after, "count", "total", &difference, &error),
                 WEIR_OK, "%s", error.text);
    while (weir_difference_next(difference, &change)) {
        char *text;
        size_t size;
        FILE *to = open_memstream(&text, &size);
        putc("+-~"[change.what], to);
        put_entry(to, change.key, change.sub, change.id, change.time, change.kind);
        put_hex(to, change.before);
        fputs(change.what == WEIR_CHANGE_CHANGED ? ">" : "", to);
        put_hex(to, change.after);
        fclose(to);
        texts_add(&texts, text);
    }
    cr_assert_eq(weir_difference_close(&difference, &error), WEIR_OK, "%s", error.text);
    cr_assert_null(difference);
    texts_sort(&texts);
    return texts;
}

static uint64_t changes; /* seen by all comparisons */

static void compare_two(struct weir_checkpoint *before, struct weir_checkpoint *after)
{
    struct texts first = walk(before), second = walk(after);
    struct texts due = expected(&first, &second), found = told(before, after);
    for (size_t i = 0; i < due.count && i < found.count; i++)
        cr_assert_str_eq(due.items[i], found.items[i]);
    cr_assert_eq(due.count, found.count, "%zu changes, not %zu: from %s", found.count, due.count,
                 (found.count > due.count
                      ? found.items
                      : due.items)[found.count < due.count ? found.count : due.count]);
    changes += due.count;
    texts_free(&first);
    texts_free(&second);
    texts_free(&due);
    texts_free(&found);
}

static struct weir_store *open_view(const char *at)
{
    struct weir_error error = {0};
    struct weir_store *view;
    cr_assert_eq(weir_store_open(at, NULL, &view, &error), WEIR_OK, "%s", error.text);
    return view;
}

static struct weir_checkpoint *open_checkpoint(struct weir_store *view, uint64_t id)
{
    struct weir_error error = {0};
    struct weir_checkpoint *opened;
    cr_assert_eq(weir_checkpoint_open(view, id, &opened, &error), WEIR_OK, "%s", error.text);
    return opened;
}

/* Each with each, in both directions. */
static void compare_all(uint64_t count)
{
    struct weir_store *view = open_view(path);
    struct weir_checkpoint *all[ROUNDS];
    for (uint64_t i = 0; i < count; i++)
        all[i] = open_checkpoint(view, i + 1);
    for (uint64_t i = 0; i < count; i++)
        for (uint64_t k = 0; k < count; k++)
            compare_two(all[i], all[k]);
    for (uint64_t i = 0; i < count; i++)
        weir_checkpoint_close(&all[i]);
    weir_store_close(&view);
}

static void try_histories(enum state_kind kind, uint64_t ttl, uint32_t count)
{
    chance_begin();
    for (uint32_t i = 0; i < explore_part(count); i++) {
        struct history history;
        begin(&history, kind, 5 + (uint32_t)chance(chance(2) == 0 ? 20 : 400), 40);
        if (ttl > 0) {
            history.type.ttl_ns = ttl;
            for (uint32_t k = 0; k < SUBTASKS; k++) {
                state_free(&history.states[k]);
                history.states[k] = state_new_of(NULL, &history.type);
            }
        }
        live(&history, 600);
        compare_all(ROUNDS);
        end(&history);
        stop();
        start();
    }
    cr_assert_gt(changes, 100);
}

Test(difference, of_values_is_what_a_twin_finds)
{
    try_histories(STATE_VALUE, 0, 12);
}

Test(difference, of_maps_is_what_a_twin_finds)
{
    try_histories(STATE_MAP, 0, 8);
}

Test(difference, of_lists_is_what_a_twin_finds)
{
    try_histories(STATE_LIST, 0, 12);
}

Test(difference, of_timers_is_what_a_twin_finds)
{
    try_histories(STATE_TIMERS, 0, 8);
}

Test(difference, of_values_that_expire_is_what_a_twin_finds)
{
    try_histories(STATE_VALUE, TTL, 4);
}

/* Segments of several blobs, and few changes: most blobs are passed over. */
Test(difference, of_large_segments_is_what_a_twin_finds)
{
    struct history history;
    chance_begin();
    begin(&history, STATE_VALUE, 400, 32 << 10);
    for (uint32_t i = 0; i < 600; i++)
        change(&history);
    (void)checkpoint(&history, false);
    for (uint32_t i = 0; i < 3; i++)
        change(&history);
    (void)checkpoint(&history, false);
    compare_all(2);
    end(&history);
}

/* What is cut off a long list is removed little by little, and has no tombstones at first. */
Test(difference, of_a_list_cut_short_is_what_a_twin_finds)
{
    struct history history;
    struct weir_bytes key = {"long", 4};
    uint64_t hash = state_hash(key);
    begin(&history, STATE_LIST, 0, 0);
    struct state *state = history.states[state_owner(state_group(hash, 128), SUBTASKS, 128)];
    for (uint64_t i = 0; i < 1000; i++)
        cr_assert_eq(state_list_append(state, key, hash, (struct weir_bytes){&i, sizeof i}),
                     WEIR_OK);
    (void)checkpoint(&history, false);
    cr_assert_eq(state_list_truncate(state, key, hash, 10), WEIR_OK);
    (void)checkpoint(&history, false);
    cr_assert_eq(state_list_append(state, key, hash, (struct weir_bytes){"new", 3}), WEIR_OK);
    (void)checkpoint(&history, false);
    compare_all(3);
    cr_assert_gt(changes, 4 * 989);
    end(&history);
}

Test(difference, a_savepoint_shares_with_its_store)
{
    struct history history;
    struct weir_error error = {0};
    const char *copy = scratch_join(scratch.path, "copy");
    chance_begin();
    begin(&history, STATE_VALUE, 300, 40);
    live(&history, 300);
    cr_assert_eq(store_save_copy(history.store, 3, copy, &error), WEIR_OK, "%s", error.text);
    struct weir_store *view = open_view(path), *saved = open_view(copy);
    struct weir_checkpoint *then = open_checkpoint(saved, 3), *now = open_checkpoint(view, ROUNDS);
    compare_two(then, now);
    compare_two(now, then);
    weir_checkpoint_close(&then);
    weir_checkpoint_close(&now);
    weir_store_close(&view);
    weir_store_close(&saved);
    end(&history);
}

/* ---- what is shared is not read ---- */

/* Turns a byte within the blob that lies there. */
static void damage(const struct manifest_blob *place)
{
    char name[NAME_SEGMENT_SIZE], file[400];
    unsigned char byte;
    name_of_segment(place->file_epoch, place->file_number, name);
    snprintf(file, sizeof file, "%s/data/%s", path, name);
    int fd = open(file, O_RDWR);
    off_t at = (off_t)(place->offset + BLOB_HEADER_SIZE + place->blob.stored_size / 2);
    cr_assert(fd >= 0 && pread(fd, &byte, 1, at) == 1);
    byte ^= 0xff;
    cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static enum weir_result differ(uint64_t before, uint64_t after, uint32_t *count,
                               struct weir_error *error)
{
    struct weir_store *view = open_view(path);
    struct weir_checkpoint *left = open_checkpoint(view, before);
    struct weir_checkpoint *right = open_checkpoint(view, after);
    struct weir_change change = {WEIR_SIZED(struct weir_change)};
    struct weir_difference *difference;
    *count = 0;
    cr_assert_eq(weir_difference_open(left, right, "count", "total", &difference, error), WEIR_OK);
    while (weir_difference_next(difference, &change))
        ++*count;
    enum weir_result result = weir_difference_close(&difference, error);
    weir_checkpoint_close(&left);
    weir_checkpoint_close(&right);
    weir_store_close(&view);
    return result;
}

/* One key is another. Then each blob of the shared segment is damaged by itself: only where the
 * key's hash lies somebody notices. */
Test(difference, reads_of_shared_segments_what_may_have_the_key)
{
    struct history history;
    struct manifest manifest;
    struct manifest_blob *blobs;
    struct weir_error error = {0};
    unsigned char value[30000];
    char name[8];
    uint32_t count, noticed = 0;
    begin(&history, STATE_VALUE, 0, 0);
    for (uint64_t i = 0, put = 0; put < 300; i++) { /* all of one subtask */
        struct weir_bytes key = {name, (size_t)snprintf(name, sizeof name, "k%u", (unsigned)i)};
        uint64_t hash = state_hash(key), x = i;
        if (state_owner(state_group(hash, 128), SUBTASKS, 128) != 0)
            continue;
        for (size_t k = 0; k < sizeof value; k++)
            value[k] = (unsigned char)explore_random(&x);
        cr_assert_eq(state_put(history.states[0], key, hash, (struct weir_bytes){value, 30000}),
                     WEIR_OK);
        put++;
    }
    (void)checkpoint(&history, false);
    struct weir_bytes key = {name, strlen(name)};
    uint64_t hash = state_hash(key);
    cr_assert_eq(state_put(history.states[0], key, hash, (struct weir_bytes){"new", 3}), WEIR_OK);
    (void)checkpoint(&history, false);
    (void)checkpoint(&history, false);
    cr_assert_eq(store_manifest(history.store, 2, &manifest, &error), WEIR_OK);
    cr_assert_eq(manifest.tasks[1].state_count, 2);
    uint32_t blob_count = manifest.tasks[1].state[0].blob_count;
    cr_assert_gt(blob_count, 4);
    cr_assert_eq(store_list_blobs(history.store, &manifest, 1, 0, &blobs, &error), WEIR_OK);
    for (uint32_t i = 0; i < blob_count; i++) {
        bool there = (hash >> 32) >= blobs[i].first && (hash >> 32) <= blobs[i].last;
        damage(&blobs[i]);
        enum weir_result result = differ(1, 2, &count, &error);
        noticed += result == WEIR_DAMAGED;
        cr_assert_eq(result, there ? WEIR_DAMAGED : WEIR_OK, "blob %u", (unsigned)i);
        cr_assert_eq(count, there ? 0 : 1);
        cr_assert_eq(differ(2, 3, &count, &error), WEIR_OK, "nothing has changed: %s", error.text);
        cr_assert_eq(count, 0);
        damage(&blobs[i]); /* mends it */
    }
    cr_assert_eq(noticed, 1);
    memory_release(NULL, blobs);
    manifest_free(&manifest);
    end(&history);
}

/* ---- refusals ---- */

Test(difference, names_what_is_not_there)
{
    struct history history;
    struct weir_error error = {0};
    struct weir_difference *difference;
    begin(&history, STATE_VALUE, 10, 8);
    (void)checkpoint(&history, false);
    struct weir_store *view = open_view(path);
    struct weir_checkpoint *opened = open_checkpoint(view, 1);
    cr_assert_eq(weir_difference_open(opened, opened, "coun", "total", &difference, &error),
                 WEIR_NOT_FOUND);
    cr_assert_eq(weir_difference_open(opened, opened, "count", "tota", &difference, &error),
                 WEIR_NOT_FOUND);
    cr_assert_null(difference);
    cr_assert_not_null(strstr(error.text, "'tota'"));
    cr_assert_eq(weir_difference_close(&difference, &error), WEIR_OK);
    weir_checkpoint_close(&opened);
    weir_store_close(&view);
    end(&history);
}

/* ---- no memory ---- */

struct scarcity {
    uint64_t left; /* allocations */
};

static void *allocate(void *context, size_t size)
{
    struct scarcity *scarcity = context;
    if (scarcity->left == 0)
        return NULL;
    scarcity->left--;
    return malloc(size);
}

static void release(void *context, void *memory)
{
    (void)context;
    free(memory);
}

/* WEIR_OK when all allocations were answered. */
static enum weir_result differ_with(struct scarcity *scarcity, struct weir_error *error)
{
    struct weir_allocator allocator = {allocate, release, scarcity};
    struct weir_store *view;
    struct weir_checkpoint *left = NULL, *right = NULL;
    struct weir_change change = {WEIR_SIZED(struct weir_change)};
    struct weir_difference *difference = NULL;
    enum weir_result result = weir_store_open(path, &allocator, &view, error);
    if (result == WEIR_OK)
        result = weir_checkpoint_open(view, 2, &left, error);
    if (result == WEIR_OK)
        result = weir_checkpoint_open(view, ROUNDS, &right, error);
    if (result == WEIR_OK)
        result = weir_difference_open(left, right, "count", "total", &difference, error);
    while (result == WEIR_OK && weir_difference_next(difference, &change))
        ;
    if (result == WEIR_OK)
        result = weir_difference_close(&difference, error);
    weir_checkpoint_close(&left);
    weir_checkpoint_close(&right);
    weir_store_close(&view);
    return result;
}

Test(difference, survives_each_allocation_that_fails)
{
    struct history history;
    enum weir_result result = WEIR_NO_MEMORY;
    uint64_t tried = 0;
    chance_begin();
    begin(&history, STATE_LIST, 10, 20);
    live(&history, 60);
    for (; result != WEIR_OK; tried += explore_share()) {
        struct scarcity scarcity = {tried};
        struct weir_error error = {0};
        result = differ_with(&scarcity, &error);
        cr_assert(result == WEIR_OK || result == WEIR_NO_MEMORY, "%s", error.text);
        cr_assert_eq(error.code, result);
    }
    cr_assert_gt(tried, 50);
    end(&history);
}
