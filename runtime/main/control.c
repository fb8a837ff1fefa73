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
#include "weir_checkpoint.h"

enum { SECOND_NS = 1000000000, MILLISECOND_NS = 1000000 };
enum { VERSION = 1, PATIENCE_MS = 60000, PATIENCE_MAX_MS = 3600000 };

/* Somebody waits for a checkpoint: one with a higher id than there was when he asked. */
struct waiting {
    uint64_t base; /* id */
    int64_t deadline_ns;
};

struct control {
    const struct report *report;
    _Atomic uint32_t *stops; /* 1 << enum weir_stop */
    struct control_socket sock;
    struct endpoint *endpoint;
    char store_id[CONTROL_STORE_ID_ROOM];

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

/* --------------------------------------------------------------------------------- answers -- */

/* JSON is UTF-8, paths and operators' messages need not be. */
static json_t *text_of(const char *text)
{
    json_t *json = json_string(text);

    if (json != NULL)
        return json;
    char *plain = strdup(text);
    for (char *c = plain; c != NULL && *c != '\0'; c++)
        *c = (*c & 0x80) != 0 ? '?' : *c;
    json = plain != NULL ? json_string(plain) : NULL;
    free(plain);
    return json;
}

/* JSON's whole numbers end there. */
static json_t *number_of(uint64_t number)
{
    return json_integer(number > INT64_MAX ? INT64_MAX : (json_int_t)number);
}

static json_t *begin(bool ok, const char *ask)
{
    json_t *root = json_object();

    json_object_set_new(root, "weir", json_integer(VERSION));
    json_object_set_new(root, "ok", json_boolean(ok));
    if (ask != NULL)
        json_object_set_new(root, "ask", json_string(ask));
    return root;
}

/* Never NULL: nobody is to wait for an answer that had no memory. */
static char *print(json_t *root)
{
    char *text = json_dumps(root, JSON_COMPACT);

    json_decref(root);
    if (text == NULL)
        text = strdup("{\"weir\":1,\"ok\":false,\"error\":\"out of memory\"}");
    if (text == NULL)
        abort(); /* as CZMQ does */
    return text;
}

static char *refused(const char *ask, const char *format, ...) WEIR_PRINTF(2, 3);
static char *refused(const char *ask, const char *format, ...)
{
    char text[1000];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    json_t *root = begin(false, ask);
    json_object_set_new(root, "error", text_of(text));
    return print(root);
}

/* ---------------------------------------------------------------------------------- status -- */

struct member {
    const char *name;
    uint64_t number;
};

/* The list ends with an element without a name. */
static void add_numbers(json_t *root, const struct member *members)
{
    for (; members->name != NULL; members++)
        json_object_set_new(root, members->name, number_of(members->number));
}

/* What is not there is left out: see EVENTS.md. */
static void add_checkpoints(json_t *root, const struct weir_status *status)
{
    const struct member newest[] = {
        {"checkpoint_age_ns", (uint64_t)status->checkpoint_age_ns},
        {"checkpoint_duration_ns", (uint64_t)status->checkpoint_duration_ns},
        {"checkpoint_bytes", status->checkpoint_bytes},
        {NULL, 0},
    };
    const struct member open[] = {
        {"round", status->round}, {"round_age_ns", (uint64_t)status->round_age_ns}, {NULL, 0}};
    const struct member aborted[] = {{"aborted_id", status->aborted_id},
                                     {"aborted_age_ns", (uint64_t)status->aborted_age_ns},
                                     {NULL, 0}};

    if (status->checkpoint > 0)
        add_numbers(root, newest);
    if (status->round > 0)
        add_numbers(root, open);
    if (status->aborted_id > 0) {
        add_numbers(root, aborted);
        json_object_set_new(root, "aborted_reason", text_of(status->aborted_reason));
    }
}

static void add_job(json_t *root, struct weir_job *job)
{
    static const char *const outcomes[] = {"running", "ended",  "already_ended",
                                           "stopped", "failed", "unknown"};
    struct weir_status status = {WEIR_SIZED(struct weir_status)};

    weir_job_status(job, &status);
    const struct member always[] = {
        {"epoch", status.epoch},
        {"tasks", status.tasks},
        {"running_ns", (uint64_t)status.running_ns},
        {"restored_from", status.restored_from},
        {"records_in", status.records_in},
        {"records_emitted", status.records_emitted},
        {"checkpoint", status.checkpoint},
        {"committed", status.committed},
        {"aborted", status.aborted},
        {"dead_letters", status.dead_letters},
        {"cut_max_ns", (uint64_t)status.cut_max_ns},
        {NULL, 0},
    };
    const struct member progress[] = {{"progress_done", status.progress_done},
                                      {"progress_total", status.progress_total},
                                      {NULL, 0}};
    json_object_set_new(root, "state", json_string(outcomes[status.outcome]));
    add_numbers(root, always);
    if (status.progress_total > 0)
        add_numbers(root, progress);
    add_checkpoints(root, &status);
}

static char *answer_status(const struct control *control)
{
    const struct report *report = control->report;
    json_t *root = begin(true, "status");

    json_object_set_new(root, "program", text_of(report->name));
    json_object_set_new(root, "version", json_string(weir_version()));
    json_object_set_new(root, "pid", json_integer(getpid()));
    if (report->parent != 0)
        json_object_set_new(root, "parent", json_integer(report->parent));
    json_object_set_new(root, "store", text_of(report->options->job.store));
    json_object_set_new(root, "store_id", json_string(control->store_id));
    json_object_set_new(root, "uptime_ns", json_integer(now_ns() - report->began_ns));
    json_object_set_new(root, "restarts", json_integer(control->restarts));
    add_job(root, control->job);
    return print(root);
}

/* ------------------------------------------------------------------------------ checkpoint -- */

static uint64_t newest_id(const struct weir_status *status)
{
    uint64_t newest = status->checkpoint > status->round ? status->checkpoint : status->round;

    return newest > status->aborted_id ? newest : status->aborted_id;
}

static char *ask_checkpoint(struct control *control, const json_t *request, uint32_t ticket)
{
    const json_t *patience = json_object_get(request, "timeout_ms");
    json_int_t patience_ms = patience != NULL ? json_integer_value(patience) : PATIENCE_MS;
    struct weir_status status = {WEIR_SIZED(struct weir_status)};
    struct weir_error error = {0};

    if (patience_ms < 1 || patience_ms > PATIENCE_MAX_MS)
        return refused("checkpoint", "timeout_ms: 1 to %d", PATIENCE_MAX_MS);
    if (ticket == ENDPOINT_TICKETS)
        return refused("checkpoint", "%u others wait for one already", ENDPOINT_TICKETS);
    weir_job_status(control->job, &status);
    if (weir_job_checkpoint(control->job, &error) != WEIR_OK)
        return refused("checkpoint", "%s", error.text);
    control->waiting[ticket] = (struct waiting){
        .base = newest_id(&status),
        .deadline_ns = now_ns() + patience_ms * MILLISECOND_NS,
    };
    return NULL;
}

static char *answer_checkpoint(const struct weir_status *status)
{
    json_t *root = begin(true, "checkpoint");

    json_object_set_new(root, "checkpoint", number_of(status->checkpoint));
    json_object_set_new(root, "duration_ns", json_integer(status->checkpoint_duration_ns));
    json_object_set_new(root, "bytes", number_of(status->checkpoint_bytes));
    return print(root);
}

/* NULL: not yet. */
static char *checkpoint_done(struct control *control, const struct waiting *waiting)
{
    struct weir_status status = {WEIR_SIZED(struct weir_status)};
    bool late = now_ns() >= waiting->deadline_ns;

    if (control->job == NULL)
        return refused("checkpoint", "the run ended before the checkpoint was done");
    weir_job_status(control->job, &status);
    if (status.checkpoint > waiting->base)
        return answer_checkpoint(&status);
    if (status.aborted_id > waiting->base)
        return refused("checkpoint", "checkpoint %" PRIu64 " came to nothing: %s",
                       status.aborted_id, status.aborted_reason);
    if (status.outcome != WEIR_OUTCOME_RUNNING)
        return refused("checkpoint", "the job was over before the checkpoint was done");
    if (late)
        return refused("checkpoint", "not done in time, and still being tried; `dump` shows who it "
                                     "waits for");
    return NULL;
}

/* --------------------------------------------------------------------------- stop and dump -- */

static char *ask_stop(const struct control *control, const json_t *request)
{
    static const char *const modes[] = {"suspend", "drain", "now"}; /* enum weir_stop */
    const json_t *given = json_object_get(request, "mode");
    const char *mode = given != NULL ? json_string_value(given) : modes[0];
    int asked = -1;

    for (int i = 0; mode != NULL && i < 3; i++)
        asked = strcmp(mode, modes[i]) == 0 ? i : asked;
    if (asked < 0)
        return refused("stop", "mode: \"suspend\", \"drain\" or \"now\"");
    atomic_fetch_or(control->stops, 1u << asked);
    json_t *root = begin(true, "stop");
    json_object_set_new(root, "mode", json_string(modes[asked]));
    json_object_set_new(root, "pid", json_integer(getpid()));
    return print(root);
}

static void add_line(void *lines, const char *text)
{
    json_array_append_new(lines, text_of(text));
}

static char *answer_dump(struct control *control)
{
    json_t *root = begin(true, "dump");
    json_t *lines = json_array();

    json_object_set_new(root, "lines", lines);
    weir_job_dump(control->job, add_line, lines);
    return print(root);
}

/* -------------------------------------------------------------------------------- requests -- */

/* Nothing unknown is passed over: a misspelt member would change what is meant. */
static const char *unknown_member(json_t *request, const char *ask)
{
    const char *key;
    json_t *value;

    json_object_foreach(request, key, value)
    {
        bool known = strcmp(key, "weir") == 0 || strcmp(key, "ask") == 0 ||
                     (strcmp(key, "mode") == 0 && strcmp(ask, "stop") == 0) ||
                     (strcmp(key, "timeout_ms") == 0 && strcmp(ask, "checkpoint") == 0);
        if (!known)
            return key;
    }
    return NULL;
}

static char *answer_request(struct control *control, json_t *request, uint32_t ticket)
{
    const char *ask = json_string_value(json_object_get(request, "ask"));

    if (!json_is_object(request))
        return refused(NULL, "a request is a JSON object");
    if (json_integer_value(json_object_get(request, "weir")) != VERSION)
        return refused(NULL, "\"weir\": 1 is the version spoken here (weir %s)", weir_version());
    if (ask == NULL)
        return refused(NULL, "\"ask\": status, checkpoint, stop or dump");
    if (control->job == NULL)
        return refused(ask, "the run is over");
    const char *unknown = unknown_member(request, ask);
    if (unknown != NULL)
        return refused(NULL, "\"%.40s\" has no meaning with \"ask\": \"%.40s\"", unknown, ask);
    if (strcmp(ask, "status") == 0)
        return answer_status(control);
    if (strcmp(ask, "checkpoint") == 0)
        return ask_checkpoint(control, request, ticket);
    if (strcmp(ask, "stop") == 0)
        return ask_stop(control, request);
    if (strcmp(ask, "dump") == 0)
        return answer_dump(control);
    return refused(NULL, "\"ask\": \"%.40s\" is none of status, checkpoint, stop and dump", ask);
}

static char *on_request(void *context, const char *text, size_t size, uint32_t ticket)
{
    struct control *control = context;
    json_error_t error;
    json_t *request = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);

    if (request == NULL)
        return refused(NULL, "a request is a JSON object: %s", error.text);
    pthread_mutex_lock(&control->lock);
    char *answer = answer_request(control, request, ticket);
    pthread_mutex_unlock(&control->lock);
    json_decref(request);
    return answer;
}

static char *on_later(void *context, uint32_t ticket)
{
    struct control *control = context;

    pthread_mutex_lock(&control->lock);
    char *answer = checkpoint_done(control, &control->waiting[ticket]);
    pthread_mutex_unlock(&control->lock);
    return answer;
}

/* ---------------------------------------------------------------------------- the program's -- */

void control_prepare(void)
{
    endpoint_prepare();
}

enum weir_result control_store_id(const char *store, char id[CONTROL_STORE_ID_ROOM],
                                  struct weir_error *error)
{
    struct weir_store *view = NULL;
    enum weir_result result = weir_store_open(store, NULL, &view, error);

    if (result == WEIR_OK)
        snprintf(id, CONTROL_STORE_ID_ROOM, "%s", weir_store_identity(view));
    weir_store_close(&view);
    return result;
}

static enum weir_result start_endpoint(struct control *control, struct weir_error *error)
{
    struct endpoint_answers answers = {on_request, on_later, control};
    enum weir_result result = control_socket_open(control->store_id, &control->sock, error);

    if (result != WEIR_OK)
        return result;
    result = endpoint_start(&control->endpoint, &control->sock, &answers, error);
    if (result != WEIR_OK)
        control_socket_remove(&control->sock);
    return result;
}

enum weir_result control_start(struct control **control, struct weir_job *job,
                               const struct report *report, _Atomic uint32_t *stops,
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
    new->stops = stops;
    enum weir_result result = control_store_id(store, new->store_id, error);
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
