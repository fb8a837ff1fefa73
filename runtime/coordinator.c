/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator.h"

#include <stdio.h>
#include <string.h>

#include "batch.h"
#include "clock.h"
#include "error.h"
#include "memory.h"
#include "waits.h"

#define RETRY_NS 1000000 /* pause before QUIT is sent again */

static bool make_rounds(struct coordinator *coordinator)
{
    const struct weir_allocator *allocator = coordinator->run->allocator;
    uint32_t tasks = coordinator->task_count;
    for (uint32_t i = 0; i < ROUND_LIMIT; i++) {
        struct coordinator_round *round = &coordinator->list[i];
        round->reports = memory_zeroed(allocator, tasks, sizeof *round->reports);
        round->sealed = memory_zeroed(allocator, tasks, sizeof *round->sealed);
        if (!round->reports || !round->sealed)
            return false;
    }
    return true;
}

enum weir_result coordinator_init(struct coordinator *coordinator, const struct run *run,
                                  struct view *view, const struct round_options *options,
                                  uint64_t next_id, struct weir_error *error)
{
    uint32_t tasks = run->plan.task_count;
    *coordinator = (struct coordinator){.run = run, .view = view, .task_count = tasks};
    coordinator->tasks = memory_zeroed(run->allocator, tasks, sizeof *coordinator->tasks);
    coordinator->bits =
        memory_zeroed(run->allocator, rounds_words(tasks), sizeof *coordinator->bits);
    coordinator->loop_list =
        memory_zeroed(run->allocator, run->plan.loop_count + 1, sizeof *coordinator->loop_list);
    coordinator->again_ns = INT64_MAX;
    if (!coordinator->tasks || !coordinator->bits || !coordinator->loop_list ||
        !make_rounds(coordinator))
        return error_memory(error, "the coordinator", tasks * sizeof *coordinator->tasks);
    rounds_init(&coordinator->rounds, options, tasks, coordinator->bits, next_id, clock_now_ns());
    loops_init(&coordinator->loops, &run->plan, coordinator->loop_list, options->interval_ns);
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
    const struct weir_allocator *allocator = coordinator->run->allocator;
    for (uint32_t i = 0; i < ROUND_LIMIT; i++) {
        memory_release(allocator, coordinator->list[i].reports);
        memory_release(allocator, coordinator->list[i].sealed);
    }
    for (uint32_t i = 0; i < coordinator->save_count; i++)
        memory_release(allocator, coordinator->saves[i].path);
    memory_release(allocator, coordinator->tasks);
    memory_release(allocator, coordinator->bits);
    memory_release(allocator, coordinator->loop_list);
}

/* -------------------------------------------------------------------------- telling -- */

void coordinator_tell(struct coordinator *coordinator, enum message_kind kind, uint64_t id)
{
    struct message message = {.kind = kind, .epoch = coordinator->run->epoch, .id = id};
    for (uint32_t i = 0; i < coordinator->task_count; i++) {
        struct coordinator_task *task = &coordinator->tasks[i];
        if (task->pulse)
            atomic_store_explicit(&task->pulse->urgent, 1, memory_order_relaxed);
        if (!pipe_send(task->pipe, &message))
            coordinator->untold = true;
    }
}

bool coordinator_tell_writer(struct coordinator *coordinator, enum message_kind kind, uint64_t id,
                             uint64_t value, uint64_t sequence, struct batch *payload)
{
    struct message message = {
        .kind = kind,
        .epoch = coordinator->run->epoch,
        .id = id,
        .value = value,
        .sequence = sequence,
        .payload = payload,
    };
    if (coordinator->writer && pipe_send(coordinator->writer, &message))
        return true;
    coordinator->untold |= coordinator->writer != NULL;
    batch_release(payload);
    return false;
}

/* QUIT ends threads that are joined: it is told until it has arrived everywhere. The writer is told
 * when it has answered. */
static bool told_quit(struct coordinator *coordinator)
{
    struct message message = {.kind = MESSAGE_QUIT, .epoch = coordinator->run->epoch};
    bool all = true;
    for (uint32_t i = 0; i < coordinator->task_count; i++) {
        struct coordinator_task *task = &coordinator->tasks[i];
        task->quit = task->quit || pipe_send(task->pipe, &message);
        all = all && task->quit;
    }
    if (coordinator->writer && !coordinator->writer_quit && coordinator->end_told)
        coordinator->writer_quit = pipe_send(coordinator->writer, &message);
    return all && (!coordinator->writer || coordinator->writer_quit);
}

/* Whoever said until when would take what the run has found for what was there at that time. */
static void warn_untimed(const struct run *run)
{
    if (run->until_time > 0 && run->timed && !atomic_load(run->timed))
        run_log(run, WEIR_LOG_WARNING,
                "no record and no watermark had an event time, so the time until which the run was "
                "to go has limited nothing: it went to the end of the input");
}

static void tell_end(struct coordinator *coordinator)
{
    const struct weir_error *error = &coordinator->error;
    enum weir_outcome outcome = coordinator->outcome;
    coordinator->end_told = true;
    if (outcome == WEIR_OUTCOME_ENDED)
        warn_untimed(coordinator->run);
    coordinator_save_end(coordinator);
    static const char *const texts[] = {"running", "ended",  "had ended before",
                                        "stopped", "failed", "outcome unknown"};
    run_event(coordinator->run,
              &(struct weir_event){.kind = WEIR_EVENT_ENDED,
                                   .id = coordinator->told,
                                   .text = error->code ? error->text : texts[outcome]});
    struct view *view = coordinator->view;
    monitor_enter(view->monitor);
    view->outcome = outcome;
    view->over_ns = clock_now_ns();
    view->round = 0;
    if (error->code)
        view->error = *error;
    monitor_notify(view->monitor);
    monitor_leave(view->monitor);
    if (coordinator->run->notices)
        notices_ring(coordinator->run->notices);
}

void coordinator_finish(struct coordinator *coordinator, enum weir_outcome outcome,
                        const struct weir_error *error)
{
    if (coordinator->over)
        return;
    coordinator->over = true;
    coordinator->outcome = outcome;
    if (error)
        coordinator->error = *error;
    if (!coordinator_save_sent(coordinator)) /* C5 */
        tell_end(coordinator);
    told_quit(coordinator);
}

void coordinator_fail(struct coordinator *coordinator, enum weir_result code, const char *node,
                      const char *text)
{
    struct weir_error error = {0};
    error_set(&error, code ? code : WEIR_FAILED, 0, "%s", text);
    snprintf(error.node, sizeof error.node, "%s", node);
    coordinator_finish(coordinator,
                       code == WEIR_UNKNOWN ? WEIR_OUTCOME_UNKNOWN : WEIR_OUTCOME_FAILED, &error);
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
    if (!run->restored_final)
        coordinator_tell(coordinator, MESSAGE_GO, 0); /* what operators say comes after STARTED */
    struct view *view = coordinator->view;
    monitor_enter(view->monitor);
    view->started = true;
    view->going_ns = now;
    monitor_notify(view->monitor);
    monitor_leave(view->monitor);
    if (run->restored_final) /* nothing is left to do: who is ready has published its handles */
        coordinator_finish(coordinator, WEIR_OUTCOME_ALREADY_ENDED, NULL);
}

static void on_ended(struct coordinator *coordinator, struct coordinator_task *task)
{
    coordinator->ended_count += !task->ended;
    task->ended = true;
    if (coordinator->ended_count == coordinator->task_count)
        rounds_request(&coordinator->rounds, ROUND_FINAL);
}

void coordinator_end_with(struct coordinator *coordinator, uint64_t id, uint32_t purposes)
{
    coordinator->awaited = id;
    coordinator->then = purposes & ROUND_FINAL ? WEIR_OUTCOME_ENDED : WEIR_OUTCOME_STOPPED;
    rounds_cancel(&coordinator->rounds); /* a later round would hide that this was the last */
}

void coordinator_end_if_done(struct coordinator *coordinator)
{
    if (!coordinator->awaited || coordinator_save_pending(coordinator, coordinator->awaited))
        return;
    for (uint32_t i = 0; i < coordinator->task_count; i++)
        if (coordinator->tasks[i].confirmed < coordinator->awaited)
            return;
    coordinator_finish(coordinator, coordinator->then, NULL); /* C3 */
}

static void on_confirmed(struct coordinator *coordinator, struct coordinator_task *task,
                         uint64_t id)
{
    if (id > task->confirmed)
        task->confirmed = id;
    coordinator_end_if_done(coordinator);
}

/* A request may come with the path of a savepoint. */
static void on_request(struct coordinator *coordinator, enum request request,
                       const struct batch *path)
{
    /* A drain does not depend on its savepoint. */
    if (path && !coordinator_save_add(coordinator, request, path) && request != REQUEST_DRAIN)
        return;
    switch (request) {
    case REQUEST_CHECKPOINT:
        rounds_request(&coordinator->rounds, ROUND_REQUEST);
        break;
    case REQUEST_SAVEPOINT:
        rounds_request(&coordinator->rounds, ROUND_SAVEPOINT);
        break;
    case REQUEST_SUSPEND:
        coordinator->stop_plain = coordinator->stop_plain || !path;
        if (coordinator->run->durable)
            rounds_request(&coordinator->rounds, ROUND_STOP);
        else
            coordinator_finish(coordinator, WEIR_OUTCOME_STOPPED, NULL);
        break;
    case REQUEST_DRAIN:
        coordinator_tell(coordinator, MESSAGE_DRAIN, 0);
        break;
    case REQUEST_NOW:
        coordinator_finish(coordinator, WEIR_OUTCOME_STOPPED, NULL);
        break;
    }
}

/* P11 */
static void on_spent(struct coordinator *coordinator, const struct message *message)
{
    struct words words = {.size = 0};
    if (!message->value) {
        rounds_spent(&coordinator->rounds, message->id);
        return;
    }
    words_task(&words, &coordinator->run->plan, message->channel);
    words_add(&words, " records, and all rounds hold ");
    words_bytes(&words, atomic_load_explicit(coordinator->run->recorded, memory_order_relaxed));
    words_add(&words, " of it; recording_max is ");
    words_bytes(&words, coordinator->run->recording_max);
    coordinator_note_reason(coordinator, message->id, words.text);
    rounds_trouble(&coordinator->rounds, message->id, ROUND_BUDGET);
}

/* An operator may answer any code; only a commit can leave an outcome unknown. */
static enum weir_result task_code(enum weir_result code)
{
    return code == WEIR_UNKNOWN ? WEIR_FAILED : code;
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
        coordinator_sealed(coordinator, message);
        break;
    case MESSAGE_REFUSED:
        coordinator_note_reason(coordinator, message->id, text_of(message));
        rounds_trouble(&coordinator->rounds, message->id, ROUND_REFUSED);
        break;
    case MESSAGE_SPENT:
        on_spent(coordinator, message);
        break;
    case MESSAGE_LOOPING:
        loops_looping(&coordinator->loops, message->channel, clock_now_ns());
        break;
    case MESSAGE_MEMORY:
        coordinator_weigh(coordinator, message);
        break;
    case MESSAGE_ENDED:
        on_ended(coordinator, task);
        break;
    case MESSAGE_CONFIRMED:
        on_confirmed(coordinator, task, message->id);
        break;
    case MESSAGE_FAILED:
        note_failed(coordinator, message->channel);
        coordinator_fail(coordinator, task_code((enum weir_result)message->value), node_of(message),
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
    struct rounds *rounds = &coordinator->rounds;
    /* C2; another run is here; the writer has gone */
    if (result == WEIR_UNKNOWN || result == WEIR_REFUSED || result == WEIR_PROTOCOL) {
        coordinator->writer_quit |= result == WEIR_PROTOCOL;
        coordinator_fail(coordinator, result, "", text_of(message));
        return;
    }
    if (result) {
        coordinator_note_reason(coordinator, message->id, text_of(message));
        rounds_trouble(rounds, message->id, ROUND_STORE_FAILED);
        return;
    }
    struct coordinator_round *round = coordinator_round(coordinator, message->id);
    if (round && message->kind == MESSAGE_DURABLE)
        round->bytes = message->sequence;
    if (message->kind == MESSAGE_CLAIMED)
        rounds_claimed(rounds, message->id);
    else if (message->kind == MESSAGE_DURABLE)
        rounds_durable(rounds, message->id);
    else
        rounds_committed(rounds, message->id);
}

/* C5: between its end and what is told of it. */
static void on_late(struct coordinator *coordinator, const struct message *message)
{
    if (message->kind == MESSAGE_SAVED)
        coordinator_save_done(coordinator, message->id, (enum weir_result)message->value,
                              text_of(message));
    else if (message->kind == MESSAGE_REQUEST && message->payload)
        coordinator_save_add(coordinator, (enum request)message->value, message->payload);
}

static void on_message(struct coordinator *coordinator, const struct message *message)
{
    if (coordinator->end_told || message->epoch != coordinator->run->epoch)
        return;
    if (coordinator->over) {
        on_late(coordinator, message);
        return;
    }
    switch (message->kind) {
    case MESSAGE_CLAIMED:
    case MESSAGE_DURABLE:
    case MESSAGE_DONE:
        on_writer(coordinator, message);
        break;
    case MESSAGE_SAVED:
        coordinator_save_done(coordinator, message->id, (enum weir_result)message->value,
                              text_of(message));
        break;
    case MESSAGE_REQUEST:
        on_request(coordinator, (enum request)message->value, message->payload);
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
    if (status >= 0)
        return;
    coordinator->deaf = true;
    coordinator_fail(coordinator, error.code, "", error.text);
}

/* A last round that failed is asked for again: without it the job can't end. So is one that a
 * savepoint waits for, and one that may show a cycle empty. */
static void ask_again(struct coordinator *coordinator, int64_t now)
{
    struct rounds *rounds = &coordinator->rounds;
    if (loops_due_ns(&coordinator->loops) <= now) {
        loops_asked(&coordinator->loops);
        rounds_request(rounds, ROUND_LOOP);
    }
    if (now < coordinator->again_ns)
        return;
    for (uint32_t purpose = ROUND_SAVEPOINT; purpose <= ROUND_FINAL; purpose *= 2)
        if (coordinator->again & purpose)
            rounds_request(rounds, (enum round_purpose)purpose);
    coordinator->again = 0;
    coordinator->again_ns = INT64_MAX;
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
    if (!coordinator->end_told && !coordinator_save_sent(coordinator)) /* C5 */
        tell_end(coordinator);
    if (told_quit(coordinator))
        return leave(coordinator);
    return (struct step){STEP_WAIT, -1, now + RETRY_NS};
}

struct step coordinator_step(void *self)
{
    struct coordinator *coordinator = self;
    bool writer_gone = coordinator->writer_gone && atomic_load(coordinator->writer_gone);
    drain_inbox(coordinator);
    coordinator->deaf = coordinator->deaf || writer_gone; /* it has said all it will */
    int64_t now = clock_now_ns(), look_ns = coordinator_watch(coordinator, now);
    if (coordinator->untold)
        coordinator_fail(coordinator, WEIR_NO_MEMORY, "",
                         "out of memory for messages to the tasks");
    if (coordinator->over)
        return end(coordinator, now);
    if (coordinator->ready_count < coordinator->task_count)
        return (struct step){STEP_WAIT, -1, look_ns};
    ask_again(coordinator, now);
    struct round_action action = {.what = ROUND_WAIT, .deadline_ns = INT64_MAX};
    while (!coordinator->over && !coordinator->paused &&
           (action = rounds_next(&coordinator->rounds, now)).what != ROUND_WAIT)
        coordinator_carry_out(coordinator, &action);
    if (coordinator->over || coordinator->untold)
        return coordinator->over ? end(coordinator, now) : (struct step){STEP_AGAIN, -1, now};
    int64_t deadline = action.deadline_ns, loops = loops_due_ns(&coordinator->loops);
    deadline = coordinator->again_ns < deadline ? coordinator->again_ns : deadline;
    deadline = look_ns < deadline ? look_ns : deadline;
    return (struct step){STEP_WAIT, -1, loops < deadline ? loops : deadline};
}
