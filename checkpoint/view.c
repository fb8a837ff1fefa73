/* SPDX-License-Identifier: Apache-2.0
 *
 * view: weir_checkpoint.h over a store opened for reading: stores and checkpoints.
 */
#include "view_inside.h"

#include <string.h>

#include "error.h"
#include "memory.h"
#include "lock.h"

void view_give(void *to, const void *from, size_t from_size)
{
    size_t to_size;
    memcpy(&to_size, to, sizeof to_size);
    size_t size = to_size < from_size ? to_size : from_size;
    if (size > sizeof size)
        memcpy((char *)to + sizeof size, (const char *)from + sizeof size, size - sizeof size);
}

/* -------------------------------------------------------------------------------- a store -- */

static void print_identity(char hex[2 * STORE_ID_SIZE + 1], const unsigned char *id)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < STORE_ID_SIZE; i++) {
        hex[2 * i] = digits[id[i] >> 4];
        hex[2 * i + 1] = digits[id[i] & 15];
    }
    hex[2 * STORE_ID_SIZE] = 0;
}

enum weir_result weir_store_open(const char *path, const struct weir_allocator *allocator,
                                 struct weir_store **store, struct weir_error *error)
{
    *store = NULL;
    struct weir_store *made = memory_zeroed(allocator, 1, sizeof *made);
    if (made == NULL)
        return error_memory(error, "a store", sizeof *made);
    made->allocator = allocator;
    enum weir_result result = store_view(path, allocator, &made->store, error);
    if (result != WEIR_OK) {
        memory_release(allocator, made);
        return result;
    }
    print_identity(made->identity, store_id(made->store));
    *store = made;
    return WEIR_OK;
}

void weir_store_watch(struct weir_store *store, void (*read)(void *context, uint64_t bytes),
                      void *context)
{
    store_watch(store->store, read, context);
}

const char *weir_store_identity(const struct weir_store *store)
{
    return store->identity;
}

enum weir_result weir_store_get_run(struct weir_store *store, struct weir_store_run *run,
                                    struct weir_error *error)
{
    struct weir_store_run got = {WEIR_SIZED(struct weir_store_run),
                                 .savepoint = store_is_savepoint(store->store)};
    struct lock_record record = {0};
    enum weir_result result = store_run(store->store, &got.alive, &record, error);
    got.epoch = record.epoch;
    got.process = record.process;
    got.cleaning = record.cleaning;
    if (result == WEIR_OK)
        view_give(run, &got, sizeof got);
    return result;
}

void weir_store_close(struct weir_store **store)
{
    struct weir_store *gone = *store;
    *store = NULL;
    if (gone == NULL)
        return;
    store_close(&gone->store);
    memory_release(gone->allocator, gone->ids);
    memory_release(gone->allocator, gone);
}

enum weir_result weir_store_list(struct weir_store *store, const uint64_t **ids, size_t *count,
                                 struct weir_error *error)
{
    memory_release(store->allocator, store->ids);
    store->ids = NULL;
    enum weir_result result = store_list(store->store, &store->ids, count, error);
    if (result == WEIR_OK)
        *ids = store->ids;
    return result;
}

bool weir_store_get_failed(struct weir_store *store, uint32_t index,
                           struct weir_failed_round *failed)
{
    if (index == 0)
        store->failure_count = store_list_failures(store->store, store->failures);
    if (index >= store->failure_count)
        return false;
    const struct store_failure *from = &store->failures[index];
    struct weir_failed_round full = {
        .id = from->id, .epoch = from->epoch, .ended_ns = from->ended_ns, .text = from->text};
    view_give(failed, &full, sizeof full);
    return true;
}

/* ------------------------------------------------------------------------------ verifying -- */

/* One blob: the part, or one piece of what was in flight. */
static enum weir_result verify_blob(struct store *store, const struct manifest *manifest,
                                    uint32_t task, const struct manifest_blob *place,
                                    struct blob_buffer *raw, struct weir_error *error)
{
    const struct manifest_task *of = &manifest->tasks[task];
    enum weir_result result =
        place == &of->part ? store_read(store, manifest, task, raw, error)
                           : store_read_inflight(store, manifest, task,
                                                 (uint32_t)(place - of->inflight), raw, error);
    if (result != WEIR_OK)
        return result;
    const char *wrong = view_check(manifest, task, place, raw);
    return wrong == NULL ? WEIR_OK : view_damaged(manifest, task, place, wrong, error);
}

/* One state at a time is in memory. */
static enum weir_result verify_states(struct weir_store *store, const struct manifest *manifest,
                                      uint32_t task, const struct blob_buffer *part,
                                      struct weir_error *error)
{
    const struct manifest_task *of = &manifest->tasks[task];
    uint32_t count = manifest->graph.nodes[of->node].state_count;
    uint32_t last = of->state_count - 1; /* in the order of the states */
    enum weir_result result = WEIR_OK;
    if (of->state_count > 0 && of->state[last].state >= count)
        return view_damaged(manifest, task, &of->state[last].place,
                            "a state that the manifest does not know", error);
    for (uint32_t i = 0; i < count && result == WEIR_OK; i++) {
        struct state *state = NULL;
        result =
            view_read_state(store->store, manifest, task, part, i, store->allocator, &state, error);
        state_free(&state);
    }
    return result;
}

enum weir_result weir_store_verify(struct weir_store *store, uint64_t id, struct weir_error *error)
{
    struct manifest manifest;
    struct blob_buffer raw = {0};
    enum weir_result result = store_manifest(store->store, id, &manifest, error);
    if (result != WEIR_OK)
        return result;
    for (uint32_t i = 0; i < manifest.task_count && result == WEIR_OK; i++) {
        const struct manifest_task *task = &manifest.tasks[i];
        result = verify_blob(store->store, &manifest, i, &task->part, &raw, error);
        if (result == WEIR_OK)
            result = verify_states(store, &manifest, i, &raw, error);
        for (uint32_t k = 0; k < task->inflight_count && result == WEIR_OK; k++)
            result = verify_blob(store->store, &manifest, i, &task->inflight[k], &raw, error);
    }
    blob_buffer_free(&raw, store->allocator);
    manifest_free(&manifest);
    return result;
}

enum weir_result weir_store_verify_all(struct weir_store *store,
                                       void (*each)(void *context, uint64_t id,
                                                    const struct weir_error *error),
                                       void *context, struct weir_error *error)
{
    uint64_t *ids = NULL;
    size_t count = 0;
    enum weir_result first = store_list(store->store, &ids, &count, error);
    for (size_t i = 0; i < count; i++) {
        struct weir_error one = {0};
        enum weir_result result = weir_store_verify(store, ids[i], &one);
        if (first == WEIR_OK && result != WEIR_OK && error != NULL)
            *error = one;
        if (first == WEIR_OK)
            first = result;
        if (each != NULL)
            each(context, ids[i], &one);
    }
    memory_release(store->allocator, ids);
    return first;
}

/* --------------------------------------------------------------------------- a checkpoint -- */

enum weir_result view_newest(struct weir_store *store, uint64_t *id, struct weir_error *error)
{
    uint64_t *ids = NULL;
    size_t count = 0;
    enum weir_result result = store_list(store->store, &ids, &count, error);
    if (result != WEIR_OK)
        return result;
    if (count > 0)
        *id = ids[count - 1];
    memory_release(store->allocator, ids);
    return count > 0 ? WEIR_OK
                     : error_set(error, WEIR_NOT_FOUND, 0, "the store holds no checkpoint");
}

enum weir_result weir_checkpoint_open(struct weir_store *store, uint64_t id,
                                      struct weir_checkpoint **checkpoint, struct weir_error *error)
{
    *checkpoint = NULL;
    enum weir_result result = id == 0 ? view_newest(store, &id, error) : WEIR_OK;
    if (result != WEIR_OK)
        return result;
    struct weir_checkpoint *made = memory_zeroed(store->allocator, 1, sizeof *made);
    if (made == NULL)
        return error_memory(error, "a checkpoint", sizeof *made);
    made->store = store->store;
    made->allocator = store->allocator;
    result = store_manifest(store->store, id, &made->manifest, error);
    if (result != WEIR_OK)
        memory_release(store->allocator, made);
    else
        *checkpoint = made;
    return result;
}

void weir_checkpoint_close(struct weir_checkpoint **checkpoint)
{
    struct weir_checkpoint *gone = *checkpoint;
    *checkpoint = NULL;
    if (gone == NULL)
        return;
    manifest_free(&gone->manifest);
    blob_buffer_free(&gone->stored, gone->allocator);
    blob_buffer_free(&gone->raw, gone->allocator);
    memory_release(gone->allocator, gone);
}

enum weir_result view_find_node(const struct weir_checkpoint *checkpoint, const char *name,
                                uint32_t *node, struct weir_error *error)
{
    const struct manifest_graph *graph = &checkpoint->manifest.graph;
    for (uint32_t i = 0; i < graph->node_count; i++) {
        if (strcmp(graph->nodes[i].name, name) == 0) {
            *node = i;
            return WEIR_OK;
        }
    }
    return error_set(error, WEIR_NOT_FOUND, 0, "there is no node '%s'", name);
}

enum weir_result view_find_state(const struct weir_checkpoint *checkpoint, uint32_t node,
                                 const char *name, uint32_t *state, struct weir_error *error)
{
    const struct manifest_node *of = &checkpoint->manifest.graph.nodes[node];
    for (uint32_t i = 0; name != NULL && i < of->state_count; i++) {
        if (strcmp(of->states[i].name, name) == 0) {
            *state = i;
            return WEIR_OK;
        }
    }
    return error_set(error, WEIR_NOT_FOUND, 0, "node '%s' has no state '%s'", of->name,
                     name == NULL ? "" : name);
}

/* The part and the state. */
static void sum_saved(const struct manifest_task *task, uint64_t *stored, uint64_t *raw)
{
    *stored = BLOB_HEADER_SIZE + task->part.blob.stored_size;
    *raw = task->part.blob.raw_size;
    for (uint32_t i = 0; i < task->state_count; i++) {
        *stored += manifest_segment_bytes(&task->state[i]);
        *raw += task->state[i].raw_size;
    }
}

/* What the tasks add up to. */
static void add_task(struct weir_checkpoint_info *info, const struct manifest_task *task)
{
    uint64_t stored, raw;
    sum_saved(task, &stored, &raw);
    info->stored_bytes += stored;
    info->raw_bytes += raw;
    for (uint32_t i = 0; i < task->state_count; i++)
        if (task->state[i].place.blob.id != info->id)
            info->older_bytes += manifest_segment_bytes(&task->state[i]);
    for (uint32_t i = 0; i < task->inflight_count; i++) {
        info->stored_bytes += BLOB_HEADER_SIZE + task->inflight[i].blob.stored_size;
        info->raw_bytes += task->inflight[i].blob.raw_size;
    }
    info->channel_bytes += task->channel_bytes;
    info->outlet_bytes += task->outlet_bytes;
}

void weir_checkpoint_describe(const struct weir_checkpoint *checkpoint,
                              struct weir_checkpoint_info *info)
{
    const struct manifest *from = &checkpoint->manifest;
    struct weir_checkpoint_info full = {
        .id = from->id,
        .epoch = from->epoch,
        .restored_from = from->restored_from,
        .final = from->final,
        .triggered_ns = from->triggered_ns,
        .duration_ns = from->duration_ns,
        .key_groups = from->graph.key_groups,
        .nodes = from->graph.node_count,
        .edges = from->graph.edge_count,
        .tasks = from->task_count,
        .job = from->job,
        .reason = from->reason,
        .mode = manifest_mode_text(from->mode),
        .overtaken = from->overtaken,
        .sealed_ns = from->sealed_ns,
        .last_task = from->last_task,
    };
    for (uint32_t i = 0; i < from->task_count; i++)
        add_task(&full, &from->tasks[i]);
    view_give(info, &full, sizeof full);
}

bool weir_checkpoint_get_node(const struct weir_checkpoint *checkpoint, uint32_t index,
                              struct weir_checkpoint_node *node)
{
    const struct manifest_graph *graph = &checkpoint->manifest.graph;
    if (index >= graph->node_count)
        return false;
    const struct manifest_node *from = &graph->nodes[index];
    struct weir_checkpoint_node full = {.name = from->name,
                                        .kind = from->kind,
                                        .version = from->version,
                                        .parallelism = from->parallelism,
                                        .states = from->state_count};
    view_give(node, &full, sizeof full);
    return true;
}

static void add_log(struct weir_checkpoint_state *state, const struct manifest_task *task,
                    uint32_t index)
{
    for (uint32_t i = 0; i < task->state_count; i++) {
        if (task->state[i].state != index)
            continue;
        state->stored_bytes += manifest_segment_bytes(&task->state[i]);
        state->raw_bytes += task->state[i].raw_size;
        state->segments++;
    }
}

bool weir_checkpoint_get_state(const struct weir_checkpoint *checkpoint, uint32_t node,
                               uint32_t index, struct weir_checkpoint_state *state)
{
    const struct manifest_graph *graph = &checkpoint->manifest.graph;
    if (node >= graph->node_count || index >= graph->nodes[node].state_count)
        return false;
    const struct manifest_state *from = &graph->nodes[node].states[index];
    struct weir_checkpoint_state full = {.name = from->name,
                                         .format = from->format,
                                         .version = from->version,
                                         .value_size = from->value_size,
                                         .kind = state_kind_text(from->kind),
                                         .expires = from->expires};
    for (uint32_t i = 0; i < checkpoint->manifest.task_count; i++)
        if (checkpoint->manifest.tasks[i].node == node)
            add_log(&full, &checkpoint->manifest.tasks[i], index);
    view_give(state, &full, sizeof full);
    return true;
}

bool weir_checkpoint_get_edge(const struct weir_checkpoint *checkpoint, uint32_t index,
                              struct weir_checkpoint_edge *edge)
{
    const struct manifest_graph *graph = &checkpoint->manifest.graph;
    if (index >= graph->edge_count)
        return false;
    const struct manifest_edge *from = &graph->edges[index];
    struct weir_checkpoint_edge full = {.from = from->from,
                                        .to = from->to,
                                        .output = from->output,
                                        .input = from->input,
                                        .routing = from->routing,
                                        .key_format = from->key_format,
                                        .value_format = from->value_format,
                                        .feedback = from->feedback};
    view_give(edge, &full, sizeof full);
    return true;
}

bool weir_checkpoint_get_task(const struct weir_checkpoint *checkpoint, uint32_t index,
                              struct weir_checkpoint_task *task)
{
    if (index >= checkpoint->manifest.task_count)
        return false;
    const struct manifest_task *from = &checkpoint->manifest.tasks[index];
    struct weir_checkpoint_task full = {
        .node = from->node,
        .subtask = from->subtask,
        .ended = from->ended,
        .handles = from->handles,
        .cut_ns = (int64_t)from->cut_ns,
        .cut_cpu_ns = (int64_t)from->cut_cpu_ns,
        .note = from->note,
        .file_epoch = from->part.file_epoch,
        .file_number = from->part.file_number,
        .offset = from->part.offset,
        .letters = from->letters,
        .channel_bytes = from->channel_bytes,
        .outlet_bytes = from->outlet_bytes,
        .overtook = from->overtook,
        .wait_ns = from->phases.wait_ns,
        .align_ns = from->phases.align_ns,
        .record_ns = from->phases.record_ns,
        .write_ns = from->phases.write_ns,
        .last_edge = from->last_edge,
        .last_from = from->last_from,
    };
    sum_saved(from, &full.stored_bytes, &full.raw_bytes);
    for (uint32_t i = 0; i < from->inflight_count; i++)
        full.inflight_stored_bytes += BLOB_HEADER_SIZE + from->inflight[i].blob.stored_size;
    view_give(task, &full, sizeof full);
    return true;
}
