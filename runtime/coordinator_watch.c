/* SPDX-License-Identifier: Apache-2.0
 *
 * Who does not come back: tasks from callbacks, the writer from work on files. What hangs is
 * decided in hang.c; here it is put into words and told.
 */
#include "clock.h"
#include "coordinator.h"
#include "store.h"
#include "waits.h"

static uint32_t chain_of(const struct plan *plan, uint32_t task)
{
    uint32_t chain = 0;
    while (task >= plan->chains[chain].first_task + plan->chains[chain].parallelism)
        chain++;
    return chain;
}

/* One that hangs reads nothing of all this any more: its pulse stands still. */
static void see_task(const struct coordinator *coordinator, uint32_t task, struct weir_event *event)
{
    const struct plan *plan = &coordinator->run->plan;
    const struct task_pulse *pulse = coordinator->tasks[task].pulse;
    const struct plan_chain *chain = &plan->chains[chain_of(plan, task)];
    const char *call = atomic_load_explicit(&pulse->call, memory_order_relaxed);
    uint32_t place = atomic_load_explicit(&pulse->place, memory_order_relaxed);
    place = place < chain->length ? place : 0;
    event->subtask = task - chain->first_task;
    event->doing = call ? call : "";
    if (call)
        event->node = plan->graph->nodes[plan_member(plan, chain_of(plan, task), place)].name;
    event->position = atomic_load_explicit(&pulse->position, memory_order_relaxed);
    event->thread = atomic_load_explicit(&pulse->thread, memory_order_relaxed);
}

static void see_writer(const struct coordinator *coordinator, struct weir_event *event)
{
    const struct writer_pulse *pulse = coordinator->writer_pulse;
    const char *doing = atomic_load_explicit(&pulse->doing, memory_order_relaxed);
    event->doing = doing ? doing : "";
    event->id = atomic_load_explicit(&pulse->id, memory_order_relaxed);
    event->thread = atomic_load_explicit(&pulse->thread, memory_order_relaxed);
}

/* "count.0: at work, in process of count for 30.2 s, behind record 4711", "the writer: syncing
 * checkpoint 7 for 30.2 s" */
static void say(const struct coordinator *coordinator, uint32_t task, struct weir_event *event,
                struct words *words)
{
    const struct plan *plan = &coordinator->run->plan;
    if (task < coordinator->task_count) {
        words_task(words, plan, task);
        words_add(words, ": ");
        waits_doing(words, plan, task, coordinator->tasks[task].pulse);
    } else {
        words_add(words, "the writer: ");
        waits_writer(words, plan, coordinator->writer_pulse);
    }
    words_add(words, " for ");
    words_time(words, event->duration_ns);
    if (event->position)
        words_add(words, ", behind record %llu", (unsigned long long)event->position);
    else if (task < coordinator->task_count && coordinator->tasks[task].pulse->records_emitted)
        words_add(words, ", %llu records given",
                  (unsigned long long)coordinator->tasks[task].pulse->records_emitted);
    event->text = words->text;
}

static void show(struct coordinator *coordinator)
{
    monitor_enter(coordinator->view->monitor);
    coordinator->view->hung = coordinator->hung;
    monitor_leave(coordinator->view->monitor);
}

static void tell_hung(struct coordinator *coordinator, uint32_t task, const struct hang *hang,
                      int64_t now_ns)
{
    struct words words = {.size = 0};
    struct weir_event event = {.kind = WEIR_EVENT_HUNG,
                               .duration_ns = now_ns - hang->seen.since_ns};
    if (task < coordinator->task_count)
        see_task(coordinator, task, &event);
    else
        see_writer(coordinator, &event);
    say(coordinator, task, &event, &words);
    run_event(coordinator->run, &event);
}

/* What it is at now is another thing. */
static void tell_returned(struct coordinator *coordinator, uint32_t task, int64_t lasted_ns)
{
    const struct plan *plan = &coordinator->run->plan;
    struct words words = {.size = 0};
    struct weir_event event = {.kind = WEIR_EVENT_RETURNED, .duration_ns = lasted_ns};
    if (task < coordinator->task_count) {
        event.node = plan->graph->nodes[plan->chains[chain_of(plan, task)].head].name;
        event.subtask = task - plan->chains[chain_of(plan, task)].first_task;
        event.thread = coordinator->tasks[task].pulse->thread;
        words_task(&words, plan, task);
    } else {
        event.thread = coordinator->writer_pulse->thread;
        words_add(&words, "the writer");
    }
    words_add(&words, ": it goes on, after ");
    words_time(&words, lasted_ns);
    event.text = words.text;
    run_event(coordinator->run, &event);
}

static void look(struct coordinator *coordinator, uint32_t task, struct hang *hang,
                 const struct hang_seen *seen, int64_t now_ns)
{
    int64_t passed_ns = now_ns - coordinator->watched_ns;
    struct hang before = *hang;
    enum hang_verdict verdict = hang_look(hang, seen, passed_ns, coordinator->watch_after_ns);
    if (seen->busy && hang->stood_ns == 0 && task < coordinator->task_count) /* H3 */
        atomic_store_explicit(&coordinator->tasks[task].pulse->urgent, 1, memory_order_relaxed);
    if (verdict == HANG_TELL) {
        coordinator->hung += before.told_ns == 0;
        show(coordinator);
        tell_hung(coordinator, task, hang, now_ns);
    } else if (verdict == HANG_OVER) {
        coordinator->hung--;
        show(coordinator);
        tell_returned(coordinator, task, now_ns - before.seen.since_ns);
    }
}

int64_t coordinator_watch(struct coordinator *coordinator, int64_t now_ns)
{
    int64_t tick_ns = hang_tick_ns(coordinator->watch_after_ns);
    if (coordinator->watch_after_ns == INT64_MAX)
        return INT64_MAX;
    if (coordinator->watched_ns && now_ns - coordinator->watched_ns < tick_ns)
        return coordinator->watched_ns + tick_ns;
    coordinator->watched_ns = coordinator->watched_ns ? coordinator->watched_ns : now_ns;
    for (uint32_t i = 0; i < coordinator->task_count; i++) {
        struct hang_seen seen = hang_see_task(coordinator->tasks[i].pulse);
        look(coordinator, i, &coordinator->tasks[i].hang, &seen, now_ns);
    }
    if (coordinator->store) {
        struct hang_seen seen =
            hang_see_writer(coordinator->writer_pulse, store_strokes(coordinator->store));
        look(coordinator, coordinator->task_count, &coordinator->writer_hang, &seen, now_ns);
    }
    coordinator->watched_ns = now_ns;
    return now_ns + tick_ns;
}
