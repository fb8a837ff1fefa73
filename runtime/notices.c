/* SPDX-License-Identifier: Apache-2.0 */
#include "notices.h"

#include <stdio.h>
#include <string.h>

#include "error.h"
#include "memory.h"
#include "run.h"

struct notice {
    uint64_t number;      /* 1, 2, 3... */
    uint64_t lost_before; /* N1 */
    bool is_event;
    enum weir_level level;
    struct weir_event event;
    const char *text; /* behind the struct, or ended_text */
    const char *last; /* behind that */
    const char *path; /* and that */
};

struct notices {
    const struct weir_allocator *allocator;
    struct monitor *lock; /* of all that follows */
    struct bell *bell;
    bool rung;     /* since the last delivery began */
    uint64_t last; /* number given */
    uint64_t lost; /* since the last one that was kept */
    uint32_t head, count;
    struct notice *kept[NOTICES_LIMIT]; /* ring */
    struct notice ended;                /* N2 */
    char ended_text[sizeof((struct weir_error *)0)->text];
};

enum weir_result notices_new(const struct weir_allocator *allocator, struct notices **notices,
                             struct weir_error *error)
{
    struct notices *new = memory_zeroed(allocator, 1, sizeof *new);
    if (!new)
        return error_memory(error, "a polled job's messages", sizeof *new);
    new->allocator = allocator;
    new->lock = monitor_new(allocator);
    enum weir_result result = new->lock ? bell_new(allocator, &new->bell, error)
                                        : error_memory(error, "a polled job's lock", sizeof *new);
    if (result)
        notices_free(&new);
    *notices = new;
    return result;
}

static void release(struct notices *notices, struct notice *notice)
{
    if (notice != &notices->ended)
        memory_release(notices->allocator, notice);
}

static struct notice **at(struct notices *notices, uint32_t place)
{
    return &notices->kept[(notices->head + place) % NOTICES_LIMIT];
}

static struct notice *take_first(struct notices *notices)
{
    struct notice *first = *at(notices, 0);
    notices->head = (notices->head + 1) % NOTICES_LIMIT;
    notices->count--;
    return first;
}

void notices_free(struct notices **notices)
{
    struct notices *old = *notices;
    if (!old)
        return;
    while (old->count)
        release(old, take_first(old));
    bell_free(&old->bell);
    monitor_free(&old->lock);
    memory_release(old->allocator, old);
    *notices = NULL;
}

int notices_fd(const struct notices *notices)
{
    return bell_fd(notices->bell);
}

/* ---------------------------------------------------------------------------- adding -- */

/* The oldest but ENDED, which moves up to its place. */
static void drop_oldest(struct notices *notices)
{
    uint32_t place = *at(notices, 0) == &notices->ended;
    struct notice *oldest = *at(notices, place);
    if (place)
        *at(notices, 1) = &notices->ended;
    take_first(notices);
    (*at(notices, place))->lost_before += oldest->lost_before + 1;
    release(notices, oldest);
}

static void ring(struct notices *notices)
{
    if (!notices->rung)
        bell_ring(notices->bell);
    notices->rung = true;
}

/* notice NULL: there was no memory for it. */
static void add(struct notices *notices, struct notice *notice)
{
    monitor_enter(notices->lock);
    notices->last++;
    if (!notice) {
        notices->lost++;
    } else {
        notice->number = notices->last;
        notice->lost_before = notices->lost;
        notices->lost = 0;
        if (notices->count == NOTICES_LIMIT)
            drop_oldest(notices);
        *at(notices, notices->count++) = notice;
    }
    ring(notices);
    monitor_leave(notices->lock);
}

static struct notice *make(const struct notices *notices, const char *text, const char *last,
                           const char *path)
{
    size_t size = strlen(text) + 1, last_size = strlen(last) + 1, path_size = strlen(path) + 1;
    struct notice *notice =
        memory_take(notices->allocator, sizeof *notice + size + last_size + path_size);
    if (!notice)
        return NULL;
    char *texts = (char *)(notice + 1);
    *notice =
        (struct notice){.text = texts, .last = texts + size, .path = texts + size + last_size};
    memcpy(texts, text, size);
    memcpy(texts + size, last, last_size);
    memcpy(texts + size + last_size, path, path_size);
    return notice;
}

void notices_log(struct notices *notices, enum weir_level level, const char *text)
{
    struct notice *notice = make(notices, text, "", "");
    if (notice)
        notice->level = level;
    add(notices, notice);
}

void notices_event(struct notices *notices, const struct weir_event *event)
{
    struct notice *notice = &notices->ended;
    if (event->kind == WEIR_EVENT_ENDED) {
        snprintf(notices->ended_text, sizeof notices->ended_text, "%s", event->text);
        notice->text = notices->ended_text;
        notice->last = notice->path = "";
    } else {
        notice = make(notices, event->text, event->last, event->path);
    }
    if (notice) {
        notice->is_event = true;
        notice->event = *event;
        notice->event.text = notice->text;
        notice->event.last = notice->last;
        notice->event.path = notice->path;
    }
    add(notices, notice);
}

void notices_ring(struct notices *notices)
{
    monitor_enter(notices->lock);
    ring(notices);
    monitor_leave(notices->lock);
}

/* ------------------------------------------------------------------------- delivering -- */

static uint64_t begin(struct notices *notices)
{
    monitor_enter(notices->lock);
    bell_hush(notices->bell); /* first: what is added from here on rings again */
    notices->rung = false;
    uint64_t last = notices->last;
    monitor_leave(notices->lock);
    return last;
}

/* The next one up to that number, or NULL; *lost: how many are missing there. */
static struct notice *next(struct notices *notices, uint64_t last, uint64_t *lost)
{
    struct notice *notice = NULL;
    monitor_enter(notices->lock);
    if (notices->count && (*at(notices, 0))->number <= last)
        notice = take_first(notices);
    *lost = notice ? notice->lost_before : 0;
    if (!notices->count && !notice) {
        *lost = notices->lost;
        notices->lost = 0;
    }
    monitor_leave(notices->lock);
    return notice;
}

static void say_lost(const struct run *run, uint64_t lost)
{
    char text[160];
    if (!lost || !run->log)
        return;
    snprintf(text, sizeof text,
             "%llu messages and events are missing here: weir_job_poll is called too seldom, or "
             "there was no memory for them",
             (unsigned long long)lost);
    run->log(run->log_context, WEIR_LOG_WARNING, text);
}

void notices_deliver(struct notices *notices, const struct run *run)
{
    uint64_t last = begin(notices), lost = 0;
    struct notice *notice;
    while ((notice = next(notices, last, &lost))) {
        say_lost(run, lost);
        if (notice->is_event && run->event)
            run->event(run->event_context, &notice->event);
        else if (!notice->is_event && run->log)
            run->log(run->log_context, notice->level, notice->text);
        release(notices, notice);
    }
    say_lost(run, lost);
}
