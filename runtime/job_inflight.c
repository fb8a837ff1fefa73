/* SPDX-License-Identifier: Apache-2.0
 *
 * What was in flight goes on: on an edge whose channels are the same ones, where it was; on one
 * whose parallelism has changed, at its new readers, in channels without a writer (rehash.h).
 */
#include <string.h>

#include "error.h"
#include "job.h"
#include "memory.h"
#include "plant.h"

/* --------------------------------------------------------------- where it goes -- */

/* The channel it was on; false: there is none. Channels are ordered by edge, writer, reader. */
static bool find_channel(const struct plan *plan, uint32_t edge_index,
                         const struct snapshot_inflight *inflight, uint32_t *index)
{
    const struct graph_edge *edge = &plan->graph->edges[edge_index];
    uint32_t first = plan->edge_first[edge_index], end = plan->edge_first[edge_index + 1];
    uint32_t writers = plan->nodes[edge->from].parallelism;
    uint32_t readers = (end - first) / writers; /* of each */
    if (inflight->from_subtask >= writers || readers == 0)
        return false;
    bool forward = edge->routing == WEIR_FORWARD;
    *index = first + inflight->from_subtask * readers + (forward ? 0 : inflight->to_subtask);
    return *index < end && plan->channels[*index].from_subtask == inflight->from_subtask &&
           plan->channels[*index].to_subtask == inflight->to_subtask;
}

static enum weir_result no_channel(struct weir_error *error)
{
    return error_set(error, WEIR_DAMAGED, 0, "what was in flight was on no channel of the graph");
}

static enum weir_result refuse_direct(const struct weir_job *job, uint32_t edge_index,
                                      struct weir_error *error)
{
    const struct weir_graph *graph = job->graph;
    const struct graph_edge *edge = &graph->edges[edge_index];
    return error_set(error, WEIR_MISMATCH, 0,
                     "records were on their way from %s to %s, which now run in one task: go on "
                     "with the program as it was, and stop it by an aligned checkpoint first",
                     graph->nodes[edge->from].name, graph->nodes[edge->to].name);
}

/* What follows on a FORWARD edge comes to the subtask that reads its split now: nobody knows which
 * is to have the records before it. */
static enum weir_result refuse_forward(const struct weir_job *job, uint32_t edge_index,
                                       struct weir_error *error)
{
    const struct weir_graph *graph = job->graph;
    const struct graph_edge *edge = &graph->edges[edge_index];
    return error_set(error, WEIR_MISMATCH, 0,
                     "records were on their way from %s to %s, subtask to subtask, and would lose "
                     "their order with another parallelism: start with the old one, and stop it by "
                     "an aligned checkpoint first",
                     graph->nodes[edge->from].name, graph->nodes[edge->to].name);
}

static struct batch *batch_of(const struct weir_job *job, const void *items, size_t size,
                              uint32_t records)
{
    struct batch *batch = batch_alone(job->run.allocator, size);
    if (!batch)
        return NULL;
    if (size)
        memcpy(batch->data, items, size);
    batch->size = size;
    batch->count = records;
    return batch;
}

/* P14: what lay at the reader lies there again, and takes its writer's window; what waited at the
 * writer waits there again. */
static enum weir_result place_batch(struct weir_job *job, enum snapshot_side side, uint32_t index,
                                    struct batch *batch, struct weir_error *error)
{
    const struct plan_channel *channel = &job->run.plan.channels[index];
    struct outlet *outlet = &job->tasks[channel->from_task].outlet;
    uint32_t slot = job->run.writer_slot[index];
    bool outside = side == SNAPSHOT_OUTLET_SIDE;
    if (WEIR_PLANT(content_out_of_order))
        outside = true;
    if (outside)
        return outlet_restore(outlet, slot, batch)
                   ? WEIR_OK
                   : error_memory(error, "what was in flight", batch->size);
    if (!channel->feedback && !WEIR_PLANT(window_granted_twice))
        outlet_charge(outlet, slot, 1, batch->size);
    return gate_restore(&job->tasks[channel->to_task].gate, job->run.reader_slot[index], batch,
                        error);
}

static enum weir_result place_as_was(struct weir_job *job, uint32_t edge,
                                     const struct snapshot_inflight *inflight,
                                     struct weir_error *error)
{
    uint32_t index;
    if (!find_channel(&job->run.plan, edge, inflight, &index))
        return no_channel(error);
    struct batch *batch =
        batch_of(job, inflight->items.data, inflight->items.size, inflight->records);
    return batch ? place_batch(job, inflight->side, index, batch, error)
                 : error_memory(error, "what was in flight", inflight->items.size);
}

/* ---------------------------------------------------------- channels without a writer -- */

/* Of the old channel at that reader; a new one the first time. UINT32_MAX: no memory. */
static uint32_t slot_at(struct weir_job *job, struct rehash_channel *channel, uint32_t restores,
                        uint32_t reader)
{
    struct plan *plan = &job->run.plan;
    const struct graph_edge *edge = &job->graph->edges[channel->edge];
    uint32_t readers = plan->nodes[edge->to].parallelism;
    if (!channel->places)
        channel->places = memory_zeroed(job->run.allocator, readers, sizeof *channel->places);
    if (!channel->places)
        return UINT32_MAX;
    if (channel->places[reader])
        return channel->places[reader] - 1;
    uint32_t index = plan_add_restored(plan, channel->edge, restores, channel->number, reader);
    if (index == UINT32_MAX)
        return index;
    struct gate_input facts = {
        .channel = index,
        .edge = channel->edge,
        .from_subtask = channel->number,
        .restores = restores,
        .timeless = edge->feedback,
        .port = edge->input,
    };
    struct gate *gate = &job->tasks[plan->channels[index].to_task].gate;
    uint32_t slot = gate_add_restored(gate, &facts);
    if (slot == UINT32_MAX)
        return slot;
    if (restores == channel->restores) /* else its time stands before the first record */
        gate->inputs[slot].watermark = channel->watermark;
    channel->places[reader] = slot + 1;
    return slot;
}

static enum weir_result put(struct weir_job *job, struct rehash_channel *channel, uint32_t restores,
                            uint32_t reader, struct batch *batch, struct weir_error *error)
{
    const struct graph_edge *edge = &job->graph->edges[channel->edge];
    uint32_t slot = batch ? slot_at(job, channel, restores, reader) : UINT32_MAX;
    if (slot != UINT32_MAX)
        return gate_restore(&job_task_of(job, edge->to, reader)->gate, slot, batch, error);
    batch_release(batch);
    return error_memory(error, "what was in flight", sizeof *batch);
}

/* Its channel has no writer any more, and no other parallelism has come since. */
static enum weir_result place_older(struct weir_job *job, uint32_t edge,
                                    const struct snapshot_inflight *inflight,
                                    struct weir_error *error)
{
    uint32_t reader = inflight->to_subtask;
    if (reader >= job->run.plan.nodes[job->graph->edges[edge].to].parallelism)
        return no_channel(error);
    struct rehash_channel *channel =
        rehash_find(&job->old_channels, edge, inflight->restores, inflight->from_subtask, reader);
    if (!channel)
        return error_memory(error, "what was in flight", sizeof *channel);
    channel->number = inflight->from_subtask;
    return put(job, channel, inflight->restores, reader,
               batch_of(job, inflight->items.data, inflight->items.size, inflight->records), error);
}

static enum weir_result share_out(struct weir_job *job, struct rehash *rehash,
                                  struct rehash_channel *channel, uint32_t restores,
                                  struct weir_error *error)
{
    enum weir_result result = WEIR_OK;
    for (uint32_t r = 0; !result && r < rehash->readers; r++) {
        const struct rehash_share *share = &rehash->shares[r];
        if (share->size)
            result = put(job, channel, restores, r,
                         batch_of(job, share->items, share->size, share->records), error);
    }
    return result;
}

/* P14, other parallelism. */
static enum weir_result place_moved(struct weir_job *job, uint32_t edge,
                                    const struct snapshot_inflight *inflight,
                                    struct weir_error *error)
{
    const struct graph_edge *of = &job->graph->edges[edge];
    uint32_t restores = inflight->restores + 1;
    struct rehash rehash;
    struct rehash_channel *channel = rehash_find(&job->old_channels, edge, inflight->restores,
                                                 inflight->from_subtask, inflight->to_subtask);
    if (!rehash_init(&rehash, job->run.allocator, job->run.plan.nodes[of->to].parallelism,
                     job->run.key_groups) ||
        !channel) {
        rehash_free(&rehash);
        return error_memory(error, "what was in flight", sizeof rehash);
    }
    enum weir_result result =
        rehash_batch(&rehash, channel, of->routing == WEIR_SPREAD, inflight->items, error);
    if (!result)
        result = share_out(job, &rehash, channel, restores, error);
    rehash_free(&rehash);
    return result;
}

/* ------------------------------------------------------------------------- reading it -- */

/* What is read at a time: outlet content of moved edges follows all channel content, whose readers'
 * pieces may come later. PASS_NONE places nothing: may it be there at all? */
enum pass { PASS_NONE, PASS_FIRST, PASS_OUTLETS };

static bool may_have_any(const struct weir_job *job, uint32_t edge)
{
    const struct graph_edge *is = &job->graph->edges[edge];
    bool moved = job->mapping.edges[edge].moved;
    return !plan_direct(&job->run.plan, edge) &&
           (!moved || is->routing != WEIR_FORWARD || plan_dealt_by_key(job->graph, is->from));
}

static enum weir_result place_inflight(struct weir_job *job, enum pass pass,
                                       const struct snapshot_inflight *inflight,
                                       struct weir_error *error)
{
    if (inflight->edge >= job->restored.graph.edge_count)
        return no_channel(error);
    uint32_t edge = job->mapping.edge_now[inflight->edge];
    if (edge == MAPPING_NONE)
        return WEIR_OK; /* job_map has let it be dropped */
    if (!may_have_any(job, edge))
        return plan_direct(&job->run.plan, edge) ? refuse_direct(job, edge, error)
                                                 : refuse_forward(job, edge, error);
    bool moved = job->mapping.edges[edge].moved;
    bool outlet = inflight->side == SNAPSHOT_OUTLET_SIDE;
    if (pass == PASS_NONE || (pass == PASS_OUTLETS) != (moved && outlet))
        return WEIR_OK;
    if (moved)
        return place_moved(job, edge, inflight, error);
    return inflight->restores ? place_older(job, edge, inflight, error)
                              : place_as_was(job, edge, inflight, error);
}

static enum weir_result read_piece(struct weir_job *job, enum pass pass, uint32_t instance,
                                   uint32_t index, struct blob_buffer *piece,
                                   struct weir_error *error)
{
    struct snapshot_section section;
    struct snapshot_inflight inflight;
    enum weir_result result =
        store_read_inflight(job_restored_from(job), &job->restored, instance, index, piece, error);
    if (!result)
        result = job_check_blob(job, instance, &job->restored.tasks[instance].inflight[index],
                                piece, error);
    struct snapshot_reader reader = {piece->data, piece->size, false};
    while (!result && snapshot_next(&reader, &section)) {
        if (!snapshot_get_inflight(&section, &inflight))
            return error_set(error, WEIR_DAMAGED, 0, "what was in flight is not well-formed");
        result = place_inflight(job, pass, &inflight, error);
    }
    if (!result && reader.failed)
        result = error_set(error, WEIR_DAMAGED, 0, "what was in flight is not well-formed");
    return result;
}

static enum weir_result read_task(struct weir_job *job, enum pass pass, uint32_t instance,
                                  struct weir_error *error)
{
    const struct manifest_task *saved = &job->restored.tasks[instance];
    struct blob_buffer piece = {0};
    enum weir_result result = WEIR_OK;
    for (uint32_t i = 0; !result && i < saved->inflight_count; i++) {
        if (pass == PASS_FIRST)
            job->run.restored_bytes += saved->inflight[i].blob.stored_size + BLOB_HEADER_SIZE;
        result = read_piece(job, pass, instance, i, &piece, error);
    }
    blob_buffer_free(&piece, job->run.allocator);
    return result;
}

static bool is_any_moved(const struct mapping *mapping)
{
    for (uint32_t e = 0; e < mapping->now->edge_count; e++)
        if (mapping->edges[e].moved)
            return true;
    return false;
}

enum weir_result job_read_inflight(struct weir_job *job, struct weir_error *error)
{
    uint32_t count = job->restored.task_count;
    bool moved = is_any_moved(&job->mapping);
    enum weir_result result = WEIR_OK;
    for (uint32_t i = 0; !result && i < count; i++)
        result = read_task(job, PASS_FIRST, i, error);
    for (uint32_t i = 0; !result && moved && i < count; i++)
        result = read_task(job, PASS_OUTLETS, i, error);
    for (uint32_t i = 0; !result && i < job->task_count; i++)
        if (!gate_end_restored(&job->tasks[i].gate))
            result = error_memory(error, "what was in flight", sizeof(struct gate));
    if (result)
        error_within(error, "checkpoint %llu", (unsigned long long)job->run.restored_id);
    return result;
}

enum weir_result job_try_inflight(struct weir_job *job, struct weir_error *error)
{
    bool all = true;
    enum weir_result result = WEIR_OK;
    for (uint32_t e = 0; e < job->graph->edge_count; e++)
        if (job->mapping.edges[e].then != MAPPING_NONE)
            all = all && may_have_any(job, e);
    for (uint32_t i = 0; !result && !all && i < job->restored.task_count; i++)
        result = read_task(job, PASS_NONE, i, error);
    return result;
}
