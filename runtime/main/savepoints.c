/* SPDX-License-Identifier: Apache-2.0 */
#include "savepoints.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "refusal.h"

void savepoints_init(struct savepoints *savepoints)
{
    memset(savepoints, 0, sizeof *savepoints);
    pthread_mutex_init(&savepoints->lock, NULL);
}

static void forget(struct savepoint *savepoint)
{
    free(savepoint->path);
    memset(savepoint, 0, sizeof *savepoint);
}

void savepoints_clear(struct savepoints *savepoints)
{
    pthread_mutex_lock(&savepoints->lock);
    for (size_t i = 0; i < SAVEPOINTS_MOST; i++)
        forget(&savepoints->list[i]);
    savepoints->kept = savepoints->failed = false;
    pthread_mutex_unlock(&savepoints->lock);
}

void savepoints_free(struct savepoints *savepoints)
{
    savepoints_clear(savepoints);
    pthread_mutex_destroy(&savepoints->lock);
}

/* ---------------------------------------------------------------------- inside the lock -- */

static bool is_open(const struct savepoint *savepoint)
{
    return savepoint->stage == SAVEPOINT_WANTED || savepoint->stage == SAVEPOINT_UNDER_WAY;
}

/* Under way, or on its way there; NULL: there is none. */
static struct savepoint *find(struct savepoints *savepoints, const char *path)
{
    for (size_t i = 0; i < SAVEPOINTS_MOST; i++)
        if (is_open(&savepoints->list[i]) && strcmp(savepoints->list[i].path, path) == 0)
            return &savepoints->list[i];
    return NULL;
}

static const struct savepoint *find_stop(const struct savepoints *savepoints)
{
    for (size_t i = 0; i < SAVEPOINTS_MOST; i++)
        if (is_open(&savepoints->list[i]) && savepoints->list[i].stop != SAVEPOINTS_NO_STOP)
            return &savepoints->list[i];
    return NULL;
}

/* What becomes of the job is said with it. */
static const char *no_savepoint(int stop)
{
    return stop == SAVEPOINTS_NO_STOP ? "no savepoint" : "no savepoint, so the job goes on";
}

static enum weir_result check(struct savepoints *savepoints, const char *path, int stop,
                              struct weir_error *error)
{
    const struct savepoint *other = find_stop(savepoints);

    if (stop != SAVEPOINTS_NO_STOP && other != NULL)
        return refuse(error,
                      "no savepoint: somebody else has asked for a stop that leaves one, %.400s",
                      other->path);
    if (find(savepoints, path) != NULL)
        return refuse(error, "%s: %.400s is being written for somebody else", no_savepoint(stop),
                      path);
    return WEIR_OK;
}

static enum weir_result take_place(struct savepoints *savepoints, const char *path, int stop,
                                   unsigned *place, struct weir_error *error)
{
    unsigned at = 0;

    while (at < SAVEPOINTS_MOST && savepoints->list[at].stage != SAVEPOINT_NONE)
        at++;
    if (at == SAVEPOINTS_MOST)
        return refuse(error, "%s: %d savepoints are under way already", no_savepoint(stop),
                      SAVEPOINTS_MOST);
    char *copy = strdup(path);
    if (copy == NULL)
        return refuse(error, "%s: out of memory for a savepoint", no_savepoint(stop));
    savepoints->list[at] = (struct savepoint){
        .stage = stop == SAVEPOINTS_NO_STOP ? SAVEPOINT_UNDER_WAY : SAVEPOINT_WANTED,
        .path = copy,
        .stop = stop,
        .awaited = true,
    };
    *place = at;
    return WEIR_OK;
}

/* N3 */
static void end(struct savepoint *savepoint, enum savepoints_stage stage, uint64_t id,
                const char *error)
{
    if (!savepoint->awaited) {
        forget(savepoint);
        return;
    }
    savepoint->stage = stage;
    savepoint->id = id;
    snprintf(savepoint->error, sizeof savepoint->error, "%s", error);
}

/* ------------------------------------------------------------------------------ who asks -- */

enum weir_result savepoints_ask(struct savepoints *savepoints, const char *path, int stop,
                                unsigned *place, struct weir_error *error)
{
    pthread_mutex_lock(&savepoints->lock);
    enum weir_result result = check(savepoints, path, stop, error);
    if (result == WEIR_OK)
        result = take_place(savepoints, path, stop, place, error);
    pthread_mutex_unlock(&savepoints->lock);
    return result;
}

void savepoints_answer(struct savepoints *savepoints, unsigned place, struct savepoint *answer)
{
    struct savepoint *savepoint = &savepoints->list[place];

    pthread_mutex_lock(&savepoints->lock);
    *answer = *savepoint;
    answer->path = NULL;
    if (!is_open(savepoint))
        forget(savepoint);
    pthread_mutex_unlock(&savepoints->lock);
}

void savepoints_leave(struct savepoints *savepoints, unsigned place)
{
    struct savepoint *savepoint = &savepoints->list[place];

    pthread_mutex_lock(&savepoints->lock);
    savepoint->awaited = false;
    if (!is_open(savepoint))
        forget(savepoint);
    pthread_mutex_unlock(&savepoints->lock);
}

/* --------------------------------------------------------------------- who has it stop -- */

char *savepoints_next_stop(struct savepoints *savepoints, enum weir_stop *stop)
{
    char *path = NULL;

    pthread_mutex_lock(&savepoints->lock);
    for (size_t i = 0; i < SAVEPOINTS_MOST && path == NULL; i++) {
        struct savepoint *savepoint = &savepoints->list[i];
        if (savepoint->stage != SAVEPOINT_WANTED)
            continue;
        path = strdup(savepoint->path);
        if (path == NULL) {
            end(savepoint, SAVEPOINT_UNSAVED, 0, "out of memory for a savepoint");
            continue;
        }
        savepoint->stage = SAVEPOINT_UNDER_WAY;
        *stop = (enum weir_stop)savepoint->stop;
    }
    pthread_mutex_unlock(&savepoints->lock);
    return path;
}

void savepoints_refuse(struct savepoints *savepoints, const char *path, const char *why)
{
    pthread_mutex_lock(&savepoints->lock);
    struct savepoint *savepoint = find(savepoints, path);
    if (savepoint != NULL)
        end(savepoint, SAVEPOINT_UNSAVED, 0, why);
    pthread_mutex_unlock(&savepoints->lock);
}

bool savepoints_kept(struct savepoints *savepoints)
{
    pthread_mutex_lock(&savepoints->lock);
    bool kept = savepoints->kept;
    pthread_mutex_unlock(&savepoints->lock);
    return kept;
}

bool savepoints_failed(struct savepoints *savepoints)
{
    pthread_mutex_lock(&savepoints->lock);
    bool failed = savepoints->failed;
    savepoints->failed = false;
    pthread_mutex_unlock(&savepoints->lock);
    return failed;
}

/* ------------------------------------------------------------------------------ who tells -- */

bool savepoints_told(struct savepoints *savepoints, const struct weir_event *event)
{
    bool saved = event->kind == WEIR_EVENT_SAVED, stops = false;

    pthread_mutex_lock(&savepoints->lock);
    struct savepoint *savepoint = find(savepoints, event->path);
    if (savepoint != NULL) {
        bool suspends = savepoint->stop == WEIR_STOP_SUSPEND;
        stops = suspends && saved;
        savepoints->kept = savepoints->kept || stops;
        savepoints->failed = savepoints->failed || (suspends && !saved);
        end(savepoint, saved ? SAVEPOINT_SAVED : SAVEPOINT_UNSAVED, event->id,
            saved ? "" : event->text);
    }
    pthread_mutex_unlock(&savepoints->lock);
    return stops;
}
