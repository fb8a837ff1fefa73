/* SPDX-License-Identifier: Apache-2.0
 *
 * What requests mean. The endpoint's thread asks the job under `lock`, which is how the program
 * takes a job away before it closes it; none of what is asked of a job blocks.
 */
#include "control.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "endpoint.h"
#include "reply.h"

enum { SECOND_NS = 1000000000, MILLISECOND_NS = 1000000 };
enum { PATIENCE_MS = 60000, PATIENCE_MAX_MS = 3600000, PATH_LIMIT = 4000 };

/* Somebody waits for a checkpoint: one with a higher id than there was when he asked; or for a
 * savepoint, with which the job may stop. */
struct waiting {
    const char *ask; /* "checkpoint", "savepoint" or "stop" */
    int64_t asked_ns, deadline_ns;
    uint64_t base;    /* id, of a checkpoint */
    unsigned place;   /* of a savepoint, among those under way */
    char *path;       /* the same; NULL: a checkpoint */
    const char *mode; /* of a stop */
};

struct control {
    const struct report *report;
    struct control_asked asked;
    struct control_socket sock;
    struct endpoint *endpoint;
    struct control_store store;

    uint32_t restarts; /* the report's; copied on the program's thread, which counts them */

    pthread_mutex_t lock;                     /* of what follows */
    struct weir_job *job;                     /* NULL: it is being taken away */
    struct waiting waiting[ENDPOINT_TICKETS]; /* by ticket */
};

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * SECOND_NS + now.tv_nsec;
}

/* ---------------------------------------------------------------------------------- status -- */

static char *answer_status(const struct control *control)
{
    const struct report *report = control->report;
    json_t *root = reply_begin(true, "status");

    json_object_set_new(root, "program", reply_text(report->name));
    json_object_set_new(root, "version", json_string(weir_version()));
    json_object_set_new(root, "pid", json_integer(getpid()));
    if (report->parent != 0)
        json_object_set_new(root, "parent", json_integer(report->parent));
    json_object_set_new(root, "store", reply_text(report->options->job.store));
    json_object_set_new(root, "store_id", json_string(control->store.id));
    json_object_set_new(root, "uptime_ns", json_integer(now_ns() - report->began_ns));
    json_object_set_new(root, "restarts", json_integer(control->restarts));
    reply_add_job(root, control->job);
    return reply_print(root);
}

/* --------------------------------------------------------------------------------- waiting -- */

/* NULL: from now on somebody waits, `waiting` says until when; else what is wrong with that. */
static char *begin_waiting(struct control *control, const char *ask, const json_t *request,
                           uint32_t ticket)
{
    const json_t *patience = json_object_get(request, "timeout_ms");
    json_int_t patience_ms = patience != NULL ? json_integer_value(patience) : PATIENCE_MS;

    if (patience_ms < 1 || patience_ms > PATIENCE_MAX_MS)
        return reply_refused(ask, "timeout_ms: 1 to %d", PATIENCE_MAX_MS);
    if (ticket == ENDPOINT_TICKETS)
        return reply_refused(ask, "%u others wait for an answer already", ENDPOINT_TICKETS);
    control->waiting[ticket] = (struct waiting){
        .ask = ask,
        .asked_ns = now_ns(),
        .deadline_ns = now_ns() + patience_ms * MILLISECOND_NS,
    };
    return NULL;
}

/* With the newest reason why, when there is one. */
static char *too_late(const struct waiting *waiting, const struct weir_status *status)
{
    bool trouble = status->aborted_id > status->checkpoint;

    return reply_refused(
        waiting->ask, "not done in time, and still being tried; `dump` shows who it waits for%s%s",
        trouble ? "; the newest checkpoint came to nothing: " : "",
        trouble ? status->aborted_reason : "");
}

/* ------------------------------------------------------------------------------ checkpoint -- */

static uint64_t newest_id(const struct weir_status *status)
{
    uint64_t newest = status->checkpoint > status->round ? status->checkpoint : status->round;

    return newest > status->aborted_id ? newest : status->aborted_id;
}

static char *ask_checkpoint(struct control *control, const json_t *request, uint32_t ticket)
{
    struct weir_status status = {WEIR_SIZED(struct weir_status)};
    struct weir_error error = {0};
    char *wrong = begin_waiting(control, "checkpoint", request, ticket);

    if (wrong != NULL)
        return wrong;
    weir_job_status(control->job, &status);
    if (weir_job_checkpoint(control->job, &error) != WEIR_OK)
        return reply_refused("checkpoint", "%s", error.text);
    control->waiting[ticket].base = newest_id(&status);
    return NULL;
}

static char *answer_checkpoint(const struct weir_status *status)
{
    json_t *root = reply_begin(true, "checkpoint");

    json_object_set_new(root, "checkpoint", reply_number(status->checkpoint));
    json_object_set_new(root, "duration_ns", json_integer(status->checkpoint_duration_ns));
    json_object_set_new(root, "bytes", reply_number(status->checkpoint_bytes));
    return reply_print(root);
}

/* NULL: not yet. */
static char *checkpoint_done(const struct control *control, const struct waiting *waiting)
{
    struct weir_status status = {WEIR_SIZED(struct weir_status)};

    if (control->job == NULL)
        return reply_refused("checkpoint", "the run ended before the checkpoint was done");
    weir_job_status(control->job, &status);
    if (status.checkpoint > waiting->base)
        return answer_checkpoint(&status);
    if (status.aborted_id > waiting->base)
        return reply_refused("checkpoint", "checkpoint %" PRIu64 " came to nothing: %s",
                             status.aborted_id, status.aborted_reason);
    if (status.outcome != WEIR_OUTCOME_RUNNING)
        return reply_refused("checkpoint", "the job was over before the checkpoint was done");
    return now_ns() >= waiting->deadline_ns ? too_late(waiting, &status) : NULL;
}

/* ------------------------------------------------------------------------------- savepoint -- */

/* Both for `savepoint` and for a stop that leaves one. NULL: it is under way. */
static char *begin_savepoint(struct control *control, const json_t *request, const char *member,
                             int stop, uint32_t ticket)
{
    const char *ask = stop == SAVEPOINTS_NO_STOP ? "savepoint" : "stop";
    const char *path = json_string_value(json_object_get(request, member));
    struct waiting *waiting = &control->waiting[ticket];
    struct weir_error error = {0};

    if (path == NULL || path[0] != '/' || strlen(path) > PATH_LIMIT)
        return reply_refused(
            ask,
            "%s: the path of a directory that is not there yet, from / on, of at most "
            "%d bytes",
            member, PATH_LIMIT);
    char *wrong = begin_waiting(control, ask, request, ticket);
    if (wrong != NULL)
        return wrong;
    waiting->path = strdup(path);
    if (waiting->path == NULL)
        return reply_refused(ask, "out of memory for a savepoint");
    if (savepoints_ask(control->asked.savepoints, path, stop, &waiting->place, &error) == WEIR_OK)
        return NULL;
    free(waiting->path);
    waiting->path = NULL;
    return reply_refused(ask, "%s", error.text);
}

static char *ask_savepoint(struct control *control, const json_t *request, uint32_t ticket)
{
    struct waiting *waiting = &control->waiting[ticket];
    struct weir_error error = {0};
    char *wrong = begin_savepoint(control, request, "path", SAVEPOINTS_NO_STOP, ticket);

    if (wrong == NULL && weir_job_savepoint(control->job, waiting->path, &error) != WEIR_OK)
        savepoints_refuse(control->asked.savepoints, waiting->path, error.text); /* the answer */
    return wrong;
}

static char *answer_savepoint(const struct waiting *waiting, const struct savepoint *savepoint)
{
    json_t *root = reply_begin(true, waiting->ask);

    if (waiting->mode != NULL) {
        json_object_set_new(root, "mode", json_string(waiting->mode));
        json_object_set_new(root, "pid", json_integer(getpid()));
    }
    json_object_set_new(root, "savepoint", reply_text(waiting->path));
    json_object_set_new(root, "checkpoint", reply_number(savepoint->id));
    json_object_set_new(root, "duration_ns", json_integer(now_ns() - waiting->asked_ns));
    return reply_print(root);
}

/* What becomes of the job is said with it. */
static char *answer_unsaved(const struct waiting *waiting, const struct savepoint *savepoint)
{
    const char *then = "";

    if (savepoint->stop == WEIR_STOP_SUSPEND)
        then = ", so the job goes on";
    else if (savepoint->stop == WEIR_STOP_DRAIN)
        then = "; the input has ended all the same";
    return reply_refused(waiting->ask, "no savepoint%s: %s", then, savepoint->error);
}

static char *savepoint_over(const struct waiting *waiting)
{
    bool drained = waiting->mode != NULL && strcmp(waiting->mode, "drain") == 0;

    return reply_refused(waiting->ask, "the run ended before the savepoint was done%s",
                         drained ? ""
                                 : "; if it is started again, it goes on as if nobody had asked");
}

/* NULL: not yet. Whether the job runs is asked first: what becomes of a savepoint is told before
 * its job is over. */
static char *savepoint_done(struct control *control, const struct waiting *waiting)
{
    struct savepoints *savepoints = control->asked.savepoints;
    struct weir_status status = {WEIR_SIZED(struct weir_status)};
    struct savepoint savepoint;
    char *answer = NULL;

    if (control->job != NULL)
        weir_job_status(control->job, &status);
    savepoints_answer(savepoints, waiting->place, &savepoint);
    if (savepoint.stage == SAVEPOINT_SAVED)
        return answer_savepoint(waiting, &savepoint);
    if (savepoint.stage == SAVEPOINT_UNSAVED)
        return answer_unsaved(waiting, &savepoint);
    if (control->job == NULL || status.outcome != WEIR_OUTCOME_RUNNING)
        answer = savepoint_over(waiting);
    else if (now_ns() >= waiting->deadline_ns)
        answer = too_late(waiting, &status);
    if (answer != NULL)
        savepoints_leave(savepoints, waiting->place);
    return answer;
}

/* --------------------------------------------------------------------------- stop and dump -- */

static char *ask_stop(struct control *control, const json_t *request, uint32_t ticket)
{
    static const char *const modes[] = {"suspend", "drain", "now"}; /* enum weir_stop */
    const json_t *given = json_object_get(request, "mode");
    const char *mode = given != NULL ? json_string_value(given) : modes[0];
    int asked = -1;

    for (int i = 0; mode != NULL && i < 3; i++)
        asked = strcmp(mode, modes[i]) == 0 ? i : asked;
    if (asked < 0)
        return reply_refused("stop", "mode: \"suspend\", \"drain\" or \"now\"");
    if (json_object_get(request, "savepoint") != NULL) {
        if (asked == WEIR_STOP_NOW)
            return reply_refused("stop", "a stop at once leaves no savepoint");
        char *wrong = begin_savepoint(control, request, "savepoint", asked, ticket);
        if (wrong == NULL)
            control->waiting[ticket].mode = modes[asked];
        return wrong;
    }
    atomic_fetch_or(control->asked.stops, 1u << asked);
    json_t *root = reply_begin(true, "stop");
    json_object_set_new(root, "mode", json_string(modes[asked]));
    json_object_set_new(root, "pid", json_integer(getpid()));
    return reply_print(root);
}

static void add_line(void *lines, const char *text)
{
    json_array_append_new(lines, reply_text(text));
}

static char *answer_dump(struct control *control)
{
    json_t *root = reply_begin(true, "dump");
    json_t *lines = json_array();

    json_object_set_new(root, "lines", lines);
    weir_job_dump(control->job, add_line, lines);
    return reply_print(root);
}

/* -------------------------------------------------------------------------------- requests -- */

/* Nothing unknown is passed over: a misspelt member would change what is meant. */
static bool has_meaning(const json_t *request, const char *ask, const char *key)
{
    bool stop = strcmp(ask, "stop") == 0, savepoint = strcmp(ask, "savepoint") == 0;
    bool waits = savepoint || strcmp(ask, "checkpoint") == 0 ||
                 (stop && json_object_get(request, "savepoint") != NULL);

    if (strcmp(key, "timeout_ms") == 0)
        return waits;
    if (strcmp(key, "mode") == 0 || strcmp(key, "savepoint") == 0)
        return stop;
    if (strcmp(key, "path") == 0)
        return savepoint;
    return strcmp(key, "weir") == 0 || strcmp(key, "ask") == 0;
}

static const char *unknown_member(json_t *request, const char *ask)
{
    const char *key;
    json_t *value;

    json_object_foreach(request, key, value) if (!has_meaning(request, ask, key)) return key;
    return NULL;
}

static char *answer_request(struct control *control, json_t *request, uint32_t ticket)
{
    const char *ask = json_string_value(json_object_get(request, "ask"));

    if (!json_is_object(request))
        return reply_refused(NULL, "a request is a JSON object");
    if (json_integer_value(json_object_get(request, "weir")) != REPLY_VERSION)
        return reply_refused(NULL, "\"weir\": 1 is the version spoken here (weir %s)",
                             weir_version());
    if (ask == NULL)
        return reply_refused(NULL, "\"ask\": status, checkpoint, savepoint, stop or dump");
    if (control->job == NULL)
        return reply_refused(ask, "the run is over");
    const char *unknown = unknown_member(request, ask);
    if (unknown != NULL)
        return reply_refused(NULL, "\"%.40s\" has no meaning with \"ask\": \"%.40s\"", unknown,
                             ask);
    if (strcmp(ask, "status") == 0)
        return answer_status(control);
    if (strcmp(ask, "checkpoint") == 0)
        return ask_checkpoint(control, request, ticket);
    if (strcmp(ask, "savepoint") == 0)
        return ask_savepoint(control, request, ticket);
    if (strcmp(ask, "stop") == 0)
        return ask_stop(control, request, ticket);
    if (strcmp(ask, "dump") == 0)
        return answer_dump(control);
    return reply_refused(
        NULL, "\"ask\": \"%.40s\" is none of status, checkpoint, savepoint, stop and dump", ask);
}

static char *on_request(void *context, const char *text, size_t size, uint32_t ticket)
{
    struct control *control = context;
    json_error_t error;
    json_t *request = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);

    if (request == NULL)
        return reply_refused(NULL, "a request is a JSON object: %s", error.text);
    pthread_mutex_lock(&control->lock);
    char *answer = answer_request(control, request, ticket);
    pthread_mutex_unlock(&control->lock);
    json_decref(request);
    return answer;
}

static char *on_later(void *context, uint32_t ticket)
{
    struct control *control = context;
    struct waiting *waiting = &control->waiting[ticket];

    pthread_mutex_lock(&control->lock);
    char *answer = waiting->path != NULL ? savepoint_done(control, waiting)
                                         : checkpoint_done(control, waiting);
    if (answer != NULL) {
        free(waiting->path);
        waiting->path = NULL;
    }
    pthread_mutex_unlock(&control->lock);
    return answer;
}

/* ---------------------------------------------------------------------------- the program's -- */

void control_prepare(void)
{
    endpoint_prepare();
}

static enum weir_result start_endpoint(struct control *control, struct weir_error *error)
{
    struct endpoint_answers answers = {on_request, on_later, control};
    enum weir_result result = control_socket_open(control->store.name, &control->sock, error);

    if (result != WEIR_OK)
        return result;
    result = endpoint_start(&control->endpoint, &control->sock, &answers, error);
    if (result != WEIR_OK)
        control_socket_remove(&control->sock);
    return result;
}

enum weir_result control_start(struct control **control, struct weir_job *job,
                               const struct report *report, const struct control_asked *asked,
                               struct weir_error *error)
{
    const char *store = report->options->job.store;
    struct control *new = calloc(1, sizeof *new);

    *control = NULL;
    if (new == NULL || store == NULL) {
        free(new);
        *error = (struct weir_error){.code = store == NULL ? WEIR_INVALID : WEIR_NO_MEMORY};
        snprintf(error->text, sizeof error->text, "control socket: %s",
                 store == NULL ? "a job without --store has none" : "out of memory");
        return error->code;
    }
    pthread_mutex_init(&new->lock, NULL);
    new->report = report;
    new->restarts = report->restarts;
    new->job = job;
    new->asked = *asked;
    enum weir_result result = control_store_of(store, &new->store, error);
    if (result == WEIR_OK)
        result = start_endpoint(new, error);
    if (result != WEIR_OK) {
        pthread_mutex_destroy(&new->lock);
        free(new);
        return result;
    }
    *control = new;
    return WEIR_OK;
}

void control_stop(struct control **control)
{
    struct control *old = *control;

    if (old == NULL)
        return;
    control_socket_remove(&old->sock); /* first: nobody is to knock at a door that closes */
    pthread_mutex_lock(&old->lock);
    old->job = NULL; /* who waits is told so */
    pthread_mutex_unlock(&old->lock);
    endpoint_stop(&old->endpoint);
    pthread_mutex_destroy(&old->lock);
    free(old);
    *control = NULL;
}
