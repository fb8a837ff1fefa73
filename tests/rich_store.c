/* SPDX-License-Identifier: Apache-2.0 */
#include "rich_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "memory.h"
#include "sim.h"
#include "store.h"

#define US INT64_C(1000)
#define PATIENCE_NS (60000000 * US) /* of virtual time */
#define STEPS 4000000u              /* more is a livelock */
#define SEEDS 400u                  /* tried, until a store has all that it should have */
#define HANDLES 512u
#define BULK_KEYS 6u
#define BULK_SIZE ((size_t)400 << 10)
#define POLL_RECORDS 6u

static void must(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "rich_store: %s\n", what);
    abort();
}

/* ---- what the sink has published, over all runs ---- */

struct rich_published {
    uint8_t times[RICH_RECORDS];
    bool wrong_count; /* of a key */
    uint64_t handles[HANDLES];
    uint32_t handle_count;
};

static struct rich_published published, at_savepoint;
static bool bulky, key_timers = true;

struct result {
    uint64_t number; /* of the record */
    uint64_t nth;    /* of its key */
};

static void publish(const struct result *result)
{
    if (result->number >= RICH_RECORDS)
        return; /* of a handle that somebody has changed */
    if (published.times[result->number] < 255)
        published.times[result->number]++;
    published.wrong_count |= result->nth != result->number / RICH_KEYS + 1;
}

/* ---- the source ---- */

struct numbers {
    uint64_t next;
};

static enum weir_progress numbers_poll(void *self, struct weir_context *context)
{
    struct numbers *numbers = self;
    unsigned char value[48] = {0};

    for (uint32_t i = 0; i < POLL_RECORDS; i++, numbers->next++) {
        if (numbers->next >= RICH_RECORDS)
            return WEIR_END;
        uint64_t key = numbers->next % RICH_KEYS;
        memcpy(value, &numbers->next, sizeof numbers->next);
        struct weir_record record = {
            {&key, sizeof key}, {value, sizeof value}, (int64_t)numbers->next};
        (void)!weir_emit(context, 0, &record);
    }
    weir_emit_watermark(context, (int64_t)numbers->next);
    return weir_idle(context, weir_now(context) + 20 * US, -1);
}

static enum weir_result numbers_save(void *self, struct weir_context *context,
                                     struct weir_saver *saver)
{
    const struct numbers *numbers = self;
    (void)context;
    weir_save_begin(saver, WEIR_ITEM_SPLIT);
    weir_save_u64(saver, numbers->next);
    weir_save_end(saver);
    weir_save_note(saver, "number %llu", (unsigned long long)numbers->next);
    return WEIR_OK;
}

static enum weir_result numbers_load(void *self, struct weir_context *context,
                                     struct weir_loader *loader, uint32_t version)
{
    struct numbers *numbers = self;
    (void)context;
    (void)version;
    while (weir_load_item(loader, NULL)) {
        numbers->next = weir_load_u64(loader);
        weir_load_done(loader);
    }
    return WEIR_OK;
}

static const struct weir_operator numbers_table = {WEIR_SIZED(struct weir_operator),
                                                   .kind = "numbers",
                                                   .self_size = sizeof(struct numbers),
                                                   .poll = numbers_poll,
                                                   .save = numbers_save,
                                                   .load = numbers_load};

/* ---- the work ---- */

enum { TOTAL, WORDS, TRAIL, RECENT, BULK, WORK_STATES };

static const struct weir_state work_states[WORK_STATES] = {
    {WEIR_SIZED(struct weir_state), .name = "total", .value_size = 8, .format = "u64"},
    {WEIR_SIZED(struct weir_state), .name = "words", .kind = WEIR_STATE_MAP},
    {WEIR_SIZED(struct weir_state), .name = "trail", .kind = WEIR_STATE_LIST, .value_size = 8},
    {WEIR_SIZED(struct weir_state), .name = "recent", .ttl_ns = 100},
    {WEIR_SIZED(struct weir_state), .name = "bulk"},
};

struct work {
    uint64_t taken;
};

/* A map, a list, values that come, go and come again. */
static void keep_more(struct weir_context *context, const struct weir_record *record,
                      uint64_t number)
{
    const struct weir_bytes *key = &record->key;
    struct weir_bytes sub = {&number, 1 + number % 3},
                      text = {"some words or other", 8 + number % 11};

    (void)!weir_map_put(context, WORDS, key, sub, text);
    if (number % 5 == 0)
        weir_map_remove(context, WORDS, key, sub);
    (void)!weir_list_append(context, TRAIL, key, (struct weir_bytes){&number, sizeof number});
    if (weir_list_count(context, TRAIL, key) > 6)
        weir_list_truncate(context, TRAIL, key, 2);
    if (number % 4 == 0)
        weir_remove(context, RECENT, key);
    (void)!weir_put(context, RECENT, key, text);
    if (key_timers)
        (void)!weir_timer_set_key(context, WEIR_TIMER_EVENT, key, (int64_t)number + 40, number % 3);
    (void)!weir_timer_set(context, WEIR_TIMER_EVENT, (int64_t)number + 60, number % 2);
}

static enum weir_result keep_bulk(struct weir_context *context, const struct weir_bytes *key)
{
    void *zeros = calloc(1, BULK_SIZE);
    must(zeros != NULL, "no memory");
    enum weir_result result = weir_put(context, BULK, key, (struct weir_bytes){zeros, BULK_SIZE});
    free(zeros);
    return result;
}

static enum weir_result work_process(void *self, struct weir_context *context, unsigned input,
                                     const struct weir_record *record)
{
    struct result result;
    (void)input;
    if (record->value.size < sizeof result.number)
        return weir_fail(context, WEIR_INVALID, "a record of %zu bytes", record->value.size);
    memcpy(&result.number, record->value.data, sizeof result.number);
    ((struct work *)self)->taken++;
    keep_more(context, record, result.number);
    if (bulky && result.number < BULK_KEYS && keep_bulk(context, &record->key) != WEIR_OK)
        return WEIR_FAILED;
    uint64_t *total = weir_cell(context, TOTAL, &record->key);
    if (total == NULL)
        return WEIR_FAILED;
    result.nth = ++*total;
    struct weir_record to = {record->key, {&result, sizeof result}, record->time};
    return weir_emit(context, 0, &to);
}

static enum weir_result work_timer(void *self, struct weir_context *context, enum weir_timer kind,
                                   int64_t time, uint64_t tag)
{
    (void)self;
    (void)context;
    (void)kind;
    (void)time;
    (void)tag;
    return WEIR_OK;
}

static enum weir_result work_key_timer(void *self, struct weir_context *context,
                                       enum weir_timer kind, const struct weir_bytes *key,
                                       int64_t time, uint64_t tag)
{
    struct weir_bytes sub, value;
    (void)self;
    (void)kind;
    (void)time;
    (void)tag;
    if (weir_map_next(context, WORDS, key, NULL, &sub, &value))
        (void)!weir_put(context, RECENT, key, value);
    return WEIR_OK;
}

static enum weir_result work_save(void *self, struct weir_context *context,
                                  struct weir_saver *saver)
{
    (void)context;
    weir_save(saver, WEIR_ITEM_SPLIT, (struct weir_bytes){self, sizeof(struct work)});
    return WEIR_OK;
}

static enum weir_result work_load(void *self, struct weir_context *context,
                                  struct weir_loader *loader, uint32_t version)
{
    (void)context;
    (void)version;
    while (weir_load_item(loader, NULL)) {
        ((struct work *)self)->taken += weir_load_u64(loader);
        weir_load_done(loader);
    }
    return WEIR_OK;
}

static const struct weir_operator work_table = {WEIR_SIZED(struct weir_operator),
                                                .kind = "work",
                                                .self_size = sizeof(struct work),
                                                .process = work_process,
                                                .timer = work_timer,
                                                .key_timer = work_key_timer,
                                                .save = work_save,
                                                .load = work_load,
                                                .timers_shared = true};

/* ---- the sink: a handle holds what it stands for ---- */

struct sink {
    struct result staged[RICH_RECORDS];
    uint32_t count;
};

static enum weir_result sink_process(void *self, struct weir_context *context, unsigned input,
                                     const struct weir_record *record)
{
    struct sink *sink = self;
    (void)input;
    if (record->value.size != sizeof sink->staged[0] || sink->count == RICH_RECORDS)
        return weir_fail(context, WEIR_INVALID, "a record of %zu bytes", record->value.size);
    memcpy(&sink->staged[sink->count++], record->value.data, sizeof sink->staged[0]);
    return WEIR_OK;
}

static enum weir_result sink_prepare(void *self, struct weir_context *context, uint64_t id)
{
    struct sink *sink = self;
    unsigned char handle[8 + sizeof sink->staged];
    uint64_t serial = (uint64_t)weir_epoch(context) << 32 | id;

    if (sink->count == 0)
        return WEIR_OK;
    memcpy(handle, &serial, sizeof serial);
    memcpy(handle + 8, sink->staged, sink->count * sizeof sink->staged[0]);
    size_t size = 8 + sink->count * sizeof sink->staged[0];
    sink->count = 0;
    return weir_handle(context, (struct weir_bytes){handle, size});
}

/* Once for each handle. */
static enum weir_result sink_commit(void *self, struct weir_context *context,
                                    struct weir_bytes handle)
{
    uint64_t serial;
    struct result result;
    (void)self;
    if (handle.size < 8 || (handle.size - 8) % sizeof result != 0)
        return weir_fail(context, WEIR_DAMAGED, "a handle of %zu bytes", handle.size);
    memcpy(&serial, handle.data, sizeof serial);
    for (uint32_t i = 0; i < published.handle_count; i++)
        if (published.handles[i] == serial)
            return WEIR_OK;
    if (published.handle_count < HANDLES)
        published.handles[published.handle_count++] = serial;
    for (size_t at = 8; at < handle.size; at += sizeof result) {
        memcpy(&result, (const char *)handle.data + at, sizeof result);
        publish(&result);
    }
    return WEIR_OK;
}

static const struct weir_operator sink_table = {
    WEIR_SIZED(struct weir_operator), .kind = "sink",          .self_size = sizeof(struct sink),
    .process = sink_process,          .prepare = sink_prepare, .commit = sink_commit};

/* ---- the job ---- */

static struct weir_operator work_of(enum rich_change change)
{
    struct weir_operator table = work_table;
    if (change == RICH_NO_TIMER)
        table.timer = NULL;
    if (change == RICH_NO_KEY_TIMER)
        table.key_timer = NULL;
    if (change == RICH_NO_LOAD) {
        table.load = NULL;
        table.save = NULL;
    }
    return table;
}

static struct weir_operator sink_of(enum rich_change change)
{
    struct weir_operator table = sink_table;
    if (change == RICH_NO_COMMIT) {
        table.prepare = NULL;
        table.commit = NULL;
    }
    return table;
}

static weir_node add_work(struct weir_graph *graph, uint32_t parallelism, enum rich_change change,
                          const struct weir_state *newer)
{
    const struct weir_operator table = work_of(change);
    const char *output = change == RICH_EDGE_RENAMED ? "results" : "out";
    struct weir_state states[WORK_STATES];
    memcpy(states, work_states, sizeof states);
    if (change == RICH_STATE_RENAMED)
        states[WORDS].name = "terms";
    for (size_t i = 0; newer != NULL && i < WORK_STATES; i++)
        if (strcmp(states[i].name, newer->name) == 0)
            states[i] = *newer;
    return weir_graph_add(
        graph, &(struct weir_node_options){WEIR_SIZED(struct weir_node_options),
                                           .name = change == RICH_WORK_RENAMED ? "toil" : "work",
                                           .table = &table, .parallelism = parallelism,
                                           .states = states, .state_count = WORK_STATES,
                                           .outputs = &output, .output_count = 1});
}

static struct weir_graph *build(const struct rich_start *start, uint32_t parallelism)
{
    const struct weir_allocator *allocator = start->allocator;
    enum rich_change change = start->change;
    const struct weir_operator sink_operator = sink_of(change);
    struct weir_graph *graph = weir_graph_new(allocator);
    must(graph != NULL, "no memory for a graph");
    weir_node numbers = weir_graph_add(
        graph, &(struct weir_node_options){WEIR_SIZED(struct weir_node_options), .name = "numbers",
                                           .table = &numbers_table, .parallelism = 1});
    weir_node work = add_work(graph, parallelism, change, start->newer);
    weir_node sink = weir_graph_add(
        graph, &(struct weir_node_options){WEIR_SIZED(struct weir_node_options),
                                           .name = change == RICH_SINK_RENAMED ? "drain" : "sink",
                                           .table = &sink_operator, .parallelism = 1});
    weir_connect(graph, numbers, work, WEIR_BY_KEY);
    weir_connect(graph, work, sink, WEIR_SPREAD);
    return graph;
}

static struct weir_job_options options_of(const char *store, const struct weir_allocator *allocator)
{
    return (struct weir_job_options){WEIR_SIZED(struct weir_job_options),
                                     .store = store,
                                     .interval_ns = -1,
                                     .batch_bytes = 1024,
                                     .window_batches = 2,
                                     .mode = WEIR_UNALIGNED,
                                     .key_groups = 128,
                                     .allocator = allocator};
}

static uint32_t usual_parallelism(bool large)
{
    return large ? 1 : 2;
}

/* ---- making it ---- */

/* Runs on until that many checkpoints are committed or the job is over. */
static bool wait_for(struct weir_job *job, uint64_t committed, uint64_t saved)
{
    struct weir_status status = {WEIR_SIZED(struct weir_status)};
    struct weir_error error;
    enum weir_outcome outcome;

    do {
        if (weir_job_wait(job, 5 * US, &outcome, &error) != WEIR_TIMEOUT)
            return false;
        weir_job_status(job, &status);
    } while (status.committed < committed || status.saved < saved);
    return true;
}

static bool take_records(struct weir_job *job, uint64_t records)
{
    struct weir_status status = {WEIR_SIZED(struct weir_status)};
    struct weir_error error;
    enum weir_outcome outcome;

    do {
        if (weir_job_wait(job, 5 * US, &outcome, &error) != WEIR_TIMEOUT)
            return false;
        weir_job_status(job, &status);
    } while (status.records_emitted < records);
    return true;
}

/* Three checkpoints, a savepoint of the second; then the process dies. */
static bool live(uint64_t seed, bool large)
{
    struct weir_job_options options = options_of(RICH_STORE, NULL);
    struct weir_error error = {0};
    struct weir_job *job = NULL;

    sim_disk_wipe();
    sim_start(seed);
    sim_memory_start(0, 0);
    sim_step_cost(500);
    sim_slow_actors(40 * US);
    published = (struct rich_published){0};
    struct weir_graph *graph =
        build(&(struct rich_start){.may_drop = false}, usual_parallelism(large));
    must(weir_job_start(graph, &options, &job, &error) == WEIR_OK, error.text);
    bool well = true;
    for (uint64_t i = 1; well && i <= 3; i++) {
        well = take_records(job, i * (RICH_RECORDS / 4));
        if (well && i == 2)
            well = weir_job_savepoint(job, RICH_SAVED, &error) == WEIR_OK;
        else if (well)
            well = weir_job_checkpoint(job, &error) == WEIR_OK;
        well = well && wait_for(job, i, i / 2);
        if (i == 2)
            at_savepoint = published;
    }
    sim_network_control(NULL); /* it dies: nobody closes anything */
    sim_threads_forget();
    sim_memory_forget();
    sim_disk_release();
    return well;
}

/* Does the newest checkpoint have what it should? */
static bool is_rich(struct rich *rich)
{
    struct store *store = NULL;
    struct manifest manifest;
    uint32_t pieces = 0, shared = 0, lists = 0;
    uint64_t handles = 0, *ids = NULL;
    size_t count = 0;

    if (store_view(RICH_STORE, NULL, &store, NULL) != WEIR_OK)
        return false;
    must(store_list(store, &ids, &count, NULL) == WEIR_OK && count == 3, "no three checkpoints");
    rich->newest = ids[count - 1];
    memory_release(NULL, ids);
    must(store_manifest(store, rich->newest, &manifest, NULL) == WEIR_OK, "no manifest");
    for (uint32_t t = 0; t < manifest.task_count; t++) {
        const struct manifest_task *task = &manifest.tasks[t];
        pieces += task->inflight_count;
        handles += task->handles;
        for (uint32_t k = 0; k < task->state_count; k++) {
            shared += task->state[k].place.blob.id < rich->newest;
            lists += task->state[k].place.blob.kind == BLOB_LIST;
        }
    }
    manifest_free(&manifest);
    store_close(&store);
    return pieces >= 2 && handles > 0 && shared > 0 && (lists > 0 || !rich->large);
}

/* All files of a folder, and of those in it. */
static void keep_folder(struct rich *rich, const struct file_node *folder, const char *path)
{
    for (size_t i = 0; i < folder->names.count; i++) {
        const struct file_node *node = folder->names.list[i].node;
        char name[96];
        snprintf(name, sizeof name, "%s/%s", path, folder->names.list[i].name);
        if (node->folder) {
            keep_folder(rich, node, name);
            continue;
        }
        must(rich->file_count < RICH_FILES, "too many files");
        struct rich_file *file = &rich->files[rich->file_count++];
        memcpy(file->path, name, sizeof name);
        file->size = node->cached.size;
        file->bytes = malloc(file->size + 1);
        must(file->bytes != NULL, "no memory");
        if (file->size > 0)
            memcpy(file->bytes, node->cached.data, file->size);
    }
}

static int by_path(const void *left, const void *right)
{
    return strcmp(((const struct rich_file *)left)->path, ((const struct rich_file *)right)->path);
}

static struct rich_published *keep_published(const struct rich_published *from)
{
    struct rich_published *kept = malloc(sizeof *kept);

    must(kept != NULL, "no memory");
    *kept = *from;
    return kept;
}

void rich_make(struct rich *rich, bool large)
{
    uint64_t seed = 1;

    *rich = (struct rich){.large = large};
    bulky = large;
    while (!live(seed, large) || !is_rich(rich))
        must(++seed < SEEDS, "no seed makes such a store");
    rich->at_rest = keep_published(&published);
    rich->at_savepoint = keep_published(&at_savepoint);
    keep_folder(rich, files_root(), "");
    qsort(rich->files, rich->file_count, sizeof rich->files[0], by_path);
    sim_disk_wipe();
}

void rich_free(struct rich *rich)
{
    for (uint32_t i = 0; i < rich->file_count; i++)
        free(rich->files[i].bytes);
    free(rich->at_rest);
    free(rich->at_savepoint);
    *rich = (struct rich){0};
}

/* The folder that the path's file lies in; made. */
static struct file_node *folder_of(const char *path, const char **name)
{
    struct file_node *folder = files_root();
    char part[96];

    for (path++; strchr(path, '/') != NULL; path = strchr(path, '/') + 1) {
        snprintf(part, sizeof part, "%.*s", (int)(strchr(path, '/') - path), path);
        struct file_node *next = files_find(folder, part);
        folder = next != NULL ? next : files_add(folder, part, true);
    }
    *name = path;
    return folder;
}

void rich_put_back(const struct rich *rich)
{
    sim_disk_wipe();
    (void)files_add(files_add(files_root(), "store", true), "nodes", true);
    for (uint32_t i = 0; i < rich->file_count; i++) {
        const char *name;
        struct file_node *folder = folder_of(rich->files[i].path, &name);
        struct file_node *file = files_add(folder, name, false);
        if (rich->files[i].size > 0)
            files_write(file, rich->files[i].bytes, rich->files[i].size, 0);
    }
}

/* ---- going on ---- */

static enum weir_result watch(struct weir_job *job, struct weir_error *error)
{
    int64_t began_ns = sim_now_ns();
    enum weir_outcome outcome = WEIR_OUTCOME_RUNNING;

    while (weir_job_wait(job, 1000 * US, &outcome, error) == WEIR_TIMEOUT)
        if (sim_now_ns() - began_ns > PATIENCE_NS)
            return WEIR_TIMEOUT;
    if (outcome == WEIR_OUTCOME_ENDED || outcome == WEIR_OUTCOME_ALREADY_ENDED)
        return WEIR_OK;
    return error->code != WEIR_OK ? error->code : WEIR_FAILED;
}

static void count_published(struct rich_end *end)
{
    bool once = true;

    for (uint32_t i = 0; i < RICH_RECORDS; i++) {
        end->missing += published.times[i] == 0;
        once &= published.times[i] == 1;
    }
    end->exact = once && !published.wrong_count;
}

void rich_go_on(const struct rich *rich, const struct rich_start *start, struct rich_end *end)
{
    uint32_t usual = usual_parallelism(rich->large);
    struct weir_job_options options =
        options_of(start->from_savepoint ? "/new" : RICH_STORE, start->allocator);
    struct weir_job *job = NULL;

    *end = (struct rich_end){0};
    bulky = rich->large;
    published = start->from_savepoint ? *rich->at_savepoint : *rich->at_rest;
    if (start->from_savepoint) {
        options.restore = WEIR_RESTORE_PATH;
        options.restore_path = RICH_SAVED;
    }
    sim_start(1);
    sim_step_limit(STEPS);
    options.allow_dropped_state = start->may_drop;
    key_timers = start->change != RICH_NO_KEY_TIMER;
    struct weir_graph *graph = build(start, start->parallelism > 0 ? start->parallelism : usual);
    end->result = weir_job_start(graph, &options, &job, &end->error);
    if (end->result == WEIR_OK)
        end->result = watch(job, &end->error);
    weir_job_close(&job);
    weir_graph_free(&graph);
    end->left = sim_end();
    count_published(end);
    key_timers = true;
}
