/* SPDX-License-Identifier: Apache-2.0 */
#include "task.h"

#include <assert.h>
#include <stdio.h>

#include "clock.h"
#include "error.h"
#include "failure.h"
#include "memory.h"
#include "plant.h"

#define SPAN_NS_LONG 50000  /* a span that took longer is followed by a shorter one */
#define SPAN_NS_SHORT 20000 /* and the other way round */
#define RETRY_NS 1000000    /* pause before a message that a pipe refused is sent again */
#define WAKE_NS 1000000     /* a busy task looks after a descriptor that often */
#define SNAPSHOT_POOL_BYTES 65536
#define OWN_WATERMARK UINT32_MAX /* "edge" of the task's own watermark in a snapshot */

void task_fail(struct task *task, const struct weir_error *error)
{
    if (task->failed)
        return;
    task->failed = task->mute = true;
    task->error = *error;
}

void task_note_failure(struct task *task, const struct weir_context *context)
{
    const char *call = atomic_load_explicit(&task->pulse.call, memory_order_relaxed);
    bool current = atomic_load_explicit(&task->pulse.place, memory_order_relaxed) == context->place;
    if (!task->failed && call && current) /* what another one has in hand may be gone */
        failure_describe(context, call, &task->failure);
}

const struct weir_failure *task_failure(const struct task *task)
{
    return task->failure.doing ? &task->failure : NULL;
}

bool task_here(const struct task *task, struct weir_failure *failure)
{
    const char *call = atomic_load_explicit(&task->pulse.call, memory_order_relaxed);
    uint32_t place = atomic_load_explicit(&task->pulse.place, memory_order_relaxed);
    if (!call || place >= task->operator_count)
        return false;
    failure_describe(&task->operators[place], call, failure);
    return true;
}

static void fail_memory(struct task *task, const char *what)
{
    struct weir_error error = {0};
    error_memory(&error, what, 0);
    task_fail(task, &error);
}

/* Why a pipe did not take a message. Its reader has gone, or has so much to read that something is
 * wrong: credits keep all of it far below a pipe's room. */
static void refused(const struct pipe *pipe, const char *reader, struct weir_error *error)
{
    if (pipe_starved(pipe))
        error_set(error, WEIR_NO_MEMORY, 0, "out of memory for a message to %s", reader);
    else
        error_set(error, WEIR_PROTOCOL, 0, "%s does not read its inbox", reader);
}

static void tell_coordinator(struct task *task, enum message_kind kind, uint64_t id, uint64_t value)
{
    struct message message = {
        .kind = kind, .epoch = task->run->epoch, .channel = task->index, .id = id, .value = value};
    if (!pipe_send(task->coordinator, &message)) {
        struct weir_error error = {0};
        refused(task->coordinator, "the coordinator", &error);
        error_within(&error, "%s", task->name);
        task_fail(task, &error);
    }
}

/* A message with two texts, each with its zero: what happened, and in which node. Without memory
 * for them the code must do. */
static bool tell_text(struct task *task, enum message_kind kind, uint64_t id,
                      const struct weir_error *error)
{
    size_t text_size = strlen(error->text) + 1, node_size = strlen(error->node) + 1;
    struct batch *texts = batch_alone(task->run->allocator, text_size + node_size);
    if (texts) {
        memcpy(texts->data, error->text, text_size);
        memcpy(texts->data + text_size, error->node, node_size);
        texts->size = text_size + node_size;
    }
    struct message message = {.kind = kind,
                              .epoch = task->run->epoch,
                              .channel = task->index,
                              .id = id,
                              .value = error->code,
                              .payload = texts};
    bool sent = pipe_send(task->coordinator, &message);
    if (!sent)
        batch_release(texts);
    return sent;
}

/* ---------------------------------------------------------------------------- the pulse -- */

/* A callback that is called from no other. */
static void begin_call(struct task *task, const struct weir_context *context, const char *call)
{
    task->now_ns = clock_now_ns();
    pulse_turn(&task->pulse, TASK_CALLING, task->now_ns);
    pulse_enter(&task->pulse, context->place, call);
}

static void end_call(struct task *task)
{
    pulse_outside(&task->pulse);
}

static void note_wait(struct task *task)
{
    bool held = task->operators[0].held && !task->input_done;
    enum task_doing doing = task->failed                    ? TASK_FAILED
                            : outlet_blocked(&task->outlet) ? TASK_BLOCKED
                            : task->told_end                ? TASK_ENDED
                            : held                          ? TASK_HELD
                                                            : TASK_WAITING;
    if (atomic_load_explicit(&task->pulse.doing, memory_order_relaxed) != doing)
        pulse_turn(&task->pulse, doing, clock_now_ns());
    pulse_queues(&task->pulse, &task->gate, &task->outlet);
}

/* --------------------------------------------------------------------------- opening -- */

static enum weir_result load_channel(struct task *task, struct snapshot_section *section,
                                     struct weir_error *error)
{
    uint32_t edge = snapshot_get_u32(section), from = snapshot_get_u32(section);
    int64_t watermark = (int64_t)snapshot_get_u64(section);
    bool idle = snapshot_get_u32(section) != 0;
    if (!snapshot_done(section))
        return error_set(error, WEIR_DAMAGED, 0, "a channel's position is not well-formed");
    if (edge == OWN_WATERMARK)
        task->watermark = watermark;
    for (uint32_t i = 0; i < task->gate.input_count; i++) {
        struct gate_input *input = &task->gate.inputs[i];
        if (input->edge == edge && input->from_subtask == from) {
            input->watermark = watermark;
            input->idle = idle;
        }
    }
    return WEIR_OK;
}

static enum weir_result load_channels(struct task *task, struct weir_bytes part,
                                      struct weir_error *error)
{
    struct snapshot_reader reader = {part.data, part.size, false};
    struct snapshot_section section;
    enum weir_result result = WEIR_OK;
    while (!result && snapshot_next(&reader, &section))
        if (section.tag == SNAPSHOT_CHANNEL)
            result = load_channel(task, &section, error);
    return result;
}

static void open_operator(struct task *task, uint32_t place)
{
    struct weir_context *context = &task->operators[place];
    context->opened = true;
    if (context->table->open) {
        pulse_enter(&task->pulse, place, "open");
        enum weir_result result =
            context->table->open(context->self, context, context->node->config);
        if (result && !task->failed)
            weir_fail(context, result, "open answered %s", weir_result_name(result));
        end_call(task);
    }
    if (task->failed || !task->parts)
        return;
    task->idle_told = -1;
    struct weir_error error = {0};
    struct weir_bytes part = {task->parts[place].data, task->parts[place].size};
    enum weir_result result = place == 0 ? load_channels(task, part, &error) : WEIR_OK;
    if (!result)
        result = context_load(context, part, &error);
    if (result)
        task_fail(task, &error);
    blob_buffer_free(&task->parts[place], task->run->allocator);
}

static void task_open(struct task *task)
{
    atomic_store_explicit(&task->pulse.thread, thread_number(), memory_order_relaxed);
    pulse_turn(&task->pulse, TASK_OPENING, clock_now_ns());
    for (uint32_t i = 0; i < task->operator_count && !task->failed; i++)
        open_operator(task, i);
    for (uint32_t i = 0; i < task->operator_count && !task->failed; i++) /* T3 */
        context_commit(&task->operators[i], UINT64_MAX);
    task->opened = true;
    atomic_store_explicit(&task->pulse.position, task->operators[0].taken, memory_order_relaxed);
    if (!task->failed)
        tell_coordinator(task, MESSAGE_READY, 0, 0);
}

/* --------------------------------------------------------------------------- the cut -- */

static unsigned char *grow_snapshot(void *pool_and_batch, unsigned char *data, size_t size,
                                    size_t capacity)
{
    struct {
        struct batch_pool *pool;
        struct batch *batch;
    } *room = pool_and_batch;
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
        snapshot_begin(writer, SNAPSHOT_CHANNEL, i);
        snapshot_u32(writer, own ? OWN_WATERMARK : input->edge);
        snapshot_u32(writer, own ? 0 : input->from_subtask);
        snapshot_u64(writer, (uint64_t)(own ? task->watermark : input->watermark));
        snapshot_u32(writer, own ? 0 : input->idle);
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

static bool send_part(struct task *task, struct weir_context *context, uint64_t id,
                      struct weir_error *error)
{
    struct {
        struct batch_pool *pool;
        struct batch *batch;
    } room = {task->snapshots, NULL};
    struct snapshot_writer writer = {.grow = grow_snapshot, .context = &room};
    char note[201] = "";
    size_t hint = context->part_size + context->part_size / 8 + 256;
    writer.data = grow_snapshot(&room, NULL, 0, hint);
    writer.capacity = room.batch ? room.batch->capacity : 0;
    writer.failed = !writer.data;
    bool saved = context_save(context, &writer, note, error);
    if (context == task->operators)
        save_channels(task, &writer);
    save_task(task, context, &writer, note);
    if (saved && writer.failed)
        error_memory(error, "a snapshot", writer.size);
    if (!saved || writer.failed) {
        batch_release(room.batch);
        return false;
    }
    room.batch->size = context->part_size = writer.size;
    struct message message = {.kind = MESSAGE_PART,
                              .epoch = task->run->epoch,
                              .channel = context->instance,
                              .id = id,
                              .value = (uint64_t)(clock_now_ns() - task->cut_began_ns),
                              .payload = room.batch};
    if (pipe_send(task->writer, &message))
        return true;
    batch_release(room.batch);
    refused(task->writer, "the writer", error);
    return false;
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
    end_call(task);
    return !task->failed;
}

/* P3, T1: one step. The markers go first, so that readers can start while this task saves itself.
 */
static void task_cut(struct task *task, uint64_t id)
{
    task->cut_began_ns = clock_now_ns();
    pulse_turn(&task->pulse, TASK_CUTTING, task->cut_began_ns);
    struct weir_error error = {0};
    bool saved = true;
    outlet_marker(&task->outlet, id);
    if (WEIR_PLANT(position_after_marker) && task->operators[0].table->poll && !task->input_done)
        task->operators[0].table->poll(task->operators[0].self, task->operators);
    task->mute = true; /* what were emitted now would lie behind the marker, yet before the state */
    for (uint32_t i = 0; i < task->operator_count; i++) {
        letters_cut(&task->operators[i].letters, id);
        if (!prepare(task, &task->operators[i], id))
            return;
    }
    for (uint32_t i = 0; saved && task->run->durable && i < task->operator_count; i++)
        saved = send_part(task, &task->operators[i], id, &error);
    task->mute = task->failed;
    aligner_cut(&task->gate.aligner);
    int64_t now_ns = clock_now_ns();
    pulse_turn(&task->pulse, TASK_CALLING, now_ns);
    task->cut_ns = now_ns - task->cut_began_ns;
    task->sealing = id;
    if (!saved && !task->failed && !tell_text(task, MESSAGE_REFUSED, id, &error))
        task_fail(task, &error);
}

static void on_verdict(struct task *task, enum aligner_verdict verdict, uint32_t input, uint64_t id)
{
    if (verdict == ALIGNER_CUT)
        task_cut(task, task->gate.aligner.open);
    pulse_round(&task->pulse, &task->gate.aligner);
    if (verdict != ALIGNER_ERROR)
        return;
    struct weir_error error = {0};
    error_set(&error, WEIR_PROTOCOL, 0, "%s: marker %llu on input %u is out of order", task->name,
              (unsigned long long)id, input);
    task_fail(task, &error);
}

/* P8, T2: the markers, or the END that stands for them, have left every output. */
static void seal(struct task *task)
{
    if (!task->sealing || task->outlet.controls)
        return;
    uint64_t id = task->sealing;
    task->sealing = 0;
    tell_coordinator(task, MESSAGE_SEALED, id, (uint64_t)task->cut_ns);
}

/* -------------------------------------------------------------------------- messages -- */

static void on_abort(struct task *task, uint64_t id)
{
    on_verdict(task, aligner_abort(&task->gate.aligner, id), 0, id);
    outlet_abort(&task->outlet, id); /* P9 */
    if (task->sealing == id)
        task->sealing = 0;
    if (id <= task->aborted)
        return;
    task->aborted = id;
    task->mute = true;
    for (uint32_t i = 0; i < task->operator_count; i++) {
        struct weir_context *context = &task->operators[i];
        if (!context->table->aborted || !context->opened)
            continue;
        begin_call(task, context, "aborted");
        context->table->aborted(context->self, context, id);
        end_call(task);
    }
    task->mute = task->failed;
}

static void on_committed(struct task *task, uint64_t id)
{
    task->mute = true; /* a commit may come again after a restart: it must not emit */
    pulse_turn(&task->pulse, TASK_CALLING, clock_now_ns());
    for (uint32_t i = 0; i < task->operator_count; i++)
        if (!context_commit(&task->operators[i], id))
            return;
    task->mute = task->failed;
    task->careful = false;
    tell_coordinator(task, MESSAGE_CONFIRMED, id, 0);
}

static bool knows_channel(const struct task *task, uint32_t channel, bool reads)
{
    const struct plan *plan = &task->run->plan;
    if (channel >= plan->channel_count)
        return false;
    const struct plan_channel *c = &plan->channels[channel];
    return (reads ? c->to_task : c->from_task) == task->index;
}

static void on_channel(struct task *task, const struct message *message)
{
    struct weir_error error = {0};
    bool credit = message->kind == MESSAGE_CREDIT;
    if (!knows_channel(task, message->channel, !credit)) {
        error_set(&error, WEIR_PROTOCOL, 0, "%s: a message of channel %u, which is not its own",
                  task->name, message->channel);
        batch_release(message->payload);
        task_fail(task, &error);
        return;
    }
    bool taken;
    if (credit) {
        batch_release(message->payload);
        uint32_t slot = task->run->writer_slot[message->channel];
        taken = outlet_credit(&task->outlet, slot, message->value, message->id);
        if (!taken)
            error_set(&error, WEIR_PROTOCOL, 0, "%s: channel %u returns more than it was given",
                      task->name, message->channel);
    } else {
        taken =
            gate_deliver(&task->gate, task->run->reader_slot[message->channel], message, &error);
    }
    if (!taken)
        task_fail(task, &error);
}

static void on_message(struct task *task, const struct message *message)
{
    switch (message->kind) {
    case MESSAGE_BATCH:
    case MESSAGE_MARKER:
    case MESSAGE_END:
    case MESSAGE_CREDIT:
        on_channel(task, message);
        return;
    case MESSAGE_GO:
        task->going = true;
        task->mute = task->failed;
        break;
    case MESSAGE_ANNOUNCE: /* P2 */
        on_verdict(task, aligner_announced(&task->gate.aligner, message->id), 0, message->id);
        break;
    case MESSAGE_ABORT:
        on_abort(task, message->id);
        break;
    case MESSAGE_COMMITTED:
        on_committed(task, message->id);
        break;
    case MESSAGE_DRAIN:
        if (task->operators[0].table->poll)
            task->operators[0].finished = true;
        break;
    case MESSAGE_QUIT:
        task->quitting = true;
        break;
    default: /* of no task: a peer of another version would have been refused */
        break;
    }
    batch_release(message->payload);
}

static void drain_inbox(struct task *task)
{
    struct message message;
    struct weir_error error = {0};
    int status;
    while ((status = inbox_receive(task->inbox, &message, &error)) > 0) {
        if (!task->failed || message.kind == MESSAGE_QUIT)
            on_message(task, &message);
        else
            batch_release(message.payload);
    }
    if (status < 0)
        task_fail(task, &error);
}

/* ------------------------------------------------------------------------ event time -- */

/* What of the watermark goes on behind the head. It never goes back. */
static int64_t passed_watermark(const struct task *task)
{
    if (task->watermark <= task->limit || task->operators[0].finished)
        return task->watermark;
    return task->limit > task->forwarded ? task->limit : task->forwarded;
}

int64_t task_watermark(const struct task *task, const struct weir_context *context)
{
    return context == task->operators ? task->watermark : passed_watermark(task);
}

/* Event timers go by the operator's watermark, the others by `wall_ns`. */
static bool fire_timer(struct task *task, enum weir_timer kind, int64_t wall_ns)
{
    for (uint32_t i = 0; i < task->operator_count; i++) {
        struct weir_context *context = &task->operators[i];
        int64_t now = kind == WEIR_TIMER_EVENT ? task_watermark(task, context) : wall_ns;
        struct timer timer;
        if (now == WEIR_NO_TIME || !timers_due(&context->timers, kind, now, &timer))
            continue;
        context->reserve.open = false;
        begin_call(task, context, "timer");
        enum weir_result result =
            context->table->timer(context->self, context, kind, timer.time, timer.tag);
        if (result && !task->failed)
            weir_fail(context, result, "timer answered %s", weir_result_name(result));
        end_call(task);
        return true;
    }
    return false;
}

static uint64_t emitted_by_all(const struct task *task)
{
    uint64_t emitted = 0;
    for (uint32_t i = 0; i < task->operator_count; i++)
        emitted += task->operators[i].emitted;
    return emitted;
}

/* Readers are told when this task falls idle, and when it wakes up although it emits nothing: what
 * it emits later must not be late. After a restore they are told whatever it is. A record of a task
 * that stays idle - a timer's, one that wake or a poll emits - ends its idleness for them, so they
 * are told again. */
static void tell_idleness(struct task *task)
{
    bool idle = task->idle_wanted || (task->gate.input_count && gate_idle(&task->gate));
    idle = idle && task->limit == WEIR_END_OF_TIME; /* else records will come from there on */
    bool known = task->idle_told == idle;
    if (known && (!idle || task->idle_emitted == emitted_by_all(task)))
        return;
    if (idle)
        outlet_idle(&task->outlet);
    else
        outlet_watermark(&task->outlet, task->forwarded);
    task->idle_told = idle;
    task->idle_emitted = emitted_by_all(task);
}

/* Timers first, one a step, those too that were set for a time already past; the watermark goes on
 * when none is due any more. True: something was done. */
static bool advance_time(struct task *task)
{
    if (task->watermark != WEIR_NO_TIME && fire_timer(task, WEIR_TIMER_EVENT, 0))
        return true;
    int64_t passed = passed_watermark(task);
    if (passed > task->forwarded) {
        task->forwarded = passed;
        /* END says the end of time, behind what finish still emits. */
        if (task->forwarded == WEIR_END_OF_TIME)
            return true;
        task->idle_told = 0;
        outlet_watermark(&task->outlet, task->forwarded);
        return true;
    }
    tell_idleness(task);
    return false;
}

static int64_t next_clock_timer(const struct task *task)
{
    int64_t next = INT64_MAX;
    for (uint32_t i = 0; i < task->operator_count; i++) {
        int64_t own = timers_next(&task->operators[i].timers, WEIR_TIMER_CLOCK);
        next = own < next ? own : next;
    }
    return next;
}

static void raise_watermark(struct task *task)
{
    int64_t least = gate_watermark(&task->gate);
    if (least > task->watermark)
        task->watermark = least;
}

/* ------------------------------------------------------------------------ processing -- */

static void prepare_keys(struct task *task, struct weir_context *head, uint32_t count)
{
    struct gate *gate = &task->gate;
    head->missing = state_resolve(head->states[0], &gate->records[0].key, sizeof gate->records[0],
                                  count, gate->hashes, gate->cells);
    head->span = gate->records;
    head->hashes = gate->hashes;
    head->cells = gate->cells;
    head->cell_count = head->node->states[0].value_size ? count : 0;
    head->cursor = 0;
    head->span_count = count;
}

static uint32_t process_one_by_one(struct task *task, struct weir_context *head, uint32_t port,
                                   uint32_t count)
{
    uint32_t done = 0;
    while (done < count && !task->failed) {
        context_take(head, port, &task->gate.records[done++]);
        /* P12: the overdraft is one record's output */
        if (outlet_blocked(&task->outlet) || head->held)
            break;
    }
    return done;
}

static uint32_t process_span(struct task *task, struct weir_context *head, uint32_t port,
                             uint32_t count)
{
    head->reserve.open = false;
    head->hand = task->gate.records;
    head->hand_count = count;
    head->hand_input = port;
    size_t done = head->table->process_many(head->self, head, port, task->gate.records, count);
    if ((done < 1 || done > count) && !task->failed)
        weir_fail(head, WEIR_FAILED, "process_many was given %u records and says it took %zu",
                  count, done);
    if (task->failed)
        return 1;
    head->taken += done;
    return (uint32_t)done;
}

/* A slow operator gets short spans, so that commands wait for one record at most; a fast one long
 * ones. */
static void adapt_span(struct task *task, int64_t elapsed_ns)
{
    if (task->careful)
        return;
    if (elapsed_ns > SPAN_NS_LONG && task->span_limit > 1)
        task->span_limit /= 2;
    else if (elapsed_ns < SPAN_NS_SHORT && task->span_limit < GATE_SPAN)
        task->span_limit *= 2;
}

/* To the operator at the head; how many it took. */
static uint32_t give(struct task *task, struct weir_context *head, uint32_t port, uint32_t count)
{
    pulse_enter(&task->pulse, head->place, CALL_PROCESS);
    if (head->node->state_count)
        prepare_keys(task, head, count);
    uint32_t done = head->table->process_many ? process_span(task, head, port, count)
                                              : process_one_by_one(task, head, port, count);
    head->span_count = 0;
    head->cell_count = 0;
    end_call(task);
    return done ? done : 1;
}

static void process(struct task *task, const struct gate_next *next)
{
    struct weir_context *head = &task->operators[0];
    uint32_t port = task->gate.inputs[next->input].port, count = next->count, done = 1;
    int64_t began = clock_now_ns();
    pulse_queues(&task->pulse, &task->gate, &task->outlet);
    pulse_turn(&task->pulse, TASK_CALLING, began);
    task->idle_wanted = false;
    if (head->poisoned)
        count = context_sound(head, task->gate.records, count);
    if (count)
        done = give(task, head, port, count);
    else
        context_bury(head, port, task->gate.records);
    gate_consumed(&task->gate, next->input, done);
    task->taken += done;
    atomic_store_explicit(&task->pulse.records_in, task->taken, memory_order_relaxed);
    atomic_store_explicit(&task->pulse.position, head->taken, memory_order_relaxed);
    task->now_ns = clock_now_ns();
    adapt_span(task, task->now_ns - began);
}

/* True: something was done. */
static bool read_input(struct task *task)
{
    struct gate_next next = gate_read(&task->gate, task->span_limit);
    struct weir_error error = {0};
    switch (next.what) {
    case GATE_NOTHING:
        return false;
    case GATE_RECORDS:
        process(task, &next);
        return true;
    case GATE_MARKER:
        on_verdict(task, aligner_marker(&task->gate.aligner, next.input, next.id), next.input,
                   next.id);
        return true;
    case GATE_END:
        on_verdict(task, aligner_end(&task->gate.aligner, next.input), next.input, 0);
        task->input_done = task->gate.aligner.ended_count == task->gate.input_count;
        raise_watermark(task);
        return true;
    case GATE_TIME:
        raise_watermark(task);
        return true;
    case GATE_BROKEN:
        error_set(&error, WEIR_PROTOCOL, 0, "%s: a batch on input %u is not well-formed",
                  task->name, next.input);
        task_fail(task, &error);
        return true;
    }
    return false;
}

static const struct step again = {STEP_AGAIN, -1, INT64_MAX};

/* Credit goes back, and the task waits; not for long when something it has to send was refused. */
static struct step wait_until(struct task *task, int64_t deadline_ns, int fd)
{
    task->rested = true;
    note_wait(task);
    bool returned = gate_return_credits(&task->gate);
    if (!returned || task->outlet.refused) {
        int64_t soon = clock_now_ns() + RETRY_NS;
        deadline_ns = soon < deadline_ns ? soon : deadline_ns;
    }
    return (struct step){STEP_WAIT, fd, deadline_ns};
}

/* Nothing to read: what is batched leaves. */
static struct step rest(struct task *task, int64_t deadline_ns, int fd)
{
    outlet_flush(&task->outlet);
    int64_t timer = task->end_placed ? INT64_MAX : next_clock_timer(task); /* none fires then */
    if (timer != INT64_MAX) {
        int64_t left = timer - clock_wall_ns();
        int64_t due = clock_now_ns() + (left > 0 ? left : 0);
        deadline_ns = due < deadline_ns ? due : deadline_ns;
    }
    return wait_until(task, deadline_ns, fd);
}

static struct step follow(struct task *task, struct weir_context *context,
                          enum weir_progress progress)
{
    if (context->table->poll)
        atomic_store_explicit(&task->pulse.records_emitted, context->emitted, memory_order_relaxed);
    if (progress == WEIR_IDLE && !task->failed)
        return rest(task, context->idle_until, context->idle_fd);
    if (progress == WEIR_END)
        context->finished = true;
    return again;
}

static bool still_idle(const struct weir_context *context)
{
    return context->idle_fd < 0 && context->idle_until > clock_now_ns();
}

static struct step poll_source(struct task *task)
{
    struct weir_context *source = &task->operators[0];
    if (source->finished) {
        task->input_done = true;
        task->watermark = WEIR_END_OF_TIME;
        return again;
    }
    if (source->idle_until && still_idle(source))
        return rest(task, source->idle_until, -1);
    source->idle_until = 0;
    source->idle_fd = -1;
    source->reserve.open = false;
    bool was_idle = task->idle_wanted;
    uint64_t emitted = source->emitted;
    task->idle_wanted = false;
    begin_call(task, source, "poll");
    enum weir_progress progress = source->table->poll(source->self, source);
    end_call(task);
    task->idle_wanted |= was_idle && source->emitted == emitted; /* a record ends idleness */
    return follow(task, source, progress);
}

/* All input has ended: operators finish in the chain's order, then END goes out. */
static struct step finish(struct task *task)
{
    for (uint32_t i = 0; i < task->operator_count; i++) {
        struct weir_context *context = &task->operators[i];
        if (context->finished)
            continue;
        if (!context->table->finish) {
            context->finished = true;
            if (i == 0 && task->limit != WEIR_END_OF_TIME)
                return again; /* what lies behind it may see the end of time now: timers first */
            continue;
        }
        if (context->idle_until && still_idle(context))
            return rest(task, context->idle_until, -1);
        context->idle_until = 0;
        context->idle_fd = -1;
        context->reserve.open = false;
        begin_call(task, context, "finish");
        enum weir_progress progress = context->table->finish(context->self, context);
        end_call(task);
        return follow(task, context, progress);
    }
    if (!task->end_placed) {
        outlet_end(&task->outlet);
        task->end_placed = true;
        return again;
    }
    if (!task->told_end) { /* not blocked: END has left on every output */
        task->told_end = true;
        tell_coordinator(task, MESSAGE_ENDED, 0, 0);
    }
    return rest(task, INT64_MAX, -1);
}

/* Has what weir_wake asked for come? A task that has waited looks; a busy one goes by the time it
 * has read anyway, and a wait for a descriptor has its turn every WAKE_NS, readable or not: to ask
 * would be a system call. */
static bool wake_due(struct task *task, const struct weir_context *head)
{
    bool rested = task->rested;
    task->rested = false;
    if (head->wake_fd >= 0 && (rested || task->now_ns >= task->look_at_ns))
        return true;
    if (head->wake_until == INT64_MAX)
        return false;
    if (rested)
        task->now_ns = clock_now_ns();
    return task->now_ns >= head->wake_until;
}

static struct step wake(struct task *task, struct weir_context *head)
{
    task->woken = true;
    head->wake_until = INT64_MAX;
    head->wake_fd = -1;
    head->reserve.open = false;
    begin_call(task, head, "wake");
    task->look_at_ns = task->now_ns + WAKE_NS;
    enum weir_result result = head->table->wake(head->self, head);
    if (result && !task->failed)
        weir_fail(head, result, "wake answered %s", weir_result_name(result));
    end_call(task);
    return again;
}

static struct step work(struct task *task)
{
    struct weir_context *head = &task->operators[0];
    if (task->end_placed)
        return finish(task);
    if (head->table->wake && !task->input_done && !task->woken && wake_due(task, head))
        return wake(task, head);
    task->woken = false; /* now timers and input have their turn */
    if (advance_time(task))
        return again;
    if (next_clock_timer(task) != INT64_MAX && fire_timer(task, WEIR_TIMER_CLOCK, clock_wall_ns()))
        return again;
    if (task->input_done)
        return finish(task);
    if (head->table->poll)
        return poll_source(task);
    if ((!head->held || WEIR_PLANT(hold_ignored)) && read_input(task))
        return again;
    return rest(task, head->wake_until, head->wake_fd);
}

/* ------------------------------------------------------------------------- the switch -- */

static struct step leave(struct task *task)
{
    for (uint32_t i = 0; i < task->operator_count; i++) {
        struct weir_context *context = &task->operators[i];
        if (context->opened && context->table->close) {
            begin_call(task, context, "close");
            context->table->close(context->self, context);
            end_call(task);
        }
        context->opened = false;
    }
    for (uint32_t i = 0; i < task->pipe_count; i++)
        pipe_close(&task->pipes[i]);
    pipe_close(&task->coordinator);
    pipe_close(&task->writer);
    inbox_close(&task->inbox);
    return (struct step){STEP_DONE, -1, INT64_MAX};
}

static struct step report_failure(struct task *task)
{
    note_wait(task);
    if (!task->told_failure)
        task->told_failure = tell_text(task, MESSAGE_FAILED, 0, &task->error);
    return (struct step){STEP_WAIT, -1, task->told_failure ? INT64_MAX : clock_now_ns() + RETRY_NS};
}

struct step task_step(void *self)
{
    struct task *task = self;
    drain_inbox(task);
    if (task->quitting)
        return leave(task);
    if (task->outlet.failed)
        fail_memory(task, "the output queues");
    if (task->failed)
        return report_failure(task);
    if (!task->opened) {
        task_open(task);
        return again;
    }
    outlet_push(&task->outlet);
    seal(task);
    if (!task->going || outlet_blocked(&task->outlet)) /* P12 */
        return wait_until(task, INT64_MAX, -1);
    return work(task);
}

/* ----------------------------------------------------------------------- construction -- */

static bool add_target(struct weir_context *context, uint32_t output, struct context_target target)
{
    struct context_output *to = &context->outputs[output];
    const struct weir_allocator *allocator = context->run->allocator;
    struct context_target *more = memory_resize(allocator, to->targets, to->count * sizeof *more,
                                                (to->count + 1) * sizeof *more);
    if (!more)
        return false;
    to->targets = more;
    more[to->count++] = target;
    return true;
}

/* The channels of an edge that this subtask writes are consecutive: see struct plan. */
static uint32_t written(const struct plan *plan, uint32_t edge, uint32_t subtask, uint32_t *first)
{
    uint32_t writers = plan->nodes[plan->graph->edges[edge].from].parallelism;
    uint32_t count = (plan->edge_first[edge + 1] - plan->edge_first[edge]) / writers;
    *first = plan->edge_first[edge] + subtask * count;
    return count;
}

static bool wire_edge(struct task *task, uint32_t edge_index)
{
    const struct plan *plan = &task->run->plan;
    const struct graph_edge *edge = &plan->graph->edges[edge_index];
    struct weir_context *from = &task->operators[plan->nodes[edge->from].place];
    if (plan_direct(plan, edge_index)) {
        struct weir_context *to = &task->operators[plan->nodes[edge->to].place];
        return add_target(from, edge->output,
                          (struct context_target){.direct = to, .port = edge->input});
    }
    uint32_t first, count = written(plan, edge_index, task->subtask, &first);
    outlet_add_edge(&task->outlet, edge->routing, first, count);
    struct outlet_edge *way = &task->outlet.edges[task->outlet.edge_count - 1];
    return add_target(from, edge->output, (struct context_target){.edge = way});
}

/* An output with one lane behind it is written to without looking around. */
static void note_only_lanes(struct task *task)
{
    for (uint32_t i = 0; i < task->operator_count; i++) {
        struct weir_context *context = &task->operators[i];
        for (uint32_t o = 0; o < context->output_count; o++) {
            const struct context_target *target = context->outputs[o].targets;
            if (context->outputs[o].count == 1 && !target->direct && target->edge->lane_count == 1)
                context->outputs[o].only = &task->outlet.lanes[target->edge->first_lane];
        }
    }
}

static bool make_outlet(struct task *task)
{
    const struct plan *plan = &task->run->plan;
    uint32_t edges = 0, channels = 0;
    for (uint32_t e = 0; e < plan->graph->edge_count; e++) {
        if (plan->nodes[plan->graph->edges[e].from].chain != task->chain || plan_direct(plan, e))
            continue;
        uint32_t first;
        edges++;
        channels += written(plan, e, task->subtask, &first);
    }
    struct outlet_options options = {
        .allocator = task->run->allocator,
        .epoch = task->run->epoch,
        .batch_bytes = task->run->batch_bytes,
        .window_batches = task->run->window_batches,
        .window_bytes = task->run->window_bytes,
        .key_groups = task->run->key_groups,
    };
    if (!outlet_init(&task->outlet, &options, edges, channels, channels))
        return false;
    for (uint32_t e = 0; e < plan->graph->edge_count; e++)
        if (plan->nodes[plan->graph->edges[e].from].chain == task->chain && !wire_edge(task, e))
            return false;
    note_only_lanes(task);
    for (uint32_t c = 0; c < task->outlet.channel_count; c++)
        task->run->writer_slot[task->outlet.channels[c].channel] = c;
    return true;
}

static bool make_gate(struct task *task)
{
    const struct plan *plan = &task->run->plan;
    uint32_t count = 0;
    for (uint32_t c = 0; c < plan->channel_count; c++)
        count += plan->channels[c].to_task == task->index;
    if (!gate_init(&task->gate, task->run->allocator, count, task->run->window_batches,
                   task->run->window_bytes, task->run->epoch, task->run->restored_id))
        return false;
    uint32_t slot = 0;
    for (uint32_t c = 0; c < plan->channel_count; c++) {
        const struct plan_channel *channel = &plan->channels[c];
        if (channel->to_task != task->index)
            continue;
        struct gate_input *input = &task->gate.inputs[slot];
        input->channel = c;
        input->edge = channel->edge;
        input->from_subtask = channel->from_subtask;
        input->port = plan->graph->edges[channel->edge].input;
        task->run->reader_slot[c] = slot++;
    }
    return true;
}

static bool make_operators(struct task *task)
{
    const struct plan_chain *chain = &task->run->plan.chains[task->chain];
    task->operators = memory_zeroed(task->run->allocator, chain->length, sizeof *task->operators);
    for (uint32_t i = 0; task->operators && i < chain->length; i++) {
        task->operator_count = i + 1;
        if (!context_init(&task->operators[i], task, task->run,
                          plan_member(&task->run->plan, task->chain, i), task->subtask))
            return false;
    }
    return task->operators;
}

enum weir_result task_init(struct task *task, const struct run *run, uint32_t index,
                           struct weir_error *error)
{
    const struct plan *plan = &run->plan;
    *task = (struct task){
        .run = run, .index = index, .span_limit = 1, .mute = true, .careful = run->careful};
    task->watermark = task->forwarded = WEIR_NO_TIME;
    task->limit = WEIR_END_OF_TIME;
    while (index >= plan->chains[task->chain].first_task + plan->chains[task->chain].parallelism)
        task->chain++;
    task->subtask = index - plan->chains[task->chain].first_task;
    snprintf(task->name, sizeof task->name, "%.9s.%u",
             plan->graph->nodes[plan->chains[task->chain].head].name, task->subtask);
    task->snapshots = batch_pool_new(run->allocator, SNAPSHOT_POOL_BYTES, 2);
    if (!task->snapshots || !make_operators(task) || !make_outlet(task) || !make_gate(task))
        return error_memory(error, task->name, sizeof *task);
    return WEIR_OK;
}

void task_free(struct task *task)
{
    const struct weir_allocator *allocator = task->run->allocator;
    for (uint32_t i = 0; i < task->pipe_count; i++)
        pipe_close(&task->pipes[i]);
    pipe_close(&task->coordinator);
    pipe_close(&task->writer);
    if (task->inbox)
        inbox_close(&task->inbox);
    for (uint32_t i = 0; i < task->operator_count; i++) {
        if (task->parts)
            blob_buffer_free(&task->parts[i], allocator);
        context_free(&task->operators[i]);
    }
    gate_free(&task->gate);
    outlet_free(&task->outlet);
    memory_release(allocator, task->parts);
    memory_release(allocator, task->operators);
    memory_release(allocator, task->pipes);
    memory_release(allocator, task->pipe_tasks);
}

struct pipe *task_pipe(const struct task *task, uint32_t to)
{
    for (uint32_t i = 0; i < task->pipe_count; i++)
        if (task->pipe_tasks[i] == to)
            return task->pipes[i];
    return NULL;
}
