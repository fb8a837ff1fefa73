/* SPDX-License-Identifier: Apache-2.0
 *
 * Savepoints: a checkpoint is asked for, and when it is committed the writer copies it to the path.
 * Those that were asked for while one was not claimed yet share it.
 */
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "coordinator.h"
#include "memory.h"
#include "waits.h"

static void tell(struct coordinator *coordinator, enum weir_event_kind kind, uint64_t id,
                 const char *path, const char *text)
{
    struct view *view = coordinator->view;
    monitor_enter(view->monitor);
    if (kind == WEIR_EVENT_SAVED) {
        view->saved++;
        view->saved_id = id;
    } else {
        view->unsaved++;
        snprintf(view->unsaved_reason, sizeof view->unsaved_reason, "%s", text);
    }
    monitor_leave(view->monitor);
    run_event(coordinator->run,
              &(struct weir_event){.kind = kind, .id = id, .text = text, .path = path});
}

bool coordinator_save_add(struct coordinator *coordinator, enum request request,
                          const struct batch *path)
{
    const struct weir_allocator *allocator = coordinator->run->allocator;
    char *copy = NULL;
    if (coordinator->save_count < COORDINATOR_SAVES)
        copy = memory_text(allocator, (const char *)path->data, path->size);
    if (!copy) {
        tell(coordinator, WEIR_EVENT_UNSAVED, 0, (const char *)path->data,
             coordinator->save_count < COORDINATOR_SAVES
                 ? "out of memory for a savepoint"
                 : "eight savepoints are under way: ask again when one is written");
        return false;
    }
    coordinator->saves[coordinator->save_count++] =
        (struct coordinator_save){.path = copy, .request = request, .asked_ns = clock_now_ns()};
    return true;
}

void coordinator_save_claimed(struct coordinator *coordinator, uint64_t id, uint32_t purposes)
{
    for (uint32_t i = 0; i < coordinator->save_count; i++) {
        struct coordinator_save *save = &coordinator->saves[i];
        bool fits = save->request == REQUEST_DRAIN     ? (purposes & ROUND_FINAL) != 0
                    : save->request == REQUEST_SUSPEND ? (purposes & ROUND_STOP) != 0
                                                       : (purposes & ROUND_SAVEPOINT) != 0;
        if (!save->id && fits)
            save->id = id;
    }
}

static struct coordinator_save take_save(struct coordinator *coordinator, uint32_t at)
{
    struct coordinator_save save = coordinator->saves[at];
    coordinator->save_count--;
    memmove(&coordinator->saves[at], &coordinator->saves[at + 1],
            (coordinator->save_count - at) * sizeof save);
    return save;
}

/* C6 */
static bool is_hopeless(const struct coordinator *coordinator, const struct coordinator_save *save)
{
    int64_t limit_ns = coordinator->rounds.options.timeout_ns;
    int64_t since_ns =
        save->asked_ns > coordinator->committed_ns ? save->asked_ns : coordinator->committed_ns;
    int64_t passed_ns = clock_now_ns() - since_ns;
    return passed_ns / COORDINATOR_SAVE_LIMITS >= limit_ns;
}

static void give_up(struct coordinator *coordinator, uint32_t at, const char *why)
{
    struct coordinator_save gone = take_save(coordinator, at);
    tell(coordinator, WEIR_EVENT_UNSAVED, 0, gone.path, why);
    memory_release(coordinator->run->allocator, gone.path);
}

/* A stop that depends on savepoints alone, and has none left. */
static bool is_off(const struct coordinator *coordinator)
{
    if (coordinator->stop_plain)
        return false;
    for (uint32_t i = 0; i < coordinator->save_count; i++)
        if (coordinator->saves[i].request == REQUEST_SUSPEND)
            return false;
    return true;
}

/* Tried for ever, it would cost a copy of the state each time. A stop without one has its own
 * deadline. */
uint32_t coordinator_save_aborted(struct coordinator *coordinator, const struct round_action *round,
                                  const char *why)
{
    uint32_t again = round->purposes & (ROUND_STOP | ROUND_FINAL);
    bool stopped = false;
    struct words words = {.size = 0};
    words_add(&words, "checkpoints have come to nothing for ");
    words_time(&words, COORDINATOR_SAVE_LIMITS * coordinator->rounds.options.timeout_ns);
    words_add(&words, " and more since it was asked for, the last one: %s", why);
    for (uint32_t i = coordinator->save_count; i-- > 0;) {
        struct coordinator_save *save = &coordinator->saves[i];
        if (save->id != round->id)
            continue;
        save->id = 0;
        bool plain = save->request == REQUEST_SAVEPOINT;
        save->heavy += round->reason == ROUND_MEMORY;
        if (plain && save->heavy >= COORDINATOR_HEAVY_TRIES) {
            give_up(coordinator, i, why);
        } else if (round->reason != ROUND_CANCELLED && is_hopeless(coordinator, save)) {
            stopped = stopped || save->request == REQUEST_SUSPEND;
            give_up(coordinator, i, words.text);
        } else if (plain) {
            again |= ROUND_SAVEPOINT;
        }
    }
    if (stopped && is_off(coordinator)) {
        again &= ~(uint32_t)ROUND_STOP;
        run_log(coordinator->run, WEIR_LOG_ERROR,
                "no savepoint could be written, so the job is not stopped");
    }
    return again;
}

void coordinator_save_committed(struct coordinator *coordinator, uint64_t id)
{
    const struct weir_allocator *allocator = coordinator->run->allocator;
    for (uint32_t i = 0; i < coordinator->save_count; i++) {
        struct coordinator_save *save = &coordinator->saves[i];
        if (save->id != id || save->sent)
            continue;
        size_t size = strlen(save->path) + 1;
        struct batch *path = batch_alone(allocator, size);
        if (!path) {
            coordinator->untold = true;
            return;
        }
        memcpy(path->data, save->path, size);
        path->size = size;
        save->sent = coordinator_tell_writer(coordinator, MESSAGE_SAVE, id, 0, 0, path);
    }
}

/* C3: all savepoints that this stop depends on are written, or could not be. One is enough for
 * those who asked; without any the job goes on, unless it has ended or a stop was asked for in any
 * case. */
static void settle_stop(struct coordinator *coordinator, uint64_t id, const char *path)
{
    uint32_t purposes = coordinator->paused;
    if (!purposes || coordinator_save_stops(coordinator, id))
        return;
    bool stops = coordinator->stop_saved || coordinator->stop_plain || (purposes & ROUND_FINAL);
    coordinator->paused = 0;
    coordinator->stop_saved = false;
    if (stops)
        coordinator_end_with(coordinator, id, purposes);
    else
        run_log(coordinator->run, WEIR_LOG_ERROR,
                "the savepoint %s could not be written, so the job is not stopped", path);
}

void coordinator_save_done(struct coordinator *coordinator, uint64_t id, enum weir_result result,
                           const char *text)
{
    uint32_t at = 0;
    while (at < coordinator->save_count &&
           (coordinator->saves[at].id != id || !coordinator->saves[at].sent))
        at++;
    if (at == coordinator->save_count)
        return;
    struct coordinator_save save = take_save(coordinator, at);
    if (result) {
        tell(coordinator, WEIR_EVENT_UNSAVED, id, save.path, text);
    } else {
        tell(coordinator, WEIR_EVENT_SAVED, id, save.path, save.path);
        coordinator->stop_saved = coordinator->stop_saved || save.request == REQUEST_SUSPEND;
    }
    if (save.request == REQUEST_SUSPEND && !coordinator->over)
        settle_stop(coordinator, id, save.path);
    memory_release(coordinator->run->allocator, save.path);
    coordinator_end_if_done(coordinator);
}

bool coordinator_save_sent(const struct coordinator *coordinator)
{
    for (uint32_t i = 0; i < coordinator->save_count; i++)
        if (coordinator->saves[i].sent && !coordinator->deaf)
            return true;
    return false;
}

void coordinator_save_end(struct coordinator *coordinator)
{
    for (uint32_t i = 0; i < coordinator->save_count; i++) {
        const struct coordinator_save *save = &coordinator->saves[i];
        tell(coordinator, WEIR_EVENT_UNSAVED, save->sent ? save->id : 0, save->path,
             save->sent ? "the job was over while it was written, and nobody knows whether it is "
                          "whole: do not use it"
                        : "the job was over before it could be begun");
        memory_release(coordinator->run->allocator, save->path);
    }
    coordinator->save_count = 0;
}

bool coordinator_save_pending(const struct coordinator *coordinator, uint64_t id)
{
    for (uint32_t i = 0; i < coordinator->save_count; i++)
        if (coordinator->saves[i].id == id)
            return true;
    return false;
}

bool coordinator_save_stops(const struct coordinator *coordinator, uint64_t id)
{
    for (uint32_t i = 0; i < coordinator->save_count; i++)
        if (coordinator->saves[i].id == id && coordinator->saves[i].request == REQUEST_SUSPEND)
            return true;
    return false;
}
