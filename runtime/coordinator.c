/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator.h"

#include <stdio.h>
#include <string.h>

#include "batch.h"
#include "clock.h"
#include "error.h"
#include "memory.h"
#include "plant.h"

#define RETRY_NS 1000000   /* pause before QUIT is sent again */
#define AGAIN_NS 100000000 /* pause before a last round that failed is tried again */

enum weir_result coordinator_init(struct coordinator *coordinator, const struct run *run,
                                  struct view *view, const struct round_options *options,
                                  uint64_t next_id, struct weir_error *error)
{
    uint32_t tasks = run->plan.task_count;
    *coordinator = (struct coordinator){.run = run, .view = view, .task_count = tasks};
    coordinator->tasks = memory_zeroed(run->allocator, tasks, sizeof *coordinator->tasks);
    coordinator->bits =
        memory_zeroed(run->allocator, round_words(tasks), sizeof *coordinator->bits);
    coordinator->again_ns = INT64_MAX;
    if (!coordinator->tasks || !coordinator->bits)
        return error_memory(error, "the coordinator", tasks * sizeof *coordinator->tasks);
    round_init(&coordinator->round, options, tasks, coordinator->bits, next_id, clock_now_ns());
    return WEIR_OK;
}

void coordinator_free(struct coordinator *coordinator)
{
    if (!coordinator->run)
        return;
    for (uint32_t i = 0; coordinator->tasks && i < coordinator->task_count; i++)
        pipe_close(&coordinator->tasks[i].pipe);
    pipe_close(&coordinator->writer);
    inbox_close(&coordinator->inbox);
    memory_release(coordinator->run->allocator, coordinator->tasks);
    memory_release(coordinator->run->allocator, coordinator->bits);
}

/* -------------------------------------------------------------------------- telling -- */

/* What can't be told is remembered, and fails the run: a task that missed a message is lost. */
static void tell_tasks(struct coordinator *coordinator, enum message_kind kind, uint64_t id)
{
    struct message message = {.kind = kind, .epoch = coordinator->run->epoch, .id = id};
    for (uint32_t i = 0; i < coordinator->task_count; i++)
        if (!pipe_send(coordinator->tasks[i].pipe, &message))
            coordinator->untold = true;
}

static void tell_writer(struct coordinator *coordinator, enum message_kind kind,
                        const struct round_action *action)
{
    struct message message = {
        .kind = kind,
        .epoch = coordinator->run->epoch,
        .id = action->id,
        .value = action->purposes,
        .sequence = (uint64_t)coordinator->triggered_wall_ns,
    };
    if (coordinator->writer && !pipe_send(coordinator->writer, &message))
        coordinator->untold = true;
}

/* QUIT ends threads that are joined: it is told until it has arrived everywhere. */
static bool told_quit(struct coordinator *coordinator)
{
    struct message message = {.kind = MESSAGE_QUIT, .epoch = coordinator->run->epoch};
    bool all = true;
    for (uint32_t i = 0; i < coordinator->task_count; i++) {
        struct coordinator_task *task = &coordinator->tasks[i];
        task->quit = task->quit || pipe_send(task->pipe, &message);
        all = all && task->quit;
    }
    if (coordinator->writer && !coordinator->writer_quit)
        coordinator->writer_quit = pipe_send(coordinator->writer, &message);
    return all && (!coordinator->writer || coordinator->writer_quit);
}

static void finish(struct coordinator *coordinator, enum weir_outcome outcome,
                   const struct weir_error *error)
{
    if (coordinator->over)
        return;
    coordinator->over = true;
    told_quit(coordinator);
    static const char *const texts[] = {"running", "ended",  "had ended before",
                                        "stopped", "failed", "outcome unknown"};
    run_event(coordinator->run, &(struct weir_event){.kind = WEIR_EVENT_ENDED,
                                                     .id = coordinator->told,
                                                     .text = error ? error->text : texts[outcome]});
    struct view *view = coordinator->view;
    monitor_enter(view->monitor);
    view->outcome = outcome;
    view->over_ns = clock_now_ns();
    view->round = 0;
    if (error)
        view->error = *error;
    monitor_notify(view->monitor);
    monitor_leave(view->monitor);
    if (coordinator->run->notices)
        notices_ring(coordinator->run->notices);
}

static void fail(struct coordinator *coordinator, enum weir_result code, const char *node,
                 const char *text)
{
    struct weir_error error = {0};
    error_set(&error, code ? code : WEIR_FAILED, 0, "%s", text);
    snprintf(error.node, sizeof error.node, "%s", node);
    finish(coordinator, code == WEIR_UNKNOWN ? WEIR_OUTCOME_UNKNOWN : WEIR_OUTCOME_FAILED, &error);
}

/* The text that a message brought; valid as long as the message. */
static const char *text_of(const struct message *message)
{
    const struct batch *text = message->payload;
    if (!text || !text->size || text->data[text->size - 1] != 0)
        return weir_result_name((enum weir_result)message->value);
    return (const char *)text->data;
}

/* The second text, if there is one. */
static const char *node_of(const struct message *message)
{
    const char *text = text_of(message);
    size_t size = strlen(text) + 1;
    return message->payload && message->payload->size > size ? text + size : "";
}

/* ------------------------------------------------------------------ what rounds want -- */

static void on_told(struct coordinator *coordinator, const struct round_action *action)
{
    int64_t duration = clock_now_ns() - coordinator->round.triggered_ns;
    struct view *view = coordinator->view;
    monitor_enter(view->monitor);
    if (coordinator->run->durable) {
        view->bytes = coordinator->bytes;
        view->checkpoint = action->id;
        view->triggered_ns = coordinator->round.triggered_ns;
        view->duration_ns = duration;
        view->committed++;
    }
    view->round = 0;
    monitor_leave(view->monitor);
    coordinator->told = action->id;
    if (action->purposes & (ROUND_STOP | ROUND_FINAL)) { /* C3 */
        coordinator->awaited = action->id;
        coordinator->then =
            action->purposes & ROUND_FINAL ? WEIR_OUTCOME_ENDED : WEIR_OUTCOME_STOPPED;
        round_cancel(&coordinator->round); /* a later round would hide that this was the last */
    }
    /* Before any task publishes what it holds: a host that has not heard of a commit may be sure
     * that nothing of it can be seen. */
    if (coordinator->run->durable)
        run_event(coordinator->run,
                  &(struct weir_event){.kind = WEIR_EVENT_COMMITTED,
                                       .id = action->id,
                                       .duration_ns = duration,
                                       .bytes = coordinator->bytes,
                                       .cut_ns = coordinator->cut_ns,
                                       .align_ns = coordinator->align_ns,
                                       .write_ns = duration - coordinator->align_ns,
                                       .text = round_purpose_text(action->purposes)});
    tell_tasks(coordinator, MESSAGE_COMMITTED, action->id);
}

/* Inside `text`: what kept the open round from being one. */
static void tell_abort(struct coordinator *coordinator, const struct round_action *action,
                       char *text, size_t size)
{
    uint32_t missing = 0;
    for (uint32_t i = 0; i < coordinator->task_count; i++)
        missing += !round_is_sealed(&coordinator->round, i);
    if (*coordinator->reason)
        snprintf(text, size, "%s: %s", round_reason_text(action->reason), coordinator->reason);
    else
        snprintf(text, size, "%s: %u of %u tasks had not answered",
                 round_reason_text(action->reason), missing, coordinator->task_count);
}

static void on_aborted(struct coordinator *coordinator, const struct round_action *action)
{
    int64_t triggered_ns = coordinator->round.triggered_ns;
    char text[sizeof coordinator->view->aborted_reason];
    tell_tasks(coordinator, MESSAGE_ABORT, action->id);
    tell_writer(coordinator, MESSAGE_ABORT, action);
    tell_abort(coordinator, action, text, sizeof text);
    struct view *view = coordinator->view;
    monitor_enter(view->monitor);
    view->aborted++;
    view->round = 0;
    view->aborted_id = action->id;
    view->aborted_triggered_ns = triggered_ns;
    memcpy(view->aborted_reason, text, sizeof text);
    monitor_leave(view->monitor);
    run_event(coordinator->run, &(struct weir_event){.kind = WEIR_EVENT_ABORTED,
                                                     .id = action->id,
                                                     .duration_ns = clock_now_ns() - triggered_ns,
                                                     .text = text});
    uint32_t last = action->purposes & (ROUND_STOP | ROUND_FINAL);
    if (last) {
        coordinator->again = last;
        coordinator->again_ns = clock_now_ns() + AGAIN_NS;
    }
}

/* Without a store a round is markers alone: it lets sinks publish at the end. */
static void stand_in_for_writer(struct round *round, const struct round_action *action)
{
    if (action->what == ROUND_CLAIM)
        round_claimed(round, action->id);
    else if (action->what == ROUND_ANNOUNCE)
        round_durable(round, action->id);
    else if (action->what == ROUND_COMMIT)
        round_committed(round, action->id);
}

/* For who asks what the job is at. */
static void show_round(const struct coordinator *coordinator, const struct round_action *action)
{
    struct view *view = coordinator->view;
    monitor_enter(view->monitor);
    view->round = action->id;
    view->round_phase = coordinator->round.phase;
    view->round_purposes = action->purposes;
    view->round_triggered_ns = coordinator->round.triggered_ns;
    monitor_leave(view->monitor);
}

static void carry_out(struct coordinator *coordinator, const struct round_action *action)
{
    if (action->what == ROUND_CLAIM || action->what == ROUND_ANNOUNCE ||
        action->what == ROUND_COMMIT)
        show_round(coordinator, action);
    switch (action->what) {
    case ROUND_CLAIM:
        *coordinator->reason = 0;
        coordinator->cut_ns = coordinator->align_ns = 0;
        coordinator->triggered_wall_ns = clock_wall_ns();
        tell_writer(coordinator, MESSAGE_CLAIM, action);
        break;
    case ROUND_ANNOUNCE: /* P2: to every task */
        tell_tasks(coordinator, MESSAGE_ANNOUNCE, action->id);
        break;
    case ROUND_COMMIT:
        if (WEIR_PLANT(told_before_commit))
            tell_tasks(coordinator, MESSAGE_COMMITTED, action->id);
        tell_writer(coordinator, MESSAGE_COMMIT, action);
        break;
    case ROUND_TELL:
        on_told(coordinator, action);
        break;
    case ROUND_ABORT:
        on_aborted(coordinator, action);
        break;
    case ROUND_FAIL:
        fail(coordinator, WEIR_FAILED, "",
             "more checkpoints in a row have failed than are tolerated");
        break;
    case ROUND_WAIT:
        break;
    }
    if (!coordinator->run->durable)
        stand_in_for_writer(&coordinator->round, action);
}

/* ------------------------------------------------------------------------- messages -- */

static void on_ready(struct coordinator *coordinator, struct coordinator_task *task)
{
    coordinator->ready_count += !task->ready;
    task->ready = true;
    if (coordinator->ready_count < coordinator->task_count) /* C1 */
        return;
    int64_t now = clock_now_ns();
    const struct run *run = coordinator->run;
    run_event(run, &(struct weir_event){.kind = WEIR_EVENT_STARTED,
                                        .id = run->restored_id,
                                        .duration_ns = now - run->began_ns,
                                        .bytes = run->restored_bytes,
                                        .text = ""});
    tell_tasks(coordinator, MESSAGE_GO, 0); /* what operators say comes after STARTED */
    struct view *view = coordinator->view;
    monitor_enter(view->monitor);
    view->started = true;
    view->going_ns = now;
    monitor_notify(view->monitor);
    monitor_leave(view->monitor);
}

static void on_ended(struct coordinator *coordinator, struct coordinator_task *task)
{
    coordinator->ended_count += !task->ended;
    task->ended = true;
    if (coordinator->ended_count < coordinator->task_count)
        return;
    if (coordinator->run->restored_final) /* its handles were published before GO */
        finish(coordinator, WEIR_OUTCOME_ALREADY_ENDED, NULL);
    else
        round_request(&coordinator->round, ROUND_FINAL);
}

static void on_confirmed(struct coordinator *coordinator, struct coordinator_task *task,
                         uint64_t id)
{
    if (id > task->confirmed)
        task->confirmed = id;
    if (!coordinator->awaited)
        return;
    for (uint32_t i = 0; i < coordinator->task_count; i++)
        if (coordinator->tasks[i].confirmed < coordinator->awaited)
            return;
    finish(coordinator, coordinator->then, NULL); /* C3 */
}

static void on_sealed(struct coordinator *coordinator, const struct message *message)
{
    int64_t cut_ns = (int64_t)message->value;
    struct round *round = &coordinator->round;
    if (message->id == round->id && round->phase == ROUND_CUTTING) {
        coordinator->cut_ns = cut_ns > coordinator->cut_ns ? cut_ns : coordinator->cut_ns;
        coordinator->align_ns = clock_now_ns() - round->triggered_ns;
    }
    round_sealed(round, message->id, message->channel);
    struct view *view = coordinator->view;
    monitor_enter(view->monitor);
    view->cut_max_ns = cut_ns > view->cut_max_ns ? cut_ns : view->cut_max_ns;
    coordinator->tasks[message->channel].sealed = message->id;
    monitor_leave(view->monitor);
}

static void on_request(struct coordinator *coordinator, enum request request)
{
    bool ended = coordinator->run->restored_final; /* its last checkpoint stays the newest */
    switch (request) {
    case REQUEST_CHECKPOINT:
        if (!ended)
            round_request(&coordinator->round, ROUND_REQUEST);
        break;
    case REQUEST_SUSPEND:
        if (ended)
            break;
        if (coordinator->run->durable)
            round_request(&coordinator->round, ROUND_STOP);
        else
            finish(coordinator, WEIR_OUTCOME_STOPPED, NULL);
        break;
    case REQUEST_DRAIN:
        tell_tasks(coordinator, MESSAGE_DRAIN, 0);
        break;
    case REQUEST_NOW:
        finish(coordinator, WEIR_OUTCOME_STOPPED, NULL);
        break;
    }
}

/* An operator may answer any code; only a commit can leave an outcome unknown. */
static enum weir_result task_code(enum weir_result code)
{
    return code == WEIR_UNKNOWN ? WEIR_FAILED : code;
}

/* Of the open round only: what the ABORTED event will say. The first trouble is the one told. */
static void note_reason(struct coordinator *coordinator, const struct message *message)
{
    if (message->id == coordinator->round.id && !*coordinator->reason)
        snprintf(coordinator->reason, sizeof coordinator->reason, "%s", text_of(message));
}

/* The first one sticks: what comes later is mostly its echo. */
static void note_failed(struct coordinator *coordinator, uint32_t task)
{
    struct view *view = coordinator->view;
    monitor_enter(view->monitor);
    if (!view->failed_task && view->outcome == WEIR_OUTCOME_RUNNING)
        view->failed_task = task + 1;
    monitor_leave(view->monitor);
}

static void on_task(struct coordinator *coordinator, const struct message *message)
{
    if (message->channel >= coordinator->task_count)
        return;
    struct coordinator_task *task = &coordinator->tasks[message->channel];
    switch (message->kind) {
    case MESSAGE_READY:
        on_ready(coordinator, task);
        break;
    case MESSAGE_SEALED:
        on_sealed(coordinator, message);
        break;
    case MESSAGE_REFUSED:
        note_reason(coordinator, message);
        round_trouble(&coordinator->round, message->id, ROUND_REFUSED);
        break;
    case MESSAGE_ENDED:
        on_ended(coordinator, task);
        break;
    case MESSAGE_CONFIRMED:
        on_confirmed(coordinator, task, message->id);
        break;
    case MESSAGE_FAILED:
        note_failed(coordinator, message->channel);
        fail(coordinator, task_code((enum weir_result)message->value), node_of(message),
             text_of(message));
        break;
    default:
        break;
    }
}

/* Success moves the round on; a failure that left nothing behind aborts it; anything else ends the
 * run. */
static void on_writer(struct coordinator *coordinator, const struct message *message)
{
    enum weir_result result = (enum weir_result)message->value;
    /* C2; another run is here; the writer has gone */
    if (result == WEIR_UNKNOWN || result == WEIR_REFUSED || result == WEIR_PROTOCOL) {
        coordinator->writer_quit |= result == WEIR_PROTOCOL;
        fail(coordinator, result, "", text_of(message));
        return;
    }
    if (result) {
        note_reason(coordinator, message);
        round_trouble(&coordinator->round, message->id, ROUND_STORE_FAILED);
        return;
    }
    if (message->kind == MESSAGE_CLAIMED)
        round_claimed(&coordinator->round, message->id);
    else if (message->kind == MESSAGE_DURABLE)
        round_durable(&coordinator->round, message->id);
    else
        round_committed(&coordinator->round, message->id);
    if (message->kind == MESSAGE_DURABLE)
        coordinator->bytes = message->sequence;
}

static void on_message(struct coordinator *coordinator, const struct message *message)
{
    if (coordinator->over || message->epoch != coordinator->run->epoch)
        return;
    switch (message->kind) {
    case MESSAGE_CLAIMED:
    case MESSAGE_DURABLE:
    case MESSAGE_DONE:
        on_writer(coordinator, message);
        break;
    case MESSAGE_REQUEST:
        on_request(coordinator, (enum request)message->value);
        break;
    default:
        on_task(coordinator, message);
        break;
    }
}

static void drain_inbox(struct coordinator *coordinator)
{
    struct message message;
    struct weir_error error = {0};
    int status;
    while ((status = inbox_receive(coordinator->inbox, &message, &error)) > 0) {
        on_message(coordinator, &message);
        batch_release(message.payload);
    }
    if (status < 0)
        fail(coordinator, error.code, "", error.text);
}

/* A last round that failed is asked for again: without it the job can't end. */
static void ask_again(struct coordinator *coordinator, int64_t now)
{
    if (now < coordinator->again_ns)
        return;
    coordinator->again_ns = INT64_MAX;
    if (coordinator->again & ROUND_STOP)
        round_request(&coordinator->round, ROUND_STOP);
    if (coordinator->again & ROUND_FINAL)
        round_request(&coordinator->round, ROUND_FINAL);
}

static struct step leave(struct coordinator *coordinator)
{
    for (uint32_t i = 0; i < coordinator->task_count; i++)
        pipe_close(&coordinator->tasks[i].pipe);
    pipe_close(&coordinator->writer);
    inbox_close(&coordinator->inbox);
    return (struct step){STEP_DONE, -1, INT64_MAX};
}

static struct step end(struct coordinator *coordinator, int64_t now)
{
    if (told_quit(coordinator))
        return leave(coordinator);
    return (struct step){STEP_WAIT, -1, now + RETRY_NS};
}

struct step coordinator_step(void *self)
{
    struct coordinator *coordinator = self;
    drain_inbox(coordinator);
    int64_t now = clock_now_ns();
    if (coordinator->untold)
        fail(coordinator, WEIR_NO_MEMORY, "", "out of memory for messages to the tasks");
    if (coordinator->over)
        return end(coordinator, now);
    if (coordinator->ready_count < coordinator->task_count)
        return (struct step){STEP_WAIT, -1, INT64_MAX};
    ask_again(coordinator, now);
    struct round_action action = {.what = ROUND_WAIT, .deadline_ns = INT64_MAX};
    while (!coordinator->over && (action = round_next(&coordinator->round, now)).what != ROUND_WAIT)
        carry_out(coordinator, &action);
    if (coordinator->over || coordinator->untold)
        return coordinator->over ? end(coordinator, now) : (struct step){STEP_AGAIN, -1, now};
    int64_t deadline =
        action.deadline_ns < coordinator->again_ns ? action.deadline_ns : coordinator->again_ns;
    return (struct step){STEP_WAIT, -1, deadline};
}
