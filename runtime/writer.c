/* SPDX-License-Identifier: Apache-2.0 */
#include "writer.h"

#include <string.h>

#include "batch.h"
#include "clock.h"
#include "error.h"
#include "memory.h"
#include "round.h"
#include "snapshot.h"

#define RETRY_NS 1000000 /* pause before an answer is sent again */

enum weir_result writer_init(struct writer *writer, const struct run *run, struct store *store,
                             const struct manifest_graph *description, uint32_t retain,
                             struct weir_error *error)
{
    *writer = (struct writer){.run = run, .store = store, .retain = retain};
    struct manifest *manifest = &writer->manifest;
    manifest->allocator = run->allocator;
    memcpy(manifest->store_id, store_id(store), STORE_ID_SIZE);
    manifest->epoch = run->epoch;
    manifest->restored_from = run->restored_id;
    manifest->graph = *description;
    manifest->job = memory_text(run->allocator, run->job_name, strlen(run->job_name));
    manifest->last_task = MANIFEST_NONE;
    manifest->task_count = run->plan.instance_count;
    manifest->tasks = memory_zeroed(run->allocator, manifest->task_count, sizeof *manifest->tasks);
    if (!manifest->job || !manifest->tasks)
        return error_memory(error, "the writer", manifest->task_count * sizeof *manifest->tasks);
    for (uint32_t i = 0; i < manifest->task_count; i++)
        manifest->tasks[i].last_edge = manifest->tasks[i].last_from = MANIFEST_NONE;
    return WEIR_OK;
}

void writer_free(struct writer *writer)
{
    if (!writer->run)
        return;
    const struct weir_allocator *allocator = writer->run->allocator;
    for (uint32_t i = 0; writer->manifest.tasks && i < writer->manifest.task_count; i++)
        memory_release(allocator, writer->manifest.tasks[i].note);
    memory_release(allocator, writer->manifest.tasks);
    memory_release(allocator, writer->manifest.job);
    memory_release(allocator, writer->manifest.reason);
    pipe_close(&writer->coordinator);
    inbox_close(&writer->inbox);
}

/* `bytes` is what the round has written so far. */
static void answer(struct writer *writer, enum message_kind kind, uint64_t id,
                   enum weir_result result, const struct weir_error *error)
{
    struct message message = {.kind = kind,
                              .epoch = writer->run->epoch,
                              .id = id,
                              .value = result,
                              .sequence = writer->bytes};
    if (result) {
        size_t size = strlen(error->text) + 1;
        message.payload = batch_alone(writer->run->allocator, size);
        if (message.payload) {
            memcpy(message.payload->data, error->text, size);
            message.payload->size = size;
        }
    }
    batch_release(writer->unsent.payload); /* of a round that was given up meanwhile */
    writer->unsent = message;
}

/* An answer that was lost would leave the round open for ever. */
static bool answered(struct writer *writer)
{
    if (writer->unsent.kind && pipe_send(writer->coordinator, &writer->unsent))
        writer->unsent = (struct message){0};
    return !writer->unsent.kind;
}

static void on_claim(struct writer *writer, const struct message *message)
{
    struct weir_error error = {0};
    writer->open = message->id;
    writer->failed = false;
    writer->part_count = 0;
    writer->bytes = 0;
    writer->triggered_wall_ns = (int64_t)message->sequence;
    enum weir_result result = store_claim(writer->store, message->id, &error);
    writer->failed = result != WEIR_OK;
    answer(writer, MESSAGE_CLAIMED, message->id, result, &error);
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

static enum weir_result write_part(struct writer *writer, const struct message *message,
                                   struct weir_error *error)
{
    const struct batch *part = message->payload;
    struct manifest_task *task = &writer->manifest.tasks[message->channel];
    if (!describe_task(writer, part, task))
        return error_memory(error, "a task's description", part->size);
    task->cut_ns = (uint64_t)message->value;
    enum weir_result result =
        store_part(writer->store, message->id, BLOB_SNAPSHOT, message->channel,
                   (struct weir_bytes){part->data, part->size}, &task->part, error);
    if (result)
        return result;
    writer->bytes += task->part.blob.stored_size + BLOB_HEADER_SIZE;
    writer->part_count++;
    return WEIR_OK;
}

static void on_part(struct writer *writer, const struct message *message)
{
    if (message->id != writer->open || writer->failed || !message->payload || /* W1, W2 */
        message->channel >= writer->manifest.task_count)
        return;
    struct weir_error error = {0};
    enum weir_result result = write_part(writer, message, &error);
    if (!result && writer->part_count < writer->manifest.task_count)
        return;
    if (!result)
        result = store_sync(writer->store, message->id, &error);
    writer->failed = result != WEIR_OK;
    answer(writer, MESSAGE_DURABLE, message->id, result, &error);
}

static void on_commit(struct writer *writer, const struct message *message)
{
    if (message->id != writer->open || writer->failed)
        return;
    struct manifest *manifest = &writer->manifest;
    uint32_t purposes = (uint32_t)message->value;
    manifest->id = message->id;
    manifest->final = (purposes & ROUND_FINAL) != 0;
    manifest->triggered_ns = writer->triggered_wall_ns;
    manifest->duration_ns = clock_wall_ns() - writer->triggered_wall_ns;
    if (manifest->duration_ns < 0) /* the wall clock was set back */
        manifest->duration_ns = 0;
    const char *reason = round_purpose_text(purposes);
    memory_release(manifest->allocator, manifest->reason);
    manifest->reason = memory_text(manifest->allocator, reason, strlen(reason));
    struct weir_error error = {0};
    enum weir_result result = manifest->reason
                                  ? store_commit(writer->store, manifest, &error)
                                  : error_memory(&error, "the manifest", strlen(reason));
    writer->failed = result != WEIR_OK;
    answer(writer, MESSAGE_DONE, message->id, result, &error);
    answered(writer); /* sinks need not wait for the clearing up */
    if (!result) {
        writer->open = 0;
        store_retain(writer->store, writer->retain, 0);
    }
}

static void on_abort(struct writer *writer, const struct message *message)
{
    if (message->id != writer->open)
        return;
    store_abort(writer->store, message->id);
    writer->open = 0;
}

static bool on_message(struct writer *writer, const struct message *message)
{
    switch (message->kind) {
    case MESSAGE_CLAIM:
        on_claim(writer, message);
        return true;
    case MESSAGE_PART:
        on_part(writer, message);
        return true;
    case MESSAGE_COMMIT:
        on_commit(writer, message);
        return true;
    case MESSAGE_ABORT:
        on_abort(writer, message);
        return true;
    default:
        return message->kind != MESSAGE_QUIT;
    }
}

/* A round that was open when the job ended is nobody's: its files go at once. */
static struct step leave(struct writer *writer)
{
    if (writer->open)
        store_abort(writer->store, writer->open);
    batch_release(writer->unsent.payload);
    writer->unsent = (struct message){0};
    pipe_close(&writer->coordinator);
    inbox_close(&writer->inbox);
    return (struct step){STEP_DONE, -1, INT64_MAX};
}

/* One message a step: file work is long, and the simulation wants to see between. */
struct step writer_step(void *self)
{
    struct writer *writer = self;
    struct message message;
    struct weir_error error = {0};
    int64_t again_ns = answered(writer) ? INT64_MAX : clock_now_ns() + RETRY_NS;
    int status = inbox_receive(writer->inbox, &message, &error); /* QUIT comes in any case */
    if (status == 0)
        return (struct step){STEP_WAIT, -1, again_ns};
    bool going = status > 0;
    if (going) {
        going = on_message(writer, &message);
        batch_release(message.payload);
    } else {
        answer(writer, MESSAGE_DONE, writer->open, WEIR_PROTOCOL, &error);
    }
    answered(writer);
    return going ? (struct step){STEP_AGAIN, -1, INT64_MAX} : leave(writer);
}
