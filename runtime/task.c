/* SPDX-License-Identifier: Apache-2.0 */
#include "task_inside.h"

#include <assert.h>
#include <stdio.h>

#include "clock.h"
#include "error.h"
#include "failure.h"
#include "memory.h"
#include "plant.h"

#define SPAN_NS_LONG 50000    /* a span that took longer is followed by a shorter one */
#define SPAN_NS_SHORT 20000   /* and the other way round */
#define RETRY_NS 1000000      /* pause before a message that a pipe refused is sent again */
#define WAKE_NS 1000000       /* a busy task looks after a descriptor that often */
#define GAP_NS 500000000      /* an item that is missed so long, or twice that, is lost */
#define PROMISE_NS 1000000000 /* over a network, readers are told that often how far was sent */
#define MEMORY_STEPS 64       /* of the job's limit: so much more or less is told */

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

void task_refused(const struct pipe *pipe, const char *reader, struct weir_error *error)
{
    if (pipe_starved(pipe))
        error_set(error, WEIR_NO_MEMORY, 0, "out of memory for a message to %s", reader);
    else
        error_set(error, WEIR_PROTOCOL, 0, "%s does not read its inbox", reader);
}

void task_tell(struct task *task, enum message_kind kind, uint64_t id, uint64_t value)
{
    struct message message = {
        .kind = kind, .epoch = task->run->epoch, .channel = task->index, .id = id, .value = value};
    if (!pipe_send(task->coordinator, &message)) {
        struct weir_error error = {0};
        task_refused(task->coordinator, "the coordinator", &error);
        error_within(&error, "%s", task->name);
        task_fail(task, &error);
    }
}

/* A message with two texts, each with its zero: what happened, and in which node. Without memory
 * for them the code must do. */
bool task_tell_error(struct task *task, enum message_kind kind, uint64_t id,
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

void task_begin_call(struct task *task, struct weir_context *context, const char *call)
{
    context->hand_count = 0;
    task->now_ns = clock_now_ns();
    pulse_turn(&task->pulse, TASK_CALLING, task->now_ns);
    pulse_enter(&task->pulse, context->place, call);
}

void task_end_call(struct task *task)
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

/* -------------------------------------------------------------------------- messages -- */

static bool knows_channel(const struct task *task, uint32_t channel, bool reads)
{
    const struct plan *plan = &task->run->plan;
    if (channel >= plan->channel_count)
        return false;
    const struct plan_channel *c = &plan->channels[channel];
    return (reads ? c->to_task : c->from_task) == task->index;
}

/* A loop that had come to rest stays so. */
static bool disturbs_rest(struct task *task, uint32_t channel, struct weir_error *error)
{
    const struct plan *plan = &task->run->plan;
    const struct plan_channel *c = &plan->channels[channel];
    if (!task->at_rest || !c->feedback)
        return false;
    const struct weir_graph *graph = plan->graph;
    error_set(error, WEIR_INVALID, 0,
              "%s has emitted to %s after their cycle had come to rest: what finish emits must not "
              "come back over a feedback edge",
              graph->nodes[graph->edges[c->edge].from].name,
              graph->nodes[graph->edges[c->edge].to].name);
    return true;
}

/* An item, and those that were waiting for it: each has its own verdict. */
static bool take_items(struct task *task, const struct message *message, struct weir_error *error)
{
    uint32_t slot = task->run->reader_slot[message->channel];
    struct message next = *message;
    do {
        uint64_t recording = task->gate.aligner.recording;
        unsigned verdict;
        if (next.kind == MESSAGE_BATCH && disturbs_rest(task, next.channel, error)) {
            batch_release(next.payload);
            return false;
        }
        bool control = next.kind != MESSAGE_BATCH;
        uint64_t id = next.id;
        if (!gate_deliver(&task->gate, slot, &next, &verdict, error))
            return false;
        if (control) {
            task_note_arrived(task, recording, message->channel);
            task_verdict(task, verdict, slot, id);
        }
    } while (!task->failed && gate_deliver_aside(&task->gate, slot, &next));
    return true;
}

static bool take_credit(struct task *task, const struct message *message, struct weir_error *error)
{
    uint32_t slot = task->run->writer_slot[message->channel];
    batch_release(message->payload);
    if (outlet_credit(&task->outlet, slot, message->value, message->id))
        return true;
    error_set(error, WEIR_PROTOCOL, 0, "%s: channel %u returns more than it was given", task->name,
              message->channel);
    return false;
}

static void on_channel(struct task *task, const struct message *message)
{
    struct weir_error error = {0};
    bool credit = message->kind == MESSAGE_CREDIT, taken = true;
    if (!knows_channel(task, message->channel, !credit)) {
        error_set(&error, WEIR_PROTOCOL, 0, "%s: a message of channel %u, which is not its own",
                  task->name, message->channel);
        batch_release(message->payload);
        taken = false;
    } else if (message->kind == MESSAGE_PROMISE) {
        batch_release(message->payload);
        gate_promise(&task->gate, task->run->reader_slot[message->channel], message);
    } else {
        taken = credit ? take_credit(task, message, &error) : take_items(task, message, &error);
    }
    if (!taken)
        task_fail(task, &error);
}

/* What comes into the loop from outside has ended: the coordinator may find out whether the loop is
 * empty. And when it was, input is done. */
static void note_ends(struct task *task)
{
    const struct gate *gate = &task->gate;
    bool forward = aligner_ended(&gate->aligner) && gate->input_count;
    bool feedback = gate->aligner.forward_count + gate->restored_count < gate->input_count;
    task->input_done |= forward && (!feedback || task->at_rest);
    if (!task->loop || task->looping || task->outside_count)
        return;
    task->looping = true;
    task_tell(task, MESSAGE_LOOPING, 0, task->loop);
}

static void on_message(struct task *task, const struct message *message)
{
    struct aligner *aligner = &task->gate.aligner;
    switch (message->kind) {
    case MESSAGE_BATCH:
    case MESSAGE_MARKER:
    case MESSAGE_END:
    case MESSAGE_CREDIT:
    case MESSAGE_PROMISE:
        on_channel(task, message);
        return;
    case MESSAGE_GO:
        task->going = true;
        task->mute = task->failed;
        note_ends(task);
        break;
    case MESSAGE_ANNOUNCE: /* P2 */
        task_verdict(task, aligner_announced(aligner, message->id), 0, message->id);
        break;
    case MESSAGE_OVERTAKE:
        task_verdict(task, aligner_overtake(aligner, message->id), 0, message->id);
        break;
    case MESSAGE_ABORT:
        task_abort(task, message->id);
        break;
    case MESSAGE_COMMITTED:
        task_committed(task, message->id);
        break;
    case MESSAGE_REST:
        task->at_rest = true;
        note_ends(task);
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
    pulse_heed(&task->pulse);
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

/* Event timers go by the operator's watermark, the others by `wall_ns`; those that are pending when
 * the operator has finished do not fire, also when they come from a checkpoint. */
static bool fire_timer(struct task *task, enum weir_timer kind, int64_t wall_ns)
{
    for (uint32_t i = 0; i < task->operator_count; i++) {
        struct weir_context *context = &task->operators[i];
        int64_t now = kind == WEIR_TIMER_EVENT ? task_watermark(task, context) : wall_ns;
        bool over = kind == WEIR_TIMER_CLOCK && context->finished;
        if (!over && now != WEIR_NO_TIME && context_fire_timer(context, kind, now))
            return true;
    }
    return false;
}

int64_t task_wall_ns(struct task *task)
{
    if (!task->wall_known)
        task->wall_ns = clock_wall_ns();
    task->wall_known = true;
    return task->wall_ns;
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
    else if (task->forwarded < WEIR_END_OF_TIME) /* that is said otherwise: see advance_time */
        outlet_watermark(&task->outlet, task->forwarded);
    task->idle_told = idle;
    task->idle_emitted = emitted_by_all(task);
}

/* Before the end of time comes what inputs have said of time at last. Else that would count or not
 * by which of them ended first: one that has ended holds nobody back, and says nothing any more. */
static void raise_watermark(struct task *task)
{
    int64_t least = gate_watermark(&task->gate), last;
    if (least == WEIR_END_OF_TIME && task->run->open_ended)
        least = gate_last_watermark(&task->gate);
    if (least <= task->watermark)
        return;
    last = least == WEIR_END_OF_TIME ? gate_last_watermark(&task->gate) : least;
    task->time_ends = last > task->watermark && last < least;
    if (task->time_ends)
        least = last;
    for (uint32_t i = 0; least == WEIR_END_OF_TIME && i < task->operator_count; i++)
        context_event_time_ends(&task->operators[i]);
    task->watermark = least;
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
        /* END says the end of time, behind what finish still emits; but inside a loop, whose
         * operators finish only when it has come to rest. */
        if (task->forwarded == WEIR_END_OF_TIME) {
            outlet_end_of_time(&task->outlet);
            return true;
        }
        task->idle_told = 0;
        outlet_watermark(&task->outlet, task->forwarded);
        return true;
    }
    if (task->time_ends) {
        raise_watermark(task);
        return true;
    }
    tell_idleness(task);
    return false;
}

static int64_t next_clock_timer(const struct task *task)
{
    int64_t next = INT64_MAX;
    for (uint32_t i = 0; i < task->operator_count; i++) {
        const struct weir_context *context = &task->operators[i];
        int64_t own = context_next_timer(context, WEIR_TIMER_CLOCK);
        next = own < next && !context->finished ? own : next;
    }
    return next;
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
    const struct weir_state *first = &head->node->states[0];
    bool cells = first->value_size && first->kind == WEIR_STATE_VALUE && !first->ttl_ns;
    head->cell_count = cells ? count : 0;
    head->cursor = 0;
    head->span_count = count;
}

static uint32_t process_one_by_one(struct task *task, struct weir_context *head, uint32_t port,
                                   uint32_t count)
{
    uint32_t done = 0;
    while (done < count && !task->failed) {
        context_take(head, port, &task->gate.records[done++]);
        /* P12: the overdraft is one record's output; and a marker waits for one record at most */
        if (outlet_blocked(&task->outlet) || head->held || pulse_urgent(&task->pulse) ||
            !run_is_here(task->run))
            break;
    }
    return done;
}

/* How many records, from the front, are of the first one's time. */
static uint32_t one_time(const struct weir_record *records, uint32_t count)
{
    uint32_t same = 1;
    while (same < count && records[same].time == records[0].time)
        same++;
    return same;
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

/* So that the coordinator knows who holds what, and hears of it before it is too much. */
void task_note_memory(struct task *task)
{
    uint64_t state = 0, limit = task->run->memory_max;
    for (uint32_t i = 0; i < task->operator_count; i++)
        for (uint32_t s = 0; s < task->operators[i].node->state_count; s++)
            state += state_bytes(task->operators[i].states[s]);
    pulse_state(&task->pulse, state);
    pulse_queues(&task->pulse, &task->gate, &task->outlet);
    uint64_t held = task->gate.held + task->outlet.held + state;
    uint64_t now = held + task->content.held, told = task->memory_told;
    if (!limit)
        return;
    atomic_fetch_add_explicit(task->run->held, held - task->memory_held, memory_order_relaxed);
    task->memory_held = held;
    if ((now > told ? now - told : told - now) < limit / MEMORY_STEPS)
        return;
    task->memory_told = now;
    task_tell(task, MESSAGE_MEMORY, 0, now);
}

/* The coordinator will make room, or end the run: until then nothing is done that takes more. So
 * what is taken beyond the limit does not depend on how soon it has its turn. */
static bool is_over_limit(const struct task *task)
{
    const struct run *run = task->run;
    return run->memory_max && atomic_load_explicit(run->held, memory_order_relaxed) +
                                      atomic_load_explicit(run->recorded, memory_order_relaxed) +
                                      atomic_load_explicit(run->sealed, memory_order_relaxed) >
                                  run->memory_max;
}

/* Nobody has a cell in hand. Where the scratch folder refuses what is too much, it stays in memory;
 * but not without end. */
static void ease_states(struct task *task)
{
    struct annex *annex = task->run->annex;
    struct weir_error error = {0};
    int trouble;
    for (uint32_t i = 0; i < task->operator_count; i++)
        for (uint32_t s = 0; s < task->operators[i].node->state_count; s++)
            state_ease(task->operators[i].states[s]);
    if (annex_warns(annex, &trouble)) {
        error_os(&error, -trouble, "in %s", annex->folder);
        run_log(task->run, WEIR_LOG_WARNING,
                "state can't be moved out of memory, and takes more than state_memory: %s",
                error.text);
    }
    if (!annex_is_overrun(annex, &trouble))
        return;
    error_os(
        &error, -trouble,
        "%s: state in memory is at %llu bytes, twice its state_memory, since it can't be moved "
        "to the scratch folder %s",
        task->name, (unsigned long long)annex->held, annex->folder);
    task_fail(task, &error);
}

/* To the operator at the head; how many it took. */
static uint32_t give(struct task *task, struct weir_context *head, uint32_t port, uint32_t count)
{
    pulse_enter(&task->pulse, head->place, CALL_PROCESS);
    if (head->dated && head->table->process_many)
        count = one_time(task->gate.records, count);
    if (head->node->state_count)
        prepare_keys(task, head, count);
    uint32_t done = head->table->process_many ? process_span(task, head, port, count)
                                              : process_one_by_one(task, head, port, count);
    head->span_count = 0;
    head->cell_count = 0;
    task_end_call(task);
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
    if (task->run->memory_max)
        task_note_memory(task);
}

static void reach_marker(struct task *task, const struct gate_next *next)
{
    unsigned verdict = aligner_reached(&task->gate.aligner, next->input, next->id);
    task_note_reached(task);
    task_verdict(task, verdict, next->input, next->id);
}

static void reach_end(struct task *task, const struct gate_next *next)
{
    const struct plan_channel *channel =
        &task->run->plan.channels[task->gate.inputs[next->input].channel];
    unsigned verdict = aligner_end_reached(&task->gate.aligner, next->input);
    task->outside_count -= !channel->loop && !channel->restores;
    task_verdict(task, verdict, next->input, 0);
    note_ends(task);
    raise_watermark(task);
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
        reach_marker(task, &next);
        return true;
    case GATE_END:
        reach_end(task, &next);
        return true;
    case GATE_TIME:
        raise_watermark(task);
        return true;
    case GATE_BROKEN:
        error_set(&error, WEIR_PROTOCOL, 0, "%s: a batch on input %u is not well-formed",
                  task->name, next.input);
        task_fail(task, &error);
        return true;
    case GATE_FAILED:
        error = task->gate.error;
        error_within(&error, "%s", task->name);
        task_fail(task, &error);
        return true;
    }
    return false;
}

static const struct step again = {STEP_AGAIN, -1, INT64_MAX};

static int64_t sooner(int64_t a_ns, int64_t b_ns)
{
    return a_ns < b_ns ? a_ns : b_ns;
}

/* Now and then credits and promises are said again: a connection that broke may have swallowed the
 * last ones, and whoever waits for them can do nothing but wait. Answers when the next time is. */
static int64_t promise(struct task *task)
{
    int64_t now_ns = clock_now_ns();
    if (now_ns >= task->promise_ns) {
        outlet_promise(&task->outlet);
        gate_repeat_credits(&task->gate);
        task->promise_ns = now_ns + PROMISE_NS;
    }
    return task->promise_ns;
}

/* Credit goes back, and the task waits; not for long when something it has to send was refused. */
static struct step wait_until(struct task *task, int64_t deadline_ns, int fd)
{
    task->rested = true;
    note_wait(task);
    task_note_memory(task);
    bool returned = gate_return_credits(&task->gate);
    if (!returned || task->outlet.refused || task->unsent)
        deadline_ns = sooner(deadline_ns, clock_now_ns() + RETRY_NS);
    if (task->run->network)
        deadline_ns = sooner(deadline_ns, promise(task));
    if (task->gate.gap_count)
        deadline_ns = sooner(deadline_ns, task->gap_look_ns);
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
    if (context->table->poll && context_spent(context))
        progress = WEIR_END;
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
        if (!task->run->open_ended)
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
    task_begin_call(task, source, "poll");
    enum weir_progress progress = source->table->poll(source->self, source);
    task_end_call(task);
    task->idle_wanted |= was_idle && source->emitted == emitted; /* a record ends idleness */
    return follow(task, source, progress);
}

/* Who waits for something beside its input gives in `finish` what it has taken and not emitted yet;
 * of others it says that the input is at its end, which is not so of a run that is cut short. */
static bool finishes(const struct task *task, const struct weir_context *context)
{
    return context->table->finish && (!task->run->open_ended || context->table->wake);
}

/* All input has ended: operators finish in the chain's order, then END goes out. */
static struct step finish(struct task *task)
{
    for (uint32_t i = 0; i < task->operator_count; i++) {
        struct weir_context *context = &task->operators[i];
        if (context->finished)
            continue;
        if (!finishes(task, context)) {
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
        task_begin_call(task, context, "finish");
        enum weir_progress progress = context->table->finish(context->self, context);
        task_end_call(task);
        return follow(task, context, progress);
    }
    if (!task->end_placed) {
        outlet_end(&task->outlet);
        task->end_placed = true;
        return again;
    }
    if (!task->told_end) { /* not blocked: END has left on every output */
        task->told_end = true;
        task_tell(task, MESSAGE_ENDED, 0, 0);
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
    task_begin_call(task, head, "wake");
    task->look_at_ns = task->now_ns + WAKE_NS;
    enum weir_result result = head->table->wake(head->self, head);
    if (result && !task->failed)
        weir_fail(head, result, "wake answered %s", weir_result_name(result));
    task_end_call(task);
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
            task_begin_call(task, context, "close");
            context->table->close(context->self, context);
            task_end_call(task);
        }
        context->opened = false;
    }
    for (uint32_t i = 0; i < task->pipe_count; i++)
        pipe_close(&task->pipes[i]);
    pipe_close(&task->coordinator);
    pipe_close(&task->writer);
    inbox_close(&task->inbox);
    pulse_turn(&task->pulse, TASK_GONE, clock_now_ns());
    return (struct step){STEP_DONE, -1, INT64_MAX};
}

static struct step report_failure(struct task *task)
{
    note_wait(task);
    if (!task->told_failure)
        task->told_failure = task_tell_error(task, MESSAGE_FAILED, 0, &task->error);
    return (struct step){STEP_WAIT, -1, task->told_failure ? INT64_MAX : clock_now_ns() + RETRY_NS};
}

/* G1: what does not come for long is lost. */
static void look_after_gaps(struct task *task)
{
    struct weir_error error = {0};
    int64_t now_ns = clock_now_ns();
    if (!task->gate.gap_count) {
        task->gap_look_ns = 0;
        return;
    }
    if (task->gap_look_ns && now_ns < task->gap_look_ns)
        return;
    if (task->gap_look_ns && gate_stuck(&task->gate, &error)) {
        error_within(&error, "%s", task->name);
        task_fail(task, &error);
    }
    task->gap_look_ns = now_ns + GAP_NS;
}

struct step task_step(void *self)
{
    struct task *task = self;
    task->wall_known = false;
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
    if (task->gate.gap_count || task->gap_look_ns)
        look_after_gaps(task);
    if (task->run->network && task->now_ns >= task->promise_ns) /* a busy one does not wait */
        promise(task);
    outlet_push(&task->outlet);
    task_attend_cut(task);
    if (task->failed) /* a save, or a gap: it is told however long the output is blocked */
        return report_failure(task);
    if (!task->going || outlet_blocked(&task->outlet)) /* P12 */
        return wait_until(task, INT64_MAX, -1);
    if (is_over_limit(task)) {
        task_tell(task, MESSAGE_MEMORY, 0, task->memory_told);
        return wait_until(task, clock_now_ns() + RETRY_NS, -1);
    }
    if (task->run->annex)
        ease_states(task);
    return task->failed ? report_failure(task) : work(task); /* no callback behind a failure */
}
