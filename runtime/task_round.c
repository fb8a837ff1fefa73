/* SPDX-License-Identifier: Apache-2.0
 *
 * A task's part in rounds: the cut, what is recorded for it, and when it is complete.
 *
 *   noticed --due--> cut --markers in, markers out, content handed on--> sealed (SEALED is told)
 *                     |  OVERTAKE: its markers move ahead
 *                     +-- given up (aborted, or buried by a newer id): content and markers dropped
 */
#include <assert.h>
#include <string.h>

#include "clock.h"
#include "error.h"
#include "memory.h"
#include "plant.h"
#include "task_inside.h"

#define BUDGET_HARD 2 /* times the budget: then the round is given up (P11) */

/* ------------------------------------------------------------------------- the parts -- */

static unsigned char *grow_snapshot(void *pool_and_batch, unsigned char *data, size_t size,
                                    size_t capacity)
{
    struct {
        struct batch_pool *pool;
        struct batch *batch;
    } *room = pool_and_batch;
    if (room->batch && room->batch->capacity >= capacity) /* a kept one, larger than was asked */
        return data;
    size_t doubled = room->batch ? room->batch->capacity * 2 : 0;
    struct batch *larger = batch_new(room->pool, capacity > doubled ? capacity : doubled);
    if (!larger)
        return NULL;
    if (size)
        memcpy(larger->data, data, size);
    batch_release(room->batch);
    room->batch = larger;
    return larger->data;
}

static void save_channels(const struct task *task, struct snapshot_writer *writer)
{
    for (uint32_t i = 0; i <= task->gate.input_count; i++) {
        bool own = i == task->gate.input_count;
        const struct gate_input *input = &task->gate.inputs[i];
        if (!own && input->restores && task->gate.aligned[i].end_reached)
            continue; /* it is no more */
        snapshot_begin(writer, SNAPSHOT_CHANNEL, i);
        snapshot_u32(writer, own ? TASK_OWN_WATERMARK : input->edge);
        snapshot_u32(writer, own ? 0 : input->from_subtask);
        snapshot_u64(writer, (uint64_t)(own ? task->watermark : input->watermark));
        snapshot_u32(writer, own ? 0 : input->idle);
        snapshot_u32(writer, own ? 0 : input->restores);
        snapshot_end(writer);
    }
}

/* TASK is the last section: what the operators say of themselves is known by then. */
static void save_task(const struct task *task, const struct weir_context *context,
                      struct snapshot_writer *writer, const char *note)
{
    snapshot_begin(writer, SNAPSHOT_TASK, context->instance);
    snapshot_u32(writer, context->node_index);
    snapshot_u32(writer, context->subtask);
    snapshot_u32(writer, 1);
    snapshot_u32(writer, task->end_placed);
    snapshot_u64(writer, context->handle_count);
    snapshot_u64(writer, context->letters.count);
    snapshot_text(writer, note);
    snapshot_end(writer);
}

/* What a task's snapshots take in memory, and what all of them took when its last one was there. */
struct copies {
    uint64_t bytes, peak;
};

static size_t size_hint(const struct weir_context *context)
{
    return context->part_size + context->part_size / 8 + 256;
}

static bool send_log(struct task *task, const struct weir_context *context, uint32_t state,
                     uint64_t id, struct weir_error *error)
{
    struct state_cut cut;
    if (state_cut(context->states[state], &cut)) {
        error_memory(error, "a cut of state", sizeof cut);
        return false;
    }
    if (!cut.count) {
        state_cut_free(&cut);
        return true;
    }
    struct message message = {.kind = MESSAGE_LOG,
                              .epoch = task->run->epoch,
                              .channel = context->instance,
                              .id = id,
                              .value = state,
                              .payload = logs_payload(&cut, task->run->allocator)};
    if (!message.payload) {
        state_cut_free(&cut);
        error_memory(error, "a cut of state", sizeof cut);
        return false;
    }
    if (pipe_send(task->writer, &message))
        return true;
    batch_release(message.payload);
    task_refused(task->writer, "the writer", error);
    return false;
}

/* One pointer moves in each state, whatever its size. */
static bool send_logs(struct task *task, const struct weir_context *context, uint64_t id,
                      struct weir_error *error)
{
    bool sent = true;
    for (uint32_t s = 0; sent && s < context->node->state_count; s++)
        sent = send_log(task, context, s, id, error);
    return sent;
}

/* What the operator will write on the writer's thread; goes before its part. */
static bool send_later(struct task *task, struct weir_context *context, uint64_t id,
                       struct copies *copies, struct weir_error *error)
{
    bool sent = true;
    for (uint32_t i = 0; sent && i < context->later.count; i++) {
        struct message message = {.kind = MESSAGE_LATER,
                                  .epoch = task->run->epoch,
                                  .channel = context->instance,
                                  .id = id,
                                  .payload = context->later.items[i]};
        uint64_t weight = saver_bytes(message.payload);
        uint64_t now = atomic_load_explicit(task->run->sealed, memory_order_relaxed);
        sent = pipe_send(task->writer, &message);
        if (!sent)
            break;
        context->later.items[i] = NULL; /* the writer's */
        copies->bytes += weight;
        copies->peak = now > copies->peak ? now : copies->peak;
    }
    saver_list_drop(&context->later);
    if (!sent)
        task_refused(task->writer, "the writer", error);
    return sent;
}

static bool send_part(struct task *task, struct weir_context *context, uint64_t id,
                      struct copies *copies, struct weir_error *error)
{
    struct {
        struct batch_pool *pool;
        struct batch *batch;
    } room = {task->snapshots, NULL};
    struct snapshot_writer writer = {.grow = grow_snapshot, .context = &room};
    char note[201] = "";
    size_t hint = size_hint(context);
    writer.data = grow_snapshot(&room, NULL, 0, hint);
    writer.capacity = room.batch ? room.batch->capacity : 0;
    writer.failed = !writer.data;
    bool saved = context_save(context, &writer, note, error);
    if (context == task->operators)
        save_channels(task, &writer);
    save_task(task, context, &writer, note);
    if (saved && writer.failed)
        error_memory(error, "a snapshot", writer.size);
    saved = saved && !writer.failed && send_logs(task, context, id, error) &&
            send_later(task, context, id, copies, error);
    if (!saved) {
        saver_list_drop(&context->later);
        batch_release(room.batch);
        return false;
    }
    room.batch->size = context->part_size = writer.size;
    struct message message = {.kind = MESSAGE_PART,
                              .epoch = task->run->epoch,
                              .channel = context->instance,
                              .id = id,
                              .payload = room.batch};
    uint64_t weight = content_copied(room.batch);
    uint64_t before = atomic_fetch_add_explicit(task->run->sealed, weight, memory_order_relaxed);
    if (pipe_send(task->writer, &message)) {
        copies->bytes += weight;
        copies->peak = before + weight > copies->peak ? before + weight : copies->peak;
        return true;
    }
    content_returned(task->run->sealed, weight);
    batch_release(room.batch);
    task_refused(task->writer, "the writer", error);
    return false;
}

/* Before SEALED, so that the round is still open when it is weighed. */
static void tell_copies(struct task *task, uint64_t id, const struct copies *copies)
{
    struct message message = {.kind = MESSAGE_MEMORY,
                              .epoch = task->run->epoch,
                              .channel = task->index,
                              .id = id,
                              .value = copies->bytes,
                              .sequence = copies->peak};
    struct weir_error error = {0};
    if (!task->run->memory_max || !copies->bytes || pipe_send(task->coordinator, &message))
        return;
    task_refused(task->coordinator, "the coordinator", &error);
    error_within(&error, "%s", task->name);
    task_fail(task, &error);
}

static bool prepare(struct task *task, struct weir_context *context, uint64_t id)
{
    if (!context->table->prepare)
        return true;
    context->preparing = id;
    pulse_enter(&task->pulse, context->place, "prepare");
    enum weir_result result = context->table->prepare(context->self, context, id);
    context->preparing = 0;
    if (result && !task->failed)
        weir_fail(context, result, "prepare answered %s", weir_result_name(result));
    task_end_call(task);
    return !task->failed;
}

/* Of the loop that the task is in: all has come from outside, and nothing here would stir by
 * itself. */
static bool is_at_rest(const struct task *task)
{
    if (!task->looping)
        return false;
    for (uint32_t i = 0; i < task->operator_count; i++) {
        const struct weir_context *context = &task->operators[i];
        if (!task->run->plan.nodes[context->node_index].loop)
            continue;
        bool wishes = context->wake_until != INT64_MAX || context->wake_fd >= 0;
        bool timed = context_has_timers(context, WEIR_TIMER_EVENT) ||
                     (context_has_timers(context, WEIR_TIMER_CLOCK) && !context->finished);
        if (wishes || context->held || timed)
            return false;
    }
    return true;
}

/* --------------------------------------------------------------------------- the cut -- */

/* The round came to nothing here: what it recorded is void, its markers are not sent any more
 * (P9). */
static void give_up_cut(struct task *task)
{
    content_drop(&task->content);
    outlet_abort(&task->outlet);
    task->gate.spill_all = false;
    task->unsent = false;
    task->sealing = 0;
}

static void begin_cut(struct task *task, uint64_t id, bool early)
{
    task->report = (struct cut_report){
        .marked_ns = task->marked_id == id ? task->marked_ns : 0,
        .cut_ns = clock_now_ns(),
        .cpu_ns = clock_thread_ns(),
        .last_channel = CUT_NO_CHANNEL,
        .overtook = early,
        .at_rest = is_at_rest(task),
    };
    task->spent_told = 0;
    pulse_turn(&task->pulse, TASK_CUTTING, task->report.cut_ns);
    if (task->sealing)
        give_up_cut(task);
    content_begin(&task->content, id);
}

static void end_cut(struct task *task, uint64_t id)
{
    aligner_cut(&task->gate.aligner);
    gate_record(&task->gate); /* P7 */
    task->report.complete_ns = clock_now_ns();
    task->report.took_ns = task->report.complete_ns - task->report.cut_ns;
    task->report.cpu_ns = clock_thread_ns() - task->report.cpu_ns;
    if (task->last_arrival.id == id)
        task->report.last_channel = task->last_arrival.channel;
    task->sealing = id;
}

/* P3, T1: one step. The markers go first, so that readers can start while this task saves itself.
 */
static void task_cut(struct task *task)
{
    uint64_t id = task->gate.aligner.open;
    bool early = aligner_overtakes(&task->gate.aligner), saved = true;
    struct copies copies = {0};
    struct weir_error error = {0};
    struct pulse_turned before = pulse_turned(&task->pulse);
    begin_cut(task, id, early);
    outlet_marker(&task->outlet, id, early ? &task->content : NULL);
    if (WEIR_PLANT(position_after_marker) && task->operators[0].table->poll && !task->input_done)
        task->operators[0].table->poll(task->operators[0].self, task->operators);
    task->mute = true; /* what were emitted now would lie behind the marker, yet before the state */
    for (uint32_t i = 0; i < task->operator_count; i++) {
        letters_cut(&task->operators[i].letters, id);
        if (!prepare(task, &task->operators[i], id))
            return;
    }
    for (uint32_t i = 0; saved && task->run->durable && i < task->operator_count; i++)
        saved = send_part(task, &task->operators[i], id, &copies, &error);
    task->mute = task->failed;
    end_cut(task, id);
    pulse_turn(&task->pulse, before.doing, before.since_ns);
    task_note_memory(task);
    tell_copies(task, id, &copies);
    if (!saved && !task->failed && !task_tell_error(task, MESSAGE_REFUSED, id, &error))
        task_fail(task, &error);
}

/* P5: the cut was made with its markers in their turn; now they overtake. */
static void overtake(struct task *task)
{
    if (!task->sealing || WEIR_PLANT(overtake_ignored))
        return;
    task->report.overtook |= task->outlet.owing > 0;
    outlet_overtake(&task->outlet, &task->content);
}

void task_verdict(struct task *task, unsigned verdict, uint32_t input, uint64_t id)
{
    struct weir_error error = {0};
    /* Given up by whatever the event proved; without waiting for the abort (P10). */
    if (task->sealing && task->gate.aligner.cut != task->sealing)
        give_up_cut(task);
    if (verdict & ALIGNER_CUT)
        task_cut(task);
    if (verdict & ALIGNER_OVERTAKE)
        overtake(task);
    pulse_round(&task->pulse, &task->gate);
    if (!(verdict & ALIGNER_ERROR))
        return;
    error_set(&error, WEIR_PROTOCOL, 0, "%s: marker %llu on input %u is out of order", task->name,
              (unsigned long long)id, input);
    task_fail(task, &error);
}

void task_note_reached(struct task *task)
{
    const struct aligner *aligner = &task->gate.aligner;
    if (!aligner->open || !aligner->marked_count || task->marked_id == aligner->open)
        return;
    task->marked_id = aligner->open;
    task->marked_ns = clock_now_ns();
}

void task_note_arrived(struct task *task, uint64_t recording, uint32_t channel)
{
    const struct aligner *aligner = &task->gate.aligner;
    task->last_arrival.id = recording ? recording : aligner->open ? aligner->open : aligner->cut;
    task->last_arrival.channel = channel;
    if (!recording || aligner->recording)
        return;
    task->report.complete_ns = clock_now_ns();
    task->report.last_channel = channel;
}

/* ------------------------------------------------------------------------ the budget -- */

/* P11: a reader may stop reading only where every writer cuts on command, for else the markers it
 * waits for might wait for it. */
static bool may_freeze(const struct task *task)
{
    const struct run *run = task->run;
    bool ordered = task->gate.aligner.ordered >= task->sealing;
    return ordered && !run->plan.aligned_only;
}

static void watch_budget(struct task *task)
{
    uint64_t recorded = atomic_load_explicit(task->content.recorded, memory_order_relaxed);
    uint64_t budget = task->run->recording_max;
    if (recorded <= budget || !task->gate.aligner.recording)
        return;
    task->gate.spill_all = true;
    if (may_freeze(task))
        aligner_freeze(&task->gate.aligner);
    uint32_t level = recorded > BUDGET_HARD * budget ? 2 : 1;
    if (level <= task->spent_told)
        return;
    task->spent_told = level;
    task_tell(task, MESSAGE_SPENT, task->sealing, level == 2);
}

/* ----------------------------------------------------------------------- completion -- */

static bool send_item(struct task *task, struct content_item *item)
{
    struct message message = {
        .kind = item->batch ? MESSAGE_CONTENT : MESSAGE_SPILLED,
        .epoch = task->run->epoch,
        .channel = item->channel,
        .sequence = task->index,
        .id = task->content.id,
        .count = item->outlet,
        .value = item->offset,
        .payload = item->batch,
    };
    if (!item->batch) {
        message.payload = spill_payload(&item->slice, task->run->allocator);
        if (!message.payload)
            return false;
    }
    if (!pipe_send(task->writer, &message)) {
        if (!item->batch)
            batch_release(message.payload);
        return false;
    }
    content_handed_on(&task->content, item);
    return true;
}

/* False: something is left to be sent. */
static bool hand_on(struct task *task)
{
    struct content *content = &task->content;
    if (!task->run->durable)
        return true;
    while (content->sent < content->count)
        if (!send_item(task, &content->items[content->sent]))
            return false;
    struct message message = {.kind = MESSAGE_RECORDED,
                              .epoch = task->run->epoch,
                              .channel = task->index,
                              .id = content->id,
                              .value = content->count};
    return pipe_send(task->writer, &message);
}

static bool tell_sealed(struct task *task, uint64_t id)
{
    struct message message = {.kind = MESSAGE_SEALED,
                              .epoch = task->run->epoch,
                              .channel = task->index,
                              .id = id,
                              .payload = batch_alone(task->run->allocator, sizeof task->report)};
    if (message.payload) { /* without memory the figures are missing, and no more */
        memcpy(message.payload->data, &task->report, sizeof task->report);
        message.payload->size = sizeof task->report;
    }
    if (pipe_send(task->coordinator, &message))
        return true;
    batch_release(message.payload);
    return false;
}

static void refuse_content(struct task *task)
{
    struct weir_error error = {0};
    error_memory(&error, "what is in flight at the cut", task->content.room);
    if (!task_tell_error(task, MESSAGE_REFUSED, task->sealing, &error))
        task_fail(task, &error);
    give_up_cut(task);
}

/* P8, T2: the markers, or the END that stands for them, have come in on every input and left on
 * every output. */
static void seal(struct task *task)
{
    struct content *content = &task->content;
    if (task->gate.aligner.recording || task->outlet.owing)
        return;
    if (content->failed) {
        refuse_content(task);
        return;
    }
    task->report.channel_bytes = content->channel_bytes;
    task->report.outlet_bytes = content->outlet_bytes;
    task->report.loop_bytes = content->loop_bytes;
    task->unsent = !hand_on(task);
    if (task->unsent)
        return;
    uint64_t id = task->sealing;
    content_drop(content);
    task->gate.spill_all = false;
    task->sealing = 0;
    if (tell_sealed(task, id))
        return;
    struct weir_error error = {0};
    task_refused(task->coordinator, "the coordinator", &error);
    error_within(&error, "%s", task->name);
    task_fail(task, &error);
}

void task_attend_cut(struct task *task)
{
    if (!task->sealing)
        return;
    watch_budget(task);
    pulse_recorded(&task->pulse, task->content.held);
    seal(task);
}

/* ---------------------------------------------------------------- what becomes of it -- */

void task_abort(struct task *task, uint64_t id)
{
    task_verdict(task, aligner_abort(&task->gate.aligner, id), 0, id);
    struct pulse_turned before = pulse_turned(&task->pulse);
    task->mute = true;
    for (uint32_t i = 0; i < task->operator_count; i++) {
        struct weir_context *context = &task->operators[i];
        if (!context->table->aborted || !context->opened)
            continue;
        task_begin_call(task, context, "aborted");
        context->table->aborted(context->self, context, id);
        task_end_call(task);
    }
    pulse_turn(&task->pulse, before.doing, before.since_ns);
    task->mute = task->failed;
}

void task_committed(struct task *task, uint64_t id)
{
    struct pulse_turned before = pulse_turned(&task->pulse);
    task->mute = true; /* a commit may come again after a restart: it must not emit */
    pulse_turn(&task->pulse, TASK_CALLING, clock_now_ns());
    for (uint32_t i = 0; i < task->operator_count; i++)
        if (!context_commit(&task->operators[i], id))
            return;
    pulse_turn(&task->pulse, before.doing, before.since_ns);
    task->mute = task->failed;
    task->careful = false;
    task_tell(task, MESSAGE_CONFIRMED, id, 0);
}
