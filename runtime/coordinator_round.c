/* SPDX-License-Identifier: Apache-2.0
 *
 * What rounds want, carried out: messages to tasks and writer, events to who listens; and what is
 * known of each round besides.
 */
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "coordinator.h"
#include "memory.h"
#include "plant.h"
#include "waits.h"

#define AGAIN_NS 100000000 /* pause before a last round that failed is tried again */
#define NEAR_PERCENT 90    /* of the memory limit: said once */
#define FAR_PERCENT 80     /* and again, when it had been below this */
#define HOLDERS 5          /* that are named */
#define WAITS_ROOM 350     /* what one task waits for, in words, at most */

struct coordinator_round *coordinator_round(struct coordinator *coordinator, uint64_t id)
{
    for (uint32_t i = 0; id && i < ROUND_LIMIT; i++)
        if (coordinator->list[i].id == id)
            return &coordinator->list[i];
    return NULL;
}

static void open_round(struct coordinator *coordinator, uint64_t id)
{
    uint32_t i = 0;
    while (coordinator->list[i].id) /* the machine has no more than that unfinished */
        i++;
    struct coordinator_round *round = &coordinator->list[i];
    round->id = id;
    round->triggered_wall_ns = clock_wall_ns();
    round->bytes = round->saved = 0;
    round->last_task = UINT32_MAX;
    *round->reason = 0;
    memset(round->reports, 0, coordinator->task_count * sizeof *round->reports);
    memset(round->sealed, 0, coordinator->task_count * sizeof *round->sealed);
}

static void close_round(struct coordinator *coordinator, uint64_t id)
{
    struct coordinator_round *round = coordinator_round(coordinator, id);
    if (!round)
        return;
    coordinator->saved_last = round->saved;
    round->id = 0;
}

void coordinator_note_reason(struct coordinator *coordinator, uint64_t id, const char *text)
{
    struct coordinator_round *round = coordinator_round(coordinator, id);
    if (round && !*round->reason)
        snprintf(round->reason, sizeof round->reason, "%s", text);
}

/* ------------------------------------------------------------------------- sealed -- */

/* C4 */
static void look_at_loops(struct coordinator *coordinator, const struct cut_report *reports)
{
    uint32_t loop;
    struct message message = {.kind = MESSAGE_REST, .epoch = coordinator->run->epoch};
    if (!coordinator->run->plan.loop_count)
        return;
    while ((loop = loops_rested(&coordinator->loops, reports, clock_now_ns())))
        for (uint32_t i = 0; i < coordinator->task_count; i++)
            if (loops_of(&coordinator->loops, i) == loop &&
                !pipe_send(coordinator->tasks[i].pipe, &message))
                coordinator->untold = true;
}

void coordinator_sealed(struct coordinator *coordinator, const struct message *message)
{
    uint32_t task = message->channel;
    struct coordinator_round *round = coordinator_round(coordinator, message->id);
    struct cut_report report = {0};
    if (message->payload && message->payload->size == sizeof report)
        memcpy(&report, message->payload->data, sizeof report);
    if (round && !round->sealed[task]) {
        round->sealed[task] = true;
        round->reports[task] = report;
        round->last_task = task;
    }
    int64_t now_ns = clock_now_ns();
    rounds_sealed(&coordinator->rounds, message->id, task, now_ns);
    struct view *view = coordinator->view;
    monitor_enter(view->monitor);
    if (report.took_ns > view->cut_max_ns)
        view->cut_max_ns = report.took_ns;
    coordinator->tasks[task].sealed = message->id;
    monitor_leave(view->monitor);
    const struct round *known = rounds_find(&coordinator->rounds, message->id);
    if (round && known && known->sealed_count == coordinator->task_count)
        look_at_loops(coordinator, round->reports);
}

/* ---------------------------------------------------------------------- committed -- */

/* Everything the tasks have reported, in one event. */
static void sum_up(const struct coordinator *coordinator, const struct coordinator_round *round,
                   struct weir_event *event)
{
    event->tasks = coordinator->task_count;
    event->bytes = round->bytes;
    for (uint32_t i = 0; i < coordinator->task_count; i++) {
        const struct cut_report *report = &round->reports[i];
        event->overtook += report->overtook;
        event->channel_bytes += report->channel_bytes;
        event->outlet_bytes += report->outlet_bytes;
        if (report->took_ns > event->cut_ns)
            event->cut_ns = report->took_ns;
        if (report->cpu_ns > event->cut_cpu_ns)
            event->cut_cpu_ns = report->cpu_ns;
    }
}

/* "count.0, by the marker of split.1": who was last, and on which channel. */
static void say_last(const struct coordinator *coordinator, const struct coordinator_round *round,
                     struct words *words)
{
    const struct plan *plan = &coordinator->run->plan;
    if (round->last_task >= coordinator->task_count)
        return;
    words_task(words, plan, round->last_task);
    uint32_t channel = round->reports[round->last_task].last_channel;
    if (channel >= plan->channel_count)
        return;
    words_add(words, ", by the marker of ");
    words_task(words, plan, plan->channels[channel].from_task);
}

static void show_newest(const struct coordinator *coordinator)
{
    const struct rounds *rounds = &coordinator->rounds;
    const struct round *newest = rounds->open_count ? &rounds->open[rounds->open_count - 1] : NULL;
    struct view *view = coordinator->view;
    monitor_enter(view->monitor);
    view->round = newest ? newest->id : 0;
    if (newest) {
        view->round_phase = newest->phase;
        view->round_purposes = newest->purposes;
        view->round_triggered_ns = newest->triggered_ns;
    }
    monitor_leave(view->monitor);
}

static void show_committed(struct coordinator *coordinator, const struct round_action *action,
                           int64_t duration_ns, uint64_t bytes)
{
    struct view *view = coordinator->view;
    monitor_enter(view->monitor);
    view->bytes = bytes;
    view->checkpoint = action->id;
    view->triggered_ns = action->triggered_ns;
    view->duration_ns = duration_ns;
    view->committed++;
    monitor_leave(view->monitor);
}

/* Before any task publishes what it holds: a host that has not heard of a commit may be sure that
 * nothing of it can be seen. */
static void tell_committed(struct coordinator *coordinator, const struct round_action *action)
{
    struct coordinator_round *round = coordinator_round(coordinator, action->id);
    int64_t duration_ns = clock_now_ns() - action->triggered_ns;
    int64_t sealed_ns = action->sealed_ns ? action->sealed_ns - action->triggered_ns : 0;
    struct words last = {.size = 0};
    struct weir_event event = {.kind = WEIR_EVENT_COMMITTED,
                               .id = action->id,
                               .duration_ns = duration_ns,
                               .align_ns = sealed_ns,
                               .write_ns = duration_ns - sealed_ns,
                               .text = round_purpose_text(action->purposes),
                               .last = last.text};
    if (round) {
        sum_up(coordinator, round, &event);
        say_last(coordinator, round, &last);
    }
    show_committed(coordinator, action, duration_ns, event.bytes);
    run_event(coordinator->run, &event);
}

static void on_told(struct coordinator *coordinator, const struct round_action *action)
{
    if (coordinator->run->durable)
        tell_committed(coordinator, action);
    coordinator->told = action->id;
    coordinator->committed_ns = clock_now_ns();
    if (coordinator_save_stops(coordinator, action->id)) /* C3 */
        coordinator->paused = action->purposes;
    else if (action->purposes & (ROUND_STOP | ROUND_FINAL))
        coordinator_end_with(coordinator, action->id, action->purposes);
    coordinator_tell(coordinator, MESSAGE_COMMITTED, action->id);
    coordinator_save_committed(coordinator, action->id);
    close_round(coordinator, action->id);
}

/* ------------------------------------------------------------------------ aborted -- */

/* Who had not answered, and what each of them was waiting for. */
static void say_missing(const struct coordinator *coordinator,
                        const struct coordinator_round *round, struct words *words)
{
    uint32_t missing = 0, named = 0;
    for (uint32_t i = 0; i < coordinator->task_count; i++)
        missing += !round->sealed[i];
    if (!missing) {
        words_add(words, "all tasks had answered, and their parts were being written");
        if (coordinator->writer_pulse) {
            words_add(words, ": the writer is ");
            waits_writer(words, &coordinator->run->plan, coordinator->writer_pulse);
        }
        return;
    }
    words_add(words, "%u of %u tasks had not answered: ", missing, coordinator->task_count);
    for (uint32_t i = 0; i < coordinator->task_count; i++) {
        if (round->sealed[i])
            continue;
        words_add(words, named ? "; " : "");
        if (words->size > sizeof words->text - WAITS_ROOM) {
            words_add(words, "and %u more", missing - named);
            return;
        }
        named++;
        waits_round(words, &coordinator->run->plan, i, coordinator->tasks[i].pulse, round->id,
                    clock_now_ns());
    }
}

static void ask_again(struct coordinator *coordinator, uint32_t purposes)
{
    if (!purposes)
        return;
    coordinator->again |= purposes;
    coordinator->again_ns = clock_now_ns() + AGAIN_NS;
}

static void show_aborted(struct coordinator *coordinator, const struct round_action *action,
                         const char *text)
{
    struct view *view = coordinator->view;
    monitor_enter(view->monitor);
    view->aborted++;
    view->aborted_id = action->id;
    view->aborted_triggered_ns = action->triggered_ns;
    snprintf(view->aborted_reason, sizeof view->aborted_reason, "%s", text);
    monitor_leave(view->monitor);
}

/* For the store's list of such; without memory it is not in it. */
static struct batch *as_letter(const struct coordinator *coordinator, const struct words *words)
{
    struct batch *letter = batch_alone(coordinator->run->allocator, sizeof words->text);
    if (letter)
        memcpy(letter->data, words->text, sizeof words->text);
    return letter;
}

static void on_aborted(struct coordinator *coordinator, const struct round_action *action)
{
    struct coordinator_round *round = coordinator_round(coordinator, action->id);
    struct words words = {.size = 0};
    words_add(&words, "%s: ", round_reason_text(action->reason));
    if (round && *round->reason)
        words_add(&words, "%s", round->reason);
    else if (round)
        say_missing(coordinator, round, &words);
    coordinator_tell(coordinator, MESSAGE_ABORT, action->id);
    coordinator_tell_writer(coordinator, MESSAGE_ABORT, action->id, 0, 0,
                            as_letter(coordinator, &words));
    show_aborted(coordinator, action, words.text);
    run_event(coordinator->run,
              &(struct weir_event){.kind = WEIR_EVENT_ABORTED,
                                   .id = action->id,
                                   .duration_ns = clock_now_ns() - action->triggered_ns,
                                   .text = words.text});
    ask_again(coordinator, coordinator_save_aborted(coordinator, action, words.text));
    close_round(coordinator, action->id);
    look_at_loops(coordinator, NULL);
}

/* ---------------------------------------------------------------------- carrying out -- */

/* Without a store a round is markers alone: it lets sinks publish at the end, and shows when a
 * cycle is empty. */
static void stand_in_for_writer(struct rounds *rounds, const struct round_action *action)
{
    if (action->what == ROUND_CLAIM)
        rounds_claimed(rounds, action->id);
    else if (action->what == ROUND_ANNOUNCE)
        rounds_durable(rounds, action->id);
    else if (action->what == ROUND_COMMIT)
        rounds_committed(rounds, action->id);
}

static void on_claim(struct coordinator *coordinator, const struct round_action *action)
{
    open_round(coordinator, action->id);
    coordinator_save_claimed(coordinator, action->id, action->purposes);
    if (action->purposes & ROUND_LOOP)
        loops_asked(&coordinator->loops);
    const struct coordinator_round *round = coordinator_round(coordinator, action->id);
    coordinator_tell_writer(coordinator, MESSAGE_CLAIM, action->id, action->purposes,
                            (uint64_t)round->triggered_wall_ns, NULL);
}

/* What the manifest says of the round besides the parts: the reports, with times since the trigger.
 */
static void on_commit(struct coordinator *coordinator, const struct round_action *action)
{
    const struct coordinator_round *round = coordinator_round(coordinator, action->id);
    struct cut_summary summary = {.triggered_ns = action->triggered_ns,
                                  .sealed_ns = action->sealed_ns,
                                  .last_task = round->last_task};
    size_t reports = coordinator->task_count * sizeof *round->reports;
    struct batch *payload = NULL;
    if (coordinator->writer)
        payload = batch_alone(coordinator->run->allocator, sizeof summary + reports);
    if (payload) { /* without memory the manifest has no figures */
        memcpy(payload->data, &summary, sizeof summary);
        memcpy(payload->data + sizeof summary, round->reports, reports);
        payload->size = sizeof summary + reports;
    }
    if (WEIR_PLANT(told_before_commit))
        coordinator_tell(coordinator, MESSAGE_COMMITTED, action->id);
    coordinator_tell_writer(coordinator, MESSAGE_COMMIT, action->id, action->purposes,
                            action->overtaken, payload);
}

void coordinator_carry_out(struct coordinator *coordinator, const struct round_action *action)
{
    switch (action->what) {
    case ROUND_CLAIM:
        on_claim(coordinator, action);
        break;
    case ROUND_ANNOUNCE: /* P2: to every task */
        coordinator_tell(coordinator, MESSAGE_ANNOUNCE, action->id);
        break;
    case ROUND_OVERTAKE:
        coordinator_tell(coordinator, MESSAGE_OVERTAKE, action->id);
        break;
    case ROUND_COMMIT:
        on_commit(coordinator, action);
        break;
    case ROUND_TELL:
        on_told(coordinator, action);
        break;
    case ROUND_ABORT:
        on_aborted(coordinator, action);
        break;
    case ROUND_FAIL:
        coordinator_fail(coordinator, WEIR_FAILED, "",
                         "more checkpoints in a row have failed than are tolerated");
        break;
    case ROUND_WAIT:
        break;
    }
    if (!coordinator->run->durable)
        stand_in_for_writer(&coordinator->rounds, action);
    show_newest(coordinator);
}

/* ------------------------------------------------------------------------- memory -- */

struct holding {
    uint64_t tasks;    /* in flight, and state */
    uint64_t recorded; /* by rounds, */
    uint64_t saved;    /* and in snapshots that are not written yet */
};

static uint64_t flight_and_state(const struct task_pulse *pulse)
{
    return atomic_load_explicit(&pulse->flight, memory_order_relaxed) +
           atomic_load_explicit(&pulse->state, memory_order_relaxed);
}

/* Snapshots of rounds that were given up go as soon as the writer meets them: they are not held
 * against another round. `peak` is what was there when the last of them were handed over: whether
 * a round fits does not depend on who is quicker, the writer or this thread. */
static uint64_t saved_bytes(const struct coordinator *coordinator, uint64_t peak)
{
    uint64_t saved = atomic_load_explicit(coordinator->run->sealed, memory_order_relaxed);
    uint64_t unfinished = 0;
    for (uint32_t i = 0; i < ROUND_LIMIT; i++)
        unfinished += coordinator->list[i].id ? coordinator->list[i].saved : 0;
    saved = peak > saved ? peak : saved;
    return saved < unfinished ? saved : unfinished;
}

static struct holding hold(const struct coordinator *coordinator, uint64_t peak)
{
    struct holding holding = {
        .recorded = atomic_load_explicit(coordinator->run->recorded, memory_order_relaxed),
        .saved = saved_bytes(coordinator, peak),
    };
    for (uint32_t i = 0; i < coordinator->task_count; i++)
        holding.tasks += flight_and_state(coordinator->tasks[i].pulse);
    return holding;
}

static uint64_t total_of(const struct holding *holding)
{
    return holding->tasks + holding->recorded + holding->saved;
}

static void say_holder(struct words *words, const struct coordinator *coordinator, uint32_t task)
{
    const struct task_pulse *pulse = coordinator->tasks[task].pulse;
    words_add(words, "; ");
    words_task(words, &coordinator->run->plan, task);
    words_add(words, " ");
    words_bytes(words, pulse->state);
    words_add(words, " of state, ");
    words_bytes(words, pulse->flight);
    words_add(words, " in flight, ");
    words_bytes(words, pulse->recorded);
    words_add(words, " recorded");
}

/* The biggest few. */
static void say_holders(struct words *words, const struct coordinator *coordinator,
                        const struct holding *holding)
{
    uint64_t below = UINT64_MAX;
    words_bytes(words, total_of(holding));
    words_add(words, " of memory_max, ");
    words_bytes(words, coordinator->run->memory_max);
    words_add(words, ", are held; for rounds ");
    words_bytes(words, holding->recorded);
    words_add(words, " recorded and ");
    words_bytes(words, holding->saved);
    words_add(words, " saved");
    for (uint32_t named = 0; named < HOLDERS; named++) {
        uint32_t most = UINT32_MAX;
        uint64_t weight = 0;
        for (uint32_t i = 0; i < coordinator->task_count; i++) {
            uint64_t own = flight_and_state(coordinator->tasks[i].pulse);
            if (own < below && own > weight) {
                most = i;
                weight = own;
            }
        }
        if (most == UINT32_MAX)
            return;
        say_holder(words, coordinator, most);
        below = weight;
    }
}

/* For the last round everything stands still: what does not fit now never will. The first copies
 * are not made to measure, so it is tried again. */
static void fail_final(struct coordinator *coordinator, const struct words *holders)
{
    struct words words = {.size = 0};
    if (++coordinator->final_heavy < COORDINATOR_HEAVY_TRIES)
        return;
    words_add(&words, "the last checkpoint does not fit into memory: %s", holders->text);
    coordinator_fail(coordinator, WEIR_NO_MEMORY, "", words.text);
}

/* What rounds hold is given up first, the newest first, until the rest fits; without any, nothing
 * else can be. */
static void exceed(struct coordinator *coordinator, const struct holding *holding,
                   const struct words *holders)
{
    struct rounds *rounds = &coordinator->rounds;
    uint64_t left = total_of(holding), limit = coordinator->run->memory_max;
    if (left == holding->tasks) {
        coordinator_fail(coordinator, WEIR_NO_MEMORY, "", holders->text);
        return;
    }
    for (uint32_t i = rounds->open_count; i-- > 0 && left > limit;) {
        const struct round *round = &rounds->open[i];
        if (!round->asked || round->phase == ROUND_COMMITTING)
            continue;
        uint64_t saved = coordinator_round(coordinator, round->id)->saved;
        left -= saved < left ? saved : left;
        if (round->trouble) /* it is given up already */
            continue;
        coordinator_note_reason(coordinator, round->id, holders->text);
        rounds_trouble(rounds, round->id, ROUND_MEMORY);
        if ((round->purposes & ROUND_FINAL) && rounds->open_count == 1)
            fail_final(coordinator, holders);
    }
}

void coordinator_weigh(struct coordinator *coordinator, const struct message *message)
{
    uint64_t limit = coordinator->run->memory_max;
    struct coordinator_round *round = coordinator_round(coordinator, message->id);
    if (!limit)
        return;
    if (round)
        round->saved += message->value;
    struct holding holding = hold(coordinator, round ? message->sequence : 0);
    uint64_t total = total_of(&holding), copy = coordinator->saved_last;
    /* Between two rounds it is less: that alone is no reason to warn anew at each. */
    if (total - holding.saved + (copy > holding.saved ? copy : holding.saved) <
        limit / 100 * FAR_PERCENT)
        coordinator->memory_warned = false;
    if (total < limit / 100 * NEAR_PERCENT || (coordinator->memory_warned && total <= limit))
        return;
    struct words holders = {.size = 0};
    say_holders(&holders, coordinator, &holding);
    if (!coordinator->memory_warned)
        run_log(coordinator->run, WEIR_LOG_WARNING, "memory is nearly used up: %s", holders.text);
    coordinator->memory_warned = true;
    if (total > limit)
        exceed(coordinator, &holding, &holders);
}
