/* SPDX-License-Identifier: Apache-2.0 */
#include "reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *reply_text(const char *text)
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

json_t *reply_number(uint64_t number)
{
    return json_integer(number > INT64_MAX ? INT64_MAX : (json_int_t)number);
}

json_t *reply_begin(bool ok, const char *ask)
{
    json_t *root = json_object();

    json_object_set_new(root, "weir", json_integer(REPLY_VERSION));
    json_object_set_new(root, "ok", json_boolean(ok));
    if (ask != NULL)
        json_object_set_new(root, "ask", json_string(ask));
    return root;
}

char *reply_print(json_t *root)
{
    char *text = json_dumps(root, JSON_COMPACT);

    json_decref(root);
    if (text == NULL)
        text = strdup("{\"weir\":1,\"ok\":false,\"error\":\"out of memory\"}");
    if (text == NULL)
        abort(); /* as CZMQ does */
    return text;
}

char *reply_refused(const char *ask, const char *format, ...)
{
    char text[1000];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    json_t *root = reply_begin(false, ask);
    json_object_set_new(root, "error", reply_text(text));
    return reply_print(root);
}

/* ------------------------------------------------------------------------------- of a job -- */

struct member {
    const char *name;
    uint64_t number;
};

/* The list ends with an element without a name. */
static void add_numbers(json_t *root, const struct member *members)
{
    for (; members->name != NULL; members++)
        json_object_set_new(root, members->name, reply_number(members->number));
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
    const struct member saved[] = {{"saved_id", status->saved_id}, {NULL, 0}};
    const struct member aborted[] = {{"aborted_id", status->aborted_id},
                                     {"aborted_age_ns", (uint64_t)status->aborted_age_ns},
                                     {NULL, 0}};

    if (status->checkpoint > 0)
        add_numbers(root, newest);
    if (status->round > 0)
        add_numbers(root, open);
    if (status->aborted_id > 0) {
        add_numbers(root, aborted);
        json_object_set_new(root, "aborted_reason", reply_text(status->aborted_reason));
    }
    if (status->saved > 0)
        add_numbers(root, saved);
    if (status->unsaved > 0)
        json_object_set_new(root, "unsaved_reason", reply_text(status->unsaved_reason));
}

void reply_add_job(json_t *root, struct weir_job *job)
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
        {"saved", status.saved},
        {"unsaved", status.unsaved},
        {"memory_state", status.memory_state},
        {"memory_flight", status.memory_flight},
        {"memory_recorded", status.memory_recorded},
        {"memory_saved", status.memory_saved},
        {"disk_flight", status.disk_flight},
        {"disk_state", status.disk_state},
        {"hung", status.hung},
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
