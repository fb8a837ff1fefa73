/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "clock.h"
#include "error.h"
#include "job.h"
#include "memory.h"
#include "name.h"
#include "view_check.h"

#define KEY_GROUPS 128

static void warn(void *context, const char *text)
{
    run_log(context, WEIR_LOG_WARNING, "%s", text);
}

static void print_id(char hex[2 * STORE_ID_SIZE + 1], const unsigned char *id)
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < STORE_ID_SIZE; i++) {
        hex[2 * i] = digits[id[i] >> 4];
        hex[2 * i + 1] = digits[id[i] & 15];
    }
    hex[2 * STORE_ID_SIZE] = 0;
}

static void note_restored(struct weir_job *job)
{
    job->run.restored_id = job->restored.id;
    job->run.restored_final = job->restored.final;
}

/* A job that was begun with a savepoint does not begin from nothing when it dies before its first
 * checkpoint. */
static enum weir_result refuse_begun(struct weir_job *job, struct weir_error *error)
{
    uint64_t id = store_begun_with(job->store);
    if (id == 0)
        return WEIR_OK;
    return error_set(
        error, WEIR_REFUSED, 0,
        "store %s was begun with a savepoint, of checkpoint %llu, and has no checkpoint "
        "of its own yet: begin with --restore and its path again, or with --restore "
        "none from nothing",
        job->options.store, (unsigned long long)id);
}

/* What was there has been removed: `found` (0: nothing) is not where the job was. */
static enum weir_result check_again(const struct weir_job *job, uint64_t found,
                                    struct weir_error *error)
{
    const struct weir_job_options *options = &job->options;
    if (!options->again || options->restore != WEIR_RESTORE_LATEST || found >= options->again_from)
        return WEIR_OK;
    return error_set(error, WEIR_REFUSED, 0,
                     "store %s has lost checkpoint %llu, which was there: a restart goes on from "
                     "no older one, for what was published since would be published again. Bring "
                     "it back; or say with --restore what to go on from",
                     options->store, (unsigned long long)options->again_from);
}

static enum weir_result find_checkpoint(struct weir_job *job, struct weir_error *error)
{
    bool named = job->options.restore == WEIR_RESTORE_ID;
    uint64_t wanted = named ? job->options.restore_id : 0;
    struct weir_error trouble = {0};
    enum weir_result result = store_recover(job->store, wanted, &job->restored, &trouble);
    if (result == WEIR_NOT_FOUND && !named) {
        result = check_again(job, 0, error);
        return result ? result : refuse_begun(job, error); /* a first start */
    }
    if (result) {
        if (error)
            *error = trouble;
        return result;
    }
    note_restored(job);
    return check_again(job, job->restored.id, error);
}

/* A path may name a savepoint or a store, and is a savepoint until it has shown to be a store. */
static const char *kind_of(const struct weir_job *job)
{
    return !job->savepoint || store_is_savepoint(job->savepoint) ? "savepoint" : "store";
}

/* A savepoint is the beginning of a store, not a station on its way. */
static enum weir_result refuse_used(struct weir_job *job, struct weir_error *error)
{
    uint64_t *ids = NULL;
    size_t count = 0;
    enum weir_result result = store_list(job->store, &ids, &count, error);
    memory_release(job->run.allocator, ids);
    if (result || count == 0)
        return result;
    return error_set(error, WEIR_REFUSED, 0,
                     "store %s holds checkpoints already: to go on from the newest, leave out "
                     "--restore %s; to begin with that %s, name another store",
                     job->options.store, job->options.restore_path, kind_of(job));
}

/* What reads stores calls all of them so. */
static void call_by_kind(const struct weir_job *job, struct weir_error *error)
{
    static const char begins[] = "store ";
    char rest[sizeof error->text];
    if (strncmp(error->text, begins, sizeof begins - 1) != 0)
        return;
    memcpy(rest, error->text, sizeof rest);
    (void)error_set(error, error->code, error->os_error, "%s %s", kind_of(job),
                    rest + sizeof begins - 1);
}

/* What is restored from stays as it is: it is read, and that is all. 0: its newest checkpoint. */
static enum weir_result open_view(struct weir_job *job, const char *path, uint64_t id,
                                  struct weir_error *error)
{
    enum weir_result result = store_view(path, job->run.allocator, &job->savepoint, error);
    if (!result)
        result = store_recover(job->savepoint, id, &job->restored, error);
    if (result)
        call_by_kind(job, error);
    else
        note_restored(job);
    return result;
}

/* Which group a key is in depends on their number, so it stays what it was. */
enum weir_result job_check_groups(const struct weir_job *job, uint32_t there,
                                  struct weir_error *error)
{
    uint32_t wanted = job->options.key_groups;
    if (!wanted || wanted == there)
        return WEIR_OK;
    return error_set(
        error, WEIR_REFUSED, 0,
        "%s %s has %u key groups, and job option key_groups says %u: their number is fixed when a "
        "store is begun, so leave the option out or begin a store from nothing",
        job->savepoint ? kind_of(job) : "store",
        job->options.restore == WEIR_RESTORE_PATH ? job->options.restore_path
        : job->replayed                           ? job->replayed
                                                  : job->options.store,
        there, wanted);
}

/* Before there is a store, which would stand in the next attempt's way. */
static enum weir_result check_savepoint(struct weir_job *job, struct weir_error *error)
{
    struct manifest_graph description = {0};
    enum weir_result result = graph_describe(job->graph, job->options.parallelism,
                                             job->restored.graph.key_groups, &description, error);
    if (!result)
        result = job_map(job, &description, error);
    mapping_free(&job->mapping); /* it is made again when the store is open */
    graph_release(job->graph, &description);
    return result;
}

/* The new store carries on the identity of the old one: by it sinks know their output, and its
 * epochs, by which they tell what is newer. */
static enum weir_result adopt_savepoint(struct weir_job *job, struct store_options *options,
                                        struct weir_error *error)
{
    struct weir_error trouble = {0};
    enum weir_result result = open_view(job, job->options.restore_path, 0, &trouble);
    if (!result)
        result = job_check_groups(job, job->restored.graph.key_groups, &trouble);
    if (!result)
        result = check_savepoint(job, &trouble);
    if (result && error)
        *error = trouble;
    if (result)
        return result;
    memcpy(options->new_id, store_id(job->savepoint), sizeof options->new_id);
    options->above_epoch = job->restored.epoch;
    options->begun_with = job->restored.id;
    options->key_groups = job->restored.graph.key_groups;
    return WEIR_OK;
}

static enum weir_result check_adopted(struct weir_job *job, struct weir_error *error)
{
    if (memcmp(store_id(job->store), store_id(job->savepoint), STORE_ID_SIZE) != 0)
        return error_set(error, WEIR_REFUSED, 0,
                         "store %s is another job's than the %s %s: name a directory that "
                         "is not there yet",
                         job->options.store, kind_of(job), job->options.restore_path);
    return refuse_used(job, error);
}

enum weir_result job_open_store(struct weir_job *job, struct weir_error *error)
{
    bool savepoint = job->options.restore == WEIR_RESTORE_PATH;
    struct store_options options = {
        .path = job->options.store,
        .key_groups = job->options.key_groups ? job->options.key_groups : KEY_GROUPS,
        .allocator = job->options.allocator,
        .warn = warn,
        .warn_context = &job->run,
        .afresh = job->options.restore == WEIR_RESTORE_NONE,
        .existing = job->options.again,
    };
    enum weir_result result = WEIR_OK;
    int status = clock_random(options.new_id, sizeof options.new_id);
    if (status < 0)
        return error_os(error, -status, "no random numbers for a store's identity");
    if (savepoint)
        result = adopt_savepoint(job, &options, error);
    if (!result)
        result = store_open(&options, &job->store, error);
    if (!result && savepoint)
        result = check_adopted(job, error);
    if (result)
        return result;
    result = job_check_groups(job, store_key_groups(job->store), error);
    if (result)
        return result;
    job->run.store = memory_text(job->run.allocator, options.path, strlen(options.path));
    if (!job->run.store)
        return error_memory(error, "the store's path", strlen(options.path));
    job->run.durable = true;
    job->run.epoch = store_epoch(job->store);
    job->run.key_groups = store_key_groups(job->store);
    print_id(job->run.store_id, store_id(job->store));
    if (savepoint || job->options.restore == WEIR_RESTORE_NONE)
        return WEIR_OK;
    return find_checkpoint(job, error);
}

/* It has the identity of the run that it goes on from, and would be its next. */
enum weir_result job_open_replayed(struct weir_job *job, struct weir_error *error)
{
    const struct weir_job_options *options = &job->options;
    const char *path =
        options->restore == WEIR_RESTORE_PATH ? options->restore_path : job->replayed;
    struct weir_error trouble = {0};
    if (!path || options->restore == WEIR_RESTORE_NONE)
        return WEIR_OK;
    enum weir_result result = open_view(
        job, path, options->restore == WEIR_RESTORE_ID ? options->restore_id : 0, &trouble);
    if (!result)
        result = job_check_groups(job, job->restored.graph.key_groups, &trouble);
    if (result && error)
        *error = trouble;
    if (result)
        return result;
    job->run.epoch = job->restored.epoch + 1;
    job->run.key_groups = job->restored.graph.key_groups;
    print_id(job->run.store_id, store_id(job->savepoint));
    return WEIR_OK;
}

enum weir_result job_open_scratch(struct weir_job *job, struct weir_error *error)
{
    static const char name[] = "/" NAME_SCRATCH;
    const struct weir_allocator *allocator = job->run.allocator;
    const char *given = job->options.scratch ? job->options.scratch : job->options.store;
    if ((!job->run.plan.loop_count && !job->options.state_memory) || !given)
        return WEIR_OK;
    size_t size = strlen(given), more = job->options.scratch ? 0 : sizeof name - 1;
    job->run.scratch = memory_zeroed(allocator, size + more + 1, 1);
    if (!job->run.scratch)
        return error_memory(error, "the scratch folder's path", size);
    memcpy(job->run.scratch, given, size);
    memcpy(job->run.scratch + size, name, more);
    return spill_folder(job->run.scratch, error);
}

struct store *job_restored_from(const struct weir_job *job)
{
    return job->savepoint ? job->savepoint : job->store;
}

/* ------------------------------------------------------------------------------- parts -- */

/* The blobs of segment `index` of an instance. */
static enum weir_result read_blobs(struct weir_job *job, uint32_t instance, uint32_t index,
                                   struct segment *segment, struct weir_error *error)
{
    const struct manifest *from = &job->restored;
    struct manifest_blob *blobs = NULL;
    enum weir_result result =
        store_list_blobs(job_restored_from(job), from, instance, index, &blobs, error);
    if (!result)
        result = fetch_blobs(&job->fetch, instance, blobs,
                             from->tasks[instance].state[index].blob_count, segment, error);
    memory_release(job->run.allocator, blobs);
    return result;
}

/* Into the log of `state`. */
static enum weir_result read_segment(struct weir_job *job, uint32_t instance, uint32_t index,
                                     struct logs *logs, uint32_t state, struct weir_error *error)
{
    const struct manifest_segment *saved = &job->restored.tasks[instance].state[index];
    struct segment *segment = segment_new(job->run.allocator);
    if (!segment)
        return error_memory(error, "a segment of state", sizeof *segment);
    segment->annex = job->run.annex;
    enum weir_result result = read_blobs(job, instance, index, segment, error);
    if (result) {
        segment_release(segment);
        return result;
    }
    job->run.restored_bytes += manifest_segment_bytes(saved);
    if (!job->savepoint)
        writer_adopt(&job->writer, segment, saved);
    return logs_add(logs, state, segment)
               ? WEIR_OK
               : error_memory(error, "a log of state", sizeof(struct segment *));
}

enum weir_result job_read_logs(struct weir_job *job, uint32_t node, uint32_t instance,
                               struct logs *logs, struct weir_error *error)
{
    const struct manifest_task *saved = &job->restored.tasks[instance];
    const struct mapping_node *map = &job->mapping.nodes[node];
    uint32_t states = job->restored.graph.nodes[saved->node].state_count;
    enum weir_result result =
        logs_init(logs, job->run.allocator, job->graph->nodes[node].state_count)
            ? WEIR_OK
            : error_memory(error, "restored logs", states);
    for (uint32_t i = 0; !result && i < saved->state_count; i++) {
        if (saved->state[i].state >= states)
            return error_set(error, WEIR_DAMAGED, 0, "state %u is not in the manifest",
                             saved->state[i].state);
        uint32_t now = mapping_state_now(&job->mapping, node, saved->state[i].state);
        if (now != MAPPING_NONE && map->states[now].way == MAPPING_SHARED)
            result = read_segment(job, instance, i, logs, now, error);
    }
    return result;
}

enum weir_result job_make_parts(struct weir_job *job, struct task *task, struct weir_error *error)
{
    const struct weir_allocator *allocator = job->run.allocator;
    if (!task->parts)
        task->parts = memory_zeroed(allocator, task->operator_count, sizeof *task->parts);
    if (!task->parts)
        return error_memory(error, "restored parts", sizeof *task->parts);
    if (!task->logs)
        task->logs = memory_zeroed(allocator, task->operator_count, sizeof *task->logs);
    if (!task->logs)
        return error_memory(error, "restored logs", sizeof *task->logs);
    return WEIR_OK;
}

enum weir_result job_check_blob(const struct weir_job *job, uint32_t instance,
                                const struct manifest_blob *place, const struct blob_buffer *raw,
                                struct weir_error *error)
{
    const char *wrong = view_check(&job->restored, instance, place, raw);
    return wrong ? view_damaged(&job->restored, instance, place, wrong, error) : WEIR_OK;
}

enum weir_result job_read_part(struct weir_job *job, uint32_t instance, struct blob_buffer *part,
                               struct weir_error *error)
{
    const struct manifest_task *saved = &job->restored.tasks[instance];
    job->run.restored_bytes += saved->part.blob.stored_size + BLOB_HEADER_SIZE;
    enum weir_result result =
        store_read(job_restored_from(job), &job->restored, instance, part, error);
    return result ? result : job_check_blob(job, instance, &saved->part, part, error);
}

/* As it was: the part says all, and its logs go on. */
static enum weir_result read_as_was(struct weir_job *job, uint32_t node, uint32_t subtask,
                                    struct weir_error *error)
{
    struct task *task = job_task_of(job, node, subtask);
    uint32_t place = job->run.plan.nodes[node].place;
    uint32_t instance =
        mapping_instance(&job->restored.graph, job->mapping.nodes[node].then, subtask);
    struct blob_buffer *part = &task->parts[place];
    enum weir_result result = job_read_part(job, instance, part, error);
    return result ? result : job_read_logs(job, node, instance, &task->logs[place], error);
}

static enum weir_result read_node(struct weir_job *job, uint32_t node, struct weir_error *error)
{
    const struct mapping_node *map = &job->mapping.nodes[node];
    uint32_t parallelism = job->run.plan.nodes[node].parallelism, place;
    enum weir_result result = WEIR_OK;
    for (uint32_t i = 0; !result && i < parallelism; i++) {
        struct task *task = job_task_of(job, node, i);
        place = job->run.plan.nodes[node].place;
        task->operators[place].restored = map->then != MAPPING_NONE;
        result = job_make_parts(job, task, error);
        if (!result && map->as_was)
            result = read_as_was(job, node, i, error);
    }
    if (!result && !map->as_was && map->then != MAPPING_NONE)
        result = job_hand_over(job, node, error);
    return result;
}

static enum weir_result restore(struct weir_job *job, struct weir_error *error)
{
    enum weir_result result = WEIR_OK;
    job->old_channels.allocator = job->run.allocator;
    fetch_begin(&job->fetch, &job->run, job_restored_from(job), &job->restored);
    for (uint32_t n = 0; !result && n < job->graph->node_count; n++)
        result = read_node(job, n, error);
    if (!result)
        result = job_read_inflight(job, error);
    rehash_forget(&job->old_channels);
    if (result == WEIR_DAMAGED && (!job->savepoint || store_is_savepoint(job->savepoint)))
        result = store_explain(job_restored_from(job), job->run.restored_id, error);
    if (result && job->savepoint)
        call_by_kind(job, error);
    return result;
}

enum weir_result job_read_parts(struct weir_job *job, struct weir_error *error)
{
    struct weir_error trouble = {0};
    enum weir_result result = WEIR_OK;
    if (job->run.restored_id)
        result = restore(job, &trouble);
    store_close(&job->savepoint);
    if (!result && job->store) /* after reading: what was found damaged is left as it is */
        result = store_sweep(job->store, &trouble);
    if (result && error)
        *error = trouble;
    return result;
}
