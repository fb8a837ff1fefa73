/* SPDX-License-Identifier: Apache-2.0 */
#include "writer_inside.h"

#include <assert.h>
#include <string.h>

#include "batch.h"
#include "clock.h"
#include "content.h"
#include "error.h"
#include "memory.h"
#include "plant.h"
#include "round.h"
#include "saver.h"
#include "snapshot.h"

#define RETRY_NS 1000000                /* pause before an answer is sent again */
#define CONTENT_PIECE ((size_t)1 << 20) /* bytes; W3 */

_Static_assert(STORE_ROUNDS >= ROUND_LIMIT, "every unfinished round has a place");

static bool make_round(struct writer *writer, struct writer_round *round)
{
    const struct weir_allocator *allocator = writer->run->allocator;
    uint32_t tasks = writer->run->plan.task_count;
    round->tasks = memory_zeroed(allocator, writer->manifest.task_count, sizeof *round->tasks);
    round->contents = memory_zeroed(allocator, tasks, sizeof *round->contents);
    round->logs = memory_zeroed(allocator, writer->manifest.task_count, sizeof *round->logs);
    round->later = memory_zeroed(allocator, writer->manifest.task_count, sizeof *round->later);
    return round->tasks && round->contents && round->logs && round->later;
}

enum weir_result writer_init(struct writer *writer, const struct run *run, struct store *store,
                             const struct manifest_graph *description, uint32_t retain,
                             struct weir_error *error)
{
    static const enum manifest_mode modes[] = {[WEIR_ADAPTIVE] = MANIFEST_ADAPTIVE,
                                               [WEIR_ALIGNED] = MANIFEST_ALIGNED,
                                               [WEIR_UNALIGNED] = MANIFEST_UNALIGNED};
    *writer = (struct writer){.run = run, .store = store, .retain = retain};
    struct manifest *manifest = &writer->manifest;
    manifest->allocator = run->allocator;
    memcpy(manifest->store_id, store_id(store), STORE_ID_SIZE);
    manifest->epoch = run->epoch;
    manifest->restored_from = run->restored_id;
    manifest->mode = modes[run->mode];
    manifest->graph = *description;
    manifest->job = memory_text(run->allocator, run->job_name, strlen(run->job_name));
    manifest->task_count = run->plan.instance_count;
    bool made = manifest->job;
    for (uint32_t i = 0; made && i < STORE_ROUNDS; i++)
        made = make_round(writer, &writer->rounds[i]);
    if (!made)
        return error_memory(error, "the writer", manifest->task_count * sizeof *manifest->tasks);
    return WEIR_OK;
}

/* ------------------------------------------------------------------------- the rounds -- */

static struct writer_round *find_round(struct writer *writer, uint64_t id)
{
    for (uint32_t i = 0; i < STORE_ROUNDS; i++)
        if (writer->rounds[i].id == id)
            return &writer->rounds[i];
    return NULL;
}

/* W4 */
static void release_item(const struct writer *writer, struct message *message)
{
    if (message->kind == MESSAGE_CONTENT && message->payload)
        content_returned(writer->run->recorded, content_weight(message->payload));
    batch_release(message->payload);
    message->payload = NULL;
}

static void drop_content(const struct writer *writer, struct writer_content *content)
{
    for (uint32_t i = 0; i < content->count; i++)
        release_item(writer, &content->items[i]);
    content->count = 0;
}

static void clear_tasks(const struct writer *writer, struct writer_round *round)
{
    const struct weir_allocator *allocator = writer->run->allocator;
    for (uint32_t i = 0; round->tasks && i < writer->manifest.task_count; i++) {
        memory_release(allocator, round->tasks[i].note);
        memory_release(allocator, round->tasks[i].inflight);
        memory_release(allocator, round->tasks[i].state);
        round->tasks[i] =
            (struct manifest_task){.last_edge = MANIFEST_NONE, .last_from = MANIFEST_NONE};
    }
}

static void close_round(struct writer *writer, struct writer_round *round)
{
    writer_drop_state(writer, round);
    for (uint32_t i = 0; round->contents && i < writer->run->plan.task_count; i++)
        drop_content(writer, &round->contents[i]);
    for (uint32_t i = 0; round->logs && i < writer->manifest.task_count; i++)
        drop_content(writer, &round->logs[i]);
    for (uint32_t i = 0; round->later && i < writer->manifest.task_count; i++)
        drop_content(writer, &round->later[i]);
    clear_tasks(writer, round);
    round->id = 0;
}

void writer_free(struct writer *writer)
{
    if (!writer->run)
        return;
    const struct weir_allocator *allocator = writer->run->allocator;
    for (uint32_t i = 0; i < STORE_ROUNDS; i++) {
        struct writer_round *round = &writer->rounds[i];
        close_round(writer, round);
        for (uint32_t t = 0; round->contents && t < writer->run->plan.task_count; t++)
            memory_release(allocator, round->contents[t].items);
        for (uint32_t t = 0; round->logs && t < writer->manifest.task_count; t++)
            memory_release(allocator, round->logs[t].items);
        for (uint32_t t = 0; round->later && t < writer->manifest.task_count; t++)
            memory_release(allocator, round->later[t].items);
        memory_release(allocator, round->contents);
        memory_release(allocator, round->logs);
        memory_release(allocator, round->later);
        memory_release(allocator, round->fresh);
        memory_release(allocator, round->named);
        memory_release(allocator, round->tasks);
    }
    for (uint32_t i = 0; i < writer->unsent_count; i++)
        batch_release(writer->unsent[i].payload);
    memory_release(allocator, writer->manifest.job);
    memory_release(allocator, writer->manifest.reason);
    blob_buffer_free(&writer->piece, allocator);
    blob_buffer_free(&writer->whole, allocator);
    pipe_close(&writer->coordinator);
    inbox_close(&writer->inbox);
}

/* ----------------------------------------------------------------------------- answers -- */

static void answer(struct writer *writer, enum message_kind kind, uint64_t id, uint64_t bytes,
                   enum weir_result result, const struct weir_error *error)
{
    struct message message = {
        .kind = kind, .epoch = writer->run->epoch, .id = id, .value = result, .sequence = bytes};
    if (result) {
        size_t size = strlen(error->text) + 1;
        message.payload = batch_alone(writer->run->allocator, size);
        if (message.payload) {
            memcpy(message.payload->data, error->text, size);
            message.payload->size = size;
        }
    }
    assert(writer->unsent_count < WRITER_ANSWERS); /* none is asked for twice */
    writer->unsent[writer->unsent_count++] = message;
}

/* An answer that was lost would leave the round open for ever. */
static bool answered(struct writer *writer)
{
    uint32_t sent = 0;
    while (sent < writer->unsent_count && pipe_send(writer->coordinator, &writer->unsent[sent]))
        sent++;
    writer->unsent_count -= sent;
    memmove(writer->unsent, writer->unsent + sent, writer->unsent_count * sizeof *writer->unsent);
    return writer->unsent_count == 0;
}

/* To a round that was given up, nobody waits for one. */
static void forget_answers(struct writer *writer, uint64_t id)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < writer->unsent_count; i++) {
        if (writer->unsent[i].id == id && writer->unsent[i].kind != MESSAGE_SAVED)
            batch_release(writer->unsent[i].payload);
        else
            writer->unsent[kept++] = writer->unsent[i];
    }
    writer->unsent_count = kept;
}

/* ------------------------------------------------------------------------------- claim -- */

static void on_claim(struct writer *writer, const struct message *message)
{
    struct weir_error error = {0};
    struct writer_round *round = find_round(writer, 0);
    assert(round); /* the coordinator has no more than that unfinished */
    clear_tasks(writer, round);
    round->id = message->id;
    round->durable = false;
    round->full = writer_is_full_due(writer, round);
    round->part_count = round->recorded_count = 0;
    round->bytes = 0;
    round->triggered_wall_ns = (int64_t)message->sequence;
    enum weir_result result = store_claim(writer->store, message->id, &error);
    round->failed = result != WEIR_OK;
    answer(writer, MESSAGE_CLAIMED, message->id, 0, result, &error);
}

/* ------------------------------------------------------------------------------- parts -- */

/* When the last of it is written, all of it is made durable. */
static void settle(struct writer *writer, struct writer_round *round, enum weir_result result,
                   struct weir_error *error)
{
    bool all = round->part_count == writer->manifest.task_count &&
               round->recorded_count == writer->run->plan.task_count;
    if (!result && !all)
        return;
    pulse_write(&writer->pulse, "syncing", round->id, clock_now_ns());
    if (!result)
        result = store_sync(writer->store, round->id, error);
    if (!result)
        writer_know_stored(writer, round);
    round->failed = result != WEIR_OK;
    round->durable = !round->failed;
    answer(writer, MESSAGE_DURABLE, round->id, round->bytes, result, error);
}

/* What the part says of its task, for the manifest. */
static bool describe_task(const struct writer *writer, const struct batch *part,
                          struct manifest_task *task)
{
    struct snapshot_reader reader = {part->data, part->size, false};
    struct snapshot_section section;
    while (snapshot_next(&reader, &section)) {
        if (section.tag != SNAPSHOT_TASK)
            continue;
        task->node = snapshot_get_u32(&section);
        task->subtask = snapshot_get_u32(&section);
        snapshot_get_u32(&section);
        task->ended = snapshot_get_u32(&section) != 0;
        task->handles = snapshot_get_u64(&section);
        task->letters = snapshot_get_u64(&section);
        struct weir_bytes note = snapshot_get_text(&section);
        memory_release(writer->run->allocator, task->note);
        task->note = memory_text(writer->run->allocator, note.data, note.size);
        return task->note && !section.failed;
    }
    return false;
}

static unsigned char *grow_whole(void *context, unsigned char *data, size_t size, size_t capacity)
{
    struct writer *writer = context;
    (void)size;
    data = memory_resize(writer->run->allocator, data, writer->whole.capacity, capacity);
    if (data)
        writer->whole = (struct blob_buffer){.data = data, .capacity = capacity};
    return data;
}

/* The operators' own code runs here: it may take its time. */
static enum weir_result write_items(struct writer *writer, struct writer_content *later,
                                    const struct manifest_task *task, struct snapshot_writer *whole,
                                    struct weir_error *error)
{
    enum weir_result result = WEIR_OK;
    uint32_t instance = writer->run->plan.nodes[task->node].first_instance + task->subtask;
    pulse_instance(&writer->pulse, 1 + instance);
    for (uint32_t i = 0; !result && i < later->count; i++) {
        result = saver_write(later->items[i].payload, whole, error);
        if (result)
            error_within(error, "%s[%u]", writer->run->plan.graph->nodes[task->node].name,
                         task->subtask);
        release_item(writer, &later->items[i]); /* the sooner its memory comes back the better */
    }
    pulse_instance(&writer->pulse, 0);
    return result;
}

/* The part, with what was to be written later behind it. */
static enum weir_result write_whole(struct writer *writer, struct writer_round *round,
                                    uint32_t instance, const struct batch *part,
                                    struct weir_error *error)
{
    struct manifest_task *task = &round->tasks[instance];
    struct writer_content *later = &round->later[instance];
    struct snapshot_writer whole = {.grow = grow_whole, .context = writer};
    snapshot_bytes(&whole, part->data, part->size);
    enum weir_result result = write_items(writer, later, task, &whole, error);
    drop_content(writer, later);
    if (!result && whole.failed)
        result = error_memory(error, "a task's part", whole.size);
    if (!result)
        result = store_part(writer->store, round->id, BLOB_SNAPSHOT, instance,
                            (struct weir_bytes){whole.data, whole.size}, &task->part, error);
    blob_buffer_free(&writer->whole, writer->run->allocator); /* it may be large */
    return result;
}

static enum weir_result write_part(struct writer *writer, struct writer_round *round,
                                   const struct message *message, struct weir_error *error)
{
    const struct batch *part = message->payload;
    struct manifest_task *task = &round->tasks[message->channel];
    int64_t began_ns = clock_now_ns();
    if (!describe_task(writer, part, task))
        return error_memory(error, "a task's description", part->size);
    enum weir_result result = writer_write_logs(writer, round, message->channel, error);
    if (!result && round->later[message->channel].count)
        result = write_whole(writer, round, message->channel, part, error);
    else if (!result)
        result = store_part(writer->store, round->id, BLOB_SNAPSHOT, message->channel,
                            (struct weir_bytes){part->data, part->size}, &task->part, error);
    if (result)
        return result;
    task->phases.write_ns += clock_now_ns() - began_ns;
    round->bytes += task->part.blob.stored_size + BLOB_HEADER_SIZE;
    round->part_count++;
    return WEIR_OK;
}

static void on_part(struct writer *writer, const struct message *message)
{
    struct weir_error error = {0};
    struct writer_round *round = find_round(writer, message->id);
    if (message->payload)
        content_returned(writer->run->sealed, content_copied(message->payload));
    if (!round || !message->id || round->failed || !message->payload || /* W1, W2 */
        message->channel >= writer->manifest.task_count)
        return;
    settle(writer, round, write_part(writer, round, message, &error), &error);
}

/* ----------------------------------------------------------------------------- content -- */

static struct message *next_place(const struct writer *writer, struct writer_content *content)
{
    if (content->count == content->room) {
        uint32_t room = content->room ? 2 * content->room : 16;
        struct message *larger =
            memory_resize(writer->run->allocator, content->items, content->count * sizeof *larger,
                          room * sizeof *larger);
        if (!larger)
            return NULL;
        content->items = larger;
        content->room = room;
    }
    return &content->items[content->count++];
}

/* Takes the payload. */
static void on_log(struct writer *writer, struct message *message)
{
    struct weir_error error = {0};
    struct writer_round *round = find_round(writer, message->id);
    bool wanted = round && message->id && !round->failed && /* W1, W2 */
                  message->channel < writer->manifest.task_count && message->payload;
    struct writer_content *lists = !wanted                        ? NULL
                                   : message->kind == MESSAGE_LOG ? round->logs
                                                                  : round->later;
    struct message *place = wanted ? next_place(writer, &lists[message->channel]) : NULL;
    if (place && message->kind == MESSAGE_LOG)
        logs_let_go(message->payload);
    if (place)
        *place = *message;
    else
        release_item(writer, message);
    if (wanted && !place)
        settle(writer, round, error_memory(&error, "a log of state", sizeof *place), &error);
    message->payload = NULL;
}

/* Takes the payload. */
static void on_content(struct writer *writer, struct message *message)
{
    struct weir_error error = {0};
    const struct plan *plan = &writer->run->plan;
    struct writer_round *round = find_round(writer, message->id);
    bool wanted = round && message->id && !round->failed && /* W1, W2 */
                  message->sequence < plan->task_count &&
                  message->channel < plan->channel_count + plan->restored_count;
    struct message *place = wanted ? next_place(writer, &round->contents[message->sequence]) : NULL;
    if (place)
        *place = *message;
    else
        release_item(writer, message);
    if (wanted && !place)
        settle(writer, round, error_memory(&error, "content in flight", sizeof *place), &error);
    message->payload = NULL;
}

static unsigned char *grow_piece(void *context, unsigned char *data, size_t size, size_t capacity)
{
    struct writer *writer = context;
    struct blob_buffer *piece = &writer->piece;
    (void)data, (void)size;
    capacity = capacity < 2 * CONTENT_PIECE ? 2 * CONTENT_PIECE : capacity;
    unsigned char *larger =
        memory_resize(writer->run->allocator, piece->data, piece->capacity, capacity);
    if (!larger)
        return NULL;
    piece->data = larger;
    piece->capacity = capacity;
    return larger;
}

static struct snapshot_writer begin_piece(struct writer *writer)
{
    return (struct snapshot_writer){.grow = grow_piece,
                                    .context = writer,
                                    .data = writer->piece.data,
                                    .capacity = writer->piece.capacity};
}

static enum weir_result write_piece(struct writer *writer, struct writer_round *round,
                                    uint32_t instance, struct snapshot_writer *sections,
                                    struct weir_error *error)
{
    const struct weir_allocator *allocator = writer->run->allocator;
    struct manifest_task *task = &round->tasks[instance];
    if (sections->failed)
        return error_memory(error, "content in flight", CONTENT_PIECE);
    if (!sections->size)
        return WEIR_OK;
    struct manifest_blob *more =
        memory_resize(allocator, task->inflight, task->inflight_count * sizeof *more,
                      (task->inflight_count + 1) * sizeof *more);
    if (!more)
        return error_memory(error, "content in flight", sizeof *more);
    task->inflight = more;
    struct manifest_blob *place = &more[task->inflight_count];
    enum weir_result result =
        store_part(writer->store, round->id, BLOB_INFLIGHT, instance,
                   (struct weir_bytes){sections->data, sections->size}, place, error);
    if (result)
        return result;
    task->inflight_count++;
    round->bytes += place->blob.stored_size + BLOB_HEADER_SIZE;
    *sections = begin_piece(writer);
    return WEIR_OK;
}

/* One batch as a section. */
static enum weir_result write_item(struct writer *writer, const struct message *item,
                                   struct snapshot_writer *sections, struct weir_error *error)
{
    const struct plan_channel *channel = &writer->run->plan.channels[item->channel];
    struct batch *batch = item->payload, *read = NULL;
    if (item->kind == MESSAGE_SPILLED) {
        enum weir_result result =
            spill_get(spill_of_payload(batch), writer->run->allocator, &read, error);
        if (result)
            return result;
        batch = read;
    }
    struct snapshot_inflight inflight = {
        .side = item->count ? SNAPSHOT_OUTLET_SIDE : SNAPSHOT_CHANNEL_SIDE,
        .edge = channel->edge,
        .from_subtask = channel->from_subtask,
        .to_subtask = channel->to_subtask,
        .records = item->value ? 0 : batch->count,
        .restores = channel->restores,
        .items = {batch->data + item->value, batch->size - item->value},
    };
    snapshot_inflight(sections, &inflight);
    batch_release(read);
    return WEIR_OK;
}

/* The number of a task's first operator. */
static uint32_t head_instance(const struct plan *plan, uint32_t task)
{
    uint32_t chain = 0;
    while (task >= plan->chains[chain].first_task + plan->chains[chain].parallelism)
        chain++;
    return plan->nodes[plan->chains[chain].head].first_instance + task -
           plan->chains[chain].first_task;
}

static enum weir_result write_content(struct writer *writer, struct writer_round *round,
                                      uint32_t task, struct weir_error *error)
{
    struct writer_content *content = &round->contents[task];
    uint32_t instance = head_instance(&writer->run->plan, task);
    struct snapshot_writer sections = begin_piece(writer);
    enum weir_result result = WEIR_OK;
    int64_t began_ns = clock_now_ns();
    for (uint32_t i = 0; !result && i < content->count; i++) {
        result = write_item(writer, &content->items[i], &sections, error);
        release_item(writer, &content->items[i]);
        if (!result && sections.size >= CONTENT_PIECE)
            result = write_piece(writer, round, instance, &sections, error);
    }
    if (!result)
        result = write_piece(writer, round, instance, &sections, error);
    drop_content(writer, content);
    round->tasks[instance].phases.write_ns += clock_now_ns() - began_ns;
    return result;
}

static void on_recorded(struct writer *writer, const struct message *message)
{
    struct weir_error error = {0};
    struct writer_round *round = find_round(writer, message->id);
    if (!round || !message->id || round->failed || /* W1, W2 */
        message->channel >= writer->run->plan.task_count)
        return;
    struct writer_content *content = &round->contents[message->channel];
    enum weir_result result = WEIR_OK;
    if (content->count != message->value)
        result = error_set(&error, WEIR_FAILED, 0, "content in flight was lost on its way");
    else
        result = write_content(writer, round, message->channel, &error);
    round->recorded_count += result == WEIR_OK;
    settle(writer, round, result, &error);
}

/* ------------------------------------------------------------------------------ commit -- */

static int64_t span(int64_t from_ns, int64_t to_ns)
{
    return from_ns && to_ns > from_ns ? to_ns - from_ns : 0;
}

static void fill_head(const struct plan *plan, const struct cut_report *report,
                      struct manifest_task *task)
{
    task->channel_bytes = report->channel_bytes;
    task->outlet_bytes = report->outlet_bytes;
    if (report->last_channel >= plan->channel_count)
        return;
    task->last_edge = plan->channels[report->last_channel].edge;
    task->last_from = plan->channels[report->last_channel].from_subtask;
}

static void fill_task(const struct plan *plan, const struct cut_summary *summary,
                      const struct cut_report *report, uint32_t chain, uint32_t subtask,
                      struct writer_round *round)
{
    for (uint32_t place = 0; place < plan->chains[chain].length; place++) {
        uint32_t node = plan_member(plan, chain, place);
        struct manifest_task *task = &round->tasks[plan->nodes[node].first_instance + subtask];
        task->cut_ns = (uint64_t)report->took_ns;
        task->cut_cpu_ns = (uint64_t)report->cpu_ns;
        task->overtook = report->overtook;
        task->phases.wait_ns = span(summary->triggered_ns, report->cut_ns);
        task->phases.align_ns = span(report->marked_ns, report->cut_ns);
        task->phases.record_ns = span(report->cut_ns + report->took_ns, report->complete_ns);
        if (place == 0)
            fill_head(plan, report, task);
    }
}

/* What the tasks have told of their cuts. Without memory there was nothing to tell it in. */
static void fill_figures(struct writer *writer, struct writer_round *round,
                         const struct batch *payload)
{
    const struct plan *plan = &writer->run->plan;
    struct manifest *manifest = &writer->manifest;
    struct cut_summary summary = {.last_task = UINT32_MAX};
    size_t wanted = sizeof summary + plan->task_count * sizeof(struct cut_report);
    bool given = payload && payload->size == wanted;
    if (given)
        memcpy(&summary, payload->data, sizeof summary);
    manifest->sealed_ns = span(summary.triggered_ns, summary.sealed_ns);
    manifest->last_task = summary.last_task < plan->task_count
                              ? head_instance(plan, summary.last_task)
                              : MANIFEST_NONE;
    for (uint32_t c = 0; given && c < plan->chain_count; c++) {
        for (uint32_t s = 0; s < plan->chains[c].parallelism; s++) {
            struct cut_report report;
            size_t at = plan->chains[c].first_task + s;
            memcpy(&report, payload->data + sizeof summary + at * sizeof report, sizeof report);
            fill_task(plan, &summary, &report, c, s, round);
        }
    }
}

static enum weir_result commit(struct writer *writer, struct writer_round *round,
                               const struct message *message, struct weir_error *error)
{
    struct manifest *manifest = &writer->manifest;
    uint32_t purposes = (uint32_t)message->value;
    fill_figures(writer, round, message->payload);
    manifest->id = round->id;
    manifest->overtaken = message->sequence != 0 || writer->run->mode == WEIR_UNALIGNED;
    manifest->tasks = round->tasks;
    manifest->final = (purposes & ROUND_FINAL) != 0;
    manifest->triggered_ns = round->triggered_wall_ns;
    manifest->duration_ns = clock_wall_ns() - round->triggered_wall_ns;
    if (manifest->duration_ns < 0) /* the wall clock was set back */
        manifest->duration_ns = 0;
    const char *reason = round_purpose_text(purposes);
    memory_release(manifest->allocator, manifest->reason);
    manifest->reason = memory_text(manifest->allocator, reason, strlen(reason));
    if (!manifest->reason)
        return error_memory(error, "the manifest", strlen(reason));
    return store_commit(writer->store, manifest, error);
}

static void on_commit(struct writer *writer, const struct message *message)
{
    struct weir_error error = {0};
    struct writer_round *round = find_round(writer, message->id);
    if (!round || !message->id || round->failed || !round->durable)
        return;
    enum weir_result result = commit(writer, round, message, &error);
    round->failed = result != WEIR_OK;
    answer(writer, MESSAGE_DONE, message->id, round->bytes, result, &error);
    answered(writer); /* sinks need not wait for the clearing up */
    if (result)
        return;
    writer->since_full = round->full ? 0 : writer->since_full + (writer->since_full < UINT32_MAX);
    close_round(writer, round);
    writer_clear_needless(writer);
    pulse_write(&writer->pulse, "clearing up after", message->id, clock_now_ns());
    store_retain(writer->store, writer->retain, 0);
}

static void on_abort(struct writer *writer, const struct message *message)
{
    struct writer_round *round = find_round(writer, message->id);
    if (round && message->id)
        store_abort(writer->store, message->id);
    if (message->payload)
        store_note_failure(writer->store, message->id, clock_wall_ns(),
                           (const char *)message->payload->data);
    if (!round || !message->id)
        return;
    forget_answers(writer, message->id);
    close_round(writer, round);
}

static void on_save(struct writer *writer, const struct message *message)
{
    struct weir_error error = {0};
    enum weir_result result =
        message->payload ? store_save_copy(writer->store, message->id,
                                           (const char *)message->payload->data, &error)
                         : error_set(&error, WEIR_INVALID, 0, "a savepoint without a path");
    answer(writer, MESSAGE_SAVED, message->id, 0, result, &error);
}

/* ---------------------------------------------------------------------------- the switch -- */

static void show_work(struct writer *writer, const struct message *message)
{
    const char *doing = "writing";
    if (message->kind == MESSAGE_CLAIM)
        doing = "making room for";
    else if (message->kind == MESSAGE_COMMIT)
        doing = "committing";
    else if (message->kind == MESSAGE_ABORT)
        doing = "clearing up after";
    else if (message->kind == MESSAGE_SAVE)
        doing = "copying";
    pulse_write(&writer->pulse, doing, message->id, clock_now_ns());
}

static bool on_message(struct writer *writer, struct message *message)
{
    switch (message->kind) {
    case MESSAGE_CLAIM:
        on_claim(writer, message);
        return true;
    case MESSAGE_LOG:
    case MESSAGE_LATER:
        on_log(writer, message);
        return true;
    case MESSAGE_PART:
        on_part(writer, message);
        return true;
    case MESSAGE_CONTENT:
    case MESSAGE_SPILLED:
        on_content(writer, message);
        return true;
    case MESSAGE_RECORDED:
        on_recorded(writer, message);
        return true;
    case MESSAGE_COMMIT:
        on_commit(writer, message);
        return true;
    case MESSAGE_ABORT:
        on_abort(writer, message);
        return true;
    case MESSAGE_SAVE:
        on_save(writer, message);
        return true;
    default:
        return message->kind != MESSAGE_QUIT;
    }
}

/* Rounds that were open when the job ended are nobody's: their files go at once. */
static struct step leave(struct writer *writer)
{
    pulse_write(&writer->pulse, "clearing up", 0, clock_now_ns());
    for (uint32_t i = 0; i < STORE_ROUNDS; i++) {
        if (!writer->rounds[i].id)
            continue;
        store_abort(writer->store, writer->rounds[i].id);
        close_round(writer, &writer->rounds[i]);
    }
    writer_clear_needless(writer);
    store_let_all_go(writer->store); /* what logs still have is no checkpoint's any more */
    pipe_close(&writer->coordinator);
    inbox_close(&writer->inbox);
    atomic_store(&writer->gone, true);
    pulse_write(&writer->pulse, NULL, 0, 0);
    return (struct step){STEP_DONE, -1, INT64_MAX};
}

/* One message a step: file work is long, and the simulation wants to see between. */
struct step writer_step(void *self)
{
    struct writer *writer = self;
    struct message message;
    struct weir_error error = {0};
    int64_t again_ns = answered(writer) ? INT64_MAX : clock_now_ns() + RETRY_NS;
    if (!atomic_load_explicit(&writer->pulse.thread, memory_order_relaxed))
        atomic_store_explicit(&writer->pulse.thread, thread_number(), memory_order_relaxed);
    int status = inbox_receive(writer->inbox, &message, &error); /* QUIT comes in any case */
    if (status == 0)
        return (struct step){STEP_WAIT, -1, again_ns};
    bool going = status > 0;
    if (going) {
        show_work(writer, &message);
        going = on_message(writer, &message);
        batch_release(message.payload);
        pulse_write(&writer->pulse, NULL, 0, 0);
    } else {
        answer(writer, MESSAGE_DONE, 0, 0, WEIR_PROTOCOL, &error);
    }
    answered(writer);
    return going ? (struct step){STEP_AGAIN, -1, INT64_MAX} : leave(writer);
}
