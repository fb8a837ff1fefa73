/* SPDX-License-Identifier: Apache-2.0
 *
 * What the subtasks of a node start from when the checkpoint's parts can't be read as they are: its
 * parallelism is another, or its graph around it. Parts are written anew (handover.h). A log whose
 * key groups have other owners, or whose values are of an older version, is read whole, and what
 * lives of it is appended to the logs of the new owners: so no segment of before is ever in a log
 * of theirs, and a group that moves away and comes back finds no old one (L5).
 */
#include <string.h>

#include "error.h"
#include "handover.h"
#include "job.h"
#include "memory.h"
#include "pair.h"
#include "plant.h"
#include "view_inside.h"

/* ------------------------------------------------------------------------------ values -- */

struct weir_migration {
    const struct weir_allocator *allocator;
    uint32_t value_size; /* 0: any */
    unsigned char *data; /* 8-byte aligned; NULL: none was asked for */
    size_t size, room;
    bool failed;
};

void *weir_migrate_room(struct weir_migration *to, size_t size)
{
    bool fits = to->value_size ? size == to->value_size : size <= WEIR_VALUE_LIMIT;
    if (fits && size > to->room) {
        memory_release(to->allocator, to->data);
        to->data = memory_take(to->allocator, size);
        to->room = to->data ? size : 0;
    } else if (fits && !to->data) {
        to->data = memory_take(to->allocator, 8);
        to->room = to->data ? 8 : 0;
    }
    to->failed = !fits || !to->data;
    if (to->failed)
        return NULL;
    memset(to->data, 0, size);
    to->size = size;
    return to->data;
}

/* One state of a node, on its way to the new owners. */
struct moving {
    struct weir_job *job;
    uint32_t node, state; /* of the graph */
    const struct weir_state *is;
    const struct manifest_state *was;
    struct weir_migration to;
    uint32_t old; /* whose log is read */
    bool moved, migrates;
    int64_t time; /* the lowest of the old states' */
};

static enum weir_result migrate(struct moving *moving, struct weir_bytes key,
                                struct weir_bytes *value, bool *kept, struct weir_error *error)
{
    const struct weir_state *is = moving->is;
    struct weir_migration *to = &moving->to;
    struct weir_error reason = {.code = WEIR_OK};
    to->size = SIZE_MAX; /* none was asked for */
    to->failed = false;
    enum weir_result result =
        is->migrate(is->migrate_config, moving->was->version, key, *value, to, &reason);
    if (!result && to->failed)
        result = error_set(&reason, WEIR_INVALID, 0,
                           "migrate asked for room of a size that the state does not have");
    if (result) {
        const char *why = reason.text[0] ? reason.text : weir_result_name(result);
        return error_set(error, result, 0,
                         "a value of version %u can't become one of version %u: %s",
                         moving->was->version, is->version, why);
    }
    *kept = to->size != SIZE_MAX;
    *value = (struct weir_bytes){to->data, *kept ? to->size : 0};
    return WEIR_OK;
}

/* Of a list no element can be left out: those behind it would have other indexes. */
static enum weir_result migrate_entry(struct moving *moving, struct state_entry *entry, bool *kept,
                                      struct weir_error *error)
{
    struct weir_bytes key = entry->key;
    if (!moving->migrates || !entry->is_value)
        return WEIR_OK;
    if (moving->was->kind != STATE_VALUE)
        key = pair_read(key).key;
    enum weir_result result = migrate(moving, key, &entry->value, kept, error);
    if (!result && !*kept && moving->was->kind == STATE_LIST)
        return error_set(error, WEIR_INVALID, 0, "migrate drops an element of a list");
    return result;
}

static struct state *new_state(const struct moving *moving, uint32_t subtask)
{
    struct task *task = job_task_of(moving->job, moving->node, subtask);
    uint32_t place = moving->job->run.plan.nodes[moving->node].place;
    return task->operators[place].states[moving->state];
}

static enum weir_result move_entry(struct moving *moving, struct state_entry *entry,
                                   struct weir_error *error)
{
    struct weir_job *job = moving->job;
    uint32_t groups = job->run.key_groups;
    uint32_t owner = moving->old;
    bool kept = true;
    if (moving->moved)
        owner = state_owner(state_group(entry->hash, groups),
                            job->run.plan.nodes[moving->node].parallelism, groups);
    enum weir_result result = migrate_entry(moving, entry, &kept, error);
    if (result || !kept)
        return result;
    if (WEIR_PLANT(group_read_by_two) && moving->old > 0)
        owner = 0;
    result = state_enter(new_state(moving, owner), entry);
    state_ease(new_state(moving, owner)); /* there may be more of it than memory */
    return result ? error_set(error, result, 0, "a value of %zu bytes can't be taken over: %s",
                              entry->value.size, weir_result_name(result))
                  : WEIR_OK;
}

static enum weir_result move_log(struct moving *moving, uint32_t instance,
                                 const struct blob_buffer *part, struct weir_error *error)
{
    struct weir_job *job = moving->job;
    const struct mapping_node *map = &job->mapping.nodes[moving->node];
    struct state *old = NULL;
    struct state_entry entry = {.is_value = false};
    enum weir_result result =
        view_read_state(job_restored_from(job), &job->restored, instance, part,
                        map->states[moving->state].then, job->run.allocator, &old, error);
    if (result)
        return result;
    state_scan_rewind(old);
    enum weir_result found = WEIR_OK;
    while (!result && !(found = state_scan_entry(old, &entry)))
        result = move_entry(moving, &entry, error);
    if (!result && found != WEIR_NOT_FOUND)
        result = error_memory(error, "a scan of state", sizeof entry);
    moving->time = state_time(old) < moving->time ? state_time(old) : moving->time;
    if (!moving->moved)
        state_set_time(new_state(moving, moving->old), state_time(old));
    state_free(&old);
    return result;
}

/* Time goes back to where the slowest was: its records have not come yet, and find what lived
 * there. What had expired in an old state is not handed over. */
static void set_times(const struct moving *moving)
{
    const struct plan_node *plan = &moving->job->run.plan.nodes[moving->node];
    for (uint32_t i = 0; i < plan->parallelism; i++)
        state_set_time(new_state(moving, i), moving->time);
}

static enum weir_result move_state(struct weir_job *job, uint32_t node, uint32_t state,
                                   const struct blob_buffer *parts, struct weir_error *error)
{
    const struct mapping_node *map = &job->mapping.nodes[node];
    const struct manifest_node *was = &job->restored.graph.nodes[map->then];
    enum mapping_way way = map->states[state].way;
    if (way != MAPPING_AGAIN && way != MAPPING_MIGRATE)
        return WEIR_OK;
    const struct weir_state *is = &job->graph->nodes[node].states[state];
    struct moving moving = {.job = job,
                            .node = node,
                            .state = state,
                            .is = is,
                            .was = &was->states[map->states[state].then],
                            .to = {.allocator = job->run.allocator, .value_size = is->value_size},
                            .moved = map->moved,
                            .migrates = way == MAPPING_MIGRATE,
                            .time = INT64_MAX};
    enum weir_result result = WEIR_OK;
    for (; !result && moving.old < was->parallelism; moving.old++)
        result = move_log(&moving, mapping_instance(&job->restored.graph, map->then, moving.old),
                          &parts[moving.old], error);
    memory_release(job->run.allocator, moving.to.data);
    if (!result && moving.moved)
        set_times(&moving);
    return result ? error_within(error, "state '%s' of node '%s'", is->name, was->name) : WEIR_OK;
}

/* ----------------------------------------------------------------------------- the parts -- */

static unsigned char *grow_part(void *context, unsigned char *data, size_t size, size_t capacity)
{
    struct weir_job *job = context;
    unsigned char *larger = memory_take(job->run.allocator, capacity);
    if (!larger)
        return NULL;
    if (size)
        memcpy(larger, data, size);
    memory_release(job->run.allocator, data);
    return larger;
}

static enum weir_result write_part(struct weir_job *job, uint32_t node, uint32_t subtask,
                                   const struct handover *handover, struct weir_error *error)
{
    struct task *task = job_task_of(job, node, subtask);
    struct blob_buffer *part = &task->parts[job->run.plan.nodes[node].place];
    struct snapshot_writer writer = {.grow = grow_part, .context = job};
    enum weir_result result = handover_write(handover, subtask, &writer, error);
    *part = (struct blob_buffer){writer.data, writer.size, writer.capacity};
    return result;
}

/* ------------------------------------------------------------------------- event time -- */

/* What the old channels of a moved edge say together. */
struct times {
    bool known;
    int64_t watermark; /* the lowest */
};

static void time_own(struct weir_job *job, uint32_t node, uint32_t old, int64_t watermark,
                     struct times *own)
{
    const struct plan_node *plan = &job->run.plan.nodes[node];
    bool moved = job->mapping.nodes[node].moved;
    own->watermark = own->known && own->watermark < watermark ? own->watermark : watermark;
    own->known = true;
    if (plan->place != 0)
        return;
    if (!moved)
        job_task_of(job, node, old)->watermark = watermark;
    for (uint32_t i = 0; moved && i < plan->parallelism; i++)
        job_task_of(job, node, i)->watermark = own->watermark;
}

static void time_inputs(struct gate *gate, uint32_t edge, const uint32_t *from, uint32_t restores,
                        int64_t watermark, bool idle)
{
    for (uint32_t i = 0; i < gate->input_count; i++) {
        struct gate_input *input = &gate->inputs[i];
        if (input->edge != edge || input->restores != restores ||
            (from && input->from_subtask != *from))
            continue;
        input->watermark = watermark;
        input->idle = idle;
    }
}

/* A new channel's time is that of the slowest of the old ones; each old one keeps its own. */
static bool time_moved(struct weir_job *job, uint32_t edge, uint32_t from, uint32_t restores,
                       uint32_t old, int64_t watermark, struct times *times)
{
    struct rehash_channel *channel = rehash_find(&job->old_channels, edge, restores, from, old);
    if (!channel)
        return false;
    channel->watermark = watermark;
    if (restores)
        return true;
    bool lower = !times->known || watermark < times->watermark;
    times->watermark = lower ? watermark : times->watermark;
    times->known = true;
    uint32_t node = job->graph->edges[edge].to;
    for (uint32_t i = 0; i < job->run.plan.nodes[node].parallelism; i++)
        time_inputs(&job_task_of(job, node, i)->gate, edge, NULL, 0, times->watermark, false);
    return true;
}

/* One section CHANNEL. */
static enum weir_result read_time(struct weir_job *job, uint32_t node, uint32_t old,
                                  struct snapshot_section *section, struct times *own,
                                  struct times *edges, struct weir_error *error)
{
    uint32_t then = snapshot_get_u32(section), from = snapshot_get_u32(section);
    int64_t watermark = (int64_t)snapshot_get_u64(section);
    bool idle = snapshot_get_u32(section) != 0;
    uint32_t restores = snapshot_get_u32(section);
    bool mine = then == TASK_OWN_WATERMARK;
    if (!snapshot_done(section) || restores > SNAPSHOT_RESTORES ||
        (!mine && then >= job->restored.graph.edge_count))
        return error_set(error, WEIR_DAMAGED, 0, "a channel's position is not well-formed");
    if (mine)
        time_own(job, node, old, watermark, own);
    uint32_t edge = mine ? MAPPING_NONE : job->mapping.edge_now[then];
    if (edge == MAPPING_NONE || job->graph->edges[edge].to != node)
        return WEIR_OK;
    if (job->mapping.edges[edge].moved)
        return time_moved(job, edge, from, restores, old, watermark, &edges[edge])
                   ? WEIR_OK
                   : error_memory(error, "an old channel", sizeof(struct rehash_channel));
    if (restores) { /* its content has not been read yet */
        struct rehash_channel *channel = rehash_find(&job->old_channels, edge, restores, from, old);
        if (!channel)
            return error_memory(error, "an old channel", sizeof *channel);
        channel->watermark = watermark;
        return WEIR_OK;
    }
    time_inputs(&job_task_of(job, node, old)->gate, edge, &from, 0, watermark, idle);
    return WEIR_OK;
}

static enum weir_result read_times(struct weir_job *job, uint32_t node,
                                   const struct blob_buffer *parts, struct weir_error *error)
{
    uint32_t then = job->mapping.nodes[node].then;
    uint32_t count = job->restored.graph.nodes[then].parallelism;
    struct times own = {0};
    struct times *edges =
        memory_zeroed(job->run.allocator, job->graph->edge_count + 1, sizeof *edges);
    enum weir_result result =
        edges ? WEIR_OK : error_memory(error, "times of channels", sizeof *edges);
    for (uint32_t i = 0; !result && i < count; i++) {
        struct snapshot_reader reader = {parts[i].data, parts[i].size, false};
        struct snapshot_section section;
        while (!result && snapshot_next(&reader, &section))
            if (section.tag == SNAPSHOT_CHANNEL)
                result = read_time(job, node, i, &section, &own, edges, error);
    }
    memory_release(job->run.allocator, edges);
    return result;
}

/* ------------------------------------------------------------------------------- a node -- */

static enum weir_result read_old_parts(struct weir_job *job, uint32_t then,
                                       struct blob_buffer *parts, struct weir_bytes *views,
                                       struct weir_error *error)
{
    uint32_t count = job->restored.graph.nodes[then].parallelism;
    enum weir_result result = WEIR_OK;
    for (uint32_t i = 0; !result && i < count; i++) {
        uint32_t instance = mapping_instance(&job->restored.graph, then, i);
        result = job_read_part(job, instance, &parts[i], error);
        views[i] = (struct weir_bytes){parts[i].data, parts[i].size};
    }
    return result;
}

static enum weir_result hand_over(struct weir_job *job, uint32_t node,
                                  const struct blob_buffer *parts, const struct weir_bytes *views,
                                  struct weir_error *error)
{
    const struct mapping_node *map = &job->mapping.nodes[node];
    const struct graph_node *graph_node = &job->graph->nodes[node];
    const struct plan_node *plan = &job->run.plan.nodes[node];
    struct handover handover = {&job->mapping, node, views, graph_node->table->timers_shared};
    enum weir_result result = WEIR_OK;
    for (uint32_t i = 0; !result && i < plan->parallelism; i++)
        result = write_part(job, node, i, &handover, error);
    for (uint32_t i = 0; !result && !map->moved && i < plan->parallelism; i++)
        result = job_read_logs(job, node, mapping_instance(&job->restored.graph, map->then, i),
                               &job_task_of(job, node, i)->logs[plan->place], error);
    for (uint32_t s = 0; !result && s < graph_node->state_count; s++)
        result = move_state(job, node, s, parts, error);
    return result ? result : read_times(job, node, parts, error);
}

/* Of one subtask; the others are refused for the same things. */
static enum weir_result try_part(struct weir_job *job, uint32_t node,
                                 const struct blob_buffer *parts, const struct weir_bytes *views,
                                 struct weir_error *error)
{
    struct handover handover = {&job->mapping, node, views,
                                job->graph->nodes[node].table->timers_shared};
    struct snapshot_writer writer = {.grow = grow_part, .context = job};
    enum weir_result result = handover_write(&handover, 0, &writer, error);
    (void)parts;
    memory_release(job->run.allocator, writer.data);
    return result;
}

/* With the node's old parts in hand. */
static enum weir_result with_parts(struct weir_job *job, uint32_t node,
                                   enum weir_result (*act)(struct weir_job *job, uint32_t node,
                                                           const struct blob_buffer *parts,
                                                           const struct weir_bytes *views,
                                                           struct weir_error *error),
                                   struct weir_error *error)
{
    const struct weir_allocator *allocator = job->run.allocator;
    uint32_t then = job->mapping.nodes[node].then;
    uint32_t count = job->restored.graph.nodes[then].parallelism;
    struct blob_buffer *parts = memory_zeroed(allocator, count, sizeof *parts);
    struct weir_bytes *views = memory_zeroed(allocator, count, sizeof *views);
    enum weir_result result = parts && views ? read_old_parts(job, then, parts, views, error)
                                             : error_memory(error, "restored parts", count);
    if (!result)
        result = act(job, node, parts, views, error);
    for (uint32_t i = 0; parts && i < count; i++)
        blob_buffer_free(&parts[i], allocator);
    memory_release(allocator, parts);
    memory_release(allocator, views);
    return result;
}

enum weir_result job_hand_over(struct weir_job *job, uint32_t node, struct weir_error *error)
{
    return with_parts(job, node, hand_over, error);
}

enum weir_result job_try_hand_over(struct weir_job *job, uint32_t node, struct weir_error *error)
{
    return with_parts(job, node, try_part, error);
}
